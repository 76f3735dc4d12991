/* A call is one of two kinds. A remote one is an HTTP call whose body runs through a dialect's parser; a local one is a
 * timer that makes tokens. Both have one uv_timer: the remote one's looks after the deadlines, and since a deadline
 * mostly moves away it is not set again for every token; it fires, sees that there was text meanwhile, and sleeps on.
 *
 * Whoever gets a callback may cancel the call. Then the connection is closed at once, but the memory stays until the
 * frames of the stack that stand in it have returned (`depth`) and libuv has let go of the timer. */
#include "host/call.h"

#include "base/clock.h"
#include "host/call_priv.h"
#include "provider/text.h"

#define POLITE_MS 250 /* how long a complete answer's connection may take to end by itself */

/* ---- life of a call ---------------------------------------------------------------------------------------------- */

static void on_call_closed(uv_handle_t *h)
{
	struct provider_call *c = h->data;
	answer_free(c->answer);
	buf_release(&c->piece);
	free(c);
}

/* Lets go of everything but the memory, which goes when nobody stands in it. */
static void call_end(struct provider_call *c)
{
	if (c->is_over) return;
	c->is_over = true;
	if (c->http != NULL) http_call_cancel(c->http);
	c->http = NULL;
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

/* The last callback. Usage that the provider did not tell is estimated. */
void call_done(struct provider_call *c, struct call_outcome *o)
{
	if (c->is_over) return;
	if (o->usage.input_tokens < 0 || o->usage.output_tokens < 0) {
		o->usage.estimated = true;
		if (o->usage.input_tokens < 0) o->usage.input_tokens = c->input_estimate;
		if (o->usage.output_tokens < 0) o->usage.output_tokens = (c->output_bytes + 3) / 4;
	}
	if (o->finish_reason.p == NULL) o->finish_reason = STR("");
	call_end(c);
	c->hooks.done(c->ctx, o);
}

int64_t call_now_ms(const struct provider_call *c) { return (int64_t)uv_now(c->owner->loop); }

bool call_text(struct provider_call *c, enum answer_kind kind, struct str text)
{
	if (c->is_over) return false;
	c->got_text = true;
	c->active_ms = call_now_ms(c);
	c->output_bytes += (int64_t)text.n;
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

/* ---- remote ------------------------------------------------------------------------------------------------------ */

static void on_deadline(uv_timer_t *t);

/* The provider, the network or the clock ended it; the parser knows what that means for the answer. */
static void remote_end(struct provider_call *c, enum err transport, const struct errinfo *info)
{
	struct call_outcome o;
	if (c->is_over) return;
	answer_end(c->answer, transport, info, &o);
	call_done(c, &o);
}

void call_fail(struct provider_call *c, enum err e, const char *what, int64_t limit, const char *key)
{
	struct call_outcome o = {.usage = USAGE_UNKNOWN, .retryable = err_retryable(e)};
	o.err = err_set(&o.info, e, "%s (limits.%s: %lld)", what, key, (long long)limit);
	if (c->answer != NULL) remote_end(c, e, &o.info);
	else call_done(c, &o);
}

struct deadline {
	int64_t at_ms; /* loop time */
	int64_t limit_ms;
	const char *what, *key;
};

static struct deadline next_deadline(const struct provider_call *c)
{
	const struct limits *l = c->owner->limits;
	struct deadline d = {c->started_ms + l->answer_ms, l->answer_ms, "the answer took too long", "answerMs"};
	struct deadline first = {c->started_ms + l->first_token_ms, l->first_token_ms, "no text came in time",
				 "firstTokenMs"};
	struct deadline idle = {c->active_ms + l->stream_idle_ms, l->stream_idle_ms, "the answer fell silent",
				"streamIdleMs"};
	if (c->complete) d.at_ms = c->active_ms + POLITE_MS;
	else if (c->paused) return d;
	else if (!c->got_text && first.at_ms < d.at_ms) return first;
	else if (c->got_text && idle.at_ms < d.at_ms) return idle;
	return d;
}

void call_set_deadline(struct provider_call *c)
{
	int64_t wait = next_deadline(c).at_ms - call_now_ms(c);
	uv_timer_start(&c->timer, on_deadline, (uint64_t)MAX(wait, 1), 0);
}

static void on_deadline(uv_timer_t *t)
{
	struct provider_call *c = t->data;
	struct deadline d = next_deadline(c);
	call_enter(c);
	if (d.at_ms > call_now_ms(c)) call_set_deadline(c);
	else if (c->complete) remote_end(c, OK, NULL);
	else call_fail(c, ERR_PROVIDER_TIMEOUT, d.what, d.limit_ms, d.key);
	call_leave(c);
}

static void on_connected(void *ctx)
{
	struct provider_call *c = ctx;
	call_enter(c);
	if (c->hooks.connected != NULL) c->hooks.connected(c->ctx);
	call_leave(c);
}

static void on_head(void *ctx, int status, struct str headers)
{
	struct provider_call *c = ctx;
	answer_head(c->answer, status, headers);
}

static void on_body(void *ctx, struct str piece)
{
	struct provider_call *c = ctx;
	call_enter(c);
	c->received_bytes += (int64_t)piece.n;
	switch (c->complete ? FEED_COMPLETE : answer_feed(c->answer, piece)) {
	case FEED_MORE: break;
	case FEED_COMPLETE:
		if (c->complete) break;
		c->complete = true;
		c->active_ms = call_now_ms(c);
		call_set_deadline(c);
		break;
	case FEED_STOP: remote_end(c, OK, NULL); break;
	}
	if (!c->is_over && c->received_bytes > c->owner->limits->provider_body_bytes) {
		call_fail(c, ERR_PROVIDER_LIMIT, "the provider sent more bytes than it may",
			  c->owner->limits->provider_body_bytes, "providerBodyBytes");
	}
	call_leave(c);
}

static void on_http_done(void *ctx, enum err e, const struct errinfo *info)
{
	struct provider_call *c = ctx;
	call_enter(c);
	c->http = NULL;
	remote_end(c, e, info);
	call_leave(c);
}

static bool on_answer_text(void *ctx, enum answer_kind kind, struct str text) { return call_text(ctx, kind, text); }

static enum err remote_start(struct provider_call *c, const struct call_spec *spec, struct str model,
			     struct errinfo *info)
{
	const struct provider *prov = c->provider;
	struct params params;
	struct provider_ask ask = {
		.base_url = str_c(prov->base_url),
		.key = str_c(prov->key),
		.model = model,
		.messages = spec->messages,
		.nmessages = spec->nmessages,
		.params = &params,
	};
	struct wire_request req;
	enum err e = params_read(spec->params, &params, info);
	if (e == OK) e = prov->dialect->build(&ask, &req, info);
	if (e != OK) return e;
	struct answer_sink sink = {
		.text = on_answer_text,
		.ctx = c,
		.answer_bytes = c->owner->limits->answer_bytes,
		.now_ms = clock_wall_ms(),
		.key = ask.key,
	};
	c->answer = answer_new(prov->dialect, &sink);
	struct http_call_spec http = {
		.method = req.method,
		.url = req.url,
		.headers = (const char *const *)req.headers,
		.body = buf_str(&req.body),
		.connect_ms = c->owner->limits->connect_ms,
		.allow_private = prov->allow_private,
		.connected = on_connected,
		.head = on_head,
		.body_data = on_body,
		.done = on_http_done,
		.ctx = c,
	};
	c->http = http_call_start(c->owner->http, &http);
	wire_request_release(&req);
	call_set_deadline(c);
	return OK;
}
/* ---- both -------------------------------------------------------------------------------------------------------- */

struct provider_call *provider_call_start(struct providers *p, const struct call_spec *spec,
					  const struct call_hooks *hooks, void *ctx)
{
	struct provider_call *c = xcalloc(1, sizeof *c);
	struct str model = STR_NONE;
	enum err e = OK;
	c->owner = p;
	c->provider = find_provider(p, spec->model, &model);
	c->hooks = *hooks;
	c->ctx = ctx;
	c->early.usage = (struct call_usage){0};
	TAILQ_INSERT_TAIL(&p->calls, c, link);
	uv_timer_init(p->loop, &c->timer);
	c->timer.data = c;
	c->started_ms = c->active_ms = call_now_ms(c);
	for (size_t i = 0; i < spec->nmessages; i++) c->input_estimate += text_estimate_tokens(spec->messages[i].text);
	if (c->provider == NULL)
		e = err_set(&c->early.info, ERR_MODEL_UNKNOWN, "no provider serves the model \"%.*s\"",
			    (int)MIN(spec->model.n, (size_t)100), spec->model.p);
	else if (c->provider->source == SOURCE_REMOTE) e = remote_start(c, spec, model, &c->early.info);
	else e = local_start(c, spec, model, &c->early.info);
	c->early.err = e;
	if (e != OK) uv_timer_start(&c->timer, on_early, 0, 0);
	return c;
}

void provider_call_pause(struct provider_call *c, bool paused)
{
	if (c->is_over || c->paused == paused || c->early.err != OK) return;
	c->paused = paused;
	c->active_ms = call_now_ms(c);
	if (c->answer == NULL) {
		local_pause(c, paused);
		return;
	}
	if (c->http != NULL) http_call_pause(c->http, paused);
	call_set_deadline(c);
}
