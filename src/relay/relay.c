/* The relay's state machine. relay.h says what it promises; this is how.
 *
 * A job is an open request. Where it is:
 *
 *   QUEUED ──slot──▶ CLAIMING ──committed──▶ RUNNING ──call ended──▶ ENDING ──committed──▶ gone
 *     ▲                 │ (refused: gone,        │                      │
 *     │                 │  the sweep finds it)   └──stop──▶ ENDING      ├──▶ WAITING (backoff; no slot)
 *     └──── due ────────┴────────────────────────────────── WAITING ◀───┘
 *
 * Which job of a conversation is claimed next, and whose turn it is when a slot is free: lanes.c. What streams: pump.c.
 * What was left by an earlier daemon or lost on the way: recover.c.
 *
 * A slot is held from CLAIMING (or from the reservation of a send) until the call is over, not until that is committed. */
#include "relay/relay_priv.h"
#include "talk/retry.h"

void relay_note(struct relay *r, const char *type, const struct job *j, enum err e, struct str detail)
{
	EFFECT(r, event, type, j, e, detail);
}

/* ---- making and ending ------------------------------------------------------------------------------------------ */

struct relay *relay_new(const struct relay_config *c)
{
	struct relay *r = xcalloc(1, sizeof *r);
	r->config = *c;
	rng_seed(&r->rng, c->seed);
	r->providers = xcalloc(c->nproviders, sizeof *r->providers);
	for (size_t i = 0; i < c->nproviders; i++) {
		struct slots *s = &r->providers[i];
		s->most = c->providers[i].slots;
		s->has_circuit = c->providers[i].has_circuit;
		s->is_agent = c->providers[i].is_agent;
		limiter_init(&s->limiter, &c->providers[i].limits, NULL);
		s->own.slots = s;
		TAILQ_INIT(&s->own.users);
		TAILQ_INIT(&s->turns);
		LIST_INIT(&s->untold);
	}
	LIST_INIT(&r->closed_gates);
	TAILQ_INIT(&r->idle_gates);
	LIST_INIT(&r->dirty);
	r->next_due_ms = INT64_MAX;
	return r;
}

void job_mark_dirty(struct relay *r, struct job *j)
{
	if (!j->dirty) LIST_INSERT_HEAD(&r->dirty, j, in_dirty);
	j->dirty = true;
}

void job_clear_dirty(struct job *j)
{
	if (j->dirty) LIST_REMOVE(j, in_dirty);
	j->dirty = false;
}

/* Copies what the job keeps of `q` out of an op's arena. */
static void take_request(struct job *j, const struct request *q)
{
	struct arena fresh = {0};
	j->request = *q;
	struct str *strings[] = {&j->request.conversation_id, &j->request.session_id, &j->request.message_id,
				 &j->request.reply_id,        &j->request.device_id,  &j->request.model,
				 &j->request.params,          &j->request.fallback,   &j->request.serving,
				 &j->request.asked,           &j->request.model_by,   &j->request.preset,
				 &j->request.error_code,      &j->request.error_text};
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) *strings[i] = arena_str(&fresh, *strings[i]);
	j->request.attempts = STR("");
	arena_clear(&j->arena);
	j->arena = fresh;
}

/* The gate of the model that is asked now. An unknown one waits at the first provider and fails there with its name. */
static void find_gate(struct relay *r, struct job *j)
{
	struct gate *before = j->gate;
	int provider = r->config.provider_of(r->config.ctx, j->request.serving);
	j->gate = gate_get(r, j->request.serving, MAX(provider, 0));
	j->provider = (int)(j->gate->slots - r->providers);
	if (before != NULL) gate_put(r, before);
}

