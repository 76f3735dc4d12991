/* Records as the person sees them: what the server said, and over it, in their order, the changes of this device that it
 * has not answered yet, merged by the same function that the daemon will use. So what is shown after an answer is what
 * was shown before it, unless somebody else changed the same thing.
 *
 * A message in the outbox is a record too, with an empty change tag and no place. A held change that is no message is not
 * merged in: the daemon has refused it. Its text stays in the outbox. */
#include "client/core_priv.h"

#include "record/merge.h"

struct view {
	const struct core *c;
	struct str type, name;
	struct json_doc *doc;     /* the server's record, or NULL */
	const struct entry *sent; /* the message itself is in the outbox */
	struct arena arena;
	struct str fields; /* so far */
	struct core_view told;
};

uint32_t type_number(struct str type)
{
	uint32_t n = record_type_number(type);
	return n != 0 ? n : RT_FIRST_OWN;
}

/* The fields of a message that only the outbox has. */
static struct str fields_of_send(struct view *v, const struct entry *e)
{
	struct buf b = BUF_INIT(ROW_BYTES_MAX);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "conversationId", str_c(e->conversation));
	if (e->session[0] != '\0') jw_kstr(&w, "sessionId", str_c(e->session));
	jw_kstr(&w, "role", STR("user"));
	jw_kstr(&w, "text", str_c(e->text));
	if (e->parts[0] != '\0') jw_kraw(&w, "parts", str_c(e->parts));
	if (e->parent[0] != '\0') jw_kstr(&w, "parent", str_c(e->parent));
	if (e->automatic) jw_kbool(&w, "auto", true);
	jw_kstr(&w, "status", STR("complete"));
	jw_obj_end(&w);
	struct str fields = arena_str(&v->arena, buf_str(&b));
	buf_release(&b);
	return fields;
}

/* Merges `changes` in, whose maker saw `base`: JSON objects, base "" nothing. What does not fit together is left to the
 * daemon to refuse. */
static void merge_in(struct view *v, const struct entry *e, struct str changes, struct str base)
{
	struct json_doc *doc = NULL, *seen = NULL;
	struct merge_result r;
	struct buf plain = BUF_INIT(ROW_BYTES_MAX);
	if (json_parse(changes, &doc, NULL) != OK) goto out;
	if (e->stamp[0] == '\0') {
		if (fields_merge(v->fields, json_root(doc), POLICY_CHANGED_KEYS, &plain, NULL) == OK)
			v->fields = arena_str(&v->arena, buf_str(&plain));
		goto out;
	}
	if (base.n > 0 && json_parse(base, &seen, NULL) != OK) goto out;
	struct merge_edit edit = {.fields = json_root(doc), .stamp = str_c(e->stamp), .base = json_root(seen)};
	if (merge_apply(type_number(v->type), v->fields, &edit, ROW_BYTES_MAX, &v->arena, &r, NULL) == OK)
		v->fields = r.fields;
out:
	buf_release(&plain);
	json_free(doc);
	json_free(seen);
}

/* {"text": …} */
static void put_text(struct buf *b, const char *text)
{
	struct jw w = JW(b);
	jw_obj(&w);
	jw_kstr(&w, "text", str_c(text));
	jw_obj_end(&w);
}

static void merge_edit_in(struct view *v, const struct entry *e)
{
	struct buf changes = BUF_INIT(ROW_BYTES_MAX), base = BUF_INIT(ROW_BYTES_MAX);
	put_text(&changes, e->text);
	put_text(&base, e->base);
	merge_in(v, e, buf_str(&changes), buf_str(&base));
	buf_release(&changes);
	buf_release(&base);
}

