/* From its start a child has four things that come to us on their own: the ends of its standard output and error, its
 * death (a pidfd becomes readable), and a timer. It has ended when it is dead and its output was read to the end. Output
 * may be held open by a process that left the group, so after the death it is waited for only a little; and a program that
 * closed its output and lives on is asked to end.
 *
 * Between its death and waitpid the first process is a zombie, and as long as it is one, its number is nobody else's:
 * that is when its group is killed. */
#include "host/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAID_MAX ((size_t)8 << 10)
#define DRAIN_MS 250 /* how long output may come after the death */
#define FILES_MAX 4096
#define READ_BYTES ((size_t)64 << 10)

enum { IN, OUT, ERR, PIPES };

struct child {
	struct child_hooks hooks;
	void *ctx; /* NULL: it was let go */
	pid_t pid;
	int pidfd, status;
	uv_pipe_t pipes[PIPES];
	uv_poll_t death;
	uv_timer_t timer;
	struct buf said;
	char *bytes; /* what is read goes here first */
	int64_t grace_ms;
	int nhandles; /* open ones */
	bool is_dead, is_drained, is_ending, is_closing, input_over, paused;
	struct child_list *list;
	LIST_ENTRY(child) link;
};

/* ---- its first moments ------------------------------------------------------------------------------------------- */

/* In the new process, which shares its memory's look with a process of many threads: nothing but system calls. Returns
 * only when the program could not be started; errno says why. */
static void become(const struct child_spec *spec, const char *program, const int fds[PIPES], pid_t parent)
{
	struct rlimit files, no_core = {0, 0};
	struct sigaction usual = {.sa_handler = SIG_DFL};
	sigset_t none;
	(void)setsid();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) _exit(1);
	for (int s = 1; s < NSIG; s++) (void)sigaction(s, &usual, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = MIN(files.rlim_max, (rlim_t)FILES_MAX);
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	if (chdir(spec->dir) != 0) return;
	for (int i = 0; i < PIPES; i++)
		if (dup2(fds[i], i) < 0) return;
	(void)close_range(PIPES, ~0U, CLOSE_RANGE_CLOEXEC);
	execve(program, spec->argv, spec->env);
}

/* Descriptors below 3 would be overwritten while they are needed; the daemon has its own there. */
static enum err make_pipes(int mine[PIPES], int theirs[PIPES], struct errinfo *info)
{
	for (int i = 0; i < PIPES; i++) {
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) != 0)
			return err_set(info, ERR_PROVIDER_DOWN, "no pipe for the program: %s", strerror(errno));
		mine[i] = ends[i == IN];
		theirs[i] = ends[i != IN];
	}
	return OK;
}

static void close_all(int fds[PIPES])
{
	for (int i = 0; i < PIPES; i++) {
		if (fds[i] >= 0) close(fds[i]);
		fds[i] = -1;
	}
}

/* The way to the program; false with errno. */
static bool find_program(const struct child_spec *spec, char *out, size_t size)
{
	const char *name = spec->argv[0], *dir = spec->path;
	int why = ENOENT;
	if (strchr(name, '/') != NULL) {
		if (!str_copy(str_c(name), out, size)) return false;
		return access(out, X_OK) == 0;
	}
	while (dir != NULL && *dir != '\0') {
		size_t n = strcspn(dir, ":");
		if (snprintf(out, size, "%.*s/%s", (int)n, dir, name) < (int)size && access(out, X_OK) == 0)
			return true;
		if (errno == EACCES) why = EACCES;
		dir += n + (dir[n] == ':');
	}
	errno = why;
	return false;
}

/* Waits until the program runs, or for the errno of why it does not. */
static int wait_for_exec(int fd)
{
	int why = 0;
	ssize_t n;
	do n = read(fd, &why, sizeof why);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof why ? why : 0;
}

