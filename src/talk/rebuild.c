#include "talk/rebuild.h"

#include <math.h>

#include "base/hash.h"
#include "talk/conductor_priv.h"

#define TEXT(type, field) lab_str(e, LF(type, field))

/* Until the first turn the events are collected: they are the configuration. */
struct rebuild {
	struct arena memory;
	struct conductor *conductor; /* from the first turn on */
	bool is_started;
	struct conductor_config config;
	struct conductor_agent agents[LAB_AGENTS_MAX];
	struct inherited *inherited;
	size_t ninherited, cap;
};

struct rebuild *rebuild_new(void) { return xcalloc(1, sizeof(struct rebuild)); }

void rebuild_free(struct rebuild *r)
{
	if (r == NULL) return;
	conductor_free(r->conductor);
	free(r->inherited);
	arena_clear(&r->memory);
	free(r);
}

const struct conductor *rebuild_conductor(const struct rebuild *r) { return r->conductor; }

/* ---- the beginning ----------------------------------------------------------------------------------------------- */

static struct str keep(struct rebuild *r, struct str s) { return arena_str(&r->memory, s); }

static enum err on_system_prompt(struct rebuild *r, const struct lab_event *e)
{
	int agent = lab_agent_find(TEXT(SystemPromptEvent, agent_id));
	if (agent < 0 || r->is_started) return ERR_BAD_STATE;
	r->agents[agent].system_prompt = keep(r, TEXT(SystemPromptEvent, prompt));
	r->agents[agent].name = keep(r, TEXT(SystemPromptEvent, agent_display_name));
	return OK;
}

static void take_agent(struct rebuild *r, int agent, const struct lab_value *v)
{
	if (v->is != LV_AGENT) return;
	struct conductor_agent *a = &r->agents[agent];
	a->model = keep(r, v->u.agent->model);
	a->model_title = keep(r, v->u.agent->model_display_name);
	a->name = keep(r, v->u.agent->display_name);
	a->temperature = v->u.agent->temperature;
	a->thinks = v->u.agent->thinking_enabled;
	a->thinking_budget = v->u.agent->thinking_budget;
}

static enum err on_start(struct rebuild *r, const struct lab_event *e)
{
	struct json_doc *ids = NULL;
	const struct lab_value *b = &e->v[LF(ConversationStartEvent, agent_b)];
	if (r->is_started) return ERR_BAD_STATE;
	r->is_started = true;
	r->config.nagents = b->is == LV_AGENT ? 2 : 1;
	if (json_parse(TEXT(ConversationStartEvent, agents), &ids, NULL) == OK) {
		size_t n = json_len(json_root(ids));
		if (n > 2 && n <= LAB_AGENTS_MAX) r->config.nagents = n;
		json_free(ids);
	}
	take_agent(r, 0, &e->v[LF(ConversationStartEvent, agent_a)]);
	take_agent(r, 1, b);
	r->config.id = keep(r, lab_str(e, 0));
	r->config.prompt = keep(r, TEXT(ConversationStartEvent, initial_prompt));
	r->config.prompt_tag = keep(r, TEXT(ConversationStartEvent, prompt_tag));
	r->config.seed = (uint64_t)lab_int(e, LF(ConversationStartEvent, seed), 0);
	return OK;
}

static enum err on_branched(struct rebuild *r, const struct lab_event *e)
{
	if (!r->is_started) return ERR_BAD_STATE;
	r->config.inherited_turns = MAX(lab_int(e, LF(ConversationBranchedEvent, branch_point), 0), (int64_t)0);
	r->config.source_conversation = keep(r, TEXT(ConversationBranchedEvent, source_conversation_id));
	return OK;
}

static enum err on_initial(struct rebuild *r, const struct lab_event *e)
{
	const struct lab_message *m = lab_message(e, LF(InitialMessageEvent, message));
	int agent = lab_agent_find(TEXT(InitialMessageEvent, agent_id));
	if (m == NULL || m->content.p == NULL || !r->is_started) return ERR_BAD_STATE;
	if (agent >= (int)r->config.nagents) return ERR_BAD_STATE;
	if (r->ninherited == r->cap) {
		r->cap = MAX(r->cap * 2, (size_t)16);
		r->inherited = xrealloc(r->inherited, xmul(r->cap, sizeof *r->inherited));
	}
	r->inherited[r->ninherited++] = (struct inherited){
		.agent = agent,
		.turn = lab_int(e, LF(InitialMessageEvent, turn_number), 0),
		.text = keep(r, m->content),
		.is_injected = agent >= 0 && str_eq(m->role, STR("user")),
	};
	return OK;
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static void ignore(void *ctx, struct lab_event *e)
{
	(void)ctx;
	(void)e;
}

static void begin(struct rebuild *r)
{
	r->config.agents = r->agents;
	r->config.max_turns = INT64_MAX;
	r->config.threshold = (double)NAN;
	r->config.inherited = r->inherited;
	r->config.ninherited = r->ninherited;
	struct conductor *c = r->conductor = conductor_new(&r->config, ignore, NULL);
	/* As if it had told its beginning itself. */
	c->is_started = c->is_restored = true;
	c->is_branched = r->ninherited > 0;
	c->ninitial = r->ninherited;
}

static enum err take(struct rebuild *r, const struct lab_event *e)
{
	if (r->conductor != NULL) return conductor_replay(r->conductor, e) ? OK : ERR_BAD_STATE;
	switch (e->type) {
	case LE_SYSTEM_PROMPT: return on_system_prompt(r, e);
	case LE_CONVERSATION_START: return on_start(r, e);
	case LE_CONVERSATION_BRANCHED: return on_branched(r, e);
	case LE_INITIAL_MESSAGE: return on_initial(r, e);
	case LE_TURN_START: break;
	default: return OK; /* it stopped or failed before its first turn */
	}
	if (!r->is_started) return ERR_BAD_STATE;
	begin(r);
	return conductor_replay(r->conductor, e) ? OK : ERR_BAD_STATE;
}

enum err rebuild_event(struct rebuild *r, const struct lab_event *e, struct errinfo *info)
{
	if (e->type >= LAB_TYPE_COUNT) return err_set(info, ERR_BAD_STATE, "an event of no known type");
	enum err err = take(r, e);
	if (err == OK) return OK;
	return err_set(info, err, "%s (line %lld) does not fit the events before it", lab_rows[e->type].name,
		       (long long)e->seq);
}

enum err rebuild_request(const struct rebuild *r, const struct lab_event *e, struct arena *arena,
			 struct conductor_view *out, struct errinfo *info)
{
	const struct conductor *c = r->conductor;
	char hex[SHA256_HEX_LEN + 1];
	int agent = lab_agent_find(TEXT(MessageRequestEvent, agent_id));
	int64_t dropped = lab_int(e, LF(MessageRequestEvent, history_dropped), 0);
	if (e->type != LE_MESSAGE_REQUEST || c == NULL || agent < 0 || agent >= (int)c->config.nagents || dropped < 0 ||
	    dropped > (int64_t)c->speakers[agent].visible)
		return err_set(info, ERR_BAD_STATE, "no request of this conversation");
	conductor_fill(c, agent, (size_t)dropped, arena, out);
	struct str hash = TEXT(MessageRequestEvent, history_sha256);
	hex_encode(out->sha256, sizeof out->sha256, hex);
	if (hash.n > 0 && !str_eq(hash, str_c(hex)))
		return err_set(info, ERR_CORRUPT, "the request of line %lld was made of other messages",
			       (long long)e->seq);
	return OK;
}
