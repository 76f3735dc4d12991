/* What happens when. A conversation is a row of small things that are due one after another: a turn's beginning, an
 * injected prompt, a message, its tokens and name, the turn's end, the look at its score. Each is told by one event, and
 * the event is all that is remembered of it; so what is due can always be found from the events so far, which is what
 * makes any of them a place to go on from.
 *
 * settle() does what is due at once behind a message, conductor_next what belongs before the next one. A pause and a stop
 * that were wished for take effect between the two. */
#include <math.h>

#include "base/utf8.h"
#include "provider/text.h"
#include "provider/tokens.h"
#include "talk/conductor_priv.h"

#define BEGIN "[Begin]" /* the first message when there is no prompt */

static const char *const action_names[] = {"stop", "pause", "notify", "warn", "continue"};

bool convergence_action_parse(struct str name, enum convergence_action *out)
{
	for (size_t i = 0; i < ARRAY_LEN(action_names); i++) {
		if (!str_eq(name, str_c(action_names[i]))) continue;
		*out = (enum convergence_action)i;
		return true;
	}
	return false;
}

const char *convergence_action_name(enum convergence_action a) { return action_names[a]; }

const struct conductor_reason conductor_reasons[] = {
	{"max_turns_reached", "completed", "all turns were made"},
	{"high_convergence", "completed", "the convergence score reached the threshold"},
	{"context_limit_reached", "completed", "the conversation does not fit a model's window any more"},
	{"interrupted", "interrupted", "somebody stopped it"},
	{"api_error", "failed", "a provider failed for good"},
	{"timeout", "failed", "a provider did not answer in time"},
	{"rate_limit", "failed", "a provider's limit did not clear"},
	{"exception", "failed", "something of ours went wrong"},
	/* In files of Pidgin: */
	{"max_turns", "completed", "all turns were made"},
	{"convergence_threshold", "completed", "the convergence score reached the threshold"},
	{"user_interrupt", "interrupted", "somebody stopped it"},
	{"error", "failed", "something went wrong"},
	{NULL, NULL, NULL},
};

const struct conductor_reason *conductor_reason_find(struct str name)
{
	for (const struct conductor_reason *r = conductor_reasons; r->name != NULL; r++)
		if (str_eq(name, str_c(r->name))) return r;
	return NULL;
}

/* ---- its making ------------------------------------------------------------------------------------------------- */

/* Bytes that are no character cannot be in a log; they are replaced before anybody is given them. */
static struct str keep(struct conductor *c, struct str text)
{
	struct buf valid = BUF_INIT(BUF_NO_LIMIT);
	if (utf8_is_valid(text)) return arena_str(&c->memory, text);
	text_repair(text, &valid);
	struct str out = arena_str(&c->memory, buf_str(&valid));
	buf_release(&valid);
	return out;
}

static void copy_agents(struct conductor *c, const struct conductor_config *config)
{
	for (size_t i = 0; i < config->nagents; i++) {
		struct conductor_agent *a = &c->agents[i];
		*a = config->agents[i];
		a->model = arena_str(&c->memory, a->model);
		a->model_title = arena_str(&c->memory, a->model_title);
		a->name = keep(c, a->name.n > 0 ? a->name : str_c(lab_agent_ids[i]));
		a->system_prompt = keep(c, a->system_prompt);
		a->provider = arena_str(&c->memory, a->provider);
		a->family = arena_str(&c->memory, a->family);
	}
	for (size_t i = 0; i < config->nagents; i++) {
		bool is_taken = false;
		for (size_t k = 0; k < config->nagents; k++)
			is_taken |= k != i && str_eq(c->agents[k].name, c->agents[i].name);
		c->speakers[i].name = names_apart(&c->memory, c->agents[i].name, (int)i, is_taken);
		c->speakers[i].hash = sha256_new();
		struct str prompt = c->agents[i].system_prompt;
		if (prompt.n == 0) continue;
		conductor_sign(c->speakers[i].hash, ROLE_SYSTEM, prompt);
		c->speakers[i].tokens = conductor_tokens(c, (int)i, tokens_weigh(prompt));
	}
}

