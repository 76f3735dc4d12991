/* The inside of a struct roost: the core with its loop, file and connection around it.
 *
 * One turn. Whatever came in (a call of the app, a frame, the end of a connection, time) goes into the core between
 * shell_enter and shell_leave. Its batches are put to the disk's open transaction, its events are copied to a queue. At the end of an app's
 * call, or when the loop has nothing more to read, the disk is flushed, the core is told, and the queue is delivered.
 *
 * When memory runs out. shell_enter looks for headroom: what has none is not begun (the app gets NOMEM; the connection
 * is closed, and what it had to say is asked for again). What was begun ends with the help of base/reserve.h. SQLite has
 * no such reserve: a failed flush is tried again later, and a failed read ends the core. That is a crash without the
 * process: nothing it says from then on is believed or done, and when the disk has taken what was put before, a new core
 * is made out of the file, as after a kill. */
#ifndef ROOST_CLIENT_SHELL_H
#define ROOST_CLIENT_SHELL_H

#include <roost.h>
#include <sys/queue.h>
#include <uv.h>

#include "base/arena.h"
#include "client/disk.h"
#include "client/link.h"

struct told;  /* an event in the queue */
struct drive; /* a conversation whose automatic runs this device drives */

struct roost {
	struct core *core;
	struct disk *disk;
	struct link *link;
	uv_loop_t *loop, own_loop;
	uv_timer_t tick;  /* the core's time, and tries of ours */
	uv_timer_t limit; /* of roost_run */
	uv_idle_t later;  /* there is something to flush or to tell */
	int open_handles;
	bool has_loop; /* of its own */
	void (*event)(void *ctx, const roost_event *e);
	void *ctx;
	char *device_id, *name, *platform, *app_version, *token, *code;
	bool is_foreground, is_wanted; /* roost_start */
	bool is_connect_due;           /* the core asked to connect */
	bool is_drop_due;              /* and took it back before it was begun */
	bool is_low;                   /* there was no headroom: the core's time stands still until retry_ms */
	bool is_pairing, is_over;
	bool is_token_new;        /* in use, not yet in the file */
	bool is_telling;          /* in an event's callback */
	enum err broken;          /* why the core has read nonsense and is to be made anew; OK: it has not */
	uint64_t put, settled;    /* the last batch put; and when the core was last left */
	enum err disk_err;        /* the last flush's */
	int64_t retry_ms;         /* boot time at which memory is looked for again, or a broken core healed; 0 not */
	int64_t disk_ms, pair_ms; /* of the next try to flush, to pair; 0 none */
	struct errinfo disk_info;
	TAILQ_HEAD(told_list, told) told;
	LIST_HEAD(drive_list, drive) drives;
};

#define SHELL_HEADROOM ((size_t)256 << 10)

struct core_now shell_now(void);
/* Is there memory to take up something of n bytes? */
bool shell_has_headroom(size_t n);
/* Before and after the core is called. _enter: ERR_NOMEM and nothing was done; else _leave must follow, with what the
 * core said; it gives back what the app is to be told. */
MUST_USE enum err shell_enter(struct roost *c, size_t n);
enum err shell_leave(struct roost *c, enum err e);
/* In between, before a flush: what a core that broke in this turn has put is taken back, and e becomes the reason. */
enum err shell_settle(struct roost *c, enum err e);
/* Flushes, and tells the core. */
void shell_flush(struct roost *c);
MUST_USE enum err shell_open(struct roost *c, const roost_options *o, struct errinfo *info);
void shell_close(struct roost *c); /* frees c, now or when the app's loop has turned */
void shell_pair(struct roost *c);  /* with c->code */
/* Uses the credential from now on and keeps it with the next flush. */
void shell_take_token(struct roost *c, struct str token);

/* drives.c: automatic runs. A conversation is joined before, and off when it is left. */
MUST_USE enum err drives_on(struct roost *c, struct str conversation, struct errinfo *info);
void drives_off(struct roost *c, struct str conversation);
void drives_forget(struct roost *c); /* all off */
void drives_again(struct roost *c);  /* there is a new core */
void drives_event(struct roost *c, const struct core_event *e);
void drives_step(struct roost *c); /* after the core's news; not from its hooks */
int64_t drives_next_ms(const struct roost *c);
void drives_text(struct roost *c, struct str conversation, struct str answer, struct str text);

/* tell.c: events on their way to the app. */
void tell_core(struct roost *c, const struct core_event *from);
void tell_own(struct roost *c, int kind, enum err err, const char *why, struct str device);
void tell_ask(struct roost *c, struct str conversation, struct str answer, struct str words, int64_t sent);
void tell_all(struct roost *c);    /* calls the app */
void tell_forget(struct roost *c); /* drops what was not told */
/* NUL-terminated copies for an entry's callback. */
void tell_entry(struct arena *a, const struct core_entry *from, roost_entry *out);
int tell_error(enum err e); /* the public number of an error */
enum err tell_code(int error);
int64_t tell_wall(int64_t boot_ms); /* 0 and "never" become 0 */

#endif
