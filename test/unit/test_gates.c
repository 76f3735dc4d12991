/* The relay over a real store: retries, fallbacks, limits and circuits. */
#include "relay_rig.h"

#include "relay/relay.h"

/* Messages "m3", "m4", … to conversations "c3", "c4", … */
static void say_many(struct rig *r, int from, int upto)
{
	static char names[MAX_CALLS][2][16];
	for (int i = from; i < upto; i++) {
		(void)snprintf(names[i][0], sizeof names[i][0], "m%d", i);
		(void)snprintf(names[i][1], sizeof names[i][1], "c%d", i);
		say(r, names[i][0], names[i][1], names[i][0]);
	}
}

/* How often that event was told. */
static int count(const struct rig *r, const char *event)
{
	int n = 0;
	for (const char *p = r->events; (p = strstr(p, event)) != NULL; p++) n++;
	return n;
}

/* A relay with other terms or limits. */
static void begin_anew(struct rig *r)
{
	relay_free(r->relay);
	relay_make(r);
}

static void end_using(struct rig *r, size_t call, int64_t input_tokens, int64_t output_tokens)
{
	text(r, call, "t");
	struct call_end how = {.usage = {.input_tokens = input_tokens, .output_tokens = output_tokens},
			       .finish_reason = STR("stop"),
			       .request_id = STR("")};
	r->calls[call].live = false;
	relay_call_done(r->relay, r->calls[call].job, &how, rig_now(r));
	settle(r);
}

/* ---- trying again ---- */

static void an_overloaded_provider_is_tried_beyond_the_attempts_that_count(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	r.terms[0].has_circuit = false;
	begin_anew(&r);
	say(&r, "m1", "c1", "hello");
	for (size_t i = 0; i < 15; i++) {
		assert_int_equal(r.ncalls, i + 1);
		fail_call(&r, i, FAIL_OVERLOADED, 0);
		assert_true(request_has(&r, "m1", "\"state\":\"retrying\""));
		assert_true(request_has(&r, "m1", "\"nextTryAt\""));
		assert_true(request_has(&r, "m1", "\"failingSince\""));
		pass(&r, 30000);
	}
	text(&r, 15, "at last");
	end(&r, 15, OK, false);
	assert_true(reply_has(&r, "m1", "\"text\":\"at last\""));
	assert_false(request_has(&r, "m1", "\"failingSince\""));
	rig_release(&r);
}

static void a_storm_longer_than_the_horizon_ends_in_one_clear_error(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	r.f.limits.retry_horizon_ms = 60000;
	say(&r, "m1", "c1", "hello");
	fail_call(&r, 0, FAIL_RATE, 0);
	pass(&r, 59000);
	assert_int_equal(r.ncalls, 2);
	fail_call(&r, 1, FAIL_RATE, 5000);
	assert_true(request_has(&r, "m1", "\"state\":\"failed\""));
	assert_true(
		request_has(&r, "m1", "it went wrong; the provider asks for a longer wait than retryHorizonMs allows"));
	rig_release(&r);
}

static void the_horizon_goes_on_over_a_restart(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	r.f.limits.retry_horizon_ms = 60000;
	say(&r, "m1", "c1", "hello");
	fail_call(&r, 0, FAIL_RATE, 1000);
	r.f.now_ms += 50000; /* the machine was started anew, and with it one of the clocks */
	r.boot_ms = 5000;
	reopen(&r);
	pass(&r, 5000);
	assert_int_equal(r.ncalls, 2);
	fail_call(&r, 1, FAIL_RATE, 10000);
	/* A machine that is up for less than the horizon cannot say more than that. */
	pass(&r, 60000);
	assert_true(r.ncalls <= 3);
	rig_release(&r);
}

