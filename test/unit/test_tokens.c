#include "provider/tokens.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "provider/image.h"

static void texts_have_their_golden_estimates(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t gpt, claude, any;
	} rows[] = {
		{"", 0, 0, 0},
		{"a", 1, 1, 1},
		{"12345678", 2, 3, 3},
		{"The quick brown fox jumps over the lazy dog.", 11, 14, 13},
		{"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", 2, 3, 3},                 /* äöüß */
		{"\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82", 3, 4, 4}, /* Привет */
		{"\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c", 4, 5, 5}, /* 你好世界 */
		{"\xf0\x9f\x98\x80", 2, 3, 3},                                 /* an emoji */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(tokens_text(STR("gpt"), str_c(rows[i].text)), rows[i].gpt);
		assert_int_equal(tokens_text(STR("claude"), str_c(rows[i].text)), rows[i].claude);
		assert_int_equal(tokens_text(STR_NONE, str_c(rows[i].text)), rows[i].any);
	}
}

static void a_text_in_pieces_weighs_what_it_weighs_whole(void **state)
{
	(void)state;
	struct str whole = STR("na\xc3\xafve \xe4\xbd\xa0\xe5\xa5\xbd, said the pigeon");
	int64_t weight = 0;
	for (size_t i = 0; i < whole.n; i++) weight += tokens_weigh(str_n(whole.p + i, 1));
	assert_int_equal(weight, tokens_weigh(whole));
	assert_int_equal(tokens_of_weight(STR("gpt"), weight), tokens_text(STR("gpt"), whole));
	assert_int_equal(tokens_of_weight(STR("claude"), INT64_MAX), INT64_MAX);
	assert_int_equal(tokens_of_weight(STR("claude"), 1), 1);
}

static void messages_count_their_marks_and_parts(void **state)
{
	(void)state;
	struct str gpt = STR("gpt");
	char pdf[100000] = "%PDF";
	struct call_part parts[] = {
		{.kind = PART_TEXT, .text = STR("12345678")},
		{.kind = PART_IMAGE, .media_type = STR("image/png"), .bytes = STR("x")},
		{.kind = PART_FILE, .name = STR("a.txt"), .media_type = STR("text/plain"), .bytes = STR("12345678")},
		{.kind = PART_FILE, .name = STR("a.pdf"), .media_type = STR("application/pdf"), .bytes = STR("x")},
		{.kind = PART_FILE, .media_type = STR("application/pdf"), .bytes = {pdf, sizeof pdf}},
		{.kind = PART_TOOL_CALL, .name = STR("find"), .text = STR("{\"q\":\"x\"}")},
		{.kind = PART_TOOL_RESULT, .name = STR("find"), .text = STR("nothing")},
		{.kind = PART_THINKING, .text = STR("well")},
	};
	static const int64_t want[] = {2, 1105, 2 + 2, 2 + 2000, 4000, 4 + 1 + 3, 4 + 1 + 2, 1};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct call_message m = {.role = STR("user"), .text = STR("1234"), .parts = &parts[i], .nparts = 1};
		assert_int_equal(tokens_message(gpt, STR("gpt-4o"), &m), TOKENS_PER_MESSAGE + 1 + want[i]);
	}
	struct call_message empty = {.role = STR("user"), .text = STR("")};
	assert_int_equal(tokens_message(gpt, STR("gpt-4o"), &empty), TOKENS_PER_MESSAGE);
}

/* ---- images ------------------------------------------------------------------------------------------------------ */

#define BYTES(lit)                                                                                                     \
	{                                                                                                              \
		(lit), sizeof(lit) - 1                                                                                 \
	}
#define JPEG_HEAD "\xff\xd8\xff\xe0\0\x04\0\0"

