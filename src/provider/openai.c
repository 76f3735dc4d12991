/* OpenAI's chat completions, as OpenAI, xAI, LM Studio, llama.cpp, vLLM and Ollama's /v1 speak it.
 *
 * Asked with stream:true the answer is data-only SSE, one JSON chunk an event, then "[DONE]". What is met in practice
 * and read here:
 *  - content or reasoning_content or reasoning in a delta; content as an array of parts; `message` instead of `delta`;
 *  - tool calls in pieces, keyed by index; the arguments as a string, or (Ollama's way) as an object;
 *  - a usage chunk with empty choices, before or without "[DONE]"; usage null in every other chunk, or absent. xAI counts
 *    reasoning beside completion_tokens instead of inside: total_tokens shows it. */
#include "provider/answer.h"

static const struct param_wire params_list[] = {
	{P_SYSTEM, NULL},
	{P_MAX_TOKENS, NULL},
	{P_TEMPERATURE, "temperature"},
	{P_TOP_P, "top_p"},
	{P_TOP_K, "top_k"},
	{P_SEED, "seed"},
	{P_STOP, "stop"},
	{P_FREQUENCY, "frequency_penalty"},
	{P_PRESENCE, "presence_penalty"},
	{P_THINKING, NULL},
	{P_EFFORT, NULL},
	{P_SCHEMA, NULL},
	{P_TOOLS, NULL},
	{P_TOOL_CHOICE, NULL},
};
/* OpenAI's own servers want max_completion_tokens; the compatible ones know the older name. */
static bool is_openai_itself(const struct provider_ask *ask)
{
	return str_starts(ask->base_url, STR("https://api.openai.com/"));
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static enum err put_content_part(struct jw *w, const struct call_part *p, struct errinfo *info)
{
	enum err e = OK;
	jw_obj(w);
	switch (p->kind) {
	case PART_TEXT:
		jw_kstr(w, "type", STR("text"));
		jw_kstr(w, "text", p->text);
		break;
	case PART_IMAGE:
		jw_kstr(w, "type", STR("image_url"));
		jw_key(w, "image_url");
		jw_obj(w);
		jw_key(w, "url");
		wire_put_data_url(w, p);
		jw_obj_end(w);
		break;
	case PART_FILE:
		jw_kstr(w, "type", STR("file"));
		jw_key(w, "file");
		jw_obj(w);
		jw_kstr(w, "filename", p->name);
		jw_key(w, "file_data");
		wire_put_data_url(w, p);
		jw_obj_end(w);
		break;
	default: e = err_set(info, ERR_BAD_FIELD, "a tool's part can't stand beside text in one message");
	}
	jw_obj_end(w);
	return e;
}

static bool is_content(const struct call_part *p)
{
	return p->kind == PART_TEXT || p->kind == PART_IMAGE || p->kind == PART_FILE;
}

static void put_tool_call(struct jw *w, const struct call_part *p)
{
	jw_obj(w);
	jw_kstr(w, "id", p->id);
	jw_kstr(w, "type", STR("function"));
	jw_key(w, "function");
	jw_obj(w);
	jw_kstr(w, "name", p->name);
	jw_kstr(w, "arguments", p->text.n > 0 ? p->text : STR("{}"));
	jw_obj_end(w);
	jw_obj_end(w);
}

static size_t count_parts(const struct call_message *m, enum part_kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < m->nparts; i++) n += m->parts[i].kind == kind;
	return n;
}

static enum err put_content(struct jw *w, const struct call_message *m, struct errinfo *info)
{
	enum err e = OK;
	bool plain = true;
	for (size_t i = 0; i < m->nparts; i++) plain = plain && !is_content(&m->parts[i]);
	jw_key(w, "content");
	if (plain) {
		jw_str(w, m->text);
		return OK;
	}
	jw_arr(w);
	if (m->text.n > 0) e = put_content_part(w, &(struct call_part){.kind = PART_TEXT, .text = m->text}, info);
	for (size_t i = 0; i < m->nparts && e == OK; i++)
		if (is_content(&m->parts[i])) e = put_content_part(w, &m->parts[i], info);
	jw_arr_end(w);
	return e;
}

