/* Completion for bash, zsh and fish, made from the commands' tables.
 *
 * What may stand for a value follows from the option's row: its placeholder says a file, a directory or an experiment, and
 * where an experiment's spec takes one of a few words (spec.h) these are listed. A script holds all that, so pressing Tab
 * runs nothing, but for names of experiments and ids of conversations: these `roost completion --names` gives, from the
 * directories' names alone, and only such as mean nothing to any shell. They are compared in the shell and never
 * evaluated: the words of bash's `compgen -W` would be. */

#include "cli/cli.h"
#include "lab/spec.h"

enum what_takes {
	TAKES_NOTHING,
	TAKES_UNKNOWN,
	TAKES_WORDS,
	TAKES_FILE,
	TAKES_DIR,
	TAKES_EXPERIMENT,
	TAKES_CONVERSATION
};

/* What completes a place on the line. */
struct takes {
	enum what_takes what;
	struct buf words;  /* with a space between; beside files too */
	struct buf naming; /* of these words those that an experiment follows */
};

static void takes_release(struct takes *t)
{
	buf_release(&t->words);
	buf_release(&t->naming);
}

static void add_word(struct takes *t, const char *word)
{
	if (t->words.n > 0) buf_add_char(&t->words, ' ');
	buf_add_str(&t->words, str_c(word));
	if (t->what == TAKES_UNKNOWN) t->what = TAKES_WORDS;
}

static void spec_words(enum spec_symbol row, struct takes *t)
{
	switch (row) {
	case SPEC_ACTION:
		for (int i = CONVERGED_STOP; i <= CONVERGED_CONTINUE; i++)
			add_word(t, convergence_action_name((enum convergence_action)i));
		return;
	case SPEC_PROFILE:
		for (int i = 0; i < PROFILE_COUNT; i++) add_word(t, convergence_profiles[i].name);
		add_word(t, "custom");
		return;
	case SPEC_REDACT:
		for (int i = REDACT_NONE; i <= REDACT_DROP; i++) add_word(t, redaction_name((enum redaction)i));
		return;
	case SPEC_AWARENESS:
		for (const struct spec_fragment *f = awareness_presets; f->name != NULL; f++) add_word(t, f->name);
		t->what = TAKES_FILE;
		return;
	case SPEC_DIMENSIONS:
		for (const struct spec_fragment *f = dimension_table; f->name != NULL; f++) add_word(t, f->name);
		return;
	case SPEC_AGENT_A:
	case SPEC_AGENT_B:
		add_word(t, "local:test");
		add_word(t, "local:silent");
		return;
	default: return;
	}
}

/* By its placeholder. */
static void takes_of(const char *arg, struct takes *t)
{
	static const struct {
		const char *arg;
		enum what_takes what;
	} rows[] = {{"FILE", TAKES_FILE},
		    {"[FILE]", TAKES_FILE},
		    {"[SPEC]", TAKES_FILE},
		    {"DIR", TAKES_DIR},
		    {"EXPERIMENT", TAKES_EXPERIMENT},
		    {"[EXPERIMENT...]", TAKES_EXPERIMENT},
		    {"CONVERSATION", TAKES_CONVERSATION}};
	*t = (struct takes){.what = TAKES_UNKNOWN, .words = BUF_INIT(BUF_NO_LIMIT), .naming = BUF_INIT(BUF_NO_LIMIT)};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(arg, rows[i].arg) == 0) t->what = rows[i].what;
}

static void takes_option(const struct cli_option *o, struct takes *t)
{
	int agent;
	const struct spec_row *row = spec_row_of_option(str_c(o->name), &agent);
	takes_of(o->arg != NULL ? o->arg : "", t);
	if (o->arg == NULL) t->what = TAKES_NOTHING;
	else if (row != NULL) spec_words((enum spec_symbol)(row - spec_rows), t);
}

/* Of a command that takes others' names, those; else the lower-case words among its arguments, as "list | show ID". */
static void takes_args(const struct cli_command *cmd, struct takes *t)
{
	takes_of(cmd->args, t);
	if (strcmp(cmd->args, "[COMMAND]") == 0)
		for (size_t i = 0; cli_commands[i] != NULL; i++) add_word(t, cli_commands[i]->name);
	bool is_word = true;
	for (const char *p = cmd->args; *p != '\0'; p++) {
		char word[32];
		size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz-");
		if (n > 0 && is_word && str_copy(str_n(p, n), word, sizeof word)) {
			add_word(t, word);
			if (str_starts(str_c(p + n), STR(" EXPERIMENT")))
				buf_addf(&t->naming, "%s%s", t->naming.n > 0 ? " " : "", word);
		}
		if (n > 0) p += n - 1;
		is_word = *p == '[' || *p == ' ' || *p == '|';
	}
}

