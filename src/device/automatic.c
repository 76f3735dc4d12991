#include "device/automatic.h"

#include "base/id.h"

#define LOOK_BACK 256 /* messages between an answer and the newest one; further back it is old news */

/* ---- reading and writing ---------------------------------------------------------------------------------------- */

/* A run taken out of its session, to be changed and put back. `doc` holds its strings. */
struct held_run {
	struct json_doc *doc;
	struct run run;
};

static enum err take(const struct session *s, struct held_run *h)
{
	*h = (struct held_run){0};
	if (s->automatic.p != NULL && json_parse(s->automatic, &h->doc, NULL) != OK) return ERR_CORRUPT;
	run_read(&h->run, json_root(h->doc));
	return OK;
}

static void put_back(const struct automatic *a, struct session *s, struct held_run *h)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	run_write(&w, &h->run);
	s->automatic = arena_str(txn_arena(a->t), buf_str(&b));
	buf_release(&b);
}

static enum err put_as_daemon(const struct automatic *a, struct record *r)
{
	uint32_t actor = a->op->actor;
	a->op->actor = 0;
	enum err e = txn_put(a->t, r);
	a->op->actor = actor;
	return e;
}

static enum err save_session(const struct automatic *a, struct record *r, const struct session *s)
{
	session_write(s, r, txn_arena(a->t));
	return put_as_daemon(a, r);
}

/* One line of the trail. */
struct step {
	const char *action;
	enum run_reason reason;
	struct str device_id, message_id, answer_id;
};

static enum err write_step(const struct automatic *a, const struct record *session, const struct session *s,
			   struct run *run, const struct step *step)
{
	char label[40];
	snprintf(label, sizeof label, "auto step %lld", (long long)++run->steps);
	struct id name = id_derive(session->name, label);
	struct arena *arena = txn_arena(a->t);
	struct record r = {.zone = session->zone, .type = RT_AUTO_STEP, .name = arena_str(arena, id_str(&name))};
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "sessionId", session->name);
	jw_kstr(&w, "conversationId", s->conversation_id);
	jw_kint(&w, "run", run->number);
	jw_kint(&w, "n", run->steps);
	jw_kstr(&w, "action", str_c(step->action));
	if (step->reason != REASON_NONE) jw_kstr(&w, "reason", run_reason_name(step->reason));
	jw_kstr(&w, "deviceId", step->device_id);
	jw_kint(&w, "term", s->term);
	if (step->message_id.n > 0) jw_kstr(&w, "messageId", step->message_id);
	if (step->answer_id.n > 0) jw_kstr(&w, "answerId", step->answer_id);
	jw_kint(&w, "sent", run->sent);
	jw_ktime(&w, "at", txn_now_ms(a->t));
	jw_obj_end(&w);
	r.fields = arena_str(arena, buf_str(&b));
	buf_release(&b);
	return put_as_daemon(a, &r);
}

/* Another device drives than at the last step: that is a step of its own, told before what it does. */
static enum err note_driver(const struct automatic *a, const struct record *session, const struct session *s,
			    struct run *run)
{
	if (run->term == s->term || s->primary.n == 0) return OK;
	bool is_other = run->driver.n > 0 && !str_eq(run->driver, s->primary);
	run->term = s->term;
	run->driver = s->primary;
	if (!is_other) return OK;
	return write_step(a, session, s, run, &(struct step){.action = "handed_over", .device_id = s->primary});
}

static enum err end_run(const struct automatic *a, const struct record *session, const struct session *s,
			struct run *run, enum run_reason reason, struct str device_id)
{
	run_settle(run, &a->clock);
	run->state = RUN_STOPPED;
	run->reason = reason;
	return write_step(a, session, s, run,
			  &(struct step){.action = "stopped", .reason = reason, .device_id = device_id});
}

/* What the run's own limits say, or else the daemon's. */
static enum run_reason limit_reached(const struct automatic *a, const struct run *run)
{
	int64_t elapsed = run_elapsed(run, &a->clock);
	if (run->sent >= a->limits->auto_messages) return REASON_MESSAGE_LIMIT;
	if (elapsed >= a->limits->auto_ms) return REASON_TIME_LIMIT;
	return run_limit(run, run->sent, elapsed);
}

/* ---- a message -------------------------------------------------------------------------------------------------- */

struct following {
	int64_t ord; /* of the answer */
	struct arena *arena;
	struct str by; /* out: the first message of role user behind it, "" none */
	enum err err;
};

static bool role_is(const struct record *r, struct str role)
{
	struct json_doc *doc = NULL;
	struct str text;
	bool is = json_parse(r->fields, &doc, NULL) == OK && json_str(json_get(json_root(doc), "role"), &text) &&
		  str_eq(text, role);
	json_free(doc);
	return is;
}

