/* Specs: what options and files set, that both mean the same, and what follows from what was set. */
#include "lab/spec.h"

#include "spec_gear.h"

#include <unistd.h>

#include "base/id.h"

static struct config config;

static void local_agents(struct spec *s)
{
	s->agents[0].asked = s->agents[0].model = STR("local:test");
	s->agents[1].asked = s->agents[1].model = STR("local:silent");
}

static void complete(struct spec *s, bool is_remote)
{
	const bool remote[LAB_AGENTS_MAX] = {false, is_remote};
	struct errinfo info = {0};
	if (spec_complete(s, remote, &info) != OK) fail_msg("%s", info.text);
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void every_option_is_found_by_its_name(void **state)
{
	(void)state;
	int agent;
	for (const struct spec_row *r = spec_rows; r < spec_rows + SPEC_ROWS; r++) {
		assert_ptr_equal(spec_row_of_key(str_c(r->key), &agent), r);
		assert_int_equal(agent, -1);
		if (r->also != NULL) assert_ptr_equal(spec_row_of_key(str_c(r->also), &agent), r);
		if (r->option != NULL) assert_ptr_equal(spec_row_of_option(str_c(r->option), &agent), r);
	}
	assert_ptr_equal(spec_row_of_option(STR("temp-b"), &agent), &spec_rows[SPEC_TEMPERATURE]);
	assert_int_equal(agent, 1);
	assert_ptr_equal(spec_row_of_key(STR("temperature_h"), &agent), &spec_rows[SPEC_TEMPERATURE]);
	assert_int_equal(agent, 7);
	assert_null(spec_row_of_key(STR("temperature_i"), &agent));
	assert_null(spec_row_of_key(STR("max_turns_a"), &agent));
	assert_null(spec_row_of_option(STR("turns-a"), &agent));
}

static void an_option_that_is_wrong_says_what_may_be(void **state)
{
	(void)state;
	static const struct {
		const char *name, *value, *says;
	} cases[] = {
		{"turns", "0", "--turns is \"0\"; it must be a whole number from 1 to 100000"},
		{"turns", "five", "--turns is \"five\""},
		{"turns", "", "--turns is \"\""},
		{"repetitions", "10001", "from 1 to 10000"},
		{"max-parallel", "0", "from 1 to 1000"},
		{"think-budget", "999", "from 1000 to 100000"},
		{"temperature", "2.1", "--temperature is \"2.1\"; it must be a number from 0 to 2"},
		{"temp-a", "warm", "--temp-a is \"warm\""},
		{"temperature", "nan", "a number"},
		{"temperature", "0x1", "a number"},
		{"convergence-threshold", "1.5", "from 0 to 1, or none"},
		{"convergence-action", "explode", "stop, pause, notify, warn or continue"},
		{"convergence-profile", "lax", "balanced, structural, semantic, strict or custom"},
		{"redact", "all", "hash, drop, mask-pii or off"},
		{"awareness", "basik", "did you mean basic?"},
		{"awareness-b", "x.json", "--awareness-b: \"x.json\" is neither"},
		{"dimensions", "peers:philosofy", "there is no dimension \"philosofy\"; did you mean philosophy?"},
		{"dimensions", "peers:debate", "peers and debate are both a context"},
		{"name", "a\nb", "one line"},
		{"prompt", "\xff", "not UTF-8"},
		{"seed", "-1", "from 0 to"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct spec s;
		struct errinfo info;
		spec_init(&s, &config);
		char *before = written(&s);
		if (option(&s, cases[i].name, cases[i].value, &info)) fail_msg("%s was taken", cases[i].value);
		if (strstr(info.text, cases[i].says) == NULL) fail_msg("case %zu says: %s", i, info.text);
		char *after = written(&s);
		assert_string_equal(after, before);
		free(before);
		free(after);
		spec_release(&s);
	}
}

static void one_agents_value_goes_before_all_agents_wherever_it_stands(void **state)
{
	(void)state;
	struct errinfo info;
	static const char *const orders[][2] = {{"temp-a", "temperature"}, {"temperature", "temp-a"}};
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		struct spec s;
		spec_init(&s, &config);
		for (size_t j = 0; j < 2; j++)
			assert_true(option(&s, orders[i][j], strcmp(orders[i][j], "temp-a") == 0 ? "0" : "1.5", &info));
		assert_true(s.agents[0].temperature <= 0);
		assert_true(s.agents[1].temperature >= 1.5);
		spec_release(&s);
	}
}

static void switches_of_the_display_end_as_the_last_one_says(void **state)
{
	(void)state;
	struct spec s;
	struct errinfo info;
	spec_init(&s, &config);
	assert_true(option(&s, "quiet", "", &info));
	assert_true(str_eq(s.display, STR("quiet")));
	assert_true(option(&s, "quiet", "false", &info));
	assert_true(str_eq(s.display, STR("chat")));
	assert_true(option(&s, "tail", "", &info));
	assert_true(option(&s, "quiet", "no", &info));
	assert_true(str_eq(s.display, STR("tail")));
	spec_release(&s);
}

static void redact_without_a_way_is_by_hash(void **state)
{
	(void)state;
	struct spec s;
	struct errinfo info;
	spec_init(&s, &config);
	assert_int_equal(s.redact, REDACT_NONE);
	assert_true(option(&s, "redact", "", &info));
	assert_int_equal(s.redact, REDACT_HASH);
	spec_release(&s);
}

/* ---- options and files ------------------------------------------------------------------------------------------- */

/* What a random value of a row is, as text. */
static void random_value(struct rng *r, const struct spec_row *row, struct buf *out)
{
	static const char *const words[][5] = {
		{"stop", "pause", "notify", "warn", "continue"},
		{"balanced", "structural", "semantic", "strict", "strict"},
		{"off", "hash", "drop", "mask-pii", "hash"},
		{"none", "basic", "firm", "/a/b.yaml", "sub/c.yml"},
		{"peers:calm", "debate:science:focused", "casual", "meta", "thoughts:intuitive"},
	};
	static const char *const texts[] = {"plain",
					    "two words",
					    "a: b # c",
					    "\"quoted\" 'too'",
					    "-",
					    "é 日本 🙂",
					    "~",
					    "true",
					    "12",
					    "{x",
					    "x\\ny",
					    "%",
					    "\xc2\x85\xc2\x9b",
					    "\xef\xbb\xbf\xef\xbf\xbf"};
	size_t nth = (size_t)rng_below(r, 5);
	buf_clear(out);
	if (row == &spec_rows[SPEC_ACTION]) buf_add_str(out, str_c(words[0][nth]));
	else if (row == &spec_rows[SPEC_PROFILE]) buf_add_str(out, str_c(words[1][nth]));
	else if (row == &spec_rows[SPEC_REDACT]) buf_add_str(out, str_c(words[2][nth]));
	else if (row == &spec_rows[SPEC_AWARENESS]) buf_add_str(out, str_c(words[3][nth]));
	else if (row == &spec_rows[SPEC_DIMENSIONS]) buf_add_str(out, str_c(words[4][nth]));
	else if (row->kind == SK_TEXT) buf_add_str(out, str_c(texts[rng_below(r, ARRAY_LEN(texts))]));
	else if (row->kind == SK_INT) buf_add_int(out, (int64_t)row->lo + (int64_t)rng_below(r, 50));
	else if (row->kind == SK_REAL) buf_addf(out, "%.3f", row->lo + (row->hi - row->lo) * (double)nth / 7);
	else buf_add_str(out, rng_below(r, 2) ? STR("true") : STR("false"));
}

/* The same setting as a line of a file: numbers and words as they are, texts in quotes. */
static void add_line(struct buf *yaml, const struct spec_row *row, int agent, struct str value)
{
	struct buf quoted = BUF_INIT(BUF_NO_LIMIT), safe = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&quoted);
	buf_add_str(yaml, str_c(row->key));
	if (agent >= 0) buf_addf(yaml, "_%c", 'a' + agent);
	buf_add_str(yaml, STR(": "));
	jw_str(&w, value);
	for (size_t i = 0; i < quoted.n; i++) { /* what YAML takes only escaped */
		const unsigned char *p = (const unsigned char *)quoted.p + i;
		if (p[0] == 0xc2 && p[1] < 0xa0) buf_addf(&safe, "\\x%02x", p[1]), i++;
		else if (memcmp(p, "\xef\xbb\xbf", 3) == 0) buf_add_str(&safe, STR("\\uFEFF")), i += 2;
		else if (memcmp(p, "\xef\xbf\xbf", 3) == 0) buf_add_str(&safe, STR("\\uFFFF")), i += 2;
		else buf_add_char(&safe, (char)*p);
	}
	buf_add_str(yaml, row->kind == SK_TEXT ? buf_str(&safe) : value);
	buf_add_char(yaml, '\n');
	buf_release(&quoted);
	buf_release(&safe);
}

