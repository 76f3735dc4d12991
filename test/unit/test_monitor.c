/* The monitor's model and its frames, without files and without a terminal: what is shown, in which order, where the cursor
 * goes, what is drawn. */
#include "monitor_gear.h"

#include <math.h>

#include "cli/monitor_draw.h" /* what is linked follows from a test's own includes */
#include "cli/term.h"

#define WALL_MS 2000000000000
#define BOOT_MS 5000000

/* ---- the model alone -------------------------------------------------------------------------------------------- */

static int model_make(void **state)
{
	(void)state;
	term_init();
	monitor_init(&m, "/experiments", BOOT_MS, WALL_MS);
	return 0;
}

static int model_release(void **state)
{
	(void)state;
	monitor_release(&m);
	return 0;
}

/* Experiments e0, e1, … of which the later ones are newer; those below `running` run. */
static void list(size_t n, size_t running)
{
	struct place_list all = {.list = xcalloc(n + 1, sizeof *all.list), .n = n}, live = {0};
	for (size_t i = 0; i < n; i++) {
		struct place_entry *e = &all.list[i];
		assert_true(asprintf(&e->dir, "/experiments/e%zu_%08zx", i, i) > 0);
		assert_true(asprintf(&e->name, "e%zu", i) > 0);
		snprintf(e->id, sizeof e->id, "experiment_%08zx", i);
		e->changed_ms = WALL_MS - 1000000 + (int64_t)i;
	}
	live.list = all.list;
	live.n = running;
	monitor_put_list(&m, &all);
	monitor_put_running(&m, &live);
	monitor_arrange(&m);
	place_list_release(&all);
}

struct told {
	enum experiment_status status;
	size_t created, running, completed, failed;
	int64_t turns, tokens, started_ms;
	double cost;
};

/* A manifest with that many conversations of ten turns; those that run have made `turns`. */
static void look(const char *name, struct told t)
{
	struct look l = {.status = t.status};
	const size_t counts[] = {t.created, t.running, t.completed, t.failed};
	manifest_init(&l.m);
	l.pid = t.status == EXPERIMENT_RUNNING || t.status == EXPERIMENT_PAUSED ? 77 : 0;
	l.m.config = STR("{\"max_turns\":10}");
	l.m.nagents = 2;
	l.m.agent_models[0] = STR("local:left");
	l.m.agent_models[1] = STR("local:right");
	l.m.started_ms = t.started_ms;
	l.m.total.prompt = t.tokens;
	l.m.total.cost_ticks = (int64_t)(t.cost * 1e10);
	for (size_t s = 0, n = 0; s < ARRAY_LEN(counts); s++) {
		for (size_t i = 0; i < counts[s]; i++) {
			char id[16];
			snprintf(id, sizeof id, "conv_%08zx", n++);
			struct manifest_conversation *c = manifest_add(&l.m, id);
			manifest_set(&l.m, c, (enum lab_status)s);
			c->turns = s == LAB_RUNNING ? t.turns : s == LAB_CREATED ? 0 : 10;
			c->messages = 2 * c->turns;
			c->convergence = 0.3 + 0.25 * (double)s;
			c->updated_ms = WALL_MS - (int64_t)i;
		}
	}
	struct monitor_row *r = row(name);
	monitor_put_look(&m, r, &l);
	monitor_arrange(&m);
	if (r == m.chosen) monitor_put_conversations(&m, r, &l.m);
	monitor_arrange(&m);
	look_release(&l);
}

static void assert_shown(const char *names)
{
	struct buf b = BUF_INIT(4096);
	for (size_t i = 0; i < m.list[PANEL_EXPERIMENTS].n; i++)
		buf_addf(&b, "%s%s", i > 0 ? " " : "", m.shown[i]->name);
	assert_string_equal(b.n > 0 ? b.p : "", names);
	buf_release(&b);
}

static struct monitor_wish keys(const char *text)
{
	struct monitor_wish w = {0};
	for (; *text != '\0'; text++) w = monitor_key(&m, *text);
	return w;
}

