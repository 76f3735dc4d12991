/* One HTTP/1.1 request, parsed as it arrives: llhttp without any of its leniencies, and the rules it leaves to us.
 *
 * Pure: bytes in, events out. The head is kept (within its limit), the body is handed through. A parser reads exactly
 * one request and leaves the bytes behind it alone. */
#ifndef ROOST_NET_HTTP_PARSE_H
#define ROOST_NET_HTTP_PARSE_H

#include <llhttp.h>

#include "base/arena.h"
#include "base/buf.h"

struct http_field {
	uint32_t name, name_n, value, value_n; /* in http_parse.text; the name in lower case */
};

struct http_parse {
	llhttp_t ll;
	struct buf text;           /* target, then names and values */
	struct http_field *fields; /* the head's */
	uint32_t nfields, fields_cap;
	uint32_t target_n;          /* bytes of the target, at the start of text */
	size_t head_max, head_n;    /* limit and bytes of the head so far */
	int64_t body_n, body_raw_n; /* bytes of the body, and of it as it was framed */
	bool is_head, is_end;       /* the head, the whole request is here */
	bool is_paused;             /* the last call ended at an event */
	bool in_target;             /* nothing behind the target has come */
	bool in_name;               /* a field's name is coming in */
	void (*body)(void *ctx, struct str piece);
	void *ctx;
};

enum http_parse_event { HTTP_PARSE_MORE, HTTP_PARSE_HEAD, HTTP_PARSE_END, HTTP_PARSE_BAD };

void http_parse_init(struct http_parse *p, size_t head_max, void (*body)(void *ctx, struct str piece), void *ctx);
void http_parse_release(struct http_parse *p);
/* Reads up to the next event; *used tells how far. After HEAD call again for the body and END, which come even when
 * there is no body. BAD fills info: malformed, 414 or 431. */
enum http_parse_event http_parse(struct http_parse *p, const char *data, size_t n, size_t *used, struct errinfo *info);

struct str http_parse_target(const struct http_parse *p);
struct str http_parse_field(const struct http_parse *p,
			    struct str lower_name); /* the first of that name, or STR_NONE */
unsigned http_parse_count(const struct http_parse *p, struct str lower_name);
/* Whether a list header has this token ("Connection: keep-alive, Upgrade"), in any case. */
bool http_parse_has_token(const struct http_parse *p, struct str lower_name, struct str token);
bool http_parse_has_body(const struct http_parse *p); /* valid from HEAD on */

#endif
