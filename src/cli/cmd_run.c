/* roost run: experiments, in the foreground or the background. */
#include "cli/run_specs.h"

static const struct cli_option options[] = {
	SPEC_OPTIONS OPTIONS_RUN,
	{"resume", 0, "EXPERIMENT", "continue an experiment that ended early, at the very message", NULL},
	{"in", 0, "ID", NULL, NULL}, /* how a background run is started: lab/detach.h */
	OPTION_END,
};

static enum err specs_of_line(struct cli *c, struct spec **out, size_t *out_n)
{
	if (c->nargs > 0) return spec_load(c->args[0], &c->config, out, out_n, &c->info);
	*out = xcalloc(1, sizeof **out);
	*out_n = 1;
	spec_init(*out, &c->config);
	return OK;
}

static int run(struct cli *c)
{
	struct spec *specs = NULL;
	struct offline off = {0};
	size_t n = 0;
	int status;
	if (cli_switch(c, "in")) return run_detached(c);
	enum err e = cli_load_config(c);
	if (e == OK && cli_switch(c, "quiet") && cli_switch(c, "tail"))
		e = err_set(&c->info, ERR_USAGE, "--quiet and --tail contradict each other");
	if (e == OK && c->nargs > 0 && cli_switch(c, "resume"))
		e = err_set(&c->info, ERR_USAGE,
			    "--resume takes what the experiment was begun with, and no other spec");
	if (e == OK && cli_switch(c, "resume")) return run_resumed(c, cli_option(c, "resume"));
	if (e == OK) e = specs_of_line(c, &specs, &n);
	for (size_t i = 0; i < n && e == OK; i++) e = run_apply_line(c, &specs[i]);
	if (e == OK) e = run_open(c, &off);
	status = e == OK ? run_specs(c, &off, specs, n) : cli_fail(c, e, &c->info);
	offline_close(&off);
	for (size_t i = 0; i < n; i++) spec_release(&specs[i]);
	free(specs);
	return status;
}

const struct cli_command cmd_run = {
	.name = "run",
	.summary = "let models talk to each other, and record it",
	.args = "[SPEC]",
	.args_max = 1,
	.about =
		"Runs an experiment: conversations between two or more models, each event of which is written as it\n"
		"happens. SPEC is a YAML file; options go over what it says. What follows from them is checked before any\n"
		"model is asked.\n"
		"\n"
		"Ctrl-C finishes the messages in flight and ends; a second one cuts them. What was said is kept either\n"
		"way, and --resume goes on from there.\n"
		"\n"
		"With --quiet it runs in the background: see roost monitor, roost stop.\n"
		"\n"
		"--redact keeps texts out of files. Displays show them all the same, but for --json, whose lines are those\n"
		"of the files: it is mostly sent to one.",
	.example = "roost run -a local:test -b local:test -t 5 -p \"Hello\"\n"
		   "roost run -a claude -b gpt --repetitions 10 --max-parallel 4 --quiet\n"
		   "roost run experiment.yaml --dry-run\n"
		   "roost run --resume bold-heron",
	.options = options,
	.run = run,
};
