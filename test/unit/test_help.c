/* What is told of the commands is what the parser takes: every option of every table is in its help, its manual page, the
 * completion of each shell and docs/commands.md, and nothing there is told that is in no table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/cli.h"

static char *text; /* what was written last */
static size_t length;
static FILE *begin(void) { return open_memstream(&text, &length); }
static void end(FILE *f) { assert_int_equal(fclose(f), 0); }

static size_t count(const char *in, const char *what)
{
	size_t n = 0;
	for (const char *p = in; (p = strstr(p, what)) != NULL; p += strlen(what)) n++;
	return n;
}

/* "max-turns" as roff has it. */
static void roff_name(const char *name, char *out)
{
	for (const char *p = name; *p != '\0'; p++) {
		if (*p == '-') *out++ = '\\';
		*out++ = *p;
	}
	*out = '\0';
}

static bool is_told(const struct cli_option *o) { return o->help != NULL; }

static void help_has_every_option_once_and_no_other(void **state)
{
	(void)state;
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		FILE *f = begin();
		size_t n = 1; /* --help */
		help_print(cli_commands[i], f);
		end(f);
		char *options = strstr(text, "\nOptions:\n");
		assert_non_null(options);
		*strstr(options, "\nExample:\n") = '\0';
		for (const struct cli_option *o = cli_commands[i]->options; o->name != NULL; o++) {
			char line[100];
			(void)snprintf(line, sizeof line, "%s%c%c%s--%s", "\n  ", o->letter != 0 ? '-' : ' ',
				       o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "  ", o->name);
			size_t found = 0;
			for (const char *p = options; (p = strstr(p, line)) != NULL; p++) {
				char after = p[strlen(line)];
				found += after == ' ' || after == '[' || after == '\n';
			}
			if (found != is_told(o))
				fail_msg("%s --%s is there %zu times", cli_commands[i]->name, o->name, found);
			n += is_told(o);
		}
		assert_int_equal(count(options, "\n  -") + count(options, "\n      --"), n);
		free(text);
	}
}

static void a_manual_page_has_every_option_and_its_sections(void **state)
{
	(void)state;
	static const char *const sections[] = {"NAME",     "SYNOPSIS",        "DESCRIPTION", "OPTIONS",
					       "EXAMPLES", "\"EXIT STATUS\"", "FILES",       "\"SEE ALSO\""};
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		FILE *f = begin();
		size_t n = 1;
		help_man(cli_commands[i], f);
		end(f);
		for (size_t k = 0; k < ARRAY_LEN(sections); k++) {
			char line[64];
			(void)snprintf(line, sizeof line, ".SH %s\n", sections[k]);
			if (count(text, line) != 1)
				fail_msg("roost-%s(1) has not one %s", cli_commands[i]->name, sections[k]);
		}
		for (const struct cli_option *o = cli_commands[i]->options; o->name != NULL; o++) {
			char name[100], line[140];
			roff_name(o->name, name);
			(void)snprintf(line, sizeof line, "\\fB\\-\\-%s\\fR", name);
			if (count(text, line) != is_told(o))
				fail_msg("roost-%s(1): %s", cli_commands[i]->name, o->name);
			n += is_told(o);
		}
		assert_int_equal(count(text, "\\fB\\-\\-"), n);
		free(text);
	}
}

/* The lines of a script that are about a command. */
static void assert_completes(const char *shell, const struct cli_command *cmd, const char *part)
{
	for (const struct cli_option *o = cmd->options; o->name != NULL; o++) {
		char word[100];
		bool is_fish = strcmp(shell, "fish") == 0, is_bash = strcmp(shell, "bash") == 0;
		(void)snprintf(word, sizeof word, "%s%s", is_fish ? "-l " : "--", o->name);
		bool found = false;
		for (const char *p = strstr(part, word); p != NULL && !found; p = strstr(p + 1, word)) {
			char after = p[strlen(word)];
			found = after == ' ' || after == '[' || after == '=' || (is_bash && after == '\'');
		}
		if (found != is_told(o)) fail_msg("%s: %s --%s", shell, cmd->name, o->name);
	}
}

static void every_shell_completes_every_option_of_every_command(void **state)
{
	(void)state;
	static const char *const shells[] = {"bash", "zsh", "fish"};
	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		FILE *f = begin();
		assert_true(complete_write(str_c(shells[i]), f));
		end(f);
		for (size_t k = 0; cli_commands[k] != NULL; k++) {
			char head[100];
			bool is_fish = i == 2;
			(void)snprintf(head, sizeof head, is_fish ? "__roost_is %s'" : "\n\t%s)\n",
				       cli_commands[k]->name);
			char *part = strstr(text, head);
			if (part == NULL) {
				fail_msg("%s: %s", shells[i], cli_commands[k]->name);
				return;
			}
			char *tail = is_fish ? NULL : strstr(part, i == 0 ? "\n\t\tesac\n" : " ;;\n");
			char *next = is_fish && cli_commands[k + 1] != NULL ? NULL : tail;
			if (is_fish && cli_commands[k + 1] != NULL) {
				(void)snprintf(head, sizeof head, "__roost_is %s'", cli_commands[k + 1]->name);
				next = strstr(text, head);
			}
			char kept = next != NULL ? *next : '\0';
			if (next != NULL) *next = '\0';
			assert_completes(shells[i], cli_commands[k], part);
			if (next != NULL) *next = kept;
		}
		free(text);
	}
	FILE *f = begin();
	assert_false(complete_write(STR("tcsh"), f));
	end(f);
	free(text);
}

static void the_page_of_commands_is_what_help_prints(void **state)
{
	(void)state;
	struct buf page = BUF_INIT(1 << 20);
	char piece[4096];
	FILE *f = fopen(ROOST_SOURCE_DIR "/docs/commands.md", "r");
	assert_non_null(f);
	for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) assert_true(buf_add(&page, piece, n));
	fclose(f);
	f = begin();
	help_markdown(f);
	end(f);
	if (strcmp(page.p, text) != 0) fail_msg("make it anew: roost help --markdown > docs/commands.md");
	buf_release(&page);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(help_has_every_option_once_and_no_other),
		cmocka_unit_test(a_manual_page_has_every_option_and_its_sections),
		cmocka_unit_test(every_shell_completes_every_option_of_every_command),
		cmocka_unit_test(the_page_of_commands_is_what_help_prints),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
