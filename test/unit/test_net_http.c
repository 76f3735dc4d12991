/* The HTTP server over real sockets on loopback. */
#include "net_gear.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include "net/http.h"

#define H "Host: 127.0.0.1\r\n"

static struct gear g;
static struct {
	int heads, requests, gones;
	int64_t sunk;
	struct http_req *kept; /* a request nobody answered yet */
	char seen[256];        /* what the last handler saw */
} seen;

static void sink(void *ctx, struct http_req *r, struct str piece)
{
	(void)ctx;
	seen.sunk += (int64_t)piece.n;
	if (seen.sunk < 300000) return;
	seen.kept = r; /* enough for now */
	http_pause(r);
}

static void on_head(void *ctx, struct http_req *r)
{
	(void)ctx;
	seen.heads++;
	if (str_eq(http_path(r), STR("/early"))) http_answer(r, 200, "text/plain", NULL, STR("early"));
	else if (str_eq(http_path(r), STR("/sink"))) http_sink(r, 1 << 20, sink);
	else if (str_eq(http_path(r), STR("/small"))) http_collect(r, 10);
}

static void answer_big(struct http_req *r)
{
	int64_t n = 0;
	assert_true(str_to_int(http_query(r, "n"), &n));
	char *p = xmalloc((size_t)n);
	for (int64_t i = 0; i < n; i++) p[i] = (char)('a' + i % 7);
	http_answer(r, 200, "text/plain; charset=utf-8", NULL, str_n(p, (size_t)n));
	free(p);
}

static void answer_file(struct http_req *r)
{
	char path[] = "/tmp/roost-test-XXXXXX", block[1000];
	int fd = mkstemp(path);
	unlink(path);
	memset(block, 'f', sizeof block);
	for (int i = 0; i < 1000; i++) assert_int_equal(write(fd, block, sizeof block), sizeof block);
	http_answer_file(r, "application/octet-stream", "Cache-Control: private\r\n", fd, 10, 900000, 206);
}

static void on_request(void *ctx, struct http_req *r)
{
	struct str path = http_path(r), q = http_query(r, "q");
	(void)ctx;
	seen.requests++;
	snprintf(seen.seen, sizeof seen.seen, "%.*s %.*s q=%.*s peer=%.*s secure=%d loopback=%d local=%d",
		 STR_ARG(http_method(r)), STR_ARG(path), STR_ARG(q), STR_ARG(http_peer(r)), http_is_secure(r),
		 http_is_loopback(r), http_is_local(r));
	if (str_eq(path, STR("/echo"))) http_answer(r, 200, "application/octet-stream", NULL, http_body(r));
	else if (str_eq(path, STR("/big"))) answer_big(r);
	else if (str_eq(path, STR("/file"))) answer_file(r);
	else if (str_eq(path, STR("/html")))
		http_answer(r, 200, "text/html", "Cache-Control: no-cache\r\n", STR("<p>"));
	else if (str_eq(path, STR("/empty"))) http_answer(r, 204, NULL, NULL, STR_NONE);
	else if (str_eq(path, STR("/keep"))) seen.kept = r;
	else if (str_eq(path, STR("/missing"))) http_answer_error(r, ERR_NOT_FOUND, NULL);
	else http_answer(r, 200, "text/plain", NULL, STR("hello"));
}

static void on_gone(void *ctx, struct http_req *r)
{
	(void)ctx;
	seen.gones++;
	if (seen.kept == r) seen.kept = NULL;
}

static int setup(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof seen);
	gear_init(&g);
	g.o.hooks = (struct http_hooks){.head = on_head, .request = on_request, .gone = on_gone};
	return 0;
}

static int setup_started(void **state)
{
	static const char *const hosts[] = {"home.example", NULL}, *const origins[] = {"https://app.example", NULL};
	setup(state);
	g.o.hosts = hosts;
	g.o.origins = origins;
	gear_start(&g);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gear_stop(&g);
	return 0;
}

/* One request on a connection of its own, which the server is asked to close. */
static struct buf ask(const char *request) { return gear_ask(&g, str_c(request), 2000, NULL); }

static void expect_status(const char *request, int status)
{
	struct buf b = ask(request);
	if (status_of(&b) != status) print_error("%s\n-> %.*s\n", request, (int)b.n, b.p);
	assert_int_equal(status_of(&b), status);
	buf_release(&b);
}

