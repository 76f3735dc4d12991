#include "host/lister.h"

#include "base/clock.h"

#define ALL_MS 10000

struct lister {
	const struct providers *providers;
	const struct provider *of;
	void (*done)(void *ctx, struct told *told);
	void *ctx;
	struct told told;
	struct http_call *http; /* NULL between two pages */
	int status;
	struct buf body;
	int64_t begun_boot_ms, npages;
	struct str next; /* the place of the page that is asked for */
};

static void lister_free(struct lister *l)
{
	buf_release(&l->body);
	arena_clear(&l->told.memory);
	free(l);
}

/* It may tell one on two pages. */
static void add_listed(struct told *t, const struct listed *m)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_eq(t->list[i].wire, m->wire)) return;
	if (t->n < LISTING_MAX) t->list[t->n++] = *m;
}

/* Adds a page; true: there is another one, and it may be asked for. */
static bool take_page(struct lister *l)
{
	struct told *t = &l->told;
	struct listing page;
	struct errinfo why = {0};
	int64_t most = l->providers->limits->listing_pages;
	enum err e = listing_read(l->of->dialect, buf_str(&l->body), &t->memory, &page, &why);
	if (e != OK) {
		(void)snprintf(t->error, sizeof t->error, "%s", err_sentence(&why, e));
		return false;
	}
	if (t->list == NULL) t->list = arena_alloc(&t->memory, xmul(LISTING_MAX, sizeof *t->list));
	for (size_t i = 0; i < page.n; i++) add_listed(t, &page.list[i]);
	l->npages++;
	bool is_stuck = page.next.n > LISTING_PLACE_MAX || str_eq(page.next, l->next);
	l->next = page.next;
	if (page.next.n == 0) return false;
	if (is_stuck)
		(void)snprintf(t->error, sizeof t->error, "its list leads nowhere after page %lld",
			       (long long)l->npages);
	else if (t->n == LISTING_MAX)
		(void)snprintf(t->error, sizeof t->error, "its list has more than %d models", LISTING_MAX);
	else if (l->npages >= most)
		(void)snprintf(t->error, sizeof t->error, "its list has more pages than listingPages (%lld) allows",
			       (long long)most);
	return t->error[0] == '\0';
}

static bool ask_page(struct lister *l);

static void on_done(void *ctx, enum err e, const struct errinfo *info)
{
	struct lister *l = ctx;
	struct told *t = &l->told;
	bool goes_on = false;
	l->http = NULL;
	if (e != OK) (void)snprintf(t->error, sizeof t->error, "%s", err_sentence(info, e));
	else if (l->body.failed) (void)snprintf(t->error, sizeof t->error, "the answer is too long");
	else if (l->status != 200) (void)snprintf(t->error, sizeof t->error, "the answer has status %d", l->status);
	else goes_on = take_page(l);
	if (goes_on && ask_page(l)) return;
	l->done(l->ctx, t);
	lister_free(l);
}

static void on_head(void *ctx, int status, struct str headers)
{
	(void)headers;
	((struct lister *)ctx)->status = status;
}

static void on_body(void *ctx, struct str piece)
{
	struct lister *l = ctx;
	if (buf_add_str(&l->body, piece)) return;
	http_call_cancel(l->http);
	on_done(l, OK, NULL);
}

static bool ask_page(struct lister *l)
{
	const struct provider *p = l->of;
	struct wire_request r;
	if (!listing_request(p->dialect, str_c(p->base_url), str_c(p->key), l->next, &r)) return false;
	struct http_call_spec spec = {
		.method = r.method,
		.url = r.url,
		.headers = (const char *const *)r.headers,
		.body = STR_NONE,
		.connect_ms = l->providers->limits->connect_ms,
		.total_ms = MAX(ALL_MS - (clock_boot_ms() - l->begun_boot_ms), (int64_t)1),
		.allow_private = p->allow_private,
		.proxy = p->proxy,
		.head = on_head,
		.body_data = on_body,
		.done = on_done,
		.ctx = l,
	};
	l->status = 0;
	buf_release(&l->body);
	buf_init(&l->body, LISTING_BYTES_MAX);
	l->http = http_call_start(l->providers->http, &spec);
	wire_request_release(&r);
	return true;
}

struct lister *lister_start(const struct providers *p, const struct provider *of,
			    void (*done)(void *ctx, struct told *told), void *ctx)
{
	struct lister *l = xcalloc(1, sizeof *l);
	*l = (struct lister){
		.providers = p, .of = of, .done = done, .ctx = ctx, .begun_boot_ms = clock_boot_ms(), .next = STR("")};
	buf_init(&l->body, LISTING_BYTES_MAX);
	if (ask_page(l)) return l;
	lister_free(l);
	return NULL;
}

void lister_cancel(struct lister *l)
{
	if (l->http != NULL) http_call_cancel(l->http);
	lister_free(l);
}
