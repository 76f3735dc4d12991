/* A provider's circuit: whether it is worth calling at all.
 *
 * A pure state machine; the caller has the clock (boot ms) and the limits.
 *
 *   closed ──circuitFailures in a row, each within circuitWindowMs of the last──▶ open ──circuitMs passed──▶ half open
 *     ▲                                                                            ▲                           │ one call
 *     │                                                                            └──── it failed: twice as long, up to
 *     └────────────────────────────────── any answer ◀─────────────────────────────┘     backoffMaxMs
 *
 * What counts against a provider: that it could not be reached, broke, or was overloaded. Any other answer, also "no",
 * shows that it is there. */
#ifndef ROOST_TALK_CIRCUIT_H
#define ROOST_TALK_CIRCUIT_H

#include "base/limits.h"
#include "provider/provider.h"

enum circuit_state { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_HALF_OPEN };
const char *circuit_state_name(enum circuit_state s); /* "closed", "open", "half_open" */

struct circuit { /* all zero: closed */
	enum circuit_state state;
	int64_t failures; /* in a row */
	int64_t last_ms;  /* the last of them */
	int64_t since_ms; /* when it left "closed" */
	int64_t probe_ms; /* OPEN: when one call may be tried */
	int64_t wait_ms;  /* how long it was open the last time */
	bool is_probing;  /* HALF_OPEN: that call is out */
};

/* When a call may begin: 0 now, else the time to ask again. Half open with a call out: when that is surely decided. */
int64_t circuit_ask(const struct circuit *c, int64_t now_ms);
/* A call begins. True when it is the probe. */
bool circuit_begin(struct circuit *c, int64_t now_ms);
/* A call ended, or gave its first text: FAIL_NONE. `was_probe` as circuit_begin said. True when the state changed. */
bool circuit_ended(struct circuit *c, enum fail f, bool was_probe, const struct limits *l, int64_t now_ms);
/* The probe was cut from our side and says nothing: the next call may be it. */
void circuit_dropped(struct circuit *c);

#endif
