/* record:save and record:query: every policy, right, operator and error. */
#include "store/store.h"

#include "store_fixture.h"

/* ---- saving in one line ---- */

struct save {
	struct fixture *f;
	struct save_item *items;
	size_t n;
	enum save_policy policy;
	bool atomic;
};

static enum err save_run(struct txn *t, void *ctx)
{
	struct save *s = ctx;
	return txn_save(t, s->f->zone, s->items, s->n, s->policy, s->atomic);
}

static const char *tag_of(int64_t seq)
{
	static char tag[TAG_CAP];
	tag_format(seq, tag);
	return tag;
}

/* One item; `fields` NULL deletes, `tag` NULL is none. The saved record's place comes back in *seq. */
static enum err save1(struct fixture *f, enum save_policy policy, const char *type, const char *name,
		      const char *fields, const char *tag, int64_t *seq)
{
	struct json_doc *doc = NULL;
	if (fields != NULL) assert_int_equal(json_parse(str_c(fields), &doc, NULL), OK);
	struct save_item it = {.type = str_c(type),
			       .name = str_c(name),
			       .change_tag = str_c(tag),
			       .deleted = fields == NULL,
			       .fields = json_root(doc)};
	struct save s = {.f = f, .items = &it, .n = 1, .policy = policy};
	enum err e = run(f, save_run, &s);
	f->info = it.info;
	if (seq != NULL) *seq = it.rec.seq;
	json_free(doc);
	return e != OK ? e : it.err;
}

struct fetch {
	struct fixture *f;
	const char *type, *name;
	struct record rec;
};
static enum err fetch_run(struct txn *t, void *ctx)
{
	struct fetch *g = ctx;
	uint32_t type;
	enum err e = txn_type(t, str_c(g->type), false, &type);
	if (e == OK) e = txn_get(t, g->f->zone, type, str_c(g->name), &g->rec);
	if (e == OK) g->rec.fields = arena_str(&g->f->keep, g->rec.fields);
	return e;
}
static struct record fetch(struct fixture *f, const char *type, const char *name)
{
	struct fetch g = {.f = f, .type = type, .name = name};
	assert_int_equal(run_on_reader(f, fetch_run, &g), OK);
	return g.rec;
}
static void assert_fields(struct fixture *f, const char *type, const char *name, const char *want)
{
	struct record r = fetch(f, type, name);
	assert_false(r.deleted);
	assert_string_equal(r.fields.p, want);
}

/* ---- policies ---- */

static void if_unchanged_wants_the_current_tag(void **state)
{
	struct fixture *f = *state;
	int64_t first, second, there;
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "n", "{\"a\":1,\"b\":2}", NULL, &first), OK);
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "n", "{\"a\":2}", NULL, &there), ERR_CONFLICT);
	assert_int_equal(there, first);
	char tag[TAG_CAP];
	(void)str_copy(str_c(tag_of(first)), tag, sizeof tag);
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "n", "{\"a\":2}", tag, &second), OK);
	assert_fields(f, "Note", "n", "{\"a\":2}");
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "n", "{\"a\":3}", tag, &there), ERR_CONFLICT);
	assert_int_equal(there, second);
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "n", "{}", "nonsense", NULL), ERR_BAD_FIELD);
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "new", "{}", tag, NULL), ERR_NOT_FOUND);
	assert_fields(f, "Note", "n", "{\"a\":2}");
}

static void changed_keys_merges_without_a_tag_and_creates(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(save1(f, POLICY_CHANGED_KEYS, "Note", "n", "{\"a\":1,\"b\":1.50}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_CHANGED_KEYS, "Note", "n", "{\"a\":2,\"c\":3}", "t1", NULL), OK);
	assert_int_equal(save1(f, POLICY_CHANGED_KEYS, "Note", "n", "{\"a\":null}", NULL, NULL), OK);
	struct record r = fetch(f, "Note", "n");
	assert_true(str_starts(r.fields, STR("{\"b\":1.5")));
}

static void all_keys_replaces_without_a_tag_and_creates(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", "{\"a\":1,\"b\":1}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", "{\"c\":1}", NULL, NULL), OK);
	assert_fields(f, "Note", "n", "{\"c\":1}");
}

