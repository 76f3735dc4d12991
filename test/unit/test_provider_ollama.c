/* Ollama's API: answers as servers give them, in pieces of several sizes, and requests byte by byte. */
#include "provider/answer.h"

#include "unit/dialect_gear.h"

#define LINE(message, rest)                                                                                            \
	"{\"model\":\"m\",\"created_at\":\"2026-11-20T10:00:00.1Z\",\"message\":{\"role\":\"assistant\"" message       \
	"}" rest "}\n"
#define SAY(text) LINE(",\"content\":\"" text "\"", ",\"done\":false")
#define CALL(call) LINE(",\"content\":\"\",\"tool_calls\":[" call "]", ",\"done\":false")
#define HI LINE(",\"content\":\"\",\"thinking\":\"hm\"", ",\"done\":false") SAY("Hi ") SAY("there")
#define COUNTS ",\"total_duration\":91000000,\"prompt_eval_count\":5,\"eval_count\":2,\"eval_duration\":40000000"
#define DONE(why) LINE(",\"content\":\"\"", ",\"done\":true,\"done_reason\":\"" why "\"" COUNTS)
#define ADD "{\"id\":\"c1\",\"function\":{\"index\":0,\"name\":\"add\",\"arguments\":{\"a\":1}}}"
#define ADD_CALL "{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"add\",\"arguments\":{\"a\":1}}"

/* clang-format off */
static const struct answer_row rows[] = {
	{"a whole stream", HI DONE("stop"), OK, OK, "Hi there", "hm", "stop", .in = 5, .out = 2},
	{"CR LF and empty lines", SAY("Hi") "\r\n\n" DONE("stop") "\r\n", OK, OK, "Hi", "", "stop", .in = 5, .out = 2},
	{"the limit", HI DONE("length"), OK, OK, "Hi there", "hm", "length", .in = 5, .out = 2},
	{"no reason at all", SAY("a") "{\"done\":true}", OK, OK, "a", "", "stop"},
	{"the last line without an end", SAY("a") "{\"message\":{\"content\":\"b\"},\"done\":true,\"done_reason\":\"stop\"}", OK, OK, "ab", "", "stop"},
	{"what follows the last line is not looked at", HI DONE("stop") "{{{\n", OK, OK, "Hi there", "hm", "stop", .in = 5, .out = 2},
	{"an answer that does not stream", LINE(",\"content\":\"Hi\"", ",\"done\":true,\"done_reason\":\"stop\"" COUNTS), OK, OK, "Hi", "", "stop", .in = 5, .out = 2},
	{"broken after the last line", HI DONE("stop"), ERR_PROVIDER_CUT, OK, "Hi there", "hm", "stop", .in = 5, .out = 2},
	{"a prompt out of the cache has no count", SAY("a") "{\"done\":true,\"prompt_eval_count\":0,\"eval_count\":1}\n", OK, OK, "a", "", "stop", .out = 1},
	{"a clean end before the last line", HI, OK, ERR_PROVIDER_CUT, "Hi there", "hm", "", .retryable = true, .says = "ended before"},
	{"a cut inside a line", HI "{\"model\":\"m\",\"mess", ERR_PROVIDER_CUT, ERR_PROVIDER_CUT, "Hi there", "hm", "", .retryable = true, .says = "transport"},
	{"a clean end inside a line", HI "{\"model\":\"m\",\"mess", OK, ERR_PROVIDER_CUT, "Hi there", "hm", "", .retryable = true, .says = "JSON"},
	{"nothing at all", "", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true},
	{"an error in the middle", HI "{\"error\":\"the model runner has stopped\"}\n", OK, ERR_PROVIDER, "Hi there", "hm", "", .retryable = true, .says = "runner has stopped"},
	{"an error and nothing else", "{\"error\":\"oops\"}", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "oops"},
	{"the model was loaded", LINE(",\"content\":\"\"", ",\"done\":true,\"done_reason\":\"load\""), OK, ERR_PROVIDER_REFUSED, "", "", "load", .says = "loaded the model"},
	{"the model was unloaded", LINE(",\"content\":\"\"", ",\"done\":true,\"done_reason\":\"unload\""), OK, ERR_PROVIDER_REFUSED, "", "", "unload", .says = "unloaded the model"},
	{"no text at all", DONE("stop"), OK, ERR_PROVIDER, "", "", "stop", .retryable = true, .says = "without any text", .in = 5, .out = 2},
	{"the limit before any text", LINE(",\"thinking\":\"hm\"", "") DONE("length"), OK, ERR_PROVIDER_REFUSED, "", "hm", "length", .says = "maxTokens", .in = 5, .out = 2},
	{"a call", CALL(ADD) DONE("stop"), OK, OK, "", "", "tool_calls", .parts = "[" ADD_CALL "]", .in = 5, .out = 2},
	{"calls without ids, all with one index", CALL("{\"function\":{\"index\":0,\"name\":\"f\",\"arguments\":{}}}") CALL("{\"function\":{\"index\":0,\"name\":\"g\"}}") DONE("stop"), OK, OK, "", "", "tool_calls",
	 .parts = "[{\"type\":\"tool_call\",\"id\":\"call_0\",\"name\":\"f\",\"arguments\":{}},{\"type\":\"tool_call\",\"id\":\"call_1\",\"name\":\"g\",\"arguments\":{}}]", .in = 5, .out = 2},
	{"a call in the last line", SAY("Hi") LINE(",\"tool_calls\":[" ADD "]", ",\"done\":true,\"done_reason\":\"stop\""), OK, OK, "Hi", "", "tool_calls", .parts = "[" ADD_CALL "]"},
	{"unknown members and other types", "{\"remote_model\":\"x\",\"message\":{\"content\":[1],\"thinking\":7,\"tool_calls\":{}},\"done\":\"no\"}\n" HI DONE("stop"), OK, OK, "Hi there", "hm", "stop", .in = 5, .out = 2},
	{"invalid UTF-8", SAY("a\xff") DONE("stop"), OK, OK, "a\xef\xbf\xbd", "", "stop", .in = 5, .out = 2},
	{"a web page", "<!doctype html>", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "neither"},
};

