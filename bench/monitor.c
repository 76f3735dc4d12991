/* The monitor's first frame with many experiments on disk, and what a look costs with a short and a long event file.
 *
 *     bench_monitor [--roost PATH] [--experiments 10000] [--rounds 5] [--small-mb 1] [--large-mb 700] [--seconds 10]
 *                   [--dir DIR]
 *
 * Frame: `experiments` that are over and one that runs (this process holds its lock) lie in an output; `roost monitor`
 * begins in a pseudo-terminal of 120x40, and the time from before the fork to the arrival of the frame's last line is
 * taken, the median of the rounds. The same without the others is `emptyFrameMs`: what starting the program takes.
 * Refresh: one experiment runs whose event file has so many megabytes; a line is added to it every 50 ms, the monitor
 * looks at it twice a second, and its processor time over `seconds` is taken once it has read all there is. Prints
 * {"experiments","firstFrameMs","emptyFrameMs","smallMb","largeMb","smallCpuMsPerSecond","largeCpuMsPerSecond","ratio"}. */
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event/lab_line.h"
#include "gear/args.h"
#include "gear/stats.h"
#include "lab/place.h"

#define LAST_WORDS "q quit" /* of a frame */
#define FRAME_WAIT_MS 20000
#define SETTLE_NS (3 * NS_PER_SEC) /* until what was there has been read */
#define LINE_EVERY_NS (50 * NS_PER_MS)

static const char *program;

static void make_dir(const char *path)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST) die(73, "%s cannot be made", path);
}

static void put_file(const char *path, struct str text, const char *mode)
{
	FILE *f = fopen(path, mode);
	if (f == NULL || fwrite(text.p, 1, text.n, f) != text.n || fclose(f) != 0)
		die(73, "%s cannot be written", path);
}

static void put_manifest(const char *dir, const char *status)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT), path = BUF_INIT(4096);
	const char *base = strrchr(dir, '/') + 1;
	buf_addf(&b,
		 "{\"experiment_id\":\"experiment_%s\",\"name\":\"%.*s\",\"config\":{\"max_turns\":20},"
		 "\"total_conversations\":3,\"status\":\"%s\",\"conversations\":{",
		 base + strlen(base) - 8, (int)strlen(base) - 9, base, status);
	for (int i = 1; i <= 3; i++)
		buf_addf(
			&b,
			"%s\"conv_0000000%d\":{\"status\":\"%s\",\"jsonl\":\"events_conv_0000000%d.jsonl\",\"total_turns\":20,"
			"\"token_usage\":{\"agent_a\":{\"prompt_tokens\":100,\"completion_tokens\":50}},\"messages\":40}",
			i > 1 ? "," : "", i, i == 1 ? status : "completed", i);
	buf_addf(&b, "},\"started_at\":\"2026-01-02T03:04:05Z\",\"agents\":[\"local:test\",\"local:test\"]}");
	buf_addf(&path, "%s/manifest.json", dir);
	put_file(path.p, buf_str(&b), "w");
	buf_release(&b);
	buf_release(&path);
}

/* An experiment's directory. */
static void put_experiment(const char *output, const char *base, const char *status, struct buf *out_dir)
{
	buf_clear(out_dir);
	buf_addf(out_dir, "%s/%s", output, base);
	make_dir(out_dir->p);
	put_manifest(out_dir->p, status);
}

static int hold(const char *dir)
{
	struct place p = {.dir = (char *)dir, .name = (char *)"bench"};
	struct errinfo info = {0};
	int fd;
	if (place_lock(&p, &fd, &info) != OK) die(73, "%s", info.text);
	return fd;
}

/* ---- the program in a terminal ---------------------------------------------------------------------------------- */

static pid_t begin(const char *output, int *out_fd)
{
	struct winsize size = {.ws_row = 40, .ws_col = 120};
	pid_t child = forkpty(out_fd, NULL, NULL, &size);
	if (child < 0) die(71, "no pseudo-terminal");
	if (child > 0) return child;
	setenv("TERM", "xterm-256color", 1);
	execl(program, program, "monitor", "--output", output, "--data", "/nonexistent", NULL);
	_exit(127);
}

static bool has_words(const struct buf *b, const char *words)
{
	return words == NULL || memmem(buf_str(b).p, b->n, words, strlen(words)) != NULL;
}

/* Reads until the frame's last words came, and `row` when it is not NULL; or for so long. */
static bool read_frame(int fd, const char *row, int64_t for_ns)
{
	struct buf all = BUF_INIT(BUF_NO_LIMIT);
	int64_t end_ns = now_ns() + for_ns;
	bool has_come = false;
	while (!has_come && now_ns() < end_ns) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char piece[16384];
		if (poll(&p, 1, (int)((end_ns - now_ns()) / NS_PER_MS) + 1) <= 0) continue;
		ssize_t n = read(fd, piece, sizeof piece);
		if (n <= 0) break;
		buf_add(&all, piece, (size_t)n);
		has_come = has_words(&all, LAST_WORDS) && has_words(&all, row);
	}
	buf_release(&all);
	return has_come;
}

/* Reads what comes, for so long. */
static void drain(int fd, int64_t for_ns)
{
	char piece[16384];
	for (int64_t end_ns = now_ns() + for_ns; now_ns() < end_ns;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int waits = poll(&p, 1, (int)((end_ns - now_ns()) / NS_PER_MS) + 1);
		if (waits > 0 && read(fd, piece, sizeof piece) <= 0) return;
	}
}

