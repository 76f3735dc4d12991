/* message:send, and what is asked of requests: stop, retry, get. */
#include "base/clock.h"
#include "host/fault.h"
#include "server/call.h"
#include "server/stream.h"

struct sending {
	struct cmd_send cmd;
	struct server *server;
	struct call *call; /* NULL: it was answered */
	struct json_doc *doc;
	int reserved; /* the relay's handle of a slot that is held, -1 none */
	struct resolved model;
	struct errinfo no_default;
	struct buf parts, params, fallback;
	bool may_look; /* the providers may be asked for their models, and then the message is sent anew */
};

static void write_ack(struct jw *w, const struct cmd_send *m)
{
	char tag[TAG_CAP];
	jw_kstr(w, "messageId", m->message_id);
	jw_kbool(w, "duplicate", m->duplicate);
	jw_kstr(w, "changeTag", str_n(tag, tag_format(m->tag_seq, tag)));
	if (m->out_session_id.p != NULL) jw_kstr(w, "sessionId", m->out_session_id);
	if (m->ord != 0) jw_kint(w, "ord", m->ord);
	if (m->at_ms != 0) jw_ktime(w, "at", m->at_ms);
	if (m->has_request) jw_kstr(w, "requestId", m->job.request_id);
}

static void sending_free(struct sending *m)
{
	buf_release(&m->parts);
	buf_release(&m->params);
	buf_release(&m->fallback);
	json_free(m->doc);
	store_op_release(&m->cmd.op);
	free(m);
}

static void ack(struct sending *m)
{
	struct jw w = call_begin(m->call, "message:ack");
	write_ack(&w, &m->cmd);
	call_reply(m->call, &w);
	m->call = NULL;
}

/* The planted fault: an ack that says what the commit will probably say. */
static void early_ack(struct sending *m)
{
	struct id id = request_id_of(m->cmd.user_id, m->cmd.message_id);
	m->cmd.has_request = m->cmd.wants_answer;
	m->cmd.job.request_id = id_str(&id);
	ack(m);
}

/* What goes with a refusal besides its code, as members of the error. */
static void write_refusal(struct jw *w, const struct cmd_send *m)
{
	const struct refusal *r = &m->refusal;
	switch (m->op.err) {
	case ERR_SESSION_KILLED:
		if (m->out_session_id.p != NULL) jw_kstr(w, "sessionId", m->out_session_id);
		break;
	case ERR_SESSION_LOCKED:
		jw_kstr(w, "holder", r->device_id);
		jw_ktime(w, "expiresAt", r->expires_ms);
		break;
	case ERR_NOT_PRIMARY:
		jw_kstr(w, "deviceId", r->device_id);
		jw_kint(w, "term", r->term);
		break;
	case ERR_AUTO_STOPPED:
		jw_kstr(w, "state", run_state_name(r->run.state));
		if (r->run.reason != REASON_NONE) jw_kstr(w, "reason", run_reason_name(r->run.reason));
		jw_kint(w, "sent", r->run.sent);
		break;
	case ERR_ANSWERED:
		if (r->run.message_id.n > 0) jw_kstr(w, "messageId", r->run.message_id);
		break;
	case ERR_BUDGET:
		if (r->budget.provider.p != NULL) jw_kstr(w, "provider", r->budget.provider);
		jw_kint(w, "limitTicks", r->budget.limit_ticks);
		jw_kint(w, "spentTicks", r->budget.spent_ticks);
		jw_ktime(w, "renewsAt", r->budget.renews_ms);
		break;
	case ERR_DUPLICATE:
		jw_kstr(w, "messageId", r->message_id);
		jw_kstr(w, "deviceId", r->device_id);
		jw_kint(w, "ageMs", r->age_ms);
		break;
	default: break;
	}
}

/* The device that said it first hears that another said it too. */
static void tell_first_sender(struct call *c, const struct cmd_send *m)
{
	const struct refusal *r = &m->refusal;
	struct peer *first;
	HASH_FIND(hh, c->user->peers, r->device_id.p, r->device_id.n, first);
	if (first == NULL) return;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("message:duplicate"));
	jw_kstr(&w, "sessionId", m->out_session_id);
	jw_kstr(&w, "messageId", r->message_id);
	jw_kstr(&w, "deviceId", str_c(c->device_id));
	jw_kint(&w, "ageMs", r->age_ms);
	jw_obj_end(&w);
	struct frame *f = frame_take(&b);
	peer_send(first, f);
	frame_unref(f);
}

