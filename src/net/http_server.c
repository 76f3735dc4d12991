/* Connections and requests.
 *
 * A connection is idle (no request: nothing but the struct conn), or has one request in one of four states:
 *
 *   HEAD       the head is coming in        whole within head_ms; idle_ms before its first byte
 *   BODY       the handler knows the head   every PROGRESS_BYTES within body_ms
 *   HANDLED    the handler has all of it    no deadline here: answering is the handler's business
 *   STREAMING  the answer has begun         a peer that takes nothing for write_stall_ms is cut off
 *
 * One request at a time: while one is being handled the connection is paused, and what the client pipelined behind it
 * stays in the socket, apart from what was read already (conn.held). A request is freed when its answer is queued, not
 * when it is sent; output belongs to the connection.
 *
 * Whatever is wrong with the head or the framing is answered and ends the connection, since where the next request
 * begins is then anybody's guess. Everything a handler can still learn about a request whose peer left is `gone`; it
 * comes from the closing phase of the loop, never out of a call of the handler's own. */
#include <fcntl.h>
#include <unistd.h>

#include "net/http_head.h"
#include "net/http_priv.h"
#include "net/ws_deflate.h"

#define PROGRESS_BYTES 1024

/* ---- the server -------------------------------------------------------------------------------------------------- */

enum err http_server_new(const struct http_options *o, struct http_server **out, struct errinfo *info)
{
	struct http_server *s = xcalloc(1, sizeof *s);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->reserve_fd < 0) {
		free(s);
		return err_set(info, ERR_IO, "no file descriptor is left");
	}
	s->o = *o;
	s->hooks = o->hooks;
	s->limits = o->limits;
	s->io = io_new(o->loop, o->limits->write_stall_ms);
	if (o->deflate) s->zip = ws_zip_new();
	s->budget.max = (size_t)o->limits->unfinished_bytes;
	s->ws_rules =
		(struct ws_rules){.max_bytes = (size_t)o->limits->frame_bytes, .zip = s->zip, .budget = &s->budget};
	LIST_INIT(&s->conns);
	LIST_INIT(&s->listeners);
	uv_timer_init(o->loop, &s->stop_timer);
	s->stop_timer.data = s;
	s->handles = 1;
	*out = s;
	return OK;
}

void http_server_plant_late_utf8(struct http_server *s) { s->ws_rules.late_utf8 = true; }

/* The last of its handles and connections frees the server. */
void http_server_unref(struct http_server *s)
{
	if (--s->handles > 0 || !s->is_freed) return;
	io_free(s->io);
	ws_zip_free(s->zip);
	if (s->reserve_fd >= 0) close(s->reserve_fd);
	free(s);
}

static void on_timer_closed(uv_handle_t *h) { http_server_unref(h->data); }

void http_server_free(struct http_server *s)
{
	struct http_conn *hc;
	if (s == NULL) return;
	listeners_close(s);
	LIST_FOREACH (hc, &s->conns, all) conn_abort(&hc->conn);
	s->is_freed = true;
	s->is_stop_done = true;
	uv_close((uv_handle_t *)&s->stop_timer, on_timer_closed);
}

static void check_stopped(struct http_server *s)
{
	if (!s->is_stopping || s->is_stop_done || !LIST_EMPTY(&s->conns)) return;
	s->is_stop_done = true;
	uv_timer_stop(&s->stop_timer);
	if (s->stop_done != NULL) s->stop_done(s->stop_ctx);
}

static void on_grace_over(uv_timer_t *t)
{
	struct http_server *s = t->data;
	struct http_conn *hc;
	LIST_FOREACH (hc, &s->conns, all) conn_abort(&hc->conn);
	check_stopped(s);
}

void http_server_stop(struct http_server *s, int64_t grace_ms, void (*done)(void *ctx), void *ctx)
{
	struct http_conn *hc;
	s->is_stopping = true;
	s->stop_done = done;
	s->stop_ctx = ctx;
	listeners_close(s);
	LIST_FOREACH (hc, &s->conns, all) {
		if (hc->is_ws) ws_shut_down(hc->ws);
		else if (hc->req == NULL || hc->req->state == REQ_HEAD) conn_abort(&hc->conn);
	}
	/* Also when nothing is open: `done` must not come out of this call. */
	uv_timer_start(&s->stop_timer, on_grace_over, LIST_EMPTY(&s->conns) ? 0 : (uint64_t)grace_ms, 0);
}

void http_stats(const struct http_server *s, struct http_stats *out)
{
	*out = s->stats;
	out->bytes_in = s->io->bytes_in;
	out->bytes_out = s->io->bytes_out;
}

/* ---- a connection ------------------------------------------------------------------------------------------------ */

