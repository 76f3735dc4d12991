/* The automatic run on a device: what an answer's text says (golden texts), and what the engine does about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/buf.h"
#include "client/auto.h"
#include "record/run.h"

/* ---- golden texts ----------------------------------------------------------------------------------------------- */

static const struct golden {
	const char *text;
	enum intent intent;
	enum completion completion;
	const char *showstopper;
} goldens[] = {
	{"The task is complete. All requirements are met.", INTENT_COMPLETION, COMPLETION_STRONG, ""},
	{"All tasks completed!", INTENT_COMPLETION, COMPLETION_STRONG, ""},
	{"Everything is done, and nothing is left.", INTENT_COMPLETION, COMPLETION_STRONG, ""},
	{"The migration was successfully completed.", INTENT_COMPLETION, COMPLETION_STRONG, ""},
	{"There is nothing left to do.", INTENT_COMPLETION, COMPLETION_STRONG, ""},
	{"Task\ncompleted", INTENT_COMPLETION, COMPLETION_STRONG, ""},
	{"TASK COMPLETE", INTENT_COMPLETION, COMPLETION_STRONG, ""},
	{"I have implemented the parser.", INTENT_COMPLETION, COMPLETION_MODERATE, ""},
	{"The bug is fixed and all tests pass.", INTENT_COMPLETION, COMPLETION_MODERATE, ""},
	{"The branch is ready for review.", INTENT_COMPLETION, COMPLETION_MODERATE, ""},
	{"That should work.", INTENT_COMPLETION, COMPLETION_WEAK, ""},
	{"I updated the file.", INTENT_COMPLETION, COMPLETION_WEAK, ""},
	/* spoken of, denied, or of a part only */
	{"I will tell you when the task is complete.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"The work is not done.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"It isn\xe2\x80\x99t finished.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"The feature is almost finished.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"The build failed to be completed.", INTENT_ERROR, COMPLETION_NONE, ""},
	{"I finished the first module and I am working on the second.", INTENT_PROGRESS, COMPLETION_NONE, ""},
	{"Task 1 is finished. Next I will write the tests; this is in progress.", INTENT_PROGRESS, COMPLETION_NONE, ""},
	{"Unfinished: the incompleted undone things.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	/* errors */
	{"There was an error: the file was not found.", INTENT_ERROR, COMPLETION_NONE, ""},
	{"The script crashed with a traceback.", INTENT_ERROR, COMPLETION_NONE, ""},
	{"The test failed.", INTENT_ERROR, COMPLETION_NONE, ""},
	{"The connection timed out.", INTENT_ERROR, COMPLETION_NONE, ""},
	{"There are no errors.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"It ran without any error.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	/* questions */
	{"Could you clarify what the second column means?", INTENT_CLARIFICATION, COMPLETION_NONE, ""},
	{"Which one do you want?", INTENT_CLARIFICATION, COMPLETION_NONE, ""},
	{"Should I use tabs or spaces?", INTENT_CLARIFICATION, COMPLETION_NONE, ""},
	{"I need more information about the target.", INTENT_CLARIFICATION, COMPLETION_NONE, ""},
	/* waiting */
	{"I am waiting for your decision.", INTENT_WAITING, COMPLETION_NONE, ""},
	{"Standing by.", INTENT_WAITING, COMPLETION_NONE, ""},
	{"Ready when you are.", INTENT_WAITING, COMPLETION_NONE, ""},
	/* progress */
	{"I am still working on the importer.", INTENT_PROGRESS, COMPLETION_NONE, ""},
	{"Now let me look at the second file.", INTENT_PROGRESS, COMPLETION_NONE, ""},
	{"Making progress: step two of five.", INTENT_PROGRESS, COMPLETION_NONE, ""},
	/* nothing that is known */
	{"Pigeons carry letters.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"   \n\t ", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"\xff\xfe\x00 not text", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	/* showstoppers */
	{"Fatal error: the heap is gone.", INTENT_ERROR, COMPLETION_NONE, "fatal error*"},
	{"open(): permission denied", INTENT_UNKNOWN, COMPLETION_NONE, "permission denied"},
	{"I can\xe2\x80\x99t continue without a decision.", INTENT_ERROR, COMPLETION_NONE, "can't continue"},
	{"This needs human intervention.", INTENT_UNKNOWN, COMPLETION_NONE, "human intervention"},
	{"A security violation was detected.", INTENT_UNKNOWN, COMPLETION_NONE, "security violation*"},
	{"Please provide your credentials.", INTENT_CLARIFICATION, COMPLETION_NONE, "provide your credentials"},
	{"You exceeded your current quota.", INTENT_UNKNOWN, COMPLETION_NONE, "exceeded your current quota"},
	{"Rate limit exceeded, try later.", INTENT_UNKNOWN, COMPLETION_NONE, "rate limit exceeded"},
	{"The linker ran out of memory.", INTENT_UNKNOWN, COMPLETION_NONE, "out of memory"},
	{"A failed, then B failed, and C is failing.", INTENT_ERROR, COMPLETION_NONE, "fail*"},
	{"A failed, then B failed.", INTENT_ERROR, COMPLETION_NONE, ""},
	{"There was no fatal error.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"The quota was never exceeded.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
	{"I edited credentials.md and the rate limiter.", INTENT_UNKNOWN, COMPLETION_NONE, ""},
};

static void golden_texts_are_read_as_expected(void **state)
{
	(void)state;
	int wrong = 0;
	for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
		const struct golden *g = &goldens[i];
		struct reading r;
		text_read(str_c(g->text), &r);
		if (r.intent == g->intent && r.completion == g->completion &&
		    str_eq(r.showstopper, str_c(g->showstopper)))
			continue;
		wrong++;
		print_error("\"%s\": %.*s, completion %d, showstopper \"%.*s\"\n", g->text,
			    STR_ARG(intent_name(r.intent)), (int)r.completion, STR_ARG(r.showstopper));
	}
	assert_int_equal(wrong, 0);
}

static void a_phrase_is_whole_words(void **state)
{
	(void)state;
	static const struct {
		const char *text, *phrase;
		bool says;
	} cases[] = {
		{"it is done", "done", true},
		{"it is Done.", "done", true},
		{"abandoned", "done", false},
		{"done_it", "done", false},
		{"d\xc3\xb6ne done", "done", true},
		{"undone", "done", false},
		{"out  of\n memory", "out of memory", true},
		{"out-of-memory", "out of memory", false},
		{"failures", "fail*", true},
		{"unfailing", "fail*", false},
		{"can't", "can't", true},
		{"can\xe2\x80\x99t", "can't", true},
		{"can't", "can", false},
		{"can\xe2\x80\x99t", "can", false},
		{"'done'", "done", true},
		{"\xe2\x80\x98"
		 "done\xe2\x80\x99",
		 "done", true},
		{"done\xe2\x80\x94really", "done", true},
		{"\xe2\x82\xac"
		 "done",
		 "done", false},
		{"", "a", false},
		{"a", "", false},
		{"done", "done done", false},
		{"(done)", "done", true},
		{"donedone done", "done", true},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (text_says(str_c(cases[i].text), str_c(cases[i].phrase)) != cases[i].says)
			fail_msg("\"%s\" in \"%s\"", cases[i].phrase, cases[i].text);
	assert_true(text_says_exactly(STR("So: TASK_COMPLETE."), STR("TASK_COMPLETE")));
	assert_false(text_says_exactly(STR("task_complete"), STR("TASK_COMPLETE")));
	assert_false(text_says_exactly(STR("MY_TASK_COMPLETED"), STR("TASK_COMPLETE")));
}

static double likeness(const char *a, const char *b)
{
	struct word_set x, y;
	word_set_make(&x, str_c(a));
	word_set_make(&y, str_c(b));
	double d = word_set_similarity(&x, &y);
	assert_true(d == word_set_similarity(&y, &x));
	word_set_release(&x);
	word_set_release(&y);
	return d;
}

static void likeness_is_common_words_by_all_words(void **state)
{
	(void)state;
	assert_true(likeness("the same words", "Same the WORDS, the!") == 1.0);
	assert_true(likeness("a b c d", "a b c e") == 3.0 / 5.0);
	assert_true(likeness("one two", "three four") == 0.0);
	assert_true(likeness("", "") == 1.0);
	assert_true(likeness("", "word") == 0.0);
}

/* ---- the engine ------------------------------------------------------------------------------------------------- */

struct world {
	struct auto_engine *e;
	struct json_doc *doc;
	int64_t ord;
	char id[32];
};

static void set_run(struct world *w, const char *fields)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct errinfo info = {0};
	json_free(w->doc);
	w->doc = NULL;
	buf_addf(&b,
		 "{\"run\":1,\"state\":\"running\",\"mode\":\"smart_stop\",\"maxMessages\":20,\"maxMs\":1800000%s%s}",
		 fields[0] != '\0' ? "," : "", fields);
	if (json_parse(buf_str(&b), &w->doc, &info) != OK) {
		/* The fields given replace the defaults. */
		buf_clear(&b);
		buf_addf(&b, "{\"run\":1,\"maxMessages\":20,\"maxMs\":1800000,%s}", fields);
		assert_int_equal(json_parse(buf_str(&b), &w->doc, &info), OK);
	}
	auto_run(w->e, json_root(w->doc));
	buf_release(&b);
}

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);
	w->e = auto_new();
	auto_primary(w->e, true, 3);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	auto_free(w->e);
	json_free(w->doc);
	free(w);
	return 0;
}

static void hear(struct world *w, const char *role, const char *text)
{
	snprintf(w->id, sizeof w->id, "m%lld", (long long)++w->ord);
	struct auto_message m = {str_c(w->id), str_c(role), STR("complete"), str_c(text), w->ord};
	auto_message(w->e, &m);
}

/* A message and its answer. */
static struct auto_intent round_of(struct world *w, const char *answer)
{
	hear(w, "user", "go on");
	hear(w, "assistant", answer);
	return auto_next(w->e);
}

static void expect_send(const struct auto_intent *i, const char *text)
{
	assert_int_equal(i->what, AUTO_SEND);
	if (!str_eq(i->text, str_c(text))) fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(i->text), text);
}

