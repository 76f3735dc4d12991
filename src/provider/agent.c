#include "provider/agent.h"

#define ARGUMENT_MAX ((size_t)120 << 10) /* Linux takes 128 KiB */
#define MODEL_MAX 200
#define ID_MAX 80

/* ---- asking ------------------------------------------------------------------------------------------------------ */

bool agent_takes_lines(const char *const *command)
{
	for (const char *const *c = command; *c != NULL; c++) {
		if (strcmp(*c, "--input-format=stream-json") == 0) return true;
		if (strcmp(*c, "--input-format") == 0 && c[1] != NULL) return strcmp(c[1], "stream-json") == 0;
	}
	return false;
}

bool agent_session_is_good(struct str id)
{
	if (id.n == 0 || id.n > AGENT_SESSION_MAX || *id.p == '-') return false;
	for (size_t i = 0; i < id.n; i++) {
		char c = id.p[i];
		bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
		if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.') return false;
	}
	return true;
}

/* A model's name comes from a device, and must be nothing but a name to the agent. */
static enum err check_model(struct str model, struct errinfo *info)
{
	bool good = model.n > 0 && model.n <= MODEL_MAX && *model.p != '-';
	for (size_t i = 0; good && i < model.n; i++) good = (unsigned char)model.p[i] > ' ' && model.p[i] != 0x7f;
	if (good) return OK;
	return err_set(info, ERR_BAD_FIELD,
		       "the model's name must have 1 to %d characters, no blanks, and not begin with \"-\"", MODEL_MAX);
}

/* A system prompt that looked like an option would be one. */
static enum err put_system(struct str orders, char **out, struct errinfo *info)
{
	if (memchr(orders.p, '\0', orders.n) != NULL)
		return err_set(info, ERR_BAD_FIELD, "params.system: a NUL can't be in an argument");
	if (orders.n > ARGUMENT_MAX)
		return err_set(info, ERR_TOO_LARGE, "params.system has %zu bytes; an argument can have %zu", orders.n,
			       ARGUMENT_MAX);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (*orders.p == '-') buf_add_char(&b, '\n');
	buf_add_str(&b, orders);
	*out = buf_take(&b, NULL);
	return OK;
}

/* The command with its places filled. An empty system prompt goes with the option it is for. */
static enum err put_command(const struct provider_ask *ask, struct str orders, char **argv, struct errinfo *info)
{
	enum err e = OK;
	size_t n = 0;
	for (const char *const *c = ask->command; *c != NULL && e == OK; c++) {
		if (strcmp(*c, "{model}") == 0) {
			e = check_model(ask->model, info);
			if (e == OK) argv[n++] = str_dup(ask->model);
		} else if (strcmp(*c, "{system}") != 0) {
			argv[n++] = xstrdup(*c);
		} else if (orders.n > 0) {
			e = put_system(orders, &argv[n], info);
			n += e == OK;
		} else if (n > 1 && *argv[n - 1] == '-') {
			free(argv[--n]);
			argv[n] = NULL;
		}
	}
	if (e != OK || !agent_session_is_good(ask->session)) return e;
	argv[n++] = xstrdup("--resume");
	argv[n] = str_dup(ask->session);
	return OK;
}

static bool has_place(const char *const *command, const char *place)
{
	while (*command != NULL && strcmp(*command, place) != 0) command++;
	return *command != NULL;
}

static bool is_role(const struct call_message *m, const char *role) { return str_eq(m->role, str_c(role)); }

/* Text goes into one text, whoever said it; images can be beside it when the input is JSON. */
static enum err put_message(struct buf *text, struct jw *images, const struct call_message *m, struct errinfo *info)
{
	buf_add_str(text, m->text);
	for (size_t i = 0; i < m->nparts; i++) {
		const struct call_part *p = &m->parts[i];
		if (p->kind == PART_THINKING || p->kind == PART_TOOL_CALL) continue;
		if (p->kind == PART_FILE || (p->kind == PART_IMAGE && images == NULL))
			return err_set(info, ERR_BAD_FIELD,
				       "an agent %s; this conversation has an attachment of type %.*s",
				       images == NULL ? "that is given plain text takes no attachments but text"
						      : "takes text and images",
				       (int)MIN(p->media_type.n, (size_t)60), p->media_type.p);
		if (p->kind != PART_IMAGE) {
			if (text->n > 0) buf_add_str(text, STR("\n\n"));
			buf_add_str(text, p->text);
			continue;
		}
		jw_obj(images);
		jw_kstr(images, "type", STR("image"));
		jw_key(images, "source");
		jw_obj(images);
		jw_kstr(images, "type", STR("base64"));
		jw_kstr(images, "media_type", p->media_type);
		jw_key(images, "data");
		wire_put_base64(images, "", p->bytes);
		jw_obj_end(images);
		jw_obj_end(images);
	}
	return OK;
}

