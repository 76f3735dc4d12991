/* What the program under test asks the kernel for: time, random numbers, the end of the process. The linker leads the
 * calls here (--wrap); libraries it stands on (SQLite, OpenSSL) keep their own, and none of those shows. */
#include <errno.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "sim/world.h"

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
ssize_t __wrap_getrandom(void *p, size_t n, unsigned flags);
int __wrap_flock(int fd, int what);
int __wrap_prctl(int option, ...);
int __wrap_setrlimit(int what, const void *limit);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t us = id == CLOCK_REALTIME ? wall_us() : now_us();
	*ts = (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
	return 0;
}

ssize_t __wrap_getrandom(void *p, size_t n, unsigned flags)
{
	(void)flags;
	entropy(p, n);
	return (ssize_t)n;
}

/* The lock of the data directory died with the daemon that held it. */
int __wrap_flock(int fd, int what)
{
	(void)fd;
	(void)what;
	return 0;
}

/* What the daemon asks for its own process is not for the simulator's. */
int __wrap_prctl(int option, ...)
{
	(void)option;
	return 0;
}

int __wrap_setrlimit(int what, const void *limit)
{
	(void)what;
	(void)limit;
	return 0;
}

_Noreturn void __wrap__exit(int status);

/* The daemon ends itself only when its disk failed, and the simulated one does not. */
_Noreturn void __wrap__exit(int status) { broken("the daemon goes on", "it ended itself with status %d", status); }
