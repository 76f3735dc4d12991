/* A branch: an experiment that goes on from another's conversation, at the end of a turn of it, with something changed.
 *
 * What was said up to there comes from the conversation's log alone; how it was made comes from the spec its experiment
 * keeps, or for one that keeps none (Pidgin's own) from the log's beginning and the manifest. The branch is a spec like
 * any other: it holds the messages, so it runs, runs in the background, is resumed and is branched again without its
 * source. When nothing was changed, the first request of each agent is the one its source made at that place. */
#ifndef ROOST_LAB_BRANCH_H
#define ROOST_LAB_BRANCH_H

#include "lab/place.h"
#include "lab/spec.h"

struct branch {
	struct place place; /* the experiment it comes from */
	char conversation[128];
	int64_t turns;    /* taken over */
	struct spec from; /* the source's, with what is taken over; not what it was shown as, nor where it was kept */
};

/* Finds the conversation by its id in any experiment of the output, or the only one of the experiment that the text means,
 * and reads its first `turn` turns; -1: all that are complete. ERR_NOT_FOUND; ERR_CONFLICT: there are several.
 * ERR_USAGE: it has not so many turns. ERR_BAD_STATE: its texts were redacted, or no turn of it ever began.
 * ERR_CORRUPT names the line. */
MUST_USE enum err branch_open(const char *output, struct str asked, int64_t turn, const struct config *config,
			      struct branch *out, struct errinfo *info);
void branch_close(struct branch *b);

/* A copy of the source's spec, to be changed. What is set for all agents then goes over what each had. */
MUST_USE enum err branch_begin(const struct branch *b, const struct config *config, struct spec *out,
			       struct errinfo *info);
/* After the changes: turns to make, a name that is free in `output`, and what was changed. `has_turns`: they were given, and
 * include those taken over; else, when the source has made all of its own, as many again. ERR_USAGE, ERR_CONFIG. */
MUST_USE enum err branch_end(struct branch *b, const char *output, bool has_turns, struct spec *s,
			     struct errinfo *info);

#endif
