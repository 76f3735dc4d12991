/* The store: one SQLite file, one writer, durable before done.
 *
 * What it promises
 *  - A command is a C function that runs on the writer thread inside the write transaction. It reads, decides and writes
 *    with the txn_ verbs below; if it returns an error, nothing of it remains.
 *  - Commands that are queued together are committed together (group commit). `done` runs on the loop thread, in the
 *    order of submission, and only after the commit that holds the command is on disk (fsync).
 *  - Every row carries a checksum that is verified when it is read, and every zone the sum of its rows' checksums.
 *  - A full disk fails the commands with ERR_STORAGE_FULL and everything works again when space returns. An error from
 *    fsync, a short read or a corrupt page is fatal: nothing more is acknowledged, `fatal` is called, and the process
 *    must end; an fsync is never tried again. If the process lives on, the commands of that commit and all later ones
 *    end in ERR_IO, which here means that nobody knows whether they are on disk.
 *  - A row that fails its checksum is ERR_CORRUPT for the command that reads it, with a sentence that names the row.
 *
 * Threads: submit and poll on the loop thread only. `run` runs on the writer (store_submit) or on a reader
 * (store_read) and may touch only its own op. txn verbs only inside `run`. */
#ifndef ROOST_STORE_STORE_H
#define ROOST_STORE_STORE_H

#include <sys/queue.h>

#include "base/limits.h"
#include "record/merge.h"

struct store;
struct txn;

struct store_options {
	const char *dir;             /* holds roost.db, made when missing (0700) */
	const struct limits *limits; /* must outlive the store */
	bool weak_sync;              /* the planted fault of the power-cut test: synchronous=NORMAL */
	void (*wake)(void *ctx);     /* any thread: call store_poll soon */
	void (*fatal)(void *ctx, enum err e, const char *what); /* writer thread: the disk failed; end the process */
	void *ctx;
};

/* Takes DIR/roost.lock, migrates, starts the threads. ERR_LOCKED names the holder's pid; ERR_NEWER_SCHEMA, ERR_CORRUPT,
 * ERR_READ_ONLY as they say. */
MUST_USE enum err store_open(const struct store_options *o, struct store **out, struct errinfo *info);
/* Commits what is queued, runs the done callbacks, checkpoints, closes. */
void store_close(struct store *s);

uint64_t store_epoch(const struct store *s);      /* cursors of another epoch are expired */
int64_t store_incarnation(const struct store *s); /* grows with every open; voids the leases of the ones before */
/* Interned principals live as long as the store; any thread. */
const struct principal *store_principal(struct store *s, uint32_t id);
struct str store_type_name(struct store *s, uint32_t type);

/* A changed record, in feed order; memory of the op's arena. */
struct change {
	struct record rec;
	STAILQ_ENTRY(change) link;
};
STAILQ_HEAD(change_list, change);

struct store_op {
	enum err (*run)(struct txn *t, struct store_op *op); /* set op->info on errors worth a sentence */
	void (*done)(struct store_op *op);                   /* owns op again; op->err says how it went */
	void *ctx;                                           /* the submitter's; NULL after store_op_init */
	uint32_t actor;                                      /* principal on whose behalf records change */
	int64_t now_ms;                                      /* wall time the records will carry */
	size_t bytes;                                        /* rough size, counted against limits.writer_queue_bytes */
	bool repeatable; /* run may be called again from its start, after all it wrote was taken back: it sets its results
			  * anew and only reads its inputs. Cheaper: it shares its neighbours' savepoint */
	enum err err;
	struct errinfo info;
	struct arena arena;         /* for results; cleared by store_op_release */
	struct change_list changes; /* what run changed, in order */
	uint64_t commit;            /* the store's: which commit holds it; 0 none (a read, a failed batch) */
	STAILQ_ENTRY(store_op) link;
};
void store_op_init(struct store_op *op, enum err (*run)(struct txn *, struct store_op *),
		   void (*done)(struct store_op *), uint32_t actor, int64_t now_ms);
void store_op_release(struct store_op *op); /* clears the arena and the list */

/* Never refuses; the caller looks at store_queue_bytes first (past half: slow down; past all: ERR_OVERLOADED). */
void store_submit(struct store *s, struct store_op *op);
void store_read(struct store *s, struct store_op *op); /* run sees one committed snapshot and must not write */
size_t store_queue_bytes(const struct store *s);
/* How long the writer waits for company before it commits; 0 is at once. The host raises it while the queue is long. */
void store_set_window_us(struct store *s, int64_t us);

/* Runs the done callbacks of everything finished. For each committed op with changes `changed` is called just before
 * its done, and `batch_end` after the last op of a commit. Either may be NULL. */
