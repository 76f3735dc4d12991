/* roost doctor: verifies everything that is stored. A running daemon does it through a reader of its own; without one
 * the files are opened here. */
#include "cli/cli.h"
#include "cli/term.h"
#include "store/store.h"

static const struct cli_option options[] = {OPTION_DATA, OPTION_JSON, OPTION_END};

struct report {
	struct jw *w; /* NULL: for people */
	int bad;
};

static void report_add(void *ctx, bool bad, const char *what)
{
	struct report *r = ctx;
	r->bad += bad;
	if (r->w != NULL) {
		jw_obj(r->w);
		jw_kbool(r->w, "bad", bad);
		jw_kstr(r->w, "what", str_c(what));
		jw_obj_end(r->w);
		return;
	}
	printf("%s%s%s  ", term_style(stdout, bad ? TERM_RED : TERM_GREEN), bad ? "bad" : "ok ",
	       term_style(stdout, TERM_PLAIN));
	term_put(stdout, str_c(what), TERM_ONE_LINE);
	putchar('\n');
}

/* The running daemon's findings. */
static enum err ask(struct cli *c, struct report *r)
{
	struct json_doc *doc;
	enum err e = operator_call(c, "GET", "doctor", STR_NONE, 0, &doc);
	if (e != OK) return e;
	for (struct json_iter it = json_iter(json_get(json_root(doc), "findings")); json_next(&it);) {
		bool bad = false;
		json_bool(json_get(it.val, "bad"), &bad);
		char *what = str_dup(cli_text(it.val, "what"));
		report_add(r, bad, what);
		free(what);
	}
	json_free(doc);
	return OK;
}

static int run(struct cli *c)
{
	struct buf out = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&out);
	struct report r = {.w = cli_switch(c, "json") ? &w : NULL};
	enum err e = cli_load_config(c);
	jw_obj(&w);
	jw_key(&w, "findings");
	jw_arr(&w);
	if (e == OK) e = ask(c, &r);
	if (e == ERR_UNAVAILABLE) e = store_check(c->config.data_dir, NULL, report_add, &r, &c->info);
	if (e == ERR_CORRUPT && r.bad > 0) e = OK; /* the findings have told it */
	jw_arr_end(&w);
	jw_kbool(&w, "ok", e == OK && r.bad == 0);
	jw_obj_end(&w);
	if (e == OK && r.w != NULL) printf("%.*s\n", STR_ARG(buf_str(&out)));
	buf_release(&out);
	if (e != OK) return cli_fail(c, e, &c->info);
	return r.bad > 0 ? err_exit(ERR_CORRUPT) : 0;
}

const struct cli_command cmd_doctor = {
	.name = "doctor",
	.summary = "verify everything that is stored",
	.args = "",
	.about =
		"Checks the store's structure, the checksum of every row, the sum of every zone and the order of every\n"
		"conversation, and says what it found. With a daemon running the check is done by it, on the live\n"
		"store; without one, on the files. It changes nothing. The exit status is 74 when something is wrong.",
	.example = "roost doctor\n"
		   "roost doctor --json",
	.options = options,
	.run = run,
};
