/* Providers and models without a daemon: what the configuration and the keys that are found give, on a loop of its own. For
 * commands that ask models themselves, or only list them. */
#ifndef ROOST_CLI_OFFLINE_H
#define ROOST_CLI_OFFLINE_H

#include <uv.h>

#include "cli/cli.h"
#include "host/catalog.h"

struct offline {
	uv_loop_t loop;
	struct providers *providers;
	struct catalog *catalog;
	bool is_open;
};

/* After cli_load_config; `lines`: NAME=URL each, NULL-terminated or NULL. The errors are in c->info. */
MUST_USE enum err offline_open(struct cli *c, const char *const *lines, struct offline *out);
/* Turns the loop until all that was started on it is over. */
void offline_close(struct offline *o);
/* What a person means by a model's name. Providers that list their models are asked when it is not known otherwise. When
 * nobody serves it the error says which key would help. */
MUST_USE enum err offline_resolve(struct offline *o, struct str asked, struct resolved *out, struct errinfo *info);

#endif
