/* The reference for durable acks: SQLite alone doing what the daemon's store does for a message, and nothing else.
 *
 *     bench_bare --dir DIR --batch N [--seconds 4] [--zones 64]        as fast as it goes, N messages a commit
 *     bench_bare --dir DIR --rate 1000 [--seconds 10] [--zones 64]     at a rate, from when each message is due
 *
 * Same tables, same statements (both are taken from store/sql.h), same pragmas, same rule for checkpoints: passive, when
 * nothing waits and 10 ms have passed since the last, or at 8,000 frames. No network, no other thread, no JSON, no
 * checksums, no decisions. For each message: is the name free, the conversation's row, its last place, the insert, in
 * a savepoint; for each commit: the row of every zone that changed. At a rate, what is due is committed together.
 * Prints {"messages","seconds","perSecond","commits","checkpoints","latency":{…}}. */
#include <sqlite3.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "gear/args.h"
#include "gear/stats.h"
#include "store/sql.h"

#define TYPE_CONVERSATION 2
#define TYPE_MESSAGE 4
#define CHECKPOINT_FRAMES 8000
#define CHECKPOINT_GAP_NS (10 * NS_PER_MS)
#define CHECKPOINT_FEW 256
#define WARM_NS (NS_PER_SEC / 2)

static const char *const sql_text[SQL_COUNT] = {
#define X(sym, text) [sym] = text,
	SQL_MAP(X)
#undef X
};

struct zone {
	int64_t seq, conversation; /* newest place, row of the one conversation */
	struct id name;            /* of the conversation */
	bool is_dirty;
};

static sqlite3 *db;
static sqlite3_stmt *prepared[SQL_COUNT];
static struct zone *zones;
static size_t nzones;
static int64_t next_row = 1, commits, checkpoints, checkpointed_ns;
static int wal_frames;

static void check(int rc)
{
	if (rc != SQLITE_OK && rc != SQLITE_ROW && rc != SQLITE_DONE) die(74, "SQLite: %s", sqlite3_errmsg(db));
}

static sqlite3_stmt *begin(enum sql which)
{
	if (!prepared[which])
		check(sqlite3_prepare_v3(db, sql_text[which], -1, SQLITE_PREPARE_PERSISTENT, &prepared[which], NULL));
	return prepared[which];
}

/* Binds numbers in order, from place `first` on. */
static void bind(sqlite3_stmt *st, int first, const int64_t *v, int n)
{
	for (int i = 0; i < n; i++) check(sqlite3_bind_int64(st, first + i, v[i]));
}

/* Steps once, gives the first column when there is a row, and resets. */
static int64_t finish(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);
	int64_t out = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;

	check(rc);
	check(sqlite3_reset(st));
	return out;
}

static int64_t find(size_t zone, int64_t type, const struct id *name)
{
	sqlite3_stmt *st = begin(SQL_REC_NAME);

	bind(st, 1, (const int64_t[]){(int64_t)zone + 1, type}, 2);
	check(sqlite3_bind_text(st, 3, name->s, ID_LEN, SQLITE_STATIC));
	return finish(st);
}

static void record_add(size_t zone, int64_t type, const struct id *name, int64_t ord, const char *fields)
{
	struct zone *z = &zones[zone];
	sqlite3_stmt *st = begin(SQL_REC_ADD);
	int64_t row = next_row++, at_ms = clock_wall_ms();
	static const char origin[25];

	z->seq++;
	z->is_dirty = true;
	bind(st, 1, (const int64_t[]){row, (int64_t)zone + 1, type}, 3);
	check(sqlite3_bind_text(st, 4, name->s, ID_LEN, SQLITE_STATIC));
	bind(st, 5, (const int64_t[]){z->seq, z->seq, at_ms, at_ms, (int64_t)zone + 1, (int64_t)zone + 1, 0}, 7);
	check(sqlite3_bind_text(st, 12, fields, -1, SQLITE_STATIC));
	if (ord) {
		bind(st, 13, (const int64_t[]){z->conversation, ord}, 2);
		check(sqlite3_bind_blob(st, 16, origin, sizeof(origin), SQLITE_STATIC));
	} else {
		for (int i = 13; i <= 16; i++) check(sqlite3_bind_null(st, i));
		z->conversation = row;
	}
	check(sqlite3_bind_null(st, 15));
	check(sqlite3_bind_int64(st, 17, (int64_t)((uint64_t)random() * 0x9e3779b97f4a7c15ULL)));
	finish(st);
}

static void message_add(size_t zone)
{
	struct zone *z = &zones[zone];
	struct id name = id_new(clock_wall_ms());
	char fields[640];

	if (find(zone, TYPE_MESSAGE, &name) || !find(zone, TYPE_CONVERSATION, &z->name))
		die(70, "the tables are not right");
	sqlite3_stmt *st = begin(SQL_REC_LAST_ORD);
	bind(st, 1, &z->conversation, 1);
	int64_t ord = finish(st) + 1;
	snprintf(fields, sizeof(fields),
		 "{\"conversationId\":\"%s\",\"sessionId\":\"%s\",\"ord\":%lld,\"role\":\"user\",\"text\":\"%0200lld\","
		 "\"status\":\"complete\"}",
		 z->name.s, z->name.s, (long long)ord, (long long)ord);
	finish(begin(SQL_SAVEPOINT));
	record_add(zone, TYPE_MESSAGE, &name, ord, fields);
	finish(begin(SQL_RELEASE));
}

