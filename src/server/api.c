/* The HTTP routes. A verb that exists as a frame exists here too, with the same members and the same errors; a row says
 * how the path and the query become the frame's members. */
#include "base/clock.h"
#include "server/call.h"
#include "server/stream.h"

enum route_kind {
	ROUTE_VERB,   /* body (or query) → verb, see call.c */
	ROUTE_SOCKET, /* the device's WebSocket */
	ROUTE_PAIR,
	ROUTE_UNPAIR,
	ROUTE_ME,
	ROUTE_EVENTS,
	ROUTE_STREAM,
	ROUTE_ASSET
};

/* `*` in a pattern is one path segment; `arg` names the member it becomes. */
static const struct route {
	const char *method, *pattern, *arg;
	enum route_kind kind;
	verb_fn verb;
} routes[] = {
	{"GET", "/api/v1/devices/socket", NULL, ROUTE_SOCKET, NULL},
	{"POST", "/api/v1/pair", NULL, ROUTE_PAIR, NULL},
	{"POST", "/api/v1/unpair", NULL, ROUTE_UNPAIR, NULL},
	{"GET", "/api/v1/me", NULL, ROUTE_ME, NULL},
	{"GET", "/api/v1/models", NULL, ROUTE_VERB, verb_model_list},
	{"GET", "/api/v1/devices", NULL, ROUTE_VERB, verb_device_list},
	{"GET", "/api/v1/devices/*", "deviceId", ROUTE_VERB, verb_device_get},
	{"POST", "/api/v1/devices/*/revoke", "deviceId", ROUTE_VERB, verb_device_revoke},
	{"POST", "/api/v1/sessions/*/primary", "sessionId", ROUTE_VERB, verb_device_primary},
	{"POST", "/api/v1/sessions/*/lock", "sessionId", ROUTE_VERB, verb_session_lock},
	{"POST", "/api/v1/sessions/*/unlock", "sessionId", ROUTE_VERB, verb_session_unlock},
	{"POST", "/api/v1/sessions/*/clear", "sessionId", ROUTE_VERB, verb_session_clear},
	{"POST", "/api/v1/conversations/*/clear", "conversationId", ROUTE_VERB, verb_session_clear},
	{"POST", "/api/v1/projects/*/clear", "projectId", ROUTE_VERB, verb_session_clear},
	{"POST", "/api/v1/messages", NULL, ROUTE_VERB, verb_message_send},
	{"POST", "/api/v1/messages/*/edit", "messageId", ROUTE_VERB, verb_message_edit},
	{"POST", "/api/v1/messages/*/delete", "messageId", ROUTE_VERB, verb_message_delete},
	{"GET", "/api/v1/changes", NULL, ROUTE_VERB, verb_session_sync},
	{"GET", "/api/v1/events", NULL, ROUTE_EVENTS, NULL},
	{"POST", "/api/v1/records/save", NULL, ROUTE_VERB, verb_record_save},
	{"POST", "/api/v1/records/query", NULL, ROUTE_VERB, verb_record_query},
	{"GET", "/api/v1/sessions/*/auto", "sessionId", ROUTE_VERB, verb_auto_state},
	{"POST", "/api/v1/sessions/*/auto/start", "sessionId", ROUTE_VERB, verb_auto_start},
	{"POST", "/api/v1/sessions/*/auto/pause", "sessionId", ROUTE_VERB, verb_auto_pause},
	{"POST", "/api/v1/sessions/*/auto/resume", "sessionId", ROUTE_VERB, verb_auto_resume},
	{"POST", "/api/v1/sessions/*/auto/stop", "sessionId", ROUTE_VERB, verb_auto_stop},
	{"GET", "/api/v1/requests/*", "requestId", ROUTE_VERB, verb_request_get},
	{"POST", "/api/v1/requests/*/stop", "requestId", ROUTE_VERB, verb_request_stop},
	{"POST", "/api/v1/requests/*/retry", "requestId", ROUTE_VERB, verb_request_retry},
	{"GET", "/api/v1/requests/*/stream", "requestId", ROUTE_STREAM, NULL},
	{"GET", "/api/v1/sessions/*/queue", "sessionId", ROUTE_VERB, verb_queue_list},
	{"POST", "/api/v1/sessions/*/queue/pause", "sessionId", ROUTE_VERB, verb_queue_pause},
	{"POST", "/api/v1/sessions/*/queue/resume", "sessionId", ROUTE_VERB, verb_queue_resume},
	{"POST", "/api/v1/sessions/*/queue/clear", "sessionId", ROUTE_VERB, verb_queue_clear},
	{"POST", "/api/v1/sessions/*/queue/remove", "sessionId", ROUTE_VERB, verb_queue_remove},
	{"POST", "/api/v1/sessions/*/queue/reorder", "sessionId", ROUTE_VERB, verb_queue_reorder},
	{"POST", "/api/v1/permissions/*/answer", "permissionId", ROUTE_VERB, verb_permission_answer},
	{"POST", "/api/v1/experiments/*/stop", "experimentId", ROUTE_VERB, verb_experiment_stop},
	{"POST", "/api/v1/experiments/*/pause", "experimentId", ROUTE_VERB, verb_experiment_pause},
	{"POST", "/api/v1/experiments/*/resume", "experimentId", ROUTE_VERB, verb_experiment_resume},
	{"PUT", "/api/v1/assets/*", "sha256", ROUTE_ASSET, NULL},
	{"GET", "/api/v1/assets/*", "sha256", ROUTE_ASSET, NULL},
	{"HEAD", "/api/v1/assets/*", "sha256", ROUTE_ASSET, NULL},
};

