/* The conversations this device follows: which session each is in, who is primary of it under which term, who holds its
 * lock.
 *
 * Terms only grow, so of two pieces of news about a session the one with the smaller term is the older one, by whichever
 * way it comes: the answer to a join, a push, a refusal, the Session record. This device is primary when it is joined on
 * this connection, the newest news names it, and no refusal has said otherwise since (stood down).
 *
 * A lock is held until its lease ends by our clock, counted from the moment its answer came, unless it was renewed, lost
 * with the connection, or taken by another's news. Telling "ours was lost" comes before anything is done for it. */
#include "client/core_priv.h"

#define TYPING_MS 1000
#define JOIN_AGAIN_MS 2000 /* after a refusal that passes */

static bool is_me(const struct core *c, const char *device) { return strcmp(device, c->device_id) == 0; }

struct seat *seat_find(const struct core *c, struct str where)
{
	struct seat *s;
	if (where.n == 0) return NULL;
	TAILQ_FOREACH (s, &c->seats, link)
		if (str_eq(str_c(s->conversation), where) || str_eq(str_c(s->session), where)) break;
	return s;
}

bool seat_is_primary(const struct core *c, const struct seat *s)
{
	return s->is_joined && !s->stood_down && s->session[0] != '\0' && is_me(c, s->primary);
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

static void tell_primary(struct core *c, struct seat *s)
{
	bool mine = seat_is_primary(c, s);
	if (s->told_term == s->term && s->told_mine == mine && strcmp(s->told, s->primary) == 0) return;
	s->told_term = s->term;
	s->told_mine = mine;
	text_set(&s->told, str_c(s->primary));
	tell(c, (struct core_event){.kind = CORE_EV_PRIMARY,
				    .conversation = str_c(s->conversation),
				    .session = str_c(s->session),
				    .device = str_c(s->primary),
				    .number = s->term,
				    .mine = mine});
}

static void tell_lock(struct core *c, const struct seat *s, enum err e)
{
	tell(c, (struct core_event){.kind = CORE_EV_LOCK,
				    .conversation = str_c(s->conversation),
				    .session = str_c(s->session),
				    .device = str_c(s->lock_holder),
				    .number = s->fence,
				    .err = e,
				    .mine = s->fence != 0});
}

/* ---- what is known ---------------------------------------------------------------------------------------------- */

static void primary_news(struct core *c, struct seat *s, struct str device, int64_t term)
{
	if (term < s->term) return;
	if (term > s->term || !str_eq(device, str_c(s->primary))) s->stood_down = false;
	s->term = term;
	text_set(&s->primary, device);
	tell_primary(c, s);
}

/* Nobody holds it, as far as we know. `lost`: it was ours and we did not give it back. */
static void lock_free(struct core *c, struct seat *s, bool lost)
{
	bool was_mine = s->fence != 0, was_held = s->lock_holder[0] != '\0';
	s->fence = 0;
	s->is_unlocking = false;
	s->lock_until_ms = s->renew_ms = NEVER;
	text_set(&s->lock_holder, STR(""));
	if (was_mine || was_held) tell_lock(c, s, was_mine && lost ? ERR_NOT_HOLDER : OK);
}

/* The conversation goes on in another session. */
static void session_set(struct core *c, struct seat *s, struct str session)
{
	if (str_eq(session, str_c(s->session))) return;
	lock_free(c, s, true);
	text_set(&s->session, session);
	text_set(&s->primary, STR(""));
	s->term = 0;
	s->stood_down = false;
}

static void cleared(struct core *c, struct str conversation, struct str killed, struct str next)
{
	struct seat *s = seat_find(c, conversation);
	if (s != NULL && str_eq(str_c(s->session), next)) return; /* told already */
	if (s != NULL && name_is_valid(next)) session_set(c, s, next);
	tell(c, (struct core_event){
			.kind = CORE_EV_CLEARED, .conversation = conversation, .other = killed, .session = next});
	if (s != NULL) tell_primary(c, s);
}

void seat_cleared(struct core *c, const struct json *f)
{
	const struct json *list = json_get(f, "cleared");
	if (json_get(f, "killedSessionId") != NULL)
		cleared(c, text_of(f, "conversationId"), text_of(f, "killedSessionId"), text_of(f, "sessionId"));
	for (struct json_iter it = json_iter(list); json_next(&it);)
		cleared(c, text_of(it.val, "conversationId"), text_of(it.val, "killedSessionId"),
			text_of(it.val, "sessionId"));
}

void seat_learn(struct core *c, struct str conversation, struct str session)
{
	struct seat *s = seat_find(c, conversation);
	if (s != NULL && s->session[0] == '\0' && name_is_valid(session)) session_set(c, s, session);
}

/* Session and Conversation records. */
void seat_record(struct core *c, struct str type, struct str name, const struct json *fields)
{
	if (str_eq(type, STR("Conversation"))) {
		seat_learn(c, name, text_of(fields, "currentSessionId"));
		return;
	}
	struct str conversation = text_of(fields, "conversationId");
	struct seat *s = seat_find(c, conversation);
	if (s == NULL) return;
	if (str_eq(text_of(fields, "state"), STR("killed"))) {
		if (str_eq(str_c(s->session), name) && text_of(fields, "nextSessionId").n > 0)
			cleared(c, conversation, name, text_of(fields, "nextSessionId"));
		return;
	}
	seat_learn(c, conversation, name);
	if (str_eq(str_c(s->session), name))
		primary_news(c, s, text_of(fields, "primaryDeviceId"), int_of(fields, "term"));
}

void session_of(const struct core *c, struct str conversation, struct buf *out)
{
	const struct seat *s = seat_find(c, conversation);
	if (s != NULL && s->session[0] != '\0') {
		buf_add_str(out, str_c(s->session));
		return;
	}
	struct json_doc *doc = record_read(c, STR("Conversation"), conversation);
	struct str session = text_of(json_get(json_root(doc), "fields"), "currentSessionId");
	if (name_is_valid(session)) buf_add_str(out, session);
	json_free(doc);
}

/* ---- joining ---------------------------------------------------------------------------------------------------- */

static void seat_join(struct core *c, struct seat *s)
{
	struct buf b;
	struct ask *a;
	s->join_ms = NEVER;
	if (!c->is_welcome) return;
	struct jw w = frame_begin(c, &b, "session:join", ASK_JOIN, &a);
	a->where = xstrdup(s->conversation);
	jw_kstr(&w, "conversationId", str_c(s->conversation));
	frame_send(c, &w);
}

enum err core_join(struct core *c, struct str conversation, struct core_now now, struct errinfo *info)
{
	enum err e = OK;
	core_enter(c, now);
	if (!name_is_valid(conversation)) {
		e = err_set(info, ERR_BAD_FIELD, "\"conversationId\" is not an id");
	} else if (seat_find(c, conversation) == NULL && c->nseats >= c->limits.joined_sessions) {
		e = err_set(info, ERR_TOO_MANY, "this device follows joinedSessions = %lld conversations already",
			    (long long)c->limits.joined_sessions);
	} else if (seat_find(c, conversation) == NULL) {
		struct seat *s = xcalloc(1, sizeof *s);
		struct buf b = BUF_INIT(NAME_MAX_LEN);
		session_of(c, conversation, &b);
		text_set(&s->conversation, conversation);
		text_set(&s->session, buf_str(&b));
		buf_release(&b);
		char **empty[] = {&s->primary, &s->lock_holder, &s->told};
		for (size_t i = 0; i < ARRAY_LEN(empty); i++) text_set(empty[i], STR(""));
		s->lock_until_ms = s->renew_ms = s->join_ms = NEVER;
		s->typed_ms = INT64_MIN;
		TAILQ_INSERT_TAIL(&c->seats, s, link);
		c->nseats++;
		seat_has_left(c, conversation);
		seat_join(c, s);
	}
	core_leave_call(c);
	return e;
}

static void seat_free(struct core *c, struct seat *s)
{
	char *texts[] = {s->conversation, s->session, s->primary, s->lock_holder, s->told};
	TAILQ_REMOVE(&c->seats, s, link);
	c->nseats--;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) free(texts[i]);
	free(s);
}

