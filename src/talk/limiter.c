/* An account is a ring of slots of slot_ms each, and their sum. What comes in goes to the slot of its time and leaves with
 * it, so every operation is a step of arithmetic, or one walk over the ring when time has passed or a wait is asked for.
 *
 * Why no token bucket: one that holds a limit's worth lets nearly twice the limit through within a minute. Whoever keeps
 * to the limit in every minute also satisfies a provider that counts by bucket, so this is right for both.
 *
 * What headers teach. `limit` is a limit per minute, unless it takes longer than a minute to be full again: then its
 * period follows from how much is missing and how long that takes, and the slots become longer. `remaining` tells of use
 * that is not on the account: somebody else's, or ours from before a restart. It is put on it in equal parts that leave
 * until `reset`, which is how buckets fill. */
#include "talk/limiter.h"

#define MINUTE_MS ((int64_t)60000)
#define PERIOD_MAX_MS ((int64_t)86400000)
#define ANSWER_TOKENS ((int64_t)500)
#define TOKENS_MAX ((int64_t)1000000000) /* of one call: a provider may say anything */

int64_t charge_answer_tokens(int64_t max_tokens)
{
	return max_tokens > 0 ? MIN(max_tokens, ANSWER_TOKENS) : ANSWER_TOKENS;
}

struct charge charge_of(int64_t input_tokens, int64_t output_tokens)
{
	struct charge c = {0};
	c.cost[RATE_REQUESTS] = 1;
	c.cost[RATE_INPUT] = MAX(0, MIN(input_tokens, TOKENS_MAX));
	c.cost[RATE_OUTPUT] = MAX(0, MIN(output_tokens, TOKENS_MAX));
	c.cost[RATE_TOKENS] = c.cost[RATE_INPUT] + c.cost[RATE_OUTPUT];
	return c;
}

void limiter_init(struct limiter *l, const struct rate_limits *configured, const struct rate_limits *usual)
{
	*l = (struct limiter){0};
	if (configured != NULL) l->configured = *configured;
	if (usual != NULL) l->usual = *usual;
	for (int r = 0; r < RATE_COUNT; r++) {
		l->of[r].slot_ms = MINUTE_MS / RATE_PARTS;
		l->of[r].limit = l->configured.of[r] > 0 ? l->configured.of[r] : l->usual.of[r];
	}
}

bool limiter_limits(const struct limiter *l)
{
	for (int r = 0; r < RATE_COUNT; r++)
		if (l->of[r].limit > 0) return true;
	return false;
}

/* ---- an account -------------------------------------------------------------------------------------------------- */

/* Lets the slots go whose time is over. */
static void turn_to(struct rate_account *a, int64_t now_ms)
{
	int64_t slot = now_ms / a->slot_ms;
	if (slot - a->now_slot >= RATE_SLOTS) {
		memset(a->slots, 0, sizeof a->slots);
		a->used = 0;
	} else {
		while (a->now_slot < slot) {
			int64_t *oldest = &a->slots[++a->now_slot % RATE_SLOTS];
			a->used -= *oldest;
			*oldest = 0;
		}
	}
	a->now_slot = MAX(a->now_slot, slot);
}

/* When so much will have left that `cost` fits. The slot of time t leaves when slot t + RATE_SLOTS begins. */
static int64_t room_at(const struct rate_account *a, int64_t cost)
{
	int64_t used = a->used;
	for (int64_t slot = a->now_slot - RATE_SLOTS + 1; slot <= a->now_slot; slot++) {
		used -= a->slots[(slot + RATE_SLOTS) % RATE_SLOTS];
		if (used + cost <= a->limit || used == 0) return (slot + RATE_SLOTS) * a->slot_ms;
	}
	return (a->now_slot + RATE_SLOTS) * a->slot_ms;
}

static void put(struct rate_account *a, int64_t slot, int64_t amount)
{
	a->slots[slot % RATE_SLOTS] += amount;
	a->used += amount;
}

