/* What a device keeps: one SQLite file (mode 0600) with the credential, the core's rows and the outbox.
 *
 * A batch of the core is taken over at once and becomes durable with disk_flush, together with all others that are
 * waiting: one transaction, one fsync. Until then it is kept in memory as well, so a full disk or a failed allocation
 * loses nothing: disk_flush says so, and may be tried again for ever.
 *
 * The file belongs to one open disk at a time: a lock on FILE-lock, which names the process that has it. One thread. */
#ifndef ROOST_CLIENT_DISK_H
#define ROOST_CLIENT_DISK_H

#include "client/core.h"

struct disk;

/* Opens or makes the file. ERR_LOCKED names the process that has it, ERR_NEWER_SCHEMA, ERR_CORRUPT (not such a file),
 * ERR_READ_ONLY, ERR_STORAGE_FULL, ERR_IO, ERR_NOMEM. */
MUST_USE enum err disk_open(const char *path, struct disk **out, struct errinfo *info);
void disk_close(struct disk *d); /* what was not flushed is lost */

/* A value of the shell's own (deviceId, token): durable when disk_set returns OK. */
MUST_USE enum err disk_get(struct disk *d, const char *key, bool *out_found, struct buf *out, struct errinfo *info);
MUST_USE enum err disk_set(struct disk *d, const char *key, struct str value, struct errinfo *info);

void disk_put(struct disk *d, const struct core_batch *batch);
/* Forgets the waiting batches with greater numbers. */
void disk_take_back(struct disk *d, uint64_t number);
bool disk_is_dirty(const struct disk *d); /* batches wait for disk_flush */
/* OK: everything put is durable; *out_number is the last batch's. Else nothing changed and everything is still there. */
MUST_USE enum err disk_flush(struct disk *d, uint64_t *out_number, struct errinfo *info);

/* core.h's `read`. */
MUST_USE enum err disk_read(struct disk *d, enum core_table table, struct str key, bool *out_found, struct buf *out,
			    struct errinfo *info);
/* Every row of a table in the order of its keys. What `row` returns ends it early. */
MUST_USE enum err disk_load(struct disk *d, enum core_table table,
			    enum err (*row)(void *ctx, const struct core_row *row), void *ctx, struct errinfo *info);
/* The names of the durable records of a type: of one conversation by their place, or of all (conversation "") by name;
 * tombstones are left out. `name` must not change the disk; false ends it. */
MUST_USE enum err disk_names(struct disk *d, struct str type, struct str conversation,
			     bool (*name)(void *ctx, struct str name), void *ctx, struct errinfo *info);

#endif
