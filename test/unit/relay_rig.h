/* For tests of the relay: it runs over a real store, and the provider calls are played by the test. */
#ifndef TEST_RELAY_RIG_H
#define TEST_RELAY_RIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "store_fixture.h"

#include "relay/relay.h"

#define MAX_CALLS 64

struct played { /* a provider call the relay started */
	struct job *job;
	char text[64]; /* of the last message of its view */
	size_t nmessages;
	bool live, paused;
};

struct rig {
	struct fixture f;
	struct relay *relay;
	struct played calls[MAX_CALLS];
	size_t ncalls;
	int outstanding; /* commands at the store */
	int64_t boot_ms;
	struct buf shown; /* published text of whatever streams */
	char events[16384];
	bool lose_next;                 /* the next command's answer is lost */
	struct provider_terms terms[2]; /* the second one serves models whose names begin with "other" */
	struct rate_limits limits;      /* of each model */
	int64_t incarnation;
	int priority;                 /* of what is sent */
	const char *model, *fallback; /* of what is sent; fallback: JSON */
	char asked[64];               /* the model of the last call */
	char paced[24];               /* what the last one that was told to wait waits for */
	char told[24];                /* the last state that devices were told of a request */
};

static struct now rig_now(struct rig *r) { return (struct now){r->f.now_ms, r->boot_ms}; }

static void op_done(struct store_op *op)
{
	struct rig *r = op->ctx;
	r->outstanding--;
	if (r->lose_next) {
		r->lose_next = false;
		relay_drop_op(op);
		return;
	}
	relay_committed(r->relay, op, rig_now(r));
}

static void fx_submit(void *ctx, struct store_op *op)
{
	struct rig *r = ctx;
	op->done = op_done;
	op->ctx = r;
	r->outstanding++;
	store_submit(r->f.store, op);
}

static void *fx_start(void *ctx, struct job *j, const struct job_info *view)
{
	struct rig *r = ctx;
	assert_in_range(r->ncalls, 0, MAX_CALLS - 1);
	struct played *p = &r->calls[r->ncalls++];
	*p = (struct played){.job = j, .nmessages = view->nmessages, .live = true};
	assert_true(view->nmessages > 0);
	(void)str_copy(view->messages[view->nmessages - 1].text, p->text, sizeof p->text);
	(void)str_copy(job_request(j)->serving, r->asked, sizeof r->asked);
	return p;
}

static void fx_cancel(void *ctx, void *call)
{
	(void)ctx;
	((struct played *)call)->live = false;
}
static void fx_pause(void *ctx, void *call, bool paused)
{
	(void)ctx;
	((struct played *)call)->paused = paused;
}
static void fx_used(void *ctx, void *call, struct call_usage *out)
{
	(void)ctx;
	(void)call;
	*out = USAGE_UNKNOWN;
}
static void fx_publish(void *ctx, const struct delta *d)
{
	struct rig *r = ctx;
	if (d->kind == STREAM_TEXT) buf_add_str(&r->shown, d->text);
}
static void fx_state(void *ctx, struct job *j)
{
	struct rig *r = ctx;
	struct pacing p;
	(void)str_copy(job_state_name(j), r->told, sizeof r->told);
	if (job_pacing(j, &p)) (void)str_copy(p.why, r->paced, sizeof r->paced);
}
static void fx_event(void *ctx, const char *type, const struct job *j, enum err e, struct str detail)
{
	struct rig *r = ctx;
	size_t n = strlen(r->events);
	(void)j;
	(void)e;
	(void)detail;
	(void)snprintf(r->events + n, sizeof r->events - n, "%s ", type);
}

static const struct relay_effects effects = {fx_submit, fx_start,   fx_cancel, fx_pause,
					     fx_used,   fx_publish, fx_state,  fx_event};

static int provider_of(void *ctx, struct str model)
{
	(void)ctx;
	if (str_eq(model, STR("nobody"))) return -1;
	return str_starts(model, STR("other")) ? 1 : 0;
}

static void limits_of(void *ctx, struct str model, struct rate_limits *configured, struct rate_limits *usual)
{
	(void)model;
	(void)usual;
	*configured = ((struct rig *)ctx)->limits;
}

