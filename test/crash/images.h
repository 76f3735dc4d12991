/* From a log to the states of a disk that a power cut could have left.
 *
 * The model, stricter than any real file system:
 *  1. A change of a file is durable once an fsync of that file, begun after the change was made, has returned. Until
 *     then it may be on the disk or not, independently of all others, and a write may be there in part: any subset of
 *     its 512-byte sectors.
 *  2. A new name, a rename or a removal is durable once an fsync of its directory has; until then it may have happened
 *     or not. An fsync of a file says nothing about its name.
 *  3. Nothing else is ever on the disk.
 * A state is a cut (a place in the log) and a choice among what was not durable there. Choices are drawn from a seed:
 * none, all, a prefix, all but one, one alone, a random half with torn writes, a prefix with a torn end. */
#ifndef ROOST_TEST_CRASH_IMAGES_H
#define ROOST_TEST_CRASH_IMAGES_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/id.h"
#include "crash/log.h"

#define NEVER SIZE_MAX
#define SECTOR 512

struct record_view {
	struct log_rec rec;
	struct str path, path2, data;
};

/* One change, of a file's content or of a name. */
struct mutation {
	size_t at;      /* its place */
	size_t durable; /* the place of the sync that made it so, NEVER */
	size_t file;    /* index of the file; of the directory when a name changes */
	size_t subject; /* a name's change: the file that gets or loses it */
	const struct record_view *view;
};

struct file {
	uint64_t inode;
	bool is_dir;
	char *path;            /* of a directory, relative; "." is the top */
	size_t *changes;       /* indices, in order */
	size_t nchanges, next; /* next: the first that base does not hold */
	char *base;            /* content that is durable at the cut */
	size_t base_len, base_cap;
};

struct name {
	char *path;
	size_t file;
};

struct images {
	struct str log;
	struct record_view *records;
	size_t nrecords;
	struct mutation *changes;
	size_t nchanges;
	struct file *files;
	size_t nfiles;
	struct name *names; /* durable at the cut */
	size_t nnames;
	size_t cut;
};

/* Room for one more element, zeroed. The array is as long as the next power of two. */
static void *push(void *array, size_t n, size_t size)
{
	if ((n & (n - 1)) == 0) array = xrealloc(array, xmul(MAX(n * 2, (size_t)1), size));
	ASSERT(array != NULL);
	memset((char *)array + n * size, 0, size);
	return array;
}
/* Appends an element and is a pointer to it. */
#define PUSH(array, n) ((array) = push((array), (n), sizeof *(array)), (n)++, &(array)[(n)-1])

static void images_read(struct images *im, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0) die(66, "%s: %s", path, strerror(errno));
	char *p = xmalloc((size_t)st.st_size);
	for (size_t n = 0; n < (size_t)st.st_size;) {
		ssize_t got = read(fd, p + n, (size_t)st.st_size - n);
		if (got <= 0) die(74, "%s: %s", path, strerror(errno));
		n += (size_t)got;
	}
	close(fd);
	im->log = str_n(p, (size_t)st.st_size);
	for (size_t o = 0; o + sizeof(struct log_rec) <= im->log.n;) {
		struct record_view v;
		memcpy(&v.rec, p + o, sizeof v.rec);
		o += sizeof v.rec;
		if (v.rec.path_len + (size_t)v.rec.path2_len + v.rec.data_len > im->log.n - o) break;
		v.path = str_n(p + o, v.rec.path_len);
		v.path2 = str_n(v.path.p + v.path.n, v.rec.path2_len);
		v.data = str_n(v.path2.p + v.path2.n, v.rec.data_len);
		o += v.path.n + v.path2.n + v.data.n;
		*PUSH(im->records, im->nrecords) = v;
	}
}

/* The newest file with this inode; a number may be used again after an unlink. */
static size_t file_of(struct images *im, uint64_t inode)
{
	for (size_t i = im->nfiles; i-- > 0;)
		if (im->files[i].inode == inode) return i;
	PUSH(im->files, im->nfiles)->inode = inode;
	return im->nfiles - 1;
}

static size_t add_dir(struct images *im, struct str path)
{
	struct file *f = PUSH(im->files, im->nfiles);
	f->is_dir = true;
	f->path = str_dup(path);
	return im->nfiles - 1;
}

