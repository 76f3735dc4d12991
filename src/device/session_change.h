/* The writer's side of device/seats.h: judges a proposed change of a session's primary or lock against its record, and
 * makes it. Whatever the loop believed when it proposed, the record decides. */
#ifndef ROOST_DEVICE_SESSION_CHANGE_H
#define ROOST_DEVICE_SESSION_CHANGE_H

#include "device/seats.h"
#include "device/session.h"

struct cmd_session_change {
	struct store_op op;
	/* in */
	struct seats_change change; /* its strings live as long as the command */
	int64_t incarnation;
	int64_t expires_wall_ms; /* SEATS_LOCK: the change's until_ms as a wall time */
	/* out */
	struct seats_session now; /* as the record is; with ERR_SESSION_KILLED the session that follows */
	struct str holder;        /* who holds the lock, "" nobody */
};
/* The conditions, in this order:
 *  1. The session is there (ERR_NOT_FOUND) and active (ERR_SESSION_KILLED).
 *  2. Its term, or for a lock its fence, is the one the proposal was made under; else ERR_CONFLICT.
 *  3. The device is this user's and was not revoked; else ERR_NOT_FOUND.
 * Then: the term grows by one with a new primary; a new holder of the lock gets the next fence, a renewal and a release
 * keep it. A lease that an earlier incarnation gave is void and goes with any change. */
enum err cmd_session_change_run(struct txn *t, struct store_op *op);

/* What session:join must know, from one snapshot. */
struct cmd_session_look {
	struct store_op op;
	int64_t user;
	struct str conversation_id, session_id; /* in: one of them; out: conversation_id */
	/* out */
	bool has_session;
	struct record record;      /* the session that was named, or the current one */
	int64_t conv;              /* the conversation's row, 0 it does not exist yet */
	struct seats_session seat; /* the current one; id "" none */
	bool follows;              /* the conversation's setting primary == "followsTyping" */
	bool is_killed;            /* `record` is not the current one any more */
};
/* ERR_NOT_FOUND: no such session, or the conversation was deleted. A conversation that does not exist yet is OK. */
enum err cmd_session_look_run(struct txn *t, struct store_op *op);
/* The conversation's setting. */
bool session_follows_typing(struct str conversation_fields);

#endif
