/* The device's core, fed with frames and time: who drives a conversation, and who holds its lock. */
#include "client/core.h"
#include "core_one.h"

static void state_of(const char *primary, int term)
{
	gear_feed(
		g,
		"{\"type\":\"session:state\",\"re\":%lld,\"conversationId\":\"c1\",\"session\":{\"type\":\"Session\",\"name\":\"s1\"},"
		"\"primary\":{\"deviceId\":\"%s\",\"term\":%d},\"lock\":null,\"running\":[]}",
		(long long)gear_last_id(g, "session:join"), primary, term);
}

static void join(const char *primary, int term)
{
	gear_online(g, 1);
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	state_of(primary, term);
}

static struct core_seat seat(void)
{
	struct core_seat s;
	assert_true(core_seat(g->c, STR("c1"), &s));
	return s;
}

static void a_joined_conversation_is_joined_again_after_a_reconnect(void **state)
{
	(void)state;
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK); /* offline */
	gear_online(g, 1);
	SEES(gear_log(g), "> {\"type\":\"session:join\"");
	state_of("me", 1);
	SEES(gear_log(g), "primary conversation=c1 session=s1 device=me #1 mine");
	drop();
	SEES(gear_log(g), "primary conversation=c1 session=s1 device=me #1\n"); /* not while offline */
	assert_false(seat().is_primary);
	gear_pass(g, 400);
	gear_online(g, 1);
	SEES(gear_log(g), "session:join");
	core_leave(g->c, STR("c1"), g->now);
	SEES(gear_log(g), "session:leave");
	drop();
	gear_pass(g, 400);
	gear_online(g, 1);
	SEES_NOT(gear_log(g), "session:join");
}

static void a_hello_says_what_this_device_means_to_be_in(void **state)
{
	(void)state;
	gear_online(g, 1);
	SEES(gear_log(g), "\"joined\":[]}");
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	assert_int_equal(core_join(g->c, STR("c2"), g->now, NULL), OK);
	drop();
	assert_int_equal(core_join(g->c, STR("c3"), g->now, NULL), OK);
	core_leave(g->c, STR("c2"), g->now);
	gear_pass(g, 400);
	gear_online(g, 1);
	const char *log = gear_log(g);
	SEES(log, "\"joined\":[\"c1\",\"c3\"]}");
	SEES_NOT(log, "session:leave"); /* the hello has said it */

	/* A process that has just started means to be nowhere, also when its cursor turns out to have expired. */
	gear_reboot(g);
	core_start(g->c, g->now);
	core_connected(g->c, g->now);
	SEES(gear_log(g), "\"joined\":[]}");
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"cursor_expired\"}",
		  (long long)gear_last_id(g, "device:hello"));
	SEES(gear_log(g), "\"joined\":[]}");
}

static void a_hello_with_more_seats_than_the_daemon_has_is_said_again_with_fewer(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		char conversation[16];
		snprintf(conversation, sizeof conversation, "c%d", i);
		assert_int_equal(core_join(g->c, str_c(conversation), g->now, NULL), OK);
	}
	core_start(g->c, g->now);
	core_connected(g->c, g->now);
	SEES(gear_log(g), "\"joined\":[\"c0\",\"c1\",\"c2\"]}");
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"too_many\",\"retryable\":true}",
		  (long long)gear_last_id(g, "device:hello"));
	const char *log = gear_log(g);
	SEES(log, "\"joined\":[\"c0\"]}");
	SEES_NOT(log, "disconnect");
	gear_feed(g, "{\"type\":\"device:welcome\",\"re\":%lld,\"userId\":\"u\",\"limits\":{\"joinedSessions\":2}}",
		  (long long)gear_last_id(g, "device:hello"));
	assert_int_equal(gear_count(gear_log(g), "session:join"), 3); /* and hears which one is too many */
	assert_int_equal(core_status(g->c).limits->joined_sessions, 2);
}

