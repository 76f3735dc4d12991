/* Durable acks: each device keeps a number of messages unacknowledged and sends the next one for every ack.
 *
 *     bench_acks --port P --devices FILE [--pid N] [--unacked 32] [--seconds 5 | --messages N] [--warm-ms 500]
 *                [--conversations 1]
 *
 * Prints {"acks","seconds","perSecond","cpuUsPerAck","latency":{…}}: acks counted after the warm-up, the daemon's
 * processor time for each, and the time from send to ack. --messages ends after so many acks instead (and counts them
 * all), which is also how a big zone is filled. --conversations is per device, taken in turn. */
#include "gear/args.h"
#include "gear/message.h"

#define MESSAGES_LIMIT_NS (600 * NS_PER_SEC)

struct sender {
	struct device *device;
	struct id *conversations; /* nconversations of them */
	int64_t *sent_ns;         /* of the unacked, by slot; a frame's id is its slot */
};

static size_t nconversations;
static int64_t counted, total, next_number, max_messages;
static bool is_counting;
static struct samples latency;

static void send_one(struct sender *s, int64_t slot)
{
	if (max_messages && next_number == max_messages) return;
	s->sent_ns[slot] = now_ns();
	message_send(s->device, &s->conversations[(size_t)next_number % nconversations], next_number, slot);
	next_number++;
}

static void take_frame(struct device *d, struct str frame)
{
	struct sender *s = d->ctx;

	if (!frame_is(frame, "message:ack")) return;
	int64_t slot = frame_int(frame, "re", -1);
	if (slot < 0) die(70, "an ack without re: %.*s", STR_ARG(frame));
	total++;
	if (is_counting) {
		counted++;
		samples_add(&latency, now_ns() - s->sent_ns[slot]);
	}
	send_one(s, slot);
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	int port = (int)args_int(&a, "port", ARG_NEEDED);
	const char *file = args_text(&a, "devices", NULL);
	pid_t pid = (pid_t)args_int(&a, "pid", 0);
	size_t unacked = (size_t)args_int(&a, "unacked", 32);
	int64_t length_ns = args_int(&a, "seconds", 5) * NS_PER_SEC;
	max_messages = args_int(&a, "messages", 0);
	int64_t warm_ns = max_messages ? 0 : args_int(&a, "warm-ms", 500) * NS_PER_MS;
	nconversations = (size_t)args_int(&a, "conversations", 1);
	args_done(&a);

	struct loop loop;
	size_t n;
	loop_init(&loop);
	struct device *devices = devices_load(file, &n);
	struct sender *senders = xcalloc(n, sizeof(*senders));
	devices_connect(&loop, devices, n, port, 32);
	for (size_t i = 0; i < n; i++) {
		senders[i] = (struct sender){.device = &devices[i],
					     .conversations = conversations_make(&loop, &devices[i], 1, nconversations),
					     .sent_ns = xcalloc(unacked, sizeof(int64_t))};
		devices[i].ctx = &senders[i];
		devices[i].on_frame = take_frame;
	}

	int64_t begun_ns = now_ns(), from_ns = begun_ns, cpu_ns = proc_cpu_ns(pid);
	int64_t until_ns = begun_ns + (max_messages ? MESSAGES_LIMIT_NS : warm_ns + length_ns);
	is_counting = !warm_ns;
	for (size_t i = 0; i < n; i++)
		for (size_t slot = 0; slot < unacked; slot++) send_one(&senders[i], (int64_t)slot);
	while (now_ns() < until_ns && !(max_messages && total == max_messages)) {
		loop_round(&loop, until_ns);
		if (!is_counting && now_ns() - begun_ns >= warm_ns) {
			is_counting = true;
			from_ns = now_ns();
			cpu_ns = proc_cpu_ns(pid);
		}
	}
	int64_t took_ns = now_ns() - from_ns;
	cpu_ns = proc_cpu_ns(pid) - cpu_ns;
	if (!counted || (max_messages && total < max_messages)) die(75, "only %lld acks came", (long long)total);

	printf("{\"acks\":%lld,\"seconds\":%.3f,\"perSecond\":%.1f,\"cpuUsPerAck\":%.2f,", (long long)counted,
	       (double)took_ns / 1e9, (double)counted * 1e9 / (double)took_ns, (double)cpu_ns / 1e3 / (double)counted);
	samples_print(&latency, "latency", stdout);
	puts("}");
	return 0;
}
