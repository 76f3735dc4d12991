/* One connection to a daemon, and one question over HTTP: the mechanics. When to connect is the core's decision.
 *
 * Loop thread only; no hook comes from inside a call. */
#ifndef ROOST_CLIENT_LINK_H
#define ROOST_CLIENT_LINK_H

#include <uv.h>

#include "base/base.h"

struct link;

struct link_hooks {
	void (*up)(void *ctx);
	void (*frame)(void *ctx, struct str text);
	/* The connection or the try has ended: with a close frame's `code` (e OK), or because of e. */
	void (*down)(void *ctx, int code, enum err e, const struct errinfo *info);
	void (*paired)(void *ctx, enum err e, struct str token, struct str user, const struct errinfo *info);
};

struct link_options {
	uv_loop_t *loop;
	const char *url;         /* "http(s)://HOST[:PORT]", NULL: over `socket_path` */
	const char *socket_path; /* NULL: over url */
	const char *ca_path;     /* NULL: the system's certificates */
};

struct link *link_new(const struct link_options *o, const struct link_hooks *h, void *ctx); /* copies the strings */
struct link *link_again(struct link *l); /* a fresh one in its place */
/* Closes; no hook comes any more. The memory goes when the loop has turned once more. */
void link_free(struct link *l);
void link_connect(struct link *l, struct str token); /* up or down follows */
void link_disconnect(struct link *l);                /* down follows, unless there is nothing to end */
void link_send(struct link *l, struct str frame);    /* dropped while not up */
struct pair_wish {
	struct str code, device_id, name, platform, app_version;
};
void link_pair(struct link *l, const struct pair_wish *w); /* paired follows. One at a time */

#endif
