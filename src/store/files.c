/* The data directory: making it, its lock, copies of the store, and putting a copy back.
 *
 * While a connection to roost.db is open in this process the file is never opened by any other means: closing such a
 * descriptor would drop SQLite's locks. Copies are made by SQLite, through a connection. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "store/txn.h"

char *path_join(const char *dir, const char *name)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)buf_addf(&b, "%s/%s", dir, name);
	return buf_take(&b, &(size_t){0});
}

static enum err file_err(const char *verb, const char *path, int os, struct errinfo *info)
{
	enum err e = os == EROFS || os == EACCES || os == EPERM ? ERR_READ_ONLY
		     : os_has_no_room(os)                       ? ERR_STORAGE_FULL
		     : os == EEXIST                             ? ERR_EXISTS
		     : os == ENOENT                             ? ERR_NOT_FOUND
								: ERR_IO;
	return err_set(info, e, "%s cannot be %s: %s", path, verb, strerror(os));
}

static enum err sync_path(const char *path, int flags, struct errinfo *info)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);
	if (fd < 0) return file_err("opened", path, errno, info);
	enum err e = fsync(fd) == 0 ? OK : err_set(info, ERR_IO, "%s cannot be synced: %s", path, strerror(errno));
	(void)close(fd);
	return e;
}

enum err dir_sync(const char *dir, struct errinfo *info) { return sync_path(dir, O_DIRECTORY, info); }

static enum err sync_parent(const char *path, struct errinfo *info)
{
	char *copy = xstrdup(path);
	enum err e = dir_sync(dirname(copy), info);
	free(copy);
	return e;
}

/* Makes PATH; its parent is synced, so that the name stays. */
static enum err make_one(const char *path, struct errinfo *info)
{
	if (mkdir(path, 0700) == 0) return sync_parent(path, info);
	struct stat st;
	int os = errno;
	if (os == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return OK;
	return file_err("made", path, os, info);
}

enum err dir_make(const char *dir, struct errinfo *info)
{
	struct stat st;
	enum err e = OK;
	if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode)) return OK;
	char *path = xstrdup(dir);
	for (char *p = path + 1; e == OK && *p != '\0'; p++) {
		if (*p != '/') continue;
		*p = '\0';
		if (stat(path, &st) != 0) e = make_one(path, info);
		*p = '/';
	}
	if (e == OK) e = make_one(path, info);
	free(path);
	return e;
}

enum err dir_lock(const char *dir, int *out_fd, struct errinfo *info)
{
	char *path = path_join(dir, "roost.lock"), pid[24] = "";
	enum err e = OK;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	*out_fd = -1;
	if (fd < 0) {
		e = file_err("made", path, errno, info);
	} else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		ssize_t n = errno == EWOULDBLOCK ? pread(fd, pid, sizeof pid - 1, 0) : 0;
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		e = err_set(info, ERR_LOCKED, "another roost (pid %s) has the data directory %s",
			    pid[0] != '\0' ? pid : "unknown", dir);
	} else {
		int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
		if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n)
			e = file_err("written", path, errno, info);
	}
	if (e == OK) *out_fd = fd;
	else if (fd >= 0) (void)close(fd);
	free(path);
	return e;
}

/* ---- copies ---- */

static enum err copy_pages(struct db *from, struct db *to, const char *path, struct errinfo *info)
{
	/* A half-made copy is removed, so it needs no journal and no syncs of its own. */
	enum err e = db_exec(to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;");
	if (e != OK) return db_fail(to, sqlite3_extended_errcode(to->h), path, info);
	sqlite3_backup *b = sqlite3_backup_init(to->h, "main", from->h, "main");
	if (b == NULL) return db_fail(to, sqlite3_extended_errcode(to->h), path, info);
	int rc = sqlite3_backup_step(b, -1); /* all in one snapshot */
	int done = sqlite3_backup_finish(b);
	if (rc != SQLITE_DONE || done != SQLITE_OK) return db_fail(to, done != SQLITE_OK ? done : rc, path, info);
	/* One file that is whole by itself, also on a medium that cannot be written. */
	e = db_exec(to, "PRAGMA journal_mode=DELETE");
	return e == OK ? OK : db_fail(to, sqlite3_extended_errcode(to->h), path, info);
}

enum err db_copy(struct db *db, const char *to, struct errinfo *info)
{
	struct db copy;
	int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) return file_err("made", to, errno, info);
	(void)close(fd);
	enum err e = db_open(&copy, to, DB_COPY, NULL, info);
	if (e == OK) {
		e = copy_pages(db, &copy, to, info);
		db_close(&copy);
	}
	if (e == OK) e = sync_path(to, 0, info);
	if (e == OK) e = sync_parent(to, info);
	if (e != OK) (void)unlink(to);
	return e;
}

