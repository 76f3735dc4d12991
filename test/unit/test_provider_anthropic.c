/* The Messages API: answers as servers give them, in pieces of several sizes, and requests byte by byte. */
#include "unit/dialect_gear.h"

#include "provider/models.h"

#define EVENT(name, members) "event: " name "\ndata: {\"type\":\"" name "\"" members "}\n\n"
#define START                                                                                                          \
	EVENT("message_start",                                                                                         \
	      ",\"message\":{\"id\":\"msg_1\",\"role\":\"assistant\",\"content\":[],\"stop_reason\":null,"             \
	      "\"usage\":{\"input_tokens\":12,\"output_tokens\":1}}")
#define BLOCK(i, block) EVENT("content_block_start", ",\"index\":" i ",\"content_block\":" block)
#define DELTA(i, delta) EVENT("content_block_delta", ",\"index\":" i ",\"delta\":" delta)
#define END(i) EVENT("content_block_stop", ",\"index\":" i)
#define SAY(i, text)                                                                                                   \
	BLOCK(i, "{\"type\":\"text\",\"text\":\"\"}") DELTA(i, "{\"type\":\"text_delta\",\"text\":\"" text "\"}") END(i)
#define HI                                                                                                             \
	BLOCK("0", "{\"type\":\"text\",\"text\":\"\"}")                                                                \
	DELTA("0", "{\"type\":\"text_delta\",\"text\":\"Hi \"}")                                                       \
	DELTA("0", "{\"type\":\"text_delta\",\"text\":\"there\"}") END("0")
#define STOP(why)                                                                                                      \
	EVENT("message_delta",                                                                                         \
	      ",\"delta\":{\"stop_reason\":\"" why "\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":5}")
#define LAST EVENT("message_stop", "")
#define PING EVENT("ping", "")
#define THINK                                                                                                          \
	BLOCK("0", "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")                                     \
	DELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"hm \"}")                                               \
	DELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"so\"}")                                                \
	DELTA("0", "{\"type\":\"signature_delta\",\"signature\":\"c2ln\"}") END("0")
#define CALL(i, id)                                                                                                    \
	BLOCK(i, "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"add\",\"input\":{}}")                            \
	DELTA(i, "{\"type\":\"input_json_delta\",\"partial_json\":\"\"}")                                              \
	DELTA(i, "{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"}")                                    \
	DELTA(i, "{\"type\":\"input_json_delta\",\"partial_json\":\":1}\"}") END(i)
#define SERVER_TOOL                                                                                                    \
	BLOCK("1", "{\"type\":\"server_tool_use\",\"id\":\"s1\",\"name\":\"web_search\",\"input\":{}}")                \
	DELTA("1", "{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}")                                          \
	END("1") BLOCK("2", "{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"s1\",\"content\":[]}") END("2")
#define REFUSAL(details)                                                                                               \
	EVENT("message_delta",                                                                                         \
	      ",\"delta\":{\"stop_reason\":\"refusal\",\"stop_details\":" details "},\"usage\":{\"output_tokens\":5}")
#define ERROR(type, message)                                                                                           \
	EVENT("error", ",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"},\"request_id\":\"req_1\"")
#define ADD_CALL "{\"type\":\"tool_call\",\"id\":\"t1\",\"name\":\"add\",\"arguments\":{\"a\":1}}"

