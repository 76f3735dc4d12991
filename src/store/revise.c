/* Edits, and what becomes of the values they replace.
 *
 * Merging itself is pure (record/merge.h); here it meets the disk. A version that is not a record's value any more is a
 * Revision record, put on the daemon's own account so that it reaches every device:
 *
 *   recordType, recordName   whose value it was
 *   conversationId           of a Message its own, of a Conversation its name; else absent
 *   field, value             "text", "settings.font"; any JSON
 *   stamp, deviceId, at      when and where it was written; "" and the record's creation for its first value
 *   replacedBy               stamps of the edits that replaced it and knew it, the first REPLACED_MAX of them
 *   conflict                 there is none: nobody had seen it when it lost its place
 *
 * A Revision's name derives from (type, name, field, stamp), so the same version is kept once however often its edit
 * arrives; the tombstone of one says that a person who had seen it deleted its record. That is also why a deletion
 * leaves tombstones for the values that the record held: a late repeat of their edit must not bring them back.
 *
 * replacedBy is kept at the older version, because the newer one may still be the record's value and the record has no
 * room for its past. A deletion reads it backwards: what its maker had seen, and all that this had replaced, goes. The
 * versions that it names go in its own command, what those had replaced in steps (sweep.c). */
#include "base/clock.h"
#include "base/id.h"
#include "store/txn.h"

/* ---- Revision records ------------------------------------------------------------------------------------------- */

struct id revision_id(struct txn *t, const struct record *r, struct str field, struct str stamp)
{
	char buf[STAMP_CAP], when[32];
	struct buf label = BUF_INIT(BUF_NO_LIMIT);
	struct str identity = stamp_identity(stamp, buf), type = intern_type(t->intern, r->type);
	/* A name may be used for a second life, whose first value is another one. */
	if (stamp.n == 0) identity = str_n(when, (size_t)snprintf(when, sizeof when, "%lld", (long long)r->created_ms));
	buf_addf(&label, "revision/%.*s/%.*s/%.*s", STR_ARG(type), STR_ARG(field), STR_ARG(identity));
	struct id id = id_derive(r->name, label.p);
	buf_release(&label);
	return id;
}

static enum err put_as_daemon(struct txn *t, struct record *r)
{
	uint32_t actor = t->op->actor;
	t->op->actor = 0;
	enum err e = txn_put(t, r);
	t->op->actor = actor;
	return e;
}

enum err revision_bury(struct txn *t, struct record *rev)
{
	rev->type_name = rev->origin = STR_NONE;
	rev->fields = STR("{}");
	rev->deleted = true;
	return put_as_daemon(t, rev);
}

static void write_revision(struct txn *t, struct record *rev, const struct record *r, struct str conversation,
			   const struct merge_version *v)
{
	const struct principal *maker = intern_principal(t->intern, r->created_by);
	struct str device = v->stamp.n > 0 ? stamp_device(v->stamp) : maker != NULL ? maker->device_id : STR("");
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "recordType", intern_type(t->intern, r->type));
	jw_kstr(&w, "recordName", r->name);
	if (r->type == RT_CONVERSATION) jw_kstr(&w, "conversationId", r->name);
	else if (conversation.p != NULL) jw_kstr(&w, "conversationId", conversation);
	jw_kstr(&w, "field", v->field);
	jw_kraw(&w, "value", v->value);
	jw_kstr(&w, "stamp", v->stamp);
	jw_kstr(&w, "deviceId", device);
	jw_ktime(&w, "at", v->stamp.n > 0 ? stamp_ms(v->stamp) : r->created_ms);
	jw_kbool(&w, "conflict", v->by.n == 0);
	jw_key(&w, "replacedBy");
	jw_arr(&w);
	if (v->by.n > 0) jw_str(&w, v->by);
	jw_arr_end(&w);
	jw_obj_end(&w);
	rev->fields = arena_str(txn_arena(t), buf_str(&b));
	buf_release(&b);
}

/* A message's conversation stands in its fields; of a tombstone's conversation the row is left. */
static struct str conversation_of(struct txn *t, const struct record *r, const struct json *fields)
{
	struct str id = STR_NONE;
	struct record conv;
	if (r->type != RT_MESSAGE) return STR_NONE;
	if (json_str(json_get(fields, "conversationId"), &id)) return arena_str(txn_arena(t), id);
	return r->conv != 0 && txn_get_row(t, r->conv, &conv) == OK ? conv.name : STR_NONE;
}