struct store_hooks {
	void (*changed)(void *ctx, struct store_op *op);
	void (*batch_end)(void *ctx);
	void *ctx;
};
void store_set_hooks(struct store *s, const struct store_hooks *h);
void store_poll(struct store *s);

/* ---- verbs, inside run ------------------------------------------------------------------------------------------ */

struct arena *txn_arena(struct txn *t); /* the op's */
int64_t txn_now_ms(struct txn *t);      /* op->now_ms */
/* The principal of op->actor; ERR_NOT_FOUND when there is none. */
MUST_USE enum err txn_actor(struct txn *t, const struct principal **out);
/* Any principal, for as long as the store lives; ERR_NOT_FOUND. */
MUST_USE enum err txn_principal_get(struct txn *t, uint32_t id, const struct principal **out);

/* Principals and zones. */
MUST_USE enum err txn_principal(struct txn *t, int64_t user, struct str device_id, uint32_t *out);
/* The highest number given out; a device that is new gets a higher one. */
MUST_USE enum err txn_newest_principal(struct txn *t, uint32_t *out);
#define ZONE_HOME STR("roost")
/* ERR_NOT_FOUND when it does not exist and create is false; ERR_TOO_MANY past limits.zones_per_user. */
MUST_USE enum err txn_zone(struct txn *t, int64_t user, struct str name, bool create, uint32_t *out);
struct zone_info {
	uint32_t zone;
	int64_t user;
	struct str name;
	int64_t seq;     /* newest place */
	int64_t floor;   /* cursors below it are expired: tombstones were compacted */
	int64_t records; /* rows, tombstones too */
	uint64_t hash;   /* sum of the checksums of rows and graves */
};
MUST_USE enum err txn_zone_info(struct txn *t, uint32_t zone, struct zone_info *out);

/* Records. A record that a verb hands out has its strings in the op's arena. A tombstone is found like any record. Of
 * one that was folded away (txn_compact) name, type, conv, ord and origin are left: deleted, row 0, seq 0. */
MUST_USE enum err txn_get(struct txn *t, uint32_t zone, uint32_t type, struct str name, struct record *out);
MUST_USE enum err txn_get_row(struct txn *t, int64_t row, struct record *out);
/* Number of a type by name; an application's new one is made when `create`. */
MUST_USE enum err txn_type(struct txn *t, struct str name, bool create, uint32_t *out);
/* Inserts (r->row == 0) or updates the record, gives it the next place, the actor and the time, and adds it to the op's
 * changes. Sets row, seq, group, created_…, modified_…. Inserting a name that exists, or whose tombstone was folded
 * away, is ERR_EXISTS. An update wants the record as it was last read or put: an older copy is ERR_CONFLICT. */
MUST_USE enum err txn_put(struct txn *t, struct record *r);
/* Turns the record into a tombstone: fields dropped, name and origin kept. */
MUST_USE enum err txn_delete(struct txn *t, struct record *r);

typedef enum err (*record_fn)(void *ctx, const struct record *r); /* an error ends the walk and is returned */
/* Newest message first, those with ord < before_ord (0: all), at most `limit`; tombstones too, they keep their ord. */
MUST_USE enum err txn_messages(struct txn *t, uint32_t zone, int64_t conv, int64_t before_ord, int64_t limit,
			       record_fn fn, void *ctx);
MUST_USE enum err txn_last_ord(struct txn *t, uint32_t zone, int64_t conv, int64_t *out); /* 0 when none */
/* Requests that are open (state > 0), oldest first: of one conversation, or of all zones when conv is 0. */
MUST_USE enum err txn_open_requests(struct txn *t, uint32_t zone, int64_t conv, record_fn fn, void *ctx);

/* The feed: records with after < seq ≤ upto in order, at most `limit` (or some megabytes of fields) but never splitting
 * a group. *out_seq is the place to go on from, *out_more whether there is more up to `upto`. ERR_CURSOR_EXPIRED when
 * after < floor (and after != 0). */
MUST_USE enum err txn_feed(struct txn *t, uint32_t zone, int64_t after, int64_t upto, int64_t limit, record_fn fn,
			   void *ctx, int64_t *out_seq, bool *out_more);

/* record:save for one batch; the rules are in store/save.c. Each item has its own outcome. Returns OK, ERR_ATOMIC when an
 * atomic batch was taken back, ERR_TOO_LARGE past limits.batch_records, or a fault of the store. */
