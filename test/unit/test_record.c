/* The record model: tags, cursors, the wire form, and merges that leave untouched fields as they are. */
#include "record/record.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/id.h"

static void tags_and_cursors_come_back_as_they_went(void **state)
{
	(void)state;
	static const int64_t places[] = {0, 1, 35, 36, 1295, 1296, 123456789, INT64_MAX};
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		char tag[TAG_CAP], cursor[CURSOR_CAP];
		int64_t seq = -1;
		uint64_t epoch = 0;
		assert_true(tag_parse(str_n(tag, tag_format(places[i], tag)), &seq));
		assert_int_equal(seq, places[i]);
		size_t n = cursor_format(0xfedcba9876543210, places[i], cursor);
		assert_true(n < CURSOR_CAP);
		assert_true(cursor_parse(str_n(cursor, n), &epoch, &seq));
		assert_true(epoch == 0xfedcba9876543210 && seq == places[i]);
	}
}

static void what_is_no_tag_or_cursor_is_refused(void **state)
{
	(void)state;
	static const char *const tags[] = {"",  "t", "5", "t01", "t-1", "tA", "t5 ", "t1y2p0ij32e8e8", "t9999999999999",
					   "x5"};
	static const char *const cursors[] = {"",
					      "1.",
					      "1.0123456789abcdef.",
					      "2.0123456789abcdef.5",
					      "1.0123456789ABCDEF.5",
					      "1.0123456789abcdef5",
					      "1.0123456789abcde.5",
					      "1.0123456789abcdef.05"};
	int64_t seq;
	uint64_t epoch;
	for (size_t i = 0; i < ARRAY_LEN(tags); i++) assert_false(tag_parse(str_c(tags[i]), &seq));
	for (size_t i = 0; i < ARRAY_LEN(cursors); i++) assert_false(cursor_parse(str_c(cursors[i]), &epoch, &seq));
}

static void a_record_is_written_with_its_principals(void **state)
{
	(void)state;
	struct principal p = {.id = 1, .user = 1, .user_id = STR("u1"), .device_id = STR("d1")};
	struct record r = {.type = RT_PROJECT,
			   .name = STR("n"),
			   .seq = 37,
			   .created_ms = 0,
			   .modified_ms = 1500,
			   .fields = STR("{\"x\":1.0}")};
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	record_write(&w, &r, &p, NULL);
	assert_string_equal(b.p,
			    "{\"type\":\"Project\",\"name\":\"n\",\"changeTag\":\"t11\","
			    "\"created\":{\"at\":\"1970-01-01T00:00:00.000Z\",\"userId\":\"u1\",\"deviceId\":\"d1\"},"
			    "\"modified\":{\"at\":\"1970-01-01T00:00:01.500Z\",\"userId\":\"\",\"deviceId\":\"\"},"
			    "\"deleted\":false,\"fields\":{\"x\":1.0}}");
	buf_release(&b);
}

static void known_types_have_their_numbers_and_rights(void **state)
{
	(void)state;
	assert_int_equal(record_type_number(STR("Message")), RT_MESSAGE);
	assert_int_equal(record_type_number(STR("message")), 0);
	assert_true(str_eq(record_type_name(RT_PRESET), STR("Preset")));
	assert_null(record_type_name(77).p);
	assert_true(record_field_writable(RT_CONVERSATION, STR("title")));
	assert_false(record_field_writable(RT_CONVERSATION, STR("currentSessionId")));
	assert_false(record_field_writable(RT_CONVERSATION, STR("titl")));
	assert_true(record_field_writable(RT_FIRST_OWN, STR("anything")));
	assert_true(record_may(RT_CONVERSATION, RIGHT_CREATE) && !record_may(RT_MESSAGE, RIGHT_CREATE));
	assert_true(record_may(RT_FIRST_OWN, RIGHT_REVIVE) && !record_may(RT_CONVERSATION, RIGHT_REVIVE));
}

static enum err check_writable(uint32_t type, const char *fields, struct errinfo *info)
{
	struct json_doc *doc;
	assert_int_equal(json_parse(str_c(fields), &doc, NULL), OK);
	enum err e = record_check_writable(type, json_root(doc), info);
	json_free(doc);
	return e;
}

