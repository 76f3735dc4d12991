/* One `seating` for each conversation that somebody joined, one `guest` for each device that joined anything, and a `seat`
 * where the two meet.
 *
 * A seating has at most one proposal under way about its primary and one about its lock; whatever comes in meanwhile
 * waits in `asks` and is judged when the outcome is known, in the order it came. So two devices that ask at once meet
 * here first, and what the writer refuses (ERR_CONFLICT) can only be news from elsewhere.
 *
 * `seats_settle` is the heart: after every input it looks at a seating as it is now and does what is due: elect if the
 * primary is not there, else judge the next question; pass the lock on if its holder is gone, else judge the next
 * question about it. It never remembers what it was about to do, so it cannot act on what is no longer so.
 *
 * Time. Nothing has a timer of its own: `seats_arm` keeps the earliest moment anything is due, rounded up to `grain` so
 * that thousands of sessions share ticks; a tick looks at everything once. A tick that comes far too late means that this
 * process stood still, not that the devices were silent: their silence is counted anew. */
#include "device/seats_priv.h"

#define TYPING_MS 1000 /* between two changes because of typing */
#define GRAIN_MS 50

struct seat *seats_next_live(const struct seating *t, const struct seat *but)
{
	struct seat *k;
	TAILQ_FOREACH (k, &t->line, in_line)
		if (k != but && seats_is_live(k)) return k;
	return NULL;
}

void seats_arm(struct seats *s, int64_t at_ms)
{
	int64_t up = (at_ms + s->grain_ms - 1) / s->grain_ms * s->grain_ms;
	s->next_ms = MIN(s->next_ms, up);
}

/* ---- questions -------------------------------------------------------------------------------------------------- */

static void ask_free(struct ask *a)
{
	free(a->to);
	free(a);
}

/* Answers and forgets a question that is in no list any more. */
void seats_answer(struct seats *s, struct seating *t, struct ask *a, enum err e)
{
	struct seats_state state = seats_state_of(t);
	s->ops->answer(s->ctx, a->token, e, &state);
	ask_free(a);
}

struct ask *seats_take_first(struct ask_list *l)
{
	struct ask *a = TAILQ_FIRST(l);
	if (a != NULL) TAILQ_REMOVE(l, a, link);
	return a;
}

/* Ends the questions of one seat (NULL: of all) in a list. */
static void refuse(struct seats *s, struct seating *t, struct ask_list *l, const struct seat *by, enum err e)
{
	for (struct ask *a = TAILQ_FIRST(l), *next; a != NULL; a = next) {
		next = TAILQ_NEXT(a, link);
		if (by != NULL && a->by != by) continue;
		TAILQ_REMOVE(l, a, link);
		if (l == &t->waiting) t->nwaiting--;
		seats_answer(s, t, a, e);
	}
}

static void refuse_one(struct seats *s, struct seating *t, struct ask **at, const struct seat *by, enum err e)
{
	struct ask *a = *at;
	if (a == NULL || (by != NULL && a->by != by)) return;
	*at = NULL;
	seats_answer(s, t, a, e);
}

/* The same everywhere. */
static void refuse_all(struct seats *s, struct seating *t, const struct seat *by, enum err e)
{
	refuse_one(s, t, &t->move.ask, by, e);
	refuse_one(s, t, &t->pass.ask, by, e);
	refuse_one(s, t, &t->pass.unlock, by, e);
	refuse(s, t, &t->asks, by, e);
	refuse(s, t, &t->lock_asks, by, e);
	refuse(s, t, &t->waiting, by, e);
}

/* ---- proposals -------------------------------------------------------------------------------------------------- */

void seats_propose(struct seats *s, struct seating *t, enum seats_kind kind, struct change *c, struct str device_id,
		   struct ask *a)
{
	bool is_lock = kind == SEATS_LOCK;
	c->serial = ++s->serial;
	c->ask = a;
	seats_set(&c->device_id, device_id);
	struct seats_change out = {.kind = kind,
				   .serial = c->serial,
				   .user = t->user,
				   .session_id = str_c(t->session_id),
				   .device_id = device_id,
				   .expect = is_lock ? t->fence : t->term,
				   .is_renewal = is_lock && device_id.n > 0 && str_eq(device_id, str_c(t->holder)),
				   .until_ms = c->until_ms};
	s->ops->submit(s->ctx, &out);
}