/* ---- what must be refused ---------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	struct str bytes;
	int status;
} corpus[] = {
#define BAD(name, text, status)                                                                                        \
	{                                                                                                              \
		name, {text, sizeof(text) - 1}, status                                                                 \
	}
	BAD("Content-Length and Transfer-Encoding",
	    "POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
	BAD("Transfer-Encoding and Content-Length",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
	BAD("two Content-Lengths", "POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
	    400),
	BAD("two equal Content-Lengths",
	    "POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
	BAD("a list of Content-Lengths", "POST /echo HTTP/1.1\r\n" H "Content-Length: 4, 4\r\n\r\nabcd", 400),
	BAD("a signed Content-Length", "POST /echo HTTP/1.1\r\n" H "Content-Length: +4\r\n\r\nabcd", 400),
	BAD("a negative Content-Length", "POST /echo HTTP/1.1\r\n" H "Content-Length: -4\r\n\r\nabcd", 400),
	BAD("a hexadecimal Content-Length", "POST /echo HTTP/1.1\r\n" H "Content-Length: 0x4\r\n\r\nabcd", 400),
	BAD("an empty Content-Length", "POST /echo HTTP/1.1\r\n" H "Content-Length:\r\n\r\nabcd", 400),
	BAD("a Content-Length above 64 bits",
	    "POST /echo HTTP/1.1\r\n" H "Content-Length: 99999999999999999999999\r\n\r\nabcd", 400),
	BAD("a space inside Content-Length", "POST /echo HTTP/1.1\r\n" H "Content-Length: 4 4\r\n\r\nabcd", 400),
	BAD("another Transfer-Encoding", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400),
	BAD("chunked is not the last coding",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
	BAD("a coding before chunked", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	    400),
	BAD("chunked twice",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	    400),
	BAD("a misspelt chunked", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
	BAD("a quoted chunked", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
	BAD("a vertical tab before chunked",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
	    "chunked\r\n\r\n0\r\n\r\n",
	    400),
	BAD("chunked in HTTP/1.0", "POST /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
	BAD("a space before the colon", "POST /echo HTTP/1.1\r\n" H "Content-Length : 4\r\n\r\nabcd", 400),
	BAD("a tab before the colon", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400),
	BAD("a field without a name", "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", 400),
	BAD("a field without a colon", "GET / HTTP/1.1\r\n" H "Content-Length\r\n\r\n", 400),
	BAD("a folded field", "GET / HTTP/1.1\r\n" H "X-A: b\r\n c\r\n\r\n", 400),
	BAD("a folded Transfer-Encoding", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	    400),
	BAD("a first line that begins with a space", "GET / HTTP/1.1\r\n X: y\r\n" H "\r\n", 400),
	BAD("bare LF after the request line", "GET / HTTP/1.1\n" H "\r\n", 400),
	BAD("bare LF after a field", "GET / HTTP/1.1\r\nHost: 127.0.0.1\n\r\n", 400),
	BAD("bare LF at the end of the head", "GET / HTTP/1.1\r\n" H "\n", 400),
	BAD("bare CR in a field", "GET / HTTP/1.1\r\n" H "X-A: b\rContent-Length: 4\r\n\r\n", 400),
	BAD("CR CR LF", "GET / HTTP/1.1\r\r\n" H "\r\n", 400),
	BAD("NUL in a value", "GET / HTTP/1.1\r\n" H "X-A: b\0c\r\n\r\n", 400),
	BAD("NUL in a name", "GET / HTTP/1.1\r\n" H "X\0A: b\r\n\r\n", 400),
	BAD("NUL in the target", "GET /a\0b HTTP/1.1\r\n" H "\r\n", 400),
	BAD("a chunk size that is no number",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nzz\r\nabcd\r\n0\r\n\r\n", 400),
	BAD("a signed chunk size",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n+4\r\nabcd\r\n0\r\n\r\n", 400),
	BAD("a chunk size with 0x",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n", 400),
	BAD("a chunk size above 64 bits",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n10000000000000004\r\nabcd\r\n0\r\n\r\n",
	    400),
	BAD("a space behind the chunk size",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4 \r\nabcd\r\n0\r\n\r\n", 400),
	BAD("bare LF behind the chunk size",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4\nabcd\r\n0\r\n\r\n", 400),
	BAD("bare LF in a chunk extension",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4;x\nabcd\r\n0\r\n\r\n", 400),
	BAD("NUL in a chunk extension",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4;x=\0\r\nabcd\r\n0\r\n\r\n", 400),
	BAD("a chunk longer than its size",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
	BAD("no CRLF behind a chunk",
	    "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd0\r\n\r\n", 400),
	BAD("a bad trailer", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX Y: z\r\n\r\n", 400),
	BAD("two Hosts", "GET / HTTP/1.1\r\n" H "Host: localhost\r\n\r\n", 400),
	BAD("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
	BAD("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 421),
	BAD("another Host in the target", "GET http://evil.example/ HTTP/1.1\r\n" H "\r\n", 400),
	BAD("an unknown method", "BREW / HTTP/1.1\r\n" H "\r\n", 400),
	BAD("a method in lower case", "get / HTTP/1.1\r\n" H "\r\n", 400),
	BAD("CONNECT", "CONNECT 127.0.0.1:80 HTTP/1.1\r\n" H "\r\n", 405),
	BAD("TRACE", "TRACE / HTTP/1.1\r\n" H "\r\n", 405),
	BAD("HTTP/2.0", "GET / HTTP/2.0\r\n" H "\r\n", 400),
	BAD("HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n", 400),
	BAD("HTTP/0.9", "GET /\r\n\r\n", 400),
	BAD("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
	BAD("a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
	BAD("no version", "GET / \r\n" H "\r\n", 400),
	BAD("an asterisk", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 400),
	BAD("..", "GET /a/../b HTTP/1.1\r\n" H "\r\n", 400),
	BAD("encoded ..", "GET /a/%2e%2E/b HTTP/1.1\r\n" H "\r\n", 400),
	BAD("an encoded slash", "GET /a%2fb HTTP/1.1\r\n" H "\r\n", 400),
	BAD("an encoded NUL", "GET /a%00 HTTP/1.1\r\n" H "\r\n", 400),
	BAD("an encoded newline", "GET /a%0a HTTP/1.1\r\n" H "\r\n", 400),
	BAD("a bad escape", "GET /a%zz HTTP/1.1\r\n" H "\r\n", 400),
	BAD("a cut escape", "GET /a%2 HTTP/1.1\r\n" H "\r\n", 400),
	BAD("a bad escape in the query", "GET /a?b=%g1 HTTP/1.1\r\n" H "\r\n", 400),
	BAD("a path that is not UTF-8", "GET /a%ff HTTP/1.1\r\n" H "\r\n", 400),
	BAD("a fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", 400),
	BAD("another expectation", "POST /echo HTTP/1.1\r\n" H "Expect: a-miracle\r\nContent-Length: 1\r\n\r\nx", 400),
#undef BAD
};

static void bad_framing_is_answered_and_ends_the_connection(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(corpus); i++) {
		struct buf request = BUF_INIT(BUF_NO_LIMIT);
		bool is_closed;
		buf_add_str(&request, corpus[i].bytes);
		buf_add_str(&request, STR("GET /smuggled HTTP/1.1\r\n" H "\r\n")); /* must never be seen */
		struct buf b = gear_ask(&g, buf_str(&request), 2000, &is_closed);
		if (status_of(&b) != corpus[i].status) print_error("%s: %.*s\n", corpus[i].name, (int)b.n, b.p);
		assert_int_equal(status_of(&b), corpus[i].status);
		assert_int_equal(count(&b, "\r\nDate: "), 1);
		assert_true(is_closed);
		assert_true(has(&b, "Connection: close\r\n"));
		assert_true(has(&b, "{\"error\":{\"code\":"));
		assert_int_equal(seen.requests, 0);
		buf_release(&b);
		buf_release(&request);
	}
}

