/* message:edit and message:delete, on the writer thread. How edits merge is record/merge.h, what becomes of the texts
 * they replace is store/revise.c; here is what holds for messages.
 *
 * An edit changes the text and nothing else: role, attachments and place stay, a request that is answering the message
 * goes on with what it was given, and the id still gets its first ack (`origin`). The conditions, in this order:
 *  1. The message is there, and not in a session that was cleared before the device came; else ERR_NOT_FOUND. One that
 *     was deleted takes a stamped edit, which is only kept.
 *  2. Its session is alive; else ERR_SESSION_KILLED names the conversation's session now.
 *  3. Nobody else holds its session's lock; else ERR_SESSION_LOCKED.
 *  4. A change tag that comes without stamp and base is the message's present one; else ERR_CONFLICT hands out the
 *     stored record and what the edit would make of it.
 *  5. A message keeps a text or parts; else ERR_BAD_FIELD.
 *
 * Of these the first, the third and the fourth hold for a deletion, too; none holds for what is deleted already, which
 * takes nothing but revisions. The tombstone keeps the message's name and origin for ever; its attachments are no longer
 * referred to by it; a request that is open is handed out to be stopped. */
#ifndef ROOST_RELAY_EDIT_H
#define ROOST_RELAY_EDIT_H

#include "relay/commands.h"

struct cmd_edit {
	struct store_op op;
	/* in */
	int64_t user;
	struct str message_id;
	const struct json *fields; /* {"text": …}; NULL deletes */
	struct str change_tag;     /* STR_NONE: none was given */
	struct str stamp;          /* STR_NONE: none */
	const struct json *base;   /* {"text": stamp}, or NULL */
	int64_t boot_ms;           /* when the command was made */
	int64_t incarnation;
	/* out */
	struct record rec;         /* as it is now; with ERR_CONFLICT as it is stored */
	struct record merged;      /* ERR_CONFLICT: as the edit would leave it */
	struct str conflicts;      /* see struct edit_result */
	struct str out_session_id; /* ERR_SESSION_KILLED */
	struct refusal refusal;    /* ERR_SESSION_LOCKED */
	bool has_request;          /* a deletion: the message's request is open */
	struct job_info job;
};
enum err cmd_edit_run(struct txn *t, struct store_op *op);

#endif
