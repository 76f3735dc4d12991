/* roost backup: a consistent copy of the store while the daemon runs. */
#include <unistd.h>

#include "cli/cli.h"
#include "cli/term.h"

static const struct cli_option options[] = {OPTION_DATA, OPTION_JSON, OPTION_END};

/* The daemon writes the file, from its own working directory: the path must be absolute. */
static enum err body_with_path(struct cli *c, struct buf *body)
{
	struct jw w = JW(body);
	struct buf path = BUF_INIT(4096);
	char cwd[4096];
	if (c->args[0][0] != '/') {
		if (getcwd(cwd, sizeof cwd) == NULL) return err_set(&c->info, ERR_IO, "the working directory is gone");
		buf_addf(&path, "%s/", cwd);
	}
	buf_add_str(&path, str_c(c->args[0]));
	jw_obj(&w);
	jw_kstr(&w, "path", buf_str(&path));
	jw_obj_end(&w);
	buf_release(&path);
	return OK;
}

static int run(struct cli *c)
{
	struct buf body = BUF_INIT(16384);
	struct json_doc *doc = NULL;
	enum err e = cli_load_config(c);
	if (e == OK) e = body_with_path(c, &body);
	if (e == OK) e = operator_call(c, "POST", "backup", buf_str(&body), 0, &doc);
	buf_release(&body);
	if (e != OK) return cli_fail(c, e, &c->info);
	if (cli_switch(c, "json")) {
		cli_print_json(json_root(doc));
	} else {
		int64_t bytes = 0;
		char size[TERM_WORD];
		json_int(json_get(json_root(doc), "bytes"), &bytes);
		term_bytes(bytes, size);
		printf("%s: %s\n", c->args[0], size);
	}
	json_free(doc);
	return 0;
}

const struct cli_command cmd_backup = {
	.name = "backup",
	.summary = "copy the store to a file while the daemon runs",
	.args = "FILE",
	.about =
		"Writes a consistent copy of the store to FILE, which must not exist. It holds everything up to the\n"
		"moment the copy began, except attachments' bytes (DIR/assets), and is on disk when the command ends.\n"
		"The daemon goes on working meanwhile. `roost restore` puts it back.",
	.example = "roost backup /backup/roost-$(date +%F).db",
	.options = options,
	.args_min = 1,
	.args_max = 1,
	.run = run,
};
