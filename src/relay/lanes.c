/* Which request runs next.
 *
 * Jobs of a conversation stand in a lane: first the one that is worked on, behind it those that wait, by class (0 before
 * 1 before 2) and within a class in the order their messages were committed, which is the order of their rows. Nothing
 * else decides the order, so it is the same after a restart. One that waits for its next attempt keeps its place: others
 * of its class do not pass it, higher ones do. One that runs is never interrupted.
 *
 * A lane that has one to give (nothing is worked on, and the first that may go is QUEUED) is ready. It stands in its
 * user's list in a ring: that job's provider's own, or the one of a gate when others already wait for the same model
 * (gates.c). A provider's rings take turns; of a ring a free slot takes the first user, and of the user the first lane,
 * and all three go to the back.
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

/* ---- rings ------------------------------------------------------------------------------------------------------ */

void ring_settle(struct ring *ring)
{
	bool wants = !TAILQ_EMPTY(&ring->users) && (ring->gate == NULL || ring->gate->pause.boot_ms == 0);
	if (wants == ring->is_listed) return;
	ring->is_listed = wants;
	if (wants) TAILQ_INSERT_TAIL(&ring->slots->turns, ring, in_turns);
	else TAILQ_REMOVE(&ring->slots->turns, ring, in_turns);
}

static void lane_stand(struct relay *r, struct lane *l, int64_t user, struct ring *ring)
{
	struct rank_key key = {user, (uintptr_t)ring};
	struct rank *k;
	/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): two 64-bit numbers, every byte is set */
	HASH_FIND(hh, r->ranks, &key, sizeof key, k);
	if (k == NULL) {
		k = xcalloc(1, sizeof *k);
		k->key = key;
		k->ring = ring;
		TAILQ_INIT(&k->lanes);
		HASH_ADD(hh, r->ranks, key, sizeof k->key, k);
		TAILQ_INSERT_TAIL(&ring->users, k, in_ring);
	}
	TAILQ_INSERT_TAIL(&k->lanes, l, in_rank);
	l->ready = k;
	ring_settle(ring);
}

void lane_unready(struct relay *r, struct lane *l)
{
	struct rank *k = l->ready;
	if (k == NULL) return;
	TAILQ_REMOVE(&k->lanes, l, in_rank);
	l->ready = NULL;
	if (!TAILQ_EMPTY(&k->lanes)) return;
	TAILQ_REMOVE(&k->ring->users, k, in_ring);
	ring_settle(k->ring);
	HASH_DELETE(hh, r->ranks, k);
	free(k);
}

/* ---- a lane ----------------------------------------------------------------------------------------------------- */

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

struct job *lane_next(const struct lane *l)
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
	struct job *next = lane_next(l);
	if (next == NULL) {
		lane_unready(r, l);
		return;
	}
	struct gate *g = next->gate;
	bool is_there = l->ready != NULL && l->ready->key.user == next->user;
	if (is_there && (l->ready->ring == &g->ring || l->ready->ring == &g->slots->own)) return;
	lane_unready(r, l);
	lane_stand(r, l, next->user, gate_is_crowded(g) ? &g->ring : &g->slots->own);
	job_set_untold(r, next);
}

/* ---- free slots ------------------------------------------------------------------------------------------------- */

static void take_turn(struct relay *r, struct ring *ring, struct rank *k, struct lane *l)
{
	TAILQ_REMOVE(&ring->users, k, in_ring);
	TAILQ_INSERT_TAIL(&ring->users, k, in_ring);
	TAILQ_REMOVE(&ring->slots->turns, ring, in_turns);
	TAILQ_INSERT_TAIL(&ring->slots->turns, ring, in_turns);
	lane_unready(r, l);
}

void relay_schedule(struct relay *r, int provider, struct now now)
{
	struct slots *s = &r->providers[provider];
	while (s->running < s->most && s->pause.boot_ms == 0 && !TAILQ_EMPTY(&s->turns)) {
		struct ring *ring = TAILQ_FIRST(&s->turns);
		struct rank *k = TAILQ_FIRST(&ring->users);
		struct lane *l = TAILQ_FIRST(&k->lanes);
		struct job *j = lane_next(l);
		bool is_behind = ring->gate == NULL && gate_is_crowded(j->gate);
		enum go go = is_behind ? GO_NOT_YET : job_ask(r, j, now);
		if (go == GO) {
			take_turn(r, ring, k, l);
			relay_claim(r, j, now);
		} else if (go == GO_NOT_YET && ring->gate == NULL) {
			lane_unready(r, l);
			lane_stand(r, l, j->user, &j->gate->ring);
			job_clear_untold(j);
			job_set_untold(r, j);
		}
	}
	relay_tell_paused(r, s, now);
}

/* ---- what people do to a queue ---------------------------------------------------------------------------------- */

static void schedule_lane(struct relay *r, const struct lane *l, struct now now)
{
	const struct job *next = lane_next(l);
	if (next != NULL) relay_schedule(r, next->provider, now);
}

void relay_hold(struct relay *r, int64_t conv, struct str session_id, bool held, struct now now)
{
	struct lane *l;
	HASH_FIND(hh, r->lanes, &conv, sizeof conv, l);
	if (l == NULL) return;
	if (held) lane_hold(l, session_id);
	else if (l->held != NULL && str_eq(session_id, str_c(l->held))) lane_hold(l, STR_NONE);
	lane_settle(r, l);
	schedule_lane(r, l, now);
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
	schedule_lane(r, l, now);
}
