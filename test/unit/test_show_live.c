/* The chat display on a terminal: what stands on its screen, however the text came and whatever it was. */
#include "show_gear.h"

#include "base/id.h"
#include "cli/show_bubble.h"

static void *show;

static void tell(struct lab_event e)
{
	show_chat.event(show, 0, &e);
	screen_read();
}

static int on_terminal(void **state)
{
	(void)state;
	make_experiment(1);
	unsetenv("NO_COLOR");
	setenv("TERM", "xterm", 1);
	return 0;
}

static int off_terminal(void **state)
{
	(void)state;
	free_experiment();
	return 0;
}

static void begin(size_t columns)
{
	screen_begin(columns);
	show = show_chat.begin(&about);
	tell(start_event("Tell me"));
}

static char *end(enum experiment_status status)
{
	manifest.status = status;
	show_chat.end(show, OK, NULL);
	char *text = screen_text();
	screen_end();
	return text;
}

/* ---- a conversation --------------------------------------------------------------------------------------------- */

static void a_conversation_is_bubbles_left_and_right(void **state)
{
	(void)state;
	setenv("NO_COLOR", "1", 1);
	begin(50);
	tell(message_event("agent_a", STR("Hello there, how is the weather where you are?")));
	tell(message_event("agent_b", STR("Fine.\n\n- warm\n- dry, and with such a light wind that nobody minds")));
	tell(turn_event(0, 0.5));
	tell(message_event("agent_a", STR("Good")));
	tell(message_event("agent_b", STR("Good")));
	manifest.list[0].turns = 2;
	manifest.list[0].convergence = 0.75;
	manifest.total = (struct manifest_tokens){
		.prompt = 100, .completion = 20, .cost_ticks = 300000000, .reported_ticks = 100000000};
	tell(turn_event(1, 0.75));
	manifest_set(&manifest, &manifest.list[0], LAB_COMPLETED);
	tell(end_event("completed", "max_turns_reached", NULL));
	assert_same_text(end(EXPERIMENT_COMPLETED), "bold-heron · experiment_1a2b3c4d · 1\n"
						    "  conversation of 3 turns\n"
						    "◆ Ada (local:one) ↔ Bob (local:two)\n"
						    "╭─ prompt ──────────────────────────────────────╮\n"
						    "│ [HUMAN] Tell me                               │\n"
						    "╰───────────────────────────────────────────────╯\n"
						    "╭─ Ada ───────────────────────────╮\n"
						    "│ Hello there, how is the weather │\n"
						    "│ where you are?                  │\n"
						    "╰─────────────────────────────────╯\n"
						    "              ╭─ Bob ───────────────────────────╮\n"
						    "              │ Fine.                           │\n"
						    "              │                                 │\n"
						    "              │ - warm                          │\n"
						    "              │ - dry, and with such a light    │\n"
						    "              │   wind that nobody minds        │\n"
						    "              ╰─────────────────────────────────╯\n"
						    "┄┄ turn 1 of 3 · convergence 0.50 ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄\n"
						    "╭─ Ada ───────────────────────────╮\n"
						    "│ Good                            │\n"
						    "╰─────────────────────────────────╯\n"
						    "              ╭─ Bob ───────────────────────────╮\n"
						    "              │ Good                            │\n"
						    "              ╰─────────────────────────────────╯\n"
						    "┄┄ turn 2 of 3 · convergence 0.75 ↑↑ ┄┄┄┄┄┄┄┄┄┄┄┄┄\n"
						    "· completed after 1 turn: all turns were made\n"
						    "\n"
						    "bold-heron: completed, 1 of 1 conversation\n"
						    "2 turns, 120 tokens, $0.01 (reported) and $0.02\n"
						    "  (estimated), convergence 0.75\n"
						    "files: /tmp/out/bold-heron_1a2b3c4d\n");
}

/* ---- text as it comes ------------------------------------------------------------------------------------------- */

