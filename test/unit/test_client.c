#include "net/client.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "unit/raw_server.h"

struct fixture {
	uv_loop_t loop;
	struct raw_server srv;
	struct http_client *client;
};

enum step_of_call { AT_NONE, AT_CONNECTED, AT_HEAD, AT_BODY, AT_DONE };

/* A call and what it told. */
struct told {
	struct fixture *f;
	struct http_call *call;
	int connected, heads, status;
	struct buf head, body;
	bool done, starting;
	enum err err;
	struct errinfo info;
	enum step_of_call cancel_at;
	bool cancelled;
	uint64_t cancelled_ns;
};

static void reached(struct told *t, enum step_of_call at)
{
	assert_false(t->starting);
	assert_false(t->cancelled);
	assert_false(t->done);
	if (t->cancel_at != at) return;
	http_call_cancel(t->call);
	t->cancelled = true;
	t->cancelled_ns = uv_hrtime();
}

static void on_connected(void *ctx)
{
	struct told *t = ctx;
	t->connected++;
	reached(t, AT_CONNECTED);
}
static void on_head(void *ctx, int status, struct str headers)
{
	struct told *t = ctx;
	t->heads++;
	t->status = status;
	buf_add_str(&t->head, headers);
	reached(t, AT_HEAD);
}
static void on_body(void *ctx, struct str piece)
{
	struct told *t = ctx;
	buf_add_str(&t->body, piece);
	reached(t, AT_BODY);
}
static void on_done(void *ctx, enum err e, const struct errinfo *info)
{
	struct told *t = ctx;
	reached(t, AT_NONE);
	t->done = true;
	t->err = e;
	t->info = *info;
}

static void start_at(struct fixture *f, struct told *t, const char *url, bool allow_private, int64_t connect_ms)
{
	static const char *const headers[] = {"Content-Type: application/json", "Authorization: Bearer k", NULL};
	enum step_of_call cancel_at = t->cancel_at;
	struct http_call_spec spec = {
		.method = "POST",
		.url = url,
		.headers = headers,
		.body = STR("{\"a\":1}"),
		.connect_ms = connect_ms,
		.allow_private = allow_private,
		.connected = on_connected,
		.head = on_head,
		.body_data = on_body,
		.done = on_done,
		.ctx = t,
	};
	*t = (struct told){.f = f, .starting = true, .head = BUF_INIT(1 << 20), .body = BUF_INIT(64 << 20)};
	t->call = http_call_start(f->client, &spec);
	t->starting = false;
	t->cancel_at = cancel_at != AT_NONE ? cancel_at : AT_DONE;
}

static void start(struct fixture *f, struct told *t)
{
	char url[64];
	snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/x", f->srv.port);
	start_at(f, t, url, true, 1000);
}

static void clear(struct told *t)
{
	buf_release(&t->head);
	buf_release(&t->body);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	uv_loop_init(&f->loop);
	raw_server_start(&f->srv, &f->loop);
	if (http_client_new(&f->loop, &f->client, NULL) != OK) return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	http_client_free(f->client);
	raw_server_stop(&f->srv);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	return 0;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

static void an_answer_streams_in_order(void **state)
{
	struct fixture *f = *state;
	static const struct raw_step script[] = {{RAW_SEND, "HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD, 0},
						 {RAW_WAIT, NULL, 5},
						 {RAW_SEND, "5\r\nhello\r\n", 0},
						 {RAW_DRIP, "4\r\n you\r\n", 0},
						 {RAW_SEND, "1\r\n!\r\n0\r\n\r\n", 0},
						 {RAW_END, NULL, 0}};
	struct told t = {0};
	f->srv.scripts[0] = script;
	start(f, &t);
	assert_true(raw_run_until(&f->loop, &t.done, 2000));
	assert_int_equal(t.err, OK);
	assert_int_equal(t.connected, 1);
	assert_int_equal(t.heads, 1);
	assert_int_equal(t.status, 200);
	assert_non_null(strstr(t.head.p, "Content-Type: text/event-stream"));
	assert_null(strstr(t.head.p, "100 Continue"));
	assert_non_null(strstr(f->srv.last_request, "POST /v1/x HTTP/1.1\r\n"));
	assert_non_null(strstr(f->srv.last_request, "\r\nAuthorization: Bearer k\r\n"));
	assert_null(strstr(f->srv.last_request, "Expect:"));
	assert_non_null(strstr(f->srv.last_request, "\r\n\r\n{\"a\":1}"));
	clear(&t);
}

static const struct raw_step short_answer[] = {{RAW_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0},
					       {RAW_END, NULL, 0}};

static void a_connection_is_used_again(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 3; i++) {
		struct told t = {0};
		f->srv.scripts[i] = short_answer;
		start(f, &t);
		assert_true(raw_run_until(&f->loop, &t.done, 2000));
		assert_int_equal(t.err, OK);
		assert_int_equal(t.connected, 1);
		assert_string_equal(t.body.p, "ok");
		clear(&t);
	}
	assert_int_equal(f->srv.nconns, 1);
	assert_int_equal(f->srv.nrequests, 3);
}

/* The server takes the second request on the kept connection and closes it without a word: the client must not send it
 * once more. */
static void a_request_is_never_sent_twice(void **state)
{
	struct fixture *f = *state;
	static const struct raw_step ends[][1] = {{{RAW_CLOSE, NULL, 0}}, {{RAW_RESET, NULL, 0}}};
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct told t = {0};
		int before = f->srv.nrequests;
		f->srv.scripts[before] = short_answer;
		f->srv.scripts[before + 1] = ends[i];
		f->srv.scripts[before + 2] = short_answer;
		start(f, &t);
		assert_true(raw_run_until(&f->loop, &t.done, 2000));
		clear(&t);
		start(f, &t);
		assert_true(raw_run_until(&f->loop, &t.done, 2000));
		assert_int_equal(t.err, ERR_PROVIDER_CUT);
		assert_int_equal(t.connected, 1);
		assert_int_equal(f->srv.nrequests, before + 2);
		clear(&t);
	}
}