static void propose_primary(struct seats *s, struct seating *t, const struct seat *to, struct ask *a)
{
	seats_propose(s, t, SEATS_PRIMARY, &t->move, to != NULL ? str_c(to->guest->id) : STR(""), a);
}

/* ---- the primary ------------------------------------------------------------------------------------------------ */

/* What is committed is news: a greater term. */
static void learn(struct seats *s, struct seating *t, const struct seats_session *now_is, int64_t now)
{
	if (now_is->fence > t->fence) t->fence = now_is->fence;
	if (now_is->term <= t->term) return;
	char *before = t->primary;
	t->primary = str_dup(now_is->primary);
	t->term = now_is->term;
	t->moved_ms = now;
	t->has_returned = true;
	t->is_leaving &= seats_seat_of(s, t, t->primary) == NULL;
	if (t->primary[0] != '\0') t->is_vacant = false;
	if (t->typed != NULL && strcmp(t->typed->guest->id, t->primary) == 0) t->typed = NULL;
	struct seats_state state = seats_state_of(t);
	s->ops->primary(s->ctx, &state, str_c(before));
	free(before);
	seats_arm(s, now);
}

/* Proposes a primary if one is due. True when it did. */
static bool elect(struct seats *s, struct seating *t, int64_t now)
{
	struct seat *is = seats_seat_of(s, t, t->primary), *next;
	bool typed_due = seats_is_live(t->typed) && (t->moved_ms == 0 || now >= t->moved_ms + TYPING_MS);
	if (t->retry_ms > now) {
		seats_arm(s, t->retry_ms);
		return false;
	}
	if (seats_is_live(is)) {
		if (t->typed == NULL) return false;
		if (!typed_due) seats_arm(s, t->moved_ms + TYPING_MS);
		if (typed_due) propose_primary(s, t, t->typed, NULL);
		return typed_due;
	}
	next = seats_is_live(t->typed) ? t->typed : seats_next_live(t, NULL);
	if (next == NULL) {
		if (!t->is_leaving || t->primary[0] == '\0' || is != NULL) return false;
		propose_primary(s, t, NULL, NULL);
		return true;
	}
	if (t->is_vacant && next != t->typed) return false;
	if (t->primary[0] != '\0' && !t->has_returned && !t->is_leaving && now < s->grace_until_ms) {
		seats_arm(s, s->grace_until_ms);
		return false;
	}
	propose_primary(s, t, next, NULL);
	return true;
}

/* Newcomers go to the end, but before one who gave up being primary while nobody else was there. */
static void stand_in_line(struct seat *k)
{
	struct seating *t = k->at;
	if (t->is_vacant) TAILQ_INSERT_HEAD(&t->line, k, in_line);
	else TAILQ_INSERT_TAIL(&t->line, k, in_line);
	t->is_vacant = false;
}

/* Answers a question or proposes what it wishes. `a` is in no list any more. */
static void judge(struct seats *s, struct seating *t, struct ask *a)
{
	struct seat *is = seats_seat_of(s, t, t->primary), *to;
	if (a->kind == ASK_JOINED) {
		seats_answer(s, t, a, OK);
		return;
	}
	switch (a->action) {
	case SEATS_REQUEST:
	case SEATS_TAKE:
		if (is == a->by) seats_answer(s, t, a, OK);
		else if (seats_is_live(is) && a->action == SEATS_REQUEST) seats_answer(s, t, a, ERR_PRIMARY_EXISTS);
		else propose_primary(s, t, a->by, a);
		break;
	case SEATS_RELEASE:
		if (is != a->by) {
			seats_answer(s, t, a, ERR_NOT_PRIMARY);
			break;
		}
		TAILQ_REMOVE(&t->line, is, in_line);
		TAILQ_INSERT_TAIL(&t->line, is, in_line);
		propose_primary(s, t, seats_next_live(t, is), a);
		break;
	case SEATS_TRANSFER:
		to = seats_seat_of(s, t, a->to);
		if (is != a->by) seats_answer(s, t, a, ERR_NOT_PRIMARY);
		else if (to == NULL) seats_answer(s, t, a, ERR_NOT_JOINED);
		else if (!seats_is_live(to)) seats_answer(s, t, a, ERR_OFFLINE);
		else if (to == is) seats_answer(s, t, a, OK);
		else propose_primary(s, t, to, a);
		break;
	}
}