static const char long_text[] =
	"# Tides\nThe **moon** pulls, and `water` follows; 日本の海は広いですね。そして深いです。 A-very-long-word-that-fits-in-no-row-of-"
	"this-narrow-terminal-and-goes-on.\n\n```\nint x = 1;  /* kept */\n```\n1. first\n2. second 🙂 with *more* to say\n\nEnd";

/* In pieces that may cut a character, with the bar redrawn in between. */
static char *shown_in_steps(size_t step)
{
	struct str text = str_c(long_text);
	begin(44);
	for (size_t i = 0; i < text.n; i += step) {
		tell(chunk_event("agent_b", str_n(text.p + i, MIN(step, text.n - i))));
		show_chat.tick(show);
		screen_read();
	}
	tell(message_event("agent_b", text));
	return end(EXPERIMENT_INTERRUPTED);
}

static void the_screen_is_the_same_however_the_text_came(void **state)
{
	(void)state;
	begin(44);
	tell(message_event("agent_b", str_c(long_text)));
	char *whole = end(EXPERIMENT_INTERRUPTED);
	assert_non_null(strstr(whole, "│ int x = 1;  /* kept */"));
	assert_non_null(strstr(whole, "The moon pulls, and water"));
	for (size_t step = 1; step < 40; step++) {
		char *got = shown_in_steps(step);
		assert_same_text(got, whole);
	}
	free(whole);
}

static void a_bar_stands_below_the_text_and_goes_away(void **state)
{
	(void)state;
	begin(60);
	manifest_set(&manifest, &manifest.list[0], LAB_RUNNING);
	manifest.list[0].turns = 1;
	tell(chunk_event("agent_a", STR("half a sen")));
	show_chat.tick(show);
	char *text = screen_text();
	assert_shown(text, "│ half a\n▕██████░░░░░░░░░░░░░░▏ 33 % · turn 2/3\n");
	free(text);
	tell(chunk_event("agent_a", STR("tence ")));
	text = screen_text();
	assert_shown(text, "│ half a sentence\n▕██");
	free(text);
	text = end(EXPERIMENT_INTERRUPTED);
	assert_null(strstr(text, "▕"));
	assert_shown(text, "│ half a sentence");
	assert_shown(text, "to go on: roost run --resume experiment_1a2b3c4d");
	free(text);
}

/* The end comes in the middle of a word: all that came is there. */
static void a_display_that_ends_early_loses_no_text(void **state)
{
	(void)state;
	begin(60);
	tell(chunk_event("agent_a", STR("the last **wor")));
	char *text = end(EXPERIMENT_FAILED);
	assert_shown(text, "│ the last **wor");
	assert_shown(text, "╰──");
	assert_shown(text, "bold-heron: failed, 0 of 1 conversation\n");
	free(text);
}

static void what_the_pieces_left_out_is_shown_with_the_message(void **state)
{
	(void)state;
	begin(60);
	tell(chunk_event("agent_a", STR("The begin")));
	tell(message_event("agent_a", STR("The beginning, and the end \xe6\x97")));
	tell(chunk_event("agent_b", STR("another text")));
	tell(message_event("agent_b", STR("what was said")));
	char *text = end(EXPERIMENT_INTERRUPTED);
	assert_shown(text, "│ The beginning, and the end \xef\xbf\xbd");
	assert_shown(text, "│ another text");
	assert_shown(text, "│ what was said");
	free(text);
}

static void a_changed_width_counts_from_the_next_text_on(void **state)
{
	(void)state;
	begin(60);
	tell(chunk_event("agent_a", STR("one two three four five six seven eight nine ten ")));
	show_chat.tick(show);
	screen_read();
	screen_resize(30);
	show_chat.tick(show);
	screen_read();
	tell(chunk_event("agent_a", STR("eleven twelve thirteen fourteen ")));
	char *text = end(EXPERIMENT_INTERRUPTED);
	assert_shown(text, "│ one two three four five six seven");
	assert_shown(text, "│ eight nine ten\n│ eleven twelve     │\n│ thirteen fourteen │\n╰───────────────────╯\n");
	free(text);
}