/* The list of seats would not fit into the daemon's frames: it ends before. */
static void a_hello_is_never_larger_than_a_frame_may_be(void **state)
{
	char conversation[256];
	(void)state;
	gear_online(g, 1);
	drop();
	core_connected(g->c, g->now);
	gear_pass(g, 400);
	core_connected(g->c, g->now);
	gear_feed(g, "{\"type\":\"device:welcome\",\"re\":%lld,\"userId\":\"u\",\"limits\":{\"frameBytes\":4096}}",
		  (long long)gear_last_id(g, "device:hello"));
	memset(conversation, 'c', sizeof conversation);
	conversation[255] = '\0';
	for (int i = 0; i < 40; i++) {
		conversation[0] = (char)('A' + i % 26);
		conversation[1] = (char)('A' + i / 26);
		assert_int_equal(core_join(g->c, str_c(conversation), g->now, NULL), OK);
	}
	drop();
	gear_pass(g, 400);
	(void)gear_log(g);
	core_connected(g->c, g->now);
	const char *hello = strstr(gear_log(g), "> {\"type\":\"device:hello\"");
	assert_non_null(hello);
	size_t n = strcspn(hello, "\n") - 2;
	assert_in_range(n, 4096 - 300, 4096);
}

static void a_leave_is_heard_whenever_it_is_said(void **state)
{
	(void)state;
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	gear_online(g, 1);
	state_of("me", 1);
	core_leave(g->c, STR("c1"), g->now);
	SEES(gear_log(g), "session:leave");
	drop(); /* and the daemon never heard of it: the next hello says so */
	gear_pass(g, 400);
	gear_online(g, 1);
	SEES_NOT(gear_log(g), "session:leave");

	/* Between a hello and its welcome nothing can be said: behind it. */
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	drop();
	gear_pass(g, 400);
	core_connected(g->c, g->now);
	(void)gear_log(g);
	core_leave(g->c, STR("c1"), g->now);
	SEES_NOT(gear_log(g), "session:leave");
	gear_feed(g, "{\"type\":\"device:welcome\",\"re\":%lld,\"userId\":\"u\",\"limits\":{}}",
		  (long long)gear_last_id(g, "device:hello"));
	const char *log = gear_log(g);
	SEES(log, "session:leave");
	SEES_NOT(log, "session:join");

	/* A join that was under way is answered after the leave that took it back. */
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	int64_t join = gear_last_id(g, "session:join");
	core_leave(g->c, STR("c1"), g->now);
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"not_found\"}",
		  (long long)gear_last_id(g, "session:leave"));
	(void)gear_log(g);
	gear_feed(g,
		  "{\"type\":\"session:state\",\"re\":%lld,\"conversationId\":\"c1\",\"session\":null,\"running\":[]}",
		  (long long)join);
	SEES(gear_log(g), "session:leave");

	/* Who comes back has not left. */
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	drop();
	gear_pass(g, 400);
	(void)gear_log(g);
	gear_online(g, 1);
	log = gear_log(g);
	SEES(log, "session:join");
	SEES_NOT(log, "session:leave");
}

static void too_many_conversations_are_refused_by_name(void **state)
{
	(void)state;
	struct errinfo info;
	char name[16];
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof name, "c%d", i);
		assert_int_equal(core_join(g->c, str_c(name), g->now, &info), OK);
	}
	assert_int_equal(core_join(g->c, STR("one-more"), g->now, &info), ERR_TOO_MANY);
	SEES(info.text, "joinedSessions = 64");
}

static void a_join_that_is_refused_for_a_while_is_tried_again(void **state)
{
	(void)state;
	gear_online(g, 1);
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"overloaded\",\"retryable\":true}",
		  (long long)gear_last_id(g, "session:join"));
	SEES(gear_log(g), "joined conversation=c1 overloaded");
	gear_pass(g, 2100);
	SEES(gear_log(g), "> {\"type\":\"session:join\"");
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"not_found\"}",
		  (long long)gear_last_id(g, "session:join"));
	(void)gear_log(g);
	gear_pass(g, 20000);
	SEES_NOT(gear_log(g), "session:join");
}

