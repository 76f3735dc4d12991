/* The command line's own parts: text made safe for a terminal, widths, short forms, and tables that agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/id.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/term.h"

static void assert_clean(const char *text, int flags, const char *want)
{
	struct buf b = BUF_INIT(1000);
	term_clean(&b, str_c(text), flags);
	assert_string_equal(buf_str(&b).p, want);
	buf_release(&b);
}

static void text_from_elsewhere_loses_what_a_terminal_obeys(void **state)
{
	(void)state;
	assert_clean("plain é 日本 🙂", 0, "plain é 日本 🙂");
	assert_clean("\033[31mred\033[0m", 0, "[31mred[0m");
	assert_clean("\033]0;title\007", 0, "]0;title");
	assert_clean("a\xc2\x9b"
		     "31mb",
		     0, "a31mb"); /* CSI as a C1 control */
	assert_clean("a\rb\bc\x7f\x0e", 0, "abc");
	assert_clean("one\n\ttwo", 0, "one\n\ttwo");
	assert_clean("one\n\ttwo", TERM_ONE_LINE, "one  two");
	assert_clean("a\xff"
		     "b\xc3",
		     0,
		     "a\xef\xbf\xbd"
		     "b\xef\xbf\xbd");
	assert_clean("\xed\xa0\x80", 0, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* a surrogate */
}

/* Whatever comes in, what goes out is UTF-8 without controls. */
static void no_byte_string_gets_through_unclean(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 7);
	for (int i = 0; i < 20000; i++) {
		char text[24];
		size_t n = (size_t)rng_below(&r, sizeof text);
		for (size_t j = 0; j < n; j++) text[j] = (char)(rng_below(&r, 3) ? rng_next(&r) : rng_below(&r, 0x20));
		struct buf b = BUF_INIT(1000);
		term_clean(&b, str_n(text, n), 0);
		assert_true(utf8_is_valid(buf_str(&b)));
		for (size_t j = 0; j < b.n; j++) {
			unsigned char c = (unsigned char)b.p[j];
			assert_true(c >= 0x20 ? c != 0x7f : c == '\n' || c == '\t');
			if (c == 0xc2) assert_true((unsigned char)b.p[j + 1] >= 0xa0);
		}
		buf_release(&b);
	}
}

static void widths_are_counted_in_columns(void **state)
{
	(void)state;
	assert_int_equal(term_width(STR("abc")), 3);
	assert_int_equal(term_width(STR("日本")), 4);
	assert_int_equal(term_width(STR("e\xcc\x81")), 1); /* with a combining accent */
	assert_int_equal(term_width(STR("\xff\xfe")), 2);
	assert_int_equal(term_fit(STR("日本語"), 5), 6);
	assert_int_equal(term_fit(STR("ab"), 5), 2);
	assert_int_equal(term_fit(STR("ab"), 0), 0);
}

static void figures_have_short_forms(void **state)
{
	(void)state;
	char word[TERM_WORD];
	static const struct {
		int64_t v;
		const char *bytes, *duration;
	} rows[] = {
		{0, "0 B", "0 ms"},
		{999, "999 B", "999 ms"},
		{1000, "1.0 kB", "1.0 s"},
		{59999, "60.0 kB", "59.9 s"},
		{60000, "60.0 kB", "1 min 0 s"},
		{999949, "999.9 kB", "16 min 39 s"},
		{999950, "1.0 MB", "16 min 39 s"},
		{3600000, "3.6 MB", "1 h 0 min"},
		{90000000, "90.0 MB", "1 d 1 h"},
		{INT64_MAX, "9223.4 PB", "106751991167 d 7 h"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		term_bytes(rows[i].v, word);
		assert_string_equal(word, rows[i].bytes);
		term_duration(rows[i].v, word);
		assert_string_equal(word, rows[i].duration);
	}
}

static void a_table_is_aligned_and_clean(void **state)
{
	(void)state;
	struct table t;
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	table_init(&t, 2);
	static const char *const cells[] = {"NAME", "X", "日本", "1", "a\033[2J\nb", "22"};
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) table_add(&t, str_c(cells[i]));
	table_print(&t, f);
	fclose(f);
	assert_string_equal(text, "NAME    X\n日本    1\na[2J b  22\n");
	free(text);
	table_release(&t);
}

