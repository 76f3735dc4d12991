/* Which request runs next.
 *
 * Jobs of a conversation stand in a lane: first the one that is worked on, behind it those that wait, by class (0 before
 * 1 before 2) and within a class in the order their messages were committed, which is the order of their rows. Nothing
 * else decides the order, so it is the same after a restart. One that waits for its next attempt keeps its place: others
 * of its class do not pass it, higher ones do. One that runs is never interrupted.
 *
 * A lane that has one to give (nothing is worked on, and the first that may go is QUEUED) is ready. It stands in its
 * user's list at that job's provider; users with ready lanes stand in the provider's ring. A free slot takes the first
 * user of the ring and the first lane of that user, and both go to the back.
 *
 * Requests of a session whose queue is paused do not go; the writer says so when one is claimed, and lane->held remembers
 * it until the session is resumed, which may cost one refused claim and never loses a request. */
#include "relay/relay_priv.h"

struct lane *lane_of(struct relay *r, int64_t conv, struct str name)
{
	struct lane *l;
	HASH_FIND(hh, r->lanes, &conv, sizeof conv, l);
	if (l != NULL) return l;
	l = xcalloc(1, sizeof *l);
	l->conv = conv;
	l->name = str_dup(name);
	TAILQ_INIT(&l->jobs);
	HASH_ADD(hh, r->lanes, conv, sizeof l->conv, l);
	HASH_ADD_KEYPTR(by_name, r->lanes_by_name, l->name, name.n, l);
	return l;
}

void lane_unready(struct relay *r, struct lane *l)
{
	struct rank *k = l->ready;
	if (k == NULL) return;
	TAILQ_REMOVE(&k->lanes, l, in_rank);
	l->ready = NULL;
	if (!TAILQ_EMPTY(&k->lanes)) return;
	TAILQ_REMOVE(&r->providers[k->key.provider].ring, k, in_ring);
	HASH_DELETE(hh, r->ranks, k);
	free(k);
}

static bool is_waiting(const struct job *j) { return j->where == QUEUED || j->where == WAITING; }

static bool goes_before(const struct job *a, const struct job *b)
{
	if (a->request.priority != b->request.priority) return a->request.priority < b->request.priority;
	return a->row < b->row;
}

void lane_insert(struct lane *l, struct job *j)
{
	struct job *other;
	/* Most come last: look from there. */
	TAILQ_FOREACH_REVERSE(other, &l->jobs, job_queue, in_lane)
	if (!is_waiting(other) || !goes_before(j, other)) break;
	if (other != NULL) TAILQ_INSERT_AFTER(&l->jobs, other, j, in_lane);
	else TAILQ_INSERT_HEAD(&l->jobs, j, in_lane);
}

void lane_place(struct job *j)
{
	TAILQ_REMOVE(&j->lane->jobs, j, in_lane);
	lane_insert(j->lane, j);
}

void lane_to_head(struct job *j)
{
	TAILQ_REMOVE(&j->lane->jobs, j, in_lane);
	TAILQ_INSERT_HEAD(&j->lane->jobs, j, in_lane);
}

void lane_hold(struct lane *l, struct str session_id)
{
	free(l->held);
	l->held = session_id.p != NULL ? str_dup(session_id) : NULL;
}

bool lane_holds(const struct lane *l, const struct job *j)
{
	return l->held != NULL && str_eq(j->request.session_id, str_c(l->held));
}

/* The job that may be claimed now, NULL when there is none. */
static struct job *lane_next(const struct lane *l)
{
	struct job *j = TAILQ_FIRST(&l->jobs);
	if (!is_waiting(j)) return NULL;
	TAILQ_FOREACH (j, &l->jobs, in_lane) {
		if (!is_waiting(j) || lane_holds(l, j)) continue;
		return j->where == QUEUED ? j : NULL;
	}
	return NULL;
}

static void lane_free(struct relay *r, struct lane *l)
{
	lane_unready(r, l);
	HASH_DELETE(hh, r->lanes, l);
	HASH_DELETE(by_name, r->lanes_by_name, l);
	free(l->name);
	free(l->held);
	free(l);
}

void lane_settle(struct relay *r, struct lane *l)
{
	if (TAILQ_EMPTY(&l->jobs)) {
		lane_free(r, l);
		return;
	}
	const struct job *next = lane_next(l);
	if (next != NULL && l->ready != NULL && l->ready->key.provider == next->provider) return;
	lane_unready(r, l);
	if (next == NULL) return;
	struct rank_key key = {next->user, next->provider};
	struct rank *k;
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): two int64_t, every byte is set */
	HASH_FIND(hh, r->ranks, &key, sizeof key, k);
	if (k == NULL) {
		k = xcalloc(1, sizeof *k);
		k->key = key;
		TAILQ_INIT(&k->lanes);
		HASH_ADD(hh, r->ranks, key, sizeof k->key, k);
		TAILQ_INSERT_TAIL(&r->providers[key.provider].ring, k, in_ring);
	}
	TAILQ_INSERT_TAIL(&k->lanes, l, in_rank);
	l->ready = k;
}

void relay_schedule(struct relay *r, int provider, struct now now)
{
	struct slots *s = &r->providers[provider];
	while (s->running < s->most && !TAILQ_EMPTY(&s->ring)) {
		struct rank *k = TAILQ_FIRST(&s->ring);
		struct lane *l = TAILQ_FIRST(&k->lanes);
		struct job *j = lane_next(l);
		TAILQ_REMOVE(&s->ring, k, in_ring);
		TAILQ_INSERT_TAIL(&s->ring, k, in_ring);
		lane_unready(r, l);
		relay_claim(r, j, now);
	}
}

/* ---- what people do to a queue ---------------------------------------------------------------------------------- */

void relay_hold(struct relay *r, int64_t conv, struct str session_id, bool held, struct now now)
{
	struct lane *l;
	HASH_FIND(hh, r->lanes, &conv, sizeof conv, l);
	if (l == NULL) return;
	if (held) lane_hold(l, session_id);
	else if (l->held != NULL && str_eq(session_id, str_c(l->held))) lane_hold(l, STR_NONE);
	lane_settle(r, l);
	if (l->ready != NULL) relay_schedule(r, (int)l->ready->key.provider, now);
}

void relay_reorder(struct relay *r, int64_t row, int priority, struct now now)
{
	struct job *j;
	HASH_FIND(by_row, r->by_row, &row, sizeof row, j);
	if (j == NULL) return;
	j->request.priority = priority;
	if (!is_waiting(j)) return;
	struct lane *l = j->lane;
	lane_place(j);
	lane_settle(r, l);
	if (l->ready != NULL) relay_schedule(r, (int)l->ready->key.provider, now);
}
