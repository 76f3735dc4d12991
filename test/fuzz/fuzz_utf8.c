/* The UTF-8 checker against a decoder written from the definition; and in pieces (the first byte says how long) against
 * the whole. */
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Bytes of the character at p, 0 when there is none. */
static size_t character(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (len == 0 || len > n) return 0;
	uint32_t c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (p[i] >> 6 != 2) return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c >= least[len] && c < 0x110000 && (c < 0xd800 || c > 0xdfff) ? len : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0) return 0;
	size_t step = (size_t)data[0] % 16 + 1;
	struct str s = str_n((const char *)data + 1, n - 1);
	size_t whole_chars = 0;
	for (size_t len; whole_chars < s.n; whole_chars += len) {
		len = character(data + 1 + whole_chars, s.n - whole_chars);
		if (len == 0) break;
	}
	ASSERT_CMP(utf8_is_valid(s), ==, whole_chars == s.n);
	struct utf8 u = {0}, piece = {0};
	size_t bad = utf8_check(&u, s.p, s.n), at = 0;
	ASSERT(bad >= whole_chars && bad <= whole_chars + 3 && bad <= s.n);
	while (at < s.n) {
		size_t want = MIN(step, s.n - at), got = utf8_check(&piece, s.p + at, want);
		at += got;
		if (got < want) break;
	}
	ASSERT_CMP(at, ==, bad);
	if (whole_chars == s.n) {
		size_t cut = utf8_cut(s, s.n / 2);
		ASSERT(cut <= s.n / 2 && utf8_is_valid(str_n(s.p, cut)) && utf8_is_valid(str_n(s.p + cut, s.n - cut)));
	}
	return 0;
}