static void send_failed(struct sending *m)
{
	if (m->cmd.op.err == ERR_DUPLICATE) {
		m->server->nduplicates++;
		tell_first_sender(m->call, &m->cmd);
	}
	struct buf extra = BUF_INIT(1000);
	struct jw w = JW(&extra);
	write_refusal(&w, &m->cmd);
	call_fail(m->call, m->cmd.op.err, &m->cmd.op.info, buf_str(&extra));
	buf_release(&extra);
}

static void looked(void *ctx);

/* A model that nobody serves may be one its provider got since it told its models; then it is asked once more, and the
 * message is sent anew. */
static bool look_first(struct sending *m)
{
	struct call *c = m->call;
	if (m->cmd.op.err != ERR_MODEL_UNKNOWN || !m->may_look || c == NULL || m->server->stopping) return false;
	if (!catalog_look(m->server->catalog, CATALOG_AGE_MS, looked, c)) return false;
	if (m->doc != NULL) c->doc = m->doc;
	m->doc = NULL;
	m->call = NULL;
	return true;
}

static void send_done(struct store_op *op)
{
	struct sending *m = op->ctx;
	struct server *s = m->server;
	(void)look_first(m);
	if (op->err == ERR_AUTO_STOPPED && m->cmd.refusal.run.state == RUN_RUNNING && m->call != NULL)
		auto_expire(s, m->cmd.user, m->cmd.session_id.p != NULL ? m->cmd.session_id : m->cmd.out_session_id);
	if (op->err == OK && m->call != NULL && !m->cmd.automatic && !m->cmd.duplicate)
		session_typed(m->call, m->cmd.out_session_id);
	/* The commit is on disk: the ack first, then the provider. */
	if (m->call != NULL && op->err == OK) ack(m);
	else if (m->call != NULL) send_failed(m);
	if (!s->stopping) {
		if (op->err == OK && m->cmd.has_request && !m->cmd.duplicate) {
			work_admit(s->work, &m->cmd.job, m->reserved);
		} else if (m->reserved >= 0) {
			relay_unreserve(work_relay(s->work), m->reserved, work_now(s->work));
			work_kick(s->work);
		}
	}
	sending_free(m);
}

/* The parts of a message: an array of objects, re-written so that the same content has the same bytes. */
static enum err read_parts(struct sending *m, const struct json *parts, struct errinfo *info)
{
	enum json_type t = json_type(parts);
	if (t == JSON_NONE || t == JSON_NULL) return OK;
	if (t != JSON_ARR || json_len(parts) > 64)
		return err_set(info, ERR_BAD_FIELD, "\"parts\" must be an array of at most 64 objects");
	for (struct json_iter it = json_iter(parts); json_next(&it);)
		if (json_type(it.val) != JSON_OBJ) return err_set(info, ERR_BAD_FIELD, "each part must be an object");
	json_write(&m->parts, parts);
	m->cmd.parts = buf_str(&m->parts);
	return OK;
}

/* "fallback": models to go to when the first one cannot answer, in order. */
static enum err read_fallback(struct sending *m, const struct json *list, struct errinfo *info)
{
	enum json_type t = json_type(list);
	struct resolved model;
	struct str name;
	if (t == JSON_NONE || t == JSON_NULL) return OK;
	if (t != JSON_ARR || json_len(list) > REQUEST_FALLBACKS_MAX)
		return err_set(info, ERR_BAD_FIELD, "\"fallback\" must be a list of at most %d models",
			       REQUEST_FALLBACKS_MAX);
	struct jw w = JW(&m->fallback);
	jw_arr(&w);
	for (struct json_iter it = json_iter(list); json_next(&it);) {
		if (!json_str(it.val, &name) || name.n == 0 || name.n > 200)
			return err_set(info, ERR_BAD_FIELD, "each model of \"fallback\" must have 1 to 200 bytes");
		enum err e = catalog_resolve(m->server->catalog, name, &model, info);
		if (e != OK) return e;
		jw_str(&w, str_c(model.id));
	}
	jw_arr_end(&w);
	m->cmd.fallback = json_len(list) > 0 ? buf_str(&m->fallback) : STR("");
	return OK;
}

/* A name means what it means now; the request stays with that. Without one it is the default model's, unless defaults of
 * the person's say something else (relay/defaults.h). */
