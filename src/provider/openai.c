/* OpenAI's chat completions, as OpenAI, LM Studio, llama.cpp, vLLM and Ollama's /v1 speak it.
 *
 * Asked with stream:true the answer is data-only SSE, one JSON chunk an event, then "[DONE]". What is met in practice
 * and read here:
 *  - content or reasoning_content or reasoning in a delta; content as an array of parts; `message` instead of `delta`;
 *  - a usage chunk with empty choices, before or without "[DONE]"; usage null in every other chunk, or absent;
 *  - an error instead of a chunk: {"error":{…}} with a code in words or a number, {"error":"…"}, {"object":"error",…},
 *    or an event named "error";
 *  - with status 200 a JSON body instead of a stream: an error, or the whole answer by a server that does not stream;
 *  - with status 200 something else altogether, such as a proxy's login page.
 * Which of the three a body is, is seen from its first byte and not from Content-Type, which servers get wrong.
 *
 * Chunks are read leniently: bytes that are not UTF-8 and halves of surrogate pairs are repaired first when the strict
 * reader does not take them. */
#include "provider/provider.h"

#include "base/utf8.h"
#include "provider/sse.h"
#include "provider/text.h"

#define EVENT_MAX ((size_t)4 << 20)       /* one chunk */
#define ERROR_BODY_MAX ((size_t)16 << 10) /* kept of a body that is not 2xx */
#define BODY_MAX ((size_t)64 << 20)       /* a request, or an answer that does not stream */

enum body_kind {
	BODY_UNKNOWN, /* nothing but white space yet */
	BODY_STREAM,
	BODY_JSON,
	BODY_OTHER, /* neither */
	BODY_ERROR, /* the status said so */
};

struct openai {
	struct answer_sink sink;
	enum body_kind kind;
	int status;
	struct sse sse;
	struct buf body;            /* what is not a stream */
	struct buf headers;         /* kept when the status is an error, for Retry-After */
	struct buf fixed;           /* a chunk that was repaired */
	struct call_outcome failed; /* err is set once something went wrong */
	struct call_usage usage;
	char finish[32];
	int64_t bytes, text_bytes; /* all; without thinking */
	bool finished;             /* a finish reason came */
	bool done;                 /* [DONE] came, or the whole answer did not stream */
	bool unwanted;             /* sink.text said false */
};

/* ---- asking ------------------------------------------------------------------------------------------------------ */

enum param_kind { PARAM_INT, PARAM_REAL, PARAM_STR, PARAM_STOP };

/* Parameters with a name of ours. Any other goes to the provider under its own name, since servers have many of their
 * own (top_k, cache_prompt, …), except those that the dialect sets itself. */
/* clang-format off */
static const struct param {
	const char *name, *wire;
	enum param_kind kind;
	double lo, hi;
} params_table[] = {
	{"maxTokens",        "max_tokens",        PARAM_INT,  1,    1e9},
	{"temperature",      "temperature",       PARAM_REAL, 0,    2},
	{"topP",             "top_p",             PARAM_REAL, 0,    1},
	{"frequencyPenalty", "frequency_penalty", PARAM_REAL, -2,   2},
	{"presencePenalty",  "presence_penalty",  PARAM_REAL, -2,   2},
	{"seed",             "seed",              PARAM_INT,  -9e15, 9e15},
	{"stop",             "stop",              PARAM_STOP, 0,    0},
	{"reasoningEffort",  "reasoning_effort",  PARAM_STR,  0,    0},
};
/* clang-format on */
static const char *const reserved[] = {"model", "messages", "stream", "stream_options", "n", "tools", "tool_choice"};

static bool is_stop(const struct json *v)
{
	struct str s;
	if (json_str(v, &s)) return true;
	if (json_type(v) != JSON_ARR || json_len(v) > 4) return false;
	for (struct json_iter it = json_iter(v); json_next(&it);)
		if (!json_str(it.val, &s)) return false;
	return true;
}

static enum err check_param(const struct param *p, const struct json *v, struct errinfo *info)
{
	int64_t i;
	double d;
	struct str s;
	switch (p->kind) {
	case PARAM_STR:
		if (json_str(v, &s)) return OK;
		return err_set(info, ERR_BAD_FIELD, "params.%s must be a string", p->name);
	case PARAM_STOP:
		if (is_stop(v)) return OK;
		return err_set(info, ERR_BAD_FIELD, "params.%s must be a string or up to 4 of them", p->name);
	case PARAM_INT:
		if (!json_int(v, &i)) return err_set(info, ERR_BAD_FIELD, "params.%s must be a whole number", p->name);
		break;
	case PARAM_REAL: break;
	}
	if (json_real(v, &d) && d >= p->lo && d <= p->hi) return OK;
	return err_set(info, ERR_BAD_FIELD, "params.%s must be a number from %.0f to %.0f", p->name, p->lo, p->hi);
}

