/* The steps of a request after it was sent, on the writer thread. See commands.h for what each promises. */
#include "relay/commands.h"

#include "base/clock.h"
#include "device/session.h"
#include "provider/cost.h"
#include "provider/tokens.h"
#include "relay/permission.h"
#include "relay/view_load.h"

enum err request_load(struct txn *t, const struct record *r, struct job_info *job)
{
	struct zone_info zi;
	struct arena *arena = txn_arena(t);
	enum err e = txn_zone_info(t, r->zone, &zi);
	if (e != OK) return e;
	*job = (struct job_info){.request_id = arena_str(arena, r->name),
				 .row = r->row,
				 .conv = r->conv,
				 .zone = r->zone,
				 .user = zi.user};
	return request_read(&job->request, r, arena);
}

static enum err job_put(struct txn *t, struct record *r, struct job_info *job)
{
	request_write(&job->request, r, txn_arena(t));
	return txn_put(t, r);
}

static enum err note_claimed(void *ctx, const struct record *r)
{
	if (r->state == RQ_CLAIMED) *(bool *)ctx = true;
	return OK;
}

/* How the request's session stands. A killed one has no queue to hold anything. */
static enum err look_at_session(struct txn *t, const struct job_info *job, struct session *s)
{
	struct record r;
	enum err e = session_find(t, job->user, job->request.session_id, &r, s, NULL);
	if (e == ERR_NOT_FOUND) *s = (struct session){.automatic = STR_NONE};
	return e == ERR_NOT_FOUND ? OK : e;
}

static enum err stop_unclaimed(struct txn *t, struct cmd_claim *c, struct record *r)
{
	struct request *q = &c->job.request;
	q->state = RQ_STOPPED;
	q->stop_requested = true;
	q->last_completed_ms = txn_now_ms(t);
	c->ended = true;
	return job_put(t, r, &c->job);
}

/* The budget was spent while it waited. */
static enum err fail_unclaimed(struct txn *t, struct cmd_claim *c, struct record *r)
{
	struct request *q = &c->job.request;
	q->state = RQ_FAILED;
	q->last_completed_ms = txn_now_ms(t);
	q->error_code = str_c(err_code(ERR_BUDGET));
	q->error_text = arena_str(txn_arena(t), str_c(err_sentence(&c->op.info, ERR_BUDGET)));
	c->ended = true;
	return job_put(t, r, &c->job);
}

enum err cmd_claim_run(struct txn *t, struct store_op *op)
{
	struct cmd_claim *c = CONTAINER_OF(op, struct cmd_claim, op);
	struct record r;
	bool running = false;
	struct session session;
	struct overspent spent;
	c->held = c->ended = c->too_long = false;
	enum err e = txn_get_row(t, c->row, &r);
	if (e == OK) e = request_load(t, &r, &c->job);
	if (e != OK) return e;
	struct request *q = &c->job.request;
	if (q->state != RQ_QUEUED && q->state != RQ_RETRYING)
		return err_set(&op->info, ERR_BAD_STATE, "the request is %.*s", STR_ARG(request_state_name(q->state)));
	e = look_at_session(t, &c->job, &session);
	if (e != OK) return e;
	if (session.is_killed || q->stop_requested) return stop_unclaimed(t, c, &r);
	e = txn_open_requests(t, r.zone, r.conv, note_claimed, &running);
	if (e != OK) return e;
	if (running) return err_set(&op->info, ERR_BAD_STATE, "another request of this session is running");
	c->held = session.queue_paused;
	if (c->held) return err_set(&op->info, ERR_BAD_STATE, "the queue of this session is paused");
	e = budget_check(t, c->job.user, q->serving, c->budgets, &spent, &op->info);
	if (e == ERR_BUDGET) return fail_unclaimed(t, c, &r);
	if (e == OK) e = view_load(t, c->context_bytes, &c->job);
	if (e != OK) return e;
	c->view_tokens = view_tokens(&c->job, STR_NONE);
	c->too_long = c->most_tokens > 0 && c->view_tokens > c->most_tokens;
	if (c->too_long) return err_set(&op->info, ERR_BAD_STATE, "the limits leave no room for this request now");
	q->state = RQ_CLAIMED;
	q->attempt++;
	q->owner = c->incarnation;
	q->last_started_ms = txn_now_ms(t);
	return job_put(t, &r, &c->job);
}

