/* The limiter, with a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/id.h"
#include "talk/limiter.h"

#define T0 ((int64_t)5000000)

static struct limiter make(int64_t requests, int64_t tokens)
{
	struct limiter l;
	struct rate_limits c = {.of = {[RATE_REQUESTS] = requests, [RATE_TOKENS] = tokens}};
	limiter_init(&l, &c, NULL);
	return l;
}

/* Asks and counts; 0 when it went. */
static int64_t call(struct limiter *l, int64_t in, int64_t out, int64_t now)
{
	struct charge c = charge_of(in, out);
	int64_t at = limiter_ask(l, &c, now, NULL);
	if (at == 0) limiter_add(l, &c, now);
	return at;
}

static void what_has_no_limit_never_waits(void **state)
{
	struct limiter l = make(0, 0);
	(void)state;
	assert_false(limiter_limits(&l));
	for (int i = 0; i < 100000; i++) assert_int_equal(call(&l, 100000, 100000, T0), 0);
}

static void a_wait_ends_when_there_is_room_and_not_before(void **state)
{
	struct limiter l = make(3, 0);
	(void)state;
	assert_int_equal(call(&l, 0, 0, T0), 0);
	assert_int_equal(call(&l, 0, 0, T0 + 10500), 0);
	assert_int_equal(call(&l, 0, 0, T0 + 10500), 0);
	int64_t at = call(&l, 0, 0, T0 + 20000);
	assert_in_range(at, T0 + 60000, T0 + 61000);
	assert_true(call(&l, 0, 0, at - 1) > 0);
	assert_int_equal(call(&l, 0, 0, at), 0);
	assert_in_range(call(&l, 0, 0, at), T0 + 70500, T0 + 71500);
}

/* Every span of a minute, wherever it begins: calls come at random times and as soon as they may. */
static void no_minute_has_more_than_the_limit(void **state)
{
	enum { LIMIT = 20, CALLS = 2000 };
	struct limiter l = make(LIMIT, 0);
	static int64_t went[CALLS];
	struct rng rng;
	int64_t now = T0;
	(void)state;
	rng_seed(&rng, 5);
	for (size_t i = 0; i < CALLS; i++) {
		int64_t at;
		while ((at = call(&l, 0, 0, now)) > 0) {
			assert_true(at > now);
			now = at;
		}
		went[i] = now;
		if (i >= LIMIT) assert_true(went[i] - went[i - LIMIT] >= 60000);
		if (rng_below(&rng, 3) == 0) now += (int64_t)rng_below(&rng, 9000);
	}
}

static void a_limit_is_used_in_full(void **state)
{
	struct limiter l = make(20, 0);
	int64_t now = T0, at;
	(void)state;
	for (int i = 0; i < 200; i++)
		while ((at = call(&l, 0, 0, now)) > 0) now = at;
	assert_true(now - T0 <= 9 * 61000);
}

static void tokens_are_counted_by_estimate_and_then_as_used(void **state)
{
	struct limiter l = make(0, 1000);
	struct charge a = charge_of(600, 200), used = charge_of(100, 50), b = charge_of(300, 0);
	(void)state;
	limiter_add(&l, &a, T0);
	assert_true(limiter_ask(&l, &b, T0, NULL) > T0);
	limiter_correct(&l, &a, &used, T0 + 5000);
	assert_int_equal(limiter_used(&l, RATE_TOKENS, T0 + 5000), 150);
	assert_int_equal(limiter_ask(&l, &b, T0 + 5000, NULL), 0);
	/* More than was thought: what came on top came now, and stays a minute from now. */
	used = charge_of(100, 900);
	limiter_correct(&l, &a, &used, T0 + 30000);
	assert_int_equal(limiter_used(&l, RATE_TOKENS, T0 + 62000), 850);
	assert_int_equal(limiter_used(&l, RATE_TOKENS, T0 + 91000), 0);
}

static void an_estimate_that_has_left_already_is_not_given_back(void **state)
{
	struct limiter l = make(0, 1000);
	struct charge a = charge_of(900, 0), b = charge_of(400, 0), used = charge_of(10, 0);
	(void)state;
	limiter_add(&l, &a, T0);
	limiter_add(&l, &b, T0 + 70000);
	limiter_correct(&l, &a, &used, T0 + 70000);
	assert_int_equal(limiter_used(&l, RATE_TOKENS, T0 + 70000), 400);
}

static void a_call_that_did_not_begin_is_taken_back(void **state)
{
	struct limiter l = make(1, 0);
	struct charge c = charge_of(1, 1);
	(void)state;
	limiter_add(&l, &c, T0);
	limiter_undo(&l, &c, T0 + 1500);
	assert_int_equal(call(&l, 1, 1, T0 + 1500), 0);
}

static void a_call_larger_than_the_limit_goes_alone(void **state)
{
	struct limiter l = make(0, 1000);
	enum rate why = RATE_COUNT;
	struct charge big = charge_of(5000, 0);
	(void)state;
	assert_int_equal(call(&l, 10, 0, T0), 0);
	int64_t at = limiter_ask(&l, &big, T0 + 1, &why);
	assert_in_range(at, T0 + 60000, T0 + 61000);
	assert_int_equal(why, RATE_TOKENS);
	assert_int_equal(limiter_ask(&l, &big, at, NULL), 0);
}

