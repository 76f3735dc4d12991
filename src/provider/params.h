/* The parameters of a request, read once for all dialects.
 *
 * A request's `params` is a JSON object. What stands in the table below has a name of ours (and mostly one that people
 * know from an API), a kind and a range, and reaches every provider under that provider's own name. null is the same as
 * absent, and absent is never sent: a provider's default is its own affair. Any other member is an "extra" and goes on
 * under its own name to where the dialect keeps such things, since servers have many of their own (num_ctx,
 * cache_prompt, …). Which of the table's a dialect can express stands in its own table; what it can't is an error before
 * the call, and so is what the registry knows the model to refuse. PK_CONTEXT is for Roost and never sent. */
#ifndef ROOST_PROVIDER_PARAMS_H
#define ROOST_PROVIDER_PARAMS_H

#include "base/arena.h"
#include "base/json.h"

/* clang-format off */
/*        symbol              name                also                 kind         from  to    what it is */
#define PARAM_MAP(X)                                                                                                   \
	X(P_SYSTEM,           "system",           "systemPrompt",      PK_TEXT,     0,    0,    "system prompt, before the conversation's own messages") \
	X(P_MAX_TOKENS,       "maxTokens",        "max_tokens",        PK_INT,      1,    1e9,  "most tokens of the answer, thinking included") \
	X(P_TEMPERATURE,      "temperature",      "",                  PK_REAL,     0,    2,    "sampling temperature") \
	X(P_TOP_P,            "topP",             "top_p",             PK_REAL,     0,    1,    "nucleus sampling")          \
	X(P_TOP_K,            "topK",             "top_k",             PK_INT,      0,    1e6,  "sampling among the k likeliest tokens") \
	X(P_SEED,             "seed",             "",                  PK_INT,      -9e15, 9e15, "seed of the sampling")     \
	X(P_STOP,             "stop",             "stopSequences",     PK_STRINGS,  1,    16,   "texts that end the answer") \
	X(P_FREQUENCY,        "frequencyPenalty", "frequency_penalty", PK_REAL,     -2,   2,    "penalty by how often a token was said") \
	X(P_PRESENCE,         "presencePenalty",  "presence_penalty",  PK_REAL,     -2,   2,    "penalty for tokens said at all") \
	X(P_THINKING,         "thinking",         "",                  PK_THINKING, 0,    0,    "off, on or adaptive")      \
	X(P_THINKING_BUDGET,  "thinkingBudget",   "thinking_budget",   PK_INT,      0,    1e9,  "most tokens of thinking")   \
	X(P_EFFORT,           "effort",           "reasoningEffort",   PK_EFFORT,   0,    0,    "none, minimal, low, medium, high, xhigh or max") \
	X(P_SCHEMA,           "schema",           "jsonSchema",        PK_OBJECT,   0,    0,    "JSON Schema that the answer must fit") \
	X(P_TOOLS,            "tools",            "",                  PK_TOOLS,    1,    128,  "tools the model may call: {name, description, parameters}") \
	X(P_TOOL_CHOICE,      "toolChoice",       "tool_choice",       PK_TEXT,     0,    0,    "auto, none, required or a tool's name") \
	X(P_CONTEXT,          "context",          "",                  PK_CONTEXT,  0,    0,    "drop, refuse or summarise: what to do when the conversation is longer than the window")
/* clang-format on */

enum param {
#define X(sym, name, also, kind, lo, hi, what) sym,
	PARAM_MAP(X)
#undef X
		PARAM_COUNT
};

enum param_kind { PK_TEXT, PK_INT, PK_REAL, PK_STRINGS, PK_THINKING, PK_EFFORT, PK_OBJECT, PK_TOOLS, PK_CONTEXT };

extern const char *const param_contexts[]; /* the rules of P_CONTEXT, NULL at the end */

struct param_row {
	const char *name, *also; /* also: "" none */
	enum param_kind kind;
	double lo, hi;
	const char *what;
};
extern const struct param_row param_rows[PARAM_COUNT];

/* Views of the request's params. */
struct params {
	const struct json *at[PARAM_COUNT]; /* NULL: not given */
	const struct json *all;             /* the object; NULL: none */
};

/* ERR_BAD_FIELD names the parameter, what was wrong and what it may be, or the two of "thinking", "thinkingBudget" and
 * "effort" of which one wants thinking and the other none. `all` may be NULL. */
MUST_USE enum err params_read(const struct json *all, struct params *out, struct errinfo *info);
/* The table's row of a member's name, PARAM_COUNT when it is an extra. */
enum param param_find(struct str name);

static inline bool param_given(const struct params *p, enum param k) { return p->at[k] != NULL; }
/* Of a parameter that is given and has that kind. */
struct str param_text(const struct params *p, enum param k);
int64_t param_int(const struct params *p, enum param k);
/* "thinking" as given: a name, or true and false for "on" and "off"; "" when absent. */
struct str param_thinking(const struct params *p);
/* The effort that "thinking" and "effort" ask for together: "none" when thinking is off, "" when neither names one.
 * ERR_BAD_FIELD when they contradict each other. */
MUST_USE enum err param_effort(const struct params *p, struct str *out, struct errinfo *info);
/* Writes one parameter as it was given under the provider's name. */
void param_put(struct jw *w, const char *wire, const struct params *p, enum param k);
/* Writes "stop" as an array, however it was given. */
void param_put_strings(struct jw *w, const char *wire, const struct params *p, enum param k);

/* How a dialect takes parameters. */
struct param_wire {
	enum param param;
	const char *wire; /* NULL: the dialect writes it itself */
};
/* Writes all that are given and have a name in the list. ERR_BAD_FIELD when one is given that is not in the list. */
MUST_USE enum err params_put(struct jw *w, const struct params *p, const struct param_wire *list, size_t n,
			     const char *api, struct errinfo *info);
/* Writes the extras. ERR_BAD_FIELD for one in `reserved` (NULL-terminated), which the dialect sets itself. */
MUST_USE enum err params_put_extras(struct jw *w, const struct params *p, const char *const *reserved,
				    struct errinfo *info);

#endif
