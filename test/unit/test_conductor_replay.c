/* Going on from a log that ends anywhere. */
#include "talk/conductor.h"
#include "unit/conductor_rig.h"

static struct rig rig, again;

static const struct injection injections[] = {{0, 1, STR_INIT("Be kind.")},
					      {2, -1, STR_INIT("Think of rivers.")},
					      {2, 0, STR_INIT("Now!")},
					      {2, 0, STR_INIT("Really.")}};

static struct str chooses(const struct conductor_view *view, struct conductor_step step, struct buf *b)
{
	if (step.turn < 2) (void)buf_addf(b, "Call me %s. ", step.agent == 0 ? "Zed" : "Max");
	return rig_mirrors(view, step, b);
}

static struct str agrees(const struct conductor_view *view, struct conductor_step step, struct buf *b)
{
	if (step.turn % 2 == 0) return rig_mirrors(view, step, b);
	(void)buf_addf(b, "Yes, exactly.");
	return buf_str(b);
}

/* ---- kinds of conversations -------------------------------------------------------------------------------------- */

static void plain(struct rig *r) { rig_init(r, 2); }

static void rich(struct rig *r)
{
	rig_init(r, 2);
	r->agents[0].system_prompt = STR("You are Ada.");
	r->agents[1].system_prompt = STR("You are Ben.");
	r->config.prompt_tag = STR("[HUMAN]");
	r->config.choose_names = true;
	r->config.injections = injections;
	r->config.ninjections = ARRAY_LEN(injections);
	r->thinking = STR("Let me see.");
	r->script = chooses;
}

static void narrow(struct rig *r)
{
	rig_init(r, 3);
	r->config.max_turns = 4;
	r->config.allow_truncation = true;
	r->agents[2].window = 150;
	r->agents[2].max_tokens = 90;
	r->script = rig_mirrors;
}

static void too_narrow(struct rig *r)
{
	narrow(r);
	r->config.allow_truncation = false;
}

static void agreeing(struct rig *r, enum convergence_action action)
{
	rig_init(r, 2);
	r->config.max_turns = 5;
	r->config.threshold = 0.9;
	r->config.action = action;
	r->script = agrees;
}

static void stops(struct rig *r) { agreeing(r, CONVERGED_STOP); }
static void pauses(struct rig *r) { agreeing(r, CONVERGED_PAUSE); }
static void notifies(struct rig *r) { agreeing(r, CONVERGED_NOTIFY); }

static const struct inherited inherited[] = {
	{-1, 0, STR_INIT("[HUMAN] Talk."), false},
	{0, 0, STR_INIT("Call me Zed."), false},
	{1, 0, STR_INIT("For you alone."), true},
	{1, 0, STR_INIT("Good day, Zed."), false},
};

static void branches(struct rig *r)
{
	rich(r);
	r->config.inherited = inherited;
	r->config.ninherited = ARRAY_LEN(inherited);
	r->config.inherited_turns = 1;
	r->config.source_conversation = STR("conv_00000000");
	r->config.changes_json = STR("{\"seed\":{\"from\":1,\"to\":42}}");
}

static void alone(struct rig *r) { rig_init(r, 1); }
static void crowd(struct rig *r) { rig_init(r, LAB_AGENTS_MAX); }

static const struct kind {
	const char *name;
	void (*init)(struct rig *r);
} kinds[] = {
	{"plain", plain}, {"rich", rich},     {"narrow", narrow},     {"too narrow", too_narrow},
	{"stops", stops}, {"pauses", pauses}, {"notifies", notifies}, {"branches", branches},
	{"alone", alone}, {"crowd", crowd},
};

/* To the end, through pauses. */
static void finish(struct rig *r)
{
	struct conductor_step step;
	while ((step = rig_message(r)).what != CONDUCTOR_ENDED)
		if (step.what == CONDUCTOR_PAUSED) conductor_resume(r->c, r->now);
}

/* Of what may be there a second time: a message that was asked for again, a pause that a restart ended. */
static bool is_repeatable(enum lab_type t)
{
	return t == LE_MESSAGE_REQUEST || t == LE_THINKING_COMPLETE || t == LE_CONVERSATION_RESUMED ||
	       t == LE_INTERRUPT_REQUEST || t == LE_CONVERSATION_PAUSED;
}

static size_t next_of(const struct rig_log *log, size_t i)
{
	while (i < log->n && is_repeatable(log->list[i].type)) i++;
	return i;
}

