/* One experiment from start to end in this process, with its display and what people do to it: signals and, on a terminal,
 * a key when it is paused. */
#ifndef ROOST_CLI_RUN_ONE_H
#define ROOST_CLI_RUN_ONE_H

#include "cli/offline.h"
#include "cli/show.h"
#include "lab/place.h"
#include "lab/spec.h"

/* A pause may be asked for while nobody listens yet, or any more: that ends no process. Before the place is locked. */
void run_ignore_pauses(void);

struct run_one {
	struct offline *offline;
	const struct spec *spec;   /* complete */
	const struct place *place; /* locked */
	const struct show_kind *show;
	bool resume;
	bool is_detached; /* no terminal: nobody presses a key, a hang-up is not for us */
};
/* The exit status: 0 all conversations completed; 130 Ctrl-C, 143 roost stop; else that of what failed. *out_asked: that of
 * who asked for an end, even if all was said by then; 0 nobody. */
int run_one(struct cli *c, const struct run_one *o, int *out_asked);

#endif