static const struct status_row statuses[] = {
	{400, "", "{\"error\":\"\\\"m\\\" does not support tools\"}", ERR_PROVIDER_REFUSED, false, 0, "does not support tools"},
	{401, "", "{\"error\":\"unauthorized: " TEST_KEY "\"}", ERR_PROVIDER_REFUSED, false, 0, "[key]"},
	{404, "", "{\"error\":\"model 'm' not found\"}", ERR_PROVIDER_REFUSED, false, 0, "not found"},
	{429, "Retry-After: 3\r\n", "{\"error\":\"too many\"}", ERR_PROVIDER_BUSY, true, 3000, "too many"},
	{500, "", "{\"error\":\"llama runner process has terminated\"}", ERR_PROVIDER, true, 0, "terminated"},
	{503, "", "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}", ERR_PROVIDER_BUSY, true, 0, "server busy"},
};
/* clang-format on */

static void answers_are_read_as_they_are_given(void **state)
{
	(void)state;
	check_answers(&dialect_ollama, rows, ARRAY_LEN(rows));
}

static void statuses_say_whether_to_try_again_and_when(void **state)
{
	(void)state;
	check_statuses(&dialect_ollama, statuses, ARRAY_LEN(statuses));
}

static void a_prompt_that_was_not_counted_is_unknown_and_not_nothing(void **state)
{
	(void)state;
	struct got g = {0};
	run(&dialect_ollama, 200, "", STR(SAY("a") "{\"done\":true,\"prompt_eval_count\":0,\"eval_count\":0}\n"), 9, OK,
	    &g);
	assert_int_equal(g.o.usage.input_tokens, -1);
	assert_int_equal(g.o.usage.output_tokens, 0);
	done_with(&g);
}

