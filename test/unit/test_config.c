/* The configuration: what a file sets, what each mistake is told, and that print and parse are inverse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <unistd.h>

#include "base/buf.h"
#include "host/config.h"

static enum err parse(struct config *c, const char *yaml, struct errinfo *info)
{
	*info = (struct errinfo){0};
	config_init(c);
	return config_parse(c, str_c(yaml), "/etc/roost/roost.yaml", info);
}

/* The text of config_print, for the caller to free. */
static char *printed(const struct config *c)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	config_print(c, f);
	fclose(f);
	return text;
}

static void an_empty_file_leaves_the_defaults(void **state)
{
	(void)state;
	static const char *const files[] = {"", "# nothing\n", "limits: {}\n", "hosts: []\n"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct config c;
		struct errinfo info;
		assert_int_equal(parse(&c, files[i], &info), OK);
		assert_string_equal(c.listen[0], "127.0.0.1:8787");
		assert_null(c.listen[1]);
		assert_string_equal(c.default_model, "");
		assert_null(c.model_fallback[0]);
		assert_true(c.journal);
		assert_false(c.deflate);
		assert_int_equal(c.limits.attempts, 5);
		assert_int_equal(config_check(&c, &info), OK);
		config_release(&c);
	}
}

static void every_kind_of_key_is_read(void **state)
{
	(void)state;
	struct config c;
	struct errinfo info;
	setenv("HOME", "/home/p", 1);
	assert_int_equal(parse(&c,
			       "data: ~/roost\n"
			       "listen: [\"127.0.0.1:1\", \"[::1]:2\"]\n"
			       "tlsCert: cert.pem\n"
			       "tlsKey: /k/key.pem\n"
			       "hosts:\n- a.example\n- b.example\n"
			       "journal: false\n"
			       "logLevel: debug\n"
			       "providers:\n"
			       "  - name: studio\n"
			       "    baseUrl: http://127.0.0.1:1234/v1\n"
			       "    keyFile: studio.key\n"
			       "    models: [one, two]\n"
			       "    concurrency: 3\n"
			       "    allowPrivate: true\n"
			       "limits:\n"
			       "  frameBytes: 4096\n"
			       "  attempts: 1\n",
			       &info),
			 OK);
	assert_string_equal(c.data_dir, "/home/p/roost");
	assert_string_equal(c.listen[1], "[::1]:2");
	assert_string_equal(c.tls_cert, "/etc/roost/cert.pem");
	assert_string_equal(c.tls_key, "/k/key.pem");
	assert_string_equal(c.hosts[1], "b.example");
	assert_null(c.hosts[2]);
	assert_false(c.journal);
	assert_int_equal(c.log_level, LOG_DEBUG);
	assert_int_equal(c.nproviders, 1);
	assert_string_equal(c.providers[0].dialect, "openai");
	assert_string_equal(c.providers[0].key_file, "/etc/roost/studio.key");
	assert_string_equal(c.providers[0].models[1], "two");
	assert_int_equal(c.providers[0].concurrency, 3);
	assert_true(c.providers[0].allow_private);
	assert_int_equal(c.limits.frame_bytes, 4096);
	assert_int_equal(c.limits.attempts, 1);
	assert_int_equal(c.limits.head_bytes, 16384);
	config_release(&c);
}

static void a_mistake_is_told_with_its_line_and_changes_nothing(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *says;
	} cases[] = {
		{"journal: false\nlistn: []\n", "roost.yaml:2: there is no key \"listn\"; did you mean listen"},
		{"limits:\n  frameByte: 1\n", "did you mean limits.frameBytes"},
		{"frameBytes: 4096\n", "limits.frameBytes"},
		{"zzzzzzzz: 1\n", "roost.yaml:1: there is no key \"zzzzzzzz\""},
		{"journal: false\ndeflate: yes please\n",
		 "roost.yaml:2: deflate is \"yes please\"; it must be true or false"},
		{"logLevel: loud\n", "roost.yaml:1: logLevel is \"loud\""},
		{"limits:\n  # bytes\n  frameBytes: 16M\n", "roost.yaml:3: limits.frameBytes is \"16M\""},
		{"limits:\n  frameBytes: 1\n", "it must be from 4096 to"},
		{"hosts: one\n", "roost.yaml:1: "},
		{"data: [a]\n", "roost.yaml:1: "},
		{"data: {\n", "roost.yaml"},
		{"- a\n", "roost.yaml"},
		{"data: /a\ndata: /b\n", "already seen"},
		{"hosts: [&a x, *a]\n", "roost.yaml:1: "},
		{"data: \"/a\\u009b\"\n", "roost.yaml:1: data holds a control character"},
		{"providers:\n  - name: A!\n", "roost.yaml:2: providers[0].name"},
		{"providers:\n  - name: local\n", "built-in"},
		{"providers:\n  - name: a\n    baseUrl: ftp://x\n", "baseUrl must begin"},
		{"providers:\n  - name: a\n    dialect: cobol\n", "dialect is \"cobol\""},
		{"providers:\n  - {name: a, baseUrl: http://x}\n  - {name: a, baseUrl: http://x}\n", "two providers"},
		{"providers:\n  - {name: a, baseUrl: http://x, concurrency: -1}\n", "concurrency"},
		{"providers:\n  - {name: a, baseUrl: http://x, allowPrivate: 1}\n", "allowPrivate"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config c;
		struct errinfo info;
		assert_int_equal(parse(&c, cases[i].yaml, &info), ERR_CONFIG);
		if (strstr(info.text, cases[i].says) == NULL) fail_msg("case %zu says: %s", i, info.text);
		assert_true(c.journal);
		config_release(&c);
	}
}

