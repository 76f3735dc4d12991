/* One verb asked by a device, over its WebSocket or over HTTP, and the verbs there are. A verb reads call->in and ends in
 * call_reply, call_fail or call_end, now or later; it does not know which way it was asked. Loop thread only. */
#ifndef ROOST_SERVER_CALL_H
#define ROOST_SERVER_CALL_H

#include "server/server.h"

/* A verb asked by a device. It lives until call_reply/call_fail; if the asker leaves first the answer goes nowhere, but
 * what was begun is finished. */
struct call {
	struct task task;
	struct server *server;
	struct peer *peer;    /* NULL: HTTP, or the device left */
	struct http_req *req; /* NULL: WebSocket, or the client left */
	struct live_user *user;
	uint32_t principal;
	char device_id[NAME_MAX_LEN + 1];
	struct json_doc *doc; /* the frame or the body; strings of commands are views of it */
	const struct json *in;
	char re[40];             /* the frame's id as JSON text, "" none */
	struct joining *joining; /* what it is while a session:join looks its session up, see verbs_session.c */
	struct arena arena;
	struct buf out;
	LIST_ENTRY(call) in_peer;
};
struct call *call_new(struct server *s, struct live_user *u, uint32_t principal, struct str device_id);
/* {"type":type,"re":…, and then what the caller writes until call_reply. */
struct jw call_begin(struct call *c, const char *type);
void call_reply(struct call *c, struct jw *w);
/* An error; `extra` is members of a JSON object without braces ("\"sessionId\":\"…\"") or STR_NONE. */
void call_fail(struct call *c, enum err e, const struct errinfo *info, struct str extra);
/* Ends a call that answers nothing (device:ack) or was answered otherwise. */
void call_end(struct call *c);
/* Refuses new writes when the store is behind: true (and the call is answered) while the whole queue is full. */
bool call_refuse_busy(struct call *c);

typedef void (*verb_fn)(struct call *c);
/* The verb of a frame type, NULL when there is none. */
verb_fn verb_find(struct str type);
void verb_message_send(struct call *c);
void verb_message_edit(struct call *c);
void verb_message_delete(struct call *c);
void verb_request_stop(struct call *c);
void verb_request_retry(struct call *c);
void verb_request_get(struct call *c);
void verb_record_save(struct call *c);
void verb_record_query(struct call *c);
void verb_model_list(struct call *c);
void verb_device_list(struct call *c);
void verb_session_sync(struct call *c);
void verb_session_join(struct call *c);
void verb_session_leave(struct call *c);
void verb_session_lock(struct call *c);
void verb_session_unlock(struct call *c);
void verb_session_typing(struct call *c);
void verb_device_primary(struct call *c);
void verb_device_get(struct call *c);
void verb_device_revoke(struct call *c);
void verb_session_clear(struct call *c);
void verb_message_attach(struct call *c);
void verb_device_ack(struct call *c);
void verb_auto_start(struct call *c);
void verb_auto_pause(struct call *c);
void verb_auto_resume(struct call *c);
void verb_auto_stop(struct call *c);
void verb_auto_state(struct call *c);
void verb_queue_list(struct call *c);
void verb_queue_pause(struct call *c);
void verb_queue_resume(struct call *c);
void verb_queue_clear(struct call *c);
void verb_queue_remove(struct call *c);
void verb_queue_reorder(struct call *c);
void verb_permission_answer(struct call *c);
void verb_experiment_stop(struct call *c);
void verb_experiment_pause(struct call *c);
void verb_experiment_resume(struct call *c);
void verb_ping(struct call *c);

#endif