struct save_item {
	struct str type, name;     /* name STR_NONE: the store makes one */
	struct str change_tag;     /* STR_NONE: none was given */
	bool deleted;              /* a deletion */
	const struct json *fields; /* NULL for a deletion */
	bool trusted;              /* skip record_check_writable */
	struct str stamp;          /* POLICY_MERGE: the edit's, or STR_NONE */
	const struct json *base;   /* POLICY_MERGE: stamps by field, or NULL */
	enum err err;              /* out */
	struct errinfo info;       /* out */
	struct record rec;         /* out: as saved, or the server's one on ERR_CONFLICT */
	struct str conflicts;      /* out, POLICY_MERGE: see struct edit_result */
};
MUST_USE enum err txn_save(struct txn *t, uint32_t zone, struct save_item *items, size_t n, enum save_policy policy,
			   bool atomic);

/* An edit of a record whose type takes stamps (record/merge.h). What it replaces, or what of it loses, is kept as Revision
 * records in the same command; the design is in store/revise.c.
 *
 * txn_edit applies it to the record as it was just read: live, a tombstone (then everything the edit says is only kept),
 * or new (row 0, not deleted; it is made). txn_edit_delete deletes it, with the revisions that the deleter had seen, of a
 * long history the older ones in txn_compact; over a tombstone only the revisions go. ERR_BAD_FIELD for a stamp that is none or another device's, for a base that is not
 * older, and for a value that does not fit the field. */
struct edit {
	const struct json *fields; /* see struct merge_edit */
	struct str stamp;          /* STR_NONE: one of now, of the actor */
	/* Stamps by field. Without stamp and base, whatever is stored was seen; NULL with a stamp: first values only. */
	const struct json *base;
};
struct edit_result {
	bool changed; /* the record is another than before */
	/* JSON: [{"field","kept":"ours|theirs","revision","deleted"?}], STR_NONE when there are none. */
	struct str conflicts;
};
MUST_USE enum err txn_edit(struct txn *t, struct record *r, const struct edit *edit, struct edit_result *out,
			   struct errinfo *info);
/* What txn_edit would make of it: r->fields, and nothing is written. */
MUST_USE enum err txn_edit_preview(struct txn *t, struct record *r, const struct edit *edit, struct errinfo *info);
MUST_USE enum err txn_edit_delete(struct txn *t, struct record *r, const struct edit *edit, struct edit_result *out,
				  struct errinfo *info);

/* record:query. Filters are ANDed. Which fields are indexed: the system fields name, createdAt, modifiedAt; for the
 * daemon's types those in the table in store/index.c; Messages by conversationId (eq) and ord; for an application's
 * types every top-level scalar. A filter or sort on another field is ERR_BAD_FIELD that lists the indexed ones.
 *
 * Comparisons find values of their own kind only: numbers (true and false are 1 and 0) or text, bytewise. A filter's
 * text is at most 256 bytes; of longer stored text, only that much counts for the order. ne is also met by records
 * without the field. Records without the field that is sorted by come last. Tombstones are never found. A page may hold
 * fewer records than asked for, even none, and still have a cursor: the end is where there is no cursor. */
enum query_op { Q_EQ, Q_NE, Q_LT, Q_LE, Q_GT, Q_GE, Q_IN, Q_BEGINS };
struct query {
	struct str type;
	const struct json *filter; /* [{"field","op":"eq|ne|lt|le|gt|ge|in|beginsWith","value"}] or NULL */
	const struct json *sort; /* [{"field","ascending":true}], at most one, or NULL: an order that stays the same */
	int64_t limit;           /* 0: limits.page_records, which is also the most */
	struct str cursor;       /* from the page before, or STR_NONE */
};
MUST_USE enum err txn_query(struct txn *t, uint32_t zone, const struct query *q, record_fn fn, void *ctx,
			    struct str *out_cursor /* STR_NONE when that was the last page */, struct errinfo *info);

/* Streams. Running text is a log of chunks; a finished attempt is folded into one row. */
enum stream_kind { STREAM_TEXT = 0, STREAM_THINKING = 1 };
struct chunk {
	int64_t id;      /* grows */
	int64_t request; /* row of the Request */
	int64_t attempt;
	enum stream_kind kind;
	int64_t offset; /* UTF-8 bytes before this chunk */
	struct str text;
};
MUST_USE enum err txn_chunk_add(struct txn *t, struct chunk *c); /* sets id */
typedef enum err (*chunk_fn)(void *ctx, const struct chunk *c);
MUST_USE enum err txn_chunks(struct txn *t, chunk_fn fn, void *ctx); /* all, oldest first: at start only */
MUST_USE enum err txn_chunks_trim(struct txn *t, int64_t below_id);
struct stream_row {
	int64_t request, attempt;
	enum stream_kind kind;
	struct str status; /* "done", "superseded", "failed", "stopped" */
	struct str text;
};
MUST_USE enum err txn_stream_close(struct txn *t, const struct stream_row *s); /* a second close of one is ignored */
MUST_USE enum err txn_stream_get(struct txn *t, int64_t request, int64_t attempt, enum stream_kind kind,
				 struct stream_row *out);

