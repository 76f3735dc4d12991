/* tracer runs a program under ptrace and does one of two things to it.
 *
 *   tracer record LOG DIR PROGRAM ARG...   writes down what it does to the files of DIR and what it sends (log.h)
 *   tracer kill N COUNT PROGRAM ARG...     kills it where its N-th system call would begin, counted over all threads
 *                                          from its first one on; writes the number of calls seen to the file COUNT
 *                                          (N = 0: it lives, and COUNT says how many calls there were)
 *
 * Why not strace: its text would have to be parsed back into bytes, and calls that overlap are printed in two halves.
 * Here a thread stops before and after every system call and goes on only when its record is in the log, so the order
 * of records is an order of what happened: when the return of an fsync is logged before the start of a send, the fsync
 * had returned before the send began.
 *
 * SIGTERM and SIGINT are passed on. The program dies with the tracer. The exit status is the program's, 128 + signal
 * when one ended it. Memory-mapped files are outside the model; SQLite's -shm file, the only one there is, is rebuilt
 * after a crash and is left out. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "crash/log.h"

enum what {
	W_NOTHING,
	W_WRITE,     /* fd, buf, n [, off] */
	W_WRITEV,    /* fd, iov, n [, off] */
	W_SENDTO,    /* fd, buf, n */
	W_SENDMSG,   /* fd, msg */
	W_SYNC,      /* fd */
	W_FTRUNCATE, /* fd, len */
	W_TRUNCATE,  /* path, len */
	W_OPEN,      /* [at,] path, flags */
	W_MKDIR,     /* [at,] path */
	W_RENAME,    /* [at,] from, [at,] to */
	W_UNLINK,    /* [at,] path */
	W_MMAP,      /* addr, len, prot, flags, fd */
	W_ODD_FD,    /* changes the file of its first argument in a way that has no model */
	W_ODD_FD3,   /* the same for its third */
};

static const struct call_row {
	long nr;
	enum what what;
	bool at; /* paths are relative to a directory given before them */
	const char *name;
} call_rows[] = {
	{SYS_write, W_WRITE, false, "write"},
	{SYS_pwrite64, W_WRITE, true, "pwrite64"},
	{SYS_writev, W_WRITEV, false, "writev"},
	{SYS_pwritev, W_WRITEV, true, "pwritev"},
	{SYS_pwritev2, W_WRITEV, true, "pwritev2"},
	{SYS_sendto, W_SENDTO, false, "sendto"},
	{SYS_sendmsg, W_SENDMSG, false, "sendmsg"},
	{SYS_fsync, W_SYNC, false, "fsync"},
	{SYS_fdatasync, W_SYNC, false, "fdatasync"},
	{SYS_ftruncate, W_FTRUNCATE, false, "ftruncate"},
	{SYS_truncate, W_TRUNCATE, false, "truncate"},
	{SYS_openat, W_OPEN, true, "openat"},
	{SYS_mkdirat, W_MKDIR, true, "mkdirat"},
	{SYS_renameat2, W_RENAME, true, "renameat2"},
	{SYS_unlinkat, W_UNLINK, true, "unlinkat"},
	{SYS_mmap, W_MMAP, false, "mmap"},
	{SYS_fallocate, W_ODD_FD, false, "fallocate"},
	{SYS_sendfile, W_ODD_FD, false, "sendfile"},
	{SYS_splice, W_ODD_FD3, false, "splice"},
	{SYS_copy_file_range, W_ODD_FD3, false, "copy_file_range"},
	{SYS_sendmmsg, W_ODD_FD, false, "sendmmsg"},
#ifdef SYS_renameat
	{SYS_renameat, W_RENAME, true, "renameat"},
#endif
#ifdef SYS_open
	{SYS_open, W_OPEN, false, "open"},
	{SYS_mkdir, W_MKDIR, false, "mkdir"},
	{SYS_rename, W_RENAME, false, "rename"},
	{SYS_unlink, W_UNLINK, false, "unlink"},
	{SYS_rmdir, W_UNLINK, false, "rmdir"},
#endif
};

