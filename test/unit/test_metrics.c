/* The measures of messages and of pairs: equal to the figures of others, consistent with each other, and at home in texts
 * of every kind and size. */
#include "metrics/pair.h"
#include "metrics_gear.h"

#include <math.h>

#include "base/utf8.h"
#include "metrics/chars.h"

#define CLOSE 1e-12

static struct text_metrics measure(struct str text)
{
	struct text_metrics m;
	struct metrics_history *h = metrics_history_new(1);
	metrics_message(h, 0, text, &m);
	metrics_history_free(h);
	return m;
}

static const struct metric_row *find_row(struct str column, const struct metric_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(column, str_c(rows[i].column))) return &rows[i];
	return NULL;
}

/* A column of the figures in what was measured: a_… and b_… are the agents', others the pair's. */
static const struct metric_row *find_value(struct str column, const struct text_metrics m[2],
					   const struct pair_metrics *p, const void **out_values)
{
	bool of_agent = str_starts(column, STR("a_")) || str_starts(column, STR("b_"));
	*out_values = of_agent ? (const void *)&m[column.p[0] - 'a'] : p;
	if (of_agent) return find_row(str_n(column.p + 2, column.n - 2), text_metric_rows, TEXT_METRIC_COUNT);
	return find_row(column, pair_metric_rows, PAIR_METRIC_COUNT);
}

static void check_turn(const struct json *columns, const struct json *turn, struct metrics_history *h)
{
	struct text_metrics m[2];
	struct pair_metrics p;
	metrics_message(h, 0, member(turn, "a"), &m[0]);
	metrics_message(h, 1, member(turn, "b"), &m[1]);
	metrics_pair(h, 0, 1, &p);
	struct json_iter c = json_iter(columns), v = json_iter(json_get(turn, "values"));
	while (json_next(&c) && json_next(&v)) {
		struct str column;
		const void *values;
		assert_true(json_str(c.val, &column));
		const struct metric_row *row = find_value(column, m, &p, &values);
		assert_non_null(row);
		assert_int_not_equal(row->of, OF_NOTHING);
		double have = metric_value(row, values), want = real(v.val);
		if (!(fabs(have - want) <= (row->kind == METRIC_INT ? 0 : CLOSE))) {
			print_error("%.*s is %.17g, not %.17g\n", STR_ARG(column), have, want);
			fail();
		}
	}
}

static void every_figure_is_the_one_of_published_runs(void **state)
{
	(void)state;
	size_t turns = 0;
	struct json_doc *doc = read_figures();
	const struct json *columns = json_get(json_root(doc), "columns");
	for (struct json_iter c = json_iter(json_get(json_root(doc), "conversations")); json_next(&c);) {
		struct metrics_history *h = metrics_history_new(2);
		for (struct json_iter t = json_iter(c.val); json_next(&t); turns++) {
			assert_int_equal(json_len(json_get(t.val, "values")), json_len(columns));
			check_turn(columns, t.val, h);
		}
		metrics_history_free(h);
	}
	assert_true(turns > 40);
	json_free(doc);
}

static bool has_column(const struct json *columns, const char *prefix, const char *column)
{
	char name[80];
	struct str s;
	(void)snprintf(name, sizeof name, "%s%s", prefix, column);
	for (struct json_iter c = json_iter(columns); json_next(&c);)
		if (json_str(c.val, &s) && str_eq(s, str_c(name))) return true;
	return false;
}

static void every_column_that_is_no_constant_is_compared(void **state)
{
	(void)state;
	struct json_doc *doc = read_figures();
	const struct json *columns = json_get(json_root(doc), "columns");
	size_t found = 0;
	for (size_t i = 0; i < TEXT_METRIC_COUNT; i++) {
		const struct metric_row *r = &text_metric_rows[i];
		assert_int_equal(has_column(columns, "a_", r->column), r->of != OF_NOTHING);
		assert_int_equal(has_column(columns, "b_", r->column), r->of != OF_NOTHING);
		found += r->of != OF_NOTHING ? 2 : 0;
	}
	for (size_t i = 0; i < PAIR_METRIC_COUNT; i++) {
		const struct metric_row *r = &pair_metric_rows[i];
		assert_int_equal(has_column(columns, "", r->column), r->of != OF_NOTHING);
		found += r->of != OF_NOTHING;
	}
	assert_int_equal(found, json_len(columns));
	json_free(doc);
}

