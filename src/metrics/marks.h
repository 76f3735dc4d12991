/* The lists of words and symbols that the text measures count. The original's lists also have "of course",
 * "kind of" and "sort of", which no single word can match; they are left out. */
#ifndef ROOST_METRICS_MARKS_H
#define ROOST_METRICS_MARKS_H

#include "base/base.h"

enum mark {
	MARK_HEDGE = 1,
	MARK_AGREEMENT = 2,
	MARK_DISAGREEMENT = 4,
	MARK_POLITENESS = 8,
	MARK_I = 16,   /* first person singular */
	MARK_WE = 32,  /* first person plural */
	MARK_YOU = 64, /* second person */
};
/* The marks of a word in lower case, or'd; 0 when it is in no list. */
unsigned word_marks(struct str word);

enum symbol_mark {
	SYMBOL_ARROW = 1,
	SYMBOL_MATH = 2,
	SYMBOL_OTHER = 4, /* arrow, mathematical, box or bullet, but not a plain arrow or operator */
};
unsigned symbol_marks(uint32_t c);
/* The class that is counted as emoji. It is wider than its name: CJK, Hangul, boxes and geometric shapes are in it. */
bool is_emoji(uint32_t c);

#endif
