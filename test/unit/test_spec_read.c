/* Specs and awareness files as people write them: what is refused and how it is told, matrices, branches, prompts. */
#include "lab/spec.h"

#include "spec_gear.h"

#include <unistd.h>

static struct config config;

static enum err refused(const char *yaml, size_t len, struct errinfo *info)
{
	struct spec *list = NULL;
	size_t n = 0;
	*info = (struct errinfo){0};
	enum err e = spec_parse(str_n(yaml, len), "s.yaml", &config, &list, &n, info);
	assert_true(e == OK || (list == NULL && n == 0));
	for (size_t i = 0; i < n; i++) spec_release(&list[i]);
	free(list);
	return e;
}

static void a_mistake_is_told_with_its_line(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *says;
	} cases[] = {
		{"", "s.yaml: an empty spec"},
		{"# nothing\n", "s.yaml: an empty spec"},
		{"---\n", "s.yaml:2: an empty spec"},
		{"turns: 1\n---\n---\nturns: 2\n", "s.yaml:3: an empty spec"},
		{"- a\n", "s.yaml:1: a spec is a mapping"},
		{"name: x\nturnz: 5\n", "s.yaml:2: unknown key \"turnz\"; did you mean turns?"},
		{"zzzzzzzzzzzzz: 1\n", "s.yaml:1: unknown key \"zzzzzzzzzzzzz\""},
		{"name: x\n\nturns: 0\n", "s.yaml:3: turns is \"0\"; it must be a whole number from 1 to 100000"},
		{"turns: [1]\n", "s.yaml:1: turns must be one value"},
		{"turns: ''\n", "s.yaml:1: turns must be a value"},
		{"think_a: maybe\n", "s.yaml:1: think_a is \"maybe\"; it must be true or false"},
		{"turns: 1\nmax_turns: 2\n", "s.yaml:2: max_turns and turns (line 1) can't both be given"},
		{"turns: 1\nturns: 2\n", "s.yaml:2: \"turns\" stands twice, first in line 1"},
		{"agent_a: x\nagents: [a, b]\n", "s.yaml:2: agents and agent_a (line 1) can't both be given"},
		{"quiet: true\ntail: true\n", "s.yaml:2: tail and quiet (line 1) can't both be given"},
		{"agents: [a]\n", "s.yaml:1: agents are 1; they must be from 2 to 8"},
		{"agents: [a, '']\n", "names a model \"\""},
		{"agents: [a, [b]]\n", "a list of words"},
		{"temperature_c: 1\n", "s.yaml:1: temperature_c is given, but there are 2 agents"},
		{"name: !!str x\n", "s.yaml:1: tags (!), anchors (&) and aliases (*) are not taken"},
		{"name: !python/object x\n", "tags (!)"},
		{"name: &a x\nprompt: *a\n", "s.yaml:1: tags (!), anchors (&)"},
		{"params: &a {x: 1}\n", "anchors"},
		{"%TAG ! tag:x,2000:\n---\nname: x\n", "tags (!)"},
		{"? [a]\n: x\n", "a key must be a plain word"},
		{"name: x\n  y: z\n", "s.yaml:2: "},
		{"name: \"x\n", "s.yaml:"},
		{"name: \"a\\0b\"\n", "NUL"},
		{"name: \x01\n", "s.yaml:"},
		{"name: \xff\n", "s.yaml:"},
		{"params: [1]\n", "params must be a mapping"},
		{"params: {temperature: 1}\n", "temperature is given with the key temperature"},
		{"params_b: {system: x}\n", "params_b: system is given with the key awareness"},
		{"params: {topP: 2}\n", "params.topP must be a number from 0 to 1"},
		{"convergence_weights: {content: 1, contant: 0}\n",
		 "unknown weight \"contant\"; did you mean content?"},
		{"convergence_weights: {content: 0.4}\n", "convergence_weights: "},
		{"convergence_weights: {content: x}\n", "content must be a number"},
		{"dimensions: [peers, teacing]\n", "did you mean teaching?"},
		{"branch_from: {turn: 1}\n", "a mapping with a conversation_id"},
		{"branch_from: {conversation_id: c, turns: 1}\n", "turns is no text of branch_from"},
		{"initial_messages: {role: user}\n", "a list of messages"},
		{"initial_messages:\n- {role: user}\n", "s.yaml:2: a message needs role and content"},
		{"initial_messages:\n- {role: robot, content: x}\n", "role must be user, assistant or system"},
		{"initial_messages:\n- {role: user, content: x, agent: agent_z}\n", "agent must be human, agent_a"},
		{"initial_messages:\n- {role: assistant, content: x}\n", "end within a turn"},
		{"initial_messages:\n- {role: assistant, content: x, agent: agent_b}\n",
		 "is agent_b's, where it is agent_a's"},
		{"branch_from: {conversation_id: c, turn: 5}\ninitial_messages: [{role: user, content: x}]\n",
		 "branch_from is at turn 5, but initial_messages hold 0 turns"},
		{"matrix: [1]\n", "matrix must be a mapping of lists"},
		{"matrix: {}\n", "matrix must be a mapping of lists"},
		{"matrix: {turns: 5}\n", "turns must be a list of values in a matrix"},
		{"matrix: {turns: []}\n", "turns must be a list of values"},
		{"matrix: {turnz: [1]}\n", "unknown key \"turnz\""},
		{"matrix: {name: [a]}\n", "name can't be in a matrix"},
		{"matrix:\n  turns: [1,\n    0]\n", "s.yaml:3: turns is \"0\""},
		{"turns: 3\nmatrix:\n  turns: [1]\n", "can't both be given"},
		{"matrix:\n  turns: [1]\n  max_turns: [2]\n",
		 "s.yaml:3: max_turns and turns (line 2) can't both be given"},
		{"awareness: {promts: {}}\n", "s.yaml:1: unknown key \"promts\"; did you mean prompts?"},
		{"awareness: [basic]\n", "awareness must be one value"},
	};
	static const char long_name[] =
		"name: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		"xxxxxxxxxxxxxxxxxxxxx\nmatrix: {turns: [1]}\n";
	struct errinfo why;
	assert_int_equal(refused(long_name, sizeof long_name - 1, &why), ERR_CONFIG);
	assert_non_null(strstr(why.text, "too long to get a -1"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct errinfo info;
		enum err e = refused(cases[i].yaml, strlen(cases[i].yaml), &info);
		if (e != ERR_CONFIG) fail_msg("case %zu: %s", i, err_code(e));
		if (strstr(info.text, cases[i].says) == NULL) fail_msg("case %zu says: %s", i, info.text);
	}
}

