#include "client/link.h"

#include "base/hash.h"
#include "base/json.h"
#include "net/ws_client.h"

#define SOCKET_PATH "/api/v1/devices/socket"
#define PAIR_PATH "/api/v1/pair"
#define FRAME_BYTES_MAX ((size_t)32 << 20)
#define CONNECT_MS 5000
#define PING_MS 25000

struct link {
	struct link_hooks hooks;
	void *ctx;
	uv_loop_t *loop;
	uv_timer_t later;            /* tells what failed at once */
	struct ws_client *ws, *post; /* NULL: none */
	char *url, *socket_path, *ca_path;
	bool is_up, is_freed;
	bool is_told_down, is_told_unpaired; /* asked of `later` */
	struct errinfo down, unpaired;       /* why */
};

static void on_later_closed(uv_handle_t *h)
{
	struct link *l = h->data;
	free(l->url);
	free(l->socket_path);
	free(l->ca_path);
	free(l);
}

/* Frees when nobody can call back any more. */
static void release(struct link *l)
{
	if (l->ws == NULL && l->post == NULL && !uv_is_closing((uv_handle_t *)&l->later))
		uv_close((uv_handle_t *)&l->later, on_later_closed);
}

static void tell_unpaired(struct link *l, enum err e, const struct errinfo *info)
{
	l->hooks.paired(l->ctx, e, STR(""), STR(""), info);
}

static void on_later(uv_timer_t *t)
{
	struct link *l = t->data;
	bool is_down = l->is_told_down, is_unpaired = l->is_told_unpaired;
	l->is_told_down = l->is_told_unpaired = false;
	if (is_down) l->hooks.down(l->ctx, 0, l->down.err, &l->down);
	if (is_unpaired && !l->is_freed) tell_unpaired(l, l->unpaired.err, &l->unpaired);
}

static void on_open(void *ctx)
{
	struct link *l = ctx;
	if (l->is_freed) return;
	l->is_up = true;
	l->hooks.up(l->ctx);
}

static void on_message(void *ctx, struct str text)
{
	struct link *l = ctx;
	if (!l->is_freed) l->hooks.frame(l->ctx, text);
}

static void on_closed(void *ctx, int code, enum err e, const struct errinfo *info)
{
	struct link *l = ctx;
	l->ws = NULL;
	l->is_up = false;
	if (l->is_freed) release(l);
	else l->hooks.down(l->ctx, e == OK ? code : 0, e, info);
}

static char *join(const char *base, const char *path)
{
	size_t n = strlen(base);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	while (n > 0 && base[n - 1] == '/') n--;
	buf_add(&b, base, n);
	buf_add_str(&b, str_c(path));
	return buf_take(&b, NULL);
}

struct link *link_new(const struct link_options *o, const struct link_hooks *h, void *ctx)
{
	struct link *l = xcalloc(1, sizeof *l);
	l->hooks = *h;
	l->ctx = ctx;
	l->loop = o->loop;
	l->url = xstrdup(o->url != NULL ? o->url : "http://localhost");
	l->socket_path = o->url == NULL ? xstrdup(o->socket_path) : NULL;
	l->ca_path = o->ca_path != NULL ? xstrdup(o->ca_path) : NULL;
	uv_timer_init(l->loop, &l->later);
	l->later.data = l;
	return l;
}

struct link *link_again(struct link *l)
{
	struct link_options o = {
		.loop = l->loop,
		.url = l->socket_path == NULL ? l->url : NULL,
		.socket_path = l->socket_path,
		.ca_path = l->ca_path,
	};
	struct link *fresh = link_new(&o, &l->hooks, l->ctx);
	link_free(l);
	return fresh;
}

/* What both kinds of connection have in common. */
static enum err begin(struct link *l, struct ws_client_spec *spec, const char *path, struct ws_client **out,
		      struct errinfo *info)
{
	char *url = join(l->url, path);
	spec->url = url;
	spec->socket_path = l->socket_path;
	spec->ca_path = l->ca_path;
	spec->max_bytes = FRAME_BYTES_MAX;
	spec->connect_ms = CONNECT_MS;
	spec->ping_ms = PING_MS;
	spec->ctx = l;
	*info = (struct errinfo){0};
	enum err e = ws_client_start(l->loop, spec, out, info);
	if (e != OK) {
		*out = NULL;
		uv_timer_start(&l->later, on_later, 0, 0);
	}
	free(url);
	return e;
}

void link_connect(struct link *l, struct str token)
{
	struct buf header = BUF_INIT(BUF_NO_LIMIT);
	ASSERT(l->ws == NULL);
	buf_addf(&header, "Authorization: Bearer %.*s", STR_ARG(token));
	const char *const headers[] = {header.p, NULL};
	struct ws_client_spec spec = {
		.headers = headers,
		.subprotocol = "roost.v1",
		.open = on_open,
		.message = on_message,
		.closed = on_closed,
	};
	l->is_told_down = begin(l, &spec, SOCKET_PATH, &l->ws, &l->down) != OK;
	secret_wipe(header.p, header.n);
	buf_release(&header);
}

void link_disconnect(struct link *l)
{
	if (l->ws != NULL) ws_client_close(l->ws, 1000);
}

void link_send(struct link *l, struct str frame)
{
	if (l->is_up) (void)ws_client_send(l->ws, frame);
}

/* ---- pairing ---------------------------------------------------------------------------------------------------- */

static void on_answered(void *ctx, int status, struct str body)
{
	struct link *l = ctx;
	struct json_doc *doc = NULL;
	struct str token = STR(""), user = STR("");
	struct errinfo info = {0};
	(void)status;
	if (l->is_freed) return;
	enum err e = json_parse(body, &doc, &info);
	if (e == OK && !json_str(json_get(json_root(doc), "token"), &token))
		e = err_set(&info, ERR_UNAVAILABLE, "what answers is not Roost");
	if (e == OK) json_str(json_get(json_root(doc), "userId"), &user);
	l->hooks.paired(l->ctx, e, token, user, &info);
	json_free(doc);
}

static void on_post_closed(void *ctx, int code, enum err e, const struct errinfo *info)
{
	struct link *l = ctx;
	(void)code;
	l->post = NULL;
	if (l->is_freed) release(l);
	else if (e != OK) tell_unpaired(l, e, info);
}

void link_pair(struct link *l, const struct pair_wish *wish)
{
	struct buf body = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&body);
	ASSERT(l->post == NULL);
	jw_obj(&w);
	jw_kstr(&w, "code", wish->code);
	jw_kstr(&w, "deviceId", wish->device_id);
	jw_kstr(&w, "name", wish->name);
	jw_kstr(&w, "platform", wish->platform);
	if (wish->app_version.n > 0) jw_kstr(&w, "appVersion", wish->app_version);
	jw_obj_end(&w);
	struct ws_client_spec spec = {.post = buf_str(&body), .answered = on_answered, .closed = on_post_closed};
	l->is_told_unpaired = begin(l, &spec, PAIR_PATH, &l->post, &l->unpaired) != OK;
	secret_wipe(body.p, body.n);
	buf_release(&body);
}

void link_free(struct link *l)
{
	if (l == NULL) return;
	l->is_freed = true;
	l->is_told_down = l->is_told_unpaired = false;
	uv_timer_stop(&l->later);
	if (l->ws != NULL) ws_client_abort(l->ws);
	if (l->post != NULL) ws_client_abort(l->post);
	release(l);
}
