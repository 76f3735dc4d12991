/* What somebody says, in a box on the left or on the right of a terminal; it grows while they speak.
 *
 * Words stay whole where they fit. A word is put when it is known to be over, so the last one of what came so far may still
 * be missing; bubble_end puts it. Without a terminal it is a line with the title, and the text as it is. */
#ifndef ROOST_CLI_SHOW_BUBBLE_H
#define ROOST_CLI_SHOW_BUBBLE_H

#include "cli/show_markdown.h"
#include "cli/show_paper.h"

#define BUBBLE_COLUMNS_MAX 76
#define BUBBLE_PER_CENT 70

enum side { SIDE_LEFT, SIDE_RIGHT, SIDE_WHOLE }; /* SIDE_WHOLE takes the terminal's width */

struct bubble {
	struct paper *paper;
	enum side side;
	enum ink ink; /* of the box */
	char *title;
	size_t margin, columns; /* of the text: what is within the box */
	struct markdown markdown;
	struct buf half; /* bytes of a character that is not complete */
	struct buf told; /* what the Markdown made of the text: inks and marks in it */

	/* The row that is open. */
	bool is_open;
	size_t column, hang;
	size_t next; /* where the next row begins */
	enum ink now;
	bool is_verbatim, said_something;
	struct buf word; /* with its inks */
	size_t word_columns, blanks;
};

/* Puts its upper edge. */
void bubble_begin(struct bubble *b, struct paper *paper, enum side side, enum ink ink, struct str title);
void bubble_add(struct bubble *b, struct str text); /* of others, as it is */
/* The terminal's width has changed. */
void bubble_resized(struct bubble *b);
/* Puts what is left, and the lower edge; frees. */
void bubble_end(struct bubble *b);
/* All of it at once. */
void bubble_whole(struct paper *paper, enum side side, enum ink ink, struct str title, struct str text);

#endif