static bool may_repeat(const struct cli_option *o) { return strstr(o->help, "may be repeated") != NULL; }
static bool may_be_alone(const struct cli_option *o) { return o->arg != NULL && o->arg[0] == '['; }

/* ---- bash --------------------------------------------------------------------------------------------------------- */

static void bash_takes(const struct takes *t, FILE *out)
{
	static const char *const kinds[] = {"", "", "", "file", "dir", "experiments", "conversations"};
	if (t->words.n > 0) fprintf(out, "words='%s'", t->words.p);
	if (t->words.n > 0 && t->what >= TAKES_FILE) fputs("; ", out);
	if (t->what >= TAKES_FILE) fprintf(out, "kind=%s", kinds[t->what]);
	fputs(t->words.n == 0 && t->what < TAKES_FILE ? "return ;;\n" : " ;;\n", out);
}

/* What comes behind an option: "--name" and "--name=" are the same where a value must follow. */
static void bash_value(const struct cli_option *o, FILE *out)
{
	struct takes t;
	takes_option(o, &t);
	if (t.what != TAKES_NOTHING) {
		fputs("\t\t", out);
		if (!may_be_alone(o)) fprintf(out, "--%s | ", o->name);
		if (o->letter != 0) fprintf(out, "-%c | ", o->letter);
		fprintf(out, "--%s=) ", o->name);
		bash_takes(&t, out);
	}
	takes_release(&t);
}

static void bash_command(const struct cli_command *cmd, FILE *out)
{
	struct takes t;
	takes_args(cmd, &t);
	fprintf(out, "\t%s)\n\t\tcase $before in\n", cmd->name);
	for (const struct cli_option *o = NULL; (o = help_next_option(cmd, o)) != NULL;) bash_value(o, out);
	for (size_t n, at = 0; at < t.naming.n; at += n + 1) {
		n = strcspn(t.naming.p + at, " ");
		fprintf(out, "\t\t%.*s) kind=experiments ;;\n", (int)n, t.naming.p + at);
	}
	fputs("\t\t*)\n\t\t\twords='", out);
	for (const struct cli_option *o = NULL; (o = help_next_option(cmd, o)) != NULL;) fprintf(out, "--%s ", o->name);
	fprintf(out, "%s'\n", t.words.n > 0 ? t.words.p : "");
	if (t.what >= TAKES_FILE) {
		fputs("\t\t\t", out);
		t.words.n = 0;
		bash_takes(&t, out);
	} else {
		fputs("\t\t\t;;\n", out);
	}
	fputs("\t\tesac\n\t\t;;\n", out);
	takes_release(&t);
}

static void write_bash(FILE *out)
{
	fputs("# bash completion for roost; load it with: source <(roost completion bash)\n"
	      "_roost()\n{\n"
	      "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words= kind= line\n"
	      "\tCOMPREPLY=()\n"
	      "\t# --name=value comes as three words\n"
	      "\tif [ \"$word\" = = ]; then\n\t\tbefore+== word=\n"
	      "\telif [ \"$before\" = = ]; then\n\t\tbefore=${COMP_WORDS[COMP_CWORD-2]}=\n\tfi\n"
	      "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\twords='",
	      out);
	for (size_t i = 0; cli_commands[i] != NULL; i++) fprintf(out, "%s%s", i > 0 ? " " : "", cli_commands[i]->name);
	fputs("'\n\telse\n\tcase ${COMP_WORDS[1]} in\n", out);
	for (size_t i = 0; cli_commands[i] != NULL; i++) bash_command(cli_commands[i], out);
	fputs("\tesac\n\tfi\n"
	      "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
	      "\tcase $kind in\n"
	      "\tfile) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
	      "\tdir) mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- \"$word\") ;;\n"
	      "\texperiments | conversations)\n"
	      "\t\t[ \"$kind\" = experiments ] || [[ $word == conv_* ]] || kind=experiments\n"
	      "\t\twhile read -r line; do\n"
	      "\t\t\t[[ $line == \"$word\"* ]] && COMPREPLY+=(\"$line\")\n"
	      "\t\tdone < <(\"${COMP_WORDS[0]}\" completion --names=\"$kind\" 2>/dev/null)\n"
	      "\t\t;;\n"
	      "\tesac\n"
	      "}\n"
	      "complete -F _roost roost\n",
	      out);
}

