#include "event/lab.h"

#include <math.h>

#define ROW(name, kind, what) {#name, kind, what},
#define X(sym, type, fields, when)                                                                                     \
	static const struct lab_field fields_of_##type[] = {fields(ROW)};                                              \
	_Static_assert(ARRAY_LEN(fields_of_##type) <= LAB_FIELDS_MAX, "more fields than an event has room for");
LAB_EVENT_MAP(X)
#undef X

const struct lab_row lab_rows[LAB_TYPE_COUNT] = {
#define X(sym, type, fields, when) [sym] = {#type, fields_of_##type, ARRAY_LEN(fields_of_##type), when},
	LAB_EVENT_MAP(X)
#undef X
};

const char *const lab_agent_ids[LAB_AGENTS_MAX] = {"agent_a", "agent_b", "agent_c", "agent_d",
						   "agent_e", "agent_f", "agent_g", "agent_h"};

bool lab_type_find(struct str name, enum lab_type *out)
{
	static const struct str ending = STR_INIT("Event");
	for (int i = 0; i < LAB_TYPE_COUNT; i++) {
		struct str full = str_c(lab_rows[i].name);
		bool is_short = full.n == name.n + ending.n && str_starts(full, name) &&
				memcmp(full.p + name.n, ending.p, ending.n) == 0;
		if (!is_short && !str_eq(full, name)) continue;
		*out = (enum lab_type)i;
		return true;
	}
	return false;
}

int lab_agent_find(struct str id)
{
	for (int i = 0; i < LAB_AGENTS_MAX; i++)
		if (str_eq(id, str_c(lab_agent_ids[i]))) return i;
	return -1;
}

struct lab_value lv_real(double r)
{
	struct lab_value v = {.is = LV_NULL};
	if (!isnan(r)) v = (struct lab_value){.is = LV_REAL, .u.r = r};
	return v;
}

static const struct lab_value *value_at(const struct lab_event *e, int field)
{
	ASSERT(field >= 0 && field < LAB_FIELDS_MAX);
	return &e->v[field];
}

struct str lab_str(const struct lab_event *e, int field)
{
	const struct lab_value *v = value_at(e, field);
	return v->is == LV_STR || v->is == LV_JSON ? v->u.s : STR("");
}

int64_t lab_int(const struct lab_event *e, int field, int64_t otherwise)
{
	const struct lab_value *v = value_at(e, field);
	return v->is == LV_INT ? v->u.i : otherwise;
}

double lab_real(const struct lab_event *e, int field)
{
	const struct lab_value *v = value_at(e, field);
	if (v->is == LV_INT) return (double)v->u.i;
	return v->is == LV_REAL ? v->u.r : (double)NAN;
}

bool lab_bool(const struct lab_event *e, int field)
{
	const struct lab_value *v = value_at(e, field);
	return v->is == LV_BOOL && v->u.b;
}

const struct lab_message *lab_message(const struct lab_event *e, int field)
{
	const struct lab_value *v = value_at(e, field);
	return v->is == LV_MESSAGE ? v->u.message : NULL;
}

const struct lab_agent *lab_agent(const struct lab_event *e, int field)
{
	const struct lab_value *v = value_at(e, field);
	return v->is == LV_AGENT ? v->u.agent : NULL;
}
