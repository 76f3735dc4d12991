/* Inside the store: what its own files share. Nothing else includes this, save tests and benchmarks of the store.
 *
 * The writer keeps the counters of each zone it has seen in memory and writes them once per commit. Every change of
 * them is noted in an undo log, so that a savepoint or a whole transaction that is rolled back takes them along. */
#ifndef ROOST_STORE_TXN_H
#define ROOST_STORE_TXN_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "base/id.h"
#include "store/db.h"
#include "store/store.h"

/* ---- what every thread may look up ------------------------------------------------------------------------------ */

/* Principals and types by number. Numbers are given out by the writer and never twice in one life of the process, so an
 * entry whose transaction was rolled back is only unused. Entries never move or change. */
struct intern {
	pthread_mutex_t lock;
	const struct principal **principals; /* [number - 1], NULL where none is */
	size_t nprincipals, principal_cap;
	struct str *types; /* [number - RT_FIRST_OWN] */
	size_t ntypes, type_cap;
	struct arena arena;
};
void intern_init(struct intern *in);
void intern_release(struct intern *in);
/* Reads both tables; at start. */
MUST_USE enum err intern_load(struct intern *in, struct db *db, struct errinfo *info);
const struct principal *intern_principal(struct intern *in, uint32_t id);
struct str intern_type(struct intern *in, uint32_t type);

/* ---- zones ------------------------------------------------------------------------------------------------------- */

struct zone_counts {
	int64_t seq, floor, records;
	uint64_t hash;
};
struct zone {
	uint32_t id;
	int64_t user;
	struct str name;        /* heap */
	struct zone_counts now; /* as the transaction sees it */
	uint32_t daemon;        /* principal of the user's daemon, 0 not looked up yet */
	uint64_t mark;          /* the undo mark of its newest log entry */
	int64_t group;          /* first place of the running command */
	uint64_t group_command; /* which command that is */
	bool is_dirty;          /* in the log and not yet written */
	UT_hash_handle hh;      /* by id */
};
struct zone_undo {
	struct zone *zone;
	struct zone_counts was;
	bool created; /* by the transaction: forget the zone altogether */
};
struct zones {
	struct zone *by_id;
	struct zone_undo *log;
	size_t nlog, cap;
	uint64_t mark; /* from 1; grows with every savepoint, roll back and commit */
	uint32_t next_id;
};
void zones_release(struct zones *z);
/* The zone, loaded when it was not yet; ERR_NOT_FOUND. On the writer only. */
MUST_USE enum err zone_get(struct txn *t, uint32_t id, struct zone **out);
/* Call before changing z->now. */
void zone_touch(struct txn *t, struct zone *z);
/* Takes back every change since the log had `nlog` entries. */
void zones_undo(struct zones *z, size_t nlog);
MUST_USE enum err zones_write(struct txn *t); /* the dirty ones, before a commit */
void zones_committed(struct zones *z);

#define SWEEP_KEY_CAP 300 /* of a mark in meta, see sweep.c */

/* ---- transactions ------------------------------------------------------------------------------------------------ */

struct txn {
	struct store *store;
	struct db *db;
	struct intern *intern;
	const struct limits *limits;
	struct store_op *op; /* the command that runs */
	uint64_t command;    /* its number */
	/* writer only */
	struct zones zones;
	bool wrote;                                                   /* the running command wrote something */
	enum { BACK_NOWHERE, BACK_TO_BEGIN, BACK_TO_SAVEPOINT } back; /* what its group wrote is taken back to there */
	bool has_kept;                                                /* an earlier group of the transaction wrote */
	size_t undo_from;                                             /* length of the undo log then */
	struct store_op *group;                                       /* the group's first command */
	size_t ngroup;                                                /* commands in it */
	int64_t next_row, next_chunk, next_user; /* numbers to give out; never again, also after a roll back */
	char swept[SWEEP_KEY_CAP];               /* the walk that made the last step, "" none */
};
/* Every verb that writes calls this first: opens the savepoint at the first write. */
MUST_USE enum err txn_touch(struct txn *t);
void command_reset(struct txn *t); /* at the beginning of a transaction */
/* Runs the batch's next command; its outcome may still change until command_end, which comes before the commit. */
void command_run(struct txn *t, struct store_op *op);
void command_end(struct txn *t);
/* The disk was full or failed: nothing counts any more, the transaction is to be rolled back as a whole. */
bool command_spoilt(const struct txn *t);
/* A part of a command that may be taken back by itself. */
struct txn_part {
	size_t undo_from, nchanges;
	struct change *changes; /* copies, as they were */
	bool wrote;
};
MUST_USE enum err txn_part_begin(struct txn *t, struct txn_part *p);
MUST_USE enum err txn_part_end(struct txn *t, struct txn_part *p, bool keep);

