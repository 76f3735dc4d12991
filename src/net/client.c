/* How libcurl lives on a libuv loop here.
 *
 * libcurl's multi_socket interface wants three things of its host: watch these sockets (on_socket → uv_poll), wake me
 * then (on_timeout → uv_timer), and tell me what happened (drive → curl_multi_socket_action). Two rules make it safe
 * and quick:
 *
 * 1. libcurl's callbacks only collect. Inside curl_multi_socket_action no function that belongs to somebody else is
 *    called, because whoever is called may cancel, and a handle cannot be removed from inside its own callback. So head
 *    lines and body bytes go into the call's buffers, the call onto the `ready` list, and `deliver` hands all of it out
 *    after libcurl has returned. That costs a copy of each piece and buys that cancelling always closes the socket
 *    before it returns.
 *
 * 2. No needless turns of the loop. A timeout of 0 ("call me at once") is answered in the same drive; a call is driven
 *    as soon as it is added, so that on a kept connection the request leaves before http_call_start returns. What that
 *    first drive brings is delivered from `later`, an idle handle that runs in the next turn.
 *
 * Sending twice. When a kept connection was closed by the server in the moment we used it, libcurl opens another and
 * sends again, which is right for a browser and wrong for us: the first may have been received. The prereq callback
 * runs before each sending; from the second on it says no. Connections older than MAX_IDLE_S are not used again and
 * libcurl looks for a waiting FIN before each use, so this is rare.
 *
 * A cancel while a name is being resolved must not wait for the resolver's thread: CURLOPT_QUICK_EXIT lets it run out
 * by itself. */
#include "net/client.h"

#include <netdb.h>
#include <sys/queue.h>
#include <unistd.h>

#include "net/addr.h"
#include "net/curl.h"

#define HEAD_MAX ((size_t)64 << 10) /* an answer's head */
#define PIECE_MAX ((size_t)8 << 20) /* collected in one drive; libcurl stops far earlier */
#define MAX_IDLE_S 30L              /* kept connections */
#define MAX_KEPT 64L
#define READ_SIZE 8192L /* libcurl's buffer of each running call */
#define ROUNDS 8        /* of "at once" in one drive */

struct http_call {
	struct http_client *client;
	struct http_call_spec spec; /* callbacks, ctx and allow_private; the pointers in it are not kept */
	CURL *easy;
	struct curl_slist *headers;
	struct buf head, body; /* collected, not yet delivered */
	int status;
	int nsent;       /* times libcurl was about to send the request */
	bool is_plain;   /* http, not https */
	bool is_proxied; /* the socket is the proxy's */
	bool head_done;  /* head is complete */
	bool told_connected, told_head;
	bool is_ready, is_finished;
	const char *refused; /* why an address was not connected to */
	CURLcode result;
	TAILQ_ENTRY(http_call) link, ready_link;
};
TAILQ_HEAD(call_list, http_call);

struct http_client {
	uv_loop_t *loop;
	CURLM *multi;
	uv_timer_t timer; /* libcurl's next deadline */
	uv_idle_t later;  /* delivers what a start brought */
	bool due;         /* libcurl asked to be called at once */
	int nclosing;     /* handles of ours still to be closed */
	struct call_list calls, ready;
	struct http_call *now; /* whose callbacks are being called; NULL when it was cancelled meanwhile */
};

struct sock {
	uv_poll_t poll;
	struct http_client *client;
	curl_socket_t fd;
};

static void deliver(struct http_client *c);

static void mark_ready(struct http_call *call)
{
	if (call->is_ready) return;
	call->is_ready = true;
	TAILQ_INSERT_TAIL(&call->client->ready, call, ready_link);
}

/* ---- the loop's side --------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *t);

static void collect_finished(struct http_client *c)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left)) != NULL;) {
		if (m->msg != CURLMSG_DONE) continue;
		struct http_call *call;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		call->is_finished = true;
		call->result = m->data.result;
		mark_ready(call);
	}
}

static void drive(struct http_client *c, curl_socket_t fd, int events)
{
	int running;
	c->due = false;
	curl_multi_socket_action(c->multi, fd, events, &running);
	for (int i = 0; c->due && i < ROUNDS; i++) {
		c->due = false;
		curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	/* 1, not 0: libuv would run a timer of 0 again in this same turn */
	if (c->due) uv_timer_start(&c->timer, on_timer, 1, 0);
	collect_finished(c);
}

