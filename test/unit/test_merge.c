/* Merging: whatever the order in which edits arrive, and however often, everybody ends with the same record and the same
 * revisions, and nothing that a person typed is lost. */
#include "record/merge.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/id.h"

#define NO_MAX BUF_NO_LIMIT

/* ---- stamps ----------------------------------------------------------------------------------------------------- */

static struct str made(int64_t now, const char *last, const char *device, char out[STAMP_CAP])
{
	return str_n(out, stamp_make(now, str_c(last), str_c(device), out));
}

static void a_stamp_is_later_than_all_its_maker_saw(void **state)
{
	(void)state;
	char a[STAMP_CAP], b[STAMP_CAP], c[STAMP_CAP];
	struct str first = made(1000, "", "phone", a);
	assert_string_equal(a, "0000000003e8-0000-phone");
	struct str second = made(5, a, "laptop", b); /* a clock that is behind */
	assert_string_equal(b, "0000000003e8-0001-laptop");
	assert_true(stamp_cmp(second, first) > 0 && stamp_cmp(first, STR("")) > 0);
	assert_string_equal(made(1001, b, "phone", c).p, "0000000003e9-0000-phone");
	assert_string_equal(made(0, "0000000003e8-ffff-x", "phone", c).p, "0000000003e9-0000-phone");
	assert_string_equal(made(7, "", "", c).p, "000000000007-0000-"); /* the daemon's */
	assert_int_equal(stamp_ms(second), 1000);
	assert_true(str_eq(stamp_device(second), STR("laptop")));
}

