/* The store's promises one by one: what is saved stays, what fails leaves nothing, what is spoilt is noticed. */
#include "store/store.h"

#include "store_gear.h"

/* ---- records ---- */

static void what_is_put_is_there_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct record r;
	assert_int_equal(put(f, RT_PROJECT, "p1", "{\"title\":\"One\",\"x\":1.0}"), OK);
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(get(f, RT_PROJECT, "p1", &r), OK);
	assert_true(str_eq(r.fields, STR("{\"title\":\"One\",\"x\":1.0}")));
	assert_int_equal(r.created_by, f->actor);
	assert_true(r.seq == 1 && r.group == 1 && r.created_ms == r.modified_ms && r.created_ms >= 1700000000000);
	assert_int_equal(get(f, RT_PROJECT, "p2", NULL), ERR_NOT_FOUND);
	assert_int_equal(get(f, RT_PRESET, "p1", NULL), ERR_NOT_FOUND);
	assert_healthy(f);
}

static void every_change_takes_the_next_place(void **state)
{
	struct fixture *f = *state;
	struct record a, b;
	assert_int_equal(put(f, RT_PROJECT, "a", "{}"), OK);
	assert_int_equal(put(f, RT_PROJECT, "b", "{}"), OK);
	assert_int_equal(put(f, RT_PROJECT, "a", "{\"n\":2}"), OK);
	assert_int_equal(get(f, RT_PROJECT, "a", &a), OK);
	assert_int_equal(get(f, RT_PROJECT, "b", &b), OK);
	assert_true(a.seq == 3 && b.seq == 2 && a.created_ms < a.modified_ms);
	struct zone_info zi = zone_of(f);
	assert_true(zi.seq == 3 && zi.records == 2);
	assert_healthy(f);
}

static enum err stale_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	struct record r, copy;
	enum err e = txn_get(t, f->zone, RT_PROJECT, STR("a"), &r);
	copy = r;
	if (e == OK) e = txn_put(t, &r);
	return e == OK ? txn_put(t, &copy) : e;
}

static void a_copy_from_before_the_last_change_is_not_saved(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(put(f, RT_PROJECT, "a", "{}"), OK);
	assert_int_equal(run(f, stale_run, f), ERR_CONFLICT);
	assert_int_equal(zone_of(f).seq, 1);
}

static enum err twice_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	struct record r = {.zone = f->zone, .type = RT_PROJECT, .name = STR("same"), .fields = STR("{}")}, again = r;
	enum err e = txn_put(t, &r);
	return e == OK ? txn_put(t, &again) : e;
}

struct twice {
	struct fixture *f;
	size_t n;
	int64_t seqs[4];
};

/* Two records, and the first once more. */
static enum err both_run(struct txn *t, void *ctx)
{
	struct twice *w = ctx;
	static const char *const names[] = {"a", "b", "a"};
	const struct change *c;
	for (int i = 0; i < 3; i++) {
		struct put p = {.f = w->f, .type = RT_PROJECT, .name = names[i], .fields = "{}"};
		enum err e = put_run(t, &p);
		if (e != OK) return e;
	}
	STAILQ_FOREACH (c, &t->op->changes, link) {
		assert_true(w->n < ARRAY_LEN(w->seqs));
		w->seqs[w->n++] = c->rec.seq;
	}
	return OK;
}

static void a_record_changed_twice_by_a_command_is_one_change_of_it(void **state)
{
	struct fixture *f = *state;
	for (int old = 0; old < 2; old++) { /* made by the command, and there before it */
		struct twice w = {.f = f};
		assert_int_equal(run(f, both_run, &w), OK);
		assert_int_equal(w.n, 2);
		assert_int_equal(w.seqs[1], w.seqs[0] + 1);
		assert_int_equal(w.seqs[1], 3 * (old + 1));
	}
}

static void a_name_exists_once(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run(f, twice_run, f), ERR_EXISTS);
	assert_int_equal(get(f, RT_PROJECT, "same", NULL), ERR_NOT_FOUND);
	assert_int_equal(zone_of(f).seq, 0);
	assert_healthy(f);
}

