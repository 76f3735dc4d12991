#include "relay/defaults.h"

#include "base/id.h"

/* The nearest first. */
enum { OF_REQUEST, OF_CONVERSATION, OF_PRESET, OF_USER, LAYERS };

struct layer {
	struct str what; /* for people: "the preset \"brief\"" */
	struct json_doc *doc;
	struct str model;          /* STR_NONE none */
	struct str prompt;         /* a preset's systemPrompt; STR_NONE none */
	const struct json *params; /* an object, or NULL */
	struct json_map members;   /* of params */
	bool has[PARAM_COUNT];     /* params names it, also as null */
};

struct settling {
	struct txn *t;
	uint32_t zone;
	const struct wanted *wanted;
	const struct model_book *book;
	struct layer layers[LAYERS];
	struct errinfo *info;
};

static enum err wrong(const struct settling *s, const struct layer *l, enum err e, const char *says)
{
	if (l->what.p == NULL) return err_set(s->info, e, "%s", says);
	return err_set(s->info, e, "%.*s: %s", STR_ARG(l->what), says);
}

/* A text member; null and absent are none. */
static enum err read_text(const struct settling *s, const struct layer *l, const struct json *o, const char *key,
			  struct str *out)
{
	char says[64];
	enum json_type type = json_type(json_get(o, key));
	*out = STR_NONE;
	if (type == JSON_NONE || type == JSON_NULL || json_str(json_get(o, key), out)) return OK;
	(void)snprintf(says, sizeof says, "\"%s\" must be a string", key);
	return wrong(s, l, ERR_BAD_FIELD, says);
}

static enum err read_params(const struct settling *s, struct layer *l, const struct json *params)
{
	if (json_type(params) == JSON_NONE || json_type(params) == JSON_NULL) return OK;
	if (json_type(params) != JSON_OBJ) return wrong(s, l, ERR_BAD_FIELD, "\"params\" must be an object");
	l->params = params;
	json_map_init(&l->members, params);
	for (struct json_iter it = json_iter(params); json_next(&it);) {
		enum param k = param_find(it.key);
		if (k != PARAM_COUNT) l->has[k] = true;
	}
	return OK;
}

static enum err read_layer(const struct settling *s, struct layer *l, const struct json *o)
{
	enum err e = read_text(s, l, o, "model", &l->model);
	if (e == OK && l->model.p != NULL && (l->model.n == 0 || l->model.n > 200))
		e = wrong(s, l, ERR_BAD_FIELD, "\"model\" must have 1 to 200 bytes");
	return e == OK ? read_params(s, l, json_get(o, "params")) : e;
}

static enum err read_request(struct settling *s)
{
	struct layer *l = &s->layers[OF_REQUEST];
	if (s->wanted->params.n == 0) return OK;
	enum err e = json_parse(s->wanted->params, &l->doc, s->info);
	return e == OK ? read_params(s, l, json_root(l->doc)) : e;
}

/* *preset is the conversation's, when the request names none. */
static enum err read_conversation(struct settling *s, struct str fields, struct str *preset)
{
	struct layer *l = &s->layers[OF_CONVERSATION];
	struct str named;
	l->what = STR("the conversation's defaults");
	if (json_parse(fields, &l->doc, NULL) != OK) return ERR_CORRUPT;
	const struct json *o = json_get(json_root(l->doc), "defaults");
	if (json_type(o) == JSON_NONE || json_type(o) == JSON_NULL) return OK;
	if (json_type(o) != JSON_OBJ) return wrong(s, l, ERR_BAD_FIELD, "\"defaults\" must be an object");
	enum err e = read_text(s, l, o, "preset", &named);
	if (e == OK && preset->p == NULL) *preset = named;
	return e == OK ? read_layer(s, l, o) : e;
}

