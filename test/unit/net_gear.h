/* A server and its clients in one thread: the test's side uses plain sockets and lets the loop turn while it waits. */
#ifndef NET_GEAR_H
#define NET_GEAR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/http.h"

struct gear {
	uv_loop_t loop;
	struct limits limits;
	struct http_options o;
	struct http_server *s;
	int port;
	bool is_stopped;
};

/* Limits and options may be changed between _init and _start. */
static inline void gear_init(struct gear *g)
{
	memset(g, 0, sizeof *g);
	assert_int_equal(uv_loop_init(&g->loop), 0);
	limits_default(&g->limits);
	g->o = (struct http_options){.loop = &g->loop, .limits = &g->limits};
}

static inline void gear_start(struct gear *g)
{
	struct errinfo info;
	assert_int_equal(http_server_new(&g->o, &g->s, &info), OK);
	assert_int_equal(http_listen(g->s, "127.0.0.1:0", NULL, NULL, &g->port, &info), OK);
}

static inline void gear_turn(struct gear *g)
{
	struct timespec nap = {.tv_nsec = 200000};
	if (uv_run(&g->loop, UV_RUN_NOWAIT) != 0) nanosleep(&nap, NULL);
}

static inline void gear_wait(struct gear *g, int64_t ms)
{
	for (int64_t end = clock_boot_ms() + ms; clock_boot_ms() < end;) gear_turn(g);
}

static inline void gear_on_stopped(void *ctx) { ((struct gear *)ctx)->is_stopped = true; }

/* Also the proof that nothing is left: the loop closes. */
static inline void gear_stop(struct gear *g)
{
	http_server_stop(g->s, 0, gear_on_stopped, g);
	for (int i = 0; i < 50000 && !g->is_stopped; i++) gear_turn(g);
	assert_true(g->is_stopped);
	http_server_free(g->s);
	while (uv_run(&g->loop, UV_RUN_NOWAIT) != 0) continue;
	assert_int_equal(uv_loop_close(&g->loop), 0);
}

static inline int gear_connect(const struct gear *g)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)g->port)};
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	return fd;
}

/* Sends all of it; stops quietly when the server closed. */
static inline void gear_send(struct gear *g, int fd, struct str s)
{
	for (size_t at = 0; at < s.n;) {
		ssize_t n = send(fd, s.p + at, s.n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN) return;
		if (n > 0) at += (size_t)n;
		else gear_turn(g);
	}
}

/* Reads into b until `needle` is in it behind `from`, the server closes, or nothing comes for `ms`. True on `needle`. */
static inline bool gear_read(struct gear *g, int fd, struct buf *b, size_t from, struct str needle, int64_t ms)
{
	char piece[4096];
	for (int64_t end = clock_boot_ms() + ms; clock_boot_ms() < end;) {
		if (needle.n > 0 && b->n > from && memmem(b->p + from, b->n - from, needle.p, needle.n) != NULL)
			return true;
		ssize_t n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
		if (n > 0) buf_add(b, piece, (size_t)n);
		else gear_turn(g);
	}
	return false;
}

/* Everything the server says until it closes (or stays silent for `ms`). Free with buf_release. */
static inline struct buf gear_ask(struct gear *g, struct str request, int64_t ms, bool *out_closed)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	int fd = gear_connect(g);
	char byte;
	gear_send(g, fd, request);
	gear_read(g, fd, &b, 0, STR_NONE, ms);
	if (out_closed != NULL) *out_closed = recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
	close(fd);
	return b;
}

static inline int status_of(const struct buf *b)
{
	return b->n > 12 && memcmp(b->p, "HTTP/1.1 ", 9) == 0 ? (int)strtol(b->p + 9, NULL, 10) : 0;
}
static inline bool has(const struct buf *b, const char *text)
{
	return b->n > 0 && memmem(b->p, b->n, text, strlen(text)) != NULL;
}

static inline unsigned count(const struct buf *b, const char *text)
{
	unsigned n = 0;
	for (const char *p = b->p; p != NULL && (p = strstr(p, text)) != NULL; p++) n++;
	return n;
}

#endif