/* Who resumes says what came after the last answer; who does not says everything. */
static size_t first_new(const struct provider_ask *ask)
{
	size_t i = ask->nmessages;
	if (!agent_session_is_good(ask->session)) return 0;
	while (i > 0 && !is_role(&ask->messages[i - 1], "assistant")) i--;
	return i;
}

/* One message is said as it is. Of several it is told who said which. */
static enum err put_conversation(const struct provider_ask *ask, struct buf *text, struct jw *images,
				 struct errinfo *info)
{
	enum err e = OK;
	size_t first = first_new(ask), n = 0;
	for (size_t i = first; i < ask->nmessages; i++) n += !is_role(&ask->messages[i], "system");
	if (n > 1) buf_add_str(text, STR("The conversation so far. Answer its last message.\n"));
	for (size_t i = first; i < ask->nmessages && e == OK; i++) {
		const struct call_message *m = &ask->messages[i];
		if (is_role(m, "system")) continue;
		if (n > 1) buf_addf(text, "\n[%s]\n", is_role(m, "assistant") ? "you" : "the person");
		e = put_message(text, images, m, info);
		if (n > 1) buf_add_char(text, '\n');
	}
	return e;
}

static void put_line(struct buf *out, struct str text, struct str images)
{
	struct jw w = JW(out);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("user"));
	jw_kstr(&w, "session_id", STR(""));
	jw_kraw(&w, "parent_tool_use_id", STR("null"));
	jw_key(&w, "message");
	jw_obj(&w);
	jw_kstr(&w, "role", STR("user"));
	jw_key(&w, "content");
	jw_arr(&w);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("text"));
	jw_kstr(&w, "text", text);
	jw_obj_end(&w);
	if (images.n > 0) jw_raw(&w, images);
	jw_arr_end(&w);
	jw_obj_end(&w);
	jw_obj_end(&w);
	buf_add_char(out, '\n');
}

static enum err check_params(const struct params *p, struct errinfo *info)
{
	static const struct param_wire list[] = {{P_SYSTEM, NULL}};
	enum err e = params_put(NULL, p, list, ARRAY_LEN(list), "a command-line agent", info);
	for (struct json_iter it = json_iter(p->all); e == OK && json_next(&it);)
		if (param_find(it.key) == PARAM_COUNT)
			e = err_set(info, ERR_BAD_FIELD, "params.%.*s: a command-line agent has no such parameter",
				    (int)MIN(it.key.n, (size_t)60), it.key.p);
	return e;
}

static enum err build(const struct provider_ask *ask, struct wire_request *out, struct errinfo *info)
{
	struct buf orders = BUF_INIT(WIRE_BODY_MAX), text = BUF_INIT(WIRE_BODY_MAX), images = BUF_INIT(WIRE_BODY_MAX);
	struct jw w = JW(&images);
	size_t n = 0;
	bool lines = agent_takes_lines(ask->command);
	while (ask->command[n] != NULL) n++;
	*out = (struct wire_request){.body = BUF_INIT(WIRE_BODY_MAX), .argv = xcalloc(n + 3, sizeof *out->argv)};
	ask_system(ask, &orders);
	enum err e = check_params(ask->params, info);
	if (e == OK) e = put_command(ask, buf_str(&orders), out->argv, info);
	/* Without a place in the command it is said first; a session that goes on has heard it. */
	if (!has_place(ask->command, "{system}") && first_new(ask) == 0 && orders.n > 0)
		buf_addf(&text, "%.*s\n\n", STR_ARG(buf_str(&orders)));
	if (e == OK) e = put_conversation(ask, &text, lines ? &w : NULL, info);
	if (text.failed || images.failed) out->body.failed = true;
	else if (lines) put_line(&out->body, buf_str(&text), buf_str(&images));
	else buf_add_str(&out->body, buf_str(&text));
	buf_release(&orders);
	buf_release(&text);
	buf_release(&images);
	return wire_request_end(out, e, info);
}

/* ---- answering its questions ------------------------------------------------------------------------------------- */

static struct jw begin_response(struct buf *out, const char *subtype, struct str question_id)
{
	struct jw w = JW(out);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("control_response"));
	jw_key(&w, "response");
	jw_obj(&w);
	jw_kstr(&w, "subtype", str_c(subtype));
	jw_kstr(&w, "request_id", question_id);
	return w;
}

