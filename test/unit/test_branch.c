/* Branches: what is taken over from a log, how it is kept as a spec, and what is said to have changed. */
#include "spec_gear.h" /* first: the other has a variable of a name it uses */

#include "experiment_gear.h"
#include "lab/branch.h"

#define CONVERSATION "conv_1a2b3c4d"
#define ID "\"conversation_id\":\"" CONVERSATION "\""
#define END "\"timestamp\":\"2026-01-02T03:04:05.678901+00:00\",\"experiment_id\":null}\n"
#define TURN(n) "{" ID ",\"turn_number\":" #n ",\"event_type\":\"TurnStartEvent\"," END
#define DONE(n) "{" ID ",\"turn_number\":" #n ",\"turn\":{},\"event_type\":\"TurnCompleteEvent\"," END
#define SAYS(agent, text)                                                                                              \
	"{" ID ",\"agent_id\":\"agent_" agent "\",\"message\":{\"role\":\"assistant\",\"content\":\"" text             \
	"\",\"agent_id\":\"agent_" agent "\"},\"event_type\":\"MessageCompleteEvent\"," END
#define TOLD(agent, n, text)                                                                                           \
	"{" ID ",\"agent_id\":\"agent_" agent "\",\"turn_number\":" #n ",\"prompt\":\"" text                           \
	"\",\"event_type\":\"PromptInjectedEvent\"," END
#define BEGINS                                                                                                         \
	"{" ID ",\"agent_a\":{\"id\":\"agent_a\",\"model\":\"x\"},\"agent_b\":{\"id\":\"agent_b\",\"model\":\"y\"},"   \
	"\"max_turns\":9,\"initial_prompt\":\"hello\",\"prompt_tag\":\"[P]\",\"event_type\":\"ConversationStartEvent\"," END
#define TWO_TURNS                                                                                                      \
	BEGINS TURN(0) SAYS("a", "one") SAYS("b", "two") DONE(0) TURN(1) TOLD("a", 1, "be brief") SAYS("a", "three")   \
		SAYS("b", "four") DONE(1)
#define HALF TURN(2) TOLD("a", 2, "not yet") SAYS("a", "five")

static struct config config;

/* An experiment with that log, and a spec when there is one. */
static void put_source(const char *base, const char *log, const char *spec)
{
	char name[200];
	put_experiment(
		base,
		"{\"experiment_id\":\"experiment_0000000a\",\"name\":\"x\",\"status\":\"running\",\"conversations\":{\"" CONVERSATION
		"\":{\"status\":\"running\"}}}");
	snprintf(name, sizeof name, "%s/events_" CONVERSATION ".jsonl", base);
	put_file(in_scratch(name), log);
	snprintf(name, sizeof name, "%s/spec.yaml", base);
	if (spec != NULL) put_file(in_scratch(name), spec);
}

static struct branch opened(int64_t turn)
{
	struct branch b;
	if (branch_open(scratch, STR(CONVERSATION), turn, &config, &b, &info) != OK) fail_msg("%s", info.text);
	return b;
}

static void assert_message(const struct spec *s, size_t i, int agent, bool is_injected, int64_t turn, const char *text)
{
	const struct inherited *m = &s->inherited[i];
	assert_true(i < s->ninherited);
	assert_int_equal(m->agent, agent);
	assert_int_equal(m->is_injected, is_injected);
	assert_int_equal(m->turn, turn);
	assert_true(str_eq(m->text, str_c(text)));
}

static void assert_two_turns(const struct spec *s)
{
	assert_int_equal(s->ninherited, 6);
	assert_int_equal(s->branch_turn, 2);
	assert_message(s, 0, -1, false, 0, "[P] hello");
	assert_message(s, 1, 0, false, 0, "one");
	assert_message(s, 2, 1, false, 0, "two");
	assert_message(s, 3, 0, true, 1, "be brief");
	assert_message(s, 4, 0, false, 1, "three");
	assert_message(s, 5, 1, false, 1, "four");
}

static void whole_turns_are_taken_and_what_was_given_on_the_way(void **state)
{
	(void)state;
	struct spec copy;
	put_source("x_0000000a", TWO_TURNS HALF, NULL);
	struct branch b = opened(-1);
	assert_int_equal(b.turns, 2);
	assert_two_turns(&b.from);
	assert_int_equal(branch_begin(&b, &config, &copy, &info), OK); /* through YAML */
	assert_two_turns(&copy);
	assert_true(str_eq(copy.branch_conversation, STR(CONVERSATION)));
	assert_true(str_eq(copy.branch_experiment, STR("experiment_0000000a")));
	spec_release(&copy);
	branch_close(&b);
}

static void no_turn_leaves_the_prompt_alone(void **state)
{
	(void)state;
	put_source("x_0000000a", TWO_TURNS, NULL);
	struct branch b = opened(0);
	assert_int_equal(b.from.ninherited, 1);
	assert_message(&b.from, 0, -1, false, 0, "[P] hello");
	branch_close(&b);
}

