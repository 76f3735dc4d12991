/* What a durable write costs here: fdatasync after one page was written over, as a write-ahead log does it.
 *
 *     bench_disk --dir DIR [--rounds 1000]
 *
 * Prints {"sync":{…}}, the time of the fdatasync alone. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "gear/args.h"
#include "gear/stats.h"

#define PAGE_BYTES 4096
#define FILE_PAGES 1024

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	const char *dir = args_text(&a, "dir", NULL);
	int64_t rounds = args_int(&a, "rounds", 1000);
	args_done(&a);

	static char page[PAGE_BYTES];
	struct samples sync = {0};
	char path[4096];
	snprintf(path, sizeof(path), "%s/sync.tmp", dir);
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) die(74, "%s: %s", path, strerror(errno));
	for (int64_t i = 0; i < FILE_PAGES + rounds; i++) {
		bool is_laid_out = i >= FILE_PAGES;
		memset(page, (int)i, sizeof(page));
		if (pwrite(fd, page, sizeof(page), i % FILE_PAGES * PAGE_BYTES) != PAGE_BYTES)
			die(74, "%s: %s", path, strerror(errno));
		if (!is_laid_out && i + 1 < FILE_PAGES) continue;
		int64_t begun_ns = now_ns();
		if (fdatasync(fd)) die(74, "%s: %s", path, strerror(errno));
		if (is_laid_out) samples_add(&sync, now_ns() - begun_ns);
	}
	close(fd);
	unlink(path);
	putchar('{');
	samples_print(&sync, "sync", stdout);
	puts("}");
	return 0;
}
