/* The index of fields: which are in it, and how it follows a record.
 *
 * A row of idx says: this field of this record has this value. Numbers are numbers, true and false are 1 and 0, text is
 * bytes. Of a text longer than INDEX_VALUE_MAX the first so many bytes and one '+' are stored: that keeps the order and
 * the beginnings, and cannot be taken for a text that fits. Messages have no rows here; they are found through their
 * conversation. */
#include "store/txn.h"

static const struct {
	uint32_t type;
	const char *fields;
} indexed[] = {
	{RT_PROJECT, "title,state,createdAt,modifiedAt"},
	{RT_CONVERSATION, "title,projectId,pinned,createdAt,modifiedAt"},
	{RT_SESSION, "conversationId,state,createdAt,modifiedAt"},
	{RT_MESSAGE, ""},
	{RT_REQUEST, "conversationId,messageId,state,createdAt"},
	{RT_DEVICE, "platform,createdAt,modifiedAt"},
	{RT_SYNC_STATE, "deviceId,createdAt,modifiedAt"},
	{RT_PRESET, "title,createdAt,modifiedAt"},
	{RT_EXPERIMENT, "status,createdAt,modifiedAt"},
	{RT_REVISION, "recordName,recordType,conversationId,conflict,createdAt,modifiedAt"},
	{RT_AUTO_STEP, "sessionId,run,n,createdAt,modifiedAt"},
	{RT_PERMISSION, "conversationId,requestId,state,createdAt"},
	{RT_SPEND, "day,createdAt,modifiedAt"},
	{RT_BUDGET, "createdAt,modifiedAt"},
};

struct str index_list(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(indexed); i++)
		if (indexed[i].type == type) return str_c(indexed[i].fields);
	return STR("*");
}

static bool next_word(struct str *list, struct str *word)
{
	if (list->n == 0) return false;
	const char *comma = memchr(list->p, ',', list->n);
	size_t n = comma != NULL ? (size_t)(comma - list->p) : list->n;
	*word = str_n(list->p, n);
	n = MIN(n + 1, list->n);
	*list = str_n(list->p + n, list->n - n);
	return true;
}

bool index_has(uint32_t type, struct str field)
{
	struct str list = index_list(type), word;
	if (str_eq(list, STR("*"))) return field.n > 0;
	while (next_word(&list, &word))
		if (str_eq(word, field)) return true;
	return false;
}

bool index_is_time(struct str field) { return str_eq(field, STR("createdAt")) || str_eq(field, STR("modifiedAt")); }

struct index_value index_value_json(const struct json *v)
{
	struct index_value out = {.kind = IV_NONE};
	bool b;
	if (json_str(v, &out.s)) {
		out.kind = IV_TEXT;
	} else if (json_bool(v, &b)) {
		out.kind = IV_INT;
		out.i = b;
	} else if (json_type(v) == JSON_INT && json_int(v, &out.i)) {
		out.kind = IV_INT;
	} else if (json_real(v, &out.d)) {
		out.kind = IV_REAL;
	}
	return out;
}

struct index_value index_value_of(const struct record *r, const struct json *fields, struct str field)
{
	if (str_eq(field, STR("createdAt"))) return (struct index_value){.kind = IV_INT, .i = r->created_ms};
	if (str_eq(field, STR("modifiedAt"))) return (struct index_value){.kind = IV_INT, .i = r->modified_ms};
	return index_value_json(json_getn(fields, field));
}

/* Exact for every int64 and every double: a conversion either way would round. */
static int compare_numbers(const struct index_value *a, const struct index_value *b)
{
	if (a->kind == IV_INT && b->kind == IV_INT) return a->i < b->i ? -1 : a->i > b->i;
	if (a->kind == IV_REAL && b->kind == IV_REAL) return a->d < b->d ? -1 : a->d > b->d;
	if (a->kind == IV_REAL) return -compare_numbers(b, a);
	if (b->d >= 9223372036854775808.0) return -1;
	if (b->d < -9223372036854775808.0) return 1;
	int64_t whole = (int64_t)b->d;
	if (a->i != whole) return a->i < whole ? -1 : 1;
	double rest = b->d - (double)whole;
	return rest > 0 ? -1 : rest < 0;
}

