/* Records as rows: reading with verification, saving with a place in the feed, walking.
 *
 * The feed. A zone counts its changes in zone.seq; a record carries the number of its last one, which is its place and
 * its change tag. All changes of one command in one zone form a group, named by its first place. A page of the feed
 * ends only where a group ends, so that what one command changed together is seen together; records of the group that
 * changed again since are simply not in it any more.
 *
 * The zone's hash is the sum of the checksums of its rows, mod 2^64: a save subtracts the old row's and adds the new
 * one's. Sums commute, so the order of rows does not matter, and a missing, an additional or an old row shows.
 *
 * Walks collect a page of rows before the callback sees the first, so a callback may change what is walked over. */
#include "store/txn.h"

#define WALK_PAGE 16
#define FEED_PAGE_BYTES (4 << 20) /* of fields; a page ends at the next group after it */

static uint64_t record_sum(const struct record *r)
{
	uint64_t sum = SUM_INTS(SUM_RECORD, r->row, r->zone, r->type, r->seq, r->group, r->created_ms, r->modified_ms,
				r->created_by, r->modified_by, r->deleted, r->conv, r->ord, r->state);
	return sum_str(sum_str(sum_str(sum, r->name), r->fields), r->origin);
}

uint64_t grave_sum(const struct record *r)
{
	uint64_t sum = SUM_INTS(SUM_GRAVE, r->zone, r->type, r->conv, r->ord);
	return sum_str(sum_str(sum, r->name), r->origin);
}

enum err record_load(struct txn *t, const struct q *q, struct record *out, uint64_t *out_sum)
{
	struct arena *a = txn_arena(t);
	*out = (struct record){
		.row = q_get_int(q, 0),
		.zone = (uint32_t)q_get_int(q, 1),
		.type = (uint32_t)q_get_int(q, 2),
		.name = q_copy_str(q, 3, a),
		.seq = q_get_int(q, 4),
		.group = q_get_int(q, 5),
		.created_ms = q_get_int(q, 6),
		.modified_ms = q_get_int(q, 7),
		.created_by = (uint32_t)q_get_int(q, 8),
		.modified_by = (uint32_t)q_get_int(q, 9),
		.deleted = q_get_int(q, 10) != 0,
		.fields = q_copy_str(q, 11, a),
		.conv = q_get_int(q, 12),
		.ord = q_get_int(q, 13),
		.state = (int32_t)q_get_int(q, 14),
		.origin = q_copy_str(q, 15, a),
	};
	out->type_name = intern_type(t->intern, out->type);
	uint64_t sum = record_sum(out);
	if (out_sum != NULL) *out_sum = sum;
	if (sum == (uint64_t)q_get_int(q, 16)) return OK;
	return err_set(&t->op->info, ERR_CORRUPT, "record %lld (%.*s %.*s) fails its checksum; run: roost doctor",
		       (long long)out->row, STR_ARG(out->type_name), (int)MIN(out->name.n, (size_t)80), out->name.p);
}

/* ---- reading ---- */

/* The one record of a query that is bound; `e` of the load counts before that of the query. */
static enum err load_one(struct txn *t, struct q *q, struct record *out, uint64_t *out_sum)
{
	enum err loaded = q_row(q) ? record_load(t, q, out, out_sum) : ERR_NOT_FOUND;
	enum err e = q_end(q);
	return e != OK ? e : loaded;
}

enum err txn_get(struct txn *t, uint32_t zone, uint32_t type, struct str name, struct record *out)
{
	struct q q = q_begin(t->db, SQL_REC_NAME);
	q_int(&q, zone);
	q_int(&q, type);
	q_text(&q, name);
	enum err e = load_one(t, &q, out, NULL);
	return e == ERR_NOT_FOUND ? grave_get(t, zone, type, name, out) : e;
}

static enum err get_row(struct txn *t, int64_t row, struct record *out, uint64_t *out_sum)
{
	struct q q = q_begin(t->db, SQL_REC_ROW);
	q_int(&q, row);
	return load_one(t, &q, out, out_sum);
}

enum err txn_get_row(struct txn *t, int64_t row, struct record *out) { return get_row(t, row, out, NULL); }

/* ---- graves ---- */

