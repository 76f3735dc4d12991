/* Listeners, and who is let in.
 *
 * A connection over a limit (all connections, or those of one address) gets a 503 and is closed in an orderly way; when
 * many are refused at once, curtly. When the process has no descriptor left, accept() fails while the connection stays
 * in the backlog and the listener stays readable: a naive loop would spin. A descriptor held in reserve is given up for
 * the moment it takes to accept that connection, tell it 503, and close it; then the reserve is taken again. For any
 * other failure the listener rests for RETRY_MS. Nothing here needs a restart to recover.
 *
 * The Unix socket is outside the limits (by a small margin): the operator gets in when the house is full. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uthash.h>

#include "base/log.h"
#include "net/http_priv.h"

#define BACKLOG 4096
#define ACCEPT_BATCH 64
#define RETRY_MS 100
#define POLITE_REFUSALS 64 /* refused connections that are still being told so */
#define LOCAL_MARGIN 16

struct listener {
	uv_poll_t poll;
	uv_timer_t retry;
	struct http_server *s;
	LIST_ENTRY(listener) all;
	struct tls_context *tls;
	char *path; /* of a Unix socket */
	int fd;
	int handles;
};

struct address {
	unsigned char key[16]; /* IPv6, or IPv4 mapped into it; of IPv6 only the network half */
	int64_t n;
	UT_hash_handle hh;
};

/* ---- admission --------------------------------------------------------------------------------------------------- */

static void address_key(const struct sockaddr_storage *sa, unsigned char key[16])
{
	memset(key, 0, 16);
	if (sa->ss_family == AF_INET) {
		key[10] = key[11] = 0xff;
		memcpy(key + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa->ss_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
		memcpy(key, a, IN6_IS_ADDR_V4MAPPED(a) ? 16 : 8);
	}
}

/* Counts the connection in; false when it is one too many. */
static bool admission_enter(struct http_server *s, struct http_conn *hc, const struct sockaddr_storage *sa)
{
	struct address *a;
	unsigned char key[16];
	if (s->stats.open >= s->limits->connections + (hc->is_local ? LOCAL_MARGIN : 0)) return false;
	if (!hc->is_local) {
		address_key(sa, key);
		HASH_FIND(hh, s->addresses, key, sizeof key, a);
		if (a == NULL) {
			a = xcalloc(1, sizeof *a);
			memcpy(a->key, key, sizeof key);
			HASH_ADD(hh, s->addresses, key, sizeof a->key, a);
		} else if (a->n >= s->limits->connections_per_address) {
			return false;
		}
		a->n++;
		hc->address = a;
	}
	hc->is_counted = true;
	s->stats.open++;
	s->stats.accepted++;
	return true;
}

void admission_leave(struct http_conn *hc)
{
	struct http_server *s = hc->s;
	if (hc->is_counted) s->stats.open--;
	else s->refusing--;
	if (hc->address != NULL && --hc->address->n == 0) {
		HASH_DEL(s->addresses, hc->address);
		free(hc->address);
	}
}

static void set_peer(struct http_conn *hc, const struct sockaddr_storage *sa)
{
	const struct sockaddr_in *v4 = (const void *)sa;
	const struct sockaddr_in6 *v6 = (const void *)sa;
	if (sa->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, hc->peer, sizeof hc->peer);
		hc->is_loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	} else if (sa->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, hc->peer, sizeof hc->peer);
		hc->is_loopback = v6->sin6_addr.s6_addr[12] == 127;
	} else if (sa->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, hc->peer, sizeof hc->peer);
		hc->is_loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	}
}

/* Refuses a socket that never becomes a connection. What it sent already is read, so that closing does not turn into a
 * reset that overtakes the answer. */
static void refuse_curtly(struct http_server *s, int fd, bool is_tls)
{
	struct buf b = BUF_INIT(4096);
	char sink[4096];
	s->stats.refused++;
	if (!is_tls) {
		http_answer_raw(s, ERR_OVERLOADED, &b);
		if (send(fd, b.p, b.n, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 && shutdown(fd, SHUT_WR) == 0)
			for (int i = 0; i < 8 && recv(fd, sink, sizeof sink, MSG_DONTWAIT) > 0; i++) continue;
		buf_release(&b);
	}
	close(fd);
}

static void admit(struct listener *l, int fd, const struct sockaddr_storage *sa)
{
	struct http_server *s = l->s;
	bool is_full = s->stats.open >= s->limits->connections + (l->path != NULL ? LOCAL_MARGIN : 0);
	if (is_full && (l->tls != NULL || s->refusing >= POLITE_REFUSALS)) {
		refuse_curtly(s, fd, l->tls != NULL);
		return;
	}
	struct tls *tls = l->tls != NULL ? tls_new(l->tls, NULL) : NULL;
	if (l->tls != NULL && tls == NULL) {
		refuse_curtly(s, fd, true);
		return;
	}
	struct http_conn *hc = http_conn_new(s, fd, tls);
	hc->is_local = l->path != NULL;
	hc->is_tls = l->tls != NULL;
	set_peer(hc, sa);
	if (admission_enter(s, hc, sa)) return;
	s->refusing++;
	s->stats.refused++;
	if (l->tls != NULL || s->refusing > POLITE_REFUSALS) {
		conn_abort(&hc->conn);
		return;
	}
	struct buf b = BUF_INIT(4096);
	http_answer_raw(s, ERR_OVERLOADED, &b);
	conn_send(&hc->conn, buf_str(&b));
	conn_finish(&hc->conn);
	buf_release(&b);
}

/* ---- accepting --------------------------------------------------------------------------------------------------- */

static void on_readable(uv_poll_t *h, int status, int events);

static void on_retry(uv_timer_t *t)
{
	struct listener *l = t->data;
	uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void rest(struct listener *l)
{
	uv_poll_stop(&l->poll);
	uv_timer_start(&l->retry, on_retry, RETRY_MS, 0);
}

/* No descriptor is left. */
static void refuse_one(struct listener *l)
{
	struct http_server *s = l->s;
	if (s->reserve_fd < 0) {
		s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		rest(l);
		return;
	}
	close(s->reserve_fd);
	/* cppcheck-suppress nullPointer ; NULL is allowed: nobody asks for the address */
	int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) refuse_curtly(s, fd, l->tls != NULL);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != EAGAIN) rest(l);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
	struct listener *l = h->data;
	(void)events;
	if (status < 0) {
		rest(l);
		return;
	}
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage sa = {0};
		socklen_t n = sizeof sa;
		int fd = accept4(l->fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			admit(l, fd, &sa);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE) {
			refuse_one(l);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR && errno != EPROTO) {
			log_warn("accepting a connection failed: %s", strerror(errno));
			rest(l);
			return;
		}
	}
}

