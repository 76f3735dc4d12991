/* Displays without a terminal: their text to the letter, and nothing in it that a terminal would obey. */
#include "show_gear.h"

#include "cli/show.h"
#include "event/lab_line.h"

static int make(void **state)
{
	(void)state;
	make_experiment(1);
	setenv("TZ", "UTC", 1);
	setenv("TERM", "xterm", 1);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	free_experiment();
	return 0;
}

static void finish(enum experiment_status experiment, enum lab_status conversation)
{
	manifest.status = experiment;
	manifest.list[0].turns = 1;
	manifest.list[0].convergence = 0.5;
	manifest.total = (struct manifest_tokens){.prompt = 30, .completion = 12};
	manifest_set(&manifest, &manifest.list[0], conversation);
}

/* ---- chat ------------------------------------------------------------------------------------------------------- */

static void chat_is_plain_text_where_there_is_no_terminal(void **state)
{
	(void)state;
	struct lab_event e;
	spec.show_system_prompts = true;
	int fd = file_begin();
	void *show = show_chat.begin(&about);
#define TELL(made) (e = (made), show_chat.event(show, 0, &e))
	e = event_of(LE_SYSTEM_PROMPT);
	SET(SystemPromptEvent, agent_id, lv_str(STR("agent_a")));
	SET(SystemPromptEvent, agent_display_name, lv_str(STR("Ada")));
	SET(SystemPromptEvent, prompt, lv_str(STR("You are one of two.")));
	show_chat.event(show, 0, &e);
	TELL(start_event("Tell me"));
	e = event_of(LE_RATE_LIMIT_PACE);
	SET(RateLimitPaceEvent, provider, lv_str(STR("anthropic")));
	SET(RateLimitPaceEvent, wait_time, lv_real(2.25));
	SET(RateLimitPaceEvent, reason, lv_str(STR("requests")));
	show_chat.event(show, 0, &e);
	TELL(chunk_event("agent_a", STR("**Hel")));
	show_chat.tick(show);
	e = event_of(LE_THINKING_COMPLETE);
	SET(ThinkingCompleteEvent, agent_id, lv_str(STR("agent_a")));
	SET(ThinkingCompleteEvent, thinking_content, lv_str(STR("A greeting\nwill do.")));
	show_chat.event(show, 0, &e);
	TELL(message_event("agent_a", STR("**Hello**\n  there\033[2J")));
	e = event_of(LE_CONTEXT_TRUNCATION);
	SET(ContextTruncationEvent, agent_id, lv_str(STR("agent_b")));
	SET(ContextTruncationEvent, messages_dropped, lv_int(2));
	show_chat.event(show, 0, &e);
	e = event_of(LE_PROMPT_INJECTED);
	SET(PromptInjectedEvent, agent_id, lv_str(STR("agent_b")));
	SET(PromptInjectedEvent, prompt, lv_str(STR("Be\nbrief.")));
	show_chat.event(show, 0, &e);
	e = event_of(LE_API_ERROR);
	SET(APIErrorEvent, agent_id, lv_str(STR("agent_b")));
	SET(APIErrorEvent, error_message, lv_str(STR("overloaded")));
	SET(APIErrorEvent, next_try_ms, lv_int(900));
	show_chat.event(show, 0, &e);
	TELL(message_event("agent_b", STR("")));
	TELL(turn_event(0, 0.5));
	e = event_of(LE_NAME_CHOSEN);
	SET(NameChosenEvent, agent_id, lv_str(STR("agent_b")));
	SET(NameChosenEvent, chosen_name, lv_str(STR("Zed")));
	show_chat.event(show, 0, &e);
	e = event_of(LE_CONVERGENCE_REACHED);
	SET(ConvergenceReachedEvent, convergence_score, lv_real(0.96));
	SET(ConvergenceReachedEvent, threshold, lv_real(0.95));
	SET(ConvergenceReachedEvent, action, lv_str(STR("warn")));
	show_chat.event(show, 0, &e);
	e = event_of(LE_MESSAGE_CUT);
	SET(MessageCutEvent, agent_id, lv_str(STR("agent_b")));
	SET(MessageCutEvent, content, lv_str(STR("I was ab")));
	show_chat.event(show, 0, &e);
	TELL(end_event("failed", "api_error", "the key is wrong"));
	finish(EXPERIMENT_FAILED, LAB_FAILED);
	show_chat.end(show, ERR_PROVIDER, NULL);
	assert_same_text(file_end(fd), "bold-heron · experiment_1a2b3c4d · 1 conversation of 3 turns\n"
				       "what is told to Ada:\n"
				       "You are one of two.\n"
				       "\n"
				       "◆ Ada (local:one) ↔ Bob (local:two)\n"
				       "prompt:\n"
				       "[HUMAN] Tell me\n"
				       "\n"
				       "· waiting 2.2 s for anthropic (requests)\n"
				       "· Ada thought:\n"
				       "  ~ A greeting\n"
				       "  ~ will do.\n"
				       "Ada:\n"
				       "**Hello**\n"
				       "  there[2J\n"
				       "\n"
				       "· 2 old messages are left out: the window of Bob is full\n"
				       "· to Bob alone: Be brief.\n"
				       "· Bob: overloaded; trying again in 0.9 s\n"
				       "Bob:\n"
				       "(nothing)\n"
				       "\n"
				       "┄┄ turn 1 of 3 · convergence 0.50 ┄\n"
				       "· Bob is called Zed from now on\n"
				       "· convergence 0.96 has reached 0.95: warn\n"
				       "Zed:\n"
				       "I was ab\n"
				       "\n"
				       "· Zed was cut here\n"
				       "· failed after 1 turn: a provider failed for good: the key is wrong\n"
				       "\n"
				       "bold-heron: failed, 0 of 1 conversation\n"
				       "1 turn, 42 tokens, convergence 0.50\n"
				       "files: /tmp/out/bold-heron_1a2b3c4d\n"
				       "to go on: roost run --resume experiment_1a2b3c4d\n");
}

