#include "gear/stats.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <time.h>

int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

void sleep_until_ns(int64_t at_ns)
{
	struct timespec t = {.tv_sec = at_ns / NS_PER_SEC, .tv_nsec = at_ns % NS_PER_SEC};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) continue;
}

void samples_add(struct samples *s, int64_t v)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 1024;
		s->v = xrealloc(s->v, xmul(s->cap, sizeof(*s->v)));
	}
	s->v[s->n++] = v;
	s->sorted = false;
}

void samples_release(struct samples *s)
{
	free(s->v);
	*s = (struct samples){0};
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

int64_t samples_at(struct samples *s, double rank)
{
	if (!s->n) return 0;
	if (!s->sorted) qsort(s->v, s->n, sizeof(*s->v), compare);
	s->sorted = true;
	/* nearest rank: the smallest sample that at least rank·n samples do not pass */
	size_t place = (size_t)ceil(rank * (double)s->n);
	return s->v[place ? MIN(place, s->n) - 1 : 0];
}

void samples_print(struct samples *s, const char *name, FILE *out)
{
	static const struct {
		const char *name;
		double rank;
	} rows[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};

	fprintf(out, "\"%s\":{\"n\":%zu", name, s->n);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		fprintf(out, ",\"%s\":%.4f", rows[i].name, (double)samples_at(s, rows[i].rank) / 1e6);
	fputc('}', out);
}

/* The first number of a file under /proc, after `key` when there is one. */
static int64_t proc_number(const char *path, const char *key)
{
	char line[256];
	int64_t out = 0;
	FILE *f = fopen(path, "re");

	if (!f) return 0;
	while (fgets(line, sizeof(line), f)) {
		size_t skip = key ? strlen(key) : 0;
		if (key && strncmp(line, key, skip) != 0) continue;
		out = strtoll(line + skip, NULL, 10);
		break;
	}
	fclose(f);
	return out;
}

int64_t proc_cpu_ns(pid_t pid)
{
	char path[320];
	int64_t sum = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = opendir(path);
	if (!dir) return 0;
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.') continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, e->d_name);
		sum += proc_number(path, NULL);
	}
	closedir(dir);
	return sum;
}

static int64_t status_bytes(pid_t pid, const char *key)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return proc_number(path, key) * 1024;
}

int64_t proc_anon_bytes(pid_t pid) { return status_bytes(pid, "RssAnon:"); }
int64_t proc_rss_bytes(pid_t pid) { return status_bytes(pid, "VmRSS:"); }
