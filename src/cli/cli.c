#include "cli/cli.h"

#include <getopt.h>
#include <signal.h>
#include <unistd.h>

#include "cli/term.h"

extern const struct cli_command cmd_serve, cmd_pair, cmd_users, cmd_devices, cmd_chat, cmd_models, cmd_status,
	cmd_queue, cmd_history, cmd_log, cmd_backup, cmd_restore, cmd_doctor, cmd_discover, cmd_version, cmd_help,
	cmd_completion, cmd_config, cmd_dimensions, cmd_keys, cmd_usage, cmd_budget, cmd_run, cmd_stop, cmd_pause,
	cmd_experiment, cmd_cleanup, cmd_branch, cmd_monitor;

const struct cli_command *const cli_commands[] = {
	&cmd_serve,    &cmd_run,     &cmd_branch,     &cmd_pair,       &cmd_users,   &cmd_devices,
	&cmd_chat,     &cmd_models,  &cmd_keys,       &cmd_usage,      &cmd_budget,  &cmd_status,
	&cmd_queue,    &cmd_history, &cmd_log,        &cmd_backup,     &cmd_restore, &cmd_doctor,
	&cmd_discover, &cmd_version, &cmd_help,       &cmd_completion, &cmd_config,  &cmd_dimensions,
	&cmd_stop,     &cmd_pause,   &cmd_experiment, &cmd_cleanup,    &cmd_monitor, NULL,
};

const struct cli_command *cli_find(const char *name)
{
	for (size_t i = 0; cli_commands[i] != NULL; i++)
		if (strcmp(cli_commands[i]->name, name) == 0) return cli_commands[i];
	return NULL;
}

const char *cli_option(const struct cli *c, const char *name)
{
	for (int i = c->ngiven - 1; i >= 0; i--)
		if (strcmp(c->given[i].name, name) == 0) return c->given[i].value;
	return NULL;
}

const char *cli_option_nth(const struct cli *c, const char *name, int n)
{
	for (int i = 0; i < c->ngiven; i++)
		if (strcmp(c->given[i].name, name) == 0 && n-- == 0) return c->given[i].value;
	return NULL;
}

/* "roost pair: " before every sentence, and whatever a peer put into it made harmless. */
static void say(const struct cli *c, const char *sentence)
{
	struct buf clean = BUF_INIT(BUF_NO_LIMIT);
	term_clean(&clean, str_c(sentence), TERM_ONE_LINE);
	fflush(stdout);
	fprintf(stderr, "roost%s%s: %.*s\n", c->command != NULL ? " " : "", c->command != NULL ? c->command->name : "",
		STR_ARG(buf_str(&clean)));
	buf_release(&clean);
}

int cli_fail(const struct cli *c, enum err e, const struct errinfo *info)
{
	say(c, err_sentence(info, e));
	return err_exit(e);
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
	char what[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	say(c, what);
	if (c->command != NULL) fprintf(stderr, "see: roost %s --help\n", c->command->name);
	else fprintf(stderr, "see: roost help\n");
	return err_exit(ERR_USAGE);
}

enum err cli_load_config(struct cli *c)
{
	const char *path = cli_option(c, "config"), *data = cli_option(c, "data");
	bool is_named = path != NULL;
	if (!is_named) path = config_default_path(&c->config);
	enum err e = config_load(&c->config, path, &c->info);
	if (e == ERR_NOT_FOUND) e = is_named ? err_set(&c->info, ERR_CONFIG, "there is no file %.200s", path) : OK;
	if (e == OK && data != NULL && data[0] == '\0') e = err_set(&c->info, ERR_USAGE, "--data is empty");
	if (e == OK && data != NULL) e = config_set(&c->config, "data", data, &c->info);
	return e;
}

void cli_print_json(const struct json *v)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	json_write(&b, v);
	printf("%.*s\n", STR_ARG(buf_str(&b)));
	buf_release(&b);
}

struct str cli_text(const struct json *obj, const char *key)
{
	struct str s = STR("");
	json_str(json_get(obj, key), &s);
	return s;
}

