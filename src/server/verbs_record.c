/* record:save, record:query, session:sync. */
#include "base/clock.h"
#include "server/call.h"

/* ---- record:save ------------------------------------------------------------------------------------------------ */

struct saving {
	struct store_op op;
	struct call *call;
	struct json_doc *doc; /* the call's; the items are views of it */
	struct str zone;
	int64_t user;
	struct late late;
	struct save_item *items;
	size_t n;
	enum save_policy policy;
	bool atomic;
};

/* A record that the device may not see is not there for it. */
static enum err refuse_hidden(struct txn *t, struct saving *v, uint32_t zone)
{
	for (size_t i = 0; v->late.is_on && i < v->n; i++) {
		struct record r;
		uint32_t type = record_type_number(v->items[i].type);
		bool hides = false;
		if (type == 0 || v->items[i].name.p == NULL) continue;
		enum err e = txn_get(t, zone, type, v->items[i].name, &r);
		if (e == OK) e = late_hides(&v->late, t, &r, &hides);
		if (e != OK && e != ERR_NOT_FOUND) return e;
		if (hides)
			return err_set(&v->op.info, ERR_NOT_FOUND, "there is no record %.*s",
				       STR_ARG(v->items[i].name));
	}
	return OK;
}

static enum err saving_run(struct txn *t, struct store_op *op)
{
	struct saving *v = CONTAINER_OF(op, struct saving, op);
	uint32_t zone;
	enum err e = txn_zone(t, v->user, v->zone, true, &zone);
	if (e == OK) e = refuse_hidden(t, v, zone);
	if (e == OK) e = txn_save(t, zone, v->items, v->n, v->policy, v->atomic);
	/* A batch that is not atomic did what it could; each item says how it went. An atomic one is rolled back. */
	return e;
}

static void write_item(struct call *c, struct jw *w, const struct save_item *i)
{
	jw_obj(w);
	if (i->err == OK) {
		jw_key(w, "record");
		write_record(c->server, w, &i->rec);
		if (i->conflicts.p != NULL) jw_kraw(w, "conflicts", i->conflicts);
	} else {
		jw_key(w, "error");
		jw_obj(w);
		jw_kstr(w, "code", str_c(err_code(i->err)));
		jw_kstr(w, "message", str_c(err_sentence(&i->info, i->err)));
		jw_kstr(w, "recordType", i->type);
		if (i->name.p != NULL) jw_kstr(w, "name", i->name);
		if (i->err == ERR_CONFLICT && i->rec.row != 0) {
			jw_key(w, "serverRecord");
			write_record(c->server, w, &i->rec);
		}
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

/* A device may ask for a stop by saving stopRequested: true on the Request; deleting a conversation stops what is asked
 * in it. */
static void honour_stops(struct call *c, const struct saving *v)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct save_item *it = &v->items[i];
		bool stop = false;
		if (it->err != OK) continue;
		if (it->rec.type == RT_CONVERSATION && it->deleted && str_eq(v->zone, ZONE_HOME)) {
			struct work *w = c->server->work;
			(void)relay_stop_session(work_relay(w), c->user->user, STR_NONE, it->rec.name, work_now(w));
			work_kick(w);
		}
		if (it->rec.type != RT_REQUEST) continue;
		if (!json_bool(json_get(it->fields, "stopRequested"), &stop) || !stop) continue;
		(void)relay_stop(work_relay(c->server->work), it->rec.name, work_now(c->server->work));
		work_kick(c->server->work);
	}
}

static void saving_done(struct store_op *op)
{
	struct saving *v = op->ctx;
	struct call *c = v->call;
	bool told = op->err == OK;
	for (size_t i = 0; i < v->n; i++) told |= v->items[i].err != OK;
	/* An error of the store as a whole (full disk) is the call's; an error of an item stands with the item. */
	if (op->err != OK && (!told || err_retryable(op->err))) {
		call_fail(c, op->err, &op->info, STR_NONE);
	} else {
		if (op->err == OK && !c->server->stopping) honour_stops(c, v);
		struct jw w = call_begin(c, "record:saved");
		jw_key(&w, "results");
		jw_arr(&w);
		for (size_t i = 0; i < v->n; i++) write_item(c, &w, &v->items[i]);
		jw_arr_end(&w);
		call_reply(c, &w);
	}
	json_free(v->doc);
	store_op_release(op);
	free(v);
}

static size_t text_bytes(const struct json *v)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (v != NULL) json_write(&b, v);
	size_t n = b.n;
	buf_release(&b);
	return n;
}

