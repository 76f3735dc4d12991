/* roost doctor: is everything that was stored still there, whole, and nothing else?
 *
 *  1. SQLite's own check of pages, trees and indexes.
 *  2. Every row against its checksum.
 *  3. Every zone's count and hash against its rows and graves. When they differ, the difference names what it can: if it
 *     is the checksum of a row, that row is foreign; otherwise a row is missing, or an older one stands in its place.
 *  4. The index of names and the feed against the table: a name or a place that leads to no row, or to another one.
 *  5. idx against the fields: each entry stands for a value that is there, and there are as many as there should be.
 *  6. The messages of a conversation: ord without a gap, save where a grave says what was there.
 *  7. Numbers that must lead somewhere: zone, type, principal, conversation, user.
 *
 * All of it in one read transaction; it changes nothing. */
#include <stdarg.h>
#include <unistd.h>

#include "store/txn.h"

#define SAY_MAX 100 /* findings of one kind that are told one by one */

struct zone_seen {
	uint32_t id;
	struct zone_counts want, have;
	uint64_t graves; /* part of have.hash */
	char name[80];
	UT_hash_handle hh;
};

struct check {
	struct txn t;
	struct db db;
	struct intern own; /* offline */
	struct store_op op;
	struct limits limits;
	struct zone_seen *zones;
	void (*say)(void *ctx, bool bad, const char *what);
	void *ctx;
	int64_t bad, bad_of_kind;
	int64_t entries; /* of idx, as the records say */
};

