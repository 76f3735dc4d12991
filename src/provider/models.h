/* What is known of models: how they are named, what they can, how much fits, what they cost. */
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

struct model_info {
	struct str id;              /* with its provider: "anthropic:claude-haiku-4.5" */
	struct str wire;            /* as the provider's API names it */
	struct str title;           /* for people */
	struct str family;          /* "claude", "gpt": for token estimates */
	int64_t window, max_output; /* tokens; 0 unknown */
	unsigned can, cannot;       /* CAN_…; what is in neither is not known */
};

/* Is that thing refused by the model? Nothing is when the model is not known. */
static inline bool model_cannot(const struct model_info *m, unsigned what)
{
	return m != NULL && (m->cannot & what) != 0;
}

#endif
