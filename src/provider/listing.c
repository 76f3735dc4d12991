#include "provider/listing.h"

enum shape { SHAPE_DATA, SHAPE_GEMINI, SHAPE_OLLAMA };

static const struct way {
	const char *dialect;
	const char *path;
	const char *key_header; /* before the key */
	const char *header;     /* another one that is needed; NULL none */
	enum shape shape;
	const char *after; /* what stands before the place where a page begins; NULL there is one page */
} ways[] = {
	{"openai", "/models", "Authorization: Bearer ", NULL, SHAPE_DATA, NULL},
	{"openai-responses", "/models", "Authorization: Bearer ", NULL, SHAPE_DATA, NULL},
	{"anthropic", "/v1/models?limit=1000", "x-api-key: ", "anthropic-version: 2023-06-01", SHAPE_DATA,
	 "&after_id="},
	{"gemini", "/models?pageSize=1000", "x-goog-api-key: ", NULL, SHAPE_GEMINI, "&pageToken="},
	{"ollama", "/api/tags", "Authorization: Bearer ", NULL, SHAPE_OLLAMA, NULL},
};

/* What stands in the names of models that make no text of a conversation. */
static const char *const not_chat[] = {"embed",   "bge-",    "rerank",   "whisper", "tts",        "transcri",
				       "dall-e",  "-image",  "realtime", "-audio",  "moderation", "sora",
				       "babbage", "davinci", "imagen",   "veo-",    "minilm",     "aqa"};
/* Where servers tell a window. */
static const char *const windows[] = {"context_length", "max_model_len",    "max_context_length",
				      "context_window", "max_input_tokens", "inputTokenLimit"};
static const char *const outputs[] = {"max_tokens", "outputTokenLimit"};

static const struct way *way_of(const struct dialect *d)
{
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		if (strcmp(ways[i].dialect, d->name) == 0) return &ways[i];
	return NULL;
}

/* A place is the provider's own word for it, and hostile. */
static void add_escaped(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool is_plain =
			(c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '_';
		if (is_plain) buf_add_char(out, (char)c);
		else buf_addf(out, "%%%02X", c);
	}
}

bool listing_request(const struct dialect *d, struct str base_url, struct str key, struct str after,
		     struct wire_request *out)
{
	const struct way *way = way_of(d);
	struct buf path = BUF_INIT(BUF_NO_LIMIT);
	if (way == NULL) return false;
	buf_add_str(&path, str_c(way->path));
	if (after.n > 0 && way->after != NULL) {
		buf_add_str(&path, str_c(way->after));
		add_escaped(&path, after);
	}
	wire_request_init(out, base_url, "%s", path.p);
	buf_release(&path);
	out->method = "GET";
	wire_request_add_header(out, "Accept: application/json");
	if (key.n > 0) wire_request_add_header(out, "%s%.*s", way->key_header, STR_ARG(key));
	if (way->header != NULL) wire_request_add_header(out, "%s", way->header);
	return true;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool is_name(struct str s)
{
	if (s.n == 0 || s.n > 150) return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || strchr("\"\\?#%", s.p[i]) != NULL)
			return false;
	return true;
}

static bool contains(struct str s, struct str part)
{
	for (size_t i = 0; i + part.n <= s.n; i++)
		if (str_eq_nocase(str_n(s.p + i, part.n), part)) return true;
	return false;
}

static bool has_word(const struct json *list, struct str word)
{
	struct str s;
	for (struct json_iter it = json_iter(list); json_next(&it);)
		if (json_str(it.val, &s) && str_eq(s, word)) return true;
	return false;
}

/* By what the provider says, else by the name. */
static bool is_chat(const struct json *o, struct str wire)
{
	struct str s;
	const struct json *methods = json_get(o, "supportedGenerationMethods"),
			  *abilities = json_get(o, "capabilities");
	if (json_type(methods) == JSON_ARR && !has_word(methods, STR("generateContent"))) return false;
	if (json_type(abilities) == JSON_ARR && has_word(abilities, STR("embedding"))) return false;
	if (json_str(json_get(o, "type"), &s) && contains(s, STR("embed"))) return false;
	if (json_str(json_get(json_get(o, "details"), "family"), &s) && contains(s, STR("bert"))) return false;
	for (size_t i = 0; i < ARRAY_LEN(not_chat); i++)
		if (contains(wire, str_c(not_chat[i]))) return false;
	return true;
}

static int64_t first_count(const struct json *o, const char *const *keys, size_t n)
{
	int64_t v;
	for (size_t i = 0; i < n; i++)
		if (json_int(json_get(o, keys[i]), &v) && v > 0 && v <= 1000000000) return v;
	return 0;
}

static struct str title_of(const struct json *o)
{
	struct str s = STR("");
	if (!json_str(json_get(o, "display_name"), &s)) (void)json_str(json_get(o, "displayName"), &s);
	return s.n <= 200 ? s : STR("");
}

static bool read_one(const struct json *o, enum shape shape, struct arena *arena, struct listed *out)
{
	static const char *const trained[] = {"n_ctx", "n_ctx_train"}; /* llama.cpp */
	struct str wire = STR("");
	(void)json_str(json_get(o, shape == SHAPE_DATA ? "id" : "name"), &wire);
	if (shape == SHAPE_GEMINI && str_starts(wire, STR("models/"))) wire = str_n(wire.p + 7, wire.n - 7);
	if (!is_name(wire)) return false;
	*out = (struct listed){
		.wire = arena_str(arena, wire),
		.title = arena_str(arena, title_of(o)),
		.window = first_count(o, windows, ARRAY_LEN(windows)),
		.max_output = first_count(o, outputs, ARRAY_LEN(outputs)),
		.is_chat = is_chat(o, wire),
	};
	if (out->window == 0) out->window = first_count(json_get(o, "meta"), trained, ARRAY_LEN(trained));
	return true;
}

/* Anthropic says that there is more, and the last name is the place; Gemini says the place. */
static struct str next_page(const struct way *way, const struct json *root, struct arena *arena)
{
	bool is_gemini = way->shape == SHAPE_GEMINI, has_more = is_gemini;
	struct str place = STR("");
	if (way->after == NULL) return place;
	(void)json_bool(json_get(root, "has_more"), &has_more);
	if (has_more) (void)json_str(json_get(root, is_gemini ? "nextPageToken" : "last_id"), &place);
	return arena_str(arena, place);
}

enum err listing_read(const struct dialect *d, struct str body, struct arena *arena, struct listing *out,
		      struct errinfo *info)
{
	const struct way *way = way_of(d);
	struct json_doc *doc = NULL;
	*out = (struct listing){.next = STR("")};
	if (way == NULL) return err_set(info, ERR_PROVIDER, "this dialect has no listing of models");
	enum err e = json_parse(body, &doc, NULL);
	const struct json *list = json_get(json_root(doc), way->shape == SHAPE_DATA ? "data" : "models");
	if (e != OK || json_type(list) != JSON_ARR) {
		e = err_set(info, ERR_PROVIDER, "the answer is no list of models");
		goto out;
	}
	size_t n = 0, max = MIN(json_len(list), (size_t)LISTING_MAX);
	out->list = arena_alloc(arena, xmul(MAX(max, (size_t)1), sizeof *out->list));
	for (struct json_iter it = json_iter(list); n < max && json_next(&it);)
		if (read_one(it.val, way->shape, arena, &out->list[n])) n++;
	out->n = n;
	out->next = next_page(way, json_root(doc), arena);
out:
	json_free(doc);
	return e;
}
