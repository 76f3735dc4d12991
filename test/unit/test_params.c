/* The table of parameters, its words for people, and what is refused. */
#include "provider/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static enum err read_text(const char *text, struct params *p, struct json_doc **doc, struct errinfo *info)
{
	assert_int_equal(json_parse(str_c(text), doc, NULL), OK);
	return params_read(json_root(*doc), p, info);
}

static void what_cannot_be_sent_is_named_with_what_it_may_be(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
		{"{\"temperature\":2.1}", "params.temperature must be a number from 0 to 2"},
		{"{\"maxTokens\":0}", "params.maxTokens must be a number from 1"},
		{"{\"max_tokens\":1.5}", "params.maxTokens must be a whole number"},
		{"{\"maxTokens\":1,\"max_tokens\":1}", "params.maxTokens and params.max_tokens are the same"},
		{"{\"stop\":[]}", "params.stop must be"},
		{"{\"stop\":[\"\"]}", "none empty"},
		{"{\"thinking\":\"hard\"}", "off, on or adaptive"},
		{"{\"effort\":\"huge\"}", "xhigh or max"},
		{"{\"schema\":\"{}\"}", "params.schema must be an object"},
		{"{\"tools\":[{\"name\":\"a b\"}]}", "params.tools must be 1 to 128"},
		{"{\"tools\":[{\"name\":\"a\",\"parameters\":[]}]}", "params.tools must be 1 to 128"},
		{"{\"system\":1}", "params.system must be a string"},
		{"{\"context\":\"cut\"}", "drop, refuse or summarise"},
		{"{\"thinking\":\"on\",\"thinkingBudget\":0}", "params.thinking is on, but params.thinkingBudget is 0"},
		{"{\"thinking\":\"adaptive\",\"thinking_budget\":0}", "is adaptive, but params.thinkingBudget is 0"},
		{"{\"thinking\":false,\"thinkingBudget\":9}", "params.thinking is off, but params.thinkingBudget is 9"},
		{"{\"thinking\":true,\"effort\":\"none\"}", "params.thinking is on, but params.effort is none"},
		{"{\"effort\":\"none\",\"thinkingBudget\":9}", "params.effort is none, but params.thinkingBudget is 9"},
		{"{\"effort\":\"max\",\"thinkingBudget\":0}", "params.effort is max, but params.thinkingBudget is 0"},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct params p;
		struct json_doc *doc;
		struct errinfo info;
		assert_int_equal(read_text(bad[i][0], &p, &doc, &info), ERR_BAD_FIELD);
		if (strstr(info.text, bad[i][1]) == NULL) print_error("%s: %s\n", bad[i][0], info.text);
		assert_non_null(strstr(info.text, bad[i][1]));
		json_free(doc);
	}
}

static void ways_to_say_the_same_of_thinking_agree(void **state)
{
	(void)state;
	static const char *const good[] = {
		"{\"thinking\":\"off\",\"thinkingBudget\":0,\"effort\":\"none\"}",
		"{\"thinking\":\"on\",\"thinkingBudget\":1,\"effort\":\"low\"}",
		"{\"thinking\":\"on\",\"thinkingBudget\":null,\"effort\":null}",
		"{\"thinkingBudget\":0}",
		"{\"thinking\":\"off\",\"effort\":\"low\"}",
	};
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct params p;
		struct json_doc *doc;
		struct errinfo info;
		assert_int_equal(read_text(good[i], &p, &doc, &info), OK);
		json_free(doc);
	}
}

static void null_is_absent_and_both_names_are_one(void **state)
{
	(void)state;
	struct params p;
	struct json_doc *doc;
	struct errinfo info;
	assert_int_equal(read_text("{\"topP\":null,\"top_k\":3,\"num_ctx\":5,\"thinking\":false}", &p, &doc, &info),
			 OK);
	assert_false(param_given(&p, P_TOP_P));
	assert_int_equal(param_int(&p, P_TOP_K), 3);
	assert_true(str_eq(param_thinking(&p), STR("off")));
	assert_int_equal(param_find(STR("num_ctx")), PARAM_COUNT);
	json_free(doc);
	assert_int_equal(params_read(NULL, &p, &info), OK);
	for (size_t i = 0; i < PARAM_COUNT; i++) assert_null(p.at[i]);
}

/* docs/parameters.md has a row of each. */
static void the_document_has_every_parameter(void **state)
{
	(void)state;
	static char text[1 << 16];
	FILE *f = fopen(ROOST_SOURCE_DIR "/docs/parameters.md", "r");
	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	assert_int_equal(fclose(f), 0);
	for (size_t i = 0; i < PARAM_COUNT; i++) {
		const struct param_row *r = &param_rows[i];
		char row[400];
		(void)snprintf(row, sizeof row, "| `%s` | %s%s%s |", r->name, r->also[0] != '\0' ? "`" : "", r->also,
			       r->also[0] != '\0' ? "`" : "");
		if (strstr(text, row) == NULL) print_error("no row: %s\n", row);
		assert_non_null(strstr(text, row));
		assert_non_null(strstr(text, r->what));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_sent_is_named_with_what_it_may_be),
		cmocka_unit_test(ways_to_say_the_same_of_thinking_agree),
		cmocka_unit_test(null_is_absent_and_both_names_are_one),
		cmocka_unit_test(the_document_has_every_parameter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
