#include "provider/text.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/id.h"
#include "base/json.h"
#include "base/utf8.h"

#define FFFD "\xef\xbf\xbd"

static void bad_bytes_become_replacement_characters(void **state)
{
	(void)state;
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"plain", "plain"},
		{"\xc3\xa4", "\xc3\xa4"},
		{"a\xff"
		 "b",
		 "a" FFFD "b"},
		{"\xe2\x82", FFFD},
		{"\xe2\x82"
		 "A",
		 FFFD "A"},
		{"\xf0\x9f\x98\xf0\x9f\x98\x80", FFFD "\xf0\x9f\x98\x80"},
		{"\xc0\x80", FFFD FFFD},
		{"\xed\xa0\x80", FFFD FFFD FFFD},
		{"\x80\x80", FFFD FFFD},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = BUF_INIT(100);
		text_repair(str_c(rows[i].in), &out);
		assert_string_equal(out.p, rows[i].want);
		buf_release(&out);
	}
}

static void half_surrogates_in_json_become_replacement_characters(void **state)
{
	(void)state;
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"[\"\\ud83d\\ude00\"]", "[\"\\ud83d\\ude00\"]"},
		{"[\"\\ud83d\"]", "[\"\\ufffd\"]"},
		{"[\"\\ude00x\"]", "[\"\\ufffdx\"]"},
		{"[\"\\ud83d\\ud83d\\ude00\"]", "[\"\\ufffd\\ud83d\\ude00\"]"},
		{"[\"\\\\ud83d\"]", "[\"\\\\ud83d\"]"},
		{"[\"\\uD83Dx\"]", "[\"\\ufffdx\"]"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = BUF_INIT(100);
		struct json_doc *doc;
		text_repair_json(str_c(rows[i].in), &out);
		assert_string_equal(out.p, rows[i].want);
		assert_int_equal(json_parse(buf_str(&out), &doc, NULL), OK);
		json_free(doc);
		buf_release(&out);
	}
}

static void repaired_noise_is_valid(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 1);
	for (int round = 0; round < 2000; round++) {
		char in[32];
		struct buf out = BUF_INIT(1000);
		for (size_t i = 0; i < sizeof in; i++) {
			uint64_t x = rng_next(&r);
			in[i] = (char)(x & 1 ? 0x80 | (x >> 8 & 0x7f) : x >> 16);
		}
		text_repair(str_n(in, sizeof in), &out);
		assert_true(utf8_is_valid(buf_str(&out)));
		buf_release(&out);
	}
}

static void an_error_text_is_one_clean_line_without_the_key(void **state)
{
	(void)state;
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"all well.", "all well"},
		{"a\r\n b\x1b[31mred\x7f", "a b [31mred"},
		{"bad key sk-SECRET-0123456789!", "bad key [key]!"},
		{"bad key sk-SECRET-01****89", "bad key [key]****89"},
		{"\xe2\x80\xae"
		 "evil \xc2\x85 x\xff",
		 "evil x" FFFD},
	};
	char out[TEXT_CLEAN_MAX + 1], big[1000];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		text_clean(str_c(rows[i].in), STR("sk-SECRET-0123456789"), out);
		assert_string_equal(out, rows[i].want);
	}
	for (size_t i = 0; i + 2 < sizeof big; i += 2) memcpy(big + i, "\xc3\xa4", 2);
	text_clean(str_n(big, sizeof big - 2), STR_NONE, out);
	assert_int_equal(strlen(out), TEXT_CLEAN_MAX);
	assert_true(utf8_is_valid(str_c(out)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_bytes_become_replacement_characters),
		cmocka_unit_test(half_surrogates_in_json_become_replacement_characters),
		cmocka_unit_test(repaired_noise_is_valid),
		cmocka_unit_test(an_error_text_is_one_clean_line_without_the_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
