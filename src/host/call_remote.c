/* A call over HTTP, in stages: the prompt is made (on another thread when it is large or has attachments), then it goes out
 * and its answer is read. A conversation that is to be summarised takes two rounds of that: the first one's answer is the
 * summary, and nobody sees it.
 *
 * The timer looks after the deadlines. Since a deadline mostly moves away it is not set again for every token; it fires,
 * sees that there was text meanwhile, and sleeps on. */
#include "base/clock.h"
#include "base/utf8.h"
#include "host/call_priv.h"
#include "provider/tokens.h"

#define POLITE_MS 250 /* how long a complete answer's connection may take to end by itself */
#define SUMMARY_BYTES ((size_t)64 << 10)
#define SUMMARIES_KEPT 32
#define KEY_SAYS_MAX 150 /* bytes of an error's text */

/* ---- summaries that were made ------------------------------------------------------------------------------------ */

/* The next question of the same conversation leaves out the same messages. Users share the ring: a summary is found only
 * by who has the very text it was made of, which a hash that can be forged would not promise. */
struct kept_summary {
	unsigned char key[SHA256_LEN];
	char *text;
};

static struct str summary_find(const struct providers *p, const unsigned char key[SHA256_LEN])
{
	for (size_t i = 0; i < SUMMARIES_KEPT && p->summaries != NULL; i++)
		if (p->summaries[i].text != NULL && memcmp(p->summaries[i].key, key, SHA256_LEN) == 0)
			return str_c(p->summaries[i].text);
	return STR_NONE;
}

static void summary_keep(struct providers *p, const unsigned char key[SHA256_LEN], struct str text)
{
	if (p->summaries == NULL) p->summaries = xcalloc(SUMMARIES_KEPT, sizeof *p->summaries);
	struct kept_summary *s = &p->summaries[p->nsummaries++ % SUMMARIES_KEPT];
	free(s->text);
	memcpy(s->key, key, SHA256_LEN);
	s->text = str_dup(text);
}

