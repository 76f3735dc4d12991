/* Text that runs down a terminal above one line at its lower edge, which tells how far things are.
 *
 * Text may end anywhere in a line; what comes next goes on from there. It carries its look in itself: a byte of enum ink
 * says how what follows is to look, and since text of others passes through show_clean, no such byte is theirs. Nothing
 * goes out before paper_flush, and then all of it at once. Where there is no terminal, or one that is "dumb", inks and the
 * line at the edge are left out. One thread. */
#ifndef ROOST_CLI_SHOW_PAPER_H
#define ROOST_CLI_SHOW_PAPER_H

#include "base/buf.h"

/* Each is a whole look and not a change of the one before it. */
enum ink {
	INK_PLAIN = 0x10,
	INK_BOLD,
	INK_ITALIC,
	INK_BOLD_ITALIC,
	INK_CODE,
	INK_DIM,
	INK_RED,
	INK_CYAN,
	INK_GREEN,
	INK_END
};
static inline bool ink_is(char c) { return c >= INK_PLAIN && c < INK_END; }

/* Appends text of others so that it is harmless and shows what it is: as term_clean, and without characters that show
 * nothing (joiners of emoji and of letters stay), that turn the order of others round, or that pile up on one letter. */
void show_clean(struct buf *out, struct str text, int flags);
/* The same in at most `columns` columns of one line, with … in place of the rest. */
void show_short(struct buf *out, struct str text, size_t columns);

struct paper;
struct paper *paper_new(FILE *f);
/* Takes the line at the edge away and leaves the cursor at the beginning of a line. */
void paper_free(struct paper *p);

bool paper_is_live(const struct paper *p); /* there is a line at the edge */
bool paper_has_colour(const struct paper *p);
size_t paper_columns(const struct paper *p); /* as of the last paper_look */
/* Looks at the terminal's size. True: it is another one than before, and an unfinished line was ended. */
bool paper_look(struct paper *p);

void paper_add(struct paper *p, struct str text);
void paper_addf(struct paper *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line, broken between words where it is too long for the terminal; it goes on `hang` columns from the left. */
void paper_fold(struct paper *p, struct str line, size_t hang);
void paper_ink(struct paper *p, enum ink ink);
void paper_fill(struct paper *p, struct str one, size_t times);
/* To the beginning of a line, unless it is at one. */
void paper_fresh(struct paper *p);
/* What the line at the edge says from the next flush on; "" there is none. Cut to the width. */
void paper_edge(struct paper *p, struct str text);
void paper_flush(struct paper *p);

#endif
