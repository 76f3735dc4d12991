/* How a frame is read.
 *
 *   byte 0       FIN(1) RSV1 RSV2 RSV3 opcode(4)
 *   byte 1       MASK(1) length(7): 0…125, or 126: the next 2 bytes are the length, or 127: the next 8
 *   0, 2, 8      the longer length, big-endian; the shortest form that fits is the only legal one
 *   0, 4         the mask, from clients only
 *   payload      XORed with the mask
 *
 * Every rule is judged at the first byte that can break it: RSV bits, opcode and fragmentation at byte 0; masking and
 * the size of control frames at byte 1; the length, against the limit, when its last byte is there. So a frame that is
 * declared too large is refused (1009) before any of its payload is kept, and text is checked byte by byte as it comes,
 * across frames too: bad UTF-8 closes the connection in the middle of the frame, not after a megabyte more.
 *
 * Where the payload goes. A message that is one uncompressed frame and lies in `data` as a whole is handed out right
 * there: no copy, no memory. Anything else is gathered in one contiguous block that grows by an eighth. A block has no
 * cost per fragment, which is why there is no limit on the number of fragments: a message sent a byte at a time holds
 * at most 1.125 times its bytes. The block is counted against a budget that all connections share; who would pass it
 * is told to try later (1013). Between messages a connection holds no memory at all.
 *
 * Compressed messages are gathered compressed (so within the same limit), and inflated when whole with the one inflater
 * the process has: a connection in the middle of a compressed message holds no zlib state. Their text is therefore
 * checked at the end, not byte by byte.
 *
 * Control frames may stand between fragments. One that is split over two reads is gathered in a block of its own. */
#include "net/ws_frame.h"

#include <openssl/evp.h>

#include "net/ws_deflate.h"

#define FIN 0x80
#define RSV 0x70
#define MASKED 0x80

