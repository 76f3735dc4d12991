/* Whole calls: registry, deadlines, limits and both kinds of provider, against a scripted server. */
#include "host/call.h"
#include "host/providers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/raw_server.h"

struct fixture {
	uv_loop_t loop;
	struct raw_server srv;
	struct limits limits;
	struct providers *providers;
	char key_file[64];
};

struct told {
	struct provider_call *call;
	bool starting, cancel_at_text, cancelled, done;
	int connected, texts;
	struct buf text, thinking;
	struct call_outcome o;
	char finish[32];
	uint64_t cancelled_ns;
};

static void on_connected(void *ctx)
{
	struct told *t = ctx;
	assert_false(t->starting);
	t->connected++;
}

static void on_text(void *ctx, enum stream_kind kind, struct str text)
{
	struct told *t = ctx;
	assert_false(t->starting || t->done || t->cancelled);
	t->texts++;
	buf_add_str(kind == STREAM_TEXT ? &t->text : &t->thinking, text);
	if (!t->cancel_at_text) return;
	provider_call_cancel(t->call);
	t->cancelled = true;
	t->cancelled_ns = uv_hrtime();
}

static void on_done(void *ctx, const struct call_outcome *o)
{
	struct told *t = ctx;
	assert_false(t->starting || t->done || t->cancelled);
	t->done = true;
	t->o = *o;
	assert_true(str_copy(o->finish_reason, t->finish, sizeof t->finish));
}

static const struct call_hooks hooks = {.connected = on_connected, .text = on_text, .done = on_done};

static void start(struct fixture *f, struct told *t, const char *model, const char *params)
{
	const struct prompt_message messages[] = {{STR("user"), STR("hello pigeon"), STR("")}};
	struct call_spec spec = {.model = str_c(model),
				 .messages = messages,
				 .nmessages = 1,
				 .params = str_c(params != NULL ? params : ""),
				 .data_dir = STR("/nowhere"),
				 .seed = 7,
				 .attempt = 1};
	bool cancel_at_text = t->cancel_at_text;
	*t = (struct told){.starting = true,
			   .cancel_at_text = cancel_at_text,
			   .text = BUF_INIT(8 << 20),
			   .thinking = BUF_INIT(8 << 20)};
	buf_add(&t->text, "", 0);
	buf_add(&t->thinking, "", 0);
	t->call = provider_call_start(f->providers, &spec, &hooks, t);
	t->starting = false;
}

static void finish(struct fixture *f, struct told *t) { assert_true(raw_run_until(&f->loop, &t->done, 5000)); }

static void clear(struct told *t)
{
	buf_release(&t->text);
	buf_release(&t->thinking);
}

static void write_key(const char *path, const char *text, mode_t mode)
{
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	char url[64];
	uv_loop_init(&f->loop);
	raw_server_start(&f->srv, &f->loop);
	limits_default(&f->limits);
	snprintf(f->key_file, sizeof f->key_file, "/tmp/roost-test-key-%d", (int)getpid());
	write_key(f->key_file, "sk-abcdefgh1234\n", 0600);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/", f->srv.port);
	static const char *const some[] = {"one", "two", NULL};
	const struct provider_config configs[] = {
		{.name = "fake", .dialect = "openai", .base_url = url, .key_file = f->key_file, .allow_private = true},
		{.name = "few",
		 .dialect = "openai",
		 .base_url = "https://example.org/v1",
		 .models = some,
		 .concurrency = 3},
		{.name = "demo", .dialect = "local"},
		{.name = "mute", .dialect = "silent"},
	};
	struct errinfo info;
	if (providers_new(&f->loop, &f->limits, configs, ARRAY_LEN(configs), &f->providers, &info) != OK) return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	providers_free(f->providers);
	raw_server_stop(&f->srv);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	unlink(f->key_file);
	free(f);
	return 0;
}

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
#define CHUNK(text) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define STOP "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4}}\n\n"

