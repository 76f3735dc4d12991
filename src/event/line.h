/* The form of a journal line, for the writer and the reader. Pure.
 *
 *   {"at":"2026-01-02T03:04:05.678Z","n":123,"event":"…",…,"sum":"9f04c2d1"}
 *
 * at and n stand first, in this order, so that a reader need not parse JSON to find its place; sum stands last: the low
 * 32 bits of hash64 over everything before `,"sum"`, in hexadecimal. */
#ifndef ROOST_EVENT_LINE_H
#define ROOST_EVENT_LINE_H

#include "event/journal.h"

#define LINE_MAX_BYTES ((size_t)64 << 10)

/* Everything after `n`: `,"event":"…",…`, without sum and brace. */
void line_write_tail(struct buf *b, const char *type, const struct ev_field *fields, size_t nfields);
/* The whole line with its newline. */
void line_write(struct buf *b, int64_t wall_ms, int64_t n, struct str tail);

/* The end of a line whose first byte is at `from`: the sum, the brace and the newline. Event files of the lab have it
 * too. */
void line_add_sum(struct buf *b, size_t from);
enum line_sum { LINE_WITHOUT_SUM, LINE_SUM_RIGHT, LINE_SUM_WRONG };
enum line_sum line_check_sum(struct str line); /* without its newline */

#endif