static void on_timer(uv_timer_t *t)
{
	struct http_client *c = t->data;
	drive(c, CURL_SOCKET_TIMEOUT, 0);
	deliver(c);
}

static void on_later(uv_idle_t *idle)
{
	uv_idle_stop(idle);
	deliver(idle->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct sock *s = poll->data;
	struct http_client *c = s->client;
	int flags = (events & UV_READABLE ? CURL_CSELECT_IN : 0) | (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
	drive(c, s->fd, status < 0 ? CURL_CSELECT_ERR : flags);
	deliver(c);
}

static void on_sock_closed(uv_handle_t *h) { free(h->data); }

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *sockp)
{
	struct http_client *c = ctx;
	struct sock *s = sockp;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s != NULL) uv_close((uv_handle_t *)&s->poll, on_sock_closed);
		curl_multi_assign(c->multi, fd, NULL);
		return 0;
	}
	if (s == NULL) {
		s = xcalloc(1, sizeof *s);
		s->client = c;
		s->fd = fd;
		ASSERT_CMP(uv_poll_init_socket(c->loop, &s->poll, fd), ==, 0);
		s->poll.data = s;
		curl_multi_assign(c->multi, fd, s);
	}
	uv_poll_start(&s->poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
		      on_poll);
	return 0;
}

static int on_timeout(CURLM *multi, long ms, void *ctx)
{
	struct http_client *c = ctx;
	(void)multi;
	c->due = ms == 0;
	if (ms > 0) uv_timer_start(&c->timer, on_timer, (uint64_t)ms, 0);
	else uv_timer_stop(&c->timer);
	return 0;
}

/* ---- libcurl's callbacks of one call: they only collect ---------------------------------------------------------- */

static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct http_call *call = ctx;
	enum addr_kind kind = addr_kind(&a->addr);
	if (purpose != CURLSOCKTYPE_IPCXN) return CURL_SOCKET_BAD;
	if (call->is_proxied && call->is_plain) call->refused = "http without TLS does not go through a proxy";
	else if (kind == ADDR_FORBIDDEN)
		call->refused = "its address is link-local or multicast, which is never connected to";
	else if (kind == ADDR_PRIVATE && !call->spec.allow_private && !call->is_proxied)
		call->refused = "its address is private or loopback, which this provider's allowPrivate does not allow";
	else if (kind == ADDR_PUBLIC && call->is_plain)
		call->refused = "http without TLS is only spoken on this machine and private networks; use https";
	else return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
	return CURL_SOCKET_BAD;
}

static int on_prereq(void *ctx, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct http_call *call = ctx;
	(void)remote_ip, (void)local_ip, (void)remote_port, (void)local_port;
	mark_ready(call);
	return ++call->nsent == 1 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

/* One head line. A new status line begins a new head, since 1xx heads come before the real one; trailers after the body
 * are dropped. */
static size_t on_head(char *p, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;
	struct str line = str_n(p, size * n);
	if (call->head_done) return line.n;
	if (str_starts(line, STR("HTTP/"))) buf_clear(&call->head);
	if (!buf_add_str(&call->head, line)) return 0;
	if (!str_eq(line, STR("\r\n")) && !str_eq(line, STR("\n"))) return line.n;
	long status = 0;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200) {
		call->status = (int)status;
		call->head_done = true;
		mark_ready(call);
	}
	return line.n;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;
	if (!buf_add(&call->body, p, size * n)) return 0;
	mark_ready(call);
	return size * n;
}

/* ---- one call ---------------------------------------------------------------------------------------------------- */

static void call_free(struct http_call *call)
{
	struct http_client *c = call->client;
	if (c->now == call) c->now = NULL;
	if (call->is_ready) TAILQ_REMOVE(&c->ready, call, ready_link);
	TAILQ_REMOVE(&c->calls, call, link);
	curl_multi_remove_handle(c->multi, call->easy);
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	buf_release(&call->head);
	buf_release(&call->body);
	free(call);
}