static void expect_stop(const struct auto_intent *i, enum run_reason reason)
{
	assert_int_equal(i->what, AUTO_STOP);
	if (i->reason != reason) fail_msg("stopped by %.*s", STR_ARG(run_reason_name(i->reason)));
	assert_int_equal(i->term, 3);
}

static void an_answer_is_followed_once(void **state)
{
	struct world *w = *state;
	set_run(w, "");
	struct auto_intent i = round_of(w, "Pigeons carry letters.");
	expect_send(&i, "Please continue with the next step.");
	assert_true(str_eq(i.parent, STR("m2")));
	assert_true(str_eq(i.request, STR("{}")));
	assert_int_equal(i.term, 3);
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
	struct auto_message again = {STR("m2"), STR("assistant"), STR("complete"), STR("Pigeons carry letters."), 2};
	auto_message(w->e, &again);
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
}

static void nothing_is_said_unless_running_and_primary(void **state)
{
	struct world *w = *state;
	set_run(w, "\"state\":\"paused\",\"mode\":\"messages\"");
	assert_int_equal(round_of(w, "A.").what, AUTO_NOTHING);
	set_run(w, "\"state\":\"stopped\",\"mode\":\"messages\"");
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
	auto_run(w->e, NULL);
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
	auto_primary(w->e, false, 4);
	set_run(w, "");
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
	auto_primary(w->e, true, 5);
	struct auto_intent i = auto_next(w->e);
	assert_int_equal(i.what, AUTO_SEND);
	assert_int_equal(i.term, 5);
}

