/* Running text and the rows it leaves, and what retention and status make of all that is stored. */
#include "store/store.h"

#include "store_gear.h"

/* ---- streams ---- */

static enum err chunks_run(struct txn *t, void *ctx)
{
	struct chunk *last = ctx;
	static const char *const texts[] = {"Hel", "lo", " wörld"};
	int64_t offset = 0;
	for (int i = 0; i < 3; i++) {
		*last = (struct chunk){
			.request = 5, .attempt = 1, .kind = STREAM_TEXT, .offset = offset, .text = str_c(texts[i])};
		enum err e = txn_chunk_add(t, last);
		if (e != OK) return e;
		offset += (int64_t)last->text.n;
	}
	return OK;
}
struct chunk_list {
	int64_t ids[16];
	struct buf text;
	size_t n;
};
static enum err chunk_note(void *ctx, const struct chunk *c)
{
	struct chunk_list *l = ctx;
	assert_int_equal(c->offset, l->text.n);
	(void)buf_add_str(&l->text, c->text);
	l->ids[l->n++] = c->id;
	return OK;
}
static enum err chunk_list_run(struct txn *t, void *ctx) { return txn_chunks(t, chunk_note, ctx); }
static enum err trim_run(struct txn *t, void *ctx) { return txn_chunks_trim(t, *(int64_t *)ctx); }

static void chunks_survive_and_are_trimmed(void **state)
{
	struct fixture *f = *state;
	struct chunk last;
	assert_int_equal(run(f, chunks_run, &last), OK);
	fixture_close(f);
	fixture_open(f);
	struct chunk_list l = {.text = BUF_INIT(1000)};
	assert_int_equal(run_on_reader(f, chunk_list_run, &l), OK);
	assert_true(l.n == 3 && l.ids[0] < l.ids[1] && l.ids[2] == last.id);
	assert_string_equal(l.text.p, "Hello wörld");
	buf_release(&l.text);
	int64_t below = last.id + 1;
	assert_int_equal(run(f, trim_run, &below), OK);
	l = (struct chunk_list){.text = BUF_INIT(1000)};
	assert_int_equal(run(f, chunk_list_run, &l), OK);
	assert_int_equal(l.n, 0);
	struct chunk again;
	assert_int_equal(run(f, chunks_run, &again), OK);
	assert_true(again.id > last.id);
	assert_healthy(f);
}

static enum err close_run(struct txn *t, void *ctx) { return txn_stream_close(t, ctx); }
struct stream_get {
	struct fixture *f;
	struct stream_row row;
};
static enum err stream_get_run(struct txn *t, void *ctx)
{
	struct stream_get *g = ctx;
	enum err e = txn_stream_get(t, 7, 2, STREAM_THINKING, &g->row);
	g->row.text = arena_str(&g->f->keep, g->row.text);
	g->row.status = arena_str(&g->f->keep, g->row.status);
	return e;
}

static void a_stream_is_closed_once(void **state)
{
	struct fixture *f = *state;
	struct stream_row s = {
		.request = 7, .attempt = 2, .kind = STREAM_THINKING, .status = STR("done"), .text = STR("so")};
	struct stream_get g = {.f = f};
	assert_int_equal(run(f, stream_get_run, &g), ERR_NOT_FOUND);
	assert_int_equal(run(f, close_run, &s), OK);
	s.status = STR("failed");
	s.text = STR("other");
	assert_int_equal(run(f, close_run, &s), OK);
	assert_int_equal(run_on_reader(f, stream_get_run, &g), OK);
	assert_true(str_eq(g.row.status, STR("done")) && str_eq(g.row.text, STR("so")));
	assert_healthy(f);
}

/* ---- retention ---- */

struct compact {
	int64_t now_ms;
	bool more;
};
static enum err compact_run(struct txn *t, void *ctx)
{
	struct compact *c = ctx;
	return txn_compact(t, c->now_ms, &c->more);
}

static void an_old_tombstone_becomes_a_grave_and_its_name_stays_taken(void **state)
{
	struct fixture *f = *state;
	struct record r;
	(void)talk(f, "c", 5);
	struct get victim = {.f = f, .type = RT_MESSAGE, .name = "c-m3"},
		   last = {.f = f, .type = RT_MESSAGE, .name = "c-m5"};
	assert_int_equal(run(f, remove_run, &victim), OK);
	assert_int_equal(run(f, remove_run, &last), OK);
	struct stream_row s = {
		.request = 7, .attempt = 2, .kind = STREAM_THINKING, .status = STR("done"), .text = STR("so")};
	assert_int_equal(run(f, close_run, &s), OK);
	int64_t place = zone_of(f).seq;
	struct compact c = {.now_ms = f->now_ms};
	assert_int_equal(run(f, compact_run, &c), OK);
	assert_int_equal(zone_of(f).records, 6);
	c.now_ms = f->now_ms + f->limits.tombstone_keep_ms + 1;
	assert_int_equal(run(f, compact_run, &c), OK);
	assert_false(c.more);
	struct zone_info zi = zone_of(f);
	/* The last message's place must not be given out again, so its tombstone stays. */
	assert_true(zi.records == 5 && zi.floor == place - 1);
	assert_int_equal(get(f, RT_MESSAGE, "c-m3", &r), OK);
	assert_true(r.deleted && r.row == 0 && r.ord == 3);
	struct put again = {.f = f, .type = RT_MESSAGE, .name = "c-m3", .fields = "{}"};
	assert_int_equal(run(f, put_run, &again), ERR_EXISTS);
	struct feed page = {.f = f, .after = 1, .upto = INT64_MAX, .limit = 100};
	assert_int_equal(run(f, feed_run, &page), ERR_CURSOR_EXPIRED);
	page = (struct feed){.f = f, .after = zi.floor, .upto = INT64_MAX, .limit = 100};
	assert_int_equal(run(f, feed_run, &page), OK);
	page = (struct feed){.f = f, .after = 0, .upto = INT64_MAX, .limit = 100};
	assert_int_equal(run_on_reader(f, feed_run, &page), OK);
	struct stream_get g = {.f = f};
	assert_int_equal(run(f, stream_get_run, &g), ERR_NOT_FOUND);
	assert_healthy(f);
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(run_on_reader(f, get_run, &victim), OK);
	assert_healthy(f);
}

static void status_counts_what_is_there(void **state)
{
	struct fixture *f = *state;
	struct store_status st;
	struct chunk last;
	(void)talk(f, "c", 5);
	assert_int_equal(run(f, chunks_run, &last), OK);
	assert_int_equal(run_on_reader(f, status_run, &st), OK);
	assert_true(st.records == 6 && st.users == 1 && st.zones == 1 && st.chunks == 3 && st.chunk_bytes == 12);
	assert_true(st.db_bytes > 0 && st.schema_version == STORE_SCHEMA_VERSION && st.incarnation == 1 &&
		    st.commits > 6);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(chunks_survive_and_are_trimmed),
		T(a_stream_is_closed_once),
		T(an_old_tombstone_becomes_a_grave_and_its_name_stays_taken),
		T(status_counts_what_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
