/* A WebSocket client on the loop: over TCP, TLS or a Unix socket, text messages only. Loop thread only.
 *
 * With `post` it asks one question over HTTP instead: what pairs a device before there is a credential for a WebSocket.
 *
 * It answers pings, pings the server itself after ping_ms of silence, and gives up after twice that. It never
 * reconnects: that is the caller's decision. */
#ifndef ROOST_NET_WS_CLIENT_H
#define ROOST_NET_WS_CLIENT_H

#include <uv.h>

#include "base/buf.h"

struct ws_client;

struct ws_client_spec {
	const char *url;            /* ws://, wss://, http:// or https://, with host and path */
	const char *socket_path;    /* connect to this Unix socket instead of the URL's host; NULL */
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL. Never logged */
	const char *subprotocol;    /* NULL for none; the server must choose it */
	const char *ca_path;        /* certificates to trust instead of the system's; NULL */
	struct str post;            /* a JSON body to POST to the URL; STR_NONE: a WebSocket */
	size_t max_bytes;           /* the largest message taken */
	int64_t connect_ms;         /* from the start to the end of the upgrade */
	int64_t ping_ms;
	void (*answered)(void *ctx, int status, struct str body); /* to `post`; `closed` follows */
	void (*open)(void *ctx);
	void (*message)(void *ctx, struct str text);
	/* The last call; the client is freed after it. `e` is OK after a close by either side with `code`; otherwise the
	 * code is 1006 and info says what failed. What the server answered instead of an upgrade comes as its own error. */
	void (*closed)(void *ctx, int code, enum err e, const struct errinfo *info);
	void *ctx;
};

/* Copies the spec's strings. An error here means that `closed` will not be called. */
MUST_USE enum err ws_client_start(uv_loop_t *loop, const struct ws_client_spec *spec, struct ws_client **out,
				  struct errinfo *info);
bool ws_client_send(struct ws_client *w, struct str text); /* false when it is not open */
size_t ws_client_queued(const struct ws_client *w);        /* bytes the socket would not take */
/* Closes in order; `closed` follows. Before `open` it just gives up. */
void ws_client_close(struct ws_client *w, int code);
/* Closes at once: writes what the socket takes, waits for nobody. `closed` follows when the loop turns. */
void ws_client_abort(struct ws_client *w);

#endif
