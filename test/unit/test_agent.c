/* Command-line agents: their lines in pieces of every size, what they are told, and how their questions are answered. */
#include "provider/agent.h"

/* An agent has no statuses and no headers. */
#pragma GCC diagnostic ignored "-Wunused-function"
#include "unit/dialect_gear.h"

#define EVENT(inner)                                                                                                   \
	"{\"type\":\"stream_event\",\"session_id\":\"s1\",\"parent_tool_use_id\":null,\"event\":" inner "}\n"
#define START(id) EVENT("{\"type\":\"message_start\",\"message\":{\"id\":\"" id "\"}}")
#define BLOCK                                                                                                          \
	EVENT("{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}")
#define PIECE(text)                                                                                                    \
	EVENT("{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" text      \
	      "\"}}")
#define THOUGHT(text)                                                                                                  \
	EVENT("{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"" text "\"}}")
#define INIT "{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s1\"}\n"
#define SAYS(id, text)                                                                                                 \
	"{\"type\":\"assistant\",\"message\":{\"id\":\"" id "\",\"content\":[{\"type\":\"text\",\"text\":\"" text      \
	"\"}]}}\n"
#define USAGE                                                                                                          \
	",\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":20,\"cache_creation_input_tokens\":1,\"output_tokens\":3}"
#define RESULT(more) "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"session_id\":\"s2\"" more "}\n"
#define DONE RESULT(",\"result\":\"the result\",\"stop_reason\":\"end_turn\",\"total_cost_usd\":0.00125" USAGE)
#define COUNTED .in = 26, .out = 3, .cached = 20, .written = 1, .cost = 12500000
#define FAILED(subtype, more) "{\"type\":\"result\",\"subtype\":\"" subtype "\",\"is_error\":true" more "}\n"

/* clang-format off */
static const struct answer_row rows[] = {
	{"a streamed answer", INIT START("m1") BLOCK PIECE("Hi ") PIECE("there") SAYS("m1", "Hi there") DONE, OK, OK, "Hi there", "", "stop", COUNTED},
	{"whole messages", INIT SAYS("m1", "Hi") SAYS("m2", "there") DONE, OK, OK, "Hi\n\nthere", "", "stop", COUNTED},
	{"one after the other", START("m1") BLOCK PIECE("a") SAYS("m1", "a") SAYS("m2", "b") START("m3") BLOCK PIECE("c") DONE, OK, OK, "a\n\nb\n\nc", "", "stop", COUNTED},
	{"messages without names", START("") BLOCK PIECE("a") "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}}\n" DONE, OK, OK, "a", "", "stop", COUNTED},
	{"thinking", THOUGHT("hm") BLOCK PIECE("a") DONE, OK, OK, "a", "hm", "stop", COUNTED},
	{"a result and nothing else", DONE, OK, OK, "the result", "", "stop", COUNTED},
	{"another reason", RESULT(",\"result\":\"x\",\"stop_reason\":\"max_tokens\""), OK, OK, "x", "", "length"},
	{"no reason", RESULT(",\"result\":\"x\",\"stop_reason\":null"), OK, OK, "x", "", "stop"},
	{"the result without an end of line", SAYS("m", "a") "{\"type\":\"result\",\"subtype\":\"success\"}", OK, OK, "a", "", "stop"},
	{"what follows the result", SAYS("m", "a") DONE SAYS("n", "b"), OK, OK, "a", "", "stop", COUNTED},
	{"a sub-agent", "{\"type\":\"assistant\",\"parent_tool_use_id\":\"t\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"no\"}]}}\n" SAYS("m", "a") DONE, OK, OK, "a", "", "stop", COUNTED},
	{"its own tools", "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"Bash\"}]}}\n{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"content\":\"out\"}]}}\n" SAYS("m", "a") DONE, OK, OK, "a", "", "stop", COUNTED},
	{"lines that are no JSON", "hello\n{oops\n[1]\n\"x\"\n\n\xff\xfe\n" SAYS("m", "a") "}}}\n" DONE, OK, OK, "a", "", "stop", COUNTED},
	{"members of other types", "{\"type\":7}\n{\"type\":\"assistant\",\"message\":[]}\n{\"type\":\"stream_event\",\"event\":\"x\"}\n{\"type\":\"assistant\",\"error\":\"rate_limit\",\"message\":{\"content\":\"x\"}}\n" SAYS("m", "a") DONE, OK, OK, "a", "", "stop", COUNTED},
	{"a cost that is none", RESULT(",\"result\":\"x\",\"total_cost_usd\":-1,\"usage\":{\"input_tokens\":-5}"), OK, OK, "x", "", "stop"},
	{"invalid UTF-8", SAYS("m", "a\xff") DONE, OK, OK, "a\xef\xbf\xbd", "", "stop", COUNTED},
	{"no result", INIT SAYS("m", "a"), OK, ERR_PROVIDER_CUT, "a", "", "", .retryable = true, .says = "ended before"},
	{"half of a result", INIT SAYS("m", "a") "{\"type\":\"result\",\"subty", OK, ERR_PROVIDER_CUT, "a", "", "", .retryable = true},
	{"nothing at all", "", OK, ERR_PROVIDER_CUT, "", "", "", .retryable = true},
	{"an empty result", RESULT(",\"result\":\"\""), OK, ERR_PROVIDER, "", "", "stop", .retryable = true, .says = "without any text"},
	{"turns used up", SAYS("m", "a") FAILED("error_max_turns", ""), OK, ERR_PROVIDER_LIMIT, "a", "", "", .says = "error_max_turns"},
	{"money used up", FAILED("error_max_budget_usd", ""), OK, ERR_PROVIDER_REFUSED, "", "", ""},
	{"an error of its own", FAILED("error_during_execution", ",\"errors\":[\"it exploded\"]"), OK, ERR_PROVIDER, "", "", "", .retryable = true, .says = "it exploded"},
	{"an error of the API", FAILED("success", ",\"api_error_status\":529,\"result\":\"API Error: overloaded\""), OK, ERR_PROVIDER_BUSY, "", "", "", .retryable = true, .says = "API Error: overloaded"},
	{"a key that is refused", FAILED("success", ",\"api_error_status\":401,\"result\":\"no " TEST_KEY "\""), OK, ERR_PROVIDER_REFUSED, "", "", "", .says = "[key]"},
};
/* clang-format on */

