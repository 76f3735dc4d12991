/* What goes to a terminal.
 *
 * Text that came from anywhere else (a peer, a model, a file) passes through term_clean before it is shown: no byte
 * that a terminal would obey survives it. Widths are in columns, as the terminal counts them. Everything here works
 * without a terminal too; then there is no colour and nothing is cut. */
#ifndef ROOST_CLI_TERM_H
#define ROOST_CLI_TERM_H

#include "base/buf.h"

/* The locale's characters, or UTF-8 where the locale has none. Once, at the start. */
void term_init(void);

bool term_is_tty(FILE *f);
/* Whether `f` takes colour: a terminal that is not "dumb", and NO_COLOR is not set. */
bool term_has_colour(FILE *f);
/* The escape for it when `f` takes colour, "" otherwise. */
enum term_style { TERM_PLAIN, TERM_BOLD, TERM_DIM, TERM_RED, TERM_GREEN, TERM_CYAN };
const char *term_style(FILE *f, enum term_style style);
/* Columns of the terminal behind `fd`, 80 when it has none. */
int term_columns(int fd);

/* Appends `text` without C0 and C1 controls, ESC and DEL; bytes that are not UTF-8 become U+FFFD. Line feeds and tabs
 * stay, or become spaces with TERM_ONE_LINE. */
enum { TERM_ONE_LINE = 1 };
void term_clean(struct buf *out, struct str text, int flags);
/* Appends `text` with every character that does not show itself, or that turns the order of others round, as its number:
 * \u{200b}. For what a person has to decide by reading it. Line feeds stay. */
void term_visible(struct buf *out, struct str text);
/* Prints it. */
void term_put(FILE *f, struct str text, int flags);
/* Columns that one character takes (0, 1 or 2), and the number of its bytes; bad bytes count as one column each. */
int term_char(struct str text, size_t *out_bytes);
size_t term_width(struct str text);
/* The bytes of the longest beginning of `text` that fits into `columns`. */
size_t term_fit(struct str text, size_t columns);

/* Short forms for people: "12.3 MB", "3 d 4 h", "2026-01-02 03:04:05" in local time. */
#define TERM_WORD 32
void term_bytes(int64_t bytes, char out[TERM_WORD]);
void term_duration(int64_t ms, char out[TERM_WORD]);
void term_time(int64_t wall_ms, char out[TERM_WORD]);

/* A table with aligned columns. Cells are cleaned and kept; the first row is the heading. */
#define TABLE_COLUMNS 8
struct table {
	size_t columns;
	char **cells; /* row after row */
	size_t n, cap;
};
void table_init(struct table *t, size_t columns);
void table_add(struct table *t, struct str cell);
void table_print(const struct table *t, FILE *f);
void table_release(struct table *t);

#endif
