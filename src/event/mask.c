/* One pass over the text. What is looked for begins where a word, a number or a symbol begins, and each kind looks ahead
 * only as far as such a thing can be long, or takes what it looked at: so no text costs more than its length times a small
 * constant. Addresses alone are found in their middle, at the @, behind which lies what has been passed already.
 *
 * Forms:
 *   card    13 to 19 digits, alone or in groups with one kind of gap, that pass Luhn's check; the first is 2 to 6
 *   phone   + or 00 and 7 to 15 digits; 9 to 13 digits in groups that begin with 0, 10 or 11 that do without groups;
 *           North American ten, however grouped; no dates
 *   iban    two letters, two digits, in all 15 to 34 capitals and digits, that pass the check of ISO 7064
 *   key     a known beginning and enough behind it, or 20 characters of base64 with a digit behind the word "key",
 *           "token", "secret" or "bearer"; a private key in PEM with all its lines */
#include "event/mask.h"

#include <arpa/inet.h>

#define NOWHERE SIZE_MAX
#define ARMED_GAP 8 /* characters between the word "key" and the key */
#define KEY_LOOK 64 /* a key shows within so many characters that it is no word */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_alnum(char c) { return is_digit(c) || is_upper(c) || (c >= 'a' && c <= 'z'); }
static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
static bool is_one_of(char c, const char *set) { return c != '\0' && strchr(set, c) != NULL; }

/* The byte at i, NUL behind the end. */
static char at(struct str s, size_t i) { return i < s.n ? s.p[i] : '\0'; }

static struct str from(struct str s, size_t i) { return str_n(s.p + i, s.n - i); }

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static const struct {
	struct str beginning;
	size_t more; /* characters that must follow */
} key_forms[] = {
	{STR_INIT("sk-"), 16},      {STR_INIT("sk_live_"), 16},    {STR_INIT("sk_test_"), 16},
	{STR_INIT("rk_live_"), 16}, {STR_INIT("pk-"), 20},         {STR_INIT("xai-"), 16},
	{STR_INIT("gsk_"), 16},     {STR_INIT("AIza"), 30},        {STR_INIT("ghp_"), 20},
	{STR_INIT("gho_"), 20},     {STR_INIT("ghu_"), 20},        {STR_INIT("ghs_"), 20},
	{STR_INIT("ghr_"), 20},     {STR_INIT("hf_"), 20},         {STR_INIT("glpat-"), 16},
	{STR_INIT("npm_"), 20},     {STR_INIT("github_pat_"), 20}, {STR_INIT("xoxb-"), 16},
	{STR_INIT("xoxp-"), 16},    {STR_INIT("xoxa-"), 16},       {STR_INIT("AKIA"), 16},
	{STR_INIT("ASIA"), 16},     {STR_INIT("ya29."), 20},       {STR_INIT("r8_"), 20},
	{STR_INIT("eyJ"), 20},      {STR_INIT("whsec_"), 16},      {STR_INIT("pplx-"), 16},
	{STR_INIT("SG."), 20},
};

static size_t known_key(struct str s)
{
	for (size_t k = 0; k < ARRAY_LEN(key_forms); k++) {
		if (!str_starts(s, key_forms[k].beginning)) continue;
		size_t i = key_forms[k].beginning.n;
		bool is_random = false; /* "sk-learn-based" is not */
		for (; is_alnum(at(s, i)) || is_one_of(at(s, i), "-_."); i++) {
			is_random = is_random || is_digit(s.p[i]) || is_upper(s.p[i]);
			if (!is_random && i == KEY_LOOK) return 0;
		}
		while (s.p[i - 1] == '.') i--; /* a sentence's */
		if (is_random && i >= key_forms[k].beginning.n + key_forms[k].more) return i;
	}
	return 0;
}

static size_t private_key(struct str s)
{
	if (!str_starts(s, STR("-----BEGIN "))) return 0;
	const char *eol = memchr(s.p, '\n', MIN(s.n, (size_t)80));
	struct str first = str_n(s.p, eol != NULL ? (size_t)(eol - s.p) : MIN(s.n, (size_t)80));
	if (memmem(first.p, first.n, "PRIVATE KEY", 11) == NULL) return 0;
	const char *end = memmem(s.p, s.n, "-----END", 8);
	if (end == NULL) return s.n;
	eol = memchr(end, '\n', s.n - (size_t)(end - s.p));
	return eol != NULL ? (size_t)(eol - s.p) : s.n;
}

