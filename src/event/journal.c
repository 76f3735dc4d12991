/* The journal's writer.
 *
 * Who tells an event formats its fields on his own thread, and under the lock only appends them to `queue`: that is all
 * journal_event ever waits for. The thread swaps the queue for an empty one and writes it out line by line, giving each
 * line its number as it goes to disk; so the numbers in the files have no holes, also when lines were dropped, which
 * journal.dropped counts instead.
 *
 * One line is one write(2). If the disk takes only part of it (full, or a limit), the file is cut back to where the
 * line began, so that no half line is ever followed by another. A line that could not be written is dropped, never
 * tried again: the journal must not hold back the daemon, nor grow in memory. While lines have been dropped the thread
 * wakes once a second, sees whether the disk takes the journal.dropped line now, and goes on.
 *
 * What a power cut may leave: the last lines missing, torn, or full of NUL bytes. On start everything after the last
 * right line of current.jsonl is moved to current.jsonl.torn. Damage further up stays where it is; the reader
 * skips it. */
#include "event/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "event/files.h"
#include "event/line.h"

#define QUEUE_MAX ((size_t)4 << 20)   /* told and not yet written; beyond it events are dropped */
#define QUEUE_KEEP ((size_t)64 << 10) /* memory kept after a burst */
#define TORN_MAX ((off_t)1 << 20)     /* current.jsonl.torn starts anew beyond it */
#define RETRY_MS 1000
#define GATHER_MS 5

/* In front of each tail in the queue. */
struct entry {
	int64_t wall_ms;
	uint32_t tail_bytes;
};

struct tail {
	void (*fn)(void *ctx, int64_t n, struct str line);
	void *ctx;
};

struct journal {
	int64_t max_bytes, max_files;
	int dirfd;
	int fd;        /* current.jsonl; -1 when it must be opened again */
	int64_t size;  /* of current.jsonl */
	int64_t first; /* its first n; 0 when it is empty */
	int64_t next_n;
	struct buf line;
	struct tail tail;          /* as it was when the thread last looked */
	int64_t dropped_unwritten; /* thread: lines the disk did not take, not yet told in the journal */
	const char *dropped_why;
	pthread_t thread;

	pthread_mutex_t lock; /* what follows */
	pthread_cond_t wake, drained;
	struct buf queue;
	struct tail new_tail;
	int64_t dropped; /* events that did not fit the queue */
	bool is_idle;    /* the thread waits */
	int hurry;       /* flushes that wait: do not gather */
	bool closing;
};

/* ---- files ------------------------------------------------------------------------------------------------------- */

static enum err file_error(struct errinfo *info, const char *what, const char *name)
{
	enum err e = os_has_no_room(errno)                                 ? ERR_STORAGE_FULL
		     : errno == EROFS || errno == EACCES || errno == EPERM ? ERR_READ_ONLY
									   : ERR_IO;
	return err_set(info, e, "the journal's %.100s cannot be %s: %s", name, what, strerror(errno));
}

static bool open_current(struct journal *j)
{
	struct stat st;
	if (j->fd >= 0) return true;
	j->fd = openat(j->dirfd, JOURNAL_CURRENT, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0 || fstat(j->fd, &st) != 0) return false;
	j->size = (int64_t)st.st_size;
	return true;
}

static void remove_oldest(struct journal *j)
{
	struct journal_files files;
	if (!journal_files_list(j->dirfd, &files)) return;
	for (size_t i = 0; i < files.n && (int64_t)(files.n - i) >= j->max_files; i++) {
		char name[JOURNAL_NAME_MAX];
		journal_file_name(files.first[i], name);
		unlinkat(j->dirfd, name, 0);
	}
	journal_files_release(&files);
}

