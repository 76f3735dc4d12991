/* The Responses API: answers as servers give them, in pieces of several sizes, and requests byte by byte. */
#include "provider/models.h"

#include "unit/dialect_gear.h"

#define EVENT(type, members) "event: " type "\ndata: {\"type\":\"" type "\"" members "}\n\n"
#define CREATED                                                                                                        \
	EVENT("response.created", ",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\"}")
#define SAY(text)                                                                                                      \
	EVENT("response.output_text.delta",                                                                            \
	      ",\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"" text "\",\"logprobs\":[]")
#define THINK(text) EVENT("response.reasoning_summary_text.delta", ",\"summary_index\":0,\"delta\":\"" text "\"")
#define MESSAGE(text)                                                                                                                   \
	"{\"type\":\"message\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"" text \
	"\",\"annotations\":[]}]}"
#define REASONING                                                                                                      \
	"{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"hm\"}],\"encrypted_content\":\"ZW5j\"}"
#define ADD                                                                                                            \
	"{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"c1\",\"name\":\"add\",\"arguments\":\"{\\\"a\\\":1}\"}"
#define ITEM(item) EVENT("response.output_item.done", ",\"output_index\":0,\"item\":" item)
#define HI                                                                                                             \
	EVENT("response.output_item.added", ",\"item\":{\"type\":\"message\",\"content\":[]}")                         \
	SAY("Hi ")                                                                                                     \
	SAY("there")                                                                                                   \
	EVENT("response.output_text.done", ",\"text\":\"Hi there\"")                                                   \
	EVENT("response.content_part.done", ",\"part\":{\"type\":\"output_text\",\"text\":\"Hi there\"}")              \
	ITEM(MESSAGE("Hi there"))
#define COUNTS                                                                                                         \
	"\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":3,\"cache_write_tokens\":2},"       \
	"\"output_tokens\":7,\"output_tokens_details\":{\"reasoning_tokens\":4},\"total_tokens\":16}"
#define END(status, members)                                                                                           \
	EVENT("response." status, ",\"response\":{\"id\":\"resp_1\",\"status\":\"" status "\"," members "}")
#define COMPLETED(output) END("completed", "\"error\":null,\"output\":[" output "]," COUNTS)
#define SEALED                                                                                                         \
	"{\"type\":\"thinking\",\"text\":\"\",\"seal\":\"{\\\"id\\\":\\\"rs_1\\\",\\\"encrypted_content\\\":\\\"ZW5j\\\"}\"}"
#define ADD_CALL "{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"add\",\"arguments\":{\"a\":1}}"
#define USED .in = 9, .out = 7, .thought = 4, .cached = 3, .written = 2

