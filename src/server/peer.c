/* A device's connection, from the upgrade to the close.
 *
 * Presence follows the connection (presence.c). The first frame must be device:hello. A later connection of the same
 * device replaces the one before: it takes over the joined conversations before the old one is closed with 4001, and the old
 * one's close then changes nothing: the device keeps its seats, what it is primary of and its locks. Only what its hello
 * says it does not mean to be in any more is left, in the same step: behind the new connection may be a process that
 * knows nothing of what an earlier one had joined, and would be primary of a session that it never answers for.
 *
 * What a device has not read within limits.device_queue_bytes it loses as a stream, never as data: its feed goes on from
 * where it was once the queue is empty. */
#include "base/clock.h"
#include "server/call.h"
#include "server/stream.h"

#define LAST_SEEN_EVERY_MS 60000

void peer_send(struct peer *c, struct frame *f)
{
	/* Answers and small notices may pass the soft cap; twice the cap is the end of patience. */
	if (c->ws == NULL || c->state == PEER_CLOSING) return;
	if (!ws_send(c->ws, f, (size_t)c->server->config->limits.device_queue_bytes * 2))
		peer_close(c, 1013, "this device reads too slowly");
}

static bool peer_deliver(struct sub *sub, struct frame *f, struct str json, int64_t upto)
{
	(void)json;
	(void)upto;
	struct peer *c = (struct peer *)(void *)sub;
	if (c->ws == NULL || c->state == PEER_CLOSING) return false;
	return ws_send(c->ws, f, (size_t)c->server->config->limits.device_queue_bytes);
}

/* The device's cursor is gone (it was too far behind a compaction): it must begin anew. */
static void peer_fail(struct sub *sub, enum err e, const struct errinfo *info)
{
	(void)info;
	peer_close((struct peer *)(void *)sub, e == ERR_UNAUTHORIZED ? CLOSE_REVOKED : 1008, err_code(e));
}

static const struct sub_kind peer_sub = {peer_deliver, peer_fail, NULL};

/* Whoever writes faster than the disk waits: nothing more is read from it until the queue is half empty. What was taken is
 * answered. */
static void hold_if_full(struct peer *c)
{
	struct server *s = c->server;
	if (c->held || c->ws == NULL || c->state == PEER_CLOSING || s->store == NULL) return;
	if ((int64_t)store_queue_bytes(s->store) < s->config->limits.writer_queue_bytes) return;
	c->held = true;
	s->nheld++;
	ws_pause(c->ws, true);
}

static void relieve(struct peer *c)
{
	if (!c->held) return;
	c->held = false;
	c->server->nheld--;
	if (c->ws != NULL) ws_pause(c->ws, false);
}

void peers_relieve(struct server *s)
{
	if (s->nheld == 0 || (int64_t)store_queue_bytes(s->store) > s->config->limits.writer_queue_bytes / 2) return;
	struct peer *c;
	LIST_FOREACH (c, &s->peers, in_server) relieve(c); /* they are read in the loop's next turn */
}

void peer_close(struct peer *c, int code, const char *reason)
{
	if (c->state == PEER_CLOSING) return;
	relieve(c); /* its answer to the closing is to be read */
	c->state = PEER_CLOSING;
	if (code == CLOSE_REVOKED && c->hello) {
		seats_revoked(c->server->seats, c->sub.user->user, str_c(c->device_id), clock_boot_ms());
		presence_rearm(c->server);
	}
	ws_close(c->ws, code, reason);
}

/* ---- hello ------------------------------------------------------------------------------------------------------ */

struct seen {
	struct cmd_device_seen cmd;
	struct json_doc *doc; /* the hello's strings, or NULL */
	char device_id[NAME_MAX_LEN + 1];
};

static void seen_done(struct store_op *op)
{
	struct seen *n = op->ctx;
	json_free(n->doc);
	store_op_release(op);
	free(n);
}

static void write_seen(struct peer *c, struct json_doc *doc, const struct device_info *d, int64_t last_seen_ms)
{
	struct seen *n = xcalloc(1, sizeof *n);
	n->doc = doc;
	(void)str_copy(str_c(c->device_id), n->device_id, sizeof n->device_id);
	n->cmd.user = c->sub.user->user;
	n->cmd.device = *d;
	n->cmd.device.device_id = str_c(n->device_id);
	n->cmd.last_seen_ms = last_seen_ms;
	/* Made by the daemon on the device's behalf, so that every device hears of it. */
	store_op_init(&n->cmd.op, cmd_device_seen_run, seen_done, 0, clock_wall_ms());
	n->cmd.op.ctx = n;
	n->cmd.op.bytes = sizeof *n;
	store_submit(c->server->store, &n->cmd.op);
}

