/* What the tests of experiments' files share: a scratch directory that goes away with all it holds, and processes that do
 * one thing for the test. */
#ifndef TEST_UNIT_EXPERIMENT_GEAR_H
#define TEST_UNIT_EXPERIMENT_GEAR_H

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

static char scratch[64]; /* an output directory, absolute */
static char runtime[64]; /* XDG_RUNTIME_DIR */
static struct errinfo info;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static int scratch_make(void **state)
{
	(void)state;
	snprintf(scratch, sizeof scratch, "/dev/shm/roost-lab-XXXXXX");
	snprintf(runtime, sizeof runtime, "/dev/shm/roost-lab-run-XXXXXX");
	if (mkdtemp(scratch) == NULL || mkdtemp(runtime) == NULL) return -1;
	setenv("XDG_RUNTIME_DIR", runtime, 1);
	info = (struct errinfo){0};
	return 0;
}

static int scratch_remove(void **state)
{
	(void)state;
	remove_tree(scratch);
	remove_tree(runtime);
	return 0;
}

/* The path of something below the scratch directory; good for eight at a time. */
static __attribute__((unused)) const char *in_scratch(const char *name)
{
	static char paths[8][512];
	static unsigned next;
	char *path = paths[next++ % ARRAY_LEN(paths)];
	snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
	return path;
}

static __attribute__((unused)) void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static __attribute__((unused)) bool is_there(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

/* An experiment's directory with a manifest. */
static __attribute__((unused)) void put_experiment(const char *base, const char *manifest)
{
	char path[600];
	assert_int_equal(mkdir(in_scratch(base), 0700), 0);
	snprintf(path, sizeof path, "%s/manifest.json", in_scratch(base));
	put_file(path, manifest);
}

/* ---- another process -------------------------------------------------------------------------------------------- */

struct helper {
	pid_t pid;
	int ready, go; /* it writes a byte when it has done its work and ends when `go` is closed */
};

/* Runs `work` in a child, which then stays until helper_end or a signal. */
static __attribute__((unused)) struct helper helper_begin(void (*work)(void *), void *arg)
{
	int ready[2], go[2];
	char byte = 0;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	struct helper h = {fork(), ready[0], go[1]};
	assert_true(h.pid >= 0);
	if (h.pid == 0) {
		close(ready[0]);
		close(go[1]);
		work(arg);
		if (write(ready[1], "r", 1) != 1) _exit(2);
		_exit(read(go[0], &byte, 1) == 0 ? 0 : 3);
	}
	close(ready[1]);
	close(go[0]);
	return h;
}

/* Until the work is done. */
static __attribute__((unused)) void helper_wait(const struct helper *h)
{
	char byte;
	assert_int_equal(read(h->ready, &byte, 1), 1);
}

static __attribute__((unused)) struct helper helper_start(void (*work)(void *), void *arg)
{
	struct helper h = helper_begin(work, arg);
	helper_wait(&h);
	return h;
}

/* Its wait status. */
static __attribute__((unused)) int helper_end(struct helper *h)
{
	int status = 0;
	close(h->go);
	close(h->ready);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	return status;
}

/* A process that does `work` under ptrace and is stopped where its n-th system call would begin, n from 1. 0: it made
 * fewer and has ended by itself, with the status 0 when `work` gave OK and else 1, which is then in *out_status. */
static __attribute__((unused)) pid_t stopped_at_call(int n, enum err (*work)(void *), void *arg, int *out_status)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(work(arg) == OK ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL);
	for (int stops = 0; stops < 2 * n - 1; stops++) { /* one before and one behind each call */
		ptrace(PTRACE_SYSCALL, child, NULL, NULL);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFEXITED(status)) continue;
		*out_status = WEXITSTATUS(status);
		return 0;
	}
	return child;
}

/* Lets it go on; its exit status. */
static __attribute__((unused)) int go_on(pid_t child)
{
	int status = 0;
	ptrace(PTRACE_DETACH, child, NULL, NULL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Kills it there. False: it had ended before, well. */
static __attribute__((unused)) bool killed_at_call(int n, enum err (*work)(void *), void *arg)
{
	int status = 0;
	pid_t child = stopped_at_call(n, work, arg, &status);
	assert_int_equal(status, 0);
	if (child == 0) return false;
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	return true;
}

#endif