/* What only the running store knows of its status. */
void store_counters(struct store *s, struct store_status *out);
const char *store_path(const struct store *s);

/* ---- files ------------------------------------------------------------------------------------------------------- */

struct migration {
	int64_t version;
	const char *sql;
};
/* Brings the store in `db` to the newest version of the list in one transaction, after a copy to PATH.v<old>.bak.
 * Nothing is copied for an empty file. ERR_NEWER_SCHEMA. */
MUST_USE enum err schema_migrate(struct db *db, const char *path, const struct migration *list, size_t n,
				 struct errinfo *info);
extern const struct migration store_migrations[];
extern const size_t store_migration_count;
MUST_USE enum err meta_get(struct db *db, const char *key, int64_t *out); /* 0 when there is none */
MUST_USE enum err meta_set(struct db *db, const char *key, int64_t value);

/* Copies what `db` sees into the new file `to`, mode 0600; durable when it returns OK. ERR_EXISTS. */
MUST_USE enum err db_copy(struct db *db, const char *to, struct errinfo *info);
MUST_USE enum err dir_make(const char *dir, struct errinfo *info); /* with its parents, 0700 */
MUST_USE enum err dir_sync(const char *dir, struct errinfo *info);
/* The lock of a data directory: held until the descriptor is closed. */
MUST_USE enum err dir_lock(const char *dir, int *out_fd, struct errinfo *info);
char *path_join(const char *dir, const char *name); /* heap */

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* Reads the columns RECORD_COLS of the current row and verifies the checksum: ERR_CORRUPT names the record. */
MUST_USE enum err record_load(struct txn *t, const struct q *q, struct record *out, uint64_t *out_sum);
uint64_t grave_sum(const struct record *r);
/* A record whose tombstone was folded away; ERR_NOT_FOUND. */
MUST_USE enum err grave_get(struct txn *t, uint32_t zone, uint32_t type, struct str name, struct record *out);
MUST_USE enum err grave_drop(struct txn *t, const struct record *r);
/* Removes a tombstone's row and digs its grave. */
MUST_USE enum err record_bury(struct txn *t, const struct record *r);

/* A save that knew nothing of stamps turned a record's fields into `saved`: sets r->fields, stamped where they are
 * different, and keeps what was typed. `is_new`: the record begins a life, and has no stamps. */
MUST_USE enum err edit_saved(struct txn *t, struct record *r, struct str saved, bool is_new, struct errinfo *info);
/* The name of the Revision that is a version of the record. */
struct id revision_id(struct txn *t, const struct record *r, struct str field, struct str stamp);
/* Turns a Revision, or the beginning of one, into a tombstone. */
MUST_USE enum err revision_bury(struct txn *t, struct record *rev);
/* A deletion buried versions of the record: the first step of what follows, and a mark when there is more. */
MUST_USE enum err sweep_begin(struct txn *t, const struct record *r);
/* One step of a walk that is marked. *out_more is set when there was one, and else left. */
MUST_USE enum err sweep_next(struct txn *t, bool *out_more);
/* What idx can hold of an application's record is bounded: ERR_TOO_LARGE past `most` (limits.indexed_fields). */
MUST_USE enum err check_fields(uint32_t type, struct str fields, int64_t most, struct errinfo *info);

/* Keeps idx in step with a record: was NULL for a new one, is NULL for one that goes away (or a tombstone). */
MUST_USE enum err index_update(struct txn *t, const struct record *was, const struct record *is);

#define INDEX_VALUE_MAX 256
struct index_value {
	enum index_kind { IV_NONE, IV_INT, IV_REAL, IV_TEXT } kind;
	int64_t i;
	double d;
	struct str s;
};
/* Is this field of the type indexed in idx? */
bool index_has(uint32_t type, struct str field);
bool index_is_time(struct str field); /* createdAt, modifiedAt */
/* The comma list of what idx holds for the type; "*" for an application's. */
struct str index_list(uint32_t type);
/* The value of a field, whole; IV_NONE when it is absent or no scalar. true and false are 1 and 0. */
struct index_value index_value_of(const struct record *r, const struct json *fields, struct str field);
struct index_value index_value_json(const struct json *v);
void index_bind(struct q *q, const struct index_value *v);
int index_compare(const struct index_value *a, const struct index_value *b); /* as SQLite orders them */

#endif