static bool is_display(const struct spec_row *r) { return r == &spec_rows[SPEC_QUIET] || r == &spec_rows[SPEC_TAIL]; }

static void a_file_and_options_that_say_the_same_are_the_same(void **state)
{
	(void)state;
	struct rng r;
	rng_seed(&r, 11);
	char cwd[4096];
	assert_non_null(getcwd(cwd, sizeof cwd - 20));
	strncat(cwd, "/spec.yaml", 20);
	for (int i = 0; i < 3000; i++) {
		struct spec by_option, *by_file = NULL;
		struct buf yaml = BUF_INIT(BUF_NO_LIMIT), value = BUF_INIT(BUF_NO_LIMIT);
		struct errinfo info = {0};
		size_t n;
		bool has_display = false;
		spec_init(&by_option, &config);
		buf_add_str(&yaml, STR("# a spec\n"));
		for (const struct spec_row *row = spec_rows; row < spec_rows + SPEC_ROWS; row++) {
			if (row->option == NULL || rng_below(&r, 2) || (is_display(row) && has_display)) continue;
			has_display |= is_display(row);
			int agent = row->per_agent ? (int)rng_below(&r, 3) - 1 : -1;
			random_value(&r, row, &value);
			if (spec_set(&by_option, row, agent, buf_str(&value), &info) != OK) fail_msg("%s", info.text);
			add_line(&yaml, row, agent, buf_str(&value));
		}
		if (spec_parse(buf_str(&yaml), cwd, &config, &by_file, &n, &info) != OK)
			fail_msg("%s\n%.*s", info.text, STR_ARG(buf_str(&yaml)));
		char *one = configured(&by_option), *other = configured(by_file);
		assert_string_equal(one, other);
		char *text = written(&by_option), *text_of_file = written(by_file);
		assert_string_equal(text, text_of_file);
		struct spec again = parsed(&config, text);
		char *text_again = written(&again), *config_again = configured(&again);
		assert_string_equal(text_again, text);
		assert_string_equal(config_again, one);
		free(one), free(other), free(text), free(text_of_file), free(text_again), free(config_again);
		spec_release(&by_option);
		spec_release(by_file);
		spec_release(&again);
		free(by_file);
		buf_release(&yaml);
		buf_release(&value);
	}
}

