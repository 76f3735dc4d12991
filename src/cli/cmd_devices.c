/* roost devices: the devices that were paired, and taking one's credential back. */
#include <ctype.h>

#include "cli/cli.h"
#include "cli/term.h"

static const struct cli_option options[] = {
	OPTION_DATA,
	{"user", 'u', "USER", "only this user's, by name or id", "everybody's"},
	OPTION_JSON,
	OPTION_END,
};

static void print_list(const struct json *devices)
{
	static const char *const heads[] = {"NAME", "USER", "PLATFORM", "STATE", "LAST SEEN", "ID"};
	struct table t;
	table_init(&t, ARRAY_LEN(heads));
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) table_add(&t, str_c(heads[i]));
	for (struct json_iter it = json_iter(devices); json_next(&it);) {
		bool online = false, revoked = false;
		json_bool(json_get(it.val, "online"), &online);
		json_bool(json_get(it.val, "revoked"), &revoked);
		table_add(&t, cli_text(it.val, "name"));
		table_add(&t, cli_text(it.val, "user"));
		table_add(&t, cli_text(it.val, "platform"));
		table_add(&t, revoked ? STR("revoked") : online ? STR("online") : STR("offline"));
		table_add(&t, cli_text(it.val, "lastSeen"));
		table_add(&t, cli_text(it.val, "deviceId"));
	}
	table_print(&t, stdout);
	table_release(&t);
}

static enum err list(struct cli *c)
{
	struct buf path = BUF_INIT(4096);
	struct json_doc *doc;
	const char *user = cli_option(c, "user");
	buf_add_str(&path, STR("devices"));
	if (user != NULL) buf_add_str(&path, STR("?user="));
	for (const char *p = user; p != NULL && *p != '\0'; p++)
		buf_addf(&path, isalnum((unsigned char)*p) ? "%c" : "%%%02X", (unsigned char)*p);
	enum err e = operator_call(c, "GET", path.p, STR_NONE, OPERATOR_MS, &doc);
	buf_release(&path);
	if (e != OK) return e;
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else print_list(json_get(json_root(doc), "devices"));
	json_free(doc);
	return OK;
}

static enum err revoke_device(struct cli *c)
{
	struct buf body = BUF_INIT(4096);
	struct jw w = JW(&body);
	struct json_doc *doc;
	const char *user = cli_option(c, "user");
	jw_obj(&w);
	if (user != NULL) jw_kstr(&w, "user", str_c(user));
	jw_kstr(&w, "deviceId", str_c(c->args[1]));
	jw_obj_end(&w);
	enum err e = operator_call(c, "POST", "devices/revoke", buf_str(&body), OPERATOR_MS, &doc);
	buf_release(&body);
	if (e != OK) return e;
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else printf("%s is no longer paired\n", c->args[1]);
	json_free(doc);
	return OK;
}

static int run(struct cli *c)
{
	const char *verb = c->nargs > 0 ? c->args[0] : "list";
	bool is_revoke = strcmp(verb, "revoke") == 0;
	if (!is_revoke && strcmp(verb, "list") != 0) return cli_usage(c, "expects: %s", c->command->args);
	if (c->nargs > 0 && c->nargs != (is_revoke ? 2 : 1))
		return cli_usage(c, is_revoke ? "revoke expects one ID" : "list takes no argument");
	enum err e = cli_load_config(c);
	if (e == OK) e = is_revoke ? revoke_device(c) : list(c);
	return e == OK ? 0 : cli_fail(c, e, &c->info);
}

const struct cli_command cmd_devices = {
	.name = "devices",
	.summary = "list and revoke devices",
	.args = "[list | revoke ID]",
	.about =
		"Without an argument lists the paired devices. Revoking one ends its connection and its credential at\n"
		"once; what it wrote stays. It may be paired again.",
	.example = "roost devices\n"
		   "roost devices --user alice --json\n"
		   "roost devices revoke 0193d3a0-7c1e-7000-8000-2b6f3f1a9c55",
	.options = options,
	.args_max = 2,
	.run = run,
};
