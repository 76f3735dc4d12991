/* Going on from events: each is checked against those before it and takes the conductor one step, the same one that
 * telling it was. Events that nothing follows from (failures, pacing, thoughts) are passed over. */
#include "talk/conductor_priv.h"

#define INT(type, field) lab_int(e, LF(type, field), INT64_MIN)
#define TEXT(type, field) lab_str(e, LF(type, field))

/* A message with its text, NULL. */
static const struct lab_message *said(const struct lab_event *e, int field)
{
	const struct lab_message *m = lab_message(e, field);
	return m != NULL && m->content.p != NULL ? m : NULL;
}

static bool is_next(const struct conductor *c, struct str agent_id, int64_t turn)
{
	int agent = lab_agent_find(agent_id);
	/* Files of Pidgin do not say the turn everywhere. */
	return c->in_turn && agent >= 0 && agent == c->agent && agent < (int)c->config.nagents &&
	       (turn == c->turns || turn == INT64_MIN);
}

static bool on_system_prompt(struct conductor *c, const struct lab_event *e)
{
	int agent = lab_agent_find(TEXT(SystemPromptEvent, agent_id));
	if (c->is_started || agent < 0 || agent >= (int)c->config.nagents || c->speakers[agent].is_introduced)
		return false;
	c->speakers[agent].is_introduced = true;
	return true;
}

static bool on_start(struct conductor *c, const struct lab_event *e)
{
	(void)e;
	if (c->is_started) return false;
	c->is_started = true;
	return true;
}

static bool on_branched(struct conductor *c, const struct lab_event *e)
{
	(void)e;
	if (c->is_branched || c->config.ninherited == 0) return false;
	c->is_branched = true;
	return true;
}

static bool on_initial(struct conductor *c, const struct lab_event *e)
{
	const struct lab_message *m = said(e, LF(InitialMessageEvent, message));
	if (!c->is_branched || c->ninitial >= c->config.ninherited || m == NULL) return false;
	if (!str_eq(m->content, c->list[c->ninitial].text)) return false;
	c->ninitial++;
	return true;
}

static bool on_turn_start(struct conductor *c, const struct lab_event *e)
{
	if (c->in_turn || INT(TurnStartEvent, turn_number) != c->turns || c->turns >= c->config.max_turns) return false;
	if (c->ninitial < c->config.ninherited) return false;
	if (c->check_due) c->is_reached = conductor_is_high(c);
	c->check_due = false;
	c->in_turn = true;
	c->agent = 0;
	c->given = 0;
	return true;
}

static bool on_injected(struct conductor *c, const struct lab_event *e)
{
	struct str text = TEXT(PromptInjectedEvent, prompt);
	bool has_text = e->v[LF(PromptInjectedEvent, prompt)].is == LV_STR;
	if (!is_next(c, TEXT(PromptInjectedEvent, agent_id), INT(PromptInjectedEvent, turn_number)) || !has_text)
		return false;
	c->given++;
	conductor_add(c, &(struct inherited){c->agent, c->turns, text, true});
	return true;
}

static bool on_request(struct conductor *c, const struct lab_event *e)
{
	return is_next(c, TEXT(MessageRequestEvent, agent_id), INT(MessageRequestEvent, turn_number));
}

static bool on_truncation(struct conductor *c, const struct lab_event *e)
{
	if (is_next(c, TEXT(ContextTruncationEvent, agent_id), INT(ContextTruncationEvent, turn_number)))
		c->is_cut = true;
	return true;
}

static bool on_limit(struct conductor *c, const struct lab_event *e)
{
	if (is_next(c, TEXT(ContextLimitEvent, agent_id), INT(ContextLimitEvent, turn_number))) c->is_full = true;
	return true;
}

static bool on_message(struct conductor *c, const struct lab_event *e)
{
	const struct lab_message *m = said(e, LF(MessageCompleteEvent, message));
	int agent = c->agent;
	if (m == NULL || !is_next(c, TEXT(MessageCompleteEvent, agent_id), INT(MessageCompleteEvent, turn_number)))
		return false;
	conductor_said(c, m->content, e->seq);
	c->usage = (struct usage_due){.agent = agent,
				      .input = INT(MessageCompleteEvent, prompt_tokens),
				      .output = INT(MessageCompleteEvent, completion_tokens)};
	c->usage.due = c->usage.input != INT64_MIN || c->usage.output != INT64_MIN;
	return true;
}

