/* libroost: what an app embeds to be a device of Roost.
 *
 * A device has its own file. In it are its credential, the records it has seen, its place in the feed, and an outbox:
 * what a person writes is durable there before it is sent the first time, is sent again until the daemon has it, and
 * leaves the outbox only then, or when the person discards it. Online or offline makes no difference to the calls.
 *
 * Threads: the library has none of its own. A roost is used by one thread at a time; different ones may be used by
 *   different threads. (When the daemon's URL has a host name rather than an address, libuv resolves it in its pool.)
 * Loop: either the app turns it, with roost_fd, roost_timeout_ms and roost_step in whatever loop it has; or it lets
 *   roost_run do so; or it gives a uv_loop_t that it runs itself.
 * Events come from inside roost_step, roost_run or the app's uv_loop_t, never from inside another call. In one, anything
 *   may be called but roost_close, roost_step and roost_run.
 * Strings are UTF-8 with a NUL at the end. Those given are copied; those of an event or a callback die with it. A NULL
 *   that stands for "none" is always allowed where it says so, and means the same as "".
 * Times are milliseconds since 1970 (`_at`) or plain milliseconds (`_ms`).
 * Structs begin with `size`: the caller writes sizeof its own there, so that fields can be added at the end later.
 * Errors: 0 is success. Whatever returns another has done nothing; roost_last_error has a sentence about it. When memory
 *   runs out that is ROOST_ERR_NOMEM: the library never aborts, exits or prints, and a frame it had no memory for is asked
 *   for again when there is some. On the first roost_open without a uv_loop of the app's, libuv's allocator is set to
 *   malloc with a reserve of address space behind it, for the whole process. */
#ifndef ROOST_H
#define ROOST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ROOST_API __attribute__((visibility("default")))
#else
#define ROOST_API
#endif

struct uv_loop_s;
typedef struct roost roost;

/* ---- errors ----------------------------------------------------------------------------------------------------- */

