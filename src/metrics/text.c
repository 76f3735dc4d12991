/* A message is read in passes: its code points are counted, then sentences, paragraphs, arrows and the like are looked for
 * in their order, then its words are numbered by the conversation's vocabulary, and everything about words is counted by
 * these numbers. What a word is (in a list, long, …) is found out once, when a conversation first has it. */
#include "metrics/text.h"

#include <math.h>
#include <stddef.h>

#include <zlib.h>

#include "base/utf8.h"
#include "metrics/chars.h"
#include "metrics/marks.h"
#include "metrics/priv.h"

#define LONG_WORD 7 /* code points; longer ones are formal */
#define ZLIB_LEVEL 6
#define COMPRESSION_MAX 2.0

const struct metric_row text_metric_rows[TEXT_METRIC_COUNT] = {
#define X(column, kind, of, unit, formula)                                                                             \
	{#column, unit, formula, METRIC_##kind, of, offsetof(struct text_metrics, column)},
	TEXT_METRIC_MAP(X)
#undef X
};

double metric_value(const struct metric_row *row, const void *values)
{
	const char *at = (const char *)values + row->at;
	double real;
	int64_t whole;
	if (row->kind == METRIC_REAL) {
		memcpy(&real, at, sizeof real);
		return real;
	}
	memcpy(&whole, at, sizeof whole);
	return (double)whole;
}

void metrics_write_rows(struct jw *w, const struct metric_row *rows, size_t nrows, const void *values)
{
	jw_obj(w);
	for (size_t i = 0; i < nrows; i++) {
		if (rows[i].of == OF_NOTHING) continue;
		double value = metric_value(&rows[i], values);
		jw_key(w, rows[i].column);
		if (rows[i].kind == METRIC_INT) jw_int(w, (int64_t)value);
		else jw_real(w, value);
	}
	jw_obj_end(w);
}

static double ratio(int64_t part, int64_t whole) { return (double)part / (double)MAX(whole, (int64_t)1); }

/* Shannon entropy, summed in the order in which the kinds first came. */
static double entropy(const struct tally *t, size_t total)
{
	double bits = 0;
	for (size_t i = 0; i < t->n; i++) {
		double p = (double)t->counts[i] / (double)total;
		bits -= p * log2(p);
	}
	return bits;
}

/* Everything for which only the number of each code point matters. */
static void count_chars(const struct chars *c, struct text_metrics *m)
{
	struct tally t = {0};
	int64_t signs = 0;
	for (size_t i = 0; i < c->n; i++) tally_add(&t, c->v[i]);
	for (size_t i = 0; i < t.n; i++) {
		uint32_t v = (uint32_t)t.keys[i];
		uint8_t kind = char_kind(v);
		unsigned marks = symbol_marks(v);
		if (!(kind & (CHAR_ALPHA | CHAR_SPACE))) signs += t.counts[i];
		if (!(kind & (CHAR_WORD | CHAR_SPACE))) m->punctuation_diversity++;
		if (marks & SYMBOL_MATH) m->special_char_count += t.counts[i];
		if (marks & SYMBOL_OTHER) m->special_char_count += t.counts[i];
		if (v == '?') m->question_count = t.counts[i];
		if (v == '!') m->exclamation_count = t.counts[i];
	}
	m->symbol_density = ratio(signs, (int64_t)c->n);
	m->character_entropy = entropy(&t, c->n);
	tally_release(&t);
}

static bool ends_sentence(uint32_t c) { return c == '.' || c == '!' || c == '?'; }

static void count_sentences(const struct chars *c, int64_t *out_sentences, int64_t *out_words)
{
	bool in_sentence = false, in_word = false;
	for (size_t i = 0; i < c->n; i++) {
		bool end = ends_sentence(c->v[i]), space = c->kind[i] & CHAR_SPACE;
		if (!end && !space) {
			*out_sentences += !in_sentence;
			*out_words += !in_word;
		}
		in_sentence = !end && (in_sentence || !space);
		in_word = !end && !space;
	}
}

static int64_t count_paragraphs(const struct chars *c)
{
	int64_t found = 0;
	bool blank = true;
	for (size_t i = 0; i < c->n; i++) {
		if (!(c->kind[i] & CHAR_SPACE)) {
			found += blank;
			blank = false;
		} else if (c->v[i] == '\n' && i + 1 < c->n && c->v[i + 1] == '\n') {
			blank = true;
			i++;
		}
	}
	return found;
}

/* A symbol, or two of ASCII; the first pair that fits is taken, so the ">" of "<->" is left over. */
static int64_t count_arrows(const struct chars *c)
{
	int64_t found = 0;
	for (size_t i = 0; i < c->n; i++) {
		uint32_t v = c->v[i], next = i + 1 < c->n ? c->v[i + 1] : 0;
		if (((v == '-' || v == '=') && next == '>') || (v == '<' && (next == '-' || next == '='))) {
			found++;
			i++;
		} else if (v >= 0x80 && symbol_marks(v) & SYMBOL_ARROW) {
			found++;
		}
	}
	return found;
}

static int64_t count_emoji_runs(const struct chars *c)
{
	int64_t found = 0;
	bool inside = false;
	for (size_t i = 0; i < c->n; i++) {
		bool emoji = is_emoji(c->v[i]);
		found += emoji && !inside;
		inside = emoji;
	}
	return found;
}

static size_t skip_digits(const struct chars *c, size_t i)
{
	while (i < c->n && c->kind[i] & CHAR_DIGIT) i++;
	return i;
}

/* Digits, or groups of them with one "." or "," between, as far as they end where a word ends: "1.2x" is the number 1. */
static int64_t count_numbers(const struct chars *c)
{
	int64_t found = 0;
	for (size_t i = 0; i < c->n;) {
		bool starts = c->kind[i] & CHAR_DIGIT && (i == 0 || !(c->kind[i - 1] & CHAR_WORD));
		if (!starts) {
			i++;
			continue;
		}
		size_t end = skip_digits(c, i), next = end;
		i = end;
		if (end < c->n && c->kind[end] & CHAR_WORD) continue;
		found++;
		while (next + 1 < c->n && (c->v[next] == '.' || c->v[next] == ',') && c->kind[next + 1] & CHAR_DIGIT) {
			next = skip_digits(c, next + 1);
			if (next < c->n && c->kind[next] & CHAR_WORD) break;
			i = next;
		}
	}
	return found;
}

static int64_t count_double_questions(const struct chars *c)
{
	int64_t found = 0;
	for (size_t i = 1; i < c->n; i++) found += c->v[i] == '?' && c->v[i - 1] == '?';
	return found;
}

/* The compressor's quarter of a megabyte is allocated once in a conversation. */
static z_stream *compressor(struct metrics_history *h)
{
	int rc = Z_OK;
	if (h->compressor) {
		rc = deflateReset(h->compressor);
	} else {
		h->compressor = xcalloc(1, sizeof *h->compressor);
		rc = deflateInit(h->compressor, ZLIB_LEVEL);
	}
	if (rc != Z_OK) die(err_exit(ERR_NOMEM), "%s", err_text(ERR_NOMEM));
	return h->compressor;
}

static double compressed(struct metrics_history *h, struct str text)
{
	z_stream *z = compressor(h);
	uLong room = deflateBound(z, (uLong)text.n);
	Bytef *packed = xmalloc(room);
	z->next_in = (z_const Bytef *)text.p;
	z->avail_in = (uInt)text.n;
	z->next_out = packed;
	z->avail_out = (uInt)room;
	ASSERT_CMP(deflate(z, Z_FINISH), ==, Z_STREAM_END);
	free(packed);
	return MIN((double)z->total_out / (double)text.n, COMPRESSION_MAX);
}

static double compression_ratio(struct metrics_history *h, struct str text, const struct chars *c)
{
	struct buf repaired = BUF_INIT(BUF_NO_LIMIT);
	if (text.n == 0) return 0;
	if (utf8_is_valid(text)) return compressed(h, text);
	chars_encode(c, 0, c->n, &repaired);
	double result = compressed(h, buf_str(&repaired));
	buf_release(&repaired);
	return result;
}

struct metrics_history *metrics_history_new(size_t nagents)
{
	struct metrics_history *h = xcalloc(1, sizeof *h);
	ASSERT(nagents >= 1 && nagents <= METRICS_AGENTS_MAX);
	h->nagents = nagents;
	return h;
}

static void spoken_release(struct spoken *s)
{
	free(s->words);
	tally_release(&s->distinct);
	*s = (struct spoken){0};
}

void metrics_history_free(struct metrics_history *h)
{
	if (!h) return;
	for (size_t i = 0; i < h->nagents; i++) {
		spoken_release(&h->last[i]);
		free(h->usage[i]);
	}
	if (h->compressor) deflateEnd(h->compressor);
	free(h->compressor);
	free(h->facts);
	vocab_release(&h->vocab);
	arena_clear(&h->arena);
	free(h);
}

static void grow(struct metrics_history *h)
{
	size_t cap = h->vocab.cap;
	h->facts = xrealloc(h->facts, xmul(cap, sizeof *h->facts));
	for (size_t i = 0; i < h->nagents; i++) {
		h->usage[i] = xrealloc(h->usage[i], xmul(cap, sizeof **h->usage));
		memset(h->usage[i] + h->cap, 0, xmul(cap - h->cap, sizeof **h->usage));
	}
	h->cap = cap;
}

/* The number of the word at from..to of the text in lower case. */
static uint32_t number_word(struct metrics_history *h, const struct chars *low, size_t from, size_t to, struct buf *b)
{
	size_t before = h->vocab.n;
	buf_clear(b);
	chars_encode(low, from, to, b);
	uint32_t number = vocab_add(&h->vocab, buf_str(b));
	if (h->vocab.n == before) return number;
	struct str text = arena_str(&h->arena, buf_str(b));
	h->vocab.words[number].text = text;
	if (h->vocab.cap > h->cap) grow(h);
	h->facts[number] = (struct word_facts){.marks = (uint8_t)word_marks(text),
					       .apostrophe = memchr(text.p, '\'', text.n) != NULL,
					       .is_long = to - from > LONG_WORD,
					       .is_upper = to - from > 1 && char_is_upper(low->v[from])};
	return number;
}

/* Letters, digits, "_" and "'" make a word; "'" at its ends don't belong to it. */
static void read_words(struct metrics_history *h, const struct chars *low, struct spoken *s)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	s->words = xmalloc(xmul(low->n / 2 + 1, sizeof *s->words));
	for (size_t i = 0; i < low->n;) {
		if (!(low->kind[i] & CHAR_WORD)) {
			i++;
			continue;
		}
		size_t from = i, to = i;
		for (; i < low->n && (low->kind[i] & CHAR_WORD || low->v[i] == '\''); i++)
			if (low->kind[i] & CHAR_WORD) to = i + 1;
		s->words[s->nwords++] = number_word(h, low, from, to, &b);
	}
	buf_release(&b);
	for (size_t i = 0; i < s->nwords; i++) tally_add(&s->distinct, s->words[i]);
}

