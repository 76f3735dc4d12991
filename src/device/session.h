/* The Session record: what the daemon keeps about the live context of a conversation.
 *
 * A session has at most one primary device, under a term that only grows; at most one lock, a lease with a fence that
 * only grows; perhaps an automatic run; and it is active until it is cleared, which kills it for good. All of it is
 * judged from the record inside the write transaction, so two devices that race meet one judge. Fields this daemon does
 * not know stay as they are.
 *
 * As fields: conversationId, state ("active", "killed"), term, fence (the greatest given out); while there is one:
 * primaryDeviceId, lock {deviceId, fence, expiresAt, owner, untilMs}, queuePaused, auto (an object, see record/run.h),
 * agentSessions {provider: the agent's own name of the conversation} when a command-line agent gave the last answer;
 * once killed: killedAt, killedBy, nextSessionId, lateFrom.
 *
 * A device that was paired after the kill is late: it never sees what the session held. Devices are numbered in the order
 * they came (their principals), and lateFrom is the first number of those that came after.
 *
 * Lock: a lease runs on this machine's boot clock (`untilMs`), `owner` is the daemon's incarnation; another incarnation's
 * lease is void. `expiresAt` is for people. */
#ifndef ROOST_DEVICE_SESSION_H
#define ROOST_DEVICE_SESSION_H

#include "store/store.h"

struct session_lock {
	struct str device_id; /* "": nobody holds it */
	int64_t fence, owner, until_boot_ms, expires_wall_ms;
};

struct session {
	struct str conversation_id;
	bool is_killed;
	struct str primary; /* device id, "" none */
	int64_t term;
	struct session_lock lock;
	int64_t fence;
	bool queue_paused;
	struct str automatic; /* the JSON object of `auto`, or STR_NONE */
	struct str agents;    /* the JSON object of `agentSessions`, or STR_NONE */
	int64_t killed_ms;    /* wall; 0 active */
	struct str killed_by; /* device id, "" the daemon */
	struct str next_id;   /* the session after this one, "" none */
	int64_t late_from;    /* killed: principals from this number on are late */
};

/* Strings are copies in `arena`. ERR_CORRUPT when the fields are not a session's. */
MUST_USE enum err session_read(struct session *s, const struct record *r, struct arena *arena);
/* Sets r->fields (in the arena): the fields of `s` over what is there. A new record has none yet. */
void session_write(const struct session *s, struct record *r, struct arena *arena);
/* By name, in a user's home zone. ERR_NOT_FOUND, with a sentence in `info`, also when it is another user's. */
MUST_USE enum err session_find(struct txn *t, int64_t user, struct str id, struct record *r, struct session *s,
			       struct errinfo *info);

/* The session of a conversation now, "" when it has none: nothing was said in it yet, or it was deleted. */
MUST_USE enum err session_current(struct txn *t, const struct record *conv, struct str *out);
/* The same by the conversation's row, which a Session, a Message and a Request have too. *id stays when there is none. */
MUST_USE enum err session_newest(struct txn *t, int64_t conv_row, struct str *id);

/* Is this session killed, and did the device of `principal` come after that? */
MUST_USE enum err session_is_hidden(struct txn *t, uint32_t zone, struct str id, uint32_t principal, bool *out);

/* What a holder's clock says: does anybody hold the lock now? Then `s->lock` says who. */
bool session_is_locked(const struct session *s, int64_t incarnation, int64_t boot_ms);

#endif