/* *bytes grows by what the item holds of the frame. */
static enum err read_item(const struct server *s, const struct json *in, struct save_item *out, size_t *bytes,
			  struct errinfo *info)
{
	if (json_type(in) != JSON_OBJ) return err_set(info, ERR_BAD_FIELD, "each record must be an object");
	if (!json_want_str(in, "type", 0, &out->type, info) ||
	    !json_want_str(in, "name", JSON_OPTIONAL, &out->name, info) ||
	    !json_want_str(in, "changeTag", JSON_OPTIONAL, &out->change_tag, info) ||
	    !json_want_str(in, "stamp", JSON_OPTIONAL, &out->stamp, info) ||
	    !json_want_bool(in, "deleted", JSON_OPTIONAL, &out->deleted, info))
		return info->err;
	out->base = json_type(json_get(in, "base")) == JSON_NULL ? NULL : json_get(in, "base");
	if (out->base != NULL && json_type(out->base) != JSON_OBJ)
		return err_set(info, ERR_BAD_FIELD, "\"base\" must be an object of stamps by field");
	if (out->name.p != NULL && !name_is_valid(out->name))
		return err_set(info, ERR_BAD_FIELD, "\"name\" must be 1 to %d letters, digits or ._-:@+", NAME_MAX_LEN);
	if (out->type.n > 64 || !name_is_valid(out->type))
		return err_set(info, ERR_BAD_FIELD, "\"type\" must be 1 to 64 letters, digits or ._-:@+");
	out->fields = out->deleted ? NULL : json_get(in, "fields");
	if (!out->deleted && json_type(out->fields) != JSON_OBJ)
		return err_set(info, ERR_BAD_FIELD, "\"fields\" must be an object");
	size_t n = text_bytes(out->fields);
	if (n > (size_t)s->config->limits.record_bytes)
		return err_set(info, ERR_TOO_LARGE, "the fields are larger than recordBytes (%lld)",
			       (long long)s->config->limits.record_bytes);
	*bytes += n + text_bytes(out->base);
	return OK;
}

static enum err read_policy(const struct json *in, enum save_policy *out, struct errinfo *info)
{
	static const char *const names[] = {[POLICY_IF_UNCHANGED] = "ifUnchanged",
					    [POLICY_CHANGED_KEYS] = "changedKeys",
					    [POLICY_ALL_KEYS] = "allKeys",
					    [POLICY_MERGE] = "merge"};
	struct str name = STR("ifUnchanged");
	if (!json_want_str(in, "policy", JSON_OPTIONAL, &name, info)) return info->err;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!str_eq(name, str_c(names[i]))) continue;
		*out = (enum save_policy)i;
		return OK;
	}
	return err_set(info, ERR_BAD_FIELD, "\"policy\" must be ifUnchanged, changedKeys, allKeys or merge");
}

static bool want_zone(const struct json *in, struct str *out, struct errinfo *info)
{
	*out = ZONE_HOME;
	if (!json_want_str(in, "zone", JSON_OPTIONAL, out, info)) return false;
	if (name_is_valid(*out) && out->n <= 64) return true;
	(void)err_set(info, ERR_BAD_FIELD, "\"zone\" must be 1 to 64 letters, digits or ._-:@+");
	return false;
}

void verb_record_save(struct call *c)
{
	struct errinfo info = {0};
	const struct limits *l = &c->server->config->limits;
	const struct json *records = json_get(c->in, "records");
	if (call_refuse_busy(c)) return;
	struct saving *v = xcalloc(1, sizeof *v);
	store_op_init(&v->op, saving_run, saving_done, c->principal, clock_wall_ms());
	enum err e = OK;
	if (json_type(records) != JSON_ARR || json_len(records) == 0 || (int64_t)json_len(records) > l->batch_records)
		e = err_set(&info, ERR_BAD_FIELD, "\"records\" must be an array of 1 to batchRecords (%lld) records",
			    (long long)l->batch_records);
	if (e == OK &&
	    (!want_zone(c->in, &v->zone, &info) || !json_want_bool(c->in, "atomic", JSON_OPTIONAL, &v->atomic, &info)))
		e = info.err;
	if (e == OK) e = read_policy(c->in, &v->policy, &info);
	if (e == OK) {
		v->items = arena_zalloc(&v->op.arena, xmul(json_len(records), sizeof *v->items));
		for (struct json_iter it = json_iter(records); e == OK && json_next(&it);)
			e = read_item(c->server, it.val, &v->items[v->n++], &v->op.bytes, &info);
	}
	if (e != OK) {
		call_fail(c, e, &info, STR_NONE);
		store_op_release(&v->op);
		free(v);
		return;
	}
	v->op.ctx = v;
	v->op.bytes += sizeof *v + v->n * sizeof *v->items;
	v->call = c;
	v->user = c->user->user;
	v->late = late_filter(c->user, c->principal);
	v->doc = c->doc;
	c->doc = NULL;
	store_submit(c->server->store, &v->op);
}

