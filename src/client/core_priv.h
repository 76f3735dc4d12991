/* The inside of core.h, shared by its files: core.c (life, connection, frames in and out, rows to persist), outbox.c
 * (entries and their order), wish.c (what a person asks for becomes an entry), answer.c (what the daemon says to an
 * entry), sync.c (feed, cursor, records), stream.c (answers as they are made), seat.c (joined conversations: primary,
 * lock), view.c (records with unanswered changes merged in). */
#ifndef ROOST_CLIENT_CORE_PRIV_H
#define ROOST_CLIENT_CORE_PRIV_H

#include "base/arena.h"
#include "client/core.h"

#include <sys/queue.h>
#include <uthash.h>

#define ROW_BYTES_MAX ((size_t)64 << 20) /* of anything built here; the daemon's own limits are far below */
#define NEVER INT64_MAX

/* ---- entries ---------------------------------------------------------------------------------------------------- */

struct entry;
struct lane;
struct lane_link {
	struct entry *entry;
	struct lane *lane; /* NULL: in none */
	TAILQ_ENTRY(lane_link) link;
};

/* Entries that must be answered one after the other: those of one record, or those of one conversation. */
struct lane {
	TAILQ_HEAD(lane_links, lane_link) links;
	int clears; /* CLEAR entries in it */
	UT_hash_handle hh;
	char key[];
};
enum { LANE_RECORD, LANE_CONVERSATION, LANES };

/* The texts of an entry; each has its row in entry_texts[] (outbox.c), by which they are kept and loaded. */
struct entry {
	uint64_t number;
	enum core_kind kind;
	enum core_state state;
	char *type, *name, *conversation, *session, *text, *parts, *parent, *request; /* never NULL, "" none */
	char *fields;       /* SAVE: a JSON object; "" the record is deleted */
	char *stamp, *base; /* of a change; base: a stamp (EDIT, DELETE) or a JSON object of them (SAVE) */
	char *sentence, *other, *device;
	int64_t term, age_ms, created_ms;
	bool automatic, force;
	enum err why;
	bool is_maybe;   /* it may be on the daemon: sent, and not refused since */
	uint64_t batch;  /* it may be sent once this batch is durable */
	int64_t ask;     /* SENT: the frame's id */
	int64_t next_ms; /* not before */
	int tries;       /* refusals in a row */
	size_t bytes;    /* of its texts */
	struct lane_link in[LANES];
	bool is_ready; /* stands in core.ready: first in its lanes, and not sent */
	TAILQ_ENTRY(entry) link, ready;
};
TAILQ_HEAD(entries, entry);

/* ---- the rest of the state -------------------------------------------------------------------------------------- */

enum ask_kind {
	ASK_HELLO,
	ASK_ENTRY,
	ASK_SYNC,
	ASK_CALL,
	ASK_JOIN,
	ASK_LEAVE,
	ASK_ATTACH,
	ASK_PRIMARY,
	ASK_LOCK,
	ASK_UNLOCK
};

/* A frame of ours that waits for its answer. Ids grow over all connections and serve as ops. */
struct ask {
	int64_t id;
	enum ask_kind kind;
	struct entry *entry; /* ASK_ENTRY; NULL: it left the outbox in between */
	char *where;         /* the conversation (JOIN, LEAVE, PRIMARY, LOCK) or request (ATTACH), or NULL */
	bool is_told;        /* its end is a CORE_EV_ANSWER */
	UT_hash_handle hh;
};

struct seat {
	char *conversation, *session, *primary, *lock_holder; /* "" not known or none */
	bool is_joined;                                       /* on this connection */
	bool stood_down;                                      /* primary for a term that turned out to be over */
	bool is_unlocking;                                    /* we gave the lock back; the answer is on its way */
	char *told;                                           /* the last CORE_EV_PRIMARY: who, … */
	int64_t told_term;
	bool told_mine;
	int64_t term;
	int64_t fence; /* ours, else 0 */
	int64_t ttl_ms, lock_until_ms, renew_ms, typed_ms, join_ms;
	TAILQ_ENTRY(seat) link;
};

/* A conversation that was left since the last hello, until the daemon has said so. */
struct left {
	char *conversation;
	TAILQ_ENTRY(left) link;
};

struct stream {
	char *request, *conversation, *message;
	int64_t attempt;
	struct buf text;   /* of this attempt, as told */
	int64_t at[2];     /* bytes told of its text and of its thinking */
	bool attaching[2]; /* the rest of them was asked for */
	bool mine, is_ended, has_failed;
	int64_t waiting_ms;  /* nextTryAt as told */
	struct errinfo info; /* of the last failure */
	UT_hash_handle hh;   /* in the order of their making */
};

