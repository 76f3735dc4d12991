#include "base/json.h"

#include <math.h>
#include <yyjson.h>

#include "base/clock.h"

#define FEW 16                   /* members that are walked over quicker than sorted */
#define SMALL ((size_t)16 << 10) /* bytes of a text whose depth is looked at after it was read */

static yyjson_val *val(const struct json *v) { return (yyjson_val *)(uintptr_t)v; }
static const struct json *wrap(yyjson_val *v) { return (const struct json *)v; }

/* Where the string that begins before `i` ends: at its quote, or with the text. A quote behind an odd number of backslashes
 * belongs to it. */
static size_t string_end(struct str t, size_t i)
{
	for (size_t from = i;; i++) {
		const char *quote = memchr(t.p + i, '"', t.n - i);
		if (quote == NULL) return t.n;
		i = (size_t)(quote - t.p);
		size_t slashes = 0;
		while (i - slashes > from && t.p[i - slashes - 1] == '\\') slashes++;
		if (slashes % 2 == 0) return i;
	}
}

/* Depth by counting brackets outside of strings, before anything is allocated. */
static bool too_deep(struct str t, size_t *where)
{
	int depth = 0;
	for (size_t i = 0; i < t.n; i++) {
		char c = t.p[i];
		if (c == '"') {
			i = string_end(t, i + 1);
		} else if (c == '[' || c == '{') {
			if (++depth > JSON_DEPTH_MAX) {
				*where = i;
				return true;
			}
		} else if (c == ']' || c == '}') {
			depth--;
		}
	}
	return false;
}

static struct str key_str(yyjson_val *key) { return str_n(unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key)); }

/* memcmp for names, which are so short that its call is the most of it. The last step may look at bytes once more. */
static bool same(const char *p, const char *q, size_t n)
{
	uint64_t a, b;
	uint32_t c, d;
	size_t i = 0;
	if (n >= sizeof a) {
		for (; i < n; i += sizeof a) {
			i = MIN(i, n - sizeof a);
			memcpy(&a, p + i, sizeof a);
			memcpy(&b, q + i, sizeof b);
			if (a != b) return false;
		}
		return true;
	}
	if (n >= sizeof c) {
		memcpy(&c, p, sizeof c);
		memcpy(&d, q, sizeof d);
		if (c != d) return false;
		memcpy(&c, p + n - sizeof c, sizeof c);
		memcpy(&d, q + n - sizeof d, sizeof d);
		return c == d;
	}
	while (i < n && p[i] == q[i]) i++;
	return i == n;
}

static bool is_key(yyjson_val *key, struct str name)
{
	return unsafe_yyjson_get_len(key) == name.n && same(unsafe_yyjson_get_str(key), name.p, name.n);
}

static int cmp_str(const void *a, const void *b) { return str_cmp(*(const struct str *)a, *(const struct str *)b); }

static bool has_twins_among_many(yyjson_val *obj, size_t n, struct str *twin)
{
	struct str *keys = xmalloc(xmul(n, sizeof *keys));
	size_t i, max;
	yyjson_val *k, *v;
	bool found = false;
	yyjson_obj_foreach (obj, i, max, k, v) keys[i] = key_str(k);
	qsort(keys, n, sizeof *keys, cmp_str);
	for (size_t a = 1; a < n && !found; a++)
		if ((found = str_eq(keys[a], keys[a - 1]))) *twin = keys[a];
	free(keys);
	return found;
}

/* One of 64 bits, by a key's length and two of its bytes. A string of the tree ends in NUL: an empty one has a byte too. */
static uint64_t mark_of(struct str key)
{
	unsigned byte = (unsigned char)key.p[0], other = (unsigned char)key.p[key.n / 2];
	return (uint64_t)1 << (((unsigned)key.n * 5 + byte + other * 3) & 63);
}