struct job *job_new(struct relay *r, const struct job_info *info, struct now now)
{
	struct job *j = xcalloc(1, sizeof *j);
	const struct request *q = &info->request;
	j->id = str_n(str_dup(info->request_id), info->request_id.n);
	j->row = info->row;
	j->conv = info->conv;
	j->user = info->user;
	j->zone = info->zone;
	take_request(j, q);
	j->call_id = STR("");
	find_gate(r, j);
	j->answer_tokens = job_answer_tokens(q);
	turn_init(&j->turn, q->attempt, q->base, r->config.limits);
	if (q->failing_ms != 0) j->turn.failing_boot_ms = MAX(1, now.boot_ms - MAX(0, now.wall_ms - q->failing_ms));
	HASH_ADD_KEYPTR(by_id, r->by_id, j->id.p, j->id.n, j);
	HASH_ADD(by_row, r->by_row, row, sizeof j->row, j);
	j->lane = lane_of(r, j->conv, j->request.conversation_id);
	lane_insert(j->lane, j);
	return j;
}

static void job_release_slot(struct relay *r, struct job *j)
{
	if (!j->holds_slot) return;
	j->holds_slot = false;
	r->providers[j->provider].running--;
}

static void cut_call(struct relay *r, struct job *j)
{
	if (j->call != NULL) EFFECT(r, call_cancel, j->call);
	j->call = NULL;
	job_drop_probe(j);
	job_release_slot(r, j);
}

void job_free(struct relay *r, struct job *j)
{
	cut_call(r, j);
	job_clear_due(r, j);
	job_clear_dirty(j);
	job_clear_untold(j);
	HASH_DELETE(by_id, r->by_id, j);
	HASH_DELETE(by_row, r->by_row, j);
	struct lane *l = j->lane;
	TAILQ_REMOVE(&l->jobs, j, in_lane);
	turn_release(&j->turn);
	arena_clear(&j->arena);
	free((void *)(uintptr_t)j->id.p);
	free(j->retry_finish);
	lane_settle(r, l);
	gate_put(r, j->gate);
	free(j);
}

void relay_halt(struct relay *r)
{
	for (struct job *j = r->by_id; j != NULL; j = j->by_id.next) cut_call(r, j);
}

void relay_free(struct relay *r)
{
	while (r->by_id != NULL) job_free(r, r->by_id);
	relay_forget_left_overs(r);
	relay_forget_suspects(r);
	for (size_t i = 0; i < r->nholds; i++)
		if (r->holds[i].gate != NULL) gate_put(r, r->holds[i].gate);
	relay_forget_gates(r);
	free(r->holds);
	free(r->due);
	free(r->providers);
	free(r);
}

/* ---- ending an attempt ------------------------------------------------------------------------------------------ */

void relay_submit_finish(struct relay *r, struct job *j, struct cmd_finish *c, struct now now)
{
	store_op_init(&c->op, cmd_finish_run, NULL, 0, now.wall_ms);
	c->op.repeatable = true;
	c->op.bytes = sizeof *c + c->text.n + c->thinking.n;
	if (j->turn.failing_boot_ms != 0) c->failing_ms = now.wall_ms - (now.boot_ms - j->turn.failing_boot_ms);
	j->where = ENDING;
	EFFECT(r, submit, &c->op);
}

/* The texts are views of the turn's buffers, which do not change while the job is ENDING. */
struct cmd_finish *job_finish_new(struct relay *r, struct job *j, enum finish_as as)
{
	struct cmd_finish *c = xcalloc(1, sizeof *c);
	c->as = as;
	c->row = j->row;
	c->attempt = j->request.attempt;
	c->incarnation = r->config.incarnation;
	c->times = j->turn.times;
	c->text = buf_str(&j->turn.said[TURN_TEXT]);
	c->thinking = buf_str(&j->turn.said[TURN_THINKING]);
	c->error_text = STR("");
	c->finish_reason = c->parts = STR("");
	c->provider_id = STR("");
	c->usage = USAGE_UNKNOWN;
	c->base = j->turn.base;
	c->waited_for = j->waited_ms > 0 ? j->waits_for : PACED_NOT;
	c->waited_ms = j->waited_ms;
	c->max_attempts = r->config.limits->attempts;
	c->book = r->config.book;
	c->context_bytes = r->config.limits->context_bytes;
	return c;
}

