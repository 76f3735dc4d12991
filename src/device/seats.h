/* Who sits in which session, who drives it, who holds its lock.
 *
 * A pure state machine over all conversations that some device has joined: per conversation its current session (none
 * before the first message), the joined devices in the order they came, the primary and its term as last committed, the
 * lock and the line of those who wait for it. It proposes; the writer judges each proposal against the Session record
 * (device/session_change.h) and the outcome comes back through seats_committed. Nothing here reads a clock, does I/O or
 * depends on the order of a hash: the same inputs give the same effects.
 *
 * What always holds
 *  - Only committed terms are told. They grow by one with every change, and a proposal that was made under an older one
 *    changes nothing: it is dropped and the question looked at again.
 *  - When nothing is under way and a joined device is alive, exactly one joined, living device is primary. Three
 *    exceptions: right after a start, while the primary of before may still come back (limits.primary_grace_ms); after
 *    the only one gave it up, until somebody comes or asks; and while the store refuses (it is tried again each second).
 *  - The next one is always the device that joined first of those that live. A device that was silent and is heard again,
 *    or that released, goes to the end of that line.
 *  - At most one device holds a lock, under a fence that only grows; the line is served in order.
 *  - Every token is answered exactly once.
 *
 * Alive means heard within limits.heartbeat_ms. Only a primary with somebody behind it is watched so closely, and pinged
 * for it twice in that time. A silent one keeps its connection and its seat.
 *
 * What makes a primary go: leaving, losing its connection, silence, being revoked, a release, a transfer, somebody who
 * takes over, or, where the conversation's setting says so, somebody who types. When nobody is left to follow, a lost
 * connection leaves the record as it is (the daemon may just be ending); leaving, releasing and revoking clear it.
 *
 * Times are boot-clock milliseconds given by the caller and never go back. Strings given are copied when kept; strings
 * handed out live until the next call. Effects are performed during the call that causes them and must not call back.
 * One thread. */
#ifndef ROOST_DEVICE_SEATS_H
#define ROOST_DEVICE_SEATS_H

#include "base/base.h"
#include "base/limits.h"

struct seats;

/* A Session record as somebody read it, or as a command left it. An older term or fence than what is known already is
 * not believed. */
struct seats_session {
	struct str id;      /* "" the conversation has none yet */
	struct str primary; /* device id, "" none */
	int64_t term, fence;
};

/* What is known of one conversation. */
struct seats_state {
	int64_t user;
	struct str conversation_id, session_id; /* session_id "" before the first message */
	struct str primary;                     /* as committed, "" none */
	int64_t term;
	struct str holder; /* of the lock, "" nobody */
	int64_t fence;     /* the holder's; without one the last that was given out */
	int64_t until_ms;  /* when the holder's lease ends */
};

/* A change to be put to the writer. */
enum seats_kind {
	SEATS_PRIMARY, /* device_id (or "": nobody) becomes primary, if the term is still `expect` */
	SEATS_LOCK     /* device_id (or "": nobody) holds the lock until until_ms, if the fence is still `expect`; a new
			* holder gets the next fence, the same holder keeps its own */
};
struct seats_change {
	enum seats_kind kind;
	uint64_t serial; /* comes back in the result */
	int64_t user;
	struct str session_id, device_id;
	int64_t expect;
	bool is_renewal; /* SEATS_LOCK: device_id holds it already */
	int64_t until_ms;
};
/* How that went: OK; ERR_CONFLICT when the term or fence was another; ERR_SESSION_KILLED, with `now` the session that
 * follows; anything else is the store's trouble. `now` is the record as the command found or left it. */
struct seats_result {
	enum seats_kind kind;
	uint64_t serial;
	int64_t user;
	struct str session_id; /* the change's */
	enum err err;
	struct seats_session now;
	struct str holder; /* SEATS_LOCK: who holds it now, "" nobody */
};

struct seats_ops {
	/* Ask the writer; seats_committed follows once, in the order of submission. */
	void (*submit)(void *ctx, const struct seats_change *c);
	/* The primary or the term of a session is another now. `before`: who was primary, "" nobody. */
	void (*primary)(void *ctx, const struct seats_state *s, struct str before);
	/* The lock has a new holder, or nobody holds it any more. */
	void (*lock)(void *ctx, const struct seats_state *s);
	/* A device sat down or got up. */
	void (*joined)(void *ctx, const struct seats_state *s, struct str device_id, bool is_joined);
	/* The end of a question. OK: as wished, `s` says how it stands. ERR_PRIMARY_EXISTS, ERR_NOT_PRIMARY: s->primary and
	 * s->term; ERR_SESSION_LOCKED: s->holder and s->until_ms; ERR_SESSION_KILLED: s->session_id is the one that
	 * follows. Also ERR_NOT_JOINED, ERR_OFFLINE, ERR_NOT_HOLDER, ERR_TOO_MANY, ERR_SHUTTING_DOWN, and what the store
	 * said. `s` is NULL when the session is not known here. */
	void (*answer)(void *ctx, void *token, enum err e, const struct seats_state *s);
	/* Make the device say something (a WebSocket ping). */
	void (*ping)(void *ctx, int64_t user, struct str device_id);
};

