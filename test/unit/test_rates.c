/* Rate limits as headers tell them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "provider/rates.h"

static int64_t wall(const char *text)
{
	int64_t ms = 0;
	assert_true(time_parse(str_c(text), &ms));
	return ms;
}

static void durations_are_read_as_providers_write_them(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"6m0s", 360000}, {"120ms", 120},      {"1s", 1000},        {"1h2m3.5s", 3723500}, {"0s", 0},
		    {"59.7s", 59700}, {"250.5ms", 250},    {"17", 17000},       {"0.25", 250},         {"1m", 60000},
		    {"500us", 0},     {"8h38m", 31080000}, {"9999h", 86400000}, {"1d", 86400000}};
	static const char *const bad[] = {"", "s", "1x", "1.2.3s", "m1", "5 s", "-5s", "1s2", "soon", "1e3s", "."};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		int64_t ms = -1;
		assert_true(rates_duration(str_c(good[i].text), &ms));
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ms = -1;
		assert_false(rates_duration(str_c(bad[i]), &ms));
	}
}

static void openais_headers_are_durations(void **state)
{
	struct rates r;
	(void)state;
	assert_true(rates_read(
		STR("HTTP/2 200\r\nx-ratelimit-limit-requests: 500\r\nX-RateLimit-Remaining-Requests: 499\r\n"
		    "x-ratelimit-reset-requests: 120ms\r\nx-ratelimit-limit-tokens: 30000\r\n"
		    "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 6m0s\r\n\r\n"),
		0, &r));
	assert_int_equal(r.of[RATE_REQUESTS].limit, 500);
	assert_int_equal(r.of[RATE_REQUESTS].remaining, 499);
	assert_int_equal(r.of[RATE_REQUESTS].reset_ms, 120);
	assert_int_equal(r.of[RATE_TOKENS].limit, 30000);
	assert_int_equal(r.of[RATE_TOKENS].remaining, 0);
	assert_int_equal(r.of[RATE_TOKENS].reset_ms, 360000);
	assert_int_equal(r.of[RATE_INPUT].limit, -1);
}

static void anthropics_headers_are_times(void **state)
{
	struct rates r;
	(void)state;
	assert_true(rates_read(STR("anthropic-ratelimit-requests-limit: 50\r\n"
				   "anthropic-ratelimit-requests-remaining: 49\r\n"
				   "anthropic-ratelimit-requests-reset: 2026-01-02T03:04:06Z\r\n"
				   "anthropic-ratelimit-input-tokens-limit: 30000\r\n"
				   "anthropic-ratelimit-input-tokens-remaining: 29000\r\n"
				   "anthropic-ratelimit-input-tokens-reset: 2026-01-02T03:04:00Z\r\n"
				   "anthropic-ratelimit-output-tokens-limit: 8000\r\n"
				   "anthropic-ratelimit-output-tokens-remaining: 8000\r\n"
				   "anthropic-ratelimit-tokens-limit: 8000\r\n"
				   "anthropic-ratelimit-tokens-remaining: 8000\r\n"),
			       wall("2026-01-02T03:04:05Z"), &r));
	assert_int_equal(r.of[RATE_REQUESTS].reset_ms, 1000);
	assert_int_equal(r.of[RATE_INPUT].limit, 30000);
	assert_int_equal(r.of[RATE_INPUT].reset_ms, 0); /* it is over */
	assert_int_equal(r.of[RATE_OUTPUT].limit, 8000);
	assert_int_equal(r.of[RATE_TOKENS].limit, -1); /* only repeats the tightest of the others */
}

static void odd_headers_teach_nothing(void **state)
{
	struct rates r;
	(void)state;
	assert_false(rates_read(STR("content-type: text/event-stream\r\n"), 0, &r));
	assert_false(rates_read(STR(""), 0, &r));
	assert_false(rates_read(STR("x-ratelimit-limit-requests: many\r\nx-ratelimit-limit-tokens: -3\r\n"), 0, &r));
	assert_false(rates_read(STR("x-ratelimit-limit-requests: 99999999999999999999\r\n"), 0, &r));
	assert_true(rates_read(STR("x-ratelimit-limit-requests: 5\r\nx-ratelimit-remaining-requests: 900\r\n"
				   "x-ratelimit-reset-requests: whenever\r\n"),
			       0, &r));
	assert_int_equal(r.of[RATE_REQUESTS].remaining, 5);
	assert_int_equal(r.of[RATE_REQUESTS].reset_ms, 0);
}

static void what_is_usual_goes_by_the_whole_host(void **state)
{
	(void)state;
	assert_int_equal(rates_usual(STR("https://api.anthropic.com")).of[RATE_REQUESTS], 50);
	assert_int_equal(rates_usual(STR("https://api.openai.com/v1")).of[RATE_TOKENS], 90000);
	assert_int_equal(rates_usual(STR("https://api.openai.com.example/v1")).of[RATE_REQUESTS], 0);
	assert_int_equal(rates_usual(STR("http://127.0.0.1:1234/v1")).of[RATE_REQUESTS], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read_as_providers_write_them),
		cmocka_unit_test(openais_headers_are_durations),
		cmocka_unit_test(anthropics_headers_are_times),
		cmocka_unit_test(odd_headers_teach_nothing),
		cmocka_unit_test(what_is_usual_goes_by_the_whole_host),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