struct http_conn *http_conn_new(struct http_server *s, int fd, struct tls *tls)
{
	struct http_conn *hc = xcalloc(1, sizeof *hc);
	hc->s = s;
	s->handles++;
	LIST_INSERT_HEAD(&s->conns, hc, all);
	conn_init(&hc->conn, s->io, fd, tls, &http_proto);
	conn_deadline(&hc->conn, conn_now(&hc->conn) + s->limits->head_ms);
	return hc;
}

void http_conn_closed(struct http_conn *hc)
{
	struct http_server *s = hc->s;
	LIST_REMOVE(hc, all);
	admission_leave(hc);
	free(hc);
	check_stopped(s);
	http_server_unref(s);
}

static void proto_closed(struct conn *c)
{
	struct http_conn *hc = http_conn_of(c);
	struct http_req *r = hc->req;
	if (r != NULL) {
		if (r->is_shown && !r->is_ended) hc->s->hooks.gone(hc->s->hooks.ctx, r);
		http_req_free(r);
	}
	http_conn_closed(hc);
}

static void proto_eof(struct conn *c)
{
	/* Half-closed or gone cannot be told apart; a client that waits for its answer keeps its side open. */
	conn_abort(c);
}

static void proto_timer(struct conn *c)
{
	struct http_req *r = http_conn_of(c)->req;
	if (r == NULL) conn_abort(c); /* idle */
	else http_refuse(r, ERR_TIMEOUT, NULL);
}

/* ---- a request --------------------------------------------------------------------------------------------------- */

static void on_body(void *ctx, struct str piece);

static struct http_req *req_new(struct http_conn *hc)
{
	struct http_req *r = xcalloc(1, sizeof *r);
	const struct limits *l = hc->s->limits;
	r->hc = hc;
	r->body_max = l->frame_bytes;
	buf_init(&r->body, 0);
	http_parse_init(&r->parse, (size_t)l->head_bytes, on_body, r);
	if (hc->is_resting) conn_deadline(&hc->conn, conn_now(&hc->conn) + l->head_ms);
	return r;
}

void http_req_free(struct http_req *r)
{
	r->hc->s->budget.used -= r->body.cap;
	http_parse_release(&r->parse);
	buf_release(&r->body);
	arena_clear(&r->arena);
	free(r);
}

void http_req_end(struct http_req *r)
{
	struct http_conn *hc = r->hc;
	struct conn *c = &hc->conn;
	r->is_ended = true;
	if (r->is_in_hook) return; /* the parse loop comes here again */
	hc->req = NULL;
	if (r->is_close || hc->s->is_stopping) {
		conn_finish(c);
	} else {
		hc->is_resting = true;
		conn_deadline(c, conn_now(c) + hc->s->limits->idle_ms);
		conn_resume(c);
	}
	http_req_free(r);
}

/* Ends a request over the head of its handler, which is told by `gone` when it knows of it. */
void http_refuse(struct http_req *r, enum err e, const struct errinfo *info)
{
	struct http_server *s = r->hc->s;
	bool was_in_hook = r->is_in_hook;
	if (r->state == REQ_STREAMING) { /* too late for another answer */
		conn_abort(&r->hc->conn);
		return;
	}
	r->is_in_hook = r->is_close = true;
	http_answer_error(r, e, info);
	if (r->is_shown) s->hooks.gone(s->hooks.ctx, r);
	r->is_in_hook = was_in_hook;
	if (!was_in_hook) http_req_end(r);
}

static enum err check_host(struct http_req *r, struct str host, struct errinfo *info)
{
	const struct http_parse *p = &r->parse;
	struct http_conn *hc = r->hc;
	if (hc->is_local) return OK;
	if (host.p == NULL) return p->ll.http_minor == 0 ? OK : err_set(info, ERR_BAD_REQUEST, "HTTP/1.1 needs a Host");
	if (!host_is_allowed(host, hc->s->o.hosts)) return err_set(info, ERR_BAD_HOST, "%s", err_text(ERR_BAD_HOST));
	struct str origin = http_parse_field(p, STR("origin"));
	if (origin.p != NULL && !origin_is_allowed(origin, host, r->is_secure, hc->s->o.origins))
		return err_set(info, ERR_BAD_ORIGIN, "%s", err_text(ERR_BAD_ORIGIN));
	return OK;
}

/* Who asks, and how: a declared proxy on this machine is believed. Without its header nobody behind it counts as
 * loopback, so a proxy that was set up without it opens no door. */
