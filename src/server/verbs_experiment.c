/* experiment:stop, experiment:pause, experiment:resume: a device asks one that runs. Whose record it is may ask; what comes
 * of it is told by the record. Asking is a signal to its process, sent from libuv's pool. */
#include "base/clock.h"
#include "lab/mirror.h"
#include "server/call.h"

struct asking {
	struct store_op op;
	uv_work_t work;
	struct call *call;
	struct mirror *mirror;
	int64_t user;
	struct str id; /* in the op's arena */
	enum place_ask what;
	enum err err;
	struct errinfo info;
};

static void end(struct asking *a, enum err e, const struct errinfo *info)
{
	if (e != OK) {
		call_fail(a->call, e, info, STR_NONE);
	} else {
		struct jw w = call_begin(a->call, "experiment:ack");
		jw_kstr(&w, "experimentId", a->id);
		call_reply(a->call, &w);
	}
	store_op_release(&a->op);
	free(a);
}

static void ask_work(uv_work_t *w)
{
	struct asking *a = w->data;
	a->err = mirror_tell(a->mirror, a->id, a->what, &a->info);
}

static void ask_done(uv_work_t *w, int status)
{
	struct asking *a = w->data;
	(void)status;
	end(a, a->err, &a->info);
}

static enum err find_run(struct txn *t, struct store_op *op)
{
	struct asking *a = CONTAINER_OF(op, struct asking, op);
	struct record r;
	uint32_t zone;
	enum err e = txn_zone(t, a->user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(t, zone, RT_EXPERIMENT, a->id, &r);
	if (e == OK && r.deleted) e = ERR_NOT_FOUND;
	return e == ERR_NOT_FOUND ? err_set(&op->info, e, "there is no experiment %.*s", STR_ARG(a->id)) : e;
}

static void find_done(struct store_op *op)
{
	struct asking *a = CONTAINER_OF(op, struct asking, op);
	struct server *s = a->call->server;
	enum err e = op->err == OK && s->stopping ? ERR_SHUTTING_DOWN : op->err;
	if (e != OK) {
		end(a, e, &op->info);
		return;
	}
	a->work.data = a;
	(void)uv_queue_work(&s->loop, &a->work, ask_work, ask_done);
}

static void ask(struct call *c, enum place_ask what)
{
	struct errinfo info = {0};
	struct str id;
	if (!json_want_str(c->in, "experimentId", 0, &id, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return;
	}
	struct asking *a = xcalloc(1, sizeof *a);
	store_op_init(&a->op, find_run, find_done, 0, clock_wall_ms());
	a->call = c;
	a->mirror = experiments_mirror(c->server->experiments);
	a->user = c->user->user;
	a->id = arena_str(&a->op.arena, str_n(id.p, MIN(id.n, (size_t)NAME_MAX_LEN)));
	a->what = what;
	store_read(c->server->store, &a->op);
}

void verb_experiment_stop(struct call *c) { ask(c, PLACE_STOP); }
void verb_experiment_pause(struct call *c) { ask(c, PLACE_PAUSE); }
void verb_experiment_resume(struct call *c) { ask(c, PLACE_RESUME); }