static void deletion_checks_a_tag_only_if_unchanged(void **state)
{
	struct fixture *f = *state;
	int64_t seq, again;
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "a", "{}", NULL, &seq), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "b", "{}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "a", NULL, "t999", NULL), ERR_CONFLICT);
	assert_int_equal(save1(f, POLICY_CHANGED_KEYS, "Note", "b", NULL, "t999", NULL), OK);
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "a", NULL, tag_of(seq), &seq), OK);
	assert_true(fetch(f, "Note", "a").deleted && fetch(f, "Note", "b").deleted);
	/* Deleting it again is done already; a name that never was is not found. */
	assert_int_equal(save1(f, POLICY_CHANGED_KEYS, "Note", "a", NULL, NULL, &again), OK);
	assert_int_equal(again, seq);
	assert_int_equal(save1(f, POLICY_CHANGED_KEYS, "Note", "zzz", NULL, NULL, NULL), ERR_NOT_FOUND);
	assert_int_equal(save1(f, POLICY_CHANGED_KEYS, "Nothing", "zzz", NULL, NULL, NULL), ERR_NOT_FOUND);
}

static enum err compact_run(struct txn *t, void *ctx)
{
	bool more;
	return txn_compact(t, *(int64_t *)ctx, &more);
}

static void a_deleted_name_starts_a_new_life_where_that_is_allowed(void **state)
{
	struct fixture *f = *state;
	int64_t seq, far = f->now_ms + 2 * f->limits.tombstone_keep_ms;
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", "{\"a\":1}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", NULL, NULL, &seq), OK);
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "n", "{\"b\":1}", "t1", NULL), ERR_CONFLICT);
	assert_int_equal(save1(f, POLICY_IF_UNCHANGED, "Note", "n", "{\"b\":1}", NULL, NULL), OK);
	struct record r = fetch(f, "Note", "n");
	assert_true(!r.deleted && r.created_ms == r.modified_ms && str_eq(r.fields, STR("{\"b\":1}")));
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", NULL, NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "last", "{}", NULL, NULL), OK);
	assert_int_equal(run(f, compact_run, &far), OK);
	assert_int_equal(fetch(f, "Note", "n").row, 0);
	assert_int_equal(save1(f, POLICY_CHANGED_KEYS, "Note", "n", "{\"c\":1}", NULL, NULL), OK);
	assert_fields(f, "Note", "n", "{\"c\":1}");
	assert_healthy(f);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Conversation", "c", "{}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Conversation", "c", NULL, NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Conversation", "c", "{}", NULL, NULL), ERR_CONFLICT);
	assert_healthy(f);
}

/* ---- rights ---- */

static void types_of_the_daemon_refuse_what_would_break_them(void **state)
{
	struct fixture *f = *state;
	static const char *const made_by_the_daemon[] = {"Message", "Session",   "Request",
							 "Device",  "SyncState", "Experiment"};
	for (size_t i = 0; i < ARRAY_LEN(made_by_the_daemon); i++) {
		assert_int_equal(save1(f, POLICY_ALL_KEYS, made_by_the_daemon[i], "x", "{}", NULL, NULL),
				 ERR_FORBIDDEN);
		assert_int_equal(save1(f, POLICY_ALL_KEYS, made_by_the_daemon[i], "x", NULL, NULL, NULL),
				 ERR_FORBIDDEN);
	}
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Conversation", "c", "{\"title\":\"t\"}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Conversation", "c", "{\"currentSessionId\":\"s\"}", NULL, NULL),
			 ERR_FORBIDDEN);
	assert_non_null(strstr(f->info.text, "currentSessionId"));
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Project", "p", "{\"anything\":[1]}", NULL, NULL), OK);
}

static void what_is_malformed_is_named(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "No te", "n", "{}", NULL, NULL), ERR_BAD_FIELD);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n/../x", "{}", NULL, NULL), ERR_BAD_FIELD);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "", "{}", NULL, NULL), ERR_BAD_FIELD);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", "[]", NULL, NULL), ERR_BAD_FIELD);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", NULL, NULL, NULL, NULL), ERR_BAD_FIELD);
	f->limits.record_bytes = 1024;
	char big[2000];
	(void)snprintf(big, sizeof big, "{\"x\":\"%01500d\"}", 7);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", big, NULL, NULL), ERR_TOO_LARGE);
	assert_non_null(strstr(f->info.text, "recordBytes"));
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", NULL, "{}", NULL, NULL), OK);
}

static void a_record_of_an_application_has_so_many_fields(void **state)
{
	struct fixture *f = *state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	f->limits.indexed_fields = 20;
	for (int i = 0; i <= 20; i++) {
		char key[16];
		(void)snprintf(key, sizeof key, "k%d", i);
		jw_kint(&w, key, i);
	}
	jw_obj_end(&w);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", b.p, NULL, NULL), ERR_TOO_LARGE);
	assert_non_null(strstr(f->info.text, "indexedFields (20)"));
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Project", "n", b.p, NULL, NULL), OK);
	buf_release(&b);
}

