/* A conductor's insides, for its own files: conductor.c (what happens when), conductor_tell.c (the events),
 * conductor_view.c (what an agent is given), conductor_replay.c and rebuild.c (from events back). */
#ifndef ROOST_TALK_CONDUCTOR_PRIV_H
#define ROOST_TALK_CONDUCTOR_PRIV_H

#include "base/hash.h"
#include "metrics/text.h"
#include "talk/conductor.h"

enum phase {
	PHASE_NEW,  /* this run has told nothing yet, whatever was replayed */
	PHASE_OPEN, /* between calls; a pause is here too */
	PHASE_OUT,  /* a call is out */
	PHASE_ENDED
};

struct spoken {
	int agent; /* -1 the human's */
	bool is_injected;
	int64_t turn;
	struct str text; /* in the conductor's memory */
	int64_t weight;  /* for token estimates */
};

struct speaker {
	struct str name;                  /* as it is shown */
	struct str first;                 /* the first it said; STR_NONE nothing yet */
	int64_t tokens;                   /* of its whole view */
	struct sha256 *hash;              /* of its whole view, so far */
	size_t visible;                   /* messages of it, without the system prompt */
	int64_t seq;                      /* the line of its message of this turn, 0 unknown */
	struct str said;                  /* that message */
	bool is_introduced, is_looked_at; /* its system prompt was told; it was looked for a name */
};

/* Tokens of a replayed message, until its TokenUsageEvent comes. */
struct usage_due {
	bool due;
	int agent;
	int64_t input, output;
};

struct conductor {
	struct arena memory;
	void (*event)(void *ctx, struct lab_event *e);
	void *ctx;
	struct conductor_config config;
	struct conductor_agent agents[LAB_AGENTS_MAX];
	struct speaker speakers[LAB_AGENTS_MAX];
	struct spoken *list;
	size_t n, cap;

	enum phase phase;
	bool is_started, is_branched; /* those events were told */
	size_t ninitial;              /* so many InitialMessageEvents */
	bool is_restored;
	int64_t turns;
	bool in_turn;
	int agent;            /* in_turn: who is next; nagents: the turn is to be completed */
	size_t given;         /* injections that this agent got in this turn */
	bool is_cut, is_full; /* its truncation was told, its limit */
	bool check_due;       /* the last turn's score has not been looked at */
	int64_t nspoken;      /* messages of agents */
	struct usage_due usage;

	struct metrics_history *history; /* NULL: no metrics are wanted */
	struct text_metrics *measured;   /* of each agent's last message */

	struct convergence *convergence; /* NULL: nobody to be compared with */
	struct convergence_score score;
	bool is_reached; /* was told, and has not fallen below since */

	bool is_stopping;
	bool is_paused;         /* was told */
	const char *pause_wish; /* its source; NULL none */
	const char *status;     /* NULL not over */
	const char *reason;     /* of the last ConversationEndEvent that nothing followed */
	struct str error;
	int64_t began_boot_ms;
	int64_t view_tokens; /* of the last view, when nobody counts */
};

/* ---- conductor.c ------------------------------------------------------------------------------------------------ */

/* Puts a message behind the others; its text is copied. */
void conductor_add(struct conductor *c, const struct inherited *m);
/* An agent's message: its part in names, convergence and the turn. */
void conductor_said(struct conductor *c, struct str text, int64_t seq);
/* The turn's score, and the next turn. */
void conductor_turned(struct conductor *c);
/* Has the last turn's score reached the threshold? */
bool conductor_is_high(const struct conductor *c);
void conductor_end(struct conductor *c, const char *reason, struct str error, struct conductor_clock now);

/* ---- conductor_view.c ------------------------------------------------------------------------------------------- */

/* The injections of an agent in a turn: the i-th of them, NULL when there are no more. */
const struct injection *conductor_injection(const struct conductor *c, int64_t turn, int agent, size_t i);
/* The role, and the text of a message that the agent sees, into its hash. */
void conductor_sign(struct sha256 *hash, enum talk_role role, struct str text);
enum talk_role conductor_role(int agent, const struct spoken *m);
bool conductor_sees(const struct conductor *c, int agent, const struct spoken *m);
int64_t conductor_tokens(const struct conductor *c, int agent, int64_t weight);
/* The agent's view without the `dropped` oldest of its messages. */
void conductor_fill(const struct conductor *c, int agent, size_t dropped, struct arena *arena,
		    struct conductor_view *out);

/* ---- conductor_tell.c ------------------------------------------------------------------------------------------- */

void tell_system_prompt(struct conductor *c, int agent, struct conductor_clock now);
void tell_start(struct conductor *c, struct conductor_clock now);
void tell_branched(struct conductor *c, struct conductor_clock now);
void tell_initial(struct conductor *c, const struct inherited *m, struct conductor_clock now);
void tell_resumed(struct conductor *c, const char *after, struct conductor_clock now);
void tell_turn_start(struct conductor *c, struct conductor_clock now);
void tell_turn_complete(struct conductor *c, struct conductor_clock now);
void tell_injected(struct conductor *c, const struct injection *in, struct conductor_clock now);
void tell_request(struct conductor *c, int64_t attempt, const struct conductor_view *view, struct conductor_clock now);
void tell_thinking(struct conductor *c, const struct conductor_answer *a, struct conductor_clock now);
/* Returns the line's number. */
int64_t tell_message(struct conductor *c, const struct conductor_answer *a, struct conductor_clock now);
void tell_usage(struct conductor *c, int agent, const struct conductor_answer *a, struct conductor_clock now);
void tell_name(struct conductor *c, int agent, struct str name, struct conductor_clock now);
void tell_reached(struct conductor *c, struct conductor_clock now);
void tell_truncation(struct conductor *c, const struct conductor_view *view, struct conductor_clock now);
/* Nothing when it was told of this message. */
void tell_limit(struct conductor *c, struct str sentence, struct conductor_clock now);
void tell_interrupt(struct conductor *c, const char *source, struct conductor_clock now);
void tell_paused(struct conductor *c, struct conductor_clock now);
void tell_cut(struct conductor *c, struct str partial, struct conductor_clock now);
void tell_end(struct conductor *c, struct conductor_clock now);

/* ---- names.c ---------------------------------------------------------------------------------------------------- */

/* The name as agent `agent` may have it beside the others': with -A, -B, … behind it when another has the same. */
struct str names_apart(struct arena *arena, struct str name, int agent, bool is_taken);

#endif
