/* The command line: one table of commands, one table of options for each.
 *
 * Parsing, --help, `roost help`, the manual pages and the shell completion are all made from the tables, so a command
 * is its row in cli_commands (cli.c), its options and its run function, together in src/cli/cmd_NAME.c.
 *
 * A command's run gets its parsed line, prints results on stdout and returns the exit status. What went wrong goes to
 * stderr as one sentence through cli_fail, which also gives the status that belongs to the error. One thread. */
#ifndef ROOST_CLI_CLI_H
#define ROOST_CLI_CLI_H

#include "base/json.h"
#include "host/config.h"

struct cli;

struct cli_option {
	const char *name; /* "data" for --data */
	char letter;      /* 'd' for -d, 0 none */
	const char *arg;  /* "DIR"; "[=HOW]": may be left out; NULL: a switch */
	const char *help; /* a line without a final stop; NULL: nobody is told of it */
	const char *def;  /* the default as help tells it, or NULL */
};
#define OPTION_DATA                                                                                                    \
	{                                                                                                              \
		"data", 'd', "DIR", "the data directory", "$XDG_DATA_HOME/roost"                                       \
	}
#define OPTION_JSON                                                                                                    \
	{                                                                                                              \
		"json", 'j', NULL, "print JSON", NULL                                                                  \
	}
#define OPTION_END                                                                                                     \
	{                                                                                                              \
		NULL, 0, NULL, NULL, NULL                                                                              \
	}

struct cli_command {
	const char *name;
	const char *summary;              /* a line, lower case, no stop */
	const char *args;                 /* what follows the options: "FILE"; "" nothing */
	const char *about;                /* paragraphs, separated by an empty line */
	const char *example;              /* lines, each a command or its output */
	const struct cli_option *options; /* ends with OPTION_END; --help is added */
	int args_min, args_max;           /* how many arguments; -1 any number */
	int (*run)(struct cli *c);
};
/* Ends with a zero row. */
extern const struct cli_command *const cli_commands[];
const struct cli_command *cli_find(const char *name);

/* One parsed line. */
#define CLI_OPTIONS_MAX 64
struct cli {
	const struct cli_command *command;
	char **args; /* what is not an option */
	int nargs;
	struct {
		const char *name, *value;
	} given[CLI_OPTIONS_MAX]; /* options in their order */
	int ngiven;
	struct config config; /* defaults until cli_load_config */
	struct errinfo info;  /* of the last failed call */
};

/* The whole program: parses, runs, flushes; returns the exit status. */
int cli_main(int argc, char **argv);

/* The value of the option (the last one when it is repeated; "" for a switch), NULL when it was not given. */
const char *cli_option(const struct cli *c, const char *name);
/* The nth (from 0) value of an option that may be repeated, NULL when there are no more. */
const char *cli_option_nth(const struct cli *c, const char *name, int n);
static inline bool cli_switch(const struct cli *c, const char *name) { return cli_option(c, name) != NULL; }

/* Reads the configuration file (the default one may be absent, one named by --config may not), then --data. */
MUST_USE enum err cli_load_config(struct cli *c);

/* One sentence on stderr about `e` with what `info` says, and the exit status of `e`. */
int cli_fail(const struct cli *c, enum err e, const struct errinfo *info);
/* The same for a wrong line: adds where help is. */
int cli_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* One JSON value as a line on stdout, and a member's text ("" when it is not there). */
void cli_print_json(const struct json *v);
struct str cli_text(const struct json *obj, const char *key);

/* Asks the daemon of c->config.data_dir over its Unix socket: method, path under /api/v1/operator/, a JSON body or
 * STR_NONE. It may take wait_ms, 0 as long as it takes. The answer is parsed into *out (json_free it). Errors are the
 * daemon's, or ERR_UNAVAILABLE when none answers. */
#define OPERATOR_MS 30000
MUST_USE enum err operator_call(struct cli *c, const char *method, const char *path, struct str body, int64_t wait_ms,
				struct json_doc **out);

/* The same over the network, for what needs no operator: `path` begins with a slash. */
MUST_USE enum err remote_call(struct cli *c, const char *method, const char *base_url, const char *path,
			      struct str body, struct json_doc **out);

/* help.c */
void help_print(const struct cli_command *cmd, FILE *out);
void help_overview(FILE *out);
void help_man(const struct cli_command *cmd, FILE *out); /* NULL: roost(1) itself */
void help_markdown(FILE *out);                           /* docs/commands.md */
/* The option that is told of after `o`, with --help as the last of every table; NULL begins and ends. */
const struct cli_option *help_next_option(const struct cli_command *cmd, const struct cli_option *o);
/* complete.c: the script for a shell. False: it is none of bash, zsh and fish. */
bool complete_write(struct str shell, FILE *out);
/* What an exit status means; rows end with a NULL text. */
struct exit_row {
	int status;
	const char *text;
};
extern const struct exit_row exit_rows[];

#endif