/* One traced thread and the system call it is in. */
struct thread {
	pid_t tid; /* 0: this place is free */
	bool in_call;
	const struct call_row *row;
	uint64_t args[6];
	bool existed;        /* W_OPEN: the file was there before */
	char path[PATH_MAX]; /* W_OPEN, W_UNLINK, W_RENAME's first: relative to the directory, "" when outside of it */
	uint64_t began;      /* the log's place when the call began */
	uint64_t socket;     /* what it sends to; 0: nothing */
};

#define THREADS_MAX 64
static struct thread threads[THREADS_MAX];
static volatile sig_atomic_t child; /* the traced process */
static FILE *out;                   /* the log; NULL: none */
static const char *dir;             /* real path of the directory that is watched */
static uint64_t place;              /* records written */
static struct buf data = {.max = 1 << 28};

static struct thread *thread_of(pid_t tid)
{
	struct thread *free_one = NULL;
	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (threads[i].tid == tid) return &threads[i];
		if (threads[i].tid == 0 && free_one == NULL) free_one = &threads[i];
	}
	if (free_one == NULL) die(70, "tracer: more than %d threads", THREADS_MAX);
	memset(free_one, 0, sizeof *free_one);
	free_one->tid = tid;
	return free_one;
}

/* ---- looking into the program ----------------------------------------------------------------------------------- */

static bool peek(pid_t tid, uint64_t addr, void *p, size_t n)
{
	struct iovec mine = {p, n}, theirs = {(void *)(uintptr_t)addr, n}; /* NOLINT(performance-no-int-to-ptr) */
	return n == 0 || process_vm_readv(tid, &mine, 1, &theirs, 1, 0) == (ssize_t)n;
}

static bool peek_into_data(pid_t tid, uint64_t addr, size_t n)
{
	if (!buf_reserve(&data, n)) die(70, "tracer: one call of %zu bytes", n);
	if (!peek(tid, addr, data.p + data.n, n)) return false;
	data.n += n;
	return true;
}

static void peek_iov(pid_t tid, uint64_t addr, size_t count, size_t most)
{
	struct iovec iov[1024];
	if (count > ARRAY_LEN(iov) || !peek(tid, addr, iov, count * sizeof iov[0])) return;
	for (size_t i = 0; i < count && most > 0; i++) {
		/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): process_vm_readv filled it */
		size_t n = MIN(iov[i].iov_len, most);
		if (!peek_into_data(tid, (uint64_t)(uintptr_t)iov[i].iov_base, n)) return;
		most -= n;
	}
}

static void peek_path(pid_t tid, uint64_t addr, char path[PATH_MAX])
{
	for (size_t n = 0; n < PATH_MAX - 1;) { /* never reads past the end of a page, which may be the last */
		size_t chunk = MIN(256 - (size_t)((addr + n) % 256), PATH_MAX - 1 - n);
		if (!peek(tid, addr + n, path + n, chunk)) {
			path[n] = '\0';
			return;
		}
		if (memchr(path + n, '\0', chunk) != NULL) return;
		n += chunk;
		path[n] = '\0';
	}
}

/* The part of an absolute path below the directory, or NULL. The directory itself is ".". */
static const char *below(const char *path)
{
	size_t n = strlen(dir);
	if (strncmp(path, dir, n) != 0) return NULL;
	if (path[n] == '\0') return ".";
	return path[n] == '/' ? path + n + 1 : NULL;
}

/* Resolves a path argument as the program would and leaves it relative to the directory, "" when it is outside. */
static void resolve(pid_t tid, bool at, int dirfd, const char *given, char rel[PATH_MAX])
{
	char full[PATH_MAX * 2], real[PATH_MAX];
	rel[0] = '\0';
	if (given[0] == '/') snprintf(full, sizeof full, "%s", given);
	else if (!at || dirfd == AT_FDCWD) snprintf(full, sizeof full, "/proc/%d/cwd/%s", tid, given);
	else snprintf(full, sizeof full, "/proc/%d/fd/%d/%s", tid, dirfd, given);
	char *slash = strrchr(full, '/');
	char *base = slash + 1;
	*slash = '\0';
	if (realpath(full[0] != '\0' ? full : "/", real) == NULL) return;
	char whole[PATH_MAX * 2];
	snprintf(whole, sizeof whole, "%s/%s", real, base);
	const char *inside = below(whole);
	if (inside != NULL) snprintf(rel, PATH_MAX, "%s", inside);
}