static void commit(void)
{
	for (size_t i = 0; i < nzones; i++) {
		struct zone *z = &zones[i];
		if (!z->is_dirty) continue;
		sqlite3_stmt *st = begin(SQL_ZONE_SET);
		bind(st, 1, (const int64_t[]){(int64_t)i + 1, z->seq, 0, z->seq, z->seq * 31, z->seq * 37}, 6);
		finish(st);
		z->is_dirty = false;
	}
	finish(begin(SQL_COMMIT));
	commits++;
}

static void checkpoint(void)
{
	int in_wal, copied;

	check(sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_wal, &copied));
	wal_frames = 0;
	checkpoints++;
	checkpointed_ns = now_ns();
}

static int note_frames(void *ctx, sqlite3 *h, const char *name, int frames)
{
	(void)ctx;
	(void)h;
	(void)name;
	wal_frames = frames;
	return SQLITE_OK;
}

static void store_make(const char *dir)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/bare.db", dir);
	unlink(path);
	check(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
	check(sqlite3_exec(
		db,
		"PRAGMA page_size=4096; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-16384;"
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864;" STORE_SCHEMA,
		NULL, NULL, NULL));
	sqlite3_wal_hook(db, note_frames, NULL);
	finish(begin(SQL_BEGIN_WRITE));
	for (size_t i = 0; i < nzones; i++) {
		sqlite3_stmt *st = begin(SQL_ZONE_ADD);
		bind(st, 1, (const int64_t[]){(int64_t)i + 1, (int64_t)i + 1}, 2);
		check(sqlite3_bind_text(st, 3, "roost", -1, SQLITE_STATIC));
		check(sqlite3_bind_int64(st, 4, 0));
		finish(st);
		zones[i].name = id_new(clock_wall_ms());
		record_add(i, TYPE_CONVERSATION, &zones[i].name, 0, "{\"title\":\"bare\"}");
	}
	commit();
}

/* ---- the two ways to run ---------------------------------------------------------------------------------------- */

static int64_t run_batches(int64_t batch, int64_t seconds, int64_t *out_ns)
{
	int64_t messages = 0, number = 0, begun_ns = now_ns() + WARM_NS, end_ns = begun_ns + seconds * NS_PER_SEC;

	while (now_ns() < end_ns) {
		finish(begin(SQL_BEGIN_WRITE));
		for (int64_t i = 0; i < batch; i++) message_add((size_t)number++ % nzones);
		commit();
		if (now_ns() >= begun_ns) messages += batch;
		if (wal_frames >= CHECKPOINT_FRAMES) checkpoint();
	}
	*out_ns = now_ns() - begun_ns;
	return messages;
}

static int64_t run_paced(int64_t rate, int64_t seconds, struct samples *latency, int64_t *out_ns)
{
	int64_t warm = rate, count = warm + rate * seconds, begun_ns = now_ns();

	for (int64_t done = 0; done < count;) {
		int64_t due_ns = begun_ns + done * NS_PER_SEC / rate, first = done;
		if (now_ns() < due_ns) {
			if (wal_frames >= CHECKPOINT_FEW && now_ns() - checkpointed_ns >= CHECKPOINT_GAP_NS)
				checkpoint();
			sleep_until_ns(due_ns);
		}
		finish(begin(SQL_BEGIN_WRITE));
		for (; done < count && begun_ns + done * NS_PER_SEC / rate <= now_ns(); done++)
			message_add((size_t)done % nzones);
		commit();
		int64_t at_ns = now_ns();
		for (int64_t i = MAX(first, warm); i < done; i++)
			samples_add(latency, at_ns - (begun_ns + i * NS_PER_SEC / rate));
		if (wal_frames >= CHECKPOINT_FRAMES) checkpoint();
	}
	*out_ns = now_ns() - begun_ns;
	return count;
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	const char *dir = args_text(&a, "dir", NULL);
	int64_t batch = args_int(&a, "batch", 0), rate = args_int(&a, "rate", 0), seconds = args_int(&a, "seconds", 4),
		took_ns;
	nzones = (size_t)args_int(&a, "zones", 64);
	args_done(&a);
	if ((batch > 0) == (rate > 0)) die(64, "either --batch or --rate");

	prctl(PR_SET_TIMERSLACK, 1UL); /* as the load generator */
	struct samples latency = {0};
	zones = xcalloc(nzones, sizeof(*zones));
	store_make(dir);
	int64_t messages = batch ? run_batches(batch, seconds, &took_ns) : run_paced(rate, seconds, &latency, &took_ns);
	for (size_t i = 0; i < SQL_COUNT; i++) sqlite3_finalize(prepared[i]);
	sqlite3_close(db);
	printf("{\"messages\":%lld,\"seconds\":%.3f,\"perSecond\":%.1f,\"commits\":%lld,\"checkpoints\":%lld,",
	       (long long)messages, (double)took_ns / 1e9, (double)messages * 1e9 / (double)took_ns, (long long)commits,
	       (long long)checkpoints);
	samples_print(&latency, "latency", stdout);
	puts("}");
	return 0;
}
