#include "cli/show_bubble.h"

#include "cli/term.h"

#define BOX 4 /* columns of "│ " and " │" */
#define TEXT_MIN 16
#define TAB_COLUMNS 8

/* ---- where it stands -------------------------------------------------------------------------------------------- */

static void lay_out(struct bubble *b)
{
	size_t all = paper_columns(b->paper), width = all * BUBBLE_PER_CENT / 100;
	width = MIN(MAX(width, (size_t)TEXT_MIN + BOX), (size_t)BUBBLE_COLUMNS_MAX);
	if (b->side == SIDE_WHOLE) width = MIN(all, (size_t)100);
	if (width + 1 > all) width = all > 1 ? all - 1 : 1; /* the last column stays free */
	b->columns = width > BOX + 1 ? width - BOX : 2;
	b->margin = b->side == SIDE_RIGHT && all > width + 1 ? all - width - 1 : 0;
}

static void put_margin(struct bubble *b) { paper_fill(b->paper, STR(" "), b->margin); }

static void put_upper_edge(struct bubble *b)
{
	struct buf title = BUF_INIT(BUF_NO_LIMIT);
	struct paper *p = b->paper;
	size_t room = b->columns > 2 ? b->columns - 2 : 1;
	show_short(&title, str_c(b->title), room);
	put_margin(b);
	paper_ink(p, b->ink);
	paper_add(p, STR("╭─ "));
	paper_add(p, buf_str(&title));
	paper_add(p, STR(" "));
	size_t used = term_width(buf_str(&title)) + 3;
	paper_fill(p, STR("─"), b->columns + 2 > used ? b->columns + 2 - used : 0);
	paper_add(p, STR("╮"));
	paper_ink(p, INK_PLAIN);
	paper_add(p, STR("\n"));
	buf_release(&title);
}

static void put_lower_edge(struct bubble *b)
{
	put_margin(b);
	paper_ink(b->paper, b->ink);
	paper_add(b->paper, STR("╰"));
	paper_fill(b->paper, STR("─"), b->columns + 2);
	paper_add(b->paper, STR("╯"));
	paper_ink(b->paper, INK_PLAIN);
	paper_add(b->paper, STR("\n"));
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static void open_row(struct bubble *b, size_t column)
{
	put_margin(b);
	paper_ink(b->paper, b->ink);
	paper_add(b->paper, STR("│ "));
	paper_ink(b->paper, b->now);
	paper_fill(b->paper, STR(" "), column);
	b->column = column;
	b->is_open = true;
}

static void close_row(struct bubble *b)
{
	if (!b->is_open) open_row(b, 0);
	paper_ink(b->paper, b->ink);
	paper_fill(b->paper, STR(" "), b->columns > b->column ? b->columns - b->column : 0);
	paper_add(b->paper, STR(" │"));
	paper_ink(b->paper, INK_PLAIN);
	paper_add(b->paper, STR("\n"));
	b->is_open = false;
	b->column = b->next = 0;
}

/* Inks in a word count from here on. */
static void put_inked(struct bubble *b, struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (ink_is(text.p[i])) b->now = (enum ink)text.p[i];
	paper_add(b->paper, text);
}

static bool is_only_inks(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!ink_is(text.p[i])) return false;
	return true;
}

/* The word that is over, on this row or the next, with the blanks before it. */
static void put_word(struct bubble *b)
{
	size_t needs = b->blanks + b->word_columns;
	if (b->word_columns > 0 && b->column > b->hang && b->column + needs > b->columns) {
		close_row(b);
		b->blanks = 0;
		open_row(b, b->hang);
	}
	if (b->word_columns > 0) {
		if (!b->is_open) open_row(b, b->next);
		size_t room = b->columns - MIN(b->columns, b->column + b->word_columns);
		b->blanks = MIN(b->blanks, room);
		paper_fill(b->paper, STR(" "), b->blanks);
		b->column += b->blanks;
		b->blanks = 0;
	}
	if (!b->is_open && !is_only_inks(buf_str(&b->word))) open_row(b, b->next);
	if (b->is_open) put_inked(b, buf_str(&b->word));
	else if (b->word.n > 0) b->now = (enum ink)b->word.p[b->word.n - 1];
	b->column += b->word_columns;
	b->word_columns = 0;
	buf_clear(&b->word);
}

static void put_char(struct bubble *b, struct str ch, size_t columns)
{
	size_t room = b->columns - (b->is_verbatim ? 0 : b->hang);
	if (b->is_verbatim && b->column + b->word_columns + columns > b->columns) {
		put_word(b);
		close_row(b);
	} else if (b->word_columns + columns > room || columns > 1) {
		put_word(b);
	}
	buf_add_str(&b->word, ch);
	b->word_columns += columns;
	b->said_something = true;
	if (columns > 1) put_word(b); /* such scripts are broken anywhere */
}

static void put_blank(struct bubble *b, size_t columns)
{
	if (b->is_verbatim) {
		for (size_t i = 0; i < columns; i++) put_char(b, STR(" "), 1);
		return;
	}
	put_word(b);
	b->blanks = MIN(b->blanks + columns, b->columns);
}

