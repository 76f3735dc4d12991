/* record:save: policies, change tags, atomic batches.
 *
 *   policy        over a live record                        where there is none, or a tombstone
 *   ifUnchanged   needs its change tag, else ERR_CONFLICT;   needs no tag (a tag: ERR_NOT_FOUND, or ERR_CONFLICT
 *                 replaces the fields                        with the tombstone, unless it is the tombstone's own)
 *   changedKeys   no tag is looked at; sets the given keys   creates
 *   allKeys       no tag is looked at; replaces the fields   creates
 *
 *   merge         no tag is looked at; an edit with a        creates; over a tombstone what the edit says is kept as
 *                 stamp, see revise.c                        revisions, and nothing is changed
 *
 * A deletion under ifUnchanged checks a tag if one was sent. Deleting what is deleted already is no error and no change;
 * deleting what never was is ERR_NOT_FOUND. ERR_CONFLICT hands out the server's record.
 *
 * Without `trusted` a device is saving: what it may do to the daemon's own types is the table in record.h, and a save
 * that replaces leaves the fields alone that the daemon keeps.
 *
 * Types that take stamps keep them true under every policy: what a save changes is stamped here, as an edit of now by
 * this device that had seen all. On other types merge is changedKeys.
 *
 * Each item stands for itself unless the batch is atomic: then the first failure takes back the ones before it, and
 * they and the ones behind it are ERR_ATOMIC. */
#include "base/id.h"
#include "store/txn.h"

static enum err check_shape(struct txn *t, struct save_item *it)
{
	if (!name_is_valid(it->type))
		return err_set(&it->info, ERR_BAD_FIELD,
			       "\"type\" must be 1–255 characters of A–Z a–z 0–9 . _ - : @ +");
	if (it->name.p == NULL) {
		struct id id = id_new(txn_now_ms(t));
		if (it->deleted) return err_set(&it->info, ERR_BAD_FIELD, "a deletion needs a name");
		it->name = arena_str(txn_arena(t), id_str(&id));
	}
	if (!name_is_valid(it->name))
		return err_set(&it->info, ERR_BAD_FIELD,
			       "\"name\" must be 1–255 characters of A–Z a–z 0–9 . _ - : @ +");
	if (!it->deleted && json_type(it->fields) != JSON_OBJ)
		return err_set(&it->info, ERR_BAD_FIELD, "\"fields\" must be an object");
	return OK;
}

enum err check_fields(uint32_t type, struct str merged, int64_t most, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	int64_t scalars = 0;
	if (type < RT_FIRST_OWN) return OK;
	enum err e = json_parse(merged, &doc, info);
	for (struct json_iter it = json_iter(json_root(doc)); e == OK && json_next(&it);) {
		if (it.key.n > NAME_MAX_LEN)
			e = err_set(info, ERR_BAD_FIELD, "a field's name is at most %d bytes", NAME_MAX_LEN);
		scalars += json_type(it.val) != JSON_ARR && json_type(it.val) != JSON_OBJ;
	}
	if (e == OK && scalars > most)
		e = err_set(info, ERR_TOO_LARGE,
			    "a record has at most indexedFields (%lld) fields that are no list or object",
			    (long long)most);
	json_free(doc);
	return e;
}

static enum err conflict(struct save_item *it, const char *why)
{
	return err_set(&it->info, ERR_CONFLICT, "%.*s %.*s %s", STR_ARG(it->type), (int)MIN(it->name.n, (size_t)80),
		       it->name.p, why);
}

static enum err check_tag(struct save_item *it, bool exists, enum save_policy policy)
{
	int64_t seq = 0;
	bool has_tag = it->change_tag.p != NULL;
	if (has_tag && !tag_parse(it->change_tag, &seq))
		return err_set(&it->info, ERR_BAD_FIELD, "this is no change tag");
	if (policy != POLICY_IF_UNCHANGED) return OK;
	if (!exists) return has_tag ? ERR_NOT_FOUND : OK;
	if (it->rec.deleted) return !has_tag || seq == it->rec.seq ? OK : conflict(it, "was deleted");
	if (!has_tag) return it->deleted ? OK : conflict(it, "exists already; a save over it needs its change tag");
	return seq == it->rec.seq ? OK : conflict(it, "changed since that change tag");
}

static enum err forbidden(struct save_item *it, const char *verb)
{
	return err_set(&it->info, ERR_FORBIDDEN, "records of type %.*s are %s by the daemon, not by record:save",
		       STR_ARG(it->type), verb);
}

static enum err check_rights(struct save_item *it, uint32_t type, bool exists, enum save_policy policy)
{
	bool live = exists && (!it->rec.deleted || policy == POLICY_MERGE); /* a merge revives nothing */
	if (it->trusted) return OK;
	if (it->deleted) return record_may(type, RIGHT_DELETE) ? OK : forbidden(it, "deleted");
	if (!exists && !record_may(type, RIGHT_CREATE)) return forbidden(it, "made");
	if (exists && !live && !record_may(type, RIGHT_REVIVE))
		return conflict(it, "was deleted, and its id is taken for ever");
	return record_check_writable(type, it->fields, &it->info);
}