/* The pipe tells of a failure: an exec that works closes it. */
static enum err spawn(const struct child_spec *spec, const char *program, const int theirs[PIPES], pid_t *out,
		      struct errinfo *info)
{
	int tell[2];
	pid_t parent = getpid();
	if (pipe2(tell, O_CLOEXEC) != 0)
		return err_set(info, ERR_PROVIDER_DOWN, "no pipe for the program: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		become(spec, program, theirs, parent);
		int why = errno;
		(void)!write(tell[1], &why, sizeof why);
		_exit(127);
	}
	int why = pid < 0 ? errno : 0;
	close(tell[1]);
	if (pid > 0) why = wait_for_exec(tell[0]);
	close(tell[0]);
	if (why == 0) {
		*out = pid;
		return OK;
	}
	if (pid > 0) (void)waitpid(pid, NULL, 0);
	return err_set(info, ERR_PROVIDER_DOWN, "%.100s can't be run: %s", program, strerror(why));
}

/* ---- its end ----------------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
	struct child *c = h->data;
	if (--c->nhandles > 0) return;
	if (c->pidfd >= 0) close(c->pidfd);
	buf_release(&c->said);
	free(c->bytes);
	free(c);
}

static void close_handles(struct child *c)
{
	uv_handle_t *list[] = {(uv_handle_t *)&c->pipes[IN], (uv_handle_t *)&c->pipes[OUT],
			       (uv_handle_t *)&c->pipes[ERR], (uv_handle_t *)&c->death, (uv_handle_t *)&c->timer};
	if (c->is_closing) return;
	c->is_closing = true;
	LIST_REMOVE(c, link);
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (!uv_is_closing(list[i])) uv_close(list[i], on_closed);
}

static void reap(struct child *c)
{
	if (c->is_dead) return;
	(void)kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR) continue;
	c->is_dead = true;
}

static void finish(struct child *c)
{
	void *ctx = c->ctx;
	struct child_end end = {.code = WIFEXITED(c->status) ? WEXITSTATUS(c->status) : 0,
				.signal = WIFSIGNALED(c->status) ? WTERMSIG(c->status) : 0,
				.said = buf_str(&c->said)};
	c->ctx = NULL;
	close_handles(c); /* the memory stays until the loop's next turn */
	if (ctx != NULL) c->hooks.ended(ctx, &end);
}

static void on_timer(uv_timer_t *t)
{
	struct child *c = t->data;
	if (!c->is_dead) (void)kill(-c->pid, SIGKILL);
	else finish(c);
}

static void ask_to_end(struct child *c)
{
	if (c->is_dead || c->is_ending) return;
	c->is_ending = true;
	(void)kill(-c->pid, SIGTERM);
	(void)kill(-c->pid, SIGCONT);
	uv_timer_start(&c->timer, on_timer, (uint64_t)c->grace_ms, 0);
}

static void on_death(uv_poll_t *p, int status, int events)
{
	struct child *c = p->data;
	(void)status;
	(void)events;
	uv_poll_stop(p);
	reap(c);
	if (c->is_drained || c->ctx == NULL) finish(c);
	else if (!c->paused) uv_timer_start(&c->timer, on_timer, DRAIN_MS, 0);
	else uv_timer_stop(&c->timer);
}

