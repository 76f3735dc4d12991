/* record:query.
 *
 * A query walks one index in one direction and looks at every record that it meets. Which index is the plan:
 *   by name     (zone, type, name)                when nothing better is asked
 *   by field    idx (zone, type, field, value)    the sort's field, else the first filter that narrows
 *   by ord      (conversation, ord)               Messages of one conversation
 * Filters on the walked field narrow the walk; equality on another indexed field is asked of idx as well. All of that
 * only saves work: each record is then tested against every filter, from its own fields, and that decides.
 *
 * SQL is put together from the pieces in this file and nothing else; what a device sends is only ever bound.
 *
 * A page ends at its limit or after SCAN_MAX records were looked at, so a query that finds little costs a bounded time;
 * such a page may even be empty and still have a cursor. When sorting by a field, the records that do not have it come
 * last, by name: the second part of the walk.
 *
 * A cursor says where the walk stopped, and carries a hash of the query it belongs to:
 *   q1.<hash of zone, type, filter and sort, 16 hex>.<part: 0 or 1>.<row>.<kind of value: i r s><value, hex> */
#include "base/clock.h"
#include "base/hash.h"
#include "store/txn.h"

#define SCAN_MAX 5000
#define FILTERS_MAX 16
#define VALUES_MAX 128 /* of one filter */
#define BINDS_MAX 400  /* the statement binds at most FILTER_VALUES_MAX of filters, two for a prefix, and its own few */
#define FILTER_VALUES_MAX 256 /* of all filters together */

enum where { AT_NAME, AT_VALUE, AT_CONV, AT_ORD };

struct filter {
	enum where where;
	enum query_op op;
	struct str field;
	struct index_value *values; /* one, or several for Q_IN; in the op's arena */
	size_t n;
};

struct place {
	bool given;
	int part;
	int64_t row;
	struct index_value value;
};

struct walk {
	struct txn *t;
	uint32_t zone, type;
	struct filter filters[FILTERS_MAX];
	size_t nvalues; /* of all filters */
	size_t nfilters;
	enum where by;       /* the index that is walked */
	struct str by_field; /* AT_VALUE */
	bool descending;
	bool is_sorted; /* asked for: records without the field follow */
	bool nothing;   /* a filter that no record can meet */
	int64_t limit, found, seen;
	uint64_t hash;
	struct place from, at; /* where to begin; where the walk is */
	record_fn fn;
	void *ctx;
	struct errinfo *info;
};

/* ---- from JSON ---- */

static const char *const op_names[] = {
	[Q_EQ] = "eq", [Q_NE] = "ne", [Q_LT] = "lt", [Q_LE] = "le",
	[Q_GT] = "gt", [Q_GE] = "ge", [Q_IN] = "in", [Q_BEGINS] = "beginsWith",
};

static enum err find_field(const struct walk *w, struct str field, enum where *out)
{
	bool is_message = w->type == RT_MESSAGE;
	struct str list = is_message ? STR("conversationId,ord") : index_list(w->type);
	if (str_eq(field, STR("name"))) *out = AT_NAME;
	else if (is_message && str_eq(field, STR("conversationId"))) *out = AT_CONV;
	else if (is_message && str_eq(field, STR("ord"))) *out = AT_ORD;
	else if (index_has(w->type, field)) *out = AT_VALUE;
	else
		return err_set(w->info, ERR_BAD_FIELD, "\"%.*s\" is not indexed; indexed are name,%.*s",
			       (int)MIN(field.n, (size_t)60), field.p, STR_ARG(list));
	return OK;
}

