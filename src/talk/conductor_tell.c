/* The events that a conversation makes: what stands in each. They point at the conductor's memory and at this file's
 * stack, for as long as they are told. */
#include <math.h>

#include "base/hash.h"
#include "metrics/pair.h"
#include "talk/conductor_priv.h"

/* e.v[LF(type, field)] of an event `e` */
#define SET(type, field, value) (e.v[LF(type, field)] = (value))

static void tell(struct conductor *c, struct lab_event *e, struct conductor_clock now)
{
	e->v[0] = lv_str(c->config.id);
	e->experiment_id = c->config.experiment_id;
	e->at_us = now.wall_us;
	c->event(c->ctx, e);
}

void conductor_tell(struct conductor *c, struct lab_event *e)
{
	const struct lab_row *row = &lab_rows[e->type];
	if (row->nfields > 0 && str_eq(str_c(row->fields[0].name), STR("conversation_id")))
		e->v[0] = lv_str(c->config.id);
	e->experiment_id = c->config.experiment_id;
	c->event(c->ctx, e);
}

static struct lab_value agent_id(int agent) { return lv_str(str_c(agent < 0 ? "human" : lab_agent_ids[agent])); }

/* What is not known is null and not "". */
static struct lab_value known(struct str s) { return lv_str(s.n > 0 ? s : STR_NONE); }

static struct lab_value text_of(struct str s) { return lv_str(s.p != NULL ? s : STR("")); }

static struct lab_value hash_of(const struct conductor *c, const unsigned char sha[SHA256_LEN],
				char hex[SHA256_HEX_LEN + 1])
{
	if (c->config.without_hashes) return (struct lab_value){.is = LV_NULL};
	hex_encode(sha, SHA256_LEN, hex);
	return lv_str(str_n(hex, SHA256_HEX_LEN));
}

void tell_system_prompt(struct conductor *c, int agent, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_SYSTEM_PROMPT};
	SET(SystemPromptEvent, agent_id, agent_id(agent));
	SET(SystemPromptEvent, prompt, text_of(c->agents[agent].system_prompt));
	SET(SystemPromptEvent, agent_display_name, text_of(c->speakers[agent].name));
	tell(c, &e, now);
}

static struct lab_agent describe(const struct conductor *c, int agent)
{
	const struct conductor_agent *a = &c->agents[agent];
	return (struct lab_agent){.id = str_c(lab_agent_ids[agent]),
				  .model = a->model,
				  .display_name = c->speakers[agent].name,
				  .model_display_name = a->model_title,
				  .temperature = a->temperature,
				  .thinking_enabled = a->thinks,
				  .thinking_budget = a->thinking_budget};
}

void tell_start(struct conductor *c, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_CONVERSATION_START};
	bool is_alone = c->config.nagents == 1;
	int b_index = is_alone ? 0 : 1;
	struct lab_agent a = describe(c, 0), b = describe(c, b_index);
	struct buf ids = BUF_INIT(256);
	struct lab_value none = {.is = LV_NULL};
	SET(ConversationStartEvent, agent_a, lv_agent(&a));
	SET(ConversationStartEvent, agent_b, is_alone ? none : lv_agent(&b));
	SET(ConversationStartEvent, experiment_id, known(c->config.experiment_id));
	SET(ConversationStartEvent, config, lv_json(c->config.config_json.n > 0 ? c->config.config_json : STR_NONE));
	SET(ConversationStartEvent, agent_a_display_name, text_of(a.display_name));
	SET(ConversationStartEvent, agent_b_display_name, is_alone ? none : text_of(b.display_name));
	SET(ConversationStartEvent, agent_a_model, lv_str(a.model));
	SET(ConversationStartEvent, agent_b_model, is_alone ? none : lv_str(b.model));
	SET(ConversationStartEvent, max_turns, lv_int(c->config.max_turns));
	SET(ConversationStartEvent, initial_prompt, text_of(c->config.prompt));
	SET(ConversationStartEvent, temperature_a, lv_real(a.temperature));
	SET(ConversationStartEvent, temperature_b, is_alone ? none : lv_real(b.temperature));
	if (c->config.nagents > 2) {
		struct jw w = JW(&ids);
		jw_arr(&w);
		for (size_t i = 0; i < c->config.nagents; i++) jw_str(&w, str_c(lab_agent_ids[i]));
		jw_arr_end(&w);
		SET(ConversationStartEvent, agents, lv_json(buf_str(&ids)));
	}
	SET(ConversationStartEvent, prompt_tag, text_of(c->config.prompt_tag));
	SET(ConversationStartEvent, seed, lv_int((int64_t)c->config.seed));
	tell(c, &e, now);
	buf_release(&ids);
}

