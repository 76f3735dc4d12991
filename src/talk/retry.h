/* Is a failed attempt tried again, when, and with which model?
 *
 * One policy for everything that calls a provider, as a pure function. What it weighs:
 *  - the class of the failure: some get better by themselves, some will not;
 *  - what the provider asked: a wait is never cut short, and one that ends beyond the horizon fails at once;
 *  - how often it was tried (`attempts`) and for how long it has been failing (retryHorizonMs).
 *
 * A provider that limits or is overloaded says "later", not "no": while nobody else can answer, such a failure is ridden
 * out to the horizon, however many attempts that takes. The wait is random between nothing and a bound that doubles from
 * backoffMs up to backoffMaxMs, so that many who failed together do not come back together.
 *
 * A request may name other models to fall back to, in order. It goes to the next one when trying the present one again
 * is over, and the class is one that another model may not meet. */
#ifndef ROOST_TALK_RETRY_H
#define ROOST_TALK_RETRY_H

#include "base/id.h"
#include "base/limits.h"
#include "provider/provider.h"

struct retry_ask {
	enum fail fail;
	bool retryable;         /* the class's own, or what the provider said of this failure (x-should-retry) */
	int64_t retry_after_ms; /* the provider's wish; 0 none */
	int64_t attempts;       /* made with this model, this one too, without those that were ridden out */
	int64_t rides;          /* in a row at this model that met a limiting or overloaded provider, this one too */
	int64_t elapsed_ms;     /* since the first failure */
	bool has_fallback;      /* there is another model to go to */
};

enum retry_what { RETRY_FAIL, RETRY_AGAIN, RETRY_FALLBACK };
struct retry_verdict {
	enum retry_what what;
	int64_t wait_ms; /* RETRY_AGAIN: until the next attempt */
	bool is_ride;    /* RETRY_AGAIN: the attempt does not count */
	const char *why; /* RETRY_FAIL, when there is more to say than the failure itself; else NULL */
};
struct retry_verdict retry_decide(const struct retry_ask *ask, const struct limits *l, struct rng *rng);

/* A provider that limits or is overloaded. */
bool retry_is_ride(enum fail f);
/* The wait before try n+1 (n from 1): from 0 to backoffMs doubled n-1 times, at most backoffMaxMs; on top of what the
 * provider asked for, then at most backoffMs. */
int64_t retry_wait_ms(const struct limits *l, int64_t n, int64_t retry_after_ms, struct rng *rng);

#endif
