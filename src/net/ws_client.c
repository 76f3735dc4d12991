/* The life of a client: resolve (unless a Unix socket), then connect to one address after the other until one takes
 * us, upgrade, talk, close. A socket that is still connecting already belongs to a struct conn: what is sent waits
 * until it is writable, and a refusal is a connection that closes early. */
#include "net/ws_client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
#include "net/conn.h"
#include "net/http_head.h"
#include "net/ws_frame.h"

#define FIN 0x80u
#define HEAD_MAX 16384
#define CLOSE_MS 2000

enum state { RESOLVING, UPGRADING, OPEN, CLOSING, OVER };
struct ws_client {
	struct conn conn;
	uv_loop_t *loop;
	struct io *io;
	struct ws_client_spec spec;
	enum state state;
	bool is_tls, has_socket, is_given_up;
	char *host, *name, *path, *socket_path, *subprotocol, *headers, *post;
	size_t post_n;
	uint16_t port;
	struct tls_context *tls;
	uv_getaddrinfo_t resolve;
	struct addrinfo *addresses, *next_address;
	struct ws_rules rules;
	struct ws_parser parser;
	struct buf head; /* of the server's answer, and its body when it refuses */
	char accept[29]; /* what the answer must hold */
	int code;
	struct errinfo info; /* why it ended; .err OK while nothing is wrong */
	int64_t deadline_ms; /* of the upgrade */
	int64_t last_in_ms;
	bool is_pinged;
};

static const struct conn_proto client_proto;

static void client_free(struct ws_client *w)
{
	if (w->addresses != NULL) uv_freeaddrinfo(w->addresses);
	if (w->parser.rules != NULL) ws_parser_release(&w->parser);
	buf_release(&w->head);
	tls_context_free(w->tls);
	io_free(w->io);
	free(w->host);
	free(w->name);
	free(w->path);
	free(w->socket_path);
	free(w->subprotocol);
	if (w->headers != NULL) secret_wipe(w->headers, strlen(w->headers));
	free(w->headers);
	if (w->post != NULL) secret_wipe(w->post, w->post_n);
	free(w->post);
	free(w);
}

static void tell_closed(struct ws_client *w)
{
	w->state = OVER;
	w->spec.closed(w->spec.ctx, w->info.err == OK ? w->code : WS_CODE_LOST, w->info.err, &w->info);
	client_free(w);
}

static void fail(struct ws_client *w, enum err e, const char *why)
{
	if (w->info.err == OK) (void)!err_set(&w->info, e, "%s", why);
	conn_abort(&w->conn);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static void send_frame(struct ws_client *w, unsigned op, struct str payload)
{
	unsigned char head[WS_HEAD_MAX], mask[4];
	random_bytes(mask, sizeof mask);
	size_t n = ws_head(head, FIN | op, payload.n, mask);
	char *p = conn_send_space(&w->conn, n + payload.n);
	memcpy(p, head, n);
	if (payload.n == 0) return;
	memcpy(p + n, payload.p, payload.n);
	ws_mask(p + n, payload.n, mask, 0);
}

bool ws_client_send(struct ws_client *w, struct str text)
{
	if (w->state != OPEN) return false;
	send_frame(w, WS_TEXT, text);
	return true;
}

size_t ws_client_queued(const struct ws_client *w) { return w->state == OPEN ? conn_queued(&w->conn) : 0; }

void ws_client_close(struct ws_client *w, int code)
{
	char payload[2] = {(char)(code >> 8), (char)code};
	if (w->state == CLOSING || w->state == OVER) return;
	w->code = code;
	if (w->state == OPEN) {
		send_frame(w, WS_CLOSE, str_n(payload, 2));
		w->state = CLOSING;
		conn_deadline(&w->conn, conn_now(&w->conn) + CLOSE_MS);
		return;
	}
	w->is_given_up = true;
	if (w->has_socket) conn_abort(&w->conn);
	else uv_cancel((uv_req_t *)&w->resolve);
}

void ws_client_abort(struct ws_client *w)
{
	if (w->state == OPEN) conn_flush(&w->conn);
	w->is_given_up = true;
	if (w->has_socket) conn_abort(&w->conn);
	else if (w->state == RESOLVING) uv_cancel((uv_req_t *)&w->resolve);
}

/* ---- the upgrade ------------------------------------------------------------------------------------------------- */

static void send_post(struct ws_client *w)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&b,
		 "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		 "Connection: close\r\n%s\r\n",
		 w->path, w->host, w->post_n, w->headers);
	buf_add(&b, w->post, w->post_n);
	conn_send(&w->conn, buf_str(&b));
	secret_wipe(b.p, b.n);
	buf_release(&b);
}

