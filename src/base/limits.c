#include "base/limits.h"

const struct limit_row limit_rows[] = {
#define X(field, key, def, lo, hi, unit, what) {key, unit, what, def, lo, hi, offsetof(struct limits, field)},
	LIMIT_MAP(X)
#undef X
};
const size_t limit_count = ARRAY_LEN(limit_rows);

void limits_default(struct limits *l)
{
	for (size_t i = 0; i < limit_count; i++)
		memcpy((char *)l + limit_rows[i].offset, &limit_rows[i].def, sizeof(int64_t));
}

enum err limits_set(struct limits *l, struct str key, int64_t value, struct errinfo *info)
{
	for (size_t i = 0; i < limit_count; i++) {
		const struct limit_row *r = &limit_rows[i];
		if (!str_eq(key, str_c(r->key))) continue;
		if (value < r->lo || value > r->hi)
			return err_set(info, ERR_CONFIG, "limits.%s is %lld %s; it must be from %lld to %lld", r->key,
				       (long long)value, r->unit, (long long)r->lo, (long long)r->hi);
		memcpy((char *)l + r->offset, &value, sizeof value);
		return OK;
	}
	return err_set(info, ERR_CONFIG, "limits.%.*s: there is no such limit", (int)MIN(key.n, (size_t)60), key.p);
}
