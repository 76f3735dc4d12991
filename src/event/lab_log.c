/* The writer of event files.
 *
 * The loop encodes a line into `line`, its own, and under the lock only copies it behind the others in `queue`. One queue
 * for all files: its bytes one after the other, and a list of spans that says whose they are; lines of one file that
 * follow each other are one span. The thread swaps the queue for an empty one, so neither waits for the other for longer
 * than that, whatever the number of files.
 *
 * The thread strings a batch's spans together by file and gives each file its own with one writev. Files it opens when it
 * has something for them, and keeps OPEN_MAX open, those used last. What was written and is not synced is on a list; when
 * the oldest of it is syncMs old all of it is synced in one round. Few files are synced one by one and then the
 * directories in which there are new ones; with many, one syncfs for each file system costs less than a flush of the disk
 * for each file.
 *
 * A batch that meets an error stays as it is, with what is left of each span, and the thread waits to be told to try
 * again; meanwhile lines gather in the queue. Half a line in a file is completed by the next try, or is the torn end that
 * the next run finds. */
#include "event/lab_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define MAX_BYTES ((size_t)256 << 20) /* of lab_writer_options.max_bytes */
#define KEEP_BYTES ((size_t)1 << 20)  /* memory kept after a burst */
#define OPEN_MAX 256                  /* files open at a time */
#define SYNC_EACH_MAX 16              /* files that are synced one by one */
#define GATHER_MS 5                   /* lines of one step come together before they are written */
#define GATHER_BYTES ((size_t)256 << 10)
#define SPANS_MAX 64 /* in one writev */
#define NO_SPAN SIZE_MAX

struct span {
	struct lab_log *log;
	size_t begin, end; /* in the queue's bytes */
	size_t next;       /* of the same file in this batch */
};

struct queue {
	struct buf bytes;
	struct span *spans;
	size_t n, cap;
};

struct lab_log {
	struct lab_writer *writer;
	char *path;
	/* the loop's */
	char *experiment_id; /* NULL none */
	enum redaction redaction;
	int64_t next_seq, bytes;
	LIST_ENTRY(lab_log) link; /* under the writer's lock */
	/* the thread's */
	int fd; /* -1 closed */
	bool is_new, is_closed, in_batch, is_unsynced;
	size_t first, last; /* its spans in the batch */
	TAILQ_ENTRY(lab_log) open_link;
	STAILQ_ENTRY(lab_log) batch_link, unsynced_link;
};

struct lab_writer {
	struct lab_writer_options options;
	struct buf line; /* the loop's */
	pthread_t thread;
	_Atomic size_t pending; /* bytes in the queue and the batch */

	/* the thread's */
	struct queue batch;
	STAILQ_HEAD(, lab_log) in_batch, unsynced;
	TAILQ_HEAD(, lab_log) open; /* the one used last is last */
	size_t nopen, nunsynced;
	int64_t oldest_ms; /* boot time of the oldest line that is not synced */
	int64_t taken;     /* the number of the last line of the batch */

	pthread_mutex_t lock; /* what follows */
	pthread_cond_t wake, changed;
	struct queue queue;
	size_t wake_at;                  /* bytes in the queue at which the thread wants to be woken */
	int64_t queue_since_ms;          /* boot time of its first line */
	int64_t handed, written, synced; /* numbers of lines and closings */
	bool hurry, closing;
	bool is_urged;   /* somebody waits for `written` */
	bool is_stopped; /* by `error`, until somebody says to try again */
	bool is_overrun; /* lines were lost, none is taken any more */
	bool is_unsure;  /* a sync failed: nothing is written any more */
	enum err error;
	struct errinfo info;
	LIST_HEAD(, lab_log) logs;
};

/* ---- the queue --------------------------------------------------------------------------------------------------- */

static void queue_add(struct queue *q, struct lab_log *log, struct str bytes)
{
	size_t begin = q->bytes.n;
	buf_add_str(&q->bytes, bytes);
	if (q->n > 0 && q->spans[q->n - 1].log == log && bytes.n > 0) {
		q->spans[q->n - 1].end = q->bytes.n;
		return;
	}
	if (q->n == q->cap) {
		q->cap = MAX(q->cap * 2, (size_t)64);
		q->spans = xrealloc(q->spans, xmul(q->cap, sizeof *q->spans));
	}
	q->spans[q->n++] = (struct span){log, begin, q->bytes.n, NO_SPAN};
}

