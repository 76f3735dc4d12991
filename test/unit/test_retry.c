/* The retry policy, with a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "talk/retry.h"

static struct limits limits;
static struct rng rng;

static int setup(void **state)
{
	(void)state;
	limits_default(&limits);
	rng_seed(&rng, 7);
	return 0;
}

static struct retry_verdict decide(struct retry_ask a) { return retry_decide(&a, &limits, &rng); }

static void every_class_is_tried_again_or_not(void **state)
{
	static const bool again[FAIL_COUNT] = {[FAIL_NETWORK] = true, [FAIL_TIMEOUT] = true,    [FAIL_CUT] = true,
					       [FAIL_RATE] = true,    [FAIL_OVERLOADED] = true, [FAIL_SERVER] = true};
	(void)state;
	for (int f = FAIL_NONE + 1; f < FAIL_COUNT; f++) {
		struct retry_verdict v = decide((struct retry_ask){
			.fail = (enum fail)f, .retryable = fail_retryable((enum fail)f), .attempts = 1, .rides = 1});
		assert_int_equal(v.what, again[f] ? RETRY_AGAIN : RETRY_FAIL);
		if (!again[f]) assert_null(v.why); /* the failure says it all */
	}
}

static void the_word_of_the_provider_goes_over_the_class(void **state)
{
	(void)state;
	assert_int_equal(decide((struct retry_ask){.fail = FAIL_SERVER, .retryable = false, .attempts = 1}).what,
			 RETRY_FAIL);
	assert_int_equal(decide((struct retry_ask){.fail = FAIL_INVALID, .retryable = true, .attempts = 1}).what,
			 RETRY_AGAIN);
}

static void tries_are_counted(void **state)
{
	(void)state;
	for (int64_t n = 1; n < limits.attempts; n++)
		assert_int_equal(decide((struct retry_ask){.fail = FAIL_CUT, .retryable = true, .attempts = n}).what,
				 RETRY_AGAIN);
	assert_int_equal(
		decide((struct retry_ask){.fail = FAIL_CUT, .retryable = true, .attempts = limits.attempts}).what,
		RETRY_FAIL);
}

/* A storm: the policy alone, from the first failure to the end. */
static void an_overloaded_provider_is_ridden_out_to_the_horizon(void **state)
{
	static const enum fail classes[] = {FAIL_OVERLOADED, FAIL_RATE};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		int64_t elapsed = 0, n = 1;
		struct retry_verdict v;
		for (;; n++) {
			v = decide((struct retry_ask){.fail = classes[i],
						      .retryable = true,
						      .attempts = 0,
						      .rides = n,
						      .elapsed_ms = elapsed});
			if (v.what != RETRY_AGAIN) break;
			assert_true(v.is_ride);
			assert_in_range(v.wait_ms, 0, limits.backoff_max_ms);
			elapsed += v.wait_ms;
			assert_true(elapsed <= limits.retry_horizon_ms);
			elapsed += 50; /* the attempt itself */
		}
		assert_true(n > limits.attempts * 4);
		assert_in_range(elapsed, limits.retry_horizon_ms, limits.retry_horizon_ms + 50);
		assert_int_equal(v.what, RETRY_FAIL);
		assert_non_null(strstr(v.why, "retryHorizonMs"));
	}
}

static void waits_are_random_from_nothing_to_a_bound_that_doubles(void **state)
{
	(void)state;
	for (int64_t n = 1; n < 80; n++) {
		int64_t bound =
			n < 20 ? MIN(limits.backoff_ms << (n - 1), limits.backoff_max_ms) : limits.backoff_max_ms;
		int64_t low = INT64_MAX, high = 0;
		for (int i = 0; i < 200; i++) {
			int64_t w = retry_wait_ms(&limits, n, 0, &rng);
			assert_in_range(w, 0, bound);
			low = MIN(low, w);
			high = MAX(high, w);
		}
		assert_true(low < bound / 10);
		assert_true(high > bound * 9 / 10);
	}
}

