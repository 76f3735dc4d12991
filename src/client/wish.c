/* What a person asks for becomes an entry of the outbox, or is refused here and now.
 *
 * Refused here is what the daemon would refuse for ever: a text over its limits (those of the last welcome, kept), a bad
 * id, a field of the daemon's own. Everything else is a matter for the daemon, and waits in the outbox for it.
 *
 * A change is stamped when it is made, later than everything this device has seen, and names the stamps of what was on
 * the screen: the record as core_view shows it, with this device's own unanswered changes. */
#include "client/core_priv.h"

#include "base/utf8.h"
#include "record/merge.h"

#define TYPE_MAX_LEN 64

/* ---- checks ----------------------------------------------------------------------------------------------------- */

static enum err check_name(struct str name, const char *what, struct errinfo *info)
{
	if (name_is_valid(name)) return OK;
	return err_set(info, ERR_BAD_FIELD, "\"%s\" must be 1 to %d characters of A-Z a-z 0-9 . _ - : @ +", what,
		       NAME_MAX_LEN);
}

static enum err check_type(struct str type, struct errinfo *info)
{
	if (type.n > TYPE_MAX_LEN)
		return err_set(info, ERR_BAD_FIELD, "\"type\" must be at most %d characters", TYPE_MAX_LEN);
	return check_name(type, "type", info);
}

static enum err check_text(const struct core *c, struct str text, struct errinfo *info)
{
	if ((int64_t)text.n > c->limits.text_bytes)
		return err_set(info, ERR_TOO_LARGE, "a text of %zu bytes; the limit textBytes is %lld", text.n,
			       (long long)c->limits.text_bytes);
	if (!utf8_is_valid(text)) return err_set(info, ERR_BAD_FIELD, "\"text\" is not valid UTF-8");
	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)
		return err_set(info, ERR_BAD_FIELD, "\"text\" must not contain NUL characters");
	return OK;
}

static enum err check_json(struct str text, enum json_type type, const char *what, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct errinfo why;
	if (text.n == 0) return OK;
	enum err e = json_parse(text, &doc, &why);
	if (e == OK && json_type(json_root(doc)) != type) {
		e = ERR_BAD_FIELD;
		err_set(&why, e, "it must be %s", type == JSON_ARR ? "an array" : "an object");
	}
	json_free(doc);
	if (e == OK) return OK;
	return err_set(info, ERR_BAD_FIELD, "\"%s\": %.180s", what, why.text);
}

/* ---- stamps ----------------------------------------------------------------------------------------------------- */

static void stamp_entry(struct core *c, struct entry *e, const struct json *fields)
{
	char stamp[STAMP_CAP];
	struct str latest = merge_latest(fields);
	if (stamp_cmp(latest, str_c(c->stamp)) < 0) latest = str_c(c->stamp);
	size_t n = stamp_make(c->now.wall_ms, latest, str_c(c->device_id), stamp);
	text_set(&e->stamp, str_n(stamp, n));
	text_set(&c->stamp, str_n(stamp, n));
	row_meta(c, "stamp", str_c(c->stamp));
}

/* Is this stamp one of a field that is being changed: "title", or "settings.font" of "settings"? NULL: of any. */
static bool concerns(const struct json *changes, struct str field)
{
	if (changes == NULL || json_getn(changes, field) != NULL) return true;
	const char *dot = memchr(field.p, '.', field.n);
	return dot != NULL && json_getn(changes, str_n(field.p, (size_t)(dot - field.p))) != NULL;
}

/* The stamps of what is on the screen, of the fields in `changes`. */
static void base_entry(struct entry *e, const struct json *fields, const struct json *changes)
{
	struct buf b = BUF_INIT(ROW_BYTES_MAX);
	struct jw w = JW(&b);
	struct str stamp;
	size_t n = 0;
	jw_obj(&w);
	for (struct json_iter it = json_iter(json_get(fields, MERGE_STAMPS)); json_next(&it);) {
		if (!json_str(it.val, &stamp) || !concerns(changes, it.key)) continue;
		jw_key_str(&w, it.key);
		jw_str(&w, stamp);
		n++;
	}
	jw_obj_end(&w);
	if (n > 0) text_set(&e->base, buf_str(&b));
	buf_release(&b);
}

