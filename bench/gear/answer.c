#include "gear/answer.h"

#include "base/clock.h"

#define JOIN_LIMIT_NS (60 * NS_PER_SEC)

enum { STEP_JOIN, STEP_SEND, STEP_STOP, STEPS }; /* a frame's id is answer * STEPS + step */

static struct answer *answer_of_request(struct answers *a, const struct device *d, struct str request)
{
	for (size_t i = d->place; i < a->n; i += d->group)
		if (str_eq(str_c(a->v[i].request), request)) return &a->v[i];
	return NULL;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static int64_t hex(const char *p, size_t n)
{
	int64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		int digit = p[i] >= 'a' ? p[i] - 'a' + 10 : p[i] - '0';
		if (digit < 0 || digit > 15) die(70, "not a token of the provider: %.*s", TOKEN_BYTES, p);
		v = v << 4 | digit;
	}
	return v;
}

static void token_take(struct answers *a, struct answer *one, const char *token)
{
	int64_t written_us = hex(token, 9), number = hex(token + 10, 5);

	if (number != (one->tokens & 0xfffff))
		die(70, "token %lld came instead of %lld", (long long)number, (long long)one->tokens);
	one->tokens++;
	a->tokens++;
	if (a->latency) {
		int64_t now_us = now_ns() / NS_PER_US, wrap = 0xfffffffffLL;
		samples_add(a->latency, ((now_us - written_us) & wrap) * NS_PER_US);
	}
}

static void text_take(struct answers *a, struct answer *one, struct str text)
{
	size_t have = (size_t)(one->offset % TOKEN_BYTES);

	one->offset += (int64_t)text.n;
	if (have) {
		size_t missing = MIN(TOKEN_BYTES - have, text.n);
		memcpy(one->part + have, text.p, missing);
		text = str_n(text.p + missing, text.n - missing);
		if (have + missing < TOKEN_BYTES) return;
		token_take(a, one, one->part);
	}
	for (; text.n >= TOKEN_BYTES; text = str_n(text.p + TOKEN_BYTES, text.n - TOKEN_BYTES))
		token_take(a, one, text.p);
	memcpy(one->part, text.p, text.n);
}

