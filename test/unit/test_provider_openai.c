/* The dialect's parser over answers as servers give them; every one in pieces of several sizes. */
#include "provider/answer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/utf8.h"

struct got {
	struct buf text, thinking;
	char finish[32], parts[400];
	struct call_outcome o;
	int64_t answer_bytes;
};

static bool note(void *ctx, enum answer_kind kind, struct str text)
{
	struct got *g = ctx;
	assert_true(text.n > 0 && utf8_is_valid(text));
	buf_add_str(kind == ANSWER_TEXT ? &g->text : &g->thinking, text);
	return true;
}

static void run(int status, const char *headers, struct str body, size_t piece, enum err transport, struct got *g)
{
	const struct dialect *d = dialect_find(STR("openai"));
	struct answer_sink sink = {note, g, g->answer_bytes > 0 ? g->answer_bytes : 100000, 0, STR("sk-abcdefgh1234")};
	struct errinfo info = {0};
	struct answer *p = answer_new(d, &sink);
	(void)err_set(&info, transport, "the transport broke");
	buf_init(&g->text, 1 << 20);
	buf_init(&g->thinking, 1 << 20);
	buf_add(&g->text, "", 0);
	buf_add(&g->thinking, "", 0);
	answer_head(p, status, str_c(headers));
	for (size_t at = 0; at < body.n; at += piece)
		if (answer_feed(p, str_n(body.p + at, MIN(piece, body.n - at))) == FEED_STOP) break;
	answer_end(p, transport, &info, &g->o);
	assert_true(str_copy(g->o.finish_reason, g->finish, sizeof g->finish));
	assert_true(str_copy(g->o.parts, g->parts, sizeof g->parts));
	answer_free(p);
}

static void done_with(struct got *g)
{
	buf_release(&g->text);
	buf_release(&g->thinking);
}

#define CHUNK(delta) "data: {\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]}\n\n"
#define FINISH(why) "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" why "\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n"
#define HI                                                                                                             \
	CHUNK("{\"role\":\"assistant\",\"content\":null}")                                                             \
	CHUNK("{\"content\":\"Hi \"}") CHUNK("{\"content\":\"there\"}")
#define DONE "data: [DONE]\n\n"

