#include "provider/listing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct dialect openai = {.name = "openai"}, anthropic = {.name = "anthropic"}, gemini = {.name = "gemini"},
			    ollama = {.name = "ollama"}, odd = {.name = "odd"};

static void each_dialect_is_asked_its_own_way(void **state)
{
	(void)state;
	static const struct {
		const struct dialect *dialect;
		const char *url, *key_header;
	} rows[] = {
		{&openai, "http://h/v1/models", "Authorization: Bearer k3y"},
		{&anthropic, "http://h/v1/v1/models?limit=1000", "x-api-key: k3y"},
		{&gemini, "http://h/v1/models?pageSize=1000", "x-goog-api-key: k3y"},
		{&ollama, "http://h/v1/api/tags", "Authorization: Bearer k3y"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (int with_key = 0; with_key < 2; with_key++) {
			struct wire_request r;
			bool found = false;
			assert_true(listing_request(rows[i].dialect, STR("http://h/v1"),
						    with_key ? STR("k3y") : STR_NONE, STR(""), &r));
			assert_string_equal(r.method, "GET");
			assert_string_equal(r.url, rows[i].url);
			for (char **h = r.headers; *h != NULL; h++)
				found = found || strcmp(*h, rows[i].key_header) == 0;
			assert_int_equal(found, with_key);
			wire_request_release(&r);
		}
	}
	struct wire_request r;
	assert_false(listing_request(&odd, STR("http://h"), STR_NONE, STR(""), &r));
}

static void every_shape_is_read(void **state)
{
	(void)state;
	static const struct {
		const struct dialect *dialect;
		const char *body;
		const char *want; /* "wire[/window[/output]]" with "-" before what is not for conversations */
	} rows[] = {
		{&openai, "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-5.4\"},{\"id\":\"text-embedding-3-small\"}]}",
		 "gpt-5.4 -text-embedding-3-small "},
		{&openai,
		 "{\"data\":[{\"id\":\"q\",\"meta\":{\"n_ctx_train\":4096}},{\"id\":\"v\",\"max_model_len\":8192}]}",
		 "q/4096 v/8192 "},
		{&openai, "{\"data\":[{\"id\":\"nomic-embed-text-v1.5\"},{\"id\":\"org/model-7b@q4\"}]}",
		 "-nomic-embed-text-v1.5 org/model-7b@q4 "},
		{&anthropic,
		 "{\"data\":[{\"type\":\"model\",\"id\":\"claude-opus-5-5\",\"display_name\":\"Claude Opus 5.5\","
		 "\"max_input_tokens\":1000000,\"max_tokens\":128000}],\"has_more\":false}",
		 "claude-opus-5-5/1000000/128000 "},
		{&gemini,
		 "{\"models\":[{\"name\":\"models/gemini-x\",\"inputTokenLimit\":100,\"outputTokenLimit\":10,"
		 "\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]},{\"name\":\"models/e-1\","
		 "\"supportedGenerationMethods\":[\"embedContent\"]}],\"nextPageToken\":\"x\"}",
		 "gemini-x/100/10 -e-1 "},
		{&ollama,
		 "{\"models\":[{\"name\":\"qwen3:0.6b\",\"model\":\"qwen3:0.6b\",\"details\":{\"family\":\"qwen3\"}},"
		 "{\"name\":\"all-mini:latest\",\"details\":{\"family\":\"bert\"}}]}",
		 "qwen3:0.6b -all-mini:latest "},
		{&ollama, "{\"models\":[]}", ""},
		/* names that could not stand where they go, and entries that are none */
		{&openai,
		 "{\"data\":[{\"id\":\"\"},{\"id\":\"a b\"},{\"id\":\"a\\nb\"},{\"id\":\"\\u00e4\"},{\"id\":\"a?b\"},"
		 "{\"id\":7},7,null,[],{},{\"id\":\"ok\",\"context_length\":-5},{\"id\":\"big\",\"context_length\":1e18}]}",
		 "ok big "},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena = {0};
		struct listing l;
		struct buf got = BUF_INIT(10000);
		assert_int_equal(listing_read(rows[i].dialect, str_c(rows[i].body), &arena, &l, NULL), OK);
		for (size_t k = 0; k < l.n; k++) {
			buf_addf(&got, "%s%.*s", l.list[k].is_chat ? "" : "-", STR_ARG(l.list[k].wire));
			if (l.list[k].window > 0) buf_addf(&got, "/%lld", (long long)l.list[k].window);
			if (l.list[k].max_output > 0) buf_addf(&got, "/%lld", (long long)l.list[k].max_output);
			buf_add_char(&got, ' ');
		}
		assert_string_equal(buf_str(&got).p, rows[i].want);
		buf_release(&got);
		arena_clear(&arena);
	}
}

static void the_next_page_begins_where_the_last_one_says(void **state)
{
	(void)state;
	static const struct {
		const struct dialect *dialect;
		const char *body, *next, *url;
	} rows[] = {
		{&anthropic, "{\"data\":[],\"has_more\":true,\"last_id\":\"claude-2\"}", "claude-2",
		 "http://h/v1/models?limit=1000&after_id=claude-2"},
		{&anthropic, "{\"data\":[],\"has_more\":false,\"last_id\":\"claude-2\"}", "",
		 "http://h/v1/models?limit=1000"},
		{&anthropic, "{\"data\":[],\"last_id\":\"claude-2\"}", "", "http://h/v1/models?limit=1000"},
		{&anthropic, "{\"data\":[],\"has_more\":true,\"last_id\":7}", "", "http://h/v1/models?limit=1000"},
		{&gemini, "{\"models\":[],\"nextPageToken\":\"a/b+c= &x\\u00e4\"}", "a/b+c= &x\xc3\xa4",
		 "http://h/models?pageSize=1000&pageToken=a%2Fb%2Bc%3D%20%26x%C3%A4"},
		{&gemini, "{\"models\":[],\"nextPageToken\":\"\"}", "", "http://h/models?pageSize=1000"},
		{&gemini, "{\"models\":[]}", "", "http://h/models?pageSize=1000"},
		{&openai, "{\"data\":[],\"has_more\":true,\"last_id\":\"x\"}", "", "http://h/models"},
		{&ollama, "{\"models\":[],\"nextPageToken\":\"x\"}", "", "http://h/api/tags"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena arena = {0};
		struct listing l;
		struct wire_request r;
		assert_int_equal(listing_read(rows[i].dialect, str_c(rows[i].body), &arena, &l, NULL), OK);
		assert_true(str_eq(l.next, str_c(rows[i].next)));
		assert_true(listing_request(rows[i].dialect, STR("http://h"), STR_NONE, l.next, &r));
		assert_string_equal(r.url, rows[i].url);
		wire_request_release(&r);
		arena_clear(&arena);
	}
}

static void what_is_no_list_is_an_error(void **state)
{
	(void)state;
	static const char *const bodies[] = {"",
					     "<html>",
					     "{}",
					     "[]",
					     "{\"data\":{}}",
					     "{\"data\":[",
					     "null",
					     "{\"error\":\"no\"}",
					     "{\"models\":[{\"name\":\"x\"}]}"};
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct arena arena = {0};
		struct listing l;
		struct errinfo info = {0};
		assert_int_equal(listing_read(&openai, str_c(bodies[i]), &arena, &l, &info), ERR_PROVIDER);
		assert_int_equal(l.n, 0);
		arena_clear(&arena);
	}
}

static void a_listing_has_its_limit(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct arena arena = {0};
	struct listing l;
	buf_add_str(&b, STR("{\"data\":["));
	for (int i = 0; i < LISTING_MAX + 10; i++) buf_addf(&b, "%s{\"id\":\"m%d\"}", i == 0 ? "" : ",", i);
	buf_add_str(&b, STR("]}"));
	assert_int_equal(listing_read(&openai, buf_str(&b), &arena, &l, NULL), OK);
	assert_int_equal(l.n, LISTING_MAX);
	buf_release(&b);
	arena_clear(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_dialect_is_asked_its_own_way),
		cmocka_unit_test(every_shape_is_read),
		cmocka_unit_test(the_next_page_begins_where_the_last_one_says),
		cmocka_unit_test(what_is_no_list_is_an_error),
		cmocka_unit_test(a_listing_has_its_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