static void queue_release(struct queue *q)
{
	buf_release(&q->bytes);
	free(q->spans);
	*q = (struct queue){.bytes = BUF_INIT(BUF_NO_LIMIT)};
}

static void queue_clear(struct queue *q)
{
	buf_clear(&q->bytes);
	q->n = 0;
}

/* When there is nothing to do; in between, a burst would pay for its memory again and again. */
static void queue_trim(struct queue *q)
{
	if (q->n == 0 && q->bytes.cap > KEEP_BYTES) queue_release(q);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static enum err file_error(struct errinfo *info, const char *what, const char *path)
{
	enum err e = os_has_no_room(errno)                                 ? ERR_STORAGE_FULL
		     : errno == EROFS || errno == EACCES || errno == EPERM ? ERR_READ_ONLY
									   : ERR_IO;
	return err_set(info, e, "%.150s cannot be %s: %s", path, what, strerror(errno));
}

static void close_file(struct lab_writer *w, struct lab_log *l)
{
	if (l->fd < 0) return;
	close(l->fd);
	l->fd = -1;
	TAILQ_REMOVE(&w->open, l, open_link);
	w->nopen--;
}

/* open(2) of what is there, in place of files that were not used for longest when the process may open no more. */
static int open_existing(struct lab_writer *w, const char *path, int flags)
{
	int fd;
	while ((fd = open(path, flags | O_CLOEXEC)) < 0 && (errno == EMFILE || errno == ENFILE) && w->nopen > 0)
		close_file(w, TAILQ_FIRST(&w->open));
	return fd;
}

static enum err open_file(struct lab_writer *w, struct lab_log *l, struct errinfo *info)
{
	if (l->fd >= 0) {
		TAILQ_REMOVE(&w->open, l, open_link);
		TAILQ_INSERT_TAIL(&w->open, l, open_link);
		return OK;
	}
	if (w->nopen == OPEN_MAX) close_file(w, TAILQ_FIRST(&w->open));
	l->fd = open_existing(w, l->path, O_WRONLY | O_APPEND | O_NOFOLLOW);
	if (l->fd < 0) return file_error(info, "opened", l->path);
	TAILQ_INSERT_TAIL(&w->open, l, open_link);
	w->nopen++;
	return OK;
}

static void log_free(struct lab_log *l)
{
	free(l->path);
	free(l->experiment_id);
	free(l);
}

/* After its last line is on disk. */
static void forget_closed(struct lab_writer *w, struct lab_log *l)
{
	if (!l->is_closed || l->in_batch || l->is_unsynced) return;
	close_file(w, l);
	pthread_mutex_lock(&w->lock);
	LIST_REMOVE(l, link);
	pthread_mutex_unlock(&w->lock);
	log_free(l);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Each file's spans become a string, in the order in which they came. */
static void sort_batch(struct lab_writer *w)
{
	for (size_t i = 0; i < w->batch.n; i++) {
		struct lab_log *l = w->batch.spans[i].log;
		if (l->in_batch) {
			w->batch.spans[l->last].next = i;
		} else {
			l->first = i;
			l->in_batch = true;
			STAILQ_INSERT_TAIL(&w->in_batch, l, batch_link);
		}
		l->last = i;
		if (w->batch.spans[i].begin == w->batch.spans[i].end) l->is_closed = true;
	}
}

/* Passes over what was written. */
static void advance(struct lab_writer *w, struct lab_log *l, size_t n)
{
	atomic_fetch_sub(&w->pending, n);
	while (l->first != NO_SPAN) {
		struct span *s = &w->batch.spans[l->first];
		size_t part = MIN(n, s->end - s->begin);
		s->begin += part;
		n -= part;
		if (s->begin < s->end) return;
		l->first = s->next;
	}
}

static void note_unsynced(struct lab_writer *w, struct lab_log *l)
{
	if (l->is_unsynced) return;
	l->is_unsynced = true;
	w->nunsynced++;
	STAILQ_INSERT_TAIL(&w->unsynced, l, unsynced_link);
}

static enum err write_file(struct lab_writer *w, struct lab_log *l, struct errinfo *info)
{
	struct iovec part[SPANS_MAX];
	advance(w, l, 0);
	while (l->first != NO_SPAN) {
		int n = 0;
		for (size_t i = l->first; i != NO_SPAN && n < SPANS_MAX; i = w->batch.spans[i].next) {
			const struct span *s = &w->batch.spans[i];
			if (s->begin < s->end)
				part[n++] = (struct iovec){w->batch.bytes.p + s->begin, s->end - s->begin};
		}
		enum err e = open_file(w, l, info);
		if (e != OK) return e;
		ssize_t done = writev(l->fd, part, n);
		if (done < 0 && errno == EINTR) continue;
		if (done == 0) errno = ENOSPC;
		if (done <= 0) return file_error(info, "written", l->path);
		note_unsynced(w, l);
		advance(w, l, (size_t)done);
	}
	return OK;
}

static enum err write_batch(struct lab_writer *w, struct errinfo *info)
{
	for (struct lab_log *l; (l = STAILQ_FIRST(&w->in_batch)) != NULL;) {
		enum err e = write_file(w, l, info);
		if (e != OK) return e;
		STAILQ_REMOVE_HEAD(&w->in_batch, batch_link);
		l->in_batch = false;
		forget_closed(w, l);
	}
	queue_clear(&w->batch);
	return OK;
}

/* ---- syncing ----------------------------------------------------------------------------------------------------- */

/* The directory of a path: the length of it, 0 is ".". */
static size_t dir_len(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash == NULL ? 0 : (size_t)(slash - path) + (slash == path);
}

static enum err sync_dir(struct lab_writer *w, const char *path, struct errinfo *info)
{
	char *dir = dir_len(path) > 0 ? str_dup(str_n(path, dir_len(path))) : xstrdup(".");
	int fd = open_existing(w, dir, O_RDONLY | O_DIRECTORY);
	enum err e = fd >= 0 && fsync(fd) == 0 ? OK : file_error(info, "synced", dir);
	if (fd >= 0) close(fd);
	free(dir);
	return e;
}

static bool same_dir(const char *a, const char *b) { return dir_len(a) == dir_len(b) && memcmp(a, b, dir_len(a)) == 0; }

static enum err sync_each(struct lab_writer *w, struct errinfo *info)
{
	const char *last = NULL; /* a path in the directory that was synced last */
	struct lab_log *l;
	enum err e = OK;
	STAILQ_FOREACH (l, &w->unsynced, unsynced_link) {
		if ((e = open_file(w, l, info)) != OK) return e;
		if (fdatasync(l->fd) != 0) return file_error(info, "synced", l->path);
	}
	STAILQ_FOREACH (l, &w->unsynced, unsynced_link) {
		if (!l->is_new || (last != NULL && same_dir(last, l->path))) continue;
		if ((e = sync_dir(w, l->path, info)) != OK) return e;
		last = l->path;
	}
	return OK;
}

/* Every file system on which there are some of them, mostly one. */
static enum err sync_all(struct lab_writer *w, struct errinfo *info)
{
	dev_t done[8];
	size_t ndone = 0;
	struct lab_log *l;
	STAILQ_FOREACH (l, &w->unsynced, unsynced_link) {
		struct stat st;
		size_t i = 0;
		if (l->fd < 0 ? stat(l->path, &st) != 0 : fstat(l->fd, &st) != 0)
			return file_error(info, "synced", l->path);
		while (i < ndone && done[i] != st.st_dev) i++;
		if (i < ndone) continue;
		enum err e = open_file(w, l, info);
		if (e != OK) return e;
		if (syncfs(l->fd) != 0) return file_error(info, "synced", l->path);
		if (ndone < ARRAY_LEN(done)) done[ndone++] = st.st_dev;
	}
	return OK;
}

static enum err sync_round(struct lab_writer *w, struct errinfo *info)
{
	enum err e = w->nunsynced > SYNC_EACH_MAX ? sync_all(w, info) : sync_each(w, info);
	if (e != OK) return e;
	for (struct lab_log *l; (l = STAILQ_FIRST(&w->unsynced)) != NULL;) {
		STAILQ_REMOVE_HEAD(&w->unsynced, unsynced_link);
		l->is_unsynced = l->is_new = false;
		forget_closed(w, l);
	}
	w->nunsynced = 0;
	return OK;
}

/* ---- the thread -------------------------------------------------------------------------------------------------- */

static void wait_until(struct lab_writer *w, int64_t boot_ms)
{
	struct timespec t;
	int64_t ms = MAX(boot_ms - clock_boot_ms(), (int64_t)0);
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	pthread_cond_timedwait(&w->wake, &w->lock, &t);
}

static int64_t sync_at(const struct lab_writer *w)
{
	return w->nunsynced == 0 ? INT64_MAX : w->oldest_ms + w->options.sync_ms;
}

static bool wants_sync(const struct lab_writer *w)
{
	return w->nunsynced > 0 && (w->hurry || w->closing || clock_boot_ms() >= sync_at(w));
}

static bool has_work(const struct lab_writer *w) { return w->queue.n > 0 || w->batch.n > 0 || wants_sync(w); }

/* Until there is something to write or to sync, or it is the end. */
static void wait_for_work(struct lab_writer *w)
{
	while (!w->closing && (w->is_stopped || !has_work(w))) {
		w->wake_at = w->is_stopped ? SIZE_MAX : 0;
		queue_trim(&w->queue);
		queue_trim(&w->batch);
		if (w->is_stopped || w->nunsynced == 0) pthread_cond_wait(&w->wake, &w->lock);
		else wait_until(w, sync_at(w));
	}
	if (w->options.sync_ms > 0 && !w->hurry && !w->is_urged && !w->closing && w->queue.bytes.n < GATHER_BYTES) {
		w->wake_at = GATHER_BYTES;
		wait_until(w, clock_boot_ms() + GATHER_MS);
	}
	w->wake_at = SIZE_MAX;
}

static void take_queue(struct lab_writer *w)
{
	if (w->batch.n > 0 || w->queue.n == 0) return; /* the rest of the last one first */
	struct queue empty = w->batch;
	w->batch = w->queue;
	w->queue = empty;
	w->taken = w->handed;
	if (w->nunsynced == 0) w->oldest_ms = w->queue_since_ms;
	sort_batch(w);
}

/* The first error is the one that is told; with the lock held. */
static void fail(struct lab_writer *w, enum err e, const struct errinfo *info)
{
	if (w->error == OK) {
		w->error = e;
		w->info = *info;
	}
	pthread_cond_broadcast(&w->changed);
	if (w->options.failed == NULL) return;
	pthread_mutex_unlock(&w->lock);
	w->options.failed(w->options.ctx, e, info);
	pthread_mutex_lock(&w->lock);
}

static const struct errinfo overrun = {.err = ERR_OVERLOADED, .text = "the disk is too slow for the events"};

/* An error that may be gone; lost lines stay lost. */
static void forgive(struct lab_writer *w)
{
	if (w->is_unsure) return;
	w->error = w->is_overrun ? overrun.err : OK;
	w->info = overrun;
}

/* Everything of the batch is in its files; with the lock held. */
static void note_written(struct lab_writer *w)
{
	bool is_urged = w->is_urged;
	w->written = w->taken;
	w->is_urged = false;
	if (!is_urged || w->options.written == NULL) return;
	pthread_mutex_unlock(&w->lock);
	w->options.written(w->options.ctx);
	pthread_mutex_lock(&w->lock);
}

/* One round: what has come is written, and synced when it is time. */
static void work(struct lab_writer *w)
{
	struct errinfo info = {0};
	take_queue(w);
	pthread_mutex_unlock(&w->lock);
	enum err e = write_batch(w, &info);
	pthread_mutex_lock(&w->lock);
	if (e == OK) note_written(w);
	if (e == OK && wants_sync(w)) {
		pthread_mutex_unlock(&w->lock);
		e = sync_round(w, &info);
		pthread_mutex_lock(&w->lock);
		w->is_unsure = e != OK;
	}
	w->is_stopped = e != OK;
	if (e != OK) {
		fail(w, e, &info);
	} else if (w->nunsynced == 0 && w->synced != w->taken) {
		w->synced = w->taken;
		pthread_cond_broadcast(&w->changed);
	}
}

static void *run(void *ctx)
{
	struct lab_writer *w = ctx;
	pthread_mutex_lock(&w->lock);
	for (bool ends = false; !ends;) {
		wait_for_work(w);
		ends = w->closing; /* nothing comes any more: all there is is tried once more */
		if (!w->is_unsure) work(w);
		ends = ends && (w->is_stopped || w->queue.n == 0);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* ---- the writer -------------------------------------------------------------------------------------------------- */

struct lab_writer *lab_writer_new(const struct lab_writer_options *o)
{
	struct lab_writer *w = xcalloc(1, sizeof *w);
	pthread_condattr_t attr;
	w->options = *o;
	if (w->options.max_bytes == 0) w->options.max_bytes = MAX_BYTES;
	w->line = w->batch.bytes = w->queue.bytes = BUF_INIT(BUF_NO_LIMIT);
	w->wake_at = SIZE_MAX;
	STAILQ_INIT(&w->in_batch);
	STAILQ_INIT(&w->unsynced);
	TAILQ_INIT(&w->open);
	LIST_INIT(&w->logs);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, &attr);
	pthread_cond_init(&w->changed, NULL);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&w->thread, NULL, run, w) != 0) die(71, "no thread for the event files");
	return w;
}

enum err lab_writer_free(struct lab_writer *w, struct errinfo *info)
{
	pthread_mutex_lock(&w->lock);
	w->closing = true;
	if (w->is_stopped) forgive(w); /* what the last try says counts */
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	enum err e = w->error;
	if (e != OK && info != NULL) *info = w->info;
	for (struct lab_log *l; (l = LIST_FIRST(&w->logs)) != NULL;) {
		LIST_REMOVE(l, link);
		close_file(w, l);
		log_free(l);
	}
	pthread_cond_destroy(&w->wake);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	queue_release(&w->batch);
	queue_release(&w->queue);
	buf_release(&w->line);
	free(w);
	return e;
}

size_t lab_writer_pending(const struct lab_writer *w) { return atomic_load(&w->pending); }

int64_t lab_writer_mark(struct lab_writer *w)
{
	pthread_mutex_lock(&w->lock);
	int64_t mark = w->handed;
	pthread_mutex_unlock(&w->lock);
	return mark;
}

bool lab_writer_reached(struct lab_writer *w, int64_t mark)
{
	pthread_mutex_lock(&w->lock);
	bool is_reached = w->written >= mark && !w->is_overrun; /* lost lines have no number */
	w->is_urged |= !is_reached;
	if (!is_reached) pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return is_reached;
}

enum err lab_writer_flush(struct lab_writer *w, struct errinfo *info)
{
	pthread_mutex_lock(&w->lock);
	int64_t all = w->handed;
	w->hurry = true;
	pthread_cond_signal(&w->wake);
	while (w->synced < all && !w->is_stopped) pthread_cond_wait(&w->changed, &w->lock);
	w->hurry = false;
	enum err e = w->error;
	if (e != OK && info != NULL) *info = w->info;
	pthread_mutex_unlock(&w->lock);
	return e;
}

void lab_writer_retry(struct lab_writer *w)
{
	pthread_mutex_lock(&w->lock);
	if (w->is_stopped && !w->is_unsure) {
		w->is_stopped = false;
		forgive(w);
		pthread_cond_signal(&w->wake);
	}
	pthread_mutex_unlock(&w->lock);
}

/* ---- a file ------------------------------------------------------------------------------------------------------ */

static bool has_line(int fd, int64_t size)
{
	char piece[4096];
	for (int64_t at = 0; at < size; at += (int64_t)sizeof piece) {
		ssize_t n = pread(fd, piece, sizeof piece, (off_t)at);
		if (n <= 0) return true; /* nobody knows */
		if (memchr(piece, '\n', (size_t)n) != NULL) return true;
	}
	return false;
}

static bool copy_behind(int from, int64_t at, int to)
{
	char piece[65536];
	ssize_t n;
	while ((n = pread(from, piece, sizeof piece, (off_t)at)) > 0) {
		if (write(to, piece, (size_t)n) != n) return false;
		at += n;
	}
	return n == 0;
}

static enum err move_torn(int fd, const struct lab_log_options *o, struct errinfo *info)
{
	struct buf path = BUF_INIT(BUF_NO_LIMIT);
	enum err e = OK;
	buf_addf(&path, "%s.torn", o->path);
	int torn = open(path.p, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* On a full disk the torn end is given up: it holds no whole line. */
	if (torn < 0 || (!copy_behind(fd, o->good_bytes, torn) && !os_has_no_room(errno)))
		e = file_error(info, "written", path.p);
	else if (ftruncate(fd, (off_t)o->good_bytes) != 0) e = file_error(info, "repaired", o->path);
	if (torn >= 0) close(torn);
	buf_release(&path);
	return e;
}

/* Looks at a file that is there. */
static enum err check_file(int fd, const struct lab_log_options *o, struct errinfo *info)
{
	struct stat st;
	if (fstat(fd, &st) != 0) return file_error(info, "opened", o->path);
	if (st.st_size < o->good_bytes)
		return err_set(info, ERR_CORRUPT, "%.150s has %lld bytes, and had %lld", o->path, (long long)st.st_size,
			       (long long)o->good_bytes);
	if (o->next_seq == 1 && has_line(fd, st.st_size))
		return err_set(info, ERR_EXISTS, "%.150s is there already", o->path);
	return st.st_size > o->good_bytes ? move_torn(fd, o, info) : OK;
}

enum err lab_log_open(struct lab_writer *w, const struct lab_log_options *o, struct lab_log **out, struct errinfo *info)
{
	int fd = -1;
	enum err e = OK;
	*out = NULL;
	errno = EEXIST;
	if (o->next_seq == 1) fd = open(o->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool is_new = fd >= 0;
	if (fd < 0 && errno == EEXIST) fd = open(o->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) return file_error(info, "opened", o->path);
	if (!is_new) e = check_file(fd, o, info);
	close(fd); /* the thread opens what it writes */
	if (e != OK) return e;
	struct lab_log *l = xcalloc(1, sizeof *l);
	*l = (struct lab_log){
		.writer = w, .path = xstrdup(o->path), .redaction = o->redaction, .fd = -1, .is_new = is_new};
	l->experiment_id = o->experiment_id.p != NULL ? str_dup(o->experiment_id) : NULL;
	l->next_seq = o->next_seq;
	l->bytes = o->good_bytes;
	l->first = l->last = NO_SPAN;
	pthread_mutex_lock(&w->lock);
	LIST_INSERT_HEAD(&w->logs, l, link);
	pthread_mutex_unlock(&w->lock);
	*out = l;
	return OK;
}

/* With the lock held. True: wake the thread. */
static bool hand_over(struct lab_writer *w, struct lab_log *l, struct str bytes)
{
	if (w->queue.n == 0) w->queue_since_ms = clock_boot_ms();
	queue_add(&w->queue, l, bytes);
	atomic_fetch_add(&w->pending, bytes.n);
	w->handed++;
	if (w->queue.bytes.n < w->wake_at) return false;
	w->wake_at = SIZE_MAX;
	return true;
}

static int64_t wall_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void fill_in(const struct lab_log *l, struct lab_event *e)
{
	const struct lab_row *row = &lab_rows[e->type];
	if (e->at_us == 0) e->at_us = wall_us();
	e->seq = l->next_seq;
	e->experiment_id = str_c(l->experiment_id);
	for (size_t i = 0; i < row->nfields; i++)
		if (e->v[i].is == LV_ABSENT && strcmp(row->fields[i].name, "experiment_id") == 0)
			e->v[i] = lv_str(e->experiment_id);
}

int64_t lab_log_add(struct lab_log *l, struct lab_event *e)
{
	struct lab_writer *w = l->writer;
	bool wake = false;
	fill_in(l, e);
	if (w->line.cap > KEEP_BYTES) buf_release(&w->line);
	buf_clear(&w->line);
	lab_line_write(&w->line, e, l->redaction);
	l->next_seq++;
	l->bytes += (int64_t)w->line.n;
	pthread_mutex_lock(&w->lock);
	if (w->is_overrun || w->line.n > w->options.max_bytes - MIN(w->options.max_bytes, lab_writer_pending(w))) {
		if (!w->is_overrun) {
			w->is_overrun = true;
			fail(w, overrun.err, &overrun);
		}
	} else {
		wake = hand_over(w, l, buf_str(&w->line));
	}
	pthread_mutex_unlock(&w->lock);
	if (wake) pthread_cond_signal(&w->wake); /* after the lock, or the thread would wake only to wait for it */
	return e->seq;
}

int64_t lab_log_bytes(const struct lab_log *l) { return l->bytes; }

void lab_log_close(struct lab_log *l)
{
	if (l == NULL) return;
	struct lab_writer *w = l->writer;
	pthread_mutex_lock(&w->lock);
	bool wake = hand_over(w, l, STR(""));
	pthread_mutex_unlock(&w->lock);
	if (wake) pthread_cond_signal(&w->wake);
}
