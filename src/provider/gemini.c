/* Google's Gemini, generateContent of the Developer API (v1beta).
 *
 * Asked with alt=sse the answer is data-only SSE; each event is a whole GenerateContentResponse whose text is the next
 * piece. There is no last mark: the connection ends after an event with a finishReason. What is met in practice and read
 * here:
 *  - a finishReason says nothing of tool calls; that there are some is seen from the parts;
 *  - a call of a function may have no id. It gets one of ours, which says so and is left out when it is given back;
 *  - usage is cumulative and leaves out what is zero; thoughts are not among the candidates' tokens;
 *  - a prompt that was blocked is an event with promptFeedback and no candidate;
 *  - an error in the middle may be a bare JSON object between the events (provider/sse.h).
 *
 * A part may carry a thoughtSignature, which is kept with it as a seal behind a word that says whose it is. Of a text it
 * is kept as thinking without text, and given back as what Gemini's own streams have there: an empty text that is
 * signed. */
#include "provider/answer.h"

#define SEAL STR("gemini:")
#define OUR_ID STR("gemini_")

static const struct param_wire params_list[] = {
	{P_SYSTEM, NULL},
	{P_MAX_TOKENS, "maxOutputTokens"},
	{P_TEMPERATURE, "temperature"},
	{P_TOP_P, "topP"},
	{P_TOP_K, "topK"},
	{P_SEED, "seed"},
	{P_STOP, NULL},
	{P_FREQUENCY, "frequencyPenalty"},
	{P_PRESENCE, "presencePenalty"},
	{P_THINKING, NULL},
	{P_THINKING_BUDGET, NULL},
	{P_EFFORT, NULL},
	{P_SCHEMA, NULL},
	{P_TOOLS, NULL},
	{P_TOOL_CHOICE, NULL},
};
/* Extras go into generationConfig, but for these. */
static const char *const beside_config[] = {"safetySettings", "cachedContent", "serviceTier", "store", "labels"};
static const char *const reserved[] = {"model",          "contents",        "systemInstruction",  "generationConfig",
				       "toolConfig",     "maxOutputTokens", "responseJsonSchema", "responseMimeType",
				       "thinkingConfig", "candidateCount"};

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static bool seal_of(const struct call_part *p, struct str *out)
{
	if (!str_starts(p->seal, SEAL)) return false;
	*out = str_n(p->seal.p + SEAL.n, p->seal.n - SEAL.n);
	return true;
}

static bool is_sent(const struct call_part *p)
{
	struct str seal;
	if (p->kind == PART_TEXT) return p->text.n > 0;
	return p->kind != PART_THINKING || seal_of(p, &seal);
}

static void put_id(struct jw *w, struct str id)
{
	if (id.n > 0 && !str_starts(id, OUR_ID)) jw_kstr(w, "id", id);
}

/* Text that is a JSON object as it is; any other as the member `key` of one. */
static void put_object(struct jw *w, const char *key, struct str text, bool wrap)
{
	struct json_doc *doc = NULL;
	bool is_object = json_parse(text, &doc, NULL) == OK && json_type(json_root(doc)) == JSON_OBJ;
	if (is_object && !wrap) {
		jw_value(w, json_root(doc));
	} else {
		jw_obj(w);
		jw_key(w, key);
		if (is_object) jw_value(w, json_root(doc));
		else jw_str(w, text);
		jw_obj_end(w);
	}
	json_free(doc);
}

static void put_call(struct jw *w, const struct call_part *p)
{
	jw_key(w, "functionCall");
	jw_obj(w);
	put_id(w, p->id);
	jw_kstr(w, "name", p->name);
	jw_key(w, "args");
	put_object(w, "INVALID_JSON", p->text.n > 0 ? p->text : STR("{}"), false);
	jw_obj_end(w);
}

