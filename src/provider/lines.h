/* Lines cut out of a stream of bytes: JSON, one object a line (NDJSON), as Ollama and command-line agents send it.
 *
 * Pure and incremental: pieces may end anywhere. Lines end in LF or CR LF; empty ones are skipped. */
#ifndef ROOST_PROVIDER_LINES_H
#define ROOST_PROVIDER_LINES_H

#include "base/buf.h"

/* The view dies when it returns. False: look at nothing more. */
typedef bool (*line_fn)(void *ctx, struct str line);

struct lines {
	struct buf line; /* the one that is not finished yet */
};

void lines_init(struct lines *l, size_t max_line_bytes);
void lines_release(struct lines *l);
/* ERR_PROVIDER_LIMIT when a line is too long; the reader must not be fed after that. */
MUST_USE enum err lines_feed(struct lines *l, struct str bytes, line_fn fn, void *ctx, struct errinfo *info);
/* The stream is over: a last line without an end is delivered. */
void lines_end(struct lines *l, line_fn fn, void *ctx);

#endif
