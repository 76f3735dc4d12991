/* Every verb at every moment of a conversation: nothing that was said is lost, there is one end, and what is left in the
 * log goes on to the same conversation as if nobody had said a word. */
#include "talk/conductor.h"
#include "unit/conductor_rig.h"

#define TURNS 3

static struct rig rig, again;

static const struct injection injections[] = {{1, 0, STR_INIT("Think again.")}, {2, -1, STR_INIT("Come to an end.")}};

static void init(struct rig *r)
{
	rig_init(r, 2);
	r->script = rig_mirrors;
	r->agents[0].system_prompt = STR("You are Ada.");
	r->config.max_turns = TURNS;
	r->config.injections = injections;
	r->config.ninjections = ARRAY_LEN(injections);
}

/* ---- moments ----------------------------------------------------------------------------------------------------- */

struct moment {
	const char *name;
	int messages;                                   /* that were said before */
	enum { NOTHING, CALLED, ASKED, ANSWERED } last; /* what happened behind them */
	bool is_paused, is_pausing, is_stopping;
	bool is_restored; /* killed then, and replayed */
};

static const struct moment moments[] = {
	{"new", 0, NOTHING, false, false, false, false},
	{"the first agent is to be called", 0, CALLED, false, false, false, false},
	{"the first agent is asked", 0, ASKED, false, false, false, false},
	{"the first has answered", 1, NOTHING, false, false, false, false},
	{"the second is to be called", 1, CALLED, false, false, false, false},
	{"the second is asked", 1, ASKED, false, false, false, false},
	{"between turns", 2, NOTHING, false, false, false, false},
	{"an injected prompt was given", 2, CALLED, false, false, false, false},
	{"the last agent is asked", 2 * TURNS - 1, ASKED, false, false, false, false},
	{"all is said", 2 * TURNS, NOTHING, false, false, false, false},
	{"paused before the start", 0, NOTHING, true, false, false, false},
	{"paused between turns", 2, NOTHING, true, false, false, false},
	{"paused within a turn", 3, CALLED, true, false, false, false},
	{"a pause is wished for", 3, ASKED, false, true, false, false},
	{"a pause is wished for with the last message", 2 * TURNS - 1, ASKED, false, true, false, false},
	{"a stop is wished for", 2, ASKED, false, false, true, false},
	{"a stop is wished for with the last message", 2 * TURNS - 1, ASKED, false, false, true, false},
	{"stopped", 3, CALLED, false, false, true, false},
	{"killed before the start", 0, NOTHING, false, false, false, true},
	{"killed between turns", 2, NOTHING, false, false, false, true},
	{"killed with a call out", 3, ASKED, false, false, false, true},
	{"killed in a pause", 3, CALLED, true, false, false, true},
	{"killed behind a stop", 3, CALLED, false, false, true, true},
	{"killed behind the end", 2 * TURNS, NOTHING, false, false, false, true},
};

static void reach(const struct moment *m)
{
	struct conductor_view view;
	init(&rig);
	rig_start(&rig);
	for (int i = 0; i < m->messages; i++) (void)rig_message(&rig);
	if (m->last >= CALLED) (void)rig_next(&rig);
	if (m->last >= ASKED) assert_true(rig_ask(&rig, &view));
	if (m->is_paused || m->is_pausing) conductor_pause(rig.c, rig.now);
	if (m->is_paused) assert_int_equal(rig_next(&rig).what, CONDUCTOR_PAUSED);
	if (m->is_stopping) conductor_stop(rig.c, "user", rig.now);
	if (!m->is_restored) return;
	static struct rig_log old;
	old = rig.log;
	conductor_free(rig.c);
	memset(&rig.log, 0, sizeof rig.log);
	rig_restart(&rig, &old, old.n);
	rig_log_release(&old);
}

/* ---- verbs ------------------------------------------------------------------------------------------------------- */

