/* roost experiment: those that there are, and one in detail. Nothing here asks a daemon. */
#include <math.h>

#include "cli/experiments.h"
#include "cli/term.h"

#define LIMIT 20

static const struct cli_option options[] = {
	OPTIONS_PLACE,
	{"all", 'a', NULL, "list: without a limit", NULL},
	{"running", 'r', NULL, "list: only those that run now", NULL},
	{"limit", 'n', "N", "list: so many, the newest first", "20"},
	OPTION_JSON,
	OPTION_END,
};

static void add_text(struct table *t, struct buf *b)
{
	table_add(t, buf_str(b));
	buf_clear(b);
}

static void add_heads(struct table *t, const char *const *heads, size_t n)
{
	table_init(t, n);
	for (size_t i = 0; i < n; i++) table_add(t, str_c(heads[i]));
}

static void add_time(struct table *t, int64_t wall_ms)
{
	char word[TERM_WORD] = "-";
	if (wall_ms > 0) term_time(wall_ms, word);
	table_add(t, str_c(word));
}

static int64_t tokens_of(const struct manifest_tokens *t) { return t->prompt + t->completion; }

/* ---- list ------------------------------------------------------------------------------------------------------- */

static void add_row(struct table *t, const struct place_entry *e)
{
	struct look l;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	enum err err = look_at(e->dir, false, &l, NULL);
	const char *digits = strchr(e->id, '_');
	table_add(t, str_c(digits != NULL ? digits + 1 : e->id));
	table_add(t, l.m.name.n > 0 ? l.m.name : str_c(e->name));
	table_add(t, str_c(err == OK ? l.words : "unreadable"));
	buf_addf(&b, "%zu/%zu", l.m.count[LAB_COMPLETED], manifest_total(&l.m));
	add_text(t, &b);
	buf_addf(&b, "%lld", (long long)tokens_of(&l.m.total));
	add_text(t, &b);
	experiment_cost(&l.m.total, &b);
	add_text(t, &b);
	add_time(t, l.m.started_ms > 0 ? l.m.started_ms : l.m.created_ms);
	char word[TERM_WORD] = "-";
	if (experiment_took_ms(&l) >= 0) term_duration(experiment_took_ms(&l), word);
	table_add(t, str_c(word));
	look_release(&l);
	buf_release(&b);
}

static void print_list(const struct place_list *l, size_t n)
{
	static const char *const heads[] = {"ID", "NAME", "STATUS", "DONE", "TOKENS", "COST", "STARTED", "TOOK"};
	struct table t;
	add_heads(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < n; i++) add_row(&t, &l->list[i]);
	table_print(&t, stdout);
	table_release(&t);
	if (n < l->n) printf("%zu more; --all shows them\n", l->n - n);
}

static void print_list_json(const struct place_list *l, size_t n)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		struct place_entry *e = &l->list[i];
		struct place p = {.dir = e->dir, .name = e->name};
		struct look look;
		memcpy(p.id, e->id, sizeof p.id);
		if (look_at(e->dir, false, &look, NULL) == OK) experiment_json(&w, &p, &look);
		look_release(&look);
	}
	jw_arr_end(&w);
	printf("%.*s\n", STR_ARG(buf_str(&b)));
	buf_release(&b);
}

static enum err list(struct cli *c)
{
	struct place_list l;
	int64_t limit = LIMIT;
	const char *text = cli_option(c, "limit");
	if (text != NULL && (!str_to_int(str_c(text), &limit) || limit < 1))
		return err_set(&c->info, ERR_USAGE, "--limit takes a number from 1");
	char *output = experiments_output(c);
	enum err e = cli_switch(c, "running") ? place_running(output, &l, &c->info) : place_list(output, &l, &c->info);
	if (e == OK) {
		size_t n = cli_switch(c, "all") ? l.n : MIN(l.n, (size_t)limit);
		if (cli_switch(c, "json")) print_list_json(&l, n);
		else print_list(&l, n);
	}
	place_list_release(&l);
	free(output);
	return e;
}

/* ---- show ------------------------------------------------------------------------------------------------------- */