static void each_of_many_is_tried_again_at_its_time_and_the_stopped_not_at_all(void **state)
{
	enum { ALL = 30 };
	struct rig r;
	(void)state;
	rig_init(&r, ALL);
	r.f.limits.backoff_ms = 1;
	say_many(&r, 0, ALL);
	/* In an order of their own: 7 and 30 have no common divisor. */
	for (size_t i = 0; i < ALL; i++) fail_call(&r, i, FAIL_RATE, (int64_t)(i * 7 % ALL + 1) * 1000);
	for (size_t i = 0; i < ALL; i += 5) {
		struct id q = request_of(r.calls[i].text);
		assert_true(relay_stop(r.relay, id_str(&q), rig_now(&r)));
	}
	settle(&r);
	pass(&r, 2);
	size_t want = ALL;
	for (size_t n = 1; n <= ALL; n++) {
		pass(&r, 990);
		assert_int_equal(r.ncalls, want);
		for (size_t i = 0; i < ALL; i++)
			if (i * 7 % ALL + 1 == n && i % 5 != 0) want++;
		pass(&r, 10);
		assert_int_equal(r.ncalls, want);
	}
	rig_release(&r);
}

static void what_will_not_get_better_fails_at_once(void **state)
{
	static const enum fail classes[] = {FAIL_QUOTA,  FAIL_AUTH,    FAIL_MODEL, FAIL_CONTEXT,
					    FAIL_FILTER, FAIL_INVALID, FAIL_LIMIT};
	struct rig r;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		rig_init(&r, 1);
		say(&r, "m1", "c1", "hello");
		fail_call(&r, 0, classes[i], 0);
		assert_true(request_has(&r, "m1", "\"state\":\"failed\""));
		rig_release(&r);
	}
}

static void the_timeline_says_what_each_attempt_met(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	say(&r, "m1", "c1", "hello");
	fail_call(&r, 0, FAIL_SERVER, 0);
	assert_true(request_has(&r, "m1", "\"providerRequestId\":\"req_bad\""));
	assert_true(request_has(&r, "m1", "\"class\":\"server_error\""));
	pass(&r, 30000);
	text(&r, 1, "yes");
	end(&r, 1, OK, false);
	assert_true(request_has(&r, "m1", "\"providerRequestId\":\"req_1\""));
	rig_release(&r);
}

/* ---- other models ---- */

static void another_model_answers_when_the_request_allows_it(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	r.fallback = "[\"other:a\",\"other:b\"]";
	say(&r, "m1", "c1", "hello");
	assert_string_equal(r.asked, "m");
	fail_call(&r, 0, FAIL_MODEL, 0);
	assert_int_equal(r.ncalls, 2);
	assert_string_equal(r.asked, "other:a");
	fail_call(&r, 1, FAIL_MODEL, 0);
	assert_int_equal(r.ncalls, 3);
	assert_string_equal(r.asked, "other:b");
	text(&r, 2, "me");
	end(&r, 2, OK, false);
	assert_true(reply_has(&r, "m1", "\"model\":\"other:b\""));
	assert_true(request_has(&r, "m1", "\"model\":\"m\""));
	assert_true(request_has(&r, "m1", "\"servingModel\":\"other:b\""));
	assert_true(request_has(&r, "m1", "\"bytes\":0,\"model\":\"other:a\""));
	assert_int_equal(relay_running_on(r.relay, 0), 0);
	assert_int_equal(relay_running_on(r.relay, 1), 0);
	rig_release(&r);
}

static void after_the_last_fallback_it_fails(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	r.fallback = "[\"other\"]";
	say(&r, "m1", "c1", "hello");
	fail_call(&r, 0, FAIL_MODEL, 0);
	fail_call(&r, 1, FAIL_MODEL, 0);
	assert_int_equal(r.ncalls, 2);
	assert_true(request_has(&r, "m1", "\"state\":\"failed\""));
	rig_release(&r);
}

static void a_fallback_outlives_a_restart(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	r.fallback = "[\"other\"]";
	say(&r, "m1", "c1", "hello");
	fail_call(&r, 0, FAIL_MODEL, 0);
	assert_string_equal(r.asked, "other");
	reopen(&r);
	assert_int_equal(r.ncalls, 3);
	assert_string_equal(r.asked, "other");
	rig_release(&r);
}

static void a_model_that_nobody_serves_falls_back_too(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 1);
	r.model = "nobody";
	r.fallback = "[\"other\"]";
	say(&r, "m1", "c1", "hello");
	fail_call(&r, 0, FAIL_MODEL, 0);
	assert_string_equal(r.asked, "other");
	rig_release(&r);
}

/* ---- limits ---- */

