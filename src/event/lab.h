/* The events of an experiment: every type there is, the fields it carries in their order, and when it happens.
 *
 * One table. The writer of event files, their reader, the reference in docs/events.md and the JSON Schema are made from
 * it, and so is what `--redact` does: a field that may hold what somebody said, a name or a prompt is marked so here
 * (or is a message or an agent, which hold text by nature) and can reach a file in no other way.
 *
 * Names and their order are those of Pidgin's event files, so that what reads those reads these. Ours are behind them,
 * and the types that Pidgin does not have stand at the end. */
#ifndef ROOST_EVENT_LAB_H
#define ROOST_EVENT_LAB_H

#include "base/arena.h"
#include "base/json.h"

/* LK_TEXT is what people or models said, and names, and what others' programs say of an error: they may quote it.
 * LK_JSON is one JSON value; a member of it that has the name of an LK_TEXT field is held for such a text. LK_HASH is a
 * hash of texts, LK_MESSAGE and LK_AGENT are below. LK_REAL NaN and LK_INT INT64_MIN are written as null. */
enum lab_kind { LK_STR, LK_TEXT, LK_INT, LK_REAL, LK_BOOL, LK_JSON, LK_MESSAGE, LK_AGENT, LK_HASH };

/* clang-format off */
/* F(name, kind, what it is). conversation_id is every event's first field but for the experiment's own. */
#define LAB_ID(F) F(conversation_id, LK_STR, "the conversation")
#define LAB_WHO(F) LAB_ID(F) F(agent_id, LK_STR, "agent_a, agent_b, …")
#define LAB_TURN(F) F(turn_number, LK_INT, "from 0")

#define LAB_CONVERSATION_START(F) LAB_ID(F)                                                                            \
	F(agent_a, LK_AGENT, "who speaks first") F(agent_b, LK_AGENT, "who speaks second")                                 \
	F(experiment_id, LK_STR, "its experiment") F(config, LK_JSON, "max_turns, temperature_a, …: what the spec says")    \
	F(agent_a_display_name, LK_TEXT, "") F(agent_b_display_name, LK_TEXT, "")                                          \
	F(agent_a_model, LK_STR, "") F(agent_b_model, LK_STR, "") F(max_turns, LK_INT, "")                                 \
	F(initial_prompt, LK_TEXT, "the first message, without the tag") F(temperature_a, LK_REAL, "") F(temperature_b, LK_REAL, "") \
	F(agents, LK_JSON, "ids of all agents when they are more than two, else absent")                                   \
	F(prompt_tag, LK_TEXT, "stands before the first message") F(seed, LK_INT, "of this conversation")
#define LAB_CONVERSATION_END(F) LAB_ID(F)                                                                              \
	F(total_turns, LK_INT, "complete turns") F(status, LK_STR, "completed, failed or interrupted")                     \
	F(experiment_id, LK_STR, "") F(reason, LK_STR, "why: a row of conductor_reasons") F(error, LK_TEXT, "one sentence, or null") \
	F(duration_ms, LK_INT, "since its start or resumption")
#define LAB_TURN_START(F) LAB_ID(F) LAB_TURN(F)
#define LAB_TURN_COMPLETE(F) LAB_ID(F) LAB_TURN(F)                                                                     \
	F(turn, LK_JSON, "{agent_a_message: {seq, sha256}, …}: the lines with the texts")                                  \
	F(convergence_score, LK_REAL, "after this turn") F(convergence, LK_JSON, "its components")                         \
	F(metrics, LK_JSON, "per agent and pair, when texts are redacted; else absent")
