/* Removing experiments: first a plan, which changes nothing, then one after another.
 *
 * Only directories with a manifest are experiments; none that runs is removed, which its lock decides and not the plan.
 * A removal begins with a rename to a hidden name, so what a crash leaves behind is no experiment any more; the next
 * clean-up finishes it. Links are removed and not followed. */
#ifndef ROOST_LAB_CLEANUP_H
#define ROOST_LAB_CLEANUP_H

#include "lab/manifest.h"
#include "lab/place.h"

struct cleanup_rule {         /* what goes fulfils all that is given */
	int64_t older_ms;     /* since its end, or its last change; 0 not given */
	int64_t larger_bytes; /* 0 not given */
	unsigned statuses;    /* bits of 1 << enum experiment_status; 0 not given */
	bool unreadable;      /* among the statuses: those whose manifest cannot be read */
	size_t keep;          /* so many of the newest stay in any case */
};

struct cleanup_item {
	char *dir, *name;
	char id[32];
	const char *words; /* its status */
	int64_t bytes, changed_ms;
	int64_t manifest_ns; /* when its manifest was last written */
};
struct cleanup_plan {
	struct cleanup_item *list; /* what would go, the oldest first */
	size_t n, cap;
	size_t kept, running, strange; /* those that stay; of them those that run; directories without a manifest */
	int64_t bytes;                 /* of all that would go */
	char **leftovers;              /* of clean-ups that did not come to their end */
	size_t nleftovers;
};
MUST_USE enum err cleanup_plan(const char *output, const struct cleanup_rule *rule, int64_t now_wall_ms,
			       struct cleanup_plan *out, struct errinfo *info);
void cleanup_plan_release(struct cleanup_plan *p);

/* ERR_LOCKED: it runs. ERR_CONFLICT: it has changed since the plan. */
MUST_USE enum err cleanup_remove(const struct cleanup_item *item, struct errinfo *info);
MUST_USE enum err cleanup_remove_leftover(const char *path, struct errinfo *info);

#endif