static void files_made_to_hurt_are_refused_quickly(void **state)
{
	(void)state;
	struct errinfo info;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&b, STR("params: "));
	for (int i = 0; i < 100000; i++) buf_add_char(&b, '[');
	assert_int_equal(refused(b.p, b.n, &info), ERR_CONFIG);
	assert_non_null(strstr(info.text, "nested more than 16 deep"));
	for (int depth = 16; depth <= 17; depth++) { /* the spec itself is one, params another */
		buf_clear(&b);
		buf_addf(&b, "params: {x: %.*s%.*s}\n", depth - 2, "[[[[[[[[[[[[[[[", depth - 2, "]]]]]]]]]]]]]]]");
		assert_int_equal(refused(b.p, b.n, &info), depth == 16 ? OK : ERR_CONFIG);
	}
	buf_clear(&b);
	buf_add_str(&b, STR("params:\n"));
	for (int i = 0; i < 5000; i++) buf_addf(&b, "  k%d: 1\n", i);
	assert_int_equal(refused(b.p, b.n, &info), ERR_CONFIG);
	assert_non_null(strstr(info.text, "more than 4096 keys"));
	buf_clear(&b);
	buf_addf(&b, "? %0200d\n: 1\n", 1);
	assert_int_equal(refused(b.p, b.n, &info), ERR_CONFIG);
	assert_non_null(strstr(info.text, "a key of more than"));
	buf_clear(&b);
	buf_add_str(&b, STR("prompt: "));
	buf_reserve(&b, 17 << 20);
	while (b.n < 17 << 20) buf_add_str(&b, STR("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx "));
	assert_int_equal(refused(b.p, b.n, &info), ERR_CONFIG);
	assert_non_null(strstr(info.text, "larger than"));
	/* a thousandfold copy of a large text is what an alias bomb would be */
	buf_clear(&b);
	buf_addf(&b,
		 "matrix: {turns: [1,2,3,4,5,6,7,8,9,10], repetitions: [1,2,3,4,5,6,7,8,9,10]}\nprompt: %01000000d\n",
		 1);
	assert_int_equal(refused(b.p, b.n, &info), ERR_CONFIG);
	assert_non_null(strstr(info.text, "too many experiments"));
	buf_release(&b);
}

