/* What kind of place an IP address is, for deciding whom the daemon may connect to. Pure. */
#ifndef ROOST_NET_ADDR_H
#define ROOST_NET_ADDR_H

#include <sys/socket.h>

enum addr_kind {
	ADDR_PUBLIC,
	ADDR_PRIVATE,   /* loopback, private networks, carrier-grade NAT (VPNs live there), this host */
	ADDR_FORBIDDEN, /* link-local (where clouds keep their metadata), multicast, reserved, not IP at all */
};

/* IPv4 inside IPv6 (mapped, compatible, NAT64, 6to4) counts as what it leads to. */
enum addr_kind addr_kind(const struct sockaddr *sa);

#endif
