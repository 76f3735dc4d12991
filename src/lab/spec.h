/* What an experiment is to be: the same table of keys for YAML files and for the options of `roost run`.
 *
 * A key is a row of SPEC_MAP: its name in a file, its other names, its option, its kind and range, and what it means. The
 * file's reader, the options' reader, the writer of specs, --help, the manual and docs/specs.md come from it, so a file and
 * a line of options that say the same are the same.
 *
 * A file may hold several documents (---), and `matrix:` in one makes a document for each combination of its lists: each
 * is an experiment. Reading is safe: no tags, no anchors or aliases, depth and size bounded; an unknown key is an error
 * with its line and the nearest known one. Pure but for reading files that a spec names (awareness). */
#ifndef ROOST_LAB_SPEC_H
#define ROOST_LAB_SPEC_H

#include "base/arena.h"
#include "event/lab_line.h"
#include "host/config.h"
#include "talk/conductor.h"

/* SK_WORD is one of a few words, SK_LIST a list of texts (of an option: with colons or commas between), SK_WEIGHTS five
 * named numbers, SK_OBJECT anything, kept as JSON; SK_BRANCH, SK_MESSAGES and SK_MATRIX have a form of their own. */
enum spec_kind {
	SK_TEXT,
	SK_WORD,
	SK_INT,
	SK_REAL,
	SK_FLAG,
	SK_LIST,
	SK_WEIGHTS,
	SK_OBJECT,
	SK_BRANCH,
	SK_MESSAGES,
	SK_MATRIX
};

/* The table: of an option O, of an option with one more for each agent P; only in files F, there for each agent G.
 *   field   in struct spec; of P and G in struct spec_agent; where there is none of that kind, any. `temperature` is for all agents, `temperature_a` for one, and
 *           goes before it wherever either stands; so --temperature, --temp-a
 *   lo, hi  of numbers; of texts the most bytes
 *   each    the agents' options without "-a"; NULL when there is none */
