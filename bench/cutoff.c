/* Stop, in every dialect and phase: from a device's request:stop to the provider seeing its connection close.
 *
 *     bench_cutoff --dir DIR [--rounds 100]
 *
 * This program is both the device and the provider, so that one clock tells. It prints {"port","silentPort"}; waits for a
 * line "PORT FILE DIALECT PHASE" on its standard input: the daemon's port, and a file that names a device
 * (gear/device.h); measures that phase; prints {"dialect","phase","closed":{…},"stopped":{…}}; and so on until the line
 * "end". The daemon's provider of the dialect is at `port` and is called DIALECT; at `silentPort`, with https, is
 * tls-DIALECT. DIR has a file DIALECT for each: the beginning of its answer, with three tokens as gear/answer.h wants
 * them.
 *
 *   connecting  the provider took the connection and does not answer the TLS handshake
 *   head        the provider has the request and is silent
 *   first       the head of the answer came, and no token
 *   streaming   three tokens came
 *   direct      the reference: no daemon, this program asks itself and closes after the beginning of an answer */
#include <unistd.h>

#include "gear/answer.h"
#include "gear/args.h"

#define ROUND_LIMIT_NS (10 * NS_PER_SEC)
#define REST_NS (10 * NS_PER_MS)
#define FILE_MAX ((size_t)1 << 20)

enum phase { CONNECTING, HEAD, FIRST, STREAMING, DIRECT, PHASES };
static const char *const phase_names[PHASES] = {"connecting", "head", "first", "streaming", "direct"};

/* ---- the provider -------------------------------------------------------------------------------------------------- */

struct peer {
	struct conn conn;
	bool is_tls;
};

static struct loop loop;
static struct conn listener, silent_listener;
static enum phase phase;
static struct str beginning; /* of an answer in the dialect that is measured */
static size_t nasked;        /* the phase is reached at the provider's */
static int64_t closed_ns;    /* when the last connection that asked was closed; 0 not yet */

static void peer_free(struct conn *c) { free(CONTAINER_OF(c, struct peer, conn)); }

static void peer_bytes(struct conn *c, struct str bytes)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
	struct peer *p = CONTAINER_OF(c, struct peer, conn);

	if (bytes.p == NULL) {
		closed_ns = loop.woke_ns;
		conn_close(c);
	} else if (p->is_tls) {
		nasked++;
	} else if (memmem(bytes.p, bytes.n, "POST ", 5) != NULL) {
		nasked++;
		if (phase != HEAD) conn_write(c, head, sizeof head - 1);
		if (phase == STREAMING || phase == DIRECT) conn_write(c, beginning.p, beginning.n);
	}
}

static void take(struct conn *from)
{
	for (;;) {
		struct peer *p = xcalloc(1, sizeof *p);
		p->conn.on_bytes = peer_bytes;
		p->conn.on_free = peer_free;
		p->is_tls = from == &silent_listener;
		if (!conn_accept(from, &p->conn)) {
			free(p);
			return;
		}
	}
}

/* ---- a round ------------------------------------------------------------------------------------------------------- */

static struct samples closed, stopped;

static void rest(void)
{
	for (int64_t end_ns = now_ns() + REST_NS; now_ns() < end_ns;) loop_round(&loop, end_ns);
}

static bool is_reached(struct answers *a, size_t i)
{
	if (a->v[i].step == ANSWER_IDLE) die(70, "a request ended %s before it was stopped", a->v[i].state);
	return nasked > 0 && a->v[i].step >= ANSWER_ACKED && (phase != STREAMING || a->v[i].tokens >= 3);
}
static bool is_over(struct answers *a, size_t i) { return a->v[i].step == ANSWER_IDLE && closed_ns != 0; }

