/* Twins: many devices of one user say the same thing at the same moment; one of them is heard.
 *
 *     bench_twins --port P --devices FILE [--rounds 10000]
 *
 * In each round every device sends the same text, new in every round, into the same session. One message must be taken
 * and all the others refused as duplicates of it; and what a device says twice by itself must be taken twice. Prints
 * {"devices","rounds","missed","wrong","perSecond"}: duplicates that were taken, messages that were refused wrongly,
 * messages judged in a second. */
#include "gear/args.h"
#include "gear/message.h"

#include "base/clock.h"

#define LIMIT_NS (30 * NS_PER_SEC)

static size_t nacked, nrefused, wanted;

static void take_frame(struct device *d, struct str frame)
{
	(void)d;
	if (frame_is(frame, "message:ack")) nacked++;
}

static void take_error(struct device *d, struct str frame)
{
	(void)d;
	if (!str_eq(frame_field(frame, "code"), STR("duplicate_message"))) die(70, "%.*s", STR_ARG(frame));
	nrefused++;
}

static bool is_judged(void *ctx) { return ((void)ctx, nacked + nrefused >= wanted); }

static void say(struct device *d, const struct id *conversation, const char *text)
{
	struct id id = id_new(clock_wall_ms());
	device_sendf(d,
		     "{\"type\":\"message:send\",\"id\":1,\"messageId\":\"%s\",\"conversationId\":\"%s\","
		     "\"text\":\"%s\"}",
		     id.s, conversation->s, text);
}

int main(int argc, char **argv)
{
	struct args a = {.argc = argc, .argv = argv};
	int port = (int)args_int(&a, "port", ARG_NEEDED);
	const char *file = args_text(&a, "devices", NULL);
	int64_t rounds = args_int(&a, "rounds", 10000), missed = 0, wrong = 0;
	args_done(&a);

	struct loop loop;
	size_t n;
	loop_init(&loop);
	struct device *devices = devices_load(file, &n);
	devices_connect(&loop, devices, n, port, 64);
	struct id *conversation = conversations_make(&loop, devices, 1, 1);
	for (size_t i = 0; i < n; i++) {
		devices[i].on_frame = take_frame;
		devices[i].on_error = take_error;
	}
	int64_t begun_ns = now_ns();
	for (int64_t round = 0; round < rounds; round++) {
		char text[64];
		snprintf(text, sizeof(text), "the same words of round %lld", (long long)round);
		nacked = nrefused = 0;
		wanted = n;
		for (size_t i = 0; i < n; i++) say(&devices[i], conversation, text);
		devices_wait(&loop, LIMIT_NS, is_judged, NULL, "a verdict on every message");
		missed += nacked > 1 ? (int64_t)nacked - 1 : 0;
		wrong += nacked == 0;
		/* The same device again: not a duplicate. Only now and then, so that the rest stays a race. */
		if (round % 100 != 0) continue;
		snprintf(text, sizeof(text), "yes, of round %lld", (long long)round);
		nacked = nrefused = 0;
		wanted = 2;
		say(&devices[0], conversation, text);
		say(&devices[0], conversation, text);
		devices_wait(&loop, LIMIT_NS, is_judged, NULL, "a verdict on every message");
		wrong += (int64_t)nrefused;
	}
	printf("{\"devices\":%zu,\"rounds\":%lld,\"missed\":%lld,\"wrong\":%lld,\"perSecond\":%.0f}\n", n,
	       (long long)rounds, (long long)missed, (long long)wrong,
	       (double)rounds * (double)n * 1e9 / (double)(now_ns() - begun_ns));
	return 0;
}
