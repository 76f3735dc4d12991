/* roost status: how the daemon is doing.
 *
 * The daemon's answer is a tree of figures whose names carry their units (…Bytes, …Ms, …At), so it is shown by walking
 * it: a figure that a newer daemon adds is shown without a change here. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/term.h"

static const struct cli_option options[] = {OPTION_DATA, OPTION_JSON, OPTION_END};

static bool ends_with(struct str s, struct str tail)
{
	return s.n >= tail.n && str_eq(str_n(s.p + s.n - tail.n, tail.n), tail);
}

/* The key without its unit's suffix and with spaces: "anonBytes" → "anon". */
static void print_name(struct str key, size_t margin)
{
	static const struct str units[] = {{"Bytes", 5}, {"Ms", 2}, {"At", 2}};
	enum { NAME_COLUMNS = 18 };
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (ends_with(key, units[i]) && key.n > units[i].n) key.n -= units[i].n;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (size_t i = 0; i < key.n; i++) {
		bool is_upper = key.p[i] >= 'A' && key.p[i] <= 'Z';
		if (is_upper && i > 0) buf_add_char(&b, ' ');
		buf_add_char(&b, is_upper && i > 0 ? (char)(key.p[i] + 32) : key.p[i]);
	}
	printf("%*s", (int)margin, "");
	term_put(stdout, buf_str(&b), TERM_ONE_LINE);
	printf("%*s", (int)MAX(1, NAME_COLUMNS - (int)(margin + b.n)), "");
	buf_release(&b);
}

static void print_value(struct str key, const struct json *v)
{
	int64_t number;
	struct str text;
	char word[TERM_WORD] = "";
	if (json_int(v, &number) && ends_with(key, STR("Bytes"))) term_bytes(number, word);
	else if (json_int(v, &number) && ends_with(key, STR("Ms"))) term_duration(number, word);
	else if (json_str(v, &text) && ends_with(key, STR("At")) && time_parse(text, &number)) term_time(number, word);
	if (word[0] != '\0') {
		fputs(word, stdout);
	} else if (json_str(v, &text)) {
		term_put(stdout, text, TERM_ONE_LINE);
	} else {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		json_write(&b, v);
		term_put(stdout, buf_str(&b), TERM_ONE_LINE);
		buf_release(&b);
	}
}

static bool is_tree(const struct json *v)
{
	if (json_type(v) == JSON_OBJ) return true;
	for (struct json_iter it = json_iter(v); json_next(&it);)
		if (json_type(it.val) == JSON_OBJ) return true;
	return false;
}

static void print_tree(const struct json *v, size_t margin);

/* One member: a figure, or a tree under its name. A list of figures goes on one line. */
static void print_member(struct str key, const struct json *v, size_t margin)
{
	print_name(key, margin);
	if (is_tree(v)) {
		putchar('\n');
		print_tree(v, margin + 2);
		return;
	}
	if (json_type(v) == JSON_ARR) {
		const char *gap = "";
		for (struct json_iter it = json_iter(v); json_next(&it); gap = ", ") {
			fputs(gap, stdout);
			print_value(key, it.val);
		}
	} else {
		print_value(key, v);
	}
	putchar('\n');
}

static void print_tree(const struct json *v, size_t margin)
{
	for (struct json_iter it = json_iter(v); json_next(&it);) {
		if (json_type(v) == JSON_ARR) print_tree(it.val, margin);
		else print_member(it.key, it.val, margin);
	}
}

static int run(struct cli *c)
{
	struct json_doc *doc = NULL;
	enum err e = cli_load_config(c);
	if (e == OK) e = operator_call(c, "GET", "status", STR_NONE, OPERATOR_MS, &doc);
	if (e != OK) return cli_fail(c, e, &c->info);
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else print_tree(json_root(doc), 0);
	json_free(doc);
	return 0;
}

const struct cli_command cmd_status = {
	.name = "status",
	.summary = "show how the daemon is doing",
	.args = "",
	.about = "Prints the daemon's version, addresses, sizes on disk, devices, requests, providers, memory and\n"
		 "connections. The exit status is 69 when no daemon runs, so it serves as a health check too.",
	.example = "roost status\n"
		   "roost status --json",
	.options = options,
	.run = run,
};