static void leave_send(struct core *c, struct str conversation)
{
	struct buf b;
	struct ask *a;
	struct jw w = frame_begin(c, &b, "session:leave", ASK_LEAVE, &a);
	a->where = str_dup(conversation);
	jw_kstr(&w, "conversationId", conversation);
	frame_send(c, &w);
}

void seat_has_left(struct core *c, struct str conversation)
{
	struct left *l;
	TAILQ_FOREACH (l, &c->left, link)
		if (str_eq(str_c(l->conversation), conversation)) break;
	if (l == NULL) return;
	TAILQ_REMOVE(&c->left, l, link);
	free(l->conversation);
	free(l);
}

static void leave(struct core *c, struct str conversation)
{
	struct left *l = xcalloc(1, sizeof *l);
	seat_has_left(c, conversation);
	l->conversation = str_dup(conversation);
	TAILQ_INSERT_TAIL(&c->left, l, link);
	if (c->is_welcome) leave_send(c, conversation);
}

void core_leave(struct core *c, struct str conversation, struct core_now now)
{
	core_enter(c, now);
	struct seat *s = seat_find(c, conversation);
	if (s != NULL) {
		leave(c, str_c(s->conversation));
		lock_free(c, s, true);
		s->is_joined = false;
		tell_primary(c, s);
		seat_free(c, s);
	}
	core_leave_call(c);
}