/* What a descriptor is. */
struct target {
	bool is_socket;
	bool is_file; /* a file or directory below the directory, that is watched */
	uint64_t file;
	char path[PATH_MAX];
};

static bool ignored(const char *path)
{
	size_t n = strlen(path);
	return n >= 4 && strcmp(path + n - 4, "-shm") == 0;
}

static struct target target_of(pid_t tid, int fd)
{
	struct target t = {0};
	char link[64], path[PATH_MAX];
	struct stat st;
	snprintf(link, sizeof link, "/proc/%d/fd/%d", tid, fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n <= 0) return t;
	path[n] = '\0';
	if (stat(link, &st) != 0) return t;
	t.file = st.st_ino;
	t.is_socket = S_ISSOCK(st.st_mode);
	const char *rel = below(path);
	if (rel == NULL || ignored(rel)) return t;
	t.is_file = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
	snprintf(t.path, sizeof t.path, "%s", rel);
	return t;
}

static int64_t position_of(pid_t tid, int fd)
{
	char name[64];
	long long pos = -1;
	snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", tid, fd);
	FILE *f = fopen(name, "re");
	if (f == NULL || fscanf(f, "pos: %lld", &pos) != 1) die(70, "tracer: %s has no position", name);
	fclose(f);
	return pos;
}

/* ---- the log ---------------------------------------------------------------------------------------------------- */

static void put(enum log_kind kind, uint64_t file, int64_t off, const char *path, const char *path2, struct str bytes)
{
	struct log_rec rec = {
		.kind = kind,
		.path_len = (uint32_t)strlen(path),
		.path2_len = (uint32_t)strlen(path2),
		.data_len = (uint32_t)bytes.n,
		.file = file,
		.off = off,
	};
	if (fwrite(&rec, sizeof rec, 1, out) != 1 || fwrite(path, 1, rec.path_len, out) != rec.path_len ||
	    fwrite(path2, 1, rec.path2_len, out) != rec.path2_len || fwrite(bytes.p, 1, bytes.n, out) != bytes.n)
		die(74, "tracer: the log cannot be written: %s", strerror(errno));
	place++;
}

static void put_path(enum log_kind kind, const char *path, const char *path2)
{
	char full[PATH_MAX * 2];
	struct stat st = {0};
	snprintf(full, sizeof full, "%s/%s", dir, path2[0] != '\0' ? path2 : path);
	if (kind != LOG_UNLINK && lstat(full, &st) != 0) kind = LOG_ODD;
	put(kind, st.st_ino, 0, path, path2, STR(""));
}

/* The bytes of a write or a send, from the arguments as they stood when the call began; at most `most` of them. */
static void take_bytes(const struct thread *t, size_t most)
{
	struct msghdr msg;
	buf_clear(&data);
	switch (t->row->what) {
	case W_WRITE:
	case W_SENDTO: peek_into_data(t->tid, t->args[1], MIN(t->args[2], most)); break;
	case W_WRITEV: peek_iov(t->tid, t->args[1], t->args[2], most); break;
	case W_SENDMSG:
		if (peek(t->tid, t->args[1], &msg, sizeof msg))
			peek_iov(t->tid, (uint64_t)(uintptr_t)msg.msg_iov, msg.msg_iovlen, most);
		break;
	default: break;
	}
}

static int arg_fd(const struct thread *t, int i) { return (int)t->args[i]; }

/* Index of the argument that is the call's (first) path. */
static int path_arg(const struct thread *t) { return t->row->at ? 1 : 0; }

