/* May it be called now? Limits of models and providers, and the circuits.
 *
 * A model that has been asked for lately has a gate: its limiter, and a ring of the lanes whose next job waits for it. As
 * long as there is room they stand in the provider's own ring and the gate's is empty. The first that finds no room closes
 * the gate until the time the limiter names, and goes to the gate's ring; so does whoever comes after it, and users take
 * turns there as anywhere (lanes.c). Jobs of other models pass. When that time has come the gate's ring takes its turns
 * among the provider's rings until it is empty or the gate closes again.
 *
 * What holds for a whole provider (its circuit, a limit of all its models) pauses the provider: nobody goes.
 *
 * So a decision looks at one job, one gate and one provider, however many wait, and each waiting job is told once. */
#include "relay/relay_priv.h"

#define GATES_MAX 256    /* beyond it those that nobody uses are forgotten, the oldest first */
#define RECOUNT_MS 61000 /* as long as something stays on an account */
#define VIEW_TOKENS 2000 /* what a view is taken for before it is loaded */

/* ---- gates ------------------------------------------------------------------------------------------------------ */

static void gate_free(struct relay *r, struct gate *g)
{
	TAILQ_REMOVE(&r->idle_gates, g, in_idle);
	if (g->pause.boot_ms != 0) LIST_REMOVE(g, in_closed);
	HASH_DELETE(hh, r->gates, g); /* NOLINT(clang-analyzer-core.NullDereference): it is in the table */
	free(g->model);
	free(g);
}

struct gate *gate_get(struct relay *r, struct str model, int provider)
{
	struct gate *g;
	HASH_FIND(hh, r->gates, model.p, model.n, g);
	if (g != NULL) {
		if (g->nusers++ > 0) return g;
		TAILQ_REMOVE(&r->idle_gates, g, in_idle);
		g->slots = g->ring.slots = &r->providers[provider]; /* it may be served by another one by now */
		return g;
	}
	struct rate_limits configured = {0}, usual = {0};
	if (HASH_COUNT(r->gates) >= GATES_MAX && !TAILQ_EMPTY(&r->idle_gates))
		gate_free(r, TAILQ_FIRST(&r->idle_gates));
	g = xcalloc(1, sizeof *g);
	g->model = str_dup(model);
	g->slots = &r->providers[provider];
	g->nusers = 1;
	TAILQ_INIT(&g->ring.users);
	g->ring.gate = g;
	g->ring.slots = g->slots;
	if (r->config.limits_of != NULL) r->config.limits_of(r->config.ctx, model, &configured, &usual);
	limiter_init(&g->limiter, &configured, &usual);
	HASH_ADD_KEYPTR(hh, r->gates, g->model, model.n, g);
	return g;
}

void gate_put(struct relay *r, struct gate *g)
{
	if (--g->nusers == 0) TAILQ_INSERT_TAIL(&r->idle_gates, g, in_idle);
}

void relay_forget_gates(struct relay *r)
{
	while (!TAILQ_EMPTY(&r->idle_gates)) gate_free(r, TAILQ_FIRST(&r->idle_gates));
}

/* ---- who waits, and is told so ---------------------------------------------------------------------------------- */

static void pause_until(struct relay *r, struct pause *p, int64_t boot_ms, int why, struct now now)
{
	*p = (struct pause){boot_ms, now.wall_ms + (boot_ms - now.boot_ms), why};
	r->next_due_ms = MIN(r->next_due_ms, boot_ms);
}

static void tell(struct relay *r, struct job *j, const struct pause *p, struct now now)
{
	if (j->wait_boot_ms != 0) return;
	j->wait_boot_ms = now.boot_ms;
	j->waits_for = p->why;
	/* Waiting for a provider that does not work counts as failing. */
	if (p->why == PACED_CIRCUIT && j->turn.failing_boot_ms == 0) j->turn.failing_boot_ms = now.boot_ms;
	relay_note(r, "request.paced", j, OK, pacing_name(p->why));
	EFFECT(r, state, j);
}

