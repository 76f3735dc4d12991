#include "talk/circuit.h"

#define PROBE_AGAIN_MS 1000 /* how soon to look again while the probe is out */

const char *circuit_state_name(enum circuit_state s)
{
	static const char *const names[] = {"closed", "open", "half_open"};
	return names[s];
}

/* What a failure says of the provider. */
enum evidence { IS_THERE, IS_BAD, SAYS_LITTLE };

static enum evidence weigh(enum fail f)
{
	switch (f) {
	case FAIL_NETWORK:
	case FAIL_SERVER:
	case FAIL_OVERLOADED: return IS_BAD;
	case FAIL_TIMEOUT: return SAYS_LITTLE; /* a long answer may time out at a provider that is well */
	default: return IS_THERE;
	}
}

int64_t circuit_ask(const struct circuit *c, int64_t now_ms)
{
	switch (c->state) {
	case CIRCUIT_OPEN: return now_ms >= c->probe_ms ? 0 : c->probe_ms;
	case CIRCUIT_HALF_OPEN: return c->is_probing ? now_ms + PROBE_AGAIN_MS : 0;
	case CIRCUIT_CLOSED: break;
	}
	return 0;
}

bool circuit_begin(struct circuit *c, int64_t now_ms)
{
	if (c->state == CIRCUIT_CLOSED) return false;
	ASSERT_CMP(circuit_ask(c, now_ms), ==, 0);
	c->state = CIRCUIT_HALF_OPEN;
	c->is_probing = true;
	return true;
}

static void open_for(struct circuit *c, int64_t wait_ms, int64_t now_ms)
{
	c->state = CIRCUIT_OPEN;
	c->is_probing = false;
	c->wait_ms = wait_ms;
	c->probe_ms = now_ms + wait_ms;
}

bool circuit_ended(struct circuit *c, enum fail f, bool was_probe, const struct limits *l, int64_t now_ms)
{
	enum circuit_state before = c->state;
	enum evidence says = weigh(f);
	if (says == IS_THERE) {
		*c = (struct circuit){0};
		return before != CIRCUIT_CLOSED;
	}
	if (before == CIRCUIT_HALF_OPEN && was_probe) { /* a timeout, too: it was not answered */
		open_for(c, MIN(c->wait_ms * 2, MAX(l->backoff_max_ms, l->circuit_ms)), now_ms);
		return true;
	}
	/* What began before it opened ends in the same way and says nothing new. */
	if (says == SAYS_LITTLE || before != CIRCUIT_CLOSED) return false;
	c->failures = now_ms - c->last_ms > l->circuit_window_ms ? 1 : c->failures + 1;
	c->last_ms = now_ms;
	if (c->failures < l->circuit_failures) return false;
	c->since_ms = now_ms;
	open_for(c, l->circuit_ms, now_ms);
	return true;
}

void circuit_dropped(struct circuit *c) { c->is_probing = false; }