/* clang-format off */
static const struct answer_row rows[] = {
	{"a whole stream", CREATED HI COMPLETED(MESSAGE("Hi there")), OK, OK, "Hi there", "", "stop", USED},
	{"what follows the last event is not looked at", CREATED HI COMPLETED("") "data: {{\n\n", OK, OK, "Hi there", "", "stop", USED},
	{"a mark after the last event", CREATED HI COMPLETED("") "data: [DONE]\n\n", OK, OK, "Hi there", "", "stop", USED},
	{"the event's name alone", "event: response.output_text.delta\ndata: {\"delta\":\"a\"}\n\nevent: response.completed\ndata: {\"response\":{}}\n\n", OK, OK, "a", "", "stop"},
	{"the type alone", "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\ndata: {\"type\":\"response.completed\"}\n\n", OK, OK, "a", "", "stop"},
	{"unknown events, members and items", CREATED EVENT("response.hologram.delta", ",\"delta\":\"no\"") ITEM("{\"type\":\"hologram\",\"content\":[{\"text\":\"no\"}]}") HI EVENT("keepalive", "") COMPLETED(""), OK, OK, "Hi there", "", "stop", USED},
	{"a clean end before the last event", CREATED HI, OK, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "ended before"},
	{"a cut inside an event", CREATED HI "event: response.compl", ERR_PROVIDER_CUT, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "transport"},
	{"broken after the last event", CREATED HI COMPLETED(""), ERR_PROVIDER_CUT, OK, "Hi there", "", "stop", USED},
	{"nothing at all", "", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true},
	{"text without deltas", CREATED ITEM(MESSAGE("Hi")) COMPLETED(MESSAGE("Hi")), OK, OK, "Hi", "", "stop", USED},
	{"text in the last event alone", CREATED COMPLETED(REASONING "," MESSAGE("Hi")), OK, OK, "Hi", "hm", "stop", USED},
	{"deltas, and items in the last event alone", CREATED SAY("Hi") COMPLETED(MESSAGE("Hi") "," ADD), OK, OK, "Hi", "", "tool_calls", .parts = "[" ADD_CALL "]", USED},
	{"two messages are two paragraphs", CREATED HI SAY("You") ITEM(MESSAGE("You")) COMPLETED(""), OK, OK, "Hi there\n\nYou", "", "stop", USED},
	{"a refusal is text", CREATED EVENT("response.refusal.delta", ",\"delta\":\"I will \"") EVENT("response.refusal.delta", ",\"delta\":\"not\"") EVENT("response.refusal.done", ",\"refusal\":\"I will not\"")
	 ITEM("{\"type\":\"message\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"I will not\"}]}") COMPLETED(""), OK, OK, "I will not", "", "stop", USED},
	{"a refusal without deltas", CREATED ITEM("{\"type\":\"message\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"I will not\"}]}") COMPLETED(""), OK, OK, "I will not", "", "stop", USED},
	{"summaries are paragraphs of thinking", CREATED EVENT("response.reasoning_summary_part.added", ",\"summary_index\":0") THINK("one") EVENT("response.reasoning_summary_text.done", ",\"text\":\"one\"")
	 EVENT("response.reasoning_summary_part.added", ",\"summary_index\":1") THINK("t") THINK("wo") ITEM(REASONING) HI COMPLETED(""), OK, OK, "Hi there", "one\n\ntwo", "stop", USED},
	{"raw reasoning is thinking", CREATED EVENT("response.reasoning_text.delta", ",\"delta\":\"hm\"") HI COMPLETED(""), OK, OK, "Hi there", "hm", "stop", USED},
	{"a call", CREATED EVENT("response.output_item.added", ",\"item\":{\"type\":\"function_call\",\"call_id\":\"c1\",\"name\":\"add\",\"arguments\":\"\"}") EVENT("response.function_call_arguments.delta", ",\"delta\":\"{\\\"a\\\"\"")
	 EVENT("response.function_call_arguments.done", ",\"arguments\":\"{\\\"a\\\":1}\"") ITEM(ADD) COMPLETED(ADD), OK, OK, "", "", "tool_calls", .parts = "[" ADD_CALL "]", USED},
	{"a call with its reasoning and text", CREATED THINK("hm") ITEM(REASONING) HI ITEM(ADD) COMPLETED(""), OK, OK, "Hi there", "hm", "tool_calls", .parts = "[" SEALED "," ADD_CALL "]", USED},
	{"reasoning that led to no call is not kept", CREATED ITEM(REASONING) HI COMPLETED(""), OK, OK, "Hi there", "hm", "stop", USED},
	{"two calls", CREATED ITEM(ADD) ITEM("{\"type\":\"function_call\",\"call_id\":\"c2\",\"name\":\"now\",\"arguments\":\"\"}") COMPLETED(""), OK, OK, "", "", "tool_calls",
	 .parts = "[" ADD_CALL ",{\"type\":\"tool_call\",\"id\":\"c2\",\"name\":\"now\",\"arguments\":{}}]", USED},
	{"the limit", CREATED HI END("incomplete", "\"incomplete_details\":{\"reason\":\"max_output_tokens\"}," COUNTS), OK, OK, "Hi there", "", "length", USED},
	{"the limit before any text", CREATED THINK("hm") END("incomplete", "\"incomplete_details\":{\"reason\":\"max_output_tokens\"}"), OK, ERR_PROVIDER_REFUSED, "", "hm", "length", .says = "maxTokens"},
	{"a content filter", CREATED END("incomplete", "\"incomplete_details\":{\"reason\":\"content_filter\"}"), OK, ERR_PROVIDER_REFUSED, "", "", "content_filter", .says = "filter"},
	{"incomplete for a new reason", CREATED HI END("incomplete", "\"incomplete_details\":{\"reason\":\"steered\"}"), OK, OK, "Hi there", "", "steered"},
	{"incomplete without a reason", CREATED HI END("incomplete", "\"incomplete_details\":null"), OK, OK, "Hi there", "", "incomplete"},
	{"no text at all", CREATED COMPLETED(""), OK, ERR_PROVIDER, "", "", "stop", .retryable = true, .says = "without any text", USED},
	{"a failure", CREATED HI END("failed", "\"error\":{\"code\":\"server_error\",\"message\":\"oops\"}"), OK, ERR_PROVIDER, "Hi there", "", "", .retryable = true, .says = "oops"},
	{"a failure for its rate", CREATED END("failed", "\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}"), OK, ERR_PROVIDER_BUSY, "", "", "", .retryable = true, .says = "slow"},
	{"a failure for the prompt", CREATED END("failed", "\"error\":{\"code\":\"invalid_prompt\",\"message\":\"no\"}"), OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "no"},
	{"a failure without a reason", CREATED HI END("failed", "\"error\":null"), OK, ERR_PROVIDER, "Hi there", "", "", .retryable = true, .says = "not why"},
	{"an error in the stream", CREATED HI EVENT("error", ",\"code\":\"server_is_overloaded\",\"message\":\"busy\",\"param\":null"), OK, ERR_PROVIDER_BUSY, "Hi there", "", "", .retryable = true, .says = "busy"},
	{"an error as llama.cpp has it", "data: {\"error\":{\"code\":400,\"message\":\"too long\",\"type\":\"exceed_context_size_error\"}}\n\n", OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "too long"},
	{"xAI's bill", CREATED HI END("completed", "\"usage\":{\"input_tokens\":9,\"output_tokens\":7,\"cost_in_usd_ticks\":158500}"), OK, OK, "Hi there", "", "stop", .in = 9, .out = 7, .cost = 158500},
	{"members of other types", EVENT("response.output_text.delta", ",\"delta\":{\"a\":1}") EVENT("response.output_item.done", ",\"item\":[7]") EVENT("response.created", ",\"response\":4") HI EVENT("response.completed", ",\"response\":[]"), OK, OK, "Hi there", "", "stop"},
	{"an answer that does not stream", "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"error\":null,\"output\":[" REASONING "," MESSAGE("Hi") "," ADD "]," COUNTS "}", OK, OK, "Hi", "hm", "tool_calls", .parts = "[" SEALED "," ADD_CALL "]", USED},
	{"an answer that does not stream and failed", "{\"id\":\"resp_1\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"oops\"},\"output\":[]}", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "oops"},
	{"half an answer that does not stream", "{\"id\":\"resp_1\",\"output\":[{\"ty", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true},
	{"JSON of another kind", "{\"ok\":true}", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "no answer of a model"},
};