static enum err grave_find(struct txn *t, uint32_t zone, uint32_t type, struct str name, struct record *out)
{
	struct q q = q_begin(t->db, SQL_GRAVE_GET);
	q_int(&q, zone);
	q_int(&q, type);
	q_text(&q, name);
	bool found = q_row(&q), good = false;
	if (found) {
		*out = (struct record){.zone = zone,
				       .type = type,
				       .type_name = intern_type(t->intern, type),
				       .name = arena_str(txn_arena(t), name),
				       .deleted = true,
				       .fields = STR("{}"),
				       .conv = q_get_int(&q, 0),
				       .ord = q_get_int(&q, 1),
				       .origin = q_copy_str(&q, 2, txn_arena(t))};
		good = (uint64_t)q_get_int(&q, 3) == grave_sum(out);
	}
	enum err e = q_end(&q);
	if (e != OK) return e;
	if (!found) return ERR_NOT_FOUND;
	return good ? OK
		    : err_set(&t->op->info, ERR_CORRUPT, "the grave of %.*s fails its checksum; run: roost doctor",
			      (int)MIN(name.n, (size_t)80), name.p);
}

enum err grave_get(struct txn *t, uint32_t zone, uint32_t type, struct str name, struct record *out)
{
	/* A zone that never lost a tombstone has no graves: new names are the common case. */
	if (t->db->is_writer) {
		struct zone *z;
		enum err e = zone_get(t, zone, &z);
		if (e != OK) return e;
		if (z->now.floor == 0) return ERR_NOT_FOUND;
	}
	return grave_find(t, zone, type, name, out);
}

enum err grave_drop(struct txn *t, const struct record *r)
{
	struct zone *z;
	enum err e = zone_get(t, r->zone, &z);
	if (e == OK) e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_GRAVE_DROP);
	q_int(&q, r->zone);
	q_int(&q, r->type);
	q_text(&q, r->name);
	e = q_run(&q);
	zone_touch(t, z);
	z->now.hash -= grave_sum(r);
	return e;
}

enum err record_bury(struct txn *t, const struct record *r)
{
	struct zone *z;
	enum err e = zone_get(t, r->zone, &z);
	if (e == OK) e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_REC_DROP);
	q_int(&q, r->row);
	e = q_run(&q);
	if (e != OK) return e;
	q = q_begin(t->db, SQL_GRAVE_ADD);
	q_int(&q, r->zone);
	q_int(&q, r->type);
	q_text(&q, r->name);
	q_int(&q, r->conv);
	q_int(&q, r->ord);
	q_blob(&q, r->origin);
	q_int(&q, (int64_t)grave_sum(r));
	e = q_run(&q);
	zone_touch(t, z);
	z->now.records--;
	z->now.hash += grave_sum(r) - record_sum(r);
	z->now.floor = MAX(z->now.floor, r->seq);
	return e;
}

/* ---- saving ---- */

static void bind_body(struct q *q, const struct record *r)
{
	q_int(q, r->seq);
	q_int(q, r->group);
	q_int(q, r->created_ms);
	q_int(q, r->modified_ms);
	q_int(q, r->created_by);
	q_int(q, r->modified_by);
	q_int(q, r->deleted);
	q_text(q, r->fields);
	q_int_or_null(q, r->conv);
	q_int_or_null(q, r->ord);
	q_int_or_null(q, r->state);
	q_blob(q, r->origin);
	q_int(q, (int64_t)record_sum(r));
}

/* Adds the record to the op's changes, in place of an earlier one of the same record when there was one (`is_again`). */
static void note_change(struct txn *t, const struct record *r, bool is_again)
{
	struct arena *a = txn_arena(t);
	struct change *c = NULL, *old = NULL;
	if (is_again)
		STAILQ_FOREACH (c, &t->op->changes, link)
			if (c->rec.row == r->row) old = c;
	if (old != NULL) STAILQ_REMOVE(&t->op->changes, old, change, link);
	c = old != NULL ? old : arena_alloc(a, sizeof *c);
	c->rec = *r;
	c->rec.name = arena_str(a, r->name);
	c->rec.fields = arena_str(a, r->fields);
	c->rec.origin = arena_str(a, r->origin);
	STAILQ_INSERT_TAIL(&t->op->changes, c, link);
}

