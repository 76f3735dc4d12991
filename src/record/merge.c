/* Merging one edit into a record's fields.
 *
 * A register's versions are its values by stamp. What is stored is the version of the greatest stamp; the others are
 * outside, as revisions. An edit brings one more version and, with its base, one more fact: "this version replaced that
 * one and knew it". Both only ever add up, the greatest of a set does not depend on the order it was met in, and a
 * version is known again by its stamp: that is the whole proof of the header's last sentence.
 *
 *   stored stamp c, edit's stamp s, its base b
 *     s is c            a repeat
 *     s > c             the edit's value is stored, the stored one is handed out
 *     s < c             the edit's value is handed out
 *     b is c            the stored version was known; else, if b is an older version, that one is reported as known
 *
 * A save without a stamp (merge_stamp) is an edit that knew everything and has just been given a stamp, so it always wins.
 * Such saves come from scripts that may count in a field a thousand times a day: what they replace is only kept when it
 * is typed, a person's own words.
 *
 * A set's element has one register "in or out", whose loser nobody needs. Equal stamps, which only one edit that both
 * adds and removes can have, leave it in. Elements without a stamp are in since the record was made.
 *
 * The result is written as a patch of the stored text (fields_merge), so what is not edited keeps its bytes. */
#include "record/merge.h"

#define LIST_MAX 4

static const struct merge_row {
	uint32_t type;
	const char *sets[LIST_MAX], *objects[LIST_MAX], *typed[LIST_MAX]; /* each ended by NULL */
} rows[] = {
	{RT_PROJECT, {"tags"}, {"settings"}, {"title"}},
	{RT_CONVERSATION, {"tags"}, {"settings", "defaults"}, {"title"}},
	{RT_MESSAGE, {"tags", "readBy", "hiddenBy"}, {NULL}, {"text"}},
	{RT_PRESET, {"tags"}, {NULL}, {"title", "systemPrompt"}},
};

static const struct merge_row *row_of(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type) return &rows[i];
	return NULL;
}

static bool in_list(const char *const list[LIST_MAX], struct str word)
{
	for (size_t i = 0; i < LIST_MAX && list[i] != NULL; i++)
		if (str_eq(word, str_c(list[i]))) return true;
	return false;
}

bool merge_is_known(uint32_t type) { return type >= RT_FIRST_OWN || row_of(type) != NULL; }

bool merge_is_typed(uint32_t type, struct str field)
{
	const struct merge_row *row = row_of(type);
	return row != NULL && in_list(row->typed, field);
}

static bool is_set(uint32_t type, struct str field)
{
	const struct merge_row *row = row_of(type);
	return row != NULL && in_list(row->sets, field);
}

static bool is_object(uint32_t type, struct str field)
{
	const struct merge_row *row = row_of(type);
	return row != NULL && in_list(row->objects, field);
}

/* "settings.font": taken as the name of a member, so it is no name of a field. */
static bool is_member_name(uint32_t type, struct str field)
{
	const char *dot = field.n > 0 ? memchr(field.p, '.', field.n) : NULL;
	return dot != NULL && is_object(type, str_n(field.p, (size_t)(dot - field.p)));
}

/* ---- stamps ----------------------------------------------------------------------------------------------------- */

static struct str text_of(const struct json *object, struct str key)
{
	struct str s = STR("");
	(void)json_str(json_getn(object, key), &s);
	return s;
}

static struct str text_in(const struct json_map *object, struct str key)
{
	struct str s = STR("");
	(void)json_str(json_map_get(object, key), &s);
	return s;
}

struct str merge_stamp_of(const struct json *fields, struct str field)
{
	return text_of(json_get(fields, MERGE_STAMPS), field);
}

