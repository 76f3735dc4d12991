/* A server for tests of the HTTP client, on the loop of the test itself: it reads requests and plays a script at each,
 * byte for byte, so that it can also be wrong in every way. */
#ifndef ROOST_TEST_RAW_SERVER_H
#define ROOST_TEST_RAW_SERVER_H

#include <signal.h>
#include <uv.h>

#include "base/buf.h"

/* Steps of a script; the last has no act. */
enum raw_act { RAW_END, RAW_SEND, RAW_DRIP, RAW_WAIT, RAW_CLOSE, RAW_RESET, RAW_HANG };
struct raw_step {
	enum raw_act act;
	const char *text; /* RAW_SEND: at once; RAW_DRIP: a byte every ms */
	uint64_t ms;      /* RAW_WAIT */
};

#define RAW_MAX 16
struct raw_server {
	uv_loop_t *loop;
	uv_tcp_t listener;
	int port;
	const struct raw_step *scripts[RAW_MAX]; /* of the n-th request; NULL: hang */
	int nconns, nrequests, nclosed;          /* nclosed: connections the client closed */
	uint64_t closed_ns;                      /* when it closed the last one */
	uint64_t first_byte_ns;                  /* when the last request began to arrive */
	char last_request[4096];
};

struct raw_conn {
	struct raw_server *server;
	uv_tcp_t tcp;
	uv_timer_t timer;
	struct buf in;
	const struct raw_step *at;
	size_t dripped;
	int open_handles;
	char input[4096];
};

static void raw_play(struct raw_conn *c);

static void raw_on_closed(uv_handle_t *h)
{
	struct raw_conn *c = h->data;
	if (--c->open_handles > 0) return;
	buf_release(&c->in);
	free(c);
}

static void raw_close(struct raw_conn *c)
{
	if (uv_is_closing((uv_handle_t *)&c->tcp)) return;
	uv_close((uv_handle_t *)&c->tcp, raw_on_closed);
	uv_close((uv_handle_t *)&c->timer, raw_on_closed);
}

static void raw_send(struct raw_conn *c, const char *p, size_t n)
{
	while (n > 0) {
		uv_buf_t b = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
		int sent = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
		if (sent <= 0) return; /* a test that needs more than the socket takes sends it in steps */
		p += sent;
		n -= (size_t)sent;
	}
}

static void raw_on_timer(uv_timer_t *t) { raw_play(t->data); }

static void raw_play(struct raw_conn *c)
{
	for (;; c->at++) {
		switch (c->at->act) {
		case RAW_END: c->at = NULL; return;
		case RAW_HANG: return;
		case RAW_CLOSE: raw_close(c); return;
		case RAW_SEND: raw_send(c, c->at->text, strlen(c->at->text)); break;
		case RAW_WAIT:
			uv_timer_start(&c->timer, raw_on_timer, c->at->ms, 0);
			c->at++;
			return;
		case RAW_RESET:
			uv_tcp_close_reset(&c->tcp, raw_on_closed);
			uv_close((uv_handle_t *)&c->timer, raw_on_closed);
			return;
		case RAW_DRIP:
			if (c->at->text[c->dripped] != '\0') {
				raw_send(c, c->at->text + c->dripped++, 1);
				uv_timer_start(&c->timer, raw_on_timer, 1, 0);
				return;
			}
			c->dripped = 0;
			break;
		}
	}
}

/* The length of the first request in `in`, 0 while it is not whole. */
static size_t raw_request_len(struct str in)
{
	const char *end = in.n > 0 ? memmem(in.p, in.n, "\r\n\r\n", 4) : NULL;
	if (end == NULL) return 0;
	size_t head = (size_t)(end - in.p) + 4, body = 0;
	const char *len = memmem(in.p, head, "Content-Length: ", 16);
	if (len != NULL) body = strtoul(len + 16, NULL, 10);
	return in.n >= head + body ? head + body : 0;
}