/* A message made by the daemon: the reply, or what an attempt had said when it was stopped or gave up. */
static enum err put_answer(struct txn *t, const struct cmd_finish *c, struct str name, struct str status)
{
	const struct request *q = &c->job.request;
	struct arena *arena = txn_arena(t);
	struct record m = {.zone = c->job.zone, .type = RT_MESSAGE, .name = name, .conv = c->job.conv};
	enum err e = txn_last_ord(t, m.zone, m.conv, &m.ord);
	if (e != OK) return e;
	m.ord++;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "conversationId", q->conversation_id);
	jw_kstr(&w, "sessionId", q->session_id);
	jw_kint(&w, "ord", m.ord);
	jw_kstr(&w, "role", STR("assistant"));
	jw_kstr(&w, "text", c->text);
	if (c->parts.n > 0) jw_kraw(&w, "parts", c->parts);
	jw_kstr(&w, "parent", q->message_id);
	jw_kstr(&w, "requestId", c->job.request_id);
	jw_kint(&w, "attempt", q->attempt);
	jw_kstr(&w, "model", q->serving);
	if (c->finish_reason.n > 0) jw_kstr(&w, "finishReason", c->finish_reason);
	jw_kstr(&w, "status", status);
	jw_obj_end(&w);
	m.fields = arena_str(arena, buf_str(&b));
	buf_release(&b);
	return txn_put(t, &m);
}

/* What is left of an attempt that did not become the reply: a message a person can read, under a name of its own. */
static enum err keep_partial(struct txn *t, const struct cmd_finish *c, struct str status)
{
	char label[32];
	if (c->text.n == 0) return OK;
	struct buf b = BUF_INIT(sizeof label);
	buf_addf(&b, "partial.%lld", (long long)c->job.request.attempt);
	(void)str_copy(buf_str(&b), label, sizeof label);
	buf_release(&b);
	struct id id = id_derive(c->job.request_id, label);
	struct record taken;
	enum err e = txn_get(t, c->job.zone, RT_MESSAGE, id_str(&id), &taken);
	/* Taken by a message of the person's own: the closed stream keeps the text all the same. */
	return e == ERR_NOT_FOUND ? put_answer(t, c, id_str(&id), status) : e;
}

static enum err close_stream(struct txn *t, const struct cmd_finish *c, enum stream_kind kind, struct str status)
{
	struct str text = kind == STREAM_TEXT ? c->text : c->thinking;
	if (text.n == 0) return OK;
	return txn_stream_close(t, &(struct stream_row){.request = c->row,
							.attempt = c->job.request.attempt,
							.kind = kind,
							.status = status,
							.text = text});
}

static void set_error(struct request *q, const struct cmd_finish *c)
{
	q->error_code = c->err == OK ? STR("") : str_c(err_code(c->err));
	q->error_text = c->err == OK ? STR("") : c->error_text;
}

/* One row per way to end: state, the attempt's outcome, the closed stream's status, and the status of the message that
 * keeps partial text ("" keeps none: the stream row does). */
