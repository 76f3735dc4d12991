#include "base/base.h"

#undef free /* xfree is for everybody else */

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/reserve.h"

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n) return false;
	for (size_t i = 0; i < a.n; i++) {
		unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];
		if (x >= 'A' && x <= 'Z') x = (unsigned char)(x + 32);
		if (y >= 'A' && y <= 'Z') y = (unsigned char)(y + 32);
		if (x != y) return false;
	}
	return true;
}

int str_cmp(struct str a, struct str b)
{
	size_t n = MIN(a.n, b.n);
	int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

bool str_to_int(struct str s, int64_t *out)
{
	size_t i = 0;
	bool neg = s.n > 0 && s.p[0] == '-';
	if (neg) i = 1;
	if (i == s.n || s.n > 20) return false;
	int64_t v = 0;
	for (; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9') return false;
		int digit = s.p[i] - '0';
		if (__builtin_mul_overflow(v, 10, &v)) return false;
		if (neg ? __builtin_sub_overflow(v, digit, &v) : __builtin_add_overflow(v, digit, &v)) return false;
	}
	*out = v;
	return true;
}

char *str_dup(struct str s)
{
	char *p = xmalloc(s.n + 1);
	if (s.n > 0) memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

bool str_copy(struct str s, char *dst, size_t cap)
{
	bool fits = s.n < cap;
	size_t n = fits ? s.n : 0;
	if (n > 0) memcpy(dst, s.p, n);
	if (cap > 0) dst[n] = '\0';
	return fits;
}

void *xmalloc(size_t n)
{
	void *p = malloc(n ? n : 1);
	if (p == NULL) p = reserve_alloc(n ? n : 1);
	if (p == NULL) die(71, "out of memory: %zu bytes", n);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	size_t bytes = xmul(n ? n : 1, size ? size : 1);
	void *p = calloc(1, bytes);
	if (p == NULL && (p = reserve_alloc(bytes)) != NULL) memset(p, 0, bytes);
	if (p == NULL) die(71, "out of memory: %zu times %zu bytes", n, size);
	return p;
}

/* A block leaves the reserve when it grows and malloc has memory again. */
static void *move_block(void *p, size_t old, size_t n)
{
	void *to = xmalloc(n);
	memcpy(to, p, MIN(old, n));
	xfree(p);
	return to;
}

void *xrealloc(void *p, size_t n)
{
	size_t old = reserve_size(p);
	if (n == 0) n = 1;
	if (old > 0) return n <= old ? p : move_block(p, old, n);
	void *to = realloc(p, n);
	if (to == NULL && (to = reserve_alloc(n)) != NULL && p != NULL) {
		memcpy(to, p, MIN(malloc_usable_size(p), n));
		free(p);
	}
	if (to == NULL) die(71, "out of memory: %zu bytes", n);
	return to;
}

void xfree(void *p)
{
	if (reserve_size(p) > 0) reserve_free(p);
	else free(p);
}

char *xstrdup(const char *s) { return str_dup(str_c(s)); }

size_t xmul(size_t n, size_t size)
{
	size_t r;
	if (__builtin_mul_overflow(n, size, &r)) die(70, "size overflow: %zu times %zu", n, size);
	return r;
}

void assert_failed(const char *file, int line, const char *expr, long long a, long long b)
{
	fprintf(stderr, "roost: %s:%d: assertion failed: %s (%lld, %lld)\n", file, line, expr, a, b);
	abort();
}

void die(int status, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("roost: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(status);
}