static struct rates seen(enum rate r, int64_t limit, int64_t remaining, int64_t reset_ms)
{
	struct rates s = {.of = {{-1, 0, 0}, {-1, 0, 0}, {-1, 0, 0}, {-1, 0, 0}}};
	s.of[r] = (struct rate_seen){limit, remaining, reset_ms};
	return s;
}

static void the_lower_of_configured_and_learned_holds(void **state)
{
	struct limiter l = make(10, 0);
	struct rates s = seen(RATE_REQUESTS, 50, 50, 0);
	(void)state;
	limiter_learn(&l, &s, T0);
	assert_int_equal(l.of[RATE_REQUESTS].limit, 10);
	s = seen(RATE_REQUESTS, 4, 4, 0);
	limiter_learn(&l, &s, T0);
	assert_int_equal(l.of[RATE_REQUESTS].limit, 4);
}

static void a_default_holds_until_the_headers_say_something(void **state)
{
	struct limiter l;
	struct rate_limits usual = {.of = {[RATE_REQUESTS] = 50, [RATE_TOKENS] = 40000}};
	struct rates s = seen(RATE_REQUESTS, 4000, 3999, 1000);
	(void)state;
	limiter_init(&l, NULL, &usual);
	assert_int_equal(l.of[RATE_REQUESTS].limit, 50);
	limiter_learn(&l, &s, T0);
	assert_int_equal(l.of[RATE_REQUESTS].limit, 4000);
	assert_int_equal(l.of[RATE_TOKENS].limit, 0); /* who tells of one would tell of the other */
	s = seen(RATE_TOKENS, 90000, 90000, 0);
	limiter_learn(&l, &s, T0);
	assert_int_equal(l.of[RATE_REQUESTS].limit, 4000);
}

static void use_by_others_shows_in_what_remains_and_comes_back_bit_by_bit(void **state)
{
	struct limiter l = make(0, 0);
	struct rates s = seen(RATE_REQUESTS, 60, 0, 30000);
	(void)state;
	limiter_learn(&l, &s, T0);
	int64_t at = call(&l, 0, 0, T0);
	assert_in_range(at, T0 + 1, T0 + 2000);
	assert_int_equal(call(&l, 0, 0, at), 0);
	assert_int_equal(call(&l, 0, 0, T0 + 31000), 0);
	assert_int_equal(limiter_used(&l, RATE_REQUESTS, T0 + 31000), 2);
	/* Our own use is in the headers, too, and not counted twice. */
	s = seen(RATE_REQUESTS, 60, 58, 2000);
	limiter_learn(&l, &s, T0 + 31000);
	assert_int_equal(limiter_used(&l, RATE_REQUESTS, T0 + 31000), 2);
}

static void a_limit_of_a_day_is_told_from_one_of_a_minute(void **state)
{
	struct limiter l = make(0, 0);
	struct rates s = seen(RATE_REQUESTS, 200, 0, 86400000);
	(void)state;
	limiter_learn(&l, &s, T0);
	int64_t at = call(&l, 0, 0, T0);
	assert_in_range(at, T0 + 1, T0 + 2 * 1440000); /* parts of 24 minutes come back */
	assert_true(at > T0 + 60000 || at % 1440000 == 0);
	assert_int_equal(call(&l, 0, 0, at), 0);
}

static void absurd_numbers_do_no_harm(void **state)
{
	struct limiter l = make(5, 5000);
	struct charge c = charge_of(INT64_MAX, INT64_MAX), none = charge_of(-5, INT64_MIN);
	struct rates s = seen(RATE_TOKENS, 1000000000000, 0, 1);
	(void)state;
	for (int i = 0; i < 100; i++) {
		limiter_add(&l, &c, T0 + i);
		limiter_learn(&l, &s, T0 + i);
	}
	assert_true(limiter_used(&l, RATE_TOKENS, T0) > 0);
	limiter_correct(&l, &c, &none, T0 + 100);
	assert_int_equal(limiter_used(&l, RATE_TOKENS, T0 + 200000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_has_no_limit_never_waits),
		cmocka_unit_test(a_wait_ends_when_there_is_room_and_not_before),
		cmocka_unit_test(no_minute_has_more_than_the_limit),
		cmocka_unit_test(a_limit_is_used_in_full),
		cmocka_unit_test(tokens_are_counted_by_estimate_and_then_as_used),
		cmocka_unit_test(an_estimate_that_has_left_already_is_not_given_back),
		cmocka_unit_test(a_call_that_did_not_begin_is_taken_back),
		cmocka_unit_test(a_call_larger_than_the_limit_goes_alone),
		cmocka_unit_test(the_lower_of_configured_and_learned_holds),
		cmocka_unit_test(a_default_holds_until_the_headers_say_something),
		cmocka_unit_test(use_by_others_shows_in_what_remains_and_comes_back_bit_by_bit),
		cmocka_unit_test(a_limit_of_a_day_is_told_from_one_of_a_minute),
		cmocka_unit_test(absurd_numbers_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
