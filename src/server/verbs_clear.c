/* session:clear. The command decides (relay/clear.c); here its outcome reaches the relay, those who sit in the session,
 * and every connected device of the user. A project is cleared in steps, one command after the other. */
#include "base/clock.h"
#include "server/call.h"
#include "server/stream.h"

struct clearing {
	struct cmd_clear cmd;
	struct call *call;
	struct live_user *user;
	struct json_doc *doc; /* the call's; the ids are views of it */
	char device_id[NAME_MAX_LEN + 1];
	char cursor[128];
	struct buf done, refused; /* of a project: what goes into the answer */
};

static void write_cleared(struct jw *w, const struct cleared *k)
{
	jw_kstr(w, "killedSessionId", k->killed_id);
	jw_kstr(w, "sessionId", k->session_id);
	jw_kstr(w, "conversationId", k->conversation_id);
}

static void write_refusal(struct jw *w, const struct cleared *k)
{
	jw_kstr(w, "holder", k->refusal.device_id);
	jw_ktime(w, "expiresAt", k->refusal.expires_ms);
}

static void tell_devices(struct clearing *g, const struct cleared *k)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("session:cleared"));
	write_cleared(&w, k);
	jw_obj_end(&w);
	struct frame *f = frame_take(&b);
	for (struct peer *p = g->user->peers, *next; p != NULL; p = next) {
		next = p->hh.next;
		if (p != g->call->peer || g->cmd.project_id.p != NULL) peer_send(p, f);
	}
	frame_unref(f);
}

/* The commit is on disk: what ran is cut, what waited goes, and everybody hears of it. */
static void carry_out(struct clearing *g, const struct cleared *k)
{
	struct server *s = g->user->server;
	struct relay *relay = work_relay(s->work);
	if (!k->is_new) return;
	if (!s->stopping) {
		for (size_t i = 0; i < k->nstopped; i++) relay_dropped(relay, &k->stopped[i], work_now(s->work));
		(void)relay_stop_session(relay, g->user->user, k->killed_id, STR_NONE, work_now(s->work));
		work_kick(s->work);
	}
	stream_cleared(s, g->user->user, k->conversation_id, k->killed_id, k->session_id);
	struct seats_session next = {.id = k->session_id, .primary = k->primary, .term = k->term, .fence = k->fence};
	seats_cleared(s->seats, g->user->user, k->killed_id, &next, clock_boot_ms());
	presence_rearm(s);
	tell_devices(g, k);
	if (s->journal != NULL)
		journal_event(s->journal, "session.cleared", EVS("userId", g->user->id),
			      EVS("conversationId", k->conversation_id), EVS("killedSessionId", k->killed_id),
			      EVS("sessionId", k->session_id), EVS("deviceId", str_c(g->device_id)));
}

static void clearing_free(struct clearing *g)
{
	buf_release(&g->done);
	buf_release(&g->refused);
	json_free(g->doc);
	store_op_release(&g->cmd.op);
	free(g);
}

static void fail(struct clearing *g)
{
	struct buf extra = BUF_INIT(1000);
	struct jw w = JW(&extra);
	if (g->cmd.op.err == ERR_SESSION_LOCKED) write_refusal(&w, &g->cmd.list[0]);
	call_fail(g->call, g->cmd.op.err, &g->cmd.op.info, buf_str(&extra));
	buf_release(&extra);
}

static void add_to_answer(struct clearing *g, const struct cleared *k)
{
	struct buf *b = k->err == OK ? &g->done : &g->refused;
	struct jw w = JW(b);
	w.comma = b->n > 0;
	jw_obj(&w);
	if (k->err == OK) {
		write_cleared(&w, k);
	} else {
		jw_kstr(&w, "conversationId", k->conversation_id);
		jw_kstr(&w, "code", str_c(err_code(k->err)));
		write_refusal(&w, k);
	}
	jw_obj_end(&w);
}

static void answer(struct clearing *g)
{
	struct jw w = call_begin(g->call, "session:cleared");
	if (g->cmd.project_id.p == NULL) {
		write_cleared(&w, &g->cmd.list[0]);
	} else {
		struct buf *lists[] = {&g->done, &g->refused};
		static const char *const keys[] = {"cleared", "refused"};
		for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
			jw_key(&w, keys[i]);
			buf_add_char(w.b, '[');
			buf_add_str(w.b, buf_str(lists[i]));
			buf_add_char(w.b, ']');
			w.comma = true;
		}
	}
	call_reply(g->call, &w);
}

static void submit(struct clearing *g);

static void clearing_done(struct store_op *op)
{
	struct clearing *g = op->ctx;
	const struct cmd_clear *c = &g->cmd;
	if (op->err != OK) {
		fail(g);
		clearing_free(g);
		return;
	}
	for (size_t i = 0; i < c->n; i++) {
		carry_out(g, &c->list[i]);
		if (c->project_id.p != NULL) add_to_answer(g, &c->list[i]);
	}
	bool goes_on = c->next_cursor.p != NULL && str_copy(c->next_cursor, g->cursor, sizeof g->cursor);
	if (goes_on && !g->user->server->stopping) {
		store_op_release(op);
		submit(g);
		return;
	}
	answer(g);
	clearing_free(g);
}

static void submit(struct clearing *g)
{
	struct server *s = g->user->server;
	struct cmd_clear *c = &g->cmd;
	store_op_init(&c->op, cmd_clear_run, clearing_done, 0, clock_wall_ms());
	c->op.ctx = g;
	c->op.repeatable = true;
	c->op.bytes = sizeof *g;
	c->user = g->user->user;
	c->device_id = str_c(g->device_id);
	c->cursor = g->cursor[0] != '\0' ? str_c(g->cursor) : STR_NONE;
	c->boot_ms = clock_boot_ms();
	c->incarnation = store_incarnation(s->store);
	c->limits = &s->config->limits;
	store_submit(s->store, &c->op);
}

static bool read_ids(const struct json *in, struct cmd_clear *c, struct errinfo *info)
{
	struct str *ids[] = {&c->session_id, &c->conversation_id, &c->project_id};
	static const char *const keys[] = {"sessionId", "conversationId", "projectId"};
	int n = 0;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		*ids[i] = STR_NONE;
		if (!json_want_str(in, keys[i], JSON_OPTIONAL, ids[i], info)) return false;
		if (ids[i]->p == NULL) continue;
		n++;
		if (name_is_valid(*ids[i])) continue;
		(void)err_set(info, ERR_BAD_FIELD, "\"%s\" must be 1 to %d letters, digits or ._-:@+", keys[i],
			      NAME_MAX_LEN);
		return false;
	}
	if (n == 1) return true;
	(void)err_set(info, ERR_BAD_FIELD, "name one of \"sessionId\", \"conversationId\" and \"projectId\"");
	return false;
}

void verb_session_clear(struct call *c)
{
	struct errinfo info = {0};
	if (call_refuse_busy(c)) return;
	struct clearing *g = xcalloc(1, sizeof *g);
	if (!read_ids(c->in, &g->cmd, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		free(g);
		return;
	}
	g->call = c;
	g->user = c->user;
	g->doc = c->doc;
	c->doc = NULL;
	(void)str_copy(str_c(c->device_id), g->device_id, sizeof g->device_id);
	buf_init(&g->done, BUF_NO_LIMIT);
	buf_init(&g->refused, BUF_NO_LIMIT);
	submit(g);
}