/* A response names its function. When the part does not say it, the call before it does. */
static struct str name_of_call(const struct provider_ask *ask, const struct call_part *result)
{
	if (result->name.n > 0) return result->name;
	for (size_t i = ask->nmessages; i-- > 0;) {
		const struct call_message *m = &ask->messages[i];
		for (size_t k = 0; k < m->nparts; k++)
			if (m->parts[k].kind == PART_TOOL_CALL && str_eq(m->parts[k].id, result->id))
				return m->parts[k].name;
	}
	return STR_NONE;
}

static enum err put_response(struct jw *w, const struct provider_ask *ask, const struct call_part *p,
			     struct errinfo *info)
{
	struct str name = name_of_call(ask, p);
	if (name.n == 0)
		return err_set(info, ERR_BAD_FIELD,
			       "the tool result \"%.*s\" belongs to no tool call of the conversation",
			       (int)MIN(p->id.n, (size_t)64), p->id.p);
	jw_key(w, "functionResponse");
	jw_obj(w);
	put_id(w, p->id);
	jw_kstr(w, "name", name);
	jw_key(w, "response");
	put_object(w, p->is_error ? "error" : "output", p->text, p->is_error);
	jw_obj_end(w);
	return OK;
}

static void put_data(struct jw *w, const struct call_part *p)
{
	jw_key(w, "inlineData");
	jw_obj(w);
	jw_kstr(w, "mimeType", p->media_type);
	jw_key(w, "data");
	wire_put_base64(w, "", p->bytes);
	jw_obj_end(w);
}

static enum err put_part(struct jw *w, const struct provider_ask *ask, const struct call_part *p, struct errinfo *info)
{
	enum err e = OK;
	struct str seal;
	jw_obj(w);
	switch (p->kind) {
	case PART_TEXT: jw_kstr(w, "text", p->text); break;
	case PART_IMAGE:
	case PART_FILE: put_data(w, p); break;
	case PART_TOOL_CALL: put_call(w, p); break;
	case PART_TOOL_RESULT: e = put_response(w, ask, p, info); break;
	case PART_THINKING:
		jw_kstr(w, "text", p->text);
		if (p->text.n > 0) jw_kbool(w, "thought", true);
		break;
	}
	if (seal_of(p, &seal)) jw_kstr(w, "thoughtSignature", seal);
	jw_obj_end(w);
	return e;
}

/* Thoughts come before what was said. */
static bool is_first(const struct call_part *p) { return p->kind == PART_THINKING && p->text.n > 0; }

static enum err put_parts(struct jw *w, const struct provider_ask *ask, const struct call_message *m, bool first,
			  struct errinfo *info)
{
	enum err e = OK;
	for (size_t i = 0; i < m->nparts && e == OK; i++)
		if (is_first(&m->parts[i]) == first && is_sent(&m->parts[i])) e = put_part(w, ask, &m->parts[i], info);
	return e;
}

/* Content without parts is refused there: a message with nothing to send is left out. */
static enum err put_message(struct jw *w, const struct provider_ask *ask, const struct call_message *m,
			    struct errinfo *info)
{
	bool empty = m->text.n == 0;
	for (size_t i = 0; i < m->nparts; i++) empty = empty && !is_sent(&m->parts[i]);
	if (empty) return OK;
	jw_obj(w);
	jw_kstr(w, "role", str_eq(m->role, STR("assistant")) ? STR("model") : STR("user"));
	jw_key(w, "parts");
	jw_arr(w);
	enum err e = put_parts(w, ask, m, true, info);
	if (e == OK && m->text.n > 0)
		e = put_part(w, ask, &(struct call_part){.kind = PART_TEXT, .text = m->text}, info);
	if (e == OK) e = put_parts(w, ask, m, false, info);
	jw_arr_end(w);
	jw_obj_end(w);
	return e;
}