static enum err read_preset(struct settling *s, struct layer *l, struct str name, bool is_optional)
{
	struct record r;
	enum err e = ERR_NOT_FOUND;
	if (name_is_valid(name)) e = txn_get(s->t, s->zone, RT_PRESET, name, &r);
	if (e == OK && r.deleted) e = ERR_NOT_FOUND;
	if (e == ERR_NOT_FOUND && is_optional) return OK;
	if (e == ERR_NOT_FOUND)
		return err_set(s->info, e, "there is no preset \"%.*s\"", (int)MIN(name.n, (size_t)100), name.p);
	if (e != OK) return e;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&b, "the preset \"%.*s\"", (int)MIN(name.n, (size_t)100), name.p);
	l->what = arena_str(txn_arena(s->t), buf_str(&b));
	buf_release(&b);
	if (json_parse(r.fields, &l->doc, NULL) != OK) return ERR_CORRUPT;
	const struct json *o = json_root(l->doc);
	e = read_text(s, l, o, "systemPrompt", &l->prompt);
	if (e == OK) e = read_layer(s, l, o);
	if (l->has[P_SYSTEM]) l->prompt = STR_NONE;
	return e;
}

/* ---- what comes of them ------------------------------------------------------------------------------------------ */

static enum err settle_model(struct settling *s, struct settled *out)
{
	const struct wanted *q = s->wanted;
	struct arena *arena = txn_arena(s->t);
	struct errinfo why = {0};
	struct meant meant;
	size_t i = OF_CONVERSATION;
	*out = (struct settled){.preset = out->preset, .model = q->model, .asked = q->asked, .model_by = q->model_by};
	if (!q->is_default) return OK;
	while (i < LAYERS && s->layers[i].model.p == NULL) i++;
	if (i == LAYERS && q->model.n == 0) return err_set(s->info, ERR_MODEL_UNKNOWN, "%s", q->no_default);
	if (i == LAYERS) return OK;
	struct str name = arena_str(arena, s->layers[i].model);
	out->model = name;
	if (s->book == NULL) return OK;
	enum err e = s->book->resolve(s->book->ctx, name, &meant, &why);
	if (e == ERR_MODEL_UNKNOWN && q->fallback.n > 0) return OK;
	if (e != OK) return wrong(s, &s->layers[i], e, err_sentence(&why, e));
	out->model = arena_str(arena, str_c(meant.id));
	if (str_eq(name, out->model)) return OK;
	out->asked = name;
	out->model_by = str_c(meant.by);
	return OK;
}

/* Has a nearer layer said something of it? */
static bool is_taken(const struct settling *s, size_t layer, enum param k, struct str key)
{
	for (size_t i = 0; i < layer; i++) {
		const struct layer *l = &s->layers[i];
		if (k == PARAM_COUNT && l->params != NULL && json_map_get(&l->members, key) != NULL) return true;
		if (k != PARAM_COUNT && (l->has[k] || (k == P_SYSTEM && l->prompt.p != NULL))) return true;
	}
	return false;
}

static void merge_params(const struct settling *s, struct buf *out)
{
	struct jw w = JW(out);
	jw_obj(&w);
	for (size_t i = 0; i < LAYERS; i++) {
		const struct layer *l = &s->layers[i];
		if (l->prompt.p != NULL && !is_taken(s, i, P_SYSTEM, STR("")))
			jw_kstr(&w, param_rows[P_SYSTEM].name, l->prompt);
		for (struct json_iter it = json_iter(l->params); json_next(&it);) {
			if (json_type(it.val) == JSON_NULL || is_taken(s, i, param_find(it.key), it.key)) continue;
			jw_key_str(&w, it.key);
			jw_value(&w, it.val);
		}
	}
	jw_obj_end(&w);
}

/* The message as far as a model may refuse it: its attachments' kinds. */
static enum err read_attachments(const struct settling *s, struct call_message *out)
{
	struct json_doc *doc = NULL;
	*out = (struct call_message){.role = STR("user"), .text = STR("")};
	if (s->wanted->parts.n == 0) return OK;
	enum err e = json_parse(s->wanted->parts, &doc, s->info);
	struct call_part *list = arena_zalloc(txn_arena(s->t), xmul(json_len(json_root(doc)) + 1, sizeof *list));
	for (struct json_iter it = json_iter(json_root(doc)); e == OK && json_next(&it);) {
		struct str type = STR("");
		if (json_get(it.val, "sha256") == NULL) continue;
		(void)json_str(json_get(it.val, "mediaType"), &type);
		list[out->nparts++].kind = attachment_kind(type);
	}
	out->parts = list;
	json_free(doc);
	return e;
}

