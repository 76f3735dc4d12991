#include "provider/models.h"

#include <math.h>

#include "base/arena.h"
#include "base/clock.h"

#define MODELS_MAX 4096
#define ALIASES_MAX 32
#define PRICES_MAX 32
#define TICKS_PER_USD_A_MILLION 10000 /* 1e10 ticks a dollar, 1e6 tokens */

struct models {
	struct arena memory; /* owns every string and array */
	struct model_info *list;
	size_t n, cap;
};

static const char *const can_names[] = {
#define X(sym, name) name,
	MODEL_CAN_MAP(X)
#undef X
};

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* One entry as it is read: where it is from, for the errors. */
struct entry {
	struct models *m;
	struct model_info *to;
	struct str id;
	struct errinfo *info;
};

static enum err wrong(const struct entry *e, const char *key, const char *what)
{
	return err_set(e->info, ERR_BAD_FIELD, "the model \"%.*s\": \"%s\" %s", (int)MIN(e->id.n, (size_t)80), e->id.p,
		       key, what);
}

/* A name that may stand in an id, an URL's path and a terminal. */
static bool is_name(struct str s)
{
	if (s.n == 0 || s.n > 200) return false;
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return true;
}

static enum err read_name(const struct entry *e, const char *key, const struct json *v, void *to)
{
	struct str s;
	if (!json_str(v, &s) || !is_name(s)) return wrong(e, key, "must be 1 to 200 printable ASCII characters");
	*(struct str *)to = arena_str(&e->m->memory, s);
	return OK;
}

static enum err read_count(const struct entry *e, const char *key, const struct json *v, void *to)
{
	int64_t *out = to;
	*out = 0;
	if (json_type(v) == JSON_NULL) return OK;
	if (!json_int(v, out) || *out < 1 || *out > 1000000000)
		return wrong(e, key, "must be a whole number from 1 to 1000000000, or null");
	return OK;
}

static enum err read_bits(const struct entry *e, const char *key, const struct json *v, void *to)
{
	unsigned bits = 0;
	if (json_type(v) != JSON_ARR) return wrong(e, key, "must be an array");
	for (struct json_iter it = json_iter(v); json_next(&it);) {
		struct str s = STR("");
		size_t i = 0;
		(void)json_str(it.val, &s);
		while (i < ARRAY_LEN(can_names) && !str_eq(s, str_c(can_names[i]))) i++;
		if (i == ARRAY_LEN(can_names)) return wrong(e, key, "names something that no model has");
		bits |= 1U << i;
	}
	*(unsigned *)to = bits;
	return OK;
}

static enum err read_aliases(const struct entry *e, const char *key, const struct json *v, void *to)
{
	(void)to; /* two members are set */
	size_t n = json_len(v), i = 0;
	if (json_type(v) != JSON_ARR || n > ALIASES_MAX) return wrong(e, key, "must be an array of at most 32 names");
	struct str *list = arena_alloc(&e->m->memory, xmul(MAX(n, (size_t)1), sizeof *list));
	for (struct json_iter it = json_iter(v); json_next(&it);) {
		enum err err = read_name(e, key, it.val, &list[i++]);
		if (err != OK) return err;
	}
	e->to->aliases = list;
	e->to->naliases = n;
	return OK;
}

/* USD a million tokens; null and absent are unknown. */
static bool read_amount(const struct json *price, const char *key, int64_t *out)
{
	const struct json *v = json_get(price, key);
	double usd;
	*out = -1;
	if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL) return true;
	if (!json_real(v, &usd) || !(usd >= 0) || usd > 1000) return false;
	*out = llround(usd * TICKS_PER_USD_A_MILLION);
	return true;
}