static void what_is_written_reads_as_the_same_after_it_was_completed(void **state)
{
	(void)state;
	static const char *const files[] = {
		"agent_a: local:test\nagent_b: local:silent\n",
		"agent_a: local:test\nagent_b: x\nprompt: |\n  two\n  lines\ndimensions: [peers, meta]\nseed: 7\n",
		("agents: [a, b, c]\ntemperature_c: 0\nthink_b: on\nthink_budget_b: 2000\nparams: {topP: 0.50, stop: ['\\n', "
		 "\"\\u009b\"]}\n"),
		("agent_a: a\nagent_b: b\nawareness_b: {base: firm, prompts: {0: {both: x}, 3: {agent_b: 'y: \"z\"'}}}\n"
		 "convergence_weights: {content: 1}\nconvergence_threshold: none\n"),
		("agent_a: a\nagent_b: b\nbranch_from: {conversation_id: conv_1, turn: 1, parameter_changes: {agent_a: "
		 "x}}\ninitial_messages:\n- {role: user, content: hello}\n- {role: assistant, content: one}\n"
		 "- {role: assistant, content: \"two\\n\\t\"}\n"),
	};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct spec s = parsed(&config, files[i]);
		complete(&s, true);
		char *text = written(&s), *one = configured(&s);
		struct spec again = parsed(&config, text);
		complete(&again, false);
		char *text_again = written(&again), *other = configured(&again);
		assert_string_equal(text_again, text);
		assert_string_equal(other, one);
		assert_true(str_eq(s.prompt, again.prompt));
		assert_int_equal(s.ninjections, again.ninjections);
		assert_int_equal(s.ninherited, again.ninherited);
		for (size_t a = 0; a < s.nagents; a++) {
			assert_true(str_eq(s.agents[a].prompt, again.agents[a].prompt));
			assert_true(str_eq(s.agents[a].params, again.agents[a].params));
		}
		free(text), free(one), free(text_again), free(other);
		spec_release(&s);
		spec_release(&again);
	}
}

/* ---- what follows ------------------------------------------------------------------------------------------------ */

