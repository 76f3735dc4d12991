#include "cli/monitor_canvas.h"

#include <utf8proc.h>

void canvas_begin(struct canvas *c, int rows, int cols)
{
	rows = MAX(rows, 1);
	cols = MAX(cols, 1);
	if (c->cells == NULL || rows != c->rows || cols != c->cols) {
		free(c->cells);
		c->cells = xcalloc(xmul((size_t)rows, (size_t)cols), sizeof *c->cells);
		c->rows = rows;
		c->cols = cols;
	}
	for (size_t i = 0; i < (size_t)rows * (size_t)cols; i++) c->cells[i] = (struct canvas_cell){.text = L" "};
}

void canvas_release(struct canvas *c)
{
	free(c->cells);
	*c = (struct canvas){0};
}

/* The next character of a text that is not empty, as it is shown: 0 not at all, U+FFFD for what is none. */
static wchar_t next_char(struct str text, size_t *out_bytes, int *out_columns)
{
	utf8proc_int32_t c;
	utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.p, (utf8proc_ssize_t)text.n, &c);
	*out_bytes = n > 0 ? (size_t)n : 1;
	*out_columns = 1;
	if (n <= 0) return 0xfffd;
	if (c == '\n' || c == '\t') return ' ';
	switch (utf8proc_category(c)) {
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_CF: return 0;
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
	case UTF8PROC_CATEGORY_ZS: return ' ';
	case UTF8PROC_CATEGORY_CS:
	case UTF8PROC_CATEGORY_CO:
	case UTF8PROC_CATEGORY_CN: return 0xfffd;
	default: break;
	}
	*out_columns = wcwidth((wchar_t)c); /* what the terminal counts with */
	if (*out_columns >= 0) return (wchar_t)c;
	*out_columns = 1;
	return 0xfffd;
}

static struct canvas_cell *cell_at(struct canvas *c, int row, int col)
{
	return &c->cells[(size_t)row * (size_t)c->cols + (size_t)col];
}

static void add_mark(struct canvas_cell *cell, wchar_t mark)
{
	for (size_t i = 1; i <= CANVAS_MARKS; i++) {
		if (cell->text[i] != 0) continue;
		cell->text[i] = mark;
		return;
	}
}

int canvas_put(struct canvas *c, int row, int col, int width, unsigned style, struct str text)
{
	if (row < 0 || row >= c->rows || col < 0 || col >= c->cols) return 0;
	int at = col, end = col + MIN(MAX(width, 0), c->cols - col);
	struct canvas_cell *last = NULL;
	size_t bytes;
	for (size_t i = 0; i < text.n; i += bytes) {
		int columns;
		wchar_t ch = next_char(str_n(text.p + i, text.n - i), &bytes, &columns);
		if (ch == 0) continue;
		if (columns == 0) {
			if (last != NULL) add_mark(last, ch);
			continue;
		}
		if (at + columns > end) break;
		last = cell_at(c, row, at);
		*last = (struct canvas_cell){.text = {ch}, .style = style};
		if (columns == 2) *cell_at(c, row, at + 1) = (struct canvas_cell){.style = style};
		at += columns;
	}
	return at - col;
}

void canvas_paint(struct canvas *c, int row, int col, int width, unsigned style)
{
	if (row < 0 || row >= c->rows) return;
	for (int i = MAX(col, 0); i < MIN(col + width, c->cols); i++) cell_at(c, row, i)->style = style;
}

void canvas_row(const struct canvas *c, int row, struct buf *out)
{
	const struct canvas_cell *cells = &c->cells[(size_t)row * (size_t)c->cols];
	size_t end = out->n;
	for (int i = 0; i < c->cols; i++) {
		for (const wchar_t *p = cells[i].text; *p != 0; p++) {
			utf8proc_uint8_t bytes[4];
			buf_add(out, bytes, (size_t)utf8proc_encode_char((utf8proc_int32_t)*p, bytes));
		}
		if (cells[i].text[0] != ' ') end = out->n;
	}
	if (out->p == NULL) return;
	out->n = end;
	out->p[end] = '\0';
}

size_t canvas_line(struct str text, int width)
{
	size_t at = 0, blank = 0, bytes;
	for (int used = 0; at < text.n; at += bytes) {
		int columns;
		wchar_t ch = next_char(str_n(text.p + at, text.n - at), &bytes, &columns);
		if (text.p[at] == '\n') return at + 1;
		used += ch == 0 ? 0 : columns;
		if (used > width) {
			if (ch == ' ') return at + bytes;
			return blank > 0 ? blank : at > 0 ? at : bytes;
		}
		if (ch == ' ') blank = at + bytes;
	}
	return at;
}
