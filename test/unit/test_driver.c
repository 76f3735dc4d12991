/* The engine of automatic runs on a device's core: what goes over the wire, also over reconnects and hand-overs. */
#include "client/core.h"
#include "client/driver.h"
#include "core_gear.h"

static struct gear *g;
static struct driver *d;
static int place; /* of the feed */

static void on_event(struct gear *gear, const struct core_event *e)
{
	(void)gear;
	driver_event(d, e);
}

static void feed(const char *type, const char *name, const char *fields)
{
	char cursor[CURSOR_CAP], tag[TAG_CAP];
	cursor_format(7, ++place, cursor);
	tag_format(place, tag);
	gear_feed(g,
		  "{\"type\":\"session:changes\",\"records\":[{\"type\":\"%s\",\"name\":\"%s\",\"changeTag\":\"%s\","
		  "\"created\":{\"at\":\"2026-01-02T03:04:05.678Z\",\"userId\":\"u\",\"deviceId\":\"\"},"
		  "\"modified\":{\"at\":\"2026-01-02T03:04:05.678Z\",\"userId\":\"u\",\"deviceId\":\"\"},"
		  "\"deleted\":false,\"fields\":{\"conversationId\":\"c1\",%s}}],\"cursor\":\"%s\",\"more\":false}",
		  type, name, tag, fields, cursor);
	driver_step(d, g->now);
}

static void run_is(const char *more)
{
	char fields[400];
	snprintf(
		fields, sizeof fields,
		"\"state\":\"active\",\"auto\":{\"run\":1,\"mode\":\"smart_stop\",\"maxMessages\":20,\"maxMs\":60000,%s}",
		more);
	feed("Session", "s1", fields);
}

static void answer(const char *name, int ord, const char *text)
{
	char fields[400];
	snprintf(fields, sizeof fields,
		 "\"sessionId\":\"s1\",\"role\":\"assistant\",\"status\":\"complete\",\"ord\":%d,\"text\":\"%s\"", ord,
		 text);
	feed("Message", name, fields);
}

static void primary_is(const char *device, int term)
{
	gear_feed(g, "{\"type\":\"device:primary\",\"sessionId\":\"s1\",\"deviceId\":\"%s\",\"term\":%d}", device,
		  term);
	driver_step(d, g->now);
}

static void join(const char *primary, int term)
{
	gear_feed(g,
		  "{\"type\":\"session:state\",\"re\":%lld,\"conversationId\":\"c1\",\"session\":{\"type\":\"Session\","
		  "\"name\":\"s1\",\"changeTag\":\"t1\",\"deleted\":false,\"fields\":{\"conversationId\":\"c1\","
		  "\"state\":\"active\"}},\"primary\":{\"deviceId\":\"%s\",\"term\":%d},\"lock\":null,\"running\":[]}",
		  (long long)gear_last_id(g, "session:join"), primary, term);
	driver_step(d, g->now);
}

static int setup(void **state)
{
	(void)state;
	place = 1;
	g = gear_new("me", 1);
	gear_online(g, 1);
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	d = driver_new(g->c, STR("c1"), NULL, NULL);
	g->on_event = on_event;
	join("me", 3);
	(void)gear_log(g);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gear_free(g);
	driver_free(d);
	return 0;
}

static void acked(int ord)
{
	struct core_entry e;
	assert_true(core_outbox_next(g->c, 0, &e));
	char name[64];
	assert_true(str_copy(e.name, name, sizeof name));
	gear_feed(g,
		  "{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"duplicate\":false,\"changeTag\":\"t1\","
		  "\"sessionId\":\"s1\",\"ord\":%d,\"at\":\"2026-01-02T03:04:05.678Z\"}",
		  (long long)gear_last_id(g, "message:send"), name, ord);
	driver_step(d, g->now);
}

static int sends(void) { return gear_count(gear_log(g), "> {\"type\":\"message:send\""); }

static void what_is_under_way_elsewhere_is_no_matter(void **state)
{
	(void)state;
	assert_int_equal(core_join(g->c, STR("c2"), g->now, NULL), OK);
	gear_feed(g,
		  "{\"type\":\"session:state\",\"re\":%lld,\"conversationId\":\"c2\",\"session\":{\"name\":\"s2\"},"
		  "\"primary\":{\"deviceId\":\"me\",\"term\":1},\"lock\":null,\"running\":[]}",
		  (long long)gear_last_id(g, "session:join"));
	struct core_message m = {.conversation = STR("c2"), .text = STR("there"), .automatic = true};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, NULL), OK);
	(void)gear_log(g);
	run_is("\"state\":\"running\",\"params\":{}");
	answer("a1", 2, "Pigeons carry letters.");
	assert_int_equal(sends(), 1);
}

static void an_answer_is_followed_with_term_and_parent(void **state)
{
	(void)state;
	run_is("\"state\":\"running\",\"params\":{\"request\":{\"model\":\"local:test\"}}");
	answer("a1", 2, "Pigeons carry letters.");
	const char *log = gear_log(g);
	assert_int_equal(gear_count(log, "> {\"type\":\"message:send\""), 1);
	assert_non_null(strstr(log, "\"auto\":true,\"term\":3"));
	assert_non_null(strstr(log, "\"parent\":\"a1\""));
	assert_non_null(strstr(log, "\"request\":{\"model\":\"local:test\"}"));
	acked(3);
	run_is("\"state\":\"running\",\"sent\":1,\"answeredId\":\"a1\",\"answeredOrd\":2");
	assert_int_equal(sends(), 0);
	answer("a2", 4, "They find their way.");
	assert_int_equal(sends(), 1);
}