/* clang-format off */
static const struct row {
	const char *what;
	const char *body;
	enum err transport;
	enum err err;
	const char *text, *thinking, *finish;
	bool retryable;
	int64_t output_tokens;
	const char *says; /* part of the error's sentence */
} rows[] = {
	{"a whole stream", HI FINISH("stop") USAGE DONE, OK, OK, "Hi there", "", "stop", false, 4, NULL},
	{"length is complete too", HI FINISH("length") USAGE DONE, OK, OK, "Hi there", "", "length", false, 4, NULL},
	{"no [DONE], but a finish reason", HI FINISH("stop"), OK, OK, "Hi there", "", "stop", false, -1, NULL},
	{"no finish reason, but [DONE]", HI DONE, OK, OK, "Hi there", "", "", false, -1, NULL},
	{"broken after the finish reason", HI FINISH("stop"), ERR_PROVIDER_CUT, OK, "Hi there", "", "stop", false, -1, NULL},
	{"a clean end in the middle", HI, OK, ERR_PROVIDER_CUT, "Hi there", "", "", true, -1, "ended before"},
	{"a cut in the middle", HI "data: {\"choi", ERR_PROVIDER_CUT, ERR_PROVIDER_CUT, "Hi there", "", "", true, -1, "transport"},
	{"a clean end inside a chunk", HI "data: {\"choi", OK, ERR_PROVIDER_CUT, "Hi there", "", "", true, -1, "JSON"},
	{"nothing at all", "", OK, ERR_PROVIDER_CUT, "", "", "", true, -1, NULL},
	{"what comes after [DONE] is not looked at", HI DONE "data: {{{\n\n", OK, OK, "Hi there", "", "", false, -1, NULL},
	{"[DONE] without a line end", HI FINISH("stop") "data: [DONE]", OK, OK, "Hi there", "", "stop", false, -1, NULL},
	{"reasoning_content is thinking", CHUNK("{\"reasoning_content\":\"hm\"}") HI DONE, OK, OK, "Hi there", "hm", "", false, -1, NULL},
	{"reasoning is thinking", CHUNK("{\"reasoning\":\"hm\"}") HI DONE, OK, OK, "Hi there", "hm", "", false, -1, NULL},
	{"content in parts", CHUNK("{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}") DONE, OK, OK, "ab", "", "", false, -1, NULL},
	{"a refusal is text", CHUNK("{\"refusal\":\"I will not\"}") FINISH("stop") DONE, OK, OK, "I will not", "", "stop", false, -1, NULL},
	{"other choices are not ours", "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}\n\n" HI DONE, OK, OK, "Hi there", "", "", false, -1, NULL},
	{"unknown members and events", "event: new\ndata: {\"x\":[1]}\n\n: ping\n\n" HI FINISH("stop") DONE, OK, OK, "Hi there", "", "stop", false, -1, NULL},
	{"usage null in chunks", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n" USAGE DONE, OK, OK, "a", "", "", false, 4, NULL},
	{"invalid UTF-8", CHUNK("{\"content\":\"a\xff\"}") DONE, OK, OK, "a\xef\xbf\xbd", "", "", false, -1, NULL},
	{"half a surrogate pair", CHUNK("{\"content\":\"a\\ud83d\"}") DONE, OK, OK, "a\xef\xbf\xbd", "", "", false, -1, NULL},
	{"an error in the stream", HI "data: {\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"code\":null}}\n\n", OK, ERR_PROVIDER, "Hi there", "", "", true, -1, "out of memory"},
	{"an error with a numeric code", "data: {\"error\":{\"code\":400,\"message\":\"too long\",\"type\":\"exceed_context_size_error\"}}\n\n", OK, ERR_PROVIDER_REFUSED, "", "", "", false, -1, "too long"},
	{"an error with a code in digits", "data: {\"error\":{\"code\":\"503\",\"message\":\"busy\"}}\n\n", OK, ERR_PROVIDER_BUSY, "", "", "", true, -1, "busy"},
	{"an error that is a string", "data: {\"error\":\"model crashed\"}\n\n", OK, ERR_PROVIDER, "", "", "", true, -1, "model crashed"},
	{"an event named error", "event: error\ndata: {\"message\":\"gone\",\"code\":\"server_is_overloaded\"}\n\n", OK, ERR_PROVIDER_BUSY, "", "", "", true, -1, "gone"},
	{"an object of the kind error", "data: {\"object\":\"error\",\"message\":\"bad\",\"code\":400}\n\n", OK, ERR_PROVIDER_REFUSED, "", "", "", false, -1, "bad"},
	{"200 with an error body", "{\"error\":{\"message\":\"no credits\",\"code\":\"insufficient_quota\"}}", OK, ERR_PROVIDER_REFUSED, "", "", "", false, -1, "no credits"},
	{"an answer that does not stream", "\n {\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}", OK, OK, "Hi", "", "stop", false, 2, NULL},
	{"half an answer that does not stream", "{\"choices\":[{\"index\":0,\"message\":{\"con", ERR_PROVIDER_CUT, ERR_PROVIDER_CUT, "", "", "", true, -1, "transport"},
	{"JSON of another kind", "{\"ok\":true}", OK, ERR_PROVIDER, "", "", "", true, -1, "no answer of a model"},
	{"a web page", "<!doctype html><title>Login</title>", OK, ERR_PROVIDER, "", "", "", true, -1, "neither"},
	{"a chunk that is not JSON", HI "data: oops\n\n", OK, ERR_PROVIDER_CUT, "Hi there", "", "", true, -1, "JSON"},
	{"a chunk that is not an object", "data: [1]\n\n", OK, ERR_PROVIDER_CUT, "", "", "", true, -1, "JSON"},
	{"no text at all", FINISH("stop") DONE, OK, ERR_PROVIDER, "", "", "stop", true, -1, "without any text"},
	{"only thinking, then the limit", CHUNK("{\"reasoning_content\":\"hm\"}") FINISH("length") DONE, OK, ERR_PROVIDER_REFUSED, "", "hm", "length", false, -1, "maxTokens"},
	{"a content filter", FINISH("content_filter") DONE, OK, ERR_PROVIDER_REFUSED, "", "", "content_filter", false, -1, "filter"},
};
/* clang-format on */

static void answers_are_read_as_they_are_given(void **state)
{
	(void)state;
	static const size_t pieces[] = {1, 2, 3, 7, 64, 100000};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			struct got g = {0};
			const struct row *r = &rows[i];
			run(200, "HTTP/1.1 200 OK\r\n\r\n", str_c(r->body), pieces[k], r->transport, &g);
			if (g.o.err != r->err || strcmp(g.text.p, r->text) != 0)
				print_error("%s: %s, \"%s\": %s\n", r->what, err_code(g.o.err), g.text.p,
					    g.o.info.text);
			assert_int_equal(g.o.err, r->err);
			assert_string_equal(g.text.p, r->text);
			assert_string_equal(g.thinking.p, r->thinking);
			assert_string_equal(g.finish, r->finish);
			if (g.o.err != OK) assert_int_equal(g.o.retryable, r->retryable);
			if (r->says != NULL) assert_non_null(strstr(g.o.info.text, r->says));
			assert_int_equal(g.o.usage.output_tokens, r->output_tokens);
			done_with(&g);
		}
	}
}

