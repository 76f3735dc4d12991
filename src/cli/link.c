#include "cli/link.h"

#include "base/clock.h"
#include "base/id.h"
#include "net/ws_client.h"

#define SOCKET_PATH "/api/v1/devices/socket"
#define FRAME_BYTES_MAX ((size_t)32 << 20)
#define CONNECT_MS 5000
#define PING_MS 25000
#define BACKOFF_MS 200
#define BACKOFF_MAX_MS 10000
/* Close codes of the device protocol. */
#define CODE_REPLACED 4001
#define CODE_REVOKED 4003

struct link {
	struct link_hooks hooks;
	uv_loop_t *loop;
	uv_timer_t timer;     /* the next try */
	struct ws_client *ws; /* NULL between tries */
	char *url, *socket_path, *authorization;
	int64_t give_up_ms, down_since_ms; /* boot time; 0: up */
	int tries;
	bool is_up, is_freed;
};

static void link_connect(struct link *l);

static void on_timer(uv_timer_t *t) { link_connect(t->data); }

static void on_timer_closed(uv_handle_t *h)
{
	struct link *l = h->data;
	free(l->url);
	free(l->socket_path);
	free(l->authorization);
	free(l);
}

/* Frees when neither a client nor the timer can call back any more. */
static void release(struct link *l)
{
	if (l->ws == NULL && !uv_is_closing((uv_handle_t *)&l->timer))
		uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

static void try_later(struct link *l)
{
	int64_t wait = MIN((int64_t)BACKOFF_MS << MIN(l->tries, 10), BACKOFF_MAX_MS);
	l->tries++;
	wait = wait / 2 + (int64_t)(random_u64() % (uint64_t)(wait / 2 + 1));
	uv_timer_start(&l->timer, on_timer, (uint64_t)wait, 0);
}

/* What a lost or refused connection means. */
static void lost(struct link *l, int code, enum err e, const struct errinfo *info)
{
	struct errinfo why;
	int64_t now = clock_boot_ms();
	if (l->down_since_ms == 0) l->down_since_ms = now;
	if (code == CODE_REPLACED) {
		e = err_set(&why, ERR_CONFLICT, "this terminal's device connected from elsewhere");
	} else if (code == CODE_REVOKED) {
		e = err_set(&why, ERR_FORBIDDEN, "this terminal is no longer paired");
	} else if (e == ERR_UNAUTHORIZED || e == ERR_FORBIDDEN || e == ERR_BAD_HOST || e == ERR_BAD_ORIGIN) {
		why = *info;
	} else if (l->give_up_ms > 0 && now - l->down_since_ms >= l->give_up_ms) {
		e = err_set(&why, ERR_UNAVAILABLE, "the daemon did not come back; the message may have been taken");
	} else {
		try_later(l);
		l->hooks.down(l->hooks.ctx, e != OK ? err_sentence(info, e) : "the connection was closed");
		return;
	}
	l->hooks.over(l->hooks.ctx, e, &why);
}

static void on_open(void *ctx)
{
	struct link *l = ctx;
	if (l->is_freed) return;
	l->is_up = true;
	l->tries = 0;
	l->down_since_ms = 0;
	l->hooks.up(l->hooks.ctx);
}

static void on_message(void *ctx, struct str text)
{
	struct link *l = ctx;
	if (!l->is_freed) l->hooks.frame(l->hooks.ctx, text);
}

static void on_closed(void *ctx, int code, enum err e, const struct errinfo *info)
{
	struct link *l = ctx;
	l->ws = NULL;
	l->is_up = false;
	if (l->is_freed) release(l);
	else lost(l, code, e, info);
}

static void link_connect(struct link *l)
{
	const char *const headers[] = {l->authorization, NULL};
	struct errinfo info = {0};
	struct ws_client_spec spec = {
		.url = l->url,
		.socket_path = l->socket_path,
		.headers = headers,
		.subprotocol = "roost.v1",
		.max_bytes = FRAME_BYTES_MAX,
		.connect_ms = CONNECT_MS,
		.ping_ms = PING_MS,
		.open = on_open,
		.message = on_message,
		.closed = on_closed,
		.ctx = l,
	};
	enum err e = ws_client_start(l->loop, &spec, &l->ws, &info);
	if (e != OK) {
		l->ws = NULL;
		lost(l, 0, e, &info);
	}
}

struct link *link_new(const struct link_options *o, const struct link_hooks *h)
{
	struct link *l = xcalloc(1, sizeof *l);
	const char *base = o->url != NULL ? o->url : "http://localhost";
	size_t trimmed = strlen(base);
	while (trimmed > 0 && base[trimmed - 1] == '/') trimmed--;
	size_t url_size = trimmed + sizeof SOCKET_PATH,
	       header_size = strlen(o->token) + sizeof "Authorization: Bearer ";
	l->hooks = *h;
	l->loop = o->loop;
	l->give_up_ms = o->give_up_ms;
	l->url = xmalloc(url_size);
	snprintf(l->url, url_size, "%.*s%s", (int)trimmed, base, SOCKET_PATH);
	l->authorization = xmalloc(header_size);
	snprintf(l->authorization, header_size, "Authorization: Bearer %s", o->token);
	l->socket_path = o->url == NULL ? xstrdup(o->socket_path) : NULL;
	uv_timer_init(l->loop, &l->timer);
	l->timer.data = l;
	uv_timer_start(&l->timer, on_timer, 0, 0); /* not from inside this call */
	return l;
}

void link_send(struct link *l, struct str frame)
{
	if (l->is_up) (void)ws_client_send(l->ws, frame);
}

void link_free(struct link *l)
{
	l->is_freed = true;
	uv_timer_stop(&l->timer);
	if (l->ws != NULL) ws_client_close(l->ws, 1000);
	release(l);
}
