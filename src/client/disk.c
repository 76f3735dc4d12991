/* The file.
 *
 *   self      key, value                   what the shell keeps: deviceId, token
 *   meta, outbox, forgotten   key, value   the core's, uninterpreted
 *   record    key, value and what lists are made of: type, name, conversation, session, ord, deleted, generation
 *   migration version, at                  one row for each version of the schema this file has been through
 *
 * WAL with synchronous=FULL: a commit is one write and one fsync. locking_mode=EXCLUSIVE, because there is one user; it
 * also keeps the WAL's index in memory instead of a mapped file, where a full disk would be a SIGBUS.
 *
 * Waiting batches. Each is copied when it is put and applied to the open transaction at once, so that reads through the
 * same connection see it. When a statement fails, the transaction is rolled back and `applied` becomes 0: from then on
 * reads look through the copies first, newest first, and the next flush applies them all again. Of a record that is only
 * in the file, or in an older copy, it must still be asked whether a newer batch removed it by its generation or its
 * session; `struct found` carries what is needed for that. */
#include "client/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"

#define SCHEMA_VERSION 1
#define APPLICATION_ID 0x526f6f63 /* "Rooc" */
#define CACHE_KIB 2048

enum sql {
	SQL_PUT, /* + table: four each */
	SQL_DROP = SQL_PUT + CORE_FORGOTTEN + 1,
	SQL_READ = SQL_DROP + CORE_FORGOTTEN + 1,
	SQL_ALL = SQL_READ + CORE_FORGOTTEN + 1,
	SQL_DROP_BELOW = SQL_ALL + CORE_FORGOTTEN + 1,
	SQL_FORGET,
	SQL_NAMES,
	SQL_NAMES_IN,
	SQL_SELF_GET,
	SQL_SELF_SET,
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_COUNT
};

#define ROWS_OF(table, X_)                                                                                             \
	[SQL_PUT + (X_)] = "INSERT INTO " table "(key,value) VALUES(?1,?2)"                                            \
			   " ON CONFLICT(key) DO UPDATE SET value=excluded.value",                                     \
		   [SQL_DROP + (X_)] = "DELETE FROM " table " WHERE key=?1",                                           \
		   [SQL_READ + (X_)] = "SELECT value,0,'','' FROM " table " WHERE key=?1",                             \
		   [SQL_ALL + (X_)] = "SELECT key,value FROM " table " ORDER BY key"

static const char *const sql_text[SQL_COUNT] = {
	ROWS_OF("meta", CORE_META),
	ROWS_OF("outbox", CORE_OUTBOX),
	ROWS_OF("forgotten", CORE_FORGOTTEN),
	[SQL_PUT + CORE_RECORD] = "INSERT OR REPLACE INTO record(key,value,type,name,conversation,session,ord,deleted,"
				  "generation) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)",
	[SQL_DROP + CORE_RECORD] = "DELETE FROM record WHERE key=?1",
	[SQL_READ + CORE_RECORD] = "SELECT value,generation,type,session FROM record WHERE key=?1",
	[SQL_ALL + CORE_RECORD] = "SELECT key,value FROM record ORDER BY key",
	[SQL_DROP_BELOW] = "DELETE FROM record WHERE generation<?1",
	[SQL_FORGET] = "DELETE FROM record WHERE session=?1 AND type='Message'",
	[SQL_NAMES] = "SELECT name FROM record WHERE type=?1 AND deleted=0 ORDER BY name",
	[SQL_NAMES_IN] = "SELECT name FROM record WHERE type=?1 AND conversation=?2 AND deleted=0 ORDER BY ord,name",
	[SQL_SELF_GET] = "SELECT value FROM self WHERE key=?1",
	[SQL_SELF_SET] = "INSERT INTO self(key,value) VALUES(?1,?2)"
			 " ON CONFLICT(key) DO UPDATE SET value=excluded.value",
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
};

