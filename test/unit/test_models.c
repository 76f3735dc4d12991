#include "provider/models.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"

static struct models *built_in(void)
{
	struct models *m;
	struct errinfo info = {0};
	enum err e = models_new(models_built_in, STR_NONE, &m, &info);
	if (e != OK) print_error("%s\n", err_sentence(&info, e));
	assert_int_equal(e, OK);
	return m;
}

static void check_wire(const struct models *m, const char *asked, const char *want)
{
	const struct model_info *at = models_resolve(m, str_c(asked));
	struct str got = at != NULL ? at->wire : STR("(none)");
	if (!str_eq(got, str_c(want))) print_error("\"%s\" is %.*s\n", asked, STR_ARG(got));
	assert_true(str_eq(got, str_c(want)));
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static void the_built_in_models_have_one_line_each_and_are_sorted(void **state)
{
	(void)state;
	struct models *m = built_in();
	size_t lines = 0;
	for (size_t i = 0; i < models_built_in.n; i++) lines += models_built_in.p[i] == '\n';
	assert_int_equal(lines, models_count(m) + 2);
	assert_true(models_count(m) >= 62);
	for (size_t i = 1; i < models_count(m); i++)
		assert_true(str_cmp(models_at(m, i - 1)->id, models_at(m, i)->id) < 0);
	models_free(m);
}

static void no_name_of_a_built_in_model_means_another(void **state)
{
	(void)state;
	struct models *m = built_in();
	for (size_t i = 0; i < models_count(m); i++) {
		const struct model_info *at = models_at(m, i);
		assert_ptr_equal(models_resolve(m, at->id), at);
		assert_ptr_equal(models_of(m, at->provider, at->wire), at);
		assert_ptr_equal(models_of(m, at->provider, at->name), at);
		for (size_t k = 0; k < at->naliases; k++) {
			assert_ptr_equal(models_resolve(m, at->aliases[k]), at);
			for (size_t j = 0; j < models_count(m); j++)
				assert_false(j != i && str_eq(models_at(m, j)->name, at->aliases[k]));
		}
	}
	models_free(m);
}

/* Between $0.001 and $1000 a million tokens: a price a token, or in cents, would fall out of that. */
static void built_in_prices_are_sane(void **state)
{
	(void)state;
	struct models *m = built_in();
	size_t priced = 0;
	for (size_t i = 0; i < models_count(m); i++) {
		const struct model_info *at = models_at(m, i);
		assert_true(at->family.n > 0 && at->dialect.n > 0 && at->title.n > 0);
		assert_true(at->max_output == 0 || at->window == 0 || at->max_output <= at->window);
		for (size_t k = 0; k < at->nprices; k++) {
			const int64_t amounts[] = {at->prices[k].input, at->prices[k].output, at->prices[k].cache_read,
						   at->prices[k].cache_write};
			for (size_t j = 0; j < ARRAY_LEN(amounts); j++)
				assert_true(amounts[j] == -1 || (amounts[j] >= 10 && amounts[j] <= 10000000));
			assert_true(amounts[0] > 0 && amounts[1] > 0);
			priced++;
		}
	}
	assert_true(priced >= 40);
	const struct model_info *opus = models_resolve(m, STR("anthropic:claude-opus-4.7"));
	assert_int_equal(opus->prices[0].input, 50000);
	assert_int_equal(opus->prices[0].output, 250000);
	assert_int_equal(opus->window, 1000000);
	models_free(m);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void a_name_is_an_id_then_an_alias_then_a_family(void **state)
{
	(void)state;
	struct models *m = built_in();
	static const char *const rows[][2] = {
		{"anthropic:claude-haiku-4.5", "claude-haiku-4-5-20251001"},
		{"anthropic:claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001"},
		{"claude-haiku-4-5", "claude-haiku-4-5-20251001"},
		{"claude-opus-5-5", "claude-opus-5-5"},
		{"haiku3", "claude-3-haiku-20240307"},
		{"HAIKU3", "claude-3-haiku-20240307"},
		{"4o", "gpt-4o"},
		{"o3", "o3"},
		{"local:mistral", "mistral:7b"},
		{"ollama:qwen3:0.6b", "qwen3:0.6b"},
		{"qwen3:0.6b", "qwen3:0.6b"},
		{"local:test", "test"},
		{"claude", "claude-opus-5-5"},
		{"Opus", "claude-opus-5-5"},
		{"sonnet", "claude-sonnet-5-5"},
		{"haiku", "claude-haiku-5-5"},
		{"anthropic:haiku", "claude-haiku-5-5"},
		{"gpt", "gpt-5.4"},
		{"gemini", "gemini-2.5-pro"},
		{"grok", "grok-4"},
		{"gemma", "gemma-3-1b-it"},
		{"clau", "(none)"},
		{"us", "(none)"},
		{"openai:opus", "(none)"},
		{"", "(none)"},
		{":", "(none)"},
		{"anthropic:", "(none)"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) check_wire(m, rows[i][0], rows[i][1]);
	models_free(m);
}

static void a_version_is_the_number_behind_the_name(void **state)
{
	(void)state;
	static const struct {
		const char *asked, *name;
		int how;
		int64_t version;
	} rows[] = {
		{"claude", "claude-opus-4.7", MATCH_FAMILY, 4007},
		{"opus", "claude-opus-4-8", MATCH_FAMILY, 4008},
		{"opus", "claude-opus-4-20250514", MATCH_FAMILY, 4000},
		{"claude", "claude-3-5-haiku", MATCH_FAMILY, 3005},
		{"haiku", "claude-3-5-haiku", MATCH_FAMILY, 0},
		{"gpt", "gpt-4o-mini", MATCH_FAMILY, 4000},
		{"gemma", "gemma-2-27b-it", MATCH_FAMILY, 2000},
		{"mistral", "mistral:7b", MATCH_FAMILY, 0},
		{"qwen", "qwen3:0.6b", MATCH_FAMILY, 3000},
		{"qwen", "qwen2.5-coder:7b", MATCH_FAMILY, 2005},
		{"llama", "codellama:7b", MATCH_NONE, 0},
		{"gpt", "gptx-4", MATCH_NONE, 0},
		{"gpt-4", "gpt-41", MATCH_NONE, 0},
		{"gpt-4", "gpt-4.1", MATCH_FAMILY, 1000},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str name = str_c(rows[i].name);
		struct model_match got = model_match(str_c(rows[i].asked), name, name, NULL);
		if (got.how != (enum match_how)rows[i].how || got.version != rows[i].version)
			print_error("%s in %s: %d, %lld\n", rows[i].asked, rows[i].name, got.how,
				    (long long)got.version);
		assert_int_equal(got.how, rows[i].how);
		assert_int_equal(got.version, rows[i].version);
	}
}

/* ---- the person's own -------------------------------------------------------------------------------------------- */

static void the_persons_file_adds_models_and_replaces_members(void **state)
{
	(void)state;
	struct models *m;
	struct str own =
		STR("{\"models\":[{\"id\":\"openai:gpt-4o\",\"aliases\":[\"fast\",\"opus\"],\"prices\":[{\"from\":"
		    "\"2026-01-01\",\"input\":1,\"output\":2}]},"
		    "{\"id\":\"studio:mine\",\"wire\":\"mine-v9\",\"window\":8192,\"cannot\":[\"images\"]}]}");
	struct errinfo info = {0};
	assert_int_equal(models_new(models_built_in, own, &m, &info), OK);
	const struct model_info *gpt = models_resolve(m, STR("fast"));
	assert_true(str_eq(gpt->wire, STR("gpt-4o")));
	assert_int_equal(gpt->window, 128000);
	assert_int_equal(gpt->prices[0].input, 10000);
	assert_int_equal(gpt->prices[0].cache_read, -1);
	assert_ptr_equal(models_resolve(m, STR("opus")), gpt);
	const struct model_info *mine = models_resolve(m, STR("studio:mine"));
	assert_true(str_eq(mine->wire, STR("mine-v9")) && str_eq(mine->title, STR("mine")));
	assert_int_equal(mine->window, 8192);
	assert_true(model_cannot(mine, CAN_IMAGES) && !model_cannot(mine, CAN_TOOLS));
	models_free(m);
}

static void a_wrong_file_is_refused_with_the_model_and_the_member(void **state)
{
	(void)state;
	static const struct {
		const char *own, *says;
	} rows[] = {
		{"[]", "\"models\""},
		{"{", "byte"},
		{"{\"models\":[{\"id\":\"x\"}]}", "PROVIDER:MODEL"},
		{"{\"models\":[{}]}", "PROVIDER:MODEL"},
		{"{\"models\":[{\"id\":\"a:b\"},{\"id\":\"a:b\"}]}", "twice"},
		{"{\"models\":[{\"id\":\"a:b\",\"windw\":1}]}", "\"windw\""},
		{"{\"models\":[{\"id\":\"a:b\",\"window\":-1}]}", "\"window\""},
		{"{\"models\":[{\"id\":\"a:b\",\"wire\":\"a b\"}]}", "\"wire\""},
		{"{\"models\":[{\"id\":\"a:b\",\"can\":[\"fly\"]}]}", "\"can\""},
		{"{\"models\":[{\"id\":\"a:b\",\"can\":[\"tools\"],\"cannot\":[\"tools\"]}]}", "opposite"},
		{"{\"models\":[{\"id\":\"a:b\",\"status\":\"asleep\"}]}", "\"status\""},
		{"{\"models\":[{\"id\":\"a:b\",\"aliases\":\"c\"}]}", "\"aliases\""},
		{"{\"models\":[{\"id\":\"a:b\",\"prices\":[{\"input\":1}]}]}", "\"from\""},
		{"{\"models\":[{\"id\":\"a:b\",\"prices\":[{\"from\":\"2026-02-30\",\"input\":1}]}]}", "\"from\""},
		{"{\"models\":[{\"id\":\"a:b\",\"prices\":[{\"from\":\"2026-01-01\",\"input\":5000}]}]}", "million"},
		{"{\"models\":[{\"id\":\"a:b\",\"prices\":[{\"from\":\"2026-01-01\",\"output\":-1}]}]}", "million"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct models *m;
		struct errinfo info = {0};
		enum err e = models_new(models_built_in, str_c(rows[i].own), &m, &info);
		assert_int_not_equal(e, OK);
		assert_null(m);
		if (strstr(err_sentence(&info, e), rows[i].says) == NULL)
			print_error("%s: %s\n", rows[i].own, err_sentence(&info, e));
		assert_non_null(strstr(err_sentence(&info, e), rows[i].says));
	}
}

static void the_price_is_that_of_the_day(void **state)
{
	(void)state;
	struct models *m;
	struct str own = STR("{\"models\":[{\"id\":\"a:b\",\"prices\":[{\"from\":\"2026-01-01\",\"input\":3},{\"from\":"
			     "\"2026-06-01\",\"input\":2}]}]}");
	int64_t before = 0, then = 0, now = 0;
	assert_int_equal(models_new(models_built_in, own, &m, NULL), OK);
	const struct model_info *at = models_resolve(m, STR("a:b"));
	assert_true(time_parse(STR("2025-12-31T23:59:59Z"), &before) &&
		    time_parse(STR("2026-05-31T23:59:59Z"), &then) && time_parse(STR("2026-06-01T00:00:00Z"), &now));
	assert_null(model_price(at, before));
	assert_int_equal(model_price(at, then)->input, 30000);
	assert_int_equal(model_price(at, now)->input, 20000);
	assert_null(model_price(NULL, now));
	models_free(m);
}

/* ---- what a model refuses ---------------------------------------------------------------------------------------- */

static enum err check(const struct model_info *about, const char *json, const struct call_message *list, size_t n,
		      struct errinfo *info)
{
	struct json_doc *doc;
	struct params params;
	assert_int_equal(json_parse(str_c(json), &doc, NULL), OK);
	assert_int_equal(params_read(json_root(doc), &params, NULL), OK);
	enum err e = model_check(about, &params, list, n, info);
	json_free(doc);
	return e;
}

static void what_a_model_refuses_is_an_error_before_the_call(void **state)
{
	(void)state;
	static const struct {
		unsigned cannot;
		const char *params, *says; /* NULL: fine */
	} rows[] = {
		{0, "{\"temperature\":1,\"tools\":[{\"name\":\"f\"}],\"thinking\":\"off\",\"maxTokens\":100}", NULL},
		{CAN_SAMPLING, "{\"maxTokens\":100}", NULL},
		{CAN_SAMPLING, "{\"temperature\":1}", "params.temperature"},
		{CAN_SAMPLING, "{\"topP\":1}", "params.topP"},
		{CAN_SAMPLING, "{\"topK\":1}", "params.topK"},
		{CAN_PENALTIES, "{\"frequencyPenalty\":1}", "params.frequencyPenalty"},
		{CAN_PENALTIES, "{\"presencePenalty\":0}", "params.presencePenalty"},
		{CAN_STOP, "{\"stop\":\"x\"}", "params.stop"},
		{CAN_SEED, "{\"seed\":1}", "params.seed"},
		{CAN_TOOLS, "{\"tools\":[{\"name\":\"f\"}]}", "params.tools"},
		{CAN_SCHEMA, "{\"schema\":{}}", "params.schema"},
		{CAN_EFFORT, "{\"effort\":\"low\"}", "params.effort"},
		{CAN_SYSTEM, "{\"system\":\"be brief\"}", "params.system"},
		{CAN_THINK_BUDGET, "{\"thinkingBudget\":2000}", "params.thinkingBudget"},
		{CAN_THINK_ADAPT, "{\"thinking\":\"adaptive\"}", "adaptive"},
		{CAN_THINK_OFF, "{\"thinking\":false}", "switched off"},
		{CAN_THINK_OFF, "{\"effort\":\"none\"}", "always thinks"},
		{CAN_THINK_OFF, "{\"thinking\":true}", NULL},
		{CAN_THINK_ADAPT | CAN_THINK_BUDGET, "{\"thinking\":true}", NULL},
		{CAN_THINK_ADAPT | CAN_THINK_BUDGET | CAN_EFFORT, "{\"thinking\":true}", "does not think"},
		{0, "{\"maxTokens\":101}", "at most 100 tokens"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct model_info about = {.id = STR("a:b"), .max_output = 100, .cannot = rows[i].cannot};
		struct errinfo info = {0};
		enum err e = check(&about, rows[i].params, NULL, 0, &info);
		assert_int_equal(e, rows[i].says == NULL ? OK : ERR_BAD_FIELD);
		if (rows[i].says != NULL) assert_non_null(strstr(info.text, rows[i].says));
		assert_int_equal(check(NULL, rows[i].params, NULL, 0, NULL), OK);
	}
}

static void what_a_message_brings_is_checked_too(void **state)
{
	(void)state;
	struct call_part image = {.kind = PART_IMAGE}, file = {.kind = PART_FILE};
	struct call_message rules = {.role = STR("system"), .text = STR("x")};
	struct call_message with_image = {.role = STR("user"), .parts = &image, .nparts = 1};
	struct call_message with_file = {.role = STR("user"), .parts = &file, .nparts = 1};
	struct model_info about = {.id = STR("a:b"), .cannot = CAN_IMAGES | CAN_SYSTEM};
	struct errinfo info = {0};
	assert_int_equal(check(&about, "{}", &with_image, 1, &info), ERR_BAD_FIELD);
	assert_string_equal(info.text, "a:b takes no images");
	assert_int_equal(check(&about, "{}", &rules, 1, &info), ERR_BAD_FIELD);
	assert_int_equal(check(&about, "{}", &with_file, 1, &info), OK);
	about.cannot = CAN_FILES;
	assert_int_equal(check(&about, "{}", &with_file, 1, &info), ERR_BAD_FIELD);
}

static void a_model_is_shown_with_null_for_what_is_not_known(void **state)
{
	(void)state;
	struct models *m = built_in();
	struct buf b = BUF_INIT(4000);
	struct jw w = JW(&b);
	jw_obj(&w);
	model_write(&w, models_resolve(m, STR("google:gemma-3-1b-it")), 0);
	jw_obj_end(&w);
	assert_string_equal(b.p, "{\"title\":\"gemma-3-1b-it\",\"window\":null,\"maxOutput\":null,\"price\":null,"
				 "\"can\":[\"sampling\",\"stop\"],"
				 "\"cannot\":[\"effort\",\"thinkingBudget\",\"thinkingAdaptive\"],\"aliases\":[],"
				 "\"status\":\"active\"}");
	buf_clear(&b);
	w = JW(&b);
	jw_obj(&w);
	model_write(&w, models_resolve(m, STR("openai:gpt-4o")), INT64_MAX);
	jw_obj_end(&w);
	assert_non_null(
		strstr(b.p, "\"price\":{\"input\":2.5,\"output\":10.0,\"cacheRead\":1.25,\"cacheWrite\":null}"));
	buf_release(&b);
	models_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_built_in_models_have_one_line_each_and_are_sorted),
		cmocka_unit_test(no_name_of_a_built_in_model_means_another),
		cmocka_unit_test(built_in_prices_are_sane),
		cmocka_unit_test(a_name_is_an_id_then_an_alias_then_a_family),
		cmocka_unit_test(a_version_is_the_number_behind_the_name),
		cmocka_unit_test(the_persons_file_adds_models_and_replaces_members),
		cmocka_unit_test(a_wrong_file_is_refused_with_the_model_and_the_member),
		cmocka_unit_test(the_price_is_that_of_the_day),
		cmocka_unit_test(what_a_model_refuses_is_an_error_before_the_call),
		cmocka_unit_test(what_a_message_brings_is_checked_too),
		cmocka_unit_test(a_model_is_shown_with_null_for_what_is_not_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
