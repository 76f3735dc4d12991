/* Any bytes as current.jsonl: opening repairs the end, what is written afterwards is read back, numbers grow, and what
 * the reader gives out is right line by line. */
#include <fcntl.h>
#include <unistd.h>

#include "event/journal.h"

static char dir[] = "/dev/shm/roost-fuzz-XXXXXX";

static enum err see(void *ctx, int64_t n, struct str line)
{
	int64_t *last = ctx, seen;
	struct str at;
	ASSERT(journal_check_line(line, &seen, &at));
	ASSERT_CMP(seen, ==, n);
	ASSERT_CMP(n, >, *last);
	*last = n;
	return OK;
}

static void remove_files(void)
{
	static const char *const names[] = {"current.jsonl", "current.jsonl.torn"};
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) unlinkat(fd, names[i], 0);
	close(fd);
}

static void remove_dir(void) { rmdir(dir); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static bool made;
	struct limits limits;
	struct journal *j;
	struct errinfo info;
	char path[sizeof dir + 20];
	int64_t before = 0, after = 0, bad;
	if (!made && (mkdtemp(dir) == NULL || atexit(remove_dir) != 0)) return 0;
	made = true;
	limits_default(&limits);
	snprintf(path, sizeof path, "%s/current.jsonl", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ASSERT_CMP(write(fd, data, n), ==, (ssize_t)n);
	close(fd);
	ASSERT_CMP(journal_read(dir, 0, 0, see, &before, &bad, &info), ==, OK);
	ASSERT_CMP(journal_open(dir, &limits, &j, &info), ==, OK);
	journal_event(j, "daemon.started", EVI("pid", 1));
	journal_close(j);
	ASSERT_CMP(journal_read(dir, 0, 0, see, &after, &bad, &info), ==, OK);
	ASSERT_CMP(after, >, before);
	remove_files();
	return 0;
}
