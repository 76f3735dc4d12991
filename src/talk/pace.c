#include "talk/pace.h"

#include <uthash.h>

struct slots {
	int64_t concurrency, out;
	struct limiter limiter;
	struct circuit circuit;
	bool has_circuit;
};

TAILQ_HEAD(line, pace_waiter);
struct pace_gate {
	char *model;
	struct slots *slots;
	struct limiter limiter;
	struct line line;
	TAILQ_ENTRY(pace_gate) link; /* among those with a line */
	UT_hash_handle hh;
};

struct pace {
	const struct limits *limits;
	struct slots *slots;
	struct pace_gate *gates;
	TAILQ_HEAD(, pace_gate) waited; /* in the order of their turns */
};

struct pace *pace_new(const struct limits *limits, const struct pace_provider *providers, size_t n)
{
	struct pace *p = xcalloc(1, sizeof *p);
	p->limits = limits;
	p->slots = xcalloc(MAX(n, (size_t)1), sizeof *p->slots);
	TAILQ_INIT(&p->waited);
	for (size_t i = 0; i < n; i++) {
		p->slots[i].concurrency = providers[i].concurrency;
		p->slots[i].has_circuit = providers[i].has_circuit;
		limiter_init(&p->slots[i].limiter, &providers[i].limits, NULL);
	}
	return p;
}

void pace_free(struct pace *p)
{
	struct pace_gate *g, *tmp;
	if (p == NULL) return;
	HASH_ITER (hh, p->gates, g, tmp) {
		ASSERT(TAILQ_EMPTY(&g->line));
		HASH_DELETE(hh, p->gates, g);
		free(g->model);
		free(g);
	}
	free(p->slots);
	free(p);
}

struct pace_gate *pace_gate(struct pace *p, struct str model, int provider, const struct rate_limits *configured,
			    const struct rate_limits *usual)
{
	struct pace_gate *g;
	HASH_FIND(hh, p->gates, model.p, model.n, g);
	if (g != NULL) return g;
	g = xcalloc(1, sizeof *g);
	g->model = str_dup(model);
	g->slots = &p->slots[provider];
	TAILQ_INIT(&g->line);
	limiter_init(&g->limiter, configured, usual);
	HASH_ADD_KEYPTR(hh, p->gates, g->model, model.n, g);
	return g;
}

/* ---- the line --------------------------------------------------------------------------------------------------- */

void pace_wait(struct pace *p, struct pace_gate *g, struct pace_waiter *w, int64_t input_tokens, int64_t output_tokens)
{
	*w = (struct pace_waiter){.gate = g, .charge = charge_of(input_tokens, output_tokens), .in_line = true};
	if (TAILQ_EMPTY(&g->line)) TAILQ_INSERT_TAIL(&p->waited, g, link);
	TAILQ_INSERT_TAIL(&g->line, w, link);
}

void pace_leave(struct pace *p, struct pace_waiter *w)
{
	struct pace_gate *g = w->gate;
	if (!w->in_line) return;
	w->in_line = false;
	TAILQ_REMOVE(&g->line, w, link);
	if (TAILQ_EMPTY(&g->line)) TAILQ_REMOVE(&p->waited, g, link);
}

/* 0: it may go now. Else when to ask again (INT64_MAX: when a call ends), and why. */
static int64_t ask(struct pace_gate *g, struct pace_waiter *w, int64_t now_ms)
{
	struct slots *s = g->slots;
	enum rate why = RATE_REQUESTS;
	int64_t at = s->has_circuit ? circuit_ask(&s->circuit, now_ms) : 0;
	w->waits_for = "circuit";
	if (at > 0) return at;
	w->waits_for = "slots";
	if (s->out >= s->concurrency) return INT64_MAX;
	at = limiter_ask(&g->limiter, &w->charge, now_ms, &why);
	if (at == 0) at = limiter_ask(&s->limiter, &w->charge, now_ms, &why);
	w->waits_for = at > 0 ? rate_name(why) : NULL;
	return at;
}