static void who_is_primary_follows_the_greatest_term(void **state)
{
	(void)state;
	join("me", 3);
	assert_true(seat().is_primary);
	gear_feed(g, "{\"type\":\"device:primary\",\"sessionId\":\"s1\",\"deviceId\":\"other\",\"term\":4}");
	assert_false(seat().is_primary);
	gear_feed(g, "{\"type\":\"device:primary\",\"sessionId\":\"s1\",\"deviceId\":\"me\",\"term\":3}"); /* late */
	assert_false(seat().is_primary);
	push("Session", "s1", 9, "",
	     "{\"conversationId\":\"c1\",\"state\":\"active\",\"primaryDeviceId\":\"me\",\"term\":5}");
	assert_true(seat().is_primary);
	assert_int_equal(gear_count(gear_log(g), "primary conversation=c1"), 3);
}

static void who_was_primary_and_still_is_after_a_reconnect_is_told_so(void **state)
{
	(void)state;
	join("me", 3);
	drop();
	gear_pass(g, 400);
	gear_online(g, 1);
	(void)gear_log(g);
	state_of("me", 3);
	SEES(gear_log(g), "primary conversation=c1 session=s1 device=me #3 mine");
	assert_true(seat().is_primary);
	gear_pass(g, 250); /* a session that was joined is a reason to sync */
	SEES(gear_log(g), "session:sync");
}

/* A refusal that names nobody: only a later term makes it primary again, not the same news once more. */
static void who_stood_down_is_primary_again_only_under_another_term(void **state)
{
	static const char *const news =
		"{\"conversationId\":\"c1\",\"state\":\"active\",\"primaryDeviceId\":\"me\",\"term\":%d}";
	struct core_message m = {.conversation = STR("c1"), .text = STR("go on"), .automatic = true};
	char fields[200];
	(void)state;
	join("me", 3);
	assert_int_equal(core_send(g->c, &m, g->now, NULL, NULL), OK);
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"not_primary\"}",
		  (long long)gear_last_id(g, "message:send"));
	assert_false(seat().is_primary);
	for (int term = 3; term <= 4; term++) {
		snprintf(fields, sizeof fields, news, term);
		push("Session", "s1", 9 + term, "", fields);
		assert_int_equal(seat().is_primary, term == 4);
	}
}

static void primary_is_asked_for_and_the_answer_told(void **state)
{
	(void)state;
	assert_int_equal(core_primary(g->c, STR("c1"), CORE_TAKE, STR(""), g->now), 0);
	join("other", 3);
	core_op op = core_primary(g->c, STR("s1"), CORE_REQUEST, STR(""), g->now);
	assert_true(op != 0);
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"primary_exists\",\"deviceId\":\"tablet\",\"term\":4}",
		  (long long)op);
	const char *log = gear_log(g);
	SEES(log, "answer conversation=c1 primary_exists");
	SEES(log, "device=tablet #4");
	op = core_primary(g->c, STR("c1"), CORE_TAKE, STR(""), g->now);
	SEES(gear_log(g), "\"action\":\"request\",\"take\":true");
	gear_feed(g, "{\"type\":\"device:primary\",\"re\":%lld,\"sessionId\":\"s1\",\"deviceId\":\"me\",\"term\":5}",
		  (long long)op);
	assert_true(seat().is_primary);
	core_primary(g->c, STR("c1"), CORE_TRANSFER, STR("tablet"), g->now);
	SEES(gear_log(g), "\"action\":\"transfer\",\"toDeviceId\":\"tablet\"");
}

static void automatic_messages_carry_the_term_and_stop_when_it_is_over(void **state)
{
	(void)state;
	struct core_message m = {.conversation = STR("c1"), .text = STR("go on"), .automatic = true};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, NULL), ERR_NOT_PRIMARY);
	join("me", 3);
	(void)gear_log(g);
	assert_int_equal(core_send(g->c, &m, g->now, NULL, NULL), OK);
	SEES(gear_log(g), "\"auto\":true,\"term\":3");
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"not_primary\",\"deviceId\":\"tablet\",\"term\":4}",
		  (long long)gear_last_id(g, "message:send"));
	const char *log = gear_log(g);
	SEES(log, "primary conversation=c1 session=s1 device=tablet #4\n");
	SEES(log, "entry gone not_primary [go on]");
	assert_int_equal(core_status(g->c).pending, 0);
	assert_int_equal(core_send(g->c, &m, g->now, NULL, NULL), ERR_NOT_PRIMARY);
}

