/* JSON: a corpus of valid, invalid and odd documents, each with what must become of it, and a property: what the writer
 * writes, the reader reads back as the same value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>

#include "base/id.h"
#include "base/json.h"
#include "base/utf8.h"

#define T(lit)                                                                                                         \
	{                                                                                                              \
		lit, sizeof(lit) - 1                                                                                   \
	}

static bool parses(struct str text, struct errinfo *info)
{
	/* A copy of exactly its size, so that reading past the end is seen. */
	char *p = xmalloc(text.n);
	struct json_doc *doc;
	struct json_room room;
	struct errinfo in_room = {0};
	memcpy(p, text.p, text.n);
	enum err e = json_parse(str_n(p, text.n), &doc, info);
	assert_true(e == OK ? doc != NULL : doc == NULL && e == ERR_BAD_JSON && info->text[0] != '\0');
	json_free(doc);
	assert_int_equal(json_parse_in(&room, str_n(p, text.n), &doc, &in_room), e);
	if (e != OK) assert_string_equal(in_room.text, info->text);
	json_free(doc);
	free(p);
	return e == OK;
}

static void valid_documents_are_taken(void **state)
{
	(void)state;
	static const struct str good[] = {
		/* any value alone */
		T("{}"),
		T("[]"),
		T("null"),
		T("true"),
		T("false"),
		T("\"\""),
		T("0"),
		T("-0"),
		T(" 1 "),
		T("\t[\r\n]\n"),
		/* numbers */
		T("[0.0,1e5,1E+5,1e-5,0e1,-1.5e-300,123456789012345678901234567890,1.7976931348623157e308]"),
		T("[9223372036854775807,-9223372036854775808,9223372036854775808,5e-324,1e-400]"),
		/* strings */
		T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00e9\\uD834\\uDD1E\\uffff\""),
		T("\"\x7f\""),
		T("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf\""),
		T("\"\xe2\x80\xa8\xe2\x80\xa9\""),
		T("\"\\u2028 \\u2029 \\ufeff \xef\xbb\xbf\""),
		T("\"//\""),
		T("\"[{\""),
		/* containers */
		T("[[],{},[{}],\"\",0]"),
		T("{\"\":0}"),
		T("{\"a\":{\"a\":{\"a\":1}},\"b\":1}"),
		T("{\"a\":1,\"A\":2}"),
		T("{\"\\u0061b\":1,\"b\":2}"),
		T("{\"\\u0000\":1,\"\":2}"),
		T("[1,1,1]"),
		T("{\"a\":[1,2],\"b\":[1,2]}"),
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct errinfo info = {0};
		if (!parses(good[i], &info)) fail_msg("%.*s: %s", STR_ARG(good[i]), info.text);
	}
}

