/* A call is one of two kinds. A remote one is an HTTP call whose body runs through a dialect's parser; a local one is a
 * timer that makes tokens. Both have one uv_timer: the remote one's looks after the deadlines, and since a deadline
 * mostly moves away it is not set again for every token; it fires, sees that there was text meanwhile, and sleeps on.
 *
 * Whoever gets a callback may cancel the call. Then the connection is closed at once, but the memory stays until the
 * frames of the stack that stand in it have returned (`depth`) and libuv has let go of the timer. */
#include "host/call.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "net/client.h"
#include "provider/local.h"
#include "provider/text.h"

#define KEY_MAX 4096   /* bytes of a key file */
#define POLITE_MS 250  /* how long a complete answer's connection may take to end by itself */
#define LOCAL_BURST 16 /* tokens at once when no speed is asked for */
#define LOCAL_CONCURRENCY 4096

enum source { SOURCE_REMOTE, SOURCE_TEST, SOURCE_SILENT };

struct provider {
	char *name, *base_url, *key; /* key: NULL none */
	char **models;               /* NULL-terminated; NULL: any */
	const struct dialect *dialect;
	enum source source;
	int64_t concurrency;
	bool allow_private;
};

struct providers {
	uv_loop_t *loop;
	const struct limits *limits;
	struct http_client *http;
	struct provider *list;
	size_t n;
	TAILQ_HEAD(, provider_call) calls;
};

struct provider_call {
	struct providers *owner;
	const struct provider *provider; /* NULL: the model is unknown */
	struct call_hooks hooks;
	void *ctx;
	uv_timer_t timer;
	int depth;    /* frames of ours that will still look at the call */
	bool is_over; /* cancelled or done: no callback any more */
	bool paused;
	bool complete; /* the provider said all it will say */
	bool got_text;
	bool begun;                    /* local: on_tick ran once */
	bool silent;                   /* local: answers "…" */
	int64_t started_ms, active_ms; /* loop time: the start; the last text, or the end of a pause */
	int64_t input_estimate, output_bytes, received_bytes;
	struct call_outcome early; /* err is set when the call fails before it begins */
	TAILQ_ENTRY(provider_call) link;

	/* remote */
	struct http_call *http;
	void *parser;

	/* local */
	struct local_plan plan;
	struct local_text text;
	int64_t made;         /* tokens so far */
	int64_t first_due_ms; /* loop time of the first token */
	struct buf piece;
};

/* ---- registry ---------------------------------------------------------------------------------------------------- */

static const struct provider *find_provider(const struct providers *p, struct str model, struct str *out_model)
{
	const char *colon = model.n > 0 ? memchr(model.p, ':', model.n) : NULL;
	if (colon == NULL) return NULL;
	struct str name = str_n(model.p, (size_t)(colon - model.p));
	*out_model = str_n(colon + 1, model.n - name.n - 1);
	for (size_t i = 0; i < p->n; i++) {
		const struct provider *prov = &p->list[i];
		if (!str_eq(name, str_c(prov->name))) continue;
		if (prov->models == NULL) return out_model->n > 0 ? prov : NULL;
		for (char **m = prov->models; *m != NULL; m++)
			if (str_eq(*out_model, str_c(*m))) return prov;
		return NULL;
	}
	return NULL;
}

int providers_index(const struct providers *p, struct str model)
{
	struct str id;
	const struct provider *prov = find_provider(p, model, &id);
	return prov != NULL ? (int)(prov - p->list) : -1;
}

size_t providers_count(const struct providers *p) { return p->n; }

int64_t providers_concurrency(const struct providers *p, int index)
{
	ASSERT(index >= 0 && (size_t)index < p->n);
	return p->list[index].concurrency;
}

struct str providers_name(const struct providers *p, int index)
{
	ASSERT(index >= 0 && (size_t)index < p->n);
	return str_c(p->list[index].name);
}

static void model_json(struct jw *w, const struct provider *prov, struct str model, struct str default_model)
{
	struct buf id = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&id, "%s:%.*s", prov->name, STR_ARG(model));
	jw_obj(w);
	jw_kstr(w, "id", buf_str(&id));
	jw_kstr(w, "provider", str_c(prov->name));
	jw_kbool(w, "default", str_eq(buf_str(&id), default_model));
	jw_obj_end(w);
	buf_release(&id);
}

