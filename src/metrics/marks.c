#include "metrics/marks.h"

/* clang-format off */
static const struct marked_word {
	struct str word;
	unsigned marks;
} marked_words[] = { /* sorted */
	{STR_INIT("about"), MARK_HEDGE}, {STR_INIT("absolutely"), MARK_AGREEMENT},
	{STR_INIT("actually"), MARK_DISAGREEMENT}, {STR_INIT("affirmative"), MARK_AGREEMENT},
	{STR_INIT("agree"), MARK_AGREEMENT}, {STR_INIT("agreed"), MARK_AGREEMENT},
	{STR_INIT("alternatively"), MARK_DISAGREEMENT}, {STR_INIT("although"), MARK_DISAGREEMENT},
	{STR_INIT("apologies"), MARK_POLITENESS}, {STR_INIT("apologize"), MARK_POLITENESS},
	{STR_INIT("appears"), MARK_HEDGE}, {STR_INIT("appreciate"), MARK_POLITENESS},
	{STR_INIT("approximately"), MARK_HEDGE}, {STR_INIT("arguably"), MARK_HEDGE},
	{STR_INIT("around"), MARK_HEDGE}, {STR_INIT("basically"), MARK_HEDGE}, {STR_INIT("but"), MARK_DISAGREEMENT},
	{STR_INIT("certainly"), MARK_AGREEMENT}, {STR_INIT("clearly"), MARK_AGREEMENT},
	{STR_INIT("completely"), MARK_AGREEMENT}, {STR_INIT("conceivably"), MARK_HEDGE},
	{STR_INIT("contrary"), MARK_DISAGREEMENT}, {STR_INIT("conversely"), MARK_DISAGREEMENT},
	{STR_INIT("correct"), MARK_AGREEMENT}, {STR_INIT("could"), MARK_HEDGE},
	{STR_INIT("definitely"), MARK_AGREEMENT}, {STR_INIT("disagree"), MARK_DISAGREEMENT},
	{STR_INIT("doubt"), MARK_DISAGREEMENT}, {STR_INIT("doubtful"), MARK_DISAGREEMENT},
	{STR_INIT("entirely"), MARK_AGREEMENT}, {STR_INIT("essentially"), MARK_HEDGE},
	{STR_INIT("exactly"), MARK_AGREEMENT}, {STR_INIT("excuse"), MARK_POLITENESS},
	{STR_INIT("fairly"), MARK_HEDGE}, {STR_INIT("false"), MARK_DISAGREEMENT},
	{STR_INIT("forgive"), MARK_POLITENESS}, {STR_INIT("generally"), MARK_HEDGE},
	{STR_INIT("graciously"), MARK_POLITENESS}, {STR_INIT("grateful"), MARK_POLITENESS},
	{STR_INIT("however"), MARK_DISAGREEMENT}, {STR_INIT("humbly"), MARK_POLITENESS}, {STR_INIT("i"), MARK_I},
	{STR_INIT("incorrect"), MARK_DISAGREEMENT}, {STR_INIT("indeed"), MARK_AGREEMENT},
	{STR_INIT("instead"), MARK_DISAGREEMENT}, {STR_INIT("kindly"), MARK_POLITENESS},
	{STR_INIT("likely"), MARK_HEDGE}, {STR_INIT("maybe"), MARK_HEDGE}, {STR_INIT("me"), MARK_I},
	{STR_INIT("might"), MARK_HEDGE}, {STR_INIT("mine"), MARK_I}, {STR_INIT("my"), MARK_I},
	{STR_INIT("myself"), MARK_I}, {STR_INIT("nah"), MARK_DISAGREEMENT}, {STR_INIT("naturally"), MARK_AGREEMENT},
	{STR_INIT("negative"), MARK_DISAGREEMENT}, {STR_INIT("nevertheless"), MARK_DISAGREEMENT},
	{STR_INIT("no"), MARK_DISAGREEMENT}, {STR_INIT("nonetheless"), MARK_DISAGREEMENT},
	{STR_INIT("nope"), MARK_DISAGREEMENT}, {STR_INIT("not"), MARK_DISAGREEMENT},
	{STR_INIT("obviously"), MARK_AGREEMENT}, {STR_INIT("oppose"), MARK_DISAGREEMENT}, {STR_INIT("our"), MARK_WE},
	{STR_INIT("ours"), MARK_WE}, {STR_INIT("ourselves"), MARK_WE}, {STR_INIT("pardon"), MARK_POLITENESS},
	{STR_INIT("perhaps"), MARK_HEDGE}, {STR_INIT("please"), MARK_POLITENESS}, {STR_INIT("possibly"), MARK_HEDGE},
	{STR_INIT("potentially"), MARK_HEDGE}, {STR_INIT("practically"), MARK_HEDGE},
	{STR_INIT("precisely"), MARK_AGREEMENT}, {STR_INIT("presumably"), MARK_HEDGE},
	{STR_INIT("probably"), MARK_HEDGE}, {STR_INIT("quite"), MARK_HEDGE},
	{STR_INIT("rather"), MARK_HEDGE | MARK_DISAGREEMENT}, {STR_INIT("regret"), MARK_POLITENESS},
	{STR_INIT("reject"), MARK_DISAGREEMENT}, {STR_INIT("respectfully"), MARK_POLITENESS},
	{STR_INIT("right"), MARK_AGREEMENT}, {STR_INIT("roughly"), MARK_HEDGE}, {STR_INIT("seems"), MARK_HEDGE},
	{STR_INIT("sincerely"), MARK_POLITENESS}, {STR_INIT("somewhat"), MARK_HEDGE},
	{STR_INIT("sorry"), MARK_POLITENESS}, {STR_INIT("suggests"), MARK_HEDGE}, {STR_INIT("sure"), MARK_AGREEMENT},
	{STR_INIT("thank"), MARK_POLITENESS}, {STR_INIT("thanks"), MARK_POLITENESS},
	{STR_INIT("though"), MARK_DISAGREEMENT}, {STR_INIT("totally"), MARK_AGREEMENT},
	{STR_INIT("true"), MARK_AGREEMENT}, {STR_INIT("typically"), MARK_HEDGE},
	{STR_INIT("undoubtedly"), MARK_AGREEMENT}, {STR_INIT("unfortunately"), MARK_DISAGREEMENT},
	{STR_INIT("us"), MARK_WE}, {STR_INIT("usually"), MARK_HEDGE}, {STR_INIT("virtually"), MARK_HEDGE},
	{STR_INIT("we"), MARK_WE}, {STR_INIT("welcome"), MARK_POLITENESS}, {STR_INIT("wrong"), MARK_DISAGREEMENT},
	{STR_INIT("yeah"), MARK_AGREEMENT}, {STR_INIT("yep"), MARK_AGREEMENT}, {STR_INIT("yes"), MARK_AGREEMENT},
	{STR_INIT("you"), MARK_YOU}, {STR_INIT("your"), MARK_YOU}, {STR_INIT("yours"), MARK_YOU},
	{STR_INIT("yourself"), MARK_YOU}, {STR_INIT("yourselves"), MARK_YOU},
};

