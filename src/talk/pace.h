/* Who may call now: the line before the providers, for all conversations of a process together.
 *
 * Each model has a gate with its limiter, each provider its slots, its circuit and a limiter for all its models. Who wants
 * to call takes a place at the model's gate; places are given up in their order, so nobody is passed by, and gates of one
 * provider take turns. A gate whose limit is reached holds up its own line only. (The relay has lanes and users to be fair
 * to and does the same in its own way: relay/gates.c.)
 *
 * Pure: the caller has the clock (boot ms) and asks pace_next again at the time that names. Waiters are the caller's
 * memory and stay put from pace_wait to pace_ended or pace_leave. */
#ifndef ROOST_TALK_PACE_H
#define ROOST_TALK_PACE_H

#include <sys/queue.h>

#include "talk/circuit.h"
#include "talk/limiter.h"

struct pace;
struct pace_gate;

struct pace_waiter {
	struct pace_gate *gate;
	struct charge charge;
	bool in_line, is_out, is_probe;
	bool told;             /* the caller's own note: it was told that it waits */
	int64_t until_boot_ms; /* while it waits at the head of its line; 0 not known */
	const char *waits_for; /* a rate's name, "circuit" or "slots"; NULL nothing */
	TAILQ_ENTRY(pace_waiter) link;
};

struct pace_provider {
	int64_t concurrency;
	struct rate_limits limits; /* of all its models together */
	bool has_circuit;          /* it is called over a network */
};

struct pace *pace_new(const struct limits *limits, const struct pace_provider *providers, size_t n);
void pace_free(struct pace *p); /* nobody waits or is out any more */
/* The gate of a model, made when it is new. */
struct pace_gate *pace_gate(struct pace *p, struct str model, int provider, const struct rate_limits *configured,
			    const struct rate_limits *usual);

void pace_wait(struct pace *p, struct pace_gate *g, struct pace_waiter *w, int64_t input_tokens, int64_t output_tokens);
void pace_leave(struct pace *p, struct pace_waiter *w); /* it does not want to any more; or nothing */
/* The next one that may call now: it has left the line and is counted. NULL: nobody; then *out_due is when to ask again
 * without anything else having happened, INT64_MAX never. */
struct pace_waiter *pace_next(struct pace *p, int64_t now_ms, int64_t *out_due);
/* Visits those at the head of a line that has to wait, who have not been told. */
void pace_each_held(struct pace *p, void (*fn)(void *ctx, struct pace_waiter *w), void *ctx);

/* The provider's headers. */
void pace_learn(struct pace_waiter *w, const struct rates *seen, int64_t now_ms);
/* A call is over. `said`: it gave text. Tokens -1 unknown: the estimate stays. */
void pace_ended(struct pace *p, struct pace_waiter *w, enum fail f, int64_t input_tokens, int64_t output_tokens,
		bool said, int64_t now_ms);
/* It was cut from our side, wherever it is. `has_begun`: the provider was asked, and what that was counted as stays. */
void pace_cut(struct pace *p, struct pace_waiter *w, bool has_begun, int64_t now_ms);

/* For displays: the model's limit of tokens a minute (0 none) and what is on its account. */
void pace_tokens(struct pace_gate *g, int64_t now_ms, int64_t *out_limit, int64_t *out_used);

#endif