static const struct status_row statuses[] = {
	{400, "", "{\"error\":{\"message\":\"Unsupported parameter: 'temperature'\",\"type\":\"invalid_request_error\",\"param\":\"temperature\",\"code\":\"unsupported_parameter\"}}", ERR_PROVIDER_REFUSED, false, 0, "Unsupported parameter"},
	{400, "", "{\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\",\"code\":\"context_length_exceeded\"}}", ERR_PROVIDER_REFUSED, false, 0, "too long"},
	{400, "", "{\"code\":\"Client specified an invalid argument\",\"error\":\"Incorrect API key: " TEST_KEY "\"}", ERR_PROVIDER_REFUSED, false, 0, "[key]"},
	{429, "Retry-After: 2\r\n", "{\"error\":{\"message\":\"slow\",\"type\":\"requests\",\"code\":\"rate_limit_exceeded\"}}", ERR_PROVIDER_BUSY, true, 2000, "slow"},
	{429, "", "{\"error\":{\"message\":\"pay\",\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}", ERR_PROVIDER_REFUSED, false, 0, "pay"},
};
/* clang-format on */

static void answers_are_read_as_they_are_given(void **state)
{
	(void)state;
	check_answers(&dialect_responses, rows, ARRAY_LEN(rows));
}

static void statuses_say_whether_to_try_again_and_when(void **state)
{
	(void)state;
	check_statuses(&dialect_responses, statuses, ARRAY_LEN(statuses));
}

static void what_llama_cpp_streams_is_read(void **state)
{
	(void)state;
	struct buf file = BUF_INIT(100000);
	read_fixture("llamacpp-responses.sse", &file);
	for (size_t i = 0; i < ARRAY_LEN(piece_sizes); i++) {
		struct got g = {0};
		run(&dialect_responses, 200, "", buf_str(&file), piece_sizes[i], OK, &g);
		assert_int_equal(g.o.err, OK);
		assert_string_equal(g.text.p, " mem capitexist Де");
		assert_string_equal(g.finish.p, "stop");
		assert_string_equal(g.request_id.p, "resp_kNrjD3EXx6JwjrAlI8eMGECe14JLFEzg");
		assert_int_equal(g.o.usage.input_tokens, 29);
		assert_int_equal(g.o.usage.output_tokens, 4);
		assert_int_equal(g.o.usage.cache_read_tokens, 28);
		assert_int_equal(g.o.usage.thinking_tokens, -1);
		done_with(&g);
	}
	buf_release(&file);
}