struct keeping {
	struct txn *t;
	const struct record *r;
	struct str conversation;
	struct edit_result *out;
	struct buf conflicts;
	struct jw w;
	int64_t texts; /* revisions of a message's text that are new */
	bool dead;     /* the record was or is being deleted */
	bool buried;   /* a version that was there, or was the record's value, has a tombstone now */
};

static void keeping_init(struct keeping *k, struct txn *t, const struct record *r, const struct json *fields,
			 struct edit_result *out)
{
	*k = (struct keeping){.t = t, .r = r, .out = out, .conflicts = BUF_INIT(BUF_NO_LIMIT)};
	k->conversation = conversation_of(t, r, fields);
	k->dead = r->deleted;
	k->w = JW(&k->conflicts);
	jw_arr(&k->w);
}

static void keeping_end(struct keeping *k)
{
	bool any = k->conflicts.n > 1;
	jw_arr_end(&k->w);
	k->out->conflicts = any ? arena_str(txn_arena(k->t), buf_str(&k->conflicts)) : STR_NONE;
	buf_release(&k->conflicts);
}

/* Who asked is told of every value that lost its place unseen. */
static void tell_conflict(struct keeping *k, const struct merge_version *v, struct str name)
{
	jw_obj(&k->w);
	jw_kstr(&k->w, "field", v->field);
	jw_kstr(&k->w, "kept", v->is_edits_own ? STR("theirs") : STR("ours"));
	jw_kstr(&k->w, "revision", name);
	if (k->dead) jw_kbool(&k->w, "deleted", true);
	jw_obj_end(&k->w);
}

static bool is_unseen(const struct record *rev)
{
	struct json_doc *doc = NULL;
	bool conflict = false;
	if (!rev->deleted && json_parse(rev->fields, &doc, NULL) == OK)
		(void)json_bool(json_get(json_root(doc), "conflict"), &conflict);
	json_free(doc);
	return conflict;
}

static enum err keep_version(struct keeping *k, const struct merge_version *v)
{
	struct txn *t = k->t;
	struct id id = revision_id(t, k->r, v->field, v->stamp);
	struct record rev;
	enum err e = txn_get(t, k->r->zone, RT_REVISION, id_str(&id), &rev);
	bool is_new = e == ERR_NOT_FOUND, conflict = v->by.n == 0;
	if (e != OK && !is_new) return e;
	if (!is_new) conflict = conflict && is_unseen(&rev); /* perhaps somebody saw it since */
	if (is_new) {
		rev = (struct record){.zone = k->r->zone, .type = RT_REVISION};
		rev.name = arena_str(txn_arena(t), id_str(&id));
		write_revision(t, &rev, k->r, k->conversation, v);
		e = put_as_daemon(t, &rev);
		k->texts += str_eq(v->field, STR("text"));
	}
	if (e == OK && conflict && !v->is_same) tell_conflict(k, v, rev.name);
	return e;
}

/* One stamp is one value: what an edit loses now must not be taken for what another one lost under the same stamp. */
static enum err check_stamps(struct keeping *k, const struct merge_result *m, struct errinfo *info)
{
	enum err e = OK;
	for (size_t i = 0; i < m->nkept && e == OK; i++) {
		const struct merge_version *v = &m->kept[i];
		struct id id = revision_id(k->t, k->r, v->field, v->stamp);
		struct json_doc *stored = NULL, *given = NULL;
		struct record rev;
		if (!v->is_edits_own) continue;
		e = txn_get(k->t, k->r->zone, RT_REVISION, id_str(&id), &rev);
		if (e == ERR_NOT_FOUND || (e == OK && rev.deleted)) {
			e = OK;
			continue;
		}
		if (e == OK) e = json_parse(rev.fields, &stored, NULL);
		if (e == OK) e = json_parse(v->value, &given, NULL);
		if (e == OK && !json_equal(json_get(json_root(stored), "value"), json_root(given)))
			e = err_set(info, ERR_BAD_FIELD, "this stamp was used for another value of \"%.*s\"",
				    (int)MIN(v->field.n, (size_t)60), v->field.p);
		json_free(stored);
		json_free(given);
	}
	return e;
}

