/* The relay over a real store. */
#include "relay_rig.h"

#include "relay/relay.h"

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
	assert_int_equal(run_on_reader(&r.f, stream_look_run, &l), OK);
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
				  .finish_reason = STR(""),
				  .provider_id = STR("")};
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

static void the_watchdog_leaves_an_agent_the_time_of_a_whole_answer(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	relay_free(r.relay);
	r.terms[0].is_agent = true;
	relay_make(&r);
	relay_start(r.relay, rig_now(&r));
	say(&r, "m1", "c1", "hello");
	r.boot_ms += r.f.limits.answer_ms;
	assert_int_equal(relay_watch(r.relay, rig_now(&r)), 0);
	r.boot_ms += 10001;
	assert_int_equal(relay_watch(r.relay, rig_now(&r)), 1);
	settle(&r);
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

static void text_is_gathered_while_the_store_is_behind(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	relay_behind(r.relay, true);
	text(&r, 0, "a");
	assert_true(str_eq(buf_str(&r.shown), STR("a")));
	for (int i = 0; i < 3; i++) {
		relay_call_text(r.relay, r.calls[0].job, STREAM_TEXT, STR("b"), rig_now(&r));
		relay_pump(r.relay, rig_now(&r));
		assert_int_equal(r.outstanding, 0);
	}
	r.boot_ms += RELAY_BEHIND_MS;
	assert_true(relay_next_ms(r.relay) <= r.boot_ms);
	relay_tick(r.relay, rig_now(&r));
	assert_int_equal(r.outstanding, 1); /* all of it in one command */
	settle(&r);
	assert_true(str_eq(buf_str(&r.shown), STR("abbb")));
	relay_behind(r.relay, false);
	end(&r, 0, OK, false);
	assert_true(reply_has(&r, "m1", "\"text\":\"abbb\""));
	rig_release(&r);
}

static void a_new_daemon_takes_up_what_the_old_one_left(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	struct stream_look l = {.row = job_row(r.calls[0].job), .attempt = 1};
	text(&r, 0, "survives");
	reopen(&r);
	assert_int_equal(r.ncalls, 2);
	assert_int_equal(run_on_reader(&r.f, stream_look_run, &l), OK);
	assert_string_equal(l.text, "survives");
	assert_true(request_has(&r, "m1", "\"attempt\":2"));
	text(&r, 1, "again");
	end(&r, 1, OK, false);
	assert_true(reply_has(&r, "m1", "\"text\":\"again\""));
	rig_release(&r);
}

/* The order in which open requests are read is not the order in which they run. */
static void a_new_daemon_ends_what_ran_although_another_was_read_before_it(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 4);
	say(&r, "m1", "c", "one");
	say(&r, "m2", "c", "two");
	r.priority = PRIORITY_HIGH;
	say(&r, "m3", "c", "three");
	text(&r, 0, "eins");
	end(&r, 0, OK, false);
	assert_int_equal(r.ncalls, 2);
	assert_string_equal(r.calls[1].text, "three");
	text(&r, 1, "dr");

	reopen(&r);
	assert_int_equal(r.ncalls, 3);
	assert_string_equal(r.calls[2].text, "three");
	text(&r, 2, "drei");
	end(&r, 2, OK, false);
	assert_true(reply_has(&r, "m3", "\"text\":\"drei\""));
	assert_int_equal(r.ncalls, 4);
	assert_string_equal(r.calls[3].text, "two");
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
		cmocka_unit_test(the_watchdog_leaves_an_agent_the_time_of_a_whole_answer),
		cmocka_unit_test(the_watchdog_pumps_again_when_an_answer_was_lost),
		cmocka_unit_test(a_provider_faster_than_the_disk_is_paused),
		cmocka_unit_test(text_is_gathered_while_the_store_is_behind),
		cmocka_unit_test(a_new_daemon_takes_up_what_the_old_one_left),
		cmocka_unit_test(a_new_daemon_ends_what_ran_although_another_was_read_before_it),
		cmocka_unit_test(the_same_id_is_acknowledged_again_and_other_content_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
