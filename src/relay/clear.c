/* session:clear, on the writer thread; commands.h says what it promises. */
#include "base/clock.h"
#include "device/automatic.h"
#include "device/session.h"
#include "relay/commands.h"

static enum err name_session(struct txn *t, struct record *conv, struct str session_id)
{
	struct buf patch = BUF_INIT(BUF_NO_LIMIT), merged = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&patch);
	jw_obj(&w);
	jw_kstr(&w, "currentSessionId", session_id);
	jw_obj_end(&w);
	enum err e = fields_patch(conv->fields, buf_str(&patch), &merged);
	if (e == OK) {
		conv->fields = arena_str(txn_arena(t), buf_str(&merged));
		e = txn_put(t, conv);
	}
	buf_release(&patch);
	buf_release(&merged);
	return e;
}

/* ---- the requests of a session ---------------------------------------------------------------------------------- */

struct stopping {
	struct txn *t;
	struct cleared *out;
	struct job_info running; /* a session runs one request at a time; row 0 none */
};

static enum err note_open(void *ctx, const struct record *r)
{
	struct stopping *k = ctx;
	struct cleared *out = k->out;
	struct arena *arena = txn_arena(k->t);
	struct job_info job;
	enum err e = request_load(k->t, r, &job);
	if (e != OK || !str_eq(job.request.session_id, out->killed_id)) return e;
	if (job.request.state == RQ_CLAIMED) {
		k->running = job;
		return OK;
	}
	if (out->nstopped == out->cap) {
		out->cap = MAX(out->cap * 2, (size_t)8);
		struct job_info *more = arena_alloc(arena, xmul(out->cap, sizeof *more));
		if (out->nstopped > 0) memcpy(more, out->stopped, out->nstopped * sizeof *more);
		out->stopped = more;
	}
	out->stopped[out->nstopped++] = job;
	return OK;
}

static enum err stop_one(struct txn *t, struct job_info *job)
{
	struct record r;
	struct request *q = &job->request;
	enum err e = txn_get_row(t, job->row, &r);
	if (e != OK) return e;
	q->stop_requested = true;
	if (q->state != RQ_CLAIMED) {
		q->state = RQ_STOPPED;
		q->next_try_ms = 0;
		q->last_completed_ms = txn_now_ms(t);
	}
	request_write(q, &r, txn_arena(t));
	return txn_put(t, &r);
}

/* What waits ends here; what runs ends when its call is cut, or at the next start. */
static enum err stop_requests(struct txn *t, const struct record *session, struct cleared *out)
{
	struct stopping k = {.t = t, .out = out};
	enum err e = txn_open_requests(t, session->zone, session->conv, note_open, &k);
	for (size_t i = 0; e == OK && i < out->nstopped; i++) e = stop_one(t, &out->stopped[i]);
	return e == OK && k.running.row != 0 ? stop_one(t, &k.running) : e;
}

/* ---- a session --------------------------------------------------------------------------------------------------- */

static enum err kill_session(struct txn *t, struct cmd_clear *c, struct record *r, struct session *s,
			     struct str next_id)
{
	struct automatic run = {t, &c->op, c->limits, {c->op.now_ms, c->boot_ms, c->incarnation}};
	uint32_t newest;
	enum err e = automatic_end(&run, r, s, REASON_CLEARED, c->device_id);
	if (e == OK) e = txn_newest_principal(t, &newest);
	if (e != OK) return e;
	s->is_killed = true;
	s->killed_ms = txn_now_ms(t);
	s->killed_by = c->device_id;
	s->next_id = next_id;
	s->late_from = (int64_t)newest + 1;
	s->primary = STR("");
	s->lock = (struct session_lock){.device_id = STR("")};
	s->queue_paused = false;
	session_write(s, r, txn_arena(t));
	return txn_put(t, r);
}

static enum err open_next(struct txn *t, const struct record *conv, const struct session *old, struct cleared *out)
{
	struct session next = {.conversation_id = conv->name,
			       .primary = old->primary,
			       .term = old->primary.n > 0 ? old->term + 1 : old->term,
			       .fence = old->fence,
			       .lock = {.device_id = STR("")},
			       .automatic = STR_NONE};
	struct record r = {.zone = conv->zone, .type = RT_SESSION, .name = out->session_id, .conv = conv->row};
	session_write(&next, &r, txn_arena(t));
	out->primary = next.primary;
	out->term = next.term;
	out->fence = next.fence;
	return txn_put(t, &r);
}

static enum err clear_session(struct txn *t, struct cmd_clear *c, struct record *conv, struct record *r,
			      struct session *s, struct cleared *out)
{
	struct session old = *s;
	struct str current;
	enum err e = session_current(t, conv, &current);
	if (e != OK) return e;
	*out = (struct cleared){.conversation_id = arena_str(txn_arena(t), conv->name), .killed_id = r->name};
	out->session_id = current;
	if (s->is_killed) return OK;
	if (!str_eq(current, r->name)) return ERR_CORRUPT; /* one that is not killed is the current one */
	if (session_is_locked(s, c->incarnation, c->boot_ms) && !str_eq(s->lock.device_id, c->device_id)) {
		out->refusal = (struct refusal){.device_id = s->lock.device_id, .expires_ms = s->lock.expires_wall_ms};
		return out->err = ERR_SESSION_LOCKED;
	}
	struct id next = id_derive(r->name, "next");
	out->session_id = arena_str(txn_arena(t), id_str(&next));
	out->is_new = true;
	e = stop_requests(t, r, out);
	if (e == OK) e = kill_session(t, c, r, s, out->session_id);
	if (e == OK) e = open_next(t, conv, &old, out);
	if (e == OK) e = name_session(t, conv, out->session_id);
	return e;
}

