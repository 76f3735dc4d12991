/* One turn: a participant is asked, answers in a stream, fails and is asked again, or is stopped.
 *
 * A pure state machine. The caller tells it what happened and when; it keeps the text, the times and the attempt number
 * and decides what comes next. It performs nothing.
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
	int64_t base;    /* attempts before this were made for an earlier, explicit try and do not count */
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
/* The attempt ended. Decides the next phase: TURN_DONE, TURN_BACKOFF (retry_boot_ms is set) or TURN_FAILED. */
enum turn_phase turn_ended(struct turn *t, enum err e, bool retryable, int64_t retry_after_ms, const struct limits *l,
			   struct rng *rng, struct now now);
void turn_stop(struct turn *t, struct now now);

/* Wait before the n-th retry (n from 1): limits.backoff_ms doubled each time up to backoff_max_ms, the upper half of it
 * at random, and never less than the provider asked for. */
int64_t backoff_wait_ms(const struct limits *l, int64_t n, int64_t retry_after_ms, struct rng *rng);

#endif
