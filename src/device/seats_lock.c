/* The lock of a session: a lease, passed on in the order in which it was asked for. */
#include "device/seats_priv.h"

/* `w` is who gets the lock, in no list any more; NULL frees it. `unlock`: whose wish that was. */
static void propose_lock(struct seats *s, struct seating *t, struct ask *w, struct ask *unlock, int64_t now)
{
	t->pass.until_ms = w != NULL ? now + w->ttl_ms : 0;
	t->pass.unlock = unlock;
	seats_propose(s, t, SEATS_LOCK, &t->pass, w != NULL ? str_c(w->by->guest->id) : STR(""), w);
}

static void give_up_waiting(struct seats *s, struct seating *t, int64_t now)
{
	for (struct ask *a = TAILQ_FIRST(&t->waiting), *next; a != NULL; a = next) {
		next = TAILQ_NEXT(a, link);
		if (now < a->give_up_ms) {
			seats_arm(s, a->give_up_ms);
			continue;
		}
		TAILQ_REMOVE(&t->waiting, a, link);
		t->nwaiting--;
		seats_answer(s, t, a, ERR_SESSION_LOCKED);
	}
}

static struct ask *next_waiting(struct seating *t)
{
	struct ask *a = seats_take_first(&t->waiting);
	if (a != NULL) t->nwaiting--;
	return a;
}

/* A device stands in the line once: who asks again keeps its place, and its earlier question is over. */
static void wait_in_line(struct seats *s, struct seating *t, struct ask *a)
{
	struct ask *old;
	TAILQ_FOREACH (old, &t->waiting, link)
		if (old->by == a->by) break;
	if (old == NULL && t->nwaiting >= s->limits->lock_waiters) {
		seats_answer(s, t, a, ERR_TOO_MANY);
		return;
	}
	seats_arm(s, a->give_up_ms);
	if (old == NULL) {
		TAILQ_INSERT_TAIL(&t->waiting, a, link);
		t->nwaiting++;
		return;
	}
	TAILQ_INSERT_BEFORE(old, a, link);
	TAILQ_REMOVE(&t->waiting, old, link);
	seats_answer(s, t, old, ERR_SESSION_LOCKED);
}

static void judge_lock(struct seats *s, struct seating *t, struct ask *a, int64_t now)
{
	bool is_holder = t->holder[0] != '\0' && strcmp(t->holder, a->by->guest->id) == 0;
	if (a->kind == ASK_UNLOCK) {
		if (is_holder && (a->fence == 0 || a->fence == t->fence)) propose_lock(s, t, next_waiting(t), a, now);
		else seats_answer(s, t, a, ERR_NOT_HOLDER);
	} else if (t->holder[0] == '\0' || is_holder) {
		propose_lock(s, t, a, NULL, now);
	} else if (a->give_up_ms <= now) {
		seats_answer(s, t, a, ERR_SESSION_LOCKED);
	} else {
		wait_in_line(s, t, a);
	}
}

void seats_settle_lock(struct seats *s, struct seating *t, int64_t now)
{
	struct ask *a;
	give_up_waiting(s, t, now);
	while (t->pass.serial == 0 && t->session_id[0] != '\0' && !s->is_stopped) {
		bool is_held = t->holder[0] != '\0';
		bool is_over = is_held && (now >= t->until_ms || seats_seat_of(s, t, t->holder) == NULL);
		if (is_held && !is_over) seats_arm(s, t->until_ms);
		if ((is_over || !is_held) && t->lock_retry_ms > now) {
			seats_arm(s, t->lock_retry_ms);
			return;
		}
		if (is_over || (!is_held && !TAILQ_EMPTY(&t->waiting))) {
			propose_lock(s, t, next_waiting(t), NULL, now);
			return;
		}
		if ((a = seats_take_first(&t->lock_asks)) == NULL) return;
		judge_lock(s, t, a, now);
	}
}

void seats_lock_committed(struct seats *s, struct seating *t, const struct seats_result *r, int64_t now)
{
	int64_t until_ms = t->pass.until_ms;
	struct ask *unlock = t->pass.unlock, *a = seats_end_change(&t->pass);
	t->pass.unlock = NULL;
	if (r->err == OK) {
		seats_set(&t->holder, r->holder);
		t->fence = r->now.fence;
		t->until_ms = r->holder.n > 0 ? until_ms : 0;
		struct seats_state state = seats_state_of(t);
		s->ops->lock(s->ctx, &state);
	} else if (r->err == ERR_CONFLICT) {
		/* Only this gives out fences as long as the daemon lives: what was not known is void. */
		t->fence = MAX(t->fence, r->now.fence);
		seats_set(&t->holder, STR(""));
		if (a != NULL && a->give_up_ms > 0) {
			TAILQ_INSERT_HEAD(&t->waiting, a, link);
			t->nwaiting++;
		} else if (a != NULL) {
			TAILQ_INSERT_HEAD(&t->lock_asks, a, link);
		}
		if (unlock != NULL) TAILQ_INSERT_HEAD(&t->lock_asks, unlock, link);
		return;
	} else {
		t->lock_retry_ms = now + RETRY_MS;
	}
	if (unlock != NULL) seats_answer(s, t, unlock, r->err);
	if (a != NULL) seats_answer(s, t, a, r->err);
}

void seats_lock(struct seats *s, int64_t user, struct str device_id, struct str session_id, int64_t ttl_ms,
		int64_t wait_ms, void *token, int64_t now)
{
	struct seat *k = seats_seat_to_ask(s, user, device_id, session_id, token);
	if (k == NULL) return;
	struct ask *a = seats_ask_new(ASK_LOCK, k, token);
	a->ttl_ms = MIN(MAX(ttl_ms, 1), s->limits->lock_ms);
	a->give_up_ms = wait_ms > 0 ? now + wait_ms : 0;
	TAILQ_INSERT_TAIL(&k->at->lock_asks, a, link);
	seats_settle(s, k->at, now);
}

void seats_unlock(struct seats *s, int64_t user, struct str device_id, struct str session_id, int64_t fence,
		  void *token, int64_t now)
{
	struct seat *k = seats_seat_to_ask(s, user, device_id, session_id, token);
	if (k == NULL) return;
	struct ask *a = seats_ask_new(ASK_UNLOCK, k, token);
	a->fence = fence;
	TAILQ_INSERT_TAIL(&k->at->lock_asks, a, link);
	seats_settle(s, k->at, now);
}
