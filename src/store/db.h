/* One connection to roost.db: prepared statements, typed binding, and what an SQLite result code means here.
 *
 * A struct db belongs to one thread at a time. Faults that end the store (an I/O error, a corrupt page) are remembered
 * in `fatal` as well as returned; a full disk is not one of them. */
#ifndef ROOST_STORE_DB_H
#define ROOST_STORE_DB_H

#include <sqlite3.h>

#include "base/arena.h"
#include "store/sql.h"

enum db_mode {
	DB_WRITER, /* commits and checkpoints: one per store */
	DB_READER, /* sees committed snapshots, never checkpoints */
	DB_COPY    /* a file of its own that is being made or looked at: no WAL is expected */
};

struct db {
	sqlite3 *h;
	sqlite3_stmt *st[SQL_COUNT]; /* prepared at first use */
	bool is_writer;
	bool full;      /* a statement met a full disk since it was last cleared */
	enum err fatal; /* OK until the disk failed */
	char fatal_text[160];
	int wal_frames;      /* in the WAL after the last commit */
	int64_t deadline_ms; /* boot time after which a reader is interrupted; 0 none */
};

/* `sync` is for PRAGMA synchronous: "FULL". ERR_READ_ONLY, ERR_CORRUPT, ERR_IO, ERR_STORAGE_FULL. */
MUST_USE enum err db_open(struct db *db, const char *path, enum db_mode mode, const char *sync, struct errinfo *info);
void db_close(struct db *db);
/* Runs any number of statements that give no rows; only for schema and pragmas. */
MUST_USE enum err db_exec(struct db *db, const char *sql);
/* Gives a result code its meaning and remembers what must be remembered. */
enum err db_err(struct db *db, int rc);
/* The same, with SQLite's sentence. */
enum err db_fail(struct db *db, int rc, const char *what, struct errinfo *info);
/* The one number that `sql` gives. */
MUST_USE enum err db_number(struct db *db, const char *sql, int64_t *out);

/* A statement in use: begin, bind in order, step while q_row, read columns, end. A statement that is in use already
 * (a walk inside a walk) is prepared a second time. Bound memory must live until q_end. */
struct q {
	struct db *db;
	sqlite3_stmt *st;
	int rc, nbound;
	bool own; /* finalized by q_end */
};
struct q q_begin(struct db *db, enum sql which);
struct q q_prepare(struct db *db, const char *sql); /* not kept */
void q_int(struct q *q, int64_t v);
void q_int_or_null(struct q *q, int64_t v); /* 0 is NULL */
void q_real(struct q *q, double v);
void q_text(struct q *q, struct str s);
void q_blob(struct q *q, struct str s); /* STR_NONE is NULL */
bool q_row(struct q *q);
enum err q_end(struct q *q);
enum err q_run(struct q *q); /* steps to the end, then ends */

int64_t q_get_int(const struct q *q, int col);
struct str q_get_str(const struct q *q, int col); /* text or blob; dies with the next step */
struct str q_copy_str(const struct q *q, int col, struct arena *a);

/* Row checksums: numbers first, then strings, each hashed over what came before. The seed tells tables apart. */
enum sum_of {
	SUM_RECORD = 1,
	SUM_GRAVE,
	SUM_ZONE,
	SUM_USER,
	SUM_PRINCIPAL,
	SUM_CRED,
	SUM_PAIR,
	SUM_CHUNK,
	SUM_STREAM,
	SUM_ASSET
};
uint64_t sum_ints(enum sum_of table, const int64_t *v, size_t n);
uint64_t sum_str(uint64_t sum, struct str s);
#define SUM_INTS(table, ...)                                                                                           \
	sum_ints(table, (const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

#endif