/* An older version turns out to be known to an edit that arrives now. The first REPLACED_MAX of them are noted, or one
 * device could make the list as long as it likes by editing what it has long replaced. What is not noted is what the
 * deletions of such edits have seen: they leave the older version behind as a Revision. */
#define REPLACED_MAX 64

static enum err note_known(struct keeping *k, const struct merge_known *known)
{
	struct txn *t = k->t;
	struct id id = revision_id(t, k->r, known->field, known->base);
	struct record rev;
	struct json_doc *doc = NULL;
	struct str s;
	bool is_there = false; /* or there is no room for it */
	int n = 0;
	enum err e = txn_get(t, k->r->zone, RT_REVISION, id_str(&id), &rev);
	if (e == ERR_NOT_FOUND || (e == OK && rev.deleted)) return OK;
	if (e == OK) e = json_parse(rev.fields, &doc, NULL);
	if (e != OK) return e;
	struct buf patch = BUF_INIT(BUF_NO_LIMIT), merged = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&patch);
	jw_obj(&w);
	jw_kbool(&w, "conflict", false);
	jw_key(&w, "replacedBy");
	jw_arr(&w);
	for (struct json_iter it = json_iter(json_get(json_root(doc), "replacedBy")); json_next(&it);) {
		if (!json_str(it.val, &s)) continue;
		is_there |= stamp_same(s, known->by) || ++n == REPLACED_MAX;
		jw_str(&w, s);
	}
	jw_str(&w, known->by);
	jw_arr_end(&w);
	jw_obj_end(&w);
	if (!is_there) e = fields_patch(rev.fields, buf_str(&patch), &merged);
	if (e == OK && !is_there) {
		rev.fields = arena_str(txn_arena(t), buf_str(&merged));
		e = put_as_daemon(t, &rev);
	}
	json_free(doc);
	buf_release(&patch);
	buf_release(&merged);
	return e;
}

/* Nothing was written when it fails by the edit's own fault. */
static enum err keep_all(struct keeping *k, const struct merge_result *m, struct errinfo *info)
{
	enum err e = check_stamps(k, m, info);
	for (size_t i = 0; i < m->nkept && e == OK; i++) e = keep_version(k, &m->kept[i]);
	for (size_t i = 0; i < m->nknown && e == OK; i++) e = note_known(k, &m->known[i]);
	return e;
}

/* ---- edits ------------------------------------------------------------------------------------------------------ */

/* A message says how many texts it had before, and when its present one was written. */
static enum err count_texts(struct keeping *k, struct merge_result *m)
{
	struct json_doc *doc = NULL;
	int64_t n = 0;
	if (k->r->type != RT_MESSAGE || (k->texts == 0 && !m->changed)) return OK;
	enum err e = json_parse(m->fields, &doc, NULL);
	if (e != OK) return ERR_CORRUPT;
	struct str stamp = merge_stamp_of(json_root(doc), STR("text"));
	(void)json_int(json_get(json_root(doc), "revisions"), &n);
	struct buf patch = BUF_INIT(BUF_NO_LIMIT), merged = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&patch);
	jw_obj(&w);
	if (n + k->texts > 0) jw_kint(&w, "revisions", n + k->texts);
	if (stamp.n > 0) jw_ktime(&w, "editedAt", stamp_ms(stamp));
	jw_obj_end(&w);
	e = fields_patch(m->fields, buf_str(&patch), &merged);
	if (e == OK) {
		m->fields = arena_str(txn_arena(k->t), buf_str(&merged));
		m->changed = true;
	}
	json_free(doc);
	buf_release(&patch);
	buf_release(&merged);
	return e;
}