static void tell(struct check *c, bool bad, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void tell(struct check *c, bool bad, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	if (bad) c->bad++;
	if (bad && ++c->bad_of_kind > SAY_MAX) return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	c->say(c->ctx, bad, text);
}

static void end_kind(struct check *c, enum err e, const char *what)
{
	int64_t more = c->bad_of_kind - SAY_MAX;
	c->bad_of_kind = 0;
	if (more > 0) tell(c, true, "%s: %lld more like these", what, (long long)more);
	if (e != OK) tell(c, true, "%s: cannot be read: %s", what, sqlite3_errmsg(c->db.h));
	c->bad_of_kind = 0;
}

static struct zone_seen *seen(struct check *c, uint32_t id)
{
	struct zone_seen *z;
	HASH_FIND(hh, c->zones, &id, sizeof id, z);
	return z;
}

/* Names come from a store that may be spoilt: only what is printable is shown. */
static const char *shown(struct str s, char out[80])
{
	size_t n = MIN(s.n, (size_t)79);
	for (size_t i = 0; i < n; i++) out[i] = s.p[i] > ' ' && s.p[i] < 0x7f ? s.p[i] : '?';
	out[n] = '\0';
	return out;
}

/* ---- 1 ---- */

static void check_pages(struct check *c)
{
	struct q q = q_prepare(&c->db, "PRAGMA integrity_check(100)");
	while (q_row(&q)) {
		struct str line = q_get_str(&q, 0);
		bool ok = str_eq(line, STR("ok"));
		tell(c, !ok, ok ? "pages and trees are sound%.*s" : "SQLite: %.*s",
		     ok ? 0 : (int)MIN(line.n, (size_t)300), line.p);
	}
	end_kind(c, q_end(&q), "pages");
}

/* ---- 2 and 3 ---- */

static void load_zones(struct check *c)
{
	struct q q = q_begin(&c->db, SQL_ZONE_LIST);
	while (q_row(&q)) {
		struct zone_seen *z = xcalloc(1, sizeof *z);
		z->id = (uint32_t)q_get_int(&q, 0);
		struct str name = q_get_str(&q, 2);
		(void)snprintf(z->name, sizeof z->name, "%u", z->id);
		z->want = (struct zone_counts){q_get_int(&q, 3), q_get_int(&q, 4), q_get_int(&q, 5),
					       (uint64_t)q_get_int(&q, 6)};
		uint64_t sum = sum_str(SUM_INTS(SUM_ZONE, z->id, q_get_int(&q, 1), z->want.seq, z->want.floor,
						z->want.records, (int64_t)z->want.hash),
				       name);
		if (sum != (uint64_t)q_get_int(&q, 7)) tell(c, true, "zone %u fails its checksum", z->id);
		HASH_ADD(hh, c->zones, id, sizeof z->id, z);
	}
	end_kind(c, q_end(&q), "zones");
}

static int64_t count_entries(const struct record *r)
{
	struct json_doc *doc = NULL;
	int64_t n = 0;
	struct str list = index_list(r->type);
	if (r->deleted || list.n == 0 || json_parse(r->fields, &doc, NULL) != OK) return 0;
	const struct json *fields = json_root(doc);
	if (str_eq(list, STR("*"))) {
		n = 2;
		for (struct json_iter it = json_iter(fields); json_next(&it);)
			n += !index_is_time(it.key) && index_value_json(it.val).kind != IV_NONE;
	} else {
		while (list.n > 0) {
			const char *comma = memchr(list.p, ',', list.n);
			size_t len = comma != NULL ? (size_t)(comma - list.p) : list.n;
			n += index_value_of(r, fields, str_n(list.p, len)).kind != IV_NONE;
			len = MIN(len + 1, list.n);
			list = str_n(list.p + len, list.n - len);
		}
	}
	json_free(doc);
	return n;
}

static void check_links(struct check *c, const struct record *r, const struct zone_seen *z)
{
	char name[80];
	shown(r->name, name);
	if (z == NULL)
		tell(c, true, "record %lld (%s) is in zone %u, which does not exist", (long long)r->row, name, r->zone);
	else if (r->seq > z->want.seq)
		tell(c, true, "record %lld (%s) has feed place %lld, behind the zone's end %lld", (long long)r->row,
		     name, (long long)r->seq, (long long)z->want.seq);
	if (r->type_name.p == NULL)
		tell(c, true, "record %lld (%s) is of type %u, which does not exist", (long long)r->row, name, r->type);
	if ((r->created_by != 0 && intern_principal(c->t.intern, r->created_by) == NULL) ||
	    (r->modified_by != 0 && intern_principal(c->t.intern, r->modified_by) == NULL))
		tell(c, true, "record %lld (%s) was changed by a principal that does not exist", (long long)r->row,
		     name);
}

static void check_records(struct check *c)
{
	int64_t n = 0;
	struct q q = q_prepare(&c->db, RECORD_SELECT "ORDER BY row");
	while (q_row(&q)) {
		struct record r;
		uint64_t sum;
		arena_clear(&c->op.arena);
		c->op.info.text[0] = '\0';
		if (record_load(&c->t, &q, &r, &sum) != OK) tell(c, true, "%s", c->op.info.text);
		struct zone_seen *z = seen(c, r.zone);
		check_links(c, &r, z);
		if (z != NULL) {
			z->have.records++;
			z->have.hash += (uint64_t)q_get_int(&q, 16);
		}
		c->entries += count_entries(&r);
		n++;
	}
	enum err e = q_end(&q);
	if (c->bad_of_kind == 0 && e == OK) tell(c, false, "%lld records agree with their checksums", (long long)n);
	end_kind(c, e, "records");
}

static void check_graves(struct check *c)
{
	struct q q = q_prepare(&c->db, "SELECT zone, type, name, conv, ord, origin, sum FROM grave");
	while (q_row(&q)) {
		char name[80];
		struct record r = {.zone = (uint32_t)q_get_int(&q, 0),
				   .type = (uint32_t)q_get_int(&q, 1),
				   .name = q_get_str(&q, 2),
				   .conv = q_get_int(&q, 3),
				   .ord = q_get_int(&q, 4),
				   .origin = q_get_str(&q, 5)};
		struct zone_seen *z = seen(c, r.zone);
		if (grave_sum(&r) != (uint64_t)q_get_int(&q, 6))
			tell(c, true, "the grave of %s fails its checksum", shown(r.name, name));
		if (z != NULL) z->have.hash += (uint64_t)q_get_int(&q, 6);
		else tell(c, true, "the grave of %s is in zone %u, which does not exist", shown(r.name, name), r.zone);
	}
	end_kind(c, q_end(&q), "graves");
}

/* The row of the zone whose checksum is `sum`, if there is one. */
static bool find_by_sum(struct check *c, uint32_t zone, uint64_t sum, int64_t *out_row, char name[80])
{
	struct q q = q_prepare(&c->db, "SELECT row, name FROM record WHERE zone = ? AND sum = ? LIMIT 1");
	q_int(&q, zone);
	q_int(&q, (int64_t)sum);
	bool found = q_row(&q);
	if (found) {
		*out_row = q_get_int(&q, 0);
		shown(q_get_str(&q, 1), name);
	}
	return q_end(&q) == OK && found;
}

static void check_zones(struct check *c)
{
	int64_t n = 0;
	for (struct zone_seen *z = c->zones; z != NULL; z = z->hh.next, n++) {
		int64_t row, less = z->want.records - z->have.records;
		char name[80];
		if (less == 0 && z->want.hash == z->have.hash) continue;
		if (find_by_sum(c, z->id, z->have.hash - z->want.hash, &row, name))
			tell(c, true, "zone %u: record %lld (%s) is foreign: the zone never counted it", z->id,
			     (long long)row, name);
		else if (less > 0)
			tell(c, true, "zone %u: %lld of %lld records are missing (together their checksum is %016llx)",
			     z->id, (long long)less, (long long)z->want.records,
			     (unsigned long long)(z->want.hash - z->have.hash));
		else if (less < 0)
			tell(c, true, "zone %u has %lld records more than it counted", z->id, (long long)-less);
		else
			tell(c, true,
			     "zone %u: a record or a grave is stale or was replaced; the zone's hash is not that of its rows",
			     z->id);
	}
	if (c->bad_of_kind == 0) tell(c, false, "%lld zones agree with their records", (long long)n);
	end_kind(c, OK, "zones");
}

/* ---- 4 ---- */

/* Each entry of an index, read from the index alone, against the row that it leads to. */
static void check_index(struct check *c, const char *sql, const char *what, bool by_name)
{
	struct q q = q_prepare(&c->db, sql),
		 row = q_prepare(&c->db, "SELECT zone, type, name, seq FROM record NOT INDEXED WHERE row = ?");
	while (q_row(&q)) {
		char name[80];
		struct str key = by_name ? q_get_str(&q, 3) : STR_NONE;
		row.nbound = 0;
		row.rc = SQLITE_OK;
		(void)sqlite3_reset(row.st);
		q_int(&row, q_get_int(&q, 0));
		if (!q_row(&row)) {
			if (by_name)
				tell(c, true,
				     "record %s of zone %lld is missing: its name leads to row %lld, which is gone",
				     shown(key, name), (long long)q_get_int(&q, 1), (long long)q_get_int(&q, 0));
			else
				tell(c, true, "feed place %lld of zone %lld leads to row %lld, which is gone",
				     (long long)q_get_int(&q, 2), (long long)q_get_int(&q, 1),
				     (long long)q_get_int(&q, 0));
			continue;
		}
		shown(q_get_str(&row, 2), name);
		if (by_name && !str_eq(key, q_get_str(&row, 2)))
			tell(c, true, "record %lld (%s) is stale: the index has it under another name",
			     (long long)q_get_int(&q, 0), name);
		if (!by_name && q_get_int(&q, 2) != q_get_int(&row, 3))
			tell(c, true, "record %lld (%s) is stale: the feed has it at place %lld, its row says %lld",
			     (long long)q_get_int(&q, 0), name, (long long)q_get_int(&q, 2),
			     (long long)q_get_int(&row, 3));
	}
	enum err e = q_end(&row), walked = q_end(&q);
	end_kind(c, walked != OK ? walked : e, what);
}

/* ---- 5 ---- */

static bool entry_holds(const struct q *q, const struct record *r)
{
	struct json_doc *doc = NULL;
	if (r->deleted || json_parse(r->fields, &doc, NULL) != OK) return false;
	struct index_value v = index_value_of(r, json_root(doc), q_get_str(q, 2));
	struct str text = q_get_str(q, 3);
	bool ok = false;
	switch (sqlite3_column_type(q->st, 3)) {
	case SQLITE_INTEGER: ok = v.kind == IV_INT && v.i == q_get_int(q, 3); break;
	case SQLITE_FLOAT: ok = v.kind == IV_REAL && sqlite3_column_double(q->st, 3) == v.d; break;
	default:
		ok = v.kind == IV_TEXT &&
		     (v.s.n <= INDEX_VALUE_MAX
			      ? str_eq(v.s, text)
			      : text.n == INDEX_VALUE_MAX + 1 && memcmp(text.p, v.s.p, INDEX_VALUE_MAX) == 0);
	}
	json_free(doc);
	return ok;
}

static void check_idx(struct check *c)
{
	int64_t n = 0;
	struct q q = q_prepare(&c->db, "SELECT zone, type, field, value, row FROM idx");
	while (q_row(&q)) {
		struct record r;
		char field[80];
		arena_clear(&c->op.arena);
		enum err e = txn_get_row(&c->t, q_get_int(&q, 4), &r);
		n++;
		if (e == ERR_CORRUPT) continue; /* told already */
		if (e != OK || r.zone != q_get_int(&q, 0) || r.type != q_get_int(&q, 1) || !entry_holds(&q, &r))
			tell(c, true, "the index of %s leads to record %lld, which has no such value",
			     shown(q_get_str(&q, 2), field), (long long)q_get_int(&q, 4));
	}
	enum err e = q_end(&q);
	if (e == OK && n < c->entries)
		tell(c, true, "the index of fields has %lld entries, the records %lld values", (long long)n,
		     (long long)c->entries);
	if (c->bad_of_kind == 0 && e == OK)
		tell(c, false, "%lld indexed values agree with their records", (long long)n);
	end_kind(c, e, "index of fields");
}

/* ---- 6 ---- */

static int64_t graves_between(struct check *c, int64_t conv, int64_t from, int64_t to)
{
	struct q q =
		q_prepare(&c->db, "SELECT count(*) FROM grave WHERE ord <> 0 AND conv = ? AND ord BETWEEN ? AND ?");
	q_int(&q, conv);
	q_int(&q, from);
	q_int(&q, to);
	int64_t n = q_row(&q) ? q_get_int(&q, 0) : 0;
	return q_end(&q) == OK ? n : 0;
}

static void check_order(struct check *c)
{
	int64_t conv = 0, last = 0;
	struct q q = q_prepare(
		&c->db, "SELECT conv, ord FROM record INDEXED BY record_ord WHERE ord IS NOT NULL ORDER BY conv, ord");
	while (q_row(&q)) {
		int64_t ord = q_get_int(&q, 1);
		if (q_get_int(&q, 0) != conv) last = 0;
		conv = q_get_int(&q, 0);
		if (ord <= last)
			tell(c, true, "conversation row %lld has two messages at ord %lld", (long long)conv,
			     (long long)ord);
		else if (ord > last + 1 && graves_between(c, conv, last + 1, ord - 1) != ord - 1 - last)
			tell(c, true, "conversation row %lld lacks messages between ord %lld and %lld", (long long)conv,
			     (long long)last, (long long)ord);
		last = ord;
	}
	end_kind(c, q_end(&q), "order of messages");
	q = q_prepare(
		&c->db,
		"SELECT row, conv FROM record r WHERE conv IS NOT NULL AND NOT EXISTS (SELECT 1 FROM record k WHERE "
		"k.row = r.conv AND k.zone = r.zone AND k.type = 2)");
	while (q_row(&q))
		tell(c, true, "record %lld belongs to conversation row %lld, which does not exist",
		     (long long)q_get_int(&q, 0), (long long)q_get_int(&q, 1));
	end_kind(c, q_end(&q), "conversations");
}

/* ---- the other tables ---- */

/* What the checksum of a row covers: `ints` columns first, then `strs` more, then the sum. */
static const struct table {
	const char *what, *sql;
	enum sum_of seed;
	int ints, strs;
} tables[] = {
	{"user", "SELECT user, disabled, created_ms, id, name, sum FROM user", SUM_USER, 3, 2},
	{"principal", "SELECT principal, user, device, sum FROM principal", SUM_PRINCIPAL, 2, 1},
	{"credential of principal", "SELECT principal, revoked, created_ms, hash, sum FROM cred", SUM_CRED, 3, 1},
	{"pairing code of user", "SELECT user, expires_ms, hash, sum FROM pair", SUM_PAIR, 2, 1},
	{"chunk", "SELECT id, request, attempt, kind, offset, text, sum FROM chunk", SUM_CHUNK, 5, 1},
	{"stream of request", "SELECT request, attempt, kind, closed_ms, status, text, sum FROM stream", SUM_STREAM, 4,
	 2},
	{"attachment of user", "SELECT user, size, created_ms, refs, hash, sum FROM asset", SUM_ASSET, 4, 1},
};

static void check_table(struct check *c, const struct table *tab)
{
	struct q q = q_prepare(&c->db, tab->sql);
	while (q_row(&q)) {
		int64_t ints[8] = {0};
		for (int i = 0; i < tab->ints; i++) ints[i] = q_get_int(&q, i);
		uint64_t sum = sum_ints(tab->seed, ints, (size_t)tab->ints);
		for (int i = 0; i < tab->strs; i++) sum = sum_str(sum, q_get_str(&q, tab->ints + i));
		if (sum != (uint64_t)q_get_int(&q, tab->ints + tab->strs))
			tell(c, true, "%s %lld fails its checksum", tab->what, (long long)ints[0]);
	}
	end_kind(c, q_end(&q), tab->what);
}

static void check_owners(struct check *c)
{
	static const struct {
		const char *what, *sql;
	} links[] = {
		{"zone %lld belongs to no user", "SELECT zone FROM zone WHERE user NOT IN (SELECT user FROM user)"},
		{"principal %lld belongs to no user",
		 "SELECT principal FROM principal WHERE user NOT IN (SELECT user FROM user)"},
		{"a credential belongs to principal %lld, which does not exist",
		 "SELECT principal FROM cred WHERE principal NOT IN (SELECT principal FROM principal)"},
	};
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		struct q q = q_prepare(&c->db, links[i].sql);
		while (q_row(&q)) {
			char text[120];
			char number[24];
			(void)snprintf(number, sizeof number, "%lld", (long long)q_get_int(&q, 0));
			const char *at = strstr(links[i].what, "%lld");
			(void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - links[i].what), links[i].what, number,
				       at + 4);
			tell(c, true, "%s", text);
		}
		end_kind(c, q_end(&q), "owners");
	}
}

