/* What is asked about a session: session:join, session:leave, session:typing, device:primary, session:lock and
 * session:unlock. The seats (device/seats.h) know and propose, the writer judges; here a frame becomes an input and an
 * outcome becomes an answer. */
#include "base/clock.h"
#include "server/call.h"
#include "server/stream.h"

#define LOOKS_MAX 3 /* reads of one join while the user's sessions keep changing under it */
#define LEFT_MAX 16 /* leaves that one join remembers while it reads; it is ended by one more */

/* A question to the seats: their token. */
struct asking {
	void (*answered)(struct asking *a, enum err e, const struct seats_state *st);
	struct call *call;
	enum seats_action action;
	struct str to; /* SEATS_TRANSFER: a view of the call's frame */
};

void session_answer(void *ctx, void *token, enum err e, const struct seats_state *st)
{
	struct asking *a = token;
	(void)ctx;
	a->answered(a, e, st);
}

/* ---- session:join ----------------------------------------------------------------------------------------------- */

/* A session:leave that came while a join was looking; it may have named the same place in another way. */
struct left {
	struct str conversation_id, session_id; /* STR_NONE: not named */
	LIST_ENTRY(left) link;
};

/* A question of the same connection that came while a join was looking, about a session it may be for. */
struct behind {
	struct call *call;
	verb_fn verb;
	STAILQ_ENTRY(behind) link; /* in the call's arena */
};

struct joining {
	struct asking asking;
	struct cmd_session_look look;
	int64_t changes; /* u->session_changes when the read began */
	int looks;
	bool is_seated;
	bool is_left; /* the device left before it had sat down */
	int nleft;
	LIST_HEAD(, left) left; /* in the call's arena */
	STAILQ_HEAD(, behind) behind;
};

static void joining_free(struct joining *g)
{
	store_op_release(&g->look.op);
	free(g);
}

/* What came behind a join is asked now that it has sat down, or has failed. */
static void ask_behind(struct behind *b)
{
	for (struct behind *next; b != NULL; b = next) {
		next = STAILQ_NEXT(b, link);
		if (b->call->peer != NULL) b->verb(b->call);
		else call_fail(b->call, ERR_CANCELLED, NULL, STR_NONE);
	}
}

static void joining_fail(struct joining *g, enum err e, const struct errinfo *info)
{
	struct behind *behind = STAILQ_FIRST(&g->behind);
	call_fail(g->asking.call, e, info, STR_NONE);
	joining_free(g);
	ask_behind(behind);
}

static void write_joined(void *ctx, struct str device_id) { jw_str(ctx, device_id); }

/* The answer, and then what is running, from its beginning. */
static void joining_end(struct joining *g, struct join *j)
{
	struct call *c = g->asking.call;
	struct server *s = c->server;
	struct seats_state st = {.primary = STR(""), .holder = STR("")};
	struct jw w = call_begin(c, "session:state");
	(void)seats_find_conversation(s->seats, c->user->user, g->look.conversation_id, &st);
	jw_kstr(&w, "conversationId", g->look.conversation_id);
	jw_key(&w, "session");
	if (g->look.has_session) write_record(s, &w, &g->look.record);
	else jw_null(&w);
	jw_key(&w, "primary");
	jw_obj(&w);
	write_term(&w, &st);
	jw_obj_end(&w);
	jw_key(&w, "lock");
	if (st.holder.n > 0) {
		jw_obj(&w);
		write_lease(&w, &st);
		jw_obj_end(&w);
	} else {
		jw_null(&w);
	}
	jw_key(&w, "joined");
	jw_arr(&w);
	seats_each_joined(s->seats, c->user->user, g->look.conversation_id, write_joined, &w);
	jw_arr_end(&w);
	stream_joined(c, j, &w, g->look.conv);
	joining_free(g);
}

static void look(struct joining *g);

/* Settled who is primary. The record is read again when that changed it: the answer is not older than what the feed has
 * told already. */
static void seated(struct asking *a, enum err e, const struct seats_state *st)
{
	struct joining *g = CONTAINER_OF(a, struct joining, asking);
	(void)st;
	g->is_seated = true;
	if (e != OK) joining_fail(g, e, NULL);
	else if (a->call->user->session_changes != g->changes && g->looks < LOOKS_MAX) look(g);
	else if (a->call->peer == NULL) joining_fail(g, ERR_CANCELLED, NULL);
	else {
		struct join *j = stream_find(a->call->peer, g->look.conversation_id);
		if (j != NULL) joining_end(g, j);
		else joining_fail(g, ERR_NOT_JOINED, NULL);
	}
}