static enum err read_prices(const struct entry *e, const char *key, const struct json *v, void *to)
{
	(void)to; /* two members are set */
	size_t n = json_len(v), i = 0;
	if (json_type(v) != JSON_ARR || n > PRICES_MAX) return wrong(e, key, "must be an array of at most 32 prices");
	struct model_price *list = arena_alloc(&e->m->memory, xmul(MAX(n, (size_t)1), sizeof *list));
	for (struct json_iter it = json_iter(v); json_next(&it); i++) {
		struct model_price *p = &list[i];
		struct str day = STR("");
		char from[32];
		(void)json_str(json_get(it.val, "from"), &day);
		(void)snprintf(from, sizeof from, "%.*sT00:00:00Z", (int)MIN(day.n, (size_t)10), day.p);
		if (day.n != 10 || !time_parse(str_c(from), &p->from_ms) || (i > 0 && p->from_ms <= p[-1].from_ms))
			return wrong(e, key, "must each have a day \"from\" (2026-03-22), the oldest first");
		if (!read_amount(it.val, "input", &p->input) || !read_amount(it.val, "output", &p->output) ||
		    !read_amount(it.val, "cacheRead", &p->cache_read) ||
		    !read_amount(it.val, "cacheWrite", &p->cache_write))
			return wrong(e, key, "must be USD a million tokens, 0 to 1000, or null");
	}
	e->to->prices = list;
	e->to->nprices = n;
	return OK;
}

static enum err read_status(const struct entry *e, const char *key, const struct json *v, void *to)
{
	struct str s = STR("");
	(void)json_str(v, &s);
	*(bool *)to = str_eq(s, STR("retired"));
	return *(bool *)to || str_eq(s, STR("active")) ? OK : wrong(e, key, "must be active or retired");
}

static enum err read_title(const struct entry *e, const char *key, const struct json *v, void *to)
{
	struct str s;
	if (!json_str(v, &s) || s.n == 0 || s.n > 200) return wrong(e, key, "must be a string of 1 to 200 bytes");
	*(struct str *)to = arena_str(&e->m->memory, s);
	return OK;
}

static enum err read_id(const struct entry *e, const char *key, const struct json *v, void *to)
{
	(void)e;
	(void)key;
	(void)v;
	(void)to; /* read_entry did it */
	return OK;
}

static const struct member {
	const char *name;
	enum err (*read)(const struct entry *e, const char *key, const struct json *v, void *to);
	size_t offset; /* in struct model_info */
} members[] = {
	{"id", read_id, 0},
	{"wire", read_name, offsetof(struct model_info, wire)},
	{"title", read_title, offsetof(struct model_info, title)},
	{"dialect", read_name, offsetof(struct model_info, dialect)},
	{"family", read_name, offsetof(struct model_info, family)},
	{"aliases", read_aliases, 0},
	{"window", read_count, offsetof(struct model_info, window)},
	{"maxOutput", read_count, offsetof(struct model_info, max_output)},
	{"can", read_bits, offsetof(struct model_info, can)},
	{"cannot", read_bits, offsetof(struct model_info, cannot)},
	{"prices", read_prices, 0},
	{"status", read_status, offsetof(struct model_info, retired)},
};

static enum err read_member(const struct entry *e, struct str name, const struct json *v)
{
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (str_eq(name, str_c(members[i].name)))
			return members[i].read(e, members[i].name, v, (char *)e->to + members[i].offset);
	return err_set(e->info, ERR_BAD_FIELD, "the model \"%.*s\" has a member \"%.*s\", which means nothing",
		       (int)MIN(e->id.n, (size_t)80), e->id.p, (int)MIN(name.n, (size_t)40), name.p);
}

static struct model_info *find_id(const struct models *m, struct str id)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq(m->list[i].id, id)) return &m->list[i];
	return NULL;
}

static enum err read_entry(struct models *m, const struct json *o, bool own, struct errinfo *info)
{
	struct entry e = {.m = m, .id = STR(""), .info = info};
	(void)json_str(json_get(o, "id"), &e.id);
	struct str provider, name;
	(void)model_split(e.id, &provider, &name);
	if (!is_name(e.id) || provider.n == 0 || name.n == 0)
		return wrong(&e, "id", "must be PROVIDER:MODEL in printable ASCII characters");
	e.to = find_id(m, e.id);
	if (e.to != NULL && (!own || e.to->overrides)) return wrong(&e, "id", "stands there twice");
	if (e.to == NULL && m->n == MODELS_MAX) return wrong(&e, "id", "is one too many; there may be 4096 models");
	if (e.to == NULL && m->n == m->cap) {
		m->cap = MAX(m->cap * 2, (size_t)64);
		m->list = xrealloc(m->list, xmul(m->cap, sizeof *m->list));
	}
	if (e.to == NULL) {
		e.to = &m->list[m->n++];
		*e.to = (struct model_info){.id = arena_str(&m->memory, e.id)};
		(void)model_split(e.to->id, &e.to->provider, &e.to->name);
		e.to->wire = e.to->title = e.to->name;
		e.to->dialect = e.to->family = STR("");
	}
	e.to->overrides = own;
	for (struct json_iter it = json_iter(o); json_next(&it);) {
		enum err err = read_member(&e, it.key, it.val);
		if (err != OK) return err;
	}
	if ((e.to->can & e.to->cannot) != 0) return wrong(&e, "cannot", "says the opposite of \"can\"");
	return OK;
}

