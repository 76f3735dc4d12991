/* The content net in the transaction of a send, over a real store. */
#include <stddef.h>
#include <stdint.h>

#include "store_fixture.h"

#include "relay/commands.h"

struct net {
	struct fixture f;
	struct duplicates *table;
	uint32_t other; /* a second device of the user */
	int64_t boot_ms;
};

static enum err make_other(struct txn *t, void *ctx)
{
	struct net *n = ctx;
	return txn_principal(t, n->f.user, STR("laptop"), &n->other);
}

static void net_init(struct net *n)
{
	memset(n, 0, sizeof *n);
	fixture_init(&n->f);
	n->boot_ms = 1000000;
	n->table = duplicates_new(n->f.limits.duplicate_entries, 0);
	assert_int_equal(run(&n->f, make_other, n), OK);
}

static void net_release(struct net *n)
{
	fixture_release(&n->f);
	duplicates_free(n->table);
}

struct sent {
	struct cmd_send cmd;
	char message_id[64], device_id[64]; /* of the refusal */
	bool spoil;                         /* fail after everything was written */
	bool done;
};

static enum err send_run(struct txn *t, struct store_op *op)
{
	struct sent *s = CONTAINER_OF(op, struct sent, cmd.op);
	enum err e = cmd_send_run(t, op);
	(void)str_copy(s->cmd.refusal.message_id, s->message_id, sizeof s->message_id);
	(void)str_copy(s->cmd.refusal.device_id, s->device_id, sizeof s->device_id);
	return e == OK && s->spoil ? ERR_TOO_MANY : e;
}
static void send_done(struct store_op *op) { CONTAINER_OF(op, struct sent, cmd.op)->done = true; }

static void send_begin(struct net *n, struct sent *s, uint32_t device, const char *id, const char *text)
{
	store_op_init(&s->cmd.op, send_run, send_done, device, n->f.now_ms);
	s->cmd.op.bytes = 100;
	s->cmd.op.repeatable = true;
	s->cmd.user = n->f.user;
	s->cmd.user_id = STR("u");
	s->cmd.message_id = str_c(id);
	s->cmd.conversation_id = STR("c");
	s->cmd.text = str_c(text);
	s->cmd.wanted = (struct wanted){.model = STR("m"), .params = STR("")};
	s->cmd.open_max = 100;
	s->cmd.limits = &n->f.limits;
	s->cmd.net = n->table;
	s->cmd.duplicate_ms = 5000;
	s->cmd.boot_ms = n->boot_ms;
	store_submit(n->f.store, &s->cmd.op);
}

static enum err send_end(struct net *n, struct sent *s)
{
	while (!s->done) {
		while (sem_wait(&n->f.woken) != 0) {
		}
		store_poll(n->f.store);
	}
	enum err e = s->cmd.op.err;
	store_op_release(&s->cmd.op);
	return e;
}

static enum err say(struct net *n, uint32_t device, const char *id, const char *text)
{
	struct sent s = {.cmd.wants_answer = false};
	send_begin(n, &s, device, id, text);
	return send_end(n, &s);
}

/* Time goes on for every clock. */
static void later(struct net *n, int64_t ms)
{
	n->boot_ms += ms;
	n->f.now_ms += ms;
}

static void at_5000_ms_it_is_a_duplicate_and_at_5001_it_is_not(void **state)
{
	struct net n;
	(void)state;
	for (int64_t ms = 5000; ms <= 5001; ms++) {
		net_init(&n);
		assert_int_equal(say(&n, n.f.actor, "m1", "hello"), OK);
		later(&n, ms);
		struct sent s = {.cmd.wants_answer = false};
		send_begin(&n, &s, n.other, "m2", "hello");
		assert_int_equal(send_end(&n, &s), ms == 5000 ? ERR_DUPLICATE : OK);
		if (ms == 5000) {
			assert_string_equal(s.message_id, "m1");
			assert_string_equal(s.device_id, "phone");
			assert_int_equal(s.cmd.refusal.age_ms, 5000);
		}
		net_release(&n);
	}
}

