/* auto:start, pause, resume, stop and state: an automatic run as devices ask for it and are told of it. What a run may do
 * is decided in device/automatic.c, inside the write transaction.
 *
 * Every committed change of a run is told as auto:state to the devices that joined the conversation, whoever made it: a
 * verb, an automatic message, a clear. Its time limit is watched here from the moment this daemon first sees the run (a
 * commit, a join, a question), and judged by the writer. */
#include "base/clock.h"
#include "device/automatic.h"
#include "server/call.h"
#include "server/stream.h"

/* A running run whose time is watched; once a second is enough. */
struct auto_watch {
	char *key; /* "<user number>/<session id>": two users may have sessions of one id */
	int64_t user, due_boot_ms;
	UT_hash_handle hh;
};

static struct run_clock clock_now(const struct server *s)
{
	return (struct run_clock){clock_wall_ms(), clock_boot_ms(), store_incarnation(s->store)};
}

/* ---- auto:state ------------------------------------------------------------------------------------------------- */

static void write_limits(struct jw *w, const struct run *r)
{
	jw_key(w, "limits");
	jw_obj(w);
	jw_kint(w, "maxMessages", r->max_messages);
	jw_kint(w, "maxMs", r->max_ms);
	jw_kstr(w, "priority", r->all ? STR("all") : STR("first"));
	jw_obj_end(w);
}

static void write_primary(struct jw *w, const struct session *in)
{
	jw_key(w, "primary");
	jw_obj(w);
	jw_key(w, "deviceId");
	if (in->primary.n > 0) jw_str(w, in->primary);
	else jw_null(w);
	jw_kint(w, "term", in->term);
	jw_obj_end(w);
}

/* The members of auto:state. A session that never had a run has the state "none" and no more. */
static void write_run(const struct server *s, struct jw *w, struct str session_id, const struct session *in,
		      const struct run *r)
{
	struct run_clock now = clock_now(s);
	jw_kstr(w, "sessionId", session_id);
	jw_kstr(w, "conversationId", in->conversation_id);
	jw_kstr(w, "state", run_state_name(r->state));
	write_primary(w, in);
	if (r->state == RUN_NONE) return;
	jw_kint(w, "run", r->number);
	jw_kstr(w, "mode", run_mode_name(r->mode));
	jw_kint(w, "sent", r->sent);
	write_limits(w, r);
	if (r->reason != REASON_NONE) jw_kstr(w, "reason", run_reason_name(r->reason));
	jw_ktime(w, "startedAt", r->started_ms);
	jw_kstr(w, "startedBy", r->started_by);
	jw_kint(w, "elapsedMs", run_elapsed(r, &now));
	if (r->answered.n > 0) jw_kstr(w, "answeredId", r->answered);
	if (r->last_message.n > 0) jw_kstr(w, "lastMessageId", r->last_message);
	jw_key(w, "params");
	if (r->params != NULL) jw_value(w, r->params);
	else jw_raw(w, STR("{}"));
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static void unwatch(struct server *s, struct auto_watch *a)
{
	HASH_DEL(s->auto_watches, a);
	free(a->key);
	free(a);
}

static void watch(struct server *s, int64_t user, struct str session_id, const struct run *r)
{
	struct run_clock now = clock_now(s);
	int64_t left = run_left_ms(r, &now);
	struct auto_watch *a;
	struct buf key = BUF_INIT(300);
	buf_addf(&key, "%lld/%.*s", (long long)user, STR_ARG(session_id));
	HASH_FIND(hh, s->auto_watches, key.p, key.n, a);
	if (left < 0) {
		if (a != NULL) unwatch(s, a);
	} else {
		if (a == NULL) {
			a = xcalloc(1, sizeof *a);
			a->key = str_dup(buf_str(&key));
			a->user = user;
			HASH_ADD_KEYPTR(hh, s->auto_watches, a->key, key.n, a);
		}
		a->due_boot_ms = now.boot_ms + left;
	}
	buf_release(&key);
}

void auto_session(struct server *s, int64_t user, const struct record *session, bool tell)
{
	struct arena arena = {0};
	struct session in;
	struct run r;
	struct json_doc *doc = NULL;
	if (session_read(&in, session, &arena) != OK || in.automatic.p == NULL ||
	    json_parse(in.automatic, &doc, NULL) != OK)
		goto out;
	run_read(&r, json_root(doc));
	watch(s, user, session->name, &r);
	if (!tell) goto out;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("auto:state"));
	write_run(s, &w, session->name, &in, &r);
	jw_obj_end(&w);
	struct frame *f = frame_take(&b);
	stream_tell(s, user, in.conversation_id, f);
	frame_unref(f);
out:
	json_free(doc);
	arena_clear(&arena);
}

static void expired(struct store_op *op)
{
	struct cmd_automatic *c = CONTAINER_OF(op, struct cmd_automatic, op);
	store_op_release(op);
	free(c);
}

