/* What a benchmark counts with: a clock, samples and their percentiles, a process's processor time and memory. */
#ifndef BENCH_GEAR_STATS_H
#define BENCH_GEAR_STATS_H

#include <sys/types.h>

#include "base/buf.h"

#define NS_PER_SEC 1000000000LL
#define NS_PER_MS 1000000LL
#define NS_PER_US 1000LL

int64_t now_ns(void); /* CLOCK_MONOTONIC: one clock for every process of this machine */
void sleep_until_ns(int64_t at_ns);

struct samples {
	int64_t *v; /* nanoseconds, or whatever the program measures */
	size_t n, cap;
	bool sorted;
};
void samples_add(struct samples *s, int64_t v);
void samples_release(struct samples *s);
/* The sample at that rank, sorting when needed: 0.5 is the median, 1 the greatest. 0 when there is none. */
int64_t samples_at(struct samples *s, double rank);
/* "name":{"n","p50","p90","p99","p999","max"} in milliseconds, after a comma unless it comes first in its object. */
void samples_print(struct samples *s, const char *name, FILE *out);

/* Of a running process; all threads. 0 when it cannot be read. */
int64_t proc_cpu_ns(pid_t pid);
int64_t proc_anon_bytes(pid_t pid); /* RssAnon */
int64_t proc_rss_bytes(pid_t pid);

#endif
