/* Experiments as records: what runs in the output directory, for the devices of the user whose experiments these are.
 *
 * Looking is the mirror's (lab/mirror.h), on libuv's pool, one look at a time and the next one experimentLookMs after
 * the last timer; a look that takes longer only makes them rarer. Between two looks its news are saved here: for each
 * experiment one command at a time, so that what changes meanwhile goes into the next one. A save that the store could
 * not take (a full disk) is tried again after the next look.
 *
 * Whose they are is decided in the command that makes a record, and the record stays with that user: labUser, else the
 * only user there is, else nobody's. What was open when the daemon ended is followed to its end by the next one. */
#include "base/clock.h"
#include "lab/manifest.h"
#include "lab/mirror.h"
#include "server/server.h"

struct saving {
	struct store_op op;
	struct server *server;
	struct mirrored *of;
	struct str id, state, presence, lab_user; /* in the op's arena */
	int64_t user;                             /* the owner; 0 is to be found */
	int64_t owner;                            /* out: 0 nobody */
	STAILQ_ENTRY(saving) link;
};

struct experiments {
	struct server *server;
	struct mirror *mirror;
	uv_timer_t timer;
	uv_work_t work;
	bool is_looking, told_nobody;
	STAILQ_HEAD(, saving) again; /* what could not be saved */
};

/* ---- the record -------------------------------------------------------------------------------------------------- */

struct counting {
	int64_t user;
	size_t n;
};

static enum err count_user(void *ctx, const struct user_row *u)
{
	struct counting *c = ctx;
	if (u->disabled) return OK;
	c->user = u->user;
	c->n++;
	return OK;
}

/* 0: nobody. */
static enum err find_owner(struct txn *t, struct str lab_user, int64_t *out)
{
	struct counting c = {0};
	struct user_row u;
	enum err e;
	*out = 0;
	if (lab_user.n > 0) {
		e = txn_user_find(t, lab_user, &u);
		if (e == OK) *out = u.user;
		return e == ERR_NOT_FOUND ? OK : e;
	}
	e = txn_users(t, count_user, &c);
	if (e == OK && c.n == 1) *out = c.user;
	return e;
}

/* Both pieces of news over what is stored, in the op's arena. */
static enum err patch(struct txn *t, const struct saving *v, struct str stored, struct str *out)
{
	const struct str news[] = {v->state, v->presence};
	enum err e = OK;
	*out = stored;
	for (size_t i = 0; i < ARRAY_LEN(news) && e == OK; i++) {
		struct buf merged = BUF_INIT(BUF_NO_LIMIT);
		if (news[i].n == 0) continue;
		e = fields_patch(*out, news[i], &merged);
		if (e == OK) *out = arena_str(txn_arena(t), buf_str(&merged));
		buf_release(&merged);
	}
	return e;
}

static enum err saving_run(struct txn *t, struct store_op *op)
{
	struct saving *v = CONTAINER_OF(op, struct saving, op);
	struct record r;
	struct str fields;
	uint32_t zone;
	enum err e = OK;
	v->owner = v->user;
	if (v->owner == 0) e = find_owner(t, v->lab_user, &v->owner);
	if (e != OK || v->owner == 0) return e;
	e = txn_zone(t, v->owner, ZONE_HOME, true, &zone);
	if (e == OK) e = txn_get(t, zone, RT_EXPERIMENT, v->id, &r);
	if (e == ERR_NOT_FOUND) {
		if (v->state.n == 0) return OK; /* there is none, and nothing to make one of */
		r = (struct record){.zone = zone, .type = RT_EXPERIMENT, .name = v->id, .fields = STR("{}")};
		e = OK;
	}
	if (e != OK || r.deleted) return e;
	e = patch(t, v, r.fields, &fields);
	if (e != OK || str_eq(fields, r.fields)) return e;
	r.fields = fields;
	return txn_put(t, &r);
}

static void say_nobody(struct experiments *x)
{
	const char *named = x->server->config->lab_user;
	if (x->told_nobody) return;
	x->told_nobody = true;
	if (named[0] != '\0')
		log_warn("experiments run, and no device sees them: labUser is %.60s, who is no user", named);
	else log_warn("experiments run, and no device sees them: labUser does not say whose they are");
}

static void saving_done(struct store_op *op)
{
	struct saving *v = CONTAINER_OF(op, struct saving, op);
	struct experiments *x = v->server->experiments;
	if (op->err != OK && !v->server->stopping) {
		log_warn("the record of %s could not be saved: %s", v->of->id, err_sentence(&op->info, op->err));
		STAILQ_INSERT_TAIL(&x->again, v, link);
		return;
	}
	v->of->is_saving = false;
	if (op->err == OK && v->owner != 0) v->of->user = v->owner;
	else if (op->err == OK) say_nobody(x);
	store_op_release(op);
	free(v);
}

static void submit(struct saving *v, struct str id, struct str state, struct str presence)
{
	struct server *s = v->server;
	store_op_init(&v->op, saving_run, saving_done, 0, clock_wall_ms());
	v->op.repeatable = true;
	v->op.bytes = sizeof *v + state.n + presence.n;
	v->id = arena_str(&v->op.arena, id);
	v->state = arena_str(&v->op.arena, state);
	v->presence = arena_str(&v->op.arena, presence);
	v->lab_user = str_c(s->config->lab_user);
	store_submit(s->store, &v->op);
}

