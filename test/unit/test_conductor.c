/* Who speaks when, what they are given, and what is told of it. */
#include "talk/conductor.h"
#include "unit/conductor_rig.h"

static struct rig rig;

static void assert_types(const enum lab_type *want, size_t n)
{
	for (size_t i = 0; i < n && i < rig.log.n; i++)
		if (rig.log.list[i].type != want[i])
			fail_msg("event %zu is %s and not %s", i, lab_rows[rig.log.list[i].type].name,
				 lab_rows[want[i]].name);
	assert_int_equal(rig.log.n, n);
}

static void events_stand_in_the_order_that_readers_know(void **state)
{
	(void)state;
	static const enum lab_type want[] = {
		LE_SYSTEM_PROMPT,    LE_SYSTEM_PROMPT,     LE_CONVERSATION_START, LE_TURN_START,
		LE_MESSAGE_REQUEST,  LE_THINKING_COMPLETE, LE_MESSAGE_COMPLETE,   LE_TOKEN_USAGE,
		LE_PROMPT_INJECTED,  LE_MESSAGE_REQUEST,   LE_THINKING_COMPLETE,  LE_MESSAGE_COMPLETE,
		LE_TOKEN_USAGE,      LE_NAME_CHOSEN,       LE_TURN_COMPLETE,      LE_CONVERGENCE_REACHED,
		LE_CONVERSATION_END,
	};
	static const struct injection in[] = {{0, 1, STR_INIT("Be brief.")}};
	rig_init(&rig, 2);
	rig.agents[0].system_prompt = STR("You are first.");
	rig.agents[1].system_prompt = STR("You are second.");
	rig.config.max_turns = 1;
	rig.config.threshold = 0;
	rig.config.action = CONVERGED_NOTIFY;
	rig.config.choose_names = true;
	rig.config.injections = in;
	rig.config.ninjections = ARRAY_LEN(in);
	rig.thinking = STR("hm");
	rig_start(&rig);
	struct conductor_view view;
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_CALL);
	assert_true(rig_ask(&rig, &view));
	rig_reply(&rig, STR("Good day."));
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_CALL);
	assert_true(rig_ask(&rig, &view));
	rig_reply(&rig, STR("Call me Zed."));
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_ENDED);
	assert_types(want, ARRAY_LEN(want));
	rig_stop(&rig);
}

static void three_turns_are_three_turns(void **state)
{
	(void)state;
	rig_init(&rig, 2);
	rig_start(&rig);
	rig_run(&rig);
	assert_int_equal(log_count(&rig.log, LE_TURN_START), 3);
	assert_int_equal(log_count(&rig.log, LE_TURN_COMPLETE), 3);
	assert_int_equal(log_count(&rig.log, LE_MESSAGE_REQUEST), 6);
	assert_int_equal(log_count(&rig.log, LE_MESSAGE_COMPLETE), 6);
	assert_int_equal(log_count(&rig.log, LE_CONVERSATION_END), 1);
	const struct lab_event *end = log_find(&rig.log, LE_CONVERSATION_END, 0);
	assert_int_equal(lab_int(end, LF(ConversationEndEvent, total_turns), -1), 3);
	assert_str(lab_str(end, LF(ConversationEndEvent, status)), "completed");
	assert_str(lab_str(end, LF(ConversationEndEvent, reason)), "max_turns_reached");
	assert_in_range(lab_int(end, LF(ConversationEndEvent, duration_ms), -1), 1, 20);
	for (size_t i = 0; i < 3; i++) {
		const struct lab_event *t = log_find(&rig.log, LE_TURN_COMPLETE, i);
		assert_int_equal(lab_int(t, LF(TurnCompleteEvent, turn_number), -1), i);
	}
	rig_stop(&rig);
}

static void each_agent_has_its_own_prompt_and_its_own_side(void **state)
{
	(void)state;
	struct conductor_view view;
	rig_init(&rig, 2);
	rig.agents[0].system_prompt = STR("You are Ada.");
	rig.agents[1].system_prompt = STR("You are Ben.");
	rig_start(&rig);
	(void)rig_next(&rig);
	assert_true(rig_ask(&rig, &view));
	assert_view(&view, "system You are Ada.\nuser Talk.\n");
	rig_reply(&rig, STR("a0"));
	(void)rig_next(&rig);
	assert_true(rig_ask(&rig, &view));
	assert_view(&view, "system You are Ben.\nuser Talk.\nuser a0\n");
	rig_reply(&rig, STR("b0"));
	(void)rig_next(&rig);
	assert_true(rig_ask(&rig, &view));
	assert_view(&view, "system You are Ada.\nuser Talk.\nassistant a0\nuser b0\n");
	rig_reply(&rig, STR("a1"));
	(void)rig_next(&rig);
	assert_true(rig_ask(&rig, &view));
	assert_view(&view, "system You are Ben.\nuser Talk.\nuser a0\nassistant b0\nuser a1\n");
	assert_str(lab_str(log_find(&rig.log, LE_SYSTEM_PROMPT, 1), LF(SystemPromptEvent, prompt)), "You are Ben.");
	rig_stop(&rig);
}

