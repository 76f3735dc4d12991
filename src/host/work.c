#include "host/work.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "host/fault.h"
#include "host/inquiry.h"

#define SWEEP_MS 1000
#define WATCH_MS 10000
#define TRIM_ROWS 4096 /* trim the chunk log when this many rows have become useless */
#define COMPACT_MS 60000
#define BEHIND_WINDOW_US 2000

struct work {
	struct work_options o;
	struct relay *relay;
	struct inquiries inquiries; /* what agents ask people */
	uv_timer_t due, sweep, watch, compact;
	uv_prepare_t pump;
	int nhandles;          /* still to close */
	int64_t armed_ms;      /* when `due` fires, INT64_MAX off */
	int64_t swept_boot_ms; /* when the last sweep's answer came */
	struct cmd_open_requests *sweeping;
	int64_t trimmed; /* chunks below this id are gone */
	bool stopping;
	bool is_behind; /* more than half of the writer's queue is full */
	bool freeze_nudge, freeze_sweep, freeze_worker, freeze_stream;
	struct store_op *frozen_op; /* the one whose answer was lost; the relay still waits for it */
	void (*ready)(void *ctx, enum err e);
	void *ready_ctx;
};

/* A provider call and the job it is for. */
struct running {
	struct work *work;
	struct job *job;
	struct provider_call *call;
	bool frozen;
};

struct now work_now(const struct work *w)
{
	(void)w;
	return (struct now){clock_wall_ms(), clock_boot_ms()};
}

struct relay *work_relay(struct work *w) { return w->relay; }

/* ---- effects ---------------------------------------------------------------------------------------------------- */

static void op_done(struct store_op *op);

static void submit(void *ctx, struct store_op *op)
{
	op->done = op_done;
	op->ctx = ctx;
	store_submit(((struct work *)ctx)->o.store, op);
}

static void on_connected(void *ctx)
{
	struct running *r = ctx;
	if (!r->frozen) relay_call_connected(r->work->relay, r->job, work_now(r->work));
}

static void on_text(void *ctx, enum stream_kind kind, struct str text)
{
	struct running *r = ctx;
	if (!r->frozen) relay_call_text(r->work->relay, r->job, kind, text, work_now(r->work));
}

static void on_done(void *ctx, const struct call_outcome *o)
{
	struct running *r = ctx;
	inquiries_forget(&r->work->inquiries, r->call);
	r->call = NULL;
	if (r->frozen) return;
	struct call_end end = {.err = o->err,
			       .fail = o->fail,
			       .retryable = o->retryable,
			       .info = &o->info,
			       .usage = o->usage,
			       .finish_reason = o->finish_reason,
			       .request_id = o->request_id,
			       .parts = o->parts,
			       .agent_session = o->agent_session,
			       .session_lost = o->session_lost,
			       .context = o->context};
	relay_call_done(r->work->relay, r->job, &end, work_now(r->work));
	work_kick(r->work);
	free(r);
}

static void on_rates(void *ctx, const struct rates *seen)
{
	struct running *r = ctx;
	if (!r->frozen) relay_call_rates(r->work->relay, r->job, seen, work_now(r->work));
}

static void on_asked(void *ctx, const struct call_question *q)
{
	struct running *r = ctx;
	if (!r->frozen) inquiry_open(&r->work->inquiries, r->call, q, job_row(r->job), job_request(r->job)->attempt);
}

static void on_withdrawn(void *ctx, struct str question_id)
{
	struct running *r = ctx;
	inquiry_withdraw(&r->work->inquiries, r->call, question_id);
}

void work_permission_answered(struct work *w, struct str permission_id, bool allow, struct str message)
{
	inquiry_answered(&w->inquiries, permission_id, allow, message);
}

/* Ids of conversations are their user's own. */
static struct str conversation_name(const struct job *j, struct buf *out)
{
	buf_addf(out, "%lld/%.*s", (long long)job_user(j), STR_ARG(job_request(j)->conversation_id));
	return buf_str(out);
}

