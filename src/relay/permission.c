#include "relay/permission.h"

#include <stdio.h>

#include "base/clock.h"
#include "device/session.h"

/* The nth question of an attempt. */
static struct id name_of(struct str request_id, int64_t attempt, int64_t n)
{
	char label[64];
	(void)snprintf(label, sizeof label, "permission.%lld.%lld", (long long)attempt, (long long)n);
	return id_derive(request_id, label);
}

static struct str state_of(const struct json *fields)
{
	struct str s = STR("");
	(void)json_str(json_get(fields, "state"), &s);
	return s;
}

/* Changes an open one. *out_was: what it was, when it was not open; then nothing changed. */
static enum err close_one(struct txn *t, struct record *r, struct str changes, struct str *out_was)
{
	struct json_doc *doc = NULL;
	struct buf merged = BUF_INIT(BUF_NO_LIMIT);
	if (json_parse(r->fields, &doc, NULL) != OK) return ERR_CORRUPT;
	*out_was = arena_str(txn_arena(t), state_of(json_root(doc)));
	json_free(doc);
	if (!str_eq(*out_was, STR("open"))) return OK;
	enum err e = fields_patch(r->fields, changes, &merged);
	if (e == OK) {
		r->fields = arena_str(txn_arena(t), buf_str(&merged));
		e = txn_put(t, r);
	}
	buf_release(&merged);
	return e;
}

#define EXPIRED STR("{\"state\":\"expired\"}")

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void write_fields(struct txn *t, const struct cmd_permission_ask *c, const struct job_info *job, struct buf *b)
{
	const struct request *q = &job->request;
	struct jw w = JW(b);
	jw_obj(&w);
	jw_kstr(&w, "requestId", job->request_id);
	jw_kstr(&w, "conversationId", q->conversation_id);
	jw_kstr(&w, "sessionId", q->session_id);
	jw_kint(&w, "attempt", c->attempt);
	jw_kstr(&w, "tool", c->tool);
	jw_kraw(&w, "input", c->input);
	jw_ktime(&w, "askedAt", txn_now_ms(t));
	jw_ktime(&w, "expiresAt", txn_now_ms(t) + c->wait_ms);
	jw_kstr(&w, "state", STR("open"));
	jw_obj_end(&w);
}

/* Fields stand in records, records in frames: there, too, they must not be nested too deep. */
static enum err check_fields_nest(struct str fields, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct buf nested = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&nested, "[[[[[[[[%.*s]]]]]]]]", STR_ARG(fields));
	enum err e = json_parse(buf_str(&nested), &doc, NULL);
	json_free(doc);
	buf_release(&nested);
	return e == OK ? OK : err_set(info, ERR_BAD_FIELD, "the tool's input can't be shown");
}

enum err cmd_permission_ask_run(struct txn *t, struct store_op *op)
{
	struct cmd_permission_ask *c = CONTAINER_OF(op, struct cmd_permission_ask, op);
	struct record r, taken, p = {.type = RT_PERMISSION};
	struct job_info job;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	enum err e = txn_get_row(t, c->row, &r);
	if (e == OK) e = request_load(t, &r, &job);
	if (e != OK) return e;
	const struct request *q = &job.request;
	if (q->state != RQ_CLAIMED || q->attempt != c->attempt || q->owner != c->incarnation)
		return err_set(&op->info, ERR_SUPERSEDED, "the attempt that asks is over");
	write_fields(t, c, &job, &b);
	p.fields = arena_str(txn_arena(t), buf_str(&b));
	buf_release(&b);
	e = check_fields_nest(p.fields, &op->info);
	if (e != OK) return e;
	p.zone = job.zone;
	for (int64_t n = 0; e == OK; n++) {
		struct id name = name_of(job.request_id, c->attempt, n);
		p.name = arena_str(txn_arena(t), id_str(&name));
		e = txn_get(t, job.zone, RT_PERMISSION, p.name, &taken);
	}
	c->permission_id = p.name;
	return e == ERR_NOT_FOUND ? txn_put(t, &p) : e;
}

/* ---- answering --------------------------------------------------------------------------------------------------- */

static void write_answer(struct txn *t, const struct cmd_permission_answer *c, struct buf *b)
{
	struct jw w = JW(b);
	jw_obj(&w);
	jw_kstr(&w, "state", c->allow ? STR("allowed") : STR("denied"));
	jw_kstr(&w, "by", c->device_id);
	jw_ktime(&w, "answeredAt", txn_now_ms(t));
	if (c->message.n > 0) jw_kstr(&w, "message", c->message);
	jw_obj_end(&w);
}

/* It is its user's, and its session was not cleared before the device came. */
static enum err find_for(struct txn *t, const struct cmd_permission_answer *c, struct record *out)
{
	struct json_doc *doc = NULL;
	struct str session;
	uint32_t zone;
	bool hidden = false;
	enum err e = txn_zone(t, c->user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(t, zone, RT_PERMISSION, c->permission_id, out);
	if (e == OK && out->deleted) e = ERR_NOT_FOUND;
	if (e == OK && json_parse(out->fields, &doc, NULL) != OK) e = ERR_CORRUPT;
	if (e == OK && json_str(json_get(json_root(doc), "sessionId"), &session))
		e = session_is_hidden(t, zone, session, c->principal, &hidden);
	json_free(doc);
	return e == OK && hidden ? ERR_NOT_FOUND : e;
}

enum err cmd_permission_answer_run(struct txn *t, struct store_op *op)
{
	struct cmd_permission_answer *c = CONTAINER_OF(op, struct cmd_permission_answer, op);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct str was;
	enum err e = find_for(t, c, &c->rec);
	if (e == ERR_NOT_FOUND)
		return err_set(&op->info, e, "there is no permission %.*s", (int)MIN(c->permission_id.n, (size_t)100),
			       c->permission_id.p);
	write_answer(t, c, &b);
	if (e == OK) e = close_one(t, &c->rec, buf_str(&b), &was);
	buf_release(&b);
	if (e != OK || str_eq(was, STR("open"))) return e;
	bool expired = str_eq(was, STR("expired"));
	return err_set(&op->info, expired ? ERR_BAD_STATE : ERR_ANSWERED,
		       "the question is not open any more: it %s %.*s", expired ? "is" : "was", STR_ARG(was));
}

/* ---- not answered ------------------------------------------------------------------------------------------------ */

enum err cmd_permission_expire_run(struct txn *t, struct store_op *op)
{
	struct cmd_permission_expire *c = CONTAINER_OF(op, struct cmd_permission_expire, op);
	struct record request, r;
	struct str was;
	c->expired = false;
	enum err e = txn_get_row(t, c->row, &request);
	if (e == OK) e = txn_get(t, request.zone, RT_PERMISSION, c->permission_id, &r);
	if (e == OK && r.deleted) e = ERR_NOT_FOUND;
	if (e == OK) e = close_one(t, &r, EXPIRED, &was);
	if (e != OK) return e;
	c->expired = str_eq(was, STR("open"));
	return OK;
}

enum err permissions_expire(struct txn *t, const struct job_info *job)
{
	struct record r;
	struct str was;
	for (int64_t n = 0;; n++) {
		struct id name = name_of(job->request_id, job->request.attempt, n);
		enum err e = txn_get(t, job->zone, RT_PERMISSION, id_str(&name), &r);
		if (e == ERR_NOT_FOUND) return OK;
		if (e == OK && !r.deleted) e = close_one(t, &r, EXPIRED, &was);
		if (e != OK) return e;
	}
}
