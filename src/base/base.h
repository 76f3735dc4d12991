/* The ground floor: strings, memory, assertions, and the functions that must not be used.
 *
 * Inside Roost a string is a pointer and a length; NUL ends one only at libc's border. The daemon and the command line
 * end the process when memory runs out (x*alloc); the client library has a reserve then (reserve.h), whose blocks
 * free() gives back like any other. Any thread may call anything here. */
#ifndef ROOST_BASE_BASE_H
#define ROOST_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* A view of bytes, usually UTF-8; owns nothing. {NULL, 0} is "absent", {"", 0} is "empty". */
struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){(lit), sizeof(lit) - 1})
#define STR_INIT(lit)                                                                                                  \
	{                                                                                                              \
		(lit), sizeof(lit) - 1                                                                                 \
	} /* the same for static tables */
#define STR_NONE ((struct str){NULL, 0})
#define STR_ARG(s) (int)(s).n, (s).p /* for "%.*s" */

static inline struct str str_c(const char *s) { return (struct str){s, s ? strlen(s) : 0}; }
static inline struct str str_n(const char *p, size_t n) { return (struct str){p, n}; }
static inline bool str_eq(struct str a, struct str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
static inline bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
int str_cmp(struct str a, struct str b);        /* bytewise, like memcmp */
/* The decimal number that is the whole of `s`; false when it is not one or does not fit. */
bool str_to_int(struct str s, int64_t *out);
/* A heap copy with a NUL behind it; free() it. */
char *str_dup(struct str s);
/* Copies `s` and a NUL into `dst`; false (and dst = "") when it does not fit. */
bool str_copy(struct str s, char *dst, size_t cap);

__attribute__((returns_nonnull)) void *xmalloc(size_t n);
__attribute__((returns_nonnull)) void *xcalloc(size_t n, size_t size);
__attribute__((returns_nonnull)) void *xrealloc(void *p, size_t n);
__attribute__((returns_nonnull)) char *xstrdup(const char *s);
/* Frees what malloc or x*alloc gave; NULL is nothing. Everything below base/ says free(). */
void xfree(void *p);
#define free xfree
#undef uthash_malloc /* uthash.h's own way out is exit(-1) */
#undef uthash_free
#define uthash_malloc(n) xmalloc(n)
#define uthash_free(p, n) xfree(p)
/* n * size, ending the process when that does not fit a size_t. */
size_t xmul(size_t n, size_t size);

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#ifndef MIN /* <sys/param.h> has the same */
#undef MIN  /* some of libc's headers bring their own */
#undef MAX
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif

/* Checks that stay on in release builds: a broken invariant ends the process before it can spoil data. */
_Noreturn void assert_failed(const char *file, int line, const char *expr, long long a, long long b);
#define ASSERT(x) ((x) ? (void)0 : assert_failed(__FILE__, __LINE__, #x, 0, 0))
#define ASSERT_CMP(a, op, b)                                                                                           \
	do {                                                                                                           \
		long long a_ = (long long)(a), b_ = (long long)(b);                                                    \
		if (!(a_ op b_)) assert_failed(__FILE__, __LINE__, #a " " #op " " #b, a_, b_);                         \
	} while (0)

/* Ends the process with a sentence on stderr. */
_Noreturn void die(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#ifndef ROOST_ALLOW_BANNED
#undef alloca /* a macro of stdlib.h */
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gets atoi atol alloca system popen
#endif

#endif
