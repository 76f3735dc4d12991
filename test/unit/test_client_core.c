/* The device's core, fed with frames and time: the outbox and its refusals, and the connection. */
#include "client/core.h"
#include "core_one.h"

static struct id send_text(const char *conversation, const char *text)
{
	struct id id = {.s = ""};
	struct core_message m = {.conversation = str_c(conversation), .text = str_c(text)};
	assert_int_equal(core_send(g->c, &m, g->now, &id, NULL), OK);
	return id;
}

static void ack(const struct id *id, int place)
{
	char tag[TAG_CAP];
	tag_format(place, tag);
	gear_feed(g,
		  "{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"duplicate\":false,\"changeTag\":\"%s\","
		  "\"sessionId\":\"s1\",\"ord\":%d,\"at\":\"2026-01-02T03:04:05.678Z\"}",
		  (long long)gear_last_id(g, "message:send"), id->s, tag, place);
}

static void refuse(const char *type, const char *rest)
{
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"message\":\"no\",%s}", (long long)gear_last_id(g, type), rest);
}

static void reconnect(void)
{
	drop();
	gear_pass(g, 400);
	gear_online(g, 1);
}

static struct core_entry only_entry(void)
{
	struct core_entry e, more;
	assert_true(core_outbox_next(g->c, 0, &e));
	assert_false(core_outbox_next(g->c, e.number, &more));
	return e;
}

/* ---- outbox ----------------------------------------------------------------------------------------------------- */

static void a_wish_is_durable_before_it_is_sent(void **state)
{
	(void)state;
	g->defers = true;
	gear_online(g, 1);
	send_text("c1", "hello");
	const char *log = gear_log(g);
	SEES(log, "+1 0000000000000001");
	SEES_NOT(log, "message:send");
	gear_durable(g);
	SEES(gear_log(g), "message:send");
}

static void a_message_is_sent_again_under_its_id_until_it_is_answered(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct id id = send_text("c1", "hello");
	SEES(gear_log(g), id.s);
	for (int i = 0; i < 3; i++) {
		reconnect();
		const char *log = gear_log(g);
		assert_int_equal(gear_count(log, "\"message:send\""), 1);
		SEES(log, id.s);
	}
	ack(&id, 5);
	const char *log = gear_log(g);
	SEES(log, "entry gone [hello]");
	SEES(log, "-1 0000000000000001");
	reconnect();
	SEES_NOT(gear_log(g), "message:send");
}

static void wishes_made_offline_go_in_their_order(void **state)
{
	(void)state;
	struct id a = send_text("c1", "first"), b = send_text("c1", "second"), c = send_text("c1", "third");
	gear_online(g, 1);
	const char *log = gear_log(g);
	SEES(log, a.s);
	SEES_NOT(strstr(log, "message:send"), b.s);
	ack(&a, 5);
	SEES(gear_log(g), b.s);
	ack(&b, 6);
	SEES(gear_log(g), c.s);
	ack(&c, 7);
	assert_false(core_outbox_next(g->c, 0, &(struct core_entry){0}));
}

static void conversations_do_not_wait_for_each_other(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct id a = send_text("c1", "one"), b = send_text("c2", "two");
	const char *log = gear_log(g);
	SEES(log, a.s);
	SEES(log, b.s);
}

static void no_more_than_a_window_is_under_way(void **state)
{
	(void)state;
	char conversation[16];
	gear_online(g, 1);
	(void)gear_log(g);
	for (int i = 0; i < 100; i++) {
		snprintf(conversation, sizeof conversation, "c%d", i);
		send_text(conversation, "x");
	}
	assert_int_equal(gear_count(gear_log(g), "\"message:send\""), 32);
}

static void what_passes_is_tried_again_later_and_the_order_stays(void **state)
{
	(void)state;
	static const char *const codes[] = {"overloaded", "storage_full", "shutting_down", "rate_limited"};
	gear_online(g, 1);
	struct id a = send_text("c1", "first"), b = send_text("c1", "second");
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		char rest[80];
		snprintf(rest, sizeof rest, "\"code\":\"%s\",\"retryable\":true,\"retryAfterMs\":3000", codes[i]);
		(void)gear_log(g);
		refuse("message:send", rest);
		gear_pass(g, 2900);
		const char *log = gear_log(g);
		SEES_NOT(log, "> {\"type\":\"message:send\"");
		SEES(log, codes[i]);
		gear_pass(g, 600 << i);
		log = gear_log(g);
		SEES(log, a.s);
		SEES_NOT(log, b.s);
	}
	ack(&a, 5);
	SEES(gear_log(g), b.s);
}

