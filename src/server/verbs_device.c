/* device:list, device:get, device:revoke: a user's own devices. */
#include "base/clock.h"
#include "server/call.h"

/* ---- device:list ------------------------------------------------------------------------------------------------ */

struct listed {
	struct str name, fields;
};

struct listing {
	struct store_op op;
	struct call *call;
	int64_t user;
	struct listed *list; /* in the op's arena */
	size_t n, cap;
	struct sync_stored *synced; /* [n], how far they have come */
};

static enum err add_device(void *ctx, const struct record *r)
{
	struct listing *v = ctx;
	if (v->n == v->cap) {
		v->cap = MAX(v->cap * 2, (size_t)16);
		void *more = arena_alloc(&v->op.arena, xmul(v->cap, sizeof *v->list));
		if (v->n > 0) memcpy(more, v->list, v->n * sizeof *v->list);
		v->list = more;
	}
	v->list[v->n].name = arena_str(&v->op.arena, r->name);
	v->list[v->n++].fields = arena_str(&v->op.arena, r->fields);
	return OK;
}

static enum err listing_run(struct txn *t, struct store_op *op)
{
	struct listing *v = CONTAINER_OF(op, struct listing, op);
	uint32_t zone;
	struct query q = {.type = STR("Device"), .limit = 1000};
	enum err e = txn_zone(t, v->user, ZONE_HOME, false, &zone);
	do
		if (e == OK) e = txn_query(t, zone, &q, add_device, v, &q.cursor, &op->info);
	while (e == OK && q.cursor.p != NULL);
	v->synced = arena_zalloc(txn_arena(t), xmul(MAX(v->n, (size_t)1), sizeof *v->synced));
	for (size_t i = 0; e == OK && i < v->n; i++) e = sync_read(t, zone, v->list[i].name, &v->synced[i]);
	return e;
}

static void listing_done(struct store_op *op)
{
	struct listing *v = op->ctx;
	struct call *c = v->call;
	if (op->err != OK) {
		call_fail(c, op->err, &op->info, STR_NONE);
	} else {
		struct jw w = call_begin(c, "device:list");
		jw_key(&w, "devices");
		jw_arr(&w);
		for (size_t i = 0; i < v->n; i++) {
			jw_obj(&w);
			device_json(c->user, &w, v->list[i].name, v->list[i].fields);
			sync_write(c->user, &w, v->list[i].name, v->synced, v->n, i);
			jw_obj_end(&w);
		}
		jw_arr_end(&w);
		call_reply(c, &w);
	}
	store_op_release(op);
	free(v);
}

void verb_device_list(struct call *c)
{
	struct listing *v = xcalloc(1, sizeof *v);
	store_op_init(&v->op, listing_run, listing_done, c->principal, clock_wall_ms());
	v->op.ctx = v;
	v->call = c;
	v->user = c->user->user;
	store_read(c->server->store, &v->op);
}

/* ---- device:get ------------------------------------------------------------------------------------------------- */

struct getting {
	struct store_op op;
	struct call *call;
	int64_t user;
	struct str device_id;
	struct record rec; /* out */
};

static bool want_device(struct call *c, struct str *id)
{
	struct errinfo info = {0};
	if (!json_want_str(c->in, "deviceId", 0, id, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		return false;
	}
	if (name_is_valid(*id)) return true;
	(void)err_set(&info, ERR_BAD_FIELD, "\"deviceId\" must be 1 to %d letters, digits or ._-:@+", NAME_MAX_LEN);
	call_fail(c, ERR_BAD_FIELD, &info, STR_NONE);
	return false;
}

static enum err getting_run(struct txn *t, struct store_op *op)
{
	struct getting *g = CONTAINER_OF(op, struct getting, op);
	uint32_t zone;
	enum err e = txn_zone(t, g->user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(t, zone, RT_DEVICE, g->device_id, &g->rec);
	if (e == OK && g->rec.deleted) e = ERR_NOT_FOUND;
	return e == ERR_NOT_FOUND ? err_set(&op->info, e, "there is no device %.*s", STR_ARG(g->device_id)) : e;
}

static void write_session_id(void *ctx, struct str id) { jw_str(ctx, id); }

static void getting_done(struct store_op *op)
{
	struct getting *g = op->ctx;
	struct call *c = g->call;
	if (op->err != OK) {
		call_fail(c, op->err, &op->info, STR_NONE);
	} else {
		struct jw w = call_begin(c, "device:state");
		device_json(c->user, &w, g->rec.name, g->rec.fields);
		jw_ktime(&w, "pairedAt", g->rec.created_ms);
		jw_key(&w, "sessions");
		jw_arr(&w);
		seats_each_session(c->server->seats, c->user->user, g->rec.name, write_session_id, &w);
		jw_arr_end(&w);
		call_reply(c, &w);
	}
	store_op_release(op);
	free(g);
}

void verb_device_get(struct call *c)
{
	struct str id;
	if (!want_device(c, &id)) return;
	struct getting *g = xcalloc(1, sizeof *g);
	store_op_init(&g->op, getting_run, getting_done, c->principal, clock_wall_ms());
	g->op.ctx = g;
	g->call = c;
	g->user = c->user->user;
	g->device_id = id;
	store_read(c->server->store, &g->op);
}

/* ---- device:revoke ---------------------------------------------------------------------------------------------- */

struct revoking {
	struct cmd_revoke cmd;
	struct server *server;
	struct call *call;
};

static void revoking_done(struct store_op *op)
{
	struct revoking *g = op->ctx;
	struct call *c = g->call;
	struct server *s = g->server;
	if (op->err != OK) {
		call_fail(c, op->err, &op->info, STR_NONE);
	} else {
		if (s->journal != NULL) journal_event(s->journal, "device.revoked", EVS("deviceId", g->cmd.device_id));
		/* The answer first: a device may revoke itself. */
		struct jw w = call_begin(c, "device:revoked");
		jw_kstr(&w, "deviceId", g->cmd.device_id);
		call_reply(c, &w);
		auth_kick(s, g->cmd.out_user, g->cmd.out_principal);
	}
	store_op_release(op);
	free(g);
}

void verb_device_revoke(struct call *c)
{
	struct str id;
	if (!want_device(c, &id) || call_refuse_busy(c)) return;
	struct revoking *g = xcalloc(1, sizeof *g);
	store_op_init(&g->cmd.op, cmd_revoke_run, revoking_done, c->principal, clock_wall_ms());
	g->cmd.op.ctx = g;
	g->cmd.op.bytes = sizeof *g;
	g->server = c->server;
	g->call = c;
	g->cmd.user_no = c->user->user;
	g->cmd.device_id = arena_str(&g->cmd.op.arena, id);
	store_submit(c->server->store, &g->cmd.op);
}
