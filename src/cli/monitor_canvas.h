/* A screen in memory: cells with a character and a style, which the terminal is then made to show.
 *
 * Everything that is drawn goes through canvas_put, and there everything is made harmless: what controls a terminal, what
 * turns the order of text round and what nobody sees is left out, bad UTF-8 becomes U+FFFD. Nothing is drawn outside the
 * canvas; a wide character that does not fit is a blank. */
#ifndef ROOST_CLI_MONITOR_CANVAS_H
#define ROOST_CLI_MONITOR_CANVAS_H

#include <wchar.h>

#include "base/buf.h"

enum canvas_style {
	CANVAS_PLAIN = 0,
	CANVAS_BOLD = 1,
	CANVAS_DIM = 2,
	CANVAS_REVERSE = 4,
	CANVAS_RED = 8, /* one colour at most */
	CANVAS_GREEN = 16,
	CANVAS_YELLOW = 32,
	CANVAS_CYAN = 64,
};

#define CANVAS_MARKS 2 /* combining characters kept on one cell */
struct canvas_cell {
	wchar_t text[CANVAS_MARKS + 2]; /* ends with 0; "" is the right half of a wide character */
	unsigned style;
};
struct canvas {
	int rows, cols;
	struct canvas_cell *cells; /* row after row */
};

/* Blank, of at least one cell. Keeps its memory when the size stays. */
void canvas_begin(struct canvas *c, int rows, int cols);
void canvas_release(struct canvas *c);
/* Puts text at a place, over at most `width` columns, and returns the columns it took. Line feeds and tabs are blanks. */
int canvas_put(struct canvas *c, int row, int col, int width, unsigned style, struct str text);
/* Gives a stretch of a row another style. */
void canvas_paint(struct canvas *c, int row, int col, int width, unsigned style);
/* A row as UTF-8 without the blanks at its end. */
void canvas_row(const struct canvas *c, int row, struct buf *out);

/* The bytes of the first line when text is broken into lines of that width, a blank or line feed behind it included; at
 * least one character, 0 for an empty text. */
size_t canvas_line(struct str text, int width);

#endif
