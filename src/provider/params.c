#include "provider/params.h"

const struct param_row param_rows[PARAM_COUNT] = {
#define X(sym, name, also, kind, lo, hi, what) {name, also, kind, lo, hi, what},
	PARAM_MAP(X)
#undef X
};

static const char *const efforts[] = {"none", "minimal", "low", "medium", "high", "xhigh", "max", NULL};
const char *const param_contexts[] = {"drop", "refuse", "summarise", NULL};
static const char *const thinkings[] = {"off", "on", "adaptive", NULL};

enum param param_find(struct str name)
{
	for (size_t i = 0; i < PARAM_COUNT; i++)
		if (str_eq(name, str_c(param_rows[i].name)) ||
		    (param_rows[i].also[0] != '\0' && str_eq(name, str_c(param_rows[i].also))))
			return (enum param)i;
	return PARAM_COUNT;
}

static bool is_one_of(const struct json *v, const char *const *names)
{
	struct str s;
	if (!json_str(v, &s)) return false;
	for (; *names != NULL; names++)
		if (str_eq(s, str_c(*names))) return true;
	return false;
}

static bool is_strings(const struct json *v, double most)
{
	struct str s;
	if (json_str(v, &s)) return s.n > 0;
	if (json_type(v) != JSON_ARR || json_len(v) == 0 || (double)json_len(v) > most) return false;
	for (struct json_iter it = json_iter(v); json_next(&it);)
		if (!json_str(it.val, &s) || s.n == 0) return false;
	return true;
}

/* What every API takes as the name of a function. */
static bool is_tool_name(struct str s)
{
	if (s.n == 0 || s.n > 64) return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
		if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-') return false;
	}
	return true;
}

static bool is_tools(const struct json *v, double most)
{
	struct str s;
	if (json_type(v) != JSON_ARR || json_len(v) == 0 || (double)json_len(v) > most) return false;
	for (struct json_iter it = json_iter(v); json_next(&it);) {
		const struct json *about = json_get(it.val, "description"), *schema = json_get(it.val, "parameters");
		if (!json_str(json_get(it.val, "name"), &s) || !is_tool_name(s)) return false;
		if (about != NULL && !json_str(about, &s)) return false;
		if (schema != NULL && json_type(schema) != JSON_OBJ) return false;
	}
	return true;
}

static enum err check(const struct param_row *r, const struct json *v, struct errinfo *info)
{
	int64_t i;
	double d;
	bool b;
	struct str s;
	switch (r->kind) {
	case PK_TEXT:
		if (json_str(v, &s)) return OK;
		return err_set(info, ERR_BAD_FIELD, "params.%s must be a string", r->name);
	case PK_STRINGS:
		if (is_strings(v, r->hi)) return OK;
		return err_set(info, ERR_BAD_FIELD, "params.%s must be a string or up to %.0f of them, none empty",
			       r->name, r->hi);
	case PK_THINKING:
		if (json_bool(v, &b) || is_one_of(v, thinkings)) return OK;
		return err_set(info, ERR_BAD_FIELD, "params.%s must be %s, true or false", r->name, r->what);
	case PK_EFFORT:
		if (is_one_of(v, efforts)) return OK;
		return err_set(info, ERR_BAD_FIELD, "params.%s must be %s", r->name, r->what);
	case PK_CONTEXT:
		if (is_one_of(v, param_contexts)) return OK;
		return err_set(info, ERR_BAD_FIELD, "params.%s must be %s", r->name, r->what);
	case PK_OBJECT:
		if (json_type(v) == JSON_OBJ) return OK;
		return err_set(info, ERR_BAD_FIELD, "params.%s must be an object: a %s", r->name, r->what);
	case PK_TOOLS:
		if (is_tools(v, r->hi)) return OK;
		return err_set(
			info, ERR_BAD_FIELD,
			"params.%s must be 1 to %.0f objects {name, description, parameters}; a name has 1 to 64 "
			"letters, digits, _ and -",
			r->name, r->hi);
	case PK_INT:
		if (!json_int(v, &i)) return err_set(info, ERR_BAD_FIELD, "params.%s must be a whole number", r->name);
		break;
	case PK_REAL: break;
	}
	if (json_real(v, &d) && d >= r->lo && d <= r->hi) return OK;
	return err_set(info, ERR_BAD_FIELD, "params.%s must be a number from %.0f to %.0f", r->name, r->lo, r->hi);
}

/* Whether to think, as "thinking", "thinkingBudget" or "effort" says: 1 yes, 0 no, -1 it is not given. */
static int says_think(const struct params *p, enum param k)
{
	if (!param_given(p, k)) return -1;
	if (k == P_THINKING_BUDGET) return param_int(p, k) > 0;
	if (k == P_EFFORT) return !str_eq(param_text(p, k), STR("none"));
	return !str_eq(param_thinking(p), STR("off"));
}

