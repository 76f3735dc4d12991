#include "relay/request.h"

#include <stdio.h>

#include "base/clock.h"

static const struct str state_names[] = {STR_INIT(""),         STR_INIT("queued"), STR_INIT("claimed"),
					 STR_INIT("retrying"), STR_INIT("done"),   STR_INIT("failed"),
					 STR_INIT("stopped")};

struct str request_state_name(enum request_state s) { return state_names[s]; }

struct id request_id_of(struct str user_id, struct str message_id)
{
	char label[64];
	(void)snprintf(label, sizeof label, "request.%.*s", (int)MIN(user_id.n, (size_t)40), user_id.p);
	return id_derive(message_id, label);
}

static enum request_state state_of(struct str name)
{
	for (size_t i = 1; i < ARRAY_LEN(state_names); i++)
		if (str_eq(name, state_names[i])) return (enum request_state)i;
	return RQ_NONE;
}

static struct str get_str(const struct json *o, const char *key, struct arena *arena)
{
	struct str s = STR_NONE;
	return json_str(json_get(o, key), &s) ? arena_str(arena, s) : STR("");
}

static int64_t get_int(const struct json *o, const char *key, int64_t or)
{
	int64_t v;
	return json_int(json_get(o, key), &v) ? v : or ;
}

static int64_t get_time(const struct json *o, const char *key)
{
	struct str s;
	int64_t ms;
	return json_str(json_get(o, key), &s) && time_parse(s, &ms) ? ms : 0;
}

static struct str get_raw(const struct json *o, const char *key, enum json_type type, struct arena *arena)
{
	const struct json *v = json_get(o, key);
	return json_type(v) == type ? json_text(arena, v) : STR("");
}

/* Sets `serving`; a step beyond the list is the last one's. */
static void set_serving(struct request *q, const struct json *fallback, struct arena *arena)
{
	int64_t i = 0;
	struct str s;
	q->serving = q->model;
	for (struct json_iter it = json_iter(fallback); i < q->step && json_next(&it); i++)
		if (json_str(it.val, &s)) q->serving = arena_str(arena, s);
}

bool request_has_fallback(const struct request *q)
{
	struct json_doc *doc = NULL;
	if (q->fallback.n == 0 || json_parse(q->fallback, &doc, NULL) != OK) return false;
	bool more = q->step < (int64_t)json_len(json_root(doc));
	json_free(doc);
	return more;
}

void request_fall_back(struct request *q, struct arena *arena)
{
	struct json_doc *doc = NULL;
	if (json_parse(q->fallback, &doc, NULL) != OK) return;
	q->step++;
	set_serving(q, json_root(doc), arena);
	json_free(doc);
}

struct str pacing_name(int why)
{
	static const struct str names[] = {STR_INIT(""),       STR_INIT("circuit"),      STR_INIT("requests"),
					   STR_INIT("tokens"), STR_INIT("input_tokens"), STR_INIT("output_tokens")};
	return names[why];
}

static void get_usage(const struct json *o, struct call_usage *out)
{
	*out = USAGE_UNKNOWN;
	out->input_tokens = get_int(o, "inputTokens", -1);
	out->output_tokens = get_int(o, "outputTokens", -1);
	out->thinking_tokens = get_int(o, "thinkingTokens", -1);
	out->cache_read_tokens = get_int(o, "cacheReadTokens", -1);
	out->cache_write_tokens = get_int(o, "cacheWriteTokens", -1);
	out->cost_ticks = get_int(o, "costTicks", -1);
	(void)json_bool(json_get(o, "estimated"), &out->estimated);
	(void)json_bool(json_get(o, "billed"), &out->is_billed);
}

void request_write_usage(struct jw *w, const struct call_usage *u)
{
	const struct {
		const char *key;
		int64_t n;
	} rows[] = {{"inputTokens", u->input_tokens},
		    {"outputTokens", u->output_tokens},
		    {"thinkingTokens", u->thinking_tokens},
		    {"cacheReadTokens", u->cache_read_tokens},
		    {"cacheWriteTokens", u->cache_write_tokens},
		    {"costTicks", u->cost_ticks}};
	if (u->input_tokens < 0 && u->output_tokens < 0) return;
	jw_key(w, "usage");
	jw_obj(w);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].n >= 0) jw_kint(w, rows[i].key, rows[i].n);
	jw_kbool(w, "estimated", u->estimated);
	if (u->is_billed) jw_kbool(w, "billed", true);
	jw_obj_end(w);
}

