#include "host/inquiry.h"

#include "base/clock.h"

#define AGAIN_MS 1000 /* a command that met a full disk is tried again this much later */

struct inquiry {
	struct inquiries *all;
	struct provider_call *call; /* NULL: nobody is to be told */
	char *question_id;          /* the agent's */
	char *permission_id;        /* NULL: not on record yet */
	char *tool, *input;
	int64_t row;
	int64_t due_boot_ms; /* 0: not waiting, a command is under way */
	bool withdrawn;
	struct cmd_permission_ask ask;
	struct cmd_permission_expire expire;
	LIST_ENTRY(inquiry) link;
};

static void rearm(struct inquiries *all);

static void inquiry_free(struct inquiry *q)
{
	LIST_REMOVE(q, link);
	free(q->question_id);
	free(q->permission_id);
	free(q->tool);
	free(q->input);
	free(q);
}

static void answer(struct inquiry *q, bool allow, struct str message)
{
	struct provider_call *call = q->call;
	q->call = NULL;
	if (call != NULL && !q->withdrawn) provider_call_answer(call, str_c(q->question_id), allow, message);
}

/* ---- the end of the waiting -------------------------------------------------------------------------------------- */

static void expire_done(struct store_op *op)
{
	struct inquiry *q = op->ctx;
	bool again = err_retryable(op->err) && q->call != NULL && !q->all->stopping;
	if (op->err == OK && q->expire.expired) answer(q, false, STR("nobody answered in time"));
	store_op_release(op);
	if (again) {
		q->due_boot_ms = clock_boot_ms() + AGAIN_MS;
		rearm(q->all);
	} else {
		inquiry_free(q);
	}
}

static void expire(struct inquiry *q)
{
	q->due_boot_ms = 0;
	store_op_init(&q->expire.op, cmd_permission_expire_run, expire_done, 0, clock_wall_ms());
	q->expire.op.ctx = q;
	q->expire.op.repeatable = true;
	q->expire.row = q->row;
	q->expire.permission_id = str_c(q->permission_id);
	store_submit(q->all->store, &q->expire.op);
}

static void on_timer(uv_timer_t *t)
{
	struct inquiries *all = t->data;
	struct inquiry *q;
	int64_t now = clock_boot_ms();
	if (all->stopping) return;
	LIST_FOREACH (q, &all->list, link)
		if (q->due_boot_ms != 0 && q->due_boot_ms <= now) expire(q);
	rearm(all);
}

static void rearm(struct inquiries *all)
{
	const struct inquiry *q;
	int64_t first = INT64_MAX;
	LIST_FOREACH (q, &all->list, link)
		if (q->due_boot_ms != 0) first = MIN(first, q->due_boot_ms);
	if (first == INT64_MAX || all->stopping) return;
	uv_timer_start(&all->timer, on_timer, (uint64_t)MAX(0, first - clock_boot_ms()), 0);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void ask_done(struct store_op *op)
{
	struct inquiry *q = op->ctx;
	enum err e = op->err;
	if (e == OK) q->permission_id = str_dup(q->ask.permission_id);
	if (e != OK) answer(q, false, str_c(err_sentence(&op->info, e)));
	store_op_release(op);
	if (q->call == NULL || q->all->stopping) {
		inquiry_free(q);
		return;
	}
	q->due_boot_ms = clock_boot_ms() + q->all->limits->permission_ms;
	if (q->withdrawn) expire(q);
	else rearm(q->all);
}

void inquiry_open(struct inquiries *all, struct provider_call *call, const struct call_question *asked, int64_t row,
		  int64_t attempt)
{
	struct inquiry *q = xcalloc(1, sizeof *q);
	*q = (struct inquiry){.all = all, .call = call, .row = row};
	q->question_id = str_dup(asked->id);
	q->tool = str_dup(asked->tool);
	q->input = str_dup(asked->input);
	LIST_INSERT_HEAD(&all->list, q, link);
	store_op_init(&q->ask.op, cmd_permission_ask_run, ask_done, 0, clock_wall_ms());
	q->ask.op.ctx = q;
	q->ask.op.repeatable = true;
	q->ask.op.bytes = sizeof *q + asked->input.n;
	q->ask.row = row;
	q->ask.attempt = attempt;
	q->ask.incarnation = store_incarnation(all->store);
	q->ask.tool = str_c(q->tool);
	q->ask.input = str_c(q->input);
	q->ask.wait_ms = all->limits->permission_ms;
	store_submit(all->store, &q->ask.op);
}

void inquiry_withdraw(struct inquiries *all, const struct provider_call *call, struct str question_id)
{
	struct inquiry *q, *next;
	for (q = LIST_FIRST(&all->list); q != NULL; q = next) {
		next = LIST_NEXT(q, link);
		if (q->call != call || !str_eq(question_id, str_c(q->question_id))) continue;
		q->withdrawn = true;
		if (q->due_boot_ms != 0) expire(q);
	}
}

void inquiries_forget(struct inquiries *all, const struct provider_call *call)
{
	struct inquiry *q, *next;
	for (q = LIST_FIRST(&all->list); q != NULL; q = next) {
		next = LIST_NEXT(q, link);
		if (q->call != call) continue;
		q->call = NULL;
		if (q->due_boot_ms != 0) inquiry_free(q);
	}
}

void inquiry_answered(struct inquiries *all, struct str permission_id, bool allow, struct str message)
{
	struct inquiry *q;
	LIST_FOREACH (q, &all->list, link)
		if (q->permission_id != NULL && str_eq(permission_id, str_c(q->permission_id))) break;
	if (q == NULL) return;
	answer(q, allow, message);
	if (q->due_boot_ms != 0) inquiry_free(q); /* else a command is under way, which does it */
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void inquiries_init(struct inquiries *all, uv_loop_t *loop, struct store *store, const struct limits *limits)
{
	*all = (struct inquiries){.store = store, .limits = limits};
	LIST_INIT(&all->list);
	uv_timer_init(loop, &all->timer);
	all->timer.data = all;
}

void inquiries_stop(struct inquiries *all)
{
	struct inquiry *q, *next;
	all->stopping = true;
	uv_timer_stop(&all->timer);
	for (q = LIST_FIRST(&all->list); q != NULL; q = next) {
		next = LIST_NEXT(q, link);
		q->call = NULL;
		if (q->due_boot_ms != 0) inquiry_free(q);
	}
}
