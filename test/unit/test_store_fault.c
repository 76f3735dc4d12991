/* What happens to the store when the disk is full, fails, or lies; and copies, migrations, locks. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "store_fixture.h"

/* ---- a disk that fails on demand: SQLite's own VFS with two methods replaced ---- */

static _Atomic int fail_syncs, fail_writes, fail_reads; /* how many of the next fail; -1: all */
static sqlite3_vfs faulty;
static sqlite3_vfs *real_vfs;
/* The database and its WAL have different methods; the replaced ones of both, and behind each the real ones. */
static struct faulty_io {
	sqlite3_io_methods methods;
	const sqlite3_io_methods *real;
} faulty_ios[4];

static const sqlite3_io_methods *real_io(const sqlite3_file *f)
{
	return ((const struct faulty_io *)(const void *)f->pMethods)->real;
}

static bool fails(_Atomic int *left)
{
	if (*left == 0) return false;
	if (*left > 0) --*left;
	return true;
}
static int faulty_sync(sqlite3_file *f, int flags)
{
	return fails(&fail_syncs) ? SQLITE_IOERR_FSYNC : real_io(f)->xSync(f, flags);
}
static int faulty_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (fails(&fail_writes)) {
		errno = EIO;
		return SQLITE_IOERR_WRITE;
	}
	return real_io(f)->xWrite(f, p, n, at);
}
static int faulty_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return fails(&fail_reads) ? SQLITE_IOERR_READ : real_io(f)->xRead(f, p, n, at);
}
static int faulty_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
	(void)vfs;
	int rc = real_vfs->xOpen(real_vfs, name, f, flags, out_flags);
	if (f->pMethods == NULL) return rc;
	struct faulty_io *io = faulty_ios;
	while (io->real != NULL && io->real != f->pMethods) io++;
	assert_true(io < faulty_ios + ARRAY_LEN(faulty_ios));
	if (io->real == NULL) {
		io->methods = *f->pMethods;
		io->methods.xSync = faulty_sync;
		io->methods.xWrite = faulty_write;
		io->methods.xRead = faulty_read;
		io->real = f->pMethods;
	}
	f->pMethods = &io->methods;
	return rc;
}

static int disk_setup(void **state)
{
	real_vfs = sqlite3_vfs_find(NULL);
	faulty = *real_vfs;
	faulty.zName = "faulty";
	faulty.xOpen = faulty_open;
	(void)sqlite3_vfs_register(&faulty, 1);
	return setup(state);
}

static int disk_teardown(void **state)
{
	fail_syncs = fail_writes = fail_reads = 0;
	int rc = teardown(state);
	(void)sqlite3_vfs_unregister(&faulty);
	(void)sqlite3_vfs_register(real_vfs, 1);
	return rc;
}

/* ---- commands ---- */

struct put {
	struct fixture *f;
	char name[24];
	char fields[120];
};
static enum err put_run(struct txn *t, void *ctx)
{
	struct put *p = ctx;
	struct record r = {.zone = p->f->zone, .type = RT_PROJECT, .name = str_c(p->name)};
	enum err e = txn_get(t, r.zone, r.type, r.name, &r);
	if (e != OK && e != ERR_NOT_FOUND) return e;
	r.fields = str_c(p->fields);
	return txn_put(t, &r);
}
static enum err put(struct fixture *f, const char *name, const char *title)
{
	struct put p = {.f = f};
	(void)snprintf(p.name, sizeof p.name, "%s", name);
	(void)snprintf(p.fields, sizeof p.fields, "{\"title\":\"%s\"}", title);
	return run(f, put_run, &p);
}
static enum err get_run(struct txn *t, void *ctx)
{
	struct put *p = ctx;
	struct record r;
	enum err e = txn_get(t, p->f->zone, RT_PROJECT, str_c(p->name), &r);
	if (e == OK) (void)str_copy(r.fields, p->fields, sizeof p->fields);
	return e;
}
static enum err get(struct fixture *f, const char *name, char *fields)
{
	struct put p = {.f = f};
	(void)snprintf(p.name, sizeof p.name, "%s", name);
	enum err e = run_on_reader(f, get_run, &p);
	if (fields != NULL) (void)str_copy(str_c(p.fields), fields, sizeof p.fields);
	return e;
}

