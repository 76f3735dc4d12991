/* The order is a sealed memfd with one JSON object, on descriptor 0. The answer is a struct errinfo in one write on the
 * pipe that is descriptor 3: both ends are the same program, started from the same file (/proc/self/exe stays right when
 * the file on disk is replaced meanwhile). */
#include "lab/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "lab/place_priv.h"

#define ANSWER_FD 3
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define ORDER_MAX ((off_t)64 << 20)

static void close_fd(int fd)
{
	if (fd >= 0) close(fd);
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static char **kept; /* the environment with its keys; NULL not kept */

void detach_forget_environment(void)
{
	for (char **v = kept; v != NULL && *v != NULL; v++) {
		secret_wipe(*v, strlen(*v));
		free(*v);
	}
	free(kept);
	kept = NULL;
}

void detach_keep_environment(void)
{
	size_t n = 0;
	detach_forget_environment();
	while (environ[n] != NULL) n++;
	kept = xcalloc(n + 1, sizeof *kept);
	for (size_t i = 0; i < n; i++) kept[i] = xstrdup(environ[i]);
}

static void order_print(const struct detach_order *o, struct buf *out)
{
	struct jw w = JW(out);
	jw_obj(&w);
	jw_kstr(&w, "dir", str_c(o->place.dir));
	jw_kstr(&w, "id", str_c(o->place.id));
	jw_kstr(&w, "name", str_c(o->place.name));
	jw_kbool(&w, "resume", o->resume);
	if (o->config_file != NULL) jw_kstr(&w, "config", str_c(o->config_file));
	if (o->data_dir != NULL) jw_kstr(&w, "data", str_c(o->data_dir));
	jw_key(&w, "providers");
	jw_arr(&w);
	for (size_t i = 0; o->providers != NULL && o->providers[i] != NULL; i++) jw_str(&w, str_c(o->providers[i]));
	jw_arr_end(&w);
	jw_kstr(&w, "spec", o->spec.p != NULL ? o->spec : STR(""));
	jw_obj_end(&w);
}

/* A descriptor at its beginning; -1 and errno. */
static int order_file(const struct detach_order *o)
{
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	int fd = memfd_create("roost-order", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	order_print(o, &text);
	bool is_written = fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n && lseek(fd, 0, SEEK_SET) == 0 &&
			  fcntl(fd, F_ADD_SEALS, SEALS) == 0;
	buf_release(&text);
	if (!is_written && fd >= 0) {
		int os = errno;
		close(fd);
		errno = os;
		fd = -1;
	}
	return fd;
}

/* A session of its own, default signals, and nothing but the order, the log and the pipe. 0 or an errno. */
static int spawn(const struct detach_order *o, int order, int log, int answer, pid_t *out_pid)
{
	char *argv[] = {"roost", "run", "--in", (char *)(uintptr_t)o->place.id, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	/* the pipe last: none of the others can be 3 or below, see above_standard */
	posix_spawn_file_actions_adddup2(&files, order, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, log, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, log, STDERR_FILENO);
	posix_spawn_file_actions_adddup2(&files, answer, ANSWER_FD);
	posix_spawn_file_actions_addclosefrom_np(&files, ANSWER_FD + 1); /* whoever waits for our pipes to end */
	int os = posix_spawn(out_pid, "/proc/self/exe", &files, &attr, argv, kept != NULL ? kept : environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return os;
}

/* The same file behind the descriptors that the other process has at fixed places. */
static int above_standard(int fd)
{
	if (fd < 0) return fd;
	int up = fcntl(fd, F_DUPFD_CLOEXEC, ANSWER_FD + 1), os = errno;
	close(fd);
	errno = os;
	return up;
}

static int open_log(const char *dir)
{
	char *path = place_join(dir, DETACH_LOG);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	free(path);
	return fd;
}

/* Ends when the pipe says something, is closed, or the time is over. */
static enum err hear(int fd, const char *dir, int64_t wait_ms, struct errinfo *info)
{
	struct errinfo said = {0};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int64_t end_ms = clock_boot_ms() + wait_ms;
	int n;
	do n = poll(&p, 1, (int)MAX(end_ms - clock_boot_ms(), (int64_t)0));
	while (n < 0 && errno == EINTR && clock_boot_ms() < end_ms);
	if (n <= 0) return err_set(info, ERR_TIMEOUT, "it did not begin; see %.150s/" DETACH_LOG, dir);
	if (read(fd, &said, sizeof said) != (ssize_t)sizeof said || said.err < 0 || said.err >= ERR_COUNT)
		return err_set(info, ERR_INTERNAL, "it ended at once; see %.150s/" DETACH_LOG, dir);
	said.text[sizeof said.text - 1] = '\0';
	if (said.err != OK && info != NULL) *info = said;
	return said.err;
}

enum err detach_start(const struct detach_order *o, int64_t wait_ms, int *out_pid, struct errinfo *info)
{
	int pipes[2] = {-1, -1}, log = -1, order = -1;
	pid_t pid = -1;
	enum err e = OK;
	order = above_standard(order_file(o));
	if (order < 0) e = err_set(info, ERR_IO, "the spec cannot be handed over: %s", strerror(errno));
	if (e == OK && (log = above_standard(open_log(o->place.dir))) < 0)
		e = place_err("written to", o->place.dir, errno, info);
	if (e == OK && (pipe2(pipes, O_CLOEXEC) != 0 || (pipes[1] = above_standard(pipes[1])) < 0))
		e = err_set(info, ERR_IO, "no pipe can be made: %s", strerror(errno));
	if (e == OK) {
		int os = spawn(o, order, log, pipes[1], &pid);
		if (os != 0) e = err_set(info, ERR_INTERNAL, "no process can be started: %s", strerror(os));
	}
	close_fd(pipes[1]);
	if (e == OK) {
		e = hear(pipes[0], o->place.dir, wait_ms, info);
		if (e == ERR_TIMEOUT) kill(pid, SIGTERM);
	}
	close_fd(pipes[0]);
	close_fd(log);
	close_fd(order);
	*out_pid = (int)pid;
	return e;
}

/* ---- the background process ------------------------------------------------------------------------------------- */

static char *copy_of(const struct json *obj, const char *key)
{
	struct str s;
	return json_str(json_get(obj, key), &s) ? str_dup(s) : NULL;
}

/* NULL-terminated; what is no text is left out. */
static const char **copies_of(const struct json *list)
{
	const char **out = xcalloc(json_len(list) + 1, sizeof *out);
	struct str s;
	size_t n = 0;
	for (struct json_iter it = json_iter(list); json_next(&it);)
		if (json_str(it.val, &s)) out[n++] = str_dup(s);
	return out;
}

static enum err order_parse(struct str text, struct detach_order *out, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	struct str id, spec;
	enum err e = json_parse(text, &doc, info);
	if (e != OK) return e;
	const struct json *root = json_root(doc);
	out->place.dir = copy_of(root, "dir");
	out->place.name = copy_of(root, "name");
	out->config_file = copy_of(root, "config");
	out->data_dir = copy_of(root, "data");
	out->providers = copies_of(json_get(root, "providers"));
	if (out->place.dir == NULL || out->place.name == NULL || !json_str(json_get(root, "id"), &id) ||
	    !str_copy(id, out->place.id, sizeof out->place.id) || !json_str(json_get(root, "spec"), &spec) ||
	    !json_bool(json_get(root, "resume"), &out->resume))
		e = err_set(info, ERR_USAGE, "the order is incomplete");
	else out->spec = (struct str){str_dup(spec), spec.n};
	json_free(doc);
	return e;
}

/* Is this what detach_start puts there? */
static bool is_order(int fd, struct stat *st)
{
	return fcntl(fd, F_GET_SEALS) == SEALS && fstat(fd, st) == 0 && st->st_size > 0 && st->st_size <= ORDER_MAX;
}

static bool is_pipe(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

enum err detach_receive(struct detach_order *out, struct errinfo *info)
{
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	struct stat st;
	enum err e = OK;
	*out = (struct detach_order){0};
	if (!is_order(STDIN_FILENO, &st) || !is_pipe(ANSWER_FD))
		return err_set(info, ERR_USAGE, "only roost itself starts it so");
	buf_reserve(&text, (size_t)st.st_size);
	ssize_t n = pread(STDIN_FILENO, text.p, (size_t)st.st_size, 0);
	if (n != st.st_size) e = err_set(info, ERR_IO, "the order cannot be read");
	if (e == OK) e = order_parse(str_n(text.p, (size_t)n), out, info);
	buf_release(&text);
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (none >= 0) {
		dup2(none, STDIN_FILENO);
		close(none);
	}
	fcntl(ANSWER_FD, F_SETFD, FD_CLOEXEC);
	signal(SIGHUP, SIG_IGN);
	if (e != OK) detach_order_release(out);
	return e;
}

void detach_tell(enum err e, const struct errinfo *info)
{
	static bool is_told; /* the number may be another file's afterwards */
	struct errinfo said = {0};
	if (info != NULL && e != OK) said = *info;
	said.err = e;
	if (is_told || !is_pipe(ANSWER_FD)) return;
	is_told = true;
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	ssize_t n = write(ANSWER_FD, &said, sizeof said);
	(void)n; /* the command that started us may be gone */
	signal(SIGPIPE, before);
	close(ANSWER_FD);
}

void detach_order_release(struct detach_order *o)
{
	char *spec = (char *)(uintptr_t)o->spec.p;
	place_release(&o->place);
	free(o->config_file);
	free(o->data_dir);
	for (size_t i = 0; o->providers != NULL && o->providers[i] != NULL; i++)
		free((char *)(uintptr_t)o->providers[i]);
	free(o->providers);
	free(spec);
	*o = (struct detach_order){0};
}
