/* What ends a conversation or holds it up by itself: its window and its convergence. */
#include "talk/conductor.h"
#include "unit/conductor_rig.h"

static struct rig rig;

/* ---- the window -------------------------------------------------------------------------------------------------- */

#define TURNS 6

/* Agent b has a window, and room for `room` tokens in it. */
static void start(int64_t room, bool allow_truncation)
{
	rig_init(&rig, 2);
	rig.config.max_turns = TURNS;
	rig.config.allow_truncation = allow_truncation;
	rig.agents[1].system_prompt = STR("You are Ben.");
	rig.agents[1].provider = STR("local");
	rig.agents[1].window = room + 100;
	rig.agents[1].max_tokens = 100;
	rig_start(&rig);
}

/* The tokens that agent b is given in a turn when nothing is left out. */
static int64_t tokens_of_turn(int turn)
{
	struct conductor_view view = {0};
	start(1000000, false);
	for (int i = 0; i <= turn; i++) {
		(void)rig_message(&rig);
		(void)rig_next(&rig);
		assert_true(rig_ask(&rig, &view));
		rig_reply(&rig, STR("b"));
	}
	assert_int_equal(view.dropped, 0);
	rig_stop(&rig);
	/* What it said itself was one character long here, and in the other tests there are two: both are one token. */
	return view.tokens;
}

static void what_fits_exactly_is_sent_and_one_token_more_ends_it(void **state)
{
	(void)state;
	for (int turn = 1; turn < 4; turn++) {
		int64_t tokens = tokens_of_turn(turn);
		for (int64_t less = 0; less < 2; less++) {
			struct conductor_state s;
			start(tokens - less, false);
			rig_run(&rig);
			conductor_state(rig.c, &s);
			/* It ends in this turn, or in the next one: each adds two messages. */
			assert_int_equal(s.turns, turn + 1 - less);
			assert_string_equal(s.status, "completed");
			assert_string_equal(s.reason, "context_limit_reached");
			assert_int_equal(log_count(&rig.log, LE_CONTEXT_LIMIT), 1);
			assert_int_equal(log_count(&rig.log, LE_CONTEXT_TRUNCATION), 0);
			assert_int_equal(log_count(&rig.log, LE_CONVERSATION_END), 1);
			const struct lab_event *e = log_find(&rig.log, LE_CONTEXT_LIMIT, 0);
			assert_str(lab_str(e, LF(ContextLimitEvent, agent_id)), "agent_b");
			assert_str(lab_str(e, LF(ContextLimitEvent, provider)), "local");
			assert_int_equal(lab_int(e, LF(ContextLimitEvent, turn_number), -1), turn + 1 - less);
			rig_stop(&rig);
		}
	}
}

static void with_truncation_the_system_prompt_and_the_newest_stay(void **state)
{
	(void)state;
	int64_t tokens = tokens_of_turn(2);
	struct conductor_view view;
	start(tokens - 1, true);
	for (int turn = 0; turn < TURNS; turn++) {
		char want[200];
		int n = snprintf(want, sizeof want, "system You are Ben.\n");
		(void)rig_message(&rig);
		struct conductor_step step = rig_next(&rig);
		assert_int_equal(step.what, CONDUCTOR_CALL);
		assert_true(rig_ask(&rig, &view));
		assert_true(view.tokens <= tokens - 1);
		/* The prompt goes first; then a message of b's own must not be the first. */
		if (turn < 2) n += snprintf(want + n, sizeof want - (size_t)n, "user Talk.\n");
		for (int t = turn < 2 ? 0 : turn - 2; t <= turn; t++) {
			n += snprintf(want + n, sizeof want - (size_t)n, "user a%d\n", t);
			if (t < turn) n += snprintf(want + n, sizeof want - (size_t)n, "assistant b%d\n", t);
		}
		assert_view(&view, want);
		assert_int_equal(view.dropped + view.n - 1, view.history);
		struct buf b = BUF_INIT(64);
		rig_reply(&rig, rig_counts(&view, step, &b));
		buf_release(&b);
	}
	assert_int_equal(log_count(&rig.log, LE_CONTEXT_TRUNCATION), TURNS - 2);
	const struct lab_event *e = log_find(&rig.log, LE_CONTEXT_TRUNCATION, 1);
	assert_int_equal(lab_int(e, LF(ContextTruncationEvent, turn_number), -1), 3);
	assert_int_equal(lab_int(e, LF(ContextTruncationEvent, original_message_count), -1), 9);
	assert_int_equal(lab_int(e, LF(ContextTruncationEvent, truncated_message_count), -1), 6);
	assert_int_equal(lab_int(e, LF(ContextTruncationEvent, messages_dropped), -1), 3);
	assert_int_equal(assert_rebuilds(&rig.log), 2 * TURNS);
	rig_stop(&rig);
}

