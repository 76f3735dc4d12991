/* What the tests of dialects share: answers read in pieces of every size, requests made, parameters tried one by one. */
#ifndef ROOST_TEST_UNIT_DIALECT_GEAR_H
#define ROOST_TEST_UNIT_DIALECT_GEAR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "provider/answer.h"

/* A row of a table says what is not zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define TEST_KEY "sk-abcdefgh1234"

struct got {
	struct buf text, thinking, parts, finish, request_id;
	struct call_outcome o;
	int64_t answer_bytes; /* limit; 0: plenty */
};

static bool note(void *ctx, enum answer_kind kind, struct str text)
{
	struct got *g = ctx;
	assert_true(text.n > 0 && utf8_is_valid(text));
	buf_add_str(kind == ANSWER_TEXT ? &g->text : &g->thinking, text);
	return true;
}

static void run(const struct dialect *d, int status, const char *headers, struct str body, size_t piece,
		enum err transport, struct got *g)
{
	struct answer_sink sink = {note, g, g->answer_bytes > 0 ? g->answer_bytes : 100000, 0, STR(TEST_KEY)};
	struct errinfo info = {0};
	struct answer *p = answer_new(d, &sink);
	struct buf *bufs[] = {&g->text, &g->thinking, &g->parts, &g->finish, &g->request_id};
	(void)err_set(&info, transport, "the transport broke");
	for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
		buf_init(bufs[i], 1 << 20);
		buf_add(bufs[i], "", 0);
	}
	answer_head(p, status, str_c(headers));
	for (size_t at = 0; at < body.n; at += piece)
		if (answer_feed(p, str_n(body.p + at, MIN(piece, body.n - at))) == FEED_STOP) break;
	answer_end(p, transport, &info, &g->o);
	buf_add_str(&g->finish, g->o.finish_reason);
	buf_add_str(&g->request_id, g->o.request_id);
	buf_add_str(&g->parts, g->o.parts);
	answer_free(p);
}

static void done_with(struct got *g)
{
	struct buf *bufs[] = {&g->text, &g->thinking, &g->parts, &g->finish, &g->request_id};
	for (size_t i = 0; i < ARRAY_LEN(bufs); i++) buf_release(bufs[i]);
}

/* ---- answers with status 200 ------------------------------------------------------------------------------------- */

struct answer_row {
	const char *what;
	const char *body;
	enum err transport;
	enum err err;
	const char *text, *thinking, *finish;
	bool retryable;
	const char *says;                                /* part of the error's sentence */
	const char *parts;                               /* the whole of them; NULL none */
	int64_t in, out, thought, cached, written, cost; /* usage; 0 unknown */
};

static void check_usage(const struct call_usage *u, const struct answer_row *r)
{
	assert_int_equal(MAX(u->input_tokens, 0), r->in);
	assert_int_equal(MAX(u->output_tokens, 0), r->out);
	assert_int_equal(MAX(u->thinking_tokens, 0), r->thought);
	assert_int_equal(MAX(u->cache_read_tokens, 0), r->cached);
	assert_int_equal(MAX(u->cache_write_tokens, 0), r->written);
	assert_int_equal(MAX(u->cost_ticks, 0), r->cost);
}

static void check_answer(const struct dialect *d, const struct answer_row *r, size_t piece)
{
	struct got g = {0};
	run(d, 200, "HTTP/1.1 200 OK\r\n\r\n", str_c(r->body), piece, r->transport, &g);
	if (g.o.err != r->err || strcmp(g.text.p, r->text) != 0)
		print_error("%s: %s, \"%s\": %s\n", r->what, err_code(g.o.err), g.text.p, g.o.info.text);
	assert_int_equal(g.o.err, r->err);
	assert_string_equal(g.text.p, r->text);
	assert_string_equal(g.thinking.p, r->thinking);
	assert_string_equal(g.finish.p, r->finish);
	if (g.o.err != OK) assert_int_equal(g.o.retryable, r->retryable);
	if (r->says != NULL) assert_non_null(strstr(g.o.info.text, r->says));
	assert_string_equal(g.parts.p, r->parts != NULL ? r->parts : "");
	check_usage(&g.o.usage, r);
	done_with(&g);
}