#define A SYMBOL_ARROW
#define M SYMBOL_MATH
#define O SYMBOL_OTHER
static const struct marked_symbol {
	uint32_t c;
	unsigned marks;
} marked_symbols[] = { /* sorted */
	{0x25, M | O}, {0x2a, M}, {0x2b, M}, {0x2d, M}, {0x2f, M}, {0x3c, M}, {0x3d, M}, {0x3e, M}, {0x5e, M | O},
	{0xb1, M | O}, {0xd7, M | O}, {0xf7, M | O}, {0x2022, O}, {0x2190, A}, {0x2191, A}, {0x2192, A}, {0x2193, A},
	{0x2194, A | O}, {0x2196, A | O}, {0x2197, A | O}, {0x2198, A | O}, {0x2199, A | O}, {0x21d0, A | O},
	{0x21d2, A | O}, {0x21d4, A | O}, {0x2200, M | O}, {0x2202, M | O}, {0x2203, M | O}, {0x2205, M | O},
	{0x2207, M | O}, {0x2208, M | O}, {0x2209, M | O}, {0x220f, M | O}, {0x2211, M | O}, {0x221a, M | O},
	{0x221e, M | O}, {0x222b, M | O}, {0x2248, M}, {0x2260, M}, {0x2261, M | O}, {0x2264, M}, {0x2265, M},
	{0x2500, O}, {0x2502, O}, {0x250c, O}, {0x2510, O}, {0x2514, O}, {0x2518, O}, {0x251c, O}, {0x2524, O},
	{0x252c, O}, {0x2534, O}, {0x253c, O}, {0x2550, O}, {0x2551, O}, {0x2554, O}, {0x2557, O}, {0x255a, O},
	{0x255d, O}, {0x25a0, O}, {0x25a1, O}, {0x25aa, O}, {0x25ab, O}, {0x25b2, O}, {0x25b3, O}, {0x25bc, O},
	{0x25bd, O}, {0x25c6, O}, {0x25c7, O}, {0x25cb, O}, {0x25cf, O}, {0x25e6, O}, {0x2605, O}, {0x2606, O},
	{0x279c, A | O}, {0x27a1, A | O}, {0x2b05, A | O}, {0x2b06, A | O}, {0x2b07, A | O},
};
#undef A
#undef M
#undef O
/* clang-format on */

static int compare_word(const void *key, const void *row)
{
	return str_cmp(*(const struct str *)key, ((const struct marked_word *)row)->word);
}

unsigned word_marks(struct str word)
{
	const struct marked_word *found =
		bsearch(&word, marked_words, ARRAY_LEN(marked_words), sizeof *marked_words, compare_word);
	return found ? found->marks : 0;
}

static int compare_symbol(const void *key, const void *row)
{
	uint32_t a = *(const uint32_t *)key, b = ((const struct marked_symbol *)row)->c;
	return (a > b) - (a < b);
}

unsigned symbol_marks(uint32_t c)
{
	const struct marked_symbol *found =
		bsearch(&c, marked_symbols, ARRAY_LEN(marked_symbols), sizeof *marked_symbols, compare_symbol);
	return found ? found->marks : 0;
}

bool is_emoji(uint32_t c)
{
	return (c >= 0x24c2 && c <= 0x1f251) || (c >= 0x1f300 && c <= 0x1f64f) || (c >= 0x1f680 && c <= 0x1f6ff) ||
	       (c >= 0x1f900 && c <= 0x1f9ff);
}
