/* Running answers reach the devices that joined their conversation, and scripts that follow them over HTTP.
 *
 * What is published here is on disk already. A device gets each byte once and in order on one connection: when it joins,
 * what there is from the beginning, then what comes; when it is too slow, message:reset instead of the rest, and nothing
 * more of that attempt until it attaches again. A new attempt is a new stream from offset 0, announced by
 * message:reset. */
#include "server/stream.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "server/call.h"

struct stop_wait {
	struct call *call;
	char *request_id;
	LIST_ENTRY(stop_wait) link;
};

struct follower { /* GET /api/v1/requests/{id}/stream */
	struct task task;
	struct server *server;
	struct http_req *req;
	struct cmd_stream_read *reading;
	char *request_id;
	int64_t user;
	uint32_t principal; /* whose credential it lives by */
	int64_t attempt, offset;
	enum stream_kind kind;
	LIST_ENTRY(follower) link;
	bool listed;
};

/* ---- rooms ------------------------------------------------------------------------------------------------------ */

static void room_key(int64_t user, struct str conversation_id, struct buf *out)
{
	buf_init(out, 300);
	buf_addf(out, "%lld/%.*s", (long long)user, STR_ARG(conversation_id));
}

struct room *room_find(struct server *s, int64_t user, struct str conversation_id)
{
	struct buf key;
	struct room *room;
	room_key(user, conversation_id, &key);
	HASH_FIND(hh, s->rooms, key.p, key.n, room);
	buf_release(&key);
	return room;
}

static struct room *room_get(struct server *s, int64_t user, struct str conversation_id)
{
	struct room *room = room_find(s, user, conversation_id);
	if (room != NULL) return room;
	struct buf key;
	room_key(user, conversation_id, &key);
	room = xcalloc(1, sizeof *room);
	room->key = buf_take(&key, NULL);
	LIST_INIT(&room->joins);
	HASH_ADD_KEYPTR(hh, s->rooms, room->key, strlen(room->key), room);
	return room;
}

void stream_leave(struct join *j)
{
	struct room *room = j->room;
	LIST_REMOVE(j, in_room);
	LIST_REMOVE(j, in_peer);
	j->peer->njoins--;
	if (j->watches_queue) queue_left(j->peer->server, room);
	if (LIST_EMPTY(&room->joins)) {
		HASH_DEL(j->peer->server->rooms, room);
		free(room->key);
		free(room);
	}
	free(j->session_id);
	free(j->dropped);
	free(j);
}

void stream_move(struct peer *from, struct peer *to)
{
	struct join *j;
	while ((j = LIST_FIRST(&from->joins)) != NULL) {
		LIST_REMOVE(j, in_peer);
		LIST_INSERT_HEAD(&to->joins, j, in_peer);
		j->peer = to;
		j->is_quiet = false;
		from->njoins--;
		to->njoins++;
	}
}

static struct join *join_of(struct peer *c, const struct room *room)
{
	struct join *j;
	LIST_FOREACH (j, &c->joins, in_peer)
		if (j->room == room) return j;
	return NULL;
}

/* The device's place in the room, made when it is not there yet; NULL past limits.joined_sessions. */
static struct join *join_room(struct peer *c, struct str conversation_id, struct str session_id)
{
	struct room *room = room_find(c->server, c->sub.user->user, conversation_id);
	struct join *j = room != NULL ? join_of(c, room) : NULL;
	if (j == NULL) {
		if ((int64_t)c->njoins >= c->server->config->limits.joined_sessions) return NULL;
		if (room == NULL) room = room_get(c->server, c->sub.user->user, conversation_id);
		j = xcalloc(1, sizeof *j);
		j->peer = c;
		j->room = room;
		LIST_INSERT_HEAD(&room->joins, j, in_room);
		LIST_INSERT_HEAD(&c->joins, j, in_peer);
		c->njoins++;
	}
	free(j->session_id);
	j->session_id = str_dup(session_id);
	return j;
}

struct join *stream_join(struct peer *c, struct str conversation_id, struct str session_id)
{
	size_t had = c->njoins;
	struct join *j = join_room(c, conversation_id, session_id);
	if (j != NULL && c->njoins > had) j->is_quiet = true;
	return j;
}

struct join *stream_find(struct peer *c, struct str conversation_id)
{
	struct room *room = room_find(c->server, c->sub.user->user, conversation_id);
	return room != NULL ? join_of(c, room) : NULL;
}

