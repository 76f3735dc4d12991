/* Edits on disk: whatever order they arrive in, the store ends with the same record and the same revisions; what was
 * deleted by one who had seen it stays away, and what nobody had seen stays. */
#include "store/store.h"

#include "store_fixture.h"

/* ---- editing in one line ---- */

struct
try {
	struct fixture *f;
	uint32_t type;
	const char *name, *device;
	struct edit edit;
	bool is_delete;
	struct record rec;
	struct edit_result result;
	size_t nchanges; /* records that the command changed */
};

static size_t changes_of(const struct txn *t)
{
	const struct change *c;
	size_t n = 0;
	STAILQ_FOREACH (c, &t->op->changes, link) n++;
	return n;
}

static enum err try_run(struct txn *t, void *ctx)
{
	struct try *x = ctx;
	struct arena *keep = &x->f->keep;
	/* Another device of the same user. */
	enum err e = txn_principal(t, x->f->user, str_c(x->device), &t->op->actor);
	if (e == OK) e = txn_get(t, x->f->zone, x->type, str_c(x->name), &x->rec);
	if (e == ERR_NOT_FOUND) {
		x->rec = (struct record){.zone = x->f->zone, .type = x->type, .name = str_c(x->name)};
		e = OK;
	}
	if (e == OK) e = (x->is_delete ? txn_edit_delete : txn_edit)(t, &x->rec, &x->edit, &x->result, &t->op->info);
	x->rec.fields = arena_str(keep, x->rec.fields);
	x->result.conflicts = arena_str(keep, x->result.conflicts);
	x->nchanges = changes_of(t);
	return e;
}

static struct json_doc *doc_of(const char *text)
{
	struct json_doc *doc = NULL;
	if (text != NULL) assert_int_equal(json_parse(str_c(text), &doc, NULL), OK);
	return doc;
}

/* `fields` NULL deletes; `stamp` and `base` may be NULL. */
static enum err edit(struct fixture *f, uint32_t type, const char *name, const char *device, const char *fields,
		     const char *stamp, const char *base, struct try *out)
{
	struct json_doc *x = doc_of(fields), *y = doc_of(base);
	*out = (struct try){.f = f, .type = type, .name = name, .device = device, .is_delete = fields == NULL};
	out->edit = (struct edit){
		.fields = x ? json_root(x) : NULL, .stamp = str_c(stamp), .base = y ? json_root(y) : NULL};
	enum err e = run(f, try_run, out);
	json_free(x);
	json_free(y);
	return e;
}

/* Every revision of a record that is there, as "field stamp value conflict" lines in one order. */
struct revisions {
	struct fixture *f;
	const char *name;
	char *lines[64];
	size_t n;
	int64_t tombstones; /* revisions that were deleted, of any record */
};

static enum err add_line(void *ctx, const struct record *r)
{
	struct revisions *v = ctx;
	struct json_doc *doc = NULL;
	struct str field = STR(""), stamp = STR("");
	bool conflict = false;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	assert_int_equal(json_parse(r->fields, &doc, NULL), OK);
	const struct json *in = json_root(doc), *by = json_get(in, "replacedBy");
	assert_true(json_str(json_get(in, "field"), &field) && json_str(json_get(in, "stamp"), &stamp));
	assert_true(json_bool(json_get(in, "conflict"), &conflict));
	assert_int_equal(conflict, json_len(by) == 0);
	buf_addf(&b, "%.*s %.*s %d ", STR_ARG(field), STR_ARG(stamp), conflict);
	json_write(&b, json_get(in, "value"));
	assert_true(v->n < ARRAY_LEN(v->lines));
	v->lines[v->n++] = buf_take(&b, NULL);
	json_free(doc);
	return OK;
}

