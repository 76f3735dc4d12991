/* Reading the journal, beside a daemon that writes and rotates it.
 *
 * A round opens current.jsonl, then lists the rotated files, reads these in order and the one it opened last. Whenever a
 * rotation happens, no line is missed and none comes too early: the file that was opened follows the listed ones, or is
 * one of them by now and its lines are known already, which their numbers tell. When a rotated file has come up since the
 * list was made, there may be more, and another round is made. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/files.h"
#include "event/journal.h"
#include "event/line.h"

struct reader {
	int64_t last_n;
	char since[TIME_TEXT_LEN + 1]; /* "" none; times of this form order as text */
	enum err (*fn)(void *ctx, int64_t n, struct str line);
	void *ctx;
	int64_t bad;
};

static enum err take_line(struct reader *r, struct str line)
{
	int64_t n;
	struct str at;
	if (!journal_check_line(line, &n, &at)) {
		r->bad++;
		return OK;
	}
	if (n <= r->last_n) return OK;
	r->last_n = n;
	if (r->since[0] != '\0' && memcmp(at.p, r->since, TIME_TEXT_LEN) < 0) return OK;
	return r->fn(r->ctx, n, line);
}

/* Gives out every whole line of `b` and keeps the rest. A line beyond all sense is thrown away as it comes. */
static enum err take_lines(struct reader *r, struct buf *b)
{
	size_t at = 0;
	enum err e = OK;
	for (const char *nl; e == OK && (nl = memchr(b->p + at, '\n', b->n - at)) != NULL;) {
		struct str line = str_n(b->p + at, (size_t)(nl - b->p) - at);
		at += line.n + 1;
		e = take_line(r, line);
	}
	buf_drop(b, at);
	if (b->n > 2 * LINE_MAX_BYTES) buf_clear(b);
	return e;
}

static enum err file_error(const char *name, struct errinfo *info)
{
	return err_set(info, ERR_IO, "the journal's %s cannot be read: %s", name, strerror(errno));
}

/* A file that is not there is an empty one: -1 and OK. */
static enum err open_file(int dirfd, const char *name, int *out_fd, struct errinfo *info)
{
	*out_fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return *out_fd >= 0 || errno == ENOENT ? OK : file_error(name, info);
}

/* Reads and closes fd. */
static enum err read_file(struct reader *r, int fd, const char *name, struct errinfo *info)
{
	char piece[65536];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	enum err e = OK;
	ssize_t n = 0;
	if (fd < 0) return OK;
	while (e == OK && (n = read(fd, piece, sizeof piece)) > 0) {
		buf_add(&b, piece, (size_t)n);
		e = take_lines(r, &b);
	}
	if (e == OK && n < 0) e = file_error(name, info);
	buf_release(&b);
	close(fd);
	return e;
}

static enum err list_files(int dirfd, struct journal_files *out, struct errinfo *info)
{
	if (journal_files_list(dirfd, out)) return OK;
	return err_set(info, ERR_IO, "the journal cannot be listed: %s", strerror(errno));
}

/* Leaves the list in *files. */
static enum err read_round(struct reader *r, int dirfd, struct journal_files *files, struct errinfo *info)
{
	int current, fd;
	enum err e = open_file(dirfd, JOURNAL_CURRENT, &current, info);
	if (e == OK) e = list_files(dirfd, files, info);
	for (size_t i = 0; i < files->n && e == OK; i++) {
		char name[JOURNAL_NAME_MAX];
		if (i + 1 < files->n && files->first[i + 1] <= r->last_n + 1) continue; /* all of it is known */
		journal_file_name(files->first[i], name);
		e = open_file(dirfd, name, &fd, info);
		if (e == OK) e = read_file(r, fd, name, info);
	}
	if (e == OK) return read_file(r, current, JOURNAL_CURRENT, info);
	if (current >= 0) close(current);
	return e;
}

static int64_t newest(const struct journal_files *f) { return f->n > 0 ? f->first[f->n - 1] : 0; }

enum err journal_read(const char *dir, int64_t after_n, int64_t since_ms,
		      enum err (*fn)(void *ctx, int64_t n, struct str line), void *ctx, int64_t *out_bad,
		      struct errinfo *info)
{
	struct reader r = {.last_n = after_n, .fn = fn, .ctx = ctx};
	struct journal_files files = {0};
	if (since_ms > 0) time_format(since_ms, r.since);
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0) return err_set(info, ERR_NOT_FOUND, "there is no journal in %.150s", dir);
	enum err e = OK;
	for (bool again = true; again;) {
		r.bad = 0; /* another round may meet the same damage */
		e = read_round(&r, dirfd, &files, info);
		int64_t known = newest(&files);
		journal_files_release(&files);
		if (e == OK) e = list_files(dirfd, &files, info);
		again = e == OK && newest(&files) != known;
		journal_files_release(&files);
	}
	if (out_bad != NULL) *out_bad = r.bad;
	close(dirfd);
	return e;
}
