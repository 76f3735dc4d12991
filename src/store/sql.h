/* All SQL of the store, in one place: the tables, and every statement that is ever run on them.
 *
 * Why the tables look as they do (figures: bench/store_figures.c)
 *  - What a commit costs is the number of different leaf pages it dirties. So record is a rowid table that grows at its
 *    end, numbers stand for zones and types, and an index holds only the rows that need it.
 *  - record_ord and record_open lead with the conversation's row, which is unique in the whole store.
 *  - sum is a checksum over the other columns of its row (see db.h), verified on every read.
 *  - A tombstone stays in record until its age passes tombstoneKeepMs; then only its grave is left, for ever, so that the
 *    name is never taken by another message. */
#ifndef ROOST_STORE_SQL_H
#define ROOST_STORE_SQL_H

#define STORE_SCHEMA_VERSION 1

/* clang-format off */
#define STORE_SCHEMA                                                                                                   \
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"                       \
	"CREATE TABLE user(user INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,"              \
	" disabled INTEGER NOT NULL, created_ms INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;"                       \
	"CREATE TABLE principal(principal INTEGER PRIMARY KEY, user INTEGER NOT NULL, device TEXT NOT NULL,"           \
	" sum INTEGER NOT NULL, UNIQUE(user, device)) STRICT;"                                                         \
	"CREATE TABLE cred(hash BLOB PRIMARY KEY, principal INTEGER NOT NULL, revoked INTEGER NOT NULL,"               \
	" created_ms INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;"                                   \
	"CREATE INDEX cred_principal ON cred(principal);"                                                              \
	"CREATE TABLE pair(hash BLOB PRIMARY KEY, user INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"                 \
	" sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;"                                                                \
	"CREATE TABLE type(type INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"                               \
	"CREATE TABLE zone(zone INTEGER PRIMARY KEY, user INTEGER NOT NULL, name TEXT NOT NULL,"                       \
	" seq INTEGER NOT NULL, floor INTEGER NOT NULL, records INTEGER NOT NULL, hash INTEGER NOT NULL,"              \
	" sum INTEGER NOT NULL, UNIQUE(user, name)) STRICT;"                                                           \
	"CREATE TABLE record(row INTEGER PRIMARY KEY, zone INTEGER NOT NULL, type INTEGER NOT NULL,"                   \
	" name TEXT NOT NULL, seq INTEGER NOT NULL, grp INTEGER NOT NULL, created_ms INTEGER NOT NULL,"                \
	" modified_ms INTEGER NOT NULL, created_by INTEGER NOT NULL, modified_by INTEGER NOT NULL,"                    \
	" deleted INTEGER NOT NULL, fields TEXT NOT NULL, conv INTEGER, ord INTEGER, state INTEGER, origin BLOB,"      \
	" sum INTEGER NOT NULL) STRICT;"                                                                               \
	"CREATE UNIQUE INDEX record_name ON record(zone, type, name);"                                                 \
	"CREATE UNIQUE INDEX record_feed ON record(zone, seq);"                                                        \
	"CREATE UNIQUE INDEX record_ord ON record(conv, ord) WHERE ord IS NOT NULL;"                                   \
	"CREATE INDEX record_open ON record(conv) WHERE state IS NOT NULL;"                                            \
	"CREATE INDEX record_dead ON record(modified_ms) WHERE deleted = 1;"                                           \
	"CREATE TABLE idx(zone INTEGER NOT NULL, type INTEGER NOT NULL, field TEXT NOT NULL, value ANY NOT NULL,"      \
	" row INTEGER NOT NULL, PRIMARY KEY(zone, type, field, value, row)) STRICT, WITHOUT ROWID;"                    \
	"CREATE TABLE grave(zone INTEGER NOT NULL, type INTEGER NOT NULL, name TEXT NOT NULL, conv INTEGER NOT NULL,"  \
	" ord INTEGER NOT NULL, origin BLOB, sum INTEGER NOT NULL, PRIMARY KEY(zone, type, name)) STRICT, WITHOUT ROWID;" \
	"CREATE INDEX grave_ord ON grave(conv, ord) WHERE ord <> 0;"                                                   \
	"CREATE TABLE chunk(id INTEGER PRIMARY KEY, request INTEGER NOT NULL, attempt INTEGER NOT NULL,"               \
	" kind INTEGER NOT NULL, offset INTEGER NOT NULL, text TEXT NOT NULL, sum INTEGER NOT NULL) STRICT;"           \
	"CREATE TABLE stream(request INTEGER NOT NULL, attempt INTEGER NOT NULL, kind INTEGER NOT NULL,"               \
	" status TEXT NOT NULL, closed_ms INTEGER NOT NULL, text TEXT NOT NULL, sum INTEGER NOT NULL,"                 \
	" PRIMARY KEY(request, attempt, kind)) STRICT;"                                                                \
	"CREATE INDEX stream_closed ON stream(closed_ms);"                                                             \
	"CREATE TABLE asset(user INTEGER NOT NULL, hash BLOB NOT NULL, size INTEGER NOT NULL,"                         \
	" created_ms INTEGER NOT NULL, refs INTEGER NOT NULL, sum INTEGER NOT NULL,"                                   \
	" PRIMARY KEY(user, hash)) STRICT, WITHOUT ROWID;"                                                             \
	"CREATE INDEX asset_hash ON asset(hash);"                                                                      \
	"CREATE INDEX asset_unused ON asset(created_ms) WHERE refs = 0;"

#define RECORD_COLS                                                                                                    \
	"row, zone, type, name, seq, grp, created_ms, modified_ms, created_by, modified_by, deleted, fields, conv, "   \
	"ord, state, origin, sum"
#define RECORD_SELECT "SELECT " RECORD_COLS " FROM record "

#define SQL_MAP(X)                                                                                                     \
	X(SQL_BEGIN_WRITE, "BEGIN IMMEDIATE")                                                                          \
	X(SQL_BEGIN_READ, "BEGIN")                                                                                     \
	X(SQL_COMMIT, "COMMIT")                                                                                        \
	X(SQL_ROLLBACK, "ROLLBACK")                                                                                    \
	X(SQL_SAVEPOINT, "SAVEPOINT command")                                                                          \
	X(SQL_RELEASE, "RELEASE command")                                                                              \
	X(SQL_ROLLBACK_TO, "ROLLBACK TO command")                                                                      \
	X(SQL_META_GET, "SELECT value FROM meta WHERE key = ?")                                                        \
	X(SQL_META_SET, "INSERT INTO meta VALUES(?, ?) ON CONFLICT DO UPDATE SET value = excluded.value")              \
	X(SQL_SWEEP_DROP, "DELETE FROM meta WHERE key = ?")                                                            \
	X(SQL_SWEEP_NEXT, "SELECT key, value FROM meta WHERE key > max('sweep/', ?) AND key < 'sweep0' "               \
			  "ORDER BY key LIMIT 1")                                                                      \
	/* users, principals, zones, types */                                                                          \
	X(SQL_USER_ADD, "INSERT INTO user VALUES(?, ?, ?, ?, ?, ?)")                                                   \
	X(SQL_USER_GET, "SELECT user, id, name, disabled, created_ms, sum FROM user WHERE user = ?")                   \
	X(SQL_USER_FIND, "SELECT user, id, name, disabled, created_ms, sum FROM user WHERE name = ?1 OR id = ?1 "      \
			 "ORDER BY name = ?1 DESC LIMIT 1")                                                            \
	X(SQL_USER_SET, "UPDATE user SET disabled = ?2, sum = ?3 WHERE user = ?1")                                     \
	X(SQL_USER_LIST, "SELECT user, id, name, disabled, created_ms, sum FROM user ORDER BY user")                   \
	X(SQL_PRINCIPAL_FIND, "SELECT principal FROM principal WHERE user = ? AND device = ?")                         \
	X(SQL_PRINCIPAL_NEWEST, "SELECT coalesce(max(principal), 0) FROM principal")                                   \
	X(SQL_PRINCIPAL_ADD, "INSERT INTO principal VALUES(?, ?, ?, ?)")                                               \
	X(SQL_PRINCIPAL_LIST, "SELECT p.principal, p.user, u.id, p.device, p.sum FROM principal p JOIN user u "        \
			      "ON u.user = p.user ORDER BY p.principal")                                               \
	X(SQL_ZONE_GET, "SELECT zone, user, name, seq, floor, records, hash, sum FROM zone WHERE zone = ?")            \
	X(SQL_ZONE_FIND, "SELECT zone FROM zone WHERE user = ? AND name = ?")                                          \
	X(SQL_ZONE_COUNT, "SELECT count(*) FROM zone WHERE user = ?")                                                  \
	X(SQL_ZONE_ADD, "INSERT INTO zone VALUES(?, ?, ?, 0, 0, 0, 0, ?)")                                             \
	X(SQL_ZONE_SET, "UPDATE zone SET seq = ?2, floor = ?3, records = ?4, hash = ?5, sum = ?6 WHERE zone = ?1")     \
	X(SQL_ZONE_LIST, "SELECT zone, user, name, seq, floor, records, hash, sum FROM zone ORDER BY zone")            \
	X(SQL_TYPE_ADD, "INSERT INTO type VALUES(?, ?)")                                                               \
	X(SQL_TYPE_FIND, "SELECT type FROM type WHERE name = ?")                                                       \
	X(SQL_TYPE_LIST, "SELECT type, name FROM type ORDER BY type")                                                  \
	/* records */                                                                                                  \
	X(SQL_REC_NAME, RECORD_SELECT "WHERE zone = ? AND type = ? AND name = ?")                                      \
	X(SQL_REC_ROW, RECORD_SELECT "WHERE row = ?")                                                                  \
	X(SQL_REC_ADD, "INSERT INTO record VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")              \
	X(SQL_REC_SET, "UPDATE record SET seq = ?2, grp = ?3, created_ms = ?4, modified_ms = ?5, created_by = ?6, "    \
		       "modified_by = ?7, deleted = ?8, fields = ?9, conv = ?10, ord = ?11, state = ?12, "             \
		       "origin = ?13, sum = ?14 WHERE row = ?1")                                                       \
	X(SQL_REC_DROP, "DELETE FROM record WHERE row = ?")                                                            \
	X(SQL_REC_FEED, RECORD_SELECT "WHERE zone = ? AND seq > ? AND seq <= ? ORDER BY seq")                          \
	X(SQL_REC_MESSAGES, RECORD_SELECT "WHERE conv = ? AND ord < ? AND ord IS NOT NULL ORDER BY ord DESC LIMIT ?")  \
	X(SQL_REC_LAST_ORD, "SELECT ord FROM record WHERE conv = ? AND ord IS NOT NULL ORDER BY ord DESC LIMIT 1")     \
	X(SQL_REC_OPEN_CONV, "SELECT row FROM record WHERE conv = ? AND state IS NOT NULL ORDER BY row")               \
	X(SQL_REC_OPEN_ALL, "SELECT row FROM record INDEXED BY record_open WHERE state IS NOT NULL ORDER BY row")                  \
	/* A conversation's row and a conversation's last ord are never given out again, so those two stay. */         \
	X(SQL_REC_DEAD, RECORD_SELECT "WHERE deleted = 1 AND modified_ms < ?1 AND type <> 2 AND row < ?2 AND "         \
		"(ord IS NULL OR EXISTS (SELECT 1 FROM record n WHERE n.conv = record.conv AND n.ord > record.ord)) "  \
		"ORDER BY modified_ms, row LIMIT ?3")                                                                  \
	X(SQL_REC_DEAD_COUNT, "SELECT count(*) FROM record INDEXED BY record_dead WHERE deleted = 1")                  \
	X(SQL_GRAVE_ADD, "INSERT INTO grave VALUES(?, ?, ?, ?, ?, ?, ?)")                                              \
	X(SQL_GRAVE_GET, "SELECT conv, ord, origin, sum FROM grave WHERE zone = ? AND type = ? AND name = ?")          \
	X(SQL_GRAVE_DROP, "DELETE FROM grave WHERE zone = ? AND type = ? AND name = ?")                                \
	X(SQL_IDX_ADD, "INSERT INTO idx VALUES(?, ?, ?, ?, ?)")                                                        \
	X(SQL_IDX_DROP, "DELETE FROM idx WHERE zone = ? AND type = ? AND field = ? AND value = ? AND row = ?")         \
	X(SQL_REVISIONS, "SELECT row FROM idx WHERE zone = ? AND type = ? AND field = 'recordName' AND value = ? AND " \
			 "row < ? ORDER BY row DESC LIMIT ?")                                                          \
	/* streams */                                                                                                  \
	X(SQL_CHUNK_ADD, "INSERT INTO chunk VALUES(?, ?, ?, ?, ?, ?, ?)")                                              \
	X(SQL_CHUNK_PAGE, "SELECT id, request, attempt, kind, offset, text, sum FROM chunk WHERE id > ? "              \
			  "ORDER BY id LIMIT ?")                                                                       \
	X(SQL_CHUNK_TRIM, "DELETE FROM chunk WHERE id < ?")                                                            \
	X(SQL_CHUNK_SIZE, "SELECT count(*), coalesce(sum(length(CAST(text AS BLOB))), 0) FROM chunk")                  \
	X(SQL_STREAM_ADD, "INSERT OR IGNORE INTO stream VALUES(?, ?, ?, ?, ?, ?, ?)")                                  \
	X(SQL_STREAM_GET, "SELECT status, closed_ms, text, sum FROM stream WHERE request = ? AND attempt = ? AND "     \
			  "kind = ?")                                                                                  \
	X(SQL_STREAM_AGE, "DELETE FROM stream WHERE rowid IN (SELECT rowid FROM stream WHERE closed_ms < ? "           \
			  "ORDER BY closed_ms LIMIT ?)")                                                               \
	X(SQL_STREAM_COUNT, "SELECT count(*) FROM stream")                                                             \
	/* credentials, pairing, attachments */                                                                        \
	X(SQL_CRED_ADD, "INSERT INTO cred VALUES(?, ?, ?, ?, ?)")                                                      \
	X(SQL_CRED_GET, "SELECT hash, principal, revoked, created_ms, sum FROM cred WHERE hash = ?")                   \
	X(SQL_CRED_OF, "SELECT hash, principal, revoked, created_ms, sum FROM cred WHERE principal = ?")               \
	X(SQL_CRED_SET, "UPDATE cred SET revoked = ?2, sum = ?3 WHERE hash = ?1")                                      \
	X(SQL_CRED_LIST, "SELECT hash, principal, revoked, created_ms, sum FROM cred ORDER BY principal, created_ms")  \
	X(SQL_CRED_LIST_USER, "SELECT c.hash, c.principal, c.revoked, c.created_ms, c.sum FROM principal p JOIN cred c " \
			      "ON c.principal = p.principal WHERE p.user = ? ORDER BY c.principal, c.created_ms") \
	X(SQL_PAIR_ADD, "INSERT INTO pair VALUES(?, ?, ?, ?)")                                                         \
	X(SQL_PAIR_GET, "SELECT user, expires_ms, sum FROM pair WHERE hash = ?")                                       \
	X(SQL_PAIR_DROP, "DELETE FROM pair WHERE hash = ?")                                                            \
	X(SQL_PAIR_SWEEP, "DELETE FROM pair WHERE expires_ms <= ?")                                                    \
	X(SQL_ASSET_PUT, "INSERT INTO asset VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET size = excluded.size, " \
			 "created_ms = excluded.created_ms, refs = excluded.refs, sum = excluded.sum")                 \
	X(SQL_ASSET_GET, "SELECT size, created_ms, refs, sum FROM asset WHERE user = ? AND hash = ?")                  \
	X(SQL_ASSET_UNUSED, "SELECT user, hash, size, created_ms, refs, sum FROM asset WHERE refs = 0 AND "            \
			    "created_ms < ? ORDER BY created_ms LIMIT 1000")                                           \
	X(SQL_ASSET_DROP, "DELETE FROM asset WHERE user = ? AND hash = ?")                                             \
	X(SQL_ASSET_ANY, "SELECT 1 FROM asset WHERE hash = ? LIMIT 1")                                                 \
	X(SQL_STATUS, "SELECT (SELECT count(*) FROM user), (SELECT count(DISTINCT principal) FROM cred WHERE "         \
		      "revoked = 0), (SELECT count(*) FROM zone), (SELECT count(*) FROM asset), "                      \
		      "(SELECT coalesce(sum(records), 0) FROM zone)")
/* clang-format on */

enum sql {
#define X(sym, text) sym,
	SQL_MAP(X)
#undef X
		SQL_COUNT
};

#endif
