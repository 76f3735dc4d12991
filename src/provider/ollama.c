/* Ollama's own API, POST /api/chat: the one that knows its options (num_ctx, keep_alive, think).
 *
 * The answer is one JSON object a line; each has a piece of text, of thinking, or whole tool calls, whose arguments are an
 * object. The one with done:true is the last and has the counts; a stream that ends without it was cut. An error is a
 * line {"error":"…"}, also in the middle. Most parameters stand in `options`, and so do extras but for those listed. */
#include "provider/answer.h"

static const struct param_wire options_list[] = {
	{P_SYSTEM, NULL},
	{P_MAX_TOKENS, "num_predict"},
	{P_TEMPERATURE, "temperature"},
	{P_TOP_P, "top_p"},
	{P_TOP_K, "top_k"},
	{P_SEED, "seed"},
	{P_STOP, NULL},
	{P_FREQUENCY, "frequency_penalty"},
	{P_PRESENCE, "presence_penalty"},
	{P_THINKING, NULL},
	{P_EFFORT, NULL},
	{P_SCHEMA, NULL},
	{P_TOOLS, NULL},
	{P_TOOL_CHOICE, NULL},
};

/* Extras that stand beside `options` and not in it. */
static const char *const top_level[] = {"format",       "keep_alive", "think", "logprobs",
					"top_logprobs", "truncate",   "shift", NULL};