static const struct param *find_param(struct str key)
{
	for (size_t i = 0; i < ARRAY_LEN(params_table); i++)
		if (str_eq(key, str_c(params_table[i].name)) || str_eq(key, str_c(params_table[i].wire)))
			return &params_table[i];
	return NULL;
}

/* OpenAI's own servers want max_completion_tokens; the compatible ones know the older name. */
static bool is_openai_itself(struct str base_url) { return str_starts(base_url, STR("https://api.openai.com/")); }

static enum err add_params(struct jw *w, const struct provider_ask *ask, struct errinfo *info)
{
	bool seen[ARRAY_LEN(params_table)] = {false};
	for (struct json_iter it = json_iter(ask->params); json_next(&it);) {
		const struct param *p = find_param(it.key);
		for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
			if (str_eq(it.key, str_c(reserved[i])))
				return err_set(info, ERR_BAD_FIELD, "params.%s cannot be given; Roost sets it",
					       reserved[i]);
		if (p == NULL) {
			jw_key_str(w, it.key);
			jw_value(w, it.val);
			continue;
		}
		if (json_type(it.val) == JSON_NULL) continue;
		if (seen[p - params_table])
			return err_set(info, ERR_BAD_FIELD, "params.%s and params.%s are the same; give one", p->name,
				       p->wire);
		seen[p - params_table] = true;
		enum err e = check_param(p, it.val, info);
		if (e != OK) return e;
		bool renamed = p == &params_table[0] && is_openai_itself(ask->base_url);
		jw_key(w, renamed ? "max_completion_tokens" : p->wire);
		jw_value(w, it.val);
	}
	return OK;
}

