#include "relay/budget.h"

#include "base/clock.h"
#include "provider/cost.h"

#define DAY_MS ((int64_t)86400000)
#define DAY_CAP 16
#define ROWS_MAX 256 /* a day; what comes beyond is entered under no model's name */
#define USD_MAX 100000000

enum { CALLS, INPUT, OUTPUT, THINKING, CACHE_READ, CACHE_WRITE, COST, BILLED, UNPRICED, COUNTS };
static const char *const count_names[COUNTS] = {
	[CALLS] = "calls",
	[INPUT] = "inputTokens",
	[OUTPUT] = "outputTokens",
	[THINKING] = "thinkingTokens",
	[CACHE_READ] = "cacheReadTokens",
	[CACHE_WRITE] = "cacheWriteTokens",
	[COST] = "costTicks",
	[BILLED] = "billedTicks",
	[UNPRICED] = "unpriced",
};

static struct str day_of(int64_t wall_ms, char buf[DAY_CAP])
{
	char time[TIME_TEXT_LEN + 1];
	time_format(wall_ms, time);
	(void)str_copy(str_n(time, 10), buf, DAY_CAP);
	return str_c(buf);
}

static struct str tally_name(struct str day, struct str provider, struct buf *b)
{
	buf_addf(b, "spend/%.*s/%.*s", STR_ARG(day), STR_ARG(provider));
	return buf_str(b);
}

static int64_t sum(int64_t a, int64_t b)
{
	int64_t s;
	return __builtin_add_overflow(a, b, &s) ? INT64_MAX : s;
}

static int64_t count(const struct json *row, int which)
{
	int64_t n;
	return json_int(json_get(row, count_names[which]), &n) && n > 0 ? n : 0;
}

/* ---- entering a call --------------------------------------------------------------------------------------------- */

struct entry {
	struct str provider, model;
	bool estimated;
	int64_t add[COUNTS];
};

static struct entry entry_of(struct str model, const struct call_usage *u)
{
	struct entry e = {.estimated = u->estimated};
	(void)model_split(model, &e.provider, &e.model);
	e.add[CALLS] = 1;
	e.add[INPUT] = MAX(u->input_tokens, 0);
	e.add[OUTPUT] = MAX(u->output_tokens, 0);
	e.add[THINKING] = MAX(u->thinking_tokens, 0);
	e.add[CACHE_READ] = MAX(u->cache_read_tokens, 0);
	e.add[CACHE_WRITE] = MAX(u->cache_write_tokens, 0);
	e.add[COST] = MAX(u->cost_ticks, 0);
	e.add[BILLED] = u->is_billed ? e.add[COST] : 0;
	e.add[UNPRICED] = u->cost_ticks < 0;
	return e;
}

static bool row_is(const struct json *row, const struct entry *e)
{
	struct str provider = STR(""), model = STR("");
	bool estimated = false;
	(void)json_str(json_get(row, "provider"), &provider);
	(void)json_str(json_get(row, "model"), &model);
	(void)json_bool(json_get(row, "estimated"), &estimated);
	return str_eq(provider, e->provider) && str_eq(model, e->model) && estimated == e->estimated;
}

/* A row with the call in it; `row` NULL: its first. */
static void write_row(struct jw *w, const struct json *row, const struct entry *e)
{
	jw_obj(w);
	jw_kstr(w, "provider", e->provider);
	jw_kstr(w, "model", e->model);
	jw_kbool(w, "estimated", e->estimated);
	for (int i = 0; i < COUNTS; i++) jw_kint(w, count_names[i], sum(count(row, i), e->add[i]));
	jw_obj_end(w);
}

static void write_day(struct jw *w, struct str day, const struct json *rows, struct entry *e)
{
	bool found = false;
	for (struct json_iter it = json_iter(rows); !found && json_next(&it);) found = row_is(it.val, e);
	if (!found && json_len(rows) >= ROWS_MAX) e->model = STR("");
	found = false;
	jw_obj(w);
	jw_kstr(w, "day", day);
	jw_key(w, "rows");
	jw_arr(w);
	for (struct json_iter it = json_iter(rows); json_next(&it);) {
		bool is_it = !found && row_is(it.val, e);
		found |= is_it;
		if (is_it) write_row(w, it.val, e);
		else jw_value(w, it.val);
	}
	if (!found) write_row(w, NULL, e);
	jw_arr_end(w);
	jw_obj_end(w);
}

