/* Finding a seating, a guest and the seat where they meet; and what others may look at. */
#include "device/seats_priv.h"

#define KEY_CAP (sizeof(int64_t) + NAME_MAX_LEN)

/* 0 when `id` cannot be a name. */
static size_t seats_key(int64_t user, struct str id, char out[KEY_CAP])
{
	if (id.n == 0 || id.n > NAME_MAX_LEN) return 0;
	memcpy(out, &user, sizeof user);
	memcpy(out + sizeof user, id.p, id.n);
	return sizeof user + id.n;
}

char *seats_key_dup(int64_t user, struct str id, size_t *len)
{
	char key[KEY_CAP];
	*len = seats_key(user, id, key);
	ASSERT(*len > 0);
	char *p = xmalloc(*len);
	memcpy(p, key, *len);
	return p;
}

struct seating *seats_conversation(const struct seats *s, int64_t user, struct str id)
{
	char key[KEY_CAP];
	size_t n = seats_key(user, id, key);
	struct seating *t = NULL;
	if (n > 0) HASH_FIND(hh, s->seatings, key, n, t);
	return t;
}

struct seating *seats_session_of(const struct seats *s, int64_t user, struct str id)
{
	char key[KEY_CAP];
	size_t n = seats_key(user, id, key);
	struct seating *t = NULL;
	if (n > 0) HASH_FIND(by_session, s->sessions, key, n, t);
	return t;
}

struct guest *seats_guest(const struct seats *s, int64_t user, struct str id)
{
	char key[KEY_CAP];
	size_t n = seats_key(user, id, key);
	struct guest *g = NULL;
	if (n > 0) HASH_FIND(hh, s->guests, key, n, g);
	return g;
}

/* A guest's seat at `t`: it has joined few sessions, a session may have many devices. */
struct seat *seats_seat_at(const struct guest *g, const struct seating *t)
{
	struct seat *k;
	if (g == NULL || t == NULL) return NULL;
	TAILQ_FOREACH (k, &g->seats, in_guest)
		if (k->at == t) return k;
	return NULL;
}

struct seat *seats_seat_of(const struct seats *s, const struct seating *t, const char *device_id)
{
	return seats_seat_at(seats_guest(s, t->user, str_c(device_id)), t);
}

bool seats_is_live(const struct seat *k) { return k != NULL && !k->guest->is_silent; }

struct seats_state seats_state_of(const struct seating *t)
{
	return (struct seats_state){.user = t->user,
				    .conversation_id = str_c(t->conversation_id),
				    .session_id = str_c(t->session_id),
				    .primary = str_c(t->primary),
				    .term = t->term,
				    .holder = str_c(t->holder),
				    .fence = t->fence,
				    .until_ms = t->until_ms};
}

void seats_set(char **dst, struct str v)
{
	char *copy = str_dup(v);
	free(*dst);
	*dst = copy;
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

bool seats_find(const struct seats *s, int64_t user, struct str session_id, struct seats_state *out)
{
	const struct seating *t = seats_session_of(s, user, session_id);
	if (t != NULL) *out = seats_state_of(t);
	return t != NULL;
}

bool seats_find_conversation(const struct seats *s, int64_t user, struct str conversation_id, struct seats_state *out)
{
	const struct seating *t = seats_conversation(s, user, conversation_id);
	if (t != NULL) *out = seats_state_of(t);
	return t != NULL;
}

bool seats_is_joined(const struct seats *s, int64_t user, struct str device_id, struct str session_id)
{
	return seats_seat_at(seats_guest(s, user, device_id), seats_session_of(s, user, session_id)) != NULL;
}

void seats_each_joined(const struct seats *s, int64_t user, struct str conversation_id,
		       void (*fn)(void *ctx, struct str device_id), void *ctx)
{
	const struct seating *t = seats_conversation(s, user, conversation_id);
	const struct seat *k;
	if (t == NULL) return;
	TAILQ_FOREACH (k, &t->line, in_line) fn(ctx, str_c(k->guest->id));
}

static void each_session(const struct seats *s, int64_t user, struct str device_id, bool only_primary,
			 void (*fn)(void *ctx, struct str session_id), void *ctx)
{
	const struct guest *g = seats_guest(s, user, device_id);
	const struct seat *k;
	if (g == NULL) return;
	TAILQ_FOREACH (k, &g->seats, in_guest)
		if (k->at->session_id[0] != '\0' && (!only_primary || strcmp(k->at->primary, g->id) == 0))
			fn(ctx, str_c(k->at->session_id));
}

void seats_each_primary(const struct seats *s, int64_t user, struct str device_id,
			void (*fn)(void *ctx, struct str session_id), void *ctx)
{
	each_session(s, user, device_id, true, fn, ctx);
}

void seats_each_session(const struct seats *s, int64_t user, struct str device_id,
			void (*fn)(void *ctx, struct str session_id), void *ctx)
{
	each_session(s, user, device_id, false, fn, ctx);
}

struct seats_count seats_count(const struct seats *s)
{
	struct seats_count n = {0};
	const struct seating *t;
	TAILQ_FOREACH (t, &s->all_seatings, in_all) {
		n.joined += !TAILQ_EMPTY(&t->line);
		n.with_primary += seats_seat_of(s, t, t->primary) != NULL;
		n.locked += t->holder[0] != '\0';
		n.waiting += t->nwaiting;
	}
	return n;
}

bool seats_are_settled(const struct seats *s)
{
	const struct seating *t;
	TAILQ_FOREACH (t, &s->all_seatings, in_all)
		if (t->move.serial != 0 || t->pass.serial != 0 || !TAILQ_EMPTY(&t->asks) || !TAILQ_EMPTY(&t->lock_asks))
			return false;
	return true;
}
