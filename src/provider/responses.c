/* OpenAI's Responses API, as OpenAI, xAI, llama.cpp and Ollama serve it.
 *
 * Asked with stream:true the answer is SSE whose events say their name in `type`. Text comes in deltas; the events that
 * follow carry the same once more (text.done, content_part.done, item.done, and the whole response in the last one), so
 * those are read only for what no delta said: function calls, reasoning to be given back, and the text of servers that
 * send no deltas. llama.cpp leaves out sequence_number, output_index and content_index, therefore nothing here needs them.
 *
 * The conversation is ours: store is false and all of it is sent each time. Reasoning that led to a tool call has to be
 * given back then; its seal is {"id","encrypted_content"} of the item. */
#include "provider/answer.h"
#include "provider/models.h"

static const struct param_wire params_list[] = {
	{P_SYSTEM, NULL},
	{P_MAX_TOKENS, "max_output_tokens"},
	{P_TEMPERATURE, "temperature"},
	{P_TOP_P, "top_p"},
	{P_THINKING, NULL},
	{P_EFFORT, NULL},
	{P_SCHEMA, NULL},
	{P_TOOLS, NULL},
	{P_TOOL_CHOICE, NULL},
};

/* ---- input ------------------------------------------------------------------------------------------------------- */

static void put_text_part(struct jw *w, bool by_model, struct str text)
{
	jw_obj(w);
	jw_kstr(w, "type", by_model ? STR("output_text") : STR("input_text"));
	jw_kstr(w, "text", text);
	jw_obj_end(w);
}

static enum err put_content_part(struct jw *w, bool by_model, const struct call_part *p, struct errinfo *info)
{
	if (p->kind == PART_TEXT) {
		put_text_part(w, by_model, p->text);
		return OK;
	}
	if (by_model)
		return err_set(info, ERR_BAD_FIELD,
			       "the Responses API takes no image and no file in a model's message");
	jw_obj(w);
	if (p->kind == PART_IMAGE) {
		jw_kstr(w, "type", STR("input_image"));
		jw_kstr(w, "detail", STR("auto"));
		jw_key(w, "image_url");
	} else {
		jw_kstr(w, "type", STR("input_file"));
		jw_kstr(w, "filename", p->name);
		jw_key(w, "file_data");
	}
	wire_put_data_url(w, p);
	jw_obj_end(w);
	return OK;
}

static bool is_content(const struct call_part *p)
{
	return p->kind == PART_TEXT || p->kind == PART_IMAGE || p->kind == PART_FILE;
}

/* The text and the parts that stand beside it. */
static enum err put_content(struct jw *w, const struct call_message *m, struct errinfo *info)
{
	bool by_model = str_eq(m->role, STR("assistant"));
	enum err e = OK;
	size_t n = m->text.n > 0;
	for (size_t i = 0; i < m->nparts; i++) n += is_content(&m->parts[i]);
	if (n == 0) return OK;
	jw_obj(w);
	jw_kstr(w, "type", STR("message"));
	jw_kstr(w, "role", m->role);
	jw_key(w, "content");
	jw_arr(w);
	if (m->text.n > 0) put_text_part(w, by_model, m->text);
	for (size_t i = 0; i < m->nparts && e == OK; i++)
		if (is_content(&m->parts[i])) e = put_content_part(w, by_model, &m->parts[i], info);
	jw_arr_end(w);
	jw_obj_end(w);
	return e;
}

/* What another provider sealed is of no use here and left out. */
static void put_reasoning(struct jw *w, const struct call_part *p)
{
	struct json_doc *doc = NULL;
	struct str id, sealed;
	if (json_parse(p->seal, &doc, NULL) == OK && json_str(json_get(json_root(doc), "id"), &id) &&
	    json_str(json_get(json_root(doc), "encrypted_content"), &sealed)) {
		jw_obj(w);
		jw_kstr(w, "type", STR("reasoning"));
		jw_kstr(w, "id", id);
		jw_kraw(w, "summary", STR("[]"));
		jw_kstr(w, "encrypted_content", sealed);
		jw_obj_end(w);
	}
	json_free(doc);
}

static void put_item(struct jw *w, const struct call_part *p)
{
	if (p->kind == PART_THINKING) put_reasoning(w, p);
	if (p->kind != PART_TOOL_CALL && p->kind != PART_TOOL_RESULT) return;
	bool call = p->kind == PART_TOOL_CALL;
	jw_obj(w);
	jw_kstr(w, "type", call ? STR("function_call") : STR("function_call_output"));
	jw_kstr(w, "call_id", p->id);
	if (call) jw_kstr(w, "name", p->name);
	jw_kstr(w, call ? "arguments" : "output", call && p->text.n == 0 ? STR("{}") : p->text);
	jw_obj_end(w);
}