void job_set_untold(struct relay *r, struct job *j)
{
	struct gate *g = j->gate;
	if (j->is_untold || j->wait_boot_ms != 0) return;
	j->is_untold = true;
	if (!gate_is_crowded(g)) {
		LIST_INSERT_HEAD(&g->slots->untold, j, in_untold);
	} else {
		LIST_INSERT_HEAD(&g->untold, j, in_untold);
		if (g->pause.boot_ms != 0) r->next_due_ms = 0; /* told by the next tick */
	}
}

void job_clear_untold(struct job *j)
{
	if (j->is_untold) LIST_REMOVE(j, in_untold);
	j->is_untold = false;
}

static void tell_all(struct relay *r, struct untold *list, const struct pause *p, struct now now)
{
	struct job *j;
	if (p->boot_ms == 0) return;
	while ((j = LIST_FIRST(list)) != NULL) {
		job_clear_untold(j);
		tell(r, j, p, now);
	}
}

void relay_tell_paused(struct relay *r, struct slots *s, struct now now) { tell_all(r, &s->untold, &s->pause, now); }

static bool paces(const struct pause *p) { return p->boot_ms != 0; }

bool job_pacing(const struct job *j, struct pacing *out)
{
	const struct gate *g = j->gate;
	if (j->where != QUEUED || lane_next(j->lane) != j) return false;
	const struct pause *p = paces(&g->pause) ? &g->pause : &g->slots->pause;
	if (!paces(p)) return false;
	*out = (struct pacing){p->wall_ms, pacing_name(p->why)};
	return true;
}

/* ---- asking ----------------------------------------------------------------------------------------------------- */

/* What the request is expected to take: of its view what was found when it was last loaded. */
static struct charge expected(const struct job *j)
{
	return charge_of(j->view_tokens > 0 ? j->view_tokens : VIEW_TOKENS, j->answer_tokens);
}

int64_t job_answer_tokens(const struct request *q)
{
	struct json_doc *doc = NULL;
	struct params p;
	int64_t most = 0;
	if (q->params.n > 0 && json_parse(q->params, &doc, NULL) == OK && params_read(json_root(doc), &p, NULL) == OK &&
	    param_given(&p, P_MAX_TOKENS))
		most = param_int(&p, P_MAX_TOKENS);
	json_free(doc);
	return charge_answer_tokens(most);
}

static bool weighs(const struct limiter *l)
{
	return l->of[RATE_TOKENS].limit > 0 || l->of[RATE_INPUT].limit > 0 || l->of[RATE_OUTPUT].limit > 0;
}

int64_t gate_view_tokens(const struct gate *g, const struct charge *c)
{
	return weighs(&g->limiter) || weighs(&g->slots->limiter) ? c->cost[RATE_INPUT] : 0;
}

static void count(struct gate *g, struct charge *c, struct now now)
{
	limiter_add(&g->limiter, c, now.boot_ms);
	limiter_add(&g->slots->limiter, c, now.boot_ms);
}

void gate_undo(struct gate *g, const struct charge *c, struct now now)
{
	limiter_undo(&g->limiter, c, now.boot_ms);
	limiter_undo(&g->slots->limiter, c, now.boot_ms);
}

static void correct(struct gate *g, struct charge *c, struct charge is, struct now now)
{
	struct charge same = *c;
	limiter_correct(&g->limiter, c, &is, now.boot_ms);
	limiter_correct(&g->slots->limiter, &same, &is, now.boot_ms);
}

static void close_gate(struct relay *r, struct gate *g, int64_t until, int why, struct now now)
{
	if (g->pause.boot_ms == 0) LIST_INSERT_HEAD(&r->closed_gates, g, in_closed);
	pause_until(r, &g->pause, until, why, now);
	ring_settle(&g->ring);
	tell_all(r, &g->untold, &g->pause, now);
}