static void messages_of_several_conversations_carry_their_numbers(void **state)
{
	(void)state;
	struct lab_event e;
	char id[16] = "conv_00000002";
	(void)manifest_add(&manifest, id);
	spec.max_parallel = 2;
	int fd = file_begin();
	void *show = show_chat.begin(&about);
	TELL(start_event("Tell me"));
	e = start_event("Tell me");
	show_chat.event(show, 1, &e);
	e = message_event("agent_a", STR("from the second"));
	show_chat.event(show, 1, &e);
	TELL(message_event("agent_a", STR("from the first")));
	e = turn_event(0, (double)NAN);
	show_chat.event(show, 1, &e);
	show_chat.end(show, OK, NULL);
	char *text = file_end(fd);
	assert_shown(text, "┄┄ conversation 2 of 2 · conv_00000002 ┄\n");
	assert_shown(text, "\n#2 Ada:\nfrom the second\n");
	assert_shown(text, "\n#1 Ada:\nfrom the first\n");
	assert_shown(text, "┄┄ #2 turn 1 of 3 ┄\n");
	const char *prompt = strstr(text, "[HUMAN] Tell me");
	assert_non_null(prompt);
	assert_null(strstr(prompt + 1, "[HUMAN] Tell me"));
	free(text);
}

static void a_redacted_experiment_is_not_said_to_go_on(void **state)
{
	(void)state;
	manifest.redacted = true;
	int fd = file_begin();
	void *show = show_chat.begin(&about);
	finish(EXPERIMENT_INTERRUPTED, LAB_INTERRUPTED);
	show_chat.end(show, ERR_CANCELLED, NULL);
	char *text = file_end(fd);
	assert_shown(text, "it cannot be continued, since its texts were not kept\n");
	assert_null(strstr(text, "--resume"));
	free(text);
}

/* ---- tail ------------------------------------------------------------------------------------------------------- */