static enum err build(const struct provider_ask *ask, struct wire_request *out, struct errinfo *info)
{
	*out = (struct wire_request){.method = "POST", .body = BUF_INIT(BODY_MAX)};
	struct jw w = JW(&out->body);
	jw_obj(&w);
	jw_kstr(&w, "model", ask->model);
	jw_key(&w, "messages");
	jw_arr(&w);
	for (size_t i = 0; i < ask->nmessages; i++) {
		jw_obj(&w);
		jw_kstr(&w, "role", ask->messages[i].role);
		jw_kstr(&w, "content", ask->messages[i].text);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_kbool(&w, "stream", true);
	jw_key(&w, "stream_options");
	jw_obj(&w);
	jw_kbool(&w, "include_usage", true);
	if (is_openai_itself(ask->base_url)) jw_kbool(&w, "include_obfuscation", false); /* no padding in every chunk */
	jw_obj_end(&w);
	enum err e = add_params(&w, ask, info);
	jw_obj_end(&w);
	if (e == OK && out->body.failed)
		e = err_set(info, ERR_TOO_LARGE, "the request would be larger than %zu bytes", BODY_MAX);
	if (e != OK) {
		wire_request_release(out);
		return e;
	}
	if (asprintf(&out->url, "%.*s/chat/completions", STR_ARG(ask->base_url)) < 0) die(71, "out of memory");
	wire_request_add_header(out, "Content-Type: application/json");
	wire_request_add_header(out, "Accept: text/event-stream, application/json");
	wire_request_add_header(out, "User-Agent: roost");
	if (ask->key.n > 0) wire_request_add_header(out, "Authorization: Bearer %.*s", STR_ARG(ask->key));
	return OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void init(void *parser, const struct answer_sink *sink)
{
	struct openai *p = parser;
	*p = (struct openai){.sink = *sink, .usage = {-1, -1, false}};
	sse_init(&p->sse, EVENT_MAX);
	buf_init(&p->body, BODY_MAX);
	buf_init(&p->headers, ERROR_BODY_MAX * 4);
	buf_init(&p->fixed, EVENT_MAX * 3);
}

static void release(void *parser)
{
	struct openai *p = parser;
	sse_release(&p->sse);
	buf_release(&p->body);
	buf_release(&p->headers);
	buf_release(&p->fixed);
}

static void fail(struct openai *p, enum err e, bool retryable, const char *what)
{
	p->failed.err = err_set(&p->failed.info, e, "%s", what);
	p->failed.retryable = retryable;
}

static void emit(struct openai *p, enum answer_kind kind, struct str text)
{
	if (text.n == 0 || p->unwanted || p->failed.err != OK) return;
	if ((int64_t)text.n > p->sink.answer_bytes - p->bytes) {
		p->failed.err =
			err_set(&p->failed.info, ERR_PROVIDER_LIMIT,
				"the answer is too long (limits.answerBytes: %lld)", (long long)p->sink.answer_bytes);
		return;
	}
	p->bytes += (int64_t)text.n;
	if (kind == ANSWER_TEXT) p->text_bytes += (int64_t)text.n;
	p->unwanted = !p->sink.text(p->sink.ctx, kind, text);
}

static void emit_json(struct openai *p, enum answer_kind kind, const struct json *v)
{
	struct str s;
	if (json_str(v, &s)) emit(p, kind, s);
	if (json_type(v) != JSON_ARR) return;
	for (struct json_iter it = json_iter(v); json_next(&it);)
		if (json_str(json_get(it.val, "text"), &s)) emit(p, kind, s);
}

static void read_usage(struct openai *p, const struct json *usage)
{
	int64_t n;
	if (json_int(json_get(usage, "prompt_tokens"), &n) && n >= 0) p->usage.input_tokens = n;
	if (json_int(json_get(usage, "completion_tokens"), &n) && n >= 0) p->usage.output_tokens = n;
}

static void read_finish(struct openai *p, const struct json *v)
{
	struct str s;
	if (!json_str(v, &s) || s.n == 0) return;
	p->finished = true;
	size_t n = 0;
	for (size_t i = 0; i < s.n && n < sizeof p->finish - 1; i++)
		if ((s.p[i] >= 'a' && s.p[i] <= 'z') || s.p[i] == '_') p->finish[n++] = s.p[i];
	p->finish[n] = '\0';
}

static void read_choice(struct openai *p, const struct json *choice)
{
	int64_t index;
	if (json_int(json_get(choice, "index"), &index) && index != 0) return;
	const struct json *delta = json_get(choice, "delta");
	if (json_type(delta) != JSON_OBJ) delta = json_get(choice, "message");
	const struct json *thinking = json_get(delta, "reasoning_content");
	if (json_type(thinking) != JSON_STR) thinking = json_get(delta, "reasoning");
	emit_json(p, ANSWER_THINKING, thinking);
	emit_json(p, ANSWER_TEXT, json_get(delta, "content"));
	emit_json(p, ANSWER_TEXT, json_get(delta, "refusal"));
	read_finish(p, json_get(choice, "finish_reason"));
}

static bool is_error(const struct json *root)
{
	struct str object;
	enum json_type t = json_type(json_get(root, "error"));
	return (t != JSON_NONE && t != JSON_NULL) ||
	       (json_str(json_get(root, "object"), &object) && str_eq(object, STR("error")));
}

/* A chunk or a whole answer: they differ in `delta` and `message` only. */
static void read_object(struct openai *p, const struct json *root, bool named_error)
{
	if (named_error || is_error(root)) {
		classify_error(root, &p->sink, &p->failed);
		return;
	}
	read_usage(p, json_get(root, "usage"));
	for (struct json_iter it = json_iter(json_get(root, "choices")); json_next(&it);) read_choice(p, it.val);
}

static bool parse(struct openai *p, struct str text, struct json_doc **out)
{
	if (json_parse(text, out, NULL) == OK) return json_type(json_root(*out)) == JSON_OBJ;
	buf_clear(&p->fixed);
	text_repair_json(text, &p->fixed);
	return json_parse(buf_str(&p->fixed), out, NULL) == OK && json_type(json_root(*out)) == JSON_OBJ;
}

static bool on_event(void *ctx, struct sse_event ev)
{
	struct openai *p = ctx;
	struct json_doc *doc = NULL;
	if (p->done) return false;
	if (str_eq(ev.data, STR("[DONE]"))) {
		p->done = true;
		return false;
	}
	if (ev.data.n == 0) return true;
	bool named_error = str_eq(ev.name, STR("error"));
	if (parse(p, ev.data, &doc)) read_object(p, json_root(doc), named_error);
	else fail(p, ERR_PROVIDER_CUT, true, "the provider sent a chunk that is not a JSON object");
	json_free(doc);
	return p->failed.err == OK && !p->unwanted;
}

static void head(void *parser, int status, struct str headers)
{
	struct openai *p = parser;
	p->status = status;
	if (status >= 200 && status < 300) return;
	p->kind = BODY_ERROR;
	buf_add_str(&p->headers, headers);
}

/* Drops white space and a BOM from the front of the body; the first byte after them tells its kind. */
static enum body_kind sniff(struct str *piece)
{
	static const char blank[] = " \t\r\n\xef\xbb\xbf";
	while (piece->n > 0 && memchr(blank, *piece->p, sizeof blank - 1) != NULL)
		*piece = str_n(piece->p + 1, piece->n - 1);
	if (piece->n == 0) return BODY_UNKNOWN;
	if (*piece->p == '{') return BODY_JSON;
	return memchr(":deir", *piece->p, 5) != NULL ? BODY_STREAM : BODY_OTHER; /* as comments and fields begin */
}

static enum feed feed(void *parser, struct str piece)
{
	struct openai *p = parser;
	if (p->kind == BODY_UNKNOWN) p->kind = sniff(&piece);
	switch (p->kind) {
	case BODY_UNKNOWN: return FEED_MORE;
	case BODY_STREAM:
		if (sse_feed(&p->sse, piece, on_event, p, &p->failed.info) != OK) p->failed.err = p->failed.info.err;
		break;
	case BODY_JSON:
		if (!buf_add_str(&p->body, piece))
			fail(p, ERR_PROVIDER_LIMIT, false, "the provider's answer is too large");
		break;
	case BODY_OTHER:
		fail(p, ERR_PROVIDER, true, "the provider answered with something that is neither a stream nor JSON");
		break;
	case BODY_ERROR:
		buf_add_str(&p->body, str_n(piece.p, MIN(piece.n, ERROR_BODY_MAX - p->body.n)));
		return p->body.n == ERROR_BODY_MAX ? FEED_STOP : FEED_MORE;
	}
	if (p->failed.err != OK || p->unwanted) return FEED_STOP;
	return p->done ? FEED_COMPLETE : FEED_MORE;
}

/* An answer that did not stream. */
static void read_body(struct openai *p)
{
	struct json_doc *doc = NULL;
	if (parse(p, buf_str(&p->body), &doc)) {
		read_object(p, json_root(doc), false);
		if (p->failed.err == OK && json_type(json_get(json_root(doc), "choices")) != JSON_ARR)
			fail(p, ERR_PROVIDER, true, "the provider's answer has no \"choices\"");
		p->done = p->failed.err == OK;
	} else {
		fail(p, ERR_PROVIDER_CUT, true, "the provider's answer is not complete JSON");
	}
	json_free(doc);
}

/* A complete answer with nothing in it, by its reason. */
static void fail_empty(struct openai *p)
{
	struct str reason = str_c(p->finish);
	if (str_eq(reason, STR("length")))
		fail(p, ERR_PROVIDER_REFUSED, false,
		     "the answer's token limit was used up before any text (params.maxTokens)");
	else if (str_eq(reason, STR("content_filter")))
		fail(p, ERR_PROVIDER_REFUSED, false, "the provider's content filter withheld the answer");
	else if (str_eq(reason, STR("tool_calls")) || str_eq(reason, STR("function_call")))
		fail(p, ERR_PROVIDER_REFUSED, false,
		     "the model called a tool instead of answering; Roost offers it none");
	else fail(p, ERR_PROVIDER, true, "the provider finished without any text");
}

static void end(void *parser, enum err transport, const struct errinfo *info, struct call_outcome *out)
{
	struct openai *p = parser;
	struct errinfo limit = {0};
	bool ok = p->failed.err == OK && !p->unwanted;
	if (ok && p->kind == BODY_ERROR)
		classify_status(p->status, buf_str(&p->headers), buf_str(&p->body), &p->sink, &p->failed);
	if (ok && transport == OK && p->kind == BODY_JSON) read_body(p);
	/* What a cut left of an event is not worth reading: without its end it is no JSON. */
	if (ok && transport == OK && p->kind == BODY_STREAM && !p->done && sse_end(&p->sse, on_event, p, &limit) != OK)
		fail(p, limit.err, false, limit.text);
	if (p->failed.err == OK && !p->done && !p->finished) {
		if (transport != OK) {
			p->failed.err = transport;
			p->failed.info = *info;
			p->failed.retryable = err_retryable(transport);
		} else {
			fail(p, ERR_PROVIDER_CUT, true, "the provider's stream ended before the answer did");
		}
	}
	if (p->failed.err == OK && p->text_bytes == 0) fail_empty(p);
	*out = p->failed;
	out->finish_reason = str_c(p->finish);
	out->usage = p->usage;
}

const struct dialect dialect_openai = {
	.name = "openai",
	.build = build,
	.parser_size = sizeof(struct openai),
	.init = init,
	.head = head,
	.feed = feed,
	.end = end,
	.release = release,
};