static void a_threshold_is_implied_where_calls_cost_money(void **state)
{
	(void)state;
	static const struct {
		const char *given;
		bool remote;
		double threshold; /* NaN none */
	} cases[] = {
		{NULL, false, (double)NAN}, {NULL, true, 0.95},          {"0.5", true, 0.5},
		{"0.5", false, 0.5},        {"none", true, (double)NAN},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct spec s;
		struct errinfo info;
		spec_init(&s, &config);
		local_agents(&s);
		if (cases[i].given != NULL) assert_true(option(&s, "convergence-threshold", cases[i].given, &info));
		complete(&s, cases[i].remote);
		assert_int_equal(isnan(s.threshold) != 0, isnan(cases[i].threshold) != 0);
		if (!isnan(s.threshold)) assert_real(s.threshold, cases[i].threshold);
		assert_int_equal(s.action, CONVERGED_STOP);
		spec_release(&s);
	}
}

static void a_profile_sets_the_weights(void **state)
{
	(void)state;
	struct spec s;
	struct errinfo info;
	for (int p = 0; p < PROFILE_COUNT; p++) {
		spec_init(&s, &config);
		local_agents(&s);
		assert_true(option(&s, "convergence-profile", convergence_profiles[p].name, &info));
		complete(&s, false);
		assert_memory_equal(&s.weights, &convergence_profiles[p].weights, sizeof s.weights);
		spec_release(&s);
	}
	s = parsed(&config, "agent_a: a\nagent_b: b\nconvergence_weights: {length: 0.25, content: 0.75}\n");
	complete(&s, false);
	assert_true(str_eq(s.profile, STR("custom")));
	assert_real(s.weights.length, 0.25);
	spec_release(&s);
}

static void what_contradicts_itself_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *says;
	} cases[] = {
		{"agent_a: x\n", "agent_b is missing"},
		{"agent_a: a\nagent_b: b\nconvergence_profile: custom\n", "needs convergence_weights"},
		{"agent_a: a\nagent_b: b\nconvergence_profile: strict\nconvergence_weights: {content: 1}\n",
		 "not for strict"},
		{"agent_a: a\nagent_b: b\nthink_budget: 5000\n", "add think"},
		{"agent_a: a\nagent_b: b\nthink: true\nthink_budget: 5000\nparams_b: {max_tokens: 5000}\n",
		 "must be less than params.maxTokens (5000)"},
		{"agent_a: a\nagent_b: b\nbranch_from: {conversation_id: c}\n", "needs initial_messages"},
		{"agent_a: a\nagent_b: b\nawareness: /no/such/file.yaml\n", "/no/such/file.yaml: No such file"},
	};
	const bool remote[LAB_AGENTS_MAX] = {false};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct errinfo info = {0};
		struct spec s = parsed(&config, cases[i].yaml);
		assert_int_not_equal(spec_complete(&s, remote, &info), OK);
		if (strstr(info.text, cases[i].says) == NULL) fail_msg("case %zu says: %s", i, info.text);
		spec_release(&s);
	}
}

static void dimensions_stand_before_the_prompt_once(void **state)
{
	(void)state;
	struct spec s;
	struct errinfo info;
	spec_init(&s, &config);
	local_agents(&s);
	assert_true(option(&s, "dimensions", "calm:peers", &info)); /* in the table's order, whatever order is given */
	assert_true(option(&s, "prompt", "Why?", &info));
	complete(&s, false);
	complete(&s, false);
	const char *peers = strstr(s.prompt.p, "peers"), *calm = strstr(s.prompt.p, "calm");
	assert_non_null(peers);
	assert_non_null(calm);
	assert_true(peers < calm);
	assert_null(strstr(calm + 1, "calm"));
	assert_string_equal(s.prompt.p + s.prompt.n - 6, "\n\nWhy?");
	spec_release(&s);
}

static void a_meditation_has_a_silent_partner(void **state)
{
	(void)state;
	struct spec s;
	struct errinfo info;
	spec_init(&s, &config);
	spec_agents(&s, STR("m"));
	assert_int_equal(s.agents[1].asked.n, 0);
	assert_true(option(&s, "meditation", "", &info));
	spec_agents(&s, STR("m"));
	assert_true(str_eq(s.agents[0].asked, STR("m")));
	assert_true(str_eq(s.agents[1].asked, STR("local:silent")));
	assert_true(option(&s, "agent-a", "other", &info));
	spec_agents(&s, STR("m"));
	assert_true(str_eq(s.agents[0].asked, STR("other")));
	spec_release(&s);
}

