#include "event/line.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"

#define STRING_MAX 1000

static const struct str lead = {"{\"at\":\"", 7}, second = {"\",\"n\":", 6}, last = {",\"sum\":\"", 8};
#define SUM_LEN 8
#define SUM_PART (8 + SUM_LEN + 2) /* ,"sum":"xxxxxxxx"} */

static void sum_text(struct str before, char out[SUM_LEN])
{
	static const char hex[] = "0123456789abcdef";
	uint64_t h = hash64(before, 0);
	for (int i = SUM_LEN; i-- > 0; h >>= 4) out[i] = hex[h & 15];
}

void line_add_sum(struct buf *b, size_t from)
{
	char part[SUM_PART + 1];
	memcpy(part, last.p, last.n);
	sum_text(str_n(b->p + from, b->n - from), part + last.n);
	memcpy(part + last.n + SUM_LEN, "\"}\n", 3);
	buf_add(b, part, sizeof part);
}

enum line_sum line_check_sum(struct str line)
{
	char sum[SUM_LEN];
	if (line.n < SUM_PART) return LINE_WITHOUT_SUM;
	struct str before = str_n(line.p, line.n - SUM_PART), part = str_n(line.p + before.n, SUM_PART);
	if (!str_starts(part, last) || memcmp(part.p + last.n + SUM_LEN, "\"}", 2) != 0) return LINE_WITHOUT_SUM;
	sum_text(before, sum);
	return memcmp(part.p + last.n, sum, SUM_LEN) == 0 ? LINE_SUM_RIGHT : LINE_SUM_WRONG;
}

void line_write_tail(struct buf *b, const char *type, const struct ev_field *fields, size_t nfields)
{
	struct jw w = {.b = b, .comma = true}; /* at and n come before */
	jw_kstr(&w, "event", str_c(type));
	for (size_t i = 0; i < nfields; i++) {
		const struct ev_field *f = &fields[i];
		switch (f->kind) {
		case EV_STR:
			if (f->s.p != NULL) jw_kstr(&w, f->key, str_n(f->s.p, utf8_cut(f->s, STRING_MAX)));
			break;
		case EV_INT: jw_kint(&w, f->key, f->i); break;
		case EV_BOOL: jw_kbool(&w, f->key, f->i != 0); break;
		}
	}
}

void line_write(struct buf *b, int64_t wall_ms, int64_t n, struct str tail)
{
	char at[TIME_TEXT_LEN + 1];
	size_t from = b->n;
	time_format(wall_ms, at);
	buf_add_str(b, lead);
	buf_add(b, at, TIME_TEXT_LEN);
	buf_add_str(b, second);
	buf_add_int(b, n);
	buf_add_str(b, tail);
	line_add_sum(b, from);
}

bool journal_check_line(struct str line, int64_t *out_n, struct str *out_at)
{
	size_t head = lead.n + TIME_TEXT_LEN + second.n;
	if (line.n < head + 1 + SUM_PART || !str_starts(line, lead)) return false;
	struct str at = str_n(line.p + lead.n, TIME_TEXT_LEN);
	if (!str_starts(str_n(at.p + at.n, second.n), second)) return false;
	size_t digits = 0;
	while (line.p[head + digits] >= '0' && line.p[head + digits] <= '9') digits++;
	if (line_check_sum(line) != LINE_SUM_RIGHT) return false;
	*out_at = at;
	return str_to_int(str_n(line.p + head, digits), out_n) && *out_n > 0;
}
