#include "talk/turn.h"

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

int64_t backoff_wait_ms(const struct limits *l, int64_t n, int64_t retry_after_ms, struct rng *rng)
{
	int64_t wait = l->backoff_ms;
	for (int64_t i = 1; i < n && wait < l->backoff_max_ms; i++) wait *= 2;
	wait = MIN(wait, l->backoff_max_ms);
	wait = wait / 2 + (int64_t)rng_below(rng, (uint64_t)(wait / 2 + 1));
	return MAX(wait, retry_after_ms);
}

enum turn_phase turn_ended(struct turn *t, enum err e, bool retryable, int64_t retry_after_ms, const struct limits *l,
			   struct rng *rng, struct now now)
{
	t->times.done = now.wall_ms;
	t->progress_boot_ms = now.boot_ms;
	if (e == OK) {
		t->phase = TURN_DONE;
	} else if (retryable && t->attempt - t->base < l->attempts) {
		t->phase = TURN_BACKOFF;
		t->retry_boot_ms = now.boot_ms + backoff_wait_ms(l, t->attempt - t->base, retry_after_ms, rng);
	} else {
		t->phase = TURN_FAILED;
	}
	return t->phase;
}

void turn_stop(struct turn *t, struct now now)
{
	t->phase = TURN_STOPPED;
	t->times.done = now.wall_ms;
	t->progress_boot_ms = now.boot_ms;
}
