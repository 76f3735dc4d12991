#include "provider/sse.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Events as "name|data;" so that a whole stream compares as one text. */
static bool note(void *ctx, struct sse_event ev)
{
	struct buf *b = ctx;
	buf_addf(b, "%.*s|%.*s;", STR_ARG(ev.name), STR_ARG(ev.data));
	return true;
}

static void parse_in_pieces(struct str in, size_t piece, struct buf *out)
{
	struct sse s;
	struct errinfo info;
	sse_init(&s, 1000);
	buf_clear(out);
	for (size_t at = 0; at < in.n; at += piece) {
		struct str bytes = str_n(in.p + at, MIN(piece, in.n - at));
		char *copy = str_dup(bytes); /* gone when the next one comes */
		assert_int_equal(sse_feed(&s, str_n(copy, bytes.n), note, out, &info), OK);
		memset(copy, '?', bytes.n);
		free(copy);
	}
	assert_int_equal(sse_end(&s, note, out, &info), OK);
	sse_release(&s);
}

static const struct {
	const char *in, *want;
} streams[] = {
	{"data: a\n\n", "|a;"},
	{"data:a\n\ndata:  b\n\n", "|a;| b;"},
	{"data: a\r\n\r\ndata: b\r\rdata: c\n\n", "|a;|b;|c;"},
	{"data: a\ndata: b\n\n", "|a\nb;"},
	{"data\n\ndata:\n\n", "|;|;"},
	{"event: error\ndata: x\n\ndata: y\n\n", "error|x;|y;"},
	{"event: a\nevent: b\ndata: x\n\n", "b|x;"},
	{"event: lost\n\ndata: x\n\n", "|x;"},
	{": a comment\n\n:\n\ndata: a\n: another\n\n", "|a;"},
	{"id: 7\nretry: 100\nunknown: x\ndata: a\n\n", "|a;"},
	{"dataset: x\neventual: y\ndat: z\ndata: a\n\n", "|a;"},
	{"\xef\xbb\xbf"
	 "data: a\n\n",
	 "|a;"},
	{"data: a\n\n\xef\xbb\xbf"
	 "data: b\n\n",
	 "|a;"},
	{"data: a\r\ndata: b\r\n\r\n", "|a\nb;"},
	{"data: [DONE]", "|[DONE];"},
	{"data: [DONE]\n", "|[DONE];"},
	{"\n\n\n", ""},
	{"data: a\n\n{\"error\":{}}\n\ndata: b\n\n", "|a;|{\"error\":{}};|b;"},
	{"data: a\n\n{\r\n \"error\": {}\r\n}", "|a;|{\n \"error\": {}\n};"},
	{"data: a\n{b\n\n", "|a;"},
	{"data: \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n\n", "|\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80;"},
};

static void events_are_the_same_however_the_bytes_are_split(void **state)
{
	(void)state;
	struct buf out = BUF_INIT(10000);
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		struct str in = str_c(streams[i].in);
		for (size_t piece = 1; piece <= in.n; piece++) {
			parse_in_pieces(in, piece, &out);
			assert_string_equal(out.p != NULL ? out.p : "", streams[i].want);
		}
	}
	buf_release(&out);
}

static void a_long_line_is_refused_whole_or_in_pieces(void **state)
{
	(void)state;
	char line[64];
	memset(line, 'x', sizeof line);
	memcpy(line, "data:", 5);
	for (int in_pieces = 0; in_pieces < 2; in_pieces++) {
		struct sse s;
		struct errinfo info = {0};
		struct buf out = BUF_INIT(100);
		enum err e = OK;
		sse_init(&s, 32);
		for (size_t i = 0; in_pieces && e == OK && i < sizeof line; i++)
			e = sse_feed(&s, str_n(line + i, 1), note, &out, &info);
		if (!in_pieces) e = sse_feed(&s, str_n(line, sizeof line), note, &out, &info);
		assert_int_equal(e, ERR_PROVIDER_LIMIT);
		assert_non_null(strstr(info.text, "32"));
		sse_release(&s);
		buf_release(&out);
	}
}

static void an_event_of_many_lines_is_bounded_too(void **state)
{
	(void)state;
	struct sse s;
	struct errinfo info;
	struct buf out = BUF_INIT(100);
	enum err e = OK;
	sse_init(&s, 32);
	for (int i = 0; i < 100 && e == OK; i++) e = sse_feed(&s, STR("data: 12345\n"), note, &out, &info);
	assert_int_equal(e, ERR_PROVIDER_LIMIT);
	sse_release(&s);
}

static bool stop_at_once(void *ctx, struct sse_event ev)
{
	(void)ev;
	++*(int *)ctx;
	return false;
}

static void a_reader_that_says_no_gets_no_more(void **state)
{
	(void)state;
	struct sse s;
	struct errinfo info;
	int n = 0;
	sse_init(&s, 100);
	assert_int_equal(sse_feed(&s, STR("data: a\n\ndata: b\n\n"), stop_at_once, &n, &info), OK);
	assert_int_equal(n, 1);
	sse_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_the_same_however_the_bytes_are_split),
		cmocka_unit_test(a_long_line_is_refused_whole_or_in_pieces),
		cmocka_unit_test(an_event_of_many_lines_is_bounded_too),
		cmocka_unit_test(a_reader_that_says_no_gets_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
