/* The device's core, fed with frames and time: answers as they are made. */
#include "client/core.h"
#include "core_one.h"

static void delta(int attempt, int offset, const char *text)
{
	gear_feed(
		g,
		"{\"type\":\"message:delta\",\"requestId\":\"r\",\"messageId\":\"a\",\"attempt\":%d,\"offset\":%d,\"kind\":\"text\",\"text\":\"%s\"}",
		attempt, offset, text);
}

static void an_answer_is_told_once_and_in_order(void **state)
{
	(void)state;
	gear_online(g, 1);
	delta(1, 0, "one ");
	delta(1, 0, "one ");
	delta(1, 2, "e two ");
	const char *log = gear_log(g);
	assert_int_equal(gear_count(log, "text=one "), 1);
	SEES(log, "text=two ");
	delta(1, 50, "far");
	delta(1, 60, "farther");
	log = gear_log(g);
	assert_int_equal(gear_count(log, "> {\"type\":\"message:attach\""), 1);
	SEES(log, "\"attempt\":1,\"kind\":\"text\",\"offset\":8");
	SEES_NOT(log, "text=far");
	delta(1, 8, "three");
	SEES(gear_log(g), "text=three");
}

static void two_attempts_are_never_spliced(void **state)
{
	(void)state;
	gear_online(g, 1);
	delta(1, 0, "first");
	delta(2, 0, "sec");
	delta(1, 5, " late");
	const char *log = gear_log(g);
	SEES(log, "again name=r");
	SEES_NOT(log, "late");
	gear_feed(g, "{\"type\":\"message:reset\",\"requestId\":\"r\",\"attempt\":3}");
	delta(3, 0, "third");
	log = gear_log(g);
	SEES(log, "again");
	SEES(log, "text=third");
	gear_feed(g, "{\"type\":\"message:reset\",\"requestId\":\"r\",\"attempt\":3}"); /* too slow: attach */
	SEES(gear_log(g), "\"attempt\":3,\"kind\":\"text\",\"offset\":5");
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"attempt_superseded\",\"attempt\":4}",
		  (long long)gear_last_id(g, "message:attach"));
	SEES(gear_log(g), "again");
	delta(3, 5, "x");
	SEES_NOT(gear_log(g), "text=x");
}

static void the_committed_message_completes_the_answer(void **state)
{
	(void)state;
	gear_online(g, 1);
	delta(1, 0, "one ");
	drop(); /* and the rest is missed */
	gear_pass(g, 400);
	gear_online(g, 1);
	(void)gear_log(g);
	push("Message", "a", 9, "",
	     "{\"conversationId\":\"c1\",\"role\":\"assistant\",\"requestId\":\"r\",\"text\":\"one two\",\"status\":\"complete\"}");
	const char *log = gear_log(g);
	SEES(log, "other=a text=two\n");
	SEES(log, "end name=r other=a text=one two\n");
	delta(1, 4, "two");
	push("Message", "a", 10, "",
	     "{\"conversationId\":\"c1\",\"role\":\"assistant\",\"requestId\":\"r\",\"text\":\"one two\",\"status\":\"complete\",\"tags\":[]}");
	log = gear_log(g);
	SEES_NOT(log, "end name");
	SEES_NOT(log, "text=two");
}

static void a_committed_message_of_another_attempt_replaces_the_text(void **state)
{
	(void)state;
	gear_online(g, 1);
	delta(1, 0, "wrong");
	push("Message", "a", 9, "",
	     "{\"role\":\"assistant\",\"requestId\":\"r\",\"text\":\"right\",\"status\":\"complete\",\"attempt\":2}");
	const char *log = gear_log(g);
	SEES(log, "again");
	SEES(log, "text=right");
	assert_int_equal(gear_count(log, "end name=r"), 1);
}

static void an_answer_ends_once_with_why(void **state)
{
	(void)state;
	gear_online(g, 1);
	delta(1, 0, "some");
	gear_feed(
		g,
		"{\"type\":\"request:state\",\"requestId\":\"r\",\"state\":\"failed\",\"attempt\":1,\"error\":{\"code\":\"provider_busy\",\"message\":\"busy\"}}");
	push("Request", "r", 9, "",
	     "{\"state\":\"failed\",\"attempt\":1,\"error\":{\"code\":\"provider_busy\",\"message\":\"busy\"}}");
	assert_int_equal(gear_count(gear_log(g), "end name=r other=a text=some provider_busy"), 1);
	gear_feed(g,
		  "{\"type\":\"request:state\",\"requestId\":\"r\",\"state\":\"queued\",\"attempt\":1}"); /* retried */
	delta(2, 0, "more");
	gear_feed(g, "{\"type\":\"request:state\",\"requestId\":\"r\",\"state\":\"stopped\",\"attempt\":2}");
	SEES(gear_log(g), "end name=r other=a text=more cancelled");
}

static void an_answer_to_this_device_is_marked(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct core_message m = {.conversation = STR("c1"), .text = STR("hello"), .request = STR("{}")};
	struct id id;
	assert_int_equal(core_send(g->c, &m, g->now, &id, NULL), OK);
	gear_feed(
		g,
		"{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"changeTag\":\"t5\",\"sessionId\":\"s1\",\"ord\":3,\"requestId\":\"r\"}",
		(long long)gear_last_id(g, "message:send"), id.s);
	delta(1, 0, "hi");
	SEES(gear_log(g), "text=hi mine");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_is_told_once_and_in_order),
		TEST(two_attempts_are_never_spliced),
		TEST(the_committed_message_completes_the_answer),
		TEST(a_committed_message_of_another_attempt_replaces_the_text),
		TEST(an_answer_ends_once_with_why),
		TEST(an_answer_to_this_device_is_marked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
