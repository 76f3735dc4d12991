/* The inside of seats.h, shared by its three files: seats.c (devices that come and go, the primary), seats_lock.c (the
 * lock), seats_find.c (finding and looking). */
#ifndef ROOST_DEVICE_SEATS_PRIV_H
#define ROOST_DEVICE_SEATS_PRIV_H

#include <sys/queue.h>

#include "base/id.h"
#include "device/seats.h"
#include <uthash.h>

#define RETRY_MS 1000 /* after the store refused a proposal */

enum ask_kind { ASK_JOINED, ASK_PRIMARY, ASK_LOCK, ASK_UNLOCK };

struct ask {
	enum ask_kind kind;
	struct seat *by;
	void *token;
	enum seats_action action; /* ASK_PRIMARY */
	char *to;                 /* SEATS_TRANSFER, else NULL */
	int64_t ttl_ms;           /* ASK_LOCK */
	int64_t give_up_ms;       /* ASK_LOCK: when waiting ends; 0 does not wait */
	int64_t fence;            /* ASK_UNLOCK: 0 any */
	TAILQ_ENTRY(ask) link;
};
TAILQ_HEAD(ask_list, ask);

/* A proposal under way. */
struct change {
	uint64_t serial; /* 0: none */
	char *device_id;
	int64_t until_ms;
	struct ask *ask;    /* answered with its outcome; NULL nobody asked, or the asker left */
	struct ask *unlock; /* of the lock: whose wish it was to give it up, or NULL */
};

struct guest { /* a device that has joined something */
	char *key, *id;
	size_t key_len;
	int64_t user;
	int64_t heard_ms, pinged_ms;
	int64_t watched_ms; /* since when its silence counts; 0 it is not watched */
	bool is_silent;
	TAILQ_HEAD(, seat) seats; /* in the order it joined */
	TAILQ_ENTRY(guest) in_all;
	UT_hash_handle hh;
};

struct seat {
	struct guest *guest;
	struct seating *at;
	TAILQ_ENTRY(seat) in_line, in_guest;
};

struct seating { /* a conversation that is joined, or was a moment ago */
	char *key, *session_key;
	size_t key_len, session_key_len;
	int64_t user;
	char *conversation_id, *session_id; /* session_id "" before the first message */
	TAILQ_HEAD(, seat) line;            /* who is next */
	struct ask_list asks;               /* about the primary, to be judged */
	char *primary;                      /* as committed */
	int64_t term;
	struct change move; /* of the primary */
	bool has_returned;  /* the primary was here since the start, or was made since */
	bool is_leaving;    /* the primary left for good: without a successor the record is cleared */
	bool is_vacant;     /* given up by the only one: nobody is elected until somebody comes or asks */
	bool follows;       /* the device that is typed on is primary */
	struct seat *typed; /* where, lately, until it is primary */
	int64_t moved_ms;   /* when the primary last changed; 0 not yet */
	int64_t retry_ms;   /* no election before */
	char *holder;       /* of the lock */
	int64_t fence, until_ms;
	struct change pass;        /* of the lock */
	struct ask_list lock_asks; /* to be judged */
	struct ask_list waiting;   /* for the lock, in order */
	int64_t nwaiting;
	int64_t lock_retry_ms;
	TAILQ_ENTRY(seating) in_all;
	UT_hash_handle hh, by_session;
};

struct seats {
	const struct limits *limits;
	const struct seats_ops *ops;
	void *ctx;
	int64_t grace_until_ms, next_ms, grain_ms;
	uint64_t serial;
	bool is_stopped;
	struct guest *guests;
	struct seating *seatings, *sessions; /* by conversation, by session */
	TAILQ_HEAD(, guest) all_guests;
	TAILQ_HEAD(, seating) all_seatings;
};

/* seats_find.c. NULL: there is none. */
struct seating *seats_conversation(const struct seats *s, int64_t user, struct str id);
struct seating *seats_session_of(const struct seats *s, int64_t user, struct str id);
struct guest *seats_guest(const struct seats *s, int64_t user, struct str id);
struct seat *seats_seat_at(const struct guest *g, const struct seating *t);
struct seat *seats_seat_of(const struct seats *s, const struct seating *t, const char *device_id);
bool seats_is_live(const struct seat *k); /* NULL is not */
struct seats_state seats_state_of(const struct seating *t);
char *seats_key_dup(int64_t user, struct str id, size_t *len); /* the key of the hashes, on the heap */
void seats_set(char **dst, struct str v);                      /* replaces a heap string */

/* seats.c */
/* The first in line that is live and not `but`; NULL: there is none. */
struct seat *seats_next_live(const struct seating *t, const struct seat *but);
void seats_arm(struct seats *s, int64_t at_ms); /* something is due then */
/* Answers and forgets a question that is in no list any more. */
void seats_answer(struct seats *s, struct seating *t, struct ask *a, enum err e);
struct ask *seats_take_first(struct ask_list *l); /* NULL: it is empty */
struct ask *seats_ask_new(enum ask_kind kind, struct seat *by, void *token);
/* The asker's seat in the session, or NULL: then the token was answered. */
struct seat *seats_seat_to_ask(struct seats *s, int64_t user, struct str device_id, struct str session_id, void *token);
void seats_propose(struct seats *s, struct seating *t, enum seats_kind kind, struct change *c, struct str device_id,
		   struct ask *a);
/* The proposal is over; its question, if any, is the caller's now. */
struct ask *seats_end_change(struct change *c);
/* Does what is due; `t` may be gone after it. */
void seats_settle(struct seats *s, struct seating *t, int64_t now);

/* seats_lock.c */
void seats_settle_lock(struct seats *s, struct seating *t, int64_t now);
void seats_lock_committed(struct seats *s, struct seating *t, const struct seats_result *r, int64_t now);

#endif