static void applications_have_so_many_record_types(void **state)
{
	struct fixture *f = *state;
	f->limits.own_types = 2;
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "One", "n", "{}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Two", "n", "{}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Three", "n", "{}", NULL, NULL), ERR_TOO_MANY);
	assert_non_null(strstr(f->info.text, "ownTypes (2)"));
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Two", "m", "{}", NULL, NULL), OK);
}

/* ---- batches ---- */

struct batch {
	struct save_item items[3];
	struct json_doc *docs[3];
};
static enum err save3(struct fixture *f, struct batch *b, const char *second, bool atomic)
{
	static const char *const names[] = {"one", "two", "three"};
	for (int i = 0; i < 3; i++) {
		assert_int_equal(json_parse(i == 1 ? str_c(second) : STR("{\"v\":1}"), &b->docs[i], NULL), OK);
		b->items[i] = (struct save_item){
			.type = STR("Note"), .name = str_c(names[i]), .fields = json_root(b->docs[i])};
	}
	struct save s = {.f = f, .items = b->items, .n = 3, .policy = POLICY_IF_UNCHANGED, .atomic = atomic};
	enum err e = run(f, save_run, &s);
	for (int i = 0; i < 3; i++) json_free(b->docs[i]);
	return e;
}

static void an_atomic_batch_is_saved_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	struct batch b;
	assert_int_equal(save3(f, &b, "[]", true), ERR_ATOMIC);
	assert_true(b.items[0].err == ERR_ATOMIC && b.items[1].err == ERR_BAD_FIELD && b.items[2].err == ERR_ATOMIC);
	struct fetch g = {.f = f, .type = "Note", .name = "one"};
	assert_int_equal(run(f, fetch_run, &g), ERR_NOT_FOUND);
	assert_int_equal(save3(f, &b, "{}", true), OK);
	assert_fields(f, "Note", "three", "{\"v\":1}");
	/* All of one batch are one group of the feed. */
	assert_int_equal(fetch(f, "Note", "three").group, fetch(f, "Note", "one").group);
	assert_healthy(f);
}

static enum err atomic_then_more_run(struct txn *t, void *ctx)
{
	struct save *s = ctx;
	struct record r = {.zone = s->f->zone, .type = RT_PROJECT, .name = STR("before"), .fields = STR("{}")};
	enum err e = txn_put(t, &r);
	if (e != OK) return e;
	if (save_run(t, s) != ERR_ATOMIC) return ERR_INTERNAL;
	r = (struct record){.zone = s->f->zone, .type = RT_PROJECT, .name = STR("after"), .fields = STR("{}")};
	e = txn_put(t, &r);
	return e == OK && r.seq == 2 && t->op->changes.stqh_first != NULL ? OK : ERR_INTERNAL;
}

static void a_failed_atomic_batch_takes_back_only_its_own(void **state)
{
	struct fixture *f = *state;
	struct json_doc *good, *bad;
	assert_int_equal(json_parse(STR("{}"), &good, NULL), OK);
	assert_int_equal(json_parse(STR("[]"), &bad, NULL), OK);
	struct save_item items[2] = {{.type = STR("Note"), .name = STR("a"), .fields = json_root(good)},
				     {.type = STR("Note"), .name = STR("b"), .fields = json_root(bad)}};
	struct save s = {.f = f, .items = items, .n = 2, .atomic = true};
	struct call c;
	call_init(f, &c, atomic_then_more_run, &s);
	store_submit(f->store, &c.op);
	await(f, &c);
	assert_int_equal(c.op.err, OK);
	struct change *ch = STAILQ_FIRST(&c.op.changes);
	assert_true(str_eq(ch->rec.name, STR("before")));
	ch = STAILQ_NEXT(ch, link);
	assert_true(str_eq(ch->rec.name, STR("after")) && STAILQ_NEXT(ch, link) == NULL);
	store_op_release(&c.op);
	json_free(good);
	json_free(bad);
	(void)fetch(f, "Project", "before");
	assert_healthy(f);
}

static void a_plain_batch_saves_what_it_can(void **state)
{
	struct fixture *f = *state;
	struct batch b;
	assert_int_equal(save3(f, &b, "[]", false), OK);
	assert_true(b.items[0].err == OK && b.items[1].err == ERR_BAD_FIELD && b.items[2].err == OK);
	assert_fields(f, "Note", "three", "{\"v\":1}");
	f->limits.batch_records = 2;
	assert_int_equal(save3(f, &b, "{}", false), ERR_TOO_LARGE);
}