static void end_stopped(struct relay *r, struct job *j, struct now now)
{
	struct call_usage used = USAGE_UNKNOWN;
	if (j->call != NULL) EFFECT(r, call_used, j->call, &used);
	cut_call(r, j);
	job_clear_due(r, j);
	job_clear_dirty(j);
	if (j->where == RUNNING) turn_stop(&j->turn, now);
	else
		for (int k = 0; k < TURN_KINDS; k++) buf_clear(&j->turn.said[k]);
	struct cmd_finish *c = job_finish_new(r, j, FINISH_STOPPED);
	c->usage = used;
	relay_submit_finish(r, j, c, now);
	lane_settle(r, j->lane);
}

bool relay_stop(struct relay *r, struct str request_id, struct now now)
{
	struct job *j = relay_find(r, request_id);
	if (j == NULL) return false;
	if (j->stop_wanted) return true;
	j->stop_wanted = true;
	relay_note(r, "request.stopRequested", j, OK, STR_NONE);
	/* CLAIMING and ENDING have a command on its way; what comes back from it sees stop_wanted. */
	if (j->where == QUEUED || j->where == RUNNING || j->where == WAITING) end_stopped(r, j, now);
	return true;
}

size_t relay_stop_session(struct relay *r, int64_t user, struct str session_id, struct str conversation_id,
			  struct now now)
{
	struct job *j, *tmp;
	size_t n = 0;
	HASH_ITER (by_id, r->by_id, j, tmp) {
		const struct request *q = &j->request;
		if (j->user != user || (session_id.p != NULL && !str_eq(q->session_id, session_id)) ||
		    (conversation_id.p != NULL && !str_eq(q->conversation_id, conversation_id)))
			continue;
		n += !j->stop_wanted;
		(void)relay_stop(r, j->id, now);
	}
	return n;
}

/* ---- claiming and running --------------------------------------------------------------------------------------- */

void relay_claim(struct relay *r, struct job *j, struct now now)
{
	struct cmd_claim *c = xcalloc(1, sizeof *c);
	lane_to_head(j);
	job_clear_untold(j);
	j->waited_ms = j->wait_boot_ms != 0 ? MAX(now.boot_ms - j->wait_boot_ms, 1) : 0;
	j->wait_boot_ms = 0;
	j->where = CLAIMING;
	j->holds_slot = true;
	r->providers[j->provider].running++;
	c->row = j->row;
	c->incarnation = r->config.incarnation;
	c->context_bytes = r->config.limits->context_bytes;
	c->budgets = r->config.budgets;
	c->most_tokens = gate_view_tokens(j->gate, &j->charge);
	store_op_init(&c->op, cmd_claim_run, NULL, 0, now.wall_ms);
	c->op.repeatable = true;
	c->op.bytes = sizeof *c;
	EFFECT(r, submit, &c->op);
}

static void run(struct relay *r, struct job *j, const struct job_info *info, struct now now)
{
	take_request(j, &info->request);
	lane_to_head(j);
	j->end_fail = FAIL_NONE;
	j->call_id = STR("");
	job_weigh(j, info, now);
	turn_begin(&j->turn, info->request.attempt, now);
	memset(j->sent, 0, sizeof j->sent);
	memset(j->shown, 0, sizeof j->shown);
	j->first_chunk = 0;
	j->paused = false;
	j->where = RUNNING;
	relay_note(r, "request.claimed", j, OK, STR_NONE);
	if (j->stop_wanted) {
		end_stopped(r, j, now);
		return;
	}
	j->call = EFFECT(r, call_start, j, info);
	EFFECT(r, state, j);
}

/* Ends a call from this side. */
void relay_give_up(struct relay *r, struct job *j, enum err e, bool retryable, const struct errinfo *info,
		   struct now now)
{
	struct call_end end = {.err = e,
			       .retryable = retryable,
			       .info = info,
			       .usage = USAGE_UNKNOWN,
			       .finish_reason = STR(""),
			       .request_id = STR("")};
	if (j->call != NULL) EFFECT(r, call_used, j->call, &end.usage);
	cut_call(r, j);
	relay_call_done(r, j, &end, now);
}

void relay_call_connected(struct relay *r, struct job *j, struct now now)
{
	if (j->where != RUNNING) return;
	turn_connected(&j->turn, now);
	relay_note(r, "request.connected", j, OK, STR_NONE);
}

