/* The event loop's twin: the part of libuv that the daemon calls, over the simulated clock.
 *
 * One turn is as libuv's: timers that are due, then `prepare`, then what arrived (wake-ups from other threads, the
 * network, finished work), then what was closed. The structs are libuv's own; what libuv keeps in them is kept in the
 * same members here. The program is linked without libuv, so a call that has no twin does not link. */
#include <uv.h>

#include "sim/fiber.h"
#include "sim/net.h"

#define HANDLES_MAX 4096

enum { FLAG_ACTIVE = 1, FLAG_CLOSING = 2 };

/* The daemon's one loop. It is forgotten when the daemon dies. */
static struct {
	uv_loop_t *loop;
	struct fiber *fiber;
	uv_handle_t *handles[HANDLES_MAX];
	size_t nhandles;
	uv_work_t *work[64];
	size_t nwork;
	uint64_t order; /* of timers that were started */
	bool stop, sleeps;
} l;

void loop_forget(void) { memset(&l, 0, sizeof l); }

void loop_wake(void)
{
	if (l.fiber != NULL && l.sleeps) fiber_wake(l.fiber);
}

int uv_loop_init(uv_loop_t *loop)
{
	memset(loop, 0, sizeof *loop);
	memset(&l, 0, sizeof l);
	l.loop = loop;
	l.fiber = fiber_self();
	uv_update_time(loop);
	return 0;
}

int uv_loop_close(uv_loop_t *loop)
{
	(void)loop;
	return l.nhandles > 0 ? UV_EBUSY : 0;
}

void uv_update_time(uv_loop_t *loop) { loop->time = (uint64_t)(now_us() / 1000); }
uint64_t uv_now(const uv_loop_t *loop) { return loop->time; }
void uv_stop(uv_loop_t *loop)
{
	(void)loop;
	l.stop = true;
}

static void add(uv_loop_t *loop, uv_handle_t *h, uv_handle_type type)
{
	ASSERT_CMP(l.nhandles, <, HANDLES_MAX);
	h->loop = loop;
	h->type = type;
	h->flags = 0;
	h->close_cb = NULL;
	l.handles[l.nhandles++] = h;
}

static uv_handle_t *base(void *h) { return h; }

int uv_timer_init(uv_loop_t *loop, uv_timer_t *t)
{
	add(loop, base(t), UV_TIMER);
	return 0;
}

int uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
	if (base(t)->flags & FLAG_CLOSING) return UV_EINVAL;
	t->timer_cb = cb;
	t->timeout = t->loop->time + timeout;
	t->repeat = repeat;
	t->start_id = l.order++;
	t->flags |= FLAG_ACTIVE;
	return 0;
}

int uv_timer_stop(uv_timer_t *t)
{
	t->flags &= ~(unsigned)FLAG_ACTIVE;
	return 0;
}

int uv_async_init(uv_loop_t *loop, uv_async_t *a, uv_async_cb cb)
{
	add(loop, base(a), UV_ASYNC);
	a->async_cb = cb;
	a->pending = 0;
	return 0;
}

int uv_async_send(uv_async_t *a)
{
	a->pending = 1;
	loop_wake();
	return 0;
}

int uv_prepare_init(uv_loop_t *loop, uv_prepare_t *p)
{
	add(loop, base(p), UV_PREPARE);
	return 0;
}

int uv_prepare_start(uv_prepare_t *p, uv_prepare_cb cb)
{
	p->prepare_cb = cb;
	p->flags |= FLAG_ACTIVE;
	return 0;
}

int uv_prepare_stop(uv_prepare_t *p)
{
	p->flags &= ~(unsigned)FLAG_ACTIVE;
	return 0;
}

int uv_signal_init(uv_loop_t *loop, uv_signal_t *s)
{
	add(loop, base(s), UV_SIGNAL);
	s->caught_signals = 0;
	return 0;
}

int uv_signal_start(uv_signal_t *s, uv_signal_cb cb, int signum)
{
	s->signal_cb = cb;
	s->signum = signum;
	s->flags |= FLAG_ACTIVE;
	return 0;
}

void loop_signal(int signum)
{
	for (size_t i = 0; i < l.nhandles; i++) {
		uv_signal_t *s = (uv_signal_t *)(void *)l.handles[i];
		if (s->type == UV_SIGNAL && s->signum == signum) s->caught_signals = 1;
	}
	loop_wake();
}

int uv_queue_work(uv_loop_t *loop, uv_work_t *req, uv_work_cb work, uv_after_work_cb after_work)
{
	req->loop = loop;
	req->work_cb = work;
	req->after_work_cb = after_work;
	ASSERT_CMP(l.nwork, <, ARRAY_LEN(l.work));
	l.work[l.nwork++] = req;
	return 0;
}