/* ---- queries ---- */

struct ask {
	struct fixture *f;
	const char *type, *filter, *sort;
	int64_t limit;
	char cursor[1200]; /* in and out; "" none */
	char names[600];   /* of the page, each followed by a blank */
	size_t n;
	struct errinfo info;
};

static enum err ask_add(void *ctx, const struct record *r)
{
	struct ask *a = ctx;
	size_t at = strlen(a->names);
	(void)snprintf(a->names + at, sizeof a->names - at, "%.*s ", STR_ARG(r->name));
	a->n++;
	return OK;
}

static enum err ask_run(struct txn *t, void *ctx)
{
	struct ask *a = ctx;
	struct json_doc *filter = NULL, *sort = NULL;
	struct str cursor;
	if (a->filter != NULL) assert_int_equal(json_parse(str_c(a->filter), &filter, NULL), OK);
	if (a->sort != NULL) assert_int_equal(json_parse(str_c(a->sort), &sort, NULL), OK);
	struct query q = {.type = str_c(a->type),
			  .filter = json_root(filter),
			  .sort = json_root(sort),
			  .limit = a->limit,
			  .cursor = a->cursor[0] != '\0' ? str_c(a->cursor) : STR_NONE};
	a->names[0] = '\0';
	a->n = 0;
	enum err e = txn_query(t, a->f->zone, &q, ask_add, a, &cursor, &a->info);
	(void)str_copy(e == OK && cursor.p != NULL ? cursor : STR(""), a->cursor, sizeof a->cursor);
	json_free(filter);
	json_free(sort);
	return e;
}

static void expect(struct fixture *f, const char *type, const char *filter, const char *sort, const char *want)
{
	for (int64_t limit = 1; limit <= 100; limit += limit < 4 ? 1 : 96) { /* in pages of every size the same */
		struct ask a = {.f = f, .type = type, .filter = filter, .sort = sort, .limit = limit};
		char all[600] = "";
		for (int pages = 0; pages < 200; pages++) {
			enum err e = run_on_reader(f, ask_run, &a);
			if (e != OK) fail_msg("%s: %s", filter, a.info.text);
			assert_true((int64_t)a.n <= limit);
			size_t at = strlen(all);
			(void)snprintf(all + at, sizeof all - at, "%s", a.names);
			if (a.cursor[0] == '\0') break;
		}
		assert_string_equal(all, want);
	}
}

static void refuse(struct fixture *f, const char *type, const char *filter, const char *sort, const char *say)
{
	struct ask a = {.f = f, .type = type, .filter = filter, .sort = sort};
	assert_int_equal(run(f, ask_run, &a), ERR_BAD_FIELD);
	if (strstr(a.info.text, say) == NULL) fail_msg("\"%s\" does not say \"%s\"", a.info.text, say);
}

