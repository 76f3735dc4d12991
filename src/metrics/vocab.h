/* Words and their numbers: distinct texts, numbered from 0 in the order in which they came. Owns no text: what a word is
 * a view of must live as long as the vocabulary, or be replaced by such a copy right after vocab_add. */
#ifndef ROOST_METRICS_VOCAB_H
#define ROOST_METRICS_VOCAB_H

#include "base/base.h"

#define VOCAB_NONE UINT32_MAX

struct vocab_word {
	struct str text;
	uint64_t hash;
};

struct vocab { /* zeroed: empty */
	struct vocab_word *words;
	uint32_t *slots; /* hash table of number + 1; 0 is free */
	size_t n, cap;   /* of words; there are twice as many slots */
};

void vocab_release(struct vocab *v);
/* The number of the word, a new one when it is new: then v->n grew. */
uint32_t vocab_add(struct vocab *v, struct str word);
uint32_t vocab_find(const struct vocab *v, const struct vocab_word *word);
/* In how many words two vocabularies agree. */
size_t vocab_shared(const struct vocab *a, const struct vocab *b);

#endif
