/* What the fuzzers of dialects share: an answer of a provider, from its head on. The first byte picks the status and how the connection ended, the second the
 * size of pieces, the rest is the body. Text must be valid UTF-8 in whole characters, the outcome consistent, and the same
 * in pieces as whole. */
#ifndef ROOST_TEST_FUZZ_DIALECT_H
#define ROOST_TEST_FUZZ_DIALECT_H

#include "base/utf8.h"
#include "provider/answer.h"

struct got {
	struct buf text[2];
	struct call_outcome o;
	struct buf parts;
	char finish[32];
};

static bool note(void *ctx, enum answer_kind kind, struct str text)
{
	struct got *g = ctx;
	ASSERT(text.n > 0 && utf8_is_valid(text));
	buf_add_str(&g->text[kind], text);
	return true;
}

/* Parts are a JSON array of objects with a type. */
static void check_parts(struct str parts)
{
	struct json_doc *doc = NULL;
	if (parts.n == 0) return;
	ASSERT(json_parse(parts, &doc, NULL) == OK && json_len(json_root(doc)) > 0);
	for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);)
		ASSERT(json_type(json_get(it.val, "type")) == JSON_STR);
	json_free(doc);
}

static void run(const struct dialect *d, int status, enum err transport, struct str body, size_t piece, struct got *g)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nRetry-After: 3\r\n\r\n";
	struct answer_sink sink = {note, g, 10000, 0, STR("sk-0123456789abcdef")};
	struct errinfo info = {0};
	*g = (struct got){.text = {BUF_INIT(BUF_NO_LIMIT), BUF_INIT(BUF_NO_LIMIT)}, .parts = BUF_INIT(BUF_NO_LIMIT)};
	(void)err_set(&info, transport, "broke");
	struct answer *parser = answer_new(d, &sink);
	answer_head(parser, status, STR(head));
	for (size_t at = 0; at < body.n; at += piece)
		if (answer_feed(parser, str_n(body.p + at, MIN(piece, body.n - at))) == FEED_STOP) break;
	answer_end(parser, transport, &info, &g->o);
	ASSERT(str_copy(g->o.finish_reason, g->finish, sizeof g->finish));
	buf_add_str(&g->parts, g->o.parts);
	ASSERT(g->o.err != OK || g->text[ANSWER_TEXT].n > 0 || g->parts.n > 0);
	check_parts(g->o.parts);
	ASSERT(g->o.err == OK || g->o.info.text[0] != '\0');
	ASSERT(g->text[0].n + g->text[1].n <= 10000);
	ASSERT(strstr(g->o.info.text, "0123456789abcdef") == NULL);
	ASSERT(utf8_is_valid(str_c(g->o.info.text)));
	for (const char *c = g->o.info.text; *c != '\0'; c++) ASSERT((unsigned char)*c >= 0x20);
	answer_free(parser);
}

static int fuzz_dialect(const struct dialect *d, const uint8_t *data, size_t n)
{
	static const int statuses[] = {200, 200, 200, 201, 302, 400, 401, 429, 500, 503};
	struct got whole, pieces;
	if (n < 3) return 0;
	int status = statuses[data[0] % ARRAY_LEN(statuses)];
	enum err transport = data[0] & 0x80 ? ERR_PROVIDER_CUT : OK;
	struct str body = str_n((const char *)data + 2, n - 2);
	run(d, status, transport, body, body.n, &whole);
	run(d, status, transport, body, 1 + data[1] % 32u, &pieces);
	ASSERT(str_eq(buf_str(&whole.text[0]), buf_str(&pieces.text[0])));
	ASSERT(str_eq(buf_str(&whole.text[1]), buf_str(&pieces.text[1])));
	ASSERT(str_eq(buf_str(&whole.parts), buf_str(&pieces.parts)));
	ASSERT_CMP(whole.o.err, ==, pieces.o.err);
	ASSERT_CMP(whole.o.retryable, ==, pieces.o.retryable);
	ASSERT(strcmp(whole.finish, pieces.finish) == 0);
	for (int i = 0; i < 2; i++) {
		buf_release(&whole.text[i]);
		buf_release(&pieces.text[i]);
	}
	buf_release(&whole.parts);
	buf_release(&pieces.parts);
	return 0;
}

#endif
