/* roost keys: the providers' API keys: storing one, taking it away, and whether the providers take them.
 *
 * A key comes in on standard input and goes into a file; it is never an argument, which anybody on the machine could
 * read. A check is the daemon's, whose environment may hold keys that this one does not; without a daemon the same code
 * runs here. */
#include <errno.h>
#include <termios.h>
#include <unistd.h>
#include <uv.h>

#include "base/hash.h"
#include "cli/cli.h"
#include "cli/term.h"
#include "host/implied.h"
#include "host/keycheck.h"
#include "host/keys.h"

static const struct cli_option options[] = {
	OPTION_DATA,
	{"config", 'c', "FILE", "the configuration file", "$XDG_CONFIG_HOME/roost/roost.yaml"},
	{"for", 'f', "URL", "set: the address the key is for", "the provider's baseUrl, or its kind's"},
	OPTION_JSON,
	OPTION_END,
};

static void key_dir(const struct cli *c, char out[400]) { (void)snprintf(out, 400, "%.380s/keys", c->config.data_dir); }

/* ---- set, remove, list ------------------------------------------------------------------------------------------- */

/* Whose key it will be. ERR_USAGE: nothing says where the provider is. */
static enum err origin_for(struct cli *c, const char *name, char out[ORIGIN_MAX])
{
	const char *url = cli_option(c, "for");
	const struct provider_kind *kind = kind_find(str_c(name));
	for (size_t i = 0; i < c->config.nproviders && url == NULL; i++)
		if (strcmp(c->config.providers[i].name, name) == 0) url = c->config.providers[i].base_url;
	if (url == NULL && kind != NULL) url = kind->key_url;
	if (url == NULL || url[0] == '\0')
		return err_set(
			&c->info, ERR_USAGE,
			"no provider is called \"%.64s\": configure it first, or say where its key belongs with --for URL",
			name);
	return url_origin(str_c(url), out) ? OK
					   : err_set(&c->info, ERR_USAGE, "\"%.100s\" is no http or https URL", url);
}