static void another_attempt_does_not_tell_the_same_truncation_again(void **state)
{
	(void)state;
	struct conductor_view view;
	start(tokens_of_turn(1) - 1, true);
	for (int i = 0; i < 3; i++) (void)rig_message(&rig);
	(void)rig_next(&rig);
	for (int i = 0; i < 3; i++) assert_true(rig_ask(&rig, &view));
	assert_true(view.dropped > 0);
	assert_int_equal(log_count(&rig.log, LE_CONTEXT_TRUNCATION), 1);
	rig_stop(&rig);
}

static void what_is_too_long_by_itself_ends_it_even_so(void **state)
{
	(void)state;
	struct conductor_state s;
	start(10, true);
	(void)rig_next(&rig);
	struct conductor_view view;
	assert_true(rig_ask(&rig, &view));
	rig_reply(&rig, STR("Much more than there is room for in ten tokens, whatever is left out."));
	rig_run(&rig);
	conductor_state(rig.c, &s);
	assert_string_equal(s.reason, "context_limit_reached");
	assert_int_equal(s.turns, 0);
	assert_int_equal(s.messages, 1);
	rig_stop(&rig);
}

static void who_is_alone_goes_on_from_its_own_words(void **state)
{
	(void)state;
	rig_init(&rig, 1);
	rig.config.max_turns = TURNS;
	rig.config.allow_truncation = true;
	rig.agents[0].window = 120;
	rig.agents[0].max_tokens = 100;
	rig_start(&rig);
	rig_run(&rig);
	struct conductor_state s;
	conductor_state(rig.c, &s);
	assert_string_equal(s.reason, "max_turns_reached");
	assert_int_equal(s.turns, TURNS);
	assert_true(log_count(&rig.log, LE_CONTEXT_TRUNCATION) > 0);
	assert_int_equal(assert_rebuilds(&rig.log), TURNS);
	rig_stop(&rig);
}

/* ---- convergence ------------------------------------------------------------------------------------------------- */

/* Both say the same from turn 2 on, but for turn 4. */
static struct str agrees(const struct conductor_view *view, struct conductor_step step, struct buf *b)
{
	static const char *const apart[] = {"Rivers carve valleys; they are slow, but they never stop. Why?",
					    "12 + 30 = 42\n\n- one\n- two"};
	(void)view;
	bool is_apart = step.turn < 2 || step.turn == 4;
	(void)buf_addf(b, "%s", is_apart ? apart[step.agent] : "Yes, exactly.");
	return buf_str(b);
}

static void start_agreeing(enum convergence_action action)
{
	rig_init(&rig, 2);
	rig.config.max_turns = 6;
	rig.config.threshold = 0.95;
	rig.config.action = action;
	rig.config.profile = STR("balanced");
	rig.script = agrees;
	rig_start(&rig);
}

static void assert_end(const char *reason, int64_t turns)
{
	const struct lab_event *e = log_find(&rig.log, LE_CONVERSATION_END, 0);
	assert_str(lab_str(e, LF(ConversationEndEvent, reason)), reason);
	assert_int_equal(lab_int(e, LF(ConversationEndEvent, total_turns), -1), turns);
	assert_int_equal(log_count(&rig.log, LE_CONVERSATION_END), 1);
}

static void stop_ends_it_with_the_turn_that_reached_the_threshold(void **state)
{
	(void)state;
	start_agreeing(CONVERGED_STOP);
	rig_run(&rig);
	assert_end("high_convergence", 3);
	assert_int_equal(log_count(&rig.log, LE_MESSAGE_COMPLETE), 6);
	const struct lab_event *e = log_find(&rig.log, LE_CONVERGENCE_REACHED, 0);
	assert_int_equal(lab_int(e, LF(ConvergenceReachedEvent, turn_number), -1), 2);
	assert_true(lab_real(e, LF(ConvergenceReachedEvent, convergence_score)) >= 0.95);
	assert_str(lab_str(e, LF(ConvergenceReachedEvent, action)), "stop");
	assert_str(lab_str(e, LF(ConvergenceReachedEvent, profile)), "balanced");
	rig_stop(&rig);
}

static void pause_waits_for_somebody(void **state)
{
	(void)state;
	start_agreeing(CONVERGED_PAUSE);
	rig_run(&rig);
	struct conductor_state s;
	conductor_state(rig.c, &s);
	assert_string_equal(s.status, "paused");
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_PAUSED);
	assert_int_equal(s.turns, 3);
	const struct lab_event *e = log_find(&rig.log, LE_INTERRUPT_REQUEST, 0);
	assert_str(lab_str(e, LF(InterruptRequestEvent, interrupt_source)), "convergence");
	e = log_find(&rig.log, LE_CONVERSATION_PAUSED, 0);
	assert_str(lab_str(e, LF(ConversationPausedEvent, paused_during)), "between_turns");
	conductor_resume(rig.c, rig.now);
	rig_run(&rig);
	/* Turn 3 is still above, turn 4 below, turn 5 above again. */
	conductor_state(rig.c, &s);
	assert_int_equal(s.turns, 6);
	assert_end("max_turns_reached", 6);
	assert_int_equal(log_count(&rig.log, LE_CONVERSATION_PAUSED), 1);
	assert_int_equal(log_count(&rig.log, LE_CONVERGENCE_REACHED), 2);
	rig_stop(&rig);
}

