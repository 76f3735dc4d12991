#include "provider/answer.h"

#include "base/hash.h"
#include "provider/lines.h"
#include "provider/sse.h"
#include "provider/text.h"

#define EVENT_MAX ((size_t)4 << 20)       /* one event */
#define ERROR_BODY_MAX ((size_t)16 << 10) /* kept of a body that is not 2xx */
#define HEADERS_MAX ((size_t)64 << 10)
#define BODY_MAX ((size_t)64 << 20) /* an answer that does not stream */
#define PARTS_MAX 128
#define COUNT_MAX ((int64_t)1 << 50) /* more than anything costs; a few of them can be added */

enum body_kind {
	BODY_UNKNOWN, /* nothing but white space yet */
	BODY_STREAM,
	BODY_JSON,
	BODY_OTHER, /* neither */
	BODY_ERROR, /* the status said so */
};

struct answer {
	const struct answer_style *style;
	struct answer_sink sink;
	enum body_kind kind;
	int status;
	struct sse sse;
	struct lines lines;
	struct buf body;            /* what is not a stream */
	struct buf headers;         /* kept when the status is an error, for Retry-After */
	struct buf fixed;           /* an event that was repaired */
	struct call_outcome failed; /* err is set once something went wrong */
	struct call_usage usage;
	struct answer_part *parts;
	size_t nparts;
	struct buf parts_json;
	char finish[32], request_id[80];
	int64_t bytes, text_bytes; /* all; without thinking and parts */
	bool finished;             /* a finish reason came */
	bool done;                 /* the last mark came, or the whole answer did not stream */
	bool unwanted;             /* sink.text said false */
	int64_t passed_over;       /* loose lines that were no JSON */
	max_align_t state[];
};

/* ---- for dialects ------------------------------------------------------------------------------------------------ */

void *answer_state(struct answer *a) { return a->state; }
struct call_usage *answer_usage(struct answer *a) { return &a->usage; }
void answer_complete(struct answer *a) { a->done = true; }
int64_t answer_passed_over(const struct answer *a) { return a->passed_over; }

static bool is_loose(const struct answer *a) { return a->style->framing == FRAMES_LOOSE_LINES; }
static bool is_over(const struct answer *a) { return a->failed.err != OK || a->unwanted; }

void answer_fail(struct answer *a, enum fail f, const char *fmt, ...)
{
	char text[sizeof a->failed.info.text];
	va_list ap;
	if (a->failed.err != OK) return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	a->failed.err = err_set(&a->failed.info, fail_err(f), "%s", text);
	a->failed.fail = f;
	a->failed.retryable = fail_retryable(f);
}

void answer_fail_json(struct answer *a, const struct json *error)
{
	if (a->failed.err == OK) classify_error(error, a->sink.key, &a->failed);
}

void answer_fail_said(struct answer *a, enum fail f, const char *what, struct str said)
{
	char clean[TEXT_CLEAN_MAX + 1];
	text_clean(said, a->sink.key, clean);
	answer_fail(a, f, "%s%s%s", what, clean[0] != '\0' ? ": " : "", clean);
}

/* Room for n more bytes of the answer? */
static bool take(struct answer *a, size_t n)
{
	if (is_over(a)) return false;
	if ((int64_t)n > a->sink.answer_bytes - a->bytes) {
		answer_fail(a, FAIL_LIMIT, "the answer is too long (limits.answerBytes: %lld)",
			    (long long)a->sink.answer_bytes);
		return false;
	}
	a->bytes += (int64_t)n;
	return true;
}

void answer_say(struct answer *a, enum answer_kind kind, struct str text)
{
	if (text.n == 0 || !take(a, text.n)) return;
	if (kind == ANSWER_TEXT) a->text_bytes += (int64_t)text.n;
	a->unwanted = !a->sink.text(a->sink.ctx, kind, text);
}

void answer_say_json(struct answer *a, enum answer_kind kind, const struct json *v)
{
	struct str s;
	if (json_str(v, &s)) answer_say(a, kind, s);
}

/* A word without anything that could be more than a word, and without the key. */
static void keep_word(const struct answer *a, struct str said, char *out, size_t size)
{
	char clean[TEXT_CLEAN_MAX + 1];
	size_t n = 0;
	text_clean(said, a->sink.key, clean);
	for (const char *p = clean; *p != '\0' && n < size - 1; p++) {
		bool letter = (*p | 0x20) >= 'a' && (*p | 0x20) <= 'z';
		if (letter || (*p >= '0' && *p <= '9') || *p == '_' || *p == '-' || *p == '.') out[n++] = *p;
	}
	out[n] = '\0';
}