int uv_is_closing(const uv_handle_t *h) { return (h->flags & FLAG_CLOSING) != 0; }

void uv_close(uv_handle_t *h, uv_close_cb cb)
{
	h->flags = FLAG_CLOSING;
	h->close_cb = cb;
}

void uv_walk(uv_loop_t *loop, uv_walk_cb cb, void *arg)
{
	(void)loop;
	for (size_t i = 0; i < l.nhandles; i++) cb(l.handles[i], arg);
}

/* ---- a turn ------------------------------------------------------------------------------------------------------ */

static uv_timer_t *next_timer(void)
{
	uv_timer_t *first = NULL;
	for (size_t i = 0; i < l.nhandles; i++) {
		uv_timer_t *t = (uv_timer_t *)(void *)l.handles[i];
		if (t->type != UV_TIMER || !(t->flags & FLAG_ACTIVE)) continue;
		if (first == NULL || t->timeout < first->timeout ||
		    (t->timeout == first->timeout && t->start_id < first->start_id))
			first = t;
	}
	return first;
}

static void run_timers(uv_loop_t *loop)
{
	uv_timer_t *t;
	uint64_t upto = l.order; /* one that is started now waits for the next turn */
	while ((t = next_timer()) != NULL && t->timeout <= loop->time && t->start_id < upto) {
		(void)uv_timer_stop(t);
		if (t->repeat > 0) (void)uv_timer_start(t, t->timer_cb, t->repeat, t->repeat);
		t->timer_cb(t);
	}
}

static void run_prepare(void)
{
	for (size_t i = 0; i < l.nhandles; i++) {
		uv_prepare_t *p = (uv_prepare_t *)(void *)l.handles[i];
		if (p->type == UV_PREPARE && p->flags & FLAG_ACTIVE) p->prepare_cb(p);
	}
}

static bool anything_waits(void)
{
	for (size_t i = 0; i < l.nhandles; i++) {
		const uv_handle_t *h = l.handles[i];
		if (h->flags & FLAG_CLOSING) return true;
		if (h->type == UV_ASYNC && ((const uv_async_t *)(const void *)h)->pending) return true;
		if (h->type == UV_SIGNAL && ((const uv_signal_t *)(const void *)h)->caught_signals > 0) return true;
	}
	return l.nwork > 0 || net_has_input();
}

static void run_arrived(void)
{
	for (size_t i = 0; i < l.nhandles; i++) {
		if (l.handles[i]->flags & FLAG_CLOSING) continue;
		uv_async_t *a = (uv_async_t *)(void *)l.handles[i];
		uv_signal_t *s = (uv_signal_t *)(void *)l.handles[i];
		if (a->type == UV_ASYNC && a->pending) {
			a->pending = 0;
			a->async_cb(a);
		} else if (s->type == UV_SIGNAL && s->caught_signals > 0) {
			s->caught_signals = 0;
			s->signal_cb(s, s->signum);
		}
	}
	while (l.nwork > 0) {
		uv_work_t *w = l.work[--l.nwork];
		w->work_cb(w);
		w->after_work_cb(w, 0);
	}
	net_dispatch();
}

static void run_closing(void)
{
	for (size_t i = 0; i < l.nhandles;) {
		uv_handle_t *h = l.handles[i];
		if (!(h->flags & FLAG_CLOSING)) {
			i++;
			continue;
		}
		memmove(&l.handles[i], &l.handles[i + 1], (--l.nhandles - i) * sizeof(uv_handle_t *));
		if (h->close_cb != NULL) h->close_cb(h);
		i = 0;
	}
}

/* Waits until a timer is due or something arrives. */
static void sleep_for_input(uv_run_mode mode)
{
	while (!l.stop && !anything_waits() && mode != UV_RUN_NOWAIT) {
		const uv_timer_t *t = next_timer();
		int64_t until = t != NULL ? (int64_t)t->timeout * 1000 : INT64_MAX;
		if (until <= now_us()) break;
		l.sleeps = true;
		fiber_wait(until);
		l.sleeps = false;
	}
}

int uv_run(uv_loop_t *loop, uv_run_mode mode)
{
	do {
		uv_update_time(loop);
		run_timers(loop);
		run_prepare();
		sleep_for_input(mode);
		uv_update_time(loop);
		run_arrived();
		run_closing();
	} while (mode == UV_RUN_DEFAULT && !l.stop);
	l.stop = false;
	return l.nhandles > 0;
}