static void stay(void) {}
static void stop(void) { conductor_stop(rig.c, "user", rig.now); }
static void cut(void) { conductor_cut(rig.c, STR("half a mess"), rig.now); }
static void stop_and_cut(void)
{
	stop();
	cut();
}
static void pause_it(void) { conductor_pause(rig.c, rig.now); }
static void resume(void) { conductor_resume(rig.c, rig.now); }
static void failed(void) { conductor_failed(rig.c, "api_error", STR("the provider is gone"), rig.now); }
static void full(void) { conductor_failed(rig.c, "context_limit_reached", STR("too many tokens"), rig.now); }

static const struct verb {
	const char *name;
	void (*run)(void);
	bool ends; /* whatever the moment */
} verbs[] = {
	{"nothing", stay, false},          {"stop", stop, true},       {"cut", cut, true},
	{"stop, cut", stop_and_cut, true}, {"pause", pause_it, false}, {"resume", resume, false},
	{"failed", failed, true},          {"full", full, true},
};

/* ---- what must hold ---------------------------------------------------------------------------------------------- */

/* Answers what is out, resumes what is paused, to the end. */
static void finish(struct rig *r)
{
	struct conductor_step step;
	struct conductor_view view;
	struct arena memory = {0};
	while ((step = rig_next(r)).what != CONDUCTOR_ENDED) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		if (step.what == CONDUCTOR_PAUSED) conductor_resume(r->c, r->now);
		if (step.what == CONDUCTOR_CALL) assert_true(rig_ask(r, &view));
		if (step.what == CONDUCTOR_BUSY) {
			assert_int_equal(conductor_view(r->c, &memory, r->now, &view), OK);
			rig_reply(r, r->script(&view, step, &b));
		}
		buf_release(&b);
	}
	arena_clear(&memory);
}

/* The log and the conductor tell of the same messages, each once. */
static void assert_consistent(const struct rig *r)
{
	size_t told = log_count(&r->log, LE_MESSAGE_COMPLETE), i = 0;
	struct conductor_state s;
	conductor_state(r->c, &s);
	assert_int_equal(told, s.messages);
	for (size_t k = 0; k < conductor_messages(r->c); k++) {
		struct inherited m = conductor_message(r->c, k);
		if (m.agent < 0 || m.is_injected) continue;
		const struct lab_event *e = log_find(&r->log, LE_MESSAGE_COMPLETE, i++);
		assert_true(str_eq(lab_message(e, LF(MessageCompleteEvent, message))->content, m.text));
		assert_int_equal(lab_int(e, LF(MessageCompleteEvent, turn_number), -1), m.turn);
	}
	assert_int_equal(i, told);
	assert_int_equal(s.turns, log_count(&r->log, LE_TURN_COMPLETE));
	assert_int_equal(log_count(&r->log, LE_TOKEN_USAGE), told);
	assert_int_equal(log_count(&r->log, LE_CONVERSATION_START), 1);
	size_t pauses = log_count(&r->log, LE_CONVERSATION_PAUSED), resumed = 0;
	for (size_t k = 0; k < r->log.n; k++)
		resumed += r->log.list[k].type == LE_CONVERSATION_RESUMED &&
			   str_eq(lab_str(&r->log.list[k], LF(ConversationResumedEvent, after)), STR("pause"));
	assert_true(resumed <= pauses);
}

static void assert_transcript(struct rig *r, const struct buf *want)
{
	struct buf got = BUF_INIT(BUF_NO_LIMIT);
	write_messages(r->c, &got);
	assert_str(buf_str(&got), want->p);
	buf_release(&got);
}

