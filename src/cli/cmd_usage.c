/* roost usage, roost budget: what users spent, and how much they may. */
#include "base/id.h"
#include "cli/cli.h"
#include "cli/term.h"
#include "relay/budget.h"

/* Ticks as dollars; null is a dash. */
static void add_ticks(struct table *t, const struct json *v)
{
	struct buf b = BUF_INIT(64);
	int64_t ticks;
	if (json_int(v, &ticks)) budget_write(&b, ticks);
	else buf_add_char(&b, '-');
	table_add(t, buf_str(&b));
	buf_release(&b);
}

static void add_count(struct table *t, const struct json *v)
{
	char text[32] = "-";
	int64_t n;
	if (json_int(v, &n)) (void)snprintf(text, sizeof text, "%lld", (long long)n);
	table_add(t, str_c(text));
}

static void add_model(struct table *t, const struct json *row)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&b, "%.*s:%.*s", STR_ARG(cli_text(row, "provider")), STR_ARG(cli_text(row, "model")));
	table_add(t, buf_str(&b));
	buf_release(&b);
}

/* ---- usage ------------------------------------------------------------------------------------------------------- */

static void print_usage(const struct json *rows)
{
	static const char *const heads[] = {"DAY", "USER", "MODEL", "CALLS", "INPUT", "OUTPUT", "COST", "NOTE"};
	struct table t;
	table_init(&t, ARRAY_LEN(heads));
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) table_add(&t, str_c(heads[i]));
	for (struct json_iter it = json_iter(rows); json_next(&it);) {
		bool estimated = false;
		int64_t unpriced = 0, calls = 0;
		(void)json_bool(json_get(it.val, "estimated"), &estimated);
		(void)json_int(json_get(it.val, "unpriced"), &unpriced);
		(void)json_int(json_get(it.val, "calls"), &calls);
		table_add(&t, cli_text(it.val, "day"));
		table_add(&t, cli_text(it.val, "user"));
		add_model(&t, it.val);
		add_count(&t, json_get(it.val, "calls"));
		add_count(&t, json_get(it.val, "inputTokens"));
		add_count(&t, json_get(it.val, "outputTokens"));
		add_ticks(&t, unpriced < calls ? json_get(it.val, "costTicks") : NULL);
		table_add(&t, estimated ? STR("estimated") : unpriced == 0 ? STR("") : STR("not all have a price"));
	}
	table_print(&t, stdout);
	table_release(&t);
}

static bool is_day(const char *s)
{
	size_t n = 0;
	for (; n < 11 && s[n] != '\0'; n++)
		if (n == 4 || n == 7 ? s[n] != '-' : s[n] < '0' || s[n] > '9') return false;
	return n == 10;
}

static int run_usage(struct cli *c)
{
	const char *day = cli_option(c, "day"), *user = cli_option(c, "user");
	struct buf path = BUF_INIT(1000);
	struct json_doc *doc = NULL;
	if (day != NULL && !is_day(day)) return cli_usage(c, "--day expects a day as 2026-01-31");
	if (user != NULL && !name_is_valid(str_c(user))) return cli_usage(c, "--user expects a user's name");
	enum err e = cli_load_config(c);
	if (e == OK) {
		buf_addf(&path, "usage?day=%s&user=%s", day != NULL ? day : "", user != NULL ? user : "");
		e = operator_call(c, "GET", path.p, STR_NONE, OPERATOR_MS, &doc);
	}
	buf_release(&path);
	if (e != OK) return cli_fail(c, e, &c->info);
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else print_usage(json_get(json_root(doc), "usage"));
	json_free(doc);
	return 0;
}

static const struct cli_option usage_options[] = {
	OPTION_DATA,
	{"day", 'D', "DAY", "show that day (UTC) only, as 2026-01-31", "every day"},
	{"user", 'u', "NAME", "show that user only", "every user"},
	OPTION_JSON,
	OPTION_END,
};

const struct cli_command cmd_usage = {
	.name = "usage",
	.summary = "show what was asked of models and what it cost",
	.args = "",
	.about =
		"Prints calls, tokens and cost in USD by day (UTC), user, provider and model. Tokens that no provider\n"
		"counted are estimated and have a line of their own. A dash stands for a cost that nobody knows, since\n"
		"the model has no price in `roost models`; it is in no sum.",
	.example = "roost usage\n"
		   "roost usage --day 2026-01-31 --user alice --json",
	.options = usage_options,
	.run = run_usage,
};

/* ---- budget ------------------------------------------------------------------------------------------------------ */

static void print_budgets(const struct json *list)
{
	struct table t;
	table_init(&t, 3);
	table_add(&t, STR("USER"));
	table_add(&t, STR("A DAY"));
	table_add(&t, STR("SPENT TODAY"));
	for (struct json_iter it = json_iter(list); json_next(&it);) {
		table_add(&t, cli_text(it.val, "user"));
		add_ticks(&t, json_get(it.val, "limitTicks"));
		add_ticks(&t, json_get(it.val, "spentTicks"));
	}
	table_print(&t, stdout);
	table_release(&t);
}

static enum err set_budget(struct cli *c, struct json_doc **out)
{
	struct buf body = BUF_INIT(4096);
	struct jw w = JW(&body);
	jw_obj(&w);
	jw_kstr(&w, "user", str_c(c->args[0]));
	if (strcmp(c->args[1], "default") != 0) jw_kstr(&w, "budget", str_c(c->args[1]));
	jw_obj_end(&w);
	enum err e = operator_call(c, "POST", "budget", buf_str(&body), OPERATOR_MS, out);
	buf_release(&body);
	return e;
}

static int run_budget(struct cli *c)
{
	struct json_doc *doc = NULL;
	if (c->nargs == 1) return cli_usage(c, "expects: %s", c->command->args);
	enum err e = cli_load_config(c);
	if (e == OK && c->nargs == 2) e = set_budget(c, &doc);
	else if (e == OK) e = operator_call(c, "GET", "budget", STR_NONE, OPERATOR_MS, &doc);
	if (e != OK) return cli_fail(c, e, &c->info);
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else if (c->nargs == 2) printf("the budget of %s is set\n", c->args[0]);
	else print_budgets(json_get(json_root(doc), "budgets"));
	json_free(doc);
	return 0;
}

static const struct cli_option budget_options[] = {OPTION_DATA, OPTION_JSON, OPTION_END};

const struct cli_command cmd_budget = {
	.name = "budget",
	.summary = "show and set what users may spend a day",
	.args = "[USER AMOUNT]",
	.about =
		"Without an argument lists what each user may spend a day (UTC) and has spent today, in USD; a dash is\n"
		"no limit. AMOUNT is USD a day, or \"default\" for what the configuration says (userBudget). Once a budget\n"
		"is spent no call begins until the day is over; one that runs is not cut.",
	.example = "roost budget\n"
		   "roost budget alice 5.00/day\n"
		   "roost budget alice default",
	.options = budget_options,
	.args_max = 2,
	.run = run_budget,
};
