/* Conversations as people read them.
 *
 * Of one conversation at a time text is shown as it comes, in a bubble that stays open; what else happens meanwhile waits
 * below it. Of several at once messages are shown when they are complete, each with its conversation's number. Turns are
 * counted from 1 here, from 0 in files. */
#include <math.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/show.h"
#include "cli/show_bubble.h"
#include "cli/term.h"

#define NAME_COLUMNS 40
#define THOUGHT_EACH 1000 /* bytes of the first and of the last of what somebody thought */
#define NOTE_COLUMNS 300
#define HANG 2
#define THOUGHT "  ~ "
#define RULE_COLUMNS_MAX 100

/* A conversation that has begun. */
struct held {
	char *names[LAB_AGENTS_MAX];
	double score;
	bool is_paused;
};

struct chat_show {
	struct show_about about;
	struct paper *paper;
	struct held **held; /* by conversation; NULL: not begun, or over */
	size_t nheld;
	bool is_alone; /* one conversation at a time */
	bool prompt_shown;
	size_t npaused;

	/* Who speaks; only when is_alone. */
	bool is_speaking;
	struct bubble bubble;
	struct buf said;  /* in that bubble */
	struct buf later; /* goes below it; lines */
	struct buf thought;

	struct buf word; /* stands at the edge in place of the bar */
	struct show_progress since;
	int64_t begun_boot_ms;
};

/* ---- names ------------------------------------------------------------------------------------------------------ */

static struct held *held_of(struct chat_show *c, size_t i)
{
	if (i >= c->nheld) {
		size_t n = MAX(i + 1, c->about.manifest->n);
		c->held = xrealloc(c->held, xmul(n, sizeof(void *)));
		for (; c->nheld < n; c->nheld++) c->held[c->nheld] = NULL;
	}
	if (c->held[i] == NULL) {
		c->held[i] = xcalloc(1, sizeof *c->held[i]);
		c->held[i]->score = (double)NAN;
	}
	return c->held[i];
}

static void held_free(struct chat_show *c, size_t i)
{
	struct held *h = i < c->nheld ? c->held[i] : NULL;
	if (h == NULL) return;
	if (h->is_paused) c->npaused--;
	for (size_t a = 0; a < LAB_AGENTS_MAX; a++) free(h->names[a]);
	free(h);
	c->held[i] = NULL;
}

static void set_name(struct chat_show *c, size_t i, int agent, struct str name)
{
	struct held *h = held_of(c, i);
	if (agent < 0 || name.n == 0) return;
	free(h->names[agent]);
	h->names[agent] = str_dup(name);
}

static void add_name(struct chat_show *c, size_t i, struct str agent_id, struct buf *out)
{
	int agent = lab_agent_find(agent_id);
	struct str name = agent_id;
	if (agent >= 0) {
		const struct held *h = held_of(c, i);
		name = h->names[agent] != NULL ? str_c(h->names[agent]) : c->about.spec->agents[agent].model;
		if (name.n == 0) name = agent_id;
	}
	show_short(out, name, NAME_COLUMNS);
}

/* ---- quiet lines ------------------------------------------------------------------------------------------------ */

/* `text` is clean. */
static void note(struct chat_show *c, size_t i, enum ink ink, struct str text)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_char(&b, (char)ink);
	if (!c->is_alone) buf_addf(&b, "#%zu ", i + 1);
	buf_add_str(&b, STR("· "));
	buf_add_str(&b, text);
	buf_add_char(&b, INK_PLAIN);
	if (c->is_speaking) {
		buf_add_str(&c->later, buf_str(&b));
		buf_add_char(&c->later, '\n');
	} else {
		paper_fresh(c->paper);
		paper_fold(c->paper, buf_str(&b), HANG);
	}
	buf_release(&b);
}

static void fold_lines(struct chat_show *c, struct str text, size_t hang)
{
	while (text.n > 0) {
		const char *end = memchr(text.p, '\n', text.n);
		size_t n = end != NULL ? (size_t)(end - text.p) : text.n;
		paper_fold(c->paper, str_n(text.p, n), hang);
		n = MIN(n + 1, text.n);
		text = str_n(text.p + n, text.n - n);
	}
}

