/* A VFS with only what a store in WAL mode asks for: named files, locks between the connections of one process, shared
 * memory that is memory. */
#include "sim/disk.h"

#include <sqlite3.h>
#include <sys/queue.h>

#include "sim/fiber.h"

#define PATH_CAP 512
#define SHM_SLOTS 8 /* SQLITE_SHM_NLOCK */
#define SHM_REGIONS 64

/* A write that no sync has covered. */
struct pending {
	int64_t offset;
	size_t n; /* 0: the file ends at offset */
	STAILQ_ENTRY(pending) link;
	unsigned char now[];
};

struct file {
	char path[PATH_CAP];
	unsigned char *data, *safe; /* as its readers see it; as the disk has it */
	size_t n, cap, safe_n, safe_cap;
	STAILQ_HEAD(, pending) unsynced;
	size_t nunsynced;
	bool exists, safe_exists;
	/* locks */
	int shared;
	struct handle *reserved, *exclusive;
	bool wants_all;
	void *regions[SHM_REGIONS];
	int shm_shared[SHM_SLOTS];
	struct handle *shm_exclusive[SHM_SLOTS];
	SLIST_ENTRY(file) link;
};

struct handle {
	sqlite3_file base;
	struct file *file;
	int lock;
	unsigned shm_held; /* slots held shared */
	bool delete_on_close;
};

static SLIST_HEAD(, file) files = SLIST_HEAD_INITIALIZER(files);
static bool is_slow;
static int64_t syncs;

static struct handle *handle_of(sqlite3_file *f) { return (struct handle *)(void *)f; }

static struct file *find(const char *path, bool make)
{
	struct file *f;
	SLIST_FOREACH(f, &files, link)
	if (strcmp(f->path, path) == 0) return f;
	if (!make) return NULL;
	f = xcalloc(1, sizeof *f);
	(void)str_copy(str_c(path), f->path, sizeof f->path);
	STAILQ_INIT(&f->unsynced);
	SLIST_INSERT_HEAD(&files, f, link);
	return f;
}

static void grow(unsigned char **data, size_t *cap, size_t *n, size_t want)
{
	if (want > *cap) {
		size_t more = MAX(want, *cap * 2);
		*data = xrealloc(*data, more);
		*cap = more;
	}
	if (want > *n) {
		memset(*data + *n, 0, want - *n);
		*n = want;
	}
}

/* ---- what is safe ------------------------------------------------------------------------------------------------ */

static void apply(struct file *f, const struct pending *u)
{
	if (u->n == 0) {
		f->safe_n = MIN(f->safe_n, (size_t)u->offset);
		return;
	}
	grow(&f->safe, &f->safe_cap, &f->safe_n, (size_t)u->offset + u->n);
	memcpy(f->safe + u->offset, u->now, u->n);
}

/* The power is gone: each write that was waiting reached the disk, or did not. */
static void settle(struct file *f)
{
	struct pending *u;
	while ((u = STAILQ_FIRST(&f->unsynced)) != NULL) {
		STAILQ_REMOVE_HEAD(&f->unsynced, link);
		if (chance(500)) apply(f, u);
		free(u);
	}
	f->nunsynced = 0;
}

static void remember(struct file *f, int64_t offset, const void *p, size_t n)
{
	struct pending *u = xmalloc(sizeof *u + n);
	u->offset = offset;
	u->n = n;
	if (n > 0) memcpy(u->now, p, n);
	STAILQ_INSERT_TAIL(&f->unsynced, u, link);
	f->nunsynced++;
}

/* ---- a file ------------------------------------------------------------------------------------------------------ */

static int x_close(sqlite3_file *h)
{
	struct handle *me = handle_of(h);
	if (me->delete_on_close) me->file->exists = false;
	return SQLITE_OK;
}

static int x_read(sqlite3_file *h, void *p, int n, sqlite3_int64 offset)
{
	const struct file *f = handle_of(h)->file;
	size_t have = (size_t)offset < f->n ? MIN((size_t)n, f->n - (size_t)offset) : 0;
	if (have > 0) memcpy(p, f->data + offset, have);
	if (have == (size_t)n) return SQLITE_OK;
	memset((char *)p + have, 0, (size_t)n - have);
	return SQLITE_IOERR_SHORT_READ;
}

static int x_write(sqlite3_file *h, const void *p, int n, sqlite3_int64 offset)
{
	struct file *f = handle_of(h)->file;
	grow(&f->data, &f->cap, &f->n, (size_t)offset + (size_t)n);
	memcpy(f->data + offset, p, (size_t)n);
	remember(f, offset, p, (size_t)n);
	return SQLITE_OK;
}

static int x_truncate(sqlite3_file *h, sqlite3_int64 n)
{
	struct file *f = handle_of(h)->file;
	if ((size_t)n < f->n) {
		f->n = (size_t)n;
		remember(f, n, NULL, 0);
	}
	return SQLITE_OK;
}

