/* WebSockets over real sockets: the server's side against a hand-made peer, and against our own client. */
#include "net_gear.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "net/http.h"
#include "net/ws_client.h"
#include "net/ws_frame.h"

static struct gear g;
static struct {
	struct ws *w;
	struct buf messages; /* each followed by a newline */
	int drained, closed, alive, code;
	bool pause_after_message;
} seen;

static void on_message(void *ctx, struct ws *w, struct str text)
{
	(void)ctx;
	buf_add_str(&seen.messages, text);
	buf_add_char(&seen.messages, '\n');
	if (seen.pause_after_message) ws_pause(w, true);
	if (str_starts(text, STR("say "))) {
		struct frame *f = frame_text(str_n(text.p + 4, text.n - 4));
		assert_true(ws_send(w, f, 1 << 20));
		frame_unref(f);
	}
	if (str_eq(text, STR("go"))) ws_close(w, 4001, "as you wish");
}

static void on_drained(void *ctx, struct ws *w)
{
	(void)ctx, (void)w;
	seen.drained++;
}

static void on_closed(void *ctx, struct ws *w, int code)
{
	(void)ctx;
	assert_ptr_equal(w, seen.w);
	seen.w = NULL;
	seen.closed++;
	seen.code = code;
}

static void on_alive(void *ctx, struct ws *w)
{
	(void)ctx, (void)w;
	seen.alive++;
}

static const struct ws_hooks hooks = {
	.message = on_message, .drained = on_drained, .closed = on_closed, .alive = on_alive};

static void on_head(void *ctx, struct http_req *r)
{
	(void)ctx;
	if (str_eq(http_path(r), STR("/ws"))) seen.w = ws_accept(r, "roost.v1", &hooks, NULL);
	else if (str_eq(http_path(r), STR("/secret"))) http_answer_error(r, ERR_UNAUTHORIZED, NULL);
}

/* The upgrade may also come when the request is whole. */
static void on_request(void *ctx, struct http_req *r)
{
	(void)ctx;
	if (str_eq(http_path(r), STR("/late"))) seen.w = ws_accept(r, NULL, &hooks, NULL);
	else http_answer_error(r, ERR_NOT_FOUND, NULL);
}

static void on_gone(void *ctx, struct http_req *r) { (void)ctx, (void)r; }

static int setup(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof seen);
	buf_init(&seen.messages, BUF_NO_LIMIT);
	buf_add_str(&seen.messages, STR(""));
	gear_init(&g);
	g.o.hooks = (struct http_hooks){.head = on_head, .request = on_request, .gone = on_gone};
	return 0;
}

static int setup_started(void **state)
{
	setup(state);
	gear_start(&g);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gear_stop(&g);
	buf_release(&seen.messages);
	return 0;
}

static int peer_open(const char *path)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT), r = BUF_INIT(BUF_NO_LIMIT);
	int fd = gear_connect(&g);
	buf_addf(
		&r,
		"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other, roost.v1\r\n\r\n",
		path);
	gear_send(&g, fd, buf_str(&r));
	assert_true(gear_read(&g, fd, &b, 0, STR("\r\n\r\n"), 2000));
	assert_int_equal(status_of(&b), 101);
	assert_true(has(&b, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	buf_release(&b);
	buf_release(&r);
	return fd;
}

static void peer_send(int fd, unsigned first, const char *payload, size_t n)
{
	static const unsigned char mask[4] = {9, 8, 7, 6};
	unsigned char head[WS_HEAD_MAX];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add(&b, head, ws_head(head, first, n, mask));
	buf_add(&b, payload, n);
	ws_mask(b.p + b.n - n, n, mask, 0);
	gear_send(&g, fd, buf_str(&b));
	buf_release(&b);
}

static void peer_expect(int fd, struct str bytes)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	assert_true(gear_read(&g, fd, &b, 0, bytes, 2000));
	assert_int_equal(b.n, bytes.n);
	buf_release(&b);
}

/* ---- the server against a hand-made peer ------------------------------------------------------------------------- */

static void messages_go_both_ways(void **state)
{
	(void)state;
	int fd = peer_open("/ws");
	peer_send(fd, 0x81, "say hello", 9);
	peer_expect(fd, STR("\x81\x05hello"));
	assert_string_equal(seen.messages.p, "say hello\n");
	assert_int_equal(seen.alive, 1);
	peer_send(fd, 0x82, "x", 1); /* binary is not taken */
	gear_wait(&g, 20);
	assert_int_equal(seen.code, 1003);
	assert_int_equal(seen.closed, 1);
	close(fd);
}