/* Query parameters that become members of a verb's input, and whether they are numbers. */
static const struct {
	const char *query, *member;
	bool number;
} query_members[] = {{"cursor", "cursor", false}, {"limit", "limit", true}, {"wait", "waitMs", true}};

static bool match(const char *pattern, struct str path, struct str *arg)
{
	const char *star = strchr(pattern, '*');
	*arg = STR_NONE;
	if (star == NULL) return str_eq(path, str_c(pattern));
	size_t head = (size_t)(star - pattern), tail = strlen(star + 1);
	if (path.n <= head + tail || memcmp(path.p, pattern, head) != 0) return false;
	if (memcmp(path.p + path.n - tail, star + 1, tail) != 0) return false;
	*arg = str_n(path.p + head, path.n - head - tail);
	return memchr(arg->p, '/', arg->n) == NULL;
}

/* The row for a request; *known says whether the path exists at all. */
static const struct route *find_route(const struct http_req *r, struct str *arg, bool *known)
{
	*known = false;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!match(routes[i].pattern, http_path(r), arg)) continue;
		*known = true;
		if (str_eq(http_method(r), str_c(routes[i].method))) return &routes[i];
	}
	return NULL;
}

static void me(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred)
{
	(void)s;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "userId", u->id);
	jw_kstr(&w, "userName", u->name);
	jw_kstr(&w, "deviceId", cred->device_id);
	jw_obj_end(&w);
	http_answer(r, 200, "application/json", NULL, buf_str(&b));
	buf_release(&b);
}

/* A GET's input: the path's argument and the known query parameters as one JSON object. */
static void query_input(struct http_req *r, const struct route *route, struct str arg, struct buf *out)
{
	struct jw w = JW(out);
	jw_obj(&w);
	if (arg.p != NULL) jw_kstr(&w, route->arg, arg);
	for (size_t i = 0; i < ARRAY_LEN(query_members); i++) {
		struct str v = http_query(r, query_members[i].query);
		int64_t n;
		if (v.p == NULL) continue;
		if (query_members[i].number && str_to_int(v, &n)) jw_kint(&w, query_members[i].member, n);
		else jw_kstr(&w, query_members[i].member, v);
	}
	jw_obj_end(&w);
}