static int compare_lines(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static enum err revisions_run(struct txn *t, void *ctx)
{
	struct revisions *v = ctx;
	char filter[300];
	(void)snprintf(filter, sizeof filter, "[{\"field\":\"recordName\",\"op\":\"eq\",\"value\":\"%s\"}]", v->name);
	struct json_doc *doc = doc_of(filter);
	struct query q = {.type = STR("Revision"), .filter = json_root(doc)};
	struct str cursor;
	enum err e = txn_query(t, v->f->zone, &q, add_line, v, &cursor, NULL);
	json_free(doc);
	return e;
}

static void revisions_load(struct fixture *f, const char *name, struct revisions *v)
{
	*v = (struct revisions){.f = f, .name = name};
	assert_int_equal(run_on_reader(f, revisions_run, v), OK);
	qsort(v->lines, v->n, sizeof *v->lines, compare_lines);
}

static void revisions_release(struct revisions *v)
{
	for (size_t i = 0; i < v->n; i++) free(v->lines[i]);
}

static void expect_revisions(struct fixture *f, const char *name, size_t n, ...)
{
	struct revisions v;
	va_list ap;
	revisions_load(f, name, &v);
	assert_int_equal(v.n, n);
	va_start(ap, n);
	for (size_t i = 0; i < n; i++) assert_string_equal(v.lines[i], va_arg(ap, const char *));
	va_end(ap);
	revisions_release(&v);
}

#define T1 "018bcfe56800-0001-d1"
#define T2 "018bcfe56800-0002-d2"
#define T3 "018bcfe56800-0003-d3"

/* ---- one record ---- */

static void what_an_edit_replaces_is_a_record_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct try x;
	assert_int_equal(edit(f, RT_PROJECT, "p", "d0", "{\"title\":\"A\",\"n\":1}", NULL, NULL, &x), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"B\",\"n\":2}", T1, "{}", &x), OK);
	assert_non_null(x.result.conflicts.p); /* the first values were stamped by whoever made it */
	assert_int_equal(edit(f, RT_PROJECT, "q", "d1", "{\"title\":\"A\"}", T1, NULL, &x), OK);
	assert_int_equal(edit(f, RT_PROJECT, "q", "d2", "{\"title\":\"B\"}", T2, "{\"title\":\"" T1 "\"}", &x), OK);
	assert_null(x.result.conflicts.p);
	expect_revisions(f, "q", 1, "title " T1 " 0 \"A\"");
	assert_int_equal(edit(f, RT_PROJECT, "q", "d3", "{\"title\":\"C\"}", T3, "{\"title\":\"" T1 "\"}", &x), OK);
	assert_non_null(strstr(x.result.conflicts.p, "\"kept\":\"ours\""));
	expect_revisions(f, "q", 2, "title " T1 " 0 \"A\"", "title " T2 " 1 \"B\"");
	assert_healthy(f);
}

static void a_stamp_is_its_devices_own_and_has_one_value(void **state)
{
	struct fixture *f = *state;
	struct try x;
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", "{\"title\":\"A\"}", T1, NULL, &x), ERR_BAD_FIELD);
	assert_non_null(strstr(f->info.text, "this device's id"));
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", "yesterday", NULL, &x), ERR_BAD_FIELD);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", "{\"title\":\"B\"}", T2, NULL, &x), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", T1, NULL, &x), OK);
	/* Lost once, it is known; under another value it would be lost for good. */
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", T1, NULL, &x), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"Z\"}", T1, NULL, &x), ERR_BAD_FIELD);
	expect_revisions(f, "p", 1, "title " T1 " 1 \"A\"");
}

static void a_stamp_from_the_future_is_cut_to_the_limit(void **state)
{
	struct fixture *f = *state;
	struct try x;
	f->limits.stamp_ahead_ms = 1000;
	int64_t now = f->now_ms;
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", "0fffffffffff-0000-d1", NULL, &x), OK);
	struct json_doc *doc = doc_of(x.rec.fields.p);
	int64_t ms = stamp_ms(merge_stamp_of(json_root(doc), STR("title")));
	assert_true(ms >= now + 1000 && ms <= now + 1010);
	json_free(doc);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", "0fffffffffff-0000-d1", NULL, &x), OK);
	assert_false(x.result.changed);
	expect_revisions(f, "p", 0);
	/* Its own next edit is later, though it was cut in the same way. */
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"B\"}", "0fffffffffff-0001-d1",
			      "{\"title\":\"0fffffffffff-0000-d1\"}", &x),
			 OK);
	assert_true(x.result.changed);
	assert_null(x.result.conflicts.p);
}