static enum err talk_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	struct record c = {
		.zone = f->zone, .type = RT_CONVERSATION, .name = STR("talk"), .fields = STR("{\"title\":\"t\"}")};
	enum err e = txn_put(t, &c);
	for (int i = 1; e == OK && i <= 5; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "m%d", i % 10);
		struct record m = {.zone = f->zone,
				   .type = RT_MESSAGE,
				   .name = str_c(name),
				   .fields = STR("{\"text\":\"x\"}"),
				   .conv = c.row,
				   .ord = i};
		e = txn_put(t, &m);
	}
	return e;
}

/* ---- locks and modes ---- */

static void a_second_store_on_the_directory_names_the_first(void **state)
{
	struct fixture *f = *state;
	struct fixture second = *f;
	struct errinfo info = {0};
	char pid[32];
	assert_int_equal(fixture_try_open(&second, &info), ERR_LOCKED);
	(void)snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
	assert_non_null(strstr(info.text, pid));
	assert_int_equal(store_restore(f->dir, "/nonexistent", &info), ERR_LOCKED);
	assert_int_equal(put(f, "still", "here"), OK);
}

static void what_is_made_belongs_to_its_owner_alone(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"roost.db", "roost.db-wal", "roost.lock"};
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *p = path_join(f->dir, names[i]);
		assert_int_equal(stat(p, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		free(p);
	}
	char *deep = path_join(f->dir, "a");
	char *deeper = path_join(deep, "b");
	assert_int_equal(dir_make(deeper, NULL), OK);
	assert_int_equal(stat(deeper, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	(void)rmdir(deeper);
	(void)rmdir(deep);
	free(deep);
	free(deeper);
}

static void a_directory_that_cannot_be_written_is_said(void **state)
{
	struct fixture *f = *state;
	struct errinfo info = {0};
	fixture_close(f);
	bool root = geteuid() == 0;
	assert_int_equal(chmod(f->dir, 0555), 0);
	if (root && seteuid(65534) != 0) skip();
	enum err e = fixture_try_open(f, &info);
	if (root) assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(f->dir, 0700), 0);
	assert_int_equal(e, ERR_READ_ONLY);
	assert_non_null(strstr(info.text, f->dir));
	fixture_open(f);
}

/* ---- full disk ---- */

static void allow_bytes(rlim_t n)
{
	struct rlimit rl;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &rl), 0);
	rl.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &rl), 0);
}