static void log_entry(struct thread *t)
{
	char given[PATH_MAX];
	t->began = place;
	t->socket = 0;
	switch (t->row->what) {
	case W_WRITE:
	case W_WRITEV:
	case W_SENDTO:
	case W_SENDMSG: {
		struct target target = target_of(t->tid, arg_fd(t, 0));
		if (!target.is_socket) break;
		take_bytes(t, SIZE_MAX);
		put(LOG_SEND, target.file, 0, "", "", buf_str(&data));
		t->socket = target.file;
		break;
	}
	case W_OPEN:
	case W_MKDIR:
	case W_RENAME:
	case W_UNLINK: {
		peek_path(t->tid, t->args[path_arg(t)], given);
		resolve(t->tid, t->row->at, arg_fd(t, 0), given, t->path);
		char full[PATH_MAX * 2];
		struct stat st;
		snprintf(full, sizeof full, "%s/%s", dir, t->path);
		t->existed = lstat(full, &st) == 0;
		break;
	}
	default: break;
	}
}

static void log_written(const struct thread *t, int64_t n)
{
	struct target target = target_of(t->tid, arg_fd(t, 0));
	if (!target.is_file || n == 0) return;
	take_bytes(t, (size_t)n);
	if (data.n != (size_t)n) die(70, "tracer: cannot read the bytes of %s", t->row->name);
	int64_t off = t->row->at ? (int64_t)t->args[3] : position_of(t->tid, arg_fd(t, 0)) - n;
	put(LOG_WRITE, target.file, off, target.path, "", buf_str(&data));
}

static void log_opened(const struct thread *t, int fd)
{
	uint64_t flags = t->args[path_arg(t) + 1];
	if (t->path[0] == '\0' || ignored(t->path)) return;
	struct target target = target_of(t->tid, fd);
	if (!target.is_file) return;
	if ((flags & O_CREAT) && !t->existed) put_path(LOG_CREATE, t->path, "");
	else if (flags & O_TRUNC) put(LOG_TRUNCATE, target.file, 0, t->path, "", STR(""));
	if (flags & O_TMPFILE & ~(uint64_t)O_DIRECTORY) put(LOG_ODD, 0, 0, "O_TMPFILE", "", STR(""));
}

static void log_odd(const struct thread *t, int fd)
{
	if (target_of(t->tid, fd).is_file) put(LOG_ODD, 0, 0, t->row->name, "", STR(""));
}

/* The call has returned `result`, which is no error. */
static void log_exit(const struct thread *t, int64_t result)
{
	char given[PATH_MAX], to[PATH_MAX];
	struct target target;
	switch (t->row->what) {
	case W_WRITE:
	case W_WRITEV: log_written(t, result); break;
	case W_SYNC:
		target = target_of(t->tid, arg_fd(t, 0));
		if (target.is_file) put(LOG_SYNC, target.file, (int64_t)t->began, target.path, "", STR(""));
		break;
	case W_FTRUNCATE:
		target = target_of(t->tid, arg_fd(t, 0));
		if (target.is_file) put(LOG_TRUNCATE, target.file, (int64_t)t->args[1], target.path, "", STR(""));
		break;
	case W_TRUNCATE:
		peek_path(t->tid, t->args[0], given);
		resolve(t->tid, false, 0, given, to);
		if (to[0] != '\0') put(LOG_ODD, 0, 0, t->row->name, "", STR(""));
		break;
	case W_OPEN: log_opened(t, (int)result); break;
	case W_MKDIR:
		if (t->path[0] != '\0') put_path(LOG_MKDIR, t->path, "");
		break;
	case W_UNLINK:
		if (t->path[0] != '\0' && !ignored(t->path)) put_path(LOG_UNLINK, t->path, "");
		break;
	case W_RENAME:
		peek_path(t->tid, t->args[t->row->at ? 3 : 1], given);
		resolve(t->tid, t->row->at, arg_fd(t, 2), given, to);
		if (t->path[0] == '\0' && to[0] == '\0') break;
		put_path(t->path[0] != '\0' && to[0] != '\0' ? LOG_RENAME : LOG_ODD, t->path, to);
		break;
	case W_MMAP:
		if ((t->args[3] & MAP_TYPE) == MAP_SHARED && (t->args[2] & PROT_WRITE)) log_odd(t, arg_fd(t, 4));
		break;
	case W_ODD_FD: log_odd(t, arg_fd(t, 0)); break;
	case W_ODD_FD3: log_odd(t, arg_fd(t, 2)); break;
	default: break;
	}
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static const struct call_row *row_of(uint64_t nr)
{
	for (size_t i = 0; i < ARRAY_LEN(call_rows); i++)
		if ((uint64_t)call_rows[i].nr == nr) return &call_rows[i];
	return NULL;
}

static void at_syscall(struct thread *t)
{
	struct __ptrace_syscall_info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof info, &info) <= 0) return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		t->in_call = true;
		t->row = row_of(info.entry.nr);
		for (size_t i = 0; i < 6; i++) t->args[i] = info.entry.args[i];
		if (out != NULL && t->row != NULL) log_entry(t);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->in_call) {
		t->in_call = false;
		if (out == NULL || t->row == NULL) return;
		if (t->socket != 0) put(LOG_SENT, t->socket, info.exit.is_error ? -1 : info.exit.rval, "", "", STR(""));
		else if (!info.exit.is_error) log_exit(t, info.exit.rval);
	}
}