void relay_call_text(struct relay *r, struct job *j, enum stream_kind kind, struct str text, struct now now)
{
	if (j->where != RUNNING || text.n == 0) return;
	bool first = j->turn.phase != TURN_STREAMING;
	if (turn_said(&j->turn, (int)kind, text, now) != OK) {
		struct errinfo info;
		(void)err_set(&info, ERR_PROVIDER_LIMIT, "the answer is longer than answerBytes (%lld bytes)",
			      (long long)r->config.limits->answer_bytes);
		relay_give_up(r, j, ERR_PROVIDER_LIMIT, false, &info, now);
		return;
	}
	if (first) {
		job_answered(r, j, now);
		relay_note(r, "request.firstToken", j, OK, STR_NONE);
		EFFECT(r, state, j);
	}
	job_mark_dirty(r, j);
	relay_throttle(r, j);
}

/* The sentence of a failed attempt, with the reason why it is not tried again when that is another one. */
static void set_error(struct job *j, struct cmd_finish *c, const struct call_end *end, const char *why)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&b, str_c(err_sentence(end->info, end->err)));
	if (why != NULL) buf_addf(&b, "; %s", why);
	c->error_text = j->request.error_text = arena_str(&j->arena, buf_str(&b));
	j->request.error_code = str_c(err_code(end->err));
	buf_release(&b);
}

void relay_call_done(struct relay *r, struct job *j, const struct call_end *end, struct now now)
{
	enum err e = end->err;
	enum fail f = e == OK ? FAIL_NONE : end->fail != FAIL_NONE ? end->fail : fail_of_err(e);
	bool falls_back;
	const char *why;
	if (j->where != RUNNING) return;
	j->call = NULL;
	job_release_slot(r, j);
	job_clear_dirty(j);
	job_called(r, j, f, &end->usage, j->turn.phase == TURN_STREAMING, now);
	struct turn_end how = {.fail = f,
			       .retryable = end->retryable,
			       .retry_after_ms = end->info != NULL ? end->info->retry_after_ms : 0,
			       .has_fallback = f != FAIL_NONE && request_has_fallback(&j->request)};
	enum turn_phase next = turn_ended(&j->turn, &how, r->config.limits, &r->rng, now, &falls_back, &why);
	struct cmd_finish *c = job_finish_new(r, j,
					      next == TURN_DONE      ? FINISH_DONE
					      : next == TURN_BACKOFF ? FINISH_RETRY
								     : FINISH_FAILED);
	c->err = e;
	c->fail = f;
	if (e != OK) set_error(j, c, end, why);
	c->falls_back = falls_back;
	c->provider_id = j->call_id = arena_str(&j->arena, end->request_id);
	j->end_fail = f;
	c->finish_reason = arena_str(&j->arena, end->finish_reason);
	c->agent_session = arena_str(&j->arena, end->agent_session);
	c->session_lost = end->session_lost;
	c->parts = arena_str(&j->arena, end->parts);
	c->context = end->context;
	c->usage = end->usage;
	c->next_try_ms = next == TURN_BACKOFF ? now.wall_ms + (j->turn.retry_boot_ms - now.boot_ms) : 0;
	j->end_err = e;
	relay_submit_finish(r, j, c, now);
	relay_schedule(r, j->provider, now);
}

/* ---- what comes back from the store ----------------------------------------------------------------------------- */

/* The session's queue is paused, and this is how we learn of it. */
static void held_back(struct relay *r, struct job *j, struct now now)
{
	j->where = QUEUED;
	if (j->stop_wanted) {
		end_stopped(r, j, now);
		return;
	}
	lane_hold(j->lane, j->request.session_id);
	lane_place(j);
	lane_settle(r, j->lane);
}

/* Its view is longer than it was taken for: it asks again, now that this is known. */
static void wait_for_room(struct relay *r, struct job *j, struct now now)
{
	j->where = QUEUED;
	lane_place(j);
	if (j->stop_wanted) end_stopped(r, j, now);
	else lane_settle(r, j->lane);
}