void tell_branched(struct conductor *c, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_CONVERSATION_BRANCHED};
	struct str changes = c->config.changes_json;
	SET(ConversationBranchedEvent, source_conversation_id, known(c->config.source_conversation));
	SET(ConversationBranchedEvent, branch_point, lv_int(c->config.inherited_turns));
	SET(ConversationBranchedEvent, parameter_changes, lv_json(changes.n > 0 ? changes : STR("{}")));
	SET(ConversationBranchedEvent, experiment_id, known(c->config.experiment_id));
	SET(ConversationBranchedEvent, source_experiment_id, known(c->config.source_experiment));
	SET(ConversationBranchedEvent, messages, lv_int((int64_t)c->config.ninherited));
	tell(c, &e, now);
}

void tell_initial(struct conductor *c, const struct inherited *m, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_INITIAL_MESSAGE};
	bool is_given = m->agent < 0 || m->is_injected;
	/* A prompt that one agent alone was given: the event names that agent, the message the human. */
	struct lab_message message = {.role = is_given ? STR("user") : STR("assistant"),
				      .content = m->text,
				      .agent_id = str_c(is_given ? "human" : lab_agent_ids[m->agent]),
				      .at_us = now.wall_us};
	SET(InitialMessageEvent, agent_id, agent_id(m->agent));
	SET(InitialMessageEvent, message, lv_message(&message));
	SET(InitialMessageEvent, turn_number, lv_int(m->turn));
	tell(c, &e, now);
}

void tell_resumed(struct conductor *c, const char *after, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_CONVERSATION_RESUMED};
	SET(ConversationResumedEvent, turn_number, lv_int(c->turns));
	SET(ConversationResumedEvent, after, lv_str(str_c(after)));
	tell(c, &e, now);
}

void tell_turn_start(struct conductor *c, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_TURN_START};
	SET(TurnStartEvent, turn_number, lv_int(c->turns));
	tell(c, &e, now);
}

/* {"agent_a_message": {"seq", "sha256"}, …} */
static void write_lines(const struct conductor *c, struct buf *b)
{
	struct jw w = JW(b);
	unsigned char sha[SHA256_LEN];
	char key[32], hex[SHA256_HEX_LEN + 1];
	jw_obj(&w);
	for (size_t i = 0; i < c->config.nagents; i++) {
		(void)snprintf(key, sizeof key, "%s_message", lab_agent_ids[i]);
		jw_key(&w, key);
		jw_obj(&w);
		jw_kint(&w, "seq", c->speakers[i].seq);
		if (!c->config.without_hashes) {
			sha256(c->speakers[i].said, sha);
			hex_encode(sha, SHA256_LEN, hex);
			jw_kstr(&w, "sha256", str_n(hex, SHA256_HEX_LEN));
		}
		jw_obj_end(&w);
	}
	jw_obj_end(&w);
}

static void write_score(const struct convergence_score *s, struct buf *b)
{
	const struct {
		const char *name;
		double value;
	} parts[] = {{"raw", s->raw},
		     {"content", s->content},
		     {"structure", s->structure},
		     {"sentences", s->sentences},
		     {"length", s->length},
		     {"punctuation", s->punctuation}};
	struct jw w = JW(b);
	jw_obj(&w);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		jw_key(&w, parts[i].name);
		jw_real(&w, parts[i].value);
	}
	jw_obj_end(&w);
}

/* {"agent_a": {…}, "agent_b": {…}, "agent_a+agent_b": {…}} */
static void write_metrics(const struct conductor *c, struct buf *b)
{
	struct jw w = JW(b);
	struct pair_metrics pair;
	char key[32];
	jw_obj(&w);
	for (size_t i = 0; i < c->config.nagents; i++) {
		jw_key(&w, lab_agent_ids[i]);
		metrics_write(&w, &c->measured[i]);
	}
	for (size_t i = 0; i < c->config.nagents; i++) {
		for (size_t k = i + 1; k < c->config.nagents; k++) {
			(void)snprintf(key, sizeof key, "%s+%s", lab_agent_ids[i], lab_agent_ids[k]);
			metrics_pair(c->history, i, k, &pair);
			jw_key(&w, key);
			metrics_write_pair(&w, &pair);
		}
	}
	jw_obj_end(&w);
}

void tell_turn_complete(struct conductor *c, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_TURN_COMPLETE};
	struct buf lines = BUF_INIT(BUF_NO_LIMIT), score = BUF_INIT(BUF_NO_LIMIT), metrics = BUF_INIT(BUF_NO_LIMIT);
	write_lines(c, &lines);
	SET(TurnCompleteEvent, turn_number, lv_int(c->turns));
	SET(TurnCompleteEvent, turn, lv_json(buf_str(&lines)));
	SET(TurnCompleteEvent, convergence_score, lv_real(c->score.known ? c->score.score : (double)NAN));
	if (c->score.known) {
		write_score(&c->score, &score);
		SET(TurnCompleteEvent, convergence, lv_json(buf_str(&score)));
	}
	if (c->history != NULL) {
		write_metrics(c, &metrics);
		SET(TurnCompleteEvent, metrics, lv_json(buf_str(&metrics)));
	}
	tell(c, &e, now);
	buf_release(&metrics);
	buf_release(&score);
	buf_release(&lines);
}

