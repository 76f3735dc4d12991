/* A crowd in one session: many devices of one user join it, and then each hears what one of them says.
 *
 *     bench_crowd --port P --devices FILE [--rounds 100] [--gap-ms 20]
 *
 * The joins come one after the other, each from a device that is connected already. Prints
 * {"devices","join":{…},"last":{…}}: session:join to session:state; a message's send to the last of the others. */
#include "gear/args.h"
#include "gear/message.h"

#define LIMIT_NS (10 * NS_PER_SEC)

static struct id message;
static size_t got, njoined;
static int64_t last_ns;

static void take_frame(struct device *d, struct str frame)
{
	if (frame_is(frame, "session:state")) {
		njoined++;
		last_ns = now_ns();
	} else if (!d->ctx && frame_is(frame, "session:changes") && memmem(frame.p, frame.n, message.s, ID_LEN)) {
		got++;
		last_ns = now_ns();
	}
}

static bool is_at(void *ctx)
{
	const size_t *pair = ctx; /* wanted of got, wanted of njoined */
	return got >= pair[0] && njoined >= pair[1];
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	int port = (int)args_int(&a, "port", ARG_NEEDED);
	const char *file = args_text(&a, "devices", NULL);
	int64_t rounds = args_int(&a, "rounds", 100), gap_ns = args_int(&a, "gap-ms", 20) * NS_PER_MS;
	args_done(&a);

	struct samples join = {0}, last = {0};
	struct loop loop;
	size_t n;
	loop_init(&loop);
	struct device *devices = devices_load(file, &n);
	devices_connect(&loop, devices, n, port, 64);
	struct id *conversation = conversations_make(&loop, devices, 1, 1);
	for (size_t i = 0; i < n; i++) {
		devices[i].on_frame = take_frame;
		devices[i].ctx = i ? NULL : &devices[0];
	}
	for (size_t i = 0; i < n; i++) {
		int64_t begun_ns = now_ns();
		device_sendf(&devices[i], "{\"type\":\"session:join\",\"conversationId\":\"%s\"}", conversation->s);
		devices_wait(&loop, LIMIT_NS, is_at, (size_t[]){0, i + 1}, "session:join");
		samples_add(&join, last_ns - begun_ns);
	}
	for (int64_t end_ns = now_ns() + NS_PER_SEC; now_ns() < end_ns;) loop_round(&loop, end_ns);
	for (int64_t round = 0; round < rounds; round++) {
		int64_t sent_ns = now_ns();
		got = 0;
		message = message_send(&devices[0], conversation, round, 0);
		devices_wait(&loop, LIMIT_NS, is_at, (size_t[]){n - 1, 0}, "a message to reach everybody");
		samples_add(&last, last_ns - sent_ns);
		for (int64_t next_ns = sent_ns + gap_ns; now_ns() < next_ns;) loop_round(&loop, next_ns);
	}
	printf("{\"devices\":%zu,", n);
	samples_print(&join, "join", stdout);
	putchar(',');
	samples_print(&last, "last", stdout);
	puts("}");
	return 0;
}
