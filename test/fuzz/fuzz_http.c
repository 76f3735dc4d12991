/* A request's bytes, whole and in pieces: both ways the parser must see the same, and whatever a head holds must be
 * judged without harm. The first byte is the length of the pieces. */
#include <stdint.h>

#include "net/http_head.h"
#include "net/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	enum http_parse_event last;
	enum err err;
	size_t used, body_n, nfields;
};

static void on_body(void *ctx, struct str piece) { ((struct outcome *)ctx)->body_n += piece.n; }

static void judge_head(const struct http_parse *p)
{
	static const char *const names[] = {"home.example", NULL};
	struct arena a = {0};
	struct str path, query, host = http_parse_field(p, STR("host"));
	bool ok = host_is_allowed(host, names);
	origin_is_allowed(http_parse_field(p, STR("origin")), host, ok, names);
	encoding_accepted(http_parse_field(p, STR("accept-encoding")));
	cookie_get(http_parse_field(p, STR("cookie")), STR("roost"));
	http_parse_has_token(p, STR("connection"), STR("upgrade"));
	if (target_parse(http_parse_target(p), host, &a, &path, &query, NULL) == OK) {
		ASSERT(path.n > 0 && path.p[0] == '/');
		ASSERT(memmem(path.p, path.n, "/../", 4) == NULL && memchr(path.p, 0, path.n) == NULL);
		query_get(query, STR("q"), &a);
	}
	arena_clear(&a);
}

static struct outcome parse(const char *data, size_t size, size_t step)
{
	struct http_parse p;
	struct outcome o = {.last = HTTP_PARSE_MORE};
	struct errinfo info;
	http_parse_init(&p, 1000, on_body, &o);
	while (o.used < size && o.last != HTTP_PARSE_END && o.last != HTTP_PARSE_BAD) {
		size_t n = MIN(step, size - o.used), k;
		char *piece = xmalloc(n);
		memcpy(piece, data + o.used, n);
		o.last = http_parse(&p, piece, n, &k, &info);
		o.used += k;
		if (o.last == HTTP_PARSE_HEAD) judge_head(&p);
		if (o.last == HTTP_PARSE_BAD) o.err = info.err;
		free(piece);
	}
	o.nfields = p.nfields;
	http_parse_release(&p);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2) return 0;
	struct outcome a = parse((const char *)data + 1, size - 1, size),
		       b = parse((const char *)data + 1, size - 1, 1 + data[0] % 64);
	ASSERT_CMP(a.last == HTTP_PARSE_BAD, ==, b.last == HTTP_PARSE_BAD);
	if (a.last == HTTP_PARSE_BAD) return 0;
	ASSERT_CMP(a.used, ==, b.used);
	ASSERT_CMP(a.body_n, ==, b.body_n);
	ASSERT_CMP(a.nfields, ==, b.nfields);
	return 0;
}
