#include "device/session.h"

#include "base/clock.h"

static struct str copy_of(const struct json *obj, const char *key, struct arena *arena)
{
	struct str s;
	return json_str(json_get(obj, key), &s) ? arena_str(arena, s) : STR("");
}

static void read_lock(struct session_lock *l, const struct json *lock, struct arena *arena)
{
	l->device_id = copy_of(lock, "deviceId", arena);
	struct str expires;
	(void)json_int(json_get(lock, "fence"), &l->fence);
	(void)json_int(json_get(lock, "owner"), &l->owner);
	(void)json_int(json_get(lock, "untilMs"), &l->until_boot_ms);
	if (json_str(json_get(lock, "expiresAt"), &expires)) (void)time_parse(expires, &l->expires_wall_ms);
}

enum err session_read(struct session *s, const struct record *r, struct arena *arena)
{
	struct json_doc *doc = NULL;
	struct str text;
	*s = (struct session){.automatic = STR_NONE};
	if (json_parse(r->fields, &doc, NULL) != OK) return ERR_CORRUPT;
	const struct json *in = json_root(doc), *run = json_get(in, "auto"), *agents = json_get(in, "agentSessions");
	s->conversation_id = copy_of(in, "conversationId", arena);
	s->is_killed = json_str(json_get(in, "state"), &text) && str_eq(text, STR("killed"));
	s->primary = copy_of(in, "primaryDeviceId", arena);
	(void)json_int(json_get(in, "term"), &s->term);
	(void)json_int(json_get(in, "fence"), &s->fence);
	read_lock(&s->lock, json_get(in, "lock"), arena);
	(void)json_bool(json_get(in, "queuePaused"), &s->queue_paused);
	if (json_type(run) == JSON_OBJ) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		json_write(&b, run);
		s->automatic = arena_str(arena, buf_str(&b));
		buf_release(&b);
	}
	if (json_type(agents) == JSON_OBJ) s->agents = json_text(arena, agents);
	if (json_str(json_get(in, "killedAt"), &text)) (void)time_parse(text, &s->killed_ms);
	s->killed_by = copy_of(in, "killedBy", arena);
	s->next_id = copy_of(in, "nextSessionId", arena);
	(void)json_int(json_get(in, "lateFrom"), &s->late_from);
	json_free(doc);
	return s->conversation_id.n > 0 ? OK : ERR_CORRUPT;
}

static void write_text_or_null(struct jw *w, const char *key, struct str text)
{
	jw_key(w, key);
	if (text.n > 0) jw_str(w, text);
	else jw_null(w);
}

static void write_lock(struct jw *w, const struct session_lock *l)
{
	jw_key(w, "lock");
	if (l->device_id.n == 0) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	jw_kstr(w, "deviceId", l->device_id);
	jw_kint(w, "fence", l->fence);
	jw_ktime(w, "expiresAt", l->expires_wall_ms);
	jw_kint(w, "owner", l->owner);
	jw_kint(w, "untilMs", l->until_boot_ms);
	jw_obj_end(w);
}

void session_write(const struct session *s, struct record *r, struct arena *arena)
{
	struct buf patch = BUF_INIT(BUF_NO_LIMIT), merged = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&patch);
	jw_obj(&w);
	jw_kstr(&w, "conversationId", s->conversation_id);
	jw_kstr(&w, "state", s->is_killed ? STR("killed") : STR("active"));
	write_text_or_null(&w, "primaryDeviceId", s->primary);
	jw_kint(&w, "term", s->term);
	write_lock(&w, &s->lock);
	jw_kint(&w, "fence", s->fence);
	jw_key(&w, "queuePaused");
	if (s->queue_paused) jw_bool(&w, true);
	else jw_null(&w);
	jw_kraw(&w, "auto", s->automatic.p != NULL ? s->automatic : STR("null"));
	jw_kraw(&w, "agentSessions", s->agents.p != NULL ? s->agents : STR("null"));
	if (s->is_killed) {
		jw_ktime(&w, "killedAt", s->killed_ms);
		jw_kstr(&w, "killedBy", s->killed_by);
		jw_kstr(&w, "nextSessionId", s->next_id);
		jw_kint(&w, "lateFrom", s->late_from);
	}
	jw_obj_end(&w);
	/* Both texts are objects this program wrote or checked, and no limit stands in the way. */
	enum err e = fields_patch(r->fields, buf_str(&patch), &merged);
	ASSERT(e == OK);
	r->fields = arena_str(arena, buf_str(&merged));
	buf_release(&patch);
	buf_release(&merged);
}

enum err session_find(struct txn *t, int64_t user, struct str id, struct record *r, struct session *s,
		      struct errinfo *info)
{
	uint32_t zone;
	enum err e = txn_zone(t, user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(t, zone, RT_SESSION, id, r);
	if (e == OK && r->deleted) e = ERR_NOT_FOUND;
	if (e == ERR_NOT_FOUND) return err_set(info, e, "there is no session %.*s", STR_ARG(id));
	return e == OK ? session_read(s, r, txn_arena(t)) : e;
}

enum err session_current(struct txn *t, const struct record *conv, struct str *out)
{
	struct json_doc *doc = NULL;
	if (json_parse(conv->fields, &doc, NULL) != OK) return ERR_CORRUPT;
	*out = copy_of(json_root(doc), "currentSessionId", txn_arena(t));
	json_free(doc);
	return OK;
}

enum err session_newest(struct txn *t, int64_t conv_row, struct str *id)
{
	struct record conv;
	struct str current;
	enum err e = txn_get_row(t, conv_row, &conv);
	if (e == OK) e = session_current(t, &conv, &current);
	if (e != OK) return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
	if (current.n > 0) *id = current;
	return OK;
}

enum err session_is_hidden(struct txn *t, uint32_t zone, struct str id, uint32_t principal, bool *out)
{
	struct record r;
	struct session s;
	*out = false;
	enum err e = txn_get(t, zone, RT_SESSION, id, &r);
	if (e == ERR_NOT_FOUND || (e == OK && r.deleted)) return OK;
	if (e == OK) e = session_read(&s, &r, txn_arena(t));
	if (e == OK) *out = s.is_killed && (int64_t)principal >= s.late_from;
	return e;
}

bool session_is_locked(const struct session *s, int64_t incarnation, int64_t boot_ms)
{
	return s->lock.device_id.n > 0 && s->lock.owner == incarnation && boot_ms < s->lock.until_boot_ms;
}
