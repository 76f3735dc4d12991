/* Many answers at once on one thread: what a streamed token costs from the socket to the delta, and what a stream holds.
 *
 *     bench_streams --dialect NAME --stream FILE --text FILE [--how ours] [--streams 64] [--rate 100] [--seconds 4]
 *
 * A child of this program serves the body of --stream to every call, an event at a time, --rate of them a second on each
 * stream, all streams evenly out of step. This process reads them: `ours` with net/client and the dialect, every byte of
 * text compared with --text; `curl` with libcurl and epoll, which is the reference, and throws the bytes away; `bare` with
 * epoll and recv, which is what waking up and reading costs by themselves. Processor time and memory are this process's,
 * from when all streams flow and for --seconds; then all are read to their end. FILE must last longer than that. Prints
 * {"how","streams","tokens","cpuUsPerToken","userUsPerToken","bytesEach","ended"}. */
#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "gear/args.h"
#include "gear/loop.h"
#include "net/client.h"
#include "provider/answer.h"

#define FILE_MAX ((size_t)64 << 20)
#define LIMIT_NS (90 * NS_PER_SEC)
#define READ_SIZE 8192 /* as net/client has it */

/* ---- what is served ---------------------------------------------------------------------------------------------- */

static struct str body, text; /* of an answer: as it is sent; what is said in it */
static struct str *events;    /* the body, cut after each event */
static size_t nevents;

static struct str file_read(const char *path)
{
	struct buf b = BUF_INIT(FILE_MAX);
	char piece[65536];
	size_t n;
	FILE *f = fopen(path, "re");

	if (f == NULL) die(66, "%s cannot be opened", path);
	while ((n = fread(piece, 1, sizeof piece, f)) > 0)
		if (!buf_add(&b, piece, n)) die(66, "%s is too large", path);
	fclose(f);
	char *p = buf_take(&b, &n);
	return str_n(p, n);
}

/* After an empty line, or after every line when there are no empty ones. */
static void cut_events(void)
{
	bool is_lines = memmem(body.p, body.n, "\n\n", 2) == NULL && memmem(body.p, body.n, "\n\r\n", 3) == NULL;
	size_t begin = 0, cap = 0;

	for (size_t i = 0; i < body.n; i++) {
		bool empty =
			i > 0 && (body.p[i - 1] == '\n' || (i > 1 && body.p[i - 1] == '\r' && body.p[i - 2] == '\n'));
		if (body.p[i] != '\n' || (!is_lines && !empty)) continue;
		if (nevents == cap) events = xrealloc(events, xmul(cap = cap * 2 + 64, sizeof *events));
		events[nevents++] = str_n(body.p + begin, i + 1 - begin);
		begin = i + 1;
	}
}

/* ---- the server --------------------------------------------------------------------------------------------------- */

struct served {
	struct conn conn;
	size_t at; /* next event; 0: the request is not here yet */
	bool is_open;
};

static struct {
	struct conn listener;
	struct served *all;
	size_t n, cap;
} server;

static void served_bytes(struct conn *c, struct str bytes)
{
	struct served *s = CONTAINER_OF(c, struct served, conn);
	static const char head[] =
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

	if (bytes.p == NULL) {
		conn_close(c);
		s->is_open = false;
	} else if (!s->is_open && memmem(bytes.p, bytes.n, "\r\n\r\n", 4) != NULL) {
		s->is_open = true;
		conn_write(c, head, sizeof head - 1);
	}
}

static void server_accept(struct conn *listener)
{
	while (server.n < server.cap) {
		struct served *s = &server.all[server.n];
		s->conn.on_bytes = served_bytes;
		if (!conn_accept(listener, &s->conn)) return;
		server.n++;
	}
}

