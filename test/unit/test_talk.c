/* One turn and one view, without anything around them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "talk/turn.h"
#include "talk/view.h"

static struct limits limits;

static int setup(void **state)
{
	(void)state;
	limits_default(&limits);
	return 0;
}

static bool falls_back;
static const char *why;

static enum turn_phase ended(struct turn *t, struct turn_end end, struct rng *rng, struct now now)
{
	return turn_ended(t, &end, &limits, rng, now, &falls_back, &why);
}

static struct now at(int64_t ms) { return (struct now){1000000 + ms, ms}; }

static void an_answer_goes_through_every_phase(void **state)
{
	(void)state;
	struct turn t;
	struct rng rng;
	rng_seed(&rng, 1);
	turn_init(&t, 0, 0, &limits);
	turn_begin(&t, 1, at(10));
	assert_int_equal(t.phase, TURN_CALLING);
	turn_connected(&t, at(20));
	assert_int_equal(t.phase, TURN_CONNECTED);
	assert_int_equal(turn_said(&t, TURN_TEXT, STR("Hel"), at(30)), OK);
	assert_int_equal(turn_said(&t, TURN_TEXT, STR("lo"), at(40)), OK);
	assert_int_equal(t.phase, TURN_STREAMING);
	assert_int_equal(t.times.first_token, 1000030);
	assert_int_equal(t.progress_boot_ms, 40);
	assert_int_equal(ended(&t, (struct turn_end){.fail = FAIL_NONE}, &rng, at(50)), TURN_DONE);
	assert_true(str_eq(buf_str(&t.said[TURN_TEXT]), STR("Hello")));
	turn_release(&t);
}

static const struct turn_end broke = {.fail = FAIL_CUT, .retryable = true};

static void a_failure_is_tried_again_and_then_given_up(void **state)
{
	(void)state;
	struct turn t;
	struct rng rng;
	rng_seed(&rng, 7);
	limits.attempts = 4;
	turn_init(&t, 0, 0, &limits);
	for (int64_t n = 1; n <= 3; n++) {
		turn_begin(&t, n, at(0));
		assert_int_equal(ended(&t, broke, &rng, at(0)), TURN_BACKOFF);
		assert_in_range(t.retry_boot_ms, 0, limits.backoff_ms << (n - 1));
	}
	turn_begin(&t, 4, at(0));
	assert_int_equal(ended(&t, broke, &rng, at(0)), TURN_FAILED);
	turn_release(&t);
}

static void attempts_that_met_an_overloaded_provider_do_not_count(void **state)
{
	(void)state;
	struct turn t;
	struct rng rng;
	const struct turn_end busy = {.fail = FAIL_OVERLOADED, .retryable = true};
	rng_seed(&rng, 7);
	limits.attempts = 2;
	turn_init(&t, 0, 0, &limits);
	for (int64_t n = 1; n <= 9; n++) {
		turn_begin(&t, n, at(n));
		assert_int_equal(ended(&t, busy, &rng, at(n)), TURN_BACKOFF);
	}
	assert_int_equal(t.rides, 9);
	turn_begin(&t, 10, at(10));
	assert_int_equal(ended(&t, broke, &rng, at(10)), TURN_BACKOFF);
	assert_int_equal(t.rides, 0);
	turn_begin(&t, 11, at(11));
	assert_int_equal(ended(&t, broke, &rng, at(11)), TURN_FAILED);
	turn_release(&t);
}

/* The horizon begins with the first failure, however long the first attempt took. */
static void the_horizon_begins_with_the_first_failure(void **state)
{
	(void)state;
	struct turn t;
	struct rng rng;
	rng_seed(&rng, 7);
	turn_init(&t, 0, 0, &limits);
	turn_begin(&t, 1, at(0));
	int64_t late = limits.retry_horizon_ms * 2;
	assert_int_equal(ended(&t, broke, &rng, at(late)), TURN_BACKOFF);
	turn_begin(&t, 2, at(late));
	assert_int_equal(ended(&t, broke, &rng, at(late + limits.retry_horizon_ms + 1)), TURN_FAILED);
	assert_non_null(why);
	turn_release(&t);
}