static void tail_is_a_line_for_each_event(void **state)
{
	(void)state;
	struct lab_event e;
	int fd = file_begin();
	void *show = show_tail.begin(&about);
#define TAIL(made) (e = (made), show_tail.event(show, 0, &e))
	TAIL(start_event("Tell\nme \"all\""));
	e = event_of(LE_TURN_START);
	SET(TurnStartEvent, turn_number, lv_int(0));
	show_tail.event(show, 0, &e);
	TAIL(message_event(
		"agent_a",
		STR("A text that is longer than what one line of this display has room for, by far\033[31m")));
	e = event_of(LE_TOKEN_USAGE);
	SET(TokenUsageEvent, agent_id, lv_str(STR("agent_a")));
	SET(TokenUsageEvent, prompt_tokens, lv_int(30));
	SET(TokenUsageEvent, completion_tokens, lv_int(12));
	SET(TokenUsageEvent, current_usage_rate, lv_real(42));
	show_tail.event(show, 0, &e);
	TAIL(turn_event(0, 0.5));
	e = event_of(LE_API_ERROR);
	e.at_us += 86399 * 1000000LL;
	SET(APIErrorEvent, error_type, lv_str(STR("rate_limit")));
	SET(APIErrorEvent, error_message, lv_str(STR("slow down")));
	SET(APIErrorEvent, agent_id, lv_str(STR("agent_b")));
	SET(APIErrorEvent, provider, lv_str(STR("openai")));
	SET(APIErrorEvent, retry_count, lv_int(0));
	SET(APIErrorEvent, next_try_ms, lv_int(1500));
	show_tail.event(show, 0, &e);
	TAIL(end_event("completed", "max_turns_reached", NULL));
	e = event_of(LE_EXPERIMENT_COMPLETE);
	SET(ExperimentCompleteEvent, status, lv_str(STR("completed")));
	SET(ExperimentCompleteEvent, completed_conversations, lv_int(1));
	show_tail.event(show, 0, &e);
	finish(EXPERIMENT_COMPLETED, LAB_COMPLETED);
	show_tail.end(show, OK, NULL);
	assert_same_text(
		file_end(fd),
		"[03:04:05.678] ◆ ConversationStart a \"Ada\" local:one b \"Bob\" local:two turns 3 prompt \"Tell me \"all\"\"\n"
		"[03:04:05.678] ▷ TurnStart turn 1\n"
		"[03:04:05.678] ← MessageComplete agent_a turn 1 tokens 42 took 1.2 s \"A text that is longer than what one line of "
		"this display ha…\"\n"
		"[03:04:05.678] Σ TokenUsage agent_a in 30 out 12 per minute 42\n"
		"[03:04:05.678] ▶ TurnComplete turn 1 convergence 0.50\n"
		"[03:04:04.678] ✗ APIError agent_b openai rate_limit retries 0 again in 1.5 s \"slow down\"\n"
		"[03:04:05.678] ■ ConversationEnd completed max_turns_reached turns 1 took 2.5 s\n"
		"[03:04:05.678] ■ ExperimentComplete completed completed 1\n"
		"bold-heron: completed, 1 of 1 conversation\n"
		"1 turn, 42 tokens, convergence 0.50\n"
		"files: /tmp/out/bold-heron_1a2b3c4d\n");
}

/* A type that is new in the table must get a line, all but the chunks, of which tail gets none. */
static void every_type_of_event_has_its_line(void **state)
{
	(void)state;
	int fd = file_begin();
	void *show = show_tail.begin(&about);
	for (int type = 0; type < LAB_TYPE_COUNT; type++) {
		struct lab_event e = event_of((enum lab_type)type);
		show_tail.event(show, 0, &e);
	}
	finish(EXPERIMENT_COMPLETED, LAB_COMPLETED);
	show_tail.end(show, OK, NULL);
	char *text = file_end(fd), name[64];
	assert_false(show_tail.wants_chunks);
	for (int type = 0; type < LAB_TYPE_COUNT; type++) {
		snprintf(name, sizeof name, "%s", lab_rows[type].name);
		char *behind = strstr(name, "Event");
		if (behind != NULL) *behind = '\0';
		if (type != LE_MESSAGE_CHUNK) assert_shown(text, name);
	}
	free(text);
}

/* ---- the others ------------------------------------------------------------------------------------------------- */

static void json_is_each_event_with_texts_as_the_files_have_them(void **state)
{
	(void)state;
	struct lab_event e = message_event("agent_a", STR("a secret"));
	struct buf want = BUF_INIT(BUF_NO_LIMIT);
	for (enum redaction r = REDACT_NONE; r <= REDACT_DROP; r++) {
		spec.redact = r;
		int fd = file_begin();
		void *show = show_json.begin(&about);
		show_json.event(show, 0, &e);
		char *text = file_end(fd); /* before the end: it was flushed */
		buf_clear(&want);
		lab_line_write(&want, &e, r);
		assert_string_equal(text, want.p);
		assert_int_equal(strstr(text, "a secret") != NULL, r == REDACT_NONE || r == REDACT_MASK);
		free(text);
		show_json.end(show, OK, NULL);
	}
	buf_release(&want);
}

