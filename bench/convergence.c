/* What it costs to measure a conversation of two agents as it grows.
 *
 *     bench_convergence [--turns 1000] [--bytes 1000]
 *
 * Prints {"turns","bytes","scoreUsFirst","scoreUs","metricsUsFirst","metricsUs","wordsKept"}: microseconds for one turn,
 * two messages of that many bytes, of the live score and of all measures of both messages and the pair, as the median
 * of the first and of the last tenth of the turns. The text is English words by a seed, a few of them new in each turn. */
#include "metrics/convergence.h"
#include "gear/args.h"
#include "gear/stats.h"
#include "metrics/pair.h"

#define RARE_WORDS 20000

struct text {
	struct buf b;
	uint64_t seed;
};

static uint32_t below(struct text *t, uint32_t n)
{
	t->seed = t->seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(t->seed >> 33) % n;
}

/* Sentences of common words and a few of many rare ones. */
static struct str next_message(struct text *t, size_t bytes)
{
	static const char *const common[] = {
		"the",  "of",    "and",   "that", "river",  "we",    "perhaps", "you",    "valley", "it",    "is",
		"not",  "far",   "from",  "here", "could",  "think", "water",   "stone",  "before", "again", "I",
		"know", "there", "carve", "town", "people", "yes",   "because", "slowly", "where",  "a",     "under"};
	static const char *const ends[] = {". ", ", ", "? ", "! ", "; ", ".\n\n", " - "};
	buf_clear(&t->b);
	while (t->b.n < bytes) {
		if (below(t, 12) == 0) buf_addf(&t->b, "rare%u", below(t, RARE_WORDS));
		else buf_add_str(&t->b, str_c(common[below(t, ARRAY_LEN(common))]));
		buf_add_str(&t->b, below(t, 9) == 0 ? str_c(ends[below(t, ARRAY_LEN(ends))]) : STR(" "));
	}
	return str_n(t->b.p, bytes);
}

static double us_at(struct samples *s) { return (double)samples_at(s, 0.5) / NS_PER_US; }

int main(int argc, char **argv)
{
	struct args args = {.argc = argc, .argv = argv};
	int64_t turns = args_int(&args, "turns", 1000);
	size_t bytes = (size_t)args_int(&args, "bytes", 1000);
	args_done(&args);
	if (turns < 10) die(64, "--turns is at least 10");

	struct text texts[2] = {{.b = BUF_INIT(BUF_NO_LIMIT), .seed = 1}, {.b = BUF_INIT(BUF_NO_LIMIT), .seed = 2}};
	struct samples score[2] = {{0}, {0}}, metrics[2] = {{0}, {0}}; /* of the first tenth and of the last */
	struct convergence *live = convergence_new(2, &convergence_profiles[PROFILE_BALANCED].weights);
	struct metrics_history *history = metrics_history_new(2);
	double sum = 0;
	int64_t words = 0;
	for (int64_t turn = 0; turn < turns; turn++) {
		struct text_metrics m[2];
		struct pair_metrics p;
		struct str said[2];
		for (size_t i = 0; i < 2; i++) said[i] = next_message(&texts[i], bytes);
		int64_t t0 = now_ns();
		for (size_t i = 0; i < 2; i++) convergence_add(live, i, said[i]);
		sum += convergence_turn(live).raw;
		int64_t t1 = now_ns();
		for (size_t i = 0; i < 2; i++) metrics_message(history, i, said[i], &m[i]);
		metrics_pair(history, 0, 1, &p);
		int64_t t2 = now_ns();
		words += m[0].new_words;
		bool first = turn < turns / 10, last = turn >= turns - turns / 10;
		if (!first && !last) continue;
		samples_add(&score[last], t1 - t0);
		samples_add(&metrics[last], t2 - t1);
	}
	if (sum <= 0) die(70, "the score was never above 0");
	printf("{\"turns\":%lld,\"bytes\":%zu,\"scoreUsFirst\":%.1f,\"scoreUs\":%.1f,\"metricsUsFirst\":%.1f,"
	       "\"metricsUs\":%.1f,\"wordsKept\":%lld}\n",
	       (long long)turns, bytes, us_at(&score[0]), us_at(&score[1]), us_at(&metrics[0]), us_at(&metrics[1]),
	       (long long)words);
	for (size_t i = 0; i < 2; i++) {
		samples_release(&score[i]);
		samples_release(&metrics[i]);
		buf_release(&texts[i].b);
	}
	convergence_free(live);
	metrics_history_free(history);
	return 0;
}