/* ---- listeners --------------------------------------------------------------------------------------------------- */

static void listener_start(struct http_server *s, int fd, const char *path, struct tls_context *tls)
{
	struct listener *l = xcalloc(1, sizeof *l);
	l->s = s;
	l->fd = fd;
	l->tls = tls;
	l->path = path != NULL ? xstrdup(path) : NULL;
	l->handles = 2;
	l->poll.data = l->retry.data = l;
	s->handles++;
	uv_timer_init(s->o.loop, &l->retry);
	ASSERT_CMP(uv_poll_init(s->o.loop, &l->poll, fd), ==, 0);
	uv_poll_start(&l->poll, UV_READABLE, on_readable);
	LIST_INSERT_HEAD(&s->listeners, l, all);
}

static void on_closed(uv_handle_t *h)
{
	struct listener *l = h->data;
	struct http_server *s = l->s;
	if (--l->handles > 0) return;
	tls_context_free(l->tls);
	free(l->path);
	free(l);
	http_server_unref(s);
}

void listeners_close(struct http_server *s)
{
	struct listener *l;
	while ((l = LIST_FIRST(&s->listeners)) != NULL) {
		LIST_REMOVE(l, all);
		uv_close((uv_handle_t *)&l->poll, on_closed);
		uv_close((uv_handle_t *)&l->retry, on_closed);
		close(l->fd);
		if (l->path != NULL) unlink(l->path);
	}
}

/* "127.0.0.1:8787", "[::1]:0", "localhost:80" */
static bool parse_address(const char *text, struct sockaddr_storage *sa, socklen_t *n)
{
	struct sockaddr_in *v4 = (void *)sa;
	struct sockaddr_in6 *v6 = (void *)sa;
	const char *colon = strrchr(text, ':');
	char name[64];
	int64_t port;
	memset(sa, 0, sizeof *sa);
	if (colon == NULL || !str_to_int(str_c(colon + 1), &port) || port < 0 || port > 65535) return false;
	struct str host = str_n(text, (size_t)(colon - text));
	bool is_v6 = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
	if (is_v6) host = str_n(host.p + 1, host.n - 2);
	if (str_eq(host, STR("localhost"))) host = STR("127.0.0.1");
	if (!str_copy(host, name, sizeof name)) return false;
	if (is_v6) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*n = sizeof *v6;
		return inet_pton(AF_INET6, name, &v6->sin6_addr) == 1;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	*n = sizeof *v4;
	return inet_pton(AF_INET, name, &v4->sin_addr) == 1;
}

static int port_of(int fd)
{
	struct sockaddr_in6 sa = {0}; /* has its port where sockaddr_in has it */
	socklen_t n = sizeof sa;
	return getsockname(fd, (struct sockaddr *)&sa, &n) == 0 ? ntohs(sa.sin6_port) : 0;
}

enum err http_listen(struct http_server *s, const char *addr_port, const char *cert, const char *key, int *out_port,
		     struct errinfo *info)
{
	struct tls_context *tls = NULL;
	struct sockaddr_storage sa;
	socklen_t n;
	int fd = -1, on = 1;
	enum err e = OK;
	if (!parse_address(addr_port, &sa, &n))
		return err_set(info, ERR_CONFIG, "cannot listen on \"%s\"; write 127.0.0.1:8787 or [::1]:8787",
			       addr_port);
	if (cert != NULL) e = tls_context_server(cert, key, &tls, info);
	if (e != OK) return e;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* What is set on a listener holds for what it accepts. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 || bind(fd, (struct sockaddr *)&sa, n) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		e = err_set(info, errno == EADDRINUSE ? ERR_LOCKED : ERR_CONFIG, "cannot listen on %s: %s", addr_port,
			    strerror(errno));
		goto out;
	}
	if (out_port != NULL) *out_port = port_of(fd);
	listener_start(s, fd, NULL, tls);
	return OK;
out:
	if (fd >= 0) close(fd);
	tls_context_free(tls);
	return e;
}

enum err http_listen_unix(struct http_server *s, const char *path, struct errinfo *info)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;
	if (!str_copy(str_c(path), sa.sun_path, sizeof sa.sun_path))
		return err_set(info, ERR_CONFIG, "%s: a socket's path holds at most %zu bytes", path,
			       sizeof sa.sun_path - 1);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t mask = umask(0177); /* never open to others, not even for a moment */
	bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd, BACKLOG) == 0;
	umask(mask);
	if (!ok) {
		enum err e = err_set(info, ERR_IO, "cannot listen on %s: %s", path, strerror(errno));
		if (fd >= 0) close(fd);
		return e;
	}
	listener_start(s, fd, path, NULL);
	return OK;
}