static void fill(struct fixture *f)
{
	static const char *const rows[][2] = {
		{"a", "{\"n\":1,\"s\":\"apple\",\"b\":true}"},
		{"b", "{\"n\":2.5,\"s\":\"banana\"}"},
		{"c", "{\"n\":-3,\"s\":\"apricot\",\"b\":false}"},
		{"d", "{\"n\":\"text\",\"s\":\"Apple\"}"},
		{"e", "{\"s\":\"\"}"},
		{"f", "{\"n\":1,\"s\":\"cherry\",\"list\":[1]}"},
		{"g", "{\"n\":9007199254740993}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(save1(f, POLICY_ALL_KEYS, "Fruit", rows[i][0], rows[i][1], NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Fruit", "gone", "{\"n\":1}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Fruit", "gone", NULL, NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Other", "a", "{\"n\":1}", NULL, NULL), OK);
}

static void every_operator_finds_what_it_says(void **state)
{
	struct fixture *f = *state;
	fill(f);
	expect(f, "Fruit", NULL, NULL, "a b c d e f g ");
	expect(f, "Fruit", "[]", "[{\"field\":\"name\",\"ascending\":false}]", "g f e d c b a ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"eq\",\"value\":1}]", NULL, "a f ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"eq\",\"value\":1.0}]", NULL, "a f ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"eq\",\"value\":9007199254740993}]", NULL, "g ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"eq\",\"value\":9007199254740992}]", NULL, "");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"ne\",\"value\":1}]", NULL, "b c d e g ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"lt\",\"value\":2.5}]", NULL, "c a f ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"le\",\"value\":2.5}]", NULL, "c a f b ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"gt\",\"value\":1}]", NULL, "b g ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"ge\",\"value\":1}]", NULL, "a f b g ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"ge\",\"value\":\"a\"}]", NULL, "d ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"lt\",\"value\":\"zzz\"}]", NULL, "d ");
	expect(f, "Fruit", "[{\"field\":\"s\",\"op\":\"beginsWith\",\"value\":\"ap\"}]", NULL, "a c ");
	expect(f, "Fruit", "[{\"field\":\"s\",\"op\":\"beginsWith\",\"value\":\"\"}]", NULL, "e d a c b f ");
	expect(f, "Fruit", "[{\"field\":\"s\",\"op\":\"eq\",\"value\":\"\"}]", NULL, "e ");
	expect(f, "Fruit", "[{\"field\":\"s\",\"op\":\"in\",\"value\":[\"cherry\",\"apple\",\"x\"]}]", NULL, "a f ");
	expect(f, "Fruit", "[{\"field\":\"s\",\"op\":\"in\",\"value\":[]}]", NULL, "");
	expect(f, "Fruit", "[{\"field\":\"b\",\"op\":\"eq\",\"value\":true}]", NULL, "a ");
	expect(f, "Fruit", "[{\"field\":\"b\",\"op\":\"eq\",\"value\":0}]", NULL, "c ");
	expect(f, "Fruit", "[{\"field\":\"name\",\"op\":\"in\",\"value\":[\"g\",\"b\",\"zz\"]}]", NULL, "b g ");
	expect(f, "Fruit", "[{\"field\":\"name\",\"op\":\"ge\",\"value\":\"e\"}]", NULL, "e f g ");
	expect(f, "Fruit", "[{\"field\":\"name\",\"op\":\"beginsWith\",\"value\":\"c\"}]", NULL, "c ");
	expect(f, "Fruit",
	       "[{\"field\":\"n\",\"op\":\"eq\",\"value\":1},{\"field\":\"s\",\"op\":\"eq\",\"value\":\"cherry\"}]",
	       NULL, "f ");
	expect(f, "Fruit", "[{\"field\":\"createdAt\",\"op\":\"lt\",\"value\":\"2020-01-01T00:00:00Z\"}]", NULL, "");
	expect(f, "Fruit", "[{\"field\":\"createdAt\",\"op\":\"gt\",\"value\":\"2020-01-01T00:00:00Z\"}]", NULL,
	       "a b c d e f g ");
	expect(f, "Nobody", NULL, NULL, "");
}

static void a_sort_orders_and_puts_what_lacks_the_field_last(void **state)
{
	struct fixture *f = *state;
	fill(f);
	expect(f, "Fruit", NULL, "[{\"field\":\"n\"}]", "c a f b g d e ");
	expect(f, "Fruit", NULL, "[{\"field\":\"n\",\"ascending\":false}]", "d g b f a c e ");
	expect(f, "Fruit", NULL, "[{\"field\":\"s\"}]", "e d a c b f g ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"eq\",\"value\":1}]", "[{\"field\":\"s\",\"ascending\":false}]",
	       "f a ");
	expect(f, "Fruit", NULL, "[{\"field\":\"modifiedAt\",\"ascending\":false}]", "g f e d c b a ");
	assert_int_equal(save1(f, POLICY_CHANGED_KEYS, "Fruit", "c", "{\"n\":100}", NULL, NULL), OK);
	expect(f, "Fruit", NULL, "[{\"field\":\"modifiedAt\",\"ascending\":false}]", "c g f e d b a ");
	expect(f, "Fruit", "[{\"field\":\"n\",\"op\":\"ne\",\"value\":1}]", "[{\"field\":\"n\"}]", "b c g d e ");
	assert_healthy(f);
}

static void long_text_keeps_its_order_and_its_beginning(void **state)
{
	struct fixture *f = *state;
	char a[700], b[700];
	(void)snprintf(a, sizeof a, "{\"s\":\"%0*d\"}", 300, 1);
	(void)snprintf(b, sizeof b, "{\"s\":\"%0*d\"}", INDEX_VALUE_MAX, 0);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Long", "a", a, NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Long", "b", b, NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Long", "c", "{\"s\":\"1\"}", NULL, NULL), OK);
	expect(f, "Long", NULL, "[{\"field\":\"s\"}]", "b a c ");
	expect(f, "Long", "[{\"field\":\"s\",\"op\":\"beginsWith\",\"value\":\"000\"}]", NULL, "b a ");
	char filter[800];
	(void)snprintf(filter, sizeof filter, "[{\"field\":\"s\",\"op\":\"eq\",\"value\":\"%0*d\"}]", INDEX_VALUE_MAX,
		       0);
	expect(f, "Long", filter, NULL, "b ");
	(void)snprintf(filter, sizeof filter, "[{\"field\":\"s\",\"op\":\"eq\",\"value\":\"%0*d\"}]", 300, 1);
	refuse(f, "Long", filter, NULL, "256");
	assert_healthy(f);
}

