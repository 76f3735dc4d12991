/* Chat completions: answers as servers give them, in pieces of several sizes, and requests byte by byte. */
#include "provider/answer.h"

#include "unit/dialect_gear.h"

#define CHUNK(delta) "data: {\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]}\n\n"
#define FINISH(why) "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" why "\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n"
#define COUNTS(members) "data: {\"choices\":[],\"usage\":{" members "}}\n\n"
#define CALL(members) CHUNK("{\"tool_calls\":[{" members "}]}")
#define HI                                                                                                             \
	CHUNK("{\"role\":\"assistant\",\"content\":null}")                                                             \
	CHUNK("{\"content\":\"Hi \"}") CHUNK("{\"content\":\"there\"}")
#define DONE "data: [DONE]\n\n"
#define DEEP8(s) "[[[[[[[[" s "]]]]]]]]"
#define DEEP64(s) DEEP8(DEEP8(DEEP8(DEEP8(DEEP8(DEEP8(DEEP8(DEEP8(s))))))))
#define ADD_CALL "{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"add\",\"arguments\":{\"a\":1}}"

/* clang-format off */
static const struct answer_row rows[] = {
	{"a whole stream", HI FINISH("stop") USAGE DONE, OK, OK, "Hi there", "", "stop", .in = 9, .out = 4},
	{"length is complete too", HI FINISH("length") USAGE DONE, OK, OK, "Hi there", "", "length", .in = 9, .out = 4},
	{"no [DONE], but a finish reason", HI FINISH("stop"), OK, OK, "Hi there", "", "stop"},
	{"no finish reason, but [DONE]", HI DONE, OK, OK, "Hi there", "", ""},
	{"broken after the finish reason", HI FINISH("stop"), ERR_PROVIDER_CUT, OK, "Hi there", "", "stop"},
	{"a clean end in the middle", HI, OK, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "ended before"},
	{"a cut in the middle", HI "data: {\"choi", ERR_PROVIDER_CUT, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "transport"},
	{"a clean end inside a chunk", HI "data: {\"choi", OK, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "JSON"},
	{"nothing at all", "", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true},
	{"what comes after [DONE] is not looked at", HI DONE "data: {{{\n\n", OK, OK, "Hi there", "", ""},
	{"[DONE] without a line end", HI FINISH("stop") "data: [DONE]", OK, OK, "Hi there", "", "stop"},
	{"reasoning_content is thinking", CHUNK("{\"reasoning_content\":\"hm\"}") HI DONE, OK, OK, "Hi there", "hm", ""},
	{"reasoning is thinking", CHUNK("{\"reasoning\":\"hm\"}") HI DONE, OK, OK, "Hi there", "hm", ""},
	{"content in parts", CHUNK("{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}") DONE, OK, OK, "ab", "", ""},
	{"a refusal is text", CHUNK("{\"refusal\":\"I will not\"}") FINISH("stop") DONE, OK, OK, "I will not", "", "stop"},
	{"other choices are not ours", "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}\n\n" HI DONE, OK, OK, "Hi there", "", ""},
	{"unknown members and events", "event: new\ndata: {\"x\":[1]}\n\n: ping\n\n" HI FINISH("stop") DONE, OK, OK, "Hi there", "", "stop"},
	{"usage null in chunks", "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n" USAGE DONE, OK, OK, "a", "", "", .in = 9, .out = 4},
	{"invalid UTF-8", CHUNK("{\"content\":\"a\xff\"}") DONE, OK, OK, "a\xef\xbf\xbd", "", ""},
	{"half a surrogate pair", CHUNK("{\"content\":\"a\\ud83d\"}") DONE, OK, OK, "a\xef\xbf\xbd", "", ""},
	{"an error in the stream", HI "data: {\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\",\"code\":null}}\n\n", OK, ERR_PROVIDER, "Hi there", "", "", .retryable = true, .says = "out of memory"},
	{"an error with a numeric code", "data: {\"error\":{\"code\":400,\"message\":\"too long\",\"type\":\"exceed_context_size_error\"}}\n\n", OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "too long"},
	{"an error with a code in digits", "data: {\"error\":{\"code\":\"503\",\"message\":\"busy\"}}\n\n", OK, ERR_PROVIDER_BUSY, "", "", "", .retryable = true, .says = "busy"},
	{"an error that is a string", "data: {\"error\":\"model crashed\"}\n\n", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "model crashed"},
	{"an event named error", "event: error\ndata: {\"message\":\"gone\",\"code\":\"server_is_overloaded\"}\n\n", OK, ERR_PROVIDER_BUSY, "", "", "", .retryable = true, .says = "gone"},
	{"an object of the kind error", "data: {\"object\":\"error\",\"message\":\"bad\",\"code\":400}\n\n", OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "bad"},
	{"200 with an error body", "{\"error\":{\"message\":\"no credits\",\"code\":\"insufficient_quota\"}}", OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "no credits"},
	{"an answer that does not stream", "\n {\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}", OK, OK, "Hi", "", "stop", .in = 1, .out = 2},
	{"half an answer that does not stream", "{\"choices\":[{\"index\":0,\"message\":{\"con", ERR_PROVIDER_CUT, ERR_PROVIDER_CUT, "", "", "", .retryable = true, .says = "transport"},
	{"JSON of another kind", "{\"ok\":true}", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "no answer of a model"},
	{"a web page", "<!doctype html><title>Login</title>", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "neither"},
	{"a chunk that is not JSON", HI "data: oops\n\n", OK, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "JSON"},
	{"a chunk that is not an object", "data: [1]\n\n", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true, .says = "JSON"},
	{"no text at all", FINISH("stop") DONE, OK, ERR_PROVIDER, "", "", "stop", .retryable = true, .says = "without any text"},
	{"only thinking, then the limit", CHUNK("{\"reasoning_content\":\"hm\"}") FINISH("length") DONE, OK, ERR_PROVIDER_REFUSED, "", "hm", "length", .says = "maxTokens"},
	{"a content filter", FINISH("content_filter") DONE, OK, ERR_PROVIDER_REFUSED, "", "", "content_filter", .says = "filter"},
	{"calls in pieces", CALL("\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"add\",\"arguments\":\"{\\\"a\\\"\"}") CALL("\"index\":0,\"function\":{\"arguments\":\":1}\"}")
	 CALL("\"index\":1,\"id\":\"c2\",\"function\":{\"name\":\"now\"}") FINISH("tool_calls") DONE, OK, OK, "", "", "tool_calls",
	 .parts = "[" ADD_CALL ",{\"type\":\"tool_call\",\"id\":\"c2\",\"name\":\"now\",\"arguments\":{}}]"},
	{"a call whose arguments are an object", CALL("\"id\":\"c1\",\"function\":{\"name\":\"add\",\"arguments\":{\"a\": 1}}") FINISH("tool_calls") DONE, OK, OK, "", "", "tool_calls", .parts = "[" ADD_CALL "]"},
	{"the older word for a call", CALL("\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"add\",\"arguments\":\"{\\\"a\\\":1}\"}") FINISH("function_call") DONE, OK, OK, "", "", "tool_calls", .parts = "[" ADD_CALL "]"},
	{"arguments nested too deep for a message", CALL("\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"" DEEP64("") "\"}") FINISH("stop") DONE, OK, OK, "", "", "stop",
	 .parts = "[{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"f\",\"arguments\":\"" DEEP64("") "\"}]"},
	{"arguments that are no JSON", CALL("\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":\"1],[2\"}") FINISH("stop") DONE, OK, OK, "", "", "stop",
	 .parts = "[{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"f\",\"arguments\":\"1],[2\"}]"},
	{"all counts", HI FINISH("stop") COUNTS("\"prompt_tokens\":20,\"completion_tokens\":9,\"total_tokens\":29,\"prompt_tokens_details\":{\"cached_tokens\":12,\"cache_write_tokens\":3},\"completion_tokens_details\":{\"reasoning_tokens\":5}") DONE,
	 OK, OK, "Hi there", "", "stop", .in = 20, .out = 9, .thought = 5, .cached = 12, .written = 3},
	{"xAI counts reasoning beside the answer", HI FINISH("stop") COUNTS("\"prompt_tokens\":20,\"completion_tokens\":9,\"total_tokens\":34,\"completion_tokens_details\":{\"reasoning_tokens\":5},\"cost_in_usd_ticks\":123456789") DONE,
	 OK, OK, "Hi there", "", "stop", .in = 20, .out = 14, .thought = 5, .cost = 123456789},
	{"counts of a hostile server", HI FINISH("stop") COUNTS("\"prompt_tokens\":-1,\"completion_tokens\":1e99,\"total_tokens\":\"9\",\"prompt_tokens_details\":7") DONE, OK, OK, "Hi there", "", "stop"},
	{"xAI's kind of error", HI "data: {\"code\":\"The service is at capacity\",\"error\":\"try later\"}\n\n", OK, ERR_PROVIDER, "Hi there", "", "", .retryable = true, .says = "try later"},
};