static void settle_primary(struct seats *s, struct seating *t, int64_t now)
{
	struct ask *a;
	while (t->move.serial == 0) {
		if (!s->is_stopped && t->session_id[0] != '\0' && elect(s, t, now)) return;
		if ((a = seats_take_first(&t->asks)) == NULL) return;
		judge(s, t, a);
	}
}

/* ---- a seating as a whole --------------------------------------------------------------------------------------- */

static void index_session(struct seats *s, struct seating *t, struct str id)
{
	if (t->session_key != NULL) HASH_DELETE(by_session, s->sessions, t);
	free(t->session_key);
	t->session_key = NULL;
	seats_set(&t->session_id, id);
	if (id.n == 0) return;
	t->session_key = seats_key_dup(t->user, id, &t->session_key_len);
	HASH_ADD_KEYPTR(by_session, s->sessions, t->session_key, t->session_key_len, t);
}

static struct seating *seating_new(struct seats *s, int64_t user, struct str conversation_id,
				   const struct seats_session *session)
{
	struct seating *t = xcalloc(1, sizeof *t);
	t->user = user;
	t->conversation_id = str_dup(conversation_id);
	t->session_id = str_dup(STR(""));
	t->primary = str_dup(session->primary);
	t->holder = str_dup(STR(""));
	t->term = session->term;
	t->fence = session->fence;
	TAILQ_INIT(&t->line);
	TAILQ_INIT(&t->asks);
	TAILQ_INIT(&t->lock_asks);
	TAILQ_INIT(&t->waiting);
	t->key = seats_key_dup(user, conversation_id, &t->key_len);
	HASH_ADD_KEYPTR(hh, s->seatings, t->key, t->key_len, t);
	TAILQ_INSERT_TAIL(&s->all_seatings, t, in_all);
	index_session(s, t, session->id);
	return t;
}

static void seating_free(struct seats *s, struct seating *t)
{
	index_session(s, t, STR(""));
	HASH_DELETE(hh, s->seatings, t);
	TAILQ_REMOVE(&s->all_seatings, t, in_all);
	free(t->key);
	free(t->conversation_id);
	free(t->session_id);
	free(t->primary);
	free(t->holder);
	free(t->move.device_id);
	free(t->pass.device_id);
	free(t);
}

/* Does what is due; `t` may be gone after it. */
void seats_settle(struct seats *s, struct seating *t, int64_t now)
{
	settle_primary(s, t, now);
	seats_settle_lock(s, t, now);
	if (!TAILQ_EMPTY(&t->line) || t->move.serial != 0 || t->pass.serial != 0) return;
	/* Whether the primary of before was here must be known as long as that can matter. */
	if (t->primary[0] != '\0' && now < s->grace_until_ms && !s->is_stopped) seats_arm(s, s->grace_until_ms);
	else if (t->retry_ms > now && t->is_leaving) seats_arm(s, t->retry_ms);
	else if (t->lock_retry_ms > now && t->holder[0] != '\0') seats_arm(s, t->lock_retry_ms);
	else seating_free(s, t);
}

/* Everybody goes on in the session that follows. */
static void move_to(struct seats *s, struct seating *t, const struct seats_session *next, int64_t now)
{
	char *before = t->primary;
	struct ask_list joins = TAILQ_HEAD_INITIALIZER(joins);
	struct ask *a, *more;
	index_session(s, t, next->id);
	t->primary = str_dup(next->primary);
	t->term = next->term;
	t->fence = next->fence;
	seats_set(&t->holder, STR(""));
	t->move.serial = t->pass.serial = 0;
	t->is_leaving = t->is_vacant = false;
	t->moved_ms = t->retry_ms = t->lock_retry_ms = 0;
	for (a = TAILQ_FIRST(&t->asks); a != NULL; a = more) {
		more = TAILQ_NEXT(a, link);
		if (a->kind != ASK_JOINED) continue;
		TAILQ_REMOVE(&t->asks, a, link);
		TAILQ_INSERT_TAIL(&joins, a, link);
	}
	refuse_all(s, t, NULL, ERR_SESSION_KILLED);
	TAILQ_CONCAT(&t->asks, &joins, link);
	struct seats_state state = seats_state_of(t);
	s->ops->primary(s->ctx, &state, str_c(before));
	free(before);
	seats_arm(s, now);
	seats_settle(s, t, now);
}

/* ---- devices come and go ---------------------------------------------------------------------------------------- */

