/* One line of an event file: an event as JSON, and back.
 *
 *   {"conversation_id":"…",…,"timestamp":"2026-01-02T03:04:05.678901+00:00","event_type":"TurnStartEvent",
 *    "experiment_id":null,"seq":12,"sum":"9f04c2d1"}
 *
 * `sum` is the journal's checksum (event/line.h). The reader also takes Pidgin's lines: no seq and sum, fields nested in
 * "data", timestamps without a zone (taken for UTC), a nested `turn`, names of types without "Event". What it does not
 * know it passes over. Pure. */
#ifndef ROOST_EVENT_LAB_LINE_H
#define ROOST_EVENT_LAB_LINE_H

#include "event/lab.h"

/* What happens to texts on their way into a file.
 *   none     they stay
 *   mask     addresses, numbers and keys in them are replaced by their kind (mask.h)
 *   hash     {"chars","bytes","sha256"} stands for each
 *   drop     {"chars","bytes"} stands for each */
enum redaction { REDACT_NONE, REDACT_MASK, REDACT_HASH, REDACT_DROP };
bool redaction_parse(struct str name, enum redaction *out); /* "off", "mask-pii", "hash", "drop" */
const char *redaction_name(enum redaction r);
/* A text as one JSON value, for what stands in other files than these. */
void redaction_write(struct jw *w, struct str text, enum redaction r);

/* Appends the line with its newline. */
void lab_line_write(struct buf *b, const struct lab_event *e, enum redaction redaction);

/* Reads a line (without the newline) into the arena's memory. ERR_BAD_JSON: it is none; ERR_CORRUPT: its checksum is
 * wrong; ERR_UNKNOWN_TYPE: an event_type that is not in the table, *out has what is common. A text that was redacted
 * reads as absent. */
MUST_USE enum err lab_line_read(struct arena *arena, struct str line, struct lab_event *out, struct errinfo *info);

#endif
