/* Who runs an experiment: the holder of a lock on its run.lock, and no file that could be left behind.
 *
 * Byte 0 of run.lock is locked by the run for as long as it lives; F_GETLK gives its pid without a race. Byte 1 is locked
 * for moments by whoever makes or removes the marks: a stale mark is only removed while byte 1 is held and byte 0 is
 * free, and a run that has byte 0 takes byte 1 before it makes its marks, so no mark of a run that just began is lost.
 *
 * These locks belong to a process and its file, and closing any descriptor of the file drops them all. So a process keeps
 * the files that it has locked in a list, and opens none of these again.
 *
 * A mark is a symbolic link to the experiment's directory: it is made at once or not at all. There is one in
 * OUTPUT/.running, and one in $XDG_RUNTIME_DIR/roost/experiments, through which those of other outputs are found. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "lab/place_priv.h"

#define LOCK_FILE "run.lock"
#define MARKS_HERE ".running"
#define LOOK_MS 20

enum { BYTE_RUN, BYTE_MARKS };

/* ---- the lock --------------------------------------------------------------------------------------------------- */

static struct held {
	dev_t dev;
	ino_t ino;
	int fd;
	struct held *next;
} * held;

static struct held *held_find(const struct stat *st)
{
	struct held *h = held;
	while (h != NULL && (h->dev != st->st_dev || h->ino != st->st_ino)) h = h->next;
	return h;
}

static void held_add(int fd, const struct stat *st)
{
	struct held *h = xcalloc(1, sizeof *h);
	*h = (struct held){st->st_dev, st->st_ino, fd, held};
	held = h;
}

static void held_remove(int fd)
{
	for (struct held **at = &held; *at != NULL; at = &(*at)->next) {
		struct held *h = *at;
		if (h->fd != fd) continue;
		*at = h->next;
		free(h);
		return;
	}
}

static bool lock_byte(int fd, int byte, int type, bool waits)
{
	struct flock f = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
	int r;
	do r = fcntl(fd, waits ? F_SETLKW : F_SETLK, &f);
	while (r != 0 && errno == EINTR);
	return r == 0;
}

/* Of another process; 0 nobody. */
static int holder(int fd)
{
	struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BYTE_RUN, .l_len = 1};
	return fcntl(fd, F_GETLK, &f) == 0 && f.l_type != F_UNLCK ? (int)f.l_pid : 0;
}

/* Opens run.lock unless this process holds it: then *out_self is true. -1: there is none, or it is no file. */
static int lock_open(const char *dir, int flags, bool *out_self)
{
	struct stat st;
	char *path = place_join(dir, LOCK_FILE);
	int fd = -1;
	*out_self = lstat(path, &st) == 0 && held_find(&st) != NULL;
	if (!*out_self) fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	free(path);
	return fd;
}

/* Has the directory been moved or removed since the file was opened? */
static bool is_still_there(const char *dir, const struct stat *opened)
{
	struct stat st;
	char *path = place_join(dir, LOCK_FILE);
	bool is_there = lstat(path, &st) == 0 && st.st_dev == opened->st_dev && st.st_ino == opened->st_ino;
	free(path);
	return is_there;
}

static enum err lock_take(const struct place *p, int fd, struct errinfo *info)
{
	struct stat st;
	char pid[24];
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return err_set(info, ERR_IO, "%.150s/" LOCK_FILE " is no file", p->dir);
	if (!lock_byte(fd, BYTE_RUN, F_WRLCK, false)) {
		if (errno != EACCES && errno != EAGAIN) return place_err("locked", p->dir, errno, info);
		return err_set(info, ERR_LOCKED, "%.100s is run by process %d", p->name, holder(fd));
	}
	if (!is_still_there(p->dir, &st)) return err_set(info, ERR_NOT_FOUND, "%.150s was removed", p->dir);
	snprintf(pid, sizeof pid, "%d\n", (int)getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, strlen(pid), 0) != (ssize_t)strlen(pid))
		return place_err("written to", p->dir, errno, info);
	held_add(fd, &st);
	return OK;
}

/* ---- marks ------------------------------------------------------------------------------------------------------ */

/* Where marks are: in the output that holds `dir`, or for all outputs. NULL: there is no such place. Free it. */
static char *marks_here(const char *output) { return place_join(output, MARKS_HERE); }

static char *marks_of_all(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	return runtime != NULL && runtime[0] == '/' ? place_join(runtime, "roost/experiments") : NULL;
}

/* The mark of a directory: its name, and a hash of its path because copies share their name. Free it. */
static char *mark_path(const char *marks, const char *dir)
{
	char *path = NULL, *slash = strrchr(dir, '/');
	if (asprintf(&path, "%s/%s.%08x", marks, slash != NULL ? slash + 1 : dir, (unsigned)hash64(str_c(dir), 0)) < 0)
		die(err_exit(ERR_NOMEM), "out of memory");
	return path;
}

/* Marks only save others from looking: when one cannot be made, the experiment runs all the same. */
static void mark_put(char *marks, const char *dir, bool on)
{
	if (marks == NULL) return;
	char *path = mark_path(marks, dir);
	if (!on) unlink(path);
	else if (place_make_dirs(marks, NULL) == OK && symlink(dir, path) != 0 && errno == EEXIST) {
		unlink(path);
		if (symlink(dir, path) != 0) unlink(path);
	}
	free(path);
	free(marks);
}