/* ---- send ------------------------------------------------------------------------------------------------------- */

static enum err check_message(const struct core *c, const struct core_message *m, struct errinfo *info)
{
	enum err e = m->conversation.n > 0 ? check_name(m->conversation, "conversationId", info) : OK;
	if (e == OK && m->session.n > 0) e = check_name(m->session, "sessionId", info);
	if (e == OK && m->parent.n > 0) e = check_name(m->parent, "parent", info);
	if (e == OK) e = check_text(c, m->text, info);
	if (e == OK) e = check_json(m->parts, JSON_ARR, "parts", info);
	if (e == OK) e = check_json(m->request, JSON_OBJ, "request", info);
	if (e == OK && m->text.n == 0 && m->parts.n == 0)
		e = err_set(info, ERR_BAD_FIELD, "\"text\" is empty and there are no parts");
	return e;
}

/* After a clear of ours that is still on its way the next session has no name yet: then whatever is current. */
static void session_entry(struct core *c, struct entry *e, struct str given)
{
	struct buf b = BUF_INIT(NAME_MAX_LEN);
	const struct lane *l = lane_of_conversation(c, str_c(e->conversation));
	if (given.n > 0) text_set(&e->session, given);
	else if (l == NULL || l->clears == 0) {
		session_of(c, str_c(e->conversation), &b);
		text_set(&e->session, buf_str(&b));
	}
	buf_release(&b);
}

static enum err check_automatic(const struct core *c, const struct core_message *m, const struct seat **out,
				struct errinfo *info)
{
	const struct seat *s = seat_find(c, m->conversation);
	*out = s;
	if (s == NULL || !seat_is_primary(c, s))
		return err_set(info, ERR_NOT_PRIMARY, "this device is not primary of the session");
	if (m->session.n > 0 && !str_eq(m->session, str_c(s->session)))
		return err_set(info, ERR_SESSION_KILLED, "%s", "");
	return OK;
}

enum err core_send(struct core *c, const struct core_message *m, struct core_now now, struct id *out_message,
		   struct errinfo *info)
{
	const struct seat *s = NULL;
	core_enter(c, now);
	enum err result = check_message(c, m, info);
	if (result == OK && m->automatic) result = check_automatic(c, m, &s, info);
	if (result != OK) goto out;
	struct id id = id_seeded(now.wall_ms, &c->rng);
	struct entry *e = entry_new(c, CORE_SEND, STR("Message"), id_str(&id));
	struct id fresh = m->conversation.n == 0 ? id_seeded(now.wall_ms, &c->rng) : id;
	text_set(&e->conversation, m->conversation.n > 0 ? m->conversation : id_str(&fresh));
	text_set(&e->text, m->text);
	text_set(&e->parts, m->parts);
	text_set(&e->parent, m->parent);
	text_set(&e->request, m->request);
	e->automatic = m->automatic;
	if (s != NULL) {
		text_set(&e->session, str_c(s->session));
		e->term = s->term;
	} else {
		session_entry(c, e, m->session);
	}
	result = entry_add(c, e, info);
	if (result == OK && out_message != NULL) *out_message = id;
out:
	core_leave_call(c);
	return result;
}

/* ---- edit, delete ----------------------------------------------------------------------------------------------- */

/* The record as it is shown, parsed; NULL with ERR_NOT_FOUND when it is not here, or deleted. */
static enum err shown(struct core *c, struct str type, struct str name, struct json_doc **out, struct errinfo *info)
{
	struct buf b = BUF_INIT(ROW_BYTES_MAX);
	enum err e = OK;
	struct core_view v = core_view(c, type, name, &b);
	*out = NULL;
	if (!v.exists || v.deleted)
		e = err_set(info, ERR_NOT_FOUND, "this device knows no %.*s \"%.*s\"", (int)MIN(type.n, 60), type.p,
			    (int)MIN(name.n, 60), name.p);
	else e = json_parse(buf_str(&b), out, info);
	buf_release(&b);
	return e;
}

