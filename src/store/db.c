#include "store/db.h"

#include <errno.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/hash.h"

static const char *const sql_text[] = {
#define X(sym, text) text,
	SQL_MAP(X)
#undef X
};

/* Counting every allocation under a lock is only for statistics that nobody reads. */
static void configure_sqlite(void) { (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }

static int note_frames(void *ctx, sqlite3 *h, const char *name, int frames)
{
	(void)h;
	(void)name;
	((struct db *)ctx)->wal_frames = frames;
	return SQLITE_OK;
}

static int past_deadline(void *ctx)
{
	const struct db *db = ctx;
	return db->deadline_ms != 0 && clock_boot_ms() > db->deadline_ms;
}

/* The errno of the last failed call on the database file or on the WAL. sqlite3_system_errno does not know it when the
 * error came up in a COMMIT. */
static int last_errno(sqlite3 *h, int which)
{
	sqlite3_file *f = NULL;
	int os = 0;
	if (sqlite3_file_control(h, "main", which, &f) != SQLITE_OK || f == NULL || f->pMethods == NULL) return 0;
	return f->pMethods->xFileControl(f, SQLITE_FCNTL_LAST_ERRNO, &os) == SQLITE_OK ? os : 0;
}

/* Does the errno behind an I/O error say that there is no room? fsync is not asked: after a failed one nobody knows what
 * is on the disk. SQLite itself turns only ENOSPC into SQLITE_FULL. */
static bool no_room_caused(sqlite3 *h, int rc)
{
	bool may = rc == SQLITE_IOERR_WRITE || rc == SQLITE_IOERR_TRUNCATE || rc == SQLITE_IOERR_SHMSIZE ||
		   rc == SQLITE_IOERR_SHMMAP || rc == SQLITE_IOERR_SHMOPEN;
	if (!may || h == NULL) return false;
	int db = last_errno(h, SQLITE_FCNTL_FILE_POINTER), wal = last_errno(h, SQLITE_FCNTL_JOURNAL_POINTER);
	bool other = (db != 0 && !os_has_no_room(db)) || (wal != 0 && !os_has_no_room(wal));
	return !other && (os_has_no_room(db) || os_has_no_room(wal));
}

static enum err meaning(sqlite3 *h, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE: return OK;
	case SQLITE_FULL: return ERR_STORAGE_FULL;
	case SQLITE_NOMEM: die(71, "out of memory");
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT: return ERR_CORRUPT;
	case SQLITE_READONLY:
	case SQLITE_PERM: return ERR_READ_ONLY;
	case SQLITE_CONSTRAINT: return ERR_EXISTS;
	case SQLITE_INTERRUPT:
	case SQLITE_BUSY: return ERR_OVERLOADED;
	case SQLITE_IOERR: return no_room_caused(h, rc) ? ERR_STORAGE_FULL : ERR_IO;
	case SQLITE_CANTOPEN: return ERR_IO;
	default: return ERR_INTERNAL;
	}
}

enum err db_err(struct db *db, int rc)
{
	int full_rc = db->h != NULL && (rc & 0xff) == rc && rc != SQLITE_OK ? sqlite3_extended_errcode(db->h) : rc;
	if ((full_rc & 0xff) != (rc & 0xff)) full_rc = rc;
	enum err e = meaning(db->h, full_rc);
	if (e == ERR_STORAGE_FULL) db->full = true;
	bool fatal = e == ERR_IO || e == ERR_CORRUPT || e == ERR_READ_ONLY;
	if (fatal && db->fatal == OK) {
		db->fatal = e;
		int os = db->h != NULL ? sqlite3_system_errno(db->h) : 0;
		(void)snprintf(db->fatal_text, sizeof db->fatal_text, "SQLite %d: %s%s%s", full_rc,
			       db->h != NULL ? sqlite3_errmsg(db->h) : sqlite3_errstr(full_rc),
			       e == ERR_IO && os != 0 ? ", " : "", e == ERR_IO && os != 0 ? strerror(os) : "");
	}
	return e;
}

enum err db_fail(struct db *db, int rc, const char *what, struct errinfo *info)
{
	enum err e = db_err(db, rc);
	const char *text = db->h != NULL ? sqlite3_errmsg(db->h) : sqlite3_errstr(rc);
	return e == OK ? OK : err_set(info, e, "%s: %s", what, text);
}

enum err db_exec(struct db *db, const char *sql) { return db_err(db, sqlite3_exec(db->h, sql, NULL, NULL, NULL)); }

enum err db_number(struct db *db, const char *sql, int64_t *out)
{
	struct q q = q_prepare(db, sql);
	*out = q_row(&q) ? q_get_int(&q, 0) : 0;
	return q_end(&q);
}