static void copy_config(struct conductor *c, const struct conductor_config *config)
{
	struct conductor_config *k = &c->config;
	*k = *config;
	k->agents = c->agents;
	k->id = arena_str(&c->memory, k->id);
	k->experiment_id = arena_str(&c->memory, k->experiment_id);
	k->prompt = keep(c, k->prompt);
	k->prompt_tag = keep(c, k->prompt_tag);
	k->profile = arena_str(&c->memory, k->profile);
	k->config_json = arena_str(&c->memory, k->config_json);
	k->source_conversation = arena_str(&c->memory, k->source_conversation);
	k->source_experiment = arena_str(&c->memory, k->source_experiment);
	k->changes_json = arena_str(&c->memory, k->changes_json);
	k->inherited = NULL; /* they become the first messages */
	if (k->ninjections == 0) return;
	struct injection *list = arena_alloc(&c->memory, xmul(k->ninjections, sizeof *list));
	for (size_t i = 0; i < k->ninjections; i++) {
		list[i] = k->injections[i];
		list[i].text = keep(c, list[i].text);
	}
	k->injections = list;
}

static void listen(struct conductor *c)
{
	struct convergence_weights *w = &c->config.weights;
	if (c->config.with_metrics) {
		c->history = metrics_history_new(c->config.nagents);
		c->measured = arena_zalloc(&c->memory, xmul(c->config.nagents, sizeof *c->measured));
	}
	if (c->config.nagents < 2) return;
	if (!(w->content + w->structure + w->sentences + w->length + w->punctuation > 0))
		*w = convergence_profiles[PROFILE_BALANCED].weights;
	c->convergence = convergence_new(c->config.nagents, w);
}

/* The messages that it begins with: those of another conversation, or the prompt. */
static void begin_with(struct conductor *c, const struct inherited *list, size_t n)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (size_t i = 0; i < n; i++) {
		bool ends_turn = i + 1 == n || list[i + 1].turn != list[i].turn;
		conductor_add(c, &list[i]);
		if (ends_turn && list[i].turn >= 0 && list[i].turn < c->turns && c->convergence != NULL)
			c->score = convergence_turn(c->convergence);
	}
	if (n > 0) return;
	if (c->config.prompt_tag.n > 0) {
		(void)buf_add_str(&b, c->config.prompt_tag);
		(void)buf_add_char(&b, ' ');
	}
	(void)buf_add_str(&b, c->config.prompt.n > 0 ? c->config.prompt : STR(BEGIN));
	conductor_add(c, &(struct inherited){.agent = -1, .text = buf_str(&b)});
	buf_release(&b);
}

struct conductor *conductor_new(const struct conductor_config *config, void (*event)(void *ctx, struct lab_event *e),
				void *ctx)
{
	struct conductor *c = xcalloc(1, sizeof *c);
	ASSERT(config->nagents >= 1 && config->nagents <= LAB_AGENTS_MAX);
	c->event = event;
	c->ctx = ctx;
	copy_config(c, config);
	copy_agents(c, config);
	listen(c);
	c->turns = config->ninherited > 0 ? config->inherited_turns : 0;
	begin_with(c, config->inherited, config->ninherited);
	return c;
}

void conductor_free(struct conductor *c)
{
	if (c == NULL) return;
	convergence_free(c->convergence);
	metrics_history_free(c->history);
	for (size_t i = 0; i < c->config.nagents; i++) sha256_end(c->speakers[i].hash, NULL);
	free(c->list);
	arena_clear(&c->memory);
	free(c);
}

