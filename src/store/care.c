/* Retention and figures. */
#include <sys/stat.h>

#include "store/txn.h"

#define COMPACT_RECORDS 200 /* per step: a step is part of a commit and must stay short */
#define COMPACT_STREAMS 200

/* Tombstones that every device had its time to hear of. */
static enum err compact_tombstones(struct txn *t, int64_t before_ms, bool *out_more)
{
	struct record *list = arena_alloc(txn_arena(t), COMPACT_RECORDS * sizeof *list);
	size_t n = 0;
	enum err bad = OK;
	struct q q = q_begin(t->db, SQL_REC_DEAD);
	q_int(&q, before_ms);
	q_int(&q, t->next_row - 1);
	q_int(&q, COMPACT_RECORDS);
	while (bad == OK && q_row(&q)) bad = record_load(t, &q, &list[n++], NULL);
	enum err e = q_end(&q);
	if (e == OK) e = bad;
	for (size_t i = 0; e == OK && i < n; i++) e = record_bury(t, &list[i]);
	*out_more |= n == COMPACT_RECORDS;
	return e;
}

static enum err compact_streams(struct txn *t, int64_t before_ms, bool *out_more)
{
	enum err e = txn_touch(t);
	if (e != OK) return e;
	struct q q = q_begin(t->db, SQL_STREAM_AGE);
	q_int(&q, before_ms);
	q_int(&q, COMPACT_STREAMS);
	e = q_run(&q);
	*out_more |= sqlite3_changes(t->db->h) == COMPACT_STREAMS;
	return e;
}

enum err txn_compact(struct txn *t, int64_t now_ms, bool *out_more)
{
	*out_more = false;
	enum err e = compact_tombstones(t, now_ms - t->limits->tombstone_keep_ms, out_more);
	if (e == OK) e = compact_streams(t, now_ms - t->limits->stream_keep_ms, out_more);
	if (e == OK) e = sweep_next(t, out_more);
	return e;
}

static int64_t file_bytes(const char *path, const char *tail)
{
	char name[4096];
	struct stat st;
	(void)snprintf(name, sizeof name, "%s%s", path, tail);
	return stat(name, &st) == 0 ? (int64_t)st.st_size : 0;
}

static enum err numbers(struct txn *t, enum sql which, int64_t *const *out, size_t n)
{
	struct q q = q_begin(t->db, which);
	if (q_row(&q))
		for (size_t i = 0; i < n; i++) *out[i] = q_get_int(&q, (int)i);
	return q_end(&q);
}

static enum err tally_key(struct str name, char key[NAME_MAX_LEN + 8])
{
	int n = snprintf(key, NAME_MAX_LEN + 8, "tally/%.*s", (int)MIN(name.n, (size_t)NAME_MAX_LEN + 8), name.p);
	return n > 0 && n < NAME_MAX_LEN + 8 ? OK : ERR_TOO_LARGE;
}

enum err txn_tally(struct txn *t, struct str name, int64_t *out)
{
	char key[NAME_MAX_LEN + 8];
	enum err e = tally_key(name, key);
	return e == OK ? meta_get(t->db, key, out) : e;
}

enum err txn_tally_add(struct txn *t, struct str name, int64_t add)
{
	char key[NAME_MAX_LEN + 8];
	int64_t n = 0;
	enum err e = tally_key(name, key);
	if (e == OK) e = txn_touch(t);
	if (e == OK) e = meta_get(t->db, key, &n);
	if (e == OK && __builtin_add_overflow(n, add, &n)) n = INT64_MAX;
	return e == OK ? meta_set(t->db, key, n) : e;
}

enum err txn_status(struct txn *t, struct store_status *out)
{
	*out = (struct store_status){.db_bytes = file_bytes(store_path(t->store), ""),
				     .wal_bytes = file_bytes(store_path(t->store), "-wal")};
	int64_t *const general[] = {&out->users, &out->devices, &out->zones, &out->assets, &out->records};
	int64_t *const chunks[] = {&out->chunks, &out->chunk_bytes};
	store_counters(t->store, out);
	enum err e = numbers(t, SQL_STATUS, general, ARRAY_LEN(general));
	if (e == OK) e = numbers(t, SQL_CHUNK_SIZE, chunks, ARRAY_LEN(chunks));
	if (e == OK) e = numbers(t, SQL_REC_DEAD_COUNT, &(int64_t *const){&out->tombstones}, 1);
	if (e == OK) e = numbers(t, SQL_STREAM_COUNT, &(int64_t *const){&out->streams}, 1);
	if (e == OK) e = meta_get(t->db, "schema_version", &out->schema_version);
	return e;
}