static void resuming_looks_at_the_answer_that_came_meanwhile(void **state)
{
	struct world *w = *state;
	set_run(w, "\"state\":\"paused\",\"mode\":\"messages\"");
	assert_int_equal(round_of(w, "A.").what, AUTO_NOTHING);
	set_run(w, "");
	assert_int_equal(auto_next(w->e).what, AUTO_SEND);
}

static void a_person_who_answers_first_is_not_talked_over(void **state)
{
	struct world *w = *state;
	set_run(w, "");
	hear(w, "assistant", "A.");
	hear(w, "user", "I say something myself");
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
	hear(w, "assistant", "B.");
	struct auto_intent i = auto_next(w->e);
	assert_true(str_eq(i.parent, STR("m3")));
}

static void a_successor_follows_only_what_was_not_followed(void **state)
{
	struct world *w = *state;
	set_run(w, "\"sent\":7,\"answeredId\":\"m2\",\"answeredOrd\":2");
	assert_int_equal(round_of(w, "Followed by the one before.").what, AUTO_NOTHING);
	struct auto_intent i = round_of(w, "Not followed yet.");
	assert_true(str_eq(i.parent, STR("m4")));
}

static void what_is_incomplete_is_no_answer(void **state)
{
	struct world *w = *state;
	set_run(w, "");
	struct auto_message m = {STR("m1"), STR("assistant"), STR("interrupted"), STR("A."), 1};
	auto_message(w->e, &m);
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
}