void summaries_free(struct providers *p)
{
	for (size_t i = 0; i < SUMMARIES_KEPT && p->summaries != NULL; i++) free(p->summaries[i].text);
	free(p->summaries);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void finish(struct provider_call *c, struct call_outcome *o)
{
	o->context = c->context;
	call_done(c, o);
}

/* The summary is there: the next round. */
static void go_on(struct provider_call *c, const struct call_outcome *o)
{
	call_summarised(c, &o->usage);
	summary_keep(c->owner, prompt_made(c->prompt)->summary_key, buf_str(&c->summary));
	prompt_set_summary(c->prompt, buf_str(&c->summary));
	remote_let_go(c);
	answer_free(c->answer);
	c->answer = NULL;
	c->summarising = c->complete = c->got_text = false;
	c->stage_ms = call_now_ms(c);
	remote_make(c);
}

/* A person has to do something about the key, and should know which one it was. */
static void say_key(const struct provider *p, struct call_outcome *o)
{
	struct str said = str_c(o->info.text), more = str_c(p->key_says);
	more.n = utf8_cut(more, KEY_SAYS_MAX);
	said.n = utf8_cut(said, sizeof o->info.text - 3 - more.n); /* "; " and the NUL */
	(void)snprintf(o->info.text + said.n, sizeof o->info.text - said.n, "; %.*s", STR_ARG(more));
}

void remote_end(struct provider_call *c, enum err transport, const struct errinfo *info)
{
	struct call_outcome o;
	if (c->is_over) return;
	answer_end(c->answer, transport, info, &o);
	if (c->provider->source == SOURCE_EXEC) exec_tell(c, &o);
	else if (o.fail == FAIL_AUTH) say_key(c->provider, &o);
	if (c->summarising && o.err == OK) go_on(c, &o);
	else finish(c, &o);
}

void provider_call_fail(struct provider_call *c, enum err e, const char *what, int64_t limit, const char *key)
{
	struct call_outcome o = {.usage = USAGE_UNKNOWN, .retryable = err_retryable(e)};
	o.err = err_set(&o.info, e, "%s (limits.%s: %lld)", what, key, (long long)limit);
	o.fail = fail_of_err(e);
	c->was_cut = true;
	if (c->answer != NULL) remote_end(c, e, &o.info);
	else call_done(c, &o);
}

/* ---- deadlines --------------------------------------------------------------------------------------------------- */

struct deadline {
	int64_t at_ms; /* loop time */
	int64_t limit_ms;
	const char *what, *key;
};

static struct deadline next_deadline(const struct provider_call *c)
{
	const struct limits *l = c->owner->limits;
	struct deadline d = {c->started_ms + l->answer_ms, l->answer_ms, "the answer took too long", "answerMs"};
	struct deadline first = {c->stage_ms + l->first_token_ms, l->first_token_ms, "no text came in time",
				 "firstTokenMs"};
	struct deadline idle = {c->active_ms + l->stream_idle_ms, l->stream_idle_ms, "the answer fell silent",
				"streamIdleMs"};
	if (c->complete) d.at_ms = c->active_ms + (c->child != NULL ? l->agent_grace_ms : POLITE_MS);
	else if (c->paused || exec_waits(c)) return d;
	else if (!c->got_text && first.at_ms < d.at_ms) return first;
	else if (c->got_text && idle.at_ms < d.at_ms) return idle;
	return d;
}

static void on_deadline(uv_timer_t *t)
{
	struct provider_call *c = t->data;
	struct deadline d = next_deadline(c);
	call_enter(c);
	if (d.at_ms > call_now_ms(c)) call_set_deadline(c);
	else if (c->complete) remote_end(c, OK, NULL);
	else provider_call_fail(c, ERR_PROVIDER_TIMEOUT, d.what, d.limit_ms, d.key);
	call_leave(c);
}

void call_set_deadline(struct provider_call *c)
{
	int64_t wait = next_deadline(c).at_ms - call_now_ms(c);
	uv_timer_start(&c->timer, on_deadline, (uint64_t)MAX(wait, 1), 0);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

static void on_connected(void *ctx)
{
	struct provider_call *c = ctx;
	call_enter(c);
	if (c->hooks.connected != NULL && !c->connected) c->hooks.connected(c->ctx);
	c->connected = c->is_sent = true;
	call_leave(c);
}

static void on_head(void *ctx, int status, struct str headers)
{
	struct provider_call *c = ctx;
	struct rates seen;
	answer_head(c->answer, status, headers);
	if (c->hooks.rates != NULL && rates_read(headers, clock_wall_ms(), &seen)) c->hooks.rates(c->ctx, &seen);
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
		provider_call_fail(c, ERR_PROVIDER_LIMIT, "the provider sent more bytes than it may",
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

static bool on_answer_text(void *ctx, enum answer_kind kind, struct str text)
{
	struct provider_call *c = ctx;
	if (!c->summarising) return call_text(c, kind, text);
	c->got_text = true;
	c->active_ms = call_now_ms(c);
	c->output_weight += tokens_weigh(text);
	return kind == ANSWER_THINKING || buf_add_str(&c->summary, text);
}

/* ---- the way out ------------------------------------------------------------------------------------------------- */

static void send_out(struct provider_call *c)
{
	if (c->provider->source == SOURCE_EXEC) {
		exec_send(c);
		return;
	}
	const struct provider *prov = c->provider;
	const struct prompt_made *made = prompt_made(c->prompt);
	struct answer_sink sink = {
		.text = on_answer_text,
		.ctx = c,
		.answer_bytes = c->summarising ? (int64_t)SUMMARY_BYTES : c->owner->limits->answer_bytes,
		.now_ms = clock_wall_ms(),
		.key = str_c(prov->key),
	};
	c->answer = answer_new(prov->dialect, &sink);
	struct http_call_spec http = {
		.method = made->request.method,
		.url = made->request.url,
		.headers = (const char *const *)made->request.headers,
		.body = buf_str(&made->request.body),
		.connect_ms = c->owner->limits->connect_ms,
		.allow_private = prov->allow_private,
		.proxy = prov->proxy,
		.connected = on_connected,
		.head = on_head,
		.body_data = on_body,
		.done = on_http_done,
		.ctx = c,
	};
	c->stage_ms = c->active_ms = call_now_ms(c);
	c->http = http_call_start(c->owner->http, &http);
	if (c->paused) http_call_pause(c->http, true);
	call_set_deadline(c);
	if (c->summarising) return;
	prompt_free(c->prompt); /* a stream may be long, and nothing of this is needed any more */
	c->prompt = NULL;
}

static void made(struct provider_call *c, enum err e, const struct errinfo *info)
{
	const struct prompt_made *m = prompt_made(c->prompt);
	struct str kept;
	c->input_estimate = m->input_tokens;
	c->context.left_out = (int64_t)m->context.left_out;
	c->context.tokens = m->context.tokens;
	c->context.room = m->room;
	c->context.is_cut = m->is_cut;
	if (e == OK && m->wants_summary && (kept = summary_find(c->owner, m->summary_key)).p != NULL) {
		prompt_set_summary(c->prompt, kept);
		c->context.is_summarised = true;
		remote_make(c);
	} else if (e == OK) {
		c->summarising = m->wants_summary;
		c->context.is_summarised |= m->wants_summary;
		send_out(c);
	} else {
		c->early.err = e;
		c->early.info = *info;
		c->early.fail = e == ERR_TOO_LARGE ? FAIL_CONTEXT : FAIL_INVALID;
		call_fail_early(c);
	}
}

/* ---- making the prompt ------------------------------------------------------------------------------------------- */

struct making {
	uv_work_t work;
	struct provider_call *call; /* NULL: it was cancelled */
	struct prompt *prompt;
	enum err err;
	struct errinfo info;
};

static void make_elsewhere(uv_work_t *w)
{
	struct making *m = w->data;
	m->err = prompt_make(m->prompt, &m->info);
}

static void made_elsewhere(uv_work_t *w, int status)
{
	struct making *m = w->data;
	struct provider_call *c = m->call;
	(void)status;
	if (c == NULL) {
		prompt_free(m->prompt);
	} else {
		call_enter(c);
		c->making = NULL;
		made(c, m->err, &m->info);
		call_leave(c);
	}
	free(m);
}

void remote_make(struct provider_call *c)
{
	struct errinfo info;
	if (prompt_is_small(c->prompt)) {
		enum err e = prompt_make(c->prompt, &info);
		made(c, e, &info);
		return;
	}
	struct making *m = xcalloc(1, sizeof *m);
	*m = (struct making){.call = c, .prompt = c->prompt};
	m->work.data = m;
	c->making = m;
	(void)uv_queue_work(c->owner->loop, &m->work, make_elsewhere, made_elsewhere);
}

void remote_start(struct provider_call *c, const struct call_spec *spec, struct str model)
{
	const struct provider *prov = c->provider;
	struct prompt_spec as = {
		.dialect = prov->dialect,
		.base_url = str_c(prov->base_url),
		.key = str_c(prov->key),
		.model = model,
		.about = c->about,
		.messages = spec->messages,
		.nmessages = spec->nmessages,
		.params = spec->params,
		.data_dir = spec->data_dir,
		.is_cut = spec->is_cut,
		.command = (const char *const *)prov->command,
	};
	if (prov->source == SOURCE_EXEC) exec_begin(c, spec);
	as.session = str_c(c->agent_session);
	buf_init(&c->summary, SUMMARY_BYTES);
	c->prompt = prompt_new(&as);
	remote_make(c);
}

void remote_pause(struct provider_call *c, bool paused)
{
	if (c->http != NULL) http_call_pause(c->http, paused);
	if (c->child != NULL) child_pause(c->child, paused);
	if (c->making == NULL) call_set_deadline(c);
}

void remote_let_go(struct provider_call *c)
{
	if (c->http != NULL) http_call_cancel(c->http);
	c->http = NULL;
	if (c->making == NULL) return;
	c->making->call = NULL; /* the other thread has the prompt: it is freed when that is done */
	c->making = NULL;
	c->prompt = NULL;
}

void remote_free(struct provider_call *c)
{
	answer_free(c->answer);
	prompt_free(c->prompt);
	buf_release(&c->summary);
}