/* clang-format off */
static const struct status_row {
	int status;
	const char *headers, *body;
	enum err err;
	bool retryable;
	int64_t wait_ms;
	const char *says;
} statuses[] = {
	{400, "", "{\"error\":{\"code\":400,\"message\":\"Expected 'messages' to be an array\",\"type\":\"invalid_request_error\"}}", ERR_PROVIDER_REFUSED, false, 0, "Expected"},
	{401, "", "{\"error\":{\"message\":\"Incorrect API key provided: sk-abcdefgh1234\",\"code\":\"invalid_api_key\"}}", ERR_PROVIDER_REFUSED, false, 0, "[key]"},
	{404, "", "{\"error\":{\"code\":\"model_not_found\",\"message\":\"no such model\"}}", ERR_PROVIDER_REFUSED, false, 0, "404"},
	{404, "", "{\"detail\":\"Not Found\"}", ERR_PROVIDER_REFUSED, false, 0, "Not Found"},
	{401, "", "{\"error\":{\"message\":\"who?\",\"type\":\"server_error\"}}", ERR_PROVIDER_REFUSED, false, 0, "who?"},
	{408, "", "", ERR_PROVIDER_TIMEOUT, true, 0, "408"},
	{429, "Retry-After: 2\r\n", "{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}}", ERR_PROVIDER_BUSY, true, 2000, "slow"},
	{429, "retry-after-ms: 1500.5\r\nRetry-After: 9\r\n", "", ERR_PROVIDER_BUSY, true, 1500, "429"},
	{429, "Retry-After: Thu, 01 Jan 1970 00:00:30 GMT\r\n", "", ERR_PROVIDER_BUSY, true, 30000, NULL},
	{429, "Retry-After: soon\r\n", "", ERR_PROVIDER_BUSY, true, 0, NULL},
	{429, "Retry-After: 1e300\r\n", "", ERR_PROVIDER_BUSY, true, 86400000, NULL},
	{429, "Retry-After: 2\r\n", "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"pay\"}}", ERR_PROVIDER_REFUSED, false, 0, "pay"},
	{500, "", "oops\r\n\x1b[2J", ERR_PROVIDER, true, 0, "oops [2J"},
	{500, "X-Should-Retry: false\r\n", "", ERR_PROVIDER, false, 0, NULL},
	{400, "x-should-retry: true\r\n", "", ERR_PROVIDER_REFUSED, true, 0, NULL},
	{502, "", "<html>Bad gateway</html>", ERR_PROVIDER, true, 0, "web page"},
	{503, "", "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}", ERR_PROVIDER_BUSY, true, 0, "Loading"},
	{504, "", "", ERR_PROVIDER_TIMEOUT, true, 0, NULL},
	{529, "", "", ERR_PROVIDER_BUSY, true, 0, NULL},
	{302, "Location: http://elsewhere/\r\n", "", ERR_PROVIDER_REFUSED, false, 0, "redirect"},
};
/* clang-format on */

static void statuses_say_whether_to_try_again_and_when(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		const struct status_row *r = &statuses[i];
		struct got g = {0};
		run(r->status, r->headers, str_c(r->body), 5, OK, &g);
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

static void tool_calls_are_put_together(void **state)
{
	(void)state;
	struct got g = {0};
	run(200, "",
	    STR(CHUNK(
		    "{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"add\",\"arguments\":\"{\\\"a\\\"\"}}]}")
			CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}")
				CHUNK("{\"tool_calls\":[{\"index\":1,\"id\":\"c2\",\"function\":{\"name\":\"now\"}}]}")
					FINISH("tool_calls") DONE),
	    3, OK, &g);
	assert_int_equal(g.o.err, OK);
	assert_string_equal(g.finish, "tool_calls");
	assert_string_equal(g.parts, "[{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"add\",\"arguments\":{\"a\":1}},"
				     "{\"type\":\"tool_call\",\"id\":\"c2\",\"name\":\"now\",\"arguments\":{}}]");
	done_with(&g);
}