void answer_finish(struct answer *a, struct str word, const struct finish_word *words, size_t n)
{
	if (word.n == 0) return;
	a->finished = true;
	for (size_t i = 0; i < n; i++)
		if (str_eq(word, str_c(words[i].theirs))) word = str_c(words[i].ours);
	keep_word(a, word, a->finish, sizeof a->finish);
}

void answer_request_id(struct answer *a, const struct json *id)
{
	struct str s;
	if (a->request_id[0] == '\0' && json_str(id, &s)) keep_word(a, s, a->request_id, sizeof a->request_id);
}

void answer_count(const struct json *v, int64_t *out)
{
	int64_t n;
	if (json_int(v, &n) && n >= 0) *out = MIN(n, COUNT_MAX);
}

struct answer_part *answer_part(struct answer *a, enum part_kind kind, int64_t index)
{
	for (size_t i = a->nparts; i-- > 0;)
		if (a->parts[i].kind == kind && a->parts[i].index == index) return &a->parts[i];
	if (a->nparts == PARTS_MAX) {
		answer_fail(a, FAIL_LIMIT, "the answer has more than %d tool calls", PARTS_MAX);
		return NULL;
	}
	if (a->parts == NULL) a->parts = xcalloc(PARTS_MAX, sizeof *a->parts);
	struct answer_part *p = &a->parts[a->nparts++];
	*p = (struct answer_part){.kind = kind, .index = index};
	struct buf *bufs[] = {&p->id, &p->name, &p->text, &p->seal};
	for (size_t i = 0; i < ARRAY_LEN(bufs); i++) buf_init(bufs[i], BUF_NO_LIMIT);
	return p;
}

void answer_part_put(struct answer *a, struct buf *to, struct str s)
{
	if (take(a, s.n)) buf_add_str(to, s);
}