static void try(const struct moment *m, const struct verb *verb, const struct buf *want)
{
	struct conductor_state s;
	reach(m);
	size_t ends = log_count(&rig.log, LE_CONVERSATION_END);
	struct conductor_state before;
	conductor_state(rig.c, &before);
	bool was_out = m->last == ASKED && !m->is_restored;
	verb->run();
	conductor_state(rig.c, &s);
	bool waits = was_out && verb->run == stop;
	if (verb->ends && !waits) assert_non_null(s.reason);
	finish(&rig);
	conductor_state(rig.c, &s);
	assert_consistent(&rig);
	/* One end more, but for what had ended for good. */
	bool was_over = before.reason != NULL && (str_eq(str_c(before.status), STR("completed")) || !m->is_restored ||
						  (verb->ends && verb->run != failed && verb->run != full));
	assert_int_equal(log_count(&rig.log, LE_CONVERSATION_END), ends + !was_over);
	assert_int_equal(rig.log.list[rig.log.n - 1].type, LE_CONVERSATION_END);
	assert_str(lab_str(&rig.log.list[rig.log.n - 1], LF(ConversationEndEvent, status)), s.status);
	assert_int_equal(log_count(&rig.log, LE_MESSAGE_CUT),
			 was_out && (verb->run == cut || verb->run == stop_and_cut));
	(void)assert_rebuilds(&rig.log);
	/* And from what is left it goes on to the same words. */
	init(&again);
	rig_restart(&again, &rig.log, rig.log.n);
	conductor_state(again.c, &s);
	bool is_final = str_eq(str_c(s.status), STR("completed"));
	finish(&again);
	assert_consistent(&again);
	if (!is_final || s.turns == TURNS) assert_transcript(&again, want);
	if (is_final) assert_int_equal(again.log.n, rig.log.n);
	rig_stop(&again);
	rig_stop(&rig);
}

static void every_verb_at_every_moment(void **state)
{
	(void)state;
	struct buf want = BUF_INIT(BUF_NO_LIMIT);
	init(&rig);
	rig_start(&rig);
	rig_run(&rig);
	write_messages(rig.c, &want);
	rig_stop(&rig);
	for (size_t i = 0; i < ARRAY_LEN(moments); i++) {
		for (size_t k = 0; k < ARRAY_LEN(verbs); k++) {
			try(&moments[i], &verbs[k], &want);
		}
	}
	buf_release(&want);
}

/* ---- some of them in full ---------------------------------------------------------------------------------------- */

static void ask_first(void)
{
	struct conductor_view view;
	init(&rig);
	rig_start(&rig);
	(void)rig_next(&rig);
	assert_true(rig_ask(&rig, &view));
}

static void assert_tail(const enum lab_type *want, size_t n)
{
	assert_true(rig.log.n >= n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(lab_rows[rig.log.list[rig.log.n - n + i].type].name, lab_rows[want[i]].name);
}

static void a_stop_keeps_the_message_in_flight(void **state)
{
	(void)state;
	static const enum lab_type want[] = {LE_MESSAGE_REQUEST, LE_INTERRUPT_REQUEST, LE_MESSAGE_COMPLETE,
					     LE_TOKEN_USAGE, LE_CONVERSATION_END};
	struct conductor_state s;
	ask_first();
	conductor_stop(rig.c, "user", rig.now);
	conductor_stop(rig.c, "user", rig.now);
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_BUSY);
	rig_reply(&rig, STR("Just in time."));
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_ENDED);
	assert_tail(want, ARRAY_LEN(want));
	conductor_state(rig.c, &s);
	assert_string_equal(s.status, "interrupted");
	assert_int_equal(s.messages, 1);
	assert_int_equal(s.turns, 0);
	rig_stop(&rig);
}

static void a_cut_keeps_what_had_come_but_not_as_a_message(void **state)
{
	(void)state;
	static const enum lab_type want[] = {LE_MESSAGE_CUT, LE_INTERRUPT_REQUEST, LE_CONVERSATION_END};
	struct conductor_state s;
	ask_first();
	conductor_cut(rig.c, STR("Half a"), rig.now);
	assert_tail(want, ARRAY_LEN(want));
	const struct lab_event *e = log_find(&rig.log, LE_MESSAGE_CUT, 0);
	assert_str(lab_str(e, LF(MessageCutEvent, content)), "Half a");
	assert_int_equal(lab_int(e, LF(MessageCutEvent, partial_bytes), -1), 6);
	conductor_state(rig.c, &s);
	assert_int_equal(s.messages, 0);
	rig_stop(&rig);
}

