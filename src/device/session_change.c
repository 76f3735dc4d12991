#include "device/session_change.h"

static struct seats_session seat_of(const struct session *s, struct str id)
{
	return (struct seats_session){.id = id, .primary = s->primary, .term = s->term, .fence = s->fence};
}

/* From a killed session to the one that is active now. */
static enum err find_active(struct txn *t, int64_t user, int64_t conv_row, struct session *s, struct str *id)
{
	struct record r;
	*id = s->next_id;
	enum err e = session_newest(t, conv_row, id);
	if (e == OK) e = session_find(t, user, *id, &r, s, NULL);
	return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

/* Condition 3. */
static enum err check_device(struct txn *t, const struct record *session, struct str device_id, struct errinfo *info)
{
	struct record d;
	if (device_id.n == 0) return OK;
	enum err e = txn_get(t, session->zone, RT_DEVICE, device_id, &d);
	if (e == OK && d.deleted) e = ERR_NOT_FOUND;
	if (e == ERR_NOT_FOUND) return err_set(info, e, "there is no device %.*s", STR_ARG(device_id));
	return e;
}

static void make(struct session *s, const struct cmd_session_change *c)
{
	const struct seats_change *p = &c->change;
	if (s->lock.owner != c->incarnation) s->lock = (struct session_lock){0};
	if (p->kind == SEATS_PRIMARY) {
		s->primary = p->device_id;
		s->term++;
		return;
	}
	if (p->device_id.n == 0) {
		s->lock = (struct session_lock){0};
		return;
	}
	if (!p->is_renewal || !str_eq(s->lock.device_id, p->device_id)) s->fence++;
	s->lock = (struct session_lock){.device_id = p->device_id,
					.fence = s->fence,
					.owner = c->incarnation,
					.until_boot_ms = p->until_ms,
					.expires_wall_ms = c->expires_wall_ms};
}

enum err cmd_session_change_run(struct txn *t, struct store_op *op)
{
	struct cmd_session_change *c = CONTAINER_OF(op, struct cmd_session_change, op);
	const struct seats_change *p = &c->change;
	struct record r;
	struct session s;
	struct str id = p->session_id;
	c->now = (struct seats_session){.id = STR(""), .primary = STR("")};
	c->holder = STR("");
	enum err e = session_find(t, p->user, p->session_id, &r, &s, &op->info);
	if (e != OK) return e;
	bool was_killed = s.is_killed;
	if (was_killed) e = find_active(t, p->user, r.conv, &s, &id);
	if (e != OK) return e;
	c->now = seat_of(&s, id);
	if (was_killed) return ERR_SESSION_KILLED;
	if (p->expect != (p->kind == SEATS_PRIMARY ? s.term : s.fence)) return ERR_CONFLICT;
	e = check_device(t, &r, p->device_id, &op->info);
	if (e != OK) return e;
	make(&s, c);
	session_write(&s, &r, txn_arena(t));
	e = txn_put(t, &r);
	c->now = seat_of(&s, id);
	c->holder = s.lock.device_id.p != NULL ? s.lock.device_id : STR("");
	return e;
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

bool session_follows_typing(struct str conversation_fields)
{
	struct json_doc *doc = NULL;
	struct str how;
	if (json_parse(conversation_fields, &doc, NULL) != OK) return false;
	bool yes = json_str(json_get(json_get(json_root(doc), "settings"), "primary"), &how) &&
		   str_eq(how, STR("followsTyping"));
	json_free(doc);
	return yes;
}

static enum err look(struct txn *t, struct cmd_session_look *c)
{
	struct record conv, r;
	struct session s;
	uint32_t zone;
	enum err e = txn_zone(t, c->user, ZONE_HOME, false, &zone);
	if (e == OK && c->session_id.p != NULL) {
		e = session_find(t, c->user, c->session_id, &c->record, &s, &c->op.info);
		if (e != OK) return e;
		c->conversation_id = s.conversation_id;
		c->has_session = true;
		c->is_killed = s.is_killed;
	}
	if (e == OK) e = txn_get(t, zone, RT_CONVERSATION, c->conversation_id, &conv);
	if (e == ERR_NOT_FOUND) return c->session_id.p != NULL ? ERR_CORRUPT : OK; /* its first message will make it */
	if (e != OK) return e;
	if (conv.deleted)
		return err_set(&c->op.info, ERR_NOT_FOUND, "conversation %.*s was deleted",
			       STR_ARG(c->conversation_id));
	struct str id;
	e = session_current(t, &conv, &id);
	if (e != OK) return e;
	c->conv = conv.row;
	c->follows = session_follows_typing(conv.fields);
	if (id.n == 0) return OK; /* made by record:save, nothing was sent yet */
	e = session_find(t, c->user, id, &r, &s, NULL);
	if (e != OK) return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
	if (!c->has_session) c->record = r;
	c->has_session = true;
	c->seat = seat_of(&s, id);
	return OK;
}

enum err cmd_session_look_run(struct txn *t, struct store_op *op)
{
	struct cmd_session_look *c = CONTAINER_OF(op, struct cmd_session_look, op);
	c->seat = (struct seats_session){.id = STR(""), .primary = STR("")};
	enum err e = look(t, c);
	if (e == ERR_NOT_FOUND && op->info.err == OK)
		return err_set(&op->info, e, "there is no such session or conversation");
	return e;
}
