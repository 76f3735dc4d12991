/* Anthropic's Messages API, as Anthropic, xAI, llama.cpp and Ollama serve it below /v1/messages.
 *
 * Two versions of the API are spoken. The newer one answers 400 to any sampling parameter, even at its default value,
 * and the older one takes them from the models that still have them; so the older one is named exactly when such a
 * parameter is given. Streams are the same in both.
 *
 * Asked with stream:true the answer is named SSE, whose data repeats the name as `type`: message_start, then for each
 * block content_block_start, deltas and content_block_stop, then message_delta with the reason and the usage, then
 * message_stop. `ping` and whatever is new may stand anywhere.
 *
 * What the model thought before a tool call has to be given back unchanged: {thinking, signature}, or {data} where it was
 * encrypted as a whole. Either is kept as a part's seal, behind a word that says which it is and whose. Thinking without
 * such a seal, another provider's say, is left out of requests: it would be refused. */
#include "provider/answer.h"
#include "provider/models.h"
#include "provider/text.h"

#define VERSION_SAMPLING "2023-06-01"
#define VERSION "2026-10-21"
#define MAX_TOKENS_UNKNOWN 4096
#define BUDGET_MIN 1024
#define SEAL_SIGNED STR("anthropic:")
#define SEAL_REDACTED STR("anthropic-redacted:")

static const struct param_wire params_list[] = {
	{P_SYSTEM, NULL}, {P_MAX_TOKENS, NULL},  {P_TEMPERATURE, "temperature"}, {P_TOP_P, "top_p"}, {P_TOP_K, "top_k"},
	{P_STOP, NULL},   {P_THINKING, NULL},    {P_THINKING_BUDGET, NULL},      {P_EFFORT, NULL},   {P_SCHEMA, NULL},
	{P_TOOLS, NULL},  {P_TOOL_CHOICE, NULL},
};
static const char *const reserved[] = {"model", "messages", "stream", "stop_sequences", "output_config", NULL};

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static bool seal_has(const struct call_part *p, struct str word, struct str *out)
{
	if (!str_starts(p->seal, word)) return false;
	*out = str_n(p->seal.p + word.n, p->seal.n - word.n);
	return true;
}

/* An empty text is refused there, and so is thinking that it did not sign. */
static bool is_sent(const struct call_part *p)
{
	struct str seal;
	if (p->kind == PART_TEXT) return p->text.n > 0;
	return p->kind != PART_THINKING || seal_has(p, SEAL_SIGNED, &seal) || seal_has(p, SEAL_REDACTED, &seal);
}

/* Results must stand before what else the user says, thinking before what the model says. */
static bool is_first(const struct call_part *p) { return p->kind == PART_TOOL_RESULT || p->kind == PART_THINKING; }

static void put_text(struct jw *w, struct str text)
{
	jw_kstr(w, "type", STR("text"));
	jw_kstr(w, "text", text);
}

static void put_base64(struct jw *w, const char *type, const struct call_part *p)
{
	jw_kstr(w, "type", str_c(type));
	jw_key(w, "source");
	jw_obj(w);
	jw_kstr(w, "type", STR("base64"));
	jw_kstr(w, "media_type", p->media_type);
	jw_key(w, "data");
	wire_put_base64(w, "", p->bytes);
	jw_obj_end(w);
}

/* PDF goes as it is; text of any kind as plain text, the only one there. */
static void put_document(struct jw *w, const struct call_part *p)
{
	struct buf text = BUF_INIT(WIRE_BODY_MAX);
	if (!str_starts(p->media_type, STR("text/"))) {
		put_base64(w, "document", p);
	} else {
		text_repair(p->bytes, &text);
		w->b->failed = w->b->failed || text.failed;
		jw_kstr(w, "type", STR("document"));
		jw_key(w, "source");
		jw_obj(w);
		jw_kstr(w, "type", STR("text"));
		jw_kstr(w, "media_type", STR("text/plain"));
		jw_kstr(w, "data", buf_str(&text));
		jw_obj_end(w);
		buf_release(&text);
	}
	if (p->name.n > 0) jw_kstr(w, "title", p->name);
}

