/* Names that resolve to good and bad addresses at once, as a hostile resolver answers: the address of the socket decides.
 * The resolver is this program's own, for the names of the table. */
#include "net/client.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "unit/raw_server.h"

static const struct name_row {
	const char *name;
	const char *addresses[4];
	bool allow_private;
	bool reached;
	const char *says;
} rows[] = {
	{"metadata.test", {"169.254.169.254", "fd00:ec2::254"}, true, false, "link-local"},
	{"mapped.test", {"::ffff:169.254.169.254"}, true, false, "link-local"},
	{"both.test", {"169.254.169.254", "127.0.0.1"}, true, true, ""},
	{"turned.test", {"127.0.0.1", "169.254.169.254"}, true, true, ""},
	{"home.test", {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, false, false, "private or loopback"},
	{"mixed.test", {"169.254.169.254", "127.0.0.1"}, false, false, "allowPrivate"},
};

static struct addrinfo *one_address(const char *text, const char *service)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *out = NULL;
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(text, service, &hints, &out) == 0 ? out : NULL;
}

/* The linker's name puts it in front of libc's, for this program and the libraries in it. */
__attribute__((visibility("default"))) int resolve(const char *name, const char *service, const struct addrinfo *hints,
						   struct addrinfo **out) __asm__("getaddrinfo");

int resolve(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	(void)hints;
	*out = NULL;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (strcmp(rows[i].name, name) != 0) continue;
		struct addrinfo **end = out;
		for (size_t k = 0; rows[i].addresses[k] != NULL; k++) {
			*end = one_address(rows[i].addresses[k], service);
			if (*end != NULL) end = &(*end)->ai_next;
		}
	}
	return *out != NULL ? 0 : EAI_NONAME;
}

struct told {
	bool done;
	int status;
	enum err err;
	struct errinfo info;
};

static void on_head(void *ctx, int status, struct str headers)
{
	(void)headers;
	((struct told *)ctx)->status = status;
}

static void on_done(void *ctx, enum err e, const struct errinfo *info)
{
	struct told *t = ctx;
	t->done = true;
	t->err = e;
	t->info = *info;
}

static void of_a_names_addresses_only_those_that_are_allowed_are_connected_to(void **state)
{
	(void)state;
	static const struct raw_step ok[] = {{RAW_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0}, {0}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uv_loop_t loop;
		struct raw_server srv;
		struct http_client *client;
		struct told t = {0};
		char url[100];
		uv_loop_init(&loop);
		raw_server_start(&srv, &loop);
		srv.scripts[0] = ok;
		assert_int_equal(http_client_new(&loop, &client, NULL), OK);
		(void)snprintf(url, sizeof url, "http://%s:%d/", rows[i].name, srv.port);
		struct http_call_spec spec = {.method = "GET",
					      .url = url,
					      .body = STR_NONE,
					      .connect_ms = 3000,
					      .allow_private = rows[i].allow_private,
					      .head = on_head,
					      .done = on_done,
					      .ctx = &t};
		(void)http_call_start(client, &spec);
		assert_true(raw_run_until(&loop, &t.done, 5000));
		if ((t.err == OK) != rows[i].reached) fail_msg("%s: %s", rows[i].name, t.info.text);
		assert_int_equal(t.status, rows[i].reached ? 200 : 0);
		assert_int_equal(srv.nconns, rows[i].reached);
		if (!rows[i].reached) {
			assert_int_equal(t.err, ERR_PROVIDER_REFUSED);
			assert_non_null(strstr(t.info.text, rows[i].says));
		}
		http_client_free(client);
		raw_server_stop(&srv);
		uv_run(&loop, UV_RUN_DEFAULT);
		assert_int_equal(uv_loop_close(&loop), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_names_addresses_only_those_that_are_allowed_are_connected_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