/* The directory a path is in, by its own path. */
static size_t dir_of(struct images *im, struct str path)
{
	size_t n = path.n;
	while (n > 0 && path.p[n - 1] != '/') n--;
	struct str dir = n > 0 ? str_n(path.p, n - 1) : STR(".");
	for (size_t i = im->nfiles; i-- > 0;)
		if (im->files[i].is_dir && str_eq(str_c(im->files[i].path), dir)) return i;
	return add_dir(im, dir);
}

static void add_change(struct images *im, size_t at, size_t file, size_t subject)
{
	struct file *f = &im->files[file];
	*PUSH(im->changes, im->nchanges) = (struct mutation){at, NEVER, file, subject, &im->records[at]};
	*PUSH(f->changes, f->nchanges) = im->nchanges - 1;
}

static void mark_durable(struct images *im, size_t at)
{
	const struct record_view *v = &im->records[at];
	bool is_dir = false;
	size_t file = NEVER;
	for (size_t i = im->nfiles; i-- > 0 && file == NEVER;) {
		is_dir = im->files[i].is_dir && str_eq(str_c(im->files[i].path), v->path);
		if (is_dir || (!im->files[i].is_dir && im->files[i].inode == v->rec.file)) file = i;
	}
	if (file == NEVER) return;
	for (size_t i = 0; i < im->files[file].nchanges; i++) {
		struct mutation *c = &im->changes[im->files[file].changes[i]];
		if (c->durable == NEVER && (int64_t)c->at < v->rec.off) c->durable = at;
	}
}

static void images_plan(struct images *im)
{
	size_t subject;
	for (size_t at = 0; at < im->nrecords; at++) {
		const struct record_view *v = &im->records[at];
		switch ((enum log_kind)v->rec.kind) {
		case LOG_WRITE:
		case LOG_TRUNCATE: add_change(im, at, file_of(im, v->rec.file), NEVER); break;
		case LOG_CREATE:
			PUSH(im->files, im->nfiles)->inode = v->rec.file;
			subject = im->nfiles - 1;
			add_change(im, at, dir_of(im, v->path), subject);
			break;
		case LOG_MKDIR:
			subject = add_dir(im, v->path);
			add_change(im, at, dir_of(im, v->path), subject);
			break;
		case LOG_RENAME: add_change(im, at, dir_of(im, v->path2), file_of(im, v->rec.file)); break;
		case LOG_UNLINK: add_change(im, at, dir_of(im, v->path), NEVER); break;
		case LOG_SYNC: mark_durable(im, at); break;
		case LOG_ODD: die(70, "the replay has no model for %.*s", STR_ARG(v->path));
		case LOG_SEND:
		case LOG_SENT: break;
		}
	}
}

/* Applies the sectors of a write that `keep` chooses (NULL: all) or a truncation. */
static void apply_content(char **p, size_t *len, size_t *cap, const struct record_view *v, struct rng *keep)
{
	size_t off = (size_t)v->rec.off, end = v->rec.kind == LOG_TRUNCATE ? off : off + v->data.n;
	if (end > *cap) {
		*cap = end * 2;
		*p = xrealloc(*p, *cap);
	}
	if (end > *len) memset(*p + *len, 0, end - *len);
	if (end > *len || v->rec.kind == LOG_TRUNCATE) *len = end;
	if (v->rec.kind == LOG_TRUNCATE) return;
	for (size_t at = off; at < end;) {
		size_t stop = MIN(end, (at / SECTOR + 1) * SECTOR);
		if (keep == NULL || rng_below(keep, 2) == 1) memcpy(*p + at, v->data.p + (at - off), stop - at);
		at = stop;
	}
}

static void name_drop(struct name *names, size_t *n, struct str path)
{
	for (size_t i = 0; i < *n; i++) {
		if (!str_eq(str_c(names[i].path), path)) continue;
		free(names[i].path);
		names[i] = names[--*n];
		return;
	}
}

static void apply_name(struct name **names, size_t *n, const struct mutation *c)
{
	struct str path = c->view->rec.kind == LOG_RENAME ? c->view->path2 : c->view->path;
	name_drop(*names, n, c->view->path);
	name_drop(*names, n, path);
	if (c->view->rec.kind == LOG_UNLINK) return;
	*PUSH(*names, *n) = (struct name){str_dup(path), c->subject};
}

