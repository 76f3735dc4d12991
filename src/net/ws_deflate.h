/* permessage-deflate (RFC 7692), always without context takeover in both directions.
 *
 * One deflater and one inflater serve all connections: without takeover a message needs no state of earlier ones, so a
 * connection costs nothing for it. Loop thread only. */
#ifndef ROOST_NET_WS_DEFLATE_H
#define ROOST_NET_WS_DEFLATE_H

#include "base/buf.h"

struct ws_zip;

#define WS_ZIP_MIN_BYTES 256 /* smaller messages are sent as they are */
#define WS_ZIP_ANSWER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

struct ws_zip *ws_zip_new(void);
void ws_zip_free(struct ws_zip *z);

/* Whether a Sec-WebSocket-Extensions header holds an offer that WS_ZIP_ANSWER answers. */
bool ws_zip_is_offered(struct str header);

enum ws_inflated { WS_INFLATED, WS_INFLATE_BAD, WS_INFLATE_TOO_BIG };
/* Inflates a whole message, in steps, never past `max` bytes. *out is valid until the next call. */
enum ws_inflated ws_zip_inflate(struct ws_zip *z, struct str in, size_t max, struct str *out);
/* Deflates a whole message; false when that does not make it smaller. *out is valid until the next call. */
bool ws_zip_deflate(struct ws_zip *z, struct str in, struct str *out);

#endif