/* migrations[n] makes version n + 1 out of version n. */
static const char *const migrations[SCHEMA_VERSION] = {
	"CREATE TABLE self(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE outbox(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE forgotten(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE record(key TEXT PRIMARY KEY, value TEXT NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL,"
	" conversation TEXT NOT NULL, session TEXT NOT NULL, ord INTEGER NOT NULL, deleted INTEGER NOT NULL,"
	" generation INTEGER NOT NULL);"
	"CREATE INDEX record_names ON record(type, name);"
	"CREATE INDEX record_places ON record(type, conversation, ord);"
	"CREATE INDEX record_sessions ON record(session) WHERE session<>'';"
	"CREATE INDEX record_generations ON record(generation);"
	"CREATE TABLE migration(version INTEGER PRIMARY KEY, at TEXT NOT NULL);",
};

struct waiting {
	STAILQ_ENTRY(waiting) link;
	struct core_batch batch; /* its rows and strings behind this */
	struct core_row rows[];
};

struct disk {
	sqlite3 *h;
	sqlite3_stmt *st[SQL_COUNT]; /* prepared when the file is opened */
	int lock;                    /* FILE-lock */
	STAILQ_HEAD(, waiting) waiting;
	bool is_lost; /* an fsync failed: nobody knows what is on the disk, and asking again would hide it */
	size_t nwaiting, applied; /* of the waiting ones, how many are in the open transaction: all or none */
};

/* ---- errors ----------------------------------------------------------------------------------------------------- */

static enum err meaning(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE: return OK;
	case SQLITE_NOMEM: return ERR_NOMEM;
	case SQLITE_FULL: return ERR_STORAGE_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return ERR_LOCKED;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT: return ERR_CORRUPT;
	case SQLITE_READONLY:
	case SQLITE_PERM: return ERR_READ_ONLY;
	case SQLITE_IOERR: return rc == SQLITE_IOERR_NOMEM ? ERR_NOMEM : ERR_IO;
	case SQLITE_CANTOPEN: return ERR_IO;
	default: return ERR_INTERNAL;
	}
}

/* The errno of the last failed call on the file or on its WAL. sqlite3_system_errno does not know it after a COMMIT. */
static int last_errno(sqlite3 *h, int which)
{
	sqlite3_file *f = NULL;
	int os = 0;
	if (sqlite3_file_control(h, "main", which, &f) != SQLITE_OK || f == NULL || f->pMethods == NULL) return 0;
	return f->pMethods->xFileControl(f, SQLITE_FCNTL_LAST_ERRNO, &os) == SQLITE_OK ? os : 0;
}

/* SQLite itself takes only ENOSPC for a full disk. */
static bool no_room_caused(sqlite3 *h, int rc)
{
	bool may = rc == SQLITE_IOERR_WRITE || rc == SQLITE_IOERR_TRUNCATE;
	return may && h != NULL &&
	       (os_has_no_room(last_errno(h, SQLITE_FCNTL_FILE_POINTER)) ||
		os_has_no_room(last_errno(h, SQLITE_FCNTL_JOURNAL_POINTER)));
}

static enum err failed(struct disk *d, int rc, struct errinfo *info)
{
	int full_rc = d->h != NULL && rc != SQLITE_OK && (rc & 0xff) == rc ? sqlite3_extended_errcode(d->h) : rc;
	if ((full_rc & 0xff) == (rc & 0xff)) rc = full_rc;
	enum err e = meaning(rc);
	if (e == OK) return OK;
	if (no_room_caused(d->h, rc)) e = ERR_STORAGE_FULL;
	if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC) d->is_lost = true;
	return err_set(info, e, "the device's file: %s", d->h != NULL ? sqlite3_errmsg(d->h) : sqlite3_errstr(rc));
}

static int run(struct disk *d, const char *sql) { return sqlite3_exec(d->h, sql, NULL, NULL, NULL); }

/* ---- statements -------------------------------------------------------------------------------------------------- */

