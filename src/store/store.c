/* The store's threads: group commit, checkpoints, readers.
 *
 * Group commit
 *  1. The loop queues commands. The writer takes the whole queue (up to BATCH_MAX), runs them one after another inside
 *     one transaction, and commits: one fsync for all of them. Then all go to the done list, and the loop is woken once.
 *  2. A command that fails takes back only its own; how is in command.c.
 *  3. While a commit window is set the writer waits that long for company before it commits.
 *  4. Nothing is acknowledged that is not on disk: synchronous=FULL makes COMMIT wait for the fsync of the WAL.
 *
 * What can go wrong, and what then holds
 *  a. A command fails: what it wrote is rolled back, zone counters too; the others of the batch are not touched.
 *  b. The disk is full, at whatever statement: the transaction is rolled back and every command of the batch is
 *     ERR_STORAGE_FULL, also those that had run well before. A checkpoint is tried, since it lets the WAL start again
 *     from its beginning; the next batch tries anew.
 *  c. An I/O error or a corrupt page: whether the batch is on disk nobody can know. `fatal` is called, from then on
 *     every command is refused, nothing is written, synced or checkpointed any more, not even when closing.
 *
 * Checkpoints: only the writer's connection does them, because SQLite before 3.51.3 can lose the WAL's newest frames
 * when one connection commits while another checkpoints. Passive ones, after the acks, when the queue is empty and
 * CHECKPOINT_GAP_US have passed since the last; whatever happens, at CHECKPOINT_FRAMES. A WAL of less than
 * CHECKPOINT_FEW frames is left alone until nothing was committed for CHECKPOINT_REST_US: copying it would save next to
 * nothing, and the commit after a checkpoint pays a second sync for beginning the WAL anew, which is just what a person
 * who waits for the first word of an answer would feel. A reader's snapshot keeps a
 * checkpoint from finishing, so READ_DEADLINE_MS bounds it.
 *
 * Locks: `in_lock` guards the writer's queue, `read_lock` the readers', `done_lock` what is finished; none is held while
 * another is taken or while a command runs. */
#include "store/store.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/txn.h"

#define BATCH_MAX 2048
#define READERS 2
#define READ_DEADLINE_MS 1000
#define CHECKPOINT_FRAMES 8000
#define CHECKPOINT_GAP_US 10000
#define CHECKPOINT_FEW 256
#define CHECKPOINT_REST_US 200000
#define CHECKPOINT_RETRY_US 100000 /* after one that could not finish */
#define THREAD_STACK ((size_t)1 << 20)

STAILQ_HEAD(op_list, store_op);

struct reader {
	pthread_t thread;
	struct store *store;
	struct db db;
	struct txn txn;
	bool running;
};

struct store {
	char *dir, *path;
	struct limits const *limits;
	void (*wake)(void *ctx);
	void (*fatal)(void *ctx, enum err e, const char *what);
	void *ctx;
	struct store_hooks hooks;
	uint64_t epoch;
	int64_t incarnation;
	int lock_fd;
	struct intern intern;

	pthread_mutex_t in_lock;
	pthread_cond_t in_work;
	struct op_list in;
	bool stop; /* no more comes in */
	_Atomic int64_t window_us, queue_bytes;

	pthread_t writer;
	bool writer_running;
	struct db db;
	struct txn txn;
	bool failed;              /* the disk failed; for good */
	bool checkpoint_due;      /* commits wait to be copied out of the WAL */
	int64_t checkpoint_at_us; /* not before this boot time */
	int64_t committed_us;     /* boot time of the last commit */
	uint64_t commit_number;
	_Atomic int64_t commits, commands, checkpoints;

	pthread_mutex_t read_lock;
	pthread_cond_t read_work;
	struct op_list read_in;
	struct reader readers[READERS];

	pthread_mutex_t done_lock;
	struct op_list done;
};

/* ---- operations, on the loop ---- */

void store_op_init(struct store_op *op, enum err (*run)(struct txn *, struct store_op *),
		   void (*done)(struct store_op *), uint32_t actor, int64_t now_ms)
{
	*op = (struct store_op){.run = run, .done = done, .actor = actor, .now_ms = now_ms};
	STAILQ_INIT(&op->changes);
}