void conductor_add(struct conductor *c, const struct inherited *m)
{
	if (c->n == c->cap) {
		c->cap = MAX(c->cap * 2, (size_t)16);
		c->list = xrealloc(c->list, xmul(c->cap, sizeof *c->list));
	}
	struct spoken *s = &c->list[c->n++];
	struct str text = keep(c, m->text.p != NULL ? m->text : STR(""));
	*s = (struct spoken){m->agent, m->is_injected, m->turn, text, tokens_weigh(text)};
	for (int i = 0; i < (int)c->config.nagents; i++) {
		if (!conductor_sees(c, i, s)) continue;
		c->speakers[i].tokens += conductor_tokens(c, i, s->weight);
		c->speakers[i].visible++;
		conductor_sign(c->speakers[i].hash, conductor_role(i, s), text);
	}
	if (s->agent < 0 || s->is_injected) return;
	if (c->speakers[s->agent].first.p == NULL) c->speakers[s->agent].first = text;
	if (c->convergence != NULL) convergence_add(c->convergence, (size_t)s->agent, text);
	if (c->history != NULL) metrics_message(c->history, (size_t)s->agent, text, &c->measured[s->agent]);
	c->nspoken++;
}

void conductor_said(struct conductor *c, struct str text, int64_t seq)
{
	conductor_add(c, &(struct inherited){.agent = c->agent, .turn = c->turns, .text = text});
	c->speakers[c->agent].said = c->list[c->n - 1].text;
	c->speakers[c->agent].seq = seq;
	c->agent++;
	c->given = 0;
	c->is_cut = c->is_full = false;
}

void conductor_turned(struct conductor *c)
{
	c->turns++;
	c->in_turn = false;
	c->check_due = true;
}

/* ---- what is due ------------------------------------------------------------------------------------------------ */

void conductor_end(struct conductor *c, const char *reason, struct str error, struct conductor_clock now)
{
	const struct conductor_reason *r = conductor_reason_find(str_c(reason));
	ASSERT(r != NULL);
	c->phase = PHASE_ENDED;
	c->reason = r->name;
	c->status = r->status;
	c->error = error.n > 0 ? arena_str(&c->memory, error) : STR_NONE;
	c->is_paused = false;
	c->pause_wish = NULL;
	tell_end(c, now);
}

static void tell_prologue(struct conductor *c, struct conductor_clock now)
{
	bool is_branch = c->config.ninherited > 0 || c->config.source_conversation.n > 0;
	for (int i = 0; i < (int)c->config.nagents && !c->is_started; i++) {
		if (c->speakers[i].is_introduced || c->agents[i].system_prompt.n == 0) continue;
		c->speakers[i].is_introduced = true;
		tell_system_prompt(c, i, now);
	}
	if (!c->is_started) tell_start(c, now);
	c->is_started = true;
	if (is_branch && !c->is_branched) tell_branched(c, now);
	c->is_branched = is_branch;
	for (; c->ninitial < c->config.ninherited; c->ninitial++) {
		struct inherited m = conductor_message(c, c->ninitial);
		tell_initial(c, &m, now);
	}
}

/* The first thing that a run does, whatever was before it. */
static void open_run(struct conductor *c, struct conductor_clock now)
{
	if (c->phase != PHASE_NEW) return;
	c->phase = PHASE_OPEN;
	c->began_boot_ms = now.boot_ms;
	c->reason = c->status = NULL;
	c->error = STR_NONE;
	if (c->is_restored && c->is_started) tell_resumed(c, "restart", now);
	tell_prologue(c, now);
}

static void look_for_names(struct conductor *c, struct conductor_clock now)
{
	for (int i = 0; i < (int)c->config.nagents && c->config.choose_names; i++) {
		struct speaker *s = &c->speakers[i];
		bool is_taken = false;
		if (s->is_looked_at || s->first.p == NULL) continue;
		s->is_looked_at = true;
		struct str name = chosen_name(s->first);
		if (name.n == 0) continue;
		for (size_t k = 0; k < c->config.nagents; k++)
			is_taken |= (int)k != i && str_eq(c->speakers[k].name, name);
		name = names_apart(&c->memory, name, i, is_taken);
		if (str_eq(name, s->name)) continue;
		tell_name(c, i, name, now);
		s->name = name;
	}
}

static void complete_turn(struct conductor *c, struct conductor_clock now)
{
	if (c->convergence != NULL) c->score = convergence_turn(c->convergence);
	tell_turn_complete(c, now);
	conductor_turned(c);
}

bool conductor_is_high(const struct conductor *c)
{
	return c->score.known && c->score.score >= c->config.threshold; /* never of NaN */
}

