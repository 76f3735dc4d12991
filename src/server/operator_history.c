/* What became of what people wrote: the revisions of a record, and putting one back. Records and revisions are found by
 * their names, among all users unless one is named. */
#include "base/clock.h"
#include "relay/edit.h"
#include "server/operator.h"

/* Calls fn for the zone of the named user, or of each; an error ends it. ERR_NOT_FOUND: there is no such user. */
struct zones_walk {
	struct txn *t;
	struct errinfo *info;
	enum err (*fn)(void *ctx, struct txn *t, const struct user_row *u, uint32_t zone);
	void *ctx;
};

static enum err visit_user(void *ctx, const struct user_row *u)
{
	struct zones_walk *k = ctx;
	uint32_t zone;
	enum err e = txn_zone(k->t, u->user, ZONE_HOME, false, &zone);
	if (e != OK) return e == ERR_NOT_FOUND ? OK : e;
	return k->fn(k->ctx, k->t, u, zone);
}

static enum err visit_zones(struct zones_walk *k, struct str user)
{
	struct user_row u;
	if (user.p == NULL) return txn_users(k->t, visit_user, k);
	enum err e = txn_user_find(k->t, user, &u);
	if (e == ERR_NOT_FOUND)
		return err_set(k->info, e, "there is no user %.*s", (int)MIN(user.n, (size_t)60), user.p);
	return e == OK ? visit_user(k, &u) : e;
}

/* ---- GET history ------------------------------------------------------------------------------------------------ */

struct revision_row {
	struct record rec;
	struct str at, stamp, user, device_name;
};

struct listing {
	struct store_op op;
	struct ask *ask;
	struct str id, user;
	struct txn *t;
	const struct user_row *of;
	uint32_t zone;
	bool by_conversation; /* looking for the messages of a conversation */
	bool is_known;        /* there is a record of that name */
	struct revision_row *list;
	size_t n, cap;
};

static struct str member(const struct json *fields, const char *key)
{
	struct str s = STR("");
	(void)json_str(json_get(fields, key), &s);
	return s;
}

static struct str device_name(struct listing *v, struct str device_id)
{
	struct record r;
	struct json_doc *doc = NULL;
	struct str name = STR("");
	if (device_id.n == 0) return STR("daemon");
	if (txn_get(v->t, v->zone, RT_DEVICE, device_id, &r) == OK && json_parse(r.fields, &doc, NULL) == OK)
		name = arena_str(&v->op.arena, member(json_root(doc), "name"));
	json_free(doc);
	return name;
}

static enum err add_revision(void *ctx, const struct record *r)
{
	struct listing *v = ctx;
	struct arena *arena = &v->op.arena;
	struct json_doc *doc = NULL;
	if (json_parse(r->fields, &doc, NULL) != OK) return ERR_CORRUPT;
	const struct json *f = json_root(doc);
	/* A conversation's own revisions carry its id twice. */
	if (v->by_conversation && str_eq(member(f, "recordName"), v->id)) goto out;
	if (v->n == v->cap) {
		v->cap = MAX(v->cap * 2, (size_t)32);
		struct revision_row *more = arena_alloc(arena, xmul(v->cap, sizeof *more));
		if (v->n > 0) memcpy(more, v->list, v->n * sizeof *more);
		v->list = more;
	}
	struct revision_row *row = &v->list[v->n++];
	row->rec = *r;
	row->rec.name = arena_str(arena, r->name);
	row->rec.fields = arena_str(arena, r->fields);
	row->at = arena_str(arena, member(f, "at"));
	row->stamp = arena_str(arena, member(f, "stamp"));
	row->user = arena_str(arena, v->of->name);
	row->device_name = device_name(v, member(f, "deviceId"));
out:
	json_free(doc);
	return OK;
}

static enum err query_by(struct listing *v, const char *field)
{
	struct buf filter = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&filter);
	struct json_doc *doc = NULL;
	jw_arr(&w);
	jw_obj(&w);
	jw_kstr(&w, "field", str_c(field));
	jw_kstr(&w, "op", STR("eq"));
	jw_kstr(&w, "value", v->id);
	jw_obj_end(&w);
	jw_arr_end(&w);
	enum err e = json_parse(buf_str(&filter), &doc, NULL);
	struct query q = {.type = record_type_name(RT_REVISION), .filter = json_root(doc)};
	do
		if (e == OK) e = txn_query(v->t, v->zone, &q, add_revision, v, &q.cursor, &v->op.info);
	while (e == OK && q.cursor.p != NULL);
	json_free(doc);
	buf_release(&filter);
	return e;
}

