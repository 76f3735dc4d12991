#include "client/auto_text.h"

#include <xxhash.h>

#define BEHIND 4         /* words before a phrase that may take it back */
#define FAILS_TOO_MANY 3 /* "fail…" so often in one answer is a showstopper */

static const struct str intent_names[] = {
#define X(sym, name) STR_INIT(name),
	INTENT_MAP(X)
#undef X
};
struct str intent_name(enum intent i) { return intent_names[i]; }

bool intent_find(struct str name, enum intent *out)
{
	for (size_t i = 0; i < INTENTS; i++) {
		if (!str_eq(name, intent_names[i])) continue;
		*out = (enum intent)i;
		return true;
	}
	return false;
}

/* ---- the phrases ------------------------------------------------------------------------------------------------ */

struct phrase {
	struct str text;
	int weight;
};
#define P(text_, weight_)                                                                                              \
	{                                                                                                              \
		STR_INIT(text_), (weight_)                                                                             \
	}

/* By the strength of what they say: COMPLETION_… */
static const struct phrase completions[] = {
	P("task complete", COMPLETION_STRONG),
	P("task completed", COMPLETION_STRONG),
	P("task is complete", COMPLETION_STRONG),
	P("task is now complete", COMPLETION_STRONG),
	P("task has been completed", COMPLETION_STRONG),
	P("all tasks complete", COMPLETION_STRONG),
	P("all tasks completed", COMPLETION_STRONG),
	P("all tasks are complete", COMPLETION_STRONG),
	P("all tasks are done", COMPLETION_STRONG),
	P("all tasks have been completed", COMPLETION_STRONG),
	P("all done", COMPLETION_STRONG),
	P("everything is done", COMPLETION_STRONG),
	P("everything is complete", COMPLETION_STRONG),
	P("everything is finished", COMPLETION_STRONG),
	P("fully complete", COMPLETION_STRONG),
	P("fully implemented and tested", COMPLETION_STRONG),
	P("work is complete", COMPLETION_STRONG),
	P("project is complete", COMPLETION_STRONG),
	P("implementation is complete", COMPLETION_STRONG),
	P("successfully completed", COMPLETION_STRONG),
	P("completed successfully", COMPLETION_STRONG),
	P("nothing left to do", COMPLETION_STRONG),
	P("nothing more to do", COMPLETION_STRONG),
	P("nothing else to do", COMPLETION_STRONG),
	P("no more work", COMPLETION_STRONG),
	P("no further work", COMPLETION_STRONG),
	P("mission accomplished", COMPLETION_STRONG),
	P("completed", COMPLETION_MODERATE),
	P("finished", COMPLETION_MODERATE),
	P("done", COMPLETION_MODERATE),
	P("is complete", COMPLETION_MODERATE),
	P("are complete", COMPLETION_MODERATE),
	P("is now complete", COMPLETION_MODERATE),
	P("implemented", COMPLETION_MODERATE),
	P("fixed", COMPLETION_MODERATE),
	P("all tests pass", COMPLETION_MODERATE),
	P("all tests passed", COMPLETION_MODERATE),
	P("all tests are passing", COMPLETION_MODERATE),
	P("ready for review", COMPLETION_MODERATE),
	P("ready for use", COMPLETION_MODERATE),
	P("ready to use", COMPLETION_MODERATE),
	P("ready to merge", COMPLETION_MODERATE),
	P("looks good", COMPLETION_WEAK),
	P("should work", COMPLETION_WEAK),
	P("should now work", COMPLETION_WEAK),
	P("works now", COMPLETION_WEAK),
	P("hope this helps", COMPLETION_WEAK),
	P("hope that helps", COMPLETION_WEAK),
	P("anything else", COMPLETION_WEAK),
	P("feel free", COMPLETION_WEAK),
	P("updated", COMPLETION_WEAK),
	P("created", COMPLETION_WEAK),
	P("added", COMPLETION_WEAK),
};