static void an_upgrade_may_wait_for_the_whole_request(void **state)
{
	(void)state;
	int fd = peer_open("/late");
	peer_send(fd, 0x81, "say hi", 6);
	peer_expect(fd, STR("\x81\x02hi"));
	close(fd);
	gear_wait(&g, 20);
	assert_int_equal(seen.code, 1006);
}

static void frames_of_one_turn_are_sent_in_order(void **state)
{
	(void)state;
	int fd = peer_open("/ws");
	struct frame *a = frame_text(STR("a")), *b = frame_text(STR("b"));
	for (int i = 0; i < 100; i++) {
		assert_true(ws_send(seen.w, a, 1000));
		assert_true(ws_send(seen.w, b, 1000));
	}
	assert_int_equal(ws_queued(seen.w), 0); /* not refused by the socket, just not tried yet */
	frame_unref(a);
	frame_unref(b);
	struct buf got = BUF_INIT(BUF_NO_LIMIT);
	assert_false(gear_read(&g, fd, &got, 0, STR_NONE, 50));
	assert_int_equal(got.n, 600);
	for (size_t i = 0; i < got.n; i += 6)
		assert_memory_equal(got.p + i,
				    "\x81\x01"
				    "a\x81\x01"
				    "b",
				    6);
	buf_release(&got);
	close(fd);
}

static void a_slow_device_is_refused_more_and_told_when_it_caught_up(void **state)
{
	(void)state;
	int fd = peer_open("/ws"), sent = 0;
	static char big[60000];
	memset(big, 'b', sizeof big);
	struct buf payload = BUF_INIT(BUF_NO_LIMIT);
	buf_add(&payload, big, sizeof big);
	struct frame *f = frame_take(&payload); /* a large one: not copied */
	while (ws_send(seen.w, f, 1 << 20)) {
		sent++;
		if (sent % 8 == 0) gear_wait(&g, 1);
	}
	assert_true(ws_queued(seen.w) > (1 << 20) - 65000 && ws_queued(seen.w) <= 1 << 20);
	assert_int_equal(seen.drained, 0);
	frame_unref(f); /* the queue keeps it */
	struct buf got = BUF_INIT(BUF_NO_LIMIT);
	while (got.n < (size_t)sent * 60004) assert_true(gear_read(&g, fd, &got, got.n, STR("b"), 2000));
	gear_wait(&g, 20);
	assert_int_equal(got.n, (size_t)sent * 60004);
	assert_int_equal(seen.drained, 1);
	assert_int_equal(ws_queued(seen.w), 0);
	buf_release(&got);
	close(fd);
}

static void an_empty_queue_takes_a_frame_of_any_length(void **state)
{
	(void)state;
	int fd = peer_open("/ws");
	static char big[60000];
	memset(big, 'b', sizeof big);
	struct frame *f = frame_text(str_n(big, sizeof big));
	assert_true(ws_send(seen.w, f, 1000));
	frame_unref(f);
	struct buf got = BUF_INIT(BUF_NO_LIMIT);
	while (got.n < 60004) assert_true(gear_read(&g, fd, &got, got.n, STR("b"), 2000));
	assert_int_equal(got.n, 60004);
	buf_release(&got);
	close(fd);
}

static void a_paused_device_is_not_read(void **state)
{
	(void)state;
	int fd = peer_open("/ws");
	seen.pause_after_message = true;
	for (int i = 0; i < 3; i++) peer_send(fd, 0x81, "m", 1);
	gear_wait(&g, 20);
	assert_string_equal(seen.messages.p, "m\n");
	ws_pause(seen.w, false);
	gear_wait(&g, 20);
	assert_string_equal(seen.messages.p, "m\nm\n");
	seen.pause_after_message = false;
	ws_pause(seen.w, false);
	gear_wait(&g, 20);
	assert_string_equal(seen.messages.p, "m\nm\nm\n");
	close(fd);
}

static void silence_is_pinged_and_then_ended(void **state)
{
	(void)state;
	g.limits.ping_ms = 100;
	gear_start(&g);
	int fd = peer_open("/ws");
	peer_expect(fd, STR("\x89\x00"));
	peer_send(fd, 0x8a, "", 0); /* a pong is life */
	gear_wait(&g, 60);
	peer_expect(fd, STR("\x89\x00"));
	assert_int_equal(seen.closed, 0);
	gear_wait(&g, 200);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.code, 1006);
	close(fd);
}

static void a_message_must_be_finished_in_time(void **state)
{
	(void)state;
	g.limits.message_ms = 150;
	gear_start(&g);
	int fd = peer_open("/ws");
	for (int i = 0; i < 12 && seen.closed == 0; i++) {
		peer_send(fd, i == 0 ? 0x01 : 0x00, "x", 1); /* always alive, never done */
		gear_wait(&g, 25);
	}
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.code, 1008);
	close(fd);
}