static const size_t piece_sizes[] = {1, 2, 3, 7, 64, 100000};

static void check_answers(const struct dialect *d, const struct answer_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_LEN(piece_sizes); k++) check_answer(d, &rows[i], piece_sizes[k]);
}

/* ---- answers with other statuses --------------------------------------------------------------------------------- */

struct status_row {
	int status;
	const char *headers, *body;
	enum err err;
	bool retryable;
	int64_t wait_ms;
	const char *says;
};

static void check_statuses(const struct dialect *d, const struct status_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct status_row *r = &rows[i];
		struct got g = {0};
		run(d, r->status, r->headers, str_c(r->body), 5, OK, &g);
		if (g.o.err != r->err || g.o.retryable != r->retryable)
			print_error("%d %s: %s\n", r->status, r->body, g.o.info.text);
		assert_int_equal(g.o.err, r->err);
		assert_int_equal(g.o.retryable, r->retryable);
		assert_int_equal(g.o.info.retry_after_ms, r->wait_ms);
		if (r->says != NULL) assert_non_null(strstr(g.o.info.text, r->says));
		assert_null(strstr(g.o.info.text, "abcdefgh1234"));
		done_with(&g);
	}
}

/* ---- what servers really sent ------------------------------------------------------------------------------------ */

static inline void read_fixture(const char *name, struct buf *out)
{
	char path[1000], piece[4096];
	(void)snprintf(path, sizeof path, "%s/test/unit/fixtures/%s", ROOST_SOURCE_DIR, name);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_add(out, piece, n);
	(void)fclose(f);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* `ask` without its parameters, which are JSON or NULL. */
static enum err build(const struct dialect *d, struct provider_ask ask, const char *params, struct wire_request *r,
		      struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct params p;
	if (params != NULL) assert_int_equal(json_parse(str_c(params), &doc, NULL), OK);
	enum err e = params_read(json_root(doc), &p, info);
	ask.params = &p;
	if (e == OK) e = d->build(&ask, r, info);
	json_free(doc);
	return e;
}

static enum err build_hi(const struct dialect *d, const char *params, struct wire_request *r, struct errinfo *info)
{
	const struct call_message hi = {.role = STR("user"), .text = STR("hi")};
	struct provider_ask ask = {.base_url = STR("http://h"), .model = STR("m"), .messages = &hi, .nmessages = 1};
	return build(d, ask, params, r, info);
}

/* The body of a request that says hi; the caller frees it. */
static char *body_of(const struct dialect *d, const char *params)
{
	struct wire_request r = {0};
	struct errinfo info = {0};
	struct json_doc *doc;
	enum err e = build_hi(d, params, &r, &info);
	if (e != OK) print_error("%s: %s\n", params, info.text);
	assert_int_equal(e, OK);
	assert_int_equal(json_parse(buf_str(&r.body), &doc, NULL), OK); /* no member stands twice */
	json_free(doc);
	char *body = buf_take(&r.body, NULL);
	wire_request_release(&r);
	return body;
}

static void check_body(const struct dialect *d, const char *params, const char *want)
{
	char *body = body_of(d, params);
	assert_string_equal(body, want);
	free(body);
}

/* Refused before any call, and by its name. */
static void check_refused(const struct dialect *d, const char *params, const char *says)
{
	struct wire_request r = {0};
	struct errinfo info = {0};
	enum err e = build_hi(d, params, &r, &info);
	if (e != ERR_BAD_FIELD || strstr(info.text, says) == NULL) print_error("%s: %s\n", params, info.text);
	assert_int_equal(e, ERR_BAD_FIELD);
	assert_non_null(strstr(info.text, says));
}

static bool has_header(const struct wire_request *r, const char *header)
{
	for (char *const *h = r->headers; *h != NULL; h++)
		if (strcmp(*h, header) == 0) return true;
	return false;
}

/* ---- every parameter --------------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct {
	const char *beside; /* what the body is compared with */
	const char *given;
	const char *found;  /* stands in the body then; NULL: the body is another one */
} param_samples[PARAM_COUNT][3] = {
	[P_SYSTEM]          = {{"{}", "{\"system\":\"a zebra\"}", "a zebra"}},
	[P_MAX_TOKENS]      = {{"{}", "{\"maxTokens\":31337}", ":31337"}},
	[P_TEMPERATURE]     = {{"{}", "{\"temperature\":0.7325}", ":0.7325"}, {"{}", "{\"temperature\":0}", ":0"}},
	[P_TOP_P]           = {{"{}", "{\"topP\":0.6175}", ":0.6175"}, {"{}", "{\"topP\":0}", ":0"}},
	[P_TOP_K]           = {{"{}", "{\"topK\":4711}", ":4711"}, {"{}", "{\"topK\":0}", ":0"}},
	[P_SEED]            = {{"{}", "{\"seed\":8642}", ":8642"}, {"{}", "{\"seed\":0}", ":0"}},
	[P_STOP]            = {{"{}", "{\"stop\":[\"halt!\"]}", "[\"halt!\"]"}, {"{}", "{\"stop\":\"halt!\"}", "halt!"}},
	[P_FREQUENCY]       = {{"{}", "{\"frequencyPenalty\":1.25}", ":1.25"}, {"{}", "{\"frequencyPenalty\":0}", ":0"}},
	[P_PRESENCE]        = {{"{}", "{\"presencePenalty\":1.75}", ":1.75"}, {"{}", "{\"presencePenalty\":0}", ":0"}},
	[P_THINKING]        = {{"{}", "{\"thinking\":\"off\"}", NULL}, {"{}", "{\"thinking\":false}", NULL}},
	[P_THINKING_BUDGET] = {{"{}", "{\"thinkingBudget\":2345}", ":2345"}, {"{}", "{\"thinkingBudget\":0}", ":0"}},
	[P_EFFORT]          = {{"{}", "{\"effort\":\"high\"}", NULL}, {"{}", "{\"effort\":\"none\"}", NULL}},
	[P_SCHEMA]          = {{"{}", "{\"schema\":{\"title\":\"zebra\"}}", "{\"title\":\"zebra\"}"}},
	[P_TOOLS]           = {{"{}", "{\"tools\":[{\"name\":\"zebra\",\"parameters\":{\"type\":\"object\"}}]}", "\"name\":\"zebra\""}},
	[P_TOOL_CHOICE]     = {{"{\"tools\":[{\"name\":\"f\"}]}", "{\"tools\":[{\"name\":\"f\"}],\"toolChoice\":\"none\"}", NULL},
			       {"{\"tools\":[{\"name\":\"f\"}]}", "{\"tools\":[{\"name\":\"f\"}],\"toolChoice\":\"f\"}", "\"name\":\"f\""}},
};
/* clang-format on */

