/* The line before the providers, on a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/id.h"
#include "talk/pace.h"

#define TALKERS 64

static struct limits limits;

static struct pace *one_provider(int64_t concurrency, int64_t per_minute)
{
	struct pace_provider p = {.concurrency = concurrency, .has_circuit = true};
	p.limits.of[RATE_REQUESTS] = per_minute;
	limits_default(&limits);
	return pace_new(&limits, &p, 1);
}

static struct pace_gate *gate(struct pace *p, const char *model, int64_t requests, int64_t tokens)
{
	struct rate_limits l = {0};
	l.of[RATE_REQUESTS] = requests;
	l.of[RATE_TOKENS] = tokens;
	return pace_gate(p, str_c(model), 0, &l, NULL);
}

static void places_are_given_up_in_their_order(void **state)
{
	(void)state;
	struct pace *p = one_provider(3, 0);
	struct pace_gate *g = gate(p, "m", 0, 0);
	struct pace_waiter w[5];
	int64_t due;
	for (size_t i = 0; i < 5; i++) pace_wait(p, g, &w[i], 10, 10);
	for (size_t i = 0; i < 3; i++) assert_ptr_equal(pace_next(p, 1000, &due), &w[i]);
	assert_null(pace_next(p, 1000, &due)); /* the provider takes three at once */
	assert_int_equal(due, INT64_MAX);
	pace_ended(p, &w[1], FAIL_NONE, 10, 10, true, 1100);
	assert_ptr_equal(pace_next(p, 1100, &due), &w[3]);
	pace_leave(p, &w[4]);
	pace_ended(p, &w[0], FAIL_NONE, 10, 10, true, 1200);
	assert_null(pace_next(p, 1200, &due));
	pace_cut(p, &w[2], true, 0);
	pace_cut(p, &w[3], true, 0);
	pace_free(p);
}

static void models_of_a_provider_take_turns_and_one_limit_holds_up_its_own_line_only(void **state)
{
	(void)state;
	struct pace *p = one_provider(100, 0);
	struct pace_gate *slow = gate(p, "slow", 1, 0), *fast = gate(p, "fast", 0, 0);
	struct pace_waiter s[2], f[3];
	int64_t due;
	for (size_t i = 0; i < 2; i++) pace_wait(p, slow, &s[i], 1, 1);
	for (size_t i = 0; i < 3; i++) pace_wait(p, fast, &f[i], 1, 1);
	assert_ptr_equal(pace_next(p, 1000, &due), &s[0]);
	assert_ptr_equal(pace_next(p, 1000, &due), &f[0]);
	assert_ptr_equal(pace_next(p, 1000, &due), &f[1]);
	assert_ptr_equal(pace_next(p, 1000, &due), &f[2]);
	assert_null(pace_next(p, 1000, &due));
	assert_true(due >= 61000 && due <= 62000); /* a minute, and at most a second more */
	assert_string_equal(s[1].waits_for, "requests");
	assert_ptr_equal(pace_next(p, due, &due), &s[1]);
	pace_free(p);
}

struct call {
	struct pace_waiter w;
	int64_t ends_ms; /* 0: it waits */
};

/* The most that began within any minute. */
static int64_t busiest_minute(const int64_t *at, size_t n)
{
	int64_t most = 0;
	for (size_t i = 0, from = 0; i < n; i++) {
		while (at[i] - at[from] >= 60000) from++;
		most = MAX(most, (int64_t)(i - from + 1));
	}
	return most;
}

