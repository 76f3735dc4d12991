#include "record/record.h"

#include "base/clock.h"
#include "base/hash.h"

static const char base36[] = "0123456789abcdefghijklmnopqrstuvwxyz";

static size_t format36(int64_t v, char *out)
{
	char digits[16];
	size_t n = 0;
	uint64_t u = (uint64_t)v;
	do digits[n++] = base36[u % 36];
	while ((u /= 36) != 0);
	for (size_t i = 0; i < n; i++) out[i] = digits[n - 1 - i];
	return n;
}

/* One number has one text: no sign, no leading zero, nothing past int64. */
static bool parse36(struct str s, int64_t *out)
{
	uint64_t v = 0;
	if (s.n == 0 || s.n > 13 || (s.n > 1 && s.p[0] == '0')) return false;
	for (size_t i = 0; i < s.n; i++) {
		const char *at = memchr(base36, s.p[i], 36);
		if (at == NULL || v > (uint64_t)INT64_MAX / 36) return false;
		v = v * 36 + (uint64_t)(at - base36);
		if (v > (uint64_t)INT64_MAX) return false;
	}
	*out = (int64_t)v;
	return true;
}

size_t tag_format(int64_t seq, char out[TAG_CAP])
{
	out[0] = 't';
	size_t n = 1 + format36(seq, out + 1);
	out[n] = '\0';
	return n;
}

bool tag_parse(struct str text, int64_t *out_seq)
{
	return text.n > 1 && text.p[0] == 't' && parse36(str_n(text.p + 1, text.n - 1), out_seq);
}

#define CURSOR_HEAD (2 + 16 + 1) /* "1.", the epoch, "." */

size_t cursor_format(uint64_t epoch, int64_t seq, char out[CURSOR_CAP])
{
	unsigned char b[8];
	for (int i = 0; i < 8; i++) b[i] = (unsigned char)(epoch >> (56 - 8 * i));
	memcpy(out, "1.", 2);
	hex_encode(b, 8, out + 2);
	out[CURSOR_HEAD - 1] = '.';
	size_t n = CURSOR_HEAD + format36(seq, out + CURSOR_HEAD);
	out[n] = '\0';
	return n;
}

bool cursor_parse(struct str text, uint64_t *out_epoch, int64_t *out_seq)
{
	unsigned char b[8];
	uint64_t epoch = 0;
	if (text.n <= CURSOR_HEAD || memcmp(text.p, "1.", 2) != 0 || text.p[CURSOR_HEAD - 1] != '.') return false;
	if (!hex_decode(str_n(text.p + 2, 16), b, 8)) return false;
	if (!parse36(str_n(text.p + CURSOR_HEAD, text.n - CURSOR_HEAD), out_seq)) return false;
	for (int i = 0; i < 8; i++) epoch = epoch << 8 | b[i];
	*out_epoch = epoch;
	return true;
}

static void write_stamp(struct jw *w, const char *key, int64_t at_ms, const struct principal *who)
{
	jw_key(w, key);
	jw_obj(w);
	jw_ktime(w, "at", at_ms);
	jw_kstr(w, "userId", who != NULL ? who->user_id : STR(""));
	jw_kstr(w, "deviceId", who != NULL ? who->device_id : STR(""));
	jw_obj_end(w);
}

void record_write(struct jw *w, const struct record *r, const struct principal *created_by,
		  const struct principal *modified_by)
{
	char tag[TAG_CAP];
	size_t n = tag_format(r->seq, tag);
	struct str known = record_type_name(r->type);
	jw_obj(w);
	jw_kstr(w, "type", known.p != NULL ? known : r->type_name);
	jw_kstr(w, "name", r->name);
	jw_kstr(w, "changeTag", str_n(tag, n));
	write_stamp(w, "created", r->created_ms, created_by);
	write_stamp(w, "modified", r->modified_ms, modified_by);
	jw_kbool(w, "deleted", r->deleted);
	jw_kraw(w, "fields", r->fields.n > 0 ? r->fields : STR("{}"));
	jw_obj_end(w);
}

static const struct type_row {
	uint32_t type;
	int rights;
	struct str name, writable;
} types[] = {
#define X(sym, n, name, writable, rights) {sym, rights, {name, sizeof(name) - 1}, {writable, sizeof(writable) - 1}},
	RECORD_TYPE_MAP(X)
#undef X
};

static const struct type_row *row_of(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == type) return &types[i];
	return NULL;
}

uint32_t record_type_number(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_eq(types[i].name, name)) return types[i].type;
	return 0;
}

struct str record_type_name(uint32_t known)
{
	const struct type_row *row = row_of(known);
	return row != NULL ? row->name : STR_NONE;
}

static bool listed(struct str list, struct str word)
{
	while (list.n > 0) {
		const char *comma = memchr(list.p, ',', list.n);
		size_t n = comma != NULL ? (size_t)(comma - list.p) : list.n;
		if (str_eq(str_n(list.p, n), word)) return true;
		n = MIN(n + 1, list.n);
		list = str_n(list.p + n, list.n - n);
	}
	return false;
}

bool record_field_writable(uint32_t type, struct str field)
{
	const struct type_row *row = row_of(type);
	return row == NULL || str_eq(row->writable, STR("*")) || listed(row->writable, field);
}

bool record_may(uint32_t type, int right)
{
	const struct type_row *row = row_of(type);
	return row == NULL || (row->rights & right) != 0;
}

enum err record_check_writable(uint32_t type, const struct json *fields, struct errinfo *info)
{
	for (struct json_iter it = json_iter(fields); json_next(&it);) {
		if (record_field_writable(type, it.key)) continue;
		struct str name = record_type_name(type);
		return err_set(info, ERR_FORBIDDEN, "\"%.*s\" of %.*s is kept by the daemon and cannot be saved",
			       (int)MIN(it.key.n, (size_t)60), it.key.p, STR_ARG(name));
	}
	return OK;
}
