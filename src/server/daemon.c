#include "server/daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "host/fault.h"
#include "host/process.h"
#include "host/qr.h"
#include "server/stream.h"

#define STOP_GRACE_MS 2000
#define COLLECT_EVERY_S 600

/* ---- the process ------------------------------------------------------------------------------------------------ */

/* One datagram to the supervisor, when there is one: "READY=1", "STOPPING=1", "WATCHDOG=1". */
static void notify_supervisor(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path) return;
	memcpy(to.sun_path, path, strlen(path));
	if (to.sun_path[0] == '@') to.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return;
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len);
	close(fd);
}

static void on_watched(void *ctx)
{
	(void)ctx;
	notify_supervisor("WATCHDOG=1");
}

/* ---- the store's callbacks -------------------------------------------------------------------------------------- */

static void on_wake(void *ctx) { uv_async_send(&((struct server *)ctx)->wake); }

/* Writer thread: the disk failed. Nothing more may be acknowledged, so nothing more runs. */
static void on_fatal(void *ctx, enum err e, const char *what)
{
	(void)ctx;
	log_error("the disk failed (%s): %s; nothing more is acknowledged, the daemon ends", err_code(e), what);
	_exit(err_exit(e));
}

static void on_changed(void *ctx, struct store_op *op)
{
	feed_changed(ctx, op);
	presence_committed(ctx, op);
}

static void on_async(uv_async_t *a)
{
	struct server *s = a->data;
	if (s->store == NULL) return;
	store_poll(s->store);
	peers_relieve(s);
}

static void on_tick(uv_timer_t *t)
{
	struct server *s = t->data;
	feed_tick(s);
	auto_tick(s);
	sync_tick(s);
	int64_t keep_s = s->config->limits.asset_keep_ms / 1000; /* one kept for seconds is looked for as often */
	if (++s->ticks % MIN(MAX(keep_s, 1), COLLECT_EVERY_S) == 0) upload_collect(s);
}

/* ---- stopping --------------------------------------------------------------------------------------------------- */

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h)) uv_close(h, NULL);
}

static void on_http_stopped(void *ctx)
{
	struct server *s = ctx;
	uv_stop(&s->loop);
}

/* In this order: nothing new is taken, calls to providers are cut, what was taken is committed and acknowledged, then the
 * connections close. */
static void stop(struct server *s, int status)
{
	if (s->stopping) return;
	s->stopping = true;
	s->exit_status = status;
	notify_supervisor("STOPPING=1");
	if (s->journal != NULL) journal_event(s->journal, "daemon.stopping", EVI("status", status));
	uv_timer_stop(&s->tick);
	uv_timer_stop(&s->seats_timer);
	experiments_stop(s);
	seats_stop(s->seats);
	catalog_stop(s->catalog);
	work_stop(s->work);
	feed_end_waits(s);
	sync_flush(s);
	store_close(s->store);
	s->store = NULL;
	http_server_stop(s->http, STOP_GRACE_MS, on_http_stopped, s);
}

static void on_signal(uv_signal_t *h, int signum)
{
	(void)signum;
	stop(h->data, 0);
}

/* ---- starting --------------------------------------------------------------------------------------------------- */

struct first {
	struct cmd_pair_make make;
	struct server *server;
	char code[PAIR_CODE_LEN + 1];
	int64_t ndevices;
};

static enum err count_cred(void *ctx, const struct cred_row *c)
{
	*(int64_t *)ctx += !c->revoked;
	return OK;
}

/* A code only while nobody is paired. */
static enum err first_run(struct txn *t, struct store_op *op)
{
	struct first *f = op->ctx;
	enum err e = txn_creds(t, 0, count_cred, &f->ndevices);
	if (e != OK || f->ndevices > 0) return e;
	return cmd_pair_make_run(t, op);
}

static void first_done(struct store_op *op)
{
	struct first *f = op->ctx;
	if (op->err == OK && f->ndevices == 0) {
		char link[256], when[TIME_TEXT_LEN + 1];
		snprintf(link, sizeof link, "%s/#pair=%s", f->server->listen_url, f->code);
		time_format(f->make.expires_ms, when);
		printf("pair a device: %s\npairing code:  %s (once, until %s)\n", link, f->code, when);
		qr_print(stdout, link);
		fflush(stdout);
	}
	store_op_release(op);
	free(f);
}

