/* How alike the speakers of a conversation have become: the live score that an experiment stops on.
 *
 * The measure is a fixed one, so that figures of other people's runs can be compared with ours; docs/metrics.md has its
 * formula and its quirks. It looks at the last CONVERGENCE_WINDOW messages of two agents. Of more than two agents every
 * pair is scored as if those two talked alone, and the result is the mean of the pairs in which both have spoken.
 *
 * What was said is told once, message by message. A message is cleaned and counted then and kept while a window can
 * still hold it, so a score costs the same after ten messages and after ten thousand. Pure; texts are copied. Text that
 * is not UTF-8 is read as if each broken piece were U+FFFD. One struct convergence is for one thread at a time. */
#ifndef ROOST_METRICS_CONVERGENCE_H
#define ROOST_METRICS_CONVERGENCE_H

#include "base/base.h"

#define CONVERGENCE_WINDOW 10     /* messages of both agents of a pair together */
#define CONVERGENCE_AGENTS_MAX 16 /* speakers of one conversation */

/* What each part of the score counts. The sum is 1. */
struct convergence_weights {
	double content, structure, sentences, length, punctuation;
};

enum convergence_profile { PROFILE_BALANCED, PROFILE_STRUCTURAL, PROFILE_SEMANTIC, PROFILE_STRICT, PROFILE_COUNT };

struct convergence_profile_row {
	const char *name;
	struct convergence_weights weights;
};
extern const struct convergence_profile_row convergence_profiles[PROFILE_COUNT];

/* The profile of that name, PROFILE_COUNT when there is none ("custom" is none: its weights are given). */
enum convergence_profile convergence_profile_find(struct str name);
/* ERR_CONFIG when a weight is not from 0 to 1, or when the sum is more than 0.001 away from 1: the sentence tells it. */
MUST_USE enum err convergence_weights_check(const struct convergence_weights *w, struct errinfo *info);

/* Every number is from 0 (nothing alike) to 1. The parts of more than two agents are means, like the score. */
struct convergence_score {
	double score; /* raw at two decimals, halves to the even one: what is shown, logged and compared with a threshold */
	double raw;
	double content, structure, sentences, length, punctuation; /* the parts, before their weights */
	bool known;                                                /* false: no pair has spoken; all is 0 then */
};

struct convergence;

/* `nagents` is from 2 to CONVERGENCE_AGENTS_MAX. The weights are copied and must have passed their check. */
struct convergence *convergence_new(size_t nagents, const struct convergence_weights *weights);
void convergence_free(struct convergence *c); /* NULL is fine */
/* The agent with that index, from 0, said `text`. */
void convergence_add(struct convergence *c, size_t agent, struct str text);
/* The score now. Asking changes nothing. */
struct convergence_score convergence_score(const struct convergence *c);
/* The score at the end of a turn, which the trend is made of. */
struct convergence_score convergence_turn(struct convergence *c);

/* Where the last three turns went, by their raw scores. */
enum convergence_trend { TREND_UNKNOWN, TREND_INCREASING, TREND_DECREASING, TREND_STABLE, TREND_FLUCTUATING };
enum convergence_trend convergence_trend(const struct convergence *c);
/* "insufficient data", "increasing", … */
const char *convergence_trend_name(enum convergence_trend t);

/* From one turn's score to the next, for a screen. */
enum convergence_arrow { ARROW_STEEP_DOWN, ARROW_DOWN, ARROW_LEVEL, ARROW_UP, ARROW_STEEP_UP };
enum convergence_arrow convergence_arrow(double before, double now);
const char *convergence_arrow_text(enum convergence_arrow a); /* "↓↓" … "↑↑" */

#endif
