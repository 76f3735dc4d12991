/* message:send, on the writer thread.
 *
 * The numbered conditions, in this order:
 *  1. The message id is new in this user's zone. If it is not: the same content gets the first ack again
 *     (duplicate = true), other content is ERR_ID_REUSED. A tombstone remembers both for ever.
 *  2. The conversation exists, or is made now together with its first session.
 *  3. The session, if one was named, is the conversation's current one; else ERR_SESSION_KILLED names that.
 *  4. Nobody else holds the session's lock; else ERR_SESSION_LOCKED.
 *  5. An automatic message comes from the primary and names the current term; else ERR_NOT_PRIMARY says who and which.
 *     The session's automatic run is running, else ERR_AUTO_STOPPED, and nobody has followed the answer that it follows,
 *     else ERR_ANSWERED: device/automatic.h, which also counts the message in the same commit.
 *  6. Attachments that `parts` refer to are this user's.
 *  7. No other device sent the same a moment ago (content_net.c), or it is sent with `force`; else ERR_DUPLICATE.
 *  8. The request's preset is there, its model is served, and its parameters are such as the model takes: defaults.c.
 *     Its user's and its provider's budget is not spent, else ERR_BUDGET.
 * Then, in one command and so in one commit: conversation and session if new, the message with the next ord, and the
 * request, claimed already when the caller holds a slot, nothing else of the session is open and its queue is not paused.
 *
 * What a message's sender first sent is kept beside the fields as `origin`, where edits do not reach it:
 *   bytes 0–15 first half of SHA-256 over the content   16–23 first feed place, little endian   24 asked for an answer */
#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "device/session.h"
#include "relay/commands.h"
#include "relay/view_load.h"

static void origin_digest(const struct cmd_send *c, struct str conversation_id, unsigned char out[16])
{
	unsigned char full[SHA256_LEN], lens[16];
	struct sha256 *h = sha256_new();
	for (int i = 0; i < 8; i++) {
		lens[i] = (unsigned char)((uint64_t)conversation_id.n >> (8 * i));
		lens[8 + i] = (unsigned char)((uint64_t)c->text.n >> (8 * i));
	}
	sha256_add(h, str_n((const char *)lens, sizeof lens));
	sha256_add(h, conversation_id);
	sha256_add(h, c->text);
	if (c->parts.p != NULL) sha256_add(h, c->parts);
	sha256_add(h, c->wants_answer ? STR("\1") : STR("\0"));
	sha256_end(h, full);
	memcpy(out, full, 16);
}

static struct str origin_make(struct arena *arena, const unsigned char digest[16], int64_t seq, bool wants_answer)
{
	unsigned char *p = arena_alloc(arena, ORIGIN_LEN);
	memcpy(p, digest, 16);
	for (int i = 0; i < 8; i++) p[16 + i] = (unsigned char)((uint64_t)seq >> (8 * i));
	p[24] = wants_answer;
	return str_n((const char *)p, ORIGIN_LEN);
}

/* Condition 1. OK and *is_new, or OK and c->duplicate, or ERR_ID_REUSED. */
static enum err check_id(struct txn *t, struct cmd_send *c, uint32_t zone, const unsigned char digest[16], bool *is_new)
{
	struct record old;
	enum err e = txn_get(t, zone, RT_MESSAGE, c->message_id, &old);
	*is_new = e == ERR_NOT_FOUND;
	if (*is_new) return OK;
	if (e != OK) return e;
	if (old.origin.n != ORIGIN_LEN || memcmp(old.origin.p, digest, 16) != 0)
		return err_set(&c->op.info, ERR_ID_REUSED,
			       "message id %.*s was used for other content; nothing was changed",
			       STR_ARG(c->message_id));
	uint64_t seq = 0;
	for (int i = 7; i >= 0; i--) seq = seq << 8 | (unsigned char)old.origin.p[16 + i];
	c->duplicate = true;
	c->ord = old.ord;
	c->at_ms = old.created_ms;
	c->tag_seq = (int64_t)seq;
	c->has_request = old.origin.p[24] != 0;
	struct json_doc *doc = NULL;
	struct str session;
	if (!old.deleted && json_parse(old.fields, &doc, NULL) == OK &&
	    json_str(json_get(json_root(doc), "sessionId"), &session))
		c->out_session_id = arena_str(txn_arena(t), session);
	json_free(doc);
	if (c->has_request) {
		struct id id = request_id_of(c->user_id, c->message_id);
		c->job.request_id = arena_str(txn_arena(t), id_str(&id));
	}
	return OK;
}