static enum err message_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	for (int c = 0; c < 2; c++) {
		struct record conv = {.zone = f->zone,
				      .type = RT_CONVERSATION,
				      .name = c ? STR("c2") : STR("c1"),
				      .fields = STR("{\"pinned\":true}")};
		enum err e = txn_put(t, &conv);
		for (int i = 1; e == OK && i <= 5; i++) {
			char name[32];
			(void)snprintf(name, sizeof name, "m%d%d", c + 1, i);
			struct record m = {.zone = f->zone,
					   .type = RT_MESSAGE,
					   .name = str_c(name),
					   .fields = STR("{\"text\":\"x\"}"),
					   .conv = conv.row,
					   .ord = i};
			e = txn_put(t, &m);
		}
		if (e != OK) return e;
	}
	return OK;
}

static void messages_are_found_through_their_conversation(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run(f, message_run, f), OK);
	expect(f, "Message", "[{\"field\":\"conversationId\",\"op\":\"eq\",\"value\":\"c2\"}]", NULL,
	       "m21 m22 m23 m24 m25 ");
	expect(f, "Message",
	       "[{\"field\":\"conversationId\",\"op\":\"eq\",\"value\":\"c1\"},{\"field\":\"ord\",\"op\":\"gt\",\"value\":3}]",
	       "[{\"field\":\"ord\",\"ascending\":false}]", "m15 m14 ");
	expect(f, "Message", "[{\"field\":\"conversationId\",\"op\":\"eq\",\"value\":\"none\"}]", NULL, "");
	expect(f, "Message", "[{\"field\":\"name\",\"op\":\"eq\",\"value\":\"m13\"}]", NULL, "m13 ");
	expect(f, "Message", "[{\"field\":\"conversationId\",\"op\":\"eq\",\"value\":\"c1\"}]",
	       "[{\"field\":\"name\",\"ascending\":false}]", "m15 m14 m13 m12 m11 ");
	expect(f, "Conversation", "[{\"field\":\"pinned\",\"op\":\"eq\",\"value\":true}]", NULL, "c1 c2 ");
	refuse(f, "Message", NULL, "[{\"field\":\"ord\"}]", "within one conversationId");
	refuse(f, "Message", "[{\"field\":\"conversationId\",\"op\":\"ne\",\"value\":\"c1\"}]", NULL, "only eq");
	refuse(f, "Message", "[{\"field\":\"text\",\"op\":\"eq\",\"value\":\"x\"}]", NULL, "name,conversationId,ord");
}

static void a_bad_query_is_told_what_is_wrong(void **state)
{
	struct fixture *f = *state;
	fill(f);
	refuse(f, "Conversation", "[{\"field\":\"model\",\"op\":\"eq\",\"value\":1}]", NULL,
	       "name,title,projectId,pinned,createdAt,modifiedAt");
	refuse(f, "Conversation", NULL, "[{\"field\":\"model\"}]", "not indexed");
	refuse(f, "Fruit", "{}", NULL, "must be a list");
	refuse(f, "Fruit", "[1]", NULL, "a filter is");
	refuse(f, "Fruit", "[{\"op\":\"eq\",\"value\":1}]", NULL, "field");
	refuse(f, "Fruit", "[{\"field\":\"n\",\"op\":\"like\",\"value\":1}]", NULL, "like");
	refuse(f, "Fruit", "[{\"field\":\"n\",\"op\":\"eq\",\"value\":{}}]", NULL, "needs");
	refuse(f, "Fruit", "[{\"field\":\"n\",\"op\":\"eq\",\"value\":null}]", NULL, "needs");
	refuse(f, "Fruit", "[{\"field\":\"n\",\"op\":\"in\",\"value\":1}]", NULL, "list");
	refuse(f, "Fruit", "[{\"field\":\"n\",\"op\":\"beginsWith\",\"value\":1}]", NULL, "a text");
	refuse(f, "Fruit", "[{\"field\":\"name\",\"op\":\"eq\",\"value\":1}]", NULL, "a text");
	refuse(f, "Fruit", "[{\"field\":\"createdAt\",\"op\":\"eq\",\"value\":\"yesterday\"}]", NULL, "RFC 3339");
	refuse(f, "Fruit", NULL, "[{\"field\":\"n\"},{\"field\":\"s\"}]", "one field");
	refuse(f, "Fruit", NULL, "[{\"field\":1}]", "field");
	refuse(f, "Fruit", NULL, "\"n\"", "must be a list");
	refuse(f, "Fruit",
	       "[{\"field\":\"n\",\"op\":\"eq\",\"value\":\"1' OR 1=1 --\"},{\"field\":\"x'\\\" --\",\"op\":\"zz\",\"value\":1}]",
	       NULL, "zz");
	expect(f, "Fruit", "[{\"field\":\"x' OR '1'='1\",\"op\":\"eq\",\"value\":\"1' OR '1'='1\"}]", NULL, "");
}

