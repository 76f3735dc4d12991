#include "gear/device.h"

#include <endian.h>
#include <stdarg.h>

#define FRAME_MAX_BYTES ((size_t)16 << 20)
#define OPCODE_TEXT 1
#define OPCODE_CLOSE 8
#define OPCODE_PING 9
#define OPCODE_PONG 10
#define CONNECT_LIMIT_NS (60 * NS_PER_SEC)
#define SETTLE_NS (NS_PER_SEC / 4)

static struct device *device_of(struct conn *c) { return CONTAINER_OF(c, struct device, conn); }

/* ---- frames out ------------------------------------------------------------------------------------------------- */

static void frame_write(struct device *d, unsigned opcode, struct str text)
{
	static struct rng rng;
	unsigned char head[14] = {(unsigned char)(0x80 | opcode)};
	size_t n = 2;
	struct buf *out = conn_out(&d->conn);

	if (!rng.s[0]) rng_seed(&rng, 1);
	if (text.n < 126) {
		head[1] = (unsigned char)(0x80 | text.n);
	} else if (text.n < 65536) {
		head[1] = 0x80 | 126;
		uint16_t len = htobe16((uint16_t)text.n);
		memcpy(head + 2, &len, 2);
		n = 4;
	} else {
		head[1] = 0x80 | 127;
		uint64_t len = htobe64(text.n);
		memcpy(head + 2, &len, 8);
		n = 10;
	}
	uint32_t mask = (uint32_t)rng_next(&rng);
	memcpy(head + n, &mask, 4);
	if (!buf_add(out, head, n + 4) || !buf_reserve(out, text.n))
		die(70, "the connection does not take what is sent");
	uint64_t wide = (uint64_t)mask << 32 | mask;
	char *to = out->p + out->n;
	size_t i = 0;
	for (; i + 8 <= text.n; i += 8) {
		uint64_t word;
		memcpy(&word, text.p + i, 8);
		word ^= wide;
		memcpy(to + i, &word, 8);
	}
	for (; i < text.n; i++) to[i] = (char)(text.p[i] ^ (char)(mask >> (8 * (i & 3))));
	out->n += text.n;
}

void device_send(struct device *d, struct str text)
{
	if (d->conn.fd >= 0) frame_write(d, OPCODE_TEXT, text);
}

void device_sendf(struct device *d, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text)) die(70, "a frame longer than %zu bytes", sizeof(text));
	device_send(d, str_n(text, (size_t)n));
}

/* ---- frames in -------------------------------------------------------------------------------------------------- */

struct str frame_field(struct str frame, const char *key)
{
	char quoted[64];
	int n = snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	const char *p = memmem(frame.p, frame.n, quoted, (size_t)n);

	if (!p) return STR_NONE;
	p += n;
	const char *end = frame.p + frame.n, *q = p;
	if (p < end && *p == '"') {
		for (q = ++p; q < end && *q != '"'; q++)
			if (*q == '\\') q++;
	} else {
		while (q < end && *q != ',' && *q != '}' && *q != ']') q++;
	}
	return str_n(p, (size_t)(MIN(q, end) - p));
}

int64_t frame_int(struct str frame, const char *key, int64_t otherwise)
{
	int64_t out;

	return str_to_int(frame_field(frame, key), &out) ? out : otherwise;
}

bool frame_is(struct str frame, const char *type) { return str_eq(frame_field(frame, "type"), str_c(type)); }

static void frame_take(struct device *d, struct str text)
{
	if (frame_is(text, "error")) {
		if (!d->on_error) die(70, "the daemon answered: %.*s", STR_ARG(text));
		d->on_error(d, text);
	} else if (d->state == DEVICE_READY) {
		if (d->on_frame) d->on_frame(d, text);
	} else if (!frame_is(text, "device:welcome")) {
		die(70, "instead of device:welcome came: %.*s", STR_ARG(text));
	} else if (d->cursor[0]) {
		d->state = DEVICE_READY;
	} else {
		if (!str_copy(frame_field(text, "cursor"), d->cursor, sizeof(d->cursor)) || !d->cursor[0])
			die(70, "a welcome without a cursor: %.*s", STR_ARG(text));
		d->state = DEVICE_CLOSED;
		conn_close(&d->conn);
	}
}

static void device_lost(struct device *d)
{
	d->state = DEVICE_CLOSED;
	conn_close(&d->conn);
	d->on_lost(d);
}

/* Takes one frame from the front; false when it is not whole yet. */
static bool frame_parse(struct device *d, struct str *in)
{
	const unsigned char *p = (const unsigned char *)in->p;
	size_t head = 2;

	if (in->n < 2) return false;
	if (!(p[0] & 0x80) || p[0] & 0x70 || p[1] & 0x80)
		die(70, "a frame that no server should send: %02x %02x", p[0], p[1]);
	uint64_t len = p[1] & 0x7f;
	if (len == 126) {
		if (in->n < 4) return false;
		len = (uint64_t)p[2] << 8 | p[3];
		head = 4;
	} else if (len == 127) {
		if (in->n < 10) return false;
		memcpy(&len, p + 2, 8);
		len = be64toh(len);
		head = 10;
	}
	if (len > FRAME_MAX_BYTES) die(70, "a frame of %llu bytes", (unsigned long long)len);
	if (in->n < head + len) return false;
	struct str payload = str_n(in->p + head, len);
	switch (p[0] & 0xf) {
	case OPCODE_TEXT: frame_take(d, payload); break;
	case OPCODE_PING: frame_write(d, OPCODE_PONG, payload); break;
	case OPCODE_CLOSE:
		if (!d->on_lost)
			die(70, "the daemon closed a connection: %.*s", (int)(len > 2 ? len - 2 : 0), payload.p + 2);
		device_lost(d);
		return false;
	default: break;
	}
	d->frames++;
	*in = str_n(in->p + head + len, in->n - head - len);
	return true;
}