/* How many calls of TALKERS conversations begin in an hour, and the busiest minute. */
static size_t play(int64_t per_minute, int64_t *out_busiest, size_t *out_fewest)
{
	struct pace *p = one_provider(TALKERS, 0);
	struct pace_gate *g = gate(p, "m", per_minute, 0);
	struct call calls[TALKERS];
	size_t made[TALKERS] = {0}, n = 0;
	static int64_t at[100000];
	struct rng rng;
	int64_t due;
	rng_seed(&rng, 7);
	for (size_t i = 0; i < TALKERS; i++) {
		calls[i].ends_ms = 0;
		pace_wait(p, g, &calls[i].w, 100, 100);
	}
	for (int64_t now = 1000; now < 3600000; now += 50) {
		struct pace_waiter *w;
		for (size_t i = 0; i < TALKERS; i++) {
			if (calls[i].ends_ms == 0 || calls[i].ends_ms > now) continue;
			pace_ended(p, &calls[i].w, FAIL_NONE, 100, 100, true, now);
			calls[i].ends_ms = 0;
			pace_wait(p, g, &calls[i].w, 100, 100);
		}
		while ((w = pace_next(p, now, &due)) != NULL) {
			struct call *c = CONTAINER_OF(w, struct call, w);
			c->ends_ms = now + 50 + (int64_t)rng_below(&rng, 3000);
			made[c - calls]++;
			at[n++] = now;
		}
	}
	*out_busiest = busiest_minute(at, n);
	*out_fewest = made[0];
	for (size_t i = 0; i < TALKERS; i++) *out_fewest = MIN(*out_fewest, made[i]);
	for (size_t i = 0; i < TALKERS; i++) pace_cut(p, &calls[i].w, true, 0);
	pace_free(p);
	return n;
}

static void sixty_four_conversations_stay_under_one_limit_together_and_share_it(void **state)
{
	(void)state;
	int64_t busiest;
	size_t fewest, n = play(300, &busiest, &fewest);
	assert_true(busiest <= 300);
	assert_true(n > 300 * 58); /* and use it */
	assert_true(fewest * TALKERS >= n * 9 / 10);
	(void)play(600, &busiest, &fewest);
	assert_in_range(busiest, 550, 600);
}

static void a_provider_that_fails_is_left_alone_and_one_call_tries_it(void **state)
{
	(void)state;
	struct pace *p = one_provider(100, 0);
	struct pace_gate *g = gate(p, "m", 0, 0);
	struct pace_waiter w[20];
	size_t n = (size_t)0;
	int64_t due;
	for (n = 0; n < (size_t)limits.circuit_failures; n++) {
		pace_wait(p, g, &w[n], 1, 1);
		assert_ptr_equal(pace_next(p, 1000, &due), &w[n]);
		pace_ended(p, &w[n], FAIL_NETWORK, -1, -1, false, 1000);
	}
	pace_wait(p, g, &w[n], 1, 1);
	pace_wait(p, g, &w[n + 1], 1, 1);
	assert_null(pace_next(p, 1000, &due));
	assert_string_equal(w[n].waits_for, "circuit");
	assert_ptr_equal(pace_next(p, due, &(int64_t){0}), &w[n]);
	assert_true(w[n].is_probe);
	assert_null(pace_next(p, due, &(int64_t){0}));
	pace_ended(p, &w[n], FAIL_NONE, 1, 1, true, due + 1);
	assert_ptr_equal(pace_next(p, due + 1, &due), &w[n + 1]);
	pace_cut(p, &w[n + 1], true, 0);
	pace_free(p);
}

static void models_of_a_provider_take_turns_when_it_takes_one_at_a_time(void **state)
{
	(void)state;
	struct pace *p = one_provider(1, 0);
	struct pace_gate *a = gate(p, "a", 0, 0), *b = gate(p, "b", 0, 0);
	struct pace_waiter wa[3], wb[2];
	int64_t due;
	assert_ptr_equal(gate(p, "a", 0, 0), a);
	for (size_t i = 0; i < 3; i++) pace_wait(p, a, &wa[i], 1, 1);
	for (size_t i = 0; i < 2; i++) pace_wait(p, b, &wb[i], 1, 1);
	struct pace_waiter *const order[] = {&wa[0], &wb[0], &wa[1], &wb[1], &wa[2]};
	for (size_t i = 0; i < 5; i++) {
		assert_ptr_equal(pace_next(p, 1000, &due), order[i]);
		assert_int_equal(due, 1000);
		assert_null(pace_next(p, 1000, &due));
		pace_ended(p, order[i], FAIL_NONE, 1, 1, true, 1000);
	}
	pace_free(p);
}