#define LAB_MESSAGE_REQUEST(F) LAB_WHO(F) LAB_TURN(F)                                                                  \
	F(history_length, LK_INT, "messages before it, the prompt too") F(history_dropped, LK_INT, "the oldest so many of them are left out") \
	F(history_sha256, LK_HASH, "of the view, to check a rebuilt one")                                                   \
	F(temperature, LK_REAL, "") F(allow_truncation, LK_BOOL, "") F(thinking_enabled, LK_BOOL, "") F(thinking_budget, LK_INT, "") \
	F(attempt, LK_INT, "from 1") F(model, LK_STR, "") F(seed, LK_INT, "of this message")
#define LAB_MESSAGE_COMPLETE(F) LAB_WHO(F) F(message, LK_MESSAGE, "what it said")                                      \
	F(prompt_tokens, LK_INT, "") F(completion_tokens, LK_INT, "") F(total_tokens, LK_INT, "") F(duration_ms, LK_INT, "") \
	F(turn_number, LK_INT, "from 0") F(tokens_estimated, LK_BOOL, "the provider did not tell")                         \
	F(finish_reason, LK_STR, "") F(request_id, LK_STR, "the provider's own name of the call") F(first_token_ms, LK_INT, "")
#define LAB_MESSAGE_CHUNK(F) LAB_WHO(F) F(chunk, LK_TEXT, "") F(chunk_index, LK_INT, "from 0") F(elapsed_ms, LK_INT, "")
#define LAB_SYSTEM_PROMPT(F) LAB_WHO(F) F(prompt, LK_TEXT, "") F(agent_display_name, LK_TEXT, "")
#define LAB_THINKING_COMPLETE(F) LAB_ID(F) LAB_TURN(F) F(agent_id, LK_STR, "")                                         \
	F(thinking_content, LK_TEXT, "") F(thinking_tokens, LK_INT, "") F(duration_ms, LK_INT, "")
#define LAB_TOKEN_USAGE(F) LAB_ID(F) F(provider, LK_STR, "") F(tokens_used, LK_INT, "")                                \
	F(tokens_per_minute_limit, LK_INT, "null: none") F(current_usage_rate, LK_REAL, "tokens of the last minute")       \
	F(agent_id, LK_STR, "") F(model, LK_STR, "") F(prompt_tokens, LK_INT, "") F(completion_tokens, LK_INT, "")         \
	F(cost_ticks, LK_INT, "1e-10 USD; null unknown") F(cost_reported, LK_BOOL, "the provider said what it billed")     \
	F(cache_read_tokens, LK_INT, "") F(cache_write_tokens, LK_INT, "") F(thinking_tokens, LK_INT, "")
#define LAB_RATE_LIMIT_PACE(F) LAB_ID(F) F(provider, LK_STR, "") F(wait_time, LK_REAL, "seconds")                      \
	F(reason, LK_STR, "requests, tokens, input, output or circuit") F(agent_id, LK_STR, "")
#define LAB_CONTEXT_TRUNCATION(F) LAB_WHO(F) F(provider, LK_STR, "") F(model, LK_STR, "") LAB_TURN(F)                  \
	F(original_message_count, LK_INT, "") F(truncated_message_count, LK_INT, "") F(messages_dropped, LK_INT, "")
#define LAB_CONTEXT_LIMIT(F) LAB_WHO(F) LAB_TURN(F) F(error_message, LK_TEXT, "") F(provider, LK_STR, "")
#define LAB_API_ERROR(F) LAB_ID(F) F(error_type, LK_STR, "the class: a row of FAIL_MAP") F(error_message, LK_TEXT, "")  \
	F(agent_id, LK_STR, "") F(provider, LK_STR, "") F(context, LK_STR, "") F(error_code, LK_STR, "") F(retryable, LK_BOOL, "") \
	F(retry_count, LK_INT, "attempts before this one") F(next_try_ms, LK_INT, "until the next attempt; null: none follows") \
	F(partial_bytes, LK_INT, "of text that came and is not used")
#define LAB_PROVIDER_TIMEOUT(F) LAB_ID(F) F(error_type, LK_STR, "") F(error_message, LK_TEXT, "") F(agent_id, LK_STR, "") \
	F(provider, LK_STR, "") F(timeout_seconds, LK_REAL, "") F(context, LK_STR, "")
