/* The configuration's parser: any text is a configuration or a sentence, and what was read prints and reads again. */
#include "host/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char *printed(const struct config *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	config_print(c, f);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct config a, b;
	struct errinfo info = {0};
	config_init(&a);
	enum err e = config_parse(&a, str_n((const char *)data, n), "/etc/roost.yaml", &info);
	if (e != OK) ASSERT(info.text[0] != '\0');
	if (e == OK && config_check(&a, &info) == OK) {
		char *text = printed(&a);
		config_init(&b);
		e = config_parse(&b, str_c(text), "/etc/roost.yaml", &info);
		ASSERT_CMP(e, ==, OK);
		char *again = printed(&b);
		ASSERT(strcmp(text, again) == 0);
		free(text);
		free(again);
		config_release(&b);
	}
	config_release(&a);
	return 0;
}