/* The same, arriving one byte at a time: the parser must not depend on how the bytes are cut. */
static void bad_framing_is_seen_byte_by_byte_too(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(corpus); i++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		int fd = gear_connect(&g);
		for (size_t k = 0; k < corpus[i].bytes.n; k++) {
			gear_send(&g, fd, str_n(corpus[i].bytes.p + k, 1));
			uv_run(&g.loop, UV_RUN_NOWAIT);
		}
		gear_send(&g, fd, STR("GET /smuggled HTTP/1.1\r\n" H "\r\n"));
		gear_read(&g, fd, &b, 0, STR_NONE, 2000);
		if (status_of(&b) != corpus[i].status) print_error("%s: %.*s\n", corpus[i].name, (int)b.n, b.p);
		assert_int_equal(status_of(&b), corpus[i].status);
		assert_int_equal(seen.requests, 0);
		buf_release(&b);
		close(fd);
	}
}

static void only_known_hosts_and_origins_are_served(void **state)
{
	(void)state;
#define GET(lines) "GET / HTTP/1.1\r\nConnection: close\r\n" lines "\r\n"
	expect_status(GET("Host: 127.0.0.1:1\r\n"), 200);
	expect_status(GET("Host: 10.1.2.3\r\n"), 200);
	expect_status(GET("Host: [::1]:8787\r\n"), 200);
	expect_status(GET("Host: LocalHost:9\r\n"), 200);
	expect_status(GET("Host: home.example\r\n"), 200);
	expect_status(GET("Host: HOME.example:8787\r\n"), 200);
	expect_status(GET("Host: evil.example\r\n"), 421);
	expect_status(GET("Host: home.example.evil\r\n"), 421);
	expect_status(GET("Host: localhost.evil\r\n"), 421);
	expect_status(GET("Host: 127.0.0.1.evil\r\n"), 421);
	expect_status(GET("Host: 127.1\r\n"), 421);
	expect_status(GET("Host: [::1\r\n"), 421);
	expect_status(GET("Host: a@127.0.0.1\r\n"), 421);
	expect_status(GET("Host: 127.0.0.1:99999\r\n"), 421);
	expect_status(GET("Host: localhost:7\r\nOrigin: http://localhost:7\r\n"), 200);
	expect_status(GET("Host: localhost\r\nOrigin: http://LOCALHOST:80\r\n"), 200);
	expect_status(GET("Host: localhost:7\r\nOrigin: https://app.example\r\n"), 200);
	expect_status(GET("Host: localhost:7\r\nOrigin: http://localhost:8\r\n"), 403);
	expect_status(GET("Host: localhost:7\r\nOrigin: https://localhost:7\r\n"), 403);
	expect_status(GET("Host: localhost:7\r\nOrigin: http://localhost:7/\r\n"), 403);
	expect_status(GET("Host: localhost:7\r\nOrigin: http://app.example\r\n"), 403);
	expect_status(GET("Host: localhost:7\r\nOrigin: null\r\n"), 403);
	expect_status("GET / HTTP/1.0\r\n\r\n", 200);
#undef GET
}