static void a_failed_command_leaves_nothing_and_its_batch_alone(void **state)
{
	struct fixture *f = *state;
	enum { N = 51 };
	struct call calls[N];
	struct put puts[N];
	char names[N][16];
	for (int i = 0; i < N; i++) {
		(void)snprintf(names[i], sizeof names[i], "n%d", i);
		puts[i] = (struct put){.f = f, .type = RT_PROJECT, .name = names[i], .fields = "{\"title\":\"x\"}"};
		if (i % 3 == 1) puts[i].then = ERR_FORBIDDEN;
		call_init(f, &calls[i], put_run, &puts[i]);
		store_submit(f->store, &calls[i].op);
	}
	for (int i = 0; i < N; i++) {
		await(f, &calls[i]);
		bool failed = i % 3 == 1;
		assert_int_equal(calls[i].op.err, failed ? ERR_FORBIDDEN : OK);
		assert_int_equal(STAILQ_EMPTY(&calls[i].op.changes), failed);
		store_op_release(&calls[i].op);
		assert_int_equal(get(f, RT_PROJECT, names[i], NULL), failed ? ERR_NOT_FOUND : OK);
	}
	struct zone_info zi = zone_of(f);
	assert_true(zi.records == N - N / 3 && zi.seq == zi.records);
	fixture_close(f);
	assert_healthy(f);
}

/* Counts how often it ran. */
struct again {
	struct fixture *f;
	char name[24];
	int runs;
	bool wrote_first, fails;
};
static enum err again_run(struct txn *t, void *ctx)
{
	struct again *a = ctx;
	struct record r = {.zone = a->f->zone, .type = RT_PROJECT, .name = str_c(a->name), .fields = STR("{}")};
	a->runs++;
	enum err e = a->fails && !a->wrote_first ? OK : txn_put(t, &r);
	return a->fails && e == OK ? ERR_FORBIDDEN : e;
}

/* One transaction with a failing command in it, refused before or after its first write. */
static void fail_one_of(struct fixture *f, bool repeatable, bool wrote_first, int *out_runs)
{
	enum { N = 40, BAD = 20 };
	static struct call calls[N];
	static struct again jobs[N];
	static int serial;
	*out_runs = 0;
	store_set_window_us(f->store, 20000); /* all in one batch */
	for (int i = 0; i < N; i++) {
		jobs[i] = (struct again){.f = f, .wrote_first = wrote_first, .fails = i == BAD};
		(void)snprintf(jobs[i].name, sizeof jobs[i].name, "again%d", serial++);
		call_init(f, &calls[i], again_run, &jobs[i]);
		calls[i].op.repeatable = repeatable;
		store_submit(f->store, &calls[i].op);
	}
	await(f, &calls[N - 1]);
	store_set_window_us(f->store, 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(calls[i].op.err, i == BAD ? ERR_FORBIDDEN : OK);
		assert_int_equal(STAILQ_EMPTY(&calls[i].op.changes), i == BAD);
		struct change *c = STAILQ_FIRST(&calls[i].op.changes);
		if (c != NULL) assert_null(STAILQ_NEXT(c, link));
		*out_runs += jobs[i].runs;
		store_op_release(&calls[i].op);
		assert_int_equal(get(f, RT_PROJECT, jobs[i].name, NULL), i == BAD ? ERR_NOT_FOUND : OK);
	}
}

static void only_repeatable_commands_run_again_and_only_after_a_late_failure(void **state)
{
	struct fixture *f = *state;
	int runs;
	fail_one_of(f, false, true, &runs);
	assert_int_equal(runs, 40);
	fail_one_of(f, true, false, &runs);
	assert_int_equal(runs, 40);
	fail_one_of(f, true, true, &runs);
	assert_true(runs > 40 && runs <= 61);
	struct zone_info zi = zone_of(f);
	assert_true(zi.records == 117 && zi.seq == 117);
	assert_healthy(f);
}

static enum err many_zones_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	uint32_t zone;
	enum err e = txn_zone(t, f->user, STR("own"), true, &zone);
	uint32_t type = 0, principal;
	if (e == OK) e = txn_type(t, STR("Note"), true, &type);
	if (e == OK) e = txn_principal(t, f->user, STR("tablet"), &principal);
	struct record r = {.zone = zone, .type = type, .name = STR("x"), .fields = STR("{}")};
	if (e == OK) e = txn_put(t, &r);
	return e == OK ? ERR_CANCELLED : e;
}

static enum err find_own_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	uint32_t n;
	if (txn_zone(t, f->user, STR("own"), false, &n) != ERR_NOT_FOUND) return ERR_EXISTS;
	return txn_type(t, STR("Note"), false, &n) == ERR_NOT_FOUND ? OK : ERR_EXISTS;
}

static void a_rolled_back_zone_type_and_principal_do_not_exist(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run(f, many_zones_run, f), ERR_CANCELLED);
	assert_int_equal(run(f, find_own_run, f), OK);
	assert_int_equal(run_on_reader(f, find_own_run, f), OK);
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(run(f, find_own_run, f), OK);
	assert_int_equal(run(f, many_zones_run, f), ERR_CANCELLED);
	assert_healthy(f);
}