/* The current file gets its final name when `more` bytes would not fit any more. */
static bool rotate(struct journal *j, int64_t more)
{
	char name[JOURNAL_NAME_MAX];
	if (j->size == 0 || j->size + more <= j->max_bytes) return true;
	journal_file_name(j->first, name);
	fdatasync(j->fd);
	if (renameat(j->dirfd, JOURNAL_CURRENT, j->dirfd, name) != 0) return false;
	close(j->fd);
	j->fd = -1;
	j->first = 0;
	fsync(j->dirfd);
	remove_oldest(j);
	return open_current(j);
}

/* All of the line or nothing of it. */
static bool append(struct journal *j)
{
	int64_t n = (int64_t)j->line.n;
	if (!open_current(j) || !rotate(j, n)) return false;
	ssize_t done = write(j->fd, j->line.p, j->line.n);
	if (done == (ssize_t)n) {
		j->size += n;
		return true;
	}
	int why = done < 0 ? errno : ENOSPC;
	if (done > 0 && ftruncate(j->fd, (off_t)j->size) != 0) {
		close(j->fd); /* the half line stays and spoils the next one; the reader skips both */
		j->fd = -1;
	}
	errno = why;
	return false;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static bool write_line(struct journal *j, int64_t wall_ms, struct str tail)
{
	buf_clear(&j->line);
	line_write(&j->line, wall_ms, j->next_n, tail);
	if (!append(j)) {
		j->dropped_why = os_has_no_room(errno) ? "disk full" : "disk error";
		return false;
	}
	if (j->first == 0) j->first = j->next_n;
	if (j->tail.fn != NULL) j->tail.fn(j->tail.ctx, j->next_n, str_n(j->line.p, j->line.n - 1));
	j->next_n++;
	return true;
}

/* Tells what was dropped, if the disk takes it now. False: there is still something to tell. */
static bool write_dropped(struct journal *j)
{
	if (j->dropped_unwritten == 0) return true;
	struct buf tail = BUF_INIT(LINE_MAX_BYTES);
	const struct ev_field fields[] = {EVI("count", j->dropped_unwritten), EVS("reason", str_c(j->dropped_why))};
	line_write_tail(&tail, "journal.dropped", fields, ARRAY_LEN(fields));
	if (write_line(j, clock_wall_ms(), buf_str(&tail))) j->dropped_unwritten = 0;
	buf_release(&tail);
	return j->dropped_unwritten == 0;
}

static void write_queue(struct journal *j, const struct buf *q)
{
	for (size_t at = 0; at < q->n;) {
		struct entry e;
		memcpy(&e, q->p + at, sizeof e);
		at += sizeof e;
		if (!write_dropped(j) || !write_line(j, e.wall_ms, str_n(q->p + at, e.tail_bytes)))
			j->dropped_unwritten++;
		at += e.tail_bytes;
	}
}

static struct timespec in_ms(int64_t ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

/* Lets the lines of one step come together: a request's come in twos and threes, and each wake-up of this thread would
 * cost the loop more than writing the line costs here. */
static void gather(struct journal *j)
{
	struct timespec until = in_ms(GATHER_MS);
	if (!j->closing && j->hurry == 0) pthread_cond_timedwait(&j->wake, &j->lock, &until);
}

static void wait_for_work(struct journal *j)
{
	j->is_idle = true;
	pthread_cond_broadcast(&j->drained);
	if (j->dropped_unwritten == 0) {
		pthread_cond_wait(&j->wake, &j->lock);
	} else {
		struct timespec until = in_ms(RETRY_MS);
		pthread_cond_timedwait(&j->wake, &j->lock, &until);
	}
	j->is_idle = false;
}

static void *run(void *ctx)
{
	struct journal *j = ctx;
	struct buf q = BUF_INIT(QUEUE_MAX);
	bool retry = false;
	pthread_mutex_lock(&j->lock);
	while (!j->closing || j->queue.n > 0 || j->dropped > 0) {
		if (j->queue.n == 0 && j->dropped == 0 && !retry) {
			wait_for_work(j);
			retry = j->dropped_unwritten > 0;
			continue;
		}
		gather(j);
		struct buf full = j->queue;
		j->queue = q;
		q = full;
		if (j->dropped > 0) {
			j->dropped_unwritten += j->dropped;
			j->dropped_why = "too many at once";
		}
		j->dropped = 0;
		j->tail = j->new_tail;
		retry = false;
		pthread_mutex_unlock(&j->lock);
		write_queue(j, &q);
		(void)write_dropped(j);
		if (q.cap > QUEUE_KEEP) buf_release(&q);
		buf_clear(&q);
		pthread_mutex_lock(&j->lock);
	}
	j->is_idle = true;
	pthread_cond_broadcast(&j->drained);
	pthread_mutex_unlock(&j->lock);
	buf_release(&q);
	return NULL;
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

void journal_event_(struct journal *j, const char *type, const struct ev_field *fields, size_t n)
{
	if (j == NULL) return;
	struct buf b = BUF_INIT(LINE_MAX_BYTES);
	struct entry e = {.wall_ms = clock_wall_ms()};
	buf_add(&b, &e, sizeof e);
	line_write_tail(&b, type, fields, n);
	e.tail_bytes = (uint32_t)(b.n - sizeof e);
	memcpy(b.p, &e, sizeof e);
	pthread_mutex_lock(&j->lock);
	if (b.failed || b.n > j->queue.max - j->queue.n) j->dropped++;
	else buf_add(&j->queue, b.p, b.n);
	bool wake = j->is_idle;
	pthread_mutex_unlock(&j->lock);
	if (wake) pthread_cond_signal(&j->wake); /* after the lock, or the thread would wake only to wait for it */
	buf_release(&b);
}

void journal_flush(struct journal *j)
{
	if (j == NULL) return;
	pthread_mutex_lock(&j->lock);
	j->hurry++;
	while (j->queue.n > 0 || j->dropped > 0 || !j->is_idle) {
		pthread_cond_signal(&j->wake);
		pthread_cond_wait(&j->drained, &j->lock);
	}
	j->hurry--;
	pthread_mutex_unlock(&j->lock);
}

void journal_set_tail(struct journal *j, void (*fn)(void *ctx, int64_t n, struct str line), void *ctx)
{
	pthread_mutex_lock(&j->lock);
	j->new_tail = (struct tail){fn, ctx};
	pthread_mutex_unlock(&j->lock);
}

/* ---- start ------------------------------------------------------------------------------------------------------- */

static bool read_all(int fd, struct buf *out)
{
	char piece[65536];
	ssize_t n;
	while ((n = read(fd, piece, sizeof piece)) > 0)
		if (!buf_add(out, piece, (size_t)n)) return false;
	return n == 0;
}

/* How much of `text` is right: the end of the last right line, its n, and the n of the first right one. */
static size_t find_end(struct str text, int64_t *out_first, int64_t *out_last)
{
	size_t end = 0;
	*out_first = *out_last = 0;
	for (size_t at = 0; at < text.n;) {
		const char *nl = memchr(text.p + at, '\n', text.n - at);
		if (nl == NULL) break;
		int64_t n;
		struct str when, line = str_n(text.p + at, (size_t)(nl - text.p) - at);
		at += line.n + 1;
		if (!journal_check_line(line, &n, &when)) continue;
		if (*out_first == 0) *out_first = n;
		*out_last = MAX(*out_last, n);
		end = at;
	}
	return end;
}

static enum err keep_torn(struct journal *j, struct str torn, struct errinfo *info)
{
	enum err e = OK;
	int fd = openat(j->dirfd, JOURNAL_TORN, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0 && lseek(fd, 0, SEEK_END) > TORN_MAX && ftruncate(fd, 0) != 0) e = ERR_IO;
	/* On a full disk the torn end is given up: it holds no whole line. */
	if (fd < 0 || e != OK || (write(fd, torn.p, torn.n) != (ssize_t)torn.n && !os_has_no_room(errno)))
		e = file_error(info, "written", JOURNAL_TORN);
	if (fd >= 0) close(fd);
	return e;
}

/* The last n of the newest rotated file that has a right line. */
static enum err last_rotated_n(struct journal *j, int64_t *out, struct errinfo *info)
{
	struct journal_files files;
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	*out = 0;
	if (!journal_files_list(j->dirfd, &files)) return file_error(info, "listed", "directory");
	for (size_t i = files.n; i > 0 && *out == 0; i--) {
		char name[JOURNAL_NAME_MAX];
		int64_t first;
		journal_file_name(files.first[i - 1], name);
		int fd = openat(j->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		buf_clear(&text);
		if (fd >= 0 && read_all(fd, &text)) find_end(buf_str(&text), &first, out);
		if (fd >= 0) close(fd);
		*out = MAX(*out, files.first[i - 1]);
	}
	buf_release(&text);
	journal_files_release(&files);
	return OK;
}

/* Finds the place to go on from, and moves a torn end away. */
static enum err recover(struct journal *j, size_t *out_torn, struct errinfo *info)
{
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	int64_t last = 0;
	enum err e = OK;
	if (!open_current(j)) return file_error(info, "opened", JOURNAL_CURRENT);
	if (!read_all(j->fd, &text)) {
		e = file_error(info, "read", JOURNAL_CURRENT);
		goto out;
	}
	size_t end = find_end(buf_str(&text), &j->first, &last);
	*out_torn = text.n - end;
	if (*out_torn > 0) {
		e = keep_torn(j, str_n(text.p + end, *out_torn), info);
		if (e != OK) goto out;
		if (ftruncate(j->fd, (off_t)end) != 0) {
			e = file_error(info, "repaired", JOURNAL_CURRENT);
			goto out;
		}
		j->size = (int64_t)end;
	}
	if (last == 0) e = last_rotated_n(j, &last, info);
	j->next_n = last + 1;
out:
	buf_release(&text);
	return e;
}

static void journal_release(struct journal *j)
{
	if (j->fd >= 0) close(j->fd);
	if (j->dirfd >= 0) close(j->dirfd);
	buf_release(&j->line);
	buf_release(&j->queue);
	free(j);
}

enum err journal_open(const char *dir, const struct limits *limits, struct journal **out, struct errinfo *info)
{
	size_t torn = 0;
	struct journal *j = xcalloc(1, sizeof *j);
	enum err e = OK;
	pthread_condattr_t attr;
	*out = NULL;
	j->fd = -1;
	j->max_bytes = limits->journal_bytes;
	j->max_files = limits->journal_files;
	j->line = BUF_INIT(LINE_MAX_BYTES * 2);
	j->queue = BUF_INIT(QUEUE_MAX);
	if (mkdir(dir, 0700) != 0 && errno != EEXIST) e = file_error(info, "made", "directory");
	j->dirfd = e == OK ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (e == OK && j->dirfd < 0) e = file_error(info, "opened", "directory");
	if (e == OK) e = recover(j, &torn, info);
	if (e != OK) {
		journal_release(j);
		return e;
	}
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, &attr);
	pthread_cond_init(&j->drained, NULL);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&j->thread, NULL, run, j) != 0) die(71, "no thread for the journal");
	if (torn > 0) journal_event(j, "journal.repaired", EVI("bytes", torn));
	*out = j;
	return OK;
}

void journal_close(struct journal *j)
{
	if (j == NULL) return;
	pthread_mutex_lock(&j->lock);
	j->closing = true;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
	pthread_join(j->thread, NULL);
	if (j->fd >= 0) fdatasync(j->fd);
	pthread_cond_destroy(&j->wake);
	pthread_cond_destroy(&j->drained);
	pthread_mutex_destroy(&j->lock);
	journal_release(j);
}