static void send_upgrade(struct ws_client *w)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	unsigned char nonce[16];
	char key[25];
	random_bytes(nonce, sizeof nonce);
	ws_nonce_key(nonce, key);
	ws_accept_key(str_c(key), w->accept);
	buf_addf(&b,
		 "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
		 w->path, w->host, key);
	if (w->subprotocol != NULL) buf_addf(&b, "Sec-WebSocket-Protocol: %s\r\n", w->subprotocol);
	buf_add_str(&b, str_c(w->headers));
	buf_add_str(&b, STR("\r\n"));
	conn_send(&w->conn, buf_str(&b));
	secret_wipe(b.p, b.n);
	buf_release(&b);
}

/* The value of a header line of the answer; STR_NONE when it has none. */
static struct str answer_field(struct str head, struct str name)
{
	for (const char *p = head.p, *end = head.p + head.n; p < end;) {
		const char *eol = memchr(p, '\r', (size_t)(end - p));
		struct str line = str_n(p, (size_t)((eol != NULL ? eol : end) - p));
		if (line.n > name.n && line.p[name.n] == ':' && str_eq_nocase(str_n(line.p, name.n), name)) {
			struct str v = str_n(line.p + name.n + 1, line.n - name.n - 1);
			while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) v = str_n(v.p + 1, v.n - 1);
			while (v.n > 0 && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t')) v.n--;
			return v;
		}
		p += line.n + 2;
	}
	return STR_NONE;
}

/* The server said no: its own error when the body holds one, else the status. */
static void refuse(struct ws_client *w, int64_t status, struct str body)
{
	struct json_doc *doc = NULL;
	struct str code, message = STR("");
	const struct json *error;
	if (json_parse(body, &doc, NULL) == OK) {
		error = json_get(json_root(doc), "error");
		json_str(json_get(error, "message"), &message);
		if (json_str(json_get(error, "code"), &code))
			(void)!err_set(&w->info, err_from_code(code.p, (uint32_t)code.n), "%.*s", STR_ARG(message));
		json_free(doc);
	}
	if (w->info.err == OK)
		(void)!err_set(&w->info, status == 401 ? ERR_UNAUTHORIZED : ERR_UNAVAILABLE,
			       "the server answered HTTP %lld instead of a WebSocket", (long long)status);
	conn_abort(&w->conn);
}

/* The head's last line is at `head_n`. False when the body of a refusal is not complete yet. */
static bool judge_answer(struct ws_client *w, size_t head_n)
{
	struct str head = str_n(w->head.p, head_n), body = str_n(w->head.p + head_n, w->head.n - head_n);
	int64_t status = 0, length = 0;
	if (head.n < 12 || memcmp(head.p, "HTTP/1.", 7) != 0 || !str_to_int(str_n(head.p + 9, 3), &status)) {
		fail(w, ERR_UNAVAILABLE, "the server does not speak HTTP");
	} else if (status != 101) {
		(void)!str_to_int(answer_field(head, STR("content-length")), &length);
		if ((int64_t)body.n < length && !w->conn.is_eof) return false;
		if (w->post == NULL || status >= 300) {
			refuse(w, status, body);
			return true;
		}
		w->state = OVER;
		w->code = WS_CODE_NORMAL;
		w->spec.answered(w->spec.ctx, (int)status, body);
		conn_abort(&w->conn);
	} else if (w->accept[0] == '\0' || !str_eq(answer_field(head, STR("sec-websocket-accept")), str_c(w->accept))) {
		fail(w, ERR_UNAVAILABLE, "the server's Sec-WebSocket-Accept is wrong");
	} else if (w->subprotocol != NULL &&
		   !str_eq(answer_field(head, STR("sec-websocket-protocol")), str_c(w->subprotocol))) {
		fail(w, ERR_UNAVAILABLE, "the server did not choose the subprotocol");
	} else {
		w->state = OPEN;
		ws_parser_init(&w->parser, &w->rules, false);
		w->spec.open(w->spec.ctx);
	}
	return true;
}

/* Takes bytes of the answer; returns how many. */
static size_t read_answer(struct ws_client *w, const char *p, size_t n)
{
	size_t before = w->head.n;
	if (!buf_add(&w->head, p, MIN(n, HEAD_MAX - before)) || w->head.n == HEAD_MAX) {
		fail(w, ERR_UNAVAILABLE, "the server's answer is too large");
		return n;
	}
	const char *end = memmem(w->head.p, w->head.n, "\r\n\r\n", 4);
	if (end == NULL) return n;
	size_t head_n = (size_t)(end - w->head.p) + 4;
	if (!judge_answer(w, head_n) || w->state != OPEN) return n;
	buf_release(&w->head);
	return head_n - before; /* what is behind it are frames */
}

/* ---- the connection's protocol ----------------------------------------------------------------------------------- */

