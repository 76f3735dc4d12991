/* Stop: from a device's request:stop to the provider seeing its connection close, in every phase of a request.
 *
 *     bench_stop --port P --devices FILE --provider-port P --deaf-port P --pid N --phase PHASE
 *                [--rounds 100]
 *
 *   connecting  the provider's address takes no connection; what is watched is the daemon's half-open socket (Linux
 *               tells of it in /proc), because there is nobody who could see a close
 *   waiting     the provider has the request and is silent
 *   streaming   three tokens came
 *   queued      another answer holds the provider's only slot
 *   backoff     the provider answered 503 and the next attempt has not begun
 *   direct      the reference: no daemon, this program asks the provider itself and closes after three tokens
 *
 * Prints {"phase","rounds","closed":{…},"stopped":{…},"late":N}: stop to close (not for the last two phases, where no
 * connection exists), stop to the device's request:state, and the calls that reached the provider after their stop,
 * which must be none. */
#include <errno.h>
#include <unistd.h>

#include "base/json.h"
#include "gear/answer.h"
#include "gear/args.h"

#define ROUND_LIMIT_NS (10 * NS_PER_SEC)
#define REST_NS (20 * NS_PER_MS)
#define LOOK_NS (50 * NS_PER_US)
#define FD_MAX 4096
#define LATE_WATCH_NS (3 * NS_PER_SEC) /* longer than the wait after a first and a second failure */

enum phase { CONNECTING, WAITING, STREAMING, QUEUED, BACKOFF, DIRECT, PHASES };
static const struct {
	const char *name, *model;
} phases[PHASES] = {
	{"connecting", "deaf:n1"}, {"waiting", "fake:m"},    {"streaming", "fake:n100000-r200"},
	{"queued", "single:n1"},   {"backoff", "fake:s503"}, {"direct", "n100000-r200"},
};

static int deaf_port;
static pid_t daemon_pid;
static int64_t *stopped_at_ns; /* by mark */
static struct samples closed, stopped;

static void rest(struct answers *a, int64_t ns)
{
	for (int64_t end_ns = now_ns() + ns; now_ns() < end_ns;) loop_round(a->loop, end_ns);
}

/* ---- when a phase is reached ------------------------------------------------------------------------------------ */

/* The inode of the socket that tries to connect to the deaf port (state 02, SYN_SENT); 0 when there is none. */
static unsigned long half_open(void)
{
	char line[256], want[32];
	unsigned long inode = 0;
	FILE *f = fopen("/proc/net/tcp", "re");

	if (!f) die(71, "/proc/net/tcp: %s", strerror(errno));
	snprintf(want, sizeof(want), "0100007F:%04X 02 ", (unsigned)deaf_port);
	while (!inode && fgets(line, sizeof(line), f)) {
		const char *rest = strstr(line, want);
		/* The inode is the seventh word behind the remote address. */
		for (int i = 0; rest && i < 7; i++) {
			rest = strchr(rest, ' ');
			if (rest) rest += strspn(rest, " ");
		}
		if (rest) inode = strtoul(rest, NULL, 10);
	}
	fclose(f);
	return inode;
}

static unsigned long connecting_inode;
static bool is_connecting(struct answers *a, size_t i)
{
	(void)a;
	(void)i;
	connecting_inode = half_open();
	return connecting_inode;
}