static void assert_same_events(const struct rig_log *got, const struct rig_log *want)
{
	size_t i = next_of(got, 0), k = next_of(want, 0);
	for (; i < got->n && k < want->n; i = next_of(got, i + 1), k = next_of(want, k + 1)) {
		const struct lab_event *a = &got->list[i], *b = &want->list[k];
		if (a->type != b->type) fail_msg("%s and not %s", lab_rows[a->type].name, lab_rows[b->type].name);
		if (a->type == LE_TURN_COMPLETE)
			assert_true(fabs(lab_real(a, LF(TurnCompleteEvent, convergence_score)) -
					 lab_real(b, LF(TurnCompleteEvent, convergence_score))) < 1e-12 ||
				    isnan(lab_real(a, LF(TurnCompleteEvent, convergence_score))));
		if (a->type == LE_NAME_CHOSEN)
			assert_true(str_eq(lab_str(a, LF(NameChosenEvent, chosen_name)),
					   lab_str(b, LF(NameChosenEvent, chosen_name))));
	}
	assert_int_equal(i, got->n);
	assert_int_equal(k, want->n);
	assert_in_range(log_count(got, LE_MESSAGE_REQUEST), log_count(want, LE_MESSAGE_REQUEST),
			log_count(want, LE_MESSAGE_REQUEST) + 1);
}

static void assert_same_messages(const struct rig *a, const struct rig *b)
{
	struct buf got = BUF_INIT(BUF_NO_LIMIT), want = BUF_INIT(BUF_NO_LIMIT);
	write_messages(a->c, &got);
	write_messages(b->c, &want);
	assert_str(buf_str(&got), want.p);
	buf_release(&got);
	buf_release(&want);
}

static void any_part_of_a_log_goes_on_to_the_same_conversation(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		kinds[k].init(&rig);
		rig_start(&rig);
		finish(&rig);
		assert_true(rig.log.n > 8);
		assert_true(assert_rebuilds(&rig.log) > 2);
		for (size_t n = 0; n <= rig.log.n; n++) {
			kinds[k].init(&again);
			rig_restart(&again, &rig.log, n);
			size_t finished = log_count(&again.log, LE_MESSAGE_COMPLETE);
			finish(&again);
			assert_same_events(&again.log, &rig.log);
			assert_same_messages(&again, &rig);
			/* Nobody was asked again for what was there. */
			assert_true(again.nviews <= log_count(&rig.log, LE_MESSAGE_COMPLETE) - finished + 1);
			(void)assert_rebuilds(&again.log);
			rig_stop(&again);
		}
		rig_stop(&rig);
	}
}

static void what_was_completed_stays_so(void **state)
{
	(void)state;
	rich(&rig);
	rig_start(&rig);
	finish(&rig);
	rich(&again);
	rig_restart(&again, &rig.log, rig.log.n);
	struct conductor_state s;
	conductor_state(again.c, &s);
	assert_string_equal(s.status, "completed");
	assert_string_equal(s.reason, "max_turns_reached");
	assert_int_equal(s.turns, 3);
	assert_int_equal(rig_next(&again).what, CONDUCTOR_ENDED);
	conductor_stop(again.c, "user", again.now);
	conductor_failed(again.c, "api_error", STR("x"), again.now);
	assert_int_equal(again.log.n, rig.log.n);
	assert_str(conductor_name(again.c, 0), "Zed");
	assert_false(conductor_replay(again.c, log_find(&rig.log, LE_TURN_START, 0)));
	rig_stop(&again);
	rig_stop(&rig);
}

static void the_state_tells_how_the_last_run_ended(void **state)
{
	(void)state;
	struct conductor_state s;
	plain(&rig);
	rig_start(&rig);
	conductor_state(rig.c, &s);
	assert_string_equal(s.status, "created");
	(void)rig_message(&rig);
	conductor_state(rig.c, &s);
	assert_string_equal(s.status, "running");
	plain(&again);
	rig_restart(&again, &rig.log, rig.log.n);
	conductor_state(again.c, &s);
	assert_string_equal(s.status, "interrupted");
	assert_null(s.reason);
	rig_stop(&again);
	conductor_failed(rig.c, "timeout", STR("no answer"), rig.now);
	plain(&again);
	rig_restart(&again, &rig.log, rig.log.n);
	conductor_state(again.c, &s);
	assert_string_equal(s.status, "failed");
	assert_string_equal(s.reason, "timeout");
	assert_str(s.error, "no answer");
	(void)rig_next(&again);
	conductor_state(again.c, &s);
	assert_string_equal(s.status, "running");
	assert_null(s.reason);
	const struct lab_event *e = log_find(&again.log, LE_CONVERSATION_RESUMED, 0);
	assert_str(lab_str(e, LF(ConversationResumedEvent, after)), "restart");
	rig_stop(&again);
	rig_stop(&rig);
}

