/* What the files of the HTTP server share: http_server.c (connections and requests), http_listen.c (listeners and
 * admission), http_answer.c (answers) and ws.c (WebSockets). */
#ifndef ROOST_NET_HTTP_PRIV_H
#define ROOST_NET_HTTP_PRIV_H

#include <netinet/in.h>

#include "net/conn.h"
#include "net/http.h"
#include "net/http_parse.h"
#include "net/ws_frame.h"

#define PEER_TEXT 46 /* INET6_ADDRSTRLEN */

struct listener;
struct address; /* how many connections an address has open */

struct http_server {
	struct io *io;
	const struct limits *limits;
	struct http_hooks hooks;
	struct http_options o;
	struct ws_rules ws_rules;
	struct ws_budget budget; /* of unfinished messages and bodies */
	struct ws_zip *zip;      /* NULL unless permessage-deflate is on */
	LIST_HEAD(, http_conn) conns;
	LIST_HEAD(, listener) listeners;
	struct address *addresses; /* uthash */
	int reserve_fd;            /* given up to be able to accept, and refuse, when descriptors are used up */
	int refusing;              /* connections that are being told 503 */
	struct http_stats stats;
	uv_timer_t stop_timer;
	void (*stop_done)(void *ctx);
	void *stop_ctx;
	bool is_stopping, is_stop_done, is_freed;
	int64_t date_s; /* what `date` says */
	char date[64];
	int handles; /* of the server itself, still open */
};

struct http_conn {
	struct conn conn;
	struct http_server *s;
	LIST_ENTRY(http_conn) all;
	struct address *address; /* NULL for the Unix socket */
	union {
		struct http_req *req; /* NULL between requests */
		struct ws *ws;
	};
	char peer[PEER_TEXT];
	bool is_local, is_tls, is_loopback, is_ws;
	bool is_counted; /* in stats.open */
	bool is_resting; /* answered a request already: the next may take idle_ms to begin */
};

enum req_state { REQ_HEAD, REQ_BODY, REQ_HANDLED, REQ_STREAMING };
struct http_req {
	struct http_conn *hc;
	enum req_state state;
	struct http_parse parse;
	struct arena arena;
	struct str path, query, peer;
	struct buf body;
	int64_t body_max;
	int64_t body_mark; /* body bytes at the last extension of the deadline */
	void (*sink)(void *ctx, struct http_req *r, struct str piece);
	void *data;       /* the handler's */
	bool is_shown;    /* the handler knows it */
	bool is_in_hook;  /* inside the parser or a hook: free it later */
	bool is_ended;    /* answered as a whole; nobody may touch it any more */
	bool is_held;     /* the handler paused the body */
	bool is_close;    /* the connection ends with this answer */
	bool is_continue; /* the client waits for 100 Continue */
	bool is_secure, is_loopback;
	bool is_bodiless; /* HEAD, 204, 304: the stream's pieces are not sent */
	bool is_chunked;  /* the streamed answer's framing */
	bool is_upgraded; /* ws_accept took the connection over */
};

static inline struct http_conn *http_conn_of(struct conn *c) { return CONTAINER_OF(c, struct http_conn, conn); }
extern const struct conn_proto http_proto;

/* http_listen.c */
void listeners_close(struct http_server *s);
void admission_leave(struct http_conn *hc);

/* http_server.c */
struct http_conn *http_conn_new(struct http_server *s, int fd, struct tls *tls);
void http_conn_closed(struct http_conn *hc); /* the end of every connection, whatever it became */
/* The answer is queued: lets go of the request and goes on, or ends the connection. */
void http_req_end(struct http_req *r);
void http_req_free(struct http_req *r);
void http_server_unref(struct http_server *s); /* one of its handles is closed */
/* Answers an error the server found itself and closes the connection. */
void http_refuse(struct http_req *r, enum err e, const struct errinfo *info);
/* For the conformance runner's control: text is checked late. */
void http_server_plant_late_utf8(struct http_server *s);

/* http_answer.c */
const char *http_date(struct http_server *s);
/* A whole answer as bytes, for a socket that will never be a connection. */
void http_answer_raw(struct http_server *s, enum err e, struct buf *out);

/* ws.c */
void ws_shut_down(struct ws *w); /* 1001 */

#endif
