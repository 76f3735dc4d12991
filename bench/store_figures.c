/* Figures of the store alone, each beside a bare SQLite program with the same tables, statements and batches but no
 * threads, savepoints, checksums or checks.
 *
 *   bench_store_figures [--dir DIR] [--messages N] [--json FILE]
 *
 * acks      64 zones with one conversation each, 32 messages of 200 bytes unacknowledged per zone
 * chunks    64 answers, one chunk each per commit
 * growth    the same zone with 1,000 and with N messages in it: what the next 2,000 cost
 * open      opening the store with N messages */
#include "store/store.h"

#include <getopt.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "store/txn.h"

#define ZONES 64
#define UNACKED 32
#define TEXT_BYTES 200

struct bench {
	const char *dir;
	struct limits limits;
	struct store *store;
	sem_t woken;
	uint32_t actor[ZONES], zone[ZONES];
	int64_t conv[ZONES];
	FILE *json;
	int njson;
};

static char text_json[TEXT_BYTES + 200]; /* the fields of every message */

static void figure(struct bench *b, const char *name, double value, const char *unit, double bar, bool at_least,
		   const char *ref_name, double ref)
{
	bool met = at_least ? value >= bar : value <= bar;
	printf("%-58s %12.2f %-10s bar %s %.2f  %s   %s %.2f\n", name, value, unit, at_least ? ">=" : "<=", bar,
	       met ? "met" : "MISSED", ref_name, ref);
	if (b->json == NULL) return;
	fprintf(b->json,
		"%s\n{\"figure\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",\"bar\":%.3f,\"met\":%s,"
		"\"reference\":{\"name\":\"%s\",\"value\":%.3f}}",
		b->njson++ > 0 ? "," : "", name, value, unit, bar, met ? "true" : "false", ref_name, ref);
}

/* Processor time in seconds: of this thread, or of all the others. */
static double cpu_s(bool others)
{
	struct rusage me, all;
	(void)getrusage(RUSAGE_THREAD, &me);
	(void)getrusage(RUSAGE_SELF, &all);
	double mine = (double)(me.ru_utime.tv_sec + me.ru_stime.tv_sec) +
		      (double)(me.ru_utime.tv_usec + me.ru_stime.tv_usec) / 1e6;
	double sum = (double)(all.ru_utime.tv_sec + all.ru_stime.tv_sec) +
		     (double)(all.ru_utime.tv_usec + all.ru_stime.tv_usec) / 1e6;
	return others ? sum - mine : mine;
}

/* ---- the store ---- */

static void wake(void *ctx) { (void)sem_post(&((struct bench *)ctx)->woken); }
static void fatal(void *ctx, enum err e, const char *what)
{
	(void)ctx;
	die(err_exit(e), "%s", what);
}

static void must(enum err e, const struct errinfo *info)
{
	if (e != OK) die(1, "%s", err_sentence(info, e));
}

static double open_store(struct bench *b)
{
	struct errinfo info = {0};
	struct store_options o = {.dir = b->dir, .limits = &b->limits, .wake = wake, .fatal = fatal, .ctx = b};
	int64_t t0 = clock_boot_us();
	must(store_open(&o, &b->store, &info), &info);
	return (double)(clock_boot_us() - t0) / 1e6;
}

struct job {
	struct store_op op;
	struct bench *b;
	int zone;
	int64_t *left; /* to submit */
	int64_t *unfinished;
	struct id id;
};

/* What message:send does to the store: is the id new, what is the last ord, insert. */
static enum err send_run(struct txn *t, struct store_op *op)
{
	struct job *j = CONTAINER_OF(op, struct job, op);
	struct record r;
	int64_t ord;
	enum err e = txn_get(t, j->b->zone[j->zone], RT_MESSAGE, id_str(&j->id), &r);
	if (e != ERR_NOT_FOUND) return e == OK ? ERR_EXISTS : e;
	e = txn_last_ord(t, j->b->zone[j->zone], j->b->conv[j->zone], &ord);
	if (e != OK) return e;
	r = (struct record){.zone = j->b->zone[j->zone],
			    .type = RT_MESSAGE,
			    .name = id_str(&j->id),
			    .fields = str_c(text_json),
			    .conv = j->b->conv[j->zone],
			    .ord = ord + 1,
			    .origin = str_n(text_json, 25)};
	return txn_put(t, &r);
}