static enum err fold(struct txn *t, void *ctx)
{
	bool more;
	return txn_compact(t, *(int64_t *)ctx, &more);
}

static void a_deletion_is_for_ever_also_after_its_tombstone_is_folded_away(void **state)
{
	struct fixture *f = *state;
	struct try x;
	f->limits.tombstone_keep_ms = 0;
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", T1, NULL, &x), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", "{\"title\":\"B\"}", T2, "{\"title\":\"" T1 "\"}", &x), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", NULL, NULL, NULL, &x), OK);
	assert_true(x.rec.deleted);
	expect_revisions(f, "p", 0);
	for (int i = 0; i < 2; i++) {
		/* Repeats of what was seen bring nothing back. */
		assert_int_equal(edit(f, RT_PROJECT, "p", "d2", "{\"title\":\"B\"}", T2, "{\"title\":\"" T1 "\"}", &x),
				 OK);
		assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", T1, NULL, &x), OK);
		assert_null(x.result.conflicts.p);
		expect_revisions(f, "p", 0);
		assert_int_equal(x.rec.row == 0, i == 1);
		f->now_ms += 10;
		assert_int_equal(run(f, fold, &f->now_ms), OK);
	}
	assert_int_equal(edit(f, RT_PROJECT, "p", "d3", "{\"title\":\"C\"}", T3, "{}", &x), OK);
	assert_non_null(strstr(x.result.conflicts.p, "\"deleted\":true"));
	expect_revisions(f, "p", 1, "title " T3 " 1 \"C\"");
	assert_healthy(f);
}

/* ---- long histories ---- */

#define STEP_MOST 128 /* revisions that one step looks at: store/sweep.c */

struct titles {
	struct fixture *f;
	const char *name;
	int first, n;
	bool late; /* by d2, earlier than all by d1, and nobody sees them */
	int pad;   /* spaces that make each longer */
};

/* The stamp of edit number i, by d1. */
static const char *nth(int i, char out[STAMP_CAP])
{
	(void)stamp_make(1000 + i, STR(""), STR("d1"), out);
	return out;
}

/* Each edit of d1 had seen the one before. */
static enum err titles_run(struct txn *t, void *ctx)
{
	const struct titles *x = ctx;
	enum err e = txn_principal(t, x->f->user, x->late ? STR("d2") : STR("d1"), &t->op->actor);
	for (int i = x->first; e == OK && i < x->first + x->n; i++) {
		struct record r;
		struct edit_result result;
		struct buf fields = BUF_INIT(BUF_NO_LIMIT);
		char base[STAMP_CAP + 30], stamp[STAMP_CAP], before[STAMP_CAP];
		buf_addf(&fields, "{\"title\":\"v%d%*s\"}", i, x->pad, "");
		(void)snprintf(base, sizeof base, "{\"title\":\"%s\"}", i > 0 && !x->late ? nth(i - 1, before) : "");
		if (x->late) (void)stamp_make(1 + i, STR(""), STR("d2"), stamp);
		else (void)nth(i, stamp);
		struct json_doc *f = doc_of(fields.p), *b = doc_of(base);
		buf_release(&fields);
		e = txn_get(t, x->f->zone, RT_PROJECT, str_c(x->name), &r);
		if (e == ERR_NOT_FOUND) {
			r = (struct record){.zone = x->f->zone, .type = RT_PROJECT, .name = str_c(x->name)};
			e = OK;
		}
		struct edit edit = {.fields = json_root(f), .stamp = str_c(stamp), .base = json_root(b)};
		if (e == OK) e = txn_edit(t, &r, &edit, &result, NULL);
		json_free(f);
		json_free(b);
	}
	return e;
}

static void make_titles(struct fixture *f, const char *name, int n)
{
	assert_int_equal(run(f, titles_run, &(struct titles){.f = f, .name = name, .n = n}), OK);
}

struct counting {
	struct fixture *f;
	const char *name;
	size_t n;
};