static enum err look_behind(void *ctx, const struct record *r)
{
	struct following *f = ctx;
	if (r->ord > f->ord && !r->deleted && role_is(r, STR("user"))) f->by = arena_str(f->arena, r->name);
	return r->ord > f->ord ? OK : ERR_EXISTS; /* ends the walk */
}

/* The answer that is to be followed; its place. */
static enum err find_answer(const struct automatic *a, uint32_t zone, int64_t conv, struct str id, int64_t *out_ord)
{
	struct record r;
	enum err e = txn_get(a->t, zone, RT_MESSAGE, id, &r);
	if (e == ERR_NOT_FOUND || (e == OK && (r.deleted || r.conv != conv)))
		return err_set(&a->op->info, ERR_NOT_FOUND, "the conversation has no message %.*s", STR_ARG(id));
	if (e != OK) return e;
	if (!role_is(&r, STR("assistant")))
		return err_set(&a->op->info, ERR_BAD_FIELD, "\"parent\" of an automatic message must be an answer");
	*out_ord = r.ord;
	return OK;
}

static enum err judge_answer(const struct automatic *a, const struct run *run, uint32_t zone, int64_t conv,
			     const struct automatic_message *m, struct automatic_refusal *out)
{
	struct following f = {.arena = txn_arena(a->t), .by = STR("")};
	if (m->parent.p == NULL) {
		if (run->sent == 0) return OK;
		return err_set(&a->op->info, ERR_BAD_FIELD,
			       "an automatic message names in \"parent\" the answer it follows; only a run's first may "
			       "go without");
	}
	enum err e = find_answer(a, zone, conv, m->parent, &f.ord);
	if (e == OK && f.ord <= run->answered_ord) {
		bool is_last = f.ord == run->answered_ord;
		out->message_id = arena_str(txn_arena(a->t), is_last ? run->last_message : STR(""));
		return ERR_ANSWERED;
	}
	if (e == OK) e = txn_messages(a->t, zone, conv, 0, LOOK_BACK, look_behind, &f);
	if (e != OK && e != ERR_EXISTS) return e;
	out->message_id = f.by;
	return f.by.n > 0 ? ERR_ANSWERED : OK;
}

enum err automatic_judge(const struct automatic *a, const struct session *s, uint32_t zone, int64_t conv,
			 const struct automatic_message *m, struct automatic_refusal *out)
{
	struct held_run h;
	*out = (struct automatic_refusal){.message_id = STR("")};
	enum err e = take(s, &h);
	if (e != OK) return e;
	*out = (struct automatic_refusal){h.run.state, h.run.reason, h.run.sent, STR("")};
	if (h.run.state != RUN_RUNNING) {
		e = ERR_AUTO_STOPPED;
	} else if ((out->reason = limit_reached(a, &h.run)) != REASON_NONE) {
		e = err_set(&a->op->info, ERR_AUTO_STOPPED, "the automatic run has reached its %s",
			    out->reason == REASON_TIME_LIMIT ? "time limit" : "message limit");
	} else {
		e = judge_answer(a, &h.run, zone, conv, m, out);
	}
	json_free(h.doc);
	return e;
}

enum err automatic_sent(const struct automatic *a, struct record *r, struct session *s,
			const struct automatic_message *m)
{
	struct held_run h;
	int64_t ord = 0;
	enum err e = take(s, &h);
	if (e == OK && m->parent.p != NULL) e = find_answer(a, r->zone, r->conv, m->parent, &ord);
	if (e == OK) e = note_driver(a, r, s, &h.run);
	if (e == OK) {
		run_settle(&h.run, &a->clock);
		h.run.sent++;
		h.run.last_message = m->id;
		h.run.answered = m->parent.p != NULL ? m->parent : STR("");
		h.run.answered_ord = ord;
		e = write_step(a, r, s, &h.run,
			       &(struct step){.action = "sent",
					      .device_id = m->device_id,
					      .message_id = m->id,
					      .answer_id = h.run.answered});
	}
	enum run_reason limit = limit_reached(a, &h.run);
	if (e == OK && limit != REASON_NONE) e = end_run(a, r, s, &h.run, limit, m->device_id);
	if (e == OK) put_back(a, s, &h);
	if (e == OK) e = save_session(a, r, s);
	json_free(h.doc);
	return e;
}

/* ---- what is asked of a run ------------------------------------------------------------------------------------- */

