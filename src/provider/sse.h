/* Server-sent events, cut out of a stream of bytes (WHATWG HTML, "parsing an event stream").
 *
 * Pure and incremental: pieces may end anywhere, also inside a character, inside CR LF or inside the BOM. Lines end in
 * LF, CR LF or CR. `id` and `retry` and unknown fields are skipped, comments too. The bytes of an event are not looked
 * at: whether they are UTF-8 is for its reader to see.
 *
 * One thing is read that the standard skips: where an event may begin, a line that begins with "{" is data, and so are the
 * lines up to the next empty one. Gemini puts an error into a stream like that. */
#ifndef ROOST_PROVIDER_SSE_H
#define ROOST_PROVIDER_SSE_H

#include "base/buf.h"

struct sse_event {
	struct str name; /* "" when none was given: "message" by the standard */
	struct str data; /* data lines joined by LF */
};

/* Views in the event die when it returns. False: look at nothing more. */
typedef bool (*sse_fn)(void *ctx, struct sse_event ev);

struct sse {
	struct buf line; /* the line that is not finished yet */
	struct buf name;
	struct buf data;
	struct str lone;  /* the event's only data line so far, a view of the piece that is fed; "" not so */
	bool has_data;    /* a data line came since the last event */
	bool bare;        /* the event is a JSON object without a field's name */
	bool after_cr;    /* the last byte was CR: a LF now belongs to it */
	bool after_first; /* the first line is over, where a BOM may stand */
};

void sse_init(struct sse *s, size_t max_event_bytes); /* also the longest line */
void sse_release(struct sse *s);
/* ERR_PROVIDER_LIMIT when a line or an event is too long; the parser must not be fed after that. */
MUST_USE enum err sse_feed(struct sse *s, struct str bytes, sse_fn fn, void *ctx, struct errinfo *info);
/* The stream is over. The standard drops an event that no empty line ended; but providers forget that line after their
 * last event, so it is delivered here. */
MUST_USE enum err sse_end(struct sse *s, sse_fn fn, void *ctx, struct errinfo *info);

#endif
