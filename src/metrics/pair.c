#include "metrics/pair.h"

#include <math.h>
#include <stddef.h>

#include "metrics/priv.h"

#define LONGEST_RUN 6

const struct metric_row pair_metric_rows[PAIR_METRIC_COUNT] = {
#define X(column, kind, of, unit, formula)                                                                             \
	{#column, unit, formula, METRIC_##kind, of, offsetof(struct pair_metrics, column)},
	PAIR_METRIC_MAP(X)
#undef X
};

/* Of two sets with that many members, `shared` of which are in both. */
static double jaccard(size_t a, size_t b, size_t shared)
{
	return a == 0 || b == 0 ? 0 : (double)shared / (double)(a + b - shared);
}

/* 1 when both are equal, falling with their difference. */
static double likeness(double a, double b) { return 1 - fabs(a - b) / MAX(MAX(a, b), 1.0); }

static double structural_similarity(const struct spoken *a, const struct spoken *b)
{
	double words_a = (double)a->sentence_words / (double)MAX(a->sentences, (int64_t)1);
	double words_b = (double)b->sentence_words / (double)MAX(b->sentences, (int64_t)1);
	return 0.5 * likeness((double)a->sentences, (double)b->sentences) + 0.5 * likeness(words_a, words_b);
}

static double length_convergence(int64_t a, int64_t b)
{
	double shorter_by_longer = a == 0 && b == 0 ? 1 : (double)MIN(a, b) / (double)MAX(a, b);
	return 1 - fabs(shorter_by_longer - 1);
}

static void compare_words(const struct spoken *a, const struct spoken *b, struct pair_metrics *m)
{
	size_t shared = 0, occurrences = 0;
	for (size_t i = 0; i < a->distinct.n; i++) {
		uint32_t at = tally_find(&b->distinct, a->distinct.keys[i]);
		if (at == TALLY_NONE) continue;
		shared++;
		occurrences += MIN(a->distinct.counts[i], b->distinct.counts[at]);
	}
	m->vocabulary_overlap = m->lexical_entrainment = jaccard(a->distinct.n, b->distinct.n, shared);
	if (a->nwords > 0 && b->nwords > 0)
		m->phrase_alignment = (double)(2 * occurrences) / (double)(a->nwords + b->nwords);
}

/* Numbers the runs of n words: runs[i], the number of the run of n-1 words at i, becomes that of n words. */
static void number_runs(struct tally *t, const struct spoken *s, uint32_t *runs, size_t n)
{
	for (size_t i = 0; i + n <= s->nwords; i++)
		runs[i] = tally_add(t, (uint64_t)runs[i] << 32 | s->words[i + n - 1]);
}

static uint32_t *copy_words(const struct spoken *s)
{
	uint32_t *copy = xmalloc(xmul(s->nwords, sizeof *copy));
	memcpy(copy, s->words, s->nwords * sizeof *copy);
	return copy;
}

/* a's runs are numbered first, so those of b that are below their count are shared; a tally of these counts each once. */
static void compare_runs(const struct spoken *a, const struct spoken *b, struct pair_metrics *m)
{
	size_t longest = MIN(MIN(a->nwords, b->nwords), (size_t)LONGEST_RUN);
	double of_a = 0, of_b = 0, weights = 0;
	if (longest < 2) return;
	uint32_t *runs_a = copy_words(a), *runs_b = copy_words(b);
	for (size_t n = 2; n <= longest; n++) {
		struct tally all = {0}, both = {0};
		number_runs(&all, a, runs_a, n);
		size_t na = all.n;
		number_runs(&all, b, runs_b, n);
		for (size_t i = 0; i + n <= b->nwords; i++)
			if (runs_b[i] < na) tally_add(&both, runs_b[i]);
		double weight = (double)(n - 1), shared = (double)both.n;
		of_a += shared / (double)na * weight;
		of_b += shared / (double)(all.n - na + both.n) * weight;
		weights += weight;
		tally_release(&all);
		tally_release(&both);
	}
	m->mimicry_score_a_to_b = of_a / weights;
	m->mimicry_score_b_to_a = of_b / weights;
	free(runs_a);
	free(runs_b);
}

void metrics_pair(const struct metrics_history *h, size_t a, size_t b, struct pair_metrics *out)
{
	ASSERT(a < h->nagents && b < h->nagents && a != b);
	const struct spoken *sa = &h->last[a], *sb = &h->last[b];
	ASSERT(sa->known && sb->known);
	*out = (struct pair_metrics){.turn_taking_balance = 0.5};
	compare_words(sa, sb, out);
	compare_runs(sa, sb, out);
	out->length_convergence = length_convergence(sa->length, sb->length);
	out->structural_similarity = out->style_similarity = structural_similarity(sa, sb);
	out->overall_convergence = out->vocabulary_overlap * 0.25 + out->phrase_alignment * 0.25 +
				   out->structural_similarity * 0.25 +
				   (out->mimicry_score_a_to_b + out->mimicry_score_b_to_a) / 2 * 0.25;
	out->cumulative_convergence = jaccard(h->nwords[a], h->nwords[b], h->shared[a][b]);
}
