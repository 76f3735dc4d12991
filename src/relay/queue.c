#include "relay/queue.h"

#include "base/clock.h"
#include "device/session.h"
#include "relay/relay.h"

static void list_add(struct queue_list *l, struct arena *arena, const struct job_info *job)
{
	if (l->n == l->cap) {
		l->cap = MAX(l->cap * 2, (size_t)8);
		struct job_info *more = arena_alloc(arena, xmul(l->cap, sizeof *more));
		if (l->n > 0) memcpy(more, l->list, l->n * sizeof *more);
		l->list = more;
	}
	l->list[l->n++] = *job;
}

static bool is_waiting(const struct job_info *j)
{
	return j->request.state == RQ_QUEUED || j->request.state == RQ_RETRYING;
}

struct walk {
	struct txn *t;
	struct cmd_queue *c;
};

/* ---- what there is ---------------------------------------------------------------------------------------------- */

static enum err add_open(void *ctx, const struct record *r)
{
	struct walk *k = ctx;
	struct job_info job;
	enum err e = request_load(k->t, r, &job);
	if (e != OK || !str_eq(job.request.session_id, k->c->session_id)) return e;
	list_add(is_waiting(&job) ? &k->c->waiting : &k->c->running, txn_arena(k->t), &job);
	return OK;
}

static int by_turn(const void *pa, const void *pb)
{
	const struct job_info *a = pa, *b = pb;
	if (a->request.priority != b->request.priority) return a->request.priority < b->request.priority ? -1 : 1;
	return a->row < b->row ? -1 : a->row > b->row;
}

static enum err add_dead(void *ctx, const struct record *r)
{
	struct walk *k = ctx;
	struct job_info job;
	enum err e = request_load(k->t, r, &job);
	if (e != OK || !str_eq(job.request.session_id, k->c->session_id)) return e;
	if (k->c->dead.n == QUEUE_DEAD_MAX) {
		k->c->dead_more = true;
		return ERR_CANCELLED;
	}
	list_add(&k->c->dead, txn_arena(k->t), &job);
	return OK;
}

/* The failed requests of the session: the index has the failed ones of a user, which are few, newest first. */
static enum err find_dead(struct txn *t, struct walk *k, uint32_t zone, struct str conversation_id)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kraw(&w, "sort", STR("[{\"field\":\"state\",\"ascending\":false}]"));
	jw_key(&w, "filter");
	buf_add_str(&b, STR("[{\"field\":\"state\",\"op\":\"eq\",\"value\":\"failed\"},"
			    "{\"field\":\"conversationId\",\"op\":\"eq\",\"value\":"));
	struct jw v = JW(&b);
	jw_str(&v, conversation_id);
	buf_add_str(&b, STR("}]}"));
	enum err e = json_parse(buf_str(&b), &doc, NULL);
	struct query q = {.type = record_type_name(RT_REQUEST),
			  .filter = json_get(json_root(doc), "filter"),
			  .sort = json_get(json_root(doc), "sort"),
			  .cursor = STR_NONE};
	do {
		struct str cursor = STR_NONE;
		if (e == OK) e = txn_query(t, zone, &q, add_dead, k, &cursor, &k->c->op.info);
		q.cursor = cursor;
	} while (e == OK && q.cursor.p != NULL);
	json_free(doc);
	buf_release(&b);
	return e == ERR_CANCELLED ? OK : e;
}

static enum err look(struct txn *t, struct cmd_queue *c, const struct record *session, struct str conversation_id)
{
	struct walk k = {t, c};
	c->running = c->waiting = c->dead = (struct queue_list){0};
	c->dead_more = false;
	enum err e = txn_open_requests(t, session->zone, session->conv, add_open, &k);
	if (c->waiting.n > 1) qsort(c->waiting.list, c->waiting.n, sizeof *c->waiting.list, by_turn);
	return e == OK ? find_dead(t, &k, session->zone, conversation_id) : e;
}

/* ---- what is done to it ----------------------------------------------------------------------------------------- */

static enum err pause(struct txn *t, struct cmd_queue *c, struct record *r, struct session *s)
{
	bool wanted = c->verb == QUEUE_PAUSE;
	if (s->queue_paused == wanted) return OK;
	s->queue_paused = wanted;
	session_write(s, r, txn_arena(t));
	c->changed = true;
	return txn_put(t, r);
}

static enum err stop_waiting(struct txn *t, struct cmd_queue *c, const struct job_info *job)
{
	const struct request *q = &job->request;
	struct cmd_finish f = {.as = FINISH_STOPPED,
			       .row = job->row,
			       .attempt = q->attempt,
			       .incarnation = c->incarnation,
			       .text = STR(""),
			       .thinking = STR(""),
			       .error_text = STR(""),
			       .finish_reason = STR(""),
			       .provider_id = STR(""),
			       .usage = USAGE_UNKNOWN};
	enum err e = cmd_finish_run(t, &f.op);
	if (e != OK) return e;
	c->changed = true;
	list_add(&c->stopped, txn_arena(t), &f.job);
	return OK;
}

static enum err clear(struct txn *t, struct cmd_queue *c)
{
	enum err e = OK;
	for (size_t i = 0; e == OK && i < c->waiting.n; i++) e = stop_waiting(t, c, &c->waiting.list[i]);
	return e;
}