struct join *stream_find_joined(struct peer *c, struct str conversation_id, struct str session_id)
{
	struct join *j;
	if (conversation_id.p != NULL) return stream_find(c, conversation_id);
	LIST_FOREACH (j, &c->joins, in_peer)
		if (str_eq(str_c(j->session_id), session_id)) return j;
	return NULL;
}

struct str stream_conversation(const struct join *j) { return str_c(strchr(j->room->key, '/') + 1); }

static void too_many_joins(struct call *c)
{
	struct errinfo info;
	(void)err_set(&info, ERR_TOO_MANY, "a device may be joined to joinedSessions (%lld) sessions",
		      (long long)c->server->config->limits.joined_sessions);
	call_fail(c, ERR_TOO_MANY, &info, STR_NONE);
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

static struct frame *delta_frame(struct str request_id, struct str message_id, int64_t attempt, int64_t offset,
				 enum stream_kind kind, struct str text)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("message:delta"));
	jw_kstr(&w, "requestId", request_id);
	jw_kstr(&w, "messageId", message_id);
	jw_kint(&w, "attempt", attempt);
	jw_kint(&w, "offset", offset);
	jw_kstr(&w, "kind", kind == STREAM_TEXT ? STR("text") : STR("thinking"));
	jw_kstr(&w, "text", text);
	jw_obj_end(&w);
	return frame_take(&b);
}

static struct frame *reset_frame(struct str request_id, int64_t attempt)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("message:reset"));
	jw_kstr(&w, "requestId", request_id);
	jw_kint(&w, "attempt", attempt);
	jw_obj_end(&w);
	return frame_take(&b);
}

static bool is_dropped(const struct join *j, const struct job *job)
{
	return j->dropped != NULL && j->dropped_attempt == job_request(job)->attempt &&
	       str_eq(str_c(j->dropped), job_request_id(job));
}

/* Sends a piece of a stream; a device that is too slow for it loses the stream. */
static void send_piece(struct join *j, const struct job *job, struct frame *f)
{
	struct peer *c = j->peer;
	if (c->ws == NULL || c->state == PEER_CLOSING || j->is_quiet || is_dropped(j, job)) return;
	if (ws_send(c->ws, f, (size_t)c->server->config->limits.device_queue_bytes)) return;
	free(j->dropped);
	j->dropped = str_dup(job_request_id(job));
	j->dropped_attempt = job_request(job)->attempt;
	struct frame *reset = reset_frame(job_request_id(job), j->dropped_attempt);
	peer_send(c, reset);
	frame_unref(reset);
}

static void follow(struct server *s, const struct delta *d);

void stream_publish(void *ctx, const struct delta *d)
{
	struct server *s = ctx;
	const struct request *q = job_request(d->job);
	struct room *room = room_find(s, job_user(d->job), q->conversation_id);
	if (!LIST_EMPTY(&s->followers)) follow(s, d);
	if (room == NULL) return;
	struct frame *f = delta_frame(job_request_id(d->job), q->reply_id, d->attempt, d->offset, d->kind, d->text);
	for (struct join *j = LIST_FIRST(&room->joins), *next; j != NULL; j = next) {
		next = LIST_NEXT(j, in_room);
		send_piece(j, d->job, f);
	}
	frame_unref(f);
}

void stream_tell(struct server *s, int64_t user, struct str conversation_id, struct frame *f)
{
	struct room *room = room_find(s, user, conversation_id);
	if (room == NULL) return;
	for (struct join *j = LIST_FIRST(&room->joins), *next; j != NULL; j = next) {
		next = LIST_NEXT(j, in_room);
		if (!j->is_quiet) peer_send(j->peer, f);
	}
}

void stream_cleared(struct server *s, int64_t user, struct str conversation_id, struct str killed_id,
		    struct str next_id)
{
	struct room *room = room_find(s, user, conversation_id);
	struct join *j;
	if (room == NULL) return;
	LIST_FOREACH (j, &room->joins, in_room) {
		if (!str_eq(str_c(j->session_id), killed_id)) continue;
		free(j->session_id);
		j->session_id = str_dup(next_id);
	}
}

/* What a job has shown so far, from an offset, to one device. */
static void send_shown(struct join *j, const struct job *job, enum stream_kind kind, int64_t offset)
{
	int64_t shown = job_shown(job, kind);
	if (offset >= shown) return;
	struct str text = str_n(job_turn(job)->said[kind].p + offset, (size_t)(shown - offset));
	struct frame *f = delta_frame(job_request_id(job), job_request(job)->reply_id, job_request(job)->attempt,
				      offset, kind, text);
	send_piece(j, job, f);
	frame_unref(f);
}

