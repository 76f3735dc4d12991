/* What goes out: attachments, parts, and what fits the window. */
#include "host/prompt.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "provider/models.h"

static char dir[] = "/tmp/roost-prompt-XXXXXX";

static void put_file(const char *bytes, char hex[2 * SHA256_LEN + 1])
{
	unsigned char hash[SHA256_LEN];
	char path[200];
	sha256(str_c(bytes), hash);
	hex_encode(hash, sizeof hash, hex);
	(void)snprintf(path, sizeof path, "%s/assets", dir);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof path, "%s/assets/%.2s", dir, hex);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof path, "%s/assets/%.2s/%s", dir, hex, hex);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fputs(bytes, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

static struct prompt *prompt(const struct prompt_message *list, size_t n, const char *params,
			     const struct model_info *about)
{
	return prompt_new(&(struct prompt_spec){.dialect = &dialect_openai,
						.base_url = STR("http://h/v1"),
						.model = STR("m"),
						.about = about,
						.messages = list,
						.nmessages = n,
						.params = str_c(params),
						.data_dir = str_c(dir)});
}

static const char *body(const struct prompt *a) { return prompt_made(a)->request.body.p; }

static void attachments_become_images_text_and_files(void **state)
{
	(void)state;
	char image[65], note[65], pdf[65], parts[600];
	struct errinfo info;
	put_file("PNG", image);
	put_file("a\xff"
		 "b",
		 note);
	put_file("%PDF", pdf);
	(void)snprintf(
		parts, sizeof parts,
		"[{\"sha256\":\"%s\",\"mediaType\":\"image/png\"},{\"sha256\":\"%s\",\"mediaType\":\"text/plain\","
		"\"name\":\"n.txt\"},{\"sha256\":\"%s\",\"mediaType\":\"application/pdf\",\"name\":\"x.pdf\"},"
		"{\"type\":\"place\",\"lat\":1}]",
		image, note, pdf);
	const struct prompt_message list[] = {{STR("user"), STR("look"), str_c(parts)}};
	struct prompt *a = prompt(list, 1, "", NULL);
	assert_false(prompt_is_small(a));
	assert_int_equal(prompt_make(a, &info), OK);
	assert_non_null(strstr(body(a), "{\"type\":\"text\",\"text\":\"look\"}"));
	assert_non_null(strstr(body(a), "\"url\":\"data:image/png;base64,UE5H\""));
	assert_non_null(strstr(body(a), "n.txt:\\na\xef\xbf\xbd"
					"b"));
	assert_non_null(
		strstr(body(a), "\"filename\":\"x.pdf\",\"file_data\":\"data:application/pdf;base64,JVBERg==\""));
	assert_null(strstr(body(a), "lat"));
	prompt_free(a);
}

static void an_attachment_that_is_gone_is_named(void **state)
{
	(void)state;
	struct errinfo info;
	const struct prompt_message list[] = {
		{STR("user"), STR("look"),
		 STR("[{\"sha256\":\"00000000000000000000000000000000000000000000000000000000000000aa\"}]")}};
	struct prompt *a = prompt(list, 1, "", NULL);
	assert_int_equal(prompt_make(a, &info), ERR_NOT_FOUND);
	assert_non_null(strstr(info.text, "00aa"));
	prompt_free(a);
	const struct prompt_message bad[] = {{STR("user"), STR("x"), STR("[{\"sha256\":\"../../etc/passwd\"}]")}};
	a = prompt(bad, 1, "", NULL);
	assert_int_equal(prompt_make(a, &info), ERR_BAD_FIELD);
	prompt_free(a);
}

static void tool_calls_and_their_results_go_back(void **state)
{
	(void)state;
	struct errinfo info;
	const struct prompt_message list[] = {
		{STR("user"), STR("1+1?"), STR("")},
		{STR("assistant"), STR(""),
		 STR("[{\"type\":\"tool_call\",\"id\":\"c1\",\"name\":\"add\",\"arguments\":{\"a\":1}}]")},
		{STR("user"), STR(""), STR("[{\"type\":\"tool_result\",\"id\":\"c1\",\"text\":\"2\"}]")}};
	struct prompt *a = prompt(list, 3, "{\"tools\":[{\"name\":\"add\"}]}", NULL);
	assert_int_equal(prompt_make(a, &info), OK);
	assert_non_null(strstr(body(a),
			       "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"add\","
			       "\"arguments\":\"{\\\"a\\\":1}\"}}]"));
	assert_non_null(strstr(body(a), "{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"2\"}"));
	prompt_free(a);
}

/* Ten estimated tokens of text a message, four for being one. */
#define FORTY "0123456789012345678901234567890123456789"
static const struct prompt_message talk[] = {{STR_INIT("user"), STR_INIT("first " FORTY), STR_INIT("")},
					     {STR_INIT("assistant"), STR_INIT("second " FORTY), STR_INIT("")},
					     {STR_INIT("user"), STR_INIT("third " FORTY), STR_INIT("")}};

static void the_window_is_kept_by_the_rule(void **state)
{
	(void)state;
	struct errinfo info;
	struct model_info about = {.window = 1000};
	struct prompt *a = prompt(talk, 3, "{\"maxTokens\":1}", &about);
	assert_int_equal(prompt_make(a, &info), OK);
	int64_t all = prompt_made(a)->context.all;
	prompt_free(a);
	about.window = all + 1; /* exactly: one is for the answer */
	a = prompt(talk, 3, "{\"maxTokens\":1}", &about);
	assert_int_equal(prompt_make(a, &info), OK);
	assert_int_equal(prompt_made(a)->context.left_out, 0);
	assert_non_null(strstr(body(a), "first"));
	prompt_free(a);
	about.window = all;
	a = prompt(talk, 3, "{\"maxTokens\":1}", &about);
	assert_int_equal(prompt_make(a, &info), OK);
	assert_int_equal(prompt_made(a)->context.left_out, 2);
	assert_null(strstr(body(a), "first"));
	assert_null(strstr(body(a), "\"context\""));
	prompt_free(a);
	a = prompt(talk, 3, "{\"maxTokens\":1,\"context\":\"refuse\"}", &about);
	assert_int_equal(prompt_make(a, &info), ERR_TOO_LARGE);
	assert_non_null(strstr(info.text, "params.context"));
	prompt_free(a);
	about.window = 10;
	a = prompt(talk, 3, "{\"maxTokens\":1}", &about);
	assert_int_equal(prompt_make(a, &info), ERR_TOO_LARGE);
	assert_non_null(strstr(info.text, "last message"));
	prompt_free(a);
}

static void what_was_cut_before_is_told_and_refused(void **state)
{
	(void)state;
	struct errinfo info;
	struct prompt_spec spec = {.dialect = &dialect_openai,
				   .base_url = STR("http://h/v1"),
				   .model = STR("m"),
				   .messages = talk,
				   .nmessages = 3,
				   .params = STR(""),
				   .data_dir = str_c(dir),
				   .is_cut = true};
	struct prompt *p = prompt_new(&spec);
	assert_int_equal(prompt_make(p, &info), OK);
	assert_true(prompt_made(p)->is_cut);
	prompt_free(p);
	spec.params = STR("{\"context\":\"refuse\"}");
	p = prompt_new(&spec);
	assert_int_equal(prompt_make(p, &info), ERR_TOO_LARGE);
	assert_non_null(strstr(info.text, "contextBytes"));
	prompt_free(p);
	/* When the newest alone is too much, that is what is said, whatever was cut. */
	struct model_info about = {.window = 10};
	spec.params = STR("");
	spec.about = &about;
	p = prompt_new(&spec);
	assert_int_equal(prompt_make(p, &info), ERR_TOO_LARGE);
	assert_non_null(strstr(info.text, "last message"));
	prompt_free(p);
}

static void what_is_left_out_is_summarised_first(void **state)
{
	(void)state;
	static char longer[8000];
	struct errinfo info;
	memset(longer, 'x', sizeof longer - 1);
	struct prompt_message list[] = {talk[0], talk[1], talk[2]};
	list[0].text = str_c(longer);
	struct model_info about = {.window = 2000};
	struct prompt *a = prompt(list, 3, "{\"maxTokens\":10,\"context\":\"summarise\",\"temperature\":1}", &about);
	assert_int_equal(prompt_make(a, &info), OK);
	assert_true(prompt_made(a)->wants_summary);
	assert_non_null(strstr(body(a), "xxxx"));
	assert_non_null(strstr(body(a), "second"));
	assert_null(strstr(body(a), "third"));
	assert_null(strstr(body(a), "temperature"));
	unsigned char key[SHA256_LEN];
	memcpy(key, prompt_made(a)->summary_key, sizeof key);
	prompt_set_summary(a, STR("they said x"));
	assert_int_equal(prompt_make(a, &info), OK);
	assert_false(prompt_made(a)->wants_summary);
	assert_non_null(
		strstr(body(a), "{\"role\":\"system\",\"content\":\"What was said before, in short:\\nthey said x\"}"));
	assert_non_null(strstr(body(a), "third"));
	assert_null(strstr(body(a), "second"));
	assert_non_null(strstr(body(a), "temperature"));
	prompt_free(a);
	a = prompt(list, 3, "{\"maxTokens\":10,\"context\":\"summarise\"}", &about);
	assert_int_equal(prompt_make(a, &info), OK);
	assert_memory_equal(prompt_made(a)->summary_key, key, sizeof key); /* so that it is made once */
	prompt_free(a);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int remove_files(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attachments_become_images_text_and_files),
		cmocka_unit_test(an_attachment_that_is_gone_is_named),
		cmocka_unit_test(tool_calls_and_their_results_go_back),
		cmocka_unit_test(the_window_is_kept_by_the_rule),
		cmocka_unit_test(what_was_cut_before_is_told_and_refused),
		cmocka_unit_test(what_is_left_out_is_summarised_first),
	};
	return cmocka_run_group_tests(tests, make_dir, remove_files);
}