/* Runs the program to its end, stopping it where the kill_at-th system call begins. */
static int follow(uint64_t kill_at, uint64_t *out_calls)
{
	int status = 0;
	*out_calls = 0;
	for (;;) {
		int st;
		pid_t tid = waitpid(-1, &st, __WALL);
		if (tid < 0 && errno == EINTR) continue;
		if (tid < 0) return status;
		struct thread *t = thread_of(tid);
		if (WIFEXITED(st) || WIFSIGNALED(st)) {
			if (tid == child) status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
			t->tid = 0;
			continue;
		}
		int sig = WSTOPSIG(st);
		if (sig == (SIGTRAP | 0x80)) {
			at_syscall(t);
			if (t->in_call && ++*out_calls == kill_at) kill(child, SIGKILL);
			sig = 0;
		} else if (sig == SIGTRAP || sig == SIGSTOP) {
			sig = 0; /* a new thread, an exec: nothing the program should see */
		}
		ptrace(PTRACE_SYSCALL, tid, NULL, (void *)(intptr_t)sig); /* NOLINT(performance-no-int-to-ptr) */
	}
}

static void pass_on(int sig)
{
	if (child > 0) kill(child, sig);
}

static void start(char **argv)
{
	pid_t pid = fork();
	if (pid < 0) die(71, "tracer: fork: %s", strerror(errno));
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execvp(argv[0], argv);
		die(71, "tracer: %s: %s", argv[0], strerror(errno));
	}
	child = pid;
	int st;
	if (waitpid(pid, &st, 0) != pid || !WIFSTOPPED(st)) die(71, "tracer: the program did not start");
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
		       PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, options) != 0) die(71, "tracer: ptrace: %s", strerror(errno));
	struct sigaction sa = {.sa_handler = pass_on};
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
}

int main(int argc, char **argv)
{
	uint64_t calls;
	int64_t kill_at = 0;
	if (argc < 5) die(64, "usage: tracer record LOG DIR PROGRAM ARG... | kill N COUNT PROGRAM ARG...");
	if (strcmp(argv[1], "record") == 0) {
		dir = realpath(argv[3], NULL);
		if (dir == NULL) die(66, "tracer: %s: %s", argv[3], strerror(errno));
		out = fopen(argv[2], "we");
		if (out == NULL) die(73, "tracer: %s: %s", argv[2], strerror(errno));
	} else if (strcmp(argv[1], "kill") != 0 || !str_to_int(str_c(argv[2]), &kill_at)) {
		die(64, "tracer: %s %s?", argv[1], argv[2]);
	}
	start(argv + 4);
	int status = follow((uint64_t)kill_at, &calls);
	if (out != NULL && fclose(out) != 0) die(74, "tracer: the log cannot be written: %s", strerror(errno));
	if (out == NULL) {
		FILE *f = fopen(argv[3], "we");
		if (f == NULL || fprintf(f, "%llu\n", (unsigned long long)calls) < 0 || fclose(f) != 0)
			die(73, "tracer: %s: %s", argv[3], strerror(errno));
	}
	return status;
}