void answer_part_add(struct answer *a, struct buf *to, const struct json *v)
{
	struct str s;
	struct buf text = BUF_INIT(EVENT_MAX * 6); /* a byte of text may become an escape of six */
	if (json_str(v, &s)) {
		answer_part_put(a, to, s);
	} else if (json_type(v) == JSON_OBJ) {
		json_write(&text, v);
		answer_part_put(a, to, buf_str(&text));
	}
	buf_release(&text);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

struct answer *answer_new(const struct dialect *d, const struct answer_sink *sink)
{
	struct answer *a = xcalloc(1, sizeof *a + d->style->state_size);
	a->style = d->style;
	a->sink = *sink;
	a->usage = USAGE_UNKNOWN;
	sse_init(&a->sse, EVENT_MAX);
	lines_init(&a->lines, EVENT_MAX);
	buf_init(&a->body, BODY_MAX);
	buf_init(&a->headers, HEADERS_MAX);
	buf_init(&a->fixed, EVENT_MAX * 3);
	buf_init(&a->parts_json, BUF_NO_LIMIT);
	return a;
}

void answer_free(struct answer *a)
{
	if (a == NULL) return;
	for (size_t i = 0; i < a->nparts; i++) {
		struct answer_part *p = &a->parts[i];
		struct buf *bufs[] = {&p->id, &p->name, &p->text, &p->seal};
		for (size_t k = 0; k < ARRAY_LEN(bufs); k++) buf_release(bufs[k]);
	}
	free(a->parts);
	sse_release(&a->sse);
	lines_release(&a->lines);
	buf_release(&a->body);
	buf_release(&a->headers);
	buf_release(&a->fixed);
	buf_release(&a->parts_json);
	free(a);
}

void answer_head(struct answer *a, int status, struct str headers)
{
	static const char *const names[] = {"request-id", "x-request-id", "x-goog-request-id"};
	a->status = status;
	for (size_t i = 0; i < ARRAY_LEN(names) && a->request_id[0] == '\0'; i++)
		keep_word(a, head_value(headers, names[i]), a->request_id, sizeof a->request_id);
	if (status >= 200 && status < 300) return;
	a->kind = BODY_ERROR;
	buf_add_str(&a->headers, headers);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool is_error(const struct json *root)
{
	static const struct str keys[] = {STR_INIT("error"), STR_INIT("object"), STR_INIT("type")};
	const struct json *at[ARRAY_LEN(keys)];
	struct str s;
	json_pick(root, keys, ARRAY_LEN(keys), at);
	return (at[0] != NULL && json_type(at[0]) != JSON_NULL) || (json_str(at[1], &s) && str_eq(s, STR("error"))) ||
	       (json_str(at[2], &s) && str_eq(s, STR("error")));
}

static bool parse(struct answer *a, struct json_room *room, struct str text, struct json_doc **out)
{
	if (json_parse_in(room, text, out, NULL) == OK) return json_type(json_root(*out)) == JSON_OBJ;
	buf_clear(&a->fixed);
	text_repair_json(text, &a->fixed);
	return json_parse_in(room, buf_str(&a->fixed), out, NULL) == OK && json_type(json_root(*out)) == JSON_OBJ;
}

static bool on_event(void *ctx, struct sse_event ev)
{
	struct answer *a = ctx;
	struct json_doc *doc = NULL;
	struct json_room room;
	if (a->done) return false;
	if (str_eq(ev.data, STR("[DONE]"))) {
		a->done = true;
		return false;
	}
	if (ev.data.n == 0) return true;
	if (!parse(a, &room, ev.data, &doc)) {
		if (!is_loose(a)) answer_fail(a, FAIL_CUT, "the provider sent an event that is not a JSON object");
		a->passed_over++;
	} else if (!is_loose(a) && (str_eq(ev.name, STR("error")) || is_error(json_root(doc)))) {
		answer_fail_json(a, json_root(doc));
	} else {
		a->style->event(a, ev.name, json_root(doc));
	}
	json_free(doc);
	return !is_over(a) && !a->done;
}

static bool on_line(void *ctx, struct str line) { return on_event(ctx, (struct sse_event){STR(""), line}); }

/* Drops white space and a BOM from the front of the body; the first byte after them tells its kind. Lines of JSON and
 * one JSON object begin alike: those who stream lines never send anything but a line. */
static enum body_kind sniff(const struct answer *a, struct str *piece)
{
	static const char blank[] = " \t\r\n\xef\xbb\xbf";
	while (piece->n > 0 && memchr(blank, *piece->p, sizeof blank - 1) != NULL)
		*piece = str_n(piece->p + 1, piece->n - 1);
	if (piece->n == 0) return BODY_UNKNOWN;
	if (is_loose(a)) return BODY_STREAM;
	if (*piece->p == '{') return a->style->framing == FRAMES_LINES ? BODY_STREAM : BODY_JSON;
	bool begins_field = a->style->framing == FRAMES_SSE && memchr(":deir", *piece->p, 5) != NULL;
	return begins_field ? BODY_STREAM : BODY_OTHER;
}

static enum err feed_stream(struct answer *a, struct str piece, struct errinfo *info)
{
	return a->style->framing == FRAMES_SSE ? sse_feed(&a->sse, piece, on_event, a, info)
					       : lines_feed(&a->lines, piece, on_line, a, info);
}

enum feed answer_feed(struct answer *a, struct str piece)
{
	struct errinfo info;
	if (a->kind == BODY_UNKNOWN) a->kind = sniff(a, &piece);
	switch (a->kind) {
	case BODY_UNKNOWN: return FEED_MORE;
	case BODY_STREAM:
		if (feed_stream(a, piece, &info) != OK) answer_fail(a, FAIL_LIMIT, "%s", info.text);
		break;
	case BODY_JSON:
		if (!buf_add_str(&a->body, piece))
			answer_fail(a, FAIL_LIMIT, "the provider's answer is larger than %zu bytes", BODY_MAX);
		break;
	case BODY_OTHER:
		answer_fail(a, FAIL_SERVER, "the provider answered with something that is neither a stream nor JSON");
		break;
	case BODY_ERROR:
		buf_add_str(&a->body, str_n(piece.p, MIN(piece.n, ERROR_BODY_MAX - a->body.n)));
		return a->body.n == ERROR_BODY_MAX ? FEED_STOP : FEED_MORE;
	}
	if (is_over(a)) return FEED_STOP;
	return a->done ? FEED_COMPLETE : FEED_MORE;
}

/* An answer that did not stream. */
static void read_body(struct answer *a)
{
	struct json_doc *doc = NULL;
	struct json_room room;
	if (!parse(a, &room, buf_str(&a->body), &doc))
		answer_fail(a, FAIL_CUT, "the provider's answer is not complete JSON");
	else if (is_error(json_root(doc))) answer_fail_json(a, json_root(doc));
	else if (a->style->whole == NULL || !a->style->whole(a, json_root(doc)))
		answer_fail(a, FAIL_SERVER, "the provider's answer is JSON, but no answer of a model");
	else a->done = true;
	json_free(doc);
}

/* ---- the outcome ------------------------------------------------------------------------------------------------- */

/* A complete answer with nothing in it, by its reason. */
static void fail_empty(struct answer *a)
{
	struct str reason = str_c(a->finish);
	if (str_eq(reason, STR("length")))
		answer_fail(a, FAIL_INVALID, "the answer's token limit was used up before any text (params.maxTokens)");
	else if (str_eq(reason, STR("content_filter")))
		answer_fail(a, FAIL_FILTER, "the provider's content filter withheld the answer");
	else if (str_eq(reason, STR("refusal"))) answer_fail(a, FAIL_FILTER, "the model refused to answer");
	else if (str_eq(reason, STR("context_window")))
		answer_fail(a, FAIL_CONTEXT, "the conversation fills the model's whole context window");
	else answer_fail(a, FAIL_SERVER, "the provider finished without any text");
}

static bool has_tool_call(const struct answer *a)
{
	for (size_t i = 0; i < a->nparts; i++)
		if (a->parts[i].kind == PART_TOOL_CALL) return true;
	return false;
}

/* JSON that can stand in a part, in a message, in a frame, without being nested too deep there. */
static bool is_arguments(struct str text)
{
	struct json_doc *doc = NULL;
	struct buf nested = BUF_INIT(BUF_NO_LIMIT);
	bool good = json_parse(text, &doc, NULL) == OK;
	json_free(doc);
	buf_addf(&nested, "[[[[[[[[%.*s]]]]]]]]", STR_ARG(text));
	if (good) good = json_parse(buf_str(&nested), &doc, NULL) == OK;
	if (good) json_free(doc);
	buf_release(&nested);
	return good;
}

static void write_part(struct jw *w, const struct answer_part *p)
{
	jw_obj(w);
	if (p->kind == PART_TOOL_CALL) {
		struct str args = p->text.n > 0 ? buf_str(&p->text) : STR("{}");
		jw_kstr(w, "type", STR("tool_call"));
		jw_kstr(w, "id", buf_str(&p->id));
		jw_kstr(w, "name", buf_str(&p->name));
		/* What is none goes through as the string it is, for the tool's owner to judge. */
		if (is_arguments(args)) jw_kraw(w, "arguments", args);
		else jw_kstr(w, "arguments", args);
	} else {
		jw_kstr(w, "type", STR("thinking"));
		jw_kstr(w, "text", buf_str(&p->text));
	}
	if (p->seal.n > 0) jw_kstr(w, "seal", buf_str(&p->seal));
	jw_obj_end(w);
}

/* Thinking goes along only when it is sealed and a tool call follows: then it has to be given back. */
static void write_parts(struct answer *a)
{
	struct jw w = JW(&a->parts_json);
	if (!has_tool_call(a)) return;
	jw_arr(&w);
	for (size_t i = 0; i < a->nparts; i++)
		if (a->parts[i].kind == PART_TOOL_CALL || a->parts[i].seal.n > 0) write_part(&w, &a->parts[i]);
	jw_arr_end(&w);
}

static enum err end_stream(struct answer *a, struct errinfo *info)
{
	if (a->style->framing == FRAMES_SSE) return sse_end(&a->sse, on_event, a, info);
	lines_end(&a->lines, on_line, a);
	return OK;
}

void answer_end(struct answer *a, enum err transport, const struct errinfo *info, struct call_outcome *out)
{
	struct errinfo limit = {0};
	if (!is_over(a) && a->kind == BODY_ERROR)
		classify_status(a->status, buf_str(&a->headers), buf_str(&a->body), a->sink.now_ms, a->sink.key,
				&a->failed);
	else if (!is_over(a) && transport == OK && a->kind == BODY_JSON) read_body(a);
	/* What a cut left of an event is not worth reading: without its end it is no JSON. */
	else if (!is_over(a) && transport == OK && a->kind == BODY_STREAM && !a->done && end_stream(a, &limit) != OK)
		answer_fail(a, FAIL_LIMIT, "%s", limit.text);
	if (a->failed.err == OK && !a->done && !a->finished) {
		if (transport != OK) {
			a->failed.err = transport;
			a->failed.fail = fail_of_err(transport);
			a->failed.info = *info;
			a->failed.retryable = err_retryable(transport);
		} else {
			answer_fail(a, FAIL_CUT, "the provider's stream ended before the answer did");
		}
	}
	if (a->failed.err == OK && a->text_bytes == 0 && !has_tool_call(a)) fail_empty(a);
	if (a->failed.err == OK) write_parts(a);
	*out = a->failed;
	out->finish_reason = str_c(a->finish);
	out->request_id = str_c(a->request_id);
	out->parts = buf_str(&a->parts_json);
	out->usage = a->usage;
}