static void serve_event(struct served *s)
{
	struct buf *out = conn_out(&s->conn);
	struct str e = events[s->at++];

	buf_addf(out, "%zx\r\n", e.n);
	buf_add_str(out, e);
	buf_add_str(out, s->at == nevents ? STR("\r\n0\r\n\r\n") : STR("\r\n"));
	if (s->at == nevents) s->is_open = false;
}

/* Never returns. The streams are due in turn, and each of them every period. */
static void serve(int port_fd, size_t streams, int64_t rate)
{
	struct loop loop;
	int64_t gap_ns = NS_PER_SEC / rate / (int64_t)streams;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	loop_init(&loop);
	server.cap = streams;
	server.all = xcalloc(streams, sizeof *server.all);
	server.listener.on_accept = server_accept;
	int port = conn_listen(&loop, &server.listener, 4096);
	if (write(port_fd, &port, sizeof port) != sizeof port) _exit(71);
	int64_t due_ns = now_ns();
	for (size_t next = 0;; next = (next + 1) % streams) {
		due_ns += gap_ns;
		do loop_round(&loop, due_ns);
		while (now_ns() < due_ns);
		if (server.all[next].is_open) serve_event(&server.all[next]);
	}
}

static int server_start(size_t streams, int64_t rate, pid_t *out_pid)
{
	int fds[2], port;

	if (pipe(fds) != 0 || (*out_pid = fork()) < 0) die(71, "no server could be started");
	if (*out_pid == 0) serve(fds[1], streams, rate);
	if (read(fds[0], &port, sizeof port) != sizeof port) die(71, "the server did not start");
	return port;
}

/* ---- what is measured ----------------------------------------------------------------------------------------------- */

static struct {
	size_t streams, flowing, ended;
	int64_t tokens, begun_ns, begun_tokens, anon, anon_each, length_ns;
	struct rusage cpu;         /* at the beginning */
	double user_us, kernel_us; /* for each token */
	bool measuring, measured;
} run;

static int64_t ns_of(struct timeval t) { return t.tv_sec * NS_PER_SEC + t.tv_usec * NS_PER_US; }

static struct rusage own_cpu(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return u;
}

/* Looked at now and then. */
static void look(void)
{
	int64_t now = now_ns();

	if (!run.measuring && run.flowing == run.streams) {
		run.measuring = true;
		run.begun_ns = now;
		run.cpu = own_cpu();
		run.begun_tokens = run.tokens;
	} else if (run.measuring && !run.measured && now - run.begun_ns >= run.length_ns) {
		if (run.ended > 0) die(70, "a stream ended before the time was over: they are too short");
		run.measured = true;
		run.anon_each = (proc_anon_bytes(getpid()) - run.anon) / (int64_t)run.streams;
		struct rusage cpu = own_cpu();
		double tokens = (double)MAX(run.tokens - run.begun_tokens, 1);
		run.user_us = (double)(ns_of(cpu.ru_utime) - ns_of(run.cpu.ru_utime)) / 1e3 / tokens;
		run.kernel_us = (double)(ns_of(cpu.ru_stime) - ns_of(run.cpu.ru_stime)) / 1e3 / tokens;
	}
}

/* ---- ours ------------------------------------------------------------------------------------------------------------ */

struct stream {
	struct answer *answer;
	size_t at; /* bytes of text that came */
};

static bool take_text(void *ctx, enum answer_kind kind, struct str piece)
{
	struct stream *s = ctx;

	if (kind != ANSWER_TEXT || piece.n > text.n - s->at || memcmp(text.p + s->at, piece.p, piece.n) != 0)
		die(70, "a stream has a gap or a repeat behind %zu bytes", s->at);
	if (s->at == 0) run.flowing++;
	s->at += piece.n;
	run.tokens++;
	return true;
}

static void on_head(void *ctx, int status, struct str headers)
{
	answer_head(((struct stream *)ctx)->answer, status, headers);
}

static void on_body(void *ctx, struct str piece)
{
	if (answer_feed(((struct stream *)ctx)->answer, piece) == FEED_STOP) die(70, "a stream was refused");
}

