/* The network's twin: net/http.h and net/client.h over simulated wires.
 *
 * What arrives at the daemon is put on one list of inputs and handed over on the daemon's own loop (net_dispatch), so
 * that its callbacks run where they run in life. What the daemon sends is planned as an arrival at the device. */
#include "sim/net.h"

#include <sys/queue.h>

#include "host/child.h"
#include "net/client.h"
#include "net/frame.h"
#include "sim/fiber.h"

#define KERNEL_BYTES (64u << 10) /* what the sockets' own buffers take before the daemon has to queue */
#define CONNECT_PATIENCE (5 * SECOND)
#define CLOSE_PATIENCE (2 * SECOND)
#define AGAIN (200 * MS) /* a lost piece is sent again after so long */
#define LOST 1006

enum what { IN_REQUEST, IN_TEXT, IN_CLOSE, IN_BROKEN, IN_DRAINED, IN_PONG };

struct piece {
	int64_t at;
	enum { PIECE_TEXT, PIECE_CLOSE } kind;
	int code;
	size_t n;
	STAILQ_ENTRY(piece) link;
	char text[];
};
STAILQ_HEAD(pieces, piece);

/* One direction of a wire. */
struct lane {
	struct pieces pieces;
	int64_t last_at;
	size_t bytes;
	bool armed;
};

struct wire {
	struct path *path;
	const struct wire_hooks *hooks;
	void *ctx;
	struct lane up, down;
	bool device_open, device_gone; /* at the device's end */
	bool broken;
	char token[80];
	struct ws *ws; /* at the daemon's end */
	LIST_ENTRY(wire) link;
};

struct ws {
	struct wire *wire;
	const struct ws_hooks *hooks;
	void *ctx;
	int64_t last_in_us, progress_us;
	int code;
	bool is_closing, is_over, is_blocked, is_paused;
};

struct http_req {
	struct path *from;
	struct wire *wire; /* an upgrade */
	char method[8];
	char *path;
	char *auth, *body;
	void *data;
	bool is_local, is_over;
	struct buf answer;
	int status;
	http_fn then;
	void *ctx;
	LIST_ENTRY(http_req) link; /* with `then`, from its arrival until it is answered */
};

struct http_server {
	struct http_options o;
};

struct input {
	enum what what;
	struct wire *wire;
	struct http_req *req;
	struct piece *piece;
	STAILQ_ENTRY(input) link;
};

static struct {
	struct http_server *server;
	bool listens;
	LIST_HEAD(, wire) wires; /* not broken */
	LIST_HEAD(, http_req) asked;
	STAILQ_HEAD(inputs, input) inputs;
	int64_t life; /* of the daemon; what was planned in another is void */
} n = {.inputs = STAILQ_HEAD_INITIALIZER(n.inputs)};

bool net_has_input(void) { return !STAILQ_EMPTY(&n.inputs); }
bool net_listens(void) { return n.listens; }

size_t net_wires_open(void)
{
	size_t open = 0;
	const struct wire *w;
	LIST_FOREACH (w, &n.wires, link) open += w->ws != NULL;
	return open;
}

static void give(enum what what, struct wire *w, struct http_req *r, struct piece *p)
{
	struct input *i = xcalloc(1, sizeof *i);
	*i = (struct input){.what = what, .wire = w, .req = r, .piece = p};
	STAILQ_INSERT_TAIL(&n.inputs, i, link);
	loop_wake();
}

/* ---- a piece's way ----------------------------------------------------------------------------------------------- */

static int64_t travel(const struct path *p)
{
	int64_t us = p->delay_us + (p->jitter_us > 0 ? pick_between(0, p->jitter_us) : 0);
	while (chance(p->lost)) us += AGAIN;
	return us;
}

static bool passes(const struct path *p) { return !p->down && !p->asleep; }

static void lane_clear(struct lane *l)
{
	struct piece *p;
	while ((p = STAILQ_FIRST(&l->pieces)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->pieces, link);
		free(p);
	}
	l->bytes = 0;
}

static void arrive_up(void *arg);
static void arrive_down(void *arg);

