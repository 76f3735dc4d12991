/* A terminal with a line being edited at its bottom and text running in above it.
 *
 * screen_write appends to the text above; the line that is being typed, the prompt before it and the cursor in it stay
 * as they are. Text is taken as safe (term_clean) and may end anywhere in a line: the next piece goes on from there.
 * On a "dumb" terminal there is no editing, and text and typing share the lines.
 *
 * The terminal's settings are put back by screen_free. One thread; nothing blocks. */
#ifndef ROOST_CLI_SCREEN_H
#define ROOST_CLI_SCREEN_H

#include "base/buf.h"

struct screen;

struct screen_hooks {
	void (*line)(void *ctx, struct str line); /* a line was typed, without its end */
	void (*end)(void *ctx);                   /* Ctrl-D on an empty line, or the terminal went away */
	void (*key)(void *ctx);                   /* anything else was typed */
	void *ctx;
};

/* `in_fd` is the terminal, opened for reading and non-blocking; text goes to stdout. */
struct screen *screen_new(int in_fd, const struct screen_hooks *h);
void screen_free(struct screen *s);

void screen_read(struct screen *s); /* in_fd is readable */
void screen_write(struct screen *s, struct str text);
/* Goes to the beginning of a new line unless it is at one. */
void screen_fresh_line(struct screen *s);
void screen_prompt(struct screen *s, const char *prompt); /* the text in front of the line */
size_t screen_typed(const struct screen *s);              /* bytes of the line that is being typed */
void screen_remember(struct screen *s, struct str line);  /* for the arrow keys */
bool screen_clear_line(struct screen *s);                 /* drops what was typed; false when there was nothing */
void screen_resized(struct screen *s);                    /* SIGWINCH */
void screen_resumed(struct screen *s);                    /* SIGCONT */

#endif