/* Cache sizes are in KiB. The writer's is sized to the leaves that a few thousand busy conversations dirty. */
static enum err configure(struct db *db, enum db_mode mode, const char *sync)
{
	char sql[400];
	(void)sqlite3_extended_result_codes(db->h, 1);
	(void)sqlite3_busy_timeout(db->h, mode == DB_COPY ? 0 : 5000);
	(void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, mode == DB_READER, NULL);
	if (mode == DB_READER) {
		sqlite3_progress_handler(db->h, 10000, past_deadline, db);
		return db_exec(db, "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2048; PRAGMA query_only=1;");
	}
	if (mode == DB_COPY) return db_exec(db, "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192;");
	(void)snprintf(sql, sizeof sql,
		       "PRAGMA page_size=4096; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384;"
		       "PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA journal_size_limit=67108864;",
		       sync);
	enum err e = db_exec(db, sql);
	sqlite3_wal_hook(db->h, note_frames, db); /* and no automatic checkpoints */
	return e;
}

enum err db_open(struct db *db, const char *path, enum db_mode mode, const char *sync, struct errinfo *info)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static const int flags[] = {
		[DB_WRITER] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		[DB_READER] = SQLITE_OPEN_READONLY,
		[DB_COPY] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	};
	(void)pthread_once(&once, configure_sqlite);
	*db = (struct db){.is_writer = mode == DB_WRITER};
	int rc = sqlite3_open_v2(path, &db->h, flags[mode] | SQLITE_OPEN_NOMUTEX, NULL);
	enum err e = db_err(db, rc);
	if (e == OK) e = configure(db, mode, sync);
	if (e == OK) return OK;
	int os = db->h != NULL ? sqlite3_system_errno(db->h) : 0;
	if ((rc & 0xff) == SQLITE_CANTOPEN && (os == EACCES || os == EROFS || os == EPERM)) e = ERR_READ_ONLY;
	e = err_set(info, e, "%s: %s", path, db->h != NULL ? sqlite3_errmsg(db->h) : "cannot be opened");
	db_close(db);
	return e;
}

void db_close(struct db *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		(void)sqlite3_finalize(db->st[i]);
		db->st[i] = NULL;
	}
	int rc = sqlite3_close(db->h);
	ASSERT_CMP(rc, ==, SQLITE_OK);
	db->h = NULL;
}

static struct q prepare(struct db *db, const char *sql, unsigned flags)
{
	struct q q = {.db = db, .own = true};
	q.rc = sqlite3_prepare_v3(db->h, sql, -1, flags, &q.st, NULL);
	return q;
}

struct q q_prepare(struct db *db, const char *sql) { return prepare(db, sql, 0); }

struct q q_begin(struct db *db, enum sql which)
{
	sqlite3_stmt *st = db->st[which];
	if (st != NULL && !sqlite3_stmt_busy(st)) return (struct q){.db = db, .st = st};
	struct q q = prepare(db, sql_text[which], SQLITE_PREPARE_PERSISTENT);
	if (st == NULL && q.rc == SQLITE_OK) {
		db->st[which] = q.st;
		q.own = false;
	}
	return q;
}

static void bound(struct q *q, int rc)
{
	if (q->rc == SQLITE_OK) q->rc = rc;
}

void q_int(struct q *q, int64_t v) { bound(q, sqlite3_bind_int64(q->st, ++q->nbound, v)); }
void q_real(struct q *q, double v) { bound(q, sqlite3_bind_double(q->st, ++q->nbound, v)); }

void q_int_or_null(struct q *q, int64_t v)
{
	if (v != 0) q_int(q, v);
	else bound(q, sqlite3_bind_null(q->st, ++q->nbound));
}

void q_text(struct q *q, struct str s)
{
	bound(q, sqlite3_bind_text64(q->st, ++q->nbound, s.p != NULL ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8));
}

void q_blob(struct q *q, struct str s)
{
	bound(q, s.p != NULL ? sqlite3_bind_blob64(q->st, ++q->nbound, s.p, s.n, SQLITE_STATIC)
			     : sqlite3_bind_null(q->st, ++q->nbound));
}

bool q_row(struct q *q)
{
	if (q->rc != SQLITE_OK && q->rc != SQLITE_ROW) return false;
	q->rc = sqlite3_step(q->st);
	return q->rc == SQLITE_ROW;
}

enum err q_end(struct q *q)
{
	/* The meaning first: a reset may replace the connection's error. */
	enum err e = db_err(q->db, q->rc);
	(void)(q->own ? sqlite3_finalize(q->st) : sqlite3_reset(q->st));
	return e;
}

enum err q_run(struct q *q)
{
	while (q_row(q)) {
	}
	return q_end(q);
}

int64_t q_get_int(const struct q *q, int col) { return sqlite3_column_int64(q->st, col); }

struct str q_get_str(const struct q *q, int col)
{
	if (sqlite3_column_type(q->st, col) == SQLITE_NULL) return STR_NONE;
	const char *p = sqlite3_column_blob(q->st, col);
	return str_n(p != NULL ? p : "", (size_t)sqlite3_column_bytes(q->st, col));
}

struct str q_copy_str(const struct q *q, int col, struct arena *a) { return arena_str(a, q_get_str(q, col)); }

uint64_t sum_ints(enum sum_of table, const int64_t *v, size_t n)
{
	return hash64(str_n((const char *)v, n * sizeof *v), (uint64_t)table);
}

/* The presence of a string counts: "" and none differ. */
uint64_t sum_str(uint64_t sum, struct str s) { return hash64(s, s.p != NULL ? sum : ~sum); }
