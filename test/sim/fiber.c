#include "sim/fiber.h"

#include <errno.h>
#include <pthread.h>
#include <sys/queue.h>
#include <time.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define SWITCH_BEGIN(save, bottom, size) __sanitizer_start_switch_fiber((save), (bottom), (size))
#define SWITCH_END(save, bottom, size) __sanitizer_finish_switch_fiber((save), (bottom), (size))
#else
#define SWITCH_BEGIN(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#define SWITCH_END(save, bottom, size) ((void)(save), (void)(bottom), (void)(size))
#endif

#define STACK_BYTES ((size_t)1 << 20) /* as the store's threads have */

struct fiber {
	void *(*fn)(void *);
	void *arg;
	ucontext_t context;
	char *stack;
	void *fake_stack; /* AddressSanitizer's */
	const void *cond; /* what it waits for, besides the time */
	int64_t turn;     /* grows with every wait; a planned wake-up is for one turn */
	bool waits, over, told;
	struct fiber *joiner;
	SLIST_ENTRY(fiber) link;
};

/* A planned wake-up. It outlives the fiber, whose memory is kept until no event can refer to it: that is, for ever. A
 * seed lives in a process of its own. */
struct wake {
	struct fiber *fiber;
	int64_t turn;
};

static SLIST_HEAD(, fiber) fibers = SLIST_HEAD_INITIALIZER(fibers);
static struct fiber *current;
static ucontext_t world_context;
static const void *world_stack;
static size_t world_stack_bytes;

struct fiber *fiber_self(void) { return current; }
bool fiber_is_over(const struct fiber *f) { return f->over; }

static void to_world(struct fiber *f)
{
	SWITCH_BEGIN(f->over ? NULL : &f->fake_stack, world_stack, world_stack_bytes);
	(void)swapcontext(&f->context, &world_context);
	SWITCH_END(f->fake_stack, &world_stack, &world_stack_bytes);
}

static void fiber_main(void)
{
	struct fiber *f = current;
	SWITCH_END(NULL, &world_stack, &world_stack_bytes);
	(void)f->fn(f->arg);
	f->over = true;
	if (f->joiner != NULL) fiber_wake(f->joiner);
	to_world(f);
}

static void run(struct fiber *f)
{
	void *fake = NULL;
	current = f;
	SWITCH_BEGIN(&fake, f->stack, STACK_BYTES);
	(void)swapcontext(&world_context, &f->context);
	SWITCH_END(fake, NULL, NULL);
	current = NULL;
}

static void on_wake(void *arg)
{
	struct wake *k = arg;
	struct fiber *f = k->fiber;
	if (f->waits && f->turn == k->turn) {
		f->waits = f->told = false;
		f->cond = NULL;
		run(f);
	}
	free(k);
}

static void plan(struct fiber *f, int64_t time_us)
{
	struct wake *k = xmalloc(sizeof *k);
	*k = (struct wake){f, f->turn};
	at(time_us, on_wake, k);
}

/* How long a thread that may run waits for a processor: mostly nothing, at times what a busy machine does to one. */
static int64_t latency(void)
{
	int64_t luck = sched_between(0, 999);
	return luck < 900 ? sched_between(1, 30) : luck < 995 ? sched_between(30, 2000) : sched_between(2000, 30000);
}

struct fiber *fiber_new(void *(*fn)(void *), void *arg)
{
	struct fiber *f = xcalloc(1, sizeof *f);
	f->fn = fn;
	f->arg = arg;
	f->stack = xmalloc(STACK_BYTES);
	(void)getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->stack;
	f->context.uc_stack.ss_size = STACK_BYTES;
	makecontext(&f->context, fiber_main, 0);
	SLIST_INSERT_HEAD(&fibers, f, link);
	f->waits = true;
	plan(f, now_us() + latency());
	return f;
}

void fiber_wait(int64_t until_us)
{
	struct fiber *f = current;
	ASSERT(f != NULL);
	f->turn++;
	f->waits = true;
	if (until_us != INT64_MAX) plan(f, until_us);
	to_world(f);
}

void fiber_wake(struct fiber *f)
{
	if (!f->waits || f->told) return;
	f->told = true;
	plan(f, now_us() + latency());
}

void fibers_forget(void)
{
	while (!SLIST_EMPTY(&fibers)) {
		struct fiber *f = SLIST_FIRST(&fibers);
		SLIST_REMOVE_HEAD(&fibers, link);
		f->turn++;
		f->waits = false;
		f->over = true;
		free(f->stack);
	}
}

/* ---- pthread ----------------------------------------------------------------------------------------------------- */

/* Mutexes are real: a fiber gives up its turn only while it waits, and then it holds none. */

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	(void)attr;
	*out = (pthread_t)fiber_new(fn, arg);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
	struct fiber *f = (struct fiber *)thread; /* NOLINT(performance-no-int-to-ptr): as it was given out above */
	(void)result;
	f->joiner = current;
	while (!f->over) fiber_wait(INT64_MAX);
	return 0;
}

static void wait_on(pthread_cond_t *c, pthread_mutex_t *m, int64_t until_us)
{
	(void)pthread_mutex_unlock(m);
	current->cond = c;
	fiber_wait(until_us);
	(void)pthread_mutex_lock(m);
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	wait_on(c, m, INT64_MAX);
	return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until)
{
	int64_t until_us = (int64_t)until->tv_sec * 1000000 + (until->tv_nsec + 999) / 1000;
	wait_on(c, m, until_us);
	return now_us() >= until_us ? ETIMEDOUT : 0;
}

/* One of those that wait, whichever the scheduler likes. */
int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
	struct fiber *f, *chosen = NULL;
	int64_t n = 0;
	SLIST_FOREACH(f, &fibers, link)
	if (f->waits && f->cond == c && !f->told && sched_between(0, n++) == 0) chosen = f;
	if (chosen != NULL) fiber_wake(chosen);
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
	struct fiber *f;
	SLIST_FOREACH(f, &fibers, link)
	if (f->waits && f->cond == c) fiber_wake(f);
	return 0;
}
