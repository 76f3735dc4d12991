#include "cli/show_markdown.h"

#include "cli/show_paper.h"

#define SPAN_MAX 400   /* bytes between two partners */
#define INDENT_MAX 200 /* blanks in front of a line that can still be a list or a fence */
#define FENCE 3
#define FENCE_LINE_MAX 200 /* bytes of a line that can still be a fence */

void markdown_init(struct markdown *m, bool has_colour)
{
	*m = (struct markdown){.has_colour = has_colour};
	buf_init(&m->held, BUF_NO_LIMIT);
}

void markdown_release(struct markdown *m) { buf_release(&m->held); }

/* ---- in a line -------------------------------------------------------------------------------------------------- */

static bool is_word(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
static bool is_blank(char c) { return c == ' ' || c == '\t'; }
static bool is_mark(char c) { return c == '*' || c == '_' || c == '`'; }

static size_t run_of(struct str t, size_t from, char c)
{
	size_t n = 0;
	while (from + n < t.n && t.p[from + n] == c) n++;
	return n;
}

/* The length of the mark at `i`: two for ** and __; of code it is as many as there are. */
static size_t mark_len(struct str t, size_t i)
{
	if (t.p[i] == '`') return run_of(t, i, '`');
	return i + 1 < t.n && t.p[i + 1] == t.p[i] ? 2 : 1;
}

enum found { FOUND, FOUND_NOT, FOUND_LATER };

static enum found find_code_end(struct str t, size_t from, size_t n, bool is_whole, size_t *out)
{
	size_t end = MIN(t.n, from + SPAN_MAX), run;
	for (size_t k = from; k < end; k += MAX(run, (size_t)1)) {
		run = run_of(t, k, '`');
		if (run > 0 && !is_whole && k + run == t.n) return FOUND_LATER;
		if (run != n) continue;
		*out = k;
		return FOUND;
	}
	return is_whole || t.n > from + SPAN_MAX ? FOUND_NOT : FOUND_LATER;
}

/* Does the mark at `i` begin something, and where does its partner stand? LATER: what comes next decides. */
static enum found find_partner(struct str t, size_t i, char before, bool is_whole, size_t *out)
{
	char c = t.p[i];
	size_t n = mark_len(t, i), end = MIN(t.n, i + SPAN_MAX);
	if (n >= SPAN_MAX) return FOUND_NOT;
	if (!is_whole && i + n >= t.n) return FOUND_LATER;
	if (c == '`') return find_code_end(t, i + n, n, is_whole, out);
	if (i + n >= t.n || is_blank(t.p[i + n])) return FOUND_NOT;
	if ((n == 1 || c == '_') && is_word(before)) return FOUND_NOT;
	for (size_t k = i + n + 1; k + n <= end; k++) {
		if (t.p[k] != c || (n == 2 && t.p[k + 1] != c)) continue;
		if (!is_whole && k + n == t.n) return FOUND_LATER;
		char after = k + n < t.n ? t.p[k + n] : '\0';
		bool closes = !is_blank(t.p[k - 1]);
		if (n == 1) closes = closes && after != c && t.p[k - 1] != c;
		if (n == 1 || c == '_') closes = closes && !is_word(after);
		if (!closes) continue;
		*out = k;
		return FOUND;
	}
	return is_whole || t.n > i + SPAN_MAX ? FOUND_NOT : FOUND_LATER;
}

static enum ink inside(enum ink around, char mark, size_t n)
{
	if (mark == '`') return INK_CODE;
	if (n == 2) return around == INK_ITALIC || around == INK_BOLD_ITALIC ? INK_BOLD_ITALIC : INK_BOLD;
	return around == INK_BOLD || around == INK_BOLD_ITALIC ? INK_BOLD_ITALIC : INK_ITALIC;
}

/* Puts what can be told of `t`; returns how many bytes that was. Of marks inside a pair at least one kind less is left, so
 * it goes no deeper than there are kinds. */
static size_t put_inline(const struct markdown *m, struct str t, enum ink ink, char before, bool is_whole,
			 struct buf *out)
{
	size_t i = 0, partner = 0;
	while (i < t.n) {
		size_t from = i;
		while (i < t.n && !(m->has_colour && is_mark(t.p[i]))) i++;
		buf_add(out, t.p + from, i - from);
		if (i == t.n) break;
		size_t n = mark_len(t, i);
		enum found f = find_partner(t, i, i > 0 ? t.p[i - 1] : before, is_whole, &partner);
		if (f == FOUND_LATER) break;
		if (f == FOUND_NOT) {
			buf_add(out, t.p + i, n);
			i += n;
			continue;
		}
		struct str span = str_n(t.p + i + n, partner - i - n);
		enum ink own = inside(ink, t.p[i], n);
		buf_add_char(out, (char)own);
		if (own == INK_CODE) buf_add_str(out, span);
		else (void)put_inline(m, span, own, '\0', true, out);
		buf_add_char(out, (char)ink);
		i = partner + n;
	}
	return i;
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

enum kind { KIND_LATER, KIND_TEXT, KIND_HEADING, KIND_LIST, KIND_FENCE };

/* A marker that ends before `i` is one when a blank follows. */
static enum kind when_blank(struct str t, size_t i, bool is_whole, enum kind kind)
{
	if (i < t.n) return is_blank(t.p[i]) ? kind : KIND_TEXT;
	return is_whole ? KIND_TEXT : KIND_LATER;
}

/* `at` is where the line's first character stands. A fence is known by its whole line: ``` may also begin and end a few
 * words. */
static enum kind kind_of_fence(const struct markdown *m, struct str t, size_t at, bool is_whole)
{
	char c = t.p[at];
	size_t n = run_of(t, at, c);
	if (m->fence != 0 && c != m->fence) return KIND_TEXT;
	if (n < FENCE) return at + n < t.n || is_whole ? KIND_TEXT : KIND_LATER;
	if (t.n > FENCE_LINE_MAX) return KIND_TEXT;
	for (size_t i = at + n; i < t.n; i++)
		if (t.p[i] == c) return KIND_TEXT;
	return is_whole ? KIND_FENCE : KIND_LATER;
}

/* *out_body: where the text behind a list's marker begins. */
static enum kind kind_of(const struct markdown *m, struct str t, bool is_whole, size_t *out_body)
{
	size_t at = 0, digits = 0;
	*out_body = 0;
	while (at < t.n && is_blank(t.p[at])) at++;
	if (at == t.n) return is_whole || at > INDENT_MAX ? KIND_TEXT : KIND_LATER;
	char c = t.p[at];
	if (c == '`' || c == '~') return kind_of_fence(m, t, at, is_whole);
	if (m->fence != 0) return KIND_TEXT;
	if (c == '#') {
		size_t n = run_of(t, at, '#');
		return n > 6 ? KIND_TEXT : when_blank(t, at + n, is_whole, KIND_HEADING);
	}
	if (c == '-' || c == '*' || c == '+') {
		*out_body = at + 2;
		return when_blank(t, at + 1, is_whole, KIND_LIST);
	}
	while (digits < 3 && at + digits < t.n && t.p[at + digits] >= '0' && t.p[at + digits] <= '9') digits++;
	if (digits == 0) return KIND_TEXT;
	if (at + digits == t.n) return is_whole ? KIND_TEXT : KIND_LATER;
	if (t.p[at + digits] != '.' && t.p[at + digits] != ')') return KIND_TEXT;
	*out_body = at + digits + 2;
	return when_blank(t, at + digits + 1, is_whole, KIND_LIST);
}

static size_t put_fence(struct markdown *m, struct str t, struct buf *out)
{
	size_t at = 0;
	while (is_blank(t.p[at])) at++;
	m->fence = m->fence == 0 ? t.p[at] : '\0';
	m->is_verbatim = true;
	buf_add_char(out, MARK_VERBATIM);
	buf_add_char(out, INK_DIM);
	buf_add_str(out, t);
	return t.n;
}

/* The beginning of a line; returns the bytes that were put. */
static size_t begin_line(struct markdown *m, struct str t, bool is_whole, struct buf *out)
{
	size_t body;
	enum kind k = kind_of(m, t, is_whole, &body);
	m->in_body = k != KIND_LATER;
	if (k == KIND_FENCE) return put_fence(m, t, out);
	if (k == KIND_LATER) return 0;
	m->is_verbatim = m->fence != 0;
	m->is_heading = k == KIND_HEADING;
	if (m->is_verbatim) {
		buf_add_char(out, MARK_VERBATIM);
		buf_add_char(out, INK_CODE);
	}
	if (m->is_heading) buf_add_char(out, INK_BOLD);
	if (k != KIND_LIST) return 0;
	buf_add(out, t.p, body);
	buf_add_char(out, MARK_HANG);
	return body;
}

/* Puts of the line that begins or goes on with `t` what can be told; returns how many bytes that was. */
static size_t put_line(struct markdown *m, struct str t, bool is_whole, struct buf *out)
{
	size_t n = m->in_body ? 0 : begin_line(m, t, is_whole, out);
	if (!m->in_body) return 0;
	struct str rest = str_n(t.p + n, t.n - n);
	if (m->is_verbatim) {
		buf_add_str(out, rest);
		n = t.n;
	} else {
		enum ink ink = m->is_heading ? INK_BOLD : INK_PLAIN;
		n += put_inline(m, rest, ink, n > 0 ? t.p[n - 1] : m->before, is_whole, out);
	}
	if (n > 0) m->before = t.p[n - 1];
	return n;
}

static void end_line(struct markdown *m, struct buf *out)
{
	if (m->is_verbatim || m->is_heading) buf_add_char(out, INK_PLAIN);
	m->in_body = m->is_verbatim = m->is_heading = false;
	m->before = '\0';
}

void markdown_feed(struct markdown *m, struct str text, struct buf *out)
{
	size_t done = 0;
	buf_add_str(&m->held, text);
	for (;;) {
		struct str t = str_n(m->held.p + done, m->held.n - done);
		const char *end = t.n > 0 ? memchr(t.p, '\n', t.n) : NULL;
		if (end == NULL) {
			if (t.n > 0) done += put_line(m, t, false, out);
			break;
		}
		t.n = (size_t)(end - t.p);
		(void)put_line(m, t, true, out);
		end_line(m, out);
		buf_add_char(out, '\n');
		done += t.n + 1;
	}
	buf_drop(&m->held, done);
}

void markdown_end(struct markdown *m, struct buf *out)
{
	if (m->held.n > 0) (void)put_line(m, buf_str(&m->held), true, out);
	end_line(m, out);
	m->fence = '\0';
	buf_clear(&m->held);
}