static void quit(pid_t child, int fd)
{
	int status = 0;
	if (write(fd, "q", 1) != 1) kill(child, SIGTERM);
	while (waitpid(child, &status, WNOHANG) == 0) drain(fd, 10 * NS_PER_MS);
	close(fd);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) die(70, "the monitor ended with %d", status);
}

/* `row`: what stands in one of its rows, NULL none. */
static int64_t frame_ns(const char *output, const char *row)
{
	int fd;
	int64_t begun_ns = now_ns();
	pid_t child = begin(output, &fd);
	if (!read_frame(fd, row, FRAME_WAIT_MS * NS_PER_MS)) die(70, "no frame has come");
	int64_t took_ns = now_ns() - begun_ns;
	quit(child, fd);
	return took_ns;
}

static double frame_ms(const char *output, const char *row, int64_t rounds)
{
	struct samples s = {0};
	for (int64_t i = 0; i < rounds; i++) samples_add(&s, frame_ns(output, row));
	double ms = (double)samples_at(&s, 0.5) / 1e6;
	samples_release(&s);
	return ms;
}

/* ---- refreshes -------------------------------------------------------------------------------------------------- */

static void make_line(struct buf *b)
{
	static char text[900];
	struct lab_message said = {
		.role = STR("assistant"), .content = {text, sizeof text}, .agent_id = STR("agent_a")};
	struct lab_event e = {.type = LE_MESSAGE_COMPLETE, .at_us = 1767323045678901, .seq = 1};
	memset(text, 'a', sizeof text);
	e.v[0] = lv_str(STR("conv_00000001"));
	e.v[LF(MessageCompleteEvent, agent_id)] = lv_str(STR("agent_a"));
	e.v[LF(MessageCompleteEvent, message)] = lv_message(&said);
	lab_line_write(b, &e, REDACT_NONE);
}

/* Milliseconds of processor time per second, while the file grows. */
static double refresh_ms(const char *output, int64_t mb, int64_t seconds)
{
	struct buf dir = BUF_INIT(4096), path = BUF_INIT(4096), line = BUF_INIT(BUF_NO_LIMIT),
		   many = BUF_INIT(BUF_NO_LIMIT);
	int fd, lock;
	make_dir(output);
	put_experiment(output, "live_0000ffff", "running", &dir);
	buf_addf(&path, "%s/events_conv_00000001.jsonl", dir.p);
	make_line(&line);
	while (many.n < 1000000) buf_add_str(&many, buf_str(&line));
	for (int64_t i = 0; i < mb; i++) put_file(path.p, buf_str(&many), "a");
	lock = hold(dir.p);
	pid_t child = begin(output, &fd);
	drain(fd, SETTLE_NS);
	int64_t cpu_ns = proc_cpu_ns(child), begun_ns = now_ns(), end_ns = begun_ns + seconds * NS_PER_SEC;
	while (now_ns() < end_ns) {
		put_file(path.p, buf_str(&line), "a");
		drain(fd, LINE_EVERY_NS);
	}
	double ms = (double)(proc_cpu_ns(child) - cpu_ns) / 1e6 / ((double)(now_ns() - begun_ns) / 1e9);
	quit(child, fd);
	close(lock);
	buf_release(&dir);
	buf_release(&path);
	buf_release(&line);
	buf_release(&many);
	return ms;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static double many_frame_ms(const char *output, int64_t n, int64_t rounds)
{
	struct buf dir = BUF_INIT(4096);
	char base[64];
	make_dir(output);
	for (int64_t i = 0; i < n; i++) {
		snprintf(base, sizeof base, "experiment-%lld_%08llx", (long long)i, (unsigned long long)i);
		put_experiment(output, base, "completed", &dir);
	}
	put_experiment(output, "live_0000ffff", "running", &dir);
	int lock = hold(dir.p);
	double ms = frame_ms(output, "completed", rounds);
	close(lock);
	buf_release(&dir);
	return ms;
}

int main(int argc, char **argv)
{
	struct args args = {.argc = argc, .argv = argv};
	program = args_text(&args, "roost", "build/release/bin/roost");
	int64_t n = args_int(&args, "experiments", 10000), rounds = args_int(&args, "rounds", 5);
	int64_t small = args_int(&args, "small-mb", 1), large = args_int(&args, "large-mb", 700);
	int64_t seconds = args_int(&args, "seconds", 10);
	const char *where = args_text(&args, "dir", "/tmp");
	args_done(&args);

	char dir[200], output[240];
	snprintf(dir, sizeof dir, "%s/bench-monitor-XXXXXX", where);
	if (mkdtemp(dir) == NULL) die(73, "%s cannot be made", dir);
	unsetenv("XDG_RUNTIME_DIR");
	snprintf(output, sizeof output, "%s/none", dir);
	make_dir(output);
	double empty = frame_ms(output, NULL, rounds);
	snprintf(output, sizeof output, "%s/many", dir);
	double many = many_frame_ms(output, n, rounds);
	snprintf(output, sizeof output, "%s/small", dir);
	double small_ms = refresh_ms(output, small, seconds);
	snprintf(output, sizeof output, "%s/large", dir);
	double large_ms = refresh_ms(output, large, seconds);
	printf("{\"experiments\":%lld,\"firstFrameMs\":%.1f,\"emptyFrameMs\":%.1f,\"smallMb\":%lld,\"largeMb\":%lld,"
	       "\"smallCpuMsPerSecond\":%.2f,\"largeCpuMsPerSecond\":%.2f,\"ratio\":%.2f}\n",
	       (long long)n, many, empty, (long long)small, (long long)large, small_ms, large_ms, large_ms / small_ms);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