static void the_wait_after_refusals_grows(void **state)
{
	(void)state;
	int64_t before = 0;
	gear_online(g, 1);
	send_text("c1", "x");
	for (int i = 0; i < 12; i++) {
		refuse("message:send", "\"code\":\"overloaded\",\"retryable\":true,\"retryAfterMs\":0");
		int64_t wait = only_entry().next_ms - g->now.boot_ms, most = MIN(500LL << i, 30000);
		assert_in_range(wait, most / 2, most);
		assert_true(wait > before / 2);
		before = wait;
		g->now.boot_ms += wait;
		core_frame(g->c, STR("{\"type\":\"pong\"}"), g->now);
	}
	/* What is taken ends the row of refusals. */
	struct core_entry first = only_entry();
	struct id id = {.s = ""};
	assert_true(str_copy(first.name, id.s, sizeof id.s));
	ack(&id, 5);
	send_text("c1", "y");
	refuse("message:send", "\"code\":\"overloaded\",\"retryable\":true,\"retryAfterMs\":0");
	assert_in_range(only_entry().next_ms - g->now.boot_ms, 250, 500);
}

static void a_locked_session_delays_only_its_own_messages(void **state)
{
	(void)state;
	gear_online(g, 1);
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	gear_feed(g,
		  "{\"type\":\"session:state\",\"re\":%lld,\"conversationId\":\"c1\",\"session\":{\"name\":\"s1\"},"
		  "\"primary\":{\"deviceId\":null,\"term\":0},\"lock\":null,\"running\":[]}",
		  (long long)gear_last_id(g, "session:join"));
	struct id a = send_text("c1", "first");
	refuse("message:send", "\"code\":\"session_locked\",\"retryable\":true,\"holder\":\"other\"");
	assert_string_equal(only_entry().device.p, "other");
	(void)gear_log(g);
	send_text("c2", "elsewhere");
	SEES(gear_log(g), "elsewhere");
	gear_feed(g, "{\"type\":\"session:unlocked\",\"sessionId\":\"s1\"}");
	SEES(gear_log(g), a.s);
}

static void a_duplicate_is_held_and_can_be_sent_anyway(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct id a = send_text("c1", "yes"), b = send_text("c1", "next");
	(void)gear_log(g);
	refuse("message:send",
	       "\"code\":\"duplicate_message\",\"messageId\":\"orig\",\"deviceId\":\"tablet\",\"ageMs\":900");
	const char *log = gear_log(g);
	SEES(log, "entry held duplicate_message [yes]");
	SEES(log, b.s); /* those behind it go on */
	ack(&b, 5);
	struct core_entry e = only_entry();
	assert_string_equal(e.other.p, "orig");
	assert_string_equal(e.device.p, "tablet");
	assert_int_equal(e.age_ms, 900);
	reconnect();
	SEES_NOT(gear_log(g), a.s);
	assert_int_equal(core_resolve(g->c, e.number, CORE_SEND_TO_NEW, g->now, NULL), ERR_BAD_STATE);
	assert_int_equal(core_resolve(g->c, e.number, CORE_SEND_ANYWAY, g->now, NULL), OK);
	log = gear_log(g);
	SEES(log, a.s);
	SEES(log, "\"force\":true");
}

static void a_held_message_survives_a_restart_and_can_be_discarded(void **state)
{
	(void)state;
	gear_online(g, 1);
	send_text("c1", "yes");
	refuse("message:send",
	       "\"code\":\"duplicate_message\",\"messageId\":\"orig\",\"deviceId\":\"tablet\",\"ageMs\":900");
	gear_reboot(g);
	struct core_entry e = only_entry();
	assert_int_equal(e.state, CORE_HELD);
	assert_int_equal(e.why, ERR_DUPLICATE);
	assert_string_equal(e.text.p, "yes");
	(void)gear_log(g);
	assert_int_equal(core_resolve(g->c, e.number, CORE_DISCARD, g->now, NULL), OK);
	SEES(gear_log(g), "entry gone cancelled [yes]");
	gear_reboot(g);
	assert_false(core_outbox_next(g->c, 0, &e));
}

