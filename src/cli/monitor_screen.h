/* The terminal of `roost monitor`, through ncurses: shows canvases, gives keys. One at a time, on one thread. */
#ifndef ROOST_CLI_MONITOR_SCREEN_H
#define ROOST_CLI_MONITOR_SCREEN_H

#include "cli/monitor_canvas.h"

/* Are standard input and output a terminal that can be drawn on: not "dumb", and known to terminfo? */
bool monitor_screen_can(void);
/* Takes it over; handlers of signals that are set already stay. False: it cannot, and nothing was changed. */
bool monitor_screen_begin(void);
/* Gives it back as it was. */
void monitor_screen_end(void);
void monitor_screen_size(int *out_rows, int *out_cols); /* now; after SIGWINCH it is another */
/* Sends what has changed since the last one. */
void monitor_screen_show(const struct canvas *c);
void monitor_screen_redraw(void); /* the next one is sent whole */
/* The next key that was pressed (monitor_model.h); 0: none waits. */
int32_t monitor_screen_key(void);

#endif