static void lane_arm(struct wire *w, struct lane *l)
{
	if (l->armed || STAILQ_EMPTY(&l->pieces)) return;
	l->armed = true;
	at(STAILQ_FIRST(&l->pieces)->at, l == &w->up ? arrive_up : arrive_down, w);
}

static void lane_add(struct wire *w, struct lane *l, int kind, int code, struct str text)
{
	struct piece *p = xmalloc(sizeof *p + text.n);
	*p = (struct piece){.at = MAX(now_us() + travel(w->path), l->last_at + 1), .code = code, .n = text.n};
	p->kind = kind == PIECE_TEXT ? PIECE_TEXT : PIECE_CLOSE;
	if (text.n > 0) memcpy(p->text, text.p, text.n);
	l->last_at = p->at;
	l->bytes += text.n;
	STAILQ_INSERT_TAIL(&l->pieces, p, link);
	lane_arm(w, l);
}

/* The first piece of a lane, if it gets through now; else it is tried again later. */
static struct piece *lane_take(struct wire *w, struct lane *l)
{
	struct piece *p = STAILQ_FIRST(&l->pieces);
	l->armed = false;
	if (w->broken || p == NULL) return NULL;
	if (!passes(w->path)) {
		p->at = now_us() + AGAIN / 4;
		l->last_at = MAX(l->last_at, p->at);
		lane_arm(w, l);
		return NULL;
	}
	STAILQ_REMOVE_HEAD(&l->pieces, link);
	l->bytes -= p->n;
	lane_arm(w, l);
	return p;
}

static void arrive_up(void *arg)
{
	struct wire *w = arg;
	struct piece *p = lane_take(w, &w->up);
	if (p != NULL) give(p->kind == PIECE_TEXT ? IN_TEXT : IN_CLOSE, w, NULL, p);
}

static size_t queued(const struct wire *w) { return w->down.bytes > KERNEL_BYTES ? w->down.bytes - KERNEL_BYTES : 0; }

static void arrive_down(void *arg)
{
	struct wire *w = arg;
	struct piece *p = lane_take(w, &w->down);
	if (p == NULL) return;
	if (w->ws != NULL) {
		w->ws->progress_us = now_us();
		if (w->ws->is_blocked && queued(w) == 0) {
			w->ws->is_blocked = false;
			give(IN_DRAINED, w, NULL, NULL);
		}
	}
	if (w->device_gone) {
	} else if (p->kind == PIECE_TEXT) {
		w->hooks->text(w->ctx, str_n(p->text, p->n));
	} else {
		/* Whoever is closed answers and lets go. */
		lane_add(w, &w->up, PIECE_CLOSE, p->code, STR_NONE);
		w->device_gone = true;
		w->hooks->closed(w->ctx, p->code);
	}
	free(p);
}

/* ---- the device's end -------------------------------------------------------------------------------------------- */

static void device_hears(void *arg)
{
	struct wire *w = arg;
	if (w->device_gone) return;
	if (!passes(w->path)) {
		after(AGAIN, device_hears, w);
		return;
	}
	w->device_gone = true;
	w->hooks->closed(w->ctx, 0);
}

static void daemon_hears(void *arg)
{
	struct wire *w = arg;
	if (w->ws != NULL) give(IN_BROKEN, w, NULL, NULL);
}

/* Nothing gets through any more, whatever was under way. */
static void cut(struct wire *w)
{
	if (w->broken) return;
	w->broken = true;
	lane_clear(&w->up);
	lane_clear(&w->down);
}

void wire_break(struct wire *w)
{
	if (w->broken) return;
	cut(w);
	after(travel(w->path), device_hears, w);
	after(travel(w->path), daemon_hears, w);
}

void wire_abandon(struct wire *w, bool silent)
{
	w->device_gone = true;
	if (w->broken) return;
	if (silent || !passes(w->path)) {
		lane_clear(&w->up);
		return;
	}
	/* What was sent before may still arrive; the end follows it. */
	if (chance(300)) cut(w);
	else lane_clear(&w->down);
	if (w->broken) after(travel(w->path), daemon_hears, w);
	else lane_add(w, &w->up, PIECE_CLOSE, LOST, STR_NONE);
}

