/* Inside the mirror: what is kept of an experiment that is not over. */
#ifndef ROOST_LAB_MIRROR_PRIV_H
#define ROOST_LAB_MIRROR_PRIV_H

#include <sys/stat.h>

#include "lab/manifest.h"
#include "lab/mirror.h"

/* A conversation that runs, and what the end of its event file says. */
struct mirror_live {
	char id[16];
	int64_t turns;      /* complete ones */
	double convergence; /* NaN none */
	int64_t offset;     /* so much of its file was read */
	char agent[16];     /* who spoke last */
	char *text;         /* what; NULL nothing yet */
};

struct mirror_state {
	char *dir;
	struct stat seen; /* the manifest that was read; all 0: none */
	bool was_read;    /* one that could be */
	int dead;         /* looks in a row that found nobody who runs it */
	int fresh;        /* looks for which the event files are read: events may reach theirs after the manifest */
	uint64_t written; /* hash of the fields that were news last; 0 none */
	/* of the manifest */
	enum experiment_status status;
	bool is_redacted;
	char name[MIRROR_NAME_BYTES + 1];
	char models[MANIFEST_AGENTS][MIRROR_NAME_BYTES + 1];
	size_t nmodels;
	int64_t count[LAB_INTERRUPTED + 1], total, turns, max_turns;
	int64_t started_ms, ended_ms;
	struct manifest_tokens tokens;
	double convergence;
	char error[300];
	struct mirror_live live[MIRROR_LIVE];
	size_t nlive;
};

/* Reads the manifest when it is another than the one that was read, and the event files. `id` stands in the place of a
 * name that nobody may see. False: there is no manifest. */
bool mirror_read(struct mirror_state *s, const char *id, const struct limits *limits);
bool mirror_is_over(const struct mirror_state *s); /* by its manifest */
/* All fields of the record; `is_killed`: whatever the manifest says. */
void mirror_write(const struct mirror_state *s, const char *id, bool is_killed, struct buf *out);
void mirror_state_free(struct mirror_state *s);

#endif
