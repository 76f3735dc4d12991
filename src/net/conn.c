/* How bytes move.
 *
 * Sockets are polled (uv_poll) and read and written here, not by uv_tcp: TCP and Unix sockets become the same thing, a
 * full descriptor table can be answered (see http_listen.c), and output needs no request object per write.
 *
 * Input. All connections read into the one buffer of their loop, and the protocol takes what it finds there; nothing is
 * kept for a connection that is idle. Only what a paused protocol does not take (the next pipelined request, say) is
 * copied to `held`, at most one buffer's worth, and given again on resume. Pausing does not touch the poll set: only
 * when a paused socket really becomes readable is it taken out, because every change costs two system calls, and most
 * pauses are over before.
 *
 * Output. A queue of pointers: shared frames, embedded files, small copies. Nothing is written at once; the connection
 * is put on the loop's list of dirty ones, which is worked off when the poll's callbacks are through (uv_check) and
 * again before the loop sleeps (uv_prepare, for what timers did). So everything that one turn has to say to a peer (an
 * acknowledgement, the change it made, three deltas) leaves in one sendmsg, and nobody waits longer than the turn.
 * A queue that passes FLUSH_BYTES is written right away. When the socket takes no more, the rest stays queued and the
 * socket is polled for writing; how much may pile up there is the protocol's business.
 *
 * The end. conn_abort closes at once. conn_finish sends the queue, shuts down our side and reads the peer's rest for up
 * to LINGER_MS: closing a socket with unread input makes the kernel send a reset, which can destroy the answer on its
 * way. Either way `closed` comes from libuv's closing phase, never from inside a call of the protocol, and the memory
 * lives until then. */
#include "net/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/frame.h"

#define FLUSH_BYTES (256u << 10)
#define LINGER_MS 2000
#define IOVS 64
#define ROUNDS 16 /* writes for one connection before others have their turn */

enum out_kind { OUT_COPY, OUT_STATIC, OUT_FRAME, OUT_FILE };
struct out {
	struct out *next;
	enum out_kind kind;
	int fd;          /* OUT_FILE */
	const char *p;   /* what is left of it; not for OUT_FILE */
	int64_t n;       /* bytes left */
	int64_t offset;  /* OUT_FILE: where the rest begins */
	struct frame *f; /* OUT_FRAME: one reference */
	char copy[];     /* OUT_COPY */
};

/* ---- the loop's part --------------------------------------------------------------------------------------------- */

static void turn(struct io *io);
static void on_prepare(uv_prepare_t *h) { turn(h->data); }
static void on_check(uv_check_t *h) { turn(h->data); }

struct io *io_new(uv_loop_t *loop, int64_t write_stall_ms)
{
	struct io *io = xcalloc(1, sizeof *io);
	io->loop = loop;
	io->write_stall_ms = write_stall_ms;
	io->in = xmalloc(IO_BYTES);
	io->refs = 1;
	TAILQ_INIT(&io->dirty);
	uv_prepare_init(loop, &io->prepare);
	uv_check_init(loop, &io->check);
	io->prepare.data = io->check.data = io;
	uv_prepare_start(&io->prepare, on_prepare);
	uv_check_start(&io->check, on_check);
	uv_unref((uv_handle_t *)&io->prepare);
	uv_unref((uv_handle_t *)&io->check);
	return io;
}

static void io_on_closed(uv_handle_t *h)
{
	struct io *io = h->data;
	if (--io->refs > 0) return;
	free(io->in);
	free(io->plain);
	free(io->scratch);
	free(io);
}

/* The handles stay open while connections live: those still have things to send. From then on the references are the
 * two handles'. */
static void io_unref(struct io *io)
{
	if (--io->refs > 0) return;
	io->refs = 2;
	uv_close((uv_handle_t *)&io->check, io_on_closed);
	uv_close((uv_handle_t *)&io->prepare, io_on_closed);
}

