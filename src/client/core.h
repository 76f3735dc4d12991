/* The pure core of libroost: what one device knows and does.
 *
 * Frames, wishes, the ends of writes and time go in; frames to send, rows to make durable and events to tell come out,
 * through the hooks, during the call. No I/O, no clock, no randomness of its own: the same inputs and the same seed
 * give the same effects, byte for byte. What it promises:
 *
 *  - A durable wish (send, edit, delete, save, clear) becomes an entry of the outbox. It is durable here before it is
 *    sent the first time, is sent again over any number of connections and lives until it is answered, and leaves the
 *    outbox only when the daemon has it or a person discards it. Its id is made once.
 *  - Messages of one conversation arrive in the order they were sent in. An entry that waits for a person (held) steps
 *    aside: the ones behind it go on, those that concern the held message itself excepted.
 *  - The local records are what the feed said, and the cursor is durable together with them: never ahead, never back.
 *    device:ack names only a cursor that is durable.
 *  - An answer's text is told once, in order, from its first byte; two attempts are never spliced.
 *  - Automatic messages carry the term this device believes in; it stands down when it learns of another primary.
 *
 * Rules for the caller. One thread. Hooks may call the functions marked "reads" and nothing else. Strings given are
 * copied; strings of events and of what is read live until the hook returns or the next call. Memory: base's x*alloc.
 * Identifiers: `where` is the id of a joined conversation, or of its current session.
 *
 * Life: core_new, core_load for every row kept, core_start; then core_connected, _frame and _disconnected as the shell's
 * socket goes, core_persisted as its disk goes, core_tick when core_next_ms says so; core_free. */
#ifndef ROOST_CLIENT_CORE_H
#define ROOST_CLIENT_CORE_H

#include "base/id.h"
#include "base/json.h"
#include "base/limits.h"

struct core;

/* Both clocks at the moment of the call. boot_ms never jumps and decides everything here; wall_ms only goes into ids,
 * stamps and texts. */
struct core_now {
	int64_t boot_ms, wall_ms;
};

/* ---- what must be durable --------------------------------------------------------------------------------------- */

/* One change to what the device keeps: four kinds of rows, each found by (table, key). value STR_NONE removes the row.
 * The keys are at most CORE_KEY_MAX bytes of ASCII without NUL; values are text. */
enum core_table {
	CORE_META,     /* cursor, limits, user, counters: key a short word */
	CORE_OUTBOX,   /* key: 16 digits, in the order of the outbox */
	CORE_RECORD,   /* key: "Type/name"; value: "<generation> <place> <record as on the wire>" */
	CORE_FORGOTTEN /* key: id of a killed session that the person cleared here */
};
#define CORE_KEY_MAX 320 /* 64 of a type, a slash, 255 of a name */

struct core_row {
	enum core_table table;
	struct str key, value;
	/* CORE_RECORD with a value only, for the shell's own indexes: */
	struct str type, name;
	struct str conversation, session; /* fields conversationId, sessionId; "" none */
	int64_t ord;                      /* Message: its place; else 0 */
	bool deleted;                     /* a tombstone */
	uint32_t generation;
};

/* Rows that become durable together. Batches are numbered from 1 without gaps and must become durable in that order;
 * several may go into one transaction. The shell applies: drop_below, then forget_session, then the rows in order. */
struct core_batch {
	uint64_t number;
	const struct core_row *rows;
	size_t nrows;
	uint32_t drop_below;       /* not 0: first remove every CORE_RECORD row of a smaller generation */
	struct str forget_session; /* not "": remove the CORE_RECORD rows of type Message and this session */
};

/* ---- what is told ----------------------------------------------------------------------------------------------- */

enum core_state {
	CORE_PENDING, /* not sent on this connection, or told to wait */
	CORE_SENT,    /* not answered yet; coming and going between these two is not told */
	CORE_HELD,    /* waits for the person: core_resolve */
	CORE_GONE     /* has left the outbox */
};
enum core_kind { CORE_SEND, CORE_EDIT, CORE_DELETE, CORE_SAVE, CORE_CLEAR };
enum core_resolution {
	CORE_SEND_ANYWAY, /* held as a duplicate: past the content net */
	CORE_SEND_TO_NEW, /* held because its session was killed: into the conversation's current session */
	CORE_TRY_AGAIN,   /* held as failed: the same once more */
	CORE_DISCARD      /* drop it, and what waits for it */
};

