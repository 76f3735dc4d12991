/* The device's core, fed with frames and time: records as the person sees them. */
#include "client/core.h"
#include "core_one.h"

static void changes_of_this_device_are_seen_at_once(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Project", "p", 5, "other", "{\"title\":\"theirs\",\"path\":\"/p\"}");
	assert_int_equal(core_save(g->c, STR("Project"), STR("p"), STR("{\"title\":\"mine\"}"), g->now, NULL, NULL),
			 OK);
	assert_string_equal(shows("Project", "p", "title"), "mine");
	assert_string_equal(shows("Project", "p", "path"), "/p");
	assert_int_equal(core_view(g->c, STR("Project"), STR("p"), NULL).state, CORE_SENT);
	/* Somebody changes another field meanwhile: both are seen. */
	push("Project", "p", 6, "other", "{\"title\":\"theirs\",\"path\":\"/q\"}");
	assert_string_equal(shows("Project", "p", "title"), "mine");
	assert_string_equal(shows("Project", "p", "path"), "/q");
	gear_feed(
		g,
		"{\"type\":\"record:saved\",\"re\":%lld,\"results\":[{\"record\":{\"type\":\"Project\",\"name\":\"p\",\"changeTag\":"
		"\"t7\",\"deleted\":false,\"fields\":{\"title\":\"mine\",\"path\":\"/q\"}}}]}",
		(long long)gear_last_id(g, "record:save"));
	assert_string_equal(shows("Project", "p", "title"), "mine");
	assert_int_equal(core_view(g->c, STR("Project"), STR("p"), NULL).state, CORE_GONE);
}

static void a_change_names_the_stamps_it_saw(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Project", "p", 5, "other",
	     "{\"title\":\"x\",\"stamps\":{\"title\":\"0199f3c2a1b4-0000-other\",\"path\":\"0199f3c2a1b3-0000-other\"}}");
	(void)gear_log(g);
	assert_int_equal(core_save(g->c, STR("Project"), STR("p"), STR("{\"title\":\"y\"}"), g->now, NULL, NULL), OK);
	const char *log = gear_log(g);
	SEES(log, "\"policy\":\"merge\"");
	SEES(log, "\"base\":{\"title\":\"0199f3c2a1b4-0000-other\"}");
	SEES_NOT(strstr(log, "record:save"), "0199f3c2a1b3");
}

static void stamps_are_later_than_all_that_was_seen_whatever_the_clock(void **state)
{
	(void)state;
	char first[400], *at;
	gear_online(g, 1);
	push("Project", "p", 5, "other", "{\"title\":\"x\",\"stamps\":{\"title\":\"0fffffffffff-0003-other\"}}");
	gear_reboot(g); /* also after a restart */
	g->now.wall_ms = 5;
	(void)gear_log(g);
	assert_int_equal(core_save(g->c, STR("Project"), STR("q"), STR("{\"title\":\"y\"}"), g->now, NULL, NULL), OK);
	const char *log = gear_log(g);
	assert_non_null(at = strstr(log, "stamp\":\""));
	assert_true(str_copy(str_n(at + 8, 30), first, sizeof first));
	assert_true(strncmp(first, "0fffffffffff-0003", 17) > 0);
}

static void an_application_s_own_record_can_be_made_and_removed(void **state)
{
	(void)state;
	struct id id;
	assert_int_equal(core_save(g->c, STR("Recipe"), STR(""), STR("{\"title\":\"Soup\"}"), g->now, &id, NULL), OK);
	assert_string_equal(shows("Recipe", id.s, "title"), "Soup");
	assert_int_equal(core_remove(g->c, STR("Recipe"), id_str(&id), g->now, NULL), OK);
	assert_true(core_view(g->c, STR("Recipe"), id_str(&id), NULL).deleted);
	gear_online(g, 1);
	SEES(gear_log(g), "> {\"type\":\"record:save\"");
	assert_int_equal(core_remove(g->c, STR("Session"), STR("s"), g->now, NULL), ERR_FORBIDDEN);
}

static void a_message_is_seen_before_the_daemon_has_it_and_after(void **state)
{
	(void)state;
	struct core_message m = {.conversation = STR("c1"), .text = STR("hello")};
	struct id id;
	assert_int_equal(core_send(g->c, &m, g->now, &id, NULL), OK);
	assert_string_equal(shows("Message", id.s, "text"), "hello");
	assert_int_equal(core_view(g->c, STR("Message"), id_str(&id), NULL).state, CORE_PENDING);
	gear_online(g, 1);
	gear_feed(
		g,
		"{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"changeTag\":\"t5\",\"sessionId\":\"s1\",\"ord\":3,\"at\":"
		"\"2026-01-02T03:04:05.678Z\",\"requestId\":\"r1\"}",
		(long long)gear_last_id(g, "message:send"), id.s);
	assert_string_equal(shows("Message", id.s, "text"), "hello");
	assert_string_equal(shows("Message", id.s, "sessionId"), "s1");
	assert_string_equal(shows("Message", id.s, "requestId"), "r1");
	assert_int_equal(core_view(g->c, STR("Message"), id_str(&id), NULL).state, CORE_GONE);
}

static void what_the_feed_said_of_a_message_stands_over_its_ack(void **state)
{
	(void)state;
	struct core_message m = {.conversation = STR("c1"), .text = STR("hello")};
	struct id id;
	gear_online(g, 1);
	assert_int_equal(core_send(g->c, &m, g->now, &id, NULL), OK);
	push("Message", id.s, 5, "me", "{\"conversationId\":\"c1\",\"text\":\"hello\",\"extra\":\"kept\"}");
	gear_feed(
		g,
		"{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"duplicate\":true,\"changeTag\":\"t5\",\"sessionId\":\"s1\",\"ord\":3}",
		(long long)gear_last_id(g, "message:send"), id.s);
	assert_string_equal(shows("Message", id.s, "extra"), "kept");
}