/* A person has to come; going on would only do harm. */
static const struct phrase showstoppers[] = {
	P("fatal error*", 1),
	P("permission denied", 1),
	P("permissions denied", 1),
	P("access denied", 1),
	P("access is denied", 1),
	P("cannot continue", 1),
	P("can't continue", 1),
	P("can not continue", 1),
	P("unable to continue", 1),
	P("cannot proceed", 1),
	P("can't proceed", 1),
	P("unable to proceed", 1),
	P("human intervention", 1),
	P("manual intervention", 1),
	P("security violation*", 1),
	P("security breach", 1),
	P("invalid credentials", 1),
	P("missing credentials", 1),
	P("credentials required", 1),
	P("credentials are required", 1),
	P("credentials are missing", 1),
	P("credentials are invalid", 1),
	P("need credentials", 1),
	P("need your credentials", 1),
	P("provide credentials", 1),
	P("provide your credentials", 1),
	P("authentication required", 1),
	P("authentication failed", 1),
	P("quota exceeded", 1),
	P("quota has been exceeded", 1),
	P("quota is exceeded", 1),
	P("exceeded the quota", 1),
	P("exceeded your quota", 1),
	P("exceeded your current quota", 1),
	P("rate limit exceeded", 1),
	P("rate limit reached", 1),
	P("rate limit has been reached", 1),
	P("hit the rate limit", 1),
	P("hit a rate limit", 1),
	P("rate limited", 1),
	P("out of memory", 1),
	P("no space left on device", 1),
};

static const struct phrase errors[] = {
	P("error", 2),        P("errors", 2),    P("exception", 2),   P("fail*", 2),      P("crash*", 2),
	P("traceback", 2),    P("could not", 1), P("couldn't", 1),    P("cannot", 1),     P("can't", 1),
	P("unable to", 2),    P("broken", 1),    P("undefined", 1),   P("timed out", 2),  P("not found", 1),
	P("doesn't work", 2), P("problem", 1),   P("not working", 2), P("went wrong", 2), P("unexpected", 1),
};
static const struct phrase clarifications[] = {
	P("could you clarify", 4),   P("can you clarify", 4),
	P("please clarify", 4),      P("clarification", 3),
	P("which one", 3),           P("which of", 3),
	P("would you like", 3),      P("would you prefer", 3),
	P("do you want", 3),         P("should i", 3),
	P("what should", 3),         P("can you provide", 3),
	P("could you provide", 3),   P("please specify", 4),
	P("please provide", 3),      P("need more information", 4),
	P("need more details", 4),   P("how would you like", 3),
	P("what would you like", 3), P("unclear", 3),
	P("not sure what", 3),       P("not sure which", 3),
	P("do you mean", 3),         P("did you mean", 3),
};
static const struct phrase waits[] = {
	P("waiting for", 4),        P("awaiting", 4),        P("wait for your", 4),    P("standing by", 4),
	P("ready when you are", 4), P("please confirm", 4),  P("your approval", 4),    P("your confirmation", 4),
	P("before i proceed", 3),   P("shall i proceed", 4), P("let me know when", 4), P("let me know how", 3),
	P("let me know if", 2),     P("once you", 2),
};
static const struct phrase progresses[] = {
	P("working on", 3),      P("in progress", 4),
	P("still working", 4),   P("continuing", 3),
	P("next i will", 4),     P("next, i will", 4),
	P("next i'll", 4),       P("next, i'll", 4),
	P("next i need to", 4),  P("next step", 3),
	P("next steps", 3),      P("now i will", 3),
	P("now i'll", 3),        P("i'll now", 3),
	P("i will now", 3),      P("i am now", 3),
	P("i'm now", 3),         P("now let me", 3),
	P("let me now", 3),      P("let me continue", 4),
	P("moving on", 3),       P("starting", 2),
	P("started", 1),         P("processing", 2),
	P("implementing", 2),    P("analyzing", 2),
	P("remaining", 2),       P("halfway", 3),
	P("making progress", 4), P("so far", 2),
	P("not yet", 2),         P("still need to", 4),
	P("still needs to", 4),  P("there is more to do", 4),
};
#undef P

/* Words that take back what follows them within a few words of the same sentence. */
static const struct str negations[] = {
	STR_INIT("no"),     STR_INIT("not"),     STR_INIT("never"),   STR_INIT("without"),  STR_INIT("isn't"),
	STR_INIT("aren't"), STR_INIT("wasn't"),  STR_INIT("weren't"), STR_INIT("hasn't"),   STR_INIT("haven't"),
	STR_INIT("don't"),  STR_INIT("doesn't"), STR_INIT("didn't"),  STR_INIT("won't"),    STR_INIT("zero"),
	STR_INIT("0"),      STR_INIT("nothing"), STR_INIT("cannot"),  STR_INIT("can't"),    STR_INIT("couldn't"),
	STR_INIT("avoid"),  STR_INIT("avoids"),  STR_INIT("prevent"), STR_INIT("prevents"),
};
/* Words that make of a completion one that is yet to come. */
static const struct str yet_to_come[] = {
	STR_INIT("when"),         STR_INIT("once"),   STR_INIT("until"),  STR_INIT("if"),        STR_INIT("after"),
	STR_INIT("before"),       STR_INIT("almost"), STR_INIT("nearly"), STR_INIT("partially"), STR_INIT("partly"),
	STR_INIT("will"),         STR_INIT("to"),     STR_INIT("failed"), STR_INIT("unable"),    STR_INIT("half"),
	STR_INIT("incompletely"), STR_INIT("must"),   STR_INIT("should"), STR_INIT("needs"),
};