void io_free(struct io *io)
{
	if (io != NULL) io_unref(io);
}

static char *scratch(struct io *io)
{
	if (io->scratch == NULL) io->scratch = xmalloc(IO_BYTES);
	return io->scratch;
}

static void mark_dirty(struct conn *c)
{
	if (c->is_dirty || c->is_closed) return;
	c->is_dirty = true;
	TAILQ_INSERT_TAIL(&c->io->dirty, c, dirty);
}

/* ---- polling and timing ------------------------------------------------------------------------------------------ */

static void on_poll(uv_poll_t *h, int status, int events);
static void on_timer(uv_timer_t *h);

static void update_poll(struct conn *c)
{
	int want = c->is_blocked ? UV_WRITABLE : 0;
	if (c->is_closed) return;
	if (!c->is_eof) {
		if (c->is_ending || !c->is_paused || !c->is_waiting) want |= UV_READABLE;
		else if (c->is_watched) want |= UV_DISCONNECT;
	}
	if (want == c->mask) return;
	c->mask = want;
	if (want == 0) uv_poll_stop(&c->poll);
	else uv_poll_start(&c->poll, want, on_poll);
}

static void arm(struct conn *c)
{
	int64_t next = c->deadline_ms, stall = c->progress_ms + c->io->write_stall_ms;
	if (c->is_blocked && (next == 0 || stall < next)) next = stall;
	if (next == 0 || (c->armed_ms != 0 && c->armed_ms <= next) || c->is_closed) return;
	c->armed_ms = next;
	uv_timer_start(&c->timer, on_timer, (uint64_t)MAX(next - conn_now(c), 0), 0);
}

/* The timer is only ever moved forward; one that rings too early finds so here and is set again. A deadline that moves
 * back with every byte thus costs an assignment. */
static void on_timer(uv_timer_t *h)
{
	struct conn *c = h->data;
	int64_t now = conn_now(c);
	c->armed_ms = 0;
	if (c->is_blocked && now >= c->progress_ms + c->io->write_stall_ms) {
		conn_abort(c);
	} else if (c->deadline_ms != 0 && now >= c->deadline_ms) {
		c->deadline_ms = 0;
		if (c->is_ending) conn_abort(c);
		else c->proto->timer(c);
	}
	arm(c);
}