/* The input must be an object. Arguments that were none are given back in one, as Anthropic advises. */
static void put_tool_use(struct jw *w, const struct call_part *p)
{
	struct json_doc *doc = NULL;
	bool is_object = json_parse(p->text, &doc, NULL) == OK && json_type(json_root(doc)) == JSON_OBJ;
	jw_kstr(w, "type", STR("tool_use"));
	jw_kstr(w, "id", p->id);
	jw_kstr(w, "name", p->name);
	jw_key(w, "input");
	if (is_object) {
		jw_value(w, json_root(doc));
	} else {
		jw_obj(w);
		if (p->text.n > 0) jw_kstr(w, "INVALID_JSON", p->text);
		jw_obj_end(w);
	}
	json_free(doc);
}

static void put_thinking_block(struct jw *w, const struct call_part *p)
{
	struct str seal;
	if (seal_has(p, SEAL_REDACTED, &seal)) {
		jw_kstr(w, "type", STR("redacted_thinking"));
		jw_kstr(w, "data", seal);
	} else if (seal_has(p, SEAL_SIGNED, &seal)) {
		jw_kstr(w, "type", STR("thinking"));
		jw_kstr(w, "thinking", p->text);
		jw_kstr(w, "signature", seal);
	}
}

static void put_block(struct jw *w, const struct call_part *p)
{
	jw_obj(w);
	switch (p->kind) {
	case PART_TEXT: put_text(w, p->text); break;
	case PART_IMAGE: put_base64(w, "image", p); break;
	case PART_FILE: put_document(w, p); break;
	case PART_TOOL_CALL: put_tool_use(w, p); break;
	case PART_TOOL_RESULT:
		jw_kstr(w, "type", STR("tool_result"));
		jw_kstr(w, "tool_use_id", p->id);
		jw_kstr(w, "content", p->text);
		if (p->is_error) jw_kbool(w, "is_error", true);
		break;
	case PART_THINKING: put_thinking_block(w, p); break;
	}
	jw_obj_end(w);
}

static void put_content(struct jw *w, const struct call_message *m)
{
	jw_key(w, "content");
	if (m->nparts == 0) {
		jw_str(w, m->text);
		return;
	}
	jw_arr(w);
	for (size_t i = 0; i < m->nparts; i++)
		if (is_first(&m->parts[i]) && is_sent(&m->parts[i])) put_block(w, &m->parts[i]);
	if (m->text.n > 0) put_block(w, &(struct call_part){.kind = PART_TEXT, .text = m->text});
	for (size_t i = 0; i < m->nparts; i++)
		if (!is_first(&m->parts[i]) && is_sent(&m->parts[i])) put_block(w, &m->parts[i]);
	jw_arr_end(w);
}

/* A message with nothing to send is refused there: it is left out. */
static enum err put_message(struct jw *w, const struct call_message *m, struct errinfo *info)
{
	bool is_model = str_eq(m->role, STR("assistant")), empty = m->text.n == 0;
	for (size_t i = 0; i < m->nparts; i++) {
		enum part_kind kind = m->parts[i].kind;
		empty = empty && !is_sent(&m->parts[i]);
		if (is_model && (kind == PART_IMAGE || kind == PART_FILE))
			return err_set(info, ERR_BAD_FIELD,
				       "the Messages API takes images and files from the user only, not in the model's "
				       "own messages");
	}
	if (empty) return OK;
	jw_obj(w);
	jw_kstr(w, "role", is_model ? STR("assistant") : STR("user"));
	put_content(w, m);
	jw_obj_end(w);
	return OK;
}