/* A POST's input: the body, and before its members the path's argument, which they do not replace. */
static enum err body_input(struct http_req *r, const struct route *route, struct str arg, struct buf *out,
			   struct errinfo *info)
{
	struct json_doc *body = NULL;
	if (!str_starts(http_header(r, "content-type"), STR("application/json"))) return ERR_BAD_MEDIA_TYPE;
	enum err e = json_parse(http_body(r), &body, info);
	if (e == OK && json_type(json_root(body)) != JSON_OBJ)
		e = err_set(info, ERR_BAD_FRAME, "the body must be a JSON object");
	struct jw w = JW(out);
	jw_obj(&w);
	if (arg.p != NULL) jw_kstr(&w, route->arg, arg);
	for (struct json_iter it = json_iter(json_root(body)); e == OK && json_next(&it);) {
		if (arg.p != NULL && str_eq(it.key, str_c(route->arg))) continue;
		jw_key_str(&w, it.key);
		jw_value(&w, it.val);
	}
	jw_obj_end(&w);
	json_free(body);
	return e;
}

static void run_verb(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred)
{
	struct str arg;
	bool known;
	struct errinfo info = {0};
	const struct route *route = find_route(r, &arg, &known);
	struct buf input = BUF_INIT(BUF_NO_LIMIT);
	bool has_body = str_eq(http_method(r), STR("POST")) && (arg.p == NULL || http_body(r).n > 0);
	struct call *c = call_new(s, u, cred->principal, cred->device_id);
	c->req = r;
	http_set_data(r, &c->task);
	enum err e = OK;
	if (has_body) e = body_input(r, route, arg, &input, &info);
	else query_input(r, route, arg, &input);
	if (e == OK) e = json_parse(buf_str(&input), &c->doc, &info);
	c->in = json_root(c->doc);
	buf_release(&input);
	if (e != OK) call_fail(c, e, &info, STR_NONE);
	else route->verb(c);
}

static void stream(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred)
{
	struct str arg;
	bool known;
	(void)find_route(r, &arg, &known);
	stream_http(s, r, u, cred->principal, arg);
}

static void asset_download(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred)
{
	struct str arg;
	bool known;
	(void)cred;
	(void)find_route(r, &arg, &known);
	upload_get(s, r, u, arg);
}

void api_head(void *ctx, struct http_req *r)
{
	struct server *s = ctx;
	struct str arg;
	bool known;
	const struct route *route = find_route(r, &arg, &known);
	/* Nobody's body is collected without something that looks like a credential. */
	if (route != NULL && route->kind != ROUTE_PAIR && !auth_is_shown(r)) {
		http_answer_error(r, ERR_UNAUTHORIZED, NULL);
		return;
	}
	/* Only uploads care before the body is here: they stream it to disk. */
	if (route != NULL && route->kind == ROUTE_ASSET && str_eq(http_method(r), STR("PUT"))) upload_head(s, r, arg);
}

void api_request(void *ctx, struct http_req *r)
{
	struct server *s = ctx;
	struct str arg;
	bool known;
	if (page_request(s, r) || operator_request(s, r)) return;
	const struct route *route = find_route(r, &arg, &known);
	if (route == NULL) {
		http_answer_error(r, known ? ERR_METHOD : ERR_NOT_FOUND, NULL);
		return;
	}
	switch (route->kind) {
	case ROUTE_VERB: auth_request(s, r, run_verb); break;
	case ROUTE_SOCKET: auth_request(s, r, peer_accept); break;
	case ROUTE_PAIR: auth_pair(s, r); break;
	case ROUTE_UNPAIR: auth_request(s, r, auth_unpair); break;
	case ROUTE_ME: auth_request(s, r, me); break;
	case ROUTE_EVENTS: auth_request(s, r, feed_sse); break;
	case ROUTE_STREAM: auth_request(s, r, stream); break;
	case ROUTE_ASSET:
		if (str_eq(http_method(r), STR("PUT"))) upload_end(r);
		else auth_request(s, r, asset_download);
	}
}

void api_gone(void *ctx, struct http_req *r)
{
	(void)ctx;
	struct task *t = http_data(r);
	if (t != NULL) t->gone(t);
}