/* Those that a device can keep to before it asks; the others it meets as errors. */
static void write_limits(struct jw *w, const struct limits *l)
{
	jw_key(w, "limits");
	jw_obj(w);
	jw_kint(w, "frameBytes", l->frame_bytes);
	jw_kint(w, "textBytes", l->text_bytes);
	jw_kint(w, "recordBytes", l->record_bytes);
	jw_kint(w, "assetBytes", l->asset_bytes);
	jw_kint(w, "batchRecords", l->batch_records);
	jw_kint(w, "pageRecords", l->page_records);
	jw_kint(w, "joinedSessions", l->joined_sessions);
	jw_kint(w, "unansweredCalls", l->unanswered_calls);
	jw_kint(w, "pingMs", l->ping_ms);
	jw_kint(w, "heartbeatMs", l->heartbeat_ms);
	jw_kint(w, "lockMs", l->lock_ms);
	jw_kint(w, "autoMessages", l->auto_messages);
	jw_kint(w, "autoMs", l->auto_ms);
	jw_kint(w, "autoParamsBytes", l->auto_params_bytes);
	jw_obj_end(w);
}

/* The hello's `joined`, if it has one. */
static enum err check_joined(const struct peer *c, const struct json *joined, struct errinfo *info)
{
	int64_t most = c->server->config->limits.joined_sessions;
	struct str id;
	if (json_type(joined) == JSON_NONE || json_type(joined) == JSON_NULL) return OK;
	if (json_type(joined) != JSON_ARR) return err_set(info, ERR_BAD_FIELD, "\"joined\" must be a list");
	if ((int64_t)json_len(joined) > most)
		return err_set(info, ERR_TOO_MANY, "a device may be joined to joinedSessions (%lld) sessions",
			       (long long)most);
	for (struct json_iter it = json_iter(joined); json_next(&it);)
		if (!json_str(it.val, &id) || !name_is_valid(id))
			return err_set(info, ERR_BAD_FIELD, "\"joined\" must hold conversation ids");
	return OK;
}

static bool is_named(const struct json *joined, struct str conversation_id)
{
	struct str id;
	for (struct json_iter it = json_iter(joined); json_next(&it);)
		if (json_str(it.val, &id) && str_eq(id, conversation_id)) return true;
	return false;
}

static void leave_unnamed(struct peer *c, const struct json *joined)
{
	struct join *next;
	for (struct join *j = LIST_FIRST(&c->joins); j != NULL; j = next) {
		next = LIST_NEXT(j, in_peer);
		if (!is_named(joined, stream_conversation(j))) session_leave(c, j);
	}
}

/* A hello may be late: its device gave the connection up long ago and has a newer one, which stays. */
static bool is_outdated(const struct peer *c)
{
	struct peer *newer;
	HASH_FIND_STR(c->sub.user->peers, c->device_id, newer);
	return newer != NULL && newer->serial > c->serial;
}

static void take_over(struct peer *c, const struct json *joined)
{
	struct live_user *u = c->sub.user;
	struct peer *old;
	HASH_FIND_STR(u->peers, c->device_id, old);
	if (old != NULL) {
		HASH_DEL(u->peers, old);
		stream_move(old, c);
		old->hello = false;
		sub_stop(&old->sub);
		peer_close(old, CLOSE_REPLACED, "replaced");
	} else {
		c->server->nonline++;
		presence_changed(u, str_c(c->device_id));
	}
	HASH_ADD_STR(u->peers, device_id, c);
	if (json_type(joined) == JSON_ARR) leave_unnamed(c, joined);
}