static void end_response(struct jw *w)
{
	jw_obj_end(w);
	jw_obj_end(w);
	buf_add_char(w->b, '\n');
}

void agent_allow(struct buf *out, struct str question_id, struct str input)
{
	struct jw w = begin_response(out, "success", question_id);
	jw_key(&w, "response");
	jw_obj(&w);
	jw_kstr(&w, "behavior", STR("allow"));
	jw_kraw(&w, "updatedInput", input);
	jw_obj_end(&w);
	end_response(&w);
}

void agent_refuse(struct buf *out, struct str question_id, struct str message)
{
	struct jw w = begin_response(out, "success", question_id);
	jw_key(&w, "response");
	jw_obj(&w);
	jw_kstr(&w, "behavior", STR("deny"));
	jw_kstr(&w, "message", message);
	jw_obj_end(&w);
	end_response(&w);
}

void agent_cannot(struct buf *out, struct str question_id)
{
	struct jw w = begin_response(out, "error", question_id);
	jw_kstr(&w, "error", STR("not supported"));
	end_response(&w);
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
	struct agent_hooks hooks;
	char session[AGENT_SESSION_MAX + 1];
	char streamed[ID_MAX]; /* the message that came by pieces last; "" when it has no name */
	bool is_streamed;      /* there is one */
	bool said;             /* any text */
	bool breaks;           /* the next text begins a paragraph */
	bool lost_session;
	int64_t working; /* tools that run */
};

void agent_listen(struct answer *a, const struct agent_hooks *hooks)
{
	struct state *s = answer_state(a);
	s->hooks = *hooks;
}

struct str agent_session(struct answer *a) { return str_c(((struct state *)answer_state(a))->session); }
bool agent_is_working(struct answer *a) { return ((struct state *)answer_state(a))->working > 0; }
bool agent_lost_session(struct answer *a) { return ((struct state *)answer_state(a))->lost_session; }

bool agent_says_session_is_lost(struct str said)
{
	static const struct str words = STR_INIT("No conversation found");
	return said.n >= words.n && memmem(said.p, said.n, words.p, words.n) != NULL;
}

static void say(struct answer *a, const struct json *v)
{
	struct state *s = answer_state(a);
	struct str text;
	if (!json_str(v, &text) || text.n == 0) return;
	if (s->said && s->breaks) answer_say(a, ANSWER_TEXT, STR("\n\n"));
	s->said = true;
	s->breaks = false;
	answer_say(a, ANSWER_TEXT, text);
}

static struct str get(const struct json *o, const char *key)
{
	struct str s = STR("");
	(void)json_str(json_get(o, key), &s);
	return s;
}

static void read_piece(struct answer *a, struct state *s, const struct json *event)
{
	struct str type = get(event, "type");
	const struct json *block = json_get(event, "content_block"), *delta = json_get(event, "delta");
	if (str_eq(type, STR("message_start"))) {
		s->is_streamed = true;
		(void)str_copy(get(json_get(event, "message"), "id"), s->streamed, sizeof s->streamed);
	} else if (str_eq(type, STR("content_block_start"))) {
		s->breaks = true;
		if (str_eq(get(block, "type"), STR("text"))) say(a, json_get(block, "text"));
	} else if (str_eq(type, STR("content_block_delta"))) {
		if (str_eq(get(delta, "type"), STR("text_delta"))) say(a, json_get(delta, "text"));
		else if (str_eq(get(delta, "type"), STR("thinking_delta")))
			answer_say_json(a, ANSWER_THINKING, json_get(delta, "thinking"));
	}
}

static void read_message(struct answer *a, struct state *s, const struct json *message)
{
	struct str id = get(message, "id");
	bool is_known = s->is_streamed && str_eq(id, str_c(s->streamed));
	for (struct json_iter it = json_iter(json_get(message, "content")); json_next(&it);) {
		struct str type = get(it.val, "type");
		if (str_eq(type, STR("tool_use"))) s->working++;
		if (is_known) continue;
		s->breaks = true;
		if (str_eq(type, STR("text"))) say(a, json_get(it.val, "text"));
		else if (str_eq(type, STR("thinking")))
			answer_say_json(a, ANSWER_THINKING, json_get(it.val, "thinking"));
	}
}

static void read_tool_results(struct state *s, const struct json *message)
{
	for (struct json_iter it = json_iter(json_get(message, "content")); json_next(&it);)
		if (str_eq(get(it.val, "type"), STR("tool_result")) && s->working > 0) s->working--;
}