/* A line from a terminal is not shown as it is typed. */
static enum err read_secret(struct cli *c, const char *name, char *text, size_t cap, size_t *out_n)
{
	struct termios before, quiet;
	ssize_t n = 0;
	bool is_tty = tcgetattr(STDIN_FILENO, &before) == 0;
	*out_n = 0;
	if (is_tty) {
		quiet = before;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		fprintf(stderr, "the API key of %s (it is not shown): ", name);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	while (*out_n < cap && (n = read(STDIN_FILENO, text + *out_n, cap - *out_n)) > 0) {
		*out_n += (size_t)n;
		if (is_tty && text[*out_n - 1] == '\n') break;
	}
	if (is_tty) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	while (*out_n > 0 && strchr("\r\n ", text[*out_n - 1]) != NULL) --*out_n;
	return n < 0 ? err_set(&c->info, ERR_IO, "standard input cannot be read: %s", strerror(errno)) : OK;
}

static enum err set(struct cli *c, const char *name)
{
	char text[KEY_MAX + 3], origin[ORIGIN_MAX], dir[400]; /* a key and its line's end */
	size_t n;
	key_dir(c, dir);
	enum err e = origin_for(c, name, origin);
	if (e == OK) e = read_secret(c, name, text, sizeof text, &n);
	if (e == OK) e = keys_store(dir, name, origin, str_n(text, n), &c->info);
	secret_wipe(text, sizeof text);
	if (e == OK)
		printf("stored for %s, to be sent to %s only; a running daemon takes it when it is started again\n",
		       name, origin);
	return e;
}

static enum err drop(struct cli *c, const char *name)
{
	char dir[400];
	key_dir(c, dir);
	enum err e = keys_remove(dir, name, &c->info);
	if (e == OK) printf("the key of %s is removed; a running daemon knows it until it ends\n", name);
	return e;
}

struct listing {
	struct table table;
	struct buf json;
	struct jw w;
};

static void list_one(void *ctx, const char *name, const char *origin, const char *bad)
{
	struct listing *l = ctx;
	const char *fault = bad[0] == '\0' && origin[0] == '\0' ? "it names no address; set it again" : bad;
	table_add(&l->table, str_c(name));
	table_add(&l->table, str_c(origin));
	table_add(&l->table, str_c(fault));
	jw_obj(&l->w);
	jw_kstr(&l->w, "name", str_c(name));
	jw_kstr(&l->w, "origin", str_c(origin));
	jw_kstr(&l->w, "error", str_c(fault));
	jw_obj_end(&l->w);
}

static enum err list(struct cli *c)
{
	struct listing l = {.json = BUF_INIT(BUF_NO_LIMIT)};
	char dir[400];
	l.w = JW(&l.json);
	table_init(&l.table, 3);
	table_add(&l.table, STR("STORED"));
	table_add(&l.table, STR("FOR"));
	table_add(&l.table, STR("FAULT"));
	key_dir(c, dir);
	jw_arr(&l.w);
	keys_each(dir, list_one, &l);
	jw_arr_end(&l.w);
	if (cli_switch(c, "json")) printf("{\"stored\":%.*s}\n", STR_ARG(buf_str(&l.json)));
	else table_print(&l.table, stdout);
	table_release(&l.table);
	buf_release(&l.json);
	return OK;
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

static void on_checked(void *ctx, struct str json) { buf_add_str(ctx, json); }

static enum err check_here(struct cli *c, struct json_doc **out)
{
	uv_loop_t loop;
	struct providers *p = NULL;
	struct buf json = BUF_INIT(BUF_NO_LIMIT);
	log_set_level(LOG_WARN);
	enum err e = implied_providers(&c->config, NULL, &c->info);
	if (e != OK) return e;
	if (uv_loop_init(&loop) != 0) return err_set(&c->info, ERR_INTERNAL, "no event loop");
	e = providers_new(&loop, &c->config.limits, c->config.providers, c->config.nproviders, &p, &c->info);
	if (e == OK) {
		key_check_start(p, on_checked, &json);
		while (json.n == 0) uv_run(&loop, UV_RUN_ONCE);
		e = json_parse(buf_str(&json), out, &c->info);
	}
	providers_free(p);
	while (uv_loop_close(&loop) == UV_EBUSY) uv_run(&loop, UV_RUN_ONCE);
	buf_release(&json);
	return e;
}

static void add_limits(struct table *t, const struct json *limits)
{
	struct buf b = BUF_INIT(1000);
	int64_t left, limit;
	for (struct json_iter it = json_iter(limits); json_next(&it);)
		if (json_int(json_get(it.val, "limit"), &limit) && json_int(json_get(it.val, "remaining"), &left))
			buf_addf(&b, "%s%lld of %lld %.*s", b.n > 0 ? ", " : "", (long long)left, (long long)limit,
				 STR_ARG(cli_text(it.val, "of")));
	table_add(t, b.n > 0 ? buf_str(&b) : STR("-"));
	buf_release(&b);
}

static void print_checks(const struct json *keys)
{
	static const char *const heads[] = {"PROVIDER", "STATE", "ENDS", "KEY", "LEFT THIS MINUTE"};
	struct table t;
	table_init(&t, ARRAY_LEN(heads));
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) table_add(&t, str_c(heads[i]));
	for (struct json_iter it = json_iter(keys); json_next(&it);) {
		table_add(&t, cli_text(it.val, "provider"));
		table_add(&t, cli_text(it.val, "state"));
		table_add(&t, cli_text(it.val, "ends"));
		table_add(&t, cli_text(it.val, "where"));
		add_limits(&t, json_get(it.val, "limits"));
	}
	table_print(&t, stdout);
	table_release(&t);
	for (struct json_iter it = json_iter(keys); json_next(&it);) {
		if (cli_text(it.val, "error").n == 0) continue;
		term_put(stdout, cli_text(it.val, "provider"), TERM_ONE_LINE);
		fputs(": ", stdout);
		term_put(stdout, cli_text(it.val, "error"), TERM_ONE_LINE);
		putchar('\n');
	}
}

/* The worst state decides. */
static int status_of(const struct json *keys)
{
	int status = 0;
	for (struct json_iter it = json_iter(keys); json_next(&it);) {
		struct str s = cli_text(it.val, "state");
		if (str_eq(s, STR("refused")) || str_eq(s, STR("missing"))) return err_exit(ERR_FORBIDDEN);
		if (!str_eq(s, STR("valid")) && !str_eq(s, STR("not_needed"))) status = err_exit(ERR_PROVIDER_DOWN);
	}
	return status;
}

static enum err check(struct cli *c, int *out_status)
{
	struct json_doc *doc = NULL;
	enum err e = operator_call(c, "GET", "keys", STR_NONE, OPERATOR_MS, &doc);
	if (e == ERR_UNAVAILABLE) e = check_here(c, &doc);
	if (e != OK) return e;
	const struct json *keys = json_get(json_root(doc), "keys");
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else if (json_len(keys) == 0) puts("no provider is configured, and no key was found");
	else print_checks(keys);
	*out_status = status_of(keys);
	json_free(doc);
	return OK;
}

static int run(struct cli *c)
{
	static const struct {
		const char *verb;
		int nargs;
	} verbs[] = {{"list", 1}, {"check", 1}, {"set", 2}, {"remove", 2}};
	const char *verb = c->nargs > 0 ? c->args[0] : "list";
	int status = 0, v = 0, nargs = MAX(c->nargs, 1);
	while (v < (int)ARRAY_LEN(verbs) && strcmp(verb, verbs[v].verb) != 0) v++;
	if (v == ARRAY_LEN(verbs) || nargs != verbs[v].nargs) return cli_usage(c, "expects: %s", c->command->args);
	enum err e = cli_load_config(c);
	if (e == OK && v == 0) e = list(c);
	else if (e == OK && v == 1) e = check(c, &status);
	else if (e == OK && v == 2) e = set(c, c->args[1]);
	else if (e == OK) e = drop(c, c->args[1]);
	return e == OK ? status : cli_fail(c, e, &c->info);
}

const struct cli_command cmd_keys = {
	.name = "keys",
	.summary = "store and check the providers' API keys",
	.args = "[list | check | set NAME | remove NAME]",
	.about =
		"set reads a provider's key from standard input (a terminal does not show it) and stores it in the data\n"
		"directory, in a file that only its owner can read, with the address it is for. It is sent to that\n"
		"address only: when the provider's baseUrl moves elsewhere it has to be set again.\n"
		"\n"
		"check asks each provider for its models and tells where its key was found, whether the provider takes\n"
		"it, and what is left of the rate limits. Of a key at most the last four characters are shown. Exit\n"
		"status 77: a key is refused or missing; 69: a provider could not be asked.",
	.example = "roost keys set anthropic < key.txt\n"
		   "roost keys check",
	.options = options,
	.args_min = 0,
	.args_max = 2,
	.run = run,
};