static void quiet_is_one_line_and_what_failed(void **state)
{
	(void)state;
	int fd = file_begin();
	void *show = show_quiet.begin(&about);
	struct lab_event e = message_event("agent_a", STR("unseen"));
	show_quiet.event(show, 0, &e);
	show_quiet.tick(show);
	finish(EXPERIMENT_WITH_FAILURES, LAB_FAILED);
	manifest.list[0].reason = "timeout";
	snprintf(manifest.list[0].error, sizeof manifest.list[0].error, "no answer");
	show_quiet.end(show, ERR_PROVIDER, NULL);
	assert_same_text(file_end(fd), "conv_00000001 failed (timeout): no answer\n"
				       "bold-heron: completed with failures, 0 of 1 conversation; 1 turn, 42 tokens, "
				       "convergence 0.50\n");
}

static void every_display_that_a_spec_may_name_exists(void **state)
{
	(void)state;
	static const char *const names[] = {"chat", "tail", "quiet", "json", "none"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct show_kind *k = show_find(str_c(names[i]));
		assert_non_null(k);
		int fd = file_begin();
		void *show = k->begin(&about);
		k->tick(show);
		k->end(show, OK, NULL);
		char *text = file_end(fd);
		assert_null(strchr(text, '\033'));
		if (strcmp(names[i], "none") == 0) assert_string_equal(text, "");
		free(text);
	}
	assert_null(show_find(STR("loud")));
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

static void reported_and_estimated_cost_are_two_figures(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	static const struct {
		struct manifest_tokens t;
		const char *want;
	} cases[] = {
		{{0}, "0 turns, 0 tokens"},
		{{.prompt = 1, .cost_ticks = 50000000000, .reported_ticks = 50000000000},
		 "0 turns, 1 token, $5.00 (reported)"},
		{{.cost_ticks = 12345678}, "0 turns, 0 tokens, $0.0012 (estimated)"},
		{{.cost_ticks = 30000000, .reported_ticks = 10000000, .unpriced = true},
		 "0 turns, 0 tokens, $0.001 (reported) and $0.002 (estimated) and what has no known price"},
		{{.cost_ticks = 5}, "0 turns, 0 tokens, less than $0.0001 (estimated)"},
		{{.unpriced = true}, "0 turns, 0 tokens"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		manifest.total = cases[i].t;
		manifest.list[0].convergence = (double)NAN;
		buf_clear(&b);
		show_totals(&manifest, &b);
		assert_string_equal(b.p, cases[i].want);
	}
	buf_release(&b);
}

static void the_bar_counts_turns_and_tells_the_time_left(void **state)
{
	(void)state;
	char id[16] = "conv_00000002";
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)manifest_add(&manifest, id);
	struct show_progress since = show_progress(&about);
	assert_int_equal(since.all, 6);
	show_bar(&about, since, 10000, 80, &b);
	assert_string_equal(b.p, "▕░░░░░░░░░░░░░░░░░░░░▏ 0 % · turn 1/6 · conversation 1/2");
	manifest_set(&manifest, &manifest.list[0], LAB_RUNNING);
	manifest.list[0].turns = 2;
	buf_clear(&b);
	show_bar(&about, since, 10000, 80, &b);
	assert_string_equal(b.p, "▕██████░░░░░░░░░░░░░░▏ 33 % · turn 3/6 · conversation 1/2 · ETA 21 s");
	manifest_set(&manifest, &manifest.list[0], LAB_FAILED); /* no turn of it is to come */
	buf_clear(&b);
	show_bar(&about, since, 90000, 40, &b);
	assert_string_equal(b.p, "▕████░░░░▏ 50 % · turn 4/6 · conversation 2/2 · ETA 1 min 30 s");
	manifest_set(&manifest, &manifest.list[1], LAB_COMPLETED);
	buf_clear(&b);
	show_bar(&about, since, 90000, 40, &b);
	assert_string_equal(b.p, "▕████████▏ 100 % · turn 6/6 · conversation 2/2");
	buf_release(&b);
}

int main(void)
{
	term_init();
#define T(f) cmocka_unit_test_setup_teardown(f, make, unmake)
	const struct CMUnitTest tests[] = {
		T(chat_is_plain_text_where_there_is_no_terminal),
		T(messages_of_several_conversations_carry_their_numbers),
		T(a_redacted_experiment_is_not_said_to_go_on),
		T(tail_is_a_line_for_each_event),
		T(every_type_of_event_has_its_line),
		T(json_is_each_event_with_texts_as_the_files_have_them),
		T(quiet_is_one_line_and_what_failed),
		T(every_display_that_a_spec_may_name_exists),
		T(reported_and_estimated_cost_are_two_figures),
		T(the_bar_counts_turns_and_tells_the_time_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
