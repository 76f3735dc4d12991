#include <math.h>

#include "lab/spec_priv.h"
#include "provider/params.h"

#define THRESHOLD_REMOTE 0.95
#define ANSWER_TOKENS 4096 /* beside a budget of thinking, where nobody says how long an answer may be */
#define ANSWER_TOKENS_MIN 256

enum err spec_check_agents(const struct spec *s, struct errinfo *info)
{
	for (size_t i = s->nagents; i < LAB_AGENTS_MAX; i++)
		for (size_t row = 0; row < SPEC_ROWS; row++)
			if ((s->agents[i].own >> row & 1) != 0)
				return err_set(info, ERR_CONFIG, "%s_%c is given, but there are %zu agents",
					       spec_rows[row].key, (char)('a' + i), s->nagents);
	return OK;
}

static enum err check_asked(const struct spec *s, struct errinfo *info)
{
	for (size_t i = 0; i < s->nagents; i++)
		if (s->agents[i].asked.n == 0)
			return err_set(info, ERR_USAGE, "%s is missing: name a model, as local:test", lab_agent_ids[i]);
	return OK;
}

static enum err complete_convergence(struct spec *s, const bool *is_remote, struct errinfo *info)
{
	enum convergence_profile profile = convergence_profile_find(s->profile);
	if (s->has_weights && !s->has_profile) {
		s->profile = STR("custom");
		s->has_profile = true;
	} else if (s->has_weights && profile != PROFILE_COUNT) {
		return err_set(info, ERR_CONFIG, "convergence_weights are for the profile custom, not for %.*s",
			       STR_ARG(s->profile));
	} else if (profile != PROFILE_COUNT) {
		s->weights = convergence_profiles[profile].weights;
	} else if (convergence_weights_check(&s->weights, NULL) != OK) {
		return err_set(info, ERR_CONFIG, "the profile custom needs convergence_weights");
	}
	for (size_t i = 0; i < s->nagents && !s->has_threshold; i++)
		if (is_remote[i]) {
			s->threshold = THRESHOLD_REMOTE;
			s->has_threshold = true;
		}
	s->has_threshold = true;
	return OK;
}

/* maxTokens of the further parameters, 0 when it is not there. */
static int64_t max_tokens_of(struct str params_text)
{
	struct json_doc *doc = NULL;
	struct params params;
	int64_t max = 0;
	if (params_text.n == 0) return 0;
	if (json_parse(params_text, &doc, NULL) == OK && params_read(json_root(doc), &params, NULL) == OK &&
	    param_given(&params, P_MAX_TOKENS))
		max = param_int(&params, P_MAX_TOKENS);
	json_free(doc);
	return max;
}

static enum err check_thinking(const struct spec *s, struct errinfo *info)
{
	bool anyone_thinks = false, budget = false;
	for (size_t i = 0; i < s->nagents; i++) {
		const struct spec_agent *a = &s->agents[i];
		int64_t max = max_tokens_of(a->params);
		anyone_thinks |= a->thinks;
		budget |= a->thinking_budget != INT64_MIN;
		if (a->thinks && a->thinking_budget != INT64_MIN && max > 0 && a->thinking_budget >= max)
			return err_set(
				info, ERR_CONFIG,
				"think_budget (%lld) must be less than params.maxTokens (%lld), which the answer of "
				"%s is in too",
				(long long)a->thinking_budget, (long long)max, lab_agent_ids[i]);
	}
	if (budget && !anyone_thinks)
		return err_set(info, ERR_CONFIG, "think_budget is for agents that think; add think");
	return OK;
}

enum err spec_complete(struct spec *s, const bool *is_remote, struct errinfo *info)
{
	enum err e = check_asked(s, info);
	if (e == OK) e = spec_check_agents(s, info);
	if (e == OK) e = complete_convergence(s, is_remote, info);
	if (e == OK) e = check_thinking(s, info);
	if (e == OK && s->branch_conversation.n > 0 && s->ninherited == 0)
		e = err_set(info, ERR_CONFIG, "branch_from needs initial_messages, the messages that are taken over");
	if (e == OK && s->asked_prompt.p == NULL) s->asked_prompt = s->prompt;
	if (e == OK) s->prompt = dimensions_prompt(s, s->asked_prompt);
	s->ninjections = 0;
	for (size_t i = 0; i < s->nagents && e == OK; i++) e = awareness_apply(s, i, info);
	return e;
}

/* A provider counts thinking as part of the answer, and some want a limit of that above the budget. */
static void put_budget(struct jw *w, const struct spec_agent *a, int64_t max_output)
{
	int64_t budget = a->thinking_budget, max = max_tokens_of(a->params);
	if (max_output > 0) budget = MIN(budget, MAX(max_output - ANSWER_TOKENS_MIN, 1));
	jw_kint(w, "thinkingBudget", budget);
	if (max > 0) return;
	max = budget + ANSWER_TOKENS;
	jw_kint(w, "maxTokens", max_output > 0 ? MIN(max, max_output) : max);
}

struct str spec_request_params(const struct spec_agent *a, int64_t max_output, struct arena *arena)
{
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	struct jw w = JW(&text);
	jw_obj(&w);
	if (!isnan(a->temperature)) {
		jw_key(&w, "temperature");
		jw_real(&w, a->temperature);
	}
	if (a->thinks) jw_kstr(&w, "thinking", STR("on"));
	if (a->thinks && a->thinking_budget != INT64_MIN) put_budget(&w, a, max_output);
	if (a->params.n > 0 && json_parse(a->params, &doc, NULL) == OK)
		for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
			jw_key_str(&w, it.key);
			jw_value(&w, it.val);
		}
	jw_obj_end(&w);
	struct str made = text.n > 2 ? arena_str(arena, buf_str(&text)) : STR("");
	json_free(doc);
	buf_release(&text);
	return made;
}
