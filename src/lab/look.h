/* An experiment as somebody finds it: what its manifest says, and whether that is still so. A manifest that says "running"
 * of an experiment that nobody runs is that of a process that was killed. */
#ifndef ROOST_LAB_LOOK_H
#define ROOST_LAB_LOOK_H

#include "lab/manifest.h"

struct look {
	struct manifest m;
	int pid;                       /* who runs it; 0 nobody */
	bool is_killed;                /* it was running, or paused, and nobody runs it */
	enum experiment_status status; /* as it is now: that of a killed one is interrupted */
	const char *words;             /* the same for people: "interrupted (killed)" */
};
/* The errors are manifest_load's. */
MUST_USE enum err look_at(const char *dir, bool with_conversations, struct look *out, struct errinfo *info);
void look_release(struct look *l);

#endif