/* Users, credentials, pairing codes. Hashes are SHA-256. */
struct user_row {
	int64_t user;
	struct str id, name;
	bool disabled;
	int64_t created_ms;
};
MUST_USE enum err txn_user_add(struct txn *t, struct str name, struct user_row *out); /* ERR_EXISTS */
MUST_USE enum err txn_user_find(struct txn *t, struct str name_or_id, struct user_row *out);
MUST_USE enum err txn_user_by_number(struct txn *t, int64_t user, struct user_row *out);
MUST_USE enum err txn_user_disable(struct txn *t, int64_t user, bool disabled);
typedef enum err (*user_fn)(void *ctx, const struct user_row *u);
MUST_USE enum err txn_users(struct txn *t, user_fn fn, void *ctx);

struct cred_row {
	uint32_t principal;
	int64_t user;
	struct str user_id, user_name, device_id;
	bool revoked, user_disabled;
	int64_t created_ms;
};
MUST_USE enum err txn_cred_add(struct txn *t, uint32_t principal, const unsigned char hash[32]);
MUST_USE enum err txn_cred_find(struct txn *t, const unsigned char hash[32], struct cred_row *out);
MUST_USE enum err txn_cred_revoke(struct txn *t, uint32_t principal); /* all of that device's */
typedef enum err (*cred_fn)(void *ctx, const struct cred_row *c);
MUST_USE enum err txn_creds(struct txn *t, int64_t user, cred_fn fn, void *ctx); /* user 0: all */
MUST_USE enum err txn_pair_add(struct txn *t, const unsigned char hash[32], int64_t user, int64_t expires_ms);
/* Takes the code: it works once. ERR_PAIRING when unknown, used or expired. Old codes are swept here. */
MUST_USE enum err txn_pair_take(struct txn *t, const unsigned char hash[32], int64_t *out_user);

/* Attachments: the bytes are files, the store knows whose they are and who refers to them. */
struct asset_row {
	unsigned char hash[32];
	int64_t user, size, created_ms, refs;
};
MUST_USE enum err txn_asset_add(struct txn *t, const struct asset_row *a); /* there already: OK, created_ms renewed */
MUST_USE enum err txn_asset_get(struct txn *t, int64_t user, const unsigned char hash[32], struct asset_row *out);
MUST_USE enum err txn_asset_ref(struct txn *t, int64_t user, const unsigned char hash[32], int64_t delta);
typedef enum err (*asset_fn)(void *ctx, const struct asset_row *a);
MUST_USE enum err txn_assets_unreferenced(struct txn *t, int64_t created_before_ms, asset_fn fn, void *ctx);
MUST_USE enum err txn_asset_drop(struct txn *t, int64_t user, const unsigned char hash[32]);
MUST_USE enum err txn_asset_exists(struct txn *t, const unsigned char hash[32]); /* for any user */

/* Tallies: numbers by name that are no record's. One that is not there is 0. */
MUST_USE enum err txn_tally(struct txn *t, struct str name, int64_t *out);
MUST_USE enum err txn_tally_add(struct txn *t, struct str name, int64_t add); /* stops at INT64_MAX */

/* ---- care ------------------------------------------------------------------------------------------------------- */

/* Retention, one bounded step inside run: folds away streams and tombstones older than the limits say, and goes on with
 * what deletions left to do (sweep.c). *out_more when there may be more to do, in another command. */
MUST_USE enum err txn_compact(struct txn *t, int64_t now_ms, bool *out_more);

struct store_status {
	int64_t db_bytes, wal_bytes, records, tombstones, chunks, chunk_bytes, streams, users, devices, zones, assets;
	int64_t commits, commands, checkpoints; /* since start */
	int64_t queue_bytes, schema_version, incarnation;
};
MUST_USE enum err txn_status(struct txn *t, struct store_status *out); /* on a reader */

/* A consistent copy of the running store to `path` (must not exist: ERR_EXISTS), made through a reader of its own;
 * durable when it returns OK. Blocking: call it on a thread of its own or inside a store_read op. The WAL grows while it
 * runs, and a live store_check does the same. */
MUST_USE enum err store_backup(struct store *s, const char *path, struct errinfo *info);
/* Puts a backup in the place of DIR/roost.db (which is moved to roost.db.before-restore) under a new epoch. Daemon off. */
MUST_USE enum err store_restore(const char *dir, const char *backup, struct errinfo *info);
/* Verifies everything of the store in `dir` and reports each finding through `say` (a sentence, error or not). Daemon
 * off, or `live`: through a reader of the running store. ERR_CORRUPT when anything was wrong. */
MUST_USE enum err store_check(const char *dir, struct store *live, void (*say)(void *ctx, bool bad, const char *what),
			      void *ctx, struct errinfo *info);

#endif