static void a_cursor_serves_only_its_own_query(void **state)
{
	struct fixture *f = *state;
	fill(f);
	struct ask a = {.f = f, .type = "Fruit", .sort = "[{\"field\":\"n\"}]", .limit = 2}, b;
	assert_int_equal(run(f, ask_run, &a), OK);
	assert_true(a.cursor[0] != '\0');
	b = a;
	b.sort = "[{\"field\":\"s\"}]";
	assert_int_equal(run(f, ask_run, &b), ERR_BAD_FIELD);
	b = a;
	b.type = "Other";
	assert_int_equal(run(f, ask_run, &b), ERR_BAD_FIELD);
	static const char *const bad[] = {"x", "q1.", "q1.0000000000000000.0.1.i00", "q1.....", "q1.zz.0.0.s"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		b = a;
		(void)str_copy(str_c(bad[i]), b.cursor, sizeof b.cursor);
		assert_int_equal(run(f, ask_run, &b), ERR_BAD_FIELD);
	}
	/* Any damage to a cursor is refused or gives a page of the same query, never anything else. */
	struct rng rng;
	rng_seed(&rng, 99);
	for (int i = 0; i < 300; i++) {
		b = a;
		size_t at = (size_t)rng_below(&rng, strlen(b.cursor));
		b.cursor[at] = (char)(1 + rng_below(&rng, 127));
		enum err e = run(f, ask_run, &b);
		assert_true(e == OK || e == ERR_BAD_FIELD);
	}
}

static void a_long_search_ends_its_page_early(void **state)
{
	struct fixture *f = *state;
	/* More records than one page looks at, none of which fits. */
	for (int i = 0; i < 27; i++) {
		struct save_item items[200];
		char names[200][32];
		struct json_doc *doc;
		assert_int_equal(json_parse(STR("{\"n\":1}"), &doc, NULL), OK);
		for (int k = 0; k < 200; k++) {
			(void)snprintf(names[k], sizeof names[k], "r%05d", i * 200 + k);
			items[k] = (struct save_item){
				.type = STR("Row"), .name = str_c(names[k]), .fields = json_root(doc)};
		}
		struct save s = {.f = f, .items = items, .n = 200, .policy = POLICY_ALL_KEYS};
		assert_int_equal(run(f, save_run, &s), OK);
		json_free(doc);
	}
	struct ask a = {.f = f, .type = "Row", .filter = "[{\"field\":\"n\",\"op\":\"ne\",\"value\":1}]"};
	assert_int_equal(run_on_reader(f, ask_run, &a), OK);
	assert_true(a.n == 0 && a.cursor[0] != '\0');
	assert_int_equal(run_on_reader(f, ask_run, &a), OK);
	assert_true(a.n == 0 && a.cursor[0] == '\0');
}

static void the_index_follows_a_record_that_a_lower_limit_would_refuse(void **state)
{
	struct fixture *f = *state;
	const char *k2 = "[{\"field\":\"k2\",\"op\":\"eq\",\"value\":2}]";
	const char *k3 = "[{\"field\":\"k3\",\"op\":\"eq\",\"value\":3}]";
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", "{\"k1\":1,\"k2\":2,\"k3\":3}", NULL, NULL), OK);
	expect(f, "Note", k2, "[]", "n ");
	f->limits.indexed_fields = 1;
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Note", "n", "{\"k3\":3}", NULL, NULL), OK);
	expect(f, "Note", k2, "[]", "");
	expect(f, "Note", k3, "[]", "n ");
}

/* Random filters and sorts against a plain walk over the same records. */
struct model_row {
	char name[32];
	int n; /* -1: absent */
	int s;
};

