/* The reserve gives what malloc cannot, and gets everything back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/reserve.h"

static void without_a_reserve_there_is_nothing(void **state)
{
	(void)state;
	assert_null(reserve_alloc(10));
	assert_int_equal(reserve_size(state), 0);
}

static void blocks_are_known_by_their_address_and_freed_in_any_order(void **state)
{
	char *p[5];
	(void)state;
	assert_int_equal(reserve_open(), OK);
	for (size_t i = 0; i < 5; i++) {
		p[i] = reserve_alloc(100 * i + 1);
		assert_true(reserve_size(p[i]) >= 100 * i + 1);
		memset(p[i], (int)i, 100 * i + 1);
	}
	for (size_t i = 0; i < 5; i++) assert_int_equal(p[i][100 * i], i);
	free(p[1]);
	free(p[4]);
	free(p[0]);
	assert_true(reserve_used() > 0);
	p[2] = xrealloc(p[2], 100000); /* out of the reserve: malloc has memory */
	assert_int_equal(reserve_size(p[2]), 0);
	assert_int_equal(p[2][200], 2);
	free(p[3]);
	assert_int_equal(reserve_used(), 0);
	free(p[2]);
	reserve_close();
}

static void it_stays_until_its_last_block_is_free(void **state)
{
	(void)state;
	assert_int_equal(reserve_open(), OK);
	char *p = reserve_alloc(10);
	reserve_close();
	p[9] = 1;
	assert_true(reserve_size(p) >= 10);
	free(p);
	assert_int_equal(reserve_open(), OK);
	p = reserve_alloc((size_t)5 << 20);
	memset(p, 1, (size_t)5 << 20);
	free(p);
	assert_int_equal(reserve_used(), 0);
	reserve_close();
	assert_null(reserve_alloc(10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_reserve_there_is_nothing),
		cmocka_unit_test(blocks_are_known_by_their_address_and_freed_in_any_order),
		cmocka_unit_test(it_stays_until_its_last_block_is_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