static bool has_own_params(const struct settling *s, struct str model)
{
	return s->book != NULL && s->book->has_own_params(s->book->ctx, model);
}

static enum err check_model(const struct settling *s, struct str model, const struct json *all,
			    const struct call_message *message, struct errinfo *info)
{
	struct params read;
	if (has_own_params(s, model)) return OK;
	enum err e = params_read(all, &read, info);
	if (e != OK || s->book == NULL) return e;
	return model_check(s->book->about(s->book->ctx, model), &read, message, 1, info);
}

static enum err check_fallback(const struct settling *s, const struct json *all, const struct call_message *message)
{
	struct json_doc *doc = NULL;
	struct errinfo why = {0};
	struct str model;
	enum err e = s->wanted->fallback.n > 0 ? json_parse(s->wanted->fallback, &doc, s->info) : OK;
	for (struct json_iter it = json_iter(json_root(doc)); e == OK && json_next(&it);) {
		if (!json_str(it.val, &model)) continue;
		e = check_model(s, model, all, message, &why);
		if (e != OK)
			(void)err_set(s->info, e, "the fallback model %.*s: %s", STR_ARG(model), err_sentence(&why, e));
	}
	json_free(doc);
	return e;
}

/* Each layer by itself, so that a mistake is told with its place, and then what they come to for each of the models. */
static enum err check_params(const struct settling *s, struct str model, const struct json *all)
{
	struct params read;
	struct call_message message;
	struct errinfo why = {0};
	enum err e = read_attachments(s, &message);
	for (size_t i = 0; i < LAYERS && e == OK && !has_own_params(s, model); i++) {
		e = params_read(s->layers[i].params, &read, &why);
		if (e != OK) return wrong(s, &s->layers[i], e, err_sentence(&why, e));
	}
	if (e == OK) e = check_model(s, model, all, &message, s->info);
	return e == OK ? check_fallback(s, all, &message) : e;
}

static enum err settle_params(struct settling *s, struct settled *out)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	enum err e = OK;
	merge_params(s, &b);
	out->params = b.n > 2 ? arena_str(txn_arena(s->t), buf_str(&b)) : STR("");
	if (s->wanted->params_bytes > 0 && (int64_t)b.n > s->wanted->params_bytes)
		e = err_set(s->info, ERR_TOO_LARGE,
			    "with its defaults the request's \"params\" have %zu bytes; paramsBytes allows %lld", b.n,
			    (long long)s->wanted->params_bytes);
	if (e == OK) e = json_parse(buf_str(&b), &doc, s->info);
	if (e == OK) e = check_params(s, out->model, json_root(doc));
	json_free(doc);
	buf_release(&b);
	return e;
}

enum err defaults_settle(struct txn *t, uint32_t zone, struct str conversation, const struct wanted *wanted,
			 const struct model_book *book, struct settled *out, struct errinfo *info)
{
	struct settling s = {.t = t, .zone = zone, .wanted = wanted, .book = book, .info = info};
	struct str preset = wanted->preset;
	enum err e = read_request(&s);
	if (e == OK) e = read_conversation(&s, conversation, &preset);
	if (e == OK && preset.p != NULL) e = read_preset(&s, &s.layers[OF_PRESET], preset, false);
	if (e == OK) e = read_preset(&s, &s.layers[OF_USER], PRESET_OF_USER, true);
	if (e == OK) out->preset = preset.p != NULL ? arena_str(txn_arena(t), preset) : STR_NONE;
	if (e == OK) e = settle_model(&s, out);
	if (e == OK) e = settle_params(&s, out);
	for (size_t i = 0; i < LAYERS; i++) {
		json_map_release(&s.layers[i].members);
		json_free(s.layers[i].doc);
	}
	return e;
}
