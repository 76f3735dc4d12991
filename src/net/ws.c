/* A server's WebSocket: what a connection becomes after its upgrade.
 *
 * The request and everything of HTTP is freed; what stays is the connection, this struct and, in the middle of a
 * message, the parser's block. Silence for ping_ms is answered with a ping, for twice as long with the end; any byte
 * from the peer counts as life, but not towards finishing a message, which has message_ms as a whole.
 *
 * Closing. Whoever starts, both send one close frame. Ours goes out and the peer gets CLOSE_MS for its own; after the
 * peer's, or after an error, the connection is ended by conn_finish. `closed` is told at the end of that turn and the
 * struct freed, whatever the socket still does. A peer that vanishes is 1006.
 *
 * Pings are answered at once while the socket takes it. When it does not, only the newest ping's answer is kept (RFC
 * 6455 §5.5.3 allows that), so a flood of pings costs a peer more than us. */
#include "net/frame.h"
#include "net/http_priv.h"
#include "net/ws_deflate.h"

#define FIN 0x80u
#define CLOSE_MS 2000
#define ECHO_QUEUE_BYTES (1u << 20)
#define PONG_QUEUE_BYTES (16u << 10)

struct ws {
	struct http_conn *hc;
	const struct ws_hooks *hooks; /* NULL for the echo route */
	void *ctx;
	struct ws_parser parser;
	int64_t last_in_ms;      /* when something last arrived */
	int64_t message_ms;      /* when the unfinished message began; 0 none */
	struct frame *late_pong; /* answer to the newest ping that came while the socket was full */
	int code;                /* what `closed` will report */
	bool is_pinged;          /* and nothing came since */
	bool is_closing;         /* our close frame is sent */
	bool is_over;            /* nothing more goes either way */
	bool is_deflate;
};

static void ws_free(struct ws *w)
{
	w->hc->s->stats.websockets--;
	ws_parser_release(&w->parser);
	frame_unref(w->late_pong);
	free(w);
}

