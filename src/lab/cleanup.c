#include "lab/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lab/look.h"
#include "lab/place_priv.h"

#define GONE_PREFIX ".gone-"
#define DEPTH_MAX 32 /* of directories in an experiment's: what makes transcripts needs one or two */

/* ---- trees ------------------------------------------------------------------------------------------------------ */

/* Walks over what is in a directory, and no other file system. What may have gone meanwhile is passed over. */
struct walk {
	dev_t dev;
	bool removes;
	int64_t bytes;
	int os; /* the first error */
};

static void walk_dir(struct walk *w, int parent, const char *name, int depth);

static void fail(struct walk *w, int os)
{
	if (os != ENOENT && w->os == 0) w->os = os;
}

static void walk_entry(struct walk *w, int dir, const char *name, int depth)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		fail(w, errno);
		return;
	}
	if (S_ISDIR(st.st_mode)) {
		walk_dir(w, dir, name, depth);
		if (w->removes && unlinkat(dir, name, AT_REMOVEDIR) != 0) fail(w, errno);
		return;
	}
	if (S_ISREG(st.st_mode)) w->bytes += st.st_size;
	if (w->removes && unlinkat(dir, name, 0) != 0) fail(w, errno);
}

static void walk_dir(struct walk *w, int parent, const char *name, int depth)
{
	struct stat st;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd >= 0 && fstat(fd, &st) == 0 ? fdopendir(fd) : NULL;
	if (d == NULL || depth == DEPTH_MAX || (w->dev != 0 && st.st_dev != w->dev)) {
		fail(w, d == NULL ? errno : depth == DEPTH_MAX ? ELOOP : EXDEV);
		if (d != NULL) closedir(d);
		else if (fd >= 0) close(fd);
		return;
	}
	w->dev = st.st_dev;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			walk_entry(w, fd, e->d_name, depth + 1);
	closedir(d);
}

static int64_t bytes_of(const char *dir)
{
	struct walk w = {0};
	walk_dir(&w, AT_FDCWD, dir, 0);
	return w.bytes;
}

static enum err remove_tree(const char *dir, struct errinfo *info)
{
	struct walk w = {.removes = true};
	walk_dir(&w, AT_FDCWD, dir, 0);
	if (w.os == 0 && rmdir(dir) != 0) fail(&w, errno);
	return w.os == 0 ? OK : place_err("removed", dir, w.os, info);
}

/* ---- the plan --------------------------------------------------------------------------------------------------- */

/* 0: it has none that is a file. */
static int64_t manifest_time(const char *dir)
{
	struct stat st;
	char *path = place_join(dir, MANIFEST_FILE);
	bool is_file = lstat(path, &st) == 0 && S_ISREG(st.st_mode);
	free(path);
	return is_file ? (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec : 0;
}

static void plan_add(struct cleanup_plan *p, const struct cleanup_item *item)
{
	if (p->n == p->cap) {
		p->cap = MAX(p->cap * 2, (size_t)16);
		p->list = xrealloc(p->list, xmul(p->cap, sizeof *p->list));
	}
	p->list[p->n++] = *item;
	p->bytes += item->bytes;
}

static bool has_status(const struct cleanup_rule *r, const struct look *l, enum err e)
{
	if (e != OK) return r->unreadable;
	return (r->statuses == 0 && !r->unreadable) || (r->statuses & 1U << l->status) != 0;
}

/* Adds it, or counts it among those that stay. */
static void judge(struct cleanup_plan *p, const struct cleanup_rule *r, const struct place_entry *entry, size_t rank,
		  int64_t now_wall_ms)
{
	struct look l;
	struct cleanup_item item = {.changed_ms = entry->changed_ms, .manifest_ns = manifest_time(entry->dir)};
	if (item.manifest_ns == 0) {
		p->strange++;
		return;
	}
	enum err e = look_at(entry->dir, false, &l, NULL);
	if (e == OK && l.m.completed_ms > 0 && l.pid == 0) item.changed_ms = l.m.completed_ms;
	item.words = e == OK ? l.words : "unreadable";
	bool goes = l.pid == 0 && rank >= r->keep && has_status(r, &l, e) &&
		    (r->older_ms == 0 || item.changed_ms <= now_wall_ms - r->older_ms);
	if (l.pid != 0) p->running++;
	look_release(&l);
	if (goes) item.bytes = bytes_of(entry->dir);
	if (!goes || (r->larger_bytes > 0 && item.bytes <= r->larger_bytes)) {
		p->kept++;
		return;
	}
	item.dir = xstrdup(entry->dir);
	item.name = xstrdup(entry->name);
	memcpy(item.id, entry->id, sizeof item.id);
	plan_add(p, &item);
}

static void find_leftovers(const char *output, struct cleanup_plan *p)
{
	DIR *d = opendir(output);
	if (d == NULL) return;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct stat st;
		if (strncmp(e->d_name, GONE_PREFIX, strlen(GONE_PREFIX)) != 0) continue;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode)) continue;
		p->leftovers = xrealloc(p->leftovers, xmul(p->nleftovers + 1, sizeof *p->leftovers));
		p->leftovers[p->nleftovers] = place_join(output, e->d_name);
		p->bytes += bytes_of(p->leftovers[p->nleftovers++]);
	}
	closedir(d);
}

enum err cleanup_plan(const char *output, const struct cleanup_rule *rule, int64_t now_wall_ms,
		      struct cleanup_plan *out, struct errinfo *info)
{
	struct place_list l;
	*out = (struct cleanup_plan){0};
	enum err e = place_list(output, &l, info);
	if (e != OK) return e;
	for (size_t i = l.n; i-- > 0;) judge(out, rule, &l.list[i], i, now_wall_ms);
	find_leftovers(output, out);
	place_list_release(&l);
	return OK;
}

void cleanup_plan_release(struct cleanup_plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->list[i].dir);
		free(p->list[i].name);
	}
	for (size_t i = 0; i < p->nleftovers; i++) free(p->leftovers[i]);
	free(p->list);
	free(p->leftovers);
	*p = (struct cleanup_plan){0};
}

/* ---- removing --------------------------------------------------------------------------------------------------- */

/* OUTPUT/.gone-NAME_ID8. Free it. */
static char *gone_path(const char *dir)
{
	const char *base = strrchr(dir, '/') + 1;
	char *path = NULL;
	if (asprintf(&path, "%.*s" GONE_PREFIX "%s", (int)(base - dir), dir, base) < 0)
		die(err_exit(ERR_NOMEM), "out of memory");
	return path;
}

enum err cleanup_remove(const struct cleanup_item *item, struct errinfo *info)
{
	struct place p = {.dir = item->dir, .name = item->name};
	char *gone = gone_path(item->dir);
	int fd = -1;
	memcpy(p.id, item->id, sizeof p.id);
	enum err e = place_lock(&p, &fd, info);
	if (e == OK && manifest_time(item->dir) != item->manifest_ns)
		e = err_set(info, ERR_CONFLICT, "%.150s has changed meanwhile", item->dir);
	if (e == OK && rename(item->dir, gone) != 0) e = place_err("removed", item->dir, errno, info);
	if (e == OK) e = remove_tree(gone, info);
	if (fd >= 0) place_unlock(&p, fd);
	free(gone);
	return e;
}

enum err cleanup_remove_leftover(const char *path, struct errinfo *info) { return remove_tree(path, info); }
