/* An image's head tells a size or none, whatever stands in it, and any size comes to a sane number of tokens. */
#include "provider/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const models[][2] = {{"claude", "claude-opus-4-7"},
						{"claude", "claude-haiku-4-5"},
						{"gpt", "gpt-4o-mini"},
						{"gpt", "gpt-5.4"},
						{"gpt", "o4-mini"},
						{"gemini", "gemini-2.5-pro"},
						{"gemini", "gemini-3-pro"},
						{"grok", "grok-4"},
						{"qwen", "qwen3-vl"},
						{"", ""}};
	struct image_size size;
	if (!image_size(str_n((const char *)data, n), &size)) return 0;
	ASSERT_CMP(size.width, >, 0);
	ASSERT_CMP(size.height, >, 0);
	ASSERT_CMP(size.width, <=, IMAGE_SIDE_MAX);
	ASSERT_CMP(size.height, <=, IMAGE_SIDE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(models); i++) {
		int64_t tokens = image_tokens(str_c(models[i][0]), str_c(models[i][1]), size, 1600);
		ASSERT_CMP(tokens, >, 0);
		ASSERT_CMP(tokens, <, 1 << 26);
	}
	return 0;
}
