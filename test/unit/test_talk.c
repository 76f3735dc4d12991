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
	assert_int_equal(turn_ended(&t, OK, false, 0, &limits, &rng, at(50)), TURN_DONE);
	assert_true(str_eq(buf_str(&t.said[TURN_TEXT]), STR("Hello")));
	turn_release(&t);
}

static void a_failure_waits_longer_each_time_and_then_gives_up(void **state)
{
	(void)state;
	struct turn t;
	struct rng rng;
	int64_t last = 0;
	rng_seed(&rng, 7);
	limits.attempts = 4;
	turn_init(&t, 0, 0, &limits);
	for (int64_t n = 1; n <= 3; n++) {
		turn_begin(&t, n, at(0));
		assert_int_equal(turn_ended(&t, ERR_PROVIDER_DOWN, true, 0, &limits, &rng, at(0)), TURN_BACKOFF);
		int64_t full = limits.backoff_ms << (n - 1);
		assert_in_range(t.retry_boot_ms, full / 2, full);
		assert_true(t.retry_boot_ms >= last / 2);
		last = t.retry_boot_ms;
	}
	turn_begin(&t, 4, at(0));
	assert_int_equal(turn_ended(&t, ERR_PROVIDER_DOWN, true, 0, &limits, &rng, at(0)), TURN_FAILED);
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
	assert_int_equal(turn_ended(&t, ERR_PROVIDER_REFUSED, false, 0, &limits, &rng, at(0)), TURN_FAILED);
	turn_release(&t);
}

static void a_provider_that_asks_for_a_wait_gets_it(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 3);
	assert_int_equal(backoff_wait_ms(&limits, 1, 90000, &rng), 90000);
	for (int64_t n = 1; n < 80; n++)
		assert_in_range(backoff_wait_ms(&limits, n, 0, &rng), 1, limits.backoff_max_ms);
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
	(void)turn_ended(&t, ERR_PROVIDER_CUT, true, 0, &limits, &rng, at(2));
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
	assert_true(view_add(&v, ROLE_USER, STR("newest")));
	assert_true(view_add(&v, ROLE_ASSISTANT, STR("mid")));
	assert_false(view_add(&v, ROLE_USER, STR("too long for it")));
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
	assert_true(view_add(&v, ROLE_USER, STR("much longer than the window")));
	assert_false(view_add(&v, ROLE_USER, STR("x")));
	view_end(&v, STR_NONE);
	assert_int_equal(v.n, 1);
	arena_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_answer_goes_through_every_phase, setup),
		cmocka_unit_test_setup(a_failure_waits_longer_each_time_and_then_gives_up, setup),
		cmocka_unit_test_setup(an_error_that_will_not_get_better_fails_at_once, setup),
		cmocka_unit_test_setup(a_provider_that_asks_for_a_wait_gets_it, setup),
		cmocka_unit_test_setup(a_new_attempt_starts_with_nothing, setup),
		cmocka_unit_test_setup(an_answer_longer_than_the_limit_is_refused_whole, setup),
		cmocka_unit_test_setup(a_view_keeps_the_newest_whole_messages_oldest_first, setup),
		cmocka_unit_test_setup(the_newest_message_is_in_the_view_however_long, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