/* Takes what was put together. */
static void note_buf(struct chat_show *c, size_t i, enum ink ink, struct buf *b)
{
	note(c, i, ink, buf_str(b));
	buf_release(b);
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static enum side side_of(int agent) { return agent % 2 == 0 ? SIDE_LEFT : SIDE_RIGHT; }

static enum ink ink_of(int agent)
{
	static const enum ink inks[] = {INK_CYAN, INK_GREEN, INK_PLAIN, INK_BOLD};
	return inks[(size_t)agent % ARRAY_LEN(inks)];
}

static void add_title(struct chat_show *c, size_t i, struct str agent_id, struct buf *out)
{
	if (!c->is_alone) buf_addf(out, "#%zu ", i + 1);
	add_name(c, i, agent_id, out);
}

static void begin_speaking(struct chat_show *c, size_t i, struct str agent_id)
{
	struct buf title = BUF_INIT(BUF_NO_LIMIT);
	int agent = MAX(lab_agent_find(agent_id), 0);
	add_title(c, i, agent_id, &title);
	bubble_begin(&c->bubble, c->paper, side_of(agent), ink_of(agent), buf_str(&title));
	buf_clear(&c->said);
	c->is_speaking = true;
	buf_release(&title);
}

/* First and last of it, dim. */
static void show_thought(struct chat_show *c, struct str text)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT), clean = BUF_INIT(BUF_NO_LIMIT);
	if (text.n > 2 * THOUGHT_EACH) {
		size_t head = utf8_cut(text, THOUGHT_EACH), tail = utf8_cut(text, text.n - THOUGHT_EACH);
		buf_add(&b, text.p, head);
		buf_addf(&b, " … (%zu bytes) … ", tail - head);
		buf_add(&b, text.p + tail, text.n - tail);
	} else {
		buf_add_str(&b, text);
	}
	show_clean(&clean, buf_str(&b), 0);
	paper_fresh(c->paper);
	paper_ink(c->paper, INK_DIM);
	buf_clear(&b);
	buf_add_str(&b, STR(THOUGHT));
	for (size_t i = 0; i < clean.n; i++) {
		buf_add_char(&b, clean.p[i]);
		if (clean.p[i] == '\n') buf_add_str(&b, STR(THOUGHT));
	}
	fold_lines(c, buf_str(&b), sizeof THOUGHT - 1);
	paper_ink(c->paper, INK_PLAIN);
	buf_release(&clean);
	buf_release(&b);
}

static void stop_speaking(struct chat_show *c)
{
	if (!c->is_speaking) return;
	c->is_speaking = false;
	bubble_end(&c->bubble);
	if (c->thought.n > 0) show_thought(c, buf_str(&c->thought));
	buf_clear(&c->thought);
	fold_lines(c, buf_str(&c->later), HANG);
	buf_clear(&c->later);
}

static void show_message(struct chat_show *c, size_t i, struct str agent_id, struct str text)
{
	struct buf title = BUF_INIT(BUF_NO_LIMIT);
	int agent = lab_agent_find(agent_id);
	add_title(c, i, agent_id, &title);
	if (agent >= 0) bubble_whole(c->paper, side_of(agent), ink_of(agent), buf_str(&title), text);
	else bubble_whole(c->paper, SIDE_WHOLE, INK_BOLD, buf_str(&title), text);
	buf_release(&title);
}

static void on_chunk(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct str text = lab_str(e, LF(MessageChunkEvent, chunk));
	if (!c->is_alone || !paper_is_live(c->paper)) return;
	if (!c->is_speaking) begin_speaking(c, i, lab_str(e, LF(MessageChunkEvent, agent_id)));
	buf_add_str(&c->said, text);
	bubble_add(&c->bubble, text);
}

/* All of it is shown: what is new behind what came in pieces, or the whole when the pieces were another text. */
static void on_message(struct chat_show *c, size_t i, const struct lab_event *e)
{
	const struct lab_message *m = lab_message(e, LF(MessageCompleteEvent, message));
	struct str text = m != NULL ? m->content : STR(""), agent = lab_str(e, LF(MessageCompleteEvent, agent_id));
	if (!c->is_speaking) {
		show_message(c, i, agent, text);
		return;
	}
	struct str said = buf_str(&c->said);
	bool goes_on = str_starts(text, said);
	if (goes_on) bubble_add(&c->bubble, str_n(text.p + said.n, text.n - said.n));
	stop_speaking(c);
	if (!goes_on) show_message(c, i, agent, text);
}

