/* permission:answer: a person says whether an agent may use a tool. */
#include "base/clock.h"
#include "relay/permission.h"
#include "server/call.h"

#define MESSAGE_MAX ((size_t)4 << 10)

struct answering {
	struct cmd_permission_answer cmd;
	struct call *call;
	struct json_doc *doc; /* the call's; the command's strings are views of it */
};

static void answering_free(struct answering *a)
{
	json_free(a->doc);
	store_op_release(&a->cmd.op);
	free(a);
}

/* Too late comes with the record, which says who answered what. */
static void refuse(struct answering *a)
{
	struct buf extra = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&extra);
	enum err e = a->cmd.op.err;
	if (e == ERR_ANSWERED || e == ERR_BAD_STATE) {
		jw_key(&w, "record");
		write_record(a->call->server, &w, &a->cmd.rec);
	}
	call_fail(a->call, e, &a->cmd.op.info, buf_str(&extra));
	buf_release(&extra);
}

/* It is on disk; now the agent is told. */
static void answering_done(struct store_op *op)
{
	struct answering *a = op->ctx;
	struct server *s = a->call->server;
	if (op->err != OK) {
		refuse(a);
	} else {
		struct jw w = call_begin(a->call, "permission:ack");
		jw_key(&w, "record");
		write_record(s, &w, &a->cmd.rec);
		call_reply(a->call, &w);
		if (!s->stopping) work_permission_answered(s->work, a->cmd.permission_id, a->cmd.allow, a->cmd.message);
	}
	answering_free(a);
}

static bool read_answer(struct cmd_permission_answer *m, const struct json *in, struct errinfo *info)
{
	m->message = STR("");
	if (!json_want_str(in, "permissionId", 0, &m->permission_id, info) ||
	    !json_want_bool(in, "allow", 0, &m->allow, info) ||
	    !json_want_str(in, "message", JSON_OPTIONAL, &m->message, info))
		return false;
	if (m->message.n <= MESSAGE_MAX) return true;
	(void)err_set(info, ERR_TOO_LARGE, "\"message\" has %zu bytes; it may have %zu", m->message.n, MESSAGE_MAX);
	return false;
}

void verb_permission_answer(struct call *c)
{
	struct errinfo info = {0};
	if (call_refuse_busy(c)) return;
	struct answering *a = xcalloc(1, sizeof *a);
	struct cmd_permission_answer *m = &a->cmd;
	store_op_init(&m->op, cmd_permission_answer_run, answering_done, 0, clock_wall_ms());
	m->op.ctx = a;
	m->op.repeatable = true;
	a->call = c;
	if (!read_answer(m, c->in, &info)) {
		call_fail(c, info.err, &info, STR_NONE);
		answering_free(a);
		return;
	}
	m->user = c->user->user;
	m->principal = c->principal;
	m->device_id = arena_str(&m->op.arena, str_c(c->device_id));
	m->op.bytes = sizeof *a + m->message.n;
	a->doc = c->doc;
	c->doc = NULL;
	store_submit(c->server->store, &m->op);
}