void wire_send(struct wire *w, struct str text)
{
	if (!w->broken && !w->device_gone) lane_add(w, &w->up, PIECE_TEXT, 0, text);
}

bool wire_answers(const struct wire *w) { return !w->broken && w->ws != NULL && passes(w->path); }

static struct http_req *req_new(struct path *p, const char *method, const char *path, struct str token, struct str body)
{
	struct http_req *r = xcalloc(1, sizeof *r);
	r->from = p;
	(void)str_copy(str_c(method), r->method, sizeof r->method);
	r->path = xstrdup(path);
	r->body = str_dup(body.p != NULL ? body : STR(""));
	if (token.p != NULL) {
		struct buf b = BUF_INIT(200);
		(void)buf_addf(&b, "Bearer %.*s", STR_ARG(token));
		r->auth = buf_take(&b, NULL);
	}
	return r;
}

static void request_arrives(void *arg)
{
	struct http_req *r = arg;
	struct wire *w = r->wire;
	if (w != NULL && w->device_gone) cut(w);
	if (w != NULL && w->broken) return; /* it broke, or was given up, before it stood */
	if (n.listens && passes(r->from)) {
		if (r->then != NULL) LIST_INSERT_HEAD(&n.asked, r, link);
		give(IN_REQUEST, w, r, NULL);
	} else if (w != NULL) {
		cut(w);
		after(passes(r->from) ? travel(r->from) : CONNECT_PATIENCE, device_hears, w);
	} else {
		r->then(r->ctx, 0, STR(""));
	}
}

struct wire *wire_dial(struct path *p, struct str token, const struct wire_hooks *hooks, void *ctx)
{
	struct wire *w = xcalloc(1, sizeof *w);
	w->path = p;
	w->hooks = hooks;
	w->ctx = ctx;
	STAILQ_INIT(&w->up.pieces);
	STAILQ_INIT(&w->down.pieces);
	struct http_req *r = req_new(p, "GET", "/api/v1/devices/socket", token, STR_NONE);
	r->wire = w;
	LIST_INSERT_HEAD(&n.wires, w, link);
	after(3 * travel(p), request_arrives, r);
	return w;
}

void http_ask(struct path *p, const char *method, const char *path, struct str token, struct str body, bool local,
	      http_fn then, void *ctx)
{
	struct http_req *r = req_new(p, method, path, token, body);
	r->is_local = local;
	r->then = then;
	r->ctx = ctx;
	after(local ? 10 : 3 * travel(p), request_arrives, r);
}

static void answer_arrives(void *arg)
{
	struct http_req *r = arg;
	struct wire *w = r->wire;
	if (w == NULL) {
		r->then(r->ctx, r->status, buf_str(&r->answer));
	} else if (!w->device_gone) {
		w->device_gone = true;
		w->hooks->closed(w->ctx, r->status);
	}
	buf_release(&r->answer);
	free(r);
}

static void upgrade_arrives(void *arg)
{
	struct wire *w = arg;
	if (w->device_gone || w->broken || w->device_open) return;
	w->device_open = true;
	w->hooks->open(w->ctx);
}

void net_daemon_died(void)
{
	struct wire *w;
	struct input *i;
	struct http_req *r;
	n.listens = false;
	n.server = NULL;
	n.life++;
	while ((i = STAILQ_FIRST(&n.inputs)) != NULL) {
		STAILQ_REMOVE_HEAD(&n.inputs, link);
		free(i->piece);
		free(i);
	}
	while ((r = LIST_FIRST(&n.asked)) != NULL) {
		LIST_REMOVE(r, link);
		after(travel(r->from), answer_arrives, r); /* status 0: nobody answers it any more */
	}
	while ((w = LIST_FIRST(&n.wires)) != NULL) {
		LIST_REMOVE(w, link);
		w->ws = NULL;
		cut(w);
		after(travel(w->path), device_hears, w);
	}
}

/* ---- the daemon's end: requests ----------------------------------------------------------------------------------- */

enum err http_server_new(const struct http_options *o, struct http_server **out, struct errinfo *info)
{
	(void)info;
	*out = xcalloc(1, sizeof **out);
	(*out)->o = *o;
	n.server = *out;
	return OK;
}