static enum err count_one(void *ctx, const struct record *r)
{
	(void)r;
	((struct counting *)ctx)->n++;
	return OK;
}

static enum err count_run(struct txn *t, void *ctx)
{
	struct counting *c = ctx;
	char filter[300];
	(void)snprintf(filter, sizeof filter, "[{\"field\":\"recordName\",\"op\":\"eq\",\"value\":\"%s\"}]", c->name);
	struct json_doc *doc = doc_of(filter);
	struct query q = {.type = STR("Revision"), .filter = json_root(doc)};
	struct str cursor;
	enum err e;
	do {
		e = txn_query(t, c->f->zone, &q, count_one, c, &cursor, NULL);
		q.cursor = cursor;
	} while (e == OK && cursor.p != NULL);
	json_free(doc);
	return e;
}

static size_t revisions_of(struct fixture *f, const char *name)
{
	struct counting c = {.f = f, .name = name};
	assert_int_equal(run_on_reader(f, count_run, &c), OK);
	return c.n;
}

struct sweeping {
	bool more;
	size_t nchanges;
};

static enum err sweep_run(struct txn *t, void *ctx)
{
	struct sweeping *s = ctx;
	enum err e = txn_compact(t, 0, &s->more);
	s->nchanges = changes_of(t);
	return e;
}

static enum err sweep_and_fail(struct txn *t, void *ctx)
{
	(void)ctx;
	bool more;
	enum err e = sweep_next(t, &more);
	return e == OK ? ERR_CANCELLED : e;
}

/* Runs steps until nothing is left; how many there were. */
static int sweep_all(struct fixture *f)
{
	struct sweeping s;
	int n = 0;
	for (;; n++) {
		assert_true(n < 1000);
		assert_int_equal(run(f, sweep_run, &s), OK);
		assert_true(s.nchanges <= STEP_MOST);
		if (!s.more) return n;
	}
}

static void a_long_history_goes_in_steps_of_a_bounded_size(void **state)
{
	struct fixture *f = *state;
	struct try x;
	make_titles(f, "p", 1000);
	assert_int_equal(revisions_of(f, "p"), 999);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", NULL, NULL, NULL, &x), OK);
	assert_true(x.rec.deleted);
	assert_int_equal(x.nchanges, STEP_MOST + 2); /* the record, and the tombstone of its title */
	assert_int_equal(revisions_of(f, "p"), 999 - STEP_MOST);
	assert_int_equal(sweep_all(f), 7);
	assert_int_equal(revisions_of(f, "p"), 0);
	assert_int_equal(sweep_all(f), 0);
	assert_healthy(f);
}

static void a_restart_between_the_steps_loses_none(void **state)
{
	struct fixture *f = *state;
	struct try x;
	struct sweeping s;
	make_titles(f, "p", 600);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", NULL, NULL, NULL, &x), OK);
	while (revisions_of(f, "p") > 0) {
		fixture_close(f);
		fixture_open(f);
		assert_healthy(f);
		assert_int_equal(run(f, sweep_run, &s), OK);
		assert_true(s.more);
	}
	assert_int_equal(sweep_all(f), 0);
}

static void a_step_that_is_taken_back_is_made_again(void **state)
{
	struct fixture *f = *state;
	struct try x;
	make_titles(f, "p", 300);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", NULL, NULL, NULL, &x), OK);
	size_t left = revisions_of(f, "p");
	assert_int_equal(run(f, sweep_and_fail, NULL), ERR_CANCELLED);
	assert_int_equal(revisions_of(f, "p"), left);
	assert_int_equal(sweep_all(f), 2);
	assert_int_equal(revisions_of(f, "p"), 0);
	assert_healthy(f);
}

