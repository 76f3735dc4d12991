/* UTF-8 and times: against a plain definition of each, at every value or every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/utf8.h"

/* RFC 3629's own way: the text is valid when decoding it and encoding the result gives the text back. */
static size_t encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)((0xf00u >> n & 0xff & ~(0xffu >> n)) | c);
	return n;
}

static void every_code_point_is_valid_except_surrogates(void **state)
{
	(void)state;
	for (uint32_t c = 0; c < 0x110000; c++) {
		char p[4];
		size_t n = encode(c, p);
		bool surrogate = c >= 0xd800 && c < 0xe000;
		if (utf8_is_valid(str_n(p, n)) == surrogate) fail_msg("U+%04X", c);
	}
	assert_false(utf8_is_valid(STR("\xf4\x90\x80\x80"))); /* U+110000 */
}

static void longer_forms_than_needed_are_refused_at_their_second_byte(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		size_t bad_at;
	} rows[] = {
		{{"\xc0\xaf", 2}, 0},
		{{"\xc1\xbf", 2}, 0},
		{{"\xe0\x9f\xbf", 3}, 1},
		{{"\xf0\x8f\xbf\xbf", 4}, 1},
		{{"\xf8\x88\x80\x80", 4}, 0},
		{{"\xed\xa0\x80", 3}, 1},
		{{"ab\x80", 3}, 2},
		{{"\xff", 1}, 0},
		{{"abcdefgh\xe2\x28\xa1", 11}, 9},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct utf8 u = {0};
		assert_int_equal(utf8_check(&u, rows[i].text.p, rows[i].text.n), rows[i].bad_at);
	}
}

/* Any bytes, cut anywhere: the same first bad byte as in one piece. */
static void the_checker_does_not_see_where_its_input_was_cut(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 1);
	for (int round = 0; round < 20000; round++) {
		char p[40];
		size_t n = 0;
		while (n < 30) {
			uint64_t what = rng_below(&r, 10);
			if (what < 8) n += encode((uint32_t)rng_below(&r, what < 4 ? 0x80 : 0x11000), p + n);
			else if (what < 9) p[n++] = (char)(0x80 + rng_below(&r, 128));
			else n += (size_t)snprintf(p + n, 9, "%s", "ASCII###");
		}
		struct utf8 whole = {0}, cut = {0};
		size_t bad = utf8_check(&whole, p, n), at = 0, got = 0;
		while (at < n) {
			size_t step = 1 + rng_below(&r, n - at);
			got = utf8_check(&cut, p + at, step);
			at += got;
			if (got < step) break;
		}
		assert_int_equal(at, bad);
		if (bad == n) assert_int_equal(utf8_complete(&cut), utf8_complete(&whole));
	}
}

static void a_text_is_never_cut_inside_a_character(void **state)
{
	(void)state;
	struct str s = STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
	static const size_t expect[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
	for (size_t n = 0; n < ARRAY_LEN(expect); n++) assert_int_equal(utf8_cut(s, n), expect[n]);
}

static void times_are_written_as_the_c_library_has_them(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 2);
	for (int i = 0; i < 50000; i++) {
		int64_t ms = (int64_t)rng_below(&r, 253402300800000), back;
		time_t t = (time_t)(ms / 1000);
		struct tm tm;
		char got[TIME_TEXT_LEN + 1], want[40];
		gmtime_r(&t, &tm);
		size_t n = strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(want + n, sizeof want - n, ".%03dZ", (int)(ms % 1000));
		time_format(ms, got);
		assert_string_equal(got, want);
		assert_true(time_parse(str_c(got), &back));
		assert_int_equal(back, ms);
	}
	char text[TIME_TEXT_LEN + 1];
	time_format(-1, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	time_format(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

static void times_are_read_as_rfc_3339_has_them(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-01-02T03:04:05.678Z", 1767323045678},
		{"2026-01-02t03:04:05.6z", 1767323045600},
		{"2026-01-02 03:04:05.6789999Z", 1767323045678},
		{"2026-01-02T05:34:05.678+02:30", 1767323045678},
		{"2026-01-01T22:04:05.678-05:00", 1767323045678},
		{"2024-02-29T00:00:00Z", 1709164800000},
		{"1990-12-31T23:59:60Z", 662688000000}, /* the RFC's own leap second is the next day's first */
		{"0001-01-01T00:00:00Z", -62135596800000},
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		int64_t ms = 1;
		if (!time_parse(str_c(good[i].text), &ms)) fail_msg("%s", good[i].text);
		assert_int_equal(ms, good[i].ms);
	}
	static const char *const bad[] = {
		"",
		"2026-01-02",
		"2026-01-02T03:04:05",
		"2026-01-02T03:04:05.Z",
		"2026-13-02T03:04:05Z",
		"2026-00-02T03:04:05Z",
		"2026-01-00T03:04:05Z",
		"2026-01-32T03:04:05Z",
		"2026-02-30T03:04:05Z",
		"2025-02-29T03:04:05Z",
		"2026-01-02T24:04:05Z",
		"2026-01-02T03:60:05Z",
		"2026-01-02T03:04:61Z",
		"2026-01-02T03:04:05Zx",
		"2026-01-02T03:04:05+2:30",
		"2026-01-02T03:04:05+24:00",
		"2026-01-02T03:04:05+02:60",
		"26-01-02T03:04:05Z",
		" 2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05,5Z",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ms = 42;
		if (time_parse(str_c(bad[i]), &ms)) fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(ms, 42);
	}
}

static void boot_time_never_goes_back(void **state)
{
	(void)state;
	int64_t last = clock_boot_us();
	for (int i = 0; i < 10000; i++) {
		int64_t now = clock_boot_us();
		assert_true(now >= last);
		last = now;
	}
	assert_true(clock_boot_ms() >= last / 1000);
	assert_true(clock_wall_ms() > 1700000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_point_is_valid_except_surrogates),
		cmocka_unit_test(longer_forms_than_needed_are_refused_at_their_second_byte),
		cmocka_unit_test(the_checker_does_not_see_where_its_input_was_cut),
		cmocka_unit_test(a_text_is_never_cut_inside_a_character),
		cmocka_unit_test(times_are_written_as_the_c_library_has_them),
		cmocka_unit_test(times_are_read_as_rfc_3339_has_them),
		cmocka_unit_test(boot_time_never_goes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