static const struct ending {
	enum request_state state;
	struct str outcome, stream, partial;
} endings[] = {
	[FINISH_DONE] = {RQ_DONE, STR_INIT("done"), STR_INIT("done"), STR_INIT("")},
	[FINISH_RETRY] = {RQ_RETRYING, STR_INIT("failed"), STR_INIT("superseded"), STR_INIT("")},
	[FINISH_FAILED] = {RQ_FAILED, STR_INIT("failed"), STR_INIT("failed"), STR_INIT("failed")},
	[FINISH_STOPPED] = {RQ_STOPPED, STR_INIT("stopped"), STR_INIT("stopped"), STR_INIT("interrupted")},
	[FINISH_EXPIRED] = {RQ_FAILED, STR_INIT("failed"), STR_INIT(""), STR_INIT("")},
	[FINISH_RECOVER] = {RQ_QUEUED, STR_INIT("interrupted"), STR_INIT("superseded"), STR_INIT("")},
};

/* The reply's name derives from the request's, so it is free, unless the person's own device took it for a message. Then
 * the next name in line is used: an answer is never lost to a name. */
static enum err free_reply_name(struct txn *t, struct cmd_finish *c)
{
	struct request *q = &c->job.request;
	struct record taken;
	enum err e;
	while ((e = txn_get(t, c->job.zone, RT_MESSAGE, q->reply_id, &taken)) == OK) {
		struct id next = id_derive(q->reply_id, "reply");
		q->reply_id = arena_str(txn_arena(t), id_str(&next));
	}
	return e == ERR_NOT_FOUND ? OK : e;
}

/* How it really ends: a killed session takes nothing any more, and what a person stopped is not tried again. */
static enum finish_as judge_end(struct cmd_finish *c, bool is_killed)
{
	struct request *q = &c->job.request;
	bool goes_on = c->as == FINISH_RECOVER || c->as == FINISH_RETRY || c->falls_back;
	if (is_killed || (goes_on && q->stop_requested)) return FINISH_STOPPED;
	if (c->as == FINISH_RETRY) q->base = c->base;
	if (c->falls_back) q->base = q->attempt;
	if (goes_on && q->attempt - q->base >= c->max_attempts) return FINISH_FAILED;
	return c->as == FINISH_EXPIRED && c->falls_back ? FINISH_RETRY : c->as;
}

/* The session keeps what the agent that answered last calls it. When somebody else answered, that agent has missed
 * something, and is told the whole conversation the next time. */