static void *call_start(void *ctx, struct job *j, const struct job_info *view)
{
	static const struct call_hooks hooks = {.connected = on_connected,
						.rates = on_rates,
						.text = on_text,
						.asked = on_asked,
						.withdrawn = on_withdrawn,
						.done = on_done};
	struct work *w = ctx;
	struct running *r = xcalloc(1, sizeof *r);
	const struct request *q = job_request(j);
	struct buf name = BUF_INIT(BUF_NO_LIMIT);
	struct prompt_message *list = xmalloc(xmul(MAX(view->nmessages, (size_t)1), sizeof *list));
	for (size_t i = 0; i < view->nmessages; i++)
		list[i] = (struct prompt_message){talk_role_name(view->messages[i].role), view->messages[i].text,
						  view->messages[i].parts};
	*r = (struct running){.work = w, .job = j, .frozen = w->freeze_worker};
	w->freeze_worker = false;
	struct call_spec spec = {.model = q->serving,
				 .messages = list,
				 .nmessages = view->nmessages,
				 .is_cut = view->is_cut,
				 .params = q->params,
				 .data_dir = w->o.data_dir,
				 .seed = hash64(job_request_id(j), 0),
				 .attempt = q->attempt,
				 .conversation = conversation_name(j, &name),
				 .agent_sessions = view->agents};
	r->call = provider_call_start(w->o.providers, &spec, &hooks, r);
	buf_release(&name);
	free(list);
	return r;
}

static void call_cancel(void *ctx, void *call)
{
	(void)ctx;
	struct running *r = call;
	if (r->call != NULL) {
		inquiries_forget(&r->work->inquiries, r->call);
		provider_call_cancel(r->call);
	}
	free(r);
}

static void call_used(void *ctx, void *call, struct call_usage *out)
{
	(void)ctx;
	struct running *r = call;
	*out = USAGE_UNKNOWN;
	if (r->call != NULL) provider_call_used(r->call, out);
}

static void call_pause(void *ctx, void *call, bool paused)
{
	(void)ctx;
	struct running *r = call;
	if (r->call != NULL) provider_call_pause(r->call, paused);
}

static void publish(void *ctx, const struct delta *d)
{
	struct work *w = ctx;
	w->o.publish(w->o.ctx, d);
}

static void state(void *ctx, struct job *j)
{
	struct work *w = ctx;
	w->o.state(w->o.ctx, j);
}

static void event(void *ctx, const char *type, const struct job *j, enum err e, struct str detail)
{
	struct work *w = ctx;
	if (w->o.journal == NULL) return;
	if (j == NULL) {
		journal_event(w->o.journal, type, EVS("error", detail));
		return;
	}
	const struct request *q = job_request(j);
	const struct turn *t = job_turn(j);
	enum fail fail = job_fail(j);
	struct str call_id = job_call_id(j);
	journal_event(w->o.journal, type, EVS("requestId", job_request_id(j)),
		      EVS("conversationId", q->conversation_id), EVI("attempt", q->attempt), EVS("model", q->serving),
		      EVI("textBytes", t->said[TURN_TEXT].n), EVS("code", e == OK ? STR_NONE : str_c(err_code(e))),
		      EVS("error", detail.n > 0 ? detail : STR_NONE),
		      EVS("class", e == OK || fail == FAIL_NONE ? STR_NONE : str_c(fail_name(fail))),
		      EVS("providerRequestId", call_id.n > 0 ? call_id : STR_NONE));
}

static const struct relay_effects effects = {
	.submit = submit,
	.call_start = call_start,
	.call_cancel = call_cancel,
	.call_pause = call_pause,
	.call_used = call_used,
	.publish = publish,
	.state = state,
	.event = event,
};

static int provider_of(void *ctx, struct str model)
{
	struct work *w = ctx;
	return providers_index(w->o.providers, model);
}