void conn_deadline(struct conn *c, int64_t at_ms)
{
	if (c->is_ending) return;
	c->deadline_ms = at_ms;
	arm(c);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void conn_init(struct conn *c, struct io *io, int fd, struct tls *tls, const struct conn_proto *proto)
{
	memset(c, 0, sizeof *c);
	c->io = io;
	c->fd = fd;
	c->tls = tls;
	c->proto = proto;
	c->out_tail = &c->out;
	c->open_handles = 2;
	c->poll.data = c->timer.data = c;
	io->refs++;
	if (tls != NULL && io->plain == NULL) io->plain = xmalloc(IO_BYTES);
	uv_timer_init(io->loop, &c->timer);
	ASSERT_CMP(uv_poll_init(io->loop, &c->poll, fd), ==, 0);
	update_poll(c);
	if (tls != NULL) mark_dirty(c); /* a client speaks first */
}

static void out_free(struct out *o)
{
	if (o->kind == OUT_FRAME) frame_unref(o->f);
	if (o->kind == OUT_FILE) close(o->fd);
	free(o);
}

static void out_pop(struct conn *c)
{
	struct out *o = c->out;
	c->out = o->next;
	if (c->out == NULL) c->out_tail = &c->out;
	out_free(o);
}

static void on_closed(uv_handle_t *h)
{
	struct conn *c = h->data;
	struct io *io = c->io;
	if (--c->open_handles > 0) return;
	while (c->out != NULL) out_pop(c);
	if (c->held != NULL) buf_release(c->held);
	free(c->held);
	tls_free(c->tls);
	c->proto->closed(c);
	io_unref(io);
}

void conn_abort(struct conn *c)
{
	if (c->is_closed) return;
	c->is_closed = true;
	if (c->is_dirty) TAILQ_REMOVE(&c->io->dirty, c, dirty);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	uv_close((uv_handle_t *)&c->timer, on_closed);
	close(c->fd);
}

void conn_finish(struct conn *c)
{
	if (c->is_ending || c->is_closed) return;
	c->deadline_ms = 0;
	c->is_ending = true;
	mark_dirty(c);
}

/* Everything is sent: say goodbye, then wait for the peer's. */
static void shut(struct conn *c)
{
	if (c->tls != NULL) {
		tls_goodbye(c->tls);
		conn_flush(c);
	}
	c->is_shut = true;
	if (c->is_closed) return;
	if (c->is_eof || shutdown(c->fd, SHUT_WR) != 0) {
		conn_abort(c);
		return;
	}
	c->deadline_ms = conn_now(c) + LINGER_MS;
	arm(c);
}

void conn_pause(struct conn *c, bool watch)
{
	c->is_paused = true;
	c->is_watched = watch;
}

void conn_resume(struct conn *c)
{
	c->is_paused = c->is_waiting = false;
	mark_dirty(c);
}

void conn_later(struct conn *c)
{
	c->is_later = true;
	mark_dirty(c);
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

static void hold(struct conn *c, const char *p, size_t n)
{
	ASSERT(c->held == NULL);
	c->held = xmalloc(sizeof *c->held);
	buf_init(c->held, n);
	buf_add(c->held, p, n);
}

/* Hands input to the protocol, or to its successor when it changes half way. */
static void give(struct conn *c, char *p, size_t n)
{
	while (n > 0 && !c->is_closed && !c->is_ending) {
		if (c->is_paused) {
			hold(c, p, n);
			return;
		}
		const struct conn_proto *proto = c->proto;
		size_t k = proto->data(c, p, n);
		p += k;
		n -= k;
		ASSERT(k > 0 || c->is_paused || c->is_closed || c->is_ending || c->proto != proto);
	}
}

static void end_of_input(struct conn *c)
{
	if (c->is_eof || c->is_closed) return;
	c->is_eof = true;
	if (!c->is_ending) c->proto->eof(c);
	else if (c->is_shut) conn_abort(c);
	update_poll(c);
}

static void give_tls(struct conn *c)
{
	size_t n;
	while (!c->is_paused && !c->is_closed && !c->is_ending) {
		enum tls_result r = tls_read(c->tls, c->io->plain, IO_BYTES, &n);
		if (r == TLS_DATA) {
			give(c, c->io->plain, n);
			continue;
		}
		if (tls_out(c->tls).n > 0) mark_dirty(c);
		if (r == TLS_END) end_of_input(c);
		if (r == TLS_BAD) {
			conn_flush(c); /* the alert */
			conn_abort(c);
		}
		return;
	}
}

static void give_held(struct conn *c)
{
	struct buf *held = c->held;
	c->held = NULL;
	if (held != NULL) {
		give(c, held->p, held->n);
		buf_release(held);
		free(held);
	}
	if (c->tls != NULL) give_tls(c);
}

/* A paused socket is readable: find out whether that is data or the end. */
static void peek(struct conn *c)
{
	char byte;
	ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK);
	if (n == 0) end_of_input(c);
	else if (n > 0) c->is_waiting = true;
	else if (errno != EAGAIN && errno != EINTR) conn_abort(c);
	update_poll(c);
}

static void receive(struct conn *c)
{
	for (int round = 0; round < 4 && !c->is_closed; round++) {
		if (c->is_paused && !c->is_ending) {
			peek(c);
			return;
		}
		ssize_t n = recv(c->fd, c->io->in, IO_BYTES, 0);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR) conn_abort(c);
			return;
		}
		if (n == 0) {
			end_of_input(c);
			return;
		}
		c->io->bytes_in += n;
		if (c->is_ending) continue;
		if (c->tls == NULL) {
			give(c, c->io->in, (size_t)n);
		} else {
			if (!tls_feed(c->tls, c->io->in, (size_t)n)) {
				conn_abort(c);
				return;
			}
			give_tls(c);
		}
		if (n < IO_BYTES) return;
	}
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static struct out *push(struct conn *c, enum out_kind kind, const char *p, size_t n, size_t copy_n)
{
	struct out *o = xmalloc(sizeof *o + copy_n);
	*o = (struct out){.kind = kind, .p = p, .n = (int64_t)n};
	if (kind == OUT_COPY) o->p = o->copy;
	if (c->out == NULL) c->progress_ms = conn_now(c);
	*c->out_tail = o;
	c->out_tail = &o->next;
	c->out_bytes += n;
	mark_dirty(c);
	return o;
}