void providers_models_json(const struct providers *p, struct str default_model, struct buf *out)
{
	struct jw w = JW(out);
	struct str id = STR_NONE;
	const struct provider *of_default = find_provider(p, default_model, &id);
	jw_obj(&w);
	jw_key(&w, "models");
	jw_arr(&w);
	for (size_t i = 0; i < p->n; i++) {
		const struct provider *prov = &p->list[i];
		for (char **m = prov->models; m != NULL && *m != NULL; m++)
			model_json(&w, prov, str_c(*m), default_model);
		if (prov->models == NULL && prov == of_default) model_json(&w, prov, id, default_model);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
}

/* ---- configuration ----------------------------------------------------------------------------------------------- */

static enum err check_name(const struct provider_config *cfg, struct errinfo *info)
{
	const char *name = cfg->name != NULL ? cfg->name : "";
	for (const char *s = name; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && *s != '-' && *s != '_' && *s != '.')
			return err_set(info, ERR_CONFIG,
				       "providers: the name \"%.40s\" may hold only letters, digits and . _ -", name);
	if (*name == '\0' || strlen(name) > 64)
		return err_set(info, ERR_CONFIG, "providers: a name has 1 to 64 characters");
	if (strcmp(name, "local") == 0)
		return err_set(info, ERR_CONFIG, "providers: \"local\" is built in; choose another name");
	return OK;
}

/* An absolute http or https URL with a host and without what a request line must not carry or a log would show. */
static enum err set_base_url(struct provider *prov, const char *url, struct errinfo *info)
{
	size_t scheme = url == NULL                        ? 0
			: strncmp(url, "https://", 8) == 0 ? 8
			: strncmp(url, "http://", 7) == 0  ? 7
							   : 0;
	if (scheme == 0)
		return err_set(info, ERR_CONFIG, "providers.%s.baseUrl must begin with http:// or https://",
			       prov->name);
	size_t host = strcspn(url + scheme, "/?#");
	if (host == 0) return err_set(info, ERR_CONFIG, "providers.%s.baseUrl names no host", prov->name);
	if (memchr(url + scheme, '@', host) != NULL)
		return err_set(info, ERR_CONFIG, "providers.%s.baseUrl must hold no credentials; use keyFile",
			       prov->name);
	for (const char *s = url; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == '?' || *s == '#' || *s == '\\')
			return err_set(info, ERR_CONFIG,
				       "providers.%s.baseUrl holds a space, \"?\", \"#\" or another odd character",
				       prov->name);
	if (scheme == 7 && !prov->allow_private)
		return err_set(info, ERR_CONFIG,
			       "providers.%s.baseUrl is plain http, which is for this machine and private "
			       "networks only: set allowPrivate, or use https",
			       prov->name);
	size_t n = strlen(url);
	while (url[n - 1] == '/') n--;
	prov->base_url = str_dup(str_n(url, n));
	return OK;
}

/* The key is one line of printable ASCII in a file nobody else may read. */
static enum err read_key(struct provider *prov, const char *path, struct errinfo *info)
{
	char text[KEY_MAX + 1];
	struct stat st;
	enum err e = OK;
	ssize_t n = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0) {
		e = err_set(info, ERR_CONFIG, "providers.%s.keyFile cannot be opened: %s", prov->name, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0) {
		e = err_set(info, ERR_CONFIG,
			    "providers.%s.keyFile must be a file that only you can read (chmod 600); its mode is %04o",
			    prov->name, (unsigned)st.st_mode & 07777);
		goto out;
	}
	n = read(fd, text, sizeof text);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' ')) n--;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f) n = -1;
	if (n <= 0 || n > KEY_MAX) {
		e = err_set(info, ERR_CONFIG,
			    "providers.%s.keyFile must hold the key alone, in one line of at most %d characters",
			    prov->name, KEY_MAX);
		goto out;
	}
	prov->key = str_dup(str_n(text, (size_t)n));
out:
	secret_wipe(text, sizeof text);
	if (fd >= 0) close(fd);
	return e;
}

static char **copy_models(const char *const *models)
{
	if (models == NULL) return NULL;
	size_t n = 0;
	while (models[n] != NULL) n++;
	char **copy = xcalloc(n + 1, sizeof *copy);
	for (size_t i = 0; i < n; i++) copy[i] = xstrdup(models[i]);
	return copy;
}