/* An entry of the outbox, as it is told of. */
struct core_entry {
	uint64_t number; /* its place: grows; changes when a held entry goes back to the end of the line */
	enum core_kind kind;
	enum core_state state;
	struct str type, name;            /* the record: "Message" and the message id, …; CLEAR: what is cleared */
	struct str conversation, session; /* "" not known */
	struct str text;                  /* SEND, EDIT */
	bool automatic;
	enum err why;        /* HELD: ERR_DUPLICATE, ERR_SESSION_KILLED, other: failed. PENDING: why it waits, or OK.
			      * GONE: OK the daemon has it; ERR_CANCELLED discarded; else an automatic message was refused */
	struct str sentence; /* with why, for a person */
	struct str other;    /* why ERR_DUPLICATE: the original's message id; ERR_SESSION_KILLED: the new session */
	struct str device;   /* ERR_DUPLICATE: the original's device; ERR_SESSION_LOCKED: the holder */
	int64_t age_ms;      /* ERR_DUPLICATE: the original's age */
	int64_t created_ms;  /* wall time of the wish */
	int64_t next_ms;     /* PENDING after a refusal: boot time of the next try; 0 at once */
	struct str request;  /* GONE, SEND: id of the request that answers it, or "" */
};

/* For a UI; core_status reads it. */
struct core_status {
	bool online;         /* connected and welcomed */
	bool stopped;        /* will not connect again by itself, because of `failed` */
	bool syncing;        /* a sync is under way … */
	int percent;         /* … and how far, 0–100; -1 not known */
	int pending;         /* outbox entries that are not held */
	int held;            /* outbox entries that wait for the person */
	int conflicted;      /* conflicts told and not yet looked at: core_conflicts_seen */
	int64_t synced_ms;   /* wall time of the last finished sync; 0 never; kept over restarts */
	int64_t offline_ms;  /* wall time since when it is offline; 0 online */
	int64_t next_try_ms; /* boot time of the next try to connect; 0 none planned */
	enum err failed;     /* the last failure that still stands; OK none */
	struct str sentence; /* of it */
	uint64_t syncs;      /* syncs begun since core_new */
	uint64_t connects;   /* connections asked for since core_new */
	struct str cursor;   /* durable or about to be; "" none */
	struct str user;     /* id; "" before the first welcome */
	const struct limits *limits;
};

/* clang-format off */
enum core_event_kind {
	CORE_EV_ONLINE,    /* welcomed: json the device:welcome frame */
	CORE_EV_OFFLINE,   /* the connection is gone: err, info; number: the close code; at_ms: boot time of the next try */
	CORE_EV_STOPPED,   /* for good: ERR_UNAUTHORIZED (401, revoked), ERR_EXISTS (replaced), or why the hello was refused */
	CORE_EV_STATUS,    /* core_status has changed; at most one per call */
	CORE_EV_SYNCED,    /* a sync has ended; number: records it brought */
	CORE_EV_RESYNCED,  /* everything kept was replaced: read it all again */
	CORE_EV_RECORD,    /* a record came or changed: type, name, conversation, session, device (its maker); json as the
			    * daemon has it, see core_view */
	CORE_EV_ENTRY,     /* `entry` is new or has changed */
	CORE_EV_CONFLICT,  /* two devices changed `field` of type, name: the value that lost is kept in the Revision `other`,
			    * json its fields; it was device's, `mine` this one's */
	CORE_EV_DUPLICATE, /* another device (device) sent the same text as this one's message `name`; number: its age in ms */
	CORE_EV_REQUEST,   /* a request's state, by push or record: name, conversation, text the state, json frame or fields */
	CORE_EV_TEXT,      /* the next piece of an answer: name the request, other the message, text, number: attempt */
	CORE_EV_THINKING,  /* the same of its thinking */
	CORE_EV_AGAIN,     /* what was told of this answer is void: a new attempt begins, or it was another's; err, info */
	CORE_EV_WAITING,   /* an attempt failed with err; the daemon tries again at at_ms (wall time) */
	CORE_EV_END,       /* an answer is over: err OK, ERR_CANCELLED (stopped) or why it failed; text is all of it */
	CORE_EV_JOINED,    /* conversation, session ("" none yet), json the session:state frame; after each reconnect too. With
			    * err: refused, and tried again if that passes */
	CORE_EV_PRIMARY,   /* conversation, session, device ("" none), number: the term; mine */
	CORE_EV_LOCK,      /* session's lock: device the holder or "", number: our fence, mine; ERR_NOT_HOLDER: ours is lost */
	CORE_EV_CLEARED,   /* conversation; other: the killed session; session: the next one */
	CORE_EV_ANSWER,    /* to core_call and all that return an op: number the op, err, info, json the frame (NULL: none) */
	CORE_EV_PUSH       /* a frame left to others (queue:state, auto:state, device:changed, …): text its type, json */
};
/* clang-format on */

