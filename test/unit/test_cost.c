#include "provider/cost.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define UNKNOWN (-1)

static void a_million_tokens_at_5_dollars_cost_5_dollars(void **state)
{
	(void)state;
	struct model_price price = {.input = 50000, .output = 250000, .cache_read = UNKNOWN, .cache_write = UNKNOWN};
	struct call_usage usage = USAGE_UNKNOWN;
	usage.input_tokens = 1000000;
	usage.output_tokens = 0;
	assert_int_equal(cost_of(&usage, &price), 5 * TICKS_PER_USD);
	usage.output_tokens = 1;
	assert_int_equal(cost_of(&usage, &price), 5 * TICKS_PER_USD + 250000);
}

static void a_cost_is_made_of_its_parts(void **state)
{
	(void)state;
	static const struct model_price full = {0, 50000, 250000, 5000, 62500};
	static const struct model_price no_cache = {0, 50000, 250000, UNKNOWN, UNKNOWN};
	static const struct model_price input_only = {0, 50000, UNKNOWN, UNKNOWN, UNKNOWN};
	static const struct {
		struct call_usage usage; /* in, out, thinking, read, written, billed */
		const struct model_price *price;
		int64_t cost;
	} rows[] = {
		{{100, 10, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, false, false}, &full, 100 * 50000 + 10 * 250000},
		{{100, 10, 8, 0, 0, UNKNOWN, true, false}, &full, 100 * 50000 + 10 * 250000},
		{{100, 0, 0, 60, 30, UNKNOWN, false, false}, &full, 10 * 50000 + 60 * 5000 + 30 * 62500},
		{{100, 0, 0, 100, 0, UNKNOWN, false, false}, &full, 100 * 5000},
		/* a provider's billing wins, were it nothing */
		{{100, 10, 0, 0, 0, 777, false, false}, &full, 777},
		{{100, 10, 0, 0, 0, 0, false, false}, &full, 0},
		{{100, 10, 0, 0, 0, 777, false, false}, NULL, 777},
		/* what is missing makes it unknown, where it is needed */
		{{100, 10, 0, 0, 0, UNKNOWN, false, false}, NULL, UNKNOWN},
		{{UNKNOWN, 10, 0, 0, 0, UNKNOWN, false, false}, &full, UNKNOWN},
		{{100, UNKNOWN, 0, 0, 0, UNKNOWN, false, false}, &full, UNKNOWN},
		{{100, 10, 0, 60, 0, UNKNOWN, false, false}, &no_cache, UNKNOWN},
		{{100, 10, 0, 0, 60, UNKNOWN, false, false}, &no_cache, UNKNOWN},
		{{100, 10, 0, 0, 0, UNKNOWN, false, false}, &no_cache, 100 * 50000 + 10 * 250000},
		{{100, 10, 0, 0, 0, UNKNOWN, false, false}, &input_only, UNKNOWN},
		{{100, 0, 0, 0, 0, UNKNOWN, false, false}, &input_only, 100 * 50000},
		{{0, 0, 0, 0, 0, UNKNOWN, false, false}, &full, 0},
		/* parts that are more than the whole are not charged twice */
		{{100, 0, 0, 500, 500, UNKNOWN, false, false}, &full, 100 * 5000},
		{{100, 0, 0, 60, 500, UNKNOWN, false, false}, &full, 60 * 5000 + 40 * 62500},
		/* beyond int64 */
		{{INT64_MAX, 10, 0, 0, 0, UNKNOWN, false, false}, &full, INT64_MAX},
		{{INT64_MAX / 50000, INT64_MAX / 250000, 0, 0, 0, UNKNOWN, false, false}, &full, INT64_MAX},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t got = cost_of(&rows[i].usage, rows[i].price);
		if (got != rows[i].cost) print_error("row %zu: %lld\n", i, (long long)got);
		assert_int_equal(got, rows[i].cost);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_tokens_at_5_dollars_cost_5_dollars),
		cmocka_unit_test(a_cost_is_made_of_its_parts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