/* What the turn's score means for the conversation. */
static void check_score(struct conductor *c, struct conductor_clock now)
{
	bool is_high = conductor_is_high(c);
	bool is_news = is_high && !c->is_reached;
	c->check_due = false;
	c->is_reached = is_high;
	if (is_news) tell_reached(c, now);
	if (is_high && c->config.action == CONVERGED_STOP) conductor_end(c, "high_convergence", STR_NONE, now);
	if (is_news && c->config.action == CONVERGED_PAUSE) c->pause_wish = "convergence";
}

static void settle(struct conductor *c, struct conductor_clock now)
{
	if (c->usage.due) {
		const struct conductor_answer a = {.input_tokens = c->usage.input,
						   .output_tokens = c->usage.output,
						   .thinking_tokens = INT64_MIN,
						   .cache_read_tokens = INT64_MIN,
						   .cache_write_tokens = INT64_MIN,
						   .cost_ticks = INT64_MIN,
						   .tokens_per_minute_limit = INT64_MIN,
						   .usage_rate = (double)NAN};
		tell_usage(c, c->usage.agent, &a, now);
		c->usage.due = false;
	}
	look_for_names(c, now);
	if (c->in_turn && c->agent == (int)c->config.nagents) complete_turn(c, now);
	if (c->check_due) check_score(c, now);
	if (c->phase != PHASE_ENDED && !c->in_turn && c->turns >= c->config.max_turns)
		conductor_end(c, "max_turns_reached", STR_NONE, now);
}

/* A pause that was wished for begins. */
static void take_pause(struct conductor *c, struct conductor_clock now)
{
	if (c->pause_wish == NULL || c->is_paused || c->phase != PHASE_OPEN) return;
	tell_interrupt(c, c->pause_wish, now);
	c->is_paused = true;
	c->pause_wish = NULL;
	tell_paused(c, now);
}

static void inject(struct conductor *c, struct conductor_clock now)
{
	const struct injection *in;
	while ((in = conductor_injection(c, c->turns, c->agent, c->given)) != NULL) {
		tell_injected(c, in, now);
		c->given++;
		conductor_add(c, &(struct inherited){c->agent, c->turns, in->text, true});
	}
}

struct conductor_step conductor_next(struct conductor *c, struct conductor_clock now)
{
	struct conductor_step step = {.what = CONDUCTOR_ENDED, .turn = c->turns};
	open_run(c, now);
	if (c->phase == PHASE_OPEN && !c->is_paused) settle(c, now);
	take_pause(c, now);
	if (c->phase == PHASE_OPEN && !c->is_paused) {
		if (!c->in_turn) {
			tell_turn_start(c, now);
			c->in_turn = true;
			c->agent = 0;
			c->given = 0;
		}
		inject(c, now);
		step.what = CONDUCTOR_CALL;
	}
	if (c->phase == PHASE_OUT) step.what = CONDUCTOR_BUSY;
	if (c->is_paused) step.what = CONDUCTOR_PAUSED;
	step.agent = c->in_turn ? c->agent : 0;
	step.turn = c->turns;
	return step;
}

/* ---- what the caller tells -------------------------------------------------------------------------------------- */

void conductor_asked(struct conductor *c, int64_t attempt, const struct conductor_view *view,
		     struct conductor_clock now)
{
	ASSERT(c->phase == PHASE_OPEN || c->phase == PHASE_OUT);
	ASSERT(c->in_turn && c->agent < (int)c->config.nagents && !c->is_paused);
	c->phase = PHASE_OUT;
	c->view_tokens = view->tokens;
	tell_request(c, attempt, view, now);
}