/* Behind the word "key": long, and with a digit, which words have not. */
static size_t likely_key(struct str s)
{
	size_t i = 0;
	bool has_digit = false;
	for (; is_alnum(at(s, i)) || is_one_of(at(s, i), "+/=_-."); i++) {
		has_digit = has_digit || is_digit(s.p[i]);
		if (!has_digit && i == KEY_LOOK) return 0;
	}
	while (i > 0 && s.p[i - 1] == '.') i--;
	return i >= 20 && has_digit ? i : 0;
}

static bool announces_key(struct str word)
{
	static const struct str names[] = {STR_INIT("key"), STR_INIT("token"), STR_INIT("secret"), STR_INIT("bearer")};
	for (size_t k = 0; k < ARRAY_LEN(names); k++)
		if (word.n >= names[k].n && str_eq_nocase(str_n(word.p + word.n - names[k].n, names[k].n), names[k]))
			return true;
	return false;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

#define DIGITS_MAX 19

struct digits {
	char digit[DIGITS_MAX]; /* '0' to '9' */
	size_t n;
	struct {
		size_t digits, end; /* so many digits to its end, which is this place in the text */
		char gap;           /* behind it; '\0' none */
	} group[DIGITS_MAX];
	size_t ngroups;
};

/* The digits from here on, in groups with a gap of one character, or ") " between them. */
static void read_digits(struct str s, const char *gaps, struct digits *d)
{
	size_t i = 0;
	*d = (struct digits){.n = 0};
	while (d->n < DIGITS_MAX && is_digit(at(s, i))) {
		d->digit[d->n++] = s.p[i++];
		if (is_digit(at(s, i)) && d->n < DIGITS_MAX) continue;
		char gap = is_one_of(at(s, i), gaps) ? s.p[i] : '\0';
		d->group[d->ngroups].digits = d->n;
		d->group[d->ngroups].end = i;
		d->group[d->ngroups++].gap = gap;
		if (gap == '\0') return;
		i++;
		if (gap == ')' && at(s, i) == ' ') i++;
		else if (gap == ' ' && at(s, i) == '(') i++;
	}
}

static bool passes_luhn(const char *digit, size_t n)
{
	int sum = 0;
	for (size_t i = 0; i < n; i++) {
		int v = digit[n - 1 - i] - '0';
		if (i % 2 == 1) v = v * 2 > 9 ? v * 2 - 9 : v * 2;
		sum += v;
	}
	return sum % 10 == 0;
}

static size_t card(struct str s)
{
	struct digits d;
	size_t found = 0;
	read_digits(s, " -", &d);
	if (d.digit[0] < '2' || d.digit[0] > '6') return 0;
	for (size_t g = 0; g < d.ngroups; g++) {
		if (g > 0 && d.group[g - 1].gap != d.group[0].gap) break;
		size_t n = d.group[g].digits;
		if (n >= 13 && !is_alnum(at(s, d.group[g].end)) && passes_luhn(d.digit, n)) found = d.group[g].end;
	}
	return found;
}

static size_t group_len(const struct digits *d, size_t g)
{
	return g >= d->ngroups ? 0 : d->group[g].digits - (g > 0 ? d->group[g - 1].digits : 0);
}

static bool is_date(const struct digits *d)
{
	size_t a = group_len(d, 0), b = group_len(d, 1), c = group_len(d, 2);
	return b == 2 && ((a == 2 && c == 4) || (a == 4 && c == 2));
}

static size_t international(const struct digits *d, size_t min, size_t max)
{
	size_t found = 0;
	for (size_t g = 0; g < d->ngroups; g++) {
		size_t n = d->group[g].digits;
		if (g >= 2 && group_len(d, g) < 2) break;
		if (n >= min && n <= max) found = d->group[g].end;
	}
	return found;
}

/* Ten digits as in (212) 555-0123 or 212.555.0123, with or without a 1 before them. */
static size_t north_american(const struct digits *d)
{
	size_t skip = d->digit[0] == '1' && group_len(d, 0) == 1 ? 1 : 0, g = skip;
	const char *digit = d->digit + skip;
	if (d->n < 10 + skip || digit[0] < '2' || digit[3] < '2') return 0;
	if (group_len(d, g) == 10) return d->group[g].end;
	if (group_len(d, g) == 3 && group_len(d, g + 1) == 3 && group_len(d, g + 2) == 4) return d->group[g + 2].end;
	return group_len(d, g) == 3 && group_len(d, g + 1) == 7 ? d->group[g + 1].end : 0;
}

/* Of the numbers in groups with points between them those with one point are fractions. */
static size_t national(const struct digits *d)
{
	size_t found = 0;
	char gap = d->group[0].gap;
	if (d->digit[0] != '0' || group_len(d, 0) < 2) return 0;
	for (size_t g = 0; g < d->ngroups && group_len(d, g) >= 2; g++) {
		size_t n = d->group[g].digits;
		if (g > 0 && (gap == '.') != (d->group[g - 1].gap == '.')) break;
		if (g == 1 && gap == '.') continue;
		if (g == 0 ? n == 10 || n == 11 : n >= 9 && n <= 13) found = d->group[g].end;
	}
	return found;
}

static size_t phone(struct str s)
{
	struct digits d;
	size_t skip = 0, end;
	if (at(s, 0) == '+' || at(s, 0) == '(') skip = 1;
	if (at(s, 0) == '+' && at(s, 1) == '(') skip = 2;
	if (!is_digit(at(s, skip))) return 0;
	read_digits(from(s, skip), " -.()/", &d);
	if (at(s, 0) == '+') {
		end = international(&d, 7, 15);
	} else if (is_date(&d)) {
		return 0;
	} else if (d.digit[0] == '0' && d.n > 1 && d.digit[1] == '0') {
		end = international(&d, 10, 17);
	} else {
		end = north_american(&d);
		if (end == 0) end = national(&d);
	}
	return end > 0 && !is_alnum(at(s, skip + end)) ? skip + end : 0;
}

/* ---- IBANs ------------------------------------------------------------------------------------------------------- */

#define IBAN_MAX 34

static bool passes_97(const char *p, size_t n)
{
	unsigned rest = 0;
	for (size_t k = 0; k < n; k++) {
		char c = p[(k + 4) % n]; /* the first four stand last */
		rest = is_digit(c) ? rest * 10 + (unsigned)(c - '0') : rest * 100 + (unsigned)(c - 'A' + 10);
		rest %= 97;
	}
	return rest == 1;
}

static size_t iban(struct str s)
{
	char text[IBAN_MAX];
	size_t n = 0, found = 0;
	if (!is_upper(at(s, 0)) || !is_upper(at(s, 1)) || !is_digit(at(s, 2)) || !is_digit(at(s, 3))) return 0;
	for (size_t i = 0; n < IBAN_MAX && (is_digit(at(s, i)) || is_upper(at(s, i)));) {
		text[n++] = s.p[i++];
		bool ends = !is_alnum(at(s, i));
		if (ends && n >= 15 && passes_97(text, n)) found = i;
		if (ends && n % 4 == 0 && is_one_of(at(s, i), " -")) i++;
	}
	return found;
}

/* ---- IP addresses ------------------------------------------------------------------------------------------------ */

static size_t ip4(struct str s)
{
	size_t i = 0;
	for (int part = 0; part < 4; part++) {
		int value = 0, n = 0;
		if (part > 0 && at(s, i++) != '.') return 0;
		for (; n < 4 && is_digit(at(s, i)); n++) value = value * 10 + (s.p[i++] - '0');
		if (n == 0 || n > 3 || value > 255) return 0;
	}
	return is_alnum(at(s, i)) || (at(s, i) == '.' && is_digit(at(s, i + 1))) ? 0 : i;
}

static size_t ip6(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char address[16];
	size_t n = 0, colons = 0, digits = 0;
	for (; n < sizeof text && (is_hex(at(s, n)) || is_one_of(at(s, n), ":.")); n++) {
		colons += s.p[n] == ':';
		digits += is_digit(s.p[n]);
	}
	if (is_alnum(at(s, n))) return 0;
	while (n > 0 && (s.p[n - 1] == '.' || (s.p[n - 1] == ':' && (n < 2 || s.p[n - 2] != ':')))) n--;
	if (colons < 2 || (digits == 0 && colons < 4) || !str_copy(str_n(s.p, n), text, sizeof text)) return 0;
	return inet_pton(AF_INET6, text, address) == 1 ? n : 0;
}

/* ---- e-mail addresses -------------------------------------------------------------------------------------------- */

/* Does a letter of some other script begin here? Its punctuation (U+00A0…, U+2000…, U+3000…, full width) is none. */
static bool is_foreign(struct str s, size_t i)
{
	unsigned char c = (unsigned char)at(s, i), next = (unsigned char)at(s, i + 1);
	return c > 0xc2 && !(c == 0xe2 && next == 0x80) && !(c == 0xe3 && next == 0x80) && c != 0xef;
}

static bool is_inside(struct str s, size_t i) { return ((unsigned char)at(s, i) & 0xc0) == 0x80; }

/* The length of the domain name at i, with a dot in it. */
static size_t domain(struct str s, size_t i)
{
	size_t n = 0, label = 0, dots = 0, end = 0;
	bool has_letter = false;
	for (;; n++) {
		char c = at(s, i + n);
		if (is_alnum(c) || c == '-' || is_foreign(s, i + n) || (label > 0 && is_inside(s, i + n))) {
			label++;
			has_letter = has_letter || !(is_digit(c) || c == '-');
			if (dots > 0 && label >= 2 && has_letter) end = n + 1;
		} else if (c == '.' && label > 0) {
			dots++;
			label = 0;
			has_letter = false;
		} else {
			return end;
		}
	}
}

/* ---- the pass ---------------------------------------------------------------------------------------------------- */

struct pass {
	struct buf *out;
	struct str s;
	size_t copied; /* so much of the text is in `out` */
	size_t local;  /* where what may be an address's first part begins; NOWHERE */
	size_t armed;  /* end of a word that announces a key; NOWHERE */
};

static void replace(struct pass *p, size_t begin, size_t end, const char *what)
{
	buf_add(p->out, p->s.p + p->copied, begin - p->copied);
	buf_add_str(p->out, str_c(what));
	p->copied = end;
	p->local = p->armed = NOWHERE;
}

/* Is what begins at i the rest of a number with a point, 5551234567 of 0.5551234567? */
static bool is_fraction(struct str s, size_t i)
{
	return i >= 2 && (s.p[i - 1] == '.' || s.p[i - 1] == ',') && is_digit(s.p[i - 2]);
}

static bool is_scoped(struct str s, size_t i) { return i >= 2 && s.p[i - 1] == ':' && s.p[i - 2] == ':'; }

static size_t find_key(const struct pass *p, size_t i)
{
	struct str s = from(p->s, i);
	if (s.p[0] == '-') return private_key(s);
	if (!is_alnum(s.p[0])) return 0;
	size_t n = known_key(s);
	return n == 0 && p->armed != NOWHERE && i - p->armed <= ARMED_GAP ? likely_key(s) : n;
}

static size_t find_address(const struct pass *p, size_t i)
{
	struct str s = from(p->s, i);
	size_t n = 0;
	if (is_digit(s.p[0]) && !is_fraction(p->s, i)) n = ip4(s);
	if (n == 0 && (is_hex(s.p[0]) || s.p[0] == ':') && !is_scoped(p->s, i)) n = ip6(s);
	return n;
}

/* What begins at i, where no word or number goes on: its length and kind. */
static size_t find(const struct pass *p, size_t i, const char **what)
{
	struct str s = from(p->s, i);
	size_t n = 0;
	if ((n = find_key(p, i)) > 0) *what = "[key]";
	else if ((n = iban(s)) > 0) *what = "[iban]";
	else if ((n = find_address(p, i)) > 0) *what = "[ip]";
	else if (is_fraction(p->s, i)) n = 0;
	else if (is_digit(s.p[0]) && (n = card(s)) > 0) *what = "[card]";
	else if ((n = phone(s)) > 0) *what = "[phone]";
	return n;
}

/* Passes over a word, which may announce a key. */
static size_t pass_word(struct pass *p, size_t i)
{
	size_t begin = i;
	if (p->local == NOWHERE) p->local = i;
	while (is_alnum(at(p->s, i))) i++;
	struct str word = str_n(p->s.p + begin, i - begin);
	if (announces_key(word)) p->armed = i;
	else if (!str_eq_nocase(word, STR("is"))) p->armed = NOWHERE;
	return i;
}

static size_t step(struct pass *p, size_t i)
{
	const char *what = NULL;
	char c = p->s.p[i];
	bool goes_on = i > p->copied && is_alnum(p->s.p[i - 1]);
	size_t n = goes_on ? 0 : find(p, i, &what);
	if (n > 0) {
		replace(p, i, i + n, what);
		return p->copied;
	}
	if (c == '@' && p->local != NOWHERE && (n = domain(p->s, i + 1)) > 0) {
		replace(p, p->local, i + 1 + n, "[email]");
		return p->copied;
	}
	if (is_alnum(c)) return pass_word(p, i);
	if (is_foreign(p->s, i)) {
		if (p->local == NOWHERE) p->local = i;
	} else if (!is_inside(p->s, i) && !is_one_of(c, "._%+-'&!#*~")) {
		p->local = NOWHERE;
	}
	return i + 1;
}

void mask_text(struct buf *out, struct str text)
{
	struct pass p = {.out = out, .s = text, .local = NOWHERE, .armed = NOWHERE};
	for (size_t i = 0; i < text.n;) i = step(&p, i);
	buf_add(out, text.p + p.copied, text.n - p.copied);
}