static struct guest *guest_get(struct seats *s, int64_t user, struct str id, int64_t now)
{
	struct guest *g = seats_guest(s, user, id);
	if (g != NULL) return g;
	g = xcalloc(1, sizeof *g);
	g->user = user;
	g->id = str_dup(id);
	g->heard_ms = now;
	TAILQ_INIT(&g->seats);
	g->key = seats_key_dup(user, id, &g->key_len);
	HASH_ADD_KEYPTR(hh, s->guests, g->key, g->key_len, g);
	TAILQ_INSERT_TAIL(&s->all_guests, g, in_all);
	return g;
}

static void guest_free(struct seats *s, struct guest *g)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the analyser cannot follow uthash */
	HASH_DELETE(hh, s->guests, g);
	TAILQ_REMOVE(&s->all_guests, g, in_all);
	free(g->key);
	free(g->id);
	free(g);
}

struct ask *seats_ask_new(enum ask_kind kind, struct seat *by, void *token)
{
	struct ask *a = xcalloc(1, sizeof *a);
	a->kind = kind;
	a->by = by;
	a->token = token;
	return a;
}

void seats_join(struct seats *s, int64_t user, struct str device_id, struct str conversation_id,
		const struct seats_session *session, bool follows, void *token, int64_t now)
{
	struct seating *t = seats_conversation(s, user, conversation_id);
	if (t == NULL) t = seating_new(s, user, conversation_id, session);
	else if (t->session_id[0] == '\0' && session->id.n > 0) index_session(s, t, session->id);
	if (str_eq(str_c(t->session_id), session->id)) learn(s, t, session, now);
	t->follows = follows;
	struct guest *g = guest_get(s, user, device_id, now);
	struct seat *k = seats_seat_at(g, t);
	if (k == NULL) {
		k = xcalloc(1, sizeof *k);
		k->guest = g;
		k->at = t;
		stand_in_line(k);
		TAILQ_INSERT_TAIL(&g->seats, k, in_guest);
		struct seats_state state = seats_state_of(t);
		s->ops->joined(s->ctx, &state, device_id, true);
		seats_arm(s, now);
	}
	if (str_eq(str_c(t->primary), device_id)) {
		t->has_returned = true;
		t->is_leaving = false;
	}
	struct ask *a = seats_ask_new(ASK_JOINED, k, token);
	TAILQ_INSERT_TAIL(&t->asks, a, link);
	seats_settle(s, t, now);
}

/* `is_for_good`: it left or was revoked; else it was lost. The guest stays. */
static void get_up(struct seats *s, struct seat *k, bool is_for_good, int64_t now)
{
	struct seating *t = k->at;
	struct guest *g = k->guest;
	refuse_all(s, t, k, ERR_NOT_JOINED);
	if (t->typed == k) t->typed = NULL;
	TAILQ_REMOVE(&t->line, k, in_line);
	TAILQ_REMOVE(&g->seats, k, in_guest);
	bool was_primary = strcmp(t->primary, g->id) == 0;
	bool is_chosen = t->move.serial != 0 && strcmp(t->move.device_id, g->id) == 0;
	if (was_primary || is_chosen) t->is_leaving = is_for_good;
	if (was_primary) t->is_vacant = false;
	struct seats_state state = seats_state_of(t);
	s->ops->joined(s->ctx, &state, str_c(g->id), false);
	free(k);
	seats_settle(s, t, now);
}

void seats_leave(struct seats *s, int64_t user, struct str device_id, struct str conversation_id, int64_t now)
{
	struct guest *g = seats_guest(s, user, device_id);
	struct seat *k = seats_seat_at(g, seats_conversation(s, user, conversation_id));
	if (k == NULL) return;
	get_up(s, k, true, now);
	if (TAILQ_EMPTY(&g->seats)) guest_free(s, g);
}

static void go(struct seats *s, int64_t user, struct str device_id, bool is_for_good, int64_t now)
{
	struct guest *g = seats_guest(s, user, device_id);
	if (g == NULL) return;
	while (!TAILQ_EMPTY(&g->seats)) get_up(s, TAILQ_FIRST(&g->seats), is_for_good, now);
	guest_free(s, g);
}

void seats_lost(struct seats *s, int64_t user, struct str device_id, int64_t now)
{
	go(s, user, device_id, false, now);
}

void seats_revoked(struct seats *s, int64_t user, struct str device_id, int64_t now)
{
	go(s, user, device_id, true, now);
}

