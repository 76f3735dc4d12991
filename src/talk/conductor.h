/* The conversation engine: who speaks next, and what each of them is given.
 *
 * A pure state machine for a conversation of N participants. The caller asks it what is next, performs that (a call, a
 * wait), and tells it how it went; the conductor keeps the messages, the turns, names, injected prompts and the
 * convergence, and tells everything that happens as events (event/lab.h) through `event`. It knows nothing of providers'
 * failures that may get better: retrying is the caller's (talk/turn.h); what it is told is final.
 *
 * A turn is one message of each participant, in their order. Each participant sees its own system prompt, its own messages
 * as "assistant" and all else as "user"; the human's prompt (with its tag) is the first message, "[Begin]" when there is
 * none. An injected prompt is one more "user" message for its agents alone, right before the message they make in that
 * turn, and stays in their view afterwards.
 *
 * Where an agent has prompts of its own for a turn, those that are for all are not given to it in that turn.
 *
 * Every event comes out of one place in one order, and the messages are made of nothing else: a conversation that is
 * replayed from any number of its first events goes on as if it had never stopped. Texts are kept once; a view points at
 * them.
 *
 * The end reasons are a table (conductor_reasons). An error ends the conversation as failed: no error is ever a message. */
#ifndef ROOST_TALK_CONDUCTOR_H
#define ROOST_TALK_CONDUCTOR_H

#include "event/lab.h"
#include "metrics/convergence.h"
#include "talk/context.h"
#include "talk/view.h"

enum convergence_action { CONVERGED_STOP, CONVERGED_PAUSE, CONVERGED_NOTIFY, CONVERGED_WARN, CONVERGED_CONTINUE };
bool convergence_action_parse(struct str name, enum convergence_action *out);
const char *convergence_action_name(enum convergence_action a);

struct conductor_agent {
	struct str model, model_title; /* id; for people */
	struct str name;               /* as it is shown; identical ones get -A, -B, … */
	struct str system_prompt;      /* "" none */
	double temperature;            /* NaN not set */
	bool thinks;
	int64_t thinking_budget;                /* INT64_MIN not set */
	struct str provider;                    /* its name in events; "" unknown */
	struct str family;                      /* for token estimates */
	int64_t window, max_output, max_tokens; /* tokens; 0 unknown, not set */
};

struct injection {
	int64_t turn; /* from 0 */
	int agent;    /* -1: all */
	struct str text;
};

/* A message taken over from another conversation. */
struct inherited {
	int agent; /* -1: the human's */
	int64_t turn;
	struct str text;
	bool is_injected; /* not said by the agent but given to it alone */
};

struct conductor_config { /* copied */
	struct str id, experiment_id;
	const struct conductor_agent *agents;
	size_t nagents;
	struct str prompt, prompt_tag; /* "" none */
	int64_t max_turns;             /* of the whole conversation, those taken over included */
	double threshold;              /* NaN: none; compared with the score at two decimals */
	enum convergence_action action;
	struct convergence_weights weights; /* all 0: those of "balanced" */
	struct str profile;                 /* its name */
	bool choose_names, allow_truncation;
	const struct injection *injections;
	size_t ninjections;
	uint64_t seed;
	struct str config_json; /* ConversationStartEvent.config */
	/* A branch: these messages stand for the prompt (with its tag) and the first turns. */
	const struct inherited *inherited;
	size_t ninherited;
	int64_t inherited_turns;
	struct str source_conversation, source_experiment, changes_json;
	bool with_metrics;   /* TurnCompleteEvent carries them: texts are redacted */
	bool without_hashes; /* no event carries a hash of texts: they are to leave no trace */
};

struct conductor_clock {
	int64_t wall_us, boot_ms;
};

enum conductor_do {
	CONDUCTOR_CALL, /* ask `agent` now: conductor_view, and then one of conductor_answered/failed/cut */
	CONDUCTOR_BUSY, /* a call is out */
	CONDUCTOR_PAUSED,
	CONDUCTOR_ENDED
};
struct conductor_step {
	enum conductor_do what;
	int agent;
	int64_t turn;
};

struct conductor;
/* Nothing is told yet. `event` must not call back; what an event points at lives until it returns. It may set the event's
 * `seq`, by which TurnCompleteEvent then names the lines of its messages. From 1 to LAB_AGENTS_MAX agents. */
struct conductor *conductor_new(const struct conductor_config *config, void (*event)(void *ctx, struct lab_event *e),
				void *ctx);
void conductor_free(struct conductor *c);

