/* How fast a captured answer is read: cut into events, parsed as JSON, made into deltas.
 *
 *     bench_parse --dialect NAME --stream FILE [--piece 16384] [--seconds 1]
 *
 * FILE is the body of an answer as the provider sends it; it is read again and again, in pieces as a socket gives them,
 * for that many seconds of processor time each way: whole (provider/answer.h), framing alone (sse.h, lines.h), and memchr
 * for the line ends in the same bytes, which nothing that looks at every line can beat. The three take turns, so that what
 * disturbs one disturbs all. Prints
 * {"dialect","bytes","events","deltas","text","deltasMBs","framingMBs","memchrMBs"}, MB of the body per second. */
#include <time.h>

#include "gear/args.h"
#include "gear/stats.h"
#include "provider/answer.h"
#include "provider/lines.h"
#include "provider/sse.h"

#define FILE_MAX ((size_t)256 << 20)
#define EVENT_MAX ((size_t)4 << 20)
#define ROUND_NS (NS_PER_SEC / 10)

struct reader {
	const struct dialect *dialect;
	struct str body;
	size_t piece;
	size_t events, deltas, text; /* of the last time */
};

static int64_t cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static bool count_text(void *ctx, enum answer_kind kind, struct str text)
{
	struct reader *r = ctx;
	r->deltas++;
	if (kind == ANSWER_TEXT) r->text += text.n;
	return true;
}

static void read_whole(struct reader *r)
{
	struct answer_sink sink = {.text = count_text, .ctx = r, .answer_bytes = (int64_t)FILE_MAX};
	struct answer *a = answer_new(r->dialect, &sink);
	struct call_outcome o;
	enum feed more = FEED_MORE;

	r->deltas = r->text = 0;
	answer_head(a, 200, STR("HTTP/1.1 200 OK\r\n\r\n"));
	for (size_t at = 0; at < r->body.n && more == FEED_MORE; at += r->piece)
		more = answer_feed(a, str_n(r->body.p + at, MIN(r->piece, r->body.n - at)));
	answer_end(a, OK, NULL, &o);
	if (o.err != OK) die(70, "the stream is no complete answer: %s", o.info.text);
	answer_free(a);
}

static bool count_event(void *ctx, struct sse_event ev)
{
	(void)ev;
	((struct reader *)ctx)->events++;
	return true;
}

static bool count_line(void *ctx, struct str line)
{
	(void)line;
	((struct reader *)ctx)->events++;
	return true;
}

static void read_frames(struct reader *r)
{
	struct errinfo info;
	struct sse sse;
	struct lines lines;
	bool is_sse = r->dialect->style->framing == FRAMES_SSE;
	enum err e = OK;

	r->events = 0;
	sse_init(&sse, EVENT_MAX);
	lines_init(&lines, EVENT_MAX);
	for (size_t at = 0; at < r->body.n && e == OK; at += r->piece) {
		struct str piece = str_n(r->body.p + at, MIN(r->piece, r->body.n - at));
		e = is_sse ? sse_feed(&sse, piece, count_event, r, &info)
			   : lines_feed(&lines, piece, count_line, r, &info);
	}
	if (e != OK) die(70, "the stream is not well framed: %s", info.text);
	sse_release(&sse);
	lines_release(&lines);
}

static void find_lines(struct reader *r)
{
	const char *p = r->body.p, *end = p + r->body.n;
	size_t n = 0;

	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		n++;
		if (++p == end) break;
	}
	if (n == 0) die(70, "the stream has no line ends");
}

/* Reads it for a while; adds to the bytes and the time. */
static void turn(struct reader *r, void (*read)(struct reader *r), int64_t *bytes, int64_t *ns)
{
	int64_t begun = cpu_ns(), now;

	do {
		read(r);
		*bytes += (int64_t)r->body.n;
		now = cpu_ns();
	} while (now - begun < ROUND_NS);
	*ns += now - begun;
}

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
	size_t len;
	char *p = buf_take(&b, &len);
	return str_n(p, len);
}

int main(int argc, char **argv)
{
	static void (*const ways[])(struct reader *) = {read_whole, read_frames, find_lines};
	int64_t bytes[ARRAY_LEN(ways)] = {0}, ns[ARRAY_LEN(ways)] = {0};
	struct args args = {.argc = argc, .argv = argv};
	const char *name = args_text(&args, "dialect", NULL), *path = args_text(&args, "stream", NULL);
	struct reader r = {.dialect = dialect_find(str_c(name)), .piece = (size_t)args_int(&args, "piece", 16384)};
	int64_t length_ns = args_int(&args, "seconds", 1) * NS_PER_SEC;
	args_done(&args);
	if (r.dialect == NULL) die(64, "no dialect %s", name);

	r.body = file_read(path);
	while (ns[0] < length_ns)
		for (size_t i = 0; i < ARRAY_LEN(ways); i++) turn(&r, ways[i], &bytes[i], &ns[i]);
	printf("{\"dialect\":\"%s\",\"bytes\":%zu,\"events\":%zu,\"deltas\":%zu,\"text\":%zu", name, r.body.n, r.events,
	       r.deltas, r.text);
	static const char *const keys[] = {"deltasMBs", "framingMBs", "memchrMBs"};
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		printf(",\"%s\":%.1f", keys[i], (double)bytes[i] * 1e3 / (double)ns[i]);
	puts("}");
	free((char *)(uintptr_t)r.body.p);
	return 0;
}
