#include "provider/image.h"

#include <math.h>

#define SEGMENTS_MAX 4096 /* of a JPEG before its size; a profile and a preview take a few dozen */

/* ---- heads ------------------------------------------------------------------------------------------------------- */

static unsigned byte(struct str s, size_t at) { return (unsigned char)s.p[at]; }
static int64_t be16(struct str s, size_t at) { return byte(s, at) << 8 | byte(s, at + 1); }
static int64_t le16(struct str s, size_t at) { return byte(s, at) | byte(s, at + 1) << 8; }
static int64_t le24(struct str s, size_t at) { return le16(s, at) | byte(s, at + 2) << 16; }
static int64_t be32(struct str s, size_t at) { return be16(s, at) << 16 | be16(s, at + 2); }

static bool has(struct str s, size_t at, struct str what)
{
	return s.n >= at + what.n && memcmp(s.p + at, what.p, what.n) == 0;
}

/* A frame's head: all of C0 to CF but the tables C4, C8 and CC. */
static bool is_frame(unsigned marker)
{
	return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

static struct image_size jpeg_size(struct str s)
{
	struct image_size none = {0, 0};
	size_t at = 2;
	for (int i = 0; i < SEGMENTS_MAX && at + 9 <= s.n; i++) {
		unsigned marker = byte(s, at + 1);
		if (byte(s, at) != 0xff) return none;
		if (marker == 0xff) {
			at++; /* filling */
			continue;
		}
		if (is_frame(marker)) return (struct image_size){be16(s, at + 7), be16(s, at + 5)};
		if (marker == 0xda || marker == 0xd9) return none; /* the picture itself, the end */
		bool is_bare = marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7);
		size_t len = is_bare ? 0 : (size_t)be16(s, at + 2);
		if (!is_bare && len < 2) return none;
		at += 2 + len;
	}
	return none;
}