static enum err clear_conversation(struct txn *t, struct cmd_clear *c, uint32_t zone, struct str id,
				   struct cleared *out)
{
	struct record conv, r;
	struct session s;
	struct str current;
	enum err e = txn_get(t, zone, RT_CONVERSATION, id, &conv);
	if (e == OK && conv.deleted) e = ERR_NOT_FOUND;
	if (e == ERR_NOT_FOUND) return err_set(&c->op.info, e, "there is no conversation %.*s", STR_ARG(id));
	if (e == OK) e = session_current(t, &conv, &current);
	if (e != OK) return e;
	if (current.n == 0)
		return err_set(&c->op.info, ERR_NOT_FOUND, "conversation %.*s has no session yet", STR_ARG(id));
	e = session_find(t, c->user, current, &r, &s, &c->op.info);
	if (e == ERR_NOT_FOUND) e = ERR_CORRUPT;
	return e == OK ? clear_session(t, c, &conv, &r, &s, out) : e;
}

static enum err clear_by_session(struct txn *t, struct cmd_clear *c)
{
	struct record conv, r;
	struct session s;
	enum err e = session_find(t, c->user, c->session_id, &r, &s, &c->op.info);
	if (e == OK) e = txn_get_row(t, r.conv, &conv);
	if (e == OK && conv.deleted)
		return err_set(&c->op.info, ERR_NOT_FOUND, "conversation %.*s was deleted", STR_ARG(conv.name));
	return e == OK ? clear_session(t, c, &conv, &r, &s, &c->list[0]) : e;
}

/* ---- a project --------------------------------------------------------------------------------------------------- */

struct found {
	struct txn *t;
	struct str ids[CLEAR_STEP];
	size_t n;
};

static enum err note_conversation(void *ctx, const struct record *r)
{
	struct found *f = ctx;
	f->ids[f->n++] = arena_str(txn_arena(f->t), r->name);
	return OK;
}

static enum err find_conversations(struct txn *t, struct cmd_clear *c, uint32_t zone, struct found *out)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	struct jw w = JW(&b);
	jw_arr(&w);
	jw_obj(&w);
	jw_kstr(&w, "field", STR("projectId"));
	jw_kstr(&w, "op", STR("eq"));
	jw_kstr(&w, "value", c->project_id);
	jw_obj_end(&w);
	jw_arr_end(&w);
	enum err e = json_parse(buf_str(&b), &doc, NULL);
	struct query q = {.type = record_type_name(RT_CONVERSATION),
			  .filter = json_root(doc),
			  .limit = CLEAR_STEP,
			  .cursor = c->cursor};
	if (e == OK) e = txn_query(t, zone, &q, note_conversation, out, &c->next_cursor, &c->op.info);
	json_free(doc);
	buf_release(&b);
	return e;
}

static enum err clear_project(struct txn *t, struct cmd_clear *c, uint32_t zone)
{
	struct found found = {.t = t};
	struct record project;
	enum err e = find_conversations(t, c, zone, &found);
	if (e == OK && found.n == 0 && c->cursor.p == NULL) {
		e = txn_get(t, zone, RT_PROJECT, c->project_id, &project);
		if (e == ERR_NOT_FOUND || (e == OK && project.deleted))
			return err_set(&c->op.info, ERR_NOT_FOUND, "there is no project %.*s", STR_ARG(c->project_id));
	}
	for (size_t i = 0; e == OK && i < found.n; i++) {
		e = clear_conversation(t, c, zone, found.ids[i], &c->list[c->n]);
		if (e == ERR_NOT_FOUND) { /* nothing was said in it yet */
			c->op.info = (struct errinfo){0};
			e = OK;
			continue;
		}
		if (e == ERR_SESSION_LOCKED) e = OK;
		c->n++;
	}
	return e;
}

enum err cmd_clear_run(struct txn *t, struct store_op *op)
{
	struct cmd_clear *c = CONTAINER_OF(op, struct cmd_clear, op);
	uint32_t zone;
	/* It may be run again after it was taken back: nothing of the first time may stay. */
	memset(c->list, 0, sizeof c->list);
	c->n = 0;
	c->next_cursor = STR_NONE;
	enum err e = txn_zone(t, c->user, ZONE_HOME, true, &zone);
	if (e != OK) return e;
	if (c->project_id.p != NULL) return clear_project(t, c, zone);
	c->n = 1;
	return c->session_id.p != NULL ? clear_by_session(t, c)
				       : clear_conversation(t, c, zone, c->conversation_id, &c->list[0]);
}
