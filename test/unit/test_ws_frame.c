/* The frame layer and permessage-deflate as pure functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/id.h"
#include "net/ws_deflate.h"
#include "net/ws_frame.h"

static struct ws_budget budget = {.max = 1 << 20};
static const struct ws_rules server = {.max_bytes = 70000, .budget = &budget},
			     client = {.max_bytes = 70000, .is_client = true};

static void put_frame(struct buf *b, unsigned first, const char *payload, size_t n, const unsigned char *mask)
{
	unsigned char head[WS_HEAD_MAX];
	buf_add(b, head, ws_head(head, first, n, mask));
	buf_add(b, payload, n);
	if (mask != NULL) ws_mask(b->p + b->n - n, n, mask, 0);
}

/* Messages, fragments and control frames of many sizes, masked or not. */
static struct buf sample(const unsigned char *mask)
{
	static char big[70000];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	memset(big, 'x', sizeof big);
	put_frame(&b, 0x81, "hello", 5, mask);
	put_frame(&b, 0x82, big, 126, mask);
	put_frame(&b, 0x01, "fr\xc3", 3, mask);
	put_frame(&b, 0x89, "ping", 4, mask);
	put_frame(&b, 0x00, "\xa4g", 2, mask);
	put_frame(&b, 0x8a, "", 0, mask);
	put_frame(&b, 0x80, "", 0, mask);
	put_frame(&b, 0x82, big, 65536, mask);
	put_frame(&b, 0x81, "", 0, mask);
	put_frame(&b, 0x88, "\x0f\xa1why", 5, mask);
	return b;
}

/* Feeds in pieces of `step` bytes and writes down what happened. */
static void feed(struct ws_parser *p, const struct buf *in, size_t step, struct buf *log)
{
	for (size_t at = 0; at < in->n; at += step) {
		size_t n = MIN(step, in->n - at), used = 0;
		char *piece = xmalloc(n); /* of its own, so that reading past it is seen */
		memcpy(piece, in->p + at, n);
		while (used < n) {
			struct ws_event ev;
			used += ws_parse(p, piece + used, n - used, &ev);
			if (ev.what == WS_MORE) continue;
			buf_addf(log, "%d text=%d code=%d %zu %.*s\n", ev.what, ev.is_text, ev.code, ev.payload.n,
				 (int)MIN(ev.payload.n, (size_t)8), ev.payload.p);
		}
		ws_parser_settle(p);
		free(piece);
	}
}

static void events_do_not_depend_on_how_the_bytes_are_cut(void **state)
{
	static const unsigned char mask[4] = {0x12, 0xfe, 0x00, 0x80};
	static const size_t steps[] = {1, 2, 3, 5, 7, 13, 64, 1000, 65540, 1 << 20};
	(void)state;
	for (int role = 0; role < 2; role++) {
		struct buf in = sample(role == 0 ? mask : NULL), want = BUF_INIT(BUF_NO_LIMIT);
		for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
			struct buf log = BUF_INIT(BUF_NO_LIMIT);
			struct ws_parser p;
			ws_parser_init(&p, role == 0 ? &server : &client, false);
			feed(&p, &in, steps[i], &log);
			if (i == 0) buf_add_str(&want, buf_str(&log));
			assert_string_equal(log.p, want.p);
			assert_true(ws_parser_is_idle(&p));
			assert_int_equal(budget.used, 0);
			ws_parser_release(&p);
			buf_release(&log);
		}
		assert_string_equal(
			want.p, "1 text=1 code=0 5 hello\n1 text=0 code=0 126 xxxxxxxx\n2 text=0 code=0 4 ping\n"
				"3 text=0 code=0 0 \n1 text=1 code=0 5 fr\xc3\xa4g\n1 text=0 code=0 65536 xxxxxxxx\n"
				"1 text=1 code=0 0 \n4 text=0 code=4001 3 why\n");
		buf_release(&want);
		buf_release(&in);
	}
}

static void a_whole_message_is_not_copied(void **state)
{
	static const unsigned char mask[4] = {1, 2, 3, 4};
	struct buf in = BUF_INIT(BUF_NO_LIMIT);
	struct ws_parser p;
	struct ws_event ev;
	(void)state;
	put_frame(&in, 0x81, "in place", 8, mask);
	ws_parser_init(&p, &server, false);
	assert_int_equal(ws_parse(&p, in.p, in.n, &ev), in.n);
	assert_int_equal(ev.what, WS_GOT_MESSAGE);
	assert_ptr_equal(ev.payload.p, in.p + 6);
	assert_null(p.msg);
	buf_release(&in);
}

static void memory_follows_the_bytes_that_came_not_those_declared(void **state)
{
	char head[] = {(char)0x82, (char)0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70, 0, 0, 0, 0, 'x'}; /* declares 70,000 */
	struct ws_parser p;
	struct ws_event ev;
	(void)state;
	ws_parser_init(&p, &server, false);
	ws_parse(&p, head, sizeof head, &ev);
	assert_int_equal(ev.what, WS_MORE);
	assert_in_range(budget.used, 1, 64);
	assert_false(ws_parser_is_idle(&p));
	ws_parser_release(&p);
	assert_int_equal(budget.used, 0);
}

static void masking_is_the_same_at_every_phase_and_length(void **state)
{
	static const unsigned char mask[4] = {0xa1, 0x0b, 0xff, 0x37};
	char a[70], b[70];
	(void)state;
	for (unsigned phase = 0; phase < 4; phase++)
		for (size_t n = 0; n < sizeof a; n++) {
			memset(a, 'q', sizeof a);
			memset(b, 'q', sizeof b);
			ws_mask(a, n, mask, phase);
			for (size_t i = 0; i < n; i++) b[i] = (char)((unsigned char)b[i] ^ mask[(phase + i) & 3]);
			assert_memory_equal(a, b, sizeof a);
		}
}

static void the_accept_key_is_the_rfcs_example(void **state)
{
	char out[29];
	(void)state;
	ws_accept_key(STR("dGhlIHNhbXBsZSBub25jZQ=="), out);
	assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void what_was_deflated_inflates_again(void **state)
{
	struct ws_zip *z = ws_zip_new();
	struct rng rng;
	struct str packed, plain;
	(void)state;
	rng_seed(&rng, 7);
	for (size_t n = 300; n < 200000; n = n * 3 / 2) {
		char *in = xmalloc(n);
		for (size_t i = 0; i < n; i++) in[i] = (char)('a' + rng_below(&rng, 1 + i % 9));
		assert_true(ws_zip_deflate(z, str_n(in, n), &packed));
		char *copy = str_dup(packed);
		assert_int_equal(ws_zip_inflate(z, str_n(copy, packed.n), n, &plain), WS_INFLATED);
		assert_true(str_eq(plain, str_n(in, n)));
		assert_int_equal(ws_zip_inflate(z, str_n(copy, packed.n), n - 1, &plain), WS_INFLATE_TOO_BIG);
		free(copy);
		free(in);
	}
	char noise[1000];
	for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)rng_next(&rng);
	assert_false(ws_zip_deflate(z, str_n(noise, sizeof noise), &packed)); /* not smaller: not worth it */
	ws_zip_free(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_do_not_depend_on_how_the_bytes_are_cut),
		cmocka_unit_test(a_whole_message_is_not_copied),
		cmocka_unit_test(memory_follows_the_bytes_that_came_not_those_declared),
		cmocka_unit_test(masking_is_the_same_at_every_phase_and_length),
		cmocka_unit_test(the_accept_key_is_the_rfcs_example),
		cmocka_unit_test(what_was_deflated_inflates_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
