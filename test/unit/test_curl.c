/* libcurl loaded on first use: the table is whole or empty, and what is missing is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "net/curl.c" /* NOLINT(bugprone-suspicious-include): to load another library than libcurl */

static bool has(const struct curl_table *t, const struct function *f)
{
	void *p;
	memcpy(&p, (const char *)t + f->at, sizeof p);
	return p != NULL;
}

static void nothing_is_there_before_it_is_loaded_and_everything_after(void **state)
{
	struct errinfo info = {0};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) assert_false(has(&libcurl, &functions[i]));
	if (curl_load(&info) != OK) fail_msg("%s", info.text);
	assert_int_equal(ARRAY_LEN(functions) * sizeof(void *), sizeof libcurl);
	for (size_t i = 0; i < ARRAY_LEN(functions); i++)
		if (!has(&libcurl, &functions[i])) fail_msg("%s is NULL", functions[i].name);
}

static void loading_again_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(curl_load(NULL), OK);
	struct curl_table first = libcurl;
	assert_int_equal(curl_load(NULL), OK);
	assert_memory_equal(&first, &libcurl, sizeof first);
}

static void what_is_loaded_is_no_older_than_the_options_in_use(void **state)
{
	(void)state;
	assert_int_equal(curl_load(NULL), OK);
	const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
	assert_true(v->version_num >= 0x075700);
	CURL *easy = curl_easy_init();
	assert_non_null(easy);
	assert_int_equal(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L), CURLE_OK);
	assert_int_equal(curl_easy_setopt(easy, CURLOPT_URL, "http://127.0.0.1/"), CURLE_OK);
	assert_int_equal(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)7), CURLE_OK);
	char *url = NULL;
	assert_int_equal(curl_easy_getinfo(easy, CURLINFO_EFFECTIVE_URL, &url), CURLE_OK);
	assert_string_equal(url, "http://127.0.0.1/");
	curl_easy_cleanup(easy);
}

static void a_missing_library_is_named_with_its_package(void **state)
{
	struct curl_table t = {0};
	struct errinfo info = {0};
	(void)state;
	assert_int_equal(load("libnobody.so.4", &t, &info), ERR_UNAVAILABLE);
	assert_non_null(strstr(info.text, "libnobody.so.4"));
	assert_non_null(strstr(info.text, "package libcurl4"));
}

/* libm is a library, and none of these functions is in it. */
static void a_library_that_lacks_a_function_leaves_the_table_empty(void **state)
{
	struct curl_table t = {0};
	struct errinfo info = {0};
	(void)state;
	assert_int_equal(load("libm.so.6", &t, &info), ERR_UNAVAILABLE);
	assert_non_null(strstr(info.text, "libm.so.6 has no curl_global_init"));
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) assert_false(has(&t, &functions[i]));
}

static void an_options_value_must_have_the_options_type(void **state)
{
	(void)state;
	static const char text[] = "x";
	bool flag = true;
#define FITS(option, value) (CURL_IS_LONG(value) == CURL_WANTS_LONG(option))
	assert_true(FITS(CURLOPT_NOSIGNAL, 1L));
	assert_false(FITS(CURLOPT_NOSIGNAL, 1));
	assert_false(FITS(CURLOPT_NOSIGNAL, flag));
	assert_false(FITS(CURLOPT_NOSIGNAL, text));
	assert_true(FITS(CURLOPT_URL, text));
	assert_true(FITS(CURLOPT_URL, "x"));
	assert_true(FITS(CURLOPT_CAPATH, NULL));
	assert_false(FITS(CURLOPT_URL, 0));
	assert_false(FITS(CURLOPT_URL, 0L));
	assert_true(FITS(CURLOPT_WRITEFUNCTION, load_once));
	assert_true(FITS(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)1));
	assert_false(FITS(CURLOPT_POSTFIELDSIZE_LARGE, 1));
	assert_false(FITS(CURLOPT_POSTFIELDSIZE_LARGE, text));
	assert_true(FITS(CURLMOPT_MAXCONNECTS, 1L));
	assert_true(FITS(CURLMOPT_SOCKETDATA, &flag));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_there_before_it_is_loaded_and_everything_after),
		cmocka_unit_test(loading_again_changes_nothing),
		cmocka_unit_test(what_is_loaded_is_no_older_than_the_options_in_use),
		cmocka_unit_test(a_missing_library_is_named_with_its_package),
		cmocka_unit_test(a_library_that_lacks_a_function_leaves_the_table_empty),
		cmocka_unit_test(an_options_value_must_have_the_options_type),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
