/* A text as code points, and what kind each of them is.
 *
 * The measures were first defined by a program in Python, so the kinds are those of Python's str methods and of its
 * regular expressions: letters are the categories L*, digits Nd, \w is L*, Nd, Nl, No and "_" (combining marks are not),
 * blanks are Zs, Zl, Zp and eleven control characters. Lower-casing is the full one: U+0130 becomes two code points, and
 * a sigma at the end of a word the final one. Characters that are younger than the machine's libutf8proc have no kind.
 *
 * Pure; every struct chars is released by who made it. */
#ifndef ROOST_METRICS_CHARS_H
#define ROOST_METRICS_CHARS_H

#include "base/buf.h"

enum char_kind { CHAR_SPACE = 1, CHAR_ALPHA = 2, CHAR_DIGIT = 4, CHAR_WORD = 8 };

struct chars {
	uint32_t *v;
	uint8_t *kind; /* of each, enum char_kind or'd */
	size_t n;
};

/* Each longest piece of bytes that begins a character and cannot go on, and each byte that begins none, is U+FFFD.
 * `text` is shorter than 2 GB. */
void chars_decode(struct chars *out, struct str text);
void chars_release(struct chars *c);
/* A copy in lower case. */
void chars_lower(const struct chars *c, struct chars *out);
/* Appends the code points from..to as UTF-8. */
void chars_encode(const struct chars *c, size_t from, size_t to, struct buf *out);
/* Moves *from forwards and *to backwards over blanks. */
void chars_strip(const struct chars *c, size_t *from, size_t *to);

extern const uint8_t char_kinds_ascii[128];
uint8_t char_kind_other(uint32_t c); /* not ASCII */
static inline uint8_t char_kind(uint32_t c) { return c < 0x80 ? char_kinds_ascii[c] : char_kind_other(c); }
/* Its bytes in UTF-8. */
static inline size_t char_width(uint32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }
/* A capital letter that is one by its category: some have no small letter and outlive lower-casing. */
bool char_is_upper(uint32_t c);

#endif
