/* Schema versions. A row's SQL brings a store of the version before to its version; the first makes a new one. */
#include "base/id.h"
#include "store/txn.h"

const struct migration store_migrations[] = {
	{STORE_SCHEMA_VERSION, STORE_SCHEMA},
};
const size_t store_migration_count = ARRAY_LEN(store_migrations);

enum err meta_get(struct db *db, const char *key, int64_t *out)
{
	struct q q = q_begin(db, SQL_META_GET);
	q_text(&q, str_c(key));
	*out = q_row(&q) ? q_get_int(&q, 0) : 0;
	return q_end(&q);
}

enum err meta_set(struct db *db, const char *key, int64_t value)
{
	struct q q = q_begin(db, SQL_META_SET);
	q_text(&q, str_c(key));
	q_int(&q, value);
	return q_run(&q);
}

/* 0 for an empty file. */
static enum err read_version(struct db *db, const char *path, int64_t *out, struct errinfo *info)
{
	int64_t tables, meta;
	*out = 0;
	enum err e = db_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (e == OK) e = db_number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'", &meta);
	if (e != OK) return db_fail(db, sqlite3_extended_errcode(db->h), path, info);
	if (tables == 0) return OK;
	if (meta == 0) return err_set(info, ERR_CORRUPT, "%s is a database, but no roost store", path);
	e = meta_get(db, "schema_version", out);
	return e == OK ? OK : db_fail(db, sqlite3_extended_errcode(db->h), path, info);
}

static enum err apply(struct db *db, int64_t from, const struct migration *list, size_t n)
{
	enum err e = db_exec(db, "BEGIN IMMEDIATE");
	for (size_t i = 0; e == OK && i < n; i++) {
		if (list[i].version <= from) continue;
		e = db_exec(db, list[i].sql);
		if (e == OK) e = meta_set(db, "schema_version", list[i].version);
	}
	/* A restored or a new store is another one: cursors of the one before mean nothing here. */
	if (e == OK && from == 0) e = meta_set(db, "epoch", (int64_t)(random_u64() | 1));
	if (e == OK) e = db_exec(db, "COMMIT");
	return e;
}

enum err schema_migrate(struct db *db, const char *path, const struct migration *list, size_t n, struct errinfo *info)
{
	int64_t version, newest = list[n - 1].version;
	char copy[4096];
	enum err e = read_version(db, path, &version, info);
	if (e != OK || version == newest) return e;
	if (version > newest)
		return err_set(info, ERR_NEWER_SCHEMA, "%s has schema version %lld; this roost knows up to %lld", path,
			       (long long)version, (long long)newest);
	if (version > 0) {
		if ((size_t)snprintf(copy, sizeof copy, "%s.v%lld.bak", path, (long long)version) >= sizeof copy)
			return err_set(info, ERR_IO, "the path of the data directory is too long");
		(void)remove(copy); /* left by a migration that did not finish */
		e = db_copy(db, copy, info);
		if (e != OK) return e;
	}
	e = apply(db, version, list, n);
	if (e == OK) return OK;
	(void)db_fail(db, sqlite3_extended_errcode(db->h), path, info);
	if (info != NULL) info->err = e;
	(void)sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL); /* the first error is the one to tell */
	return e;
}