/* A message of ours is several items there, in the order in which they came about: tools' results are what a person's
 * text follows, and reasoning comes before what it led to. */
static enum err put_message(struct jw *w, const struct call_message *m, struct errinfo *info)
{
	size_t i = 0;
	while (i < m->nparts && m->parts[i].kind != PART_TOOL_CALL) {
		if (!is_content(&m->parts[i])) put_item(w, &m->parts[i]);
		i++;
	}
	enum err e = put_content(w, m, info);
	for (; i < m->nparts; i++) put_item(w, &m->parts[i]);
	return e;
}

static enum err put_messages(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	struct buf orders = BUF_INIT(WIRE_BODY_MAX);
	enum err e = OK;
	ask_system(ask, &orders);
	if (orders.failed) w->b->failed = true;
	if (orders.n > 0) jw_kstr(w, "instructions", buf_str(&orders));
	jw_key(w, "input");
	jw_arr(w);
	for (size_t i = 0; i < ask->nmessages && e == OK; i++)
		if (!str_eq(ask->messages[i].role, STR("system"))) e = put_message(w, &ask->messages[i], info);
	jw_arr_end(w);
	buf_release(&orders);
	return e;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static void put_schema(struct jw *w, const struct params *p)
{
	jw_key(w, "text");
	jw_obj(w);
	jw_key(w, "format");
	jw_obj(w);
	jw_kstr(w, "type", STR("json_schema"));
	jw_kstr(w, "name", STR("answer"));
	jw_kbool(w, "strict", true);
	param_put(w, "schema", p, P_SCHEMA);
	jw_obj_end(w);
	jw_obj_end(w);
}

/* `strict` is on by default here, and would change the schema that a tool came with. */
static void put_tool(struct jw *w, const struct json *tool)
{
	jw_obj(w);
	jw_kstr(w, "type", STR("function"));
	for (struct json_iter it = json_iter(tool); json_next(&it);) {
		if (str_eq(it.key, STR("type"))) continue;
		jw_key_str(w, it.key);
		jw_value(w, it.val);
	}
	if (json_get(tool, "parameters") == NULL)
		jw_kraw(w, "parameters", STR("{\"type\":\"object\",\"properties\":{}}"));
	if (json_get(tool, "strict") == NULL) jw_kbool(w, "strict", false);
	jw_obj_end(w);
}

static void put_tools(struct jw *w, const struct provider_ask *ask)
{
	jw_key(w, "tools");
	jw_arr(w);
	for (struct json_iter it = json_iter(ask->params->at[P_TOOLS]); json_next(&it);) put_tool(w, it.val);
	jw_arr_end(w);
	if (!model_cannot(ask->about, CAN_EFFORT)) jw_kraw(w, "include", STR("[\"reasoning.encrypted_content\"]"));
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
	jw_kstr(w, "name", choice);
	jw_obj_end(w);
}

/* A summary of what the model thought has to be asked for; some models tell none to just anyone. */
static enum err put_thinking(struct jw *w, const struct params *p, struct errinfo *info)
{
	struct str effort, thinking = param_thinking(p);
	enum err e = param_effort(p, &effort, info);
	if (e != OK || (effort.n == 0 && thinking.n == 0)) return e;
	jw_key(w, "reasoning");
	jw_obj(w);
	if (effort.n > 0) jw_kstr(w, "effort", effort);
	if (thinking.n > 0 && !str_eq(thinking, STR("off"))) jw_kstr(w, "summary", STR("auto"));
	jw_obj_end(w);
	return OK;
}

static enum err put_params(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	const struct params *p = ask->params;
	bool thinks = param_given(p, P_THINKING) || param_given(p, P_EFFORT);
	/* An extra may hold what a parameter of ours would: one of the two. */
	const char *const reserved[] = {"model",
					"input",
					"instructions",
					"stream",
					"stream_options",
					"store",
					"background",
					"conversation",
					"previous_response_id",
					param_given(p, P_SCHEMA) ? "text" : "model",
					param_given(p, P_TOOLS) ? "include" : "model",
					thinks ? "reasoning" : "model",
					NULL};
	enum err e = params_put(w, p, params_list, ARRAY_LEN(params_list), "the Responses API", info);
	if (e == OK) e = put_thinking(w, p, info);
	if (param_given(p, P_SCHEMA)) put_schema(w, p);
	if (param_given(p, P_TOOLS)) put_tools(w, ask);
	if (param_given(p, P_TOOL_CHOICE)) put_tool_choice(w, param_text(p, P_TOOL_CHOICE));
	return e == OK ? params_put_extras(w, p, reserved, info) : e;
}

static enum err build(const struct provider_ask *ask, struct wire_request *out, struct errinfo *info)
{
	wire_request_init(out, ask->base_url, "/responses");
	wire_request_add_header(out, "Accept: text/event-stream, application/json");
	if (ask->key.n > 0) wire_request_add_header(out, "Authorization: Bearer %.*s", STR_ARG(ask->key));
	struct jw w = JW(&out->body);
	jw_obj(&w);
	jw_kstr(&w, "model", ask->model);
	enum err e = put_messages(&w, ask, info);
	jw_kbool(&w, "stream", true);
	jw_kraw(&w, "stream_options", STR("{\"include_obfuscation\":false}"));
	jw_kbool(&w, "store", false);
	if (e == OK) e = put_params(&w, ask, info);
	jw_obj_end(&w);
	return wire_request_end(out, e, info);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct state {
	bool said[2];   /* of each answer_kind: anything at all */
	bool spoke[2];  /* a delta since the last item ended: its end says nothing new */
	bool parted[2]; /* what comes next is a paragraph of its own */
	bool calls;     /* a tool is called */
	int64_t nitems; /* that ended */
};

static void say(struct answer *a, enum answer_kind kind, const struct json *v)
{
	struct state *st = answer_state(a);
	struct str s;
	if (!json_str(v, &s) || s.n == 0) return;
	if (st->parted[kind] && st->said[kind]) answer_say(a, kind, STR("\n\n"));
	st->said[kind] = true;
	st->parted[kind] = false;
	answer_say(a, kind, s);
}

static void say_parts(struct answer *a, enum answer_kind kind, const struct json *parts)
{
	for (struct json_iter it = json_iter(parts); json_next(&it);) {
		say(a, kind, json_get(it.val, "text"));
		say(a, kind, json_get(it.val, "refusal"));
	}
}

static void read_reasoning(struct answer *a, const struct json *item)
{
	struct state *st = answer_state(a);
	struct buf seal = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&seal);
	struct str id, sealed;
	if (!st->spoke[ANSWER_THINKING]) {
		say_parts(a, ANSWER_THINKING, json_get(item, "summary"));
		say_parts(a, ANSWER_THINKING, json_get(item, "content"));
	}
	if (!json_str(json_get(item, "id"), &id) || !json_str(json_get(item, "encrypted_content"), &sealed)) return;
	struct answer_part *p = answer_part(a, PART_THINKING, st->nitems);
	if (p == NULL) return;
	jw_obj(&w);
	jw_kstr(&w, "id", id);
	jw_kstr(&w, "encrypted_content", sealed);
	jw_obj_end(&w);
	answer_part_put(a, &p->seal, buf_str(&seal));
	buf_release(&seal);
}

static void read_call(struct answer *a, const struct json *item)
{
	struct state *st = answer_state(a);
	struct answer_part *p = answer_part(a, PART_TOOL_CALL, st->nitems);
	if (p == NULL) return;
	st->calls = true;
	answer_part_add(a, &p->id, json_get(item, "call_id"));
	answer_part_add(a, &p->name, json_get(item, "name"));
	answer_part_add(a, &p->text, json_get(item, "arguments"));
}

static void read_item(struct answer *a, const struct json *item)
{
	struct state *st = answer_state(a);
	struct str type = STR("");
	(void)json_str(json_get(item, "type"), &type);
	if (str_eq(type, STR("function_call"))) read_call(a, item);
	else if (str_eq(type, STR("reasoning"))) read_reasoning(a, item);
	else if (str_eq(type, STR("message")) && !st->spoke[ANSWER_TEXT])
		say_parts(a, ANSWER_TEXT, json_get(item, "content"));
	st->nitems++;
	st->parted[ANSWER_TEXT] = st->parted[ANSWER_THINKING] = true;
}

static void on_item(struct answer *a, const struct json *root)
{
	struct state *st = answer_state(a);
	read_item(a, json_get(root, "item"));
	st->spoke[ANSWER_TEXT] = st->spoke[ANSWER_THINKING] = false;
}

static void on_text(struct answer *a, const struct json *root)
{
	((struct state *)answer_state(a))->spoke[ANSWER_TEXT] = true;
	say(a, ANSWER_TEXT, json_get(root, "delta"));
}

static void on_thinking(struct answer *a, const struct json *root)
{
	((struct state *)answer_state(a))->spoke[ANSWER_THINKING] = true;
	say(a, ANSWER_THINKING, json_get(root, "delta"));
}

static void on_summary(struct answer *a, const struct json *root)
{
	(void)root;
	((struct state *)answer_state(a))->parted[ANSWER_THINKING] = true;
}

static void on_begin(struct answer *a, const struct json *root)
{
	answer_request_id(a, json_get(json_get(root, "response"), "id"));
}

static void read_usage(struct answer *a, const struct json *usage)
{
	struct call_usage *u = answer_usage(a);
	const struct json *in = json_get(usage, "input_tokens_details"),
			  *out = json_get(usage, "output_tokens_details");
	answer_count(json_get(usage, "input_tokens"), &u->input_tokens);
	answer_count(json_get(usage, "output_tokens"), &u->output_tokens);
	answer_count(json_get(in, "cached_tokens"), &u->cache_read_tokens);
	answer_count(json_get(in, "cache_write_tokens"), &u->cache_write_tokens);
	answer_count(json_get(out, "reasoning_tokens"), &u->thinking_tokens);
	answer_count(json_get(usage, "cost_in_usd_ticks"), &u->cost_ticks);
}

/* A response that has ended, by its status. */
static void end_with(struct answer *a, const struct json *response, struct str status)
{
	static const struct finish_word words[] = {{"max_output_tokens", "length"}};
	struct state *st = answer_state(a);
	struct str why = STR("incomplete");
	answer_request_id(a, json_get(response, "id"));
	read_usage(a, json_get(response, "usage"));
	if (st->nitems == 0)
		for (struct json_iter it = json_iter(json_get(response, "output")); json_next(&it);)
			read_item(a, it.val);
	if (str_eq(status, STR("completed"))) {
		answer_finish(a, st->calls ? STR("tool_calls") : STR("stop"), NULL, 0);
	} else if (str_eq(status, STR("incomplete"))) {
		(void)json_str(json_get(json_get(response, "incomplete_details"), "reason"), &why);
		answer_finish(a, why, words, ARRAY_LEN(words));
	} else if (json_type(json_get(response, "error")) == JSON_OBJ) {
		answer_fail_json(a, json_get(response, "error"));
	} else {
		answer_fail(a, FAIL_SERVER, "the provider said that the response failed, and not why");
	}
	answer_complete(a);
}

static void on_completed(struct answer *a, const struct json *root)
{
	end_with(a, json_get(root, "response"), STR("completed"));
}

static void on_incomplete(struct answer *a, const struct json *root)
{
	end_with(a, json_get(root, "response"), STR("incomplete"));
}

static void on_failed(struct answer *a, const struct json *root)
{
	end_with(a, json_get(root, "response"), STR("failed"));
}

/* The most frequent first. What is not in here is of no interest to a relay of text. */
static const struct {
	const char *type;
	void (*take)(struct answer *a, const struct json *root);
} events[] = {
	{"response.output_text.delta", on_text},
	{"response.reasoning_summary_text.delta", on_thinking},
	{"response.reasoning_text.delta", on_thinking},
	{"response.reasoning_summary_part.added", on_summary},
	{"response.refusal.delta", on_text},
	{"response.output_item.done", on_item},
	{"response.created", on_begin},
	{"response.completed", on_completed},
	{"response.incomplete", on_incomplete},
	{"response.failed", on_failed},
	{"response.cancelled", on_failed},
};

static void event(struct answer *a, struct str name, const struct json *root)
{
	(void)json_str(json_get(root, "type"), &name);
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		if (!str_eq(name, str_c(events[i].type))) continue;
		events[i].take(a, root);
		return;
	}
}

static bool whole(struct answer *a, const struct json *root)
{
	struct str status = STR("completed");
	if (json_type(json_get(root, "output")) != JSON_ARR) return false;
	(void)json_str(json_get(root, "status"), &status);
	end_with(a, root, status);
	return true;
}

static const struct answer_style style = {FRAMES_SSE, event, whole, sizeof(struct state)};
const struct dialect dialect_responses = {"openai-responses", build, &style};