static void invalid_documents_are_refused(void **state)
{
	(void)state;
	static const struct str bad[] = {
		/* nothing, or more than one */
		T(""),
		T(" "),
		T("1 2"),
		T("{}{}"),
		T("[]]"),
		T("null,"),
		T("\0"),
		T("[]\0"),
		T("\"a\"\"b\""),
		/* unfinished */
		T("["),
		T("{"),
		T("[1"),
		T("[1,"),
		T("{\"a\""),
		T("{\"a\":"),
		T("{\"a\":1"),
		T("{\"a\":1,"),
		T("\""),
		T("\"a"),
		T("\"\\"),
		T("\"\\u"),
		T("\"\\u12"),
		T("tru"),
		T("-"),
		T("1."),
		T("1e"),
		T("1e+"),
		T("\"\xc3"),
		/* commas and colons */
		T("[1,]"),
		T("[,1]"),
		T("[1,,2]"),
		T("[1 2]"),
		T("{\"a\":1,}"),
		T("{,}"),
		T("{\"a\" 1}"),
		T("{\"a\"::1}"),
		T("{\"a\",1}"),
		T("{1:1}"),
		T("{a:1}"),
		T("{'a':1}"),
		T("{null:1}"),
		T("[1:2]"),
		T("[}"),
		T("{]"),
		T("{\"a\":1]"),
		/* numbers */
		T("01"),
		T("-01"),
		T("+1"),
		T(".5"),
		T("5."),
		T("-.5"),
		T("0x10"),
		T("1_000"),
		T("1e5.5"),
		T("--1"),
		T("1-"),
		T("NaN"),
		T("Infinity"),
		T("-Infinity"),
		T("nan"),
		T("1e999"),
		T("-1e999999"),
		T("1f"),
		T("\xef\xbc\x91"),
		/* strings */
		T("'a'"),
		T("\"\n\""),
		T("\"\t\""),
		T("\"\0\""),
		T("\"\x1f\""),
		T("\"\\x41\""),
		T("\"\\a\""),
		T("\"\\'\""),
		T("\"\\u00g0\""),
		T("\"\\U0041\""),
		T("\"\\ud800\""),
		T("\"\\udc00\""),
		T("\"\\ud800\\u0041\""),
		T("\"\\ud800\\ud800\""),
		T("\"\\udc00\\ud800\""),
		T("\"\\ud800x\""),
		/* bytes that are not UTF-8, in values and in keys */
		T("\"\x80\""),
		T("\"\xff\""),
		T("\"\xc0\xaf\""),
		T("\"\xe0\x80\x80\""),
		T("\"\xed\xa0\x80\""),
		T("\"\xf4\x90\x80\x80\""),
		T("\"\xf5\x80\x80\x80\""),
		T("\"\xe2\x82\""),
		T("{\"\xff\":1}"),
		T("[\xff]"),
		/* words, comments, other encodings */
		T("True"),
		T("nul"),
		T("nulll"),
		T("undefined"),
		T("[1]//x"),
		T("/**/[]"),
		T("#\n[]"),
		T("\xef\xbb\xbf{}"),
		T("\xff\xfe{\0}\0"),
		T("\0{\0}"),
		T("{}\x0c"),
		T("\xc2\xa0[]"),
		T("[\xe2\x80\xa8]"),
		T("<a/>"),
		T("=1"),
		/* the same key twice, also below, also when spelled differently */
		T("{\"a\":1,\"a\":1}"),
		T("{\"a\":1,\"b\":2,\"a\":3}"),
		T("[{\"x\":{\"a\":1,\"a\":2}}]"),
		T("{\"a\":1,\"\\u0061\":2}"),
		T("{\"\":1,\"\":2}"),
		T("{\"\\u0000\":1,\"\\u0000\":2}"),
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct errinfo info = {0};
		if (parses(bad[i], &info)) fail_msg("taken: %.*s", STR_ARG(bad[i]));
	}
}

static void every_beginning_of_a_document_is_refused(void **state)
{
	(void)state;
	static const struct str whole =
		T("{\"a\":[1,-2.5e3,true,null,\"\\u00e9\\n\xe2\x82\xac\",{}],\"b\":{\"c\":\"\\ud834\\udd1e\"}}");
	struct errinfo info = {0};
	for (size_t n = 0; n < whole.n; n++) assert_false(parses(str_n(whole.p, n), &info));
	assert_true(parses(whole, &info));
}

static void depth_is_seen_wherever_it_begins(void **state)
{
	(void)state;
	struct errinfo info = {0};
	for (size_t blanks = 0; blanks < 20; blanks++) {
		for (size_t depth = JSON_DEPTH_MAX - 1; depth < JSON_DEPTH_MAX + 3; depth++) {
			struct buf b = BUF_INIT(BUF_NO_LIMIT);
			for (size_t i = 0; i < blanks; i++) buf_add_char(&b, ' ');
			for (size_t d = 0; d < depth; d++) buf_add_char(&b, '[');
			buf_add_str(&b, STR("\"\xc3\x9b\xe2\x9d\x9b\""));
			for (size_t d = 0; d < depth; d++) buf_add_char(&b, ']');
			assert_int_equal(parses(buf_str(&b), &info), depth <= JSON_DEPTH_MAX);
			buf_release(&b);
		}
	}
}

