/* roost monitor: experiments as they go, on the whole screen.
 *
 * One loop: keys, a tick that looks at the files, and between them what is left to read, a few milliseconds at a time. The
 * daemon is asked on a thread of its own, so one that does not answer stops nothing. */
#include <signal.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "cli/experiments.h"
#include "cli/monitor_draw.h"
#include "cli/monitor_screen.h"
#include "cli/monitor_watch.h"

#define TICK_MS 500
#define IDLE_US 5000 /* of reading between two looks at the keys */
#define FRAME_MS 100 /* at most ten frames a second while it reads */
#define RELAY_EVERY_MS 2000
#define RELAY_WAIT_MS 1000
#define EXIT_SIGNAL 128

static const struct cli_option options[] = {
	OPTIONS_PLACE,
	{"once", '1', NULL, "print it once, without a screen", NULL},
	OPTION_JSON,
	OPTION_END,
};

enum { ON_WINCH, ON_CONT, ON_INT, ON_TERM, ON_HUP, SIGNALS };
static const int signals[SIGNALS] = {SIGWINCH, SIGCONT, SIGINT, SIGTERM, SIGHUP};

struct app {
	struct monitor m;
	struct watch *watch;
	struct canvas canvas;
	uv_loop_t loop;
	uv_timer_t tick;
	uv_idle_t idle;
	uv_poll_t keys;
	uv_signal_t signal[SIGNALS];
	int64_t drawn_boot_ms;
	int status;
	bool is_over;

	uv_work_t work;
	bool is_asking;
	int64_t asked_boot_ms; /* 0 never */
	struct cli asker;      /* the thread's own */
	struct monitor_relay answer;
};

/* ---- the daemon ------------------------------------------------------------------------------------------------- */

static void take_queues(const struct json *root, struct monitor_relay *r)
{
	for (struct json_iter it = json_iter(json_get(root, "queues")); json_next(&it);) {
		struct monitor_queue q = {0};
		str_copy(cli_text(it.val, "sessionId"), q.session, sizeof q.session);
		str_copy(cli_text(it.val, "user"), q.user, sizeof q.user);
		(void)json_bool(json_get(it.val, "paused"), &q.is_paused);
		(void)json_int(json_get(it.val, "running"), &q.running);
		(void)json_int(json_get(it.val, "waiting"), &q.waiting);
		(void)json_int(json_get(it.val, "dead"), &q.dead);
		r->running += q.running;
		r->waiting += q.waiting;
		r->dead += q.dead;
		if (r->n < MONITOR_QUEUES) r->list[r->n++] = q;
		r->all++;
	}
}

/* May be on another thread. */
static void relay_ask(struct cli *c, struct monitor_relay *out)
{
	struct json_doc *doc = NULL;
	*out = (struct monitor_relay){.is = RELAY_NONE};
	enum err e = operator_call(c, "GET", "queue", STR_NONE, RELAY_WAIT_MS, &doc);
	if (e == OK) {
		out->is = RELAY_UP;
		take_queues(json_root(doc), out);
	} else {
		snprintf(out->why, sizeof out->why, "%s", err_sentence(&c->info, e));
	}
	json_free(doc);
}

static void work_run(uv_work_t *work)
{
	struct app *a = work->data;
	relay_ask(&a->asker, &a->answer);
}

static void work_done(uv_work_t *work, int status)
{
	struct app *a = work->data;
	a->is_asking = false;
	if (status == 0) monitor_put_relay(&a->m, &a->answer);
}