static void on_thinking(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct str text = lab_str(e, LF(ThinkingCompleteEvent, thinking_content));
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (text.n == 0) return;
	if (c->is_speaking) {
		buf_clear(&c->thought);
		buf_add_str(&c->thought, text);
		return;
	}
	add_name(c, i, lab_str(e, LF(ThinkingCompleteEvent, agent_id)), &b);
	buf_add_str(&b, STR(" thought:"));
	note_buf(c, i, INK_DIM, &b);
	show_thought(c, text);
}

static void on_initial(struct chat_show *c, size_t i, const struct lab_event *e)
{
	const struct lab_message *m = lab_message(e, LF(InitialMessageEvent, message));
	if (m != NULL) show_message(c, i, m->agent_id, m->content);
}

static void on_cut(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct str text = lab_str(e, LF(MessageCutEvent, content)), agent = lab_str(e, LF(MessageCutEvent, agent_id));
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (c->is_speaking) stop_speaking(c);
	else if (text.n > 0) show_message(c, i, agent, text);
	add_name(c, i, agent, &b);
	buf_add_str(&b, STR(" was cut here"));
	note_buf(c, i, INK_DIM, &b);
}

/* ---- the conversation ------------------------------------------------------------------------------------------- */

/* ┄┄ text ┄┄┄┄┄ */
static void rule(struct chat_show *c, enum ink ink, struct str text)
{
	size_t all = MIN(paper_columns(c->paper), (size_t)RULE_COLUMNS_MAX), used = term_width(text) + 5;
	paper_fresh(c->paper);
	paper_ink(c->paper, ink);
	paper_add(c->paper, STR("┄┄ "));
	paper_add(c->paper, text);
	paper_add(c->paper, STR(" ┄"));
	if (paper_is_live(c->paper)) paper_fill(c->paper, STR("┄"), all > used ? all - used : 0);
	paper_ink(c->paper, INK_PLAIN);
	paper_add(c->paper, STR("\n"));
}

static void on_system_prompt(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct str agent = lab_str(e, LF(SystemPromptEvent, agent_id));
	struct str prompt = lab_str(e, LF(SystemPromptEvent, prompt));
	struct buf title = BUF_INIT(BUF_NO_LIMIT);
	set_name(c, i, lab_agent_find(agent), lab_str(e, LF(SystemPromptEvent, agent_display_name)));
	if (c->about.spec->show_system_prompts && prompt.n > 0) {
		buf_add_str(&title, STR("what is told to "));
		add_title(c, i, agent, &title);
		bubble_whole(c->paper, SIDE_WHOLE, INK_DIM, buf_str(&title), prompt);
	}
	buf_release(&title);
}

/* "Ada (local:test) ↔ …"; the model is left out where it is the name. */
static void add_speakers(struct chat_show *c, size_t i, struct buf *out)
{
	for (size_t a = 0; a < c->about.spec->nagents; a++) {
		struct str model = c->about.spec->agents[a].model;
		const char *name = held_of(c, i)->names[a];
		if (a > 0) buf_add_str(out, STR(" ↔ "));
		add_name(c, i, str_c(lab_agent_ids[a]), out);
		if (name == NULL || model.n == 0 || str_eq(model, str_c(name))) continue;
		buf_add_str(out, STR(" ("));
		show_short(out, model, NAME_COLUMNS);
		buf_add_char(out, ')');
	}
}

static void show_prompt(struct chat_show *c, const struct lab_event *e)
{
	struct str tag = lab_str(e, LF(ConversationStartEvent, prompt_tag));
	struct str prompt = lab_str(e, LF(ConversationStartEvent, initial_prompt));
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (c->about.spec->ninherited > 0 || prompt.n == 0) return;
	if (tag.n > 0) {
		buf_add_str(&b, tag);
		buf_add_char(&b, ' ');
	}
	buf_add_str(&b, prompt);
	bubble_whole(c->paper, SIDE_WHOLE, INK_BOLD, STR("prompt"), buf_str(&b));
	buf_release(&b);
}

/* Which one of several begins here. */
static void put_number(struct chat_show *c, size_t i)
{
	const struct manifest *m = c->about.manifest;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (m->n > 1) {
		buf_addf(&b, "conversation %zu of %zu · ", i + 1, m->n);
		show_short(&b, str_c(i < m->n ? m->list[i].id : ""), NAME_COLUMNS);
		rule(c, INK_BOLD, buf_str(&b));
	}
	buf_release(&b);
}

