/* The relay over a real store, with provider calls that the test plays itself. */
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
	char events[4096];
	bool lose_next; /* the next command's answer is lost */
	int64_t slots;
	int64_t incarnation;
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

static void *fx_start(void *ctx, struct job *j, const struct talk_message *m, size_t n)
{
	struct rig *r = ctx;
	assert_in_range(r->ncalls, 0, MAX_CALLS - 1);
	struct played *p = &r->calls[r->ncalls++];
	*p = (struct played){.job = j, .nmessages = n, .live = true};
	assert_true(n > 0);
	(void)str_copy(m[n - 1].text, p->text, sizeof p->text);
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
static void fx_publish(void *ctx, const struct delta *d)
{
	struct rig *r = ctx;
	if (d->kind == STREAM_TEXT) buf_add_str(&r->shown, d->text);
}
static void fx_state(void *ctx, struct job *j)
{
	(void)ctx;
	(void)j;
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

static const struct relay_effects effects = {fx_submit, fx_start, fx_cancel, fx_pause, fx_publish, fx_state, fx_event};

static int provider_of(void *ctx, struct str model)
{
	(void)ctx;
	return str_eq(model, STR("nobody")) ? -1 : 0;
}

static void relay_open(struct rig *r)
{
	struct relay_config c = {.limits = &r->f.limits,
				 .incarnation = r->incarnation,
				 .nproviders = 1,
				 .slots = &r->slots,
				 .seed = 1,
				 .provider_of = provider_of,
				 .effects = &effects,
				 .ctx = r};
	r->relay = relay_new(&c);
	relay_start(r->relay, rig_now(r));
}

static void rig_init(struct rig *r, int64_t slots)
{
	memset(r, 0, sizeof *r);
	fixture_init(&r->f);
	buf_init(&r->shown, BUF_NO_LIMIT);
	r->slots = slots;
	r->boot_ms = 1000000;
	r->incarnation = store_incarnation(r->f.store);
	relay_open(r);
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
	int provider = -1;
	*s = (struct sent){0};
	store_op_init(&s->cmd.op, cmd_send_run, send_done, actor, r->f.now_ms++);
	s->cmd.op.bytes = 100;
	s->cmd.user = user;
	s->cmd.user_id = STR("u");
	s->cmd.message_id = str_c(id);
	s->cmd.conversation_id = str_c(conv);
	s->cmd.text = str_c(text);
	s->cmd.wants_answer = true;
	s->cmd.model = STR("m");
	s->cmd.params = STR("");
	s->cmd.incarnation = r->incarnation;
	s->cmd.context_bytes = 1000;
	s->cmd.open_max = 100;
	s->cmd.claim = relay_reserve(r->relay, str_c(conv), STR("m"), &provider);
	if (!s->cmd.claim) provider = -1;
	store_submit(r->f.store, &s->cmd.op);
	while (!s->done) {
		while (sem_wait(&r->f.woken) != 0) {
		}
		store_poll(r->f.store);
	}
	enum err e = s->cmd.op.err;
	if (e == OK && !s->cmd.duplicate && admit) relay_admit(r->relay, &s->cmd.job, provider, rig_now(r));
	else if (provider >= 0) relay_unreserve(r->relay, provider, rig_now(r));
	return e;
}

static void say(struct rig *r, const char *id, const char *conv, const char *text)
{
	struct sent s;
	assert_int_equal(send_as(r, &s, r->f.user, r->f.actor, id, conv, text, true), OK);
	store_op_release(&s.cmd.op);
	settle(r);
}

static void text(struct rig *r, size_t call, const char *t)
{
	assert_true(r->calls[call].live);
	relay_call_text(r->relay, r->calls[call].job, STREAM_TEXT, str_c(t), rig_now(r));
	settle(r);
}

static void end(struct rig *r, size_t call, enum err e, bool retryable)
{
	r->calls[call].live = false;
	struct call_end how = {
		.err = e, .retryable = retryable, .input_tokens = 3, .output_tokens = 5, .finish_reason = STR("stop")};
	relay_call_done(r->relay, r->calls[call].job, &how, rig_now(r));
	settle(r);
}

struct look {
	struct record rec;
	struct str type, name;
	uint32_t zone;
};
static enum err look_run(struct txn *t, void *ctx)
{
	struct look *l = ctx;
	uint32_t type;
	enum err e = txn_type(t, l->type, false, &type);
	return e == OK ? txn_get(t, l->zone, type, l->name, &l->rec) : e;
}

/* Whether the record exists and its fields hold `needle`. */
static bool has(struct rig *r, const char *type, struct str name, const char *needle)
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
static struct id reply_of(const char *message)
{
	struct id q = request_of(message);
	return id_derive(id_str(&q), "reply");
}
static bool request_has(struct rig *r, const char *message, const char *needle)
{
	struct id q = request_of(message);
	return has(r, "Request", id_str(&q), needle);
}
static bool reply_has(struct rig *r, const char *message, const char *needle)
{
	struct id q = reply_of(message);
	return has(r, "Message", id_str(&q), needle);
}

/* ---- the tests ---- */

static void a_message_gets_one_reply_in_two_commits(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c1", "hello");
	assert_int_equal(r.ncalls, 1);
	assert_string_equal(r.calls[0].text, "hello");
	assert_true(request_has(&r, "m1", "\"state\":\"claimed\",\"attempt\":1"));
	text(&r, 0, "Good ");
	text(&r, 0, "morning");
	assert_true(str_eq(buf_str(&r.shown), STR("Good morning")));
	end(&r, 0, OK, false);
	assert_true(request_has(&r, "m1", "\"state\":\"done\""));
	assert_true(reply_has(&r, "m1", "\"text\":\"Good morning\""));
	assert_true(reply_has(&r, "m1", "\"status\":\"complete\""));
	assert_null(relay_find(r.relay, STR("m1")));
	rig_release(&r);
}

static void a_conversation_answers_one_at_a_time_and_in_order(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c1", "first");
	say(&r, "m2", "c1", "second");
	say(&r, "x1", "c2", "elsewhere");
	assert_int_equal(r.ncalls, 2);
	assert_string_equal(r.calls[1].text, "elsewhere");
	text(&r, 0, "one");
	end(&r, 0, OK, false);
	assert_int_equal(r.ncalls, 3);
	/* The reply to the first comes before the second message, although it was committed after it. */
	assert_string_equal(r.calls[2].text, "second");
	assert_int_equal(r.calls[2].nmessages, 3);
	rig_release(&r);
}

struct second_user {
	int64_t user;
	uint32_t actor;
};
static enum err make_second_user(struct txn *t, void *ctx)
{
	struct second_user *s = ctx;
	struct user_row u;
	enum err e = txn_user_add(t, STR("bob"), &u);
	s->user = u.user;
	return e == OK ? txn_principal(t, u.user, STR("desk"), &s->actor) : e;
}

static void slots_go_round_users_and_then_sessions(void **state)
{
	struct rig r;
	struct sent s;
	struct second_user bob;
	(void)state;
	rig_init(&r, 1);
	assert_int_equal(run(&r.f, make_second_user, &bob), OK);
	say(&r, "a1", "ca1", "a1");
	say(&r, "a2", "ca2", "a2");
	say(&r, "a3", "ca3", "a3");
	assert_int_equal(send_as(&r, &s, bob.user, bob.actor, "b1", "cb1", "b1", true), OK);
	store_op_release(&s.cmd.op);
	assert_int_equal(r.ncalls, 1);
	for (size_t i = 0; i < 4; i++) {
		text(&r, i, "t");
		end(&r, i, OK, false);
	}
	/* Bob came last and is served after one of Ann's, not after all of them. */
	assert_string_equal(r.calls[1].text, "a2");
	assert_string_equal(r.calls[2].text, "b1");
	assert_string_equal(r.calls[3].text, "a3");
	rig_release(&r);
}

static void stop_while_queued_opens_no_call(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "busy");
	say(&r, "m2", "c2", "waits");
	struct id q = request_of("m2");
	assert_true(relay_stop(r.relay, id_str(&q), rig_now(&r)));
	settle(&r);
	assert_true(request_has(&r, "m2", "\"state\":\"stopped\""));
	end(&r, 0, OK, false);
	assert_int_equal(r.ncalls, 1);
	rig_release(&r);
}

static void stop_before_the_first_token_cuts_the_call_and_keeps_no_message(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	struct id q = request_of("m1"), part = id_derive(id_str(&q), "partial.1");
	assert_true(relay_stop(r.relay, id_str(&q), rig_now(&r)));
	assert_false(r.calls[0].live); /* before anything is committed */
	settle(&r);
	assert_true(request_has(&r, "m1", "\"state\":\"stopped\""));
	assert_false(has(&r, "Message", id_str(&part), ""));
	rig_release(&r);
}

static void stop_in_the_middle_keeps_what_was_said(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	text(&r, 0, "half an ans");
	struct id q = request_of("m1"), part = id_derive(id_str(&q), "partial.1");
	assert_true(relay_stop(r.relay, id_str(&q), rig_now(&r)));
	assert_false(r.calls[0].live);
	settle(&r);
	assert_true(has(&r, "Message", id_str(&part), "half an ans"));
	assert_true(has(&r, "Message", id_str(&part), "\"status\":\"interrupted\""));
	assert_false(reply_has(&r, "m1", ""));
	assert_false(relay_stop(r.relay, id_str(&q), rig_now(&r)));
	rig_release(&r);
}

static void stop_while_backing_off_opens_no_call(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	end(&r, 0, ERR_PROVIDER_DOWN, true);
	assert_true(request_has(&r, "m1", "\"state\":\"retrying\""));
	struct id q = request_of("m1");
	assert_true(relay_stop(r.relay, id_str(&q), rig_now(&r)));
	settle(&r);
	r.boot_ms += 3600000;
	settle(&r);
	assert_int_equal(r.ncalls, 1);
	assert_true(request_has(&r, "m1", "\"state\":\"stopped\""));
	rig_release(&r);
}

struct stream_look {
	int64_t row, attempt;
	struct stream_row out;
	char text[64];
};
static enum err stream_look_run(struct txn *t, void *ctx)
{
	struct stream_look *l = ctx;
	enum err e = txn_stream_get(t, l->row, l->attempt, STREAM_TEXT, &l->out);
	if (e == OK) (void)str_copy(l->out.text, l->text, sizeof l->text);
	return e;
}

static void a_failed_attempt_is_tried_again_as_a_new_stream(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	struct stream_look l = {.row = job_row(r.calls[0].job), .attempt = 1};
	text(&r, 0, "lost beginning");
	end(&r, 0, ERR_PROVIDER_CUT, true);
	assert_int_equal(r.ncalls, 1);
	r.boot_ms += 60000;
	settle(&r);
	assert_int_equal(r.ncalls, 2);
	text(&r, 1, "whole");
	end(&r, 1, OK, false);
	assert_true(reply_has(&r, "m1", "\"text\":\"whole\""));
	assert_true(request_has(&r, "m1", "\"attempt\":2"));
	assert_true(request_has(&r, "m1", "provider_interrupted"));
	assert_int_equal(run_read(&r.f, stream_look_run, &l), OK);
	assert_string_equal(l.text, "lost beginning");
	rig_release(&r);
}

/* Another daemon's attempt, and an attempt of this one that was replaced: neither changes anything. */
static enum err late_finish(struct txn *t, void *ctx)
{
	struct cmd_finish *c = ctx;
	c->op.info = (struct errinfo){0};
	return cmd_finish_run(t, &c->op);
}

static void a_late_attempt_cannot_finish(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	struct cmd_finish late = {.as = FINISH_DONE,
				  .row = job_row(r.calls[0].job),
				  .attempt = 1,
				  .incarnation = r.incarnation + 1,
				  .text = STR("from another daemon"),
				  .thinking = STR(""),
				  .error_text = STR(""),
				  .finish_reason = STR("")};
	assert_int_equal(run(&r.f, late_finish, &late), ERR_SUPERSEDED);
	late.incarnation = r.incarnation;
	late.attempt = 2;
	assert_int_equal(run(&r.f, late_finish, &late), ERR_SUPERSEDED);
	assert_false(reply_has(&r, "m1", ""));
	text(&r, 0, "right");
	end(&r, 0, OK, false);
	assert_true(reply_has(&r, "m1", "\"text\":\"right\""));
	rig_release(&r);
}

static void the_sweep_finds_a_request_that_nobody_works_on(void **state)
{
	struct rig r;
	struct sent s;
	(void)state;
	rig_init(&r, 1);
	assert_int_equal(send_as(&r, &s, r.f.user, r.f.actor, "m1", "c1", "lost nudge", false), OK);
	assert_int_equal(r.ncalls, 0);
	struct job_info info = s.cmd.job;
	info.request.state = RQ_CLAIMED;
	assert_int_equal(relay_sweep(r.relay, &info, 1, rig_now(&r)), 0); /* once may be a race */
	assert_int_equal(relay_sweep(r.relay, &info, 1, rig_now(&r)), 1);
	settle(&r);
	r.boot_ms += 60000;
	settle(&r);
	assert_int_equal(r.ncalls, 1);
	assert_string_equal(r.calls[0].text, "lost nudge");
	store_op_release(&s.cmd.op);
	rig_release(&r);
}

static void the_watchdog_ends_an_attempt_without_a_sign_of_life(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	assert_int_equal(relay_watch(r.relay, rig_now(&r)), 0);
	r.boot_ms += r.f.limits.connect_ms + r.f.limits.first_token_ms + 10001;
	assert_int_equal(relay_watch(r.relay, rig_now(&r)), 1);
	assert_false(r.calls[0].live);
	settle(&r);
	r.boot_ms += 60000;
	settle(&r);
	assert_int_equal(r.ncalls, 2);
	rig_release(&r);
}

static void the_watchdog_pumps_again_when_an_answer_was_lost(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	r.lose_next = true;
	text(&r, 0, "abc");
	assert_int_equal(r.shown.n, 0);
	r.boot_ms += 10001;
	assert_int_equal(relay_watch(r.relay, rig_now(&r)), 1);
	settle(&r);
	assert_true(str_eq(buf_str(&r.shown), STR("abc")));
	end(&r, 0, OK, false);
	assert_true(str_eq(buf_str(&r.shown), STR("abc")));
	rig_release(&r);
}

static void a_provider_faster_than_the_disk_is_paused(void **state)
{
	struct rig r;
	static char much[300 << 10];
	(void)state;
	rig_init(&r, 1);
	memset(much, 'x', sizeof much);
	say(&r, "m1", "c1", "hello");
	relay_call_text(r.relay, r.calls[0].job, STREAM_TEXT, str_n(much, sizeof much), rig_now(&r));
	assert_true(r.calls[0].paused);
	settle(&r);
	assert_false(r.calls[0].paused);
	assert_int_equal(r.shown.n, sizeof much);
	rig_release(&r);
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

static void a_new_daemon_takes_up_what_the_old_one_left(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	struct stream_look l = {.row = job_row(r.calls[0].job), .attempt = 1};
	text(&r, 0, "survives");
	/* The process is gone; what is on disk stays. */
	relay_halt(r.relay);
	relay_free(r.relay);
	r.incarnation++;
	struct relay_config c = {.limits = &r.f.limits,
				 .incarnation = r.incarnation,
				 .nproviders = 1,
				 .slots = &r.slots,
				 .seed = 1,
				 .provider_of = provider_of,
				 .effects = &effects,
				 .ctx = &r};
	r.relay = relay_new(&c);
	struct reopened o = {.r = &r};
	store_op_init(&o.open.op, NULL, NULL, 0, r.f.now_ms++);
	struct call call;
	call_init(&r.f, &call, recover_run, &o);
	store_read(r.f.store, &call.op);
	await(&r.f, &call);
	assert_int_equal(call.op.err, OK);
	assert_int_equal(o.open.n, 1);
	relay_recover_job(r.relay, &o.open.list[0], rig_now(&r));
	relay_start(r.relay, rig_now(&r));
	settle(&r);
	store_op_release(&call.op);
	store_op_release(&o.open.op);
	assert_int_equal(r.ncalls, 2);
	assert_int_equal(run_read(&r.f, stream_look_run, &l), OK);
	assert_string_equal(l.text, "survives");
	assert_true(request_has(&r, "m1", "\"attempt\":2"));
	text(&r, 1, "again");
	end(&r, 1, OK, false);
	assert_true(reply_has(&r, "m1", "\"text\":\"again\""));
	rig_release(&r);
}

static void the_same_id_is_acknowledged_again_and_other_content_is_refused(void **state)
{
	struct rig r;
	struct sent a, b;
	(void)state;
	rig_init(&r, 1);
	assert_int_equal(send_as(&r, &a, r.f.user, r.f.actor, "m1", "c1", "hello", true), OK);
	assert_int_equal(send_as(&r, &b, r.f.user, r.f.actor, "m1", "c1", "hello", true), OK);
	assert_true(b.cmd.duplicate);
	assert_int_equal(a.cmd.tag_seq, b.cmd.tag_seq);
	assert_true(str_eq(a.cmd.job.request_id, b.cmd.job.request_id));
	store_op_release(&b.cmd.op);
	assert_int_equal(send_as(&r, &b, r.f.user, r.f.actor, "m1", "c1", "other", true), ERR_ID_REUSED);
	store_op_release(&b.cmd.op);
	assert_int_equal(send_as(&r, &b, r.f.user, r.f.actor, "m1", "c2", "hello", true), ERR_ID_REUSED);
	store_op_release(&b.cmd.op);
	store_op_release(&a.cmd.op);
	settle(&r);
	assert_int_equal(r.ncalls, 1);
	rig_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_gets_one_reply_in_two_commits),
		cmocka_unit_test(a_conversation_answers_one_at_a_time_and_in_order),
		cmocka_unit_test(slots_go_round_users_and_then_sessions),
		cmocka_unit_test(stop_while_queued_opens_no_call),
		cmocka_unit_test(stop_before_the_first_token_cuts_the_call_and_keeps_no_message),
		cmocka_unit_test(stop_in_the_middle_keeps_what_was_said),
		cmocka_unit_test(stop_while_backing_off_opens_no_call),
		cmocka_unit_test(a_failed_attempt_is_tried_again_as_a_new_stream),
		cmocka_unit_test(a_late_attempt_cannot_finish),
		cmocka_unit_test(the_sweep_finds_a_request_that_nobody_works_on),
		cmocka_unit_test(the_watchdog_ends_an_attempt_without_a_sign_of_life),
		cmocka_unit_test(the_watchdog_pumps_again_when_an_answer_was_lost),
		cmocka_unit_test(a_provider_faster_than_the_disk_is_paused),
		cmocka_unit_test(a_new_daemon_takes_up_what_the_old_one_left),
		cmocka_unit_test(the_same_id_is_acknowledged_again_and_other_content_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
