#include "provider/text.h"

#include "base/utf8.h"

static const struct str replacement = {"\xef\xbf\xbd", 3};

void text_repair(struct str s, struct buf *out)
{
	while (s.n > 0) {
		struct utf8 u = {0};
		size_t good = utf8_check(&u, s.p, s.n), bad = good;
		if (good == s.n && utf8_complete(&u)) {
			buf_add_str(out, s);
			return;
		}
		if (u.need > 0) { /* a character broke off: its bytes are not good either */
			while (((unsigned char)s.p[good - 1] & 0xc0) == 0x80) good--;
			good--;
		} else {
			bad++;
		}
		buf_add(out, s.p, good);
		buf_add_str(out, replacement);
		s = str_n(s.p + bad, s.n - bad);
	}
}

/* The code unit of the escape \uXXXX at p, or -1. */
static int escape_at(const char *p, const char *end)
{
	if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
	int v = 0;
	for (int i = 2; i < 6; i++) {
		char c = p[i];
		int d = c >= '0' && c <= '9'                     ? c - '0'
			: (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
								 : -1;
		if (d < 0) return -1;
		v = v * 16 + d;
	}
	return v;
}

void text_repair_json(struct str s, struct buf *out)
{
	size_t from = out->n;
	text_repair(s, out);
	if (out->failed || out->n == from) return;
	char *end = out->p + out->n;
	for (char *p = out->p + from; p < end; p++) {
		if (*p != '\\') continue;
		int unit = escape_at(p, end);
		if (unit >= 0xd800 && unit <= 0xdbff) {
			int low = escape_at(p + 6, end);
			if (low >= 0xdc00 && low <= 0xdfff) p += 6;
			else memcpy(p + 2, "fffd", 4);
		} else if (unit >= 0xdc00 && unit <= 0xdfff) {
			memcpy(p + 2, "fffd", 4);
		}
		p += unit >= 0 ? 5 : 1;
	}
}

/* How many bytes from s.p on stand in `key` just so. */
static size_t common(struct str s, struct str key)
{
	size_t best = 0;
	for (size_t at = 0; at < key.n; at++) {
		size_t n = 0;
		while (n < s.n && at + n < key.n && s.p[n] == key.p[at + n]) n++;
		best = MAX(best, n);
	}
	return best;
}

/* C0, DEL, C1, the line separators, and the marks that turn the direction of what follows. */
static bool is_control(const unsigned char *p, size_t n)
{
	if (n == 1) return p[0] < 0x20 || p[0] == 0x7f;
	if (n == 2) return p[0] == 0xc2 && p[1] < 0xa0;
	if (n != 3 || p[0] != 0xe2) return false;
	return (p[1] == 0x80 && ((p[2] >= 0xa8 && p[2] <= 0xae) || p[2] == 0x8e || p[2] == 0x8f)) ||
	       (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

void text_clean(struct str s, struct str key, char out[TEXT_CLEAN_MAX + 1])
{
	static const size_t secret_run = 8;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	text_repair(str_n(s.p, MIN(s.n, (size_t)4096)), &b);
	s = buf_str(&b);
	size_t n = 0;
	bool space = true; /* the last byte written is one, or none was: no other follows it */
	while (s.n > 0 && n < TEXT_CLEAN_MAX) {
		size_t secret = common(s, key), len = 1;
		const char *put = s.p;
		while (len < s.n && ((unsigned char)s.p[len] & 0xc0) == 0x80) len++;
		size_t put_n = len;
		if (secret >= secret_run || (secret == key.n && key.n > 0)) {
			len = secret;
			put = "[key]";
			put_n = 5;
		} else if (is_control((const unsigned char *)s.p, len) || *s.p == ' ') {
			put = " ";
			put_n = space ? 0 : 1;
		}
		if (n + put_n > TEXT_CLEAN_MAX) break;
		if (put_n > 0) {
			memcpy(out + n, put, put_n);
			n += put_n;
			space = *put == ' ';
		}
		s = str_n(s.p + len, s.n - len);
	}
	while (n > 0 && (out[n - 1] == ' ' || out[n - 1] == '.')) n--;
	out[n] = '\0';
	buf_release(&b);
}