static void an_image_tells_its_size_in_its_head(void **state)
{
	(void)state;
	static const struct {
		struct str head;
		int64_t width, height; /* 0: it can't be read */
	} rows[] = {
		{BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x04\0\0\0\x02\x01\x08"), 1024, 513},
		{BYTES("GIF89a\x40\x01\xf0\0\0\0\0"), 320, 240},
		{BYTES("GIF87a\x01\0\x02\0"), 1, 2},
		{BYTES(JPEG_HEAD "\xff\xc0\0\x11\x08\x01\x2c\x02\x58\x03"), 600, 300},
		{BYTES(JPEG_HEAD "\xff\xc4\0\x03\0\xff\xff\xff\xc2\0\x11\x08\x01\x2c\x02\x58\x03"), 600, 300},
		{BYTES("RIFF\x40\0\0\0WEBPVP8 \x30\0\0\0\x30\x01\0\x9d\x01\x2a\x80\x02\xe0\x41"), 640, 480},
		{BYTES("RIFF\x40\0\0\0WEBPVP8L\x30\0\0\0\x2f\x7f\xc2\x77\0\0\0\0\0\0"), 640, 480},
		{BYTES("RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0"), 640, 480},
		/* damaged, hostile or something else */
		{BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\0\0\0\x02\x01"), 0, 0},
		{BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\xff\xff\xff\xff\0\0\0\x01"), 0, 0},
		{BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT\0\0\x04\0\0\0\x02\x01"), 0, 0},
		{BYTES(JPEG_HEAD "\xff\xda\0\x08\xff\xc0\0\x11\x08\x01\x2c\x02\x58\x03"), 0, 0},
		{BYTES(JPEG_HEAD "\xff\xe1\0\x01\xff\xc0\0\x11\x08\x01\x2c\x02\x58\x03"), 0, 0},
		{BYTES(JPEG_HEAD "xxxxxxxxxxxx"), 0, 0},
		{BYTES("RIFF\x40\0\0\0WEBPVP8 \x30\0\0\0\x30\x01\0\x9d\x01\x2b\x80\x02\xe0\x41"), 0, 0},
		{BYTES("RIFF\x40\0\0\0WEBPALPH\x30\0\0\0\x30\x01\0\x9d\x01\x2a\x80\x02\xe0\x01"), 0, 0},
		{BYTES("<svg width=\"10\" height=\"10\"/>........."), 0, 0},
		{BYTES(""), 0, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct image_size size;
		bool is_one = image_size(rows[i].head, &size);
		if (is_one != (rows[i].width > 0)) print_error("row %zu\n", i);
		assert_int_equal(is_one, rows[i].width > 0);
		if (is_one) assert_int_equal(size.width, rows[i].width);
		if (is_one) assert_int_equal(size.height, rows[i].height);
		/* cut anywhere, in memory that ends there */
		for (size_t n = 0; n < rows[i].head.n; n++) {
			char *cut = xmalloc(MAX(n, (size_t)1));
			memcpy(cut, rows[i].head.p, n);
			(void)image_size(str_n(cut, n), &size);
			free(cut);
		}
	}
}

static void a_jpeg_of_endless_segments_is_given_up(void **state)
{
	(void)state;
	struct image_size size;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add(&b, JPEG_HEAD, sizeof JPEG_HEAD - 1);
	for (int i = 0; i < 100000; i++) buf_add(&b, "\xff\xe2\0\x02", 4);
	buf_add(&b, "\xff\xc0\0\x11\x08\x01\x2c\x02\x58\x03", 11);
	assert_false(image_size(buf_str(&b), &size));
	buf_release(&b);
}

/* The vendors' own examples where they give one. */
static void an_image_is_as_many_tokens_as_its_vendor_says(void **state)
{
	(void)state;
	static const struct {
		const char *family, *model;
		int64_t width, height, tokens;
	} rows[] = {
		{"claude", "claude-sonnet-4-6", 200, 200, 64},
		{"claude", "claude-sonnet-4-6", 1000, 1000, 1296},
		{"claude", "claude-sonnet-4-6", 1092, 1092, 1521},
		{"claude", "claude-opus-4.6", 4000, 3000, 1568},
		{"claude", "claude-opus-4-6", 4000, 100, 112},
		{"claude", "claude-opus-4-7", 4000, 3000, 4784},
		{"claude", "claude-opus-4-7", 1000, 1000, 1296},
		{"gpt", "gpt-4o", 512, 512, 255},
		{"gpt", "gpt-4o", 1024, 1024, 765},
		{"gpt", "gpt-4o", 2048, 4096, 1105},
		{"gpt", "gpt-4o-mini", 1024, 1024, 25501},
		{"gpt", "gpt-4.1", 1024, 1024, 765},
		{"gpt", "gpt-4.1-mini", 1024, 1024, 1659},
		{"gpt", "gpt-4.1-mini", 1800, 2400, 2489},
		{"gpt", "gpt-5", 1024, 1024, 630},
		{"gpt", "gpt-5-mini", 1024, 1024, 1659},
		{"gpt", "gpt-5.4", 1024, 1024, 1024},
		{"gpt", "gpt-5.4", 6000, 4000, 2500},
		{"gpt", "o3", 1024, 1024, 675},
		{"gemini", "gemini-2.5-pro", 384, 384, 258},
		{"gemini", "gemini-2.5-pro", 960, 540, 6 * 258},
		{"gemini", "gemini-2.5-pro", 3000, 3000, 16 * 258},
		{"gemini", "gemini-3-pro-preview", 3000, 3000, 1120},
		{"gemma", "gemma-3-27b-it", 3000, 3000, 256},
		{"grok", "grok-4", 448, 448, 512},
		{"grok", "grok-4", 3000, 3000, 1792},
		{"qwen", "qwen2.5-vl:7b", 280, 280, 100},
		{"who?", "m", 280, 280, 1600},
		{"claude", "", IMAGE_SIDE_MAX, 1, 92},
		{"gpt", "", 1, IMAGE_SIDE_MAX, 85 + 4 * 170},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct image_size size = {rows[i].width, rows[i].height};
		int64_t n = image_tokens(str_c(rows[i].family), str_c(rows[i].model), size, 1600);
		if (n != rows[i].tokens)
			print_error("%s %lldx%lld\n", rows[i].model, (long long)size.width, (long long)size.height);
		assert_int_equal(n, rows[i].tokens);
	}
}

static void a_message_counts_each_image_by_its_size(void **state)
{
	(void)state;
	const struct str small = BYTES("GIF89a\x40\x01\xf0\0"), wide = BYTES("GIF89a\0\x04\0\x04");
	struct call_part parts[] = {{.kind = PART_IMAGE, .bytes = small}, {.kind = PART_IMAGE, .bytes = wide}};
	struct call_message m = {.role = STR("user"), .text = STR(""), .parts = parts, .nparts = 2};
	assert_int_equal(tokens_message(STR("gpt"), STR("gpt-4o"), &m), TOKENS_PER_MESSAGE + 255 + 765);
	assert_int_equal(tokens_message(STR("gpt"), STR("gpt-5.4"), &m), TOKENS_PER_MESSAGE + 80 + 1024);
	assert_int_equal(tokens_image(STR("gemini"), STR(""), STR("?")), 258);
	assert_int_equal(tokens_image(STR("who?"), STR(""), STR("?")), 1600);
}

static void the_system_prompt_the_tools_and_the_schema_count(void **state)
{
	(void)state;
	struct json_doc *doc;
	struct params p;
	assert_int_equal(
		json_parse(STR("{\"system\":\"12345678\",\"tools\":[{\"name\":\"f\"}],\"schema\":{},\"stop\":\"x\"}"),
			   &doc, NULL),
		OK);
	assert_int_equal(params_read(json_root(doc), &p, NULL), OK);
	assert_int_equal(tokens_params(STR("gpt"), &p), TOKENS_PER_MESSAGE + 2 + 4 + 1);
	assert_int_equal(params_read(NULL, &p, NULL), OK);
	assert_int_equal(tokens_params(STR("gpt"), &p), 0);
	json_free(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_have_their_golden_estimates),
		cmocka_unit_test(a_text_in_pieces_weighs_what_it_weighs_whole),
		cmocka_unit_test(messages_count_their_marks_and_parts),
		cmocka_unit_test(an_image_tells_its_size_in_its_head),
		cmocka_unit_test(a_jpeg_of_endless_segments_is_given_up),
		cmocka_unit_test(an_image_is_as_many_tokens_as_its_vendor_says),
		cmocka_unit_test(a_message_counts_each_image_by_its_size),
		cmocka_unit_test(the_system_prompt_the_tools_and_the_schema_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