struct seats_options {
	const struct limits *limits; /* heartbeat_ms, primary_grace_ms, lock_ms, lock_waiters; outlives the seats */
	const struct seats_ops *ops;
	void *ctx;
	int64_t now_ms; /* the daemon's start: grace runs from here */
};
struct seats *seats_new(const struct seats_options *o);
void seats_free(struct seats *s);
/* The daemon is stopping: open questions are answered with ERR_SHUTTING_DOWN, and nothing is proposed any more. Inputs
 * may still come; primaries stay as they are. */
void seats_stop(struct seats *s);

/* ---- devices come and go ---------------------------------------------------------------------------------------- */

/* `session` is the conversation's current one as read for this join, `follows` its setting primary == "followsTyping".
 * `token` (not NULL) is answered with OK as soon as it is settled who is primary; joining again only asks that. A
 * second connection of a device that takes over the first is no input at all. */
void seats_join(struct seats *s, int64_t user, struct str device_id, struct str conversation_id,
		const struct seats_session *session, bool follows, void *token, int64_t now_ms);
void seats_leave(struct seats *s, int64_t user, struct str device_id, struct str conversation_id, int64_t now_ms);
void seats_lost(struct seats *s, int64_t user, struct str device_id, int64_t now_ms);    /* its connection ended */
void seats_revoked(struct seats *s, int64_t user, struct str device_id, int64_t now_ms); /* it may never come back */
void seats_heard(struct seats *s, int64_t user, struct str device_id, int64_t now_ms);   /* bytes of it arrived */
/* A person typed on it. Moves primacy there when the conversation follows typing, at most once a second. */
void seats_typed(struct seats *s, int64_t user, struct str device_id, struct str session_id, int64_t now_ms);

/* ---- questions, each with a token ------------------------------------------------------------------------------- */

enum seats_action { SEATS_REQUEST, SEATS_TAKE, SEATS_RELEASE, SEATS_TRANSFER };
/* SEATS_REQUEST: primary if nobody living is; SEATS_TAKE: in any case. SEATS_RELEASE: the next one is, or nobody.
 * SEATS_TRANSFER: `to` is. ERR_NOT_JOINED is told of the asker and of `to`; a silent `to` is ERR_OFFLINE. */
void seats_ask(struct seats *s, int64_t user, struct str device_id, struct str session_id, enum seats_action action,
	       struct str to, void *token, int64_t now_ms);
/* Takes or renews the lock for ttl_ms (cut to limits.lock_ms), waiting in line for it up to wait_ms. */
void seats_lock(struct seats *s, int64_t user, struct str device_id, struct str session_id, int64_t ttl_ms,
		int64_t wait_ms, void *token, int64_t now_ms);
/* fence 0: whichever it holds. */
void seats_unlock(struct seats *s, int64_t user, struct str device_id, struct str session_id, int64_t fence,
		  void *token, int64_t now_ms);

/* ---- what the store did ----------------------------------------------------------------------------------------- */

void seats_committed(struct seats *s, const struct seats_result *r, int64_t now_ms);
/* A committed, active Session record of that conversation: its first one, or news of the current one. */
void seats_session(struct seats *s, int64_t user, struct str conversation_id, const struct seats_session *session,
		   int64_t now_ms);
/* The session `old_id` was killed and `next` follows it: everybody moves over, in the same order; the lock and its line
 * are gone. Told once, after the commit that did it; a primary that lives stays primary if `next` says so. */
void seats_cleared(struct seats *s, int64_t user, struct str old_id, const struct seats_session *next, int64_t now_ms);
/* The conversation's setting changed. */
void seats_follow(struct seats *s, int64_t user, struct str conversation_id, bool follows, int64_t now_ms);

/* ---- time ------------------------------------------------------------------------------------------------------- */

/* Call seats_tick at or soon after this time; INT64_MAX: nothing to wait for. Every input may bring it nearer. */
int64_t seats_next_ms(const struct seats *s);
void seats_tick(struct seats *s, int64_t now_ms);

/* ---- looking ---------------------------------------------------------------------------------------------------- */

/* False when nobody has joined it. */
bool seats_find(const struct seats *s, int64_t user, struct str session_id, struct seats_state *out);
bool seats_find_conversation(const struct seats *s, int64_t user, struct str conversation_id, struct seats_state *out);
bool seats_is_joined(const struct seats *s, int64_t user, struct str device_id, struct str session_id);
/* The joined devices, first come first. */
void seats_each_joined(const struct seats *s, int64_t user, struct str conversation_id,
		       void (*fn)(void *ctx, struct str device_id), void *ctx);
/* The sessions a device is primary of and has joined, in the order it joined them. */
void seats_each_primary(const struct seats *s, int64_t user, struct str device_id,
			void (*fn)(void *ctx, struct str session_id), void *ctx);
/* The same of all sessions it has joined; those of conversations without a message are left out. */
void seats_each_session(const struct seats *s, int64_t user, struct str device_id,
			void (*fn)(void *ctx, struct str session_id), void *ctx);
/* Of all users. */
struct seats_count {
	int64_t joined;       /* conversations in which a device sits */
	int64_t with_primary; /* those whose primary does */
	int64_t locked;       /* those whose lock is held */
	int64_t waiting;      /* devices in line for a lock */
};
struct seats_count seats_count(const struct seats *s);
/* Nothing is under way: no proposal, no unanswered question but those that wait in line for a lock. */
bool seats_are_settled(const struct seats *s);

#endif