/* clang-format off */
static const struct answer_row rows[] = {
	{"a whole stream", START PING HI PING STOP("end_turn") LAST, OK, OK, "Hi there", "", "stop", .in = 12, .out = 5},
	{"the limit", START HI STOP("max_tokens") LAST, OK, OK, "Hi there", "", "length", .in = 12, .out = 5},
	{"a stop sequence", START HI STOP("stop_sequence") LAST, OK, OK, "Hi there", "", "stop_sequence", .in = 12, .out = 5},
	{"a pause", START HI STOP("pause_turn") LAST, OK, OK, "Hi there", "", "pause", .in = 12, .out = 5},
	{"the window", START HI STOP("model_context_window_exceeded") LAST, OK, OK, "Hi there", "", "context_window", .in = 12, .out = 5},
	{"a reason that is new", START HI STOP("bored") LAST, OK, OK, "Hi there", "", "bored", .in = 12, .out = 5},
	{"what follows the last mark is not looked at", START HI STOP("end_turn") LAST "data: {{\n\n", OK, OK, "Hi there", "", "stop", .in = 12, .out = 5},
	{"no last mark, but a reason", START HI STOP("end_turn"), OK, OK, "Hi there", "", "stop", .in = 12, .out = 5},
	{"broken after the reason", START HI STOP("end_turn"), ERR_PROVIDER_CUT, OK, "Hi there", "", "stop", .in = 12, .out = 5},
	{"a clean end after the text", START HI, OK, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "ended before", .in = 12, .out = 1},
	{"a cut in an event", START HI "event: message_d", ERR_PROVIDER_CUT, ERR_PROVIDER_CUT, "Hi there", "", "", .retryable = true, .says = "transport", .in = 12, .out = 1},
	{"nothing at all", "", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true},
	{"events without names", "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n", OK, OK, "a", "", "", .retryable = false},
	{"data without types", "event: content_block_delta\ndata: {\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\nevent: message_stop\ndata: {}\n\n", OK, OK, "a", "", "", .retryable = false},
	{"text at the start of a block", START BLOCK("0", "{\"type\":\"text\",\"text\":\"ab\"}") END("0") STOP("end_turn") LAST, OK, OK, "ab", "", "stop", .in = 12, .out = 5},
	{"citations and unknown things", START BLOCK("0", "{\"type\":\"hologram\",\"x\":[1]}") DELTA("0", "{\"type\":\"hologram_delta\",\"x\":1}") EVENT("weather", ",\"sunny\":true") HI DELTA("0", "{\"type\":\"citations_delta\",\"citation\":{}}") STOP("end_turn") LAST, OK, OK, "Hi there", "", "stop", .in = 12, .out = 5},
	{"thinking is shown and no part without a call", START THINK SAY("1", "Hi") STOP("end_turn") LAST, OK, OK, "Hi", "hm so", "stop", .in = 12, .out = 5},
	{"a call with its thinking", START THINK SAY("1", "Hi") CALL("2", "t1") STOP("tool_use") LAST, OK, OK, "Hi", "hm so", "tool_calls", .parts = "[{\"type\":\"thinking\",\"text\":\"hm so\",\"seal\":\"anthropic:c2ln\"}," ADD_CALL "]", .in = 12, .out = 5},
	{"thinking that is not shown is kept", START BLOCK("0", "{\"type\":\"thinking\",\"thinking\":\"\"}") DELTA("0", "{\"type\":\"signature_delta\",\"signature\":\"c2ln\"}") END("0") CALL("1", "t1") STOP("tool_use") LAST,
	 OK, OK, "", "", "tool_calls", .parts = "[{\"type\":\"thinking\",\"text\":\"\",\"seal\":\"anthropic:c2ln\"}," ADD_CALL "]", .in = 12, .out = 5},
	{"encrypted thinking is kept", START BLOCK("0", "{\"type\":\"redacted_thinking\",\"data\":\"ZW5j\"}") END("0") CALL("1", "t1") STOP("tool_use") LAST,
	 OK, OK, "", "", "tool_calls", .parts = "[{\"type\":\"thinking\",\"text\":\"\",\"seal\":\"anthropic-redacted:ZW5j\"}," ADD_CALL "]", .in = 12, .out = 5},
	{"unsigned thinking is not kept", START BLOCK("0", "{\"type\":\"thinking\",\"thinking\":\"hm\"}") END("0") CALL("1", "t1") STOP("tool_use") LAST, OK, OK, "", "hm", "tool_calls", .parts = "[" ADD_CALL "]", .in = 12, .out = 5},
	{"two calls", START CALL("0", "t1") CALL("1", "t2") STOP("tool_use") LAST, OK, OK, "", "", "tool_calls", .parts = "[" ADD_CALL ",{\"type\":\"tool_call\",\"id\":\"t2\",\"name\":\"add\",\"arguments\":{\"a\":1}}]", .in = 12, .out = 5},
	{"a call without arguments", START BLOCK("0", "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"now\",\"input\":{}}") DELTA("0", "{\"type\":\"input_json_delta\",\"partial_json\":\"\"}") END("0") STOP("tool_use") LAST,
	 OK, OK, "", "", "tool_calls", .parts = "[{\"type\":\"tool_call\",\"id\":\"t1\",\"name\":\"now\",\"arguments\":{}}]", .in = 12, .out = 5},
	{"arguments cut by the limit", START BLOCK("0", "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"now\"}") DELTA("0", "{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\"}") END("0") STOP("max_tokens") LAST,
	 OK, OK, "", "", "length", .parts = "[{\"type\":\"tool_call\",\"id\":\"t1\",\"name\":\"now\",\"arguments\":\"{\\\"a\"}]", .in = 12, .out = 5},
	{"arguments without a call are nobody's", START DELTA("7", "{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}") HI STOP("end_turn") LAST, OK, OK, "Hi there", "", "stop", .in = 12, .out = 5},
	{"the provider's own tools are its own affair", START HI SERVER_TOOL SAY("3", "!") STOP("end_turn") LAST, OK, OK, "Hi there!", "", "stop", .in = 12, .out = 5},
	{"a refusal that says why", START REFUSAL("{\"type\":\"refusal\",\"category\":\"bio\",\"explanation\":\"not\\u0007 that\"}") LAST, OK, ERR_PROVIDER_REFUSED, "", "", "refusal", .says = "refused to answer: not that", .in = 12, .out = 5},
	{"a refusal by category", START REFUSAL("{\"type\":\"refusal\",\"category\":\"bio\",\"explanation\":null}") LAST, OK, ERR_PROVIDER_REFUSED, "", "", "refusal", .says = "refused to answer: bio", .in = 12, .out = 5},
	{"a refusal without a word", START REFUSAL("null") LAST, OK, ERR_PROVIDER_REFUSED, "", "", "refusal", .says = "refused to answer", .in = 12, .out = 5},
	{"a refusal after text", START HI REFUSAL("{\"explanation\":\"no\"}") LAST, OK, OK, "Hi there", "", "refusal", .in = 12, .out = 5},
	{"the limit before any text", START THINK STOP("max_tokens") LAST, OK, ERR_PROVIDER_REFUSED, "", "hm so", "length", .says = "maxTokens", .in = 12, .out = 5},
	{"no text at all", START STOP("end_turn") LAST, OK, ERR_PROVIDER, "", "", "stop", .retryable = true, .says = "without any text", .in = 12, .out = 5},
	{"an overload in the middle", START HI ERROR("overloaded_error", "Overloaded"), OK, ERR_PROVIDER_BUSY, "Hi there", "", "", .retryable = true, .says = "Overloaded", .in = 12, .out = 1},
	{"an error without an event's name", START "data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"oops\"}}\n\n", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "oops", .in = 12, .out = 1},
	{"an error as llama.cpp has it", "event: error\ndata: {\"error\":{\"code\":400,\"message\":\"too long\",\"type\":\"exceed_context_size_error\"}}\n\n", OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "too long"},
	{"200 with an error body", "{\"type\":\"error\",\"error\":{\"type\":\"permission_error\",\"message\":\"no\"}}", OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "no"},
	{"an answer that does not stream",
	 "{\"id\":\"msg_1\",\"type\":\"message\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"c2ln\"},{\"type\":\"text\",\"text\":\"Hi\"},"
	 "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"add\",\"input\":{\"a\":1}}],\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}",
	 OK, OK, "Hi", "hm", "tool_calls", .parts = "[{\"type\":\"thinking\",\"text\":\"hm\",\"seal\":\"anthropic:c2ln\"}," ADD_CALL "]", .in = 1, .out = 2},
	{"half an answer that does not stream", "{\"id\":\"msg_1\",\"content\":[{\"ty", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true},
	{"JSON of another kind", "{\"ok\":true}", OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "no answer of a model"},
	{"caches count as input", EVENT("message_start", ",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":1,\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":100}}") HI STOP("end_turn") LAST,
	 OK, OK, "Hi there", "", "stop", .in = 123, .out = 5, .cached = 100, .written = 20},
	{"the later count wins, null and absent keep", EVENT("message_start", ",\"message\":{\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":100}}") HI
	 EVENT("message_delta", ",\"delta\":{},\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":null,\"output_tokens\":9,\"output_tokens_details\":{\"thinking_tokens\":4}}") STOP("end_turn") LAST,
	 OK, OK, "Hi there", "", "stop", .in = 107, .out = 5, .thought = 4, .cached = 100},
	{"counts beyond all bounds", EVENT("message_start", ",\"message\":{\"usage\":{\"input_tokens\":9223372036854775807,\"cache_read_input_tokens\":9223372036854775807,\"output_tokens\":-4}}") HI LAST,
	 OK, OK, "Hi there", "", "", .in = (int64_t)1 << 51, .cached = (int64_t)1 << 50},
};