static void offer_pairing(struct server *s)
{
	struct first *f = xcalloc(1, sizeof *f);
	f->server = s;
	pair_code_new(f->code);
	store_op_init(&f->make.op, first_run, first_done, 0, clock_wall_ms());
	f->make.op.ctx = f;
	f->make.user = STR_NONE;
	(void)pair_code_hash(str_n(f->code, PAIR_CODE_LEN), f->make.hash);
	f->make.expires_ms = clock_wall_ms() + s->config->limits.pairing_ms;
	store_submit(s->store, &f->make.op);
}

static void on_ready(void *ctx, enum err e)
{
	struct server *s = ctx;
	if (e != OK) {
		stop(s, err_exit(e));
		return;
	}
	s->ready = true;
	(void)catalog_look(s->catalog, 0, NULL, NULL);
	experiments_start(s);
	for (size_t i = 0; s->listen_urls[i][0] != '\0'; i++) printf("listening on %s\n", s->listen_urls[i]);
	fflush(stdout);
	notify_supervisor("READY=1");
	if (s->journal != NULL)
		journal_event(s->journal, "daemon.started", EVS("version", STR(ROOST_VERSION)), EVI("pid", getpid()),
			      EVI("incarnation", store_incarnation(s->store)),
			      EVI("startMs", clock_boot_ms() - s->started_boot_ms));
	int shown = mdns_wanted(s->config);
	if (shown >= 0) {
		const char *port = strrchr(s->listen_urls[shown], ':');
		s->mdns = mdns_publish((int)strtol(port + 1, NULL, 10), s->config->tls_cert[0] != '\0', s->journal);
	}
	if (s->is_loopback) offer_pairing(s);
}

static enum err listen_all(struct server *s, struct errinfo *info)
{
	const struct config *c = s->config;
	bool tls = c->tls_cert[0] != '\0';
	char path[512];
	for (size_t i = 0; c->listen[i] != NULL; i++) {
		struct str addr;
		int port;
		if (i + 1 >= ARRAY_LEN(s->listen_urls))
			return err_set(info, ERR_CONFIG, "at most %zu listen addresses", ARRAY_LEN(s->listen_urls) - 1);
		if (!config_split_address(str_c(c->listen[i]), &addr, &port))
			return err_set(info, ERR_CONFIG, "listen: %s is not ADDR:PORT", c->listen[i]);
		enum err e = http_listen(s->http, c->listen[i], tls ? c->tls_cert : NULL, tls ? c->tls_key : NULL,
					 &port, info);
		if (e != OK) return e;
		bool v6 = memchr(addr.p, ':', addr.n) != NULL;
		snprintf(s->listen_urls[i], sizeof s->listen_urls[i], "%s://%s%.*s%s:%d", tls ? "https" : "http",
			 v6 ? "[" : "", STR_ARG(addr), v6 ? "]" : "", port);
		if (i == 0) {
			(void)str_copy(str_c(s->listen_urls[0]), s->listen_url, sizeof s->listen_url);
			s->is_loopback = config_is_loopback(addr);
		}
	}
	snprintf(path, sizeof path, "%s/roost.sock", c->data_dir);
	return http_listen_unix(s->http, path, info);
}

static enum err open_catalog(struct server *s, struct errinfo *info)
{
	char own[512];
	snprintf(own, sizeof own, "%s/models.json", s->config->data_dir);
	struct catalog_options o = {.providers = s->providers,
				    .own_path = own,
				    .default_model = s->config->default_model,
				    .fallback = s->config->model_fallback};
	return catalog_new(&o, &s->catalog, info);
}

/* The configuration was checked. */
static void read_budgets(struct server *s)
{
	const struct config *c = s->config;
	struct budgets *b = &s->budgets;
	b->user_ticks = BUDGET_NONE;
	if (c->user_budget[0] != '\0' && !budget_parse(str_c(c->user_budget), &b->user_ticks)) b->user_ticks = 0;
	b->providers = s->provider_budgets = xcalloc(MAX(c->nproviders, (size_t)1), sizeof *s->provider_budgets);
	for (size_t i = 0; i < c->nproviders; i++) {
		struct provider_budget *p = &s->provider_budgets[b->nproviders];
		p->provider = str_c(c->providers[i].name);
		if (c->providers[i].budget != NULL && budget_parse(str_c(c->providers[i].budget), &p->ticks))
			b->nproviders++;
	}
}

