#include "gear/message.h"

#include "base/clock.h"

#define MAKE_LIMIT_NS (60 * NS_PER_SEC)

struct id message_send(struct device *d, const struct id *conversation, int64_t number, int64_t frame_id)
{
	static const char prose[] =
		"is the number of this message; what follows has the length of an ordinary thing to say to a model, with a "
		"question at its end, so that the store has about as much to keep as in real life, does it?";
	struct id id = id_new(clock_wall_ms());
	char text[MESSAGE_BYTES + 16]; /* a number may have 19 digits, for all the compiler knows */

	snprintf(text, sizeof(text), "%010lld %.*s", (long long)number, MESSAGE_BYTES - 11, prose);
	device_sendf(d,
		     "{\"type\":\"message:send\",\"id\":%lld,\"messageId\":\"%s\",\"conversationId\":\"%s\","
		     "\"text\":\"%s\",\"request\":null}",
		     (long long)frame_id, id.s, conversation->s, text);
	return id;
}

static void count_ack(struct device *d, struct str frame)
{
	if (frame_is(frame, "message:ack")) ++*(size_t *)d->ctx;
}

struct id *conversations_make(struct loop *l, struct device *devices, size_t ndevices, size_t n)
{
	int64_t deadline_ns = now_ns() + MAKE_LIMIT_NS;
	struct id *all = xcalloc(n, sizeof(*all));
	size_t acked = 0;

	for (size_t i = 0; i < n; i++) {
		struct device *d = &devices[i % ndevices];
		d->on_frame = count_ack;
		d->ctx = &acked;
		all[i] = id_new(clock_wall_ms());
		message_send(d, &all[i], (int64_t)i, (int64_t)i);
	}
	while (acked < n) {
		loop_round(l, deadline_ns);
		if (now_ns() > deadline_ns) die(75, "%zu of %zu conversations were made in a minute", acked, n);
	}
	return all;
}
