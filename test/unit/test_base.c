/* The ground floor: strings, buffers, arenas, ids, hashes, errors, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/utf8.h"

static void strings_compare_by_their_bytes(void **state)
{
	(void)state;
	assert_true(str_eq(STR_NONE, STR("")));
	assert_true(str_eq(STR("a\0b"), str_n("a\0b", 3)));
	assert_false(str_eq(STR("a\0b"), STR("a\0c")));
	assert_true(str_starts(STR("abc"), STR_NONE));
	assert_false(str_starts(STR("ab"), STR("abc")));
	assert_true(str_eq_nocase(STR("Content-LENGTH"), STR("content-length")));
	assert_false(str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4"))); /* ASCII only */
	assert_true(str_cmp(STR("a"), STR("ab")) < 0);
	assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
	assert_int_equal(str_cmp(STR(""), STR_NONE), 0);
	assert_null(str_c(NULL).p);
}

static void a_number_is_the_whole_text_or_nothing(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
		int64_t value;
	} rows[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"007", true, 7},
		{"9223372036854775807", true, INT64_MAX},
		{"-9223372036854775808", true, INT64_MIN},
		{"9223372036854775808", false, 0},
		{"-9223372036854775809", false, 0},
		{"99999999999999999999999", false, 0},
		{"", false, 0},
		{"-", false, 0},
		{"+1", false, 0},
		{" 1", false, 0},
		{"1 ", false, 0},
		{"1x", false, 0},
		{"0x10", false, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t v = 42;
		assert_int_equal(str_to_int(str_c(rows[i].text), &v), rows[i].ok);
		assert_int_equal(v, rows[i].ok ? rows[i].value : 42);
	}
}

static void a_copy_that_does_not_fit_is_empty(void **state)
{
	(void)state;
	char four[4] = "xyz";
	assert_true(str_copy(STR("abc"), four, sizeof four));
	assert_string_equal(four, "abc");
	assert_false(str_copy(STR("abcd"), four, sizeof four));
	assert_string_equal(four, "");
	assert_false(str_copy(STR("a"), four, 0));
	char *dup = str_dup(str_n("a\0b", 3));
	assert_memory_equal(dup, "a\0b", 4);
	free(dup);
}

static void a_buffer_keeps_its_ceiling(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(10);
	assert_true(buf_add(&b, "12345", 5));
	assert_true(buf_add_int(&b, -123));
	assert_false(buf_add_str(&b, STR("ab")));
	assert_true(b.failed);
	assert_false(buf_add_char(&b, 'x')); /* failed stays, even where there is room */
	assert_string_equal(b.p, "12345-123");
	buf_clear(&b);
	assert_false(b.failed);
	assert_true(buf_addf(&b, "%s", "0123456789"));
	assert_int_equal(b.n, 10);
	assert_false(buf_addf(&b, "%d", 1));
	buf_drop(&b, 4);
	assert_string_equal(b.p, "456789");
	buf_release(&b);
	assert_null(b.p);
	assert_int_equal(b.max, 10);
	assert_string_equal(buf_str(&b).p, "");
}

static void a_buffer_hands_its_memory_over(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	size_t n;
	for (int i = 0; i < 1000; i++) buf_add_int(&b, i % 10);
	char *p = buf_take(&b, &n);
	assert_int_equal(n, 1000);
	assert_int_equal(strlen(p), 1000);
	assert_int_equal(b.n, 0);
	free(p);
	p = buf_take(&b, NULL);
	assert_string_equal(p, "");
	free(p);
	buf_add_int(&b, INT64_MIN);
	assert_string_equal(b.p, "-9223372036854775808");
	buf_release(&b);
}

static void an_arena_gives_aligned_memory_of_any_size(void **state)
{
	(void)state;
	struct arena a = {0};
	static const size_t sizes[] = {0, 1, 15, 16, 17, 2000, 2048, 2049, 100000, 3};
	for (size_t i = 0; i < ARRAY_LEN(sizes) * 20; i++) {
		size_t n = sizes[i % ARRAY_LEN(sizes)];
		char *p = arena_alloc(&a, n);
		assert_int_equal((uintptr_t)p % 16, 0);
		memset(p, 0x5a, n);
	}
	const unsigned char *z = arena_zalloc(&a, 100);
	for (int i = 0; i < 100; i++) assert_int_equal(z[i], 0);
	struct str s = arena_str(&a, str_n("a\0b", 3));
	assert_memory_equal(s.p, "a\0b", 4);
	assert_null(arena_str(&a, STR_NONE).p);
	assert_non_null(arena_str(&a, STR("")).p);
	arena_clear(&a);
	assert_null(a.head);
	arena_clear(&a);
}