static void submit(struct job *j)
{
	int64_t now = clock_wall_ms();
	j->id = id_new(now);
	store_op_init(&j->op, send_run, j->op.done, j->b->actor[j->zone], now);
	j->op.bytes = 400;
	j->op.repeatable = true;
	store_submit(j->b->store, &j->op);
}

static void send_done(struct store_op *op)
{
	struct job *j = CONTAINER_OF(op, struct job, op);
	must(op->err, &op->info);
	store_op_release(op);
	--*j->unfinished;
	if (*j->left > 0) {
		--*j->left;
		submit(j);
	}
}

/* n messages over `zones` zones, `unacked` at once in each; seconds it took. */
static double send_messages(struct bench *b, int64_t n, int zones, int unacked)
{
	int64_t left = n, unfinished = n, t0 = clock_boot_us();
	size_t njobs = (size_t)zones * (size_t)unacked;
	struct job *jobs = xcalloc(njobs, sizeof *jobs);
	for (size_t i = 0; i < njobs && left > 0; i++) {
		jobs[i] = (struct job){
			.b = b, .zone = (int)(i % (size_t)zones), .left = &left, .unfinished = &unfinished};
		jobs[i].op.done = send_done;
		left--;
		submit(&jobs[i]);
	}
	while (unfinished > 0) {
		while (sem_wait(&b->woken) != 0) {
		}
		store_poll(b->store);
	}
	free(jobs);
	return (double)(clock_boot_us() - t0) / 1e6;
}

static enum err prepare_run(struct txn *t, struct store_op *op)
{
	struct bench *b = CONTAINER_OF(op, struct job, op)->b;
	for (int i = 0; i < ZONES; i++) {
		struct user_row u;
		char name[16];
		(void)snprintf(name, sizeof name, "user%d", i);
		enum err e = txn_user_add(t, str_c(name), &u);
		if (e == OK) e = txn_principal(t, u.user, STR("device"), &b->actor[i]);
		if (e == OK) e = txn_zone(t, u.user, ZONE_HOME, true, &b->zone[i]);
		struct record c = {
			.zone = b->zone[i], .type = RT_CONVERSATION, .name = STR("conversation"), .fields = STR("{}")};
		if (e == OK) e = txn_put(t, &c);
		if (e != OK) return e;
		b->conv[i] = c.row;
	}
	return OK;
}

static void run_once(struct bench *b, enum err (*run)(struct txn *, struct store_op *), void (*done)(struct store_op *),
		     struct job *j, int64_t *unfinished)
{
	*unfinished = 1;
	*j = (struct job){.b = b, .left = &(int64_t){0}, .unfinished = unfinished};
	store_op_init(&j->op, run, done, 0, clock_wall_ms());
	store_submit(b->store, &j->op);
	while (*unfinished > 0) {
		while (sem_wait(&b->woken) != 0) {
		}
		store_poll(b->store);
	}
}

static enum err chunks_run(struct txn *t, struct store_op *op)
{
	(void)op;
	for (int i = 0; i < 100; i++) {
		struct chunk c = {.request = 1 + i, .attempt = 1, .offset = i, .text = STR("some words of an answer ")};
		enum err e = txn_chunk_add(t, &c);
		if (e != OK) return e;
	}
	return OK;
}

/* ---- bare SQLite ---- */

struct bare {
	sqlite3 *h;
	sqlite3_stmt *begin, *commit, *get, *ord, *insert, *zone, *chunk;
	int frames;
};

static int bare_frames(void *ctx, sqlite3 *h, const char *name, int frames)
{
	(void)h;
	(void)name;
	((struct bare *)ctx)->frames = frames;
	return SQLITE_OK;
}

