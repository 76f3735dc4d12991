/* The monitor's frame, and the same as plain text or JSON where there is no terminal. */
#ifndef ROOST_CLI_MONITOR_DRAW_H
#define ROOST_CLI_MONITOR_DRAW_H

#include "cli/monitor_canvas.h"
#include "cli/monitor_model.h"

/* Any size from 1x1. Tells the model how much of each list is on the screen. */
void monitor_draw(struct monitor *m, struct canvas *c, int rows, int cols);

/* "1,234", "12.3k", "4.56M": at most 6 columns up to 999T. */
void monitor_count(int64_t n, struct buf *out);
/* "3 running · 12 of 40 conversations · …", a segment each. */
#define SUMMARY_SEGMENTS 12
struct monitor_segment {
	char text[120];
	unsigned style;
};
size_t monitor_segments(const struct monitor *m, struct monitor_segment out[SUMMARY_SEGMENTS]);
const char *monitor_outcome(enum error_outcome o);

/* monitor_print.c */
void monitor_print(const struct monitor *m, FILE *out);
void monitor_print_json(const struct monitor *m, struct buf *out);

#endif