/* clang-format off */
/* X(symbol, field, key, also, option, each, letter, arg, kind, lo, hi, def, what) */
#define SPEC_MAP(O, P, F, G)                                                                                           \
	O(SPEC_AGENT_A, agents[0].asked, "agent_a", "agent_a_model", "agent-a", NULL, 'a', "MODEL", SK_TEXT, 0, 255, NULL, "the model that speaks first") \
	O(SPEC_AGENT_B, agents[1].asked, "agent_b", "agent_b_model", "agent-b", NULL, 'b', "MODEL", SK_TEXT, 0, 255, NULL, "the model that answers it") \
	F(SPEC_AGENTS, agents, "agents", NULL, NULL, NULL, 0, NULL, SK_LIST, 2, LAB_AGENTS_MAX, NULL, "two to eight models in the order they speak in, instead of agent_a and agent_b") \
	O(SPEC_NAME, name, "name", NULL, "name", NULL, 'n', "NAME", SK_TEXT, 0, 100, "made up", "the experiment's name") \
	O(SPEC_PROMPT, prompt, "prompt", "custom_prompt", "prompt", NULL, 'p', "TEXT", SK_TEXT, 0, 1 << 20, NULL, "what the conversation begins with") \
	O(SPEC_DIMENSIONS, dimensions, "dimensions", "dimension", "dimensions", NULL, 0, "A:B", SK_LIST, 0, 16, NULL, "fragments to begin the prompt with, see: roost dimensions") \
	O(SPEC_TURNS, turns, "max_turns", "turns", "turns", NULL, 't', "N", SK_INT, 1, 100000, "20", "turns of each conversation, a message of every agent each") \
	O(SPEC_REPETITIONS, repetitions, "repetitions", NULL, "repetitions", NULL, 'r', "N", SK_INT, 1, 10000, "1", "conversations") \
	P(SPEC_TEMPERATURE, temperature, "temperature", NULL, "temperature", "temp", 0, "T", SK_REAL, 0, 2, "the provider's", "sampling temperature") \
	P(SPEC_THINK, thinks, "think", NULL, "think", "think", 0, NULL, SK_FLAG, 0, 0, NULL, "think before answering") \
	P(SPEC_THINK_BUDGET, thinking_budget, "think_budget", NULL, "think-budget", "think-budget", 0, "N", SK_INT, 1000, 100000, "the provider's", "most tokens of thinking") \
	P(SPEC_AWARENESS, awareness, "awareness", NULL, "awareness", "awareness", 'w', "WHAT", SK_TEXT, 1, 4096, "basic", "what a model is told of its role: none, basic, firm, research, backrooms or a YAML file") \
	G(SPEC_PARAMS, params, "params", NULL, NULL, NULL, 0, NULL, SK_OBJECT, 0, 0, NULL, "further parameters of the requests, as topP or maxTokens") \
	O(SPEC_THRESHOLD, threshold, "convergence_threshold", NULL, "convergence-threshold", NULL, 0, "X", SK_REAL, 0, 1, "0.95 over a network, else none", "convergence, from 0 to 1, at which the action is taken; or none") \
	O(SPEC_ACTION, action, "convergence_action", NULL, "convergence-action", NULL, 0, "WHAT", SK_WORD, 0, 0, "stop", "stop, pause, notify, warn or continue") \
	O(SPEC_PROFILE, profile, "convergence_profile", NULL, "convergence-profile", NULL, 0, "NAME", SK_WORD, 0, 0, "balanced", "how it is weighed: balanced, structural, semantic, strict or custom") \
	F(SPEC_WEIGHTS, weights, "convergence_weights", NULL, NULL, NULL, 0, NULL, SK_WEIGHTS, 0, 1, NULL, "the weights of custom: content, structure, sentences, length and punctuation, 1 together") \
	O(SPEC_CHOOSE_NAMES, choose_names, "choose_names", NULL, "choose-names", NULL, 0, NULL, SK_FLAG, 0, 0, NULL, "let the models choose names for themselves") \
	O(SPEC_MEDITATION, meditation, "meditation", NULL, "meditation", NULL, 0, NULL, SK_FLAG, 0, 0, NULL, "let agent_b be silent, and agent_a the default model unless it is named") \
	O(SPEC_PROMPT_TAG, prompt_tag, "prompt_tag", NULL, "prompt-tag", NULL, 0, "TEXT", SK_TEXT, 0, 200, "[HUMAN]", "stands before the prompt, for the models to see; \"\" for none") \
	O(SPEC_ALLOW_TRUNCATION, allow_truncation, "allow_truncation", NULL, "allow-truncation", NULL, 0, NULL, SK_FLAG, 0, 0, NULL, "leave out the oldest messages when a model's window is full, instead of ending") \
	O(SPEC_MAX_PARALLEL, max_parallel, "max_parallel", NULL, "max-parallel", NULL, 0, "N", SK_INT, 1, 1000, "1", "conversations that are held at once") \
	O(SPEC_SEED, seed, "seed", NULL, "seed", NULL, 0, "N", SK_INT, 0, 9007199254740991, "made up", "what all randomness comes from, the providers' where they take one") \
	F(SPEC_DISPLAY, display, "display_mode", "display", NULL, NULL, 0, NULL, SK_WORD, 0, 0, "chat", "what is shown meanwhile: chat, tail, quiet, json or none") \
	O(SPEC_QUIET, display, "quiet", NULL, "quiet", NULL, 'q', NULL, SK_FLAG, 0, 0, NULL, "run in the background") \
	O(SPEC_TAIL, display, "tail", NULL, "tail", NULL, 0, NULL, SK_FLAG, 0, 0, NULL, "show events as they happen, a line each") \
	O(SPEC_SHOW_SYSTEM_PROMPTS, show_system_prompts, "show_system_prompts", NULL, "show-system-prompts", NULL, 0, NULL, SK_FLAG, 0, 0, NULL, "show what the models are told of their roles") \
	O(SPEC_NOTIFY, notify, "notify", NULL, "notify", NULL, 0, NULL, SK_FLAG, 0, 0, NULL, "show a notification at the end, or ring the bell") \
	O(SPEC_OUTPUT, output, "output", NULL, "output", NULL, 'o', "DIR", SK_TEXT, 0, 4096, "$ROOST_OUTPUT_DIR, labOutput", "the directory experiments are kept in") \
	O(SPEC_REDACT, redact, "redact", NULL, "redact", NULL, 0, "[=HOW]", SK_WORD, 0, 0, "off", "keep no texts in files: hash, drop or mask-pii; hash when nothing is said") \
	F(SPEC_BRANCH_FROM, branch_conversation, "branch_from", NULL, NULL, NULL, 0, NULL, SK_BRANCH, 0, 0, NULL, "where initial_messages come from: conversation_id, turn, experiment_id") \
	F(SPEC_INITIAL_MESSAGES, inherited, "initial_messages", NULL, NULL, NULL, 0, NULL, SK_MESSAGES, 0, 0, NULL, "what was said before: a list of role and content, and of whose it is (agent)") \
	F(SPEC_MATRIX, memory, "matrix", NULL, NULL, NULL, 0, NULL, SK_MATRIX, 0, 0, NULL, "lists of values of other keys: an experiment for each combination")
