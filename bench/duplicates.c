/* Duplicates: what it costs to know that something was sent before.
 *
 *     bench_duplicates --dir DIR [--ids 1000000] [--checks 2000000] [--lookups 200000]
 *
 * Two things are asked of every message. Was its id here before, ever: a look-up in the store, among `ids` messages of
 * one conversation, on the writer thread, as message:send does it; cold (a store just opened, its file not in the page
 * cache) and warm. And has another device just said the same: the content net's table, with texts of 64 bytes, a
 * thousandth of them a repetition, ten times as many as fit into the window so that old ones always go. Prints one line,
 *
 *     {"ids","idsWarmPerSecond","idsColdPerSecond","heldBytes","storeBytes","insertPerSecond",
 *      "warmPerSecond","shaPerSecond","slowestUs","p999Us","entries","tableBytes"}
 *
 * heldBytes: anonymous memory of this process after the look-ups, whatever it is for, caches of the store included.
 * shaPerSecond: SHA-256 of the same texts and nothing else. slowestUs, p999Us: processor time of single checks while the
 * table grows to `entries` and gives its memory back bit by bit. */
#include <fcntl.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/id.h"
#include "device/duplicate.h"
#include "gear/args.h"
#include "gear/stats.h"
#include "store/store.h"

#define PER_COMMAND 500
#define TEXT_BYTES 64
#define WINDOW_MS 5000
#define KEPT 200000 /* entries that are within the window */

struct bench {
	const char *dir;
	struct limits limits;
	struct store *store;
	sem_t woken;
	uint32_t actor, zone;
	int64_t conv, ids;
};

struct step {
	struct store_op op;
	struct bench *b;
	enum err (*fn)(struct txn *t, struct step *s);
	int64_t from;
	uint64_t seed;
	bool done;
};

static void wake(void *ctx) { (void)sem_post(&((struct bench *)ctx)->woken); }
static void fatal(void *ctx, enum err e, const char *what)
{
	(void)ctx;
	die(err_exit(e), "%s", what);
}

static void store_start(struct bench *b)
{
	struct errinfo info = {0};
	struct store_options o = {.dir = b->dir, .limits = &b->limits, .wake = wake, .fatal = fatal, .ctx = b};
	if (store_open(&o, &b->store, &info) != OK) die(1, "%s", err_sentence(&info, info.err));
}

static enum err step_run(struct txn *t, struct store_op *op)
{
	struct step *s = CONTAINER_OF(op, struct step, op);
	return s->fn(t, s);
}
static void step_done(struct store_op *op) { CONTAINER_OF(op, struct step, op)->done = true; }