static void a_step_looks_at_fewer_when_they_are_long(void **state)
{
	struct fixture *f = *state;
	struct try x;
	assert_int_equal(run(f, titles_run, &(struct titles){.f = f, .name = "p", .n = 61, .pad = 100000}), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", NULL, NULL, NULL, &x), OK);
	size_t left = revisions_of(f, "p");
	assert_true(left > 0 && left < 60);
	(void)sweep_all(f);
	assert_int_equal(revisions_of(f, "p"), 0);
}

static void a_walk_goes_on_behind_many_that_stay(void **state)
{
	struct fixture *f = *state;
	struct try x;
	make_titles(f, "p", 300);
	assert_int_equal(run(f, titles_run, &(struct titles){.f = f, .name = "p", .n = 300, .late = true}), OK);
	assert_int_equal(revisions_of(f, "p"), 299 + 300);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d3", NULL, NULL, NULL, &x), OK);
	assert_int_equal(sweep_all(f), 4);
	assert_int_equal(revisions_of(f, "p"), 300);
	assert_healthy(f);
}

static void what_nobody_had_seen_stays_among_many(void **state)
{
	struct fixture *f = *state;
	struct try x;
	char stamp[STAMP_CAP];
	(void)stamp_make(1100, STR(""), STR("d2"), stamp);
	make_titles(f, "p", 400);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", "{\"title\":\"mine\"}", stamp, "{}", &x), OK);
	assert_int_equal(run(f, titles_run, &(struct titles){.f = f, .name = "p", .first = 400, .n = 400}), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d3", NULL, NULL, NULL, &x), OK);
	(void)sweep_all(f);
	expect_revisions(f, "p", 1, "title 00000000044c-0000-d2 1 \"mine\"");
	/* One that had seen it deletes the record once more. */
	char later[STAMP_CAP], base[STAMP_CAP + 30];
	(void)stamp_make(9000, STR(""), STR("d4"), later);
	(void)snprintf(base, sizeof base, "{\"title\":\"%s\"}", stamp);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d4", NULL, later, base, &x), OK);
	expect_revisions(f, "p", 0);
	assert_healthy(f);
}

static void what_was_seen_earlier_goes_with_a_deletion_over_the_tombstone(void **state)
{
	struct fixture *f = *state;
	struct try x;
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", T1, NULL, &x), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d3", NULL, T3, "{\"title\":\"018bcfe56800-0000-d9\"}", &x), OK);
	expect_revisions(f, "p", 1, "title " T1 " 1 \"A\"");
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", "{\"title\":\"B\"}", T2, "{\"title\":\"" T1 "\"}", &x), OK);
	expect_revisions(f, "p", 2, "title " T1 " 0 \"A\"", "title " T2 " 1 \"B\"");
	assert_int_equal(edit(f, RT_PROJECT, "p", "d3", NULL, T3, "{\"title\":\"" T2 "\"}", &x), OK);
	expect_revisions(f, "p", 0);
	assert_healthy(f);
}

/* As a record that the daemon made has it: its first values have no stamps. */
static enum err strip_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	struct record r;
	enum err e = txn_get(t, f->zone, RT_PROJECT, STR("p"), &r);
	r.fields = r.deleted ? STR("{\"title\":\"Z\"}") : STR("{\"title\":\"A\"}");
	if (r.deleted) r.created_ms = 0; /* a second life begins */
	r.deleted = false;
	return e == OK ? txn_put(t, &r) : e;
}

static void a_first_value_goes_with_a_deletion_that_names_nothing(void **state)
{
	struct fixture *f = *state;
	struct try x;
	assert_int_equal(edit(f, RT_PROJECT, "p", "d0", "{\"title\":\"A\"}", NULL, NULL, &x), OK);
	assert_int_equal(run(f, strip_run, f), OK);
	assert_int_equal(
		edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"B\"}", T1, "{\"title\":\"018bcfe56800-0000-d9\"}", &x),
		OK);
	expect_revisions(f, "p", 1, "title  1 \"A\"");
	assert_int_equal(edit(f, RT_PROJECT, "p", "d3", NULL, T3, "{}", &x), OK);
	expect_revisions(f, "p", 1, "title " T1 " 1 \"B\"");
	assert_healthy(f);
}