static void a_message_into_a_killed_session_waits_for_the_person(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct core_message m = {.conversation = STR("c1"), .session = STR("s1"), .text = STR("late")};
	struct id a, b = send_text("c2", "x");
	(void)b;
	assert_int_equal(core_send(g->c, &m, g->now, &a, NULL), OK);
	(void)gear_log(g);
	refuse("message:send", "\"code\":\"session_killed\",\"sessionId\":\"s2\"");
	SEES(gear_log(g), "entry held session_killed [late]");
	struct core_entry e;
	assert_true(core_outbox_find(g->c, STR("Message"), id_str(&a), &e));
	assert_string_equal(e.other.p, "s2");
	reconnect();
	SEES_NOT(gear_log(g), "late");
	assert_int_equal(core_resolve(g->c, e.number, CORE_SEND_ANYWAY, g->now, NULL), ERR_BAD_STATE);
	assert_int_equal(core_resolve(g->c, e.number, CORE_SEND_TO_NEW, g->now, NULL), OK);
	const char *log = gear_log(g);
	SEES(log, a.s);
	SEES(log, "\"sessionId\":\"s2\"");
}

static void what_is_refused_for_good_is_held_and_can_be_tried_again(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct id a = send_text("c1", "hm");
	refuse("message:send", "\"code\":\"model_unknown\",\"retryable\":false");
	struct core_entry e = only_entry();
	assert_int_equal(e.state, CORE_HELD);
	assert_int_equal(e.why, ERR_MODEL_UNKNOWN);
	assert_string_equal(e.sentence.p, "no");
	assert_int_equal(core_status(g->c).held, 1);
	assert_int_equal(core_status(g->c).pending, 0);
	(void)gear_log(g);
	assert_int_equal(core_resolve(g->c, e.number, CORE_TRY_AGAIN, g->now, NULL), OK);
	SEES(gear_log(g), a.s);
}

static void the_whole_outbox_survives_a_restart(void **state)
{
	(void)state;
	struct id a = send_text("c1", "one \"quoted\" \n line"), b = send_text("c1", "two"),
		  c = send_text("c2", "three");
	gear_reboot(g);
	gear_online(g, 1);
	const char *log = gear_log(g);
	SEES(log, a.s);
	SEES(log, "one \\\"quoted\\\" \\n line");
	SEES(log, c.s);
	ack(&c, 4);
	gear_feed(
		g,
		"{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"changeTag\":\"t5\",\"sessionId\":\"s1\",\"ord\":1,"
		"\"at\":\"2026-01-02T03:04:05.678Z\"}",
		(long long)gear_last_id(g, "message:send") - 1, a.s);
	SEES(gear_log(g), b.s);
}

static void what_breaks_a_limit_is_refused_here_and_the_limit_named(void **state)
{
	(void)state;
	struct errinfo info;
	size_t n = 512 * 1024;
	char *text = xmalloc(n + 2);
	memset(text, 'a', n + 1);
	struct core_message m = {.conversation = STR("c1"), .text = str_n(text, n + 1)};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_TOO_LARGE);
	SEES(info.text, "textBytes is 524288");
	memset(text, 1, n); /* six bytes each in a frame */
	m.text = str_n(text, n);
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_TOO_LARGE);
	SEES(info.text, "frameBytes is 1048576");
	m.text = STR("");
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_BAD_FIELD);
	m.text = STR("a\0b");
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_BAD_FIELD);
	m.text = STR("\xff");
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_BAD_FIELD);
	m = (struct core_message){.conversation = STR("a b"), .text = STR("x")};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_BAD_FIELD);
	SEES(info.text, "conversationId");
	m = (struct core_message){.conversation = STR("c"), .text = STR("x"), .parts = STR("{}")};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_BAD_FIELD);
	m = (struct core_message){.conversation = STR("c"), .text = STR("x"), .request = STR("[")};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_BAD_FIELD);
	assert_int_equal(core_save(g->c, STR("Session"), STR("s"), STR("{\"state\":1}"), g->now, NULL, &info),
			 ERR_FORBIDDEN);
	assert_int_equal(core_save(g->c, STR("Project"), STR("p"), STR("[]"), g->now, NULL, &info), ERR_BAD_FIELD);
	assert_int_equal(core_edit(g->c, STR("nobody"), STR("x"), g->now, &info), ERR_NOT_FOUND);
	assert_false(core_outbox_next(g->c, 0, &(struct core_entry){0}));
	assert_int_equal(core_status(g->c).pending, 0);
	free(text);
}