/* The numbers never change; new ones are added at the end. */
enum roost_error {
	ROOST_OK = 0,                    /* no error */
	ROOST_ERR_NOMEM = 1,             /* out of memory */
	ROOST_ERR_INTERNAL = 2,          /* something inside the daemon went wrong; the journal says more */
	ROOST_ERR_BAD_JSON = 3,          /* not valid JSON */
	ROOST_ERR_BAD_FRAME = 4,         /* a frame is a JSON object with a string "type" */
	ROOST_ERR_UNKNOWN_TYPE = 5,      /* no such frame type */
	ROOST_ERR_BAD_FIELD = 6,         /* a field is missing or has the wrong type */
	ROOST_ERR_TOO_LARGE = 7,         /* larger than the limit */
	ROOST_ERR_BAD_REQUEST = 8,       /* the request is malformed */
	ROOST_ERR_HEADERS_TOO_LARGE = 9, /* the request's head is larger than the limit */
	ROOST_ERR_URI_TOO_LONG = 10,     /* the request's target is longer than the limit */
	ROOST_ERR_BAD_MEDIA_TYPE = 11,   /* the body must be application/json */
	ROOST_ERR_NOT_FOUND = 12,        /* no such thing, or not yours */
	ROOST_ERR_METHOD = 13,           /* this address does not take that method */
	ROOST_ERR_TIMEOUT = 14,          /* the request took too long to arrive */
	ROOST_ERR_UPGRADE = 15,          /* this address speaks WebSocket, version 13 */
	ROOST_ERR_BAD_HOST = 16,         /* this Host is not on the allow-list (config: hosts) */
	ROOST_ERR_BAD_ORIGIN = 17,       /* this Origin is not on the allow-list (config: origins) */
	ROOST_ERR_UNAUTHORIZED = 18,     /* a valid device credential is needed; pair with: roost pair */
	ROOST_ERR_FORBIDDEN = 19,        /* this credential may not do that */
	ROOST_ERR_PAIRING = 20,        /* this pairing code is wrong, used or expired; get a new one with: roost pair */
	ROOST_ERR_RATE_LIMITED = 21,   /* too many tries; wait and try again */
	ROOST_ERR_CONFLICT = 22,       /* the record changed since the given change tag */
	ROOST_ERR_EXISTS = 23,         /* a record of this name exists */
	ROOST_ERR_ATOMIC = 24,         /* another record of the atomic batch failed; nothing was saved */
	ROOST_ERR_ID_REUSED = 25,      /* this message id was used for other content; nothing was changed */
	ROOST_ERR_DUPLICATE = 26,      /* another device sent the same text a moment ago */
	ROOST_ERR_SESSION_KILLED = 27, /* this session was cleared; send to the new one */
	ROOST_ERR_NOT_PRIMARY = 28,    /* only the primary device's current term may send automatically */
	ROOST_ERR_PRIMARY_EXISTS = 29, /* another device is primary */
	ROOST_ERR_SESSION_LOCKED = 30, /* another device holds the session's lock */
	ROOST_ERR_NOT_HOLDER = 31,     /* this device does not hold the session's lock */
	ROOST_ERR_NOT_JOINED = 32,     /* this device has not joined the session */
	ROOST_ERR_OFFLINE = 33,        /* that device is not connected */
	ROOST_ERR_AUTO_STOPPED = 34,   /* no automatic run is going on in this session */
	ROOST_ERR_ANSWERED = 35,       /* that answer was followed already */
	ROOST_ERR_SUPERSEDED = 36,     /* a newer attempt replaced this one */
	ROOST_ERR_BAD_STATE = 37,      /* the request is not in a state that allows this */
	ROOST_ERR_CURSOR_EXPIRED = 38, /* this cursor is too old or from another store; sync again from none */
	ROOST_ERR_STORAGE_FULL = 39,   /* the disk is full; nothing was saved */
	ROOST_ERR_READ_ONLY = 40,      /* the data directory cannot be written */
	ROOST_ERR_IO = 41,             /* the disk failed */
	ROOST_ERR_CORRUPT = 42,        /* stored data failed its check; run: roost doctor */
	ROOST_ERR_LOCKED = 43,         /* another roost daemon has this data directory */
	ROOST_ERR_NEWER_SCHEMA = 44,   /* the store was written by a newer roost */
	ROOST_ERR_OVERLOADED = 45,     /* the daemon is behind; try again */
	ROOST_ERR_TOO_MANY = 46,       /* too many of these */
	ROOST_ERR_SHUTTING_DOWN = 47,  /* the daemon is stopping */
	ROOST_ERR_MODEL_UNKNOWN = 48,  /* no provider serves this model */
	ROOST_ERR_PROVIDER_DOWN = 49,  /* the provider could not be reached */
	ROOST_ERR_PROVIDER_TIMEOUT = 50, /* the provider did not answer in time */
	ROOST_ERR_PROVIDER_BUSY = 51,    /* the provider is limiting or overloaded */
	ROOST_ERR_PROVIDER_CUT = 52,     /* the provider's answer broke off */
	ROOST_ERR_PROVIDER = 53,         /* the provider reported an error */
	ROOST_ERR_PROVIDER_REFUSED = 54, /* the provider refused the request */
	ROOST_ERR_PROVIDER_LIMIT = 55,   /* the provider's answer broke a limit */
	ROOST_ERR_CANCELLED = 56,        /* stopped */
	ROOST_ERR_USAGE = 57,            /* wrong usage */
	ROOST_ERR_CONFIG = 58,           /* the configuration is wrong */
	ROOST_ERR_UNAVAILABLE = 59,      /* no daemon answers; start one with: roost serve */
	ROOST_ERR_BUDGET = 60,           /* the budget is spent */
};

ROOST_API const char *roost_version(void);         /* "0.1.0" */
ROOST_API const char *roost_strerror(int error);   /* a sentence, for any number */
ROOST_API const char *roost_error_code(int error); /* "session_killed"; "internal" for a number there is none of */
ROOST_API const char *roost_last_error(void);      /* about the last call of this thread that failed; never NULL */

/* ---- life ------------------------------------------------------------------------------------------------------- */