bool gate_reserve(struct relay *r, struct gate *g, struct charge *out, struct now now)
{
	struct slots *s = g->slots;
	(void)r;
	*out = charge_of(VIEW_TOKENS, charge_answer_tokens(0));
	if (paces(&g->pause) || paces(&s->pause) || s->circuit.state != CIRCUIT_CLOSED ||
	    limiter_ask(&g->limiter, out, now.boot_ms, NULL) > 0 ||
	    limiter_ask(&s->limiter, out, now.boot_ms, NULL) > 0)
		return false;
	count(g, out, now);
	return true;
}

enum go job_ask(struct relay *r, struct job *j, struct now now)
{
	struct gate *g = j->gate;
	struct slots *s = g->slots;
	struct charge c = expected(j);
	enum rate why = RATE_REQUESTS;
	int64_t at = circuit_ask(&s->circuit, now.boot_ms);
	if (at > 0) {
		pause_until(r, &s->pause, at, PACED_CIRCUIT, now);
		return GO_NOBODY;
	}
	if ((at = limiter_ask(&g->limiter, &c, now.boot_ms, &why)) > 0) {
		close_gate(r, g, at, PACED_RATE + (int)why, now);
		tell(r, j, &g->pause, now);
		return GO_NOT_YET;
	}
	if ((at = limiter_ask(&s->limiter, &c, now.boot_ms, &why)) > 0) {
		pause_until(r, &s->pause, at, PACED_RATE + (int)why, now);
		return GO_NOBODY;
	}
	count(g, &c, now);
	j->charge = c;
	j->is_probe = circuit_begin(&s->circuit, now.boot_ms);
	return GO;
}

bool gate_is_crowded(const struct gate *g) { return paces(&g->pause) || !TAILQ_EMPTY(&g->ring.users); }

/* ---- what becomes of it ----------------------------------------------------------------------------------------- */

void job_drop_probe(struct job *j)
{
	if (j->is_probe) circuit_dropped(&j->gate->slots->circuit);
	j->is_probe = false;
}

/* The claim was refused: nothing was called. */
void job_unask(struct job *j, struct now now)
{
	gate_undo(j->gate, &j->charge, now);
	job_drop_probe(j);
}

void job_weigh(struct job *j, const struct job_info *info, struct now now)
{
	j->view_tokens = view_tokens(info, STR_NONE);
	correct(j->gate, &j->charge, charge_of(j->view_tokens, j->answer_tokens), now);
}

/* Requests that wait for a provider that does not work go to their next model, or fail when they did so for as long as
 * they may be tried. */
static void expire(struct relay *r, const struct slots *s, struct now now)
{
	struct job *j, *tmp;
	HASH_ITER (by_id, r->by_id, j, tmp) {
		if (j->gate->slots != s || j->where != QUEUED || j->wait_boot_ms == 0) continue;
		bool goes_on = request_has_fallback(&j->request);
		int64_t since = j->turn.failing_boot_ms;
		bool is_over = since != 0 && now.boot_ms - since > r->config.limits->retry_horizon_ms;
		if (!goes_on && !is_over) continue;
		struct cmd_finish *c = job_finish_new(r, j, FINISH_EXPIRED);
		c->err = ERR_PROVIDER_DOWN;
		c->error_text = STR("the provider has not answered anybody for as long as retryHorizonMs allows");
		c->falls_back = goes_on;
		c->next_try_ms = now.wall_ms;
		j->turn.retry_boot_ms = now.boot_ms;
		relay_submit_finish(r, j, c, now);
		lane_settle(r, j->lane);
	}
}

