#include "provider/rates.h"

#include "base/clock.h"
#include "provider/provider.h"

#define DAY_MS ((int64_t)86400000)
#define LIMIT_MAX ((int64_t)1000000000000) /* larger is none, and sums stay far from overflow */

const char *rate_name(enum rate r)
{
	static const char *const names[RATE_COUNT] = {"requests", "tokens", "input tokens", "output tokens"};
	return names[r];
}

/* ---- before anything is known ------------------------------------------------------------------------------------ */

struct rate_limits rates_usual(struct str base_url)
{
	static const struct {
		const char *prefix;
		struct rate_limits limits;
	} table[] = {
		{"https://api.anthropic.com", {{[RATE_REQUESTS] = 50, [RATE_TOKENS] = 40000}}},
		{"https://api.openai.com", {{[RATE_REQUESTS] = 60, [RATE_TOKENS] = 90000}}},
		{"https://generativelanguage.googleapis.com", {{[RATE_REQUESTS] = 60, [RATE_TOKENS] = 60000}}},
		{"https://api.x.ai", {{[RATE_REQUESTS] = 60, [RATE_TOKENS] = 60000}}},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str prefix = str_c(table[i].prefix);
		bool ends = base_url.n == prefix.n || (base_url.n > prefix.n && base_url.p[prefix.n] == '/');
		if (ends && str_starts(base_url, prefix)) return table[i].limits;
	}
	return (struct rate_limits){0};
}

/* ---- how long until it is full again ----------------------------------------------------------------------------- */

/* A unit's length in ms, 0 when `s` does not begin with one; *out_n is the length of its name. */
static double unit_ms(struct str s, size_t *out_n)
{
	/* Longer names first: "ms" is no minute. */
	static const struct {
		struct str name;
		double ms;
	} units[] = {
		{STR_INIT("ns"), 1e-6}, {STR_INIT("us"), 1e-3}, {STR_INIT("µs"), 1e-3}, {STR_INIT("ms"), 1},
		{STR_INIT("s"), 1e3},   {STR_INIT("m"), 6e4},   {STR_INIT("h"), 36e5},  {STR_INIT("d"), 864e5},
	};
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (!str_starts(s, units[i].name)) continue;
		*out_n = units[i].name.n;
		return units[i].ms;
	}
	return 0;
}

/* Digits with at most one point; the length of what was read, 0 when there is no number. */
static size_t read_number(struct str s, double *out)
{
	char text[24];
	size_t n = 0;
	while (n < s.n && ((s.p[n] >= '0' && s.p[n] <= '9') || s.p[n] == '.')) n++;
	char *end;
	if (n == 0 || !str_copy(str_n(s.p, n), text, sizeof text)) return 0;
	*out = strtod(text, &end);
	return *end == '\0' && end != text ? n : 0;
}

bool rates_duration(struct str s, int64_t *out_ms)
{
	double sum = 0, number = 0;
	bool first = true;
	if (s.n == 0) return false;
	while (s.n > 0) {
		size_t n = read_number(s, &number), unit = 0;
		if (n == 0) return false;
		s = str_n(s.p + n, s.n - n);
		double ms = s.n == 0 && first ? 1000 : unit_ms(s, &unit);
		if (ms <= 0) return false;
		s = str_n(s.p + unit, s.n - unit);
		sum += number * ms;
		first = false;
	}
	*out_ms = sum < (double)DAY_MS ? (int64_t)sum : DAY_MS;
	return true;
}

static int64_t until_reset(struct str s, int64_t now_ms)
{
	int64_t at;
	if (s.n == 0) return 0;
	if (rates_duration(s, &at)) return at;
	if (!time_parse(s, &at) || at <= now_ms) return 0;
	return MIN(at - now_ms, DAY_MS);
}

/* ---- the headers ------------------------------------------------------------------------------------------------- */

/* clang-format off */
static const struct family_row {
	enum rate rate;
	const char *limit, *remaining, *reset;
} rows[] = {
	{RATE_REQUESTS, "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
	{RATE_INPUT, "anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
	{RATE_OUTPUT, "anthropic-ratelimit-output-tokens-limit", "anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
	{RATE_TOKENS, "anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
	{RATE_REQUESTS, "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
	{RATE_TOKENS, "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
};
/* clang-format on */

static bool read_row(const struct family_row *row, struct str headers, int64_t now_ms, struct rate_seen *out)
{
	int64_t limit, remaining;
	if (!str_to_int(head_value(headers, row->limit), &limit) || limit <= 0 || limit > LIMIT_MAX) return false;
	if (!str_to_int(head_value(headers, row->remaining), &remaining)) remaining = limit;
	*out = (struct rate_seen){.limit = limit,
				  .remaining = MAX(0, MIN(remaining, limit)),
				  .reset_ms = until_reset(head_value(headers, row->reset), now_ms)};
	return true;
}

bool rates_read(struct str headers, int64_t now_ms, struct rates *out)
{
	bool any = false;
	for (int r = 0; r < RATE_COUNT; r++) out->of[r] = (struct rate_seen){.limit = -1};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* Anthropic's "tokens" repeats whichever of the two others is tightest, so it counts only alone. */
		bool apart = out->of[RATE_INPUT].limit > 0 || out->of[RATE_OUTPUT].limit > 0;
		if (rows[i].rate == RATE_TOKENS && apart) continue;
		if (read_row(&rows[i], headers, now_ms, &out->of[rows[i].rate])) any = true;
	}
	return any;
}