static int x_sync(sqlite3_file *h, int flags)
{
	struct file *f = handle_of(h)->file;
	struct pending *u;
	size_t covered = f->nunsynced; /* what is written while the sync is under way is not */
	(void)flags;
	syncs++;
	if (planted(PLANT_EARLY_ACK)) return SQLITE_OK;
	if (fiber_self() != NULL)
		fiber_wait(now_us() + (is_slow ? sched_between(2 * MS, 80 * MS) : sched_between(40, 900)));
	while (covered-- > 0 && (u = STAILQ_FIRST(&f->unsynced)) != NULL) {
		STAILQ_REMOVE_HEAD(&f->unsynced, link);
		f->nunsynced--;
		apply(f, u);
		free(u);
	}
	f->safe_exists = f->exists;
	return SQLITE_OK;
}

static int x_size(sqlite3_file *h, sqlite3_int64 *out)
{
	*out = (sqlite3_int64)handle_of(h)->file->n;
	return SQLITE_OK;
}

/* ---- locks (sqlite.org/c3ref/c_lock_exclusive.html) --------------------------------------------------------------- */

static int x_lock(sqlite3_file *h, int want)
{
	struct handle *me = handle_of(h);
	struct file *f = me->file;
	if (me->lock >= want) return SQLITE_OK;
	if (want == SQLITE_LOCK_SHARED) {
		if (f->wants_all || f->exclusive != NULL) return SQLITE_BUSY;
		f->shared++;
	} else if (want == SQLITE_LOCK_RESERVED) {
		if (f->reserved != NULL) return SQLITE_BUSY;
		f->reserved = me;
	} else {
		if (f->reserved != NULL && f->reserved != me) return SQLITE_BUSY;
		f->reserved = me;
		f->wants_all = true;
		if (want == SQLITE_LOCK_EXCLUSIVE && f->shared > 1) {
			me->lock = SQLITE_LOCK_PENDING;
			return SQLITE_BUSY;
		}
		if (want == SQLITE_LOCK_EXCLUSIVE) f->exclusive = me;
	}
	me->lock = want;
	return SQLITE_OK;
}

static int x_unlock(sqlite3_file *h, int to)
{
	struct handle *me = handle_of(h);
	struct file *f = me->file;
	if (me->lock <= to) return SQLITE_OK;
	if (me->lock > SQLITE_LOCK_SHARED) {
		if (f->reserved == me) {
			f->reserved = NULL;
			f->wants_all = false;
		}
		if (f->exclusive == me) f->exclusive = NULL;
	}
	if (to == SQLITE_LOCK_NONE) f->shared--;
	me->lock = to;
	return SQLITE_OK;
}

static int x_check_reserved(sqlite3_file *h, int *out)
{
	*out = handle_of(h)->file->reserved != NULL;
	return SQLITE_OK;
}