#define LAB_ERROR(F) LAB_ID(F) F(error_type, LK_STR, "") F(error_message, LK_TEXT, "") F(context, LK_STR, "")
#define LAB_INTERRUPT_REQUEST(F) LAB_ID(F) LAB_TURN(F) F(interrupt_source, LK_STR, "user, convergence or context_limit")
#define LAB_CONVERSATION_PAUSED(F) LAB_ID(F) LAB_TURN(F) F(paused_during, LK_STR, "waiting_for_agent_a, …, between_turns")
#define LAB_CONVERSATION_RESUMED(F) LAB_ID(F) LAB_TURN(F) F(after, LK_STR, "pause or restart")
#define LAB_CONVERSATION_BRANCHED(F) LAB_ID(F) F(source_conversation_id, LK_STR, "") F(branch_point, LK_INT, "turns taken over") \
	F(parameter_changes, LK_JSON, "{name: {from, to}}; of texts their lengths and hashes") F(experiment_id, LK_STR, "") \
	F(source_experiment_id, LK_STR, "") F(messages, LK_INT, "taken over; they follow as InitialMessageEvent")
#define LAB_EXPERIMENT_COMPLETE(F) F(experiment_id, LK_STR, "") F(total_conversations, LK_INT, "")                     \
	F(completed_conversations, LK_INT, "") F(failed_conversations, LK_INT, "") F(status, LK_STR, "")
#define LAB_POST_START(F) F(experiment_id, LK_STR, "") F(tasks, LK_JSON, "names")
#define LAB_POST_COMPLETE(F) F(experiment_id, LK_STR, "") F(tasks_completed, LK_JSON, "") F(tasks_failed, LK_JSON, "") F(duration_ms, LK_INT, "")
#define LAB_CONVERSATION_CREATED(F) LAB_ID(F) F(experiment_id, LK_STR, "")
#define LAB_PROMPT_INJECTED(F) LAB_WHO(F) LAB_TURN(F) F(prompt, LK_TEXT, "given to this agent only, before its message")
#define LAB_NAME_CHOSEN(F) LAB_WHO(F) F(chosen_name, LK_TEXT, "used from now on") F(previous_name, LK_TEXT, "")
#define LAB_CONVERGENCE_REACHED(F) LAB_ID(F) LAB_TURN(F) F(convergence_score, LK_REAL, "") F(threshold, LK_REAL, "")    \
	F(action, LK_STR, "stop, pause, notify, warn or continue") F(profile, LK_STR, "")
#define LAB_INITIAL_MESSAGE(F) LAB_WHO(F) F(message, LK_MESSAGE, "taken over from another conversation") LAB_TURN(F)
#define LAB_MESSAGE_CUT(F) LAB_WHO(F) LAB_TURN(F) F(partial_bytes, LK_INT, "that had come when it was stopped") F(content, LK_TEXT, "them")

