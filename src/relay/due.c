/* Jobs that wait for a time, in a binary heap: each knows its place in it, so that a stop takes it out as fast as the
 * time would. Ten thousand requests that wait to be tried again cost one look per turn of the clock. */
#include "relay/relay_priv.h"

static void put(struct relay *r, size_t at, struct job *j)
{
	r->due[at] = j;
	j->due_at = at;
}

/* Moves a job up or down to where it belongs; place 0 is not used. */
static void sift(struct relay *r, size_t at, struct job *j)
{
	while (at > 1 && r->due[at / 2]->due_boot_ms > j->due_boot_ms) {
		put(r, at, r->due[at / 2]);
		at /= 2;
	}
	for (size_t child = at * 2; child <= r->ndue; child = at * 2) {
		if (child < r->ndue && r->due[child + 1]->due_boot_ms < r->due[child]->due_boot_ms) child++;
		if (r->due[child]->due_boot_ms >= j->due_boot_ms) break;
		put(r, at, r->due[child]);
		at = child;
	}
	put(r, at, j);
}

void job_set_due(struct relay *r, struct job *j, int64_t boot_ms)
{
	job_clear_due(r, j);
	if (r->ndue + 2 > r->due_cap) {
		r->due_cap = r->due_cap * 2 + 64;
		r->due = xrealloc(r->due, xmul(r->due_cap, sizeof(struct job *)));
	}
	j->due_boot_ms = MAX(boot_ms, 1);
	r->next_due_ms = MIN(r->next_due_ms, j->due_boot_ms);
	r->ndue++;
	sift(r, r->ndue, j);
}

void job_clear_due(struct relay *r, struct job *j)
{
	size_t at = j->due_at;
	j->due_boot_ms = 0;
	j->due_at = 0;
	if (at == 0) return;
	struct job *last = r->due[r->ndue--];
	if (last != j) sift(r, at, last);
}

struct job *relay_first_due(const struct relay *r) { return r->ndue > 0 ? r->due[1] : NULL; }