static void step(struct bench *b, struct step *s, enum err (*fn)(struct txn *t, struct step *s))
{
	store_op_init(&s->op, step_run, step_done, b->actor, clock_wall_ms());
	s->op.bytes = 1000;
	s->b = b;
	s->fn = fn;
	s->done = false;
	store_submit(b->store, &s->op);
	while (!s->done) {
		while (sem_wait(&b->woken) != 0) {
		}
		store_poll(b->store);
	}
	if (s->op.err != OK) die(1, "%s", err_sentence(&s->op.info, s->op.err));
	store_op_release(&s->op);
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

/* The id of message number i, as its device would have made it: time first, then chance. */
static struct str id_of(int64_t i, char out[ID_LEN + 1])
{
	uint64_t ms = 1700000000000u + (uint64_t)i / 8, x = hash64(str_n((const char *)&i, sizeof i), 1);
	snprintf(out, ID_LEN + 1, "%08x-%04x-7%03x-8%03x-%012llx", (unsigned)(ms >> 16), (unsigned)(ms & 0xffff),
		 (unsigned)(x >> 52), (unsigned)(x & 0xfff), (unsigned long long)(x >> 4 & 0xffffffffffff));
	return str_n(out, ID_LEN);
}

static enum err make_home(struct txn *t, struct step *s)
{
	struct bench *b = s->b;
	struct user_row u;
	struct record conv = {.type = RT_CONVERSATION, .name = STR("c"), .fields = STR("{}")};
	enum err e = txn_user_add(t, STR("one"), &u);
	if (e == OK) e = txn_principal(t, u.user, STR("phone"), &b->actor);
	if (e == OK) e = txn_zone(t, u.user, ZONE_HOME, true, &b->zone);
	conv.zone = b->zone;
	s->op.actor = b->actor;
	if (e == OK) e = txn_put(t, &conv);
	b->conv = conv.row;
	return e;
}

static enum err put_some(struct txn *t, struct step *s)
{
	char id[ID_LEN + 1];
	enum err e = OK;
	for (int64_t i = s->from; e == OK && i < MIN(s->from + PER_COMMAND, s->b->ids); i++) {
		struct record m = {.zone = s->b->zone,
				   .type = RT_MESSAGE,
				   .name = id_of(i, id),
				   .fields = STR("{\"role\":\"user\",\"text\":\"yes\"}"),
				   .conv = s->b->conv,
				   .ord = i + 1,
				   .origin = STR("0123456789abcdef012345670")};
		e = txn_put(t, &m);
	}
	return e;
}

static enum err look_up_some(struct txn *t, struct step *s)
{
	struct rng rng;
	struct record r;
	char id[ID_LEN + 1];
	enum err e = OK;
	rng_seed(&rng, s->seed);
	for (int i = 0; e == OK && i < PER_COMMAND; i++)
		e = txn_get(t, s->b->zone, RT_MESSAGE, id_of((int64_t)rng_below(&rng, (uint64_t)s->b->ids), id), &r);
	return e;
}

static double look_up(struct bench *b, int64_t n, uint64_t seed)
{
	struct step s;
	int64_t t0 = now_ns();
	for (int64_t i = 0; i < n; i += PER_COMMAND) {
		s.seed = seed + (uint64_t)i;
		step(b, &s, look_up_some);
	}
	return (double)n / ((double)(now_ns() - t0) / 1e9);
}

/* Out of the page cache, as far as the kernel goes along. */
static int64_t forget_file(const struct bench *b)
{
	char path[512];
	struct stat st = {0};
	snprintf(path, sizeof path, "%s/roost.db", b->dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return 0;
	(void)fsync(fd);
	(void)fstat(fd, &st);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return st.st_size;
}

static void ids(struct bench *b, int64_t lookups)
{
	struct step s;
	store_start(b);
	step(b, &s, make_home);
	int64_t t0 = now_ns();
	for (s.from = 0; s.from < b->ids; s.from += PER_COMMAND) step(b, &s, put_some);
	double insert = (double)b->ids / ((double)(now_ns() - t0) / 1e9);
	store_close(b->store);
	int64_t bytes = forget_file(b);
	store_start(b);
	double cold = look_up(b, MAX(lookups / 10, PER_COMMAND), 1);
	(void)look_up(b, lookups, 1 << 20);
	double warm = look_up(b, lookups, 1 << 20);
	printf("{\"ids\":%lld,\"idsWarmPerSecond\":%.0f,\"idsColdPerSecond\":%.0f,\"heldBytes\":%lld,\"storeBytes\":%lld,"
	       "\"insertPerSecond\":%.0f,",
	       (long long)b->ids, warm, cold, (long long)proc_anon_bytes(getpid()), (long long)bytes, insert);
	store_close(b->store);
}

/* ---- content ----------------------------------------------------------------------------------------------------- */

/* Text number i; each thousandth is the one before it again. */
static struct str text_of(int64_t i, char out[TEXT_BYTES + 1])
{
	if (i % 1000 == 999) i--;
	memset(out, 'x', TEXT_BYTES);
	out[snprintf(out, TEXT_BYTES, "%lld", (long long)i)] = ' ';
	return str_n(out, TEXT_BYTES);
}

/* As a send does it; true when it is a duplicate. */
static bool check(struct duplicates *d, int64_t i, int64_t now_ms)
{
	char text[TEXT_BYTES + 1];
	struct duplicate_entry e = {.row = i + 1, .boot_ms = now_ms, .device = 1 + (uint32_t)(i % 2)};
	duplicate_key(1, STR("01920000-0000-7000-8000-0000000000b1"), text_of(i, text), STR_NONE, &e.key);
	duplicates_expire(d, now_ms - WINDOW_MS);
	if (duplicates_find(d, &e.key, e.device) != NULL) return true;
	duplicates_add(d, &e);
	return false;
}

static double sha_alone(int64_t n)
{
	char text[TEXT_BYTES + 1];
	unsigned char digest[SHA256_LEN];
	unsigned seen = 0;
	int64_t t0 = now_ns();
	for (int64_t i = 0; i < n; i++) {
		sha256(text_of(i, text), digest);
		seen += digest[0];
	}
	return seen == 0 ? 0 : (double)n / ((double)(now_ns() - t0) / 1e9);
}

/* Processor time, so that other programs of a busy machine are not taken for a slow table. */
static int64_t own_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static void content(int64_t n)
{
	struct duplicates *d = duplicates_new(1 << 20, 0);
	int64_t found = 0, most = 1 << 20;
	for (int64_t i = 0; i < KEPT; i++) (void)check(d, i, i * WINDOW_MS / KEPT);
	int64_t t0 = now_ns();
	for (int64_t i = KEPT; i < KEPT + n; i++) found += check(d, i, i * WINDOW_MS / KEPT);
	double warm = (double)n / ((double)(now_ns() - t0) / 1e9);
	if (found != (KEPT + n) / 1000 - KEPT / 1000) die(1, "%lld duplicates were found", (long long)found);
	duplicates_free(d);

	/* One by one, up to the greatest size and down again. */
	struct samples one = {0};
	d = duplicates_new(most, 0);
	size_t bytes = 0;
	for (int64_t i = 0; i < 2 * most; i++) {
		t0 = own_ns();
		(void)check(d, i, i < most ? 0 : WINDOW_MS * i / most);
		samples_add(&one, own_ns() - t0);
		bytes = MAX(bytes, duplicates_bytes(d));
	}
	duplicates_free(d);
	printf("\"warmPerSecond\":%.0f,\"shaPerSecond\":%.0f,\"slowestUs\":%.1f,\"p999Us\":%.2f,\"entries\":%lld,"
	       "\"tableBytes\":%zu}\n",
	       warm, sha_alone(n), (double)samples_at(&one, 1) / 1e3, (double)samples_at(&one, 0.999) / 1e3,
	       (long long)most, bytes);
	samples_release(&one);
}

int main(int argc, char **argv)
{
	struct args a = {argc, argv, 0};
	struct bench b = {.dir = args_text(&a, "dir", NULL), .ids = args_int(&a, "ids", 1000000)};
	int64_t checks = args_int(&a, "checks", 2000000), lookups = args_int(&a, "lookups", 200000);
	args_done(&a);
	limits_default(&b.limits);
	(void)sem_init(&b.woken, 0, 0);
	ids(&b, lookups);
	content(checks);
	return 0;
}
