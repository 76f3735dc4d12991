#include "lab/look.h"

#include "lab/place.h"

enum err look_at(const char *dir, bool with_conversations, struct look *out, struct errinfo *info)
{
	*out = (struct look){0};
	manifest_init(&out->m);
	/* First: one that ends between the two looks has written its last manifest. */
	out->pid = place_pid(dir);
	enum err e = manifest_load(&out->m, dir, with_conversations, info);
	if (e != OK) return e;
	bool goes_on = out->m.status == EXPERIMENT_RUNNING || out->m.status == EXPERIMENT_PAUSED;
	out->is_killed = goes_on && out->pid == 0;
	out->status = out->is_killed ? EXPERIMENT_INTERRUPTED : out->m.status;
	out->words = out->is_killed ? "interrupted (killed)" : experiment_status_name(out->status);
	return OK;
}

void look_release(struct look *l) { manifest_release(&l->m); }