static void what_stands_behind_the_turn_is_not_looked_at(void **state)
{
	(void)state;
	struct branch b;
	put_source("x_0000000a", TWO_TURNS "no event\n" SAYS("b", "out of order"), NULL);
	b = opened(2);
	assert_two_turns(&b.from);
	branch_close(&b);
	assert_int_equal(branch_open(scratch, STR(CONVERSATION), -1, &config, &b, &info), ERR_CORRUPT);
	assert_int_equal(branch_open(scratch, STR(CONVERSATION), 3, &config, &b, &info), ERR_CORRUPT);
}

static void a_gap_in_what_was_said_is_corrupt_and_not_passed_over(void **state)
{
	(void)state;
	struct branch b;
	put_source("x_0000000a", BEGINS TURN(0) SAYS("b", "two") DONE(0), NULL);
	assert_int_equal(branch_open(scratch, STR(CONVERSATION), -1, &config, &b, &info), ERR_CORRUPT);
	assert_non_null(strstr(info.text, "does not fit"));
}

static void what_has_no_turn_or_not_so_many_is_refused(void **state)
{
	(void)state;
	struct branch b;
	put_source("x_0000000a", BEGINS, NULL);
	assert_int_equal(branch_open(scratch, STR(CONVERSATION), -1, &config, &b, &info), ERR_BAD_STATE);
	put_file(in_scratch("x_0000000a/events_" CONVERSATION ".jsonl"), TWO_TURNS);
	assert_int_equal(branch_open(scratch, STR(CONVERSATION), 3, &config, &b, &info), ERR_USAGE);
	assert_non_null(strstr(info.text, "has 2 complete turns"));
}

static void the_spec_that_is_kept_goes_before_the_log(void **state)
{
	(void)state;
	put_source("x_0000000a", TWO_TURNS,
		   "agent_a: p\nagent_b: q\nname: old\nmax_turns: 5\nrepetitions: 7\nquiet: true\noutput: /nowhere\n"
		   "temperature_b: 0.25\nparams: {topP: 0.5}\n");
	struct branch b = opened(1);
	const struct spec *s = &b.from;
	assert_true(str_eq(s->agents[0].asked, STR("p")));
	assert_int_equal(s->turns, 5);
	assert_real(s->agents[1].temperature, 0.25);
	assert_true(str_eq(s->agents[0].params, STR("{\"topP\":0.5}")));
	/* of its occasion nothing */
	assert_int_equal(s->repetitions, 1);
	assert_true(str_eq(s->display, STR("chat")));
	assert_int_equal(s->name.n + s->output.n, 0);
	branch_close(&b);
}

static void without_a_spec_the_manifest_and_the_log_say_how_it_was_made(void **state)
{
	(void)state;
	struct spec s;
	put_experiment(
		"x_0000000a",
		"{\"experiment_id\":\"experiment_0000000a\",\"name\":\"x\",\"status\":\"completed\",\"conversations\":{},"
		"\"config\":{\"agents\":[\"x\",\"y\",\"z\"],\"temperature\":null,\"temperature_c\":0.5,\"max_turns\":12,"
		"\"convergence_action\":\"warn\",\"think_budget\":5000,\"display_mode\":\"quiet\",\"metadata\":null}}");
	put_file(
		in_scratch("x_0000000a/events_" CONVERSATION ".jsonl"),
		"{" ID
		",\"agent_id\":\"agent_c\",\"prompt\":\"You are \\\"c\\\".\",\"event_type\":\"SystemPromptEvent\"," END
		"{" ID
		",\"agent_a\":{\"id\":\"agent_a\",\"model\":\"x\",\"temperature\":0.25},\"agent_b\":{\"id\":\"agent_b\","
		"\"model\":\"y\"},\"agents\":[\"agent_a\",\"agent_b\",\"agent_c\"],\"event_type\":\"ConversationStartEvent\"," END
			TURN(0) SAYS("a", "1") SAYS("b", "2") SAYS("c", "3") DONE(0));
	struct branch b = opened(-1);
	assert_int_equal(branch_begin(&b, &config, &s, &info), OK);
	assert_int_equal(branch_end(&b, scratch, false, &s, &info), OK);
	assert_int_equal(s.nagents, 3);
	assert_true(str_eq(s.agents[2].asked, STR("z")));
	assert_real(s.agents[0].temperature, 0.25);
	assert_real(s.agents[2].temperature, 0.5);
	assert_true(str_eq(s.agents[2].prompt, STR("You are \"c\".")));
	assert_int_equal(s.agents[0].prompt.n, 0);
	assert_int_equal(s.agents[0].thinking_budget, INT64_MIN); /* nobody thinks */
	assert_int_equal(s.turns, 12);
	assert_int_equal(s.action, CONVERGED_WARN);
	assert_true(str_eq(s.display, STR("chat")));
	assert_message(&s, 3, 2, false, 0, "3");
	spec_release(&s);
	branch_close(&b);
}