static enum err read_file(struct models *m, struct str text, bool own, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	enum err e = json_parse(text, &doc, info);
	const struct json *list = json_get(json_root(doc), "models");
	if (e == OK && json_type(list) != JSON_ARR)
		e = err_set(info, ERR_BAD_FIELD, "it must be an object with an array \"models\"");
	for (struct json_iter it = json_iter(list); e == OK && json_next(&it);) e = read_entry(m, it.val, own, info);
	json_free(doc);
	return e;
}

enum err models_new(struct str built_in, struct str own, struct models **out, struct errinfo *info)
{
	struct models *m = xcalloc(1, sizeof *m);
	enum err e = read_file(m, built_in, false, info);
	if (e == OK && own.p != NULL) e = read_file(m, own, true, info);
	*out = m;
	if (e == OK) return OK;
	models_free(m);
	*out = NULL;
	return e;
}

void models_free(struct models *m)
{
	if (m == NULL) return;
	arena_clear(&m->memory);
	free(m->list);
	free(m);
}

size_t models_count(const struct models *m) { return m->n; }

const struct model_info *models_at(const struct models *m, size_t i)
{
	ASSERT_CMP(i, <, m->n);
	return &m->list[i];
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static bool is_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The number that begins there; how many digits it has. */
static size_t number_at(struct str s, size_t at, int64_t *out)
{
	size_t n = 0;
	for (*out = 0; at + n < s.n && is_digit(s.p[at + n]); n++)
		if (n < 9) *out = *out * 10 + (s.p[at + n] - '0');
	return n;
}

/* The version in what follows a family's name: "-opus-4.7" is 4.7, "-3-5-haiku" 3.5, "-4o" 4. Numbers of more than two
 * digits are days ("-20250514") and numbers before a "b" are sizes ("-27b"). In thousandths; 0 none. */
static int64_t version_in(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		int64_t major = 0, minor = 0;
		size_t digits = number_at(s, i, &major), end = i + digits;
		bool is_size = end < s.n && (s.p[end] | 0x20) == 'b';
		if ((digits == 1 || digits == 2) && !is_size) {
			bool joined = end < s.n && (s.p[end] == '.' || s.p[end] == '-');
			size_t more = joined ? number_at(s, end + 1, &minor) : 0;
			bool is_word = joined && end + 1 + more < s.n && is_letter(s.p[end + 1 + more]);
			return major * 1000 + (more > 0 && more <= 2 && !is_word ? minor : 0);
		}
		i += digits;
	}
	return 0;
}

/* Where `word` stands in `name` as a component of its own; a number may follow it at once ("qwen3"). */
static bool find_component(struct str name, struct str word, struct str *rest)
{
	for (size_t i = 0; i + word.n <= name.n; i++) {
		size_t end = i + word.n;
		if (!str_eq_nocase(str_n(name.p + i, word.n), word)) continue;
		if (i > 0 && (is_letter(name.p[i - 1]) || is_digit(name.p[i - 1]))) continue;
		if (end < name.n && (is_letter(name.p[end]) || (is_digit(name.p[end]) && is_digit(name.p[end - 1]))))
			continue;
		*rest = str_n(name.p + end, name.n - end);
		return true;
	}
	return false;
}

static bool is_alias(const struct model_info *m, struct str asked)
{
	for (size_t i = 0; m != NULL && i < m->naliases; i++)
		if (str_eq_nocase(m->aliases[i], asked)) return true;
	return false;
}