static void raw_on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	static const struct raw_step hang[] = {{RAW_HANG, NULL, 0}};
	struct raw_conn *c = s->data;
	struct raw_server *srv = c->server;
	if (n < 0) {
		srv->nclosed++;
		srv->closed_ns = uv_hrtime();
		raw_close(c);
		return;
	}
	if (c->in.n == 0) srv->first_byte_ns = uv_hrtime();
	buf_add(&c->in, b->base, (size_t)n);
	size_t len = raw_request_len(buf_str(&c->in));
	if (len == 0 || c->at != NULL) return;
	str_copy(str_n(c->in.p, MIN(len, sizeof srv->last_request - 1)), srv->last_request, sizeof srv->last_request);
	buf_drop(&c->in, len);
	c->at = srv->nrequests < RAW_MAX ? srv->scripts[srv->nrequests] : NULL;
	if (c->at == NULL) c->at = hang;
	srv->nrequests++;
	raw_play(c);
}

static void raw_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
	struct raw_conn *c = h->data;
	(void)hint;
	*out = uv_buf_init(c->input, sizeof c->input);
}

static void raw_on_connection(uv_stream_t *l, int status)
{
	struct raw_server *srv = l->data;
	ASSERT_CMP(status, ==, 0);
	struct raw_conn *c = xcalloc(1, sizeof *c);
	c->server = srv;
	c->open_handles = 2;
	buf_init(&c->in, 1 << 20);
	uv_tcp_init(srv->loop, &c->tcp);
	uv_timer_init(srv->loop, &c->timer);
	c->tcp.data = c->timer.data = c;
	ASSERT_CMP(uv_accept(l, (uv_stream_t *)&c->tcp), ==, 0);
	uv_tcp_nodelay(&c->tcp, 1);
	uv_read_start((uv_stream_t *)&c->tcp, raw_alloc, raw_on_read);
	srv->nconns++;
}

static void raw_server_start(struct raw_server *srv, uv_loop_t *loop)
{
	struct sockaddr_in a;
	int len = sizeof a;
	(void)signal(SIGPIPE, SIG_IGN); /* a client may leave while the script goes on */
	*srv = (struct raw_server){.loop = loop};
	uv_tcp_init(loop, &srv->listener);
	srv->listener.data = srv;
	ASSERT_CMP(uv_ip4_addr("127.0.0.1", 0, &a), ==, 0);
	ASSERT_CMP(uv_tcp_bind(&srv->listener, (struct sockaddr *)&a, 0), ==, 0);
	ASSERT_CMP(uv_listen((uv_stream_t *)&srv->listener, 64, raw_on_connection), ==, 0);
	ASSERT_CMP(uv_tcp_getsockname(&srv->listener, (struct sockaddr *)&a, &len), ==, 0);
	srv->port = ntohs(a.sin_port);
}

/* Closes the listener and what is connected to it. */
static void raw_close_walk(uv_handle_t *h, void *ctx)
{
	if (h->type == UV_TCP && h != ctx && !uv_is_closing(h)) raw_close(h->data);
}

static void raw_server_stop(struct raw_server *srv)
{
	uv_walk(srv->loop, raw_close_walk, &srv->listener);
	uv_close((uv_handle_t *)&srv->listener, NULL);
}

static void raw_time_is_up(uv_timer_t *t) { *(bool *)t->data = true; }

/* Runs the loop until *flag, at most `ms`. Says whether the flag came. */
static bool raw_run_until(uv_loop_t *loop, const bool *flag, uint64_t ms)
{
	bool up = false;
	uv_timer_t t;
	uv_timer_init(loop, &t);
	t.data = &up;
	uv_timer_start(&t, raw_time_is_up, ms, 0);
	while (!*flag && !up) uv_run(loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&t, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	return *flag;
}

static inline void raw_run_for(uv_loop_t *loop, uint64_t ms)
{
	bool never = false;
	(void)raw_run_until(loop, &never, ms);
}

#endif