static void a_declared_proxy_is_believed_and_nobody_else(void **state)
{
	(void)state;
#define GET(lines) "GET / HTTP/1.1\r\nConnection: close\r\n" H lines "\r\n"
	struct buf b = ask(GET("X-Forwarded-For: 9.9.9.9, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"));
	assert_string_equal(seen.seen, "GET / q= peer=127.0.0.1 secure=0 loopback=1 local=0");
	buf_release(&b);
	gear_stop(&g);
	setup(NULL);
	g.o.trust_proxy = true;
	gear_start(&g);
	b = ask(GET("X-Forwarded-For: 9.9.9.9, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"));
	assert_string_equal(seen.seen, "GET / q= peer=203.0.113.7 secure=1 loopback=0 local=0");
	buf_release(&b);
	b = ask(GET(""));
	assert_string_equal(seen.seen, "GET / q= peer=127.0.0.1 secure=0 loopback=0 local=0");
	buf_release(&b);
#undef GET
}

/* ---- limits and deadlines ---------------------------------------------------------------------------------------- */

static void heads_and_bodies_have_limits(void **state)
{
	(void)state;
	struct buf r = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&r, STR("GET /"));
	for (int i = 0; i < 20000; i++) buf_add_char(&r, 'a');
	expect_status(r.p, 414);
	buf_clear(&r);
	buf_add_str(&r, STR("GET / HTTP/1.1\r\n" H));
	for (int i = 0; i < 5000; i++) buf_add_str(&r, STR("a: b\r\n"));
	expect_status(r.p, 431);
	buf_clear(&r);
	buf_add_str(&r, STR("GET / HTTP/1.1\r\n" H "X: "));
	for (int i = 0; i < 20000; i++) buf_add_char(&r, 'a');
	expect_status(r.p, 431);
	expect_status("POST /small HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\n", 413);
	expect_status("POST /small HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n", 413);
	expect_status("POST /small HTTP/1.1\r\n" H
		      "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
		      200);
	buf_clear(&r);
	buf_add_str(&r, STR("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1;"));
	for (int i = 0; i < 40000; i++) buf_add_char(&r, 'x');
	expect_status(r.p, 400);
	buf_release(&r);
	assert_int_equal(seen.gones,
			 2 + 1); /* what the handler knew of and did not answer: two bodies, one extension */
}

static void bodies_of_all_connections_together_have_a_limit(void **state)
{
	(void)state;
	static char half[600000];
	int fds[4];
	unsigned refused = 0;
	memset(half, 'x', sizeof half);
	g.limits.unfinished_bytes = 1 << 20;
	gear_start(&g);
	for (int i = 0; i < 4; i++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		fds[i] = gear_connect(&g);
		gear_send(&g, fds[i], STR("POST /echo HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n"));
		gear_send(&g, fds[i], str_n(half, sizeof half));
		gear_read(&g, fds[i], &b, 0, STR("}}"), 50);
		refused += status_of(&b) == 503;
		buf_release(&b);
	}
	assert_in_range(refused, 2, 3);
	for (int i = 0; i < 4; i++) close(fds[i]);
	gear_wait(&g, 20);
	expect_status("POST /echo HTTP/1.1\r\n" H "Connection: close\r\nContent-Length: 3\r\n\r\nabc", 200);
}