static void limits_of_the_last_welcome_are_remembered(void **state)
{
	(void)state;
	struct errinfo info;
	core_start(g->c, g->now);
	core_connected(g->c, g->now);
	gear_feed(g, "{\"type\":\"device:welcome\",\"re\":%lld,\"userId\":\"u\",\"limits\":{\"textBytes\":1024}}",
		  (long long)gear_last_id(g, "device:hello"));
	gear_reboot(g);
	char text[1025];
	memset(text, 'x', sizeof text);
	struct core_message m = {.conversation = STR("c1"), .text = str_n(text, sizeof text)};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_TOO_LARGE);
	SEES(info.text, "textBytes is 1024");
}

static void the_outbox_has_an_end(void **state)
{
	(void)state;
	struct errinfo info;
	struct core_message m = {.conversation = STR("c1"), .text = STR("x")};
	g->quiet = true;
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), OK);
		gear_rows_clear(&g->rows); /* the list is slow, and not looked at */
	}
	assert_int_equal(core_send(g->c, &m, g->now, NULL, &info), ERR_TOO_MANY);
	SEES(info.text, "outboxEntries = 10000");
}

static void an_unsent_message_is_edited_where_it_stands(void **state)
{
	(void)state;
	struct id a = send_text("c1", "helo");
	assert_int_equal(core_edit(g->c, id_str(&a), STR("hello"), g->now, NULL), OK);
	struct core_entry e = only_entry();
	assert_int_equal(e.kind, CORE_SEND);
	assert_string_equal(e.text.p, "hello");
	gear_online(g, 1);
	const char *log = gear_log(g);
	SEES(log, "\"text\":\"hello\"");
	SEES_NOT(log, "> {\"type\":\"message:edit\"");
}

static void an_edit_of_a_message_under_way_waits_for_its_ack(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct id a = send_text("c1", "helo");
	(void)gear_log(g);
	assert_int_equal(core_edit(g->c, id_str(&a), STR("hello"), g->now, NULL), OK);
	SEES_NOT(gear_log(g), "> {\"type\":\"message:edit\"");
	ack(&a, 5);
	const char *log = gear_log(g);
	SEES(log, "> {\"type\":\"message:edit\"");
	SEES(log, "\"text\":\"hello\",\"stamp\":\"");
}

static void edits_of_a_held_message_go_when_it_goes(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct id a = send_text("c1", "yes");
	assert_int_equal(core_edit(g->c, id_str(&a), STR("yes!"), g->now, NULL),
			 OK); /* it may be there: its own entry */
	refuse("message:send", "\"code\":\"duplicate_message\",\"messageId\":\"o\",\"deviceId\":\"t\",\"ageMs\":9");
	SEES_NOT(gear_log(g), "> {\"type\":\"message:edit\"");
	struct core_entry e;
	assert_true(core_outbox_find(g->c, STR("Message"), id_str(&a), &e));
	assert_int_equal(core_resolve(g->c, e.number, CORE_SEND_ANYWAY, g->now, NULL), OK);
	gear_reboot(g); /* the order holds over a restart too */
	gear_online(g, 1);
	const char *log = gear_log(g);
	SEES(log, "> {\"type\":\"message:send\"");
	SEES_NOT(log, "> {\"type\":\"message:edit\"");
	ack(&a, 5);
	SEES(gear_log(g), "> {\"type\":\"message:edit\"");
}

static void discarding_a_message_takes_its_edits_along(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct id a = send_text("c1", "yes");
	assert_int_equal(core_edit(g->c, id_str(&a), STR("yes!"), g->now, NULL), OK);
	refuse("message:send", "\"code\":\"duplicate_message\",\"messageId\":\"o\",\"deviceId\":\"t\",\"ageMs\":9");
	struct core_entry e;
	assert_true(core_outbox_find(g->c, STR("Message"), id_str(&a), &e));
	assert_int_equal(core_resolve(g->c, e.number, CORE_DISCARD, g->now, NULL), OK);
	assert_false(core_outbox_next(g->c, 0, &e));
	gear_reboot(g);
	assert_false(core_outbox_next(g->c, 0, &e));
}