static void managed_fields_are_named_when_they_are_refused(void **state)
{
	(void)state;
	struct errinfo info = {0};
	assert_int_equal(check_writable(RT_MESSAGE, "{\"tags\":[1]}", &info), OK);
	assert_int_equal(check_writable(RT_MESSAGE, "{\"tags\":[1],\"text\":\"x\"}", &info), ERR_FORBIDDEN);
	assert_non_null(strstr(info.text, "\"text\" of Message"));
	assert_int_equal(check_writable(RT_SESSION, "{\"state\":\"killed\"}", &info), ERR_FORBIDDEN);
	assert_int_equal(check_writable(RT_PROJECT, "{\"whatever\":1}", &info), OK);
}

static enum err merge(const char *stored, const char *given, enum save_policy policy, uint32_t type, struct buf *out)
{
	struct json_doc *doc;
	assert_int_equal(json_parse(str_c(given), &doc, NULL), OK);
	enum err e = type == 0 ? fields_merge(str_c(stored), json_root(doc), policy, out, NULL)
			       : fields_merge_for(type, str_c(stored), json_root(doc), policy, out, NULL);
	json_free(doc);
	return e;
}

static void expect_merge(const char *stored, const char *given, enum save_policy policy, uint32_t type,
			 const char *want)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	assert_int_equal(merge(stored, given, policy, type, &b), OK);
	assert_string_equal(b.p, want);
	buf_release(&b);
}

static void fields_that_are_not_given_keep_their_bytes(void **state)
{
	(void)state;
	const char *stored =
		"{\"a\":1.0,\"b\":1e400,\"c\":{\"x\":[1,2,{\"y\":\"}]\\\"\"}]},\"d\":0.10,\"e\":\"\\u00e9\"}";
	expect_merge(stored, "{}", POLICY_CHANGED_KEYS, 0, stored);
	expect_merge(stored, "{\"b\":2,\"z\":3}", POLICY_CHANGED_KEYS, 0,
		     "{\"a\":1.0,\"b\":2,\"c\":{\"x\":[1,2,{\"y\":\"}]\\\"\"}]},\"d\":0.10,\"e\":\"\\u00e9\",\"z\":3}");
}

static void null_removes_a_field_under_every_policy(void **state)
{
	(void)state;
	expect_merge("{\"a\":1,\"b\":2}", "{\"a\":null,\"n\":null}", POLICY_CHANGED_KEYS, 0, "{\"b\":2}");
	expect_merge("{\"a\":1,\"b\":2}", "{\"a\":null,\"b\":3}", POLICY_ALL_KEYS, 0, "{\"b\":3}");
	expect_merge("{}", "{\"a\":{\"deep\":null}}", POLICY_IF_UNCHANGED, 0, "{\"a\":{\"deep\":null}}");
}

static void replacing_drops_what_is_not_given(void **state)
{
	(void)state;
	expect_merge("{\"a\":1,\"b\":2}", "{\"c\":3}", POLICY_ALL_KEYS, 0, "{\"c\":3}");
	expect_merge("{\"a\":1,\"b\":2}", "{}", POLICY_IF_UNCHANGED, 0, "{}");
}

static void a_device_cannot_drop_what_the_daemon_keeps(void **state)
{
	(void)state;
	expect_merge("{\"title\":\"t\",\"currentSessionId\":\"s\",\"pinned\":true}", "{\"pinned\":false}",
		     POLICY_ALL_KEYS, RT_CONVERSATION, "{\"currentSessionId\":\"s\",\"pinned\":false}");
}

static void keys_with_escapes_meet_themselves(void **state)
{
	(void)state;
	expect_merge("{\"a\\\"b\":1,\"\\n\":2,\"\":3}", "{\"a\\\"b\":9,\"\\u000a\":null,\"\":4}", POLICY_CHANGED_KEYS,
		     0, "{\"a\\\"b\":9,\"\":4}");
}