void seat_left(struct core *c, const struct json *f)
{
	struct seat *s = seat_find(c, text_of(f, "conversationId"));
	if (s == NULL || !s->is_joined) return;
	s->is_joined = false; /* the daemon ended it: come back when the connection does */
	tell_primary(c, s);
}

static void lock_news(struct core *c, struct seat *s, const struct json *lock);

void seat_state(struct core *c, const struct ask *a, const struct json *f)
{
	struct str where = a != NULL && a->where != NULL ? str_c(a->where) : text_of(f, "conversationId");
	struct seat *s = seat_find(c, where);
	const struct json *session = json_get(f, "session"), *primary = json_get(f, "primary"),
			  *lock = json_get(f, "lock");
	if (s == NULL) {
		/* The answer to a join that was taken back while it was under way. */
		if (a != NULL && a->kind == ASK_JOIN) leave(c, where);
		return;
	}
	struct str id = text_of(session, "name");
	s->is_joined = true;
	if (name_is_valid(id) && s->session[0] != '\0' && !str_eq(id, str_c(s->session))) {
		char *killed = xstrdup(s->session);
		cleared(c, str_c(s->conversation), str_c(killed), id);
		free(killed);
	} else if (name_is_valid(id)) {
		session_set(c, s, id);
	}
	tell(c, (struct core_event){.kind = CORE_EV_JOINED,
				    .conversation = str_c(s->conversation),
				    .session = str_c(s->session),
				    .json = f});
	primary_news(c, s, text_of(primary, "deviceId"), int_of(primary, "term"));
	if (json_type(lock) == JSON_OBJ) lock_news(c, s, lock);
	else if (s->lock_holder[0] != '\0') lock_free(c, s, true);
	stream_running(c, str_c(s->conversation), json_get(f, "running"));
	sync_want(c, SYNC_GATHER_MS);
}

/* The daemon lets a device that comes back keep its places, so each hello says which ones it still means to have: a leave
 * that was lost with its connection, or a join with its process, would leave it sitting there, perhaps as primary, and
 * not know. What does not fit is left and joined anew; what is left from here to the welcome is said behind that. */