static void a_limit_of_all_its_models_holds_them_together(void **state)
{
	(void)state;
	struct pace *p = one_provider(100, 2);
	struct pace_gate *a = gate(p, "a", 0, 0), *b = gate(p, "b", 0, 0);
	struct pace_waiter w[3];
	int64_t due;
	pace_wait(p, a, &w[0], 1, 1);
	pace_wait(p, b, &w[1], 1, 1);
	pace_wait(p, b, &w[2], 1, 1);
	assert_non_null(pace_next(p, 1000, &due));
	assert_non_null(pace_next(p, 1000, &due));
	assert_null(pace_next(p, 1000, &due));
	assert_string_equal(w[2].waits_for, "requests");
	assert_int_equal(w[2].until_boot_ms, due);
	assert_true(due > 60000);
	for (size_t i = 0; i < 3; i++) pace_cut(p, &w[i], true, 0);
	pace_free(p);
}

static size_t nheld;
static struct pace_waiter *last_held;

static void on_held(void *ctx, struct pace_waiter *w)
{
	(void)ctx;
	nheld++;
	last_held = w;
	w->told = true;
}

static void only_who_stands_first_and_waits_is_visited_and_once(void **state)
{
	(void)state;
	struct pace *p = one_provider(100, 0);
	struct pace_gate *g = gate(p, "m", 1, 0), *free_gate = gate(p, "free", 0, 0);
	struct pace_waiter w[3], other;
	int64_t due;
	nheld = 0;
	for (size_t i = 0; i < 3; i++) pace_wait(p, g, &w[i], 1, 1);
	pace_wait(p, free_gate, &other, 1, 1);
	pace_each_held(p, on_held, NULL); /* nobody has been let go, and nobody refused */
	assert_int_equal(nheld, 0);
	while (pace_next(p, 1000, &due) != NULL) continue;
	pace_each_held(p, on_held, NULL);
	pace_each_held(p, on_held, NULL);
	assert_int_equal(nheld, 1);
	assert_ptr_equal(last_held, &w[1]);
	pace_leave(p, &w[1]);
	pace_leave(p, &w[1]);
	assert_null(pace_next(p, 1000, &due));
	pace_each_held(p, on_held, NULL);
	assert_int_equal(nheld, 2);
	assert_ptr_equal(last_held, &w[2]);
	for (size_t i = 0; i < 3; i++) pace_cut(p, &w[i], true, 0);
	pace_cut(p, &other, true, 0);
	pace_free(p);
}

/* How much is on the account behind a call of an estimated 100 and 100 tokens. */
static int64_t charged(enum fail f, int64_t input, int64_t output, bool said)
{
	struct pace *p = one_provider(100, 0);
	struct pace_gate *g = gate(p, "m", 0, 1000);
	struct pace_waiter w;
	int64_t due, limit, used;
	pace_wait(p, g, &w, 100, 100);
	assert_ptr_equal(pace_next(p, 1000, &due), &w);
	pace_tokens(g, 1000, &limit, &used);
	assert_int_equal(limit, 1000);
	assert_int_equal(used, 200);
	pace_ended(p, &w, f, input, output, said, 2000);
	pace_tokens(g, 2000, &limit, &used);
	pace_free(p);
	return used;
}

static void a_call_counts_as_what_it_took(void **state)
{
	(void)state;
	assert_int_equal(charged(FAIL_NONE, 30, 7, true), 37);
	assert_int_equal(charged(FAIL_NONE, -1, 7, true), 200);
	assert_int_equal(charged(FAIL_NONE, 30, -1, true), 200);
	assert_int_equal(charged(FAIL_NETWORK, 30, 7, true), 37);
	assert_int_equal(charged(FAIL_NETWORK, 30, 7, false), 0);
	assert_int_equal(charged(FAIL_NONE, 0, 0, false), 0);
}