/* A person's words are not dropped with an automatic message that nobody typed. */
static void an_edit_of_a_refused_automatic_message_is_not_dropped_with_it(void **state)
{
	(void)state;
	gear_online(g, 1);
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	gear_feed(g,
		  "{\"type\":\"session:state\",\"re\":%lld,\"conversationId\":\"c1\",\"session\":{\"name\":\"s1\"},"
		  "\"primary\":{\"deviceId\":\"me\",\"term\":1},\"lock\":null,\"running\":[]}",
		  (long long)gear_last_id(g, "session:join"));
	struct core_message m = {.conversation = STR("c1"), .text = STR("go on"), .automatic = true};
	struct id id;
	assert_int_equal(core_send(g->c, &m, g->now, &id, NULL), OK);
	assert_int_equal(core_edit(g->c, id_str(&id), STR("typed"), g->now, NULL), OK);
	refuse("message:send", "\"code\":\"auto_stopped\"");
	refuse("message:edit", "\"code\":\"not_found\"");
	struct core_entry e = only_entry();
	assert_int_equal(e.state, CORE_HELD);
	assert_string_equal(e.text.p, "typed");
}

static void an_unsent_message_is_deleted_by_dropping_it(void **state)
{
	(void)state;
	struct id a = send_text("c1", "never mind");
	assert_int_equal(core_delete(g->c, id_str(&a), g->now, NULL), OK);
	assert_false(core_outbox_next(g->c, 0, &(struct core_entry){0}));
	assert_false(core_view(g->c, STR("Message"), id_str(&a), NULL).exists);
}

static void what_may_have_arrived_is_not_dropped(void **state)
{
	(void)state;
	struct errinfo info;
	gear_online(g, 1);
	struct id a = send_text("c1", "x");
	drop();
	struct core_entry e = only_entry();
	assert_int_equal(e.state, CORE_PENDING);
	assert_int_equal(core_resolve(g->c, e.number, CORE_DISCARD, g->now, &info), ERR_BAD_STATE);
	assert_int_equal(core_delete(g->c, id_str(&a), g->now, NULL), OK); /* a deletion of its own behind it */
	assert_true(core_outbox_next(g->c, e.number, &e));
	assert_int_equal(e.kind, CORE_DELETE);
	assert_true(core_view(g->c, STR("Message"), id_str(&a), NULL).deleted);
}

static void a_deletion_of_what_is_gone_is_done(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct id a = send_text("c1", "x");
	ack(&a, 5);
	assert_int_equal(core_delete(g->c, id_str(&a), g->now, NULL), OK);
	refuse("message:delete", "\"code\":\"not_found\"");
	assert_false(core_outbox_next(g->c, 0, &(struct core_entry){0}));
}

static void a_clear_keeps_its_place_between_messages(void **state)
{
	(void)state;
	gear_online(g, 1);
	struct id a = send_text("c1", "before");
	ack(&a, 5);
	gear_feed(
		g,
		"{\"type\":\"session:changes\",\"records\":[{\"type\":\"Conversation\",\"name\":\"c1\",\"changeTag\":\"t6\","
		"\"deleted\":false,\"fields\":{\"currentSessionId\":\"s1\"}}],\"cursor\":\"1.0000000000000007.6\"}");
	(void)gear_log(g);
	assert_int_equal(core_clear(g->c, CORE_OF_CONVERSATION, STR("c1"), g->now, NULL), OK);
	struct id b = send_text("c1", "after");
	const char *log = gear_log(g);
	SEES(log, "> {\"type\":\"session:clear\"");
	SEES_NOT(log, "> {\"type\":\"message:send\"");
	gear_feed(
		g,
		"{\"type\":\"session:cleared\",\"re\":%lld,\"conversationId\":\"c1\",\"killedSessionId\":\"s1\",\"sessionId\":\"s2\"}",
		(long long)gear_last_id(g, "session:clear"));
	log = gear_log(g);
	SEES(log, "cleared conversation=c1 session=s2 other=s1");
	SEES(log, b.s);
	SEES_NOT(strstr(log, b.s), "\"sessionId\":\"s1\""); /* not into the session it ended */
}