static void relay_make(struct rig *r)
{
	struct relay_config c = {.limits = &r->f.limits,
				 .incarnation = r->incarnation,
				 .nproviders = ARRAY_LEN(r->terms),
				 .providers = r->terms,
				 .seed = 1,
				 .provider_of = provider_of,
				 .limits_of = limits_of,
				 .effects = &effects,
				 .ctx = r};
	r->relay = relay_new(&c);
}

static void rig_init(struct rig *r, int64_t slots)
{
	memset(r, 0, sizeof *r);
	fixture_init(&r->f);
	buf_init(&r->shown, BUF_NO_LIMIT);
	r->terms[0] = r->terms[1] = (struct provider_terms){.slots = slots, .has_circuit = true};
	r->model = "m";
	r->fallback = "";
	r->priority = PRIORITY_NORMAL;
	r->boot_ms = 1000000;
	r->incarnation = store_incarnation(r->f.store);
	relay_make(r);
	relay_start(r->relay, rig_now(r));
}

/* Until no command is on its way; the pump runs as the loop would run it. */
static void settle(struct rig *r)
{
	do {
		relay_pump(r->relay, rig_now(r));
		while (r->outstanding > 0) {
			while (sem_wait(&r->f.woken) != 0) {
			}
			store_poll(r->f.store);
		}
		relay_tick(r->relay, rig_now(r));
	} while (r->outstanding > 0 || relay_pump_due(r->relay));
}

static void rig_release(struct rig *r)
{
	relay_halt(r->relay);
	while (r->outstanding > 0) {
		while (sem_wait(&r->f.woken) != 0) {
		}
		store_poll(r->f.store);
	}
	relay_free(r->relay);
	buf_release(&r->shown);
	fixture_release(&r->f);
}

struct sent {
	struct cmd_send cmd;
	bool done;
};
static void send_done(struct store_op *op) { CONTAINER_OF(op, struct sent, cmd.op)->done = true; }

/* Sends a message as a device would and tells the relay. The command's results stay in *s; release its op. */
static enum err send_as(struct rig *r, struct sent *s, int64_t user, uint32_t actor, const char *id, const char *conv,
			const char *text, bool admit)
{
	int hold = -1;
	*s = (struct sent){0};
	store_op_init(&s->cmd.op, cmd_send_run, send_done, actor, r->f.now_ms++);
	s->cmd.op.bytes = 100;
	s->cmd.user = user;
	s->cmd.user_id = STR("u");
	s->cmd.message_id = str_c(id);
	s->cmd.conversation_id = str_c(conv);
	s->cmd.text = str_c(text);
	s->cmd.wants_answer = true;
	s->cmd.wanted = (struct wanted){.model = str_c(r->model), .params = STR("")};
	s->cmd.fallback = str_c(r->fallback);
	s->cmd.incarnation = r->incarnation;
	s->cmd.context_bytes = 1000;
	s->cmd.open_max = 100;
	s->cmd.priority = r->priority;
	s->cmd.limits = &r->f.limits;
	s->cmd.claim =
		relay_reserve(r->relay, str_c(conv), s->cmd.wanted.model, rig_now(r), &hold, &s->cmd.claim_tokens);
	store_submit(r->f.store, &s->cmd.op);
	while (!s->done) {
		while (sem_wait(&r->f.woken) != 0) {
		}
		store_poll(r->f.store);
	}
	enum err e = s->cmd.op.err;
	if (e == OK && !s->cmd.duplicate && admit) relay_admit(r->relay, &s->cmd.job, hold, rig_now(r));
	else if (hold >= 0) relay_unreserve(r->relay, hold, rig_now(r));
	return e;
}

__attribute__((unused)) static void say(struct rig *r, const char *id, const char *conv, const char *text)
{
	struct sent s;
	assert_int_equal(send_as(r, &s, r->f.user, r->f.actor, id, conv, text, true), OK);
	store_op_release(&s.cmd.op);
	settle(r);
}

__attribute__((unused)) static void text(struct rig *r, size_t call, const char *t)
{
	assert_true(r->calls[call].live);
	relay_call_text(r->relay, r->calls[call].job, STREAM_TEXT, str_c(t), rig_now(r));
	settle(r);
}