void auto_expire(struct server *s, int64_t user, struct str session_id)
{
	if (s->stopping) return;
	struct cmd_automatic *c = xcalloc(1, sizeof *c);
	store_op_init(&c->op, cmd_automatic_run, expired, 0, clock_wall_ms());
	c->user = user;
	c->session_id = arena_str(&c->op.arena, session_id);
	c->action = AUTOMATIC_EXPIRE;
	c->limits = &s->config->limits;
	c->clock = clock_now(s);
	c->op.bytes = sizeof *c;
	store_submit(s->store, &c->op);
}

void auto_tick(struct server *s)
{
	int64_t now = clock_boot_ms();
	struct auto_watch *a, *next;
	HASH_ITER (hh, s->auto_watches, a, next) {
		if (now < a->due_boot_ms) continue;
		auto_expire(s, a->user, str_c(strchr(a->key, '/') + 1));
		unwatch(s, a);
	}
}

void auto_watches_free(struct server *s)
{
	struct auto_watch *a, *next;
	HASH_ITER (hh, s->auto_watches, a, next) unwatch(s, a);
}

/* ---- the verbs -------------------------------------------------------------------------------------------------- */

struct asking {
	struct cmd_automatic cmd;
	struct call *call;
	struct buf params;
};

static void asking_free(struct asking *a)
{
	buf_release(&a->params);
	store_op_release(&a->cmd.op);
	free(a);
}

/* What goes with a refusal besides its code. */
static void write_refusal(struct jw *w, const struct cmd_automatic *c, const struct run *r)
{
	switch (c->op.err) {
	case ERR_SESSION_KILLED: jw_kstr(w, "sessionId", c->session.next_id); break;
	case ERR_NOT_PRIMARY:
		jw_kstr(w, "deviceId", c->session.primary);
		jw_kint(w, "term", c->session.term);
		break;
	case ERR_AUTO_STOPPED:
	case ERR_BAD_STATE:
		jw_kstr(w, "state", run_state_name(r->state));
		if (r->reason != REASON_NONE) jw_kstr(w, "reason", run_reason_name(r->reason));
		jw_kint(w, "sent", r->sent);
		break;
	default: break;
	}
}

static void asking_done(struct store_op *op)
{
	struct asking *a = op->ctx;
	struct cmd_automatic *c = &a->cmd;
	struct server *s = a->call->server;
	struct json_doc *doc = NULL;
	struct run r;
	if (c->run.p != NULL && json_parse(c->run, &doc, NULL) != OK) doc = NULL;
	run_read(&r, json_root(doc));
	if (op->err != OK) {
		struct buf extra = BUF_INIT(1000);
		struct jw w = JW(&extra);
		write_refusal(&w, c, &r);
		call_fail(a->call, op->err, &op->info, buf_str(&extra));
		buf_release(&extra);
	} else {
		struct jw w = call_begin(a->call, "auto:state");
		write_run(s, &w, c->session_id, &c->session, &r);
		call_reply(a->call, &w);
		if (!s->stopping) auto_session(s, c->user, &c->record, false);
	}
	json_free(doc);
	asking_free(a);
}

/* "limits": {maxMessages, maxMs, priority}. What is left out is the mode's own. */
static enum err read_limits(struct cmd_automatic *c, const struct json *in, struct errinfo *info)
{
	enum json_type t = json_type(in);
	struct str priority = STR("first");
	const struct limits *l = c->limits;
	run_defaults(c->mode, &c->max_messages, &c->max_ms);
	if (t == JSON_NONE || t == JSON_NULL) return OK;
	if (t != JSON_OBJ) return err_set(info, ERR_BAD_FIELD, "\"limits\" must be an object");
	if (!json_want_int(in, "maxMessages", JSON_OPTIONAL, 1, INT64_MAX, &c->max_messages, info) ||
	    !json_want_int(in, "maxMs", JSON_OPTIONAL, 1, INT64_MAX, &c->max_ms, info) ||
	    !json_want_str(in, "priority", JSON_OPTIONAL, &priority, info))
		return info->err;
	if (c->max_messages > l->auto_messages)
		return err_set(info, ERR_TOO_LARGE, "\"maxMessages\" is %lld; autoMessages allows %lld",
			       (long long)c->max_messages, (long long)l->auto_messages);
	if (c->max_ms > l->auto_ms)
		return err_set(info, ERR_TOO_LARGE, "\"maxMs\" is %lld; autoMs allows %lld", (long long)c->max_ms,
			       (long long)l->auto_ms);
	c->all = str_eq(priority, STR("all"));
	if (!c->all && !str_eq(priority, STR("first")))
		return err_set(info, ERR_BAD_FIELD, "\"priority\" must be first or all");
	if (c->all && c->mode != RUN_HYBRID)
		return err_set(info, ERR_BAD_FIELD, "\"priority\" belongs to the mode hybrid");
	return OK;
}

