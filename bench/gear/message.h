/* The messages that benchmarks send: 200 bytes of text each, no two alike. */
#ifndef BENCH_GEAR_MESSAGE_H
#define BENCH_GEAR_MESSAGE_H

#include "gear/device.h"

#define MESSAGE_BYTES 200

/* Sends message number `number` into the conversation, without a request; the answer's `re` is `frame_id`. */
struct id message_send(struct device *d, const struct id *conversation, int64_t number, int64_t frame_id);
/* Makes n conversations, conversation i on device i mod ndevices, by sending their first messages, and waits for the
 * acks. The caller frees them. */
struct id *conversations_make(struct loop *l, struct device *devices, size_t ndevices, size_t n);

#endif
