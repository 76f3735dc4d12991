/* roost history: what messages, titles and settings were before, and putting one back. */
#include <ctype.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/term.h"

static const struct cli_option options[] = {
	OPTION_DATA,
	{"restore", 'r', "REVISION", "put this one back, as a new edit", NULL},
	{"user", 'u', "USER", "only this user's, by name or id", "everybody's"},
	OPTION_JSON,
	OPTION_END,
};

#define VALUE_COLUMNS 60

/* The first line of a value, text without its quotes. */
static void add_value(struct table *t, const struct json *value)
{
	struct str text;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (!json_str(value, &text)) {
		json_write(&b, value);
		text = buf_str(&b);
	}
	const char *end = text.n > 0 ? memchr(text.p, '\n', text.n) : NULL;
	struct str line = end != NULL ? str_n(text.p, (size_t)(end - text.p)) : text;
	struct buf cell = BUF_INIT(BUF_NO_LIMIT);
	size_t fit = term_fit(line, VALUE_COLUMNS);
	buf_add(&cell, line.p, fit);
	if (fit < line.n || end != NULL) buf_add_str(&cell, STR(" …"));
	table_add(t, buf_str(&cell));
	buf_release(&cell);
	buf_release(&b);
}

static void print_list(const struct json *revisions)
{
	static const char *const heads[] = {"WHEN", "DEVICE", "FIELD", "", "REVISION", "WAS"};
	struct table t;
	table_init(&t, ARRAY_LEN(heads));
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) table_add(&t, str_c(heads[i]));
	for (struct json_iter it = json_iter(revisions); json_next(&it);) {
		char when[TERM_WORD] = "";
		int64_t ms;
		bool conflict = false;
		struct buf field = BUF_INIT(BUF_NO_LIMIT);
		if (time_parse(cli_text(it.val, "at"), &ms)) term_time(ms, when);
		json_bool(json_get(it.val, "conflict"), &conflict);
		buf_add_str(&field, cli_text(it.val, "recordType"));
		buf_add_char(&field, ' ');
		buf_add_str(&field, cli_text(it.val, "field"));
		table_add(&t, str_c(when));
		table_add(&t, cli_text(it.val, "deviceName"));
		table_add(&t, buf_str(&field));
		table_add(&t, conflict ? STR("conflict") : STR(""));
		table_add(&t, cli_text(it.val, "revision"));
		add_value(&t, json_get(it.val, "value"));
		buf_release(&field);
	}
	table_print(&t, stdout);
	table_release(&t);
}

static void add_query(struct buf *path, const char *key, const char *value)
{
	buf_addf(path, "%s=", key);
	for (const char *p = value; *p != '\0'; p++)
		buf_addf(path, isalnum((unsigned char)*p) ? "%c" : "%%%02X", (unsigned char)*p);
}

static enum err list(struct cli *c)
{
	struct buf path = BUF_INIT(4096);
	struct json_doc *doc = NULL;
	const char *user = cli_option(c, "user");
	buf_add_str(&path, STR("history?"));
	add_query(&path, "id", c->args[0]);
	if (user != NULL) add_query(&path, "&user", user);
	enum err e = path.failed ? err_set(&c->info, ERR_USAGE, "the id is too long")
				 : operator_call(c, "GET", path.p, STR_NONE, OPERATOR_MS, &doc);
	buf_release(&path);
	if (e != OK) return e;
	const struct json *revisions = json_get(json_root(doc), "revisions");
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else if (json_len(revisions) == 0) printf("nothing of it was ever replaced\n");
	else print_list(revisions);
	json_free(doc);
	return OK;
}

static enum err put_back(struct cli *c, const char *revision)
{
	struct buf body = BUF_INIT(4096);
	struct jw w = JW(&body);
	struct json_doc *doc = NULL;
	const char *user = cli_option(c, "user");
	jw_obj(&w);
	if (user != NULL) jw_kstr(&w, "user", str_c(user));
	jw_kstr(&w, "revision", str_c(revision));
	jw_obj_end(&w);
	enum err e = operator_call(c, "POST", "history/restore", buf_str(&body), OPERATOR_MS, &doc);
	buf_release(&body);
	if (e != OK) return e;
	const struct json *record = json_get(json_root(doc), "record");
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else
		printf("%.*s %.*s is as it was in that revision\n", STR_ARG(cli_text(record, "type")),
		       STR_ARG(cli_text(record, "name")));
	json_free(doc);
	return OK;
}

static int run(struct cli *c)
{
	const char *revision = cli_option(c, "restore");
	if (revision != NULL && c->nargs > 0) return cli_usage(c, "--restore takes no other ID");
	if (revision == NULL && c->nargs != 1) return cli_usage(c, "expects: %s", c->command->args);
	enum err e = cli_load_config(c);
	if (e == OK) e = revision != NULL ? put_back(c, revision) : list(c);
	return e == OK ? 0 : cli_fail(c, e, &c->info);
}

const struct cli_command cmd_history = {
	.name = "history",
	.summary = "list what was replaced, and put it back",
	.args = "ID",
	.about =
		"Lists the revisions of a conversation with its messages, of a message, a project or any other record,\n"
		"newest first: when and on which device each was written, and its first line. \"conflict\" marks what\n"
		"lost to another device's edit before anybody had seen it.\n"
		"\n"
		"Putting a revision back is an edit like any other: what it replaces becomes a revision.",
	.example = "roost history 0193d3a0-7c1e-7000-8000-2b6f3f1a9c55\n"
		   "roost history --json 0193d3a0-7c1e-7000-8000-2b6f3f1a9c55\n"
		   "roost history --restore 0193d3a0-7c1e-8000-8000-77aa01d2c3b4",
	.options = options,
	.args_max = 1,
	.run = run,
};
