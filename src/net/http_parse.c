#include "net/http_parse.h"

static struct http_parse *self(llhttp_t *ll) { return ll->data; }

static int on_url(llhttp_t *ll, const char *s, size_t n)
{
	struct http_parse *p = self(ll);
	buf_add(&p->text, s, n);
	p->target_n += (uint32_t)n;
	return 0;
}

static int on_url_complete(llhttp_t *ll)
{
	self(ll)->in_target = false;
	return 0;
}

/* Fields behind the body (trailers) are parsed, counted as framing and dropped. */
static int on_field(llhttp_t *ll, const char *s, size_t n)
{
	struct http_parse *p = self(ll);
	if (p->is_head) return 0;
	if (!p->in_name) {
		if (p->nfields == p->fields_cap) {
			p->fields_cap = MAX(p->fields_cap * 2, 16u);
			p->fields = xrealloc(p->fields, xmul(p->fields_cap, sizeof *p->fields));
		}
		p->fields[p->nfields++] = (struct http_field){.name = (uint32_t)p->text.n};
		p->in_name = true;
	}
	for (size_t i = 0; i < n; i++) buf_add_char(&p->text, s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i]);
	p->fields[p->nfields - 1].name_n += (uint32_t)n;
	return 0;
}

static int on_field_complete(llhttp_t *ll)
{
	struct http_parse *p = self(ll);
	if (!p->is_head) p->fields[p->nfields - 1].value = (uint32_t)p->text.n;
	p->in_name = false;
	return 0;
}

static int on_value(llhttp_t *ll, const char *s, size_t n)
{
	struct http_parse *p = self(ll);
	if (p->is_head) return 0;
	buf_add(&p->text, s, n);
	p->fields[p->nfields - 1].value_n += (uint32_t)n;
	return 0;
}

static int on_head(llhttp_t *ll)
{
	self(ll)->is_head = true;
	ll->upgrade =
		0; /* whether this becomes a WebSocket is decided later; until then it is a request like any other */
	return HPE_PAUSED;
}

static int on_body(llhttp_t *ll, const char *s, size_t n)
{
	struct http_parse *p = self(ll);
	p->body_n += (int64_t)n;
	p->body(p->ctx, str_n(s, n));
	return 0;
}

static int on_end(llhttp_t *ll)
{
	self(ll)->is_end = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_url_complete = on_url_complete,
	.on_header_field = on_field,
	.on_header_field_complete = on_field_complete,
	.on_header_value = on_value,
	.on_headers_complete = on_head,
	.on_body = on_body,
	.on_message_complete = on_end,
};

void http_parse_init(struct http_parse *p, size_t head_max, void (*body)(void *ctx, struct str piece), void *ctx)
{
	memset(p, 0, sizeof *p);
	llhttp_init(&p->ll, HTTP_REQUEST, &settings);
	p->ll.data = p;
	p->head_max = head_max;
	p->in_target = true;
	p->body = body;
	p->ctx = ctx;
	buf_init(&p->text, BUF_NO_LIMIT); /* bounded by head_max */
}

void http_parse_release(struct http_parse *p)
{
	buf_release(&p->text);
	free(p->fields);
	p->fields = NULL;
	p->nfields = 0;
}