struct core_event {
	enum core_event_kind kind;
	struct str type, name, conversation, session, device, other, field, text; /* never {NULL, 0} */
	enum err err;
	const struct errinfo *info;     /* never NULL */
	const struct core_entry *entry; /* CORE_EV_ENTRY only */
	const struct json *json;
	int64_t number, at_ms;
	bool mine; /* this device's own; of an answer: it answers a message of this device */
};

/* ---- hooks ------------------------------------------------------------------------------------------------------ */

struct core_hooks {
	/* One text frame, to the present connection. Never called between core_disconnected and core_connected. */
	void (*send)(void *ctx, struct str frame);
	/* True: it is durable now. False: it will be, and core_persisted will say so. The rows die with the call. */
	bool (*persist)(void *ctx, const struct core_batch *batch);
	/* What the row holds after every batch handed over so far, durable or not; false: there is none. Appends to out. */
	bool (*read)(void *ctx, enum core_table table, struct str key, struct buf *out);
	/* Begin one connection: core_connected or core_disconnected follows, later. */
	void (*connect)(void *ctx);
	/* End the connection or the try: core_disconnected follows, later. */
	void (*disconnect)(void *ctx);
	void (*event)(void *ctx, const struct core_event *e);
};

struct core_options {
	struct str device_id; /* valid name; this device */
	struct str name, platform, app_version;
	struct rng rng; /* seeded by the caller: from random_bytes, or from the simulator's seed */
	bool foreground;
};

struct core *core_new(const struct core_options *o, const struct core_hooks *h, void *ctx);
void core_free(struct core *c);
/* Before core_start: a row of CORE_META, CORE_OUTBOX or CORE_FORGOTTEN that an earlier life kept, each table in the
 * order of its keys. Records are not loaded, they are read. ERR_CORRUPT: not a row of ours; it is left out. */
MUST_USE enum err core_load(struct core *c, const struct core_row *row, struct errinfo *info);

/* ---- the shell's news ------------------------------------------------------------------------------------------- */

/* Wants a connection from now on, also after CORE_EV_STOPPED (a new token). core_stop wants none: closes it, tells
 * OFFLINE; wishes are still taken. */
void core_start(struct core *c, struct core_now now);
void core_stop(struct core *c, struct core_now now);
void core_connected(struct core *c, struct core_now now);
void core_frame(struct core *c, struct str text, struct core_now now);
/* The connection, or the try, has ended. close_code: the WebSocket's, 0 there was none. e: ERR_UNAUTHORIZED when the
 * upgrade was answered with 401, ERR_CURSOR_EXPIRED etc. from a close reason, else what the socket said. info may be
 * NULL. */
void core_disconnected(struct core *c, int close_code, enum err e, const struct errinfo *info, struct core_now now);
/* Every batch up to and including this number is durable. */
void core_persisted(struct core *c, uint64_t number, struct core_now now);
/* The disk refuses (ERR_STORAGE_FULL, …) or, with OK, takes again. Batches stay the shell's to make durable. */
void core_disk(struct core *c, enum err e, const struct errinfo *info, struct core_now now);
/* The boot time at which core_tick must be called; INT64_MAX never. Calling it earlier does no harm. */
int64_t core_next_ms(const struct core *c);
void core_tick(struct core *c, struct core_now now);

/* The app came to the front or left it; in front it syncs, and again every 30 s. */
void core_foreground(struct core *c, bool is_front, struct core_now now);
/* There may be news (a push notification, the network is back): syncs once, or connects at once when offline. */
void core_nudge(struct core *c, struct core_now now);

/* ---- durable wishes --------------------------------------------------------------------------------------------- */

/* All of these: OK, and the wish is in the outbox; or an error (ERR_TOO_LARGE naming the limit, ERR_BAD_FIELD naming the
 * field, ERR_TOO_MANY: the outbox is full, ERR_NOT_FOUND) and nothing has changed. Online or not makes no difference. */
struct core_message {
	struct str conversation; /* one not seen before is begun by this; "": a new one, with an id made here */
	struct str session;      /* "": the one this device knows as the conversation's, or whatever is current then */
	struct str text;
	struct str parts;   /* JSON array, "" none */
	struct str parent;  /* "" none */
	struct str request; /* JSON object {model?, params?, priority?}; "" no answer wanted */
	bool automatic;     /* needs to be primary of the session: else ERR_NOT_PRIMARY; carries the term */
};
MUST_USE enum err core_send(struct core *c, const struct core_message *m, struct core_now now, struct id *out_message,
			    struct errinfo *info);
/* A message of this user that is here or in the outbox. One that was never sent is changed where it stands. */
MUST_USE enum err core_edit(struct core *c, struct str message, struct str text, struct core_now now,
			    struct errinfo *info);
