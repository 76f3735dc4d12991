/* What the relay does to the store: one function per step, run on the writer thread inside the transaction.
 *
 * Everything that races is decided here and nowhere else: is this message id new, is that session alive, may this
 * request be claimed, is this attempt still the one. The loop's own picture of the queue is only good for fast refusals.
 * Each command is a struct that starts with its store_op; inputs are set by the caller and must live until done; results
 * are in the op's arena.
 *
 * A request's life in commits: (1) message + request, already claimed when a slot is free; (2) reply + completion. What
 * streams between them goes through cmd_chunks. */
#ifndef ROOST_RELAY_COMMANDS_H
#define ROOST_RELAY_COMMANDS_H

#include "device/automatic.h"
#include "device/duplicate.h"
#include "relay/budget.h"
#include "relay/defaults.h"
#include "relay/request.h"
#include "store/store.h"
#include "talk/view.h"

/* What the loop must know to work on a request; strings in the op's arena. */
struct job_info {
	struct str request_id;
	int64_t row, conv; /* rows of the Request and of its Conversation */
	uint32_t zone;
	int64_t user;
	struct request request;
	struct talk_message *messages; /* only after a claim: the view, oldest first */
	size_t nmessages;
	struct str agents; /* only after a claim: the session's agentSessions, STR_NONE none */
	bool is_cut;       /* the view: older messages did not fit in it */
};

/* What a refused sender is told besides the code. */
struct refusal {
	struct str device_id;         /* who is primary, holds the lock, or sent the same text; "" nobody */
	struct str message_id;        /* ERR_DUPLICATE: the message that has the text */
	int64_t term;                 /* ERR_NOT_PRIMARY: the current one */
	int64_t age_ms;               /* ERR_DUPLICATE: how long ago that was sent */
	int64_t expires_ms;           /* ERR_SESSION_LOCKED: wall time */
	struct automatic_refusal run; /* ERR_AUTO_STOPPED, ERR_ANSWERED */
	struct overspent budget;      /* ERR_BUDGET */
};

/* message:send. */
struct cmd_send {
	struct store_op op;
	/* in */
	int64_t user;
	struct str user_id;
	struct str message_id, conversation_id, session_id; /* one of the last two may be STR_NONE */
	struct str text, parts, parent;                     /* parts: a JSON array or STR_NONE */
	bool automatic, wants_answer;
	bool force;                    /* send although another device just sent the same */
	int64_t term;                  /* with automatic: the sender's */
	int64_t boot_ms;               /* when the command was made */
	struct duplicates *net;        /* what was sent a moment ago, the writer's own; NULL: nothing is compared */
	int64_t duplicate_ms;          /* limits.duplicate_ms; 0 compares nothing */
	const struct limits *limits;   /* the daemon's, for an automatic run */
	struct wanted wanted;          /* of the request */
	const struct model_book *book; /* NULL: names are what they say */
	const struct budgets *budgets; /* NULL: the configuration has none */
	struct str fallback;           /* a JSON array of models, "" none */
	int priority;                  /* of the request, PRIORITY_… */
	bool claim;                    /* a slot is held: claim at once when nothing of this session is open */
	int64_t claim_tokens;          /* … and the view has no more than so many tokens; 0: any number */
	int64_t incarnation, context_bytes, open_max; /* open_max: limits.open_requests */
	/* out */
	bool duplicate, claimed;
	int64_t ord, at_ms;        /* place and time of the message as it is stored */
	struct str out_session_id; /* the session the message is in; with ERR_SESSION_KILLED the current one */
	int64_t tag_seq;           /* for the ack: the tag the message had when it was first stored */
	struct refusal refusal;    /* with an error that has one */
	struct duplicate_key net_key;
	bool has_request;
	bool held; /* the session's queue is paused: the request waits whatever is free */
	bool is_settled;
	struct settled settled; /* what the request is for */
	struct job_info job;
};
enum err cmd_send_run(struct txn *t, struct store_op *op);
/* The same content gives the same digest: conversation, text, parts, and whether an answer was asked for. */
#define ORIGIN_LEN 25
/* The content net, for send.c: ERR_DUPLICATE with a refusal when another device just sent the same; and remembering the
 * message that was put. */
MUST_USE enum err content_net_check(struct txn *t, struct cmd_send *c, const struct record *conv);
void content_net_note(struct cmd_send *c, const struct record *m);

/* Takes the request for an attempt. ERR_BAD_STATE: it is not waiting any more, another of its session is running, (held)
 * the session's queue is paused, or (too_long) its view has more tokens than the limits leave room for. */
struct cmd_claim {
	struct store_op op;
	int64_t row, incarnation, context_bytes;
	int64_t most_tokens;           /* of the view; 0: any number */
	const struct budgets *budgets; /* NULL: the configuration has none */
	bool held;                     /* out */
	bool too_long;                 /* out; view_tokens says how long */
	int64_t view_tokens;           /* out */
	/* out, with OK: it ended without a call: stopped, since its session was killed or a person said so, or failed, since
	 * the budget is spent */
	bool ended;
	struct job_info job; /* out */
};
enum err cmd_claim_run(struct txn *t, struct store_op *op);

/* Ends an attempt: the fence is (row, attempt, incarnation). ERR_SUPERSEDED when it does not hold any more; then nothing
 * changed. */