static void answers_are_read_as_they_are_given(void **state)
{
	(void)state;
	check_answers(&dialect_exec, rows, ARRAY_LEN(rows));
}

/* ---- its questions and its session ------------------------------------------------------------------------------- */

struct heard {
	struct buf said;
};

static void on_asked(void *ctx, const struct agent_question *q)
{
	struct heard *h = ctx;
	buf_addf(&h->said, "%.*s?%.*s%.*s;", STR_ARG(q->id), STR_ARG(q->tool), STR_ARG(q->input));
}

static void on_withdrawn(void *ctx, struct str id)
{
	struct heard *h = ctx;
	buf_addf(&h->said, "%.*s!", STR_ARG(id));
}

static bool ignore(void *ctx, enum answer_kind kind, struct str text)
{
	(void)ctx;
	(void)kind;
	(void)text;
	return true;
}

static struct answer *reader(struct heard *h)
{
	struct answer *a = answer_new(&dialect_exec, &(struct answer_sink){.text = ignore, .answer_bytes = 1000});
	buf_init(&h->said, BUF_NO_LIMIT);
	agent_listen(a, &(struct agent_hooks){on_asked, on_withdrawn, h});
	return a;
}

static void feed(struct answer *a, const char *text) { (void)answer_feed(a, str_c(text)); }

static void questions_are_handed_on(void **state)
{
	(void)state;
	struct heard h;
	struct answer *a = reader(&h);
	feed(a, "{\"type\":\"control_request\",\"request_id\":\"q1\",\"request\":{\"subtype\":\"can_use_tool\","
		"\"tool_name\":\"Write\",\"input\":{\"n\":1.50}}}\n"
		"{\"type\":\"control_request\",\"request_id\":\"q2\",\"request\":{\"subtype\":\"can_use_tool\","
		"\"tool_name\":\"Ls\",\"input\":7}}\n"
		"{\"type\":\"control_request\",\"request_id\":\"q3\",\"request\":{\"subtype\":\"hook_callback\"}}\n"
		"{\"type\":\"control_cancel_request\",\"request_id\":\"q1\"}\n");
	assert_string_equal(h.said.p, "q1?Write{\"n\":1.50};q2?Ls{};q3?;q1!");
	buf_release(&h.said);
	answer_free(a);
}

static void what_runs_and_which_session_it_is_can_be_asked(void **state)
{
	(void)state;
	struct heard h;
	struct answer *a = reader(&h);
	assert_int_equal(agent_session(a).n, 0);
	feed(a, INIT
	     "{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\"},{\"type\":\"tool_use\"}]}}\n");
	assert_true(agent_is_working(a));
	assert_true(str_eq(agent_session(a), STR("s1")));
	feed(a, "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\"}]}}\n");
	assert_true(agent_is_working(a));
	feed(a,
	     "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\"},{\"type\":\"tool_result\"}]}}\n");
	assert_false(agent_is_working(a));
	feed(a, "{\"type\":\"system\",\"session_id\":\"--model\"}\n{\"type\":\"assistant\",\"session_id\":\"s9\"}\n");
	assert_true(str_eq(agent_session(a), STR("s1")));
	assert_false(agent_lost_session(a));
	feed(a, FAILED("error_during_execution", ",\"errors\":[\"No conversation found with session ID: s1\"]"));
	assert_true(agent_lost_session(a));
	buf_release(&h.said);
	answer_free(a);
}