static void typing_is_told_once_a_second(void **state)
{
	(void)state;
	join("other", 1);
	(void)gear_log(g);
	for (int i = 0; i < 25; i++) {
		core_typing(g->c, STR("c1"), g->now);
		gear_pass(g, 100);
	}
	assert_int_equal(gear_count(gear_log(g), "session:typing"), 3);
}

static void locked(int64_t re, const char *device, int fence)
{
	gear_feed(
		g,
		"{\"type\":\"session:locked\",\"re\":%lld,\"sessionId\":\"s1\",\"deviceId\":\"%s\",\"fence\":%d,\"expiresAt\":\"2026-01-02T03:04:05.678Z\"}",
		(long long)re, device, fence);
}

static void a_lock_is_renewed_at_a_third_of_its_time(void **state)
{
	(void)state;
	join("me", 1);
	core_op op = core_lock(g->c, STR("c1"), 6000, 500, g->now);
	SEES(gear_log(g), "\"ttlMs\":6000,\"waitMs\":500");
	locked((int64_t)op, "me", 7);
	const char *log = gear_log(g);
	SEES(log, "lock conversation=c1 session=s1 device=me #7 mine");
	SEES(log, "answer");
	for (int i = 0; i < 5; i++) {
		gear_pass(g, 1990);
		SEES_NOT(gear_log(g), "session:lock\"");
		gear_pass(g, 20);
		SEES(gear_log(g), "session:lock\"");
		locked(gear_last_id(g, "session:lock"), "me", 7);
		SEES_NOT(gear_log(g), "lock conversation"); /* nothing new */
	}
	assert_int_equal(seat().fence, 7);
	op = core_unlock(g->c, STR("c1"), g->now);
	gear_feed(g, "{\"type\":\"session:unlocked\",\"re\":%lld,\"sessionId\":\"s1\"}", (long long)op);
	SEES(gear_log(g), "lock conversation=c1 session=s1 #0\n");
	assert_int_equal(seat().fence, 0);
}

/* A renewal that was under way is answered after the lock was given back: it is not renewed for ever. */
static void a_lock_that_is_given_back_is_not_renewed(void **state)
{
	(void)state;
	join("me", 1);
	locked((int64_t)core_lock(g->c, STR("c1"), 6000, 0, g->now), "me", 7);
	gear_pass(g, 2010);
	int64_t renewal = gear_last_id(g, "session:lock");
	(void)core_unlock(g->c, STR("c1"), g->now);
	locked(renewal, "me", 7);
	(void)gear_log(g);
	gear_pass(g, 3000);
	SEES_NOT(gear_log(g), "session:lock\"");
}

static void a_lost_lock_is_told(void **state)
{
	(void)state;
	static const char lost[] = "lock conversation=c1 session=s1 #0 not_lock_holder";
	join("me", 1);
	locked((int64_t)core_lock(g->c, STR("c1"), 6000, 0, g->now), "me", 7);
	gear_feed(g, "{\"type\":\"session:locked\",\"sessionId\":\"s1\",\"deviceId\":\"other\",\"fence\":8}");
	const char *log = gear_log(g);
	SEES(log, lost);
	SEES(log, "device=other");
	locked((int64_t)core_lock(g->c, STR("c1"), 6000, 0, g->now), "me", 9);
	gear_pass(g, 6100); /* renewals are not answered */
	SEES(gear_log(g), lost);
	locked((int64_t)core_lock(g->c, STR("c1"), 6000, 0, g->now), "me", 10);
	drop();
	SEES(gear_log(g), lost);
}

