#include "relay/edit.h"

#include "base/hash.h"
#include "device/session.h"

/* Condition 3. The machine's owner is no device and holds no lock. */
static enum err judge_lock(struct txn *t, struct cmd_edit *c, const struct session *s)
{
	const struct principal *who = NULL;
	enum err e = c->op.actor != 0 ? txn_actor(t, &who) : OK;
	if (e != OK || !session_is_locked(s, c->incarnation, c->boot_ms)) return e;
	if (who != NULL && str_eq(s->lock.device_id, who->device_id)) return OK;
	c->refusal = (struct refusal){.device_id = s->lock.device_id, .expires_ms = s->lock.expires_wall_ms};
	return ERR_SESSION_LOCKED;
}

/* Conditions 2 and 3. */
static enum err judge_session(struct txn *t, struct cmd_edit *c, const struct json *fields)
{
	struct str id;
	struct record r;
	struct session s;
	if (!json_str(json_get(fields, "sessionId"), &id)) return OK;
	id = arena_str(txn_arena(t), id);
	enum err e = session_find(t, c->user, id, &r, &s, NULL);
	if (e == ERR_NOT_FOUND) return OK;
	if (e == OK && !s.is_killed) return judge_lock(t, c, &s);
	if (e == OK && c->fields == NULL) return OK; /* out of a cleared session it may be taken */
	if (e == OK) {
		id = s.next_id;
		e = session_newest(t, r.conv, &id);
	}
	if (e != OK) return e;
	c->out_session_id = id;
	return err_set(&c->op.info, ERR_SESSION_KILLED, "the message's session was cleared; the current one is %.*s",
		       STR_ARG(id));
}

/* From a device that came after the message's session was cleared; for it the message is not there. */
static bool is_hidden(struct txn *t, const struct cmd_edit *c, const struct json *fields, enum err *e)
{
	struct str id;
	bool hidden = false;
	if (json_str(json_get(fields, "sessionId"), &id))
		*e = session_is_hidden(t, c->rec.zone, id, c->op.actor, &hidden);
	return hidden;
}

/* Condition 4. */
static enum err judge_tag(struct txn *t, struct cmd_edit *c, struct edit *edit)
{
	int64_t seq;
	if (c->change_tag.p == NULL || c->stamp.p != NULL || c->base != NULL) return OK;
	if (!tag_parse(c->change_tag, &seq))
		return err_set(&c->op.info, ERR_BAD_FIELD, "\"changeTag\" is no change tag");
	if (seq == c->rec.seq) return OK;
	c->merged = c->rec;
	if (c->fields != NULL) {
		enum err e = txn_edit_preview(t, &c->merged, edit, &c->op.info);
		if (e != OK) return e;
	}
	return err_set(&c->op.info, ERR_CONFLICT, "message %.*s changed since that change tag", STR_ARG(c->message_id));
}

/* Condition 5. */
static enum err judge_text(struct cmd_edit *c, const struct json *stored)
{
	struct str text = STR("");
	(void)json_str(json_get(c->fields, "text"), &text);
	if (text.n > 0 || json_len(json_get(stored, "parts")) > 0) return OK;
	return err_set(&c->op.info, ERR_BAD_FIELD, "a message without attachments needs a text; delete it instead");
}

static enum err edit_message(struct txn *t, struct cmd_edit *c, const struct json *stored, struct edit *edit,
			     struct edit_result *result)
{
	if (c->rec.deleted && c->stamp.p == NULL)
		return err_set(&c->op.info, ERR_NOT_FOUND, "message %.*s was deleted", STR_ARG(c->message_id));
	enum err e = c->rec.deleted ? OK : judge_session(t, c, stored);
	if (e == OK) e = judge_tag(t, c, edit);
	if (e == OK && !c->rec.deleted) e = judge_text(c, stored);
	if (e == OK) e = txn_edit(t, &c->rec, edit, result, &c->op.info);
	return e;
}

/* The attachments may be collected when nothing else refers to them. */
static enum err drop_assets(struct txn *t, const struct cmd_edit *c, const struct json *stored)
{
	struct str hex;
	unsigned char hash[SHA256_LEN];
	for (struct json_iter it = json_iter(json_get(stored, "parts")); json_next(&it);) {
		if (!json_str(json_get(it.val, "sha256"), &hex) || !hex_decode(hex, hash, sizeof hash)) continue;
		enum err e = txn_asset_ref(t, c->user, hash, -1);
		if (e != OK && e != ERR_NOT_FOUND) return e;
	}
	return OK;
}

static enum err note_request(struct txn *t, struct cmd_edit *c, const struct json *stored)
{
	struct str id, role = STR("");
	struct record r;
	(void)json_str(json_get(stored, "role"), &role);
	if (!str_eq(role, STR("user")) || !json_str(json_get(stored, "requestId"), &id)) return OK;
	id = arena_str(txn_arena(t), id);
	enum err e = request_find(t, c->user, id, &r, &c->job, NULL);
	if (e == ERR_NOT_FOUND) return OK;
	c->has_request = e == OK && request_is_open(c->job.request.state);
	return e;
}

static enum err delete_message(struct txn *t, struct cmd_edit *c, const struct json *stored, struct edit *edit,
			       struct edit_result *result)
{
	bool was_there = !c->rec.deleted;
	enum err e = was_there ? judge_session(t, c, stored) : OK;
	if (e == OK && was_there) e = judge_tag(t, c, edit);
	if (e == OK) e = txn_edit_delete(t, &c->rec, edit, result, &c->op.info);
	if (e == OK && was_there) e = drop_assets(t, c, stored);
	if (e == OK && was_there) e = note_request(t, c, stored);
	return e;
}

enum err cmd_edit_run(struct txn *t, struct store_op *op)
{
	struct cmd_edit *c = CONTAINER_OF(op, struct cmd_edit, op);
	struct edit edit = {.fields = c->fields, .stamp = c->stamp, .base = c->base};
	struct edit_result result = {.conflicts = STR_NONE};
	struct json_doc *doc = NULL;
	uint32_t zone;
	c->out_session_id = STR_NONE;
	c->has_request = false;
	enum err e = txn_zone(t, c->user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(t, zone, RT_MESSAGE, c->message_id, &c->rec);
	if (e == OK && !c->rec.deleted && json_parse(c->rec.fields, &doc, NULL) != OK) e = ERR_CORRUPT;
	if (e == OK && is_hidden(t, c, json_root(doc), &e)) e = ERR_NOT_FOUND;
	if (e == ERR_NOT_FOUND) {
		json_free(doc);
		return err_set(&op->info, e, "there is no message %.*s", STR_ARG(c->message_id));
	}
	if (e == OK) e = (c->fields != NULL ? edit_message : delete_message)(t, c, json_root(doc), &edit, &result);
	c->conflicts = result.conflicts;
	json_free(doc);
	return e;
}
