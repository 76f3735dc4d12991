/* A message on one device, visible on the others, which are behind a bad link and reconnect when it breaks.
 *
 *     bench_link --port P --proxy-port P --devices FILE [--seconds 60] [--per-second 5]
 *
 * The file's first device sends over the good port; the others, all of the same user, connect through the proxy. One that
 * is cut off comes back at once, from its cursor, as libroost's first try does. Prints
 * {"receivers","messages","reconnects","lost","repeated","seen":{…}}: from send to seen, of every message on every
 * device. */
#include "gear/args.h"
#include "gear/message.h"

#define LIMIT_NS (30 * NS_PER_SEC)
#define MOST 10000
#define FIRST_NUMBER 2000000

static struct loop loop;
static struct device *devices;
static size_t n, nmessages, nseen;
static int64_t sent_ns[MOST], reconnects, repeated;
static struct samples seen;

static void take_frame(struct device *d, struct str frame)
{
	static const char key[] = "\"text\":\"";
	unsigned char *got = d->ctx;
	if (!frame_is(frame, "session:changes")) return;
	device_keep_cursor(d, frame);
	const char *at = frame.p, *end = frame.p + frame.n;
	while (got && (at = memmem(at, (size_t)(end - at), key, sizeof(key) - 1))) {
		at += sizeof(key) - 1;
		int64_t i = strtoll(at, NULL, 10) - FIRST_NUMBER;
		if (i < 0 || i >= (int64_t)nmessages) continue;
		if (got[i]) {
			repeated++;
			continue;
		}
		got[i] = 1;
		nseen++;
		samples_add(&seen, now_ns() - sent_ns[i]);
	}
}

static void device_gone(struct device *d)
{
	(void)d;
	reconnects++;
}

static bool all_ready(void)
{
	for (size_t i = 0; i < n; i++)
		if (devices[i].state != DEVICE_READY) return false;
	return true;
}

static bool all_seen(void) { return nseen >= nmessages * (n - 1); }

static void come_back(int proxy)
{
	for (size_t i = 1; i < n; i++)
		if (devices[i].state == DEVICE_CLOSED) device_connect(&loop, &devices[i], proxy);
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	int port = (int)args_int(&a, "port", ARG_NEEDED), proxy = (int)args_int(&a, "proxy-port", ARG_NEEDED);
	const char *file = args_text(&a, "devices", NULL);
	int64_t seconds = args_int(&a, "seconds", 60), rate = args_int(&a, "per-second", 5);
	args_done(&a);
	if (seconds * rate > MOST) die(64, "at most %d messages", MOST);

	loop_init(&loop);
	devices = devices_load(file, &n);
	devices_connect(&loop, devices, n, port, 8); /* each learns its cursor */
	struct id *conversation = conversations_make(&loop, devices, 1, 1);
	for (size_t i = 0; i < n; i++) {
		devices[i].on_frame = take_frame;
		devices[i].on_lost = device_gone;
		devices[i].ctx = i ? xcalloc(MOST, 1) : NULL;
	}
	devices_close(devices + 1, n - 1);
	loop_round(&loop, 0);
	int64_t limit_ns = now_ns() + LIMIT_NS;
	while (!all_ready()) {
		come_back(proxy);
		loop_round(&loop, now_ns() + NS_PER_MS);
		if (now_ns() > limit_ns) die(75, "the first connections: still waiting");
	}
	reconnects = 0;
	int64_t begun_ns = now_ns(), gap_ns = NS_PER_SEC / rate;
	while ((int64_t)nmessages < seconds * rate) {
		sent_ns[nmessages] = now_ns();
		message_send(&devices[0], conversation, FIRST_NUMBER + (int64_t)nmessages, 0);
		nmessages++;
		int64_t next_ns = begun_ns + (int64_t)nmessages * gap_ns;
		while (now_ns() < next_ns) {
			come_back(proxy);
			loop_round(&loop, next_ns);
		}
	}
	for (int64_t end_ns = now_ns() + LIMIT_NS; !all_seen() && now_ns() < end_ns;) {
		come_back(proxy);
		loop_round(&loop, end_ns);
	}
	printf("{\"receivers\":%zu,\"messages\":%zu,\"reconnects\":%lld,\"lost\":%lld,\"repeated\":%lld,", n - 1,
	       nmessages, (long long)reconnects, (long long)(nmessages * (n - 1) - nseen), (long long)repeated);
	samples_print(&seen, "seen", stdout);
	puts("}");
	return 0;
}