void seats_heard(struct seats *s, int64_t user, struct str device_id, int64_t now)
{
	struct guest *g = seats_guest(s, user, device_id);
	struct seat *k;
	if (g == NULL) return;
	g->heard_ms = MAX(g->heard_ms, now);
	if (!g->is_silent) return;
	g->is_silent = false;
	TAILQ_FOREACH (k, &g->seats, in_guest) {
		TAILQ_REMOVE(&k->at->line, k, in_line);
		stand_in_line(k);
		seats_settle(s, k->at, now); /* it stays: this device sits there */
	}
	seats_arm(s, now);
}

void seats_typed(struct seats *s, int64_t user, struct str device_id, struct str session_id, int64_t now)
{
	struct seating *t = seats_session_of(s, user, session_id);
	struct seat *k = seats_seat_at(seats_guest(s, user, device_id), t);
	if (k == NULL || !t->follows) return;
	t->typed = strcmp(t->primary, k->guest->id) == 0 ? NULL : k;
	seats_settle(s, t, now);
}

/* ---- questions from outside ------------------------------------------------------------------------------------- */

/* The asker's seat in the session, or NULL: then the token was answered. */
struct seat *seats_seat_to_ask(struct seats *s, int64_t user, struct str device_id, struct str session_id, void *token)
{
	struct seating *t = seats_session_of(s, user, session_id);
	struct seat *k = seats_seat_at(seats_guest(s, user, device_id), t);
	if (k != NULL && !s->is_stopped) return k;
	enum err e = s->is_stopped ? ERR_SHUTTING_DOWN : ERR_NOT_JOINED;
	if (t == NULL) {
		s->ops->answer(s->ctx, token, e, NULL);
		return NULL;
	}
	struct seats_state state = seats_state_of(t);
	s->ops->answer(s->ctx, token, e, &state);
	return NULL;
}

void seats_ask(struct seats *s, int64_t user, struct str device_id, struct str session_id, enum seats_action action,
	       struct str to, void *token, int64_t now)
{
	struct seat *k = seats_seat_to_ask(s, user, device_id, session_id, token);
	if (k == NULL) return;
	struct ask *a = seats_ask_new(ASK_PRIMARY, k, token);
	a->action = action;
	if (action == SEATS_TRANSFER) a->to = str_dup(to);
	TAILQ_INSERT_TAIL(&k->at->asks, a, link);
	seats_settle(s, k->at, now);
}

/* ---- what the store did ----------------------------------------------------------------------------------------- */

/* The proposal is over; its question, if any, is the caller's now. */
struct ask *seats_end_change(struct change *c)
{
	struct ask *a = c->ask;
	c->ask = NULL;
	c->serial = 0;
	return a;
}

static void primary_committed(struct seats *s, struct seating *t, const struct seats_result *r, int64_t now)
{
	bool is_nobody = t->move.device_id[0] == '\0', is_here = seats_seat_of(s, t, t->move.device_id) != NULL;
	struct ask *a = seats_end_change(&t->move);
	if (r->err == OK || r->err == ERR_CONFLICT) learn(s, t, &r->now, now);
	if (r->err == ERR_CONFLICT) {
		if (a != NULL) TAILQ_INSERT_HEAD(&t->asks, a, link);
		return;
	}
	if (r->err == OK && is_nobody && a != NULL) t->is_vacant = true;
	if (r->err != OK && (is_here || is_nobody)) t->retry_ms = now + RETRY_MS;
	if (a != NULL) seats_answer(s, t, a, r->err);
}

void seats_committed(struct seats *s, const struct seats_result *r, int64_t now)
{
	struct seating *t = seats_session_of(s, r->user, r->session_id);
	if (t == NULL) return;
	struct change *c = r->kind == SEATS_PRIMARY ? &t->move : &t->pass;
	if (c->serial != r->serial) return;
	if (r->err == ERR_SESSION_KILLED && r->now.id.n > 0 && !str_eq(r->now.id, r->session_id)) {
		move_to(s, t, &r->now, now);
		return;
	}
	if (r->kind == SEATS_PRIMARY) primary_committed(s, t, r, now);
	else seats_lock_committed(s, t, r, now);
	seats_settle(s, t, now);
}

