/* The device's core, fed with frames and time: the feed, its cursor, and when it is asked for. */
#include "client/core.h"
#include "core_one.h"

static void records_and_their_cursor_are_one_batch(void **state)
{
	(void)state;
	gear_online(g, 1);
	(void)gear_log(g);
	uint64_t before = g->handed;
	push("Project", "p", 5, "other", "{\"title\":\"Pigeons\"}");
	const char *log = gear_log(g);
	SEES(log, "+2 Project/p 1 5 {");
	SEES(log, "+0 cursor 1.0000000000000007.5");
	assert_int_equal(g->handed, before + 1);
	assert_string_equal(shows("Project", "p", "title"), "Pigeons");
}

static void the_cursor_goes_on_from_where_it_was(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Project", "p", 5, "other", "{\"title\":\"Pigeons\"}");
	gear_reboot(g);
	(void)gear_log(g);
	gear_online(g, 5);
	SEES(gear_log(g), "\"cursor\":\"1.0000000000000007.5\",");
}

static void what_comes_again_or_late_changes_nothing(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Project", "p", 5, "other", "{\"title\":\"new\"}");
	(void)gear_log(g);
	push("Project", "p", 5, "other", "{\"title\":\"new\"}");
	push("Project", "p", 3, "other", "{\"title\":\"old\"}");
	const char *log = gear_log(g);
	SEES_NOT(log, "record");
	SEES_NOT(log, "cursor");
	assert_string_equal(shows("Project", "p", "title"), "new");
	assert_string_equal(core_status(g->c).cursor.p, cursor_at(5));
}

static void only_a_durable_cursor_is_acknowledged_and_once(void **state)
{
	(void)state;
	gear_online(g, 1);
	gear_pass(g, 1000);
	(void)gear_log(g);
	g->defers = true;
	for (int i = 2; i < 9; i++) push("Project", "p", i, "other", "{}");
	gear_pass(g, 2000);
	SEES_NOT(gear_log(g), "device:ack");
	gear_durable(g);
	gear_pass(g, 1000);
	const char *log = gear_log(g);
	assert_int_equal(gear_count(log, "device:ack"), 1);
	SEES(log, "> {\"type\":\"device:ack\",\"cursor\":\"1.0000000000000007.8\"}");
}

static void expire_at_hello(void)
{
	core_start(g->c, g->now);
	core_connected(g->c, g->now);
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"cursor_expired\"}",
		  (long long)gear_last_id(g, "device:hello"));
}

static void welcome(int64_t place)
{
	gear_feed(g, "{\"type\":\"device:welcome\",\"re\":%lld,\"userId\":\"u\",\"cursor\":\"%s\"}",
		  (long long)gear_last_id(g, "device:hello"), cursor_at(place));
}

static void an_expired_cursor_begins_anew_and_drops_what_did_not_come(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Project", "kept", 2, "other", "{\"title\":\"kept\"}");
	push("Project", "lost", 3, "other", "{\"title\":\"lost\"}");
	struct core_message m = {.conversation = STR("c1"), .text = STR("typed")};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, NULL), OK);
	gear_reboot(g);
	(void)gear_log(g);
	expire_at_hello();
	const char *log = gear_log(g);
	assert_int_equal(gear_count(log, "device:hello"), 2);
	SEES_NOT(strstr(log, "-0 cursor"), "\"cursor\"");
	welcome(9);
	gear_feed(
		g,
		"{\"type\":\"session:changes\",\"records\":[{\"type\":\"Project\",\"name\":\"kept\",\"changeTag\":\"t1\","
		"\"deleted\":false,\"fields\":{\"title\":\"kept\"}}],\"cursor\":\"%s\",\"more\":true}",
		cursor_at(4));
	assert_string_equal(shows("Project", "lost", "title"), "lost"); /* not before the end */
	/* Killed in the middle: it goes on where it was. */
	gear_reboot(g);
	core_start(g->c, g->now);
	core_connected(g->c, g->now);
	welcome(9);
	gear_feed(g, "{\"type\":\"session:changes\",\"records\":[],\"cursor\":\"%s\",\"more\":false}", cursor_at(9));
	SEES(gear_log(g), "resynced");
	assert_string_equal(shows("Project", "lost", "title"), "(none)");
	assert_string_equal(shows("Project", "kept", "title"), "kept");
	assert_int_equal(core_status(g->c).pending, 1);
}