static void constants_are_constant(void **state)
{
	(void)state;
	uint64_t seed = 3;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct metrics_history *h = metrics_history_new(2);
	for (size_t turn = 0; turn < 50; turn++) {
		struct text_metrics m;
		struct pair_metrics p;
		for (size_t agent = 0; agent < 2; agent++) {
			write_message(&seed, 60, &b);
			metrics_message(h, agent, buf_str(&b), &m);
		}
		metrics_pair(h, 0, 1, &p);
		for (size_t i = 0; i < TEXT_METRIC_COUNT; i++)
			if (text_metric_rows[i].of == OF_NOTHING)
				assert_true(metric_value(&text_metric_rows[i], &m) == 0);
		for (size_t i = 0; i < PAIR_METRIC_COUNT; i++)
			if (pair_metric_rows[i].of == OF_NOTHING)
				assert_true(metric_value(&pair_metric_rows[i], &p) ==
					    (i == PAIR_METRIC_turn_taking_balance ? 0.5 : 0));
	}
	metrics_history_free(h);
	buf_release(&b);
}

static void words_end_where_letters_digits_and_apostrophes_end(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t words, distinct, proper;
	} rows[] = {
		{"", 0, 0, 0},
		{"''quoted'' dogs' rock'n'roll", 3, 3, 0},
		{"don\u2019t", 2, 2, 0},                /* a typographic apostrophe divides */
		{"e\u0301te\u0301 x_1 _", 4, 4, 0},     /* a combining accent divides: e, te, x_1, _ */
		{"\u0130stanbul", 2, 2, 0},             /* its small letter is two code points, one of them an accent */
		{"\u039f\u03a3 \u03bf\u03c2", 2, 1, 0}, /* a final sigma */
		{"\u03a3\u03a3 \u03c3\u03c2", 2, 1, 0}, /* the first is not final, the second is */
		{"\u00bd \u2167 \u0663 \u4f60\u597d", 4, 4, 0}, /* numbers of every kind and ideographs are of words */
		{"\U0001d400\U0001d401 x \U0001d400\U0001d401 \U0001d400", 4, 3, 1}, /* capitals without small ones */
		{"Paris and London", 3, 3, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct text_metrics m = measure(str_c(rows[i].text));
		if (m.word_count != rows[i].words) print_error("%s: %d\n", rows[i].text, (int)m.word_count);
		assert_int_equal(m.word_count, rows[i].words);
		assert_int_equal(m.vocabulary_size, rows[i].distinct);
		assert_int_equal(m.proper_noun_count, rows[i].proper);
	}
}

static void characters_are_of_the_kinds_that_python_has(void **state)
{
	(void)state;
	enum { WORD = CHAR_WORD, ALPHA = CHAR_ALPHA | CHAR_WORD, DIGIT = CHAR_DIGIT | CHAR_WORD };
	static const uint32_t others[][2] = {
		{0x80, 0},
		{0x85, CHAR_SPACE},
		{0xa0, CHAR_SPACE},
		{0x1680, CHAR_SPACE},
		{0x2007, CHAR_SPACE},
		{0x2028, CHAR_SPACE},
		{0x2029, CHAR_SPACE},
		{0x202f, CHAR_SPACE},
		{0x3000, CHAR_SPACE},
		{0x200b, 0},
		{0xfeff, 0},
		{0xaa, ALPHA},
		{0xdf, ALPHA},
		{0x1c5, ALPHA},
		{0x2b0, ALPHA},
		{0x4f60, ALPHA},
		{0xac00, ALPHA},
		{0x1d400, ALPHA},
		{0x663, DIGIT},
		{0xff15, DIGIT},
		{0xbd, WORD},
		{0xb2, WORD},
		{0x2167, WORD},
		{0x301, 0},
		{0x903, 0},
		{0x1f600, 0},
		{0x203f, 0},
		{0x2019, 0},
		{0x10ffff, 0},
	};
	for (uint32_t c = 0; c < 0x80; c++) {
		bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), digit = c >= '0' && c <= '9';
		bool space = (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= ' ');
		assert_int_equal(char_kind(c), alpha      ? ALPHA
					       : digit    ? DIGIT
					       : c == '_' ? WORD
					       : space    ? CHAR_SPACE
							  : 0);
		assert_int_equal(char_is_upper(c), alpha && c < 'a');
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		if (char_kind(others[i][0]) != others[i][1]) print_error("U+%04X\n", others[i][0]);
		assert_int_equal(char_kind(others[i][0]), others[i][1]);
	}
}

