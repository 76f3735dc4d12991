/* The terminal's side of the device protocol, fed with frames: what it sends, and what it tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/chat.h"

/* Everything that came out, one line each: ">" frames sent, the rest events. */
static struct buf log_text;

static const char *const kind_names[] = {
	[CHAT_READY] = "ready", [CHAT_OPENED] = "opened",     [CHAT_MESSAGE] = "message", [CHAT_OLD] = "old",
	[CHAT_TEXT] = "text",   [CHAT_THINKING] = "thinking", [CHAT_AGAIN] = "again",     [CHAT_WAITING] = "waiting",
	[CHAT_END] = "end",     [CHAT_REFUSED] = "refused",   [CHAT_LISTED] = "listed",   [CHAT_LIST_END] = "list-end",
};

static void on_send(void *ctx, struct str frame)
{
	(void)ctx;
	struct json_doc *doc;
	assert_int_equal(json_parse(frame, &doc, NULL), OK); /* each is one JSON text */
	json_free(doc);
	buf_addf(&log_text, "> %.*s\n", STR_ARG(frame));
}

static void on_event(void *ctx, const struct chat_event *e)
{
	(void)ctx;
	buf_addf(&log_text, "%s%s", kind_names[e->kind], e->mine ? " mine" : "");
	if (e->who.n > 0) buf_addf(&log_text, " <%.*s>", STR_ARG(e->who));
	if (e->text.n > 0 && e->kind != CHAT_READY) buf_addf(&log_text, " [%.*s]", STR_ARG(e->text));
	if (e->err != OK) buf_addf(&log_text, " %s", err_code(e->err));
	buf_add_char(&log_text, '\n');
}

static struct chat *make(const char *conversation)
{
	buf_init(&log_text, 1 << 20);
	struct chat_options o = {
		.device_id = STR("me"), .name = STR("here"), .conversation = str_c(conversation), .history = 5};
	struct chat_hooks h = {.send = on_send, .event = on_event};
	return chat_new(&o, &h);
}