/* True when a key stands twice. Of few keys only those whose mark was there before are compared with the others. */
static bool has_twin_keys(yyjson_val *obj, struct str *twin)
{
	size_t n = unsafe_yyjson_get_len(obj);
	yyjson_val *first = unsafe_yyjson_get_first(obj), *k = first;
	uint64_t seen = 0;
	if (n > FEW) return has_twins_among_many(obj, n, twin);
	for (size_t i = 0; i < n; i++, k = unsafe_yyjson_get_next(k + 1)) {
		struct str key = key_str(k);
		uint64_t mark = mark_of(key);
		for (yyjson_val *b = first; (seen & mark) != 0 && b < k; b = unsafe_yyjson_get_next(b + 1)) {
			if (!is_key(b, key)) continue;
			*twin = key;
			return true;
		}
		seen |= mark;
	}
	return false;
}

/* A number as it stood in the text. */
static struct str digits_of(yyjson_val *v) { return str_n(yyjson_get_raw(v), yyjson_get_len(v)); }

static double real_of(struct str digits)
{
	char small[64], *text = small;
	if (!str_copy(digits, small, sizeof small)) text = str_dup(digits);
	double d = strtod(text, NULL);
	if (text != small) free(text);
	return d;
}

/* Only an exponent or very many digits can be more than a double holds. Of all that a number is made of, 'e' and 'E' alone
 * have the bit 0x40. */
static bool is_too_big(struct str digits)
{
	unsigned bits = 0;
	if (digits.n < sizeof "1e309" - 1) return false;
	for (size_t i = 0; i < digits.n; i++) bits |= (unsigned char)digits.p[i];
	return (digits.n > 300 || (bits & 0x40) != 0) && isinf(real_of(digits));
}

/* What a document has that this reader does not take. Its values lie one behind the other, each container before what is in
 * it. *brackets is how many of them are containers. */
static enum err check_values(const yyjson_doc *doc, size_t *brackets, struct errinfo *info)
{
	yyjson_val *v = doc->root, *end = v + doc->val_read;
	size_t containers = 0;
	struct str s;
	for (; v < end; v++) {
		if (unsafe_yyjson_get_type(v) == YYJSON_TYPE_STR) continue;
		if (unsafe_yyjson_is_ctn(v)) {
			containers++;
			if (!unsafe_yyjson_is_obj(v) || !has_twin_keys(v, &s)) continue;
			return err_set(info, ERR_BAD_JSON, "the key \"%.*s\" stands twice in one object",
				       (int)MIN(s.n, (size_t)60), s.p);
		}
		if (!unsafe_yyjson_is_raw(v)) continue;
		s = digits_of(v);
		if (is_too_big(s))
			return err_set(info, ERR_BAD_JSON, "no double can hold the number %.*s",
				       (int)MIN(s.n, (size_t)60), s.p);
	}
	*brackets = containers;
	return OK;
}

/* A document is made of the same memory as everything else. */
static void *take(void *ctx, size_t n)
{
	(void)ctx;
	return xmalloc(n);
}

static void *grow(void *ctx, void *p, size_t old, size_t n)
{
	(void)ctx, (void)old;
	return xrealloc(p, n);
}

static void give(void *ctx, void *p)
{
	(void)ctx;
	free(p);
}

static const struct yyjson_alc memory = {take, grow, give, NULL};

/* The same, as far as it goes, in a room. Nothing is given back to it: it is used once. */
static void *room_take(void *ctx, size_t n)
{
	struct json_room *room = ctx;
	if (n > sizeof room->bytes - room->used) return xmalloc(n);
	void *p = room->bytes + room->used;
	room->used = MIN((room->used + n + 15) / 16 * 16, sizeof room->bytes);
	return p;
}

static bool is_in_room(const struct json_room *room, const void *p)
{
	return (uintptr_t)p - (uintptr_t)room->bytes < sizeof room->bytes;
}

static void *room_grow(void *ctx, void *p, size_t old, size_t n)
{
	if (!is_in_room(ctx, p)) return xrealloc(p, n);
	return memcpy(room_take(ctx, n), p, MIN(old, n));
}