/* What happened. The fields that a kind uses are named with it; the others are "" or 0. */
enum roost_event_kind {
	ROOST_EV_PAIRED = 1, /* pairing has ended: error 0, device; or why not. ROOST_ERR_UNAUTHORIZED: there is no
			      * credential and no code; call roost_pair */
	ROOST_EV_ONLINE,     /* connected and welcomed */
	ROOST_EV_OFFLINE,    /* the connection is gone, or could not be made: error, sentence; at: the next try */
	ROOST_EV_STOPPED,  /* it will not connect again by itself: ROOST_ERR_UNAUTHORIZED (the credential is refused or
			      * revoked; pair again), ROOST_ERR_EXISTS (this device connected from elsewhere) */
	ROOST_EV_STATUS,   /* roost_status would say something else now */
	ROOST_EV_SYNCED,   /* a sync has ended; number: the records it brought */
	ROOST_EV_RESYNCED, /* everything kept was replaced: read all of it again */
	ROOST_EV_RECORD,   /* a record came or changed: type, name, conversation, json its wire form */
	ROOST_EV_ENTRY,    /* `entry` of the outbox is new, changed, or gone */
	ROOST_EV_CONFLICT, /* two devices changed `field` of type, name: the value that lost is kept in the Revision
			      * `other`, json its fields; it was device's; mine: this one's */
	ROOST_EV_DUPLICATE, /* device sent the same text as this device's message `name` and was refused; number: ms ago */
	ROOST_EV_REQUEST, /* a request's state: name, conversation, text the state, json */
	ROOST_EV_TEXT, /* the next piece of an answer: name the request, other the message, text, number the attempt */
	ROOST_EV_THINKING, /* the same of its thinking */
	ROOST_EV_AGAIN,    /* what was told of this answer is void: another attempt follows; error, sentence */
	ROOST_EV_WAITING,  /* an attempt failed with error; the daemon tries again at `at` */
	ROOST_EV_END,      /* an answer is over: error 0, ROOST_ERR_CANCELLED, or why it failed; text: all of it */
	ROOST_EV_JOINED,   /* conversation, session, json: as told by the daemon; also after each reconnect */
	ROOST_EV_PRIMARY,  /* conversation, session: device is primary ("" none), number the term; mine */
	ROOST_EV_LOCK,     /* session: device holds the lock ("" none), number the fence, mine; error
			      * ROOST_ERR_NOT_HOLDER: ours was lost */
	ROOST_EV_CLEARED,  /* conversation: session other was killed, session is the next */
	ROOST_EV_ANSWER,   /* to what gave an op: number the op, error, sentence, json the answer ("" none came) */
	ROOST_EV_PUSH,     /* any other frame: text its type, json */
	ROOST_EV_DISK,     /* the device's file refuses, or takes again: error, sentence. Nothing is lost meanwhile, and
			      * nothing new is taken */
	ROOST_EV_ASK /* an automatic run with the param `model` wants words: conversation, name the answer they are
			      * to follow, text what it says, number of messages sent so far; call roost_drive_text */
};

struct roost_entry;
typedef struct roost_event {
	int kind; /* enum roost_event_kind */
	int error;
	const char *sentence;                                                                    /* about error */
	const char *type, *name, *conversation, *session, *device, *other, *field, *text, *json; /* never NULL */
	size_t text_size, json_size; /* without the NUL; a text may contain others */
	int64_t number, at;
	int mine;                        /* this device's own; of an answer: to a message of this device */
	const struct roost_entry *entry; /* ROOST_EV_ENTRY only, else NULL */
} roost_event;

typedef struct roost_options {
	size_t size;
	const char *path; /* the device's file; made when it is not there (mode 0600). FILE-lock, -wal beside it */
	const char *url;  /* "https://HOST[:PORT]" of the daemon, or "http://" on this machine and private networks */
	const char *socket_path;            /* or its Unix socket; one of the two */
	const char *ca_path;                /* PEM file of certificates to trust instead of the system's; NULL */
	const char *token;                  /* a credential to use from now on; NULL: the one in the file */
	const char *code;                   /* a pairing code to get one with, when there is none; NULL */
	const char *device_id;              /* of a new file; NULL: one is made */
	const char *name;                   /* of the device, as a person knows it; NULL: "" */
	const char *platform, *app_version; /* NULL: "" */
	int foreground;                     /* a person looks at it: it syncs every 30 s even when nothing is pushed */
	int stopped;                        /* begin without connecting; roost_start does */
	struct uv_loop_s *loop; /* the app's, which must outlive the roost by one turn; NULL: it has its own */
	void (*event)(void *ctx, const roost_event *e); /* NULL: none */
	void *ctx;
} roost_options;

