/* Events as they happen, a line each: [HH:MM:SS.mmm] glyph Name details. What a line tells of its event is a row of the
 * table below; what is null or absent is left out. */
#include <math.h>
#include <time.h>

#include "cli/show.h"
#include "cli/show_paper.h"
#include "cli/term.h"

#define TEXT_COLUMNS 60
#define WORD_COLUMNS 60
#define DETAILS_MAX 7

struct detail {
	int field;
	const char *label; /* "" none; NULL: no more */
};
struct tail_row {
	const char *glyph;
	enum ink ink;
	struct detail details[DETAILS_MAX];
};

/* D(field, label) of the row's own type */
/* clang-format off */
#define ROW(symbol, glyph, ink, ...) [symbol] = {glyph, ink, {__VA_ARGS__}}
static const struct tail_row rows[LAB_TYPE_COUNT] = {
#define D(f, l) {LF(ConversationStartEvent, f), l}
	ROW(LE_CONVERSATION_START, "◆", INK_BOLD, D(agent_a, "a"), D(agent_b, "b"), D(max_turns, "turns"), D(initial_prompt, "prompt")),
#undef D
#define D(f, l) {LF(ConversationEndEvent, f), l}
	ROW(LE_CONVERSATION_END, "■", INK_BOLD, D(status, ""), D(reason, ""), D(total_turns, "turns"), D(duration_ms, "took"), D(error, "error")),
#undef D
#define D(f, l) {LF(TurnStartEvent, f), l}
	ROW(LE_TURN_START, "▷", INK_CYAN, D(turn_number, "turn")),
#undef D
#define D(f, l) {LF(TurnCompleteEvent, f), l}
	ROW(LE_TURN_COMPLETE, "▶", INK_CYAN, D(turn_number, "turn"), D(convergence_score, "convergence")),
#undef D
#define D(f, l) {LF(MessageRequestEvent, f), l}
	ROW(LE_MESSAGE_REQUEST, "→", INK_DIM, D(agent_id, ""), D(turn_number, "turn"), D(model, ""), D(history_length, "history"), D(attempt, "attempt")),
#undef D
#define D(f, l) {LF(MessageCompleteEvent, f), l}
	ROW(LE_MESSAGE_COMPLETE, "←", INK_GREEN, D(agent_id, ""), D(turn_number, "turn"), D(total_tokens, "tokens"), D(duration_ms, "took"), D(message, "")),
#undef D
#define D(f, l) {LF(SystemPromptEvent, f), l}
	ROW(LE_SYSTEM_PROMPT, "◇", INK_DIM, D(agent_id, ""), D(agent_display_name, "name"), D(prompt, "")),
#undef D
#define D(f, l) {LF(ThinkingCompleteEvent, f), l}
	ROW(LE_THINKING_COMPLETE, "~", INK_DIM, D(agent_id, ""), D(turn_number, "turn"), D(thinking_tokens, "tokens"), D(thinking_content, "")),
#undef D
#define D(f, l) {LF(TokenUsageEvent, f), l}
	ROW(LE_TOKEN_USAGE, "Σ", INK_DIM, D(agent_id, ""), D(prompt_tokens, "in"), D(completion_tokens, "out"), D(current_usage_rate, "per minute"), D(tokens_per_minute_limit, "limit")),
#undef D
#define D(f, l) {LF(RateLimitPaceEvent, f), l}
	ROW(LE_RATE_LIMIT_PACE, "⧗", INK_DIM, D(agent_id, ""), D(provider, ""), D(wait_time, "seconds"), D(reason, "for")),
#undef D
#define D(f, l) {LF(ContextTruncationEvent, f), l}
	ROW(LE_CONTEXT_TRUNCATION, "✂", INK_BOLD, D(agent_id, ""), D(turn_number, "turn"), D(messages_dropped, "dropped"), D(original_message_count, "of")),
#undef D
#define D(f, l) {LF(ContextLimitEvent, f), l}
	ROW(LE_CONTEXT_LIMIT, "▣", INK_BOLD, D(agent_id, ""), D(turn_number, "turn"), D(error_message, "")),
#undef D
#define D(f, l) {LF(APIErrorEvent, f), l}
	ROW(LE_API_ERROR, "✗", INK_RED, D(agent_id, ""), D(provider, ""), D(error_type, ""), D(retry_count, "retries"), D(next_try_ms, "again in"), D(error_message, "")),
#undef D
#define D(f, l) {LF(ProviderTimeoutEvent, f), l}
	ROW(LE_PROVIDER_TIMEOUT, "✗", INK_RED, D(agent_id, ""), D(provider, ""), D(timeout_seconds, "seconds"), D(error_message, "")),
#undef D
#define D(f, l) {LF(ErrorEvent, f), l}
	ROW(LE_ERROR, "✗", INK_RED, D(error_type, ""), D(error_message, "")),
#undef D
#define D(f, l) {LF(InterruptRequestEvent, f), l}
	ROW(LE_INTERRUPT_REQUEST, "!", INK_BOLD, D(turn_number, "turn"), D(interrupt_source, "by")),
#undef D
#define D(f, l) {LF(ConversationPausedEvent, f), l}
	ROW(LE_CONVERSATION_PAUSED, "‖", INK_BOLD, D(turn_number, "turn"), D(paused_during, "")),
#undef D
#define D(f, l) {LF(ConversationResumedEvent, f), l}
	ROW(LE_CONVERSATION_RESUMED, "▷", INK_BOLD, D(turn_number, "turn"), D(after, "after")),
#undef D
#define D(f, l) {LF(ConversationBranchedEvent, f), l}
	ROW(LE_CONVERSATION_BRANCHED, "⑂", INK_BOLD, D(source_conversation_id, "of"), D(branch_point, "turns"), D(messages, "messages")),
#undef D
#define D(f, l) {LF(ExperimentCompleteEvent, f), l}
	ROW(LE_EXPERIMENT_COMPLETE, "■", INK_BOLD, D(status, ""), D(completed_conversations, "completed"), D(failed_conversations, "failed"), D(total_conversations, "of")),
#undef D
#define D(f, l) {LF(PostProcessingStartEvent, f), l}
	ROW(LE_POST_PROCESSING_START, "◌", INK_DIM, D(tasks, "")),
#undef D
#define D(f, l) {LF(PostProcessingCompleteEvent, f), l}
	ROW(LE_POST_PROCESSING_COMPLETE, "●", INK_DIM, D(tasks_completed, ""), D(tasks_failed, "failed"), D(duration_ms, "took")),
#undef D
#define D(f, l) {LF(ConversationCreated, f), l}
	ROW(LE_CONVERSATION_CREATED, "◇", INK_DIM, D(experiment_id, "")),
#undef D
#define D(f, l) {LF(PromptInjectedEvent, f), l}
	ROW(LE_PROMPT_INJECTED, "⇢", INK_BOLD, D(agent_id, ""), D(turn_number, "turn"), D(prompt, "")),
#undef D
#define D(f, l) {LF(NameChosenEvent, f), l}
	ROW(LE_NAME_CHOSEN, "✎", INK_BOLD, D(agent_id, ""), D(chosen_name, ""), D(previous_name, "before")),
#undef D
#define D(f, l) {LF(ConvergenceReachedEvent, f), l}
	ROW(LE_CONVERGENCE_REACHED, "≈", INK_BOLD, D(turn_number, "turn"), D(convergence_score, "convergence"), D(threshold, "threshold"), D(action, "action")),
#undef D
#define D(f, l) {LF(InitialMessageEvent, f), l}
	ROW(LE_INITIAL_MESSAGE, "←", INK_DIM, D(agent_id, ""), D(turn_number, "turn"), D(message, "")),
#undef D
#define D(f, l) {LF(MessageCutEvent, f), l}
	ROW(LE_MESSAGE_CUT, "✂", INK_BOLD, D(agent_id, ""), D(turn_number, "turn"), D(partial_bytes, "bytes")),
#undef D
};
/* clang-format on */

