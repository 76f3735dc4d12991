/* How many requests and tokens a minute go to a model, or to a provider as a whole.
 *
 * Every call is asked for before it begins and is counted at once: one request, and the tokens it is estimated to take.
 * When it is over the estimate is replaced by what was used. A limit holds for every span of a minute, wherever it begins:
 * what was counted leaves the account a minute, and at most a second more, after it came in.
 *
 * Where a limit comes from: the configuration; the provider's response headers; a default for its kind, as long as
 * neither says anything. Of the first two the lower one wins. A call larger than a whole limit goes when nothing else is
 * on the account, or it would never go.
 *
 * Pure: the caller has the clock (boot ms) and the estimates. Asking costs the same however many wait: nobody who waits is
 * looked at here. */
#ifndef ROOST_TALK_LIMITER_H
#define ROOST_TALK_LIMITER_H

#include "provider/rates.h"

#define RATE_PARTS 60
#define RATE_SLOTS (RATE_PARTS + 1) /* the newest is only begun, so that a whole minute is always covered */
struct rate_account {
	int64_t limit;             /* that holds, 0 none */
	int64_t slot_ms;           /* length of a slot: a second, longer when the provider counts by the day */
	int64_t now_slot;          /* number of the newest slot (time / slot_ms) */
	int64_t used;              /* sum of the slots */
	int64_t slots[RATE_SLOTS]; /* slot n at n % RATE_SLOTS */
};

struct limiter {
	struct rate_limits configured, usual; /* usual: for this kind of provider */
	struct rate_account of[RATE_COUNT];
};

/* What a call was counted as. */
struct charge {
	int64_t at_ms;
	int64_t cost[RATE_COUNT];
};
/* One request of so many tokens. */
struct charge charge_of(int64_t input_tokens, int64_t output_tokens);
/* What an answer is taken for before it is there. `max_tokens`: the most it may have, 0 not set. */
int64_t charge_answer_tokens(int64_t max_tokens);

/* Either may be NULL: none. */
void limiter_init(struct limiter *l, const struct rate_limits *configured, const struct rate_limits *usual);
/* Does any limit hold? */
bool limiter_limits(const struct limiter *l);
/* 0 when there is room for the call; else when to ask again, and in *out_rate (may be NULL) what there is too little of. */
int64_t limiter_ask(struct limiter *l, const struct charge *c, int64_t now_ms, enum rate *out_rate);
/* Counts a call that begins: sets c->at_ms. */
void limiter_add(struct limiter *l, struct charge *c, int64_t now_ms);
/* The call is over, or its size is known better: replaces what was counted. */
void limiter_correct(struct limiter *l, struct charge *c, const struct charge *is, int64_t now_ms);
/* Takes a call back that did not begin after all. */
void limiter_undo(struct limiter *l, const struct charge *c, int64_t now_ms);
/* The headers of an answer: limits, and what others who use the same key have used. */
void limiter_learn(struct limiter *l, const struct rates *seen, int64_t now_ms);
/* What is on an account now. */
int64_t limiter_used(struct limiter *l, enum rate r, int64_t now_ms);

#endif
