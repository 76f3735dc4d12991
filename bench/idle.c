/* Idle devices: connects them all, lets them rest, and asks how much memory the daemon took for each.
 *
 *     bench_idle --port P --devices FILE --pid N [--rest-ms 5000]
 *
 * Prints {"devices","bytesEach","rssBytesEach","connectSeconds","anonBefore","anonAfter"}. Anonymous memory is what
 * belongs to the process alone; the kernel's socket buffers are not in it, nor in the bar. Afterwards every device
 * pings and must be answered: a daemon that forgot them would look thrifty. */
#include "gear/args.h"
#include "gear/device.h"

#define PONG_LIMIT_NS (30 * NS_PER_SEC)

static size_t pongs;

static void take_frame(struct device *d, struct str frame)
{
	(void)d;
	if (frame_is(frame, "pong")) pongs++;
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	int port = (int)args_int(&a, "port", ARG_NEEDED);
	const char *file = args_text(&a, "devices", NULL);
	pid_t pid = (pid_t)args_int(&a, "pid", ARG_NEEDED);
	int64_t rest_ns = args_int(&a, "rest-ms", 5000) * NS_PER_MS;
	args_done(&a);

	struct loop loop;
	size_t n;
	loop_init(&loop);
	struct device *devices = devices_load(file, &n);
	int64_t anon = proc_anon_bytes(pid), rss = proc_rss_bytes(pid), begun_ns = now_ns();
	devices_connect(&loop, devices, n, port, 64);
	int64_t took_ns = now_ns() - begun_ns;
	for (int64_t end_ns = now_ns() + rest_ns; now_ns() < end_ns;) loop_round(&loop, end_ns);
	int64_t anon_after = proc_anon_bytes(pid), rss_after = proc_rss_bytes(pid);

	for (size_t i = 0; i < n; i++) {
		devices[i].on_frame = take_frame;
		device_send(&devices[i], STR("{\"type\":\"ping\"}"));
	}
	for (int64_t end_ns = now_ns() + PONG_LIMIT_NS; pongs < n;) {
		loop_round(&loop, end_ns);
		if (now_ns() > end_ns) die(75, "%zu of %zu devices got a pong", pongs, n);
	}
	printf("{\"devices\":%zu,\"bytesEach\":%.1f,\"rssBytesEach\":%.1f,\"connectSeconds\":%.3f,\"anonBefore\":%lld,"
	       "\"anonAfter\":%lld}\n",
	       n, (double)(anon_after - anon) / (double)n, (double)(rss_after - rss) / (double)n, (double)took_ns / 1e9,
	       (long long)anon, (long long)anon_after);
	return 0;
}