/* The request that is to be removed or moved: one of this session's that waits. */
static enum err find_waiting(struct txn *t, struct cmd_queue *c, struct record *r, struct job_info *job)
{
	enum err e = request_find(t, c->user, c->request_id, r, job, &c->op.info);
	if (e != OK) return e;
	if (!str_eq(job->request.session_id, c->session_id))
		return err_set(&c->op.info, ERR_NOT_FOUND, "there is no request %.*s in this session",
			       STR_ARG(c->request_id));
	if (!is_waiting(job))
		return err_set(&c->op.info, ERR_BAD_STATE, "only a waiting request can be %s; this one is %.*s",
			       c->verb == QUEUE_REMOVE ? "removed" : "moved",
			       STR_ARG(request_state_name(job->request.state)));
	return OK;
}

static enum err remove_one(struct txn *t, struct cmd_queue *c)
{
	struct record r;
	struct job_info job;
	enum err e = find_waiting(t, c, &r, &job);
	return e == OK ? stop_waiting(t, c, &job) : e;
}

static enum err reorder(struct txn *t, struct cmd_queue *c)
{
	struct record r;
	enum err e = find_waiting(t, c, &r, &c->moved);
	if (e != OK || c->moved.request.priority == c->priority) return e;
	c->moved.request.priority = c->priority;
	request_write(&c->moved.request, &r, txn_arena(t));
	c->changed = true;
	return txn_put(t, &r);
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

/* A conversation's current session, in c->session_id. */
static enum err current_session(struct txn *t, struct cmd_queue *c)
{
	uint32_t zone;
	struct record conv;
	enum err e = txn_zone(t, c->user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(t, zone, RT_CONVERSATION, c->of_conversation, &conv);
	if (e == OK && conv.deleted) e = ERR_NOT_FOUND;
	if (e == OK) e = session_current(t, &conv, &c->session_id);
	if (e == OK && c->session_id.n == 0) e = ERR_NOT_FOUND;
	if (e == ERR_NOT_FOUND)
		return err_set(&c->op.info, e, "there is no session of a conversation %.*s",
			       STR_ARG(c->of_conversation));
	return e;
}

enum err cmd_queue_run(struct txn *t, struct store_op *op)
{
	struct cmd_queue *c = CONTAINER_OF(op, struct cmd_queue, op);
	struct record r;
	struct session s;
	c->changed = false;
	c->stopped = (struct queue_list){0};
	enum err e = c->of_conversation.p != NULL ? current_session(t, c) : OK;
	if (e == OK) e = session_find(t, c->user, c->session_id, &r, &s, &op->info);
	if (e != OK) return e;
	if (s.is_killed) {
		c->next_id = s.next_id;
		e = session_newest(t, r.conv, &c->next_id);
		if (e != OK) return e;
		return err_set(&op->info, ERR_SESSION_KILLED, "session %.*s was cleared; the current one is %.*s",
			       STR_ARG(c->session_id), STR_ARG(c->next_id));
	}
	c->conv = r.conv;
	c->conversation_id = s.conversation_id;
	if (c->verb == QUEUE_CLEAR) {
		e = look(t, c, &r, s.conversation_id);
		if (e == OK) e = clear(t, c);
	} else if (c->verb == QUEUE_REMOVE) {
		e = remove_one(t, c);
	} else if (c->verb == QUEUE_REORDER) {
		e = reorder(t, c);
	} else if (c->verb != QUEUE_LIST) {
		e = pause(t, c, &r, &s);
	}
	if (e != OK) return e;
	c->paused = s.queue_paused;
	return look(t, c, &r, s.conversation_id);
}

void queue_tell_relay(const struct cmd_queue *c, struct relay *r, struct now now)
{
	for (size_t i = 0; i < c->stopped.n; i++) relay_dropped(r, &c->stopped.list[i], now);
	if (c->verb == QUEUE_REORDER) relay_reorder(r, c->moved.row, c->priority, now);
	if (c->verb == QUEUE_PAUSE || c->verb == QUEUE_RESUME) relay_hold(r, c->conv, c->session_id, c->paused, now);
}

/* ---- as JSON ---------------------------------------------------------------------------------------------------- */

static void write_entry(struct jw *w, const struct job_info *j)
{
	const struct request *q = &j->request;
	jw_obj(w);
	jw_kstr(w, "requestId", j->request_id);
	jw_kstr(w, "messageId", q->message_id);
	jw_kstr(w, "deviceId", q->device_id);
	jw_kstr(w, "state", request_state_name(q->state));
	jw_kint(w, "priority", q->priority);
	jw_kint(w, "attempt", q->attempt);
	jw_ktime(w, "queuedAt", q->queued_ms);
	if (q->state == RQ_RETRYING && q->next_try_ms != 0) jw_ktime(w, "nextTryAt", q->next_try_ms);
	if (q->state == RQ_FAILED) jw_ktime(w, "lastCompleted", q->last_completed_ms);
	if (q->error_code.n > 0) {
		jw_key(w, "error");
		jw_obj(w);
		jw_kstr(w, "code", q->error_code);
		jw_kstr(w, "message", q->error_text);
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static void write_list(struct jw *w, const char *key, const struct queue_list *l)
{
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; i < l->n; i++) write_entry(w, &l->list[i]);
	jw_arr_end(w);
}

void queue_write(struct jw *w, const struct cmd_queue *c)
{
	jw_kbool(w, "paused", c->paused);
	write_list(w, "running", &c->running);
	write_list(w, "waiting", &c->waiting);
	write_list(w, "dead", &c->dead);
	if (c->dead_more) jw_kbool(w, "deadMore", true);
}
