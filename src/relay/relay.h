/* The relay: which request runs now, and what happens to it.
 *
 * A pure state machine over the open requests of all users. Inputs are facts (a request was committed, a slot's call
 * said something, a command was committed, this much time passed, a person said stop); it answers with effects through a
 * small table of functions. It does no I/O; the daemon performs the effects for real (host/work.c).
 *
 * Rules
 *  - One request at a time within a conversation's session, by class and then in the order they were committed;
 *    conversations in parallel. Of a session whose queue is paused none is begun.
 *  - A provider has a number of slots. Free slots go round-robin over users, then over a user's sessions.
 *  - A call begins when the limits of its model and provider leave room for it (talk/limiter.h) and the provider is worth
 *    calling (talk/circuit.h). Who waits for that waits in the same order, and is shown why.
 *  - A request that waits to be tried again keeps its session's place and holds no slot.
 *  - What a device is shown was committed first: text goes into a log (one command at a time, with everything that has
 *    arrived since the last) and is published when that is on disk.
 *  - Stop works in every phase and does not wait for the disk: the call is cut first, the record follows.
 *  - The picture here may be wrong, and that must be harmless: the store's fences decide. relay_sweep repairs what is
 *    missing here, relay_watch repairs what does not move.
 *
 * One thread. */
#ifndef ROOST_RELAY_RELAY_H
#define ROOST_RELAY_RELAY_H

#include <sys/queue.h>

#include "relay/commands.h"
#include "talk/circuit.h"
#include "talk/limiter.h"
#include "talk/turn.h"

struct relay;
struct job;

/* The stream as devices see it. */
struct delta {
	struct job *job;
	enum stream_kind kind;
	int64_t attempt, offset;
	struct str text;
};

/* Effects. Every command handed to `submit` comes back through relay_committed, whatever became of it. Calls come back
 * through relay_call_*, never from inside call_start. */
struct relay_effects {
	void (*submit)(void *ctx, struct store_op *op);
	void *(*call_start)(void *ctx, struct job *j, const struct job_info *view);
	void (*call_cancel)(void *ctx, void *call);
	void (*call_pause)(void *ctx, void *call, bool paused);
	/* What a call that is about to be cut has used, as far as is known. */
	void (*call_used)(void *ctx, void *call, struct call_usage *out);
	void (*publish)(void *ctx, const struct delta *d); /* committed text */
	void (*state)(void *ctx, struct job *j);           /* the request's visible state changed */
	void (*event)(void *ctx, const char *type, const struct job *j, enum err e, struct str detail);
};

struct provider_terms {
	int64_t slots;
	struct rate_limits limits; /* of all its models together */
	bool has_circuit;          /* false: it is called whatever happens */
	bool is_agent;             /* it may be silent while it works; its calls are bounded by answerMs alone */
};

struct relay_config {
	const struct limits *limits;
	int64_t incarnation;
	size_t nproviders;
	const struct provider_terms *providers;
	uint64_t seed;
	const struct budgets *budgets; /* NULL: none; must outlive the relay */
	/* What calls cost that nobody counted; NULL: not known. As long. */
	const struct model_book *book;
	/* The provider of a model, -1 when unknown. */
	int (*provider_of)(void *ctx, struct str model);
	/* Limits of one model: configured, and usual for its kind of provider. NULL: none has any. */
	void (*limits_of)(void *ctx, struct str model, struct rate_limits *configured, struct rate_limits *usual);
	const struct relay_effects *effects;
	void *ctx;
};
struct relay *relay_new(const struct relay_config *c);
/* Cuts every call and starts nothing more. Commands may still be on their way and hold views of the relay's memory: free
 * it only after the store has returned them all. */
void relay_halt(struct relay *r);
void relay_free(struct relay *r);

/* Recovery at start, in this order: every chunk of the log, then every open request, then relay_start. */
void relay_recover_chunk(struct relay *r, const struct chunk *c);
void relay_recover_job(struct relay *r, const struct job_info *info, struct now now);
void relay_start(struct relay *r, struct now now);

/* A send may hold a slot before it is committed, so that message, request and claim are one commit. relay_reserve says
 * whether there is one; its handle is *out_hold, and the view may have *out_tokens at
 * most (0: any number). After the commit relay_admit
 * consumes it, and after a failure relay_unreserve gives it back. */
bool relay_reserve(struct relay *r, struct str conversation_id, struct str model, struct now now, int *out_hold,
		   int64_t *out_tokens);
void relay_unreserve(struct relay *r, int hold, struct now now);
/* An open request was committed; `info->request.state` says whether it is claimed. `hold` is the slot that is held, or
 * -1. */
void relay_admit(struct relay *r, const struct job_info *info, int hold, struct now now);

void relay_committed(struct relay *r, struct store_op *op, struct now now);
/* Frees a command of the relay's that came back and is not to be looked at (the relay is gone). */
void relay_drop_op(struct store_op *op);

