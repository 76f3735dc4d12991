/* What a deletion leaves to do.
 *
 * A deletion takes along the versions that its maker had seen: those it names, those that these had replaced, and so on
 * back. There may be tens of thousands of them, and no command may hold the writer for as long as they take. So the
 * deletion itself buries the named ones (revise.c), and what those had replaced goes in steps of a bounded size: the
 * first in the deletion's own command, the others with txn_compact, each in a commit of its own.
 *
 *  1. A Revision was seen when a stamp of its replacedBy is that of a version with a tombstone. So a step finds on the
 *     disk whatever it has to know of the deletion.
 *  2. A walk goes over the revisions of one record, from the newest row to the oldest, once. That is enough: an edit that
 *     knew a version arrives after it, so that what the edit brought becomes a Revision, or a tombstone, after the older
 *     version did. A device that sends its edits in another order leaves Revisions behind and harms nobody.
 *  3. A walk that is not at its end has a mark in meta, "sweep/<zone>/<type>/<name>" → the row it has come down to. It
 *     moves in the same commit as what was buried, so a crash costs nothing. A second deletion of the record begins a
 *     walk over everything, which takes the place of the first one's.
 *  4. Walks take turns, a step each, so that one user's long history does not hold up another's. */
#include "base/id.h"
#include "store/txn.h"

#define STEP_ROWS 128  /* looked at in one step */
#define STEP_COST 1024 /* of one step: records read, and pieces of READ_PIECE bytes of them */
#define READ_PIECE 4096

struct sweep {
	struct txn *t;
	struct record of; /* zone, type and name of what was deleted */
	int64_t row;      /* the walk goes on below it */
	int64_t cost;     /* of this step, so far */
};

/* ---- marks ------------------------------------------------------------------------------------------------------ */

static struct str mark_key(const struct record *r, char key[SWEEP_KEY_CAP])
{
	int n = snprintf(key, SWEEP_KEY_CAP, "sweep/%u/%u/%.*s", r->zone, r->type, STR_ARG(r->name));
	return str_n(key, (size_t)n);
}

/* The number in front of the next slash. */
static bool next_number(struct str *key, uint32_t *out)
{
	const char *slash = key->n > 0 ? memchr(key->p, '/', key->n) : NULL;
	int64_t n;
	if (slash == NULL || !str_to_int(str_n(key->p, (size_t)(slash - key->p)), &n)) return false;
	if (n < 0 || n > UINT32_MAX) return false;
	*key = str_n(slash + 1, key->n - (size_t)(slash - key->p) - 1);
	*out = (uint32_t)n;
	return true;
}

static enum err set_mark(const struct sweep *s)
{
	char key[SWEEP_KEY_CAP];
	struct q q = q_begin(s->t->db, SQL_META_SET);
	q_text(&q, mark_key(&s->of, key));
	q_int(&q, s->row);
	return q_run(&q);
}

static enum err drop_mark(const struct sweep *s)
{
	char key[SWEEP_KEY_CAP];
	struct q q = q_begin(s->t->db, SQL_SWEEP_DROP);
	q_text(&q, mark_key(&s->of, key));
	return q_run(&q);
}

/* The first mark whose key comes after t->swept; ERR_NOT_FOUND. */
static enum err next_mark(struct txn *t, struct sweep *out)
{
	enum err found = ERR_NOT_FOUND;
	struct q q = q_begin(t->db, SQL_SWEEP_NEXT);
	q_text(&q, str_c(t->swept));
	if (q_row(&q)) {
		struct str key = q_copy_str(&q, 0, txn_arena(t));
		(void)str_copy(key, t->swept, sizeof t->swept);
		*out = (struct sweep){.t = t, .row = q_get_int(&q, 1)};
		key = str_n(key.p + strlen("sweep/"), key.n - strlen("sweep/"));
		found = next_number(&key, &out->of.zone) && next_number(&key, &out->of.type) ? OK : ERR_CORRUPT;
		out->of.name = key;
	}
	enum err e = q_end(&q);
	return e != OK ? e : found;
}