static const struct {
	const char *what;
	struct raw_step script[4];
	enum err err;
} endings[] = {
	{"closed before a byte", {{RAW_CLOSE, NULL, 0}}, ERR_PROVIDER_CUT},
	{"reset before a byte", {{RAW_RESET, NULL, 0}}, ERR_PROVIDER_CUT},
	{"cut in the head", {{RAW_SEND, "HTTP/1.1 200 OK\r\nContent-", 0}, {RAW_CLOSE, NULL, 0}}, ERR_PROVIDER_CUT},
	{"cut in a chunk", {{RAW_SEND, OK_HEAD "50\r\ndata: {", 0}, {RAW_CLOSE, NULL, 0}}, ERR_PROVIDER_CUT},
	{"cut between chunks", {{RAW_SEND, OK_HEAD "2\r\nok\r\n", 0}, {RAW_CLOSE, NULL, 0}}, ERR_PROVIDER_CUT},
	{"cut by length",
	 {{RAW_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 0}, {RAW_CLOSE, NULL, 0}},
	 ERR_PROVIDER_CUT},
	{"bad chunking", {{RAW_SEND, OK_HEAD "zz\r\nok\r\n", 0}, {RAW_HANG, NULL, 0}}, ERR_PROVIDER_CUT},
	{"not HTTP", {{RAW_SEND, "SSH-2.0-OpenSSH_9\r\n", 0}, {RAW_HANG, NULL, 0}}, ERR_PROVIDER_CUT},
	{"until the end", {{RAW_SEND, "HTTP/1.1 200 OK\r\n\r\nok", 0}, {RAW_CLOSE, NULL, 0}}, OK},
	{"redirect",
	 {{RAW_SEND, "HTTP/1.1 302 F\r\nLocation: /v2\r\nContent-Length: 0\r\n\r\n", 0}, {RAW_END, NULL, 0}},
	 OK},
	{"server error", {{RAW_SEND, "HTTP/1.1 500 E\r\nContent-Length: 4\r\n\r\noops", 0}, {RAW_END, NULL, 0}}, OK},
};

static void every_ending_has_its_error(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		struct told t = {0};
		f->srv.scripts[f->srv.nrequests] = endings[i].script;
		int before = f->srv.nrequests;
		start(f, &t);
		assert_true(raw_run_until(&f->loop, &t.done, 2000));
		if (t.err != endings[i].err) print_error("%s: %s\n", endings[i].what, t.info.text);
		assert_int_equal(t.err, endings[i].err);
		assert_int_equal(f->srv.nrequests, before + 1);
		clear(&t);
	}
	assert_int_equal(f->srv.nrequests, ARRAY_LEN(endings));
}

static void a_head_without_end_is_refused(void **state)
{
	struct fixture *f = *state;
	static char lots[200000];
	struct raw_step script[] = {{RAW_SEND, "HTTP/1.1 200 OK\r\n", 0}, {RAW_SEND, lots, 0}, {RAW_HANG, NULL, 0}};
	struct told t = {0};
	for (size_t i = 0; i + 9 < sizeof lots; i += 8) memcpy(lots + i, "X: 345\r\n", 8);
	f->srv.scripts[0] = script;
	start(f, &t);
	assert_true(raw_run_until(&f->loop, &t.done, 2000));
	assert_int_equal(t.err, ERR_PROVIDER_LIMIT);
	clear(&t);
}