static void on_done(void *ctx, enum err e, const struct errinfo *info)
{
	struct stream *s = ctx;
	struct call_outcome o;

	answer_end(s->answer, e, info, &o);
	if (o.err != OK || s->at != text.n) die(70, "a stream ended after %zu bytes: %s", s->at, o.info.text);
	answer_free(s->answer);
	run.ended++;
}

static void on_look(uv_timer_t *t)
{
	look();
	if (run.ended == run.streams) uv_stop(t->loop);
}

static void read_ours(const struct dialect *d, int port)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	struct stream *all = xcalloc(run.streams, sizeof *all);
	struct answer_sink sink = {.text = take_text, .answer_bytes = (int64_t)FILE_MAX};
	struct http_client *client;
	struct errinfo info;
	char url[64];
	uv_loop_t loop;
	uv_timer_t timer;

	uv_loop_init(&loop);
	uv_timer_init(&loop, &timer);
	if (http_client_new(&loop, &client, &info) != OK) die(71, "no client: %s", info.text);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
	run.anon = proc_anon_bytes(getpid());
	for (size_t i = 0; i < run.streams; i++) {
		struct http_call_spec spec = {.method = "POST",
					      .url = url,
					      .headers = headers,
					      .body = STR("{}"),
					      .connect_ms = 30000,
					      .allow_private = true,
					      .head = on_head,
					      .body_data = on_body,
					      .done = on_done,
					      .ctx = &all[i]};
		sink.ctx = &all[i];
		all[i].answer = answer_new(d, &sink);
		(void)http_call_start(client, &spec);
	}
	uv_timer_start(&timer, on_look, 10, 10);
	uv_run(&loop, UV_RUN_DEFAULT);
	http_client_free(client);
	uv_run(&loop, UV_RUN_NOWAIT);
	free(all);
}

/* ---- libcurl alone ------------------------------------------------------------------------------------------------- */

static int curl_epoll;
static long curl_wait_ms = -1;

static int curl_watch(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
	struct epoll_event e = {.data.fd = fd};
	CURLM *multi = ctx;

	(void)easy;
	if (what == CURL_POLL_REMOVE) return epoll_ctl(curl_epoll, EPOLL_CTL_DEL, fd, NULL), 0;
	if (what & CURL_POLL_IN) e.events |= EPOLLIN;
	if (what & CURL_POLL_OUT) e.events |= EPOLLOUT;
	(void)epoll_ctl(curl_epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
	if (!known) curl_multi_assign(multi, fd, &curl_epoll);
	return 0;
}

static int curl_timer(CURLM *multi, long ms, void *ctx)
{
	(void)multi;
	(void)ctx;
	curl_wait_ms = ms;
	return 0;
}

/* More bytes of a stream: how many tokens they are, by the share of the body. */
static void count_bytes(size_t *got, size_t n)
{
	if (*got == 0) run.flowing++;
	run.tokens += (int64_t)((*got + n) * nevents / body.n) - (int64_t)(*got * nevents / body.n);
	*got += n;
}

static size_t curl_bytes(char *p, size_t size, size_t n, void *ctx)
{
	(void)p;
	count_bytes(ctx, size * n);
	return size * n;
}

static void curl_round(CURLM *multi)
{
	struct epoll_event got[256];
	int running, left;
	int n = epoll_wait(curl_epoll, got, 256, curl_wait_ms >= 0 && curl_wait_ms < 10 ? (int)curl_wait_ms : 10);

	if (n <= 0) (void)curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	for (int i = 0; i < n; i++)
		(void)curl_multi_socket_action(multi, got[i].data.fd,
					       (got[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
						       (got[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0),
					       &running);
	for (CURLMsg *m; (m = curl_multi_info_read(multi, &left)) != NULL;) {
		if (m->data.result != CURLE_OK) die(70, "libcurl: %s", curl_easy_strerror(m->data.result));
		run.ended++;
	}
}

static void read_curl(int port)
{
	size_t *got = xcalloc(run.streams, sizeof *got);
	CURLM *multi = curl_multi_init();
	char url[64];

	curl_epoll = epoll_create1(EPOLL_CLOEXEC);
	snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, curl_watch);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, curl_timer);
	run.anon = proc_anon_bytes(getpid());
	for (size_t i = 0; i < run.streams; i++) {
		CURL *easy = curl_easy_init();
		curl_easy_setopt(easy, CURLOPT_URL, url);
		curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "{}");
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, curl_bytes);
		curl_easy_setopt(easy, CURLOPT_WRITEDATA, &got[i]);
		curl_multi_add_handle(multi, easy);
	}
	while (run.ended < run.streams) {
		curl_round(multi);
		look();
	}
	free(got);
}

