#include "gear/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRATCH_BYTES ((size_t)256 << 10)
#define OUT_MAX ((size_t)64 << 20)
#define ROUND_EVENTS 256

void loop_init(struct loop *l)
{
	struct rlimit files;

	*l = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .scratch = xmalloc(SCRATCH_BYTES)};
	if (l->epoll_fd < 0) die(71, "epoll: %s", strerror(errno));
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	prctl(PR_SET_TIMERSLACK, 1UL); /* sends are due to the microsecond */
}

void loop_release(struct loop *l)
{
	close(l->epoll_fd);
	free(l->scratch);
}

static void conn_watch(struct conn *c, int op)
{
	struct epoll_event e = {.events = EPOLLIN | (c->is_blocked ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};

	if (epoll_ctl(c->loop->epoll_fd, op, c->fd, &e)) die(71, "epoll_ctl: %s", strerror(errno));
}

static void conn_start(struct loop *l, struct conn *c, int fd)
{
	int on = 1;

	c->loop = l;
	c->fd = fd;
	c->out_done = 0;
	c->is_dirty = c->is_blocked = false;
	c->next_dirty = c->next_gone = NULL;
	buf_init(&c->out, OUT_MAX);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) die(71, "socket: %s", strerror(errno));
	return fd;
}

void conn_connect(struct loop *l, struct conn *c, int port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	conn_start(l, c, tcp_socket());
	c->is_blocked = true;
	conn_watch(c, EPOLL_CTL_ADD);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS)
		die(69, "connect to port %d: %s", port, strerror(errno));
}

int conn_listen(struct loop *l, struct conn *c, int backlog)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	conn_start(l, c, tcp_socket());
	if (bind(c->fd, (struct sockaddr *)&at, sizeof(at)) || listen(c->fd, backlog) ||
	    getsockname(c->fd, (struct sockaddr *)&at, &len))
		die(71, "listen: %s", strerror(errno));
	if (c->on_accept) conn_watch(c, EPOLL_CTL_ADD);
	return ntohs(at.sin_port);
}

bool conn_accept(struct conn *listener, struct conn *c)
{
	int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) return false;
	conn_start(listener->loop, c, fd);
	conn_watch(c, EPOLL_CTL_ADD);
	return true;
}

struct buf *conn_out(struct conn *c)
{
	if (!c->is_dirty) {
		c->is_dirty = true;
		c->next_dirty = c->loop->dirty;
		c->loop->dirty = c;
	}
	return &c->out;
}

void conn_write(struct conn *c, const void *p, size_t n)
{
	if (c->fd >= 0 && !buf_add(conn_out(c), p, n)) die(70, "64 MiB wait to be written");
}

size_t conn_unsent(const struct conn *c) { return c->out.n - c->out_done; }

void conn_close(struct conn *c)
{
	if (c->fd < 0) return;
	close(c->fd);
	c->fd = -1;
	c->next_gone = c->loop->gone;
	c->loop->gone = c;
}

static void conn_flush(struct conn *c)
{
	bool was_blocked = c->is_blocked;

	while (c->out_done < c->out.n) {
		ssize_t n = send(c->fd, c->out.p + c->out_done, c->out.n - c->out_done, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) break; /* what is wrong, the next read tells */
		c->out_done += (size_t)n;
	}
	if (c->out_done == c->out.n) {
		buf_clear(&c->out);
		c->out_done = 0;
	} else if (c->out_done > OUT_MAX / 64) {
		buf_drop(&c->out, c->out_done);
		c->out_done = 0;
	}
	c->is_blocked = c->out.n > 0;
	if (c->is_blocked != was_blocked) conn_watch(c, EPOLL_CTL_MOD);
}

static void conn_read(struct conn *c)
{
	ssize_t n = recv(c->fd, c->loop->scratch, SCRATCH_BYTES, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	c->on_bytes(c, n > 0 ? str_n(c->loop->scratch, (size_t)n) : STR_NONE);
}

static void loop_flush(struct loop *l)
{
	while (l->dirty) {
		struct conn *c = l->dirty;
		l->dirty = c->next_dirty;
		c->is_dirty = false;
		if (c->fd >= 0 && !c->is_blocked) conn_flush(c);
	}
	while (l->gone) {
		struct conn *c = l->gone;
		l->gone = c->next_gone;
		buf_release(&c->out);
		if (c->on_free) c->on_free(c);
	}
}

void loop_round(struct loop *l, int64_t until_ns)
{
	struct epoll_event events[ROUND_EVENTS];

	loop_flush(l);
	int64_t wait_ns = until_ns ? until_ns - now_ns() : 0;
	if (wait_ns < 0) wait_ns = 0;
	struct timespec wait = {.tv_sec = wait_ns / NS_PER_SEC, .tv_nsec = wait_ns % NS_PER_SEC};
	int n = epoll_pwait2(l->epoll_fd, events, ROUND_EVENTS, &wait, NULL);
	if (n < 0 && errno != EINTR) die(71, "epoll_wait: %s", strerror(errno));
	l->woke_ns = now_ns();
	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;
		if (c->fd < 0) continue;
		if (c->on_accept) {
			c->on_accept(c);
			continue;
		}
		if (events[i].events & EPOLLOUT) conn_flush(c);
		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) conn_read(c);
	}
	loop_flush(l);
}