static const struct status_row statuses[] = {
	{400, "", "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"max_tokens: too many\"}}", ERR_PROVIDER_REFUSED, false, 0, "max_tokens: too many"},
	{401, "", "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"invalid x-api-key " TEST_KEY "\"}}", ERR_PROVIDER_REFUSED, false, 0, "[key]"},
	{402, "", "{\"type\":\"error\",\"error\":{\"type\":\"billing_error\",\"message\":\"pay\"}}", ERR_PROVIDER_REFUSED, false, 0, "pay"},
	{403, "", "{\"type\":\"error\",\"error\":{\"type\":\"permission_error\",\"message\":\"no\"}}", ERR_PROVIDER_REFUSED, false, 0, "no"},
	{404, "", "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"model: x\"}}", ERR_PROVIDER_REFUSED, false, 0, "model: x"},
	{409, "", "{\"type\":\"error\",\"error\":{\"type\":\"conflict_error\",\"message\":\"again\"}}", ERR_PROVIDER, true, 0, "again"},
	{413, "", "{\"type\":\"error\",\"error\":{\"type\":\"request_too_large\",\"message\":\"32 MB\"}}", ERR_PROVIDER_REFUSED, false, 0, "32 MB"},
	{429, "retry-after: 7\r\n", "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}", ERR_PROVIDER_BUSY, true, 7000, "slow"},
	{429, "", "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"spent\",\"details\":{\"error_code\":\"enforced_spend_limit_reached\"}}}", ERR_PROVIDER_REFUSED, false, 0, "spent"},
	{429, "", "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"spent\",\"details\":{\"error_code\":\"contract_spend_limit_reached\"}}}", ERR_PROVIDER_REFUSED, false, 0, "spent"},
	{429, "", "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"ramp\",\"details\":{\"error_code\":\"ramp_limit_exceeded\"}}}", ERR_PROVIDER_BUSY, true, 0, "ramp"},
	{429, "", "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\",\"details\":null},\"request_id\":null}", ERR_PROVIDER_BUSY, true, 0, "slow"},
	{500, "x-should-retry: false\r\n", "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"oops\"}}", ERR_PROVIDER, false, 0, "oops"},
	{504, "", "{\"type\":\"error\",\"error\":{\"type\":\"timeout_error\",\"message\":\"late\"}}", ERR_PROVIDER_TIMEOUT, true, 0, "late"},
	{529, "", "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}", ERR_PROVIDER_BUSY, true, 0, "Overloaded"},
};
/* clang-format on */