static enum err list_zone(void *ctx, struct txn *t, const struct user_row *u, uint32_t zone)
{
	static const uint32_t types[] = {RT_MESSAGE, RT_CONVERSATION, RT_PROJECT, RT_PRESET};
	struct listing *v = ctx;
	struct record r;
	v->t = t;
	v->of = u;
	v->zone = zone;
	v->by_conversation = false;
	enum err e = query_by(v, "recordName");
	v->by_conversation = true;
	if (e == OK) e = query_by(v, "conversationId");
	for (size_t i = 0; i < ARRAY_LEN(types) && e == OK && !v->is_known; i++) {
		e = txn_get(t, zone, types[i], v->id, &r);
		v->is_known = e == OK;
		if (e == ERR_NOT_FOUND) e = OK;
	}
	return e;
}

/* Newest first; of one moment, the greater stamp. */
static int compare_rows(const void *a, const void *b)
{
	const struct revision_row *x = a, *y = b;
	int c = str_cmp(y->at, x->at);
	if (c == 0) c = str_cmp(y->stamp, x->stamp);
	return c != 0 ? c : str_cmp(x->rec.name, y->rec.name);
}

static enum err write_row(struct jw *w, const struct revision_row *row)
{
	struct json_doc *doc = NULL;
	if (json_parse(row->rec.fields, &doc, NULL) != OK) return ERR_CORRUPT;
	jw_obj(w);
	jw_kstr(w, "revision", row->rec.name);
	jw_kstr(w, "user", row->user);
	jw_kstr(w, "deviceName", row->device_name);
	for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
		jw_key_str(w, it.key);
		jw_value(w, it.val);
	}
	jw_obj_end(w);
	json_free(doc);
	return OK;
}

static enum err listing_run(struct txn *t, struct store_op *op)
{
	struct listing *v = CONTAINER_OF(op, struct listing, op);
	struct jw *w = &v->ask->w;
	enum err e = visit_zones(&(struct zones_walk){t, &op->info, list_zone, v}, v->user);
	if (e == OK && v->n == 0 && !v->is_known)
		e = err_set(&op->info, ERR_NOT_FOUND, "nothing is called %.*s", (int)MIN(v->id.n, (size_t)80), v->id.p);
	if (v->n > 0) qsort(v->list, v->n, sizeof *v->list, compare_rows);
	jw_obj(w);
	jw_key(w, "revisions");
	jw_arr(w);
	for (size_t i = 0; i < v->n && e == OK; i++) e = write_row(w, &v->list[i]);
	jw_arr_end(w);
	jw_obj_end(w);
	return e;
}

static void listing_done(struct store_op *op)
{
	struct listing *v = CONTAINER_OF(op, struct listing, op);
	ask_end(v->ask, op->err, &op->info);
	store_op_release(op);
	free(v);
}

void ask_history(struct server *s, struct ask *a)
{
	struct errinfo info = {0};
	struct str id = http_query(a->req, "id");
	if (id.p == NULL || !name_is_valid(id)) {
		ask_end(a, err_set(&info, ERR_BAD_FIELD, "the query needs the \"id\" of a record"), &info);
		return;
	}
	struct listing *v = xcalloc(1, sizeof *v);
	v->ask = a;
	store_op_init(&v->op, listing_run, listing_done, 0, clock_wall_ms());
	v->id = arena_str(&v->op.arena, id);
	v->user = arena_str(&v->op.arena, http_query(a->req, "user"));
	store_read(s->store, &v->op);
}

/* ---- POST history/restore --------------------------------------------------------------------------------------- */

struct restoring {
	struct cmd_edit cmd; /* first: its op is the command; used when it is a message's text */
	struct ask *ask;
	struct str revision, user;
	bool found;
	int64_t user_no;
	struct record rev;
	struct json_doc *fields, *base; /* the edit */
};

static enum err find_revision(void *ctx, struct txn *t, const struct user_row *u, uint32_t zone)
{
	struct restoring *v = ctx;
	if (v->found) return OK;
	enum err e = txn_get(t, zone, RT_REVISION, v->revision, &v->rev);
	if (e == ERR_NOT_FOUND || (e == OK && v->rev.deleted)) return OK;
	v->found = e == OK;
	v->user_no = u->user;
	return e;
}

