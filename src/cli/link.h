/* A device's WebSocket to a daemon, opened, kept open and opened again.
 *
 * Waits between tries double from 0.2 s to 10 s with jitter. It ends for good when trying again cannot help: the
 * credential is refused or revoked, another connection took this device's place, or link_give_up's time is over.
 * Everything on the loop thread; no callback comes from inside a call. */
#ifndef ROOST_CLI_LINK_H
#define ROOST_CLI_LINK_H

#include "base/base.h"

#include <uv.h>

struct link;

struct link_hooks {
	void (*up)(void *ctx);
	void (*down)(void *ctx, const char *why); /* it was up, or a try failed; the next one comes by itself */
	void (*frame)(void *ctx, struct str text);
	void (*over)(void *ctx, enum err e, const struct errinfo *info); /* no more tries */
	void *ctx;
};

struct link_options {
	uv_loop_t *loop;
	const char *url;         /* "http(s)://HOST[:PORT]" of the daemon, NULL: over `socket_path` */
	const char *socket_path; /* its Unix socket */
	const char *token;       /* the device's credential */
	int64_t give_up_ms;      /* how long it may be down in a row; 0 for ever */
};

struct link *link_new(const struct link_options *o, const struct link_hooks *h); /* copies the strings; starts */
void link_send(struct link *l, struct str frame);                                /* only while up; dropped otherwise */
/* Closes; the memory goes when the loop has turned once more. */
void link_free(struct link *l);

#endif