void seats_hello(struct core *c, struct jw *w)
{
	struct seat *s;
	struct left *l;
	int64_t n = 0, room = c->limits.frame_bytes - NAME_MAX_LEN - 8; /* for one more, and the ends */
	while ((l = TAILQ_FIRST(&c->left)) != NULL) seat_has_left(c, str_c(l->conversation));
	jw_key(w, "joined");
	jw_arr(w);
	TAILQ_FOREACH (s, &c->seats, link)
		if (n++ < c->limits.joined_sessions && (int64_t)w->b->n < room) jw_str(w, str_c(s->conversation));
	jw_arr_end(w);
}

void seats_online(struct core *c)
{
	struct seat *s;
	struct left *l;
	TAILQ_FOREACH (l, &c->left, link) leave_send(c, str_c(l->conversation));
	TAILQ_FOREACH (s, &c->seats, link) seat_join(c, s);
}

void seats_offline(struct core *c)
{
	struct seat *s;
	TAILQ_FOREACH (s, &c->seats, link) {
		s->is_joined = false;
		s->join_ms = NEVER;
		lock_free(c, s, true);
		tell_primary(c, s);
	}
}

void core_seats_free(struct core *c)
{
	struct seat *s;
	struct left *l;
	while ((s = TAILQ_FIRST(&c->seats)) != NULL) seat_free(c, s);
	while ((l = TAILQ_FIRST(&c->left)) != NULL) seat_has_left(c, str_c(l->conversation));
}

bool core_seat(const struct core *c, struct str where, struct core_seat *out)
{
	const struct seat *s = seat_find(c, where);
	if (s == NULL) return false;
	*out = (struct core_seat){
		.conversation = str_c(s->conversation),
		.session = str_c(s->session),
		.joined = s->is_joined,
		.primary = str_c(s->primary),
		.term = s->term,
		.is_primary = seat_is_primary(c, s),
		.lock_holder = str_c(s->lock_holder),
		.fence = s->fence,
		.lock_until_ms = s->fence != 0 ? s->lock_until_ms : 0,
	};
	return true;
}

bool core_seat_next(const struct core *c, struct str after_conversation, struct core_seat *out)
{
	const struct seat *s = after_conversation.n > 0 ? seat_find(c, after_conversation) : NULL;
	s = after_conversation.n == 0 ? TAILQ_FIRST(&c->seats) : s != NULL ? TAILQ_NEXT(s, link) : NULL;
	return s != NULL && core_seat(c, str_c(s->conversation), out);
}

/* ---- primary ---------------------------------------------------------------------------------------------------- */

void seat_primary(struct core *c, const struct json *f)
{
	struct str session = text_of(f, "sessionId");
	struct seat *s = seat_find(c, session);
	if (s == NULL && (s = seat_find(c, text_of(f, "conversationId"))) != NULL) {
		if (s->session[0] != '\0' || !name_is_valid(session)) return; /* of a session before or after ours */
		session_set(c, s, session);
	}
	if (s != NULL) primary_news(c, s, text_of(f, "deviceId"), int_of(f, "term"));
}

/* An automatic message was refused: whatever we believed, we are not primary under that term. */
void seat_stand_down(struct core *c, struct str session, const struct json *error)
{
	struct seat *s = seat_find(c, session);
	if (s == NULL) return;
	int64_t term = int_of(error, "term");
	if (term > s->term || (term == s->term && !str_eq(text_of(error, "deviceId"), str_c(c->device_id))))
		primary_news(c, s, text_of(error, "deviceId"), term);
	else s->stood_down = true;
	tell_primary(c, s);
}

/* A frame about a seat's session, with an op. NULL: it cannot be asked now. */
static struct seat *seat_ask(struct core *c, struct str where, const char *type, enum ask_kind kind, struct buf *b,
			     struct jw *w, struct ask **out)
{
	struct seat *s = seat_find(c, where);
	if (s == NULL || !c->is_welcome || s->session[0] == '\0') return NULL;
	*w = frame_begin(c, b, type, kind, out);
	(*out)->where = xstrdup(s->conversation);
	jw_kstr(w, "sessionId", str_c(s->session));
	return s;
}

