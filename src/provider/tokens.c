#include "provider/tokens.h"

#include "provider/image.h"

/* A token weighs 1000 in the common measure. The families whose tokenizers differ much from it, and what is taken for an
 * image whose size can't be read: about what it is at the largest size that they look at. */
static const struct family {
	const char *name;
	int64_t percent; /* of the common measure */
	int64_t image;
} families[] = {
	{"claude", 120, 1600}, {"gpt", 100, 1105},     {"gemini", 100, 258}, {"gemma", 100, 258}, {"grok", 105, 1792},
	{"llama", 105, 1600},  {"mistral", 115, 1600}, {"qwen", 105, 1280},  {"phi", 115, 1600},  {"local", 100, 1600},
};
static const struct family any_family = {"", 110, 1600};

#define WEIGHT_OF_TOKEN 1000
#define FILE_BYTES_PER_TOKEN 25
#define FILE_TOKENS_MIN 2000

static const struct family *find_family(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (str_eq(name, str_c(families[i].name))) return &families[i];
	return &any_family;
}

int64_t tokens_weigh(struct str text)
{
	int64_t one = 0, two = 0, three = 0, four = 0;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		one += c < 0x80;
		two += c >= 0xc0 && c < 0xe0;
		three += c >= 0xe0 && c < 0xf0;
		four += c >= 0xf0;
	}
	return one * 250 + two * 500 + three * 1000 + four * 2000;
}

int64_t tokens_of_weight(struct str family, int64_t weight)
{
	int64_t scaled;
	if (__builtin_mul_overflow(weight, find_family(family)->percent, &scaled)) return INT64_MAX;
	return scaled / (100 * WEIGHT_OF_TOKEN) + (scaled % (100 * WEIGHT_OF_TOKEN) != 0);
}

int64_t tokens_text(struct str family, struct str text) { return tokens_of_weight(family, tokens_weigh(text)); }

int64_t tokens_image(struct str family, struct str model, struct str bytes)
{
	struct image_size size;
	int64_t usual = find_family(family)->image;
	return image_size(bytes, &size) ? image_tokens(family, model, size, usual) : usual;
}

int64_t tokens_file(struct str family, struct str media_type, struct str bytes)
{
	if (attachment_kind(media_type) == PART_TEXT) return tokens_text(family, bytes);
	return MAX((int64_t)(bytes.n / FILE_BYTES_PER_TOKEN), (int64_t)FILE_TOKENS_MIN);
}

static int64_t tokens_part(struct str family, struct str model, const struct call_part *p)
{
	switch (p->kind) {
	case PART_IMAGE: return tokens_image(family, model, p->bytes);
	case PART_FILE: return tokens_text(family, p->name) + tokens_file(family, p->media_type, p->bytes);
	case PART_TOOL_CALL:
	case PART_TOOL_RESULT: return TOKENS_PER_MESSAGE + tokens_text(family, p->name) + tokens_text(family, p->text);
	case PART_TEXT:
	case PART_THINKING: break;
	}
	return tokens_text(family, p->text);
}

int64_t tokens_message(struct str family, struct str model, const struct call_message *m)
{
	int64_t n = TOKENS_PER_MESSAGE + tokens_text(family, m->text);
	for (size_t i = 0; i < m->nparts; i++) n += tokens_part(family, model, &m->parts[i]);
	return n;
}

int64_t tokens_params(struct str family, const struct params *p)
{
	static const enum param as_json[] = {P_TOOLS, P_SCHEMA};
	int64_t n = 0;
	struct str prompt = param_text(p, P_SYSTEM);
	if (prompt.n > 0) n = TOKENS_PER_MESSAGE + tokens_text(family, prompt);
	for (size_t i = 0; i < ARRAY_LEN(as_json); i++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		if (param_given(p, as_json[i])) json_write(&b, p->at[as_json[i]]);
		n += tokens_text(family, buf_str(&b));
		buf_release(&b);
	}
	return n;
}