static void the_others_tell_it_once_until_the_score_falls(void **state)
{
	(void)state;
	static const enum convergence_action list[] = {CONVERGED_NOTIFY, CONVERGED_WARN, CONVERGED_CONTINUE};
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		start_agreeing(list[i]);
		rig_run(&rig);
		assert_end("max_turns_reached", 6);
		assert_int_equal(log_count(&rig.log, LE_CONVERGENCE_REACHED), 2);
		const struct lab_event *e = log_find(&rig.log, LE_CONVERGENCE_REACHED, 1);
		assert_int_equal(lab_int(e, LF(ConvergenceReachedEvent, turn_number), -1), 5);
		assert_str(lab_str(e, LF(ConvergenceReachedEvent, action)), convergence_action_name(list[i]));
		rig_stop(&rig);
	}
}

/* The score that is logged is the one that is compared: at the score itself it stops, a hundredth above it doesn't. */
static void the_threshold_is_compared_with_the_logged_score(void **state)
{
	(void)state;
	start_agreeing(CONVERGED_CONTINUE);
	rig_run(&rig);
	double first = lab_real(log_find(&rig.log, LE_TURN_COMPLETE, 0), LF(TurnCompleteEvent, convergence_score));
	assert_true(first > 0 && first < 0.9);
	rig_stop(&rig);
	for (int above = 0; above < 2; above++) {
		start_agreeing(CONVERGED_STOP);
		conductor_free(rig.c);
		rig.config.threshold = first + (above ? 0.01 : 0);
		rig_start(&rig);
		rig_run(&rig);
		if (above) assert_true(log_count(&rig.log, LE_TURN_COMPLETE) > 1);
		else assert_end("high_convergence", 1);
		rig_stop(&rig);
	}
}

static void the_profile_changes_the_score(void **state)
{
	(void)state;
	double scores[PROFILE_COUNT];
	for (int p = 0; p < PROFILE_COUNT; p++) {
		start_agreeing(CONVERGED_CONTINUE);
		conductor_free(rig.c);
		rig.config.weights = convergence_profiles[p].weights;
		rig_start(&rig);
		rig_run(&rig);
		const struct lab_event *e = log_find(&rig.log, LE_TURN_COMPLETE, 0);
		scores[p] = lab_real(e, LF(TurnCompleteEvent, convergence_score));
		struct json_doc *parts;
		assert_int_equal(json_parse(lab_str(e, LF(TurnCompleteEvent, convergence)), &parts, NULL), OK);
		double raw = 0;
		assert_true(json_real(json_get(json_root(parts), "raw"), &raw));
		assert_true(fabs(raw - scores[p]) <= 0.005);
		json_free(parts);
		for (int k = 0; k < p; k++) assert_true(fabs(scores[k] - scores[p]) > 0.001);
		rig_stop(&rig);
	}
}

static void no_threshold_is_never_reached(void **state)
{
	(void)state;
	rig_init(&rig, 2);
	rig.script = agrees;
	rig.config.max_turns = 4;
	rig_start(&rig);
	rig_run(&rig);
	assert_end("max_turns_reached", 4);
	assert_int_equal(log_count(&rig.log, LE_CONVERGENCE_REACHED), 0);
	struct conductor_state s;
	conductor_state(rig.c, &s);
	assert_true(fabs(s.convergence - 1) < 1e-9);
	rig_stop(&rig);
}

static void actions_have_names(void **state)
{
	(void)state;
	for (enum convergence_action a = CONVERGED_STOP; a <= CONVERGED_CONTINUE; a++) {
		enum convergence_action back;
		assert_true(convergence_action_parse(str_c(convergence_action_name(a)), &back));
		assert_int_equal(back, a);
	}
	enum convergence_action none;
	assert_false(convergence_action_parse(STR("explode"), &none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_exactly_is_sent_and_one_token_more_ends_it),
		cmocka_unit_test(with_truncation_the_system_prompt_and_the_newest_stay),
		cmocka_unit_test(another_attempt_does_not_tell_the_same_truncation_again),
		cmocka_unit_test(what_is_too_long_by_itself_ends_it_even_so),
		cmocka_unit_test(who_is_alone_goes_on_from_its_own_words),
		cmocka_unit_test(stop_ends_it_with_the_turn_that_reached_the_threshold),
		cmocka_unit_test(pause_waits_for_somebody),
		cmocka_unit_test(the_others_tell_it_once_until_the_score_falls),
		cmocka_unit_test(the_threshold_is_compared_with_the_logged_score),
		cmocka_unit_test(the_profile_changes_the_score),
		cmocka_unit_test(no_threshold_is_never_reached),
		cmocka_unit_test(actions_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