/* The small form of the sigma behind these two. */
static uint32_t sigma_behind(uint32_t first, uint32_t second)
{
	uint32_t v[] = {first, second, 0x3a3};
	uint8_t kinds[ARRAY_LEN(v)] = {0};
	struct chars low, c = {v, kinds, ARRAY_LEN(v)};
	chars_lower(&c, &low);
	uint32_t small = low.v[low.n - 1];
	chars_release(&low);
	return small;
}

static void a_sigma_is_final_by_what_stands_around_it(void **state)
{
	(void)state;
	enum { SMALL = 0x3c3, FINAL = 0x3c2 };
	static const uint32_t ignored[] = {0x27,   0x2e,   0x3a,   0xb7,   0x387,  0x55f,  0x5f4,  0x2018,
					   0x2019, 0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e,
					   0xff1a, 0x301,  0x488,  0xad,   0x2b0,  0x5e,   0x1f3fb};
	static const uint32_t cased[] = {0x41,   0x61,    0x1c5,   0xaa,    0xba,    0x2160,  0x217f, 0x24b6,
					 0x24e9, 0x1f130, 0x1f149, 0x1f150, 0x1f169, 0x1f170, 0x1f189};
	static const uint32_t neither[] = {0x26,   0x28,   0x2d,    0x2f,    0x39,    0x3b,    0xb6,   0x55e,  0x5d0,
					   0x2017, 0x201a, 0x2023,  0x2025,  0x2026,  0x2028,  0xfe12, 0xfe14, 0xfe51,
					   0xfe54, 0xfe56, 0xff06,  0xff08,  0xff0d,  0xff0f,  0xff1b, 0x215f, 0x2180,
					   0x24b5, 0x24ea, 0x1f12f, 0x1f14a, 0x1f14f, 0x1f18a, 0x4f60};
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		assert_true(sigma_behind('a', ignored[i]) == FINAL && sigma_behind(' ', ignored[i]) == SMALL);
	for (size_t i = 0; i < ARRAY_LEN(cased); i++) assert_int_equal(sigma_behind(' ', cased[i]), FINAL);
	for (size_t i = 0; i < ARRAY_LEN(neither); i++) assert_int_equal(sigma_behind('a', neither[i]), SMALL);
}

static void numbers_arrows_and_emoji_are_counted_as_they_always_were(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t numbers, arrows, emoji, sentences, paragraphs;
	} rows[] = {
		{"3.14 1,000 1..2 3.", 5, 0, 0, 3, 1},
		{"1.2.3x x1 3x _4 5-6", 3, 0, 0, 3, 1}, /* the first is 1.2 */
		{"-> <- <-> => <= <=> \u2192\u21d2", 0, 8, 0, 1, 1},
		{"\U0001f600\U0001f600 \U0001f44d \u4f60\u597d \uac00 \u2500", 0, 0, 5, 1, 1},
		{" \n\n\na\n\n \n\nb\n\n", 0, 0, 0, 1, 2},
		{"?!. . !", 0, 0, 0, 0, 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct text_metrics m = measure(str_c(rows[i].text));
		assert_int_equal(m.number_count, rows[i].numbers);
		assert_int_equal(m.arrow_count, rows[i].arrows);
		assert_int_equal(m.emoji_count, rows[i].emoji);
		assert_int_equal(m.sentence_count, rows[i].sentences);
		assert_int_equal(m.paragraph_count, rows[i].paragraphs);
	}
}

