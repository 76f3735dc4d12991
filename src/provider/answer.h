/* Reading an answer: bytes in, text and an outcome out.
 *
 * Life: answer_new, answer_head, answer_feed for every piece of the body, answer_end, answer_free. Text is handed out as
 * it comes, in whole, valid UTF-8 characters; everything else (finish reason, usage, tool calls, what went wrong and
 * whether trying again may help) is in the outcome that answer_end gives.
 *
 * When is an answer complete? When the provider said so: by a finish reason or its dialect's last mark. A stream that
 * ends without either was cut, however politely it ended; one that said so is complete, however rudely the connection
 * broke afterwards. A complete answer with neither text nor a tool call is an error, since there is nothing to store as a
 * reply.
 *
 * With status 200 a body may be a stream, one JSON object (an error, or the whole answer by a server that does not
 * stream), or something else altogether, such as a proxy's login page. Which it is, is seen from its first byte and not
 * from Content-Type, which servers get wrong. JSON is read leniently: bytes that are not UTF-8 and halves of surrogate
 * pairs are repaired first when the strict reader does not take them. */
#ifndef ROOST_PROVIDER_ANSWER_H
#define ROOST_PROVIDER_ANSWER_H

#include "provider/provider.h"

enum answer_kind { ANSWER_TEXT, ANSWER_THINKING };

/* Where an answer goes and what bounds it. */
struct answer_sink {
	bool (*text)(void *ctx, enum answer_kind kind,
		     struct str text); /* never empty; false: nothing more is wanted */
	void *ctx;
	int64_t answer_bytes; /* most text, thinking and tool calls together */
	int64_t now_ms;       /* wall time, for a Retry-After that names a date */
	struct str key;       /* kept out of error texts; must live as long as the answer */
};

enum feed {
	FEED_MORE,
	FEED_COMPLETE, /* the last mark was seen; what may follow is of no interest */
	FEED_STOP,     /* an error, a limit, or `text` said false: close the connection and call end */
};

struct answer;
struct answer *answer_new(const struct dialect *d, const struct answer_sink *sink);
void answer_head(struct answer *a, int status, struct str headers);
enum feed answer_feed(struct answer *a, struct str piece);
/* How the transport ended (OK: as HTTP says), and its sentence. */
void answer_end(struct answer *a, enum err transport, const struct errinfo *info, struct call_outcome *out);
void answer_free(struct answer *a);
int64_t answer_passed_over(const struct answer *a); /* loose lines that were no JSON */

/* ---- for dialects ------------------------------------------------------------------------------------------------ */

struct answer_style {
	/* In loose lines those that are no JSON are passed over, and an "error" in one is the dialect's affair. */
	enum { FRAMES_SSE, FRAMES_LINES, FRAMES_LOOSE_LINES } framing;
	/* One event of the stream; `name` is "" in streams whose events have none. An error object is met by answer.c
	 * already, in the usual shapes. */
	void (*event)(struct answer *a, struct str name, const struct json *root);
	/* An answer that did not stream: false when this is none. Complete when it returns true. */
	bool (*whole)(struct answer *a, const struct json *root);
	size_t state_size; /* what the dialect remembers between events, zeroed at the start */
};

void *answer_state(struct answer *a);
struct call_usage *answer_usage(struct answer *a);
/* Hands on text; a string value or nothing. */
void answer_say(struct answer *a, enum answer_kind kind, struct str text);
void answer_say_json(struct answer *a, enum answer_kind kind, const struct json *v);
/* The finish reason, by the words of this list: "stop", "length", "stop_sequence", "tool_calls", "content_filter",
 * "refusal", "context_window", "pause"; a provider's own word that has no match goes through as it is (a to z and _).
 * The answer is complete, unless an error follows. */
struct finish_word {
	const char *theirs, *ours;
};
void answer_finish(struct answer *a, struct str word, const struct finish_word *words, size_t n);
/* The dialect's last mark: what follows is not looked at. */
void answer_complete(struct answer *a);
/* The first failure counts. */
void answer_fail(struct answer *a, enum fail f, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* With the provider's own words behind ours, cleaned; "" when it has none. `what` is at most 36 bytes. */
void answer_fail_said(struct answer *a, enum fail f, const char *what, struct str said);
/* An error object of the provider's. */
void answer_fail_json(struct answer *a, const struct json *error);
/* The provider's own name for the call, when the body says it. */
void answer_request_id(struct answer *a, const struct json *id);

/* A part of the reply that is not text: a tool call, or the thinking before one. Found or made by kind and the
 * provider's index. Bytes added to its buffers count as the answer's. NULL when there are too many. */
struct answer_part {
	enum part_kind kind;
	int64_t index;
	struct buf id, name, text, seal; /* text: arguments or thinking */
};
struct answer_part *answer_part(struct answer *a, enum part_kind kind, int64_t index);
/* Adds to one of a part's buffers: text; a string value, or an object as the JSON it is. */
void answer_part_put(struct answer *a, struct buf *to, struct str s);
void answer_part_add(struct answer *a, struct buf *to, const struct json *v);

/* Reads a count into *out when it is there and not negative. Beyond 2^50 it is taken for that. */
void answer_count(const struct json *v, int64_t *out);

#endif