static int x_control(sqlite3_file *h, int op, void *arg)
{
	(void)h;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int x_sector(sqlite3_file *h)
{
	(void)h;
	return 4096;
}

static int x_characteristics(sqlite3_file *h)
{
	(void)h;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- the WAL's index: memory that every connection shares --------------------------------------------------------- */

static int x_shm_map(sqlite3_file *h, int region, int size, int extend, void volatile **out)
{
	struct file *f = handle_of(h)->file;
	ASSERT_CMP(region, <, SHM_REGIONS);
	if (f->regions[region] == NULL && extend) f->regions[region] = xcalloc(1, (size_t)size);
	*out = f->regions[region];
	return SQLITE_OK;
}

static bool slot_is_taken(const struct file *f, const struct handle *me, int slot, bool exclusive)
{
	int others = f->shm_shared[slot] - (int)(me->shm_held >> slot & 1);
	return (f->shm_exclusive[slot] != NULL && f->shm_exclusive[slot] != me) || (exclusive && others > 0);
}

static int x_shm_lock(sqlite3_file *h, int first, int n, int flags)
{
	struct handle *me = handle_of(h);
	struct file *f = me->file;
	bool exclusive = flags & SQLITE_SHM_EXCLUSIVE, lock = flags & SQLITE_SHM_LOCK;
	for (int i = first; lock && i < first + n; i++)
		if (slot_is_taken(f, me, i, exclusive)) return SQLITE_BUSY;
	for (int i = first; i < first + n; i++) {
		bool held = me->shm_held >> i & 1;
		if (exclusive) {
			if (lock) f->shm_exclusive[i] = me;
			else if (f->shm_exclusive[i] == me) f->shm_exclusive[i] = NULL;
		} else if (lock != held) {
			f->shm_shared[i] += lock ? 1 : -1;
			me->shm_held ^= 1u << i;
		}
	}
	return SQLITE_OK;
}

static void x_shm_barrier(sqlite3_file *h) { (void)h; }

static void forget_index(struct file *f)
{
	for (int i = 0; i < SHM_REGIONS; i++) {
		free(f->regions[i]);
		f->regions[i] = NULL;
	}
}

static int x_shm_unmap(sqlite3_file *h, int delete)
{
	if (delete) forget_index(handle_of(h)->file);
	return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = x_close,
	.xRead = x_read,
	.xWrite = x_write,
	.xTruncate = x_truncate,
	.xSync = x_sync,
	.xFileSize = x_size,
	.xLock = x_lock,
	.xUnlock = x_unlock,
	.xCheckReservedLock = x_check_reserved,
	.xFileControl = x_control,
	.xSectorSize = x_sector,
	.xDeviceCharacteristics = x_characteristics,
	.xShmMap = x_shm_map,
	.xShmLock = x_shm_lock,
	.xShmBarrier = x_shm_barrier,
	.xShmUnmap = x_shm_unmap,
};

/* ---- the file system --------------------------------------------------------------------------------------------- */

static int v_open(sqlite3_vfs *v, sqlite3_filename name, sqlite3_file *h, int flags, int *out)
{
	static int64_t nameless;
	char own[40];
	(void)v;
	(void)snprintf(own, sizeof own, "nameless-%lld", (long long)nameless);
	if (name == NULL) nameless++;
	struct file *f = find(name != NULL ? name : own, true);
	struct handle *me = handle_of(h);
	*me = (struct handle){.base.pMethods = NULL};
	if (!f->exists) {
		if (!(flags & SQLITE_OPEN_CREATE)) return SQLITE_CANTOPEN;
		f->exists = true;
		f->n = 0;
	}
	*me = (struct handle){.base.pMethods = &methods, .file = f};
	me->delete_on_close = flags & SQLITE_OPEN_DELETEONCLOSE;
	if (out != NULL) *out = flags;
	return SQLITE_OK;
}

/* A name that goes is gone at once: nothing of Roost's depends on a deleted file coming back. */
static int v_delete(sqlite3_vfs *v, const char *name, int sync_dir)
{
	struct file *f = find(name, false);
	(void)v;
	(void)sync_dir;
	if (f == NULL || !f->exists) return SQLITE_IOERR_DELETE_NOENT;
	f->exists = f->safe_exists = false;
	f->n = f->safe_n = 0;
	while (!STAILQ_EMPTY(&f->unsynced)) {
		struct pending *u = STAILQ_FIRST(&f->unsynced);
		STAILQ_REMOVE_HEAD(&f->unsynced, link);
		free(u);
	}
	f->nunsynced = 0;
	return SQLITE_OK;
}

static int v_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	const struct file *f = find(name, false);
	(void)v;
	(void)flags;
	*out = f != NULL && f->exists;
	return SQLITE_OK;
}

static int v_full_path(sqlite3_vfs *v, const char *name, int n, char *out)
{
	(void)v;
	return str_copy(str_c(name), out, (size_t)n) ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int v_random(sqlite3_vfs *v, int n, char *out)
{
	(void)v;
	entropy(out, (size_t)n);
	return n;
}

static int v_sleep(sqlite3_vfs *v, int us)
{
	(void)v;
	if (fiber_self() != NULL) fiber_wait(now_us() + us);
	return us;
}

static int v_time64(sqlite3_vfs *v, sqlite3_int64 *out)
{
	(void)v;
	*out = wall_us() / 1000 + 210866760000000LL; /* Julian day 0 to 1970, in ms */
	return SQLITE_OK;
}

static int v_time(sqlite3_vfs *v, double *out)
{
	sqlite3_int64 ms;
	int rc = v_time64(v, &ms);
	*out = (double)ms / 86400000.0;
	return rc;
}

static int v_error(sqlite3_vfs *v, int n, char *out)
{
	(void)v;
	if (n > 0) out[0] = '\0';
	return 0;
}

void disk_open(void)
{
	static sqlite3_vfs vfs = {
		.iVersion = 2,
		.szOsFile = (int)sizeof(struct handle),
		.mxPathname = PATH_CAP - 1,
		.zName = "simulated",
		.xOpen = v_open,
		.xDelete = v_delete,
		.xAccess = v_access,
		.xFullPathname = v_full_path,
		.xRandomness = v_random,
		.xSleep = v_sleep,
		.xCurrentTime = v_time,
		.xGetLastError = v_error,
		.xCurrentTimeInt64 = v_time64,
	};
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	int rc = sqlite3_vfs_register(&vfs, 1);
	ASSERT_CMP(rc, ==, SQLITE_OK);
}

void disk_process_died(void)
{
	struct file *f;
	SLIST_FOREACH(f, &files, link)
	{
		f->shared = 0;
		f->reserved = f->exclusive = NULL;
		f->wants_all = false;
		forget_index(f);
		memset(f->shm_shared, 0, sizeof f->shm_shared);
		memset(f->shm_exclusive, 0, sizeof f->shm_exclusive);
	}
}

void disk_power_failed(void)
{
	struct file *f;
	disk_process_died();
	SLIST_FOREACH(f, &files, link)
	{
		settle(f);
		f->exists = f->safe_exists;
		f->n = 0;
		grow(&f->data, &f->cap, &f->n, f->safe_n);
		f->n = f->safe_n;
		if (f->n > 0) memcpy(f->data, f->safe, f->n);
	}
}

void disk_set_slow(bool slow) { is_slow = slow; }
int64_t disk_syncs(void) { return syncs; }