/* X(symbol, event_type, fields, when) */
#define LAB_EVENT_MAP(X)                                                                                               \
	X(LE_CONVERSATION_START, ConversationStartEvent, LAB_CONVERSATION_START, "a conversation begins, behind its system prompts") \
	X(LE_CONVERSATION_END, ConversationEndEvent, LAB_CONVERSATION_END, "it is over; a resumed one goes on behind it") \
	X(LE_TURN_START, TurnStartEvent, LAB_TURN_START, "before the first agent of a turn is asked")                     \
	X(LE_TURN_COMPLETE, TurnCompleteEvent, LAB_TURN_COMPLETE, "all agents have spoken")                               \
	X(LE_MESSAGE_REQUEST, MessageRequestEvent, LAB_MESSAGE_REQUEST, "a provider is asked, each attempt")              \
	X(LE_MESSAGE_COMPLETE, MessageCompleteEvent, LAB_MESSAGE_COMPLETE, "an agent has spoken; the only line with that text") \
	X(LE_MESSAGE_CHUNK, MessageChunkEvent, LAB_MESSAGE_CHUNK, "text as it comes; for displays, never written")        \
	X(LE_SYSTEM_PROMPT, SystemPromptEvent, LAB_SYSTEM_PROMPT, "what an agent is told of its role, before the start")  \
	X(LE_THINKING_COMPLETE, ThinkingCompleteEvent, LAB_THINKING_COMPLETE, "what it thought, before its message")      \
	X(LE_TOKEN_USAGE, TokenUsageEvent, LAB_TOKEN_USAGE, "after each answer, also one that failed")                    \
	X(LE_RATE_LIMIT_PACE, RateLimitPaceEvent, LAB_RATE_LIMIT_PACE, "a call waits for a limit or a circuit")           \
	X(LE_CONTEXT_TRUNCATION, ContextTruncationEvent, LAB_CONTEXT_TRUNCATION, "old messages were left out")            \
	X(LE_CONTEXT_LIMIT, ContextLimitEvent, LAB_CONTEXT_LIMIT, "the conversation does not fit the window any more")    \
	X(LE_API_ERROR, APIErrorEvent, LAB_API_ERROR, "an attempt failed")                                                \
	X(LE_PROVIDER_TIMEOUT, ProviderTimeoutEvent, LAB_PROVIDER_TIMEOUT, "an attempt failed for its silence")           \
	X(LE_ERROR, ErrorEvent, LAB_ERROR, "something of ours went wrong")                                                \
	X(LE_INTERRUPT_REQUEST, InterruptRequestEvent, LAB_INTERRUPT_REQUEST, "somebody or something wants it to stop")   \
	X(LE_CONVERSATION_PAUSED, ConversationPausedEvent, LAB_CONVERSATION_PAUSED, "it waits for a person")              \
	X(LE_CONVERSATION_RESUMED, ConversationResumedEvent, LAB_CONVERSATION_RESUMED, "it goes on")                      \
	X(LE_CONVERSATION_BRANCHED, ConversationBranchedEvent, LAB_CONVERSATION_BRANCHED, "it begins with the messages of another") \
	X(LE_EXPERIMENT_COMPLETE, ExperimentCompleteEvent, LAB_EXPERIMENT_COMPLETE, "for displays")                       \
	X(LE_POST_PROCESSING_START, PostProcessingStartEvent, LAB_POST_START, "for displays")                             \
	X(LE_POST_PROCESSING_COMPLETE, PostProcessingCompleteEvent, LAB_POST_COMPLETE, "for displays")                    \
	X(LE_CONVERSATION_CREATED, ConversationCreated, LAB_CONVERSATION_CREATED, "only in old files of Pidgin")          \
	X(LE_PROMPT_INJECTED, PromptInjectedEvent, LAB_PROMPT_INJECTED, "an awareness file has a prompt for this turn")   \
	X(LE_NAME_CHOSEN, NameChosenEvent, LAB_NAME_CHOSEN, "an agent gave itself a name")                                \
	X(LE_CONVERGENCE_REACHED, ConvergenceReachedEvent, LAB_CONVERGENCE_REACHED, "the score reached the threshold; once, until it falls below") \
	X(LE_INITIAL_MESSAGE, InitialMessageEvent, LAB_INITIAL_MESSAGE, "a branch's inheritance, message by message")     \
	X(LE_MESSAGE_CUT, MessageCutEvent, LAB_MESSAGE_CUT, "a stop came in the middle of a message")
/* clang-format on */

enum lab_type {
#define X(sym, name, fields, when) sym,
	LAB_EVENT_MAP(X)
#undef X
		LAB_TYPE_COUNT
};

/* A field's place in its event: e.v[LF(TurnStartEvent, turn_number)]. */
#define LAB_PLACE(name, kind, what) char name;
#define X(sym, type, fields, when)                                                                                     \
	struct lf_##type {                                                                                             \
		fields(LAB_PLACE)                                                                                      \
	};