static void tell_circuit(struct relay *r, struct job *j, enum fail f, struct now now)
{
	struct slots *s = j->gate->slots;
	bool was_probe = j->is_probe;
	j->is_probe = false;
	if (!s->has_circuit || !circuit_ended(&s->circuit, f, was_probe, r->config.limits, now.boot_ms)) return;
	bool is_open = s->circuit.state == CIRCUIT_OPEN;
	if (is_open) {
		pause_until(r, &s->pause, s->circuit.probe_ms, PACED_CIRCUIT, now);
		relay_tell_paused(r, s, now);
		expire(r, s, now);
	} else {
		if (s->pause.why == PACED_CIRCUIT) s->pause = (struct pause){0};
		s->is_stale = true; /* those who waited go with the next tick */
		r->next_due_ms = MIN(r->next_due_ms, now.boot_ms);
	}
	if (!is_open || !was_probe)
		relay_note(r, is_open ? "circuit.opened" : "circuit.closed", j, OK, str_c(fail_name(f)));
}

void job_answered(struct relay *r, struct job *j, struct now now)
{
	if (j->is_probe || j->gate->slots->circuit.failures > 0) tell_circuit(r, j, FAIL_NONE, now);
}

void job_called(struct relay *r, struct job *j, enum fail f, const struct call_usage *usage, bool said, struct now now)
{
	struct charge used = j->charge;
	if (f == FAIL_NONE || said) {
		if (usage->input_tokens >= 0 && usage->output_tokens >= 0)
			used = charge_of(usage->input_tokens, usage->output_tokens);
	} else {
		used = charge_of(0, 0); /* a call that failed before it said anything took no tokens */
	}
	correct(j->gate, &j->charge, used, now);
	tell_circuit(r, j, f, now);
}

/* What an earlier daemon began within the last minute and did not finish is still on the provider's account. The rest of
 * what it did is forgotten; a provider's headers bring it back with its first answer. */
void job_recount(struct job *j, struct now now)
{
	struct charge c = charge_of(0, 0);
	int64_t ago = now.wall_ms - j->request.last_started_ms;
	if (j->request.attempt == 0 || ago < 0 || ago > RECOUNT_MS) return;
	count(j->gate, &c, (struct now){now.wall_ms - ago, MAX(now.boot_ms - ago, 0)});
}

void relay_call_rates(struct relay *r, struct job *j, const struct rates *seen, struct now now)
{
	if (j->where == RUNNING) limiter_learn(&j->gate->limiter, seen, now.boot_ms);
	(void)r;
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

void relay_open_gates(struct relay *r, struct now now)
{
	struct gate *g = LIST_FIRST(&r->closed_gates);
	while (g != NULL) {
		struct gate *next = LIST_NEXT(g, in_closed);
		if (g->pause.boot_ms <= now.boot_ms) {
			LIST_REMOVE(g, in_closed);
			g->pause = (struct pause){0};
			ring_settle(&g->ring);
			g->slots->is_stale = true;
		} else {
			tell_all(r, &g->untold, &g->pause, now);
			r->next_due_ms = MIN(r->next_due_ms, g->pause.boot_ms);
		}
		g = next;
	}
	for (size_t i = 0; i < r->config.nproviders; i++) {
		struct slots *s = &r->providers[i];
		if (paces(&s->pause) && s->pause.boot_ms <= now.boot_ms) {
			s->pause = (struct pause){0};
			s->is_stale = true;
		} else if (paces(&s->pause)) {
			r->next_due_ms = MIN(r->next_due_ms, s->pause.boot_ms);
		}
		if (!s->is_stale) continue;
		s->is_stale = false;
		relay_schedule(r, (int)i, now);
	}
}

void relay_provider(const struct relay *r, int provider, struct now now, struct relay_provider *out)
{
	const struct slots *s = &r->providers[provider];
	int64_t to_wall = now.wall_ms - now.boot_ms;
	*out = (struct relay_provider){.running = s->running, .circuit = s->circuit.state};
	if (s->circuit.state != CIRCUIT_CLOSED) out->since_wall_ms = s->circuit.since_ms + to_wall;
	if (s->circuit.state == CIRCUIT_OPEN) out->probe_wall_ms = s->circuit.probe_ms + to_wall;
	if (paces(&s->pause)) out->pacing = (struct pacing){s->pause.wall_ms, pacing_name(s->pause.why)};
}