const struct json *merge_value_of(uint32_t type, const struct json *fields, struct str field)
{
	if (is_set(type, field)) return NULL;
	if (!is_member_name(type, field)) return json_getn(fields, field);
	const char *dot = memchr(field.p, '.', field.n);
	size_t head = (size_t)(dot - field.p);
	return json_getn(json_getn(fields, str_n(field.p, head)), str_n(dot + 1, field.n - head - 1));
}

void merge_wrap(uint32_t type, struct str field, struct str value, struct buf *out)
{
	struct jw w = JW(out);
	bool is_member = is_member_name(type, field);
	size_t head = is_member ? (size_t)((const char *)memchr(field.p, '.', field.n) - field.p) : 0;
	jw_obj(&w);
	if (is_member) {
		jw_key_str(&w, str_n(field.p, head));
		jw_obj(&w);
		field = str_n(field.p + head + 1, field.n - head - 1);
	}
	jw_key_str(&w, field);
	jw_raw(&w, value);
	if (is_member) jw_obj_end(&w);
	jw_obj_end(&w);
}

/* An element's mark is a sign and a stamp. */
static struct str mark_stamp(struct str mark) { return mark.n > 0 ? str_n(mark.p + 1, mark.n - 1) : STR(""); }

struct str merge_latest(const struct json *fields)
{
	struct str latest = STR(""), s;
	for (struct json_iter it = json_iter(json_get(fields, MERGE_STAMPS)); json_next(&it);) {
		if (json_str(it.val, &s) && stamp_cmp(s, latest) > 0) latest = s;
		if (json_type(it.val) != JSON_OBJ) continue;
		for (struct json_iter in = json_iter(it.val); json_next(&in);)
			if (json_str(in.val, &s) && stamp_cmp(mark_stamp(s), latest) > 0) latest = mark_stamp(s);
	}
	return latest;
}

struct str merge_floor(const struct json *fields, const struct json *base)
{
	struct str floor = STR(""), seen;
	struct json_map stamps;
	json_map_init(&stamps, json_get(fields, MERGE_STAMPS));
	for (struct json_iter it = json_iter(base); json_next(&it);) {
		struct str stored = text_in(&stamps, it.key);
		if (json_str(it.val, &seen) && stamp_same(seen, stored) && stamp_cmp(stored, floor) > 0) floor = stored;
	}
	json_map_release(&stamps);
	return floor;
}

enum err merge_check_base(const struct json *base, struct str stamp, struct errinfo *info)
{
	struct str s;
	if (json_type(base) != JSON_NONE && json_type(base) != JSON_NULL && json_type(base) != JSON_OBJ)
		return err_set(info, ERR_BAD_FIELD, "\"base\" must be an object of stamps by field");
	for (struct json_iter it = json_iter(base); json_next(&it);) {
		if (!json_str(it.val, &s) || !stamp_is_valid(s))
			return err_set(info, ERR_BAD_FIELD, "the base of \"%.*s\" is no stamp",
				       (int)MIN(it.key.n, (size_t)60), it.key.p);
		if (s.n > 0 && stamp_cmp(s, stamp) >= 0)
			return err_set(info, ERR_BAD_FIELD, "the base of \"%.*s\" is not older than the edit's stamp",
				       (int)MIN(it.key.n, (size_t)60), it.key.p);
	}
	return OK;
}

/* ---- work ------------------------------------------------------------------------------------------------------- */

/* A merge under way: what changed so far, as the insides of two objects. */
struct work {
	uint32_t type;
	const struct json *stored;            /* the fields */
	struct json_map fields, stamps, base; /* of `stored`; of the edit */
	struct str stamp;
	bool saw_all;
	struct buf values, marks; /* new values by field; new stamps by field */
	struct jw vw, mw;
	struct arena *arena;
	struct merge_result *out;
	size_t cap_kept, cap_known;
	struct errinfo *info;
};