/* The stamp an edit is taken by: its own, perhaps cut, or one of now. */
static enum err find_stamp(struct txn *t, const struct edit *edit, const struct json *fields, struct str *out,
			   struct errinfo *info)
{
	const struct principal *who = NULL;
	char made[STAMP_CAP];
	enum err e = t->op->actor != 0 ? txn_actor(t, &who) : OK;
	if (e != OK) return e;
	struct str device = who != NULL ? who->device_id : STR("");
	if (edit->stamp.p == NULL) {
		size_t n = stamp_make(txn_now_ms(t), merge_latest(fields), device, made);
		*out = arena_str(txn_arena(t), str_n(made, n));
		return merge_check_base(edit->base, *out, info);
	}
	if (edit->stamp.n == 0 || !stamp_is_valid(edit->stamp))
		return err_set(info, ERR_BAD_FIELD, "\"stamp\" is no stamp");
	if (!str_eq(stamp_device(edit->stamp), device))
		return err_set(info, ERR_BAD_FIELD, "\"stamp\" must end in this device's id");
	e = merge_check_base(edit->base, edit->stamp, info);
	*out = stamp_cut(edit->stamp, txn_now_ms(t) + t->limits->stamp_ahead_ms, merge_floor(fields, edit->base),
			 txn_arena(t));
	return e;
}

/* Applies to a live or new record. */
static enum err edit_live(struct txn *t, struct record *r, const struct json *fields, const struct merge_edit *edit,
			  struct edit_result *out, struct errinfo *info)
{
	struct merge_result m;
	struct keeping k;
	enum err e = merge_apply(r->type, r->fields, edit, (size_t)t->limits->record_bytes, txn_arena(t), &m, info);
	if (e == OK) e = check_fields(r->type, m.fields, t->limits->indexed_fields, info);
	if (e != OK) return e;
	keeping_init(&k, t, r, fields, out);
	e = keep_all(&k, &m, info);
	if (e == OK) e = count_texts(&k, &m);
	out->changed = m.changed;
	if (e == OK && (m.changed || r->row == 0)) {
		r->fields = m.fields;
		e = txn_put(t, r);
	}
	keeping_end(&k);
	return e;
}

static enum err edit_dead(struct txn *t, struct record *r, const struct merge_edit *edit, struct edit_result *out,
			  struct errinfo *info)
{
	struct merge_result m;
	struct keeping k;
	enum err e = merge_apply_dead(r->type, edit, txn_arena(t), &m, info);
	if (e != OK) return e;
	keeping_init(&k, t, r, NULL, out);
	e = keep_all(&k, &m, info);
	keeping_end(&k);
	return e;
}

/* What an edit is as a merge sees it. *doc holds the stored fields. */
static enum err begin(struct txn *t, const struct record *r, const struct edit *edit, struct json_doc **doc,
		      struct merge_edit *m, struct errinfo *info)
{
	*m = (struct merge_edit){.fields = edit->fields, .base = edit->base};
	m->saw_all = edit->stamp.p == NULL && edit->base == NULL;
	if (json_parse(r->deleted || r->fields.n == 0 ? STR("{}") : r->fields, doc, NULL) != OK)
		return err_set(info, ERR_CORRUPT, "stored fields are not a JSON object");
	return find_stamp(t, edit, json_root(*doc), &m->stamp, info);
}

enum err txn_edit(struct txn *t, struct record *r, const struct edit *edit, struct edit_result *out,
		  struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct merge_edit m;
	*out = (struct edit_result){.conflicts = STR_NONE};
	enum err e = begin(t, r, edit, &doc, &m, info);
	if (e == OK) e = r->deleted ? edit_dead(t, r, &m, out, info) : edit_live(t, r, json_root(doc), &m, out, info);
	json_free(doc);
	return e;
}

enum err txn_edit_preview(struct txn *t, struct record *r, const struct edit *edit, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct merge_edit m;
	struct merge_result result;
	enum err e = begin(t, r, edit, &doc, &m, info);
	if (e == OK)
		e = merge_apply(r->type, r->fields, &m, (size_t)t->limits->record_bytes, txn_arena(t), &result, info);
	if (e == OK) r->fields = result.fields;
	json_free(doc);
	return e;
}