/* ---- all of it ---- */

static enum err check_version(struct check *c, struct errinfo *info)
{
	int64_t version = 0, newest = store_migrations[store_migration_count - 1].version;
	enum err e = meta_get(&c->db, "schema_version", &version);
	if (e != OK || version == 0)
		return err_set(info, ERR_CORRUPT, "this is no roost store: %s", sqlite3_errmsg(c->db.h));
	if (version > newest)
		return err_set(info, ERR_NEWER_SCHEMA, "the store has schema version %lld; this roost knows up to %lld",
			       (long long)version, (long long)newest);
	if (version < newest)
		return err_set(info, ERR_BAD_STATE,
			       "the store has schema version %lld; start roost once to bring it to %lld",
			       (long long)version, (long long)newest);
	tell(c, false, "schema version %lld", (long long)version);
	return OK;
}

static void check_all(struct check *c)
{
	check_pages(c);
	load_zones(c);
	check_records(c);
	check_graves(c);
	check_zones(c);
	check_index(c, "SELECT row, zone, type, name FROM record INDEXED BY record_name ORDER BY zone, type, name",
		    "index of names", true);
	check_index(c, "SELECT row, zone, seq FROM record INDEXED BY record_feed ORDER BY zone, seq", "feed", false);
	check_idx(c);
	check_order(c);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) check_table(c, &tables[i]);
	check_owners(c);
}

