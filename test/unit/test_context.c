/* What of a conversation fits a window: talk/context.h. */
#include "talk/context.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A conversation in letters: s system prompt, u a person, a the model, t a tool's result; ten tokens each. */
static struct context_plan plan(const char *talk, int64_t room, int64_t reserve, enum context_rule rule)
{
	struct context_message list[32];
	struct context_plan p;
	size_t n = strlen(talk);
	assert_in_range(n, 0, ARRAY_LEN(list));
	for (size_t i = 0; i < n; i++) list[i] = (struct context_message){10, talk[i] == 's', talk[i] == 'u'};
	context_plan(list, n, room, reserve, rule, &p);
	return p;
}

/* clang-format off */
static const struct row {
	const char *talk;
	int64_t room, reserve;
	enum context_rule rule;
	bool fits;
	size_t first, left_out;
	int64_t tokens;
} rows[] = {
	{"suau",   40, 0,  CONTEXT_DROP,      true,  0, 0, 40}, /* exactly */
	{"suau",   39, 0,  CONTEXT_DROP,      true,  3, 2, 20}, /* one too many: an answer can't begin, so two go */
	{"suau",   20, 0,  CONTEXT_DROP,      true,  3, 2, 20},
	{"suau",   19, 0,  CONTEXT_DROP,      false, 4, 3, 40}, /* the newest alone is too much */
	{"suau",   40, 0,  CONTEXT_REFUSE,    true,  0, 0, 40},
	{"suau",   39, 0,  CONTEXT_REFUSE,    false, 3, 2, 20},
	{"suau",   40, 5,  CONTEXT_SUMMARISE, true,  0, 0, 40}, /* nothing left out: nothing to reserve */
	{"suauau", 59, 5,  CONTEXT_SUMMARISE, true,  3, 2, 40},
	{"suauau", 44, 5,  CONTEXT_SUMMARISE, true,  5, 4, 20},
	{"suauau", 24, 5,  CONTEXT_SUMMARISE, false, 6, 5, 60},
	{"uatau",  39, 0,  CONTEXT_DROP,      true,  4, 4, 10}, /* nor can a tool's result begin */
	{"uausu",  30, 0,  CONTEXT_DROP,      true,  2, 2, 30}, /* a system prompt in the middle stays */
	{"uuuuuu", 0,  0,  CONTEXT_REFUSE,    true,  0, 0, 60}, /* the window is not known */
	{"",       1,  0,  CONTEXT_REFUSE,    true,  0, 0, 0},
};
/* clang-format on */

static void the_limit_is_exact_and_what_stays_may_begin_a_conversation(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct context_plan p = plan(r->talk, r->room, r->reserve, r->rule);
		if (p.fits != r->fits || p.first != r->first || p.left_out != r->left_out || p.tokens != r->tokens)
			print_error("row %zu: fits %d first %zu left out %zu tokens %lld\n", i, p.fits, p.first,
				    p.left_out, (long long)p.tokens);
		assert_int_equal(p.fits, r->fits);
		assert_int_equal(p.first, r->first);
		assert_int_equal(p.left_out, r->left_out);
		assert_int_equal(p.tokens, r->tokens);
		assert_int_equal(p.all, (int64_t)strlen(r->talk) * 10);
	}
}

static void the_answer_has_its_room(void **state)
{
	(void)state;
	assert_int_equal(context_room(0, 100, 100), 0);
	assert_int_equal(context_room(1000, 0, 0), 750);
	assert_int_equal(context_room(1000, 100, 0), 900);
	assert_int_equal(context_room(1000, 600, 0), 750);
	assert_int_equal(context_room(1000, 600, 600), 400);
	assert_int_equal(context_room(1000, 600, 5000), 1);
}

static void rules_have_names(void **state)
{
	(void)state;
	enum context_rule r = CONTEXT_DROP;
	assert_true(context_rule_parse(STR("summarise"), &r));
	assert_int_equal(r, CONTEXT_SUMMARISE);
	assert_false(context_rule_parse(STR("cut"), &r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_limit_is_exact_and_what_stays_may_begin_a_conversation),
		cmocka_unit_test(the_answer_has_its_room),
		cmocka_unit_test(rules_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