static void put_system(struct jw *w, const struct provider_ask *ask)
{
	struct buf lead = BUF_INIT(WIRE_BODY_MAX);
	ask_system(ask, &lead);
	w->b->failed = w->b->failed || lead.failed;
	if (lead.n > 0) {
		jw_key(w, "systemInstruction");
		jw_obj(w);
		jw_key(w, "parts");
		jw_arr(w);
		jw_obj(w);
		jw_kstr(w, "text", buf_str(&lead));
		jw_obj_end(w);
		jw_arr_end(w);
		jw_obj_end(w);
	}
	buf_release(&lead);
}

static enum err put_contents(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	enum err e = OK;
	jw_key(w, "contents");
	jw_arr(w);
	for (size_t i = 0; i < ask->nmessages && e == OK; i++)
		if (!str_eq(ask->messages[i].role, STR("system"))) e = put_message(w, ask, &ask->messages[i], info);
	jw_arr_end(w);
	return e;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static const struct {
	const char *effort, *level;
} levels[] = {{"minimal", "MINIMAL"}, {"low", "LOW"}, {"medium", "MEDIUM"}, {"high", "HIGH"}};

static enum err put_level(struct jw *w, struct str effort, struct errinfo *info)
{
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (!str_eq(effort, str_c(levels[i].effort))) continue;
		jw_kstr(w, "thinkingLevel", str_c(levels[i].level));
		return OK;
	}
	return err_set(info, ERR_BAD_FIELD, "params.effort: Gemini has none, minimal, low, medium and high, not %.*s",
		       STR_ARG(effort));
}

/* A budget of 0 is no thinking, one of -1 as much as the model sees fit. What was thought is shown when thinking was
 * asked for by name or by a budget. */
static enum err put_thinking(struct jw *w, const struct params *p, struct errinfo *info)
{
	struct str thinking = param_thinking(p), effort = param_text(p, P_EFFORT);
	bool budgeted = param_given(p, P_THINKING_BUDGET), none = str_eq(effort, STR("none"));
	bool off = none || str_eq(thinking, STR("off")), adaptive = str_eq(thinking, STR("adaptive"));
	enum err e = OK;
	if (none) effort = STR("");
	int64_t budget = budgeted ? param_int(p, P_THINKING_BUDGET) : adaptive && effort.n == 0 ? -1 : 0;
	if (thinking.n == 0 && !budgeted && !off && effort.n == 0) return OK;
	if (off && ((thinking.n > 0 && !str_eq(thinking, STR("off"))) || effort.n > 0 || budget > 0))
		return err_set(info, ERR_BAD_FIELD,
			       "thinking is both off and on in params.thinking, thinkingBudget and effort; give one");
	if (budgeted && (effort.n > 0 || adaptive))
		return err_set(info, ERR_BAD_FIELD,
			       "params.thinkingBudget can't be given to Gemini with an effort or adaptive thinking");
	jw_key(w, "thinkingConfig");
	jw_obj(w);
	if (!off && (thinking.n > 0 || budget > 0)) jw_kbool(w, "includeThoughts", true);
	if (budgeted || off || budget < 0) jw_kint(w, "thinkingBudget", budget);
	if (effort.n > 0) e = put_level(w, effort, info);
	jw_obj_end(w);
	return e;
}

static void put_tools(struct jw *w, const struct params *p)
{
	jw_key(w, "tools");
	jw_arr(w);
	jw_obj(w);
	jw_key(w, "functionDeclarations");
	jw_arr(w);
	for (struct json_iter it = json_iter(p->at[P_TOOLS]); json_next(&it);) {
		jw_obj(w);
		for (struct json_iter m = json_iter(it.val); json_next(&m);) {
			jw_key_str(w, str_eq(m.key, STR("parameters")) ? STR("parametersJsonSchema") : m.key);
			jw_value(w, m.val);
		}
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_obj_end(w);
	jw_arr_end(w);
}

static void put_tool_choice(struct jw *w, struct str choice)
{
	static const char *const modes[][2] = {{"auto", "AUTO"}, {"none", "NONE"}, {"required", "ANY"}};
	const char *mode = NULL;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (str_eq(choice, str_c(modes[i][0]))) mode = modes[i][1];
	jw_key(w, "toolConfig");
	jw_obj(w);
	jw_key(w, "functionCallingConfig");
	jw_obj(w);
	jw_kstr(w, "mode", mode != NULL ? str_c(mode) : STR("ANY"));
	if (mode == NULL) {
		jw_key(w, "allowedFunctionNames");
		jw_arr(w);
		jw_str(w, choice);
		jw_arr_end(w);
	}
	jw_obj_end(w);
	jw_obj_end(w);
}

static bool is_in(struct str key, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(key, str_c(names[i]))) return true;
	return false;
}