int index_compare(const struct index_value *a, const struct index_value *b)
{
	bool text_a = a->kind == IV_TEXT, text_b = b->kind == IV_TEXT;
	if (text_a != text_b) return text_a ? 1 : -1;
	return text_a ? str_cmp(a->s, b->s) : compare_numbers(a, b);
}

void index_bind(struct q *q, const struct index_value *v)
{
	if (v->kind == IV_INT) q_int(q, v->i);
	else if (v->kind == IV_REAL) q_real(q, v->d);
	else q_text(q, v->s);
}

/* ---- following a record ---- */

struct entry {
	struct str field;
	struct index_value value;
};
struct entries {
	struct entry *list; /* heap, NULL for none */
	size_t n;
	struct json_doc *doc;
};

static void add_entry(struct entries *es, struct arena *a, struct str field, struct index_value v)
{
	if (v.kind == IV_NONE) return;
	if (v.kind == IV_TEXT && v.s.n > INDEX_VALUE_MAX) {
		char *cut = arena_alloc(a, INDEX_VALUE_MAX + 1);
		memcpy(cut, v.s.p, INDEX_VALUE_MAX);
		cut[INDEX_VALUE_MAX] = '+';
		v.s = str_n(cut, INDEX_VALUE_MAX + 1);
	}
	es->list[es->n++] = (struct entry){field, v};
}

static enum err collect(struct txn *t, const struct record *r, struct entries *es)
{
	struct arena *a = txn_arena(t);
	if (r == NULL || r->deleted) return OK;
	if (json_parse(r->fields, &es->doc, NULL) != OK)
		return err_set(&t->op->info, ERR_CORRUPT, "the fields of record %lld are not JSON", (long long)r->row);
	const struct json *fields = json_root(es->doc);
	es->list = xmalloc(xmul(json_len(fields) + 2, sizeof *es->list)); /* 2: the times */
	struct str list = index_list(r->type), word;
	if (!str_eq(list, STR("*"))) {
		while (next_word(&list, &word)) add_entry(es, a, word, index_value_of(r, fields, word));
		return OK;
	}
	add_entry(es, a, STR("createdAt"), index_value_of(r, fields, STR("createdAt")));
	add_entry(es, a, STR("modifiedAt"), index_value_of(r, fields, STR("modifiedAt")));
	for (struct json_iter it = json_iter(fields); json_next(&it);)
		if (!index_is_time(it.key)) add_entry(es, a, it.key, index_value_json(it.val));
	return OK;
}

static bool holds(const struct entries *es, const struct entry *e)
{
	for (size_t i = 0; i < es->n; i++)
		if (str_eq(es->list[i].field, e->field)) return index_compare(&es->list[i].value, &e->value) == 0;
	return false;
}

static enum err change(struct txn *t, enum sql how, const struct record *r, const struct entry *e)
{
	struct q q = q_begin(t->db, how);
	q_int(&q, r->zone);
	q_int(&q, r->type);
	q_text(&q, e->field);
	index_bind(&q, &e->value);
	q_int(&q, r->row);
	return q_run(&q);
}

enum err index_update(struct txn *t, const struct record *was, const struct record *is)
{
	const struct record *any = is != NULL ? is : was;
	if (index_list(any->type).n == 0) return OK;
	struct entries old = {0}, new = {0};
	enum err e = collect(t, was, &old);
	if (e == OK) e = collect(t, is, &new);
	for (size_t i = 0; e == OK && i < old.n; i++)
		if (!holds(&new, &old.list[i])) e = change(t, SQL_IDX_DROP, any, &old.list[i]);
	for (size_t i = 0; e == OK && i < new.n; i++)
		if (!holds(&old, &new.list[i])) e = change(t, SQL_IDX_ADD, any, &new.list[i]);
	json_free(old.doc);
	json_free(new.doc);
	free(old.list);
	free(new.list);
	return e;
}
