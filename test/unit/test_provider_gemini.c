/* Gemini's generateContent: answers as servers give them, in pieces of several sizes, and requests byte by byte. */
#include "provider/answer.h"

#include "unit/dialect_gear.h"

#define CHUNK(parts, more)                                                                                             \
	"data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[" parts "]}" more ",\"index\":0}],"        \
	"\"responseId\":\"r-1\"}\n\n"
#define SAY(text) CHUNK("{\"text\":\"" text "\"}", "")
#define HI SAY("Hi ") SAY("there")
#define FINISH(why) ",\"finishReason\":\"" why "\""
#define STOP "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n"
#define END(why) CHUNK("", FINISH(why))
#define USAGE(counts) "data: {\"usageMetadata\":{" counts "}}\n\n"
#define CALL(id, more) "{\"functionCall\":{" id "\"name\":\"add\",\"args\":{\"a\":1}}" more "}"
#define ERROR(code, status, message, details)                                                                          \
	"{\"error\":{\"code\":" code ",\"message\":\"" message "\",\"status\":\"" status "\"" details "}}"
#define RETRY_INFO(delay) "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"" delay "\"}"
#define ADDED(id, more) "{\"type\":\"tool_call\",\"id\":\"" id "\",\"name\":\"add\",\"arguments\":{\"a\":1}" more "}"