static void on_event(struct ws_client *w, const struct ws_event *ev)
{
	char payload[2] = {(char)(ev->code >> 8), (char)ev->code};
	switch (ev->what) {
	case WS_GOT_MESSAGE:
		if (w->state == OPEN && ev->is_text) w->spec.message(w->spec.ctx, ev->payload);
		break;
	case WS_GOT_PING: send_frame(w, WS_PONG, ev->payload); break;
	case WS_GOT_CLOSE:
		if (w->state == OPEN) {
			w->code = ev->code;
			send_frame(w, WS_CLOSE, ev->code == WS_CODE_NONE ? STR_NONE : str_n(payload, 2));
		}
		w->state = OVER;
		conn_finish(&w->conn);
		break;
	case WS_FAILED:
		(void)!err_set(&w->info, ERR_UNAVAILABLE, "the server broke the protocol: %s", ev->why);
		send_frame(w, WS_CLOSE, str_n(payload, 2));
		w->state = OVER;
		conn_finish(&w->conn);
		break;
	case WS_GOT_PONG:
	case WS_MORE: break;
	}
}

static void arm(struct ws_client *w)
{
	if (w->state == OPEN) conn_deadline(&w->conn, w->last_in_ms + (w->is_pinged ? 2 : 1) * w->spec.ping_ms);
}

static size_t proto_data(struct conn *c, char *p, size_t n)
{
	struct ws_client *w = CONTAINER_OF(c, struct ws_client, conn);
	struct ws_event ev;
	size_t used = 0;
	w->last_in_ms = conn_now(c);
	w->is_pinged = false;
	if (w->state == UPGRADING) used = read_answer(w, p, n);
	while (used < n && (w->state == OPEN || w->state == CLOSING) && !c->is_closed) {
		used += ws_parse(&w->parser, p + used, n - used, &ev);
		on_event(w, &ev);
		ws_parser_settle(&w->parser);
	}
	arm(w);
	return used;
}

static void proto_eof(struct conn *c)
{
	struct ws_client *w = CONTAINER_OF(c, struct ws_client, conn);
	const char *end = w->head.n > 0 ? memmem(w->head.p, w->head.n, "\r\n\r\n", 4) : NULL;
	if (w->state == UPGRADING && end != NULL) judge_answer(w, (size_t)(end - w->head.p) + 4);
	if (w->state != CLOSING) fail(w, ERR_UNAVAILABLE, "the server closed the connection");
	conn_abort(c);
}

static void proto_timer(struct conn *c)
{
	struct ws_client *w = CONTAINER_OF(c, struct ws_client, conn);
	if (w->state == CLOSING) {
		conn_abort(c);
	} else if (w->state != OPEN || w->is_pinged) {
		fail(w, ERR_UNAVAILABLE,
		     w->state == OPEN ? "the server fell silent" : "the server did not answer in time");
	} else {
		w->is_pinged = true;
		send_frame(w, WS_PING, STR_NONE);
		arm(w);
	}
}

static bool connect_next(struct ws_client *w);

static void proto_closed(struct conn *c)
{
	struct ws_client *w = CONTAINER_OF(c, struct ws_client, conn);
	bool was_refused = w->state == UPGRADING && w->head.n == 0 && w->info.err == OK && !w->is_given_up;
	w->has_socket = false;
	if (was_refused && connect_next(w)) return;
	if (was_refused || (w->state == OPEN && w->info.err == OK))
		(void)!err_set(&w->info, ERR_UNAVAILABLE,
			       was_refused ? "nothing answers at %s" : "the connection to %s was lost",
			       w->socket_path != NULL ? w->socket_path : w->host);
	tell_closed(w);
}

static const struct conn_proto client_proto = {
	.data = proto_data,
	.eof = proto_eof,
	.timer = proto_timer,
	.closed = proto_closed,
};

/* ---- connecting -------------------------------------------------------------------------------------------------- */

static bool begin(struct ws_client *w, const struct sockaddr *sa, socklen_t n)
{
	struct tls *tls = NULL;
	int on = 1, fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) return false;
	if (sa->sa_family != AF_UNIX) (void)!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (w->is_tls && (tls = tls_new(w->tls, w->name)) == NULL) {
		close(fd);
		errno = ENOMEM;
		return false;
	}
	if (connect(fd, sa, n) != 0 && errno != EINPROGRESS) {
		int why = errno;
		tls_free(tls);
		close(fd);
		errno = why;
		return false;
	}
	w->state = UPGRADING;
	w->has_socket = true;
	conn_init(&w->conn, w->io, fd, tls, &client_proto);
	conn_deadline(&w->conn, w->deadline_ms);
	if (w->post != NULL) send_post(w);
	else send_upgrade(w);
	return true;
}