static void flush_much(struct conn *c)
{
	if (c->out_bytes >= FLUSH_BYTES && !c->is_blocked) conn_flush(c);
}

char *conn_send_space(struct conn *c, size_t n) { return push(c, OUT_COPY, NULL, n, n)->copy; }

void conn_send(struct conn *c, struct str bytes)
{
	if (bytes.n == 0) return;
	memcpy(conn_send_space(c, bytes.n), bytes.p, bytes.n);
	flush_much(c);
}

void conn_send_static(struct conn *c, struct str bytes)
{
	if (bytes.n == 0) return;
	push(c, OUT_STATIC, bytes.p, bytes.n, 0);
	flush_much(c);
}

void conn_send_frame(struct conn *c, struct frame *f)
{
	for (size_t i = 0; i < ARRAY_LEN(f->part); i++) {
		if (f->part[i].n == 0) continue;
		push(c, OUT_FRAME, f->part[i].p, f->part[i].n, 0)->f = f;
		frame_ref(f);
	}
	flush_much(c);
}

void conn_send_file(struct conn *c, int fd, int64_t offset, int64_t len)
{
	struct out *o = push(c, OUT_FILE, NULL, 0, 0);
	o->fd = fd;
	o->offset = offset;
	o->n = len;
}

/* The first n bytes of the queue are gone. */
static void advance(struct conn *c, int64_t n)
{
	while (c->out != NULL && (n > 0 || c->out->n == 0)) {
		struct out *o = c->out;
		int64_t k = MIN(n, o->n);
		n -= k;
		o->n -= k;
		if (o->kind == OUT_FILE) {
			o->offset += k;
		} else {
			o->p += k;
			c->out_bytes -= (size_t)k;
		}
		if (o->n == 0) out_pop(c);
	}
	ASSERT_CMP(n, ==, 0);
}

/* Copies the start of the queue, at most `cap` bytes; -1 when a file failed or is shorter than was promised. */
static int64_t gather(const struct conn *c, char *p, size_t cap)
{
	int64_t n = 0;
	for (const struct out *o = c->out; o != NULL && (size_t)n < cap; o = o->next) {
		size_t k = (size_t)MIN(o->n, (int64_t)cap - n);
		if (o->kind != OUT_FILE) {
			memcpy(p + n, o->p, k);
			n += (int64_t)k;
			continue;
		}
		ssize_t got = pread(o->fd, p + n, k, o->offset);
		if (got <= 0 && k > 0) return n > 0 ? n : -1;
		n += got;
		if ((size_t)got < k) break;
	}
	return n;
}

/* One write to the socket; the number of bytes it took, 0 when it is full, -1 when the connection is no more. */
static int64_t write_some(struct conn *c, const struct iovec *iov, size_t niov, size_t total)
{
	struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = niov};
	ssize_t n;
	do n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
		conn_abort(c);
		return -1;
	}
	if ((size_t)MAX(n, 0) < total) c->is_blocked = true;
	if (n <= 0) return 0;
	c->progress_ms = conn_now(c);
	c->io->bytes_out += n;
	return n;
}