static void ids_are_version_7_and_carry_their_time(void **state)
{
	(void)state;
	struct id before = id_new(1700000000000), after = id_new(1700000000001);
	assert_int_equal(strlen(before.s), ID_LEN);
	assert_int_equal(before.s[14], '7');
	assert_non_null(strchr("89ab", before.s[19]));
	assert_true(strcmp(before.s, after.s) < 0);
	assert_memory_equal(before.s, "018bcfe5-6800", 13);
	for (int i = 0; i < 1000; i++) {
		struct id a = id_new(1), b = id_new(1);
		assert_string_not_equal(a.s, b.s);
	}
}

static void derived_ids_are_a_function_of_origin_and_label(void **state)
{
	(void)state;
	struct id from = id_new(1700000000000);
	struct id a = id_derive(id_str(&from), "request"), again = id_derive(id_str(&from), "request");
	struct id b = id_derive(id_str(&from), "reply"), chain = id_derive(id_str(&a), "request");
	assert_string_equal(a.s, again.s);
	assert_string_not_equal(a.s, b.s);
	assert_string_not_equal(a.s, chain.s);
	assert_memory_equal(a.s, from.s, 13);
	assert_memory_equal(chain.s, from.s, 13);
	/* A label and an origin do not run into each other, and an origin that is no UUID works too. */
	struct id x = id_derive(STR("bc"), "a"), y = id_derive(STR("c"), "ab");
	assert_string_not_equal(x.s, y.s);
	assert_true(name_is_valid(id_str(&x)));
}

