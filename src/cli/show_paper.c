/* The line at the edge stands one row below an unfinished line of text. To go on with that one, the cursor goes up, all
 * from there is erased, the unfinished line is written once more and then what is new: so it is whole whatever happened to
 * the rows meanwhile, and no column needs to be found again that this program and the terminal may count differently.
 *
 * A terminal that has become narrower may have wrapped the unfinished line, and nobody can tell. It is left as it is then,
 * and text goes on in a line of its own. */
#include "cli/show_paper.h"

#include <stdarg.h>

#include "cli/term.h"

#define MARKS_MAX 8 /* characters without width in a row */

struct paper {
	FILE *f;
	bool is_live, has_colour;
	size_t columns;
	struct buf out; /* not gone out yet */
	struct buf row; /* the unfinished line, with its inks */
	struct buf edge;
	bool edge_shown, edge_changed;
	char ink; /* at the end of what went out */
};

/* ---- text of others --------------------------------------------------------------------------------------------- */

/* The code point of valid UTF-8. */
static uint32_t code_point(const char *p, size_t n)
{
	const unsigned char *b = (const unsigned char *)p;
	uint32_t c = n == 1 ? b[0] : b[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) c = (c << 6) | (b[i] & 0x3fU);
	return c;
}

/* Unicode's Bidi_Control, and those of its Default_Ignorable_Code_Points that text can do without. The zero-width joiners
 * (200c, 200d) and the first variation selectors are parts of words and of emoji. */
static bool is_tricky(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} ranges[] = {
		{0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200b}, {0x200e, 0x200f},
		{0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
	};
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (c >= ranges[i].from && c <= ranges[i].to) return true;
	return false;
}

void show_clean(struct buf *out, struct str text, int flags)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	size_t marks = 0, n;
	term_clean(&b, text, flags);
	for (size_t i = 0; i < b.n; i += n) {
		int columns = term_char(str_n(b.p + i, b.n - i), &n);
		bool is_blank = b.p[i] == '\n' || b.p[i] == '\t';
		marks = columns == 0 && !is_blank ? marks + 1 : 0;
		if (marks <= MARKS_MAX && !is_tricky(code_point(b.p + i, n))) buf_add(out, b.p + i, n);
	}
	buf_release(&b);
}

void show_short(struct buf *out, struct str text, size_t columns)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	size_t looked = MIN(text.n, columns * 64); /* no need to clean a megabyte for a line */
	show_clean(&b, str_n(text.p, looked), TERM_ONE_LINE);
	if (looked == text.n && term_width(buf_str(&b)) <= columns) {
		buf_add_str(out, buf_str(&b));
	} else {
		buf_add(out, buf_str(&b).p, term_fit(buf_str(&b), columns > 0 ? columns - 1 : 0));
		buf_add_str(out, STR("…"));
	}
	buf_release(&b);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static bool is_dumb(void)
{
	const char *term = getenv("TERM");
	return term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0;
}

struct paper *paper_new(FILE *f)
{
	struct paper *p = xcalloc(1, sizeof *p);
	p->f = f;
	p->is_live = term_is_tty(f) && !is_dumb();
	p->has_colour = term_has_colour(f);
	p->columns = (size_t)term_columns(fileno(f));
	p->ink = INK_PLAIN;
	buf_init(&p->out, BUF_NO_LIMIT);
	buf_init(&p->row, BUF_NO_LIMIT);
	buf_init(&p->edge, BUF_NO_LIMIT);
	return p;
}

void paper_free(struct paper *p)
{
	if (p == NULL) return;
	paper_edge(p, STR(""));
	paper_fresh(p);
	paper_ink(p, INK_PLAIN);
	paper_flush(p);
	buf_release(&p->out);
	buf_release(&p->row);
	buf_release(&p->edge);
	free(p);
}

bool paper_is_live(const struct paper *p) { return p->is_live; }
bool paper_has_colour(const struct paper *p) { return p->has_colour; }
size_t paper_columns(const struct paper *p) { return p->columns; }

/* ---- what is written -------------------------------------------------------------------------------------------- */

void paper_add(struct paper *p, struct str text) { buf_add_str(&p->out, text); }

void paper_addf(struct paper *p, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_add_str(&p->out, str_c(text));
}

/* The bytes up to the last blank at which the line can end; all of them when it fits, or cannot be broken. */
static size_t fold_at(struct str line, size_t columns)
{
	size_t used = 0, at = line.n;
	for (size_t i = 0, n = 1; i < line.n; i += n) {
		n = 1;
		if (ink_is(line.p[i])) continue;
		used += (size_t)term_char(str_n(line.p + i, line.n - i), &n);
		if (used > columns && at < line.n) return at;
		if (line.p[i] == ' ') at = i;
	}
	return used > columns ? at : line.n;
}

