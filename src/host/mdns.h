/* Being found on the local network: the service _roost._tcp through Avahi, the system's mDNS daemon.
 *
 * Avahi's client asks over D-Bus and waits for its answers, so it has a thread of its own, which shares nothing with the
 * loop and is begun only when there is something to publish. Without Avahi or D-Bus the daemon runs all the same: that is
 * noted once in the journal (mdns.unavailable) and tried again every MDNS_RETRY_MS, as it is when Avahi ends later. A name
 * that is taken gets a number.
 *
 * TXT: version (of Roost), protocol (1), tls (0 or 1), path (/api/v1). */
#ifndef ROOST_HOST_MDNS_H
#define ROOST_HOST_MDNS_H

#include "event/journal.h"
#include "host/config.h"

#define MDNS_TYPE "_roost._tcp"
#define MDNS_RETRY_MS 10000

/* The place among c->listen of the address to publish: the first beyond loopback; -1 none, or switched off (`mdns`). */
int mdns_wanted(const struct config *c);

#define MDNS_TXT_MAX 8
struct mdns_txt {
	char text[MDNS_TXT_MAX][64]; /* "key=value" */
	size_t n;
};
void mdns_txt_make(struct mdns_txt *t, const char *version, bool tls);

struct mdns;
/* Publishes "Roost on <host>" at this port until mdns_stop. `j` (or NULL) must outlive it. */
struct mdns *mdns_publish(int port, bool tls, struct journal *j);
/* Withdraws it. Waits at most a second: if Avahi does not answer, the system withdraws it when the process has ended. */
void mdns_stop(struct mdns *m); /* NULL does nothing */

/* ---- looking for others ----------------------------------------------------------------------------------------- */

struct mdns_found {
	struct str name, host, address; /* address: without brackets, with its scope where it needs one */
	int port;
	bool is_v6, tls;
	struct str version, path; /* "" not said */
	int64_t protocol;         /* 0 not said */
};
/* Calls `found` for each daemon and address that shows itself within wait_ms. Blocks. ERR_UNAVAILABLE without Avahi. */
MUST_USE enum err mdns_browse(int64_t wait_ms, void (*found)(void *ctx, const struct mdns_found *f), void *ctx,
			      struct errinfo *info);

#endif