static void names_hold_nothing_a_path_or_a_terminal_would_notice(void **state)
{
	(void)state;
	char longest[NAME_MAX_LEN + 1];
	memset(longest, 'a', sizeof longest);
	assert_true(name_is_valid(STR("a")));
	assert_true(name_is_valid(STR("A-Z_0.9:@+")));
	assert_true(name_is_valid(str_n(longest, NAME_MAX_LEN)));
	assert_false(name_is_valid(str_n(longest, NAME_MAX_LEN + 1)));
	static const char *const bad[] = {"",     "a/b",  "a b", "a\n", "a\x1b", "\xc3\xa9",
					  "a\\b", "a\"b", "a%b", "a<b", "~"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(name_is_valid(str_c(bad[i])));
	assert_false(name_is_valid(str_n("a\0b", 3)));
}

static void the_seeded_generator_repeats_itself_and_is_even(void **state)
{
	(void)state;
	struct rng a, b;
	rng_seed(&a, 7);
	rng_seed(&b, 7);
	size_t count[10] = {0};
	for (int i = 0; i < 100000; i++) {
		uint64_t v = rng_below(&a, 10);
		assert_int_equal(v, rng_below(&b, 10));
		count[v]++;
	}
	for (size_t i = 0; i < 10; i++) assert_in_range(count[i], 9500, 10500);
	rng_seed(&b, 8);
	assert_int_not_equal(rng_next(&a), rng_next(&b));
	assert_int_equal(rng_below(&a, 1), 0);
}

static void sha256_agrees_with_the_standard(void **state)
{
	(void)state;
	unsigned char whole[SHA256_LEN], parts[SHA256_LEN];
	char hex[SHA256_HEX_LEN + 1];
	sha256(STR("abc"), whole); /* FIPS 180-4's own example */
	hex_encode(whole, sizeof whole, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256(STR_NONE, whole);
	hex_encode(whole, sizeof whole, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	struct sha256 *h = sha256_new();
	sha256_add(h, STR("a"));
	sha256_add(h, STR("bc"));
	sha256_end(h, parts);
	sha256(STR("abc"), whole);
	assert_memory_equal(whole, parts, sizeof whole);
	sha256_end(sha256_new(), NULL);
}

static void hex_is_read_as_strictly_as_it_is_written(void **state)
{
	(void)state;
	unsigned char out[3] = {0};
	assert_true(hex_decode(STR("00ff7f"), out, 3));
	assert_memory_equal(out, "\x00\xff\x7f", 3);
	assert_false(hex_decode(STR("00FF7F"), out, 3));
	assert_false(hex_decode(STR("00ff7"), out, 3));
	assert_false(hex_decode(STR("00ff7f00"), out, 3));
	assert_false(hex_decode(STR("00fg7f"), out, 3));
	assert_true(secret_eq("abc", "abc", 3));
	assert_false(secret_eq("abc", "abd", 3));
	char secret[4] = "key";
	secret_wipe(secret, sizeof secret);
	assert_memory_equal(secret, "\0\0\0\0", 4);
	assert_int_not_equal(hash64(STR("a"), 0), hash64(STR("a"), 1));
	assert_int_equal(hash64(STR_NONE, 5), hash64(STR(""), 5));
}

static void every_error_has_a_row_of_its_own(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ERR_COUNT; i++) {
		const char *code = err_code((enum err)i);
		assert_int_equal(err_from_code(code, (uint32_t)strlen(code)), i);
		assert_true(i == OK ? err_http(OK) == 200 : err_http((enum err)i) >= 400);
		assert_true(i == OK ? err_exit(OK) == 0 : err_exit((enum err)i) >= 64 && err_exit((enum err)i) <= 78);
		assert_true(strlen(err_text((enum err)i)) > 5);
	}
	assert_int_equal(err_from_code("no such code", 12), ERR_INTERNAL);
	assert_string_equal(err_code((enum err)9999), err_code(ERR_INTERNAL));
}

static void an_errinfo_speaks_only_for_its_own_error(void **state)
{
	(void)state;
	struct errinfo info = {0};
	assert_int_equal(err_set(NULL, ERR_IO, "%s", "ignored"), ERR_IO);
	assert_int_equal(err_set(&info, ERR_IO, "disk %d", 3), ERR_IO);
	assert_string_equal(err_sentence(&info, ERR_IO), "disk 3");
	assert_string_equal(err_sentence(&info, ERR_CORRUPT), err_text(ERR_CORRUPT));
	assert_string_equal(err_sentence(NULL, ERR_IO), err_text(ERR_IO));
	char wide[1000];
	memset(wide, 'w', sizeof wide - 1);
	wide[sizeof wide - 1] = '\0';
	(void)err_set(&info, ERR_IO, "%s", wide);
	assert_int_equal(strlen(info.text), sizeof info.text - 1);
}

static void a_sentence_is_printable_whatever_it_quotes(void **state)
{
	(void)state;
	struct errinfo info = {0};
	(void)err_set(&info, ERR_IO, "a\x1b[2J\n\x7f \xc3\xa9 %.*s|\xff\x80", 2, "\xe2\x82\xac");
	assert_string_equal(info.text, "a?[2J?? \xc3\xa9 ??|??");
	char wide[400];
	memset(wide, 0xc3, sizeof wide);
	for (size_t i = 1; i < sizeof wide; i += 2) wide[i] = (char)0xa9;
	(void)err_set(&info, ERR_IO, "x%.*s", 300, wide);
	assert_true(utf8_is_valid(str_c(info.text)));
	(void)err_set(&info, ERR_IO, "%.*s", 300, wide);
	assert_true(utf8_is_valid(str_c(info.text)));
}

static void limits_have_ranges_and_say_so(void **state)
{
	(void)state;
	struct limits l;
	struct errinfo info = {0};
	limits_default(&l);
	for (size_t i = 0; i < limit_count; i++) {
		const struct limit_row *r = &limit_rows[i];
		assert_true(r->lo <= r->def && r->def <= r->hi);
		assert_int_equal(limits_set(&l, str_c(r->key), r->lo, &info), OK);
		assert_int_equal(limits_set(&l, str_c(r->key), r->hi, &info), OK);
		assert_int_equal(limits_set(&l, str_c(r->key), r->lo - 1, &info), ERR_CONFIG);
		assert_non_null(strstr(info.text, r->key));
		assert_int_equal(*(int64_t *)(void *)((char *)&l + r->offset), r->hi);
	}
	assert_int_equal(limits_set(&l, STR("frameByte"), 4096, &info), ERR_CONFIG);
	assert_non_null(strstr(info.text, "frameByte"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_compare_by_their_bytes),
		cmocka_unit_test(a_number_is_the_whole_text_or_nothing),
		cmocka_unit_test(a_copy_that_does_not_fit_is_empty),
		cmocka_unit_test(a_buffer_keeps_its_ceiling),
		cmocka_unit_test(a_buffer_hands_its_memory_over),
		cmocka_unit_test(an_arena_gives_aligned_memory_of_any_size),
		cmocka_unit_test(ids_are_version_7_and_carry_their_time),
		cmocka_unit_test(derived_ids_are_a_function_of_origin_and_label),
		cmocka_unit_test(names_hold_nothing_a_path_or_a_terminal_would_notice),
		cmocka_unit_test(the_seeded_generator_repeats_itself_and_is_even),
		cmocka_unit_test(sha256_agrees_with_the_standard),
		cmocka_unit_test(hex_is_read_as_strictly_as_it_is_written),
		cmocka_unit_test(every_error_has_a_row_of_its_own),
		cmocka_unit_test(an_errinfo_speaks_only_for_its_own_error),
		cmocka_unit_test(a_sentence_is_printable_whatever_it_quotes),
		cmocka_unit_test(limits_have_ranges_and_say_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