/* Moves the durable image forward to a cut. Cuts only grow. */
static void images_advance(struct images *im, size_t cut)
{
	ASSERT_CMP(cut, >=, im->cut);
	im->cut = cut;
	for (size_t i = 0; i < im->nfiles; i++) {
		struct file *f = &im->files[i];
		for (; f->next < f->nchanges; f->next++) {
			const struct mutation *c = &im->changes[f->changes[f->next]];
			if (c->durable >= cut) break;
			if (f->is_dir) apply_name(&im->names, &im->nnames, c);
			else apply_content(&f->base, &f->base_len, &f->base_cap, c->view, NULL);
		}
	}
}

enum fate { LOST, KEPT, TORN };

/* Draws the fate of each of n pending changes. */
static void draw_fates(struct rng *r, enum fate *fate, size_t n)
{
	size_t one = n > 0 ? rng_below(r, n) : 0;
	uint64_t way = rng_below(r, 8);
	for (size_t i = 0; i < n; i++) {
		switch (way) {
		case 0: fate[i] = LOST; break;
		case 1: fate[i] = KEPT; break;
		case 2: fate[i] = i < one ? KEPT : LOST; break;
		case 3: fate[i] = i == one ? LOST : KEPT; break;
		case 4: fate[i] = i == one ? KEPT : LOST; break;
		case 5: fate[i] = i < one ? KEPT : i == one ? TORN : LOST; break;
		default: fate[i] = (enum fate)rng_below(r, 3); break;
		}
	}
}

static void write_file(const char *dir, const char *path, const char *p, size_t n)
{
	char full[PATH_MAX];
	snprintf(full, sizeof full, "%s/%s", dir, path);
	int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 && errno == ENOENT) return; /* its directory is not on the disk */
	if (fd < 0) die(73, "%s: %s", full, strerror(errno));
	while (n > 0) {
		ssize_t put = write(fd, p, n);
		if (put <= 0) die(74, "%s: %s", full, strerror(errno));
		p += put;
		n -= (size_t)put;
	}
	close(fd);
}

/* Writes one state of the current cut into the empty directory `dir`. The result tells states apart. */
static uint64_t images_make(const struct images *im, struct rng *r, const char *dir)
{
	size_t *pending = NULL, npending = 0, nnames = 0;
	struct name *names = NULL;
	for (size_t i = 0; i < im->nchanges && im->changes[i].at < im->cut; i++)
		if (im->changes[i].durable >= im->cut) *PUSH(pending, npending) = i;
	enum fate *fate = xcalloc(npending, sizeof *fate);
	draw_fates(r, fate, npending);
	for (size_t i = 0; i < im->nnames; i++)
		*PUSH(names, nnames) = (struct name){xstrdup(im->names[i].path), im->names[i].file};
	for (size_t i = 0; i < npending; i++) {
		const struct mutation *c = &im->changes[pending[i]];
		if (im->files[c->file].is_dir && fate[i] != LOST) apply_name(&names, &nnames, c);
	}
	uint64_t print = 0;
	for (size_t pass = 0; pass < 2; pass++) { /* directories first */
		for (size_t k = 0; k < nnames; k++) {
			const struct file *f = &im->files[names[k].file];
			char full[PATH_MAX];
			snprintf(full, sizeof full, "%s/%s", dir, names[k].path);
			if (f->is_dir != (pass == 0)) continue;
			print = hash64(str_c(names[k].path), print);
			if (f->is_dir) {
				if (mkdir(full, 0700) != 0 && errno != ENOENT) die(73, "%s: %s", full, strerror(errno));
				continue;
			}
			size_t len = f->base_len, cap = MAX(len, (size_t)1);
			char *p = xmalloc(cap);
			if (len > 0) memcpy(p, f->base, len);
			for (size_t i = 0; i < npending; i++) {
				const struct mutation *c = &im->changes[pending[i]];
				if (c->file != names[k].file || fate[i] == LOST) continue;
				apply_content(&p, &len, &cap, c->view, fate[i] == TORN ? r : NULL);
			}
			print = hash64(str_n(p, len), print);
			write_file(dir, names[k].path, p, len);
			free(p);
		}
	}
	for (size_t k = 0; k < nnames; k++) free(names[k].path);
	free(names);
	free(fate);
	free(pending);
	return print;
}

#endif