/* What follows from which words there are and how often. */
static void count_words(const struct metrics_history *h, const struct chars *c, const struct spoken *s,
			struct text_metrics *m)
{
	int64_t apostrophes = 0, longs = 0;
	for (size_t i = 0; i < s->distinct.n; i++) {
		const struct word_facts *f = &h->facts[s->distinct.keys[i]];
		int64_t count = s->distinct.counts[i];
		if (f->marks & MARK_HEDGE) m->hedge_words += count;
		if (f->marks & MARK_AGREEMENT) m->agreement_markers += count;
		if (f->marks & MARK_DISAGREEMENT) m->disagreement_markers += count;
		if (f->marks & MARK_POLITENESS) m->politeness_markers += count;
		if (f->marks & MARK_I) m->first_person_singular += count;
		if (f->marks & MARK_WE) m->first_person_plural += count;
		if (f->marks & MARK_YOU) m->second_person += count;
		if (f->is_upper) m->proper_noun_count += count;
		if (f->apostrophe) apostrophes += count;
		if (f->is_long) longs += count;
	}
	if (s->nwords > 0 && h->facts[s->words[0]].is_upper) m->proper_noun_count--;
	int64_t n = (int64_t)s->nwords;
	double formal = 0;
	formal -= ratio(apostrophes, n) * 0.3;
	formal -= ratio(m->exclamation_count, n) * 0.2;
	formal -= ratio(count_double_questions(c), n) * 0.1;
	formal += ratio(longs, n) * 0.3;
	m->formality_score = n == 0 ? 0.5 : MAX(0.0, MIN(1.0, 0.5 + formal));
	m->word_count = n;
	m->vocabulary_size = m->unique_words = (int64_t)s->distinct.n;
	m->ttr = ratio(m->vocabulary_size, n);
	m->hedge_density = ratio(m->hedge_words, n);
	m->word_entropy = entropy(&s->distinct, s->nwords);
	m->hapax_ratio = ratio((int64_t)(s->distinct.n - tally_at_least(&s->distinct, 2)), (int64_t)s->distinct.n);
}