static void a_message_names_the_session_it_was_typed_in(void **state)
{
	(void)state;
	gear_online(g, 1);
	gear_feed(
		g,
		"{\"type\":\"session:changes\",\"records\":[{\"type\":\"Conversation\",\"name\":\"c1\",\"changeTag\":\"t6\","
		"\"deleted\":false,\"fields\":{\"currentSessionId\":\"s1\"}}],\"cursor\":\"1.0000000000000007.6\"}");
	drop();
	send_text("c1", "typed offline");
	assert_string_equal(only_entry().session.p, "s1");
}

/* Nobody typed it, so nobody is asked what to do with it. */
static void an_automatic_message_that_is_a_duplicate_goes(void **state)
{
	(void)state;
	gear_online(g, 1);
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	gear_feed(g,
		  "{\"type\":\"session:state\",\"re\":%lld,\"conversationId\":\"c1\",\"session\":{\"name\":\"s1\"},"
		  "\"primary\":{\"deviceId\":\"me\",\"term\":1},\"lock\":null,\"running\":[]}",
		  (long long)gear_last_id(g, "session:join"));
	struct core_message m = {.conversation = STR("c1"), .text = STR("go on"), .automatic = true};
	assert_int_equal(core_send(g->c, &m, g->now, NULL, NULL), OK);
	refuse("message:send", "\"code\":\"duplicate_message\",\"messageId\":\"m0\",\"deviceId\":\"other\"");
	SEES(gear_log(g), "entry gone duplicate_message [go on]");
	assert_int_equal(core_status(g->c).held, 0);
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

static void it_connects_again_with_growing_waits(void **state)
{
	(void)state;
	core_start(g->c, g->now);
	for (int i = 0; i < 14; i++) {
		drop();
		int64_t wait = core_next_ms(g->c) - g->now.boot_ms, most = MIN(200LL << i, 30000);
		assert_in_range(wait, most / 2, most);
		gear_pass(g, wait);
	}
	assert_int_equal(core_status(g->c).connects, 15);
	core_connected(g->c, g->now);
	gear_feed(g, "{\"type\":\"device:welcome\",\"re\":%lld,\"userId\":\"u\"}",
		  (long long)gear_last_id(g, "device:hello"));
	drop();
	assert_in_range(core_next_ms(g->c) - g->now.boot_ms, 100, 200); /* from the beginning after a welcome */
}

static void waits_differ_between_devices(void **state)
{
	(void)state;
	int64_t seen[8];
	int same = 0;
	for (uint64_t i = 0; i < ARRAY_LEN(seen); i++) {
		struct gear *other = gear_new("x", 100 + i);
		core_start(other->c, other->now);
		for (int k = 0; k < 8; k++) {
			core_disconnected(other->c, 1006, ERR_UNAVAILABLE, NULL, other->now);
			seen[i] = core_next_ms(other->c) - other->now.boot_ms;
			gear_pass(other, seen[i]);
		}
		for (uint64_t k = 0; k < i; k++) same += seen[k] == seen[i];
		gear_free(other);
	}
	assert_true(same < 3);
}

static void it_stops_for_good_when_told(void **state)
{
	(void)state;
	static const struct {
		int code;
		enum err e, tells;
	} ends[] = {{4001, ERR_UNAVAILABLE, ERR_EXISTS},
		    {4003, ERR_UNAVAILABLE, ERR_UNAUTHORIZED},
		    {0, ERR_UNAUTHORIZED, ERR_UNAUTHORIZED}};
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		gear_online(g, 1);
		send_text("c1", "kept");
		(void)gear_log(g);
		core_disconnected(g->c, ends[i].code, ends[i].e, NULL, g->now);
		char want[64];
		snprintf(want, sizeof want, "stopped %s", err_code(ends[i].tells));
		SEES(gear_log(g), want);
		assert_true(core_status(g->c).stopped);
		gear_pass(g, 600000);
		SEES_NOT(gear_log(g), "connect\n");
		assert_int_equal(core_status(g->c).pending, (int)i + 1);
	}
	core_start(g->c, g->now); /* a new token */
	SEES(gear_log(g), "connect\n");
}

