/* The providers that are configured: their addresses, keys and models.
 *
 * A model's id is its provider's name, a colon and the id the provider knows it by: "local:test". Keys are read once,
 * when the daemon starts (keys.h); a key goes to its provider's address only and is wiped at the end. */
#ifndef ROOST_HOST_PROVIDERS_H
#define ROOST_HOST_PROVIDERS_H

#include <uv.h>

#include "base/buf.h"
#include "base/limits.h"
#include "provider/rates.h"

struct providers;

/* One configured provider. Strings are copied by providers_new. */
struct provider_config {
	const char *name;          /* prefix of its model ids: "lmstudio" */
	const char *dialect;       /* "local", "silent", "exec", or one of provider/ */
	const char *base_url;      /* "http://127.0.0.1:1234/v1" */
	const char *kind;          /* a row of kinds.h; NULL none */
	const char *key_file;      /* holds the API key, mode 0600; NULL none */
	const char *key_env;       /* the environment variable with the key; NULL: its kind's, at its kind's address */
	const char *key_dir;       /* the directory of stored keys; NULL none. More: keys.h */
	const char *proxy;         /* "http://127.0.0.1:3128"; NULL none */
	const char *const *models; /* ids without prefix, NULL-terminated; NULL: what it lists, see catalog.h */
	int64_t concurrency;       /* 0: limits.running_per_provider */
	int64_t requests_per_minute, tokens_per_minute; /* of all its models together; 0 no limit */
	const char *const *model_limits; /* "MODEL REQUESTS TOKENS" per minute each, NULL-terminated; NULL none */
	const char *budget;              /* what its key may cost a day, "20.00/day"; NULL no limit */
	bool allow_private;              /* the base URL may be on loopback or a private network */
	const char *const *command;      /* "exec": the program and its arguments, NULL-terminated */
	const char *path;       /* where it is looked for: absolute directories, colons between; NULL the usual */
	const char *const *env; /* names of the daemon's variables that it is given too; NULL none */
};
/* local:test and local:silent are always there. Keys are read here, once, and the environment's are wiped. ERR_CONFIG names the provider and what
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
struct str providers_dialect(const struct providers *p, int index); /* "openai"; "" it is none of provider/ */
bool providers_is_agent(const struct providers *p, int index);      /* it is a program that is run */
bool providers_is_remote(const struct providers *p, int index);     /* it is called over a network */
/* Rate limits: of all models of a provider together; of one model, as configured and as usual for such a provider. */
struct rate_limits providers_limits_of_all(const struct providers *p, int index);
void providers_limits(const struct providers *p, struct str model, struct rate_limits *configured,
		      struct rate_limits *usual);

#endif
