/* A call is one of two kinds. A remote one is an HTTP call whose body runs through a dialect's parser; a local one is a
 * timer that makes tokens. Both have one uv_timer: the remote one's looks after the deadlines, and since a deadline
 * mostly moves away it is not set again for every token; it fires, sees that there was text meanwhile, and sleeps on.
 *
 * Whoever gets a callback may cancel the call. Then the connection is closed at once, but the memory stays until the
 * frames of the stack that stand in it have returned (`depth`) and libuv has let go of the timer. */
#include "host/call.h"

#include "base/clock.h"
#include "host/call_priv.h"
#include "host/catalog.h"
#include "provider/answer.h"
#include "provider/cost.h"
#include "provider/tokens.h"

#define POLITE_MS 250 /* how long a complete answer's connection may take to end by itself */

/* ---- life of a call ---------------------------------------------------------------------------------------------- */

static void on_call_closed(uv_handle_t *h)
{
	struct provider_call *c = h->data;
	remote_free(c);
	exec_free(c);
	buf_release(&c->piece);
	free(c);
}

/* Lets go of everything but the memory, which goes when nobody stands in it. */
static void call_end(struct provider_call *c)
{
	if (c->is_over) return;
	c->is_over = true;
	remote_let_go(c);
	exec_let_go(c);
	uv_timer_stop(&c->timer);
	TAILQ_REMOVE(&c->owner->calls, c, link);
}

void call_enter(struct provider_call *c) { c->depth++; }

void call_leave(struct provider_call *c)
{
	if (--c->depth > 0 || !c->is_over) return;
	uv_close((uv_handle_t *)&c->timer, on_call_closed);
}

void provider_call_cancel(struct provider_call *c)
{
	call_enter(c);
	call_end(c);
	call_leave(c);
}

/* What the provider did not tell is estimated; what it costs is known when its price is. Of an answer that broke off some
 * tell what it came to at its beginning, which is next to nothing. */
static void settle_usage(const struct provider_call *c, bool broke_off, struct call_usage *u)
{
	struct str family = c->about != NULL ? c->about->family : STR_NONE;
	int64_t output = tokens_of_weight(family, c->output_weight);
	if (broke_off && u->output_tokens < output / 2) u->output_tokens = -1;
	if (u->input_tokens < 0 || u->output_tokens < 0) u->estimated = true;
	if (u->input_tokens < 0) u->input_tokens = c->input_estimate;
	if (u->output_tokens < 0) u->output_tokens = output;
	u->is_billed = u->cost_ticks >= 0;
	u->cost_ticks = cost_of(u, model_price(c->about, clock_wall_ms()));
}

/* A cost is known when that of both is. */
static void add_usage(struct call_usage *to, const struct call_usage *more)
{
	int64_t *const sums[] = {&to->input_tokens, &to->output_tokens, &to->thinking_tokens, &to->cache_read_tokens,
				 &to->cache_write_tokens};
	const int64_t add[] = {more->input_tokens, more->output_tokens, more->thinking_tokens, more->cache_read_tokens,
			       more->cache_write_tokens};
	for (size_t i = 0; i < ARRAY_LEN(sums); i++)
		if (add[i] >= 0) *sums[i] = MAX(*sums[i], (int64_t)0) + add[i];
	to->cost_ticks = to->cost_ticks < 0 || more->cost_ticks < 0 ? -1 : to->cost_ticks + more->cost_ticks;
	to->estimated |= more->estimated;
	to->is_billed &= more->is_billed;
}

static void add_summary(const struct provider_call *c, struct call_usage *u)
{
	if (!c->has_summary) return;
	if (u->input_tokens < 0) *u = c->on_summary; /* nothing was asked after it */
	else add_usage(u, &c->on_summary);
}

void call_summarised(struct provider_call *c, const struct call_usage *told)
{
	c->on_summary = *told;
	settle_usage(c, false, &c->on_summary);
	c->has_summary = true;
	c->is_sent = false;
	c->output_weight = 0;
}

