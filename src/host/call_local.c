#include "base/clock.h"
#include "host/call_priv.h"
#include "provider/tokens.h"

#define LOCAL_BURST 16 /* tokens at once when no speed is asked for */

static void on_tick(uv_timer_t *t);

/* Token i is due i/rate after the first, whatever the timer's resolution does. */
static void local_sleep(struct provider_call *c)
{
	int64_t wait = 1;
	if (c->plan.tokens_per_second > 0)
		wait = c->first_due_ms + (int64_t)((double)c->made * 1000 / c->plan.tokens_per_second) - call_now_ms(c);
	uv_timer_start(&c->timer, on_tick, (uint64_t)MAX(wait, 1), 0);
}

static int64_t local_due(const struct provider_call *c)
{
	if (!(c->plan.tokens_per_second > 0)) return LOCAL_BURST;
	double passed_s = (double)(call_now_ms(c) - c->first_due_ms) / 1000;
	return (int64_t)(passed_s * c->plan.tokens_per_second) + 1 - c->made;
}

/* Makes up to n tokens of one kind and tells them as one text. */
static void local_make(struct provider_call *c, int64_t n)
{
	const struct local_plan *plan = &c->plan;
	bool thinking = c->made < plan->thinking;
	int64_t all = thinking ? plan->thinking : plan->thinking + plan->tokens;
	int64_t upto = MIN(c->made + n, all);
	if (plan->fault != NULL) upto = MIN(upto, plan->fail_after);
	buf_clear(&c->piece);
	if (c->silent) buf_add_str(&c->piece, LOCAL_SILENCE);
	else
		for (int64_t i = c->made; i < upto; i++) local_text_next(&c->text, i + 1 == all, &c->piece);
	c->made = upto;
	if (c->output_bytes + (int64_t)c->piece.n > c->owner->limits->answer_bytes)
		provider_call_fail(c, ERR_PROVIDER_LIMIT, "the answer is too long", c->owner->limits->answer_bytes,
				   "answerBytes");
	else (void)call_text(c, thinking ? ANSWER_THINKING : ANSWER_TEXT, buf_str(&c->piece));
}

static void local_finish(struct provider_call *c, const struct local_fault *fault)
{
	struct call_outcome o = {.finish_reason = STR("stop"), .usage = USAGE_UNKNOWN};
	o.usage.output_tokens = c->made;
	if (fault != NULL) {
		o.err = err_set(&o.info, fault->err, "local:test was asked to fail (params.error \"%s\")", fault->name);
		o.info.retry_after_ms = fault->retry_after_ms;
		o.fail = fail_of_err(o.err);
		o.retryable = fault->retryable;
		o.finish_reason = STR("");
	}
	call_done(c, &o);
}

static void local_begin(struct provider_call *c)
{
	c->begun = true;
	c->first_due_ms = call_now_ms(c) + c->plan.delay_ms;
	if (c->hooks.connected != NULL) c->hooks.connected(c->ctx);
	if (!c->is_over && !c->paused) uv_timer_start(&c->timer, on_tick, (uint64_t)MAX(c->plan.delay_ms, 1), 0);
}

static void local_go_on(struct provider_call *c)
{
	const struct local_fault *fault = c->plan.fault;
	int64_t due = local_due(c);
	if (due > 0 && (fault == NULL || c->made < c->plan.fail_after)) local_make(c, due);
	if (c->is_over || c->paused) return;
	if (fault != NULL && c->made >= c->plan.fail_after) {
		if (fault->err == OK) call_set_deadline(c); /* silence, which the deadlines end */
		else local_finish(c, fault);
	} else if (c->made == c->plan.thinking + c->plan.tokens) {
		local_finish(c, NULL);
	} else {
		local_sleep(c);
	}
}

static void on_tick(uv_timer_t *t)
{
	struct provider_call *c = t->data;
	call_enter(c);
	if (c->begun) local_go_on(c);
	else local_begin(c);
	call_leave(c);
}

void local_pause(struct provider_call *c, bool paused)
{
	if (paused) {
		uv_timer_stop(&c->timer);
		return;
	}
	if (c->begun && c->plan.tokens_per_second > 0)
		c->first_due_ms = MAX(c->first_due_ms,
				      call_now_ms(c) - (int64_t)((double)c->made * 1000 / c->plan.tokens_per_second));
	uv_timer_start(&c->timer, on_tick, (uint64_t)MAX(c->made == 0 ? c->first_due_ms - call_now_ms(c) : 1, 1), 0);
}

enum err local_start(struct provider_call *c, const struct call_spec *spec, struct str model, struct errinfo *info)
{
	struct str last_user = STR("");
	struct json_doc *params = NULL;
	c->silent = c->provider->source == SOURCE_SILENT || str_eq(model, STR("silent"));
	c->plan = (struct local_plan){.tokens = 1};
	enum err e = spec->params.n > 0 ? json_parse(spec->params, &params, info) : OK;
	if (e == OK && !c->silent) e = local_plan(json_root(params), spec->attempt, &c->plan, info);
	json_free(params);
	if (e != OK) return e;
	for (size_t i = 0; i < spec->nmessages; i++)
		c->input_estimate += tokens_text(STR("local"), spec->messages[i].text);
	for (size_t i = 0; i < spec->nmessages; i++)
		if (str_eq(spec->messages[i].role, STR("user"))) last_user = spec->messages[i].text;
	local_text_init(&c->text, spec->seed, last_user);
	buf_init(&c->piece, BUF_NO_LIMIT);
	uv_timer_start(&c->timer, on_tick, 0, 0);
	return OK;
}