static void a_session_s_name_is_nothing_but_a_name(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "-x", "--resume", "a b", "a\nb", "a/b", "\xc3\xa4", "a;b"};
	assert_true(agent_session_is_good(STR("0190-ab_c.9")));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(agent_session_is_good(str_c(bad[i])));
	char longest[AGENT_SESSION_MAX + 1];
	memset(longest, 'a', sizeof longest);
	assert_true(agent_session_is_good(str_n(longest, AGENT_SESSION_MAX)));
	assert_false(agent_session_is_good(str_n(longest, AGENT_SESSION_MAX + 1)));
}

static void answers_to_questions_are_one_line_each(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	agent_allow(&b, STR("q\n1"), STR("{\"n\":1.50}"));
	agent_refuse(&b, STR("q2"), STR("no\nway"));
	agent_cannot(&b, STR("q3"));
	assert_string_equal(b.p,
			    "{\"type\":\"control_response\",\"response\":{\"subtype\":\"success\","
			    "\"request_id\":\"q\\n1\",\"response\":{\"behavior\":\"allow\","
			    "\"updatedInput\":{\"n\":1.50}}}}\n"
			    "{\"type\":\"control_response\",\"response\":{\"subtype\":\"success\","
			    "\"request_id\":\"q2\",\"response\":{\"behavior\":\"deny\",\"message\":\"no\\nway\"}}}\n"
			    "{\"type\":\"control_response\",\"response\":{\"subtype\":\"error\","
			    "\"request_id\":\"q3\",\"error\":\"not supported\"}}\n");
	buf_release(&b);
}

/* ---- what it is told --------------------------------------------------------------------------------------------- */

static const char *const plain[] = {"a", "-p", "--model", "{model}", NULL};
static const char *const placed[] = {"a", "--system-prompt", "{system}", "{model}", "--input-format", "stream-json",
				     NULL};
static const struct call_message talk[] = {
	{.role = STR_INIT("system"), .text = STR_INIT("be brief")},
	{.role = STR_INIT("user"), .text = STR_INIT("one")},
	{.role = STR_INIT("assistant"), .text = STR_INIT("two")},
	{.role = STR_INIT("user"), .text = STR_INIT("three")},
};

/* "arg|arg|\nbody" */
static void check_told(const char *const *command, struct provider_ask ask, const char *params, const char *want)
{
	struct wire_request r = {0};
	struct errinfo info = {0};
	struct buf got = BUF_INIT(BUF_NO_LIMIT);
	ask.command = command;
	if (ask.model.n == 0) ask.model = STR("m");
	if (build(&dialect_exec, ask, params, &r, &info) != OK) print_error("%s\n", info.text);
	for (char **arg = r.argv; arg != NULL && *arg != NULL; arg++) buf_addf(&got, "%s|", *arg);
	buf_addf(&got, "\n%.*s", STR_ARG(buf_str(&r.body)));
	assert_string_equal(got.p, want);
	buf_release(&got);
	wire_request_release(&r);
}

static struct provider_ask ask_of(const struct call_message *messages, size_t n, const char *session)
{
	return (struct provider_ask){.messages = messages, .nmessages = n, .session = str_c(session)};
}

static void the_command_has_places_and_the_text_is_never_in_it(void **state)
{
	(void)state;
	struct provider_ask one = ask_of(&talk[1], 1, NULL);
	check_told(plain, one, NULL, "a|-p|--model|m|\none");
	check_told(plain, one, "{\"system\":\"sys\"}", "a|-p|--model|m|\nsys\n\none");
	check_told(placed, one, "{\"system\":\"sys\"}",
		   "a|--system-prompt|sys|m|--input-format|stream-json|\n"
		   "{\"type\":\"user\",\"session_id\":\"\",\"parent_tool_use_id\":null,\"message\":{\"role\":\"user\","
		   "\"content\":[{\"type\":\"text\",\"text\":\"one\"}]}}\n");
	check_told(placed, one, "{\"system\":\"--dangerous\"}",
		   "a|--system-prompt|\n--dangerous|m|--input-format|stream-json|\n"
		   "{\"type\":\"user\",\"session_id\":\"\",\"parent_tool_use_id\":null,\"message\":{\"role\":\"user\","
		   "\"content\":[{\"type\":\"text\",\"text\":\"one\"}]}}\n");
	check_told(placed, one, NULL,
		   "a|m|--input-format|stream-json|\n"
		   "{\"type\":\"user\",\"session_id\":\"\",\"parent_tool_use_id\":null,\"message\":{\"role\":\"user\","
		   "\"content\":[{\"type\":\"text\",\"text\":\"one\"}]}}\n");
	check_told(plain, one, "{\"context\":\"drop\",\"temperature\":null}", "a|-p|--model|m|\none");
}