void store_op_release(struct store_op *op)
{
	arena_clear(&op->arena);
	STAILQ_INIT(&op->changes);
}

static void finish_list(struct store *s, struct op_list *list)
{
	(void)pthread_mutex_lock(&s->done_lock);
	STAILQ_CONCAT(&s->done, list);
	(void)pthread_mutex_unlock(&s->done_lock);
	s->wake(s->ctx);
}

void store_submit(struct store *s, struct store_op *op)
{
	atomic_fetch_add_explicit(&s->queue_bytes, (int64_t)op->bytes, memory_order_relaxed);
	(void)pthread_mutex_lock(&s->in_lock);
	bool was_empty = STAILQ_EMPTY(&s->in);
	STAILQ_INSERT_TAIL(&s->in, op, link);
	(void)pthread_mutex_unlock(&s->in_lock);
	/* After the lock, or the writer would wake only to wait for it. */
	if (was_empty) (void)pthread_cond_signal(&s->in_work);
}

void store_read(struct store *s, struct store_op *op)
{
	(void)pthread_mutex_lock(&s->read_lock);
	STAILQ_INSERT_TAIL(&s->read_in, op, link);
	(void)pthread_mutex_unlock(&s->read_lock);
	(void)pthread_cond_signal(&s->read_work);
}

size_t store_queue_bytes(const struct store *s)
{
	int64_t n = atomic_load_explicit(&s->queue_bytes, memory_order_relaxed);
	return n > 0 ? (size_t)n : 0;
}

void store_set_window_us(struct store *s, int64_t us)
{
	atomic_store_explicit(&s->window_us, us, memory_order_relaxed);
}

void store_set_hooks(struct store *s, const struct store_hooks *h) { s->hooks = *h; }

void store_poll(struct store *s)
{
	struct op_list list = STAILQ_HEAD_INITIALIZER(list);
	(void)pthread_mutex_lock(&s->done_lock);
	STAILQ_CONCAT(&list, &s->done);
	(void)pthread_mutex_unlock(&s->done_lock);
	while (!STAILQ_EMPTY(&list)) {
		struct store_op *op = STAILQ_FIRST(&list);
		STAILQ_REMOVE_HEAD(&list, link);
		uint64_t commit = op->commit; /* done may free the op */
		if (op->err == OK && !STAILQ_EMPTY(&op->changes) && s->hooks.changed != NULL)
			s->hooks.changed(s->hooks.ctx, op);
		op->done(op);
		const struct store_op *next = STAILQ_FIRST(&list);
		if (commit != 0 && (next == NULL || next->commit != commit) && s->hooks.batch_end != NULL)
			s->hooks.batch_end(s->hooks.ctx);
	}
}

/* ---- the transaction, on the writer ---- */

struct arena *txn_arena(struct txn *t) { return &t->op->arena; }
int64_t txn_now_ms(struct txn *t) { return t->op->now_ms; }

static enum err step(struct db *db, enum sql which)
{
	struct q q = q_begin(db, which);
	return q_run(&q);
}

/* ---- batches ---- */

static void roll_back(struct store *s)
{
	if (sqlite3_get_autocommit(s->db.h) == 0) (void)step(&s->db, SQL_ROLLBACK);
	zones_undo(&s->txn.zones, 0);
}

static void fail_all(struct op_list *list, enum err e, const char *text)
{
	struct store_op *op;
	STAILQ_FOREACH (op, list, link) {
		op->err = e;
		op->info = (struct errinfo){.err = e};
		if (text != NULL) (void)err_set(&op->info, e, "%s", text);
		STAILQ_INIT(&op->changes);
		op->commit = 0;
	}
}