/* A title from the first line of the first message. */
static struct str title_of(struct str text)
{
	const char *nl = text.n > 0 ? memchr(text.p, '\n', text.n) : NULL;
	if (nl != NULL) text.n = (size_t)(nl - text.p);
	text.n = utf8_cut(text, 80);
	return text.n > 0 ? text : STR("New conversation");
}

static void set_fields(struct record *r, struct arena *arena, struct buf *b)
{
	r->fields = arena_str(arena, buf_str(b));
	buf_release(b);
}

/* What the daemon makes on a message's account is not the device's own save: it must hear of it too. */
static enum err put_as_daemon(struct txn *t, struct cmd_send *c, struct record *r)
{
	uint32_t actor = c->op.actor;
	c->op.actor = 0;
	enum err e = txn_put(t, r);
	c->op.actor = actor;
	return e;
}

static enum err make_session(struct txn *t, struct cmd_send *c, const struct record *conv, struct str session_id)
{
	struct record r = {.zone = conv->zone, .type = RT_SESSION, .name = session_id, .conv = conv->row};
	session_write(&(struct session){.conversation_id = conv->name, .automatic = STR_NONE}, &r, txn_arena(t));
	return put_as_daemon(t, c, &r);
}

/* Condition 8. A conversation that is made now is asked before it has fields. */
static enum err settle_request(struct txn *t, struct cmd_send *c, uint32_t zone, struct str conversation)
{
	if (!c->wants_answer || c->is_settled) return OK;
	c->is_settled = true;
	c->wanted.parts = c->parts;
	c->wanted.fallback = c->fallback;
	enum err e = defaults_settle(t, zone, conversation, &c->wanted, c->book, &c->settled, &c->op.info);
	if (e != OK) return e;
	return budget_check(t, c->user, c->settled.model, c->budgets, &c->refusal.budget, &c->op.info);
}

static enum err make_conversation(struct txn *t, struct cmd_send *c, struct record *conv)
{
	struct arena *arena = txn_arena(t);
	struct id sid = id_derive(conv->name, "session");
	enum err e = settle_request(t, c, conv->zone, STR("{}"));
	if (e != OK) return e;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "title", title_of(c->text));
	jw_kstr(&w, "currentSessionId", id_str(&sid));
	if (c->wants_answer) jw_kstr(&w, "model", c->settled.model);
	jw_obj_end(&w);
	set_fields(conv, arena, &b);
	e = put_as_daemon(t, c, conv);
	if (e == OK) e = make_session(t, c, conv, id_str(&sid));
	c->out_session_id = arena_str(arena, id_str(&sid));
	return e;
}

/* A conversation that was made by record:save has no session until its first message. */
static enum err open_first_session(struct txn *t, struct cmd_send *c, struct record *conv)
{
	struct arena *arena = txn_arena(t);
	struct id sid = id_derive(conv->name, "session");
	struct buf patch = BUF_INIT(BUF_NO_LIMIT), merged = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&patch);
	jw_obj(&w);
	jw_kstr(&w, "currentSessionId", id_str(&sid));
	jw_obj_end(&w);
	enum err e = fields_patch(conv->fields, buf_str(&patch), &merged);
	if (e == OK) {
		conv->fields = arena_str(arena, buf_str(&merged));
		e = put_as_daemon(t, c, conv);
	}
	if (e == OK) e = make_session(t, c, conv, id_str(&sid));
	c->out_session_id = arena_str(arena, id_str(&sid));
	buf_release(&patch);
	buf_release(&merged);
	return e;
}

