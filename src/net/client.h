/* HTTP client on the loop: libcurl multi_socket. Streaming answers, no redirects, TLS verified; a proxy only where the
 * caller names one, whatever the environment says.
 *
 * What always holds
 *  - One call is at most one request on the wire. libcurl would quietly send it again when a kept connection turns out
 *    to be dead; that second sending is refused here and the call ends in ERR_PROVIDER_CUT, so that every try is one
 *    somebody recorded.
 *  - Whom it connects to is decided by the address of the socket, not by the URL: link-local and multicast never,
 *    loopback and private networks only with `allow_private`, and plain http only to those. With a proxy that goes for
 *    the proxy, which may be private; it finds the other end itself, and only https goes through it.
 *  - Callbacks come from the loop, in the order connected, head, body_data*, done; never from inside a function of this
 *    header. Any of them may start, cancel or pause calls; none may free the client.
 *
 * Everything on the loop thread. */
#ifndef ROOST_NET_CLIENT_H
#define ROOST_NET_CLIENT_H

#include <uv.h>

#include "base/buf.h"

struct http_client;
struct http_call;

struct http_call_spec {
	const char *method; /* "POST" */
	const char *url;
	const char *const *headers;   /* "Name: value", NULL-terminated; never logged */
	struct str body;              /* copied; STR_NONE: no body */
	int64_t connect_ms, total_ms; /* deadlines; 0 none. Idle deadlines are the caller's. */
	bool allow_private;           /* loopback and private addresses may be connected to; link-local never */
	const char *proxy;            /* "http://", "https://" or "socks5h://" HOST:PORT; NULL none */
	/* Callbacks; any may be NULL. After `done`, or after http_call_cancel returned, none comes. */
	void (*connected)(void *ctx); /* the connection stands (TLS too), the request is on its way */
	void (*head)(void *ctx, int status, struct str headers /* raw lines, the status line first */);
	void (*body_data)(void *ctx, struct str piece);
	/* OK: the body ended as HTTP says it should. Otherwise ERR_PROVIDER_DOWN (nothing was sent),
	 * ERR_PROVIDER_TIMEOUT, ERR_PROVIDER_CUT (broke off), ERR_PROVIDER_REFUSED (address or certificate not
	 * accepted: trying again is no use), ERR_PROVIDER_LIMIT (a head beyond reason). */
	void (*done)(void *ctx, enum err e, const struct errinfo *info);
	void *ctx;
};

MUST_USE enum err http_client_new(uv_loop_t *loop, struct http_client **out, struct errinfo *info);
/* Cancels what runs. The loop must turn once more before it is closed. */
void http_client_free(struct http_client *c);
struct http_call *http_call_start(struct http_client *c, const struct http_call_spec *spec);
/* Closes the socket before it returns; of an HTTP/2 connection that others use too, the stream. */
void http_call_cancel(struct http_call *call);
/* Paused, the socket is not read; what had been read already may still be delivered. */
void http_call_pause(struct http_call *call, bool paused);

#endif