static void disk_failed(struct store *s)
{
	s->failed = true;
	(void)sqlite3_db_config(s->db.h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	s->fatal(s->ctx, s->db.fatal, s->db.fatal_text);
}

/* Moves up to BATCH_MAX waiting commands to `out`. */
static size_t take_waiting(struct store *s, struct op_list *out, size_t have)
{
	size_t n = 0;
	while (have + n < BATCH_MAX && !STAILQ_EMPTY(&s->in)) {
		struct store_op *op = STAILQ_FIRST(&s->in);
		STAILQ_REMOVE_HEAD(&s->in, link);
		STAILQ_INSERT_TAIL(out, op, link);
		n++;
	}
	return n;
}

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t boot_us)
{
	int64_t left = boot_us - clock_boot_us();
	if (left <= 0) return;
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	int64_t ns = ts.tv_nsec + left % 1000000 * 1000;
	ts.tv_sec += left / 1000000 + ns / 1000000000;
	ts.tv_nsec = ns % 1000000000;
	(void)pthread_cond_timedwait(cond, lock, &ts);
}

/* Company that came while the batch ran or the window was open. */
static size_t take_company(struct store *s, struct op_list *out, size_t have, int64_t until_us)
{
	(void)pthread_mutex_lock(&s->in_lock);
	if (STAILQ_EMPTY(&s->in) && !s->stop) wait_until(&s->in_work, &s->in_lock, until_us);
	size_t n = take_waiting(s, out, have);
	(void)pthread_mutex_unlock(&s->in_lock);
	return n;
}

static void run_all(struct store *s, struct op_list *batch)
{
	int64_t window = atomic_load_explicit(&s->window_us, memory_order_relaxed);
	int64_t until_us = clock_boot_us() + window;
	struct store_op *op = STAILQ_FIRST(batch), *last = NULL;
	size_t n = 0;
	for (;;) {
		for (; op != NULL && !command_spoilt(&s->txn); op = STAILQ_NEXT(op, link)) {
			command_run(&s->txn, op);
			last = op;
			n++;
		}
		if (command_spoilt(&s->txn) || n >= BATCH_MAX || window <= 0 || clock_boot_us() >= until_us) return;
		(void)take_company(s, batch, n, until_us);
		op = last != NULL ? STAILQ_NEXT(last, link) : STAILQ_FIRST(batch);
	}
}

/* Runs and commits a batch; every op of it has its outcome when this returns. */
static void commit_batch(struct store *s, struct op_list *batch)
{
	struct store_op *op;
	if (s->failed) {
		fail_all(batch, ERR_IO, s->db.fatal_text);
		return;
	}
	s->db.full = false;
	command_reset(&s->txn);
	enum err e = step(&s->db, SQL_BEGIN_WRITE);
	if (e == OK) run_all(s, batch);
	if (e == OK && !command_spoilt(&s->txn)) command_end(&s->txn);
	if (e == OK && !command_spoilt(&s->txn)) e = zones_write(&s->txn);
	bool wrote = s->txn.zones.nlog > 0;
	if (e == OK && !command_spoilt(&s->txn)) {
		int before = s->db.wal_frames;
		s->db.wal_frames = -1;
		e = step(&s->db, SQL_COMMIT);
		wrote = s->db.wal_frames >= 0; /* the hook runs only when there was something to write */
		if (!wrote) s->db.wal_frames = before;
	}
	if (e == OK && !s->db.full && s->db.fatal == OK && sqlite3_get_autocommit(s->db.h) != 0) {
		zones_committed(&s->txn.zones);
		s->commit_number++;
		STAILQ_FOREACH (op, batch, link) op->commit = s->commit_number;
		if (wrote) {
			s->checkpoint_due = true;
			s->committed_us = clock_boot_us();
			atomic_fetch_add_explicit(&s->commits, 1, memory_order_relaxed);
		}
		return;
	}
	roll_back(s);
	if (s->db.fatal != OK) {
		fail_all(batch, ERR_IO, s->db.fatal_text);
		disk_failed(s);
	} else if (s->db.full) {
		fail_all(batch, ERR_STORAGE_FULL, NULL);
		s->checkpoint_at_us = 0;
	} else {
		fail_all(batch, e != OK ? e : ERR_INTERNAL, sqlite3_errmsg(s->db.h));
	}
}

/* ---- checkpoints ---- */

