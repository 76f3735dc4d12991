/* Events must not depend on how the bytes are split: the input whole, byte by byte and in pieces gives the same. */
#include "provider/sse.h"

struct sum {
	size_t events;
	uint64_t hash;
	size_t stop_after;
};

static bool note(void *ctx, struct sse_event ev)
{
	struct sum *s = ctx;
	s->events++;
	for (size_t i = 0; i < ev.name.n; i++) s->hash = (s->hash ^ (unsigned char)ev.name.p[i]) * 1099511628211u;
	s->hash = (s->hash ^ 256) * 1099511628211u;
	for (size_t i = 0; i < ev.data.n; i++) s->hash = (s->hash ^ (unsigned char)ev.data.p[i]) * 1099511628211u;
	return true;
}

static enum err run(const char *p, size_t n, size_t piece, struct sum *out)
{
	struct sse s;
	enum err e = OK;
	*out = (struct sum){0};
	sse_init(&s, 4096);
	for (size_t at = 0; at < n && e == OK; at += piece) {
		struct str bytes = str_n(p + at, MIN(piece, n - at));
		char *copy = str_dup(bytes); /* gone when the next one comes */
		e = sse_feed(&s, str_n(copy, bytes.n), note, out, NULL);
		free(copy);
	}
	if (e == OK) e = sse_end(&s, note, out, NULL);
	sse_release(&s);
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
		/* A line that is too long is found later when it comes in pieces, but no other event precedes it. */
		ASSERT_CMP(other.events, ==, whole.events);
		ASSERT(other.hash == whole.hash);
	}
	return 0;
}