/* Restores from the events of an earlier run, in their order; before conductor_next, with the configuration of that run. A
 * message that was asked for and has not come is asked for again. What ended as completed stays so; after any other end
 * the state tells it, and conductor_next goes on. Returns false for an event that does not fit the ones before it: it has
 * changed nothing. */
bool conductor_replay(struct conductor *c, const struct lab_event *e);

/* What is next; to be asked after every wait, since a stop or a pause may have come. The first one tells system prompts and the start, or the resumption; later ones turns and injections. The
 * same is answered until something else happens. */
struct conductor_step conductor_next(struct conductor *c, struct conductor_clock now);

/* What the agent that is to be called is given, oldest first, its system prompt first of all. The list is in the arena, its
 * texts live as long as the conductor. What does not fit its window is left out when that is allowed
 * (ContextTruncationEvent, once for each message); else ERR_TOO_LARGE, and the conversation has ended with
 * context_limit_reached. */
struct conductor_view {
	struct talk_message *list;
	size_t n;
	int64_t tokens; /* estimate */
	size_t history; /* messages before it that are for this agent, without its system prompt */
	size_t dropped; /* the oldest of them that are left out */
	uint64_t seed;  /* below 2^31: same seed of the conversation, turn and agent, same seed of the message */
	unsigned char sha256[32]; /* over role, NUL, text, NUL of each message */
};
MUST_USE enum err conductor_view(struct conductor *c, struct arena *arena, struct conductor_clock now,
				 struct conductor_view *out);
/* MessageRequestEvent, for each attempt. The call is out from now on. */
void conductor_asked(struct conductor *c, int64_t attempt, const struct conductor_view *view,
		     struct conductor_clock now);

struct conductor_answer {
	struct str text, thinking;
	int64_t input_tokens, output_tokens, thinking_tokens; /* INT64_MIN unknown: the first two are then estimated */
	int64_t cache_read_tokens, cache_write_tokens, cost_ticks;
	bool is_estimated, cost_reported;
	struct str provider, finish_reason, request_id;
	int64_t duration_ms, first_token_ms;
	int64_t tokens_per_minute_limit; /* INT64_MIN none */
	double usage_rate;
};
void conductor_answered(struct conductor *c, const struct conductor_answer *a, struct conductor_clock now);
/* What an attempt used that came to nothing; of `a` only tokens and cost count. Nothing when it used none. */
void conductor_spent(struct conductor *c, const struct conductor_answer *a, struct conductor_clock now);
/* For good: ends the conversation. `reason` is a row of conductor_reasons: api_error, timeout, rate_limit, exception, or
 * context_limit_reached, which is told as ContextLimitEvent too. When a stop was wanted already, it ends as interrupted. */
void conductor_failed(struct conductor *c, const char *reason, struct str sentence, struct conductor_clock now);

/* After the message in flight (if a call is out), else at once; it ends as interrupted, unless that message was the last
 * one it had to wait for. `source` as in the event. Every verb from here on does nothing to what is over. */
void conductor_stop(struct conductor *c, const char *source, struct conductor_clock now);
/* The call that is out was cut; `partial` is not a message. Ends it. Without a call it is a stop by the user. */
void conductor_cut(struct conductor *c, struct str partial, struct conductor_clock now);
/* After the message in flight. Resumed before that, it has never been. A restart ends a pause. */
void conductor_pause(struct conductor *c, struct conductor_clock now);
void conductor_resume(struct conductor *c, struct conductor_clock now);

/* ---- what is known of it ---------------------------------------------------------------------------------------- */

struct conductor_state {
	const char *status; /* created, running, paused, completed, failed, interrupted (also: replayed and not over) */
	const char *reason; /* NULL: not over */
	int64_t turns;      /* complete ones, those taken over included */
	int64_t messages;   /* without the prompt */
	double convergence; /* NaN unknown */
	const char *trend;
	struct str error;
};
void conductor_state(const struct conductor *c, struct conductor_state *out);
struct str conductor_name(const struct conductor *c, int agent); /* as it is shown now */
/* Everything that was said and given so far, the prompt too, in order. */
size_t conductor_messages(const struct conductor *c);
struct inherited conductor_message(const struct conductor *c, size_t i);

/* The events that a caller tells itself go the same way, so that all stand in one order. Its conversation_id and
 * experiment_id are filled in. */
void conductor_tell(struct conductor *c, struct lab_event *e);

struct conductor_reason {
	const char *name, *status; /* "high_convergence", "completed" */
	const char *what;
};
extern const struct conductor_reason conductor_reasons[]; /* ends with a NULL name */
const struct conductor_reason *conductor_reason_find(struct str name);

/* The name in a text like "Call me Zed"; STR_NONE when there is none. Pure; exported for its test. */
struct str chosen_name(struct str text);

#endif