/* The command found another picture than ours. Somebody ended the request: who waits for that hears of it. Or it is
 * still open: the sweep brings it back. */
static void lost(struct relay *r, struct job *j, const struct job_info *info)
{
	if (info->request_id.n > 0 && !request_is_open(info->request.state)) {
		take_request(j, &info->request);
		EFFECT(r, state, j);
	}
	job_free(r, j);
}

static void claim_committed(struct relay *r, struct cmd_claim *c, struct now now)
{
	struct job *j;
	HASH_FIND(by_row, r->by_row, &c->row, sizeof c->row, j);
	if (j == NULL || j->where != CLAIMING) return;
	int provider = j->provider;
	if (c->op.err == OK && !c->ended) {
		run(r, j, &c->job, now);
		return;
	}
	job_release_slot(r, j);
	job_unask(j, now);
	if (err_retryable(c->op.err)) {
		j->where = WAITING;
		lane_place(j);
		if (j->stop_wanted) end_stopped(r, j, now);
		else job_set_due(r, j, now.boot_ms + COMMAND_RETRY_MS);
	} else if (c->ended) {
		j->where = QUEUED;
		relay_dropped(r, &c->job, now);
	} else if (c->held) {
		held_back(r, j, now);
	} else if (c->too_long) {
		j->view_tokens = c->view_tokens;
		wait_for_room(r, j, now);
	} else {
		lost(r, j, &c->job);
	}
	relay_schedule(r, provider, now);
}

/* The request waits for its next attempt: what the failed one said is closed, and a new stream will begin. */
static void wait_again(struct relay *r, struct job *j, const struct job_info *info, int64_t due_boot_ms, struct now now)
{
	take_request(j, &info->request);
	find_gate(r, j);
	j->wait_boot_ms = 0;
	for (int k = 0; k < TURN_KINDS; k++) buf_clear(&j->turn.said[k]);
	j->where = info->request.state == RQ_RETRYING ? WAITING : QUEUED;
	lane_place(j);
	if (j->stop_wanted) {
		end_stopped(r, j, now);
		return;
	}
	if (j->where == WAITING) job_set_due(r, j, due_boot_ms);
	EFFECT(r, state, j);
	lane_settle(r, j->lane);
}

static void finish_committed(struct relay *r, struct cmd_finish *c, struct now now)
{
	struct job *j;
	HASH_FIND(by_row, r->by_row, &c->row, sizeof c->row, j);
	if (j == NULL || j->where != ENDING) return;
	int provider = j->provider;
	if (err_retryable(c->op.err)) {
		if (c->as == FINISH_STOPPED) EFFECT(r, state, j);
		j->retry_finish = xmalloc(sizeof *c);
		*j->retry_finish = *c;
		job_set_due(r, j, now.boot_ms + COMMAND_RETRY_MS);
		return;
	}
	if (c->op.err != OK) {
		relay_note(r, "request.superseded", j, c->op.err, STR_NONE);
		lost(r, j, &c->job);
		relay_schedule(r, provider, now);
		return;
	}
	enum request_state state = c->job.request.state;
	if (state == RQ_DONE)
		for (int k = 0; k < TURN_KINDS; k++) relay_publish_upto(r, j, k, j->turn.said[k].n);
	static const char *const types[] = {[RQ_QUEUED] = "request.recovered", [RQ_RETRYING] = "request.retrying",
					    [RQ_DONE] = "request.done",        [RQ_FAILED] = "request.failed",
					    [RQ_STOPPED] = "request.stopped",  [RQ_CLAIMED] = "request.claimed"};
	relay_note(r, types[state], j, c->err, c->error_text);
	if (request_is_open(state)) {
		wait_again(r, j, &c->job, j->turn.retry_boot_ms, now);
	} else {
		take_request(j, &c->job.request);
		EFFECT(r, state, j);
		job_free(r, j);
	}
	relay_schedule(r, provider, now);
}