static void work_init(struct work *w, uint32_t type, const struct json *stored, const struct json *base,
		      struct arena *arena, struct merge_result *out, struct errinfo *info)
{
	*w = (struct work){.type = type, .stored = stored, .arena = arena, .out = out, .info = info};
	json_map_init(&w->fields, stored);
	json_map_init(&w->stamps, json_get(stored, MERGE_STAMPS));
	json_map_init(&w->base, base);
	*out = (struct merge_result){0};
	buf_init(&w->values, BUF_NO_LIMIT);
	buf_init(&w->marks, BUF_NO_LIMIT);
	w->vw = JW(&w->values);
	w->mw = JW(&w->marks);
	jw_obj(&w->vw);
	jw_obj(&w->mw);
}

static void work_release(struct work *w)
{
	buf_release(&w->values);
	buf_release(&w->marks);
	json_map_release(&w->fields);
	json_map_release(&w->stamps);
	json_map_release(&w->base);
}

/* One more place in a list that lives in the arena. */
static void *list_add(struct arena *arena, void *list, size_t *n, size_t *cap, size_t size)
{
	if (*n == *cap) {
		*cap = MAX(*cap * 2, (size_t)4);
		void *more = arena_alloc(arena, xmul(*cap, size));
		if (*n > 0) memcpy(more, list, *n * size);
		list = more;
	}
	++*n;
	return list;
}

static bool is_absent(const struct json *v) { return json_type(v) == JSON_NONE || json_type(v) == JSON_NULL; }

/* A version that is not stored any more, or never was. That a field had no first value needs no keeping; that it was
 * taken away does, as null: it stands between what it replaced and what replaced it. */
static void keep(struct work *w, struct merge_version v, const struct json *value)
{
	struct merge_result *o = w->out;
	if (is_absent(value) && v.stamp.n == 0) return;
	v.field = arena_str(w->arena, v.field);
	v.value = is_absent(value) ? STR("null") : json_text(w->arena, value);
	v.stamp = arena_str(w->arena, v.stamp);
	v.by = arena_str(w->arena, v.by);
	o->kept = list_add(w->arena, o->kept, &o->nkept, &w->cap_kept, sizeof *o->kept);
	o->kept[o->nkept - 1] = v;
}

static void note_known(struct work *w, struct str field, struct str base)
{
	struct merge_result *o = w->out;
	o->known = list_add(w->arena, o->known, &o->nknown, &w->cap_known, sizeof *o->known);
	o->known[o->nknown - 1] = (struct merge_known){.field = arena_str(w->arena, field),
						       .base = arena_str(w->arena, base),
						       .by = arena_str(w->arena, w->stamp)};
}

/* ---- registers -------------------------------------------------------------------------------------------------- */

/* Writes the winner to `values` under `key`; `field` is its name among the stamps. */
static enum err edit_register(struct work *w, struct str field, const struct json *was, const struct json *is,
			      struct jw *values, struct str key)
{
	struct str c = text_in(&w->stamps, field), b = w->saw_all ? c : text_in(&w->base, field);
	bool same = json_equal(was, is) || (is_absent(was) && is_absent(is));
	if (c.n > 0 && stamp_same(w->stamp, c))
		return same ? OK
			    : err_set(w->info, ERR_BAD_FIELD, "this stamp was used for another value of \"%.*s\"",
				      (int)MIN(field.n, (size_t)60), field.p);
	bool knew = stamp_same(b, c);
	if (stamp_cmp(w->stamp, c) > 0) {
		struct merge_version v = {.field = field, .stamp = c, .by = knew ? w->stamp : STR(""), .is_same = same};
		if (!w->saw_all || merge_is_typed(w->type, field)) keep(w, v, was);
		jw_key_str(values, key);
		if (is_absent(is)) jw_null(values);
		else jw_value(values, is);
		jw_key_str(&w->mw, field);
		jw_str(&w->mw, w->stamp);
	} else {
		keep(w,
		     (struct merge_version){
			     .field = field, .stamp = w->stamp, .by = STR(""), .is_edits_own = true, .is_same = same},
		     is);
	}
	if (!knew) note_known(w, field, b);
	return OK;
}