static enum err read_model(struct sending *m, const struct json *req, struct errinfo *info)
{
	struct wanted *q = &m->cmd.wanted;
	struct str asked = STR_NONE;
	if (!json_want_str(req, "model", JSON_OPTIONAL, &asked, info)) return info->err;
	if (asked.p != NULL && (asked.n == 0 || asked.n > 200))
		return err_set(info, ERR_BAD_FIELD, "\"model\" must have 1 to 200 bytes");
	q->is_default = asked.p == NULL;
	enum err e = catalog_resolve(m->server->catalog, asked, &m->model, q->is_default ? &m->no_default : info);
	q->model = e == OK ? str_c(m->model.id) : STR("");
	q->no_default = m->no_default.text;
	if (asked.p == NULL) return OK;
	/* One that nobody serves fails on its way, where the next one takes over. */
	if (e == ERR_MODEL_UNKNOWN && m->cmd.fallback.n > 0) {
		q->model = asked;
		return OK;
	}
	if (e == OK && !str_eq(asked, q->model)) {
		q->asked = asked;
		q->model_by = str_c(resolved_by_name(m->model.by));
	}
	return e;
}

/* "request": null or absent asks for no answer; an object asks a model. */
static enum err read_request(struct sending *m, const struct json *req, struct errinfo *info)
{
	enum json_type t = json_type(req);
	if (t == JSON_NONE || t == JSON_NULL) return OK;
	if (t != JSON_OBJ) return err_set(info, ERR_BAD_FIELD, "\"request\" must be an object or null");
	struct wanted *q = &m->cmd.wanted;
	m->cmd.wants_answer = true;
	m->cmd.fallback = STR("");
	q->params_bytes = m->server->config->limits.params_bytes;
	enum err e = read_fallback(m, json_get(req, "fallback"), info);
	if (e != OK) return e;
	e = read_model(m, req, info);
	if (e != OK) return e;
	if (!json_want_str(req, "preset", JSON_OPTIONAL, &m->cmd.wanted.preset, info)) return info->err;
	int64_t priority = PRIORITY_NORMAL;
	if (!json_want_int(req, "priority", JSON_OPTIONAL, PRIORITY_HIGH, PRIORITY_LOW, &priority, info))
		return info->err;
	m->cmd.priority = (int)priority;
	const struct json *params = json_get(req, "params");
	if (json_type(params) != JSON_NONE && json_type(params) != JSON_NULL) {
		if (json_type(params) != JSON_OBJ) return err_set(info, ERR_BAD_FIELD, "\"params\" must be an object");
		json_write(&m->params, params);
		if ((int64_t)m->params.n > q->params_bytes)
			return err_set(info, ERR_TOO_LARGE, "\"params\" has %zu bytes; paramsBytes allows %lld",
				       m->params.n, (long long)q->params_bytes);
	}
	m->cmd.wanted.params = buf_str(&m->params);
	return OK;
}

static enum err read_send(struct sending *m, const struct json *in, struct errinfo *info)
{
	struct cmd_send *c = &m->cmd;
	const struct limits *l = &m->server->config->limits;
	if (!json_want_str(in, "messageId", 0, &c->message_id, info) ||
	    !json_want_str(in, "conversationId", JSON_OPTIONAL, &c->conversation_id, info) ||
	    !json_want_str(in, "sessionId", JSON_OPTIONAL, &c->session_id, info) ||
	    !json_want_str(in, "text", 0, &c->text, info) ||
	    !json_want_str(in, "parent", JSON_OPTIONAL, &c->parent, info) ||
	    !json_want_bool(in, "auto", JSON_OPTIONAL, &c->automatic, info) ||
	    !json_want_int(in, "term", JSON_OPTIONAL, 0, INT64_MAX, &c->term, info) ||
	    !json_want_bool(in, "force", JSON_OPTIONAL, &c->force, info))
		return info->err;
	if (c->conversation_id.p == NULL && c->session_id.p == NULL)
		return err_set(info, ERR_BAD_FIELD, "name a \"conversationId\" or a \"sessionId\"");
	struct str names[] = {c->message_id, c->conversation_id, c->session_id, c->parent};
	static const char *const keys[] = {"messageId", "conversationId", "sessionId", "parent"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].p != NULL && !name_is_valid(names[i]))
			return err_set(info, ERR_BAD_FIELD, "\"%s\" must be 1 to %d letters, digits or ._-:@+", keys[i],
				       NAME_MAX_LEN);
	if ((int64_t)c->text.n > l->text_bytes)
		return err_set(info, ERR_TOO_LARGE, "the text has %zu bytes; textBytes allows %lld", c->text.n,
			       (long long)l->text_bytes);
	enum err e = read_parts(m, json_get(in, "parts"), info);
	if (e == OK && (int64_t)(c->text.n + c->parts.n) > l->record_bytes)
		e = err_set(info, ERR_TOO_LARGE, "text and parts have %zu bytes; recordBytes allows %lld",
			    c->text.n + c->parts.n, (long long)l->record_bytes);
	if (e == OK && c->text.n == 0 && c->parts.n <= 2) e = err_set(info, ERR_BAD_FIELD, "the message is empty");
	return e == OK ? read_request(m, json_get(in, "request"), info) : e;
}