/* The three kinds of first chunks: lossy, lossless, extended. */
static struct image_size webp_size(struct str s)
{
	struct image_size none = {0, 0};
	if (s.n < 30) return none;
	if (has(s, 12, STR("VP8X"))) return (struct image_size){le24(s, 24) + 1, le24(s, 27) + 1};
	if (has(s, 12, STR("VP8 ")) && has(s, 23, STR("\x9d\x01\x2a")))
		return (struct image_size){le16(s, 26) & 0x3fff, le16(s, 28) & 0x3fff};
	if (!has(s, 12, STR("VP8L")) || byte(s, 20) != 0x2f) return none;
	int64_t bits = le24(s, 21) | (int64_t)byte(s, 24) << 24;
	return (struct image_size){(bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1};
}

bool image_size(struct str s, struct image_size *out)
{
	struct image_size size = {0, 0};
	if (has(s, 0, STR("\x89PNG\r\n\x1a\n")) && has(s, 12, STR("IHDR")) && s.n >= 24)
		size = (struct image_size){be32(s, 16), be32(s, 20)};
	else if ((has(s, 0, STR("GIF87a")) || has(s, 0, STR("GIF89a"))) && s.n >= 10)
		size = (struct image_size){le16(s, 6), le16(s, 8)};
	else if (has(s, 0, STR("\xff\xd8\xff"))) size = jpeg_size(s);
	else if (has(s, 0, STR("RIFF")) && has(s, 8, STR("WEBP"))) size = webp_size(s);
	*out = size;
	return size.width > 0 && size.height > 0 && size.width <= IMAGE_SIDE_MAX && size.height <= IMAGE_SIDE_MAX;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

enum rule {
	USUAL,   /* nobody says */
	PATCHES, /* scaled down to `longest` and to at most `most` squares of `side`, `percent` of a token each */
	TILES, /* scaled down to 2048², then to a short side of `shortest`; `base`, and `each` for a square of `side` */
	CROPS, /* `each` for a tile, whose size follows the image's shorter side; one for what is small */
	GRID,  /* `each` for a square of `side`, at most `most` of them, and one for the whole */
	FIXED  /* `each`, whatever the size */
};

/* Per family the first row whose word is in the model's name. Sources:
 *   Claude   platform.claude.com/docs/en/build-with-claude/vision: squares of 28; 1568 pixels and as many tokens, from
 *            Opus 4.7 on 2576 pixels and 4784
 *   GPT      platform.openai.com/docs/guides/images-vision, "calculating costs", at high detail; what 5.2 makes of a square
 *            is what it was seen to charge
 *   Gemini   ai.google.dev/gemini-api/docs/image-understanding for 2 and before, …/media-resolution for 3 and later
 *   Gemma    ai.google.dev/gemma/docs/core: 256 for an image of any size
 *   Grok     docs.x.ai, image understanding: squares of 448, at most 6 and one for the whole
 *   Qwen     the models' cards: squares of 28, at most 1280 by their processors' recommendation */
/* clang-format off */
static const struct image_rule {
	const char *family, *word;
	enum rule rule;
	int64_t side, longest, most, percent; /* longest, most: 0 any */
	int64_t shortest, base, each;
} rules[] = {
	{.family = "claude", .word = "opus-4.7", .rule = PATCHES, .side = 28, .longest = 2576, .most = 4784, .percent = 100},
	{.family = "claude", .word = "opus-4.8", .rule = PATCHES, .side = 28, .longest = 2576, .most = 4784, .percent = 100},
	{.family = "claude", .word = "opus-4",   .rule = PATCHES, .side = 28, .longest = 1568, .most = 1568, .percent = 100},
	{.family = "claude", .word = "sonnet-4", .rule = PATCHES, .side = 28, .longest = 1568, .most = 1568, .percent = 100},
	{.family = "claude", .word = "haiku-4",  .rule = PATCHES, .side = 28, .longest = 1568, .most = 1568, .percent = 100},
	{.family = "claude", .word = "claude-3", .rule = PATCHES, .side = 28, .longest = 1568, .most = 1568, .percent = 100},
	{.family = "claude", .word = "",         .rule = PATCHES, .side = 28, .longest = 2576, .most = 4784, .percent = 100},
	{.family = "gpt", .word = "4o-mini",      .rule = TILES, .side = 512, .shortest = 768, .base = 2833, .each = 5667},
	{.family = "gpt", .word = "gpt-4.1-mini", .rule = PATCHES, .side = 32, .most = 1536, .percent = 162},
	{.family = "gpt", .word = "gpt-4.1-nano", .rule = PATCHES, .side = 32, .most = 1536, .percent = 246},
	{.family = "gpt", .word = "gpt-5-mini",   .rule = PATCHES, .side = 32, .most = 1536, .percent = 162},
	{.family = "gpt", .word = "gpt-5-nano",   .rule = PATCHES, .side = 32, .most = 1536, .percent = 246},
	{.family = "gpt", .word = "gpt-5.4-mini", .rule = PATCHES, .side = 32, .most = 1536, .percent = 162},
	{.family = "gpt", .word = "gpt-5.4-nano", .rule = PATCHES, .side = 32, .most = 1536, .percent = 246},
	{.family = "gpt", .word = "gpt-5.4",      .rule = PATCHES, .side = 32, .longest = 2048, .most = 2500, .percent = 100},
	{.family = "gpt", .word = "gpt-5.2",      .rule = PATCHES, .side = 32, .most = 1536, .percent = 120},
	{.family = "gpt", .word = "gpt-5",        .rule = TILES, .side = 512, .shortest = 768, .base = 70, .each = 140},
	{.family = "gpt", .word = "o4-mini",      .rule = PATCHES, .side = 32, .most = 1536, .percent = 172},
	{.family = "gpt", .word = "o1",           .rule = TILES, .side = 512, .shortest = 768, .base = 75, .each = 150},
	{.family = "gpt", .word = "o3",           .rule = TILES, .side = 512, .shortest = 768, .base = 75, .each = 150},
	{.family = "gpt", .word = "",             .rule = TILES, .side = 512, .shortest = 768, .base = 85, .each = 170},
	{.family = "gemini", .word = "gemini-1", .rule = CROPS, .each = 258},
	{.family = "gemini", .word = "gemini-2", .rule = CROPS, .each = 258},
	{.family = "gemini", .word = "",         .rule = FIXED, .each = 1120},
	{.family = "gemma",  .word = "",         .rule = FIXED, .each = 256},
	{.family = "grok",   .word = "",         .rule = GRID, .side = 448, .most = 6, .each = 256},
	{.family = "qwen",   .word = "",         .rule = PATCHES, .side = 28, .most = 1280, .percent = 100},
};
/* clang-format on */

/* A version's point is a dash at some. */
static bool has_word(struct str name, struct str word)
{
	for (size_t i = 0; i + word.n <= name.n; i++) {
		size_t n = 0;
		while (n < word.n && (name.p[i + n] == word.p[n] || (word.p[n] == '.' && name.p[i + n] == '-'))) n++;
		if (n == word.n) return true;
	}
	return false;
}

static const struct image_rule *find_rule(struct str family, struct str model)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (str_eq(family, str_c(rules[i].family)) && has_word(model, str_c(rules[i].word))) return &rules[i];
	return NULL;
}

static int64_t squares(double w, double h, int64_t side)
{
	return (int64_t)(ceil(fmax(w, 1) / (double)side) * ceil(fmax(h, 1) / (double)side));
}

static int64_t patches(const struct image_rule *r, double w, double h)
{
	double scale = 1, side = (double)r->side;
	if (r->longest > 0) scale = fmin(scale, (double)r->longest / fmax(w, h));
	if (squares(w * scale, h * scale, r->side) > r->most)
		scale = fmin(scale, sqrt((double)r->most * side * side / (w * h)));
	int64_t n = MIN(squares(w * scale, h * scale, r->side), r->most);
	return (n * r->percent + 99) / 100;
}

static int64_t tiles(const struct image_rule *r, double w, double h)
{
	double scale = fmin(1, 2048 / fmax(w, h));
	scale = fmin(scale, (double)r->shortest / fmin(w, h));
	return r->base + r->each * squares(round(w * scale), round(h * scale), r->side);
}

static int64_t crops(const struct image_rule *r, int64_t w, int64_t h)
{
	if (w <= 384 && h <= 384) return r->each;
	int64_t side = MIN(MAX(MIN(w, h) * 2 / 3, (int64_t)256), (int64_t)768);
	return r->each * squares((double)w, (double)h, side);
}

int64_t image_tokens(struct str family, struct str model, struct image_size size, int64_t usual)
{
	const struct image_rule *r = find_rule(family, model);
	double w = (double)size.width, h = (double)size.height;
	switch (r != NULL ? r->rule : USUAL) {
	case PATCHES: return patches(r, w, h);
	case TILES: return tiles(r, w, h);
	case CROPS: return crops(r, size.width, size.height);
	case GRID: return (MIN(squares(w, h, r->side), r->most) + 1) * r->each;
	case FIXED: return r->each;
	case USUAL: break;
	}
	return usual;
}
