/* roost help and roost completion: what help.c makes of the tables. */
#include <errno.h>

#include "cli/cli.h"

static const struct cli_option help_options[] = {
	{"man", 0, NULL, "print the manual page instead, for man(1)", NULL},
	{"man-all", 0, "DIR", "write the manual pages of all commands into DIR", NULL},
	OPTION_END,
};
static const struct cli_option no_options[] = {OPTION_END};

/* One page; cmd NULL is roost(1). */
static enum err write_page(struct cli *c, const char *dir, const struct cli_command *cmd)
{
	struct buf path = BUF_INIT(4096);
	enum err e = OK;
	buf_addf(&path, "%s/roost%s%s.1", dir, cmd != NULL ? "-" : "", cmd != NULL ? cmd->name : "");
	FILE *f = path.failed ? NULL : fopen(path.p, "w");
	if (f == NULL) e = err_set(&c->info, ERR_IO, "%s: %s", path.p, strerror(errno));
	else help_man(cmd, f);
	if (f != NULL && fclose(f) != 0) e = err_set(&c->info, ERR_IO, "%s: %s", path.p, strerror(errno));
	buf_release(&path);
	return e;
}

static int run_help(struct cli *c)
{
	const char *dir = cli_option(c, "man-all");
	const struct cli_command *cmd = c->nargs > 0 ? cli_find(c->args[0]) : NULL;
	if (c->nargs > 0 && cmd == NULL) return cli_usage(c, "there is no command \"%.60s\"", c->args[0]);
	if (dir != NULL) {
		enum err e = write_page(c, dir, NULL);
		for (size_t i = 0; cli_commands[i] != NULL && e == OK; i++) e = write_page(c, dir, cli_commands[i]);
		return e == OK ? 0 : cli_fail(c, e, &c->info);
	}
	if (cli_switch(c, "man")) help_man(cmd, stdout);
	else if (cmd != NULL) help_print(cmd, stdout);
	else help_overview(stdout);
	return 0;
}

static int run_completion(struct cli *c)
{
	if (c->nargs > 0 && strcmp(c->args[0], "bash") != 0)
		return cli_usage(c, "knows only bash, not %.60s", c->args[0]);
	help_completion(stdout);
	return 0;
}

const struct cli_command cmd_help = {
	.name = "help",
	.summary = "tell what a command does",
	.args = "[COMMAND]",
	.about = "Without an argument lists the commands. The manual pages come from here too.",
	.example = "roost help chat\n"
		   "roost help --man chat | man -l -\n"
		   "roost help --man-all /usr/local/share/man/man1",
	.options = help_options,
	.args_max = 1,
	.run = run_help,
};

const struct cli_command cmd_completion = {
	.name = "completion",
	.summary = "print the completion script for bash",
	.args = "[bash]",
	.about = "Prints a script that completes roost's commands and options in bash.",
	.example = "source <(roost completion)\n"
		   "roost completion > ~/.local/share/bash-completion/completions/roost",
	.options = no_options,
	.args_max = 1,
	.run = run_completion,
};