/* Opens the file and begins to connect (nothing happens before the loop turns). *out is NULL on an error:
 * ROOST_ERR_LOCKED names the process that has the file, ROOST_ERR_NEWER_SCHEMA, ROOST_ERR_CORRUPT, ROOST_ERR_READ_ONLY,
 * ROOST_ERR_STORAGE_FULL, ROOST_ERR_IO, ROOST_ERR_USAGE, ROOST_ERR_NOMEM. */
ROOST_API int roost_open(const roost_options *options, roost **out);
/* Closes the connection without waiting for it, and the file. Everything taken is durable. NULL is nothing. */
ROOST_API void roost_close(roost *c);
/* Gets a credential with a pairing code (`roost pair` on the daemon's machine), keeps it and connects. ROOST_EV_PAIRED
 * tells how that went. ROOST_ERR_BAD_STATE: it is being done. */
ROOST_API int roost_pair(roost *c, const char *code);
/* Uses another credential from now on, keeps it, and connects. ROOST_ERR_USAGE: there is none. */
ROOST_API int roost_set_token(roost *c, const char *token);
/* Connects again after roost_stop or ROOST_EV_STOPPED. ROOST_ERR_UNAUTHORIZED: it has no credential. */
ROOST_API int roost_start(roost *c);
ROOST_API int roost_stop(roost *c);                    /* disconnects and stays so; wishes are still taken */
ROOST_API const char *roost_device_id(const roost *c); /* lives as long as c */

/* ---- loop (not with a uv_loop_t of the app's) -------------------------------------------------------------------- */

/* Readable when roost_step has something to do. For poll, epoll, kqueue, a GSource, a dispatch source. -1: c is NULL. */
ROOST_API int roost_fd(const roost *c);
/* Call roost_step after so many ms even if the fd stays silent: -1 never, 0 now. Ask again after every call. */
ROOST_API int roost_timeout_ms(const roost *c);
/* Does what can be done without waiting, and tells events. ROOST_ERR_USAGE: with a loop of the app's, or in an event; so
 * roost_run. */
ROOST_API int roost_step(roost *c);
/* Does so for `ms` (-1: for ever), or until an event's callback calls roost_break. */
ROOST_API int roost_run(roost *c, int ms);
ROOST_API void roost_break(roost *c);

/* ---- durable wishes ---------------------------------------------------------------------------------------------- */

/* 0: it is in the outbox and on the disk (or, when the disk refuses just now, in memory until it does not: ROOST_EV_DISK).
 * ROOST_ERR_TOO_LARGE names the limit, ROOST_ERR_BAD_FIELD the field, ROOST_ERR_TOO_MANY: the outbox is full. */
typedef struct roost_message {
	size_t size;
	const char *conversation; /* an id; one not seen before begins a conversation; NULL: a new one */
	const char *session;      /* NULL: the conversation's */
	const char *text;
	const char *parts;   /* JSON array; NULL */
	const char *parent;  /* the message it follows; NULL */
	const char *request; /* JSON object {"model"?, "params"?, "priority"?}: an answer is wanted; NULL: none is */
	int automatic;       /* nobody typed it: only the session's primary may send it */
} roost_message;
#define ROOST_ID_SIZE 37
ROOST_API int roost_send(roost *c, const roost_message *m, char out_id[ROOST_ID_SIZE]); /* out_id may be NULL */
/* Of a message that this device knows, or that is in the outbox: else ROOST_ERR_NOT_FOUND. */
ROOST_API int roost_edit(roost *c, const char *message, const char *text);
ROOST_API int roost_delete(roost *c, const char *message);
/* Sets fields (a JSON object; null removes one) of a record of any type: Conversation, Project, an app's own. Fields that
 * two devices change are merged one by one. name NULL: a new one, whose id is in out_id, which may be NULL.
 * ROOST_ERR_NOT_FOUND: only the daemon makes records of this type, and this device knows none of the name. */
