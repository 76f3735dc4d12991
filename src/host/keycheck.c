#include "host/keycheck.h"

#include "base/clock.h"
#include "host/call_priv.h"
#include "host/keys.h"
#include "provider/listing.h"

#define BODY_MAX ((size_t)64 << 10) /* of an error; more is not kept */

struct check {
	struct key_check *owner;
	const struct provider *provider;
	struct http_call *http; /* NULL: it has ended */
	int status;             /* 0 no answer */
	struct buf head, body;
	const char *state;
	char error[200]; /* "" none */
	struct rates limits;
	bool has_limits;
};

struct key_check {
	struct providers *owner;
	key_check_done done;
	void *ctx;
	struct check *list;
	size_t n, nopen;
	uv_timer_t later; /* `done` never comes from inside key_check_start */
	struct key_check *next;
};

/* ---- telling ----------------------------------------------------------------------------------------------------- */

static void write_limits(struct jw *w, const struct check *c)
{
	jw_key(w, "limits");
	jw_arr(w);
	for (int r = 0; r < RATE_COUNT && c->has_limits; r++) {
		const struct rate_seen *seen = &c->limits.of[r];
		if (seen->limit <= 0) continue;
		jw_obj(w);
		jw_kstr(w, "of", str_c(rate_name((enum rate)r)));
		jw_kint(w, "limit", seen->limit);
		jw_kint(w, "remaining", seen->remaining);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

static void write_check(struct jw *w, const struct check *c)
{
	char ends[16];
	key_ends(c->provider->key, ends);
	jw_obj(w);
	jw_kstr(w, "provider", str_c(c->provider->name));
	jw_kstr(w, "baseUrl", str_c(c->provider->base_url));
	jw_kstr(w, "from", str_c(c->provider->key_from));
	jw_kstr(w, "where", str_c(c->provider->key_says));
	jw_kstr(w, "ends", str_c(ends));
	jw_kstr(w, "state", str_c(c->state));
	jw_kstr(w, "error", str_c(c->error));
	write_limits(w, c);
	jw_obj_end(w);
}

static void on_closed(uv_handle_t *h) { free(h->data); }

void key_check_end(struct key_check *k)
{
	struct key_check **at = &k->owner->checks;
	struct buf json = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&json);
	while (*at != k) at = &(*at)->next;
	*at = k->next;
	jw_obj(&w);
	jw_key(&w, "keys");
	jw_arr(&w);
	for (size_t i = 0; i < k->n; i++) {
		struct check *c = &k->list[i];
		if (c->http != NULL) http_call_cancel(c->http);
		write_check(&w, c);
		buf_release(&c->head);
		buf_release(&c->body);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	k->done(k->ctx, buf_str(&json));
	buf_release(&json);
	free(k->list);
	uv_close((uv_handle_t *)&k->later, on_closed);
}

static void on_later(uv_timer_t *t)
{
	struct key_check *k = t->data;
	if (k->nopen == 0) key_check_end(k);
}

static void ended(struct check *c, const char *state)
{
	c->http = NULL;
	c->state = state;
	if (--c->owner->nopen == 0) uv_timer_start(&c->owner->later, on_later, 0, 0);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* A 200 says all: the list itself is not wanted. */
static void on_head(void *ctx, int status, struct str headers)
{
	struct check *c = ctx;
	c->status = status;
	c->has_limits = rates_read(headers, clock_wall_ms(), &c->limits);
	(void)buf_add_str(&c->head, headers);
	if (status != 200) return;
	http_call_cancel(c->http);
	ended(c, c->provider->key != NULL ? "valid" : "not_needed");
}

static void on_body(void *ctx, struct str piece)
{
	struct check *c = ctx;
	(void)buf_add_str(&c->body, str_n(piece.p, MIN(piece.n, BODY_MAX - MIN(c->body.n, BODY_MAX))));
}

static void on_done(void *ctx, enum err e, const struct errinfo *info)
{
	struct check *c = ctx;
	struct call_outcome o = {.usage = USAGE_UNKNOWN};
	if (c->status == 0) {
		(void)snprintf(c->error, sizeof c->error, "%s", err_sentence(info, e));
		ended(c, "unreachable");
		return;
	}
	classify_status(c->status, buf_str(&c->head), buf_str(&c->body), clock_wall_ms(), str_c(c->provider->key), &o);
	(void)snprintf(c->error, sizeof c->error, "%.199s", err_sentence(&o.info, o.err));
	if (o.fail != FAIL_AUTH) ended(c, "failed");
	else ended(c, c->provider->key != NULL ? "refused" : "missing");
}

static void ask(struct check *c)
{
	const struct provider *p = c->provider;
	struct providers *owner = c->owner->owner;
	struct wire_request r;
	if (!listing_request(p->dialect, str_c(p->base_url), str_c(p->key), STR(""), &r)) {
		(void)snprintf(c->error, sizeof c->error, "there is no cheap way to ask it");
		return;
	}
	struct http_call_spec spec = {
		.method = r.method,
		.url = r.url,
		.headers = (const char *const *)r.headers,
		.body = STR_NONE,
		.connect_ms = owner->limits->connect_ms,
		.total_ms = KEY_CHECK_MS,
		.allow_private = p->allow_private,
		.proxy = p->proxy,
		.head = on_head,
		.body_data = on_body,
		.done = on_done,
		.ctx = c,
	};
	c->owner->nopen++;
	c->http = http_call_start(owner->http, &spec);
	wire_request_release(&r);
}

void key_check_start(struct providers *p, key_check_done done, void *ctx)
{
	struct key_check *k = xcalloc(1, sizeof *k);
	*k = (struct key_check){.owner = p, .done = done, .ctx = ctx, .next = p->checks};
	p->checks = k;
	k->list = xcalloc(p->n, sizeof *k->list);
	uv_timer_init(p->loop, &k->later);
	k->later.data = k;
	for (size_t i = 0; i < p->n; i++) {
		if (p->list[i].source != SOURCE_REMOTE) continue;
		struct check *c = &k->list[k->n++];
		*c = (struct check){.owner = k, .provider = &p->list[i], .state = "unreachable"};
		c->head = BUF_INIT(BODY_MAX);
		c->body = BUF_INIT(BODY_MAX);
		ask(c);
	}
	uv_timer_start(&k->later, on_later, 0, 0);
}