static void arm(struct ws *w)
{
	const struct limits *l = w->hc->s->limits;
	int64_t at = w->last_in_ms + (w->is_pinged ? 2 : 1) * l->ping_ms;
	if (w->message_ms != 0) at = MIN(at, w->message_ms + l->message_ms);
	if (!w->is_closing && !w->is_over) conn_deadline(&w->hc->conn, at);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static void send_control(struct ws *w, unsigned op, struct str payload)
{
	struct frame *f = frame_make(FIN | op, payload);
	conn_send_frame(&w->hc->conn, f);
	frame_unref(f);
}

static void send_close(struct ws *w, int code, struct str reason)
{
	char payload[WS_CONTROL_MAX] = {(char)(code >> 8), (char)code};
	size_t n = utf8_cut(reason, sizeof payload - 2);
	if (w->is_closing || w->is_over) return;
	w->is_closing = true;
	if (reason.p != NULL) memcpy(payload + 2, reason.p, n);
	send_control(w, WS_CLOSE, code == WS_CODE_NONE ? STR_NONE : str_n(payload, n + 2));
}

bool ws_send(struct ws *w, struct frame *f, size_t hard)
{
	struct conn *c = &w->hc->conn;
	if (w->is_closing || w->is_over) return true; /* `closed` is on its way */
	if (w->is_deflate) f = frame_packed(f, w->hc->s->zip);
	if (c->out_bytes + frame_len(f) > hard) {
		if (!c->is_blocked) conn_flush(c);
		/* An empty queue takes any frame: nothing would ever tell its sender to try again. */
		if (c->out_bytes > 0 && c->out_bytes + frame_len(f) > hard) return false;
	}
	conn_send_frame(c, f);
	return true;
}

size_t ws_queued(const struct ws *w) { return conn_queued(&w->hc->conn); }

static void send_pong(struct ws *w, struct str payload)
{
	struct conn *c = &w->hc->conn;
	if (c->out_bytes > PONG_QUEUE_BYTES && !c->is_blocked) conn_flush(c);
	if (!c->is_blocked) {
		send_control(w, WS_PONG, payload);
		return;
	}
	frame_unref(w->late_pong);
	w->late_pong = frame_make(FIN | WS_PONG, payload);
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

static void end(struct ws *w, int code)
{
	if (w->is_over) return;
	w->is_over = true;
	w->code = code;
	conn_finish(&w->hc->conn);
	conn_later(&w->hc->conn);
}

static void fail(struct ws *w, int code, const char *why)
{
	bool was_closing = w->is_closing;
	send_close(w, code, str_c(why));
	end(w, was_closing ? w->code : code);
}

void ws_close(struct ws *w, int code, const char *reason)
{
	struct conn *c = &w->hc->conn;
	if (w->is_closing || w->is_over) return;
	send_close(w, code, str_c(reason));
	w->code = code;
	conn_resume(c); /* the peer's close frame must be able to come */
	conn_deadline(c, conn_now(c) + CLOSE_MS);
}

void ws_ping(struct ws *w)
{
	if (w->is_closing || w->is_over) return;
	w->is_pinged = true;
	send_control(w, WS_PING, STR_NONE);
	arm(w);
}

void ws_shut_down(struct ws *w)
{
	if (w != NULL) ws_close(w, WS_CODE_GOING_AWAY, "the daemon is stopping");
}

/* ---- the connection's protocol ----------------------------------------------------------------------------------- */

static void echo(struct ws *w, const struct ws_event *ev)
{
	struct conn *c = &w->hc->conn;
	struct frame *f = frame_make(FIN | (ev->is_text ? WS_TEXT : WS_BINARY), ev->payload);
	conn_send_frame(c, w->is_deflate ? frame_packed(f, w->hc->s->zip) : f);
	frame_unref(f);
	if (conn_queued(c) > ECHO_QUEUE_BYTES) conn_pause(c, false);
}

static void on_message(struct ws *w, const struct ws_event *ev)
{
	if (w->is_closing) return;
	if (w->hooks == NULL) echo(w, ev);
	else if (ev->is_text) w->hooks->message(w->ctx, w, ev->payload);
	else fail(w, WS_CODE_UNSUPPORTED, "only text messages are taken here");
}

static void on_close(struct ws *w, const struct ws_event *ev)
{
	if (w->is_closing) {
		end(w, w->code);
		return;
	}
	send_close(w, ev->code, STR_NONE);
	end(w, ev->code);
}

static size_t proto_data(struct conn *c, char *p, size_t n)
{
	struct ws *w = http_conn_of(c)->ws;
	struct ws_event ev;
	size_t used = 0;
	w->last_in_ms = conn_now(c);
	w->is_pinged = false;
	if (w->hooks != NULL && w->hooks->alive != NULL && !w->is_closing) w->hooks->alive(w->ctx, w);
	while (used < n && !w->is_over && !c->is_paused && !c->is_closed) {
		used += ws_parse(&w->parser, p + used, n - used, &ev);
		switch (ev.what) {
		case WS_GOT_MESSAGE: on_message(w, &ev); break;
		case WS_GOT_PING: send_pong(w, ev.payload); break;
		case WS_GOT_CLOSE: on_close(w, &ev); break;
		case WS_FAILED: fail(w, ev.code, ev.why); break;
		case WS_GOT_PONG:
		case WS_MORE: break;
		}
	}
	ws_parser_settle(&w->parser);
	if (ws_parser_is_idle(&w->parser)) w->message_ms = 0;
	else if (w->message_ms == 0) w->message_ms = conn_now(c);
	arm(w);
	return used;
}

static void proto_eof(struct conn *c)
{
	struct ws *w = http_conn_of(c)->ws;
	w->code = w->is_closing ? w->code : WS_CODE_LOST;
	conn_abort(c);
}

static void proto_timer(struct conn *c)
{
	struct ws *w = http_conn_of(c)->ws;
	const struct limits *l = w->hc->s->limits;
	int64_t now = conn_now(c);
	if (w->is_closing) {
		end(w, w->code);
		return;
	}
	if (c->is_paused) w->last_in_ms = now; /* it is we who do not listen */
	if (w->message_ms != 0 && now >= w->message_ms + l->message_ms) {
		fail(w, WS_CODE_POLICY, "the message took too long (limit messageMs)");
	} else if (now >= w->last_in_ms + 2 * l->ping_ms) {
		conn_abort(c);
	} else if (now >= w->last_in_ms + l->ping_ms && !w->is_pinged) {
		w->is_pinged = true;
		send_control(w, WS_PING, STR_NONE);
	}
	arm(w);
}

static void proto_drained(struct conn *c)
{
	struct ws *w = http_conn_of(c)->ws;
	if (w->late_pong != NULL) {
		conn_send_frame(c, w->late_pong);
		frame_unref(w->late_pong);
		w->late_pong = NULL;
	}
	if (w->hooks == NULL) conn_resume(c);
	else if (!w->is_closing) w->hooks->drained(w->ctx, w);
}

static void tell_closed(struct http_conn *hc)
{
	struct ws *w = hc->ws;
	if (w == NULL) return;
	hc->ws = NULL;
	if (w->hooks != NULL) w->hooks->closed(w->ctx, w, w->code);
	ws_free(w);
}

static void proto_later(struct conn *c)
{
	struct http_conn *hc = http_conn_of(c);
	if (hc->ws != NULL && hc->ws->is_over) tell_closed(hc);
}

static void proto_closed(struct conn *c)
{
	struct http_conn *hc = http_conn_of(c);
	tell_closed(hc);
	http_conn_closed(hc);
}

static const struct conn_proto ws_proto = {
	.data = proto_data,
	.eof = proto_eof,
	.drained = proto_drained,
	.timer = proto_timer,
	.later = proto_later,
	.closed = proto_closed,
};

/* ---- the upgrade (RFC 6455 §4.2) --------------------------------------------------------------------------------- */

/* 16 bytes in base64. */
static bool key_is_valid(struct str key)
{
	if (key.n != 24 || key.p[22] != '=' || key.p[23] != '=') return false;
	for (size_t i = 0; i < 22; i++) {
		char c = key.p[i], lower = (char)(c | 32);
		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '+' && c != '/') return false;
	}
	return true;
}

static enum err check_upgrade(const struct http_parse *p, const char *subprotocol, struct errinfo *info)
{
	struct str key = http_parse_field(p, STR("sec-websocket-key"));
	if (p->ll.method != HTTP_GET || p->ll.http_minor != 1 ||
	    !http_parse_has_token(p, STR("upgrade"), STR("websocket")) ||
	    !http_parse_has_token(p, STR("connection"), STR("upgrade")) ||
	    !str_eq(http_parse_field(p, STR("sec-websocket-version")), STR("13")))
		return err_set(info, ERR_UPGRADE, "%s", err_text(ERR_UPGRADE));
	if (!key_is_valid(key) || http_parse_count(p, STR("sec-websocket-key")) != 1)
		return err_set(info, ERR_BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64");
	if (http_parse_has_body(p)) return err_set(info, ERR_BAD_REQUEST, "a WebSocket upgrade has no body");
	if (subprotocol != NULL && !http_parse_has_token(p, STR("sec-websocket-protocol"), str_c(subprotocol)))
		return err_set(info, ERR_BAD_REQUEST, "the subprotocol %s must be offered", subprotocol);
	return OK;
}

static void send_upgrade(struct http_req *r, const char *subprotocol, bool is_deflate)
{
	struct buf b = BUF_INIT(1024);
	char accept[29];
	ws_accept_key(http_parse_field(&r->parse, STR("sec-websocket-key")), accept);
	buf_addf(&b,
		 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Accept: %s\r\n",
		 accept);
	if (subprotocol != NULL) buf_addf(&b, "Sec-WebSocket-Protocol: %s\r\n", subprotocol);
	if (is_deflate) buf_add_str(&b, STR("Sec-WebSocket-Extensions: " WS_ZIP_ANSWER "\r\n"));
	buf_add_str(&b, STR("\r\n"));
	conn_send(&r->hc->conn, buf_str(&b));
	buf_release(&b);
}

struct ws *ws_accept(struct http_req *r, const char *subprotocol, const struct ws_hooks *hooks, void *ctx)
{
	struct http_conn *hc = r->hc;
	struct http_server *s = hc->s;
	struct errinfo info;
	enum err e = check_upgrade(&r->parse, subprotocol, &info);
	if (e == OK && s->is_stopping) e = err_set(&info, ERR_SHUTTING_DOWN, "%s", err_text(ERR_SHUTTING_DOWN));
	if (e != OK) {
		http_answer_error(r, e, &info);
		return NULL;
	}
	struct ws *w = xcalloc(1, sizeof *w);
	w->hc = hc;
	w->hooks = hooks;
	w->ctx = ctx;
	w->code = WS_CODE_LOST;
	w->last_in_ms = conn_now(&hc->conn);
	w->is_deflate =
		s->zip != NULL && ws_zip_is_offered(http_parse_field(&r->parse, STR("sec-websocket-extensions")));
	ws_parser_init(&w->parser, &s->ws_rules, w->is_deflate);
	send_upgrade(r, subprotocol, w->is_deflate);
	if (!hc->is_local && r->peer.p != hc->peer) (void)!str_copy(r->peer, hc->peer, sizeof hc->peer);
	s->stats.websockets++;
	hc->is_ws = true;
	hc->ws = w;
	hc->conn.proto = &ws_proto;
	conn_resume(&hc->conn);
	arm(w);
	r->is_upgraded = true;
	if (!r->is_in_hook) http_req_free(r);
	return w;
}

struct ws *ws_accept_echo(struct http_req *r) { return ws_accept(r, NULL, NULL, NULL); }

void ws_pause(struct ws *w, bool paused)
{
	struct conn *c = &w->hc->conn;
	if (w->is_closing || w->is_over) return;
	if (paused) conn_pause(c, false);
	else conn_resume(c);
}

struct str ws_peer(const struct ws *w) { return w->hc->is_local ? STR("local") : str_c(w->hc->peer); }
