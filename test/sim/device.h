/* A device of the simulation: a plain, correct client of the device protocol, and what it keeps over its own crashes.
 *
 * It keeps what a person typed in an outbox until it is answered, records and cursor together, joins again after every
 * reconnect, and gives up a connection on which nothing comes. What it is told goes into the book. */
#ifndef ROOST_SIM_DEVICE_H
#define ROOST_SIM_DEVICE_H

#include <sys/queue.h>
#include <uthash.h>

#include "base/json.h"
#include "sim/net.h"

#define DEVICE_JOINS 8

/* What must reach the daemon, and is sent again until it is answered. */
struct wish {
	char *frame;             /* members, without "id" */
	char *message;           /* message:send: its id; message:edit: that which is edited; else NULL */
	char *edit;              /* message:edit: the new text */
	int64_t number, sent_on; /* which connection it was last sent on */
	bool held;               /* refused; waits for its person */
	int refused;
	TAILQ_ENTRY(wish) link;
};

struct kept {
	char *key; /* Type/name */
	int64_t seq;
	bool deleted;
	char *fields; /* NULL: its own, as it was sent */
	UT_hash_handle hh;
};

/* A conversation this device has joined, or wants to. */
struct seat {
	char conversation[48], session[48];
	int64_t fence;
	bool joined, wanted, locked;
	bool leaves; /* it said so, and was not answered yet */
};

/* Who drives a session, as this device was told last. */
struct lead {
	char session[48], primary[48];
	int64_t term;
	UT_hash_handle hh;
};

struct device {
	int number, user;
	bool is_app;        /* it runs libroost's core: app.h */
	struct app *app;    /* then, once it is paired */
	bool tells;         /* its hello says where it means to be, as an app's always does; else it keeps its seats */
	bool came_late;     /* what was cleared before it was paired is hidden from it */
	bool is_doomed;     /* somebody asked for it to be revoked */
	bool is_out;        /* it was, and is not let in any more */
	int64_t revoked_on; /* the connection it had when that was answered; -1 it was not */
	char id[40], user_id[48], token[80], name[24];
	struct path path;
	/* on its disk */
	char cursor[48];
	int64_t place;
	struct kept *records;
	TAILQ_HEAD(, wish) wishes;
	struct seat seats[DEVICE_JOINS]; /* which conversations it has open */
	/* in its memory */
	struct wire *wire;
	enum { DEVICE_UNPAIRED, DEVICE_OFF, DEVICE_DIALING, DEVICE_GREETING, DEVICE_READY } state;
	bool wants; /* to be connected */
	bool caught_up;
	int64_t connection, heard_us, retry_us;
	int tries;
	struct lead *leads;
	struct call_waiting *calls;
	int64_t next_id;
};

struct device *device_new(int number, int user);
void device_pair(struct device *d); /* asks the operator for a code and pairs; goes on by itself */
void device_online(struct device *d, bool wants);
void device_crash(struct device *d); /* its process dies; what is on its disk stays */
void device_sleep(struct device *d, bool asleep);
bool device_is_quiet(const struct device *d); /* ready, caught up, nothing to send, nothing unanswered */

/* For app.c, whose core does the rest: a frame goes out and is watched; the device connects; it lets go. */
void device_sends(struct device *d, struct str frame);
void device_dial(struct device *d);
void device_hang_up(struct device *d, bool silent);

/* A frame that is kept until it is answered. `members` is what stands after {"type":…, without the id. */
struct wish *device_wish(struct device *d, const char *type, struct str members, const char *message);
void device_wish_edit(struct device *d, const char *message, const char *text);
/* A frame of the moment; false when it is not connected. */
bool device_say(struct device *d, const char *type, struct str members);
void device_leave(struct device *d, struct seat *s); /* said again after a reconnect until it is answered */
void device_release_held(struct device *d);          /* the person decides: what is held is given up */
void device_unlock(struct device *d);                /* … and every lock */
struct seat *device_seat(struct device *d, struct str conversation, bool make);
struct seat *device_seat_of(struct device *d, struct str session);
/* Never NULL: nobody in term 0 when it was told nothing. */
const struct lead *device_lead(const struct device *d, const char *session);
/* As a message's text, or the value of one of its revisions. */
bool device_has_text(const struct device *d, struct str message, struct str text);
const struct kept *device_kept(const struct device *d, const char *type, struct str name);

#endif