static void feed(struct chat *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void feed(struct chat *c, const char *fmt, ...)
{
	char frame[4096];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(frame, sizeof frame, fmt, ap);
	va_end(ap);
	chat_frame(c, str_c(frame));
}

/* What came out since the last look. */
static const char *seen(void)
{
	static char text[1 << 16];
	assert_true(str_copy(buf_str(&log_text), text, sizeof text));
	buf_clear(&log_text);
	return text;
}

static void assert_seen(const char *part)
{
	const char *text = seen();
	if (strstr(text, part) == NULL) fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void assert_only_seen(const char *want) { assert_string_equal(seen(), want); }

/* The id of the newest frame of a type, or the value of its string member, out of a log. */
static int64_t id_of(const char *text, const char *type)
{
	char what[100];
	snprintf(what, sizeof what, "{\"type\":\"%s\",\"id\":", type);
	const char *at = NULL;
	for (const char *p = text; (p = strstr(p, what)) != NULL; p++) at = p;
	if (at == NULL) {
		fail_msg("no %s in:\n%s", type, text);
		return -1;
	}
	return strtoll(at + strlen(what), NULL, 10);
}

static void member_of(const char *text, const char *key, char out[64])
{
	char what[100];
	snprintf(what, sizeof what, "\"%s\":\"", key);
	const char *at = strstr(text, what);
	if (at == NULL) {
		fail_msg("no %s in:\n%s", key, text);
		return;
	}
	at += strlen(what);
	assert_true(str_copy(str_n(at, strcspn(at, "\"")), out, 64));
}

static void welcome(struct chat *c)
{
	chat_up(c);
	feed(c, "{\"type\":\"device:welcome\",\"re\":%lld,\"cursor\":\"c9\"}",
	     (long long)id_of(seen(), "device:hello"));
}

/* A chat in a conversation of its own that has said "hi", which became request r1. */
static struct chat *asked(char message_id[64])
{
	struct chat *c = make("new");
	welcome(c);
	chat_say(c, STR("hi"), 1700000000000);
	const char *text = seen();
	member_of(text, "messageId", message_id);
	feed(c, "{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"duplicate\":false,\"requestId\":\"r1\"}",
	     (long long)id_of(text, "message:send"), message_id);
	assert_seen("session:join");
	return c;
}

static void delta(struct chat *c, int attempt, int offset, const char *text)
{
	feed(c,
	     "{\"type\":\"message:delta\",\"requestId\":\"r1\",\"attempt\":%d,\"offset\":%d,\"kind\":\"text\",\"text\":\"%s\"}",
	     attempt, offset, text);
}

static void reply(struct chat *c, const char *text, const char *status)
{
	feed(c,
	     "{\"type\":\"session:changes\",\"cursor\":\"c10\",\"records\":[{\"type\":\"Message\",\"name\":\"m-%s\","
	     "\"created\":{\"deviceId\":\"\"},\"fields\":{\"conversationId\":\"%.*s\",\"ord\":2,\"role\":\"assistant\","
	     "\"requestId\":\"r1\",\"status\":\"%s\",\"text\":\"%s\"}}]}",
	     status, STR_ARG(chat_conversation(c)), status, text);
}

static void an_answer_is_told_once_from_deltas_and_record(void **state)
{
	(void)state;
	char id[64];
	struct chat *c = asked(id);
	delta(c, 1, 0, "one ");
	delta(c, 1, 4, "two ");
	delta(c, 1, 0, "one two thr"); /* told from its beginning again */
	assert_only_seen("text mine [one ]\ntext mine [two ]\ntext mine [thr]\n");
	assert_true(chat_is_running(c));
	reply(c, "one two three", "complete");
	assert_only_seen("text mine [ee]\nend mine [one two three]\n");
	assert_false(chat_is_running(c));
	reply(c, "one two three", "complete");
	delta(c, 1, 11, "ee");
	feed(c, "{\"type\":\"request:state\",\"requestId\":\"r1\",\"state\":\"done\",\"attempt\":1}");
	assert_only_seen("");
	assert_true(str_eq(chat_cursor(c), STR("c10")));
	chat_free(c);
	buf_release(&log_text);
}

static void a_gap_is_asked_for_once(void **state)
{
	(void)state;
	char id[64];
	struct chat *c = asked(id);
	delta(c, 1, 0, "ab");
	seen();
	delta(c, 1, 4, "ef");
	delta(c, 1, 6, "gh");
	const char *text = seen();
	assert_non_null(strstr(text, "\"type\":\"message:attach\""));
	assert_non_null(strstr(text, "\"attempt\":1,\"kind\":\"text\",\"offset\":2"));
	assert_null(strstr(strstr(text, "message:attach") + 1, "message:attach"));
	delta(c, 1, 2, "cdefgh");
	assert_only_seen("text mine [cdefgh]\n");
	chat_free(c);
	buf_release(&log_text);
}

static void attempts_are_never_spliced(void **state)
{
	(void)state;
	char id[64];
	struct chat *c = asked(id);
	delta(c, 1, 0, "first");
	feed(c,
	     "{\"type\":\"request:state\",\"requestId\":\"r1\",\"state\":\"retrying\",\"attempt\":1,"
	     "\"nextTryAt\":\"2026-01-01T00:00:01.000Z\",\"error\":{\"code\":\"provider_interrupted\",\"message\":\"cut\"}}");
	assert_only_seen("text mine [first]\nwaiting mine provider_interrupted\n");
	delta(c, 2, 0, "sec");
	delta(c, 1, 5, "stale");
	delta(c, 2, 3, "ond");
	assert_only_seen("again mine provider_interrupted\ntext mine [sec]\ntext mine [ond]\n");
	reply(c, "third", "complete"); /* an attempt this terminal saw nothing of */
	assert_only_seen("again mine provider_interrupted\ntext mine [third]\nend mine [third]\n");
	chat_free(c);
	buf_release(&log_text);
}

static void stop_ends_with_what_was_said(void **state)
{
	(void)state;
	char id[64];
	struct chat *c = asked(id);
	delta(c, 1, 0, "par");
	seen();
	assert_true(chat_stop(c));
	assert_seen("\"type\":\"request:stop\"");
	assert_false(chat_stop(c));
	feed(c, "{\"type\":\"request:state\",\"requestId\":\"r1\",\"state\":\"stopped\",\"attempt\":1}");
	assert_only_seen("end mine [par] cancelled\n");
	reply(c, "partial", "interrupted");
	assert_only_seen("text mine [tial]\n");
	assert_false(chat_is_running(c));
	assert_true(chat_retry(c));
	assert_seen("request:retry");
	feed(c, "{\"type\":\"request:state\",\"requestId\":\"r1\",\"state\":\"queued\",\"attempt\":1}");
	assert_true(chat_is_running(c));
	delta(c, 2, 0, "new");
	assert_only_seen("again mine cancelled\ntext mine [new]\n");
	chat_free(c);
	buf_release(&log_text);
}

static void a_stop_before_the_ack_is_sent_after_it(void **state)
{
	(void)state;
	char id[64];
	struct chat *c = make("new");
	welcome(c);
	chat_say(c, STR("hi"), 1700000000000);
	const char *text = seen();
	int64_t sent = id_of(text, "message:send");
	member_of(text, "messageId", id);
	assert_true(chat_stop(c));
	assert_only_seen("");
	feed(c, "{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"requestId\":\"r1\"}", (long long)sent,
	     id);
	assert_seen("\"type\":\"request:stop\"");
	chat_free(c);
	buf_release(&log_text);
}

static void a_lost_connection_doubles_nothing(void **state)
{
	(void)state;
	char id[64], again[64];
	struct chat *c = make("new");
	welcome(c);
	chat_say(c, STR("hi"), 1700000000000);
	member_of(seen(), "messageId", id);
	chat_down(c); /* before the ack */
	welcome(c);
	const char *text = seen();
	int64_t sent = id_of(text, "message:send");
	member_of(text, "messageId", again);
	assert_string_equal(id, again);
	/* the answer is in the feed before the ack says which request it is */
	reply(c, "done", "complete");
	assert_only_seen("");
	feed(c, "{\"type\":\"message:ack\",\"re\":%lld,\"messageId\":\"%s\",\"duplicate\":true,\"requestId\":\"r1\"}",
	     (long long)sent, id);
	text = seen();
	assert_non_null(strstr(text, "text mine [done]\nend mine [done]\n"));
	assert_false(chat_is_running(c));
	chat_down(c);
	chat_up(c);
	text = seen();
	assert_non_null(strstr(text, "\"cursor\":\"c10\""));
	feed(c, "{\"type\":\"device:welcome\",\"re\":%lld}", (long long)id_of(text, "device:hello"));
	assert_null(strstr(seen(), "message:send"));
	chat_free(c);
	buf_release(&log_text);
}

static void an_expired_cursor_begins_anew(void **state)
{
	(void)state;
	char id[64];
	struct chat *c = asked(id);
	reply(c, "x", "complete");
	chat_down(c);
	seen();
	chat_up(c);
	feed(c, "{\"type\":\"error\",\"re\":%lld,\"code\":\"cursor_expired\",\"message\":\"\"}",
	     (long long)id_of(seen(), "device:hello"));
	const char *text = seen();
	assert_non_null(strstr(text, "device:hello"));
	assert_null(strstr(text, "cursor"));
	chat_free(c);
	buf_release(&log_text);
}

static void the_last_conversation_is_opened_with_its_history(void **state)
{
	(void)state;
	struct chat *c = make("last");
	welcome(c);
	chat_say(c, STR("early"), 1700000000000); /* before it is known where */
	const char *text = seen();
	assert_null(strstr(text, "message:send"));
	feed(c,
	     "{\"type\":\"record:found\",\"re\":%lld,\"records\":[{\"type\":\"Request\",\"name\":\"r0\","
	     "\"fields\":{\"conversationId\":\"k1\"}}]}",
	     (long long)id_of(text, "record:query"));
	text = seen();
	feed(c,
	     "{\"type\":\"record:found\",\"re\":%lld,\"records\":[{\"type\":\"Conversation\",\"name\":\"k1\","
	     "\"fields\":{\"title\":\"T\"}}]}",
	     (long long)id_of(text, "record:query"));
	text = seen();
	assert_non_null(strstr(text, "opened <k1> [T]"));
	int64_t history = id_of(text, "record:query");
	/* a change overtakes the query's snapshot */
	feed(c, "{\"type\":\"device:list\",\"devices\":[{\"deviceId\":\"p\",\"name\":\"phone\"}]}");
	feed(c,
	     "{\"type\":\"session:changes\",\"records\":[{\"type\":\"Message\",\"name\":\"m3\",\"created\":{\"deviceId\":\"p\"},"
	     "\"fields\":{\"conversationId\":\"k1\",\"ord\":3,\"role\":\"user\",\"text\":\"three\"}}]}");
	assert_only_seen("");
	feed(c,
	     "{\"type\":\"record:found\",\"re\":%lld,\"records\":["
	     "{\"type\":\"Message\",\"name\":\"m2\",\"created\":{\"deviceId\":\"\"},\"fields\":{\"conversationId\":\"k1\","
	     "\"ord\":2,\"role\":\"assistant\",\"requestId\":\"r0\",\"status\":\"complete\",\"text\":\"two\"}},"
	     "{\"type\":\"Message\",\"name\":\"m1\",\"created\":{\"deviceId\":\"me\"},\"fields\":{\"conversationId\":\"k1\","
	     "\"ord\":1,\"role\":\"user\",\"text\":\"one\"}}]}",
	     (long long)history);
	text = seen();
	assert_int_equal(strncmp(text, "old mine <here> [one]\nold [two]\nready\n", 37), 0);
	assert_non_null(strstr(text, "\"conversationId\":\"k1\",\"text\":\"early\""));
	assert_non_null(strstr(text, "session:join"));
	assert_non_null(strstr(text, "message <phone> [three]"));
	/* what the feed tells of the past stays untold */
	feed(c,
	     "{\"type\":\"session:changes\",\"records\":[{\"type\":\"Message\",\"name\":\"m0\",\"created\":{\"deviceId\":\"p\"},"
	     "\"fields\":{\"conversationId\":\"k1\",\"ord\":1,\"role\":\"user\",\"text\":\"zero\"}}]}");
	assert_only_seen("");
	chat_free(c);
	buf_release(&log_text);
}

static void a_conversation_that_is_not_there_takes_no_message(void **state)
{
	(void)state;
	struct chat *c = make("nowhere");
	welcome(c);
	chat_say(c, STR("hi"), 1700000000000);
	feed(c, "{\"type\":\"record:found\",\"re\":%lld,\"records\":[]}", (long long)id_of(seen(), "record:query"));
	const char *text = seen();
	assert_non_null(strstr(text, "refused not_found"));
	assert_null(strstr(text, "message:send"));
	chat_free(c);
	buf_release(&log_text);
}

static void a_refusal_for_a_while_keeps_the_message_and_its_id(void **state)
{
	(void)state;
	char id[64], again[64];
	struct chat *c = make("new");
	welcome(c);
	chat_say(c, STR("hi"), 1700000000000);
	const char *text = seen();
	member_of(text, "messageId", id);
	feed(c, "{\"type\":\"error\",\"re\":%lld,\"code\":\"storage_full\",\"message\":\"\",\"retryAfterMs\":5}",
	     (long long)id_of(text, "message:send"));
	assert_only_seen("refused mine [hi] storage_full\n");
	chat_resend(c);
	text = seen();
	member_of(text, "messageId", again);
	assert_string_equal(id, again);
	feed(c, "{\"type\":\"error\",\"re\":%lld,\"code\":\"too_large\",\"message\":\"\"}",
	     (long long)id_of(text, "message:send"));
	assert_only_seen("refused [hi] too_large\n");
	assert_false(chat_is_running(c));
	chat_free(c);
	buf_release(&log_text);
}

static void odd_frames_are_borne(void **state)
{
	(void)state;
	char id[64];
	struct chat *c = asked(id);
	static const char *const odd[] = {
		"",
		"[]",
		"{}",
		"null",
		"{\"type\":7}",
		"{\"type\":\"no:such\"}",
		"{\"type\":\"message:delta\"}",
		"{\"type\":\"message:delta\",\"requestId\":\"r1\",\"attempt\":1,\"offset\":-5,\"text\":\"x\"}",
		"{\"type\":\"session:changes\",\"records\":[null,7,{}]}",
		"{\"type\":\"record:found\",\"re\":99999}",
		"{\"type\":\"session:state\",\"running\":[7,{}]}",
		"{\"type\":\"message:ack\"}",
		"{\"type\":\"error\"}",
		"{\"type\":\"request:state\"}",
		"{\"type\":\"message:reset\",\"requestId\":\"zz\",\"attempt\":1}",
	};
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) chat_frame(c, str_c(odd[i]));
	const char *text = seen();
	assert_null(strstr(text, "[x]"));
	chat_free(c);
	buf_release(&log_text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_told_once_from_deltas_and_record),
		cmocka_unit_test(a_gap_is_asked_for_once),
		cmocka_unit_test(attempts_are_never_spliced),
		cmocka_unit_test(stop_ends_with_what_was_said),
		cmocka_unit_test(a_stop_before_the_ack_is_sent_after_it),
		cmocka_unit_test(a_lost_connection_doubles_nothing),
		cmocka_unit_test(an_expired_cursor_begins_anew),
		cmocka_unit_test(the_last_conversation_is_opened_with_its_history),
		cmocka_unit_test(a_conversation_that_is_not_there_takes_no_message),
		cmocka_unit_test(a_refusal_for_a_while_keeps_the_message_and_its_id),
		cmocka_unit_test(odd_frames_are_borne),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
