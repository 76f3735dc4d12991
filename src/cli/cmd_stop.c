/* roost stop, roost pause: telling experiments that run. */
#include <sys/stat.h>

#include "base/clock.h"
#include "cli/experiments.h"
#include "cli/term.h"

#define WAIT_S 30
#define WAIT_MAX_S 86400
#define KILL_WAIT_MS 10000 /* for the kernel to take a killed process away */

struct target {
	struct place place;
	dev_t dev;
	ino_t ino;
	enum err err; /* of telling it and of its end */
	char why[240];
};
struct targets {
	struct target *list;
	size_t n;
};

static void targets_release(struct targets *t)
{
	for (size_t i = 0; i < t->n; i++) place_release(&t->list[i].place);
	free(t->list);
	*t = (struct targets){0};
}

/* Takes the place. Two names of one experiment are one target: a second signal would mean something else. */
static void target_add(struct targets *t, struct place *p)
{
	struct stat st = {0};
	if (stat(p->dir, &st) != 0) st.st_ino = 0;
	for (size_t i = 0; i < t->n; i++) {
		if (t->list[i].dev != st.st_dev || t->list[i].ino != st.st_ino) continue;
		place_release(p);
		return;
	}
	t->list = xrealloc(t->list, xmul(t->n + 1, sizeof *t->list));
	t->list[t->n++] = (struct target){.place = *p, .dev = st.st_dev, .ino = st.st_ino};
	*p = (struct place){0};
}

static enum err add_running(struct cli *c, const char *output, struct targets *t)
{
	struct place_list l;
	enum err e = place_running(output, &l, &c->info);
	for (size_t i = 0; i < l.n && e == OK; i++) {
		struct place p = {.dir = xstrdup(l.list[i].dir), .name = xstrdup(l.list[i].name)};
		memcpy(p.id, l.list[i].id, sizeof p.id);
		target_add(t, &p);
	}
	place_list_release(&l);
	return e;
}

/* Those that were named, or all: in the output that was named, else in every one. */
static enum err targets_find(struct cli *c, struct targets *out)
{
	enum err e = OK;
	*out = (struct targets){0};
	if (cli_switch(c, "all")) {
		char *output = experiments_output(c);
		e = add_running(c, output, out);
		free(output);
		if (e == OK && !cli_switch(c, "output")) e = add_running(c, NULL, out);
	}
	for (int i = 0; i < c->nargs && e == OK; i++) {
		struct place p;
		e = experiment_find(c, c->args[i], &p);
		if (e == OK) target_add(out, &p);
	}
	if (e != OK) targets_release(out);
	return e;
}

static void target_fail(struct target *t, enum err e, const struct errinfo *info)
{
	t->err = e;
	snprintf(t->why, sizeof t->why, "%s", err_sentence(info, e));
}

static void tell(struct target *t, enum place_ask ask)
{
	struct errinfo info = {0};
	struct look l;
	enum err e = place_tell(t->place.dir, ask, &info);
	if (e == OK) return;
	target_fail(t, e, &info);
	if (e != ERR_BAD_STATE) return;
	if (look_at(t->place.dir, false, &l, NULL) == OK)
		snprintf(t->why, sizeof t->why, "%.100s does not run: it is %s", t->place.name, l.words);
	look_release(&l);
}

static enum err line_check(struct cli *c)
{
	bool is_all = cli_switch(c, "all");
	if (c->nargs == 0 && !is_all) return err_set(&c->info, ERR_USAGE, "say which experiment, or --all");
	if (c->nargs > 0 && is_all) return err_set(&c->info, ERR_USAGE, "--all is all; name none beside it");
	if (cli_switch(c, "finish") && cli_switch(c, "now"))
		return err_set(&c->info, ERR_USAGE, "--finish and --now contradict each other");
	return OK;
}

/* ---- stop ------------------------------------------------------------------------------------------------------- */

static const struct cli_option stop_options[] = {
	OPTIONS_PLACE,
	{"all", 'a', NULL, "every experiment that runs", NULL},
	{"finish", 0, NULL, "let the messages in flight be finished first", NULL},
	{"now", 0, NULL, "kill the process when it has not ended in time", NULL},
	{"wait", 'w', "SECONDS", "how long to wait for the end; 0 does not wait", "30"},
	OPTION_JSON,
	OPTION_END,
};

static void wait_for(struct target *t, int64_t left_ms, bool kills)
{
	struct errinfo info = {0};
	if (t->err != OK || place_wait(t->place.dir, left_ms)) return;
	if (kills) {
		enum err e = place_tell(t->place.dir, PLACE_KILL, &info);
		if ((e == OK || e == ERR_BAD_STATE) && place_wait(t->place.dir, KILL_WAIT_MS)) return;
	}
	(void)err_set(&info, ERR_TIMEOUT, "%.100s was told to stop and still runs; --now kills it", t->place.name);
	target_fail(t, ERR_TIMEOUT, &info);
}

static void say_end(const struct cli *c, const struct target *t)
{
	struct look l;
	struct buf b = BUF_INIT(1024);
	if (t->err != OK) {
		struct errinfo info = {.err = t->err};
		snprintf(info.text, sizeof info.text, "%s", t->why);
		cli_fail(c, t->err, &info);
	} else if (place_pid(t->place.dir) != 0) {
		printf("%s (%s) was told to stop\n", t->place.name, t->place.id);
	} else {
		enum err e = look_at(t->place.dir, false, &l, NULL);
		if (e == OK) experiment_progress(&l, &b);
		printf("%s (%s) has stopped: %s%s%s\n", t->place.name, t->place.id, e == OK ? l.words : "unreadable",
		       b.n > 0 ? ", " : "", b.n > 0 ? b.p : "");
		look_release(&l);
	}
	buf_release(&b);
}

