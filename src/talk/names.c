/* The names that agents give themselves: where in a text one is, and two that are the same.
 *
 * A name is one word of 2 to 8 characters, in whatever brackets, quotes or emphasis. Phrases that say of themselves that a
 * name follows are looked for first and take any word but a few that follow them in ordinary speech ("call me back").
 * Phrases that mostly lead elsewhere ("I am going") take only a word that looks like a name: marked, or with a capital.
 * Without any such phrase, a name that stands alone in quotes or brackets counts. */
#include <ctype.h>

#include "base/utf8.h"
#include "talk/conductor_priv.h"

#define NAME_CHARS_MIN 2
#define NAME_CHARS_MAX 8

struct phrase {
	struct str words;
	bool is_sure;
};

static const struct phrase phrases[] = {
	{STR_INIT("call me"), true},    {STR_INIT("my name is"), true},   {STR_INIT("my name will be"), true},
	{STR_INIT("i'll go by"), true}, {STR_INIT("i will go by"), true}, {STR_INIT("i go by"), true},
	{STR_INIT("name: "), true},     {STR_INIT("i'll choose"), false}, {STR_INIT("i will choose"), false},
	{STR_INIT("i choose"), false},  {STR_INIT("i select"), false},    {STR_INIT("i'll be"), false},
	{STR_INIT("i will be"), false}, {STR_INIT("i am"), false},        {STR_INIT("i'm"), false},
};

/* Words that stand where a name could, and are none. */
static const char *const no_names[] = {
	"a",     "an",    "and",      "any",   "anything", "anytime", "as",    "at",    "back",  "begin", "both",
	"but",   "by",    "crazy",    "for",   "from",     "glad",    "going", "happy", "hello", "her",   "here",
	"hi",    "him",   "his",      "human", "if",       "in",      "it",    "its",   "just",  "later", "maybe",
	"me",    "my",    "name",     "names", "no",       "not",     "now",   "of",    "okay",  "ok",    "on",
	"or",    "out",   "over",     "right", "she",      "so",      "some",  "sure",  "that",  "thats", "the",
	"their", "then",  "there",    "they",  "this",     "to",      "today", "up",    "user",  "very",  "we",
	"what",  "when",  "whatever", "with",  "yes",      "you",     "your",  "ai",    "the",   "their", "always",
	"also",  "still", "ready",    "who",   "he",       "was",     "is",
};

/* ---- words ------------------------------------------------------------------------------------------------------- */

static bool is_word_byte(unsigned char c) { return c >= 0x80 || isalnum(c) || c == '_'; }

/* Typographic quotes and dashes are no letters, though none of them is ASCII: U+2010 to U+203F, and « ». */
static size_t mark_at(struct str s)
{
	static const struct str high[] = {STR_INIT("\xc2\xab"), STR_INIT("\xc2\xbb")};
	if (s.n == 0) return 0;
	if (s.n >= 3 && s.p[0] == '\xe2' && s.p[1] == '\x80' && (unsigned char)s.p[2] >= 0x90) return 3;
	for (size_t i = 0; i < ARRAY_LEN(high); i++)
		if (str_starts(s, high[i])) return high[i].n;
	return strchr("\"'`*_[](){}<>", s.p[0]) != NULL && s.p[0] != '\0' ? 1 : 0;
}

static struct str after(struct str s, size_t n) { return (struct str){s.p + n, s.n - n}; }

/* The bytes and characters of the word that begins here. */
static size_t word_at(struct str s, size_t *out_chars)
{
	size_t n = 0;
	*out_chars = 0;
	while (n < s.n && is_word_byte((unsigned char)s.p[n]) && (s.p[n] == '_' || mark_at(after(s, n)) == 0)) {
		*out_chars += ((unsigned char)s.p[n] & 0xc0) != 0x80;
		n++;
	}
	/* Emphasis with underscores. */
	while (n > 0 && s.p[n - 1] == '_') {
		n--;
		(*out_chars)--;
	}
	return n;
}

static bool is_no_name(struct str word)
{
	for (size_t i = 0; i < ARRAY_LEN(no_names); i++)
		if (str_eq_nocase(word, str_c(no_names[i]))) return true;
	return false;
}

static bool has_capital(struct str word) { return isupper((unsigned char)word.p[0]) || (word.p[0] & 0x80) != 0; }

/* A name that begins here, behind its marks; STR_NONE. */
static struct str name_at(struct str s, bool needs_looks)
{
	size_t chars, nmarks = 0;
	for (size_t n; nmarks < 6 && (n = mark_at(s)) > 0; nmarks++) s = after(s, n);
	size_t n = word_at(s, &chars);
	struct str word = {s.p, n};
	if (chars < NAME_CHARS_MIN || chars > NAME_CHARS_MAX || is_no_name(word)) return STR_NONE;
	if (needs_looks && nmarks == 0 && !has_capital(word)) return STR_NONE;
	/* "I'm not", "don't": half a word. */
	if (nmarks == 0 && n + 1 < s.n && s.p[n] == '\'' && isalpha((unsigned char)s.p[n + 1])) return STR_NONE;
	return utf8_is_valid(word) ? word : STR_NONE;
}

