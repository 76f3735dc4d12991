/* A bad link: forwards TCP connections to a port of this machine, late, with pauses, and sometimes breaks them.
 *
 *     bench_bad_link --port P [--delay-ms 200] [--stall-ms 1000] [--stall-every-ms 8000] [--reset-every-ms 15000]
 *                    [--seed 1]
 *
 * Every byte takes delay-ms in either direction. Each connection stalls for stall-ms (nothing passes, then all of it) and
 * is reset, at random moments that are stall-every-ms and reset-every-ms apart on average. Prints {"port":…} and runs
 * until its standard input ends. */
#include <poll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/id.h"
#include "gear/args.h"
#include "gear/loop.h"

struct chunk {
	STAILQ_ENTRY(chunk) link;
	int64_t due_ns;
	size_t n;
	char bytes[];
};

struct end { /* one side of a connection */
	struct conn conn;
	STAILQ_HEAD(, chunk) late; /* what it will be sent */
	struct pair *pair;
};

struct pair {
	LIST_ENTRY(pair) link;
	struct end ends[2];
	int64_t stall_ns, stalled_until_ns, reset_ns;
	int nclosed;
	bool is_broken;
};

static LIST_HEAD(, pair) pairs = LIST_HEAD_INITIALIZER(pairs);
static struct loop loop;
static struct rng rng;
static int64_t delay_ns, stall_for_ns, stall_every_ns, reset_every_ns;
static int upstream;

/* A moment that is `mean` from now on average. */
static int64_t some_time(int64_t mean) { return now_ns() + (int64_t)rng_below(&rng, (uint64_t)(2 * mean) + 1); }

static void break_pair(struct pair *p)
{
	if (p->is_broken) return;
	p->is_broken = true;
	for (int i = 0; i < 2; i++) {
		/* A reset, not an end: what is under way is gone. */
		struct linger hard = {1, 0};
		if (p->ends[i].conn.fd >= 0) setsockopt(p->ends[i].conn.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		conn_close(&p->ends[i].conn);
	}
}

static void end_free(struct conn *c)
{
	struct end *e = CONTAINER_OF(c, struct end, conn);
	struct pair *p = e->pair;
	struct chunk *k;
	while ((k = STAILQ_FIRST(&e->late))) {
		STAILQ_REMOVE_HEAD(&e->late, link);
		free(k);
	}
	if (++p->nclosed < 2) return;
	LIST_REMOVE(p, link);
	free(p);
}

static void take_bytes(struct conn *c, struct str bytes)
{
	struct end *e = CONTAINER_OF(c, struct end, conn);
	struct pair *p = e->pair;
	struct end *other = &p->ends[e == &p->ends[0]];
	if (!bytes.p) {
		break_pair(p);
		return;
	}
	struct chunk *k = xmalloc(sizeof(*k) + bytes.n);
	k->due_ns = now_ns() + delay_ns;
	k->n = bytes.n;
	memcpy(k->bytes, bytes.p, bytes.n);
	STAILQ_INSERT_TAIL(&other->late, k, link);
}

static void take_connection(struct conn *listener)
{
	for (;;) {
		struct pair *p = xcalloc(1, sizeof(*p));
		for (int i = 0; i < 2; i++) {
			p->ends[i].pair = p;
			STAILQ_INIT(&p->ends[i].late);
			p->ends[i].conn.on_bytes = take_bytes;
			p->ends[i].conn.on_free = end_free;
		}
		if (!conn_accept(listener, &p->ends[0].conn)) {
			free(p);
			return;
		}
		conn_connect(&loop, &p->ends[1].conn, upstream);
		p->stall_ns = some_time(stall_every_ns);
		p->reset_ns = some_time(reset_every_ns);
		LIST_INSERT_HEAD(&pairs, p, link);
	}
}

/* Does what is due and returns when the next thing is. */
static int64_t step(struct pair *p, int64_t now)
{
	int64_t next = MIN(p->stall_ns, p->reset_ns);
	if (p->is_broken) return INT64_MAX;
	if (now >= p->reset_ns) {
		break_pair(p);
		return INT64_MAX;
	}
	if (now >= p->stall_ns) {
		p->stalled_until_ns = now + stall_for_ns;
		p->stall_ns = p->stalled_until_ns + some_time(stall_every_ns) - now;
		next = MIN(p->stall_ns, p->reset_ns);
	}
	if (now < p->stalled_until_ns) return MIN(next, p->stalled_until_ns);
	for (int i = 0; i < 2; i++) {
		struct chunk *k;
		while ((k = STAILQ_FIRST(&p->ends[i].late)) && k->due_ns <= now) {
			conn_write(&p->ends[i].conn, k->bytes, k->n);
			STAILQ_REMOVE_HEAD(&p->ends[i].late, link);
			free(k);
		}
		if (k) next = MIN(next, k->due_ns);
	}
	return next;
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	upstream = (int)args_int(&a, "port", ARG_NEEDED);
	delay_ns = args_int(&a, "delay-ms", 200) * NS_PER_MS;
	stall_for_ns = args_int(&a, "stall-ms", 1000) * NS_PER_MS;
	stall_every_ns = args_int(&a, "stall-every-ms", 8000) * NS_PER_MS;
	reset_every_ns = args_int(&a, "reset-every-ms", 15000) * NS_PER_MS;
	rng_seed(&rng, (uint64_t)args_int(&a, "seed", 1));
	args_done(&a);

	struct conn listener = {.on_accept = take_connection};
	loop_init(&loop);
	printf("{\"port\":%d}\n", conn_listen(&loop, &listener, 128));
	fflush(stdout);
	struct pollfd in = {.fd = 0, .events = POLLIN};
	char byte;
	while (poll(&in, 1, 0) == 0 || read(0, &byte, 1) > 0) {
		int64_t now = now_ns(), next = now + 100 * NS_PER_MS;
		for (struct pair *p = LIST_FIRST(&pairs), *after; p; p = after) {
			after = LIST_NEXT(p, link);
			next = MIN(next, step(p, now));
		}
		loop_round(&loop, next);
	}
	return 0;
}
