/* What a call costs, exactly: whole ticks of 1e-10 USD. $5 a million tokens are 50,000 ticks a token, so that a million
 * tokens cost $5 and not a tick more or less. Pure. */
#ifndef ROOST_PROVIDER_COST_H
#define ROOST_PROVIDER_COST_H

#include "provider/models.h"

#define TICKS_PER_USD ((int64_t)10000000000)

/* Ticks, -1 when it is not known: what the provider billed (usage.cost_ticks), else what the price makes of the counts.
 * Input is charged without what a cache served or kept, which have prices of their own; thinking is part of the output.
 * A count or a price that is needed and missing leaves the cost unknown: it is never taken for nothing. `price` may be
 * NULL. A cost beyond int64 is INT64_MAX. */
int64_t cost_of(const struct call_usage *usage, const struct model_price *price);

#endif