static void find_peer(struct http_req *r)
{
	struct http_conn *hc = r->hc;
	r->peer = hc->is_local ? STR("local") : str_c(hc->peer);
	r->is_secure = hc->is_tls;
	r->is_loopback = hc->is_loopback || hc->is_local;
	if (!hc->s->o.trust_proxy || !hc->is_loopback) return;
	struct str chain = http_parse_field(&r->parse, STR("x-forwarded-for"));
	r->is_loopback = false;
	r->is_secure = str_eq_nocase(http_parse_field(&r->parse, STR("x-forwarded-proto")), STR("https"));
	if (chain.p == NULL) return;
	size_t at = chain.n;
	while (at > 0 && chain.p[at - 1] != ',' && chain.p[at - 1] != ' ') at--;
	r->peer = str_n(chain.p + at, chain.n - at);
}

static bool method_is_served(const struct http_parse *p)
{
	switch (p->ll.method) {
	case HTTP_GET:
	case HTTP_HEAD:
	case HTTP_POST:
	case HTTP_PUT:
	case HTTP_PATCH:
	case HTTP_DELETE:
	case HTTP_OPTIONS: return true;
	default: return false;
	}
}

static enum err check_head(struct http_req *r, struct errinfo *info)
{
	const struct http_parse *p = &r->parse;
	struct str host = http_parse_field(p, STR("host")), expect = http_parse_field(p, STR("expect"));
	find_peer(r);
	enum err e = check_host(r, host, info);
	if (e != OK) return e;
	if (!method_is_served(p)) return err_set(info, ERR_METHOD, "%s", err_text(ERR_METHOD));
	e = target_parse(http_parse_target(p), host, &r->arena, &r->path, &r->query, info);
	if (e != OK) return e;
	r->is_close = p->ll.http_minor == 0 || !llhttp_should_keep_alive(&p->ll);
	r->is_bodiless = p->ll.method == HTTP_HEAD;
	if (expect.p != NULL) {
		if (!str_eq_nocase(expect, STR("100-continue")))
			return err_set(info, ERR_BAD_REQUEST, "the only expectation met is 100-continue");
		r->is_continue = p->ll.http_minor == 1;
	}
	return OK;
}

/* The handler saw the head and wants the body, all of it or by default. */
static void begin_body(struct http_req *r)
{
	struct conn *c = &r->hc->conn;
	r->state = REQ_BODY;
	r->body.max = r->sink != NULL ? 0 : (size_t)r->body_max;
	if (!http_parse_has_body(&r->parse)) return;
	if (r->parse.ll.content_length > (uint64_t)r->body_max) {
		struct errinfo info;
		http_refuse(r,
			    err_set(&info, ERR_TOO_LARGE, "the body is larger than %lld bytes", (long long)r->body_max),
			    &info);
		return;
	}
	if (r->is_continue) conn_send_static(c, STR("HTTP/1.1 100 Continue\r\n\r\n"));
	conn_deadline(c, conn_now(c) + r->hc->s->limits->body_ms);
}

/* Keeps a piece of the body, within the budget all connections share. */
static void keep_body(struct http_req *r, struct str piece)
{
	struct ws_budget *b = &r->hc->s->budget;
	size_t before = r->body.cap, more = r->body.n + piece.n < before ? 0 : MAX(before, piece.n);
	if (more > b->max - MIN(b->used, b->max)) {
		http_refuse(r, ERR_OVERLOADED, NULL);
		return;
	}
	buf_add_str(&r->body, piece);
	b->used += r->body.cap - before;
}

static void on_body(void *ctx, struct str piece)
{
	struct http_req *r = ctx;
	struct http_conn *hc = r->hc;
	if (r->is_ended || r->state != REQ_BODY) return; /* answered before its end */
	if (r->parse.body_n > r->body_max) {
		struct errinfo info;
		http_refuse(r,
			    err_set(&info, ERR_TOO_LARGE, "the body is larger than %lld bytes", (long long)r->body_max),
			    &info);
		return;
	}
	if (r->parse.body_n - r->body_mark >= PROGRESS_BYTES && !r->is_held) {
		r->body_mark = r->parse.body_n;
		conn_deadline(&hc->conn, conn_now(&hc->conn) + hc->s->limits->body_ms);
	}
	if (r->sink != NULL) r->sink(hc->s->hooks.ctx, r, piece);
	else keep_body(r, piece);
}

static void on_head(struct http_req *r)
{
	struct http_server *s = r->hc->s;
	struct errinfo info;
	enum err e = check_head(r, &info);
	s->stats.requests++;
	ASSERT(r->is_in_hook); /* so that only leave_hook frees it */
	if (e != OK) {
		http_refuse(r, e, &info);
		return;
	}
	conn_deadline(&r->hc->conn, 0);
	r->is_shown = true;
	s->hooks.head(s->hooks.ctx, r);
	if (r->is_upgraded) return;
	if (!r->is_ended && r->state == REQ_HEAD) begin_body(r);
}