static enum err parse_value(struct walk *w, struct filter *f, const struct json *v)
{
	struct index_value x = index_value_json(v);
	bool is_time = f->where == AT_VALUE && index_is_time(f->field);
	if (is_time && x.kind == IV_TEXT) {
		if (!time_parse(x.s, &x.i))
			return err_set(w->info, ERR_BAD_FIELD, "%.*s is compared with an RFC 3339 time",
				       STR_ARG(f->field));
		x.kind = IV_INT;
	}
	bool wants_text = f->where == AT_NAME || f->where == AT_CONV || f->op == Q_BEGINS;
	bool wants_number = f->where == AT_ORD || is_time;
	if (x.kind == IV_NONE || (wants_text && x.kind != IV_TEXT) || (wants_number && x.kind == IV_TEXT))
		return err_set(w->info, ERR_BAD_FIELD, "the filter on \"%.*s\" needs %s as its value",
			       (int)MIN(f->field.n, (size_t)60), f->field.p,
			       wants_text     ? "a text"
			       : wants_number ? "a number"
					      : "a text, a number, true or false");
	if (x.kind == IV_TEXT && x.s.n > INDEX_VALUE_MAX)
		return err_set(w->info, ERR_BAD_FIELD, "a filter's text is at most %d bytes", INDEX_VALUE_MAX);
	if (x.kind == IV_TEXT) x.s = arena_str(txn_arena(w->t), x.s);
	f->values[f->n++] = x;
	return OK;
}

static enum err parse_values(struct walk *w, struct filter *f, const struct json *v)
{
	bool is_list = f->op == Q_IN;
	if (is_list && json_type(v) != JSON_ARR)
		return err_set(w->info, ERR_BAD_FIELD, "\"in\" needs a list of values");
	size_t n = is_list ? json_len(v) : 1;
	if (n > VALUES_MAX) return err_set(w->info, ERR_BAD_FIELD, "\"in\" takes at most %d values", VALUES_MAX);
	w->nvalues += n;
	if (w->nvalues > FILTER_VALUES_MAX)
		return err_set(w->info, ERR_BAD_FIELD, "the filters of a query have at most %d values together",
			       FILTER_VALUES_MAX);
	f->values = arena_alloc(txn_arena(w->t), xmul(MAX(n, (size_t)1), sizeof *f->values));
	if (!is_list) return parse_value(w, f, v);
	enum err e = OK;
	for (struct json_iter it = json_iter(v); e == OK && json_next(&it);) e = parse_value(w, f, it.val);
	return e;
}

/* A conversation's name becomes its row; of one that does not exist there are no messages. */
static enum err resolve_conversation(struct walk *w, struct filter *f)
{
	struct record conv;
	if (f->op != Q_EQ) return err_set(w->info, ERR_BAD_FIELD, "conversationId of Message takes only eq");
	enum err e = txn_get(w->t, w->zone, RT_CONVERSATION, f->values[0].s, &conv);
	if (e == ERR_NOT_FOUND || (e == OK && conv.row == 0)) {
		w->nothing = true;
		conv.row = 0;
		e = OK;
	}
	f->values[0] = (struct index_value){.kind = IV_INT, .i = conv.row};
	return e;
}

static enum err parse_filter(struct walk *w, const struct json *o)
{
	struct filter *f = &w->filters[w->nfilters];
	struct str op;
	*f = (struct filter){0};
	if (json_type(o) != JSON_OBJ)
		return err_set(w->info, ERR_BAD_FIELD, "a filter is {\"field\",\"op\",\"value\"}");
	if (!json_want_str(o, "field", 0, &f->field, w->info) || !json_want_str(o, "op", 0, &op, w->info))
		return ERR_BAD_FIELD;
	size_t i = 0;
	while (i < ARRAY_LEN(op_names) && !str_eq(op, str_c(op_names[i]))) i++;
	if (i == ARRAY_LEN(op_names))
		return err_set(w->info, ERR_BAD_FIELD,
			       "there is no op \"%.*s\"; there are eq, ne, lt, le, gt, ge, in, beginsWith",
			       (int)MIN(op.n, (size_t)40), op.p);
	f->op = (enum query_op)i;
	enum err e = find_field(w, f->field, &f->where);
	if (e == OK) e = parse_values(w, f, json_get(o, "value"));
	if (e == OK && f->where == AT_CONV) e = resolve_conversation(w, f);
	if (e == OK && f->op == Q_IN && f->n == 0) w->nothing = true;
	f->field = arena_str(txn_arena(w->t), f->field);
	w->nfilters++;
	return e;
}