static const struct status_row statuses[] = {
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
	{400, "", "{\"code\":\"Client specified an invalid argument\",\"error\":\"Incorrect API key: sk-abcdefgh1234\"}", ERR_PROVIDER_REFUSED, false, 0, "[key]"},
	{429, "", "{\"code\":\"Some resource has been exhausted\",\"error\":\"too many\"}", ERR_PROVIDER_BUSY, true, 0, "too many"},
	{503, "", "{\"error\":{\"message\":\"slow down\",\"type\":\"service_unavailable_error\",\"code\":\"server_is_overloaded\"}}", ERR_PROVIDER_BUSY, true, 0, "slow down"},
};
/* clang-format on */

static void answers_are_read_as_they_are_given(void **state)
{
	(void)state;
	check_answers(&dialect_openai, rows, ARRAY_LEN(rows));
}

static void statuses_say_whether_to_try_again_and_when(void **state)
{
	(void)state;
	check_statuses(&dialect_openai, statuses, ARRAY_LEN(statuses));
}

static void what_llama_cpp_streams_is_read(void **state)
{
	(void)state;
	struct buf file = BUF_INIT(100000);
	read_fixture("llamacpp-chat.sse", &file);
	for (size_t i = 0; i < ARRAY_LEN(piece_sizes); i++) {
		struct got g = {0};
		run(&dialect_openai, 200, "", buf_str(&file), piece_sizes[i], OK, &g);
		assert_int_equal(g.o.err, OK);
		assert_string_equal(g.text.p, "foot EgIm війсь߬ corre");
		assert_string_equal(g.finish.p, "length");
		assert_string_equal(g.request_id.p, "chatcmpl-cGhdA7A54PHrkHdRglYbCiQDwWcddcWp");
		assert_int_equal(g.o.usage.input_tokens, 29);
		assert_int_equal(g.o.usage.output_tokens, 6);
		assert_int_equal(g.o.usage.cache_read_tokens, 0);
		assert_int_equal(g.o.usage.thinking_tokens, -1);
		done_with(&g);
	}
	buf_release(&file);
}