static void a_message_counts_the_texts_it_had(void **state)
{
	struct fixture *f = *state;
	struct try x;
	assert_int_equal(edit(f, RT_MESSAGE, "m", "d1", "{\"text\":\"A\"}", T1, NULL, &x), OK);
	assert_null(strstr(x.rec.fields.p, "\"revisions\""));
	assert_int_equal(edit(f, RT_MESSAGE, "m", "d2", "{\"text\":\"B\"}", T2, "{\"text\":\"" T1 "\"}", &x), OK);
	assert_non_null(strstr(x.rec.fields.p, "\"revisions\":1"));
	for (int i = 0; i < 2; i++) { /* a repeat is not counted again */
		assert_int_equal(edit(f, RT_MESSAGE, "m", "d0", "{\"text\":\"0\"}", "018bcfe56800-0000-d0", NULL, &x),
				 OK);
		assert_non_null(strstr(x.rec.fields.p, "\"revisions\":2"));
	}
	assert_int_equal(edit(f, RT_MESSAGE, "m", "d3", "{\"tags\":[\"t\"]}", T3, NULL, &x), OK);
	assert_non_null(strstr(x.rec.fields.p, "\"revisions\":2"));
}

static enum err count_replaced(void *ctx, const struct record *r)
{
	struct json_doc *doc = doc_of(r->fields.p);
	struct str stamp = STR("");
	(void)json_str(json_get(json_root(doc), "stamp"), &stamp);
	if (str_eq(stamp, STR(T1))) *(size_t *)ctx = json_len(json_get(json_root(doc), "replacedBy"));
	json_free(doc);
	return OK;
}

static enum err replaced_run(struct txn *t, void *ctx)
{
	struct query q = {.type = STR("Revision")};
	struct str cursor;
	return txn_query(t, ((struct counting *)ctx)->f->zone, &q, count_replaced, &((struct counting *)ctx)->n,
			 &cursor, NULL);
}

static void a_version_names_the_first_that_replaced_it_and_no_more(void **state)
{
	struct fixture *f = *state;
	struct try x;
	struct counting c = {.f = f};
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", T1, NULL, &x), OK);
	for (int i = 0; i < 70; i++) {
		char stamp[STAMP_CAP];
		(void)stamp_make(f->now_ms, STR(""), STR("d2"), stamp);
		assert_int_equal(
			edit(f, RT_PROJECT, "p", "d2", "{\"title\":\"B\"}", stamp, "{\"title\":\"" T1 "\"}", &x), OK);
		assert_int_equal(run(f, replaced_run, &c), OK);
		assert_int_equal(c.n, MIN(i + 1, 64));
	}
}

static void a_second_life_has_a_first_value_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct try x;
	assert_int_equal(edit(f, RT_PROJECT, "p", "d0", "{\"title\":\"A\"}", NULL, NULL, &x), OK);
	assert_int_equal(run(f, strip_run, f), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"B\"}", T1, "{}", &x), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", NULL, NULL, NULL, &x), OK);
	expect_revisions(f, "p", 0);
	assert_int_equal(run(f, strip_run, f), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d3", "{\"title\":\"C\"}", T3, "{}", &x), OK);
	expect_revisions(f, "p", 1, "title  0 \"Z\"");
}

static void a_deletion_leaves_a_namesake_of_another_type_alone(void **state)
{
	struct fixture *f = *state;
	struct try x;
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", "{\"title\":\"A\"}", T1, NULL, &x), OK);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d2", "{\"title\":\"B\"}", T2, "{\"title\":\"" T1 "\"}", &x), OK);
	assert_int_equal(edit(f, RT_PRESET, "p", "d1", "{\"title\":\"A\"}", T1, NULL, &x), OK);
	assert_int_equal(edit(f, RT_PRESET, "p", "d2", "{\"title\":\"B\"}", T2, "{\"title\":\"" T1 "\"}", &x), OK);
	assert_int_equal(revisions_of(f, "p"), 2);
	assert_int_equal(edit(f, RT_PROJECT, "p", "d1", NULL, NULL, NULL, &x), OK);
	expect_revisions(f, "p", 1, "title " T1 " 0 \"A\"");
	assert_int_equal(edit(f, RT_PRESET, "p", "d1", NULL, NULL, NULL, &x), OK);
	expect_revisions(f, "p", 0);
}