/* Gives back what was put at that time, as far as it is still there. */
static void take_back(struct rate_account *a, int64_t at_ms, int64_t amount)
{
	int64_t slot = at_ms / a->slot_ms;
	if (slot <= a->now_slot - RATE_SLOTS || slot > a->now_slot) return;
	put(a, slot, -MIN(amount, a->slots[slot % RATE_SLOTS]));
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

int64_t limiter_ask(struct limiter *l, const struct charge *c, int64_t now_ms, enum rate *out_rate)
{
	int64_t latest = 0;
	for (int r = 0; r < RATE_COUNT; r++) {
		struct rate_account *a = &l->of[r];
		if (a->limit <= 0 || c->cost[r] <= 0) continue;
		turn_to(a, now_ms);
		if (a->used == 0 || a->used + c->cost[r] <= a->limit) continue;
		int64_t at = room_at(a, c->cost[r]);
		if (at > latest && out_rate != NULL) *out_rate = (enum rate)r;
		latest = MAX(latest, at);
	}
	return latest;
}

void limiter_add(struct limiter *l, struct charge *c, int64_t now_ms)
{
	c->at_ms = now_ms;
	for (int r = 0; r < RATE_COUNT; r++) {
		turn_to(&l->of[r], now_ms);
		put(&l->of[r], l->of[r].now_slot, c->cost[r]);
	}
}

void limiter_correct(struct limiter *l, struct charge *c, const struct charge *is, int64_t now_ms)
{
	for (int r = 0; r < RATE_COUNT; r++) {
		int64_t more = is->cost[r] - c->cost[r];
		turn_to(&l->of[r], now_ms);
		/* What it took more came with the answer, that is now. */
		if (more > 0) put(&l->of[r], l->of[r].now_slot, more);
		else take_back(&l->of[r], c->at_ms, -more);
		c->cost[r] = is->cost[r];
	}
}

void limiter_undo(struct limiter *l, const struct charge *c, int64_t now_ms)
{
	for (int r = 0; r < RATE_COUNT; r++) {
		turn_to(&l->of[r], now_ms);
		take_back(&l->of[r], c->at_ms, c->cost[r]);
	}
}

int64_t limiter_used(struct limiter *l, enum rate r, int64_t now_ms)
{
	turn_to(&l->of[r], now_ms);
	return l->of[r].used;
}

/* ---- what headers teach ------------------------------------------------------------------------------------------ */

/* The period of a limit that is full again in reset_ms, with so much missing. */
static int64_t period_ms(const struct rate_seen *seen)
{
	int64_t missing = seen->limit - seen->remaining;
	if (seen->reset_ms <= MINUTE_MS || missing == 0) return MINUTE_MS;
	double ms = (double)seen->reset_ms * ((double)seen->limit / (double)missing);
	return ms < (double)PERIOD_MAX_MS ? (int64_t)ms : PERIOD_MAX_MS;
}

/* Puts use on the account that we did not count, so that it leaves bit by bit until the reset. */
static void put_foreign(struct rate_account *a, int64_t amount, int64_t reset_ms)
{
	int64_t n = reset_ms > 0 ? MIN((reset_ms + a->slot_ms - 1) / a->slot_ms, RATE_PARTS) : RATE_PARTS;
	for (int64_t i = 0; i < n; i++) {
		int64_t part = amount * (i + 1) / n - amount * i / n;
		put(a, a->now_slot + 1 + i, part); /* the i-th that leaves */
	}
}

static void learn(struct rate_account *a, int64_t configured, const struct rate_seen *seen, int64_t now_ms)
{
	int64_t period = period_ms(seen);
	bool by_minute = period == MINUTE_MS;
	/* A configured limit is per minute and stays so; a day's limit beside it shows in the provider's refusals. */
	if (!by_minute && configured > 0) return;
	int64_t slot_ms = period / RATE_PARTS;
	/* A period that is told in round numbers wavers; a new one begins a new account. */
	if (slot_ms * 2 < a->slot_ms || slot_ms > a->slot_ms * 2)
		*a = (struct rate_account){.slot_ms = slot_ms, .now_slot = now_ms / slot_ms};
	a->limit = configured > 0 ? MIN(configured, seen->limit) : seen->limit;
	turn_to(a, now_ms);
	int64_t foreign = seen->limit - seen->remaining - a->used;
	if (foreign > 0) put_foreign(a, foreign, seen->reset_ms);
}

void limiter_learn(struct limiter *l, const struct rates *seen, int64_t now_ms)
{
	/* Who tells of one limit would tell of the others. */
	for (int r = 0; r < RATE_COUNT; r++) {
		if (l->usual.of[r] > 0) l->of[r].limit = l->configured.of[r];
		l->usual.of[r] = 0;
	}
	for (int r = 0; r < RATE_COUNT; r++)
		if (seen->of[r].limit > 0) learn(&l->of[r], l->configured.of[r], &seen->of[r], now_ms);
}