static void requests_get_the_agents_parameters_and_room_for_an_answer(void **state)
{
	(void)state;
	static const struct {
		const char *yaml;
		int64_t max_output;
		const char *params;
	} cases[] = {
		{"prompt: x\n", 0, ""},
		{"temperature_a: 0\n", 0, "{\"temperature\":0.0}"},
		{"think_a: true\nparams: {topP: 0.5}\n", 0, "{\"thinking\":\"on\",\"topP\":0.5}"},
		{"think_a: true\nthink_budget: 20000\n", 0,
		 "{\"thinking\":\"on\",\"thinkingBudget\":20000,\"maxTokens\":24096}"},
		{"think_a: true\nthink_budget: 20000\n", 64000,
		 "{\"thinking\":\"on\",\"thinkingBudget\":20000,\"maxTokens\":24096}"},
		{"think_a: true\nthink_budget: 20000\n", 16000,
		 "{\"thinking\":\"on\",\"thinkingBudget\":15744,\"maxTokens\":16000}"},
		{"think_a: true\nthink_budget: 2000\nparams_a: {maxTokens: 3000}\n", 16000,
		 "{\"thinking\":\"on\",\"thinkingBudget\":2000,\"maxTokens\":3000}"},
		{"think_b: true\nthink_budget: 2000\n", 0, ""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct spec s = parsed(&config, cases[i].yaml);
		struct arena memory = {0};
		struct str params = spec_request_params(&s.agents[0], cases[i].max_output, &memory);
		assert_true(params.p != NULL);
		assert_string_equal(params.p, cases[i].params);
		arena_clear(&memory);
		spec_release(&s);
	}
}

/* ---- the configuration ------------------------------------------------------------------------------------------- */

static void every_key_of_the_configuration_has_its_effect(void **state)
{
	(void)state;
	struct config c;
	struct spec s;
	struct errinfo info = {0};
	config_init(&c);
	assert_int_equal(config_parse(&c,
				      STR("labTurns: 7\nlabThreshold: 0.6\nlabAction: warn\nlabProfile: custom\n"
					  "labWeights: [0.2, 0.2, 0.2, 0.3, 0.1]\nlabAwareness: firm\nlabRedact: drop\n"
					  "labNotify: true\nlabPromptTag: '[ME]'\nlabMaxParallel: 3\n"),
				      "/etc/roost.yaml", &info),
			 OK);
	spec_init(&s, &c);
	local_agents(&s);
	complete(&s, true);
	assert_int_equal(s.turns, 7);
	assert_real(s.threshold, 0.6);
	assert_int_equal(s.action, CONVERGED_WARN);
	assert_true(str_eq(s.profile, STR("custom")));
	assert_real(s.weights.length, 0.3);
	assert_non_null(strstr(s.agents[1].prompt.p, "not a person"));
	assert_int_equal(s.redact, REDACT_DROP);
	assert_true(s.notify);
	assert_true(str_eq(s.prompt_tag, STR("[ME]")));
	assert_int_equal(s.max_parallel, 3);
	/* a spec that is kept says so itself */
	char *text = written(&s);
	struct spec again = parsed(&config, text);
	char *text_again = written(&again);
	assert_string_equal(text_again, text);
	free(text), free(text_again);
	spec_release(&again);
	spec_release(&s);
	config_release(&c);
}

/* The configuration is below the lab and has these words of its own. */
static void the_configurations_words_are_the_specs_words(void **state)
{
	(void)state;
	static const char *const actions[] = {"stop", "pause", "notify", "warn", "continue"};
	static const char *const redactions[] = {"off", "hash", "drop", "mask-pii"};
	struct config c;
	struct errinfo info;
	config_init(&c);
	for (int a = 0; a < (int)ARRAY_LEN(actions); a++) {
		enum convergence_action action;
		assert_true(convergence_action_parse(str_c(actions[a]), &action));
		assert_int_equal(config_set(&c, "labAction", actions[a], &info), OK);
	}
	for (int r = 0; r < (int)ARRAY_LEN(redactions); r++) {
		enum redaction redaction;
		assert_true(redaction_parse(str_c(redactions[r]), &redaction));
		assert_int_equal(config_set(&c, "labRedact", redactions[r], &info), OK);
	}
	for (int p = 0; p < PROFILE_COUNT; p++)
		assert_int_equal(config_set(&c, "labProfile", convergence_profiles[p].name, &info), OK);
	config_release(&c);
}

/* ---- redaction, and what is told --------------------------------------------------------------------------------- */

static void no_text_of_a_redacted_spec_is_in_the_manifest(void **state)
{
	(void)state;
	static const char *const ways[] = {"hash", "drop"};
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		char yaml[600];
		(void)snprintf(yaml, sizeof yaml,
			       "agent_a: a\nagent_b: b\nredact: %s\nprompt: CANARY1\nprompt_tag: CANARY2\n"
			       "params: {stop: [CANARY3], other: {deep: CANARY4}}\n"
			       "awareness: {prompts: {0: {both: CANARY5}, 2: {agent_a: CANARY6}}}\n"
			       "initial_messages: [{role: user, content: CANARY7}]\n",
			       ways[i]);
		struct spec s = parsed(&config, yaml);
		complete(&s, false);
		char *text = configured(&s);
		if (strstr(text, "CANARY") != NULL) fail_msg("%s", text);
		assert_non_null(strstr(text, "\"chars\":7"));
		free(text);
		spec_release(&s);
	}
}