struct forgotten {
	UT_hash_handle hh;
	char session[];
};

struct kept_row { /* of the batch that is being gathered */
	struct core_row row;
	UT_hash_handle hh;
	char key[]; /* the table's digit, then the key */
};

enum link_state { LINK_OFF, LINK_WAITING, LINK_TRYING, LINK_UP, LINK_CLOSING };

struct core {
	struct core_hooks hooks;
	void *ctx;
	char *device_id, *name, *platform, *app_version, *user;
	struct rng rng;
	struct core_now now;
	struct limits limits;
	int depth; /* ASSERTs that no hook calls in */

	/* connection */
	enum link_state link;
	bool is_wanted, is_welcome, is_front, is_restarting;
	enum err stopped; /* why it will not connect any more, or OK */
	int tries;        /* connections in a row without a welcome */
	int64_t next_try_ms, heard_ms, pinged_ms, offline_wall_ms;
	enum err failed;
	struct errinfo failed_info;
	bool is_disk_failed;
	bool is_dirty; /* a CORE_EV_STATUS is due */
	uint64_t connects;
	int64_t next_id;
	struct ask *asks;

	/* rows */
	struct arena arena; /* of the batch being gathered */
	struct kept_row *rows;
	uint32_t drop_below;
	struct str forget_session;
	uint64_t batch, durable; /* the last handed over; the last durable */

	/* outbox */
	struct entries outbox, ready;
	struct lane *lanes;
	uint64_t next_number;
	int npending, nheld, nsent;
	size_t outbox_bytes;
	int64_t outbox_wake_ms, pause_ms; /* when an entry's wait ends; nothing is sent before */
	int pauses;                       /* refusals of everything in a row */
	char *stamp;                      /* the greatest seen */

	/* feed */
	char *cursor;
	uint64_t cursor_batch;
	uint32_t generation;
	bool is_resyncing, is_greeting, is_syncing; /* greeting: the pages that follow a hello */
	int64_t sync_due_ms, sync_from, sync_to, nsynced, synced_ms, ack_due_ms, active_ms;
	uint64_t syncs;
	int64_t nconflicts;
	struct forgotten *forgotten;

	TAILQ_HEAD(, seat) seats;
	int nseats;
	TAILQ_HEAD(, left) left;
	struct stream *streams;
};

/* ---- core.c ----------------------------------------------------------------------------------------------------- */

void text_set(char **field, struct str value);
struct str text_of(const struct json *obj, const char *key); /* "" when it is not a string there */
int64_t int_of(const struct json *obj, const char *key);
bool bool_of(const struct json *obj, const char *key);
enum err read_error(const struct json *error, struct errinfo *info, bool *out_retryable);
void tell(struct core *c, struct core_event e);
/* Every public function that changes anything stands between these two; leave performs what became due. */
void core_enter(struct core *c, struct core_now now);
void core_leave_call(struct core *c);

/* A frame with a fresh id, remembered for its answer; end it with frame_send. Without an ask: frame_plain. */
struct jw frame_begin(struct core *c, struct buf *b, const char *type, enum ask_kind kind, struct ask **out);
struct jw frame_plain(struct buf *b, const char *type);
void frame_send(struct core *c, struct jw *w);
void link_restart(struct core *c); /* closes the connection and begins another at once */
int64_t backoff_ms(struct core *c, int tries, int64_t first_ms, int64_t most_ms);

void row_put(struct core *c, const struct core_row *row); /* copies */
void row_meta(struct core *c, const char *key, struct str value);
void row_meta_int(struct core *c, const char *key, int64_t value);
bool row_read(const struct core *c, enum core_table table, struct str key, struct buf *out);

/* ---- outbox.c --------------------------------------------------------------------------------------------------- */

struct entry *entry_new(struct core *c, enum core_kind kind, struct str type, struct str name);
void entry_free_unlinked(struct entry *e);
/* Puts it at the end of the line, kept and told of; takes it over. ERR_TOO_LARGE, ERR_TOO_MANY: freed, nothing changed. */
MUST_USE enum err entry_add(struct core *c, struct entry *e, struct errinfo *info);
void entry_keep(struct core *c, struct entry *e); /* its row again */
void entry_tell(struct core *c, const struct entry *e);
void entry_hold(struct core *c, struct entry *e, enum err why, struct str sentence);
void entry_wait(struct core *c, struct entry *e, enum err why, struct str sentence, int64_t until_ms);
void entry_wake(struct core *c, struct entry *e);    /* tried again at once */
void entry_requeue(struct core *c, struct entry *e); /* a held one: to the end of the line */
void entry_remove(struct core *c, struct entry *e,
		  enum err why); /* ERR_CANCELLED: a person discards it, and what waits for it */
