/* What a message has how often: keys of 64 bits, numbered from 0 in the order in which they first came.
 *
 * Runs of words are counted without touching their text: a run of n words is the pair (number of its first n-1 words,
 * number of the last one). */
#ifndef ROOST_METRICS_TALLY_H
#define ROOST_METRICS_TALLY_H

#include "base/base.h"

#define TALLY_NONE UINT32_MAX

struct tally {            /* zeroed: empty */
	uint64_t *keys;   /* [n], in order */
	uint32_t *counts; /* [n] */
	uint32_t *slots;  /* hash table of number + 1; 0 is free */
	size_t n, cap;    /* of keys; there are twice as many slots */
};

void tally_release(struct tally *t);
/* Counts the key and answers its number. */
uint32_t tally_add(struct tally *t, uint64_t key);
/* TALLY_NONE when it was never counted. */
uint32_t tally_find(const struct tally *t, uint64_t key);
/* How many of the keys were counted at least that often. */
size_t tally_at_least(const struct tally *t, uint32_t count);

#endif
