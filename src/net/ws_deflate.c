#include "net/ws_deflate.h"

#include <zlib.h>

#define STEP_BYTES 16384      /* inflated at a time, so that a bomb is stopped at most this far past the limit */
#define KEEP_BYTES (64 << 10) /* memory kept between messages */

/* Every message ends with this empty block, which is not sent (RFC 7692 §7.2.1). */
static const char tail[4] = {0x00, 0x00, (char)0xff, (char)0xff};

struct ws_zip {
	z_stream inflate, deflate;
	struct buf out; /* the last result */
};

struct ws_zip *ws_zip_new(void)
{
	struct ws_zip *z = xcalloc(1, sizeof *z);
	buf_init(&z->out, BUF_NO_LIMIT);
	if (inflateInit2(&z->inflate, -15) != Z_OK ||
	    deflateInit2(&z->deflate, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		die(71, "zlib could not start");
	return z;
}

void ws_zip_free(struct ws_zip *z)
{
	if (z == NULL) return;
	inflateEnd(&z->inflate);
	deflateEnd(&z->deflate);
	buf_release(&z->out);
	free(z);
}

static void out_begin(struct ws_zip *z)
{
	if (z->out.cap > KEEP_BYTES) buf_release(&z->out);
	buf_clear(&z->out);
}

/* zlib's note that it stands between two blocks (inflate() in zlib.h, data_type). */
#define AT_BLOCK 128

/* Inflates one piece of input to its end. */
static enum ws_inflated inflate_piece(struct ws_zip *z, const char *p, size_t n, size_t max)
{
	z_stream *s = &z->inflate;
	s->next_in = (z_const Bytef *)(uintptr_t)p;
	s->avail_in = (uInt)n;
	for (;;) {
		buf_reserve(&z->out, STEP_BYTES);
		s->next_out = (Bytef *)z->out.p + z->out.n;
		s->avail_out = STEP_BYTES;
		int r = inflate(s, Z_SYNC_FLUSH);
		z->out.n += STEP_BYTES - s->avail_out;
		if (z->out.n > max) return WS_INFLATE_TOO_BIG;
		if (r == Z_STREAM_END) {
			/* A block marked as the last one: legal, and more blocks may follow (RFC 7692 §7.2.3.4). */
			if (inflateReset(s) != Z_OK) return WS_INFLATE_BAD;
			if (s->avail_in == 0) return WS_INFLATED;
		} else if (r != Z_OK && r != Z_BUF_ERROR) {
			return WS_INFLATE_BAD;
		} else if (s->avail_out > 0) {
			return s->avail_in == 0 ? WS_INFLATED : WS_INFLATE_BAD;
		}
	}
}

enum ws_inflated ws_zip_inflate(struct ws_zip *z, struct str in, size_t max, struct str *out)
{
	out_begin(z);
	if (inflateReset(&z->inflate) != Z_OK) return WS_INFLATE_BAD;
	enum ws_inflated r = inflate_piece(z, in.p, in.n, max);
	if (r == WS_INFLATED) r = inflate_piece(z, tail, sizeof tail, max);
	if (r == WS_INFLATED && (z->inflate.data_type & AT_BLOCK) == 0) r = WS_INFLATE_BAD; /* cut off inside a block */
	*out = buf_str(&z->out);
	return r;
}

bool ws_zip_deflate(struct ws_zip *z, struct str in, struct str *out)
{
	z_stream *s = &z->deflate;
	out_begin(z);
	if (deflateReset(s) != Z_OK) return false;
	buf_reserve(&z->out, deflateBound(s, in.n) + 16);
	s->next_in = (z_const Bytef *)(uintptr_t)in.p;
	s->avail_in = (uInt)in.n;
	s->next_out = (Bytef *)z->out.p;
	s->avail_out = (uInt)z->out.cap;
	if (deflate(s, Z_SYNC_FLUSH) != Z_OK || s->avail_in > 0) return false;
	size_t n = z->out.cap - s->avail_out;
	if (n < sizeof tail || memcmp(z->out.p + n - sizeof tail, tail, sizeof tail) != 0) return false;
	z->out.n = n - sizeof tail;
	*out = buf_str(&z->out);
	return out->n < in.n;
}

/* ---- negotiation: extension *( ";" param [ "=" value ] ), offers separated by commas ------------------------------ */

static struct str trim(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) s = str_n(s.p + 1, s.n - 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
	return s;
}

/* Cuts the part before the next `sep` off *rest. */
static struct str cut(struct str *rest, char sep)
{
	const char *end = rest->n > 0 ? memchr(rest->p, sep, rest->n) : NULL;
	size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n;
	struct str part = str_n(rest->p, n);
	*rest = end != NULL ? str_n(end + 1, rest->n - n - 1) : STR_NONE;
	return trim(part);
}

enum value { NO_VALUE, BITS, OPTIONAL_BITS };
static const struct {
	struct str name;
	enum value value;
	int64_t bits_min; /* the smallest window we accept */
} params[] = {
	{{"server_no_context_takeover", 26}, NO_VALUE, 0},
	{{"client_no_context_takeover", 26}, NO_VALUE, 0},
	/* A frame is deflated once for everybody, with the largest window; who wants a smaller one gets none. */
	{{"server_max_window_bits", 22}, BITS, 15},
	{{"client_max_window_bits", 22}, OPTIONAL_BITS, 8},
};

static bool param_is_fine(struct str param, unsigned *seen)
{
	struct str value = param, name = cut(&value, '=');
	for (unsigned i = 0; i < ARRAY_LEN(params); i++) {
		if (!str_eq_nocase(name, params[i].name)) continue;
		int64_t bits;
		if (*seen & 1u << i) return false;
		*seen |= 1u << i;
		if (value.p == NULL) return params[i].value != BITS;
		value = trim(value);
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = str_n(value.p + 1, value.n - 2);
		return params[i].value != NO_VALUE && value.n > 0 && value.p[0] != '0' && str_to_int(value, &bits) &&
		       bits >= params[i].bits_min && bits <= 15;
	}
	return false;
}

bool ws_zip_is_offered(struct str header)
{
	while (header.n > 0) {
		struct str offer = cut(&header, ',');
		unsigned seen = 0;
		if (!str_eq_nocase(cut(&offer, ';'), STR("permessage-deflate"))) continue;
		bool fine = true;
		while (fine && offer.p != NULL) fine = param_is_fine(cut(&offer, ';'), &seen);
		if (fine) return true;
	}
	return false;
}