/* Of several at once the prompt, which is the same, is shown once. */
static void on_start(struct chat_show *c, size_t i, const struct lab_event *e)
{
	const struct lab_agent *a = lab_agent(e, LF(ConversationStartEvent, agent_a));
	const struct lab_agent *b = lab_agent(e, LF(ConversationStartEvent, agent_b));
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	if (a != NULL) set_name(c, i, 0, a->display_name);
	if (b != NULL) set_name(c, i, 1, b->display_name);
	put_number(c, i);
	if (c->is_alone || !c->prompt_shown) {
		buf_add_str(&text, STR("◆ "));
		add_speakers(c, i, &text);
		paper_fresh(c->paper);
		paper_fold(c->paper, buf_str(&text), HANG);
		show_prompt(c, e);
	}
	c->prompt_shown = true;
	buf_release(&text);
}

static void on_turn(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct held *h = held_of(c, i);
	double score = lab_real(e, LF(TurnCompleteEvent, convergence_score));
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (!c->is_alone) buf_addf(&b, "#%zu ", i + 1);
	buf_addf(&b, "turn %lld of %lld", (long long)lab_int(e, LF(TurnCompleteEvent, turn_number), 0) + 1,
		 (long long)c->about.spec->turns);
	if (!isnan(score)) buf_addf(&b, " · convergence %.2f", score);
	if (!isnan(score) && !isnan(h->score))
		buf_addf(&b, " %s", convergence_arrow_text(convergence_arrow(h->score, score)));
	h->score = score;
	rule(c, INK_DIM, buf_str(&b));
	buf_release(&b);
}

static void on_end(struct chat_show *c, size_t i, const struct lab_event *e)
{
	const struct conductor_reason *why = conductor_reason_find(lab_str(e, LF(ConversationEndEvent, reason)));
	struct str status = lab_str(e, LF(ConversationEndEvent, status));
	struct str error = lab_str(e, LF(ConversationEndEvent, error));
	int64_t turns = lab_int(e, LF(ConversationEndEvent, total_turns), 0);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	show_short(&b, status, NAME_COLUMNS);
	buf_addf(&b, " after %lld turn%s", (long long)turns, turns == 1 ? "" : "s");
	if (why != NULL) buf_addf(&b, ": %s", why->what);
	if (error.n > 0) {
		buf_add_str(&b, STR(": "));
		show_short(&b, error, NOTE_COLUMNS);
	}
	note_buf(c, i, str_eq(status, STR("failed")) ? INK_RED : INK_DIM, &b);
	held_free(c, i);
}

/* ---- what happens beside it ------------------------------------------------------------------------------------- */

static void on_pace(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&b, "waiting %.1f s for ", lab_real(e, LF(RateLimitPaceEvent, wait_time)));
	show_short(&b, lab_str(e, LF(RateLimitPaceEvent, provider)), NAME_COLUMNS);
	buf_add_str(&b, STR(" ("));
	show_short(&b, lab_str(e, LF(RateLimitPaceEvent, reason)), NAME_COLUMNS);
	buf_add_char(&b, ')');
	note_buf(c, i, INK_DIM, &b);
}

/* What an attempt had said is not used; it stays on the screen, and is told from what follows. */
static void on_api_error(struct chat_show *c, size_t i, const struct lab_event *e)
{
	int64_t next_ms = lab_int(e, LF(APIErrorEvent, next_try_ms), -1);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	bool broke_off = c->is_speaking;
	stop_speaking(c);
	add_name(c, i, lab_str(e, LF(APIErrorEvent, agent_id)), &b);
	buf_add_str(&b, STR(": "));
	show_short(&b, lab_str(e, LF(APIErrorEvent, error_message)), NOTE_COLUMNS);
	if (broke_off) buf_add_str(&b, STR("; what it said above is not used"));
	if (next_ms >= 0) buf_addf(&b, "; trying again in %.1f s", (double)next_ms / 1000);
	note_buf(c, i, next_ms >= 0 ? INK_DIM : INK_RED, &b);
}

static void on_timeout(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	bool broke_off = c->is_speaking;
	stop_speaking(c);
	add_name(c, i, lab_str(e, LF(ProviderTimeoutEvent, agent_id)), &b);
	buf_add_str(&b, STR(": "));
	show_short(&b, lab_str(e, LF(ProviderTimeoutEvent, error_message)), NOTE_COLUMNS);
	if (broke_off) buf_add_str(&b, STR("; what it said above is not used"));
	note_buf(c, i, INK_RED, &b);
}

static void on_error(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	show_short(&b, lab_str(e, LF(ErrorEvent, error_message)), NOTE_COLUMNS);
	note_buf(c, i, INK_RED, &b);
}