__attribute__((unused)) static void end(struct rig *r, size_t call, enum err e, bool retryable)
{
	r->calls[call].live = false;
	struct call_end how = {.err = e,
			       .retryable = retryable,
			       .usage = {.input_tokens = 3, .output_tokens = 5},
			       .finish_reason = STR("stop"),
			       .request_id = STR("req_1")};
	relay_call_done(r->relay, r->calls[call].job, &how, rig_now(r));
	settle(r);
}

/* Ends a call with a failure of that class. */
__attribute__((unused)) static void fail_call(struct rig *r, size_t call, enum fail f, int64_t retry_after_ms)
{
	struct errinfo info;
	(void)err_set(&info, fail_err(f), "it went wrong");
	info.retry_after_ms = retry_after_ms;
	r->calls[call].live = false;
	struct call_end how = {.err = fail_err(f),
			       .fail = f,
			       .retryable = fail_retryable(f),
			       .info = &info,
			       .usage = USAGE_UNKNOWN,
			       .finish_reason = STR(""),
			       .request_id = STR("req_bad")};
	relay_call_done(r->relay, r->calls[call].job, &how, rig_now(r));
	settle(r);
}

/* Time passes, for both clocks. */
__attribute__((unused)) static void pass(struct rig *r, int64_t ms)
{
	r->boot_ms += ms;
	r->f.now_ms += ms;
	settle(r);
}

struct look {
	struct record rec;
	struct str type, name;
	uint32_t zone;
};
__attribute__((unused)) static enum err look_run(struct txn *t, void *ctx)
{
	struct look *l = ctx;
	uint32_t type;
	enum err e = txn_type(t, l->type, false, &type);
	return e == OK ? txn_get(t, l->zone, type, l->name, &l->rec) : e;
}

/* Whether the record exists and its fields hold `needle`. */
__attribute__((unused)) static bool has(struct rig *r, const char *type, struct str name, const char *needle)
{
	struct call c;
	struct look l = {.type = str_c(type), .name = name, .zone = r->f.zone};
	call_init(&r->f, &c, look_run, &l);
	store_read(r->f.store, &c.op);
	await(&r->f, &c);
	bool found = c.op.err == OK && memmem(l.rec.fields.p, l.rec.fields.n, needle, strlen(needle)) != NULL;
	store_op_release(&c.op);
	return found;
}

static struct id request_of(const char *message) { return request_id_of(STR("u"), str_c(message)); }
__attribute__((unused)) static struct id reply_of(const char *message)
{
	struct id q = request_of(message);
	return id_derive(id_str(&q), "reply");
}
__attribute__((unused)) static bool request_has(struct rig *r, const char *message, const char *needle)
{
	struct id q = request_of(message);
	return has(r, "Request", id_str(&q), needle);
}
__attribute__((unused)) static bool reply_has(struct rig *r, const char *message, const char *needle)
{
	struct id q = reply_of(message);
	return has(r, "Message", id_str(&q), needle);
}

struct reopened {
	struct rig *r;
	struct cmd_open_requests open;
};
static enum err give_chunk(void *ctx, const struct chunk *c)
{
	relay_recover_chunk(((struct reopened *)ctx)->r->relay, c);
	return OK;
}
static enum err recover_run(struct txn *t, void *ctx)
{
	struct reopened *o = ctx;
	enum err e = txn_chunks(t, give_chunk, o);
	return e == OK ? cmd_open_requests_run(t, &o->open.op) : e;
}

/* The process is gone; what is on disk stays, and a new one takes it up. */
__attribute__((unused)) static void reopen(struct rig *r)
{
	relay_halt(r->relay);
	relay_free(r->relay);
	fixture_close(&r->f);
	fixture_open(&r->f);
	r->incarnation = store_incarnation(r->f.store);
	relay_make(r);
	struct reopened o = {.r = r};
	store_op_init(&o.open.op, NULL, NULL, 0, r->f.now_ms++);
	struct call call;
	call_init(&r->f, &call, recover_run, &o);
	store_read(r->f.store, &call.op);
	await(&r->f, &call);
	assert_int_equal(call.op.err, OK);
	for (size_t i = 0; i < o.open.n; i++) relay_recover_job(r->relay, &o.open.list[i], rig_now(r));
	relay_start(r->relay, rig_now(r));
	settle(r);
	store_op_release(&call.op);
	store_op_release(&o.open.op);
}

#endif
