/* GET usage, GET budget and POST budget: what users spent and may spend (relay/budget.h). */
#include "server/operator.h"

struct usage_walk {
	struct txn *t;
	struct ask *a;
	struct str day, user; /* "" all */
	struct user_row at;   /* the user whose records are shown */
	bool found;
};

static enum err write_day(void *ctx, const struct record *r)
{
	struct usage_walk *k = ctx;
	struct json_doc *doc = NULL;
	if (k->day.n > 0 && !str_eq(r->name, k->day)) return OK;
	if (json_parse(r->fields, &doc, NULL) != OK) return ERR_CORRUPT;
	for (struct json_iter rows = json_iter(json_get(json_root(doc), "rows")); json_next(&rows);) {
		jw_obj(&k->a->w);
		jw_kstr(&k->a->w, "day", r->name);
		jw_kstr(&k->a->w, "user", k->at.name);
		for (struct json_iter it = json_iter(rows.val); json_next(&it);) {
			jw_key_str(&k->a->w, it.key);
			jw_value(&k->a->w, it.val);
		}
		jw_obj_end(&k->a->w);
	}
	json_free(doc);
	return OK;
}

static enum err write_user(void *ctx, const struct user_row *u)
{
	struct usage_walk *k = ctx;
	struct query q = {.type = STR("Spend")};
	struct str next = STR_NONE;
	uint32_t zone;
	if (k->user.n > 0 && !str_eq(k->user, u->name) && !str_eq(k->user, u->id)) return OK;
	k->found = true;
	k->at = *u;
	enum err e = txn_zone(k->t, u->user, ZONE_USAGE, false, &zone);
	if (e == ERR_NOT_FOUND) return OK;
	do {
		q.cursor = next;
		if (e == OK) e = txn_query(k->t, zone, &q, write_day, k, &next, &k->a->u.op.info);
	} while (e == OK && next.p != NULL);
	return e;
}

static enum err usage_run(struct txn *t, struct store_op *op)
{
	struct ask *a = op->ctx;
	struct usage_walk k = {.t = t, .a = a, .day = str_c(a->day), .user = a->name};
	jw_obj(&a->w);
	jw_key(&a->w, "usage");
	jw_arr(&a->w);
	enum err e = txn_users(t, write_user, &k);
	jw_arr_end(&a->w);
	jw_obj_end(&a->w);
	if (e == OK && k.user.n > 0 && !k.found)
		return err_set(&op->info, ERR_NOT_FOUND, "there is no user %.*s", (int)MIN(k.user.n, (size_t)100),
			       k.user.p);
	return e;
}

void ask_usage(struct server *s, struct ask *a)
{
	ask_op(a, usage_run);
	(void)str_copy(http_query(a->req, "day"), a->day, sizeof a->day);
	a->name = arena_str(&a->u.op.arena, http_query(a->req, "user"));
	store_read(s->store, &a->u.op);
}

static enum err write_budget(void *ctx, const struct user_row *u)
{
	struct usage_walk *k = ctx;
	int64_t limit, spent;
	enum err e = budget_of(k->t, u->user, &k->a->server->budgets, &limit, &spent);
	if (e != OK) return e;
	jw_obj(&k->a->w);
	jw_kstr(&k->a->w, "user", u->name);
	jw_key(&k->a->w, "limitTicks");
	if (limit != BUDGET_NONE) jw_int(&k->a->w, limit);
	else jw_null(&k->a->w);
	jw_kint(&k->a->w, "spentTicks", spent);
	jw_obj_end(&k->a->w);
	return OK;
}

static enum err budgets_run(struct txn *t, struct store_op *op)
{
	struct ask *a = op->ctx;
	struct usage_walk k = {.t = t, .a = a};
	jw_obj(&a->w);
	jw_key(&a->w, "budgets");
	jw_arr(&a->w);
	enum err e = txn_users(t, write_budget, &k);
	jw_arr_end(&a->w);
	jw_obj_end(&a->w);
	return e;
}

void ask_budgets(struct server *s, struct ask *a)
{
	ask_op(a, budgets_run);
	store_read(s->store, &a->u.op);
}

static enum err budget_run(struct txn *t, struct store_op *op)
{
	struct ask *a = op->ctx;
	struct usage_walk k = {.t = t, .a = a};
	struct user_row u;
	enum err e = txn_user_find(t, a->name, &u);
	if (e == ERR_NOT_FOUND)
		return err_set(&op->info, e, "there is no user %.*s", (int)MIN(a->name.n, (size_t)100), a->name.p);
	if (e == OK) e = budget_set(t, u.user, a->n);
	return e == OK ? write_budget(&k, &u) : e;
}

void ask_budget(struct server *s, struct ask *a)
{
	struct errinfo info = {0};
	struct str amount = STR_NONE;
	a->n = BUDGET_NONE;
	if (!json_want_str(json_root(a->doc), "user", 0, &a->name, &info) ||
	    !json_want_str(json_root(a->doc), "budget", JSON_OPTIONAL, &amount, &info)) {
		ask_end(a, info.err, &info);
		return;
	}
	if (amount.p != NULL && !budget_parse(amount, &a->n)) {
		(void)err_set(&info, ERR_BAD_FIELD, "\"%.*s\" is no budget; give USD a day, as 5.00/day",
			      (int)MIN(amount.n, (size_t)40), amount.p);
		ask_end(a, ERR_BAD_FIELD, &info);
		return;
	}
	ask_op(a, budget_run);
	store_submit(s->store, &a->u.op);
}
