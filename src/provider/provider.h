/* Dialects: how a kind of provider is asked, and how its answer is read. Pure: a dialect is told everything and touches
 * nothing; host/call.c moves the bytes.
 *
 * Life of an answer: init, head, feed for every piece of the body, end, release. The parser hands text out as it comes,
 * in whole, valid UTF-8 characters; everything else (finish reason, usage, what went wrong and whether trying again may
 * help) is in the outcome that `end` gives.
 *
 * When is an answer complete? When the provider said so: by a finish reason or its dialect's last mark. A stream that
 * ends without either was cut, however politely it ended; one that said so is complete, however rudely the connection
 * broke afterwards. A complete answer without any text is an error, since there is nothing to store as a reply. */
#ifndef ROOST_PROVIDER_PROVIDER_H
#define ROOST_PROVIDER_PROVIDER_H

#include "base/arena.h"
#include "base/json.h"

struct call_message {
	struct str role, text; /* "user", "assistant", "system" */
};

struct call_usage {
	int64_t input_tokens, output_tokens; /* -1 unknown; output includes thinking */
	bool estimated;
};

struct call_outcome {
	enum err err;             /* OK: the answer is complete */
	struct errinfo info;      /* says what the provider said, cleaned; retry_after_ms when it asked for a wait */
	bool retryable;           /* trying again may help */
	struct str finish_reason; /* "stop", "length", …; "" unknown; lives as long as the parser */
	struct call_usage usage;
};

/* What is asked. */
struct provider_ask {
	struct str base_url;                 /* "http://127.0.0.1:1234/v1", no slash at the end */
	struct str key;                      /* API key; STR_NONE none */
	struct str model;                    /* as the provider names it */
	const struct call_message *messages; /* oldest first */
	size_t nmessages;
	const struct json *params; /* an object or NULL */
};

/* The request a dialect made of it. Holds the key: release wipes. */
struct wire_request {
	const char *method;
	char *url;
	char *headers[8]; /* "Name: value", NULL-terminated */
	struct buf body;
};
void wire_request_add_header(struct wire_request *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void wire_request_release(struct wire_request *r);

enum answer_kind { ANSWER_TEXT, ANSWER_THINKING };

/* Where an answer goes and what bounds it. */
struct answer_sink {
	bool (*text)(void *ctx, enum answer_kind kind,
		     struct str text); /* never empty; false: nothing more is wanted */
	void *ctx;
	int64_t answer_bytes; /* most text and thinking together */
	int64_t now_ms;       /* wall time, for a Retry-After that names a date */
	struct str key;       /* kept out of error texts */
};

enum feed {
	FEED_MORE,
	FEED_COMPLETE, /* the last mark was seen; what may follow is of no interest */
	FEED_STOP,     /* an error, a limit, or `text` said false: close the connection and call end */
};

struct dialect {
	const char *name;
	/* ERR_BAD_FIELD when a parameter cannot be sent. */
	enum err (*build)(const struct provider_ask *ask, struct wire_request *out, struct errinfo *info);
	size_t parser_size;
	void (*init)(void *parser, const struct answer_sink *sink);
	void (*head)(void *parser, int status, struct str headers);
	enum feed (*feed)(void *parser, struct str piece);
	/* How the transport ended (OK: as HTTP says), and its sentence. */
	void (*end)(void *parser, enum err transport, const struct errinfo *info, struct call_outcome *out);
	void (*release)(void *parser);
};

extern const struct dialect dialect_openai;
/* The dialect over HTTP of that name, or NULL. */
const struct dialect *dialect_find(struct str name);

/* ---- what dialects share ----------------------------------------------------------------------------------------- */

/* Value of a header in raw head lines, trimmed; STR_NONE when absent. */
struct str head_value(struct str headers, const char *name);

/* Fills err, info and retryable from an answer that is not 2xx. `body` is as much of it as was kept: JSON in one of the
 * usual shapes, or anything. */
void classify_status(int status, struct str headers, struct str body, const struct answer_sink *sink,
		     struct call_outcome *out);
/* The same from an error inside an answer: {"error":{"message","type","code"}}, {"error":"…"} or such an object. */
void classify_error(const struct json *root, const struct answer_sink *sink, struct call_outcome *out);

#endif
