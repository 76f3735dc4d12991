/* Who is here, who sits where: the loop's side of device/seats.h, and what devices are told of each other.
 *
 * Everything that comes and goes is told to those whom it concerns: device:changed to all devices of the user, and
 * session:presence to those who joined the conversation, both at most every PRESENCE_EVERY_MS and only what changed. A
 * new primary and a lock that changes hands are told at once to those who joined. */
#include "base/clock.h"
#include "server/stream.h"

#define PRESENCE_EVERY_MS 200

/* A device that came, went, or became or ceased to be primary; or, with a conversation, that sat down there or got up. */
struct presence {
	char *device_id, *conversation_id; /* conversation_id NULL: the device as a whole */
	bool is_joined;
	STAILQ_ENTRY(presence) link;
};

/* Who has a seat has been seen by this daemon, and it forgets nobody while it runs. */
static struct live_user *find_user(const struct server *s, int64_t user)
{
	struct live_user *u;
	HASH_FIND(hh, s->users, &user, sizeof user, u);
	ASSERT(u != NULL);
	return u;
}

/* ---- device:changed and session:presence ------------------------------------------------------------------------ */

static void write_id(void *ctx, struct str id) { jw_str(ctx, id); }

static void write_primary_of(struct live_user *u, struct jw *w, struct str device_id)
{
	jw_key(w, "primaryOf");
	jw_arr(w);
	seats_each_primary(u->server->seats, u->user, device_id, write_id, w);
	jw_arr_end(w);
}

void device_json(struct live_user *u, struct jw *w, struct str device_id, struct str fields)
{
	struct device_fields d;
	struct peer *online;
	HASH_FIND(hh, u->peers, device_id.p, device_id.n, online);
	device_fields_read(&d, fields);
	jw_kstr(w, "deviceId", device_id);
	jw_kstr(w, "name", d.name);
	jw_kstr(w, "platform", d.platform);
	jw_kstr(w, "appVersion", d.app_version);
	jw_kbool(w, "online", online != NULL);
	if (online != NULL) jw_ktime(w, "lastSeen", online->seen_wall_ms);
	else if (d.last_seen.n > 0) jw_kstr(w, "lastSeen", d.last_seen);
	write_primary_of(u, w, device_id);
	device_fields_release(&d);
}

static void presence_free(struct presence *p)
{
	free(p->device_id);
	free(p->conversation_id);
	free(p);
}

static void tell_devices(struct live_user *u)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	struct presence *p;
	bool any = false;
	jw_obj(&w);
	jw_kstr(&w, "type", STR("device:changed"));
	jw_key(&w, "devices");
	jw_arr(&w);
	STAILQ_FOREACH (p, &u->presence, link) {
		struct peer *online;
		if (p->conversation_id != NULL) continue;
		any = true;
		HASH_FIND_STR(u->peers, p->device_id, online);
		jw_obj(&w);
		jw_kstr(&w, "deviceId", str_c(p->device_id));
		jw_kbool(&w, "online", online != NULL);
		jw_ktime(&w, "lastSeen", online != NULL ? online->seen_wall_ms : clock_wall_ms());
		write_primary_of(u, &w, str_c(p->device_id));
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	struct frame *f = frame_take(&b);
	for (struct peer *c = u->peers, *next; c != NULL && any; c = next) {
		next = c->hh.next;
		if (c->hello) peer_send(c, f);
	}
	frame_unref(f);
}

static void write_moved(const struct live_user *u, struct jw *w, const char *conversation_id, bool is_joined)
{
	const struct presence *p;
	jw_key(w, is_joined ? "joined" : "left");
	jw_arr(w);
	STAILQ_FOREACH (p, &u->presence, link)
		if (p->conversation_id != NULL && p->is_joined == is_joined &&
		    strcmp(p->conversation_id, conversation_id) == 0)
			jw_str(w, str_c(p->device_id));
	jw_arr_end(w);
}

/* All that happened in one conversation, which is then forgotten. */
static void tell_conversation(struct live_user *u, const char *conversation_id)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	struct seats_state state = {.session_id = STR("")};
	(void)seats_find_conversation(u->server->seats, u->user, str_c(conversation_id), &state);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("session:presence"));
	jw_kstr(&w, "conversationId", str_c(conversation_id));
	if (state.session_id.n > 0) jw_kstr(&w, "sessionId", state.session_id);
	write_moved(u, &w, conversation_id, true);
	write_moved(u, &w, conversation_id, false);
	jw_obj_end(&w);
	struct frame *f = frame_take(&b);
	stream_tell(u->server, u->user, str_c(conversation_id), f);
	frame_unref(f);
}