/* clang-format off */
static const struct answer_row rows[] = {
	{"a whole stream", HI CHUNK("{\"text\":\"!\"}", FINISH("STOP")), OK, OK, "Hi there!", "", "stop", .retryable = false},
	{"lines end in CR LF", "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":\"STOP\"}]}\r\n\r\n", OK, OK, "a", "", "stop", .retryable = false},
	{"lines end in CR", "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\r\rdata: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\r", OK, OK, "a", "", "stop", .retryable = false},
	{"broken after the reason", HI STOP, ERR_PROVIDER_CUT, OK, "Hi there", "", "stop", .retryable = false},
	{"a clean end in the middle", HI, OK, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "ended before"},
	{"a cut in an event", HI "data: {\"candi", ERR_PROVIDER_CUT, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "transport"},
	{"an unspecified reason is none", HI END("FINISH_REASON_UNSPECIFIED"), OK, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "ended before"},
	{"nothing at all", "", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true},
	{"unknown members and parts", "data: {\"weather\":[1]}\n\n" CHUNK("{\"executableCode\":{\"code\":\"1\"}},{\"text\":\"a\",\"new\":true}", ",\"new\":{}") STOP, OK, OK, "a", "", "stop", .retryable = false},
	{"other candidates are not ours", "data: {\"candidates\":[{\"index\":1,\"content\":{\"parts\":[{\"text\":\"no\"}]},\"finishReason\":\"STOP\"}]}\n\n" HI STOP, OK, OK, "Hi there", "", "stop", .retryable = false},
	{"thoughts are thinking", CHUNK("{\"text\":\"hm\",\"thought\":true},{\"text\":\"a\"}", "") STOP, OK, OK, "a", "hm", "stop", .retryable = false},
	{"the limit", HI END("MAX_TOKENS"), OK, OK, "Hi there", "", "length", .retryable = false},
	{"the limit before any text", CHUNK("{\"text\":\"hm\",\"thought\":true}", FINISH("MAX_TOKENS")), OK, ERR_PROVIDER_REFUSED, "", "hm", "length", .says = "maxTokens"},
	{"withheld after text", HI END("SAFETY"), OK, OK, "Hi there", "", "content_filter", .retryable = false},
	{"withheld before text", END("PROHIBITED_CONTENT"), OK, ERR_PROVIDER_REFUSED, "", "", "content_filter", .says = "withheld the answer: PROHIBITED_CONTENT"},
	{"withheld with a sentence", "data: {\"candidates\":[{\"finishReason\":\"RECITATION\",\"finishMessage\":\"too\\u001b close.\"}]}\n\n", OK, ERR_PROVIDER_REFUSED, "", "", "content_filter", .says = "withheld the answer: too close"},
	{"a broken tool call", "data: {\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\",\"finishMessage\":\"print(1\"}]}\n\n", OK, ERR_PROVIDER, "", "", "malformed_tool_call", .retryable = true, .says = "without text: print(1"},
	{"a reason that is new", HI END("BORED"), OK, OK, "Hi there", "", "BORED", .retryable = false},
	{"no text at all", STOP, OK, ERR_PROVIDER, "", "", "stop", .retryable = true, .says = "without any text"},
	{"a blocked prompt", "data: {\"promptFeedback\":{\"blockReason\":\"JAILBREAK\"},\"usageMetadata\":{\"promptTokenCount\":4}}\n\n", OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "blocked the prompt: JAILBREAK", .in = 4},
	{"a blocked prompt that did not stream", "{\"promptFeedback\":{\"blockReason\":\"SAFETY\",\"blockReasonMessage\":\"no\"}}", OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "blocked the prompt: no"},
	{"feedback that blocks nothing", "data: {\"promptFeedback\":{\"blockReason\":\"BLOCK_REASON_UNSPECIFIED\",\"safetyRatings\":[]}}\n\n" HI STOP, OK, OK, "Hi there", "", "stop", .retryable = false},
	{"a call", CHUNK(CALL("\"id\":\"c1\",", ""), FINISH("STOP")), OK, OK, "", "", "tool_calls", .parts = "[" ADDED("c1", "") "]"},
	{"a call, then the reason", CHUNK(CALL("\"id\":\"c1\",", ""), "") STOP, OK, OK, "", "", "tool_calls", .parts = "[" ADDED("c1", "") "]"},
	{"calls without ids get one", SAY("ok") CHUNK(CALL("", "") "," CALL("", ""), "") STOP, OK, OK, "ok", "", "tool_calls", .parts = "[" ADDED("gemini_r-1_0", "") "," ADDED("gemini_r-1_1", "") "]"},
	{"a call without arguments", CHUNK("{\"functionCall\":{\"id\":\"c1\",\"name\":\"now\"}}", "") STOP, OK, OK, "", "", "tool_calls", .parts = "[{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"now\",\"arguments\":{}}]"},
	{"signatures are kept with their parts", CHUNK("{\"text\":\"hm\",\"thought\":true,\"thoughtSignature\":\"QQ==\"},{\"text\":\"a\",\"thoughtSignature\":\"Qg==\"}," CALL("\"id\":\"c1\",", ",\"thoughtSignature\":\"Qw==\""), "") STOP,
	 OK, OK, "a", "hm", "tool_calls", .parts = "[{\"type\":\"thinking\",\"text\":\"hm\",\"seal\":\"gemini:QQ==\"},{\"type\":\"thinking\",\"text\":\"\",\"seal\":\"gemini:Qg==\"}," ADDED("c1", ",\"seal\":\"gemini:Qw==\"") "]"},
	{"signatures without a call are not kept", CHUNK("{\"text\":\"a\"}", "") CHUNK("{\"text\":\"\",\"thoughtSignature\":\"Qg==\"}", FINISH("STOP")), OK, OK, "a", "", "stop", .retryable = false},
	{"an error among the events", HI "data: " ERROR("503", "UNAVAILABLE", "overloaded", "") "\n\n", OK, ERR_PROVIDER_BUSY, "Hi there", "", "", .retryable = true, .says = "overloaded"},
	{"a bare error in the middle", HI ERROR("429", "RESOURCE_EXHAUSTED", "slow down", ""), OK, ERR_PROVIDER_BUSY, "Hi there", "", "", .retryable = true, .says = "slow down"},
	{"a bare error in lines", HI "{\r\n  \"error\": {\r\n    \"code\": 403,\r\n    \"message\": \"no\",\r\n    \"status\": \"PERMISSION_DENIED\"\r\n  }\r\n}\r\n", OK, ERR_PROVIDER_REFUSED, "Hi there", "", "", .says = "no"},
	{"a bare error after the reason", HI STOP ERROR("500", "INTERNAL", "oops", "") "\n\n", OK, ERR_PROVIDER, "Hi there", "", "stop", .retryable = true, .says = "oops"},
	{"200 with an error body", ERROR("400", "INVALID_ARGUMENT", "bad", ""), OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "bad"},
	{"usage is cumulative, thoughts count as output", USAGE("\"promptTokenCount\":4,\"thoughtsTokenCount\":7") HI USAGE("\"promptTokenCount\":4,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":9,\"cachedContentTokenCount\":3,\"totalTokenCount\":15") STOP,
	 OK, OK, "Hi there", "", "stop", .in = 4, .out = 11, .thought = 9, .cached = 3},
	{"usage without thoughts", HI USAGE("\"promptTokenCount\":4,\"candidatesTokenCount\":2") STOP, OK, OK, "Hi there", "", "stop", .in = 4, .out = 2},
	{"counts beyond all bounds", HI USAGE("\"candidatesTokenCount\":9223372036854775807,\"thoughtsTokenCount\":9223372036854775807,\"promptTokenCount\":-1") STOP, OK, OK, "Hi there", "", "stop", .out = (int64_t)1 << 51, .thought = (int64_t)1 << 50},
	{"an answer that does not stream", "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":2}}", OK, OK, "Hi", "", "stop", .in = 1, .out = 2},
	{"half an answer that does not stream", "{\"candidates\":[{\"con", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true},
	{"JSON of another kind", "{\"ok\":true}", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "no answer of a model"},
	{"a stream that is one array", "[{\"candidates\":[]}]", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "neither"},
};

