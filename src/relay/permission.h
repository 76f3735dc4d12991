/* A command-line agent asks whether it may use a tool, and a person answers: Permission records.
 *
 * A question is a record from the moment it is asked, so every device of the user sees it, also one that comes later. Its
 * fields: requestId, conversationId, sessionId, attempt, tool, input, askedAt, expiresAt, state ("open", "allowed",
 * "denied", "expired"), and once it is answered answeredAt, by (the device) and message. A state other than open is
 * the last one.
 *
 *  1. Only the running attempt may ask, by the fence of cmd_finish; so no question is open whose attempt is over.
 *  2. The first answer counts; a later one is ERR_ANSWERED, and ERR_BAD_STATE when it expired.
 *  3. The commit that ends an attempt, however it ends, expires what the attempt had asked. That covers a stop, a daemon
 *     that died, and a session that was cleared.
 *
 * Names derive from the request's, the attempt and a number, so they are found without an index. */
#ifndef ROOST_RELAY_PERMISSION_H
#define ROOST_RELAY_PERMISSION_H

#include "relay/commands.h"

/* ERR_SUPERSEDED: the attempt is over. ERR_TOO_LARGE, ERR_BAD_FIELD: the input can't be shown. */
struct cmd_permission_ask {
	struct store_op op;
	/* in */
	int64_t row, attempt, incarnation; /* of the request */
	struct str tool, input;            /* input: a JSON object */
	int64_t wait_ms;
	/* out */
	struct str permission_id;
};
enum err cmd_permission_ask_run(struct txn *t, struct store_op *op);

struct cmd_permission_answer {
	struct store_op op; /* actor 0: the answering device is to hear of the record too */
	/* in */
	int64_t user;
	uint32_t principal;
	struct str device_id, permission_id;
	bool allow;
	struct str message; /* for the agent, "" none */
	/* out */
	struct record rec; /* as it is now, also with ERR_ANSWERED and ERR_BAD_STATE */
};
enum err cmd_permission_answer_run(struct txn *t, struct store_op *op);

/* Nobody answered in time, or the agent needs no answer any more. */
struct cmd_permission_expire {
	struct store_op op;
	int64_t row;              /* in: of the request */
	struct str permission_id; /* in */
	bool expired;             /* out: false, it was answered already */
};
enum err cmd_permission_expire_run(struct txn *t, struct store_op *op);

/* Condition 3, inside the commit that ends the attempt. */
MUST_USE enum err permissions_expire(struct txn *t, const struct job_info *job);

#endif