enum err edit_saved(struct txn *t, struct record *r, struct str saved, bool is_new, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct merge_result m;
	struct edit_result out;
	struct keeping k;
	struct str stored = is_new ? STR("{}") : r->fields, stamp = STR_NONE;
	enum err e = json_parse(stored, &doc, NULL);
	if (e != OK) return err_set(info, ERR_CORRUPT, "stored fields are not a JSON object");
	if (!is_new) e = find_stamp(t, &(struct edit){.stamp = STR_NONE}, json_root(doc), &stamp, info);
	if (e == OK)
		e = merge_stamp(r->type, stored, saved, stamp, (size_t)t->limits->record_bytes, txn_arena(t), &m, info);
	if (e == OK) {
		keeping_init(&k, t, r, json_root(doc), &out);
		e = keep_all(&k, &m, info);
		keeping_end(&k);
	}
	if (e == OK) r->fields = m.fields;
	json_free(doc);
	return e;
}

/* ---- deletions -------------------------------------------------------------------------------------------------- */

/* A version that the maker of a deletion had seen goes. Its tombstone is also begun for one that the record held. */
static enum err bury(struct keeping *k, struct str field, struct str stamp, bool is_held)
{
	struct txn *t = k->t;
	struct id id = revision_id(t, k->r, field, stamp);
	struct record rev;
	struct arena kept = t->op->arena;
	t->op->arena = (struct arena){0};
	enum err e = txn_get(t, k->r->zone, RT_REVISION, id_str(&id), &rev);
	arena_clear(&t->op->arena); /* it may be long, and of it only numbers are used */
	t->op->arena = kept;
	if (e == ERR_NOT_FOUND && !is_held) return OK;
	if (e == ERR_NOT_FOUND) rev = (struct record){.zone = k->r->zone, .type = RT_REVISION};
	else if (e != OK || rev.deleted) return e;
	rev.name = arena_str(txn_arena(t), id_str(&id));
	k->buried = true;
	return revision_bury(t, &rev);
}

/* A value that the record held and the maker of the deletion had not seen becomes a revision. */
static enum err keep_held(struct keeping *k, const struct json *fields, struct str field, struct str stamp)
{
	const struct json *value = merge_value_of(k->r->type, fields, field);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (value != NULL) json_write(&b, value);
	else buf_add_str(&b, STR("null"));
	enum err e = keep_version(
		k, &(struct merge_version){.field = field, .value = buf_str(&b), .stamp = stamp, .by = STR("")});
	buf_release(&b);
	return e;
}

/* The registers of a live record that have a stamp. Of a field that its base does not name, the maker of the deletion had
 * seen the first value. */
static enum err settle_held(struct keeping *k, const struct json *fields, const struct merge_edit *m)
{
	struct json_map base;
	struct str stamp, seen;
	enum err e = OK;
	json_map_init(&base, m->base);
	for (struct json_iter it = json_iter(json_get(fields, MERGE_STAMPS)); e == OK && json_next(&it);) {
		if (!json_str(it.val, &stamp)) continue;
		if (!json_str(json_map_get(&base, it.key), &seen)) seen = STR("");
		if (m->saw_all || stamp_same(seen, stamp)) e = bury(k, it.key, stamp, true);
		else e = keep_held(k, fields, it.key, stamp);
		if (e == OK && !m->saw_all && seen.n == 0) e = bury(k, it.key, seen, false);
	}
	json_map_release(&base);
	return e;
}

/* The revisions that a base names. */
static enum err settle_named(struct keeping *k, const struct json *base)
{
	struct str stamp;
	enum err e = OK;
	for (struct json_iter it = json_iter(base); e == OK && json_next(&it);)
		if (json_str(it.val, &stamp)) e = bury(k, it.key, stamp, false);
	return e;
}

enum err txn_edit_delete(struct txn *t, struct record *r, const struct edit *edit, struct edit_result *out,
			 struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct merge_edit m;
	struct keeping k;
	*out = (struct edit_result){.conflicts = STR_NONE};
	enum err e = begin(t, r, edit, &doc, &m, info);
	if (e != OK) goto out;
	const struct json *fields = json_root(doc);
	keeping_init(&k, t, r, fields, out);
	k.dead = true;
	if (!r->deleted) e = settle_held(&k, fields, &m);
	if (e == OK) e = settle_named(&k, m.base);
	if (e == OK && k.buried) e = sweep_begin(t, r);
	if (e == OK && !r->deleted) {
		e = txn_delete(t, r);
		out->changed = true;
	}
	keeping_end(&k);
out:
	json_free(doc);
	return e;
}
