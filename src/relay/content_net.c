/* The content net inside the transaction of a send (condition 7 in send.c).
 *
 * The table of device/duplicate.h says who may have sent the same; whether that message is there is asked of the store.
 * It does not count when it was taken back, deleted, or its request failed or was stopped: then the second send is a
 * person's next try. What a primary sends automatically is judged by its term and has no part in this, nor is it what
 * somebody else's message is compared with.
 *
 * The table is empty when the daemon starts. So for as long as the window is after that, the first send into a
 * conversation puts the newest messages that are stored there into the table. The same is done when an entry turns out to
 * be of a message that is not there: of one text the table has a device's last message only, and the one before it may be. */
#include "device/duplicate.h"
#include "relay/commands.h"

#define LOOK_BACK 256 /* stored messages that are looked at */

/* Did the message's request come to nothing? */
static enum err has_failed(struct txn *t, const struct cmd_send *c, const struct record *m, bool *failed)
{
	struct record r;
	struct request q;
	*failed = false;
	if (m->origin.n != ORIGIN_LEN || m->origin.p[24] == 0) return OK;
	struct id id = request_id_of(c->user_id, m->name);
	enum err e = txn_get(t, m->zone, RT_REQUEST, id_str(&id), &r);
	if (e == ERR_NOT_FOUND) return OK;
	if (e == OK) e = request_read(&q, &r, txn_arena(t));
	if (e == OK) *failed = q.state == RQ_FAILED || q.state == RQ_STOPPED;
	return e;
}

static enum err refuse(struct txn *t, struct cmd_send *c, const struct record *m, int64_t age_ms)
{
	const struct principal *who = NULL;
	enum err e = txn_principal_get(t, m->created_by, &who);
	if (e != OK) return e;
	c->refusal = (struct refusal){
		.message_id = arena_str(txn_arena(t), m->name), .device_id = who->device_id, .age_ms = MAX(age_ms, 0)};
	return ERR_DUPLICATE;
}

/* The key of a stored message that a person sent. */
static bool key_of(const struct cmd_send *c, const struct record *m, struct duplicate_key *key)
{
	struct json_doc *doc = NULL;
	struct str role = STR(""), session = STR(""), text = STR(""), parts = STR_NONE;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	bool automatic = false;
	if (json_parse(m->fields, &doc, NULL) != OK) return false;
	const struct json *in = json_root(doc);
	(void)json_str(json_get(in, "role"), &role);
	(void)json_str(json_get(in, "sessionId"), &session);
	(void)json_str(json_get(in, "text"), &text);
	(void)json_bool(json_get(in, "auto"), &automatic);
	if (json_type(json_get(in, "parts")) == JSON_ARR) {
		json_write(&b, json_get(in, "parts"));
		parts = buf_str(&b);
	}
	bool ok = str_eq(role, STR("user")) && !automatic;
	if (ok) duplicate_key(c->user, session, text, parts, key);
	buf_release(&b);
	json_free(doc);
	return ok;
}

/* A send that was taken back, because the disk was full or its neighbour failed, has its entry still, and the row may be
 * another record's by now. What was edited since is taken for what it was. */
static bool is_that(const struct cmd_send *c, const struct record *m, const struct duplicate_entry *found)
{
	struct duplicate_key key;
	struct json_doc *doc = NULL;
	if (m->type != RT_MESSAGE || m->deleted || m->created_by != found->device || !key_of(c, m, &key)) return false;
	bool is_same = memcmp(key.b, found->key.b, sizeof key.b) == 0;
	if (!is_same && json_parse(m->fields, &doc, NULL) == OK)
		is_same = json_type(json_get(json_root(doc), "editedAt")) == JSON_STR;
	json_free(doc);
	return is_same;
}

/* ---- what is stored ---------------------------------------------------------------------------------------------- */

struct look_back {
	struct txn *t;
	struct cmd_send *c;
	struct duplicate_entry list[LOOK_BACK]; /* newest first */
	size_t n;
};

static enum err look_at(void *ctx, const struct record *m)
{
	struct look_back *k = ctx;
	const struct cmd_send *c = k->c;
	struct duplicate_entry *e = &k->list[k->n];
	int64_t age = c->op.now_ms - m->created_ms;
	if (age > c->duplicate_ms) return ERR_CANCELLED;
	if (m->deleted || age < -c->duplicate_ms || !key_of(c, m, &e->key)) return OK;
	e->row = m->row;
	e->boot_ms = c->boot_ms - MAX(age, 0);
	e->device = m->created_by;
	k->n++;
	return OK;
}

/* What the conversation holds of the last few seconds goes into the table. */
static enum err look_back(struct txn *t, struct cmd_send *c, const struct record *conv)
{
	struct look_back *k = arena_zalloc(txn_arena(t), sizeof *k);
	k->t = t;
	k->c = c;
	enum err e = txn_messages(t, conv->zone, conv->row, 0, LOOK_BACK, look_at, k);
	while (k->n > 0) duplicates_add(c->net, &k->list[--k->n]);
	return e == ERR_CANCELLED ? OK : e;
}

/* Of the time before the start, once. */
static enum err fill_table(struct txn *t, struct cmd_send *c, const struct record *conv)
{
	if (c->boot_ms - duplicates_start_ms(c->net) > c->duplicate_ms) return OK;
	return duplicates_is_first_look(c->net, conv->row) ? look_back(t, c, conv) : OK;
}

/* ---- the check --------------------------------------------------------------------------------------------------- */

/* OK: nothing stands against it. */
static enum err ask_table(struct txn *t, struct cmd_send *c, const struct record *conv)
{
	const struct duplicate_entry *found;
	bool has_looked = false;
	while ((found = duplicates_find(c->net, &c->net_key, c->op.actor)) != NULL) {
		struct record m;
		bool failed = false;
		enum err e = txn_get_row(t, found->row, &m);
		if (e != OK && e != ERR_NOT_FOUND) return e;
		bool there = e == OK && m.zone == conv->zone && is_that(c, &m, found);
		e = there ? has_failed(t, c, &m, &failed) : OK;
		if (e != OK) return e;
		if (there && !failed) return refuse(t, c, &m, c->boot_ms - found->boot_ms);
		duplicates_drop(c->net, found);
		if (there || has_looked) continue;
		/* It had taken the place of an earlier one of its device, which may be there. */
		has_looked = true;
		e = look_back(t, c, conv);
		if (e != OK) return e;
	}
	return OK;
}

enum err content_net_check(struct txn *t, struct cmd_send *c, const struct record *conv)
{
	if (c->net == NULL || c->duplicate_ms == 0 || c->automatic) return OK;
	duplicate_key(c->user, c->out_session_id, c->text, c->parts, &c->net_key);
	duplicates_expire(c->net, c->boot_ms - c->duplicate_ms);
	if (c->force) return OK;
	enum err e = fill_table(t, c, conv);
	return e == OK ? ask_table(t, c, conv) : e;
}

void content_net_note(struct cmd_send *c, const struct record *m)
{
	if (c->net == NULL || c->duplicate_ms == 0 || c->automatic) return;
	struct duplicate_entry e = {.key = c->net_key, .row = m->row, .boot_ms = c->boot_ms, .device = c->op.actor};
	duplicates_add(c->net, &e);
}