static void hello(struct peer *c, struct call *call)
{
	struct server *s = c->server;
	struct errinfo info = {0};
	struct device_info d = {0};
	struct str cursor = STR_NONE;
	const struct json *joined = json_get(call->in, "joined");
	int64_t protocol = 0, after = 0;
	enum err e = ERR_BAD_FIELD;
	if (!json_want_str(call->in, "deviceId", 0, &d.device_id, &info) ||
	    !json_want_str(call->in, "name", JSON_OPTIONAL, &d.name, &info) ||
	    !json_want_str(call->in, "platform", JSON_OPTIONAL, &d.platform, &info) ||
	    !json_want_str(call->in, "appVersion", JSON_OPTIONAL, &d.app_version, &info) ||
	    !json_want_str(call->in, "cursor", JSON_OPTIONAL, &cursor, &info) ||
	    !json_want_int(call->in, "protocol", 0, 1, 1, &protocol, &info))
		goto fail;
	if (d.name.n > 200 || d.platform.n > 60 || d.app_version.n > 60) {
		(void)err_set(&info, e, "\"name\" may have 200 bytes, \"platform\" and \"appVersion\" 60");
		goto fail;
	}
	if (!str_eq(d.device_id, str_c(c->device_id))) {
		e = err_set(&info, ERR_FORBIDDEN, "this credential belongs to device %s", c->device_id);
		goto fail;
	}
	e = check_joined(c, joined, &info);
	if (e == OK) e = feed_cursor(s, c->sub.user, cursor, &after, &info);
	if (e == OK && is_outdated(c)) {
		peer_close(c, CLOSE_REPLACED, "replaced");
		e = ERR_EXISTS;
	}
	if (e != OK) goto fail;
	c->hello = true;
	take_over(c, joined);
	struct jw w = call_begin(call, "device:welcome");
	jw_kstr(&w, "deviceId", d.device_id);
	jw_kstr(&w, "userId", c->sub.user->id);
	jw_kstr(&w, "userName", c->sub.user->name);
	jw_key(&w, "cursor");
	write_cursor(s, &w, c->sub.user->seq);
	jw_ktime(&w, "serverTime", clock_wall_ms());
	jw_kint(&w, "protocol", 1);
	jw_key(&w, "devices");
	jw_arr(&w);
	for (struct peer *o = c->sub.user->peers; o != NULL; o = o->hh.next) {
		jw_obj(&w);
		jw_kstr(&w, "deviceId", str_c(o->device_id));
		jw_kbool(&w, "online", true);
		jw_obj_end(&w);
		if (c->server->config->limits.frame_bytes / 2 < (int64_t)call->out.n) break;
	}
	jw_arr_end(&w);
	write_limits(&w, &s->config->limits);
	/* The record's strings are views of the frame, which the write needs until it is done. */
	write_seen(c, call->doc, &d, 0);
	call->doc = NULL;
	call_reply(call, &w);
	if (s->journal != NULL)
		journal_event(s->journal, "device.connected", EVS("userId", c->sub.user->id),
			      EVS("deviceId", str_c(c->device_id)));
	if (cursor.n > 0) sync_acked(c->sub.user, c->sub.principal, str_c(c->device_id), after);
	sub_start(&c->sub, c->sub.user, &peer_sub, c->sub.principal, after);
	return;
fail:
	call_fail(call, e, &info, STR_NONE);
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

static void frame_error(struct peer *c, enum err e, const struct errinfo *info)
{
	struct call *call = call_new(c->server, c->sub.user, c->sub.principal, str_c(c->device_id));
	call->peer = c;
	LIST_INSERT_HEAD(&c->calls, call, in_peer);
	c->ncalls++;
	call_fail(call, e, info, STR_NONE);
}

/* The frame's id, echoed as `re`: a number or a short string. */
static bool read_re(struct call *call, struct errinfo *info)
{
	const struct json *id = json_get(call->in, "id");
	enum json_type t = json_type(id);
	struct buf b = BUF_INIT(sizeof call->re - 1);
	if (t == JSON_NONE) return true;
	if (t == JSON_INT || t == JSON_STR) json_write(&b, id);
	bool ok = b.n > 0 && !b.failed && str_copy(buf_str(&b), call->re, sizeof call->re);
	buf_release(&b);
	if (!ok) (void)err_set(info, ERR_BAD_FIELD, "\"id\" must be a whole number or a string of at most 36 bytes");
	return ok;
}

static void on_message(void *ctx, struct ws *ws, struct str text)
{
	struct peer *c = ctx;
	struct errinfo info = {0};
	struct json_doc *doc = NULL;
	struct str type;
	(void)ws;
	if (c->state == PEER_CLOSING) return;
	enum err e = json_parse(text, &doc, &info);
	if (e == OK && (json_type(json_root(doc)) != JSON_OBJ || !json_str(json_get(json_root(doc), "type"), &type)))
		e = ERR_BAD_FRAME;
	if (e != OK) {
		json_free(doc);
		frame_error(c, e, &info);
		return;
	}
	struct call *call = call_new(c->server, c->sub.user, c->sub.principal, str_c(c->device_id));
	call->peer = c;
	LIST_INSERT_HEAD(&c->calls, call, in_peer);
	c->ncalls++;
	call->doc = doc;
	call->in = json_root(doc);
	if (!read_re(call, &info)) {
		call_fail(call, ERR_BAD_FIELD, &info, STR_NONE);
	} else if (c->server->stopping) {
		call_fail(call, ERR_SHUTTING_DOWN, NULL, STR_NONE);
	} else if (c->ncalls > c->server->config->limits.unanswered_calls) {
		(void)err_set(&info, ERR_TOO_MANY,
			      "unansweredCalls (%lld) frames of this connection wait for their answers",
			      (long long)c->server->config->limits.unanswered_calls);
		call_fail(call, ERR_TOO_MANY, &info, STR_NONE);
	} else if (str_eq(type, STR("device:hello"))) {
		if (c->hello) call_fail(call, ERR_BAD_STATE, NULL, STR_NONE);
		else hello(c, call);
	} else if (!c->hello && !str_eq(type, STR("ping"))) {
		(void)err_set(&info, ERR_BAD_STATE, "the first frame must be device:hello");
		call_fail(call, ERR_BAD_STATE, &info, STR_NONE);
	} else {
		verb_fn fn = verb_find(type);
		if (fn != NULL) {
			fn(call);
		} else {
			(void)err_set(&info, ERR_UNKNOWN_TYPE, "there is no frame type \"%.*s\"",
				      (int)MIN(type.n, (size_t)60), type.p);
			call_fail(call, ERR_UNKNOWN_TYPE, &info, STR_NONE);
		}
	}
	hold_if_full(c);
}

static void on_drained(void *ctx, struct ws *ws)
{
	struct peer *c = ctx;
	(void)ws;
	if (c->state == PEER_READY) sub_ready(&c->sub);
}

static void on_alive(void *ctx, struct ws *ws)
{
	struct peer *c = ctx;
	(void)ws;
	c->seen_wall_ms = clock_wall_ms();
	if (!c->hello || c->njoins == 0) return;
	seats_heard(c->server->seats, c->sub.user->user, str_c(c->device_id), clock_boot_ms());
	presence_rearm(c->server);
}

static void on_closed(void *ctx, struct ws *ws, int code)
{
	struct peer *c = ctx;
	struct server *s = c->server;
	struct live_user *u = c->sub.user;
	struct call *call;
	(void)ws;
	c->ws = NULL;
	c->state = PEER_CLOSING;
	relieve(c);
	while ((call = LIST_FIRST(&c->calls)) != NULL) {
		LIST_REMOVE(call, in_peer);
		call->peer = NULL;
	}
	while (!LIST_EMPTY(&c->joins)) stream_leave(LIST_FIRST(&c->joins));
	sub_stop(&c->sub);
	if (c->hello) {
		HASH_DEL(u->peers, c);
		s->nonline--;
		presence_changed(u, str_c(c->device_id));
		if (!s->stopping && code != CLOSE_REVOKED) sync_left(u, str_c(c->device_id));
		seats_lost(s->seats, u->user, str_c(c->device_id), clock_boot_ms());
		presence_rearm(s);
		if (s->journal != NULL)
			journal_event(s->journal, "device.disconnected", EVS("userId", u->id),
				      EVS("deviceId", str_c(c->device_id)), EVI("closeCode", code));
		if (!s->stopping && code != CLOSE_REVOKED && clock_wall_ms() - c->connected_ms >= LAST_SEEN_EVERY_MS)
			write_seen(c, NULL, &(struct device_info){0}, clock_wall_ms());
	}
	LIST_REMOVE(c, in_server);
	free(c);
}

static const struct ws_hooks hooks = {on_message, on_drained, on_closed, on_alive};

void peer_accept(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred)
{
	struct peer *c = xcalloc(1, sizeof *c);
	c->server = s;
	c->sub.user = u;
	c->sub.principal = c->sub.owner = cred->principal;
	(void)str_copy(cred->device_id, c->device_id, sizeof c->device_id);
	c->connected_ms = c->seen_wall_ms = clock_wall_ms();
	c->serial = ++c->server->nconnections;
	LIST_INIT(&c->joins);
	LIST_INIT(&c->calls);
	c->ws = ws_accept(r, "roost.v1", &hooks, c);
	if (c->ws == NULL) {
		free(c);
		return;
	}
	c->state = PEER_READY;
	LIST_INSERT_HEAD(&s->peers, c, in_server);
}
