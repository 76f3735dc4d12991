/* The first token: how much later it comes through the daemon than straight from the provider.
 *
 *     bench_first --port P --devices FILE --provider-port P [--rounds 300] [--model fake:n3-r1000]
 *     bench_first … --step 1
 *
 * Each round asks once through the daemon and once the provider itself, over a connection that stays open, so that both
 * see the same machine. Prints {"relayed":{…},"direct":{…},"acked":{…}}, each from before the send; the last is the
 * message's ack.
 *
 * With --step 1 it asks once for an answer that never ends, and only when it is told to: it writes "ready", reads a
 * line, asks, writes "first" when the first token is there, reads a line and leaves. Whoever drives it can look at the
 * daemon's counters before and after. */
#include "gear/answer.h"
#include "gear/args.h"

#define ROUND_LIMIT_NS (5 * NS_PER_SEC)
#define REST_NS (NS_PER_MS)
#define WARM_ROUNDS 20
#define CONVERSATIONS 48 /* in turn, so that none grows long: its text goes to the provider with every request */

/* ---- straight to the provider ----------------------------------------------------------------------------------- */

struct direct {
	struct conn conn;
	struct loop *loop;
	int64_t first_ns;
	bool is_ended;
};

static void direct_bytes(struct conn *c, struct str bytes)
{
	struct direct *d = CONTAINER_OF(c, struct direct, conn);

	if (!bytes.p) die(69, "the provider closed the connection");
	if (!d->first_ns && memmem(bytes.p, bytes.n, "\"content\":\"", 11)) d->first_ns = now_ns();
	if (memmem(bytes.p, bytes.n, "[DONE]", 6)) d->is_ended = true;
}

static int64_t direct_ask(struct direct *d, const char *model)
{
	char body[512];
	int n = snprintf(
		body, sizeof(body),
		"{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Please answer.\"}]}",
		model);
	int64_t sent_ns = now_ns(), limit_ns = sent_ns + ROUND_LIMIT_NS;

	d->first_ns = 0;
	d->is_ended = false;
	if (!buf_addf(conn_out(&d->conn),
		      "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
		      "Content-Length: %d\r\n\r\n%s",
		      n, body))
		die(70, "no room for a request");
	while (!d->is_ended) {
		loop_round(d->loop, limit_ns);
		if (now_ns() > limit_ns) die(75, "the provider did not answer in 5 s");
	}
	return d->first_ns - sent_ns;
}

/* ---- through the daemon ----------------------------------------------------------------------------------------- */

static bool has_ended(struct answers *a, size_t i) { return a->v[i].step == ANSWER_IDLE; }

static bool has_begun(struct answers *a, size_t i)
{
	if (has_ended(a, i)) die(70, "the answer ended %s before its first token", a->v[i].state);
	return a->v[i].step == ANSWER_STREAMING;
}

static void step(struct answers *a)
{
	char line[16];

	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin)) return;
	answer_start(a, 0, "fake:n1-h", 0);
	answers_wait(a, ROUND_LIMIT_NS, has_begun, 0, "the first token");
	puts("first");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin)) return;
	answer_stop(a, 0);
	answers_wait(a, ROUND_LIMIT_NS, has_ended, 0, "the stop");
}

static void compare(struct answers *a, struct direct *d, const char *model, int64_t rounds)
{
	struct samples relayed = {0}, direct = {0}, acked = {0};
	const char *id = strchr(model, ':');

	for (int64_t round = -WARM_ROUNDS; round < rounds; round++) {
		size_t i = (size_t)(round + WARM_ROUNDS) % a->n;
		struct answer *one = &a->v[i];
		answer_start(a, i, model, round);
		answers_wait(a, ROUND_LIMIT_NS, has_ended, i, "an answer");
		if (strcmp(one->state, "done") != 0 || !one->first_ns) die(70, "an answer ended %s", one->state);
		for (int64_t end_ns = now_ns() + REST_NS; now_ns() < end_ns;) loop_round(a->loop, end_ns);
		int64_t straight_ns = direct_ask(d, id ? id + 1 : model);
		if (round < 0) continue;
		samples_add(&relayed, one->first_ns - one->sent_ns);
		samples_add(&acked, one->acked_ns - one->sent_ns);
		samples_add(&direct, straight_ns);
	}
	putchar('{');
	samples_print(&relayed, "relayed", stdout);
	putchar(',');
	samples_print(&direct, "direct", stdout);
	putchar(',');
	samples_print(&acked, "acked", stdout);
	puts("}");
}

int main(int argc, char **argv)
{
	struct args args = {.argc = argc, .argv = argv};
	int port = (int)args_int(&args, "port", ARG_NEEDED);
	int provider_port = (int)args_int(&args, "provider-port", ARG_NEEDED);
	const char *file = args_text(&args, "devices", NULL), *model = args_text(&args, "model", "fake:n3-r1000");
	int64_t rounds = args_int(&args, "rounds", 300), is_step = args_int(&args, "step", 0);
	args_done(&args);

	struct loop loop;
	struct answers a;
	size_t ndevices;
	loop_init(&loop);
	struct device *devices = devices_load(file, &ndevices);
	devices_connect(&loop, devices, 1, port, 1);
	answers_make(&a, &loop, devices, 1, CONVERSATIONS);
	if (is_step) {
		step(&a);
	} else {
		struct direct d = {.loop = &loop, .conn.on_bytes = direct_bytes};
		conn_connect(&loop, &d.conn, provider_port);
		compare(&a, &d, model, rounds);
	}
	return 0;
}