static void on_whole(struct http_req *r)
{
	struct http_server *s = r->hc->s;
	conn_deadline(&r->hc->conn, 0);
	conn_pause(&r->hc->conn, true);
	if (r->state != REQ_BODY) return; /* the answer began with the head */
	r->state = REQ_HANDLED;
	s->hooks.request(s->hooks.ctx, r);
}

static void leave_hook(struct http_req *r)
{
	r->is_in_hook = false;
	if (r->is_upgraded) http_req_free(r);
	else if (r->is_ended) http_req_end(r);
}

static size_t proto_data(struct conn *c, char *data, size_t n)
{
	struct http_conn *hc = http_conn_of(c);
	struct http_req *r = hc->req;
	struct errinfo info;
	size_t used = 0, k;
	enum http_parse_event event;
	if (r == NULL) r = hc->req = req_new(hc);
	r->is_in_hook = true;
	do { /* a request without a body ends with its head, with no byte left to say so */
		event = http_parse(&r->parse, data + used, n - used, &k, &info);
		used += k;
		if (event == HTTP_PARSE_HEAD) on_head(r);
	} while (event == HTTP_PARSE_HEAD && !r->is_upgraded && !r->is_ended && !c->is_paused);
	ASSERT(r->is_in_hook);
	if (event == HTTP_PARSE_BAD) {
		if (!r->is_ended) http_refuse(r, info.err, &info);
		used = n;
	} else if (event == HTTP_PARSE_END && !r->is_ended && !r->is_held) {
		on_whole(r);
	}
	leave_hook(r);
	return used;
}

/* The handler goes on with a body whose end had come before. */
static void proto_later(struct conn *c)
{
	struct http_req *r = http_conn_of(c)->req;
	if (r == NULL || r->is_held || r->state != REQ_BODY) return;
	if (!r->parse.is_end) {
		/* A body of no bytes ends without a byte to say so. */
		(void)proto_data(c, "", 0);
		return;
	}
	r->is_in_hook = true;
	on_whole(r);
	leave_hook(r);
}

const struct conn_proto http_proto = {
	.data = proto_data,
	.eof = proto_eof,
	.timer = proto_timer,
	.later = proto_later,
	.closed = proto_closed,
};

/* ---- what a handler asks ----------------------------------------------------------------------------------------- */

struct str http_method(const struct http_req *r)
{
	return str_c(llhttp_method_name((llhttp_method_t)r->parse.ll.method));
}
struct str http_path(const struct http_req *r) { return r->path; }
struct str http_header(const struct http_req *r, const char *lower_name)
{
	return http_parse_field(&r->parse, str_c(lower_name));
}
struct str http_query(struct http_req *r, const char *name) { return query_get(r->query, str_c(name), &r->arena); }
struct str http_cookie(const struct http_req *r, const char *name)
{
	return cookie_get(http_header(r, "cookie"), str_c(name));
}
struct str http_body(const struct http_req *r) { return buf_str(&r->body); }
struct str http_peer(const struct http_req *r) { return r->peer; }
bool http_is_local(const struct http_req *r) { return r->hc->is_local; }
bool http_is_secure(const struct http_req *r) { return r->is_secure; }
bool http_is_loopback(const struct http_req *r) { return r->is_loopback; }
void http_set_data(struct http_req *r, void *data) { r->data = data; }
void *http_data(const struct http_req *r) { return r->data; }
void http_collect(struct http_req *r, int64_t max_bytes) { r->body_max = max_bytes; }

void http_sink(struct http_req *r, int64_t max_bytes, void (*data)(void *ctx, struct http_req *r, struct str piece))
{
	r->body_max = max_bytes;
	r->sink = data;
}

/* While the handler holds the body back, the client cannot be blamed for slowness. */
void http_pause(struct http_req *r)
{
	r->is_held = true;
	conn_pause(&r->hc->conn, true);
	conn_deadline(&r->hc->conn, 0);
}

/* Whether the head says that no byte of a body will come. */
static bool has_no_body(const struct http_req *r)
{
	int64_t n = 0;
	struct str length = http_header(r, "content-length");
	if (length.p == NULL) return http_header(r, "transfer-encoding").p == NULL;
	return str_to_int(length, &n) && n == 0;
}

void http_resume(struct http_req *r)
{
	struct conn *c = &r->hc->conn;
	r->is_held = false;
	if (r->parse.is_end) {
		conn_later(c);
		return;
	}
	conn_deadline(c, conn_now(c) + r->hc->s->limits->body_ms);
	conn_resume(c);
	if (has_no_body(r)) conn_later(c);
}