void conductor_answered(struct conductor *c, const struct conductor_answer *a, struct conductor_clock now)
{
	struct conductor_answer known = *a;
	struct buf valid = BUF_INIT(BUF_NO_LIMIT);
	int agent = c->agent;
	ASSERT_CMP(c->phase, ==, PHASE_OUT);
	if (!utf8_is_valid(a->text)) {
		text_repair(a->text, &valid);
		known.text = buf_str(&valid);
	}
	known.is_estimated |= a->input_tokens == INT64_MIN || a->output_tokens == INT64_MIN;
	if (a->input_tokens == INT64_MIN) known.input_tokens = c->view_tokens;
	if (a->output_tokens == INT64_MIN) known.output_tokens = tokens_text(c->agents[agent].family, known.text);
	c->phase = PHASE_OPEN;
	if (a->thinking.n > 0) tell_thinking(c, &known, now);
	int64_t seq = tell_message(c, &known, now);
	conductor_said(c, known.text, seq);
	buf_release(&valid);
	tell_usage(c, agent, &known, now);
	settle(c, now);
	if (c->is_stopping && c->phase != PHASE_ENDED) conductor_end(c, "interrupted", STR_NONE, now);
	take_pause(c, now);
}

void conductor_spent(struct conductor *c, const struct conductor_answer *a, struct conductor_clock now)
{
	ASSERT_CMP(c->phase, ==, PHASE_OUT);
	if (a->input_tokens > 0 || a->output_tokens > 0 || a->cost_ticks > 0) tell_usage(c, c->agent, a, now);
}

void conductor_failed(struct conductor *c, const char *reason, struct str sentence, struct conductor_clock now)
{
	open_run(c, now);
	if (c->phase == PHASE_OPEN && !c->is_paused) settle(c, now);
	if (c->phase == PHASE_ENDED) return;
	if (str_eq(str_c(reason), STR("context_limit_reached")) && c->in_turn) tell_limit(c, sentence, now);
	conductor_end(c, c->is_stopping ? "interrupted" : reason, sentence, now);
}

void conductor_stop(struct conductor *c, const char *source, struct conductor_clock now)
{
	/* What ended in an earlier run is over already. */
	if (c->phase == PHASE_NEW && c->reason != NULL) c->phase = PHASE_ENDED;
	open_run(c, now);
	if (c->phase == PHASE_OPEN && !c->is_paused) settle(c, now);
	if (c->phase == PHASE_ENDED) return;
	if (!c->is_stopping) tell_interrupt(c, source, now);
	c->is_stopping = true;
	if (c->phase != PHASE_OUT) conductor_end(c, "interrupted", STR_NONE, now);
}

void conductor_cut(struct conductor *c, struct str partial, struct conductor_clock now)
{
	bool is_out = c->phase == PHASE_OUT;
	if (is_out) tell_cut(c, partial, now);
	if (is_out) c->phase = PHASE_OPEN;
	conductor_stop(c, "user", now);
}

void conductor_pause(struct conductor *c, struct conductor_clock now)
{
	if (c->phase == PHASE_ENDED || c->is_paused || c->is_stopping) return;
	c->pause_wish = "user";
	take_pause(c, now);
}

void conductor_resume(struct conductor *c, struct conductor_clock now)
{
	c->pause_wish = NULL;
	if (!c->is_paused) return;
	c->is_paused = false;
	tell_resumed(c, "pause", now);
}

/* ---- what is known of it ---------------------------------------------------------------------------------------- */

void conductor_state(const struct conductor *c, struct conductor_state *out)
{
	*out = (struct conductor_state){.status = "running",
					.reason = c->reason,
					.turns = c->turns,
					.messages = c->nspoken,
					.convergence = c->score.known ? c->score.score : (double)NAN,
					.trend = convergence_trend_name(TREND_UNKNOWN),
					.error = c->error};
	if (c->convergence != NULL) out->trend = convergence_trend_name(convergence_trend(c->convergence));
	if (c->is_paused) out->status = "paused";
	if (c->phase == PHASE_NEW) out->status = c->is_restored && c->is_started ? "interrupted" : "created";
	if (c->status != NULL) out->status = c->status;
}

struct str conductor_name(const struct conductor *c, int agent)
{
	ASSERT(agent >= 0 && agent < (int)c->config.nagents);
	return c->speakers[agent].name;
}

size_t conductor_messages(const struct conductor *c) { return c->n; }

struct inherited conductor_message(const struct conductor *c, size_t i)
{
	ASSERT_CMP(i, <, c->n);
	const struct spoken *s = &c->list[i];
	return (struct inherited){s->agent, s->turn, s->text, s->is_injected};
}
