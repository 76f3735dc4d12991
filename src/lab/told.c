/* The manifest's figures follow from the events alone, also those of an earlier run that are read again. */
#include <math.h>

#include "base/utf8.h"
#include "lab/run_priv.h"

static void spend(struct run *r, struct manifest_conversation *c, const struct lab_event *e)
{
	int agent = lab_agent_find(lab_str(e, LF(TokenUsageEvent, agent_id)));
	int64_t cost = lab_int(e, LF(TokenUsageEvent, cost_ticks), -1);
	int64_t prompt = lab_int(e, LF(TokenUsageEvent, prompt_tokens), -1);
	const struct lab_value *reported = &e->v[LF(TokenUsageEvent, cost_reported)];
	struct manifest_tokens t = {.prompt = MAX(prompt, 0),
				    .completion = lab_int(e, LF(TokenUsageEvent, completion_tokens), 0),
				    .thinking = lab_int(e, LF(TokenUsageEvent, thinking_tokens), 0),
				    .cost_ticks = MAX(cost, 0),
				    .unpriced = cost < 0};
	if (reported->is == LV_BOOL && reported->u.b) t.reported_ticks = t.cost_ticks;
	if (agent >= 0) manifest_spend(&r->manifest, c, agent, &t);
}

void told_forget(struct run *r, size_t index)
{
	struct manifest *m = &r->manifest;
	struct manifest_conversation *c = &m->list[index], fresh = {.convergence = (double)NAN};
	memcpy(fresh.id, c->id, sizeof fresh.id);
	for (size_t i = 0; i < MANIFEST_AGENTS; i++) {
		m->total.prompt -= c->tokens[i].prompt;
		m->total.completion -= c->tokens[i].completion;
		m->total.thinking -= c->tokens[i].thinking;
		m->total.cost_ticks -= c->tokens[i].cost_ticks;
		m->total.reported_ticks -= c->tokens[i].reported_ticks;
	}
	manifest_set(m, c, LAB_CREATED);
	*c = fresh;
}

void told_lost(struct run *r, size_t index, const char *sentence)
{
	struct manifest_conversation *c = &r->manifest.list[index];
	c->reason = "exception";
	snprintf(c->error, sizeof c->error, "%s", sentence);
	manifest_set(&r->manifest, c, LAB_FAILED);
}

static void ended(struct run *r, struct manifest_conversation *c, const struct lab_event *e)
{
	const struct conductor_reason *reason = conductor_reason_find(lab_str(e, LF(ConversationEndEvent, reason)));
	struct str error = lab_str(e, LF(ConversationEndEvent, error));
	enum lab_status status = LAB_FAILED;
	(void)lab_status_parse(lab_str(e, LF(ConversationEndEvent, status)), &status);
	c->reason = reason != NULL ? reason->name : NULL;
	c->ended_ms = e->at_us / 1000;
	c->error[0] = '\0';
	/* A provider's words may repeat what it was asked. */
	if (error.n > 0 && r->o.spec->redact == REDACT_NONE)
		snprintf(c->error, sizeof c->error, "%.*s", (int)utf8_cut(error, sizeof c->error - 1), error.p);
	manifest_set(&r->manifest, c, status);
}

/* An end that it had is none any more. */
static void goes_on(struct run *r, struct manifest_conversation *c)
{
	c->reason = NULL;
	c->ended_ms = 0;
	c->error[0] = '\0';
	manifest_set(&r->manifest, c, LAB_RUNNING);
}

static void said(struct run *r, struct manifest_conversation *c, const struct lab_event *e)
{
	int agent = lab_agent_find(lab_str(e, LF(MessageCompleteEvent, agent_id)));
	c->messages++;
	if (agent < 0 || !lab_bool(e, LF(MessageCompleteEvent, tokens_estimated))) return;
	c->tokens[agent].estimated = r->manifest.total.estimated = true;
}

void told(struct run *r, size_t index, const struct lab_event *e)
{
	struct manifest_conversation *c = &r->manifest.list[index];
	c->lines = e->seq;
	c->updated_ms = e->at_us / 1000;
	switch (e->type) {
	case LE_CONVERSATION_START:
		c->started_ms = e->at_us / 1000;
		manifest_set(&r->manifest, c, LAB_RUNNING);
		break;
	case LE_CONVERSATION_RESUMED: goes_on(r, c); break;
	case LE_CONVERSATION_END: ended(r, c, e); break;
	case LE_TURN_COMPLETE:
		c->turns = lab_int(e, LF(TurnCompleteEvent, turn_number), 0) + 1;
		c->convergence = lab_real(e, LF(TurnCompleteEvent, convergence_score));
		break;
	case LE_MESSAGE_COMPLETE: said(r, c, e); break;
	case LE_TOKEN_USAGE: spend(r, c, e); break;
	case LE_CONTEXT_TRUNCATION: c->truncations++; break;
	case LE_API_ERROR:
	case LE_PROVIDER_TIMEOUT: c->errors++; break;
	case LE_MESSAGE_REQUEST:
		if (lab_int(e, LF(MessageRequestEvent, attempt), 1) > 1) c->retries++;
		break;
	default: break;
	}
	manifest_touch(&r->manifest);
}