static void slow_peers_are_cut_off(void **state)
{
	(void)state;
	bool is_closed;
	g.limits.head_ms = g.limits.body_ms = g.limits.idle_ms = 100;
	gear_start(&g);
	struct buf b = gear_ask(&g, STR("GET / HT"), 2000, &is_closed); /* slowloris */
	assert_int_equal(status_of(&b), 408);
	assert_true(is_closed);
	buf_release(&b);
	b = gear_ask(&g, STR(""), 2000, &is_closed); /* says nothing at all */
	assert_int_equal(b.n, 0);
	assert_true(is_closed);
	buf_release(&b);
	b = gear_ask(&g, STR("POST /echo HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc"), 2000, &is_closed);
	assert_int_equal(status_of(&b), 408);
	assert_true(is_closed);
	assert_int_equal(seen.gones, 1);
	buf_release(&b);
	b = gear_ask(&g, STR("GET / HTTP/1.1\r\n" H "\r\n"), 2000, &is_closed); /* then idle */
	assert_int_equal(status_of(&b), 200);
	assert_true(is_closed);
	buf_release(&b);

	int fd = gear_connect(&g); /* a byte every 30 ms is progress by itself, but not for the head as a whole */
	int64_t start = clock_boot_ms();
	for (int i = 0; i < 20; i++) {
		gear_send(&g, fd, STR("G"));
		gear_wait(&g, 30);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, 0) > 0) break;
	}
	assert_in_range(clock_boot_ms() - start, 60, 400);
	close(fd);
}

static void a_peer_that_does_not_read_is_cut_off(void **state)
{
	(void)state;
	struct http_stats st;
	int small = 4096;
	g.limits.write_stall_ms = 200;
	gear_start(&g);
	int fd = gear_connect(&g);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	gear_send(&g, fd, STR("GET /big?n=30000000 HTTP/1.1\r\n" H "\r\n"));
	gear_wait(&g, 100);
	http_stats(g.s, &st);
	assert_int_equal(st.open, 1);
	gear_wait(&g, 700);
	http_stats(g.s, &st);
	assert_int_equal(st.open, 0);
	close(fd);
}