/* What the first agent of the first turn is given. */
static void assert_first(struct str prompt, struct str tag, const char *want)
{
	struct conductor_view view;
	rig_init(&rig, 2);
	rig.config.prompt = prompt;
	rig.config.prompt_tag = tag;
	rig_start(&rig);
	(void)rig_next(&rig);
	assert_true(rig_ask(&rig, &view));
	assert_view(&view, want);
	const struct lab_event *start = log_find(&rig.log, LE_CONVERSATION_START, 0);
	assert_true(str_eq(lab_str(start, LF(ConversationStartEvent, initial_prompt)), prompt));
	assert_int_equal(assert_rebuilds(&rig.log), 1);
	rig_stop(&rig);
}

static void the_first_message_has_the_tag(void **state)
{
	(void)state;
	assert_first(STR("Talk."), STR("[HUMAN]"), "user [HUMAN] Talk.\n");
	assert_first(STR("Talk."), STR(""), "user Talk.\n");
	assert_first(STR(""), STR(""), "user [Begin]\n");
	assert_first(STR(""), STR("[HUMAN]"), "user [HUMAN] [Begin]\n");
}

static void an_injected_prompt_is_given_once_and_to_its_agent_alone(void **state)
{
	(void)state;
	struct conductor_view view;
	static const struct injection in[] = {
		{0, -1, STR_INIT("both 0")}, {1, 0, STR_INIT("only a")}, {1, -1, STR_INIT("both 1")},
		{1, 0, STR_INIT("a again")}, {9, 1, STR_INIT("never")},
	};
	static const char *const want[] = {
		"user Talk.\nuser both 0\n",
		"user Talk.\nuser a0\nuser both 0\n",
		"user Talk.\nuser both 0\nassistant a0\nuser b0\nuser only a\nuser a again\n",
		"user Talk.\nuser a0\nuser both 0\nassistant b0\nuser a1\nuser both 1\n",
		"user Talk.\nuser both 0\nassistant a0\nuser b0\nuser only a\nuser a again\nassistant a1\nuser b1\n",
		"user Talk.\nuser a0\nuser both 0\nassistant b0\nuser a1\nuser both 1\nassistant b1\nuser a2\n",
	};
	rig_init(&rig, 2);
	rig.config.injections = in;
	rig.config.ninjections = ARRAY_LEN(in);
	rig_start(&rig);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		struct buf b = BUF_INIT(64);
		struct conductor_step step = rig_next(&rig);
		(void)rig_next(&rig); /* asking again changes nothing */
		assert_true(rig_ask(&rig, &view));
		assert_view(&view, want[i]);
		rig_reply(&rig, rig_counts(&view, step, &b));
		buf_release(&b);
	}
	assert_int_equal(log_count(&rig.log, LE_PROMPT_INJECTED), 5);
	assert_int_equal(assert_rebuilds(&rig.log), 6);
	rig_stop(&rig);
}

static void one_to_eight_agents_speak_in_their_order(void **state)
{
	(void)state;
	for (size_t n = 1; n <= LAB_AGENTS_MAX; n++) {
		struct buf got = BUF_INIT(4096), want = BUF_INIT(4096);
		rig_init(&rig, n);
		rig.config.max_turns = 2;
		(void)buf_addf(&want, "- Talk.\n");
		for (int t = 0; t < 2; t++)
			for (size_t i = 0; i < n; i++)
				(void)buf_addf(&want, "%c%d %c%d\n", 'a' + (int)i, t, 'a' + (int)i, t);
		rig_start(&rig);
		rig_run(&rig);
		write_messages(rig.c, &got);
		assert_str(buf_str(&got), want.p);
		assert_int_equal(assert_rebuilds(&rig.log), 2 * n);
		const struct lab_event *start = log_find(&rig.log, LE_CONVERSATION_START, 0);
		assert_int_equal(start->v[LF(ConversationStartEvent, agents)].is == LV_JSON, n > 2);
		assert_int_equal(start->v[LF(ConversationStartEvent, agent_b)].is == LV_AGENT, n > 1);
		struct conductor_state s;
		conductor_state(rig.c, &s);
		assert_int_equal(s.turns, 2);
		assert_int_equal(s.messages, 2 * n);
		assert_int_equal(isnan(s.convergence), n == 1);
		buf_release(&want);
		buf_release(&got);
		rig_stop(&rig);
	}
}