static void a_refused_message_is_thought_over_anew(void **state)
{
	struct world *w = *state;
	set_run(w, "");
	assert_int_equal(round_of(w, "A.").what, AUTO_SEND);
	auto_again(w->e);
	assert_int_equal(auto_next(w->e).what, AUTO_SEND);
}

static void a_stop_phrase_ends_a_run_of_any_mode(void **state)
{
	struct world *w = *state;
	static const char *const modes[] = {"smart_stop", "until_completion", "time", "messages", "hybrid"};
	char fields[80];
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		snprintf(fields, sizeof fields, "\"state\":\"running\",\"run\":%zu,\"mode\":\"%s\"", i + 2, modes[i]);
		struct json_doc *doc = NULL;
		char text[100];
		snprintf(text, sizeof text, "{%s}", fields);
		assert_int_equal(json_parse(str_c(text), &doc, NULL), OK);
		auto_run(w->e, json_root(doc));
		json_free(doc);
		struct auto_intent in = round_of(w, "Good. NO_MORE_WORK");
		expect_stop(&in, REASON_COMPLETION);
		assert_true(str_eq(in.because, STR("NO_MORE_WORK")));
	}
	set_run(w, "\"params\":{\"stopPhrases\":[\"BASTA\"]}");
	assert_int_equal(round_of(w, "TASK_COMPLETE").what, AUTO_SEND);
	struct auto_intent in = round_of(w, "BASTA");
	expect_stop(&in, REASON_COMPLETION);
}

static void a_showstopper_ends_a_run_of_any_mode(void **state)
{
	struct world *w = *state;
	set_run(w, "\"state\":\"running\",\"mode\":\"messages\"");
	struct auto_intent i = round_of(w, "Task complete, but permission denied.");
	expect_stop(&i, REASON_SHOWSTOPPER);
	assert_true(str_eq(i.because, STR("permission denied")));
}