static void depth_ends_at_its_limit(void **state)
{
	(void)state;
	struct errinfo info = {0};
	static const size_t depths[] = {1, JSON_DEPTH_MAX, JSON_DEPTH_MAX + 1, 1000000};
	for (size_t i = 0; i < ARRAY_LEN(depths); i++) {
		struct buf arr = BUF_INIT(BUF_NO_LIMIT), obj = BUF_INIT(BUF_NO_LIMIT);
		for (size_t d = 0; d < depths[i]; d++) {
			buf_add_char(&arr, '[');
			buf_add_str(&obj, STR("{\"a\":"));
		}
		buf_add_char(&obj, '0');
		for (size_t d = 0; d < depths[i]; d++) {
			buf_add_char(&arr, ']');
			buf_add_char(&obj, '}');
		}
		assert_int_equal(parses(buf_str(&arr), &info), depths[i] <= JSON_DEPTH_MAX);
		assert_int_equal(parses(buf_str(&obj), &info), depths[i] <= JSON_DEPTH_MAX);
		if (depths[i] > JSON_DEPTH_MAX) assert_non_null(strstr(info.text, "64"));
		buf_release(&arr);
		buf_release(&obj);
	}
	/* Brackets in strings do not nest, however large the text is and whatever stands before a quote. */
	for (int n = 10; n <= 100000; n *= 10) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		buf_add_str(&b, STR("[\"\\\\\",\""));
		for (int i = 0; i < n; i++) buf_add_str(&b, STR("[{"));
		for (int i = 0; i < n; i++) buf_add_str(&b, STR("[{\\\""));
		buf_add_str(&b, STR("\",\"\\\\\\\"[\\\\\",[]]"));
		assert_true(parses(buf_str(&b), &info));
		buf_release(&b);
	}
}

static void depth_is_named_also_where_the_text_is_no_json(void **state)
{
	(void)state;
	for (size_t n = JSON_DEPTH_MAX; n <= 100000; n += n + 1) {
		struct errinfo info = {0};
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		for (size_t i = 0; i < n; i++) buf_add_char(&b, '[');
		assert_false(parses(buf_str(&b), &info));
		assert_int_equal(strstr(info.text, "nested deeper than 64 at byte 64") != NULL, n > JSON_DEPTH_MAX);
		buf_release(&b);
	}
}

static void twin_keys_are_found_among_many(void **state)
{
	(void)state;
	struct errinfo info = {0};
	for (int twin = 0; twin < 2; twin++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		buf_add_char(&b, '{');
		for (int i = 0; i < 50000; i++) buf_addf(&b, "\"k%d\":%d,", i * 7919 % 50021, i);
		buf_addf(&b, "\"%s\":0}", twin ? "k7919" : "other");
		assert_int_equal(parses(buf_str(&b), &info), !twin);
		buf_release(&b);
	}
	assert_non_null(strstr(info.text, "k7919"));
}

static void keys_that_are_alike_are_no_twins(void **state)
{
	(void)state;
	struct errinfo info = {0};
	assert_true(parses(STR("{\"a\":1,\"q\":2,\"A\":3,\"Q\":4}"), &info));
	assert_true(parses(STR("{\"abcdefgh1\":1,\"abcdefgh2\":2,\"abcdefgh\":3,\"abcd\":4,\"abce\":5}"), &info));
	assert_false(parses(STR("{\"a\":1,\"q\":2,\"A\":3,\"q\":4}"), &info));
	assert_non_null(strstr(info.text, "\"q\""));
	assert_false(parses(STR("{\"abcdefghi\":1,\"abcdefghj\":2,\"abcdefghi\":3}"), &info));
	assert_false(parses(STR("{\"\":1,\"x\":{\"\":1},\"\":2}"), &info));
}

