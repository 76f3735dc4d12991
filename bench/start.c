/* Start: from the exec of `roost serve` to the first 200 of GET /readyz.
 *
 *     bench_start --roost PROGRAM --dir DIR [--runs 11] [--fresh 1]
 *
 * Every run starts the daemon on DIR, on a port of the kernel's choice, waits for it to say where it listens, asks
 * until it is ready, ends it with SIGTERM and waits. --fresh 1 gives every run an empty directory (DIR/1, DIR/2, …), so
 * that making the store is part of the time. Prints {"runs","ready":{…},"anonBytes","rssBytes"}; the memory is the
 * median of what each daemon had half a second after it was ready. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gear/args.h"
#include "gear/stats.h"

#define READY_LIMIT_NS (30 * NS_PER_SEC)
#define ASK_AGAIN_NS (200 * NS_PER_US)
#define SETTLE_NS (NS_PER_SEC / 2)

static pid_t daemon_start(const char *program, const char *dir, int *out_fd)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC)) die(71, "pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0) die(71, "fork: %s", strerror(errno));
	if (pid == 0) {
		int quiet = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(quiet, STDIN_FILENO);
		dup2(fds[1], STDOUT_FILENO);
		dup2(quiet, STDERR_FILENO);
		execl(program, program, "serve", "--data", dir, "--listen", "127.0.0.1:0", (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	*out_fd = fds[0];
	return pid;
}

/* The port in the daemon's line "listening on http://127.0.0.1:PORT". */
static int port_read(int fd)
{
	char text[4096];
	size_t n = 0;

	for (;;) {
		ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);
		if (got <= 0) die(69, "the daemon ended without saying where it listens");
		n += (size_t)got;
		text[n] = '\0';
		const char *at = strstr(text, "http://127.0.0.1:");
		if (at && strchr(at, '\n')) return (int)strtol(at + 17, NULL, 10);
	}
}

static bool is_ready(int port)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	static const char ask[] = "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
	char answer[16] = "";
	bool ready = false;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) die(71, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0)
		ready = recv(fd, answer, 12, MSG_WAITALL) == 12 && strcmp(answer, "HTTP/1.1 200") == 0;
	close(fd);
	return ready;
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	const char *program = args_text(&a, "roost", NULL), *dir = args_text(&a, "dir", NULL);
	int64_t runs = args_int(&a, "runs", 11), is_fresh = args_int(&a, "fresh", 0);
	args_done(&a);

	struct samples ready = {0}, anon = {0}, rss = {0};
	for (int64_t run = 0; run < runs; run++) {
		char path[4096];
		int fd, status;
		if (is_fresh) snprintf(path, sizeof(path), "%s/%lld", dir, (long long)run);
		else snprintf(path, sizeof(path), "%s", dir);
		if (mkdir(path, 0700) && errno != EEXIST) die(74, "%s: %s", path, strerror(errno));
		int64_t begun_ns = now_ns(), limit_ns = begun_ns + READY_LIMIT_NS;
		pid_t pid = daemon_start(program, path, &fd);
		int port = port_read(fd);
		while (!is_ready(port)) {
			if (now_ns() > limit_ns) die(75, "the daemon is not ready after 30 s");
			sleep_until_ns(now_ns() + ASK_AGAIN_NS);
		}
		samples_add(&ready, now_ns() - begun_ns);
		sleep_until_ns(now_ns() + SETTLE_NS);
		samples_add(&anon, proc_anon_bytes(pid));
		samples_add(&rss, proc_rss_bytes(pid));
		kill(pid, SIGTERM);
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status))
			die(70, "the daemon did not end well");
		close(fd);
	}
	printf("{\"runs\":%lld,\"anonBytes\":%lld,\"rssBytes\":%lld,", (long long)runs,
	       (long long)samples_at(&anon, 0.5), (long long)samples_at(&rss, 0.5));
	samples_print(&ready, "ready", stdout);
	puts("}");
	return 0;
}