static void marks_put(const char *dir, int fd, bool on)
{
	char *output = xstrdup(dir), *slash = strrchr(output, '/');
	if (slash != NULL) *slash = '\0';
	lock_byte(fd, BYTE_MARKS, F_WRLCK, true);
	mark_put(slash != NULL ? marks_here(output) : NULL, dir, on);
	mark_put(marks_of_all(), dir, on);
	lock_byte(fd, BYTE_MARKS, F_UNLCK, false);
	free(output);
}

enum err place_lock(const struct place *p, int *out_fd, struct errinfo *info)
{
	bool is_self;
	int fd = lock_open(p->dir, O_RDWR | O_CREAT, &is_self);
	if (is_self) return err_set(info, ERR_LOCKED, "%.100s is run by this process", p->name);
	if (fd < 0) return place_err("locked", p->dir, errno, info);
	enum err e = lock_take(p, fd, info);
	if (e == OK) {
		marks_put(p->dir, fd, true);
		*out_fd = fd;
	} else {
		close(fd);
	}
	return e;
}

void place_unlock(const struct place *p, int fd)
{
	marks_put(p->dir, fd, false);
	held_remove(fd);
	close(fd);
}

int place_pid(const char *dir)
{
	bool is_self;
	int fd = lock_open(dir, O_RDONLY, &is_self), pid = 0;
	if (is_self) return (int)getpid();
	if (fd >= 0) {
		pid = holder(fd);
		close(fd);
	}
	return pid;
}

/* A mark whose experiment nobody runs goes; so does one whose experiment is gone. */
static void mark_sweep(int marksfd, const char *mark, const char *dir)
{
	bool is_self;
	int fd = lock_open(dir, O_RDWR, &is_self);
	if (is_self) return;
	if (fd < 0) {
		if (errno == ENOENT || errno == ENOTDIR) unlinkat(marksfd, mark, 0);
		return;
	}
	if (lock_byte(fd, BYTE_MARKS, F_WRLCK, true) && holder(fd) == 0) unlinkat(marksfd, mark, 0);
	close(fd);
}

/* `output` NULL: a mark of all outputs. Else the directory is the one of this output, also when the output was copied or
 * is called by another path. */
static void look_at_mark(int marksfd, const char *mark, const char *output, struct place_list *out)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n = readlinkat(marksfd, mark, target, sizeof target);
	if (n <= 0 || (size_t)n >= sizeof target) return;
	target[n] = '\0';
	if (target[0] != '/') return;
	char *dir = output != NULL ? place_join(output, strrchr(target, '/') + 1) : xstrdup(target);
	if (place_pid(dir) == 0) mark_sweep(marksfd, mark, dir);
	else if (stat(dir, &st) == 0) place_list_add(out, dir, place_changed_ms(&st));
	free(dir);
}

enum err place_running(const char *output, struct place_list *out, struct errinfo *info)
{
	*out = (struct place_list){0};
	char *marks = output != NULL ? marks_here(output) : marks_of_all();
	if (marks == NULL) return OK;
	DIR *d = opendir(marks);
	enum err e = d == NULL && errno != ENOENT ? place_err("read", marks, errno, info) : OK;
	free(marks);
	if (d == NULL) return e;
	for (struct dirent *entry; (entry = readdir(d)) != NULL;)
		if (entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN)
			look_at_mark(dirfd(d), entry->d_name, output, out);
	closedir(d);
	place_list_sort(out);
	return OK;
}

/* ---- telling it ------------------------------------------------------------------------------------------------- */

/* Through a descriptor of the process that is asked for its lock again once it is open: a pid that was given to another
 * process meanwhile gets no signal. */
static bool tell(const char *dir, int pid, int sig)
{
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	if (process < 0) return false;
	bool is_told = place_pid(dir) == pid && syscall(SYS_pidfd_send_signal, process, sig, NULL, 0) == 0;
	close(process);
	return is_told;
}

enum err place_tell(const char *dir, enum place_ask what, struct errinfo *info)
{
	static const int signals[] = {
		[PLACE_STOP] = SIGTERM,   [PLACE_FINISH] = SIGINT, [PLACE_PAUSE] = SIGUSR1,
		[PLACE_RESUME] = SIGUSR2, [PLACE_KILL] = SIGKILL,
	};
	int pid = place_pid(dir);
	if (pid == (int)getpid()) return kill(pid, signals[what]) == 0 ? OK : ERR_INTERNAL;
	if (pid > 0 && tell(dir, pid, signals[what])) return OK;
	if (place_pid(dir) == 0) return err_set(info, ERR_BAD_STATE, "%.150s does not run", strrchr(dir, '/') + 1);
	return err_set(info, ERR_FORBIDDEN, "process %d cannot be told: %s", pid, strerror(errno));
}

bool place_wait(const char *dir, int64_t wait_ms)
{
	int64_t end_ms = clock_boot_ms() + wait_ms;
	for (int pid; (pid = place_pid(dir)) > 0;) {
		int64_t left = end_ms - clock_boot_ms();
		if (left <= 0) return false;
		struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
		poll(&end, end.fd >= 0 ? 1 : 0, (int)MIN(left, (int64_t)LOOK_MS));
		if (end.fd >= 0) close(end.fd);
	}
	return true;
}