enum err http_listen(struct http_server *s, const char *addr_port, const char *cert, const char *key, int *out_port,
		     struct errinfo *info)
{
	(void)s;
	(void)addr_port;
	(void)cert;
	(void)key;
	(void)info;
	*out_port = 1;
	return OK;
}

enum err http_listen_unix(struct http_server *s, const char *path, struct errinfo *info)
{
	(void)s;
	(void)path;
	(void)info;
	n.listens = true;
	return OK;
}

void http_server_stop(struct http_server *s, int64_t grace_ms, void (*done)(void *ctx), void *ctx)
{
	struct wire *w, *next;
	(void)s;
	(void)grace_ms;
	n.listens = false;
	for (w = LIST_FIRST(&n.wires); w != NULL; w = next) {
		next = LIST_NEXT(w, link);
		if (w->ws != NULL) ws_close(w->ws, 1001, "the daemon is stopping");
	}
	done(ctx);
}

void http_server_free(struct http_server *s)
{
	if (n.server == s) n.server = NULL;
	free(s);
}

void http_stats(const struct http_server *s, struct http_stats *out)
{
	(void)s;
	*out = (struct http_stats){0};
}

struct str http_method(const struct http_req *r) { return str_c(r->method); }

struct str http_path(const struct http_req *r)
{
	const char *query = strchr(r->path, '?');
	return query != NULL ? str_n(r->path, (size_t)(query - r->path)) : str_c(r->path);
}

struct str http_header(const struct http_req *r, const char *lower_name)
{
	if (strcmp(lower_name, "authorization") == 0) return str_c(r->auth);
	if (strcmp(lower_name, "content-type") == 0) return STR("application/json");
	if (strcmp(lower_name, "upgrade") == 0 && r->wire != NULL) return STR("websocket");
	return STR_NONE;
}

struct str http_query(struct http_req *r, const char *name)
{
	(void)r;
	(void)name;
	return STR_NONE;
}

struct str http_cookie(const struct http_req *r, const char *name)
{
	(void)r;
	(void)name;
	return STR_NONE;
}

struct str http_body(const struct http_req *r) { return str_c(r->body); }

struct str http_peer(const struct http_req *r) { return r->is_local ? STR("local") : STR("192.0.2.1"); }

bool http_is_local(const struct http_req *r) { return r->is_local; }
bool http_is_secure(const struct http_req *r) { return !r->is_local; }
bool http_is_loopback(const struct http_req *r) { return r->is_local; }
void http_set_data(struct http_req *r, void *data) { r->data = data; }
void *http_data(const struct http_req *r) { return r->data; }

void http_collect(struct http_req *r, int64_t max_bytes)
{
	(void)r;
	(void)max_bytes;
}

/* No device of the simulator uploads or streams over HTTP. */
static _Noreturn void no_twin(const char *what) { die(70, "the simulator has no twin of %s", what); }

void http_sink(struct http_req *r, int64_t max_bytes, void (*data)(void *ctx, struct http_req *r, struct str piece))
{
	(void)r;
	(void)max_bytes;
	(void)data;
	no_twin("http_sink");
}
void http_pause(struct http_req *r) { (void)r; }
void http_resume(struct http_req *r) { (void)r; }

void http_answer(struct http_req *r, int status, const char *content_type, const char *headers, struct str body)
{
	(void)content_type;
	(void)headers;
	if (r->is_over) return;
	if (r->then != NULL) LIST_REMOVE(r, link);
	r->is_over = true;
	r->status = status;
	buf_init(&r->answer, BUF_NO_LIMIT);
	(void)buf_add_str(&r->answer, body);
	free(r->path);
	free(r->auth);
	free(r->body);
	r->path = r->auth = r->body = NULL;
	after(r->is_local ? 10 : travel(r->from), answer_arrives, r);
}

void http_answer_static(struct http_req *r, int status, const char *content_type, const char *headers, struct str body,
			const char *encoding)
{
	(void)encoding;
	http_answer(r, status, content_type, headers, body);
}

