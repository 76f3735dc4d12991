/* What it costs to decide who may go, and who may try again: the bare limiter, the relay with many requests waiting for one
 * limit, and as many turns that fail.
 *
 *     bench_limits [--waiting 10000] [--per-minute 1000] [--minutes 200]
 *
 * Prints {"waiting","askNs","decisions","decisionNs","admitNs","retries","retryNs","drawNs"}. askNs is one question to a full
 * account, with its answer when to ask again. decisionNs is one request that the relay lets go while --waiting wait: clock,
 * turns, gate, limiter and the making of the claim; as many are admitted anew in their places, at admitNs each. retryNs is
 * one turn of --waiting that ends in a failure: whether it is tried again, when, with which model. drawNs is the random
 * number of its wait alone. Everything on a clock of the bench's own and without a store, so that nothing else is
 * measured. */
#include <sys/queue.h>

#include "gear/args.h"
#include "gear/stats.h"
#include "relay/relay.h"

#define USERS 10
#define STEP_MS 1000

struct bench {
	struct relay *relay;
	struct limits limits;
	struct now now;
	struct store_op **ops; /* submitted, not yet answered */
	size_t nops, cap;
	struct job **calls; /* begun, not yet ended */
	size_t ncalls;
	int64_t per_minute, next_row;
};

static void fx_submit(void *ctx, struct store_op *op)
{
	struct bench *b = ctx;
	if (b->nops == b->cap) {
		b->cap = b->cap * 2 + 64;
		b->ops = xrealloc(b->ops, xmul(b->cap, sizeof(void *)));
		b->calls = xrealloc(b->calls, xmul(b->cap, sizeof(void *)));
	}
	b->ops[b->nops++] = op;
}

static void *fx_start(void *ctx, struct job *j, const struct job_info *view)
{
	struct bench *b = ctx;
	(void)view;
	b->calls[b->ncalls++] = j;
	return j;
}
static void fx_cancel(void *ctx, void *call)
{
	(void)ctx;
	(void)call;
}
static void fx_pause(void *ctx, void *call, bool paused)
{
	(void)ctx;
	(void)call;
	(void)paused;
}
static void fx_used(void *ctx, void *call, struct call_usage *out)
{
	(void)ctx;
	(void)call;
	*out = USAGE_UNKNOWN;
}
static void fx_publish(void *ctx, const struct delta *d)
{
	(void)ctx;
	(void)d;
}
static void fx_state(void *ctx, struct job *j)
{
	(void)ctx;
	(void)j;
}
static void fx_event(void *ctx, const char *type, const struct job *j, enum err e, struct str detail)
{
	(void)ctx;
	(void)type;
	(void)j;
	(void)e;
	(void)detail;
}
static const struct relay_effects effects = {fx_submit, fx_start,   fx_cancel, fx_pause,
					     fx_used,   fx_publish, fx_state,  fx_event};

static int provider_of(void *ctx, struct str model)
{
	(void)ctx;
	(void)model;
	return 0;
}

static void limits_of(void *ctx, struct str model, struct rate_limits *configured, struct rate_limits *usual)
{
	(void)model;
	(void)usual;
	configured->of[RATE_REQUESTS] = ((struct bench *)ctx)->per_minute;
}

/* A request of a conversation of its own, in a state. */
static struct request request_in(enum request_state state, struct str conv)
{
	return (struct request){.conversation_id = conv,
				.session_id = STR("s"),
				.message_id = STR("m"),
				.reply_id = STR("r"),
				.device_id = STR("d"),
				.state = state,
				.attempt = state == RQ_QUEUED ? 0 : 1,
				.owner = 1,
				.priority = PRIORITY_NORMAL,
				.model = STR("m"),
				.serving = STR("m"),
				.params = STR(""),
				.fallback = STR(""),
				.usage = USAGE_UNKNOWN,
				.error_code = STR(""),
				.error_text = STR(""),
				.attempts = STR("")};
}

static void admit(struct bench *b)
{
	char name[32];
	int64_t row = ++b->next_row;
	snprintf(name, sizeof name, "c%lld", (long long)row);
	struct job_info info = {.request_id = str_c(name),
				.row = row,
				.conv = row,
				.user = row % USERS,
				.request = request_in(RQ_QUEUED, str_c(name))};
	relay_admit(b->relay, &info, -1, b->now);
}

/* Everything that was submitted was committed; everything that was called was answered. */
static void answer(struct bench *b)
{
	static const struct call_end end = {.usage = {.input_tokens = 10, .output_tokens = 10},
					    .finish_reason = {"stop", 4},
					    .request_id = {"", 0}};
	while (b->nops > 0 || b->ncalls > 0) {
		while (b->nops > 0) {
			struct store_op *op = b->ops[--b->nops];
			if (op->run == cmd_claim_run)
				CONTAINER_OF(op, struct cmd_claim, op)->job.request = request_in(RQ_CLAIMED, STR("c"));
			if (op->run == cmd_finish_run)
				CONTAINER_OF(op, struct cmd_finish, op)->job.request = request_in(RQ_DONE, STR("c"));
			relay_committed(b->relay, op, b->now);
		}
		while (b->ncalls > 0) relay_call_done(b->relay, b->calls[--b->ncalls], &end, b->now);
	}
}