static void sixty_four_conversations_stay_under_one_limit(void **state)
{
	enum { ALL = 64, LIMIT = 10 };
	struct rig r;
	int64_t began[ALL];
	size_t seen = 0, done = 0;
	(void)state;
	rig_init(&r, ALL);
	r.limits.of[RATE_REQUESTS] = LIMIT;
	say_many(&r, 0, ALL);
	assert_int_equal(r.ncalls, LIMIT);
	assert_string_equal(r.paced, "requests");
	assert_int_equal(count(&r, "request.paced "), ALL - LIMIT); /* each was told once */
	for (int i = 0; done < ALL; i++) {
		assert_in_range(i, 0, 1000);
		while (seen < r.ncalls) began[seen++] = r.boot_ms;
		for (; done < seen; done++) end_using(&r, done, 5, 5);
		pass(&r, 700);
	}
	for (size_t i = LIMIT; i < ALL; i++) assert_true(began[i] - began[i - LIMIT] >= 60000);
	assert_true(began[ALL - 1] - began[0] < (ALL / LIMIT) * 62000);
	assert_true(request_has(&r, "m63", "\"waitedFor\":\"requests\""));
	rig_release(&r);
}

static void a_limit_of_a_provider_holds_for_all_its_models(void **state)
{
	static const char *const models[] = {"a", "b", "c", "a", "b", "c"};
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	r.terms[0].limits.of[RATE_REQUESTS] = 3;
	begin_anew(&r);
	for (int i = 0; i < 6; i++) {
		r.model = models[i];
		say_many(&r, i, i + 1);
	}
	assert_int_equal(r.ncalls, 3);
	r.model = "other";
	say_many(&r, 6, 7);
	assert_int_equal(r.ncalls, 4); /* another provider's */
	assert_string_equal(r.asked, "other");
	pass(&r, 61000);
	assert_int_equal(r.ncalls, 7);
	rig_release(&r);
}