static void what_is_no_stamp_is_told_apart(void **state)
{
	(void)state;
	static const char *const bad[] = {"x",
					  "0000000003e8",
					  "0000000003e8-0000",
					  "0000000003E8-0000-a",
					  "0000000003e8_0000-a",
					  "0000000003e8-000g-a",
					  "0000000003e8-0000-a b",
					  "0000000003e8-0000-a!",
					  "0000000003e8-0000-a!0000000003e8-00"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(stamp_is_valid(str_c(bad[i])));
	assert_true(stamp_is_valid(STR("")) && stamp_is_valid(STR("0000000003e8-0000-a")));
	assert_true(stamp_is_valid(STR("0000000003e8-0000-")));
	assert_true(stamp_is_valid(STR("0000000003e8-0000-a!0000000fffff-0002")));
}

static void a_clock_far_ahead_is_cut_and_known_again(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct str s = STR("0000000fffff-0002-phone"), ok = STR("0000000003e8-0000-phone");
	struct str cut = stamp_cut(s, 1000, STR(""), &arena);
	assert_string_equal(cut.p, "0000000003e8-0000-phone!0000000fffff-0002");
	assert_true(stamp_is_valid(cut) && stamp_same(cut, s) && !stamp_same(cut, ok));
	assert_true(str_eq(stamp_device(cut), STR("phone")));
	assert_true(str_eq(stamp_cut(ok, 1000, STR(""), &arena), ok));
	/* A repeat that is cut at another time is the same stamp, and of two cut in one moment the later stays later. */
	assert_true(stamp_same(cut, stamp_cut(s, 5000, STR(""), &arena)));
	struct str next = stamp_cut(STR("0000000fffff-0003-phone"), 1000, STR(""), &arena);
	assert_true(stamp_cmp(next, cut) > 0 && !stamp_same(next, cut));
	/* It stays later than what its maker had seen. */
	struct str after = stamp_cut(s, 1000, STR("0000000003e8-0007-z"), &arena);
	assert_true(stamp_cmp(after, STR("0000000003e8-0007-z")) > 0);
	arena_clear(&arena);
}

/* ---- one edit --------------------------------------------------------------------------------------------------- */

struct given {
	struct json_doc *fields, *base;
	struct merge_edit edit;
};

static struct json_doc *doc_of(const char *text)
{
	struct json_doc *doc = NULL;
	if (text != NULL) assert_int_equal(json_parse(str_c(text), &doc, NULL), OK);
	return doc;
}

static void given_init(struct given *g, const char *fields, const char *stamp, const char *base)
{
	*g = (struct given){.fields = doc_of(fields), .base = doc_of(base)};
	g->edit = (struct merge_edit){
		.fields = json_root(g->fields), .stamp = str_c(stamp), .base = g->base ? json_root(g->base) : NULL};
}

static void given_release(struct given *g)
{
	json_free(g->fields);
	json_free(g->base);
}

static enum err apply(uint32_t type, const char *stored, const char *fields, const char *stamp, const char *base,
		      struct arena *arena, struct merge_result *out, struct errinfo *info)
{
	struct given g;
	given_init(&g, fields, stamp, base);
	enum err e = merge_apply(type, str_c(stored), &g.edit, NO_MAX, arena, out, info);
	given_release(&g);
	return e;
}

#define S1 "000000000001-0000-a"
#define S2 "000000000002-0000-b"
#define S3 "000000000003-0000-c"

static void an_edit_of_what_was_seen_is_plain(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct merge_result m;
	assert_int_equal(
		apply(RT_PROJECT, "{\"title\":\"A\",\"n\":1.0}", "{\"title\":\"B\"}", S1, NULL, &arena, &m, NULL), OK);
	assert_string_equal(m.fields.p, "{\"title\":\"B\",\"n\":1.0,\"stamps\":{\"title\":\"" S1 "\"}}");
	assert_true(m.changed);
	assert_int_equal(m.nkept, 1);
	assert_string_equal(m.kept[0].value.p, "\"A\"");
	assert_string_equal(m.kept[0].by.p, S1);
	assert_true(m.kept[0].stamp.n == 0 && !m.kept[0].is_edits_own);
	assert_int_equal(m.nknown, 0);
	arena_clear(&arena);
}

static void of_two_edits_of_one_field_the_later_wins_and_the_other_is_kept(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct merge_result m, later;
	const char *stored = "{\"title\":\"B\",\"stamps\":{\"title\":\"" S2 "\"}}";
	assert_int_equal(apply(RT_PROJECT, stored, "{\"title\":\"A\"}", S1, NULL, &arena, &m, NULL), OK);
	assert_false(m.changed);
	assert_string_equal(m.fields.p, stored);
	assert_true(m.nkept == 1 && m.kept[0].is_edits_own && m.kept[0].by.n == 0);
	assert_int_equal(apply(RT_PROJECT, stored, "{\"title\":\"C\"}", S3, NULL, &arena, &later, NULL), OK);
	assert_true(later.changed && later.nkept == 1 && !later.kept[0].is_edits_own && later.kept[0].by.n == 0);
	assert_string_equal(later.kept[0].value.p, "\"B\"");
	/* The first value was known to it. */
	assert_true(later.nknown == 1 && later.known[0].base.n == 0 && str_eq(later.known[0].by, STR(S3)));
	arena_clear(&arena);
}

static void a_repeat_changes_nothing_and_one_stamp_has_one_value(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct merge_result m;
	struct errinfo info = {0};
	const char *stored = "{\"title\":\"B\",\"stamps\":{\"title\":\"" S2 "\"}}";
	assert_int_equal(apply(RT_PROJECT, stored, "{\"title\":\"B\"}", S2, NULL, &arena, &m, NULL), OK);
	assert_true(!m.changed && m.nkept == 0);
	assert_int_equal(apply(RT_PROJECT, stored, "{\"title\":\"X\"}", S2, NULL, &arena, &m, &info), ERR_BAD_FIELD);
	assert_non_null(strstr(info.text, "another value of \"title\""));
	arena_clear(&arena);
}

static void each_setting_is_a_field_of_its_own(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct merge_result m, n;
	const char *stored = "{\"settings\":{\"font\":1,\"x\":2}}";
	assert_int_equal(apply(RT_CONVERSATION, stored, "{\"settings\":{\"font\":9}}", S1, NULL, &arena, &m, NULL), OK);
	assert_int_equal(
		apply(RT_CONVERSATION, m.fields.p, "{\"settings\":{\"x\":null,\"y\":[]}}", S2, NULL, &arena, &n, NULL),
		OK);
	assert_string_equal(n.fields.p, "{\"settings\":{\"font\":9,\"y\":[]},\"stamps\":{\"settings.font\":\"" S1
					"\",\"settings.x\":\"" S2 "\",\"settings.y\":\"" S2 "\"}}");
	assert_true(n.nkept == 1 && str_eq(n.kept[0].field, STR("settings.x")));
	struct json_doc *doc = doc_of(n.fields.p);
	assert_true(str_eq(merge_latest(json_root(doc)), STR(S2)));
	assert_non_null(merge_value_of(RT_CONVERSATION, json_root(doc), STR("settings.font")));
	json_free(doc);
	arena_clear(&arena);
}

static void sets_take_in_and_out_by_element(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct merge_result m, n, o;
	assert_int_equal(apply(RT_MESSAGE, "{\"tags\":[\"z\",\"k\"]}",
			       "{\"tags\":{\"add\":[\"b\"],\"remove\":[\"k\"]}}", S2, NULL, &arena, &m, NULL),
			 OK);
	assert_string_equal(m.fields.p,
			    "{\"tags\":[\"b\",\"z\"],\"stamps\":{\"tags\":{\"b\":\"+" S2 "\",\"k\":\"-" S2 "\"}}}");
	assert_int_equal(m.nkept, 0);
	/* An older edit that puts k in comes too late; a plain list adds; an edit may do both. */
	assert_int_equal(apply(RT_MESSAGE, m.fields.p, "{\"tags\":[\"k\",\"m\"]}", S1, NULL, &arena, &n, NULL), OK);
	assert_string_equal(n.fields.p, "{\"tags\":[\"b\",\"m\",\"z\"],\"stamps\":{\"tags\":{\"b\":\"+" S2
					"\",\"k\":\"-" S2 "\",\"m\":\"+" S1 "\"}}}");
	assert_int_equal(apply(RT_MESSAGE, n.fields.p, "{\"tags\":{\"add\":[\"q\"],\"remove\":[\"q\"]}}", S3, NULL,
			       &arena, &o, NULL),
			 OK);
	assert_non_null(strstr(o.fields.p, "\"q\":\"+"));
	/* And again it changes nothing. */
	assert_int_equal(apply(RT_MESSAGE, o.fields.p, "{\"tags\":{\"add\":[\"q\"],\"remove\":[\"q\"]}}", S3, NULL,
			       &arena, &n, NULL),
			 OK);
	assert_false(n.changed);
	arena_clear(&arena);
}

static void what_does_not_fit_a_field_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"{\"tags\":[1]}",   "{\"tags\":null}",     "{\"tags\":{}}",        "{\"tags\":{\"add\":\"x\"}}",
		"{\"settings\":7}", "{\"settings\":null}", "{\"settings.font\":1}"};
	struct arena arena = {0};
	struct merge_result m;
	struct errinfo info;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(apply(RT_CONVERSATION, "{}", bad[i], S1, NULL, &arena, &m, &info), ERR_BAD_FIELD);
	/* An application's own types have registers only. */
	assert_int_equal(apply(RT_FIRST_OWN, "{}", "{\"tags\":7,\"settings.font\":1}", S1, NULL, &arena, &m, NULL), OK);
	struct json_doc *base = doc_of("{\"title\":\"" S2 "\"}"), *junk = doc_of("{\"title\":\"x\"}");
	assert_int_equal(merge_check_base(json_root(base), STR(S3), &info), OK);
	assert_int_equal(merge_check_base(json_root(base), STR(S2), &info), ERR_BAD_FIELD);
	assert_int_equal(merge_check_base(json_root(junk), STR(S2), &info), ERR_BAD_FIELD);
	assert_int_equal(merge_check_base(NULL, STR(S2), &info), OK);
	json_free(base);
	json_free(junk);
	struct given g;
	given_init(&g, "{\"title\":\"long enough to pass the limit\"}", S1, NULL);
	assert_int_equal(merge_apply(RT_PROJECT, STR("{}"), &g.edit, 40, &arena, &m, &info), ERR_TOO_LARGE);
	given_release(&g);
	arena_clear(&arena);
}

