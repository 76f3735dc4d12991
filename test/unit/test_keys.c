/* Keys: where they are found, what they are bound to, and what of them is ever told. */
#include "host/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "host/implied.h"

#define SECRET "sk-0123456789abcdefghij-tail"

struct fixture {
	char dir[64], keys[80], file[96];
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	(void)snprintf(f->dir, sizeof f->dir, "/tmp/roost-keys-XXXXXX");
	if (mkdtemp(f->dir) == NULL) return -1;
	(void)snprintf(f->keys, sizeof f->keys, "%s/keys", f->dir);
	(void)snprintf(f->file, sizeof f->file, "%s/own.key", f->dir);
	unsetenv("CREDENTIALS_DIRECTORY");
	for (const struct provider_kind *k = provider_kinds; k->name != NULL; k++)
		for (size_t i = 0; i < ARRAY_LEN(k->env); i++)
			if (k->env[i] != NULL) unsetenv(k->env[i]);
	log_set_level(LOG_ERROR);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"own.key",        "openai.key", "keys/openai",
					    "keys/anthropic", "keys/bad",   "keys"};
	struct fixture *f = *state;
	char path[200];
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
		(void)remove(path);
	}
	int status = rmdir(f->dir);
	free(f);
	return status;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

static struct key_ask openai(const struct fixture *f)
{
	return (struct key_ask){.name = "openai",
				.base_url = "https://api.openai.com/v1",
				.kind = kind_find(STR("openai")),
				.key_dir = f->keys};
}

static void finds(const struct key_ask *ask, enum key_from from, const char *key)
{
	struct key_found found;
	struct errinfo info = {0};
	if (keys_find(ask, &found, &info) != OK) fail_msg("%s", info.text);
	assert_int_equal(found.from, from);
	if (key == NULL) assert_null(found.key);
	else assert_string_equal(found.key, key);
	assert_null(strstr(found.where, key != NULL ? key : "sk-"));
	key_found_release(&found);
}

/* ---- where ------------------------------------------------------------------------------------------------------- */

static void the_file_comes_before_the_credential_before_the_stored_one_before_the_environment(void **state)
{
	struct fixture *f = *state;
	struct key_ask ask = openai(f);
	struct errinfo info;
	char path[120];
	finds(&ask, KEY_NONE, NULL);
	setenv("OPENAI_API_KEY", "sk-from-env", 1);
	finds(&ask, KEY_ENVIRONMENT, "sk-from-env");
	assert_int_equal(keys_store(f->keys, "openai", "https://api.openai.com", STR("sk-stored"), &info), OK);
	finds(&ask, KEY_STORED, "sk-stored");
	(void)snprintf(path, sizeof path, "%s/openai.key", f->dir);
	write_file(path, "sk-credential\n", 0440);
	setenv("CREDENTIALS_DIRECTORY", f->dir, 1);
	finds(&ask, KEY_CREDENTIAL, "sk-credential");
	write_file(f->file, "sk-own\n", 0600);
	ask.key_file = f->file;
	finds(&ask, KEY_FILE, "sk-own");
}

static void the_first_variable_of_a_kind_that_is_set_counts(void **state)
{
	(void)state;
	const struct provider_kind *k = kind_find(STR("google"));
	struct key_ask ask = {.name = "google", .base_url = k->base_url, .kind = k};
	setenv("GOOGLE_API_KEY", "second", 1);
	finds(&ask, KEY_ENVIRONMENT, "second");
	setenv("GEMINI_API_KEY", "first", 1);
	finds(&ask, KEY_ENVIRONMENT, "first");
	setenv("GEMINI_API_KEY", "", 1);
	finds(&ask, KEY_ENVIRONMENT, "second");
	ask.key_env = "MINE";
	finds(&ask, KEY_NONE, NULL);
	setenv("MINE", "third", 1);
	finds(&ask, KEY_ENVIRONMENT, "third");
	unsetenv("MINE");
}

static void a_key_that_others_could_read_is_refused(void **state)
{
	struct fixture *f = *state;
	struct key_ask ask = openai(f);
	struct key_found found;
	struct errinfo info = {0};
	char path[120];
	assert_int_equal(keys_store(f->keys, "openai", "https://api.openai.com", STR(SECRET), &info), OK);
	(void)snprintf(path, sizeof path, "%s/openai", f->keys);
	static const mode_t modes[] = {0640, 0604, 0660};
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		assert_int_equal(chmod(path, modes[i]), 0);
		assert_int_equal(keys_find(&ask, &found, &info), ERR_CONFIG);
		assert_non_null(strstr(info.text, "chmod 600"));
		assert_null(found.key);
	}
}

