/* API keys: where they are found, where they are kept, and for whom.
 *
 * Looked for in this order: the file that the configuration names (keyFile); what systemd handed to the service,
 * $CREDENTIALS_DIRECTORY/NAME.key; what `roost keys set` stored, DATA/keys/NAME; the environment. The first that is there
 * counts, also when it cannot be used: nobody should wonder why another key is taken.
 *
 * A key belongs to an origin. A stored one names it in its second line, and is not used for another. The variable of a kind
 * is for the kind's own address (kinds.h). What the configuration names beside an address (keyFile, keyEnv), or the
 * service's unit by the provider's name, is for that address.
 *
 * Texts made here never hold more of a key than its last four characters. Blocking, small files; not thread-safe. */
#ifndef ROOST_HOST_KEYS_H
#define ROOST_HOST_KEYS_H

#include "base/base.h"
#include "host/kinds.h"

#define KEY_MAX 4096 /* characters of a key */

enum key_from { KEY_NONE, KEY_FILE, KEY_CREDENTIAL, KEY_STORED, KEY_ENVIRONMENT };
const char *key_from_name(enum key_from f); /* "none", "keyFile", … */

struct key_ask {
	const char *name;                 /* the provider's */
	const char *base_url;             /* where it would be sent */
	const struct provider_kind *kind; /* NULL none */
	const char *key_file, *key_env;   /* as configured; NULL none */
	const char *key_dir;              /* DATA/keys; NULL none */
};

struct key_found {
	enum key_from from;
	char *key;       /* NULL none; key_found_release wipes it */
	char where[400]; /* "the environment variable OPENAI_API_KEY"; "" nowhere */
	char note[400];  /* why one that is there is not used; "" nothing */
};
/* ERR_CONFIG: a file that cannot be read, that others can read, or that holds no key. No key at all is fine. */
MUST_USE enum err keys_find(const struct key_ask *ask, struct key_found *out, struct errinfo *info);
void key_found_release(struct key_found *f);
/* What to do when there is none: "set OPENAI_API_KEY, or run: roost keys set openai". */
void keys_advice(const struct key_ask *ask, char *out, size_t cap);
/* "…abcd", or "" when that would tell too much of a short one. */
void key_ends(const char *key, char out[16]);

/* Empties the variables of all kinds, and `more` (NULL-terminated, may be NULL), in place: neither /proc/PID/environ nor
 * a child shows them. */
void keys_wipe_environment(const char *const *more);

/* The stored ones. A name is a provider's: letters, digits and - _. */
bool key_name_is_valid(const char *name);
/* Creates the directory, replaces what was there; durable when it returns. */
MUST_USE enum err keys_store(const char *key_dir, const char *name, const char *origin, struct str key,
			     struct errinfo *info);
MUST_USE enum err keys_remove(const char *key_dir, const char *name, struct errinfo *info); /* ERR_NOT_FOUND */
/* Calls `each` for every stored key in the names' order; a bad file has `bad` saying why, and origin "". */
void keys_each(const char *key_dir, void (*each)(void *ctx, const char *name, const char *origin, const char *bad),
	       void *ctx);

#endif
