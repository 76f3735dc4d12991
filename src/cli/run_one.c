/* Signals. SIGINT: the messages in flight are finished, then it ends; a second one cuts them. SIGTERM, which `roost stop`
 * sends, cuts them at once; so does the hang-up of the terminal. SIGUSR1 pauses, SIGUSR2 goes on (`roost pause`). */
#include "cli/run_one.h"

#include <fcntl.h>
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
	int keys_fd; /* -1 none */
	bool has_keys, keys_rest, ended;
	int interrupts, status; /* status: the signal's, 0 none */
};

static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

/* ---- what the run tells ----------------------------------------------------------------------------------------- */

static void on_event(void *ctx, size_t conversation, const struct lab_event *e)
{
	struct session *s = ctx;
	s->o->show->event(s->show, conversation, e);
	if (e->type != LE_CONVERGENCE_REACHED) return;
	struct str action = lab_str(e, LF(ConvergenceReachedEvent, action));
	if (str_eq(action, STR("notify")))
		notify(STR("roost"), s->o->spec->name, STR("the conversation has converged"));
	else if (str_eq(action, STR("pause"))) /* somebody has to come */
		notify(STR("roost"), s->o->spec->name, STR("the conversation has converged and is paused"));
}

void run_ignore_pauses(void)
{
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
}

static void on_ended(void *ctx)
{
	struct session *s = ctx;
	s->ended = true;
	for (size_t i = 0; i < ARRAY_LEN(watched); i++) uv_close((uv_handle_t *)&s->signals[i], NULL);
	run_ignore_pauses();
	uv_close((uv_handle_t *)&s->tick, NULL);
	if (s->has_keys) uv_close((uv_handle_t *)&s->keys, NULL);
	s->has_keys = false;
}

/* ---- what people do --------------------------------------------------------------------------------------------- */

static void tell(struct session *s, const char *text)
{
	if (s->o->is_detached) return;
	if (s->o->show->word != NULL) s->o->show->word(s->show, text);
	else fprintf(stderr, "\n%s\n", text);
}

static void on_interrupt(struct session *s)
{
	s->status = 130;
	s->interrupts++;
	if (s->interrupts == 1) tell(s, "finishing the message in flight; Ctrl-C again cuts it");
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

/* Enter goes on after a pause; everything else that is typed is of no interest. What is typed for somebody else, while this
 * runs behind a shell, is left to them, and is not looked at again before the next tick. */
static void on_key(uv_poll_t *p, int status, int events)
{
	struct session *s = p->data;
	char typed[256];
	s->keys_rest = tcgetpgrp(s->keys_fd) != getpgrp();
	if (s->keys_rest) {
		uv_poll_stop(p);
		return;
	}
	ssize_t n = status == 0 && (events & UV_READABLE) != 0 ? read(s->keys_fd, typed, sizeof typed) : 0;
	if (n <= 0) uv_poll_stop(p);
	else if (memchr(typed, '\n', (size_t)n) != NULL) run_resume(s->run);
}

static void on_tick(uv_timer_t *t)
{
	struct session *s = t->data;
	s->o->show->tick(s->show);
	if (s->keys_rest) uv_poll_start(&s->keys, UV_READABLE, on_key);
	s->keys_rest = false;
	if (!ferror(stdout) || s->status != 0) return;
	s->status = 128 + SIGPIPE; /* nobody reads what is shown */
	run_stop(s->run, true);
}

/* The terminal once more, as a file of its own: the loop makes it non-blocking, which stdin, shared with the shell and with
 * stdout, must not become. */
static int open_terminal(void)
{
	char name[256];
	if (ttyname_r(STDIN_FILENO, name, sizeof name) != 0) return -1;
	return open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
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
	s->keys_fd = s->o->is_detached ? -1 : open_terminal();
	if (s->keys_fd < 0 || uv_poll_init(loop, &s->keys, s->keys_fd) != 0) return;
	s->has_keys = true;
	s->keys.data = s;
	uv_poll_start(&s->keys, UV_READABLE, on_key);
}

/* ---- the whole of it -------------------------------------------------------------------------------------------- */

static int status_of(const struct session *s, enum err e)
{
	enum experiment_status st = run_manifest(s->run)->status;
	if (e != OK && s->status == 0) return err_exit(e);
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

/* Why it failed. In the background stderr is a file, and a provider's words may repeat what it was asked. */
static void tell_error(struct session *s, enum err e, const struct errinfo *info)
{
	bool hides = s->o->is_detached && s->o->spec->redact != REDACT_NONE && e != ERR_STORAGE_FULL && e != ERR_IO;
	struct errinfo bare = {.err = e};
	(void)cli_fail(s->cli, e, hides ? &bare : info);
}

int run_one(struct cli *c, const struct run_one *o, int *out_asked)
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
	*out_asked = 0;
	process_prepare();
	enum err e = run_new(&ro, &s.run, &info);
	if (e != OK) {
		if (o->is_detached) detach_tell(e, &info);
		return cli_fail(c, e, &info);
	}
	struct show_about about = {o->spec, run_manifest(s.run), o->place->dir, o->resume};
	s.show = o->show->begin(&about);
	watch(&s);
	run_start(s.run);
	if (o->is_detached) detach_tell(run_error(s.run, &info), &info); /* whoever looks now finds a manifest */
	while (!s.ended) uv_run(&o->offline->loop, UV_RUN_ONCE);
	e = run_error(s.run, &info);
	o->show->end(s.show, e, &info);
	tell_end(&s);
	int status = status_of(&s, e);
	if (e != OK && status != 0 && s.status == 0) tell_error(&s, e, &info);
	*out_asked = s.status;
	run_free(s.run);
	uv_run(&o->offline->loop, UV_RUN_NOWAIT);
	if (s.keys_fd >= 0) close(s.keys_fd);
	return status;
}