void http_answer_file(struct http_req *r, const char *content_type, const char *headers, int fd, int64_t offset,
		      int64_t len, int status)
{
	(void)r;
	(void)content_type;
	(void)headers;
	(void)fd;
	(void)offset;
	(void)len;
	(void)status;
	no_twin("http_answer_file");
}

void http_answer_error(struct http_req *r, enum err e, const struct errinfo *info)
{
	(void)info;
	http_answer(r, err_http(e), "application/json", NULL, str_c(err_code(e)));
}

void http_stream_begin(struct http_req *r, int status, const char *content_type, const char *headers)
{
	(void)r;
	(void)status;
	(void)content_type;
	(void)headers;
	no_twin("http_stream_begin");
}
void http_stream_write(struct http_req *r, struct str piece)
{
	(void)r;
	(void)piece;
}
void http_stream_end(struct http_req *r) { (void)r; }
size_t http_queued(const struct http_req *r)
{
	(void)r;
	return 0;
}

/* ---- the daemon's end: WebSockets --------------------------------------------------------------------------------- */

/* Ends the connection for the daemon; the hook frees what it hung on it. */
static void ws_end(struct wire *w, int code)
{
	struct ws *ws = w->ws;
	if (ws == NULL) return;
	w->ws = NULL;
	ws->is_over = true;
	ws->hooks->closed(ws->ctx, ws, code);
	free(ws);
}

static void pong_arrives(void *arg)
{
	struct wire *w = arg;
	if (w->ws != NULL && !w->broken && !w->device_gone && passes(w->path)) give(IN_PONG, w, NULL, NULL);
}

/* Silence is answered with a ping, and for twice as long with the end; so is a peer that takes nothing. */
static void watch(void *arg)
{
	struct wire *w = arg;
	struct ws *ws = w->ws;
	if (ws == NULL || n.server == NULL) return;
	const struct limits *l = n.server->o.limits;
	int64_t ping = l->ping_ms * MS;
	if (now_us() - ws->last_in_us >= ping) ws_ping(ws);
	bool stalled = queued(w) > 0 && now_us() - ws->progress_us > l->write_stall_ms * MS;
	if (now_us() - ws->last_in_us >= 2 * ping || stalled) {
		cut(w);
		give(IN_BROKEN, w, NULL, NULL);
		after(travel(w->path), device_hears, w);
		return;
	}
	after(ping / 4, watch, w);
}

struct ws *ws_accept(struct http_req *r, const char *subprotocol, const struct ws_hooks *hooks, void *ctx)
{
	struct wire *w = r->wire;
	(void)subprotocol;
	if (w == NULL) {
		http_answer_error(r, ERR_UPGRADE, NULL);
		return NULL;
	}
	struct ws *ws = xcalloc(1, sizeof *ws);
	*ws = (struct ws){.wire = w, .hooks = hooks, .ctx = ctx, .last_in_us = now_us(), .progress_us = now_us()};
	w->ws = ws;
	r->is_over = true;
	int64_t arrives = now_us() + travel(w->path);
	w->down.last_at = MAX(w->down.last_at, arrives);
	at(arrives, upgrade_arrives, w);
	after(n.server->o.limits->ping_ms * MS / 4, watch, w);
	if (w->broken || w->device_gone) after(travel(w->path), daemon_hears, w);
	return ws;
}

struct ws *ws_accept_echo(struct http_req *r)
{
	http_answer_error(r, ERR_NOT_FOUND, NULL);
	return NULL;
}

bool ws_send(struct ws *ws, struct frame *f, size_t hard)
{
	struct wire *w = ws->wire;
	if (ws->is_closing || ws->is_over || w->broken) return true;
	if (queued(w) > 0 && queued(w) + f->payload.n > hard) return false;
	if (queued(w) == 0) ws->progress_us = now_us();
	lane_add(w, &w->down, PIECE_TEXT, 0, f->payload);
	if (queued(w) > 0) ws->is_blocked = true;
	return true;
}

size_t ws_queued(const struct ws *ws) { return queued(ws->wire); }

/* The answer is `alive`, if the device can answer at all. */
void ws_ping(struct ws *ws)
{
	struct wire *w = ws->wire;
	if (ws->is_closing || ws->is_over || w->broken || w->device_gone || !passes(w->path)) return;
	after(2 * travel(w->path), pong_arrives, w);
}
void ws_pause(struct ws *ws, bool paused) { ws->is_paused = paused; }

