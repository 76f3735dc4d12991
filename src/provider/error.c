#include "provider/provider.h"

#include <time.h>

#include "base/utf8.h"
#include "provider/text.h"

static struct str trim(struct str s)
{
	while (s.n > 0 && (unsigned char)s.p[s.n - 1] <= ' ') s.n--;
	while (s.n > 0 && (unsigned char)*s.p <= ' ') s = str_n(s.p + 1, s.n - 1);
	return s;
}

struct str head_value(struct str headers, const char *name)
{
	struct str want = str_c(name);
	while (headers.n > 0) {
		const char *nl = memchr(headers.p, '\n', headers.n);
		size_t len = nl != NULL ? (size_t)(nl - headers.p) + 1 : headers.n;
		if (len > want.n && headers.p[want.n] == ':' && str_eq_nocase(str_n(headers.p, want.n), want))
			return trim(str_n(headers.p + want.n + 1, len - want.n - 1));
		headers = str_n(headers.p + len, headers.n - len);
	}
	return STR_NONE;
}

/* ---- how long to wait -------------------------------------------------------------------------------------------- */

#define WAIT_MAX_MS ((int64_t)86400000)

/* A decimal number times `scale`, -1 when it is not one. */
static int64_t parse_wait(struct str s, double scale)
{
	char text[32], *end;
	if (s.n == 0 || *s.p < '0' || *s.p > '9' || !str_copy(s, text, sizeof text)) return -1;
	double v = strtod(text, &end) * scale;
	if (*end != '\0' || !(v >= 0)) return -1;
	return v < (double)WAIT_MAX_MS ? (int64_t)v : WAIT_MAX_MS;
}

/* retry-after-ms wins; Retry-After is in seconds or a date (RFC 9110, 10.2.3). 0 when there is neither. */
static int64_t retry_after_ms(struct str headers, int64_t now_ms)
{
	int64_t ms = parse_wait(head_value(headers, "retry-after-ms"), 1);
	if (ms >= 0) return ms;
	struct str v = head_value(headers, "retry-after");
	if ((ms = parse_wait(v, 1000)) >= 0) return ms;
	char text[40];
	struct tm tm = {0};
	if (v.n == 0 || !str_copy(v, text, sizeof text)) return 0;
	const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (end == NULL || *end != '\0') return 0;
	ms = (int64_t)timegm(&tm) * 1000 - now_ms;
	return ms < 0 ? 0 : MIN(ms, WAIT_MAX_MS);
}

/* ---- what an error means ----------------------------------------------------------------------------------------- */

/* What providers call things, in `code`, `type` or `status`, where that says more than the number: these words mean the
 * same wherever they are met. */
/* clang-format off */
static const struct {
	const char *name;
	enum fail fail;
} error_names[] = {
	{"rate_limit_exceeded",          FAIL_RATE},
	{"rate_limit_error",             FAIL_RATE},
	{"RESOURCE_EXHAUSTED",           FAIL_RATE},
	{"slow_down",                    FAIL_RATE},
	{"ramp_limit_exceeded",          FAIL_RATE},
	{"server_is_overloaded",         FAIL_OVERLOADED},
	{"service_unavailable_error",    FAIL_OVERLOADED},
	{"unavailable_error",            FAIL_OVERLOADED},
	{"overloaded_error",             FAIL_OVERLOADED},
	{"UNAVAILABLE",                  FAIL_OVERLOADED},
	{"timeout_error",                FAIL_TIMEOUT},
	{"DEADLINE_EXCEEDED",            FAIL_TIMEOUT},
	{"insufficient_quota",           FAIL_QUOTA},
	{"credit_balance_exhausted",     FAIL_QUOTA},
	{"billing_hard_limit_reached",   FAIL_QUOTA},
	{"billing_not_active",           FAIL_QUOTA},
	{"billing_error",                FAIL_QUOTA},
	{"enforced_spend_limit_reached", FAIL_QUOTA},
	{"contract_spend_limit_reached", FAIL_QUOTA},
	{"invalid_api_key",              FAIL_AUTH},
	{"authentication_error",         FAIL_AUTH},
	{"permission_error",             FAIL_AUTH},
	{"UNAUTHENTICATED",              FAIL_AUTH},
	{"PERMISSION_DENIED",            FAIL_AUTH},
	{"not_found_error",              FAIL_MODEL},
	{"model_not_found",              FAIL_MODEL},
	{"NOT_FOUND",                    FAIL_MODEL},
	{"context_length_exceeded",      FAIL_CONTEXT},
	{"exceed_context_size_error",    FAIL_CONTEXT},
	{"content_filter",               FAIL_FILTER},
	{"invalid_prompt",               FAIL_FILTER},
	{"not_supported_error",          FAIL_INVALID},
	{"invalid_request_error",        FAIL_INVALID},
	{"request_too_large",            FAIL_INVALID},
	{"INVALID_ARGUMENT",             FAIL_INVALID},
	{"FAILED_PRECONDITION",          FAIL_INVALID},
};
/* clang-format on */

static enum fail fail_of_status(int64_t status)
{
	switch (status) {
	case 401:
	case 403: return FAIL_AUTH;
	case 402: return FAIL_QUOTA;
	case 404: return FAIL_MODEL;
	case 408:
	case 504: return FAIL_TIMEOUT;
	case 409: return FAIL_SERVER;
	case 429: return FAIL_RATE;
	case 501:
	case 505: return FAIL_INVALID;
	case 503:
	case 529: return FAIL_OVERLOADED;
	default: return status >= 300 && status < 500 ? FAIL_INVALID : FAIL_SERVER;
	}
}