static void a_save_without_a_stamp_is_stamped_where_it_changed_something(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct merge_result m;
	const char *stored = "{\"title\":\"A\",\"n\":1,\"tags\":[\"x\",\"y\"],\"settings\":{\"a\":1,\"b\":2}}";
	const char *saved =
		"{\"title\":\"B\",\"n\":1,\"tags\":[\"y\",\"w\"],\"settings\":{\"a\":1,\"c\":3},\"stamps\":7}";
	assert_int_equal(merge_stamp(RT_PROJECT, str_c(stored), str_c(saved), STR(S1), NO_MAX, &arena, &m, NULL), OK);
	assert_string_equal(
		m.fields.p,
		"{\"title\":\"B\",\"n\":1,\"tags\":[\"y\",\"w\"],\"settings\":{\"a\":1,\"c\":3},\"stamps\":{"
		"\"title\":\"" S1 "\",\"tags\":{\"w\":\"+" S1 "\",\"x\":\"-" S1 "\"},\"settings.c\":\"" S1
		"\",\"settings.b\":\"" S1 "\"}}");
	assert_int_equal(m.nkept, 1); /* the title was typed, the settings were not */
	assert_string_equal(m.kept[0].value.p, "\"A\"");
	/* The stamps stay when all is replaced, and a new record has none. */
	assert_int_equal(merge_stamp(RT_PROJECT, m.fields, STR("{\"title\":\"B\"}"), STR(S2), NO_MAX, &arena, &m, NULL),
			 OK);
	assert_non_null(strstr(m.fields.p, "\"title\":\"" S1 "\""));
	assert_int_equal(merge_stamp(RT_PROJECT, STR("{}"), str_c(saved), STR_NONE, NO_MAX, &arena, &m, NULL), OK);
	assert_null(strstr(m.fields.p, "stamps"));
	/* What an edit never touched has no bytes to spare. */
	assert_int_equal(merge_stamp(RT_PROJECT, str_c(stored), str_c(stored), STR(S1), NO_MAX, &arena, &m, NULL), OK);
	assert_string_equal(m.fields.p, stored);
	assert_false(m.changed);
	arena_clear(&arena);
}

