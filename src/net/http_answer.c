/* Answers: the head every answer gets, error bodies, compression, files and streams. */
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/json.h"
#include "net/http_head.h"
#include "net/http_priv.h"

#define COMPRESS_MIN 1024
#define COMPRESS_MAX (4u << 20) /* more would hold up the loop */

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{206, "Partial Content"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{423, "Locked"},
	{426, "Upgrade Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{507, "Insufficient Storage"},
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status) return reasons[i].reason;
	return "";
}

/* RFC 9110's date, made once a second; not by strftime, which speaks the locale's language. */
const char *http_date(struct http_server *s)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct tm t;
	if (now == s->date_s && s->date[0] != '\0') return s->date;
	s->date_s = now;
	gmtime_r(&now, &t);
	snprintf(s->date, sizeof s->date, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * t.tm_wday, t.tm_mday,
		 months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
	return s->date;
}

/* ---- heads ------------------------------------------------------------------------------------------------------- */

struct head {
	int status;
	const char *type;     /* NULL when there is no body */
	const char *headers;  /* the handler's lines, or NULL */
	const char *encoding; /* NULL, "gzip", "zstd" */
	int64_t len;          /* of the body; -1 chunked or to the end of the connection */
	bool varies;          /* another Accept-Encoding might have got something else */
};

/* Whether the handler's lines have this one. */
static bool has_line(const char *headers, struct str name)
{
	while (headers != NULL && *headers != '\0') {
		if (strlen(headers) > name.n && headers[name.n] == ':' && str_eq_nocase(str_n(headers, name.n), name))
			return true;
		headers = strchr(headers, '\n');
		if (headers != NULL) headers++;
	}
	return false;
}

static void put_security(struct buf *b, const struct head *h)
{
	buf_add_str(b, STR("X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
			   "Cross-Origin-Resource-Policy: same-origin\r\n"));
	if (!has_line(h->headers, STR("cache-control"))) buf_add_str(b, STR("Cache-Control: no-store\r\n"));
	if (h->type == NULL || strncmp(h->type, "text/html", 9) != 0) return;
	if (!has_line(h->headers, STR("content-security-policy")))
		buf_add_str(
			b, STR("Content-Security-Policy: default-src 'self'; img-src 'self' data:; connect-src 'self'; "
			       "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'\r\n"));
}

static bool has_no_body(int status) { return status == 204 || status == 304; }

static void put_head(struct buf *b, struct http_server *s, const struct head *h, bool is_close)
{
	buf_addf(b, "HTTP/1.1 %d %s\r\nDate: %s\r\n", h->status, reason_of(h->status), http_date(s));
	if (h->type != NULL) buf_addf(b, "Content-Type: %s\r\n", h->type);
	if (h->encoding != NULL) buf_addf(b, "Content-Encoding: %s\r\n", h->encoding);
	if (h->varies) buf_add_str(b, STR("Vary: Accept-Encoding\r\n"));
	if (h->len >= 0 && !has_no_body(h->status)) buf_addf(b, "Content-Length: %lld\r\n", (long long)h->len);
	if (is_close) buf_add_str(b, STR("Connection: close\r\n"));
	put_security(b, h);
	if (h->headers != NULL) buf_add_str(b, str_c(h->headers));
}

/* Puts the head of an answer into the queue. What the client still sends of a body nobody will read cannot be told
 * from its next request, so the connection ends then. */
static void send_head(struct http_req *r, const struct head *h)
{
	struct http_server *s = r->hc->s;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if ((!r->parse.is_end && http_parse_has_body(&r->parse)) || s->is_stopping) r->is_close = true;
	if (has_no_body(h->status)) r->is_bodiless = true;
	put_head(&b, s, h, r->is_close);
	if (r->is_chunked) buf_add_str(&b, STR("Transfer-Encoding: chunked\r\n"));
	buf_add_str(&b, STR("\r\n"));
	conn_send(&r->hc->conn, buf_str(&b));
	buf_release(&b);
}

/* ---- whole answers ----------------------------------------------------------------------------------------------- */

static bool is_text(const char *type)
{
	static const char *const kinds[] = {"text/",
					    "application/json",
					    "application/javascript",
					    "application/manifest+json",
					    "application/openmetrics-text",
					    "application/x-ndjson",
					    "image/svg+xml"};
	for (size_t i = 0; type != NULL && i < ARRAY_LEN(kinds); i++)
		if (strncmp(type, kinds[i], strlen(kinds[i])) == 0) return true;
	return false;
}

static size_t gzip(struct str in, char *out, size_t cap)
{
	z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)in.p,
		      .avail_in = (uInt)in.n,
		      .next_out = (Bytef *)out,
		      .avail_out = (uInt)cap};
	if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return 0;
	bool ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
	deflateEnd(&z);
	return ok ? cap - z.avail_out : 0;
}

/* Compresses into `out`, which has room for in.n bytes; the encoding's name, or NULL when it is not worth it. */
static const char *compress_body(enum encoding e, struct str in, char *out, size_t *out_n)
{
	size_t n = 0;
	if (e == ENCODING_ZSTD) {
		n = ZSTD_compress(out, in.n, in.p, in.n, 1);
		if (ZSTD_isError(n)) n = 0;
	} else if (e == ENCODING_GZIP) {
		n = gzip(in, out, in.n);
	}
	*out_n = n;
	return n == 0 ? NULL : e == ENCODING_ZSTD ? "zstd" : "gzip";
}