/* ---- what does not fit ------------------------------------------------------------------------------------------- */

/* Each event of a log at each place of it: where it does not belong it is refused, and nothing has changed. */
static void an_event_at_the_wrong_place_is_refused_and_changes_nothing(void **state)
{
	(void)state;
	size_t refused = 0;
	rich(&rig);
	rig_start(&rig);
	finish(&rig);
	for (size_t n = 0; n <= rig.log.n; n++) {
		for (size_t i = 0; i < rig.log.n; i++) {
			rich(&again);
			rig_restart(&again, &rig.log, n);
			if (!conductor_replay(again.c, &rig.log.list[i])) {
				refused++;
				finish(&again);
				assert_same_events(&again.log, &rig.log);
				assert_same_messages(&again, &rig);
			}
			rig_stop(&again);
		}
	}
	assert_true(refused > rig.log.n * rig.log.n / 4);
	rig_stop(&rig);
}

static void refuse(struct lab_event e) { assert_false(conductor_replay(again.c, &e)); }

static void events_of_others_and_half_ones_are_refused(void **state)
{
	(void)state;
	rich(&rig);
	rig_start(&rig);
	finish(&rig);
	const struct lab_event *message = log_find(&rig.log, LE_MESSAGE_COMPLETE, 0);
	size_t n = (size_t)(message - rig.log.list);
	rich(&again);
	rig_restart(&again, &rig.log, n);
	struct lab_event e = *message;
	e.v[0] = lv_str(STR("conv_other"));
	refuse(e);
	e = *message;
	e.v[LF(MessageCompleteEvent, message)] = (struct lab_value){.is = LV_ABSENT};
	refuse(e);
	e = *message;
	e.v[LF(MessageCompleteEvent, agent_id)] = lv_str(STR("agent_b"));
	refuse(e);
	e.v[LF(MessageCompleteEvent, agent_id)] = lv_str(STR("agent_h"));
	refuse(e);
	e.v[LF(MessageCompleteEvent, agent_id)] = lv_str(STR("human"));
	refuse(e);
	e = *message;
	e.v[LF(MessageCompleteEvent, turn_number)] = lv_int(1);
	refuse(e);
	struct lab_message redacted = {.role = STR("assistant"), .agent_id = STR("agent_a")};
	e = *message;
	e.v[LF(MessageCompleteEvent, message)] = lv_message(&redacted);
	refuse(e);
	/* Files of Pidgin do not say the turn here. */
	e = *message;
	e.v[LF(MessageCompleteEvent, turn_number)] = (struct lab_value){.is = LV_ABSENT};
	assert_true(conductor_replay(again.c, &e));
	rig_stop(&again);
	rig_stop(&rig);
}

static void a_name_is_chosen_once(void **state)
{
	(void)state;
	rich(&rig);
	rig_start(&rig);
	finish(&rig);
	const struct lab_event *name = log_find(&rig.log, LE_NAME_CHOSEN, 0);
	rich(&again);
	rig_restart(&again, &rig.log, (size_t)(name - rig.log.list) + 1);
	refuse(*name);
	rig_stop(&again);
	rig_stop(&rig);
}

static void a_branch_refuses_what_it_did_not_inherit(void **state)
{
	(void)state;
	branches(&rig);
	rig_start(&rig);
	finish(&rig);
	const struct lab_event *first = log_find(&rig.log, LE_INITIAL_MESSAGE, 0);
	struct lab_message other = {.role = STR("user"), .content = STR("[HUMAN] Stop."), .agent_id = STR("human")};
	branches(&again);
	rig_restart(&again, &rig.log, (size_t)(first - rig.log.list));
	struct lab_event e = *first;
	e.v[LF(InitialMessageEvent, message)] = lv_message(&other);
	refuse(e);
	assert_true(conductor_replay(again.c, first));
	refuse(*log_find(&rig.log, LE_TURN_START, 0)); /* there are more to come */
	rig_stop(&again);
	rig_stop(&rig);
}