static void room_give(void *ctx, void *p)
{
	if (!is_in_room(ctx, p)) free(p);
}

static enum err refuse_depth(size_t where, struct errinfo *info)
{
	return err_set(info, ERR_BAD_JSON, "nested deeper than %d at byte %zu", JSON_DEPTH_MAX, where);
}

/* The depth of a large text is looked at before a tree is made of it, which may be many times its size. A small one is read
 * at once: when it is good it has as many brackets as containers, and mostly too few of them to be too deep. */
static enum err parse(struct str text, const yyjson_alc *alc, struct json_doc **out, struct errinfo *info)
{
	size_t where, brackets = 0;
	bool is_small = text.n <= SMALL;
	yyjson_read_err e;
	*out = NULL;
	if (text.p == NULL) text = STR("");
	if (!is_small && too_deep(text, &where)) return refuse_depth(where, info);
	yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text.p, text.n, YYJSON_READ_NUMBER_AS_RAW, alc, &e);
	if (doc == NULL) {
		if (is_small && too_deep(text, &where)) return refuse_depth(where, info);
		return err_set(info, ERR_BAD_JSON, "not valid JSON at byte %zu: %s", e.pos, e.msg);
	}
	enum err bad = check_values(doc, &brackets, info);
	if (bad == OK && is_small && brackets > JSON_DEPTH_MAX && too_deep(text, &where))
		bad = refuse_depth(where, info);
	if (bad != OK) {
		yyjson_doc_free(doc);
		return bad;
	}
	*out = (struct json_doc *)doc;
	return OK;
}

enum err json_parse(struct str text, struct json_doc **out, struct errinfo *info)
{
	return parse(text, &memory, out, info);
}

enum err json_parse_in(struct json_room *room, struct str text, struct json_doc **out, struct errinfo *info)
{
	const struct yyjson_alc alc = {room_take, room_grow, room_give, room};
	room->used = 0;
	return parse(text, &alc, out, info);
}

void json_free(struct json_doc *doc) { yyjson_doc_free((yyjson_doc *)doc); }

const struct json *json_root(const struct json_doc *doc)
{
	return wrap(yyjson_doc_get_root((yyjson_doc *)(uintptr_t)doc));
}

enum json_type json_type(const struct json *v)
{
	static const unsigned char types[8] = {
		[YYJSON_TYPE_NULL] = JSON_NULL, [YYJSON_TYPE_BOOL] = JSON_BOOL, [YYJSON_TYPE_STR] = JSON_STR,
		[YYJSON_TYPE_ARR] = JSON_ARR,   [YYJSON_TYPE_OBJ] = JSON_OBJ,
	};
	int64_t whole;
	if (yyjson_is_raw(val(v))) return str_to_int(digits_of(val(v)), &whole) ? JSON_INT : JSON_REAL;
	return (enum json_type)types[yyjson_get_type(val(v)) & 7];
}

const struct json *json_getn(const struct json *obj, struct str key)
{
	if (!yyjson_is_obj(val(obj))) return NULL;
	yyjson_val *k = unsafe_yyjson_get_first(val(obj));
	for (size_t left = unsafe_yyjson_get_len(val(obj)); left > 0; left--, k = unsafe_yyjson_get_next(k + 1))
		if (is_key(k, key)) return wrap(k + 1);
	return NULL;
}

void json_pick(const struct json *obj, const struct str *keys, size_t n, const struct json **out)
{
	for (size_t i = 0; i < n; i++) out[i] = NULL;
	if (!yyjson_is_obj(val(obj))) return;
	yyjson_val *k = unsafe_yyjson_get_first(val(obj));
	for (size_t left = unsafe_yyjson_get_len(val(obj)); left > 0; left--, k = unsafe_yyjson_get_next(k + 1)) {
		struct str key = key_str(k);
		for (size_t i = 0; i < n; i++) {
			if (keys[i].n != key.n || *keys[i].p != *key.p || !same(keys[i].p, key.p, key.n)) continue;
			out[i] = wrap(k + 1);
			break;
		}
	}
}