static void on_truncation(struct chat_show *c, size_t i, const struct lab_event *e)
{
	int64_t n = lab_int(e, LF(ContextTruncationEvent, messages_dropped), 0);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&b, "%lld old message%s left out: the window of ", (long long)n, n == 1 ? " is" : "s are");
	add_name(c, i, lab_str(e, LF(ContextTruncationEvent, agent_id)), &b);
	buf_add_str(&b, STR(" is full"));
	note_buf(c, i, INK_DIM, &b);
}

static void on_limit(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&b, STR("the window of "));
	add_name(c, i, lab_str(e, LF(ContextLimitEvent, agent_id)), &b);
	buf_add_str(&b, STR(" is full"));
	note_buf(c, i, INK_DIM, &b);
}

static void on_interrupt(struct chat_show *c, size_t i, const struct lab_event *e)
{
	if (str_eq(lab_str(e, LF(InterruptRequestEvent, interrupt_source)), STR("user")))
		note(c, i, INK_DIM, STR("somebody wants it to stop"));
}

static void on_paused(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct held *h = held_of(c, i);
	(void)e;
	if (!h->is_paused) c->npaused++;
	h->is_paused = true;
	note(c, i, INK_BOLD,
	     isatty(STDIN_FILENO) == 1 ? STR("paused; Enter goes on") : STR("paused; roost pause --resume goes on"));
}

static void on_resumed(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct held *h = held_of(c, i);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (h->is_paused) c->npaused--;
	h->is_paused = false;
	if (str_eq(lab_str(e, LF(ConversationResumedEvent, after)), STR("restart"))) put_number(c, i);
	buf_addf(&b, "it goes on with turn %lld",
		 (long long)lab_int(e, LF(ConversationResumedEvent, turn_number), 0) + 1);
	note_buf(c, i, INK_DIM, &b);
}

static void on_branched(struct chat_show *c, size_t i, const struct lab_event *e)
{
	int64_t turns = lab_int(e, LF(ConversationBranchedEvent, branch_point), 0);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&b, STR("a branch of "));
	show_short(&b, lab_str(e, LF(ConversationBranchedEvent, source_conversation_id)), NAME_COLUMNS);
	buf_addf(&b, " after %lld turn%s", (long long)turns, turns == 1 ? "" : "s");
	note_buf(c, i, INK_DIM, &b);
}

static void on_injected(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&b, STR("to "));
	add_name(c, i, lab_str(e, LF(PromptInjectedEvent, agent_id)), &b);
	buf_add_str(&b, STR(" alone: "));
	show_short(&b, lab_str(e, LF(PromptInjectedEvent, prompt)), NOTE_COLUMNS);
	note_buf(c, i, INK_DIM, &b);
}

static void on_name(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct str agent = lab_str(e, LF(NameChosenEvent, agent_id));
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	add_name(c, i, agent, &b);
	buf_add_str(&b, STR(" is called "));
	set_name(c, i, lab_agent_find(agent), lab_str(e, LF(NameChosenEvent, chosen_name)));
	add_name(c, i, agent, &b);
	buf_add_str(&b, STR(" from now on"));
	note_buf(c, i, INK_DIM, &b);
}

static void on_reached(struct chat_show *c, size_t i, const struct lab_event *e)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&b, "convergence %.2f has reached %.2f: ", lab_real(e, LF(ConvergenceReachedEvent, convergence_score)),
		 lab_real(e, LF(ConvergenceReachedEvent, threshold)));
	show_short(&b, lab_str(e, LF(ConvergenceReachedEvent, action)), NAME_COLUMNS);
	note_buf(c, i, INK_BOLD, &b);
}

static void (*const handlers[LAB_TYPE_COUNT])(struct chat_show *c, size_t i, const struct lab_event *e) = {
	[LE_CONVERSATION_START] = on_start,
	[LE_CONVERSATION_END] = on_end,
	[LE_TURN_COMPLETE] = on_turn,
	[LE_MESSAGE_COMPLETE] = on_message,
	[LE_MESSAGE_CHUNK] = on_chunk,
	[LE_SYSTEM_PROMPT] = on_system_prompt,
	[LE_THINKING_COMPLETE] = on_thinking,
	[LE_RATE_LIMIT_PACE] = on_pace,
	[LE_CONTEXT_TRUNCATION] = on_truncation,
	[LE_CONTEXT_LIMIT] = on_limit,
	[LE_API_ERROR] = on_api_error,
	[LE_PROVIDER_TIMEOUT] = on_timeout,
	[LE_ERROR] = on_error,
	[LE_INTERRUPT_REQUEST] = on_interrupt,
	[LE_CONVERSATION_PAUSED] = on_paused,
	[LE_CONVERSATION_RESUMED] = on_resumed,
	[LE_CONVERSATION_BRANCHED] = on_branched,
	[LE_PROMPT_INJECTED] = on_injected,
	[LE_NAME_CHOSEN] = on_name,
	[LE_CONVERGENCE_REACHED] = on_reached,
	[LE_INITIAL_MESSAGE] = on_initial,
	[LE_MESSAGE_CUT] = on_cut,
};