/* ---- the state of a request ------------------------------------------------------------------------------------- */

static void write_times(struct jw *w, int64_t queued, const struct turn_times *t)
{
	jw_key(w, "times");
	jw_obj(w);
	if (queued != 0) jw_ktime(w, "queued", queued);
	if (t->claimed != 0) jw_ktime(w, "claimed", t->claimed);
	if (t->connected != 0) jw_ktime(w, "connected", t->connected);
	if (t->first_token != 0) jw_ktime(w, "firstToken", t->first_token);
	if (t->done != 0) jw_ktime(w, "done", t->done);
	jw_obj_end(w);
}

static void write_state(struct server *s, struct jw *w, struct str id, const struct request *q, struct str state,
			const struct turn_times *times)
{
	int provider = providers_index(s->providers, q->serving);
	jw_kstr(w, "requestId", id);
	jw_kstr(w, "conversationId", q->conversation_id);
	jw_kstr(w, "messageId", q->message_id);
	jw_kstr(w, "replyId", q->reply_id);
	jw_kstr(w, "state", state);
	jw_kint(w, "attempt", q->attempt);
	write_times(w, q->queued_ms, times);
	if (q->error_code.n > 0) {
		jw_key(w, "error");
		jw_obj(w);
		jw_kstr(w, "code", q->error_code);
		jw_kstr(w, "message", q->error_text);
		jw_obj_end(w);
	}
	if (q->state == RQ_RETRYING && q->next_try_ms != 0) jw_ktime(w, "nextTryAt", q->next_try_ms);
	jw_kstr(w, "model", q->model);
	if (!str_eq(q->serving, q->model)) jw_kstr(w, "servingModel", q->serving);
	if (q->asked.n > 0) jw_kstr(w, "modelAsked", q->asked);
	if (q->asked.n > 0) jw_kstr(w, "modelBy", q->model_by);
	jw_kstr(w, "provider", provider < 0 ? STR("") : providers_name(s->providers, provider));
	request_write_usage(w, &q->usage);
	request_write_cost(w, q);
}

/* What it waits for besides its turn. */
static void write_pacing(struct jw *w, const struct job *j)
{
	struct pacing p;
	if (!job_pacing(j, &p)) return;
	jw_key(w, "pacing");
	jw_obj(w);
	jw_ktime(w, "untilAt", p.until_wall_ms);
	jw_kstr(w, "why", p.why);
	jw_obj_end(w);
}

void write_request_state(struct server *s, struct jw *w, const struct job_info *info)
{
	struct turn_times t = {.claimed = info->request.last_started_ms, .done = info->request.last_completed_ms};
	const struct job *j = relay_find(work_relay(s->work), info->request_id);
	write_state(s, w, info->request_id, &info->request, request_state_name(info->request.state), &t);
	if (j != NULL) write_pacing(w, j);
}

void write_job_state(struct server *s, struct jw *w, const struct job *j)
{
	write_state(s, w, job_request_id(j), job_request(j), job_state_name(j), &job_turn(j)->times);
	write_pacing(w, j);
}

static void end_followers(struct server *s, const struct job *job);

void stream_state(void *ctx, struct job *job)
{
	struct server *s = ctx;
	const struct request *q = job_request(job);
	struct room *room = room_find(s, job_user(job), q->conversation_id);
	bool over = !request_is_open(q->state) || str_eq(job_state_name(job), STR("stopped"));
	for (struct stop_wait *sw = LIST_FIRST(&s->stops), *next; sw != NULL; sw = next) {
		next = LIST_NEXT(sw, link);
		if (!over || !str_eq(str_c(sw->request_id), job_request_id(job)) ||
		    sw->call->user->user != job_user(job))
			continue;
		LIST_REMOVE(sw, link);
		struct jw w = call_begin(sw->call, "request:state");
		write_job_state(s, &w, job);
		call_reply(sw->call, &w);
		free(sw->request_id);
		free(sw);
	}
	if (q->state != RQ_CLAIMED) end_followers(s, job);
	if (room == NULL) return;
	queue_news(s, room, job);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("request:state"));
	write_job_state(s, &w, job);
	jw_obj_end(&w);
	struct frame *f = frame_take(&b), *reset = NULL;
	if (q->attempt > 1 && q->state == RQ_CLAIMED && job_turn(job)->phase == TURN_CALLING)
		reset = reset_frame(job_request_id(job), q->attempt);
	for (struct join *j = LIST_FIRST(&room->joins), *next; j != NULL; j = next) {
		next = LIST_NEXT(j, in_room);
		if (reset != NULL) peer_send(j->peer, reset);
		peer_send(j->peer, f);
	}
	frame_unref(f);
	if (reset != NULL) frame_unref(reset);
}