static enum err parse_filters(struct walk *w, const struct json *filter)
{
	enum err e = OK;
	if (json_type(filter) != JSON_NONE && json_type(filter) != JSON_NULL && json_type(filter) != JSON_ARR)
		return err_set(w->info, ERR_BAD_FIELD, "\"filter\" must be a list");
	if (json_len(filter) > FILTERS_MAX) return err_set(w->info, ERR_BAD_FIELD, "at most %d filters", FILTERS_MAX);
	for (struct json_iter it = json_iter(filter); e == OK && json_next(&it);) e = parse_filter(w, it.val);
	return e;
}

/* The walk is by the first sort; a second one may only be the name, which ends ties anyway when it is first. */
static enum err parse_sort(struct walk *w, const struct json *sort)
{
	if (json_type(sort) != JSON_NONE && json_type(sort) != JSON_NULL && json_type(sort) != JSON_ARR)
		return err_set(w->info, ERR_BAD_FIELD, "\"sort\" must be a list");
	if (json_len(sort) == 0) return OK;
	if (json_len(sort) > 1) return err_set(w->info, ERR_BAD_FIELD, "a query sorts by one field");
	struct json_iter it = json_iter(sort);
	(void)json_next(&it);
	bool ascending = true;
	if (json_type(it.val) != JSON_OBJ)
		return err_set(w->info, ERR_BAD_FIELD, "a sort is {\"field\",\"ascending\"}");
	if (!json_want_str(it.val, "field", 0, &w->by_field, w->info) ||
	    !json_want_bool(it.val, "ascending", JSON_OPTIONAL, &ascending, w->info))
		return ERR_BAD_FIELD;
	w->by_field = arena_str(txn_arena(w->t), w->by_field);
	w->descending = !ascending;
	w->is_sorted = true;
	return find_field(w, w->by_field, &w->by);
}

static const struct filter *filter_at(const struct walk *w, enum where where)
{
	for (size_t i = 0; i < w->nfilters; i++)
		if (w->filters[i].where == where) return &w->filters[i];
	return NULL;
}

static enum err choose(struct walk *w)
{
	if (w->is_sorted && (w->by == AT_CONV || (w->by == AT_ORD && filter_at(w, AT_CONV) == NULL)))
		return err_set(w->info, ERR_BAD_FIELD,
			       "messages are sorted by name, or by ord within one conversationId");
	if (w->is_sorted) return OK;
	w->by = AT_NAME;
	if (filter_at(w, AT_CONV) != NULL) w->by = AT_ORD;
	if (filter_at(w, AT_NAME) != NULL || w->by == AT_ORD) return OK;
	for (int pass = 0; pass < 2 && w->by == AT_NAME; pass++)
		for (size_t i = 0; i < w->nfilters && w->by == AT_NAME; i++) {
			const struct filter *f = &w->filters[i];
			if (f->where != AT_VALUE || f->op == Q_NE || (pass == 0 && f->op != Q_EQ)) continue;
			w->by = AT_VALUE;
			w->by_field = f->field;
		}
	return OK;
}

/* ---- cursors ---- */

static void hash_json(uint64_t *h, const struct json *v)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	json_write(&b, v);
	*h = hash64(buf_str(&b), *h);
	buf_release(&b);
}

static uint64_t query_hash(const struct walk *w, const struct query *q)
{
	uint64_t h = (uint64_t)w->zone << 32 | w->type;
	hash_json(&h, q->filter);
	hash_json(&h, q->sort);
	return h;
}