enum finish_as {
	FINISH_DONE,    /* the reply and the completion, one commit */
	FINISH_RETRY,   /* failed, another attempt at next_try_ms */
	FINISH_FAILED,  /* failed for good */
	FINISH_STOPPED, /* a person stopped it; also ends one that is only queued or waiting */
	FINISH_EXPIRED, /* it waited too long for a provider that does not work; ends only one that is queued or waiting */
	FINISH_RECOVER /* its daemon died: close the attempt and queue it again, or fail it when it used up its tries */
};
struct cmd_finish {
	struct store_op op;
	/* in */
	enum finish_as as;
	int64_t row, attempt, incarnation;
	struct turn_times times;
	struct str text, thinking;
	enum err err;
	struct str error_text;
	int64_t next_try_ms;
	int64_t base;         /* FINISH_RETRY: attempts up to this one do not count any more */
	bool falls_back;      /* FINISH_RETRY: the next attempt is for the next model */
	int64_t failing_ms;   /* since when it fails, wall; 0 it does not */
	int64_t max_attempts; /* FINISH_RECOVER */
	enum fail fail;
	struct str provider_id; /* the provider's own name for the call, "" unknown */
	int waited_for;         /* pacing_why, and for how long, before it began */
	int64_t waited_ms;
	struct call_usage
		usage; /* when nothing is known of it, what was said is estimated, and the view it was said to */
	const struct model_book *book; /* for that: NULL, its price is not known */
	int64_t context_bytes;
	struct call_context context;
	struct str finish_reason;
	struct str parts;         /* of the reply, a JSON array; "" none */
	struct str agent_session; /* FINISH_DONE: what the agent that answered calls this session; "" it was no agent */
	bool session_lost;        /* the agent didn't know the one it was to go on with */
	/* out */
	struct job_info job; /* as it is now, also when nothing changed */
};
enum err cmd_finish_run(struct txn *t, struct store_op *op);

/* request:retry of a failed or stopped one: queued again, with a fresh budget of attempts. */
struct cmd_retry {
	struct store_op op;
	int64_t user;
	struct str request_id;
	struct job_info job; /* out */
	struct str next_id;  /* out, with ERR_SESSION_KILLED: the conversation's session now */
};
enum err cmd_retry_run(struct txn *t, struct store_op *op);

/* session:clear. The conditions, in this order:
 *  1. The session, or the conversation and its session, is there; else ERR_NOT_FOUND.
 *  2. A session that was killed already is not killed again: the answer is the same, and is_new is false.
 *  3. Nobody else holds its lock; else ERR_SESSION_LOCKED.
 * Then, in one commit: the session is killed, its automatic run ends, what waits in its queue is stopped, what runs is
 * marked as stopped (which a restart honours), and the next session is made, whose id follows from the old one's. The
 * same device is primary, under the next term. The Conversation names the new session.
 *
 * Of a project, one step clears the next few conversations; those that are locked are left out and named. */
struct cleared {
	struct str conversation_id, killed_id, session_id; /* session_id: the conversation's session now */
	bool is_new;
	struct str primary; /* of the new session, "" none */
	int64_t term, fence;
	struct job_info *stopped; /* what had waited */
	size_t nstopped, cap;
	enum err err; /* ERR_SESSION_LOCKED in a project: it was left out */
	struct refusal refusal;
};
#define CLEAR_STEP 8
struct cmd_clear {
	struct store_op op; /* actor 0: what changes is news to the asking device too */
	/* in */
	int64_t user;
	struct str device_id; /* who asks */
	struct str session_id, conversation_id, project_id,
		cursor; /* one of the first three; the last with a project */
	int64_t boot_ms, incarnation;
	const struct limits *limits;
	/* out */
	struct cleared list[CLEAR_STEP];
	size_t n;
	struct str next_cursor; /* of a project: STR_NONE when that was all of it */
};
enum err cmd_clear_run(struct txn *t, struct store_op *op);

/* Text that arrived since the last commit, of any number of streams. */
struct cmd_chunks {
	struct store_op op;
	struct chunk *list; /* in; ids out */
	size_t n;
};
enum err cmd_chunks_run(struct txn *t, struct store_op *op);

/* Looks a request up for its owner. ERR_NOT_FOUND also when it is another user's. */
struct cmd_request_get {
	struct store_op op;
	int64_t user;
	struct str request_id;
	struct job_info job; /* out */
	struct record rec;   /* out */
};
enum err cmd_request_get_run(struct txn *t, struct store_op *op);

/* An estimate of what a view and its request's parameters come to, in tokens; `family`: of the model, STR_NONE any. */
int64_t view_tokens(const struct job_info *job, struct str family);

/* The same inside other commands: of a record that is at hand, and by name. */
MUST_USE enum err request_load(struct txn *t, const struct record *r, struct job_info *job);
MUST_USE enum err request_find(struct txn *t, int64_t user, struct str id, struct record *r, struct job_info *job,
			       struct errinfo *info);

/* All open requests: at start, and for the sweep. */
struct cmd_open_requests {
	struct store_op op;
	struct job_info *list; /* out, oldest first */
	size_t n, cap;
};
enum err cmd_open_requests_run(struct txn *t, struct store_op *op);

#endif
