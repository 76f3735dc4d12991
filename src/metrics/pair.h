/* What is measured of two agents' messages in one turn. Like the measures of single messages (text.h), these are kept as
 * published runs have them. The live score that stops an experiment is another one: convergence.h. */
#ifndef ROOST_METRICS_PAIR_H
#define ROOST_METRICS_PAIR_H

#include "metrics/text.h"

/* clang-format off */
/*        column                   kind  of what     unit             formula */
#define PAIR_METRIC_MAP(X)                                                                                             \
	X(vocabulary_overlap,      REAL, OF_TEXT,    "share",         "distinct words of both / distinct words of either; 0 when one has none") \
	X(length_convergence,      REAL, OF_TEXT,    "share",         "shorter length / longer length; 1 when both are empty") \
	X(style_similarity,        REAL, OF_TEXT,    "share",         "the same as structural_similarity")             \
	X(structural_similarity,   REAL, OF_TEXT,    "share",         "half of 1 - difference / max(greater, 1) of the numbers of sentences, and half of it for the mean number of blank-separated words in a sentence") \
	X(semantic_similarity,     REAL, OF_NOTHING, "",              "0")                                             \
	X(mimicry_score_a_to_b,    REAL, OF_TEXT,    "share",         "mean over n = 2 to min(6, W of a, W of b), with weight n - 1, of: a's distinct runs of n words that b has too / a's distinct runs of n words") \
	X(mimicry_score_b_to_a,    REAL, OF_TEXT,    "share",         "the same with a and b exchanged")               \
	X(sentiment_convergence,   REAL, OF_NOTHING, "",              "0")                                             \
	X(formality_convergence,   REAL, OF_NOTHING, "",              "0")                                             \
	X(rhythm_convergence,      REAL, OF_NOTHING, "",              "0")                                             \
	X(overall_convergence,     REAL, OF_TEXT,    "share",         "mean of vocabulary_overlap, phrase_alignment, structural_similarity and the mean of both mimicry scores") \
	X(convergence_velocity,    REAL, OF_NOTHING, "",              "0")                                             \
	X(turn_taking_balance,     REAL, OF_NOTHING, "",              "0.5")                                           \
	X(topic_consistency,       REAL, OF_NOTHING, "",              "0")                                             \
	X(phrase_alignment,        REAL, OF_TEXT,    "share",         "2 · sum over common words of the smaller number of occurrences / (W of a + W of b); 0 when one has none") \
	X(syntactic_convergence,   REAL, OF_NOTHING, "",              "0")                                             \
	X(lexical_entrainment,     REAL, OF_TEXT,    "share",         "the same as vocabulary_overlap")                \
	X(prosodic_alignment,      REAL, OF_NOTHING, "",              "0")                                             \
	X(discourse_coherence,     REAL, OF_NOTHING, "",              "0")                                             \
	X(cumulative_convergence,  REAL, OF_HISTORY, "share",         "vocabulary_overlap of all words each has used up to this turn") \
	X(conversation_velocity,   REAL, OF_NOTHING, "",              "0")                                             \
	X(adaptation_rate,         REAL, OF_NOTHING, "",              "0")
/* clang-format on */

struct pair_metrics {
#define X(column, kind, of, unit, formula) METRIC_TYPE_##kind column;
	PAIR_METRIC_MAP(X)
#undef X
};

enum {
#define X(column, kind, of, unit, formula) PAIR_METRIC_##column,
	PAIR_METRIC_MAP(X)
#undef X
		PAIR_METRIC_COUNT
};
extern const struct metric_row pair_metric_rows[PAIR_METRIC_COUNT];

/* Of the last messages of two agents, who have both spoken. */
void metrics_pair(const struct metrics_history *h, size_t a, size_t b, struct pair_metrics *out);
static inline void metrics_write_pair(struct jw *w, const struct pair_metrics *m)
{
	metrics_write_rows(w, pair_metric_rows, PAIR_METRIC_COUNT, m);
}

#endif
