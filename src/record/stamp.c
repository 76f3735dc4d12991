#include "record/stamp.h"

#include <inttypes.h>

#include "base/id.h"

#define HEAD_LEN (12 + 1 + 4)    /* time, dash, counter */
#define CUT_LEN (1 + HEAD_LEN)   /* '!' and the original head */
#define MS_MAX ((1LL << 48) - 1) /* what 12 digits hold */
#define COUNTER_MAX 0xffff

static bool parse_hex(struct str s, int64_t *out)
{
	int64_t v = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c >= '0' && c <= '9') v = v << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f') v = v << 4 | (c - 'a' + 10);
		else return false;
	}
	*out = v;
	return true;
}

/* "<12 hex>-<4 hex>" */
static bool parse_head(struct str s, int64_t *ms, int64_t *counter)
{
	return s.n == HEAD_LEN && s.p[12] == '-' && parse_hex(str_n(s.p, 12), ms) &&
	       parse_hex(str_n(s.p + 13, 4), counter);
}

struct parts {
	int64_t ms, counter;
	struct str head, device, original; /* original: the head before it was cut, STR_NONE when it was not */
};

static bool parse(struct str stamp, struct parts *out)
{
	int64_t ms, counter;
	*out = (struct parts){.original = STR_NONE};
	if (stamp.n < HEAD_LEN + 1 || stamp.n >= STAMP_CAP || stamp.p[HEAD_LEN] != '-') return false;
	out->head = str_n(stamp.p, HEAD_LEN);
	if (!parse_head(out->head, &out->ms, &out->counter)) return false;
	out->device = str_n(stamp.p + HEAD_LEN + 1, stamp.n - HEAD_LEN - 1);
	const char *cut = out->device.n > 0 ? memchr(out->device.p, '!', out->device.n) : NULL;
	if (cut != NULL) {
		out->device.n = (size_t)(cut - out->device.p);
		out->original = str_n(cut + 1, stamp.n - HEAD_LEN - 1 - out->device.n - 1);
		if (!parse_head(out->original, &ms, &counter)) return false;
	}
	return out->device.n == 0 || name_is_valid(out->device);
}

static size_t format(int64_t ms, int64_t counter, struct str device, char out[STAMP_CAP])
{
	int n = snprintf(out, STAMP_CAP, "%012" PRIx64 "-%04" PRIx64 "-%.*s", (uint64_t)ms, (uint64_t)counter,
			 (int)MIN(device.n, (size_t)NAME_MAX_LEN), device.n > 0 ? device.p : "");
	return (size_t)n;
}

/* The time and counter that come after `last`, not before ms. */
static void step(int64_t *ms, int64_t *counter, struct str last)
{
	struct parts p;
	*counter = 0;
	*ms = MIN(MAX(*ms, (int64_t)0), MS_MAX);
	if (last.n == 0 || !parse(last, &p) || p.ms < *ms) return;
	*ms = p.ms;
	*counter = p.counter + 1;
	if (*counter <= COUNTER_MAX) return;
	*counter = 0;
	*ms = MIN(p.ms + 1, MS_MAX);
}

size_t stamp_make(int64_t now_wall_ms, struct str last_seen, struct str device_id, char out[STAMP_CAP])
{
	int64_t counter;
	step(&now_wall_ms, &counter, last_seen);
	return format(now_wall_ms, counter, device_id, out);
}

bool stamp_is_valid(struct str stamp)
{
	struct parts p;
	return stamp.n == 0 || parse(stamp, &p);
}

int stamp_cmp(struct str a, struct str b) { return str_cmp(a, b); }

struct str stamp_identity(struct str stamp, char buf[STAMP_CAP])
{
	struct parts p;
	if (stamp.n == 0 || !parse(stamp, &p) || p.original.p == NULL) return stamp;
	int n = snprintf(buf, STAMP_CAP, "%.*s-%.*s", STR_ARG(p.original), STR_ARG(p.device));
	return str_n(buf, (size_t)n);
}

bool stamp_same(struct str a, struct str b)
{
	char x[STAMP_CAP], y[STAMP_CAP];
	return str_eq(a, b) || str_eq(stamp_identity(a, x), stamp_identity(b, y));
}

int64_t stamp_ms(struct str stamp)
{
	struct parts p;
	return parse(stamp, &p) ? p.ms : 0;
}

struct str stamp_device(struct str stamp)
{
	struct parts p;
	return parse(stamp, &p) ? p.device : STR("");
}

struct str stamp_cut(struct str stamp, int64_t limit_ms, struct str floor, struct arena *arena)
{
	struct parts p;
	char head[STAMP_CAP], text[STAMP_CAP];
	int64_t counter, ms = limit_ms;
	if (!parse(stamp, &p) || p.ms <= limit_ms) return stamp;
	step(&ms, &counter, stamp_cmp(floor, STR("")) > 0 ? floor : STR_NONE);
	size_t n = format(ms, counter, p.device, head);
	struct str original = p.original.p != NULL ? p.original : p.head;
	int len = snprintf(text, sizeof text, "%.*s!%.*s", (int)n, head, STR_ARG(original));
	return arena_str(arena, str_n(text, (size_t)len));
}
