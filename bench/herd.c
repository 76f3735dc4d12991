/* The herd: every device comes back at the same moment, after a restart of the daemon, and must be told what it missed.
 *
 *     bench_herd --port P --devices FILE --missed N
 *
 * The file's devices belong to users; the first of each user makes a conversation. Then the program writes "ready" and
 * waits for its connections to break and for a line with the new port. It reconnects the first of each user, which sends
 * N messages; when those are durable it lets all the others come at once. Each must get each of its user's N messages
 * once. Prints {"devices","users","seconds","repeated","caught":{…}}: from the first connect to the moment a device had
 * everything. */
#include "gear/args.h"
#include "gear/message.h"

#define LIMIT_NS (120 * NS_PER_SEC)

struct one {
	struct device *d;
	size_t missing;     /* messages it has not got yet */
	unsigned char *got; /* per message */
	int64_t done_ns;
	size_t leader; /* of its user */
};

static struct loop loop;
static struct device *devices;
static struct one *all;
static struct id *conversations;
static size_t n, nlost, nacked, ndone, nleaders, missed;
static int64_t repeated;

/* The messages sent while it was away carry their number at the front of their text: "0000000123 is the number …". */
static void count_messages(struct one *o, struct str frame)
{
	static const char key[] = "\"text\":\"";
	const char *at = frame.p, *end = frame.p + frame.n;
	while ((at = memmem(at, (size_t)(end - at), key, sizeof(key) - 1))) {
		at += sizeof(key) - 1;
		int64_t number = strtoll(at, NULL, 10) - 1000000;
		if (number < 0 || number >= (int64_t)missed) continue;
		if (o->got[number]) repeated++;
		else if (--o->missing == 0) {
			o->done_ns = now_ns();
			ndone++;
		}
		o->got[number] = 1;
	}
}

static void take_frame(struct device *d, struct str frame)
{
	struct one *o = d->ctx;
	if (frame_is(frame, "message:ack")) {
		nacked++;
	} else if (frame_is(frame, "session:changes")) {
		device_keep_cursor(d, frame);
		if (o->leader != (size_t)(o - all)) count_messages(o, frame);
	}
}

static void device_gone(struct device *d)
{
	(void)d;
	nlost++;
}

static bool all_lost(void *ctx) { return ((void)ctx, nlost >= n); }
static bool all_acked(void *ctx) { return ((void)ctx, nacked >= nleaders * missed); }
static bool all_done(void *ctx) { return ((void)ctx, ndone >= n - nleaders); }
static bool leaders_ready(void *ctx)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		if (all[i].leader == i && devices[i].state != DEVICE_READY) return false;
	return true;
}

static void lay_out(void)
{
	all = xcalloc(n, sizeof(*all));
	for (size_t i = 0; i < n; i++) {
		bool same = i > 0 && strcmp(devices[i].user, devices[i - 1].user) == 0;
		all[i] = (struct one){.d = &devices[i],
				      .missing = missed,
				      .got = xcalloc(missed, 1),
				      .leader = same ? all[i - 1].leader : i};
		nleaders += !same;
	}
	conversations = xcalloc(n, sizeof(*conversations));
	for (size_t i = 0; i < n; i++) {
		if (all[i].leader != i) continue;
		struct id *made = conversations_make(&loop, &devices[i], 1, 1);
		conversations[i] = made[0];
		free(made);
	}
	for (size_t i = 0; i < n; i++) {
		devices[i].on_frame = take_frame;
		devices[i].on_lost = device_gone;
		devices[i].ctx = &all[i];
	}
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	int port = (int)args_int(&a, "port", ARG_NEEDED);
	const char *file = args_text(&a, "devices", NULL);
	missed = (size_t)args_int(&a, "missed", ARG_NEEDED);
	args_done(&a);

	char line[32];
	struct samples caught = {0};
	loop_init(&loop);
	devices = devices_load(file, &n);
	devices_connect(&loop, devices, n, port, 64);
	lay_out();
	for (int64_t end_ns = now_ns() + 2 * NS_PER_SEC; now_ns() < end_ns;) loop_round(&loop, end_ns);
	puts("ready");
	fflush(stdout);
	devices_wait(&loop, LIMIT_NS, all_lost, NULL, "the daemon to end");
	if (!fgets(line, sizeof(line), stdin)) die(70, "nobody says where the daemon is now");
	port = (int)strtol(line, NULL, 10);

	for (size_t i = 0; i < n; i++)
		if (all[i].leader == i) device_connect(&loop, &devices[i], port);
	devices_wait(&loop, LIMIT_NS, leaders_ready, NULL, "the first of each user");
	for (size_t m = 0; m < missed; m++)
		for (size_t i = 0; i < n; i++)
			if (all[i].leader == i) message_send(&devices[i], &conversations[i], 1000000 + (int64_t)m, 0);
	devices_wait(&loop, LIMIT_NS, all_acked, NULL, "the messages to be durable");

	int64_t begun_ns = now_ns();
	for (size_t i = 0; i < n; i++)
		if (all[i].leader != i) device_connect(&loop, &devices[i], port);
	devices_wait(&loop, LIMIT_NS, all_done, NULL, "everybody to catch up");
	for (int64_t end_ns = now_ns() + NS_PER_SEC; now_ns() < end_ns;) loop_round(&loop, end_ns); /* repeats? */
	for (size_t i = 0; i < n; i++)
		if (all[i].leader != i) samples_add(&caught, all[i].done_ns - begun_ns);
	printf("{\"devices\":%zu,\"users\":%zu,\"seconds\":%.3f,\"repeated\":%lld,", n - nleaders, nleaders,
	       (double)samples_at(&caught, 1) / 1e9, (long long)repeated);
	samples_print(&caught, "caught", stdout);
	puts("}");
	return 0;
}