static void what_is_printed_reads_back_the_same(void **state)
{
	(void)state;
	static const char *const files[] = {
		"",
		"data: \"/a b/\\\"quoted\\\" \\u00e9\"\nhosts: [x, \"y: z\"]\n",
		("providers:\n  - {name: a, baseUrl: 'http://x'}\n  - {name: b, dialect: silent, keyFile: /k, models: [m]}\n"
		 "limits: {attempts: 9}\n"),
	};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct config a, b;
		struct errinfo info;
		assert_int_equal(parse(&a, files[i], &info), OK);
		char *first = printed(&a);
		if (parse(&b, first, &info) != OK) fail_msg("%s", info.text);
		char *second = printed(&b);
		assert_string_equal(first, second);
		free(first);
		free(second);
		config_release(&a);
		config_release(&b);
	}
}

static void the_command_line_goes_over_the_file(void **state)
{
	(void)state;
	struct config c;
	struct errinfo info;
	char cwd[4096];
	assert_int_equal(parse(&c, "listen: [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n", &info), OK);
	assert_int_equal(config_set(&c, "listen", "127.0.0.1:3", &info), OK);
	assert_string_equal(c.listen[0], "127.0.0.1:3");
	assert_null(c.listen[1]);
	assert_int_equal(config_set(&c, "data", "here", &info), OK);
	assert_non_null(getcwd(cwd, sizeof cwd));
	assert_memory_equal(c.data_dir, cwd, strlen(cwd));
	assert_string_equal(c.data_dir + strlen(cwd), "/here");
	assert_int_equal(config_set(&c, "logLevel", "loud", &info), ERR_CONFIG);
	assert_int_equal(config_set(&c, "nothing", "x", &info), ERR_CONFIG);
	config_release(&c);
}

static void an_address_beyond_loopback_needs_tls_or_a_proxy(void **state)
{
	(void)state;
	static const struct {
		const char *yaml;
		bool good;
	} cases[] = {
		{"listen: ['0.0.0.0:1']\n", false},
		{"listen: ['[::]:1']\n", false},
		{"listen: ['[::1]:1', '127.8.9.1:2', 'localhost:0']\n", true},
		{"listen: ['0.0.0.0:1']\ntrustProxy: true\n", true},
		{"listen: ['0.0.0.0:1']\ntlsCert: /c\ntlsKey: /k\n", true},
		{"listen: ['0.0.0.0:1']\ntlsCert: /c\n", false},
		{"tlsKey: /k\n", false},
		{"listen: ['127.0.0.1']\n", false},
		{"listen: ['127.0.0.1:65536']\n", false},
		{"listen: ['::1:80']\n", false},
		{"listen: [':80']\n", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config c;
		struct errinfo info;
		assert_int_equal(parse(&c, cases[i].yaml, &info), OK);
		enum err e = config_check(&c, &info);
		if ((e == OK) != cases[i].good) fail_msg("case %zu: %s", i, cases[i].yaml);
		config_release(&c);
	}
}

/* docs/operations.md shows the defaults as --print-config prints them, so the reference cannot fall behind. */
static void the_reference_in_the_manual_is_what_is_printed(void **state)
{
	(void)state;
	struct config c;
	struct errinfo info;
	struct buf doc = BUF_INIT(1 << 20);
	char piece[4096];
	FILE *f = fopen(ROOST_SOURCE_DIR "/docs/operations.md", "r");
	assert_non_null(f);
	for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) assert_true(buf_add(&doc, piece, n));
	fclose(f);
	assert_int_equal(parse(&c, "data: /home/you/.local/share/roost\n", &info), OK);
	char *text = printed(&c);
	if (strstr(doc.p, text) == NULL)
		fail_msg("put the output of `roost serve --print-config` into docs/operations.md");
	free(text);
	buf_release(&doc);
	config_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_leaves_the_defaults),
		cmocka_unit_test(every_kind_of_key_is_read),
		cmocka_unit_test(a_mistake_is_told_with_its_line_and_changes_nothing),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(the_command_line_goes_over_the_file),
		cmocka_unit_test(an_address_beyond_loopback_needs_tls_or_a_proxy),
		cmocka_unit_test(the_reference_in_the_manual_is_what_is_printed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