struct model_match model_match(struct str asked, struct str name, struct str wire, const struct model_info *about)
{
	struct model_match match = {.how = MATCH_NONE, .len = name.n};
	struct str rest = STR("");
	if (asked.n == 0) return match;
	if (str_eq(asked, name) || str_eq(asked, wire)) match.how = MATCH_ID;
	else if (is_alias(about, asked)) match.how = MATCH_ALIAS;
	else if ((about == NULL || !about->retired) && find_component(name, asked, &rest)) match.how = MATCH_FAMILY;
	if (match.how == MATCH_FAMILY) match.version = version_in(rest);
	return match;
}

bool model_match_better(struct model_match a, struct model_match b)
{
	if (a.how != b.how) return a.how > b.how;
	if (a.how != MATCH_FAMILY) return false;
	return a.version != b.version ? a.version > b.version : a.len < b.len;
}

const struct model_info *models_of(const struct models *m, struct str provider, struct str wire)
{
	const struct model_info *by_name = NULL;
	for (size_t i = 0; i < m->n; i++) {
		const struct model_info *at = &m->list[i];
		if (!str_eq(at->provider, provider)) continue;
		if (str_eq(at->wire, wire)) return at;
		if (str_eq(at->name, wire) || is_alias(at, wire)) by_name = at;
	}
	return by_name;
}

/* What the person said about a model comes first, where it fits as well. */
const struct model_info *models_resolve(const struct models *m, struct str asked)
{
	const struct model_info *best = NULL;
	struct model_match best_match = {.how = MATCH_NONE};
	for (size_t i = 0; i < m->n; i++) {
		const struct model_info *at = &m->list[i];
		struct str rest = asked;
		bool prefixed =
			asked.n > at->provider.n && asked.p[at->provider.n] == ':' && str_starts(asked, at->provider);
		if (prefixed) rest = str_n(asked.p + at->provider.n + 1, asked.n - at->provider.n - 1);
		struct model_match match = model_match(rest, at->name, at->wire, at);
		if (match.how == MATCH_NONE && prefixed) match = model_match(asked, at->name, at->wire, at);
		bool first = best != NULL && at->overrides && !best->overrides && match.how == best_match.how &&
			     match.how > MATCH_FAMILY;
		if (first || model_match_better(match, best_match)) {
			best = at;
			best_match = match;
		}
	}
	return best;
}

/* ---- one model --------------------------------------------------------------------------------------------------- */

const struct model_price *model_price(const struct model_info *m, int64_t now_ms)
{
	for (size_t i = m != NULL ? m->nprices : 0; i > 0; i--)
		if (m->prices[i - 1].from_ms <= now_ms) return &m->prices[i - 1];
	return NULL;
}

/* Parameters that one bit decides. */
static const struct {
	enum param param;
	unsigned needs;
} param_needs[] = {
	{P_TEMPERATURE, CAN_SAMPLING},
	{P_TOP_P, CAN_SAMPLING},
	{P_TOP_K, CAN_SAMPLING},
	{P_FREQUENCY, CAN_PENALTIES},
	{P_PRESENCE, CAN_PENALTIES},
	{P_STOP, CAN_STOP},
	{P_SEED, CAN_SEED},
	{P_EFFORT, CAN_EFFORT},
	{P_THINKING_BUDGET, CAN_THINK_BUDGET},
	{P_SCHEMA, CAN_SCHEMA},
	{P_TOOLS, CAN_TOOLS},
	{P_SYSTEM, CAN_SYSTEM},
};

/* thinking and effort "none" mean the same switch. "on" needs some way to think. */
static enum err check_thinking(const struct model_info *m, const struct params *p, struct errinfo *info)
{
	const unsigned ways = CAN_EFFORT | CAN_THINK_BUDGET | CAN_THINK_ADAPT;
	struct str t = param_thinking(p);
	const char *what = NULL;
	if (str_eq(t, STR("off")) && model_cannot(m, CAN_THINK_OFF)) what = "it cannot be switched off";
	else if (str_eq(t, STR("adaptive")) && model_cannot(m, CAN_THINK_ADAPT)) what = "adaptive is not for it";
	else if (str_eq(t, STR("on")) && (m->cannot & ways) == ways) what = "it does not think";
	else if (str_eq(param_text(p, P_EFFORT), STR("none")) && model_cannot(m, CAN_THINK_OFF))
		return err_set(info, ERR_BAD_FIELD, "params.effort is none, but %.*s always thinks", STR_ARG(m->id));
	if (what == NULL) return OK;
	return err_set(info, ERR_BAD_FIELD, "params.thinking is %.*s, but of %.*s is known: %s", STR_ARG(t),
		       STR_ARG(m->id), what);
}