static void either_side_may_close(void **state)
{
	(void)state;
	int fd = peer_open("/ws");
	peer_send(fd, 0x88, "\x0f\xa0", 2); /* 4000 */
	peer_expect(fd, STR("\x88\x02\x0f\xa0"));
	gear_wait(&g, 10);
	assert_int_equal(seen.code, 4000);
	close(fd);

	fd = peer_open("/ws");
	peer_send(fd, 0x81, "go", 2);
	peer_expect(fd, STR("\x88\x0d\x0f\xa1"
			    "as you wish"));
	assert_int_equal(seen.closed, 1); /* waits for the peer's */
	peer_send(fd, 0x81, "too late", 8);
	peer_send(fd, 0x88, "\x0f\xa1", 2);
	gear_wait(&g, 20);
	assert_int_equal(seen.closed, 2);
	assert_int_equal(seen.code, 4001);
	assert_string_equal(seen.messages.p, "go\n");
	close(fd);
}

static void stopping_says_going_away(void **state)
{
	(void)state;
	int fd = peer_open("/ws");
	http_server_stop(g.s, 1000, gear_on_stopped, &g);
	peer_expect(fd, STR("\x88\x18\x03\xe9"
			    "the daemon is stopping"));
	peer_send(fd, 0x88, "\x03\xe9", 2);
	gear_wait(&g, 20);
	assert_int_equal(seen.code, 1001);
	close(fd);
	gear_wait(&g, 20);
	assert_true(g.is_stopped);
}

/* ---- our own client ---------------------------------------------------------------------------------------------- */

static struct {
	struct ws_client *w;
	struct buf messages;
	int opens, closed, code;
	struct errinfo info;
} mine;

static void client_open(void *ctx)
{
	(void)ctx;
	mine.opens++;
}

static void client_message(void *ctx, struct str text)
{
	(void)ctx;
	buf_add_str(&mine.messages, text);
}

static void client_closed(void *ctx, int code, enum err e, const struct errinfo *info)
{
	(void)ctx;
	mine.closed++;
	mine.code = code;
	mine.info = *info;
	assert_int_equal(info->err, e);
}

static struct ws_client_spec client_spec(const char *url)
{
	memset(&mine, 0, sizeof mine);
	buf_init(&mine.messages, BUF_NO_LIMIT);
	return (struct ws_client_spec){.url = url,
				       .subprotocol = "roost.v1",
				       .max_bytes = 1 << 20,
				       .connect_ms = 2000,
				       .ping_ms = 30000,
				       .open = client_open,
				       .message = client_message,
				       .closed = client_closed};
}

static void client_run(const struct ws_client_spec *spec)
{
	struct errinfo info;
	assert_int_equal(ws_client_start(&g.loop, spec, &mine.w, &info), OK);
	for (int i = 0; i < 20000 && mine.opens == 0 && mine.closed == 0; i++) gear_turn(&g);
}

/* A conversation of a client that is about to open. */
static void client_talk(const struct ws_client_spec *spec)
{
	static char big[100000];
	client_run(spec);
	if (mine.closed > 0) print_error("%s\n", mine.info.text);
	assert_int_equal(mine.opens, 1);
	memset(big, 'B', sizeof big);
	memcpy(big, "say ", 4);
	assert_true(ws_client_send(mine.w, STR("say hi")));
	assert_true(ws_client_send(mine.w, str_n(big, sizeof big)));
	for (int i = 0; i < 20000 && mine.messages.n < sizeof big - 2; i++) gear_turn(&g);
	assert_int_equal(mine.messages.n, sizeof big - 2);
	assert_memory_equal(mine.messages.p, "hiBBBB", 6);
	ws_client_close(mine.w, 1000);
	for (int i = 0; i < 20000 && mine.closed == 0; i++) gear_turn(&g);
	assert_int_equal(mine.closed, 1);
	assert_int_equal(mine.code, 1000);
	assert_int_equal(mine.info.err, OK);
	assert_int_equal(seen.code, 1000);
	buf_release(&mine.messages);
}

static void a_client_talks_over_tcp_and_a_unix_socket(void **state)
{
	(void)state;
	struct errinfo info;
	char url[64], dir[] = "/tmp/roost-test-XXXXXX", path[64];
	snprintf(url, sizeof url, "http://localhost:%d/ws", g.port);
	struct ws_client_spec spec = client_spec(url);
	client_talk(&spec);

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	assert_int_equal(http_listen_unix(g.s, path, &info), OK);
	spec = client_spec("ws://roost/ws");
	spec.socket_path = path;
	client_talk(&spec);
	unlink(path);
	rmdir(dir);
}