MUST_USE enum err core_delete(struct core *c, struct str message, struct core_now now, struct errinfo *info);
/* Sets fields of a record (a JSON object; null removes one), merged by field; name "": a new record, its id in out_name
 * (which may be NULL). Which fields are sets and how a set is given: record/merge.h. */
MUST_USE enum err core_save(struct core *c, struct str type, struct str name, struct str fields, struct core_now now,
			    struct id *out_name, struct errinfo *info);
/* Deletes a record; a message: core_delete. */
MUST_USE enum err core_remove(struct core *c, struct str type, struct str name, struct core_now now,
			      struct errinfo *info);
/* Ends the session and begins the next. What this device sent before goes before it, what it sends after into the next. */
enum core_scope { CORE_OF_SESSION, CORE_OF_CONVERSATION, CORE_OF_PROJECT };
MUST_USE enum err core_clear(struct core *c, enum core_scope scope, struct str id, struct core_now now,
			     struct errinfo *info);
/* What to do with a held entry. CORE_DISCARD also takes a pending one that was never sent. ERR_NOT_FOUND; ERR_BAD_STATE:
 * it is not held for that reason, or may be on the daemon already (then delete the message). */
MUST_USE enum err core_resolve(struct core *c, uint64_t number, enum core_resolution how, struct core_now now,
			       struct errinfo *info);
/* Forgets the local copy of a killed session, now and for ever. ERR_BAD_STATE: the session is alive. */
MUST_USE enum err core_forget_session(struct core *c, struct str session, struct core_now now, struct errinfo *info);
void core_conflicts_seen(struct core *c, struct core_now now);

/* ---- wishes of the moment --------------------------------------------------------------------------------------- */

/* These are not kept: each gets one CORE_EV_ANSWER with the op returned, also when the connection goes first
 * (ERR_UNAVAILABLE). Offline the return is 0 and nothing follows. */
typedef uint64_t core_op;
/* Any frame: `members` is a JSON object without type and id; else the return is 0. For what has no wish of its own here:
 * queries, stop and retry, queues, automatic runs. */
core_op core_call(struct core *c, struct str type, struct str members, struct core_now now);

/* Follows a conversation: its running answers, primary, lock. Joined again after every reconnect until left; also offline.
 * ERR_TOO_MANY names joinedSessions. */
MUST_USE enum err core_join(struct core *c, struct str conversation, struct core_now now, struct errinfo *info);
void core_leave(struct core *c, struct str conversation, struct core_now now);
/* A person types here; at most one frame a second per session. */
void core_typing(struct core *c, struct str where, struct core_now now);
enum core_primary { CORE_REQUEST, CORE_TAKE, CORE_RELEASE, CORE_TRANSFER };
core_op core_primary(struct core *c, struct str where, enum core_primary action, struct str to_device,
		     struct core_now now);
/* The session's lock, renewed by itself at a third of ttl_ms until core_unlock; ttl_ms 0: the daemon's longest. A holder
 * that loses its connection has lost the lock and is told. */
core_op core_lock(struct core *c, struct str where, int64_t ttl_ms, int64_t wait_ms, struct core_now now);
core_op core_unlock(struct core *c, struct str where, struct core_now now);

/* ---- reads: allowed from hooks ---------------------------------------------------------------------------------- */

struct core_status core_status(const struct core *c);
/* Entries in their order: the first with a number greater than `after`; false: none. */
bool core_outbox_next(const struct core *c, uint64_t after, struct core_entry *out);
bool core_outbox_find(const struct core *c, struct str type, struct str name, struct core_entry *out); /* the first */

/* A record as the person sees it: the server's with this device's unanswered changes merged in. */
struct core_view {
	bool exists;           /* here or in the outbox; out holds its wire form */
	bool deleted;          /* by anyone, or by a wish in the outbox */
	bool hidden;           /* a Message whose hiddenBy names this device */
	enum core_state state; /* of the newest entry that concerns it; GONE: none is in the outbox */
	enum err why;          /* HELD */
	uint64_t entry;        /* that entry's number; 0 none */
};
struct core_view core_view(const struct core *c, struct str type, struct str name, struct buf *out);

struct core_seat {
	struct str conversation, session; /* session "" not known */
	bool joined;                      /* on this connection */
	struct str primary;               /* device id, "" none or not known */
	int64_t term;
	bool is_primary;        /* this device, joined, and not stood down */
	struct str lock_holder; /* "" free or not known */
	int64_t fence;          /* of the lock when this device holds it, else 0 */
	int64_t lock_until_ms;  /* boot time at which our lease ends unless renewed */
};
bool core_seat(const struct core *c, struct str where, struct core_seat *out);
bool core_seat_next(const struct core *c, struct str after_conversation, struct core_seat *out); /* "" the first */

#endif
