/* UTF-8, checked as it arrives: shortest form only, no surrogates, nothing above U+10FFFF.
 *
 * The checker is incremental at every byte and fails at the first byte that no valid text could have at that place, so
 * a bad frame is refused in its middle. A zeroed struct utf8 is the start state. */
#ifndef ROOST_BASE_UTF8_H
#define ROOST_BASE_UTF8_H

#include "base/base.h"

struct utf8 {
	uint8_t need; /* continuation bytes still to come */
	uint8_t lo;   /* smallest value the next of them may have */
	uint8_t hi;   /* largest */
};

/* The index of the first bad byte, or n when all are fine so far. */
size_t utf8_check(struct utf8 *u, const void *data, size_t n);
static inline bool utf8_complete(const struct utf8 *u) { return u->need == 0; }
bool utf8_is_valid(struct str s);
/* The largest n' ≤ n at which `s` can be cut without splitting a character. */
size_t utf8_cut(struct str s, size_t n);

#endif