static bool connect_next(struct ws_client *w)
{
	while (w->next_address != NULL) {
		struct addrinfo *a = w->next_address;
		w->next_address = a->ai_next;
		if (begin(w, a->ai_addr, a->ai_addrlen)) return true;
	}
	return false;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct ws_client *w = req->data;
	w->addresses = w->next_address = list;
	if (!w->is_given_up && status == 0 && connect_next(w)) return;
	if (!w->is_given_up)
		(void)!err_set(&w->info, ERR_UNAVAILABLE, "%s: %s", w->host,
			       status != 0 ? uv_strerror(status) : strerror(errno));
	tell_closed(w);
}

static enum err parse_url(struct ws_client *w, struct str url, struct errinfo *info)
{
	static const struct {
		struct str scheme;
		bool is_tls;
	} schemes[] = {{{"ws://", 5}, false}, {{"http://", 7}, false}, {{"wss://", 6}, true}, {{"https://", 8}, true}};
	struct authority a;
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		if (!str_starts(url, schemes[i].scheme)) continue;
		struct str rest = str_n(url.p + schemes[i].scheme.n, url.n - schemes[i].scheme.n);
		const char *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
		struct str host = slash != NULL ? str_n(rest.p, (size_t)(slash - rest.p)) : rest;
		if (!authority_parse(host, &a)) break;
		w->is_tls = schemes[i].is_tls;
		w->host = str_dup(host);
		w->name = str_dup(a.name);
		w->path = slash != NULL ? str_dup(str_n(slash, rest.n - host.n)) : xstrdup("/");
		w->port = a.port != 0 ? a.port : w->is_tls ? 443 : 80;
		return OK;
	}
	return err_set(info, ERR_USAGE, "\"%.*s\" is not a URL of a WebSocket", STR_ARG(url));
}

static char *join_headers(const char *const *headers)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (; headers != NULL && *headers != NULL; headers++) buf_addf(&b, "%s\r\n", *headers);
	return buf_take(&b, NULL);
}

static enum err start_unix(struct ws_client *w, struct errinfo *info)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	if (!str_copy(str_c(w->socket_path), sa.sun_path, sizeof sa.sun_path))
		return err_set(info, ERR_UNAVAILABLE, "%s: the path is too long for a socket", w->socket_path);
	if (begin(w, (struct sockaddr *)&sa, sizeof sa)) return OK;
	return err_set(info, ERR_UNAVAILABLE, "%s: %s", w->socket_path, strerror(errno));
}

static enum err start_tcp(struct ws_client *w, struct errinfo *info)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct sockaddr_in6 six;
	struct sockaddr_in four;
	char port[8];
	bool is_six = uv_ip6_addr(w->name, w->port, &six) == 0;
	if (is_six || uv_ip4_addr(w->name, w->port, &four) == 0) {
		if (begin(w, is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four,
			  is_six ? sizeof six : sizeof four))
			return OK;
		return err_set(info, ERR_UNAVAILABLE, "%s: %s", w->host, strerror(errno));
	}
	snprintf(port, sizeof port, "%u", w->port);
	w->resolve.data = w;
	int r = uv_getaddrinfo(w->loop, &w->resolve, on_resolved, w->name, port, &hints);
	return r == 0 ? OK : err_set(info, ERR_UNAVAILABLE, "%s: %s", w->host, uv_strerror(r));
}

enum err ws_client_start(uv_loop_t *loop, const struct ws_client_spec *spec, struct ws_client **out,
			 struct errinfo *info)
{
	struct ws_client *w = xcalloc(1, sizeof *w);
	w->loop = loop;
	w->spec = *spec;
	w->io = io_new(loop, spec->connect_ms);
	w->headers = join_headers(spec->headers);
	w->socket_path = spec->socket_path != NULL ? xstrdup(spec->socket_path) : NULL;
	w->subprotocol = spec->subprotocol != NULL ? xstrdup(spec->subprotocol) : NULL;
	w->post = spec->post.p != NULL ? str_dup(spec->post) : NULL;
	w->post_n = spec->post.n;
	w->rules = (struct ws_rules){.max_bytes = spec->max_bytes, .is_client = true};
	w->code = WS_CODE_LOST;
	w->deadline_ms = (int64_t)uv_now(loop) + spec->connect_ms;
	buf_init(&w->head, HEAD_MAX);
	enum err e = parse_url(w, str_c(spec->url), info);
	if (e == OK && w->is_tls && w->socket_path == NULL) e = tls_context_client(spec->ca_path, &w->tls, info);
	if (w->socket_path != NULL) w->is_tls = false;
	if (e == OK) e = w->socket_path != NULL ? start_unix(w, info) : start_tcp(w, info);
	if (e != OK) {
		client_free(w);
		return e;
	}
	*out = w;
	return OK;
}
