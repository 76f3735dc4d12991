/* What changed, and who is told: users, the followers of their feeds, how far each device has come, and what a device does
 * not see because it came later. Loop thread only, but for what takes a txn. */
#ifndef ROOST_SERVER_FEED_H
#define ROOST_SERVER_FEED_H

#include <sys/queue.h>
#include <uthash.h>
#include <uv.h>

#include "base/buf.h"
#include "device/pairing.h"
#include "net/http.h"
#include "store/store.h"

struct call;
struct peer;
struct server;

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
	struct str killed_in; /* a conversation, and when a session of it was last killed before the principal came */
	int64_t killed_ms;
};
struct late late_filter(const struct live_user *u, uint32_t principal);
MUST_USE enum err late_hides(struct late *l, struct txn *t, const struct record *r, bool *out);

#endif