static void those_that_run_come_first_and_then_the_newest(void **state)
{
	(void)state;
	list(4, 2);
	assert_shown("e1 e0 e3 e2");
	assert_string_equal(m.chosen->name, "e1");
}

static void the_cursor_stays_on_its_experiment_when_others_come_and_go(void **state)
{
	(void)state;
	list(3, 0);
	monitor_key(&m, MK_DOWN);
	assert_string_equal(m.chosen->name, "e1");
	list(6, 0);
	assert_string_equal(m.chosen->name, "e1");
	assert_int_equal(m.list[PANEL_EXPERIMENTS].at, 4);
	list(1, 0);
	assert_string_equal(m.chosen->name, "e0");
	list(0, 0);
	assert_null(m.chosen);
	monitor_key(&m, MK_DOWN);
	monitor_key(&m, MK_ENTER);
	monitor_key(&m, MK_ENTER);
	keys("sp");
	assert_false(m.in_messages);
}

static void a_cursor_that_nobody_moved_is_on_what_began_last(void **state)
{
	(void)state;
	list(3, 0);
	assert_string_equal(m.chosen->name, "e2");
	list(4, 1);
	assert_string_equal(m.chosen->name, "e0");
	monitor_key(&m, MK_ENTER);
	list(5, 2);
	assert_string_equal(m.chosen->name, "e0");
}

static void filters_leave_what_fits_them(void **state)
{
	(void)state;
	list(5, 1);
	look("e0", (struct told){.status = EXPERIMENT_RUNNING, .running = 1});
	look("e1", (struct told){.status = EXPERIMENT_COMPLETED, .completed = 1});
	look("e2", (struct told){.status = EXPERIMENT_WITH_FAILURES, .failed = 1});
	look("e3", (struct told){.status = EXPERIMENT_INTERRUPTED});
	monitor_put_damaged(&m, row("e4"), "no JSON");
	monitor_arrange(&m);
	assert_shown("e0 e4 e3 e2 e1");
	keys("f");
	assert_shown("e0");
	keys("f");
	assert_shown("e1");
	keys("f");
	assert_shown("e4 e2");
	keys("f");
	assert_shown("e3");
	keys("f");
	assert_shown("e0 e4 e3 e2 e1");
	keys("/E2");
	assert_shown("e2");
	monitor_key(&m, MK_BACKSPACE);
	assert_shown("e0 e4 e3 e2 e1"); /* all have an e */
	keys("2");
	monitor_key(&m, MK_ENTER);
	assert_shown("e2");
	monitor_key(&m, MK_ESCAPE);
	assert_shown("e0 e4 e3 e2 e1");
	keys("/right");
	assert_shown("e0 e3 e2 e1"); /* by a model */
}

static void orders_follow_each_other(void **state)
{
	(void)state;
	list(3, 0);
	look("e0", (struct told){.status = EXPERIMENT_COMPLETED, .tokens = 5, .cost = 1});
	look("e1", (struct told){.status = EXPERIMENT_COMPLETED, .tokens = 50, .cost = 2});
	look("e2", (struct told){.status = EXPERIMENT_COMPLETED, .tokens = 6, .cost = 3});
	assert_shown("e2 e1 e0");
	keys("o");
	assert_shown("e0 e1 e2");
	keys("o");
	assert_shown("e1 e2 e0");
	keys("o");
	assert_shown("e2 e1 e0");
}

static void the_list_scrolls_with_the_cursor(void **state)
{
	(void)state;
	struct monitor_list *l = &m.list[PANEL_EXPERIMENTS];
	list(100, 0);
	monitor_fit(&m, PANEL_EXPERIMENTS, 10);
	for (int i = 0; i < 12; i++) keys("j");
	assert_int_equal(l->at, 12);
	assert_int_equal(l->top, 3);
	monitor_key(&m, MK_PAGE_DOWN);
	assert_int_equal(l->at, 22);
	assert_int_equal(l->top, 13);
	monitor_key(&m, MK_END);
	assert_int_equal(l->at, 99);
	assert_int_equal(l->top, 90);
	monitor_fit(&m, PANEL_EXPERIMENTS, 50); /* the screen grew: no empty lines below the last one */
	assert_int_equal(l->top, 50);
	monitor_key(&m, MK_HOME);
	monitor_key(&m, MK_UP);
	assert_int_equal(l->at, 0);
	assert_int_equal(l->top, 0);
}

