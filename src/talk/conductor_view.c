/* The router: the same conversation, as each of its agents is given it. */
#include "base/hash.h"
#include "provider/tokens.h"
#include "talk/conductor_priv.h"

bool conductor_sees(const struct conductor *c, int agent, const struct spoken *m)
{
	(void)c;
	return !m->is_injected || m->agent == agent;
}

int64_t conductor_tokens(const struct conductor *c, int agent, int64_t weight)
{
	return TOKENS_PER_MESSAGE + tokens_of_weight(c->agents[agent].family, weight);
}

const struct injection *conductor_injection(const struct conductor *c, int64_t turn, int agent, size_t i)
{
	bool has_own = false;
	for (size_t k = 0; k < c->config.ninjections; k++)
		has_own |= c->config.injections[k].turn == turn && c->config.injections[k].agent == agent;
	for (size_t k = 0; k < c->config.ninjections; k++) {
		const struct injection *in = &c->config.injections[k];
		if (in->turn != turn || in->agent != (has_own ? agent : -1)) continue;
		if (i-- == 0) return in;
	}
	return NULL;
}

enum talk_role conductor_role(int agent, const struct spoken *m)
{
	return m->agent == agent && !m->is_injected ? ROLE_ASSISTANT : ROLE_USER;
}

/* Role names and all texts here have a NUL behind them. */
void conductor_sign(struct sha256 *hash, enum talk_role role, struct str text)
{
	struct str name = talk_role_name(role);
	sha256_add(hash, (struct str){name.p, name.n + 1});
	sha256_add(hash, (struct str){text.p, text.n + 1});
}

/* A whole view has its hash ready: making it anew each time would cost more than all else in a long conversation. */
static struct sha256 *finish_hash(const struct conductor *c, int agent, const struct conductor_view *view)
{
	if (view->dropped == 0) return sha256_copy(c->speakers[agent].hash);
	struct sha256 *hash = sha256_new();
	for (size_t i = 0; i < view->n; i++) conductor_sign(hash, view->list[i].role, view->list[i].text);
	return hash;
}

static uint64_t seed_of(const struct conductor *c, int agent)
{
	const int64_t place[2] = {c->turns, agent};
	return hash64(str_n((const char *)place, sizeof place), c->config.seed) >> 33;
}

void conductor_fill(const struct conductor *c, int agent, size_t dropped, struct arena *arena,
		    struct conductor_view *out)
{
	struct str system_prompt = c->agents[agent].system_prompt;
	size_t cap = c->speakers[agent].visible - dropped + 1, seen = 0;
	*out = (struct conductor_view){.list = arena_alloc(arena, xmul(cap, sizeof *out->list)),
				       .tokens = c->speakers[agent].tokens,
				       .history = c->speakers[agent].visible,
				       .dropped = dropped,
				       .seed = seed_of(c, agent)};
	if (system_prompt.n > 0) out->list[out->n++] = (struct talk_message){ROLE_SYSTEM, system_prompt, STR("")};
	for (size_t i = 0; i < c->n; i++) {
		const struct spoken *m = &c->list[i];
		if (!conductor_sees(c, agent, m)) continue;
		if (seen++ < dropped) out->tokens -= conductor_tokens(c, agent, m->weight);
		else out->list[out->n++] = (struct talk_message){conductor_role(agent, m), m->text, STR("")};
	}
	sha256_end(finish_hash(c, agent, out), out->sha256);
}

/* How many of the oldest messages do not fit `room`; false when too much is left even so. */
static bool make_room(const struct conductor *c, int agent, int64_t room, struct arena *arena, size_t *out_dropped)
{
	const struct conductor_agent *a = &c->agents[agent];
	struct context_message *list = arena_alloc(arena, xmul(c->speakers[agent].visible + 1, sizeof *list));
	struct context_plan plan;
	size_t n = 0;
	if (a->system_prompt.n > 0)
		list[n++] = (struct context_message){conductor_tokens(c, agent, tokens_weigh(a->system_prompt)), true,
						     false};
	for (size_t i = 0; i < c->n; i++) {
		const struct spoken *m = &c->list[i];
		if (!conductor_sees(c, agent, m)) continue;
		/* Who talks to nobody has but its own messages to go on from. */
		bool may_begin = c->config.nagents == 1 || conductor_role(agent, m) == ROLE_USER;
		list[n++] = (struct context_message){conductor_tokens(c, agent, m->weight), false, may_begin};
	}
	context_plan(list, n, room, 0, c->config.allow_truncation ? CONTEXT_DROP : CONTEXT_REFUSE, &plan);
	*out_dropped = plan.left_out;
	return plan.fits;
}

enum err conductor_view(struct conductor *c, struct arena *arena, struct conductor_clock now,
			struct conductor_view *out)
{
	int agent = c->agent;
	size_t dropped = 0;
	ASSERT((c->phase == PHASE_OPEN || c->phase == PHASE_OUT) && c->in_turn && agent < (int)c->config.nagents);
	const struct conductor_agent *a = &c->agents[agent];
	int64_t room = context_room(a->window, a->max_output, a->max_tokens), all = c->speakers[agent].tokens;
	if (room > 0 && all > room && !make_room(c, agent, room, arena, &dropped)) {
		struct buf b = BUF_INIT(200);
		(void)buf_addf(&b, "the conversation has about %lld tokens and %.60s has room for %lld", (long long)all,
			       a->model.p != NULL ? a->model.p : "its model", (long long)room);
		tell_limit(c, buf_str(&b), now);
		conductor_end(c, "context_limit_reached", buf_str(&b), now);
		buf_release(&b);
		return ERR_TOO_LARGE;
	}
	conductor_fill(c, agent, dropped, arena, out);
	if (dropped > 0 && !c->is_cut) tell_truncation(c, out, now);
	c->is_cut |= dropped > 0;
	return OK;
}