/* ---- leaving before one sat down -------------------------------------------------------------------------------- */

/* A join reads before it sits down, and a leave behind it must not be overtaken by it. One that names the same place in
 * the same way ends the join at once; another one is remembered until the read says which place it is. */

static bool is_left(const struct joining *g)
{
	const struct cmd_session_look *k = &g->look;
	const struct left *l;
	if (g->is_left) return true;
	LIST_FOREACH (l, &g->left, link) {
		if (l->conversation_id.p != NULL ? str_eq(l->conversation_id, k->conversation_id)
						 : k->has_session && (str_eq(l->session_id, k->record.name) ||
								      str_eq(l->session_id, k->seat.id)))
			return true;
	}
	return false;
}

/* Does the join end, or may it? */
static bool leave_joining(struct joining *g, struct str conversation_id, struct str session_id)
{
	struct arena *arena = &g->asking.call->arena;
	struct str conv = STR_NONE, session = STR_NONE;
	const struct json *in = g->asking.call->in;
	(void)json_str(json_get(in, "conversationId"), &conv);
	(void)json_str(json_get(in, "sessionId"), &session);
	bool by_conversation = conv.p != NULL && conversation_id.p != NULL;
	if (by_conversation && !str_eq(conv, conversation_id)) return false;
	bool by_session = conversation_id.p == NULL && session.p != NULL && session_id.p != NULL;
	if (by_conversation || (by_session && str_eq(session, session_id)) || g->nleft == LEFT_MAX) {
		g->is_left = true;
		return true;
	}
	struct left *l = arena_alloc(arena, sizeof *l);
	l->conversation_id = conversation_id.p != NULL ? arena_str(arena, conversation_id) : STR_NONE;
	l->session_id = session_id.p != NULL ? arena_str(arena, session_id) : STR_NONE;
	LIST_INSERT_HEAD(&g->left, l, link);
	g->nleft++;
	return true;
}

/* Takes back the joins of this connection that came before. True when there was one, or may have been. */
static bool leave_joinings(struct peer *p, struct str conversation_id, struct str session_id)
{
	struct call *c;
	bool any = false;
	LIST_FOREACH (c, &p->calls, in_peer)
		if (c->joining != NULL) any |= leave_joining(c->joining, conversation_id, session_id);
	return any;
}

static void sit_down(struct joining *g)
{
	struct call *c = g->asking.call;
	struct server *s = c->server;
	struct str session = g->look.has_session ? g->look.record.name : STR("");
	c->joining = NULL;
	if (is_left(g)) {
		joining_fail(g, ERR_NOT_JOINED, NULL);
		return;
	}
	/* Closing, or replaced by the device's newer connection. */
	if (c->peer == NULL || c->peer->state == PEER_CLOSING || !c->peer->hello) {
		joining_fail(g, ERR_CANCELLED, NULL);
		return;
	}
	if (stream_join(c->peer, g->look.conversation_id, session) == NULL) {
		struct errinfo info;
		(void)err_set(&info, ERR_TOO_MANY, "a device may be joined to joinedSessions (%lld) sessions",
			      (long long)s->config->limits.joined_sessions);
		joining_fail(g, ERR_TOO_MANY, &info);
		return;
	}
	if (g->look.has_session) auto_session(s, c->user->user, &g->look.record, false);
	struct behind *behind = STAILQ_FIRST(&g->behind);
	STAILQ_INIT(&g->behind);
	seats_join(s->seats, c->user->user, str_c(c->device_id), g->look.conversation_id, &g->look.seat,
		   g->look.follows, &g->asking, clock_boot_ms());
	presence_rearm(s);
	ask_behind(behind);
}

static void looked(struct store_op *op)
{
	struct joining *g = op->ctx;
	struct call *c = g->asking.call;
	if (op->err != OK) joining_fail(g, op->err, &op->info);
	else if (g->is_seated) seated(&g->asking, OK, NULL);
	else if (c->user->session_changes != g->changes && g->looks < LOOKS_MAX) look(g);
	else sit_down(g);
}

static void look(struct joining *g)
{
	struct call *c = g->asking.call;
	struct str conv = STR_NONE, session = STR_NONE;
	(void)json_str(json_get(c->in, "conversationId"), &conv);
	(void)json_str(json_get(c->in, "sessionId"), &session);
	store_op_release(&g->look.op);
	g->look = (struct cmd_session_look){.user = c->user->user, .conversation_id = conv, .session_id = session};
	store_op_init(&g->look.op, cmd_session_look_run, looked, c->principal, clock_wall_ms());
	g->look.op.ctx = g;
	g->changes = c->user->session_changes;
	g->looks++;
	store_read(c->server->store, &g->look.op);
}