void stream_stopped_call(struct call *c, struct str request_id)
{
	struct stop_wait *sw = xcalloc(1, sizeof *sw);
	sw->call = c;
	sw->request_id = str_dup(request_id);
	LIST_INSERT_HEAD(&c->server->stops, sw, link);
}

/* ---- joining ---------------------------------------------------------------------------------------------------- */

struct running_list {
	struct jw *w;
	struct join *join;
	bool send;
};

static void show_running(void *ctx, struct job *job)
{
	struct running_list *l = ctx;
	if (l->send) {
		for (int k = 0; k < TURN_KINDS; k++) send_shown(l->join, job, (enum stream_kind)k, 0);
		return;
	}
	jw_obj(l->w);
	jw_kstr(l->w, "requestId", job_request_id(job));
	jw_kint(l->w, "attempt", job_request(job)->attempt);
	jw_kstr(l->w, "messageId", job_request(job)->reply_id);
	jw_kint(l->w, "offset", job_shown(job, STREAM_TEXT));
	jw_kstr(l->w, "state", job_state_name(job));
	jw_obj_end(l->w);
}

void stream_joined(struct call *call, struct join *j, struct jw *w, int64_t conv)
{
	struct relay *relay = work_relay(call->server->work);
	struct running_list list = {w, j, false};
	j->is_quiet = false;
	jw_key(w, "running");
	jw_arr(w);
	relay_each_running(relay, conv, show_running, &list);
	jw_arr_end(w);
	call_reply(call, w);
	list.send = true;
	relay_each_running(relay, conv, show_running, &list);
}

/* ---- a stream that is not running: from the store --------------------------------------------------------------- */

struct cmd_stream_read {
	struct store_op op;
	int64_t user, attempt; /* attempt 0: the last one */
	struct str request_id;
	enum stream_kind kind;
	/* out */
	struct job_info job;
	struct str text;
	/* whose: one of the two */
	struct call *call;
	struct follower *follower; /* NULL when it left */
	int64_t offset;
};

/* The text of the reply, or of a closed stream. */
static enum err stream_read_run(struct txn *t, struct store_op *op)
{
	struct cmd_stream_read *c = CONTAINER_OF(op, struct cmd_stream_read, op);
	struct record r, m;
	struct stream_row row;
	struct json_doc *doc = NULL;
	struct str text = STR("");
	enum err e = request_find(t, c->user, c->request_id, &r, &c->job, &op->info);
	if (e != OK) return e;
	int64_t attempt = c->attempt != 0 ? c->attempt : c->job.request.attempt;
	bool is_reply = c->job.request.state == RQ_DONE && attempt == c->job.request.attempt && c->kind == STREAM_TEXT;
	c->text = STR("");
	if (!is_reply) {
		e = txn_stream_get(t, c->job.row, attempt, c->kind, &row);
		if (e == OK) c->text = row.text;
		return e == ERR_NOT_FOUND ? OK : e;
	}
	e = txn_get(t, c->job.zone, RT_MESSAGE, c->job.request.reply_id, &m);
	if (e == ERR_NOT_FOUND || (e == OK && m.deleted)) return OK;
	if (e == OK && json_parse(m.fields, &doc, NULL) != OK) e = ERR_CORRUPT;
	if (e == OK && json_str(json_get(json_root(doc), "text"), &text)) c->text = arena_str(txn_arena(t), text);
	json_free(doc);
	return e;
}

static bool read_kind(struct str name, enum stream_kind *out)
{
	*out = str_eq(name, STR("thinking")) ? STREAM_THINKING : STREAM_TEXT;
	return name.n == 0 || *out == STREAM_THINKING || str_eq(name, STR("text"));
}

static void superseded(struct call *c, int64_t attempt)
{
	struct buf extra = BUF_INIT(64);
	buf_addf(&extra, "\"attempt\":%lld", (long long)attempt);
	call_fail(c, ERR_SUPERSEDED, NULL, buf_str(&extra));
	buf_release(&extra);
}