static void an_end_that_something_follows_is_none(void **state)
{
	(void)state;
	struct conductor_state s;
	plain(&rig);
	rig_start(&rig);
	(void)rig_message(&rig);
	conductor_stop(rig.c, "user", rig.now);
	plain(&again);
	rig_restart(&again, &rig.log, rig.log.n);
	(void)rig_message(&again);
	(void)rig_next(&again);
	static struct rig_log log;
	log = again.log;
	conductor_free(again.c);
	memset(&again.log, 0, sizeof again.log);
	rig_restart(&again, &log, log.n);
	conductor_state(again.c, &s);
	assert_null(s.reason);
	assert_string_equal(s.status, "interrupted");
	assert_int_equal(s.messages, 2);
	rig_log_release(&log);
	rig_stop(&again);
	rig_stop(&rig);
}

/* ---- branches ---------------------------------------------------------------------------------------------------- */

/* A branch of a log's first turns, made with nothing but that log. */
static size_t inherit(const struct conductor *c, int64_t turns, struct inherited *list, size_t cap)
{
	size_t n = 0;
	for (size_t i = 0; i < conductor_messages(c); i++) {
		struct inherited m = conductor_message(c, i);
		if (m.turn >= turns && m.agent >= 0) continue;
		assert_in_range(n, 0, cap - 1);
		list[n++] = m;
	}
	return n;
}

static void a_branch_asks_first_with_what_its_source_asked_there(void **state)
{
	(void)state;
	struct inherited list[32];
	struct rebuild *source = rebuild_new();
	rich(&rig);
	rig_start(&rig);
	finish(&rig);
	for (size_t i = 0; i < rig.log.n; i++) assert_int_equal(rebuild_event(source, &rig.log.list[i], NULL), OK);
	for (int64_t turns = 1; turns < 3; turns++) {
		rich(&again);
		again.config.inherited = list;
		again.config.ninherited = inherit(rebuild_conductor(source), turns, list, ARRAY_LEN(list));
		again.config.inherited_turns = turns;
		again.config.source_conversation = STR("conv_00000001");
		rig_start(&again);
		struct conductor_state s;
		conductor_state(again.c, &s);
		const struct lab_event *last = log_find(&rig.log, LE_TURN_COMPLETE, (size_t)turns - 1);
		assert_true(fabs(s.convergence - lab_real(last, LF(TurnCompleteEvent, convergence_score))) < 1e-12);
		finish(&again);
		/* Same agents and same rules: it becomes the same conversation, and so has the same views. */
		assert_same_messages(&again, &rig);
		const struct lab_event *a = log_find(&again.log, LE_MESSAGE_REQUEST, 0);
		const struct lab_event *b = log_find(&rig.log, LE_MESSAGE_REQUEST, (size_t)turns * 2);
		assert_true(str_eq(lab_str(a, LF(MessageRequestEvent, history_sha256)),
				   lab_str(b, LF(MessageRequestEvent, history_sha256))));
		assert_int_equal(lab_int(a, LF(MessageRequestEvent, turn_number), -1), turns);
		assert_int_equal(log_count(&again.log, LE_INITIAL_MESSAGE), again.config.ninherited);
		assert_str(conductor_name(again.c, 0), "Zed");
		const struct lab_event *end = log_find(&again.log, LE_CONVERSATION_END, 0);
		assert_int_equal(lab_int(end, LF(ConversationEndEvent, total_turns), -1), 3);
		double score =
			lab_real(log_find(&again.log, LE_TURN_COMPLETE, 0), LF(TurnCompleteEvent, convergence_score));
		double was = lab_real(log_find(&rig.log, LE_TURN_COMPLETE, (size_t)turns),
				      LF(TurnCompleteEvent, convergence_score));
		assert_true(fabs(score - was) < 1e-12);
		assert_true(assert_rebuilds(&again.log) > 0);
		rig_stop(&again);
	}
	rebuild_free(source);
	rig_stop(&rig);
}

static void a_request_that_was_made_of_other_messages_is_noticed(void **state)
{
	(void)state;
	struct errinfo info = {0};
	struct conductor_view view;
	plain(&rig);
	rig_start(&rig);
	finish(&rig);
	struct rebuild *b = rebuild_new();
	bool is_wrong = false;
	for (size_t i = 0; i < rig.log.n; i++) {
		struct lab_event e = rig.log.list[i];
		struct lab_message other = {.role = STR("assistant"), .content = STR("a9"), .agent_id = STR("agent_a")};
		if (e.type == LE_MESSAGE_COMPLETE && !is_wrong)
			e.v[LF(MessageCompleteEvent, message)] = lv_message(&other);
		is_wrong |= e.type == LE_MESSAGE_COMPLETE;
		assert_int_equal(rebuild_event(b, &e, &info), OK);
		if (e.type == LE_MESSAGE_REQUEST)
			assert_int_equal(rebuild_request(b, &e, &rig.memory, &view, &info),
					 is_wrong ? ERR_CORRUPT : OK);
	}
	rebuild_free(b);
	rig_stop(&rig);
}