/* Calls fn for each member of an object of registers, with its name among the stamps. */
static struct str member_name(struct work *w, struct str object, struct str key)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&b, object);
	buf_add_char(&b, '.');
	buf_add_str(&b, key);
	struct str name = arena_str(w->arena, buf_str(&b));
	buf_release(&b);
	return name;
}

static enum err want_object(struct work *w, struct str field, const struct json *v)
{
	if (json_type(v) == JSON_OBJ) return OK;
	return err_set(w->info, ERR_BAD_FIELD, "\"%.*s\" must be an object", STR_ARG(field));
}

static enum err edit_object(struct work *w, struct str field, const struct json *was, const struct json *is)
{
	struct buf values = BUF_INIT(BUF_NO_LIMIT), merged = BUF_INIT(BUF_NO_LIMIT);
	struct jw vw = JW(&values);
	enum err e = want_object(w, field, is);
	struct json_map members;
	json_map_init(&members, was);
	jw_obj(&vw);
	size_t empty = values.n;
	for (struct json_iter it = json_iter(is); e == OK && json_next(&it);)
		e = edit_register(w, member_name(w, field, it.key), json_map_get(&members, it.key), it.val, &vw,
				  it.key);
	json_map_release(&members);
	bool changed = values.n > empty;
	jw_obj_end(&vw);
	struct str old = json_type(was) == JSON_OBJ ? json_text(w->arena, was) : STR("{}");
	if (e == OK && changed) e = fields_patch(old, buf_str(&values), &merged);
	if (e == OK && changed) {
		jw_key_str(&w->vw, field);
		jw_raw(&w->vw, buf_str(&merged));
	}
	buf_release(&values);
	buf_release(&merged);
	return e;
}

/* ---- sets ------------------------------------------------------------------------------------------------------- */

/* An element's mark, "+stamp" or "-stamp"; "" when nothing was ever said about it. */
struct element {
	struct str text, mark;
	bool was, is; /* among the stored ones; among the given ones */
};
struct set {
	struct element *list; /* heap, sorted by text */
	size_t n;
	bool changed;
};

static int compare_elements(const void *a, const void *b)
{
	return str_cmp(((const struct element *)a)->text, ((const struct element *)b)->text);
}

static struct element *set_find(const struct set *s, struct str text)
{
	struct element want = {.text = text};
	return s->n > 0 ? bsearch(&want, s->list, s->n, sizeof want, compare_elements) : NULL;
}

static void set_collect(struct set *s, const struct json *list)
{
	struct str text;
	for (struct json_iter it = json_iter(list); json_next(&it);)
		if (json_str(it.val, &text)) s->list[s->n++] = (struct element){.text = text, .mark = STR("")};
}

/* Everything that is stored or given, sorted once: there may be a hundred thousand. `given` are two lists of texts. */
static void set_load(struct set *s, const struct json *list, const struct json *marks,
		     const struct json *const given[2])
{
	struct str text;
	*s = (struct set){0};
	size_t most = json_len(list) + json_len(marks) + json_len(given[0]) + json_len(given[1]), n = 0;
	if (most == 0) return;
	s->list = xmalloc(xmul(most, sizeof *s->list));
	set_collect(s, list);
	for (int i = 0; i < 2; i++) set_collect(s, given[i]);
	for (struct json_iter it = json_iter(marks); json_next(&it);)
		s->list[s->n++] = (struct element){.text = it.key, .mark = STR("")};
	qsort(s->list, s->n, sizeof *s->list, compare_elements);
	for (size_t i = 0; i < s->n; i++)
		if (n == 0 || !str_eq(s->list[n - 1].text, s->list[i].text)) s->list[n++] = s->list[i];
	s->n = n;
	for (struct json_iter it = json_iter(list); json_next(&it);) {
		if (!json_str(it.val, &text)) continue;
		struct element *e = set_find(s, text);
		e->mark = STR("+");
		e->was = true;
	}
	for (struct json_iter it = json_iter(marks); json_next(&it);)
		if (json_str(it.val, &text) && text.n > 0) set_find(s, it.key)->mark = text;
	for (int i = 0; i < 2; i++)
		for (struct json_iter it = json_iter(given[i]); json_next(&it);)
			if (json_str(it.val, &text)) set_find(s, text)->is = true;
}