static void a_remote_answer_streams_to_its_end(void **state)
{
	struct fixture *f = *state;
	static const struct raw_step script[] = {{RAW_SEND, HEAD CHUNK("Hi "), 0},
						 {RAW_WAIT, NULL, 3},
						 {RAW_DRIP, CHUNK("th\xc3\xa4re") STOP USAGE "data: [DONE]\n\n", 0},
						 {RAW_CLOSE, NULL, 0}};
	struct told t = {0};
	f->srv.scripts[0] = script;
	start(f, &t, "fake:qwen:7b", "{\"maxTokens\":9}");
	finish(f, &t);
	assert_int_equal(t.o.err, OK);
	assert_string_equal(t.text.p, "Hi th\xc3\xa4re");
	assert_string_equal(t.finish, "stop");
	assert_int_equal(t.o.usage.input_tokens, 9);
	assert_int_equal(t.o.usage.output_tokens, 4);
	assert_false(t.o.usage.estimated);
	assert_int_equal(t.connected, 1);
	assert_non_null(strstr(f->srv.last_request, "POST /v1/chat/completions HTTP/1.1"));
	assert_non_null(strstr(f->srv.last_request, "Authorization: Bearer sk-abcdefgh1234\r\n"));
	assert_non_null(strstr(f->srv.last_request, "\"model\":\"qwen:7b\""));
	clear(&t);
}

static void a_complete_answer_does_not_wait_for_a_server_that_holds_on(void **state)
{
	struct fixture *f = *state;
	static const struct raw_step script[] = {{RAW_SEND, HEAD CHUNK("Hi") STOP "data: [DONE]\n\n", 0},
						 {RAW_HANG, NULL, 0}};
	struct told t = {0};
	f->srv.scripts[0] = script;
	start(f, &t, "fake:m", NULL);
	assert_true(raw_run_until(&f->loop, &t.done, 1000));
	assert_int_equal(t.o.err, OK);
	assert_true(t.o.usage.estimated);
	clear(&t);
}