static void limits_of(void *ctx, struct str model, struct rate_limits *configured, struct rate_limits *usual)
{
	struct work *w = ctx;
	providers_limits(w->o.providers, model, configured, usual);
}

/* ---- timers ----------------------------------------------------------------------------------------------------- */

static void on_due(uv_timer_t *t)
{
	struct work *w = t->data;
	w->armed_ms = INT64_MAX;
	relay_tick(w->relay, work_now(w));
	work_kick(w);
}

void work_kick(struct work *w)
{
	int64_t next = relay_next_ms(w->relay);
	if (w->stopping || next >= w->armed_ms) return;
	int64_t wait = next - clock_boot_ms();
	w->armed_ms = next;
	uv_update_time(w->o.loop);
	uv_timer_start(&w->due, on_due, wait > 0 ? (uint64_t)wait : 0, 0);
}

/* Past half of the writer's queue the disk is what everybody waits for: streams are written in larger pieces, and a commit
 * waits for company. */
static void weigh_store(struct work *w)
{
	bool behind = (int64_t)store_queue_bytes(w->o.store) > w->o.limits->writer_queue_bytes / 2;
	if (behind == w->is_behind) return;
	w->is_behind = behind;
	relay_behind(w->relay, behind);
	store_set_window_us(w->o.store, behind ? BEHIND_WINDOW_US : 0);
}

static void on_prepare(uv_prepare_t *p)
{
	struct work *w = p->data;
	weigh_store(w);
	if (relay_pump_due(w->relay)) {
		relay_pump(w->relay, work_now(w));
		work_kick(w);
	}
}

static void op_done(struct store_op *op)
{
	struct work *w = op->ctx;
	if (w->stopping) {
		/* Open requests are taken up at the next start; what this op wrote is on disk or is not. */
		relay_drop_op(op);
		return;
	}
	if (op->run == cmd_chunks_run && w->freeze_stream) {
		w->freeze_stream = false;
		w->frozen_op = op;
		return;
	}
	relay_committed(w->relay, op, work_now(w));
	work_kick(w);
}

static void sweep_done(struct store_op *op)
{
	struct work *w = op->ctx;
	struct cmd_open_requests *c = CONTAINER_OF(op, struct cmd_open_requests, op);
	bool lost = w->freeze_sweep || w->sweeping != c;
	w->freeze_sweep = false;
	if (!lost) {
		w->sweeping = NULL;
		w->swept_boot_ms = clock_boot_ms();
		if (op->err == OK && !w->stopping) {
			size_t found = relay_sweep(w->relay, c->list, c->n, work_now(w));
			if (found > 0) log_warn("the sweep found %zu requests that were not being worked on", found);
			work_kick(w);
		}
	}
	store_op_release(op);
	free(c);
}

static void start_sweep(struct work *w)
{
	struct cmd_open_requests *c = xcalloc(1, sizeof *c);
	store_op_init(&c->op, cmd_open_requests_run, sweep_done, 0, clock_wall_ms());
	c->op.ctx = w;
	w->sweeping = c;
	store_read(w->o.store, &c->op);
}

static void on_sweep(uv_timer_t *t)
{
	struct work *w = t->data;
	if (w->sweeping == NULL) start_sweep(w);
}

struct trim {
	struct store_op op;
	int64_t below;
};

static enum err trim_run(struct txn *t, struct store_op *op)
{
	return txn_chunks_trim(t, CONTAINER_OF(op, struct trim, op)->below);
}

static void trim_done(struct store_op *op)
{
	struct work *w = op->ctx;
	struct trim *c = CONTAINER_OF(op, struct trim, op);
	if (op->err == OK) w->trimmed = MAX(w->trimmed, c->below);
	store_op_release(op);
	free(c);
}

static void trim_chunks(struct work *w, int64_t at_least)
{
	int64_t below = relay_first_chunk(w->relay);
	if (below - w->trimmed < at_least) return;
	struct trim *c = xcalloc(1, sizeof *c);
	c->below = below;
	store_op_init(&c->op, trim_run, trim_done, 0, clock_wall_ms());
	c->op.ctx = w;
	store_submit(w->o.store, &c->op);
}