static void a_full_disk_fails_the_batch_and_passes(void **state)
{
	struct fixture *f = *state;
	char big[100];
	(void)snprintf(big, sizeof big, "%090d", 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(put(f, "before", "x"), OK);
	allow_bytes(200 << 10);
	int failed = 0, saved = 0;
	for (int i = 0; i < 400 && failed < 5; i++) {
		char name[24];
		(void)snprintf(name, sizeof name, "p%d", i);
		enum err e = put(f, name, big);
		if (e != OK && e != ERR_STORAGE_FULL) fail_msg("%s %s", err_code(e), f->info.text);
		if (e == OK) assert_int_equal(failed > 0 ? OK : get(f, name, NULL), OK);
		else assert_int_equal(get(f, name, NULL), ERR_NOT_FOUND);
		e == OK ? saved++ : failed++;
	}
	assert_true(failed >= 5 && saved > 0);
	assert_int_equal(get(f, "before", NULL), OK);
	assert_int_equal(f->fatal, OK);
	allow_bytes(RLIM_INFINITY);
	assert_int_equal(put(f, "after", "y"), OK);
	assert_healthy(f);
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(get(f, "after", NULL), OK);
	assert_healthy(f);
}

static void a_whole_batch_fails_when_there_is_no_room(void **state)
{
	struct fixture *f = *state;
	enum { N = 60 };
	static struct call calls[N];
	static struct put puts[N];
	(void)signal(SIGXFSZ, SIG_IGN);
	allow_bytes(4096);
	for (int i = 0; i < N; i++) {
		puts[i] = (struct put){.f = f, .fields = "{}"};
		(void)snprintf(puts[i].name, sizeof puts[i].name, "p%d", i);
		call_init(f, &calls[i], put_run, &puts[i]);
		store_submit(f->store, &calls[i].op);
	}
	await(f, &calls[N - 1]);
	allow_bytes(RLIM_INFINITY);
	for (int i = 0; i < N; i++) {
		assert_int_equal(calls[i].op.err, ERR_STORAGE_FULL);
		assert_true(STAILQ_EMPTY(&calls[i].op.changes));
		store_op_release(&calls[i].op);
	}
	assert_int_equal(put(f, "p0", "now"), OK);
	assert_healthy(f);
}

/* ---- a disk that fails ---- */

static void a_failed_fsync_is_fatal_and_never_tried_again(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(put(f, "before", "x"), OK);
	fail_syncs = 1;
	assert_int_equal(put(f, "lost", "x"), ERR_IO);
	assert_int_equal(f->fatal, ERR_IO);
	/* The disk would work again; the store does not use it any more. */
	assert_int_equal(put(f, "later", "x"), ERR_IO);
	char *wal = path_join(f->dir, "roost.db-wal");
	struct stat before, after;
	assert_int_equal(stat(wal, &before), 0);
	fixture_close(f);
	assert_int_equal(stat(wal, &after), 0);
	assert_true(before.st_size == after.st_size);
	free(wal);
	f->fatal = OK;
	fixture_open(f);
	assert_int_equal(get(f, "before", NULL), OK);
	assert_int_equal(get(f, "later", NULL), ERR_NOT_FOUND);
	assert_healthy(f);
}

static void a_failed_write_is_fatal(void **state)
{
	struct fixture *f = *state;
	fail_writes = -1;
	assert_int_equal(put(f, "lost", "x"), ERR_IO);
	assert_int_equal(f->fatal, ERR_IO);
	fail_writes = 0;
	fixture_close(f);
	f->fatal = OK;
	fixture_open(f);
	assert_int_equal(get(f, "lost", NULL), ERR_NOT_FOUND);
	assert_healthy(f);
}

/* One fault at the n-th sync, write or read, for every n: nothing acknowledged is lost, nothing is spoilt. */
static void a_fault_anywhere_loses_nothing_that_was_acknowledged(void **state)
{
	struct fixture *f = *state;
	_Atomic int *const kinds[] = {&fail_syncs, &fail_writes, &fail_reads};
	int hit = 0;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (int n = 0; n < 12; n++) {
			bool acked[6] = {false};
			char name[40];
			for (int i = 0; i < 6; i++) {
				if (i == n / 2) *kinds[k] = 1 + n % 2;
				(void)snprintf(name, sizeof name, "k%zu-%d-%d", k, n, i);
				acked[i] = put(f, name, "x") == OK;
				(void)usleep((unsigned)n % 3 * 6000); /* sometimes a checkpoint in between */
			}
			*kinds[k] = 0;
			hit += f->fatal != OK;
			fixture_close(f);
			f->fatal = OK;
			fixture_open(f);
			for (int i = 0; i < 6; i++) {
				(void)snprintf(name, sizeof name, "k%zu-%d-%d", k, n, i);
				if (acked[i]) assert_int_equal(get(f, name, NULL), OK);
			}
			assert_healthy(f);
		}
	}
	assert_true(hit > 12);
}

/* ---- a disk that lies ---- */

static void flip(struct fixture *f, const char *needle)
{
	char *path = path_join(f->dir, "roost.db");
	int fd = open(path, O_RDWR);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	char *all = malloc((size_t)st.st_size);
	assert_true(pread(fd, all, (size_t)st.st_size, 0) == st.st_size);
	char *at = memmem(all, (size_t)st.st_size, needle, strlen(needle));
	assert_non_null(at);
	char c = (char)(*at ^ 1);
	assert_true(pwrite(fd, &c, 1, at - all) == 1);
	(void)close(fd);
	free(all);
	free(path);
}

