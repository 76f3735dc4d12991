/* The inside of the server: what its files share. Everything here belongs to the loop thread. What is asked is in call.h,
 * what is told in feed.h and stream.h.
 *
 *   daemon.c    opens everything, runs the loop, closes everything
 *   auth.c      who is asking: tokens, the browser's cookie, the operator's socket
 *   peer.c      a device's connection: hello, replacing, closing
 *   presence.c  who is here and who sits where: device:changed, primaries, locks
 *   feed.c      what changed reaches every device of its user: live, catching up, waiting polls; sse.c for scripts
 *   sync_state.c  how far each device has come: device:ack, the SyncState records
 *   late.c      what of it a device does not see that came after a session was cleared
 *   stream.c    running answers reach the devices that joined: deltas, attach, reset
 *   call.c      one verb asked over WebSocket or HTTP: replies, errors, the table of verbs
 *   verbs_*.c   the verbs
 *   api.c       the table of HTTP routes
 *   operator.c  what the machine's owner may ask over the Unix socket
 *   experiments.c  experiments as records: what runs in the output directory, whose it is
 *   upload.c    attachments
 *   page.c      the embedded web page, health, metrics */
#ifndef ROOST_SERVER_SERVER_H
#define ROOST_SERVER_SERVER_H

#include <sys/queue.h>
#include <uthash.h>
#include <uv.h>

#include "device/guess.h"
#include "device/pairing.h"
#include "device/session_change.h"
#include "event/journal.h"
#include "host/catalog.h"
#include "host/config.h"
#include "host/mdns.h"
#include "host/work.h"
#include "net/http.h"
#include "relay/relay.h"
#include "server/feed.h"
#include "store/store.h"

struct server;
struct call;
struct peer;
struct room;
struct join;

enum peer_state { PEER_NEW, PEER_READY, PEER_CLOSING };

/* A device's connection. */
struct peer {
	struct sub sub; /* first member: a WebSocket follower of the feed */
	struct server *server;
	struct ws *ws;
	enum peer_state state;
	char device_id[NAME_MAX_LEN + 1];
	int64_t connected_ms, seen_wall_ms;
	int64_t serial; /* of connections in the order in which they were accepted */
	bool hello;     /* it said who it is and is in user->peers */
	bool held;      /* its socket is not read while the writer's queue is full */
	LIST_HEAD(, join) joins;
	size_t njoins;
	LIST_HEAD(, call) calls; /* not answered yet */
	int64_t ncalls;
	LIST_ENTRY(peer) in_server;
	UT_hash_handle hh;
};

struct server {
	const struct config *config;
	uv_loop_t loop;
	struct store *store;
	struct providers *providers;
	struct catalog *catalog; /* their models */
	struct model_book book;  /* the same for other threads */
	struct budgets budgets;
	struct provider_budget *provider_budgets; /* the list in it */
	struct journal *journal;
	struct work *work;
	struct http_server *http;
	struct guess *guesses;
	struct mdns *mdns;             /* NULL: not published */
	struct duplicates *duplicates; /* the content net; only the writer thread touches it */
	struct live_user *users;
	struct live_user *users_by_zone;
	struct zone_seen *zones_seen; /* newest places of zones nobody follows yet */
	struct room *rooms;
	struct seats *seats; /* who is primary and holds locks where devices have joined */
	uv_timer_t seats_timer;
	int64_t seats_armed_ms;            /* when it rings, boot time; INT64_MAX never */
	struct queue_watch *queue_watches; /* conversations whose queue somebody watches */
	int64_t queue_changes;             /* made by people since the start */
	uv_timer_t queue_timer;
	LIST_HEAD(, stop_wait) stops;    /* calls that wait for a request to be stopped */
	LIST_HEAD(, follower) followers; /* HTTP requests that follow a running answer */
	int64_t nconnections;            /* of devices, since the start */
	struct experiments *experiments;
	struct auto_watch *auto_watches; /* running automatic runs, until their time is up */
	STAILQ_HEAD(, live_user) announce;
	LIST_HEAD(, peer) peers;
	int64_t nonline;                 /* devices that said hello and have not gone */
	int64_t nheld;                   /* connections that are not read */
	int64_t nduplicates, nprimaries; /* since the start: messages refused as duplicates; changes of a primary */
	bool ready, stopping;
	int exit_status;
	int64_t started_wall_ms, started_boot_ms;
	char listen_url[128];      /* of the first address */
	char listen_urls[16][128]; /* of all, ended by an empty one */
	bool is_loopback;          /* the first address is */
	int64_t ticks;
	uv_async_t wake;
	uv_timer_t tick; /* 1 s: quiet cursors, last seen, */
	uv_signal_t sigint, sigterm;
};

