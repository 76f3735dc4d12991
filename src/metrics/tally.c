#include "metrics/tally.h"

#define FIRST_CAP 64

/* The finalizer of splitmix64: every bit of the key moves every bit of the place. */
static size_t place_of(const struct tally *t, uint64_t key)
{
	key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
	key = (key ^ key >> 27) * 0x94d049bb133111ebu;
	return (size_t)(key ^ key >> 31) & (t->cap * 2 - 1);
}

/* The key's slot, or the free one where it belongs. */
static size_t slot_of(const struct tally *t, uint64_t key)
{
	size_t i = place_of(t, key);
	while (t->slots[i] != 0 && t->keys[t->slots[i] - 1] != key) i = (i + 1) & (t->cap * 2 - 1);
	return i;
}

void tally_release(struct tally *t)
{
	free(t->keys);
	free(t->counts);
	free(t->slots);
	*t = (struct tally){0};
}

static void grow(struct tally *t)
{
	t->cap = t->cap ? xmul(t->cap, 2) : FIRST_CAP;
	t->keys = xrealloc(t->keys, xmul(t->cap, sizeof *t->keys));
	t->counts = xrealloc(t->counts, xmul(t->cap, sizeof *t->counts));
	free(t->slots);
	t->slots = xcalloc(xmul(t->cap, 2), sizeof *t->slots);
	for (size_t i = 0; i < t->n; i++) t->slots[slot_of(t, t->keys[i])] = (uint32_t)i + 1;
}

uint32_t tally_find(const struct tally *t, uint64_t key)
{
	if (t->n == 0) return TALLY_NONE;
	uint32_t found = t->slots[slot_of(t, key)];
	return found ? found - 1 : TALLY_NONE;
}

uint32_t tally_add(struct tally *t, uint64_t key)
{
	if (t->n == t->cap) grow(t);
	size_t at = slot_of(t, key);
	if (t->slots[at] != 0) {
		t->counts[t->slots[at] - 1]++;
		return t->slots[at] - 1;
	}
	ASSERT_CMP(t->n, <, TALLY_NONE - 1);
	t->keys[t->n] = key;
	t->counts[t->n++] = 1;
	t->slots[at] = (uint32_t)t->n;
	return t->slots[at] - 1;
}

size_t tally_at_least(const struct tally *t, uint32_t count)
{
	size_t found = 0;
	for (size_t i = 0; i < t->n; i++) found += t->counts[i] >= count;
	return found;
}
