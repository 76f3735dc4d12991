/* Lines must not depend on how the bytes are split: the input whole, byte by byte and in pieces gives the same. */
#include "provider/lines.h"

struct sum {
	size_t lines;
	uint64_t hash;
};

static bool note(void *ctx, struct str line)
{
	struct sum *s = ctx;
	ASSERT(line.n > 0 && line.n <= 4096 && memchr(line.p, '\n', line.n) == NULL);
	s->lines++;
	for (size_t i = 0; i < line.n; i++) s->hash = (s->hash ^ (unsigned char)line.p[i]) * 1099511628211u;
	s->hash = (s->hash ^ 256) * 1099511628211u;
	return true;
}

static enum err run(const char *p, size_t n, size_t piece, struct sum *out)
{
	struct lines l;
	enum err e = OK;
	*out = (struct sum){0};
	lines_init(&l, 4096);
	for (size_t at = 0; at < n && e == OK; at += piece)
		e = lines_feed(&l, str_n(p + at, MIN(piece, n - at)), note, out, NULL);
	if (e == OK) lines_end(&l, note, out);
	lines_release(&l);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sum whole, other;
	const char *p = (const char *)data;
	if (n == 0) return 0;
	enum err e = run(p, n, n, &whole);
	size_t pieces[] = {1, 2, 1 + data[0] % 64u};
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		ASSERT_CMP(run(p, n, pieces[i], &other), ==, e);
		ASSERT_CMP(other.lines, ==, whole.lines);
		ASSERT(other.hash == whole.hash);
	}
	return 0;
}