static void what_is_no_key_is_refused_without_being_shown(void **state)
{
	struct fixture *f = *state;
	struct key_ask ask = openai(f);
	struct key_found found;
	static const char *const bad[] = {
		"", "\n", "sk-shown one", "sk-shown\nsk-shown\n", "sk-shown\x01", "sk-shown\xc3\xa4"};
	ask.key_file = f->file;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct errinfo info = {0};
		write_file(f->file, bad[i], 0600);
		assert_int_equal(keys_find(&ask, &found, &info), ERR_CONFIG);
		assert_null(strstr(info.text, "sk-shown"));
		if (i < 2) continue;
		assert_int_equal(keys_store(f->keys, "openai", "https://x", str_c(bad[i]), &info), ERR_USAGE);
		assert_null(strstr(info.text, "sk-shown"));
	}
	ask.key_file = NULL;
	setenv("OPENAI_API_KEY", "sk-shown\nX-Evil: 1", 1);
	struct errinfo info = {0};
	assert_int_equal(keys_find(&ask, &found, &info), ERR_CONFIG);
	assert_null(strstr(info.text, "sk-shown"));
}

/* ---- for whom ---------------------------------------------------------------------------------------------------- */

static void a_stored_key_goes_to_no_other_origin(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *url;
		bool same;
	} rows[] = {
		{"https://api.openai.com/v2", true},        {"https://API.openai.com:443/v1", true},
		{"http://api.openai.com/v1", false},        {"https://api.openai.com:8443/v1", false},
		{"https://api.openai.com.evil.net", false}, {"https://evil.net/api.openai.com", false},
	};
	struct errinfo info = {0};
	setenv("OPENAI_API_KEY", "sk-env", 1);
	assert_int_equal(keys_store(f->keys, "openai", "https://api.openai.com", STR(SECRET), &info), OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct key_found found;
		struct key_ask ask = openai(f);
		ask.base_url = rows[i].url;
		assert_int_equal(keys_find(&ask, &found, &info), OK);
		if (rows[i].same != (found.key != NULL)) fail_msg("%s", rows[i].url);
		assert_int_equal(found.note[0] != '\0', !rows[i].same);
		if (!rows[i].same) assert_non_null(strstr(found.note, "roost keys set openai"));
		assert_null(strstr(found.note, SECRET));
		key_found_release(&found);
	}
}

static void a_stored_key_without_an_address_is_not_used(void **state)
{
	struct fixture *f = *state;
	struct key_ask ask = openai(f);
	struct key_found found;
	struct errinfo info = {0};
	char path[120];
	assert_int_equal(mkdir(f->keys, 0700), 0);
	(void)snprintf(path, sizeof path, "%s/openai", f->keys);
	write_file(path, SECRET "\n", 0600);
	assert_int_equal(keys_find(&ask, &found, &info), OK);
	assert_null(found.key);
	assert_non_null(strstr(found.note, "names no address"));
}

static void a_variable_goes_to_its_kinds_own_address_only(void **state)
{
	struct fixture *f = *state;
	struct key_ask ask = openai(f);
	setenv("OPENAI_API_KEY", "sk-env", 1);
	setenv("OLLAMA_API_KEY", "ollama-env", 1);
	ask.base_url = "https://gateway.example/v1";
	finds(&ask, KEY_NONE, NULL);
	ask.key_env = "OPENAI_API_KEY"; /* said beside the address */
	finds(&ask, KEY_ENVIRONMENT, "sk-env");
	ask = (struct key_ask){
		.name = "ollama", .base_url = "http://127.0.0.1:11434", .kind = kind_find(STR("ollama"))};
	finds(&ask, KEY_NONE, NULL);
	ask.base_url = "https://ollama.com";
	finds(&ask, KEY_ENVIRONMENT, "ollama-env");
}

static void count_key(void *ctx, const char *name, const char *origin, const char *bad)
{
	int *n = ctx;
	++*n;
	assert_string_equal(name, *n == 1 ? "anthropic" : *n == 2 ? "bad" : "openai");
	assert_string_equal(origin, *n == 1 ? "https://api.anthropic.com" : *n == 2 ? "" : "https://api.openai.com");
	assert_int_equal(bad[0] != '\0', *n == 2);
}