static void get_cost(const struct json *o, struct request *q)
{
	q->cost_ticks = get_int(o, "ticks", -1);
	(void)json_bool(json_get(o, "reported"), &q->is_billed);
	(void)json_bool(json_get(o, "partial"), &q->is_cost_partial);
}

void request_write_cost(struct jw *w, const struct request *q)
{
	if (q->cost_ticks < 0) return;
	jw_key(w, "cost");
	jw_obj(w);
	jw_kint(w, "ticks", q->cost_ticks);
	jw_kbool(w, "reported", q->is_billed);
	if (q->is_cost_partial) jw_kbool(w, "partial", true);
	jw_obj_end(w);
}

void request_add_usage(struct request *q, const struct call_usage *u)
{
	bool had_none = q->usage.input_tokens < 0 && q->usage.output_tokens < 0;
	/* As long as no cost is known, what the attempt before has used had none either. */
	bool is_first = had_none && q->cost_ticks < 0;
	if (u->cost_ticks < 0) {
		q->is_cost_partial |= q->cost_ticks >= 0;
	} else {
		q->is_cost_partial |= q->cost_ticks < 0 && !is_first;
		q->is_billed = u->is_billed && (is_first || q->is_billed);
		if (__builtin_add_overflow(MAX(q->cost_ticks, 0), u->cost_ticks, &q->cost_ticks))
			q->cost_ticks = INT64_MAX;
	}
	q->usage = *u;
}

enum err request_read(struct request *q, const struct record *r, struct arena *arena)
{
	struct json_doc *doc = NULL;
	if (json_parse(r->fields, &doc, NULL) != OK) return ERR_CORRUPT;
	const struct json *o = json_root(doc), *err = json_get(o, "error");
	*q = (struct request){
		.conversation_id = get_str(o, "conversationId", arena),
		.session_id = get_str(o, "sessionId", arena),
		.message_id = get_str(o, "messageId", arena),
		.reply_id = get_str(o, "replyId", arena),
		.device_id = get_str(o, "deviceId", arena),
		.state = state_of(get_str(o, "state", arena)),
		.attempt = get_int(o, "attempt", 0),
		.base = get_int(o, "attemptBase", 0),
		.owner = get_int(o, "owner", 0),
		.priority = (int)get_int(o, "priority", PRIORITY_NORMAL),
		.model = get_str(o, "model", arena),
		.asked = get_str(o, "modelAsked", arena),
		.model_by = get_str(o, "modelBy", arena),
		.preset = get_str(o, "preset", arena),
		.params = get_raw(o, "params", JSON_OBJ, arena),
		.fallback = get_raw(o, "fallback", JSON_ARR, arena),
		.step = get_int(o, "fallbackStep", 0),
		.failing_ms = get_time(o, "failingSince"),
		.queued_ms = get_time(o, "queuedAt"),
		.last_started_ms = get_time(o, "lastStarted"),
		.last_completed_ms = get_time(o, "lastCompleted"),
		.next_try_ms = get_time(o, "nextTryAt"),
		.error_code = get_str(err, "code", arena),
		.error_text = get_str(err, "message", arena),
		.attempts = get_raw(o, "attempts", JSON_ARR, arena),
	};
	(void)json_bool(json_get(o, "stopRequested"), &q->stop_requested);
	get_usage(json_get(o, "usage"), &q->usage);
	get_cost(json_get(o, "cost"), q);
	set_serving(q, json_get(o, "fallback"), arena);
	json_free(doc);
	return q->state == RQ_NONE ? ERR_CORRUPT : OK;
}

static void put_time(struct jw *w, const char *key, int64_t ms)
{
	if (ms != 0) jw_ktime(w, key, ms);
}