static void answers_are_read_as_they_are_given(void **state)
{
	(void)state;
	check_answers(&dialect_anthropic, rows, ARRAY_LEN(rows));
}

static void statuses_say_whether_to_try_again_and_when(void **state)
{
	(void)state;
	check_statuses(&dialect_anthropic, statuses, ARRAY_LEN(statuses));
}

static void what_llama_cpp_streams_is_read(void **state)
{
	(void)state;
	struct buf file = BUF_INIT(100000);
	read_fixture("llamacpp-anthropic.sse", &file);
	for (size_t i = 0; i < ARRAY_LEN(piece_sizes); i++) {
		struct got g = {0};
		run(&dialect_anthropic, 200, "", buf_str(&file), piece_sizes[i], OK, &g);
		assert_int_equal(g.o.err, OK);
		assert_string_equal(g.text.p, " районаdecodeTitleläu");
		assert_string_equal(g.finish.p, "length");
		assert_string_equal(g.request_id.p, "chatcmpl-Ys3cyrF2LzCaAIkO85DH12F1WwWimfTs");
		assert_int_equal(g.o.usage.input_tokens, 29);
		assert_int_equal(g.o.usage.cache_read_tokens, 28);
		assert_int_equal(g.o.usage.output_tokens, 4);
		done_with(&g);
	}
	buf_release(&file);
}

static void the_request_id_is_the_header_s(void **state)
{
	(void)state;
	struct got g = {0};
	run(&dialect_anthropic, 200, "request-id: req_42\r\n", STR(START HI STOP("end_turn") LAST), 9, OK, &g);
	assert_string_equal(g.request_id.p, "req_42");
	done_with(&g);
}