/* ---- looking for a phrase --------------------------------------------------------------------------------------- */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}

/* Is one of U+2000–U+207F at `at`: a dash, a quotation mark, an ellipsis? */
static bool is_punctuation(struct str text, size_t at)
{
	return at + 3 <= text.n && text.p[at] == '\xe2' && (text.p[at + 1] == '\x80' || text.p[at + 1] == '\x81');
}
static bool word_at(struct str text, size_t at)
{
	return at < text.n && is_word(text.p[at]) && !is_punctuation(text, at);
}
static bool word_before(struct str text, size_t at)
{
	return at > 0 && is_word(text.p[at - 1]) && !(at >= 3 && is_punctuation(text, at - 3));
}

/* The length of the apostrophe at `at`, or that ends there: ' or U+2019; 0 none. */
static size_t apostrophe(struct str text, size_t at)
{
	if (at < text.n && text.p[at] == '\'') return 1;
	return is_punctuation(text, at) && text.p[at + 1] == '\x80' && text.p[at + 2] == '\x99' ? 3 : 0;
}
static size_t apostrophe_before(struct str text, size_t at)
{
	if (at >= 1 && text.p[at - 1] == '\'') return 1;
	return at >= 3 && apostrophe(text, at - 3) == 3 ? 3 : 0;
}

/* Is the border of a word before the byte `at`? An apostrophe between letters is one of them. */
static bool is_border(struct str text, size_t at)
{
	size_t before = apostrophe_before(text, at), behind = apostrophe(text, at);
	if (before > 0) return !(word_before(text, at - before) && word_at(text, at));
	if (behind > 0) return !(word_before(text, at) && word_at(text, at + behind));
	return !(word_before(text, at) && word_at(text, at));
}

/* The place behind the phrase that begins at `at`, 0 when it does not. */
static size_t match_at(struct str text, size_t at, struct str phrase, bool exactly)
{
	for (size_t i = 0; i < phrase.n; i++) {
		char want = phrase.p[i];
		if (want == '*' && i + 1 == phrase.n) {
			while (at < text.n && is_word(text.p[at])) at++;
			return at;
		}
		size_t quote = want == '\'' ? apostrophe(text, at) : 0;
		if (quote > 0) {
			at += quote;
		} else if (want == ' ') {
			if (at >= text.n || !is_space(text.p[at])) return 0;
			while (at < text.n && is_space(text.p[at])) at++;
		} else {
			if (at >= text.n) return 0;
			bool same = exactly ? text.p[at] == want : lower(text.p[at]) == lower(want);
			if (!same) return 0;
			at++;
		}
	}
	return is_border(text, at) ? at : 0;
}

/* Finds the phrase from *from on; then *from is its place and *end the place behind it. */
static bool find_from(struct str text, struct str phrase, bool exactly, size_t *from, size_t *end)
{
	if (phrase.n == 0) return false;
	for (size_t at = *from; at < text.n; at++) {
		char c = exactly ? text.p[at] : lower(text.p[at]), first = exactly ? phrase.p[0] : lower(phrase.p[0]);
		if (c != first || !is_border(text, at)) continue;
		*end = match_at(text, at, phrase, exactly);
		if (*end == 0) continue;
		*from = at;
		return true;
	}
	return false;
}

bool text_says(struct str text, struct str phrase)
{
	size_t from = 0, end;
	return find_from(text, phrase, false, &from, &end);
}

bool text_says_exactly(struct str text, struct str phrase)
{
	size_t from = 0, end;
	return find_from(text, phrase, true, &from, &end);
}

static bool is_word_of(struct str text, size_t from, size_t to, const struct str *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t end = match_at(text, from, words[i], false);
		if (end == to) return true;
	}
	return false;
}

/* Does one of the words stand among the last few before `at`, in the same sentence? */
static bool stands_before(struct str text, size_t at, const struct str *words, size_t nwords)
{
	for (int seen = 0; seen < BEHIND && at > 0; seen++) {
		while (at > 0 && !is_word(text.p[at - 1]))
			if (strchr(".!?;:\n", text.p[--at]) != NULL) return false;
		size_t end = at;
		while (at > 0 && (is_word(text.p[at - 1]) || text.p[at - 1] == '\'')) at--;
		if (is_word_of(text, at, end, words, nwords)) return true;
	}
	return false;
}