static bool is_in(const struct element *e) { return e->mark.n > 0 && e->mark.p[0] == '+'; }

static void set_edit(struct work *w, struct set *s, struct element *e, bool in)
{
	int c = e->mark.n > 0 ? stamp_cmp(w->stamp, mark_stamp(e->mark)) : 1;
	if (c < 0 || (c == 0 && (is_in(e) || !in))) return;
	char mark[STAMP_CAP + 1];
	int n = snprintf(mark, sizeof mark, "%c%.*s", in ? '+' : '-', STR_ARG(w->stamp));
	e->mark = arena_str(w->arena, str_n(mark, (size_t)n));
	s->changed = true;
}

static void set_write(struct work *w, struct str field, const struct set *s, bool with_values)
{
	if (with_values) {
		jw_key_str(&w->vw, field);
		jw_arr(&w->vw);
		for (size_t i = 0; i < s->n; i++)
			if (is_in(&s->list[i])) jw_str(&w->vw, s->list[i].text);
		jw_arr_end(&w->vw);
	}
	jw_key_str(&w->mw, field);
	jw_obj(&w->mw);
	for (size_t i = 0; i < s->n; i++) {
		if (s->list[i].mark.n <= 1) continue;
		jw_key_str(&w->mw, s->list[i].text);
		jw_str(&w->mw, s->list[i].mark);
	}
	jw_obj_end(&w->mw);
}

static enum err want_texts(struct work *w, struct str field, const struct json *list)
{
	bool ok = json_type(list) == JSON_ARR;
	for (struct json_iter it = json_iter(list); ok && json_next(&it);) ok = json_type(it.val) == JSON_STR;
	return ok ? OK : err_set(w->info, ERR_BAD_FIELD, "\"%.*s\" must be a list of texts", STR_ARG(field));
}

static const struct json *marks_of(const struct work *w, struct str field) { return json_map_get(&w->stamps, field); }

/* {"add":[…],"remove":[…]}, or a list to add. */
static enum err edit_set(struct work *w, struct str field, const struct json *was, const struct json *is)
{
	const struct json *lists[] = {json_type(is) == JSON_OBJ ? json_get(is, "remove") : NULL,
				      json_type(is) == JSON_OBJ ? json_get(is, "add") : is};
	struct str text;
	struct set s;
	enum err e = OK;
	if (json_type(is) == JSON_OBJ && is_absent(lists[0]) && is_absent(lists[1]))
		return err_set(w->info, ERR_BAD_FIELD, "\"%.*s\" needs \"add\" or \"remove\"", STR_ARG(field));
	for (int in = 0; in < 2 && e == OK; in++)
		if (!is_absent(lists[in]) || lists[in] == is) e = want_texts(w, field, lists[in]);
	if (e != OK) return e;
	set_load(&s, was, marks_of(w, field), lists);
	for (int in = 0; in < 2; in++)
		for (struct json_iter it = json_iter(lists[in]); json_next(&it);)
			if (json_str(it.val, &text)) set_edit(w, &s, set_find(&s, text), in == 1);
	if (s.changed) set_write(w, field, &s, true);
	free(s.list);
	return OK;
}

/* ---- edits ------------------------------------------------------------------------------------------------------ */