static void what_is_changed_is_told_by_key_and_agent_and_nothing_else(void **state)
{
	(void)state;
	struct spec s;
	put_source("x_0000000a", TWO_TURNS, "agent_a: p\nagent_b: q\ntemperature_a: 1\nmax_turns: 5\n");
	struct branch b = opened(1);
	assert_int_equal(branch_begin(&b, &config, &s, &info), OK);
	assert_int_equal(branch_end(&b, scratch, false, &s, &info), OK);
	assert_string_equal(s.parameter_changes.p, "");
	spec_release(&s);
	assert_int_equal(branch_begin(&b, &config, &s, &info), OK);
	assert_true(option(&s, "temperature", "0.5", &info));
	assert_true(option(&s, "agent-b", "r", &info));
	assert_true(option(&s, "awareness-b", "none", &info));
	assert_true(option(&s, "convergence-threshold", "0.9", &info));
	assert_int_equal(branch_end(&b, scratch, false, &s, &info), OK);
	assert_string_equal(s.parameter_changes.p, "{\"agent_b\":{\"from\":\"q\",\"to\":\"r\"},"
						   "\"temperature_a\":{\"from\":1.0,\"to\":0.5},"
						   "\"temperature_b\":{\"from\":null,\"to\":0.5},"
						   "\"awareness_b\":{\"from\":\"basic\",\"to\":\"none\"},"
						   "\"convergence_threshold\":{\"from\":null,\"to\":0.9}}");
	spec_release(&s);
	branch_close(&b);
}

static void turns_count_those_that_are_taken_over(void **state)
{
	(void)state;
	struct spec s;
	put_source("x_0000000a", TWO_TURNS, "agent_a: p\nagent_b: q\nmax_turns: 2\n");
	struct branch b = opened(-1);
	assert_int_equal(branch_begin(&b, &config, &s, &info), OK);
	assert_int_equal(branch_end(&b, scratch, true, &s, &info), ERR_USAGE);
	assert_int_equal(branch_end(&b, scratch, false, &s, &info), OK);
	assert_int_equal(s.turns, 4);
	spec_release(&s);
	branch_close(&b);
}

static void a_name_is_its_source_s_and_fits_a_directory_s(void **state)
{
	(void)state;
	struct spec s;
	put_source("012345678901234567890123456789_0000000a", TWO_TURNS, NULL);
	for (int i = 0; i < 2; i++) {
		struct branch b = opened(-1);
		char made[64];
		assert_int_equal(branch_begin(&b, &config, &s, &info), OK);
		assert_int_equal(branch_end(&b, scratch, false, &s, &info), OK);
		assert_int_equal(s.name.n, 30);
		snprintf(made, sizeof made, "%s_0000001%d", s.name.p, i);
		put_experiment(made, "{}");
		spec_release(&s);
		branch_close(&b);
	}
	assert_true(is_there(in_scratch("01234567890123456789012-branch_00000010")));
	assert_true(is_there(in_scratch("012345678901234567890-branch-2_00000011")));
}

static void an_injected_message_is_somebody_s_and_no_answer(void **state)
{
	(void)state;
	struct spec *list = NULL;
	size_t n;
	struct spec s = parsed(&config, "agent_a: p\nagent_b: q\ninitial_messages:\n- {role: user, content: x}\n"
					"- {role: user, agent: agent_a, injected: yes, content: go}\n"
					"- {role: assistant, content: one}\n- {role: assistant, content: two}\n");
	assert_int_equal(s.branch_turn, 1);
	assert_message(&s, 1, 0, true, 0, "go");
	assert_message(&s, 2, 0, false, 0, "one");
	spec_release(&s);
	static const char *const wrong[] = {"{role: user, injected: true, content: x}",
					    "{role: user, agent: human, injected: true, content: x}",
					    "{role: user, agent: agent_b, injected: true, content: x}",
					    "{role: user, agent: agent_a, injected: maybe, content: x}"};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		char text[300];
		snprintf(text, sizeof text, "agent_a: p\nagent_b: q\ninitial_messages:\n- %s\n", wrong[i]);
		assert_int_equal(spec_parse(str_c(text), "s.yaml", &config, &list, &n, &info), ERR_CONFIG);
	}
}

static int make(void **state)
{
	config_init(&config);
	return scratch_make(state);
}

static int take_away(void **state)
{
	config_release(&config);
	return scratch_remove(state);
}

#define T(f) cmocka_unit_test_setup_teardown(f, make, take_away)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(whole_turns_are_taken_and_what_was_given_on_the_way),
		T(no_turn_leaves_the_prompt_alone),
		T(what_stands_behind_the_turn_is_not_looked_at),
		T(a_gap_in_what_was_said_is_corrupt_and_not_passed_over),
		T(what_has_no_turn_or_not_so_many_is_refused),
		T(the_spec_that_is_kept_goes_before_the_log),
		T(without_a_spec_the_manifest_and_the_log_say_how_it_was_made),
		T(what_is_changed_is_told_by_key_and_agent_and_nothing_else),
		T(turns_count_those_that_are_taken_over),
		T(a_name_is_its_source_s_and_fits_a_directory_s),
		T(an_injected_message_is_somebody_s_and_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
