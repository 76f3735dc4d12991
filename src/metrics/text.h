/* What is measured of each message of a conversation, and the conversation's memory that some of it needs.
 *
 * The table below is the one place that names the columns: the writer, the documentation (docs/metrics.md) and the tests
 * go by it. Names and formulas are those of the measures that published runs of such experiments hold, with all their
 * quirks; what is called a constant has that value there for every message and is kept so that the columns agree.
 *
 * Words are the longest runs of letters, digits, "_" and "'" of the text in lower case, without "'" at their ends.
 * Sentences are what stands between runs of ".", "!" and "?", blanks aside. Lengths are in code points. Text that is not
 * UTF-8 is read, and compressed, as if each broken piece were U+FFFD.
 *
 * A struct metrics_history belongs to one conversation and one thread at a time. It keeps each distinct word once and
 * each agent's last message; a message costs time in proportion to its own length, however long the conversation is, and
 * while it is measured about 25 times its length in memory. Pure; texts are copied. */
#ifndef ROOST_METRICS_TEXT_H
#define ROOST_METRICS_TEXT_H

#include "base/json.h"

#define METRICS_AGENTS_MAX 16

/* INT: a whole number, REAL: a double. OF_TEXT: of the text alone, OF_HISTORY: of the agent's earlier messages too,
 * OF_NOTHING: a constant. */
/* clang-format off */
/*        column                   kind  of what     unit             formula */
#define TEXT_METRIC_MAP(X)                                                                                             \
	X(message_length,          INT,  OF_TEXT,    "code points",   "length of the text")                            \
	X(character_count,         INT,  OF_TEXT,    "code points",   "the same as message_length")                    \
	X(word_count,              INT,  OF_TEXT,    "words",         "W, the number of words")                        \
	X(vocabulary_size,         INT,  OF_TEXT,    "words",         "V, the number of distinct words")               \
	X(sentence_count,          INT,  OF_TEXT,    "sentences",     "S, the number of sentences; \"3.14\" is two")   \
	X(paragraph_count,         INT,  OF_TEXT,    "paragraphs",    "parts between pairs of line feeds that are not blank") \
	X(avg_sentence_length,     REAL, OF_TEXT,    "words",         "W / max(S, 1)")                                 \
	X(unique_words,            INT,  OF_TEXT,    "words",         "the same as vocabulary_size")                   \
	X(ttr,                     REAL, OF_TEXT,    "share",         "V / max(W, 1)")                                 \
	X(hapax_ratio,             REAL, OF_TEXT,    "share",         "distinct words that occur once / V; 0 without words") \
	X(ldi,                     REAL, OF_TEXT,    "share",         "(distinct runs of two words + of three) / (all runs of two + of three); 0 below three words") \
	X(self_repetition,         REAL, OF_TEXT,    "share",         "words equal to the word before / (W - 1); 0 below two words") \
	X(word_entropy,            REAL, OF_TEXT,    "bits",          "Shannon entropy of the words")                  \
	X(character_entropy,       REAL, OF_TEXT,    "bits",          "Shannon entropy of the code points")            \
	X(compression_ratio,       REAL, OF_TEXT,    "ratio",         "bytes after zlib level 6 / bytes, at most 2; 0 for an empty text") \
	X(symbol_density,          REAL, OF_TEXT,    "share",         "code points that are neither letter nor blank / length") \
	X(emoji_count,             INT,  OF_TEXT,    "runs",          "runs of U+24C2–1F251, 1F300–1F64F, 1F680–1F6FF, 1F900–1F9FF: CJK and Hangul count too") \
	X(arrow_count,             INT,  OF_TEXT,    "arrows",        "->, <-, =>, <= and 17 arrow symbols, from the left: \"<->\" is one, by its \"<-\"") \
	X(math_symbol_count,       INT,  OF_NOTHING, "",              "0")                                             \
	X(punctuation_diversity,   INT,  OF_TEXT,    "code points",   "distinct code points that are no letter, digit, _ or blank") \
	X(special_char_count,      INT,  OF_TEXT,    "symbols",       "emoji_count + arrow_count + mathematical symbols + arrows, mathematical symbols, boxes and bullets other than →←↑↓+-*/=≈≠≤≥<>") \
	X(number_count,            INT,  OF_TEXT,    "numbers",       "digits with single . or , between them, not next to a letter, digit or _") \
	X(proper_noun_count,       INT,  OF_TEXT,    "words",         "words but the first that begin with a capital after lower-casing and are longer than 1: almost always 0") \
	X(question_count,          INT,  OF_TEXT,    "code points",   "number of ?")                                   \
	X(exclamation_count,       INT,  OF_TEXT,    "code points",   "number of !")                                   \
	X(formality_score,         REAL, OF_TEXT,    "share",         "0.5 + (0.3 · words over 7 long - 0.3 · words with ' - 0.2 · number of ! - 0.1 · places of two ?) / W, kept within 0 and 1; 0.5 without words") \
	X(emotional_intensity,     REAL, OF_NOTHING, "",              "0")                                             \
	X(syntactic_complexity,    REAL, OF_NOTHING, "",              "0")                                             \
	X(semantic_density,        REAL, OF_NOTHING, "",              "0")                                             \
	X(coherence_score,         REAL, OF_NOTHING, "",              "0")                                             \
	X(readability_score,       REAL, OF_NOTHING, "",              "0")                                             \
	X(cognitive_load,          REAL, OF_NOTHING, "",              "0")                                             \
	X(information_density,     REAL, OF_NOTHING, "",              "0")                                             \
	X(discourse_markers,       INT,  OF_NOTHING, "",              "0")                                             \
	X(gratitude_markers,       INT,  OF_NOTHING, "",              "0")                                             \
	X(existential_language,    INT,  OF_NOTHING, "",              "0")                                             \
	X(compression_indicators,  INT,  OF_NOTHING, "",              "0")                                             \
	X(novel_symbols,           INT,  OF_NOTHING, "",              "0")                                             \
	X(meta_commentary,         INT,  OF_NOTHING, "",              "0")                                             \
	X(turn_repetition,         REAL, OF_HISTORY, "share",         "mean over the agent's earlier messages of: their distinct words that are in this one too / their distinct words; a message without words counts as 0; 0 for the first") \
	X(new_words,               INT,  OF_HISTORY, "words",         "distinct words that the agent had not used before") \
	X(hedge_words,             INT,  OF_TEXT,    "words",         "words of the list of hedges")                   \
	X(agreement_markers,       INT,  OF_TEXT,    "words",         "words of the list of agreement")                \
	X(disagreement_markers,    INT,  OF_TEXT,    "words",         "words of the list of disagreement")             \
	X(politeness_markers,      INT,  OF_TEXT,    "words",         "words of the list of politeness")               \
	X(first_person_singular,   INT,  OF_TEXT,    "words",         "i, me, mine, my, myself")                       \
	X(first_person_plural,     INT,  OF_TEXT,    "words",         "we, us, our, ours, ourselves")                  \
	X(second_person,           INT,  OF_TEXT,    "words",         "you, your, yours, yourself, yourselves")        \
	X(repeated_bigrams,        INT,  OF_TEXT,    "runs",          "distinct runs of two words that occur more than once") \
	X(repeated_trigrams,       INT,  OF_TEXT,    "runs",          "distinct runs of three words that occur more than once") \
	X(question_density,        REAL, OF_NOTHING, "",              "0: sentences that end in ? after splitting took the ? away") \
	X(hedge_density,           REAL, OF_TEXT,    "share",         "hedge_words / max(W, 1)")                       \
	X(bigram_entropy,          REAL, OF_NOTHING, "",              "0")                                             \
	X(certainty_words,         INT,  OF_NOTHING, "",              "0")                                             \
	X(tentative_words,         INT,  OF_NOTHING, "",              "0")                                             \
	X(third_person,            INT,  OF_NOTHING, "",              "0")                                             \
	X(passive_voice,           INT,  OF_NOTHING, "",              "0")                                             \
	X(active_voice,            INT,  OF_NOTHING, "",              "0")