/* A word about Ctrl-C comes while somebody speaks, and what happens meanwhile stands below. */
static void notes_wait_until_a_bubble_is_complete(void **state)
{
	(void)state;
	struct lab_event e = event_of(LE_INTERRUPT_REQUEST);
	begin(60);
	tell(chunk_event("agent_a", STR("I am ")));
	show_chat.word(show, "finishing");
	SET(InterruptRequestEvent, interrupt_source, lv_str(STR("user")));
	tell(e);
	char *text = screen_text();
	assert_shown(text, "│ I am\nfinishing\n");
	free(text);
	tell(chunk_event("agent_a", STR("done.")));
	tell(message_event("agent_a", STR("I am done.")));
	text = end(EXPERIMENT_INTERRUPTED);
	assert_shown(text, "│ I am done.");
	assert_shown(text, "╯\n· somebody wants it to stop\n");
	assert_null(strstr(text, "finishing"));
	free(text);
}

static void what_a_failed_attempt_said_is_told_from_what_counts(void **state)
{
	(void)state;
	struct lab_event e = event_of(LE_API_ERROR);
	begin(100);
	tell(chunk_event("agent_a", STR("wrong ")));
	SET(APIErrorEvent, agent_id, lv_str(STR("agent_a")));
	SET(APIErrorEvent, error_message, lv_str(STR("the answer broke off")));
	SET(APIErrorEvent, next_try_ms, lv_int(1500));
	tell(e);
	tell(chunk_event("agent_a", STR("right")));
	tell(message_event("agent_a", STR("right")));
	char *text = end(EXPERIMENT_INTERRUPTED);
	assert_shown(text, "· Ada: the answer broke off; what it said above is not used; trying again in 1.5 s\n");
	assert_shown(text, "│ wrong");
	assert_shown(text, "│ right");
	free(text);
}

static void thoughts_are_cut_in_their_middle(void **state)
{
	(void)state;
	struct lab_event e = event_of(LE_THINKING_COMPLETE);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&b, STR("first "));
	for (int i = 0; i < 1000; i++) buf_add_str(&b, STR("middle "));
	buf_add_str(&b, STR("last"));
	begin(80);
	tell(chunk_event("agent_a", STR("so")));
	SET(ThinkingCompleteEvent, agent_id, lv_str(STR("agent_a")));
	SET(ThinkingCompleteEvent, thinking_content, lv_str(buf_str(&b)));
	tell(e);
	tell(message_event("agent_a", STR("so")));
	char *text = end(EXPERIMENT_INTERRUPTED);
	const char *thought = strstr(text, "  ~ first middle");
	assert_non_null(thought);
	assert_true(thought > strstr(text, "│ so"));
	assert_non_null(strstr(thought, " … (5010 bytes) … "));
	assert_non_null(strstr(thought, "last\n"));
	free(text);
	buf_release(&b);
}

static void a_pause_takes_the_bar_away(void **state)
{
	(void)state;
	begin(60);
	show_chat.tick(show);
	char *text = screen_text();
	assert_shown(text, "▕");
	free(text);
	tell(event_of(LE_CONVERSATION_PAUSED));
	text = screen_text();
	assert_null(strstr(text, "▕"));
	assert_shown(text, "paused; ");
	free(text);
	tell(event_of(LE_CONVERSATION_RESUMED));
	show_chat.tick(show);
	text = screen_text();
	assert_shown(text, "▕");
	free(text);
	free(end(EXPERIMENT_INTERRUPTED));
}

/* ---- hostile text ----------------------------------------------------------------------------------------------- */

/* The screen's reader fails at any escape but the display's own. */
static void nothing_a_model_says_gets_at_the_terminal(void **state)
{
	(void)state;
	begin(70);
	struct str evil = STR("a\033[2Jb\033]0;title\007c\x9b"
			      "31md\r\be\x7f \xe2\x80\xae"
			      "drow\xe2\x80\xac z\xe2\x80\x8b"
			      "w \xf3\xa0\x81\xa1tag \x10\x0e\x0fink 👩\xe2\x80\x8d🚀");
	for (size_t i = 0; i < evil.n; i++) tell(chunk_event("agent_a", str_n(evil.p + i, 1)));
	tell(message_event("agent_a", evil));
	char *text = end(EXPERIMENT_INTERRUPTED);
	assert_shown(text, "│ a[2Jb]0;titlec\xef\xbf\xbd"
			   "31mde drow zw tag ink 👩\xe2\x80\x8d🚀");
	free(text);
}

