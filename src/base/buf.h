/* A growing byte buffer with a ceiling.
 *
 * Every buffer is given its maximum when it is made. An append that would pass it changes nothing but sets `failed`,
 * which stays set, so a writer may append a whole message and look once at the end. `p` is always followed by a NUL
 * that does not count. */
#ifndef ROOST_BASE_BUF_H
#define ROOST_BASE_BUF_H

#include "base/base.h"

struct buf {
	char *p;     /* NULL until the first append */
	size_t n;    /* bytes in use */
	size_t cap;  /* bytes allocated */
	size_t max;  /* n never passes this */
	bool failed; /* an append did not fit */
};

#define BUF_INIT(max_) ((struct buf){.max = (max_)})
#define BUF_NO_LIMIT ((size_t)1 << 40)

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b); /* frees; the buffer may be used again */
void buf_clear(struct buf *b);   /* n = 0, keeps the memory and forgets `failed` */
bool buf_reserve(struct buf *b, size_t more);
bool buf_add(struct buf *b, const void *p, size_t n);
bool buf_add_str(struct buf *b, struct str s);
bool buf_add_char(struct buf *b, char c);
bool buf_add_int(struct buf *b, int64_t v);
bool buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);
/* Hands the memory over to the caller, who frees it, and leaves the buffer empty. */
char *buf_take(struct buf *b, size_t *out_n);
static inline struct str buf_str(const struct buf *b) { return (struct str){b->p ? b->p : "", b->n}; }

#endif