void relay_drop_op(struct store_op *op)
{
	store_op_release(op);
	if (op->run == cmd_chunks_run) free(CONTAINER_OF(op, struct cmd_chunks, op));
	else if (op->run == cmd_claim_run) free(CONTAINER_OF(op, struct cmd_claim, op));
	else free(CONTAINER_OF(op, struct cmd_finish, op));
}

void relay_committed(struct relay *r, struct store_op *op, struct now now)
{
	if (op->run == cmd_chunks_run) relay_chunks_committed(r, CONTAINER_OF(op, struct cmd_chunks, op), now);
	else if (op->run == cmd_claim_run) claim_committed(r, CONTAINER_OF(op, struct cmd_claim, op), now);
	else finish_committed(r, CONTAINER_OF(op, struct cmd_finish, op), now);
	relay_drop_op(op);
}

/* ---- new work --------------------------------------------------------------------------------------------------- */

static int free_hold(struct relay *r)
{
	size_t i = 0;
	while (i < r->nholds && r->holds[i].gate != NULL) i++;
	if (i == r->nholds) {
		r->nholds = r->nholds * 2 + 8;
		r->holds = xrealloc(r->holds, xmul(r->nholds, sizeof *r->holds));
		memset(r->holds + i, 0, (r->nholds - i) * sizeof *r->holds);
	}
	return (int)i;
}

bool relay_reserve(struct relay *r, struct str conversation_id, struct str model, struct now now, int *out_hold,
		   int64_t *out_tokens)
{
	int p = r->config.provider_of(r->config.ctx, model);
	*out_hold = -1;
	*out_tokens = 0;
	if (p < 0) return false;
	struct slots *s = &r->providers[p];
	if (s->running >= s->most || !TAILQ_EMPTY(&s->turns)) return false;
	/* The row is not known before the commit. Another user's conversation of the same name only costs the shortcut. */
	struct lane *l;
	HASH_FIND(by_name, r->lanes_by_name, conversation_id.p, conversation_id.n, l);
	if (l != NULL) return false;
	struct gate *g = gate_get(r, model, p);
	struct hold h = {.gate = g};
	if (!gate_reserve(r, g, &h.charge, now)) {
		gate_put(r, g);
		return false;
	}
	*out_hold = free_hold(r);
	*out_tokens = gate_view_tokens(g, &h.charge);
	r->holds[*out_hold] = h;
	s->running++;
	return true;
}

/* Ends a hold; its slot and its charge are the caller's. */
static struct hold take_hold(struct relay *r, int hold)
{
	struct hold h = r->holds[hold];
	ASSERT(h.gate != NULL);
	r->holds[hold].gate = NULL;
	gate_put(r, h.gate);
	return h;
}

void relay_unreserve(struct relay *r, int hold, struct now now)
{
	struct hold h = take_hold(r, hold);
	gate_undo(h.gate, &h.charge, now);
	h.gate->slots->running--;
	relay_schedule(r, (int)(h.gate->slots - r->providers), now);
}

void relay_admit(struct relay *r, const struct job_info *info, int hold, struct now now)
{
	struct job *j;
	HASH_FIND(by_row, r->by_row, &info->row, sizeof info->row, j);
	if (j == NULL && request_is_open(info->request.state)) {
		j = job_new(r, info, now);
		relay_note(r, "request.queued", j, OK, STR_NONE);
		if (info->request.state == RQ_CLAIMED && hold >= 0) {
			struct hold h = take_hold(r, hold);
			ASSERT(h.gate == j->gate);
			j->charge = h.charge;
			j->holds_slot = true;
			run(r, j, info, now);
			return;
		}
		j->where = QUEUED;
		EFFECT(r, state, j);
		lane_settle(r, j->lane);
	}
	if (hold >= 0) relay_unreserve(r, hold, now);
	if (j != NULL) relay_schedule(r, j->provider, now);
}