static void an_edit_of_what_was_deleted_is_kept(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct merge_result m;
	struct given g;
	given_init(&g, "{\"title\":\"X\",\"tags\":[\"t\"],\"settings\":{\"a\":1},\"gone\":null}", S3,
		   "{\"title\":\"" S1 "\"}");
	assert_int_equal(merge_apply_dead(RT_PROJECT, &g.edit, &arena, &m, NULL), OK);
	assert_true(!m.changed && m.nkept == 3);
	assert_true(str_eq(m.kept[0].field, STR("title")) && str_eq(m.kept[1].field, STR("settings.a")));
	assert_string_equal(m.kept[2].value.p, "null"); /* it would have been taken away */
	assert_true(m.kept[0].is_edits_own && str_eq(m.known[0].base, STR(S1)));
	given_release(&g);
	arena_clear(&arena);
}

/* ---- any order -------------------------------------------------------------------------------------------------- */

#define EDITS_MAX 24
#define DEVICES 4
#define VERSIONS_MAX 256

/* An edit as a device made it: what it had seen of the others' is in `after`, a bit for each. */
struct made_edit {
	struct json_doc *fields, *base;
	struct merge_edit edit;
	uint32_t after;
	bool is_delete;
};

/* What a store keeps: the record, and the versions that are not its values. */
struct version {
	struct str field, stamp, value; /* value STR_NONE: it was deleted by one who had seen it */
	struct str by[EDITS_MAX];
	size_t nby;
	bool is_text;
};
struct copy {
	struct str fields;
	bool deleted;
	struct version list[VERSIONS_MAX];
	size_t n;
};

static struct version *find_version(struct copy *c, struct str field, struct str stamp)
{
	for (size_t i = 0; i < c->n; i++)
		if (str_eq(c->list[i].field, field) && stamp_same(c->list[i].stamp, stamp)) return &c->list[i];
	return NULL;
}

static void add_by(struct version *v, struct str by)
{
	if (by.n == 0) return;
	for (size_t i = 0; i < v->nby; i++)
		if (str_eq(v->by[i], by)) return;
	size_t at = v->nby++;
	for (; at > 0 && str_cmp(v->by[at - 1], by) > 0; at--) v->by[at] = v->by[at - 1];
	v->by[at] = by;
}

static void add_version(struct copy *c, struct str field, struct str stamp, struct str value, struct str by)
{
	struct version *v = find_version(c, field, stamp);
	if (v == NULL) {
		assert_true(c->n < VERSIONS_MAX);
		v = &c->list[c->n++];
		*v = (struct version){.field = field, .stamp = stamp, .value = value};
		add_by(v, by);
	}
}