static void null_is_as_if_it_were_not_there(void **state)
{
	(void)state;
	struct spec s = parsed(&config, "temperature: ~\ntemperature_a: 0.5\nname:\nprompt: null\nprompt_tag: ''\n"
					"branch_from: null\ninitial_messages: null\nmatrix: null\n");
	assert_true(isnan(s.agents[1].temperature));
	assert_real(s.agents[0].temperature, 0.5);
	assert_int_equal(s.name.n + s.prompt.n + s.prompt_tag.n, 0);
	assert_int_equal(s.branch_turn, -1);
	spec_release(&s);
}

static void a_matrix_is_every_combination_in_the_order_of_its_keys(void **state)
{
	(void)state;
	struct spec *list;
	size_t n;
	struct errinfo info = {0};
	struct str yaml = STR("name: grid\nagent_a: a\nmatrix:\n  temperature: [0, 0.5]\n  agent_b: [x, y, z]\n"
			      "---\nname: single\nagents: [a, b, c]\n");
	if (spec_parse(yaml, "s.yaml", &config, &list, &n, &info) != OK) fail_msg("%s", info.text);
	assert_int_equal(n, 7);
	for (size_t i = 0; i < 6; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "grid-%zu", i + 1);
		assert_string_equal(list[i].name.p, name);
		assert_real(list[i].agents[0].temperature, i < 3 ? 0 : 0.5);
		assert_int_equal(list[i].agents[1].asked.p[0], "xyz"[i % 3]);
		assert_string_equal(list[i].agents[0].asked.p, "a");
	}
	assert_string_equal(list[6].name.p, "single");
	assert_int_equal(list[6].nagents, 3);
	for (size_t i = 0; i < n; i++) spec_release(&list[i]);
	free(list);
}

static void ten_thousand_cells_are_made_and_no_more(void **state)
{
	(void)state;
	struct errinfo info;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (int more = 0; more < 2; more++) {
		buf_clear(&b);
		buf_add_str(&b, STR("matrix:\n"));
		static const char *const keys[] = {"turns", "repetitions", "max_parallel", "seed"};
		for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
			buf_addf(&b, "  %s: [", keys[k]);
			for (int i = 1; i <= 10 + (more && k == 0); i++) buf_addf(&b, "%d,", i);
			buf_add_str(&b, STR("]\n"));
		}
		assert_int_equal(refused(b.p, b.n, &info), more ? ERR_CONFIG : OK);
	}
	buf_release(&b);
}

/* ---- branches ---------------------------------------------------------------------------------------------------- */