void relay_dropped(struct relay *r, const struct job_info *info, struct now now)
{
	struct job *j;
	HASH_FIND(by_row, r->by_row, &info->row, sizeof info->row, j);
	if (j == NULL || j->where == RUNNING || j->where == ENDING) return;
	bool is_claiming = j->where == CLAIMING; /* its command comes back refused and ends the job */
	int provider = j->provider;
	take_request(j, &info->request);
	if (info->request.state == RQ_FAILED) relay_note(r, "request.failed", j, ERR_BUDGET, j->request.error_text);
	else relay_note(r, "request.stopped", j, OK, STR_NONE);
	EFFECT(r, state, j);
	if (is_claiming) return;
	job_free(r, j);
	relay_schedule(r, provider, now);
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

int64_t relay_next_ms(const struct relay *r) { return r->next_due_ms; }

static void job_due(struct relay *r, struct job *j, struct now now)
{
	job_clear_due(r, j);
	if (j->where == ENDING) {
		struct cmd_finish *c = j->retry_finish;
		j->retry_finish = NULL;
		relay_submit_finish(r, j, c, now);
	} else if (j->where == WAITING) {
		j->where = QUEUED;
		lane_settle(r, j->lane);
		relay_schedule(r, j->provider, now);
	}
}

void relay_tick(struct relay *r, struct now now)
{
	if (now.boot_ms >= r->next_due_ms) {
		r->next_due_ms = INT64_MAX;
		struct job *j;
		while ((j = relay_first_due(r)) != NULL && j->due_boot_ms <= now.boot_ms) job_due(r, j, now);
		if (j != NULL) r->next_due_ms = MIN(r->next_due_ms, j->due_boot_ms);
		relay_open_gates(r, now);
	}
	relay_pump(r, now);
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

struct job *relay_find(struct relay *r, struct str id)
{
	struct job *j;
	HASH_FIND(by_id, r->by_id, id.p, id.n, j);
	return j;
}

void relay_counts(const struct relay *r, struct relay_counts *out)
{
	*out = (struct relay_counts){0};
	for (struct job *j = r->by_id; j != NULL; j = j->by_id.next) {
		out->open++;
		out->running += j->where == RUNNING;
		out->waiting += j->where == QUEUED || j->where == CLAIMING;
		out->retrying += j->where == WAITING;
		out->held += (j->where == QUEUED || j->where == WAITING) && lane_holds(j->lane, j);
		out->streams += j->where == RUNNING && j->turn.phase == TURN_STREAMING;
	}
}

int64_t relay_running_on(const struct relay *r, int provider) { return r->providers[provider].running; }

void relay_each_running(struct relay *r, int64_t conv, void (*fn)(void *ctx, struct job *j), void *ctx)
{
	struct lane *l;
	HASH_FIND(hh, r->lanes, &conv, sizeof conv, l);
	if (l == NULL) return;
	struct job *j;
	TAILQ_FOREACH (j, &l->jobs, in_lane)
		if (j->where == RUNNING || j->where == ENDING) fn(ctx, j);
}

int64_t relay_first_chunk(const struct relay *r)
{
	int64_t first = r->last_chunk + 1;
	for (struct job *j = r->by_id; j != NULL; j = j->by_id.next)
		if ((j->where == RUNNING || j->where == ENDING) && j->first_chunk != 0)
			first = MIN(first, j->first_chunk);
	return first;
}

struct str job_request_id(const struct job *j) { return j->id; }
int64_t job_user(const struct job *j) { return j->user; }
int64_t job_conv(const struct job *j) { return j->conv; }
int64_t job_row(const struct job *j) { return j->row; }
const struct request *job_request(const struct job *j) { return &j->request; }
const struct turn *job_turn(const struct job *j) { return &j->turn; }
int job_provider(const struct job *j) { return j->provider; }
enum fail job_fail(const struct job *j) { return j->end_fail; }
struct str job_call_id(const struct job *j) { return j->call_id; }

struct str job_state_name(const struct job *j)
{
	if (j->stop_wanted && j->where == ENDING) return request_state_name(RQ_STOPPED);
	if (j->where == RUNNING && j->turn.phase == TURN_STREAMING) return STR("streaming");
	return request_state_name(j->request.state);
}

int64_t job_shown(const struct job *j, enum stream_kind kind) { return (int64_t)j->shown[kind]; }

int64_t job_retry_wall_ms(const struct job *j) { return j->request.state == RQ_RETRYING ? j->request.next_try_ms : 0; }
