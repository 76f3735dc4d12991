/* Answers under observation: a conversation each, a request in it, and every piece of streamed text checked on arrival.
 *
 * The text comes from bench_fake_provider, whose tokens carry the time they were written and their number. A piece whose
 * offset is not where the last one ended, or a token whose number is not the next, ends the program: a gap, a repeat and
 * a reorder are all found here. */
#ifndef BENCH_GEAR_ANSWER_H
#define BENCH_GEAR_ANSWER_H

#include "gear/message.h"

#define TOKEN_BYTES 16

enum answer_step {
	ANSWER_IDLE,     /* no request yet, or the last one has ended */
	ANSWER_SENT,     /* the message is on its way */
	ANSWER_ACKED,    /* the request is durable */
	ANSWER_STREAMING /* its first text came */
};

struct answer {
	struct device *device;
	struct id conversation;
	enum answer_step step;
	char request[ID_LEN + 1]; /* once acked */
	char state[16];           /* the last request:state: "queued" … "stopped" */
	int64_t sent_ns, acked_ns, first_ns, ended_ns;
	int64_t attempt, offset, tokens;
	char part[TOKEN_BYTES]; /* of a token that came in two pieces */
};

struct answers {
	struct loop *loop;
	struct answer *v;
	size_t n, nstreaming, nended; /* requests whose text is coming, and that have ended */
	size_t njoined, nresets;      /* nresets: streams that were dropped or begun again */
	int64_t tokens;               /* received */
	struct samples *latency;      /* of every token, from written to here; NULL: not wanted now */
};

/* Makes n conversations on the devices in turn and joins them. Takes over the devices' on_frame and ctx. */
void answers_make(struct answers *a, struct loop *l, struct device *devices, size_t ndevices, size_t n);
/* Sends a message with a request to `model`; `mark` is what the provider will note (see fake_provider.c). */
void answer_start(struct answers *a, size_t i, const char *model, int64_t mark);
void answer_stop(struct answers *a, size_t i);
/* Runs the loop until is_done says so; after limit_ns ends the program with "…: still waiting". */
void answers_wait(struct answers *a, int64_t limit_ns, bool (*is_done)(struct answers *a, size_t i), size_t i,
		  const char *what);

#endif
