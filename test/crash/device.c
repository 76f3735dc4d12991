/* device is a device of libroost that is told what to do on stdin and says on stdout what it knows.
 *
 *   device FILE URL CODE|-
 *
 * The commands are in the table below. Each is answered by one line: "taken ID" when a message is in the file, "list N",
 * "status …", "seat …", "done COMMAND" or "refused COMMAND WHY". By itself it says "there ID" when the daemon has a message, "held
 * ID WHY", "text ID TEXT" for one that came or changed, "online", "offline", "idle" when everything is sent, and what else
 * is in on_event. It runs on a uv_loop_t of its own. */
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

static const char *or_none(const char *s) { return s[0] != '\0' ? s : "-"; }

static struct str text_of(const struct json *in, const char *key)
{
	struct str s;
	return json_str(json_get(in, key), &s) && s.n > 0 ? s : STR("-");
}

/* Of a message: its text when it is heard of; when it is shown, also its place, maker and role. */
static void say_message(const char *name, const char *json, bool is_shown)
{
	struct json_doc *doc;
	int64_t ord = 0;
	if (json_parse(str_c(json), &doc, NULL) != OK) return;
	const struct json *root = json_root(doc), *fields = json_get(root, "fields");
	struct str device = text_of(json_get(root, "created"), "deviceId"), text = text_of(fields, "text");
	(void)json_int(json_get(fields, "ord"), &ord);
	if (is_shown)
		say("view %lld %s %.*s %.*s %.*s", (long long)ord, name, STR_ARG(device),
		    STR_ARG(text_of(fields, "role")), STR_ARG(text));
	else say("text %s %.*s", name, STR_ARG(text));
	json_free(doc);
}

static void on_event(void *ctx, const roost_event *e)
{
	roost_status_t s = {.size = sizeof s};
	(void)ctx;
	switch (e->kind) {
	case ROOST_EV_ONLINE: say("online"); break;
	case ROOST_EV_OFFLINE: say("offline %s", e->sentence); break;
	case ROOST_EV_STOPPED: say("stopped %s", roost_error_code(e->error)); break;
	case ROOST_EV_PAIRED: say("paired %s", roost_error_code(e->error)); break;
	case ROOST_EV_RECORD:
		if (strcmp(e->type, "Message") == 0) say_message(e->name, e->json, false);
		break;
	case ROOST_EV_ENTRY:
		if (e->entry->state == ROOST_GONE) say("there %s", e->entry->name);
		if (e->entry->state == ROOST_HELD)
			say("held %s %s %llu", e->entry->name, roost_error_code(e->entry->why),
			    (unsigned long long)e->entry->number);
		break;
	case ROOST_EV_STATUS:
		if (roost_status(c, &s) == ROOST_OK && s.online && !s.syncing && s.pending == 0) say("idle");
		break;
	case ROOST_EV_JOINED: say("joined %s %s", e->conversation, or_none(e->session)); break;
	case ROOST_EV_PRIMARY:
		say("primary %s %s %lld", e->conversation, or_none(e->device), (long long)e->number);
		break;
	case ROOST_EV_CONFLICT: say("conflict %s %s", e->name, e->mine ? "mine" : "theirs"); break;
	case ROOST_EV_CLEARED: say("cleared %s %s %s", e->conversation, e->other, e->session); break;
	case ROOST_EV_ANSWER: say("answer %s %s", roost_error_code(e->error), e->json); break;
	case ROOST_EV_ASK: say("asked %s %s %s", e->conversation, e->name, e->text); break;
	default: break;
	}
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static int counted; /* by the list that was just made */
static char id[ROOST_ID_SIZE];

static int count(void *ctx, const roost_record *r)
{
	if (ctx != NULL) say_message(r->name, r->json, true);
	counted++;
	return 1;
}

static int send_words(const char *conversation, const char *text, const char *request)
{
	roost_message m = {.size = sizeof m, .conversation = conversation, .text = text, .request = request};
	return roost_send(c, &m, id);
}

static int title(const char *conversation, const char *text)
{
	struct buf b = BUF_INIT(4096);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "title", str_c(text));
	jw_obj_end(&w);
	int r = roost_save(c, "Conversation", conversation, b.p, NULL);
	buf_release(&b);
	return r;
}

/* `rest` is the answer's id and, after a space, the words. */
static int drive_words(const char *conversation, const char *rest)
{
	const char *words = strchrnul(rest, ' ');
	char answer[ROOST_ID_SIZE];
	if (!str_copy(str_n(rest, (size_t)(words - rest)), answer, sizeof answer)) return ROOST_ERR_USAGE;
	return roost_drive_text(c, conversation, answer, words[0] != '\0' ? words + 1 : NULL);
}