static void one_flipped_bit_in_a_record_is_noticed_and_named(void **state)
{
	struct fixture *f = *state;
	struct findings fs;
	assert_int_equal(put(f, "good", "fine"), OK);
	assert_int_equal(put(f, "spoilt", "needle-in-the-hay"), OK);
	fixture_close(f);
	/* The title stands in the index too; the first place is changed, wherever that is. */
	flip(f, "{\"title\":\"needle");
	fixture_open(f);
	assert_int_equal(get(f, "spoilt", NULL), ERR_CORRUPT);
	assert_non_null(strstr(f->info.text, "spoilt"));
	assert_int_equal(put(f, "spoilt", "again"), ERR_CORRUPT);
	assert_int_equal(get(f, "good", NULL), OK);
	assert_int_equal(f->fatal, OK);
	assert_int_equal(examine(f, &fs), ERR_CORRUPT);
	assert_non_null(strstr(fs.text, "(Project spoilt) fails its checksum"));
}

static void a_spoilt_page_ends_the_store(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 300; i++) {
		char name[24];
		(void)snprintf(name, sizeof name, "p%d", i);
		assert_int_equal(put(f, name, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), OK);
	}
	fixture_close(f);
	char *path = path_join(f->dir, "roost.db");
	int fd = open(path, O_RDWR);
	struct stat st;
	char zero[4096] = {0};
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 4096 * 20; at < st.st_size; at += 4096)
		assert_true(pwrite(fd, zero, sizeof zero, at) == sizeof zero);
	(void)close(fd);
	free(path);
	struct errinfo info = {0};
	enum err e = fixture_try_open(f, &info);
	if (e == OK) {
		for (int i = 0; i < 300 && f->fatal == OK; i++) {
			char name[24];
			(void)snprintf(name, sizeof name, "p%d", i);
			e = put(f, name, "y");
		}
		assert_int_equal(f->fatal, ERR_CORRUPT);
		fixture_close(f);
	}
	assert_int_not_equal(e, OK);
	struct findings fs;
	assert_int_equal(examine(f, &fs), ERR_CORRUPT);
	assert_true(fs.bad > 0);
}

static void with_sqlite(struct fixture *f, const char *sql)
{
	sqlite3 *h;
	char *path = path_join(f->dir, "roost.db"), *error = NULL;
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	if (sqlite3_exec(h, sql, NULL, NULL, &error) != SQLITE_OK) fail_msg("%s: %s", sql, error);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
	free(path);
}

/* Each tampers with a healthy store behind its back, in a way SQLite itself does not mind. */
static const struct tampering {
	const char *sql, *finding;
} tamperings[] = {
	{"DELETE FROM record WHERE name = 'm3'", "1 of 8 records are missing"},
	{"DELETE FROM record WHERE name = 'm3'", "lacks messages between ord 2 and 4"},
	{"CREATE TABLE old AS SELECT * FROM record WHERE name = 'a'; UPDATE record SET seq = (SELECT seq FROM old) + 100, sum = sum + 1"
	 " WHERE name = 'a'; DROP TABLE old",
	 "behind the zone's end"},
	{"UPDATE record SET fields = '{}' WHERE name = 'a'", "(Project a) fails its checksum"},
	{"UPDATE record SET modified_ms = modified_ms + 1 WHERE name = 'm2'", "(Message m2) fails its checksum"},
	{"UPDATE record SET state = 1 WHERE name = 'm2'", "(Message m2) fails its checksum"},
	{"UPDATE zone SET records = 7", "zone 1 fails its checksum"},
	{"UPDATE user SET disabled = 1", "user 1 fails its checksum"},
	{"DELETE FROM idx WHERE field = 'title'", "the index of fields has"},
	{"INSERT INTO idx VALUES(1, 1, 'title', 'none', 77)", "the index of title leads to record 77"},
	{"UPDATE idx SET value = 'other' WHERE field = 'title'", "the index of title leads to record"},
	{"INSERT INTO chunk VALUES(1, 1, 1, 0, 0, 'x', 0)", "chunk 1 fails its checksum"},
	{"DELETE FROM user", "belongs to no user"},
	{"DELETE FROM meta", "no roost store"},
};

