/* The inside of the server: what its files share. Everything here belongs to the loop thread.
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
#include "host/config.h"
#include "host/mdns.h"
#include "host/work.h"
#include "net/http.h"
#include "relay/relay.h"
#include "store/store.h"

struct server;
struct live_user;
struct peer;
struct room;

/* A user who was here since the daemon started. */
struct live_user {
	struct server *server;
	int64_t user;
	struct str id, name;
	uint32_t zone; /* home */
	int64_t seq;   /* newest place of the home zone that this thread has seen committed */
	int64_t floor; /* cursors below are expired, as of the last look-up */
	LIST_HEAD(, sub) subs;
	LIST_HEAD(, feed_wait) waits; /* polls that wait for a change */
	struct peer *peers;           /* by device id, those that said hello */
	/* The commit being announced: its records as JSON, for whoever is live. */
	struct buf batch;
	struct feed_entry *entries;
	size_t nentries, cap_entries;
	bool announced;                   /* stands in server->announce */
	struct killed_session *killed;    /* sessions that were cleared, see late.c */
	int64_t first_late;               /* the first principal that came after one of them; 0 none */
	bool killed_known;                /* all of them were read */
	struct synced *synced;            /* how far its devices have come, see sync_state.c */
	int64_t content_seq;              /* newest place of something that is no SyncState */
	int64_t session_changes;          /* commits that touched a Session, since this user is known */
	STAILQ_HEAD(, presence) presence; /* who came or went since the last device:changed */
	bool presence_armed;
	uv_timer_t presence_timer;
	STAILQ_ENTRY(live_user) in_announce;
	UT_hash_handle hh, by_zone;
};

/* Somebody who follows a user's feed. Two kinds: a device's WebSocket and an SSE stream. */
struct sub;
struct sub_kind {
	/* One page of changes, encoded. False: it does not fit now; the feed goes on from `sent` when sub_ready is called. */
	bool (*deliver)(struct sub *s, struct frame *frame, struct str json, int64_t upto);
	/* Its pages cannot be read any more. May free it. */
	void (*fail)(struct sub *s, enum err e, const struct errinfo *info);
	void (*poll)(struct sub *s); /* once a second; may be NULL */
};
struct sub {
	const struct sub_kind *kind;
	struct live_user *user;
	uint32_t principal; /* its own records are spared it when live; 0 none */
	uint32_t owner;     /* whose credential it lives by */
	int64_t sent;       /* place up to which it was told */
	bool started;       /* between sub_start and sub_stop */
	bool live;          /* told everything up to user->seq; else it is catching up */
	bool blocked;       /* waits for sub_ready */
	bool greeted;       /* at least one page was delivered since it subscribed */
	bool quiet;         /* `sent` moved without a frame: own records only */
	struct feed_read *reading;
	LIST_ENTRY(sub) in_user;
};

enum peer_state { PEER_NEW, PEER_READY, PEER_CLOSING };

/* A device's connection. */
struct peer {
	struct sub sub; /* first member: a WebSocket follower of the feed */
	struct server *server;
	struct ws *ws;
	enum peer_state state;
	char device_id[NAME_MAX_LEN + 1];
	int64_t connected_ms, seen_wall_ms;
	bool hello; /* it said who it is and is in user->peers */
	bool held;  /* its socket is not read while the writer's queue is full */
	LIST_HEAD(, join) joins;
	size_t njoins;
	LIST_HEAD(, call) calls; /* not answered yet */
	int64_t ncalls;
	LIST_ENTRY(peer) in_server;
	UT_hash_handle hh;
};

/* A conversation that devices have joined, and one device's place in it. A room may be there before its conversation. */
struct room {
	char *key; /* "<user number>/<conversation id>" */
	LIST_HEAD(, join) joins;
	UT_hash_handle hh;
};
struct join {
	struct peer *peer;
	struct room *room;
	char *session_id;   /* as it was joined, for session:leave; "" unknown */
	bool watches_queue; /* asked with queue:list, and is told when the queue changes by itself */
	char *dropped;      /* request whose stream this device was too slow for; NULL none */
	int64_t dropped_attempt;
	bool is_quiet; /* session:join is not answered yet: nothing is sent before that */
	LIST_ENTRY(join) in_room, in_peer;
};