static void completion_ends_the_modes_that_look_for_it(void **state)
{
	static const struct {
		const char *run, *answer;
		bool stops;
	} cases[] = {
		{"\"mode\":\"smart_stop\"", "The task is complete.", true},
		{"\"mode\":\"smart_stop\"", "I fixed it.", false},
		{"\"mode\":\"smart_stop\",\"params\":{\"sensitivity\":1}", "The task is complete.", false},
		{"\"mode\":\"smart_stop\",\"params\":{\"sensitivity\":4}", "I fixed it.", true},
		{"\"mode\":\"smart_stop\",\"params\":{\"sensitivity\":4}", "That should work.", false},
		{"\"mode\":\"smart_stop\",\"params\":{\"sensitivity\":5}", "That should work.", true},
		{"\"mode\":\"until_completion\",\"params\":{\"sensitivity\":5}", "I fixed it.", false},
		{"\"mode\":\"until_completion\"", "All tasks are done.", true},
		{"\"mode\":\"time\"", "The task is complete.", false},
		{"\"mode\":\"messages\"", "The task is complete.", false},
		{"\"mode\":\"hybrid\"", "The task is complete.", true},
		{"\"mode\":\"hybrid\",\"priority\":\"all\"", "The task is complete.", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct world w = {.e = auto_new()};
		char fields[200];
		auto_primary(w.e, true, 3);
		snprintf(fields, sizeof fields, "\"state\":\"running\",%s", cases[i].run);
		set_run(&w, fields);
		struct auto_intent in = round_of(&w, cases[i].answer);
		if ((in.what == AUTO_STOP) != cases[i].stops) fail_msg("%s: \"%s\"", cases[i].run, cases[i].answer);
		auto_free(w.e);
		json_free(w.doc);
	}
}

static void a_moderate_completion_counts_when_it_is_said_twice(void **state)
{
	struct world *w = *state;
	set_run(w, "");
	assert_int_equal(round_of(w, "I fixed the parser.").what, AUTO_SEND);
	struct auto_intent i = round_of(w, "The lexer was fixed as well, too.");
	expect_stop(&i, REASON_COMPLETION);
}

static void three_answers_alike_are_stuck(void **state)
{
	struct world *w = *state;
	set_run(w, "");
	assert_int_equal(round_of(w, "I look at the file and read it again.").what, AUTO_SEND);
	assert_int_equal(round_of(w, "I look at the file and read it again.").what, AUTO_SEND);
	struct auto_intent i = round_of(w, "I look at the file, and read it again!");
	expect_stop(&i, REASON_STUCK);
}

static void answers_that_differ_are_not_stuck(void **state)
{
	struct world *w = *state;
	set_run(w, "");
	assert_int_equal(round_of(w, "First the lexer.").what, AUTO_SEND);
	assert_int_equal(round_of(w, "Then a parser for expressions.").what, AUTO_SEND);
	assert_int_equal(round_of(w, "At last some code generation.").what, AUTO_SEND);
	assert_int_equal(round_of(w, "At last some code generation.").what, AUTO_SEND);
}

static void alikeness_does_not_end_a_run_by_count(void **state)
{
	struct world *w = *state;
	set_run(w, "\"state\":\"running\",\"mode\":\"messages\"");
	for (int i = 0; i < 10; i++) assert_int_equal(round_of(w, "The same.").what, AUTO_SEND);
}

static void three_errors_in_five_answers_end_a_run(void **state)
{
	struct world *w = *state;
	set_run(w, "\"state\":\"running\",\"mode\":\"messages\"");
	assert_int_equal(round_of(w, "An error in the lexer.").what, AUTO_SEND);
	assert_int_equal(round_of(w, "That went well.").what, AUTO_SEND);
	assert_int_equal(round_of(w, "The parser crashed.").what, AUTO_SEND);
	assert_int_equal(round_of(w, "A new idea.").what, AUTO_SEND);
	struct auto_intent i = round_of(w, "The linker failed.");
	expect_stop(&i, REASON_ERROR);
}

static void errors_far_apart_do_not(void **state)
{
	struct world *w = *state;
	set_run(w, "\"state\":\"running\",\"mode\":\"messages\"");
	for (int i = 0; i < 12; i++)
		assert_int_equal(round_of(w, i % 3 == 0 ? "An error." : "That went well.").what, AUTO_SEND);
}

static void a_failed_request_pauses_and_the_third_stops(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 3; i++) {
		set_run(w, "");
		hear(w, "user", "go on");
		auto_failed(w->e, w->ord);
		struct auto_intent in = auto_next(w->e);
		assert_int_equal(in.what, i < 2 ? AUTO_PAUSE : AUTO_STOP);
		assert_int_equal(in.reason, REASON_ERROR);
		assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
		set_run(w, "\"state\":\"paused\",\"mode\":\"smart_stop\"");
		set_run(w, "");
		assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
	}
}