/* Stored, they stand deeper than they came. */
#define PARAMS_DEPTH 32

static bool is_deeper(const struct json *v, int than)
{
	if (json_type(v) != JSON_OBJ && json_type(v) != JSON_ARR) return false;
	if (than == 0) return true;
	for (struct json_iter it = json_iter(v); json_next(&it);)
		if (is_deeper(it.val, than - 1)) return true;
	return false;
}

static enum err read_start(struct asking *a, const struct json *in, struct errinfo *info)
{
	struct cmd_automatic *c = &a->cmd;
	struct str mode = run_mode_name(RUN_SMART_STOP);
	const struct json *params = json_get(in, "params");
	if (!json_want_str(in, "mode", JSON_OPTIONAL, &mode, info)) return info->err;
	if (!run_mode_find(mode, &c->mode))
		return err_set(info, ERR_BAD_FIELD,
			       "\"mode\" must be smart_stop, until_completion, time, messages or hybrid");
	if (json_type(params) != JSON_NONE && json_type(params) != JSON_NULL) {
		if (json_type(params) != JSON_OBJ) return err_set(info, ERR_BAD_FIELD, "\"params\" must be an object");
		if (is_deeper(params, PARAMS_DEPTH))
			return err_set(info, ERR_BAD_FIELD, "\"params\" may be nested %d deep", PARAMS_DEPTH);
		json_write(&a->params, params);
		if ((int64_t)a->params.n > c->limits->auto_params_bytes)
			return err_set(info, ERR_TOO_LARGE, "\"params\" has %zu bytes; autoParamsBytes allows %lld",
				       a->params.n, (long long)c->limits->auto_params_bytes);
		c->params = buf_str(&a->params);
	}
	return read_limits(c, json_get(in, "limits"), info);
}

/* "reason" of a pause or a stop, and the "term" with which a driver asks. */
static enum err read_end(struct cmd_automatic *c, const struct json *in, struct errinfo *info)
{
	struct str reason = run_reason_name(REASON_MANUAL);
	c->term = -1;
	if (!json_want_str(in, "reason", JSON_OPTIONAL, &reason, info) ||
	    !json_want_int(in, "term", JSON_OPTIONAL, 0, INT64_MAX, &c->term, info))
		return info->err;
	c->is_driver = c->term >= 0;
	if (!run_reason_find(reason, &c->reason) || !run_reason_of_device(c->reason))
		return err_set(info, ERR_BAD_FIELD,
			       "\"reason\" must be manual, message_limit, time_limit, completion, error, showstopper, "
			       "stuck or low_confidence");
	return OK;
}

static void ask(struct call *call, enum automatic_action action)
{
	struct server *s = call->server;
	struct errinfo info = {0};
	bool is_write = action != AUTOMATIC_LOOK;
	if (is_write && call_refuse_busy(call)) return;
	struct asking *a = xcalloc(1, sizeof *a);
	struct cmd_automatic *c = &a->cmd;
	struct str session_id = STR_NONE;
	enum err e = OK;
	a->call = call;
	buf_init(&a->params, BUF_NO_LIMIT);
	store_op_init(&c->op, cmd_automatic_run, asking_done, call->principal, clock_wall_ms());
	c->op.ctx = a;
	c->op.repeatable = true;
	c->user = call->user->user;
	c->action = action;
	c->limits = &s->config->limits;
	c->clock = clock_now(s);
	if (!json_want_str(call->in, "sessionId", 0, &session_id, &info)) e = info.err;
	else if (!name_is_valid(session_id))
		e = err_set(&info, ERR_BAD_FIELD, "\"sessionId\" must be 1 to %d letters, digits or ._-:@+",
			    NAME_MAX_LEN);
	if (e == OK && action == AUTOMATIC_START) e = read_start(a, call->in, &info);
	if (e == OK && (action == AUTOMATIC_PAUSE || action == AUTOMATIC_STOP)) e = read_end(c, call->in, &info);
	if (e != OK) {
		call_fail(call, e, &info, STR_NONE);
		asking_free(a);
		return;
	}
	c->session_id = arena_str(&c->op.arena, session_id);
	c->op.bytes = sizeof *a + a->params.n;
	if (is_write) store_submit(s->store, &c->op);
	else store_read(s->store, &c->op);
}

void verb_auto_start(struct call *c) { ask(c, AUTOMATIC_START); }
void verb_auto_pause(struct call *c) { ask(c, AUTOMATIC_PAUSE); }
void verb_auto_resume(struct call *c) { ask(c, AUTOMATIC_RESUME); }
void verb_auto_stop(struct call *c) { ask(c, AUTOMATIC_STOP); }
void verb_auto_state(struct call *c) { ask(c, AUTOMATIC_LOOK); }