static void a_request_is_what_the_server_expects(void **state)
{
	(void)state;
	const struct call_message messages[] = {{.role = STR("system"), .text = STR("be brief")},
						{.role = STR("user"), .text = STR("h\xc3\xa4?")},
						{.role = STR("assistant"), .text = STR("ja")}};
	struct provider_ask ask = {.base_url = STR("http://127.0.0.1:11434"),
				   .model = STR("m"),
				   .messages = messages,
				   .nmessages = ARRAY_LEN(messages)};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_ollama, ask, "{\"system\":\"be kind\"}", &r, &info), OK);
	assert_string_equal(r.url, "http://127.0.0.1:11434/api/chat");
	assert_string_equal(r.body.p, "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},"
				      "{\"role\":\"system\",\"content\":\"be brief\"},"
				      "{\"role\":\"user\",\"content\":\"h\xc3\xa4?\"},"
				      "{\"role\":\"assistant\",\"content\":\"ja\"}],\"stream\":true,\"options\":{}}");
	for (char **h = r.headers; *h != NULL; h++) assert_null(strstr(*h, "Authorization"));
	wire_request_release(&r);
	ask.key = STR("sk-1");
	assert_int_equal(build(&dialect_ollama, ask, NULL, &r, &info), OK);
	assert_true(has_header(&r, "Authorization: Bearer sk-1"));
	wire_request_release(&r);
}

/* clang-format off */
#define BODY(options, rest) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true,\"options\":{" options "}" rest "}"
#define F "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"
static const char *const bodies[][2] = {
	{NULL, BODY("", "")},
	{"{\"maxTokens\":7,\"temperature\":0,\"topP\":0.9,\"topK\":5,\"seed\":-1,\"stop\":\"END\",\"frequencyPenalty\":1,\"presencePenalty\":-1}",
	 BODY("\"num_predict\":7,\"temperature\":0,\"top_p\":0.9,\"top_k\":5,\"seed\":-1,\"frequency_penalty\":1,\"presence_penalty\":-1,\"stop\":[\"END\"]", "")},
	{"{\"num_ctx\":8192,\"keep_alive\":\"5m\",\"min_p\":0.05,\"format\":\"json\",\"think\":\"high\",\"truncate\":false}",
	 BODY("\"num_ctx\":8192,\"min_p\":0.05", ",\"format\":\"json\",\"keep_alive\":\"5m\",\"think\":\"high\",\"truncate\":false")},
	{"{\"thinking\":\"on\"}", BODY("", ",\"think\":true")},
	{"{\"thinking\":\"adaptive\",\"effort\":\"max\"}", BODY("", ",\"think\":\"max\"")},
	{"{\"thinking\":false}", BODY("", ",\"think\":false")},
	{"{\"effort\":\"none\"}", BODY("", ",\"think\":false")},
	{"{\"schema\":{\"type\":\"object\"}}", BODY("", ",\"format\":{\"type\":\"object\"}")},
	{"{\"tools\":[{\"name\":\"f\"}],\"toolChoice\":\"auto\"}", BODY("", ",\"tools\":[" F "]")},
	{"{\"tools\":[{\"name\":\"f\"}],\"toolChoice\":\"none\"}", BODY("", "")},
};

static const char *const refused[][2] = {
	{"{\"thinkingBudget\":100}", "params.thinkingBudget"},
	{"{\"effort\":\"minimal\"}", "params.effort"},
	{"{\"thinking\":false,\"effort\":\"low\"}", "params.effort is low"},
	{"{\"toolChoice\":\"required\"}", "params.toolChoice"},
	{"{\"toolChoice\":\"f\"}", "params.toolChoice"},
	{"{\"options\":{}}", "params.options"},
	{"{\"stream\":false}", "params.stream"},
	{"{\"num_predict\":7}", "params.num_predict"},
	{"{\"thinking\":true,\"think\":false}", "params.think"},
	{"{\"schema\":{},\"format\":\"json\"}", "params.format"},
};
/* clang-format on */

