#include "talk/turn.h"

#include "talk/retry.h"

const char *turn_phase_name(enum turn_phase p)
{
	static const char *const names[] = {"idle",    "calling", "connected", "streaming",
					    "backoff", "done",    "failed",    "stopped"};
	return names[p];
}

void turn_init(struct turn *t, int64_t attempt, int64_t base, const struct limits *l)
{
	*t = (struct turn){.attempt = attempt, .base = base};
	for (int k = 0; k < TURN_KINDS; k++) buf_init(&t->said[k], (size_t)l->answer_bytes);
}

void turn_release(struct turn *t)
{
	for (int k = 0; k < TURN_KINDS; k++) buf_release(&t->said[k]);
}

void turn_begin(struct turn *t, int64_t attempt, struct now now)
{
	ASSERT_CMP(attempt, >, t->attempt - (t->phase == TURN_IDLE));
	t->phase = TURN_CALLING;
	t->attempt = attempt;
	t->times = (struct turn_times){.claimed = now.wall_ms};
	for (int k = 0; k < TURN_KINDS; k++) buf_clear(&t->said[k]);
	t->progress_boot_ms = now.boot_ms;
}

void turn_connected(struct turn *t, struct now now)
{
	if (t->phase != TURN_CALLING) return;
	t->phase = TURN_CONNECTED;
	t->times.connected = now.wall_ms;
	t->progress_boot_ms = now.boot_ms;
}

enum err turn_said(struct turn *t, int kind, struct str text, struct now now)
{
	if (t->phase == TURN_CALLING) turn_connected(t, now);
	if (t->phase == TURN_CONNECTED) {
		t->phase = TURN_STREAMING;
		t->times.first_token = now.wall_ms;
	}
	ASSERT_CMP(t->phase, ==, TURN_STREAMING);
	t->progress_boot_ms = now.boot_ms;
	if (buf_add_str(&t->said[kind], text)) return OK;
	t->said[kind].failed = false;
	return ERR_PROVIDER_LIMIT;
}

static enum turn_phase fail_or_wait(struct turn *t, const struct turn_end *end, const struct limits *l, struct rng *rng,
				    struct now now, bool *out_falls_back, const char **out_why)
{
	t->rides = retry_is_ride(end->fail) ? t->rides + 1 : 0;
	if (t->failing_boot_ms == 0) t->failing_boot_ms = now.boot_ms;
	struct retry_ask ask = {.fail = end->fail,
				.retryable = end->retryable,
				.retry_after_ms = end->retry_after_ms,
				.attempts = t->attempt - t->base,
				.rides = t->rides,
				.elapsed_ms = now.boot_ms - t->failing_boot_ms,
				.has_fallback = end->has_fallback};
	struct retry_verdict v = retry_decide(&ask, l, rng);
	*out_falls_back = v.what == RETRY_FALLBACK;
	*out_why = v.why;
	if (v.what == RETRY_FAIL) return TURN_FAILED;
	if (v.is_ride) t->base++;
	if (*out_falls_back) {
		t->base = t->attempt;
		t->rides = 0;
	}
	t->retry_boot_ms = now.boot_ms + v.wait_ms;
	return TURN_BACKOFF;
}

enum turn_phase turn_ended(struct turn *t, const struct turn_end *end, const struct limits *l, struct rng *rng,
			   struct now now, bool *out_falls_back, const char **out_why)
{
	t->times.done = now.wall_ms;
	t->progress_boot_ms = now.boot_ms;
	*out_falls_back = false;
	*out_why = NULL;
	t->phase = end->fail == FAIL_NONE ? TURN_DONE : fail_or_wait(t, end, l, rng, now, out_falls_back, out_why);
	return t->phase;
}

void turn_stop(struct turn *t, struct now now)
{
	t->phase = TURN_STOPPED;
	t->times.done = now.wall_ms;
	t->progress_boot_ms = now.boot_ms;
}
