/* A call that runs a command-line agent. The prompt is made like any other (call_remote.c) and goes to the program's
 * standard input; what it prints is read by the dialect (provider/agent.h). It is over when the program said its result
 * and ended, or was given agentGraceMs for that.
 *
 * Deadlines are those of every call, but any line of the agent's breaks its silence, and while one of its tools runs or a
 * person is asked something, only answerMs counts. */
#include <sys/stat.h>

#include "base/clock.h"
#include "base/hash.h"
#include "host/call_priv.h"
#include "provider/agent.h"

/* What the agent waits for a person to answer. */
struct question {
	char *id;    /* the agent's */
	char *input; /* of the tool, given back when it is allowed */
	LIST_ENTRY(question) link;
};

/* ---- questions --------------------------------------------------------------------------------------------------- */

static struct question *find_question(struct provider_call *c, struct str id)
{
	struct question *q;
	LIST_FOREACH (q, &c->questions, link)
		if (str_eq(id, str_c(q->id))) return q;
	return NULL;
}

static void question_free(struct question *q)
{
	LIST_REMOVE(q, link);
	free(q->id);
	free(q->input);
	free(q);
}

static void forget_questions(struct provider_call *c)
{
	while (!LIST_EMPTY(&c->questions)) question_free(LIST_FIRST(&c->questions));
}

/* Those that nobody can be asked are answered at once. */
static bool refuse_at_once(struct provider_call *c, const struct agent_question *q, struct buf *out)
{
	if (q->tool.p == NULL) agent_cannot(out, q->id);
	else if (c->hooks.asked == NULL || find_question(c, q->id) != NULL)
		agent_refuse(out, q->id, STR("nobody can be asked"));
	else if (q->input.n > AGENT_INPUT_MAX)
		agent_refuse(out, q->id, STR("this is more than a person can be shown; do it in smaller steps"));
	return out->n > 0;
}

static void on_asked(void *ctx, const struct agent_question *asked)
{
	struct provider_call *c = ctx;
	struct buf out = BUF_INIT(BUF_NO_LIMIT);
	if (c->is_over || c->child == NULL) return;
	if (refuse_at_once(c, asked, &out)) {
		child_write(c->child, buf_str(&out));
	} else {
		struct question *q = xcalloc(1, sizeof *q);
		q->id = str_dup(asked->id);
		q->input = str_dup(asked->input);
		LIST_INSERT_HEAD(&c->questions, q, link);
		struct call_question told = {asked->id, asked->tool, asked->input};
		c->hooks.asked(c->ctx, &told);
	}
	buf_release(&out);
}

static void on_withdrawn(void *ctx, struct str id)
{
	struct provider_call *c = ctx;
	struct question *q = find_question(c, id);
	if (q == NULL) return;
	question_free(q);
	if (!c->is_over && c->hooks.withdrawn != NULL) c->hooks.withdrawn(c->ctx, id);
}

void provider_call_answer(struct provider_call *c, struct str question_id, bool allow, struct str message)
{
	struct question *q = find_question(c, question_id);
	struct buf out = BUF_INIT(BUF_NO_LIMIT);
	if (q == NULL || c->is_over || c->child == NULL) return;
	if (allow) agent_allow(&out, question_id, str_c(q->input));
	else agent_refuse(&out, question_id, message.n > 0 ? message : STR("the person said no"));
	child_write(c->child, buf_str(&out));
	buf_release(&out);
	question_free(q);
	c->active_ms = call_now_ms(c);
	call_set_deadline(c);
}

/* ---- what it says ------------------------------------------------------------------------------------------------ */

static bool on_text(void *ctx, enum answer_kind kind, struct str text)
{
	struct provider_call *c = ctx;
	return call_text(c, kind, text);
}

/* It was to go on with a session that it doesn't know: once more from the beginning, with the whole conversation. */
static bool begin_again(struct provider_call *c, struct str said)
{
	if (c->agent_session[0] == '\0' || c->output_bytes > 0) return false;
	if (!agent_lost_session(c->answer) && !agent_says_session_is_lost(said)) return false;
	c->agent_session[0] = '\0';
	c->session_lost = true;
	exec_let_go(c);
	answer_free(c->answer);
	c->answer = NULL;
	c->got_text = false;
	prompt_drop_session(c->prompt);
	remote_make(c);
	return true;
}

static void on_out(void *ctx, struct str bytes)
{
	struct provider_call *c = ctx;
	call_enter(c);
	if (!c->connected && c->hooks.connected != NULL) c->hooks.connected(c->ctx);
	c->connected = c->got_text = true;
	c->active_ms = call_now_ms(c);
	c->received_bytes += (int64_t)bytes.n;
	switch (c->is_over || c->complete ? FEED_COMPLETE : answer_feed(c->answer, bytes)) {
	case FEED_MORE: break;
	case FEED_COMPLETE:
		c->complete = true;
		if (c->child != NULL) child_end_input(c->child);
		break;
	case FEED_STOP:
		if (c->is_over || begin_again(c, STR(""))) goto out;
		remote_end(c, OK, NULL);
		break;
	}
	if (c->is_over) goto out;
	if (c->received_bytes > c->owner->limits->provider_body_bytes)
		provider_call_fail(c, ERR_PROVIDER_LIMIT, "the agent printed more bytes than it may",
				   c->owner->limits->provider_body_bytes, "providerBodyBytes");
	else call_set_deadline(c);
out:
	call_leave(c);
}