static void flush_plain(struct conn *c)
{
	for (int round = 0; c->out != NULL && !c->is_blocked; round++) {
		struct iovec iov[IOVS];
		size_t niov = 0, total = 0;
		if (round == ROUNDS) { /* the poll will say that it is writable, and we go on then */
			c->is_blocked = true;
			return;
		}
		for (struct out *o = c->out; o != NULL && niov < IOVS && o->kind != OUT_FILE; o = o->next) {
			iov[niov++] = (struct iovec){.iov_base = (char *)(uintptr_t)o->p, .iov_len = (size_t)o->n};
			total += (size_t)o->n;
		}
		if (niov == 0) {
			int64_t n = gather(c, scratch(c->io), IO_BYTES);
			if (n < 0) {
				conn_abort(c);
				return;
			}
			iov[niov++] = (struct iovec){.iov_base = c->io->scratch, .iov_len = (size_t)n};
			total = (size_t)n;
		}
		int64_t sent = write_some(c, iov, niov, total);
		if (sent < 0) return;
		advance(c, sent);
	}
}

/* Encrypts only when everything encrypted before is gone, so that at most one record is held in that form. */
static void flush_tls(struct conn *c)
{
	for (int round = 0; !c->is_blocked; round++) {
		struct str cipher = tls_out(c->tls);
		if (cipher.n > 0) {
			struct iovec iov = {.iov_base = (char *)(uintptr_t)cipher.p, .iov_len = cipher.n};
			int64_t sent = write_some(c, &iov, 1, cipher.n);
			if (sent < 0) return;
			tls_out_drop(c->tls, (size_t)sent);
			continue;
		}
		if (c->out == NULL || !tls_is_ready(c->tls)) return;
		if (round >= 2 * ROUNDS) {
			c->is_blocked = true;
			return;
		}
		int64_t n = gather(c, scratch(c->io), TLS_RECORD_BYTES);
		if (n < 0 || (n > 0 && !tls_write(c->tls, c->io->scratch, (size_t)n))) {
			conn_abort(c);
			return;
		}
		advance(c, n);
	}
}

void conn_flush(struct conn *c)
{
	bool was_blocked = c->is_blocked;
	if (c->is_closed || c->is_flushing) return;
	c->is_flushing = true;
	c->is_blocked = false;
	if (c->tls != NULL) flush_tls(c);
	else flush_plain(c);
	c->is_flushing = false;
	if (c->is_closed) return;
	update_poll(c);
	arm(c);
	if (was_blocked && !c->is_blocked && c->out == NULL && c->proto->drained != NULL && !c->is_ending)
		c->proto->drained(c);
}

/* ---- one connection's share of a turn ---------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct conn *c = h->data;
	if (status < 0) {
		conn_abort(c);
		return;
	}
	if (events & UV_WRITABLE) {
		conn_flush(c);
		if (c->is_ending) mark_dirty(c);
	}
	if (events & UV_READABLE) receive(c);
	else if (events & UV_DISCONNECT) end_of_input(c);
}

static void turn_one(struct conn *c)
{
	if (c->is_later) {
		c->is_later = false;
		c->proto->later(c);
	}
	if (!c->is_blocked) conn_flush(c);
	if (!c->is_closed && !c->is_paused && !c->is_ending) give_held(c);
	if (c->is_closed) return;
	if (c->is_ending && c->out == NULL && !c->is_blocked && !c->is_shut) shut(c);
	update_poll(c);
}

static void turn(struct io *io)
{
	struct conn *c;
	while ((c = TAILQ_FIRST(&io->dirty)) != NULL) {
		TAILQ_REMOVE(&io->dirty, c, dirty);
		c->is_dirty = false;
		turn_one(c);
	}
}
