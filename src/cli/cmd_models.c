/* roost models: what can be asked, what it can and what it costs.
 *
 * The daemon knows what its providers serve. Without one, the same list is made from the configuration and the built-in
 * table, by the same code; then nobody is asked. */
#include "cli/cli.h"
#include "cli/offline.h"
#include "cli/term.h"

static const struct cli_option options[] = {
	OPTION_DATA,
	{"config", 'c', "FILE", "the configuration file", "$XDG_CONFIG_HOME/roost/roost.yaml"},
	{"all", 'a', NULL, "show too what nobody serves, and what is not for conversations", NULL},
	{"live", 'l', NULL, "let the daemon ask the providers for their models first", NULL},
	OPTION_JSON,
	OPTION_END,
};

/* ---- without a daemon -------------------------------------------------------------------------------------------- */

static enum err ask_nobody(struct cli *c, struct json_doc **out)
{
	struct offline off;
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	enum err e = offline_open(c, NULL, &off);
	if (e != OK) return e;
	catalog_write_all(off.catalog, cli_switch(c, "all"), &text);
	e = json_parse(buf_str(&text), out, &c->info);
	offline_close(&off);
	buf_release(&text);
	return e;
}

static enum err get_models(struct cli *c, struct json_doc **out)
{
	bool live = cli_switch(c, "live");
	char path[40];
	(void)snprintf(path, sizeof path, "models?all=%d&live=%d", cli_switch(c, "all"), live);
	enum err e = operator_call(c, "GET", path, STR_NONE, OPERATOR_MS, out);
	if (e != ERR_UNAVAILABLE) return e;
	if (live)
		return err_set(&c->info, e, "the providers can be asked by a daemon only, and none runs on %.160s",
			       c->config.data_dir);
	return ask_nobody(c, out);
}

/* ---- showing ----------------------------------------------------------------------------------------------------- */

/* 200000 is 200k, 8191 is 8191. */
static void add_tokens(struct table *t, const struct json *v)
{
	char text[32] = "-";
	int64_t n;
	if (json_int(v, &n) && n < 10000) (void)snprintf(text, sizeof text, "%lld", (long long)n);
	else if (json_int(v, &n)) (void)snprintf(text, sizeof text, "%lldk", (long long)(n + 500) / 1000);
	table_add(t, str_c(text));
}

static void add_price(struct table *t, const struct json *price)
{
	double in, out;
	char text[64] = "-";
	if (json_real(json_get(price, "input"), &in) && json_real(json_get(price, "output"), &out))
		(void)snprintf(text, sizeof text, "$%g / $%g", in, out);
	table_add(t, str_c(text));
}

static void add_words(struct table *t, const struct json *list)
{
	struct buf b = BUF_INIT(1000);
	struct str s;
	for (struct json_iter it = json_iter(list); json_next(&it);)
		if (json_str(it.val, &s)) buf_addf(&b, "%s%.*s", b.n > 0 ? " " : "", STR_ARG(s));
	table_add(t, b.n > 0 ? buf_str(&b) : STR("-"));
	buf_release(&b);
}

static void print_models(const struct json *models)
{
	static const char *const heads[] = {"MODEL", "USE", "WINDOW", "OUTPUT", "PRICE IN / OUT", "CAN", "ALIASES"};
	struct table t;
	table_init(&t, ARRAY_LEN(heads));
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) table_add(&t, str_c(heads[i]));
	for (struct json_iter it = json_iter(models); json_next(&it);) {
		bool is_default = false, is_configured = false, is_chat = true;
		(void)json_bool(json_get(it.val, "default"), &is_default);
		(void)json_bool(json_get(it.val, "configured"), &is_configured);
		(void)json_bool(json_get(it.val, "chat"), &is_chat);
		bool is_retired = str_eq(cli_text(it.val, "status"), STR("retired"));
		table_add(&t, cli_text(it.val, "id"));
		table_add(&t, is_default      ? STR("default")
			      : !is_chat      ? STR("other")
			      : is_configured ? STR("yes")
			      : is_retired    ? STR("retired")
					      : STR("no"));
		add_tokens(&t, json_get(it.val, "window"));
		add_tokens(&t, json_get(it.val, "maxOutput"));
		add_price(&t, json_get(it.val, "price"));
		add_words(&t, json_get(it.val, "can"));
		add_words(&t, json_get(it.val, "aliases"));
	}
	table_print(&t, stdout);
	table_release(&t);
}

/* A provider that did not tell what it serves is why something is missing. */
static void print_errors(const struct json *providers)
{
	struct str error;
	for (struct json_iter it = json_iter(providers); json_next(&it);) {
		if (!json_str(json_get(it.val, "error"), &error)) continue;
		term_put(stdout, cli_text(it.val, "name"), TERM_ONE_LINE);
		fputs(" did not tell its models: ", stdout);
		term_put(stdout, error, TERM_ONE_LINE);
		putchar('\n');
	}
}

static int run(struct cli *c)
{
	struct json_doc *doc = NULL;
	enum err e = cli_load_config(c);
	if (e == OK) e = get_models(c, &doc);
	if (e != OK) return cli_fail(c, e, &c->info);
	if (cli_switch(c, "json")) {
		cli_print_json(json_root(doc));
	} else {
		print_models(json_get(json_root(doc), "models"));
		print_errors(json_get(json_root(doc), "providers"));
	}
	json_free(doc);
	return 0;
}

const struct cli_command cmd_models = {
	.name = "models",
	.summary = "show the models that can be asked",
	.args = "",
	.about = "Prints each model's id, context window and longest answer in tokens, price in USD a million tokens\n"
		 "of input and of output, what it can, and the shorter names it has. A dash stands for what is not\n"
		 "known. USE is \"default\" for the model that answers when none is named.\n"
		 "\n"
		 "A provider without a list of models in the configuration serves those it lists itself; the daemon\n"
		 "asks it when it starts, and --live asks again. Without a daemon the list is made from the\n"
		 "configuration and what Roost knows of models by itself.",
	.example = "roost models\n"
		   "roost models --all --json",
	.options = options,
	.run = run,
};