static void check_parameter(const struct dialect *d, enum param k)
{
	char null[100], name[100];
	(void)snprintf(null, sizeof null, "{\"%s\":null}", param_rows[k].name);
	(void)snprintf(name, sizeof name, "params.%s", param_rows[k].name);
	char *unset = body_of(d, NULL);
	check_body(d, null, unset);
	free(unset);
	assert_true(param_samples[k][0].given != NULL || param_rows[k].kind == PK_CONTEXT);
	for (size_t i = 0; i < ARRAY_LEN(param_samples[k]) && param_samples[k][i].given != NULL; i++) {
		struct wire_request r = {0};
		struct errinfo info;
		const char *found = param_samples[k][i].found;
		if (build_hi(d, param_samples[k][i].given, &r, &info) != OK) {
			assert_non_null(strstr(info.text, name));
			continue;
		}
		char *without = body_of(d, param_samples[k][i].beside);
		assert_string_not_equal(without, r.body.p);
		if (found != NULL) assert_non_null(strstr(r.body.p, found));
		free(without);
		wire_request_release(&r);
	}
}

/* Given, each arrives or is refused by its name; null is the same as unset. */
static void check_every_parameter(const struct dialect *d)
{
	for (size_t k = 0; k < PARAM_COUNT; k++) check_parameter(d, (enum param)k);
}

#endif