static bool is_top_level(struct str name)
{
	for (const char *const *t = top_level; *t != NULL; t++)
		if (str_eq(name, str_c(*t))) return true;
	return false;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static const struct call_part *next_part(const struct call_message *m, enum part_kind kind, size_t *at)
{
	while (*at < m->nparts)
		if (m->parts[(*at)++].kind == kind) return &m->parts[*at - 1];
	return NULL;
}

static bool has_part(const struct call_message *m, enum part_kind kind)
{
	size_t at = 0;
	return next_part(m, kind, &at) != NULL;
}

/* There is one text to a message. */
static void put_text(struct jw *w, const struct call_message *m)
{
	struct buf text = BUF_INIT(WIRE_BODY_MAX);
	size_t at = 0;
	buf_add_str(&text, m->text);
	for (const struct call_part *p; (p = next_part(m, PART_TEXT, &at)) != NULL;) {
		if (text.n > 0) buf_add_str(&text, STR("\n\n"));
		buf_add_str(&text, p->text);
	}
	if (text.failed) w->b->failed = true;
	jw_kstr(w, "content", buf_str(&text));
	buf_release(&text);
}

static void put_images(struct jw *w, const struct call_message *m)
{
	size_t at = 0;
	jw_key(w, "images");
	jw_arr(w);
	for (const struct call_part *p; (p = next_part(m, PART_IMAGE, &at)) != NULL;) wire_put_base64(w, "", p->bytes);
	jw_arr_end(w);
}

/* The arguments must be an object. What another provider's model wrote instead becomes the member of one. */
static void put_arguments(struct jw *w, struct str text)
{
	struct json_doc *doc = NULL;
	jw_key(w, "arguments");
	if (json_parse(text, &doc, NULL) == OK && json_type(json_root(doc)) == JSON_OBJ) {
		jw_value(w, json_root(doc));
	} else {
		jw_obj(w);
		if (text.n > 0) jw_kstr(w, "text", text);
		jw_obj_end(w);
	}
	json_free(doc);
}

static void put_tool_calls(struct jw *w, const struct call_message *m)
{
	size_t at = 0;
	jw_key(w, "tool_calls");
	jw_arr(w);
	for (const struct call_part *p; (p = next_part(m, PART_TOOL_CALL, &at)) != NULL;) {
		jw_obj(w);
		jw_kstr(w, "id", p->id);
		jw_key(w, "function");
		jw_obj(w);
		jw_kstr(w, "name", p->name);
		put_arguments(w, p->text);
		jw_obj_end(w);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

/* Each tool's result is a message of its own. */
static void put_tool_results(struct jw *w, const struct call_message *m)
{
	size_t at = 0;
	for (const struct call_part *p; (p = next_part(m, PART_TOOL_RESULT, &at)) != NULL;) {
		jw_obj(w);
		jw_kstr(w, "role", STR("tool"));
		jw_kstr(w, "content", p->text);
		if (p->name.n > 0) jw_kstr(w, "tool_name", p->name);
		jw_kstr(w, "tool_call_id", p->id);
		jw_obj_end(w);
	}
}

static enum err put_message(struct jw *w, const struct call_message *m, struct errinfo *info)
{
	bool says = m->text.n > 0 || has_part(m, PART_TEXT) || has_part(m, PART_IMAGE) || has_part(m, PART_TOOL_CALL);
	if (has_part(m, PART_FILE))
		return err_set(info, ERR_BAD_FIELD,
			       "Ollama takes text and images; a message holds a file that is neither");
	put_tool_results(w, m);
	if (!says && has_part(m, PART_TOOL_RESULT)) return OK;
	jw_obj(w);
	jw_kstr(w, "role", m->role);
	put_text(w, m);
	if (has_part(m, PART_IMAGE)) put_images(w, m);
	if (has_part(m, PART_TOOL_CALL)) put_tool_calls(w, m);
	jw_obj_end(w);
	return OK;
}

static enum err put_messages(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	enum err e = OK;
	struct call_message first = {.role = STR("system"), .text = param_text(ask->params, P_SYSTEM)};
	jw_key(w, "messages");
	jw_arr(w);
	if (first.text.n > 0) e = put_message(w, &first, info);
	for (size_t i = 0; i < ask->nmessages && e == OK; i++) e = put_message(w, &ask->messages[i], info);
	jw_arr_end(w);
	return e;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

/* Members of `options` that are parameters of ours under their own names. */
static enum err put_options(struct jw *w, const struct params *p, struct errinfo *info)
{
	jw_key(w, "options");
	jw_obj(w);
	enum err e = params_put(w, p, options_list, ARRAY_LEN(options_list), "Ollama's API", info);
	if (param_given(p, P_STOP)) param_put_strings(w, "stop", p, P_STOP);
	for (struct json_iter it = json_iter(p->all); json_next(&it);) {
		if (param_find(it.key) != PARAM_COUNT || is_top_level(it.key)) continue;
		jw_key_str(w, it.key);
		jw_value(w, it.val);
	}
	jw_obj_end(w);
	return e;
}

static enum err put_thinking(struct jw *w, const struct params *p, struct errinfo *info)
{
	static const char *const levels[] = {"low", "medium", "high", "max"};
	struct str effort;
	enum err e = param_effort(p, &effort, info);
	if (e != OK) return e;
	if (str_eq(effort, STR("none"))) jw_kbool(w, "think", false);
	else if (effort.n == 0 && param_given(p, P_THINKING)) jw_kbool(w, "think", true);
	if (effort.n == 0 || str_eq(effort, STR("none"))) return OK;
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (!str_eq(effort, str_c(levels[i]))) continue;
		jw_kstr(w, "think", effort);
		return OK;
	}
	return err_set(info, ERR_BAD_FIELD, "params.effort: Ollama knows none, low, medium, high and max");
}

/* There is no choice of tools here, but not to offer any is one. */
static enum err put_tools(struct jw *w, const struct params *p, struct errinfo *info)
{
	struct str choice = param_text(p, P_TOOL_CHOICE);
	if (choice.n > 0 && !str_eq(choice, STR("auto")) && !str_eq(choice, STR("none")))
		return err_set(info, ERR_BAD_FIELD, "params.toolChoice: Ollama knows auto and none");
	if (param_given(p, P_TOOLS) && !str_eq(choice, STR("none"))) wire_put_tools(w, p);
	return OK;
}

/* What an extra must not be called: what is set here, and what a parameter of ours sets. */
static enum err check_extras(const struct params *p, struct errinfo *info)
{
	bool thinks = param_given(p, P_THINKING) || param_given(p, P_EFFORT);
	const char *const reserved[] = {"model",
					"messages",
					"stream",
					"options",
					"num_predict",
					param_given(p, P_SCHEMA) ? "format" : "model",
					thinks ? "think" : "model"};
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (json_get(p->all, reserved[i]) != NULL)
			return err_set(info, ERR_BAD_FIELD, "params.%s cannot be given; Roost sets it", reserved[i]);
	return OK;
}

static enum err put_params(struct jw *w, const struct params *p, struct errinfo *info)
{
	enum err e = check_extras(p, info);
	if (e == OK) e = put_options(w, p, info);
	if (e == OK) e = put_thinking(w, p, info);
	if (e == OK) e = put_tools(w, p, info);
	if (param_given(p, P_SCHEMA)) param_put(w, "format", p, P_SCHEMA);
	for (const char *const *t = top_level; *t != NULL; t++) {
		const struct json *v = json_get(p->all, *t);
		if (v == NULL) continue;
		jw_key(w, *t);
		jw_value(w, v);
	}
	return e;
}

static enum err build(const struct provider_ask *ask, struct wire_request *out, struct errinfo *info)
{
	wire_request_init(out, ask->base_url, "/api/chat");
	wire_request_add_header(out, "Accept: application/x-ndjson, application/json");
	if (ask->key.n > 0) wire_request_add_header(out, "Authorization: Bearer %.*s", STR_ARG(ask->key));
	struct jw w = JW(&out->body);
	jw_obj(&w);
	jw_kstr(&w, "model", ask->model);
	enum err e = put_messages(&w, ask, info);
	jw_kbool(&w, "stream", true);
	if (e == OK) e = put_params(&w, ask->params, info);
	jw_obj_end(&w);
	return wire_request_end(out, e, info);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct state {
	int64_t ncalls;
	bool said; /* text */
};

/* Each is whole, and says all it says at once; `index` is not to be relied on. Older servers give no id, which a result
 * needs: it gets one by its place. */
static void read_tool_call(struct answer *a, const struct json *call)
{
	struct state *st = answer_state(a);
	const struct json *f = json_get(call, "function");
	char id[32];
	struct answer_part *p = answer_part(a, PART_TOOL_CALL, st->ncalls);
	if (p == NULL) return;
	(void)snprintf(id, sizeof id, "call_%lld", (long long)st->ncalls++);
	answer_part_add(a, &p->id, json_get(call, "id"));
	if (p->id.n == 0) answer_part_put(a, &p->id, str_c(id));
	answer_part_add(a, &p->name, json_get(f, "name"));
	answer_part_add(a, &p->text, json_get(f, "arguments"));
}

/* The last line. "load" is what a request without messages is for. */
static void read_done(struct answer *a, const struct json *root)
{
	struct state *st = answer_state(a);
	struct call_usage *u = answer_usage(a);
	struct str why = STR("");
	int64_t prompt = 0;
	(void)json_str(json_get(root, "done_reason"), &why);
	if (why.n == 0) why = STR("stop");
	if (st->ncalls > 0 && str_eq(why, STR("stop"))) why = STR("tool_calls");
	answer_count(json_get(root, "prompt_eval_count"), &prompt);
	if (prompt > 0) u->input_tokens = prompt; /* 0, or absent, when the server had all of it in its cache */
	answer_count(json_get(root, "eval_count"), &u->output_tokens);
	if (!st->said && (str_eq(why, STR("load")) || str_eq(why, STR("unload"))))
		answer_fail(a, FAIL_INVALID, "Ollama %s the model and said nothing",
			    str_eq(why, STR("load")) ? "loaded" : "unloaded");
	answer_finish(a, why, NULL, 0);
	answer_complete(a);
}

static void event(struct answer *a, struct str name, const struct json *root)
{
	enum { THINKING, CONTENT, CALLS };
	static const struct str keys[] = {STR_INIT("thinking"), STR_INIT("content"), STR_INIT("tool_calls")};
	const struct json *at[ARRAY_LEN(keys)];
	struct state *st = answer_state(a);
	struct str s;
	bool done = false;
	(void)name;
	json_pick(json_get(root, "message"), keys, ARRAY_LEN(keys), at);
	answer_say_json(a, ANSWER_THINKING, at[THINKING]);
	answer_say_json(a, ANSWER_TEXT, at[CONTENT]);
	st->said = st->said || (json_str(at[CONTENT], &s) && s.n > 0);
	for (struct json_iter it = json_iter(at[CALLS]); json_next(&it);) read_tool_call(a, it.val);
	if (json_bool(json_get(root, "done"), &done) && done) read_done(a, root);
}

static const struct answer_style style = {FRAMES_LINES, event, NULL, sizeof(struct state)};
const struct dialect dialect_ollama = {"ollama", build, &style};