static void the_doctor_names_what_was_tampered_with(void **state)
{
	struct fixture *f = *state;
	char *path = path_join(f->dir, "roost.db");
	assert_int_equal(run(f, talk_run, f), OK);
	assert_int_equal(put(f, "a", "one"), OK);
	assert_int_equal(put(f, "b", "two"), OK);
	fixture_close(f);
	assert_healthy(f);
	for (size_t i = 0; i < ARRAY_LEN(tamperings); i++) {
		char cmd[200];
		struct findings fs = {0};
		struct errinfo info = {0};
		char *kept = path_join(f->dir, "kept");
		(void)unlink(kept);
		struct db db;
		assert_int_equal(db_open(&db, path, DB_READER, NULL, NULL), OK);
		assert_int_equal(db_copy(&db, kept, NULL), OK);
		db_close(&db);
		with_sqlite(f, tamperings[i].sql);
		assert_int_equal(store_check(f->dir, NULL, note_finding, &fs, &info), ERR_CORRUPT);
		if (strstr(fs.text, tamperings[i].finding) == NULL && strstr(info.text, tamperings[i].finding) == NULL)
			fail_msg("%s: the doctor said: %s%s", tamperings[i].sql, fs.text, info.text);
		static const char *const tails[] = {"", "-wal", "-shm"};
		for (size_t k = 0; k < ARRAY_LEN(tails); k++) {
			(void)snprintf(cmd, sizeof cmd, "%s%s", path, tails[k]);
			(void)unlink(cmd);
		}
		assert_int_equal(rename(kept, path), 0);
		free(kept);
	}
	free(path);
	assert_healthy(f);
}

static void a_foreign_and_a_stale_row_are_found_by_the_zones_sum(void **state)
{
	struct fixture *f = *state;
	struct findings fs;
	assert_int_equal(put(f, "a", "one"), OK);
	fixture_close(f);
	with_sqlite(f, "CREATE TABLE keep AS SELECT * FROM record WHERE name = 'a'");
	fixture_open(f);
	assert_int_equal(put(f, "a", "two"), OK);
	fixture_close(f);
	assert_healthy(f);
	/* An old row that is perfect in itself is put back. */
	with_sqlite(f, "CREATE TABLE new AS SELECT * FROM record WHERE name = 'a'; DELETE FROM record WHERE name = 'a';"
		       "INSERT INTO record SELECT * FROM keep; UPDATE idx SET value = 'one' WHERE field = 'title';"
		       "UPDATE idx SET value = (SELECT modified_ms FROM keep) WHERE field = 'modifiedAt'");
	assert_int_equal(examine(f, &fs), ERR_CORRUPT);
	assert_non_null(strstr(fs.text, "stale"));
	assert_int_equal(fs.bad, 1);
	with_sqlite(
		f,
		"DELETE FROM record WHERE name = 'a'; INSERT INTO record SELECT * FROM new; UPDATE idx SET value = 'two' WHERE "
		"field = 'title'; UPDATE idx SET value = (SELECT modified_ms FROM new) WHERE field = 'modifiedAt'");
	assert_healthy(f);
	/* A row of another store, perfect in itself too. */
	struct fixture other;
	fixture_init(&other);
	for (int i = 0; i < 9; i++) assert_int_equal(put(&other, i == 8 ? "stranger" : "a", "x"), OK);
	fixture_close(&other);
	char sql[400];
	(void)snprintf(
		sql, sizeof sql,
		"ATTACH '%s/roost.db' AS o; INSERT INTO record SELECT * FROM o.record WHERE name = 'stranger';"
		"INSERT INTO idx SELECT * FROM o.idx WHERE row = (SELECT row FROM record WHERE name = 'stranger')",
		other.dir);
	with_sqlite(f, sql);
	fixture_release(&other);
	assert_int_equal(examine(f, &fs), ERR_CORRUPT);
	assert_non_null(strstr(fs.text, "(stranger) is foreign"));
}