static void stored_keys_are_replaced_listed_and_removed(void **state)
{
	struct fixture *f = *state;
	struct key_ask ask = openai(f);
	struct errinfo info = {0};
	struct stat st;
	char path[120];
	int n = 0;
	assert_int_equal(keys_store(f->keys, "anthropic", "https://api.anthropic.com", STR("a"), &info), OK);
	assert_int_equal(keys_store(f->keys, "openai", "https://api.openai.com", STR("old"), &info), OK);
	assert_int_equal(keys_store(f->keys, "openai", "https://api.openai.com", STR("new"), &info), OK);
	finds(&ask, KEY_STORED, "new");
	(void)snprintf(path, sizeof path, "%s/openai", f->keys);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(f->keys, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	(void)snprintf(path, sizeof path, "%s/bad", f->keys);
	write_file(path, "two words\n", 0600);
	keys_each(f->keys, count_key, &n);
	assert_int_equal(n, 3);
	assert_int_equal(keys_remove(f->keys, "openai", &info), OK);
	assert_int_equal(keys_remove(f->keys, "openai", &info), ERR_NOT_FOUND);
	assert_int_equal(keys_remove(f->keys, "../own", &info), ERR_NOT_FOUND);
	assert_int_equal(keys_store(f->keys, "../own", "https://x", STR("k"), &info), ERR_USAGE);
	finds(&ask, KEY_NONE, NULL);
}

static void what_root_stores_belongs_to_the_data_directorys_owner(void **state)
{
	struct fixture *f = *state;
	struct errinfo info = {0};
	struct stat st;
	char path[120];
	if (geteuid() != 0) skip();
	assert_int_equal(chown(f->dir, 4321, 4322), 0);
	assert_int_equal(keys_store(f->keys, "openai", "https://api.openai.com", STR(SECRET), &info), OK);
	(void)snprintf(path, sizeof path, "%s/openai", f->keys);
	const char *const paths[] = {f->keys, path};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		assert_int_equal(stat(paths[i], &st), 0);
		assert_int_equal(st.st_uid, 4321);
		assert_int_equal(st.st_gid, 4322);
	}
}

static void of_a_key_the_last_four_characters_are_shown_at_most(void **state)
{
	(void)state;
	char ends[16];
	key_ends(SECRET, ends);
	assert_string_equal(ends, "…tail");
	key_ends("sk-short", ends);
	assert_string_equal(ends, "");
	key_ends(NULL, ends);
	assert_string_equal(ends, "");
}

/* ---- kinds ------------------------------------------------------------------------------------------------------- */

static void an_address_tells_its_kind(void **state)
{
	(void)state;
	static const struct {
		const char *url, *kind, *whole;
	} rows[] = {
		{"http://127.0.0.1:11434", "ollama", "http://127.0.0.1:11434"},
		{"http://127.0.0.1:11434/", "ollama", "http://127.0.0.1:11434"},
		{"http://127.0.0.1:11434/v1", "compatible", "http://127.0.0.1:11434/v1"},
		{"http://studio.local:1234", "lmstudio", "http://studio.local:1234/v1"},
		{"http://studio.local:1234/v1/", "lmstudio", "http://studio.local:1234/v1/"},
		{"http://[::1]:8080", "llamacpp", "http://[::1]:8080/v1"},
		{"https://api.anthropic.com", "anthropic", "https://api.anthropic.com"},
		{"https://api.x.ai", "xai", "https://api.x.ai/v1"},
		{"https://api.openai.com", "openai", "https://api.openai.com/v1"},
		{"https://openrouter.ai/api/v1", "compatible", "https://openrouter.ai/api/v1"},
		{"no address", "compatible", "no address"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct provider_kind *k = kind_guess(str_c(rows[i].url));
		char *whole = kind_complete_url(k, str_c(rows[i].url));
		assert_string_equal(k->name, rows[i].kind);
		assert_string_equal(whole, rows[i].whole);
		free(whole);
	}
}

static void parse(struct config *c, const struct fixture *f, const char *yaml)
{
	struct errinfo info = {0};
	config_init(c);
	if (config_parse(c, str_c(yaml), "/etc/test.yaml", &info) != OK) fail_msg("%s", info.text);
	c->data_dir = f->dir;
}

static void a_kind_fills_in_what_is_left_out_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct config c;
	parse(&c, f,
	      "providers:\n  - kind: ollama\n  - kind: google\n    name: g\n  - kind: openai\n    dialect: openai\n"
	      "    baseUrl: http://10.0.0.1/x\n    allowPrivate: true\n  - kind: lmstudio\n    allowPrivate: false\n"
	      "  - name: oc\n    kind: ollama\n    baseUrl: https://ollama.com\n");
	const struct provider_config *p = c.providers;
	assert_string_equal(p[0].name, "ollama");
	assert_string_equal(p[0].dialect, "ollama");
	assert_string_equal(p[0].base_url, "http://127.0.0.1:11434");
	assert_true(p[0].allow_private);
	assert_string_equal(p[1].name, "g");
	assert_string_equal(p[1].dialect, "gemini");
	assert_false(p[1].allow_private);
	assert_string_equal(p[2].dialect, "openai");
	assert_string_equal(p[2].base_url, "http://10.0.0.1/x");
	assert_false(p[3].allow_private);
	assert_false(p[4].allow_private);
	config_release(&c);
	struct errinfo info = {0};
	config_init(&c);
	assert_int_equal(config_parse(&c, STR("providers:\n  - kind: opnai\n"), "t", &info), ERR_CONFIG);
	for (const struct provider_kind *k = provider_kinds; k->name != NULL; k++)
		assert_non_null(strstr(info.text, k->name));
	config_release(&c);
}