static const struct status_row statuses[] = {
	{400, "", ERROR("400", "INVALID_ARGUMENT", "API key not valid: " TEST_KEY, ""), ERR_PROVIDER_REFUSED, false, 0, "[key]"},
	{400, "", ERROR("400", "FAILED_PRECONDITION", "not here", ""), ERR_PROVIDER_REFUSED, false, 0, "not here"},
	{403, "", ERROR("403", "PERMISSION_DENIED", "no", ""), ERR_PROVIDER_REFUSED, false, 0, "no"},
	{404, "", ERROR("404", "NOT_FOUND", "models/x is not found", ""), ERR_PROVIDER_REFUSED, false, 0, "models/x"},
	{429, "", ERROR("429", "RESOURCE_EXHAUSTED", "slow", ",\"details\":[" RETRY_INFO("17s") "]"), ERR_PROVIDER_BUSY, true, 17000, "slow"},
	{429, "", ERROR("429", "RESOURCE_EXHAUSTED", "slow", ",\"details\":[{\"violations\":[{\"quotaId\":\"GenerateRequestsPerMinutePerProject\"}]}," RETRY_INFO("0.5s") "]"), ERR_PROVIDER_BUSY, true, 500, "slow"},
	{429, "", ERROR("429", "RESOURCE_EXHAUSTED", "tomorrow", ",\"details\":[{\"violations\":[{\"quotaId\":\"GenerateRequestsPerDayPerProjectPerModel\"}]}," RETRY_INFO("17s") "]"), ERR_PROVIDER_REFUSED, false, 0, "tomorrow"},
	{500, "", ERROR("500", "INTERNAL", "oops", ""), ERR_PROVIDER, true, 0, "oops"},
	{503, "", ERROR("503", "UNAVAILABLE", "overloaded", ""), ERR_PROVIDER_BUSY, true, 0, "overloaded"},
	{504, "", ERROR("504", "DEADLINE_EXCEEDED", "late", ""), ERR_PROVIDER_TIMEOUT, true, 0, "late"},
};
/* clang-format on */

static void answers_are_read_as_they_are_given(void **state)
{
	(void)state;
	check_answers(&dialect_gemini, rows, ARRAY_LEN(rows));
}

static void statuses_say_whether_to_try_again_and_when(void **state)
{
	(void)state;
	check_statuses(&dialect_gemini, statuses, ARRAY_LEN(statuses));
}

static void the_request_id_is_the_response_s(void **state)
{
	(void)state;
	struct got g = {0};
	run(&dialect_gemini, 200, "", STR(HI STOP), 9, OK, &g);
	assert_string_equal(g.request_id.p, "r-1");
	done_with(&g);
}

