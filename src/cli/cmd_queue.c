/* roost queue: what waits to be answered, and what may be done about it. */
#include "cli/cli.h"
#include "cli/term.h"

static const struct cli_option options[] = {
	OPTION_DATA,
	{"user", 'u', "USER", "whose session it is, by name or id", "anybody's"},
	{"pause", 0, NULL, "begin nothing more in this session; what runs goes on", NULL},
	{"resume", 0, NULL, "go on", NULL},
	{"clear", 0, NULL, "stop everything that waits; their messages stay", NULL},
	{"running", 0, NULL, "with --clear: stop what runs too", NULL},
	{"remove", 0, "ID", "stop this waiting request", NULL},
	{"priority", 0, "ID=N", "put this waiting request into class N: 0 first, 1, 2 last", NULL},
	OPTION_JSON,
	OPTION_END,
};

static void add_int(struct table *t, const struct json *obj, const char *key)
{
	struct buf b = BUF_INIT(40);
	int64_t n = 0;
	(void)json_int(json_get(obj, key), &n);
	buf_add_int(&b, n);
	table_add(t, buf_str(&b));
	buf_release(&b);
}

static void print_all(const struct json *queues)
{
	static const char *const heads[] = {"SESSION", "USER", "STATE", "RUNNING", "WAITING", "DEAD"};
	struct table t;
	table_init(&t, ARRAY_LEN(heads));
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) table_add(&t, str_c(heads[i]));
	for (struct json_iter it = json_iter(queues); json_next(&it);) {
		bool paused = false;
		(void)json_bool(json_get(it.val, "paused"), &paused);
		table_add(&t, cli_text(it.val, "sessionId"));
		table_add(&t, cli_text(it.val, "user"));
		table_add(&t, paused ? STR("paused") : STR("open"));
		add_int(&t, it.val, "running");
		add_int(&t, it.val, "waiting");
		add_int(&t, it.val, "dead");
	}
	table_print(&t, stdout);
	table_release(&t);
}

static void add_requests(struct table *t, const struct json *list)
{
	for (struct json_iter it = json_iter(list); json_next(&it);) {
		table_add(t, cli_text(it.val, "state"));
		add_int(t, it.val, "priority");
		add_int(t, it.val, "attempt");
		table_add(t, cli_text(it.val, "queuedAt"));
		table_add(t, cli_text(it.val, "requestId"));
		table_add(t, cli_text(json_get(it.val, "error"), "message"));
	}
}

static void print_one(const struct json *queue)
{
	static const char *const heads[] = {"STATE", "CLASS", "ATTEMPT", "QUEUED", "REQUEST", "ERROR"};
	static const char *const lists[] = {"running", "waiting", "dead"};
	struct table t;
	bool paused = false, more = false;
	(void)json_bool(json_get(queue, "paused"), &paused);
	(void)json_bool(json_get(queue, "deadMore"), &more);
	printf("session ");
	term_put(stdout, cli_text(queue, "sessionId"), TERM_ONE_LINE);
	printf("%s\n", paused ? ", paused" : "");
	table_init(&t, ARRAY_LEN(heads));
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) table_add(&t, str_c(heads[i]));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) add_requests(&t, json_get(queue, lists[i]));
	table_print(&t, stdout);
	table_release(&t);
	if (more) printf("and older failed ones\n");
}

/* The action that the options ask for; false: they do not go together, and *out_status is set. */
static bool write_action(struct cli *c, struct jw *w, int *out_status)
{
	static const char *const verbs[] = {"pause", "resume", "clear", "remove"};
	const char *action = NULL, *priority = cli_option(c, "priority"), *id = cli_option(c, "remove");
	int given = priority != NULL;
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (!cli_switch(c, verbs[i])) continue;
		action = verbs[i];
		given++;
	}
	if (given > 1 || (cli_switch(c, "running") && !cli_switch(c, "clear"))) {
		*out_status = cli_usage(c, given > 1 ? "one thing at a time" : "--running goes with --clear");
		return false;
	}
	if (cli_switch(c, "running")) jw_kbool(w, "running", true);
	if (id != NULL) jw_kstr(w, "requestId", str_c(id));
	if (priority != NULL) {
		const char *sign = strrchr(priority, '=');
		if (sign == NULL || sign == priority || sign[1] < '0' || sign[1] > '2' || sign[2] != '\0') {
			*out_status = cli_usage(c, "--priority expects ID=0, ID=1 or ID=2");
			return false;
		}
		action = "reorder";
		jw_kstr(w, "requestId", str_n(priority, (size_t)(sign - priority)));
		jw_kint(w, "priority", sign[1] - '0');
	}
	if (action != NULL) jw_kstr(w, "action", str_c(action));
	if (action != NULL && c->nargs == 0) {
		*out_status = cli_usage(c, "name a SESSION or a CONVERSATION");
		return false;
	}
	return true;
}

static int run(struct cli *c)
{
	struct buf body = BUF_INIT(4096);
	struct jw w = JW(&body);
	struct json_doc *doc = NULL;
	int status = 0;
	jw_obj(&w);
	bool fits = write_action(c, &w, &status);
	if (c->nargs > 0) jw_kstr(&w, "id", str_c(c->args[0]));
	if (cli_option(c, "user") != NULL) jw_kstr(&w, "user", str_c(cli_option(c, "user")));
	jw_obj_end(&w);
	if (!fits) {
		buf_release(&body);
		return status;
	}
	enum err e = cli_load_config(c);
	bool is_all = c->nargs == 0;
	if (e == OK && is_all) e = operator_call(c, "GET", "queue", STR_NONE, OPERATOR_MS, &doc);
	else if (e == OK) e = operator_call(c, "POST", "queue", buf_str(&body), OPERATOR_MS, &doc);
	buf_release(&body);
	if (e != OK) return cli_fail(c, e, &c->info);
	if (cli_switch(c, "json")) cli_print_json(json_root(doc));
	else if (is_all) print_all(json_get(json_root(doc), "queues"));
	else print_one(json_root(doc));
	json_free(doc);
	return 0;
}

const struct cli_command cmd_queue = {
	.name = "queue",
	.summary = "show and control the queue of a session",
	.args = "[SESSION | CONVERSATION]",
	.about =
		"Without an argument lists the sessions that have something in their queue: requests that run, that wait, or\n"
		"that failed for good (dead). With the id of a session or a conversation lists its requests in the order in\n"
		"which they will run, and does what the options say. All devices see it at once, and it outlives a restart.\n"
		"\n"
		"Requests go by class (0 before 1 before 2), and within a class first come, first served. What runs is\n"
		"never interrupted, except by --clear --running.",
	.example = "roost queue\n"
		   "roost queue 0193d3a0-7c1e-7000-8000-2b6f3f1a9c55 --pause\n"
		   "roost queue 0193d3a0-7c1e-7000-8000-2b6f3f1a9c55 --priority 0193d3a0-7c1e-7000-8000-77c1d0a4e2b1=0",
	.options = options,
	.args_max = 1,
	.run = run,
};