static void an_answer_beyond_its_limit_ends(void **state)
{
	(void)state;
	struct got g = {.answer_bytes = 5};
	run(200, "", STR(HI DONE), 1000, OK, &g);
	assert_int_equal(g.o.err, ERR_PROVIDER_LIMIT);
	assert_false(g.o.retryable);
	assert_string_equal(g.text.p, "Hi ");
	assert_non_null(strstr(g.o.info.text, "answerBytes"));
	done_with(&g);
}

static enum err build(const char *base_url, const char *key, const char *params, struct wire_request *r,
		      struct errinfo *info)
{
	const struct call_message messages[] = {{.role = STR("system"), .text = STR("be \"brief\"")},
						{.role = STR("user"), .text = STR("h\xc3\xa4?")}};
	struct json_doc *doc = NULL;
	if (params != NULL) assert_int_equal(json_parse(str_c(params), &doc, NULL), OK);
	struct params p;
	struct provider_ask ask = {.base_url = str_c(base_url),
				   .key = str_c(key),
				   .model = STR("m"),
				   .messages = messages,
				   .nmessages = 2,
				   .params = &p};
	enum err e = params_read(json_root(doc), &p, info);
	if (e == OK) e = dialect_find(STR("openai"))->build(&ask, r, info);
	json_free(doc);
	return e;
}

static void a_request_is_what_servers_expect(void **state)
{
	(void)state;
	struct wire_request r;
	struct errinfo info;
	assert_int_equal(build("http://h/v1", "sk-1",
			       "{\"maxTokens\":5,\"temperature\":0.5,\"top_k\":40,\"topP\":null}", &r, &info),
			 OK);
	assert_string_equal(r.url, "http://h/v1/chat/completions");
	assert_string_equal(r.method, "POST");
	assert_string_equal(
		r.body.p,
		"{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be \\\"brief\\\"\"},"
		"{\"role\":\"user\",\"content\":\"h\xc3\xa4?\"}],\"stream\":true,\"stream_options\":{\"include_usage\":true},"
		"\"temperature\":0.5,\"top_k\":40,\"max_tokens\":5}");
	bool authorized = false;
	for (char **h = r.headers; *h != NULL; h++)
		authorized = authorized || strcmp(*h, "Authorization: Bearer sk-1") == 0;
	assert_true(authorized);
	wire_request_release(&r);
	assert_int_equal(build("https://api.openai.com/v1", NULL, "{\"max_tokens\":5}", &r, &info), OK);
	assert_non_null(strstr(r.body.p, "\"max_completion_tokens\":5"));
	assert_non_null(strstr(r.body.p, "\"include_obfuscation\":false"));
	for (char **h = r.headers; *h != NULL; h++) assert_null(strstr(*h, "Authorization"));
	wire_request_release(&r);
}

static void a_parameter_that_cannot_be_sent_is_named(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
		{"{\"temperature\":3}", "params.temperature"},
		{"{\"temperature\":\"hot\"}", "params.temperature"},
		{"{\"maxTokens\":1.5}", "params.maxTokens"},
		{"{\"maxTokens\":1,\"max_tokens\":2}", "give one"},
		{"{\"stop\":[1]}", "params.stop"},
		{"{\"stream\":false}", "params.stream"},
		{"{\"messages\":[]}", "params.messages"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct wire_request r;
		struct errinfo info;
		assert_int_equal(build("http://h", NULL, bad[i][0], &r, &info), ERR_BAD_FIELD);
		assert_non_null(strstr(info.text, bad[i][1]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_as_they_are_given),
		cmocka_unit_test(statuses_say_whether_to_try_again_and_when),
		cmocka_unit_test(tool_calls_are_put_together),
		cmocka_unit_test(an_answer_beyond_its_limit_ends),
		cmocka_unit_test(a_request_is_what_servers_expect),
		cmocka_unit_test(a_parameter_that_cannot_be_sent_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
