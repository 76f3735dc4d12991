#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

void buf_init(struct buf *b, size_t max) { *b = BUF_INIT(max); }

void buf_release(struct buf *b)
{
	free(b->p);
	*b = BUF_INIT(b->max);
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
	if (b->p != NULL) b->p[0] = '\0';
}

bool buf_reserve(struct buf *b, size_t more)
{
	if (b->failed || more > b->max - b->n) {
		b->failed = true;
		return false;
	}
	if (b->n + more < b->cap) return true;
	size_t cap = MAX(b->cap * 2, (size_t)64);
	if (cap < b->n + more + 1) cap = b->n + more + 1;
	b->p = xrealloc(b->p, cap);
	b->cap = cap;
	return true;
}

bool buf_add(struct buf *b, const void *p, size_t n)
{
	if (!buf_reserve(b, n)) return false;
	if (n > 0) memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
	return true;
}

bool buf_add_str(struct buf *b, struct str s) { return buf_add(b, s.p, s.n); }
bool buf_add_char(struct buf *b, char c) { return buf_add(b, &c, 1); }

bool buf_add_int(struct buf *b, int64_t v)
{
	char tmp[24];
	size_t i = sizeof tmp;
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	do tmp[--i] = (char)('0' + u % 10);
	while ((u /= 10) != 0);
	if (v < 0) tmp[--i] = '-';
	return buf_add(b, tmp + i, sizeof tmp - i);
}

bool buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !buf_reserve(b, (size_t)n)) {
		b->failed = true;
		return false;
	}
	va_start(ap, fmt);
	vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
	return true;
}

void buf_drop(struct buf *b, size_t n)
{
	ASSERT_CMP(n, <=, b->n);
	if (n == 0) return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = '\0';
}

char *buf_take(struct buf *b, size_t *out_n)
{
	char *p = b->p != NULL ? b->p : xstrdup("");
	if (out_n != NULL) *out_n = b->n;
	*b = BUF_INIT(b->max);
	return p;
}