static bool upgrade_take(struct device *d, struct str *in)
{
	const char *end = memmem(in->p, in->n, "\r\n\r\n", 4);

	if (!end) return false;
	if (!str_starts(*in, STR("HTTP/1.1 101 "))) die(70, "the daemon did not upgrade: %.*s", STR_ARG(*in));
	*in = str_n(end + 4, (size_t)(in->p + in->n - end - 4));
	d->state = DEVICE_GREETING;
	device_sendf(d,
		     "{\"type\":\"device:hello\",\"deviceId\":\"%s\",\"platform\":\"bench\",\"name\":\"%s\","
		     "\"appVersion\":\"1\",\"protocol\":1%s%s%s}",
		     d->id, d->id, d->cursor[0] ? ",\"cursor\":\"" : "", d->cursor, d->cursor[0] ? "\"" : "");
	return true;
}

static void device_bytes(struct conn *c, struct str bytes)
{
	struct device *d = device_of(c);
	struct str in = bytes;

	if (!bytes.p) {
		if (d->state == DEVICE_CLOSED) return;
		if (!d->on_lost) die(69, "the daemon closed the connection of device %s", d->id);
		buf_release(&d->in);
		device_lost(d);
		return;
	}
	d->bytes += (int64_t)bytes.n;
	if (d->in.n) {
		if (!buf_add_str(&d->in, bytes)) die(70, "a frame longer than %zu bytes", FRAME_MAX_BYTES);
		in = buf_str(&d->in);
	}
	if (d->state != DEVICE_OPENING || upgrade_take(d, &in))
		while (d->state != DEVICE_CLOSED && frame_parse(d, &in)) continue;
	if (d->state == DEVICE_CLOSED) {
		buf_release(&d->in);
	} else if (d->in.n) {
		if (in.n) buf_drop(&d->in, d->in.n - in.n);
		else buf_release(&d->in);
	} else if (in.n && !buf_add_str(&d->in, in)) {
		die(70, "a frame longer than %zu bytes", FRAME_MAX_BYTES);
	}
}

/* ---- many devices ----------------------------------------------------------------------------------------------- */

struct device *devices_load(const char *path, size_t *out_n)
{
	struct device *all = NULL;
	size_t n = 0, cap = 0;
	FILE *f = fopen(path, "re");
	char line[512];

	if (!f) die(66, "cannot read %s", path);
	while (fgets(line, sizeof(line), f)) {
		if (n == cap) {
			cap = cap ? cap * 2 : 64;
			all = xrealloc(all, xmul(cap, sizeof(*all)));
		}
		struct device *d = &all[n];
		*d = (struct device){.in = BUF_INIT(FRAME_MAX_BYTES), .state = DEVICE_CLOSED};
		if (sscanf(line, "%63s %63s %127s", d->user, d->id, d->token) != 3)
			die(65, "%s: line %zu", path, n + 1);
		n++;
	}
	fclose(f);
	if (!n) die(65, "%s names no device", path);
	*out_n = n;
	return all;
}

void device_connect(struct loop *l, struct device *d, int port)
{
	d->state = DEVICE_OPENING;
	d->conn.on_bytes = device_bytes;
	conn_connect(l, &d->conn, port);
	if (!buf_addf(
		    conn_out(&d->conn),
		    "GET /api/v1/devices/socket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\n"
		    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YmVuY2htYXJrIGRldmljZQ==\r\n"
		    "Sec-WebSocket-Protocol: roost.v1\r\nAuthorization: Bearer %s\r\n\r\n",
		    port, d->token))
		die(70, "no room for a request");
}

void devices_connect(struct loop *l, struct device *d, size_t n, int port, size_t at_once)
{
	int64_t deadline_ns = now_ns() + CONNECT_LIMIT_NS;
	size_t ready = 0, begun = 0;

	while (ready < n) {
		while (begun < n && begun - ready < at_once) device_connect(l, &d[begun++], port);
		loop_round(l, deadline_ns);
		for (size_t i = ready; i < begun; i++) /* has learned its cursor */
			if (d[i].state == DEVICE_CLOSED) device_connect(l, &d[i], port);
		while (ready < begun && d[ready].state == DEVICE_READY) ready++;
		if (now_ns() > deadline_ns) die(75, "%zu of %zu devices were welcomed in a minute", ready, n);
	}
	for (int64_t end_ns = now_ns() + SETTLE_NS; now_ns() < end_ns;) loop_round(l, end_ns);
}

void devices_close(struct device *d, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		d[i].state = DEVICE_CLOSED;
		conn_close(&d[i].conn);
		buf_release(&d[i].in);
	}
}

void devices_wait(struct loop *l, int64_t limit_ns, bool (*is_done)(void *ctx), void *ctx, const char *what)
{
	int64_t deadline_ns = now_ns() + limit_ns;
	while (!is_done(ctx)) {
		loop_round(l, deadline_ns);
		if (now_ns() > deadline_ns && !is_done(ctx)) die(75, "%s: still waiting", what);
	}
}

void device_keep_cursor(struct device *d, struct str frame)
{
	static const char key[] = "\"cursor\":\"";
	const char *last = NULL, *at = frame.p, *end = frame.p + frame.n;
	while ((at = memmem(at, (size_t)(end - at), key, sizeof(key) - 1))) last = at += sizeof(key) - 1;
	const char *quote = last ? memchr(last, '"', (size_t)(end - last)) : NULL;
	if (!quote || !str_copy(str_n(last, (size_t)(quote - last)), d->cursor, sizeof(d->cursor)))
		die(70, "changes without a cursor: %.*s", STR_ARG(frame));
}