static enum err check_messages(const struct model_info *m, const struct call_message *list, size_t n,
			       struct errinfo *info)
{
	for (size_t i = 0; i < n; i++) {
		if (model_cannot(m, CAN_SYSTEM) && str_eq(list[i].role, STR("system")))
			return err_set(info, ERR_BAD_FIELD, "%.*s takes no system prompt", STR_ARG(m->id));
		for (size_t k = 0; k < list[i].nparts; k++) {
			enum part_kind kind = list[i].parts[k].kind;
			if (kind == PART_IMAGE && model_cannot(m, CAN_IMAGES))
				return err_set(info, ERR_BAD_FIELD, "%.*s takes no images", STR_ARG(m->id));
			if (kind == PART_FILE && model_cannot(m, CAN_FILES))
				return err_set(info, ERR_BAD_FIELD, "%.*s takes no files", STR_ARG(m->id));
		}
	}
	return OK;
}

enum err model_check(const struct model_info *about, const struct params *params, const struct call_message *messages,
		     size_t nmessages, struct errinfo *info)
{
	if (about == NULL) return OK;
	for (size_t i = 0; i < ARRAY_LEN(param_needs); i++) {
		enum param k = param_needs[i].param;
		if (param_given(params, k) && model_cannot(about, param_needs[i].needs))
			return err_set(info, ERR_BAD_FIELD, "params.%s: %.*s does not take it; leave it out",
				       param_rows[k].name, STR_ARG(about->id));
	}
	if (param_given(params, P_MAX_TOKENS) && about->max_output > 0 &&
	    param_int(params, P_MAX_TOKENS) > about->max_output)
		return err_set(info, ERR_BAD_FIELD, "params.maxTokens is %lld, but %.*s says at most %lld tokens",
			       (long long)param_int(params, P_MAX_TOKENS), STR_ARG(about->id),
			       (long long)about->max_output);
	enum err e = check_thinking(about, params, info);
	return e == OK ? check_messages(about, messages, nmessages, info) : e;
}

/* ---- for people -------------------------------------------------------------------------------------------------- */

static void put_count(struct jw *w, const char *key, int64_t n)
{
	jw_key(w, key);
	if (n > 0) jw_int(w, n);
	else jw_null(w);
}

static void put_amount(struct jw *w, const char *key, int64_t ticks)
{
	jw_key(w, key);
	if (ticks >= 0) jw_real(w, (double)ticks / TICKS_PER_USD_A_MILLION);
	else jw_null(w);
}

static void put_bits(struct jw *w, const char *key, unsigned bits)
{
	jw_key(w, key);
	jw_arr(w);
	for (size_t i = 0; i < ARRAY_LEN(can_names); i++)
		if ((bits >> i & 1) != 0) jw_str(w, str_c(can_names[i]));
	jw_arr_end(w);
}

void model_write(struct jw *w, const struct model_info *about, int64_t now_ms)
{
	static const struct model_info nothing;
	const struct model_info *m = about != NULL ? about : &nothing;
	const struct model_price *price = model_price(m, now_ms);
	jw_key(w, "title");
	if (m->title.n > 0) jw_str(w, m->title);
	else jw_null(w);
	put_count(w, "window", m->window);
	put_count(w, "maxOutput", m->max_output);
	jw_key(w, "price");
	if (price != NULL) {
		jw_obj(w);
		put_amount(w, "input", price->input);
		put_amount(w, "output", price->output);
		put_amount(w, "cacheRead", price->cache_read);
		put_amount(w, "cacheWrite", price->cache_write);
		jw_obj_end(w);
	} else {
		jw_null(w);
	}
	put_bits(w, "can", m->can);
	put_bits(w, "cannot", m->cannot);
	jw_key(w, "aliases");
	jw_arr(w);
	for (size_t i = 0; i < m->naliases; i++) jw_str(w, m->aliases[i]);
	jw_arr_end(w);
	jw_kstr(w, "status", m->retired ? STR("retired") : STR("active"));
}
