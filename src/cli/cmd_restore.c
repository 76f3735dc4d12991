/* roost restore: a backup in the place of the store. The daemon must be off. */
#include "cli/cli.h"
#include "store/store.h"

static const struct cli_option options[] = {OPTION_DATA, OPTION_END};

static int run(struct cli *c)
{
	enum err e = cli_load_config(c);
	if (e == OK) e = store_restore(c->config.data_dir, c->args[0], &c->info);
	if (e != OK) return cli_fail(c, e, &c->info);
	printf("%s is the store of %s now; the one before is roost.db.before-restore\n", c->args[0],
	       c->config.data_dir);
	return 0;
}

const struct cli_command cmd_restore = {
	.name = "restore",
	.summary = "put a backup in the place of the store",
	.args = "FILE",
	.about =
		"Checks FILE, a backup made by `roost backup`, and makes it the store of the data directory. The store\n"
		"that was there is kept as roost.db.before-restore. The daemon must not run. Devices notice by\n"
		"themselves and sync anew.",
	.example = "roost restore /backup/roost-2026-01-02.db",
	.options = options,
	.args_min = 1,
	.args_max = 1,
	.run = run,
};