void tell_injected(struct conductor *c, const struct injection *in, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_PROMPT_INJECTED};
	SET(PromptInjectedEvent, agent_id, agent_id(c->agent));
	SET(PromptInjectedEvent, turn_number, lv_int(c->turns));
	SET(PromptInjectedEvent, prompt, text_of(in->text));
	tell(c, &e, now);
}

void tell_request(struct conductor *c, int64_t attempt, const struct conductor_view *view, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_MESSAGE_REQUEST};
	const struct conductor_agent *a = &c->agents[c->agent];
	char hex[SHA256_HEX_LEN + 1];
	SET(MessageRequestEvent, agent_id, agent_id(c->agent));
	SET(MessageRequestEvent, turn_number, lv_int(c->turns));
	SET(MessageRequestEvent, history_length, lv_int((int64_t)view->history));
	SET(MessageRequestEvent, history_dropped, lv_int((int64_t)view->dropped));
	SET(MessageRequestEvent, history_sha256, hash_of(c, view->sha256, hex));
	SET(MessageRequestEvent, temperature, lv_real(a->temperature));
	SET(MessageRequestEvent, allow_truncation, lv_bool(c->config.allow_truncation));
	SET(MessageRequestEvent, thinking_enabled, lv_bool(a->thinks));
	SET(MessageRequestEvent, thinking_budget, lv_int(a->thinking_budget));
	SET(MessageRequestEvent, attempt, lv_int(attempt));
	SET(MessageRequestEvent, model, known(a->model));
	SET(MessageRequestEvent, seed, lv_int((int64_t)view->seed));
	tell(c, &e, now);
}

void tell_thinking(struct conductor *c, const struct conductor_answer *a, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_THINKING_COMPLETE};
	SET(ThinkingCompleteEvent, turn_number, lv_int(c->turns));
	SET(ThinkingCompleteEvent, agent_id, agent_id(c->agent));
	SET(ThinkingCompleteEvent, thinking_content, lv_str(a->thinking));
	SET(ThinkingCompleteEvent, thinking_tokens, lv_int(a->thinking_tokens));
	SET(ThinkingCompleteEvent, duration_ms, lv_int(a->duration_ms));
	tell(c, &e, now);
}

static int64_t sum(int64_t a, int64_t b)
{
	int64_t n;
	return a == INT64_MIN || b == INT64_MIN || __builtin_add_overflow(a, b, &n) ? INT64_MIN : n;
}

int64_t tell_message(struct conductor *c, const struct conductor_answer *a, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_MESSAGE_COMPLETE};
	struct lab_message message = {.role = STR("assistant"),
				      .content = a->text.p != NULL ? a->text : STR(""),
				      .agent_id = str_c(lab_agent_ids[c->agent]),
				      .at_us = now.wall_us};
	SET(MessageCompleteEvent, agent_id, agent_id(c->agent));
	SET(MessageCompleteEvent, message, lv_message(&message));
	SET(MessageCompleteEvent, prompt_tokens, lv_int(a->input_tokens));
	SET(MessageCompleteEvent, completion_tokens, lv_int(a->output_tokens));
	SET(MessageCompleteEvent, total_tokens, lv_int(sum(a->input_tokens, a->output_tokens)));
	SET(MessageCompleteEvent, duration_ms, lv_int(a->duration_ms));
	SET(MessageCompleteEvent, turn_number, lv_int(c->turns));
	SET(MessageCompleteEvent, tokens_estimated, lv_bool(a->is_estimated));
	SET(MessageCompleteEvent, finish_reason, known(a->finish_reason));
	SET(MessageCompleteEvent, request_id, known(a->request_id));
	SET(MessageCompleteEvent, first_token_ms, lv_int(a->first_token_ms));
	tell(c, &e, now);
	return e.seq;
}

