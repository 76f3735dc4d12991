/* One turn: a participant is asked, answers in a stream, fails and is asked again, or is stopped.
 *
 * A pure state machine. The caller tells it what happened and when; it keeps the text, the times and the attempt number
 * and says what comes next, which talk/retry.h decides. It performs nothing.
 *
 *   idle ──begin──▶ calling ──connected──▶ connected ──text──▶ streaming ──end ok──▶ done
 *                      │            │                     │
 *                      └────────────┴── end with error ───┴──▶ backoff (try again at) ──begin──▶ calling
 *                                                          └──▶ failed
 *   any of them ──stop──▶ stopped
 *
 * An answer is never spliced: what a failed attempt said is kept apart and the next attempt starts with nothing. */
#ifndef ROOST_TALK_TURN_H
#define ROOST_TALK_TURN_H

#include "base/buf.h"
#include "base/id.h"
#include "base/limits.h"
#include "provider/provider.h"

enum turn_phase {
	TURN_IDLE,
	TURN_CALLING,
	TURN_CONNECTED,
	TURN_STREAMING,
	TURN_BACKOFF,
	TURN_DONE,
	TURN_FAILED,
	TURN_STOPPED
};
const char *turn_phase_name(enum turn_phase p);

/* Text and thinking of the running attempt. */
enum { TURN_TEXT = 0, TURN_THINKING = 1, TURN_KINDS = 2 };

struct turn_times { /* wall ms, 0 when it did not happen */
	int64_t claimed, connected, first_token, done;
};

struct turn {
	enum turn_phase phase;
	int64_t attempt; /* the running one's number, or the last one's */
	/* Attempts up to this one do not count against `attempts`: they were made for an earlier, explicit try or with another
	 * model, or they met a provider that limits or is overloaded. */
	int64_t base;
	int64_t rides;           /* of the last kind, in a row */
	int64_t failing_boot_ms; /* since when it fails, 0 it has not */
	struct turn_times times;
	struct buf said[TURN_KINDS];
	int64_t progress_boot_ms; /* when this turn last moved: the watchdog's evidence */
	int64_t retry_boot_ms;    /* TURN_BACKOFF: when the next attempt is due */
};

void turn_init(struct turn *t, int64_t attempt, int64_t base, const struct limits *l);
void turn_release(struct turn *t);
struct now { /* both clocks, as input */
	int64_t wall_ms, boot_ms;
};
void turn_begin(struct turn *t, int64_t attempt, struct now now);
void turn_connected(struct turn *t, struct now now);
/* ERR_PROVIDER_LIMIT when the answer grows past limits.answer_bytes: nothing was added, cancel the call. */
MUST_USE enum err turn_said(struct turn *t, int kind, struct str text, struct now now);

/* How an attempt ended. */
struct turn_end {
	enum fail fail; /* FAIL_NONE: it is complete */
	bool retryable;
	int64_t retry_after_ms; /* the provider's wish, 0 none */
	bool has_fallback;      /* the request names another model */
};
/* Decides the next phase: TURN_DONE, TURN_BACKOFF (retry_boot_ms is set) or TURN_FAILED. With TURN_BACKOFF *out_falls_back
 * says that the next attempt is for the next model; with TURN_FAILED *out_why is a reason besides the failure, or NULL. */
enum turn_phase turn_ended(struct turn *t, const struct turn_end *end, const struct limits *l, struct rng *rng,
			   struct now now, bool *out_falls_back, const char **out_why);
void turn_stop(struct turn *t, struct now now);

#endif