static void let_go(struct pace *p, struct pace_gate *g, struct pace_waiter *w, int64_t now_ms)
{
	struct slots *s = g->slots;
	pace_leave(p, w);
	w->is_out = true;
	w->until_boot_ms = 0;
	limiter_add(&g->limiter, &w->charge, now_ms);
	limiter_add(&s->limiter, &w->charge, now_ms);
	w->is_probe = s->has_circuit && circuit_begin(&s->circuit, now_ms);
	s->out++;
}

struct pace_waiter *pace_next(struct pace *p, int64_t now_ms, int64_t *out_due)
{
	struct pace_gate *g, *next;
	*out_due = INT64_MAX;
	for (g = TAILQ_FIRST(&p->waited); g != NULL; g = next) {
		next = TAILQ_NEXT(g, link);
		struct pace_waiter *w = TAILQ_FIRST(&g->line);
		int64_t at = ask(g, w, now_ms);
		if (at > 0) {
			w->until_boot_ms = at;
			*out_due = MIN(*out_due, at);
			continue;
		}
		let_go(p, g, w, now_ms);
		if (!TAILQ_EMPTY(&g->line)) { /* the other gates' turn */
			TAILQ_REMOVE(&p->waited, g, link);
			TAILQ_INSERT_TAIL(&p->waited, g, link);
		}
		*out_due = now_ms;
		return w;
	}
	return NULL;
}

void pace_each_held(struct pace *p, void (*fn)(void *ctx, struct pace_waiter *w), void *ctx)
{
	struct pace_gate *g;
	TAILQ_FOREACH (g, &p->waited, link) {
		struct pace_waiter *w = TAILQ_FIRST(&g->line);
		if (!w->told && w->waits_for != NULL) fn(ctx, w);
	}
}

/* ---- what becomes of a call ------------------------------------------------------------------------------------- */

void pace_learn(struct pace_waiter *w, const struct rates *seen, int64_t now_ms)
{
	limiter_learn(&w->gate->limiter, seen, now_ms);
}

static void correct(struct pace_waiter *w, struct charge is, int64_t now_ms)
{
	struct charge same = w->charge;
	limiter_correct(&w->gate->limiter, &w->charge, &is, now_ms);
	limiter_correct(&w->gate->slots->limiter, &same, &is, now_ms);
}

void pace_ended(struct pace *p, struct pace_waiter *w, enum fail f, int64_t input_tokens, int64_t output_tokens,
		bool said, int64_t now_ms)
{
	struct slots *s = w->gate->slots;
	ASSERT(w->is_out);
	w->is_out = false;
	s->out--;
	/* A call that failed before it said anything took no tokens. */
	if (f != FAIL_NONE && !said) correct(w, charge_of(0, 0), now_ms);
	else if (input_tokens >= 0 && output_tokens >= 0) correct(w, charge_of(input_tokens, output_tokens), now_ms);
	if (s->has_circuit) (void)circuit_ended(&s->circuit, f, w->is_probe, p->limits, now_ms);
	w->is_probe = false;
}

void pace_cut(struct pace *p, struct pace_waiter *w, bool has_begun, int64_t now_ms)
{
	pace_leave(p, w);
	if (!w->is_out) return;
	w->is_out = false;
	w->gate->slots->out--;
	if (!has_begun) {
		limiter_undo(&w->gate->limiter, &w->charge, now_ms);
		limiter_undo(&w->gate->slots->limiter, &w->charge, now_ms);
	}
	if (w->is_probe) circuit_dropped(&w->gate->slots->circuit);
	w->is_probe = false;
}

void pace_tokens(struct pace_gate *g, int64_t now_ms, int64_t *out_limit, int64_t *out_used)
{
	*out_limit = g->limiter.of[RATE_TOKENS].limit;
	*out_used = limiter_used(&g->limiter, RATE_TOKENS, now_ms);
}