static int model_rows_by_n(const void *a, const void *b)
{
	const struct model_row *x = a, *y = b;
	if ((x->n < 0) != (y->n < 0)) return x->n < 0 ? 1 : -1;
	if (x->n != y->n) return x->n < y->n ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void a_merge_over_a_tombstone_revives_nothing_and_is_no_conflict(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Conversation", "c", "{\"title\":\"A\"}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Conversation", "c", NULL, NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Conversation", "c", "{\"title\":\"B\"}", NULL, NULL), ERR_CONFLICT);
	assert_int_equal(save1(f, POLICY_MERGE, "Conversation", "c", "{\"title\":\"B\"}", NULL, NULL), OK);
	assert_int_equal(save1(f, POLICY_ALL_KEYS, "Conversation", "c", "{\"title\":\"B\"}", NULL, NULL), ERR_CONFLICT);
}

static void queries_agree_with_a_model(void **state)
{
	struct fixture *f = *state;
	static const char *const ops[] = {"eq", "ne", "lt", "le", "gt", "ge"};
	struct model_row rows[30];
	struct rng rng;
	rng_seed(&rng, 31337);
	for (int i = 0; i < 30; i++) {
		char fields[120];
		(void)snprintf(rows[i].name, sizeof rows[i].name, "r%02d", i);
		rows[i].n = (int)rng_below(&rng, 6) - 1;
		rows[i].s = (int)rng_below(&rng, 4);
		if (rows[i].n < 0) (void)snprintf(fields, sizeof fields, "{\"s\":\"s%d\"}", rows[i].s);
		else (void)snprintf(fields, sizeof fields, "{\"n\":%d,\"s\":\"s%d\"}", rows[i].n, rows[i].s);
		assert_int_equal(save1(f, POLICY_ALL_KEYS, "Model", rows[i].name, fields, NULL, NULL), OK);
	}
	qsort(rows, 30, sizeof rows[0], model_rows_by_n);
	for (int round = 0; round < 60; round++) {
		char filter[200];
		struct buf want = BUF_INIT(600);
		int op = (int)rng_below(&rng, 6), v = (int)rng_below(&rng, 5), s = (int)rng_below(&rng, 5);
		(void)snprintf(filter, sizeof filter, "[{\"field\":\"n\",\"op\":\"%s\",\"value\":%d}%s%d\"}]", ops[op],
			       v, ",{\"field\":\"s\",\"op\":\"ne\",\"value\":\"s", s);
		for (int i = 0; i < 30; i++) {
			int n = rows[i].n;
			bool ok[] = {n == v, n != v, n<v, n <= v, n> v, n >= v};
			if ((n < 0 && op != 1) || !ok[op] || rows[i].s == s) continue;
			buf_addf(&want, "%s ", rows[i].name);
		}
		expect(f, "Model", filter, "[{\"field\":\"n\"}]", buf_str(&want).p);
		/* One value of another field than the sort's. */
		buf_clear(&want);
		(void)snprintf(filter, sizeof filter, "[{\"field\":\"s\",\"op\":\"eq\",\"value\":\"s%d\"}]", s);
		for (int i = 0; i < 30; i++)
			if (rows[i].n >= 0 && rows[i].s == s) buf_addf(&want, "%s ", rows[i].name);
		for (int i = 0; i < 30; i++)
			if (rows[i].n < 0 && rows[i].s == s) buf_addf(&want, "%s ", rows[i].name);
		expect(f, "Model", filter, "[{\"field\":\"n\"}]", buf_str(&want).p);
		buf_release(&want);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(if_unchanged_wants_the_current_tag),
		T(changed_keys_merges_without_a_tag_and_creates),
		T(all_keys_replaces_without_a_tag_and_creates),
		T(deletion_checks_a_tag_only_if_unchanged),
		T(a_deleted_name_starts_a_new_life_where_that_is_allowed),
		T(types_of_the_daemon_refuse_what_would_break_them),
		T(what_is_malformed_is_named),
		T(a_record_of_an_application_has_so_many_fields),
		T(applications_have_so_many_record_types),
		T(an_atomic_batch_is_saved_whole_or_not_at_all),
		T(a_failed_atomic_batch_takes_back_only_its_own),
		T(a_plain_batch_saves_what_it_can),
		T(every_operator_finds_what_it_says),
		T(a_sort_orders_and_puts_what_lacks_the_field_last),
		T(long_text_keeps_its_order_and_its_beginning),
		T(messages_are_found_through_their_conversation),
		T(a_bad_query_is_told_what_is_wrong),
		T(a_cursor_serves_only_its_own_query),
		T(a_long_search_ends_its_page_early),
		T(the_index_follows_a_record_that_a_lower_limit_would_refuse),
		T(a_merge_over_a_tombstone_revives_nothing_and_is_no_conflict),
		T(queries_agree_with_a_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
