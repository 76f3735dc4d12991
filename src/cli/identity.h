/* The terminal as a device: which file of libroost it uses, and how that gets its credential.
 *
 * The files lie in $XDG_STATE_HOME/roost/chat, one for each daemon, user and terminal. While one terminal runs it holds
 * its file, and a second terminal takes the next or makes a new one, so two never push each other out. Of the free ones
 * that comes first in which something still waits to be sent: a terminal that was killed leaves nothing behind for good.
 * For a daemon on this machine the operator's socket gives the credential; for another, a pairing code does. */
#ifndef ROOST_CLI_IDENTITY_H
#define ROOST_CLI_IDENTITY_H

#include <roost.h>

#include "cli/cli.h"

struct identity {
	char *at; /* the data directory, or the URL of a daemon elsewhere */
	bool is_url;
	char *user; /* name or id as given, "" the only user */
	char *name; /* of the device */
	roost *device;
};

/* The error that a function of libroost returned, with its sentence in *info (which may be NULL). */
enum err identity_err(int error, struct errinfo *info);
/* Opens a free file, not yet connected. Of `like`, loop, event, ctx and foreground are taken. */
MUST_USE enum err identity_open(struct cli *c, const char *url, const char *user, const roost_options *like,
				struct identity *out);
/* Gets a credential over the operator's socket, or asks for one with a pairing code, and connects. ERR_UNAUTHORIZED: a
 * daemon elsewhere and code NULL. With a code ROOST_EV_PAIRED tells how it went. */
MUST_USE enum err identity_prove(struct cli *c, struct identity *i, const char *code);
void identity_release(struct identity *i);

#endif