static enum err remove_one(struct txn *t, struct save_item *it, enum save_policy policy)
{
	struct edit edit = {.stamp = STR_NONE};
	struct edit_result result;
	if (policy == POLICY_MERGE) {
		edit.stamp = it->stamp;
		edit.base = it->base;
	}
	if (!merge_is_known(it->rec.type)) return it->rec.deleted ? OK : txn_delete(t, &it->rec);
	enum err e = txn_edit_delete(t, &it->rec, &edit, &result, &it->info);
	it->conflicts = result.conflicts;
	return e;
}

static enum err merge_one(struct txn *t, struct save_item *it)
{
	struct edit edit = {.fields = it->fields, .stamp = it->stamp, .base = it->base};
	struct edit_result result;
	enum err e = txn_edit(t, &it->rec, &edit, &result, &it->info);
	it->conflicts = result.conflicts;
	return e;
}

/* Does this save concern stamps? An application's record has none until it is merged for the first time. */
static bool is_stamped(uint32_t type, struct str stored, const struct json *given)
{
	struct str key = STR("\"" MERGE_STAMPS "\"");
	if (type < RT_FIRST_OWN) return merge_is_known(type);
	return json_get(given, MERGE_STAMPS) != NULL || memmem(stored.p, stored.n, key.p, key.n) != NULL;
}

static enum err store_one(struct txn *t, struct save_item *it, bool exists, enum save_policy policy)
{
	struct record *r = &it->rec;
	struct buf b = BUF_INIT((size_t)t->limits->record_bytes);
	bool live = exists && !r->deleted;
	struct str stored = live ? r->fields : STR("{}");
	enum err e = it->trusted ? fields_merge(stored, it->fields, policy, &b, &it->info)
				 : fields_merge_for(r->type, stored, it->fields, policy, &b, &it->info);
	if (e == OK) e = check_fields(r->type, buf_str(&b), t->limits->indexed_fields, &it->info);
	if (e == OK && exists && r->row == 0) e = grave_drop(t, r);
	if (e == OK && is_stamped(r->type, stored, it->fields)) e = edit_saved(t, r, buf_str(&b), !live, &it->info);
	else if (e == OK) r->fields = arena_str(txn_arena(t), buf_str(&b));
	if (e == OK) {
		if (!live) r->created_ms = 0; /* a new life */
		r->deleted = false;
		e = txn_put(t, r);
	}
	buf_release(&b);
	return e;
}

static enum err save_one(struct txn *t, uint32_t zone, struct save_item *it, enum save_policy policy)
{
	uint32_t type;
	enum err e = check_shape(t, it);
	if (e == OK) e = txn_type(t, it->type, !it->deleted, &type);
	if (e != OK) return e;
	e = txn_get(t, zone, type, it->name, &it->rec);
	bool exists = e == OK;
	if (e != OK && e != ERR_NOT_FOUND) return e;
	if (!exists) it->rec = (struct record){.zone = zone, .type = type, .name = it->name};
	if (policy == POLICY_MERGE && !merge_is_known(type)) policy = POLICY_CHANGED_KEYS;
	e = check_rights(it, type, exists, policy);
	if (e == OK && it->deleted && !exists) e = ERR_NOT_FOUND;
	if (e == OK) e = check_tag(it, exists, policy);
	if (e != OK) return e;
	if (it->deleted) return remove_one(t, it, policy);
	return policy == POLICY_MERGE ? merge_one(t, it) : store_one(t, it, exists, policy);
}

/* One item, of which nothing remains when it fails. */
static enum err try_one(struct txn *t, uint32_t zone, struct save_item *it, enum save_policy policy)
{
	it->info = (struct errinfo){0};
	it->conflicts = STR_NONE;
	it->err = save_one(t, zone, it, policy);
	if (it->err != OK && it->info.err == OK) {
		/* The verbs below leave their sentence with the op. */
		it->info = t->op->info;
		it->info.err = it->err;
		t->op->info = (struct errinfo){0};
	}
	return it->err;
}

/* Faults that are not the item's: the command as a whole fails. */
static bool is_fault(enum err e)
{
	return e == ERR_STORAGE_FULL || e == ERR_IO || e == ERR_CORRUPT || e == ERR_INTERNAL;
}

enum err txn_save(struct txn *t, uint32_t zone, struct save_item *items, size_t n, enum save_policy policy, bool atomic)
{
	struct txn_part part;
	if ((int64_t)n > t->limits->batch_records)
		return err_set(&t->op->info, ERR_TOO_LARGE, "a batch has at most %lld records (batchRecords)",
			       (long long)t->limits->batch_records);
	enum err e = OK;
	if (atomic) e = txn_part_begin(t, &part);
	if (e != OK) return e;
	for (size_t i = 0; i < n; i++) {
		e = try_one(t, zone, &items[i], policy);
		if (is_fault(e)) return e;
		if (e == OK || !atomic) continue;
		for (size_t k = 0; k < n; k++) {
			if (k == i) continue;
			items[k].err = ERR_ATOMIC;
			items[k].info = (struct errinfo){.err = ERR_ATOMIC};
		}
		enum err undone = txn_part_end(t, &part, false);
		return undone != OK ? undone : ERR_ATOMIC;
	}
	return atomic ? txn_part_end(t, &part, true) : OK;
}