struct str ws_peer(const struct ws *ws)
{
	(void)ws;
	return STR("192.0.2.1");
}

void ws_close(struct ws *ws, int code, const char *reason)
{
	struct wire *w = ws->wire;
	(void)reason;
	if (ws->is_closing || ws->is_over) return;
	ws->is_closing = true;
	ws->code = code;
	if (!w->broken) lane_add(w, &w->down, PIECE_CLOSE, code, STR_NONE);
	after(CLOSE_PATIENCE, daemon_hears, w);
}

static void take_piece(struct wire *w, struct piece *p)
{
	struct ws *ws = w->ws;
	if (ws == NULL) return;
	ws->last_in_us = now_us();
	if (ws->hooks->alive != NULL && !ws->is_closing) ws->hooks->alive(ws->ctx, ws);
	if (p->kind == PIECE_CLOSE) {
		cut(w);
		ws_end(w, ws->is_closing ? ws->code : p->code);
	} else if (!ws->is_closing) {
		ws->hooks->message(ws->ctx, ws, str_n(p->text, p->n));
	}
}

static void take_request(struct http_req *r)
{
	const struct http_hooks *h = &n.server->o.hooks;
	h->head(h->ctx, r);
	if (!r->is_over) h->request(h->ctx, r);
}

void net_dispatch(void)
{
	struct input *i;
	while ((i = STAILQ_FIRST(&n.inputs)) != NULL) {
		STAILQ_REMOVE_HEAD(&n.inputs, link);
		if (i->what == IN_REQUEST) {
			if (n.server != NULL) take_request(i->req);
			free(i);
			continue;
		}
		struct ws *ws = i->wire->ws;
		switch (i->what) {
		case IN_REQUEST: break;
		case IN_TEXT:
		case IN_CLOSE: take_piece(i->wire, i->piece); break;
		case IN_BROKEN:
			cut(i->wire);
			ws_end(i->wire, ws != NULL && ws->is_closing ? ws->code : LOST);
			break;
		case IN_DRAINED:
			if (ws != NULL && !ws->is_closing) ws->hooks->drained(ws->ctx, ws);
			break;
		case IN_PONG:
			if (ws == NULL || ws->is_closing) break;
			ws->last_in_us = now_us();
			if (ws->hooks->alive != NULL) ws->hooks->alive(ws->ctx, ws);
			break;
		}
		free(i->piece);
		free(i);
	}
}

/* ---- outgoing HTTP: the only provider is the daemon's own, which calls nobody --------------------------------------- */

enum err http_client_new(uv_loop_t *loop, struct http_client **out, struct errinfo *info)
{
	(void)loop;
	(void)info;
	*out = NULL;
	return OK;
}
void http_client_free(struct http_client *c) { (void)c; }
struct http_call *http_call_start(struct http_client *c, const struct http_call_spec *spec)
{
	(void)c;
	(void)spec;
	no_twin("http_call_start");
}
void http_call_cancel(struct http_call *call) { (void)call; }
void http_call_pause(struct http_call *call, bool paused)
{
	(void)call;
	(void)paused;
}

/* ---- programs beside the daemon: none is configured ----------------------------------------------------------------- */

enum err child_start(const struct child_spec *spec, const struct child_hooks *hooks, void *ctx, struct child **out,
		     struct errinfo *info)
{
	(void)spec, (void)hooks, (void)ctx, (void)out, (void)info;
	no_twin("child_start");
}
void child_write(struct child *c, struct str bytes)
{
	(void)c, (void)bytes;
	no_twin("child_write");
}
void child_end_input(struct child *c)
{
	(void)c;
	no_twin("child_end_input");
}
size_t child_unread(const struct child *c)
{
	(void)c;
	no_twin("child_unread");
}
void child_pause(struct child *c, bool paused)
{
	(void)c, (void)paused;
	no_twin("child_pause");
}
void child_let_go(struct child *c)
{
	(void)c;
	no_twin("child_let_go");
}
void children_kill(struct child_list *list) { (void)list; }