/* Texts of every length up to some that the room can't hold, with more values than such texts mostly have. */
static void a_room_holds_one_document_after_the_other(void **state)
{
	(void)state;
	struct json_room room;
	struct buf text = BUF_INIT(BUF_NO_LIMIT), again = BUF_INIT(BUF_NO_LIMIT);
	for (size_t n = 1; n < 3000; n += 1 + n / 40) {
		struct json_doc *doc;
		buf_clear(&text);
		buf_clear(&again);
		for (size_t i = 0; i < n; i++) buf_add_str(&text, i == 0 ? STR("[0") : STR(",7"));
		buf_add_char(&text, ']');
		assert_int_equal(json_parse_in(&room, buf_str(&text), &doc, NULL), OK);
		assert_int_equal(json_len(json_root(doc)), n);
		json_write(&again, json_root(doc));
		assert_true(str_eq(buf_str(&text), buf_str(&again)));
		json_free(doc);
	}
	buf_release(&text);
	buf_release(&again);
}

static void members_are_picked_in_one_walk(void **state)
{
	(void)state;
	static const struct str keys[] = {
		STR_INIT("b"),
		STR_INIT("none"),
		STR_INIT("a"),
		STR_INIT("seventy--------------------------------------------------------------!"),
		STR_INIT("lengthen1"),
		STR_INIT("sixsix"),
	};
	const struct json *at[ARRAY_LEN(keys)];
	struct json_doc *doc;
	struct str s;
	assert_int_equal(
		json_parse(
			STR("{\"a\":\"A\",\"c\":{\"none\":0},\"lengthen2\":1,\"sixsiy\":6,\"lengthen1\":\"L\",\"b\":\"B\","
			    "\"seventy--------------------------------------------------------------!\":\"S\"}"),
			&doc, NULL),
		OK);
	json_pick(json_root(doc), keys, ARRAY_LEN(keys), at);
	static const char *const values[] = {"B", NULL, "A", "S", "L", NULL};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		assert_ptr_equal(at[i], json_getn(json_root(doc), keys[i]));
		assert_int_equal(at[i] != NULL, values[i] != NULL);
		if (at[i] != NULL) assert_true(json_str(at[i], &s) && str_eq(s, str_c(values[i])));
	}
	json_pick(at[0], keys, ARRAY_LEN(keys), at); /* a string has no members */
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) assert_null(at[i]);
	json_free(doc);
}

static void an_error_names_the_byte(void **state)
{
	(void)state;
	struct errinfo info = {0};
	assert_false(parses(STR("{\"a\":1,\"b\":tru}"), &info));
	assert_non_null(strstr(info.text, "byte 11"));
}

static void integers_are_exact_and_reals_stay_reals(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum json_type type;
		bool is_int;
		int64_t i;
	} rows[] = {
		{"9223372036854775807", JSON_INT, true, INT64_MAX},
		{"-9223372036854775808", JSON_INT, true, INT64_MIN},
		{"9007199254740993", JSON_INT, true, 9007199254740993},
		{"9223372036854775808", JSON_REAL, false, 0},
		{"-9223372036854775809", JSON_REAL, false, 0},
		{"1.0", JSON_REAL, true, 1},
		{"1e3", JSON_REAL, true, 1000},
		{"1.5", JSON_REAL, false, 0},
		{"1e300", JSON_REAL, false, 0},
		{"-0", JSON_INT, true, 0},
		{"true", JSON_BOOL, false, 0},
		{"\"1\"", JSON_STR, false, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_doc *doc;
		int64_t v = 42;
		assert_int_equal(json_parse(str_c(rows[i].text), &doc, NULL), OK);
		const struct json *root = json_root(doc);
		if (json_type(root) != rows[i].type) fail_msg("%s: type", rows[i].text);
		if (json_int(root, &v) != rows[i].is_int) fail_msg("%s: int", rows[i].text);
		assert_int_equal(v, rows[i].is_int ? rows[i].i : 42);
		json_free(doc);
	}
}

