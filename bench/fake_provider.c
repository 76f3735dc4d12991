/* A provider that costs next to nothing: OpenAI's chat completions, streamed, from one epoll thread.
 *
 *     bench_fake_provider            prints {"port":N,"deafPort":N} and serves until its standard input ends
 *
 * The model's id says how a call behaves, so that the provider keeps no settings: letters with numbers, joined by '-'.
 *
 *     nN  N tokens (default 1)          rN  N tokens a second, 0 as fast as the socket takes them (default 0)
 *     dN  N ms before the first token   h   the head and the tokens, but never an end
 *     m   never even the head           sN  HTTP status N with an error body instead of an answer
 *
 * Every token is 16 bytes: `<time> <number> `, the time in microseconds of CLOCK_MONOTONIC as nine hexadecimal digits
 * and the token's number as five, so that whoever reads an answer knows when each token was written and whether one is
 * missing. A token is one event, one chunk and, at a rate, one write of its own, as with real providers.
 *
 * GET /calls tells what was seen: {"connections":N,"calls":[[mark, began, ended],…]}. `mark` is the number after the
 * last "mark:" in the request's body, `began` when the request was whole, `ended` when the peer closed or the answer was
 * complete (0: neither yet), in nanoseconds of CLOCK_MONOTONIC. POST /reset forgets it all.
 *
 * deafPort is a listener whose queue is full: a connection to it gets no answer of any kind. */
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "gear/loop.h"

#define TOKEN_BYTES 16
#define REQUEST_MAX_BYTES ((size_t)4 << 20)
#define CALLS_MAX 200000
#define UNSENT_MAX_BYTES ((size_t)64 << 10)
#define DEAF_FILLERS 1 /* a backlog of 0 has room for one */

struct behaviour {
	int64_t tokens, rate, delay_ms, status;
	bool is_mute, is_endless;
};

struct call_seen {
	int64_t mark, began_ns, ended_ns;
};

struct peer {
	struct conn conn;
	struct buf in;
	bool is_answering;
	struct behaviour how;
	int64_t sent;   /* tokens */
	int64_t due_ns; /* of the next token, while in the heap */
	size_t place;   /* in the heap, from 1; 0 when not in it */
	size_t call;    /* index in calls */
};

static struct loop loop;
static struct call_seen *calls;
static size_t ncalls;
static int64_t nconnections;

/* ---- a heap of the streams that owe a token, soonest first ------------------------------------------------------ */

static struct peer **heap; /* heap[1 … nheap] */
static size_t nheap, heap_cap;

static void heap_set(size_t i, struct peer *p)
{
	heap[i] = p;
	p->place = i;
}