static void say_param(const struct params *p, enum param k, struct buf *out)
{
	buf_addf(out, "params.%s is ", param_rows[k].name);
	if (k == P_THINKING_BUDGET) buf_addf(out, "%lld", (long long)param_int(p, k));
	else buf_add_str(out, k == P_THINKING ? param_thinking(p) : param_text(p, k));
}

/* Thinking that is off beside an effort is left to the dialects: where an effort is not of thinking alone, it has a
 * meaning. */
static enum err check_thinking(const struct params *p, struct errinfo *info)
{
	static const enum param all[][2] = {
		{P_THINKING, P_EFFORT}, {P_THINKING, P_THINKING_BUDGET}, {P_EFFORT, P_THINKING_BUDGET}};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		enum param a = all[i][0], b = all[i][1];
		if (says_think(p, a) + says_think(p, b) != 1) continue;
		if (a == P_THINKING && b == P_EFFORT && says_think(p, b) == 1) continue;
		struct buf says = BUF_INIT(BUF_NO_LIMIT);
		say_param(p, a, &says);
		buf_add_str(&says, STR(", but "));
		say_param(p, b, &says);
		enum err e = err_set(info, ERR_BAD_FIELD, "%.*s; give one", STR_ARG(buf_str(&says)));
		buf_release(&says);
		return e;
	}
	return OK;
}

enum err params_read(const struct json *all, struct params *out, struct errinfo *info)
{
	*out = (struct params){.all = all};
	if (all != NULL && json_type(all) != JSON_OBJ)
		return err_set(info, ERR_BAD_FIELD, "\"params\" must be an object");
	for (struct json_iter it = json_iter(all); json_next(&it);) {
		enum param k = param_find(it.key);
		if (k == PARAM_COUNT || json_type(it.val) == JSON_NULL) continue;
		const struct param_row *r = &param_rows[k];
		if (out->at[k] != NULL)
			return err_set(info, ERR_BAD_FIELD, "params.%s and params.%s are the same; give one", r->name,
				       r->also);
		enum err e = check(r, it.val, info);
		if (e != OK) return e;
		out->at[k] = it.val;
	}
	return check_thinking(out, info);
}

struct str param_text(const struct params *p, enum param k)
{
	struct str s = STR("");
	(void)json_str(p->at[k], &s);
	return s;
}

int64_t param_int(const struct params *p, enum param k)
{
	int64_t v = 0;
	(void)json_int(p->at[k], &v);
	return v;
}

struct str param_thinking(const struct params *p)
{
	bool b;
	if (json_bool(p->at[P_THINKING], &b)) return b ? STR("on") : STR("off");
	return param_text(p, P_THINKING);
}

enum err param_effort(const struct params *p, struct str *out, struct errinfo *info)
{
	bool off = str_eq(param_thinking(p), STR("off"));
	*out = param_text(p, P_EFFORT);
	if (off && out->n > 0 && !str_eq(*out, STR("none")))
		return err_set(info, ERR_BAD_FIELD, "params.thinking is off, but params.effort is %.*s; give one",
			       STR_ARG(*out));
	if (off) *out = STR("none");
	return OK;
}

void param_put(struct jw *w, const char *wire, const struct params *p, enum param k)
{
	jw_key(w, wire);
	jw_value(w, p->at[k]);
}

void param_put_strings(struct jw *w, const char *wire, const struct params *p, enum param k)
{
	struct str s;
	jw_key(w, wire);
	if (!json_str(p->at[k], &s)) {
		jw_value(w, p->at[k]);
		return;
	}
	jw_arr(w);
	jw_str(w, s);
	jw_arr_end(w);
}

enum err params_put(struct jw *w, const struct params *p, const struct param_wire *list, size_t n, const char *api,
		    struct errinfo *info)
{
	for (size_t k = 0; k < PARAM_COUNT; k++) {
		if (p->at[k] == NULL || param_rows[k].kind == PK_CONTEXT) continue;
		size_t i = 0;
		while (i < n && list[i].param != k) i++;
		if (i == n)
			return err_set(info, ERR_BAD_FIELD, "params.%s: %s has no such parameter; leave it out",
				       param_rows[k].name, api);
		if (list[i].wire != NULL) param_put(w, list[i].wire, p, (enum param)k);
	}
	return OK;
}

enum err params_put_extras(struct jw *w, const struct params *p, const char *const *reserved, struct errinfo *info)
{
	for (struct json_iter it = json_iter(p->all); json_next(&it);) {
		if (param_find(it.key) != PARAM_COUNT) continue;
		for (const char *const *r = reserved; *r != NULL; r++)
			if (str_eq(it.key, str_c(*r)))
				return err_set(info, ERR_BAD_FIELD, "params.%s cannot be given; Roost sets it", *r);
		jw_key_str(w, it.key);
		jw_value(w, it.val);
	}
	return OK;
}