/* What is under way for an HTTP request, kept as its http_data: `gone` is called when the client leaves first. */
struct task {
	void (*gone)(struct task *t);
};

/* ---- who is asking ---------------------------------------------------------------------------------------------- */

/* Looks up the request's credential; `then` with the user and principal, or the request was answered with 401. */
void auth_request(struct server *s, struct http_req *r,
		  void (*then)(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred));
bool auth_is_shown(const struct http_req *r);         /* something that looks like a credential; nothing is looked up */
void auth_pair(struct server *s, struct http_req *r); /* POST /api/v1/pair */
void auth_unpair(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred);
/* Ends every connection of a principal (revoked) or user (principal 0). */
void auth_kick(struct server *s, int64_t user, uint32_t principal);

/* ---- connections ------------------------------------------------------------------------------------------------ */

#define CLOSE_REPLACED 4001
#define CLOSE_REVOKED 4003
void peer_accept(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred);
void peer_send(struct peer *c, struct frame *f);
void peers_relieve(struct server *s); /* reads the held sockets again when the writer's queue is half empty */
void peer_close(struct peer *c, int code, const char *reason);

/* ---- presence, primaries, locks --------------------------------------------------------------------------------- */

void presence_open(struct server *s);
/* A device came or went: its user's devices hear of it soon. */
void presence_changed(struct live_user *u, struct str device_id);
void presence_forget(struct live_user *u);
/* A committed command: what it says about sessions and their settings. Before its done. */
void presence_committed(struct server *s, const struct store_op *op);
void presence_rearm(struct server *s); /* after every input to s->seats */
/* Members of an object: a device as others see it. */
void device_json(struct live_user *u, struct jw *w, struct str device_id, struct str fields);
void write_term(struct jw *w, const struct seats_state *st);                           /* deviceId, term */
void write_lease(struct jw *w, const struct seats_state *st);                          /* deviceId, fence, expiresAt */
void session_answer(void *ctx, void *token, enum err e, const struct seats_state *st); /* seats_ops.answer */
void session_typed(struct call *c, struct str session_id); /* a person typed or wrote on the caller's device */
void session_leave(struct peer *p, struct join *j);        /* the device leaves; frees j */

/* ---- automatic runs --------------------------------------------------------------------------------------------- */

/* A committed (or just read) Session record: the run in it is told to the devices that joined, when `tell`, and its time
 * is watched. */
void auto_session(struct server *s, int64_t user, const struct record *session, bool tell);
/* Ends the session's run if its time is up. */
void auto_expire(struct server *s, int64_t user, struct str session_id);
void auto_tick(struct server *s); /* once a second */
void auto_watches_free(struct server *s);

/* ---- queues of sessions ----------------------------------------------------------------------------------------- */

struct cmd_queue;
void queue_open(struct server *s);
void queue_watches_free(struct server *s);
int64_t queues_watched(const struct server *s);
/* A device that watched the queue is no longer in the room. */
void queue_left(struct server *s, const struct room *room);
/* A request in this room has another state. */
void queue_news(struct server *s, const struct room *room, const struct job *job);
/* A change was committed: tells the relay, which also stops what runs when `stop_running`, and the devices in the room but
 * the asker (NULL: all). */
void queue_changed(struct server *s, const struct cmd_queue *cmd, bool stop_running, const struct peer *asker);

/* ---- experiments ------------------------------------------------------------------------------------------------ */

struct mirror;
struct experiments *experiments_new(struct server *s);
void experiments_start(struct server *s);                       /* once the store is ready */
void experiments_stop(struct server *s);                        /* no new look */
void experiments_free(struct experiments *x);                   /* after the loop; NULL is nothing */
struct mirror *experiments_mirror(const struct experiments *x); /* for mirror_tell */

/* ---- the rest --------------------------------------------------------------------------------------------------- */

void api_head(void *ctx, struct http_req *r);
void api_request(void *ctx, struct http_req *r);
void api_gone(void *ctx, struct http_req *r);
/* True when the request was the operator's and was answered or will be. */
bool operator_request(struct server *s, struct http_req *r);
void upload_head(struct server *s, struct http_req *r, struct str hex); /* PUT: the head is here */
void upload_end(struct http_req *r);                                    /* PUT: the body is here */
void upload_get(struct server *s, struct http_req *r, struct live_user *u, struct str hex);
void upload_collect(struct server *s); /* drops attachments nobody refers to */
bool page_request(struct server *s, struct http_req *r);

#endif
