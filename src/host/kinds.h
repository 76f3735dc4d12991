/* Kinds of providers: what need not be configured because everybody of the kind has it. A row gives the dialect, the
 * address, and the environment's name for the key. Whatever a configuration says itself wins. */
#ifndef ROOST_HOST_KINDS_H
#define ROOST_HOST_KINDS_H

#include "base/base.h"

struct provider_kind {
	const char *name; /* "anthropic" */
	const char *dialect;
	const char *base_url; /* "" none: it has to be configured */
	const char *path;     /* of the API, for an address that was given without one */
	const char *key_url;  /* where a key from the environment or a credential belongs; "" nowhere by itself */
	const char *env[2];   /* variables that hold the key, the first one that is set; NULL none */
	int port;             /* by which an address is recognised; 0 none */
	bool is_local;        /* it mostly runs on this machine or a private network */
};

/* Ends with a row without a name. */
extern const struct provider_kind provider_kinds[];
const struct provider_kind *kind_find(struct str name); /* NULL: there is none of the name */
/* Whose address this seems to be, by origin or port; never NULL: "compatible". */
const struct provider_kind *kind_guess(struct str url);
/* The same of an address that a person gave a name: a local kind's name says it where a bare address leaves it open. */
const struct provider_kind *kind_of_line(struct str name, struct str url, bool *by_name);
/* The address with the kind's path when it has none. Free it. */
char *kind_complete_url(const struct provider_kind *k, struct str url);

/* "https://api.example.org": scheme, host and port in small letters, without the scheme's own port. False: `url` is no
 * http or https URL, or too long. */
#define ORIGIN_MAX 300
bool url_origin(struct str url, char out[ORIGIN_MAX]);
bool same_origin(struct str a, struct str b);

#endif