void relay_call_connected(struct relay *r, struct job *j, struct now now);
void relay_call_text(struct relay *r, struct job *j, enum stream_kind kind, struct str text, struct now now);
/* The head of its answer told of the provider's limits. */
void relay_call_rates(struct relay *r, struct job *j, const struct rates *seen, struct now now);
/* How a call ended. */
struct call_end {
	enum err err;
	enum fail fail; /* of an error; FAIL_NONE: what the error usually is */
	bool retryable;
	const struct errinfo *info; /* of an error; may be NULL */
	struct call_usage usage;
	struct str finish_reason; /* the provider's word, or empty */
	struct str request_id;    /* the provider's own name for the call, or empty */
	struct str parts;         /* of the reply: tool calls, a JSON array; or empty */
	struct call_context context;
	struct str agent_session; /* see cmd_finish */
	bool session_lost;
};
void relay_call_done(struct relay *r, struct job *j, const struct call_end *end, struct now now);

/* A person's stop. False when no such request is open here. */
bool relay_stop(struct relay *r, struct str request_id, struct now now);
/* Stops what runs or waits in a session or a conversation (STR_NONE: any) of a user; how many. */
size_t relay_stop_session(struct relay *r, int64_t user, struct str session_id, struct str conversation_id,
			  struct now now);

/* What people do to a session's queue, after it was committed (relay/queue.h). */
/* It was paused (held) or resumed. `conv` is the row of the conversation. */
void relay_hold(struct relay *r, int64_t conv, struct str session_id, bool held, struct now now);
/* The waiting request in that row has another class now. */
void relay_reorder(struct relay *r, int64_t row, int priority, struct now now);
/* A waiting request was stopped on disk; `info` is what it is now. */
void relay_dropped(struct relay *r, const struct job_info *info, struct now now);

/* Timers: the next moment (boot ms) at which relay_tick has something to do, INT64_MAX when none. */
int64_t relay_next_ms(const struct relay *r);
void relay_tick(struct relay *r, struct now now);
/* The 1 s sweep: `list` is every open request on disk. Admits what is missing here. Returns how many those were. */
size_t relay_sweep(struct relay *r, const struct job_info *list, size_t n, struct now now);
/* The 10 s watchdog: recovers attempts without a sign of life for longer than their deadlines allow, and a pump whose
 * command never came back. Returns how many it touched. */
size_t relay_watch(struct relay *r, struct now now);
/* While more than RELAY_BUSY_STREAMS stream, text is gathered for this long before it is committed; 0 at once. */
#define RELAY_BUSY_STREAMS 16
#define RELAY_GATHER_MS 3
/* While the store is behind, for this long: fewer, larger commands, and still text that seems to flow. */
#define RELAY_BEHIND_MS 50
void relay_behind(struct relay *r, bool behind);
/* Text waiting for the pump is due: the host calls relay_pump then. */
bool relay_pump_due(const struct relay *r);
void relay_pump(struct relay *r, struct now now);

/* Looking. */
struct job *relay_find(struct relay *r, struct str request_id);
struct relay_counts {
	int64_t open, running, waiting, retrying, streams;
	int64_t held; /* of those that wait or retry: their session's queue is paused */
};
void relay_counts(const struct relay *r, struct relay_counts *out);
int64_t relay_running_on(const struct relay *r, int provider);
struct pacing {
	int64_t until_wall_ms; /* not before; who waits behind others may wait longer */
	struct str why;        /* "circuit"; "requests", "tokens", "input_tokens" or "output_tokens" */
};
struct relay_provider {
	int64_t running;
	enum circuit_state circuit;
	int64_t since_wall_ms, probe_wall_ms; /* of a circuit that is not closed, of an open one; else 0 */
	struct pacing pacing;                 /* nobody goes before; until_wall_ms 0: they do */
};
void relay_provider(const struct relay *r, int provider, struct now now, struct relay_provider *out);
void relay_each_running(struct relay *r, int64_t conv, void (*fn)(void *ctx, struct job *j), void *ctx);
int64_t relay_first_chunk(const struct relay *r); /* chunks below it belong to no running attempt */

/* A job, for those who show it. */
struct str job_request_id(const struct job *j);
int64_t job_user(const struct job *j);
int64_t job_conv(const struct job *j);
int64_t job_row(const struct job *j);
const struct request *job_request(const struct job *j);
const struct turn *job_turn(const struct job *j);
struct str job_state_name(const struct job *j);                /* "streaming" included */
int64_t job_shown(const struct job *j, enum stream_kind kind); /* committed bytes of the running attempt */
int64_t job_retry_wall_ms(const struct job *j);
int job_provider(const struct job *j);
enum fail job_fail(const struct job *j);     /* of the attempt that ended last */
struct str job_call_id(const struct job *j); /* the provider's own name for its call, "" unknown */
/* False when it does not wait for a limit or a circuit. */
bool job_pacing(const struct job *j, struct pacing *out);

#endif