static struct str cursor_text(const struct walk *w)
{
	const struct place *p = &w->at;
	struct str raw = p->value.s;
	uint64_t bits = (uint64_t)p->value.i;
	if (p->value.kind == IV_REAL) memcpy(&bits, &p->value.d, sizeof bits);
	if (p->value.kind != IV_TEXT) raw = str_n((const char *)&bits, sizeof bits);
	struct arena *a = txn_arena(w->t);
	size_t cap = 64 + 2 * raw.n + 1;
	char *text = arena_alloc(a, cap);
	int n = snprintf(text, cap, "q1.%016llx.%d.%lld.%c", (unsigned long long)w->hash, p->part, (long long)p->row,
			 "-irs"[p->value.kind]);
	hex_encode((const unsigned char *)raw.p, raw.n, text + n);
	return str_n(text, (size_t)n + 2 * raw.n);
}

/* The text between the dots; false when there is none left. */
static bool next_part(struct str *text, struct str *part)
{
	const char *dot = text->n > 0 ? memchr(text->p, '.', text->n) : NULL;
	if (dot == NULL) return false;
	*part = str_n(text->p, (size_t)(dot - text->p));
	*text = str_n(dot + 1, text->n - part->n - 1);
	return true;
}

static bool parse_cursor(struct walk *w, struct str text)
{
	struct str version, hash, part, row;
	struct place *p = &w->from;
	char want[17];
	int64_t n;
	(void)snprintf(want, sizeof want, "%016llx", (unsigned long long)w->hash);
	if (!next_part(&text, &version) || !next_part(&text, &hash) || !next_part(&text, &part) ||
	    !next_part(&text, &row))
		return false;
	if (!str_eq(version, STR("q1")) || !str_eq(hash, str_n(want, 16))) return false;
	if (!str_to_int(part, &n) || n < 0 || n > 1 || !str_to_int(row, &p->row)) return false;
	p->part = (int)n;
	if (text.n % 2 != 1) return false;
	p->value.kind = text.p[0] == 'i' ? IV_INT : text.p[0] == 'r' ? IV_REAL : text.p[0] == 's' ? IV_TEXT : IV_NONE;
	if (p->value.kind == IV_NONE) return false;
	size_t bytes = text.n / 2;
	if (bytes > INDEX_VALUE_MAX + 1) return false;
	unsigned char *raw = arena_alloc(txn_arena(w->t), bytes + 1);
	if (!hex_decode(str_n(text.p + 1, text.n - 1), raw, bytes)) return false;
	if (p->value.kind != IV_TEXT && bytes != 8) return false;
	if (p->value.kind == IV_TEXT) p->value.s = str_n((const char *)raw, bytes);
	else memcpy(&p->value.i, raw, 8);
	if (p->value.kind == IV_REAL) memcpy(&p->value.d, raw, 8);
	p->given = true;
	return true;
}

/* ---- SQL from pieces ---- */

struct pieces {
	struct buf sql;
	struct index_value binds[BINDS_MAX];
	size_t n;
};

static void piece(struct pieces *p, const char *text) { (void)buf_add(&p->sql, text, strlen(text)); }

static void bind(struct pieces *p, struct index_value v)
{
	ASSERT_CMP(p->n, <, BINDS_MAX);
	p->binds[p->n++] = v;
}
static void bind_int(struct pieces *p, int64_t v) { bind(p, (struct index_value){.kind = IV_INT, .i = v}); }
static void bind_text(struct pieces *p, struct str s) { bind(p, (struct index_value){.kind = IV_TEXT, .s = s}); }

/* The first text behind all that begin with `prefix`: its last byte plus one. UTF-8 has no 0xff. */
static struct str after_prefix(struct arena *a, struct str prefix)
{
	char *p = arena_alloc(a, prefix.n + 1);
	memcpy(p, prefix.p, prefix.n);
	p[prefix.n - 1] = (char)((unsigned char)p[prefix.n - 1] + 1);
	return str_n(p, prefix.n);
}

