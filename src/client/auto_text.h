/* What an answer's text says about going on: is it done, does it ask, has it failed, must a person come, does it turn in
 * circles. Tables of phrases, looked for as whole words; no language model, no regular expressions.
 *
 * A phrase is words with single spaces. In a text any white space may stand between them, case does not count (ASCII), a
 * typographic apostrophe is an apostrophe, and a phrase begins and ends at the border of a word. A '*' ends a phrase that
 * is the beginning of a word. A phrase behind a negation ("no fatal errors", "not done yet") does not count, nor does a
 * completion that is only spoken of ("when it is done", "almost finished").
 *
 * The phrases are English. What does not match is INTENT_UNKNOWN, which goes on.
 *
 * Pure. */
#ifndef ROOST_CLIENT_AUTO_TEXT_H
#define ROOST_CLIENT_AUTO_TEXT_H

#include "base/base.h"

#define INTENT_MAP(X)                                                                                                  \
	X(INTENT_UNKNOWN, "unknown")                                                                                   \
	X(INTENT_ERROR, "error")                                                                                       \
	X(INTENT_CLARIFICATION, "clarification")                                                                       \
	X(INTENT_WAITING, "waiting")                                                                                   \
	X(INTENT_COMPLETION, "completion")                                                                             \
	X(INTENT_PROGRESS, "progress")
enum intent {
#define X(sym, name) sym,
	INTENT_MAP(X)
#undef X
		INTENTS
};
struct str intent_name(enum intent i);
bool intent_find(struct str name, enum intent *out);

enum completion { COMPLETION_NONE, COMPLETION_WEAK, COMPLETION_MODERATE, COMPLETION_STRONG };

struct reading {
	enum intent intent; /* the one with the most weight; of equals the first in the table above */
	int weight[INTENTS];
	enum completion completion;
	struct str showstopper; /* the phrase that was met, "" none; a static string */
};
void text_read(struct str text, struct reading *out);

/* Does the phrase stand in the text? Negations do not matter here. */
bool text_says(struct str text, struct str phrase);
/* The same, but case counts: for words that are agreed on, as TASK_COMPLETE. */
bool text_says_exactly(struct str text, struct str phrase);

/* A text as the set of its words, to be compared with others. */
struct word_set {
	uint64_t *hashes; /* sorted, each once; heap */
	size_t n;
};
void word_set_make(struct word_set *w, struct str text); /* of the first WORD_SET_MAX words */
void word_set_release(struct word_set *w);
#define WORD_SET_MAX 4096
/* Jaccard: common words by all words, 0 to 1; of two empty texts 1. */
double word_set_similarity(const struct word_set *a, const struct word_set *b);

#endif
