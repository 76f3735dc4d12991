/* Many answers at once: what the daemon adds to each token, and that none is lost, doubled or out of order.
 *
 *     bench_tokens --port P --devices FILE --pid N [--answers 64] [--model fake:n3000-r400] [--seconds 6]
 *
 * All answers start together; the figures are of the time in which every one of them streams, after half a second of
 * settling. A token is counted when a device has it, which is after it is on disk. Its latency is from the provider's
 * write to the device's read, the generator's own time included. Prints
 * {"answers","tokens","seconds","perSecond","cpuUsPerToken","anonBytes","latency":{…}}. The answers must be long enough
 * for the seconds asked for; at the end all are waited for, so that each is checked whole. */
#include "gear/answer.h"
#include "gear/args.h"

#define START_LIMIT_NS (30 * NS_PER_SEC)
#define END_LIMIT_NS (60 * NS_PER_SEC)
#define SETTLE_NS (NS_PER_SEC / 2)
#define LOOK_NS (NS_PER_SEC / 4)

static bool all_stream(struct answers *a, size_t i)
{
	(void)i;
	if (a->nended) die(70, "an answer ended before the last one began: they are too short");
	return a->nstreaming == a->n;
}

static bool all_ended(struct answers *a, size_t i)
{
	(void)i;
	return a->nended == a->n;
}

static void run_for(struct answers *a, int64_t ns)
{
	for (int64_t end_ns = now_ns() + ns; now_ns() < end_ns;) loop_round(a->loop, end_ns);
}

int main(int argc, char **argv)
{
	struct args args = {.argc = argc, .argv = argv};
	int port = (int)args_int(&args, "port", ARG_NEEDED);
	const char *file = args_text(&args, "devices", NULL), *model = args_text(&args, "model", "fake:n3000-r400");
	pid_t pid = (pid_t)args_int(&args, "pid", ARG_NEEDED);
	size_t n = (size_t)args_int(&args, "answers", 64);
	int64_t length_ns = args_int(&args, "seconds", 6) * NS_PER_SEC;
	args_done(&args);

	struct loop loop;
	struct answers a;
	size_t ndevices;
	loop_init(&loop);
	struct device *devices = devices_load(file, &ndevices);
	devices_connect(&loop, devices, ndevices, port, 32);
	answers_make(&a, &loop, devices, ndevices, n);

	struct samples latency = {0};
	int64_t anon = 0;
	for (size_t i = 0; i < n; i++) answer_start(&a, i, model, (int64_t)i);
	answers_wait(&a, START_LIMIT_NS, all_stream, 0, "the first token of every answer");
	run_for(&a, SETTLE_NS);
	a.latency = &latency;
	int64_t tokens = a.tokens, begun_ns = now_ns(), end_ns = begun_ns + length_ns, cpu_ns = proc_cpu_ns(pid);
	while (now_ns() < end_ns && !a.nended) {
		run_for(&a, LOOK_NS);
		anon = MAX(anon, proc_anon_bytes(pid));
	}
	int64_t took_ns = now_ns() - begun_ns;
	cpu_ns = proc_cpu_ns(pid) - cpu_ns;
	tokens = a.tokens - tokens;
	a.latency = NULL;
	answers_wait(&a, END_LIMIT_NS, all_ended, 0, "the end of every answer");
	if (a.nresets) die(70, "%zu streams were dropped or begun again", a.nresets);
	for (size_t i = 0; i < n; i++)
		if (strcmp(a.v[i].state, "done") != 0 || a.v[i].tokens != a.v[0].tokens)
			die(70, "answer %zu ended %s with %lld tokens, the first one has %lld", i, a.v[i].state,
			    (long long)a.v[i].tokens, (long long)a.v[0].tokens);

	printf("{\"answers\":%zu,\"tokens\":%lld,\"seconds\":%.3f,\"perSecond\":%.1f,\"cpuUsPerToken\":%.2f,"
	       "\"anonBytes\":%lld,",
	       n, (long long)tokens, (double)took_ns / 1e9, (double)tokens * 1e9 / (double)took_ns,
	       tokens ? (double)cpu_ns / 1e3 / (double)tokens : 0.0, (long long)anon);
	samples_print(&latency, "latency", stdout);
	puts("}");
	return 0;
}