/* Thinking counts once, although it is both shown and kept. */
static void an_answer_may_be_as_long_as_its_limit(void **state)
{
	(void)state;
	struct str body = STR(START THINK SAY("1", "Hi") STOP("end_turn") LAST);
	struct got g = {.answer_bytes = 21}; /* "hm so", the seal of 14 bytes, "Hi" */
	run(&dialect_anthropic, 200, "", body, 1000, OK, &g);
	assert_int_equal(g.o.err, OK);
	done_with(&g);
	g = (struct got){.answer_bytes = 20};
	run(&dialect_anthropic, 200, "", body, 1000, OK, &g);
	assert_int_equal(g.o.err, ERR_PROVIDER_LIMIT);
	assert_string_equal(g.thinking.p, "hm so");
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
	struct provider_ask ask = {.base_url = STR("https://api.anthropic.com"),
				   .key = STR("sk-1"),
				   .model = STR("m"),
				   .messages = messages,
				   .nmessages = ARRAY_LEN(messages)};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_anthropic, ask, "{\"system\":\"be kind\"}", &r, &info), OK);
	assert_string_equal(r.url, "https://api.anthropic.com/v1/messages");
	assert_string_equal(
		r.body.p, "{\"model\":\"m\",\"max_tokens\":4096,\"system\":\"be kind\\n\\nbe brief\",\"messages\":["
			  "{\"role\":\"user\",\"content\":\"h\xc3\xa4?\"},{\"role\":\"assistant\",\"content\":\"ja\"}],"
			  "\"stream\":true}");
	assert_true(has_header(&r, "x-api-key: sk-1"));
	assert_true(has_header(&r, "anthropic-version: 2026-10-21"));
	wire_request_release(&r);
}

static void only_sampling_asks_for_the_older_version(void **state)
{
	(void)state;
	static const char *const sampling[] = {"{\"temperature\":1}", "{\"topP\":0.5}", "{\"topK\":3}"};
	const struct call_message hi = {.role = STR("user"), .text = STR("hi")};
	struct provider_ask ask = {.base_url = STR("http://h"), .model = STR("m"), .messages = &hi, .nmessages = 1};
	struct wire_request r = {0};
	struct errinfo info;
	for (size_t i = 0; i < ARRAY_LEN(sampling); i++) {
		assert_int_equal(build(&dialect_anthropic, ask, sampling[i], &r, &info), OK);
		assert_true(has_header(&r, "anthropic-version: 2023-06-01"));
		wire_request_release(&r);
	}
	assert_int_equal(build(&dialect_anthropic, ask, "{\"temperature\":null,\"effort\":\"low\"}", &r, &info), OK);
	assert_true(has_header(&r, "anthropic-version: 2026-10-21"));
	for (char **h = r.headers; *h != NULL; h++) assert_null(strstr(*h, "x-api-key"));
	wire_request_release(&r);
}

/* clang-format off */
#define BODY(max, rest) "{\"model\":\"m\",\"max_tokens\":" max ",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stream\":true" rest "}"
static const char *const bodies[][2] = {
	{"{}", BODY("4096", "")},
	{"{\"max_tokens\":7,\"temperature\":0,\"topP\":0.9,\"topK\":5,\"stop\":\"END\"}", BODY("7", ",\"temperature\":0,\"top_p\":0.9,\"top_k\":5,\"stop_sequences\":[\"END\"]")},
	{"{\"thinking\":\"on\"}", BODY("4096", ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2048,\"display\":\"summarized\"}")},
	{"{\"thinking\":true,\"thinkingBudget\":4095}", BODY("4096", ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":4095,\"display\":\"summarized\"}")},
	{"{\"thinkingBudget\":1024,\"maxTokens\":1025}", BODY("1025", ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024,\"display\":\"summarized\"}")},
	{"{\"thinking\":\"adaptive\",\"effort\":\"xhigh\"}", BODY("4096", ",\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},\"output_config\":{\"effort\":\"xhigh\"}")},
	{"{\"thinking\":false,\"effort\":\"low\"}", BODY("4096", ",\"thinking\":{\"type\":\"disabled\"},\"output_config\":{\"effort\":\"low\"}")},
	{"{\"effort\":\"none\"}", BODY("4096", ",\"thinking\":{\"type\":\"disabled\"}")},
	{"{\"schema\":{\"type\":\"object\"},\"effort\":\"max\"}", BODY("4096", ",\"output_config\":{\"effort\":\"max\",\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}}")},
	{"{\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"parameters\":{\"type\":\"object\"},\"strict\":true},{\"name\":\"g\"}]}",
	 BODY("4096", ",\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":\"object\"},\"strict\":true},{\"name\":\"g\",\"input_schema\":{\"type\":\"object\"}}]")},
	{"{\"toolChoice\":\"auto\"}", BODY("4096", ",\"tool_choice\":{\"type\":\"auto\"}")},
	{"{\"toolChoice\":\"none\"}", BODY("4096", ",\"tool_choice\":{\"type\":\"none\"}")},
	{"{\"toolChoice\":\"required\"}", BODY("4096", ",\"tool_choice\":{\"type\":\"any\"}")},
	{"{\"toolChoice\":\"f\"}", BODY("4096", ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"f\"}")},
	{"{\"service_tier\":\"auto\",\"metadata\":{\"user_id\":\"u\"}}", BODY("4096", ",\"service_tier\":\"auto\",\"metadata\":{\"user_id\":\"u\"}")},
};

