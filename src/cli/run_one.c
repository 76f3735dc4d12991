/* Signals. SIGINT: the messages in flight are finished, then it ends; a second one cuts them. SIGTERM, which `roost stop`
 * sends, cuts them at once; so does the hang-up of the terminal. SIGUSR1 pauses, SIGUSR2 goes on (`roost pause`). */
#include "cli/run_one.h"

#include <signal.h>
#include <unistd.h>

#include "cli/notify.h"
#include "cli/term.h"
#include "host/process.h"
#include "lab/detach.h"
#include "lab/run.h"

#define TICK_MS 250

struct session {
	struct cli *cli;
	const struct run_one *o;
	struct run *run;
	void *show; /* the display's */
	uv_signal_t signals[5];
	uv_timer_t tick;
	uv_poll_t keys;
	bool has_keys, ended, paused_told;
	int interrupts, status; /* status: the signal's, 0 none */
};

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

/* ---- what the run tells ----------------------------------------------------------------------------------------- */

static void on_event(void *ctx, size_t conversation, const struct lab_event *e)
{
	struct session *s = ctx;
	s->o->show->event(s->show, conversation, e);
	if (e->type == LE_CONVERGENCE_REACHED &&
	    str_eq(lab_str(e, LF(ConvergenceReachedEvent, action)), STR("notify")))
		notify(STR("roost"), s->o->spec->name, STR("the conversation has converged"));
}

static void on_ended(void *ctx)
{
	struct session *s = ctx;
	s->ended = true;
	for (size_t i = 0; i < ARRAY_LEN(watched); i++) uv_close((uv_handle_t *)&s->signals[i], NULL);
	uv_close((uv_handle_t *)&s->tick, NULL);
	if (s->has_keys) uv_close((uv_handle_t *)&s->keys, NULL);
	s->has_keys = false;
}

/* ---- what people do --------------------------------------------------------------------------------------------- */

static void on_interrupt(struct session *s)
{
	s->status = 130;
	s->interrupts++;
	if (s->interrupts == 1 && !s->o->is_detached)
		fputs("\nfinishing the message in flight; Ctrl-C again cuts it\n", stderr);
	run_stop(s->run, s->interrupts > 1);
}

static void on_signal(uv_signal_t *h, int number)
{
	struct session *s = h->data;
	switch (number) {
	case SIGINT: on_interrupt(s); break;
	case SIGUSR1: run_pause(s->run); break;
	case SIGUSR2: run_resume(s->run); break;
	case SIGHUP:
		if (s->o->is_detached) break;
		/* fall through */
	default:
		s->status = 128 + number;
		run_stop(s->run, true);
		break;
	}
}

static void on_tick(uv_timer_t *t)
{
	struct session *s = t->data;
	s->o->show->tick(s->show);
	if (!ferror(stdout) || s->status != 0) return;
	s->status = 128 + SIGPIPE; /* nobody reads what is shown */
	run_stop(s->run, true);
}

/* Enter goes on after a pause; everything else that is typed is of no interest. */
static void on_key(uv_poll_t *p, int status, int events)
{
	struct session *s = p->data;
	char typed[256];
	ssize_t n = status == 0 && (events & UV_READABLE) != 0 ? read(STDIN_FILENO, typed, sizeof typed) : 0;
	if (n <= 0) uv_poll_stop(p);
	else if (memchr(typed, '\n', (size_t)n) != NULL) run_resume(s->run);
}

static void watch(struct session *s)
{
	uv_loop_t *loop = &s->o->offline->loop;
	for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
		uv_signal_init(loop, &s->signals[i]);
		s->signals[i].data = s;
		uv_signal_start(&s->signals[i], on_signal, watched[i]);
	}
	uv_timer_init(loop, &s->tick);
	s->tick.data = s;
	uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
	if (s->o->is_detached || !isatty(STDIN_FILENO) || uv_poll_init(loop, &s->keys, STDIN_FILENO) != 0) return;
	s->has_keys = true;
	s->keys.data = s;
	uv_poll_start(&s->keys, UV_READABLE, on_key);
}

/* ---- the whole of it -------------------------------------------------------------------------------------------- */

static int status_of(const struct session *s, enum err e)
{
	enum experiment_status st = run_manifest(s->run)->status;
	if (e != OK && st != EXPERIMENT_COMPLETED && s->status == 0) return err_exit(e);
	if (st == EXPERIMENT_INTERRUPTED) return s->status != 0 ? s->status : err_exit(ERR_CANCELLED);
	return st == EXPERIMENT_COMPLETED ? 0 : err_exit(e != OK ? e : ERR_PROVIDER);
}

static void tell_end(struct session *s)
{
	const struct manifest *m = run_manifest(s->run);
	char text[160];
	if (!s->o->spec->notify) return;
	snprintf(text, sizeof text, "%s, %zu of %zu conversations", experiment_status_name(m->status),
		 m->count[LAB_COMPLETED], m->n);
	notify(STR("roost"), m->name, str_c(text));
}

int run_one(struct cli *c, const struct run_one *o)
{
	struct session s = {.cli = c, .o = o};
	struct errinfo info = {0};
	struct run_options ro = {.loop = &o->offline->loop,
				 .limits = &c->config.limits,
				 .providers = o->offline->providers,
				 .catalog = o->offline->catalog,
				 .spec = o->spec,
				 .place = o->place,
				 .resume = o->resume,
				 .chunks = o->show->wants_chunks,
				 .sync_ms = c->config.lab_sync_ms,
				 .hooks = {on_event, on_ended},
				 .ctx = &s};
	process_prepare();
	enum err e = run_new(&ro, &s.run, &info);
	if (o->is_detached) detach_tell(e, &info);
	if (e != OK) return cli_fail(c, e, &info);
	struct show_about about = {o->spec, run_manifest(s.run), o->place->dir, o->resume};
	s.show = o->show->begin(&about);
	watch(&s);
	run_start(s.run);
	while (!s.ended) uv_run(&o->offline->loop, UV_RUN_ONCE);
	e = run_error(s.run, &info);
	o->show->end(s.show, e, &info);
	tell_end(&s);
	int status = status_of(&s, e);
	if (e != OK && status != 0 && s.status == 0) (void)cli_fail(c, e, &info);
	run_free(s.run);
	uv_run(&o->offline->loop, UV_RUN_NOWAIT);
	return status;
}