static void a_failure_is_an_end_and_never_a_message(void **state)
{
	(void)state;
	struct conductor_state s;
	ask_first();
	conductor_failed(rig.c, "api_error", STR("the key is wrong"), rig.now);
	conductor_state(rig.c, &s);
	assert_string_equal(s.status, "failed");
	assert_string_equal(s.reason, "api_error");
	assert_str(s.error, "the key is wrong");
	assert_int_equal(log_count(&rig.log, LE_MESSAGE_COMPLETE), 0);
	assert_int_equal(conductor_messages(rig.c), 1);
	const struct lab_event *e = log_find(&rig.log, LE_CONVERSATION_END, 0);
	assert_str(lab_str(e, LF(ConversationEndEvent, status)), "failed");
	assert_str(lab_str(e, LF(ConversationEndEvent, error)), "the key is wrong");
	rig_stop(&rig);
}

static void a_failure_behind_a_stop_is_no_failure_of_the_conversation(void **state)
{
	(void)state;
	struct conductor_state s;
	ask_first();
	conductor_stop(rig.c, "user", rig.now);
	conductor_failed(rig.c, "timeout", STR("no answer"), rig.now);
	conductor_state(rig.c, &s);
	assert_string_equal(s.status, "interrupted");
	assert_string_equal(s.reason, "interrupted");
	assert_str(s.error, "no answer");
	rig_stop(&rig);
}

static void a_pause_that_is_taken_back_in_time_has_never_been(void **state)
{
	(void)state;
	ask_first();
	conductor_pause(rig.c, rig.now);
	conductor_resume(rig.c, rig.now);
	rig_reply(&rig, STR("Hm."));
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_CALL);
	assert_int_equal(log_count(&rig.log, LE_INTERRUPT_REQUEST), 0);
	assert_int_equal(log_count(&rig.log, LE_CONVERSATION_PAUSED), 0);
	assert_int_equal(log_count(&rig.log, LE_CONVERSATION_RESUMED), 0);
	rig_stop(&rig);
}

static void a_pause_begins_behind_the_message_in_flight(void **state)
{
	(void)state;
	static const enum lab_type want[] = {LE_TOKEN_USAGE, LE_INTERRUPT_REQUEST, LE_CONVERSATION_PAUSED,
					     LE_CONVERSATION_RESUMED, LE_MESSAGE_REQUEST};
	struct conductor_view view;
	ask_first();
	conductor_pause(rig.c, rig.now);
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_BUSY);
	rig_reply(&rig, STR("Hm."));
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_PAUSED);
	const struct lab_event *e = log_find(&rig.log, LE_CONVERSATION_PAUSED, 0);
	assert_str(lab_str(e, LF(ConversationPausedEvent, paused_during)), "waiting_for_agent_b");
	conductor_resume(rig.c, rig.now);
	assert_int_equal(rig_next(&rig).what, CONDUCTOR_CALL);
	assert_true(rig_ask(&rig, &view));
	assert_tail(want, ARRAY_LEN(want));
	rig_stop(&rig);
}

static void every_reason_says_what_it_makes_of_the_conversation(void **state)
{
	(void)state;
	for (const struct conductor_reason *r = conductor_reasons; r->name != NULL; r++) {
		assert_ptr_equal(conductor_reason_find(str_c(r->name)), r);
		struct str status = str_c(r->status);
		assert_true(str_eq(status, STR("completed")) || str_eq(status, STR("failed")) ||
			    str_eq(status, STR("interrupted")));
	}
	assert_null(conductor_reason_find(STR("boredom")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verb_at_every_moment),
		cmocka_unit_test(a_stop_keeps_the_message_in_flight),
		cmocka_unit_test(a_cut_keeps_what_had_come_but_not_as_a_message),
		cmocka_unit_test(a_failure_is_an_end_and_never_a_message),
		cmocka_unit_test(a_failure_behind_a_stop_is_no_failure_of_the_conversation),
		cmocka_unit_test(a_pause_that_is_taken_back_in_time_has_never_been),
		cmocka_unit_test(a_pause_begins_behind_the_message_in_flight),
		cmocka_unit_test(every_reason_says_what_it_makes_of_the_conversation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