static void what_a_provider_tells_of_its_limits_holds(void **state)
{
	(void)state;
	struct pace *p = one_provider(100, 0);
	struct pace_gate *g = gate(p, "m", 0, 0);
	struct pace_waiter w[2];
	struct rates seen;
	int64_t due;
	for (size_t i = 0; i < RATE_COUNT; i++) seen.of[i] = (struct rate_seen){.limit = -1};
	seen.of[RATE_REQUESTS] = (struct rate_seen){.limit = 1};
	pace_wait(p, g, &w[0], 1, 1);
	pace_wait(p, g, &w[1], 1, 1);
	assert_ptr_equal(pace_next(p, 1000, &due), &w[0]);
	pace_learn(&w[0], &seen, 1000);
	assert_null(pace_next(p, 1000, &due));
	assert_string_equal(w[1].waits_for, "requests");
	pace_cut(p, &w[0], true, 0);
	pace_cut(p, &w[1], true, 0);
	pace_free(p);
}

static void a_probe_that_is_cut_lets_the_next_one_try(void **state)
{
	(void)state;
	struct pace *p = one_provider(100, 0);
	struct pace_gate *g = gate(p, "m", 0, 0);
	struct pace_waiter w[3];
	int64_t due, now_ms;
	for (int64_t n = 0; n < limits.circuit_failures; n++) {
		pace_wait(p, g, &w[0], 1, 1);
		assert_ptr_equal(pace_next(p, 1000, &due), &w[0]);
		pace_ended(p, &w[0], FAIL_NETWORK, -1, -1, false, 1000);
	}
	for (size_t i = 0; i < 3; i++) pace_wait(p, g, &w[i], 1, 1);
	assert_null(pace_next(p, 1000, &now_ms));
	assert_ptr_equal(pace_next(p, now_ms, &due), &w[0]);
	assert_null(pace_next(p, now_ms, &due));
	pace_cut(p, &w[0], true, 0);
	assert_ptr_equal(pace_next(p, now_ms, &due), &w[1]);
	assert_true(w[1].is_probe);
	pace_cut(p, &w[1], true, 0);
	pace_cut(p, &w[2], true, 0);
	pace_cut(p, &w[2], true, 0); /* it was out of everything already */
	pace_free(p);
}

static void what_was_let_go_and_did_not_begin_is_on_no_account(void **state)
{
	(void)state;
	struct pace *p = one_provider(10, 1);
	struct pace_gate *g = gate(p, "m", 1, 0);
	struct pace_waiter w[3];
	int64_t due;
	for (size_t i = 0; i < 3; i++) pace_wait(p, g, &w[i], 1, 1);
	assert_ptr_equal(pace_next(p, 1000, &due), &w[0]);
	assert_null(pace_next(p, 1000, &due)); /* one a minute */
	pace_cut(p, &w[0], false, 1000);
	assert_ptr_equal(pace_next(p, 1000, &due), &w[1]);
	pace_cut(p, &w[1], true, 1000);
	assert_null(pace_next(p, 1000, &due));
	pace_cut(p, &w[2], false, 1000);
	pace_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_given_up_in_their_order),
		cmocka_unit_test(models_of_a_provider_take_turns_and_one_limit_holds_up_its_own_line_only),
		cmocka_unit_test(sixty_four_conversations_stay_under_one_limit_together_and_share_it),
		cmocka_unit_test(a_provider_that_fails_is_left_alone_and_one_call_tries_it),
		cmocka_unit_test(what_was_let_go_and_did_not_begin_is_on_no_account),
		cmocka_unit_test(models_of_a_provider_take_turns_when_it_takes_one_at_a_time),
		cmocka_unit_test(a_limit_of_all_its_models_holds_them_together),
		cmocka_unit_test(only_who_stands_first_and_waits_is_visited_and_once),
		cmocka_unit_test(a_call_counts_as_what_it_took),
		cmocka_unit_test(what_a_provider_tells_of_its_limits_holds),
		cmocka_unit_test(a_probe_that_is_cut_lets_the_next_one_try),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
