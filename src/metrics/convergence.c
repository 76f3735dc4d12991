/* A message as it is compared: without the labels that models copy ("**Agent A**:"), with at most one blank line in a
 * row and without blanks at its ends. Of each agent the counts of the last CONVERGENCE_WINDOW messages are kept, in a
 * ring, and the newest text, in lower case.
 *
 * The window of a pair are the newest CONVERGENCE_WINDOW messages of the two together; of these, as many from the one as
 * from the other are compared, so whoever spoke more often is cut to the newest ones.
 *
 * The order of the additions is that of the original: a score that lies half-way between two shown ones depends on it. */
#include "metrics/convergence.h"

#include <math.h>

#include "metrics/chars.h"
#include "metrics/vocab.h"

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF /* a fused multiplication rounds otherwise; gcc does not fuse in ISO C */
#endif

#define LABEL "**Agent " /* with A or B, "**" and perhaps ":" and blanks behind it */
#define DASH 0x2014
#define BULLET 0x2022
#define SUM_TOLERANCE 0.001
#define SHORT_TEXT 50    /* code points; below it letters are compared instead of words */
#define NEARLY_EQUAL 0.9 /* content above which nothing else counts */
#define TREND_TURNS 3
#define STABLE_BELOW 0.1
#define STEEP 0.05

const struct convergence_profile_row convergence_profiles[PROFILE_COUNT] = {
	[PROFILE_BALANCED] = {"balanced", {0.40, 0.15, 0.20, 0.15, 0.10}},
	[PROFILE_STRUCTURAL] = {"structural", {0.25, 0.35, 0.20, 0.10, 0.10}},
	[PROFILE_SEMANTIC] = {"semantic", {0.60, 0.10, 0.15, 0.10, 0.05}},
	[PROFILE_STRICT] = {"strict", {0.50, 0.25, 0.15, 0.05, 0.05}},
};

enum feature {
	F_LENGTH,
	F_SENTENCES,
	F_PARAGRAPHS, /* the four of structure */
	F_LISTS,
	F_QUESTIONS,
	F_CODE,
	F_EXCLAMATIONS, /* the five of punctuation */
	F_COMMAS,
	F_SEMICOLONS,
	F_COLONS,
	F_DASHES,
	F_COUNT
};

struct counts {
	int64_t of[F_COUNT];
	uint64_t at; /* the message's number in the conversation */
};

struct agent {
	struct counts ring[CONVERGENCE_WINDOW]; /* message number i of the agent at i % CONVERGENCE_WINDOW */
	size_t n;                               /* messages so far */
	struct buf text;                        /* the newest, in lower case */
	size_t length;                          /* its code points */
	struct vocab words;                     /* its blank-separated words, views of it */
	uint32_t letters[SHORT_TEXT];           /* its distinct code points, sorted, when it is short */
	size_t nletters;
};

struct convergence {
	size_t nagents;
	struct convergence_weights weights;
	uint64_t nmessages;
	double turns[TREND_TURNS]; /* the last raw scores, oldest first */
	size_t nturns;             /* of them, at most TREND_TURNS */
	struct agent agents[];
};

enum convergence_profile convergence_profile_find(struct str name)
{
	enum convergence_profile p = PROFILE_BALANCED;
	while (p < PROFILE_COUNT && !str_eq(name, str_c(convergence_profiles[p].name))) p++;
	return p;
}

enum err convergence_weights_check(const struct convergence_weights *w, struct errinfo *info)
{
	const struct {
		const char *name;
		double value;
	} all[] = {{"content", w->content},
		   {"structure", w->structure},
		   {"sentences", w->sentences},
		   {"length", w->length},
		   {"punctuation", w->punctuation}};
	double sum = 0;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (!(all[i].value >= 0 && all[i].value <= 1))
			return err_set(info, ERR_CONFIG, "the weight %s must be from 0 to 1, not %g", all[i].name,
				       all[i].value);
		sum += all[i].value;
	}
	if (fabs(sum - 1) > SUM_TOLERANCE)
		return err_set(info, ERR_CONFIG, "the weights must add up to 1, not to %.3f", sum);
	return OK;
}

struct convergence *convergence_new(size_t nagents, const struct convergence_weights *weights)
{
	ASSERT(nagents >= 2 && nagents <= CONVERGENCE_AGENTS_MAX);
	ASSERT_CMP(convergence_weights_check(weights, NULL), ==, OK);
	struct convergence *c = xcalloc(1, sizeof *c + nagents * sizeof *c->agents);
	c->nagents = nagents;
	c->weights = *weights;
	for (size_t i = 0; i < nagents; i++) buf_init(&c->agents[i].text, BUF_NO_LIMIT);
	return c;
}

