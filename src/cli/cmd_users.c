/* roost users: who has an account here. */
#include "cli/cli.h"
#include "cli/term.h"

static const struct cli_option options[] = {OPTION_DATA, OPTION_JSON, OPTION_END};

static void print_list(const struct json *users)
{
	struct table t;
	table_init(&t, 4);
	table_add(&t, STR("NAME"));
	table_add(&t, STR("STATE"));
	table_add(&t, STR("CREATED"));
	table_add(&t, STR("ID"));
	for (struct json_iter it = json_iter(users); json_next(&it);) {
		bool disabled = false;
		json_bool(json_get(it.val, "disabled"), &disabled);
		table_add(&t, cli_text(it.val, "name"));
		table_add(&t, disabled ? STR("disabled") : STR("active"));
		table_add(&t, cli_text(it.val, "createdAt"));
		table_add(&t, cli_text(it.val, "userId"));
	}
	table_print(&t, stdout);
	table_release(&t);
}

static enum err list(struct cli *c)
{
	struct json_doc *doc;
	enum err e = operator_call(c, "GET", "users", STR_NONE, OPERATOR_MS, &doc);
	if (e != OK) return e;
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else print_list(json_get(json_root(doc), "users"));
	json_free(doc);
	return OK;
}

static enum err add(struct cli *c)
{
	struct buf body = BUF_INIT(4096);
	struct jw w = JW(&body);
	struct json_doc *doc;
	jw_obj(&w);
	jw_kstr(&w, "name", str_c(c->args[1]));
	jw_obj_end(&w);
	enum err e = operator_call(c, "POST", "users", buf_str(&body), OPERATOR_MS, &doc);
	buf_release(&body);
	if (e != OK) return e;
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else printf("%s is a user now; pair a device with: roost pair --user %s\n", c->args[1], c->args[1]);
	json_free(doc);
	return OK;
}

static enum err set_disabled(struct cli *c, bool disabled)
{
	struct buf body = BUF_INIT(4096);
	struct jw w = JW(&body);
	struct json_doc *doc;
	jw_obj(&w);
	jw_kstr(&w, "user", str_c(c->args[1]));
	jw_kbool(&w, "disabled", disabled);
	jw_obj_end(&w);
	enum err e = operator_call(c, "POST", "users/disable", buf_str(&body), OPERATOR_MS, &doc);
	buf_release(&body);
	if (e != OK) return e;
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else
		printf("%s is %s now\n", c->args[1],
		       disabled ? "disabled; all of its devices are disconnected" : "active");
	json_free(doc);
	return OK;
}

static int run(struct cli *c)
{
	const char *verb = c->nargs > 0 ? c->args[0] : "list";
	bool is_list = strcmp(verb, "list") == 0, is_add = strcmp(verb, "add") == 0;
	bool is_disable = strcmp(verb, "disable") == 0, is_enable = strcmp(verb, "enable") == 0;
	if (!is_list && !is_add && !is_disable && !is_enable) return cli_usage(c, "expects: %s", c->command->args);
	if (c->nargs > 0 && c->nargs != (is_list ? 1 : 2))
		return cli_usage(c, is_list ? "list takes no argument" : "%s expects one NAME", verb);
	enum err e = cli_load_config(c);
	if (e == OK) e = is_list ? list(c) : is_add ? add(c) : set_disabled(c, is_disable);
	return e == OK ? 0 : cli_fail(c, e, &c->info);
}

const struct cli_command cmd_users = {
	.name = "users",
	.summary = "list, add, disable and enable users",
	.args = "[list | add NAME | disable NAME | enable NAME]",
	.about = "Without an argument lists the users. A user's conversations, devices and files belong to that user\n"
		 "alone. Disabling a user disconnects all of its devices and keeps everything else; enabling it again\n"
		 "lets them return.",
	.example = "roost users add alice\n"
		   "roost pair --user alice\n"
		   "roost users disable alice",
	.options = options,
	.args_max = 2,
	.run = run,
};