/* The day's record; a new one has row 0. */
static enum err get_day(struct txn *t, uint32_t zone, struct str day, struct record *r, struct json_doc **doc)
{
	*doc = NULL;
	enum err e = txn_get(t, zone, RT_SPEND, day, r);
	if (e == ERR_NOT_FOUND) *r = (struct record){.zone = zone, .type = RT_SPEND, .name = day};
	if (e == ERR_NOT_FOUND) return OK;
	return e == OK && json_parse(r->fields, doc, NULL) != OK ? ERR_CORRUPT : e;
}

enum err budget_spend(struct txn *t, int64_t user, struct str model, const struct call_usage *usage)
{
	char day_buf[DAY_CAP];
	struct str day = day_of(txn_now_ms(t), day_buf);
	struct buf b = BUF_INIT(BUF_NO_LIMIT), name = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	struct json_doc *doc = NULL;
	struct entry entry = entry_of(model, usage);
	struct record r;
	uint32_t zone;
	if (usage->input_tokens < 0 && usage->output_tokens < 0 && usage->cost_ticks < 0) return OK;
	enum err e = txn_zone(t, user, ZONE_USAGE, true, &zone);
	if (e == OK) e = get_day(t, zone, day, &r, &doc);
	if (e == OK) {
		write_day(&w, day, json_get(json_root(doc), "rows"), &entry);
		r.fields = arena_str(txn_arena(t), buf_str(&b));
		e = txn_put(t, &r);
	}
	if (e == OK && entry.add[COST] > 0)
		e = txn_tally_add(t, tally_name(day, entry.provider, &name), entry.add[COST]);
	json_free(doc);
	buf_release(&name);
	buf_release(&b);
	return e;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

static enum err spent_by_user(struct txn *t, uint32_t zone, int64_t *out)
{
	char day_buf[DAY_CAP];
	struct json_doc *doc;
	struct record r;
	*out = 0;
	enum err e = get_day(t, zone, day_of(txn_now_ms(t), day_buf), &r, &doc);
	for (struct json_iter it = json_iter(json_get(json_root(doc), "rows")); e == OK && json_next(&it);)
		*out = sum(*out, count(it.val, COST));
	json_free(doc);
	return e;
}

/* The operator's word; *out is left when there is none. */
static enum err own_budget(struct txn *t, uint32_t zone, struct record *r, int64_t *out)
{
	struct json_doc *doc = NULL;
	enum err e = txn_get(t, zone, RT_BUDGET, STR("day"), r);
	if (e == ERR_NOT_FOUND) *r = (struct record){.zone = zone, .type = RT_BUDGET, .name = STR("day")};
	if (e == ERR_NOT_FOUND) return OK;
	if (e == OK && json_parse(r->fields, &doc, NULL) != OK) e = ERR_CORRUPT;
	if (e == OK) (void)json_int(json_get(json_root(doc), "ticks"), out);
	json_free(doc);
	return e;
}

enum err budget_of(struct txn *t, int64_t user, const struct budgets *b, int64_t *out_limit, int64_t *out_spent)
{
	uint32_t zone;
	struct record r;
	*out_limit = b != NULL ? b->user_ticks : BUDGET_NONE;
	*out_spent = 0;
	enum err e = txn_zone(t, user, ZONE_USAGE, false, &zone);
	if (e == ERR_NOT_FOUND) return OK;
	if (e == OK) e = own_budget(t, zone, &r, out_limit);
	return e == OK ? spent_by_user(t, zone, out_spent) : e;
}

static enum err refuse(struct txn *t, struct overspent *o, struct errinfo *info)
{
	char time[TIME_TEXT_LEN + 1];
	struct buf b = BUF_INIT(240);
	int64_t now = txn_now_ms(t);
	o->renews_ms = now - now % DAY_MS + DAY_MS;
	time_format(o->renews_ms, time);
	if (o->provider.p != NULL)
		buf_addf(&b, "the budget of %.*s, ", (int)MIN(o->provider.n, (size_t)60), o->provider.p);
	else buf_addf(&b, "your budget, ");
	budget_write(&b, o->limit_ticks);
	buf_addf(&b, " a day, is spent (");
	budget_write(&b, o->spent_ticks);
	buf_addf(&b, "); it renews at %s", time);
	enum err e = err_set(info, ERR_BUDGET, "%.*s", STR_ARG(buf_str(&b)));
	buf_release(&b);
	return e;
}

enum err budget_check(struct txn *t, int64_t user, struct str model, const struct budgets *b, struct overspent *out,
		      struct errinfo *info)
{
	char day_buf[DAY_CAP];
	struct str day = day_of(txn_now_ms(t), day_buf), provider, name;
	(void)model_split(model, &provider, &name);
	*out = (struct overspent){.provider = STR_NONE};
	enum err e = budget_of(t, user, b, &out->limit_ticks, &out->spent_ticks);
	if (e != OK) return e;
	if (out->limit_ticks != BUDGET_NONE && out->spent_ticks >= out->limit_ticks) return refuse(t, out, info);
	for (size_t i = 0; b != NULL && i < b->nproviders; i++) {
		if (!str_eq(b->providers[i].provider, provider)) continue;
		struct buf tally = BUF_INIT(BUF_NO_LIMIT);
		*out = (struct overspent){.provider = b->providers[i].provider, .limit_ticks = b->providers[i].ticks};
		e = txn_tally(t, tally_name(day, provider, &tally), &out->spent_ticks);
		buf_release(&tally);
		if (e != OK) return e;
		if (out->spent_ticks >= out->limit_ticks) return refuse(t, out, info);
	}
	return OK;
}

enum err budget_set(struct txn *t, int64_t user, int64_t ticks)
{
	uint32_t zone;
	struct record r;
	int64_t before = BUDGET_NONE;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	enum err e = txn_zone(t, user, ZONE_USAGE, true, &zone);
	if (e == OK) e = own_budget(t, zone, &r, &before);
	if (e != OK || before == ticks) return e;
	jw_obj(&w);
	if (ticks != BUDGET_NONE) jw_kint(&w, "ticks", ticks);
	jw_obj_end(&w);
	r.fields = arena_str(txn_arena(t), buf_str(&b));
	buf_release(&b);
	return txn_put(t, &r);
}

/* ---- amounts ----------------------------------------------------------------------------------------------------- */

bool budget_parse(struct str text, int64_t *out_ticks)
{
	struct str day = STR("/day");
	int64_t usd = 0, part = 0, unit = TICKS_PER_USD;
	size_t i = 0, digits = 0;
	if (text.n > 0 && text.p[0] == '$') text = str_n(text.p + 1, text.n - 1);
	if (text.n > day.n && str_eq(str_n(text.p + text.n - day.n, day.n), day)) text.n -= day.n;
	for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && usd <= USD_MAX; i++, digits++)
		usd = usd * 10 + (text.p[i] - '0');
	bool has_point = i < text.n && text.p[i] == '.';
	for (i += has_point; has_point && i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && unit > 1;
	     i++, digits++) {
		unit /= 10;
		part += unit * (text.p[i] - '0');
	}
	bool is_amount = digits > 0 && i == text.n && usd < USD_MAX;
	*out_ticks = is_amount ? usd * TICKS_PER_USD + part : 0;
	return is_amount;
}

void budget_write(struct buf *out, int64_t ticks)
{
	char digits[16];
	(void)snprintf(digits, sizeof digits, "%010lld", (long long)(ticks % TICKS_PER_USD));
	size_t n = 10;
	while (n > 2 && digits[n - 1] == '0') n--;
	buf_addf(out, "$%lld.%.*s", (long long)(ticks / TICKS_PER_USD), (int)n, digits);
}
