/* Automatic runs on the writer's side: what a run is allowed is decided here, inside the transaction, from the Session
 * record; what a run does is written here, each step as an AutoStep record in the same commit.
 *
 * What always holds
 *  - An automatic message is stored only while the run is running, and counts in the commit that stores it. The one that
 *    reaches the limit ends the run in that commit, so no run ever sends one more, whatever crashes or hands over.
 *  - An answer is followed at most once, by a person or by the run: a second automatic message for the same answer, or
 *    for one that was passed over, is refused. A driver that takes over can therefore simply look at the newest answer.
 *  - Every change of a run is one AutoStep: {sessionId, conversationId, run, n (from 1 in the session), action (started,
 *    sent, paused, resumed, handed_over, stopped), reason?, deviceId, term, messageId?, answerId?, sent, at}. Its name
 *    follows from session and n.
 *
 * What is written is the daemon's (actor 0), so that it reaches every device. All of it inside `run` of a command. */
#ifndef ROOST_DEVICE_AUTOMATIC_H
#define ROOST_DEVICE_AUTOMATIC_H

#include "device/session.h"
#include "record/run.h"

/* What all of this needs to know of the command it is part of. */
struct automatic {
	struct txn *t;
	struct store_op *op;
	const struct limits *limits;
	struct run_clock clock;
};

/* ---- a message -------------------------------------------------------------------------------------------------- */

struct automatic_message {
	struct str id, parent; /* parent: the answer it follows, STR_NONE none */
	struct str device_id;  /* the sender, the session's primary */
};
/* What a refused one is told: ERR_AUTO_STOPPED where the run stands, ERR_ANSWERED which message followed the answer. */
struct automatic_refusal {
	enum run_state state;
	enum run_reason reason;
	int64_t sent;
	struct str message_id; /* "" it is not known any more */
};
/* May it be stored now? `conv` is the conversation's row. ERR_AUTO_STOPPED, ERR_ANSWERED, ERR_NOT_FOUND or ERR_BAD_FIELD
 * for its parent. Term and primary were judged. */
MUST_USE enum err automatic_judge(const struct automatic *a, const struct session *s, uint32_t zone, int64_t conv,
				  const struct automatic_message *m, struct automatic_refusal *out);
/* It was stored, in this command: counts it, and writes the step and the Session record. `r` and `s` are the session as it
 * was judged. */
MUST_USE enum err automatic_sent(const struct automatic *a, struct record *r, struct session *s,
				 const struct automatic_message *m);

/* ---- what is asked of a run ------------------------------------------------------------------------------------- */

enum automatic_action {
	AUTOMATIC_LOOK, /* nothing changes; may be a read */
	AUTOMATIC_START,
	AUTOMATIC_PAUSE,
	AUTOMATIC_RESUME,
	AUTOMATIC_STOP,
	AUTOMATIC_EXPIRE /* ends it if its time is up; nothing else is an error */
};
struct cmd_automatic {
	struct store_op op;
	/* in */
	int64_t user;
	struct str session_id;
	enum automatic_action action;
	enum run_reason reason; /* PAUSE, STOP */
	bool is_driver; /* PAUSE, STOP: asked as the primary of `term`; another's wish is then ERR_NOT_PRIMARY */
	int64_t term;
	enum run_mode mode; /* START, this and what follows; a limit of 0 is the daemon's own */
	int64_t max_messages, max_ms;
	bool all;
	struct str params; /* a JSON object, STR_NONE none */
	const struct limits *limits;
	struct run_clock clock;
	/* out, in the op's arena; also set with an error when the session was found */
	struct record record;
	struct session session;
	struct str run; /* the run as JSON, as it is now; STR_NONE there never was one */
};
/* ERR_NOT_FOUND, ERR_SESSION_KILLED (START), ERR_BAD_STATE (START: one is running or paused), ERR_AUTO_STOPPED (PAUSE,
 * RESUME, STOP: there is none to do that to), ERR_NOT_PRIMARY. Asking for what is so already changes nothing. */
enum err cmd_automatic_run(struct txn *t, struct store_op *op);

/* For a command that kills a session: ends its run, if it has one that goes on, by `reason` (REASON_CLEARED). Changes `s`
 * and writes the step; the caller writes the session. */
MUST_USE enum err automatic_end(const struct automatic *a, const struct record *r, struct session *s,
				enum run_reason reason, struct str device_id);

#endif
