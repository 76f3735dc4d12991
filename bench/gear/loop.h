/* The load generator's event loop: epoll, byte streams over TCP on this machine, one thread.
 *
 * It has to be cheap, because it shares two processors with what it measures: one read buffer for all connections, what
 * is written during a round goes out in one write per connection at the round's end, and nothing is allocated for a
 * connection that is quiet. A failed connection is reported, never retried. */
#ifndef BENCH_GEAR_LOOP_H
#define BENCH_GEAR_LOOP_H

#include "gear/stats.h"

struct conn;
struct loop {
	int epoll_fd;
	char *scratch;      /* the read buffer */
	struct conn *dirty; /* those with something to write */
	struct conn *gone;  /* closed in this round; forgotten at its end */
	int64_t woke_ns;    /* when the round began: the time of every event in it */
};

struct conn {
	struct loop *loop;
	int fd;                            /* -1 when closed */
	void (*on_accept)(struct conn *c); /* a listener's: call conn_accept until it says no */
	/* What was read; STR_NONE when the peer closed or the connection failed (close it then). */
	void (*on_bytes)(struct conn *c, struct str bytes);
	struct buf out;
	size_t out_done; /* bytes of out already written */
	bool is_dirty, is_blocked;
	struct conn *next_dirty, *next_gone;
	void (*on_free)(struct conn *c); /* after conn_close, when no event can name it any more; may be NULL */
};

void loop_init(struct loop *l);
void loop_release(struct loop *l);
/* Handles what happens until `until_ns`, at most one round of events; 0: does not wait. */
void loop_round(struct loop *l, int64_t until_ns);

/* Connects to 127.0.0.1:port; what is written meanwhile waits. */
void conn_connect(struct loop *l, struct conn *c, int port);
/* Listens on 127.0.0.1 at a port of the kernel's choice and returns the port. A backlog of 0 and no accept makes a
 * listener that answers nobody once it is full. */
int conn_listen(struct loop *l, struct conn *c, int backlog);
bool conn_accept(struct conn *listener, struct conn *c);
void conn_write(struct conn *c, const void *p, size_t n);
struct buf *conn_out(struct conn *c); /* to append to in place */
size_t conn_unsent(const struct conn *c);
void conn_close(struct conn *c);

#endif