static enum err open_parts(struct server *s, struct errinfo *info)
{
	const struct config *c = s->config;
	char dir[512];
	struct store_options so = {.dir = c->data_dir,
				   .limits = &c->limits,
				   .wake = on_wake,
				   .fatal = on_fatal,
				   .ctx = s,
				   .weak_sync = fault_is("ROOST_TEST_WEAK_SYNC", "1")};
	enum err e = store_open(&so, &s->store, info);
	if (e != OK) return e;
	store_set_hooks(s->store, &(struct store_hooks){on_changed, feed_batch_end, s});
	s->duplicates = duplicates_new(c->limits.duplicate_entries, clock_boot_ms());
	snprintf(dir, sizeof dir, "%s/journal", c->data_dir);
	if (c->journal) e = journal_open(dir, &c->limits, &s->journal, info);
	if (e == OK) e = providers_new(&s->loop, &c->limits, c->providers, c->nproviders, &s->providers, info);
	if (e == OK) e = open_catalog(s, info);
	if (e != OK) return e;
	s->book = catalog_book(s->catalog);
	read_budgets(s);
	struct work_options wo = {.loop = &s->loop,
				  .limits = &c->limits,
				  .store = s->store,
				  .providers = s->providers,
				  .journal = s->journal,
				  .budgets = &s->budgets,
				  .book = &s->book,
				  .data_dir = str_c(c->data_dir),
				  .publish = stream_publish,
				  .state = stream_state,
				  .watched = on_watched,
				  .ctx = s};
	s->work = work_new(&wo);
	s->experiments = experiments_new(s);
	struct http_options ho = {.loop = &s->loop,
				  .limits = &c->limits,
				  .hooks = {api_head, api_request, api_gone, s},
				  .hosts = c->hosts,
				  .origins = c->origins,
				  .deflate = c->deflate,
				  .trust_proxy = c->trust_proxy};
	e = http_server_new(&ho, &s->http, info);
	return e == OK ? listen_all(s, info) : e;
}

static void close_parts(struct server *s)
{
	if (s->store != NULL) {
		if (s->work != NULL) work_stop(s->work);
		store_close(s->store);
		s->store = NULL;
	}
	if (s->http != NULL) http_server_free(s->http);
	if (s->work != NULL) work_free(s->work);
	if (s->catalog != NULL) catalog_stop(s->catalog);
	if (s->providers != NULL) providers_free(s->providers);
	auto_watches_free(s);
	queue_watches_free(s);
	seats_free(s->seats);
	live_users_free(s);
	uv_run(&s->loop, UV_RUN_NOWAIT);
	uv_walk(&s->loop, close_handle, NULL);
	while (uv_loop_close(&s->loop) == UV_EBUSY) uv_run(&s->loop, UV_RUN_ONCE);
	free(s->provider_budgets);
	experiments_free(s->experiments);
	catalog_free(s->catalog); /* other threads are done with it */
	mdns_stop(s->mdns);
	if (s->journal != NULL) {
		journal_event(s->journal, "daemon.stopped", EVI("upMs", clock_boot_ms() - s->started_boot_ms));
		journal_close(s->journal);
	}
	guess_free(s->guesses);
	duplicates_free(s->duplicates);
}

int daemon_run(const struct config *c, struct errinfo *info)
{
	struct server *s = xcalloc(1, sizeof *s);
	s->config = c;
	s->started_wall_ms = clock_wall_ms();
	s->started_boot_ms = clock_boot_ms();
	process_prepare();
	if (uv_loop_init(&s->loop) != 0) die(70, "no event loop: %s", strerror(errno));
	uv_async_init(&s->loop, &s->wake, on_async);
	uv_timer_init(&s->loop, &s->tick);
	uv_signal_init(&s->loop, &s->sigint);
	uv_signal_init(&s->loop, &s->sigterm);
	s->wake.data = s->tick.data = s->sigint.data = s->sigterm.data = s;
	queue_open(s);
	presence_open(s);
	s->guesses = guess_new(c->limits.pairing_tries);
	LIST_INIT(&s->peers);
	LIST_INIT(&s->stops);
	LIST_INIT(&s->followers);
	STAILQ_INIT(&s->announce);
	enum err e = open_parts(s, info);
	if (e == OK) {
		uv_signal_start(&s->sigint, on_signal, SIGINT);
		uv_signal_start(&s->sigterm, on_signal, SIGTERM);
		uv_timer_start(&s->tick, on_tick, 1000, 1000);
		work_start(s->work, on_ready, s);
		uv_run(&s->loop, UV_RUN_DEFAULT);
	} else {
		fprintf(stderr, "roost: %s\n", err_sentence(info, e));
		s->exit_status = err_exit(e);
	}
	s->stopping = true;
	close_parts(s);
	int status = s->exit_status;
	free(s);
	return status;
}
