/* One byte connection on the loop: a socket, optionally TLS, input handed to a protocol, output queued by reference.
 *
 * Both ends of everything in net/ stand on it: the HTTP server, WebSockets, the WebSocket client. The design is at the
 * top of conn.c. A connection is embedded in its protocol's own struct; everything happens on the loop thread. */
#ifndef ROOST_NET_CONN_H
#define ROOST_NET_CONN_H

#include <sys/queue.h>
#include <uv.h>

#include "base/buf.h"
#include "net/tls.h"

struct frame;
struct conn;
struct out;

/* What the connections of one loop share: the read buffer and the list of those with something to do. */
struct io {
	uv_loop_t *loop;
	uv_prepare_t prepare;
	uv_check_t check;
	TAILQ_HEAD(io_dirty, conn) dirty; /* to be looked at before the loop sleeps */
	char *in;                         /* IO_BYTES: where every read lands */
	char *plain;                      /* IO_BYTES: the same decrypted; made for the first TLS connection */
	char *scratch;                    /* IO_BYTES: pieces of files and of TLS output; made when first needed */
	int64_t write_stall_ms;           /* a peer that takes nothing for so long is cut off */
	int64_t bytes_in, bytes_out;
	int refs; /* connections and handles; freed with the last one */
};
#define IO_BYTES 65536

struct io *io_new(uv_loop_t *loop, int64_t write_stall_ms);
/* Gives up the owner's reference; memory goes when the last connection is gone and the loop has turned once more. */
void io_free(struct io *io);

/* What a protocol does. Each may change the connection's protocol, close or abort it; none is called after `closed`. */
struct conn_proto {
	/* Input. Returns how much it took: all of it, or less after conn_pause or a change of protocol. `p` may be written
	 * to. */
	size_t (*data)(struct conn *c, char *p, size_t n);
	void (*eof)(struct conn *c);     /* the peer will send no more */
	void (*drained)(struct conn *c); /* the output queue is empty after it was blocked; may be NULL */
	void (*timer)(struct conn *c);   /* the deadline passed */
	void (*later)(struct conn *c);   /* asked for by conn_later; may be NULL */
	void (*closed)(struct conn *c);  /* the socket is gone; frees the memory */
};

struct conn {
	uv_poll_t poll;
	uv_timer_t timer;
	struct io *io;
	const struct conn_proto *proto;
	struct tls *tls;
	struct out *out, **out_tail; /* unsent output, oldest first */
	struct buf *held;            /* input that a paused protocol did not take; usually NULL */
	TAILQ_ENTRY(conn) dirty;
	size_t out_bytes;    /* unsent; files not counted */
	int64_t deadline_ms; /* the protocol's, in loop time; 0 none */
	int64_t armed_ms;    /* when the timer rings; 0 never */
	int64_t progress_ms; /* when the peer last took output */
	int fd;
	int mask;         /* what is polled for */
	bool is_dirty;    /* in the list */
	bool is_later;    /* `later` was asked for */
	bool is_paused;   /* the protocol wants no input */
	bool is_watched;  /* paused, but wants to know of eof */
	bool is_waiting;  /* paused, and the socket has input: stop polling for it */
	bool is_blocked;  /* the socket takes no more now */
	bool is_flushing; /* guards against recursion */
	bool is_eof;      /* seen */
	bool is_ending;   /* conn_finish: no more output will come */
	bool is_shut;     /* our side is shut down; waiting for the peer's */
	bool is_closed;   /* handles are closing; nothing happens any more */
	uint8_t open_handles;
};

/* Takes the non-blocking socket and `tls` (may be NULL). */
void conn_init(struct conn *c, struct io *io, int fd, struct tls *tls, const struct conn_proto *proto);
/* Closes at once; `closed` comes from the loop, before it sleeps again. */
void conn_abort(struct conn *c);
/* Sends what is queued, says goodbye, waits a moment for the peer to do the same, closes. Input is thrown away from
 * now on; the protocol only hears `later` and `closed`. */
void conn_finish(struct conn *c);
/* Stops input. `watch`: the protocol still wants `eof`. */
void conn_pause(struct conn *c, bool watch);
void conn_resume(struct conn *c);
void conn_later(struct conn *c);                   /* calls proto->later before the loop sleeps */
void conn_deadline(struct conn *c, int64_t at_ms); /* uv_now time; 0 none */
static inline int64_t conn_now(const struct conn *c) { return (int64_t)uv_now(c->io->loop); }

/* Output is sent at the end of the loop's turn, all of a turn's in one write. */
void conn_send(struct conn *c, struct str bytes); /* copies */
/* The same without a copy: n bytes to be filled in by the caller before it returns to the loop. */
char *conn_send_space(struct conn *c, size_t n);
void conn_send_static(struct conn *c, struct str bytes);                  /* bytes that live for ever */
void conn_send_frame(struct conn *c, struct frame *f);                    /* takes a reference of its own */
void conn_send_file(struct conn *c, int fd, int64_t offset, int64_t len); /* takes the fd */
void conn_flush(struct conn *c);                                          /* tries now */
/* Bytes the socket would not take. What waits for the end of the turn does not count: it was not tried yet. */
static inline size_t conn_queued(const struct conn *c) { return c->is_blocked ? c->out_bytes : 0; }

#endif