static enum err keep_agent(struct txn *t, const struct cmd_finish *c, const struct session *s)
{
	struct record r;
	struct session now;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	struct str provider, name;
	if (model_split(c->job.request.serving, &provider, &name) && c->agent_session.n > 0) {
		jw_obj(&w);
		jw_key_str(&w, provider);
		jw_str(&w, c->agent_session);
		jw_obj_end(&w);
	}
	enum err e = OK;
	if (!str_eq(buf_str(&b), s->agents)) {
		e = session_find(t, c->job.user, c->job.request.session_id, &r, &now, NULL);
		now.agents = b.n > 0 ? arena_str(txn_arena(t), buf_str(&b)) : STR_NONE;
		if (e == OK) session_write(&now, &r, txn_arena(t));
		if (e == OK) e = txn_put(t, &r);
	}
	buf_release(&b);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* Of an attempt whose call nobody saw the end of: its daemon died, or lost it. What it said went to the provider's account,
 * and so did the view that it was said to, which is made once more. One that said nothing is taken for free. */
static enum err estimate_usage(struct txn *t, struct cmd_finish *c)
{
	const struct request *q = &c->job.request;
	struct call_usage *u = &c->usage;
	bool is_known = u->input_tokens >= 0 || u->output_tokens >= 0 || u->cost_ticks >= 0;
	if (is_known || c->text.n + c->thinking.n == 0) return OK;
	struct job_info view = c->job;
	enum err e = view_load(t, c->context_bytes, &view);
	if (e != OK) return e;
	const struct model_info *about = c->book != NULL ? c->book->about(c->book->ctx, q->serving) : NULL;
	struct str family = about != NULL ? about->family : STR_NONE;
	int64_t input = view_tokens(&view, family);
	if (about != NULL && about->window > 0) input = MIN(input, about->window);
	*u = (struct call_usage){.input_tokens = input,
				 .output_tokens = tokens_text(family, c->text) + tokens_text(family, c->thinking),
				 .thinking_tokens = -1,
				 .cache_read_tokens = -1,
				 .cache_write_tokens = -1,
				 .cost_ticks = -1,
				 .estimated = true};
	u->cost_ticks = cost_of(u, model_price(about, txn_now_ms(t)));
	return OK;
}

/* What the attempt cost. */
static enum err enter_usage(struct txn *t, struct cmd_finish *c)
{
	struct request *q = &c->job.request;
	const struct call_usage *u = &c->usage;
	if (u->input_tokens < 0 && u->output_tokens < 0 && u->cost_ticks < 0) return OK;
	request_add_usage(q, u);
	return budget_spend(t, c->job.user, q->serving, u);
}

static enum err finish(struct txn *t, struct cmd_finish *c, struct record *r)
{
	struct request *q = &c->job.request;
	struct session session;
	bool was_running = q->state == RQ_CLAIMED;
	enum err e = look_at_session(t, &c->job, &session);
	enum finish_as as = judge_end(c, session.is_killed);
	const struct ending *end = &endings[as];
	if (e == OK && was_running) e = estimate_usage(t, c);
	if (e == OK && was_running) {
		struct attempt_end a = {.times = c->times,
					.outcome = end->outcome,
					.err = c->err,
					.fail = c->fail,
					.error_text = c->error_text,
					.provider_id = c->provider_id,
					.context = c->context,
					.waited_for = c->waited_for,
					.waited_ms = c->waited_ms,
					.session_lost = c->session_lost,
					.usage = c->usage,
					.bytes = (int64_t)c->text.n};
		request_add_attempt(q, &a, txn_arena(t));
		e = enter_usage(t, c);
		if (e == OK && as == FINISH_DONE) e = free_reply_name(t, c);
		if (e == OK && as == FINISH_DONE) e = put_answer(t, c, q->reply_id, STR("complete"));
		if (e == OK && end->partial.n > 0 && !session.is_killed) e = keep_partial(t, c, end->partial);
		/* A reply's text is in its message; every other text keeps its own stream. */
		if (e == OK && as != FINISH_DONE) e = close_stream(t, c, STREAM_TEXT, end->stream);
		if (e == OK) e = close_stream(t, c, STREAM_THINKING, end->stream);
		if (e == OK && as == FINISH_DONE) e = keep_agent(t, c, &session);
		if (e == OK) e = permissions_expire(t, &c->job);
	}
	if (e != OK) return e;
	q->state = end->state;
	q->stop_requested = as == FINISH_STOPPED;
	q->next_try_ms = c->next_try_ms;
	q->last_completed_ms = request_is_open(q->state) ? q->last_completed_ms : txn_now_ms(t);
	if (c->failing_ms != 0) q->failing_ms = c->failing_ms;
	if (as == FINISH_RETRY && c->falls_back) request_fall_back(q, txn_arena(t));
	set_error(q, c);
	return job_put(t, r, &c->job);
}

enum err cmd_finish_run(struct txn *t, struct store_op *op)
{
	struct cmd_finish *c = CONTAINER_OF(op, struct cmd_finish, op);
	struct record r;
	enum err e = txn_get_row(t, c->row, &r);
	if (e == OK) e = request_load(t, &r, &c->job);
	if (e != OK) return e;
	const struct request *q = &c->job.request;
	bool fence = q->attempt == c->attempt && (q->state != RQ_CLAIMED || q->owner == c->incarnation);
	bool is_claimed = q->state == RQ_CLAIMED, fits = is_claimed;
	if (c->as == FINISH_STOPPED) fits = request_is_open(q->state);
	if (c->as == FINISH_EXPIRED) fits = request_is_open(q->state) && !is_claimed;
	if (c->as == FINISH_RECOVER) fence = q->owner != c->incarnation && q->attempt == c->attempt;
	if (!fence || !fits)
		return err_set(&op->info, ERR_SUPERSEDED, "the request is %.*s at attempt %lld",
			       STR_ARG(request_state_name(q->state)), (long long)q->attempt);
	return finish(t, c, &r);
}

/* From the device that asks, if a device does: one that came after the session was cleared. */
static bool is_hidden(struct txn *t, uint32_t zone, struct str session_id, enum err *e)
{
	const struct principal *who;
	bool hidden = false;
	if (txn_actor(t, &who) == OK) *e = session_is_hidden(t, zone, session_id, who->id, &hidden);
	return hidden;
}

enum err request_find(struct txn *t, int64_t user, struct str id, struct record *r, struct job_info *job,
		      struct errinfo *info)
{
	uint32_t zone;
	enum err e = txn_zone(t, user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(t, zone, RT_REQUEST, id, r);
	if (e == OK && r->deleted) e = ERR_NOT_FOUND;
	if (e == OK) e = request_load(t, r, job);
	if (e == OK && is_hidden(t, r->zone, job->request.session_id, &e)) e = ERR_NOT_FOUND;
	return e == ERR_NOT_FOUND ? err_set(info, e, "there is no request %.*s", STR_ARG(id)) : e;
}

enum err cmd_retry_run(struct txn *t, struct store_op *op)
{
	struct cmd_retry *c = CONTAINER_OF(op, struct cmd_retry, op);
	struct record r = {0};
	enum err e = request_find(t, c->user, c->request_id, &r, &c->job, &op->info);
	struct session session;
	if (e == OK) e = look_at_session(t, &c->job, &session);
	if (e != OK) return e;
	if (session.is_killed) {
		c->next_id = session.next_id;
		return session_newest(t, r.conv, &c->next_id) == OK ? ERR_SESSION_KILLED : ERR_CORRUPT;
	}
	struct request *q = &c->job.request;
	if (q->state != RQ_FAILED && q->state != RQ_STOPPED)
		return err_set(&op->info, ERR_BAD_STATE,
			       "only a failed or stopped request can be tried again; this one is %.*s",
			       STR_ARG(request_state_name(q->state)));
	q->state = RQ_QUEUED;
	q->base = q->attempt;
	q->step = q->failing_ms = 0;
	q->serving = q->model;
	q->stop_requested = false;
	q->queued_ms = txn_now_ms(t);
	q->error_code = q->error_text = STR("");
	return job_put(t, &r, &c->job);
}

enum err cmd_chunks_run(struct txn *t, struct store_op *op)
{
	struct cmd_chunks *c = CONTAINER_OF(op, struct cmd_chunks, op);
	enum err e = OK;
	for (size_t i = 0; i < c->n && e == OK; i++) e = txn_chunk_add(t, &c->list[i]);
	return e;
}

enum err cmd_request_get_run(struct txn *t, struct store_op *op)
{
	struct cmd_request_get *c = CONTAINER_OF(op, struct cmd_request_get, op);
	return request_find(t, c->user, c->request_id, &c->rec, &c->job, &op->info);
}

struct collect {
	struct txn *t;
	struct cmd_open_requests *c;
};

static enum err collect_open(void *ctx, const struct record *r)
{
	struct collect *k = ctx;
	struct cmd_open_requests *c = k->c;
	if (c->n == c->cap) {
		c->cap = MAX(c->cap * 2, (size_t)32);
		struct job_info *more = arena_alloc(&c->op.arena, xmul(c->cap, sizeof *more));
		if (c->n > 0) memcpy(more, c->list, c->n * sizeof *more);
		c->list = more;
	}
	enum err e = request_load(k->t, r, &c->list[c->n]);
	if (e == OK) c->n++;
	return e;
}

enum err cmd_open_requests_run(struct txn *t, struct store_op *op)
{
	struct collect k = {t, CONTAINER_OF(op, struct cmd_open_requests, op)};
	k.c->n = 0;
	return txn_open_requests(t, 0, 0, collect_open, &k);
}