static void what_is_given_back_counts_as_the_answer_s(void **state)
{
	(void)state;
	struct got g = {.answer_bytes = 60};
	run(&dialect_responses, 200, "", STR(CREATED ITEM(REASONING) ITEM(ADD) COMPLETED("")), 1000, OK, &g);
	assert_int_equal(g.o.err, OK);
	done_with(&g);
	g = (struct got){.answer_bytes = 50};
	run(&dialect_responses, 200, "", STR(CREATED ITEM(REASONING) ITEM(ADD) COMPLETED("")), 1000, OK, &g);
	assert_int_equal(g.o.err, ERR_PROVIDER_LIMIT);
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
	struct provider_ask ask = {.base_url = STR("https://api.openai.com/v1"),
				   .key = STR("sk-1"),
				   .model = STR("m"),
				   .messages = messages,
				   .nmessages = ARRAY_LEN(messages)};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_responses, ask, "{\"system\":\"be kind\"}", &r, &info), OK);
	assert_string_equal(r.url, "https://api.openai.com/v1/responses");
	assert_string_equal(
		r.body.p,
		"{\"model\":\"m\",\"instructions\":\"be kind\\n\\nbe brief\",\"input\":["
		"{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"h\xc3\xa4?\"}]},"
		"{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"ja\"}]}],"
		"\"stream\":true,\"stream_options\":{\"include_obfuscation\":false},\"store\":false}");
	assert_true(has_header(&r, "Authorization: Bearer sk-1"));
	wire_request_release(&r);
}

/* clang-format off */
#define BODY(rest) "{\"model\":\"m\",\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"hi\"}]}],\"stream\":true,\"stream_options\":{\"include_obfuscation\":false},\"store\":false" rest "}"
#define EMPTY "{\"type\":\"object\",\"properties\":{}}"
static const char *const bodies[][2] = {
	{NULL, BODY("")},
	{"{\"max_tokens\":7,\"temperature\":0,\"topP\":0.9}", BODY(",\"max_output_tokens\":7,\"temperature\":0,\"top_p\":0.9")},
	{"{\"effort\":\"xhigh\"}", BODY(",\"reasoning\":{\"effort\":\"xhigh\"}")},
	{"{\"thinking\":\"on\"}", BODY(",\"reasoning\":{\"summary\":\"auto\"}")},
	{"{\"thinking\":\"adaptive\",\"effort\":\"low\"}", BODY(",\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"}")},
	{"{\"thinking\":false}", BODY(",\"reasoning\":{\"effort\":\"none\"}")},
	{"{\"schema\":{\"type\":\"object\"}}", BODY(",\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"answer\",\"strict\":true,\"schema\":{\"type\":\"object\"}}}")},
	{"{\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"},\"strict\":true},{\"name\":\"g\"}]}",
	 BODY(",\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"},\"strict\":true},{\"type\":\"function\",\"name\":\"g\",\"parameters\":" EMPTY ",\"strict\":false}],\"include\":[\"reasoning.encrypted_content\"]")},
	{"{\"toolChoice\":\"required\"}", BODY(",\"tool_choice\":\"required\"")},
	{"{\"toolChoice\":\"f\"}", BODY(",\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}")},
	{"{\"truncation\":\"auto\",\"text\":{\"verbosity\":\"low\"},\"reasoning\":{\"effort\":\"low\"},\"include\":[]}",
	 BODY(",\"truncation\":\"auto\",\"text\":{\"verbosity\":\"low\"},\"reasoning\":{\"effort\":\"low\"},\"include\":[]")},
};

static const char *const refused[][2] = {
	{"{\"topK\":1}", "params.topK"},
	{"{\"seed\":1}", "params.seed"},
	{"{\"stop\":\"x\"}", "params.stop"},
	{"{\"frequencyPenalty\":1}", "params.frequencyPenalty"},
	{"{\"presencePenalty\":1}", "params.presencePenalty"},
	{"{\"thinkingBudget\":2000}", "params.thinkingBudget"},
	{"{\"thinking\":\"off\",\"effort\":\"low\"}", "params.effort is low"},
	{"{\"store\":true}", "params.store"},
	{"{\"background\":true}", "params.background"},
	{"{\"previous_response_id\":\"r\"}", "params.previous_response_id"},
	{"{\"instructions\":\"x\"}", "params.instructions"},
	{"{\"schema\":{},\"text\":{}}", "params.text"},
	{"{\"effort\":\"low\",\"reasoning\":{}}", "params.reasoning"},
	{"{\"tools\":[{\"name\":\"f\"}],\"include\":[]}", "params.include"},
};
/* clang-format on */

