/* The conformance runner's other side: the daemon's HTTP server and frame layer with one WebSocket route.
 *
 *   echo_server [--deflate] [--late-utf8] [--limit BYTES] [--unfinished BYTES]
 *
 * Prints the port it listens on and serves until stdin ends: /echo sends each message back, /stats says how much
 * memory unfinished messages hold. --late-utf8 is the planted fault: bad text is then noticed only when its message is
 * whole, and the runner must go red. */
#include <unistd.h>

#include "net/http_priv.h"

static struct http_server *server;

static void on_head(void *ctx, struct http_req *r)
{
	struct buf b = BUF_INIT(256);
	(void)ctx;
	if (str_eq(http_path(r), STR("/echo"))) {
		(void)!ws_accept_echo(r);
	} else if (str_eq(http_path(r), STR("/stats"))) {
		buf_addf(&b, "{\"unfinishedBytes\":%zu}", server->budget.used);
		http_answer(r, 200, "application/json", NULL, buf_str(&b));
	} else {
		http_answer_error(r, ERR_NOT_FOUND, NULL);
	}
	buf_release(&b);
}

static void on_request(void *ctx, struct http_req *r) { (void)ctx, (void)r; }

static void on_stopped(void *ctx)
{
	(void)ctx;
	http_server_free(server);
}

static void on_stdin(uv_poll_t *h, int status, int events)
{
	char sink[64];
	(void)events;
	if (status == 0 && read(0, sink, sizeof sink) > 0) return;
	uv_close((uv_handle_t *)h, NULL);
	http_server_stop(server, 0, on_stopped, NULL);
}

int main(int argc, char **argv)
{
	uv_loop_t *loop = uv_default_loop();
	struct limits limits;
	struct errinfo info;
	struct http_options o = {
		.loop = loop, .limits = &limits, .hooks = {.head = on_head, .request = on_request, .gone = on_request}};
	bool late = false;
	int port;
	limits_default(&limits);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--deflate") == 0) o.deflate = true;
		else if (strcmp(argv[i], "--late-utf8") == 0) late = true;
		else if (strcmp(argv[i], "--limit") == 0 && i + 1 < argc)
			limits.frame_bytes = strtoll(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--unfinished") == 0 && i + 1 < argc)
			limits.unfinished_bytes = strtoll(argv[++i], NULL, 10);
		else die(64, "usage: echo_server [--deflate] [--late-utf8] [--limit BYTES] [--unfinished BYTES]");
	}
	if (http_server_new(&o, &server, &info) != OK ||
	    http_listen(server, "127.0.0.1:0", NULL, NULL, &port, &info) != OK)
		die(err_exit(info.err), "%s", info.text);
	if (late) http_server_plant_late_utf8(server);
	printf("%d\n", port);
	fflush(stdout);
	uv_poll_t in;
	uv_poll_init(loop, &in, 0);
	uv_poll_start(&in, UV_READABLE | UV_DISCONNECT, on_stdin);
	uv_run(loop, UV_RUN_DEFAULT);
	return uv_loop_close(loop) == 0 ? 0 : 70;
}
