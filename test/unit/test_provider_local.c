#include "provider/local.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/utf8.h"

static void make(uint64_t seed, const char *message, int64_t tokens, struct buf *out)
{
	struct local_text t;
	local_text_init(&t, seed, str_c(message));
	for (int64_t i = 0; i < tokens; i++) {
		size_t before = out->n;
		local_text_next(&t, i + 1 == tokens, out);
		assert_true(utf8_is_valid(str_n(out->p + before, out->n - before)));
	}
}

static void the_text_depends_on_seed_and_message_only(void **state)
{
	(void)state;
	struct buf a = BUF_INIT(100000), b = BUF_INIT(100000), c = BUF_INIT(100000), d = BUF_INIT(100000);
	make(1, "hello", 500, &a);
	make(1, "hello", 500, &b);
	make(2, "hello", 500, &c);
	make(1, "hellp", 500, &d);
	assert_string_equal(a.p, b.p);
	assert_string_not_equal(a.p, c.p);
	assert_string_not_equal(a.p, d.p);
	assert_int_equal(a.p[a.n - 1], '.');
	assert_true(a.p[0] != ' ');
	buf_release(&a);
	buf_release(&b);
	buf_release(&c);
	buf_release(&d);
}

static enum err plan_of(const char *params, int64_t attempt, struct local_plan *out, struct errinfo *info)
{
	struct json_doc *doc;
	assert_int_equal(json_parse(str_c(params), &doc, NULL), OK);
	enum err e = local_plan(json_root(doc), attempt, out, info);
	json_free(doc);
	return e;
}

static void parameters_have_defaults_and_clear_errors(void **state)
{
	(void)state;
	struct local_plan p;
	struct errinfo info;
	assert_int_equal(local_plan(NULL, 0, &p, &info), OK);
	assert_int_equal(p.tokens, 64);
	assert_true(p.tokens_per_second <= 0 && p.fault == NULL);
	assert_int_equal(
		plan_of("{\"tokens\":3,\"tokensPerSecond\":2.5,\"thinking\":2,\"temperature\":1}", 1, &p, &info), OK);
	assert_int_equal(p.tokens, 3);
	assert_int_equal(p.thinking, 2);
	static const char *const bad[][2] = {
		{"{\"tokens\":0}", "tokens"},
		{"{\"tokens\":\"3\"}", "tokens"},
		{"{\"tokensPerSecond\":-1}", "tokensPerSecond"},
		{"{\"tokensPerSecond\":\"fast\"}", "tokensPerSecond"},
		{"{\"error\":\"boom\"}", "params.error"},
		{"{\"delayMs\":1e9}", "delayMs"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(plan_of(bad[i][0], 1, &p, &info), ERR_BAD_FIELD);
		assert_non_null(strstr(info.text, bad[i][1]));
	}
}

static void a_fault_can_be_for_the_first_attempts_only(void **state)
{
	(void)state;
	struct local_plan p;
	struct errinfo info;
	const char *params = "{\"error\":\"busy\",\"failAfter\":4,\"failTimes\":2}";
	assert_int_equal(plan_of(params, 2, &p, &info), OK);
	assert_int_equal(p.fault->err, ERR_PROVIDER_BUSY);
	assert_int_equal(p.fail_after, 4);
	assert_int_equal(plan_of(params, 3, &p, &info), OK);
	assert_null(p.fault);
	assert_int_equal(plan_of("{\"error\":\"refused\"}", 99, &p, &info), OK);
	assert_false(p.fault->retryable);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_text_depends_on_seed_and_message_only),
		cmocka_unit_test(parameters_have_defaults_and_clear_errors),
		cmocka_unit_test(a_fault_can_be_for_the_first_attempts_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
