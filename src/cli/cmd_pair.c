/* roost pair: a code that makes one device a user's. */
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/term.h"
#include "host/qr.h"

static const struct cli_option options[] = {
	OPTION_DATA,
	{"user", 'u', "USER", "whose device it will be, by name or id", "the only user"},
	OPTION_JSON,
	OPTION_END,
};

static void print_human(const struct json *answer)
{
	struct str code = STR(""), link = STR(""), expires = STR("");
	int64_t at;
	char left[TERM_WORD];
	json_str(json_get(answer, "code"), &code);
	json_str(json_get(answer, "link"), &link);
	json_str(json_get(answer, "expiresAt"), &expires);
	char *text = str_dup(link);
	qr_print(stdout, text);
	printf("open  %s%.*s%s\nor type the code  %s%.*s%s\n", term_style(stdout, TERM_BOLD), STR_ARG(link),
	       term_style(stdout, TERM_PLAIN), term_style(stdout, TERM_BOLD), STR_ARG(code),
	       term_style(stdout, TERM_PLAIN));
	if (time_parse(expires, &at)) {
		term_duration(MAX(at - clock_wall_ms(), 0), left);
		printf("It works once, for the next %s.\n", left);
	}
	free(text);
}

static int run(struct cli *c)
{
	struct buf body = BUF_INIT(4096);
	struct jw w = JW(&body);
	struct json_doc *doc = NULL;
	const char *user = cli_option(c, "user");
	enum err e = cli_load_config(c);
	jw_obj(&w);
	if (user != NULL) jw_kstr(&w, "user", str_c(user));
	jw_obj_end(&w);
	if (e == OK) e = operator_call(c, "POST", "pair", buf_str(&body), OPERATOR_MS, &doc);
	if (e == OK && cli_switch(c, "json")) cli_print_json(json_root(doc));
	else if (e == OK) print_human(json_root(doc));
	json_free(doc);
	buf_release(&body);
	return e == OK ? 0 : cli_fail(c, e, &c->info);
}

const struct cli_command cmd_pair = {
	.name = "pair",
	.summary = "make a code that pairs a device",
	.args = "",
	.about = "Prints a link, a code and a QR code. Opening the link, scanning the QR code or typing the code on a\n"
		 "device makes it a device of the user. A code works once and expires after limits.pairingMs\n"
		 "(ten minutes).",
	.example = "roost pair\n"
		   "roost pair --user alice --json",
	.options = options,
	.run = run,
};
