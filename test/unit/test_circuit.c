/* A provider's circuit, with a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "talk/circuit.h"

static struct limits limits;
static struct circuit c;

static int setup(void **state)
{
	(void)state;
	limits_default(&limits);
	limits.circuit_failures = 3;
	limits.circuit_ms = 1000;
	limits.backoff_max_ms = 4000;
	c = (struct circuit){0};
	return 0;
}

static bool fails(enum fail f, int64_t now) { return circuit_ended(&c, f, false, &limits, now); }

static void open_it(int64_t now)
{
	for (int i = 0; i < 3; i++) (void)fails(FAIL_NETWORK, now);
	assert_int_equal(c.state, CIRCUIT_OPEN);
}

static void it_opens_after_so_many_failures_in_a_row(void **state)
{
	(void)state;
	assert_false(fails(FAIL_NETWORK, 10));
	assert_false(fails(FAIL_SERVER, 20));
	assert_int_equal(circuit_ask(&c, 20), 0);
	assert_true(fails(FAIL_OVERLOADED, 30));
	assert_int_equal(c.state, CIRCUIT_OPEN);
	assert_int_equal(c.since_ms, 30);
	assert_int_equal(circuit_ask(&c, 31), 1030);
}

static void any_answer_begins_the_count_anew(void **state)
{
	static const enum fail answers[] = {FAIL_NONE, FAIL_RATE, FAIL_INVALID, FAIL_AUTH, FAIL_QUOTA, FAIL_CUT};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		for (int n = 0; n < 2; n++) assert_false(fails(FAIL_SERVER, 10));
		assert_false(fails(answers[i], 11));
		assert_int_equal(c.failures, 0);
	}
}

static void failures_far_apart_do_not_add_up(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) assert_false(fails(FAIL_SERVER, i * (limits.circuit_window_ms + 1)));
	assert_int_equal(c.state, CIRCUIT_CLOSED);
}

static void a_timeout_alone_says_little(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) assert_false(fails(FAIL_TIMEOUT, i));
	assert_int_equal(c.state, CIRCUIT_CLOSED);
}

static void half_open_lets_one_call_through(void **state)
{
	(void)state;
	open_it(0);
	assert_int_equal(circuit_ask(&c, 1000), 0);
	assert_true(circuit_begin(&c, 1000));
	assert_int_equal(c.state, CIRCUIT_HALF_OPEN);
	assert_true(circuit_ask(&c, 1001) > 1001);
	assert_true(circuit_ended(&c, FAIL_NONE, true, &limits, 1500));
	assert_int_equal(c.state, CIRCUIT_CLOSED);
	assert_int_equal(circuit_ask(&c, 1500), 0);
	assert_false(circuit_begin(&c, 1500));
}

static void a_probe_that_fails_opens_it_for_twice_as_long(void **state)
{
	static const int64_t waits[] = {1000, 2000, 4000, 4000};
	int64_t now = 0;
	(void)state;
	open_it(now);
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		assert_int_equal(circuit_ask(&c, now + 1), now + waits[i]);
		now += waits[i];
		assert_true(circuit_begin(&c, now));
		assert_true(circuit_ended(&c, i % 2 ? FAIL_SERVER : FAIL_TIMEOUT, true, &limits, now));
		assert_int_equal(c.since_ms, 0); /* since when it is in trouble */
	}
}

static void what_began_before_it_opened_does_not_count_as_the_probe(void **state)
{
	(void)state;
	open_it(0);
	assert_false(fails(FAIL_SERVER, 500));
	assert_int_equal(circuit_ask(&c, 501), 1000);
	assert_true(circuit_begin(&c, 1000));
	assert_false(fails(FAIL_SERVER, 1100));
	assert_int_equal(c.state, CIRCUIT_HALF_OPEN);
	/* But an answer is an answer. */
	assert_true(fails(FAIL_NONE, 1200));
	assert_int_equal(c.state, CIRCUIT_CLOSED);
}

static void a_probe_that_was_cut_makes_room_for_another(void **state)
{
	(void)state;
	open_it(0);
	assert_true(circuit_begin(&c, 1000));
	circuit_dropped(&c);
	assert_int_equal(circuit_ask(&c, 1001), 0);
	assert_true(circuit_begin(&c, 1001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_opens_after_so_many_failures_in_a_row, setup),
		cmocka_unit_test_setup(any_answer_begins_the_count_anew, setup),
		cmocka_unit_test_setup(failures_far_apart_do_not_add_up, setup),
		cmocka_unit_test_setup(a_timeout_alone_says_little, setup),
		cmocka_unit_test_setup(half_open_lets_one_call_through, setup),
		cmocka_unit_test_setup(a_probe_that_fails_opens_it_for_twice_as_long, setup),
		cmocka_unit_test_setup(what_began_before_it_opened_does_not_count_as_the_probe, setup),
		cmocka_unit_test_setup(a_probe_that_was_cut_makes_room_for_another, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
