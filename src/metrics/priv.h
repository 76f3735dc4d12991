/* What text.c and pair.c share: a conversation's memory. */
#ifndef ROOST_METRICS_PRIV_H
#define ROOST_METRICS_PRIV_H

#include "metrics/tally.h"
#include "metrics/text.h"
#include "metrics/vocab.h"

/* An agent's last message. */
struct spoken {
	uint32_t *words; /* numbers of the conversation's vocabulary, in the text's order */
	size_t nwords;
	struct tally distinct; /* the same, counted */
	int64_t length, sentences;
	int64_t sentence_words; /* blank-separated words of all sentences */
	bool known;             /* the agent has spoken */
};

/* How much one of an agent's earlier messages that have a word would add to turn_repetition: the sum of
 * 1 / distinct words of the message over all of them. The mean over all earlier messages of the share of their words
 * that are in the current one is then the sum of these over the current one's words, by their number: no earlier
 * message is ever looked at again. What the sum loses by rounding is summed beside it (Neumaier): it may have a million
 * terms, and a message that is repeated word for word shall give 1. */
struct usage {
	double sum, lost;
};

struct word_facts {
	uint8_t marks;   /* enum mark */
	bool apostrophe; /* has one inside */
	bool is_long;    /* more than 7 code points */
	bool is_upper;   /* begins with a capital that has no small letter, and goes on */
};

struct metrics_history {
	size_t nagents;
	struct arena arena; /* the words' text */
	struct vocab vocab;
	size_t cap; /* of what follows, by word */
	struct word_facts *facts;
	struct usage *usage[METRICS_AGENTS_MAX];
	size_t nmessages[METRICS_AGENTS_MAX];
	size_t nwords[METRICS_AGENTS_MAX];                     /* distinct words each has used */
	size_t shared[METRICS_AGENTS_MAX][METRICS_AGENTS_MAX]; /* that two of them have used */
	struct spoken last[METRICS_AGENTS_MAX];
	struct z_stream_s *compressor; /* NULL until the first text that is not empty */
};

#endif