static double ask_ns(const struct bench *b)
{
	enum { TIMES = 2000000 };
	struct limiter l;
	struct rate_limits most = {.of = {[RATE_REQUESTS] = b->per_minute, [RATE_TOKENS] = 1000000}};
	int64_t sum = 0;
	limiter_init(&l, &most, NULL);
	for (int64_t i = 0; i < b->per_minute; i++) {
		struct charge c = charge_of(100, 100);
		limiter_add(&l, &c, b->now.boot_ms + i * 60000 / b->per_minute);
	}
	struct charge c = charge_of(100, 100);
	int64_t t0 = now_ns();
	for (int i = 0; i < TIMES; i++) sum += limiter_ask(&l, &c, b->now.boot_ms + 59999, NULL);
	int64_t t1 = now_ns();
	return sum != 0 ? (double)(t1 - t0) / TIMES : 0;
}

/* ---- trying again -------------------------------------------------------------------------------------------------- */

struct tries {
	struct rng rng;
	int64_t again, over;
	double retry_ns, draw_ns;
};

/* All turns are called and fail, each in one of five ways; those that are given up make room for new ones. */
static void fail_all(struct bench *b, struct tries *t, struct turn *turns, size_t n)
{
	static const struct turn_end ways[] = {
		{.fail = FAIL_RATE, .retryable = true, .retry_after_ms = 500},
		{.fail = FAIL_OVERLOADED, .retryable = true},
		{.fail = FAIL_SERVER, .retryable = true},
		{.fail = FAIL_NETWORK, .retryable = true, .has_fallback = true},
		{.fail = FAIL_AUTH},
	};
	bool falls_back;
	const char *why;
	for (size_t i = 0; i < n; i++) turn_begin(&turns[i], turns[i].attempt + 1, b->now);
	int64_t t0 = now_ns();
	for (size_t i = 0; i < n; i++)
		(void)turn_ended(&turns[i], &ways[i % ARRAY_LEN(ways)], &b->limits, &t->rng, b->now, &falls_back, &why);
	t->retry_ns += (double)(now_ns() - t0);
	for (size_t i = 0; i < n; i++) {
		if (turns[i].phase == TURN_BACKOFF) {
			t->again++;
			continue;
		}
		t->over++;
		turn_release(&turns[i]);
		turn_init(&turns[i], 0, 0, &b->limits);
	}
}

static struct tries try_again(struct bench *b, size_t n)
{
	enum { ROUNDS = 200 };
	struct tries t = {0};
	struct turn *turns = xcalloc(n, sizeof *turns);
	uint64_t sum = 0;
	rng_seed(&t.rng, 1);
	for (size_t i = 0; i < n; i++) turn_init(&turns[i], 0, 0, &b->limits);
	for (int i = 0; i < ROUNDS; i++) {
		fail_all(b, &t, turns, n);
		b->now.wall_ms += STEP_MS;
		b->now.boot_ms += STEP_MS;
	}
	int64_t t0 = now_ns();
	for (size_t i = 0; i < ROUNDS * n; i++) sum += rng_below(&t.rng, (uint64_t)b->limits.backoff_ms);
	t.draw_ns = sum != 0 ? (double)(now_ns() - t0) / (double)(ROUNDS * n) : 0;
	t.retry_ns /= (double)(ROUNDS * n);
	if (t.again == 0 || t.over == 0) die(70, "every failed turn was treated alike");
	for (size_t i = 0; i < n; i++) turn_release(&turns[i]);
	free(turns);
	return t;
}

int main(int argc, char **argv)
{
	struct args a = {argc, argv, 0};
	struct bench b = {.now = {1700000000000, 1000000}};
	int64_t waiting = args_int(&a, "waiting", 10000), minutes = args_int(&a, "minutes", 200);
	int64_t decisions = 0, spent_ns = 0, admit_ns = 0;
	b.per_minute = args_int(&a, "per-minute", 1000);
	args_done(&a);
	limits_default(&b.limits);
	struct provider_terms terms = {.slots = 4096, .has_circuit = true};
	struct relay_config c = {.limits = &b.limits,
				 .incarnation = 1,
				 .nproviders = 1,
				 .providers = &terms,
				 .seed = 1,
				 .provider_of = provider_of,
				 .limits_of = limits_of,
				 .effects = &effects,
				 .ctx = &b};
	b.relay = relay_new(&c);
	relay_start(b.relay, b.now);
	for (int64_t i = 0; i < waiting + b.per_minute; i++) admit(&b);
	answer(&b);
	for (int64_t step = 0; step < minutes * 60000 / STEP_MS; step++) {
		b.now.wall_ms += STEP_MS;
		b.now.boot_ms += STEP_MS;
		int64_t t0 = now_ns();
		relay_tick(b.relay, b.now);
		spent_ns += now_ns() - t0;
		int64_t went = (int64_t)b.nops;
		answer(&b);
		t0 = now_ns();
		for (int64_t i = 0; i < went; i++) admit(&b);
		admit_ns += now_ns() - t0;
		decisions += went;
	}
	struct tries tries = try_again(&b, (size_t)waiting);
	printf("{\"waiting\":%lld,\"askNs\":%.0f,\"decisions\":%lld,\"decisionNs\":%.0f,\"admitNs\":%.0f,"
	       "\"retries\":%lld,\"retryNs\":%.1f,\"drawNs\":%.1f}\n",
	       (long long)waiting, ask_ns(&b), (long long)decisions, (double)spent_ns / (double)MAX(decisions, 1),
	       (double)admit_ns / (double)MAX(decisions, 1), (long long)tries.again + (long long)tries.over,
	       tries.retry_ns, tries.draw_ns);
	relay_halt(b.relay);
	relay_free(b.relay);
	free(b.ops);
	free(b.calls);
	return 0;
}