LAB_EVENT_MAP(X)
#undef X
#define LF(type, field) ((int)offsetof(struct lf_##type, field))
#define LAB_FIELDS_MAX 20

struct lab_field {
	const char *name;
	enum lab_kind kind;
	const char *what;
};
struct lab_row {
	const char *name; /* "TurnStartEvent" */
	const struct lab_field *fields;
	size_t nfields;
	const char *when;
};
extern const struct lab_row lab_rows[LAB_TYPE_COUNT];
bool lab_type_find(struct str name, enum lab_type *out);

#define LAB_AGENTS_MAX 8
extern const char *const lab_agent_ids[LAB_AGENTS_MAX]; /* "agent_a" … "agent_h" */
int lab_agent_find(struct str id);                      /* -1 none of them; "human" is none */

struct lab_message {
	struct str role, content, agent_id; /* role: "assistant", of a person's or the prompt "user" */
	int64_t at_us;                      /* wall time in microseconds, 0 unknown */
};

struct lab_agent {
	struct str id, model, display_name, model_display_name;
	double temperature; /* NaN: not set */
	bool thinking_enabled;
	int64_t thinking_budget; /* INT64_MIN: not set */
};

struct lab_value {
	enum { LV_ABSENT, LV_NULL, LV_STR, LV_INT, LV_REAL, LV_BOOL, LV_JSON, LV_MESSAGE, LV_AGENT } is;
	union {
		struct str s; /* LV_STR; LV_JSON: its text */
		int64_t i;
		double r;
		bool b;
		const struct lab_message *message;
		const struct lab_agent *agent;
	} u;
};

struct lab_event {
	enum lab_type type;
	int64_t at_us;            /* wall time in microseconds; 0: the log fills it in */
	int64_t seq;              /* from 1, one more with each line of a file; 0 in Pidgin's own files */
	struct str experiment_id; /* behind the fields of those types that have no such field; STR_NONE null */
	struct lab_value v[LAB_FIELDS_MAX];
};

static inline struct lab_value lv_str(struct str s)
{
	struct lab_value v = {.is = LV_NULL};
	if (s.p != NULL) v = (struct lab_value){.is = LV_STR, .u.s = s};
	return v;
}
static inline struct lab_value lv_int(int64_t i)
{
	struct lab_value v = {.is = LV_NULL};
	if (i != INT64_MIN) v = (struct lab_value){.is = LV_INT, .u.i = i};
	return v;
}
struct lab_value lv_real(double r);
static inline struct lab_value lv_bool(bool b) { return (struct lab_value){.is = LV_BOOL, .u.b = b}; }
static inline struct lab_value lv_json(struct str s)
{
	struct lab_value v = {.is = LV_ABSENT};
	if (s.p != NULL) v = (struct lab_value){.is = LV_JSON, .u.s = s};
	return v;
}
static inline struct lab_value lv_message(const struct lab_message *m)
{
	return (struct lab_value){.is = LV_MESSAGE, .u.message = m};
}
static inline struct lab_value lv_agent(const struct lab_agent *a)
{
	return (struct lab_value){.is = LV_AGENT, .u.agent = a};
}

/* Fields of a read event; "" or the given value when absent, null or of another kind. */
struct str lab_str(const struct lab_event *e, int field); /* of JSON its text */
int64_t lab_int(const struct lab_event *e, int field, int64_t otherwise);
double lab_real(const struct lab_event *e, int field);                       /* also of a whole number; NaN otherwise */
bool lab_bool(const struct lab_event *e, int field);                         /* false otherwise */
const struct lab_message *lab_message(const struct lab_event *e, int field); /* NULL otherwise */
const struct lab_agent *lab_agent(const struct lab_event *e, int field);     /* NULL otherwise */

#endif
