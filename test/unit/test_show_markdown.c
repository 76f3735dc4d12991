/* Light Markdown: what is taken for a mark, and that it does not matter in which pieces a text comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/id.h"
#include "cli/show_markdown.h"
#include "cli/show_paper.h"

/* Inks and marks as letters between ‹ and ›. */
static char *readable(struct str t)
{
	static const char *const names[] = {"plain", "bold", "italic", "bold italic", "code", "dim"};
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (size_t i = 0; i < t.n; i++) {
		char c = t.p[i];
		if (ink_is(c)) buf_addf(&b, "‹%s›", names[c - INK_PLAIN]);
		else if (c == MARK_HANG) buf_add_str(&b, STR("‹hang›"));
		else if (c == MARK_VERBATIM) buf_add_str(&b, STR("‹verbatim›"));
		else buf_add_char(&b, c);
	}
	buf_add_char(&b, '\0');
	return buf_take(&b, NULL);
}

/* In pieces of `step` bytes. */
static char *made(struct str text, size_t step, bool has_colour)
{
	struct markdown m;
	struct buf out = BUF_INIT(BUF_NO_LIMIT);
	markdown_init(&m, has_colour);
	for (size_t i = 0; i < text.n; i += step) markdown_feed(&m, str_n(text.p + i, MIN(step, text.n - i)), &out);
	markdown_end(&m, &out);
	markdown_release(&m);
	char *all = readable(buf_str(&out));
	buf_release(&out);
	return all;
}

static const struct {
	const char *text, *want;
} cases[] = {
	{"plain words", "plain words"},
	{"a **bold** word", "a ‹bold›bold‹plain› word"},
	{"an *italic* one and _another_", "an ‹italic›italic‹plain› one and ‹italic›another‹plain›"},
	{"**bold and *both* of it**", "‹bold›bold and ‹bold italic›both‹bold› of it‹plain›"},
	{"call `f(*x, **y)` now", "call ‹code›f(*x, **y)‹plain› now"},
	{"a * b * c", "a * b * c"},
	{"2*3*4 and snake_case_name", "2*3*4 and snake_case_name"},
	{"never **closed", "never **closed"},
	{"a lone * at the end *", "a lone * at the end *"},
	{"二**重点**三", "二‹bold›重点‹plain›三"},
	{"**one** line\n*two", "‹bold›one‹plain› line\n*two"},
	{"# A heading\ntext", "‹bold›# A heading‹plain›\ntext"},
	{"#hashtag", "#hashtag"},
	{"####### seven", "####### seven"},
	{"- one\n  * two\n12. three\n1) four", "- ‹hang›one\n  * ‹hang›two\n12. ‹hang›three\n1) ‹hang›four"},
	{"-no list\n3.14 is none", "-no list\n3.14 is none"},
	{"-", "-"},
	{"```c\nint *a, **b;\n```\n*on*",
	 "‹verbatim›‹dim›```c‹plain›\n‹verbatim›‹code›int *a, **b;‹plain›\n‹verbatim›‹dim›```‹plain›\n‹italic›on‹plain›"},
	{"~~~\n```\n~~~", "‹verbatim›‹dim›~~~‹plain›\n‹verbatim›‹code›```‹plain›\n‹verbatim›‹dim›~~~‹plain›"},
	{"```one``` line", "‹code›one‹plain› line"},
	{"``", "``"},
	{"``a ` b`` and `c``", "‹code›a ` b‹plain› and `c``"},
	{"    indented", "    indented"},
	{"\n\n", "\n\n"},
	{"", ""},
};

static void marks_become_inks_however_the_text_comes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t step = 1; step <= strlen(cases[i].text) + 1; step++) {
			char *got = made(str_c(cases[i].text), step, true);
			if (strcmp(got, cases[i].want) != 0) print_error("%s in steps of %zu\n", cases[i].text, step);
			assert_string_equal(got, cases[i].want);
			free(got);
		}
	}
}

static void without_colour_no_character_is_taken_away(void **state)
{
	(void)state;
	char *got = made(STR("**a** _b_ `c`"), 3, false);
	assert_string_equal(got, "**a** _b_ `c`");
	free(got);
}

/* A span that has no end in sight is given up, and what is held back stays short. */
static void a_mark_without_a_partner_holds_little_back(void **state)
{
	(void)state;
	struct markdown m;
	struct buf out = BUF_INIT(BUF_NO_LIMIT);
	markdown_init(&m, true);
	markdown_feed(&m, STR("*"), &out);
	for (int i = 0; i < 100000; i++) {
		markdown_feed(&m, STR("words "), &out);
		assert_true(m.held.n < 1000);
	}
	assert_true(out.n > 590000);
	buf_clear(&out);
	markdown_end(&m, &out);
	buf_clear(&out);
	for (int i = 0; i < 100000; i++) {
		markdown_feed(&m, STR("```` `"), &out);
		assert_true(m.held.n < 1000);
	}
	markdown_release(&m);
	buf_release(&out);
}

/* Whatever comes, its characters come out: all but marks that found a partner. */
static void random_marks_lose_no_letters(void **state)
{
	(void)state;
	static const char alphabet[] = "ab **__``~#- 1.\n";
	struct rng r;
	rng_seed(&r, 3);
	for (int round = 0; round < 20000; round++) {
		char text[40];
		size_t n = (size_t)rng_below(&r, sizeof text), letters = 0;
		for (size_t i = 0; i < n; i++) {
			text[i] = alphabet[rng_below(&r, sizeof alphabet - 1)];
			letters += strchr("*_`", text[i]) == NULL;
		}
		char *whole = made(str_n(text, n), n + 1, true), *pieces = made(str_n(text, n), 1, true);
		assert_string_equal(whole, pieces);
		free(pieces);
		pieces = made(str_n(text, n), 1, false);
		size_t kept = 0;
		struct markdown m;
		struct buf out = BUF_INIT(BUF_NO_LIMIT);
		markdown_init(&m, true);
		markdown_feed(&m, str_n(text, n), &out);
		markdown_end(&m, &out);
		for (size_t i = 0; i < out.n; i++)
			kept += !ink_is(out.p[i]) && out.p[i] != MARK_HANG && out.p[i] != MARK_VERBATIM &&
				strchr("*_`", out.p[i]) == NULL;
		assert_int_equal(kept, letters);
		markdown_release(&m);
		buf_release(&out);
		free(whole);
		free(pieces);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_become_inks_however_the_text_comes),
		cmocka_unit_test(without_colour_no_character_is_taken_away),
		cmocka_unit_test(a_mark_without_a_partner_holds_little_back),
		cmocka_unit_test(random_marks_lose_no_letters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