static void parameters_have_the_api_s_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) check_body(&dialect_responses, bodies[i][0], bodies[i][1]);
}

static void what_the_api_refuses_is_said_before_the_call(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) check_refused(&dialect_responses, refused[i][0], refused[i][1]);
}

static void every_parameter_arrives_or_is_named(void **state)
{
	(void)state;
	check_every_parameter(&dialect_responses);
}

static void a_model_that_does_not_reason_is_not_asked_for_it(void **state)
{
	(void)state;
	const struct model_info about = {.cannot = CAN_EFFORT};
	const struct call_message hi = {.role = STR("user"), .text = STR("hi")};
	struct provider_ask ask = {
		.base_url = STR("http://h"), .model = STR("m"), .about = &about, .messages = &hi, .nmessages = 1};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_responses, ask, "{\"tools\":[{\"name\":\"f\"}]}", &r, &info), OK);
	assert_null(strstr(buf_str(&r.body).p, "include\""));
	wire_request_release(&r);
}

static void parts_are_items_in_the_order_they_came_about(void **state)
{
	(void)state;
	const struct call_part asks[] = {
		{.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("\x89PNG")},
		{.kind = PART_FILE, .media_type = STR("application/pdf"), .name = STR("a.pdf"), .bytes = STR("%PDF")},
		{.kind = PART_TEXT, .text = STR("more")},
	};
	const struct call_part calls[] = {
		{.kind = PART_THINKING, .seal = STR("{\"id\":\"rs_1\",\"encrypted_content\":\"ZW5j\"}")},
		{.kind = PART_TOOL_CALL, .id = STR("t1"), .name = STR("f"), .text = STR("{\"a\": 1}")},
		{.kind = PART_THINKING, .text = STR("another's"), .seal = STR("other:c2ln")},
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
	};
	struct provider_ask ask = {
		.base_url = STR("http://h"), .model = STR("m"), .messages = messages, .nmessages = ARRAY_LEN(messages)};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_responses, ask, NULL, &r, &info), OK);
	/* clang-format off */
	assert_string_equal(r.body.p, "{\"model\":\"m\",\"input\":["
		"{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"look\"},"
		"{\"type\":\"input_image\",\"detail\":\"auto\",\"image_url\":\"data:image/png;base64,iVBORw==\"},"
		"{\"type\":\"input_file\",\"filename\":\"a.pdf\",\"file_data\":\"data:application/pdf;base64,JVBERg==\"},"
		"{\"type\":\"input_text\",\"text\":\"more\"}]},"
		"{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[],\"encrypted_content\":\"ZW5j\"},"
		"{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"I call\"}]},"
		"{\"type\":\"function_call\",\"call_id\":\"t1\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"},"
		"{\"type\":\"function_call\",\"call_id\":\"t2\",\"name\":\"g\",\"arguments\":\"{}\"},"
		"{\"type\":\"function_call_output\",\"call_id\":\"t1\",\"output\":\"2\"},"
		"{\"type\":\"function_call_output\",\"call_id\":\"t2\",\"output\":\"no\"},"
		"{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"here\"}]}],"
		"\"stream\":true,\"stream_options\":{\"include_obfuscation\":false},\"store\":false}");
	/* clang-format on */
	wire_request_release(&r);
}

static void an_image_of_the_model_s_own_is_refused(void **state)
{
	(void)state;
	const struct call_part image = {.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("x")};
	const struct call_message m = {.role = STR("assistant"), .parts = &image, .nparts = 1};
	struct provider_ask ask = {.base_url = STR("http://h"), .model = STR("m"), .messages = &m, .nmessages = 1};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_responses, ask, NULL, &r, &info), ERR_BAD_FIELD);
	assert_non_null(strstr(info.text, "image"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_as_they_are_given),
		cmocka_unit_test(statuses_say_whether_to_try_again_and_when),
		cmocka_unit_test(what_llama_cpp_streams_is_read),
		cmocka_unit_test(what_is_given_back_counts_as_the_answer_s),
		cmocka_unit_test(a_request_is_what_the_api_expects),
		cmocka_unit_test(parameters_have_the_api_s_names),
		cmocka_unit_test(what_the_api_refuses_is_said_before_the_call),
		cmocka_unit_test(every_parameter_arrives_or_is_named),
		cmocka_unit_test(a_model_that_does_not_reason_is_not_asked_for_it),
		cmocka_unit_test(parts_are_items_in_the_order_they_came_about),
		cmocka_unit_test(an_image_of_the_model_s_own_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