/* The feed of before had it at a later place; the store it is in now gave it another. */
static void a_message_acknowledged_while_all_is_asked_for_anew_stays(void **state)
{
	struct id id;
	(void)state;
	gear_online(g, 1);
	struct core_message m = {.conversation = STR("c1"), .text = STR("typed")};
	assert_int_equal(core_send(g->c, &m, g->now, &id, NULL), OK);
	push("Message", id.s, 50, "me",
	     "{\"conversationId\":\"c1\",\"sessionId\":\"s1\",\"text\":\"typed\",\"ord\":1}");
	gear_reboot(g);
	expire_at_hello();
	welcome(9);
	gear_feed(g,
		  "{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"duplicate\":true,\"changeTag\":\"t5\","
		  "\"sessionId\":\"s1\",\"ord\":1,\"at\":\"2026-01-02T03:04:05.678Z\"}",
		  (long long)gear_last_id(g, "message:send"), id.s);
	gear_feed(g, "{\"type\":\"session:changes\",\"records\":[],\"cursor\":\"%s\",\"more\":false}", cursor_at(9));
	SEES(gear_log(g), "resynced");
	assert_string_equal(shows("Message", id.s, "text"), "typed");
}

static void a_sync_whose_cursor_expired_begins_the_connection_again(void **state)
{
	(void)state;
	gear_online(g, 1);
	core_nudge(g->c, g->now);
	(void)gear_log(g);
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"cursor_expired\"}",
		  (long long)gear_last_id(g, "session:sync"));
	SEES(gear_log(g), "disconnect");
	core_disconnected(g->c, 1000, OK, NULL, g->now);
	gear_pass(g, 0);
	SEES(gear_log(g), "connect");
}

static void each_reason_causes_exactly_one_sync(void **state)
{
	(void)state;
	gear_online(g, 1);
	assert_int_equal(core_status(g->c).syncs, 1); /* start */
	gear_pass(g, 1000);
	assert_int_equal(core_status(g->c).syncs, 1);
	core_foreground(g->c, false, g->now);
	core_foreground(g->c, true, g->now); /* foreground */
	assert_int_equal(core_status(g->c).syncs, 2);
	answer_sync(1, false);
	core_nudge(g->c, g->now); /* a nudge */
	answer_sync(1, false);
	gear_pass(g, 1000);
	assert_int_equal(core_status(g->c).syncs, 3);
	struct core_message m = {.conversation = STR("c1"), .text = STR("typed")};
	struct id id;
	assert_int_equal(core_send(g->c, &m, g->now, &id, NULL), OK);
	gear_feed(
		g,
		"{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"changeTag\":\"t2\",\"sessionId\":\"s\",\"ord\":1}",
		(long long)gear_last_id(g, "message:send"), id.s); /* sent */
	gear_pass(g, 250);
	assert_int_equal(core_status(g->c).syncs, 4);
	answer_sync(2, false);
	gear_pass(g, 250);
	assert_int_equal(core_status(g->c).syncs, 4);
	for (int i = 3; i < 8; i++) push("Message", "m", i, "other", "{\"conversationId\":\"c1\"}"); /* received */
	gear_pass(g, 250);
	assert_int_equal(core_status(g->c).syncs, 5);
	answer_sync(8, false);
	push("Session", "s", 9, "other", "{\"conversationId\":\"c1\",\"state\":\"active\"}"); /* session change */
	gear_pass(g, 250);
	assert_int_equal(core_status(g->c).syncs, 6);
	answer_sync(9, false);
	gear_pass(g, 29000);
	gear_feed(g, "{\"type\":\"pong\"}");
	assert_int_equal(core_status(g->c).syncs, 6);
	gear_pass(g, 1100); /* 30 s while active */
	assert_int_equal(core_status(g->c).syncs, 7);
	answer_sync(9, false);
	core_foreground(g->c, false, g->now);
	gear_pass(g, 29000);
	gear_feed(g, "{\"type\":\"pong\"}");
	gear_pass(g, 29000);
	assert_int_equal(core_status(g->c).syncs, 7); /* not in the background */
}

static void nothing_is_due_while_the_connection_ends(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Project", "p", 5, "other", "{\"title\":\"Pigeons\"}"); /* a reason for a sync, soon */
	core_stop(g->c, g->now);
	struct core_message m = {.conversation = STR("c1"), .text = STR("typed meanwhile")};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, NULL), OK);
	SEES_NOT(gear_log(g), "message:send");
	gear_pass(g, 1000);
	assert_int_equal(core_next_ms(g->c), INT64_MAX);
	drop();
	assert_int_equal(core_status(g->c).syncs, 1);
}

static void reasons_during_a_sync_are_part_of_it_and_offline_there_is_none(void **state)
{
	(void)state;
	gear_online(g, 1);
	core_nudge(g->c, g->now);
	core_nudge(g->c, g->now);
	core_foreground(g->c, false, g->now);
	core_foreground(g->c, true, g->now);
	push("Message", "m", 3, "other", "{\"conversationId\":\"c1\"}");
	assert_int_equal(core_status(g->c).syncs, 2);
	assert_true(core_status(g->c).syncing);
	drop();
	assert_false(core_status(g->c).syncing);
	(void)gear_log(g);
	gear_pass(g, 50);
	assert_int_equal(core_status(g->c).syncs, 2);
	core_nudge(g->c, g->now); /* connects instead, and not twice */
	core_nudge(g->c, g->now);
	assert_int_equal(gear_count(gear_log(g), "connect\n"), 1);
	assert_int_equal(core_status(g->c).syncs, 2);
}