/* Whether the process has the socket open, as its descriptor `fd`. */
static bool has_socket(pid_t pid, int fd, unsigned long inode)
{
	char path[64], link[64], want[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	int n = snprintf(want, sizeof(want), "socket:[%lu]", inode);
	return readlink(path, link, sizeof(link)) == n && memcmp(link, want, (size_t)n) == 0;
}

static bool has_three_tokens(struct answers *a, size_t i) { return a->v[i].tokens >= 3; }
static bool is_in(struct answers *a, size_t i, const char *state)
{
	if (a->v[i].step == ANSWER_IDLE) die(70, "a request ended %s before it was stopped", a->v[i].state);
	return strcmp(a->v[i].state, state) == 0;
}
static bool is_backing_off(struct answers *a, size_t i) { return is_in(a, i, "retrying"); }
static bool has_ended(struct answers *a, size_t i) { return a->v[i].step == ANSWER_IDLE; }
static bool is_acked(struct answers *a, size_t i) { return a->v[i].step >= ANSWER_ACKED; }

static void phase_reach(struct answers *a, size_t i, enum phase phase)
{
	switch (phase) {
	case CONNECTING: answers_wait(a, ROUND_LIMIT_NS, is_connecting, i, "a half-open connection"); break;
	case STREAMING: answers_wait(a, ROUND_LIMIT_NS, has_three_tokens, i, "three tokens"); break;
	case BACKOFF: answers_wait(a, ROUND_LIMIT_NS, is_backing_off, i, "the wait after a failure"); break;
	default: answers_wait(a, ROUND_LIMIT_NS, is_acked, i, "the ack");
	}
	rest(a, REST_NS);
}

/* ---- a round ---------------------------------------------------------------------------------------------------- */

static void round_run(struct answers *a, size_t i, enum phase phase, int64_t mark)
{
	int fd = 0;

	answer_start(a, i, phases[phase].model, mark);
	phase_reach(a, i, phase);
	if (phase == CONNECTING)
		while (!has_socket(daemon_pid, fd, connecting_inode))
			if (++fd > FD_MAX) die(70, "the half-open socket is not the daemon's");
	int64_t at_ns = now_ns(), limit_ns = at_ns + ROUND_LIMIT_NS;
	stopped_at_ns[mark] = at_ns;
	answer_stop(a, i);
	if (phase == CONNECTING) {
		while (loop_round(a->loop, 0), has_socket(daemon_pid, fd, connecting_inode)) {
			if (now_ns() > limit_ns) die(70, "a stopped request still connects after 10 s");
			loop_round(a->loop, now_ns() + LOOK_NS);
		}
		samples_add(&closed, now_ns() - at_ns);
	}
	answers_wait(a, ROUND_LIMIT_NS, has_ended, i, "the stop");
	if (strcmp(a->v[i].state, "stopped") != 0) die(70, "a stopped request ended %s", a->v[i].state);
	samples_add(&stopped, a->v[i].ended_ns - at_ns);
	rest(a, REST_NS);
}

/* ---- without the daemon ----------------------------------------------------------------------------------------- */

static int direct_tokens;
static void direct_bytes(struct conn *c, struct str bytes)
{
	(void)c;
	if (!bytes.p) die(69, "the provider closed the connection");
	for (const char *p = bytes.p; (p = memmem(p, (size_t)(bytes.p + bytes.n - p), "\"content\"", 9)); p++)
		direct_tokens++;
}

static void direct_round(struct loop *l, int port, int64_t mark)
{
	struct conn c = {.on_bytes = direct_bytes};
	char body[128];
	int n = snprintf(body, sizeof(body), "{\"model\":\"%s\",\"text\":\"mark:%lld\"}", phases[DIRECT].model,
			 (long long)mark);
	int64_t limit_ns = now_ns() + ROUND_LIMIT_NS;

	direct_tokens = 0;
	conn_connect(l, &c, port);
	if (!buf_addf(conn_out(&c), "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s", n, body))
		die(70, "no room for a request");
	while (direct_tokens < 3) {
		loop_round(l, limit_ns);
		if (now_ns() > limit_ns) die(75, "the provider did not answer in 10 s");
	}
	stopped_at_ns[mark] = now_ns();
	conn_close(&c);
	loop_round(l, 0);
	sleep_until_ns(now_ns() + REST_NS);
}

/* ---- what the provider saw -------------------------------------------------------------------------------------- */

static struct buf told = {.max = (size_t)32 << 20};
static void told_bytes(struct conn *c, struct str bytes)
{
	(void)c;
	if (!bytes.p || !buf_add_str(&told, bytes)) die(69, "the provider's list of calls is not whole");
}

/* Reads the provider's list of calls: fills `closed`, and counts those that began after their stop. */
static int64_t calls_read(struct loop *l, int port, int64_t rounds, bool want_closed)
{
	struct conn c = {.on_bytes = told_bytes};
	struct json_doc *doc = NULL;
	struct errinfo info = {0};
	int64_t late = 0, limit_ns = now_ns() + ROUND_LIMIT_NS;

	conn_connect(l, &c, port);
	conn_write(&c, "GET /calls HTTP/1.1\r\n\r\n", 23);
	while (told.n < 2 || memcmp(told.p + told.n - 2, "]}", 2) != 0) {
		loop_round(l, limit_ns);
		if (now_ns() > limit_ns) die(75, "the provider does not tell its calls");
	}
	const char *body = memmem(told.p, told.n, "\r\n\r\n", 4);
	if (!body) die(70, "the provider's answer has no end of its head");
	struct str list = str_n(body + 4, (size_t)(told.p + told.n - body - 4));
	if (json_parse(list, &doc, &info)) die(70, "the provider's calls: %s", info.text);
	for (struct json_iter it = json_iter(json_get(json_root(doc), "calls")); json_next(&it);) {
		int64_t field[3] = {0};
		size_t n = 0;
		for (struct json_iter f = json_iter(it.val); n < 3 && json_next(&f); n++)
			(void)json_int(f.val, &field[n]);
		if (field[0] < 0 || field[0] >= rounds) continue;
		int64_t at_ns = stopped_at_ns[field[0]];
		if (field[1] > at_ns) late++;
		if (!want_closed) continue;
		if (!field[2]) die(70, "call %lld was stopped and never closed", (long long)field[0]);
		samples_add(&closed, field[2] - at_ns);
	}
	json_free(doc);
	conn_close(&c);
	loop_round(l, 0);
	buf_release(&told);
	return late;
}

static enum phase phase_named(const char *name)
{
	for (int i = 0; i < PHASES; i++)
		if (strcmp(phases[i].name, name) == 0) return (enum phase)i;
	die(64, "no phase %s", name);
}

/* All rounds of one phase through the daemon. */
static void rounds_run(struct loop *l, const char *file, int port, enum phase phase, int64_t rounds)
{
	struct answers a;
	size_t ndevices;
	struct device *devices = devices_load(file, &ndevices);

	devices_connect(l, devices, 1, port, 1);
	answers_make(&a, l, devices, 1, 2);
	if (phase == QUEUED) {
		answer_start(&a, 1, "single:n1-h", rounds);
		answers_wait(&a, ROUND_LIMIT_NS, is_acked, 1, "the ack");
		rest(&a, REST_NS);
	}
	for (int64_t mark = 0; mark < rounds; mark++) round_run(&a, 0, phase, mark);
	if (phase == QUEUED) {
		answer_stop(&a, 1);
		answers_wait(&a, ROUND_LIMIT_NS, has_ended, 1, "the last stop");
	}
	if (phase == QUEUED || phase == BACKOFF) rest(&a, LATE_WATCH_NS);
}

static void reset_calls(struct loop *l, int port)
{
	struct conn c = {.on_bytes = told_bytes};
	int64_t limit_ns = now_ns() + ROUND_LIMIT_NS;

	conn_connect(l, &c, port);
	conn_write(&c, "POST /reset HTTP/1.1\r\n\r\n", 24);
	while (told.n == 0) {
		loop_round(l, limit_ns);
		if (now_ns() > limit_ns) die(75, "the provider does not answer");
	}
	buf_clear(&told);
	conn_close(&c);
	loop_round(l, 0);
}

int main(int argc, char **argv)
{
	struct args args = {.argc = argc, .argv = argv};
	int port = (int)args_int(&args, "port", ARG_NEEDED);
	int provider_port = (int)args_int(&args, "provider-port", ARG_NEEDED);
	deaf_port = (int)args_int(&args, "deaf-port", ARG_NEEDED);
	daemon_pid = (pid_t)args_int(&args, "pid", ARG_NEEDED);
	const char *file = args_text(&args, "devices", NULL);
	enum phase phase = phase_named(args_text(&args, "phase", NULL));
	int64_t rounds = args_int(&args, "rounds", 100);
	args_done(&args);

	struct loop loop;
	loop_init(&loop);
	stopped_at_ns = xcalloc((size_t)rounds, sizeof(*stopped_at_ns));
	reset_calls(&loop, provider_port);
	if (phase == DIRECT)
		for (int64_t mark = 0; mark < rounds; mark++) direct_round(&loop, provider_port, mark);
	else rounds_run(&loop, file, port, phase, rounds);
	int64_t late =
		calls_read(&loop, provider_port, rounds, phase == WAITING || phase == STREAMING || phase == DIRECT);

	printf("{\"phase\":\"%s\",\"rounds\":%lld,", phases[phase].name, (long long)rounds);
	samples_print(&closed, "closed", stdout);
	putchar(',');
	samples_print(&stopped, "stopped", stdout);
	printf(",\"late\":%lld}\n", (long long)late);
	return 0;
}
