/* The providers that need no network: `local:test` answers with made-up text, `local:silent` with "…".
 *
 * The same seed, last user message and parameters give the same text, for ever. For tests and demonstrations the text
 * has a speed, a length, a thinking part, and can be told to go wrong. Pure: the host asks for token after token and
 * keeps the time.
 *
 * Parameters (params of the request), all optional:
 *   tokens           64    tokens of text, 1 to 100,000
 *   tokensPerSecond  0     0 is as fast as it goes; up to 10,000
 *   thinking         0     tokens of thinking before the text
 *   delayMs          0     wait before the first token
 *   error            ""    go wrong: one of the names in local_faults
 *   failAfter        0     … after that many tokens of either kind
 *   failTimes        0     … in the first so many attempts only; 0: in all
 * Others are ignored, since a request may go to different models. */
#ifndef ROOST_PROVIDER_LOCAL_H
#define ROOST_PROVIDER_LOCAL_H

#include "base/id.h"
#include "base/json.h"

struct local_fault {
	const char *name;
	enum err err; /* OK: not an error but silence without end */
	bool retryable;
	int64_t retry_after_ms;
};
extern const struct local_fault local_faults[];
extern const size_t local_fault_count;

struct local_plan {
	int64_t tokens, thinking, delay_ms;
	double tokens_per_second;
	const struct local_fault *fault; /* NULL: none */
	int64_t fail_after;
};

/* Reads the parameters; `attempt` counts from 1, 0 counts as the first. ERR_BAD_FIELD names the parameter. */
MUST_USE enum err local_plan(const struct json *params, int64_t attempt, struct local_plan *out, struct errinfo *info);

/* The text itself. */
struct local_text {
	struct rng rng;
	int64_t left_in_sentence; /* words */
	bool begun;
};
void local_text_init(struct local_text *t, uint64_t seed, struct str last_user_message);
/* Appends the next token: "Word", " word" or " word.". After one that `is_last` a new text begins. Valid UTF-8. */
void local_text_next(struct local_text *t, bool is_last, struct buf *out);

#define LOCAL_SILENCE STR("…")

#endif
