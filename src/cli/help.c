/* Everything that is told about the commands, made from their tables: --help, the overview, the manual pages. Completion
 * is in complete.c. */
#include <ctype.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/term.h"

/* What an exit status means, whatever the command. The numbers are those of sysexits.h, as ERR_MAP gives them out. */
const struct exit_row exit_rows[] = {
	{0, "it worked"},
	{64, "wrong usage"},
	{65, "refused: bad input, a conflict, or more than a limit allows"},
	{66, "no such thing"},
	{69, "no daemon answers, or the model's provider failed"},
	{70, "something inside went wrong"},
	{71, "out of memory"},
	{73, "the data directory is in use, full or not writable"},
	{74, "reading or writing failed, or stored data did not pass its check"},
	{75, "try again later; also: the answer was stopped"},
	{77, "not allowed"},
	{78, "the configuration is wrong, or the store is a newer version's"},
	{130, "interrupted with Ctrl-C"},
	{0, NULL},
};

static const struct cli_option help_option = {"help", 'h', NULL, "print this help", NULL};

const struct cli_option *help_next_option(const struct cli_command *cmd, const struct cli_option *o)
{
	if (o == &help_option) return NULL;
	o = o == NULL ? cmd->options : o + 1;
	while (o->name != NULL && o->help == NULL) o++;
	return o->name != NULL ? o : &help_option;
}

/* "-d, --data DIR" */
static void option_head(const struct cli_option *o, struct buf *b)
{
	if (o->letter != 0) buf_addf(b, "-%c, ", o->letter);
	else buf_add_str(b, STR("    "));
	buf_addf(b, "--%s%s%s", o->name, o->arg != NULL && o->arg[0] != '[' ? " " : "", o->arg != NULL ? o->arg : "");
}

#define LINE_MAX_BYTES 110

/* Words from column `at` on, each further line begun there. */
static void print_wrapped(const char *text, size_t at, FILE *out)
{
	for (size_t column = at; *text != '\0'; text += *text == ' ') {
		size_t n = strcspn(text, " ");
		if (column > at && column + 1 + n > LINE_MAX_BYTES) {
			fprintf(out, "\n%*s", (int)at, "");
			column = at;
		}
		fprintf(out, "%s%.*s", column > at ? " " : "", (int)n, text);
		column += n + (column > at);
		text += n;
	}
}

static void print_options(const struct cli_command *cmd, FILE *out)
{
	size_t width = 0;
	for (const struct cli_option *o = NULL; (o = help_next_option(cmd, o)) != NULL;) {
		struct buf b = BUF_INIT(1024);
		option_head(o, &b);
		width = MAX(width, b.n);
		buf_release(&b);
	}
	for (const struct cli_option *o = NULL; (o = help_next_option(cmd, o)) != NULL;) {
		struct buf b = BUF_INIT(1024);
		option_head(o, &b);
		fprintf(out, "  %-*s  ", (int)width, b.p);
		buf_clear(&b);
		buf_add_str(&b, str_c(o->help));
		if (o->def != NULL) buf_addf(&b, " [%s]", o->def);
		print_wrapped(b.p, width + 4, out);
		fputc('\n', out);
		buf_release(&b);
	}
}