static void inherited_messages_find_their_speakers(void **state)
{
	(void)state;
	static const struct {
		const char *yaml;
		int agents[6];
		size_t n;
		int64_t turns;
	} cases[] = {
		/* all answers "assistant", as Pidgin has them */
		{"initial_messages: [{role: system, content: s}, {role: user, content: p}, {role: assistant, content: x}, "
		 "{role: assistant, content: y}]\n",
		 {-1, 0, 1},
		 3,
		 1},
		/* as agent_a saw it */
		{"initial_messages: [{role: user, content: p}, {role: assistant, content: x}, {role: user, content: y}, "
		 "{role: assistant, content: x}, {role: user, content: y}]\n",
		 {-1, 0, 1, 0, 1},
		 5,
		 2},
		{"initial_messages: [{role: assistant, content: x}, {role: assistant, content: y}, {role: user, agent: "
		 "human, content: h}]\n",
		 {0, 1, -1},
		 3,
		 1},
		{"agents: [a, b, c]\ninitial_messages: [{role: user, content: p}, {role: assistant, content: x}, {role: "
		 "assistant, content: y}, {role: assistant, agent_id: agent_c, content: y}]\n",
		 {-1, 0, 1, 2},
		 4,
		 1},
		/* the last turn's number, counted from 0, and how many there are */
		{"branch_from: {conversation_id: c, turn: 0}\ninitial_messages: [{role: user, content: p}, {role: "
		 "assistant, content: x}, {role: assistant, content: y}]\n",
		 {-1, 0, 1},
		 3,
		 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct spec s = parsed(&config, cases[i].yaml);
		assert_int_equal(s.ninherited, cases[i].n);
		assert_int_equal(s.branch_turn, cases[i].turns);
		for (size_t m = 0; m < s.ninherited; m++) assert_int_equal(s.inherited[m].agent, cases[i].agents[m]);
		spec_release(&s);
	}
}

/* ---- awareness --------------------------------------------------------------------------------------------------- */

static struct spec aware(const char *yaml)
{
	const bool remote[LAB_AGENTS_MAX] = {false};
	struct errinfo info = {0};
	struct spec s = parsed(&config, yaml);
	for (size_t i = 0; i < s.nagents; i++) s.agents[i].model = s.agents[i].asked;
	for (int i = 0; i < 2; i++) /* the second time changes nothing */
		if (spec_complete(&s, remote, &info) != OK) fail_msg("%s", info.text);
	return s;
}

static void each_agent_has_its_own_preset(void **state)
{
	(void)state;
	struct spec s = aware("agent_a: alpha\nagent_b: beta\nawareness: none\nawareness_b: firm\n");
	assert_int_equal(s.agents[0].prompt.n, 0);
	assert_non_null(strstr(s.agents[1].prompt.p, "not a person"));
	spec_release(&s);
	s = aware("agent_a: alpha\nagent_b: beta\n");
	assert_non_null(strstr(s.agents[0].prompt.p, "another AI"));
	assert_true(str_eq(s.agents[0].prompt, s.agents[1].prompt));
	spec_release(&s);
}

static void research_names_the_models_from_each_ones_side(void **state)
{
	(void)state;
	struct spec s = aware("agent_a: alpha\nagent_b: beta\nawareness: research\n");
	assert_non_null(strstr(s.agents[0].prompt.p, "You are alpha, and you are talking with beta."));
	assert_non_null(strstr(s.agents[1].prompt.p, "You are beta, and you are talking with alpha."));
	spec_release(&s);
	s = aware("agents: [alpha, beta, gamma]\nawareness: research\n");
	assert_non_null(strstr(s.agents[1].prompt.p, "You are beta, and you are talking with alpha and gamma."));
	spec_release(&s);
}

static void names_are_wished_for_even_where_nothing_else_is_told(void **state)
{
	(void)state;
	struct spec s = aware("agent_a: alpha\nagent_b: beta\nawareness_a: none\nchoose_names: true\n");
	for (size_t i = 0; i < 2; i++) assert_non_null(strstr(s.agents[i].prompt.p, "Call me"));
	assert_true(s.agents[0].prompt.n < s.agents[1].prompt.n);
	spec_release(&s);
}

static const struct injection *injection_of(const struct spec *s, int agent, int64_t turn)
{
	const struct injection *found = NULL;
	for (size_t i = 0; i < s->ninjections; i++)
		if (s->injections[i].agent == agent && s->injections[i].turn == turn) {
			assert_null(found);
			found = &s->injections[i];
		}
	return found;
}

static void a_files_prompts_reach_whom_they_are_for(void **state)
{
	(void)state;
	char dir[] = "/tmp/roost-spec-XXXXXX", path[64], yaml[300];
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/own.yaml", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs("name: own\nbase: firm\nprompts:\n"
	      "  0: {both: begin all, agent_a: begin a}\n"
	      "  3: {agent_a: three a, both: three all}\n"
	      "  7: {agent_b: seven b}\n",
	      f);
	fclose(f);
	(void)snprintf(yaml, sizeof yaml, "agent_a: alpha\nagent_b: beta\nawareness: %s\n", path);
	struct spec s = aware(yaml);
	for (size_t i = 0; i < 2; i++) {
		assert_non_null(strstr(s.agents[i].prompt.p, "not a person"));
		assert_non_null(strstr(s.agents[i].prompt.p, "\n\nbegin all"));
		assert_null(strstr(s.agents[i].prompt.p, "begin a\n"));
	}
	assert_int_equal(s.ninjections, 3);
	assert_true(str_eq(injection_of(&s, 0, 3)->text, STR("three a")));
	assert_true(str_eq(injection_of(&s, 1, 3)->text, STR("three all")));
	assert_null(injection_of(&s, 0, 7));
	assert_true(str_eq(injection_of(&s, 1, 7)->text, STR("seven b")));
	/* an experiment that goes on later does not depend on the file */
	char *text = written(&s);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	struct spec again = aware(text);
	assert_int_equal(again.ninjections, 3);
	assert_true(str_eq(again.agents[1].prompt, s.agents[1].prompt));
	free(text);
	spec_release(&again);
	spec_release(&s);
}

