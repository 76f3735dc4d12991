/* Fan-out: one device of a user sends, all the others of that user wait for it.
 *
 *     bench_fanout --port P --devices FILE [--pid N] [--rounds 200] [--gap-ms 10]
 *
 * The file's first device sends, the others receive; a round ends when the last of them has the message. The generator
 * reads all of them in one thread, and its own time is part of the figure. Prints
 * {"receivers","rounds","cpuUsPerReceiver","last":{…},"ack":{…}}: send to the last receiver, send to the sender's ack. */
#include "gear/args.h"
#include "gear/message.h"

#define ROUND_LIMIT_NS (5 * NS_PER_SEC)
#define WARM_ROUNDS 10

static struct id message;
static int64_t sent_ns, last_ns, acked_ns;
static size_t got;

static void take_frame(struct device *d, struct str frame)
{
	if (d->ctx) {
		if (frame_is(frame, "message:ack")) acked_ns = now_ns();
	} else if (memmem(frame.p, frame.n, message.s, ID_LEN)) {
		got++;
		last_ns = now_ns();
	}
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	int port = (int)args_int(&a, "port", ARG_NEEDED);
	const char *file = args_text(&a, "devices", NULL);
	pid_t pid = (pid_t)args_int(&a, "pid", 0);
	int64_t rounds = args_int(&a, "rounds", 200), gap_ns = args_int(&a, "gap-ms", 10) * NS_PER_MS;
	args_done(&a);

	struct samples last = {0}, ack = {0};
	struct loop loop;
	size_t n;
	loop_init(&loop);
	struct device *devices = devices_load(file, &n);
	if (n < 2) die(65, "one device has nobody to send to");
	devices_connect(&loop, devices, n, port, 64);
	struct id *conversation = conversations_make(&loop, devices, 1, 1);
	for (size_t i = 0; i < n; i++) {
		devices[i].on_frame = take_frame;
		devices[i].ctx = i ? NULL : &devices[0];
	}
	for (int64_t end_ns = now_ns() + NS_PER_SEC; now_ns() < end_ns;) loop_round(&loop, end_ns);

	int64_t cpu_ns = 0;
	for (int64_t round = -WARM_ROUNDS; round < rounds; round++) {
		if (round == 0) cpu_ns = proc_cpu_ns(pid);
		got = 0;
		acked_ns = 0;
		sent_ns = now_ns();
		message = message_send(&devices[0], conversation, round, 0);
		int64_t limit_ns = sent_ns + ROUND_LIMIT_NS;
		while (got < n - 1 || !acked_ns) {
			loop_round(&loop, limit_ns);
			if (now_ns() > limit_ns) die(75, "%zu of %zu devices got a message in 5 s", got, n - 1);
		}
		if (round >= 0) {
			samples_add(&last, last_ns - sent_ns);
			samples_add(&ack, acked_ns - sent_ns);
		}
		for (int64_t next_ns = sent_ns + gap_ns; now_ns() < next_ns;) loop_round(&loop, next_ns);
	}
	cpu_ns = proc_cpu_ns(pid) - cpu_ns;
	printf("{\"receivers\":%zu,\"rounds\":%lld,\"cpuUsPerReceiver\":%.3f,", n - 1, (long long)rounds,
	       (double)cpu_ns / 1e3 / (double)rounds / (double)(n - 1));
	samples_print(&last, "last", stdout);
	putchar(',');
	samples_print(&ack, "ack", stdout);
	puts("}");
	return 0;
}
