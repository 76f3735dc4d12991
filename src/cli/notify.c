/* Who is started here is nobody's child in the end: the first process ends at once and is waited for, the second runs the
 * program, and rings the bell if that could not show anything. */
#include "cli/notify.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cli/program.h"
#include "cli/show_paper.h"
#include "cli/term.h"

#define CHARACTERS_MAX 200

static void ring(void)
{
	if (isatty(STDERR_FILENO) != 1) return;
	ssize_t n = write(STDERR_FILENO, "\a", 1);
	(void)n;
}

/* One line of at most so many characters. */
static char *cleaned(struct str text, bool is_markup)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT), out = BUF_INIT(BUF_NO_LIMIT);
	size_t n, characters = 0;
	show_clean(&b, str_n(text.p, MIN(text.n, (size_t)CHARACTERS_MAX * 8)), TERM_ONE_LINE);
	for (size_t i = 0; i < b.n && characters < CHARACTERS_MAX; i += n, characters++) {
		(void)term_char(str_n(b.p + i, b.n - i), &n);
		if (is_markup && b.p[i] == '&') buf_add_str(&out, STR("&amp;"));
		else if (is_markup && b.p[i] == '<') buf_add_str(&out, STR("&lt;"));
		else buf_add(&out, b.p + i, n);
	}
	buf_add_char(&out, '\0');
	buf_release(&b);
	return buf_take(&out, NULL);
}

/* In the first process: nothing but calls that are safe behind a fork. */
static _Noreturn void run_beside(const char *path, char *const *argv)
{
	int status = 0;
	(void)setsid();
	if (fork() != 0) _exit(0);
	int none = open("/dev/null", O_RDWR), kept = isatty(STDERR_FILENO) == 1 ? STDERR_FILENO : -1;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) /* who reads our output must not wait for this */
		if (fd != kept) (void)dup2(none, fd);
	pid_t pid = fork();
	if (pid == 0) {
		(void)dup2(none, STDERR_FILENO);
		execv(path, argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) ring();
	_exit(0);
}

static void start(const char *path, char *const *argv)
{
	pid_t pid = fork();
	if (pid == 0) run_beside(path, argv);
	if (pid < 0) ring();
	else (void)waitpid(pid, NULL, 0);
}

void notify(struct str from, struct str title, struct str text)
{
	char path[PROGRAM_PATH];
	fflush(stdout);
	fflush(stderr);
	if (program_find("notify-send", path)) {
		char *own = cleaned(from, false), *head = cleaned(title, false), *body = cleaned(text, true);
		char *argv[] = {"notify-send", "-a", own, "--", head, body, NULL};
		start(path, argv);
		free(own);
		free(head);
		free(body);
	} else if (program_find("osascript", path)) {
		char *head = cleaned(title, false), *body = cleaned(text, false);
		char *argv[] = {"osascript",
				"-e",
				"on run argv",
				"-e",
				"display notification (item 2 of argv) with title (item 1 of argv)",
				"-e",
				"end run",
				"--",
				head,
				body,
				NULL};
		start(path, argv);
		free(head);
		free(body);
	} else {
		ring();
	}
}