static void a_file_beside_the_spec_is_found_and_only_its_agent_has_it(void **state)
{
	(void)state;
	struct spec s = parsed(&config, "agent_a: a\nagent_b: b\nawareness_b: sub/own.yaml\noutput: out\n");
	assert_string_equal(s.agents[1].awareness.p, "/x/sub/own.yaml");
	assert_string_equal(s.agents[0].awareness.p, "basic");
	assert_string_equal(s.output.p, "/x/out");
	spec_release(&s);
}

static void a_malformed_awareness_file_is_told_with_its_line(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *says;
	} cases[] = {
		{"base: basic\n", ":1: an awareness file needs prompts"},
		{"", "an awareness file is a mapping"},
		{"- x\n", ":1: an awareness file is a mapping"},
		{"base: basik\nprompts: {}\n", ":1: base is \"basik\""},
		{"prompts: []\n", ":1: prompts must be a mapping of turns"},
		{"prompts:\n  first: {both: x}\n", ":2: \"first\" is no turn"},
		{"prompts:\n  -1: {both: x}\n", ":2: \"-1\" is no turn"},
		{"prompts:\n  1: x\n", ":2: turn 1 must be a mapping"},
		{"prompts:\n  1:\n    agent_z: x\n", ":3: unknown key \"agent_z\""},
		{"prompts:\n  1:\n    agent_a: [x]\n", ":3: the prompt for agent_a must be a text"},
		{"prompts:\n  1:\n    agent_a:\n", ":3: the prompt for agent_a must be a text"},
		{"nam: x\nprompts: {}\n", ":1: unknown key \"nam\"; did you mean name?"},
		{"prompts: {}\n---\nprompts: {}\n", "a second document"},
		{"prompts: !x {}\n", ":1: tags (!)"},
	};
	const bool remote[LAB_AGENTS_MAX] = {false};
	char path[] = "/tmp/roost-aware-XXXXXX.yaml", yaml[300];
	int fd = mkstemps(path, 5);
	assert_true(fd >= 0);
	(void)snprintf(yaml, sizeof yaml, "agent_a: a\nagent_b: b\nawareness: %s\n", path);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct errinfo info = {0};
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, cases[i].yaml, strlen(cases[i].yaml), 0), strlen(cases[i].yaml));
		struct spec s = parsed(&config, yaml);
		assert_int_equal(spec_complete(&s, remote, &info), ERR_CONFIG);
		if (strstr(info.text, cases[i].says) == NULL) fail_msg("case %zu says: %s", i, info.text);
		assert_non_null(strstr(info.text, path));
		spec_release(&s);
	}
	close(fd);
	unlink(path);
}

static int init(void **state)
{
	(void)state;
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
		cmocka_unit_test(a_mistake_is_told_with_its_line),
		cmocka_unit_test(files_made_to_hurt_are_refused_quickly),
		cmocka_unit_test(null_is_as_if_it_were_not_there),
		cmocka_unit_test(a_matrix_is_every_combination_in_the_order_of_its_keys),
		cmocka_unit_test(ten_thousand_cells_are_made_and_no_more),
		cmocka_unit_test(inherited_messages_find_their_speakers),
		cmocka_unit_test(each_agent_has_its_own_preset),
		cmocka_unit_test(research_names_the_models_from_each_ones_side),
		cmocka_unit_test(names_are_wished_for_even_where_nothing_else_is_told),
		cmocka_unit_test(a_files_prompts_reach_whom_they_are_for),
		cmocka_unit_test(a_file_beside_the_spec_is_found_and_only_its_agent_has_it),
		cmocka_unit_test(a_malformed_awareness_file_is_told_with_its_line),
	};
	return cmocka_run_group_tests(tests, init, release);
}