/* The next place of the zone for this command's next change. Without an actor it is the user's own daemon who changes. */
static enum err take_place(struct txn *t, struct zone *z, struct record *r)
{
	uint32_t actor = t->op->actor;
	if (actor == 0) {
		enum err e = z->daemon != 0 ? OK : txn_principal(t, z->user, STR(""), &z->daemon);
		if (e != OK) return e;
		actor = z->daemon;
	}
	zone_touch(t, z);
	r->seq = ++z->now.seq;
	if (z->group_command != t->command) {
		z->group_command = t->command;
		z->group = r->seq;
	}
	r->group = z->group;
	r->modified_ms = txn_now_ms(t);
	r->modified_by = actor;
	if (r->created_ms == 0) {
		r->created_ms = r->modified_ms;
		r->created_by = r->modified_by;
	}
	r->type_name = intern_type(t->intern, r->type);
	return OK;
}

/* The row number is part of the checksum and is known before the insert: rows are only ever added at the end. */
static enum err insert(struct txn *t, struct zone *z, struct record *r)
{
	struct record grave;
	enum err e = grave_get(t, r->zone, r->type, r->name, &grave);
	if (e != ERR_NOT_FOUND) return e == OK ? ERR_EXISTS : e;
	r->created_ms = 0;
	e = take_place(t, z, r);
	if (e != OK) return e;
	r->row = t->next_row;
	struct q q = q_begin(t->db, SQL_REC_ADD);
	q_int(&q, r->row);
	q_int(&q, r->zone);
	q_int(&q, r->type);
	q_text(&q, r->name);
	bind_body(&q, r);
	e = q_run(&q);
	if (e != OK) {
		r->row = 0;
		return e;
	}
	t->next_row++;
	z->now.records++;
	z->now.hash += record_sum(r);
	return index_update(t, NULL, r);
}

static enum err update(struct txn *t, struct zone *z, struct record *r, const struct record *was, uint64_t was_sum)
{
	enum err e = take_place(t, z, r);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_REC_SET);
	q_int(&q, r->row);
	bind_body(&q, r);
	e = q_run(&q);
	if (e != OK) return e;
	z->now.hash += record_sum(r) - was_sum;
	return index_update(t, was, r);
}

/* What was stored before is read into memory of its own: a command may change a thousand long records. */
static enum err put_over(struct txn *t, struct zone *z, struct record *r)
{
	struct record was;
	uint64_t was_sum;
	struct arena old = {0}, kept = t->op->arena;
	t->op->arena = old;
	enum err e = get_row(t, r->row, &was, &was_sum);
	old = t->op->arena;
	t->op->arena = kept;
	if (e != OK) goto out;
	ASSERT_CMP(was.zone, ==, r->zone);
	ASSERT_CMP(was.type, ==, r->type);
	ASSERT(str_eq(was.name, r->name));
	/* A copy from before the last change would silently undo that. */
	if (was.seq == r->seq) e = update(t, z, r, &was, was_sum);
	else e = err_set(&t->op->info, ERR_CONFLICT, "the record was changed meanwhile");
out:
	arena_clear(&old);
	return e;
}

enum err txn_put(struct txn *t, struct record *r)
{
	struct zone *z;
	enum err e = zone_get(t, r->zone, &z);
	if (e == OK) e = txn_touch(t);
	if (e != OK) return e;
	/* A place that this command gave out; the list is only searched then, or a thousand changes would cost a million. */
	bool is_again = r->row != 0 && z->group_command == t->command && r->seq >= z->group;
	e = r->row == 0 ? insert(t, z, r) : put_over(t, z, r);
	if (e == OK) note_change(t, r, is_again);
	return e;
}

enum err txn_delete(struct txn *t, struct record *r)
{
	r->deleted = true;
	r->fields = STR("{}");
	r->state = 0;
	return txn_put(t, r);
}

/* ---- walking ---- */

struct page {
	struct record *list;
	size_t n, cap, bytes;
};