/* " AND <column> <op> ?": a filter on the column that is walked. Numbers sort before all text, so an open end is closed
 * at the empty text, and a comparison finds only its own kind. */
static void narrow(struct walk *w, struct pieces *p, const char *column, const struct filter *f)
{
	static const char *const ops[] = {[Q_EQ] = "=", [Q_LT] = "<", [Q_LE] = "<=", [Q_GT] = ">", [Q_GE] = ">="};
	const struct index_value *v = &f->values[0];
	if (f->op == Q_NE) return;
	piece(p, " AND ");
	piece(p, column);
	if (f->op == Q_IN) {
		piece(p, " IN (");
		for (size_t i = 0; i < f->n; i++) {
			piece(p, i > 0 ? ",?" : "?");
			bind(p, f->values[i]);
		}
		piece(p, ")");
		return;
	}
	if (f->op == Q_BEGINS) {
		piece(p, " >= ?");
		bind(p, *v);
		if (v->s.n == 0) return;
		piece(p, " AND ");
		piece(p, column);
		piece(p, " < ?");
		bind_text(p, after_prefix(txn_arena(w->t), v->s));
		return;
	}
	piece(p, ops[f->op]);
	piece(p, "?");
	bind(p, *v);
	bool below = f->op == Q_LT || f->op == Q_LE, above = f->op == Q_GT || f->op == Q_GE;
	if ((below && v->kind == IV_TEXT) || (above && v->kind != IV_TEXT)) {
		piece(p, " AND ");
		piece(p, column);
		piece(p, below ? " >= ''" : " < ''");
	}
}

static void narrow_all(struct walk *w, struct pieces *p, const char *column)
{
	for (size_t i = 0; i < w->nfilters; i++) {
		const struct filter *f = &w->filters[i];
		if (f->where != w->by || (w->by == AT_VALUE && !str_eq(f->field, w->by_field))) continue;
		narrow(w, p, column, f);
	}
}

/* Equality on a field that is not walked. */
static void also_equal(struct walk *w, struct pieces *p)
{
	for (size_t i = 0; i < w->nfilters; i++) {
		const struct filter *f = &w->filters[i];
		if (f->where != AT_VALUE || f->op != Q_EQ || (w->by == AT_VALUE && str_eq(f->field, w->by_field)))
			continue;
		piece(p,
		      " AND EXISTS (SELECT 1 FROM idx j WHERE j.zone = r.zone AND j.type = r.type AND j.field = ? AND "
		      "j.value = ? AND j.row = r.row)");
		bind_text(p, f->field);
		bind(p, f->values[0]);
	}
}

/* Is there one value of the walked field that all records of the answer have? */
static bool is_pinned(const struct walk *w)
{
	for (size_t i = 0; i < w->nfilters; i++)
		if (w->filters[i].op == Q_EQ && str_eq(w->filters[i].field, w->by_field)) return true;
	return false;
}

/* Behind the place where the last page ended. In front of the filters: of several bounds on one side SQLite seeks to the
 * first, and a page must not walk over those before it. */
static void go_on(struct walk *w, struct pieces *p, const char *column, bool down)
{
	if (!w->from.given) return;
	piece(p, " AND ");
	piece(p, column);
	piece(p, down ? " < ?" : " > ?");
	bind(p, w->from.value);
}

static void by_value(struct walk *w, struct pieces *p)
{
	piece(p, " FROM idx i CROSS JOIN record r ON r.row = i.row WHERE i.zone = ? AND i.type = ? AND i.field = ?");
	bind_int(p, w->zone);
	bind_int(p, w->type);
	bind_text(p, w->by_field);
	if (w->from.given) {
		/* Of one value a pair would be compared with every row of it. */
		bool pair = !is_pinned(w);
		piece(p, pair ? " AND (i.value, i.row)" : " AND i.row");
		piece(p, w->descending ? " < " : " > ");
		piece(p, pair ? "(?, ?)" : "?");
		if (pair) bind(p, w->from.value);
		bind_int(p, w->from.row);
	}
	narrow_all(w, p, "i.value");
	also_equal(w, p);
	piece(p, w->descending ? " ORDER BY i.value DESC, i.row DESC" : " ORDER BY i.value, i.row");
}

