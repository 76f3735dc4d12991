#include "talk/retry.h"

bool retry_is_ride(enum fail f) { return f == FAIL_RATE || f == FAIL_OVERLOADED; }

/* What another model may not meet. A conversation that is too long, a refused text or a wrong parameter is met again. */
static bool may_fall_back(enum fail f)
{
	switch (f) {
	case FAIL_NETWORK:
	case FAIL_TIMEOUT:
	case FAIL_RATE:
	case FAIL_OVERLOADED:
	case FAIL_SERVER:
	case FAIL_MODEL: return true;
	default: return false;
	}
}

int64_t retry_wait_ms(const struct limits *l, int64_t n, int64_t retry_after_ms, struct rng *rng)
{
	int64_t most = l->backoff_ms;
	for (int64_t i = 1; i < n && most < l->backoff_max_ms; i++) most *= 2;
	most = MIN(most, l->backoff_max_ms);
	if (retry_after_ms > 0) most = MIN(most, l->backoff_ms);
	return retry_after_ms + (int64_t)rng_below(rng, (uint64_t)most + 1);
}

static struct retry_verdict give_up(const struct retry_ask *a, const char *why)
{
	bool go = a->has_fallback && may_fall_back(a->fail);
	return (struct retry_verdict){.what = go ? RETRY_FALLBACK : RETRY_FAIL, .why = go ? NULL : why};
}

struct retry_verdict retry_decide(const struct retry_ask *a, const struct limits *l, struct rng *rng)
{
	bool is_ride = retry_is_ride(a->fail);
	/* With another model at hand a storm is not worth more tries than anything else. */
	int64_t made = is_ride ? a->rides : a->attempts;
	bool is_counted = !is_ride || a->has_fallback;
	int64_t left_ms = l->retry_horizon_ms - a->elapsed_ms;
	if (!a->retryable) return give_up(a, NULL);
	if (is_counted && made >= l->attempts) return give_up(a, NULL);
	if (a->retry_after_ms > MAX(left_ms, 0))
		return give_up(a, "the provider asks for a longer wait than retryHorizonMs allows");
	int64_t wait_ms = retry_wait_ms(l, made, a->retry_after_ms, rng);
	/* What is left of the horizon takes a last try rather than none. */
	if (wait_ms > left_ms && left_ms > a->retry_after_ms) wait_ms = left_ms;
	if (wait_ms > left_ms) return give_up(a, "it was tried for as long as retryHorizonMs allows");
	return (struct retry_verdict){.what = RETRY_AGAIN, .wait_ms = wait_ms, .is_ride = is_ride};
}