/* ---- zsh ---------------------------------------------------------------------------------------------------------- */

/* Text within single quotes; `also` is escaped for what zsh makes of the text then. */
static void zsh_text(const char *text, const char *also, FILE *out)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\'') fputs("'\\''", out);
		else fprintf(out, "%s%c", *p == '\\' || strchr(also, *p) != NULL ? "\\" : "", *p);
	}
}

static void zsh_words(const struct takes *t, FILE *out)
{
	for (size_t i = 0; i < t->words.n; i++)
		if (t->words.p[i] == ':') fputs("\\:", out);
		else fputc(t->words.p[i], out);
}

/* The action of _arguments. */
static void zsh_takes(const struct takes *t, FILE *out)
{
	static const char *const actions[] = {
		"", " ", "", "_files", "_files -/", "_roost_names experiments", "_roost_names conversations"};
	if (t->words.n > 0 && t->what == TAKES_FILE) {
		fputs("_alternative \"words\\:word\\:(", out);
		zsh_words(t, out);
		fputs(")\" \"files\\:file\\:_files\"", out);
	} else if (t->words.n > 0) {
		fputc('(', out);
		zsh_words(t, out);
		fputc(')', out);
	} else {
		fputs(actions[t->what], out);
	}
}

/* One name of an option. With a value: "--name=" or "-n+", optional ones "--name=-". */
static void zsh_option(const struct cli_option *o, bool is_letter, FILE *out)
{
	struct takes t;
	takes_option(o, &t);
	fputs("\t\t'", out);
	if (may_repeat(o)) fputc('*', out);
	else if (o->letter != 0) fprintf(out, "(-%c --%s)", o->letter, o->name);
	if (is_letter) fprintf(out, "-%c%s", o->letter, o->arg != NULL ? "+" : "");
	else fprintf(out, "--%s%s", o->name, may_be_alone(o) ? "=-" : o->arg != NULL ? "=" : "");
	fputc('[', out);
	zsh_text(o->help, "[]", out);
	fputc(']', out);
	if (o->arg != NULL) {
		fprintf(out, "%s:", may_be_alone(o) ? ":" : "");
		zsh_text(may_be_alone(o) ? "value" : o->arg, ":", out);
		fputc(':', out);
		zsh_takes(&t, out);
	}
	fputs("' \\\n", out);
	takes_release(&t);
}

static void zsh_command(const struct cli_command *cmd, FILE *out)
{
	struct takes t;
	takes_args(cmd, &t);
	fprintf(out, "\t%s)\n\t\t_arguments -s \\\n", cmd->name);
	for (const struct cli_option *o = NULL; (o = help_next_option(cmd, o)) != NULL;) {
		if (o->letter != 0) zsh_option(o, true, out);
		zsh_option(o, false, out);
	}
	if (t.naming.n > 0) {
		fputs("\t\t'1:what:", out);
		zsh_takes(&t, out);
		fputs("' '*:experiment:_roost_names experiments' ;;\n", out);
	} else if (t.what == TAKES_UNKNOWN) {
		fputs("\t\t&& : ;;\n", out);
	} else {
		fputs("\t\t'*:argument:", out);
		zsh_takes(&t, out);
		fputs("' ;;\n", out);
	}
	takes_release(&t);
}