static void after_a_restart_the_stored_messages_are_looked_at_with_the_same_boundary(void **state)
{
	struct net n;
	(void)state;
	for (int64_t ms = 5000; ms <= 5001; ms++) {
		net_init(&n);
		assert_int_equal(say(&n, n.f.actor, "m1", "cafe\u0301"), OK);
		assert_int_equal(say(&n, n.f.actor, "m2", "more"), OK);
		fixture_close(&n.f);
		fixture_open(&n.f);
		n.f.now_ms = 1700000000000 + 1000;
		assert_int_equal(say(&n, n.f.actor, "m3", "again"), OK);
		later(&n, ms);
		duplicates_free(n.table);
		n.table = duplicates_new(16, n.boot_ms - 1);
		assert_int_equal(say(&n, n.other, "m4", "again"), ms == 5000 ? ERR_DUPLICATE : OK);
		assert_int_equal(say(&n, n.f.actor, "m5", "again"), ms == 5000 ? OK : ERR_DUPLICATE);
		assert_int_equal(say(&n, n.other, "m6", "caf\u00e9"), OK); /* too old */
		net_release(&n);
	}
}

static void a_stored_message_of_the_future_is_no_original(void **state)
{
	struct net n;
	(void)state;
	net_init(&n);
	assert_int_equal(say(&n, n.f.actor, "m1", "hello"), OK);
	n.f.now_ms -= 5001; /* the clock was set back, and the daemon started again */
	duplicates_free(n.table);
	n.table = duplicates_new(16, n.boot_ms);
	assert_int_equal(say(&n, n.other, "m2", "hello"), OK);
	net_release(&n);
}

static void it_stops_looking_back_once_the_table_knows_the_whole_window(void **state)
{
	struct net n;
	(void)state;
	net_init(&n);
	assert_int_equal(say(&n, n.f.actor, "m1", "hello"), OK);
	duplicates_free(n.table);
	n.table = duplicates_new(16, n.boot_ms - 5000);
	assert_int_equal(say(&n, n.other, "m2", "hello"), ERR_DUPLICATE);
	duplicates_free(n.table);
	n.table = duplicates_new(16, n.boot_ms - 5001);
	assert_int_equal(say(&n, n.other, "m3", "hello"), OK);
	net_release(&n);
}

/* What was taken back does not count, and running again changes nothing. */
static void a_message_that_was_taken_back_is_no_original(void **state)
{
	struct net n;
	(void)state;
	net_init(&n);
	struct sent a = {.spoil = true}, b = {.spoil = false}, c = {.spoil = false}, d = {.spoil = true},
		    e = {.spoil = false};
	send_begin(&n, &a, n.f.actor, "m1", "hello");
	send_begin(&n, &b, n.other, "m2", "hello");
	send_begin(&n, &c, n.f.actor, "m3", "hello");
	send_begin(&n, &d, n.other, "m4", "else");
	send_begin(&n, &e, n.f.actor, "m5", "else");
	assert_int_equal(send_end(&n, &a), ERR_TOO_MANY);
	assert_int_equal(send_end(&n, &b), OK);
	assert_int_equal(send_end(&n, &c), ERR_DUPLICATE);
	assert_string_equal(c.message_id, "m2");
	assert_int_equal(send_end(&n, &d), ERR_TOO_MANY);
	assert_int_equal(send_end(&n, &e), OK);
	net_release(&n);
}

static void a_message_that_was_taken_back_hides_no_earlier_one(void **state)
{
	struct net n;
	(void)state;
	net_init(&n);
	struct sent a = {.spoil = true}, b = {.spoil = false};
	assert_int_equal(say(&n, n.f.actor, "m1", "hello"), OK);
	send_begin(&n, &a, n.f.actor, "m2", "hello");
	assert_int_equal(send_end(&n, &a), ERR_TOO_MANY);
	send_begin(&n, &b, n.other, "m3", "hello");
	assert_int_equal(send_end(&n, &b), ERR_DUPLICATE);
	assert_string_equal(b.message_id, "m1");
	net_release(&n);
}

/* What it left in the table names a row, and rows are given out again. */
static void a_message_that_was_taken_back_makes_no_original_of_another_one(void **state)
{
	struct net n;
	(void)state;
	net_init(&n);
	assert_int_equal(say(&n, n.f.actor, "m0", "first"), OK);
	struct sent a = {.spoil = true}, d = {.spoil = true};
	send_begin(&n, &a, n.f.actor, "m1", "hello");
	assert_int_equal(send_end(&n, &a), ERR_TOO_MANY);
	assert_int_equal(say(&n, n.f.actor, "m2", "something else"), OK);
	assert_int_equal(say(&n, n.other, "m3", "hello"), OK);
	send_begin(&n, &d, n.f.actor, "m4", "good bye");
	assert_int_equal(send_end(&n, &d), ERR_TOO_MANY);
	assert_int_equal(say(&n, n.other, "m5", "else again"), OK);
	assert_int_equal(say(&n, n.other, "m6", "good bye"), OK);
	net_release(&n);
}