static void rules_come_before_templates_and_templates_take_turns(void **state)
{
	struct world *w = *state;
	set_run(w,
		"\"params\":{\"rules\":[{\"when\":[\"tabs\",\"spaces\"],\"say\":\"Tabs, {name}.\"},{\"say\":\"never\"}],"
		"\"templates\":[\"one of {max}\",{\"for\":\"error\",\"say\":\"mend it\"},\"two {unknown} {\"],"
		"\"vars\":{\"name\":\"Ann\"},\"request\":{\"model\":\"local:test\"}}");
	struct auto_intent i = round_of(w, "Should I use Tabs or not?");
	expect_send(&i, "Tabs, Ann.");
	assert_true(str_eq(i.request, STR("{\"model\":\"local:test\"}")));
	i = round_of(w, "An error.");
	expect_send(&i, "mend it");
	i = round_of(w, "Something.");
	expect_send(&i, "one of 20");
	set_run(w, "\"sent\":1,\"params\":{\"templates\":[\"one\",\"two {unknown} {\"]}");
	i = round_of(w, "Something else.");
	expect_send(&i, "two {unknown} {");
}

static void without_words_it_pauses(void **state)
{
	struct world *w = *state;
	set_run(w, "\"params\":{\"rules\":[{\"when\":\"tabs\",\"say\":\"Tabs\"}]}");
	struct auto_intent i = round_of(w, "Something.");
	assert_int_equal(i.what, AUTO_PAUSE);
	assert_int_equal(i.reason, REASON_LOW_CONFIDENCE);
}

static void the_app_is_asked_once_and_answers(void **state)
{
	struct world *w = *state;
	set_run(w, "\"params\":{\"model\":true}");
	struct auto_intent i = round_of(w, "Something.");
	assert_int_equal(i.what, AUTO_ASK);
	assert_true(str_eq(i.parent, STR("m2")));
	assert_true(str_eq(i.answer, STR("Something.")));
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
	auto_text(w->e, STR("m1"), STR("to another"));
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
	auto_text(w->e, STR("m2"), STR("What then?"));
	i = auto_next(w->e);
	expect_send(&i, "What then?");
	assert_true(str_eq(i.parent, STR("m2")));
	i = round_of(w, "Something new.");
	assert_int_equal(i.what, AUTO_ASK);
	auto_text(w->e, STR("m4"), STR(""));
	i = auto_next(w->e);
	assert_int_equal(i.what, AUTO_PAUSE);
	assert_int_equal(i.reason, REASON_LOW_CONFIDENCE);
}

static void a_run_may_open_a_conversation(void **state)
{
	struct world *w = *state;
	set_run(w, "");
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
	set_run(w, "\"params\":{\"opening\":\"Hello, {mode}.\"}");
	struct auto_intent i = auto_next(w->e);
	expect_send(&i, "Hello, smart_stop.");
	assert_int_equal(i.parent.n, 0);
	assert_int_equal(auto_next(w->e).what, AUTO_NOTHING);
}

static void messages_may_come_in_any_order(void **state)
{
	struct world *w = *state;
	set_run(w, "");
	static const int order[] = {4, 2, 6, 1, 5, 3};
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		char id[8];
		snprintf(id, sizeof id, "m%d", order[i]);
		struct auto_message m = {str_c(id), order[i] % 2 == 0 ? STR("assistant") : STR("user"), STR("complete"),
					 STR("The very same words."), order[i]};
		auto_message(w->e, &m);
	}
	struct auto_intent in = auto_next(w->e);
	expect_stop(&in, REASON_STUCK);
}

/* ---- the run's own limits and clock ------------------------------------------------------------------------------ */

static void limits_end_a_run_by_mode(void **state)
{
	(void)state;
	struct run r = {.mode = RUN_HYBRID, .max_messages = 5, .max_ms = 1000};
	assert_int_equal(run_limit(&r, 4, 999), REASON_NONE);
	assert_int_equal(run_limit(&r, 5, 0), REASON_MESSAGE_LIMIT);
	assert_int_equal(run_limit(&r, 0, 1000), REASON_TIME_LIMIT);
	r.all = true;
	assert_int_equal(run_limit(&r, 5, 999), REASON_NONE);
	assert_int_equal(run_limit(&r, 4, 5000), REASON_NONE);
	assert_int_equal(run_limit(&r, 5, 1000), REASON_MESSAGE_LIMIT);
}