/* The revision's value as an edit, which had seen what is stored now: that becomes a revision in its turn. */
static enum err make_edit(struct restoring *v, const struct record *r, const struct json *rev)
{
	struct str field = member(rev, "field");
	struct json_doc *stored = NULL;
	struct buf value = BUF_INIT(BUF_NO_LIMIT), fields = BUF_INIT(BUF_NO_LIMIT), base = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&base);
	json_write(&value, json_get(rev, "value"));
	merge_wrap(r->type, field, buf_str(&value), &fields);
	enum err e = json_parse(r->fields, &stored, NULL);
	jw_obj(&w);
	jw_key_str(&w, field);
	jw_str(&w, merge_stamp_of(json_root(stored), field));
	jw_obj_end(&w);
	if (e == OK) e = json_parse(buf_str(&fields), &v->fields, NULL);
	if (e == OK) e = json_parse(buf_str(&base), &v->base, NULL);
	json_free(stored);
	buf_release(&value);
	buf_release(&fields);
	buf_release(&base);
	return e;
}

/* Over a tombstone: a new life, where the type has that. */
static enum err revive(struct txn *t, struct restoring *v, const struct record *r, struct str type)
{
	struct save_item item = {.type = type, .name = r->name, .fields = json_root(v->fields), .trusted = true};
	if (!record_may(r->type, RIGHT_REVIVE))
		return err_set(&v->cmd.op.info, ERR_CONFLICT,
			       "%.*s %.*s was deleted and its id is taken for ever; the revision can still be read",
			       STR_ARG(type), (int)MIN(r->name.n, (size_t)80), r->name.p);
	enum err e = txn_save(t, r->zone, &item, 1, POLICY_CHANGED_KEYS, false);
	if (e == OK && item.err != OK) v->cmd.op.info = item.info;
	v->cmd.rec = item.rec;
	return e == OK ? item.err : e;
}

static enum err put_back(struct txn *t, struct restoring *v, const struct json *rev)
{
	struct cmd_edit *c = &v->cmd;
	struct str type = arena_str(&c->op.arena, member(rev, "recordType"));
	struct record r;
	uint32_t number;
	enum err e = txn_type(t, type, false, &number);
	if (e == OK) e = txn_get(t, v->rev.zone, number, arena_str(&c->op.arena, member(rev, "recordName")), &r);
	if (e == OK) e = make_edit(v, &r, rev);
	if (e != OK) return e;
	if (r.deleted) return revive(t, v, &r, type);
	struct edit edit = {.fields = json_root(v->fields), .stamp = STR_NONE, .base = json_root(v->base)};
	struct edit_result result;
	if (r.type != RT_MESSAGE) {
		e = txn_edit(t, &r, &edit, &result, &c->op.info);
		c->rec = r;
		return e;
	}
	c->user = v->user_no;
	c->message_id = r.name;
	c->fields = edit.fields;
	c->base = edit.base;
	c->change_tag = c->stamp = STR_NONE;
	return cmd_edit_run(t, &c->op);
}

static enum err restoring_run(struct txn *t, struct store_op *op)
{
	struct restoring *v = CONTAINER_OF(op, struct restoring, cmd.op);
	struct json_doc *doc = NULL;
	v->found = false;
	enum err e = visit_zones(&(struct zones_walk){t, &op->info, find_revision, v}, v->user);
	if (e == OK && !v->found)
		e = err_set(&op->info, ERR_NOT_FOUND, "there is no revision %.*s", (int)MIN(v->revision.n, (size_t)80),
			    v->revision.p);
	if (e == OK) e = json_parse(v->rev.fields, &doc, NULL);
	if (e == OK) e = put_back(t, v, json_root(doc));
	json_free(doc);
	return e;
}

static void restoring_done(struct store_op *op)
{
	struct restoring *v = CONTAINER_OF(op, struct restoring, cmd.op);
	struct ask *a = v->ask;
	if (op->err == OK) {
		jw_obj(&a->w);
		jw_key(&a->w, "record");
		write_record(a->server, &a->w, &v->cmd.rec);
		jw_obj_end(&a->w);
	}
	ask_end(a, op->err, &op->info);
	json_free(v->fields);
	json_free(v->base);
	store_op_release(op);
	free(v);
}

void ask_restore(struct server *s, struct ask *a)
{
	struct errinfo info = {0};
	struct str revision, user = STR_NONE;
	if (!json_want_str(json_root(a->doc), "revision", 0, &revision, &info) ||
	    !json_want_str(json_root(a->doc), "user", JSON_OPTIONAL, &user, &info)) {
		ask_end(a, ERR_BAD_FIELD, &info);
		return;
	}
	struct restoring *v = xcalloc(1, sizeof *v);
	v->ask = a;
	v->revision = revision;
	v->user = user;
	store_op_init(&v->cmd.op, restoring_run, restoring_done, 0, clock_wall_ms());
	v->cmd.op.bytes = sizeof *v;
	v->cmd.boot_ms = clock_boot_ms();
	v->cmd.incarnation = store_incarnation(s->store);
	store_submit(s->store, &v->cmd.op);
}