/* A message of ours may be several there: each tool's result stands alone. */
static enum err put_message(struct jw *w, const struct call_message *m, struct errinfo *info)
{
	size_t results = count_parts(m, PART_TOOL_RESULT), calls = count_parts(m, PART_TOOL_CALL);
	for (size_t i = 0; i < m->nparts; i++) {
		if (m->parts[i].kind != PART_TOOL_RESULT) continue;
		jw_obj(w);
		jw_kstr(w, "role", STR("tool"));
		jw_kstr(w, "tool_call_id", m->parts[i].id);
		jw_kstr(w, "content", m->parts[i].text);
		jw_obj_end(w);
	}
	if (results == m->nparts && results > 0 && m->text.n == 0) return OK;
	jw_obj(w);
	jw_kstr(w, "role", m->role);
	enum err e = put_content(w, m, info);
	if (calls > 0) {
		jw_key(w, "tool_calls");
		jw_arr(w);
		for (size_t i = 0; i < m->nparts; i++)
			if (m->parts[i].kind == PART_TOOL_CALL) put_tool_call(w, &m->parts[i]);
		jw_arr_end(w);
	}
	jw_obj_end(w);
	return e;
}

static enum err put_messages(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	enum err e = OK;
	jw_key(w, "messages");
	jw_arr(w);
	struct call_message first = {.role = STR("system"), .text = param_text(ask->params, P_SYSTEM)};
	if (first.text.n > 0) e = put_message(w, &first, info);
	for (size_t i = 0; i < ask->nmessages && e == OK; i++) e = put_message(w, &ask->messages[i], info);
	jw_arr_end(w);
	return e;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static void put_schema(struct jw *w, const struct params *p)
{
	jw_key(w, "response_format");
	jw_obj(w);
	jw_kstr(w, "type", STR("json_schema"));
	jw_key(w, "json_schema");
	jw_obj(w);
	jw_kstr(w, "name", STR("answer"));
	jw_kbool(w, "strict", true);
	param_put(w, "schema", p, P_SCHEMA);
	jw_obj_end(w);
	jw_obj_end(w);
}

static void put_tool_choice(struct jw *w, struct str choice)
{
	jw_key(w, "tool_choice");
	if (str_eq(choice, STR("auto")) || str_eq(choice, STR("none")) || str_eq(choice, STR("required"))) {
		jw_str(w, choice);
		return;
	}
	jw_obj(w);
	jw_kstr(w, "type", STR("function"));
	jw_key(w, "function");
	jw_obj(w);
	jw_kstr(w, "name", choice);
	jw_obj_end(w);
	jw_obj_end(w);
}

static enum err put_params(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	const struct params *p = ask->params;
	struct str effort = STR("");
	bool thinks = param_given(p, P_THINKING) || param_given(p, P_EFFORT);
	/* An extra may hold what a parameter of ours would: one of the two. */
	const char *const reserved[] = {"model",
					"messages",
					"stream",
					"stream_options",
					"n",
					param_given(p, P_SCHEMA) ? "response_format" : "model",
					param_given(p, P_MAX_TOKENS) ? "max_completion_tokens" : "model",
					thinks ? "reasoning_effort" : "model",
					NULL};
	enum err e = params_put(w, p, params_list, ARRAY_LEN(params_list), "the chat completions API", info);
	if (e == OK && is_openai_itself(ask) && param_given(p, P_TOP_K))
		e = err_set(info, ERR_BAD_FIELD, "params.topK: OpenAI has no such parameter; leave it out");
	if (e == OK && param_given(p, P_MAX_TOKENS))
		param_put(w, is_openai_itself(ask) ? "max_completion_tokens" : "max_tokens", p, P_MAX_TOKENS);
	/* Thinking has one switch here, the effort: "on" without one is the server's default. */
	if (e == OK) e = param_effort(p, &effort, info);
	if (effort.n > 0) jw_kstr(w, "reasoning_effort", effort);
	if (param_given(p, P_SCHEMA)) put_schema(w, p);
	if (param_given(p, P_TOOLS)) wire_put_tools(w, p);
	if (param_given(p, P_TOOL_CHOICE)) put_tool_choice(w, param_text(p, P_TOOL_CHOICE));
	return e == OK ? params_put_extras(w, p, reserved, info) : e;
}

static enum err build(const struct provider_ask *ask, struct wire_request *out, struct errinfo *info)
{
	wire_request_init(out, ask->base_url, "/chat/completions");
	wire_request_add_header(out, "Accept: text/event-stream, application/json");
	if (ask->key.n > 0) wire_request_add_header(out, "Authorization: Bearer %.*s", STR_ARG(ask->key));
	struct jw w = JW(&out->body);
	jw_obj(&w);
	jw_kstr(&w, "model", ask->model);
	enum err e = put_messages(&w, ask, info);
	jw_kbool(&w, "stream", true);
	jw_key(&w, "stream_options");
	jw_obj(&w);
	jw_kbool(&w, "include_usage", true);
	if (is_openai_itself(ask)) jw_kbool(&w, "include_obfuscation", false); /* no padding in every chunk */
	jw_obj_end(&w);
	if (e == OK) e = put_params(&w, ask, info);
	jw_obj_end(&w);
	return wire_request_end(out, e, info);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const struct finish_word finish_words[] = {{"function_call", "tool_calls"}};

static void say_content(struct answer *a, const struct json *content)
{
	answer_say_json(a, ANSWER_TEXT, content);
	if (json_type(content) != JSON_ARR) return;
	for (struct json_iter it = json_iter(content); json_next(&it);)
		answer_say_json(a, ANSWER_TEXT, json_get(it.val, "text"));
}

static void read_usage(struct answer *a, const struct json *usage)
{
	struct call_usage *u = answer_usage(a);
	int64_t total = -1;
	if (json_type(usage) != JSON_OBJ) return;
	const struct json *out = json_get(usage, "completion_tokens_details");
	const struct json *in = json_get(usage, "prompt_tokens_details");
	answer_count(json_get(usage, "prompt_tokens"), &u->input_tokens);
	answer_count(json_get(usage, "completion_tokens"), &u->output_tokens);
	answer_count(json_get(usage, "total_tokens"), &total);
	answer_count(json_get(out, "reasoning_tokens"), &u->thinking_tokens);
	answer_count(json_get(in, "cached_tokens"), &u->cache_read_tokens);
	answer_count(json_get(in, "cache_write_tokens"), &u->cache_write_tokens);
	answer_count(json_get(usage, "cost_in_usd_ticks"), &u->cost_ticks);
	bool beside = u->thinking_tokens > 0 && u->input_tokens >= 0 && u->output_tokens >= 0 &&
		      total - u->input_tokens - u->output_tokens == u->thinking_tokens;
	if (beside) u->output_tokens += u->thinking_tokens;
}

static void read_tool_call(struct answer *a, const struct json *call, int64_t nth)
{
	const struct json *f = json_get(call, "function"), *args = json_get(f, "arguments");
	(void)json_int(json_get(call, "index"), &nth);
	struct answer_part *p = answer_part(a, PART_TOOL_CALL, nth);
	if (p == NULL) return;
	if (p->id.n == 0) answer_part_add(a, &p->id, json_get(call, "id"));
	if (p->name.n == 0) answer_part_add(a, &p->name, json_get(f, "name"));
	answer_part_add(a, &p->text, args);
}

static void read_delta(struct answer *a, const struct json *delta)
{
	enum { CONTENT, REFUSAL, THINKING, REASONING, CALLS };
	static const struct str keys[] = {STR_INIT("content"), STR_INIT("refusal"), STR_INIT("reasoning_content"),
					  STR_INIT("reasoning"), STR_INIT("tool_calls")};
	const struct json *at[ARRAY_LEN(keys)];
	int64_t nth = 0;
	json_pick(delta, keys, ARRAY_LEN(keys), at);
	answer_say_json(a, ANSWER_THINKING, json_type(at[THINKING]) == JSON_STR ? at[THINKING] : at[REASONING]);
	say_content(a, at[CONTENT]);
	answer_say_json(a, ANSWER_TEXT, at[REFUSAL]);
	for (struct json_iter it = json_iter(at[CALLS]); json_next(&it);) read_tool_call(a, it.val, nth++);
}

static void read_choice(struct answer *a, const struct json *choice)
{
	enum { INDEX, DELTA, MESSAGE, REASON };
	static const struct str keys[] = {STR_INIT("index"), STR_INIT("delta"), STR_INIT("message"),
					  STR_INIT("finish_reason")};
	const struct json *at[ARRAY_LEN(keys)];
	int64_t index;
	struct str why;
	json_pick(choice, keys, ARRAY_LEN(keys), at);
	if (json_int(at[INDEX], &index) && index != 0) return;
	read_delta(a, json_type(at[DELTA]) == JSON_OBJ ? at[DELTA] : at[MESSAGE]);
	if (json_str(at[REASON], &why)) answer_finish(a, why, finish_words, ARRAY_LEN(finish_words));
}

/* A chunk or a whole answer: they differ in `delta` and `message` only. */
static void event(struct answer *a, struct str name, const struct json *root)
{
	enum { ID, USAGE, CHOICES };
	static const struct str keys[] = {STR_INIT("id"), STR_INIT("usage"), STR_INIT("choices")};
	const struct json *at[ARRAY_LEN(keys)];
	(void)name;
	json_pick(root, keys, ARRAY_LEN(keys), at);
	answer_request_id(a, at[ID]);
	read_usage(a, at[USAGE]);
	for (struct json_iter it = json_iter(at[CHOICES]); json_next(&it);) read_choice(a, it.val);
}

static bool whole(struct answer *a, const struct json *root)
{
	if (json_type(json_get(root, "choices")) != JSON_ARR) return false;
	event(a, STR(""), root);
	return true;
}

static const struct answer_style style = {FRAMES_SSE, event, whole, 0};
const struct dialect dialect_openai = {"openai", build, &style};