/* ---- nothing but waking up and reading ------------------------------------------------------------------------------ */

static int bare_open(int port, int epoll)
{
	static const char request[] = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) die(71, "no connection to the server");
	if (send(fd, request, sizeof request - 1, 0) != sizeof request - 1) die(71, "no request to the server");
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	(void)epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
	return fd;
}

/* The body's bytes with the chunks' marks around them; the stream has ended when the last one is there. */
static void bare_read(int fd, size_t *got)
{
	char piece[READ_SIZE];
	ssize_t n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);

	if (n <= 0) die(70, "a stream broke off");
	count_bytes(got, (size_t)n);
	if (n >= 5 && memcmp(piece + n - 5, "0\r\n\r\n", 5) == 0) {
		run.ended++;
		close(fd);
	}
}

static void read_bare(int port)
{
	struct epoll_event ready[256];
	int epoll = epoll_create1(EPOLL_CLOEXEC), last = 0;

	run.anon = proc_anon_bytes(getpid());
	for (size_t i = 0; i < run.streams; i++) last = bare_open(port, epoll);
	size_t *got = xcalloc((size_t)last + 1, sizeof *got);
	while (run.ended < run.streams) {
		int n = epoll_wait(epoll, ready, ARRAY_LEN(ready), 10);
		for (int i = 0; i < n; i++) bare_read(ready[i].data.fd, &got[ready[i].data.fd]);
		look();
	}
	free(got);
}

int main(int argc, char **argv)
{
	struct args args = {.argc = argc, .argv = argv};
	const struct dialect *d = dialect_find(str_c(args_text(&args, "dialect", NULL)));
	const char *stream = args_text(&args, "stream", NULL), *said = args_text(&args, "text", NULL);
	const char *how = args_text(&args, "how", "ours");
	int64_t rate = args_int(&args, "rate", 100);
	run.streams = (size_t)args_int(&args, "streams", 64);
	run.length_ns = args_int(&args, "seconds", 4) * NS_PER_SEC;
	args_done(&args);
	if (d == NULL) die(64, "no such dialect");

	pid_t pid;
	struct rlimit files;
	body = file_read(stream);
	text = file_read(said);
	cut_events();
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	int port = server_start(run.streams, rate, &pid);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	alarm(LIMIT_NS / NS_PER_SEC);
	if (strcmp(how, "curl") == 0) read_curl(port);
	else if (strcmp(how, "bare") == 0) read_bare(port);
	else read_ours(d, port);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!run.measured) die(70, "the streams ended before the time was over: they are too short");
	printf("{\"how\":\"%s\",\"streams\":%zu,\"tokens\":%lld,\"cpuUsPerToken\":%.3f,\"userUsPerToken\":%.3f,\"bytesEach\":%lld,"
	       "\"ended\":%zu}\n",
	       how, run.streams, (long long)run.tokens, run.user_us + run.kernel_us, run.user_us,
	       (long long)run.anon_each, run.ended);
	return 0;
}