static void without_configured_providers_those_exist_whose_key_is_found(void **state)
{
	struct fixture *f = *state;
	static const char *const line[] = {"home=http://127.0.0.1:11434", NULL};
	struct config c;
	struct errinfo info = {0};
	setenv("XAI_API_KEY", "xai-k", 1);
	assert_int_equal(keys_store(f->keys, "anthropic", "https://api.anthropic.com", STR("k"), &info), OK);
	assert_int_equal(keys_store(f->keys, "openai", "https://elsewhere.example", STR("k"), &info), OK);
	parse(&c, f, "providers: []\n");
	assert_int_equal(implied_providers(&c, line, &info), OK);
	assert_int_equal(c.nproviders, 3);
	assert_string_equal(c.providers[0].name, "home");
	assert_string_equal(c.providers[0].dialect, "ollama");
	assert_true(c.providers[0].allow_private);
	assert_string_equal(c.providers[1].name, "anthropic");
	assert_string_equal(c.providers[1].key_dir, f->keys);
	assert_string_equal(c.providers[2].base_url, "https://api.x.ai/v1");
	config_release(&c);
	parse(&c, f, "providers:\n  - kind: ollama\n");
	assert_int_equal(implied_providers(&c, NULL, &info), OK);
	assert_int_equal(c.nproviders, 1);
	config_release(&c);
}

static void a_provider_line_that_is_none_is_refused(void **state)
{
	struct fixture *f = *state;
	static const char *const lines[][3] = {
		{"http://127.0.0.1:11434"}, {"=http://h"}, {"a="}, {"a=http://h", "a=http://i"}, {"ollama=http://h"}};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct config c;
		struct errinfo info = {0};
		parse(&c, f, "providers:\n  - kind: ollama\n");
		assert_int_equal(implied_providers(&c, lines[i], &info), ERR_USAGE);
		config_release(&c);
	}
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(the_file_comes_before_the_credential_before_the_stored_one_before_the_environment),
		CASE(the_first_variable_of_a_kind_that_is_set_counts),
		CASE(a_key_that_others_could_read_is_refused),
		CASE(what_is_no_key_is_refused_without_being_shown),
		CASE(a_stored_key_goes_to_no_other_origin),
		CASE(a_stored_key_without_an_address_is_not_used),
		CASE(a_variable_goes_to_its_kinds_own_address_only),
		CASE(stored_keys_are_replaced_listed_and_removed),
		CASE(what_root_stores_belongs_to_the_data_directorys_owner),
		CASE(of_a_key_the_last_four_characters_are_shown_at_most),
		CASE(an_address_tells_its_kind),
		CASE(a_kind_fills_in_what_is_left_out_and_nothing_else),
		CASE(without_configured_providers_those_exist_whose_key_is_found),
		CASE(a_provider_line_that_is_none_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