static void a_request_is_what_the_api_expects(void **state)
{
	(void)state;
	const struct call_message messages[] = {
		{.role = STR("system"), .text = STR("be brief")},
		{.role = STR("user"), .text = STR("h\xc3\xa4?")},
		{.role = STR("user"), .text = STR("")},
		{.role = STR("assistant"), .text = STR("ja")},
	};
	struct provider_ask ask = {.base_url = STR("https://h/v1beta"),
				   .key = STR("k-1"),
				   .model = STR("gemini-x"),
				   .messages = messages,
				   .nmessages = ARRAY_LEN(messages)};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_gemini, ask, "{\"system\":\"be kind\"}", &r, &info), OK);
	assert_string_equal(r.url, "https://h/v1beta/models/gemini-x:streamGenerateContent?alt=sse");
	assert_string_equal(r.body.p, "{\"systemInstruction\":{\"parts\":[{\"text\":\"be kind\\n\\nbe brief\"}]},"
				      "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"h\xc3\xa4?\"}]},"
				      "{\"role\":\"model\",\"parts\":[{\"text\":\"ja\"}]}],\"generationConfig\":{}}");
	assert_true(has_header(&r, "x-goog-api-key: k-1"));
	wire_request_release(&r);
	ask.key = STR_NONE;
	assert_int_equal(build(&dialect_gemini, ask, NULL, &r, &info), OK);
	for (char **h = r.headers; *h != NULL; h++) assert_null(strstr(*h, "x-goog-api-key"));
	wire_request_release(&r);
}

static void a_model_s_name_is_one_segment_of_the_path(void **state)
{
	(void)state;
	static const char *const names[][2] = {
		{"models/gemini-2.5-pro", "http://h/models/gemini-2.5-pro:streamGenerateContent?alt=sse"},
		{"../x?key=1#y", "http://h/models/..%2Fx%3Fkey%3D1%23y:streamGenerateContent?alt=sse"},
		{"a b%\xc3\xa4", "http://h/models/a%20b%25%C3%A4:streamGenerateContent?alt=sse"},
	};
	const struct call_message hi = {.role = STR("user"), .text = STR("hi")};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct provider_ask ask = {
			.base_url = STR("http://h"), .model = str_c(names[i][0]), .messages = &hi, .nmessages = 1};
		struct wire_request r = {0};
		struct errinfo info;
		assert_int_equal(build(&dialect_gemini, ask, NULL, &r, &info), OK);
		assert_string_equal(r.url, names[i][1]);
		wire_request_release(&r);
	}
}