static enum err zones_run(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	uint32_t zone;
	for (int i = 0; i < 10; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "z%d", i);
		enum err e = txn_zone(t, f->user, str_c(name), true, &zone);
		if (e != OK) return e;
	}
	return OK;
}

static void a_user_has_only_so_many_zones(void **state)
{
	struct fixture *f = *state;
	f->limits.zones_per_user = 5;
	assert_int_equal(run(f, zones_run, f), ERR_TOO_MANY);
	assert_non_null(strstr(f->info.text, "zonesPerUser"));
	f->limits.zones_per_user = 64;
	assert_int_equal(run(f, zones_run, f), OK);
	assert_int_equal(run(f, zones_run, f), OK);
}

static void a_tombstone_keeps_its_name(void **state)
{
	struct fixture *f = *state;
	struct record r;
	assert_int_equal(put(f, RT_PROJECT, "p", "{\"title\":\"x\"}"), OK);
	struct get g = {.f = f, .type = RT_PROJECT, .name = "p"};
	assert_int_equal(run(f, remove_run, &g), OK);
	assert_int_equal(get(f, RT_PROJECT, "p", &r), OK);
	assert_true(r.deleted && r.seq == 2 && str_eq(r.fields, STR("{}")));
	assert_int_equal(zone_of(f).records, 1);
	assert_healthy(f);
}

static void principals_are_known_to_every_thread(void **state)
{
	struct fixture *f = *state;
	const struct principal *p = store_principal(f->store, f->actor);
	assert_true(str_eq(p->device_id, STR("phone")) && p->user == f->user && p->user_id.n == ID_LEN);
	assert_null(store_principal(f->store, 0));
	assert_null(store_principal(f->store, 99));
	fixture_close(f);
	fixture_open(f);
	assert_true(str_eq(store_principal(f->store, f->actor)->device_id, STR("phone")));
}

static void without_an_actor_it_is_the_users_daemon(void **state)
{
	struct fixture *f = *state;
	struct record r;
	uint32_t phone = f->actor;
	f->actor = 0;
	assert_int_equal(put(f, RT_PROJECT, "p", "{}"), OK);
	f->actor = phone;
	assert_int_equal(get(f, RT_PROJECT, "p", &r), OK);
	const struct principal *p = store_principal(f->store, r.created_by);
	assert_true(p->device_id.n == 0 && p->user == f->user);
}

/* ---- messages, requests ---- */

struct list {
	struct fixture *f;
	int64_t conv, before, limit;
	int64_t seen[64];
	size_t n, stop_at;
};

static enum err list_add(void *ctx, const struct record *r)
{
	struct list *l = ctx;
	l->seen[l->n++] = r->ord != 0 ? r->ord : r->row;
	return l->n == l->stop_at ? ERR_CANCELLED : OK;
}
static enum err messages_run(struct txn *t, void *ctx)
{
	struct list *l = ctx;
	return txn_messages(t, l->f->zone, l->conv, l->before, l->limit, list_add, l);
}

static void messages_come_newest_first_and_in_pages(void **state)
{
	struct fixture *f = *state;
	int64_t conv = talk(f, "c1", 40);
	(void)talk(f, "c2", 3);
	struct list l = {.f = f, .conv = conv, .limit = 100};
	assert_int_equal(run(f, messages_run, &l), OK);
	assert_int_equal(l.n, 40);
	for (int i = 0; i < 40; i++) assert_int_equal(l.seen[i], 40 - i);
	l = (struct list){.f = f, .conv = conv, .before = 10, .limit = 4};
	assert_int_equal(run_on_reader(f, messages_run, &l), OK);
	assert_true(l.n == 4 && l.seen[0] == 9 && l.seen[3] == 6);
	l = (struct list){.f = f, .conv = conv, .limit = 100, .stop_at = 20};
	assert_int_equal(run(f, messages_run, &l), ERR_CANCELLED);
	assert_int_equal(l.n, 20);
	l = (struct list){.f = f, .conv = 12345, .limit = 100};
	assert_int_equal(run(f, messages_run, &l), OK);
	assert_int_equal(l.n, 0);
}

static enum err open_run(struct txn *t, void *ctx)
{
	struct list *l = ctx;
	return txn_open_requests(t, l->f->zone, l->conv, list_add, l);
}

