/* Budgets: amounts as people write them, what a day holds, and that it ends at midnight, UTC. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "store_fixture.h"

#include "provider/cost.h"
#include "relay/budget.h"

#define DAY_MS ((int64_t)86400000)

static void amounts_are_read_exactly(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ticks; /* -1: it is none */
		const char *written;
	} rows[] = {
		{"5", 5 * TICKS_PER_USD, "$5.00"},
		{"$5.00/day", 5 * TICKS_PER_USD, "$5.00"},
		{"0", 0, "$0.00"},
		{".5", TICKS_PER_USD / 2, "$0.50"},
		{"0.0000000001", 1, "$0.0000000001"},
		{"99999999.9999999999", 100000000 * TICKS_PER_USD - 1, "$99999999.9999999999"},
		{"0.00000000001", -1, ""},
		{"100000000", -1, ""},
		{"99999999999999999999999", -1, ""},
		{"", -1, ""},
		{"$", -1, ""},
		{".", -1, ""},
		{"/day", -1, ""},
		{"-1", -1, ""},
		{"1,5", -1, ""},
		{"5 /day", -1, ""},
		{"5.00/week", -1, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ticks;
		struct buf b = BUF_INIT(64);
		assert_int_equal(budget_parse(str_c(rows[i].text), &ticks), rows[i].ticks >= 0);
		if (rows[i].ticks < 0) continue;
		assert_int_equal(ticks, rows[i].ticks);
		budget_write(&b, ticks);
		assert_true(str_eq(buf_str(&b), str_c(rows[i].written)));
		buf_release(&b);
	}
}

struct step {
	int64_t user;
	const char *model;
	struct call_usage usage;
	struct budgets budgets;
	struct overspent spent; /* out */
	int64_t limit, so_far;  /* out */
};

static enum err spend_step(struct txn *t, void *ctx)
{
	struct step *s = ctx;
	return budget_spend(t, s->user, str_c(s->model), &s->usage);
}

static enum err check_step(struct txn *t, void *ctx)
{
	struct step *s = ctx;
	return budget_check(t, s->user, str_c(s->model), &s->budgets, &s->spent, NULL);
}

static enum err look_step(struct txn *t, void *ctx)
{
	struct step *s = ctx;
	return budget_of(t, s->user, &s->budgets, &s->limit, &s->so_far);
}

static struct step step_of(struct fixture *f, const char *model, int64_t ticks)
{
	struct step s = {.user = f->user, .model = model, .usage = USAGE_UNKNOWN, .budgets = {.user_ticks = 100}};
	s.usage.input_tokens = s.usage.output_tokens = 1;
	s.usage.cost_ticks = ticks;
	return s;
}

static void a_budget_is_a_days(void **state)
{
	struct fixture *f = *state;
	struct step s = step_of(f, "fake:a", 99);
	f->now_ms = 1700000000000 - 1700000000000 % DAY_MS + DAY_MS - 1000; /* a second to midnight */
	int64_t midnight = f->now_ms + 1000;
	assert_int_equal(run(f, spend_step, &s), OK);
	assert_int_equal(run(f, check_step, &s), OK);
	s.usage.cost_ticks = 1;
	assert_int_equal(run(f, spend_step, &s), OK);
	assert_int_equal(run(f, check_step, &s), ERR_BUDGET);
	assert_int_equal(s.spent.spent_ticks, 100);
	assert_int_equal(s.spent.renews_ms, midnight);
	f->now_ms = midnight;
	assert_int_equal(run_on_reader(f, check_step, &s), OK);
	assert_int_equal(run_on_reader(f, look_step, &s), OK);
	assert_int_equal(s.so_far, 0);
	assert_healthy(f);
}

static void a_providers_budget_counts_its_models_only(void **state)
{
	struct fixture *f = *state;
	static const struct provider_budget list[] = {{STR_INIT("fake"), 10}};
	struct step s = step_of(f, "fake:a", 9), other = step_of(f, "other:a", 50);
	s.budgets = other.budgets = (struct budgets){.user_ticks = BUDGET_NONE, .providers = list, .nproviders = 1};
	assert_int_equal(run(f, spend_step, &s), OK);
	assert_int_equal(run(f, spend_step, &other), OK);
	assert_int_equal(run(f, check_step, &s), OK);
	s.model = "fake:b";
	assert_int_equal(run(f, spend_step, &s), OK);
	assert_int_equal(run(f, check_step, &s), ERR_BUDGET);
	assert_int_equal(s.spent.spent_ticks, 18);
	assert_int_equal(run(f, check_step, &other), OK);
}

static void more_than_int64_stays_there(void **state)
{
	struct fixture *f = *state;
	struct step s = step_of(f, "fake:a", INT64_MAX);
	for (int i = 0; i < 2; i++) assert_int_equal(run(f, spend_step, &s), OK);
	assert_int_equal(run(f, look_step, &s), OK);
	assert_int_equal(s.so_far, INT64_MAX);
}

static void a_day_of_very_many_models_has_an_end(void **state)
{
	struct fixture *f = *state;
	char model[32] = "";
	struct step s = step_of(f, model, 1);
	for (int i = 0; i < 300; i++) {
		(void)snprintf(model, sizeof model, "fake:m%d", i);
		assert_int_equal(run(f, spend_step, &s), OK);
	}
	assert_int_equal(run(f, look_step, &s), OK);
	assert_int_equal(s.so_far, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(amounts_are_read_exactly),
		cmocka_unit_test_setup_teardown(a_budget_is_a_days, setup, teardown),
		cmocka_unit_test_setup_teardown(a_providers_budget_counts_its_models_only, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_int64_stays_there, setup, teardown),
		cmocka_unit_test_setup_teardown(a_day_of_very_many_models_has_an_end, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
