/* What the tests of the measures share: the figures to agree with, and conversations by a seed. */
#ifndef ROOST_TEST_UNIT_METRICS_GEAR_H
#define ROOST_TEST_UNIT_METRICS_GEAR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/json.h"

/* The file of that path below the source directory, whole; free its p. */
static inline struct buf read_whole(const char *path)
{
	char name[512], piece[4096];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)snprintf(name, sizeof name, "%s/%s", ROOST_SOURCE_DIR, path);
	FILE *f = fopen(name, "r");
	assert_non_null(f);
	for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_add(&b, piece, n);
	assert_int_equal(fclose(f), 0);
	return b;
}

static inline struct json_doc *read_figures(void)
{
	struct json_doc *doc;
	struct buf b = read_whole("test/unit/fixtures/metrics.json");
	assert_int_equal(json_parse(buf_str(&b), &doc, NULL), OK);
	buf_release(&b);
	return doc;
}

static inline struct str member(const struct json *turn, const char *key)
{
	struct str s;
	assert_true(json_str(json_get(turn, key), &s));
	return s;
}

static inline double real(const struct json *v)
{
	double d;
	assert_true(json_real(v, &d));
	return d;
}

static inline uint32_t below(uint64_t *seed, uint32_t n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % n;
}

/* A message of up to `most` pieces, which hold what the measures look for. */
static inline void write_message(uint64_t *seed, uint32_t most, struct buf *b)
{
	static const char *const pieces[] = {"the",  "river", "maybe", "I",   "you", "yes",   "don't", "3.14", "->",
					     "\n\n", "\n- a", "1. b",  ".",   "!",   "?",     ", ",    "; ",   "—",
					     "你好", "😀",     "ΟΔΟΣ",  "İ",   "```", "\n",    "≈",     "•",    "é",
					     "_x",   "'q'",   "??",    "but", "we",  "thanks"};
	buf_clear(b);
	for (uint32_t n = below(seed, most + 1); n > 0; n--) {
		buf_add_str(b, str_c(pieces[below(seed, ARRAY_LEN(pieces))]));
		if (below(seed, 4) > 0) buf_add_char(b, ' ');
	}
	buf_add(b, "", 0);
}

#endif
