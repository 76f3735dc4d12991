/* What is known of models: how they are named, what they can, how much fits, what they cost.
 *
 * The table is made once, of the file that is built in (models.json beside this) and of the person's own (models.json in
 * the data directory), and does not change. An entry of the second with the id of one of the first replaces the members
 * it has. Names of all kinds are looked up in one order: exact id ("anthropic:claude-haiku-4.5", or with the name its API
 * has), alias, family. A family is a word of a model's name ("opus"): the model with the highest version behind that word
 * is meant, of several the one with the shortest name. What is retired is found by id and alias only.
 *
 * Pure. A table may be read by any thread. */
#ifndef ROOST_PROVIDER_MODELS_H
#define ROOST_PROVIDER_MODELS_H

#include "provider/provider.h"

/* What a model takes; a bit each. */
/* clang-format off */
#define MODEL_CAN_MAP(X)                                                                        \
	X(CAN_SYSTEM,        "system")        /* a system prompt */                                 \
	X(CAN_SAMPLING,      "sampling")      /* temperature, topP, topK */                         \
	X(CAN_PENALTIES,     "penalties")     /* frequencyPenalty, presencePenalty */               \
	X(CAN_STOP,          "stop")                                                                \
	X(CAN_SEED,          "seed")                                                                \
	X(CAN_IMAGES,        "images")                                                              \
	X(CAN_FILES,         "files")                                                               \
	X(CAN_TOOLS,         "tools")                                                               \
	X(CAN_SCHEMA,        "schema")                                                              \
	X(CAN_EFFORT,        "effort")                                                              \
	X(CAN_THINK_BUDGET,  "thinkingBudget")   /* thinking with a number of tokens */             \
	X(CAN_THINK_ADAPT,   "thinkingAdaptive") /* thinking as it sees fit */                      \
	X(CAN_THINK_OFF,     "thinkingOff")      /* thinking can be switched off */
/* clang-format on */
enum model_can {
#define X(sym, name) sym##_NTH,
	MODEL_CAN_MAP(X)
#undef X
		MODEL_CAN_COUNT
};
enum {
#define X(sym, name) sym = 1 << sym##_NTH,
	MODEL_CAN_MAP(X)
#undef X
};

/* What it costs from a day on. Amounts are ticks (1e-10 USD) a token: $5 a million tokens are 50,000; -1 unknown. */
struct model_price {
	int64_t from_ms; /* wall time */
	int64_t input, output, cache_read, cache_write;
};

struct model_info {
	struct str id;       /* with its provider: "anthropic:claude-haiku-4.5" */
	struct str provider; /* first half of the id: a kind of provider, or the name of a configured one */
	struct str name;     /* second half */
	struct str wire;     /* as the provider's API names it */
	struct str title;    /* for people */
	struct str dialect;
	struct str family;          /* "claude", "gpt": for token estimates */
	int64_t window, max_output; /* tokens; 0 unknown */
	unsigned can, cannot;       /* CAN_…; what is in neither is not known */
	const struct str *aliases;
	size_t naliases;
	const struct model_price *prices; /* oldest first */
	size_t nprices;
	bool retired;   /* its provider serves it no more */
	bool overrides; /* the person said something about it */
};

/* Is that thing refused by the model? Nothing is when the model is not known. */
static inline bool model_cannot(const struct model_info *m, unsigned what)
{
	return m != NULL && (m->cannot & what) != 0;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

struct models;
extern const struct str models_built_in; /* the file's text */

/* `own`: the person's file, STR_NONE none. ERR_BAD_JSON or ERR_BAD_FIELD name the entry and what is wrong with it. */
MUST_USE enum err models_new(struct str built_in, struct str own, struct models **out, struct errinfo *info);
void models_free(struct models *m);
size_t models_count(const struct models *m);
const struct model_info *models_at(const struct models *m, size_t i); /* in the order of their ids, the person's last */

/* What is known of the model that a provider names so; NULL nothing. */
const struct model_info *models_of(const struct models *m, struct str provider, struct str wire);
/* What a person means by that name; NULL no model. */
const struct model_info *models_resolve(const struct models *m, struct str asked);

/* How well a name fits a model; the larger `how`, the better, then the larger version, then the shorter name. */
enum match_how { MATCH_NONE, MATCH_FAMILY, MATCH_ALIAS, MATCH_ID };
struct model_match {
	enum match_how how;
	int64_t version; /* of a family */
	size_t len;      /* of the name */
};
/* `name` and `wire` are the model's, without a provider; `about` may be NULL. */
struct model_match model_match(struct str asked, struct str name, struct str wire, const struct model_info *about);
bool model_match_better(struct model_match a, struct model_match b);

/* ---- one model --------------------------------------------------------------------------------------------------- */

/* The price that holds at a time; NULL unknown. */
const struct model_price *model_price(const struct model_info *m, int64_t now_ms);
/* What the table knows the model to refuse, before it is asked: ERR_BAD_FIELD names the parameter. `about` may be NULL,
 * then nothing is refused. */
MUST_USE enum err model_check(const struct model_info *about, const struct params *params,
			      const struct call_message *messages, size_t nmessages, struct errinfo *info);
/* The members people see: "title", "window", "maxOutput", "price", "can", "cannot", "aliases", "status"; what is not
 * known is null. Prices are USD a million tokens. */
void model_write(struct jw *w, const struct model_info *about, int64_t now_ms);

#endif