/* The same once more, in a command of its own. */
static void save_again(struct experiments *x)
{
	STAILQ_HEAD(, saving) list = STAILQ_HEAD_INITIALIZER(list);
	STAILQ_CONCAT(&list, &x->again);
	for (struct saving *old; (old = STAILQ_FIRST(&list)) != NULL;) {
		STAILQ_REMOVE_HEAD(&list, link);
		struct saving *v = xcalloc(1, sizeof *v);
		*v = (struct saving){.server = old->server, .of = old->of, .user = old->user};
		submit(v, old->id, old->state, old->presence);
		store_op_release(&old->op);
		free(old);
	}
}

static void save_news(struct experiments *x)
{
	for (struct mirrored *e = mirror_next(x->mirror, NULL), *next; e != NULL; e = next) {
		next = mirror_next(x->mirror, e);
		if (e->is_saving) continue;
		struct saving *v = xcalloc(1, sizeof *v);
		v->server = x->server;
		v->of = e;
		v->user = e->user;
		e->is_saving = true;
		submit(v, str_c(e->id), buf_str(&e->state), buf_str(&e->presence));
		mirror_took(x->mirror, e);
	}
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

static void look_work(uv_work_t *w) { mirror_look(((struct experiments *)w->data)->mirror); }

static void look_done(uv_work_t *w, int status)
{
	struct experiments *x = w->data;
	(void)status;
	x->is_looking = false;
	if (x->server->stopping) return;
	save_again(x);
	save_news(x);
}

static void on_timer(uv_timer_t *t)
{
	struct experiments *x = t->data;
	if (x->is_looking) return;
	x->is_looking = true;
	x->work.data = x;
	(void)uv_queue_work(&x->server->loop, &x->work, look_work, look_done);
}

/* ---- what there is from before ----------------------------------------------------------------------------------- */

struct loading {
	struct store_op op;
	struct experiments *of;
	struct txn *t;
	int64_t user;
	struct known {
		struct str id;
		int64_t user;
		bool is_open, is_gone;
		struct known *next;
	} * list; /* in the op's arena */
};

static enum err load_one(void *ctx, const struct record *r)
{
	struct loading *l = ctx;
	struct json_doc *doc = NULL;
	struct str status = STR("");
	enum experiment_status known;
	if (json_parse(r->fields, &doc, NULL) != OK) return ERR_CORRUPT;
	const struct json *fields = json_root(doc);
	struct known *k = arena_zalloc(txn_arena(l->t), sizeof *k);
	*k = (struct known){.id = r->name, .user = l->user, .next = l->list};
	(void)json_bool(json_get(fields, "gone"), &k->is_gone);
	(void)json_str(json_get(fields, "status"), &status);
	k->is_open = experiment_status_parse(status, &known) && known <= EXPERIMENT_PAUSED;
	l->list = k;
	json_free(doc);
	return OK;
}

static enum err load_user(void *ctx, const struct user_row *u)
{
	struct loading *l = ctx;
	struct query q = {.type = record_type_name(RT_EXPERIMENT), .cursor = STR_NONE};
	uint32_t zone;
	enum err e = txn_zone(l->t, u->user, ZONE_HOME, false, &zone);
	if (e != OK) return e == ERR_NOT_FOUND ? OK : e;
	l->user = u->user;
	do {
		struct str cursor = STR_NONE;
		e = txn_query(l->t, zone, &q, load_one, l, &cursor, &l->op.info);
		q.cursor = cursor;
	} while (e == OK && q.cursor.p != NULL);
	return e;
}

static enum err load_run(struct txn *t, struct store_op *op)
{
	struct loading *l = CONTAINER_OF(op, struct loading, op);
	l->t = t;
	l->list = NULL;
	return txn_users(t, load_user, l);
}

static void load_done(struct store_op *op)
{
	struct loading *l = CONTAINER_OF(op, struct loading, op);
	struct experiments *x = l->of;
	uint64_t every_ms = (uint64_t)x->server->config->limits.experiment_look_ms;
	if (op->err != OK) log_warn("experiments are not looked at: %s", err_sentence(&op->info, op->err));
	for (const struct known *k = l->list; op->err == OK && k != NULL; k = k->next)
		mirror_known(x->mirror, k->id, k->user, k->is_open, k->is_gone);
	if (op->err == OK && !x->server->stopping) uv_timer_start(&x->timer, on_timer, 0, every_ms);
	store_op_release(op);
	free(l);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

struct experiments *experiments_new(struct server *s)
{
	struct experiments *x = xcalloc(1, sizeof *x);
	x->server = s;
	x->mirror = mirror_new(place_output(s->config, NULL), &s->config->limits);
	STAILQ_INIT(&x->again);
	uv_timer_init(&s->loop, &x->timer);
	x->timer.data = x;
	return x;
}

void experiments_start(struct server *s)
{
	struct loading *l = xcalloc(1, sizeof *l);
	store_op_init(&l->op, load_run, load_done, 0, clock_wall_ms());
	l->of = s->experiments;
	store_read(s->store, &l->op);
}

void experiments_stop(struct server *s) { uv_timer_stop(&s->experiments->timer); }

void experiments_free(struct experiments *x)
{
	if (x == NULL) return;
	for (struct saving *v; (v = STAILQ_FIRST(&x->again)) != NULL;) {
		STAILQ_REMOVE_HEAD(&x->again, link);
		store_op_release(&v->op);
		free(v);
	}
	mirror_free(x->mirror);
	free(x);
}

struct mirror *experiments_mirror(const struct experiments *x) { return x->mirror; }
