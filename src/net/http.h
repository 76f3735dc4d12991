/* HTTP/1.1 and WebSocket server on the loop.
 *
 * Owns listeners (TCP, TLS, Unix socket), connections, deadlines and limits; knows nothing of what is served. Everything
 * runs on the loop thread, nothing blocks. A request lives from its head to the end of its answer; `gone` tells when the
 * peer left first, and after it the request must not be touched.
 *
 * Every request is checked before the handler sees it: strict parsing (llhttp; obs-fold, bare LF, CL+TE, duplicate CL
 * refused), Host on the allow-list (421), Origin, when sent, on the allow-list (403), limits and deadlines from
 * base/limits.h. Errors have the JSON body {"error":{"code","message","retryable"…}}. Answers of 1 KiB and more are
 * compressed (zstd, gzip) when the client takes it and the type is text. */
#ifndef ROOST_NET_HTTP_H
#define ROOST_NET_HTTP_H

#include <uv.h>

#include "base/buf.h"
#include "base/limits.h"

struct http_server;
struct http_req;
struct ws;
struct frame;

struct http_hooks {
	/* The head is here, the body is not. May call http_collect, http_sink, ws_accept or answer at once. Without any of
	 * these the body is collected up to limits.frame_bytes. */
	void (*head)(void *ctx, struct http_req *r);
	/* The whole request is here. Answer now or later. */
	void (*request)(void *ctx, struct http_req *r);
	/* The peer left before the answer was complete; r dies when this returns. */
	void (*gone)(void *ctx, struct http_req *r);
	void *ctx;
};

struct http_options {
	uv_loop_t *loop;
	const struct limits *limits;
	struct http_hooks hooks;
	const char *const
		*hosts; /* allowed Host names besides IP literals and localhost, NULL-terminated; may be NULL */
	const char *const *origins; /* allowed Origins besides those of the server itself (its hosts and port) */
	bool deflate;               /* offer permessage-deflate, no context takeover */
	bool trust_proxy;           /* a declared proxy in front: believe X-Forwarded-Proto/-For from loopback */
};

MUST_USE enum err http_server_new(const struct http_options *o, struct http_server **out, struct errinfo *info);
/* Listens on ADDR:PORT ("127.0.0.1:8787", "[::1]:0"); port 0 lets the kernel choose. cert and key (PEM files) make it
 * TLS; NULL is plain. */
MUST_USE enum err http_listen(struct http_server *s, const char *addr_port, const char *cert, const char *key,
			      int *out_port, struct errinfo *info);
/* A Unix socket of mode 0600; a stale one is replaced. Its requests have http_is_local() true and no Host/Origin check. */
MUST_USE enum err http_listen_unix(struct http_server *s, const char *path, struct errinfo *info);
/* Stops accepting, closes idle connections, WebSockets with 1001, lets answers finish up to `grace_ms`, then `done`. */
void http_server_stop(struct http_server *s, int64_t grace_ms, void (*done)(void *ctx), void *ctx);
void http_server_free(struct http_server *s);
struct http_stats {
	int64_t open, accepted, refused, websockets, requests, bytes_in, bytes_out;
};
void http_stats(const struct http_server *s, struct http_stats *out);

/* What was asked. Views die with the request. */
struct str http_method(const struct http_req *r);
struct str http_path(const struct http_req *r); /* percent-decoded, no query; no "..", no NUL: those are 400 */
struct str http_header(const struct http_req *r, const char *lower_name); /* STR_NONE when absent */
/* Value of a query parameter, percent-decoded into memory of the request; STR_NONE when absent. */
struct str http_query(struct http_req *r, const char *name);
struct str http_cookie(const struct http_req *r, const char *name);
struct str http_body(const struct http_req *r);
struct str http_peer(const struct http_req *r); /* address without port; "local" for the Unix socket */
bool http_is_local(const struct http_req *r);
bool http_is_secure(const struct http_req *r);      /* TLS, ours or the declared proxy's */
bool http_is_loopback(const struct http_req *r);    /* the peer's address is loopback or the Unix socket */
void http_set_data(struct http_req *r, void *data); /* the handler's own pointer */
void *http_data(const struct http_req *r);

/* The body. */
void http_collect(struct http_req *r, int64_t max_bytes);
/* Streams the body instead: data for each piece, then request. http_pause stops reading the socket (at most 64 KiB that
 * were read already still come), http_resume goes on; `request` comes after the resume. */
void http_sink(struct http_req *r, int64_t max_bytes, void (*data)(void *ctx, struct http_req *r, struct str piece));
void http_pause(struct http_req *r);
void http_resume(struct http_req *r);

/* The answer. `headers` is zero or more complete lines "Name: value\r\n" or NULL; Content-Length, Date, Connection and the
 * security headers are added. After the answer is queued the request must not be touched. */
void http_answer(struct http_req *r, int status, const char *content_type, const char *headers, struct str body);
/* The same with bytes that live for ever (embedded files) and may be pre-compressed: encoding NULL or "gzip"/"zstd". */
void http_answer_static(struct http_req *r, int status, const char *content_type, const char *headers, struct str body,
			const char *encoding);
void http_answer_file(struct http_req *r, const char *content_type, const char *headers, int fd, int64_t offset,
		      int64_t len, int status); /* takes the fd; streams it */
void http_answer_error(struct http_req *r, enum err e, const struct errinfo *info);
/* An answer in pieces (chunked): begin, then writes, then end. http_queued tells how much is waiting. */
void http_stream_begin(struct http_req *r, int status, const char *content_type, const char *headers);
void http_stream_write(struct http_req *r, struct str piece);
void http_stream_end(struct http_req *r);
size_t http_queued(const struct http_req *r);

/* ---- WebSocket -------------------------------------------------------------------------------------------------- */

/* An encoded server frame, shared between connections: made once, sent to many. */
struct frame *frame_text(struct str payload);
struct frame *frame_take(struct buf *payload); /* the same, emptying the buffer; avoids a copy where it can */
void frame_ref(struct frame *f);
void frame_unref(struct frame *f);

struct ws_hooks {
	void (*message)(void *ctx, struct ws *w, struct str text); /* a whole text message, valid UTF-8 */
	void (*drained)(void *ctx, struct ws *w);                  /* the queue is empty again after it was not */
	void (*closed)(void *ctx, struct ws *w, int code);         /* the last call; w dies after it */
	void (*alive)(void *ctx, struct ws *w);                    /* anything arrived, pongs included; may be NULL */
};
/* Turns the request into a WebSocket: 101 with `subprotocol` (which the client must have offered when not NULL). The
 * request is gone after it. `hooks` must live as long as the program. NULL (and an answer was sent) when the upgrade
 * headers are wrong. */
struct ws *ws_accept(struct http_req *r, const char *subprotocol, const struct ws_hooks *hooks, void *ctx);
/* Sends at once when the socket takes it, queues otherwise. False when the queue would pass `hard` bytes: nothing was
 * queued, and `drained` will tell when there is room. An empty queue takes a frame of any length. */
bool ws_send(struct ws *w, struct frame *f, size_t hard);
size_t ws_queued(const struct ws *w);
void ws_pause(struct ws *w, bool paused);                  /* back-pressure: stop reading this socket */
void ws_close(struct ws *w, int code, const char *reason); /* closed follows, later */
void ws_ping(struct ws *w);                                /* asks for a sign of life now; `alive` tells of it */
struct str ws_peer(const struct ws *w);
/* The echo route of the conformance runner: answers each message, text or binary, with itself. */
struct ws *ws_accept_echo(struct http_req *r);

#endif
