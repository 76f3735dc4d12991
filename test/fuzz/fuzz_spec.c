/* Specs and awareness files: any text is a spec or a sentence with its place, and what was read is written so that it
 * reads as the same. */
#include "lab/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct config *defaults(void)
{
	static struct config config;
	static bool is_ready;
	if (!is_ready) config_init(&config);
	is_ready = true;
	return &config;
}

static struct buf written(const struct spec *s)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	spec_write(s, &b);
	return b;
}

static struct buf configured(const struct spec *s)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	struct json_doc *doc = NULL;
	spec_write_config(s, &w);
	ASSERT_CMP(json_parse(buf_str(&b), &doc, NULL), ==, OK);
	json_free(doc);
	return b;
}

/* Only what is given in place is completed: a file that the text names is none of its business. */
static void complete(struct spec *s)
{
	const bool is_remote[LAB_AGENTS_MAX] = {true};
	struct errinfo info = {0};
	for (size_t i = 0; i < s->nagents; i++)
		if (s->agents[i].awareness.p[0] == '/') return;
	if (spec_complete(s, is_remote, &info) != OK) ASSERT(info.text[0] != '\0');
}

static void check_one(struct spec *s)
{
	struct errinfo info = {0};
	struct spec *again = NULL;
	size_t n = 0;
	struct arena memory = {0};
	complete(s);
	(void)spec_request_params(&s->agents[0], 0, &memory);
	struct buf text = written(s), config = configured(s);
	if (spec_parse(buf_str(&text), "/x/spec.yaml", defaults(), &again, &n, &info) != OK)
		die(70, "%s\n%.*s", info.text, STR_ARG(buf_str(&text)));
	ASSERT_CMP(n, ==, 1);
	complete(&again[0]);
	struct buf text_again = written(&again[0]), config_again = configured(&again[0]);
	ASSERT(str_eq(buf_str(&text), buf_str(&text_again)));
	ASSERT(str_eq(buf_str(&config), buf_str(&config_again)));
	ASSERT(str_eq(s->prompt, again[0].prompt));
	ASSERT_CMP(s->ninjections, ==, again[0].ninjections);
	arena_clear(&memory);
	buf_release(&text);
	buf_release(&config);
	buf_release(&text_again);
	buf_release(&config_again);
	spec_release(&again[0]);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct spec *list = NULL;
	size_t nlist = 0;
	struct errinfo info = {0};
	enum err e = spec_parse(str_n((const char *)data, n), "/x/spec.yaml", defaults(), &list, &nlist, &info);
	if (e != OK) ASSERT(strncmp(info.text, "/x/spec.yaml:", 13) == 0);
	for (size_t i = 0; i < nlist; i++) {
		if (i < 4) check_one(&list[i]);
		spec_release(&list[i]);
	}
	free(list);
	return 0;
}
