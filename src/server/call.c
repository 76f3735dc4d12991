/* One verb, asked over a WebSocket or over HTTP. The verbs do not know which: they read call->in and end in call_reply or
 * call_fail, and here the answer becomes a frame or an HTTP answer with the same members. */
#include "server/call.h"

/* Frame types that a device may send; the HTTP routes in api.c name the same functions. */
static const struct verb {
	const char *type;
	verb_fn fn;
} verbs[] = {
	{"message:send", verb_message_send},
	{"message:edit", verb_message_edit},
	{"message:delete", verb_message_delete},
	{"message:attach", verb_message_attach},
	{"session:join", verb_session_join},
	{"session:leave", verb_session_leave},
	{"session:lock", verb_session_lock},
	{"session:unlock", verb_session_unlock},
	{"session:typing", verb_session_typing},
	{"session:sync", verb_session_sync},
	{"session:clear", verb_session_clear},
	{"request:stop", verb_request_stop},
	{"request:retry", verb_request_retry},
	{"request:get", verb_request_get},
	{"queue:list", verb_queue_list},
	{"queue:pause", verb_queue_pause},
	{"queue:resume", verb_queue_resume},
	{"queue:clear", verb_queue_clear},
	{"queue:remove", verb_queue_remove},
	{"queue:reorder", verb_queue_reorder},
	{"permission:answer", verb_permission_answer},
	{"record:save", verb_record_save},
	{"record:query", verb_record_query},
	{"model:list", verb_model_list},
	{"device:list", verb_device_list},
	{"device:get", verb_device_get},
	{"device:revoke", verb_device_revoke},
	{"device:primary", verb_device_primary},
	{"device:ack", verb_device_ack},
	{"auto:start", verb_auto_start},
	{"auto:pause", verb_auto_pause},
	{"auto:resume", verb_auto_resume},
	{"auto:stop", verb_auto_stop},
	{"auto:state", verb_auto_state},
	{"experiment:stop", verb_experiment_stop},
	{"experiment:pause", verb_experiment_pause},
	{"experiment:resume", verb_experiment_resume},
	{"ping", verb_ping},
};

verb_fn verb_find(struct str type)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_eq(type, str_c(verbs[i].type))) return verbs[i].fn;
	return NULL;
}

/* The client left: what was begun is finished, the answer goes nowhere. */
static void call_gone(struct task *t) { CONTAINER_OF(t, struct call, task)->req = NULL; }

struct call *call_new(struct server *s, struct live_user *u, uint32_t principal, struct str device_id)
{
	struct call *c = xcalloc(1, sizeof *c);
	c->task.gone = call_gone;
	c->server = s;
	c->user = u;
	c->principal = principal;
	(void)str_copy(device_id, c->device_id, sizeof c->device_id);
	buf_init(&c->out, BUF_NO_LIMIT);
	return c;
}

void call_end(struct call *c)
{
	if (c->peer != NULL) {
		LIST_REMOVE(c, in_peer);
		c->peer->ncalls--;
	}
	json_free(c->doc);
	arena_clear(&c->arena);
	buf_release(&c->out);
	free(c);
}

struct jw call_begin(struct call *c, const char *type)
{
	struct jw w = JW(&c->out);
	jw_obj(&w);
	jw_kstr(&w, "type", str_c(type));
	if (c->re[0] != '\0') jw_kraw(&w, "re", str_c(c->re));
	return w;
}

void call_reply(struct call *c, struct jw *w)
{
	jw_obj_end(w);
	if (c->peer != NULL) {
		struct frame *f = frame_take(&c->out);
		peer_send(c->peer, f);
		frame_unref(f);
	} else if (c->req != NULL) {
		http_set_data(c->req, NULL);
		http_answer(c->req, 200, "application/json", NULL, buf_str(&c->out));
	}
	call_end(c);
}

static void write_error(struct jw *w, enum err e, const struct errinfo *info, struct str extra)
{
	jw_kstr(w, "code", str_c(err_code(e)));
	jw_kstr(w, "message", str_c(err_sentence(info, e)));
	jw_kbool(w, "retryable", err_retryable(e));
	jw_kint(w, "retryAfterMs", info != NULL && info->err == e ? info->retry_after_ms : 0);
	if (extra.n > 0) {
		buf_add_char(w->b, ',');
		buf_add_str(w->b, extra);
	}
}

void call_fail(struct call *c, enum err e, const struct errinfo *info, struct str extra)
{
	buf_clear(&c->out);
	if (c->peer != NULL) {
		struct jw w = call_begin(c, "error");
		write_error(&w, e, info, extra);
		call_reply(c, &w);
		return;
	}
	if (c->req != NULL) {
		struct jw w = JW(&c->out);
		jw_obj(&w);
		jw_key(&w, "error");
		jw_obj(&w);
		write_error(&w, e, info, extra);
		jw_obj_end(&w);
		jw_obj_end(&w);
		http_set_data(c->req, NULL);
		http_answer(c->req, err_http(e), "application/json", NULL, buf_str(&c->out));
	}
	call_end(c);
}

bool call_refuse_busy(struct call *c)
{
	if ((int64_t)store_queue_bytes(c->server->store) < c->server->config->limits.writer_queue_bytes) return false;
	struct errinfo info;
	(void)err_set(&info, ERR_OVERLOADED, "writerQueueBytes (%lld) are waiting for the disk",
		      (long long)c->server->config->limits.writer_queue_bytes);
	info.retry_after_ms = 200;
	call_fail(c, ERR_OVERLOADED, &info, STR_NONE);
	return true;
}

void verb_ping(struct call *c)
{
	struct jw w = call_begin(c, "pong");
	call_reply(c, &w);
}
