/* The journal: an append-only JSONL file of what happened, step by step. Never message text, never a secret.
 *
 * Lines look like {"at":"…","n":123,"event":"request.claimed","requestId":"…","attempt":1,…,"sum":"9f04c2d1"}; `n`
 * grows by one per line for ever, `sum` is a checksum of what stands before it. One thread writes; each line is one
 * write; files rotate at limits.journal_bytes (current.jsonl → journal-<first n>.jsonl) and the oldest beyond
 * limits.journal_files, current.jsonl included, are removed. On start a torn end is moved to current.jsonl.torn. When
 * the disk is full lines are counted as dropped and a "journal.dropped" line follows when space returns. journal_event
 * never blocks; any thread. */
#ifndef ROOST_EVENT_JOURNAL_H
#define ROOST_EVENT_JOURNAL_H

#include "base/json.h"
#include "base/limits.h"

struct journal;
/* Makes `dir` (0700) when it is missing. ERR_READ_ONLY, ERR_STORAGE_FULL or ERR_IO name the file. */
MUST_USE enum err journal_open(const char *dir, const struct limits *limits, struct journal **out,
			       struct errinfo *info);
void journal_close(struct journal *j); /* writes what is queued; NULL does nothing */

/* Field list of one event. Kinds: EV_STR (skipped when p is NULL), EV_INT, EV_BOOL. */
struct ev_field {
	const char *key;
	enum { EV_STR, EV_INT, EV_BOOL } kind;
	struct str s;
	int64_t i;
};
#define EVS(k, v) ((struct ev_field){.key = (k), .kind = EV_STR, .s = (v)})
#define EVI(k, v) ((struct ev_field){.key = (k), .kind = EV_INT, .i = (int64_t)(v)})
#define EVB(k, v) ((struct ev_field){.key = (k), .kind = EV_BOOL, .i = (v)})
/* `type` is from the table in event/events.h (dotted: "request.claimed"). A string longer than 1,000 bytes is cut. A
 * NULL journal takes everything and writes nothing. */
void journal_event_(struct journal *j, const char *type, const struct ev_field *fields, size_t n);
#define journal_event(j, type, ...)                                                                                    \
	journal_event_((j), (type), (const struct ev_field[]){__VA_ARGS__},                                            \
		       sizeof((const struct ev_field[]){__VA_ARGS__}) / sizeof(struct ev_field))

/* Waits until everything that was told before is written. For tests and the last line of a daemon. */
void journal_flush(struct journal *j);

/* Reads the journal of `dir` in order (rotated files first), from the given n or time (0: all); damaged lines are
 * counted in *out_bad (may be NULL) and skipped; a last line that is still being written is left out. An error of `fn`
 * ends it and is returned. A directory without a journal is ERR_NOT_FOUND. Usable without a daemon, and beside one. */
MUST_USE enum err journal_read(const char *dir, int64_t after_n, int64_t since_ms,
			       enum err (*fn)(void *ctx, int64_t n, struct str line), void *ctx, int64_t *out_bad,
			       struct errinfo *info);
/* Tail: called on the journal thread after each line, which has no newline; set before traffic starts. */
void journal_set_tail(struct journal *j, void (*fn)(void *ctx, int64_t n, struct str line), void *ctx);

/* One line's number and time, after its form and checksum were found right. `line` without the newline. Pure. */
bool journal_check_line(struct str line, int64_t *out_n, struct str *out_at);

#endif