static enum err session_conversation(struct txn *t, struct cmd_send *c, uint32_t zone, struct str *out)
{
	struct record s;
	struct json_doc *doc = NULL;
	struct str id = STR_NONE;
	enum err e = txn_get(t, zone, RT_SESSION, c->session_id, &s);
	if (e == ERR_NOT_FOUND || (e == OK && s.deleted))
		return err_set(&c->op.info, ERR_NOT_FOUND, "there is no session %.*s", STR_ARG(c->session_id));
	if (e == OK) e = json_parse(s.fields, &doc, NULL);
	if (e == OK && !json_str(json_get(json_root(doc), "conversationId"), &id)) e = ERR_CORRUPT;
	if (e == OK) *out = arena_str(txn_arena(t), id);
	json_free(doc);
	return e;
}

/* Conditions 2 and 3: finds or makes the conversation and its current session. */
static enum err find_conversation(struct txn *t, struct cmd_send *c, uint32_t zone, struct str id, struct record *conv)
{
	enum err e = txn_get(t, zone, RT_CONVERSATION, id, conv);
	if (e == ERR_NOT_FOUND && c->session_id.p != NULL)
		return err_set(&c->op.info, e, "there is no session %.*s", STR_ARG(c->session_id));
	if (e == ERR_NOT_FOUND) {
		*conv = (struct record){.zone = zone, .type = RT_CONVERSATION, .name = id};
		return make_conversation(t, c, conv);
	}
	if (e != OK) return e;
	if (conv->deleted) return err_set(&c->op.info, ERR_NOT_FOUND, "conversation %.*s was deleted", STR_ARG(id));
	struct json_doc *doc = NULL;
	struct str current = STR_NONE;
	e = json_parse(conv->fields, &doc, NULL);
	if (e != OK) return ERR_CORRUPT;
	if (json_str(json_get(json_root(doc), "currentSessionId"), &current))
		c->out_session_id = arena_str(txn_arena(t), current);
	json_free(doc);
	if (current.p == NULL) return open_first_session(t, c, conv);
	if (c->session_id.p != NULL && !str_eq(c->session_id, c->out_session_id))
		return err_set(&c->op.info, ERR_SESSION_KILLED, "session %.*s was cleared; the current one is %.*s",
			       STR_ARG(c->session_id), STR_ARG(c->out_session_id));
	return OK;
}

/* The session a message goes to, as it was judged. */
struct judged {
	struct record record;
	struct session session;
	struct str device_id; /* the sender */
};

static struct automatic automatic_of(struct txn *t, struct cmd_send *c)
{
	struct run_clock clock = {c->op.now_ms, c->boot_ms, c->incarnation};
	return (struct automatic){t, &c->op, c->limits, clock};
}

static enum err judge_automatic(struct txn *t, struct cmd_send *c, const struct record *conv, const struct judged *j)
{
	const struct session *s = &j->session;
	if (!c->automatic) return OK;
	if (!str_eq(s->primary, j->device_id) || s->term != c->term) {
		c->refusal = (struct refusal){.device_id = s->primary, .term = s->term};
		return ERR_NOT_PRIMARY;
	}
	struct automatic a = automatic_of(t, c);
	struct automatic_message m = {c->message_id, c->parent, j->device_id};
	return automatic_judge(&a, s, conv->zone, conv->row, &m, &c->refusal.run);
}

static enum err count_automatic(struct txn *t, struct cmd_send *c, struct judged *j)
{
	if (!c->automatic) return OK;
	struct automatic a = automatic_of(t, c);
	struct automatic_message m = {c->message_id, c->parent, j->device_id};
	return automatic_sent(&a, &j->record, &j->session, &m);
}