static void send_message(struct call *c, bool may_look)
{
	struct server *s = c->server;
	struct errinfo info = {0};
	if (call_refuse_busy(c)) return;
	struct sending *m = xcalloc(1, sizeof *m);
	m->server = s;
	m->call = c;
	m->may_look = may_look;
	m->cmd.book = &s->book;
	m->cmd.budgets = &s->budgets;
	m->reserved = -1;
	buf_init(&m->parts, BUF_NO_LIMIT);
	buf_init(&m->params, BUF_NO_LIMIT);
	buf_init(&m->fallback, BUF_NO_LIMIT);
	store_op_init(&m->cmd.op, cmd_send_run, send_done, c->principal, clock_wall_ms());
	m->cmd.op.ctx = m;
	m->cmd.op.repeatable = true;
	m->cmd.user = c->user->user;
	m->cmd.user_id = c->user->id;
	enum err e = read_send(m, c->in, &info);
	if (e == ERR_MODEL_UNKNOWN && may_look && catalog_look(s->catalog, CATALOG_AGE_MS, looked, c)) {
		sending_free(m);
		return;
	}
	if (e != OK) {
		call_fail(c, e, &info, STR_NONE);
		sending_free(m);
		return;
	}
	m->cmd.incarnation = store_incarnation(s->store);
	m->cmd.boot_ms = clock_boot_ms();
	m->cmd.net = s->duplicates;
	m->cmd.duplicate_ms = s->config->limits.duplicate_ms;
	m->cmd.limits = &s->config->limits;
	m->cmd.context_bytes = s->config->limits.context_bytes;
	m->cmd.open_max = s->config->limits.open_requests;
	m->cmd.op.bytes = sizeof *m + m->cmd.text.n + m->parts.n + m->params.n;
	if (m->cmd.wants_answer && m->cmd.conversation_id.p != NULL)
		m->cmd.claim = relay_reserve(work_relay(s->work), m->cmd.conversation_id, m->cmd.wanted.model,
					     work_now(s->work), &m->reserved, &m->cmd.claim_tokens);
	m->doc = c->doc; /* the command's strings are views of it */
	c->doc = NULL;
	if (fault_is("ROOST_TEST_EARLY_ACK", "1")) early_ack(m);
	store_submit(s->store, &m->cmd.op);
}

static void looked(void *ctx) { send_message(ctx, false); }

void verb_message_send(struct call *c) { send_message(c, true); }

/* ---- request:get ------------------------------------------------------------------------------------------------ */

struct asking {
	struct cmd_request_get cmd;
	struct call *call;
	bool stop; /* asked in order to stop it */
};

static void reply_state(struct call *c, const struct job_info *info)
{
	struct jw w = call_begin(c, "request:state");
	write_request_state(c->server, &w, info);
	call_reply(c, &w);
}

/* A request that the relay does not know but the disk has open: told to the relay, then stopped there. */
static void stop_unknown(struct call *c, const struct job_info *info)
{
	struct work *w = c->server->work;
	work_admit(w, info, -1);
	if (relay_find(work_relay(w), info->request_id) == NULL) {
		reply_state(c, info);
		return;
	}
	stream_stopped_call(c, info->request_id);
	(void)relay_stop(work_relay(w), info->request_id, work_now(w));
	work_kick(w);
}

