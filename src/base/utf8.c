#include "base/utf8.h"

/* Skips ASCII eight bytes at a time. */
static size_t skip_ascii(const unsigned char *p, size_t i, size_t n)
{
	while (i + 8 <= n) {
		uint64_t w;
		memcpy(&w, p + i, 8);
		if (w & 0x8080808080808080u) break;
		i += 8;
	}
	return i;
}

/* Table 3-7 of the Unicode standard: which second byte a first byte allows. */
static bool start(struct utf8 *u, unsigned char c)
{
	u->lo = 0x80;
	u->hi = 0xbf;
	if (c < 0x80) return true;
	if (c < 0xc2) return false;
	if (c < 0xe0) {
		u->need = 1;
	} else if (c < 0xf0) {
		u->need = 2;
		if (c == 0xe0) u->lo = 0xa0;
		if (c == 0xed) u->hi = 0x9f;
	} else if (c < 0xf5) {
		u->need = 3;
		if (c == 0xf0) u->lo = 0x90;
		if (c == 0xf4) u->hi = 0x8f;
	} else {
		return false;
	}
	return true;
}

size_t utf8_check(struct utf8 *u, const void *data, size_t n)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < n; i++) {
		if (u->need == 0) {
			i = skip_ascii(p, i, n);
			if (i == n) break;
			if (!start(u, p[i])) return i;
		} else {
			if (p[i] < u->lo || p[i] > u->hi) return i;
			u->need--;
			u->lo = 0x80;
			u->hi = 0xbf;
		}
	}
	return n;
}

bool utf8_is_valid(struct str s)
{
	struct utf8 u = {0};
	return utf8_check(&u, s.p, s.n) == s.n && utf8_complete(&u);
}

size_t utf8_cut(struct str s, size_t n)
{
	if (n >= s.n) return s.n;
	while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
	return n;
}