static void a_provider_that_asks_for_a_wait_gets_it(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		struct retry_verdict v = decide((struct retry_ask){
			.fail = FAIL_RATE, .retryable = true, .rides = 9, .retry_after_ms = 90000, .elapsed_ms = 5000});
		assert_int_equal(v.what, RETRY_AGAIN);
		assert_in_range(v.wait_ms, 90000, 90000 + limits.backoff_ms);
	}
}

static void a_wait_beyond_the_horizon_fails_at_once_and_says_so(void **state)
{
	(void)state;
	struct retry_ask a = {
		.fail = FAIL_RATE, .retryable = true, .rides = 1, .retry_after_ms = limits.retry_horizon_ms + 1};
	assert_int_equal(decide(a).what, RETRY_FAIL);
	assert_non_null(strstr(decide(a).why, "retryHorizonMs"));
	a.retry_after_ms = 1000;
	a.elapsed_ms = limits.retry_horizon_ms - 999;
	assert_int_equal(decide(a).what, RETRY_FAIL);
	a.elapsed_ms = limits.retry_horizon_ms - 1000;
	assert_int_equal(decide(a).what, RETRY_FAIL); /* there would be no room for a moment's jitter */
	a.elapsed_ms = limits.retry_horizon_ms - 2000;
	assert_int_equal(decide(a).what, RETRY_AGAIN);
}

static void a_fallback_is_taken_when_trying_again_is_over(void **state)
{
	static const struct {
		enum fail fail;
		int64_t made;
		enum retry_what what;
	} rows[] = {
		{FAIL_OVERLOADED, 1, RETRY_AGAIN}, {FAIL_OVERLOADED, 5, RETRY_FALLBACK},
		{FAIL_RATE, 5, RETRY_FALLBACK},    {FAIL_SERVER, 4, RETRY_AGAIN},
		{FAIL_SERVER, 5, RETRY_FALLBACK},  {FAIL_TIMEOUT, 5, RETRY_FALLBACK},
		{FAIL_NETWORK, 5, RETRY_FALLBACK}, {FAIL_MODEL, 1, RETRY_FALLBACK},
		{FAIL_CUT, 5, RETRY_FAIL},         {FAIL_AUTH, 1, RETRY_FAIL},
		{FAIL_QUOTA, 1, RETRY_FAIL},       {FAIL_CONTEXT, 1, RETRY_FAIL},
		{FAIL_FILTER, 1, RETRY_FAIL},      {FAIL_INVALID, 1, RETRY_FAIL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct retry_ask a = {.fail = rows[i].fail,
				      .retryable = fail_retryable(rows[i].fail),
				      .attempts = rows[i].made,
				      .rides = rows[i].made,
				      .has_fallback = true};
		assert_int_equal(decide(a).what, rows[i].what);
	}
	struct retry_ask beyond = {
		.fail = FAIL_RATE, .retryable = true, .rides = 1, .retry_after_ms = 86400000, .has_fallback = true};
	assert_int_equal(decide(beyond).what, RETRY_FALLBACK);
}

static void every_error_has_a_class(void **state)
{
	(void)state;
	for (int f = FAIL_NONE + 1; f < FAIL_COUNT; f++) {
		enum fail back = fail_of_err(fail_err((enum fail)f));
		assert_true(back != FAIL_NONE);
		/* Two classes of one error may differ, but not in whether they get better by themselves. */
		assert_int_equal(fail_retryable(back), fail_retryable((enum fail)f));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_class_is_tried_again_or_not, setup),
		cmocka_unit_test_setup(the_word_of_the_provider_goes_over_the_class, setup),
		cmocka_unit_test_setup(tries_are_counted, setup),
		cmocka_unit_test_setup(an_overloaded_provider_is_ridden_out_to_the_horizon, setup),
		cmocka_unit_test_setup(waits_are_random_from_nothing_to_a_bound_that_doubles, setup),
		cmocka_unit_test_setup(a_provider_that_asks_for_a_wait_gets_it, setup),
		cmocka_unit_test_setup(a_wait_beyond_the_horizon_fails_at_once_and_says_so, setup),
		cmocka_unit_test_setup(a_fallback_is_taken_when_trying_again_is_over, setup),
		cmocka_unit_test_setup(every_error_has_a_class, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