static void what_llama_cpp_refuses_is_named(void **state)
{
	(void)state;
	static const struct {
		const char *file;
		enum fail fail;
		const char *says;
	} refusals[] = {
		{"llamacpp-error.json", FAIL_INVALID, "Expected 'messages' to be an array"},
		{"llamacpp-error-ctx.json", FAIL_CONTEXT, "exceeds the available context size"},
	};
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct buf file = BUF_INIT(100000);
		struct got g = {0};
		read_fixture(refusals[i].file, &file);
		run(&dialect_openai, 400, "", buf_str(&file), 10, OK, &g);
		assert_int_equal(g.o.fail, refusals[i].fail);
		assert_false(g.o.retryable);
		assert_non_null(strstr(g.o.info.text, refusals[i].says));
		done_with(&g);
		buf_release(&file);
	}
}

static void an_answer_beyond_its_limit_ends(void **state)
{
	(void)state;
	struct got g = {.answer_bytes = 5};
	run(&dialect_openai, 200, "", STR(HI DONE), 1000, OK, &g);
	assert_int_equal(g.o.err, ERR_PROVIDER_LIMIT);
	assert_false(g.o.retryable);
	assert_string_equal(g.text.p, "Hi ");
	assert_non_null(strstr(g.o.info.text, "answerBytes"));
	done_with(&g);
	/* Arguments count however they are written. */
	g = (struct got){.answer_bytes = 10};
	run(&dialect_openai, 200, "", STR(CALL("\"function\":{\"arguments\":{\"a\":\"123456\"}}")), 1000, OK, &g);
	assert_int_equal(g.o.err, ERR_PROVIDER_LIMIT);
	done_with(&g);
}