/* The extras that belong beside generationConfig, or those that belong into it. */
static enum err put_extras(struct jw *w, const struct params *p, bool beside, struct errinfo *info)
{
	for (struct json_iter it = json_iter(p->all); json_next(&it);) {
		if (param_find(it.key) != PARAM_COUNT) continue;
		if (is_in(it.key, reserved, ARRAY_LEN(reserved)))
			return err_set(info, ERR_BAD_FIELD, "params.%.*s cannot be given; Roost sets it",
				       STR_ARG(it.key));
		if (is_in(it.key, beside_config, ARRAY_LEN(beside_config)) != beside) continue;
		jw_key_str(w, it.key);
		jw_value(w, it.val);
	}
	return OK;
}

static enum err put_config(struct jw *w, const struct params *p, struct errinfo *info)
{
	jw_key(w, "generationConfig");
	jw_obj(w);
	enum err e = params_put(w, p, params_list, ARRAY_LEN(params_list), "the Gemini API", info);
	if (param_given(p, P_STOP)) param_put_strings(w, "stopSequences", p, P_STOP);
	if (param_given(p, P_SCHEMA)) {
		jw_kstr(w, "responseMimeType", STR("application/json"));
		param_put(w, "responseJsonSchema", p, P_SCHEMA);
	}
	if (e == OK) e = put_thinking(w, p, info);
	if (e == OK) e = put_extras(w, p, false, info);
	jw_obj_end(w);
	return e;
}

/* A model's name is one segment of the path, whatever is in it. Listings have it with "models/" in front. */
static void escape_model(struct str model, struct buf *out)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	struct str prefix = STR("models/");
	if (str_starts(model, prefix)) model = str_n(model.p + prefix.n, model.n - prefix.n);
	for (size_t i = 0; i < model.n; i++) {
		if (memchr(plain, model.p[i], sizeof plain - 1) != NULL) buf_add_char(out, model.p[i]);
		else buf_addf(out, "%%%02X", (unsigned)(unsigned char)model.p[i]);
	}
}