static void what_is_not_there_has_no_type(void **state)
{
	(void)state;
	struct str s = STR("kept");
	int64_t i = 42;
	bool b = true;
	assert_int_equal(json_type(NULL), JSON_NONE);
	assert_null(json_get(NULL, "a"));
	assert_int_equal(json_len(NULL), 0);
	assert_false(json_str(NULL, &s) || json_int(NULL, &i) || json_bool(NULL, &b));
	assert_string_equal(s.p, "kept");
	struct json_iter it = json_iter(NULL);
	assert_false(json_next(&it));
	struct json_doc *doc;
	assert_int_equal(json_parse(STR("[1]"), &doc, NULL), OK);
	assert_null(json_get(json_root(doc), "0"));
	json_free(doc);
}

static void a_wanted_field_is_named_when_it_is_wrong(void **state)
{
	(void)state;
	struct json_doc *doc;
	struct errinfo info = {0};
	struct str s = STR_NONE;
	int64_t i = 42;
	bool b = false;
	assert_int_equal(json_parse(STR("{\"s\":\"x\",\"i\":7,\"b\":true,\"n\":null}"), &doc, NULL), OK);
	const struct json *o = json_root(doc);
	assert_true(json_want_str(o, "s", 0, &s, &info) && str_eq(s, STR("x")));
	assert_true(json_want_int(o, "i", 0, 0, 7, &i, &info) && i == 7);
	assert_true(json_want_bool(o, "b", 0, &b, &info) && b);
	assert_true(json_want_int(o, "absent", JSON_OPTIONAL, 0, 9, &i, &info) && i == 7);
	assert_true(json_want_str(o, "n", JSON_OPTIONAL, &s, &info) && str_eq(s, STR("x")));
	assert_int_equal(info.err, OK);
	assert_false(json_want_int(o, "i", 0, 8, 9, &i, &info));
	assert_string_equal(info.text, "\"i\" must be from 8 to 9");
	assert_false(json_want_str(o, "i", JSON_OPTIONAL, &s, &info));
	assert_string_equal(info.text, "\"i\" must be a string");
	assert_false(json_want_bool(o, "absent", 0, &b, &info));
	assert_string_equal(info.text, "\"absent\" is missing; it must be true or false");
	assert_int_equal(info.err, ERR_BAD_FIELD);
	json_free(doc);
}

static void written_text_is_safe_in_logs_and_scripts(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_str(&w, STR("\x1b[2J\x7f\n\r\t\"\\/\x01\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\xc3\xa9"));
	assert_string_equal(b.p, "\"\\u001b[2J\\u007f\\n\\r\\t\\\"\\\\/\\u0001\\u2028\\u2029\xe2\x80\xaa\xc3\xa9\"");
	buf_release(&b);
	b = BUF_INIT(BUF_NO_LIMIT);
	w = JW(&b);
	jw_str(&w, STR_NONE);
	assert_string_equal(b.p, "\"\"");
	buf_release(&b);
}

static void the_writer_puts_the_commas(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kint(&w, "a", -1);
	jw_key(&w, "b");
	jw_arr(&w);
	jw_arr(&w);
	jw_arr_end(&w);
	jw_obj(&w);
	jw_obj_end(&w);
	jw_null(&w);
	jw_raw(&w, STR("[1]"));
	jw_arr_end(&w);
	jw_key_str(&w, STR("c\n"));
	jw_bool(&w, false);
	jw_ktime(&w, "d", 0);
	jw_obj_end(&w);
	assert_string_equal(b.p, "{\"a\":-1,\"b\":[[],{},null,[1]],\"c\\n\":false,\"d\":\"1970-01-01T00:00:00.000Z\"}");
	buf_release(&b);
}