/* ---- copies ---- */

static void a_backup_is_whole_while_the_store_is_written(void **state)
{
	struct fixture *f = *state;
	struct errinfo info = {0};
	char *copy = path_join(f->dir, "copy");
	enum { N = 400 };
	static struct call calls[N];
	static struct put puts[N];
	for (int i = 0; i < N; i++) {
		puts[i] = (struct put){.f = f, .fields = "{\"title\":\"x\"}"};
		(void)snprintf(puts[i].name, sizeof puts[i].name, "p%d", i);
		call_init(f, &calls[i], put_run, &puts[i]);
		store_submit(f->store, &calls[i].op);
		if (i == N / 2) assert_int_equal(store_backup(f->store, copy, &info), OK);
	}
	await(f, &calls[N - 1]);
	for (int i = 0; i < N; i++) store_op_release(&calls[i].op);
	assert_int_equal(store_backup(f->store, copy, &info), ERR_EXISTS);
	struct stat st;
	assert_int_equal(stat(copy, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	char head[20];
	int fd = open(copy, O_RDONLY);
	assert_true(pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head);
	(void)close(fd);
	assert_true(head[18] == 1 && head[19] == 1); /* needs no WAL beside it */
	/* The copy is a store of its own. */
	struct fixture other = {.now_ms = f->now_ms};
	(void)snprintf(other.dir, sizeof other.dir, "/tmp/roost-store-XXXXXX");
	assert_non_null(mkdtemp(other.dir));
	limits_default(&other.limits);
	assert_int_equal(sem_init(&other.woken, 0, 0), 0);
	assert_int_equal(store_restore(other.dir, copy, &info), OK);
	assert_healthy(&other);
	fixture_open(&other);
	int have = 0;
	for (int i = 0; i < N; i++) have += get(&other, puts[i].name, NULL) == OK;
	assert_true(have < N);
	fixture_release(&other);
	free(copy);
}

static void a_restored_store_has_a_new_epoch_and_keeps_the_old_one_aside(void **state)
{
	struct fixture *f = *state;
	struct errinfo info = {0};
	char *copy = path_join(f->dir, "copy"), *aside = path_join(f->dir, "roost.db.before-restore");
	uint64_t epoch = store_epoch(f->store);
	assert_int_equal(put(f, "early", "x"), OK);
	assert_int_equal(store_backup(f->store, copy, &info), OK);
	assert_int_equal(put(f, "late", "x"), OK);
	int64_t incarnation = store_incarnation(f->store);
	fixture_close(f);
	assert_int_equal(store_restore(f->dir, copy, &info), OK);
	fixture_open(f);
	assert_true(store_epoch(f->store) != epoch);
	assert_true(store_incarnation(f->store) > incarnation);
	assert_int_equal(get(f, "early", NULL), OK);
	assert_int_equal(get(f, "late", NULL), ERR_NOT_FOUND);
	fixture_close(f);
	assert_healthy(f);
	/* And back. */
	(void)unlink(copy);
	assert_int_equal(rename(aside, copy), 0);
	assert_int_equal(store_restore(f->dir, copy, &info), OK);
	fixture_open(f);
	assert_int_equal(get(f, "late", NULL), OK);
	assert_healthy(f);
	free(copy);
	free(aside);
}

static void what_is_no_backup_is_not_restored(void **state)
{
	struct fixture *f = *state;
	struct errinfo info = {0};
	char *junk = path_join(f->dir, "junk"), *none = path_join(f->dir, "none");
	assert_int_equal(put(f, "mine", "x"), OK);
	fixture_close(f);
	FILE *fp = fopen(junk, "w");
	for (int i = 0; i < 5000; i++) (void)fputs("not a database ", fp);
	(void)fclose(fp);
	assert_int_equal(store_restore(f->dir, junk, &info), ERR_CORRUPT);
	assert_int_not_equal(store_restore(f->dir, none, &info), OK);
	fixture_open(f);
	assert_int_equal(get(f, "mine", NULL), OK);
	free(junk);
	free(none);
}

/* ---- schema ---- */

static void a_migration_is_one_transaction_after_a_copy(void **state)
{
	struct fixture *f = *state;
	struct db db;
	struct errinfo info = {0};
	char *path = path_join(f->dir, "roost.db"), *copy = path_join(f->dir, "roost.db.v1.bak");
	const struct migration good[] = {store_migrations[0],
					 {2, "CREATE TABLE extra(x); INSERT INTO extra VALUES(1);"}};
	const struct migration bad[] = {store_migrations[0],
					{2, "CREATE TABLE extra(x); INSERT INTO nowhere VALUES(1);"}};
	int64_t n;
	assert_int_equal(put(f, "a", "x"), OK);
	fixture_close(f);
	assert_int_equal(db_open(&db, path, DB_WRITER, "FULL", &info), OK);
	assert_int_not_equal(schema_migrate(&db, path, bad, 2, &info), OK);
	assert_int_equal(db_number(&db, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'", &n), OK);
	assert_int_equal(n, 0);
	assert_int_equal(schema_migrate(&db, path, good, 2, &info), OK);
	assert_int_equal(schema_migrate(&db, path, good, 2, &info), OK);
	assert_int_equal(meta_get(&db, "schema_version", &n), OK);
	assert_int_equal(n, 2);
	db_close(&db);
	assert_int_equal(fixture_try_open(f, &info), ERR_NEWER_SCHEMA);
	assert_non_null(strstr(info.text, "2"));
	assert_int_equal(store_restore(f->dir, copy, &info), OK);
	fixture_open(f);
	assert_int_equal(get(f, "a", NULL), OK);
	assert_healthy(f);
	free(path);
	free(copy);
}

static void another_programs_database_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct errinfo info = {0};
	fixture_close(f);
	char *path = path_join(f->dir, "roost.db");
	assert_int_equal(unlink(path), 0);
	with_sqlite(f, "CREATE TABLE other(x)");
	assert_int_equal(fixture_try_open(f, &info), ERR_CORRUPT);
	assert_non_null(strstr(info.text, "no roost store"));
	with_sqlite(f, "DROP TABLE other");
	FILE *fp = fopen(path, "w");
	(void)fputs("this is a text file, and a long one at that, so it is no database, whatever its name is ........",
		    fp);
	(void)fclose(fp);
	assert_int_equal(fixture_try_open(f, &info), ERR_CORRUPT);
	assert_int_equal(unlink(path), 0);
	fixture_open(f);
	free(path);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define D(name) cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)
	const struct CMUnitTest tests[] = {
		T(a_second_store_on_the_directory_names_the_first),
		T(what_is_made_belongs_to_its_owner_alone),
		T(a_directory_that_cannot_be_written_is_said),
		T(a_full_disk_fails_the_batch_and_passes),
		T(a_whole_batch_fails_when_there_is_no_room),
		D(a_failed_fsync_is_fatal_and_never_tried_again),
		D(a_failed_write_is_fatal),
		D(a_fault_anywhere_loses_nothing_that_was_acknowledged),
		T(one_flipped_bit_in_a_record_is_noticed_and_named),
		T(a_spoilt_page_ends_the_store),
		T(the_doctor_names_what_was_tampered_with),
		T(a_foreign_and_a_stale_row_are_found_by_the_zones_sum),
		T(a_backup_is_whole_while_the_store_is_written),
		T(a_restored_store_has_a_new_epoch_and_keeps_the_old_one_aside),
		T(what_is_no_backup_is_not_restored),
		T(a_migration_is_one_transaction_after_a_copy),
		T(another_programs_database_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