static void the_same_name_is_told_apart(void **state)
{
	(void)state;
	rig_init(&rig, 3);
	rig.agents[0].name = rig.agents[2].name = STR("Opus");
	rig_start(&rig);
	(void)rig_next(&rig);
	assert_str(conductor_name(rig.c, 0), "Opus-A");
	assert_str(conductor_name(rig.c, 1), "Ben");
	assert_str(conductor_name(rig.c, 2), "Opus-C");
	const struct lab_event *start = log_find(&rig.log, LE_CONVERSATION_START, 0);
	assert_str(lab_str(start, LF(ConversationStartEvent, agent_a_display_name)), "Opus-A");
	rig_stop(&rig);
}

static void say(const char *text)
{
	struct conductor_view view;
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_CALL);
	assert_true(rig_ask(&rig, &view));
	rig_reply(&rig, str_c(text));
}

static void a_chosen_name_is_the_name_from_then_on(void **state)
{
	(void)state;
	rig_init(&rig, 2);
	rig.config.choose_names = true;
	rig_start(&rig);
	say("Call me Zed.");
	assert_str(conductor_name(rig.c, 0), "Zed");
	say("Then I'll go by Zed too.");
	assert_str(conductor_name(rig.c, 1), "Zed-B");
	say("No, call me Max.");
	assert_str(conductor_name(rig.c, 0), "Zed"); /* only the first message counts */
	const struct lab_event *e = log_find(&rig.log, LE_NAME_CHOSEN, 0);
	assert_str(lab_str(e, LF(NameChosenEvent, chosen_name)), "Zed");
	assert_str(lab_str(e, LF(NameChosenEvent, previous_name)), "Ada");
	assert_str(lab_str(e, LF(NameChosenEvent, agent_id)), "agent_a");
	assert_int_equal(log_count(&rig.log, LE_NAME_CHOSEN), 2);
	rig_stop(&rig);

	rig_init(&rig, 2);
	rig_start(&rig);
	say("Call me Zed.");
	assert_str(conductor_name(rig.c, 0), "Ada"); /* nobody was asked to choose */
	assert_int_equal(log_count(&rig.log, LE_NAME_CHOSEN), 0);
	rig_stop(&rig);
}

static void a_message_has_the_same_seed_every_time_and_another_than_its_neighbours(void **state)
{
	(void)state;
	uint64_t seeds[2][6];
	for (int round = 0; round < 2; round++) {
		rig_init(&rig, 2);
		rig_start(&rig);
		rig_run(&rig);
		for (size_t i = 0; i < 6; i++) {
			const struct lab_event *e = log_find(&rig.log, LE_MESSAGE_REQUEST, i);
			seeds[round][i] = (uint64_t)lab_int(e, LF(MessageRequestEvent, seed), -1);
			assert_in_range(seeds[round][i], 0, INT32_MAX);
			for (size_t k = 0; k < i; k++) assert_int_not_equal(seeds[round][k], seeds[round][i]);
		}
		rig_stop(&rig);
	}
	assert_memory_equal(seeds[0], seeds[1], sizeof seeds[0]);
}

static void a_turn_names_the_lines_of_its_messages(void **state)
{
	(void)state;
	char want[300], hex[2][SHA256_HEX_LEN + 1];
	unsigned char sha[SHA256_LEN];
	rig_init(&rig, 2);
	rig.config.max_turns = 1;
	rig_start(&rig);
	rig_run(&rig);
	for (size_t i = 0; i < 2; i++) {
		sha256(i == 0 ? STR("a0") : STR("b0"), sha);
		hex_encode(sha, sizeof sha, hex[i]);
	}
	(void)snprintf(
		want, sizeof want,
		"{\"agent_a_message\":{\"seq\":%lld,\"sha256\":\"%s\"},\"agent_b_message\":{\"seq\":%lld,\"sha256\":\"%s\"}}",
		(long long)log_find(&rig.log, LE_MESSAGE_COMPLETE, 0)->seq, hex[0],
		(long long)log_find(&rig.log, LE_MESSAGE_COMPLETE, 1)->seq, hex[1]);
	assert_str(lab_str(log_find(&rig.log, LE_TURN_COMPLETE, 0), LF(TurnCompleteEvent, turn)), want);
	rig_stop(&rig);
}

static void without_hashes_there_are_none(void **state)
{
	(void)state;
	rig_init(&rig, 2);
	rig.config.without_hashes = true;
	rig_start(&rig);
	rig_run(&rig);
	for (size_t i = 0; i < 6; i++) {
		const struct lab_event *e = log_find(&rig.log, LE_MESSAGE_REQUEST, i);
		assert_int_equal(e->v[LF(MessageRequestEvent, history_sha256)].is, LV_NULL);
	}
	assert_null(strstr(lab_str(log_find(&rig.log, LE_TURN_COMPLETE, 0), LF(TurnCompleteEvent, turn)).p, "sha256"));
	rig_stop(&rig);
}

