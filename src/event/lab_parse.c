/* Reading a line, ours or Pidgin's. */
#include <math.h>

#include "base/clock.h"
#include "event/lab_line.h"
#include "event/line.h"

/* ---- what is no JSON --------------------------------------------------------------------------------------------- */

static struct str token_at(struct str s, size_t i)
{
	static const struct str tokens[] = {STR_INIT("NaN"), STR_INIT("Infinity"), STR_INIT("-Infinity")};
	for (size_t k = 0; k < ARRAY_LEN(tokens); k++)
		if (str_starts(str_n(s.p + i, s.n - i), tokens[k])) return tokens[k];
	return STR_NONE;
}

/* The number in \uXXXX at i; -1 when there is none. */
static int unit_at(struct str s, size_t i)
{
	int unit = 0;
	if (s.n - i < 6 || s.p[i] != '\\' || s.p[i + 1] != 'u') return -1;
	for (size_t k = i + 2; k < i + 6; k++) {
		char c = s.p[k];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;
		if (digit < 0) return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

static bool is_high(int unit) { return unit >= 0xd800 && unit < 0xdc00; }
static bool is_low(int unit) { return unit >= 0xdc00 && unit < 0xe000; }

/* Appends the escape at i and returns its length. Half a pair of surrogates becomes U+FFFD. */
static size_t mend_escape(struct buf *b, struct str s, size_t i)
{
	int unit = unit_at(s, i);
	if (unit < 0) {
		size_t n = MIN((size_t)2, s.n - i);
		buf_add(b, s.p + i, n);
		return n;
	}
	if (is_high(unit) && s.n - i >= 12 && is_low(unit_at(s, i + 6))) {
		buf_add(b, s.p + i, 12);
		return 12;
	}
	if (is_high(unit) || is_low(unit)) buf_add_str(b, STR("\\ufffd"));
	else buf_add(b, s.p + i, 6);
	return 6;
}

/* What Python's json writes and no JSON has: NaN and infinities become null, halves of surrogate pairs U+FFFD. */
static void mend(struct buf *b, struct str s)
{
	bool in_string = false;
	for (size_t i = 0; i < s.n;) {
		struct str token = in_string ? STR_NONE : token_at(s, i);
		if (token.n > 0) {
			buf_add_str(b, STR("null"));
			i += token.n;
		} else if (in_string && s.p[i] == '\\') {
			i += mend_escape(b, s, i);
		} else {
			if (s.p[i] == '"') in_string = !in_string;
			buf_add_char(b, s.p[i++]);
		}
	}
}

static enum err parse(struct str line, struct json_doc **out, struct errinfo *info)
{
	enum err e = json_parse(line, out, info);
	if (e == OK) return OK;
	struct buf mended = BUF_INIT(BUF_NO_LIMIT);
	mend(&mended, line);
	if (!str_eq(line, buf_str(&mended))) e = json_parse(buf_str(&mended), out, info);
	buf_release(&mended);
	return e;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* Microseconds since 1970, 0 when it is no time. Without a zone it is UTC. */
static int64_t read_time(const struct json *v)
{
	char text[48];
	struct str s;
	int64_t ms;
	if (!json_str(v, &s) || s.n < 19 || s.n > 40) return 0;
	bool has_zone = (s.p[s.n - 1] | 0x20) == 'z' || s.p[s.n - 6] == '+' || s.p[s.n - 6] == '-';
	snprintf(text, sizeof text, "%.*s%s", STR_ARG(s), has_zone ? "" : "Z");
	if (!time_parse(str_c(text), &ms)) return 0;
	int64_t us = 0, unit = 100;
	for (size_t i = 23; s.p[19] == '.' && i < 26 && i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++, unit /= 10)
		us += (s.p[i] - '0') * unit;
	return ms * 1000 + us;
}

static struct str read_str(struct arena *arena, const struct json *v)
{
	struct str s;
	return json_str(v, &s) ? arena_str(arena, s) : STR_NONE;
}

static struct lab_value read_message(struct arena *arena, const struct json *v)
{
	struct lab_message *m = arena_zalloc(arena, sizeof *m);
	m->role = read_str(arena, json_get(v, "role"));
	m->content = read_str(arena, json_get(v, "content"));
	m->agent_id = read_str(arena, json_get(v, "agent_id"));
	m->at_us = read_time(json_get(v, "timestamp"));
	return lv_message(m);
}

static struct lab_value read_agent(struct arena *arena, const struct json *v)
{
	struct lab_agent *a = arena_zalloc(arena, sizeof *a);
	a->id = read_str(arena, json_get(v, "id"));
	a->model = read_str(arena, json_get(v, "model"));
	a->display_name = read_str(arena, json_get(v, "display_name"));
	a->model_display_name = read_str(arena, json_get(v, "model_display_name"));
	a->temperature = (double)NAN;
	(void)json_real(json_get(v, "temperature"), &a->temperature);
	(void)json_bool(json_get(v, "thinking_enabled"), &a->thinking_enabled);
	a->thinking_budget = INT64_MIN;
	(void)json_int(json_get(v, "thinking_budget"), &a->thinking_budget);
	return lv_agent(a);
}

/* A value of another type than the field's is absent; so is a text that was redacted. */
static struct lab_value read_value(struct arena *arena, enum lab_kind kind, const struct json *v)
{
	struct lab_value out = {.is = LV_ABSENT};
	enum json_type type = json_type(v);
	if (type == JSON_NONE) return out;
	if (type == JSON_NULL) return (struct lab_value){.is = LV_NULL};
	switch (kind) {
	case LK_STR:
	case LK_TEXT:
	case LK_HASH:
		if (type == JSON_STR) out = lv_str(read_str(arena, v));
		break;
	case LK_INT:
		if (json_int(v, &out.u.i)) out.is = LV_INT;
		break;
	case LK_REAL:
		if (json_real(v, &out.u.r)) out.is = LV_REAL;
		break;
	case LK_BOOL:
		if (json_bool(v, &out.u.b)) out.is = LV_BOOL;
		break;
	case LK_JSON: return lv_json(json_text(arena, v));
	case LK_MESSAGE:
		if (type == JSON_OBJ) return read_message(arena, v);
		break;
	case LK_AGENT:
		if (type == JSON_OBJ) return read_agent(arena, v);
		break;
	}
	return out;
}

/* ---- the line ---------------------------------------------------------------------------------------------------- */

/* A member of the event, or of its "data". */
static const struct json *member(const struct json *root, const struct json *data, const char *key)
{
	const struct json *v = json_get(root, key);
	return v != NULL ? v : json_get(data, key);
}

static void read_fields(struct arena *arena, const struct json *root, struct lab_event *out)
{
	const struct lab_row *row = &lab_rows[out->type];
	const struct json *data = json_get(root, "data"), *found[LAB_FIELDS_MAX];
	struct str keys[LAB_FIELDS_MAX];
	for (size_t i = 0; i < row->nfields; i++) keys[i] = str_c(row->fields[i].name);
	json_pick(root, keys, row->nfields, found);
	for (size_t i = 0; i < row->nfields; i++) {
		if (found[i] == NULL && data != NULL) found[i] = json_get(data, row->fields[i].name);
		out->v[i] = read_value(arena, row->fields[i].kind, found[i]);
	}
}

static enum err read_event(struct arena *arena, const struct json *root, bool has_sum, struct lab_event *out,
			   struct errinfo *info)
{
	struct str name = STR_NONE;
	if (json_type(root) != JSON_OBJ) return err_set(info, ERR_BAD_JSON, "an event is a JSON object");
	const struct json *data = json_get(root, "data");
	(void)json_int(json_get(root, "seq"), &out->seq);
	if (out->seq > 0 && !has_sum) return err_set(info, ERR_CORRUPT, "the line has no checksum");
	out->at_us = read_time(member(root, data, "timestamp"));
	out->experiment_id = read_str(arena, member(root, data, "experiment_id"));
	if (!json_str(json_get(root, "event_type"), &name))
		return err_set(info, ERR_UNKNOWN_TYPE, "the event has no event_type");
	if (!lab_type_find(name, &out->type))
		return err_set(info, ERR_UNKNOWN_TYPE, "no such type of event: %.*s", (int)MIN(name.n, (size_t)60),
			       name.p);
	read_fields(arena, root, out);
	return OK;
}

enum err lab_line_read(struct arena *arena, struct str line, struct lab_event *out, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	*out = (struct lab_event){.type = LAB_TYPE_COUNT};
	if (line.n > 0 && line.p[line.n - 1] == '\r') line.n--;
	enum line_sum sum = line_check_sum(line);
	if (sum == LINE_SUM_WRONG) return err_set(info, ERR_CORRUPT, "the line's checksum is wrong");
	enum err e = parse(line, &doc, info);
	if (e == OK) e = read_event(arena, json_root(doc), sum == LINE_SUM_RIGHT, out, info);
	json_free(doc);
	return e;
}