static void what_the_app_saves_by_a_call_is_kept_too(void **state)
{
	(void)state;
	gear_online(g, 1);
	core_op op = core_call(g->c, STR("record:save"), STR("{\"records\":[]}"), g->now);
	gear_feed(
		g,
		"{\"type\":\"record:saved\",\"re\":%lld,\"results\":[{\"record\":{\"type\":\"Preset\",\"name\":\"x\",\"changeTag\":\"t9\",\"deleted\":false,\"fields\":{\"title\":\"T\"}}}]}",
		(long long)op);
	assert_string_equal(shows("Preset", "x", "title"), "T");
}

static void an_edit_is_seen_merged_and_a_deletion_too(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Message", "m1", 5, "me", "{\"conversationId\":\"c1\",\"role\":\"user\",\"text\":\"helo\"}");
	assert_int_equal(core_edit(g->c, STR("m1"), STR("hello"), g->now, NULL), OK);
	assert_string_equal(shows("Message", "m1", "text"), "hello");
	assert_int_equal(core_edit(g->c, STR("m1"), STR("hello!"), g->now, NULL), OK);
	assert_string_equal(shows("Message", "m1", "text"), "hello!");
	const char *log = gear_log(g);
	assert_int_equal(gear_count(log, "> {\"type\":\"message:edit\""), 1); /* one after the other */
	gear_feed(
		g,
		"{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"m1\",\"changeTag\":\"t6\",\"record\":{\"type\":\"Message\",\"name\":"
		"\"m1\",\"changeTag\":\"t6\",\"deleted\":false,\"fields\":{\"conversationId\":\"c1\",\"text\":\"hello\"}}}",
		(long long)gear_last_id(g, "message:edit"));
	SEES(gear_log(g), "\"text\":\"hello!\",\"base\":\"");
	assert_int_equal(core_delete(g->c, STR("m1"), g->now, NULL), OK);
	assert_true(core_view(g->c, STR("Message"), STR("m1"), NULL).deleted);
	assert_int_equal(core_edit(g->c, STR("m1"), STR("again"), g->now, NULL), ERR_NOT_FOUND);
}

static void a_message_hidden_here_is_marked(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Message", "m1", 5, "other", "{\"text\":\"x\",\"hiddenBy\":[\"tablet\"]}");
	assert_false(core_view(g->c, STR("Message"), STR("m1"), NULL).hidden);
	push("Project", "p", 6, "other", "{\"title\":\"x\",\"hiddenBy\":[\"me\"]}"); /* only messages are */
	assert_false(core_view(g->c, STR("Project"), STR("p"), NULL).hidden);
	assert_int_equal(core_save(g->c, STR("Message"), STR("m1"), STR("{\"hiddenBy\":{\"add\":[\"me\"]}}"), g->now,
				   NULL, NULL),
			 OK);
	assert_true(core_view(g->c, STR("Message"), STR("m1"), NULL).hidden);
	struct errinfo info;
	assert_int_equal(core_save(g->c, STR("Message"), STR("m1"), STR("{\"hiddenBy\":7}"), g->now, NULL, &info),
			 ERR_BAD_FIELD);
}

static void a_refusal_brings_what_the_daemon_has(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Project", "p", 5, "other", "{\"title\":\"Pigeons\"}");
	assert_int_equal(core_save(g->c, STR("Project"), STR("p"), STR("{\"title\":\"Doves\"}"), g->now, NULL, NULL),
			 OK);
	gear_feed(
		g,
		"{\"type\":\"record:saved\",\"re\":%lld,\"results\":[{\"error\":{\"code\":\"conflict\",\"serverRecord\":{"
		"\"type\":\"Project\",\"name\":\"p\",\"changeTag\":\"t9\",\"deleted\":false,\"fields\":{\"title\":"
		"\"Storks\"}}}}]}",
		(long long)gear_last_id(g, "record:save"));
	SEES(gear_log(g), "entry held conflict");
	assert_string_equal(shows("Project", "p", "title"), "Storks");
}

static void a_refused_change_is_not_seen_but_not_lost(void **state)
{
	(void)state;
	gear_online(g, 1);
	push("Message", "m1", 5, "me", "{\"conversationId\":\"c1\",\"text\":\"old\"}");
	assert_int_equal(core_edit(g->c, STR("m1"), STR("typed"), g->now, NULL), OK);
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"session_killed\",\"sessionId\":\"s2\"}",
		  (long long)gear_last_id(g, "message:edit"));
	assert_string_equal(shows("Message", "m1", "text"), "old");
	struct core_view v = core_view(g->c, STR("Message"), STR("m1"), NULL);
	assert_int_equal(v.state, CORE_HELD);
	assert_int_equal(v.why, ERR_SESSION_KILLED);
	struct core_entry e;
	assert_true(core_outbox_find(g->c, STR("Message"), STR("m1"), &e));
	assert_string_equal(e.text.p, "typed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(changes_of_this_device_are_seen_at_once),
		TEST(a_change_names_the_stamps_it_saw),
		TEST(stamps_are_later_than_all_that_was_seen_whatever_the_clock),
		TEST(an_application_s_own_record_can_be_made_and_removed),
		TEST(a_message_is_seen_before_the_daemon_has_it_and_after),
		TEST(what_the_feed_said_of_a_message_stands_over_its_ack),
		TEST(what_the_app_saves_by_a_call_is_kept_too),
		TEST(an_edit_is_seen_merged_and_a_deletion_too),
		TEST(a_message_hidden_here_is_marked),
		TEST(a_refusal_brings_what_the_daemon_has),
		TEST(a_refused_change_is_not_seen_but_not_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