struct tail {
	struct show_about about;
	struct paper *paper;
};

/* ---- a line ----------------------------------------------------------------------------------------------------- */

static void add_time(struct buf *b, int64_t at_us)
{
	time_t t = (time_t)(at_us / 1000000);
	struct tm tm = {0};
	(void)localtime_r(&t, &tm);
	buf_addf(b, "[%02d:%02d:%02d.%03d] ", tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(at_us / 1000 % 1000));
}

/* Without "Event" behind it. */
static void add_type(struct buf *b, enum lab_type type)
{
	struct str name = str_c(lab_rows[type].name), behind = STR("Event");
	if (name.n > behind.n && str_eq(str_n(name.p + name.n - behind.n, behind.n), behind)) name.n -= behind.n;
	buf_add_str(b, name);
}

static void add_quoted(struct buf *b, struct str text)
{
	buf_add_char(b, '"');
	show_short(b, text, TEXT_COLUMNS);
	buf_add_char(b, '"');
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);
	return n >= m && strcmp(name + n - m, end) == 0;
}

static void add_int(struct buf *b, const char *field, int64_t v)
{
	char word[TERM_WORD];
	if (ends_with(field, "_ms")) {
		term_duration(v, word);
		buf_add_str(b, str_c(word));
	} else {
		buf_add_int(b, strcmp(field, "turn_number") == 0 ? v + 1 : v); /* people count from 1 */
	}
}