/* What follows from which words stand next to each other. */
static void count_runs(const struct spoken *s, struct text_metrics *m)
{
	size_t n = s->nwords;
	int64_t same = 0;
	struct tally two = {0}, three = {0};
	if (n < 2) return;
	uint32_t before = 0;
	for (size_t i = 1; i < n; i++) {
		uint32_t run = tally_add(&two, (uint64_t)s->words[i - 1] << 32 | s->words[i]);
		if (i > 1) tally_add(&three, (uint64_t)before << 32 | s->words[i]);
		same += s->words[i] == s->words[i - 1];
		before = run;
	}
	m->self_repetition = ratio(same, (int64_t)n - 1);
	m->repeated_bigrams = (int64_t)tally_at_least(&two, 2);
	m->repeated_trigrams = (int64_t)tally_at_least(&three, 2);
	if (n > 2) m->ldi = ratio((int64_t)(two.n + three.n), (int64_t)(n - 1 + n - 2));
	tally_release(&two);
	tally_release(&three);
}

static void usage_add(struct usage *u, double term, double lost)
{
	double sum = u->sum + term;
	u->lost += lost + (u->sum >= term ? u->sum - sum + term : term - sum + u->sum);
	u->sum = sum;
}

/* Compares with what the agent said before, then counts this message as said. */
static void count_history(struct metrics_history *h, size_t agent, const struct spoken *s, struct text_metrics *m)
{
	struct usage sum = {0}, *usage = h->usage[agent];
	double n = (double)s->distinct.n, share = n > 0 ? 1 / n : 0, lost = n > 0 ? fma(-share, n, 1) / n : 0;
	for (size_t i = 0; i < s->distinct.n; i++) {
		size_t word = s->distinct.keys[i];
		usage_add(&sum, usage[word].sum, usage[word].lost);
		if (usage[word].sum <= 0) {
			m->new_words++;
			h->nwords[agent]++;
			for (size_t other = 0; other < h->nagents; other++) {
				if (other == agent || h->usage[other][word].sum <= 0) continue;
				h->shared[agent][other]++;
				h->shared[other][agent]++;
			}
		}
		usage_add(&usage[word], share, lost);
	}
	if (h->nmessages[agent] > 0) m->turn_repetition = (sum.sum + sum.lost) / (double)h->nmessages[agent];
	h->nmessages[agent]++;
}