void seats_session(struct seats *s, int64_t user, struct str conversation_id, const struct seats_session *session,
		   int64_t now)
{
	struct seating *t = seats_conversation(s, user, conversation_id);
	if (t == NULL) return;
	if (t->session_id[0] == '\0') index_session(s, t, session->id);
	if (!str_eq(str_c(t->session_id), session->id)) return;
	learn(s, t, session, now);
	seats_settle(s, t, now);
}

void seats_cleared(struct seats *s, int64_t user, struct str old_id, const struct seats_session *next, int64_t now)
{
	struct seating *t = seats_session_of(s, user, old_id);
	if (t != NULL && !str_eq(old_id, next->id)) move_to(s, t, next, now);
}

void seats_follow(struct seats *s, int64_t user, struct str conversation_id, bool follows, int64_t now)
{
	struct seating *t = seats_conversation(s, user, conversation_id);
	if (t == NULL) return;
	t->follows = follows;
	if (!follows) t->typed = NULL;
	seats_settle(s, t, now);
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

/* Is it primary somewhere with somebody alive behind it? */
static bool is_to_be_watched(const struct guest *g)
{
	struct seat *k;
	TAILQ_FOREACH (k, &g->seats, in_guest)
		if (strcmp(k->at->primary, g->id) == 0 && seats_next_live(k->at, k) != NULL) return true;
	return false;
}

static void fall_silent(struct seats *s, struct guest *g, int64_t now)
{
	struct seat *k;
	g->is_silent = true;
	g->watched_ms = 0;
	TAILQ_FOREACH (k, &g->seats, in_guest) seats_settle(s, k->at, now);
}

static void watch(struct seats *s, struct guest *g, bool stood_still, int64_t now)
{
	int64_t patience = s->limits->heartbeat_ms;
	if (g->is_silent || !is_to_be_watched(g)) {
		g->watched_ms = 0;
		return;
	}
	if (g->watched_ms == 0 || stood_still) g->watched_ms = MAX(now, 1);
	int64_t silent_from = MAX(g->heard_ms, g->watched_ms);
	if (now - silent_from > patience) {
		fall_silent(s, g, now);
		return;
	}
	if (now - MAX(g->heard_ms, g->pinged_ms) >= patience / 2) {
		g->pinged_ms = now;
		s->ops->ping(s->ctx, g->user, str_c(g->id));
	}
	seats_arm(s, MIN(silent_from + patience + 1, MAX(g->heard_ms, g->pinged_ms) + patience / 2));
}

int64_t seats_next_ms(const struct seats *s) { return s->next_ms; }

void seats_tick(struct seats *s, int64_t now)
{
	struct guest *g;
	struct seating *t, *next;
	bool stood_still = now > s->next_ms && now - s->next_ms > s->limits->heartbeat_ms / 2;
	s->next_ms = INT64_MAX;
	if (s->is_stopped) return;
	TAILQ_FOREACH (g, &s->all_guests, in_all) watch(s, g, stood_still, now);
	for (t = TAILQ_FIRST(&s->all_seatings); t != NULL; t = next) {
		next = TAILQ_NEXT(t, in_all);
		seats_settle(s, t, now);
	}
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

struct seats *seats_new(const struct seats_options *o)
{
	struct seats *s = xcalloc(1, sizeof *s);
	s->limits = o->limits;
	s->ops = o->ops;
	s->ctx = o->ctx;
	s->grace_until_ms = o->now_ms + o->limits->primary_grace_ms;
	s->grain_ms = MAX(1, MIN(GRAIN_MS, o->limits->heartbeat_ms / 8));
	s->next_ms = INT64_MAX;
	TAILQ_INIT(&s->all_guests);
	TAILQ_INIT(&s->all_seatings);
	return s;
}

void seats_stop(struct seats *s)
{
	struct seating *t;
	s->is_stopped = true;
	TAILQ_FOREACH (t, &s->all_seatings, in_all) refuse_all(s, t, NULL, ERR_SHUTTING_DOWN);
}

void seats_free(struct seats *s)
{
	struct seat *k;
	if (s == NULL) return;
	seats_stop(s);
	for (struct guest *g; (g = TAILQ_FIRST(&s->all_guests)) != NULL; guest_free(s, g))
		while ((k = TAILQ_FIRST(&g->seats)) != NULL) {
			TAILQ_REMOVE(&g->seats, k, in_guest);
			free(k);
		}
	for (struct seating *t; (t = TAILQ_FIRST(&s->all_seatings)) != NULL;) seating_free(s, t);
	free(s);
}