/* A number at two decimals at most, and without any when it is whole. */
static void add_real(struct buf *b, double v) { buf_addf(b, v == floor(v) && fabs(v) < 1e15 ? "%.0f" : "%.2f", v); }

static void add_value(struct buf *b, const struct lab_field *f, const struct lab_value *v)
{
	switch (v->is) {
	case LV_STR:
		if (f->kind == LK_TEXT) add_quoted(b, v->u.s);
		else show_short(b, v->u.s, WORD_COLUMNS);
		break;
	case LV_JSON: show_short(b, v->u.s, WORD_COLUMNS); break;
	case LV_INT: add_int(b, f->name, v->u.i); break;
	case LV_REAL: add_real(b, v->u.r); break;
	case LV_BOOL: buf_add_str(b, v->u.b ? STR("yes") : STR("no")); break;
	case LV_MESSAGE: add_quoted(b, v->u.message->content); break;
	case LV_AGENT:
		add_quoted(b, v->u.agent->display_name);
		buf_add_char(b, ' ');
		show_short(b, v->u.agent->model, WORD_COLUMNS);
		break;
	case LV_ABSENT:
	case LV_NULL: break;
	}
}

static void add_details(struct buf *b, const struct lab_event *e)
{
	for (const struct detail *d = rows[e->type].details; d < rows[e->type].details + DETAILS_MAX; d++) {
		if (d->label == NULL) break;
		const struct lab_value *v = &e->v[d->field];
		if (v->is == LV_ABSENT || v->is == LV_NULL) continue;
		buf_add_char(b, ' ');
		if (d->label[0] != '\0') buf_addf(b, "%s ", d->label);
		add_value(b, &lab_rows[e->type].fields[d->field], v);
	}
}

/* Of several conversations each line says which; the experiment's own events are of none. */
static void add_conversation(struct tail *t, struct buf *b, size_t i, const struct lab_event *e)
{
	bool is_of_one = strcmp(lab_rows[e->type].fields[0].name, "conversation_id") == 0;
	if (t->about.manifest->n > 1 && is_of_one) buf_addf(b, "#%zu ", i + 1);
}

/* ---- the display ------------------------------------------------------------------------------------------------ */

static void *begin(const struct show_about *about)
{
	struct tail *t = xcalloc(1, sizeof *t);
	t->about = *about;
	t->paper = paper_new(stdout);
	return t;
}

static void event(void *state, size_t conversation, const struct lab_event *e)
{
	struct tail *t = state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (rows[e->type].glyph == NULL) return;
	buf_add_char(&b, INK_DIM);
	add_time(&b, e->at_us);
	buf_add_char(&b, (char)rows[e->type].ink);
	buf_add_str(&b, str_c(rows[e->type].glyph));
	buf_add_char(&b, ' ');
	add_conversation(t, &b, conversation, e);
	add_type(&b, e->type);
	buf_add_char(&b, INK_PLAIN);
	add_details(&b, e);
	buf_add_char(&b, '\n');
	paper_add(t->paper, buf_str(&b));
	paper_flush(t->paper);
	buf_release(&b);
}

static void tick(void *state) { (void)state; }

static void end(void *state, enum err e, const struct errinfo *info)
{
	struct tail *t = state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)e; /* the command says it, below this */
	(void)info;
	show_ending(&t->about, &b);
	paper_add(t->paper, buf_str(&b));
	paper_free(t->paper);
	buf_release(&b);
	free(t);
}

const struct show_kind show_tail = {"tail", "each event as a line for people", false, begin, event, NULL, tick, end};