/* clang-format off */
#define BODY(config, rest) "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}],\"generationConfig\":{" config "}" rest "}"
static const char *const bodies[][2] = {
	{"{\"maxTokens\":7,\"temperature\":0,\"topP\":0.9,\"topK\":5,\"seed\":3,\"stop\":\"END\",\"frequencyPenalty\":0.5,\"presencePenalty\":-0.5}",
	 BODY("\"maxOutputTokens\":7,\"temperature\":0,\"topP\":0.9,\"topK\":5,\"seed\":3,\"frequencyPenalty\":0.5,\"presencePenalty\":-0.5,\"stopSequences\":[\"END\"]", "")},
	{"{\"thinking\":\"on\"}", BODY("\"thinkingConfig\":{\"includeThoughts\":true}", "")},
	{"{\"thinking\":\"adaptive\"}", BODY("\"thinkingConfig\":{\"includeThoughts\":true,\"thinkingBudget\":-1}", "")},
	{"{\"thinking\":\"adaptive\",\"effort\":\"low\"}", BODY("\"thinkingConfig\":{\"includeThoughts\":true,\"thinkingLevel\":\"LOW\"}", "")},
	{"{\"thinkingBudget\":512}", BODY("\"thinkingConfig\":{\"includeThoughts\":true,\"thinkingBudget\":512}", "")},
	{"{\"thinkingBudget\":0}", BODY("\"thinkingConfig\":{\"thinkingBudget\":0}", "")},
	{"{\"thinking\":\"off\"}", BODY("\"thinkingConfig\":{\"thinkingBudget\":0}", "")},
	{"{\"effort\":\"none\"}", BODY("\"thinkingConfig\":{\"thinkingBudget\":0}", "")},
	{"{\"effort\":\"minimal\"}", BODY("\"thinkingConfig\":{\"thinkingLevel\":\"MINIMAL\"}", "")},
	{"{\"effort\":\"high\",\"thinking\":true}", BODY("\"thinkingConfig\":{\"includeThoughts\":true,\"thinkingLevel\":\"HIGH\"}", "")},
	{"{\"schema\":{\"type\":\"object\"}}", BODY("\"responseMimeType\":\"application/json\",\"responseJsonSchema\":{\"type\":\"object\"}", "")},
	{"{\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"}},{\"name\":\"g\"}]}",
	 BODY("", ",\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"description\":\"d\",\"parametersJsonSchema\":{\"type\":\"object\"}},{\"name\":\"g\"}]}]")},
	{"{\"toolChoice\":\"auto\"}", BODY("", ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"AUTO\"}}")},
	{"{\"toolChoice\":\"none\"}", BODY("", ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"NONE\"}}")},
	{"{\"toolChoice\":\"required\"}", BODY("", ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\"}}")},
	{"{\"toolChoice\":\"f\"}", BODY("", ",\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"f\"]}}")},
	{"{\"safetySettings\":[],\"mediaResolution\":\"LOW\",\"serviceTier\":\"flex\"}", BODY("\"mediaResolution\":\"LOW\"", ",\"safetySettings\":[],\"serviceTier\":\"flex\"")},
};

static const char *const refused[][2] = {
	{"{\"effort\":\"xhigh\"}", "params.effort"},
	{"{\"effort\":\"max\"}", "params.effort"},
	{"{\"effort\":\"low\",\"thinkingBudget\":5}", "params.thinkingBudget"},
	{"{\"thinking\":\"adaptive\",\"thinkingBudget\":5}", "params.thinkingBudget"},
	{"{\"thinking\":\"off\",\"thinkingBudget\":5}", "params.thinking"},
	{"{\"thinking\":\"off\",\"effort\":\"low\"}", "params.thinking"},
	{"{\"thinking\":\"on\",\"effort\":\"none\"}", "params.thinking"},
	{"{\"contents\":[]}", "params.contents"},
	{"{\"generationConfig\":{}}", "params.generationConfig"},
	{"{\"candidateCount\":2}", "params.candidateCount"},
};
/* clang-format on */

static void parameters_have_the_api_s_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) check_body(&dialect_gemini, bodies[i][0], bodies[i][1]);
}

static void what_the_api_refuses_is_said_before_the_call(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) check_refused(&dialect_gemini, refused[i][0], refused[i][1]);
}

static void every_parameter_arrives_or_is_named(void **state)
{
	(void)state;
	check_every_parameter(&dialect_gemini);
}