static void deadlines_and_closed_doors_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	char url[64];
	snprintf(url, sizeof url, "https://127.0.0.1:%d/", f->srv.port); /* no TLS there: the handshake hangs */
	start_at(f, &t, url, true, 50);
	assert_true(raw_run_until(&f->loop, &t.done, 2000));
	assert_int_equal(t.err, ERR_PROVIDER_TIMEOUT);
	assert_non_null(strstr(t.info.text, "50 ms"));
	assert_int_equal(t.connected, 0);
	clear(&t);
	start_at(f, &t, "http://127.0.0.1:1/", true, 1000);
	assert_true(raw_run_until(&f->loop, &t.done, 2000));
	assert_int_equal(t.err, ERR_PROVIDER_DOWN);
	assert_non_null(strstr(t.info.text, "refused"));
	clear(&t);
}

static void addresses_that_are_not_allowed_are_not_connected_to(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *url;
		bool allow_private;
		const char *says;
	} doors[] = {
		{"http://127.0.0.1:%d/", false, "private or loopback"},
		{"http://0.0.0.0:%d/", false, "private or loopback"},
		{"http://[::ffff:127.0.0.1]:%d/", false, "private or loopback"},
		{"http://localhost:%d/", false, "private or loopback"},
		{"http://169.254.169.254:%d/", true, "link-local"},
		{"http://[fe80::1]:%d/", true, "link-local"},
		{"http://93.184.216.34:%d/", true, "https"},
		{"ftp://127.0.0.1:%d/", true, "cannot be used"},
		{"file:///etc/passwd?%d", true, "cannot be used"},
	};
	for (size_t i = 0; i < ARRAY_LEN(doors); i++) {
		char url[64];
		struct told t = {0};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(url, sizeof url, doors[i].url, f->srv.port);
#pragma GCC diagnostic pop
		start_at(f, &t, url, doors[i].allow_private, 1000);
		assert_true(raw_run_until(&f->loop, &t.done, 2000));
		if (t.err != ERR_PROVIDER_REFUSED) print_error("%s: %s\n", url, t.info.text);
		assert_int_equal(t.err, ERR_PROVIDER_REFUSED);
		assert_non_null(strstr(t.info.text, doors[i].says));
		clear(&t);
	}
	assert_int_equal(f->srv.nconns, 0);
}

static void cancelling_closes_the_socket_in_every_phase(void **state)
{
	struct fixture *f = *state;
	static const struct raw_step hang[] = {{RAW_HANG, NULL, 0}};
	static const struct raw_step head[] = {{RAW_SEND, OK_HEAD, 0}, {RAW_HANG, NULL, 0}};
	static const struct raw_step body[] = {{RAW_SEND, OK_HEAD "2\r\nok\r\n", 0}, {RAW_HANG, NULL, 0}};
	static const struct {
		enum step_of_call at;
		const struct raw_step *script;
	} phases[] = {{AT_CONNECTED, hang}, {AT_HEAD, head}, {AT_BODY, body}};
	for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
		struct told t = {.cancel_at = phases[i].at};
		bool closed = false;
		f->srv.scripts[f->srv.nrequests] = phases[i].script;
		f->srv.nclosed = 0;
		start(f, &t);
		assert_true(raw_run_until(&f->loop, &t.cancelled, 2000));
		for (int k = 0; k < 100 && f->srv.nclosed == 0; k++) (void)raw_run_until(&f->loop, &closed, 1);
		assert_int_equal(f->srv.nclosed, 1);
		assert_true(f->srv.closed_ns < t.cancelled_ns + 10 * 1000000);
		assert_false(t.done);
		clear(&t);
	}
}

static void cancelling_while_connecting_closes_too(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	char url[64];
	snprintf(url, sizeof url, "https://127.0.0.1:%d/", f->srv.port);
	start_at(f, &t, url, true, 1000);
	raw_run_for(&f->loop, 20); /* in the middle of the TLS handshake */
	assert_int_equal(f->srv.nconns, 1);
	assert_int_equal(t.connected, 0);
	http_call_cancel(t.call);
	raw_run_for(&f->loop, 10);
	assert_int_equal(f->srv.nclosed, 1);
	clear(&t);
	start(f, &t); /* at once, before the loop turned */
	http_call_cancel(t.call);
	raw_run_for(&f->loop, 10);
	assert_int_equal(f->srv.nclosed, f->srv.nconns);
	clear(&t);
}

static void cancelling_while_a_name_is_resolved_does_not_wait(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	start_at(f, &t, "https://nobody.roost.invalid/", true, 1000);
	uint64_t before = uv_hrtime();
	http_call_cancel(t.call);
	assert_true(uv_hrtime() - before < 50 * 1000000);
	raw_run_for(&f->loop, 20);
	assert_false(t.done);
	clear(&t);
}