static sqlite3_stmt *bare_prepare(struct bare *b, const char *sql)
{
	sqlite3_stmt *st;
	if (sqlite3_prepare_v3(b->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
		die(1, "%s", sqlite3_errmsg(b->h));
	return st;
}

static void bare_step(struct bare *b, sqlite3_stmt *st)
{
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
	}
	if (rc != SQLITE_DONE) die(1, "%s", sqlite3_errmsg(b->h));
	(void)sqlite3_reset(st);
}

static void bare_open(struct bare *b, const char *path)
{
	char name[4096];
	static const char *const tails[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		(void)snprintf(name, sizeof name, "%s%s", path, tails[i]);
		(void)unlink(name);
	}
	if (sqlite3_open_v2(path, &b->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) !=
		    SQLITE_OK ||
	    sqlite3_exec(
		    b->h,
		    "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
		    "PRAGMA cache_size=-16384; " STORE_SCHEMA,
		    NULL, NULL, NULL) != SQLITE_OK)
		die(1, "%s", sqlite3_errmsg(b->h));
	sqlite3_wal_hook(b->h, bare_frames, b);
	b->begin = bare_prepare(b, "BEGIN IMMEDIATE");
	b->commit = bare_prepare(b, "COMMIT");
	b->get = bare_prepare(b, RECORD_SELECT "WHERE zone = ? AND type = ? AND name = ?");
	b->ord = bare_prepare(b, "SELECT ord FROM record WHERE conv = ? AND ord IS NOT NULL ORDER BY ord DESC LIMIT 1");
	b->insert = bare_prepare(b, "INSERT INTO record VALUES(?, ?, 4, ?, ?, ?, ?, ?, 1, 1, 0, ?, ?, ?, NULL, ?, ?)");
	b->zone = bare_prepare(
		b, "UPDATE zone SET seq = ?2, floor = ?3, records = ?4, hash = ?5, sum = ?6 WHERE zone = ?1");
	b->chunk = bare_prepare(b, "INSERT INTO chunk VALUES(?, ?, ?, ?, ?, ?, ?)");
	for (int i = 1; i <= ZONES; i++) {
		char sql[120];
		(void)snprintf(sql, sizeof sql, "INSERT INTO zone VALUES(%d, %d, 'roost', 0, 0, 0, 0, 0)", i, i);
		(void)sqlite3_exec(b->h, sql, NULL, NULL, NULL);
	}
}

static void bare_close(struct bare *b)
{
	sqlite3_stmt *all[] = {b->begin, b->commit, b->get, b->ord, b->insert, b->zone, b->chunk};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) (void)sqlite3_finalize(all[i]);
	(void)sqlite3_close(b->h);
}

static void bare_insert(struct bare *b, int64_t n, int zone, int64_t *seq)
{
	struct id id = id_new(clock_wall_ms());
	(void)sqlite3_bind_int(b->get, 1, zone);
	(void)sqlite3_bind_int(b->get, 2, RT_MESSAGE);
	(void)sqlite3_bind_text(b->get, 3, id.s, ID_LEN, SQLITE_STATIC);
	bare_step(b, b->get);
	(void)sqlite3_bind_int(b->ord, 1, zone);
	bare_step(b, b->ord);
	(void)sqlite3_bind_int64(b->insert, 1, n + 1);
	(void)sqlite3_bind_int(b->insert, 2, zone);
	(void)sqlite3_bind_text(b->insert, 3, id.s, ID_LEN, SQLITE_STATIC);
	(void)sqlite3_bind_int64(b->insert, 4, seq[zone - 1]);
	(void)sqlite3_bind_int64(b->insert, 5, seq[zone - 1]);
	(void)sqlite3_bind_int64(b->insert, 6, 1700000000000 + n);
	(void)sqlite3_bind_int64(b->insert, 7, 1700000000000 + n);
	(void)sqlite3_bind_text(b->insert, 8, text_json, -1, SQLITE_STATIC);
	(void)sqlite3_bind_int64(b->insert, 9, zone);
	(void)sqlite3_bind_int64(b->insert, 10, seq[zone - 1]);
	(void)sqlite3_bind_blob(b->insert, 11, text_json, 25, SQLITE_STATIC);
	(void)sqlite3_bind_int64(b->insert, 12, (int64_t)0x123456789abcdef);
	bare_step(b, b->insert);
}