static void the_clock_counts_only_while_it_runs(void **state)
{
	(void)state;
	struct run r = {.state = RUN_RUNNING, .owner = 1, .since = 1000, .since_wall = 50000, .max_ms = 600};
	/* within one life of the daemon the wall clock may jump */
	assert_int_equal(run_elapsed(&r, &(struct run_clock){1, 1250, 1}), 250);
	run_settle(&r, &(struct run_clock){70000, 1250, 1});
	r.state = RUN_PAUSED;
	assert_int_equal(run_elapsed(&r, &(struct run_clock){90000, 9000, 1}), 250);
	run_settle(&r, &(struct run_clock){90000, 9000, 1});
	r.state = RUN_RUNNING;
	/* over a restart it is wall time, and never goes back */
	assert_int_equal(run_elapsed(&r, &(struct run_clock){90100, 5, 2}), 350);
	assert_int_equal(run_elapsed(&r, &(struct run_clock){80000, 5, 2}), 250);
	assert_int_equal(run_left_ms(&r, &(struct run_clock){90100, 5, 2}), 250);
	assert_int_equal(run_left_ms(&r, &(struct run_clock){99999, 5, 2}), 0);
}

static void a_run_is_read_as_it_was_written(void **state)
{
	(void)state;
	struct json_doc *params = NULL, *doc = NULL;
	assert_int_equal(json_parse(STR("{\"x\":[1]}"), &params, NULL), OK);
	struct run r = {.state = RUN_PAUSED,
			.mode = RUN_HYBRID,
			.number = 2,
			.sent = 3,
			.max_messages = 4,
			.max_ms = 5,
			.all = true,
			.reason = REASON_LOW_CONFIDENCE,
			.started_ms = 1700000000123,
			.started_by = STR("a"),
			.driver = STR("b"),
			.term = 6,
			.answered = STR("m1"),
			.answered_ord = 7,
			.last_message = STR("m2"),
			.steps = 8,
			.params = json_root(params),
			.elapsed_ms = 9,
			.since_wall = 1700000000456,
			.since = 10,
			.owner = 11};
	struct buf one = BUF_INIT(BUF_NO_LIMIT), two = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&one);
	run_write(&w, &r);
	assert_int_equal(json_parse(buf_str(&one), &doc, NULL), OK);
	struct run back;
	run_read(&back, json_root(doc));
	w = JW(&two);
	run_write(&w, &back);
	assert_true(str_eq(buf_str(&one), buf_str(&two)));
	assert_int_equal(back.reason, REASON_LOW_CONFIDENCE);
	assert_int_equal(back.started_ms, r.started_ms);
	run_read(&back, NULL);
	assert_int_equal(back.state, RUN_NONE);
	json_free(doc);
	json_free(params);
	buf_release(&one);
	buf_release(&two);
}

#define T(name) cmocka_unit_test(name)
#define E(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(golden_texts_are_read_as_expected),
		T(a_phrase_is_whole_words),
		T(likeness_is_common_words_by_all_words),
		E(an_answer_is_followed_once),
		E(nothing_is_said_unless_running_and_primary),
		E(resuming_looks_at_the_answer_that_came_meanwhile),
		E(a_person_who_answers_first_is_not_talked_over),
		E(a_successor_follows_only_what_was_not_followed),
		E(what_is_incomplete_is_no_answer),
		E(a_refused_message_is_thought_over_anew),
		E(a_stop_phrase_ends_a_run_of_any_mode),
		E(a_showstopper_ends_a_run_of_any_mode),
		T(completion_ends_the_modes_that_look_for_it),
		E(a_moderate_completion_counts_when_it_is_said_twice),
		E(three_answers_alike_are_stuck),
		E(answers_that_differ_are_not_stuck),
		E(alikeness_does_not_end_a_run_by_count),
		E(three_errors_in_five_answers_end_a_run),
		E(errors_far_apart_do_not),
		E(a_failed_request_pauses_and_the_third_stops),
		E(rules_come_before_templates_and_templates_take_turns),
		E(without_words_it_pauses),
		E(the_app_is_asked_once_and_answers),
		E(a_run_may_open_a_conversation),
		E(messages_may_come_in_any_order),
		T(limits_end_a_run_by_mode),
		T(the_clock_counts_only_while_it_runs),
		T(a_run_is_read_as_it_was_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