static void a_client_is_told_why_it_was_not_let_in(void **state)
{
	(void)state;
	char url[64];
	snprintf(url, sizeof url, "ws://127.0.0.1:%d/secret", g.port);
	struct ws_client_spec spec = client_spec(url);
	client_run(&spec);
	assert_int_equal(mine.closed, 1);
	assert_int_equal(mine.info.err, ERR_UNAUTHORIZED);
	assert_int_equal(mine.code, 1006);

	snprintf(url, sizeof url, "ws://127.0.0.1:%d/ws", g.port);
	spec = client_spec(url);
	spec.subprotocol = "roost.v9";
	client_run(&spec);
	assert_int_equal(mine.info.err, ERR_BAD_REQUEST);

	int probe = socket(AF_INET, SOCK_STREAM, 0); /* a port nobody listens on */
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof sa;
	assert_int_equal(bind(probe, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(getsockname(probe, (struct sockaddr *)&sa, &n), 0);
	snprintf(url, sizeof url, "ws://127.0.0.1:%d/ws", ntohs(sa.sin_port));
	spec = client_spec(url);
	client_run(&spec);
	close(probe);
	assert_int_equal(mine.info.err, ERR_UNAVAILABLE);
	assert_non_null(strstr(mine.info.text, "nothing answers at 127.0.0.1"));
}

static void a_client_notices_that_the_server_is_gone(void **state)
{
	(void)state;
	char url[64];
	snprintf(url, sizeof url, "ws://127.0.0.1:%d/ws", g.port);
	struct ws_client_spec spec = client_spec(url);
	client_run(&spec);
	assert_true(ws_client_send(mine.w, STR("go")));
	for (int i = 0; i < 20000 && mine.closed == 0; i++) gear_turn(&g);
	assert_int_equal(mine.code, 4001);
	assert_int_equal(mine.info.err, OK);
}

/* ---- TLS --------------------------------------------------------------------------------------------------------- */

/* A certificate for localhost that vouches for itself. */
static void make_certificate(const char *cert_path, const char *key_path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:localhost");
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1,
				   -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_add_ext(x, names, -1);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	FILE *f = fopen(cert_path, "w");
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	f = fopen(key_path, "w");
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	X509_EXTENSION_free(names);
	X509_free(x);
	EVP_PKEY_free(key);
}

static void a_client_talks_over_tls_and_insists_on_the_certificate(void **state)
{
	(void)state;
	char dir[] = "/tmp/roost-test-XXXXXX", cert[64], key[64], url[64];
	struct errinfo info;
	int port;
	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof cert, "%s/cert.pem", dir);
	snprintf(key, sizeof key, "%s/key.pem", dir);
	make_certificate(cert, key);
	assert_int_equal(http_listen(g.s, "127.0.0.1:0", cert, cert, &port, &info), ERR_CONFIG);
	assert_int_equal(http_listen(g.s, "127.0.0.1:0", cert, key, &port, &info), OK);
	snprintf(url, sizeof url, "https://localhost:%d/ws", port);
	struct ws_client_spec spec = client_spec(url);
	spec.ca_path = cert;
	client_talk(&spec);

	spec = client_spec(url); /* the system's certificates do not know it */
	client_run(&spec);
	assert_int_equal(mine.opens, 0);
	assert_int_equal(mine.info.err, ERR_UNAVAILABLE);

	snprintf(url, sizeof url, "https://127.0.0.1:%d/ws", port);
	spec = client_spec(url); /* another name */
	spec.ca_path = cert;
	client_run(&spec);
	assert_int_equal(mine.opens, 0);
	unlink(cert);
	unlink(key);
	rmdir(dir);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_started, teardown)
#define T_OWN(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(messages_go_both_ways),
		T(an_upgrade_may_wait_for_the_whole_request),
		T(frames_of_one_turn_are_sent_in_order),
		T(a_slow_device_is_refused_more_and_told_when_it_caught_up),
		T(an_empty_queue_takes_a_frame_of_any_length),
		T(a_paused_device_is_not_read),
		T_OWN(silence_is_pinged_and_then_ended),
		T_OWN(a_message_must_be_finished_in_time),
		T(either_side_may_close),
		T(stopping_says_going_away),
		T(a_client_talks_over_tcp_and_a_unix_socket),
		T(a_client_is_told_why_it_was_not_let_in),
		T(a_client_notices_that_the_server_is_gone),
		T(a_client_talks_over_tls_and_insists_on_the_certificate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