static void end_line(struct bubble *b)
{
	put_word(b);
	close_row(b);
	b->hang = b->blanks = 0;
	b->is_verbatim = false;
}

static void put_mark(struct bubble *b, char mark)
{
	if (mark == MARK_VERBATIM) {
		b->is_verbatim = true;
		return;
	}
	put_word(b);
	b->hang = MIN(b->column + b->blanks, b->columns / 2);
}

static void put_told(struct bubble *b)
{
	struct str t = buf_str(&b->told);
	for (size_t i = 0, n = 1; i < t.n; i += n) {
		char c = t.p[i];
		n = 1;
		if (c == '\n') end_line(b);
		else if (c == MARK_HANG || c == MARK_VERBATIM) put_mark(b, c);
		else if (ink_is(c)) buf_add_char(&b->word, c);
		else if (c == ' ') put_blank(b, 1);
		else if (c == '\t') put_blank(b, TAB_COLUMNS - (b->column + b->word_columns + b->blanks) % TAB_COLUMNS);
		else {
			int columns = term_char(str_n(t.p + i, t.n - i), &n);
			put_char(b, str_n(t.p + i, n), (size_t)columns);
		}
	}
	buf_clear(&b->told);
	if (b->is_verbatim) put_word(b);
}

/* ---- verbs ------------------------------------------------------------------------------------------------------ */

void bubble_begin(struct bubble *b, struct paper *paper, enum side side, enum ink ink, struct str title)
{
	*b = (struct bubble){.paper = paper, .side = side, .ink = ink, .title = str_dup(title), .now = INK_PLAIN};
	markdown_init(&b->markdown, paper_has_colour(paper));
	buf_init(&b->half, 8);
	buf_init(&b->told, BUF_NO_LIMIT);
	buf_init(&b->word, BUF_NO_LIMIT);
	paper_fresh(paper);
	if (paper_is_live(paper)) {
		lay_out(b);
		put_upper_edge(b);
		return;
	}
	struct buf clean = BUF_INIT(BUF_NO_LIMIT);
	show_clean(&clean, title, TERM_ONE_LINE);
	paper_add(paper, buf_str(&clean));
	paper_add(paper, STR(":\n"));
	buf_release(&clean);
}

static void add_clean(struct bubble *b, struct str text)
{
	struct buf clean = BUF_INIT(BUF_NO_LIMIT);
	show_clean(&clean, text, 0);
	if (paper_is_live(b->paper)) {
		markdown_feed(&b->markdown, buf_str(&clean), &b->told);
		put_told(b);
	} else {
		paper_add(b->paper, buf_str(&clean));
		b->said_something = b->said_something || clean.n > 0;
	}
	buf_release(&clean);
}

void bubble_add(struct bubble *b, struct str text)
{
	struct buf joined = BUF_INIT(BUF_NO_LIMIT);
	if (b->half.n > 0) {
		buf_add_str(&joined, buf_str(&b->half));
		buf_add_str(&joined, text);
		text = buf_str(&joined);
		buf_clear(&b->half);
	}
	size_t whole = text.n, from = text.n > 3 ? text.n - 3 : 0;
	for (size_t i = from; i < text.n; i++) { /* does a character begin here that has no end yet? */
		unsigned char c = (unsigned char)text.p[i];
		size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
		if (i + n > text.n) {
			whole = i;
			break;
		}
	}
	buf_add(&b->half, text.p + whole, text.n - whole);
	add_clean(b, str_n(text.p, whole));
	buf_release(&joined);
}

void bubble_resized(struct bubble *b)
{
	lay_out(b);
	b->hang = MIN(b->hang, b->columns / 2);
	if (b->is_open) b->next = b->hang;
	if (b->is_open) b->blanks = 0;
	b->is_open = false;
	b->column = b->next;
}

void bubble_end(struct bubble *b)
{
	if (b->half.n > 0) add_clean(b, buf_str(&b->half));
	if (paper_is_live(b->paper)) {
		markdown_end(&b->markdown, &b->told);
		put_told(b);
		put_word(b);
		if (!b->said_something) {
			b->now = INK_DIM;
			buf_add_str(&b->told, STR("(nothing)"));
			put_told(b);
			put_word(b);
		}
		if (b->is_open) close_row(b);
		put_lower_edge(b);
	} else {
		if (!b->said_something) paper_add(b->paper, STR("(nothing)"));
		paper_fresh(b->paper);
		paper_add(b->paper, STR("\n"));
	}
	markdown_release(&b->markdown);
	buf_release(&b->half);
	buf_release(&b->told);
	buf_release(&b->word);
	free(b->title);
	*b = (struct bubble){0};
}

void bubble_whole(struct paper *paper, enum side side, enum ink ink, struct str title, struct str text)
{
	struct bubble b;
	bubble_begin(&b, paper, side, ink, title);
	bubble_add(&b, text);
	bubble_end(&b);
}
