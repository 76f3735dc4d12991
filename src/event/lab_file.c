/* Reading an event file as it comes, in memory for one line. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "event/lab_log.h"

#define PIECE_BYTES ((size_t)64 << 10)

struct reading {
	enum err (*fn)(void *ctx, const struct lab_event *event);
	void *ctx;
	struct lab_file_end *end;
	struct arena arena; /* of the event that is told */
	struct buf text;    /* what was read and is not told */
	size_t told;        /* so much of it was */
	size_t looked;      /* so much has no newline beyond `told` */
	int64_t at;         /* place of the first byte of `text` in the file */
	int64_t lines;      /* that were there, blank ones too */
	bool is_too_long;   /* the line whose end is looked for */
};

static bool is_blank(struct str line)
{
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r') return false;
	return true;
}

static void count_bad(struct reading *r)
{
	if (r->end->bad_lines++ == 0) r->end->first_bad = r->lines;
}

/* A line that is right, of whatever type. Ours are finished only with their newline. */
static enum err take_line(struct reading *r, struct str line, bool is_finished, bool *is_good)
{
	struct lab_event event;
	enum err e = OK, read = lab_line_read(&r->arena, line, &event, NULL);
	*is_good = (read == OK || read == ERR_UNKNOWN_TYPE) && (is_finished || event.seq == 0);
	if (*is_good) {
		r->end->lines++;
		if (event.seq > 0) r->end->last_seq = event.seq;
	}
	if (*is_good && read == OK) e = r->fn(r->ctx, &event);
	arena_clear(&r->arena);
	return e;
}

/* Blank ones belong to the good line before them, if it is one. */
static void pass_blank(struct reading *r, int64_t begin, int64_t end)
{
	if (r->end->good_bytes == begin) r->end->good_bytes = end;
}

static enum err take_finished(struct reading *r, size_t n)
{
	struct str line = str_n(r->text.p + r->told, n);
	int64_t begin = r->at + (int64_t)r->told, end = begin + (int64_t)n + 1;
	bool is_good = false, is_too_long = r->is_too_long;
	enum err e = OK;
	r->lines++;
	r->told += n + 1;
	r->is_too_long = false;
	if (!is_too_long && is_blank(line)) {
		pass_blank(r, begin, end);
		return OK;
	}
	if (!is_too_long) e = take_line(r, line, true, &is_good);
	if (is_good) r->end->good_bytes = end;
	else count_bad(r);
	return e;
}

/* Of a line beyond the limit nothing is kept but that it is one. */
static void forget_told(struct reading *r)
{
	buf_drop(&r->text, r->told);
	r->at += (int64_t)r->told;
	r->looked -= r->told;
	r->told = 0;
	if (r->text.n <= LAB_LINE_MAX && !r->is_too_long) return;
	r->is_too_long = true;
	r->at += (int64_t)r->text.n;
	buf_clear(&r->text);
	r->looked = 0;
}

static enum err take_lines(struct reading *r)
{
	enum err e = OK;
	while (e == OK) {
		const char *nl = memchr(r->text.p + r->looked, '\n', r->text.n - r->looked);
		if (nl == NULL) break;
		r->looked = (size_t)(nl - r->text.p) + 1;
		e = take_finished(r, r->looked - 1 - r->told);
	}
	if (e != OK) return e;
	r->looked = r->text.n;
	forget_told(r);
	return OK;
}

/* What stands behind the last newline. */
static enum err take_rest(struct reading *r)
{
	struct str rest = buf_str(&r->text);
	int64_t size = r->at + (int64_t)rest.n;
	bool is_good = false;
	enum err e = OK;
	if (!r->is_too_long && is_blank(rest)) pass_blank(r, r->at, size);
	else if (!r->is_too_long) e = take_line(r, rest, false, &is_good);
	if (is_good) r->end->good_bytes = size;
	r->end->torn_bytes = size - r->end->good_bytes;
	return e;
}

static enum err read_all(struct reading *r, int fd, const char *path, struct errinfo *info)
{
	enum err e = OK;
	for (ssize_t n = 1; e == OK && n != 0;) {
		buf_reserve(&r->text, PIECE_BYTES);
		n = read(fd, r->text.p + r->text.n, PIECE_BYTES);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return err_set(info, ERR_IO, "%.150s cannot be read: %s", path, strerror(errno));
		r->text.n += (size_t)n;
		e = n > 0 ? take_lines(r) : take_rest(r);
	}
	return e;
}

enum err lab_file_read(const char *path, int64_t from, enum err (*fn)(void *ctx, const struct lab_event *event),
		       void *ctx, struct lab_file_end *end, struct errinfo *info)
{
	struct reading r = {.fn = fn, .ctx = ctx, .end = end, .at = from, .text = BUF_INIT(BUF_NO_LIMIT)};
	*end = (struct lab_file_end){.good_bytes = from};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(info, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%.150s cannot be read: %s", path,
			       strerror(errno));
	enum err e = OK;
	if (lseek(fd, (off_t)from, SEEK_SET) < 0)
		e = err_set(info, ERR_IO, "%.150s cannot be read: %s", path, strerror(errno));
	if (e == OK) e = read_all(&r, fd, path, info);
	buf_release(&r.text);
	arena_clear(&r.arena);
	close(fd);
	return e;
}
