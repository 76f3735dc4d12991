/* Any bytes as a conversation: every share is one, broken text measures as its repaired form, the memory of a conversation
 * changes only what depends on it, and a score depends on the last messages alone. A byte 0 ends a message. */
#include <math.h>

#include "metrics/chars.h"
#include "metrics/convergence.h"
#include "metrics/pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MESSAGES 64

static void check_shares(const struct metric_row *rows, size_t n, const void *values)
{
	for (size_t i = 0; i < n; i++) {
		double v = metric_value(&rows[i], values);
		ASSERT(isfinite(v) && v >= 0);
		if (strcmp(rows[i].unit, "share") == 0) ASSERT(v <= 1 + 1e-12);
	}
}

static struct text_metrics measure_alone(struct str text)
{
	struct text_metrics m;
	struct metrics_history *h = metrics_history_new(1);
	metrics_message(h, 0, text, &m);
	metrics_history_free(h);
	return m;
}

static void check_equal(const struct text_metrics *a, const struct text_metrics *b, bool history_too)
{
	for (size_t i = 0; i < TEXT_METRIC_COUNT; i++) {
		const struct metric_row *r = &text_metric_rows[i];
		if (r->of == OF_TEXT || history_too) ASSERT(metric_value(r, a) == metric_value(r, b));
	}
}

static void check_text(struct str text, const struct text_metrics *m)
{
	struct chars c, low, lower;
	struct buf repaired = BUF_INIT(BUF_NO_LIMIT);
	chars_decode(&c, text);
	chars_encode(&c, 0, c.n, &repaired);
	struct text_metrics alone = measure_alone(text), again = measure_alone(buf_str(&repaired));
	check_equal(m, &alone, false);
	check_equal(&alone, &again, true);
	chars_lower(&c, &low);
	chars_lower(&low, &lower);
	ASSERT_CMP(low.n, ==, lower.n);
	ASSERT(memcmp(low.v, lower.v, low.n * sizeof *low.v) == 0);
	ASSERT_CMP(m->vocabulary_size, <=, m->word_count);
	ASSERT_CMP(m->new_words, <=, m->vocabulary_size);
	ASSERT_CMP(m->paragraph_count, <=, m->message_length);
	chars_release(&c);
	chars_release(&low);
	chars_release(&lower);
	buf_release(&repaired);
}

static void check_score(struct convergence *all, const struct str *said, size_t n)
{
	struct convergence *fresh = convergence_new(2, &convergence_profiles[PROFILE_BALANCED].weights);
	for (size_t i = n > CONVERGENCE_WINDOW ? n - CONVERGENCE_WINDOW : 0; i < n; i++)
		convergence_add(fresh, i % 2, said[i]);
	struct convergence_score a = convergence_turn(all), b = convergence_score(fresh);
	ASSERT(a.raw == b.raw && a.score == b.score && a.content == b.content);
	ASSERT(a.raw >= 0 && a.raw <= 1 + 1e-12 && fabs(a.raw - a.score) <= 0.005 + 1e-12);
	convergence_add(fresh, n % 2, said[n - 1]);
	ASSERT(convergence_score(fresh).score == 1);
	convergence_free(fresh);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str said[MESSAGES];
	struct text_metrics m;
	struct pair_metrics p;
	struct metrics_history *h = metrics_history_new(2);
	struct convergence *c = convergence_new(2, &convergence_profiles[PROFILE_BALANCED].weights);
	size_t nsaid = 0;
	for (size_t at = 0; at <= n && nsaid < MESSAGES; nsaid++) {
		const uint8_t *end = at < n ? memchr(data + at, 0, n - at) : NULL;
		size_t len = (end ? (size_t)(end - data) : n) - at;
		said[nsaid] = str_n(len > 0 ? (const char *)data + at : "", len);
		at += len + 1;
		metrics_message(h, nsaid % 2, said[nsaid], &m);
		check_shares(text_metric_rows, TEXT_METRIC_COUNT, &m);
		check_text(said[nsaid], &m);
		convergence_add(c, nsaid % 2, said[nsaid]);
		if (nsaid == 0) continue;
		metrics_pair(h, 0, 1, &p);
		check_shares(pair_metric_rows, PAIR_METRIC_COUNT, &p);
		check_score(c, said, nsaid + 1);
	}
	metrics_history_free(h);
	convergence_free(c);
	return 0;
}
