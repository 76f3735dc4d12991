/* What the commands about experiments share: where they are, which one is meant, and how one is told of. */
#ifndef ROOST_CLI_EXPERIMENTS_H
#define ROOST_CLI_EXPERIMENTS_H

#include "cli/cli.h"
#include "lab/look.h"
#include "lab/place.h"

#define OPTIONS_PLACE                                                                                                  \
	OPTION_DATA, {"config", 'c', "FILE", "the configuration file", "$XDG_CONFIG_HOME/roost/roost.yaml"},           \
	{                                                                                                              \
		"output", 'o', "DIR", "where the experiments are", "ROOST_OUTPUT_DIR, labOutput, DATA/experiments"     \
	}

/* After cli_load_config. Free it. */
char *experiments_output(const struct cli *c);
/* The experiment that a person means. The error is in c->info. */
MUST_USE enum err experiment_find(struct cli *c, const char *asked, struct place *out);

/* One object: id, name, dir, status, killed, pid, conversations by status, tokens, cost, times. */
void experiment_json(struct jw *w, const struct place *p, const struct look *l);
/* "3 of 10 conversations complete, 1 failed", "12,345 tokens" and the like, for tables and lines. */
void experiment_progress(const struct look *l, struct buf *out);
void experiment_cost(const struct manifest_tokens *t, struct buf *out); /* "$0.0120", "-" nobody knows */
int64_t experiment_took_ms(const struct look *l);                       /* until its end or now; -1 not begun */

#endif
