#include "lab/yaml_tree.h"

#include <yaml.h>

#define NODE_BYTES 16

struct reader {
	yaml_parser_t parser;
	struct arena *arena;
	const char *name;
	struct yaml_value *open[YAML_DEPTH_MAX]; /* the containers around the next node */
	struct str keys[YAML_DEPTH_MAX];         /* of the member that comes next; STR_NONE: a key comes */
	size_t depth;
	struct yaml_value *first, *last; /* documents */
	bool is_over;
};

enum err yaml_wrong(struct errinfo *info, const char *name, int line, const char *fmt, ...)
{
	struct errinfo room = {0};
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(room.text, sizeof room.text, fmt, ap);
	va_end(ap);
	if (line == 0) return err_set(info, ERR_CONFIG, "%s: %s", name, room.text);
	return err_set(info, ERR_CONFIG, "%s:%d: %s", name, line, room.text);
}

static bool is_value(const struct reader *r)
{
	return r->depth == 0 || r->open[r->depth - 1]->kind == YAML_LIST || r->keys[r->depth - 1].p != NULL;
}

/* A scalar where a mapping wants its next key. */
static enum err take_key(struct reader *r, struct str text, int line, struct errinfo *info)
{
	struct yaml_value *map = r->open[r->depth - 1];
	if (map->n == YAML_MEMBERS_MAX)
		return yaml_wrong(info, r->name, line, "more than %d keys in one mapping", YAML_MEMBERS_MAX);
	if (text.n > YAML_KEY_MAX) return yaml_wrong(info, r->name, line, "a key of more than %d bytes", YAML_KEY_MAX);
	for (const struct yaml_value *v = map->first; v != NULL; v = v->next)
		if (str_eq(v->key, text))
			return yaml_wrong(info, r->name, line, "\"%.*s\" stands twice, first in line %d",
					  (int)MIN(text.n, 60), text.p, v->line);
	r->keys[r->depth - 1] = arena_str(r->arena, text);
	return OK;
}

static struct yaml_value *add(struct reader *r, enum yaml_kind kind, int line)
{
	struct yaml_value *v = arena_zalloc(r->arena, sizeof *v);
	struct yaml_value *in = r->depth > 0 ? r->open[r->depth - 1] : NULL;
	struct yaml_value **last = in != NULL ? &in->last : &r->last, **first = in != NULL ? &in->first : &r->first;
	v->kind = kind;
	v->line = line;
	v->bytes = NODE_BYTES;
	if (in != NULL && in->kind == YAML_MAP) {
		v->key = r->keys[r->depth - 1];
		v->bytes += v->key.n;
		r->keys[r->depth - 1] = STR_NONE;
	}
	if (*last != NULL) (*last)->next = v;
	else *first = v;
	*last = v;
	if (in != NULL) in->n++;
	return v;
}

static enum err take_scalar(struct reader *r, const yaml_event_t *e, int line, struct errinfo *info)
{
	struct str text = str_n((const char *)e->data.scalar.value, e->data.scalar.length);
	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)
		return yaml_wrong(info, r->name, line, "a NUL character in a text");
	if (!is_value(r)) return take_key(r, text, line, info);
	struct yaml_value *v = add(r, YAML_SCALAR, line);
	v->text = arena_str(r->arena, text);
	v->is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	v->bytes += text.n;
	return OK;
}

static enum err take_open(struct reader *r, enum yaml_kind kind, int line, struct errinfo *info)
{
	if (!is_value(r)) return yaml_wrong(info, r->name, line, "a key must be a plain word");
	if (r->depth == YAML_DEPTH_MAX)
		return yaml_wrong(info, r->name, line, "nested more than %d deep", YAML_DEPTH_MAX);
	struct yaml_value *v = add(r, kind, line);
	r->keys[r->depth] = STR_NONE;
	r->open[r->depth++] = v;
	return OK;
}

static void take_close(struct reader *r)
{
	struct yaml_value *v = r->open[--r->depth];
	for (const struct yaml_value *in = v->first; in != NULL; in = in->next) v->bytes += in->bytes;
}

static bool is_marked(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT: return e->data.scalar.tag != NULL || e->data.scalar.anchor != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.tag != NULL || e->data.sequence_start.anchor != NULL;
	case YAML_MAPPING_START_EVENT: return e->data.mapping_start.tag != NULL || e->data.mapping_start.anchor != NULL;
	case YAML_DOCUMENT_START_EVENT:
		return e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end;
	default: return e->type == YAML_ALIAS_EVENT;
	}
}