static enum err build(const struct provider_ask *ask, struct wire_request *out, struct errinfo *info)
{
	struct buf model = BUF_INIT(BUF_NO_LIMIT);
	escape_model(ask->model, &model);
	wire_request_init(out, ask->base_url, "/models/%.*s:streamGenerateContent?alt=sse", STR_ARG(buf_str(&model)));
	buf_release(&model);
	wire_request_add_header(out, "Accept: text/event-stream, application/json");
	if (ask->key.n > 0) wire_request_add_header(out, "x-goog-api-key: %.*s", STR_ARG(ask->key));
	struct jw w = JW(&out->body);
	jw_obj(&w);
	put_system(&w, ask);
	enum err e = put_contents(&w, ask, info);
	if (e == OK) e = put_config(&w, ask->params, info);
	if (param_given(ask->params, P_TOOLS)) put_tools(&w, ask->params);
	if (param_given(ask->params, P_TOOL_CHOICE)) put_tool_choice(&w, param_text(ask->params, P_TOOL_CHOICE));
	if (e == OK) e = put_extras(&w, ask->params, true, info);
	jw_obj_end(&w);
	return wire_request_end(out, e, info);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const struct finish_word finish_words[] = {
	{"STOP", "stop"},
	{"MAX_TOKENS", "length"},
	{"SAFETY", "content_filter"},
	{"RECITATION", "content_filter"},
	{"BLOCKLIST", "content_filter"},
	{"PROHIBITED_CONTENT", "content_filter"},
	{"SPII", "content_filter"},
	{"IMAGE_SAFETY", "content_filter"},
	{"IMAGE_RECITATION", "content_filter"},
	{"IMAGE_PROHIBITED_CONTENT", "content_filter"},
	{"LANGUAGE", "language"},
	{"OTHER", "other"},
	{"MALFORMED_FUNCTION_CALL", "malformed_tool_call"},
	{"UNEXPECTED_TOOL_CALL", "unexpected_tool_call"},
	{"TOO_MANY_TOOL_CALLS", "too_many_tool_calls"},
	{"MALFORMED_RESPONSE", "malformed_response"},
	{"CONTINUATION", "continuation"},
	{"NO_IMAGE", "no_image"},
};

struct state {
	int64_t parts; /* parts kept so far: the next one's index */
	bool said;     /* text, or a tool call */
	bool called;   /* a tool call */
};

static void seal(struct answer *a, struct answer_part *p, const struct json *signature)
{
	struct str s;
	if (p == NULL || !json_str(signature, &s) || s.n == 0) return;
	answer_part_put(a, &p->seal, SEAL);
	answer_part_add(a, &p->seal, signature);
}

/* An id of ours is unlike any other of the conversation, because of the answer's own id in it. */
static void make_id(struct answer *a, struct answer_part *p, const struct json *response_id)
{
	struct str s = STR("");
	(void)json_str(response_id, &s);
	answer_part_put(a, &p->id, OUR_ID);
	for (size_t i = 0; i < MIN(s.n, (size_t)40); i++) {
		char c = s.p[i];
		bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
		if (letter || (c >= '0' && c <= '9') || c == '_' || c == '-') answer_part_put(a, &p->id, str_n(&c, 1));
	}
	answer_part_put(a, &p->id, STR("_"));
	buf_add_int(&p->id, p->index);
}

static void read_call(struct answer *a, const struct json *part, const struct json *call,
		      const struct json *response_id)
{
	struct state *s = answer_state(a);
	struct answer_part *p = answer_part(a, PART_TOOL_CALL, s->parts++);
	if (p == NULL) return;
	s->said = s->called = true;
	answer_part_add(a, &p->id, json_get(call, "id"));
	if (p->id.n == 0) make_id(a, p, response_id);
	answer_part_add(a, &p->name, json_get(call, "name"));
	answer_part_add(a, &p->text, json_get(call, "args"));
	seal(a, p, json_get(part, "thoughtSignature"));
}

static void read_part(struct answer *a, const struct json *part, const struct json *response_id)
{
	enum { TEXT, THOUGHT, CALL, SIGNATURE };
	static const struct str keys[] = {STR_INIT("text"), STR_INIT("thought"), STR_INIT("functionCall"),
					  STR_INIT("thoughtSignature")};
	const struct json *at[ARRAY_LEN(keys)];
	struct state *s = answer_state(a);
	struct str text = STR("");
	bool thought = false;
	json_pick(part, keys, ARRAY_LEN(keys), at);
	if (json_type(at[CALL]) == JSON_OBJ) {
		read_call(a, part, at[CALL], response_id);
		return;
	}
	(void)json_str(at[TEXT], &text);
	(void)json_bool(at[THOUGHT], &thought);
	if (!thought && text.n > 0) s->said = true;
	answer_say(a, thought ? ANSWER_THINKING : ANSWER_TEXT, text);
	if (json_type(at[SIGNATURE]) != JSON_STR) return;
	struct answer_part *p = answer_part(a, PART_THINKING, s->parts++);
	if (p != NULL && thought) buf_add_str(&p->text, text); /* its bytes are counted already */
	seal(a, p, at[SIGNATURE]);
}

/* An end before anything was said is an error that says why; "OTHER" and a broken call may go better another time. */
static void read_finish(struct answer *a, const struct json *candidate, const struct json *reason)
{
	const struct state *s = answer_state(a);
	struct str why, said = STR("");
	if (!json_str(reason, &why) || str_eq(why, STR("FINISH_REASON_UNSPECIFIED"))) return;
	bool stop = str_eq(why, STR("STOP")), filtered = false;
	answer_finish(a, stop && s->called ? STR("tool_calls") : why, finish_words, ARRAY_LEN(finish_words));
	if (s->said || stop || str_eq(why, STR("MAX_TOKENS"))) return;
	for (size_t i = 0; i < ARRAY_LEN(finish_words); i++)
		if (str_eq(why, str_c(finish_words[i].theirs)))
			filtered = strcmp(finish_words[i].ours, "content_filter") == 0;
	if (!json_str(json_get(candidate, "finishMessage"), &said) || said.n == 0) said = why;
	if (filtered) answer_fail_said(a, FAIL_FILTER, "the provider withheld the answer", said);
	else answer_fail_said(a, FAIL_SERVER, "the provider ended without text", said);
}

static void read_candidate(struct answer *a, const struct json *candidate, const struct json *response_id)
{
	enum { CONTENT, INDEX, REASON };
	static const struct str keys[] = {STR_INIT("content"), STR_INIT("index"), STR_INIT("finishReason")};
	const struct json *at[ARRAY_LEN(keys)];
	int64_t index;
	json_pick(candidate, keys, ARRAY_LEN(keys), at);
	if (json_int(at[INDEX], &index) && index != 0) return;
	for (struct json_iter it = json_iter(json_get(at[CONTENT], "parts")); json_next(&it);)
		read_part(a, it.val, response_id);
	read_finish(a, candidate, at[REASON]);
}

static void read_feedback(struct answer *a, const struct json *feedback)
{
	struct str why, said;
	if (!json_str(json_get(feedback, "blockReason"), &why) || str_eq(why, STR("BLOCK_REASON_UNSPECIFIED"))) return;
	if (!json_str(json_get(feedback, "blockReasonMessage"), &said) || said.n == 0) said = why;
	answer_fail_said(a, FAIL_FILTER, "the provider blocked the prompt", said);
}

static void read_usage(struct answer *a, const struct json *usage)
{
	struct call_usage *u = answer_usage(a);
	int64_t said = -1, thought = -1;
	if (usage == NULL) return;
	answer_count(json_get(usage, "promptTokenCount"), &u->input_tokens);
	answer_count(json_get(usage, "cachedContentTokenCount"), &u->cache_read_tokens);
	answer_count(json_get(usage, "candidatesTokenCount"), &said);
	answer_count(json_get(usage, "thoughtsTokenCount"), &thought);
	if (thought >= 0) u->thinking_tokens = thought;
	if (said >= 0 || thought >= 0) u->output_tokens = MAX(said, 0) + MAX(thought, 0);
}

static void event(struct answer *a, struct str name, const struct json *root)
{
	enum { ID, USAGE, CANDIDATES, FEEDBACK };
	static const struct str keys[] = {STR_INIT("responseId"), STR_INIT("usageMetadata"), STR_INIT("candidates"),
					  STR_INIT("promptFeedback")};
	const struct json *at[ARRAY_LEN(keys)];
	(void)name;
	json_pick(root, keys, ARRAY_LEN(keys), at);
	answer_request_id(a, at[ID]);
	read_usage(a, at[USAGE]);
	for (struct json_iter it = json_iter(at[CANDIDATES]); json_next(&it);) read_candidate(a, it.val, at[ID]);
	read_feedback(a, at[FEEDBACK]);
}

static bool whole(struct answer *a, const struct json *root)
{
	if (json_type(json_get(root, "candidates")) != JSON_ARR && json_get(root, "promptFeedback") == NULL)
		return false;
	event(a, STR(""), root);
	return true;
}

static const struct answer_style style = {FRAMES_SSE, event, whole, sizeof(struct state)};
const struct dialect dialect_gemini = {"gemini", build, &style};