static void print_conversations(const struct manifest *m)
{
	static const char *const heads[] = {"CONVERSATION", "STATUS", "TURNS", "MESSAGES",
					    "CONVERGENCE",  "TOKENS", "COST",  "END"};
	struct table t;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	add_heads(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < m->n; i++) {
		const struct manifest_conversation *c = &m->list[i];
		struct manifest_tokens sum = {0};
		for (size_t a = 0; a < MANIFEST_AGENTS; a++) manifest_tokens_add(&sum, &c->tokens[a]);
		table_add(&t, str_c(c->id));
		table_add(&t, str_c(lab_status_name(c->status)));
		buf_addf(&b, "%lld", (long long)c->turns);
		add_text(&t, &b);
		buf_addf(&b, "%lld", (long long)c->messages);
		add_text(&t, &b);
		if (isnan(c->convergence)) buf_add_char(&b, '-');
		else buf_addf(&b, "%.2f", c->convergence);
		add_text(&t, &b);
		buf_addf(&b, "%lld", (long long)tokens_of(&sum));
		add_text(&t, &b);
		experiment_cost(&sum, &b);
		add_text(&t, &b);
		buf_addf(&b, "%s%s%s", c->reason != NULL ? c->reason : "",
			 c->reason != NULL && c->error[0] != '\0' ? ": " : "", c->error);
		add_text(&t, &b);
	}
	table_print(&t, stdout);
	table_release(&t);
	buf_release(&b);
}

static void field(const char *name, struct str value)
{
	printf("%-14s", name);
	term_put(stdout, value, TERM_ONE_LINE);
	putchar('\n');
}

/* What the spec says, without what it leaves open. */
static void print_config(struct str config)
{
	struct json_doc *doc;
	if (json_parse(config, &doc, NULL) != OK) return;
	printf("\n");
	for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
		struct buf line = BUF_INIT(BUF_NO_LIMIT);
		struct str text;
		if (json_type(it.val) == JSON_NULL) continue;
		buf_addf(&line, "  %.*s: ", STR_ARG(it.key));
		if (json_str(it.val, &text)) buf_add_str(&line, text);
		else json_write(&line, it.val);
		term_put(stdout, buf_str(&line), TERM_ONE_LINE);
		putchar('\n');
		buf_release(&line);
	}
	printf("\n");
	json_free(doc);
}

static void print_head(const struct place *p, const struct look *l)
{
	const struct manifest *m = &l->m;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	char word[TERM_WORD];
	field("experiment", m->name.n > 0 ? m->name : str_c(p->name));
	field("id", str_c(p->id));
	field("directory", str_c(p->dir));
	buf_addf(&b, "%s, ", l->words);
	experiment_progress(l, &b);
	if (l->pid != 0) buf_addf(&b, " (process %d)", l->pid);
	field("status", buf_str(&b));
	buf_clear(&b);
	for (size_t i = 0; i < m->nagents; i++) buf_addf(&b, "%s%.*s", i > 0 ? ", " : "", STR_ARG(m->agent_models[i]));
	field("agents", buf_str(&b));
	buf_clear(&b);
	buf_addf(&b, "%lld in, %lld out", (long long)m->total.prompt, (long long)m->total.completion);
	if (m->total.thinking > 0) buf_addf(&b, ", %lld of them thinking", (long long)m->total.thinking);
	if (m->total.estimated) buf_add_str(&b, STR("; some are estimated"));
	field("tokens", buf_str(&b));
	buf_clear(&b);
	experiment_cost(&m->total, &b);
	field("cost", buf_str(&b));
	if (m->started_ms > 0) {
		term_time(m->started_ms, word);
		field("started", str_c(word));
	}
	if (experiment_took_ms(l) >= 0) {
		term_duration(experiment_took_ms(l), word);
		field("took", str_c(word));
	}
	if (m->redacted) field("texts", STR("redacted"));
	if (m->error[0] != '\0') field("error", str_c(m->error));
	buf_release(&b);
}

/* What `list` says of it, and its manifest. */
static enum err print_json(struct cli *c, const struct place *p, const struct look *l)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT), manifest = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	struct json_doc *doc;
	manifest_print(&l->m, &manifest);
	jw_obj(&w);
	jw_key(&w, "experiment");
	experiment_json(&w, p, l);
	jw_kraw(&w, "manifest", buf_str(&manifest));
	jw_obj_end(&w);
	enum err e = json_parse(buf_str(&b), &doc, &c->info);
	if (e == OK) {
		cli_print_json(json_root(doc)); /* on one line */
		json_free(doc);
	}
	buf_release(&manifest);
	buf_release(&b);
	return e;
}