static void a_writer_past_the_ceiling_fails_once_and_for_all(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(8);
	struct jw w = JW(&b);
	jw_arr(&w);
	jw_str(&w, STR("too long for it"));
	jw_arr_end(&w);
	assert_true(b.failed);
	assert_true(b.n <= 8);
	buf_release(&b);
}

static void reals_are_written_so_that_they_read_back_the_same(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 3);
	for (int i = 0; i < 100000; i++) {
		uint64_t bits = rng_next(&r);
		double v, back;
		memcpy(&v, &bits, sizeof v);
		struct buf b = BUF_INIT(100);
		struct jw w = JW(&b);
		struct json_doc *doc;
		jw_real(&w, v);
		assert_int_equal(json_parse(buf_str(&b), &doc, NULL), OK);
		if (isfinite(v)) {
			assert_true(json_real(json_root(doc), &back));
			assert_memory_equal(&v, &back, sizeof v);
		} else {
			assert_int_equal(json_type(json_root(doc)), JSON_NULL);
		}
		json_free(doc);
		buf_release(&b);
	}
}

static void write_random(struct jw *w, struct rng *r, int depth)
{
	char text[24];
	uint64_t what = rng_below(r, depth > 5 ? 5 : 7), n = rng_below(r, 6);
	for (size_t i = 0; i < sizeof text; i++) text[i] = (char)rng_below(r, 128);
	switch (what) {
	case 0: jw_null(w); break;
	case 1: jw_bool(w, rng_below(r, 2) == 1); break;
	case 2: jw_int(w, (int64_t)rng_next(r) >> rng_below(r, 64)); break;
	case 3: jw_real(w, (double)(int64_t)rng_next(r) / 1024.0); break;
	case 4: jw_str(w, str_n(text, rng_below(r, sizeof text))); break;
	case 5:
		jw_arr(w);
		for (uint64_t i = 0; i < n; i++) write_random(w, r, depth + 1);
		jw_arr_end(w);
		break;
	default:
		jw_obj(w);
		for (uint64_t i = 0; i < n; i++) {
			snprintf(text, sizeof text, "k%llu\n", (unsigned long long)i);
			jw_key_str(w, str_c(text));
			write_random(w, r, depth + 1);
		}
		jw_obj_end(w);
	}
}

static void any_value_survives_writing_and_reading(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 4);
	for (int i = 0; i < 3000; i++) {
		struct buf first = BUF_INIT(BUF_NO_LIMIT), second = BUF_INIT(BUF_NO_LIMIT);
		struct jw w = JW(&first);
		struct json_doc *a, *b;
		struct errinfo info = {0};
		write_random(&w, &r, 0);
		if (json_parse(buf_str(&first), &a, &info) != OK) fail_msg("%s: %s", first.p, info.text);
		json_write(&second, json_root(a));
		assert_string_equal(first.p, second.p);
		assert_int_equal(json_parse(buf_str(&second), &b, NULL), OK);
		assert_true(json_equal(json_root(a), json_root(b)));
		json_free(a);
		json_free(b);
		buf_release(&first);
		buf_release(&second);
	}
}

static void values_are_equal_by_content_not_by_order(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		bool equal;
	} rows[] = {
		{"{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1}", true},
		{"[1,2]", "[2,1]", false},
		{"{\"a\":1}", "{\"a\":1,\"b\":1}", false},
		{"{\"a\":null}", "{\"b\":null}", false},
		{"\"a\"", "\"\\u0061\"", true},
		{"null", "false", false},
		{"9007199254740993", "9007199254740992", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_doc *a, *b;
		assert_int_equal(json_parse(str_c(rows[i].a), &a, NULL), OK);
		assert_int_equal(json_parse(str_c(rows[i].b), &b, NULL), OK);
		if (json_equal(json_root(a), json_root(b)) != rows[i].equal) fail_msg("%s %s", rows[i].a, rows[i].b);
		json_free(a);
		json_free(b);
	}
}

