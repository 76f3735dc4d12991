/* The operator's view of queues: every session that has something in its queue, and one session's queue with what may be
 * done to it. Sessions are found by their id or by their conversation's, of any user unless one is named. */
#include <uthash.h>

#include "base/clock.h"
#include "device/session.h"
#include "relay/queue.h"
#include "server/operator.h"

/* ---- GET queue: all of them ------------------------------------------------------------------------------------- */

struct queue_row {
	char *key; /* "<user number>/<session id>" */
	int64_t user;
	struct str session_id, conversation_id;
	int64_t running, waiting, dead;
	UT_hash_handle hh;
};

struct survey {
	struct store_op op;
	struct ask *ask;
	struct txn *t;
	struct queue_row *rows;
};

static struct queue_row *row_of(struct survey *v, const struct job_info *job)
{
	struct buf key = BUF_INIT(400);
	struct queue_row *row;
	const struct request *q = &job->request;
	buf_addf(&key, "%lld/%.*s", (long long)job->user, STR_ARG(q->session_id));
	HASH_FIND(hh, v->rows, key.p, key.n, row);
	if (row == NULL) {
		row = xcalloc(1, sizeof *row);
		row->key = buf_take(&key, NULL);
		row->user = job->user;
		row->session_id = q->session_id;
		row->conversation_id = q->conversation_id;
		HASH_ADD_KEYPTR(hh, v->rows, row->key, strlen(row->key), row);
	}
	buf_release(&key);
	return row;
}

static enum err count_request(void *ctx, const struct record *r)
{
	struct survey *v = ctx;
	struct job_info job;
	enum err e = request_load(v->t, r, &job);
	if (e != OK) return e;
	struct queue_row *row = row_of(v, &job);
	row->running += job.request.state == RQ_CLAIMED;
	row->waiting += job.request.state == RQ_QUEUED || job.request.state == RQ_RETRYING;
	row->dead += job.request.state == RQ_FAILED;
	return OK;
}

/* The failed requests of a user. */
static enum err count_dead(void *ctx, const struct user_row *u)
{
	struct survey *v = ctx;
	uint32_t zone;
	struct json_doc *doc = NULL;
	enum err e = txn_zone(v->t, u->user, ZONE_HOME, false, &zone);
	if (e != OK) return e == ERR_NOT_FOUND ? OK : e;
	e = json_parse(STR("[{\"field\":\"state\",\"op\":\"eq\",\"value\":\"failed\"}]"), &doc, NULL);
	struct query q = {.type = record_type_name(RT_REQUEST), .filter = json_root(doc), .cursor = STR_NONE};
	do {
		struct str cursor = STR_NONE;
		if (e == OK) e = txn_query(v->t, zone, &q, count_request, v, &cursor, &v->op.info);
		q.cursor = cursor;
	} while (e == OK && q.cursor.p != NULL);
	json_free(doc);
	return e;
}

static enum err write_row(struct survey *v, struct jw *w, const struct queue_row *row)
{
	struct record r;
	struct session s;
	struct user_row u;
	enum err e = session_find(v->t, row->user, row->session_id, &r, &s, NULL);
	if (e == ERR_NOT_FOUND || (e == OK && s.is_killed)) return OK;
	if (e == OK) e = txn_user_by_number(v->t, row->user, &u);
	if (e != OK) return e;
	jw_obj(w);
	jw_kstr(w, "user", u.name);
	jw_kstr(w, "sessionId", row->session_id);
	jw_kstr(w, "conversationId", row->conversation_id);
	jw_kbool(w, "paused", s.queue_paused);
	jw_kint(w, "running", row->running);
	jw_kint(w, "waiting", row->waiting);
	jw_kint(w, "dead", row->dead);
	jw_obj_end(w);
	return OK;
}

static enum err survey_run(struct txn *t, struct store_op *op)
{
	struct survey *v = CONTAINER_OF(op, struct survey, op);
	struct jw *w = &v->ask->w;
	struct queue_row *row, *tmp;
	v->t = t;
	enum err e = txn_open_requests(t, 0, 0, count_request, v);
	if (e == OK) e = txn_users(t, count_dead, v);
	jw_obj(w);
	jw_key(w, "queues");
	jw_arr(w);
	HASH_ITER (hh, v->rows, row, tmp) {
		if (e == OK) e = write_row(v, w, row);
		HASH_DEL(v->rows, row);
		free(row->key);
		free(row);
	}
	jw_arr_end(w);
	jw_obj_end(w);
	return e;
}

static void survey_done(struct store_op *op)
{
	struct survey *v = CONTAINER_OF(op, struct survey, op);
	ask_end(v->ask, op->err, &op->info);
	store_op_release(op);
	free(v);
}

void ask_queues(struct server *s, struct ask *a)
{
	struct survey *v = xcalloc(1, sizeof *v);
	v->ask = a;
	store_op_init(&v->op, survey_run, survey_done, 0, clock_wall_ms());
	store_read(s->store, &v->op);
}