static enum err start(const struct automatic *a, struct cmd_automatic *c, struct held_run *h, struct str device_id)
{
	struct run *run = &h->run;
	struct json_doc *params = NULL;
	if (c->session.is_killed) {
		enum err e = session_newest(a->t, c->record.conv, &c->session.next_id);
		if (e != OK) return e;
		return err_set(&c->op.info, ERR_SESSION_KILLED, "session %.*s was cleared; the current one is %.*s",
			       STR_ARG(c->session_id), STR_ARG(c->session.next_id));
	}
	if (run->state == RUN_RUNNING || run->state == RUN_PAUSED)
		return err_set(&c->op.info, ERR_BAD_STATE, "an automatic run is %.*s in this session; stop it first",
			       STR_ARG(run_state_name(run->state)));
	if (c->params.p != NULL && json_parse(c->params, &params, NULL) != OK) return ERR_CORRUPT;
	const struct limits *l = c->limits;
	*run = (struct run){.state = RUN_RUNNING,
			    .mode = c->mode,
			    .number = run->number + 1,
			    .steps = run->steps,
			    .max_messages = c->max_messages > 0 ? c->max_messages : l->auto_messages,
			    .max_ms = c->max_ms > 0 ? c->max_ms : l->auto_ms,
			    .all = c->all,
			    .started_ms = txn_now_ms(a->t),
			    .started_by = device_id,
			    .driver = c->session.primary,
			    .term = c->session.term,
			    .params = json_root(params),
			    .since_wall = c->clock.wall_ms,
			    .since = c->clock.boot_ms,
			    .owner = c->clock.incarnation};
	enum err e = write_step(a, &c->record, &c->session, run,
				&(struct step){.action = "started", .device_id = device_id});
	if (e == OK) put_back(a, &c->session, h);
	json_free(params);
	return e;
}

/* Running to paused, or paused to running. */
static enum err turn(const struct automatic *a, struct cmd_automatic *c, struct run *run, struct str device_id)
{
	bool is_pause = c->action == AUTOMATIC_PAUSE;
	run_settle(run, &a->clock);
	run->state = is_pause ? RUN_PAUSED : RUN_RUNNING;
	run->reason = is_pause ? c->reason : REASON_NONE;
	return write_step(a, &c->record, &c->session, run,
			  &(struct step){.action = is_pause ? "paused" : "resumed",
					 .reason = run->reason,
					 .device_id = device_id});
}

/* Changes the run, or leaves *changed false. */
static enum err act(const struct automatic *a, struct cmd_automatic *c, struct held_run *h, struct str device_id,
		    bool *changed)
{
	struct run *run = &h->run;
	bool goes_on = run->state == RUN_RUNNING || run->state == RUN_PAUSED;
	enum err e = OK;
	*changed = true;
	if (c->action == AUTOMATIC_START) return start(a, c, h, device_id);
	if (c->action == AUTOMATIC_EXPIRE) c->reason = limit_reached(a, run);
	if (c->is_driver && (!str_eq(c->session.primary, device_id) || c->session.term != c->term))
		return ERR_NOT_PRIMARY;
	if (c->action == AUTOMATIC_LOOK ||
	    (c->action == AUTOMATIC_EXPIRE && (run->state != RUN_RUNNING || c->reason == REASON_NONE)) ||
	    (c->action == AUTOMATIC_STOP && run->state == RUN_STOPPED) ||
	    (c->action == AUTOMATIC_PAUSE && run->state == RUN_PAUSED) ||
	    (c->action == AUTOMATIC_RESUME && run->state == RUN_RUNNING)) {
		*changed = false;
		return OK;
	}
	if (!goes_on) return ERR_AUTO_STOPPED;
	e = note_driver(a, &c->record, &c->session, run);
	if (e != OK) return e;
	if (c->action == AUTOMATIC_STOP || c->action == AUTOMATIC_EXPIRE)
		e = end_run(a, &c->record, &c->session, run, c->reason, device_id);
	else e = turn(a, c, run, device_id);
	if (e == OK) put_back(a, &c->session, h);
	return e;
}

enum err cmd_automatic_run(struct txn *t, struct store_op *op)
{
	struct cmd_automatic *c = CONTAINER_OF(op, struct cmd_automatic, op);
	struct automatic a = {t, op, c->limits, c->clock};
	struct held_run h = {0};
	const struct principal *who = NULL;
	struct str device_id = STR("");
	bool changed = false;
	c->run = STR_NONE;
	enum err e = session_find(t, c->user, c->session_id, &c->record, &c->session, &op->info);
	if (e == OK && op->actor != 0) e = txn_actor(t, &who);
	if (e == OK) e = take(&c->session, &h);
	if (e != OK) return e;
	if (who != NULL) device_id = who->device_id;
	c->run = c->session.automatic;
	e = act(&a, c, &h, device_id, &changed);
	if (e == OK && changed) {
		e = save_session(&a, &c->record, &c->session);
		c->run = c->session.automatic;
	}
	json_free(h.doc);
	return e;
}

enum err automatic_end(const struct automatic *a, const struct record *r, struct session *s, enum run_reason reason,
		       struct str device_id)
{
	struct held_run h;
	enum err e = take(s, &h);
	if (e == OK && (h.run.state == RUN_RUNNING || h.run.state == RUN_PAUSED)) {
		e = end_run(a, r, s, &h.run, reason, device_id);
		if (e == OK) put_back(a, s, &h);
	}
	json_free(h.doc);
	return e;
}
