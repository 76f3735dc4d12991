#include "provider/tokens.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void texts_have_their_golden_estimates(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t gpt, claude, any;
	} rows[] = {
		{"", 0, 0, 0},
		{"a", 1, 1, 1},
		{"12345678", 2, 3, 3},
		{"The quick brown fox jumps over the lazy dog.", 11, 14, 13},
		{"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", 2, 3, 3},                 /* äöüß */
		{"\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82", 3, 4, 4}, /* Привет */
		{"\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c", 4, 5, 5}, /* 你好世界 */
		{"\xf0\x9f\x98\x80", 2, 3, 3},                                 /* an emoji */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(tokens_text(STR("gpt"), str_c(rows[i].text)), rows[i].gpt);
		assert_int_equal(tokens_text(STR("claude"), str_c(rows[i].text)), rows[i].claude);
		assert_int_equal(tokens_text(STR_NONE, str_c(rows[i].text)), rows[i].any);
	}
}

static void a_text_in_pieces_weighs_what_it_weighs_whole(void **state)
{
	(void)state;
	struct str whole = STR("na\xc3\xafve \xe4\xbd\xa0\xe5\xa5\xbd, said the pigeon");
	int64_t weight = 0;
	for (size_t i = 0; i < whole.n; i++) weight += tokens_weigh(str_n(whole.p + i, 1));
	assert_int_equal(weight, tokens_weigh(whole));
	assert_int_equal(tokens_of_weight(STR("gpt"), weight), tokens_text(STR("gpt"), whole));
	assert_int_equal(tokens_of_weight(STR("claude"), INT64_MAX), INT64_MAX);
	assert_int_equal(tokens_of_weight(STR("claude"), 1), 1);
}

static void messages_count_their_marks_and_parts(void **state)
{
	(void)state;
	struct str gpt = STR("gpt");
	char pdf[100000] = "%PDF";
	struct call_part parts[] = {
		{.kind = PART_TEXT, .text = STR("12345678")},
		{.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("x")},
		{.kind = PART_FILE, .name = STR("a.txt"), .media_type = STR("text/plain"), .bytes = STR("12345678")},
		{.kind = PART_FILE, .name = STR("a.pdf"), .media_type = STR("application/pdf"), .bytes = STR("x")},
		{.kind = PART_FILE, .media_type = STR("application/pdf"), .bytes = {pdf, sizeof pdf}},
		{.kind = PART_TOOL_CALL, .name = STR("find"), .text = STR("{\"q\":\"x\"}")},
		{.kind = PART_TOOL_RESULT, .name = STR("find"), .text = STR("nothing")},
		{.kind = PART_THINKING, .text = STR("well")},
	};
	static const int64_t want[] = {2, 1105, 2 + 2, 2 + 2000, 4000, 4 + 1 + 3, 4 + 1 + 2, 1};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct call_message m = {.role = STR("user"), .text = STR("1234"), .parts = &parts[i], .nparts = 1};
		assert_int_equal(tokens_message(gpt, &m), TOKENS_PER_MESSAGE + 1 + want[i]);
	}
	struct call_message empty = {.role = STR("user"), .text = STR("")};
	assert_int_equal(tokens_message(gpt, &empty), TOKENS_PER_MESSAGE);
	assert_int_equal(tokens_image(STR("gemini")), 258);
	assert_int_equal(tokens_image(STR("who?")), 1600);
}

static void the_system_prompt_the_tools_and_the_schema_count(void **state)
{
	(void)state;
	struct json_doc *doc;
	struct params p;
	assert_int_equal(
		json_parse(STR("{\"system\":\"12345678\",\"tools\":[{\"name\":\"f\"}],\"schema\":{},\"stop\":\"x\"}"),
			   &doc, NULL),
		OK);
	assert_int_equal(params_read(json_root(doc), &p, NULL), OK);
	assert_int_equal(tokens_params(STR("gpt"), &p), TOKENS_PER_MESSAGE + 2 + 4 + 1);
	assert_int_equal(params_read(NULL, &p, NULL), OK);
	assert_int_equal(tokens_params(STR("gpt"), &p), 0);
	json_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_have_their_golden_estimates),
		cmocka_unit_test(a_text_in_pieces_weighs_what_it_weighs_whole),
		cmocka_unit_test(messages_count_their_marks_and_parts),
		cmocka_unit_test(the_system_prompt_the_tools_and_the_schema_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
