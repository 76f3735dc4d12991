/* message:edit and message:delete. */
#include "base/clock.h"
#include "relay/edit.h"
#include "server/call.h"

struct editing {
	struct cmd_edit cmd;
	struct call *call;
	struct json_doc *doc;  /* the call's; the command's strings are views of it */
	struct json_doc *made; /* {"fields": …, "base": …} as a merge takes them */
};

static void editing_free(struct editing *v)
{
	json_free(v->doc);
	json_free(v->made);
	store_op_release(&v->cmd.op);
	free(v);
}

static void ack(struct editing *v)
{
	struct call *c = v->call;
	struct cmd_edit *m = &v->cmd;
	char tag[TAG_CAP];
	struct jw w = call_begin(c, "message:ack");
	jw_kstr(&w, "messageId", m->message_id);
	jw_kstr(&w, "changeTag", str_n(tag, tag_format(m->rec.seq, tag)));
	jw_key(&w, "record");
	write_record(c->server, &w, &m->rec);
	if (m->conflicts.p != NULL) jw_kraw(&w, "conflicts", m->conflicts);
	call_reply(c, &w);
}

/* A conflict comes with what is stored, and with what the edit would have made of it. */
static void refuse(struct editing *v)
{
	struct call *c = v->call;
	struct cmd_edit *m = &v->cmd;
	struct buf extra = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&extra);
	if (m->op.err == ERR_SESSION_KILLED && m->out_session_id.p != NULL) jw_kstr(&w, "sessionId", m->out_session_id);
	if (m->op.err == ERR_SESSION_LOCKED) {
		jw_kstr(&w, "holder", m->refusal.device_id);
		jw_ktime(&w, "expiresAt", m->refusal.expires_ms);
	}
	if (m->op.err == ERR_CONFLICT && m->merged.row != 0) {
		jw_key(&w, "serverRecord");
		write_record(c->server, &w, &m->rec);
		if (m->fields != NULL) {
			jw_key(&w, "merged");
			write_record(c->server, &w, &m->merged);
		}
	}
	call_fail(c, m->op.err, &m->op.info, buf_str(&extra));
	buf_release(&extra);
}

/* A request that is open on disk may not have reached the relay yet. */
static void stop_request(struct server *s, const struct job_info *job)
{
	struct work *w = s->work;
	if (relay_find(work_relay(w), job->request_id) == NULL) work_admit(w, job, -1);
	(void)relay_stop(work_relay(w), job->request_id, work_now(w));
	work_kick(w);
}

static void editing_done(struct store_op *op)
{
	struct editing *v = op->ctx;
	struct server *s = v->call->server;
	bool stop = op->err == OK && v->cmd.has_request && !s->stopping;
	if (op->err == OK) ack(v);
	else refuse(v);
	if (stop) stop_request(s, &v->cmd.job);
	editing_free(v);
}

/* The text and its base as objects by field. */
static enum err make_edit(struct editing *v, const struct json *in, bool is_edit, struct errinfo *info)
{
	struct str text = STR(""), base = STR_NONE;
	const struct limits *l = &v->call->server->config->limits;
	if ((is_edit && !json_want_str(in, "text", 0, &text, info)) ||
	    !json_want_str(in, "base", JSON_OPTIONAL, &base, info))
		return info->err;
	if ((int64_t)text.n > l->text_bytes)
		return err_set(info, ERR_TOO_LARGE, "the text has %zu bytes; textBytes allows %lld", text.n,
			       (long long)l->text_bytes);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_key(&w, "fields");
	jw_obj(&w);
	jw_kstr(&w, "text", text);
	jw_obj_end(&w);
	if (base.p != NULL) {
		jw_key(&w, "base");
		jw_obj(&w);
		jw_kstr(&w, "text", base);
		jw_obj_end(&w);
	}
	jw_obj_end(&w);
	enum err e = json_parse(buf_str(&b), &v->made, info);
	buf_release(&b);
	v->cmd.fields = is_edit ? json_get(json_root(v->made), "fields") : NULL;
	v->cmd.base = json_get(json_root(v->made), "base");
	v->cmd.op.bytes = sizeof *v + 1024 + text.n;
	return e;
}

static void change(struct call *c, bool is_edit)
{
	struct errinfo info = {0};
	if (call_refuse_busy(c)) return;
	struct editing *v = xcalloc(1, sizeof *v);
	struct cmd_edit *m = &v->cmd;
	store_op_init(&m->op, cmd_edit_run, editing_done, c->principal, clock_wall_ms());
	m->op.ctx = v;
	v->call = c;
	m->user = c->user->user;
	m->boot_ms = clock_boot_ms();
	m->incarnation = store_incarnation(c->server->store);
	m->change_tag = m->stamp = STR_NONE;
	enum err e = json_want_str(c->in, "messageId", 0, &m->message_id, &info) &&
				     json_want_str(c->in, "changeTag", JSON_OPTIONAL, &m->change_tag, &info) &&
				     json_want_str(c->in, "stamp", JSON_OPTIONAL, &m->stamp, &info)
			     ? make_edit(v, c->in, is_edit, &info)
			     : info.err;
	if (e != OK) {
		call_fail(c, e, &info, STR_NONE);
		editing_free(v);
		return;
	}
	v->doc = c->doc;
	c->doc = NULL;
	store_submit(c->server->store, &m->op);
}

void verb_message_edit(struct call *c) { change(c, true); }
void verb_message_delete(struct call *c) { change(c, false); }