core_op core_primary(struct core *c, struct str where, enum core_primary action, struct str to_device,
		     struct core_now now)
{
	static const char *const words[] = {"request", "request", "release", "transfer"};
	struct ask *a = NULL;
	struct buf b;
	struct jw w;
	core_op op = 0;
	core_enter(c, now);
	if (seat_ask(c, where, "device:primary", ASK_PRIMARY, &b, &w, &a) != NULL) {
		op = (core_op)a->id;
		a->is_told = true;
		jw_kstr(&w, "action", str_c(words[action]));
		if (action == CORE_TAKE) jw_kbool(&w, "take", true);
		if (action == CORE_TRANSFER) jw_kstr(&w, "toDeviceId", to_device);
		frame_send(c, &w);
	}
	core_leave_call(c);
	return op;
}

void core_typing(struct core *c, struct str where, struct core_now now)
{
	struct buf b;
	core_enter(c, now);
	struct seat *s = seat_find(c, where);
	if (s != NULL && c->is_welcome && s->session[0] != '\0' &&
	    (s->typed_ms == INT64_MIN || c->now.boot_ms - s->typed_ms >= TYPING_MS)) {
		s->typed_ms = c->now.boot_ms;
		struct jw w = frame_plain(&b, "session:typing");
		jw_kstr(&w, "sessionId", str_c(s->session));
		frame_send(c, &w);
	}
	core_leave_call(c);
}

/* ---- lock ------------------------------------------------------------------------------------------------------- */

static int64_t lease_ms(const struct core *c, const struct seat *s)
{
	return s->ttl_ms > 0 ? MIN(s->ttl_ms, c->limits.lock_ms) : c->limits.lock_ms;
}

static void lock_send(struct core *c, struct seat *s, int64_t wait_ms, bool is_told, core_op *out_op)
{
	struct ask *a = NULL;
	struct buf b;
	struct jw w;
	if (seat_ask(c, str_c(s->conversation), "session:lock", ASK_LOCK, &b, &w, &a) == NULL) return;
	a->is_told = is_told;
	*out_op = (core_op)a->id;
	jw_kint(&w, "ttlMs", lease_ms(c, s));
	if (wait_ms > 0) jw_kint(&w, "waitMs", wait_ms);
	frame_send(c, &w);
}

core_op core_lock(struct core *c, struct str where, int64_t ttl_ms, int64_t wait_ms, struct core_now now)
{
	core_op op = 0;
	core_enter(c, now);
	struct seat *s = seat_find(c, where);
	if (s != NULL) {
		s->ttl_ms = MAX(ttl_ms, 0);
		lock_send(c, s, wait_ms, true, &op);
	}
	core_leave_call(c);
	return op;
}

core_op core_unlock(struct core *c, struct str where, struct core_now now)
{
	struct ask *a = NULL;
	struct buf b;
	struct jw w;
	core_op op = 0;
	core_enter(c, now);
	struct seat *s = seat_ask(c, where, "session:unlock", ASK_UNLOCK, &b, &w, &a);
	if (s != NULL) {
		op = (core_op)a->id;
		a->is_told = true;
		if (s->fence != 0) jw_kint(&w, "fence", s->fence);
		s->is_unlocking = true;
		s->renew_ms = NEVER;
		frame_send(c, &w);
	}
	core_leave_call(c);
	return op;
}

/* {deviceId, fence}: who holds it now. */
static void lock_news(struct core *c, struct seat *s, const struct json *lock)
{
	struct str device = text_of(lock, "deviceId");
	int64_t fence = int_of(lock, "fence"), lease = lease_ms(c, s);
	bool mine = str_eq(device, str_c(c->device_id)) && fence > 0;
	if (s->fence != 0 && (!mine || fence != s->fence)) lock_free(c, s, true);
	bool is_news = !str_eq(device, str_c(s->lock_holder)) || (mine && s->fence == 0);
	text_set(&s->lock_holder, device);
	if (mine) {
		s->fence = fence;
		s->lock_until_ms = c->now.boot_ms + lease;
		s->renew_ms = s->is_unlocking ? NEVER : c->now.boot_ms + MAX(lease / 3, 1);
	}
	if (is_news) tell_lock(c, s, OK);
}