static void while_one_is_under_way_no_other_is_made(void **state)
{
	(void)state;
	run_is("\"state\":\"running\"");
	answer("a1", 2, "One.");
	assert_int_equal(sends(), 1);
	answer("a2", 4, "Two.");
	primary_is("me", 5);
	assert_int_equal(sends(), 0);
	struct core_entry e;
	assert_true(core_outbox_next(g->c, 0, &e));
	assert_false(core_outbox_next(g->c, e.number, &e));
	acked(3);
	assert_int_equal(sends(), 1);
}

static void who_is_not_primary_watches_and_goes_on_when_it_is(void **state)
{
	(void)state;
	primary_is("other", 4);
	run_is("\"state\":\"running\",\"sent\":7,\"answeredId\":\"a1\",\"answeredOrd\":2");
	answer("a1", 2, "One.");
	answer("a2", 4, "Two.");
	assert_int_equal(sends(), 0);
	primary_is("me", 5);
	const char *log = gear_log(g);
	assert_int_equal(gear_count(log, "> {\"type\":\"message:send\""), 1);
	assert_non_null(strstr(log, "\"parent\":\"a2\""));
	assert_non_null(strstr(log, "\"term\":5"));
}

static void a_refused_message_goes_and_is_not_made_again(void **state)
{
	(void)state;
	run_is("\"state\":\"running\"");
	answer("a1", 2, "One.");
	assert_int_equal(sends(), 1);
	gear_feed(
		g,
		"{\"type\":\"error\",\"re\":%lld,\"code\":\"already_answered\",\"message\":\"no\",\"retryable\":false}",
		(long long)gear_last_id(g, "message:send"));
	driver_step(d, g->now);
	struct core_entry e;
	assert_false(core_outbox_next(g->c, 0, &e));
	assert_int_equal(sends(), 0);
}

static void the_end_is_asked_for_under_the_term(void **state)
{
	(void)state;
	run_is("\"state\":\"running\"");
	answer("a1", 2, "The task is complete.");
	const char *log = gear_log(g);
	assert_non_null(strstr(log, "\"auto:stop\""));
	assert_non_null(strstr(log, "\"reason\":\"completion\",\"term\":3"));
	driver_step(d, g->now);
	assert_null(strstr(gear_log(g), "auto:stop"));
}

static void an_end_whose_answer_never_came_is_asked_for_again(void **state)
{
	(void)state;
	run_is("\"state\":\"running\"");
	answer("a1", 2, "The task is complete.");
	(void)gear_log(g);
	core_disconnected(g->c, 1006, ERR_UNAVAILABLE, NULL, g->now);
	driver_step(d, g->now);
	gear_pass(g, 400);
	gear_online(g, place);
	join("me", 3);
	assert_int_equal(gear_count(gear_log(g), "\"auto:stop\""), 1);
}

static void an_end_that_was_refused_for_now_is_asked_for_later(void **state)
{
	(void)state;
	run_is("\"state\":\"running\"");
	answer("a1", 2, "The task is complete.");
	assert_int_equal(driver_next_ms(d), INT64_MAX);
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"overloaded\",\"message\":\"no\",\"retryable\":true}",
		  (long long)gear_last_id(g, "auto:stop"));
	(void)gear_log(g);
	driver_step(d, g->now);
	driver_step(d, g->now);
	assert_int_equal(gear_count(gear_log(g), "\"auto:stop\""), 0);
	assert_in_range(driver_next_ms(d), g->now.boot_ms + 1, g->now.boot_ms + 1000);
	gear_pass(g, driver_next_ms(d) - g->now.boot_ms);
	driver_step(d, g->now);
	assert_int_equal(gear_count(gear_log(g), "\"auto:stop\""), 1);
	assert_int_equal(driver_next_ms(d), INT64_MAX);
}

static void a_request_that_failed_pauses_the_run(void **state)
{
	(void)state;
	run_is("\"state\":\"running\"");
	feed("Message", "m1",
	     "\"sessionId\":\"s1\",\"role\":\"user\",\"status\":\"complete\",\"ord\":1,\"text\":\"x\"");
	feed("Request", "r1", "\"messageId\":\"m1\",\"state\":\"failed\"");
	const char *log = gear_log(g);
	assert_non_null(strstr(log, "\"auto:pause\""));
	assert_non_null(strstr(log, "\"reason\":\"error\""));
}

static void without_an_app_to_ask_it_pauses(void **state)
{
	(void)state;
	run_is("\"state\":\"running\",\"params\":{\"model\":true}");
	answer("a1", 2, "One.");
	assert_non_null(strstr(gear_log(g), "\"reason\":\"low_confidence\""));
}

#define E(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		E(what_is_under_way_elsewhere_is_no_matter),
		E(an_answer_is_followed_with_term_and_parent),
		E(while_one_is_under_way_no_other_is_made),
		E(who_is_not_primary_watches_and_goes_on_when_it_is),
		E(a_refused_message_goes_and_is_not_made_again),
		E(the_end_is_asked_for_under_the_term),
		E(an_end_whose_answer_never_came_is_asked_for_again),
		E(an_end_that_was_refused_for_now_is_asked_for_later),
		E(a_request_that_failed_pauses_the_run),
		E(without_an_app_to_ask_it_pauses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
