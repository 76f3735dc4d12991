/* Providers that no configuration names: those of `--provider NAME=URL`, and, when none is configured, each kind whose key
 * is found (keys.h). They stand in the configuration afterwards like any other. */
#ifndef ROOST_HOST_IMPLIED_H
#define ROOST_HOST_IMPLIED_H

#include "host/config.h"

/* Once, when the data directory is settled; also tells every provider where its stored key would be. `lines` is
 * NULL-terminated or NULL; those come first, so that the first one's model is the default. ERR_USAGE: a line that is
 * none; ERR_CONFIG: a key that is there but cannot be used. */
MUST_USE enum err implied_providers(struct config *c, const char *const *lines, struct errinfo *info);

#endif