static void the_table_in_the_documentation_is_the_codes(void **state)
{
	(void)state;
	char *text = NULL;
	size_t n = 0, lines = 0;
	FILE *f = fopen(ROOST_SOURCE_DIR "/docs/specs.md", "r");
	assert_non_null(f);
	assert_true(getdelim(&text, &n, '\0', f) > 0);
	fclose(f);
	for (const struct spec_row *r = spec_rows; r < spec_rows + SPEC_ROWS; r++) {
		struct buf line = BUF_INIT(2000);
		buf_addf(&line, "\n| `%s`", r->key);
		if (r->also != NULL) buf_addf(&line, ", `%s`", r->also);
		if (r->per_agent) buf_addf(&line, ", `%s_a`, …", r->key);
		buf_addf(&line, " | ");
		if (r->option == NULL) buf_addf(&line, "–");
		if (r->letter != 0) buf_addf(&line, "`-%c`, ", r->letter);
		if (r->option != NULL) buf_addf(&line, "`--%s`", r->option);
		if (r->each != NULL) buf_addf(&line, ", `--%s-a`, `--%s-b`", r->each, r->each);
		buf_addf(&line, " | %s | %s |\n", r->def != NULL ? r->def : "–", r->what);
		if (strstr(text, line.p) == NULL) fail_msg("docs/specs.md has no line%s", line.p);
		buf_release(&line);
	}
	for (const char *p = strstr(text, "| key | option |"); p != NULL && p[0] == '|'; p = strchr(p, '\n') + 1)
		lines++;
	assert_int_equal(lines, SPEC_ROWS + 2);
	for (const struct spec_fragment *d = dimension_table; d->name != NULL; d++)
		assert_non_null(strstr(text, d->name));
	free(text);
}

static int init(void **state)
{
	(void)state;
	unsetenv("HOME");
	config_init(&config);
	return 0;
}

static int release(void **state)
{
	(void)state;
	config_release(&config);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_is_found_by_its_name),
		cmocka_unit_test(an_option_that_is_wrong_says_what_may_be),
		cmocka_unit_test(one_agents_value_goes_before_all_agents_wherever_it_stands),
		cmocka_unit_test(switches_of_the_display_end_as_the_last_one_says),
		cmocka_unit_test(redact_without_a_way_is_by_hash),
		cmocka_unit_test(a_file_and_options_that_say_the_same_are_the_same),
		cmocka_unit_test(what_is_written_reads_as_the_same_after_it_was_completed),
		cmocka_unit_test(a_threshold_is_implied_where_calls_cost_money),
		cmocka_unit_test(a_profile_sets_the_weights),
		cmocka_unit_test(what_contradicts_itself_is_refused),
		cmocka_unit_test(dimensions_stand_before_the_prompt_once),
		cmocka_unit_test(a_meditation_has_a_silent_partner),
		cmocka_unit_test(requests_get_the_agents_parameters_and_room_for_an_answer),
		cmocka_unit_test(every_key_of_the_configuration_has_its_effect),
		cmocka_unit_test(the_configurations_words_are_the_specs_words),
		cmocka_unit_test(no_text_of_a_redacted_spec_is_in_the_manifest),
		cmocka_unit_test(the_table_in_the_documentation_is_the_codes),
	};
	return cmocka_run_group_tests(tests, init, release);
}