static void checkpoint(struct store *s)
{
	int in_wal = 0, copied = 0;
	s->db.full = false;
	int rc = sqlite3_wal_checkpoint_v2(s->db.h, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_wal, &copied);
	enum err e = db_err(&s->db, rc);
	if (s->db.fatal != OK) {
		disk_failed(s);
		return;
	}
	bool whole = e == OK && copied >= in_wal;
	s->checkpoint_due = !whole;
	s->checkpoint_at_us = clock_boot_us() + (whole ? CHECKPOINT_GAP_US : CHECKPOINT_RETRY_US);
	atomic_fetch_add_explicit(&s->checkpoints, 1, memory_order_relaxed);
}

static void checkpoint_when_many(struct store *s)
{
	if (s->failed || !s->checkpoint_due) return;
	if (s->db.full || (s->db.wal_frames >= CHECKPOINT_FRAMES && clock_boot_us() >= s->checkpoint_at_us))
		checkpoint(s);
}

/* When an idle writer may checkpoint. */
static int64_t checkpoint_time(const struct store *s)
{
	int64_t rest = s->db.wal_frames < CHECKPOINT_FEW ? s->committed_us + CHECKPOINT_REST_US : 0;
	return MAX(s->checkpoint_at_us, rest);
}

/* Waits for commands; an empty batch means that a checkpoint is due, false that the store closes. */
static bool take_batch(struct store *s, struct op_list *batch)
{
	(void)pthread_mutex_lock(&s->in_lock);
	while (STAILQ_EMPTY(&s->in) && !s->stop) {
		if (s->failed || !s->checkpoint_due) (void)pthread_cond_wait(&s->in_work, &s->in_lock);
		else if (clock_boot_us() >= checkpoint_time(s)) break;
		else wait_until(&s->in_work, &s->in_lock, checkpoint_time(s));
	}
	(void)take_waiting(s, batch, 0);
	bool go_on = !STAILQ_EMPTY(batch) || !s->stop;
	(void)pthread_mutex_unlock(&s->in_lock);
	return go_on;
}

static void *writer_main(void *arg)
{
	struct store *s = arg;
	struct op_list batch = STAILQ_HEAD_INITIALIZER(batch);
	while (take_batch(s, &batch)) {
		if (STAILQ_EMPTY(&batch)) {
			checkpoint(s);
			continue;
		}
		commit_batch(s, &batch);
		int64_t bytes = 0, n = 0;
		const struct store_op *op;
		STAILQ_FOREACH (op, &batch, link) {
			bytes += (int64_t)op->bytes;
			n++;
		}
		atomic_fetch_sub_explicit(&s->queue_bytes, bytes, memory_order_relaxed);
		atomic_fetch_add_explicit(&s->commands, n, memory_order_relaxed);
		finish_list(s, &batch);
		checkpoint_when_many(s);
	}
	return NULL;
}

/* ---- readers ---- */

static void run_read(struct reader *r, struct store_op *op)
{
	r->txn.op = op;
	r->db.deadline_ms = clock_boot_ms() + READ_DEADLINE_MS;
	op->commit = 0;
	op->err = step(&r->db, SQL_BEGIN_READ);
	if (op->err == OK) op->err = op->run(&r->txn, op);
	r->db.deadline_ms = 0;
	if (sqlite3_get_autocommit(r->db.h) == 0) {
		enum err e = step(&r->db, SQL_COMMIT);
		if (op->err == OK) op->err = e;
	}
	r->db.full = false;
	r->db.fatal = OK; /* the writer is the judge of the disk */
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	struct store *s = r->store;
	for (;;) {
		struct op_list one = STAILQ_HEAD_INITIALIZER(one);
		(void)pthread_mutex_lock(&s->read_lock);
		while (STAILQ_EMPTY(&s->read_in) && r->running) (void)pthread_cond_wait(&s->read_work, &s->read_lock);
		struct store_op *op = STAILQ_FIRST(&s->read_in);
		if (op != NULL) STAILQ_REMOVE_HEAD(&s->read_in, link);
		(void)pthread_mutex_unlock(&s->read_lock);
		if (op == NULL) return NULL;
		run_read(r, op);
		STAILQ_INSERT_TAIL(&one, op, link);
		finish_list(s, &one);
	}
}