static void round_run(struct answers *a, const char *model)
{
	nasked = 0;
	closed_ns = 0;
	answer_start(a, 0, model, 0);
	answers_wait(a, ROUND_LIMIT_NS, is_reached, 0, "the phase");
	rest();
	if (closed_ns != 0) die(70, "the connection was closed before the stop");
	int64_t at_ns = now_ns();
	answer_stop(a, 0);
	answers_wait(a, ROUND_LIMIT_NS, is_over, 0, "the stop");
	if (strcmp(a->v[0].state, "stopped") != 0) die(70, "a stopped request ended %s", a->v[0].state);
	if (nasked != 1) die(70, "a stopped request was asked for %zu times", nasked);
	samples_add(&closed, closed_ns - at_ns);
	samples_add(&stopped, a->v[0].ended_ns - at_ns);
	rest();
}

static size_t direct_bytes;
static void take_direct(struct conn *c, struct str bytes)
{
	(void)c;
	direct_bytes += bytes.n;
}

static void direct_round(int port)
{
	struct conn c = {.on_bytes = take_direct};
	int64_t limit_ns = now_ns() + ROUND_LIMIT_NS;

	direct_bytes = 0;
	closed_ns = 0;
	conn_connect(&loop, &c, port);
	conn_write(&c, "POST / HTTP/1.1\r\n\r\n", 19);
	while (direct_bytes < beginning.n && now_ns() < limit_ns) loop_round(&loop, limit_ns);
	rest();
	int64_t at_ns = now_ns();
	conn_close(&c);
	while (closed_ns == 0 && now_ns() < limit_ns) loop_round(&loop, limit_ns);
	if (closed_ns == 0) die(75, "a close was not seen in 10 s");
	samples_add(&closed, closed_ns - at_ns);
}

static void measure(int daemon_port, const char *file, const char *dialect, int port, int64_t rounds)
{
	struct answers a;
	size_t ndevices;
	char model[64];

	if (phase == DIRECT) {
		for (int64_t i = 0; i < rounds; i++) direct_round(port);
		return;
	}
	snprintf(model, sizeof model, "%s%s:m", phase == CONNECTING ? "tls-" : "", dialect);
	struct device *devices = devices_load(file, &ndevices);
	devices_connect(&loop, devices, 1, daemon_port, 1);
	answers_make(&a, &loop, devices, 1, 1);
	for (int64_t i = 0; i < rounds; i++) round_run(&a, model);
	devices_close(devices, 1);
	loop_round(&loop, 0);
	free(a.v);
	free(devices);
}

static void file_read(const char *dir, const char *dialect)
{
	static char bytes[FILE_MAX];
	char path[512];

	snprintf(path, sizeof path, "%s/%s", dir, dialect);
	FILE *f = fopen(path, "re");
	if (f == NULL) die(66, "%s cannot be opened", path);
	beginning = str_n(bytes, fread(bytes, 1, sizeof bytes, f));
	fclose(f);
}

int main(int argc, char **argv)
{
	struct args args = {.argc = argc, .argv = argv};
	const char *dir = args_text(&args, "dir", NULL);
	int64_t rounds = args_int(&args, "rounds", 100);
	args_done(&args);

	char line[1024], to[16], file[512], dialect[32], name[32];
	loop_init(&loop);
	listener.on_accept = silent_listener.on_accept = take;
	int port = conn_listen(&loop, &listener, 64), silent = conn_listen(&loop, &silent_listener, 64);
	printf("{\"port\":%d,\"silentPort\":%d}\n", port, silent);
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "end\n") != 0) {
		if (sscanf(line, "%15s %511s %31s %31s", to, file, dialect, name) != 4)
			die(64, "not understood: %s", line);
		for (phase = 0; phase < PHASES && strcmp(name, phase_names[phase]) != 0;) phase++;
		if (phase == PHASES) die(64, "no phase %s", name);
		file_read(dir, dialect);
		closed.n = stopped.n = 0;
		closed.sorted = stopped.sorted = false;
		measure((int)strtol(to, NULL, 10), file, dialect, port, rounds);
		printf("{\"dialect\":\"%s\",\"phase\":\"%s\",", dialect, name);
		samples_print(&closed, "closed", stdout);
		putchar(',');
		samples_print(&stopped, "stopped", stdout);
		puts("}");
		fflush(stdout);
	}
	return 0;
}