static void relay_again(struct app *a)
{
	if (a->is_asking || (a->asked_boot_ms > 0 && a->m.boot_ms - a->asked_boot_ms < RELAY_EVERY_MS)) return;
	a->asked_boot_ms = a->m.boot_ms;
	a->work.data = a;
	a->is_asking = uv_queue_work(&a->loop, &a->work, work_run, work_done) == 0;
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

static void draw(struct app *a)
{
	int rows, cols;
	monitor_screen_size(&rows, &cols);
	monitor_arrange(&a->m);
	monitor_draw(&a->m, &a->canvas, rows, cols);
	monitor_screen_show(&a->canvas);
	a->drawn_boot_ms = a->m.boot_ms;
}

static void look_at_clock(struct app *a) { monitor_clock(&a->m, clock_boot_ms(), clock_wall_ms()); }

static void on_idle(uv_idle_t *idle)
{
	struct app *a = idle->data;
	look_at_clock(a);
	bool is_more = watch_idle(a->watch, IDLE_US);
	if (!is_more) uv_idle_stop(idle);
	if (!is_more || a->m.boot_ms - a->drawn_boot_ms >= FRAME_MS) draw(a);
}

static void on_tick(uv_timer_t *tick)
{
	struct app *a = tick->data;
	look_at_clock(a);
	watch_tick(a->watch);
	relay_again(a);
	uv_idle_start(&a->idle, on_idle);
}

/* ---- keys and signals ------------------------------------------------------------------------------------------- */

static void end(struct app *a, int status)
{
	if (a->is_over) return;
	a->is_over = true;
	a->status = status;
	uv_close((uv_handle_t *)&a->tick, NULL);
	uv_close((uv_handle_t *)&a->idle, NULL);
	uv_close((uv_handle_t *)&a->keys, NULL);
	for (size_t i = 0; i < SIGNALS; i++) uv_close((uv_handle_t *)&a->signal[i], NULL);
	if (a->is_asking) uv_cancel((uv_req_t *)&a->work);
}

static void tell(struct app *a, const struct monitor_wish *wish)
{
	struct errinfo info = {0};
	enum err e = place_tell(wish->row->dir, wish->ask, &info);
	if (e != OK) monitor_say(&a->m, true, "%s", err_sentence(&info, e));
	else if (wish->ask == PLACE_STOP) monitor_say(&a->m, false, "%.100s is told to stop", wish->row->name);
	else if (wish->ask == PLACE_PAUSE)
		monitor_say(&a->m, false, "%.100s pauses after the messages in flight", wish->row->name);
	else monitor_say(&a->m, false, "%.100s goes on", wish->row->name);
}

static void on_keys(uv_poll_t *poll, int status, int events)
{
	struct app *a = poll->data;
	look_at_clock(a);
	for (int32_t key; (key = monitor_screen_key()) != 0;) {
		struct monitor_wish wish = monitor_key(&a->m, key);
		if (wish.is == WISH_TELL) tell(a, &wish);
		if (wish.is == WISH_REDRAW) monitor_screen_redraw();
		if (wish.is == WISH_QUIT) {
			end(a, 0);
			return;
		}
	}
	if (status < 0 || (events & UV_DISCONNECT)) {
		end(a, EXIT_SIGNAL + SIGHUP);
		return;
	}
	draw(a);
	uv_idle_start(&a->idle, on_idle); /* what the key asks for may have to be read */
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct app *a = handle->data;
	if (number == SIGCONT) monitor_screen_redraw();
	if (number == SIGWINCH || number == SIGCONT) draw(a);
	else end(a, EXIT_SIGNAL + number);
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

/* Before ncurses sets handlers of its own. */
static void loop_begin(struct app *a)
{
	bool is_fine = uv_loop_init(&a->loop) == 0 && uv_timer_init(&a->loop, &a->tick) == 0 &&
		       uv_idle_init(&a->loop, &a->idle) == 0 && uv_poll_init(&a->loop, &a->keys, STDIN_FILENO) == 0;
	a->tick.data = a->idle.data = a->keys.data = a;
	for (size_t i = 0; i < SIGNALS && is_fine; i++) {
		a->signal[i].data = a;
		is_fine = uv_signal_init(&a->loop, &a->signal[i]) == 0 &&
			  uv_signal_start(&a->signal[i], on_signal, signals[i]) == 0;
	}
	if (!is_fine) die(err_exit(ERR_INTERNAL), "no event loop");
}

static void loop_run(struct app *a)
{
	int rows, cols;
	look_at_clock(a);
	monitor_screen_size(&rows, &cols);
	monitor_draw(&a->m, &a->canvas, rows, cols); /* not shown: tells how many rows are to be read first */
	watch_tick(a->watch);
	draw(a);
	uv_poll_start(&a->keys, UV_READABLE | UV_DISCONNECT, on_keys);
	uv_timer_start(&a->tick, on_tick, TICK_MS, TICK_MS);
	uv_idle_start(&a->idle, on_idle);
	relay_again(a);
	uv_run(&a->loop, UV_RUN_DEFAULT);
}

static void print_once(struct cli *c, struct app *a)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	/* The second time for the event files of what the first has found. */
	for (int i = 0; i < 2; i++) {
		watch_tick(a->watch);
		while (watch_idle(a->watch, IDLE_US)) continue;
	}
	relay_ask(&a->asker, &a->answer);
	monitor_put_relay(&a->m, &a->answer);
	if (cli_switch(c, "json")) {
		monitor_print_json(&a->m, &b);
		printf("%.*s\n", STR_ARG(buf_str(&b)));
	} else {
		monitor_print(&a->m, stdout);
	}
	buf_release(&b);
}

static int run_screen(struct app *a)
{
	if (!monitor_screen_can()) return -1;
	loop_begin(a);
	if (monitor_screen_begin()) {
		loop_run(a);
		monitor_screen_end();
	} else {
		end(a, -1);
		uv_run(&a->loop, UV_RUN_DEFAULT);
	}
	uv_loop_close(&a->loop);
	return a->status;
}

static int run(struct cli *c)
{
	enum err e = cli_load_config(c);
	if (e != OK) return cli_fail(c, e, &c->info);
	struct app *a = xcalloc(1, sizeof *a);
	char *output = experiments_output(c);
	int status = -1;
	monitor_init(&a->m, output, clock_boot_ms(), clock_wall_ms());
	a->asker = *c;
	a->watch = watch_new(&a->m);
	if (!cli_switch(c, "once") && !cli_switch(c, "json")) status = run_screen(a);
	if (status < 0) {
		print_once(c, a);
		status = 0;
	}
	watch_free(a->watch);
	monitor_release(&a->m);
	canvas_release(&a->canvas);
	free(output);
	free(a);
	return status;
}

const struct cli_command cmd_monitor = {
	.name = "monitor",
	.summary = "watch experiments as they go, on the whole screen",
	.args = "",
	.about =
		"Shows the experiments of the output directory, those that run first: how far they are, what they cost,\n"
		"when they will be done; the conversations of the chosen one with their convergence; the errors of the last\n"
		"minutes and what became of them; and the queues of the daemon when one runs.\n"
		"\n"
		"Arrows, PgUp, PgDn, Home and End move; Tab goes to the next panel; Enter opens a conversation's last\n"
		"messages, Esc goes back. / filters by a text, f by status, o changes the order. s stops the chosen\n"
		"experiment after a question, p pauses it or lets it go on. ? explains the keys, q leaves: what runs goes on.\n"
		"\n"
		"Where there is no terminal to draw on, and with --once or --json, it prints everything once and ends.",
	.example = "roost monitor\n"
		   "roost monitor --output ~/experiments\n"
		   "roost monitor --json",
	.options = options,
	.run = run,
};