static enum err put_messages(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	struct buf lead = BUF_INIT(WIRE_BODY_MAX);
	enum err e = OK;
	ask_system(ask, &lead);
	w->b->failed = w->b->failed || lead.failed;
	if (lead.n > 0) jw_kstr(w, "system", buf_str(&lead));
	buf_release(&lead);
	jw_key(w, "messages");
	jw_arr(w);
	for (size_t i = 0; i < ask->nmessages && e == OK; i++)
		if (!str_eq(ask->messages[i].role, STR("system"))) e = put_message(w, &ask->messages[i], info);
	jw_arr_end(w);
	return e;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

/* The API wants a limit in every request: what was asked for, else the most that the model can, else a modest one. */
static int64_t max_tokens(const struct provider_ask *ask)
{
	if (param_given(ask->params, P_MAX_TOKENS)) return param_int(ask->params, P_MAX_TOKENS);
	return ask->about != NULL && ask->about->max_output > 0 ? ask->about->max_output : MAX_TOKENS_UNKNOWN;
}

/* Newer models show nothing of their thinking unless told to. */
static void put_thinking(struct jw *w, const char *type, int64_t budget)
{
	jw_key(w, "thinking");
	jw_obj(w);
	jw_kstr(w, "type", str_c(type));
	if (budget > 0) jw_kint(w, "budget_tokens", budget);
	if (strcmp(type, "disabled") != 0) jw_kstr(w, "display", STR("summarized"));
	jw_obj_end(w);
}

/* The API has thinking with a budget and thinking as the model sees fit. "on" without a budget is the latter where the
 * model is known to have it, else half of the answer's tokens are the budget. */
static enum err plan_thinking(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	const struct params *p = ask->params;
	struct str thinking = param_thinking(p);
	bool budgeted = param_given(p, P_THINKING_BUDGET), adaptive = str_eq(thinking, STR("adaptive"));
	bool none = str_eq(param_text(p, P_EFFORT), STR("none")), off = none || str_eq(thinking, STR("off"));
	if (off && thinking.n > 0 && !str_eq(thinking, STR("off")))
		return err_set(info, ERR_BAD_FIELD, "params.effort is none, but params.thinking is %.*s; give one",
			       STR_ARG(thinking));
	if (budgeted && (off || adaptive))
		return err_set(info, ERR_BAD_FIELD, "params.thinkingBudget is only for params.thinking on");
	bool can_adapt = ask->about != NULL && (ask->about->can & CAN_THINK_ADAPT) != 0;
	if (off || (thinking.n == 0 && !budgeted)) {
		if (off) put_thinking(w, "disabled", 0);
		return OK;
	}
	if (adaptive || (!budgeted && can_adapt)) {
		put_thinking(w, "adaptive", 0);
		return OK;
	}
	int64_t most = max_tokens(ask), budget = budgeted ? param_int(p, P_THINKING_BUDGET) : MAX(most / 2, BUDGET_MIN);
	if (budget < BUDGET_MIN || budget >= most)
		return err_set(info, ERR_BAD_FIELD,
			       "params.thinkingBudget must be at least %d and less than params.maxTokens (here %lld)",
			       BUDGET_MIN, (long long)most);
	put_thinking(w, "enabled", budget);
	return OK;
}

static enum err put_output(struct jw *w, const struct params *p, struct errinfo *info)
{
	struct str effort = param_text(p, P_EFFORT);
	if (str_eq(effort, STR("none"))) effort = STR(""); /* said by `thinking` */
	if (str_eq(effort, STR("minimal")))
		return err_set(info, ERR_BAD_FIELD, "params.effort: the Messages API has no minimal; its least is low");
	if (effort.n == 0 && !param_given(p, P_SCHEMA)) return OK;
	jw_key(w, "output_config");
	jw_obj(w);
	if (effort.n > 0) jw_kstr(w, "effort", effort);
	if (param_given(p, P_SCHEMA)) {
		jw_key(w, "format");
		jw_obj(w);
		jw_kstr(w, "type", STR("json_schema"));
		param_put(w, "schema", p, P_SCHEMA);
		jw_obj_end(w);
	}
	jw_obj_end(w);
	return OK;
}

/* Members of a tool besides ours (strict, cache_control) go along. A schema must be there. */
static void put_tools(struct jw *w, const struct params *p)
{
	jw_key(w, "tools");
	jw_arr(w);
	for (struct json_iter it = json_iter(p->at[P_TOOLS]); json_next(&it);) {
		jw_obj(w);
		for (struct json_iter m = json_iter(it.val); json_next(&m);) {
			bool is_schema = str_eq(m.key, STR("parameters"));
			jw_key_str(w, is_schema ? STR("input_schema") : m.key);
			jw_value(w, m.val);
		}
		if (json_get(it.val, "parameters") == NULL) jw_kraw(w, "input_schema", STR("{\"type\":\"object\"}"));
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

static void put_tool_choice(struct jw *w, struct str choice)
{
	bool named = false;
	struct str type = choice;
	if (str_eq(choice, STR("required"))) type = STR("any");
	else named = !str_eq(choice, STR("auto")) && !str_eq(choice, STR("none"));
	jw_key(w, "tool_choice");
	jw_obj(w);
	jw_kstr(w, "type", named ? STR("tool") : type);
	if (named) jw_kstr(w, "name", choice);
	jw_obj_end(w);
}

static enum err put_params(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	const struct params *p = ask->params;
	enum err e = params_put(w, p, params_list, ARRAY_LEN(params_list), "the Messages API", info);
	if (param_given(p, P_STOP)) param_put_strings(w, "stop_sequences", p, P_STOP);
	if (e == OK) e = plan_thinking(w, ask, info);
	if (e == OK) e = put_output(w, p, info);
	if (param_given(p, P_TOOLS)) put_tools(w, p);
	if (param_given(p, P_TOOL_CHOICE)) put_tool_choice(w, param_text(p, P_TOOL_CHOICE));
	return e == OK ? params_put_extras(w, p, reserved, info) : e;
}

static bool has_sampling(const struct params *p)
{
	return param_given(p, P_TEMPERATURE) || param_given(p, P_TOP_P) || param_given(p, P_TOP_K);
}

static enum err build(const struct provider_ask *ask, struct wire_request *out, struct errinfo *info)
{
	wire_request_init(out, ask->base_url, "/v1/messages");
	wire_request_add_header(out, "Accept: text/event-stream, application/json");
	wire_request_add_header(out, "anthropic-version: %s", has_sampling(ask->params) ? VERSION_SAMPLING : VERSION);
	if (ask->key.n > 0) wire_request_add_header(out, "x-api-key: %.*s", STR_ARG(ask->key));
	struct jw w = JW(&out->body);
	jw_obj(&w);
	jw_kstr(&w, "model", ask->model);
	jw_kint(&w, "max_tokens", max_tokens(ask));
	enum err e = put_messages(&w, ask, info);
	jw_kbool(&w, "stream", true);
	if (e == OK) e = put_params(&w, ask, info);
	jw_obj_end(&w);
	return wire_request_end(out, e, info);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const struct finish_word finish_words[] = {
	{"end_turn", "stop"},
	{"max_tokens", "length"},
	{"tool_use", "tool_calls"},
	{"pause_turn", "pause"},
	{"model_context_window_exceeded", "context_window"},
};

struct state {
	bool said;         /* text, or a tool call */
	bool in_tool;      /* `tool` is set */
	int64_t tool;      /* index of the tool call that began last */
	bool has_uncached; /* `uncached` is set */
	int64_t uncached;  /* input tokens besides those that a cache took or gave */
};

static void say_text(struct answer *a, const struct json *v)
{
	struct state *s = answer_state(a);
	struct str text;
	if (json_str(v, &text) && text.n > 0) s->said = true;
	answer_say_json(a, ANSWER_TEXT, v);
}

/* Shown, and kept beside its signature. Its bytes are counted once. */
static void think(struct answer *a, int64_t index, const struct json *v)
{
	struct answer_part *p;
	struct str text;
	if (!json_str(v, &text) || text.n == 0) return;
	answer_say(a, ANSWER_THINKING, text);
	if ((p = answer_part(a, PART_THINKING, index)) != NULL) buf_add_str(&p->text, text);
}

static void seal(struct answer *a, int64_t index, struct str word, const struct json *v)
{
	struct answer_part *p;
	struct str text;
	if (!json_str(v, &text) || text.n == 0 || (p = answer_part(a, PART_THINKING, index)) == NULL) return;
	if (p->seal.n == 0) answer_part_put(a, &p->seal, word);
	answer_part_add(a, &p->seal, v);
}

/* The start of a block, and the whole of one in an answer that did not stream. The tools that run at the provider's are
 * its own affair: their blocks are not looked at. */
static void read_block(struct answer *a, int64_t index, const struct json *block)
{
	struct state *s = answer_state(a);
	struct str type = STR("");
	struct answer_part *p;
	(void)json_str(json_get(block, "type"), &type);
	s->in_tool = false;
	if (str_eq(type, STR("text"))) {
		say_text(a, json_get(block, "text"));
	} else if (str_eq(type, STR("thinking"))) {
		think(a, index, json_get(block, "thinking"));
		seal(a, index, SEAL_SIGNED, json_get(block, "signature"));
	} else if (str_eq(type, STR("redacted_thinking"))) {
		seal(a, index, SEAL_REDACTED, json_get(block, "data"));
	} else if (str_eq(type, STR("tool_use")) && (p = answer_part(a, PART_TOOL_CALL, index)) != NULL) {
		s->said = s->in_tool = true;
		s->tool = index;
		answer_part_add(a, &p->id, json_get(block, "id"));
		answer_part_add(a, &p->name, json_get(block, "name"));
		if (json_len(json_get(block, "input")) > 0) answer_part_add(a, &p->text, json_get(block, "input"));
	}
}

static void read_delta(struct answer *a, int64_t index, const struct json *delta)
{
	const struct state *s = answer_state(a);
	struct str type = STR("");
	struct answer_part *p;
	(void)json_str(json_get(delta, "type"), &type);
	if (str_eq(type, STR("text_delta"))) {
		say_text(a, json_get(delta, "text"));
	} else if (str_eq(type, STR("thinking_delta"))) {
		think(a, index, json_get(delta, "thinking"));
	} else if (str_eq(type, STR("signature_delta"))) {
		seal(a, index, SEAL_SIGNED, json_get(delta, "signature"));
	} else if (str_eq(type, STR("input_json_delta")) && s->in_tool && s->tool == index &&
		   (p = answer_part(a, PART_TOOL_CALL, index)) != NULL) {
		answer_part_add(a, &p->text, json_get(delta, "partial_json"));
	}
}

/* Counts are cumulative, and what is not said again still holds. input_tokens leaves out what a cache took or gave. */
static void read_usage(struct answer *a, const struct json *usage)
{
	struct state *s = answer_state(a);
	struct call_usage *u = answer_usage(a);
	int64_t uncached = -1;
	answer_count(json_get(usage, "input_tokens"), &uncached);
	answer_count(json_get(usage, "cache_read_input_tokens"), &u->cache_read_tokens);
	answer_count(json_get(usage, "cache_creation_input_tokens"), &u->cache_write_tokens);
	answer_count(json_get(usage, "output_tokens"), &u->output_tokens);
	answer_count(json_get(json_get(usage, "output_tokens_details"), "thinking_tokens"), &u->thinking_tokens);
	if (uncached >= 0) {
		s->has_uncached = true;
		s->uncached = uncached;
	}
	if (s->has_uncached)
		u->input_tokens = s->uncached + MAX(u->cache_read_tokens, 0) + MAX(u->cache_write_tokens, 0);
}

/* The end of a message: {stop_reason, stop_details}. A refusal that came before any text is an error, and may say why. */
static void read_stop(struct answer *a, const struct json *v)
{
	const struct state *s = answer_state(a);
	struct str why = STR(""), said = STR("");
	(void)json_str(json_get(v, "stop_reason"), &why);
	answer_finish(a, why, finish_words, ARRAY_LEN(finish_words));
	if (!str_eq(why, STR("refusal")) || s->said) return;
	const struct json *details = json_get(v, "stop_details");
	if (!json_str(json_get(details, "explanation"), &said)) (void)json_str(json_get(details, "category"), &said);
	answer_fail_said(a, FAIL_FILTER, "the model refused to answer", said);
}

static void event(struct answer *a, struct str name, const struct json *root)
{
	int64_t index = 0;
	struct str type = name;
	(void)json_str(json_get(root, "type"), &type);
	(void)json_int(json_get(root, "index"), &index);
	if (str_eq(type, STR("message_start"))) {
		answer_request_id(a, json_get(json_get(root, "message"), "id"));
		read_usage(a, json_get(json_get(root, "message"), "usage"));
	} else if (str_eq(type, STR("content_block_start"))) {
		read_block(a, index, json_get(root, "content_block"));
	} else if (str_eq(type, STR("content_block_delta"))) {
		read_delta(a, index, json_get(root, "delta"));
	} else if (str_eq(type, STR("message_delta"))) {
		read_usage(a, json_get(root, "usage"));
		read_stop(a, json_get(root, "delta"));
	} else if (str_eq(type, STR("message_stop"))) {
		answer_complete(a);
	}
}

static bool whole(struct answer *a, const struct json *root)
{
	int64_t index = 0;
	if (json_type(json_get(root, "content")) != JSON_ARR) return false;
	answer_request_id(a, json_get(root, "id"));
	for (struct json_iter it = json_iter(json_get(root, "content")); json_next(&it);)
		read_block(a, index++, it.val);
	read_usage(a, json_get(root, "usage"));
	read_stop(a, root);
	return true;
}

static const struct answer_style style = {FRAMES_SSE, event, whole, sizeof(struct state)};
const struct dialect dialect_anthropic = {"anthropic", build, &style};