static enum err take(struct reader *r, const yaml_event_t *e, struct errinfo *info)
{
	int line = (int)e->start_mark.line + 1;
	if (is_marked(e)) return yaml_wrong(info, r->name, line, "tags (!), anchors (&) and aliases (*) are not taken");
	switch (e->type) {
	case YAML_SCALAR_EVENT: return take_scalar(r, e, line, info);
	case YAML_SEQUENCE_START_EVENT: return take_open(r, YAML_LIST, line, info);
	case YAML_MAPPING_START_EVENT: return take_open(r, YAML_MAP, line, info);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: take_close(r); return OK;
	case YAML_STREAM_END_EVENT: r->is_over = true; return OK;
	default: return OK;
	}
}

enum err yaml_read(struct arena *arena, struct str text, const char *name, struct yaml_value **out,
		   struct errinfo *info)
{
	struct reader r = {.arena = arena, .name = name};
	enum err e = OK;
	*out = NULL;
	if (text.n > YAML_BYTES_MAX) return yaml_wrong(info, name, 0, "larger than %u bytes", YAML_BYTES_MAX);
	if (!yaml_parser_initialize(&r.parser)) return err_set(info, ERR_NOMEM, "%s: out of memory", name);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	while (e == OK && !r.is_over) {
		yaml_event_t event;
		if (!yaml_parser_parse(&r.parser, &event)) {
			const yaml_parser_t *p = &r.parser;
			e = yaml_wrong(info, name, (int)p->problem_mark.line + 1, "%s",
				       p->problem != NULL ? p->problem : "no YAML");
			break;
		}
		e = take(&r, &event, info);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&r.parser);
	if (e == OK) *out = r.first;
	return e;
}

bool yaml_is_null(const struct yaml_value *v)
{
	return v->kind == YAML_SCALAR && v->is_plain &&
	       (v->text.n == 0 || str_eq(v->text, STR("~")) || str_eq_nocase(v->text, STR("null")));
}

const struct yaml_value *yaml_get(const struct yaml_value *map, const char *key)
{
	for (const struct yaml_value *v = map->first; v != NULL && map->kind == YAML_MAP; v = v->next)
		if (str_eq(v->key, str_c(key))) return v;
	return NULL;
}

bool yaml_flag(struct str text, bool *out)
{
	static const char *const yes[] = {"true", "yes", "on"}, *const no[] = {"false", "no", "off"};
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		*out = str_eq_nocase(text, str_c(yes[i]));
		if (*out || str_eq_nocase(text, str_c(no[i]))) return true;
	}
	return false;
}

/* A plain scalar that is a number in JSON's way of writing is that number. */
static bool is_number(struct str text)
{
	struct json_doc *doc = NULL;
	if (text.n == 0 || text.n > 400 || strchr("-0123456789", text.p[0]) == NULL) return false;
	bool is = json_parse(text, &doc, NULL) == OK;
	if (is) json_free(doc);
	return is;
}

static void scalar_json(const struct yaml_value *v, struct jw *w)
{
	bool flag;
	if (yaml_is_null(v)) jw_null(w);
	else if (v->is_plain && (str_eq_nocase(v->text, STR("true")) || str_eq_nocase(v->text, STR("false"))))
		jw_bool(w, yaml_flag(v->text, &flag) && flag);
	else if (v->is_plain && is_number(v->text)) jw_raw(w, v->text);
	else jw_str(w, v->text);
}

void yaml_json(const struct yaml_value *v, struct jw *w)
{
	if (v->kind == YAML_SCALAR) {
		scalar_json(v, w);
		return;
	}
	bool is_map = v->kind == YAML_MAP;
	if (is_map) jw_obj(w);
	else jw_arr(w);
	for (const struct yaml_value *in = v->first; in != NULL; in = in->next) {
		if (is_map) jw_key_str(w, in->key);
		yaml_json(in, w);
	}
	if (is_map) jw_obj_end(w);
	else jw_arr_end(w);
}

void yaml_add_safe(struct buf *out, struct str json)
{
	for (size_t i = 0; i < json.n; i++) {
		const unsigned char *p = (const unsigned char *)json.p + i;
		size_t left = json.n - i;
		if (*p == 0xc2 && left >= 2 && p[1] < 0xa0) {
			buf_addf(out, "\\u00%02x", p[1]);
			i += 1;
		} else if (*p == 0xef && left >= 3 &&
			   ((p[1] == 0xbb && p[2] == 0xbf) || (p[1] == 0xbf && p[2] >= 0xbe))) {
			buf_addf(out, "\\uf%x%x%x", ((p[1] & 0x3c) >> 2) & 0xf, ((p[1] & 3) << 2) | ((p[2] >> 4) & 3),
				 p[2] & 0xf);
			i += 2;
		} else {
			buf_add_char(out, (char)*p);
		}
	}
}