static void a_turn_carries_metrics_when_they_are_wanted(void **state)
{
	(void)state;
	static const char *const keys[] = {"agent_a", "agent_b", "agent_a+agent_b"};
	rig_init(&rig, 2);
	rig.config.with_metrics = true;
	rig_start(&rig);
	rig_run(&rig);
	struct json_doc *doc;
	struct str text = lab_str(log_find(&rig.log, LE_TURN_COMPLETE, 1), LF(TurnCompleteEvent, metrics));
	assert_int_equal(json_parse(text, &doc, NULL), OK);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_int_equal(json_type(json_get(json_root(doc), keys[i])), JSON_OBJ);
	int64_t length = 0;
	assert_true(json_int(json_get(json_get(json_root(doc), "agent_b"), "message_length"), &length));
	assert_int_equal(length, 2);
	json_free(doc);
	rig_stop(&rig);

	rig_init(&rig, 2);
	rig_start(&rig);
	rig_run(&rig);
	const struct lab_event *e = log_find(&rig.log, LE_TURN_COMPLETE, 1);
	assert_int_equal(e->v[LF(TurnCompleteEvent, metrics)].is, LV_ABSENT);
	rig_stop(&rig);
}

static void bytes_that_are_no_character_are_replaced_for_all_alike(void **state)
{
	(void)state;
	struct conductor_view view;
	rig_init(&rig, 2);
	rig.config.prompt = STR("T\xff");
	rig.agents[1].system_prompt = STR("\xc3");
	rig_start(&rig);
	say("a\xe6\x98");
	(void)rig_next(&rig);
	assert_true(rig_ask(&rig, &view));
	assert_view(&view, "system \xef\xbf\xbd\nuser T\xef\xbf\xbd\nuser a\xef\xbf\xbd\n");
	assert_int_equal(assert_rebuilds(&rig.log), 2);
	rig_stop(&rig);
}

static void tokens_that_nobody_counted_are_estimated_and_say_so(void **state)
{
	(void)state;
	struct conductor_view view;
	rig_init(&rig, 2);
	rig_start(&rig);
	for (int reported = 0; reported < 2; reported++) {
		(void)rig_next(&rig);
		assert_true(rig_ask(&rig, &view));
		struct conductor_answer a = rig_answer(STR("eight letters or so"));
		if (!reported) a.input_tokens = a.output_tokens = INT64_MIN;
		conductor_answered(rig.c, &a, rig.now);
		const struct lab_event *m = log_find(&rig.log, LE_MESSAGE_COMPLETE, (size_t)reported);
		int64_t in = lab_int(m, LF(MessageCompleteEvent, prompt_tokens), -1);
		int64_t out = lab_int(m, LF(MessageCompleteEvent, completion_tokens), -1);
		assert_int_equal(in, reported ? 7 : view.tokens);
		assert_int_equal(out, reported ? 3 : 5);
		assert_int_equal(lab_int(m, LF(MessageCompleteEvent, total_tokens), -1), in + out);
		assert_int_equal(lab_bool(m, LF(MessageCompleteEvent, tokens_estimated)), !reported);
		const struct lab_event *u = log_find(&rig.log, LE_TOKEN_USAGE, (size_t)reported);
		assert_int_equal(lab_int(u, LF(TokenUsageEvent, tokens_used), -1), in + out);
	}
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_stand_in_the_order_that_readers_know),
		cmocka_unit_test(three_turns_are_three_turns),
		cmocka_unit_test(each_agent_has_its_own_prompt_and_its_own_side),
		cmocka_unit_test(the_first_message_has_the_tag),
		cmocka_unit_test(an_injected_prompt_is_given_once_and_to_its_agent_alone),
		cmocka_unit_test(one_to_eight_agents_speak_in_their_order),
		cmocka_unit_test(the_same_name_is_told_apart),
		cmocka_unit_test(a_chosen_name_is_the_name_from_then_on),
		cmocka_unit_test(a_message_has_the_same_seed_every_time_and_another_than_its_neighbours),
		cmocka_unit_test(a_turn_names_the_lines_of_its_messages),
		cmocka_unit_test(without_hashes_there_are_none),
		cmocka_unit_test(a_turn_carries_metrics_when_they_are_wanted),
		cmocka_unit_test(bytes_that_are_no_character_are_replaced_for_all_alike),
		cmocka_unit_test(tokens_that_nobody_counted_are_estimated_and_say_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
