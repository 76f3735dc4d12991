/* From specs to experiments that run: what `roost run` and `roost branch` have in common. */
#ifndef ROOST_CLI_RUN_SPECS_H
#define ROOST_CLI_RUN_SPECS_H

#include "cli/offline.h"
#include "lab/place.h"
#include "lab/spec.h"

/* Options that belong to both commands; they are read from the line. */
#define OPTIONS_RUN                                                                                                    \
	{"config", 'c', "FILE", "the configuration file", "$XDG_CONFIG_HOME/roost/roost.yaml"}, OPTION_DATA,           \
		{"provider", 0, "NAME=URL", "a provider at this address; may be repeated", NULL},                      \
		{"dry-run", 0, NULL, "check everything and print the specs; ask no model", NULL},                      \
	{                                                                                                              \
		"json", 'j', NULL, "show each event as a line of JSON", NULL                                           \
	}

/* The options of the line over the spec. ERR_USAGE is in c->info. */
MUST_USE enum err run_apply_line(struct cli *c, struct spec *s);
/* The providers, those of the line too. Once in a process and before the others here: it takes the API keys out of the
 * environment, and what runs in the background later is given the environment as it was before. */
MUST_USE enum err run_open(struct cli *c, struct offline *out);
/* Runs them one after another, in the background when they say so; the exit status of the worst. Takes no ownership. */
int run_specs(struct cli *c, struct offline *off, struct spec *specs, size_t n);
/* Continues the experiment a person means by that text. */
int run_resumed(struct cli *c, const char *asked);
/* The process that a background run consists of: its specs come through detach_receive. */
int run_detached(struct cli *c);

#endif