static void who_goes_on_is_told_what_is_new_and_who_begins_everything(void **state)
{
	(void)state;
	static const char everything[] =
		"a|-p|--model|m|\nbe brief\n\nThe conversation so far. Answer its last message.\n"
		"\n[the person]\none\n\n[you]\ntwo\n\n[the person]\nthree\n";
	check_told(plain, ask_of(talk, 4, NULL), NULL, everything);
	check_told(plain, ask_of(talk, 4, "--model"), NULL, everything);
	check_told(plain, ask_of(talk, 4, "s1"), NULL, "a|-p|--model|m|--resume|s1|\nthree");
}

static void images_go_along_where_the_input_is_json(void **state)
{
	(void)state;
	const struct call_part parts[] = {{.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("\x89PN")},
					  {.kind = PART_TEXT, .text = STR("notes")}};
	const struct call_message m = {.role = STR("user"), .text = STR("see"), .parts = parts, .nparts = 2};
	struct provider_ask ask = {.messages = &m, .nmessages = 1, .model = STR("m"), .command = plain};
	struct wire_request r = {0};
	struct errinfo info;
	check_told(placed, ask, NULL,
		   "a|m|--input-format|stream-json|\n"
		   "{\"type\":\"user\",\"session_id\":\"\",\"parent_tool_use_id\":null,\"message\":{\"role\":\"user\","
		   "\"content\":[{\"type\":\"text\",\"text\":\"see\\n\\nnotes\"},"
		   "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
		   "\"data\":\"iVBO\"}}]}}\n");
	assert_int_equal(build(&dialect_exec, ask, NULL, &r, &info), ERR_BAD_FIELD);
	assert_non_null(strstr(info.text, "image/png"));
}

static void check_not_told(struct str model, const char *params, enum err want, const char *says)
{
	struct provider_ask ask = ask_of(&talk[1], 1, NULL);
	struct wire_request r = {0};
	struct errinfo info = {0};
	ask.command = placed;
	ask.model = model;
	assert_int_equal(build(&dialect_exec, ask, params, &r, &info), want);
	assert_non_null(strstr(info.text, says));
	assert_null(r.argv);
}

static void what_can_t_be_an_argument_or_a_parameter_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "-m", "--help", "a b", "a\nb", "a\x7f"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) check_not_told(str_c(bad[i]), NULL, ERR_BAD_FIELD, "model's name");
	check_not_told(STR("a\0b"), NULL, ERR_BAD_FIELD, "model's name");
	check_not_told(STR("m"), "{\"system\":\"a\\u0000b\"}", ERR_BAD_FIELD, "NUL");
	check_not_told(STR("m"), "{\"temperature\":1}", ERR_BAD_FIELD, "params.temperature");
	check_not_told(STR("m"), "{\"num_ctx\":1}", ERR_BAD_FIELD, "params.num_ctx");
	struct buf params = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&params, "{\"system\":\"%0200000d\"}", 0);
	check_not_told(STR("m"), params.p, ERR_TOO_LARGE, "200000 bytes");
	buf_release(&params);
}

static void the_command_says_how_it_is_spoken_to(void **state)
{
	(void)state;
	static const char *const joined[] = {"a", "--input-format=stream-json", NULL};
	static const char *const other[] = {"a", "--input-format", "text", NULL};
	static const char *const last[] = {"a", "--input-format", NULL};
	assert_true(agent_takes_lines(placed));
	assert_true(agent_takes_lines(joined));
	assert_false(agent_takes_lines(plain));
	assert_false(agent_takes_lines(other));
	assert_false(agent_takes_lines(last));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_as_they_are_given),
		cmocka_unit_test(questions_are_handed_on),
		cmocka_unit_test(what_runs_and_which_session_it_is_can_be_asked),
		cmocka_unit_test(a_session_s_name_is_nothing_but_a_name),
		cmocka_unit_test(answers_to_questions_are_one_line_each),
		cmocka_unit_test(the_command_has_places_and_the_text_is_never_in_it),
		cmocka_unit_test(who_goes_on_is_told_what_is_new_and_who_begins_everything),
		cmocka_unit_test(images_go_along_where_the_input_is_json),
		cmocka_unit_test(what_can_t_be_an_argument_or_a_parameter_is_refused),
		cmocka_unit_test(the_command_says_how_it_is_spoken_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