enum err store_check(const char *dir, struct store *live, void (*say)(void *ctx, bool bad, const char *what), void *ctx,
		     struct errinfo *info)
{
	struct check *c = xcalloc(1, sizeof *c);
	char *path = path_join(dir, "roost.db");
	int lock = -1;
	struct zone_seen *z, *next;
	c->say = say;
	c->ctx = ctx;
	limits_default(&c->limits);
	intern_init(&c->own);
	store_op_init(&c->op, NULL, NULL, 0, 0);
	enum err e = OK;
	if (live == NULL)
		e = access(path, F_OK) == 0 ? dir_lock(dir, &lock, info)
					    : err_set(info, ERR_NOT_FOUND, "there is no store in %s", dir);
	if (e == OK) e = db_open(&c->db, live != NULL ? store_path(live) : path, DB_READER, NULL, info);
	if (e == OK) e = db_exec(&c->db, "BEGIN");
	if (e == OK) e = check_version(c, info);
	if (e == OK) {
		c->t = (struct txn){.store = live, .db = &c->db, .intern = &c->own, .limits = &c->limits, .op = &c->op};
		if (intern_load(&c->own, &c->db, info) != OK)
			tell(c, true, "%s", info != NULL ? info->text : "principals cannot be read");
		check_all(c);
		if (c->bad > 0) e = err_set(info, ERR_CORRUPT, "%lld findings", (long long)c->bad);
	}
	HASH_ITER (hh, c->zones, z, next) {
		HASH_DEL(c->zones, z);
		free(z);
	}
	if (c->db.h != NULL) db_close(&c->db);
	if (lock >= 0) (void)close(lock);
	store_op_release(&c->op);
	intern_release(&c->own);
	free(path);
	free(c);
	return e;
}