static enum err no_connection(const struct http_call *call, struct errinfo *info)
{
	long os_errno = 0;
	char *url = NULL;
	curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_errno);
	curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
	if (call->refused != NULL)
		return err_set(info, ERR_PROVIDER_REFUSED, "the provider was not connected to: %s", call->refused);
	return err_set(info, ERR_PROVIDER_DOWN, "no connection to %.120s: %s", url != NULL ? url : "the provider",
		       os_errno != 0 ? strerror((int)os_errno) : "nobody answers there");
}

static enum err result_to_err(const struct http_call *call, struct errinfo *info)
{
	const char *why = curl_easy_strerror(call->result);
	switch (call->result) {
	case CURLE_OK:
		if (call->head_done) return OK;
		return err_set(info, ERR_PROVIDER_CUT, "the provider closed the connection without an answer");
	case CURLE_COULDNT_CONNECT: return no_connection(call, info);
	case CURLE_COULDNT_RESOLVE_HOST:
		return err_set(info, ERR_PROVIDER_DOWN, "the provider's name could not be resolved");
	case CURLE_OPERATION_TIMEDOUT:
		if (call->nsent == 0)
			return err_set(info, ERR_PROVIDER_TIMEOUT,
				       "connecting to the provider took longer than %lld ms",
				       (long long)call->spec.connect_ms);
		return err_set(info, ERR_PROVIDER_TIMEOUT, "the provider took longer than %lld ms",
			       (long long)call->spec.total_ms);
	case CURLE_ABORTED_BY_CALLBACK:
		return err_set(info, ERR_PROVIDER_CUT, "a kept connection to the provider broke as it was used again");
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return err_set(info, ERR_PROVIDER_REFUSED, "the provider's TLS certificate is not trusted");
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		if (call->nsent > 0)
			return err_set(info, ERR_PROVIDER_CUT, "the provider answered with something that is not HTTP");
		return err_set(info, ERR_PROVIDER_REFUSED, "the provider's address cannot be used: %s", why);
#if LIBCURL_VERSION_NUM >= 0x080600
	case CURLE_TOO_LARGE: /* libcurl's own limit on a head's lines */
#endif
	case CURLE_WRITE_ERROR:
		return err_set(info, ERR_PROVIDER_LIMIT, "the head of the provider's answer is larger than %zu bytes",
			       HEAD_MAX);
	case CURLE_SSL_CONNECT_ERROR:
		return err_set(info, ERR_PROVIDER_DOWN, "no TLS connection to the provider: %s", why);
	default: return err_set(info, ERR_PROVIDER_CUT, "the provider's answer broke off: %s", why);
	}
}

/* Hands out what was collected. Every callback may cancel the call, which shows in c->now. */
static void deliver_call(struct http_client *c, struct http_call *call)
{
	if (call->nsent > 0 && !call->told_connected) {
		call->told_connected = true;
		if (call->spec.connected != NULL) call->spec.connected(call->spec.ctx);
		if (c->now != call) return;
	}
	if (call->head_done && !call->told_head) {
		struct buf head = call->head;
		call->head = BUF_INIT(HEAD_MAX);
		call->told_head = true;
		if (call->spec.head != NULL) call->spec.head(call->spec.ctx, call->status, buf_str(&head));
		buf_release(&head);
		if (c->now != call) return;
	}
	if (call->body.n > 0) {
		struct buf body = call->body;
		call->body = BUF_INIT(PIECE_MAX);
		if (call->spec.body_data != NULL) call->spec.body_data(call->spec.ctx, buf_str(&body));
		if (c->now != call || call->body.n > 0) {
			buf_release(&body);
		} else {
			buf_clear(&body);
			call->body = body;
		}
		/* A callback that ended a pause may have brought more, and put the call on the list again. */
		if (c->now != call || call->is_ready) return;
	}
	if (!call->is_finished) return;
	struct http_call_spec spec = call->spec;
	struct errinfo info = {0};
	enum err e = result_to_err(call, &info);
	call_free(call);
	if (spec.done != NULL) spec.done(spec.ctx, e, &info);
}