/* n messages in batches of `batch`, over all zones; seconds. */
static double bare_messages(const char *path, int64_t n, int64_t batch)
{
	struct bare b;
	int64_t seq[ZONES] = {0};
	bare_open(&b, path);
	int64_t t0 = clock_boot_us();
	for (int64_t at = 0; at < n;) {
		bare_step(&b, b.begin);
		for (int64_t i = 0; i < batch && at < n; i++, at++) {
			int zone = (int)(at % ZONES);
			seq[zone]++;
			bare_insert(&b, at, zone + 1, seq);
		}
		for (int z = 0; z < ZONES && z < batch; z++) {
			(void)sqlite3_bind_int(b.zone, 1, z + 1);
			for (int i = 2; i <= 6; i++) (void)sqlite3_bind_int64(b.zone, i, seq[z]);
			bare_step(&b, b.zone);
		}
		bare_step(&b, b.commit);
		if (b.frames > 8000) (void)sqlite3_wal_checkpoint_v2(b.h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	}
	double s = (double)(clock_boot_us() - t0) / 1e6;
	bare_close(&b);
	return s;
}

static double bare_chunks(const char *path, int commits)
{
	struct bare b;
	int64_t id = 0;
	bare_open(&b, path);
	int64_t t0 = clock_boot_us();
	for (int c = 0; c < commits; c++) {
		bare_step(&b, b.begin);
		for (int i = 0; i < 100; i++) {
			(void)sqlite3_bind_int64(b.chunk, 1, ++id);
			for (int k = 2; k <= 5; k++) (void)sqlite3_bind_int64(b.chunk, k, i);
			(void)sqlite3_bind_text(b.chunk, 6, "some words of an answer ", -1, SQLITE_STATIC);
			(void)sqlite3_bind_int64(b.chunk, 7, id);
			bare_step(&b, b.chunk);
		}
		bare_step(&b, b.commit);
		if (b.frames > 8000) (void)sqlite3_wal_checkpoint_v2(b.h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	}
	double s = (double)(clock_boot_us() - t0) / 1e6;
	bare_close(&b);
	return s;
}

/* ---- the figures ---- */

static double per_batch(struct bench *b, const struct store_status *before)
{
	struct store_status st = {0};
	store_counters(b->store, &st);
	return (double)(st.commands - before->commands) / (double)MAX(st.commits - before->commits, (int64_t)1);
}

static void bench_acks(struct bench *b, const char *bare_path)
{
	static const int unacked[] = {1, 4, UNACKED};
	for (size_t i = 0; i < ARRAY_LEN(unacked); i++) {
		int64_t n = i == 0 ? 50000 : 200000;
		char name[80];
		struct store_status st = {0};
		store_counters(b->store, &st);
		double cpu = cpu_s(true), s = send_messages(b, n, ZONES, unacked[i]), batch = per_batch(b, &st);
		cpu = cpu_s(true) - cpu;
		double bare_cpu = cpu_s(false), bare = (double)n / bare_messages(bare_path, n, (int64_t)batch);
		bare_cpu = cpu_s(false) - bare_cpu;
		(void)snprintf(name, sizeof name, "durable messages, 64 zones, %d unacked (%.0f per commit)",
			       unacked[i], batch);
		figure(b, name, (double)n / s, "1/s", i == 2 ? 30000 : 0, true, "bare SQLite", bare);
		(void)snprintf(name, sizeof name, "  share of bare SQLite, %d unacked", unacked[i]);
		figure(b, name, (double)n / s / bare, "", 0.6, true, "bare SQLite", 1);
		figure(b, "  processor time per message in the store's threads", cpu / (double)n * 1e6, "us",
		       bare_cpu / 0.6 / (double)n * 1e6, false, "bare SQLite", bare_cpu / (double)n * 1e6);
	}
}

static void bench_chunks(struct bench *b, const char *bare_path)
{
	enum { COMMITS = 1000 };
	struct job j;
	int64_t unfinished, t0 = clock_boot_us();
	for (int i = 0; i < COMMITS; i++) run_once(b, chunks_run, send_done, &j, &unfinished);
	double s = (double)(clock_boot_us() - t0) / 1e6;
	figure(b, "durable chunks, 100 per commit", 100.0 * COMMITS / s, "1/s", 40000, true, "bare SQLite",
	       100.0 * COMMITS / bare_chunks(bare_path, COMMITS));
}

/* The least of several tries, in wall and in processor time per message. */
static void least_cost(struct bench *b, double *out_us, double *out_cpu_us)
{
	*out_us = *out_cpu_us = 1e9;
	for (int i = 0; i < 10; i++) {
		double cpu = cpu_s(true), s = send_messages(b, 2000, 1, 16);
		*out_us = MIN(*out_us, s / 2000 * 1e6);
		*out_cpu_us = MIN(*out_cpu_us, (cpu_s(true) - cpu) / 2000 * 1e6);
	}
}

static void bench_growth(struct bench *b, int64_t total)
{
	double few, few_cpu, many, many_cpu;
	(void)send_messages(b, 1000, 1, 16);
	least_cost(b, &few, &few_cpu);
	(void)send_messages(b, total, 1, 512);
	(void)usleep(300000); /* for the checkpoint after the load */
	least_cost(b, &many, &many_cpu);
	figure(b, "cost of a message, many stored, against few", many / few, "", 1.3, false, "us per message, few",
	       few);
	figure(b, "  the same in processor time", many_cpu / few_cpu, "", 1.3, false, "us per message, few", few_cpu);
}

static void fresh_store(struct bench *b)
{
	static const char *const names[] = {"roost.db", "roost.db-wal", "roost.db-shm", "roost.lock"};
	struct job j;
	int64_t unfinished;
	if (b->store != NULL) store_close(b->store);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *p = path_join(b->dir, names[i]);
		(void)unlink(p);
		free(p);
	}
	(void)open_store(b);
	run_once(b, prepare_run, send_done, &j, &unfinished);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
						{"messages", required_argument, NULL, 'n'},
						{"json", required_argument, NULL, 'j'},
						{0}};
	struct bench b = {.dir = NULL};
	char made[] = "/tmp/roost-bench-XXXXXX";
	int64_t total = 1000000;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 'd') b.dir = optarg;
		else if (c == 'n' && str_to_int(str_c(optarg), &total)) continue;
		else if (c == 'j' && (b.json = fopen(optarg, "w")) != NULL) continue;
		else die(64, "usage: bench_store_figures [--dir DIR] [--messages N] [--json FILE]");
	}
	if (b.dir == NULL) b.dir = mkdtemp(made);
	limits_default(&b.limits);
	(void)sem_init(&b.woken, 0, 0);
	(void)snprintf(text_json, sizeof text_json, "{\"role\":\"user\",\"text\":\"%0*d\"}", TEXT_BYTES, 0);
	char *bare_path = path_join(b.dir, "bare.db");
	if (b.json != NULL) fputs("[", b.json);
	fresh_store(&b);
	bench_acks(&b, bare_path);
	bench_chunks(&b, bare_path);
	fresh_store(&b);
	bench_growth(&b, total);
	store_close(b.store);
	figure(&b, "opening the store with many messages", open_store(&b), "s", 0.5, false, "messages", (double)total);
	store_close(b.store);
	if (b.json != NULL) {
		fputs("\n]\n", b.json);
		(void)fclose(b.json);
	}
	free(bare_path);
	return 0;
}
