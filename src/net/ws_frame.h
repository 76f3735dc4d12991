/* The WebSocket frame layer (RFC 6455 §5): bytes in, events out; and the other way round.
 *
 * Pure: no socket, no clock. It serves both ends, a server (peers must mask) and a client (peers must not). The design
 * is at the top of ws_frame.c. */
#ifndef ROOST_NET_WS_FRAME_H
#define ROOST_NET_WS_FRAME_H

#include "base/base.h"
#include "base/utf8.h"

struct ws_zip;

enum ws_op { WS_CONTINUE = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
#define WS_RSV1 0x40 /* set in the first byte of a compressed message */
#define WS_HEAD_MAX 14
#define WS_CONTROL_MAX 125

/* Close codes (RFC 6455 §7.4.1 and the IANA registry) that Roost sends or reports. */
enum {
	WS_CODE_NORMAL = 1000,
	WS_CODE_GOING_AWAY = 1001,
	WS_CODE_PROTOCOL = 1002,
	WS_CODE_UNSUPPORTED = 1003,
	WS_CODE_NONE = 1005, /* reported, never sent: a close frame without a code */
	WS_CODE_LOST = 1006, /* reported, never sent: no close frame */
	WS_CODE_BAD_DATA = 1007,
	WS_CODE_POLICY = 1008,
	WS_CODE_TOO_BIG = 1009,
	WS_CODE_TRY_LATER = 1013,
};
bool ws_code_is_valid(unsigned code); /* may stand in a close frame */

/* Memory of unfinished messages, of all connections together. */
struct ws_budget {
	size_t used, max;
};

/* What holds for every connection of one server or client. */
struct ws_rules {
	size_t max_bytes;         /* one message, after decompression */
	struct ws_zip *zip;       /* inflates for connections that negotiated it; may be NULL */
	struct ws_budget *budget; /* may be NULL */
	bool is_client;           /* we are the client: frames that reach us must not be masked */
	bool late_utf8; /* checks text only when its message is whole: the conformance runner's planted fault */
};

struct ws_parser {
	const struct ws_rules *rules;
	char *msg;                 /* the unfinished message: one block, NULL while there is none */
	char *control;             /* a control frame's payload that came in pieces; usually NULL */
	uint64_t left;             /* payload bytes of the present frame still to come */
	uint32_t msg_n, msg_cap;   /* used and allocated bytes of msg */
	uint8_t head[WS_HEAD_MAX]; /* the present frame's header; its mask is the last four bytes */
	uint8_t head_n, head_need; /* bytes of it that came, and that it has as far as is known */
	uint8_t mask_phase;        /* index of the mask byte for the next payload byte */
	uint8_t control_n;         /* bytes in control */
	uint8_t msg_op;            /* WS_TEXT or WS_BINARY while a message is open, else 0 */
	bool in_payload;           /* the header is complete */
	bool is_deflate;           /* negotiated: RSV1 may be set */
	bool is_packed;            /* the open message is compressed */
	bool is_given;             /* msg or control was handed out by the last event: release at the next call */
	bool is_over;              /* after a close frame or a failure nothing is read any more */
	struct utf8 utf8;          /* of the open text message */
};

enum ws_what { WS_MORE, WS_GOT_MESSAGE, WS_GOT_PING, WS_GOT_PONG, WS_GOT_CLOSE, WS_FAILED };
struct ws_event {
	enum ws_what what;
	bool is_text;       /* of a message */
	uint16_t code;      /* WS_GOT_CLOSE: the peer's, or 1005; WS_FAILED: the one to close with */
	struct str payload; /* message, ping, pong; a close frame's reason. Valid until the next call */
	const char *why;    /* WS_FAILED: a sentence of at most 123 bytes */
};

void ws_parser_init(struct ws_parser *p, const struct ws_rules *rules, bool is_deflate);
void ws_parser_release(struct ws_parser *p);
/* Reads up to the next event and returns how many bytes it took; WS_MORE when it took all of them. `data` is unmasked
 * in place. Call again with the rest after each event. */
size_t ws_parse(struct ws_parser *p, char *data, size_t n, struct ws_event *ev);
/* What the last event handed out is not needed any more: between messages a connection holds no memory. */
void ws_parser_settle(struct ws_parser *p);
/* Nothing of a frame or message is waiting for more. */
bool ws_parser_is_idle(const struct ws_parser *p);

/* Writes the header of a whole message or control frame of n bytes; `mask` is NULL for a server. Returns its length. */
size_t ws_head(unsigned char out[WS_HEAD_MAX], unsigned first_byte, size_t n, const unsigned char mask[4]);
/* XORs p with the mask, which stands at `phase` for p[0]. */
void ws_mask(char *p, size_t n, const unsigned char mask[4], unsigned phase);
/* A Sec-WebSocket-Key out of 16 random bytes: 24 characters and a NUL. */
void ws_nonce_key(const unsigned char nonce[16], char out[25]);
/* The answer to a Sec-WebSocket-Key: 28 characters and a NUL; "", which answers nothing, when OpenSSL has no memory. */
void ws_accept_key(struct str key, char out[29]);

#endif
