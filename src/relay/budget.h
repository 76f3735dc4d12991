/* What users spend, and how much they may.
 *
 * Every call is entered in the commit that ends its attempt, so what is counted is exactly what happened, whenever the
 * daemon dies: in the user's zone "usage" one record of type Spend per day (UTC), named by the day, with a row for each
 * provider, model, and whether the tokens were counted or estimated:
 *
 *   {"day":"2026-11-21","rows":[{"provider","model","estimated","calls","inputTokens","outputTokens","thinkingTokens",
 *    "cacheReadTokens","cacheWriteTokens","costTicks","billedTicks","unpriced"}]}
 *
 * `billedTicks` is the part of costTicks that the provider said itself; `unpriced` counts calls whose cost nobody knows,
 * which are in none of the sums. What a provider costs all users together is a tally of the store's.
 *
 * A budget is so much a day, of a user (the operator's word in the record Budget "day" of that zone, or else the
 * configuration's) or of a provider's key. Once that much is spent, no call begins before the day is over; one that runs is
 * not cut, so the last ones may go beyond. On the writer. */
#ifndef ROOST_RELAY_BUDGET_H
#define ROOST_RELAY_BUDGET_H

#include "provider/provider.h"
#include "store/store.h"

#define ZONE_USAGE STR("usage")
#define BUDGET_NONE ((int64_t)-1)

struct budgets {            /* of the configuration */
	int64_t user_ticks; /* of each user a day; BUDGET_NONE */
	const struct provider_budget {
		struct str provider;
		int64_t ticks; /* a day */
	} * providers;
	size_t nproviders;
};

/* A budget that is spent. */
struct overspent {
	struct str provider; /* whose it is; STR_NONE: the user's */
	int64_t limit_ticks, spent_ticks;
	int64_t renews_ms; /* wall */
};
/* ERR_BUDGET: no call of that model may begin now. `b` may be NULL: the configuration has none. */
MUST_USE enum err budget_check(struct txn *t, int64_t user, struct str model, const struct budgets *b,
			       struct overspent *out, struct errinfo *info);
/* Enters a call. Usage of which nothing is known is none. */
MUST_USE enum err budget_spend(struct txn *t, int64_t user, struct str model, const struct call_usage *usage);

/* The operator's word on a user: ticks a day, BUDGET_NONE takes it back. */
MUST_USE enum err budget_set(struct txn *t, int64_t user, int64_t ticks);
/* What holds for the user now, and what was spent today. */
MUST_USE enum err budget_of(struct txn *t, int64_t user, const struct budgets *b, int64_t *out_limit,
			    int64_t *out_spent);

/* "5", "5.00", "5.00/day", "$0.25": USD a day as ticks. False when it is none, or a hundred millions or more. */
bool budget_parse(struct str text, int64_t *out_ticks);
/* "$5.00", with more digits where there are any. */
void budget_write(struct buf *out, int64_t ticks);

#endif
