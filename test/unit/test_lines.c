/* Lines out of a stream of bytes, the same however it is cut. */
#include "provider/lines.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct got {
	struct buf text; /* every line in brackets */
	size_t left;     /* lines until no more are wanted */
};

static bool note(void *ctx, struct str line)
{
	struct got *g = ctx;
	buf_addf(&g->text, "[%.*s]", STR_ARG(line));
	return --g->left > 0;
}

static enum err run(struct str bytes, size_t piece, size_t max, size_t wanted, struct got *g)
{
	struct lines l;
	struct errinfo info;
	enum err e = OK;
	*g = (struct got){.text = BUF_INIT(1000), .left = wanted};
	buf_add(&g->text, "", 0);
	lines_init(&l, max);
	for (size_t at = 0; at < bytes.n && e == OK && g->left > 0; at += piece)
		e = lines_feed(&l, str_n(bytes.p + at, MIN(piece, bytes.n - at)), note, g, &info);
	if (e == OK && g->left > 0) lines_end(&l, note, g);
	lines_release(&l);
	return e;
}

/* clang-format off */
static const struct {
	const char *bytes, *lines;
} rows[] = {
	{"", ""},
	{"\n\n\r\n\n", ""},
	{"a", "[a]"},
	{"a\n", "[a]"},
	{"a\nb", "[a][b]"},
	{"a\r\nb\r\n", "[a][b]"},
	{"a\rb\n", "[a\rb]"},
	{"a\r", "[a]"},
	{"a\n\nb\n", "[a][b]"},
	{" a \n", "[ a ]"},
	{"h\xc3\xa4\n\xf0\x9f\x98\x80\n", "[h\xc3\xa4][\xf0\x9f\x98\x80]"},
	{"eightbyt\n12345678", "[eightbyt][12345678]"},
};
/* clang-format on */

static void lines_do_not_depend_on_where_pieces_end(void **state)
{
	(void)state;
	static const size_t pieces[] = {1, 2, 3, 7, 64};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			struct got g;
			assert_int_equal(run(str_c(rows[i].bytes), pieces[k], 8, 100, &g), OK);
			assert_string_equal(g.text.p, rows[i].lines);
			buf_release(&g.text);
		}
	}
}

static void a_line_that_is_too_long_is_an_error(void **state)
{
	(void)state;
	static const char *const long_ones[] = {"ok\n123456789\n", "ok\n123456789", "ok\n12345678901234567890\nx\n"};
	for (size_t i = 0; i < ARRAY_LEN(long_ones); i++) {
		for (size_t piece = 1; piece < 30; piece++) {
			struct got g;
			assert_int_equal(run(str_c(long_ones[i]), piece, 8, 100, &g), ERR_PROVIDER_LIMIT);
			assert_string_equal(g.text.p, "[ok]");
			buf_release(&g.text);
		}
	}
}

static void no_line_is_given_that_is_not_wanted(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 10; piece++) {
		struct got g;
		assert_int_equal(run(STR("a\nb\nc\nd"), piece, 8, 2, &g), OK);
		assert_string_equal(g.text.p, "[a][b]");
		buf_release(&g.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_do_not_depend_on_where_pieces_end),
		cmocka_unit_test(a_line_that_is_too_long_is_an_error),
		cmocka_unit_test(no_line_is_given_that_is_not_wanted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