/* The answer to message:attach: one delta from the offset, which must be on the border of a character. */
static void answer_delta(struct call *c, struct str request_id, const struct request *q, enum stream_kind kind,
			 struct str text, int64_t offset)
{
	struct errinfo info;
	size_t from = MIN((size_t)offset, text.n);
	if (utf8_cut(text, from) != from) {
		(void)err_set(&info, ERR_BAD_FIELD, "\"offset\" is inside a character; offsets are those of deltas");
		call_fail(c, ERR_BAD_FIELD, &info, STR_NONE);
		return;
	}
	struct jw w = call_begin(c, "message:delta");
	jw_kstr(&w, "requestId", request_id);
	jw_kstr(&w, "messageId", q->reply_id);
	jw_kint(&w, "attempt", q->attempt);
	jw_kint(&w, "offset", (int64_t)from);
	jw_kstr(&w, "kind", kind == STREAM_TEXT ? STR("text") : STR("thinking"));
	jw_kstr(&w, "text", str_n(text.p + from, text.n - from));
	jw_kstr(&w, "state", request_state_name(q->state));
	call_reply(c, &w);
}

static void attach_running(struct call *c, struct job *job, int64_t attempt, enum stream_kind kind, int64_t offset)
{
	const struct request *q = job_request(job);
	if (q->attempt != attempt) {
		superseded(c, q->attempt);
		return;
	}
	struct join *j = join_room(c->peer, q->conversation_id, q->session_id);
	if (j == NULL) {
		too_many_joins(c);
		return;
	}
	if (is_dropped(j, job)) {
		free(j->dropped);
		j->dropped = NULL;
	}
	struct str said = buf_str(&job_turn(job)->said[kind]);
	answer_delta(c, job_request_id(job), q, kind, str_n(said.p, (size_t)job_shown(job, kind)), offset);
}

static void attach_stored(struct store_op *op)
{
	struct cmd_stream_read *c = CONTAINER_OF(op, struct cmd_stream_read, op);
	const struct request *q = &c->job.request;
	if (op->err != OK) call_fail(c->call, op->err, &op->info, STR_NONE);
	else if (c->attempt != q->attempt) superseded(c->call, q->attempt);
	else answer_delta(c->call, c->job.request_id, q, c->kind, c->text, c->offset);
	store_op_release(op);
	free(c);
}