static void broken_bytes_are_read_as_replacement_characters(void **state)
{
	(void)state;
	static const struct {
		struct str broken;
		const char *repaired;
	} rows[] = {
		{STR_INIT("a\xff"
			  "b"),
		 "a\ufffdb"},
		{STR_INIT("\xc3"), "\ufffd"},
		{STR_INIT("\xe2\x82"), "\ufffd"},
		{STR_INIT("\xe2\x82 x \xf0\x9f\x98"), "\ufffd x \ufffd"},
		{STR_INIT("\xe0\x80\x80"), "\ufffd\ufffd\ufffd"}, /* not the shortest form */
		{STR_INIT("\xf0\x80\x80\x80"), "\ufffd\ufffd\ufffd\ufffd"},
		{STR_INIT("\xed\xa0\x80"), "\ufffd\ufffd\ufffd"}, /* a surrogate */
		{STR_INIT("\xf4\x90\x80\x80\xc1\xbf"), "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct text_metrics have = measure(rows[i].broken), want = measure(str_c(rows[i].repaired));
		for (size_t k = 0; k < TEXT_METRIC_COUNT; k++) {
			const struct metric_row *r = &text_metric_rows[k];
			assert_true(metric_value(r, &have) == metric_value(r, &want));
		}
	}
}

static void every_code_point_is_read_as_it_was_written(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct chars all = {xmalloc(0x110000 * sizeof(uint32_t)), NULL, 0}, read;
	size_t bytes = 0;
	for (uint32_t c = 0; c < 0x110000; c++)
		if (c < 0xd800 || c >= 0xe000) {
			all.v[all.n++] = c;
			bytes += char_width(c);
		}
	chars_encode(&all, 0, all.n, &b);
	assert_int_equal(b.n, bytes);
	assert_true(utf8_is_valid(buf_str(&b)));
	chars_decode(&read, buf_str(&b));
	assert_int_equal(read.n, all.n);
	assert_memory_equal(read.v, all.v, all.n * sizeof *all.v);
	chars_release(&read);
	chars_release(&all);
	buf_release(&b);
}

static void formality_falls_and_rises_by_the_word(void **state)
{
	(void)state;
	assert_true(measure(STR("")).formality_score == 0.5);
	assert_true(fabs(measure(STR("??? a")).formality_score - 0.3) < CLOSE);
	assert_true(fabs(measure(STR("a! b")).formality_score - 0.4) < CLOSE);
	assert_true(fabs(measure(STR("it's a b")).formality_score - 0.4) < CLOSE);
	assert_true(fabs(measure(STR("abcdefgh abcdefg")).formality_score - 0.65) < CLOSE);
	assert_true(measure(STR("a!!!!")).formality_score == 0);
}

static struct str repeat(struct buf *b, const char *piece, size_t bytes)
{
	buf_clear(b);
	while (b->n + strlen(piece) <= bytes) buf_add_str(b, str_c(piece));
	return buf_str(b);
}

static void a_megabyte_overflows_nothing(void **state)
{
	(void)state;
	enum { MEGABYTE = 1 << 20 };
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct text_metrics m = measure(repeat(&b, "?! ", MEGABYTE));
	assert_int_equal(m.message_length, MEGABYTE - 1);
	assert_int_equal(m.question_count, MEGABYTE / 3);
	assert_int_equal(m.exclamation_count, MEGABYTE / 3);
	assert_int_equal(m.sentence_count, 0);
	m = measure(repeat(&b, "x 1.\n\n", MEGABYTE));
	assert_int_equal(m.word_count, MEGABYTE / 6 * 2);
	assert_int_equal(m.vocabulary_size, 2);
	assert_int_equal(m.paragraph_count, MEGABYTE / 6);
	assert_int_equal(m.number_count, MEGABYTE / 6);
	assert_int_equal(m.repeated_bigrams, 2);
	assert_true(fabs(m.word_entropy - 1) < CLOSE);
	m = measure(repeat(&b, "\U0001f600 ", MEGABYTE));
	assert_int_equal(m.emoji_count, MEGABYTE / 5);
	buf_clear(&b);
	for (size_t i = 0; b.n < MEGABYTE; i++) buf_addf(&b, "w%zu ", i);
	m = measure(buf_str(&b));
	assert_int_equal(m.vocabulary_size, m.word_count);
	assert_int_equal(m.new_words, m.word_count);
	assert_true(m.hapax_ratio == 1 && m.ttr == 1 && m.ldi == 1);
	buf_release(&b);
}

static void equal_messages_are_wholly_alike(void **state)
{
	(void)state;
	uint64_t seed = 1;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (int i = 0; i < 300; i++) {
		struct text_metrics m, again;
		struct pair_metrics p;
		struct metrics_history *h = metrics_history_new(2);
		write_message(&seed, 40, &b);
		metrics_message(h, 0, buf_str(&b), &m);
		metrics_message(h, 1, buf_str(&b), &again);
		metrics_pair(h, 0, 1, &p);
		double with_words = m.word_count > 0 ? 1 : 0, with_runs = m.word_count > 1 ? 1 : 0;
		assert_true(p.vocabulary_overlap == with_words && p.cumulative_convergence == with_words);
		assert_true(p.phrase_alignment == with_words);
		assert_true(p.length_convergence == 1 && p.structural_similarity == 1);
		assert_true(p.mimicry_score_a_to_b == with_runs && p.mimicry_score_b_to_a == with_runs);
		metrics_message(h, 0, buf_str(&b), &again);
		assert_int_equal(again.new_words, 0);
		assert_true(again.turn_repetition == with_words);
		metrics_history_free(h);
	}
	buf_release(&b);
}

static void a_pair_turned_round_is_the_same_pair(void **state)
{
	(void)state;
	uint64_t seed = 2;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct metrics_history *h = metrics_history_new(3);
	for (int i = 0; i < 300; i++) {
		struct text_metrics m;
		struct pair_metrics ab, ba;
		for (size_t agent = 0; agent < 3; agent++) {
			write_message(&seed, 30, &b);
			metrics_message(h, agent, buf_str(&b), &m);
		}
		metrics_pair(h, 0, 2, &ab);
		metrics_pair(h, 2, 0, &ba);
		assert_true(ab.mimicry_score_a_to_b == ba.mimicry_score_b_to_a);
		assert_true(ab.mimicry_score_b_to_a == ba.mimicry_score_a_to_b);
		ba.mimicry_score_a_to_b = ab.mimicry_score_a_to_b;
		ba.mimicry_score_b_to_a = ab.mimicry_score_b_to_a;
		for (size_t k = 0; k < PAIR_METRIC_COUNT; k++) {
			double value = metric_value(&pair_metric_rows[k], &ab);
			assert_true(value == metric_value(&pair_metric_rows[k], &ba));
			assert_true(value >= 0 && value <= 1);
		}
	}
	metrics_history_free(h);
	buf_release(&b);
}

/* The memory of a conversation written down plainly: sets of the words w0 … w19. */
enum { WORDS = 20, TURNS = 400 };

struct plain {
	bool said[TURNS][WORDS];
	size_t sizes[TURNS], n;
};

static void say(struct plain *p, uint64_t *seed, struct buf *b)
{
	buf_clear(b);
	buf_add(b, "", 0);
	for (uint32_t n = below(seed, 12); n > 0; n--) {
		uint32_t word = below(seed, 1 + below(seed, WORDS));
		buf_addf(b, "w%u ", word);
		p->sizes[p->n] += !p->said[p->n][word];
		p->said[p->n][word] = true;
	}
	p->n++;
}

/* Of the newest message: what share of the earlier ones it repeats, and how many words none of them had. */
static double repeated(const struct plain *p, int64_t *out_new)
{
	double sum = 0;
	const bool *now = p->said[p->n - 1];
	bool before[WORDS] = {false};
	*out_new = 0;
	for (size_t i = 0; i + 1 < p->n; i++) {
		size_t both = 0;
		for (size_t w = 0; w < WORDS; w++) {
			both += now[w] && p->said[i][w];
			before[w] = before[w] || p->said[i][w];
		}
		if (p->sizes[i] > 0) sum += (double)both / (double)p->sizes[i];
	}
	for (size_t w = 0; w < WORDS; w++) *out_new += now[w] && !before[w];
	return p->n > 1 ? sum / (double)(p->n - 1) : 0;
}

static double overlap_so_far(const struct plain *a, const struct plain *b)
{
	size_t na = 0, nb = 0, both = 0;
	for (size_t w = 0; w < WORDS; w++) {
		bool in_a = false, in_b = false;
		for (size_t i = 0; i < a->n; i++) in_a = in_a || a->said[i][w];
		for (size_t i = 0; i < b->n; i++) in_b = in_b || b->said[i][w];
		na += in_a;
		nb += in_b;
		both += in_a && in_b;
	}
	return na == 0 || nb == 0 ? 0 : (double)both / (double)(na + nb - both);
}

static void the_memory_of_a_conversation_agrees_with_reading_it_again(void **state)
{
	(void)state;
	uint64_t seed = 7;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct plain *plain = xcalloc(3, sizeof *plain);
	struct metrics_history *h = metrics_history_new(3);
	for (size_t turn = 0; turn < TURNS; turn++) {
		for (size_t agent = 0; agent < 3; agent++) {
			struct text_metrics m;
			int64_t new_words;
			say(&plain[agent], &seed, &b);
			metrics_message(h, agent, buf_str(&b), &m);
			assert_true(fabs(m.turn_repetition - repeated(&plain[agent], &new_words)) <= CLOSE);
			assert_int_equal(m.new_words, new_words);
		}
		for (size_t agent = 0; agent < 3; agent++) {
			struct pair_metrics p;
			size_t other = (agent + 1) % 3;
			metrics_pair(h, agent, other, &p);
			assert_true(p.cumulative_convergence == overlap_so_far(&plain[agent], &plain[other]));
		}
	}
	metrics_history_free(h);
	free(plain);
	buf_release(&b);
}

static void what_is_written_reads_back_by_its_column(void **state)
{
	(void)state;
	struct json_doc *doc;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct text_metrics m = measure(STR("Maybe you said so. Maybe not! \u2192 3.14"));
	metrics_write(&JW(&b), &m);
	assert_int_equal(json_parse(buf_str(&b), &doc, NULL), OK);
	size_t written = 0;
	for (size_t i = 0; i < TEXT_METRIC_COUNT; i++) {
		const struct metric_row *r = &text_metric_rows[i];
		const struct json *v = json_get(json_root(doc), r->column);
		if (r->of == OF_NOTHING) {
			assert_null(v);
			continue;
		}
		written++;
		assert_true(real(v) == metric_value(r, &m));
		if (r->kind == METRIC_INT) assert_int_equal(json_type(v), JSON_INT);
	}
	assert_int_equal(json_len(json_root(doc)), written);
	assert_null(strstr(b.p, "aybe")); /* a redacted log has these objects instead of texts */
	json_free(doc);
	buf_release(&b);
}

static void check_rows(const struct metric_row *rows, size_t n, struct str text)
{
	static const char *const kinds[] = {[METRIC_INT] = "whole", [METRIC_REAL] = "real"};
	static const char *const ofs[] = {[OF_TEXT] = "text", [OF_HISTORY] = "history", [OF_NOTHING] = "constant"};
	for (size_t i = 0; i < n; i++) {
		struct buf row = BUF_INIT(BUF_NO_LIMIT);
		buf_addf(&row, "\n| `%s` | %s | %s | %s | %s |\n", rows[i].column, kinds[rows[i].kind], ofs[rows[i].of],
			 rows[i].unit, rows[i].formula);
		if (strstr(text.p, row.p) == NULL) print_error("no row: %s\n", row.p);
		assert_non_null(strstr(text.p, row.p));
		buf_release(&row);
	}
}

/* docs/metrics.md has a row of each, and no others. */
static void the_document_has_every_measure(void **state)
{
	(void)state;
	struct buf text = read_whole("docs/metrics.md");
	size_t rows = 0;
	check_rows(text_metric_rows, TEXT_METRIC_COUNT, buf_str(&text));
	check_rows(pair_metric_rows, PAIR_METRIC_COUNT, buf_str(&text));
	for (const char *at = strstr(buf_str(&text).p, "\n| `"); at != NULL; at = strstr(at + 1, "\n| `")) rows++;
	assert_int_equal(rows, TEXT_METRIC_COUNT + PAIR_METRIC_COUNT);
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_figure_is_the_one_of_published_runs),
		cmocka_unit_test(every_column_that_is_no_constant_is_compared),
		cmocka_unit_test(constants_are_constant),
		cmocka_unit_test(words_end_where_letters_digits_and_apostrophes_end),
		cmocka_unit_test(characters_are_of_the_kinds_that_python_has),
		cmocka_unit_test(a_sigma_is_final_by_what_stands_around_it),
		cmocka_unit_test(numbers_arrows_and_emoji_are_counted_as_they_always_were),
		cmocka_unit_test(broken_bytes_are_read_as_replacement_characters),
		cmocka_unit_test(every_code_point_is_read_as_it_was_written),
		cmocka_unit_test(formality_falls_and_rises_by_the_word),
		cmocka_unit_test(a_megabyte_overflows_nothing),
		cmocka_unit_test(equal_messages_are_wholly_alike),
		cmocka_unit_test(a_pair_turned_round_is_the_same_pair),
		cmocka_unit_test(the_memory_of_a_conversation_agrees_with_reading_it_again),
		cmocka_unit_test(what_is_written_reads_back_by_its_column),
		cmocka_unit_test(the_document_has_every_measure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
