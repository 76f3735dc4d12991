/* device is a device of libroost that is told what to do on stdin and says on stdout what it knows.
 *
 *   device FILE URL CODE|-
 *
 *   send CONVERSATION TEXT   edit MESSAGE TEXT   title CONVERSATION TEXT   stop   start   list CONVERSATION   quit
 *
 * It prints "taken ID" when a message is in its file, "there ID" when the daemon has it, "text ID TEXT" for a message
 * that came or changed, "online", "offline", "idle" when everything is sent, "list N". It runs on a uv_loop_t of its own. */
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "base/json.h"
#include "client/core.h"

#include <roost.h>

static roost *c;
static struct buf input = {.max = 1 << 20};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	char line[2000];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line - 1, fmt, ap);
	va_end(ap);
	n = MIN(n, (int)sizeof line - 2);
	line[n++] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)n) != n) _exit(1);
}

static void say_record(const char *name, const char *json)
{
	struct json_doc *doc;
	struct str text = STR("");
	if (json_parse(str_c(json), &doc, NULL) != OK) return;
	json_str(json_get(json_get(json_root(doc), "fields"), "text"), &text);
	say("text %s %.*s", name, STR_ARG(text));
	json_free(doc);
}

static void on_event(void *ctx, const roost_event *e)
{
	roost_status_t s = {.size = sizeof s};
	(void)ctx;
	if (e->kind == ROOST_EV_ONLINE) say("online");
	if (e->kind == ROOST_EV_OFFLINE) say("offline %s", e->sentence);
	if (e->kind == ROOST_EV_STOPPED) say("stopped %s", roost_error_code(e->error));
	if (e->kind == ROOST_EV_PAIRED) say("paired %s", roost_error_code(e->error));
	if (e->kind == ROOST_EV_RECORD && strcmp(e->type, "Message") == 0) say_record(e->name, e->json);
	if (e->kind == ROOST_EV_ENTRY && e->entry->state == ROOST_GONE) say("there %s", e->entry->name);
	if (e->kind == ROOST_EV_ENTRY && e->entry->state == ROOST_HELD)
		say("held %s %s", e->entry->name, roost_error_code(e->entry->why));
	if (e->kind == ROOST_EV_STATUS && roost_status(c, &s) == ROOST_OK && s.online && !s.syncing && s.pending == 0)
		say("idle");
}

static int count(void *ctx, const roost_record *r)
{
	(void)r;
	++*(int *)ctx;
	return 1;
}

static void run(char *line)
{
	char id[ROOST_ID_SIZE] = "", *what = strsep(&line, " "), *first = line != NULL ? strsep(&line, " ") : NULL;
	int n = 0, r = ROOST_OK;
	roost_message m = {.size = sizeof m, .conversation = first, .text = line};
	if (strcmp(what, "send") == 0) r = roost_send(c, &m, id);
	else if (strcmp(what, "edit") == 0) r = roost_edit(c, first, line);
	else if (strcmp(what, "title") == 0) {
		struct buf b = BUF_INIT(4096);
		buf_addf(&b, "{\"title\":\"%s\"}", line);
		r = roost_save(c, "Conversation", first, b.p, NULL);
		buf_release(&b);
	} else if (strcmp(what, "stop") == 0) r = roost_stop(c);
	else if (strcmp(what, "start") == 0) r = roost_start(c);
	else if (strcmp(what, "list") == 0) r = roost_list(c, "Message", first, count, &n);
	else r = ROOST_ERR_USAGE;
	if (r != ROOST_OK) say("refused %s %s", what, roost_last_error());
	else if (id[0] != '\0') say("taken %s", id);
	else if (n > 0 || strcmp(what, "list") == 0) say("list %d", n);
	else say("done %s", what);
}

static void on_input(uv_poll_t *p, int status, int events)
{
	char piece[4096];
	ssize_t n = status < 0 ? 0 : read(STDIN_FILENO, piece, sizeof piece);
	(void)events;
	if (n > 0) buf_add(&input, piece, (size_t)n);
	for (char *eol; c != NULL && input.n > 0 && (eol = strchr(input.p, '\n')) != NULL;) {
		size_t line_n = (size_t)(eol - input.p) + 1;
		*eol = '\0';
		if (strcmp(input.p, "quit") == 0) n = 0;
		else run(input.p);
		buf_drop(&input, line_n);
		if (n == 0) break;
	}
	if (n > 0) return;
	uv_close((uv_handle_t *)p, NULL);
	roost_close(c);
	c = NULL;
}

int main(int argc, char **argv)
{
	uv_loop_t loop;
	uv_poll_t in;
	if (argc != 4) die(64, "usage: device FILE URL CODE|-");
	uv_loop_init(&loop);
	uv_poll_init(&loop, &in, STDIN_FILENO);
	roost_options o = {
		.size = sizeof o,
		.path = argv[1],
		.url = argv[2],
		.code = strcmp(argv[3], "-") == 0 ? NULL : argv[3],
		.name = "device",
		.platform = "test",
		.loop = &loop,
		.event = on_event,
	};
	int r = roost_open(&o, &c);
	if (r != ROOST_OK) die(1, "%s: %s", roost_error_code(r), roost_last_error());
	say("device %s", roost_device_id(c));
	uv_poll_start(&in, UV_READABLE, on_input);
	uv_run(&loop, UV_RUN_DEFAULT);
	buf_release(&input);
	return uv_loop_close(&loop) == 0 ? 0 : 70;
}