static bool fail_of_name(const struct json *name, enum fail *out)
{
	struct str s;
	if (!json_str(name, &s)) return false;
	for (size_t i = 0; i < ARRAY_LEN(error_names); i++) {
		if (!str_eq(s, str_c(error_names[i].name))) continue;
		*out = error_names[i].fail;
		return true;
	}
	return false;
}

/* Gemini says in the details of a 429 whether a minute's or a day's quota is used up. */
static bool is_daily_quota(const struct json *error)
{
	struct str id;
	for (struct json_iter d = json_iter(json_get(error, "details")); json_next(&d);)
		for (struct json_iter v = json_iter(json_get(d.val, "violations")); json_next(&v);)
			if (json_str(json_get(v.val, "quotaId"), &id) && memmem(id.p, id.n, "PerDay", 6) != NULL)
				return true;
	return false;
}

/* The narrowest word wins: a code in the details, the code, the status by name, the type. A code may also be a status,
 * as a number or in digits. That a request is "invalid" says less than a status such as 401 does. */
static enum fail fail_of_error(const struct json *error, int status)
{
	const struct json *code = json_get(error, "code");
	enum fail f = fail_of_status(status);
	struct str s;
	int64_t n;
	if (fail_of_name(json_get(json_get(error, "details"), "error_code"), &f)) return f;
	if (fail_of_name(code, &f)) return f;
	if (json_int(code, &n) || (json_str(code, &s) && str_to_int(s, &n)))
		if (n >= 400 && n < 600) f = fail_of_status(n);
	enum fail named = f;
	if (!fail_of_name(json_get(error, "status"), &named)) (void)fail_of_name(json_get(error, "type"), &named);
	if (named != FAIL_INVALID || f == FAIL_SERVER) f = named;
	return f == FAIL_RATE && is_daily_quota(error) ? FAIL_QUOTA : f;
}

/* google.rpc.RetryInfo: "17s", "0.5s". 0 when there is none. */
static int64_t retry_delay_ms(const struct json *error)
{
	struct str s;
	for (struct json_iter d = json_iter(json_get(error, "details")); json_next(&d);) {
		if (!json_str(json_get(d.val, "retryDelay"), &s) || s.n < 2 || s.p[s.n - 1] != 's') continue;
		int64_t ms = parse_wait(str_n(s.p, s.n - 1), 1000);
		if (ms > 0) return ms;
	}
	return 0;
}

static struct str message_of(const struct json *error)
{
	static const char *const keys[] = {"message", "detail", "error", "type"};
	struct str s;
	if (json_str(error, &s)) return s;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (json_str(json_get(error, keys[i]), &s) && s.n > 0) return s;
	return STR("no reason given");
}

/* The object that describes the error: the member "error" when it is one, else the whole. */
static const struct json *error_of(const struct json *root)
{
	const struct json *e = json_get(root, "error");
	return json_type(e) == JSON_OBJ ? e : root;
}

static void set_outcome(struct call_outcome *out, enum fail f, const char *lead, struct str said, struct str key)
{
	char clean[TEXT_CLEAN_MAX + 1];
	size_t room = sizeof out->info.text - strlen(lead) - 3; /* ": " and the NUL */
	text_clean(said, key, clean);
	out->fail = f;
	out->err = err_set(&out->info, fail_err(f), "%s: %.*s", lead, (int)utf8_cut(str_c(clean), room), clean);
	out->retryable = fail_retryable(f);
}

void classify_error(const struct json *root, struct str key, struct call_outcome *out)
{
	const struct json *error = error_of(root);
	set_outcome(out, fail_of_error(error, 500), "the provider said", message_of(error), key);
	out->info.retry_after_ms = out->retryable ? retry_delay_ms(error) : 0;
}

/* Words for the statuses that have one plain cause. */
static const char *lead_of(int status)
{
	if (status == 401) return "the provider did not accept the API key (401)";
	if (status >= 300 && status < 400)
		return "the provider answered with a redirect, which is never followed; check its baseUrl";
	return NULL;
}

void classify_status(int status, struct str headers, struct str body, int64_t now_ms, struct str key,
		     struct call_outcome *out)
{
	enum fail f = fail_of_status(status);
	int64_t delay_ms = 0;
	struct json_doc *doc = NULL;
	struct buf fixed = BUF_INIT(BUF_NO_LIMIT);
	struct str said = trim(body);
	char lead[64];
	snprintf(lead, sizeof lead, "the provider answered with status %d", status);
	text_repair_json(said, &fixed);
	if (json_parse(buf_str(&fixed), &doc, NULL) == OK && json_type(json_root(doc)) == JSON_OBJ) {
		f = fail_of_error(error_of(json_root(doc)), status);
		delay_ms = retry_delay_ms(error_of(json_root(doc)));
		said = message_of(error_of(json_root(doc)));
	} else if (said.n == 0 || *said.p == '<') {
		said = said.n == 0 ? STR("no reason given") : STR("a web page, which no API does; check its baseUrl");
	}
	set_outcome(out, f, lead_of(status) != NULL ? lead_of(status) : lead, said, key);
	struct str should = head_value(headers, "x-should-retry");
	if (str_eq_nocase(should, STR("true"))) out->retryable = true;
	if (str_eq_nocase(should, STR("false"))) out->retryable = false;
	int64_t after_ms = retry_after_ms(headers, now_ms);
	out->info.retry_after_ms = !out->retryable ? 0 : after_ms > 0 ? after_ms : delay_ms;
	json_free(doc);
	buf_release(&fixed);
}