struct entry *entry_of(const struct core *c, uint64_t number);
struct lane *lane_of_record(const struct core *c, struct str type, struct str name); /* NULL: nothing pending */
struct lane *lane_of_conversation(const struct core *c, struct str conversation);
struct entry *outbox_message(const struct core *c, struct str message); /* its SEND, or NULL */
void entry_unsent(struct core *c, struct entry *e);
MUST_USE enum err entry_check(struct core *c, const struct entry *e, struct errinfo *info); /* does its frame fit? */
void entry_describe(const struct core *c, const struct entry *e, struct core_entry *out);
void outbox_load(struct core *c, struct entry *e);
MUST_USE enum err entry_parse(struct core *c, const struct core_row *row, struct entry **out, struct errinfo *info);
void outbox_flush(struct core *c);
void outbox_offline(struct core *c);
void outbox_free(struct core *c);

/* ---- answer.c --------------------------------------------------------------------------------------------------- */

void answer_entry(struct core *c, struct entry *e, struct str type, const struct json *frame);
void answer_refused(struct core *c, struct entry *e, const struct json *error);

/* ---- sync.c ----------------------------------------------------------------------------------------------------- */

void sync_hello(struct core *c);
void sync_welcome(struct core *c, const struct json *frame);
void sync_changes(struct core *c, const struct ask *a, const struct json *frame);
void sync_refused(struct core *c, enum err e, const struct errinfo *info);
void sync_expired(struct core *c); /* the cursor is: everything again */
#define SYNC_GATHER_MS 200         /* what is sent and received within this time is one reason to sync */
void sync_want(struct core *c, int64_t in_ms);
void sync_offline(struct core *c);
void core_sync_tick(struct core *c);
int64_t sync_next_ms(const struct core *c);
int sync_percent(const struct core *c);
/* A record as on the wire; false: not a record. Tells of it when it is new. */
bool record_apply(struct core *c, const struct json *record, bool is_live);
void record_apply_text(struct core *c, struct str json);
struct record_row { /* of a stored value */
	uint32_t generation;
	int64_t place;
	struct str json;
};
bool record_row_parse(struct str value, struct record_row *out);
struct str record_key(struct str type, struct str name, char out[CORE_KEY_MAX + 1]);
/* The stored record, parsed; NULL: none. Free it with json_free. */
struct json_doc *record_read(const struct core *c, struct str type, struct str name);
bool is_forgotten(const struct core *c, struct str session);
void forgotten_add(struct core *c, struct str session);

/* ---- stream.c --------------------------------------------------------------------------------------------------- */

void stream_delta(struct core *c, const struct json *frame);
void stream_reset(struct core *c, const struct json *frame);
void core_stream_state(struct core *c, struct str request,
		       const struct json *fields); /* a Request's fields, or a push */
void stream_running(struct core *c, struct str conversation, const struct json *running);
void stream_committed(struct core *c, const struct json *message_fields);
void stream_mine(struct core *c, struct str request, struct str conversation);
void stream_refused(struct core *c, struct str request, enum err e, const struct json *frame);
void streams_offline(struct core *c);
void streams_free(struct core *c);

/* ---- seat.c ----------------------------------------------------------------------------------------------------- */

struct seat *seat_find(const struct core *c, struct str where);
bool seat_is_primary(const struct core *c, const struct seat *s);
void seat_has_left(struct core *c, struct str conversation); /* the daemon says so, or knows of none */
void seats_hello(struct core *c, struct jw *w);              /* the hello's member `joined` */
void seats_online(struct core *c);
void seats_offline(struct core *c);
void core_seats_tick(struct core *c);
int64_t core_seats_next_ms(const struct core *c);
void core_seats_free(struct core *c);
void seat_state(struct core *c, const struct ask *a, const struct json *frame);
void seat_left(struct core *c, const struct json *frame);
void seat_primary(struct core *c, const struct json *frame);
void seat_locked(struct core *c, const struct ask *a, const struct json *frame);
void seat_unlocked(struct core *c, const struct json *frame);
void seat_cleared(struct core *c, const struct json *frame);
void seat_stand_down(struct core *c, struct str session, const struct json *error);
void seat_refused(struct core *c, const struct ask *a, enum err e, const struct json *frame);
void seat_record(struct core *c, struct str type, struct str name, const struct json *fields);
void seat_learn(struct core *c, struct str conversation, struct str session);
/* The session this device believes the conversation is in; appends to out, nothing when it does not know. */
void session_of(const struct core *c, struct str conversation, struct buf *out);

/* ---- view.c ----------------------------------------------------------------------------------------------------- */

uint32_t type_number(struct str type); /* for record/merge.h: any own type is one */

#endif