/* No tag, no turn in a message, no hashes and seeds, a nested turn, naive times: what Pidgin writes. */
static void a_log_of_pidgin_is_a_conversation(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"{\"conversation_id\":\"conv_1\",\"agent_id\":\"agent_a\",\"prompt\":\"You are A.\",\"agent_display_name\":\"Claude\",\"event_type\":\"SystemPromptEvent\"}",
		"{\"conversation_id\":\"conv_1\",\"agent_a\":{\"id\":\"agent_a\",\"model\":\"claude\"},\"agent_b\":{\"id\":\"agent_b\",\"model\":\"gpt\"},\"max_turns\":1,\"initial_prompt\":\"Talk.\",\"event_type\":\"ConversationStartEvent\"}",
		"{\"conversation_id\":\"conv_1\",\"turn_number\":0,\"event_type\":\"TurnStartEvent\"}",
		"{\"conversation_id\":\"conv_1\",\"agent_id\":\"agent_a\",\"turn_number\":0,\"conversation_history\":[],\"event_type\":\"MessageRequestEvent\"}",
		"{\"conversation_id\":\"conv_1\",\"agent_id\":\"agent_a\",\"message\":{\"role\":\"user\",\"content\":\"Hello.\",\"agent_id\":\"agent_a\",\"timestamp\":\"2026-01-02T03:04:05.678901\"},\"prompt_tokens\":3,\"event_type\":\"MessageCompleteEvent\"}",
		"{\"conversation_id\":\"conv_1\",\"agent_id\":\"agent_b\",\"turn_number\":0,\"conversation_history\":[],\"event_type\":\"MessageRequestEvent\"}",
		"{\"conversation_id\":\"conv_1\",\"agent_id\":\"agent_b\",\"message\":{\"role\":\"user\",\"content\":\"Good day.\",\"agent_id\":\"agent_b\",\"timestamp\":\"2026-01-02T03:04:06\"},\"event_type\":\"MessageCompleteEvent\"}",
		"{\"conversation_id\":\"conv_1\",\"turn_number\":0,\"turn\":{\"agent_a_message\":{\"content\":\"Hello.\"},\"agent_b_message\":{\"content\":\"Good day.\"}},\"convergence_score\":0.5,\"event_type\":\"TurnCompleteEvent\"}",
		"{\"conversation_id\":\"conv_1\",\"total_turns\":2,\"status\":\"completed\",\"reason\":\"max_turns_reached\",\"event_type\":\"ConversationEndEvent\"}",
	};
	struct rebuild *b = rebuild_new();
	struct arena memory = {0};
	struct lab_event e;
	struct conductor_view view;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_int_equal(lab_line_read(&memory, str_c(lines[i]), &e, NULL), OK);
		assert_int_equal(rebuild_event(b, &e, NULL), OK);
		if (e.type == LE_MESSAGE_REQUEST) assert_int_equal(rebuild_request(b, &e, &memory, &view, NULL), OK);
	}
	assert_view(&view, "user Talk.\nuser Hello.\n");
	struct buf words = BUF_INIT(BUF_NO_LIMIT);
	struct conductor_state s;
	write_messages(rebuild_conductor(b), &words);
	assert_str(buf_str(&words), "- Talk.\na0 Hello.\nb0 Good day.\n");
	conductor_state(rebuild_conductor(b), &s);
	assert_int_equal(s.turns, 1);
	assert_string_equal(s.status, "completed");
	buf_release(&words);
	arena_clear(&memory);
	rebuild_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_part_of_a_log_goes_on_to_the_same_conversation),
		cmocka_unit_test(what_was_completed_stays_so),
		cmocka_unit_test(the_state_tells_how_the_last_run_ended),
		cmocka_unit_test(an_event_at_the_wrong_place_is_refused_and_changes_nothing),
		cmocka_unit_test(events_of_others_and_half_ones_are_refused),
		cmocka_unit_test(a_name_is_chosen_once),
		cmocka_unit_test(a_branch_refuses_what_it_did_not_inherit),
		cmocka_unit_test(an_end_that_something_follows_is_none),
		cmocka_unit_test(a_branch_asks_first_with_what_its_source_asked_there),
		cmocka_unit_test(a_log_of_pidgin_is_a_conversation),
		cmocka_unit_test(a_request_that_was_made_of_other_messages_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