/* The text with each line after a two-space margin. */
static void print_indented(const char *text, FILE *out)
{
	for (const char *line = text; *line != '\0';) {
		size_t n = strcspn(line, "\n");
		fprintf(out, "%s%.*s\n", n > 0 ? "  " : "", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

void help_print(const struct cli_command *cmd, FILE *out)
{
	fprintf(out, "Usage: roost %s [OPTION]...%s%s\n\n%s\n\nOptions:\n", cmd->name, cmd->args[0] != '\0' ? " " : "",
		cmd->args, cmd->about);
	print_options(cmd, out);
	fputs("\nExample:\n", out);
	print_indented(cmd->example, out);
}

void help_overview(FILE *out)
{
	fputs("Usage: roost COMMAND [OPTION]... [ARGUMENT]...\n\nA home for your LLM conversations.\n\nCommands:\n",
	      out);
	for (size_t i = 0; cli_commands[i] != NULL; i++)
		fprintf(out, "  %-10s  %s\n", cli_commands[i]->name, cli_commands[i]->summary);
	fputs("\nroost COMMAND --help tells the rest.\n", out);
}

/* ---- manual pages ----------------------------------------------------------------------------------------------- */

/* Text for roff: backslashes and hyphens escaped, no line taken for a request; an empty line begins a paragraph. */
static void roff_text(const char *text, FILE *out)
{
	bool at_start = true;
	for (const char *p = text; *p != '\0'; p++) {
		if (at_start && *p == '\n') {
			fputs(".PP\n", out);
			continue;
		}
		if (at_start && (*p == '.' || *p == '\'')) fputs("\\&", out);
		if (*p == '\\') fputs("\\e", out);
		else if (*p == '-') fputs("\\-", out);
		else fputc(*p, out);
		at_start = *p == '\n';
	}
	if (!at_start) fputc('\n', out);
}

static void roff_options(const struct cli_command *cmd, FILE *out)
{
	fputs(".SH OPTIONS\n", out);
	for (const struct cli_option *o = NULL; (o = help_next_option(cmd, o)) != NULL;) {
		fputs(".TP\n", out);
		if (o->letter != 0) fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
		fputs("\\fB\\-\\-", out);
		for (const char *p = o->name; *p != '\0'; p++) fputs(*p == '-' ? "\\-" : (char[]){*p, '\0'}, out);
		fprintf(out, "\\fR%s%s%s\n", o->arg != NULL ? " \\fI" : "", o->arg != NULL ? o->arg : "",
			o->arg != NULL ? "\\fR" : "");
		struct buf text = BUF_INIT(1024);
		buf_add_str(&text, str_c(o->help));
		if (o->def != NULL) buf_addf(&text, " [%s]", o->def);
		roff_text(text.p, out);
		buf_release(&text);
	}
}

static void roff_commands(FILE *out)
{
	fputs(".SH COMMANDS\n", out);
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		fprintf(out, ".TP\n\\fBroost\\-%s\\fR(1)\n", cli_commands[i]->name);
		roff_text(cli_commands[i]->summary, out);
	}
}

static const struct {
	const char *path, *text;
} files[] = {
	{"$XDG_CONFIG_HOME/roost/roost.yaml", "the configuration"},
	{"$XDG_DATA_HOME/roost", "the data directory"},
	{"$XDG_DATA_HOME/roost/experiments",
	 "experiments, unless labOutput in the configuration or $ROOST_OUTPUT_DIR say another"},
};

void help_man(const struct cli_command *cmd, FILE *out)
{
	const char *name = cmd != NULL ? cmd->name : "";
	fprintf(out, ".TH ROOST%s", cmd != NULL ? "\\-" : "");
	for (const char *p = name; *p != '\0'; p++) fputc(toupper((unsigned char)*p), out);
	fprintf(out, " 1 \"\" \"roost " ROOST_VERSION "\"\n.SH NAME\nroost%s%s \\- ", cmd != NULL ? "\\-" : "", name);
	roff_text(cmd != NULL ? cmd->summary : "a home for your LLM conversations", out);
	fprintf(out, ".SH SYNOPSIS\n\\fBroost %s\\fR [\\fIOPTION\\fR]... ", cmd != NULL ? name : "COMMAND");
	roff_text(cmd != NULL ? cmd->args : "[ARGUMENT]...", out);
	if (cmd == NULL || cmd->args[0] == '\0') fputc('\n', out);
	fputs(".SH DESCRIPTION\n", out);
	roff_text(cmd != NULL ? cmd->about : "One self-hosted daemon, its command line and its web page.", out);
	if (cmd != NULL) {
		roff_options(cmd, out);
		fputs(".SH EXAMPLES\n.nf\n", out);
		roff_text(cmd->example, out);
		fputs(".fi\n", out);
	} else {
		roff_commands(out);
	}
	fputs(".SH \"EXIT STATUS\"\n", out);
	for (const struct exit_row *r = exit_rows; r->text != NULL; r++) {
		fprintf(out, ".TP\n%d\n", r->status);
		roff_text(r->text, out);
	}
	fputs(".SH FILES\n", out);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		fputs(".TP\n\\fI", out);
		fprintf(out, "%s\\fR\n", files[i].path);
		roff_text(files[i].text, out);
	}
	if (cmd != NULL) fputs(".SH \"SEE ALSO\"\n\\fBroost\\fR(1)\n", out);
}

/* ---- a page for the documents ------------------------------------------------------------------------------------- */

/* In a table's cell, and where it is no code. */
static void cell(const char *text, FILE *out)
{
	for (const char *p = text; *p != '\0'; p++) fprintf(out, "%s%c", strchr("|<*", *p) != NULL ? "\\" : "", *p);
}

static void markdown_command(const struct cli_command *cmd, FILE *out)
{
	fprintf(out, "\n## roost %s\n\n`roost %s [OPTION]...%s%s`: ", cmd->name, cmd->name,
		cmd->args[0] != '\0' ? " " : "", cmd->args);
	fputs(cmd->summary, out);
	fputs(".\n\n| option | default | what it does |\n|---|---|---|\n", out);
	for (const struct cli_option *o = NULL; (o = help_next_option(cmd, o)) != NULL;) {
		fputs("| ", out);
		if (o->letter != 0) fprintf(out, "`-%c`, ", o->letter);
		fprintf(out, "`--%s%s%s` | ", o->name, o->arg != NULL && o->arg[0] != '[' ? " " : "",
			o->arg != NULL ? o->arg : "");
		cell(o->def != NULL ? o->def : "–", out);
		fputs(" | ", out);
		cell(o->help, out);
		fputs(" |\n", out);
	}
	fprintf(out, "\n```\n%s\n```\n", cmd->example);
}

void help_markdown(FILE *out)
{
	fputs("# Commands\n\n"
	      "Every command and every option, as `roost help --markdown` prints them. `roost help COMMAND` and the manual pages,\n"
	      "`man roost-COMMAND`, say more of each; what exit statuses mean is in [operations.md](operations.md).\n",
	      out);
	for (size_t i = 0; cli_commands[i] != NULL; i++) markdown_command(cli_commands[i], out);
}