static const char *const refused[][2] = {
	{"{\"seed\":1}", "params.seed"},
	{"{\"thinkingBudget\":1023}", "at least 1024"},
	{"{\"thinkingBudget\":4096}", "params.maxTokens (here 4096)"},
	{"{\"thinking\":\"on\",\"maxTokens\":1024}", "params.thinkingBudget"},
	{"{\"thinking\":\"adaptive\",\"thinkingBudget\":2000}", "params.thinkingBudget"},
	{"{\"thinking\":\"off\",\"thinkingBudget\":2000}", "params.thinkingBudget"},
	{"{\"thinking\":\"on\",\"effort\":\"none\"}", "params.effort is none"},
	{"{\"effort\":\"minimal\"}", "params.effort"},
	{"{\"stream\":false}", "params.stream"},
	{"{\"stop_sequences\":[\"a\"]}", "params.stop_sequences"},
	{"{\"output_config\":{}}", "params.output_config"},
};
/* clang-format on */

static void parameters_have_the_api_s_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) check_body(&dialect_anthropic, bodies[i][0], bodies[i][1]);
}

static void what_the_api_refuses_is_said_before_the_call(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) check_refused(&dialect_anthropic, refused[i][0], refused[i][1]);
}

static void every_parameter_arrives_or_is_named(void **state)
{
	(void)state;
	check_every_parameter(&dialect_anthropic);
}

static void what_is_known_of_the_model_decides(void **state)
{
	(void)state;
	const struct model_info about = {.max_output = 64000, .can = CAN_THINK_ADAPT};
	const struct call_message hi = {.role = STR("user"), .text = STR("hi")};
	struct provider_ask ask = {
		.base_url = STR("http://h"), .model = STR("m"), .about = &about, .messages = &hi, .nmessages = 1};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_anthropic, ask, "{\"thinking\":\"on\"}", &r, &info), OK);
	assert_string_equal(r.body.p,
			    BODY("64000", ",\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"}"));
	wire_request_release(&r);
	assert_int_equal(build(&dialect_anthropic, ask, "{\"thinkingBudget\":63999}", &r, &info), OK);
	assert_string_equal(
		r.body.p,
		BODY("64000",
		     ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":63999,\"display\":\"summarized\"}"));
	wire_request_release(&r);
}

#define USER(content) "{\"role\":\"user\",\"content\":[" content "]}"
#define MODEL(content) "{\"role\":\"assistant\",\"content\":[" content "]}"