static void on_watch(uv_timer_t *t)
{
	struct work *w = t->data;
	int64_t now = clock_boot_ms();
	if (now - w->swept_boot_ms >= WATCH_MS) {
		log_warn("the sweep has not answered for %lld ms; starting another",
			 (long long)(now - w->swept_boot_ms));
		if (w->o.journal != NULL)
			journal_event(w->o.journal, "watchdog.sweep", EVI("lateMs", now - w->swept_boot_ms));
		start_sweep(w);
	}
	size_t touched = relay_watch(w->relay, work_now(w));
	if (touched > 0) log_warn("the watchdog recovered %zu stuck pieces of work", touched);
	trim_chunks(w, 1);
	work_kick(w);
	if (w->o.watched != NULL) w->o.watched(w->o.ctx);
}

/* A step a command, so that others come in between. */
struct compacting {
	struct store_op op;
	struct store *store;
	bool more;
};

static enum err compact_run(struct txn *t, struct store_op *op)
{
	return txn_compact(t, op->now_ms, &CONTAINER_OF(op, struct compacting, op)->more);
}

static void compact_done(struct store_op *op)
{
	struct compacting *c = CONTAINER_OF(op, struct compacting, op);
	if (op->err != OK) log_warn("compaction: %s", err_sentence(&op->info, op->err));
	bool go_on = op->err == OK && c->more;
	store_op_release(op);
	if (go_on) store_submit(c->store, op);
	else free(c);
}

