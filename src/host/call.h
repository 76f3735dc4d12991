/* Provider calls for real: one attempt at an answer, from whichever provider serves the model.
 *
 * Builds the request with the provider's dialect (provider/), performs it over net/client, parses what streams back and
 * tells the caller in order: connected?, (text | thinking)*, done. Deadlines and sizes come from the limits: connectMs,
 * firstTokenMs from the start to the first text or thinking, streamIdleMs of silence after that (only text breaks it:
 * keep-alive comments and single bytes do not), answerMs for the whole, answerBytes, providerBodyBytes. Everything on
 * the loop thread. */
#ifndef ROOST_HOST_CALL_H
#define ROOST_HOST_CALL_H

#include <uv.h>

#include "base/json.h"
#include "base/limits.h"
#include "provider/provider.h"
#include "store/store.h"

struct providers; /* the configured providers and their models */
struct provider_call;

struct call_spec {
	struct str model;                    /* registry id: "local:test" */
	const struct call_message *messages; /* oldest first; copied */
	size_t nmessages;
	const struct json
		*params; /* an object or NULL: temperature, maxTokens, tokens, tokensPerSecond, …; see the dialects */
	uint64_t seed;   /* for deterministic providers */
	int64_t attempt; /* from 1; 0 unknown. Only local:test looks at it, for failTimes. */
};

struct call_hooks {
	void (*connected)(void *ctx);
	void (*text)(void *ctx, enum stream_kind kind, struct str text); /* valid, whole UTF-8 characters */
	void (*done)(void *ctx, const struct call_outcome *o);           /* last; the call is gone after it */
};

/* Starts; callbacks come later from the loop, never from inside this call. An unknown model ends in done with
 * ERR_MODEL_UNKNOWN. A callback may start, cancel and pause calls. */
struct provider_call *provider_call_start(struct providers *p, const struct call_spec *spec,
					  const struct call_hooks *hooks, void *ctx);
/* The socket is closed when this returns; no callback comes after it. */
void provider_call_cancel(struct provider_call *c);
/* Back-pressure. Text that had been read already may still come; a paused call has no silence deadline. */
void provider_call_pause(struct provider_call *c, bool paused);

/* One configured provider. Strings are copied by providers_new. */
struct provider_config {
	const char *name;          /* prefix of its model ids: "lmstudio" */
	const char *dialect;       /* "openai", "local", "silent" */
	const char *base_url;      /* "http://127.0.0.1:1234/v1" */
	const char *key_file;      /* holds the API key, mode 0600; NULL none */
	const char *const *models; /* ids without prefix, NULL-terminated; NULL: any id is passed on */
	int64_t concurrency;       /* 0: limits.running_per_provider */
	bool allow_private;        /* the base URL may be on loopback or a private network */
};
/* local:test and local:silent are always there. Key files are read here, once. ERR_CONFIG names the provider and what
 * is wrong with it. `limits` must outlive the providers. */
MUST_USE enum err providers_new(uv_loop_t *loop, const struct limits *limits, const struct provider_config *configs,
				size_t n, struct providers **out, struct errinfo *info);
/* Cancels what runs. Not from a callback. The loop must turn once more before it is closed. */
void providers_free(struct providers *p);

/* Registry. The index of a model's provider (for slots and fairness), -1 for an unknown model. */
int providers_index(const struct providers *p, struct str model);
size_t providers_count(const struct providers *p);
int64_t providers_concurrency(const struct providers *p, int index);
struct str providers_name(const struct providers *p, int index);
/* {"models":[{"id","provider","default"}]}; of a provider without a list of models only the default one, if it is. */
void providers_models_json(const struct providers *p, struct str default_model, struct buf *out);

#endif