static bool on_usage(struct conductor *c, const struct lab_event *e)
{
	if (lab_agent_find(TEXT(TokenUsageEvent, agent_id)) == c->usage.agent) c->usage.due = false;
	return true;
}

static bool on_name(struct conductor *c, const struct lab_event *e)
{
	int agent = lab_agent_find(TEXT(NameChosenEvent, agent_id));
	struct str name = TEXT(NameChosenEvent, chosen_name);
	if (agent < 0 || agent >= (int)c->config.nagents || name.n == 0) return false;
	struct speaker *s = &c->speakers[agent];
	if (s->is_looked_at || s->first.p == NULL) return false;
	s->is_looked_at = true;
	s->name = arena_str(&c->memory, name);
	return true;
}

static bool on_turn_complete(struct conductor *c, const struct lab_event *e)
{
	if (!c->in_turn || c->agent != (int)c->config.nagents) return false;
	if (INT(TurnCompleteEvent, turn_number) != c->turns) return false;
	if (c->convergence != NULL) c->score = convergence_turn(c->convergence);
	conductor_turned(c);
	return true;
}

static bool on_reached(struct conductor *c, const struct lab_event *e)
{
	if (!c->check_due || INT(ConvergenceReachedEvent, turn_number) != c->turns - 1) return false;
	c->is_reached = true;
	return true;
}

static bool on_end(struct conductor *c, const struct lab_event *e)
{
	const struct conductor_reason *r = conductor_reason_find(TEXT(ConversationEndEvent, reason));
	if (r == NULL) return false;
	c->reason = r->name;
	c->status = r->status;
	c->error = arena_str(&c->memory, TEXT(ConversationEndEvent, error));
	if (str_eq(str_c(r->status), STR("completed"))) c->phase = PHASE_ENDED;
	return true;
}

/* What goes before the start, what belongs behind it, and what takes no step at all. */
static const struct {
	bool (*take)(struct conductor *c, const struct lab_event *e);
	bool is_early;
} steps[LAB_TYPE_COUNT] = {
	[LE_SYSTEM_PROMPT] = {on_system_prompt, true},
	[LE_CONVERSATION_START] = {on_start, true},
	[LE_CONVERSATION_BRANCHED] = {on_branched, false},
	[LE_INITIAL_MESSAGE] = {on_initial, false},
	[LE_TURN_START] = {on_turn_start, false},
	[LE_PROMPT_INJECTED] = {on_injected, false},
	[LE_MESSAGE_REQUEST] = {on_request, false},
	[LE_CONTEXT_TRUNCATION] = {on_truncation, false},
	[LE_CONTEXT_LIMIT] = {on_limit, false},
	[LE_MESSAGE_COMPLETE] = {on_message, false},
	[LE_TOKEN_USAGE] = {on_usage, false},
	[LE_NAME_CHOSEN] = {on_name, false},
	[LE_TURN_COMPLETE] = {on_turn_complete, false},
	[LE_CONVERGENCE_REACHED] = {on_reached, false},
	[LE_CONVERSATION_END] = {on_end, false},
};

bool conductor_replay(struct conductor *c, const struct lab_event *e)
{
	ASSERT(c->phase == PHASE_NEW || c->phase == PHASE_ENDED);
	if (e->type >= LAB_TYPE_COUNT) return false;
	if (steps[e->type].take == NULL) {
		c->is_restored = true;
		return true;
	}
	if (c->phase == PHASE_ENDED || (!c->is_started && !steps[e->type].is_early)) return false;
	if (!str_eq(lab_str(e, 0), c->config.id) || !steps[e->type].take(c, e)) return false;
	c->is_restored = true;
	if (e->type == LE_CONVERSATION_END) return true;
	/* It went on behind that end. */
	c->reason = c->status = NULL;
	c->error = STR_NONE;
	return true;
}