static void apply(struct view *v, const struct entry *e)
{
	switch (e->kind) {
	case CORE_SEND:
		if (v->doc != NULL) break; /* it is there: only its ack is missing */
		v->sent = e;
		v->told.exists = true;
		v->fields = fields_of_send(v, e);
		break;
	case CORE_EDIT:
		if (!v->told.deleted) merge_edit_in(v, e);
		break;
	case CORE_SAVE:
		if (e->fields[0] == '\0') {
			v->told.deleted = v->told.exists;
		} else if (!v->told.deleted || !v->told.exists || record_may(type_number(v->type), RIGHT_REVIVE)) {
			v->told.exists = true;
			v->told.deleted = false;
			merge_in(v, e, str_c(e->fields), str_c(e->base));
		}
		break;
	case CORE_DELETE: v->told.deleted = true; break;
	case CORE_CLEAR: break;
	}
	v->told.state = e->state;
	v->told.entry = e->number;
	v->told.why = e->why;
}

/* The held changes of the record stand in no lane. */
static void note_held(struct view *v)
{
	const struct entry *e;
	if (v->c->nheld == 0) return;
	TAILQ_FOREACH (e, &v->c->outbox, link) {
		if (e->state != CORE_HELD || e->kind == CORE_SEND) continue;
		if (!str_eq(str_c(e->name), v->name) || !str_eq(str_c(e->type), v->type)) continue;
		v->told.state = CORE_HELD;
		v->told.entry = e->number;
		v->told.why = e->why;
	}
}

static void write_who(const struct view *v, struct jw *w, const char *key)
{
	int64_t at_ms = v->sent != NULL ? v->sent->created_ms : v->c->now.wall_ms;
	jw_key(w, key);
	jw_obj(w);
	jw_ktime(w, "at", at_ms);
	jw_kstr(w, "userId", str_c(v->c->user));
	jw_kstr(w, "deviceId", str_c(v->c->device_id));
	jw_obj_end(w);
}

static void write_record(const struct view *v, struct buf *out)
{
	struct jw w = JW(out);
	const struct json *r = json_root(v->doc);
	jw_obj(&w);
	jw_kstr(&w, "type", v->type);
	jw_kstr(&w, "name", v->name);
	jw_kstr(&w, "changeTag", text_of(r, "changeTag"));
	static const char *const who[] = {"created", "modified"};
	for (size_t i = 0; i < ARRAY_LEN(who); i++) {
		const struct json *known = json_get(r, who[i]);
		if (known == NULL) {
			write_who(v, &w, who[i]);
			continue;
		}
		jw_key(&w, who[i]);
		jw_value(&w, known);
	}
	jw_kbool(&w, "deleted", v->told.deleted);
	jw_kraw(&w, "fields", v->fields);
	jw_obj_end(&w);
}

static bool is_hidden(const struct view *v)
{
	struct json_doc *doc;
	bool found = false;
	struct str device;
	if (!str_eq(v->type, STR("Message")) || json_parse(v->fields, &doc, NULL) != OK) return false;
	for (struct json_iter it = json_iter(json_get(json_root(doc), "hiddenBy")); json_next(&it);)
		found |= json_str(it.val, &device) && str_eq(device, str_c(v->c->device_id));
	json_free(doc);
	return found;
}

struct core_view core_view(const struct core *c, struct str type, struct str name, struct buf *out)
{
	struct view v = {.c = c, .type = type, .name = name, .fields = STR("{}"), .told = {.state = CORE_GONE}};
	struct buf fields = BUF_INIT(ROW_BYTES_MAX);
	if (!name_is_valid(type) || !name_is_valid(name)) return v.told;
	v.doc = record_read(c, type, name);
	if (v.doc != NULL) {
		const struct json *stored = json_get(json_root(v.doc), "fields");
		v.told.exists = true;
		v.told.deleted = bool_of(json_root(v.doc), "deleted");
		if (json_type(stored) == JSON_OBJ) {
			json_write(&fields, stored);
			v.fields = arena_str(&v.arena, buf_str(&fields));
		}
	}
	const struct lane *l = lane_of_record(c, type, name);
	const struct lane_link *k;
	if (l != NULL)
		TAILQ_FOREACH (k, &l->links, link) apply(&v, k->entry);
	note_held(&v);
	v.told.hidden = is_hidden(&v);
	if (v.told.exists && out != NULL) write_record(&v, out);
	buf_release(&fields);
	json_free(v.doc);
	arena_clear(&v.arena);
	return v.told;
}