static void connections_over_a_limit_get_503_and_others_live_on(void **state)
{
	(void)state;
	int fds[4];
	struct http_stats st;
	g.limits.connections = 4;
	gear_start(&g);
	for (int i = 0; i < 4; i++) fds[i] = gear_connect(&g);
	gear_wait(&g, 20);
	bool is_closed;
	struct buf b = gear_ask(&g, STR("GET / HTTP/1.1\r\n" H "\r\n"), 2000, &is_closed);
	assert_int_equal(status_of(&b), 503);
	assert_true(is_closed);
	buf_release(&b);
	buf_init(&b, BUF_NO_LIMIT);
	gear_send(&g, fds[2], STR("GET / HTTP/1.1\r\n" H "\r\n"));
	assert_true(gear_read(&g, fds[2], &b, 0, STR("hello"), 2000));
	buf_release(&b);
	close(fds[0]);
	gear_wait(&g, 20);
	b = ask("GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	assert_int_equal(status_of(&b), 200);
	buf_release(&b);
	for (int i = 1; i < 4; i++) close(fds[i]);
	gear_wait(&g, 20);
	http_stats(g.s, &st);
	assert_int_equal(st.open, 0);
	assert_int_equal(st.refused, 1);
}

static void one_address_cannot_take_all_connections(void **state)
{
	(void)state;
	g.limits.connections_per_address = 2;
	gear_start(&g);
	int a = gear_connect(&g), b = gear_connect(&g);
	gear_wait(&g, 20);
	expect_status("GET / HTTP/1.1\r\n" H "\r\n", 503);
	close(a);
	close(b);
	gear_wait(&g, 20);
	expect_status("GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", 200);
}

static void running_out_of_descriptors_is_answered_and_passes(void **state)
{
	(void)state;
	struct rlimit old, tight;
	int fd = gear_connect(&g), probe = dup(fd); /* probe: the next free number */
	getrlimit(RLIMIT_NOFILE, &old);
	tight = old;
	tight.rlim_cur = (rlim_t)probe + 1;
	close(probe);
	gear_wait(&g, 20);
	int more = gear_connect(&g); /* in the backlog: the server's end would be the one too many */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	clock_t cpu = clock();
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	gear_read(&g, more, &b, 0, STR_NONE, 300);
	assert_int_equal(status_of(&b), 503);
	gear_wait(&g, 200);
	assert_true((clock() - cpu) * 1000 / CLOCKS_PER_SEC < 400); /* does not spin */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	buf_release(&b);
	close(more);
	expect_status("GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", 200);
	close(fd);
}

/* ---- requests and answers ---------------------------------------------------------------------------------------- */

static void pipelined_requests_are_answered_in_order_one_at_a_time(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	int fd = gear_connect(&g);
	gear_send(&g, fd,
		  STR("GET /keep HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\ntwo"
		      "GET /missing HTTP/1.1\r\n" H "\r\nPOST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
		      "2\r\nfo\r\n2;ext=1\r\nur\r\n0\r\nTrailer: x\r\n\r\nGET /early HTTP/1.1\r\n" H "\r\n"));
	gear_wait(&g, 50);
	assert_int_equal(seen.requests, 1); /* the second waits for the first */
	assert_non_null(seen.kept);
	http_answer(seen.kept, 200, "text/plain", NULL, STR("one"));
	seen.kept = NULL;
	assert_true(gear_read(&g, fd, &b, 0, STR("early"), 2000));
	assert_int_equal(count(&b, "HTTP/1.1 "), 5);
	const char *one = strstr(b.p, "\r\none"), *two = strstr(b.p, "\r\ntwo"), *three = strstr(b.p, "not_found"),
		   *four = strstr(b.p, "\r\nfour");
	assert_true(one != NULL && one < two && two < three && three < four);
	buf_release(&b);
	close(fd);
}

static void a_thousand_pipelined_requests_do_not_exhaust_the_stack(void **state)
{
	(void)state;
	struct buf r = BUF_INIT(BUF_NO_LIMIT);
	for (int i = 0; i < 1000; i++) buf_add_str(&r, STR("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
	buf_add_str(&r, STR("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
	struct buf b = gear_ask(&g, buf_str(&r), 5000, NULL);
	assert_int_equal(count(&b, "HTTP/1.1 200"), 1001);
	buf_release(&b);
	buf_release(&r);
}

static void every_answer_has_the_security_headers(void **state)
{
	(void)state;
	struct buf b = ask("GET /html HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	assert_true(has(&b, "X-Content-Type-Options: nosniff\r\n"));
	assert_true(has(&b, "Referrer-Policy: no-referrer\r\n"));
	assert_true(has(&b, "Cross-Origin-Resource-Policy: same-origin\r\n"));
	assert_true(has(&b, "Content-Security-Policy: default-src 'self'"));
	assert_true(has(&b, "Cache-Control: no-cache\r\n") && !has(&b, "no-store"));
	buf_release(&b);
	b = ask("GET /missing HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	assert_true(has(&b, "X-Content-Type-Options: nosniff\r\n") && has(&b, "Cache-Control: no-store\r\n"));
	assert_true(has(&b, "{\"error\":{\"code\":\"not_found\""));
	buf_release(&b);
}

static void head_and_empty_answers_have_no_body(void **state)
{
	(void)state;
	struct buf b = ask("HEAD / HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	assert_true(has(&b, "Content-Length: 5\r\n") && !has(&b, "hello"));
	buf_release(&b);
	b = ask("GET /empty HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	assert_int_equal(status_of(&b), 204);
	assert_false(has(&b, "Content-Length"));
	buf_release(&b);
}

static struct str body_of(const struct buf *b)
{
	const char *end = strstr(b->p, "\r\n\r\n");
	assert_non_null(end);
	return str_n(end + 4, b->n - (size_t)(end + 4 - b->p));
}

static void large_text_is_compressed_when_the_client_takes_it(void **state)
{
	(void)state;
	static const struct {
		const char *accept, *encoding;
	} rows[] = {{"gzip", "gzip"}, {"gzip, zstd", "zstd"}, {"zstd;q=0, gzip;q=0.5", "gzip"},
		    {"br", NULL},     {"gzip;q=0", NULL},     {"identity", NULL}};
	char request[200], line[60], plain[70000];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = 0;
		snprintf(request, sizeof request,
			 "GET /big?n=70000 HTTP/1.1\r\n" H "Connection: close\r\nAccept-Encoding: %s\r\n\r\n",
			 rows[i].accept);
		struct buf b = ask(request);
		struct str body = body_of(&b);
		snprintf(line, sizeof line, "Content-Encoding: %s\r\n",
			 rows[i].encoding != NULL ? rows[i].encoding : "");
		assert_int_equal(has(&b, line), rows[i].encoding != NULL);
		assert_true(has(&b, "Vary: Accept-Encoding\r\n"));
		if (rows[i].encoding == NULL) {
			assert_int_equal(body.n, 70000);
		} else if (strcmp(rows[i].encoding, "zstd") == 0) {
			n = ZSTD_decompress(plain, sizeof plain, body.p, body.n);
		} else {
			z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)body.p,
				      .avail_in = (uInt)body.n,
				      .next_out = (Bytef *)plain,
				      .avail_out = sizeof plain};
			inflateInit2(&z, 31);
			assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
			n = z.total_out;
			inflateEnd(&z);
		}
		if (rows[i].encoding != NULL) assert_int_equal(n, 70000);
		buf_release(&b);
	}
	struct buf b = ask("GET /big?n=500 HTTP/1.1\r\n" H "Connection: close\r\nAccept-Encoding: gzip\r\n\r\n");
	assert_false(has(&b, "Content-Encoding")); /* too small to be worth it */
	buf_release(&b);
}

static void files_are_streamed(void **state)
{
	(void)state;
	struct buf b = ask("GET /file HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	assert_int_equal(status_of(&b), 206);
	assert_int_equal(body_of(&b).n, 900000);
	buf_release(&b);
}

static void answers_in_pieces_are_chunked(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	int fd = gear_connect(&g);
	gear_send(&g, fd, STR("GET /keep HTTP/1.1\r\n" H "\r\n"));
	gear_wait(&g, 20);
	http_stream_begin(seen.kept, 200, "text/event-stream", NULL);
	http_stream_write(seen.kept, STR("data: one\n\n"));
	assert_true(gear_read(&g, fd, &b, 0, STR("b\r\ndata: one\n\n\r\n"), 2000)); /* now, not at the end */
	assert_true(has(&b, "Transfer-Encoding: chunked\r\n"));
	http_stream_write(seen.kept, STR("two"));
	http_stream_end(seen.kept);
	seen.kept = NULL;
	assert_true(gear_read(&g, fd, &b, 0, STR("3\r\ntwo\r\n0\r\n\r\n"), 2000));
	gear_send(&g, fd, STR("GET / HTTP/1.1\r\n" H "\r\n")); /* the connection goes on */
	assert_true(gear_read(&g, fd, &b, 0, STR("hello"), 2000));
	close(fd);
	buf_release(&b);
}

static void a_handler_is_told_when_its_peer_leaves(void **state)
{
	(void)state;
	int fd = gear_connect(&g);
	gear_send(&g, fd, STR("GET /keep HTTP/1.1\r\n" H "\r\n"));
	gear_wait(&g, 20);
	assert_non_null(seen.kept);
	close(fd);
	gear_wait(&g, 20);
	assert_int_equal(seen.gones, 1);
	assert_null(seen.kept);

	fd = gear_connect(&g); /* the same in the middle of a stream, with unread pipelined input */
	gear_send(&g, fd, STR("GET /keep HTTP/1.1\r\n" H "\r\nGET / HTTP/1.1\r\n"));
	gear_wait(&g, 20);
	gear_send(&g, fd, STR(H "\r\n"));
	http_stream_begin(seen.kept, 200, "text/plain", NULL);
	gear_wait(&g, 20);
	close(fd);
	gear_wait(&g, 20);
	assert_int_equal(seen.gones, 2);
}

static void a_body_can_be_streamed_in_and_held_back(void **state)
{
	(void)state;
	struct buf r = BUF_INIT(BUF_NO_LIMIT);
	buf_add_str(&r, STR("PUT /sink HTTP/1.1\r\n" H "Connection: close\r\nContent-Length: 1000000\r\n\r\n"));
	for (int i = 0; i < 1000000; i++) buf_add_char(&r, 's');
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	int fd = gear_connect(&g), pauses = 0, small = 65536;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	for (size_t at = 0; seen.sunk < 1000000 || seen.kept != NULL;) {
		int64_t sunk = seen.sunk;
		ssize_t n = at < r.n ? send(fd, r.p + at, r.n - at, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
		if (n > 0) at += (size_t)n;
		gear_turn(&g);
		if (seen.kept == NULL) continue;
		gear_wait(&g, 5);
		assert_true(seen.sunk <= sunk + 2 * 65536); /* what was read already, no more */
		struct http_req *kept = seen.kept;
		seen.kept = NULL;
		pauses++;
		http_resume(kept);
	}
	assert_true(gear_read(&g, fd, &b, 0, STR("hello"), 3000));
	assert_int_equal(seen.sunk, 1000000);
	assert_true(pauses > 2);
	close(fd);
	buf_release(&b);
	buf_release(&r);
	expect_status("PUT /sink HTTP/1.1\r\n" H "Content-Length: 1048577\r\n\r\n", 413);
}

static void expect_100_continue_is_met_only_when_the_body_is_wanted(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	int fd = gear_connect(&g);
	gear_send(&g, fd, STR("POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
	assert_true(gear_read(&g, fd, &b, 0, STR("HTTP/1.1 100 Continue\r\n\r\n"), 2000));
	gear_send(&g, fd, STR("body"));
	assert_true(gear_read(&g, fd, &b, 0, STR("\r\n\r\nbody"), 2000));
	close(fd);
	buf_release(&b);
	b = ask("POST /small HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 400\r\n\r\n");
	assert_int_equal(status_of(&b), 413);
	buf_release(&b);
	b = ask("POST /early HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 400\r\n\r\n");
	assert_int_equal(status_of(&b), 200);
	assert_true(has(&b, "Connection: close\r\n") && !has(&b, "100 Continue"));
	buf_release(&b);
}

static void targets_and_queries_are_decoded(void **state)
{
	(void)state;
	struct buf b =
		ask("GET http://127.0.0.1/a%20b/%C3%A4?p=1&q=x+%26y&q=2 HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	assert_string_equal(seen.seen, "GET /a b/ä q=x &y peer=127.0.0.1 secure=0 loopback=1 local=0");
	buf_release(&b);
}

static void the_unix_socket_is_local_and_private(void **state)
{
	(void)state;
	struct errinfo info;
	struct stat st;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/roost-test-XXXXXX";
	assert_non_null(mkdtemp(dir));
	snprintf(sa.sun_path, sizeof sa.sun_path, "%s/roost.sock", dir);
	assert_int_equal(http_listen_unix(g.s, sa.sun_path, &info), OK);
	assert_int_equal(http_listen_unix(g.s, sa.sun_path, &info), OK); /* the stale one is replaced */
	assert_int_equal(stat(sa.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	gear_send(&g, fd, STR("GET /x HTTP/1.1\r\nHost: anything.example\r\n\r\n"));
	assert_true(gear_read(&g, fd, &b, 0, STR("hello"), 2000));
	assert_string_equal(seen.seen, "GET /x q= peer=local secure=0 loopback=1 local=1");
	buf_release(&b);
	close(fd);
	unlink(sa.sun_path);
	rmdir(dir);
}

static void stopping_lets_answers_finish(void **state)
{
	(void)state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	gear_start(&g);
	int fd = gear_connect(&g), idle = gear_connect(&g);
	char byte;
	gear_send(&g, fd, STR("GET /keep HTTP/1.1\r\n" H "\r\n"));
	gear_wait(&g, 20);
	http_server_stop(g.s, 2000, gear_on_stopped, &g);
	gear_wait(&g, 20);
	assert_int_equal(recv(idle, &byte, 1, MSG_DONTWAIT), 0);
	assert_false(g.is_stopped);
	http_answer(seen.kept, 200, "text/plain", NULL, STR("last"));
	gear_read(&g, fd, &b, 0, STR_NONE, 2000);
	assert_true(has(&b, "last") && has(&b, "Connection: close"));
	close(fd);
	close(idle);
	gear_wait(&g, 20);
	assert_true(g.is_stopped);
	http_server_free(g.s);
	while (uv_run(&g.loop, UV_RUN_NOWAIT) != 0) continue;
	assert_int_equal(uv_loop_close(&g.loop), 0);
	buf_release(&b);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_started, teardown)
#define T_OWN(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(bad_framing_is_answered_and_ends_the_connection),
		T(bad_framing_is_seen_byte_by_byte_too),
		T(only_known_hosts_and_origins_are_served),
		T(a_declared_proxy_is_believed_and_nobody_else),
		T(heads_and_bodies_have_limits),
		T_OWN(bodies_of_all_connections_together_have_a_limit),
		T_OWN(slow_peers_are_cut_off),
		T_OWN(a_peer_that_does_not_read_is_cut_off),
		T_OWN(connections_over_a_limit_get_503_and_others_live_on),
		T_OWN(one_address_cannot_take_all_connections),
		T(running_out_of_descriptors_is_answered_and_passes),
		T(pipelined_requests_are_answered_in_order_one_at_a_time),
		T(a_thousand_pipelined_requests_do_not_exhaust_the_stack),
		T(every_answer_has_the_security_headers),
		T(head_and_empty_answers_have_no_body),
		T(large_text_is_compressed_when_the_client_takes_it),
		T(files_are_streamed),
		T(answers_in_pieces_are_chunked),
		T(a_handler_is_told_when_its_peer_leaves),
		T(a_body_can_be_streamed_in_and_held_back),
		T(expect_100_continue_is_met_only_when_the_body_is_wanted),
		T(targets_and_queries_are_decoded),
		T(the_unix_socket_is_local_and_private),
		cmocka_unit_test_setup(stopping_lets_answers_finish, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