static void why_a_hello_was_refused_is_told_and_stays(void **state)
{
	(void)state;
	core_start(g->c, g->now);
	core_connected(g->c, g->now);
	refuse("device:hello", "\"code\":\"forbidden\",\"retryable\":false");
	drop();
	SEES(gear_log(g), "stopped forbidden");
	assert_int_equal(core_status(g->c).failed, ERR_FORBIDDEN);
	assert_true(str_eq(core_status(g->c).sentence, STR("no")));
}

static void the_daemon_may_say_how_long_to_stay_away(void **state)
{
	struct errinfo info;
	(void)state;
	gear_online(g, 1);
	(void)err_set(&info, ERR_OVERLOADED, "too many");
	for (int64_t asked = 20000; asked <= 2000000; asked *= 100) {
		info.retry_after_ms = asked;
		core_disconnected(g->c, 1013, ERR_OVERLOADED, &info, g->now);
		assert_int_equal(core_status(g->c).next_try_ms - g->now.boot_ms, MIN(asked, 60000)); /* not for ever */
		gear_pass(g, MIN(asked, 60000));
		gear_online(g, 1);
	}
	/* And a caller whose clock was read too early does not turn it back. */
	struct core_now early = {.boot_ms = 1, .wall_ms = g->now.wall_ms};
	info.retry_after_ms = 0;
	core_disconnected(g->c, 1006, ERR_UNAVAILABLE, &info, early);
	assert_true(core_status(g->c).next_try_ms > g->now.boot_ms);
}

static void silence_is_asked_and_then_given_up(void **state)
{
	(void)state;
	gear_online(g, 1);
	core_foreground(g->c, false, g->now);
	(void)gear_log(g);
	gear_pass(g, 29000);
	SEES_NOT(gear_log(g), "ping");
	gear_pass(g, 1500);
	SEES(gear_log(g), "{\"type\":\"ping\"}");
	gear_feed(g, "{\"type\":\"pong\"}");
	gear_pass(g, 29000);
	SEES_NOT(gear_log(g), "disconnect");
	gear_pass(g, 32000);
	SEES(gear_log(g), "disconnect");
	core_disconnected(g->c, 0, ERR_TIMEOUT, NULL, g->now);
	assert_true(core_next_ms(g->c) > g->now.boot_ms);
}

static void with_something_under_way_silence_is_noticed_sooner(void **state)
{
	(void)state;
	gear_online(g, 1);
	send_text("c1", "x");
	(void)gear_log(g);
	gear_pass(g, 10100);
	SEES(gear_log(g), "disconnect");
}

static void a_frame_too_large_for_the_daemon_does_not_come_back_for_ever(void **state)
{
	(void)state;
	gear_online(g, 1);
	send_text("c1", "small");
	send_text("c2", "a much larger one than the other");
	core_disconnected(g->c, 1009, ERR_TOO_LARGE, NULL, g->now);
	struct core_entry e;
	assert_true(core_outbox_next(g->c, 1, &e));
	assert_int_equal(e.state, CORE_HELD);
	assert_int_equal(e.why, ERR_TOO_LARGE);
	assert_int_equal(core_status(g->c).pending, 1);
}

static void a_call_gets_one_answer_even_when_the_connection_goes(void **state)
{
	(void)state;
	assert_int_equal(core_call(g->c, STR("queue:list"), STR("{}"), g->now), 0);
	gear_online(g, 1);
	core_op op = core_call(g->c, STR("record:query"), STR("{\"recordType\":\"Conversation\",\"id\":9}"), g->now);
	assert_true(op != 0);
	const char *log = gear_log(g);
	SEES(log, "> {\"type\":\"record:query\"");
	SEES_NOT(log, "\"id\":9");
	gear_feed(g, "{\"type\":\"record:found\",\"re\":%lld,\"records\":[]}", (long long)op);
	gear_feed(g, "{\"type\":\"record:found\",\"re\":%lld,\"records\":[]}", (long long)op);
	assert_int_equal(gear_count(gear_log(g), "answer"), 1);
	op = core_call(g->c, STR("request:stop"), STR("{\"requestId\":\"r\"}"), g->now);
	gear_feed(g, "{\"type\":\"error\",\"re\":%lld,\"code\":\"not_found\"}", (long long)op);
	SEES(gear_log(g), "answer not_found");
	core_call(g->c, STR("queue:list"), STR("{}"), g->now);
	drop();
	SEES(gear_log(g), "answer unavailable");
}