/* ---- its pipes --------------------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *h, size_t wanted, uv_buf_t *out)
{
	struct child *c = h->data;
	(void)wanted;
	*out = uv_buf_init(c->bytes, READ_BYTES);
}

static void on_out(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct child *c = s->data;
	if (c->ctx == NULL) {
		uv_read_stop(s);
		return;
	}
	if (n > 0) c->hooks.out(c->ctx, str_n(b->base, (size_t)n));
	if (n >= 0) return;
	uv_read_stop(s);
	c->is_drained = true;
	if (c->is_dead) finish(c);
	else ask_to_end(c);
}

static void on_err(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct child *c = s->data;
	if (n > 0) (void)buf_add(&c->said, b->base, MIN((size_t)n, SAID_MAX - c->said.n));
	if (n < 0) uv_read_stop(s);
}

struct writing {
	uv_write_t req;
	char *bytes;
};

static void on_written(uv_write_t *req, int status)
{
	struct writing *w = CONTAINER_OF(req, struct writing, req);
	(void)status;
	free(w->bytes);
	free(w);
}

void child_write(struct child *c, struct str bytes)
{
	if (c->input_over || bytes.n == 0) return;
	struct writing *w = xcalloc(1, sizeof *w);
	w->bytes = xmalloc(bytes.n);
	memcpy(w->bytes, bytes.p, bytes.n);
	uv_buf_t b = uv_buf_init(w->bytes, (unsigned)bytes.n);
	if (uv_write(&w->req, (uv_stream_t *)&c->pipes[IN], &b, 1, on_written) == 0) return;
	free(w->bytes);
	free(w);
}

size_t child_unread(const struct child *c)
{
	return uv_stream_get_write_queue_size((const uv_stream_t *)&c->pipes[IN]);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	uv_handle_t *in = (uv_handle_t *)req->handle;
	(void)status;
	free(req);
	if (!uv_is_closing(in)) uv_close(in, on_closed);
}

void child_end_input(struct child *c)
{
	if (c->input_over) return;
	c->input_over = true;
	uv_shutdown_t *req = xcalloc(1, sizeof *req);
	if (uv_shutdown(req, (uv_stream_t *)&c->pipes[IN], on_shutdown) != 0) free(req);
}

void child_pause(struct child *c, bool paused)
{
	if (c->paused == paused || c->is_drained) return;
	c->paused = paused;
	if (paused) {
		uv_read_stop((uv_stream_t *)&c->pipes[OUT]);
		if (c->is_dead) uv_timer_stop(&c->timer);
	} else {
		uv_read_start((uv_stream_t *)&c->pipes[OUT], on_alloc, on_out);
		if (c->is_dead) uv_timer_start(&c->timer, on_timer, DRAIN_MS, 0);
	}
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void open_handles(struct child *c, uv_loop_t *loop, const int mine[PIPES])
{
	for (int i = 0; i < PIPES; i++) {
		uv_pipe_init(loop, &c->pipes[i], 0);
		c->pipes[i].data = c;
		ASSERT(uv_pipe_open(&c->pipes[i], mine[i]) == 0);
	}
	uv_timer_init(loop, &c->timer);
	ASSERT(uv_poll_init(loop, &c->death, c->pidfd) == 0);
	c->timer.data = c->death.data = c;
	c->nhandles = PIPES + 2;
	uv_read_start((uv_stream_t *)&c->pipes[OUT], on_alloc, on_out);
	uv_read_start((uv_stream_t *)&c->pipes[ERR], on_alloc, on_err);
	uv_poll_start(&c->death, UV_READABLE, on_death);
}

enum err child_start(const struct child_spec *spec, const struct child_hooks *hooks, void *ctx, struct child **out,
		     struct errinfo *info)
{
	char program[4096];
	int mine[PIPES] = {-1, -1, -1}, theirs[PIPES] = {-1, -1, -1};
	pid_t pid = 0;
	enum err e = OK;
	*out = NULL;
	if (!find_program(spec, program, sizeof program))
		return err_set(info, ERR_PROVIDER_DOWN, "%.100s %s", spec->argv[0],
			       errno == EACCES ? "is not a program that may be run" : "was not found");
	if (mkdir(spec->dir, 0700) != 0 && errno != EEXIST)
		return err_set(info, ERR_PROVIDER_DOWN, "%.100s can't be made: %s", spec->dir, strerror(errno));
	e = make_pipes(mine, theirs, info);
	if (e == OK) e = spawn(spec, program, theirs, &pid, info);
	close_all(theirs);
	int pidfd = e == OK ? pidfd_open(pid, 0) : -1;
	if (e == OK && pidfd < 0) {
		e = err_set(info, ERR_PROVIDER_DOWN, "no descriptor for the program: %s", strerror(errno));
		(void)kill(-pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	if (e != OK) {
		close_all(mine);
		return e;
	}
	struct child *c = xcalloc(1, sizeof *c);
	*c = (struct child){.hooks = *hooks, .ctx = ctx, .pid = pid, .pidfd = pidfd, .grace_ms = spec->grace_ms};
	buf_init(&c->said, SAID_MAX);
	c->bytes = xmalloc(READ_BYTES);
	c->list = spec->list;
	LIST_INSERT_HEAD(spec->list, c, link);
	open_handles(c, spec->loop, mine);
	*out = c;
	return OK;
}

void child_let_go(struct child *c)
{
	c->ctx = NULL;
	if (c->is_closing) return;
	if (c->is_dead) finish(c);
	else ask_to_end(c);
}

void children_kill(struct child_list *list)
{
	while (!LIST_EMPTY(list)) {
		struct child *c = LIST_FIRST(list);
		c->ctx = NULL;
		reap(c);
		close_handles(c);
	}
}
