#include "event/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

void journal_file_name(int64_t first_n, char out[JOURNAL_NAME_MAX])
{
	snprintf(out, JOURNAL_NAME_MAX, "journal-%012lld.jsonl", (long long)first_n);
}

static bool is_rotated(struct str name, int64_t *out_first)
{
	struct str prefix = STR("journal-"), suffix = STR(".jsonl");
	if (!str_starts(name, prefix) || name.n <= prefix.n + suffix.n) return false;
	if (!str_eq(str_n(name.p + name.n - suffix.n, suffix.n), suffix)) return false;
	return str_to_int(str_n(name.p + prefix.n, name.n - prefix.n - suffix.n), out_first) && *out_first > 0;
}

static int cmp_first(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

bool journal_files_list(int dirfd, struct journal_files *out)
{
	*out = (struct journal_files){0};
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		if (fd >= 0) close(fd);
		return false;
	}
	size_t cap = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		int64_t first;
		if (!is_rotated(str_c(e->d_name), &first)) continue;
		if (out->n == cap) {
			cap = MAX(cap * 2, (size_t)16);
			out->first = xrealloc(out->first, xmul(cap, sizeof *out->first));
		}
		out->first[out->n++] = first;
	}
	closedir(d);
	if (out->n > 0) qsort(out->first, out->n, sizeof *out->first, cmp_first);
	return true;
}

void journal_files_release(struct journal_files *f)
{
	free(f->first);
	*f = (struct journal_files){0};
}