static struct json_doc *object_of(int from, int to, int step, int odd)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	struct json_doc *doc;
	jw_obj(&w);
	for (int i = from; i != to; i += step) {
		char key[16];
		snprintf(key, sizeof key, "k%d", i);
		jw_kint(&w, key, i == odd ? -1 : i);
	}
	jw_obj_end(&w);
	assert_int_equal(json_parse(buf_str(&b), &doc, NULL), OK);
	buf_release(&b);
	return doc;
}

static void objects_of_many_members_are_looked_into_and_compared_like_others(void **state)
{
	(void)state;
	for (int n = 1; n <= 40; n++) {
		struct json_doc *a = object_of(0, n, 1, -1), *b = object_of(n - 1, -1, -1, -1),
				*c = object_of(n - 1, -1, -1, n / 2), *d = object_of(1, n + 1, 1, -1);
		struct json_map map;
		int64_t v;
		assert_true(json_equal(json_root(a), json_root(b)));
		assert_false(json_equal(json_root(a), json_root(c)));
		assert_false(json_equal(json_root(a), json_root(d)));
		json_map_init(&map, json_root(b));
		for (int i = 0; i < n; i++) {
			char key[16];
			snprintf(key, sizeof key, "k%d", i);
			assert_true(json_int(json_map_get(&map, str_c(key)), &v));
			assert_int_equal(v, i);
		}
		assert_null(json_map_get(&map, STR("k")));
		assert_null(json_map_get(&map, STR("")));
		json_map_release(&map);
		json_free(a);
		json_free(b);
		json_free(c);
		json_free(d);
	}
	struct json_map none;
	json_map_init(&none, NULL);
	assert_null(json_map_get(&none, STR("k")));
	json_map_release(&none);
}

static void numbers_that_are_only_passed_on_keep_their_digits(void **state)
{
	static const struct str text =
		STR_INIT("[1.50,1e2,-0,0.10,123456789012345678901234567890,9223372036854775807]");
	struct json_doc *doc;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)state;
	assert_int_equal(json_parse(text, &doc, NULL), OK);
	json_write(&b, json_root(doc));
	assert_string_equal(b.p, text.p);
	buf_release(&b);
	json_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_that_are_only_passed_on_keep_their_digits),
		cmocka_unit_test(valid_documents_are_taken),
		cmocka_unit_test(invalid_documents_are_refused),
		cmocka_unit_test(every_beginning_of_a_document_is_refused),
		cmocka_unit_test(depth_is_seen_wherever_it_begins),
		cmocka_unit_test(depth_ends_at_its_limit),
		cmocka_unit_test(depth_is_named_also_where_the_text_is_no_json),
		cmocka_unit_test(twin_keys_are_found_among_many),
		cmocka_unit_test(keys_that_are_alike_are_no_twins),
		cmocka_unit_test(a_room_holds_one_document_after_the_other),
		cmocka_unit_test(members_are_picked_in_one_walk),
		cmocka_unit_test(an_error_names_the_byte),
		cmocka_unit_test(integers_are_exact_and_reals_stay_reals),
		cmocka_unit_test(what_is_not_there_has_no_type),
		cmocka_unit_test(a_wanted_field_is_named_when_it_is_wrong),
		cmocka_unit_test(written_text_is_safe_in_logs_and_scripts),
		cmocka_unit_test(the_writer_puts_the_commas),
		cmocka_unit_test(a_writer_past_the_ceiling_fails_once_and_for_all),
		cmocka_unit_test(reals_are_written_so_that_they_read_back_the_same),
		cmocka_unit_test(any_value_survives_writing_and_reading),
		cmocka_unit_test(values_are_equal_by_content_not_by_order),
		cmocka_unit_test(objects_of_many_members_are_looked_into_and_compared_like_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
