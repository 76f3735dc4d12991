#include "metrics/chars.h"

#include <utf8proc.h>

#define REPLACEMENT 0xfffd
#define CAPITAL_I_DOT 0x130
#define CAPITAL_SIGMA 0x3a3
#define SMALL_SIGMA 0x3c3
#define FINAL_SIGMA 0x3c2
#define DOT_ABOVE 0x307

/* clang-format off */
#define SP CHAR_SPACE
#define DI (CHAR_DIGIT | CHAR_WORD)
#define AL (CHAR_ALPHA | CHAR_WORD)
#define US CHAR_WORD
const uint8_t char_kinds_ascii[128] = {
	0,  0,  0,  0,  0,  0,  0,  0,  0,  SP, SP, SP, SP, SP, 0,  0,  /* \t to \r */
	0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  SP, SP, SP, SP, /* the information separators */
	SP, 0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
	DI, DI, DI, DI, DI, DI, DI, DI, DI, DI, 0,  0,  0,  0,  0,  0,
	0,  AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL,
	AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, 0,  0,  0,  0,  US,
	0,  AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL,
	AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, AL, 0,  0,  0,  0,  0,
};
#undef SP
#undef DI
#undef AL
#undef US
/* clang-format on */

uint8_t char_kind_other(uint32_t c)
{
	switch (utf8proc_category((utf8proc_int32_t)c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_LO: return CHAR_ALPHA | CHAR_WORD;
	case UTF8PROC_CATEGORY_ND: return CHAR_DIGIT | CHAR_WORD;
	case UTF8PROC_CATEGORY_NL:
	case UTF8PROC_CATEGORY_NO: return CHAR_WORD;
	case UTF8PROC_CATEGORY_ZS:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP: return CHAR_SPACE;
	case UTF8PROC_CATEGORY_CC: return c == 0x85 ? CHAR_SPACE : 0;
	default: return 0;
	}
}

bool char_is_upper(uint32_t c)
{
	if (c < 0x80) return c - 'A' < 26;
	return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LU;
}

/* The character that begins at p[*at], which is not ASCII; moves *at behind it. Table 3-7 of the Unicode standard says
 * which second byte a first byte allows. */
static uint32_t decode_one(const unsigned char *p, size_t n, size_t *at)
{
	unsigned char first = p[(*at)++], lo = 0x80, hi = 0xbf;
	unsigned need = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
	if (first < 0xc2 || first > 0xf4) return REPLACEMENT;
	if (first == 0xe0) lo = 0xa0;
	if (first == 0xed) hi = 0x9f;
	if (first == 0xf0) lo = 0x90;
	if (first == 0xf4) hi = 0x8f;
	uint32_t c = first & (0x3fu >> need);
	for (; need > 0; need--) {
		if (*at == n || p[*at] < lo || p[*at] > hi) return REPLACEMENT;
		c = c << 6 | (p[(*at)++] & 0x3fu);
		lo = 0x80;
		hi = 0xbf;
	}
	return c;
}

static void chars_make(struct chars *c, size_t cap)
{
	*c = (struct chars){.v = xmalloc(xmul(MAX(cap, (size_t)1), sizeof *c->v)),
			    .kind = xmalloc(MAX(cap, (size_t)1))};
}

static inline void chars_put(struct chars *c, uint32_t v)
{
	c->v[c->n] = v;
	c->kind[c->n++] = char_kind(v);
}

void chars_decode(struct chars *out, struct str text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	ASSERT_CMP(text.n, <=, INT32_MAX);
	chars_make(out, text.n);
	for (size_t at = 0; at < text.n;) chars_put(out, p[at] < 0x80 ? p[at++] : decode_one(p, text.n, &at));
}

void chars_release(struct chars *c)
{
	free(c->v);
	free(c->kind);
	*c = (struct chars){0};
}

/* The two properties that decide about a final sigma (SpecialCasing.txt of Unicode): most follows from the categories,
 * the rest are these. */
static bool in_ranges(const uint32_t (*ranges)[2], size_t n, uint32_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
	return false;
}

static bool is_case_ignorable(uint32_t c)
{
	static const uint32_t more[][2] = {{0x27, 0x27},     {0x2e, 0x2e},     {0x3a, 0x3a},     {0xb7, 0xb7},
					   {0x387, 0x387},   {0x55f, 0x55f},   {0x5f4, 0x5f4},   {0x2018, 0x2019},
					   {0x2024, 0x2024}, {0x2027, 0x2027}, {0xfe13, 0xfe13}, {0xfe52, 0xfe52},
					   {0xfe55, 0xfe55}, {0xff07, 0xff07}, {0xff0e, 0xff0e}, {0xff1a, 0xff1a}};
	switch (utf8proc_category((utf8proc_int32_t)c)) {
	case UTF8PROC_CATEGORY_MN:
	case UTF8PROC_CATEGORY_ME:
	case UTF8PROC_CATEGORY_CF:
	case UTF8PROC_CATEGORY_LM:
	case UTF8PROC_CATEGORY_SK: return true;
	default: return in_ranges(more, ARRAY_LEN(more), c);
	}
}

static bool is_cased(uint32_t c)
{
	static const uint32_t more[][2] = {{0xaa, 0xaa},       {0xba, 0xba},       {0x2160, 0x217f},  {0x24b6, 0x24e9},
					   {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}};
	switch (utf8proc_category((utf8proc_int32_t)c)) {
	case UTF8PROC_CATEGORY_LU:
	case UTF8PROC_CATEGORY_LL:
	case UTF8PROC_CATEGORY_LT: return true;
	default: return in_ranges(more, ARRAY_LEN(more), c);
	}
}

/* A sigma is final when a cased letter stands before it and none behind it, ignorable characters left out. */
static bool sigma_is_final(const struct chars *c, size_t at)
{
	size_t before = at, behind = at + 1;
	while (before > 0 && is_case_ignorable(c->v[before - 1])) before--;
	if (before == 0 || !is_cased(c->v[before - 1])) return false;
	while (behind < c->n && is_case_ignorable(c->v[behind])) behind++;
	return behind == c->n || !is_cased(c->v[behind]);
}

void chars_lower(const struct chars *c, struct chars *out)
{
	size_t more = 0;
	for (size_t i = 0; i < c->n; i++) more += c->v[i] == CAPITAL_I_DOT;
	chars_make(out, c->n + more);
	for (size_t i = 0; i < c->n; i++) {
		uint32_t v = c->v[i];
		if (v < 0x80) {
			chars_put(out, v - 'A' < 26 ? v + 32 : v);
		} else if (v == CAPITAL_I_DOT) {
			chars_put(out, 'i');
			chars_put(out, DOT_ABOVE);
		} else if (v == CAPITAL_SIGMA) {
			chars_put(out, sigma_is_final(c, i) ? FINAL_SIGMA : SMALL_SIGMA);
		} else {
			chars_put(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)v));
		}
	}
}

void chars_encode(const struct chars *c, size_t from, size_t to, struct buf *out)
{
	char piece[256];
	size_t n = 0;
	for (size_t i = from; i < to; i++) {
		if (n + 4 > sizeof piece) {
			buf_add(out, piece, n);
			n = 0;
		}
		if (c->v[i] < 0x80) piece[n++] = (char)c->v[i];
		else n += (size_t)utf8proc_encode_char((utf8proc_int32_t)c->v[i], (utf8proc_uint8_t *)piece + n);
	}
	buf_add(out, piece, n);
}

void chars_strip(const struct chars *c, size_t *from, size_t *to)
{
	while (*from < *to && c->kind[*from] & CHAR_SPACE) ++*from;
	while (*to > *from && c->kind[*to - 1] & CHAR_SPACE) --*to;
}
