/* What a provider's response headers say of its rate limits.
 *
 * Two families are met: Anthropic's (anthropic-ratelimit-requests-limit, …-remaining, …-reset; the reset is a time) and
 * OpenAI's, which most others have copied (x-ratelimit-limit-requests, …; the reset is a duration: "6m0s", "120ms", "1s").
 * Both give limit and remainder as plain numbers. Pure. */
#ifndef ROOST_PROVIDER_RATES_H
#define ROOST_PROVIDER_RATES_H

#include "base/base.h"

/* What is limited. Input and output are what some providers limit apart from, or instead of, all tokens. */
enum rate { RATE_REQUESTS, RATE_TOKENS, RATE_INPUT, RATE_OUTPUT, RATE_COUNT };
const char *rate_name(enum rate r); /* "requests", "tokens", "input tokens", "output tokens" */

/* Per minute; 0 is no limit. */
struct rate_limits {
	int64_t of[RATE_COUNT];
};
/* What a new account may do at the provider that has this base URL: all 0 when it is not one of those known. */
struct rate_limits rates_usual(struct str base_url);

struct rate_seen {
	int64_t limit;     /* -1: the headers do not tell */
	int64_t remaining; /* 0 to limit */
	int64_t reset_ms;  /* from now until all of it is there again; 0 unknown */
};

struct rates {
	struct rate_seen of[RATE_COUNT];
};

/* `headers` are raw head lines, `now_ms` is wall time. False when they tell nothing. */
bool rates_read(struct str headers, int64_t now_ms, struct rates *out);

/* A duration as Go writes it ("1h2m3.5s", "120ms"), or a plain number of seconds. False when it is neither; more than a
 * day is a day. */
bool rates_duration(struct str text, int64_t *out_ms);

#endif