static void a_frame_of_no_concern_is_passed_on(void **state)
{
	(void)state;
	gear_online(g, 1);
	gear_feed(g, "{\"type\":\"queue:state\",\"sessionId\":\"s\"}");
	SEES(gear_log(g), "push text=queue:state");
	gear_feed(
		g,
		"{\"type\":\"message:duplicate\",\"sessionId\":\"s\",\"messageId\":\"m\",\"deviceId\":\"d\",\"ageMs\":5}");
	SEES(gear_log(g), "duplicate name=m session=s device=d");
}

static void the_status_says_what_a_person_wants_to_know(void **state)
{
	(void)state;
	struct core_status s = core_status(g->c);
	assert_false(s.online);
	core_start(g->c, g->now);
	int64_t since = g->now.wall_ms;
	drop();
	gear_pass(g, 5000);
	s = core_status(g->c);
	assert_int_equal(s.offline_ms, since);
	assert_int_equal(s.failed, ERR_UNAVAILABLE);
	drop();
	s = core_status(g->c);
	assert_true(s.next_try_ms > g->now.boot_ms);
	gear_pass(g, s.next_try_ms - g->now.boot_ms);
	gear_online(g, 1);
	s = core_status(g->c);
	assert_true(s.online && !s.syncing && s.failed == OK && s.offline_ms == 0);
	assert_int_equal(s.synced_ms, g->now.wall_ms);
	core_disk(g->c, ERR_STORAGE_FULL, NULL, g->now);
	assert_int_equal(core_status(g->c).failed, ERR_STORAGE_FULL);
	core_disk(g->c, OK, NULL, g->now);
	assert_int_equal(core_status(g->c).failed, OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_wish_is_durable_before_it_is_sent),
		TEST(a_message_is_sent_again_under_its_id_until_it_is_answered),
		TEST(wishes_made_offline_go_in_their_order),
		TEST(conversations_do_not_wait_for_each_other),
		TEST(no_more_than_a_window_is_under_way),
		TEST(what_passes_is_tried_again_later_and_the_order_stays),
		TEST(the_wait_after_refusals_grows),
		TEST(a_locked_session_delays_only_its_own_messages),
		TEST(a_duplicate_is_held_and_can_be_sent_anyway),
		TEST(a_held_message_survives_a_restart_and_can_be_discarded),
		TEST(a_message_into_a_killed_session_waits_for_the_person),
		TEST(what_is_refused_for_good_is_held_and_can_be_tried_again),
		TEST(the_whole_outbox_survives_a_restart),
		TEST(what_breaks_a_limit_is_refused_here_and_the_limit_named),
		TEST(limits_of_the_last_welcome_are_remembered),
		TEST(the_outbox_has_an_end),
		TEST(an_unsent_message_is_edited_where_it_stands),
		TEST(an_edit_of_a_message_under_way_waits_for_its_ack),
		TEST(edits_of_a_held_message_go_when_it_goes),
		TEST(discarding_a_message_takes_its_edits_along),
		TEST(an_edit_of_a_refused_automatic_message_is_not_dropped_with_it),
		TEST(an_automatic_message_that_is_a_duplicate_goes),
		TEST(an_unsent_message_is_deleted_by_dropping_it),
		TEST(what_may_have_arrived_is_not_dropped),
		TEST(a_deletion_of_what_is_gone_is_done),
		TEST(a_clear_keeps_its_place_between_messages),
		TEST(a_message_names_the_session_it_was_typed_in),
		TEST(it_connects_again_with_growing_waits),
		TEST(waits_differ_between_devices),
		TEST(it_stops_for_good_when_told),
		TEST(why_a_hello_was_refused_is_told_and_stays),
		TEST(the_daemon_may_say_how_long_to_stay_away),
		TEST(silence_is_asked_and_then_given_up),
		TEST(with_something_under_way_silence_is_noticed_sooner),
		TEST(a_frame_too_large_for_the_daemon_does_not_come_back_for_ever),
		TEST(a_call_gets_one_answer_even_when_the_connection_goes),
		TEST(a_frame_of_no_concern_is_passed_on),
		TEST(the_status_says_what_a_person_wants_to_know),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
