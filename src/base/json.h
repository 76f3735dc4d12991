/* JSON, narrowly: a strict reader over yyjson and a small writer.
 *
 * The reader takes whole texts. It refuses what RFC 8259 refuses, and also invalid UTF-8, lone surrogates, a key that
 * stands twice in one object, nesting deeper than JSON_DEPTH_MAX and numbers no double can hold; the errinfo names the
 * byte. Values are views into the document and die with it. Integers are exact over the whole of int64, and a number that
 * is only passed on keeps the digits it came with.
 *
 * The writer appends to a buffer and puts the commas itself. Text is escaped so that the result is safe in a journal,
 * a terminal log and an HTML script: control characters, DEL, U+2028 and U+2029 become \u escapes. A writer that ran
 * into the buffer's maximum leaves buf->failed set. */
#ifndef ROOST_BASE_JSON_H
#define ROOST_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"

#define JSON_DEPTH_MAX 64

enum json_type { JSON_NONE, JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STR, JSON_ARR, JSON_OBJ };

struct json_doc;
struct json; /* one value; NULL is "not there" and every function takes it */

MUST_USE enum err json_parse(struct str text, struct json_doc **out, struct errinfo *info);
/* The same in memory of the caller's, on its stack say, for small documents that come by the thousand; what finds no room
 * there is allocated. One document at a time; it is freed like any other, before the room goes. */
struct json_room {
	_Alignas(16) char bytes[6 << 10]; /* not set to anything */
	size_t used;
};
MUST_USE enum err json_parse_in(struct json_room *room, struct str text, struct json_doc **out, struct errinfo *info);
void json_free(struct json_doc *doc);
const struct json *json_root(const struct json_doc *doc);

enum json_type json_type(const struct json *v);
const struct json *json_getn(const struct json *obj, struct str key);
static inline const struct json *json_get(const struct json *obj, const char *key)
{
	return json_getn(obj, str_c(key));
}
/* Several members in one walk: out[i] is the one with keys[i], which is not empty, and NULL when there is none. */
void json_pick(const struct json *obj, const struct str *keys, size_t n, const struct json **out);
size_t json_len(const struct json *v); /* members or elements; 0 for anything else */
bool json_str(const struct json *v, struct str *out);
bool json_int(const struct json *v, int64_t *out); /* JSON_INT, or a JSON_REAL that is whole and exact */
bool json_real(const struct json *v, double *out); /* any number */
bool json_bool(const struct json *v, bool *out);
bool json_equal(const struct json *a, const struct json *b); /* deep; member order does not count */

/* An object's members for many look-ups: json_getn walks over all of them each time, and there may be a hundred
 * thousand. Its values are views of the document. Anything but an object has no members. */
struct json_map {
	const struct json *object;
	struct json_member *list; /* sorted by key; NULL while they are few */
	size_t n;
};
void json_map_init(struct json_map *m, const struct json *object);
const struct json *json_map_get(const struct json_map *m, struct str key);
void json_map_release(struct json_map *m);

/* for (struct json_iter it = json_iter(v); json_next(&it);) … it.key (objects only), it.val */
struct json_iter {
	const struct json *container, *val, *next;
	struct str key;
	size_t left;
};
struct json_iter json_iter(const struct json *container);
bool json_next(struct json_iter *it);

/* Appends the value as JSON text. Numbers are written as they stood. */
void json_write(struct buf *b, const struct json *v);
/* The same as a string of the arena. */
struct str json_text(struct arena *arena, const struct json *v);

/* Field by field, for a frame or a record: false and an errinfo that names the field when it has another type;
 * when it is absent, *out is left alone and the answer is `optional`. */
enum { JSON_OPTIONAL = 1 };
bool json_want_str(const struct json *obj, const char *key, int flags, struct str *out, struct errinfo *info);
bool json_want_int(const struct json *obj, const char *key, int flags, int64_t lo, int64_t hi, int64_t *out,
		   struct errinfo *info);
bool json_want_bool(const struct json *obj, const char *key, int flags, bool *out, struct errinfo *info);

struct jw {
	struct buf *b;
	bool comma; /* a value came before this place */
};
#define JW(buf_) ((struct jw){.b = (buf_)})
void jw_obj(struct jw *w);
void jw_obj_end(struct jw *w);
void jw_arr(struct jw *w);
void jw_arr_end(struct jw *w);
void jw_key(struct jw *w, const char *key); /* a plain ASCII key, not escaped */
void jw_key_str(struct jw *w, struct str key);
void jw_str(struct jw *w, struct str s);
void jw_int(struct jw *w, int64_t v);
void jw_real(struct jw *w, double v); /* shortest text that reads back the same; null for NaN and infinities */
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct str json); /* one value that is JSON already */
void jw_value(struct jw *w, const struct json *v);
void jw_time(struct jw *w, int64_t wall_ms); /* RFC 3339 */
/* key and value at once */
void jw_kstr(struct jw *w, const char *key, struct str s);
void jw_kint(struct jw *w, const char *key, int64_t v);
void jw_kbool(struct jw *w, const char *key, bool v);
void jw_ktime(struct jw *w, const char *key, int64_t wall_ms);
void jw_kraw(struct jw *w, const char *key, struct str json);

#endif