/* Conditions 4 and 5. */
static enum err judge_session(struct txn *t, struct cmd_send *c, const struct record *conv, struct judged *j)
{
	struct session *s = &j->session;
	const struct principal *who = NULL;
	enum err e = session_find(t, c->user, c->out_session_id, &j->record, s, &c->op.info);
	if (e == ERR_NOT_FOUND) return ERR_CORRUPT; /* a conversation's current session is there */
	if (e == OK) e = txn_actor(t, &who);
	if (e != OK) return e;
	j->device_id = who->device_id;
	c->held = s->queue_paused;
	if (session_is_locked(s, c->incarnation, c->boot_ms) && !str_eq(s->lock.device_id, who->device_id)) {
		c->refusal = (struct refusal){.device_id = s->lock.device_id, .expires_ms = s->lock.expires_wall_ms};
		return ERR_SESSION_LOCKED;
	}
	return judge_automatic(t, c, conv, j);
}

/* Condition 6, and the references that keep the attachments from being collected. */
static enum err refer_assets(struct txn *t, struct cmd_send *c)
{
	if (c->parts.p == NULL) return OK;
	struct json_doc *doc = NULL;
	enum err e = json_parse(c->parts, &doc, NULL);
	for (struct json_iter it = json_iter(json_root(doc)); e == OK && json_next(&it);) {
		struct str hex;
		unsigned char hash[SHA256_LEN];
		if (!json_str(json_get(it.val, "sha256"), &hex)) continue;
		if (!hex_decode(hex, hash, sizeof hash))
			e = err_set(&c->op.info, ERR_BAD_FIELD, "a part's \"sha256\" must be 64 lower-case hex digits");
		else e = txn_asset_ref(t, c->user, hash, 1);
		if (e == ERR_NOT_FOUND)
			e = err_set(&c->op.info, ERR_NOT_FOUND, "attachment %.*s was not uploaded", STR_ARG(hex));
	}
	json_free(doc);
	return e;
}

static enum err put_message(struct txn *t, struct cmd_send *c, const struct record *conv,
			    const unsigned char digest[16], struct record *m)
{
	struct arena *arena = txn_arena(t);
	struct zone_info zi;
	int64_t ord;
	enum err e = txn_last_ord(t, conv->zone, conv->row, &ord);
	if (e == OK) e = txn_zone_info(t, conv->zone, &zi);
	if (e != OK) return e;
	*m = (struct record){
		.zone = conv->zone, .type = RT_MESSAGE, .name = c->message_id, .conv = conv->row, .ord = ord + 1};
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "conversationId", conv->name);
	jw_kstr(&w, "sessionId", c->out_session_id);
	jw_kint(&w, "ord", m->ord);
	jw_kstr(&w, "role", STR("user"));
	jw_kstr(&w, "text", c->text);
	if (c->parts.p != NULL) jw_kraw(&w, "parts", c->parts);
	if (c->parent.p != NULL) jw_kstr(&w, "parent", c->parent);
	if (c->automatic) jw_kbool(&w, "auto", true);
	if (c->wants_answer) {
		struct id id = request_id_of(c->user_id, c->message_id);
		jw_kstr(&w, "requestId", id_str(&id));
	}
	jw_kstr(&w, "status", STR("complete"));
	jw_obj_end(&w);
	set_fields(m, arena, &b);
	/* The place is known before the put: places of a zone are consecutive and this thread gives them out. */
	m->origin = origin_make(arena, digest, zi.seq + 1, c->wants_answer);
	e = txn_put(t, m);
	if (e == OK) ASSERT_CMP(m->seq, ==, zi.seq + 1);
	c->tag_seq = m->seq;
	c->ord = m->ord;
	c->at_ms = m->created_ms;
	return e;
}

static enum err count_open(void *ctx, const struct record *r)
{
	(void)r;
	++*(int64_t *)ctx;
	return OK;
}

/* The caller holds a slot: the request begins its life claimed, unless its view is longer than there is room for. */
static enum err claim_now(struct txn *t, struct cmd_send *c)
{
	struct request *q = &c->job.request;
	enum err e = view_load(t, c->context_bytes, &c->job);
	if (e != OK || (c->claim_tokens > 0 && view_tokens(&c->job, STR_NONE) > c->claim_tokens)) return e;
	c->claimed = true;
	q->state = RQ_CLAIMED;
	q->attempt = 1;
	q->owner = c->incarnation;
	q->last_started_ms = txn_now_ms(t);
	return OK;
}