static enum err page_add(struct txn *t, struct page *p, const struct q *q)
{
	if (p->n == p->cap) {
		size_t cap = MAX(p->cap * 2, (size_t)WALK_PAGE);
		struct record *list = arena_alloc(txn_arena(t), xmul(cap, sizeof *list));
		if (p->n > 0) memcpy(list, p->list, p->n * sizeof *list);
		p->list = list;
		p->cap = cap;
	}
	enum err e = record_load(t, q, &p->list[p->n], NULL);
	if (e == OK) p->bytes += p->list[p->n++].fields.n;
	return e;
}

static enum err give(const struct page *p, record_fn fn, void *ctx)
{
	for (size_t i = 0; i < p->n; i++) {
		enum err e = fn(ctx, &p->list[i]);
		if (e != OK) return e;
	}
	return OK;
}

enum err txn_messages(struct txn *t, uint32_t zone, int64_t conv, int64_t before_ord, int64_t limit, record_fn fn,
		      void *ctx)
{
	int64_t before = before_ord > 0 ? before_ord : INT64_MAX;
	struct page p = {0};
	while (limit > 0) {
		enum err bad = OK;
		int64_t want = MIN(limit, (int64_t)WALK_PAGE);
		struct q q = q_begin(t->db, SQL_REC_MESSAGES);
		q_int(&q, conv);
		q_int(&q, before);
		q_int(&q, want);
		p.n = 0;
		while (bad == OK && q_row(&q)) bad = page_add(t, &p, &q);
		enum err e = q_end(&q);
		if (e == OK) e = bad;
		for (size_t i = 0; i < p.n; i++)
			if (p.list[i].zone != zone) return ERR_NOT_FOUND;
		if (e == OK) e = give(&p, fn, ctx);
		if (e != OK || (int64_t)p.n < want) return e;
		before = p.list[p.n - 1].ord;
		limit -= want;
	}
	return OK;
}

enum err txn_last_ord(struct txn *t, uint32_t zone, int64_t conv, int64_t *out)
{
	(void)zone;
	struct q q = q_begin(t->db, SQL_REC_LAST_ORD);
	q_int(&q, conv);
	*out = q_row(&q) ? q_get_int(&q, 0) : 0;
	return q_end(&q);
}

enum err txn_open_requests(struct txn *t, uint32_t zone, int64_t conv, record_fn fn, void *ctx)
{
	size_t n = 0, cap = 0;
	int64_t *rows = NULL;
	struct q q = q_begin(t->db, conv != 0 ? SQL_REC_OPEN_CONV : SQL_REC_OPEN_ALL);
	if (conv != 0) q_int(&q, conv);
	while (q_row(&q)) {
		if (n == cap) {
			cap = MAX(cap * 2, (size_t)8);
			rows = xrealloc(rows, xmul(cap, sizeof *rows));
		}
		rows[n++] = q_get_int(&q, 0);
	}
	enum err e = q_end(&q);
	for (size_t i = 0; e == OK && i < n; i++) {
		struct record r;
		e = txn_get_row(t, rows[i], &r);
		if (e == OK && (conv == 0 || r.zone == zone)) e = fn(ctx, &r);
	}
	free(rows);
	return e;
}

enum err txn_feed(struct txn *t, uint32_t zone, int64_t after, int64_t upto, int64_t limit, record_fn fn, void *ctx,
		  int64_t *out_seq, bool *out_more)
{
	struct zone_info zi;
	struct page p = {0};
	enum err e = txn_zone_info(t, zone, &zi), bad = OK;
	if (e != OK) return e;
	if (after != 0 && after < zi.floor) return ERR_CURSOR_EXPIRED;
	upto = MIN(upto, zi.seq);
	*out_seq = MAX(after, upto);
	*out_more = false;
	if (after >= upto) return OK;
	struct q q = q_begin(t->db, SQL_REC_FEED);
	q_int(&q, zone);
	q_int(&q, after);
	q_int(&q, upto);
	while (bad == OK && q_row(&q)) {
		bool full = (int64_t)p.n >= limit || p.bytes >= FEED_PAGE_BYTES;
		if (p.n > 0 && full && q_get_int(&q, 5) != p.list[p.n - 1].group) {
			*out_more = true;
			*out_seq = p.list[p.n - 1].seq;
			break;
		}
		bad = page_add(t, &p, &q);
	}
	e = q_end(&q);
	if (e == OK) e = bad;
	return e == OK ? give(&p, fn, ctx) : e;
}