static void a_request_is_what_servers_expect(void **state)
{
	(void)state;
	const struct call_message messages[] = {{.role = STR("system"), .text = STR("be \"brief\"")},
						{.role = STR("user"), .text = STR("h\xc3\xa4?")}};
	struct provider_ask ask = {.base_url = STR("http://h/v1"),
				   .key = STR("sk-1"),
				   .model = STR("m"),
				   .messages = messages,
				   .nmessages = 2};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(
		build(&dialect_openai, ask, "{\"system\":\"be kind\",\"maxTokens\":5,\"topP\":null}", &r, &info), OK);
	assert_string_equal(r.url, "http://h/v1/chat/completions");
	assert_string_equal(r.method, "POST");
	assert_string_equal(
		r.body.p,
		"{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},"
		"{\"role\":\"system\",\"content\":\"be \\\"brief\\\"\"},"
		"{\"role\":\"user\",\"content\":\"h\xc3\xa4?\"}],\"stream\":true,\"stream_options\":{\"include_usage\":true},"
		"\"max_tokens\":5}");
	assert_true(has_header(&r, "Authorization: Bearer sk-1"));
	wire_request_release(&r);
}

static void openai_itself_is_asked_in_its_newer_words(void **state)
{
	(void)state;
	const struct call_message hi = {.role = STR("user"), .text = STR("hi")};
	struct provider_ask ask = {
		.base_url = STR("https://api.openai.com/v1"), .model = STR("m"), .messages = &hi, .nmessages = 1};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_openai, ask, "{\"max_tokens\":5}", &r, &info), OK);
	assert_non_null(strstr(buf_str(&r.body).p, "\"max_completion_tokens\":5"));
	assert_null(strstr(buf_str(&r.body).p, "\"max_tokens\""));
	assert_non_null(strstr(buf_str(&r.body).p, "\"include_obfuscation\":false"));
	for (char **h = r.headers; *h != NULL; h++) assert_null(strstr(*h, "Authorization"));
	wire_request_release(&r);
	assert_int_equal(build(&dialect_openai, ask, "{\"topK\":5}", &r, &info), ERR_BAD_FIELD);
	assert_non_null(strstr(info.text, "params.topK"));
}

/* clang-format off */
#define BODY(rest) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,\"stream_options\":{\"include_usage\":true}" rest "}"
static const char *const bodies[][2] = {
	{NULL, BODY("")},
	{"{\"temperature\":0.5,\"top_k\":40,\"seed\":0,\"stop\":\"END\",\"frequencyPenalty\":-1,\"presence_penalty\":2}",
	 BODY(",\"temperature\":0.5,\"top_k\":40,\"seed\":0,\"stop\":\"END\",\"frequency_penalty\":-1,\"presence_penalty\":2")},
	{"{\"effort\":\"low\",\"thinking\":\"on\"}", BODY(",\"reasoning_effort\":\"low\"")},
	{"{\"thinking\":false,\"effort\":\"none\"}", BODY(",\"reasoning_effort\":\"none\"")},
	{"{\"schema\":{\"type\":\"object\"}}", BODY(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"strict\":true,\"schema\":{\"type\":\"object\"}}}")},
	{"{\"tools\":[{\"name\":\"f\",\"strict\":true}],\"toolChoice\":\"f\"}",
	 BODY(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}")},
	{"{\"toolChoice\":\"required\"}", BODY(",\"tool_choice\":\"required\"")},
	{"{\"cache_prompt\":true,\"reasoning_effort\":\"low\",\"response_format\":{\"type\":\"json_object\"},\"logit_bias\":{\"7\":-1.50}}",
	 BODY(",\"cache_prompt\":true,\"reasoning_effort\":\"low\",\"response_format\":{\"type\":\"json_object\"},\"logit_bias\":{\"7\":-1.50}")},
};

static const char *const refused[][2] = {
	{"{\"temperature\":3}", "params.temperature"},
	{"{\"temperature\":\"hot\"}", "params.temperature"},
	{"{\"maxTokens\":1.5}", "params.maxTokens"},
	{"{\"maxTokens\":1,\"max_tokens\":2}", "give one"},
	{"{\"stop\":[1]}", "params.stop"},
	{"{\"thinkingBudget\":1024}", "params.thinkingBudget"},
	{"{\"thinking\":\"off\",\"effort\":\"low\"}", "params.effort is low"},
	{"{\"stream\":false}", "params.stream"},
	{"{\"messages\":[]}", "params.messages"},
	{"{\"n\":2}", "params.n"},
	{"{\"effort\":\"low\",\"reasoning_effort\":\"low\"}", "params.reasoning_effort"},
	{"{\"schema\":{},\"response_format\":{}}", "params.response_format"},
	{"{\"maxTokens\":1,\"max_completion_tokens\":1}", "params.max_completion_tokens"},
};
/* clang-format on */

static void parameters_have_the_api_s_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) check_body(&dialect_openai, bodies[i][0], bodies[i][1]);
}

