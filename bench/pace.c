/* Ack latency at a fixed rate, open loop: a message is sent when it is due, whether or not the ones before are acked,
 * and its latency counts from when it was due. A stall is thus seen by every message it delays.
 *
 *     bench_pace --port P --devices FILE [--pid N] [--rate 1000] [--seconds 10] [--warm-ms 1000]
 *
 * The devices take turns. Prints {"sent","cpuUsPerAck","latency":{…}}. */
#include "gear/args.h"
#include "gear/message.h"

#define DRAIN_NS (5 * NS_PER_SEC)

static int64_t *due_ns; /* of each message, by number; a frame's id is the number */
static int64_t acked, first_counted;
static struct samples latency;

static void take_frame(struct device *d, struct str frame)
{
	(void)d;
	if (!frame_is(frame, "message:ack")) return;
	int64_t number = frame_int(frame, "re", -1);
	if (number < 0) die(70, "an ack without re: %.*s", STR_ARG(frame));
	acked++;
	if (number >= first_counted) samples_add(&latency, now_ns() - due_ns[number]);
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	int port = (int)args_int(&a, "port", ARG_NEEDED);
	const char *file = args_text(&a, "devices", NULL);
	pid_t pid = (pid_t)args_int(&a, "pid", 0);
	int64_t rate = args_int(&a, "rate", 1000), seconds = args_int(&a, "seconds", 10);
	first_counted = args_int(&a, "warm-ms", 1000) * rate / 1000;
	args_done(&a);
	if (rate <= 0) die(64, "--rate is messages per second, at least 1");

	struct loop loop;
	size_t n;
	int64_t count = first_counted + seconds * rate;
	loop_init(&loop);
	struct device *devices = devices_load(file, &n);
	ASSERT(n > 0);
	devices_connect(&loop, devices, n, port, 32);
	struct id *conversations = conversations_make(&loop, devices, n, n);
	for (size_t i = 0; i < n; i++) devices[i].on_frame = take_frame;
	due_ns = xcalloc((size_t)count, sizeof(*due_ns));

	int64_t begun_ns = now_ns() + 10 * NS_PER_MS, cpu_ns = proc_cpu_ns(pid), sent = 0;
	int64_t until_ns = begun_ns + count * NS_PER_SEC / rate + DRAIN_NS;
	while (acked < count && now_ns() < until_ns) {
		loop_round(&loop, sent < count ? begun_ns + sent * NS_PER_SEC / rate : until_ns);
		for (; sent < count && begun_ns + sent * NS_PER_SEC / rate <= now_ns(); sent++) {
			due_ns[sent] = begun_ns + sent * NS_PER_SEC / rate;
			message_send(&devices[(size_t)sent % n], &conversations[(size_t)sent % n], sent, sent);
		}
	}
	cpu_ns = proc_cpu_ns(pid) - cpu_ns;
	if (acked < count) die(75, "%lld of %lld messages were acked", (long long)acked, (long long)count);
	printf("{\"sent\":%lld,\"cpuUsPerAck\":%.2f,", (long long)count, (double)cpu_ns / 1e3 / (double)count);
	samples_print(&latency, "latency", stdout);
	puts("}");
	return 0;
}