static enum err set_provider(const struct providers *p, struct provider *prov, const struct provider_config *cfg,
			     struct errinfo *info)
{
	enum err e = check_name(cfg, info);
	if (e != OK) return e;
	for (const struct provider *other = p->list; other < prov; other++)
		if (strcmp(other->name, cfg->name) == 0)
			return err_set(info, ERR_CONFIG, "providers: there are two of the name \"%s\"", cfg->name);
	struct str dialect = str_c(cfg->dialect);
	prov->name = xstrdup(cfg->name);
	prov->models = copy_models(cfg->models);
	prov->allow_private = cfg->allow_private;
	prov->concurrency = cfg->concurrency > 0 ? cfg->concurrency : p->limits->running_per_provider;
	prov->dialect = dialect_find(dialect);
	if (str_eq(dialect, STR("local"))) prov->source = SOURCE_TEST;
	else if (str_eq(dialect, STR("silent"))) prov->source = SOURCE_SILENT;
	else if (prov->dialect == NULL)
		return err_set(info, ERR_CONFIG, "providers.%s.dialect must be one of: openai, local, silent",
			       cfg->name);
	if (prov->source != SOURCE_REMOTE) return OK;
	e = set_base_url(prov, cfg->base_url, info);
	return e == OK && cfg->key_file != NULL ? read_key(prov, cfg->key_file, info) : e;
}

enum err providers_new(uv_loop_t *loop, const struct limits *limits, const struct provider_config *configs, size_t n,
		       struct providers **out, struct errinfo *info)
{
	static const char *const local_models[] = {"test", "silent", NULL};
	struct providers *p = xcalloc(1, sizeof *p);
	enum err e = http_client_new(loop, &p->http, info);
	p->loop = loop;
	p->limits = limits;
	TAILQ_INIT(&p->calls);
	p->list = xcalloc(n + 1, sizeof *p->list);
	p->list[0] = (struct provider){.name = xstrdup("local"),
				       .models = copy_models(local_models),
				       .source = SOURCE_TEST,
				       .concurrency = LOCAL_CONCURRENCY};
	p->n = 1;
	for (size_t i = 0; i < n && e == OK; i++) e = set_provider(p, &p->list[p->n++], &configs[i], info);
	*out = p;
	if (e == OK) return OK;
	*out = NULL;
	providers_free(p);
	return e;
}

void providers_free(struct providers *p)
{
	if (p == NULL) return;
	while (!TAILQ_EMPTY(&p->calls)) provider_call_cancel(TAILQ_FIRST(&p->calls));
	http_client_free(p->http);
	for (size_t i = 0; i < p->n; i++) {
		struct provider *prov = &p->list[i];
		if (prov->key != NULL) secret_wipe(prov->key, strlen(prov->key));
		for (char **m = prov->models; m != NULL && *m != NULL; m++) free(*m);
		free(prov->models);
		free(prov->key);
		free(prov->base_url);
		free(prov->name);
	}
	free(p->list);
	free(p);
}

/* ---- life of a call ---------------------------------------------------------------------------------------------- */