void request_write(const struct request *q, struct record *r, struct arena *arena)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "conversationId", q->conversation_id);
	jw_kstr(&w, "sessionId", q->session_id);
	jw_kstr(&w, "messageId", q->message_id);
	jw_kstr(&w, "replyId", q->reply_id);
	jw_kstr(&w, "deviceId", q->device_id);
	jw_kstr(&w, "state", request_state_name(q->state));
	jw_kint(&w, "attempt", q->attempt);
	if (q->base != 0) jw_kint(&w, "attemptBase", q->base);
	jw_kint(&w, "owner", q->owner);
	if (q->priority != PRIORITY_NORMAL) jw_kint(&w, "priority", q->priority);
	jw_kbool(&w, "needsResponse", request_is_open(q->state));
	jw_kbool(&w, "isGenerating", q->state == RQ_CLAIMED);
	jw_kbool(&w, "stopRequested", q->stop_requested);
	jw_kstr(&w, "model", q->model);
	if (q->asked.n > 0) jw_kstr(&w, "modelAsked", q->asked);
	if (q->asked.n > 0) jw_kstr(&w, "modelBy", q->model_by);
	if (q->preset.n > 0) jw_kstr(&w, "preset", q->preset);
	if (q->params.n > 0) jw_kraw(&w, "params", q->params);
	if (q->fallback.n > 0) jw_kraw(&w, "fallback", q->fallback);
	if (q->step > 0) jw_kint(&w, "fallbackStep", q->step);
	if (q->step > 0) jw_kstr(&w, "servingModel", q->serving);
	put_time(&w, "queuedAt", q->queued_ms);
	put_time(&w, "lastStarted", q->last_started_ms);
	put_time(&w, "lastCompleted", q->last_completed_ms);
	if (q->state == RQ_RETRYING) put_time(&w, "nextTryAt", q->next_try_ms);
	if (request_is_open(q->state)) put_time(&w, "failingSince", q->failing_ms);
	if (q->error_code.n > 0) {
		jw_key(&w, "error");
		jw_obj(&w);
		jw_kstr(&w, "code", q->error_code);
		jw_kstr(&w, "message", q->error_text);
		jw_obj_end(&w);
	}
	request_write_usage(&w, &q->usage);
	request_write_cost(&w, q);
	if (q->attempts.n > 0) jw_kraw(&w, "attempts", q->attempts);
	jw_obj_end(&w);
	r->fields = arena_str(arena, buf_str(&b));
	r->state = request_is_open(q->state) ? (int32_t)q->state : 0;
	buf_release(&b);
}

/* That not all of the conversation was sent, in tokens and messages. */
static void put_context(struct jw *w, const struct call_context *c)
{
	jw_key(w, "context");
	jw_obj(w);
	jw_kint(w, "leftOut", c->left_out);
	jw_kint(w, "tokens", c->tokens);
	jw_kint(w, "room", c->room);
	jw_kbool(w, "summarised", c->is_summarised);
	if (c->is_cut) jw_kbool(w, "cut", true);
	jw_obj_end(w);
}

void request_add_attempt(struct request *q, const struct attempt_end *e, struct arena *arena)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	struct json_doc *doc = NULL;
	jw_arr(&w);
	if (q->attempts.n > 0 && json_parse(q->attempts, &doc, NULL) == OK) {
		size_t have = json_len(json_root(doc));
		size_t skip = have >= REQUEST_ATTEMPTS_KEPT ? have - REQUEST_ATTEMPTS_KEPT + 1 : 0;
		for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);)
			if (skip > 0) skip--;
			else jw_value(&w, it.val);
	}
	jw_obj(&w);
	jw_kint(&w, "attempt", q->attempt);
	jw_kint(&w, "owner", q->owner);
	jw_kstr(&w, "outcome", e->outcome);
	put_time(&w, "claimedAt", e->times.claimed);
	put_time(&w, "connectedAt", e->times.connected);
	put_time(&w, "firstTokenAt", e->times.first_token);
	put_time(&w, "doneAt", e->times.done);
	jw_kint(&w, "bytes", e->bytes);
	if (!str_eq(q->serving, q->model)) jw_kstr(&w, "model", q->serving);
	if (e->provider_id.n > 0) jw_kstr(&w, "providerRequestId", e->provider_id);
	request_write_usage(&w, &e->usage);
	if (e->context.left_out > 0 || e->context.is_cut) put_context(&w, &e->context);
	if (e->waited_for != PACED_NOT) {
		jw_kstr(&w, "waitedFor", pacing_name(e->waited_for));
		jw_kint(&w, "waitedMs", e->waited_ms);
	}
	if (e->session_lost) jw_kbool(&w, "agentSessionLost", true);
	if (e->err != OK) {
		jw_key(&w, "error");
		jw_obj(&w);
		jw_kstr(&w, "code", str_c(err_code(e->err)));
		jw_kstr(&w, "message", e->error_text);
		if (e->fail != FAIL_NONE) jw_kstr(&w, "class", str_c(fail_name(e->fail)));
		jw_obj_end(&w);
	}
	jw_obj_end(&w);
	jw_arr_end(&w);
	q->attempts = arena_str(arena, buf_str(&b));
	buf_release(&b);
	json_free(doc);
}