/* clang-format off */
static const struct {
	const char *what;
	struct raw_step script[5];
	enum err err;
	const char *text, *says;
} endings[] = {
	{"never a byte", {{RAW_HANG, NULL, 0}}, ERR_PROVIDER_TIMEOUT, "", "firstTokenMs"},
	{"a head, then nothing", {{RAW_SEND, HEAD, 0}, {RAW_HANG, NULL, 0}}, ERR_PROVIDER_TIMEOUT, "", "firstTokenMs"},
	{"silence in the middle", {{RAW_SEND, HEAD CHUNK("Hi"), 0}, {RAW_HANG, NULL, 0}}, ERR_PROVIDER_TIMEOUT, "Hi", "streamIdleMs"},
	{"silence after the finish reason", {{RAW_SEND, HEAD CHUNK("Hi") STOP, 0}, {RAW_HANG, NULL, 0}}, OK, "Hi", NULL},
	{"comments are silence", {{RAW_SEND, HEAD CHUNK("Hi"), 0}, {RAW_DRIP, ": still here, still here, still here, still here, still here,"
	 " still here, still here, still here, still here, still here, still here, still here, still here, still here", 0}, {RAW_HANG, NULL, 0}},
	 ERR_PROVIDER_TIMEOUT, "Hi", "streamIdleMs"},
	{"cut in a character", {{RAW_SEND, HEAD "data: {\"choices\":[{\"delta\":{\"content\":\"\xc3", 0}, {RAW_CLOSE, NULL, 0}}, ERR_PROVIDER_CUT, "", "JSON"},
	{"cut after text", {{RAW_SEND, HEAD CHUNK("Hi"), 0}, {RAW_CLOSE, NULL, 0}}, ERR_PROVIDER_CUT, "Hi", "ended before"},
	{"reset after text", {{RAW_SEND, HEAD CHUNK("Hi"), 0}, {RAW_WAIT, NULL, 5}, {RAW_RESET, NULL, 0}}, ERR_PROVIDER_CUT, "Hi", "broke off"},
	{"a status", {{RAW_SEND, "HTTP/1.1 429 X\r\nRetry-After: 1\r\n\r\n{\"error\":{\"message\":\"\"}}", 0}, {RAW_CLOSE, NULL, 0}}, ERR_PROVIDER_BUSY, "", "429"},
	{"a redirect", {{RAW_SEND, "HTTP/1.1 302 F\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 0}}, ERR_PROVIDER_REFUSED, "", "redirect"},
	{"an error in 200", {{RAW_SEND, "HTTP/1.1 200 OK\r\n\r\n{\"error\":{\"message\":\"out of order\"}}", 0}, {RAW_CLOSE, NULL, 0}}, ERR_PROVIDER, "", "out of order"},
	{"the wrong content type", {{RAW_SEND, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" CHUNK("Hi") STOP, 0}, {RAW_CLOSE, NULL, 0}}, OK, "Hi", NULL},
};
/* clang-format on */

static void every_misbehaviour_has_its_error(void **state)
{
	struct fixture *f = *state;
	f->limits.first_token_ms = 60;
	f->limits.stream_idle_ms = 60;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		struct told t = {0};
		f->srv.scripts[f->srv.nrequests] = endings[i].script;
		start(f, &t, "fake:m", NULL);
		finish(f, &t);
		if (t.o.err != endings[i].err)
			print_error("%s: %s %s\n", endings[i].what, err_code(t.o.err), t.o.info.text);
		assert_int_equal(t.o.err, endings[i].err);
		assert_string_equal(t.text.p, endings[i].text);
		if (endings[i].says != NULL && strstr(t.o.info.text, endings[i].says) == NULL)
			print_error("%s: %s\n", endings[i].what, t.o.info.text);
		if (endings[i].says != NULL) assert_non_null(strstr(t.o.info.text, endings[i].says));
		clear(&t);
	}
}

static void an_endless_answer_is_bounded(void **state)
{
	struct fixture *f = *state;
	static char noise[60001];
	struct raw_step script[] = {{RAW_SEND, HEAD, 0}, {RAW_SEND, noise, 0}, {RAW_HANG, NULL, 0}};
	struct told t = {0};
	for (size_t i = 0; i + 6 < sizeof noise; i += 6) memcpy(noise + i, ": xx\n\n", 6);
	f->limits.provider_body_bytes = 20000;
	f->srv.scripts[0] = script;
	start(f, &t, "fake:m", NULL);
	finish(f, &t);
	assert_int_equal(t.o.err, ERR_PROVIDER_LIMIT);
	assert_false(t.o.retryable);
	assert_non_null(strstr(t.o.info.text, "providerBodyBytes"));
	raw_run_for(&f->loop, 10);
	assert_int_equal(f->srv.nclosed, 1);
	clear(&t);
}

static void the_whole_answer_has_a_deadline(void **state)
{
	struct fixture *f = *state;
	static const struct raw_step script[] = {
		{RAW_SEND, HEAD CHUNK("a"), 0}, {RAW_WAIT, NULL, 40}, {RAW_SEND, CHUNK("b"), 0}, {RAW_WAIT, NULL, 40},
		{RAW_SEND, CHUNK("c"), 0},      {RAW_WAIT, NULL, 40}, {RAW_SEND, CHUNK("d"), 0}, {RAW_HANG, NULL, 0}};
	struct told t = {0};
	f->limits.answer_ms = 100;
	f->srv.scripts[0] = script;
	start(f, &t, "fake:m", NULL);
	finish(f, &t);
	assert_int_equal(t.o.err, ERR_PROVIDER_TIMEOUT);
	/* On a slow machine less has arrived by then, never more. */
	assert_true(t.text.n > 0 && str_starts(STR("abc"), buf_str(&t.text)));
	assert_non_null(strstr(t.o.info.text, "answerMs"));
	clear(&t);
}

static void cancelling_in_a_callback_closes_the_socket(void **state)
{
	struct fixture *f = *state;
	static const struct raw_step script[] = {{RAW_SEND, HEAD CHUNK("a") CHUNK("b"), 0}, {RAW_HANG, NULL, 0}};
	struct told t = {.cancel_at_text = true};
	f->srv.scripts[0] = script;
	start(f, &t, "fake:m", NULL);
	assert_true(raw_run_until(&f->loop, &t.cancelled, 2000));
	raw_run_for(&f->loop, 10);
	assert_int_equal(t.texts, 1);
	assert_int_equal(f->srv.nclosed, 1);
	assert_true(f->srv.closed_ns < t.cancelled_ns + 10 * 1000000);
	clear(&t);
	struct told u = {.cancel_at_text = true};
	start(f, &u, "local:test", NULL);
	assert_true(raw_run_until(&f->loop, &u.cancelled, 2000));
	raw_run_for(&f->loop, 10);
	assert_int_equal(u.texts, 1);
	clear(&u);
}

static void a_provider_that_is_not_there_is_unreachable(void **state)
{
	struct fixture *f = *state;
	const struct provider_config cfg = {
		.name = "gone", .dialect = "openai", .base_url = "http://127.0.0.1:1/v1", .allow_private = true};
	struct providers *old = f->providers;
	struct told t = {0};
	assert_int_equal(providers_new(&f->loop, &f->limits, &cfg, 1, &f->providers, NULL), OK);
	start(f, &t, "gone:m", NULL);
	finish(f, &t);
	assert_int_equal(t.o.err, ERR_PROVIDER_DOWN);
	assert_true(t.o.retryable);
	assert_int_equal(t.connected, 0);
	providers_free(f->providers);
	f->providers = old;
	clear(&t);
}

static void a_local_answer_is_the_same_every_time(void **state)
{
	struct fixture *f = *state;
	struct told a = {0}, b = {0};
	start(f, &a, "local:test", NULL);
	finish(f, &a);
	start(f, &b, "demo:anything", "{\"thinking\":5,\"tokens\":64}");
	finish(f, &b);
	assert_int_equal(a.o.err, OK);
	assert_true(a.text.n > 64 * 3);
	assert_string_equal(a.finish, "stop");
	assert_int_equal(a.o.usage.output_tokens, 64);
	assert_int_equal(b.o.usage.output_tokens, 69);
	assert_true(b.thinking.n > 0 && b.text.n > 0 && b.text.p[0] != ' ');
	struct told c = {0};
	start(f, &c, "local:test", NULL);
	finish(f, &c);
	assert_string_equal(a.text.p, c.text.p);
	clear(&a);
	clear(&b);
	clear(&c);
}

static void a_local_answer_keeps_its_speed(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	uint64_t before = uv_hrtime();
	start(f, &t, "local:test", "{\"tokens\":11,\"tokensPerSecond\":100}");
	finish(f, &t);
	uint64_t took_ms = (uv_hrtime() - before) / 1000000;
	assert_in_range(took_ms, 95, 200);
	assert_in_range(t.texts, 6, 11);
	clear(&t);
}

static void a_paused_local_answer_waits(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	start(f, &t, "local:test", "{\"tokens\":20,\"tokensPerSecond\":200}");
	raw_run_for(&f->loop, 30);
	provider_call_pause(t.call, true);
	size_t n = t.text.n;
	raw_run_for(&f->loop, 50);
	assert_int_equal(t.text.n, n);
	provider_call_pause(t.call, false);
	finish(f, &t);
	assert_int_equal(t.o.usage.output_tokens, 20);
	clear(&t);
}

static void local_faults_happen_as_asked(void **state)
{
	struct fixture *f = *state;
	struct told t = {0};
	start(f, &t, "local:test", "{\"error\":\"busy\",\"failAfter\":3}");
	finish(f, &t);
	assert_int_equal(t.o.err, ERR_PROVIDER_BUSY);
	assert_true(t.o.retryable && t.o.info.retry_after_ms == 100 && t.text.n > 0);
	clear(&t);
	f->limits.first_token_ms = 40;
	start(f, &t, "local:test", "{\"error\":\"hang\"}");
	finish(f, &t);
	assert_int_equal(t.o.err, ERR_PROVIDER_TIMEOUT);
	clear(&t);
	start(f, &t, "local:test", "{\"tokens\":\"many\"}");
	finish(f, &t);
	assert_int_equal(t.o.err, ERR_BAD_FIELD);
	assert_non_null(strstr(t.o.info.text, "tokens"));
	clear(&t);
}

static void silence_is_an_answer_too(void **state)
{
	struct fixture *f = *state;
	static const char *const models[] = {"local:silent", "mute:x"};
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		struct told t = {0};
		start(f, &t, models[i], "{\"tokens\":50}");
		finish(f, &t);
		assert_int_equal(t.o.err, OK);
		assert_string_equal(t.text.p, "\xe2\x80\xa6");
		clear(&t);
	}
}

static void an_unknown_model_says_so_later(void **state)
{
	struct fixture *f = *state;
	static const char *const models[] = {"", "local", "local:", "local:none", "nobody:x", "few:three", "fake:"};
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		struct told t = {0};
		start(f, &t, models[i], NULL);
		assert_false(t.done);
		finish(f, &t);
		assert_int_equal(t.o.err, ERR_MODEL_UNKNOWN);
		assert_false(t.o.retryable);
		clear(&t);
	}
	struct told t = {0};
	start(f, &t, "nobody:x", NULL);
	provider_call_cancel(t.call);
	raw_run_for(&f->loop, 5);
	assert_false(t.done);
	clear(&t);
}

static void the_registry_knows_its_models(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(providers_count(f->providers), 5);
	assert_int_equal(providers_index(f->providers, STR("local:test")), 0);
	assert_int_equal(providers_index(f->providers, STR("few:two")), 2);
	assert_int_equal(providers_index(f->providers, STR("few:three")), -1);
	assert_int_equal(providers_concurrency(f->providers, 2), 3);
	assert_int_equal(providers_concurrency(f->providers, 1), f->limits.running_per_provider);
	assert_true(str_eq(providers_name(f->providers, 1), STR("fake")));
}

static void wrong_configuration_is_refused_with_a_reason(void **state)
{
	struct fixture *f = *state;
	const struct {
		struct provider_config cfg;
		mode_t mode;
		const char *key, *says;
	} rows[] = {
		{{.name = "a", .dialect = "openai", .base_url = "http://h/v1"}, 0, NULL, "allowPrivate"},
		{{.name = "a", .dialect = "openai", .base_url = "ftp://h"}, 0, NULL, "http://"},
		{{.name = "a", .dialect = "openai"}, 0, NULL, "http://"},
		{{.name = "a", .dialect = "openai", .base_url = "https://u:p@h/"}, 0, NULL, "credentials"},
		{{.name = "a", .dialect = "openai", .base_url = "https://h/?k=v"}, 0, NULL, "odd"},
		{{.name = "a", .dialect = "openai", .base_url = "https:///v1"}, 0, NULL, "no host"},
		{{.name = "a", .dialect = "smoke", .base_url = "https://h"}, 0, NULL, "dialect"},
		{{.name = "local", .dialect = "local"}, 0, NULL, "built in"},
		{{.name = "a:b", .dialect = "local"}, 0, NULL, "letters"},
		{{.name = "", .dialect = "local"}, 0, NULL, "1 to 64"},
		{{.name = "a", .dialect = "openai", .base_url = "https://h", .key_file = f->key_file},
		 0644,
		 "sk-abcdefgh1234",
		 "0644"},
		{{.name = "a", .dialect = "openai", .base_url = "https://h", .key_file = f->key_file},
		 0600,
		 "",
		 "one line"},
		{{.name = "a", .dialect = "openai", .base_url = "https://h", .key_file = f->key_file},
		 0600,
		 "sk-abcdefgh\nx: y",
		 "one line"},
		{{.name = "a", .dialect = "openai", .base_url = "https://h", .key_file = "/nonexistent/key"},
		 0,
		 NULL,
		 "No such file"},
		{{.name = "a", .dialect = "openai", .base_url = "https://h", .key_file = "/tmp"}, 0, NULL, "chmod"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct providers *p;
		struct errinfo info = {0};
		if (rows[i].key != NULL) write_key(f->key_file, rows[i].key, rows[i].mode);
		assert_int_equal(providers_new(&f->loop, &f->limits, &rows[i].cfg, 1, &p, &info), ERR_CONFIG);
		assert_null(p);
		if (strstr(info.text, rows[i].says) == NULL) print_error("%zu: %s\n", i, info.text);
		assert_non_null(strstr(info.text, rows[i].says));
		assert_null(strstr(info.text, "sk-abcdefgh"));
	}
}

static void freeing_the_providers_cancels_what_runs(void **state)
{
	struct fixture *f = *state;
	struct told t = {0}, u = {0};
	start(f, &t, "fake:m", NULL);
	start(f, &u, "local:test", "{\"tokensPerSecond\":1}");
	raw_run_for(&f->loop, 10);
	providers_free(f->providers);
	f->providers = NULL;
	raw_run_for(&f->loop, 10);
	assert_int_equal(f->srv.nclosed, 1);
	assert_false(t.done || u.done);
	clear(&t);
	clear(&u);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_remote_answer_streams_to_its_end),
		TEST(a_complete_answer_does_not_wait_for_a_server_that_holds_on),
		TEST(every_misbehaviour_has_its_error),
		TEST(an_endless_answer_is_bounded),
		TEST(the_whole_answer_has_a_deadline),
		TEST(cancelling_in_a_callback_closes_the_socket),
		TEST(a_provider_that_is_not_there_is_unreachable),
		TEST(a_local_answer_is_the_same_every_time),
		TEST(a_local_answer_keeps_its_speed),
		TEST(a_paused_local_answer_waits),
		TEST(local_faults_happen_as_asked),
		TEST(silence_is_an_answer_too),
		TEST(an_unknown_model_says_so_later),
		TEST(the_registry_knows_its_models),
		TEST(wrong_configuration_is_refused_with_a_reason),
		TEST(freeing_the_providers_cancels_what_runs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