static int seat(const char *conversation)
{
	roost_seat_t s = {.size = sizeof s};
	int r = roost_seat(c, conversation, &s);
	if (r == ROOST_OK)
		say("seat %s %lld %s", or_none(s.primary), (long long)s.term, s.is_primary ? "here" : "elsewhere");
	return r;
}

static int status(void)
{
	roost_status_t s = {.size = sizeof s};
	int r = roost_status(c, &s);
	if (r == ROOST_OK)
		say("status syncs %llu pending %d held %d conflicted %d", (unsigned long long)s.syncs, s.pending,
		    s.held, s.conflicted);
	return r;
}

enum what {
	SEND,
	ASK,
	EDIT,
	TITLE,
	LIST,
	SHOW,
	JOIN,
	LEAVE,
	SEAT,
	DRIVE,
	SAY,
	TAKE,
	HAND,
	CALL,
	CLEAR,
	RESOLVE,
	FRONT,
	NUDGE,
	STOP,
	START,
	STATUS
};

static const struct command {
	const char *name;
	enum what what;
} commands[] = {
	{"send", SEND},       /* CONVERSATION TEXT */
	{"ask", ASK},         /* CONVERSATION TEXT: a message that wants an answer of three words */
	{"edit", EDIT},       /* MESSAGE TEXT */
	{"title", TITLE},     /* CONVERSATION TEXT */
	{"list", LIST},       /* CONVERSATION: how many messages it has */
	{"show", SHOW},       /* CONVERSATION: its messages: "view ORD ID DEVICE ROLE TEXT" */
	{"join", JOIN},       /* CONVERSATION */
	{"leave", LEAVE},     /* CONVERSATION */
	{"seat", SEAT},       /* CONVERSATION: who is primary: "seat DEVICE TERM here|elsewhere" */
	{"drive", DRIVE},     /* CONVERSATION: its automatic runs, from now on */
	{"say", SAY},         /* CONVERSATION ANSWER TEXT: to "asked CONVERSATION ANSWER" */
	{"take", TAKE},       /* CONVERSATION: be its primary; "answer CODE" follows */
	{"hand", HAND},       /* CONVERSATION DEVICE: it is to be primary; "answer CODE" follows */
	{"call", CALL},       /* TYPE MEMBERS: any frame; "answer CODE FRAME" follows */
	{"clear", CLEAR},     /* CONVERSATION */
	{"resolve", RESOLVE}, /* ENTRY 0|1|2|3: as enum roost_resolution */
	{"front", FRONT},     /* 0|1 */
	{"nudge", NUDGE},     {"stop", STOP}, {"start", START}, {"status", STATUS},
};

static int obey(enum what what, const char *first, const char *rest)
{
	switch (what) {
	case SEND: return send_words(first, rest, NULL);
	case ASK: return send_words(first, rest, "{\"model\":\"local:test\",\"params\":{\"tokens\":3}}");
	case EDIT: return roost_edit(c, first, rest);
	case TITLE: return title(first, rest);
	case LIST: return roost_list(c, "Message", first, count, NULL);
	case SHOW: return roost_list(c, "Message", first, count, &counted);
	case JOIN: return roost_join(c, first);
	case LEAVE: return roost_leave(c, first);
	case SEAT: return seat(first);
	case DRIVE: return roost_drive(c, first, 1);
	case SAY: return drive_words(first, rest);
	case TAKE: return roost_primary(c, first, ROOST_TAKE, NULL, NULL);
	case HAND: return roost_primary(c, first, ROOST_TRANSFER, rest, NULL);
	case CALL: return roost_call(c, first, rest, NULL);
	case CLEAR: return roost_clear(c, ROOST_CONVERSATION, first);
	case RESOLVE: return roost_resolve(c, strtoull(first, NULL, 10), rest[0] - '0');
	case FRONT: return roost_foreground(c, first[0] == '1');
	case NUDGE: return roost_nudge(c);
	case STOP: return roost_stop(c);
	case START: return roost_start(c);
	case STATUS: return status();
	}
	return ROOST_ERR_USAGE;
}

static void run(char *line)
{
	const struct command *command = NULL;
	char *name = strsep(&line, " "), *first = line != NULL ? strsep(&line, " ") : NULL;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, name) == 0) command = &commands[i];
	id[0] = '\0';
	counted = 0;
	int r = ROOST_ERR_USAGE;
	if (command != NULL) r = obey(command->what, first != NULL ? first : "", line != NULL ? line : "");
	if (r != ROOST_OK) say("refused %s %s", name, roost_last_error());
	else if (command->what == LIST || command->what == SHOW) say("list %d", counted);
	else if (id[0] != '\0') say("taken %s", id);
	else if (command->what != STATUS && command->what != SEAT) say("done %s", name);
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
