/* Questions of command-line agents on their way to a person and back.
 *
 * A question is put on record (relay/permission.h), waits there for permissionMs, and goes back to the call that asked:
 * as a device answered, or as a refusal when nobody did or it could not be recorded. What is told to the agent was
 * committed first. The record outlives the call that asked and is closed by the commit that ends the attempt; here only
 * what has to be told to a call is kept. Loop thread. */
#ifndef ROOST_HOST_INQUIRY_H
#define ROOST_HOST_INQUIRY_H

#include "host/call.h"
#include "relay/permission.h"

struct inquiry;
struct inquiries {
	struct store *store;
	const struct limits *limits;
	uv_timer_t timer; /* the earliest end of the waiting */
	bool stopping;
	LIST_HEAD(, inquiry) list;
};

/* `loop` gets a timer, which the owner closes. */
void inquiries_init(struct inquiries *all, uv_loop_t *loop, struct store *store, const struct limits *limits);
void inquiries_stop(struct inquiries *all); /* the store is about to close: nothing is submitted any more */

/* From the call's callbacks. The request is given by its row, and its attempt. */
void inquiry_open(struct inquiries *all, struct provider_call *call, const struct call_question *asked, int64_t row,
		  int64_t attempt);
void inquiry_withdraw(struct inquiries *all, const struct provider_call *call, struct str question_id);
void inquiries_forget(struct inquiries *all, const struct provider_call *call); /* it is over */

/* A device's answer was committed. */
void inquiry_answered(struct inquiries *all, struct str permission_id, bool allow, struct str message);

#endif