/* The entry for a change of a message that is shown. */
static enum err message_entry(struct core *c, enum core_kind kind, struct str message, const struct json *fields,
			      struct str text, struct errinfo *info)
{
	struct entry *e = entry_new(c, kind, STR("Message"), message);
	text_set(&e->conversation, text_of(fields, "conversationId"));
	text_set(&e->session, text_of(fields, "sessionId"));
	text_set(&e->text, text);
	stamp_entry(c, e, fields);
	text_set(&e->base, merge_stamp_of(fields, STR("text")));
	return entry_add(c, e, info);
}

/* A message that the daemon cannot have yet is changed where it stands. */
static enum err edit_here(struct core *c, struct entry *e, struct str text, struct errinfo *info)
{
	char *before = e->text;
	e->text = str_dup(text);
	enum err result = entry_check(c, e, info);
	if (result != OK) {
		free(e->text);
		e->text = before;
		return result;
	}
	free(before);
	entry_keep(c, e);
	entry_tell(c, e);
	return OK;
}

enum err core_edit(struct core *c, struct str message, struct str text, struct core_now now, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	core_enter(c, now);
	enum err result = check_name(message, "messageId", info);
	if (result == OK) result = check_text(c, text, info);
	if (result == OK) result = shown(c, STR("Message"), message, &doc, info);
	if (result != OK) goto out;
	const struct json *fields = json_get(json_root(doc), "fields");
	if (text.n == 0 && json_len(json_get(fields, "parts")) == 0) {
		result = err_set(info, ERR_BAD_FIELD, "\"text\" is empty and there are no parts");
		goto out;
	}
	struct entry *send = outbox_message(c, message);
	if (send != NULL && !send->is_maybe) {
		result = edit_here(c, send, text, info);
		goto out;
	}
	result = message_entry(c, CORE_EDIT, message, fields, text, info);
out:
	json_free(doc);
	core_leave_call(c);
	return result;
}