static void by_name(struct walk *w, struct pieces *p)
{
	bool down = w->descending && w->by == AT_NAME;
	piece(p, " FROM record r WHERE r.zone = ? AND r.type = ?");
	bind_int(p, w->zone);
	bind_int(p, w->type);
	go_on(w, p, "r.name", down);
	if (w->by == AT_NAME) narrow_all(w, p, "r.name");
	also_equal(w, p);
	piece(p, down ? " ORDER BY r.name DESC" : " ORDER BY r.name");
}

static void by_ord(struct walk *w, struct pieces *p)
{
	piece(p, " FROM record r WHERE r.conv = ? AND r.ord IS NOT NULL");
	bind(p, filter_at(w, AT_CONV)->values[0]);
	go_on(w, p, "r.ord", w->descending);
	narrow_all(w, p, "r.ord");
	piece(p, w->descending ? " ORDER BY r.ord DESC" : " ORDER BY r.ord");
}

/* ---- testing a record ---- */

static struct index_value value_at(const struct record *r, const struct json *fields, const struct filter *f)
{
	switch (f->where) {
	case AT_NAME: return (struct index_value){.kind = IV_TEXT, .s = r->name};
	case AT_CONV: return (struct index_value){.kind = IV_INT, .i = r->conv};
	case AT_ORD: return (struct index_value){.kind = IV_INT, .i = r->ord};
	default: return index_value_of(r, fields, f->field);
	}
}

static bool meets(const struct index_value *x, const struct filter *f)
{
	const struct index_value *v = &f->values[0];
	if (f->op == Q_IN) {
		for (size_t i = 0; i < f->n; i++)
			if (x->kind != IV_NONE && index_compare(x, &f->values[i]) == 0) return true;
		return false;
	}
	if (f->op == Q_NE) return x->kind == IV_NONE || index_compare(x, v) != 0;
	if (x->kind == IV_NONE || (x->kind == IV_TEXT) != (v->kind == IV_TEXT)) return false;
	int c = index_compare(x, v);
	switch (f->op) {
	case Q_EQ: return c == 0;
	case Q_LT: return c < 0;
	case Q_LE: return c <= 0;
	case Q_GT: return c > 0;
	case Q_GE: return c >= 0;
	default: return str_starts(x->s, v->s);
	}
}

static enum err test(const struct walk *w, const struct record *r, int part, bool *out)
{
	struct json_doc *doc = NULL;
	*out = false;
	if (r->deleted) return OK;
	if (json_parse(r->fields, &doc, NULL) != OK)
		return err_set(w->info, ERR_CORRUPT, "the fields of record %lld are not JSON", (long long)r->row);
	const struct json *fields = json_root(doc);
	bool ok = part == 0 || index_value_of(r, fields, w->by_field).kind == IV_NONE;
	for (size_t i = 0; ok && i < w->nfilters; i++) {
		struct index_value x = value_at(r, fields, &w->filters[i]);
		ok = meets(&x, &w->filters[i]);
	}
	json_free(doc);
	*out = ok;
	return OK;
}

/* ---- walking ---- */

#define RECORD_COLS_R                                                                                                  \
	"SELECT r.row, r.zone, r.type, r.name, r.seq, r.grp, r.created_ms, r.modified_ms, r.created_by, "              \
	"r.modified_by, r.deleted, r.fields, r.conv, r.ord, r.state, r.origin, r.sum"