static void measure(struct metrics_history *h, size_t agent, const struct chars *c, const struct chars *low,
		    struct text_metrics *m)
{
	struct spoken *s = &h->last[agent];
	spoken_release(s);
	*s = (struct spoken){.length = (int64_t)c->n, .known = true};
	count_sentences(c, &s->sentences, &s->sentence_words);
	count_chars(c, m);
	m->message_length = m->character_count = s->length;
	m->sentence_count = s->sentences;
	m->paragraph_count = count_paragraphs(c);
	m->emoji_count = count_emoji_runs(c);
	m->arrow_count = count_arrows(c);
	m->number_count = count_numbers(c);
	m->special_char_count += m->emoji_count + m->arrow_count;
	read_words(h, low, s);
	count_words(h, c, s, m);
	count_runs(s, m);
	count_history(h, agent, s, m);
	m->avg_sentence_length = ratio(m->word_count, m->sentence_count);
}

void metrics_message(struct metrics_history *h, size_t agent, struct str text, struct text_metrics *out)
{
	struct chars c, low;
	ASSERT_CMP(agent, <, h->nagents);
	*out = (struct text_metrics){0};
	chars_decode(&c, text);
	chars_lower(&c, &low);
	measure(h, agent, &c, &low, out);
	out->compression_ratio = compression_ratio(h, text, &c);
	chars_release(&c);
	chars_release(&low);
}