static void walks_over_long_histories_take_turns(void **state)
{
	struct fixture *f = *state;
	struct try x;
	struct sweeping s;
	static const char *const names[] = {"p", "q", "r"};
	for (int i = 0; i < 3; i++) {
		make_titles(f, names[i], 600);
		assert_int_equal(edit(f, RT_PROJECT, names[i], "d2", NULL, NULL, NULL, &x), OK);
	}
	for (int i = 0; i < 3; i++) assert_int_equal(run(f, sweep_run, &s), OK);
	for (int i = 0; i < 3; i++) assert_int_equal(revisions_of(f, names[i]), 599 - 2 * STEP_MOST);
	(void)sweep_all(f);
	for (int i = 0; i < 3; i++) assert_int_equal(revisions_of(f, names[i]), 0);
}

struct paging {
	struct fixture *f;
	int64_t steps, first, last; /* of SQLite's machine */
};

static int one_step(void *ctx)
{
	((struct paging *)ctx)->steps++;
	return 0;
}

static enum err paging_run(struct txn *t, void *ctx)
{
	struct paging *p = ctx;
	struct counting c = {.f = p->f};
	struct json_doc *doc = doc_of("[{\"field\":\"recordName\",\"op\":\"eq\",\"value\":\"p\"}]");
	struct query q = {.type = STR("Revision"), .filter = json_root(doc), .limit = 50};
	struct str cursor;
	enum err e;
	sqlite3_progress_handler(t->db->h, 1, one_step, p);
	do {
		p->steps = 0;
		e = txn_query(t, p->f->zone, &q, count_one, &c, &cursor, NULL);
		if (q.cursor.p == NULL) p->first = p->steps;
		if (cursor.p != NULL) p->last = p->steps;
		q.cursor = cursor;
	} while (e == OK && cursor.p != NULL);
	sqlite3_progress_handler(t->db->h, 0, NULL, NULL);
	json_free(doc);
	assert_int_equal(c.n, 1999);
	return e;
}

static void the_last_page_of_a_long_history_costs_what_the_first_does(void **state)
{
	struct fixture *f = *state;
	struct paging p = {.f = f};
	make_titles(f, "p", 2000);
	assert_int_equal(run(f, paging_run, &p), OK);
	assert_true(p.first > 0 && p.last <= 2 * p.first);
}

/* ---- any order ---- */

#define EDITS_MAX 14
#define DEVICES 4

struct step {
	char device[4], fields[100], stamp[STAMP_CAP], base[500];
	bool is_delete;
	uint32_t after;
};
struct history {
	struct step list[EDITS_MAX];
	size_t n;
};

/* What a device that knows these edits shows: they are merged in the order in which they were made. */
static struct str shown(const struct history *h, uint32_t known, struct arena *arena, bool *deleted)
{
	struct str fields = STR("{}");
	*deleted = false;
	for (size_t i = 0; i < h->n; i++) {
		const struct step *s = &h->list[i];
		if (!(known & 1U << i)) continue;
		*deleted |= s->is_delete;
		if (s->is_delete) continue;
		struct merge_result m;
		struct json_doc *x = doc_of(s->fields), *y = doc_of(s->base);
		struct merge_edit e = {.fields = json_root(x), .stamp = str_c(s->stamp), .base = json_root(y)};
		assert_int_equal(merge_apply(RT_PROJECT, fields, &e, BUF_NO_LIMIT, arena, &m, NULL), OK);
		fields = m.fields;
		json_free(x);
		json_free(y);
	}
	return fields;
}