/* What llhttp leaves open and a second parser in front of us might see differently. */
static enum err check_head(const struct http_parse *p, struct errinfo *info)
{
	struct str coding = http_parse_field(p, STR("transfer-encoding"));
	bool has_length = http_parse_field(p, STR("content-length")).p != NULL;
	if (p->ll.http_major != 1 || p->ll.http_minor > 1)
		return err_set(info, ERR_BAD_REQUEST, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	if (coding.p != NULL && (has_length || p->ll.http_minor == 0))
		return err_set(info, ERR_BAD_REQUEST, "Transfer-Encoding does not go with Content-Length or HTTP/1.0");
	if (coding.p != NULL &&
	    (http_parse_count(p, STR("transfer-encoding")) > 1 || !str_eq_nocase(coding, STR("chunked"))))
		return err_set(info, ERR_BAD_REQUEST, "the only Transfer-Encoding taken is chunked");
	if (http_parse_count(p, STR("host")) > 1) return err_set(info, ERR_BAD_REQUEST, "more than one Host");
	if (http_parse_count(p, STR("content-length")) > 1)
		return err_set(info, ERR_BAD_REQUEST, "more than one Content-Length");
	return OK;
}

static enum http_parse_event bad(struct errinfo *info, enum err e, const char *why)
{
	(void)!err_set(info, e, "%s", why);
	return HTTP_PARSE_BAD;
}

static enum http_parse_event head_too_large(const struct http_parse *p, struct errinfo *info)
{
	enum err e = p->in_target ? ERR_URI_TOO_LONG : ERR_HEADERS_TOO_LARGE;
	(void)!err_set(info, e, "%s (limit headBytes: %zu bytes)", err_text(e), p->head_max);
	return HTTP_PARSE_BAD;
}

/* A body may be framed in chunks of one byte, but not in mile-long chunk extensions and trailers. */
static bool framing_is_sane(const struct http_parse *p)
{
	return p->body_raw_n <= 8 * p->body_n + (int64_t)p->head_max;
}

enum http_parse_event http_parse(struct http_parse *p, const char *data, size_t n, size_t *used, struct errinfo *info)
{
	size_t room = p->is_head ? n : MIN(n, p->head_max - p->head_n);
	bool was_head = p->is_head;
	*used = 0;
	if (p->is_paused) llhttp_resume(&p->ll);
	p->is_paused = false;
	llhttp_errno_t r = llhttp_execute(&p->ll, data, room);
	if (r == HPE_PAUSED) {
		p->is_paused = true;
		*used = (size_t)(llhttp_get_error_pos(&p->ll) - data);
	} else if (r == HPE_OK) {
		*used = room;
	} else {
		const char *why = llhttp_get_error_reason(&p->ll);
		(void)!err_set(info, ERR_BAD_REQUEST, "the request is malformed: %s",
			       why != NULL ? why : "cannot be parsed");
		return HTTP_PARSE_BAD;
	}
	if (was_head) p->body_raw_n += (int64_t)*used;
	else p->head_n += *used;
	if (p->is_head && !was_head) return check_head(p, info) == OK ? HTTP_PARSE_HEAD : HTTP_PARSE_BAD;
	if (!framing_is_sane(p)) return bad(info, ERR_BAD_REQUEST, "the chunked body is mostly framing");
	if (p->is_end) return HTTP_PARSE_END;
	if (!p->is_head && p->head_n >= p->head_max) return head_too_large(p, info);
	return HTTP_PARSE_MORE;
}

struct str http_parse_target(const struct http_parse *p) { return str_n(p->text.p, p->target_n); }

static struct str name_of(const struct http_parse *p, const struct http_field *f)
{
	return str_n(p->text.p + f->name, f->name_n);
}

static struct str value_of(const struct http_parse *p, const struct http_field *f)
{
	struct str v = str_n(p->text.p + f->value, f->value_n);
	while (v.n > 0 && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t')) v.n--;
	return v;
}

struct str http_parse_field(const struct http_parse *p, struct str lower_name)
{
	for (uint32_t i = 0; i < p->nfields; i++)
		if (str_eq(name_of(p, &p->fields[i]), lower_name)) return value_of(p, &p->fields[i]);
	return STR_NONE;
}

unsigned http_parse_count(const struct http_parse *p, struct str lower_name)
{
	unsigned n = 0;
	for (uint32_t i = 0; i < p->nfields; i++) n += str_eq(name_of(p, &p->fields[i]), lower_name);
	return n;
}

bool http_parse_has_token(const struct http_parse *p, struct str lower_name, struct str token)
{
	for (uint32_t i = 0; i < p->nfields; i++) {
		struct str v = value_of(p, &p->fields[i]);
		if (!str_eq(name_of(p, &p->fields[i]), lower_name)) continue;
		for (size_t at = 0; at < v.n;) {
			size_t end = at;
			while (end < v.n && v.p[end] != ',') end++;
			struct str t = str_n(v.p + at, end - at);
			while (t.n > 0 && (t.p[0] == ' ' || t.p[0] == '\t')) t = str_n(t.p + 1, t.n - 1);
			while (t.n > 0 && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t')) t.n--;
			if (str_eq_nocase(t, token)) return true;
			at = end + 1;
		}
	}
	return false;
}

bool http_parse_has_body(const struct http_parse *p)
{
	return p->ll.content_length > 0 || http_parse_field(p, STR("transfer-encoding")).p != NULL;
}