static void every_error_has_an_exit_status_that_is_explained(void **state)
{
	(void)state;
	for (int e = 0; e < ERR_COUNT; e++) {
		const struct exit_row *r = exit_rows;
		while (r->text != NULL && r->status != err_exit((enum err)e)) r++;
		if (r->text == NULL) fail_msg("%s exits with %d", err_code((enum err)e), err_exit((enum err)e));
	}
}

static void the_manual_explains_the_same_exit_statuses(void **state)
{
	(void)state;
	struct buf doc = BUF_INIT(1 << 20);
	char piece[4096], row[300];
	FILE *f = fopen(ROOST_SOURCE_DIR "/docs/operations.md", "r");
	assert_non_null(f);
	for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) assert_true(buf_add(&doc, piece, n));
	fclose(f);
	for (const struct exit_row *r = exit_rows; r->text != NULL; r++) {
		snprintf(row, sizeof row, "| %d | %s |\n", r->status, r->text);
		if (strstr(doc.p, row) == NULL) fail_msg("docs/operations.md lacks: %s", row);
	}
	buf_release(&doc);
}

/* What the tables promise to the help, the manual pages and the completion made of them. */
static void commands_and_options_are_whole_and_unique(void **state)
{
	(void)state;
	for (size_t i = 0; cli_commands[i] != NULL; i++) {
		const struct cli_command *c = cli_commands[i];
		assert_ptr_equal(cli_find(c->name), c);
		assert_true(c->summary[0] != '\0' && c->about[0] != '\0' && c->run != NULL && c->args != NULL);
		assert_non_null(strstr(c->example, "roost"));
		for (const struct cli_option *o = c->options; o->name != NULL; o++) {
			assert_string_not_equal(o->name, "help");
			assert_int_not_equal(o->letter, 'h');
			if (o->help != NULL) /* else nobody is told of it */
				assert_true(strlen(o->help) > 4 && o->help[strlen(o->help) - 1] != '.');
			for (const struct cli_option *p = c->options; p < o; p++) {
				assert_string_not_equal(o->name, p->name);
				assert_true(o->letter == 0 || o->letter != p->letter);
			}
		}
	}
	assert_null(cli_find("nothing"));
}

static void text_that_is_decided_on_shows_every_character(void **state)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{"plain, \xc3\xa4 \xe6\x97\xa5 e\xcc\x81\nline", "plain, \xc3\xa4 \xe6\x97\xa5 e\xcc\x81\nline"},
		{"a\tb\033[2Jc\x7f", "a\\u{9}b\\u{1b}[2Jc\\u{7f}"},
		{"\xe2\x80\xaetxt.exe", "\\u{202e}txt.exe"},
		{"rm\xe2\x80\x8b -rf\xe3\x85\xa4", "rm\\u{200b} -rf\\u{3164}"},
		{"\xf3\xa0\x81\x81\xf4\x8f\xbf\xbf", "\\u{e0041}\\u{10ffff}"},
		{"\xff", "\xef\xbf\xbd"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		term_visible(&b, str_c(rows[i].text));
		buf_add_char(&b, '\0');
		assert_string_equal(b.p, rows[i].shown);
		buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_from_elsewhere_loses_what_a_terminal_obeys),
		cmocka_unit_test(no_byte_string_gets_through_unclean),
		cmocka_unit_test(text_that_is_decided_on_shows_every_character),
		cmocka_unit_test(widths_are_counted_in_columns),
		cmocka_unit_test(figures_have_short_forms),
		cmocka_unit_test(a_table_is_aligned_and_clean),
		cmocka_unit_test(every_error_has_an_exit_status_that_is_explained),
		cmocka_unit_test(the_manual_explains_the_same_exit_statuses),
		cmocka_unit_test(commands_and_options_are_whole_and_unique),
	};
	term_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