static void copy_keep(struct copy *c, const struct merge_result *m)
{
	for (size_t i = 0; i < m->nkept; i++)
		add_version(c, m->kept[i].field, m->kept[i].stamp, m->kept[i].value, m->kept[i].by);
	for (size_t i = 0; i < m->nknown; i++) {
		struct version *v = find_version(c, m->known[i].field, m->known[i].base);
		if (v != NULL && v->value.p != NULL) add_by(v, m->known[i].by);
	}
}

/* A tombstone has no value. What the base names was seen, and what a version that was seen had replaced. */
static bool was_seen(struct copy *c, const struct version *v, const struct json *base)
{
	struct str named = STR("");
	(void)json_str(json_getn(base, v->field), &named);
	if (stamp_same(named, v->stamp)) return true;
	for (size_t i = 0; i < v->nby; i++) {
		const struct version *by = find_version(c, v->field, v->by[i]);
		if (by != NULL && by->value.p == NULL) return true;
	}
	return false;
}

static void copy_delete(struct copy *c, uint32_t type, const struct json *base, struct arena *arena)
{
	struct json_doc *doc = doc_of(c->fields.p);
	struct str stamp;
	for (struct json_iter it = json_iter(json_get(json_root(doc), MERGE_STAMPS)); !c->deleted && json_next(&it);) {
		const struct json *value = merge_value_of(type, json_root(doc), it.key);
		if (!json_str(it.val, &stamp)) continue;
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		if (value != NULL) json_write(&b, value);
		else buf_add_str(&b, STR("null"));
		add_version(c, arena_str(arena, it.key), arena_str(arena, stamp), arena_str(arena, buf_str(&b)),
			    STR(""));
		buf_release(&b);
	}
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < c->n; i++) {
			if (c->list[i].value.p == NULL || !was_seen(c, &c->list[i], base)) continue;
			c->list[i].value = STR_NONE;
			more = true;
		}
	}
	c->deleted = true;
	c->fields = STR("{}");
	json_free(doc);
}

static void copy_apply(struct copy *c, uint32_t type, const struct made_edit *e, struct arena *arena)
{
	struct merge_result m;
	if (e->is_delete) {
		copy_delete(c, type, e->edit.base, arena);
		return;
	}
	enum err err = c->deleted ? merge_apply_dead(type, &e->edit, arena, &m, NULL)
				  : merge_apply(type, c->fields, &e->edit, NO_MAX, arena, &m, NULL);
	assert_int_equal(err, OK);
	copy_keep(c, &m);
	if (!c->deleted) c->fields = m.fields;
}

/* Any members of a conversation: a title, settings, a plain field, tags. */
static struct json_doc *random_fields(struct rng *r, int n)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	char value[32];
	snprintf(value, sizeof value, "v%d", n);
	jw_obj(&w);
	if (rng_below(r, 3) > 0) jw_kstr(&w, "title", str_c(value));
	if (rng_below(r, 4) == 0) jw_kraw(&w, "model", rng_below(r, 4) == 0 ? STR("null") : STR("\"m\""));
	if (rng_below(r, 3) == 0) {
		jw_key(&w, "settings");
		jw_obj(&w);
		jw_kint(&w, rng_below(r, 2) == 0 ? "a" : "b", n);
		if (rng_below(r, 2) == 0) jw_kraw(&w, "c", rng_below(r, 2) == 0 ? STR("null") : STR("[1]"));
		jw_obj_end(&w);
	}
	if (rng_below(r, 3) == 0) {
		static const char *const tags[] = {"[\"x\"]", "[\"y\",\"x\"]", "[\"k\"]", "[]"};
		jw_key(&w, "tags");
		jw_obj(&w);
		jw_kraw(&w, "add", str_c(tags[rng_below(r, 4)]));
		jw_kraw(&w, "remove", str_c(tags[rng_below(r, 4)]));
		jw_obj_end(&w);
	}
	jw_obj_end(&w);
	struct json_doc *doc = doc_of(b.p);
	buf_release(&b);
	return doc;
}

/* The base is what the device's own copy says of the fields it edits; of a deletion, of all there is. */
static struct json_doc *base_of(const struct json *fields, const struct json *edited)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	struct str s;
	jw_obj(&w);
	for (struct json_iter it = json_iter(json_get(fields, MERGE_STAMPS)); json_next(&it);) {
		bool is_setting = str_starts(it.key, STR("settings."));
		const struct json *in =
			is_setting ? json_getn(json_get(edited, "settings"), str_n(it.key.p + 9, it.key.n - 9))
				   : json_getn(edited, it.key);
		if ((edited != NULL && in == NULL) || !json_str(it.val, &s)) continue;
		jw_key_str(&w, it.key);
		jw_str(&w, s);
	}
	jw_obj_end(&w);
	struct json_doc *doc = doc_of(b.p);
	buf_release(&b);
	return doc;
}

