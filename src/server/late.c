/* What a device does not see that was paired after a session was cleared: the session's messages, requests and steps, and
 * the revisions of its messages. The Session record says from which device on that is so (device/session.h).
 *
 * Reading from the store, a filter looks up each session that a page meets once. Live, a table of the user's killed
 * sessions says the same without a look-up: it is read when the user is first seen and follows the commits from then on.
 * A device that is late for none of them, and a user who never cleared anything, pay one comparison.
 *
 * Revisions name a message and not its session. Live, a device that is late for anything does not take them from the
 * commit: it reads them from the store like one that is behind. A message that is deleted has lost its session; then
 * any clear of its conversation after it was made counts. */
#include "server/server.h"

#include "device/session.h"

struct killed_session {
	char *id;
	int64_t late_from;
	UT_hash_handle hh;
};

/* ---- the table --------------------------------------------------------------------------------------------------- */

void late_note(struct live_user *u, struct str session_id, int64_t late_from)
{
	struct killed_session *k;
	HASH_FIND(hh, u->killed, session_id.p, session_id.n, k);
	if (k != NULL || late_from == 0) return;
	k = xcalloc(1, sizeof *k);
	k->id = str_dup(session_id);
	k->late_from = late_from;
	HASH_ADD_KEYPTR(hh, u->killed, k->id, session_id.n, k);
	if (u->first_late == 0 || late_from < u->first_late) u->first_late = late_from;
}

void late_committed(struct live_user *u, const struct record *r)
{
	struct arena arena = {0};
	struct session s;
	if (r->type == RT_SESSION && !r->deleted && session_read(&s, r, &arena) == OK && s.is_killed)
		late_note(u, r->name, s.late_from);
	arena_clear(&arena);
}

void late_forget(struct live_user *u)
{
	struct killed_session *k, *tmp;
	HASH_ITER (hh, u->killed, k, tmp) {
		HASH_DEL(u->killed, k);
		free(k->id);
		free(k);
	}
}

bool late_is(const struct live_user *u, uint32_t principal)
{
	return !u->killed_known || (u->first_late != 0 && (int64_t)principal >= u->first_late);
}

static bool has_session(uint32_t type)
{
	return type == RT_MESSAGE || type == RT_REQUEST || type == RT_AUTO_STEP || type == RT_PERMISSION;
}

int64_t late_from(const struct live_user *u, const struct record *r, bool *is_unsure)
{
	struct json_doc *doc = NULL;
	struct killed_session *k = NULL;
	struct str id;
	*is_unsure = r->type == RT_REVISION && !r->deleted && u->first_late != 0;
	if (u->killed == NULL || r->deleted || !has_session(r->type) || json_parse(r->fields, &doc, NULL) != OK)
		return 0;
	if (json_str(json_get(json_root(doc), "sessionId"), &id)) HASH_FIND(hh, u->killed, id.p, id.n, k);
	json_free(doc);
	return k != NULL ? k->late_from : 0;
}

/* ---- reading them all, once -------------------------------------------------------------------------------------- */

struct loading {
	struct txn *t;
	struct late_list *out;
};

static enum err add_killed(void *ctx, const struct record *r)
{
	struct loading *l = ctx;
	struct late_list *out = l->out;
	struct session s;
	enum err e = session_read(&s, r, txn_arena(l->t));
	if (e != OK || !s.is_killed) return e;
	if (out->n == out->cap) {
		out->cap = MAX(out->cap * 2, (size_t)16);
		struct late_session *more = arena_alloc(txn_arena(l->t), xmul(out->cap, sizeof *more));
		if (out->n > 0) memcpy(more, out->list, out->n * sizeof *more);
		out->list = more;
	}
	out->list[out->n++] = (struct late_session){arena_str(txn_arena(l->t), r->name), s.late_from};
	return OK;
}

/* The killed sessions of a zone; of a conversation when that is not STR_NONE. */
static enum err each_killed(struct txn *t, uint32_t zone, struct str conversation_id, record_fn fn, void *ctx)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	buf_add_char(&b, '[');
	if (conversation_id.p != NULL) { /* the first filter is the one that is walked */
		buf_add_str(&b, STR("{\"field\":\"conversationId\",\"op\":\"eq\",\"value\":"));
		struct jw w = JW(&b);
		jw_str(&w, conversation_id);
		buf_add_str(&b, STR("},"));
	}
	buf_add_str(&b, STR("{\"field\":\"state\",\"op\":\"eq\",\"value\":\"killed\"}]"));
	enum err e = json_parse(buf_str(&b), &doc, NULL);
	struct query q = {.type = record_type_name(RT_SESSION), .filter = json_root(doc), .cursor = STR_NONE};
	do {
		struct str cursor = STR_NONE;
		if (e == OK) e = txn_query(t, zone, &q, fn, ctx, &cursor, NULL);
		q.cursor = cursor;
	} while (e == OK && q.cursor.p != NULL);
	json_free(doc);
	buf_release(&b);
	return e;
}