enum err core_delete(struct core *c, struct str message, struct core_now now, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	core_enter(c, now);
	enum err result = check_name(message, "messageId", info);
	if (result == OK) result = shown(c, STR("Message"), message, &doc, info);
	if (result != OK) goto out;
	struct entry *send = outbox_message(c, message);
	if (send != NULL && !send->is_maybe) {
		entry_remove(c, send, ERR_CANCELLED);
		goto out;
	}
	result = message_entry(c, CORE_DELETE, message, json_get(json_root(doc), "fields"), STR(""), info);
out:
	json_free(doc);
	core_leave_call(c);
	return result;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* The merge itself knows best what is wrong with an edit. */
static enum err try_merge(uint32_t type, const struct json *fields, const struct json *changes, const struct entry *e,
			  struct errinfo *info)
{
	struct arena arena = {0};
	struct merge_result r;
	struct buf stored = BUF_INIT(ROW_BYTES_MAX);
	if (json_type(fields) == JSON_OBJ) json_write(&stored, fields);
	else buf_add_str(&stored, STR("{}"));
	struct merge_edit edit = {.fields = changes, .stamp = str_c(e->stamp), .saw_all = true};
	enum err result = merge_apply(type, buf_str(&stored), &edit, ROW_BYTES_MAX, &arena, &r, info);
	buf_release(&stored);
	arena_clear(&arena);
	return result;
}

enum err core_save(struct core *c, struct str type, struct str name, struct str fields, struct core_now now,
		   struct id *out_name, struct errinfo *info)
{
	struct json_doc *doc = NULL, *seen = NULL;
	struct entry *e = NULL;
	core_enter(c, now);
	struct id id = id_seeded(now.wall_ms, &c->rng);
	if (name.n == 0) name = id_str(&id);
	enum err result = check_type(type, info);
	if (result == OK) result = check_name(name, "name", info);
	if (result == OK && (int64_t)fields.n > c->limits.record_bytes)
		result = err_set(info, ERR_TOO_LARGE, "fields of %zu bytes; the limit recordBytes is %lld", fields.n,
				 (long long)c->limits.record_bytes);
	if (result == OK) result = check_json(fields.n > 0 ? fields : STR("0"), JSON_OBJ, "fields", info);
	if (result == OK) result = json_parse(fields, &doc, info);
	if (result != OK) goto out;
	const struct json *changes = json_root(doc);
	uint32_t known = record_type_number(type);
	if (known != 0) result = record_check_writable(known, changes, info);
	if (result != OK) goto out;
	if (shown(c, type, name, &seen, NULL) == ERR_NOT_FOUND && known != 0 && !record_may(known, RIGHT_CREATE)) {
		result = err_set(info, ERR_NOT_FOUND, "this device knows no %.*s \"%.*s\"", STR_ARG(type),
				 (int)MIN(name.n, 60), name.p);
		goto out;
	}
	const struct json *before = json_get(json_root(seen), "fields");
	e = entry_new(c, CORE_SAVE, type, name);
	text_set(&e->conversation, text_of(before, "conversationId"));
	text_set(&e->fields, fields);
	if (merge_is_known(type_number(type))) {
		stamp_entry(c, e, before);
		base_entry(e, before, changes);
		result = try_merge(type_number(type), before, changes, e, info);
	}
	if (result != OK) {
		entry_free_unlinked(e);
		goto out;
	}
	result = entry_add(c, e, info);
	if (result == OK && out_name != NULL && name.p == id.s) *out_name = id;
out:
	json_free(doc);
	json_free(seen);
	core_leave_call(c);
	return result;
}

enum err core_remove(struct core *c, struct str type, struct str name, struct core_now now, struct errinfo *info)
{
	struct json_doc *seen = NULL;
	core_enter(c, now);
	enum err result = check_type(type, info);
	uint32_t known = record_type_number(type);
	if (result == OK) result = check_name(name, "name", info);
	if (result == OK && known != 0 && !record_may(known, RIGHT_DELETE))
		result = err_set(info, ERR_FORBIDDEN, "a %.*s cannot be deleted like this", STR_ARG(type));
	if (result == OK) result = shown(c, type, name, &seen, info);
	if (result != OK) goto out;
	const struct json *fields = json_get(json_root(seen), "fields");
	struct entry *e = entry_new(c, CORE_SAVE, type, name);
	if (merge_is_known(type_number(type))) {
		stamp_entry(c, e, fields);
		base_entry(e, fields, NULL);
	}
	result = entry_add(c, e, info);
out:
	json_free(seen);
	core_leave_call(c);
	return result;
}

/* ---- clear ------------------------------------------------------------------------------------------------------ */

/* The conversation of a session. */
static void conversation_entry(struct core *c, struct entry *e, struct str session)
{
	const struct seat *s = seat_find(c, session);
	struct json_doc *doc = s == NULL ? record_read(c, STR("Session"), session) : NULL;
	text_set(&e->session, session);
	text_set(&e->conversation,
		 s != NULL ? str_c(s->conversation) : text_of(json_get(json_root(doc), "fields"), "conversationId"));
	json_free(doc);
}

/* A clear is asked by its session wherever that is known: asked again, after an answer that was lost, it then ends that
 * session and not the one that followed. */
enum err core_clear(struct core *c, enum core_scope scope, struct str id, struct core_now now, struct errinfo *info)
{
	static const struct str types[] = {STR_INIT("Session"), STR_INIT("Conversation"), STR_INIT("Project")};
	static const char *const members[] = {"sessionId", "conversationId", "projectId"};
	core_enter(c, now);
	enum err result = check_name(id, members[scope], info);
	if (result != OK) goto out;
	struct entry *e = entry_new(c, CORE_CLEAR, types[scope], id);
	if (scope == CORE_OF_SESSION) conversation_entry(c, e, id);
	if (scope == CORE_OF_CONVERSATION) {
		text_set(&e->conversation, id);
		session_entry(c, e, STR(""));
		if (e->session[0] != '\0') {
			text_set(&e->type, types[CORE_OF_SESSION]);
			text_set(&e->name, str_c(e->session));
		}
	}
	result = entry_add(c, e, info);
out:
	core_leave_call(c);
	return result;
}

enum err core_forget_session(struct core *c, struct str session, struct core_now now, struct errinfo *info)
{
	core_enter(c, now);
	struct json_doc *doc = name_is_valid(session) ? record_read(c, STR("Session"), session) : NULL;
	enum err result = OK;
	if (doc == NULL)
		result = err_set(info, ERR_NOT_FOUND, "this device knows no session \"%.*s\"", (int)MIN(session.n, 60),
				 session.p);
	else if (!str_eq(text_of(json_get(json_root(doc), "fields"), "state"), STR("killed")))
		result = err_set(info, ERR_BAD_STATE, "the session is alive; clear it first");
	json_free(doc);
	if (result != OK) goto out;
	forgotten_add(c, session);
	row_put(c, &(struct core_row){.table = CORE_FORGOTTEN, .key = session, .value = STR("1")});
	c->forget_session = arena_str(&c->arena, session);
out:
	core_leave_call(c);
	return result;
}

/* ---- what to do with a held one --------------------------------------------------------------------------------- */

static enum err send_to_new(struct core *c, struct entry *e, struct errinfo *info)
{
	struct buf b = BUF_INIT(NAME_MAX_LEN);
	session_of(c, str_c(e->conversation), &b);
	struct str current = buf_str(&b);
	if (current.n == 0 || str_eq(current, str_c(e->session))) current = str_c(e->other); /* as the refusal said */
	bool is_send = e->kind == CORE_SEND;
	if (is_send) text_set(&e->session, current);
	buf_release(&b);
	return is_send ? OK : err_set(info, ERR_BAD_STATE, "only a message can be sent to another session");
}

static enum err resolve(struct core *c, struct entry *e, enum core_resolution how, struct errinfo *info)
{
	bool held = e->state == CORE_HELD, duplicate = held && e->why == ERR_DUPLICATE,
	     killed = held && e->why == ERR_SESSION_KILLED;
	switch (how) {
	case CORE_DISCARD:
		if (!held && e->is_maybe)
			return err_set(info, ERR_BAD_STATE, "it may have arrived already; delete it instead");
		entry_remove(c, e, ERR_CANCELLED);
		return OK;
	case CORE_SEND_ANYWAY:
		if (!duplicate) return err_set(info, ERR_BAD_STATE, "it is not held as a duplicate");
		e->force = true;
		break;
	case CORE_SEND_TO_NEW:
		if (!killed) return err_set(info, ERR_BAD_STATE, "its session was not cleared");
		if (send_to_new(c, e, info) != OK) return ERR_BAD_STATE;
		break;
	case CORE_TRY_AGAIN:
		if (!held || duplicate || killed)
			return err_set(info, ERR_BAD_STATE, "it is not held as failed; nothing to try again");
		break;
	}
	entry_requeue(c, e);
	return OK;
}

enum err core_resolve(struct core *c, uint64_t number, enum core_resolution how, struct core_now now,
		      struct errinfo *info)
{
	core_enter(c, now);
	struct entry *e = entry_of(c, number);
	enum err result =
		e != NULL ? resolve(c, e, how, info)
			  : err_set(info, ERR_NOT_FOUND, "no entry %llu is in the outbox", (unsigned long long)number);
	core_leave_call(c);
	return result;
}

void core_conflicts_seen(struct core *c, struct core_now now)
{
	core_enter(c, now);
	if (c->nconflicts > 0) {
		c->nconflicts = 0;
		row_meta_int(c, "conflicts", 0);
		c->is_dirty = true;
	}
	core_leave_call(c);
}