/* clang-format on */

enum spec_symbol {
#define X(sym, ...) sym,
	SPEC_MAP(X, X, X, X)
#undef X
		SPEC_ROWS
};

/* The options as initialisers of a table of {name, letter, arg, help, def}. */
#define SPEC_OPTION(sym, field, key, also, option, each, letter, arg, kind, lo, hi, def, what)                         \
	{option, letter, arg, what, def},
#define SPEC_OPTIONS_EACH(sym, field, key, also, option, each, letter, arg, kind, lo, hi, def, what)                   \
	{option, letter, arg, what, def}, {each "-a", 0, arg, "the same for agent_a", NULL},                           \
		{each "-b", 0, arg, "the same for agent_b", NULL},
#define SPEC_NO_OPTION(...)
#define SPEC_OPTIONS SPEC_MAP(SPEC_OPTION, SPEC_OPTIONS_EACH, SPEC_NO_OPTION, SPEC_NO_OPTION)

struct spec_agent {
	struct str asked;   /* the model as it was named; STR_NONE not yet */
	struct str model;   /* what it resolved to (the caller's); STR_NONE not yet */
	double temperature; /* NaN not set */
	bool thinks;
	int64_t thinking_budget;   /* INT64_MIN not set */
	struct str awareness;      /* a preset, the path of a YAML file, or a JSON object that is such a file */
	struct str params;         /* further parameters, a JSON object; "" none */
	struct str prompt;         /* its system prompt, made by spec_complete; "" none */
	struct str awareness_read; /* the awareness file as it was read, a JSON object; STR_NONE it is none */
	uint64_t own;              /* rows that were given for this agent and not for all */
};

struct spec {
	struct arena memory;
	struct str name; /* "" a random one is to be made */
	struct spec_agent agents[LAB_AGENTS_MAX];
	size_t nagents; /* 2 unless `agents:` lists more */
	struct str prompt, prompt_tag;
	struct str asked_prompt; /* `prompt` before spec_complete put the dimensions in front of it; STR_NONE not yet */
	struct str *dimensions;  /* combinable fragments, put in front of the prompt */
	size_t ndimensions;
	int64_t turns, repetitions, max_parallel;
	bool has_threshold;
	double threshold; /* NaN: none */
	bool has_action;  /* the action was given */
	enum convergence_action action;
	bool has_profile, has_weights;
	struct str profile; /* balanced, structural, semantic, strict, custom */
	struct convergence_weights weights;
	bool meditation, choose_names, allow_truncation, show_system_prompts, notify;
	struct str display; /* chat, tail, quiet, json, none */
	struct str output;  /* "" the default */
	enum redaction redact;
	uint64_t seed;
	bool has_seed;
	struct injection *injections; /* of awareness files */
	size_t ninjections;
	/* A branch. */
	struct str branch_conversation, branch_experiment;
	int64_t branch_turn; /* turns taken over; -1 no branch */
	struct inherited *inherited;
	size_t ninherited;
	struct str parameter_changes; /* JSON; "" */
};