/* How often the phrase is meant. */
static int count_meant(struct str text, struct str phrase, bool completion)
{
	int n = 0;
	for (size_t at = 0, end; find_from(text, phrase, false, &at, &end); at = end) {
		if (stands_before(text, at, negations, ARRAY_LEN(negations))) continue;
		if (completion && stands_before(text, at, yet_to_come, ARRAY_LEN(yet_to_come))) continue;
		n++;
	}
	return n;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static int weigh(struct str text, const struct phrase *list, size_t n)
{
	int weight = 0;
	for (size_t i = 0; i < n; i++)
		if (count_meant(text, list[i].text, false) > 0) weight += list[i].weight;
	return weight;
}

/* A completion beside signs of more to come is that of a part. */
static enum completion read_completion(struct str text, bool goes_on)
{
	enum completion best = COMPLETION_NONE;
	for (size_t i = 0; i < ARRAY_LEN(completions); i++)
		if (completions[i].weight > (int)best && count_meant(text, completions[i].text, true) > 0)
			best = (enum completion)completions[i].weight;
	if (!goes_on) return best;
	return best == COMPLETION_STRONG ? COMPLETION_WEAK : COMPLETION_NONE;
}

static struct str read_showstopper(struct str text)
{
	for (size_t i = 0; i < ARRAY_LEN(showstoppers); i++)
		if (count_meant(text, showstoppers[i].text, false) > 0) return showstoppers[i].text;
	return count_meant(text, STR("fail*"), false) >= FAILS_TOO_MANY ? STR("fail*") : STR("");
}

static bool ends_in_question(struct str text)
{
	while (text.n > 0 && is_space(text.p[text.n - 1])) text.n--;
	return text.n > 0 && text.p[text.n - 1] == '?';
}

void text_read(struct str text, struct reading *out)
{
	*out = (struct reading){.intent = INTENT_UNKNOWN};
	int *weight = out->weight;
	weight[INTENT_ERROR] = weigh(text, errors, ARRAY_LEN(errors));
	weight[INTENT_CLARIFICATION] = weigh(text, clarifications, ARRAY_LEN(clarifications));
	if (ends_in_question(text)) weight[INTENT_CLARIFICATION] += 2;
	weight[INTENT_WAITING] = weigh(text, waits, ARRAY_LEN(waits));
	weight[INTENT_PROGRESS] = weigh(text, progresses, ARRAY_LEN(progresses));
	out->completion = read_completion(text, weight[INTENT_PROGRESS] > 1);
	weight[INTENT_COMPLETION] = (int)out->completion * 2 - (out->completion == COMPLETION_WEAK);
	out->showstopper = read_showstopper(text);
	for (size_t i = 1; i < INTENTS; i++)
		if (weight[i] > weight[out->intent]) out->intent = (enum intent)i;
}

/* ---- likeness --------------------------------------------------------------------------------------------------- */

static int compare_hashes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static uint64_t hash_word(struct str word)
{
	char low[64];
	size_t n = MIN(word.n, sizeof low);
	for (size_t i = 0; i < n; i++) low[i] = lower(word.p[i]);
	return XXH3_64bits_withSeed(low, n, word.n);
}

void word_set_make(struct word_set *w, struct str text)
{
	size_t cap = 0, n = 0;
	*w = (struct word_set){0};
	for (size_t at = 0; at < text.n && n < WORD_SET_MAX;) {
		while (at < text.n && !is_word(text.p[at])) at++;
		size_t from = at;
		while (at < text.n && is_word(text.p[at])) at++;
		if (at == from) break;
		if (n == cap) {
			cap = MAX(cap * 2, (size_t)32);
			w->hashes = xrealloc(w->hashes, xmul(cap, sizeof *w->hashes));
		}
		w->hashes[n++] = hash_word(str_n(text.p + from, at - from));
	}
	if (n == 0) return;
	qsort(w->hashes, n, sizeof *w->hashes, compare_hashes);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || w->hashes[i] != w->hashes[i - 1]) w->hashes[w->n++] = w->hashes[i];
}

void word_set_release(struct word_set *w)
{
	free(w->hashes);
	*w = (struct word_set){0};
}

double word_set_similarity(const struct word_set *a, const struct word_set *b)
{
	size_t i = 0, j = 0, common = 0;
	while (i < a->n && j < b->n) {
		if (a->hashes[i] == b->hashes[j]) common++, i++, j++;
		else if (a->hashes[i] < b->hashes[j]) i++;
		else j++;
	}
	size_t all = a->n + b->n - common;
	return all == 0 ? 1.0 : (double)common / (double)all;
}