size_t json_len(const struct json *v)
{
	return yyjson_is_obj(val(v)) ? yyjson_obj_size(val(v)) : yyjson_arr_size(val(v));
}

bool json_str(const struct json *v, struct str *out)
{
	if (!yyjson_is_str(val(v))) return false;
	*out = str_n(yyjson_get_str(val(v)), yyjson_get_len(val(v)));
	return true;
}

bool json_int(const struct json *v, int64_t *out)
{
	if (!yyjson_is_raw(val(v))) return false;
	struct str digits = digits_of(val(v));
	if (str_to_int(digits, out)) return true;
	double d = real_of(digits);
	if (!(d >= -9007199254740992.0 && d <= 9007199254740992.0) || d != floor(d)) return false;
	*out = (int64_t)d;
	return true;
}

bool json_real(const struct json *v, double *out)
{
	if (!yyjson_is_raw(val(v))) return false;
	*out = real_of(digits_of(val(v)));
	return true;
}

bool json_bool(const struct json *v, bool *out)
{
	if (!yyjson_is_bool(val(v))) return false;
	*out = yyjson_get_bool(val(v));
	return true;
}

struct json_iter json_iter(const struct json *c)
{
	struct json_iter it = {.container = c, .left = json_len(c)};
	if (it.left > 0) it.next = wrap(unsafe_yyjson_get_first(val(c)));
	return it;
}

bool json_next(struct json_iter *it)
{
	if (it->left == 0) return false;
	it->left--;
	yyjson_val *at = val(it->next);
	if (yyjson_is_obj(val(it->container))) {
		it->key = str_n(yyjson_get_str(at), yyjson_get_len(at));
		at++;
	}
	it->val = wrap(at);
	it->next = wrap(unsafe_yyjson_get_next(at));
	return true;
}

/* ---- many members ----------------------------------------------------------------------------------------------- */

struct json_member {
	struct str key;
	const struct json *value;
};

static int compare_members(const void *a, const void *b)
{
	return str_cmp(((const struct json_member *)a)->key, ((const struct json_member *)b)->key);
}

void json_map_init(struct json_map *m, const struct json *object)
{
	*m = (struct json_map){.object = object};
	if (!yyjson_is_obj(val(object)) || json_len(object) <= FEW) return;
	m->list = xmalloc(xmul(json_len(object), sizeof *m->list));
	for (struct json_iter it = json_iter(object); json_next(&it);)
		m->list[m->n++] = (struct json_member){it.key, it.val};
	qsort(m->list, m->n, sizeof *m->list, compare_members);
}

const struct json *json_map_get(const struct json_map *m, struct str key)
{
	if (m->list == NULL) return json_getn(m->object, key);
	struct json_member want = {.key = key};
	const struct json_member *found = bsearch(&want, m->list, m->n, sizeof want, compare_members);
	return found != NULL ? found->value : NULL;
}

void json_map_release(struct json_map *m)
{
	free(m->list);
	*m = (struct json_map){0};
}

static bool equal_objects(const struct json *a, const struct json *b)
{
	struct json_map map;
	bool same = json_len(a) == json_len(b);
	if (!same) return false;
	json_map_init(&map, b);
	for (struct json_iter it = json_iter(a); same && json_next(&it);)
		same = json_equal(it.val, json_map_get(&map, it.key));
	json_map_release(&map);
	return same;
}

