/* One device's core under test, `g`, and what most tests of it do: changes are pushed to it, a sync is answered, its
 * connection is lost. Its id is "me". */
#ifndef ROOST_TEST_CORE_ONE_H
#define ROOST_TEST_CORE_ONE_H

#include "core_gear.h"

static struct gear *g;

static inline int setup(void **state)
{
	(void)state;
	g = gear_new("me", 1);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	gear_free(g);
	return 0;
}

#define SEES(log, what) assert_non_null(strstr(log, what))
#define SEES_NOT(log, what) assert_null(strstr(log, what))

static inline const char *cursor_at(int64_t place)
{
	static char text[CURSOR_CAP];
	cursor_format(7, place, text);
	return text;
}

/* A pushed change. */
static inline void push(const char *type, const char *name, int64_t place, const char *device, const char *fields)
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

static inline void answer_sync(int64_t place, bool more)
{
	gear_feed(g, "{\"type\":\"session:changes\",\"re\":%lld,\"records\":[],\"cursor\":\"%s\",\"more\":%s}",
		  (long long)gear_last_id(g, "session:sync"), cursor_at(place), more ? "true" : "false");
}

static inline void drop(void) { core_disconnected(g->c, 1006, ERR_UNAVAILABLE, NULL, g->now); }

/* The text of a field as the person sees it. */
static inline const char *shows(const char *type, const char *name, const char *field)
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
