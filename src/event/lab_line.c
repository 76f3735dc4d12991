/* Writing: the row of the table says which fields there are and what becomes of each. Redaction is here and nowhere
 * else, so that no text has another way into a file. */
#include "event/lab_line.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "event/line.h"
#include "event/mask.h"

static const char *const redaction_names[] = {"off", "mask-pii", "hash", "drop"};

bool redaction_parse(struct str name, enum redaction *out)
{
	for (size_t i = 0; i < ARRAY_LEN(redaction_names); i++) {
		if (!str_eq(name, str_c(redaction_names[i]))) continue;
		*out = (enum redaction)i;
		return true;
	}
	return false;
}

const char *redaction_name(enum redaction r) { return redaction_names[r]; }

/* ---- texts ------------------------------------------------------------------------------------------------------- */

/* Appends `s` with U+FFFD for each byte that is none of a character. */
static void add_valid(struct buf *b, struct str s)
{
	for (size_t len; s.n > 0; s = str_n(s.p + len, s.n - len)) {
		for (len = 1; len <= 4 && len <= s.n && !utf8_is_valid(str_n(s.p, len)); len++) {
		}
		bool is_bad = len > 4 || len > s.n;
		if (is_bad) len = 1;
		buf_add_str(b, is_bad ? STR("\xef\xbf\xbd") : str_n(s.p, len));
	}
}

/* A string as it is: no line may fail to be read again for a byte that somebody gave us. */
static void put_str(struct jw *w, struct str s)
{
	if (s.p == NULL) {
		jw_null(w);
	} else if (utf8_is_valid(s)) {
		jw_str(w, s);
	} else {
		struct buf valid = BUF_INIT(BUF_NO_LIMIT);
		add_valid(&valid, s);
		jw_str(w, buf_str(&valid));
		buf_release(&valid);
	}
}