void tell_usage(struct conductor *c, int agent, const struct conductor_answer *a, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_TOKEN_USAGE};
	SET(TokenUsageEvent, provider, known(a->provider));
	SET(TokenUsageEvent, tokens_used, lv_int(sum(a->input_tokens, a->output_tokens)));
	SET(TokenUsageEvent, tokens_per_minute_limit, lv_int(a->tokens_per_minute_limit));
	SET(TokenUsageEvent, current_usage_rate, lv_real(a->usage_rate));
	SET(TokenUsageEvent, agent_id, agent_id(agent));
	SET(TokenUsageEvent, model, known(c->agents[agent].model));
	SET(TokenUsageEvent, prompt_tokens, lv_int(a->input_tokens));
	SET(TokenUsageEvent, completion_tokens, lv_int(a->output_tokens));
	SET(TokenUsageEvent, cost_ticks, lv_int(a->cost_ticks));
	SET(TokenUsageEvent, cost_reported, lv_bool(a->cost_reported));
	SET(TokenUsageEvent, cache_read_tokens, lv_int(a->cache_read_tokens));
	SET(TokenUsageEvent, cache_write_tokens, lv_int(a->cache_write_tokens));
	SET(TokenUsageEvent, thinking_tokens, lv_int(a->thinking_tokens));
	tell(c, &e, now);
}

void tell_name(struct conductor *c, int agent, struct str name, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_NAME_CHOSEN};
	SET(NameChosenEvent, agent_id, agent_id(agent));
	SET(NameChosenEvent, chosen_name, lv_str(name));
	SET(NameChosenEvent, previous_name, text_of(c->speakers[agent].name));
	tell(c, &e, now);
}

void tell_reached(struct conductor *c, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_CONVERGENCE_REACHED};
	SET(ConvergenceReachedEvent, turn_number, lv_int(c->turns - 1));
	SET(ConvergenceReachedEvent, convergence_score, lv_real(c->score.score));
	SET(ConvergenceReachedEvent, threshold, lv_real(c->config.threshold));
	SET(ConvergenceReachedEvent, action, lv_str(str_c(convergence_action_name(c->config.action))));
	SET(ConvergenceReachedEvent, profile, known(c->config.profile));
	tell(c, &e, now);
}

void tell_truncation(struct conductor *c, const struct conductor_view *view, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_CONTEXT_TRUNCATION};
	const struct conductor_agent *a = &c->agents[c->agent];
	int64_t pinned = a->system_prompt.n > 0;
	SET(ContextTruncationEvent, agent_id, agent_id(c->agent));
	SET(ContextTruncationEvent, provider, known(a->provider));
	SET(ContextTruncationEvent, model, known(a->model));
	SET(ContextTruncationEvent, turn_number, lv_int(c->turns));
	SET(ContextTruncationEvent, original_message_count, lv_int((int64_t)view->history + pinned));
	SET(ContextTruncationEvent, truncated_message_count, lv_int((int64_t)view->n));
	SET(ContextTruncationEvent, messages_dropped, lv_int((int64_t)view->dropped));
	tell(c, &e, now);
}

void tell_limit(struct conductor *c, struct str sentence, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_CONTEXT_LIMIT};
	if (c->is_full) return;
	c->is_full = true;
	SET(ContextLimitEvent, agent_id, agent_id(c->agent));
	SET(ContextLimitEvent, turn_number, lv_int(c->turns));
	SET(ContextLimitEvent, error_message, text_of(sentence));
	SET(ContextLimitEvent, provider, known(c->agents[c->agent].provider));
	tell(c, &e, now);
}

void tell_interrupt(struct conductor *c, const char *source, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_INTERRUPT_REQUEST};
	SET(InterruptRequestEvent, turn_number, lv_int(c->turns));
	SET(InterruptRequestEvent, interrupt_source, lv_str(str_c(source)));
	tell(c, &e, now);
}

void tell_paused(struct conductor *c, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_CONVERSATION_PAUSED};
	char during[40] = "between_turns";
	if (c->in_turn) (void)snprintf(during, sizeof during, "waiting_for_%s", lab_agent_ids[c->agent]);
	SET(ConversationPausedEvent, turn_number, lv_int(c->turns));
	SET(ConversationPausedEvent, paused_during, lv_str(str_c(during)));
	tell(c, &e, now);
}

void tell_cut(struct conductor *c, struct str partial, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_MESSAGE_CUT};
	SET(MessageCutEvent, agent_id, agent_id(c->agent));
	SET(MessageCutEvent, turn_number, lv_int(c->turns));
	SET(MessageCutEvent, partial_bytes, lv_int((int64_t)partial.n));
	SET(MessageCutEvent, content, text_of(partial));
	tell(c, &e, now);
}

void tell_end(struct conductor *c, struct conductor_clock now)
{
	struct lab_event e = {.type = LE_CONVERSATION_END};
	SET(ConversationEndEvent, total_turns, lv_int(c->turns));
	SET(ConversationEndEvent, status, lv_str(str_c(c->status)));
	SET(ConversationEndEvent, experiment_id, known(c->config.experiment_id));
	SET(ConversationEndEvent, reason, lv_str(str_c(c->reason)));
	SET(ConversationEndEvent, error, known(c->error));
	SET(ConversationEndEvent, duration_ms, lv_int(now.boot_ms - c->began_boot_ms));
	tell(c, &e, now);
}
