#include "provider/provider.h"

#include <stdarg.h>
#include <time.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "provider/text.h"

static const struct dialect *const dialects[] = {&dialect_openai};

const struct dialect *dialect_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(dialects); i++)
		if (str_eq(name, str_c(dialects[i]->name))) return dialects[i];
	return NULL;
}

void wire_request_add_header(struct wire_request *r, const char *fmt, ...)
{
	size_t at = 0;
	while (r->headers[at] != NULL) at++;
	ASSERT_CMP(at, <, ARRAY_LEN(r->headers) - 1);
	va_list ap;
	va_start(ap, fmt);
	if (vasprintf(&r->headers[at], fmt, ap) < 0) die(71, "out of memory");
	va_end(ap);
}

void wire_request_release(struct wire_request *r)
{
	for (char **h = r->headers; *h != NULL; h++) {
		secret_wipe(*h, strlen(*h));
		free(*h);
	}
	free(r->url);
	buf_release(&r->body);
	*r = (struct wire_request){0};
}

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

struct verdict {
	enum err err;
	bool retryable;
};

/* What providers call things, in `code` or `type`, where that says more than the status. */
/* clang-format off */
static const struct {
	const char *name;
	struct verdict v;
} error_names[] = {
	{"rate_limit_exceeded",          {ERR_PROVIDER_BUSY, true}},
	{"rate_limit_error",             {ERR_PROVIDER_BUSY, true}},
	{"slow_down",                    {ERR_PROVIDER_BUSY, true}},
	{"server_is_overloaded",         {ERR_PROVIDER_BUSY, true}},
	{"service_unavailable_error",    {ERR_PROVIDER_BUSY, true}},
	{"unavailable_error",            {ERR_PROVIDER_BUSY, true}},
	{"overloaded_error",             {ERR_PROVIDER_BUSY, true}},
	{"insufficient_quota",           {ERR_PROVIDER_REFUSED, false}},
	{"credit_balance_exhausted",     {ERR_PROVIDER_REFUSED, false}},
	{"billing_hard_limit_reached",   {ERR_PROVIDER_REFUSED, false}},
	{"invalid_api_key",              {ERR_PROVIDER_REFUSED, false}},
	{"authentication_error",         {ERR_PROVIDER_REFUSED, false}},
	{"permission_error",             {ERR_PROVIDER_REFUSED, false}},
	{"not_found_error",              {ERR_PROVIDER_REFUSED, false}},
	{"model_not_found",              {ERR_PROVIDER_REFUSED, false}},
	{"not_supported_error",          {ERR_PROVIDER_REFUSED, false}},
	{"context_length_exceeded",      {ERR_PROVIDER_REFUSED, false}},
	{"exceed_context_size_error",    {ERR_PROVIDER_REFUSED, false}},
	{"content_filter",               {ERR_PROVIDER_REFUSED, false}},
	{"invalid_request_error",        {ERR_PROVIDER_REFUSED, false}},
};
/* clang-format on */

static struct verdict verdict_of_status(int64_t status)
{
	switch (status) {
	case 408:
	case 504: return (struct verdict){ERR_PROVIDER_TIMEOUT, true};
	case 409: return (struct verdict){ERR_PROVIDER, true};
	case 429:
	case 503:
	case 529: return (struct verdict){ERR_PROVIDER_BUSY, true};
	case 501:
	case 505: return (struct verdict){ERR_PROVIDER_REFUSED, false};
	default: break;
	}
	if (status >= 300 && status < 500) return (struct verdict){ERR_PROVIDER_REFUSED, false};
	return (struct verdict){ERR_PROVIDER, true};
}

static bool verdict_of_name(const struct json *name, struct verdict *out)
{
	struct str s;
	if (!json_str(name, &s)) return false;
	for (size_t i = 0; i < ARRAY_LEN(error_names); i++) {
		if (!str_eq(s, str_c(error_names[i].name))) continue;
		*out = error_names[i].v;
		return true;
	}
	return false;
}

/* `code` first: it is the narrower one. A code may also be a status, as a number or in digits. */
static struct verdict verdict_of_error(const struct json *error, int status)
{
	const struct json *code = json_get(error, "code");
	struct verdict v = verdict_of_status(status);
	struct str s;
	int64_t n;
	if (verdict_of_name(code, &v)) return v;
	if (json_int(code, &n) || (json_str(code, &s) && str_to_int(s, &n)))
		if (n >= 400 && n < 600) v = verdict_of_status(n);
	(void)verdict_of_name(json_get(error, "type"), &v);
	return v;
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

static void set_outcome(struct call_outcome *out, struct verdict v, const char *lead, struct str said,
			const struct answer_sink *sink)
{
	char clean[TEXT_CLEAN_MAX + 1];
	size_t room = sizeof out->info.text - strlen(lead) - 3; /* ": " and the NUL */
	text_clean(said, sink->key, clean);
	out->err = err_set(&out->info, v.err, "%s: %.*s", lead, (int)utf8_cut(str_c(clean), room), clean);
	out->retryable = v.retryable;
}

void classify_error(const struct json *root, const struct answer_sink *sink, struct call_outcome *out)
{
	const struct json *error = error_of(root);
	set_outcome(out, verdict_of_error(error, 500), "the provider said", message_of(error), sink);
}

/* Words for the statuses that have one plain cause. */
static const char *lead_of(int status)
{
	if (status == 401) return "the provider did not accept the API key (401)";
	if (status >= 300 && status < 400)
		return "the provider answered with a redirect, which is never followed; check its baseUrl";
	return NULL;
}

void classify_status(int status, struct str headers, struct str body, const struct answer_sink *sink,
		     struct call_outcome *out)
{
	struct verdict v = verdict_of_status(status);
	struct json_doc *doc = NULL;
	struct buf fixed = BUF_INIT(BUF_NO_LIMIT);
	struct str said = trim(body);
	char lead[64];
	snprintf(lead, sizeof lead, "the provider answered with status %d", status);
	text_repair_json(said, &fixed);
	if (json_parse(buf_str(&fixed), &doc, NULL) == OK && json_type(json_root(doc)) == JSON_OBJ) {
		v = verdict_of_error(error_of(json_root(doc)), status);
		said = message_of(error_of(json_root(doc)));
	} else if (said.n == 0 || *said.p == '<') {
		said = said.n == 0 ? STR("no reason given") : STR("a web page, which no API does; check its baseUrl");
	}
	set_outcome(out, v, lead_of(status) != NULL ? lead_of(status) : lead, said, sink);
	struct str should = head_value(headers, "x-should-retry");
	if (str_eq_nocase(should, STR("true"))) out->retryable = true;
	if (str_eq_nocase(should, STR("false"))) out->retryable = false;
	out->info.retry_after_ms = out->retryable ? retry_after_ms(headers, sink->now_ms) : 0;
	json_free(doc);
	buf_release(&fixed);
}
