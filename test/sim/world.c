#include "sim/world.h"

#include <stdarg.h>

#include "base/hash.h"

#define WALL_START_US 1767225600000000LL /* 2026-01-01 */
#define BOOT_START_US (3600 * SECOND)
#define MOST_EVENTS 300000 /* in one simulated second */
#define KEPT 48            /* notes in the report of a failure */
#define NOTE_CAP 480

struct event {
	int64_t at, order;
	event_fn fn;
	void *arg;
};

static struct {
	struct world_options o;
	int64_t now, wall_error, order, steps, nnotes, second, in_second;
	struct event *heap;
	size_t n, cap;
	struct rng people, scheduler, kernel;
	uint64_t hash;
	char kept[KEPT][NOTE_CAP];
} w;

void world_open(const struct world_options *o)
{
	w.o = *o;
	w.now = BOOT_START_US;
	w.wall_error = WALL_START_US - BOOT_START_US;
	rng_seed(&w.people, o->seed * 3);
	rng_seed(&w.scheduler, o->seed * 3 + 1);
	rng_seed(&w.kernel, o->seed * 3 + 2);
	w.hash = o->seed;
}

const struct world_options *world_options(void) { return &w.o; }
bool planted(enum plant p) { return w.o.plant == p && w.steps > 0; }

/* ---- time: a binary heap by (time, order of planning) ---- */

int64_t now_us(void) { return w.now; }
int64_t wall_us(void) { return w.now + w.wall_error; }
void wall_jump(int64_t by_us) { w.wall_error += by_us; }

static bool earlier(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void at(int64_t time_us, event_fn fn, void *arg)
{
	if (w.n == w.cap) {
		w.cap = MAX(w.cap * 2, (size_t)256);
		w.heap = xrealloc(w.heap, xmul(w.cap, sizeof *w.heap));
	}
	struct event e = {MAX(time_us, w.now), w.order++, fn, arg};
	size_t i = w.n++;
	for (; i > 0 && earlier(&e, &w.heap[(i - 1) / 2]); i = (i - 1) / 2) w.heap[i] = w.heap[(i - 1) / 2];
	w.heap[i] = e;
}

static struct event take_first(void)
{
	struct event first = w.heap[0], last = w.heap[--w.n];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child + 1 < w.n && earlier(&w.heap[child + 1], &w.heap[child])) child++;
		if (child >= w.n || !earlier(&w.heap[child], &last)) break;
		w.heap[i] = w.heap[child];
		i = child;
	}
	w.heap[i] = last;
	return first;
}

bool world_step(int64_t until_us)
{
	if (w.n == 0 || w.heap[0].at > until_us) {
		w.now = MAX(w.now, until_us);
		return false;
	}
	struct event e = take_first();
	w.now = e.at;
	if (w.second != w.now / SECOND) {
		w.second = w.now / SECOND;
		w.in_second = 0;
	}
	EXPECT("nothing runs in circles", ++w.in_second < MOST_EVENTS, "%d things happened within a second",
	       MOST_EVENTS);
	e.fn(e.arg);
	return true;
}

/* ---- chance ---- */

uint64_t pick(uint64_t n) { return rng_below(&w.people, n); }
int64_t pick_between(int64_t lo, int64_t hi) { return lo + (int64_t)rng_below(&w.people, (uint64_t)(hi - lo + 1)); }
bool chance(unsigned per_thousand) { return rng_below(&w.people, 1000) < per_thousand; }
int64_t sched_between(int64_t lo, int64_t hi) { return lo + (int64_t)rng_below(&w.scheduler, (uint64_t)(hi - lo + 1)); }

void entropy(void *p, size_t n)
{
	unsigned char *to = p;
	for (size_t i = 0; i < n; i++) to[i] = (unsigned char)rng_next(&w.kernel);
}

/* ---- what happened ---- */

void note(const char *fmt, ...)
{
	char *line = w.kept[w.nnotes++ % KEPT];
	int head = snprintf(line, NOTE_CAP, "%10.3f ms  ", (double)(w.now - BOOT_START_US) / 1000);
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(line + head, NOTE_CAP - (size_t)head, fmt, ap);
	va_end(ap);
	w.hash = hash64(str_c(line), w.hash);
	if (w.o.trace) printf("%s\n", line);
}

uint64_t world_hash(void) { return w.hash; }
int64_t world_notes(void) { return w.nnotes; }
void world_count_step(void) { w.steps++; }
int64_t world_steps(void) { return w.steps; }

void broken(const char *invariant, const char *fmt, ...)
{
	va_list ap;
	printf("\nseed %llu, step %lld, %.3f ms: %s\n  ", (unsigned long long)w.o.seed, (long long)w.steps,
	       (double)(w.now - BOOT_START_US) / 1000, invariant);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!w.o.trace) {
		printf("the last events:\n");
		for (int64_t i = MAX(w.nnotes - KEPT, 0); i < w.nnotes; i++) printf("  %s\n", w.kept[i % KEPT]);
	}
	printf("again: ./dev sim --seeds %llu..%llu --steps %lld --trace\n", (unsigned long long)w.o.seed,
	       (unsigned long long)w.o.seed, (long long)w.o.steps);
	(void)fflush(stdout);
	_Exit(1);
}