/* As deep as a document may be, which is JSON_DEPTH_MAX. */
bool json_equal(const struct json *a, const struct json *b)
{
	if (a == b) return true;
	if (a == NULL || b == NULL) return false;
	if (yyjson_is_obj(val(a)) && yyjson_is_obj(val(b))) return equal_objects(a, b);
	if (!yyjson_is_arr(val(a)) || !yyjson_is_arr(val(b))) return yyjson_equals(val(a), val(b));
	struct json_iter x = json_iter(a), y = json_iter(b);
	if (x.left != y.left) return false;
	while (json_next(&x) && json_next(&y))
		if (!json_equal(x.val, y.val)) return false;
	return true;
}

void json_write(struct buf *b, const struct json *v)
{
	struct jw w = JW(b);
	jw_value(&w, v);
}

struct str json_text(struct arena *arena, const struct json *v)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	json_write(&b, v);
	struct str s = arena_str(arena, buf_str(&b));
	buf_release(&b);
	return s;
}

static bool want(const struct json *obj, const char *key, int flags, bool ok, const char *kind, struct errinfo *info)
{
	if (ok) return true;
	enum json_type t = json_type(json_get(obj, key));
	if ((t == JSON_NONE || t == JSON_NULL) && (flags & JSON_OPTIONAL)) return true;
	if (t == JSON_NONE) (void)err_set(info, ERR_BAD_FIELD, "\"%s\" is missing; it must be %s", key, kind);
	else (void)err_set(info, ERR_BAD_FIELD, "\"%s\" must be %s", key, kind);
	return false;
}

bool json_want_str(const struct json *obj, const char *key, int flags, struct str *out, struct errinfo *info)
{
	return want(obj, key, flags, json_str(json_get(obj, key), out), "a string", info);
}

bool json_want_int(const struct json *obj, const char *key, int flags, int64_t lo, int64_t hi, int64_t *out,
		   struct errinfo *info)
{
	int64_t v;
	if (!json_int(json_get(obj, key), &v)) return want(obj, key, flags, false, "a whole number", info);
	if (v < lo || v > hi) {
		(void)err_set(info, ERR_BAD_FIELD, "\"%s\" must be from %lld to %lld", key, (long long)lo,
			      (long long)hi);
		return false;
	}
	*out = v;
	return true;
}

bool json_want_bool(const struct json *obj, const char *key, int flags, bool *out, struct errinfo *info)
{
	return want(obj, key, flags, json_bool(json_get(obj, key), out), "true or false", info);
}

static void before_value(struct jw *w)
{
	if (w->comma) buf_add_char(w->b, ',');
	w->comma = true;
}

static void open_with(struct jw *w, char c)
{
	before_value(w);
	buf_add_char(w->b, c);
	w->comma = false;
}

static void close_with(struct jw *w, char c)
{
	buf_add_char(w->b, c);
	w->comma = true;
}

void jw_obj(struct jw *w) { open_with(w, '{'); }
void jw_obj_end(struct jw *w) { close_with(w, '}'); }
void jw_arr(struct jw *w) { open_with(w, '['); }
void jw_arr_end(struct jw *w) { close_with(w, ']'); }

void jw_key(struct jw *w, const char *key)
{
	before_value(w);
	buf_add_char(w->b, '"');
	buf_add(w->b, key, strlen(key));
	buf_add(w->b, "\":", 2);
	w->comma = false;
}

/* What must be escaped: 1 below 0x20, quote, backslash, DEL; 2 the first byte of U+2028/9 (e2 80 a8/a9), looked at closer. */
static const unsigned char escape_class[256] = {
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,         1,          1,          1,
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ['"'] = 1, ['\\'] = 1, [0x7f] = 1, [0xe2] = 2,
};