static void a_stop_is_only_wished_for_after_a_yes(void **state)
{
	(void)state;
	list(2, 1);
	look("e0", (struct told){.status = EXPERIMENT_RUNNING, .running = 1});
	assert_int_equal(keys("s").is, WISH_NONE);
	assert_string_equal(m.asked, "experiment_00000000");
	assert_int_equal(keys("n").is, WISH_NONE);
	assert_string_equal(m.asked, "");
	assert_int_equal(keys("y").is, WISH_NONE);
	keys("s");
	assert_int_equal(monitor_key(&m, MK_ENTER).is, WISH_NONE);
	struct monitor_wish w = keys("sy");
	assert_int_equal(w.is, WISH_TELL);
	assert_int_equal(w.ask, PLACE_STOP);
	assert_string_equal(w.row->name, "e0");
	monitor_key(&m, MK_DOWN);
	assert_int_equal(keys("sy").is, WISH_NONE); /* it does not run */
	assert_true(m.notice_is_bad);
}

static void the_answer_stops_the_one_that_was_asked_about(void **state)
{
	(void)state;
	list(1, 1);
	look("e0", (struct told){.status = EXPERIMENT_RUNNING, .running = 1});
	keys("s");
	list(3, 3); /* others begin while the question stands */
	struct monitor_wish w = keys("y");
	assert_int_equal(w.is, WISH_TELL);
	assert_string_equal(w.row->name, "e0");
	keys("s");
	list(0, 0);
	assert_int_equal(keys("y").is, WISH_NONE);
}

static void pausing_one_that_is_paused_lets_it_go_on(void **state)
{
	(void)state;
	list(1, 1);
	look("e0", (struct told){.status = EXPERIMENT_RUNNING, .running = 1});
	assert_int_equal(keys("p").ask, PLACE_PAUSE);
	look("e0", (struct told){.status = EXPERIMENT_PAUSED, .running = 1});
	struct monitor_wish w = keys("p");
	assert_int_equal(w.is, WISH_TELL);
	assert_int_equal(w.ask, PLACE_RESUME);
}

static void enter_opens_and_escape_goes_back(void **state)
{
	(void)state;
	list(1, 1);
	look("e0", (struct told){.status = EXPERIMENT_RUNNING, .created = 1, .running = 2, .completed = 1, .turns = 4});
	assert_int_equal(m.list[PANEL_CONVERSATIONS].n, 4);
	monitor_key(&m, MK_ENTER);
	assert_int_equal(m.focus, PANEL_CONVERSATIONS);
	assert_int_equal(monitor_conversation(&m, 0)->status, LAB_RUNNING);
	assert_int_equal(monitor_conversation(&m, 2)->status, LAB_COMPLETED);
	assert_int_equal(monitor_conversation(&m, 3)->status, LAB_CREATED);
	monitor_key(&m, MK_DOWN);
	monitor_key(&m, MK_ENTER);
	assert_true(m.in_messages);
	assert_string_equal(m.conversation, monitor_conversation(&m, 1)->id);
	monitor_key(&m, MK_ESCAPE);
	assert_false(m.in_messages);
	assert_int_equal(m.focus, PANEL_CONVERSATIONS);
	assert_int_equal(m.list[PANEL_CONVERSATIONS].at, 1);
	monitor_key(&m, MK_ESCAPE);
	assert_int_equal(m.focus, PANEL_EXPERIMENTS);
	assert_int_equal(keys("q").is, WISH_QUIT);
}