#define FIRST "{\"title\":\"v\",\"tags\":[\"k\",\"z\"],\"settings\":{\"a\":0},\"own\":[1.50]}"

struct history {
	struct made_edit list[EDITS_MAX];
	size_t n;
	struct arena arena;
};

/* Devices that edit what they know and hear of each other now and then; their clocks disagree. */
static void make_history(struct history *h, struct rng *r, uint32_t type, int deletes)
{
	struct copy *copies = xcalloc(DEVICES, sizeof *copies);
	uint32_t knows[DEVICES] = {0};
	h->n = 2 + rng_below(r, EDITS_MAX - 2);
	for (int d = 0; d < DEVICES; d++) copies[d].fields = STR(FIRST);
	for (size_t i = 0; i < h->n;) {
		size_t d = rng_below(r, DEVICES), o = rng_below(r, DEVICES);
		for (size_t k = 0; k < i && rng_below(r, 3) > 0; k++) {
			if (!(knows[o] & ~knows[d] & 1U << k)) continue;
			copy_apply(&copies[d], type, &h->list[k], &h->arena);
		}
		for (size_t k = 0; k < i; k++) /* whatever it applied above, it knows all of the other's now */
			if (knows[o] & ~knows[d] & 1U << k) copy_apply(&copies[d], type, &h->list[k], &h->arena);
		knows[d] |= knows[o];
		if (copies[d].deleted) {
			if (rng_below(r, 8) == 0) h->n = i; /* nobody may be left who edits */
			continue;
		}
		struct made_edit *e = &h->list[i];
		struct json_doc *doc = doc_of(copies[d].fields.p);
		char name[8], stamp[STAMP_CAP];
		snprintf(name, sizeof name, "d%zu", d);
		size_t n = stamp_make((int64_t)(1000 + i + 5 * d), merge_latest(json_root(doc)), str_c(name), stamp);
		*e = (struct made_edit){.after = knows[d], .is_delete = deletes > 0 && rng_below(r, 6) == 0};
		deletes -= e->is_delete;
		e->fields = e->is_delete ? NULL : random_fields(r, (int)i);
		e->base = base_of(json_root(doc), e->is_delete ? NULL : json_root(e->fields));
		e->edit = (struct merge_edit){.fields = e->fields ? json_root(e->fields) : NULL,
					      .stamp = arena_str(&h->arena, str_n(stamp, n)),
					      .base = json_root(e->base)};
		json_free(doc);
		copy_apply(&copies[d], type, e, &h->arena);
		knows[d] |= 1U << i++;
	}
	free(copies);
}

static void history_release(struct history *h)
{
	for (size_t i = 0; i < h->n; i++) {
		json_free(h->list[i].fields);
		json_free(h->list[i].base);
	}
	arena_clear(&h->arena);
}

/* Applies everything in an order of its own, some of it twice. */
static void play(struct history *h, struct rng *r, uint32_t type, bool causal, struct copy *out)
{
	uint32_t done = 0, all = h->n == 32 ? ~0U : (1U << h->n) - 1;
	*out = (struct copy){.fields = STR(FIRST)};
	while (done != all) {
		size_t i = rng_below(r, h->n);
		bool repeat = (done & 1U << i) != 0;
		if (causal && (h->list[i].after & ~done) != 0) continue;
		if (repeat && rng_below(r, 3) > 0) continue;
		copy_apply(out, type, &h->list[i], &h->arena);
		done |= 1U << i;
	}
}