static void a_group_that_runs_again_ends_the_same(void **state)
{
	struct net n;
	(void)state;
	net_init(&n);
	enum { N = 40 };
	static struct sent list[N];
	static char ids[N][16];
	memset(list, 0, sizeof list);
	for (int i = 0; i < N; i++) {
		(void)snprintf(ids[i], sizeof ids[i], "m%d", i);
		list[i].spoil = i % 10 == 9; /* each takes back the group before it */
		send_begin(&n, &list[i], i % 2 == 0 ? n.f.actor : n.other, ids[i], i % 10 == 9 ? ids[i] : "same");
	}
	for (int i = 0; i < N; i++) {
		enum err e = send_end(&n, &list[i]);
		assert_int_equal(e, list[i].spoil ? ERR_TOO_MANY : i % 2 == 0 ? OK : ERR_DUPLICATE);
	}
	net_release(&n);
}

static enum err delete_message(struct txn *t, void *ctx)
{
	struct net *n = ctx;
	struct record r;
	enum err e = txn_get(t, n->f.zone, RT_MESSAGE, STR("m1"), &r);
	return e == OK ? txn_delete(t, &r) : e;
}

static void a_deleted_message_is_no_original(void **state)
{
	struct net n;
	(void)state;
	net_init(&n);
	assert_int_equal(say(&n, n.f.actor, "m1", "hello"), OK);
	assert_int_equal(run(&n.f, delete_message, &n), OK);
	assert_int_equal(say(&n, n.other, "m2", "hello"), OK);
	net_release(&n);
}

static enum err stop_request(struct txn *t, void *ctx)
{
	struct net *n = ctx;
	struct id id = request_id_of(STR("u"), STR("m1"));
	struct record r;
	struct request q;
	enum err e = txn_get(t, n->f.zone, RT_REQUEST, id_str(&id), &r);
	if (e == OK) e = request_read(&q, &r, txn_arena(t));
	if (e != OK) return e;
	q.state = RQ_FAILED;
	request_write(&q, &r, txn_arena(t));
	return txn_put(t, &r);
}

static void a_message_whose_request_failed_is_no_original(void **state)
{
	struct net n;
	(void)state;
	net_init(&n);
	struct sent a = {.cmd.wants_answer = true};
	send_begin(&n, &a, n.f.actor, "m1", "hello");
	assert_int_equal(send_end(&n, &a), OK);
	assert_int_equal(say(&n, n.other, "m2", "hello"), ERR_DUPLICATE);
	assert_int_equal(run(&n.f, stop_request, &n), OK);
	assert_int_equal(say(&n, n.other, "m3", "hello"), OK);
	net_release(&n);
}

static void zero_milliseconds_is_off(void **state)
{
	struct net n;
	(void)state;
	net_init(&n);
	for (int i = 0; i < 2; i++) {
		struct sent s = {.done = false};
		store_op_init(&s.cmd.op, send_run, send_done, i == 0 ? n.f.actor : n.other, n.f.now_ms);
		s.cmd.user = n.f.user;
		s.cmd.user_id = STR("u");
		s.cmd.message_id = i == 0 ? STR("m1") : STR("m2");
		s.cmd.conversation_id = STR("c");
		s.cmd.text = STR("hello");
		s.cmd.limits = &n.f.limits;
		s.cmd.net = n.table;
		store_submit(n.f.store, &s.cmd.op);
		assert_int_equal(send_end(&n, &s), OK);
	}
	assert_int_equal(duplicates_count(n.table), 0);
	net_release(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_5000_ms_it_is_a_duplicate_and_at_5001_it_is_not),
		cmocka_unit_test(after_a_restart_the_stored_messages_are_looked_at_with_the_same_boundary),
		cmocka_unit_test(a_stored_message_of_the_future_is_no_original),
		cmocka_unit_test(it_stops_looking_back_once_the_table_knows_the_whole_window),
		cmocka_unit_test(a_message_that_was_taken_back_is_no_original),
		cmocka_unit_test(a_message_that_was_taken_back_hides_no_earlier_one),
		cmocka_unit_test(a_message_that_was_taken_back_makes_no_original_of_another_one),
		cmocka_unit_test(a_group_that_runs_again_ends_the_same),
		cmocka_unit_test(a_deleted_message_is_no_original),
		cmocka_unit_test(a_message_whose_request_failed_is_no_original),
		cmocka_unit_test(zero_milliseconds_is_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