static void a_merge_that_grows_too_large_says_the_limit(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(20);
	assert_int_equal(merge("{\"a\":\"0123456789\"}", "{\"b\":\"0123456789\"}", POLICY_CHANGED_KEYS, 0, &b),
			 ERR_TOO_LARGE);
	buf_release(&b);
}

static void spoilt_fields_are_called_corrupt(void **state)
{
	(void)state;
	static const char *const bad[] = {"[1]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":\"x", "{a:1}"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		assert_int_equal(merge(bad[i], "{}", POLICY_CHANGED_KEYS, 0, &b), ERR_CORRUPT);
		buf_release(&b);
	}
}

/* Random objects: the merge is what setting and removing members one by one would give. */
static void merges_agree_with_a_model(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 20260101);
	for (int round = 0; round < 3000; round++) {
		int stored[8], given[8]; /* -1 absent, 0 null, else a number */
		struct buf s = BUF_INIT(BUF_NO_LIMIT), g = BUF_INIT(BUF_NO_LIMIT), out = BUF_INIT(BUF_NO_LIMIT);
		struct jw ws = JW(&s), wg = JW(&g);
		enum save_policy policy = (enum save_policy)rng_below(&rng, 3);
		jw_obj(&ws);
		jw_obj(&wg);
		for (int k = 0; k < 8; k++) {
			char key[16];
			(void)snprintf(key, sizeof key, "k%d", k);
			stored[k] = (int)rng_below(&rng, 3) - 1;
			given[k] = (int)rng_below(&rng, 4) - 1;
			if (stored[k] == 0) stored[k] = 7;
			if (stored[k] > 0) jw_kint(&ws, key, stored[k]);
			if (given[k] > 0) jw_kint(&wg, key, given[k]);
			if (given[k] == 0) jw_kraw(&wg, key, STR("null"));
		}
		jw_obj_end(&ws);
		jw_obj_end(&wg);
		assert_int_equal(merge(s.p, g.p, policy, 0, &out), OK);
		struct json_doc *doc;
		assert_int_equal(json_parse(buf_str(&out), &doc, NULL), OK);
		for (int k = 0; k < 8; k++) {
			char key[16];
			(void)snprintf(key, sizeof key, "k%d", k);
			int want = given[k] >= 0 ? given[k] : policy == POLICY_CHANGED_KEYS ? stored[k] : -1;
			int64_t have = -1;
			(void)json_int(json_get(json_root(doc), key), &have);
			assert_int_equal(have, want > 0 ? want : -1);
		}
		json_free(doc);
		buf_release(&s);
		buf_release(&g);
		buf_release(&out);
	}
}

static void a_hundred_thousand_fields_merge_at_once(void **state)
{
	(void)state;
	struct buf s = BUF_INIT(BUF_NO_LIMIT), out = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&s);
	jw_obj(&w);
	for (int i = 0; i < 100000; i++) {
		char key[16];
		(void)snprintf(key, sizeof key, "k%d", i);
		jw_kint(&w, key, i);
	}
	jw_obj_end(&w);
	assert_int_equal(merge(s.p, s.p, POLICY_CHANGED_KEYS, 0, &out), OK);
	assert_string_equal(out.p, s.p);
	buf_release(&s);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_and_cursors_come_back_as_they_went),
		cmocka_unit_test(what_is_no_tag_or_cursor_is_refused),
		cmocka_unit_test(a_record_is_written_with_its_principals),
		cmocka_unit_test(known_types_have_their_numbers_and_rights),
		cmocka_unit_test(managed_fields_are_named_when_they_are_refused),
		cmocka_unit_test(fields_that_are_not_given_keep_their_bytes),
		cmocka_unit_test(null_removes_a_field_under_every_policy),
		cmocka_unit_test(replacing_drops_what_is_not_given),
		cmocka_unit_test(a_device_cannot_drop_what_the_daemon_keeps),
		cmocka_unit_test(keys_with_escapes_meet_themselves),
		cmocka_unit_test(a_merge_that_grows_too_large_says_the_limit),
		cmocka_unit_test(spoilt_fields_are_called_corrupt),
		cmocka_unit_test(merges_agree_with_a_model),
		cmocka_unit_test(a_hundred_thousand_fields_merge_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
