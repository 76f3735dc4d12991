#include "metrics/vocab.h"

#include "base/hash.h"

#define FIRST_CAP 64

void vocab_release(struct vocab *v)
{
	free(v->words);
	free(v->slots);
	*v = (struct vocab){0};
}

/* The word's slot, or the free one where it belongs. */
static size_t slot_of(const struct vocab *v, struct str word, uint64_t hash)
{
	size_t mask = v->cap * 2 - 1, i = (size_t)hash & mask;
	for (; v->slots[i] != 0; i = (i + 1) & mask) {
		const struct vocab_word *w = &v->words[v->slots[i] - 1];
		if (w->hash == hash && str_eq(w->text, word)) break;
	}
	return i;
}

static void grow(struct vocab *v)
{
	v->cap = v->cap ? xmul(v->cap, 2) : FIRST_CAP;
	v->words = xrealloc(v->words, xmul(v->cap, sizeof *v->words));
	free(v->slots);
	v->slots = xcalloc(xmul(v->cap, 2), sizeof *v->slots);
	for (size_t i = 0; i < v->n; i++) v->slots[slot_of(v, v->words[i].text, v->words[i].hash)] = (uint32_t)i + 1;
}

uint32_t vocab_add(struct vocab *v, struct str word)
{
	uint64_t hash = hash64(word, 0);
	if (v->n == v->cap) grow(v);
	size_t at = slot_of(v, word, hash);
	if (v->slots[at] == 0) {
		ASSERT_CMP(v->n, <, VOCAB_NONE - 1);
		v->words[v->n++] = (struct vocab_word){word, hash};
		v->slots[at] = (uint32_t)v->n;
	}
	return v->slots[at] - 1;
}

uint32_t vocab_find(const struct vocab *v, const struct vocab_word *word)
{
	if (v->n == 0) return VOCAB_NONE;
	uint32_t found = v->slots[slot_of(v, word->text, word->hash)];
	return found ? found - 1 : VOCAB_NONE;
}

size_t vocab_shared(const struct vocab *a, const struct vocab *b)
{
	size_t shared = 0;
	for (size_t i = 0; i < a->n; i++) shared += vocab_find(b, &a->words[i]) != VOCAB_NONE;
	return shared;
}