static void heap_fix(size_t i, struct peer *p)
{
	for (; i > 1 && heap[i / 2]->due_ns > p->due_ns; i /= 2) heap_set(i, heap[i / 2]);
	for (size_t child; (child = i * 2) <= nheap; i = child) {
		if (child < nheap && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
		if (heap[child]->due_ns >= p->due_ns) break;
		heap_set(i, heap[child]);
	}
	heap_set(i, p);
}

static void heap_add(struct peer *p)
{
	if (nheap + 2 > heap_cap) {
		heap_cap = heap_cap ? heap_cap * 2 : 64;
		heap = xrealloc(heap, xmul(heap_cap, sizeof(struct peer *)));
	}
	heap_fix(++nheap, p);
}

static void heap_remove(struct peer *p)
{
	size_t i = p->place;
	struct peer *last = heap[nheap--];

	p->place = 0;
	if (last != p) heap_fix(i, last);
}

/* ---- an answer -------------------------------------------------------------------------------------------------- */

static void chunk_write(struct peer *p, const char *text, int n)
{
	if (!buf_addf(conn_out(&p->conn), "%x\r\n%.*s\r\n", (unsigned)n, n, text)) die(70, "an answer does not drain");
}

static void token_write(struct peer *p)
{
	char event[160];
	unsigned long long us = (unsigned long long)(now_ns() / NS_PER_US);
	int n = snprintf(event, sizeof(event),
			 "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%09llx %05llx \"}}]}\n\n",
			 us & 0xfffffffffULL, (unsigned long long)p->sent & 0xfffff);

	chunk_write(p, event, n);
	p->sent++;
}

static void answer_end(struct peer *p)
{
	char event[256];
	int n = snprintf(event, sizeof(event),
			 "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":"
			 "{\"prompt_tokens\":1,\"completion_tokens\":%lld}}\n\ndata: [DONE]\n\n",
			 (long long)p->sent);

	chunk_write(p, event, n);
	conn_write(&p->conn, "0\r\n\r\n", 5);
	calls[p->call].ended_ns = now_ns();
	p->is_answering = false;
}

/* Writes what is due and says when it wants to be called again. */
static void answer_go_on(struct peer *p)
{
	static const char head[] =
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
	int64_t first_due = p->due_ns;

	if (p->sent == 0) conn_write(&p->conn, head, sizeof(head) - 1);
	while (p->sent < p->how.tokens) {
		if (p->how.rate) {
			token_write(p);
			p->due_ns += NS_PER_SEC / p->how.rate;
			break;
		}
		if (conn_unsent(&p->conn) > UNSENT_MAX_BYTES) break;
		token_write(p);
	}
	if (p->sent < p->how.tokens) {
		if (p->due_ns == first_due) p->due_ns = now_ns() + NS_PER_MS; /* the peer reads slowly */
		heap_add(p);
	} else if (!p->how.is_endless) {
		answer_end(p);
	}
}

static struct behaviour behaviour_parse(struct str model)
{
	struct behaviour b = {.tokens = 1};
	const char *end = model.p + model.n;

	for (const char *p = model.p; p < end;) {
		char letter = *p++;
		int64_t value = 0;
		while (p < end && *p >= '0' && *p <= '9') value = value * 10 + (*p++ - '0');
		switch (letter) {
		case 'n': b.tokens = value; break;
		case 'r': b.rate = value; break;
		case 'd': b.delay_ms = value; break;
		case 's': b.status = value; break;
		case 'h': b.is_endless = true; break;
		case 'm': b.is_mute = true; break;
		default: break;
		}
	}
	return b;
}

static void reply_json(struct peer *p, int64_t status, struct str body)
{
	buf_addf(conn_out(&p->conn),
		 "HTTP/1.1 %lld Status\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		 (long long)status, body.n);
	conn_write(&p->conn, body.p, body.n);
}

static void call_begin(struct peer *p, struct str body)
{
	const char *end = body.p + body.n, *at = body.p, *found = NULL;
	struct str model = STR_NONE;

	if ((found = memmem(body.p, body.n, "\"model\":\"", 9))) {
		const char *quote = memchr(found + 9, '"', (size_t)(end - found - 9));
		if (quote) model = str_n(found + 9, (size_t)(quote - found - 9));
	}
	for (found = NULL; (at = memmem(at, (size_t)(end - at), "mark:", 5)); at += 5) found = at + 5;
	if (ncalls == CALLS_MAX) die(70, "more than %d calls", CALLS_MAX);
	p->call = ncalls++;
	calls[p->call] = (struct call_seen){.mark = found ? strtoll(found, NULL, 10) : -1, .began_ns = now_ns()};
	p->how = behaviour_parse(model);
	p->sent = 0;
	p->due_ns = now_ns() + p->how.delay_ms * NS_PER_MS;
	p->is_answering = true;
	if (p->how.status) {
		p->is_answering = false;
		calls[p->call].ended_ns = now_ns();
		reply_json(p, p->how.status, STR("{\"error\":{\"message\":\"as it was asked\"}}"));
	} else if (p->how.is_mute) {
		return;
	} else if (p->how.delay_ms) {
		heap_add(p);
	} else {
		answer_go_on(p);
	}
}

/* ---- HTTP ------------------------------------------------------------------------------------------------------- */

static void calls_tell(struct peer *p)
{
	struct buf b = BUF_INIT((size_t)32 << 20);

	buf_addf(&b, "{\"connections\":%lld,\"calls\":[", (long long)nconnections);
	for (size_t i = 0; i < ncalls; i++)
		buf_addf(&b, "%s[%lld,%lld,%lld]", i ? "," : "", (long long)calls[i].mark, (long long)calls[i].began_ns,
			 (long long)calls[i].ended_ns);
	buf_add_str(&b, STR("]}"));
	reply_json(p, 200, buf_str(&b));
	buf_release(&b);
}

/* Takes one request from the front of what came; false when it is not whole. */
static bool request_take(struct peer *p)
{
	struct str in = buf_str(&p->in);
	const char *head_end = memmem(in.p, in.n, "\r\n\r\n", 4);

	if (!head_end || p->is_answering) return false;
	size_t head = (size_t)(head_end - in.p) + 4, body = 0;
	const char *len = strcasestr(in.p, "content-length:"); /* a buffer ends in a NUL */
	if (len && len < head_end) body = strtoull(len + 15, NULL, 10);
	if (in.n < head + body) return false;
	if (str_starts(in, STR("GET /calls"))) {
		calls_tell(p);
	} else if (str_starts(in, STR("POST /reset"))) {
		ncalls = 0;
		nconnections = 0;
		reply_json(p, 200, STR("{}"));
	} else {
		call_begin(p, str_n(in.p + head, body));
	}
	buf_drop(&p->in, head + body);
	return true;
}

static void peer_free(struct conn *c)
{
	struct peer *p = CONTAINER_OF(c, struct peer, conn);

	buf_release(&p->in);
	free(p);
}

static void peer_bytes(struct conn *c, struct str bytes)
{
	struct peer *p = CONTAINER_OF(c, struct peer, conn);

	if (bytes.p) {
		if (!buf_add_str(&p->in, bytes)) die(70, "a request larger than %zu bytes", REQUEST_MAX_BYTES);
		while (request_take(p)) continue;
		return;
	}
	if (p->is_answering && p->call < ncalls) calls[p->call].ended_ns = loop.woke_ns;
	if (p->place) heap_remove(p);
	conn_close(c);
}

static void peer_accept(struct conn *listener)
{
	for (;;) {
		struct peer *p = xcalloc(1, sizeof(*p));
		p->conn.on_bytes = peer_bytes;
		p->conn.on_free = peer_free;
		buf_init(&p->in, REQUEST_MAX_BYTES);
		if (!conn_accept(listener, &p->conn)) {
			free(p);
			return;
		}
		nconnections++;
	}
}

static void nothing(struct conn *c, struct str bytes)
{
	(void)c;
	(void)bytes;
}

int main(void)
{
	static struct conn listener = {.on_accept = peer_accept}, deaf, fillers[DEAF_FILLERS];
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	signal(SIGPIPE, SIG_IGN);
	loop_init(&loop);
	calls = xcalloc(CALLS_MAX, sizeof(*calls));
	int port = conn_listen(&loop, &listener, 4096);
	int deaf_port = conn_listen(&loop, &deaf, 0);
	for (int i = 0; i < DEAF_FILLERS; i++) {
		fillers[i].on_bytes = nothing;
		conn_connect(&loop, &fillers[i], deaf_port);
	}
	printf("{\"port\":%d,\"deafPort\":%d}\n", port, deaf_port);
	fflush(stdout);
	for (int64_t look_ns = 0;;) {
		loop_round(&loop, nheap ? heap[1]->due_ns : now_ns() + NS_PER_SEC / 10);
		for (int64_t now = now_ns(); nheap && heap[1]->due_ns <= now;) {
			struct peer *p = heap[1];
			heap_remove(p);
			answer_go_on(p);
		}
		if (now_ns() < look_ns) continue;
		look_ns = now_ns() + NS_PER_SEC / 10;
		if (poll(&input, 1, 0) > 0) break;
	}
	return 0;
}