/* ---- POST queue: one of them ------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	enum queue_verb verb;
} actions[] = {{"list", QUEUE_LIST},   {"pause", QUEUE_PAUSE},   {"resume", QUEUE_RESUME},
	       {"clear", QUEUE_CLEAR}, {"remove", QUEUE_REMOVE}, {"reorder", QUEUE_REORDER}};

struct one {
	struct cmd_queue cmd; /* first: its op is the command */
	struct ask *ask;
	struct txn *t;
	struct str id, user; /* user: STR_NONE for any; views of the question */
	bool stop_running;
};

/* Looks for the session, or for the conversation, among this user's. */
static enum err find_in(void *ctx, const struct user_row *u)
{
	struct one *o = ctx;
	uint32_t zone;
	struct record r;
	if (o->cmd.user != 0) return OK;
	enum err e = txn_zone(o->t, u->user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(o->t, zone, RT_SESSION, o->id, &r);
	if (e == OK && !r.deleted) {
		o->cmd.user = u->user;
		o->cmd.session_id = o->id;
	}
	if (e == ERR_NOT_FOUND) {
		e = txn_zone(o->t, u->user, ZONE_HOME, false, &zone);
		if (e == OK) e = txn_get(o->t, zone, RT_CONVERSATION, o->id, &r);
		if (e == OK && !r.deleted) {
			o->cmd.user = u->user;
			o->cmd.of_conversation = o->id;
		}
	}
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err one_run(struct txn *t, struct store_op *op)
{
	struct one *o = CONTAINER_OF(op, struct one, cmd.op);
	struct user_row u;
	enum err e = OK;
	o->t = t;
	o->cmd.user = 0;
	o->cmd.of_conversation = STR_NONE;
	if (o->user.p != NULL) {
		e = txn_user_find(t, o->user, &u);
		if (e == ERR_NOT_FOUND) return err_set(&op->info, e, "there is no user %.*s", STR_ARG(o->user));
		if (e == OK) e = find_in(o, &u);
	} else {
		e = txn_users(t, find_in, o);
	}
	if (e == OK && o->cmd.user == 0)
		e = err_set(&op->info, ERR_NOT_FOUND, "there is no session or conversation %.*s", STR_ARG(o->id));
	return e == OK ? cmd_queue_run(t, op) : e;
}

static void one_done(struct store_op *op)
{
	struct one *o = CONTAINER_OF(op, struct one, cmd.op);
	struct ask *a = o->ask;
	struct server *s = a->server;
	if (op->err == OK) {
		jw_obj(&a->w);
		jw_kstr(&a->w, "sessionId", o->cmd.session_id);
		jw_kstr(&a->w, "conversationId", o->cmd.conversation_id);
		queue_write(&a->w, &o->cmd);
		jw_obj_end(&a->w);
		if (o->cmd.verb != QUEUE_LIST) queue_changed(s, &o->cmd, o->stop_running, NULL);
	}
	ask_end(a, op->err, &op->info);
	store_op_release(op);
	free(o);
}

static bool read_one(struct one *o, const struct json *in, struct errinfo *info)
{
	struct str action = STR("list");
	int64_t priority = PRIORITY_NORMAL;
	size_t i = 0;
	if (!json_want_str(in, "id", 0, &o->id, info) || !json_want_str(in, "user", JSON_OPTIONAL, &o->user, info) ||
	    !json_want_str(in, "action", JSON_OPTIONAL, &action, info) ||
	    !json_want_bool(in, "running", JSON_OPTIONAL, &o->stop_running, info))
		return false;
	while (i < ARRAY_LEN(actions) && !str_eq(action, str_c(actions[i].name))) i++;
	if (i == ARRAY_LEN(actions)) {
		(void)err_set(info, ERR_BAD_FIELD, "\"action\" must be list, pause, resume, clear, remove or reorder");
		return false;
	}
	o->cmd.verb = actions[i].verb;
	bool names_one = o->cmd.verb == QUEUE_REMOVE || o->cmd.verb == QUEUE_REORDER;
	if (names_one && !json_want_str(in, "requestId", 0, &o->cmd.request_id, info)) return false;
	if (o->cmd.verb == QUEUE_REORDER &&
	    !json_want_int(in, "priority", 0, PRIORITY_HIGH, PRIORITY_LOW, &priority, info))
		return false;
	o->cmd.priority = (int)priority;
	return true;
}

void ask_queue(struct server *s, struct ask *a)
{
	struct errinfo info = {0};
	struct one *o = xcalloc(1, sizeof *o);
	o->ask = a;
	if (!read_one(o, json_root(a->doc), &info)) {
		ask_end(a, info.err, &info);
		free(o);
		return;
	}
	store_op_init(&o->cmd.op, one_run, one_done, 0, clock_wall_ms());
	o->cmd.op.bytes = sizeof *o;
	o->cmd.op.repeatable = true;
	o->cmd.incarnation = store_incarnation(s->store);
	store_submit(s->store, &o->cmd.op);
}