void paper_fold(struct paper *p, struct str line, size_t hang)
{
	for (size_t taken = 1; p->is_live && line.n > 0 && p->columns > taken; taken = hang + 1) {
		size_t n = fold_at(line, p->columns - taken);
		if (n == line.n || n == 0) break;
		paper_add(p, str_n(line.p, n));
		paper_add(p, STR("\n"));
		paper_fill(p, STR(" "), hang);
		line = str_n(line.p + n + 1, line.n - n - 1);
	}
	paper_add(p, line);
	paper_add(p, STR("\n"));
}

void paper_ink(struct paper *p, enum ink ink) { buf_add_char(&p->out, (char)ink); }

void paper_fill(struct paper *p, struct str one, size_t times)
{
	for (size_t i = 0; i < times; i++) buf_add_str(&p->out, one);
}

/* Inks take no room in a line. */
static bool is_at_beginning(struct str text, bool otherwise)
{
	for (size_t i = text.n; i > 0; i--)
		if (!ink_is(text.p[i - 1])) return text.p[i - 1] == '\n';
	return otherwise;
}

void paper_fresh(struct paper *p)
{
	if (!is_at_beginning(buf_str(&p->out), is_at_beginning(buf_str(&p->row), true))) buf_add_char(&p->out, '\n');
}

void paper_edge(struct paper *p, struct str text)
{
	if (!p->is_live || str_eq(buf_str(&p->edge), text)) return;
	buf_clear(&p->edge);
	buf_add_str(&p->edge, text);
	p->edge_changed = true;
}

/* ---- what goes out ---------------------------------------------------------------------------------------------- */

static void put_ink(const struct paper *p, struct buf *b, char ink)
{
	static const char *const escapes[] = {"\033[0m",   "\033[0;1m",  "\033[0;3m",  "\033[0;1;3m", "\033[0;36m",
					      "\033[0;2m", "\033[0;31m", "\033[0;36m", "\033[0;32m"};
	if (p->has_colour) buf_add_str(b, str_c(escapes[ink - INK_PLAIN]));
}

/* Inks become escapes; the same ink twice is put once. */
static void put_text(struct paper *p, struct buf *b, struct str text)
{
	for (size_t i = 0; i < text.n;) {
		size_t n = 0;
		while (i + n < text.n && !ink_is(text.p[i + n])) n++;
		buf_add(b, text.p + i, n);
		i += n;
		if (i == text.n) break;
		if (text.p[i] != p->ink) put_ink(p, b, text.p[i]);
		p->ink = text.p[i++];
	}
}

static void lift(struct paper *p, struct buf *b)
{
	if (!p->edge_shown) return;
	p->edge_shown = false;
	buf_add_str(b, STR("\r"));
	if (p->row.n > 0) buf_add_str(b, STR("\033[A"));
	buf_add_str(b, STR("\033[J"));
	char ink = p->ink;
	p->ink = INK_PLAIN;
	put_text(p, b, buf_str(&p->row));
	if (p->ink != ink) put_ink(p, b, ink);
	p->ink = ink;
}

static void lower(struct paper *p, struct buf *b)
{
	if (p->edge.n == 0) return;
	if (p->ink != INK_PLAIN) put_ink(p, b, INK_PLAIN);
	if (p->row.n > 0) buf_add_str(b, STR("\n"));
	put_ink(p, b, INK_DIM);
	buf_add(b, p->edge.p, term_fit(buf_str(&p->edge), p->columns > 1 ? p->columns - 1 : 0));
	put_ink(p, b, INK_PLAIN);
	p->edge_shown = true;
}

/* The last line of what goes out, if it is not finished. */
static void keep_row(struct paper *p)
{
	const char *end = p->out.n > 0 ? memrchr(p->out.p, '\n', p->out.n) : NULL;
	size_t from = end != NULL ? (size_t)(end + 1 - p->out.p) : 0;
	if (end != NULL) buf_clear(&p->row);
	if (from < p->out.n) buf_add(&p->row, p->out.p + from, p->out.n - from);
	if (is_at_beginning(buf_str(&p->row), true)) buf_clear(&p->row);
}

static void put_out(struct paper *p, const struct buf *b)
{
	if (b->n > 0) fwrite(b->p, 1, b->n, p->f);
	fflush(p->f);
}

bool paper_look(struct paper *p)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	size_t columns = (size_t)term_columns(fileno(p->f));
	if (columns == p->columns) return false;
	p->columns = columns;
	if (p->ink != INK_PLAIN) put_ink(p, &b, INK_PLAIN);
	p->ink = INK_PLAIN;
	if (p->edge_shown) buf_add_str(&b, STR("\r\033[J")); /* the row above is not touched */
	else if (p->row.n > 0) buf_add_str(&b, STR("\n"));
	p->edge_shown = false;
	p->edge_changed = true;
	buf_clear(&p->row);
	put_out(p, &b);
	buf_release(&b);
	return true;
}

void paper_flush(struct paper *p)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (p->out.n == 0 && !p->edge_changed) return;
	p->edge_changed = false;
	lift(p, &b);
	put_text(p, &b, buf_str(&p->out));
	keep_row(p);
	buf_clear(&p->out);
	lower(p, &b);
	put_out(p, &b);
	buf_release(&b);
}