/* ---- open and close ---- */

static void ready_txn(struct txn *t, struct store *s, struct db *db)
{
	*t = (struct txn){.store = s, .db = db, .intern = &s->intern, .limits = s->limits, .zones = {.mark = 1}};
}

/* Numbers that are given out from memory go on from the greatest that is stored. */
static enum err load(struct store *s, struct errinfo *info)
{
	int64_t zone, user, row, chunk, epoch;
	enum err e = intern_load(&s->intern, &s->db, info);
	if (e == OK) e = db_number(&s->db, "SELECT coalesce(max(zone), 0) FROM zone", &zone);
	if (e == OK) e = db_number(&s->db, "SELECT coalesce(max(user), 0) FROM user", &user);
	if (e == OK) e = db_number(&s->db, "SELECT coalesce(max(row), 0) FROM record", &row);
	if (e == OK) e = db_number(&s->db, "SELECT coalesce(max(id), 0) FROM chunk", &chunk);
	if (e == OK) e = meta_get(&s->db, "epoch", &epoch);
	if (e == OK) e = meta_get(&s->db, "incarnation", &s->incarnation);
	if (e != OK) return e;
	s->incarnation++;
	s->epoch = (uint64_t)epoch;
	ready_txn(&s->txn, s, &s->db);
	s->txn.zones.next_id = (uint32_t)zone + 1;
	s->txn.next_user = user + 1;
	s->txn.next_row = row + 1;
	s->txn.next_chunk = chunk + 1;
	return meta_set(&s->db, "incarnation", s->incarnation);
}

/* A file made here belongs to nobody else, and SQLite gives the WAL its mode. */
static enum err make_file(const char *path, const char *dir, struct errinfo *info)
{
	struct stat st;
	if (stat(path, &st) == 0) return OK;
	FILE *f = fopen(path, "ax");
	if (f == NULL || fchmod(fileno(f), 0600) != 0) {
		enum err e = errno == EROFS || errno == EACCES ? ERR_READ_ONLY
			     : os_has_no_room(errno)           ? ERR_STORAGE_FULL
							       : ERR_IO;
		e = err_set(info, e, "%s cannot be made: %s", path, strerror(errno));
		if (f != NULL) (void)fclose(f);
		return e;
	}
	(void)fclose(f);
	return dir_sync(dir, info);
}

static bool start_thread(pthread_t *out, void *(*main)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	(void)sigfillset(&all);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, THREAD_STACK);
	(void)pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are the loop's */
	bool ok = pthread_create(out, &attr, main, arg) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	return ok;
}

static enum err start_threads(struct store *s, struct errinfo *info)
{
	for (int i = 0; i < READERS; i++) {
		struct reader *r = &s->readers[i];
		r->store = s;
		enum err e = db_open(&r->db, s->path, DB_READER, NULL, info);
		if (e != OK) return e;
		ready_txn(&r->txn, s, &r->db);
		r->running = true;
		if (!start_thread(&r->thread, reader_main, r)) {
			r->running = false;
			return err_set(info, ERR_INTERNAL, "no thread for a store reader");
		}
	}
	s->writer_running = start_thread(&s->writer, writer_main, s);
	return s->writer_running ? OK : err_set(info, ERR_INTERNAL, "no thread for the store's writer");
}

static void init_locks(struct store *s)
{
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&s->in_lock, NULL);
	(void)pthread_mutex_init(&s->read_lock, NULL);
	(void)pthread_mutex_init(&s->done_lock, NULL);
	(void)pthread_cond_init(&s->in_work, &attr);
	(void)pthread_cond_init(&s->read_work, NULL);
	(void)pthread_condattr_destroy(&attr);
}