static void a_clear_moves_the_seat_to_the_next_session(void **state)
{
	(void)state;
	join("me", 3);
	(void)gear_log(g);
	gear_feed(
		g,
		"{\"type\":\"session:cleared\",\"killedSessionId\":\"s1\",\"sessionId\":\"s2\",\"conversationId\":\"c1\"}");
	push("Session", "s1", 9, "", "{\"conversationId\":\"c1\",\"state\":\"killed\",\"nextSessionId\":\"s2\"}");
	const char *log = gear_log(g);
	assert_int_equal(gear_count(log, "cleared conversation=c1 session=s2 other=s1"), 1);
	assert_string_equal(seat().session.p, "s2");
	assert_false(seat().is_primary);
	gear_feed(
		g,
		"{\"type\":\"device:primary\",\"sessionId\":\"s1\",\"deviceId\":\"me\",\"term\":9}"); /* of the old one */
	assert_false(seat().is_primary);
	gear_feed(g, "{\"type\":\"device:primary\",\"sessionId\":\"s2\",\"deviceId\":\"me\",\"term\":1}");
	assert_true(seat().is_primary); /* whatever the terms of the session before */
	struct core_message m = {.conversation = STR("c1"), .text = STR("fresh")};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, NULL), OK);
	SEES(gear_log(g), "\"sessionId\":\"s2\",\"text\":\"fresh\"");
}

static void a_clear_that_happened_while_away_is_told_by_the_feed(void **state)
{
	(void)state;
	join("me", 3);
	drop();
	gear_pass(g, 400);
	(void)gear_log(g);
	gear_online(g, 1);
	push("Session", "s1", 9, "", "{\"conversationId\":\"c1\",\"state\":\"killed\",\"nextSessionId\":\"s2\"}");
	push("Session", "s2", 10, "",
	     "{\"conversationId\":\"c1\",\"state\":\"active\",\"primaryDeviceId\":\"tablet\",\"term\":4}");
	const char *log = gear_log(g);
	assert_int_equal(gear_count(log, "cleared conversation=c1 session=s2 other=s1"), 1);
	SEES(log, "session=s2 device=tablet #4");
}

static void the_first_message_gives_the_seat_its_session(void **state)
{
	(void)state;
	gear_online(g, 1);
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	gear_feed(
		g,
		"{\"type\":\"session:state\",\"re\":%lld,\"conversationId\":\"c1\",\"session\":null,\"primary\":{\"deviceId\":null,\"term\":0},\"lock\":null,\"running\":[]}",
		(long long)gear_last_id(g, "session:join"));
	push("Session", "s1", 9, "",
	     "{\"conversationId\":\"c1\",\"state\":\"active\",\"primaryDeviceId\":\"me\",\"term\":1}");
	assert_true(seat().is_primary);
	assert_string_equal(seat().session.p, "s1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_joined_conversation_is_joined_again_after_a_reconnect),
		TEST(a_hello_says_what_this_device_means_to_be_in),
		TEST(a_hello_with_more_seats_than_the_daemon_has_is_said_again_with_fewer),
		TEST(a_hello_is_never_larger_than_a_frame_may_be),
		TEST(a_leave_is_heard_whenever_it_is_said),
		TEST(too_many_conversations_are_refused_by_name),
		TEST(a_join_that_is_refused_for_a_while_is_tried_again),
		TEST(who_is_primary_follows_the_greatest_term),
		TEST(who_was_primary_and_still_is_after_a_reconnect_is_told_so),
		TEST(who_stood_down_is_primary_again_only_under_another_term),
		TEST(primary_is_asked_for_and_the_answer_told),
		TEST(automatic_messages_carry_the_term_and_stop_when_it_is_over),
		TEST(typing_is_told_once_a_second),
		TEST(a_lock_is_renewed_at_a_third_of_its_time),
		TEST(a_lock_that_is_given_back_is_not_renewed),
		TEST(a_lost_lock_is_told),
		TEST(a_clear_moves_the_seat_to_the_next_session),
		TEST(a_clear_that_happened_while_away_is_told_by_the_feed),
		TEST(the_first_message_gives_the_seat_its_session),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