/* Of all the agent's calls together. As everywhere, input includes what a cache took or gave. */
static void read_usage(struct answer *a, const struct json *result)
{
	const struct json *usage = json_get(result, "usage");
	struct call_usage *u = answer_usage(a);
	double usd;
	int64_t uncached = -1;
	answer_count(json_get(usage, "input_tokens"), &uncached);
	answer_count(json_get(usage, "output_tokens"), &u->output_tokens);
	answer_count(json_get(usage, "cache_read_input_tokens"), &u->cache_read_tokens);
	answer_count(json_get(usage, "cache_creation_input_tokens"), &u->cache_write_tokens);
	if (uncached >= 0) u->input_tokens = uncached + MAX(u->cache_read_tokens, 0) + MAX(u->cache_write_tokens, 0);
	if (json_real(json_get(result, "total_cost_usd"), &usd) && usd >= 0 && usd < 1e6)
		u->cost_ticks = (int64_t)(usd * 1e10 + 0.5);
}

/* Where an agent puts its words depends on who failed: itself (errors), or the model's API (result). */
static struct str words_of(const struct json *result)
{
	struct str s;
	for (struct json_iter it = json_iter(json_get(result, "errors")); json_next(&it);)
		if (json_str(it.val, &s) && s.n > 0) return s;
	s = get(result, "result");
	return s.n > 0 ? s : get(result, "subtype");
}

static enum fail fail_of_result(const struct json *result)
{
	struct str subtype = get(result, "subtype");
	int64_t status = 0;
	(void)json_int(json_get(result, "api_error_status"), &status);
	if (str_eq(subtype, STR("error_max_turns"))) return FAIL_LIMIT;
	if (str_eq(subtype, STR("error_max_budget_usd"))) return FAIL_QUOTA;
	if (status == 401 || status == 403) return FAIL_AUTH;
	if (status == 429) return FAIL_RATE;
	if (status == 503 || status == 529) return FAIL_OVERLOADED;
	return status >= 400 && status < 500 ? FAIL_INVALID : FAIL_SERVER;
}

static void read_result(struct answer *a, struct state *s, const struct json *result)
{
	struct str why = get(result, "stop_reason");
	bool failed = !str_eq(get(result, "subtype"), STR("success"));
	(void)json_bool(json_get(result, "is_error"), &failed);
	read_usage(a, result);
	if (failed) {
		s->lost_session = agent_says_session_is_lost(words_of(result));
		answer_fail_said(a, fail_of_result(result), "the agent said", words_of(result));
		return;
	}
	if (!s->said) say(a, json_get(result, "result"));
	answer_finish(a, why.n > 0 ? why : STR("end_turn"), finish_words, ARRAY_LEN(finish_words));
	answer_complete(a);
}

static void read_question(const struct state *s, const struct json *root)
{
	const struct json *request = json_get(root, "request"), *input = json_get(request, "input");
	struct agent_question q = {.id = get(root, "request_id"), .tool = STR_NONE, .input = STR_NONE};
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	if (s->hooks.asked == NULL) return;
	if (str_eq(get(request, "subtype"), STR("can_use_tool"))) {
		if (json_type(input) == JSON_OBJ) json_write(&text, input);
		else buf_add_str(&text, STR("{}"));
		q.tool = get(request, "tool_name");
		q.input = buf_str(&text);
	}
	s->hooks.asked(s->hooks.ctx, &q);
	buf_release(&text);
}

static void event(struct answer *a, struct str name, const struct json *root)
{
	(void)name;
	struct state *s = answer_state(a);
	struct str type = get(root, "type"), session = get(root, "session_id");
	bool tells = str_eq(type, STR("result")) || str_eq(type, STR("system"));
	if (json_type(json_get(root, "parent_tool_use_id")) == JSON_STR) return;
	if (tells && agent_session_is_good(session)) (void)str_copy(session, s->session, sizeof s->session);
	if (str_eq(type, STR("stream_event"))) read_piece(a, s, json_get(root, "event"));
	else if (str_eq(type, STR("assistant"))) read_message(a, s, json_get(root, "message"));
	else if (str_eq(type, STR("user"))) read_tool_results(s, json_get(root, "message"));
	else if (str_eq(type, STR("result"))) read_result(a, s, root);
	else if (str_eq(type, STR("control_request"))) read_question(s, root);
	else if (str_eq(type, STR("control_cancel_request")) && s->hooks.withdrawn != NULL)
		s->hooks.withdrawn(s->hooks.ctx, get(root, "request_id"));
}

static const struct answer_style style = {FRAMES_LOOSE_LINES, event, NULL, sizeof(struct state)};
const struct dialect dialect_exec = {"exec", build, &style};
