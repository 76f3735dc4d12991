/* Merging fields without touching what was not changed.
 *
 * Stored fields are the text of one JSON object that json.h wrote, so it is valid and its members are easy to find: the
 * merge copies spans of that text and never parses a value. A number such as 1.0 or 1e400, a key order, an unknown
 * member of a newer program: all come out as they went in.
 *
 * 1. Every stored member is kept, replaced in its place when it is given, or dropped when it is given as null or when
 *    the policy replaces all and it is not given.
 * 2. Then the given members that were not stored follow, in their own order.
 *
 * Both sides escape keys in the same way, so keys are compared as they are written. The given members are sorted by key
 * first: an object may have a hundred thousand of them. */
#include "record/record.h"

/* A cursor over the text of an object. */
struct scan {
	struct str text;
	size_t at;
	bool broken; /* not what json.h writes */
};

static void skip_space(struct scan *s)
{
	while (s->at < s->text.n && strchr(" \t\r\n", s->text.p[s->at]) != NULL && s->text.p[s->at] != '\0') s->at++;
}

static bool take(struct scan *s, char c)
{
	skip_space(s);
	if (s->at >= s->text.n || s->text.p[s->at] != c) return false;
	s->at++;
	return true;
}

/* From an opening quote to behind the closing one. */
static void skip_string(struct scan *s)
{
	for (s->at++; s->at < s->text.n; s->at++) {
		if (s->text.p[s->at] == '\\') s->at++;
		else if (s->text.p[s->at] == '"') {
			s->at++;
			return;
		}
	}
	s->broken = true;
}

/* To the comma or bracket behind the value. */
static void skip_value(struct scan *s)
{
	int depth = 0;
	while (s->at < s->text.n) {
		char c = s->text.p[s->at];
		if (c == '"') {
			skip_string(s);
			continue;
		}
		if (c == '{' || c == '[') depth++;
		if (c == '}' || c == ']') {
			if (depth == 0) return;
			depth--;
		}
		if (c == ',' && depth == 0) return;
		s->at++;
	}
	s->broken = true;
}

static struct str span(const struct scan *s, size_t from)
{
	size_t to = MIN(s->at, s->text.n);
	while (to > from && strchr(" \t\r\n", s->text.p[to - 1]) != NULL) to--;
	return str_n(s->text.p + from, to - from);
}

/* The next member: its key as written, quotes included, and its value's text. */
static bool next_member(struct scan *s, bool first, struct str *key, struct str *value)
{
	if (take(s, '}')) return false;
	if (!first && !take(s, ',')) s->broken = true;
	skip_space(s);
	size_t from = s->at;
	if (s->broken || from >= s->text.n || s->text.p[from] != '"') {
		s->broken = true;
		return false;
	}
	skip_string(s);
	*key = span(s, from);
	if (!take(s, ':')) s->broken = true;
	skip_space(s);
	from = s->at;
	skip_value(s);
	*value = span(s, from);
	return !s->broken;
}

/* The given members, sorted by their keys as written. */
struct member {
	struct str key; /* with quotes and escapes, in the buffer below */
	const struct json *value;
	bool stored; /* met among the stored members */
};
struct given {
	struct member *list;
	size_t n;
	struct buf keys;
};

static int compare_members(const void *a, const void *b)
{
	return str_cmp(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void given_init(struct given *g, const struct json *object)
{
	*g = (struct given){.n = json_len(object), .keys = BUF_INIT(BUF_NO_LIMIT)};
	if (g->n == 0) return;
	g->list = xcalloc(g->n, sizeof *g->list);
	size_t i = 0;
	for (struct json_iter it = json_iter(object); json_next(&it); i++) {
		struct jw w = JW(&g->keys);
		size_t from = g->keys.n;
		jw_str(&w, it.key);
		g->list[i] = (struct member){.key = {NULL, g->keys.n - from}, .value = it.val};
	}
	size_t at = 0; /* the buffer does not move any more */
	for (i = 0; i < g->n; at += g->list[i++].key.n) g->list[i].key.p = g->keys.p + at;
	qsort(g->list, g->n, sizeof *g->list, compare_members);
}

static struct member *given_find(const struct given *g, struct str key)
{
	struct member want = {.key = key};
	return g->n > 0 ? bsearch(&want, g->list, g->n, sizeof want, compare_members) : NULL;
}

static void given_release(struct given *g)
{
	free(g->list);
	buf_release(&g->keys);
}

/* May a save that replaces all drop this stored member? A key that must be escaped is no name of the daemon's. */
static bool may_drop(uint32_t type, bool scoped, struct str key)
{
	return !scoped || record_field_writable(type, str_n(key.p + 1, key.n - 2));
}

static void merge_stored(struct scan *s, struct given *g, uint32_t type, bool scoped, enum save_policy policy,
			 struct jw *w)
{
	struct str key, value;
	if (!take(s, '{')) s->broken = true;
	for (bool first = true; !s->broken && next_member(s, first, &key, &value); first = false) {
		struct member *m = given_find(g, key);
		if (m != NULL) m->stored = true;
		else if (policy != POLICY_CHANGED_KEYS && may_drop(type, scoped, key)) continue;
		if (m != NULL && json_type(m->value) == JSON_NULL) continue;
		jw_raw(w, key);
		buf_add_char(w->b, ':');
		w->comma = false;
		if (m != NULL) jw_value(w, m->value);
		else jw_raw(w, value);
	}
}

static void add_new(const struct json *object, const struct given *g, struct jw *w)
{
	struct buf key = BUF_INIT(BUF_NO_LIMIT);
	for (struct json_iter it = json_iter(object); json_next(&it);) {
		struct jw k = JW(&key);
		buf_clear(&key);
		jw_str(&k, it.key);
		if (json_type(it.val) == JSON_NULL || given_find(g, buf_str(&key))->stored) continue;
		jw_key_str(w, it.key);
		jw_value(w, it.val);
	}
	buf_release(&key);
}

static enum err merge(uint32_t type, bool scoped, struct str stored, const struct json *object, enum save_policy policy,
		      struct buf *out, struct errinfo *info)
{
	struct scan s = {.text = stored.n > 0 ? stored : STR("{}")};
	struct jw w = JW(out);
	struct given g;
	given_init(&g, object);
	jw_obj(&w);
	merge_stored(&s, &g, type, scoped, policy, &w);
	if (!s.broken) add_new(object, &g, &w);
	jw_obj_end(&w);
	given_release(&g);
	if (s.broken) return err_set(info, ERR_CORRUPT, "stored fields are not a JSON object");
	if (out->failed)
		return err_set(info, ERR_TOO_LARGE, "the fields are larger than recordBytes, %zu bytes", out->max);
	return OK;
}

enum err fields_merge(struct str stored, const struct json *given, enum save_policy policy, struct buf *out,
		      struct errinfo *info)
{
	return merge(0, false, stored, given, policy, out, info);
}

enum err fields_merge_for(uint32_t type, struct str stored, const struct json *given, enum save_policy policy,
			  struct buf *out, struct errinfo *info)
{
	return merge(type, true, stored, given, policy, out, info);
}

enum err fields_patch(struct str stored, struct str changes, struct buf *out)
{
	struct json_doc *doc = NULL;
	enum err e = json_parse(changes, &doc, NULL);
	if (e == OK) e = fields_merge(stored, json_root(doc), POLICY_CHANGED_KEYS, out, NULL);
	json_free(doc);
	return e;
}