/* clang-format on */

#define METRIC_TYPE_INT int64_t
#define METRIC_TYPE_REAL double

struct text_metrics {
#define X(column, kind, of, unit, formula) METRIC_TYPE_##kind column;
	TEXT_METRIC_MAP(X)
#undef X
};

enum metric_kind { METRIC_INT, METRIC_REAL };
enum metric_of { OF_TEXT, OF_HISTORY, OF_NOTHING };

struct metric_row {
	const char *column, *unit, *formula;
	enum metric_kind kind;
	enum metric_of of;
	size_t at; /* offset of the value in its struct */
};

enum {
#define X(column, kind, of, unit, formula) TEXT_METRIC_##column,
	TEXT_METRIC_MAP(X)
#undef X
		TEXT_METRIC_COUNT
};
extern const struct metric_row text_metric_rows[TEXT_METRIC_COUNT];

/* A row's value, of either kind; `values` is the struct that the row belongs to. */
double metric_value(const struct metric_row *row, const void *values);
/* Writes one object of the rows' values by their columns. Constants, which say nothing about the text, are left out. */
void metrics_write_rows(struct jw *w, const struct metric_row *rows, size_t nrows, const void *values);
static inline void metrics_write(struct jw *w, const struct text_metrics *m)
{
	metrics_write_rows(w, text_metric_rows, TEXT_METRIC_COUNT, m);
}

struct metrics_history;

/* `nagents` is from 1 to METRICS_AGENTS_MAX. */
struct metrics_history *metrics_history_new(size_t nagents);
void metrics_history_free(struct metrics_history *h); /* NULL is fine */
/* Measures the next message of the agent with that index, from 0, and remembers what later ones need. */
void metrics_message(struct metrics_history *h, size_t agent, struct str text, struct text_metrics *out);

#endif