struct server {
	const struct config *config;
	uv_loop_t loop;
	struct store *store;
	struct providers *providers;
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
	struct auto_watch *auto_watches; /* running automatic runs, until their time is up */
	STAILQ_HEAD(, live_user) announce;
	LIST_HEAD(, peer) peers;
	int64_t npeers, nheld;
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

/* ---- one verb asked --------------------------------------------------------------------------------------------- */

/* A verb asked by a device. It lives until call_reply/call_fail; if the asker leaves first the answer goes nowhere, but
 * what was begun is finished. */
struct call {
	struct task task;
	struct server *server;
	struct peer *peer;    /* NULL: HTTP, or the device left */
	struct http_req *req; /* NULL: WebSocket, or the client left */
	struct live_user *user;
	uint32_t principal;
	char device_id[NAME_MAX_LEN + 1];
	struct json_doc *doc; /* the frame or the body; strings of commands are views of it */
	const struct json *in;
	char re[40];             /* the frame's id as JSON text, "" none */
	struct joining *joining; /* what it is while a session:join looks its session up, see verbs_session.c */
	struct arena arena;
	struct buf out;
	LIST_ENTRY(call) in_peer;
};
struct call *call_new(struct server *s, struct live_user *u, uint32_t principal, struct str device_id);
/* {"type":type,"re":…, and then what the caller writes until call_reply. */
struct jw call_begin(struct call *c, const char *type);
void call_reply(struct call *c, struct jw *w);
/* An error; `extra` is members of a JSON object without braces ("\"sessionId\":\"…\"") or STR_NONE. */
void call_fail(struct call *c, enum err e, const struct errinfo *info, struct str extra);
/* Ends a call that answers nothing (device:ack) or was answered otherwise. */
void call_end(struct call *c);
/* Refuses new writes when the store is behind: true (and the call is answered) while the whole queue is full. */
bool call_refuse_busy(struct call *c);

typedef void (*verb_fn)(struct call *c);
/* The verb of a frame type, NULL when there is none. */
verb_fn verb_find(struct str type);
void verb_message_send(struct call *c);
void verb_message_edit(struct call *c);
void verb_message_delete(struct call *c);
void verb_request_stop(struct call *c);
void verb_request_retry(struct call *c);
void verb_request_get(struct call *c);
void verb_record_save(struct call *c);
void verb_record_query(struct call *c);
void verb_device_list(struct call *c);
void verb_session_sync(struct call *c);
void verb_session_join(struct call *c);
void verb_session_leave(struct call *c);
void verb_session_lock(struct call *c);
void verb_session_unlock(struct call *c);
void verb_session_typing(struct call *c);
void verb_device_primary(struct call *c);
void verb_device_get(struct call *c);
void verb_device_revoke(struct call *c);
void verb_session_clear(struct call *c);
void verb_message_attach(struct call *c);
void verb_device_ack(struct call *c);
void verb_auto_start(struct call *c);
void verb_auto_pause(struct call *c);
void verb_auto_resume(struct call *c);
void verb_auto_stop(struct call *c);
void verb_auto_state(struct call *c);
void verb_queue_list(struct call *c);
void verb_queue_pause(struct call *c);
void verb_queue_resume(struct call *c);
void verb_queue_clear(struct call *c);
void verb_queue_remove(struct call *c);
void verb_queue_reorder(struct call *c);
void verb_ping(struct call *c);

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

/* ---- the feed --------------------------------------------------------------------------------------------------- */

struct live_user *live_user_get(struct server *s, const struct cred_row *cred, const struct zone_info *home);
void live_users_free(struct server *s);
void feed_changed(void *ctx, struct store_op *op); /* store hook */
void feed_batch_end(void *ctx);                    /* store hook */
void sub_start(struct sub *s, struct live_user *u, const struct sub_kind *kind, uint32_t principal, int64_t after);
void sub_ready(struct sub *s); /* it can take more */
void sub_stop(struct sub *s);
void feed_tick(struct server *s);
void feed_kick(struct server *s, int64_t user, uint32_t principal); /* SSE streams and waiting polls of auth_kick */
void feed_end_waits(struct server *s);                              /* stopping: every waiting poll is answered */
/* Reads one page for a call (session:sync, GET changes): answers it. */
void feed_page(struct call *c, int64_t after, int64_t limit, int64_t wait_ms);
void feed_sse(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred);
/* A cursor of the home zone. STR_NONE or "" is the beginning. */
enum err feed_cursor(struct server *s, const struct live_user *u, struct str text, int64_t *out, struct errinfo *info);
void write_record(struct server *s, struct jw *w, const struct record *r);
void write_cursor(struct server *s, struct jw *w, int64_t seq);

/* How far each device has come. */
void sync_acked(struct live_user *u, uint32_t principal, struct str device_id, int64_t at);
void sync_left(struct live_user *u, struct str device_id); /* its connection ended */
void sync_tick(struct server *s);                          /* once a second */
void sync_flush(struct server *s);                         /* stopping: everything that is news is written */
void sync_forget(struct live_user *u);
struct sync_stored {
	int64_t acked, synced_ms, place; /* place: of the record itself; all 0: there is none */
	uint64_t epoch;
};
MUST_USE enum err sync_read(struct txn *t, uint32_t zone, struct str device_id, struct sync_stored *out);
/* "syncedAt" and "behind" of a device, when known. `list` are all the user's records, `own` the device's. */
void sync_write(struct live_user *u, struct jw *w, struct str device_id, const struct sync_stored *list, size_t n,
		size_t own);

/* What a device does not see that came after a session was cleared. */
bool late_is(const struct live_user *u, uint32_t principal); /* may anything be hidden from it? */
void late_note(struct live_user *u, struct str session_id, int64_t late_from);
void late_committed(struct live_user *u, const struct record *r);
void late_forget(struct live_user *u);
/* Principals from this number on do not see the record; 0: all see it. *is_unsure: a late one must read it from the
 * store to know. */
int64_t late_from(const struct live_user *u, const struct record *r, bool *is_unsure);
/* All of a user's killed sessions, read once on a reader. */
struct late_session {
	struct str id;
	int64_t late_from;
};
struct late_list {
	struct late_session *list; /* in the op's arena */
	size_t n, cap;
};
MUST_USE enum err late_load(struct txn *t, uint32_t zone, struct late_list *out);
void late_loaded(struct live_user *u, const struct late_list *list);
/* A filter for one read on behalf of a principal (0: hides nothing). */
struct late {
	uint32_t principal;
	bool is_on;
	struct late_seen {
		struct str id;
		bool hides;
	} seen[16];
	size_t nseen;
};
struct late late_filter(const struct live_user *u, uint32_t principal);
MUST_USE enum err late_hides(struct late *l, struct txn *t, const struct record *r, bool *out);

/* ---- streams ---------------------------------------------------------------------------------------------------- */

struct room *room_find(struct server *s, int64_t user, struct str conversation_id); /* NULL: nobody has joined */
void stream_publish(void *ctx, const struct delta *d);                              /* work hook */
void stream_state(void *ctx, struct job *j);                                        /* work hook */
/* The device's place in a conversation, made when it has none; NULL past limits.joined_sessions. A new one hears nothing
 * until stream_joined, which adds what is running to the answer, sends it, and then everything from its beginning. */
struct join *stream_join(struct peer *c, struct str conversation_id, struct str session_id);
void stream_joined(struct call *call, struct join *j, struct jw *w, int64_t conv);
struct join *stream_find(struct peer *c, struct str conversation_id);
/* By the one that is not STR_NONE; the session as it was joined. */
struct join *stream_find_joined(struct peer *c, struct str conversation_id, struct str session_id);
struct str stream_conversation(const struct join *j);
void stream_leave(struct join *j);
void stream_stopped_call(struct call *c, struct str request_id); /* answered when the request has stopped */
void stream_move(struct peer *from, struct peer *to);            /* a device's new connection takes over its rooms */
void stream_kick(struct server *s, int64_t user, uint32_t principal); /* HTTP followers of auth_kick */
void stream_http(struct server *s, struct http_req *r, struct live_user *u, uint32_t principal,
		 struct str request_id); /* GET …/stream */
void write_request_state(struct server *s, struct jw *w, const struct job_info *info);
void write_job_state(struct server *s, struct jw *w, const struct job *j);

/* A frame to every device that has joined the conversation. */
void stream_tell(struct server *s, int64_t user, struct str conversation_id, struct frame *f);
/* Those who joined the killed session are in the next one now. */
void stream_cleared(struct server *s, int64_t user, struct str conversation_id, struct str killed_id,
		    struct str next_id);

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
/* A request in this room has another state. */
void queue_news(struct server *s, const struct room *room, const struct job *job);
/* A change was committed: tells the relay, which also stops what runs when `stop_running`, and the devices in the room but
 * the asker (NULL: all). */
void queue_changed(struct server *s, const struct cmd_queue *cmd, bool stop_running, const struct peer *asker);

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