static void open_requests_are_found_oldest_first(void **state)
{
	struct fixture *f = *state;
	int64_t a = talk(f, "a", 0), b = talk(f, "b", 0), rows[4];
	const char *names[4] = {"r0", "r1", "r2", "r3"};
	for (int i = 0; i < 4; i++) {
		struct put p = {.f = f,
				.type = RT_REQUEST,
				.name = names[i],
				.fields = "{\"state\":\"queued\"}",
				.conv = i % 2 ? b : a,
				.state = 1};
		assert_int_equal(run(f, put_run, &p), OK);
		rows[i] = p.rec.row;
	}
	struct put done = {.f = f, .type = RT_REQUEST, .name = "r2", .fields = "{\"state\":\"done\"}", .state = 0};
	struct put claimed = {
		.f = f, .type = RT_REQUEST, .name = "r0", .fields = "{\"state\":\"claimed\"}", .state = 2};
	assert_int_equal(run(f, put_run, &done), OK);
	assert_int_equal(run(f, put_run, &claimed), OK);
	struct list l = {.f = f};
	assert_int_equal(run(f, open_run, &l), OK);
	assert_true(l.n == 3 && l.seen[0] == rows[0] && l.seen[1] == rows[1] && l.seen[2] == rows[3]);
	l = (struct list){.f = f, .conv = a};
	assert_int_equal(run(f, open_run, &l), OK);
	assert_true(l.n == 1 && l.seen[0] == rows[0]);
	assert_healthy(f);
}

/* ---- the feed ---- */

struct burst {
	struct fixture *f;
	struct rng *rng;
	int names;
};
static enum err burst_run(struct txn *t, void *ctx)
{
	struct burst *b = ctx;
	int n = 1 + (int)rng_below(b->rng, 5);
	for (int i = 0; i < n; i++) {
		char name[24];
		(void)snprintf(name, sizeof name, "n%d", (int)rng_below(b->rng, (uint64_t)b->names));
		struct record r = {.zone = b->f->zone, .type = RT_PRESET, .name = str_c(name)};
		enum err e = txn_get(t, r.zone, r.type, r.name, &r);
		if (e != OK && e != ERR_NOT_FOUND) return e;
		r.fields = STR("{\"title\":\"x\"}");
		e = txn_put(t, &r);
		if (e != OK) return e;
	}
	return rng_below(b->rng, 6) == 0 ? ERR_CANCELLED : OK;
}

/* Whoever follows the feed page by page, while it grows, has every record at its latest place; no page splits a group. */
static void a_feed_in_pages_has_no_gap_and_splits_no_group(void **state)
{
	struct fixture *f = *state;
	struct rng rng;
	rng_seed(&rng, 4711);
	struct burst b = {.f = f, .rng = &rng, .names = 60};
	int64_t latest[600] = {0}, cursor = 0;
	size_t nlatest = 0;
	for (int round = 0; round < 200; round++) {
		enum err e = run(f, burst_run, &b);
		assert_true(e == OK || e == ERR_CANCELLED);
		struct feed page = {
			.f = f, .after = cursor, .upto = INT64_MAX, .limit = 1 + (int64_t)rng_below(&rng, 6)};
		assert_int_equal(rng_below(&rng, 2) ? run_on_reader(f, feed_run, &page) : run(f, feed_run, &page), OK);
		for (size_t i = 0; i < page.n; i++) {
			assert_true(page.seqs[i] > cursor && (i == 0 || page.seqs[i] > page.seqs[i - 1]));
			latest[nlatest++ % 600] = page.seqs[i];
		}
		if (page.n > 0) {
			struct feed next = {.f = f, .after = page.out_seq, .upto = INT64_MAX, .limit = 1};
			assert_int_equal(run(f, feed_run, &next), OK);
			assert_true(next.n == 0 || next.groups[0] != page.groups[page.n - 1]);
			assert_int_equal(next.n > 0, page.more);
		}
		cursor = page.out_seq;
	}
	struct feed rest = {.f = f, .after = cursor, .upto = INT64_MAX, .limit = 600};
	assert_int_equal(run(f, feed_run, &rest), OK);
	for (size_t i = 0; i < rest.n; i++) latest[nlatest++ % 600] = rest.seqs[i];
	struct feed all = {.f = f, .upto = INT64_MAX, .limit = 600};
	assert_int_equal(run(f, feed_run, &all), OK);
	assert_int_equal(all.n, zone_of(f).records);
	for (size_t i = 0; i < all.n; i++) {
		bool known = false;
		for (size_t k = 0; k < MIN(nlatest, (size_t)600) && !known; k++) known = latest[k] == all.seqs[i];
		assert_true(known);
	}
	assert_healthy(f);
}