static void deliver(struct http_client *c)
{
	struct http_call *call;
	while ((call = TAILQ_FIRST(&c->ready)) != NULL) {
		TAILQ_REMOVE(&c->ready, call, ready_link);
		call->is_ready = false;
		c->now = call;
		deliver_call(c, call);
	}
	c->now = NULL;
}

static void set_request(struct http_call *call, const struct http_call_spec *spec)
{
	CURL *e = call->easy;
	for (const char *const *h = spec->headers; h != NULL && *h != NULL; h++)
		call->headers = curl_slist_append(call->headers, *h);
	call->headers = curl_slist_append(call->headers, "Expect:"); /* no waiting for 100-continue */
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
	curl_easy_setopt(e, CURLOPT_URL, spec->url);
	if (spec->body.p != NULL) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body.n);
		curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, spec->body.p);
	}
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, spec->method);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)spec->connect_ms);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)spec->total_ms);
}

static void set_manners(struct http_call *call)
{
	CURL *e = call->easy;
	curl_easy_setopt(e, CURLOPT_PRIVATE, call);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROXY, call->spec.proxy != NULL ? call->spec.proxy : "");
	curl_easy_setopt(e, CURLOPT_NOPROXY, "");
	/* Reading the authorities' certificates takes 20 ms. libcurl keeps them for all that follows when they come from a file
	 * alone, and a directory beside it holds the same ones. */
	if (curl_version_info(CURLVERSION_NOW)->cainfo != NULL) curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, MAX_IDLE_S);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, READ_SIZE);
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_prereq);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, call);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
}

struct http_call *http_call_start(struct http_client *c, const struct http_call_spec *spec)
{
	struct http_call *call = xcalloc(1, sizeof *call);
	call->client = c;
	call->spec = *spec;
	call->head = BUF_INIT(HEAD_MAX);
	call->body = BUF_INIT(PIECE_MAX);
	call->is_plain = strncasecmp(spec->url, "http:", 5) == 0;
	call->is_proxied = spec->proxy != NULL;
	call->easy = curl_easy_init();
	if (call->easy == NULL) die(71, "out of memory");
	TAILQ_INSERT_TAIL(&c->calls, call, link);
	set_manners(call);
	set_request(call, spec);
	ASSERT_CMP(curl_multi_add_handle(c->multi, call->easy), ==, CURLM_OK);
	drive(c, CURL_SOCKET_TIMEOUT, 0);
	if (!TAILQ_EMPTY(&c->ready)) uv_idle_start(&c->later, on_later);
	return call;
}

void http_call_cancel(struct http_call *call) { call_free(call); }

void http_call_pause(struct http_call *call, bool paused)
{
	struct http_client *c = call->client;
	curl_easy_pause(call->easy, paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
	if (!paused) drive(c, CURL_SOCKET_TIMEOUT, 0);
	if (!TAILQ_EMPTY(&c->ready)) uv_idle_start(&c->later, on_later);
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

enum err http_client_new(uv_loop_t *loop, struct http_client **out, struct errinfo *info)
{
	*out = NULL;
	enum err e = curl_load(info);
	if (e != OK) return e;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) return err_set(info, ERR_INTERNAL, "libcurl does not start");
	struct http_client *c = xcalloc(1, sizeof *c);
	c->loop = loop;
	TAILQ_INIT(&c->calls);
	TAILQ_INIT(&c->ready);
	c->multi = curl_multi_init();
	if (c->multi == NULL) die(71, "out of memory");
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, MAX_KEPT);
	uv_timer_init(loop, &c->timer);
	uv_idle_init(loop, &c->later);
	c->timer.data = c->later.data = c;
	*out = c;
	return OK;
}

static void on_client_closed(uv_handle_t *h)
{
	struct http_client *c = h->data;
	if (--c->nclosing == 0) free(c);
}

void http_client_free(struct http_client *c)
{
	if (c == NULL) return;
	while (!TAILQ_EMPTY(&c->calls)) call_free(TAILQ_FIRST(&c->calls));
	curl_multi_cleanup(c->multi);
	curl_global_cleanup();
	c->nclosing = 2;
	uv_close((uv_handle_t *)&c->timer, on_client_closed);
	uv_close((uv_handle_t *)&c->later, on_client_closed);
}