void http_answer(struct http_req *r, int status, const char *content_type, const char *headers, struct str body)
{
	struct head h = {.status = status, .type = body.n > 0 ? content_type : NULL, .headers = headers};
	char *packed = NULL;
	size_t packed_n;
	h.varies = body.n >= COMPRESS_MIN && body.n <= COMPRESS_MAX && is_text(content_type);
	enum encoding e = h.varies ? encoding_accepted(http_header(r, "accept-encoding")) : ENCODING_IDENTITY;
	if (e != ENCODING_IDENTITY) {
		packed = xmalloc(body.n);
		h.encoding = compress_body(e, body, packed, &packed_n);
		if (h.encoding != NULL) body = str_n(packed, packed_n);
	}
	h.len = (int64_t)body.n;
	send_head(r, &h);
	if (!r->is_bodiless) conn_send(&r->hc->conn, body);
	free(packed);
	http_req_end(r);
}

void http_answer_static(struct http_req *r, int status, const char *content_type, const char *headers, struct str body,
			const char *encoding)
{
	struct head h = {.status = status,
			 .type = content_type,
			 .headers = headers,
			 .encoding = encoding,
			 .len = (int64_t)body.n,
			 .varies = is_text(content_type)};
	send_head(r, &h);
	if (!r->is_bodiless) conn_send_static(&r->hc->conn, body);
	http_req_end(r);
}

void http_answer_file(struct http_req *r, const char *content_type, const char *headers, int fd, int64_t offset,
		      int64_t len, int status)
{
	struct head h = {.status = status, .type = content_type, .headers = headers, .len = len};
	send_head(r, &h);
	if (r->is_bodiless) close(fd);
	else conn_send_file(&r->hc->conn, fd, offset, len);
	http_req_end(r);
}

static void put_error(struct buf *b, enum err e, const struct errinfo *info)
{
	struct jw w = JW(b);
	jw_obj(&w);
	jw_key(&w, "error");
	jw_obj(&w);
	jw_kstr(&w, "code", str_c(err_code(e)));
	jw_kstr(&w, "message", str_c(err_sentence(info, e)));
	jw_kbool(&w, "retryable", err_retryable(e));
	if (info != NULL && info->retry_after_ms > 0) jw_kint(&w, "retryAfterMs", info->retry_after_ms);
	jw_obj_end(&w);
	jw_obj_end(&w);
}

void http_answer_error(struct http_req *r, enum err e, const struct errinfo *info)
{
	struct buf body = BUF_INIT(4096), headers = BUF_INIT(256);
	if (info != NULL && info->err != e) info = NULL;
	put_error(&body, e, info);
	if (info != NULL && info->retry_after_ms > 0)
		buf_addf(&headers, "Retry-After: %lld\r\n", (long long)((info->retry_after_ms + 999) / 1000));
	if (e == ERR_UNAUTHORIZED) buf_add_str(&headers, STR("WWW-Authenticate: Bearer\r\n"));
	if (e == ERR_UPGRADE) buf_add_str(&headers, STR("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
	http_answer(r, err_http(e), "application/json", headers.p, buf_str(&body));
	buf_release(&headers);
	buf_release(&body);
}

void http_answer_raw(struct http_server *s, enum err e, struct buf *out)
{
	struct buf body = BUF_INIT(4096);
	put_error(&body, e, NULL);
	struct head h = {.status = err_http(e),
			 .type = "application/json",
			 .len = (int64_t)body.n,
			 .headers = "Retry-After: 1\r\n"};
	put_head(out, s, &h, true);
	buf_add_str(out, STR("\r\n"));
	buf_add_str(out, buf_str(&body));
	buf_release(&body);
}

/* ---- answers in pieces ------------------------------------------------------------------------------------------- */

void http_stream_begin(struct http_req *r, int status, const char *content_type, const char *headers)
{
	struct head h = {.status = status, .type = content_type, .headers = headers, .len = -1};
	r->is_chunked = r->parse.ll.http_minor == 1 && !has_no_body(status);
	r->state = REQ_STREAMING;
	conn_deadline(&r->hc->conn, 0);
	send_head(r, &h);
}

void http_stream_write(struct http_req *r, struct str piece)
{
	struct conn *c = &r->hc->conn;
	char size[24];
	if (piece.n == 0 || r->is_bodiless) return;
	if (!r->is_chunked) {
		conn_send(c, piece);
		return;
	}
	size_t n = (size_t)snprintf(size, sizeof size, "%zx\r\n", piece.n);
	char *p = conn_send_space(c, n + piece.n + 2);
	memcpy(p, size, n);
	memcpy(p + n, piece.p, piece.n);
	memcpy(p + n + piece.n, "\r\n", 2);
}

void http_stream_end(struct http_req *r)
{
	if (r->is_chunked && !r->is_bodiless) conn_send_static(&r->hc->conn, STR("0\r\n\r\n"));
	http_req_end(r);
}

size_t http_queued(const struct http_req *r) { return conn_queued(&r->hc->conn); }