static void random_bytes_stay_inside_the_box(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 11);
	for (int round = 0; round < 60; round++) {
		char bytes[600];
		size_t n = (size_t)rng_below(&r, sizeof bytes);
		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)(rng_below(&r, 4) ? ' ' + rng_below(&r, 95) : rng_next(&r));
		begin(24 + (size_t)rng_below(&r, 60));
		for (size_t i = 0, step; i < n; i += step) {
			step = 1 + (size_t)rng_below(&r, 30);
			tell(chunk_event("agent_b", str_n(bytes + i, MIN(step, n - i))));
		}
		tell(message_event("agent_b", str_n(bytes, n)));
		size_t columns = seen.columns;
		char *text = end(EXPERIMENT_INTERRUPTED), *rest = text, *line;
		bool in_box = false;
		while ((line = strsep(&rest, "\n")) != NULL) {
			if (strstr(line, "╭─ Bob") != NULL) in_box = true;
			else if (strstr(line, "╰") != NULL) in_box = false;
			else if (in_box) {
				assert_int_equal(term_width(str_c(line)), columns - 1);
				assert_true(strlen(line) > 3 && strcmp(line + strlen(line) - 3, "│") == 0);
			}
		}
		free(text);
	}
}

/* Processor time for a line of `n` bytes; what goes out is lost at a terminal that nobody reads. */
static double seconds_for(size_t n, const char *pattern)
{
	struct timespec from, to;
	struct bubble b;
	char *text = xmalloc(n);
	for (size_t i = 0; i < n; i++) text[i] = pattern[i % strlen(pattern)];
	screen_begin(60);
	assert_int_equal(fcntl(STDOUT_FILENO, F_SETFL, O_WRONLY | O_NONBLOCK), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	struct paper *p = paper_new(stdout);
	assert_true(paper_is_live(p));
	bubble_begin(&b, p, SIDE_LEFT, INK_CYAN, STR("x"));
	for (size_t i = 0; i < n; i += 1000) bubble_add(&b, str_n(text + i, MIN((size_t)1000, n - i)));
	bubble_end(&b);
	paper_free(p);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	clearerr(stdout);
	screen_end();
	free(text);
	return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

static void an_endless_line_takes_time_in_proportion(void **state)
{
	(void)state;
	static const char *const patterns[] = {"x",     "*",        "`", "_", "*a", "`a ",
					       "_`*` ", "\xcc\x81", " ", "-", "1",  "#"};
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		double small = seconds_for(100000, patterns[i]), large = seconds_for(800000, patterns[i]);
		if (large > 20 * small + 0.1) fprintf(stderr, "\"%s\": %.3f s, %.3f s\n", patterns[i], small, large);
		assert_true(large < 20 * small + 0.1);
	}
}

int main(void)
{
	term_init();
#define T(f) cmocka_unit_test_setup_teardown(f, on_terminal, off_terminal)
	const struct CMUnitTest tests[] = {
		T(a_conversation_is_bubbles_left_and_right),
		T(the_screen_is_the_same_however_the_text_came),
		T(a_bar_stands_below_the_text_and_goes_away),
		T(a_display_that_ends_early_loses_no_text),
		T(what_the_pieces_left_out_is_shown_with_the_message),
		T(a_changed_width_counts_from_the_next_text_on),
		T(notes_wait_until_a_bubble_is_complete),
		T(what_a_failed_attempt_said_is_told_from_what_counts),
		T(thoughts_are_cut_in_their_middle),
		T(a_pause_takes_the_bar_away),
		T(nothing_a_model_says_gets_at_the_terminal),
		T(random_bytes_stay_inside_the_box),
		T(an_endless_line_takes_time_in_proportion),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