void convergence_free(struct convergence *c)
{
	if (!c) return;
	for (size_t i = 0; i < c->nagents; i++) {
		buf_release(&c->agents[i].text);
		vocab_release(&c->agents[i].words);
	}
	free(c);
}

/* The n code points at `from` move up to *to. */
static inline void move_up(struct chars *c, size_t *to, size_t from, size_t n)
{
	if (*to != from) {
		memmove(c->v + *to, c->v + from, n * sizeof *c->v);
		memmove(c->kind + *to, c->kind + from, n);
	}
	*to += n;
}

/* The length of a label at `i`, 0 when there is none. */
static size_t label_at(const struct chars *c, size_t i, bool with_colon)
{
	static const char label[] = LABEL "X**:";
	size_t n = sizeof label - 1 - !with_colon;
	if (c->n - i < n) return 0;
	for (size_t k = 0; k < n; k++) {
		uint32_t v = c->v[i + k];
		if (label[k] == 'X' ? v != 'A' && v != 'B' : v != (unsigned char)label[k]) return 0;
	}
	if (with_colon)
		while (i + n < c->n && c->kind[i + n] & CHAR_SPACE) n++;
	return n;
}

/* One pass from the left: what only the removal brought together stays. */
static void drop_labels(struct chars *c, bool with_colon)
{
	size_t to = 0;
	for (size_t i = 0; i < c->n;) {
		size_t n = c->v[i] == '*' ? label_at(c, i, with_colon) : 0;
		i += n;
		if (n == 0) move_up(c, &to, i++, 1);
	}
	c->n = to;
}

/* Blanks with three or more line feeds among them: from the first to the last of these two are left. */
static void drop_empty_lines(struct chars *c)
{
	size_t to = 0, done = 0;
	for (size_t i = 0; i < c->n; i++) {
		size_t first = i, last = i, feeds = 0;
		if (c->v[i] != '\n') continue;
		for (; i < c->n && c->kind[i] & CHAR_SPACE; i++) {
			if (c->v[i] != '\n') continue;
			last = i;
			feeds++;
		}
		if (feeds < 3) continue;
		move_up(c, &to, done, first + 1 - done);
		done = last;
	}
	move_up(c, &to, done, c->n - done);
	c->n = to;
}

static void clean(struct chars *c, struct str text)
{
	size_t from = 0, to = 0;
	if (text.n > 0 && memmem(text.p, text.n, LABEL, sizeof LABEL - 1)) {
		drop_labels(c, true);
		drop_labels(c, false);
	}
	drop_empty_lines(c);
	size_t end = c->n;
	chars_strip(c, &from, &end);
	move_up(c, &to, from, end - from);
	c->n = to;
}

static bool ends_sentence(uint32_t v) { return v == '.' || v == '!' || v == '?'; }

/* Is there nothing but blanks between the beginning of a line and `i`? */
static bool begins_line(const struct chars *c, size_t i)
{
	for (; i > 0 && c->kind[i - 1] & CHAR_SPACE; i--)
		if (c->v[i - 1] == '\n') return true;
	return i == 0;
}

/* When a row of the same code point ends at `i`: how many groups of n there are in it. */
static int64_t groups_that_end(const struct chars *c, size_t i, size_t n)
{
	size_t row = 1;
	if (i + 1 < c->n && c->v[i + 1] == c->v[i]) return 0;
	while (row <= i && c->v[i - row] == c->v[i]) row++;
	return (int64_t)(row / n);
}

/* The few characters that count for something; a list item begins with a bullet, or is digits with a full stop,
 * wherever they stand. */
static void count_char(const struct chars *c, size_t i, int64_t of[F_COUNT])
{
	uint32_t v = c->v[i];
	switch (v) {
	case '\n': of[F_PARAGRAPHS] += groups_that_end(c, i, 2); return;
	case '`': of[F_CODE] += groups_that_end(c, i, 3); return;
	case '?': of[F_QUESTIONS]++; break;
	case '!': of[F_EXCLAMATIONS]++; break;
	case '.': of[F_LISTS] += i > 0 && c->kind[i - 1] & CHAR_DIGIT; break;
	case ',': of[F_COMMAS]++; return;
	case ';': of[F_SEMICOLONS]++; return;
	case ':': of[F_COLONS]++; return;
	case DASH: of[F_DASHES]++; return;
	case '-':
		of[F_DASHES]++;
		of[F_LISTS] += begins_line(c, i);
		return;
	case '*':
	case BULLET: of[F_LISTS] += begins_line(c, i); return;
	default: return;
	}
	of[F_SENTENCES] += i + 1 < c->n && c->kind[i + 1] & CHAR_SPACE;
}