struct spec_row {
	const char *key, *also;    /* in a file; also: another name, NULL none */
	const char *option, *each; /* "max-parallel", "temp"; NULL: only in files */
	char letter;
	const char *arg; /* as help shows it; NULL a switch, "[=…]" it may be left out */
	enum spec_kind kind;
	bool per_agent; /* KEY_a, KEY_b, … and EACH-a, EACH-b, … exist too */
	double lo, hi;
	const char *def, *what;
	size_t offset; /* of the field */
};
extern const struct spec_row spec_rows[SPEC_ROWS];
/* The row of an option ("temp-a") or a key ("agent_a_model"); *agent is -1 when it is for all. NULL: none has it. */
const struct spec_row *spec_row_of_option(struct str option, int *agent);
const struct spec_row *spec_row_of_key(struct str key, int *agent);

/* The defaults, those of the configuration's lab keys included. */
void spec_init(struct spec *s, const struct config *config);
void spec_release(struct spec *s);

/* Sets one key from text, as an option gives it ("" is a switch that was given); `agent` -1 for all. A relative path is
 * taken from the working directory. ERR_USAGE says what may be. */
MUST_USE enum err spec_set(struct spec *s, const struct spec_row *row, int agent, struct str value,
			   struct errinfo *info);
/* The models that follow from other keys: of a meditation the silent one, and `default_model` unless agent_a is named.
 * Before models are asked for and resolved. */
void spec_agents(struct spec *s, struct str default_model);

/* All experiments of a file, over defaults. Free each with spec_release, the list with free. ERR_CONFIG with NAME:LINE.
 * Relative paths are taken from the file's directory, where `name` has one. */
#define SPEC_CELLS_MAX 10000
MUST_USE enum err spec_parse(struct str yaml, const char *name, const struct config *config, struct spec **out,
			     size_t *out_n, struct errinfo *info);
MUST_USE enum err spec_load(const char *path, const struct config *config, struct spec **out, size_t *out_n,
			    struct errinfo *info);

/* What no single key can tell; fills in what follows from others: the threshold's default (0.95 when a model is called over
 * a network), the dimensions in the prompt, awareness files and presets (each agent's system prompt, injections), weights
 * of the profile. Models are resolved before. `is_remote` per agent. Doing it again changes nothing. ERR_CONFIG. */
MUST_USE enum err spec_complete(struct spec *s, const bool *is_remote, struct errinfo *info);
/* The parameters of an agent's requests as a JSON object, "" when there are none: its temperature, thinking and `params`.
 * A budget of thinking gets an answer's room beside it within max_output (tokens the model can say; 0 unknown). */
struct str spec_request_params(const struct spec_agent *a, int64_t max_output, struct arena *arena);

/* The spec as YAML that reads as the same spec. */
void spec_write(const struct spec *s, struct buf *out);
/* The manifest's `config`: Pidgin's keys, then ours. Texts as the redaction has them. */
void spec_write_config(const struct spec *s, struct jw *w);

/* Awareness presets and dimensions, for help and lists. End with a NULL name. Of two dimensions of one group only one can
 * be given. In a preset's text {me} and {others} are models' names. */
struct spec_fragment {
	const char *group, *name, *what, *text; /* group: NULL of presets */
};
extern const struct spec_fragment awareness_presets[], dimension_table[];

#endif