/* ---- phrases ----------------------------------------------------------------------------------------------------- */

static size_t spaces_at(struct str s)
{
	size_t n = 0;
	while (n < s.n && isspace((unsigned char)s.p[n])) n++;
	return n;
}

/* How long the phrase is here, with all that may stand between it and a name; 0 when it does not stand here. */
static size_t phrase_at(struct str s, struct str phrase)
{
	static const struct str fillers[] = {STR_INIT("the name"), STR_INIT("to be called"), STR_INIT("simply"),
					     STR_INIT("just")};
	size_t at = 0;
	for (size_t i = 0; i < phrase.n; i++) {
		struct str rest = after(s, at);
		size_t blank = spaces_at(rest);
		if (phrase.p[i] == ' ' && blank == 0) return 0;
		if (phrase.p[i] == ' ') at += blank;
		else if (phrase.p[i] == '\'' && str_starts(rest, STR("\xe2\x80\x99"))) at += 3;
		else if (rest.n > 0 && tolower((unsigned char)rest.p[0]) == phrase.p[i]) at++;
		else return 0;
	}
	if (at < s.n && is_word_byte((unsigned char)s.p[at]) && phrase.p[phrase.n - 1] != ' ') return 0;
	at += spaces_at(after(s, at));
	for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
		struct str rest = after(s, at);
		if (rest.n <= fillers[i].n || !str_eq_nocase(str_n(rest.p, fillers[i].n), fillers[i])) continue;
		at += fillers[i].n + spaces_at(after(rest, fillers[i].n));
	}
	return at;
}

static struct str behind_phrase(struct str text, const struct phrase *phrase)
{
	for (size_t i = 0; i < text.n; i++) {
		struct str rest = after(text, i);
		if (i > 0 && is_word_byte((unsigned char)text.p[i - 1])) continue;
		size_t n = phrase_at(rest, phrase->words);
		struct str name = n > 0 ? name_at(after(rest, n), !phrase->is_sure) : STR_NONE;
		if (name.n > 0) return name;
	}
	return STR_NONE;
}

/* "Zed here! …" */
static struct str before_here(struct str text)
{
	text = after(text, spaces_at(text));
	struct str name = name_at(text, true);
	if (name.n == 0 || !has_capital(name)) return STR_NONE;
	struct str rest = after(text, (size_t)(name.p - text.p) + name.n);
	for (size_t n; (n = mark_at(rest)) > 0;) rest = after(rest, n);
	size_t blank = spaces_at(rest);
	rest = after(rest, blank);
	bool is_here = blank > 0 && rest.n >= 4 && str_eq_nocase(str_n(rest.p, 4), STR("here"));
	if (!is_here || (rest.n > 4 && is_word_byte((unsigned char)rest.p[4]))) return STR_NONE;
	return name;
}

/* One word that has nothing but `open` and `close` around it, with a capital. */
static struct str between(struct str text, struct str open, struct str close)
{
	size_t chars;
	for (size_t i = 0; i + open.n < text.n; i++) {
		struct str rest = after(text, i);
		if (!str_starts(rest, open)) continue;
		rest = after(rest, open.n);
		size_t n = word_at(rest, &chars);
		struct str name = {rest.p, n};
		if (chars < NAME_CHARS_MIN || chars > NAME_CHARS_MAX || !str_starts(after(rest, n), close)) continue;
		if (has_capital(name) && !is_no_name(name) && utf8_is_valid(name)) return name;
	}
	return STR_NONE;
}

struct str chosen_name(struct str text)
{
	static const struct {
		struct str open, close;
	} around[] = {
		{STR_INIT("\""), STR_INIT("\"")},
		{STR_INIT("\xe2\x80\x9c"), STR_INIT("\xe2\x80\x9d")},
		{STR_INIT("'"), STR_INIT("'")},
		{STR_INIT("["), STR_INIT("]")},
	};
	struct str name = STR_NONE;
	for (size_t i = 0; i < ARRAY_LEN(phrases) && name.n == 0; i++) name = behind_phrase(text, &phrases[i]);
	if (name.n == 0) name = before_here(text);
	for (size_t i = 0; i < ARRAY_LEN(around) && name.n == 0; i++)
		name = between(text, around[i].open, around[i].close);
	return name;
}

struct str names_apart(struct arena *arena, struct str name, int agent, bool is_taken)
{
	struct str out = arena_str(arena, name.p != NULL ? name : STR(""));
	if (!is_taken) return out;
	char *p = arena_alloc(arena, name.n + 3);
	memcpy(p, out.p, out.n);
	p[name.n] = '-';
	p[name.n + 1] = (char)('A' + agent);
	p[name.n + 2] = '\0';
	return (struct str){p, name.n + 2};
}