static int bind(sqlite3_stmt *st, int at, struct str s)
{
	return sqlite3_bind_text64(st, at, s.p != NULL ? s.p : "", s.n, SQLITE_STATIC, SQLITE_UTF8);
}

static struct str column(sqlite3_stmt *st, int i)
{
	const char *p = (const char *)sqlite3_column_text(st, i);
	return str_n(p != NULL ? p : "", p != NULL ? (size_t)sqlite3_column_bytes(st, i) : 0);
}

/* Steps a statement that gives no rows, and lets go of what was bound. */
static int finish(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int put_row(struct disk *d, const struct core_row *r)
{
	sqlite3_stmt *st = d->st[(r->value.p == NULL ? (int)SQL_DROP : (int)SQL_PUT) + (int)r->table];
	int rc = bind(st, 1, r->key);
	if (r->value.p != NULL && rc == SQLITE_OK) rc = bind(st, 2, r->value);
	if (r->value.p != NULL && r->table == CORE_RECORD) {
		const struct str texts[] = {r->type, r->name, r->conversation, r->session};
		const int64_t numbers[] = {r->ord, r->deleted, r->generation};
		for (int i = 0; i < 4 && rc == SQLITE_OK; i++) rc = bind(st, 3 + i, texts[i]);
		for (int i = 0; i < 3 && rc == SQLITE_OK; i++) rc = sqlite3_bind_int64(st, 7 + i, numbers[i]);
	}
	if (rc != SQLITE_OK) {
		(void)sqlite3_clear_bindings(st);
		return rc;
	}
	return finish(st);
}

/* SQLite's own word: it ends a transaction by itself after some failures, and a rollback may fail. What such a one left
 * does no harm, because everything is applied again over it. */
static bool is_in_txn(const struct disk *d) { return sqlite3_get_autocommit(d->h) == 0; }

static int apply(struct disk *d, const struct core_batch *b)
{
	int rc = is_in_txn(d) ? SQLITE_OK : finish(d->st[SQL_BEGIN]);
	if (rc == SQLITE_OK && b->drop_below != 0) {
		rc = sqlite3_bind_int64(d->st[SQL_DROP_BELOW], 1, b->drop_below);
		if (rc == SQLITE_OK) rc = finish(d->st[SQL_DROP_BELOW]);
	}
	if (rc == SQLITE_OK && b->forget_session.n > 0) {
		rc = bind(d->st[SQL_FORGET], 1, b->forget_session);
		if (rc == SQLITE_OK) rc = finish(d->st[SQL_FORGET]);
	}
	for (size_t i = 0; i < b->nrows && rc == SQLITE_OK; i++) rc = put_row(d, &b->rows[i]);
	return rc;
}

static void roll_back(struct disk *d)
{
	if (is_in_txn(d)) (void)finish(d->st[SQL_ROLLBACK]);
	d->applied = 0;
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

#define ROW_STRINGS(r)                                                                                                 \
	{                                                                                                              \
		&(r)->key, &(r)->value, &(r)->type, &(r)->name, &(r)->conversation, &(r)->session                      \
	}

static struct str keep(char **at, struct str s)
{
	if (s.p == NULL) return STR_NONE;
	struct str copy = str_n(*at, s.n);
	if (s.n > 0) memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

static struct waiting *copy_batch(const struct core_batch *b)
{
	size_t size = sizeof(struct waiting) + xmul(b->nrows, sizeof *b->rows) + b->forget_session.n;
	for (size_t i = 0; i < b->nrows; i++) {
		const struct str *const strings[] = ROW_STRINGS(&b->rows[i]);
		for (size_t k = 0; k < ARRAY_LEN(strings); k++) size += strings[k]->n;
	}
	struct waiting *w = xmalloc(size);
	char *at = (char *)&w->rows[b->nrows];
	w->batch = *b;
	w->batch.rows = w->rows;
	w->batch.forget_session = keep(&at, b->forget_session);
	for (size_t i = 0; i < b->nrows; i++) {
		w->rows[i] = b->rows[i];
		struct str *const strings[] = ROW_STRINGS(&w->rows[i]);
		for (size_t k = 0; k < ARRAY_LEN(strings); k++) *strings[k] = keep(&at, *strings[k]);
	}
	return w;
}

void disk_put(struct disk *d, const struct core_batch *batch)
{
	struct waiting *w = copy_batch(batch);
	STAILQ_INSERT_TAIL(&d->waiting, w, link);
	if (d->applied == d->nwaiting++ && apply(d, &w->batch) == SQLITE_OK) d->applied++;
	else roll_back(d);
}

void disk_take_back(struct disk *d, uint64_t number)
{
	for (struct waiting *w = STAILQ_FIRST(&d->waiting), *next; w != NULL; w = next) {
		next = STAILQ_NEXT(w, link);
		if (w->batch.number <= number) continue;
		roll_back(d);
		STAILQ_REMOVE(&d->waiting, w, waiting, link);
		free(w);
		d->nwaiting--;
	}
}

bool disk_is_dirty(const struct disk *d) { return d->nwaiting > 0; }

enum err disk_flush(struct disk *d, uint64_t *out_number, struct errinfo *info)
{
	struct waiting *w;
	int rc = SQLITE_OK;
	if (d->is_lost) return err_set(info, ERR_IO, "the disk failed; the device has to be opened again");
	if (d->applied == 0)
		STAILQ_FOREACH (w, &d->waiting, link) {
			rc = apply(d, &w->batch);
			if (rc != SQLITE_OK) break;
			d->applied++;
		}
	if (rc == SQLITE_OK && is_in_txn(d)) rc = finish(d->st[SQL_COMMIT]);
	if (rc != SQLITE_OK) {
		enum err e = failed(d, rc, info);
		roll_back(d);
		return e;
	}
	while ((w = STAILQ_FIRST(&d->waiting)) != NULL) {
		*out_number = w->batch.number;
		STAILQ_REMOVE_HEAD(&d->waiting, link);
		free(w);
	}
	d->nwaiting = d->applied = 0;
	return OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct found {
	struct str value, type, session;
	int64_t generation;
};

/* Would the batch have removed it, before its own rows? */
static bool removes(const struct core_batch *b, const struct found *f)
{
	return (b->drop_below != 0 && f->generation < b->drop_below) ||
	       (b->forget_session.n > 0 && str_eq(f->session, b->forget_session) && str_eq(f->type, STR("Message")));
}

/* Lays the copies over what the file has. */
static bool read_copies(const struct disk *d, enum core_table table, struct str key, struct found *f, bool is_found)
{
	const struct waiting *w;
	STAILQ_FOREACH (w, &d->waiting, link) {
		if (table == CORE_RECORD && is_found && removes(&w->batch, f)) is_found = false;
		for (size_t i = 0; i < w->batch.nrows; i++) {
			const struct core_row *r = &w->rows[i];
			if (r->table != table || !str_eq(r->key, key)) continue;
			is_found = r->value.p != NULL;
			*f = (struct found){r->value, r->type, r->session, r->generation};
		}
	}
	return is_found;
}

enum err disk_read(struct disk *d, enum core_table table, struct str key, bool *out_found, struct buf *out,
		   struct errinfo *info)
{
	sqlite3_stmt *st = d->st[SQL_READ + (int)table];
	struct found f = {0};
	int rc = bind(st, 1, key);
	if (rc == SQLITE_OK) rc = sqlite3_step(st);
	bool is_found = rc == SQLITE_ROW;
	if (is_found) {
		f = (struct found){column(st, 0), column(st, 2), column(st, 3), sqlite3_column_int64(st, 1)};
		rc = sqlite3_errcode(d->h); /* a column that found no memory says so only here */
	}
	enum err e = failed(d, rc, info);
	if (d->applied < d->nwaiting) is_found = read_copies(d, table, key, &f, is_found);
	if (is_found && e == OK) buf_add_str(out, f.value);
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
	*out_found = is_found;
	return e;
}

enum err disk_load(struct disk *d, enum core_table table, enum err (*row)(void *ctx, const struct core_row *row),
		   void *ctx, struct errinfo *info)
{
	sqlite3_stmt *st = d->st[SQL_ALL + (int)table];
	enum err e = OK;
	int rc;
	while (e == OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct core_row r = {.table = table, .key = column(st, 0), .value = column(st, 1)};
		e = failed(d, sqlite3_errcode(d->h), info);
		if (e == OK) e = row(ctx, &r);
	}
	if (e == OK) e = failed(d, rc, info);
	(void)sqlite3_reset(st);
	return e;
}

enum err disk_names(struct disk *d, struct str type, struct str conversation, bool (*name)(void *ctx, struct str name),
		    void *ctx, struct errinfo *info)
{
	sqlite3_stmt *st = d->st[conversation.n > 0 ? SQL_NAMES_IN : SQL_NAMES];
	int rc = bind(st, 1, type);
	if (rc == SQLITE_OK && conversation.n > 0) rc = bind(st, 2, conversation);
	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(st);
		if (rc != SQLITE_ROW) break;
		struct str found = column(st, 0);
		rc = sqlite3_errcode(d->h);
		if ((rc & 0xff) == SQLITE_NOMEM || !name(ctx, found)) break;
	}
	enum err e = failed(d, rc, info);
	(void)sqlite3_reset(st);
	(void)sqlite3_clear_bindings(st);
	return e;
}

/* ---- the shell's own values -------------------------------------------------------------------------------------- */

enum err disk_get(struct disk *d, const char *key, bool *out_found, struct buf *out, struct errinfo *info)
{
	sqlite3_stmt *st = d->st[SQL_SELF_GET];
	int rc = bind(st, 1, str_c(key));
	if (rc == SQLITE_OK) rc = sqlite3_step(st);
	*out_found = rc == SQLITE_ROW;
	if (*out_found) {
		buf_add_str(out, column(st, 0));
		rc = sqlite3_errcode(d->h);
	}
	enum err e = failed(d, rc, info);
	(void)sqlite3_reset(st);
	return e;
}

enum err disk_set(struct disk *d, const char *key, struct str value, struct errinfo *info)
{
	sqlite3_stmt *st = d->st[SQL_SELF_SET];
	ASSERT(d->nwaiting == 0);
	int rc = bind(st, 1, str_c(key));
	if (rc == SQLITE_OK) rc = bind(st, 2, value);
	if (rc == SQLITE_OK) rc = finish(st);
	return failed(d, rc, info);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* The lock, with our process id in it for whom it keeps out. */
static enum err take_lock(struct disk *d, const char *path, struct errinfo *info)
{
	struct buf name = BUF_INIT(4096);
	char pid[24] = "";
	enum err e = OK;
	if (!buf_addf(&name, "%s-lock", path))
		return err_set(info, ERR_IO, "the path of the device's file is too long");
	d->lock = open(name.p, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock < 0) {
		e = err_set(info, os_has_no_room(errno) ? ERR_STORAGE_FULL : ERR_IO, "%.160s: %s", name.p,
			    strerror(errno));
	} else if (flock(d->lock, LOCK_EX | LOCK_NB) != 0) {
		ssize_t n = pread(d->lock, pid, sizeof pid - 1, 0);
		while (n > 0 && (pid[n - 1] < '0' || pid[n - 1] > '9')) n--;
		pid[MAX(n, 0)] = '\0';
		e = err_set(info, ERR_LOCKED, "%.160s is open in process %s", path, pid[0] != '\0' ? pid : "?");
	} else {
		int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
		/* Only for a person to read: without it the lock holds just as well. */
		if (ftruncate(d->lock, 0) == 0) (void)!pwrite(d->lock, pid, (size_t)n, 0);
	}
	buf_release(&name);
	return e;
}

static enum err number(struct disk *d, const char *sql, int64_t *out, struct errinfo *info)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(d->h, sql, -1, &st, NULL);
	if (rc == SQLITE_OK) rc = sqlite3_step(st);
	*out = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	(void)sqlite3_finalize(st);
	return failed(d, rc, info);
}

/* Each version in a transaction of its own, with its row. */
static enum err migrate(struct disk *d, const char *path, struct errinfo *info)
{
	int64_t version, id;
	char sql[160], at[TIME_TEXT_LEN + 1];
	enum err e = number(d, "PRAGMA user_version", &version, info);
	if (e == OK) e = number(d, "PRAGMA application_id", &id, info);
	if (e == OK && (version != 0 || id != 0) && id != APPLICATION_ID)
		e = err_set(info, ERR_CORRUPT, "%.160s is not the file of a device of Roost", path);
	if (e == OK && version > SCHEMA_VERSION)
		e = err_set(info, ERR_NEWER_SCHEMA, "%.160s was written by a newer libroost (version %lld, ours is %d)",
			    path, (long long)version, SCHEMA_VERSION);
	for (; e == OK && version < SCHEMA_VERSION; version++) {
		time_format(clock_wall_ms(), at);
		(void)snprintf(sql, sizeof sql,
			       "INSERT INTO migration VALUES(%d,'%s'); PRAGMA user_version=%d;"
			       "PRAGMA application_id=%d; COMMIT",
			       (int)version + 1, at, (int)version + 1, APPLICATION_ID);
		int rc = run(d, "BEGIN IMMEDIATE");
		if (rc == SQLITE_OK) rc = run(d, migrations[version]);
		if (rc == SQLITE_OK) rc = run(d, sql);
		e = failed(d, rc, info); /* an open transaction ends with the connection */
	}
	return e;
}

static enum err prepare_all(struct disk *d, struct errinfo *info)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		int rc = sqlite3_prepare_v3(d->h, sql_text[i], -1, SQLITE_PREPARE_PERSISTENT, &d->st[i], NULL);
		if (rc != SQLITE_OK) return failed(d, rc, info);
	}
	return OK;
}

static enum err open_file(struct disk *d, const char *path, struct errinfo *info)
{
	char sql[240];
	/* Made here, because SQLite would ask the umask for its mode. */
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(info,
			       os_has_no_room(errno)               ? ERR_STORAGE_FULL
			       : errno == EACCES || errno == EROFS ? ERR_READ_ONLY
								   : ERR_IO,
			       "%.160s: %s", path, strerror(errno));
	close(fd);
	int rc = sqlite3_open_v2(path, &d->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK) return failed(d, rc, info);
	(void)sqlite3_extended_result_codes(d->h, 1);
	(void)sqlite3_db_config(d->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(d->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)snprintf(sql, sizeof sql,
		       "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		       "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-%d; PRAGMA journal_size_limit=4194304;",
		       CACHE_KIB);
	return failed(d, run(d, sql), info);
}

enum err disk_open(const char *path, struct disk **out, struct errinfo *info)
{
	struct disk *d = xcalloc(1, sizeof *d);
	*out = NULL;
	d->lock = -1;
	STAILQ_INIT(&d->waiting);
	enum err e = take_lock(d, path, info);
	if (e == OK) e = open_file(d, path, info);
	if (e == OK) e = migrate(d, path, info);
	if (e == OK) e = prepare_all(d, info);
	if (e != OK) disk_close(d);
	else *out = d;
	return e;
}

void disk_close(struct disk *d)
{
	struct waiting *w;
	if (d == NULL) return;
	while ((w = STAILQ_FIRST(&d->waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->waiting, link);
		free(w);
	}
	for (size_t i = 0; i < SQL_COUNT; i++) (void)sqlite3_finalize(d->st[i]);
	(void)sqlite3_close(d->h);
	if (d->lock >= 0) close(d->lock); /* and with it the lock */
	free(d);
}