ROOST_API int roost_save(roost *c, const char *type, const char *name, const char *fields, char out_id[ROOST_ID_SIZE]);
/* Deletes a record; a message: roost_delete. ROOST_ERR_NOT_FOUND, ROOST_ERR_FORBIDDEN: not of this type. */
ROOST_API int roost_remove(roost *c, const char *type, const char *name);
enum roost_scope { ROOST_SESSION, ROOST_CONVERSATION, ROOST_PROJECT };
/* Kills the session (of the conversation, of the project's conversations); the next message opens a new one. */
ROOST_API int roost_clear(roost *c, int scope, const char *id);
enum roost_resolution {
	ROOST_SEND_ANYWAY, /* held as a duplicate of another device's text */
	ROOST_SEND_TO_NEW, /* held because its session was cleared: into the conversation's present one */
	ROOST_TRY_AGAIN,   /* held because it failed */
	ROOST_DISCARD      /* drop it, and what waits for it; also one that was never sent */
};
/* Decides about an entry of the outbox that waits for the person. ROOST_ERR_NOT_FOUND: there is none of that number (any
 * more); ROOST_ERR_BAD_STATE: it is not held for that, or to be discarded and may have arrived already. */
ROOST_API int roost_resolve(roost *c, uint64_t entry, int resolution);
/* Drops the local copy of a killed session's messages, for good. ROOST_ERR_NOT_FOUND, ROOST_ERR_BAD_STATE: it is alive. */
ROOST_API int roost_forget_session(roost *c, const char *session);
ROOST_API int roost_conflicts_seen(roost *c); /* the person has looked: roost_status counts anew */

/* ---- wishes of the moment ---------------------------------------------------------------------------------------- */

/* The app came to the front or left it. */
ROOST_API int roost_foreground(roost *c, int is_front);
/* There may be news (a push notification, the network is back): syncs, or connects at once. */
ROOST_API int roost_nudge(roost *c);
/* Follows a conversation: its running answers, primary and lock, until left, over reconnects, but not over a restart of
 * the app. ROOST_ERR_TOO_MANY names joinedSessions, ROOST_ERR_BAD_FIELD: not an id. To leave what was not joined does
 * nothing. `where` below is the id of such a conversation or of its session. */
ROOST_API int roost_join(roost *c, const char *conversation);
ROOST_API int roost_leave(roost *c, const char *conversation);
/* The person types there; say so at each key. Told once a second; not joined or offline, it is nothing. */
ROOST_API int roost_typing(roost *c, const char *where);
enum roost_primary { ROOST_REQUEST, ROOST_TAKE, ROOST_RELEASE, ROOST_TRANSFER };
/* These are answered by one ROOST_EV_ANSWER whose number is *out_op (may be NULL). ROOST_ERR_UNAVAILABLE: offline, or
 * `where` is not joined or has no session yet. to_device: of ROOST_TRANSFER only. */
ROOST_API int roost_primary(roost *c, const char *where, int action, const char *to_device, uint64_t *out_op);
/* The session's lock, renewed until roost_unlock or the connection is lost. ttl_ms 0: the longest; wait_ms 0: no waiting. */
ROOST_API int roost_lock(roost *c, const char *where, int64_t ttl_ms, int64_t wait_ms, uint64_t *out_op);
ROOST_API int roost_unlock(roost *c, const char *where, uint64_t *out_op);
/* Lets this device drive the automatic runs of a joined conversation: while it is the session's primary, it sends the
 * run's next message after each answer, pauses or stops the run by what was answered, and goes on where another device
 * left off; while it is not, it watches. Until it is called with 0 or the conversation is left; also over reconnects.
 * Runs are begun, paused and stopped with roost_call. ROOST_ERR_NOT_JOINED. */
ROOST_API int roost_drive(roost *c, const char *conversation, int on);
/* The words that ROOST_EV_ASK asked for; NULL or "": there are none, and the run pauses. */
ROOST_API int roost_drive_text(roost *c, const char *conversation, const char *answer, const char *text);
/* Any frame of the device protocol, as "request:stop", {"requestId": "…"}: members is a JSON object, of which "type" and
 * "id" are left out. */