static void parameters_have_the_server_s_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) check_body(&dialect_ollama, bodies[i][0], bodies[i][1]);
}

static void what_the_server_has_not_is_said_before_the_call(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) check_refused(&dialect_ollama, refused[i][0], refused[i][1]);
}

static void every_parameter_arrives_or_is_named(void **state)
{
	(void)state;
	check_every_parameter(&dialect_ollama);
}

static void parts_are_members_of_messages(void **state)
{
	(void)state;
	const struct call_part asks[] = {
		{.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("\x89PNG")},
		{.kind = PART_TEXT, .text = STR("more")},
		{.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("x")},
	};
	const struct call_part calls[] = {
		{.kind = PART_THINKING, .text = STR("hm"), .seal = STR("another's")},
		{.kind = PART_TOOL_CALL, .id = STR("t1"), .name = STR("f"), .text = STR("{\"a\": 1}")},
		{.kind = PART_TOOL_CALL, .id = STR("t2"), .name = STR("g"), .text = STR("")},
		{.kind = PART_TOOL_CALL, .id = STR("t3"), .name = STR("h"), .text = STR("[1")},
	};
	const struct call_part results[] = {
		{.kind = PART_TOOL_RESULT, .id = STR("t1"), .name = STR("f"), .text = STR("2")},
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
	assert_int_equal(build(&dialect_ollama, ask, NULL, &r, &info), OK);
	/* clang-format off */
	assert_string_equal(r.body.p, "{\"model\":\"m\",\"messages\":["
		"{\"role\":\"user\",\"content\":\"look\\n\\nmore\",\"images\":[\"iVBORw==\",\"eA==\"]},"
		"{\"role\":\"assistant\",\"content\":\"I call\",\"tool_calls\":["
		"{\"id\":\"t1\",\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}},"
		"{\"id\":\"t2\",\"function\":{\"name\":\"g\",\"arguments\":{}}},"
		"{\"id\":\"t3\",\"function\":{\"name\":\"h\",\"arguments\":{\"text\":\"[1\"}}}]},"
		"{\"role\":\"tool\",\"content\":\"2\",\"tool_name\":\"f\",\"tool_call_id\":\"t1\"},"
		"{\"role\":\"tool\",\"content\":\"no\",\"tool_call_id\":\"t2\"},"
		"{\"role\":\"user\",\"content\":\"here\"},"
		"{\"role\":\"tool\",\"content\":\"2\",\"tool_name\":\"f\",\"tool_call_id\":\"t1\"}],"
		"\"stream\":true,\"options\":{}}");
	/* clang-format on */
	wire_request_release(&r);
}

static void a_file_is_refused(void **state)
{
	(void)state;
	const struct call_part file = {.kind = PART_FILE, .media_type = STR("application/pdf"), .bytes = STR("%PDF")};
	const struct call_message m = {.role = STR("user"), .text = STR("read"), .parts = &file, .nparts = 1};
	struct provider_ask ask = {.base_url = STR("http://h"), .model = STR("m"), .messages = &m, .nmessages = 1};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_ollama, ask, NULL, &r, &info), ERR_BAD_FIELD);
	assert_non_null(strstr(info.text, "a file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_as_they_are_given),
		cmocka_unit_test(statuses_say_whether_to_try_again_and_when),
		cmocka_unit_test(a_prompt_that_was_not_counted_is_unknown_and_not_nothing),
		cmocka_unit_test(a_request_is_what_the_server_expects),
		cmocka_unit_test(parameters_have_the_server_s_names),
		cmocka_unit_test(what_the_server_has_not_is_said_before_the_call),
		cmocka_unit_test(every_parameter_arrives_or_is_named),
		cmocka_unit_test(parts_are_members_of_messages),
		cmocka_unit_test(a_file_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