static void tab_goes_round_and_past_a_relay_that_is_not_there(void **state)
{
	(void)state;
	static struct monitor_relay up = {.is = RELAY_UP};
	const enum monitor_panel without[] = {PANEL_CONVERSATIONS, PANEL_ERRORS, PANEL_EXPERIMENTS};
	for (size_t i = 0; i < ARRAY_LEN(without); i++) {
		monitor_key(&m, MK_TAB);
		assert_int_equal(m.focus, without[i]);
	}
	monitor_put_relay(&m, &up);
	monitor_key(&m, MK_BACK_TAB);
	assert_int_equal(m.focus, PANEL_RELAY);
	monitor_key(&m, MK_BACK_TAB);
	assert_int_equal(m.focus, PANEL_ERRORS);
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

static void the_time_left_follows_from_the_speed(void **state)
{
	(void)state;
	struct told t = {.status = EXPERIMENT_RUNNING,
			 .created = 1,
			 .running = 2,
			 .completed = 1,
			 .turns = 5,
			 .started_ms = WALL_MS - 100000};
	list(1, 1);
	look("e0", t);
	/* 20 turns in 100 s, 20 to go */
	assert_int_equal(monitor_eta_ms(&m, row("e0")), 100000);
	t.turns = 7;
	monitor_clock(&m, BOOT_MS + 20000, WALL_MS + 20000);
	look("e0", t);
	/* 4 turns in the last 20 s, 16 to go */
	assert_int_equal(monitor_eta_ms(&m, row("e0")), 80000);
	t.status = EXPERIMENT_PAUSED;
	look("e0", t);
	assert_int_equal(monitor_eta_ms(&m, row("e0")), -1);
}

static void one_that_was_resumed_is_not_measured_by_its_pause(void **state)
{
	(void)state;
	struct told t = {.status = EXPERIMENT_RUNNING, .running = 1, .turns = 2, .started_ms = WALL_MS - 86400000};
	list(1, 1);
	look("e0", t);
	t.turns = 4;
	monitor_clock(&m, BOOT_MS + 10000, WALL_MS + 10000);
	look("e0", t);
	assert_int_equal(monitor_eta_ms(&m, row("e0")), 30000);
}

static void rates_count_what_changed_in_the_last_minute(void **state)
{
	(void)state;
	struct told t = {.status = EXPERIMENT_RUNNING, .running = 1, .turns = 1, .tokens = 1000000};
	list(1, 1);
	look("e0", t);
	assert_true(monitor_rates(&m).tokens < 0);
	monitor_clock(&m, BOOT_MS + 30000, WALL_MS + 30000);
	assert_true(fabs(monitor_rates(&m).tokens) < 1e-9); /* what was there before is no rate */
	t.tokens += 500;
	t.turns = 3;
	look("e0", t);
	assert_true(fabs(monitor_rates(&m).tokens - 1000) < 1e-9);
	assert_true(fabs(monitor_rates(&m).messages - 8) < 1e-9);
	monitor_clock(&m, BOOT_MS + 80000, WALL_MS + 80000);
	assert_true(fabs(monitor_rates(&m).tokens - 500) < 1e-9);
	monitor_clock(&m, BOOT_MS + 91000, WALL_MS + 91000);
	assert_true(fabs(monitor_rates(&m).tokens) < 1e-9);
}

static void sums_take_all_that_was_read(void **state)
{
	(void)state;
	list(4, 2);
	look("e0", (struct told){.status = EXPERIMENT_RUNNING, .running = 3, .completed = 1, .tokens = 10});
	look("e1", (struct told){.status = EXPERIMENT_PAUSED, .running = 1, .tokens = 20});
	look("e2", (struct told){.status = EXPERIMENT_WITH_FAILURES, .completed = 2, .failed = 1, .tokens = 30});
	struct monitor_sum s = monitor_sum(&m);
	assert_int_equal(s.running, 2);
	assert_int_equal(s.paused, 1);
	assert_int_equal(s.unread, 1);
	assert_int_equal(s.conversations, 8);
	assert_int_equal(s.done, 4);
	assert_int_equal(s.failed, 1);
	assert_int_equal(s.live, 5);
	assert_int_equal(s.live_done, 1);
	assert_int_equal(s.tokens.prompt, 60);
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

static void put_error(const char *conversation, int64_t at_ms, int64_t next_try_ms, bool retryable)
{
	struct lab_event e = event_of(LE_API_ERROR, conversation, at_ms);
	e.v[LF(APIErrorEvent, error_type)] = lv_str(STR("rate_limited"));
	e.v[LF(APIErrorEvent, error_message)] = lv_str(STR("slow down"));
	e.v[LF(APIErrorEvent, agent_id)] = lv_str(STR("agent_a"));
	e.v[LF(APIErrorEvent, provider)] = lv_str(STR("anthropic"));
	e.v[LF(APIErrorEvent, retryable)] = lv_bool(retryable);
	e.v[LF(APIErrorEvent, next_try_ms)] = lv_int(next_try_ms);
	monitor_put_event(&m, row("e0"), &e);
	monitor_arrange(&m);
}

static void errors_are_the_newest_first_and_tell_what_became_of_them(void **state)
{
	(void)state;
	list(1, 1);
	put_error("conv_1", WALL_MS, 2000, true);
	put_error("conv_2", WALL_MS + 5, INT64_MIN, false);
	put_error("conv_3", WALL_MS + 1, 2000, true);
	assert_string_equal(m.errors[0].conversation, "conv_2");
	assert_string_equal(m.errors[1].conversation, "conv_3");
	assert_int_equal(m.errors[0].outcome, ERROR_FINAL);
	assert_int_equal(m.errors[2].outcome, ERROR_RETRYING);
	assert_string_equal(m.errors[2].provider, "anthropic");
	assert_string_equal(m.errors[2].type, "rate_limited");
	struct lab_event said = event_of(LE_MESSAGE_COMPLETE, "conv_1", WALL_MS + 10);
	said.v[LF(MessageCompleteEvent, agent_id)] = lv_str(STR("agent_b"));
	monitor_put_event(&m, row("e0"), &said);
	assert_int_equal(m.errors[2].outcome, ERROR_RETRYING); /* the other one has spoken */
	said.v[LF(MessageCompleteEvent, agent_id)] = lv_str(STR("agent_a"));
	monitor_put_event(&m, row("e0"), &said);
	assert_int_equal(m.errors[2].outcome, ERROR_RESOLVED);
	struct lab_event end = event_of(LE_CONVERSATION_END, "conv_3", WALL_MS + 20);
	end.v[LF(ConversationEndEvent, status)] = lv_str(STR("failed"));
	monitor_put_event(&m, row("e0"), &end);
	assert_int_equal(m.errors[1].outcome, ERROR_FINAL);
	assert_int_equal(m.errors[2].outcome, ERROR_RESOLVED);
}

static void only_the_newest_errors_are_kept(void **state)
{
	(void)state;
	list(1, 1);
	for (int i = 0; i < MONITOR_ERRORS + 50; i++) put_error("conv_1", WALL_MS + i, 1, true);
	put_error("conv_old", WALL_MS - 1, 1, true);
	assert_int_equal(m.nerrors, MONITOR_ERRORS);
	assert_int_equal(m.errors[0].at_ms, WALL_MS + MONITOR_ERRORS + 49);
	assert_int_equal(m.errors[MONITOR_ERRORS - 1].at_ms, WALL_MS + 50);
}

/* ---- drawing ---------------------------------------------------------------------------------------------------- */

static void what_there_is_room_for_is_drawn(void **state)
{
	(void)state;
	list(30, 2);
	look("e1", (struct told){.status = EXPERIMENT_RUNNING,
				 .created = 1,
				 .running = 2,
				 .completed = 3,
				 .turns = 5,
				 .tokens = 1234567,
				 .cost = 0.25,
				 .started_ms = WALL_MS - 60000});
	look("e0", (struct told){.status = EXPERIMENT_PAUSED, .running = 1, .turns = 1});
	look("e29", (struct told){.status = EXPERIMENT_WITH_FAILURES, .completed = 1, .failed = 1});
	put_error("conv_00000000", WALL_MS, 2000, true);
	const char *const everywhere[] = {"e1", "running", "3/6", "1 running"};
	for (size_t i = 0; i < ARRAY_LEN(everywhere); i++) {
		assert_frame(10, 40, everywhere[i], true);
		assert_frame(24, 80, everywhere[i], true);
		assert_frame(60, 200, everywhere[i], true);
	}
	const char *const large[] = {"e0",
				     "paused",
				     "with failures",
				     "1.23M",
				     "$0.25",
				     "conv_00000000",
				     "5/10",
				     "● 0.55",
				     "slow down",
				     "retrying",
				     "local:left, local:right",
				     "ETA",
				     "▲ 0.80",
				     "Recent errors",
				     "q quit"};
	for (size_t i = 0; i < ARRAY_LEN(large); i++) assert_frame(60, 200, large[i], true);
	assert_frame(10, 40, "Recent errors", false);
	monitor_key(&m, MK_TAB);
	assert_frame(10, 40, "conv_00000000", true);
	monitor_key(&m, MK_TAB);
	assert_frame(10, 40, "retrying", true);
}

static void every_size_is_drawn(void **state)
{
	(void)state;
	static struct monitor_relay up = {
		.is = RELAY_UP, .n = 1, .all = 200, .list[0] = {.session = "s", .waiting = 3}};
	list(30, 1);
	look("e0", (struct told){.status = EXPERIMENT_RUNNING, .running = 9, .turns = 5});
	put_error("conv_00000000", WALL_MS, 2000, true);
	monitor_put_relay(&m, &up);
	for (int view = 0; view < 7; view++) {
		for (int rows = 1; rows <= 40; rows++)
			for (int cols = 1; cols <= 160; cols += cols < 20 ? 1 : 7) free(frame(rows, cols));
		if (view < 4) monitor_key(&m, MK_TAB);
		if (view == 4) keys("?");
		if (view == 5) {
			keys("x");
			m.focus = PANEL_CONVERSATIONS;
			monitor_key(&m, MK_ENTER);
			struct lab_message said = {.content =
							   STR("one two three\n\nfour \xe4\xbd\xa0\xe5\xa5\xbd five")};
			struct lab_event e = event_of(LE_MESSAGE_COMPLETE, m.conversation, WALL_MS);
			e.v[LF(MessageCompleteEvent, agent_id)] = lv_str(STR("agent_a"));
			e.v[LF(MessageCompleteEvent, message)] = lv_message(&said);
			for (int i = 0; i < 300; i++) monitor_put_message(&m, &e);
		}
	}
	assert_true(m.in_messages);
	assert_int_equal(m.nmessages, MONITOR_MESSAGES);
}

static void nothing_hostile_reaches_the_screen(void **state)
{
	(void)state;
	static const char hostile[] =
		"a\033[31mb\033]0;title\007c\x9b\x31m\xc2\x9b\x32Jd\u202ee\u200bf\r\n\tg\xff\xc3(h\x7fi"
		"\u2028j\U000e0041k\x08l";
	struct canvas c = {0};
	struct buf b = BUF_INIT(4096);
	canvas_begin(&c, 2, 80);
	canvas_put(&c, 0, 0, 80, 0, str_n(hostile, sizeof hostile - 1));
	canvas_row(&c, 0, &b);
	assert_string_equal(b.p, "a[31mb]0;titlec\xef\xbf\xbd\x31m2Jdef  g\xef\xbf\xbd\xef\xbf\xbd(hi jkl");
	buf_clear(&b);
	canvas_row(&c, 1, &b);
	assert_int_equal(b.n, 0);
	buf_release(&b);
	canvas_release(&c);
}

static void wide_and_combining_characters_keep_their_columns(void **state)
{
	(void)state;
	struct canvas c = {0};
	struct buf b = BUF_INIT(4096);
	canvas_begin(&c, 1, 10);
	assert_int_equal(canvas_put(&c, 0, 0, 10, 0,
				    STR("\xe4\xbd\xa0\xe5\xa5\xbd"
					"e\xcc\x81!")),
			 6);
	canvas_row(&c, 0, &b);
	assert_string_equal(b.p, "\xe4\xbd\xa0\xe5\xa5\xbd"
				 "e\xcc\x81!");
	buf_clear(&b);
	canvas_begin(&c, 1, 10);
	assert_int_equal(canvas_put(&c, 0, 0, 3, 0, STR("\xe4\xbd\xa0\xe5\xa5\xbd")), 2); /* half of it does not fit */
	assert_int_equal(canvas_put(&c, 0, 9, 10, 0, STR("\xe4\xbd\xa0")), 0);
	assert_int_equal(canvas_put(&c, 0, 4, 10, 0, STR("e\xcc\x81\xcc\x82\xcc\x83\xcc\x84")), 1);
	canvas_row(&c, 0, &b);
	assert_string_equal(b.p, "\xe4\xbd\xa0  e\xcc\x81\xcc\x82");
	buf_release(&b);
	canvas_release(&c);
}

static void lines_break_at_blanks_and_within_long_words(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int width;
		size_t first;
	} rows[] = {
		{"", 5, 0},
		{"one two", 7, 7},
		{"one two", 6, 4},
		{"one two", 3, 4},
		{"one two", 2, 2},
		{"a\nb", 5, 2},
		{"\n\n", 5, 1},
		{"\xe4\xbd\xa0\xe5\xa5\xbd", 3, 3},
		{"\xe4\xbd\xa0", 1, 3},
		{"aa\xcc\x81 b", 2, 5},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(canvas_line(str_c(rows[i].text), rows[i].width), rows[i].first);
}

static void counts_are_short(void **state)
{
	(void)state;
	static const struct {
		int64_t n;
		const char *text;
	} rows[] = {{0, "0"},
		    {999, "999"},
		    {1000, "1,000"},
		    {9999, "9,999"},
		    {10000, "10.0k"},
		    {99999, "100k"},
		    {999499, "999k"},
		    {999500, "1.00M"},
		    {12345678, "12.3M"},
		    {1234567890, "1.23G"},
		    {INT64_MAX, "9223372T"}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(64);
		monitor_count(rows[i].n, &b);
		assert_string_equal(b.p, rows[i].text);
		buf_release(&b);
	}
}

#define MODEL(test) cmocka_unit_test_setup_teardown(test, model_make, model_release)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MODEL(those_that_run_come_first_and_then_the_newest),
		MODEL(the_cursor_stays_on_its_experiment_when_others_come_and_go),
		MODEL(a_cursor_that_nobody_moved_is_on_what_began_last),
		MODEL(filters_leave_what_fits_them),
		MODEL(orders_follow_each_other),
		MODEL(the_list_scrolls_with_the_cursor),
		MODEL(a_stop_is_only_wished_for_after_a_yes),
		MODEL(the_answer_stops_the_one_that_was_asked_about),
		MODEL(pausing_one_that_is_paused_lets_it_go_on),
		MODEL(enter_opens_and_escape_goes_back),
		MODEL(tab_goes_round_and_past_a_relay_that_is_not_there),
		MODEL(the_time_left_follows_from_the_speed),
		MODEL(one_that_was_resumed_is_not_measured_by_its_pause),
		MODEL(rates_count_what_changed_in_the_last_minute),
		MODEL(sums_take_all_that_was_read),
		MODEL(errors_are_the_newest_first_and_tell_what_became_of_them),
		MODEL(only_the_newest_errors_are_kept),
		MODEL(what_there_is_room_for_is_drawn),
		MODEL(every_size_is_drawn),
		MODEL(nothing_hostile_reaches_the_screen),
		MODEL(wide_and_combining_characters_keep_their_columns),
		MODEL(lines_break_at_blanks_and_within_long_words),
		MODEL(counts_are_short),
	};
	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