static void delta_take(struct answers *a, struct device *d, struct str frame)
{
	struct answer *one = answer_of_request(a, d, frame_field(frame, "requestId"));
	int64_t offset = frame_int(frame, "offset", -1), attempt = frame_int(frame, "attempt", -1);

	if (!one) die(70, "text of a request that nobody made: %.*s", STR_ARG(frame));
	if (attempt != one->attempt && offset == 0) {
		one->attempt = attempt;
		one->offset = one->tokens = 0;
	}
	if (attempt != one->attempt || offset != one->offset)
		die(70, "text at offset %lld of attempt %lld came where %lld of %lld was due", (long long)offset,
		    (long long)attempt, (long long)one->offset, (long long)one->attempt);
	if (one->step == ANSWER_ACKED) {
		one->step = ANSWER_STREAMING;
		one->first_ns = now_ns();
		a->nstreaming++;
	}
	text_take(a, one, frame_field(frame, "text"));
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

static bool is_final(struct str state)
{
	return str_eq(state, STR("done")) || str_eq(state, STR("failed")) || str_eq(state, STR("stopped"));
}

static void state_take(struct answers *a, struct device *d, struct str frame)
{
	struct answer *one = answer_of_request(a, d, frame_field(frame, "requestId"));
	struct str state = frame_field(frame, "state");

	if (!one || one->step == ANSWER_IDLE) return;
	if (!str_copy(state, one->state, sizeof(one->state))) die(70, "a state without a name: %.*s", STR_ARG(frame));
	if (!is_final(state)) return;
	if (one->step == ANSWER_STREAMING) a->nstreaming--;
	one->step = ANSWER_IDLE;
	one->ended_ns = now_ns();
	a->nended++;
}

static void ack_take(struct answers *a, struct str frame)
{
	int64_t re = frame_int(frame, "re", -1);

	if (re < 0 || (size_t)(re / STEPS) >= a->n || re % STEPS != STEP_SEND)
		die(70, "an ack of nothing: %.*s", STR_ARG(frame));
	struct answer *one = &a->v[re / STEPS];
	if (!str_copy(frame_field(frame, "requestId"), one->request, sizeof(one->request)) || !one->request[0])
		die(70, "an ack without a request: %.*s", STR_ARG(frame));
	one->acked_ns = now_ns();
	one->step = ANSWER_ACKED;
}

static void take_frame(struct device *d, struct str frame)
{
	struct answers *a = d->ctx;

	if (frame_is(frame, "message:delta")) {
		delta_take(a, d, frame);
	} else if (frame_is(frame, "message:ack")) {
		ack_take(a, frame);
	} else if (frame_is(frame, "request:state")) {
		state_take(a, d, frame);
	} else if (frame_is(frame, "session:state")) {
		if (frame_int(frame, "re", -1) % STEPS == STEP_JOIN) a->njoined++;
	} else if (frame_is(frame, "message:reset")) {
		a->nresets++;
	}
}

/* ---- verbs ------------------------------------------------------------------------------------------------------ */

static bool all_joined(struct answers *a, size_t i)
{
	(void)i;
	return a->njoined == a->n;
}

void answers_make(struct answers *a, struct loop *l, struct device *devices, size_t ndevices, size_t n)
{
	struct id *conversations = conversations_make(l, devices, ndevices, n);

	ASSERT(ndevices > 0);
	*a = (struct answers){.loop = l, .v = xcalloc(n, sizeof(struct answer)), .n = n};
	for (size_t i = 0; i < ndevices; i++) {
		devices[i].on_frame = take_frame;
		devices[i].ctx = a;
		devices[i].place = i;
		devices[i].group = ndevices;
	}
	for (size_t i = 0; i < n; i++) {
		a->v[i] = (struct answer){.device = &devices[i % ndevices], .conversation = conversations[i]};
		device_sendf(a->v[i].device, "{\"type\":\"session:join\",\"id\":%zu,\"conversationId\":\"%s\"}",
			     i * STEPS + STEP_JOIN, conversations[i].s);
	}
	free(conversations);
	answers_wait(a, JOIN_LIMIT_NS, all_joined, 0, "joining the conversations");
}

void answer_start(struct answers *a, size_t i, const char *model, int64_t mark)
{
	struct answer *one = &a->v[i];
	struct id id = id_new(clock_wall_ms());

	ASSERT(one->step == ANSWER_IDLE);
	one->step = ANSWER_SENT;
	one->request[0] = one->state[0] = '\0';
	one->attempt = -1;
	one->offset = one->tokens = 0;
	one->acked_ns = one->first_ns = one->ended_ns = 0;
	one->sent_ns = now_ns();
	device_sendf(one->device,
		     "{\"type\":\"message:send\",\"id\":%zu,\"messageId\":\"%s\",\"conversationId\":\"%s\","
		     "\"text\":\"Please answer. mark:%lld\",\"request\":{\"model\":\"%s\"}}",
		     i * STEPS + STEP_SEND, id.s, one->conversation.s, (long long)mark, model);
}

void answer_stop(struct answers *a, size_t i)
{
	device_sendf(a->v[i].device, "{\"type\":\"request:stop\",\"id\":%zu,\"requestId\":\"%s\"}",
		     i * STEPS + STEP_STOP, a->v[i].request);
}

void answers_wait(struct answers *a, int64_t limit_ns, bool (*is_done)(struct answers *a, size_t i), size_t i,
		  const char *what)
{
	int64_t until_ns = now_ns() + limit_ns;

	while (!is_done(a, i)) {
		loop_round(a->loop, until_ns);
		if (now_ns() > until_ns)
			die(75, "%s: still waiting after %lld ms", what, (long long)(limit_ns / NS_PER_MS));
	}
}