/* ---- the display ------------------------------------------------------------------------------------------------ */

static void draw_edge(struct chat_show *c)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (!paper_is_live(c->paper)) return;
	if (c->word.n > 0) buf_add_str(&b, buf_str(&c->word));
	else if (c->npaused == 0) /* Enter, which is echoed, would take the bar for text */
		show_bar(&c->about, c->since, clock_boot_ms() - c->begun_boot_ms, paper_columns(c->paper), &b);
	paper_edge(c->paper, buf_str(&b));
	buf_release(&b);
}

static void look_at_size(struct chat_show *c)
{
	if (paper_look(c->paper) && c->is_speaking) bubble_resized(&c->bubble);
}

static void put_header(struct chat_show *c)
{
	const struct manifest *m = c->about.manifest;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add_char(&b, INK_BOLD);
	show_short(&b, m->name, NAME_COLUMNS);
	buf_add_char(&b, INK_PLAIN);
	buf_add_str(&b, STR(" · "));
	show_short(&b, m->experiment_id, NAME_COLUMNS);
	buf_addf(&b, " · %zu conversation%s of %lld turn%s", m->n, m->n == 1 ? "" : "s",
		 (long long)c->about.spec->turns, c->about.spec->turns == 1 ? "" : "s");
	if (c->about.is_resumed) buf_add_str(&b, STR(" · continued"));
	paper_fold(c->paper, buf_str(&b), HANG);
	buf_release(&b);
}

static void *begin(const struct show_about *about)
{
	struct chat_show *c = xcalloc(1, sizeof *c);
	c->about = *about;
	c->is_alone = about->spec->max_parallel == 1 || about->manifest->n == 1;
	c->paper = paper_new(stdout);
	c->begun_boot_ms = clock_boot_ms();
	c->since = show_progress(about);
	buf_init(&c->said, BUF_NO_LIMIT);
	buf_init(&c->later, BUF_NO_LIMIT);
	buf_init(&c->thought, BUF_NO_LIMIT);
	buf_init(&c->word, BUF_NO_LIMIT);
	put_header(c);
	draw_edge(c);
	paper_flush(c->paper);
	return c;
}

static void event(void *state, size_t conversation, const struct lab_event *e)
{
	struct chat_show *c = state;
	if (handlers[e->type] == NULL) return;
	look_at_size(c);
	handlers[e->type](c, conversation, e);
	if (e->type == LE_CONVERSATION_PAUSED) draw_edge(c);
	paper_flush(c->paper);
}

static void word(void *state, const char *text)
{
	struct chat_show *c = state;
	buf_clear(&c->word);
	buf_add_str(&c->word, str_c(text));
	if (!paper_is_live(c->paper)) paper_addf(c->paper, "%s\n", text);
	draw_edge(c);
	paper_flush(c->paper);
}

static void tick(void *state)
{
	struct chat_show *c = state;
	look_at_size(c);
	draw_edge(c);
	paper_flush(c->paper);
}

static void end(void *state, enum err e, const struct errinfo *info)
{
	struct chat_show *c = state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)e; /* the command says it, below this */
	(void)info;
	stop_speaking(c);
	show_ending(&c->about, &b);
	paper_edge(c->paper, STR(""));
	paper_fresh(c->paper);
	paper_add(c->paper, STR("\n"));
	fold_lines(c, buf_str(&b), HANG);
	paper_free(c->paper);
	for (size_t i = 0; i < c->nheld; i++) held_free(c, i);
	free(c->held);
	buf_release(&b);
	buf_release(&c->said);
	buf_release(&c->later);
	buf_release(&c->thought);
	buf_release(&c->word);
	free(c);
}

const struct show_kind show_chat = {"chat", "the conversation, as people read it", true, begin, event, word, tick, end};
