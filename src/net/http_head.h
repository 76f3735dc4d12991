/* What the parts of a request's head mean, as pure functions: target, Host, Origin, Accept-Encoding. */
#ifndef ROOST_NET_HTTP_HEAD_H
#define ROOST_NET_HTTP_HEAD_H

#include "base/arena.h"

/* "host[:port]" of a Host header or an authority. The name is without the brackets of an IPv6 address. */
struct authority {
	struct str name;
	uint16_t port; /* 0 when there was none */
	bool is_ipv6;  /* stood in brackets */
};
bool authority_parse(struct str s, struct authority *out);
/* IP literals of any address and localhost are fine, and the names in `hosts` (NULL-terminated, may be NULL). An IP
 * literal cannot be rebound by somebody else's DNS, a name can. */
bool host_is_allowed(struct str host, const char *const *hosts);
/* An Origin is fine when it is that of the request itself, or one of `origins`. "null" never is. */
bool origin_is_allowed(struct str origin, struct str host, bool is_secure, const char *const *origins);

/* Splits and decodes a request target ("/a%20b?x=1", or absolute with the same authority as `host`). The path is
 * decoded into the arena; the query is checked but not decoded. Refused: bad escapes, NUL, controls, an encoded slash,
 * "..", invalid UTF-8, a fragment. */
MUST_USE enum err target_parse(struct str target, struct str host, struct arena *a, struct str *path, struct str *query,
			       struct errinfo *info);
/* The value of a query parameter, decoded into the arena ("+" is a space); STR_NONE when absent. */
struct str query_get(struct str query, struct str name, struct arena *a);
/* The value of a cookie in a Cookie header; STR_NONE when absent. */
struct str cookie_get(struct str header, struct str name);

enum encoding { ENCODING_IDENTITY, ENCODING_GZIP, ENCODING_ZSTD };
/* The best encoding an Accept-Encoding header takes. */
enum encoding encoding_accepted(struct str header);

#endif