static enum err show(struct cli *c, const struct place *p)
{
	struct look l;
	enum err e = look_at(p->dir, true, &l, &c->info);
	if (e == OK && cli_switch(c, "json")) {
		e = print_json(c, p, &l);
	} else if (e == OK) {
		print_head(p, &l);
		print_config(l.m.config);
		print_conversations(&l.m);
	}
	look_release(&l);
	return e;
}

/* ---- status ----------------------------------------------------------------------------------------------------- */

/* The error that stands for how it went: the exit status is for scripts. */
static enum err verdict(const struct look *l)
{
	switch (l->status) {
	case EXPERIMENT_WITH_FAILURES:
	case EXPERIMENT_FAILED: return ERR_PROVIDER;
	case EXPERIMENT_INTERRUPTED: return ERR_CANCELLED;
	default: return OK;
	}
}

static int status(struct cli *c, const struct place *p)
{
	struct look l;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	enum err e = look_at(p->dir, false, &l, &c->info);
	if (e != OK) {
		look_release(&l);
		return cli_fail(c, e, &c->info);
	}
	if (cli_switch(c, "json")) {
		struct jw w = JW(&b);
		experiment_json(&w, p, &l);
	} else {
		char word[TERM_WORD];
		buf_addf(&b, "%s (%s): %s, ", p->name, p->id, l.words);
		experiment_progress(&l, &b);
		buf_addf(&b, ", %lld tokens, ", (long long)tokens_of(&l.m.total));
		experiment_cost(&l.m.total, &b);
		if (experiment_took_ms(&l) >= 0) {
			term_duration(experiment_took_ms(&l), word);
			buf_addf(&b, ", %s", word);
		}
	}
	term_put(stdout, buf_str(&b), TERM_ONE_LINE);
	putchar('\n');
	e = verdict(&l);
	look_release(&l);
	buf_release(&b);
	return err_exit(e);
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static int run(struct cli *c)
{
	const char *verb = c->nargs > 0 ? c->args[0] : "list";
	bool is_list = strcmp(verb, "list") == 0, is_show = strcmp(verb, "show") == 0;
	bool is_status = strcmp(verb, "status") == 0;
	struct place p = {0};
	int exit_status = 0;
	if (!is_list && !is_show && !is_status) return cli_usage(c, "expects: %s", c->command->args);
	if (c->nargs > 0 && c->nargs != (is_list ? 1 : 2))
		return cli_usage(c, is_list ? "list takes no argument" : "%s expects one EXPERIMENT", verb);
	enum err e = cli_load_config(c);
	if (e == OK && is_list) e = list(c);
	if (e == OK && !is_list) e = experiment_find(c, c->args[1], &p);
	if (e == OK && is_show) e = show(c, &p);
	if (e == OK && is_status) exit_status = status(c, &p);
	place_release(&p);
	return e == OK ? exit_status : cli_fail(c, e, &c->info);
}

const struct cli_command cmd_experiment = {
	.name = "experiment",
	.summary = "list experiments, show one, ask how one goes",
	.args = "list | show EXPERIMENT | status EXPERIMENT",
	.about =
		"EXPERIMENT is an id, its eight digits, a name, the beginning of one of these, the id of one of its\n"
		"conversations, or a directory.\n"
		"\n"
		"list shows the newest ones. show tells what was asked for and what has become of each conversation.\n"
		"status is one line; its exit status is 0 for an experiment that goes on or is completed, 69 when\n"
		"conversations failed, and 75 when it was interrupted.\n"
		"\n"
		"An experiment that was running when its process was killed is shown as interrupted (killed); it can be\n"
		"continued with `roost run --resume`. Experiments of Pidgin are listed and shown as well.",
	.example = "roost experiment list --running\n"
		   "roost experiment show bold-heron\n"
		   "roost experiment status bold-heron --json",
	.options = options,
	.args_max = 2,
	.run = run,
};