static void on_compact(uv_timer_t *t)
{
	struct work *w = t->data;
	struct compacting *c = xcalloc(1, sizeof *c);
	c->store = w->o.store;
	store_op_init(&c->op, compact_run, compact_done, 0, clock_wall_ms());
	store_submit(c->store, &c->op);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

struct work *work_new(const struct work_options *o)
{
	struct work *w = xcalloc(1, sizeof *w);
	size_t n = providers_count(o->providers);
	struct provider_terms *terms = xcalloc(n, sizeof *terms);
	for (size_t i = 0; i < n; i++)
		terms[i] = (struct provider_terms){.slots = providers_concurrency(o->providers, (int)i),
						   .limits = providers_limits_of_all(o->providers, (int)i),
						   .has_circuit = providers_is_remote(o->providers, (int)i),
						   .is_agent = providers_is_agent(o->providers, (int)i)};
	w->o = *o;
	w->armed_ms = INT64_MAX;
	w->freeze_nudge = fault_is("ROOST_TEST_FREEZE", "nudge");
	w->freeze_sweep = fault_is("ROOST_TEST_FREEZE", "sweep");
	w->freeze_worker = fault_is("ROOST_TEST_FREEZE", "worker");
	w->freeze_stream = fault_is("ROOST_TEST_FREEZE", "stream");
	struct relay_config rc = {.limits = o->limits,
				  .incarnation = store_incarnation(o->store),
				  .nproviders = n,
				  .providers = terms,
				  .seed = random_u64(),
				  .budgets = o->budgets,
				  .book = o->book,
				  .provider_of = provider_of,
				  .limits_of = limits_of,
				  .effects = &effects,
				  .ctx = w};
	w->relay = relay_new(&rc);
	free(terms);
	inquiries_init(&w->inquiries, o->loop, o->store, o->limits);
	uv_timer_init(o->loop, &w->due);
	uv_timer_init(o->loop, &w->sweep);
	uv_timer_init(o->loop, &w->watch);
	uv_timer_init(o->loop, &w->compact);
	uv_prepare_init(o->loop, &w->pump);
	w->due.data = w->sweep.data = w->watch.data = w->compact.data = w->pump.data = w;
	return w;
}

struct recovery {
	struct store_op op;
	struct cmd_open_requests open;
	struct chunk *chunks;
	size_t n, cap;
};

static enum err collect_chunk(void *ctx, const struct chunk *c)
{
	struct recovery *k = ctx;
	if (k->n == k->cap) {
		k->cap = MAX(k->cap * 2, (size_t)256);
		k->chunks = xrealloc(k->chunks, xmul(k->cap, sizeof *k->chunks));
	}
	k->chunks[k->n] = *c;
	k->chunks[k->n++].text = arena_str(&k->op.arena, c->text);
	return OK;
}

static enum err recovery_run(struct txn *t, struct store_op *op)
{
	struct recovery *k = CONTAINER_OF(op, struct recovery, op);
	enum err e = txn_chunks(t, collect_chunk, k);
	return e == OK ? cmd_open_requests_run(t, &k->open.op) : e;
}

static void recovery_done(struct store_op *op)
{
	struct work *w = op->ctx;
	struct recovery *k = CONTAINER_OF(op, struct recovery, op);
	struct now now = work_now(w);
	enum err e = op->err;
	if (e == OK) {
		for (size_t i = 0; i < k->n; i++) relay_recover_chunk(w->relay, &k->chunks[i]);
		for (size_t i = 0; i < k->open.n; i++) relay_recover_job(w->relay, &k->open.list[i], now);
		relay_start(w->relay, now);
		w->swept_boot_ms = now.boot_ms;
		uv_timer_start(&w->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
		uv_timer_start(&w->watch, on_watch, WATCH_MS, WATCH_MS);
		uv_timer_start(&w->compact, on_compact, COMPACT_MS, COMPACT_MS);
		uv_prepare_start(&w->pump, on_prepare);
		work_kick(w);
	} else {
		log_error("the store could not be read: %s", err_sentence(&op->info, e));
	}
	store_op_release(&k->open.op);
	store_op_release(op);
	free(k->chunks);
	free(k);
	w->ready(w->ready_ctx, e);
}

void work_start(struct work *w, void (*ready)(void *ctx, enum err e), void *ctx)
{
	struct recovery *k = xcalloc(1, sizeof *k);
	w->ready = ready;
	w->ready_ctx = ctx;
	store_op_init(&k->op, recovery_run, recovery_done, 0, clock_wall_ms());
	store_op_init(&k->open.op, NULL, NULL, 0, clock_wall_ms());
	k->op.ctx = w;
	store_read(w->o.store, &k->op);
}

void work_admit(struct work *w, const struct job_info *info, int hold)
{
	if (w->freeze_nudge) {
		w->freeze_nudge = false;
		if (hold >= 0) relay_unreserve(w->relay, hold, work_now(w));
	} else {
		relay_admit(w->relay, info, hold, work_now(w));
	}
	work_kick(w);
}

void work_stop(struct work *w)
{
	w->stopping = true;
	uv_timer_stop(&w->due);
	uv_timer_stop(&w->sweep);
	uv_timer_stop(&w->watch);
	uv_timer_stop(&w->compact);
	uv_prepare_stop(&w->pump);
	inquiries_stop(&w->inquiries);
	relay_halt(w->relay);
}

static void on_closed(uv_handle_t *h)
{
	struct work *w = h->data;
	if (--w->nhandles > 0) return;
	relay_free(w->relay);
	free(w);
}

void work_free(struct work *w)
{
	uv_handle_t *handles[] = {(uv_handle_t *)&w->due,   (uv_handle_t *)&w->sweep,
				  (uv_handle_t *)&w->watch, (uv_handle_t *)&w->compact,
				  (uv_handle_t *)&w->pump,  (uv_handle_t *)&w->inquiries.timer};
	w->inquiries.timer.data = w;
	w->nhandles = ARRAY_LEN(handles);
	if (w->frozen_op != NULL) relay_drop_op(w->frozen_op);
	for (size_t i = 0; i < ARRAY_LEN(handles); i++) uv_close(handles[i], on_closed);
}