static void expect_same(struct copy *a, struct copy *b, bool with_by)
{
	struct json_doc *x = doc_of(a->fields.p), *y = doc_of(b->fields.p);
	assert_true(json_equal(json_root(x), json_root(y)));
	assert_int_equal(a->deleted, b->deleted);
	size_t live_a = 0, live_b = 0;
	for (size_t i = 0; i < b->n; i++) live_b += b->list[i].value.p != NULL;
	for (size_t i = 0; i < a->n; i++) {
		struct version *v = &a->list[i], *o = find_version(b, v->field, v->stamp);
		live_a += v->value.p != NULL;
		if (v->value.p == NULL) {
			assert_true(o == NULL || o->value.p == NULL);
			continue;
		}
		assert_non_null(o);
		assert_true(str_eq(o->value, v->value));
		if (!with_by) continue;
		assert_int_equal(o->nby, v->nby);
		for (size_t k = 0; k < v->nby; k++) assert_true(str_eq(o->by[k], v->by[k]));
	}
	assert_int_equal(live_a, live_b);
	json_free(x);
	json_free(y);
}

static bool holds_value(struct copy *c, const struct json *fields, struct str field, struct str stamp,
			const struct json *v)
{
	struct version *kept = find_version(c, field, stamp);
	if (kept != NULL && kept->value.p == NULL) return true; /* seen, and deleted by a person */
	if (kept != NULL) {
		struct json_doc *doc = doc_of(kept->value.p);
		bool same = json_equal(json_root(doc), v);
		json_free(doc);
		return same;
	}
	return str_eq(merge_stamp_of(fields, field), stamp) && json_equal(json_getn(fields, field), v);
}

/* Every title that was ever typed is the title, or a revision, or went with a deletion by one who had seen it. */
static void expect_nothing_lost(struct history *h, struct copy *c)
{
	struct json_doc *doc = doc_of(c->fields.p), *first = doc_of("\"v\"");
	assert_true(c->deleted || holds_value(c, json_root(doc), STR("title"), STR(""), json_root(first)));
	for (size_t i = 0; i < h->n; i++) {
		const struct made_edit *e = &h->list[i];
		const struct json *title = json_get(e->edit.fields, "title");
		if (title == NULL) continue;
		assert_true(holds_value(c, json_root(doc), STR("title"), e->edit.stamp, title));
	}
	json_free(doc);
	json_free(first);
}

static void orders(uint32_t type, int cases, int deletes, uint64_t seed)
{
	struct copy *one = xcalloc(2, sizeof *one), *two = one + 1;
	for (int i = 0; i < cases; i++) {
		struct rng r;
		struct history h = {.n = 0};
		rng_seed(&r, seed + (uint64_t)i);
		make_history(&h, &r, type, deletes);
		bool causal = deletes > 0 || i % 2 == 0;
		play(&h, &r, type, causal, one);
		expect_nothing_lost(&h, one);
		for (int k = 0; k < 3; k++) {
			play(&h, &r, type, causal, two);
			expect_same(one, two, causal);
			expect_nothing_lost(&h, two);
		}
		if (deletes > 0) { /* out of all order a deletion may keep more, never less */
			play(&h, &r, type, false, two);
			expect_nothing_lost(&h, two);
		}
		history_release(&h);
	}
	free(one);
}

static void any_order_with_repeats_ends_in_the_same_record_and_revisions(void **state)
{
	(void)state;
	orders(RT_CONVERSATION, 3000, 0, 1);
	orders(RT_FIRST_OWN, 1000, 0, 100000);
}

static void deletions_win_in_any_order_and_take_along_what_was_seen(void **state)
{
	(void)state;
	orders(RT_CONVERSATION, 2000, 1, 200000);
	orders(RT_PROJECT, 1000, 2, 300000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stamp_is_later_than_all_its_maker_saw),
		cmocka_unit_test(what_is_no_stamp_is_told_apart),
		cmocka_unit_test(a_clock_far_ahead_is_cut_and_known_again),
		cmocka_unit_test(an_edit_of_what_was_seen_is_plain),
		cmocka_unit_test(of_two_edits_of_one_field_the_later_wins_and_the_other_is_kept),
		cmocka_unit_test(a_repeat_changes_nothing_and_one_stamp_has_one_value),
		cmocka_unit_test(each_setting_is_a_field_of_its_own),
		cmocka_unit_test(sets_take_in_and_out_by_element),
		cmocka_unit_test(what_does_not_fit_a_field_is_refused),
		cmocka_unit_test(a_save_without_a_stamp_is_stamped_where_it_changed_something),
		cmocka_unit_test(an_edit_of_what_was_deleted_is_kept),
		cmocka_unit_test(any_order_with_repeats_ends_in_the_same_record_and_revisions),
		cmocka_unit_test(deletions_win_in_any_order_and_take_along_what_was_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
