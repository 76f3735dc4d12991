/* roost serve: opens the store, the journal, the providers and the listeners, runs the loop until SIGINT or SIGTERM, and
 * closes everything in order. Prints `listening on URL` for each address on stdout when it is ready, and, while no device
 * is paired yet and it listens on loopback, a pairing link, its code and a QR code. Returns the exit status; what went
 * wrong was said on stderr. */
#ifndef ROOST_SERVER_DAEMON_H
#define ROOST_SERVER_DAEMON_H

#include "host/config.h"

int daemon_run(const struct config *c, struct errinfo *info);

#endif
