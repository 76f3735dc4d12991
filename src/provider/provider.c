#include "provider/provider.h"

#include <stdarg.h>

#include "base/hash.h"

static const struct dialect *const dialects[] = {
	&dialect_openai, &dialect_responses, &dialect_ollama, &dialect_anthropic, &dialect_gemini,
};

const struct dialect *dialect_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(dialects); i++)
		if (str_eq(name, str_c(dialects[i]->name))) return dialects[i];
	return NULL;
}

bool model_split(struct str id, struct str *provider, struct str *name)
{
	const char *colon = id.n > 0 ? memchr(id.p, ':', id.n) : NULL;
	*provider = colon != NULL ? str_n(id.p, (size_t)(colon - id.p)) : id;
	*name = colon != NULL ? str_n(colon + 1, id.n - provider->n - 1) : STR("");
	return colon != NULL;
}

static const struct {
	const char *name;
	bool retryable;
} fails[FAIL_COUNT] = {
#define X(sym, name, again) {name, again},
	FAIL_MAP(X)
#undef X
};

const char *fail_name(enum fail f) { return fails[f].name; }
bool fail_retryable(enum fail f) { return fails[f].retryable; }

enum err fail_err(enum fail f)
{
	switch (f) {
	case FAIL_NONE: return OK;
	case FAIL_NETWORK: return ERR_PROVIDER_DOWN;
	case FAIL_TIMEOUT: return ERR_PROVIDER_TIMEOUT;
	case FAIL_CUT: return ERR_PROVIDER_CUT;
	case FAIL_RATE:
	case FAIL_OVERLOADED: return ERR_PROVIDER_BUSY;
	case FAIL_SERVER: return ERR_PROVIDER;
	case FAIL_LIMIT: return ERR_PROVIDER_LIMIT;
	default: return ERR_PROVIDER_REFUSED;
	}
}

enum fail fail_of_err(enum err e)
{
	switch (e) {
	case OK: return FAIL_NONE;
	case ERR_PROVIDER_DOWN: return FAIL_NETWORK;
	case ERR_PROVIDER_TIMEOUT: return FAIL_TIMEOUT;
	case ERR_PROVIDER_CUT: return FAIL_CUT;
	case ERR_PROVIDER_BUSY: return FAIL_OVERLOADED;
	case ERR_PROVIDER: return FAIL_SERVER;
	case ERR_PROVIDER_LIMIT: return FAIL_LIMIT;
	case ERR_MODEL_UNKNOWN: return FAIL_MODEL;
	default: return FAIL_INVALID;
	}
}

enum part_kind attachment_kind(struct str media_type)
{
	if (str_starts(media_type, STR("image/"))) return PART_IMAGE;
	bool is_text = str_starts(media_type, STR("text/")) || str_eq(media_type, STR("application/json"));
	return is_text ? PART_TEXT : PART_FILE;
}

/* ---- building ---------------------------------------------------------------------------------------------------- */

static void add_paragraph(struct buf *out, struct str text)
{
	if (text.n == 0) return;
	if (out->n > 0) buf_add_str(out, STR("\n\n"));
	buf_add_str(out, text);
}

void ask_system(const struct provider_ask *ask, struct buf *out)
{
	add_paragraph(out, param_text(ask->params, P_SYSTEM));
	for (size_t i = 0; i < ask->nmessages; i++)
		if (str_eq(ask->messages[i].role, STR("system"))) add_paragraph(out, ask->messages[i].text);
}

void wire_request_init(struct wire_request *r, struct str base_url, const char *path_fmt, ...)
{
	struct buf url = BUF_INIT(BUF_NO_LIMIT);
	va_list ap;
	char *path;
	va_start(ap, path_fmt);
	if (vasprintf(&path, path_fmt, ap) < 0) die(71, "out of memory");
	va_end(ap);
	buf_add_str(&url, base_url);
	buf_add_str(&url, str_c(path));
	free(path);
	*r = (struct wire_request){.method = "POST", .url = buf_take(&url, NULL), .body = BUF_INIT(WIRE_BODY_MAX)};
	wire_request_add_header(r, "Content-Type: application/json");
	wire_request_add_header(r, "User-Agent: roost");
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

enum err wire_request_end(struct wire_request *r, enum err e, struct errinfo *info)
{
	if (e == OK && r->body.failed)
		e = err_set(info, ERR_TOO_LARGE, "the request would be larger than %zu bytes", WIRE_BODY_MAX);
	if (e != OK) wire_request_release(r);
	return e;
}

void wire_request_release(struct wire_request *r)
{
	for (char **h = r->headers; *h != NULL; h++) {
		secret_wipe(*h, strlen(*h));
		free(*h);
	}
	for (char **arg = r->argv; arg != NULL && *arg != NULL; arg++) free(*arg);
	free(r->argv);
	free(r->url);
	buf_release(&r->body);
	*r = (struct wire_request){0};
}

void wire_put_base64(struct jw *w, const char *prefix, struct str bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct buf b = BUF_INIT(WIRE_BODY_MAX);
	buf_add_str(&b, str_c(prefix));
	if (bytes.n < WIRE_BODY_MAX && buf_reserve(&b, (bytes.n + 2) / 3 * 4)) {
		for (size_t i = 0; i < bytes.n; i += 3) {
			size_t have = MIN(bytes.n - i, (size_t)3);
			uint32_t v = 0;
			for (size_t k = 0; k < 3; k++) v = v << 8 | (k < have ? (unsigned char)bytes.p[i + k] : 0u);
			char four[4] = {digits[v >> 18], digits[v >> 12 & 63], have > 1 ? digits[v >> 6 & 63] : '=',
					have > 2 ? digits[v & 63] : '='};
			memcpy(b.p + b.n, four, 4);
			b.n += 4;
		}
		jw_str(w, buf_str(&b)); /* the prefix may hold what a device said of a media type */
	} else {
		w->b->failed = true;
	}
	buf_release(&b);
}

void wire_put_data_url(struct jw *w, const struct call_part *p)
{
	struct buf prefix = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&prefix, "data:%.*s;base64,", STR_ARG(p->media_type));
	wire_put_base64(w, prefix.p, p->bytes);
	buf_release(&prefix);
}

void wire_put_tools(struct jw *w, const struct params *p)
{
	jw_key(w, "tools");
	jw_arr(w);
	for (struct json_iter it = json_iter(p->at[P_TOOLS]); json_next(&it);) {
		jw_obj(w);
		jw_kstr(w, "type", STR("function"));
		jw_key(w, "function");
		jw_value(w, it.val);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}