static void count_message(const struct chars *c, int64_t of[F_COUNT])
{
	of[F_LENGTH] = (int64_t)c->n;
	of[F_PARAGRAPHS] = 1;
	for (size_t i = 0; i < c->n; i++)
		if (!(c->kind[i] & CHAR_WORD) && c->v[i] != ' ') count_char(c, i, of);
	of[F_SENTENCES] += c->n > 0 && !ends_sentence(c->v[c->n - 1]);
}

static int compare_letters(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void keep_letters(struct agent *a, const struct chars *low)
{
	size_t n = 0;
	a->nletters = 0;
	if (low->n == 0 || low->n >= SHORT_TEXT) return;
	memcpy(a->letters, low->v, low->n * sizeof *low->v);
	qsort(a->letters, low->n, sizeof *a->letters, compare_letters);
	for (size_t i = 0; i < low->n; i++)
		if (i == 0 || a->letters[i] != a->letters[i - 1]) a->letters[n++] = a->letters[i];
	a->nletters = n;
}

static void keep_text(struct agent *a, const struct chars *low)
{
	vocab_release(&a->words);
	buf_clear(&a->text);
	chars_encode(low, 0, low->n, &a->text);
	a->length = low->n;
	size_t at = 0, from = 0;
	for (size_t i = 0; i <= low->n; i++) {
		bool in_word = i < low->n && !(low->kind[i] & CHAR_SPACE);
		if (!in_word && at > from) vocab_add(&a->words, str_n(a->text.p + from, at - from));
		if (i < low->n) at += char_width(low->v[i]);
		if (!in_word) from = at;
	}
	keep_letters(a, low);
}

void convergence_add(struct convergence *c, size_t agent, struct str text)
{
	struct chars chars, low;
	ASSERT_CMP(agent, <, c->nagents);
	struct agent *a = &c->agents[agent];
	struct counts *counts = &a->ring[a->n++ % CONVERGENCE_WINDOW];
	*counts = (struct counts){.at = c->nmessages++};
	chars_decode(&chars, text);
	clean(&chars, text);
	count_message(&chars, counts->of);
	chars_lower(&chars, &low);
	keep_text(a, &low);
	chars_release(&chars);
	chars_release(&low);
}

/* The agent's message that is `back` before its newest. */
static const struct counts *message(const struct agent *a, size_t back)
{
	return &a->ring[(a->n - 1 - back) % CONVERGENCE_WINDOW];
}

/* How many of either's messages are compared. */
static size_t window(const struct agent *a, const struct agent *b)
{
	size_t na = 0, nb = 0;
	while (na + nb < CONVERGENCE_WINDOW && (na < a->n || nb < b->n)) {
		if (nb == b->n || (na < a->n && message(a, na)->at > message(b, nb)->at)) na++;
		else nb++;
	}
	return MIN(na, nb);
}

static void sum_up(const struct agent *a, size_t n, int64_t sums[F_COUNT])
{
	for (size_t back = 0; back < n; back++)
		for (size_t f = 0; f < F_COUNT; f++) sums[f] += message(a, back)->of[f];
}

static double content(const struct agent *a, const struct agent *b)
{
	const struct agent *small = a->text.n < b->text.n ? a : b, *large = small == a ? b : a;
	size_t shared = 0, all;
	if (str_eq(buf_str(&a->text), buf_str(&b->text))) return 1;
	if (small->text.n == 0 || memmem(large->text.p, large->text.n, small->text.p, small->text.n))
		return (double)small->length / (double)large->length;
	if (a->length < SHORT_TEXT && b->length < SHORT_TEXT) {
		for (size_t i = 0, k = 0; i < a->nletters && k < b->nletters;) {
			int order = compare_letters(&a->letters[i], &b->letters[k]);
			shared += order == 0;
			i += order <= 0;
			k += order >= 0;
		}
		all = a->nletters + b->nletters - shared;
	} else {
		shared = vocab_shared(&a->words, &b->words);
		all = a->words.n + b->words.n - shared;
	}
	return (double)shared / (double)all; /* neither text is empty or blank here */
}

/* The smaller by the greater; `both_none` when both are 0. */
static double likeness(double a, double b, double both_none)
{
	if (a <= 0 && b <= 0) return both_none;
	return MIN(a, b) / MAX(a, b);
}

/* The mean over these features, each of which is divided by `per` first. */
static double mean_likeness(const int64_t a[F_COUNT], double per_a, const int64_t b[F_COUNT], double per_b,
			    enum feature from, enum feature to)
{
	double sum = 0;
	for (enum feature f = from; f <= to; f++) {
		double of_a = per_a > 0 ? (double)a[f] / per_a : 0, of_b = per_b > 0 ? (double)b[f] / per_b : 0;
		sum += likeness(of_a, of_b, 1);
	}
	return sum / (double)(to - from + 1);
}

static struct convergence_score score_pair(const struct convergence *c, const struct agent *a, const struct agent *b)
{
	const struct convergence_weights *w = &c->weights;
	size_t n = window(a, b);
	struct convergence_score s = {.known = n > 0};
	int64_t of_a[F_COUNT] = {0}, of_b[F_COUNT] = {0};
	if (n == 0) return s;
	sum_up(a, n, of_a);
	sum_up(b, n, of_b);
	double per = (double)n, length_a = (double)of_a[F_LENGTH], length_b = (double)of_b[F_LENGTH];
	s.content = content(a, b);
	s.length = likeness(length_a / per, length_b / per, 0);
	s.sentences = likeness((double)of_a[F_SENTENCES] / per, (double)of_b[F_SENTENCES] / per, 0);
	s.structure = mean_likeness(of_a, per, of_b, per, F_PARAGRAPHS, F_CODE);
	s.punctuation = mean_likeness(of_a, length_a, of_b, length_b, F_EXCLAMATIONS, F_DASHES);
	if (s.content > NEARLY_EQUAL) s.raw = s.content * 0.7 + s.content * 0.3;
	else
		s.raw = s.content * w->content + s.length * w->length + s.sentences * w->sentences +
			s.structure * w->structure + s.punctuation * w->punctuation;
	return s;
}

/* As "%.2f" rounds: the exact value of the double, halves to the even digit. */
static double round_shown(double v)
{
	char text[32];
	(void)snprintf(text, sizeof text, "%.2f", v);
	return strtod(text, NULL);
}

struct convergence_score convergence_score(const struct convergence *c)
{
	struct convergence_score sum = {0};
	double pairs = 0;
	for (size_t i = 0; i < c->nagents; i++) {
		for (size_t k = i + 1; k < c->nagents; k++) {
			struct convergence_score s = score_pair(c, &c->agents[i], &c->agents[k]);
			if (!s.known) continue;
			sum.raw += s.raw;
			sum.content += s.content;
			sum.structure += s.structure;
			sum.sentences += s.sentences;
			sum.length += s.length;
			sum.punctuation += s.punctuation;
			pairs++;
		}
	}
	if (pairs <= 0) return sum;
	return (struct convergence_score){.score = round_shown(sum.raw / pairs),
					  .raw = sum.raw / pairs,
					  .content = sum.content / pairs,
					  .structure = sum.structure / pairs,
					  .sentences = sum.sentences / pairs,
					  .length = sum.length / pairs,
					  .punctuation = sum.punctuation / pairs,
					  .known = true};
}

struct convergence_score convergence_turn(struct convergence *c)
{
	struct convergence_score s = convergence_score(c);
	if (!s.known) return s;
	if (c->nturns == TREND_TURNS) memmove(c->turns, c->turns + 1, sizeof c->turns - sizeof *c->turns);
	else c->nturns++;
	c->turns[c->nturns - 1] = s.raw;
	return s;
}

enum convergence_trend convergence_trend(const struct convergence *c)
{
	const double *t = c->turns;
	if (c->nturns < TREND_TURNS) return TREND_UNKNOWN;
	if (t[2] > t[1] && t[1] > t[0]) return TREND_INCREASING;
	if (t[2] < t[1] && t[1] < t[0]) return TREND_DECREASING;
	return fabs(t[1] - t[0]) < STABLE_BELOW && fabs(t[2] - t[1]) < STABLE_BELOW ? TREND_STABLE : TREND_FLUCTUATING;
}

const char *convergence_trend_name(enum convergence_trend t)
{
	static const char *const names[] = {"insufficient data", "increasing", "decreasing", "stable", "fluctuating"};
	return names[t];
}

enum convergence_arrow convergence_arrow(double before, double now)
{
	double delta = now - before;
	if (delta > STEEP) return ARROW_STEEP_UP;
	if (delta > 0) return ARROW_UP;
	if (delta < -STEEP) return ARROW_STEEP_DOWN;
	return delta < 0 ? ARROW_DOWN : ARROW_LEVEL;
}

const char *convergence_arrow_text(enum convergence_arrow a)
{
	static const char *const texts[] = {"↓↓", "↓", "→", "↑", "↑↑"};
	return texts[a];
}