static void parts_are_blocks_in_the_order_the_api_wants(void **state)
{
	(void)state;
	const struct call_part asks[] = {
		{.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("\x89PNG")},
		{.kind = PART_FILE, .media_type = STR("application/pdf"), .name = STR("a.pdf"), .bytes = STR("%PDF")},
		{.kind = PART_FILE, .media_type = STR("text/csv"), .name = STR("b.csv"), .bytes = STR("a;\xff")},
		{.kind = PART_TEXT, .text = STR("more")},
		{.kind = PART_TEXT, .text = STR("")},
	};
	const struct call_part calls[] = {
		{.kind = PART_TOOL_CALL, .id = STR("t1"), .name = STR("f"), .text = STR("{\"a\": 1}")},
		{.kind = PART_TOOL_CALL, .id = STR("t2"), .name = STR("g"), .text = STR("")},
		{.kind = PART_TOOL_CALL, .id = STR("t3"), .name = STR("h"), .text = STR("[1")},
		{.kind = PART_THINKING, .text = STR("hm"), .seal = STR("anthropic:c2ln")},
		{.kind = PART_THINKING, .text = STR(""), .seal = STR("anthropic-redacted:ZW5j")},
		{.kind = PART_THINKING, .text = STR("another's"), .seal = STR("gemini:x")},
		{.kind = PART_THINKING, .text = STR("unsigned")},
	};
	const struct call_part results[] = {
		{.kind = PART_TEXT, .text = STR("and?")},
		{.kind = PART_TOOL_RESULT, .id = STR("t1"), .text = STR("2")},
		{.kind = PART_TOOL_RESULT, .id = STR("t2"), .text = STR("no"), .is_error = true},
	};
	const struct call_message messages[] = {
		{.role = STR("user"), .text = STR("look"), .parts = asks, .nparts = ARRAY_LEN(asks)},
		{.role = STR("assistant"), .text = STR("I call"), .parts = calls, .nparts = ARRAY_LEN(calls)},
		{.role = STR("assistant"), .text = STR(""), .parts = &calls[6], .nparts = 1},
		{.role = STR("user"), .text = STR("here"), .parts = results, .nparts = ARRAY_LEN(results)},
	};
	struct provider_ask ask = {
		.base_url = STR("http://h"), .model = STR("m"), .messages = messages, .nmessages = ARRAY_LEN(messages)};
	struct wire_request r = {0};
	struct errinfo info;
	assert_int_equal(build(&dialect_anthropic, ask, NULL, &r, &info), OK);
	/* clang-format off */
	assert_string_equal(r.body.p,
		"{\"model\":\"m\",\"max_tokens\":4096,\"messages\":["
		USER("{\"type\":\"text\",\"text\":\"look\"},"
		     "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"iVBORw==\"}},"
		     "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":\"JVBERg==\"},\"title\":\"a.pdf\"},"
		     "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"a;\xef\xbf\xbd\"},\"title\":\"b.csv\"},"
		     "{\"type\":\"text\",\"text\":\"more\"}") ","
		MODEL("{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"c2ln\"},"
		      "{\"type\":\"redacted_thinking\",\"data\":\"ZW5j\"},"
		      "{\"type\":\"text\",\"text\":\"I call\"},"
		      "{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{\"a\":1}},"
		      "{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"g\",\"input\":{}},"
		      "{\"type\":\"tool_use\",\"id\":\"t3\",\"name\":\"h\",\"input\":{\"INVALID_JSON\":\"[1\"}}") ","
		USER("{\"type\":\"tool_result\",\"tool_use_id\":\"t1\",\"content\":\"2\"},"
		     "{\"type\":\"tool_result\",\"tool_use_id\":\"t2\",\"content\":\"no\",\"is_error\":true},"
		     "{\"type\":\"text\",\"text\":\"here\"},{\"type\":\"text\",\"text\":\"and?\"}") "],\"stream\":true}");
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
	assert_int_equal(build(&dialect_anthropic, ask, NULL, &r, &info), ERR_BAD_FIELD);
	assert_non_null(strstr(info.text, "images and files"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_as_they_are_given),
		cmocka_unit_test(statuses_say_whether_to_try_again_and_when),
		cmocka_unit_test(what_llama_cpp_streams_is_read),
		cmocka_unit_test(the_request_id_is_the_header_s),
		cmocka_unit_test(an_answer_may_be_as_long_as_its_limit),
		cmocka_unit_test(a_request_is_what_the_api_expects),
		cmocka_unit_test(only_sampling_asks_for_the_older_version),
		cmocka_unit_test(parameters_have_the_api_s_names),
		cmocka_unit_test(what_the_api_refuses_is_said_before_the_call),
		cmocka_unit_test(every_parameter_arrives_or_is_named),
		cmocka_unit_test(what_is_known_of_the_model_decides),
		cmocka_unit_test(parts_are_blocks_in_the_order_the_api_wants),
		cmocka_unit_test(an_image_of_the_model_s_own_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