enum err late_load(struct txn *t, uint32_t zone, struct late_list *out)
{
	struct loading l = {t, out};
	*out = (struct late_list){0};
	return each_killed(t, zone, STR_NONE, add_killed, &l);
}

void late_loaded(struct live_user *u, const struct late_list *list)
{
	for (size_t i = 0; i < list->n; i++) late_note(u, list->list[i].id, list->list[i].late_from);
	u->killed_known = true;
}

/* ---- the filter of a reader -------------------------------------------------------------------------------------- */

struct last_kill {
	struct txn *t;
	uint32_t principal;
	int64_t killed_ms;
};

static enum err look_at_killed(void *ctx, const struct record *r)
{
	struct last_kill *k = ctx;
	struct session s;
	enum err e = session_read(&s, r, txn_arena(k->t));
	if (e == OK && (int64_t)k->principal >= s.late_from) k->killed_ms = MAX(k->killed_ms, s.killed_ms);
	return e;
}

/* When a session of the conversation was last killed before the device came; 0 never. Revisions of one conversation often
 * stand together, so the last answer is kept. */
static enum err last_killed(struct late *l, struct txn *t, uint32_t zone, struct str conversation, int64_t *out)
{
	struct last_kill k = {.t = t, .principal = l->principal};
	if (!str_eq(l->killed_in, conversation)) {
		enum err e = each_killed(t, zone, conversation, look_at_killed, &k);
		if (e != OK) return e;
		l->killed_in = arena_str(txn_arena(t), conversation);
		l->killed_ms = k.killed_ms;
	}
	*out = l->killed_ms;
	return OK;
}

static enum err session_hides(struct late *l, struct txn *t, uint32_t zone, struct str id, bool *out)
{
	for (size_t i = 0; i < l->nseen; i++) {
		if (!str_eq(l->seen[i].id, id)) continue;
		*out = l->seen[i].hides;
		return OK;
	}
	enum err e = session_is_hidden(t, zone, id, l->principal, out);
	if (e == OK && l->nseen < ARRAY_LEN(l->seen))
		l->seen[l->nseen++] = (struct late_seen){arena_str(txn_arena(t), id), *out};
	return e;
}

static enum err revision_hides(struct late *l, struct txn *t, uint32_t zone, const struct json *fields, bool *out)
{
	struct str type = STR(""), name = STR(""), conversation = STR(""), id = STR_NONE;
	struct record m;
	struct json_doc *doc = NULL;
	(void)json_str(json_get(fields, "recordType"), &type);
	(void)json_str(json_get(fields, "recordName"), &name);
	(void)json_str(json_get(fields, "conversationId"), &conversation);
	if (!str_eq(type, record_type_name(RT_MESSAGE))) return OK;
	enum err e = txn_get(t, zone, RT_MESSAGE, name, &m);
	if (e == ERR_NOT_FOUND) return OK;
	if (e == OK && m.deleted) {
		int64_t killed_ms = 0;
		e = last_killed(l, t, zone, conversation, &killed_ms);
		*out = killed_ms > 0 && m.created_ms <= killed_ms;
		return e;
	}
	if (e == OK && json_parse(m.fields, &doc, NULL) != OK) e = ERR_CORRUPT;
	if (e == OK && json_str(json_get(json_root(doc), "sessionId"), &id)) e = session_hides(l, t, zone, id, out);
	json_free(doc);
	return e;
}

enum err late_hides(struct late *l, struct txn *t, const struct record *r, bool *out)
{
	struct json_doc *doc = NULL;
	struct str id = STR_NONE;
	*out = false;
	if (!l->is_on || r->deleted || !(has_session(r->type) || r->type == RT_REVISION)) return OK;
	if (json_parse(r->fields, &doc, NULL) != OK) return ERR_CORRUPT;
	enum err e = OK;
	if (r->type == RT_REVISION) e = revision_hides(l, t, r->zone, json_root(doc), out);
	else if (json_str(json_get(json_root(doc), "sessionId"), &id)) e = session_hides(l, t, r->zone, id, out);
	json_free(doc);
	return e;
}

struct late late_filter(const struct live_user *u, uint32_t principal)
{
	return (struct late){.principal = principal, .is_on = principal != 0 && late_is(u, principal)};
}