static void print_ends(const struct targets *t)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_arr(&w);
	for (size_t i = 0; i < t->n; i++) {
		const struct target *one = &t->list[i];
		struct look l;
		bool is_known = look_at(one->place.dir, false, &l, NULL) == OK;
		jw_obj(&w);
		jw_kstr(&w, "id", str_c(one->place.id));
		jw_kstr(&w, "name", str_c(one->place.name));
		jw_kbool(&w, "stopped", one->err == OK && l.pid == 0);
		jw_kstr(&w, "status", is_known ? str_c(experiment_status_name(l.status)) : STR("unreadable"));
		jw_kbool(&w, "killed", l.is_killed);
		if (one->err != OK) jw_kstr(&w, "error", str_c(one->why));
		jw_obj_end(&w);
		look_release(&l);
	}
	jw_arr_end(&w);
	printf("%.*s\n", STR_ARG(buf_str(&b)));
	buf_release(&b);
}

static enum err wait_option(struct cli *c, int64_t *out_ms)
{
	const char *text = cli_option(c, "wait");
	int64_t s = WAIT_S;
	if (text != NULL && (!str_to_int(str_c(text), &s) || s < 0 || s > WAIT_MAX_S))
		return err_set(&c->info, ERR_USAGE, "--wait takes seconds from 0 to %d", WAIT_MAX_S);
	*out_ms = s * 1000;
	return OK;
}

static int run_stop(struct cli *c)
{
	struct targets t = {0};
	int64_t wait_ms = 0;
	bool kills = cli_switch(c, "now");
	enum err e = line_check(c), worst = OK;
	if (e == OK) e = wait_option(c, &wait_ms);
	if (e == OK) e = cli_load_config(c);
	if (e == OK) e = targets_find(c, &t);
	if (e != OK) return cli_fail(c, e, &c->info);
	int64_t end_ms = clock_boot_ms() + wait_ms;
	for (size_t i = 0; i < t.n; i++) tell(&t.list[i], cli_switch(c, "finish") ? PLACE_FINISH : PLACE_STOP);
	for (size_t i = 0; i < t.n && (wait_ms > 0 || kills); i++)
		wait_for(&t.list[i], MAX(end_ms - clock_boot_ms(), (int64_t)0), kills);
	if (cli_switch(c, "json")) print_ends(&t);
	else if (t.n == 0) printf("nothing runs\n");
	for (size_t i = 0; i < t.n; i++) {
		if (!cli_switch(c, "json")) say_end(c, &t.list[i]);
		if (worst == OK) worst = t.list[i].err;
	}
	targets_release(&t);
	return err_exit(worst);
}

const struct cli_command cmd_stop = {
	.name = "stop",
	.summary = "end experiments that run",
	.args = "[EXPERIMENT...]",
	.about =
		"Ends experiments that run in the background or in another terminal, and tells what has become of them.\n"
		"EXPERIMENT is an id, its eight digits, a name, the beginning of one of these, the id of one of its\n"
		"conversations, or a directory. One that runs in another output directory is found as well.\n"
		"\n"
		"The messages in flight are cut; with --finish they are finished first. Either way every conversation\n"
		"gets its end, and what was said is kept: `roost run --resume` goes on from there. A process that does\n"
		"not end by itself is killed with --now; that loses no finished message either.",
	.example = "roost stop bold-heron\n"
		   "roost stop --all --finish --wait 300",
	.options = stop_options,
	.args_max = -1,
	.run = run_stop,
};

/* ---- pause ------------------------------------------------------------------------------------------------------ */

static const struct cli_option pause_options[] = {
	OPTIONS_PLACE,
	{"all", 'a', NULL, "every experiment that runs", NULL},
	{"resume", 'r', NULL, "go on", NULL},
	OPTION_END,
};

static int run_pause(struct cli *c)
{
	struct targets t = {0};
	bool goes_on = cli_switch(c, "resume");
	enum err e = line_check(c), worst = OK;
	if (e == OK) e = cli_load_config(c);
	if (e == OK) e = targets_find(c, &t);
	if (e != OK) return cli_fail(c, e, &c->info);
	for (size_t i = 0; i < t.n; i++) {
		struct target *one = &t.list[i];
		tell(one, goes_on ? PLACE_RESUME : PLACE_PAUSE);
		if (one->err == OK)
			printf("%s (%s) %s\n", one->place.name, one->place.id,
			       goes_on ? "goes on" : "pauses after the messages in flight");
		else say_end(c, one);
		if (worst == OK) worst = one->err;
	}
	if (t.n == 0) printf("nothing runs\n");
	targets_release(&t);
	return err_exit(worst);
}

const struct cli_command cmd_pause = {
	.name = "pause",
	.summary = "let experiments that run wait, and go on",
	.args = "[EXPERIMENT...]",
	.about =
		"An experiment that is paused finishes the messages in flight, asks no model any more and waits.\n"
		"`roost pause --resume` lets it go on; its process runs all the while. To continue an experiment that\n"
		"has ended, use `roost run --resume`.",
	.example = "roost pause bold-heron\n"
		   "roost pause --resume bold-heron",
	.options = pause_options,
	.args_max = -1,
	.run = run_pause,
};