static void a_parameter_that_cannot_be_sent_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) check_refused(&dialect_openai, refused[i][0], refused[i][1]);
}

static void every_parameter_arrives_or_is_named(void **state)
{
	(void)state;
	check_every_parameter(&dialect_openai);
}

static void parts_are_content_calls_and_results(void **state)
{
	(void)state;
	const struct call_part asks[] = {
		{.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("\x89PNG")},
		{.kind = PART_FILE, .media_type = STR("a\"b"), .name = STR("\"a\".pdf"), .bytes = STR("%PDF-")},
		{.kind = PART_TEXT, .text = STR("more")},
	};
	const struct call_part calls[] = {
		{.kind = PART_THINKING, .text = STR("hm"), .seal = STR("another's")},
		{.kind = PART_TOOL_CALL, .id = STR("t1"), .name = STR("f"), .text = STR("{\"a\": 1}")},
		{.kind = PART_TOOL_CALL, .id = STR("t2"), .name = STR("g"), .text = STR("")},
	};
	const struct call_part results[] = {
		{.kind = PART_TOOL_RESULT, .id = STR("t1"), .text = STR("2")},
		{.kind = PART_TOOL_RESULT, .id = STR("t2"), .text = STR("no"), .is_error = true},
	};
	const struct call_message messages[] = {
		{.role = STR("user"), .text = STR("look"), .parts = asks, .nparts = ARRAY_LEN(asks)},
		{.role = STR("assistant"), .text = STR("I call"), .parts = calls, .nparts = ARRAY_LEN(calls)},
		{.role = STR("user"), .text = STR("here"), .parts = results, .nparts = ARRAY_LEN(results)},
		{.role = STR("user"), .text = STR(""), .parts = results, .nparts = 1},
	};
	struct provider_ask ask = {
		.base_url = STR("http://h"), .model = STR("m"), .messages = messages, .nmessages = ARRAY_LEN(messages)};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_openai, ask, NULL, &r, &info), OK);
	/* clang-format off */
	assert_string_equal(r.body.p, "{\"model\":\"m\",\"messages\":["
		"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"look\"},"
		"{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBORw==\"}},"
		"{\"type\":\"file\",\"file\":{\"filename\":\"\\\"a\\\".pdf\",\"file_data\":\"data:a\\\"b;base64,JVBERi0=\"}},"
		"{\"type\":\"text\",\"text\":\"more\"}]},"
		"{\"role\":\"assistant\",\"content\":\"I call\",\"tool_calls\":["
		"{\"id\":\"t1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}},"
		"{\"id\":\"t2\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
		"{\"role\":\"tool\",\"tool_call_id\":\"t1\",\"content\":\"2\"},"
		"{\"role\":\"tool\",\"tool_call_id\":\"t2\",\"content\":\"no\"},"
		"{\"role\":\"user\",\"content\":\"here\"},"
		"{\"role\":\"tool\",\"tool_call_id\":\"t1\",\"content\":\"2\"}],"
		"\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	/* clang-format on */
	wire_request_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_as_they_are_given),
		cmocka_unit_test(statuses_say_whether_to_try_again_and_when),
		cmocka_unit_test(what_llama_cpp_streams_is_read),
		cmocka_unit_test(what_llama_cpp_refuses_is_named),
		cmocka_unit_test(an_answer_beyond_its_limit_ends),
		cmocka_unit_test(a_request_is_what_servers_expect),
		cmocka_unit_test(openai_itself_is_asked_in_its_newer_words),
		cmocka_unit_test(parameters_have_the_api_s_names),
		cmocka_unit_test(a_parameter_that_cannot_be_sent_is_named),
		cmocka_unit_test(every_parameter_arrives_or_is_named),
		cmocka_unit_test(parts_are_content_calls_and_results),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