enum err store_open(const struct store_options *o, struct store **out, struct errinfo *info)
{
	struct store *s = xcalloc(1, sizeof *s);
	*s = (struct store){.limits = o->limits, .wake = o->wake, .fatal = o->fatal, .ctx = o->ctx, .lock_fd = -1};
	s->dir = xstrdup(o->dir);
	s->path = path_join(o->dir, "roost.db");
	STAILQ_INIT(&s->in);
	STAILQ_INIT(&s->read_in);
	STAILQ_INIT(&s->done);
	init_locks(s);
	intern_init(&s->intern);
	*out = NULL;
	enum err e = dir_make(s->dir, info);
	if (e == OK) e = dir_lock(s->dir, &s->lock_fd, info);
	if (e == OK) e = make_file(s->path, s->dir, info);
	if (e == OK) e = db_open(&s->db, s->path, DB_WRITER, o->weak_sync ? "NORMAL" : "FULL", info);
	if (e == OK) e = schema_migrate(&s->db, s->path, store_migrations, store_migration_count, info);
	if (e == OK) {
		e = load(s, info);
		if (e != OK && info != NULL && info->text[0] == '\0')
			(void)err_set(info, e, "%s: %s", s->path, s->db.fatal_text);
	}
	if (e == OK) e = dir_sync(s->dir, info); /* the WAL's name */
	if (e == OK) e = start_threads(s, info);
	if (e != OK) {
		if (info != NULL) info->err = e;
		store_close(s);
		return e;
	}
	*out = s;
	return OK;
}

static void stop_threads(struct store *s)
{
	(void)pthread_mutex_lock(&s->in_lock);
	s->stop = true;
	(void)pthread_cond_signal(&s->in_work);
	(void)pthread_mutex_unlock(&s->in_lock);
	if (s->writer_running) (void)pthread_join(s->writer, NULL);
	bool running[READERS];
	(void)pthread_mutex_lock(&s->read_lock);
	for (int i = 0; i < READERS; i++) {
		running[i] = s->readers[i].running;
		s->readers[i].running = false;
	}
	(void)pthread_cond_broadcast(&s->read_work);
	(void)pthread_mutex_unlock(&s->read_lock);
	for (int i = 0; i < READERS; i++)
		if (running[i]) (void)pthread_join(s->readers[i].thread, NULL);
}

/* What the last done callbacks still submitted is refused; they may submit more, so until nothing comes. */
static void finish_rest(struct store *s)
{
	while (!STAILQ_EMPTY(&s->done) || !STAILQ_EMPTY(&s->in) || !STAILQ_EMPTY(&s->read_in)) {
		store_poll(s);
		STAILQ_CONCAT(&s->in, &s->read_in);
		fail_all(&s->in, ERR_SHUTTING_DOWN, NULL);
		STAILQ_CONCAT(&s->done, &s->in);
	}
}

void store_close(struct store *s)
{
	if (s == NULL) return;
	stop_threads(s);
	finish_rest(s);
	zones_release(&s->txn.zones);
	for (int i = 0; i < READERS; i++) db_close(&s->readers[i].db);
	db_close(&s->db); /* the last connection copies the WAL into the database and removes it */
	if (s->lock_fd >= 0) (void)close(s->lock_fd);
	intern_release(&s->intern);
	(void)pthread_cond_destroy(&s->in_work);
	(void)pthread_cond_destroy(&s->read_work);
	(void)pthread_mutex_destroy(&s->in_lock);
	(void)pthread_mutex_destroy(&s->read_lock);
	(void)pthread_mutex_destroy(&s->done_lock);
	free(s->path);
	free(s->dir);
	free(s);
}

/* ---- what the store knows of itself ---- */

uint64_t store_epoch(const struct store *s) { return s->epoch; }
int64_t store_incarnation(const struct store *s) { return s->incarnation; }
const char *store_path(const struct store *s) { return s->path; }
const struct principal *store_principal(struct store *s, uint32_t id) { return intern_principal(&s->intern, id); }
struct str store_type_name(struct store *s, uint32_t type) { return intern_type(&s->intern, type); }

void store_counters(struct store *s, struct store_status *out)
{
	out->commits = atomic_load_explicit(&s->commits, memory_order_relaxed);
	out->commands = atomic_load_explicit(&s->commands, memory_order_relaxed);
	out->checkpoints = atomic_load_explicit(&s->checkpoints, memory_order_relaxed);
	out->queue_bytes = (int64_t)store_queue_bytes(s);
	out->incarnation = s->incarnation;
}