static void send_presence(uv_timer_t *t)
{
	struct live_user *u = t->data;
	struct presence *p, *q, *next;
	STAILQ_HEAD(, presence) done = STAILQ_HEAD_INITIALIZER(done);
	u->presence_armed = false;
	tell_devices(u);
	while ((p = STAILQ_FIRST(&u->presence)) != NULL) {
		if (p->conversation_id != NULL) tell_conversation(u, p->conversation_id);
		for (q = p; q != NULL; q = next) {
			next = STAILQ_NEXT(q, link);
			bool is_same = q == p || (p->conversation_id != NULL && q->conversation_id != NULL &&
						  strcmp(p->conversation_id, q->conversation_id) == 0);
			if (!is_same) continue;
			STAILQ_REMOVE(&u->presence, q, presence, link);
			STAILQ_INSERT_TAIL(&done, q, link);
		}
		while ((q = STAILQ_FIRST(&done)) != NULL) {
			STAILQ_REMOVE_HEAD(&done, link);
			presence_free(q);
		}
	}
}

static bool same_place(const struct presence *p, struct str conversation_id)
{
	return p->conversation_id == NULL ? conversation_id.p == NULL
					  : str_eq(str_c(p->conversation_id), conversation_id);
}

static void note(struct live_user *u, struct str device_id, struct str conversation_id, bool is_joined)
{
	struct presence *p;
	STAILQ_FOREACH (p, &u->presence, link)
		if (same_place(p, conversation_id) && str_eq(str_c(p->device_id), device_id)) break;
	if (p == NULL) {
		p = xcalloc(1, sizeof *p);
		p->device_id = str_dup(device_id);
		if (conversation_id.p != NULL) p->conversation_id = str_dup(conversation_id);
		STAILQ_INSERT_TAIL(&u->presence, p, link);
	}
	p->is_joined = is_joined;
	if (u->presence_armed || u->server->stopping) return;
	u->presence_armed = true;
	uv_timer_start(&u->presence_timer, send_presence, PRESENCE_EVERY_MS, 0);
}

void presence_changed(struct live_user *u, struct str device_id) { note(u, device_id, STR_NONE, false); }

void presence_forget(struct live_user *u)
{
	struct presence *p;
	while ((p = STAILQ_FIRST(&u->presence)) != NULL) {
		STAILQ_REMOVE_HEAD(&u->presence, link);
		presence_free(p);
	}
}

/* ---- what the seats want done ----------------------------------------------------------------------------------- */

struct changing {
	struct cmd_session_change cmd;
	struct server *server;
};

static void changing_done(struct store_op *op)
{
	struct changing *g = op->ctx;
	const struct cmd_session_change *c = &g->cmd;
	struct seats_result r = {.kind = c->change.kind,
				 .serial = c->change.serial,
				 .user = c->change.user,
				 .session_id = c->change.session_id,
				 .err = op->err,
				 .now = c->now,
				 .holder = c->holder};
	seats_committed(g->server->seats, &r, clock_boot_ms());
	presence_rearm(g->server);
	store_op_release(op);
	free(g);
}

static void fx_submit(void *ctx, const struct seats_change *c)
{
	struct server *s = ctx;
	struct changing *g = xcalloc(1, sizeof *g);
	g->server = s;
	store_op_init(&g->cmd.op, cmd_session_change_run, changing_done, 0, clock_wall_ms());
	g->cmd.op.ctx = g;
	g->cmd.op.bytes = sizeof *g;
	g->cmd.op.repeatable = true;
	g->cmd.change = *c;
	g->cmd.change.session_id = arena_str(&g->cmd.op.arena, c->session_id);
	g->cmd.change.device_id = arena_str(&g->cmd.op.arena, c->device_id);
	g->cmd.now = (struct seats_session){.id = STR(""), .primary = STR("")};
	g->cmd.holder = STR("");
	g->cmd.incarnation = store_incarnation(s->store);
	g->cmd.expires_wall_ms = clock_wall_ms() + c->until_ms - clock_boot_ms();
	store_submit(s->store, &g->cmd.op);
}

void write_term(struct jw *w, const struct seats_state *st)
{
	jw_key(w, "deviceId");
	if (st->primary.n > 0) jw_str(w, st->primary);
	else jw_null(w);
	jw_kint(w, "term", st->term);
}