static void write_zsh(FILE *out)
{
	fputs("#compdef roost\n# zsh completion for roost: a file _roost in a directory of $fpath\n"
	      "_roost_names()\n{\n"
	      "\tlocal kind=$argv[-1]\n\tlocal -a names\n"
	      "\t[[ $kind == experiments || $PREFIX == conv_* ]] || kind=experiments\n"
	      "\tnames=(${(f)\"$(\"${_roost_program:-roost}\" completion --names=$kind 2>/dev/null)\"})\n"
	      "\tcompadd \"${(@)argv[1,-2]}\" -a names\n}\n"
	      "_roost()\n{\n\tlocal -a commands\n\tcommands=(\n",
	      out);
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		fprintf(out, "\t\t'%s:", cli_commands[i]->name);
		zsh_text(cli_commands[i]->summary, "", out);
		fputs("'\n", out);
	}
	fputs("\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n"
	      "\tlocal _roost_program=$words[1]\n\tshift words\n\t((CURRENT--))\n\tcase $words[1] in\n",
	      out);
	for (size_t i = 0; cli_commands[i] != NULL; i++) zsh_command(cli_commands[i], out);
	fputs("\tesac\n}\n"
	      "if [[ $funcstack[1] == _roost ]]; then\n\t_roost \"$@\"\nelse\n\tcompdef _roost roost\nfi\n",
	      out);
}

/* ---- fish --------------------------------------------------------------------------------------------------------- */

static void fish_text(const char *text, FILE *out)
{
	fputc('\'', out);
	for (const char *p = text; *p != '\0'; p++) fprintf(out, "%s%c", *p == '\'' || *p == '\\' ? "\\" : "", *p);
	fputc('\'', out);
}

/* -x: nothing but what is listed; -r: with files. */
static void fish_takes(const struct takes *t, const char *files, const char *no_files, FILE *out)
{
	static const char *const lists[] = {"",
					    "",
					    "",
					    "",
					    "(__fish_complete_directories)",
					    "(__roost_names experiments)",
					    "(__roost_names conversations)"};
	fprintf(out, " %s", t->what == TAKES_FILE ? files : no_files);
	if (t->words.n > 0) fprintf(out, " -a '%s'", t->words.p);
	if (lists[t->what][0] != '\0') fprintf(out, " -a '%s'", lists[t->what]);
}

static void fish_command(const struct cli_command *cmd, FILE *out)
{
	struct takes t;
	for (const struct cli_option *o = NULL; (o = help_next_option(cmd, o)) != NULL;) {
		takes_option(o, &t);
		fprintf(out, "complete -c roost -n '__roost_is %s' -l %s", cmd->name, o->name);
		if (o->letter != 0) fprintf(out, " -s %c", o->letter);
		if (may_be_alone(o)) fish_takes(&t, "-F", "-f", out);
		else if (o->arg != NULL) fish_takes(&t, "-r -F", "-x", out);
		fputs(" -d ", out);
		fish_text(o->help, out);
		fputc('\n', out);
		takes_release(&t);
	}
	takes_args(cmd, &t);
	if (t.what != TAKES_UNKNOWN) {
		fprintf(out, "complete -c roost -n '__roost_is %s'", cmd->name);
		fish_takes(&t, "-F", "-f", out);
		fputc('\n', out);
	}
	if (t.naming.n > 0)
		fprintf(out,
			"complete -c roost -n '__roost_is %s; and __roost_has %s' -f -a '(__roost_names experiments)'\n",
			cmd->name, t.naming.p);
	takes_release(&t);
}

static void write_fish(FILE *out)
{
	fputs("# fish completion for roost: a file roost.fish in a directory of $fish_complete_path\n"
	      "function __roost_is\n\tset -l line (commandline -opc)\n\tset -q line[2]; and test $line[2] = $argv[1]\nend\n"
	      "function __roost_has\n\tset -l line (commandline -opc)\n"
	      "\tset -q line[3]; and contains -- $line[3] $argv\nend\n"
	      "function __roost_first\n\ttest (count (commandline -opc)) -eq 1\nend\n"
	      "function __roost_names\n\tset -l line (commandline -opc)\n\tset -l kind $argv[1]\n"
	      "\tstring match -q 'conv_*' -- (commandline -ct); or set kind experiments\n"
	      "\t$line[1] completion --names=$kind 2>/dev/null\nend\n"
	      "complete -c roost -f\n",
	      out);
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		fprintf(out, "complete -c roost -n __roost_first -a %s -d ", cli_commands[i]->name);
		fish_text(cli_commands[i]->summary, out);
		fputc('\n', out);
	}
	for (size_t i = 0; cli_commands[i] != NULL; i++) fish_command(cli_commands[i], out);
}

bool complete_write(struct str shell, FILE *out)
{
	static const struct {
		const char *shell;
		void (*write)(FILE *out);
	} rows[] = {{"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!str_eq(shell, str_c(rows[i].shell))) continue;
		rows[i].write(out);
		return true;
	}
	return false;
}
