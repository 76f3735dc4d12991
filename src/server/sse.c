/* GET /api/v1/events: the feed as Server-Sent Events, for scripts. Each event is one session:changes with its cursor as
 * the event's id, so a client that comes back with Last-Event-ID misses nothing. */
#include "server/server.h"

#define SSE_QUEUE_BYTES (256 << 10)

struct sse {
	struct sub sub; /* first member */
	struct task task;
	struct http_req *req;
	int64_t idle_ticks;
};

static struct sse *of_sub(struct sub *s) { return (struct sse *)(void *)s; }

static bool sse_deliver(struct sub *sub, struct frame *f, struct str json, int64_t upto)
{
	(void)f;
	struct sse *e = of_sub(sub);
	if (http_queued(e->req) > SSE_QUEUE_BYTES) return false;
	char cursor[CURSOR_CAP];
	size_t n = cursor_format(store_epoch(sub->user->server->store), upto, cursor);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_addf(&b, "id: %.*s\nevent: session:changes\ndata: ", (int)n, cursor);
	buf_add_str(&b, json);
	buf_add(&b, "\n\n", 2);
	http_stream_write(e->req, buf_str(&b));
	buf_release(&b);
	e->idle_ticks = 0;
	return true;
}

static void sse_free(struct sse *e)
{
	sub_stop(&e->sub);
	free(e);
}

static void sse_fail(struct sub *sub, enum err err, const struct errinfo *info)
{
	struct sse *e = of_sub(sub);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	buf_addf(&b, "event: error\ndata: ");
	jw_obj(&w);
	jw_kstr(&w, "code", str_c(err_code(err)));
	jw_kstr(&w, "message", str_c(err_sentence(info, err)));
	jw_obj_end(&w);
	buf_add(&b, "\n\n", 2);
	http_stream_write(e->req, buf_str(&b));
	buf_release(&b);
	http_set_data(e->req, NULL);
	http_stream_end(e->req);
	sse_free(e);
}

/* HTTP has no "drained"; a second is soon enough for a script, and a comment now and then keeps proxies awake. */
static void sse_poll(struct sub *sub)
{
	struct sse *e = of_sub(sub);
	if (sub->blocked && http_queued(e->req) == 0) sub_ready(sub);
	if (++e->idle_ticks < 15) return;
	e->idle_ticks = 0;
	http_stream_write(e->req, STR(": still here\n\n"));
}

static const struct sub_kind sse_kind = {sse_deliver, sse_fail, sse_poll};

static void sse_gone(struct task *t) { sse_free(CONTAINER_OF(t, struct sse, task)); }

void feed_sse(struct server *s, struct http_req *r, struct live_user *u, const struct cred_row *cred)
{
	struct errinfo info = {0};
	int64_t after;
	struct str cursor = http_header(r, "last-event-id");
	if (cursor.p == NULL) cursor = http_query(r, "cursor");
	enum err err = feed_cursor(s, u, cursor, &after, &info);
	if (err != OK) {
		http_answer_error(r, err, &info);
		return;
	}
	struct sse *e = xcalloc(1, sizeof *e);
	e->task.gone = sse_gone;
	e->req = r;
	http_set_data(r, &e->task);
	http_stream_begin(r, 200, "text/event-stream", "Cache-Control: no-store\r\n");
	e->sub.owner = cred->principal;
	sub_start(&e->sub, u, &sse_kind, 0, after);
}