/* The last callback. A call that failed before it said anything is taken for free, unless the provider says otherwise or
 * it was Roost that gave it up. */
void call_done(struct provider_call *c, struct call_outcome *o)
{
	struct call_usage *u = &o->usage;
	if (c->is_over) return;
	bool is_told = (u->input_tokens >= 0 && u->output_tokens >= 0) || u->cost_ticks >= 0;
	if (o->err == OK || c->got_text || is_told || (c->was_cut && c->is_sent)) settle_usage(c, o->err != OK, u);
	else *u = USAGE_UNKNOWN;
	add_summary(c, u);
	if (o->finish_reason.p == NULL) o->finish_reason = STR("");
	call_end(c);
	c->hooks.done(c->ctx, o);
}

void provider_call_used(const struct provider_call *c, struct call_usage *out)
{
	*out = c->answer != NULL ? *answer_usage(c->answer) : USAGE_UNKNOWN;
	if (c->is_sent || c->got_text) settle_usage(c, true, out);
	add_summary(c, out);
}

int64_t call_now_ms(const struct provider_call *c) { return (int64_t)uv_now(c->owner->loop); }

bool call_text(struct provider_call *c, enum answer_kind kind, struct str text)
{
	if (c->is_over) return false;
	c->got_text = true;
	c->active_ms = call_now_ms(c);
	c->output_bytes += (int64_t)text.n;
	c->output_weight += tokens_weigh(text);
	c->hooks.text(c->ctx, kind == ANSWER_THINKING ? STREAM_THINKING : STREAM_TEXT, text);
	return !c->is_over;
}

static void on_early(uv_timer_t *t)
{
	struct provider_call *c = t->data;
	call_enter(c);
	call_done(c, &c->early);
	call_leave(c);
}

void call_fail_early(struct provider_call *c) { uv_timer_start(&c->timer, on_early, 0, 0); }

/* ---- both -------------------------------------------------------------------------------------------------------- */

struct provider_call *provider_call_start(struct providers *p, const struct call_spec *spec,
					  const struct call_hooks *hooks, void *ctx)
{
	struct provider_call *c = xcalloc(1, sizeof *c);
	struct str model = STR_NONE;
	enum err e = OK;
	c->owner = p;
	c->provider = find_provider(p, spec->model, &model);
	if (c->provider != NULL && p->catalog != NULL)
		c->about = catalog_about(p->catalog, (int)(c->provider - p->list), model);
	c->hooks = *hooks;
	c->ctx = ctx;
	c->early.usage = (struct call_usage){0};
	TAILQ_INSERT_TAIL(&p->calls, c, link);
	uv_timer_init(p->loop, &c->timer);
	c->timer.data = c;
	c->started_ms = c->active_ms = call_now_ms(c);
	if (c->provider == NULL)
		e = err_set(&c->early.info, ERR_MODEL_UNKNOWN, "no provider serves the model \"%.*s\"",
			    (int)MIN(spec->model.n, (size_t)100), spec->model.p);
	else if (c->provider->source == SOURCE_REMOTE || c->provider->source == SOURCE_EXEC)
		remote_start(c, spec, model);
	else e = local_start(c, spec, model, &c->early.info);
	if (e != OK) {
		c->early.err = e;
		c->early.fail = e == ERR_MODEL_UNKNOWN ? FAIL_MODEL : FAIL_INVALID;
		call_fail_early(c);
	}
	return c;
}

void provider_call_pause(struct provider_call *c, bool paused)
{
	if (c->is_over || c->paused == paused || c->early.err != OK) return;
	c->paused = paused;
	c->active_ms = call_now_ms(c);
	if (c->provider->source == SOURCE_REMOTE || c->provider->source == SOURCE_EXEC) remote_pause(c, paused);
	else local_pause(c, paused);
}