static void parts_are_given_back_as_they_came(void **state)
{
	(void)state;
	const struct call_part asks[] = {
		{.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("\x89PNG")},
		{.kind = PART_FILE, .media_type = STR("text/csv"), .name = STR("b.csv"), .bytes = STR("a;")},
		{.kind = PART_TEXT, .text = STR("more")},
		{.kind = PART_TEXT, .text = STR("")},
	};
	const struct call_part calls[] = {
		{.kind = PART_THINKING, .text = STR(""), .seal = STR("gemini:Qg==")},
		{.kind = PART_TOOL_CALL,
		 .id = STR("c1"),
		 .name = STR("f"),
		 .text = STR("{\"a\": 1}"),
		 .seal = STR("gemini:Qw==")},
		{.kind = PART_TOOL_CALL,
		 .id = STR("gemini_r1_1"),
		 .name = STR("g"),
		 .text = STR(""),
		 .seal = STR("other:x")},
		{.kind = PART_TOOL_CALL, .id = STR("c3"), .name = STR("h"), .text = STR("[1")},
		{.kind = PART_THINKING, .text = STR("hm"), .seal = STR("gemini:QQ==")},
		{.kind = PART_THINKING, .text = STR("another's"), .seal = STR("anthropic:x")},
	};
	const struct call_part results[] = {
		{.kind = PART_TOOL_RESULT, .id = STR("c1"), .text = STR("{\"sum\":2}")},
		{.kind = PART_TOOL_RESULT, .id = STR("gemini_r1_1"), .text = STR("two")},
		{.kind = PART_TOOL_RESULT,
		 .id = STR("c3"),
		 .name = STR("other"),
		 .text = STR("{\"x\":1}"),
		 .is_error = true},
	};
	const struct call_message messages[] = {
		{.role = STR("user"), .text = STR("look"), .parts = asks, .nparts = ARRAY_LEN(asks)},
		{.role = STR("assistant"), .text = STR("I call"), .parts = calls, .nparts = ARRAY_LEN(calls)},
		{.role = STR("assistant"), .text = STR(""), .parts = &calls[5], .nparts = 1},
		{.role = STR("user"), .text = STR(""), .parts = results, .nparts = ARRAY_LEN(results)},
	};
	struct provider_ask ask = {
		.base_url = STR("http://h"), .model = STR("m"), .messages = messages, .nmessages = ARRAY_LEN(messages)};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_gemini, ask, NULL, &r, &info), OK);
	/* clang-format off */
	assert_string_equal(r.body.p,
		"{\"contents\":["
		"{\"role\":\"user\",\"parts\":[{\"text\":\"look\"},"
		"{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"iVBORw==\"}},"
		"{\"inlineData\":{\"mimeType\":\"text/csv\",\"data\":\"YTs=\"}},{\"text\":\"more\"}]},"
		"{\"role\":\"model\",\"parts\":[{\"text\":\"hm\",\"thought\":true,\"thoughtSignature\":\"QQ==\"},"
		"{\"text\":\"I call\"},{\"text\":\"\",\"thoughtSignature\":\"Qg==\"},"
		"{\"functionCall\":{\"id\":\"c1\",\"name\":\"f\",\"args\":{\"a\":1}},\"thoughtSignature\":\"Qw==\"},"
		"{\"functionCall\":{\"name\":\"g\",\"args\":{}}},"
		"{\"functionCall\":{\"id\":\"c3\",\"name\":\"h\",\"args\":{\"INVALID_JSON\":\"[1\"}}}]},"
		"{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"id\":\"c1\",\"name\":\"f\",\"response\":{\"sum\":2}}},"
		"{\"functionResponse\":{\"name\":\"g\",\"response\":{\"output\":\"two\"}}},"
		"{\"functionResponse\":{\"id\":\"c3\",\"name\":\"other\",\"response\":{\"error\":{\"x\":1}}}}]}],"
		"\"generationConfig\":{}}");
	/* clang-format on */
	wire_request_release(&r);
}

static void a_result_without_its_call_is_refused(void **state)
{
	(void)state;
	const struct call_part result = {.kind = PART_TOOL_RESULT, .id = STR("c9"), .text = STR("2")};
	const struct call_message m = {.role = STR("user"), .parts = &result, .nparts = 1};
	struct provider_ask ask = {.base_url = STR("http://h"), .model = STR("m"), .messages = &m, .nmessages = 1};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_gemini, ask, NULL, &r, &info), ERR_BAD_FIELD);
	assert_non_null(strstr(info.text, "\"c9\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_as_they_are_given),
		cmocka_unit_test(statuses_say_whether_to_try_again_and_when),
		cmocka_unit_test(the_request_id_is_the_response_s),
		cmocka_unit_test(a_request_is_what_the_api_expects),
		cmocka_unit_test(a_model_s_name_is_one_segment_of_the_path),
		cmocka_unit_test(parameters_have_the_api_s_names),
		cmocka_unit_test(what_the_api_refuses_is_said_before_the_call),
		cmocka_unit_test(every_parameter_arrives_or_is_named),
		cmocka_unit_test(parts_are_given_back_as_they_came),
		cmocka_unit_test(a_result_without_its_call_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