static void a_paused_call_is_quiet_until_it_goes_on(void **state)
{
	struct fixture *f = *state;
	static const struct raw_step script[] = {{RAW_SEND, OK_HEAD "2\r\nab\r\n", 0},
						 {RAW_WAIT, NULL, 20},
						 {RAW_SEND, "2\r\ncd\r\n0\r\n\r\n", 0},
						 {RAW_END, NULL, 0}};
	struct told t = {0};
	f->srv.scripts[0] = script;
	start(f, &t);
	for (int i = 0; i < 100 && t.body.n < 2; i++) raw_run_for(&f->loop, 1);
	http_call_pause(t.call, true);
	raw_run_for(&f->loop, 60);
	assert_int_equal(t.body.n, 2);
	assert_false(t.done);
	http_call_pause(t.call, false);
	assert_true(raw_run_until(&f->loop, &t.done, 2000));
	assert_string_equal(t.body.p, "abcd");
	clear(&t);
}

static void a_big_body_arrives_whole(void **state)
{
	struct fixture *f = *state;
	static char piece[65536 + 1];
	struct raw_step script[40] = {{RAW_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n", 0}};
	struct told t = {0};
	memset(piece, 'x', sizeof piece - 1);
	for (int i = 0; i < 16; i++) {
		script[1 + 2 * i] = (struct raw_step){RAW_SEND, piece, 0};
		script[2 + 2 * i] = (struct raw_step){RAW_WAIT, NULL, 2};
	}
	f->srv.scripts[0] = script;
	start(f, &t);
	assert_true(raw_run_until(&f->loop, &t.done, 5000));
	assert_int_equal(t.err, OK);
	assert_int_equal(t.body.n, 1048576);
	clear(&t);
}

/* A callback that starts a call and cancels another one that has something to tell in the same turn. */
struct pair {
	struct told first, second;
	struct http_call *other;
};
static void body_of_first(void *ctx, struct str piece)
{
	struct pair *p = ctx;
	(void)piece;
	if (p->other != NULL) http_call_cancel(p->other);
	p->other = NULL;
	start(p->first.f, &p->second);
}

static void a_callback_may_cancel_others_and_start_more(void **state)
{
	struct fixture *f = *state;
	struct pair p = {.first.f = f};
	char url[64];
	struct told other = {0};
	for (int i = 0; i < 3; i++) f->srv.scripts[i] = short_answer;
	snprintf(url, sizeof url, "http://127.0.0.1:%d/", f->srv.port);
	struct http_call_spec spec = {
		.method = "GET", .url = url, .allow_private = true, .body_data = body_of_first, .ctx = &p};
	(void)http_call_start(f->client, &spec);
	start(f, &other);
	p.other = other.call;
	assert_true(raw_run_until(&f->loop, &p.second.done, 2000));
	assert_false(other.done);
	clear(&other);
	clear(&p.second);
}

static void freeing_the_client_cancels_what_runs(void **state)
{
	struct fixture *f = *state;
	struct told t[3] = {{0}};
	for (size_t i = 0; i < ARRAY_LEN(t); i++) start(f, &t[i]);
	raw_run_for(&f->loop, 10);
	http_client_free(f->client);
	raw_run_for(&f->loop, 10);
	assert_int_equal(f->srv.nclosed, 3);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_false(t[i].done);
		clear(&t[i]);
	}
	assert_int_equal(http_client_new(&f->loop, &f->client, NULL), OK);
}

/* On a kept connection the request is on its way before the loop turns. */
static void a_request_leaves_before_start_returns(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	f->srv.scripts[0] = f->srv.scripts[1] = short_answer;
	start(f, &t);
	assert_true(raw_run_until(&f->loop, &t.done, 2000));
	clear(&t);
	start(f, &t);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->srv.nrequests, 2);
	assert_true(raw_run_until(&f->loop, &t.done, 2000));
	clear(&t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_streams_in_order),
		TEST(a_connection_is_used_again),
		TEST(a_request_is_never_sent_twice),
		TEST(every_ending_has_its_error),
		TEST(a_head_without_end_is_refused),
		TEST(deadlines_and_closed_doors_are_told_apart),
		TEST(addresses_that_are_not_allowed_are_not_connected_to),
		TEST(cancelling_closes_the_socket_in_every_phase),
		TEST(cancelling_while_connecting_closes_too),
		TEST(cancelling_while_a_name_is_resolved_does_not_wait),
		TEST(a_paused_call_is_quiet_until_it_goes_on),
		TEST(a_big_body_arrives_whole),
		TEST(a_callback_may_cancel_others_and_start_more),
		TEST(freeing_the_client_cancels_what_runs),
		TEST(a_request_leaves_before_start_returns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