static void a_sync_that_is_refused_is_asked_for_again(void **state)
{
	(void)state;
	gear_online(g, 1);
	for (int64_t asked = 0; asked <= 9000; asked += 9000) {
		core_nudge(g->c, g->now);
		gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"overloaded\",\"retryAfterMs\":%lld}",
			  (long long)gear_last_id(g, "session:sync"), (long long)asked);
		assert_false(core_status(g->c).syncing);
		(void)gear_log(g);
		gear_pass(g, MAX(asked, 5000) - 10);
		SEES_NOT(gear_log(g), "session:sync");
		gear_pass(g, 20);
		SEES(gear_log(g), "session:sync");
		answer_sync(1, false);
	}
}

static void a_sync_takes_every_page(void **state)
{
	(void)state;
	gear_online(g, 1);
	core_nudge(g->c, g->now);
	answer_sync(50, true);
	SEES(gear_log(g), "> {\"type\":\"session:sync\",\"id\":3,\"cursor\":\"1.0000000000000007.1e\"");
	answer_sync(50, true); /* a page that does not move is the last, whatever it says */
	assert_false(core_status(g->c).syncing);
	assert_int_equal(core_status(g->c).syncs, 2);
}

static void a_first_sync_shows_how_far_it_is(void **state)
{
	(void)state;
	core_start(g->c, g->now);
	core_connected(g->c, g->now);
	welcome(200);
	gear_feed(g, "{\"type\":\"session:changes\",\"records\":[],\"cursor\":\"%s\",\"more\":true}", cursor_at(50));
	assert_int_equal(core_status(g->c).percent, 25);
	gear_feed(g, "{\"type\":\"session:changes\",\"records\":[],\"cursor\":\"%s\",\"more\":false}", cursor_at(200));
	assert_int_equal(core_status(g->c).percent, 100);
	assert_false(core_status(g->c).syncing);
}

static void a_lost_edit_is_counted_until_it_was_looked_at(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Revision", "r1", 5, "",
	     "{\"recordType\":\"Project\",\"recordName\":\"p\",\"field\":\"title\",\"value\":\"x\",\"deviceId\":\"me\",\"conflict\":true}");
	SEES(gear_log(g), "conflict type=Project name=p device=me other=r1 field=title mine");
	push("Revision", "r2", 6, "",
	     "{\"recordType\":\"Project\",\"recordName\":\"p\",\"field\":\"title\",\"conflict\":false}");
	assert_int_equal(core_status(g->c).conflicted, 1);
	gear_reboot(g);
	assert_int_equal(core_status(g->c).conflicted, 1);
	core_conflicts_seen(g->c, g->now);
	gear_reboot(g);
	assert_int_equal(core_status(g->c).conflicted, 0);
}

static void a_killed_session_stays_until_it_is_forgotten_here(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Session", "s1", 4, "", "{\"conversationId\":\"c1\",\"state\":\"active\"}");
	push("Message", "m1", 5, "other", "{\"conversationId\":\"c1\",\"sessionId\":\"s1\",\"text\":\"old\"}");
	assert_int_equal(core_forget_session(g->c, STR("s1"), g->now, NULL), ERR_BAD_STATE);
	push("Session", "s1", 6, "", "{\"conversationId\":\"c1\",\"state\":\"killed\",\"nextSessionId\":\"s2\"}");
	assert_string_equal(shows("Message", "m1", "text"), "old");
	assert_int_equal(core_forget_session(g->c, STR("s1"), g->now, NULL), OK);
	assert_string_equal(shows("Message", "m1", "text"), "(none)");
	gear_reboot(g);
	gear_online(g, 6);
	push("Message", "m1", 7, "other", "{\"conversationId\":\"c1\",\"sessionId\":\"s1\",\"text\":\"old\"}");
	assert_string_equal(shows("Message", "m1", "text"), "(none)");
	assert_int_equal(core_forget_session(g->c, STR("nobody"), g->now, NULL), ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records_and_their_cursor_are_one_batch),
		TEST(the_cursor_goes_on_from_where_it_was),
		TEST(what_comes_again_or_late_changes_nothing),
		TEST(only_a_durable_cursor_is_acknowledged_and_once),
		TEST(an_expired_cursor_begins_anew_and_drops_what_did_not_come),
		TEST(a_message_acknowledged_while_all_is_asked_for_anew_stays),
		TEST(a_sync_whose_cursor_expired_begins_the_connection_again),
		TEST(each_reason_causes_exactly_one_sync),
		TEST(nothing_is_due_while_the_connection_ends),
		TEST(reasons_during_a_sync_are_part_of_it_and_offline_there_is_none),
		TEST(a_sync_that_is_refused_is_asked_for_again),
		TEST(a_sync_takes_every_page),
		TEST(a_first_sync_shows_how_far_it_is),
		TEST(a_lost_edit_is_counted_until_it_was_looked_at),
		TEST(a_killed_session_stays_until_it_is_forgotten_here),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
