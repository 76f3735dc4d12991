/* The device's core, fed with frames and time: the feed, records as the person sees them, answers, seats. */
#include "client/core.h"
#include "core_gear.h"

static struct gear *g;

static int setup(void **state)
{
	(void)state;
	g = gear_new("me", 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gear_free(g);
	return 0;
}

#define SEES(log, what) assert_non_null(strstr(log, what))
#define SEES_NOT(log, what) assert_null(strstr(log, what))

static const char *cursor_at(int64_t place)
{
	static char text[CURSOR_CAP];
	cursor_format(7, place, text);
	return text;
}

/* A pushed change. */
static void push(const char *type, const char *name, int64_t place, const char *device, const char *fields)
{
	char tag[TAG_CAP];
	tag_format(place, tag);
	gear_feed(
		g,
		"{\"type\":\"session:changes\",\"records\":[{\"type\":\"%s\",\"name\":\"%s\",\"changeTag\":\"%s\",\"created\":"
		"{\"deviceId\":\"%s\"},\"modified\":{\"deviceId\":\"%s\"},\"deleted\":false,\"fields\":%s}],\"cursor\":\"%s\","
		"\"more\":false}",
		type, name, tag, device, device, fields, cursor_at(place));
}

static void answer_sync(int64_t place, bool more)
{
	gear_feed(g, "{\"type\":\"session:changes\",\"re\":%lld,\"records\":[],\"cursor\":\"%s\",\"more\":%s}",
		  (long long)gear_last_id(g, "session:sync"), cursor_at(place), more ? "true" : "false");
}

static void drop(void) { core_disconnected(g->c, 1006, ERR_UNAVAILABLE, NULL, g->now); }

/* The text of a field as the person sees it. */
static const char *shows(const char *type, const char *name, const char *field)
{
	static char text[200];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc;
	struct str s = STR("");
	struct core_view v = core_view(g->c, str_c(type), str_c(name), &b);
	if (!v.exists) {
		buf_release(&b);
		return "(none)";
	}
	assert_int_equal(json_parse(buf_str(&b), &doc, NULL), OK);
	(void)json_str(json_get(json_get(json_root(doc), "fields"), field), &s);
	assert_true(str_copy(s, text, sizeof text));
	json_free(doc);
	buf_release(&b);
	return text;
}

/* ---- the feed --------------------------------------------------------------------------------------------------- */

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
	SEES(gear_log(g), "\"cursor\":\"1.0000000000000007.5\"}");
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

/* ---- the view --------------------------------------------------------------------------------------------------- */

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
	assert_int_equal(core_save(g->c, STR("Message"), STR("m1"), STR("{\"hiddenBy\":{\"add\":[\"me\"]}}"), g->now,
				   NULL, NULL),
			 OK);
	assert_true(core_view(g->c, STR("Message"), STR("m1"), NULL).hidden);
	struct errinfo info;
	assert_int_equal(core_save(g->c, STR("Message"), STR("m1"), STR("{\"hiddenBy\":7}"), g->now, NULL, &info),
			 ERR_BAD_FIELD);
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

/* ---- answers ---------------------------------------------------------------------------------------------------- */

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

/* ---- seats ------------------------------------------------------------------------------------------------------ */

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

static void a_leave_is_said_again_until_it_is_answered(void **state)
{
	(void)state;
	assert_int_equal(core_join(g->c, STR("c1"), g->now, NULL), OK);
	gear_online(g, 1);
	state_of("me", 1);
	core_leave(g->c, STR("c1"), g->now);
	drop(); /* and the daemon never heard of it */
	gear_pass(g, 400);
	(void)gear_log(g);
	gear_online(g, 1);
	SEES(gear_log(g), "session:leave");
	gear_feed(g, "{\"type\":\"session:left\",\"re\":%lld,\"conversationId\":\"c1\"}",
		  (long long)gear_last_id(g, "session:leave"));
	drop();
	gear_pass(g, 400);
	gear_online(g, 1);
	SEES_NOT(gear_log(g), "session:leave");

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
	const char *log = gear_log(g);
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
	gear_feed(g, "{\"type\":\"device:primary\",\"sessionId\":\"s2\",\"deviceId\":\"me\",\"term\":4}");
	assert_true(seat().is_primary);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records_and_their_cursor_are_one_batch),
		TEST(the_cursor_goes_on_from_where_it_was),
		TEST(what_comes_again_or_late_changes_nothing),
		TEST(only_a_durable_cursor_is_acknowledged_and_once),
		TEST(an_expired_cursor_begins_anew_and_drops_what_did_not_come),
		TEST(a_sync_whose_cursor_expired_begins_the_connection_again),
		TEST(each_reason_causes_exactly_one_sync),
		TEST(nothing_is_due_while_the_connection_ends),
		TEST(reasons_during_a_sync_are_part_of_it_and_offline_there_is_none),
		TEST(a_sync_takes_every_page),
		TEST(a_first_sync_shows_how_far_it_is),
		TEST(a_lost_edit_is_counted_until_it_was_looked_at),
		TEST(a_killed_session_stays_until_it_is_forgotten_here),
		TEST(changes_of_this_device_are_seen_at_once),
		TEST(a_change_names_the_stamps_it_saw),
		TEST(stamps_are_later_than_all_that_was_seen_whatever_the_clock),
		TEST(an_application_s_own_record_can_be_made_and_removed),
		TEST(a_message_is_seen_before_the_daemon_has_it_and_after),
		TEST(what_the_feed_said_of_a_message_stands_over_its_ack),
		TEST(what_the_app_saves_by_a_call_is_kept_too),
		TEST(an_edit_is_seen_merged_and_a_deletion_too),
		TEST(a_message_hidden_here_is_marked),
		TEST(a_refused_change_is_not_seen_but_not_lost),
		TEST(an_answer_is_told_once_and_in_order),
		TEST(two_attempts_are_never_spliced),
		TEST(the_committed_message_completes_the_answer),
		TEST(a_committed_message_of_another_attempt_replaces_the_text),
		TEST(an_answer_ends_once_with_why),
		TEST(an_answer_to_this_device_is_marked),
		TEST(a_joined_conversation_is_joined_again_after_a_reconnect),
		TEST(a_leave_is_said_again_until_it_is_answered),
		TEST(too_many_conversations_are_refused_by_name),
		TEST(a_join_that_is_refused_for_a_while_is_tried_again),
		TEST(who_is_primary_follows_the_greatest_term),
		TEST(primary_is_asked_for_and_the_answer_told),
		TEST(automatic_messages_carry_the_term_and_stop_when_it_is_over),
		TEST(typing_is_told_once_a_second),
		TEST(a_lock_is_renewed_at_a_third_of_its_time),
		TEST(a_lost_lock_is_told),
		TEST(a_clear_moves_the_seat_to_the_next_session),
		TEST(a_clear_that_happened_while_away_is_told_by_the_feed),
		TEST(the_first_message_gives_the_seat_its_session),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