static struct index_value value_in(const struct q *q, int col, struct arena *a)
{
	switch (sqlite3_column_type(q->st, col)) {
	case SQLITE_INTEGER: return (struct index_value){.kind = IV_INT, .i = q_get_int(q, col)};
	case SQLITE_FLOAT: return (struct index_value){.kind = IV_REAL, .d = sqlite3_column_double(q->st, col)};
	default: return (struct index_value){.kind = IV_TEXT, .s = q_copy_str(q, col, a)};
	}
}

/* Goes on until the page is full (*out_full) or the walk is at its end. */
static enum err walk_part(struct walk *w, int part, bool *out_full)
{
	struct pieces *p = arena_zalloc(txn_arena(w->t), sizeof *p);
	struct record r;
	bool is_match;
	enum err e = OK;
	buf_init(&p->sql, 1 << 16);
	enum where by = part == 0 ? w->by : AT_NAME;
	piece(p, RECORD_COLS_R);
	piece(p, by == AT_VALUE ? ", i.value" : by == AT_ORD ? ", r.ord" : ", r.name");
	(by == AT_VALUE ? by_value : by == AT_ORD ? by_ord : by_name)(w, p);
	struct q q = q_prepare(w->t->db, p->sql.p);
	for (size_t i = 0; i < p->n; i++) index_bind(&q, &p->binds[i]);
	while (e == OK && !*out_full && q_row(&q)) {
		e = record_load(w->t, &q, &r, NULL);
		if (e == OK) e = test(w, &r, part, &is_match);
		if (e == OK && is_match) e = w->fn(w->ctx, &r);
		if (e != OK) break;
		w->found += is_match;
		*out_full = w->found >= w->limit || ++w->seen >= SCAN_MAX;
		w->at = (struct place){.part = part, .row = r.row, .value = value_in(&q, 17, txn_arena(w->t))};
	}
	enum err ended = q_end(&q);
	buf_release(&p->sql);
	return e != OK ? e : ended;
}

/* Do records without the sort's field belong to the answer? Not when a filter wants a value of it. */
static bool has_second_part(const struct walk *w)
{
	if (!w->is_sorted || w->by != AT_VALUE || index_is_time(w->by_field)) return false;
	for (size_t i = 0; i < w->nfilters; i++)
		if (str_eq(w->filters[i].field, w->by_field) && w->filters[i].op != Q_NE) return false;
	return true;
}

enum err txn_query(struct txn *t, uint32_t zone, const struct query *q, record_fn fn, void *ctx, struct str *out_cursor,
		   struct errinfo *info)
{
	struct walk *w = arena_zalloc(txn_arena(t), sizeof *w);
	bool full = false;
	*w = (struct walk){.t = t, .zone = zone, .fn = fn, .ctx = ctx, .info = info};
	w->limit = q->limit > 0 ? MIN(q->limit, t->limits->page_records) : t->limits->page_records;
	*out_cursor = STR_NONE;
	enum err e = txn_type(t, q->type, false, &w->type);
	if (e == ERR_NOT_FOUND) { /* a type nobody saved yet */
		w->type = UINT32_MAX;
		w->nothing = true;
		e = OK;
	}
	if (e == OK) e = parse_filters(w, q->filter);
	if (e == OK) e = parse_sort(w, q->sort);
	if (e == OK) e = choose(w);
	if (e != OK) return e;
	w->hash = query_hash(w, q);
	if (q->cursor.p != NULL && !parse_cursor(w, q->cursor))
		return err_set(info, ERR_BAD_FIELD, "this cursor is not one of this query");
	if (w->nothing) return OK;
	if (w->from.part == 0) e = walk_part(w, 0, &full);
	if (e == OK && !full && has_second_part(w)) {
		if (w->from.part == 0) w->from.given = false;
		e = walk_part(w, 1, &full);
	}
	if (e == OK && full) *out_cursor = cursor_text(w);
	return e;
}
