/* What a request is for when it does not say: presets and defaults.
 *
 * A request's model and parameters come in layers, the nearest first:
 *
 *   the request itself
 *   its conversation    Conversation.defaults {preset, model, params}
 *   a preset            Preset {title, model, params, systemPrompt}: the one the request names, or else its conversation
 *   the user            the Preset named "default", when there is one
 *   the daemon          its default model
 *
 * The first layer that names a model is followed. Of parameters each is taken from the first layer that has it; null
 * there means that it is not given at all, whatever the farther ones say. A parameter's two names are one.
 * `systemPrompt` is the parameter `system` of a preset whose params have none. What comes out is kept with the Request and
 * is not looked up again: a retry asks the same thing.
 *
 * On the writer, so that it is one picture with the message: whoever saved a preset and then sends, sends by it. */
#ifndef ROOST_RELAY_DEFAULTS_H
#define ROOST_RELAY_DEFAULTS_H

#include "provider/models.h"
#include "store/store.h"

#define PRESET_OF_USER STR("default")

/* What a model's name means now. */
struct meant {
	char id[256];   /* "provider:wire" */
	const char *by; /* how: "id", "alias", "family", "fallback"; static */
};
/* Who knows models' names. Asked on the writer. */
struct model_book {
	/* ERR_MODEL_UNKNOWN names what is near. */
	enum err (*resolve)(void *ctx, struct str asked, struct meant *out, struct errinfo *info);
	const struct model_info *(*about)(void *ctx, struct str id); /* NULL: nothing is known of it */
	bool (*has_own_params)(void *ctx, struct str id);            /* its parameters mean what it says: local:test */
	void *ctx;
};

/* What a request says. */
struct wanted {
	struct str preset;    /* STR_NONE none */
	struct str params;    /* a JSON object, "" none */
	struct str parts;     /* of the message: a JSON array, "" none */
	int64_t params_bytes; /* limits.params_bytes; 0: any number */
	/* The model it is for, and the name that became it and how (STR_NONE: it is the same). `is_default`: it named none,
	 * this is the daemon's default, "" when there is none now, for which `no_default` has the sentence. */
	struct str model, asked, model_by;
	bool is_default;
	const char *no_default;
	struct str fallback; /* models to go to, a JSON array of ids, "" none; then the first one may be unknown */
};
/* What it is for. In the op's arena. */
struct settled {
	struct str preset; /* STR_NONE none */
	struct str params; /* "" none */
	struct str model, asked, model_by;
};

/* `book` may be NULL: names are what they say. `conversation`: the fields of its record. ERR_NOT_FOUND for a preset that
 * is not there, ERR_MODEL_UNKNOWN, ERR_BAD_FIELD for a parameter that is wrong, and for one or a part of the message that
 * the model or one of `fallback` is known to refuse, ERR_TOO_LARGE past params_bytes; each says which layer or model it is
 * about. */
MUST_USE enum err defaults_settle(struct txn *t, uint32_t zone, struct str conversation, const struct wanted *wanted,
				  const struct model_book *book, struct settled *out, struct errinfo *info);

#endif
