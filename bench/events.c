/* What recording costs: message events of a kilobyte into event files, as an experiment writes them.
 *
 *     bench_events --dir DIR [--seconds 3] [--sync-ms 1000] [--files 1] [--text 1024]
 *
 * Three runs over files in DIR, each of a third of the seconds: "buffered", lines handed to the writer with a sync every
 * sync-ms, until the last is in the file; "synced", with a sync for each group and a producer that keeps adding; and
 * "write", the same lines by one plain write(2) each, with nothing else done for them. A group is what
 * one sync is for. Prints
 * {"bytes","buffered":{"perSecond","mbPerSecond","cpuUs"},"synced":{"perSecond","group"},"write":{"perSecond"}}. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "event/lab_log.h"
#include "gear/args.h"
#include "gear/stats.h"

#define FILES_MAX 10000
#define PENDING_MAX ((size_t)4 << 20) /* the producer waits there, as a run does */
#define LOOK_EVERY 64                 /* events between two looks at the clock */

static _Atomic int64_t syncs;

/* The writer's, counted. */
int fdatasync(int fildes)
{
	syncs++;
	return (int)syscall(SYS_fdatasync, fildes);
}

int syncfs(int fd)
{
	syncs++;
	return (int)syscall(SYS_syncfs, fd);
}

struct bench {
	const char *dir;
	size_t nfiles;
	struct lab_message message;
	int64_t run_ns;
};

struct figures {
	int64_t events, took_ns, cpu_ns, syncs, line_bytes;
};

static void path_of(const struct bench *b, size_t file, char out[4096])
{
	snprintf(out, 4096, "%s/events_%zu.jsonl", b->dir, file);
}

static struct lab_event message_event(const struct bench *b)
{
	struct lab_event e = {.type = LE_MESSAGE_COMPLETE};
	e.v[LF(MessageCompleteEvent, conversation_id)] = lv_str(STR("conv_1a2b3c4d"));
	e.v[LF(MessageCompleteEvent, agent_id)] = lv_str(STR("agent_a"));
	e.v[LF(MessageCompleteEvent, message)] = lv_message(&b->message);
	e.v[LF(MessageCompleteEvent, prompt_tokens)] = lv_int(1234);
	e.v[LF(MessageCompleteEvent, completion_tokens)] = lv_int(256);
	e.v[LF(MessageCompleteEvent, total_tokens)] = lv_int(1490);
	e.v[LF(MessageCompleteEvent, duration_ms)] = lv_int(2345);
	e.v[LF(MessageCompleteEvent, turn_number)] = lv_int(7);
	return e;
}

static struct figures write_events(const struct bench *b, int64_t sync_ms)
{
	static struct lab_log *logs[FILES_MAX];
	struct errinfo info = {0};
	struct figures f = {.syncs = -syncs};
	char path[4096];
	struct lab_writer *w = lab_writer_new(&(struct lab_writer_options){.sync_ms = sync_ms});
	for (size_t i = 0; i < b->nfiles; i++) {
		path_of(b, i, path);
		unlink(path);
		const struct lab_log_options o = {
			.path = path, .experiment_id = STR("experiment_1a2b3c4d"), .next_seq = 1};
		if (lab_log_open(w, &o, &logs[i], &info) != OK) die(74, "%s", info.text);
	}
	int64_t begun_ns = now_ns(), cpu_ns = proc_cpu_ns(getpid());
	for (; f.events % LOOK_EVERY != 0 || now_ns() - begun_ns < b->run_ns; f.events++) {
		struct lab_event e = message_event(b);
		lab_log_add(logs[(size_t)f.events % b->nfiles], &e);
		while (lab_writer_pending(w) > PENDING_MAX) usleep(100);
	}
	for (size_t i = 0; i < b->nfiles; i++) f.line_bytes += lab_log_bytes(logs[i]);
	f.line_bytes /= MAX(f.events, (int64_t)1);
	for (size_t i = 0; i < b->nfiles; i++) lab_log_close(logs[i]);
	/* With a sync at its time only, those that are due at the end are not waited for: the lines are in the file. */
	while (sync_ms > 0 && lab_writer_pending(w) > 0) usleep(100);
	if (sync_ms == 0 && lab_writer_flush(w, &info) != OK) die(74, "%s", info.text);
	f.took_ns = now_ns() - begun_ns;
	f.cpu_ns = proc_cpu_ns(getpid()) - cpu_ns;
	f.syncs += syncs;
	if (lab_writer_free(w, &info) != OK) die(74, "%s", info.text);
	return f;
}

static struct figures write_plainly(const struct bench *b)
{
	struct buf line = BUF_INIT(BUF_NO_LIMIT);
	struct lab_event e = message_event(b);
	struct figures f = {0};
	char path[4096];
	e.at_us = 1767323045678901;
	lab_line_write(&line, &e, REDACT_NONE);
	path_of(b, 0, path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0) die(74, "%s: %s", path, strerror(errno));
	int64_t begun_ns = now_ns();
	for (; f.events % LOOK_EVERY != 0 || now_ns() - begun_ns < b->run_ns; f.events++)
		if (write(fd, line.p, line.n) != (ssize_t)line.n) die(74, "%s: %s", path, strerror(errno));
	f.took_ns = now_ns() - begun_ns;
	close(fd);
	buf_release(&line);
	return f;
}

static double per_second(const struct figures *f) { return (double)f->events * 1e9 / (double)f->took_ns; }

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	struct bench b = {.dir = args_text(&a, "dir", NULL)};
	int64_t sync_ms = args_int(&a, "sync-ms", 1000);
	b.run_ns = args_int(&a, "seconds", 3) * NS_PER_SEC / 3;
	b.nfiles = (size_t)args_int(&a, "files", 1);
	size_t text_bytes = (size_t)args_int(&a, "text", 1024);
	args_done(&a);
	if (b.nfiles < 1 || b.nfiles > FILES_MAX) die(64, "--files is from 1 to %d", FILES_MAX);

	static const char words[] =
		"What \"is\" a pigeon, if not a letter with wings? It is a bird that comes home, and nobody "
		"quite knows how.\nA long one. ";
	char *text = xmalloc(text_bytes + 1), path[4096];
	for (size_t i = 0; i < text_bytes; i++) text[i] = words[i % (sizeof words - 1)];
	b.message = (struct lab_message){STR("assistant"), str_n(text, text_bytes), STR("agent_a"), 1767323045678901};

	struct figures buffered = write_events(&b, sync_ms), synced = write_events(&b, 0), plain = write_plainly(&b);
	for (size_t i = 0; i < b.nfiles; i++) {
		path_of(&b, i, path);
		unlink(path);
	}
	free(text);
	printf("{\"bytes\":%lld,\"buffered\":{\"perSecond\":%.0f,\"mbPerSecond\":%.1f,\"cpuUs\":%.2f},"
	       "\"synced\":{\"perSecond\":%.0f,\"group\":%.1f},\"write\":{\"perSecond\":%.0f}}\n",
	       (long long)buffered.line_bytes, per_second(&buffered),
	       per_second(&buffered) * (double)buffered.line_bytes / 1e6,
	       (double)buffered.cpu_ns / 1e3 / (double)buffered.events, per_second(&synced),
	       (double)synced.events / (double)MAX(synced.syncs, (int64_t)1), per_second(&plain));
	return 0;
}