void verb_message_attach(struct call *c)
{
	struct errinfo info = {0};
	struct str id = STR_NONE, kind_name = STR("");
	int64_t attempt = 0, offset = 0;
	enum stream_kind kind;
	if (!json_want_str(c->in, "requestId", 0, &id, &info) ||
	    !json_want_int(c->in, "attempt", 0, 1, INT32_MAX, &attempt, &info) ||
	    !json_want_str(c->in, "kind", JSON_OPTIONAL, &kind_name, &info) ||
	    !json_want_int(c->in, "offset", JSON_OPTIONAL, 0, INT32_MAX, &offset, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return;
	}
	if (!read_kind(kind_name, &kind)) {
		(void)err_set(&info, ERR_BAD_FIELD, "\"kind\" must be \"text\" or \"thinking\"");
		call_fail(c, ERR_BAD_FIELD, &info, STR_NONE);
		return;
	}
	struct job *job = relay_find(work_relay(c->server->work), id);
	if (job != NULL && job_user(job) == c->user->user && job_request(job)->state == RQ_CLAIMED && c->peer != NULL) {
		attach_running(c, job, attempt, kind, offset);
		return;
	}
	struct cmd_stream_read *r = xcalloc(1, sizeof *r);
	store_op_init(&r->op, stream_read_run, attach_stored, c->principal, clock_wall_ms());
	r->user = c->user->user;
	r->request_id = id;
	r->attempt = attempt;
	r->kind = kind;
	r->offset = offset;
	r->call = c;
	store_read(c->server->store, &r->op);
}

/* ---- GET /api/v1/requests/{id}/stream --------------------------------------------------------------------------- */

static void follower_free(struct follower *f)
{
	if (f->listed) LIST_REMOVE(f, link);
	if (f->reading != NULL) f->reading->follower = NULL;
	free(f->request_id);
	free(f);
}

static void follower_gone(struct task *t) { follower_free(CONTAINER_OF(t, struct follower, task)); }

static void follower_end(struct follower *f)
{
	http_set_data(f->req, NULL);
	http_stream_end(f->req);
	follower_free(f);
}

static void follow(struct server *s, const struct delta *d)
{
	struct follower *f;
	LIST_FOREACH (f, &s->followers, link) {
		if ((f->attempt != d->attempt && f->attempt != 0) || f->kind != d->kind ||
		    !str_eq(str_c(f->request_id), job_request_id(d->job)))
			continue;
		f->attempt = d->attempt;
		int64_t end = d->offset + (int64_t)d->text.n;
		if (end <= f->offset) continue;
		size_t skip = (size_t)MAX(0, f->offset - d->offset);
		http_stream_write(f->req, str_n(d->text.p + skip, d->text.n - skip));
		f->offset = end;
	}
}

/* The attempt they follow is over; who waits for one that has not begun waits on while the request is open. */
static void end_followers(struct server *s, const struct job *job)
{
	bool is_open = request_is_open(job_request(job)->state);
	for (struct follower *f = LIST_FIRST(&s->followers), *next; f != NULL; f = next) {
		next = LIST_NEXT(f, link);
		if (is_open && f->attempt == 0) continue;
		if (str_eq(str_c(f->request_id), job_request_id(job))) follower_end(f);
	}
}

static void follow_stored(struct store_op *op)
{
	struct cmd_stream_read *c = CONTAINER_OF(op, struct cmd_stream_read, op);
	struct follower *f = c->follower;
	if (f != NULL) {
		f->reading = NULL;
		if (op->err != OK) {
			http_set_data(f->req, NULL);
			http_answer_error(f->req, op->err, &op->info);
			follower_free(f);
		} else {
			size_t from = MIN((size_t)f->offset, c->text.n);
			http_stream_begin(f->req, 200, "text/plain; charset=utf-8", NULL);
			if (from < c->text.n) http_stream_write(f->req, str_n(c->text.p + from, c->text.n - from));
			follower_end(f);
		}
	}
	store_op_release(op);
	free(c);
}

static int64_t query_int(struct http_req *r, const char *name)
{
	int64_t v;
	return str_to_int(http_query(r, name), &v) && v >= 0 ? v : 0;
}

void stream_kick(struct server *s, int64_t user, uint32_t principal)
{
	for (struct follower *f = LIST_FIRST(&s->followers), *next; f != NULL; f = next) {
		next = LIST_NEXT(f, link);
		if (f->user == user && (principal == 0 || f->principal == principal)) follower_end(f);
	}
}

void stream_http(struct server *s, struct http_req *r, struct live_user *u, uint32_t principal, struct str request_id)
{
	struct errinfo info = {0};
	enum stream_kind kind;
	if (!read_kind(http_query(r, "kind"), &kind)) {
		(void)err_set(&info, ERR_BAD_FIELD, "\"kind\" must be \"text\" or \"thinking\"");
		http_answer_error(r, ERR_BAD_FIELD, &info);
		return;
	}
	struct job *job = relay_find(work_relay(s->work), request_id);
	if (job != NULL && job_user(job) != u->user) job = NULL;
	struct follower *f = xcalloc(1, sizeof *f);
	f->task.gone = follower_gone;
	f->server = s;
	f->req = r;
	f->user = u->user;
	f->principal = principal;
	f->request_id = str_dup(request_id);
	f->attempt = query_int(r, "attempt");
	f->offset = query_int(r, "offset");
	f->kind = kind;
	http_set_data(r, &f->task);
	if (job != NULL && !request_is_open(job_request(job)->state)) job = NULL;
	bool runs = job != NULL && job_request(job)->state == RQ_CLAIMED;
	if (runs && f->attempt == 0) f->attempt = job_request(job)->attempt;
	if (job != NULL && f->attempt == (runs ? job_request(job)->attempt : 0)) {
		int64_t shown = runs ? job_shown(job, kind) : 0;
		f->listed = true;
		LIST_INSERT_HEAD(&s->followers, f, link);
		http_stream_begin(r, 200, "text/plain; charset=utf-8", NULL);
		if (f->offset < shown) {
			http_stream_write(r,
					  str_n(job_turn(job)->said[kind].p + f->offset, (size_t)(shown - f->offset)));
			f->offset = shown;
		}
		return;
	}
	struct cmd_stream_read *c = xcalloc(1, sizeof *c);
	store_op_init(&c->op, stream_read_run, follow_stored, principal, clock_wall_ms());
	c->user = u->user;
	c->request_id = arena_str(&c->op.arena, request_id);
	c->attempt = f->attempt;
	c->kind = kind;
	c->follower = f;
	f->reading = c;
	store_read(s->store, &c->op);
}