static enum err edit_field(struct work *w, struct str key, const struct json *value)
{
	const struct json *was = json_map_get(&w->fields, key);
	if (str_eq(key, STR(MERGE_STAMPS))) return OK;
	if (is_member_name(w->type, key))
		return err_set(w->info, ERR_BAD_FIELD, "\"%.*s\" is the name of a member, not of a field",
			       (int)MIN(key.n, (size_t)60), key.p);
	if (is_set(w->type, key)) return edit_set(w, key, was, value);
	if (is_object(w->type, key)) return edit_object(w, key, was, value);
	return edit_register(w, key, was, value, &w->vw, key);
}

/* Puts values and stamps over `fields`. */
static enum err finish(struct work *w, struct str fields, size_t max)
{
	struct buf stamps = BUF_INIT(BUF_NO_LIMIT), result = BUF_INIT(max);
	const struct json *old = json_get(w->stored, MERGE_STAMPS);
	jw_obj_end(&w->mw);
	enum err e = fields_patch(json_type(old) == JSON_OBJ ? json_text(w->arena, old) : STR("{}"), buf_str(&w->marks),
				  &stamps);
	if (e != OK) goto out;
	jw_key(&w->vw, MERGE_STAMPS);
	if (stamps.n > 2) jw_raw(&w->vw, buf_str(&stamps));
	else jw_null(&w->vw);
	jw_obj_end(&w->vw);
	e = fields_patch(fields, buf_str(&w->values), &result);
	if (e == ERR_TOO_LARGE)
		e = err_set(w->info, e, "the fields and their stamps are larger than recordBytes, %zu bytes", max);
	if (e == OK) w->out->fields = arena_str(w->arena, buf_str(&result));
out:
	buf_release(&stamps);
	buf_release(&result);
	return e;
}

static enum err parse_fields(struct str text, struct json_doc **doc, struct errinfo *info)
{
	if (json_parse(text.n > 0 ? text : STR("{}"), doc, NULL) == OK && json_type(json_root(*doc)) == JSON_OBJ)
		return OK;
	return err_set(info, ERR_CORRUPT, "stored fields are not a JSON object");
}

enum err merge_apply(uint32_t type, struct str stored, const struct merge_edit *edit, size_t max, struct arena *arena,
		     struct merge_result *out, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct work w;
	enum err e = parse_fields(stored, &doc, info);
	work_init(&w, type, json_root(doc), edit->base, arena, out, info);
	w.stamp = edit->stamp;
	w.saw_all = edit->saw_all;
	for (struct json_iter it = json_iter(edit->fields); e == OK && json_next(&it);)
		e = edit_field(&w, it.key, it.val);
	out->changed = w.marks.n > 1; /* every change has its stamp */
	if (e == OK && out->changed) e = finish(&w, stored, max);
	if (e == OK && !out->changed) out->fields = arena_str(arena, stored.n > 0 ? stored : STR("{}"));
	work_release(&w);
	json_free(doc);
	return e;
}

static void keep_dead(struct work *w, struct str field, const struct json *value)
{
	keep(w, (struct merge_version){.field = field, .stamp = w->stamp, .by = STR(""), .is_edits_own = true}, value);
	if (!w->saw_all) note_known(w, field, text_in(&w->base, field));
}

enum err merge_apply_dead(uint32_t type, const struct merge_edit *edit, struct arena *arena, struct merge_result *out,
			  struct errinfo *info)
{
	struct work w;
	work_init(&w, type, NULL, edit->base, arena, out, info);
	w.stamp = edit->stamp;
	w.saw_all = edit->saw_all;
	enum err e = OK;
	for (struct json_iter it = json_iter(edit->fields); e == OK && json_next(&it);) {
		if (str_eq(it.key, STR(MERGE_STAMPS)) || is_set(type, it.key)) continue;
		if (!is_object(type, it.key)) {
			keep_dead(&w, it.key, it.val);
			continue;
		}
		e = want_object(&w, it.key, it.val);
		for (struct json_iter in = json_iter(it.val); e == OK && json_next(&in);)
			keep_dead(&w, member_name(&w, it.key, in.key), in.val);
	}
	out->fields = STR("{}");
	work_release(&w);
	return e;
}