/* ---- record:query ----------------------------------------------------------------------------------------------- */

struct querying {
	struct store_op op;
	struct call *call;
	struct server *server;
	int64_t user;
	struct str zone;
	struct query query;
	struct buf json;
	size_t n;
	struct str cursor; /* out */
	struct txn *t;
	struct late late;
};

static enum err add_found(void *ctx, const struct record *r)
{
	struct querying *q = ctx;
	bool hides;
	enum err e = late_hides(&q->late, q->t, r, &hides);
	if (e != OK || hides) return e;
	struct jw w = JW(&q->json);
	w.comma = q->n++ > 0;
	write_record(q->server, &w, r);
	return OK;
}

static enum err query_run(struct txn *t, struct store_op *op)
{
	struct querying *q = CONTAINER_OF(op, struct querying, op);
	uint32_t zone;
	q->t = t;
	enum err e = txn_zone(t, q->user, q->zone, false, &zone);
	if (e == ERR_NOT_FOUND && str_eq(q->zone, ZONE_HOME)) return OK;
	if (e != OK) return err_set(&op->info, e, "there is no zone %.*s", STR_ARG(q->zone));
	return txn_query(t, zone, &q->query, add_found, q, &q->cursor, &op->info);
}

static void query_done(struct store_op *op)
{
	struct querying *q = op->ctx;
	struct call *c = q->call;
	if (op->err != OK) {
		call_fail(c, op->err, &op->info, STR_NONE);
	} else {
		struct jw w = call_begin(c, "record:found");
		jw_key(&w, "records");
		buf_add_char(&c->out, '[');
		buf_add_str(&c->out, buf_str(&q->json));
		buf_add_char(&c->out, ']');
		w.comma = true;
		if (q->cursor.p != NULL) jw_kstr(&w, "cursor", q->cursor);
		call_reply(c, &w);
	}
	buf_release(&q->json);
	store_op_release(op);
	free(q);
}

void verb_record_query(struct call *c)
{
	struct errinfo info = {0};
	const struct limits *l = &c->server->config->limits;
	struct querying *q = xcalloc(1, sizeof *q);
	store_op_init(&q->op, query_run, query_done, c->principal, clock_wall_ms());
	buf_init(&q->json, BUF_NO_LIMIT);
	q->query.limit = MIN(100, l->page_records);
	q->query.filter = json_get(c->in, "filter");
	q->query.sort = json_get(c->in, "sort");
	if (!json_want_str(c->in, "recordType", 0, &q->query.type, &info) || !want_zone(c->in, &q->zone, &info) ||
	    !json_want_int(c->in, "limit", JSON_OPTIONAL, 1, l->page_records, &q->query.limit, &info) ||
	    !json_want_str(c->in, "cursor", JSON_OPTIONAL, &q->query.cursor, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		store_op_release(&q->op);
		free(q);
		return;
	}
	q->op.ctx = q;
	q->call = c;
	q->server = c->server;
	q->user = c->user->user;
	q->late = late_filter(c->user, c->principal);
	store_read(c->server->store, &q->op);
}

/* ---- session:sync ----------------------------------------------------------------------------------------------- */

void verb_session_sync(struct call *c)
{
	struct errinfo info = {0};
	const struct limits *l = &c->server->config->limits;
	struct str cursor = STR_NONE;
	int64_t limit = l->page_records, after = 0, wait_ms = 0;
	enum err e = ERR_BAD_FIELD;
	if (json_want_str(c->in, "cursor", JSON_OPTIONAL, &cursor, &info) &&
	    json_want_int(c->in, "limit", JSON_OPTIONAL, 1, l->page_records, &limit, &info) &&
	    json_want_int(c->in, "waitMs", JSON_OPTIONAL, 0, 60000, &wait_ms, &info))
		e = feed_cursor(c->server, c->user, cursor, &after, &info);
	if (e != OK) call_fail(c, e, &info, STR_NONE);
	else feed_page(c, after, limit, wait_ms);
}