bool ws_code_is_valid(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

void ws_parser_init(struct ws_parser *p, const struct ws_rules *rules, bool is_deflate)
{
	memset(p, 0, sizeof *p);
	p->rules = rules;
	p->is_deflate = is_deflate;
	p->head_need = 2;
}

static void drop_message(struct ws_parser *p)
{
	if (p->rules->budget != NULL) p->rules->budget->used -= p->msg_cap;
	free(p->msg);
	p->msg = NULL;
	p->msg_n = p->msg_cap = 0;
}

static void drop_control(struct ws_parser *p)
{
	free(p->control);
	p->control = NULL;
	p->control_n = 0;
}

void ws_parser_release(struct ws_parser *p)
{
	drop_message(p);
	drop_control(p);
}

bool ws_parser_is_idle(const struct ws_parser *p) { return p->is_over || (p->head_n == 0 && p->msg_op == 0); }

static void fail(struct ws_parser *p, struct ws_event *ev, uint16_t code, const char *why)
{
	p->is_over = true;
	ev->what = WS_FAILED;
	ev->code = code;
	ev->why = why;
	ws_parser_release(p);
}

static unsigned op_of(const struct ws_parser *p) { return p->head[0] & 0x0fu; }
static bool is_control(const struct ws_parser *p) { return (p->head[0] & 8u) != 0; }
static bool is_final(const struct ws_parser *p) { return (p->head[0] & FIN) != 0; }

/* Byte 0. */
static const char *check_first(const struct ws_parser *p)
{
	unsigned b = p->head[0], op = op_of(p);
	if (op > WS_PONG || (op > WS_BINARY && op < WS_CLOSE)) return "reserved opcode";
	if (is_control(p)) {
		if (b & RSV) return "reserved bits are set in a control frame";
		return is_final(p) ? NULL : "a control frame must not be fragmented";
	}
	if (op == WS_CONTINUE) {
		if (b & RSV) return "reserved bits are set in a continuation";
		return p->msg_op != 0 ? NULL : "a continuation without a message to continue";
	}
	if ((b & RSV) != 0 && !((b & RSV) == WS_RSV1 && p->is_deflate)) return "reserved bits are set";
	return p->msg_op == 0 ? NULL : "a new message inside a fragmented one";
}

/* Byte 1. Sets how long the header is. */
static const char *check_second(struct ws_parser *p)
{
	unsigned len = p->head[1] & 0x7fu;
	bool masked = (p->head[1] & MASKED) != 0;
	if (masked == p->rules->is_client)
		return masked ? "a server's frame must not be masked" : "a client's frame must be masked";
	if (is_control(p) && len > WS_CONTROL_MAX) return "a control frame holds at most 125 bytes";
	p->head_need = (uint8_t)(2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (masked ? 4 : 0));
	return NULL;
}

/* The last byte of the length. */
static bool check_length(struct ws_parser *p, struct ws_event *ev)
{
	unsigned len = p->head[1] & 0x7fu;
	uint64_t n = 0;
	for (unsigned i = 2; i < (len == 126 ? 4u : 10u); i++) n = n << 8 | p->head[i];
	if (len < 126) n = len;
	if ((len == 126 && n < 126) || (len == 127 && n <= 0xffff)) {
		fail(p, ev, WS_CODE_PROTOCOL, "the length is not in its shortest form");
	} else if (n >> 63) {
		fail(p, ev, WS_CODE_PROTOCOL, "the length's highest bit is set");
	} else if (!is_control(p) && n > p->rules->max_bytes - p->msg_n) {
		fail(p, ev, WS_CODE_TOO_BIG, "the message is larger than the limit");
	}
	p->left = n;
	return !p->is_over;
}

static void begin_payload(struct ws_parser *p)
{
	unsigned op = op_of(p);
	p->in_payload = true;
	p->mask_phase = 0;
	if (op == WS_TEXT || op == WS_BINARY) {
		p->msg_op = (uint8_t)op;
		p->is_packed = (p->head[0] & WS_RSV1) != 0;
		p->utf8 = (struct utf8){0};
	}
}

/* Takes header bytes; false when it needs more of them or failed. */
static bool read_head(struct ws_parser *p, const char *data, size_t n, size_t *used, struct ws_event *ev)
{
	while (*used < n) {
		p->head[p->head_n++] = (uint8_t)data[(*used)++];
		const char *wrong = p->head_n == 1 ? check_first(p) : p->head_n == 2 ? check_second(p) : NULL;
		if (wrong != NULL) {
			fail(p, ev, WS_CODE_PROTOCOL, wrong);
			return false;
		}
		if (p->head_n < 2) continue;
		unsigned mask_n = p->rules->is_client ? 0 : 4;
		if (p->head_n + mask_n == p->head_need && !check_length(p, ev)) return false;
		if (p->head_n == p->head_need) {
			begin_payload(p);
			return true;
		}
	}
	return false;
}

static bool append_message(struct ws_parser *p, struct str piece, struct ws_event *ev)
{
	size_t need = p->msg_n + piece.n;
	if (need > p->msg_cap) {
		size_t cap = (need + need / 8 + 63) & ~(size_t)63, more = cap - p->msg_cap;
		struct ws_budget *b = p->rules->budget;
		if (b != NULL && more > b->max - MIN(b->used, b->max)) {
			fail(p, ev, WS_CODE_TRY_LATER, "too many unfinished messages; try again later");
			return false;
		}
		p->msg = xrealloc(p->msg, cap);
		p->msg_cap = (uint32_t)cap;
		if (b != NULL) b->used += more;
	}
	memcpy(p->msg + p->msg_n, piece.p, piece.n);
	p->msg_n += (uint32_t)piece.n;
	return true;
}

static bool check_text(struct ws_parser *p, struct str piece, struct ws_event *ev)
{
	if (utf8_check(&p->utf8, piece.p, piece.n) == piece.n) return true;
	fail(p, ev, WS_CODE_BAD_DATA, "the text is not valid UTF-8");
	return false;
}

/* The last frame of a message is here: `whole` is the payload, compressed or not. */
static void end_message(struct ws_parser *p, struct str whole, struct ws_event *ev)
{
	bool is_text = p->msg_op == WS_TEXT;
	if (p->is_packed) {
		enum ws_inflated r = ws_zip_inflate(p->rules->zip, whole, p->rules->max_bytes, &whole);
		if (r == WS_INFLATE_TOO_BIG) {
			fail(p, ev, WS_CODE_TOO_BIG, "the inflated message is larger than the limit");
			return;
		}
		if (r == WS_INFLATE_BAD) {
			fail(p, ev, WS_CODE_BAD_DATA, "the compressed data is corrupt");
			return;
		}
	}
	if (is_text && (p->is_packed || p->rules->late_utf8) && !check_text(p, whole, ev)) return;
	if (is_text && !utf8_complete(&p->utf8)) {
		fail(p, ev, WS_CODE_BAD_DATA, "the text ends inside a character");
		return;
	}
	p->msg_op = 0;
	p->is_given = true;
	ev->what = WS_GOT_MESSAGE;
	ev->is_text = is_text;
	ev->payload = whole;
}

static void end_close(struct ws_parser *p, struct str payload, struct ws_event *ev)
{
	if (payload.n == 1) {
		fail(p, ev, WS_CODE_PROTOCOL, "a close frame of one byte");
		return;
	}
	ev->code = WS_CODE_NONE;
	if (payload.n >= 2) {
		ev->code = (uint16_t)((unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1]);
		payload = str_n(payload.p + 2, payload.n - 2);
		if (!ws_code_is_valid(ev->code)) {
			fail(p, ev, WS_CODE_PROTOCOL, "a close code that must not be sent");
			return;
		}
		if (!utf8_is_valid(payload)) {
			fail(p, ev, WS_CODE_BAD_DATA, "the close reason is not valid UTF-8");
			return;
		}
	}
	p->is_over = true;
	ev->what = WS_GOT_CLOSE;
	ev->payload = payload;
	drop_message(p);
}

static void read_control(struct ws_parser *p, struct str piece, struct ws_event *ev)
{
	struct str whole = piece;
	if (p->left > 0 || p->control != NULL) {
		if (p->control == NULL) p->control = xmalloc(WS_CONTROL_MAX);
		memcpy(p->control + p->control_n, piece.p, piece.n);
		p->control_n = (uint8_t)(p->control_n + piece.n);
		whole = str_n(p->control, p->control_n);
	}
	if (p->left > 0) return;
	p->is_given = true;
	if (op_of(p) == WS_CLOSE) {
		end_close(p, whole, ev);
		return;
	}
	ev->what = op_of(p) == WS_PING ? WS_GOT_PING : WS_GOT_PONG;
	ev->payload = whole;
}

static void read_data(struct ws_parser *p, struct str piece, struct ws_event *ev)
{
	bool is_checked = p->msg_op == WS_TEXT && !p->is_packed && !p->rules->late_utf8;
	if (is_checked && !check_text(p, piece, ev)) return;
	bool is_end = p->left == 0 && is_final(p);
	if (is_end && p->msg == NULL) {
		end_message(p, piece, ev);
		return;
	}
	if (piece.n > 0 && !append_message(p, piece, ev)) return;
	if (is_end) end_message(p, str_n(p->msg, p->msg_n), ev);
}

void ws_parser_settle(struct ws_parser *p)
{
	if (!p->is_given) return;
	p->is_given = false;
	if (p->msg_op == 0) drop_message(p);
	drop_control(p);
}

size_t ws_parse(struct ws_parser *p, char *data, size_t n, struct ws_event *ev)
{
	size_t used = 0;
	*ev = (struct ws_event){.what = WS_MORE, .payload = STR_NONE};
	ws_parser_settle(p);
	if (p->is_over) return n;
	while (ev->what == WS_MORE) {
		if (!p->in_payload && !read_head(p, data, n, &used, ev)) return used;
		size_t k = (size_t)MIN(p->left, (uint64_t)(n - used));
		if (k == 0 && p->left > 0) return used;
		char *piece = data + used;
		if (!p->rules->is_client) {
			ws_mask(piece, k, p->head + p->head_need - 4, p->mask_phase);
			p->mask_phase = (uint8_t)((p->mask_phase + k) & 3);
		}
		used += k;
		p->left -= k;
		(is_control(p) ? read_control : read_data)(p, str_n(piece, k), ev);
		if (p->left == 0) {
			p->in_payload = false;
			p->head_n = 0;
			p->head_need = 2;
		}
	}
	return used;
}

size_t ws_head(unsigned char out[WS_HEAD_MAX], unsigned first_byte, size_t n, const unsigned char mask[4])
{
	size_t i = 2;
	unsigned ext = n < 126 ? 0 : n <= 0xffff ? 2 : 8;
	out[0] = (unsigned char)first_byte;
	out[1] = (unsigned char)((mask != NULL ? MASKED : 0) | (ext == 0 ? n : ext == 2 ? 126u : 127u));
	for (unsigned shift = ext * 8; shift > 0; shift -= 8) out[i++] = (unsigned char)((uint64_t)n >> (shift - 8));
	if (mask != NULL) {
		memcpy(out + i, mask, 4);
		i += 4;
	}
	return i;
}

void ws_mask(char *p, size_t n, const unsigned char mask[4], unsigned phase)
{
	unsigned char key[8];
	uint64_t k, w;
	size_t i = 0;
	for (unsigned j = 0; j < 8; j++) key[j] = mask[(phase + j) & 3];
	memcpy(&k, key, 8);
	for (; i + 8 <= n; i += 8) {
		memcpy(&w, p + i, 8);
		w ^= k;
		memcpy(p + i, &w, 8);
	}
	for (size_t j = 0; i < n; i++, j++) p[i] = (char)((unsigned char)p[i] ^ key[j]);
}

void ws_nonce_key(const unsigned char nonce[16], char out[25]) { EVP_EncodeBlock((unsigned char *)out, nonce, 16); }

void ws_accept_key(struct str key, char out[29])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 §1.3 */
	unsigned char text[64 + sizeof guid], digest[EVP_MAX_MD_SIZE];
	size_t n = MIN(key.n, (size_t)64);
	memcpy(text, key.p, n);
	memcpy(text + n, guid, sizeof guid - 1);
	out[0] = '\0';
	if (EVP_Digest(text, n + sizeof guid - 1, digest, NULL, EVP_sha1(), NULL) != 1) return;
	EVP_EncodeBlock((unsigned char *)out, digest, 20);
}