static void a_feed_stops_at_upto(void **state)
{
	struct fixture *f = *state;
	(void)talk(f, "c", 9);
	struct feed page = {.f = f, .after = 2, .upto = 5, .limit = 100};
	assert_int_equal(run(f, feed_run, &page), OK);
	assert_true(page.n == 3 && page.seqs[0] == 3 && page.out_seq == 5 && !page.more);
	page = (struct feed){.f = f, .after = 50, .upto = INT64_MAX, .limit = 100};
	assert_int_equal(run(f, feed_run, &page), OK);
	assert_true(page.n == 0 && page.out_seq == 50);
}

/* ---- threads ---- */

struct counting {
	struct fixture *f;
	int changed, batches;
	uint64_t last_commit;
};
static void count_changed(void *ctx, struct store_op *op)
{
	struct counting *c = ctx;
	assert_true(op->commit >= c->last_commit);
	c->last_commit = op->commit;
	c->changed++;
}
static void count_batch(void *ctx) { ((struct counting *)ctx)->batches++; }

static void done_comes_in_order_and_batches_are_announced(void **state)
{
	struct fixture *f = *state;
	struct counting c = {.f = f};
	store_set_hooks(f->store, &(struct store_hooks){.changed = count_changed, .batch_end = count_batch, .ctx = &c});
	enum { N = 300 };
	static struct call calls[N];
	static struct put puts[N];
	static char names[N][16];
	store_set_window_us(f->store, 2000);
	for (int i = 0; i < N; i++) {
		(void)snprintf(names[i], sizeof names[i], "n%d", i);
		puts[i] = (struct put){.f = f, .type = RT_PROJECT, .name = names[i], .fields = "{}"};
		call_init(f, &calls[i], put_run, &puts[i]);
		store_submit(f->store, &calls[i].op);
	}
	await(f, &calls[N - 1]);
	for (int i = 0; i < N; i++) {
		assert_true(calls[i].done && calls[i].op.err == OK);
		assert_int_equal(puts[i].rec.seq, i + 1);
		store_op_release(&calls[i].op);
	}
	assert_int_equal(c.changed, N);
	assert_true(c.batches >= 1 && c.batches < N);
	assert_int_equal(store_queue_bytes(f->store), 0);
	store_set_window_us(f->store, 0);
}

static void closing_commits_what_is_queued(void **state)
{
	struct fixture *f = *state;
	enum { N = 100 };
	static struct call calls[N];
	static struct put puts[N];
	static char names[N][16];
	for (int i = 0; i < N; i++) {
		(void)snprintf(names[i], sizeof names[i], "n%d", i);
		puts[i] = (struct put){.f = f, .type = RT_PROJECT, .name = names[i], .fields = "{}"};
		call_init(f, &calls[i], put_run, &puts[i]);
		store_submit(f->store, &calls[i].op);
	}
	fixture_close(f);
	for (int i = 0; i < N; i++) {
		assert_true(calls[i].done && calls[i].op.err == OK);
		store_op_release(&calls[i].op);
	}
	fixture_open(f);
	assert_int_equal(zone_of(f).records, N);
}

static enum err busy_run(struct txn *t, void *ctx)
{
	(void)ctx;
	struct q q = q_prepare(
		t->db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
	return q_run(&q);
}

static void a_reader_is_interrupted_after_a_second(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(run_on_reader(f, busy_run, NULL), ERR_OVERLOADED);
	assert_int_equal(run_on_reader(f, status_run, &(struct store_status){0}), OK);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_put_is_there_after_a_restart),
		T(every_change_takes_the_next_place),
		T(a_copy_from_before_the_last_change_is_not_saved),
		T(a_record_changed_twice_by_a_command_is_one_change_of_it),
		T(a_name_exists_once),
		T(a_failed_command_leaves_nothing_and_its_batch_alone),
		T(only_repeatable_commands_run_again_and_only_after_a_late_failure),
		T(a_rolled_back_zone_type_and_principal_do_not_exist),
		T(a_user_has_only_so_many_zones),
		T(a_tombstone_keeps_its_name),
		T(principals_are_known_to_every_thread),
		T(without_an_actor_it_is_the_users_daemon),
		T(messages_come_newest_first_and_in_pages),
		T(open_requests_are_found_oldest_first),
		T(a_feed_in_pages_has_no_gap_and_splits_no_group),
		T(a_feed_stops_at_upto),
		T(done_comes_in_order_and_batches_are_announced),
		T(closing_commits_what_is_queued),
		T(a_reader_is_interrupted_after_a_second),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