void seat_locked(struct core *c, const struct ask *a, const struct json *f)
{
	struct seat *s = seat_find(c, text_of(f, "sessionId"));
	if (s == NULL) return;
	if (a != NULL && a->kind == ASK_LOCK && a->is_told) s->is_unlocking = false;
	lock_news(c, s, f);
}

/* Messages that waited for the lock need wait no longer. */
static void wake_locked(struct core *c, const struct seat *s)
{
	struct entry *e;
	TAILQ_FOREACH (e, &c->ready, ready)
		if (e->why == ERR_SESSION_LOCKED && strcmp(e->conversation, s->conversation) == 0) entry_wake(c, e);
}

void seat_unlocked(struct core *c, const struct json *f)
{
	struct seat *s = seat_find(c, text_of(f, "sessionId"));
	if (s == NULL) return;
	lock_free(c, s, !s->is_unlocking);
	wake_locked(c, s);
}

void core_seats_tick(struct core *c)
{
	struct seat *s;
	core_op op;
	TAILQ_FOREACH (s, &c->seats, link) {
		if (c->now.boot_ms >= s->join_ms) seat_join(c, s);
		if (s->fence != 0 && c->now.boot_ms >= s->lock_until_ms) {
			lock_free(c, s, true);
		} else if (s->fence != 0 && c->now.boot_ms >= s->renew_ms) {
			s->renew_ms = NEVER;
			lock_send(c, s, 0, false, &op);
		}
	}
}

int64_t core_seats_next_ms(const struct core *c)
{
	const struct seat *s;
	int64_t at = NEVER;
	TAILQ_FOREACH (s, &c->seats, link) {
		at = MIN(at, s->join_ms);
		if (s->fence != 0) at = MIN(at, MIN(s->renew_ms, s->lock_until_ms));
	}
	return at;
}

/* ---- refused ---------------------------------------------------------------------------------------------------- */

static void lock_refused(struct core *c, struct seat *s, enum err e, const struct json *f)
{
	if (e == ERR_SESSION_LOCKED && text_of(f, "holder").n > 0) {
		if (s->fence != 0) lock_free(c, s, true);
		bool is_news = !str_eq(text_of(f, "holder"), str_c(s->lock_holder));
		text_set(&s->lock_holder, text_of(f, "holder"));
		if (is_news) tell_lock(c, s, OK);
	} else if (e == ERR_NOT_HOLDER || e == ERR_SESSION_KILLED || e == ERR_NOT_JOINED) {
		lock_free(c, s, true);
	} /* else the lease stands until it ends */
}

static void join_refused(struct core *c, struct seat *s, enum err e, const struct errinfo *info, bool retryable)
{
	if (retryable) s->join_ms = c->now.boot_ms + MAX(JOIN_AGAIN_MS, info->retry_after_ms);
	tell(c, (struct core_event){.kind = CORE_EV_JOINED,
				    .conversation = str_c(s->conversation),
				    .session = str_c(s->session),
				    .err = e,
				    .info = info});
}

void seat_refused(struct core *c, const struct ask *a, enum err e, const struct json *f)
{
	struct seat *s = a->where != NULL ? seat_find(c, str_c(a->where)) : NULL;
	struct errinfo info;
	bool retryable;
	if (s == NULL) return;
	(void)read_error(f, &info, &retryable);
	if (a->kind == ASK_JOIN) join_refused(c, s, e, &info, retryable);
	else if (a->kind == ASK_PRIMARY && (e == ERR_PRIMARY_EXISTS || e == ERR_NOT_PRIMARY) && int_of(f, "term") > 0)
		primary_news(c, s, text_of(f, "deviceId"), int_of(f, "term"));
	else if (a->kind == ASK_LOCK || a->kind == ASK_UNLOCK) lock_refused(c, s, e, f);
	if (a->kind == ASK_UNLOCK) s->is_unlocking = false;
}