/* ---- a step ----------------------------------------------------------------------------------------------------- */

static void count(struct sweep *s, const struct record *r) { s->cost += 1 + (int64_t)(r->fields.n / READ_PIECE); }

/* Condition 1. */
static enum err was_seen(struct sweep *s, const struct record *rev, bool *out)
{
	struct json_doc *doc = NULL;
	struct str type = STR(""), field = STR(""), stamp;
	enum err e = OK;
	if (json_parse(rev->fields, &doc, NULL) != OK) return ERR_CORRUPT;
	const struct json *f = json_root(doc);
	(void)json_str(json_get(f, "recordType"), &type);
	(void)json_str(json_get(f, "field"), &field);
	bool is_its_own = str_eq(type, intern_type(s->t->intern, s->of.type));
	for (struct json_iter it = json_iter(json_get(f, "replacedBy")); is_its_own && !*out && json_next(&it);) {
		struct record by;
		if (!json_str(it.val, &stamp)) continue;
		struct id id = revision_id(s->t, &s->of, field, stamp);
		e = txn_get(s->t, s->of.zone, RT_REVISION, id_str(&id), &by);
		if (e == ERR_NOT_FOUND) continue;
		if (e != OK) break;
		count(s, &by);
		*out = by.deleted;
	}
	json_free(doc);
	return e == ERR_NOT_FOUND ? OK : e;
}

/* What was read for one of them is given back before the next: they may be long. */
static enum err visit(struct sweep *s, int64_t row)
{
	struct txn *t = s->t;
	struct arena read, kept = t->op->arena;
	struct record rev;
	bool seen = false;
	t->op->arena = (struct arena){0};
	enum err e = txn_get_row(t, row, &rev);
	if (e == OK) {
		count(s, &rev);
		e = was_seen(s, &rev, &seen);
	}
	read = t->op->arena;
	t->op->arena = kept;
	if (e == OK && seen) e = revision_bury(t, &rev);
	arena_clear(&read);
	if (e == OK) s->row = row;
	return e;
}

/* The next rows of the walk, downwards. */
static enum err load_rows(struct sweep *s, int64_t rows[STEP_ROWS], size_t *out_n)
{
	struct q q = q_begin(s->t->db, SQL_REVISIONS);
	q_int(&q, s->of.zone);
	q_int(&q, RT_REVISION);
	q_text(&q, s->of.name);
	q_int(&q, s->row);
	q_int(&q, STEP_ROWS);
	for (*out_n = 0; *out_n < STEP_ROWS && q_row(&q);) rows[(*out_n)++] = q_get_int(&q, 0);
	return q_end(&q);
}

static enum err step(struct sweep *s)
{
	int64_t rows[STEP_ROWS];
	size_t n = 0, i = 0;
	enum err e = txn_touch(s->t);
	if (e == OK) e = load_rows(s, rows, &n);
	while (e == OK && i < n && s->cost < STEP_COST) e = visit(s, rows[i++]);
	if (e != OK) return e;
	return i < n || n == STEP_ROWS ? set_mark(s) : drop_mark(s);
}

enum err sweep_begin(struct txn *t, const struct record *r)
{
	struct sweep s = {.t = t, .of = {.zone = r->zone, .type = r->type, .name = r->name}, .row = INT64_MAX};
	return step(&s);
}

enum err sweep_next(struct txn *t, bool *out_more)
{
	struct sweep s;
	enum err e = next_mark(t, &s);
	if (e == ERR_NOT_FOUND && t->swept[0] != '\0') { /* condition 4 */
		t->swept[0] = '\0';
		e = next_mark(t, &s);
	}
	if (e == ERR_NOT_FOUND) return OK;
	*out_more |= e == OK;
	return e == OK ? step(&s) : e;
}