static enum err put_request(struct txn *t, struct cmd_send *c, const struct record *conv)
{
	struct arena *arena = txn_arena(t);
	struct id id = request_id_of(c->user_id, c->message_id), reply = id_derive(id_str(&id), "reply");
	struct record r = {.zone = conv->zone, .type = RT_REQUEST, .conv = conv->row};
	int64_t open = 0;
	enum err e = txn_open_requests(t, conv->zone, conv->row, count_open, &open);
	if (e != OK) return e;
	if (open >= c->open_max)
		return err_set(&c->op.info, ERR_TOO_MANY, "openRequests (%lld) requests are not finished yet",
			       (long long)c->open_max);
	const struct principal *who = NULL;
	struct request *q = &c->job.request;
	e = txn_actor(t, &who);
	if (e != OK) return e;
	*q = (struct request){.conversation_id = arena_str(arena, conv->name),
			      .session_id = c->out_session_id,
			      .message_id = arena_str(arena, c->message_id),
			      .reply_id = arena_str(arena, id_str(&reply)),
			      .device_id = who->device_id,
			      .state = RQ_QUEUED,
			      .priority = c->priority,
			      .preset = c->settled.preset,
			      .model = arena_str(arena, c->settled.model),
			      .asked = arena_str(arena, c->settled.asked),
			      .model_by = arena_str(arena, c->settled.model_by),
			      .params = c->settled.params,
			      .fallback = arena_str(arena, c->fallback),
			      .queued_ms = txn_now_ms(t),
			      .usage = USAGE_UNKNOWN,
			      .cost_ticks = -1,
			      .error_code = STR(""),
			      .error_text = STR(""),
			      .attempts = STR("")};
	q->serving = q->model;
	r.name = c->job.request_id = arena_str(arena, id_str(&id));
	c->job.conv = conv->row;
	c->job.zone = conv->zone;
	c->job.user = c->user;
	/* The slot that is held is one for the model that the request was taken to be for. */
	bool is_held_for = str_eq(q->model, c->wanted.model);
	if (c->claim && is_held_for && open == 0 && !c->held) e = claim_now(t, c);
	if (e != OK) return e;
	request_write(q, &r, arena);
	e = put_as_daemon(t, c, &r);
	c->has_request = true;
	c->job.row = r.row;
	return e;
}

enum err cmd_send_run(struct txn *t, struct store_op *op)
{
	struct cmd_send *c = CONTAINER_OF(op, struct cmd_send, op);
	unsigned char digest[16];
	uint32_t zone;
	bool is_new;
	struct record conv, msg;
	struct judged session;
	struct str conversation_id = c->conversation_id;
	/* It may be run again after it was taken back: nothing of the first time may stay. */
	c->duplicate = c->claimed = c->has_request = c->held = c->is_settled = false;
	c->ord = c->at_ms = c->tag_seq = 0;
	c->out_session_id = STR_NONE;
	c->refusal = (struct refusal){0};
	enum err e = txn_zone(t, c->user, ZONE_HOME, true, &zone);
	if (e == OK && conversation_id.p == NULL) e = session_conversation(t, c, zone, &conversation_id);
	if (e != OK) return e;
	origin_digest(c, conversation_id, digest);
	e = check_id(t, c, zone, digest, &is_new);
	if (e != OK || !is_new) return e;
	e = find_conversation(t, c, zone, conversation_id, &conv);
	if (e == OK) e = judge_session(t, c, &conv, &session);
	if (e == OK) e = refer_assets(t, c);
	if (e == OK) e = content_net_check(t, c, &conv);
	if (e == OK) e = settle_request(t, c, zone, conv.fields);
	if (e == OK) e = put_message(t, c, &conv, digest, &msg);
	if (e == OK) e = count_automatic(t, c, &session);
	if (e == OK && c->wants_answer) e = put_request(t, c, &conv);
	if (e == OK) content_net_note(c, &msg);
	return e;
}