static void asking_done(struct store_op *op)
{
	struct asking *a = op->ctx;
	struct call *c = a->call;
	if (op->err != OK) call_fail(c, op->err, &op->info, STR_NONE);
	else if (a->stop && request_is_open(a->cmd.job.request.state)) stop_unknown(c, &a->cmd.job);
	else reply_state(c, &a->cmd.job);
	store_op_release(op);
	free(a);
}

static void ask(struct call *c, struct str id, bool stop)
{
	struct asking *a = xcalloc(1, sizeof *a);
	a->call = c;
	a->stop = stop;
	a->cmd.user = c->user->user;
	store_op_init(&a->cmd.op, cmd_request_get_run, asking_done, c->principal, clock_wall_ms());
	a->cmd.request_id = arena_str(&a->cmd.op.arena, id);
	a->cmd.op.ctx = a;
	store_read(c->server->store, &a->cmd.op);
}

static bool want_request_id(struct call *c, struct str *out)
{
	struct errinfo info = {0};
	if (!json_want_str(c->in, "requestId", 0, out, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return false;
	}
	return true;
}

void verb_request_get(struct call *c)
{
	struct str id;
	if (want_request_id(c, &id)) ask(c, id, false);
}

/* ---- request:stop ----------------------------------------------------------------------------------------------- */

/* Stops what runs or waits in a session; the answer counts them. */
static void stop_session(struct call *c, struct str session, struct str conversation)
{
	struct relay *r = work_relay(c->server->work);
	size_t n = relay_stop_session(r, c->user->user, session, conversation, work_now(c->server->work));
	work_kick(c->server->work);
	struct jw w = call_begin(c, "request:stopped");
	jw_kint(&w, "stopped", (int64_t)n);
	call_reply(c, &w);
}

void verb_request_stop(struct call *c)
{
	struct errinfo info = {0};
	struct str id = STR_NONE, session = STR_NONE, conversation = STR_NONE;
	if (!json_want_str(c->in, "requestId", JSON_OPTIONAL, &id, &info) ||
	    !json_want_str(c->in, "sessionId", JSON_OPTIONAL, &session, &info) ||
	    !json_want_str(c->in, "conversationId", JSON_OPTIONAL, &conversation, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return;
	}
	if (id.p == NULL && session.p == NULL && conversation.p == NULL) {
		(void)err_set(&info, ERR_BAD_FIELD, "name a \"requestId\", a \"sessionId\" or a \"conversationId\"");
		call_fail(c, ERR_BAD_FIELD, &info, STR_NONE);
		return;
	}
	if (id.p == NULL) {
		stop_session(c, session, conversation);
		return;
	}
	struct relay *r = work_relay(c->server->work);
	struct job *j = relay_find(r, id);
	if (j == NULL || job_user(j) != c->user->user) {
		ask(c, id, true);
		return;
	}
	stream_stopped_call(c, id);
	(void)relay_stop(r, id, work_now(c->server->work));
	work_kick(c->server->work);
}

/* ---- request:retry ---------------------------------------------------------------------------------------------- */

struct retrying {
	struct cmd_retry cmd;
	struct call *call;
};

static void retry_done(struct store_op *op)
{
	struct retrying *a = op->ctx;
	struct call *c = a->call;
	struct server *s = c->server;
	if (op->err == ERR_SESSION_KILLED) {
		struct buf extra = BUF_INIT(1000);
		struct jw w = JW(&extra);
		jw_kstr(&w, "sessionId", a->cmd.next_id);
		call_fail(c, op->err, &op->info, buf_str(&extra));
		buf_release(&extra);
	} else if (op->err != OK) {
		call_fail(c, op->err, &op->info, STR_NONE);
	} else {
		reply_state(c, &a->cmd.job);
		if (!s->stopping) work_admit(s->work, &a->cmd.job, -1);
	}
	store_op_release(op);
	free(a);
}

void verb_request_retry(struct call *c)
{
	struct str id;
	if (!want_request_id(c, &id) || call_refuse_busy(c)) return;
	struct retrying *a = xcalloc(1, sizeof *a);
	a->call = c;
	a->cmd.user = c->user->user;
	store_op_init(&a->cmd.op, cmd_retry_run, retry_done, 0, clock_wall_ms());
	a->cmd.request_id = arena_str(&a->cmd.op.arena, id);
	a->cmd.op.ctx = a;
	a->cmd.op.bytes = sizeof *a;
	store_submit(c->server->store, &a->cmd.op);
}