static void add_escaped(struct buf *b, struct str s)
{
	static const char hex[] = "0123456789abcdef";
	size_t from = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (escape_class[c] == 0) continue;
		if (c == 0xe2) {
			if (s.n - i < 3 || (unsigned char)s.p[i + 1] != 0x80 ||
			    ((unsigned char)s.p[i + 2] & 0xfe) != 0xa8)
				continue;
			buf_add(b, s.p + from, i - from);
			buf_add(b, (unsigned char)s.p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
			i += 2;
			from = i + 1;
			continue;
		}
		buf_add(b, s.p + from, i - from);
		from = i + 1;
		switch (c) {
		case '"': buf_add(b, "\\\"", 2); break;
		case '\\': buf_add(b, "\\\\", 2); break;
		case '\n': buf_add(b, "\\n", 2); break;
		case '\r': buf_add(b, "\\r", 2); break;
		case '\t': buf_add(b, "\\t", 2); break;
		default: buf_add(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
		}
	}
	buf_add(b, s.p + from, s.n - from);
}

static void add_quoted(struct buf *b, struct str s)
{
	buf_reserve(b, 0);
	buf_add_char(b, '"');
	add_escaped(b, s);
	buf_add_char(b, '"');
}

void jw_key_str(struct jw *w, struct str key)
{
	before_value(w);
	add_quoted(w->b, key);
	buf_add_char(w->b, ':');
	w->comma = false;
}

void jw_str(struct jw *w, struct str s)
{
	before_value(w);
	add_quoted(w->b, s);
}

void jw_int(struct jw *w, int64_t v)
{
	before_value(w);
	buf_add_int(w->b, v);
}

static void add_number(struct buf *b, const yyjson_val *num)
{
	char pool[512];
	yyjson_alc alc;
	size_t n;
	yyjson_alc_pool_init(&alc, pool, sizeof pool);
	const char *text = yyjson_val_write_opts(num, 0, &alc, &n, NULL);
	if (text != NULL) buf_add(b, text, n);
}

void jw_real(struct jw *w, double v)
{
	before_value(w);
	if (!isfinite(v)) {
		buf_add(w->b, "null", 4);
		return;
	}
	yyjson_val num = {0};
	yyjson_set_real(&num, v);
	add_number(w->b, &num);
}

void jw_bool(struct jw *w, bool v)
{
	before_value(w);
	buf_add_str(w->b, v ? STR("true") : STR("false"));
}

void jw_null(struct jw *w)
{
	before_value(w);
	buf_add(w->b, "null", 4);
}

void jw_raw(struct jw *w, struct str json)
{
	before_value(w);
	buf_add_str(w->b, json);
}

void jw_value(struct jw *w, const struct json *v)
{
	struct str text = STR("");
	switch (json_type(v)) {
	case JSON_NONE:
	case JSON_NULL: jw_null(w); return;
	case JSON_BOOL: jw_bool(w, yyjson_get_bool(val(v))); return;
	case JSON_STR:
		if (json_str(v, &text) && text.p != NULL) jw_str(w, text);
		return;
	case JSON_INT:
	case JSON_REAL: jw_raw(w, digits_of(val(v))); return;
	case JSON_ARR:
		jw_arr(w);
		for (struct json_iter it = json_iter(v); json_next(&it);) jw_value(w, it.val);
		jw_arr_end(w);
		return;
	case JSON_OBJ:
		jw_obj(w);
		for (struct json_iter it = json_iter(v); json_next(&it);) {
			jw_key_str(w, it.key);
			jw_value(w, it.val);
		}
		jw_obj_end(w);
	}
}

void jw_time(struct jw *w, int64_t wall_ms)
{
	char text[TIME_TEXT_LEN + 1];
	time_format(wall_ms, text);
	jw_str(w, str_n(text, TIME_TEXT_LEN));
}

void jw_kstr(struct jw *w, const char *key, struct str s)
{
	jw_key(w, key);
	jw_str(w, s);
}

void jw_kint(struct jw *w, const char *key, int64_t v)
{
	jw_key(w, key);
	jw_int(w, v);
}

void jw_kbool(struct jw *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}

void jw_ktime(struct jw *w, const char *key, int64_t wall_ms)
{
	jw_key(w, key);
	jw_time(w, wall_ms);
}

void jw_kraw(struct jw *w, const char *key, struct str json)
{
	jw_key(w, key);
	jw_raw(w, json);
}