static void a_limited_model_does_not_hold_up_others(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	r.limits.of[RATE_REQUESTS] = 2;
	say_many(&r, 0, 5);
	assert_int_equal(r.ncalls, 2);
	r.model = "elsewhere";
	say_many(&r, 5, 7);
	assert_int_equal(r.ncalls, 4);
	assert_string_equal(r.asked, "elsewhere");
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

static void users_take_turns_at_a_limit(void **state)
{
	struct rig r;
	struct sent s;
	struct second_user bob;
	(void)state;
	rig_init(&r, 64);
	r.limits.of[RATE_REQUESTS] = 2;
	assert_int_equal(run(&r.f, make_second_user, &bob), OK);
	say_many(&r, 0, 6);
	assert_int_equal(send_as(&r, &s, bob.user, bob.actor, "b1", "cb1", "b1", true), OK);
	store_op_release(&s.cmd.op);
	settle(&r);
	assert_int_equal(r.ncalls, 2);
	pass(&r, 61000);
	assert_int_equal(r.ncalls, 4);
	/* Bob came last and is served beside Ann, not after all that waits of hers. */
	assert_string_equal(r.calls[2].text, "m2");
	assert_string_equal(r.calls[3].text, "b1");
	rig_release(&r);
}

static void tokens_are_counted_as_they_were_used(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	r.limits.of[RATE_TOKENS] = 5200; /* two whose size is not known yet */
	say_many(&r, 0, 4);
	assert_int_equal(r.ncalls, 4); /* it is known before the next one asks: little more than 500 each */
	end_using(&r, 0, 3000, 1000);
	say_many(&r, 4, 5);
	assert_int_equal(r.ncalls, 4);
	assert_string_equal(r.paced, "tokens");
	pass(&r, 61000);
	assert_int_equal(r.ncalls, 5);
	rig_release(&r);
}

static void a_view_longer_than_it_was_taken_for_asks_again(void **state)
{
	struct rig r;
	static char much[40001];
	(void)state;
	rig_init(&r, 64);
	r.limits.of[RATE_TOKENS] = 20000; /* room for one, and for one that is not known yet, but not for two */
	memset(much, 'y', sizeof much - 1);
	say(&r, "m1", "c1", much);
	assert_int_equal(r.ncalls, 1);
	assert_true(request_has(&r, "m1", "\"attempt\":1"));
	say(&r, "m2", "c2", much);
	assert_int_equal(r.ncalls, 1);
	assert_string_equal(r.paced, "tokens");
	assert_true(request_has(&r, "m2", "\"state\":\"queued\",\"attempt\":0"));
	pass(&r, 61000);
	assert_int_equal(r.ncalls, 2);
	rig_release(&r);
}

static void headers_teach_the_limit_of_a_model(void **state)
{
	struct rig r;
	struct rates seen;
	(void)state;
	rig_init(&r, 64);
	say_many(&r, 0, 3);
	assert_int_equal(r.ncalls, 3);
	assert_true(rates_read(STR("x-ratelimit-limit-requests: 3\r\nx-ratelimit-remaining-requests: 0\r\n"
				   "x-ratelimit-reset-requests: 60s\r\n"),
			       0, &seen));
	relay_call_rates(r.relay, r.calls[0].job, &seen, rig_now(&r));
	say_many(&r, 3, 4);
	assert_int_equal(r.ncalls, 3);
	pass(&r, 61000);
	assert_int_equal(r.ncalls, 4);
	rig_release(&r);
}

static void what_was_running_at_a_restart_still_counts(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	r.limits.of[RATE_REQUESTS] = 4;
	say_many(&r, 0, 6);
	assert_int_equal(r.ncalls, 4);
	pass(&r, 30000);
	reopen(&r);
	assert_int_equal(r.ncalls, 4);
	pass(&r, 29000);
	assert_int_equal(r.ncalls, 4);
	pass(&r, 3000);
	assert_int_equal(r.ncalls, 8);
	rig_release(&r);
}

static void one_that_waits_for_a_limit_can_be_stopped(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	r.limits.of[RATE_REQUESTS] = 1;
	say_many(&r, 0, 3);
	struct id q = request_of("m1");
	assert_true(relay_stop(r.relay, id_str(&q), rig_now(&r)));
	settle(&r);
	assert_true(request_has(&r, "m1", "\"state\":\"stopped\""));
	pass(&r, 61000);
	assert_int_equal(r.ncalls, 2);
	assert_string_equal(r.calls[1].text, "m2");
	rig_release(&r);
}

/* ---- circuits ---- */

/* Three requests fail for good, one after the other. */
static void open_circuit(struct rig *r)
{
	r->f.limits.circuit_failures = 3;
	r->f.limits.circuit_ms = 5000;
	r->f.limits.attempts = 1;
	for (int i = 0; i < 3; i++) {
		say_many(r, i, i + 1);
		fail_call(r, (size_t)i, FAIL_NETWORK, 0);
	}
	struct relay_provider p;
	relay_provider(r->relay, 0, rig_now(r), &p);
	assert_int_equal(p.circuit, CIRCUIT_OPEN);
	assert_in_range(p.probe_wall_ms, r->f.now_ms + 1, r->f.now_ms + 5000);
	assert_true(p.since_wall_ms <= r->f.now_ms);
}

static void requests_wait_while_a_provider_is_down_and_go_when_it_is_back(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	open_circuit(&r);
	say_many(&r, 3, 8);
	assert_int_equal(r.ncalls, 3);
	assert_string_equal(r.paced, "circuit");
	assert_int_equal(count(&r, "request.paced "), 5);
	assert_true(request_has(&r, "m3", "\"state\":\"queued\""));
	assert_non_null(strstr(r.events, "circuit.opened"));
	r.model = "other";
	say_many(&r, 8, 9);
	assert_int_equal(r.ncalls, 4); /* another provider's */
	pass(&r, 5001);
	assert_int_equal(r.ncalls, 5); /* one, to see */
	pass(&r, 2000);
	assert_int_equal(r.ncalls, 5);
	text(&r, 4, "I am here");
	settle(&r);
	assert_int_equal(r.ncalls, 9);
	assert_non_null(strstr(r.events, "circuit.closed"));
	rig_release(&r);
}

static void a_failed_probe_leaves_the_others_waiting(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	open_circuit(&r);
	say_many(&r, 3, 6);
	pass(&r, 5001);
	assert_int_equal(r.ncalls, 4);
	fail_call(&r, 3, FAIL_NETWORK, 0);
	assert_true(request_has(&r, "m3", "\"state\":\"failed\"")); /* attempts is 1 */
	pass(&r, 9000);
	assert_int_equal(r.ncalls, 4);
	pass(&r, 1001);
	assert_int_equal(r.ncalls, 5); /* the next one is the probe */
	rig_release(&r);
}

static void a_probe_that_a_person_stops_makes_room_for_another(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	open_circuit(&r);
	say_many(&r, 3, 5);
	pass(&r, 5001);
	struct id q = request_of("m3");
	assert_true(relay_stop(r.relay, id_str(&q), rig_now(&r)));
	settle(&r);
	pass(&r, 1001);
	assert_int_equal(r.ncalls, 5);
	assert_string_equal(r.calls[4].text, "m4");
	rig_release(&r);
}

static void nobody_waits_for_a_dead_provider_beyond_the_horizon(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	r.f.limits.retry_horizon_ms = 30000;
	open_circuit(&r);
	say_many(&r, 3, 12);
	for (int i = 0; i < 4; i++) {
		size_t before = r.ncalls;
		pass(&r, 31000);
		if (r.ncalls > before) fail_call(&r, before, FAIL_NETWORK, 0);
	}
	struct relay_counts n;
	relay_counts(r.relay, &n);
	assert_int_equal(n.open, 0);
	assert_int_equal(r.ncalls, 4); /* the others were never called */
	assert_true(request_has(&r, "m11", "\"state\":\"failed\""));
	assert_true(request_has(&r, "m11", "retryHorizonMs"));
	rig_release(&r);
}

static void waiting_requests_go_to_their_fallback(void **state)
{
	struct rig r;
	(void)state;
	rig_init(&r, 64);
	open_circuit(&r);
	r.fallback = "[\"other\"]";
	say_many(&r, 3, 5);
	assert_int_equal(r.ncalls, 3);
	pass(&r, 5001);
	assert_int_equal(r.ncalls, 4);
	fail_call(&r, 3, FAIL_NETWORK, 0);
	assert_int_equal(r.ncalls, 6);
	assert_string_equal(r.asked, "other");
	assert_true(request_has(&r, "m4", "\"servingModel\":\"other\""));
	rig_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_overloaded_provider_is_tried_beyond_the_attempts_that_count),
		cmocka_unit_test(a_storm_longer_than_the_horizon_ends_in_one_clear_error),
		cmocka_unit_test(the_horizon_goes_on_over_a_restart),
		cmocka_unit_test(each_of_many_is_tried_again_at_its_time_and_the_stopped_not_at_all),
		cmocka_unit_test(what_will_not_get_better_fails_at_once),
		cmocka_unit_test(the_timeline_says_what_each_attempt_met),
		cmocka_unit_test(another_model_answers_when_the_request_allows_it),
		cmocka_unit_test(after_the_last_fallback_it_fails),
		cmocka_unit_test(a_fallback_outlives_a_restart),
		cmocka_unit_test(a_model_that_nobody_serves_falls_back_too),
		cmocka_unit_test(sixty_four_conversations_stay_under_one_limit),
		cmocka_unit_test(a_limit_of_a_provider_holds_for_all_its_models),
		cmocka_unit_test(a_limited_model_does_not_hold_up_others),
		cmocka_unit_test(users_take_turns_at_a_limit),
		cmocka_unit_test(tokens_are_counted_as_they_were_used),
		cmocka_unit_test(a_view_longer_than_it_was_taken_for_asks_again),
		cmocka_unit_test(headers_teach_the_limit_of_a_model),
		cmocka_unit_test(what_was_running_at_a_restart_still_counts),
		cmocka_unit_test(one_that_waits_for_a_limit_can_be_stopped),
		cmocka_unit_test(requests_wait_while_a_provider_is_down_and_go_when_it_is_back),
		cmocka_unit_test(a_failed_probe_leaves_the_others_waiting),
		cmocka_unit_test(a_probe_that_a_person_stops_makes_room_for_another),
		cmocka_unit_test(nobody_waits_for_a_dead_provider_beyond_the_horizon),
		cmocka_unit_test(waiting_requests_go_to_their_fallback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
