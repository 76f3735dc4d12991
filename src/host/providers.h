/* The providers that are configured: their addresses, keys and models.
 *
 * A model's id is its provider's name, a colon and the id the provider knows it by: "local:test". Key files are read once,
 * when the daemon starts; a key goes to its provider's address only and is wiped at the end. */
#ifndef ROOST_HOST_PROVIDERS_H
#define ROOST_HOST_PROVIDERS_H

#include <uv.h>

#include "base/buf.h"
#include "base/limits.h"

struct providers;

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
