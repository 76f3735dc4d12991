/* The JSON reader: any bytes are one value or a named error, and a value that was read writes and reads back the same. */
#include "base/json.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Visits every value through every accessor; text must be valid UTF-8. */
static void visit(const struct json *v)
{
	struct str s;
	int64_t i;
	double d;
	bool b;
	if (json_str(v, &s)) ASSERT(utf8_is_valid(s));
	if (json_int(v, &i)) ASSERT(json_real(v, &d));
	ASSERT_CMP(json_bool(v, &b), ==, json_type(v) == JSON_BOOL);
	size_t left = json_len(v);
	for (struct json_iter it = json_iter(v); json_next(&it); left--) {
		if (json_type(v) == JSON_OBJ) ASSERT(json_getn(v, it.key) == it.val);
		visit(it.val);
	}
	ASSERT_CMP(left, ==, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct json_doc *doc, *again;
	struct errinfo info = {0};
	struct buf text = BUF_INIT(BUF_NO_LIMIT), twice = BUF_INIT(BUF_NO_LIMIT);
	if (json_parse(str_n((const char *)data, n), &doc, &info) != OK) {
		ASSERT(doc == NULL && info.text[0] != '\0');
		return 0;
	}
	ASSERT(utf8_is_valid(str_n((const char *)data, n)));
	visit(json_root(doc));
	json_write(&text, json_root(doc));
	enum err e = json_parse(buf_str(&text), &again, &info);
	ASSERT_CMP(e, ==, OK);
	ASSERT(json_equal(json_root(doc), json_root(again)));
	json_write(&twice, json_root(again));
	ASSERT(str_eq(buf_str(&text), buf_str(&twice)));
	json_free(doc);
	json_free(again);
	buf_release(&text);
	buf_release(&twice);
	return 0;
}