static int64_t count_chars(struct str s)
{
	int64_t n = 0;
	for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void put_hash(struct jw *w, struct str s)
{
	unsigned char hash[SHA256_LEN];
	char hex[SHA256_HEX_LEN + 1];
	sha256(s, hash);
	hex_encode(hash, SHA256_LEN, hex);
	jw_kstr(w, "sha256", str_n(hex, SHA256_HEX_LEN));
}

static void put_text(struct jw *w, struct str s, enum redaction r)
{
	if (r == REDACT_NONE || s.p == NULL) {
		put_str(w, s);
	} else if (r == REDACT_MASK) {
		struct buf masked = BUF_INIT(BUF_NO_LIMIT);
		mask_text(&masked, s);
		put_str(w, buf_str(&masked));
		buf_release(&masked);
	} else {
		jw_obj(w);
		jw_kint(w, "chars", count_chars(s));
		jw_kint(w, "bytes", (int64_t)s.n);
		if (r == REDACT_HASH) put_hash(w, s);
		jw_obj_end(w);
	}
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* 2026-01-02T03:04:05.678901+00:00 */
static void put_time(struct jw *w, int64_t at_us)
{
	char text[TIME_TEXT_LEN + 1 + 9];
	if (at_us <= 0) {
		jw_null(w);
		return;
	}
	time_format(at_us / 1000, text);
	int64_t us = at_us % 1000;
	char *p = text + TIME_TEXT_LEN - 1; /* over the Z */
	for (int i = 3; i-- > 0; us /= 10) p[i] = (char)('0' + us % 10);
	memcpy(p + 3, "+00:00", 6);
	jw_str(w, str_n(text, TIME_TEXT_LEN - 1 + 9));
}

/* Is this the name of a field that holds a text? */
static bool names_text(struct str key)
{
	if (str_eq(key, STR("content")) || str_eq(key, STR("display_name"))) return true;
	for (int t = 0; t < LAB_TYPE_COUNT; t++)
		for (size_t i = 0; i < lab_rows[t].nfields; i++)
			if (lab_rows[t].fields[i].kind == LK_TEXT && str_eq(key, str_c(lab_rows[t].fields[i].name)))
				return true;
	return false;
}

static void put_redacted(struct jw *w, const struct json *v, bool is_text, enum redaction r)
{
	struct str s;
	switch (json_type(v)) {
	case JSON_STR:
		(void)json_str(v, &s);
		put_text(w, s, is_text ? r : REDACT_NONE);
		return;
	case JSON_ARR:
		jw_arr(w);
		for (struct json_iter it = json_iter(v); json_next(&it);) put_redacted(w, it.val, is_text, r);
		jw_arr_end(w);
		return;
	case JSON_OBJ:
		jw_obj(w);
		for (struct json_iter it = json_iter(v); json_next(&it);) {
			if (r == REDACT_DROP && str_eq(it.key, STR("sha256"))) continue;
			jw_key_str(w, it.key);
			put_redacted(w, it.val, is_text || names_text(it.key), r);
		}
		jw_obj_end(w);
		return;
	default: jw_value(w, v);
	}
}

/* A line has no newline in it, but JSON may have some between its values. */
static void put_json(struct jw *w, struct str text, enum redaction r)
{
	struct json_doc *doc = NULL;
	if (r == REDACT_NONE) {
		size_t from = w->b->n;
		jw_raw(w, text);
		for (char *nl; (nl = memchr(w->b->p + from, '\n', w->b->n - from)) != NULL;) *nl = ' ';
	} else if (json_parse(text, &doc, NULL) == OK) {
		put_redacted(w, json_root(doc), false, r);
	} else {
		jw_null(w);
	}
	json_free(doc);
}

static void put_message(struct jw *w, const struct lab_message *m, enum redaction r)
{
	jw_obj(w);
	jw_key(w, "role");
	put_str(w, m->role);
	jw_key(w, "content");
	put_text(w, m->content, r);
	jw_key(w, "agent_id");
	put_str(w, m->agent_id);
	jw_key(w, "timestamp");
	put_time(w, m->at_us);
	jw_obj_end(w);
}

static void put_int(struct jw *w, int64_t i)
{
	if (i == INT64_MIN) jw_null(w);
	else jw_int(w, i);
}

static void put_agent(struct jw *w, const struct lab_agent *a, enum redaction r)
{
	jw_obj(w);
	jw_key(w, "id");
	put_str(w, a->id);
	jw_key(w, "model");
	put_str(w, a->model);
	jw_key(w, "display_name");
	put_text(w, a->display_name, r);
	jw_key(w, "model_display_name");
	put_str(w, a->model_display_name);
	jw_key(w, "temperature");
	jw_real(w, a->temperature);
	jw_kbool(w, "thinking_enabled", a->thinking_enabled);
	jw_key(w, "thinking_budget");
	put_int(w, a->thinking_budget);
	jw_obj_end(w);
}

/* Another kind of value than its field has is a fault of who made the event, and could carry a text past redaction. */
static bool fits(enum lab_kind kind, const struct lab_value *v)
{
	switch (v->is) {
	case LV_ABSENT:
	case LV_NULL: return true;
	case LV_STR: return kind == LK_STR || kind == LK_TEXT || kind == LK_HASH;
	case LV_INT: return kind == LK_INT || kind == LK_REAL;
	case LV_REAL: return kind == LK_REAL;
	case LV_BOOL: return kind == LK_BOOL;
	case LV_JSON: return kind == LK_JSON;
	case LV_MESSAGE: return kind == LK_MESSAGE;
	case LV_AGENT: return kind == LK_AGENT;
	}
	return false;
}

static void put_value(struct jw *w, enum lab_kind kind, const struct lab_value *v, enum redaction r)
{
	switch (v->is) {
	case LV_STR: put_text(w, v->u.s, kind == LK_TEXT ? r : REDACT_NONE); return;
	case LV_INT: put_int(w, v->u.i); return;
	case LV_REAL: jw_real(w, v->u.r); return;
	case LV_BOOL: jw_bool(w, v->u.b); return;
	case LV_JSON: put_json(w, v->u.s, r); return;
	case LV_MESSAGE: put_message(w, v->u.message, r); return;
	case LV_AGENT: put_agent(w, v->u.agent, r); return;
	case LV_ABSENT:
	case LV_NULL: jw_null(w);
	}
}

/* ---- the line ---------------------------------------------------------------------------------------------------- */

void lab_line_write(struct buf *b, const struct lab_event *e, enum redaction r)
{
	const struct lab_row *row = &lab_rows[e->type];
	size_t from = b->n;
	struct jw w = JW(b);
	bool has_experiment = false;
	jw_obj(&w);
	for (size_t i = 0; i < row->nfields; i++) {
		const struct lab_field *f = &row->fields[i];
		has_experiment = has_experiment || strcmp(f->name, "experiment_id") == 0;
		ASSERT(fits(f->kind, &e->v[i]));
		if (e->v[i].is == LV_ABSENT || (f->kind == LK_HASH && r == REDACT_DROP)) continue;
		jw_key(&w, f->name);
		put_value(&w, f->kind, &e->v[i], r);
	}
	jw_key(&w, "timestamp");
	put_time(&w, e->at_us);
	jw_kstr(&w, "event_type", str_c(row->name));
	if (!has_experiment) {
		jw_key(&w, "experiment_id");
		put_str(&w, e->experiment_id);
	}
	jw_kint(&w, "seq", e->seq);
	line_add_sum(b, from);
}

void redaction_write(struct jw *w, struct str text, enum redaction r) { put_text(w, text, r); }
