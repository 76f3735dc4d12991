/* The terminal as a device: its id, its credential and its place in the feed, kept between runs.
 *
 * They live in $XDG_STATE_HOME/roost/chat.json (mode 0600), an entry for each daemon, user and terminal: while one
 * terminal runs its entry is locked, and a second terminal takes the next or makes a new one, so two never push each
 * other out. For a daemon on this machine the operator's socket gives the credential; for another, a pairing code
 * does. */
#ifndef ROOST_CLI_IDENTITY_H
#define ROOST_CLI_IDENTITY_H

#include "cli/cli.h"

struct identity {
	char *at; /* the data directory, or the URL of a daemon elsewhere */
	bool is_url;
	char *user; /* name or id as given, "" the only user */
	char *device_id, *name;
	char *token;  /* "" none yet */
	char *cursor; /* "" none */
	size_t index; /* of the entry */
	int lock;     /* holds the entry */
};

/* Takes a free entry. */
MUST_USE enum err identity_take(struct cli *c, const char *url, const char *user, struct identity *out);
/* Gets a credential: from the operator's socket, or with a pairing code (NULL: ERR_UNAUTHORIZED tells to give one). */
MUST_USE enum err identity_prove(struct cli *c, struct identity *i, const char *code);
/* Writes the entry. */
MUST_USE enum err identity_save(struct cli *c, const struct identity *i);
void identity_release(struct identity *i);

#endif