static void another_model_begins_with_a_count_of_its_own(void **state)
{
	(void)state;
	struct turn t;
	struct rng rng;
	struct turn_end gone = {.fail = FAIL_MODEL, .has_fallback = true};
	rng_seed(&rng, 7);
	limits.attempts = 2;
	turn_init(&t, 0, 0, &limits);
	turn_begin(&t, 1, at(5));
	assert_int_equal(ended(&t, gone, &rng, at(5)), TURN_BACKOFF);
	assert_true(falls_back);
	assert_int_equal(t.retry_boot_ms, 5);
	turn_begin(&t, 2, at(6));
	assert_int_equal(ended(&t, broke, &rng, at(6)), TURN_BACKOFF);
	assert_false(falls_back);
	turn_begin(&t, 3, at(7));
	assert_int_equal(ended(&t, broke, &rng, at(7)), TURN_FAILED);
	turn_release(&t);
}

static void an_error_that_will_not_get_better_fails_at_once(void **state)
{
	(void)state;
	struct turn t;
	struct rng rng;
	rng_seed(&rng, 7);
	turn_init(&t, 0, 0, &limits);
	turn_begin(&t, 1, at(0));
	assert_int_equal(ended(&t, (struct turn_end){.fail = FAIL_INVALID}, &rng, at(0)), TURN_FAILED);
	assert_null(why);
	turn_release(&t);
}

static void a_new_attempt_starts_with_nothing(void **state)
{
	(void)state;
	struct turn t;
	struct rng rng;
	rng_seed(&rng, 3);
	turn_init(&t, 0, 0, &limits);
	turn_begin(&t, 1, at(0));
	assert_int_equal(turn_said(&t, TURN_TEXT, STR("lost"), at(1)), OK);
	(void)ended(&t, broke, &rng, at(2));
	turn_begin(&t, 2, at(3));
	assert_int_equal(t.said[TURN_TEXT].n, 0);
	assert_int_equal(t.times.first_token, 0);
	turn_release(&t);
}

static void an_answer_longer_than_the_limit_is_refused_whole(void **state)
{
	(void)state;
	struct turn t;
	limits.answer_bytes = 4;
	turn_init(&t, 0, 0, &limits);
	turn_begin(&t, 1, at(0));
	assert_int_equal(turn_said(&t, TURN_TEXT, STR("1234"), at(1)), OK);
	assert_int_equal(turn_said(&t, TURN_TEXT, STR("5"), at(1)), ERR_PROVIDER_LIMIT);
	assert_true(str_eq(buf_str(&t.said[TURN_TEXT]), STR("1234")));
	turn_release(&t);
}

static void a_view_keeps_the_newest_whole_messages_oldest_first(void **state)
{
	(void)state;
	struct arena a = {0};
	struct view v;
	view_begin(&v, &a, 10);
	assert_true(view_add(&v, ROLE_USER, STR("newest"), STR("")));
	assert_true(view_add(&v, ROLE_ASSISTANT, STR("mid"), STR("")));
	assert_false(view_add(&v, ROLE_USER, STR("too long for it"), STR("")));
	view_end(&v, STR("be kind"));
	assert_int_equal(v.n, 3);
	assert_int_equal(v.list[0].role, ROLE_SYSTEM);
	assert_true(str_eq(v.list[1].text, STR("mid")));
	assert_true(str_eq(v.list[2].text, STR("newest")));
	arena_clear(&a);
}

static void the_newest_message_is_in_the_view_however_long(void **state)
{
	(void)state;
	struct arena a = {0};
	struct view v;
	view_begin(&v, &a, 3);
	assert_true(view_add(&v, ROLE_USER, STR("much longer than the window"), STR("")));
	assert_false(view_add(&v, ROLE_USER, STR("x"), STR("")));
	view_end(&v, STR_NONE);
	assert_int_equal(v.n, 1);
	arena_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_answer_goes_through_every_phase, setup),
		cmocka_unit_test_setup(a_failure_is_tried_again_and_then_given_up, setup),
		cmocka_unit_test_setup(attempts_that_met_an_overloaded_provider_do_not_count, setup),
		cmocka_unit_test_setup(the_horizon_begins_with_the_first_failure, setup),
		cmocka_unit_test_setup(another_model_begins_with_a_count_of_its_own, setup),
		cmocka_unit_test_setup(an_error_that_will_not_get_better_fails_at_once, setup),
		cmocka_unit_test_setup(a_new_attempt_starts_with_nothing, setup),
		cmocka_unit_test_setup(an_answer_longer_than_the_limit_is_refused_whole, setup),
		cmocka_unit_test_setup(a_view_keeps_the_newest_whole_messages_oldest_first, setup),
		cmocka_unit_test_setup(the_newest_message_is_in_the_view_however_long, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