enum err store_backup(struct store *s, const char *path, struct errinfo *info)
{
	struct db db;
	enum err e = db_open(&db, store_path(s), DB_READER, NULL, info);
	if (e != OK) return e;
	e = db_copy(&db, path, info);
	db_close(&db);
	return e;
}

/* ---- restore ---- */

/* Folds the old store's WAL into it. One that cannot be opened keeps its WAL, under a name that belongs to nothing. */
static enum err settle_old(const char *path, struct errinfo *info)
{
	struct db db;
	char name[4096];
	static const char *const tails[] = {"-wal", "-shm"};
	struct stat st;
	if (stat(path, &st) != 0) return OK;
	enum err e = db_open(&db, path, DB_WRITER, "FULL", NULL);
	if (e == OK) {
		e = db_exec(&db, "PRAGMA wal_checkpoint(TRUNCATE)");
		db_close(&db);
	}
	if (e == OK) return OK;
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		char to[4200];
		(void)snprintf(name, sizeof name, "%s%s", path, tails[i]);
		(void)snprintf(to, sizeof to, "%s.before-restore%s", path, tails[i]);
		if (stat(name, &st) == 0 && rename(name, to) != 0) return file_err("moved", name, errno, info);
	}
	return OK;
}

/* A copy with an epoch of its own: a cursor of the store that is replaced must not be understood by this one. */
static enum err make_restored(const char *backup, const char *to, struct errinfo *info)
{
	struct db from, copy;
	int64_t version = 0;
	enum err e = db_open(&from, backup, DB_READER, NULL, info);
	if (e != OK) return e;
	if (meta_get(&from, "schema_version", &version) != OK || version == 0)
		e = err_set(info, ERR_CORRUPT, "%s is no roost store", backup);
	else if (version > store_migrations[store_migration_count - 1].version)
		e = err_set(info, ERR_NEWER_SCHEMA, "%s was written by a newer roost (schema %lld)", backup,
			    (long long)version);
	if (e == OK) e = db_copy(&from, to, info);
	db_close(&from);
	if (e == OK) e = db_open(&copy, to, DB_COPY, NULL, info);
	if (e != OK) return e;
	e = meta_set(&copy, "epoch", (int64_t)(random_u64() | 1));
	if (e != OK) e = err_set(info, e, "%s: %s", to, sqlite3_errmsg(copy.h));
	db_close(&copy);
	return e == OK ? sync_path(to, 0, info) : e;
}

/* The old one gets a second name before the new one takes the first, so at every moment there is a store. */
static enum err exchange(const char *path, const char *kept, const char *made, const char *dir, struct errinfo *info)
{
	(void)unlink(kept);
	if (link(path, kept) != 0 && errno != ENOENT) return file_err("kept", path, errno, info);
	enum err e = dir_sync(dir, info);
	if (e != OK) return e;
	if (rename(made, path) != 0) return file_err("moved", made, errno, info);
	return dir_sync(dir, info);
}

enum err store_restore(const char *dir, const char *backup, struct errinfo *info)
{
	int lock = -1;
	char *path = path_join(dir, "roost.db"), *kept = path_join(dir, "roost.db.before-restore");
	char *made = path_join(dir, "roost.db.restoring");
	enum err e = dir_make(dir, info);
	if (e == OK) e = dir_lock(dir, &lock, info);
	if (e == OK) {
		(void)unlink(made); /* of a restore that was killed */
		e = make_restored(backup, made, info);
		if (e == OK) e = settle_old(path, info);
		if (e == OK) e = exchange(path, kept, made, dir, info);
		if (e != OK) (void)unlink(made);
	}
	if (lock >= 0) (void)close(lock);
	free(path);
	free(kept);
	free(made);
	return e;
}