static void on_call_closed(uv_handle_t *h)
{
	struct provider_call *c = h->data;
	free(c->parser);
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

static void call_enter(struct provider_call *c) { c->depth++; }

static void call_leave(struct provider_call *c)
{
	if (--c->depth > 0 || !c->is_over) return;
	if (c->parser != NULL) c->provider->dialect->release(c->parser);
	uv_close((uv_handle_t *)&c->timer, on_call_closed);
}

void provider_call_cancel(struct provider_call *c)
{
	call_enter(c);
	call_end(c);
	call_leave(c);
}

/* The last callback. Usage that the provider did not tell is estimated. */
static void call_done(struct provider_call *c, struct call_outcome *o)
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

static int64_t now_ms(const struct provider_call *c) { return (int64_t)uv_now(c->owner->loop); }

static bool call_text(struct provider_call *c, enum answer_kind kind, struct str text)
{
	if (c->is_over) return false;
	c->got_text = true;
	c->active_ms = now_ms(c);
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
	c->provider->dialect->end(c->parser, transport, info, &o);
	call_done(c, &o);
}

static void call_fail(struct provider_call *c, enum err e, const char *what, int64_t limit, const char *key)
{
	struct call_outcome o = {.usage = {-1, -1, false}, .retryable = err_retryable(e)};
	o.err = err_set(&o.info, e, "%s (limits.%s: %lld)", what, key, (long long)limit);
	if (c->parser != NULL) remote_end(c, e, &o.info);
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

static void set_deadline(struct provider_call *c)
{
	int64_t wait = next_deadline(c).at_ms - now_ms(c);
	uv_timer_start(&c->timer, on_deadline, (uint64_t)MAX(wait, 1), 0);
}

static void on_deadline(uv_timer_t *t)
{
	struct provider_call *c = t->data;
	struct deadline d = next_deadline(c);
	call_enter(c);
	if (d.at_ms > now_ms(c)) set_deadline(c);
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
	c->provider->dialect->head(c->parser, status, headers);
}

static void on_body(void *ctx, struct str piece)
{
	struct provider_call *c = ctx;
	call_enter(c);
	c->received_bytes += (int64_t)piece.n;
	switch (c->complete ? FEED_COMPLETE : c->provider->dialect->feed(c->parser, piece)) {
	case FEED_MORE: break;
	case FEED_COMPLETE:
		if (c->complete) break;
		c->complete = true;
		c->active_ms = now_ms(c);
		set_deadline(c);
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
	struct provider_ask ask = {
		.base_url = str_c(prov->base_url),
		.key = str_c(prov->key),
		.model = model,
		.messages = spec->messages,
		.nmessages = spec->nmessages,
		.params = spec->params,
	};
	struct wire_request req;
	enum err e = prov->dialect->build(&ask, &req, info);
	if (e != OK) return e;
	struct answer_sink sink = {
		.text = on_answer_text,
		.ctx = c,
		.answer_bytes = c->owner->limits->answer_bytes,
		.now_ms = clock_wall_ms(),
		.key = ask.key,
	};
	c->parser = xcalloc(1, prov->dialect->parser_size);
	prov->dialect->init(c->parser, &sink);
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
	set_deadline(c);
	return OK;
}

/* ---- local ------------------------------------------------------------------------------------------------------- */

static void on_tick(uv_timer_t *t);

/* Token i is due i/rate after the first, whatever the timer's resolution does. */
static void local_sleep(struct provider_call *c)
{
	int64_t wait = 1;
	if (c->plan.tokens_per_second > 0)
		wait = c->first_due_ms + (int64_t)((double)c->made * 1000 / c->plan.tokens_per_second) - now_ms(c);
	uv_timer_start(&c->timer, on_tick, (uint64_t)MAX(wait, 1), 0);
}

static int64_t local_due(const struct provider_call *c)
{
	if (!(c->plan.tokens_per_second > 0)) return LOCAL_BURST;
	double passed_s = (double)(now_ms(c) - c->first_due_ms) / 1000;
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
		call_fail(c, ERR_PROVIDER_LIMIT, "the answer is too long", c->owner->limits->answer_bytes,
			  "answerBytes");
	else (void)call_text(c, thinking ? ANSWER_THINKING : ANSWER_TEXT, buf_str(&c->piece));
}

static void local_finish(struct provider_call *c, const struct local_fault *fault)
{
	struct call_outcome o = {.finish_reason = STR("stop"), .usage = {-1, c->made, true}};
	if (fault != NULL) {
		o.err = err_set(&o.info, fault->err, "local:test was asked to fail (params.error \"%s\")", fault->name);
		o.info.retry_after_ms = fault->retry_after_ms;
		o.retryable = fault->retryable;
		o.finish_reason = STR("");
	}
	call_done(c, &o);
}

static void local_begin(struct provider_call *c)
{
	c->begun = true;
	c->first_due_ms = now_ms(c) + c->plan.delay_ms;
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
		if (fault->err == OK) set_deadline(c); /* silence, which the deadlines end */
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

static void local_pause(struct provider_call *c, bool paused)
{
	if (paused) {
		uv_timer_stop(&c->timer);
		return;
	}
	if (c->begun && c->plan.tokens_per_second > 0)
		c->first_due_ms =
			MAX(c->first_due_ms, now_ms(c) - (int64_t)((double)c->made * 1000 / c->plan.tokens_per_second));
	uv_timer_start(&c->timer, on_tick, (uint64_t)MAX(c->made == 0 ? c->first_due_ms - now_ms(c) : 1, 1), 0);
}

static enum err local_start(struct provider_call *c, const struct call_spec *spec, struct str model,
			    struct errinfo *info)
{
	struct str last_user = STR("");
	c->silent = c->provider->source == SOURCE_SILENT || str_eq(model, STR("silent"));
	c->plan = (struct local_plan){.tokens = 1};
	enum err e = c->silent ? OK : local_plan(spec->params, spec->attempt, &c->plan, info);
	if (e != OK) return e;
	for (size_t i = 0; i < spec->nmessages; i++)
		if (str_eq(spec->messages[i].role, STR("user"))) last_user = spec->messages[i].text;
	local_text_init(&c->text, spec->seed, last_user);
	buf_init(&c->piece, BUF_NO_LIMIT);
	uv_timer_start(&c->timer, on_tick, 0, 0);
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
	c->early.usage = (struct call_usage){0, 0, false};
	TAILQ_INSERT_TAIL(&p->calls, c, link);
	uv_timer_init(p->loop, &c->timer);
	c->timer.data = c;
	c->started_ms = c->active_ms = now_ms(c);
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
	c->active_ms = now_ms(c);
	if (c->parser == NULL) {
		local_pause(c, paused);
		return;
	}
	if (c->http != NULL) http_call_pause(c->http, paused);
	set_deadline(c);
}