ROOST_API int roost_call(roost *c, const char *type, const char *members, uint64_t *out_op);

/* ---- what the device knows ---------------------------------------------------------------------------------------- */

typedef struct roost_status {
	size_t size;
	int paired;          /* it has a credential */
	int online;          /* connected and welcomed */
	int stopped;         /* will not connect again by itself, because of `error` */
	int syncing;         /* a sync is under way … */
	int percent;         /* … and how far; -1 not known */
	int pending, held;   /* entries of the outbox that go by themselves; that wait for the person */
	int conflicted;      /* conflicts told and not yet looked at: roost_conflicts_seen */
	int64_t synced_at;   /* the last finished sync, 0 never */
	int64_t offline_at;  /* since when it is offline, 0 online */
	int64_t next_try_at; /* of connecting; 0 none planned */
	int error;           /* the last failure that still stands */
	int disk;            /* what the device's file says: 0, ROOST_ERR_STORAGE_FULL, … */
	uint64_t syncs;      /* begun since roost_open */
	int64_t text_bytes;  /* the longest text of a message the daemon takes */
	char sentence[240];  /* about error */
	char user[64];       /* id; "" before the first welcome */
} roost_status_t;
ROOST_API int roost_status(const roost *c, roost_status_t *out);

enum roost_state { ROOST_PENDING, ROOST_SENT, ROOST_HELD, ROOST_GONE };
enum roost_wish { ROOST_WISH_SEND, ROOST_WISH_EDIT, ROOST_WISH_DELETE, ROOST_WISH_SAVE, ROOST_WISH_CLEAR };
/* One entry of the outbox. */
typedef struct roost_entry {
	uint64_t number; /* its place; another one when it goes back to the end of the line */
	int wish;        /* enum roost_wish */
	int state; /* pending: not sent on this connection; sent: not answered; held: waits for the person; gone */
	const char *type, *name, *conversation, *session, *text;
	int automatic;
	int why; /* held: ROOST_ERR_DUPLICATE, ROOST_ERR_SESSION_KILLED, other: failed. Gone: 0 the daemon has it */
	const char *sentence;
	const char *other;   /* the original's id; the new session's */
	const char *device;  /* the original's; the lock's holder */
	const char *request; /* gone, of a message: the request that answers it */
	int64_t age_ms;      /* of the original */
	int64_t created_at;
} roost_entry;
/* Calls `each` for the entries in their order until it returns 0. It may not change anything. */
ROOST_API int roost_outbox(const roost *c, int (*each)(void *ctx, const roost_entry *e), void *ctx);

/* A record as the person sees it: the daemon's with this device's own unanswered changes merged in. */
typedef struct roost_record {
	const char *type, *name, *json; /* json: {type, name, changeTag, created, modified, deleted, fields} */
	size_t json_size;
	int deleted;    /* by anyone, or by a wish in the outbox */
	int hidden;     /* a message that is hidden on this device */
	int state;      /* of the newest entry of the outbox about it; ROOST_GONE: there is none */
	int why;        /* held */
	uint64_t entry; /* its number */
} roost_record;
/* Calls `each` once. ROOST_ERR_NOT_FOUND. */
ROOST_API int roost_read(const roost *c, const char *type, const char *name,
			 int (*each)(void *ctx, const roost_record *r), void *ctx);
/* All records of a type, without deleted ones: of one conversation in their order, those that are still in the outbox
 * last; or, conversation NULL, by name. Until `each` returns 0; it may not change anything. */
ROOST_API int roost_list(const roost *c, const char *type, const char *conversation,
			 int (*each)(void *ctx, const roost_record *r), void *ctx);

typedef struct roost_seat {
	size_t size;
	int joined, is_primary;
	int64_t term, fence; /* fence: of the lock when this device holds it */
	int64_t lock_until_at;
	char conversation[256], session[256], primary[256], lock_holder[256]; /* "" none or not known */
} roost_seat_t;
/* ROOST_ERR_NOT_JOINED. */
ROOST_API int roost_seat(const roost *c, const char *where, roost_seat_t *out);

#ifdef __cplusplus
}
#endif
#endif