/* Without a result. */
static void say_how_it_ended(struct provider_call *c, const struct child_end *end)
{
	char what[40];
	int64_t odd = answer_passed_over(c->answer);
	if (end->signal != 0) (void)snprintf(what, sizeof what, "the agent was killed by signal %d", end->signal);
	else (void)snprintf(what, sizeof what, "the agent ended with status %d", end->code);
	if (end->said.n > 0) answer_fail_said(c->answer, FAIL_SERVER, what, end->said);
	else if (odd == 0) answer_fail(c->answer, FAIL_SERVER, "%s", what);
	else answer_fail(c->answer, FAIL_SERVER, "%s; %lld lines that it printed were no JSON", what, (long long)odd);
}

static void on_ended(void *ctx, const struct child_end *end)
{
	struct provider_call *c = ctx;
	call_enter(c);
	c->child = NULL;
	if (!c->complete) {
		if (begin_again(c, end->said)) goto out;
		if (end->code != 0 || end->signal != 0) say_how_it_ended(c, end);
	}
	remote_end(c, OK, NULL);
out:
	call_leave(c);
}

/* ---- running it -------------------------------------------------------------------------------------------------- */

/* A directory for each conversation of each user: DATA/agents/<hash of both ids>. */
static char *make_place(struct str data_dir, struct str conversation)
{
	unsigned char hash[SHA256_LEN];
	struct buf path = BUF_INIT(BUF_NO_LIMIT);
	struct sha256 *h = sha256_new();
	sha256_add(h, conversation);
	sha256_end(h, hash);
	buf_addf(&path, "%.*s/agents", STR_ARG(data_dir));
	(void)mkdir(path.p, 0700); /* what is wrong with it is said of the directory inside it */
	buf_add_char(&path, '/');
	for (size_t i = 0; i < 16; i++) buf_addf(&path, "%02x", hash[i]);
	return buf_take(&path, NULL);
}

void exec_begin(struct provider_call *c, const struct call_spec *spec)
{
	struct json_doc *doc = NULL;
	struct str id;
	c->place = make_place(spec->data_dir, spec->conversation);
	if (spec->agent_sessions.n == 0 || json_parse(spec->agent_sessions, &doc, NULL) != OK) return;
	if (json_str(json_get(json_root(doc), c->provider->name), &id) && agent_session_is_good(id))
		(void)str_copy(id, c->agent_session, sizeof c->agent_session);
	json_free(doc);
}

void exec_send(struct provider_call *c)
{
	static const struct child_hooks hooks = {on_out, on_ended};
	const struct provider *prov = c->provider;
	const struct wire_request *r = &prompt_made(c->prompt)->request;
	struct answer_sink sink = {
		.text = on_text,
		.ctx = c,
		.answer_bytes = c->owner->limits->answer_bytes,
		.now_ms = clock_wall_ms(),
		.key = str_c(prov->key),
	};
	struct child_spec child = {
		.loop = c->owner->loop,
		.list = &c->owner->children,
		.argv = r->argv,
		.env = prov->env,
		.path = prov->path,
		.dir = c->place,
		.grace_ms = c->owner->limits->agent_grace_ms,
	};
	c->answer = answer_new(&dialect_exec, &sink);
	agent_listen(c->answer, &(struct agent_hooks){on_asked, on_withdrawn, c});
	c->stage_ms = c->active_ms = call_now_ms(c);
	c->early.err = child_start(&child, &hooks, c, &c->child, &c->early.info);
	if (c->early.err != OK) {
		c->early.fail = FAIL_NETWORK; /* but trying again does not help */
		call_fail_early(c);
		return;
	}
	child_write(c->child, buf_str(&r->body));
	if (!agent_takes_lines((const char *const *)prov->command)) child_end_input(c->child);
	if (c->paused) child_pause(c->child, true);
	call_set_deadline(c);
}

bool exec_waits(const struct provider_call *c)
{
	return !LIST_EMPTY(&c->questions) || (c->child != NULL && agent_is_working(c->answer));
}

void exec_tell(const struct provider_call *c, struct call_outcome *o)
{
	o->agent_session = agent_session(c->answer);
	o->session_lost = c->session_lost;
}

void exec_let_go(struct provider_call *c)
{
	forget_questions(c);
	if (c->child != NULL) child_let_go(c->child);
	c->child = NULL;
}

void exec_free(struct provider_call *c) { free(c->place); }