/* ---- saves without a stamp -------------------------------------------------------------------------------------- */

static void stamp_register(struct work *w, struct str field, const struct json *was, const struct json *is)
{
	if (w->stamp.p == NULL || json_equal(was, is) || (is_absent(was) && is_absent(is))) return;
	struct merge_version v = {.field = field, .stamp = text_in(&w->stamps, field), .by = w->stamp};
	if (merge_is_typed(w->type, field)) keep(w, v, was);
	jw_key_str(&w->mw, field);
	jw_str(&w->mw, w->stamp);
}

static void stamp_object(struct work *w, struct str field, const struct json *was, const struct json *is)
{
	struct json_map before, after;
	json_map_init(&before, was);
	json_map_init(&after, is);
	for (struct json_iter it = json_iter(is); json_next(&it);)
		stamp_register(w, member_name(w, field, it.key), json_map_get(&before, it.key), it.val);
	for (struct json_iter it = json_iter(was); json_next(&it);)
		if (json_map_get(&after, it.key) == NULL)
			stamp_register(w, member_name(w, field, it.key), it.val, NULL);
	json_map_release(&before);
	json_map_release(&after);
}

static void stamp_set(struct work *w, struct str field, const struct json *was, const struct json *is)
{
	struct set s;
	if (w->stamp.p == NULL) return;
	set_load(&s, was, marks_of(w, field), (const struct json *const[]){is, NULL});
	for (size_t i = 0; i < s.n; i++) {
		struct element *e = &s.list[i];
		if (e->was != e->is) set_edit(w, &s, e, e->is);
	}
	if (s.changed) set_write(w, field, &s, false);
	free(s.list);
}

static enum err stamp_field(struct work *w, struct str key, const struct json *was, const struct json *is)
{
	enum err e = OK;
	if (str_eq(key, STR(MERGE_STAMPS))) return OK;
	if (is_set(w->type, key)) {
		if (!is_absent(is) && !json_equal(was, is)) e = want_texts(w, key, is);
		if (e == OK) stamp_set(w, key, was, is);
	} else if (is_object(w->type, key)) {
		if (!is_absent(is) && !json_equal(was, is)) e = want_object(w, key, is);
		if (e == OK) stamp_object(w, key, was, is);
	} else {
		stamp_register(w, key, was, is);
	}
	return e;
}

enum err merge_stamp(uint32_t type, struct str stored, struct str saved, struct str stamp, size_t max,
		     struct arena *arena, struct merge_result *out, struct errinfo *info)
{
	struct json_doc *old = NULL, *new = NULL;
	struct work w;
	enum err e = parse_fields(stored, &old, info);
	if (e == OK) e = parse_fields(saved, &new, info);
	const struct json *was = json_root(old), *is = json_root(new);
	struct json_map after;
	work_init(&w, type, was, NULL, arena, out, info);
	json_map_init(&after, is);
	w.stamp = stamp;
	w.saw_all = true;
	for (struct json_iter it = json_iter(is); e == OK && json_next(&it);)
		e = stamp_field(&w, it.key, json_map_get(&w.fields, it.key), it.val);
	for (struct json_iter it = json_iter(was); e == OK && json_next(&it);)
		if (json_map_get(&after, it.key) == NULL) e = stamp_field(&w, it.key, it.val, NULL);
	json_map_release(&after);
	bool as_given = w.marks.n == 1 && json_equal(json_get(was, MERGE_STAMPS), json_get(is, MERGE_STAMPS));
	if (e == OK && as_given) out->fields = arena_str(arena, saved);
	else if (e == OK) e = finish(&w, saved, max);
	out->changed = e == OK && !str_eq(stored, out->fields);
	work_release(&w);
	json_free(old);
	json_free(new);
	return e;
}
