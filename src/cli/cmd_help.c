/* roost help and roost completion: what help.c and complete.c make of the tables. */
#include <dirent.h>
#include <errno.h>

#include "cli/cli.h"
#include "lab/place.h"

#define NAMED_MAX 500 /* experiments that a Tab offers, the newest */
#define OPENED_MAX 50 /* of which the conversations are looked for */

static const struct cli_option help_options[] = {
	{"man", 0, NULL, "print the manual page instead, for man(1)", NULL},
	{"markdown", 0, NULL, "print the page of all commands, docs/commands.md", NULL},
	{"man-all", 0, "DIR", "write the manual pages of all commands into DIR", NULL},
	OPTION_END,
};
static const struct cli_option completion_options[] = {
	{"names", 0, "WHAT", "print names for it instead: experiments or conversations", NULL},
	{"config", 'c', "FILE", "the configuration file", "$XDG_CONFIG_HOME/roost/roost.yaml"},
	OPTION_DATA,
	OPTION_END,
};

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
	if (cli_switch(c, "markdown")) help_markdown(stdout);
	else if (cli_switch(c, "man")) help_man(cmd, stdout);
	else if (cmd != NULL) help_print(cmd, stdout);
	else help_overview(stdout);
	return 0;
}

/* ---- completion --------------------------------------------------------------------------------------------------- */

/* What means nothing to a shell. */
static bool is_safe(const char *name)
{
	size_t n = strlen(name);
	return n > 0 && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

/* By its name when that can be typed and is no other's. */
static void print_experiments(const struct place_list *l)
{
	for (size_t i = 0; i < MIN(l->n, (size_t)NAMED_MAX); i++) {
		bool is_only = is_safe(l->list[i].name);
		for (size_t k = 0; k < l->n && is_only; k++)
			is_only = k == i || strcmp(l->list[k].name, l->list[i].name) != 0;
		puts(is_only ? l->list[i].name : l->list[i].id);
	}
}

static void print_conversations(const struct place_list *l)
{
	for (size_t i = 0; i < MIN(l->n, (size_t)OPENED_MAX); i++) {
		DIR *d = opendir(l->list[i].dir);
		for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
			struct str name = str_c(e->d_name);
			char id[128];
			if (!str_starts(name, STR("events_")) || name.n < 13) continue;
			if (!str_eq(str_n(name.p + name.n - 6, 6), STR(".jsonl"))) continue;
			if (str_copy(str_n(name.p + 7, name.n - 13), id, sizeof id) && is_safe(id)) puts(id);
		}
		if (d != NULL) closedir(d);
	}
}

static int print_names(struct cli *c, const char *what)
{
	bool is_experiments = strcmp(what, "experiments") == 0;
	struct place_list l = {0};
	if (!is_experiments && strcmp(what, "conversations") != 0)
		return cli_usage(c, "--names is %.60s; it must be experiments or conversations", what);
	enum err e = cli_load_config(c);
	char *output = place_output(&c->config, NULL);
	if (e == OK) e = place_list(output, &l, &c->info);
	if (is_experiments) print_experiments(&l);
	else print_conversations(&l);
	place_list_release(&l);
	free(output);
	return e == OK ? 0 : cli_fail(c, e, &c->info);
}

static int run_completion(struct cli *c)
{
	const char *shell = c->nargs > 0 ? c->args[0] : "bash", *names = cli_option(c, "names");
	if (names != NULL) return print_names(c, names);
	if (complete_write(str_c(shell), stdout)) return 0;
	return cli_usage(c, "knows bash, zsh and fish, not %.60s", shell);
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
	.summary = "print the completion script for a shell",
	.args = "[bash | zsh | fish]",
	.about =
		"Prints a script that completes roost's commands, options and their values in bash, zsh or fish. The Debian\n"
		"package has them all in place. Names of experiments are looked up as Tab is pressed, in the directory that\n"
		"the configuration says.",
	.example = "source <(roost completion bash)\n"
		   "roost completion bash > ~/.local/share/bash-completion/completions/roost\n"
		   "roost completion zsh > ~/.zfunc/_roost\n"
		   "roost completion fish > ~/.config/fish/completions/roost.fish",
	.options = completion_options,
	.args_max = 1,
	.run = run_completion,
};
