/* Light Markdown for a terminal, as it comes in: bold, italics, code, headings, lists and fenced code.
 *
 * Text goes in clean and in pieces of any size; text with inks (show_paper.h) and the marks below comes out. Whether an
 * asterisk begins something is known when its partner comes, so a little text may be held back until then: what never
 * finds a partner comes out as it went in. Where there is no colour these characters stay. Pure. */
#ifndef ROOST_CLI_SHOW_MARKDOWN_H
#define ROOST_CLI_SHOW_MARKDOWN_H

#include "base/buf.h"

#define MARK_HANG '\x0e'     /* when this line is wrapped, it goes on below this column */
#define MARK_VERBATIM '\x0f' /* this line is broken where it is full, not between words */

struct markdown {
	struct buf held; /* of the line that is not finished */
	bool has_colour;
	bool in_body; /* what kind of line it is has been told */
	bool is_verbatim, is_heading;
	char fence;  /* ` or ~ of the fence that we are in, 0 in none */
	char before; /* the last byte of this line that went out */
};

void markdown_init(struct markdown *m, bool has_colour);
void markdown_release(struct markdown *m);
void markdown_feed(struct markdown *m, struct str text, struct buf *out);
/* There is no more: what was held back comes out. */
void markdown_end(struct markdown *m, struct buf *out);

#endif