/* A conversation or a session, valid; `both`: it may be the two of them. Else the call is answered. */
static bool want_place(struct call *c, bool both, struct str *conv, struct str *session)
{
	struct errinfo info = {0};
	*conv = *session = STR_NONE;
	if (!json_want_str(c->in, "conversationId", JSON_OPTIONAL, conv, &info) ||
	    !json_want_str(c->in, "sessionId", JSON_OPTIONAL, session, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return false;
	}
	bool is_named = both ? conv->p != NULL || session->p != NULL : (conv->p != NULL) != (session->p != NULL);
	if (is_named && (conv->p == NULL || name_is_valid(*conv)) && (session->p == NULL || name_is_valid(*session)))
		return true;
	(void)err_set(&info, ERR_BAD_FIELD, "name %s valid \"sessionId\" or \"conversationId\"", both ? "a" : "one");
	call_fail(c, ERR_BAD_FIELD, &info, STR_NONE);
	return false;
}

void verb_session_join(struct call *c)
{
	struct str conv, session;
	if (!want_place(c, false, &conv, &session)) return;
	struct joining *g = xcalloc(1, sizeof *g);
	g->asking = (struct asking){.answered = seated, .call = c};
	LIST_INIT(&g->left);
	STAILQ_INIT(&g->behind);
	c->joining = g;
	look(g);
}

/* ---- session:leave ---------------------------------------------------------------------------------------------- */

void session_leave(struct peer *p, struct join *j)
{
	struct server *s = p->server;
	char *conversation_id = str_dup(stream_conversation(j));
	stream_leave(j);
	seats_leave(s->seats, p->sub.user->user, str_c(p->device_id), str_c(conversation_id), clock_boot_ms());
	presence_rearm(s);
	free(conversation_id);
}

void verb_session_leave(struct call *c)
{
	struct server *s = c->server;
	struct errinfo info = {0};
	struct seats_state st = {.session_id = STR("")};
	struct str conv, session;
	if (!want_place(c, true, &conv, &session)) return;
	bool was_joining = leave_joinings(c->peer, conv, session);
	struct join *j = stream_find_joined(c->peer, conv, session);
	if (j == NULL && seats_find(s->seats, c->user->user, session, &st))
		j = stream_find(c->peer, st.conversation_id);
	if (j == NULL && !was_joining) {
		(void)err_set(&info, ERR_NOT_FOUND, "this device has not joined that session");
		call_fail(c, ERR_NOT_FOUND, &info, STR_NONE);
		return;
	}
	struct jw w = call_begin(c, "session:left");
	if (session.p != NULL) jw_kstr(&w, "sessionId", session);
	else jw_kstr(&w, "conversationId", conv);
	if (j != NULL) session_leave(c->peer, j);
	call_reply(c, &w);
}

/* ---- why not ---------------------------------------------------------------------------------------------------- */

/* Somebody is not joined: is there such a session at all, is it alive, and is there such a device? */
struct finding {
	struct store_op op;
	struct call *call;
	struct str session_id, device_id; /* device_id STR_NONE: the asker itself */
	struct str current_id;            /* out: with ERR_SESSION_KILLED */
};

static enum err finding_run(struct txn *t, struct store_op *op)
{
	struct finding *f = CONTAINER_OF(op, struct finding, op);
	struct record r;
	struct session is;
	int64_t user = f->call->user->user;
	enum err e = session_find(t, user, f->session_id, &r, &is, &op->info);
	if (e == OK && is.is_killed) {
		f->current_id = is.next_id;
		while (e == OK && is.is_killed) {
			f->current_id = is.next_id;
			e = session_find(t, user, is.next_id, &r, &is, &op->info);
		}
		return e == OK ? ERR_SESSION_KILLED : e;
	}
	if (e != OK || f->device_id.p == NULL) return e;
	e = txn_get(t, r.zone, RT_DEVICE, f->device_id, &r);
	if (e == OK && r.deleted) e = ERR_NOT_FOUND;
	return e == ERR_NOT_FOUND ? err_set(&op->info, e, "there is no device %.*s", STR_ARG(f->device_id)) : e;
}

static void finding_done(struct store_op *op)
{
	struct finding *f = op->ctx;
	struct call *c = f->call;
	struct errinfo info = op->info;
	struct buf extra = BUF_INIT(400);
	enum err e = op->err;
	if (e == ERR_SESSION_KILLED) {
		struct jw w = JW(&extra);
		jw_kstr(&w, "sessionId", f->current_id);
	} else if (e == OK && f->device_id.p == NULL) {
		e = ERR_NOT_JOINED;
	} else if (e == OK) {
		struct peer *there;
		HASH_FIND(hh, c->user->peers, f->device_id.p, f->device_id.n, there);
		e = err_set(&info, there != NULL ? ERR_NOT_JOINED : ERR_OFFLINE, "device %.*s %s",
			    STR_ARG(f->device_id), there != NULL ? "has not joined the session" : "is not connected");
	}
	call_fail(c, e, &info, buf_str(&extra));
	buf_release(&extra);
	store_op_release(op);
	free(f);
}

static void find_why(struct call *c, struct str session_id, struct str device_id)
{
	struct finding *f = xcalloc(1, sizeof *f);
	store_op_init(&f->op, finding_run, finding_done, c->principal, clock_wall_ms());
	f->op.ctx = f;
	f->call = c;
	f->session_id = session_id;
	f->device_id = device_id;
	store_read(c->server->store, &f->op);
}

static struct str session_asked(const struct call *c)
{
	struct str id = STR("");
	(void)json_str(json_get(c->in, "sessionId"), &id);
	return id;
}

/* An error the seats gave, with what goes with it. */
static void refuse(struct asking *a, enum err e, const struct seats_state *st)
{
	struct call *c = a->call;
	struct errinfo info = {0};
	struct buf extra = BUF_INIT(1000);
	struct jw w = JW(&extra);
	if (e == ERR_NOT_JOINED) {
		bool of_target = a->action == SEATS_TRANSFER && a->to.p != NULL && st != NULL &&
				 seats_is_joined(c->server->seats, c->user->user, str_c(c->device_id), st->session_id);
		find_why(c, session_asked(c), of_target ? a->to : STR_NONE);
		free(a);
		return;
	}
	if (e == ERR_PRIMARY_EXISTS || e == ERR_NOT_PRIMARY) {
		write_term(&w, st);
	} else if (e == ERR_SESSION_LOCKED) {
		jw_kstr(&w, "holder", st->holder);
		jw_ktime(&w, "expiresAt", clock_wall_ms() + st->until_ms - clock_boot_ms());
	} else if (e == ERR_SESSION_KILLED) {
		jw_kstr(&w, "sessionId", st->session_id);
	} else if (e == ERR_TOO_MANY) {
		(void)err_set(&info, e, "lockWaiters (%lld) devices wait for this lock",
			      (long long)c->server->config->limits.lock_waiters);
	}
	call_fail(c, e, &info, buf_str(&extra));
	buf_release(&extra);
	free(a);
}

/* ---- right behind a join ---------------------------------------------------------------------------------------- */

/* Who asks for a session behind a join of the same connection that has not sat down may mean the seat it will have: the
 * question waits for it, and is asked anew. */
static bool waits_for_join(struct call *c, struct str session_id, verb_fn verb)
{
	if (c->peer == NULL || seats_is_joined(c->server->seats, c->user->user, str_c(c->device_id), session_id))
		return false;
	struct call *before = LIST_NEXT(c, in_peer); /* the newest stand first */
	while (before != NULL && before->joining == NULL) before = LIST_NEXT(before, in_peer);
	if (before == NULL) return false;
	struct behind *b = arena_alloc(&c->arena, sizeof *b);
	b->call = c;
	b->verb = verb;
	STAILQ_INSERT_TAIL(&before->joining->behind, b, link);
	return true;
}

/* ---- device:primary --------------------------------------------------------------------------------------------- */

static void primary_answered(struct asking *a, enum err e, const struct seats_state *st)
{
	if (e != OK) {
		refuse(a, e, st);
		return;
	}
	struct jw w = call_begin(a->call, "device:primary");
	jw_kstr(&w, "sessionId", st->session_id);
	write_term(&w, st);
	call_reply(a->call, &w);
	free(a);
}

static bool want_session(struct call *c, struct str *id, struct errinfo *info)
{
	if (!json_want_str(c->in, "sessionId", 0, id, info)) return false;
	if (name_is_valid(*id)) return true;
	(void)err_set(info, ERR_BAD_FIELD, "\"sessionId\" must be 1 to %d letters, digits or ._-:@+", NAME_MAX_LEN);
	return false;
}

static bool want_action(const struct json *in, enum seats_action *out, struct str *to, struct errinfo *info)
{
	struct str name;
	bool take = false;
	*to = STR_NONE;
	if (!json_want_str(in, "action", 0, &name, info) || !json_want_bool(in, "take", JSON_OPTIONAL, &take, info) ||
	    !json_want_str(in, "toDeviceId", JSON_OPTIONAL, to, info))
		return false;
	if (str_eq(name, STR("request"))) {
		*out = take ? SEATS_TAKE : SEATS_REQUEST;
	} else if (str_eq(name, STR("release"))) {
		*out = SEATS_RELEASE;
	} else if (str_eq(name, STR("transfer"))) {
		*out = SEATS_TRANSFER;
		if (to->p == NULL || !name_is_valid(*to)) {
			(void)err_set(info, ERR_BAD_FIELD, "a transfer needs a valid \"toDeviceId\"");
			return false;
		}
	} else {
		(void)err_set(info, ERR_BAD_FIELD, "\"action\" must be request, release or transfer");
		return false;
	}
	return true;
}

static struct asking *asking_new(struct call *c,
				 void (*answered)(struct asking *, enum err, const struct seats_state *))
{
	struct asking *a = xcalloc(1, sizeof *a);
	a->answered = answered;
	a->call = c;
	return a;
}

void verb_device_primary(struct call *c)
{
	struct errinfo info = {0};
	struct server *s = c->server;
	struct str session, to;
	enum seats_action action;
	if (!want_session(c, &session, &info) || !want_action(c->in, &action, &to, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return;
	}
	if (waits_for_join(c, session, verb_device_primary)) return;
	struct asking *a = asking_new(c, primary_answered);
	a->action = action;
	a->to = to;
	seats_ask(s->seats, c->user->user, str_c(c->device_id), session, action, to, a, clock_boot_ms());
	presence_rearm(s);
}

/* ---- session:lock, session:unlock ------------------------------------------------------------------------------- */

static void lock_answered(struct asking *a, enum err e, const struct seats_state *st)
{
	if (e != OK) {
		refuse(a, e, st);
		return;
	}
	struct jw w = call_begin(a->call, "session:locked");
	jw_kstr(&w, "sessionId", st->session_id);
	write_lease(&w, st);
	call_reply(a->call, &w);
	free(a);
}

static void unlock_answered(struct asking *a, enum err e, const struct seats_state *st)
{
	if (e != OK) {
		refuse(a, e, st);
		return;
	}
	struct jw w = call_begin(a->call, "session:unlocked");
	jw_kstr(&w, "sessionId", st->session_id);
	call_reply(a->call, &w);
	free(a);
}

void verb_session_lock(struct call *c)
{
	struct errinfo info = {0};
	struct server *s = c->server;
	struct str session;
	int64_t most = s->config->limits.lock_ms, ttl = most, wait = 0;
	if (!want_session(c, &session, &info) ||
	    !json_want_int(c->in, "ttlMs", JSON_OPTIONAL, 1, INT32_MAX, &ttl, &info) ||
	    !json_want_int(c->in, "waitMs", JSON_OPTIONAL, 0, INT32_MAX, &wait, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return;
	}
	if (waits_for_join(c, session, verb_session_lock)) return;
	seats_lock(s->seats, c->user->user, str_c(c->device_id), session, ttl, wait, asking_new(c, lock_answered),
		   clock_boot_ms());
	presence_rearm(s);
}

void verb_session_unlock(struct call *c)
{
	struct errinfo info = {0};
	struct server *s = c->server;
	struct str session;
	int64_t fence = 0;
	if (!want_session(c, &session, &info) ||
	    !json_want_int(c->in, "fence", JSON_OPTIONAL, 1, INT64_MAX, &fence, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return;
	}
	if (waits_for_join(c, session, verb_session_unlock)) return;
	seats_unlock(s->seats, c->user->user, str_c(c->device_id), session, fence, asking_new(c, unlock_answered),
		     clock_boot_ms());
	presence_rearm(s);
}

/* ---- session:typing --------------------------------------------------------------------------------------------- */

void session_typed(struct call *c, struct str session_id)
{
	seats_typed(c->server->seats, c->user->user, str_c(c->device_id), session_id, clock_boot_ms());
	presence_rearm(c->server);
}

void verb_session_typing(struct call *c)
{
	struct errinfo info = {0};
	struct str session;
	if (!want_session(c, &session, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return;
	}
	if (waits_for_join(c, session, verb_session_typing)) return;
	if (!seats_is_joined(c->server->seats, c->user->user, str_c(c->device_id), session)) {
		find_why(c, session, STR_NONE);
		return;
	}
	session_typed(c, session);
	if (c->peer != NULL && c->re[0] == '\0') {
		call_end(c);
		return;
	}
	struct jw w = call_begin(c, "session:typing");
	jw_kstr(&w, "sessionId", session);
	call_reply(c, &w);
}