void write_lease(struct jw *w, const struct seats_state *st)
{
	jw_kstr(w, "deviceId", st->holder);
	jw_kint(w, "fence", st->fence);
	jw_ktime(w, "expiresAt", clock_wall_ms() + st->until_ms - clock_boot_ms());
}

static void tell(struct server *s, const struct seats_state *st, struct buf *b, struct jw *w)
{
	jw_obj_end(w);
	struct frame *f = frame_take(b);
	stream_tell(s, st->user, st->conversation_id, f);
	frame_unref(f);
}

static void fx_primary(void *ctx, const struct seats_state *st, struct str before)
{
	struct server *s = ctx;
	struct live_user *u = find_user(s, st->user);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	s->nprimaries++;
	jw_kstr(&w, "type", STR("device:primary"));
	jw_kstr(&w, "sessionId", st->session_id);
	write_term(&w, st);
	tell(s, st, &b, &w);
	if (before.n > 0) presence_changed(u, before);
	if (st->primary.n > 0) presence_changed(u, st->primary);
	if (s->journal != NULL)
		journal_event(s->journal, "session.primary", EVS("userId", u->id), EVS("sessionId", st->session_id),
			      EVS("deviceId", st->primary), EVI("term", st->term));
}

static void fx_lock(void *ctx, const struct seats_state *st)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "type", st->holder.n > 0 ? STR("session:locked") : STR("session:unlocked"));
	jw_kstr(&w, "sessionId", st->session_id);
	if (st->holder.n > 0) write_lease(&w, st);
	tell(ctx, st, &b, &w);
}

static void fx_joined(void *ctx, const struct seats_state *st, struct str device_id, bool is_joined)
{
	note(find_user(ctx, st->user), device_id, st->conversation_id, is_joined);
}

static void fx_ping(void *ctx, int64_t user, struct str device_id)
{
	struct live_user *u = find_user(ctx, user);
	struct peer *c;
	HASH_FIND(hh, u->peers, device_id.p, device_id.n, c);
	if (c != NULL && c->ws != NULL && c->state != PEER_CLOSING) ws_ping(c->ws);
}

static const struct seats_ops seats_ops = {fx_submit, fx_primary, fx_lock, fx_joined, session_answer, fx_ping};

/* ---- time, and what was committed ------------------------------------------------------------------------------- */

static void on_due(uv_timer_t *t)
{
	struct server *s = t->data;
	s->seats_armed_ms = INT64_MAX;
	seats_tick(s->seats, clock_boot_ms());
	presence_rearm(s);
}

void presence_rearm(struct server *s)
{
	int64_t at = seats_next_ms(s->seats);
	if (at == s->seats_armed_ms || s->stopping) return;
	s->seats_armed_ms = at;
	if (at == INT64_MAX) uv_timer_stop(&s->seats_timer);
	else uv_timer_start(&s->seats_timer, on_due, (uint64_t)MAX(0, at - clock_boot_ms()), 0);
}

/* A Session's record: news of its primary, or the first session of a conversation that devices already joined. */
static void session_committed(struct live_user *u, const struct record *r)
{
	struct arena arena = {0};
	struct session is;
	u->session_changes++;
	if (!r->deleted && session_read(&is, r, &arena) == OK && !is.is_killed) {
		struct seats_session seat = {.id = r->name, .primary = is.primary, .term = is.term, .fence = is.fence};
		seats_session(u->server->seats, u->user, is.conversation_id, &seat, clock_boot_ms());
	}
	arena_clear(&arena);
}

void presence_committed(struct server *s, const struct store_op *op)
{
	const struct change *c;
	struct seats_state state;
	STAILQ_FOREACH (c, &op->changes, link) {
		const struct record *r = &c->rec;
		struct live_user *u;
		if (r->type != RT_SESSION && r->type != RT_CONVERSATION) continue;
		HASH_FIND(by_zone, s->users_by_zone, &r->zone, sizeof r->zone, u);
		if (u == NULL) continue;
		if (r->type == RT_SESSION) session_committed(u, r);
		else if (seats_find_conversation(s->seats, u->user, r->name, &state))
			seats_follow(s->seats, u->user, r->name, session_follows_typing(r->fields), clock_boot_ms());
		presence_rearm(s);
	}
}

void presence_open(struct server *s)
{
	struct seats_options o = {.limits = &s->config->limits, .ops = &seats_ops, .ctx = s, .now_ms = clock_boot_ms()};
	s->seats = seats_new(&o);
	s->seats_armed_ms = INT64_MAX;
	uv_timer_init(&s->loop, &s->seats_timer);
	s->seats_timer.data = s;
}