/* getopt_long's view of a command's table. `shorts` begins with ':' so that a missing argument is told apart. */
static void options_build(const struct cli_command *cmd, struct option *longs, char *shorts)
{
	static const struct cli_option help = {.name = "help", .letter = 'h'};
	*shorts++ = ':';
	size_t n = 0;
	for (const struct cli_option *o = cmd->options; o != NULL; o = o->name != NULL ? o + 1 : NULL) {
		const struct cli_option *row = o->name != NULL ? o : &help;
		ASSERT_CMP(n, <, CLI_OPTIONS_MAX - 1);
		int has_arg = row->arg == NULL     ? no_argument
			      : row->arg[0] == '[' ? optional_argument
						   : required_argument;
		longs[n++] = (struct option){.name = row->name, .has_arg = has_arg, .val = row->letter};
		if (row->letter != 0) *shorts++ = row->letter;
		if (row->letter != 0 && row->arg != NULL) *shorts++ = ':';
	}
	longs[n] = (struct option){0};
	*shorts = '\0';
}

/* The name behind what getopt_long found: by index for a long option, by letter for a short one. */
static const char *option_name(const struct option *longs, int letter, int index)
{
	const struct option *o = index >= 0 ? &longs[index] : longs;
	while (index < 0 && o->val != letter) o++;
	ASSERT(o->name != NULL);
	return o->name;
}

/* Fills `given` and `args` from what follows the command's name. False: the status is in *out_status. */
static bool parse(struct cli *c, int argc, char **argv, int *out_status)
{
	struct option longs[CLI_OPTIONS_MAX];
	char shorts[2 * CLI_OPTIONS_MAX + 2];
	options_build(c->command, longs, shorts);
	opterr = 0;
	for (;;) {
		int index = -1, at = optind;
		int got = getopt_long(argc, argv, shorts, longs, &index);
		if (got == -1) break;
		if (got == '?' || got == ':') {
			const char *word = argv[optind > at ? optind - 1 : at];
			*out_status = cli_usage(c, got == ':' ? "option %s needs a value" : "no option %s", word);
			return false;
		}
		const char *name = option_name(longs, got, index);
		if (strcmp(name, "help") == 0) {
			help_print(c->command, stdout);
			*out_status = 0;
			return false;
		}
		if (c->ngiven == CLI_OPTIONS_MAX) {
			*out_status = cli_usage(c, "more than %d options", CLI_OPTIONS_MAX);
			return false;
		}
		c->given[c->ngiven].name = name;
		c->given[c->ngiven++].value = optarg != NULL ? optarg : "";
	}
	c->args = argv + optind;
	c->nargs = argc - optind;
	if (c->nargs < c->command->args_min || (c->command->args_max >= 0 && c->nargs > c->command->args_max)) {
		*out_status = c->nargs > 0 && c->command->args_max == 0
				      ? cli_usage(c, "takes no argument \"%.60s\"", c->args[0])
				      : cli_usage(c, "expects: %s", c->command->args);
		return false;
	}
	return true;
}

/* A command whose output went nowhere (a full disk behind a redirection) did not work. */
static int flush(const struct cli *c, int status)
{
	struct errinfo info = {0};
	if (fflush(stdout) == 0 && !ferror(stdout)) return status;
	return status != 0 ? status
			   : cli_fail(c, err_set(&info, ERR_IO, "standard output could not be written"), &info);
}

int cli_main(int argc, char **argv)
{
	struct cli c = {0};
	int status = 0;
	const char *name = argc > 1 ? argv[1] : NULL;
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error as a full disk is one */
	term_init();
	if (name == NULL) {
		help_overview(stderr);
		return err_exit(ERR_USAGE);
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) name = "version";
	const struct cli_command *command = cli_find(name);
	if (command == NULL) return cli_usage(&c, "there is no command \"%.60s\"", name);
	c.command = command;
	config_init(&c.config);
	if (parse(&c, argc - 1, argv + 1, &status)) status = command->run(&c);
	config_release(&c.config);
	return flush(&c, status);
}