static void make_history(struct history *h, struct rng *r, bool with_delete)
{
	uint32_t knows[DEVICES] = {0};
	size_t want = 4 + rng_below(r, EDITS_MAX - 4);
	h->n = 0;
	for (int tries = 0; h->n < want && tries < 200; tries++) {
		struct arena arena = {0};
		size_t d = rng_below(r, DEVICES), i = h->n;
		if (rng_below(r, 3) == 0) knows[d] |= knows[rng_below(r, DEVICES)];
		bool deleted;
		struct str fields = shown(h, knows[d], &arena, &deleted);
		if (deleted) {
			arena_clear(&arena);
			continue;
		}
		struct step *s = &h->list[i];
		struct json_doc *doc = doc_of(fields.p);
		*s = (struct step){.after = knows[d], .is_delete = with_delete && i > 2 && rng_below(r, 5) == 0};
		struct str title = merge_stamp_of(json_root(doc), STR("title")),
			   font = merge_stamp_of(json_root(doc), STR("settings.font"));
		(void)snprintf(s->device, sizeof s->device, "d%zu", d);
		(void)stamp_make(1000 + (int64_t)i, merge_latest(json_root(doc)), str_c(s->device), s->stamp);
		(void)snprintf(s->fields, sizeof s->fields, "{\"title\":\"v%zu\"%s}", i,
			       rng_below(r, 2) == 0 ? ",\"settings\":{\"font\":7}" : "");
		(void)snprintf(s->base, sizeof s->base, "{\"title\":\"%.*s\",\"settings.font\":\"%.*s\"}",
			       STR_ARG(title), STR_ARG(font));
		knows[d] |= 1U << i;
		h->n++;
		json_free(doc);
		arena_clear(&arena);
	}
}

static void play(struct fixture *f, const struct history *h, struct rng *r, const char *name, struct try *last)
{
	uint32_t done = 0, all = (1U << h->n) - 1;
	while (done != all) {
		size_t i = rng_below(r, h->n);
		const struct step *s = &h->list[i];
		if ((s->after & ~done) != 0 || ((done & 1U << i) && rng_below(r, 3) > 0)) continue;
		assert_int_equal(
			edit(f, RT_PROJECT, name, s->device, s->is_delete ? NULL : s->fields, s->stamp, s->base, last),
			OK);
		done |= 1U << i;
	}
}

static void in_every_order_the_disk_holds_the_same(void **state)
{
	struct fixture *f = *state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct history h;
		struct rng r;
		struct try x = {0}, y = {0};
		struct revisions a, b;
		char one[16], two[16];
		rng_seed(&r, seed);
		make_history(&h, &r, seed % 2 == 0);
		(void)snprintf(one, sizeof one, "p%d", (int)seed);
		(void)snprintf(two, sizeof two, "q%d", (int)seed);
		play(f, &h, &r, one, &x);
		play(f, &h, &r, two, &y);
		assert_int_equal(x.rec.deleted, y.rec.deleted);
		struct json_doc *fx = doc_of(x.rec.fields.p), *fy = doc_of(y.rec.fields.p);
		assert_true(json_equal(json_root(fx), json_root(fy)));
		json_free(fx);
		json_free(fy);
		revisions_load(f, one, &a);
		revisions_load(f, two, &b);
		assert_int_equal(a.n, b.n);
		for (size_t i = 0; i < a.n; i++) assert_string_equal(a.lines[i], b.lines[i]);
		revisions_release(&a);
		revisions_release(&b);
	}
	assert_healthy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_an_edit_replaces_is_a_record_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stamp_is_its_devices_own_and_has_one_value, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stamp_from_the_future_is_cut_to_the_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deletion_is_for_ever_also_after_its_tombstone_is_folded_away, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_long_history_goes_in_steps_of_a_bounded_size, setup, teardown),
		cmocka_unit_test_setup_teardown(a_restart_between_the_steps_loses_none, setup, teardown),
		cmocka_unit_test_setup_teardown(a_step_that_is_taken_back_is_made_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_step_looks_at_fewer_when_they_are_long, setup, teardown),
		cmocka_unit_test_setup_teardown(a_walk_goes_on_behind_many_that_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(what_nobody_had_seen_stays_among_many, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_seen_earlier_goes_with_a_deletion_over_the_tombstone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_first_value_goes_with_a_deletion_that_names_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_message_counts_the_texts_it_had, setup, teardown),
		cmocka_unit_test_setup_teardown(a_version_names_the_first_that_replaced_it_and_no_more, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_second_life_has_a_first_value_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deletion_leaves_a_namesake_of_another_type_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(walks_over_long_histories_take_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_page_of_a_long_history_costs_what_the_first_does, setup,
						teardown),
		cmocka_unit_test_setup_teardown(in_every_order_the_disk_holds_the_same, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
