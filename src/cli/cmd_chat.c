/* roost chat: this terminal as a device.
 *
 * Three parts do the work: chat.c knows the protocol, link.c the connection, screen.c the terminal. Here they are put
 * together, in two ways. With a terminal on both sides a person types, and everything of the open conversation runs in
 * above the line. Otherwise one message is sent (the arguments, or what comes in on stdin), its answer is printed, and
 * the exit status says how it went. On a terminal that answer is shown as it comes; into a pipe or file it goes whole,
 * because a new attempt could not take back what was already written. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/chat.h"
#include "cli/identity.h"
#include "cli/link.h"
#include "cli/screen.h"
#include "cli/term.h"

#define INPUT_BYTES_MAX ((size_t)8 << 20)
#define HISTORY_MESSAGES 10
#define GIVE_UP_MS 60000 /* how long one message waits for a daemon that went away */
#define RESEND_MS 500    /* at least, before a message that was refused for a while is sent again */
#define STATUS_INTERRUPTED 130

static const struct cli_option options[] = {
	OPTION_DATA,
	{"conversation", 'c', "ID", "an id, last or new", "last for a person, new otherwise"},
	{"model", 'm', "MODEL", "the model that is to answer", "the daemon's default"},
	{"param", 'p', "KEY=VALUE", "a parameter of the request; may be repeated", NULL},
	{"list", 'l', NULL, "list the conversations and exit", NULL},
	{"user", 'u', "USER", "chat as this user, by name or id", "the only user"},
	{"url", 0, "URL", "a daemon elsewhere, as https://HOST:PORT", NULL},
	{"code", 0, "CODE", "a pairing code of that daemon; needed once", NULL},
	{"json", 'j', NULL, "with --list: print JSON", NULL},
	OPTION_END,
};

struct ui {
	struct cli *cli;
	uv_loop_t loop;
	struct identity identity;
	struct chat *chat;
	struct link *link;
	struct screen *screen; /* NULL: one message, or a list */
	int tty_in;            /* of the screen, -1 none */
	uv_poll_t input;
	uv_timer_t resend;
	uv_signal_t sigint, sigwinch, sigcont, sigterm;
	struct buf typed; /* lines that ended in a backslash */
	bool lists, json, streams, was_up, was_renewed, told_down, interrupted;
	bool in_answer; /* text of an answer is being shown */
	int status;
	struct buf out; /* JSON of --list */
	struct jw jw;
};

/* ---- showing ---------------------------------------------------------------------------------------------------- */

static void leave(struct ui *u, int status)
{
	u->status = status;
	uv_stop(&u->loop);
}

/* Text from elsewhere, with a style of ours around it. */
static void show(struct ui *u, enum term_style style, struct str text, int flags)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (style != TERM_PLAIN) buf_add_str(&b, str_c(term_style(stdout, style)));
	term_clean(&b, text, flags);
	if (style != TERM_PLAIN) buf_add_str(&b, str_c(term_style(stdout, TERM_PLAIN)));
	if (u->screen != NULL) screen_write(u->screen, buf_str(&b));
	else fwrite(buf_str(&b).p, 1, b.n, stdout), fflush(stdout);
	buf_release(&b);
}

/* A line of ours. */
static void note(struct ui *u, enum term_style style, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void note(struct ui *u, enum term_style style, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (u->screen == NULL) {
		fflush(stdout);
		fprintf(stderr, "%s%s", u->in_answer && u->streams ? "\n" : "", "roost chat: ");
		term_put(stderr, str_c(text), TERM_ONE_LINE);
		fputc('\n', stderr);
	} else {
		screen_fresh_line(u->screen);
		show(u, style, str_c(text), TERM_ONE_LINE);
		screen_fresh_line(u->screen);
	}
	u->in_answer = false;
}

static void show_message(struct ui *u, const struct chat_event *e)
{
	if (u->screen == NULL) return;
	screen_fresh_line(u->screen);
	if (e->kind == CHAT_OLD && e->mine) screen_remember(u->screen, e->text);
	if (e->who.n > 0) {
		show(u, TERM_CYAN, e->mine ? STR(">") : e->who, TERM_ONE_LINE);
		show(u, TERM_CYAN, e->mine ? STR(" ") : STR("> "), 0);
	}
	show(u, TERM_PLAIN, e->text, 0);
	screen_fresh_line(u->screen);
}

static void show_end(struct ui *u, const struct chat_event *e)
{
	if (u->screen == NULL && u->streams && e->text.n > 0) fputc('\n', stdout);
	if (u->screen != NULL) screen_fresh_line(u->screen);
	u->in_answer = false;
	if (e->err == ERR_CANCELLED) note(u, TERM_DIM, "(stopped)");
	else if (e->err != OK)
		note(u, TERM_RED, "no answer: %s%s", err_sentence(e->info, e->err),
		     u->screen != NULL ? " (/retry tries again)" : "");
}

/* The one message's answer: all of it, and the exit status. */
static void finish(struct ui *u, const struct chat_event *e)
{
	if (!u->streams && e->text.n > 0) {
		fwrite(e->text.p, 1, e->text.n, stdout);
		if (e->text.p[e->text.n - 1] != '\n') fputc('\n', stdout);
	}
	leave(u, u->interrupted ? STATUS_INTERRUPTED : err_exit(e->err));
}

static void on_resend(uv_timer_t *t) { chat_resend(((struct ui *)t->data)->chat); }

static void refused(struct ui *u, const struct chat_event *e)
{
	const char *why = err_sentence(e->info, e->err);
	if (e->mine) {
		note(u, TERM_DIM, "%s; it is sent again shortly", why);
		uv_timer_start(&u->resend, on_resend, (uint64_t)MAX(e->info->retry_after_ms, RESEND_MS), 0);
		return;
	}
	note(u, TERM_RED, "%s%s", e->text.n > 0 ? "not sent: " : "", why);
	if (u->screen != NULL) screen_remember(u->screen, e->text);
	else leave(u, err_exit(e->err));
}

static void show_listed(struct ui *u, const struct chat_event *e)
{
	char when[TERM_WORD] = "";
	struct buf line = BUF_INIT(BUF_NO_LIMIT);
	if (u->json) {
		jw_obj(&u->jw);
		jw_kstr(&u->jw, "conversationId", e->who);
		jw_kstr(&u->jw, "title", e->text);
		if (e->at_ms > 0) jw_ktime(&u->jw, "modifiedAt", e->at_ms);
		jw_obj_end(&u->jw);
		return;
	}
	if (e->at_ms > 0) term_time(e->at_ms, when);
	if (u->screen != NULL) screen_fresh_line(u->screen);
	buf_addf(&line, "%3d  %s  ", e->number, when);
	if (u->screen == NULL) buf_addf(&line, "%.*s  ", STR_ARG(e->who)); /* a person opens it by its number */
	show(u, TERM_DIM, buf_str(&line), TERM_ONE_LINE);
	show(u, TERM_PLAIN, e->text, TERM_ONE_LINE);
	show(u, TERM_PLAIN, STR("\n"), 0);
	buf_release(&line);
}

static void on_event(void *ctx, const struct chat_event *e)
{
	struct ui *u = ctx;
	bool is_shown = u->screen != NULL || (u->streams && e->mine);
	int64_t wait_ms;
	switch (e->kind) {
	case CHAT_READY:
		if (u->lists) chat_list(u->chat);
		break;
	case CHAT_OPENED:
		if (u->screen != NULL) note(u, TERM_DIM, "%.*s (%.*s)", STR_ARG(e->text), STR_ARG(e->who));
		break;
	case CHAT_MESSAGE:
	case CHAT_OLD: show_message(u, e); break;
	case CHAT_TEXT:
		if (is_shown) show(u, TERM_PLAIN, e->text, 0);
		u->in_answer = true;
		break;
	case CHAT_THINKING:
		if (u->screen != NULL) note(u, TERM_DIM, "(thinking)");
		break;
	case CHAT_AGAIN:
		if (is_shown) note(u, TERM_DIM, "(that answer broke off; here is another)");
		break;
	case CHAT_WAITING:
		wait_ms = MAX(e->at_ms - clock_wall_ms(), 0);
		if (is_shown)
			note(u, TERM_DIM, "(%s; trying again in %lld.%lld s)", err_sentence(e->info, e->err),
			     (long long)(wait_ms / 1000), (long long)(wait_ms % 1000 / 100));
		break;
	case CHAT_END:
		if (is_shown || e->mine) show_end(u, e);
		if (u->screen == NULL && e->mine) finish(u, e);
		break;
	case CHAT_REFUSED: refused(u, e); break;
	case CHAT_LISTED: show_listed(u, e); break;
	case CHAT_LIST_END:
		if (u->lists) leave(u, 0);
		break;
	}
}

/* ---- a person's lines ------------------------------------------------------------------------------------------- */

static void do_new(struct ui *u, struct str arg)
{
	(void)arg;
	(void)chat_open(u->chat, STR("new"), clock_wall_ms());
	note(u, TERM_DIM, "a new conversation begins with your next message");
}

static void do_list(struct ui *u, struct str arg)
{
	(void)arg;
	chat_list(u->chat);
}

static void do_open(struct ui *u, struct str arg)
{
	if (arg.n == 0 || !chat_open(u->chat, arg, clock_wall_ms()))
		note(u, TERM_RED, "/open wants a number of /list, or an id");
}

static void do_stop(struct ui *u, struct str arg)
{
	(void)arg;
	if (!chat_stop(u->chat)) note(u, TERM_DIM, "nothing is running");
}

static void do_retry(struct ui *u, struct str arg)
{
	(void)arg;
	if (!chat_retry(u->chat)) note(u, TERM_DIM, "no answer has failed here");
}

static void do_model(struct ui *u, struct str arg)
{
	if (arg.n > 0) chat_set_model(u->chat, arg);
	struct str model = chat_model(u->chat);
	if (model.n > 0) note(u, TERM_DIM, "model: %.*s", STR_ARG(model));
	else note(u, TERM_DIM, "model: the daemon's default");
}

static void do_quit(struct ui *u, struct str arg)
{
	(void)arg;
	leave(u, 0);
}

static void do_help(struct ui *u, struct str arg);

static const struct {
	const char *name, *arg, *help;
	void (*run)(struct ui *u, struct str arg);
} slashes[] = {
	{"/new", "", "begin a new conversation", do_new},
	{"/list", "", "list the conversations", do_list},
	{"/open", "N", "go on with one of them", do_open},
	{"/stop", "", "stop the answer (Ctrl-C does too)", do_stop},
	{"/retry", "", "ask again for an answer that failed or was stopped", do_retry},
	{"/model", "MODEL", "let this model answer from now on", do_model},
	{"/help", "", "this", do_help},
	{"/quit", "", "leave (Ctrl-D does too)", do_quit},
};

static void do_help(struct ui *u, struct str arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(slashes); i++)
		note(u, TERM_DIM, "%-7s%-7s%s", slashes[i].name, slashes[i].arg, slashes[i].help);
	note(u, TERM_DIM, "a line that ends in a backslash goes on in the next; // begins a message with a slash");
}

static void run_slash(struct ui *u, struct str line)
{
	size_t n = 0;
	while (n < line.n && line.p[n] != ' ') n++;
	struct str name = str_n(line.p, n), arg = str_n(line.p + n, line.n - n);
	while (arg.n > 0 && arg.p[0] == ' ') arg = str_n(arg.p + 1, arg.n - 1);
	while (arg.n > 0 && arg.p[arg.n - 1] == ' ') arg.n--;
	for (size_t i = 0; i < ARRAY_LEN(slashes); i++) {
		if (!str_eq(name, str_c(slashes[i].name))) continue;
		slashes[i].run(u, arg);
		return;
	}
	note(u, TERM_RED, "there is no %.*s; /help lists what there is", (int)MIN(name.n, (size_t)40), name.p);
}

static void on_line(void *ctx, struct str line)
{
	struct ui *u = ctx;
	u->interrupted = false;
	if (line.n > 0 && line.p[line.n - 1] == '\\') {
		buf_add(&u->typed, line.p, line.n - 1);
		buf_add_char(&u->typed, '\n');
		screen_prompt(u->screen, ". ");
		return;
	}
	screen_prompt(u->screen, "> ");
	buf_add_str(&u->typed, line);
	struct str text = buf_str(&u->typed);
	if (!utf8_is_valid(text)) note(u, TERM_RED, "not sent: the line is not UTF-8");
	else if (str_starts(text, STR("//"))) chat_say(u->chat, str_n(text.p + 1, text.n - 1), clock_wall_ms());
	else if (str_starts(text, STR("/"))) run_slash(u, text);
	else if (text.n > 0) chat_say(u->chat, text, clock_wall_ms());
	buf_clear(&u->typed);
}

static void on_key(void *ctx) { ((struct ui *)ctx)->interrupted = false; }
static void on_end(void *ctx) { leave(ctx, 0); }

/* Ctrl-C: first whatever can be taken back, then leaving. */
static void on_sigint(uv_signal_t *s, int signum)
{
	struct ui *u = s->data;
	(void)signum;
	if (chat_stop(u->chat)) {
		u->interrupted = true;
		if (u->screen == NULL && !u->was_up) leave(u, STATUS_INTERRUPTED);
		return;
	}
	if (u->screen == NULL || u->interrupted) {
		leave(u, u->screen == NULL ? STATUS_INTERRUPTED : 0);
		return;
	}
	u->interrupted = true;
	if (!screen_clear_line(u->screen)) note(u, TERM_DIM, "(Ctrl-C again, or Ctrl-D, leaves)");
}

static void on_sigterm(uv_signal_t *s, int signum) { leave(s->data, 128 + signum); }

static void on_sigwinch(uv_signal_t *s, int signum)
{
	(void)signum;
	screen_resized(((struct ui *)s->data)->screen);
}

static void on_sigcont(uv_signal_t *s, int signum)
{
	(void)signum;
	screen_resumed(((struct ui *)s->data)->screen);
}

static void on_input(uv_poll_t *p, int status, int events)
{
	struct ui *u = p->data;
	(void)events;
	if (status < 0) leave(u, 0);
	else screen_read(u->screen);
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

static void on_up(void *ctx)
{
	struct ui *u = ctx;
	if (u->told_down) note(u, TERM_DIM, "(connected again)");
	u->was_up = true;
	u->told_down = false;
	chat_up(u->chat);
}

static void on_down(void *ctx, const char *why)
{
	struct ui *u = ctx;
	chat_down(u->chat);
	if (!u->was_up) {
		note(u, TERM_RED, "no daemon answers at %s: %s", u->identity.at, why);
		leave(u, err_exit(ERR_UNAVAILABLE));
		return;
	}
	if (!u->told_down) note(u, TERM_DIM, "(%s; connecting again)", why);
	u->told_down = true;
}

static void on_frame(void *ctx, struct str text) { chat_frame(((struct ui *)ctx)->chat, text); }

static void connect_daemon(struct ui *u);

/* A credential that is no longer good is replaced once, where the operator's socket gives another. */
static void on_over(void *ctx, enum err e, const struct errinfo *info)
{
	struct ui *u = ctx;
	if (e == ERR_UNAUTHORIZED && !u->identity.is_url && !u->was_renewed) {
		u->was_renewed = true;
		e = identity_prove(u->cli, &u->identity, NULL);
		info = &u->cli->info;
		if (e == OK) {
			connect_daemon(u);
			return;
		}
	}
	note(u, TERM_RED, "%s", err_sentence(info, e));
	leave(u, err_exit(e));
}

static void connect_daemon(struct ui *u)
{
	struct buf path = BUF_INIT(4096);
	if (u->link != NULL) link_free(u->link);
	buf_addf(&path, "%s/roost.sock", u->identity.at);
	struct link_hooks hooks = {.up = on_up, .down = on_down, .frame = on_frame, .over = on_over, .ctx = u};
	u->link = link_new(
		&(struct link_options){
			.loop = &u->loop,
			.url = u->identity.is_url ? u->identity.at : NULL,
			.socket_path = path.p,
			.token = u->identity.token,
			.give_up_ms = u->screen != NULL ? 0 : GIVE_UP_MS,
		},
		&hooks);
	buf_release(&path);
}

static void send_frame(void *ctx, struct str frame) { link_send(((struct ui *)ctx)->link, frame); }

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

/* --param KEY=VALUE… as one JSON object. A value that is JSON is taken as that, anything else as text. */
static enum err read_params(struct cli *c, struct buf *out)
{
	struct jw w = JW(out);
	const char *pair;
	jw_obj(&w);
	for (int i = 0; (pair = cli_option_nth(c, "param", i)) != NULL; i++) {
		const char *eq = strchr(pair, '=');
		struct json_doc *doc;
		if (eq == NULL || eq == pair)
			return err_set(&c->info, ERR_USAGE, "--param %.60s is not KEY=VALUE", pair);
		jw_key_str(&w, str_n(pair, (size_t)(eq - pair)));
		if (json_parse(str_c(eq + 1), &doc, NULL) == OK) {
			jw_value(&w, json_root(doc));
			json_free(doc);
		} else {
			jw_str(&w, str_c(eq + 1));
		}
	}
	jw_obj_end(&w);
	return OK;
}

/* The one message: the arguments with spaces between, or all of stdin without its last line feed. */
static enum err read_message(struct cli *c, struct buf *out)
{
	char piece[8192];
	size_t n;
	for (int i = 0; i < c->nargs; i++) {
		if (i > 0) buf_add_char(out, ' ');
		buf_add_str(out, str_c(c->args[i]));
	}
	while (c->nargs == 0 && (n = fread(piece, 1, sizeof piece, stdin)) > 0) buf_add(out, piece, n);
	if (out->failed) return err_set(&c->info, ERR_TOO_LARGE, "the message is larger than %zu bytes", out->max);
	if (out->n > 0 && out->p[out->n - 1] == '\n') out->n--;
	if (out->n == 0) return err_set(&c->info, ERR_USAGE, "there is no message; give it as an argument or on stdin");
	if (!utf8_is_valid(buf_str(out))) return err_set(&c->info, ERR_BAD_FIELD, "the message is not UTF-8");
	return OK;
}

/* https, or http to this machine: a credential does not travel in the clear. */
static enum err check_url(struct cli *c, const char *url)
{
	static const struct str http = {"http://", 7}, https = {"https://", 8};
	struct str s = str_c(url);
	if (str_starts(s, https) && s.n > https.n) return OK;
	if (str_starts(s, http)) {
		struct str host = str_n(s.p + http.n, strcspn(s.p + http.n, "/"));
		struct str addr = host;
		int port;
		if (config_split_address(host, &addr, &port) || host.n > 0) {
			if (config_is_loopback(addr)) return OK;
			return err_set(&c->info, ERR_USAGE, "--url must be https:// beyond this machine");
		}
	}
	return err_set(&c->info, ERR_USAGE, "--url %.100s is not https://HOST[:PORT]", url);
}

/* Takes an entry and makes sure that it has a credential. */
static enum err prepare(struct ui *u)
{
	struct cli *c = u->cli;
	const char *url = cli_option(c, "url"), *code = cli_option(c, "code");
	enum err e = url != NULL ? check_url(c, url) : OK;
	if (e == OK && code != NULL && url == NULL) e = err_set(&c->info, ERR_USAGE, "--code belongs to --url");
	if (e == OK) e = identity_take(c, url, cli_option(c, "user"), &u->identity);
	if (e != OK || (u->identity.token[0] != '\0' && code == NULL)) return e;
	return identity_prove(c, &u->identity, code);
}

static struct chat *make_chat(struct ui *u, struct str params)
{
	const char *conversation = cli_option(u->cli, "conversation"), *model = cli_option(u->cli, "model");
	struct chat_options o = {
		.device_id = str_c(u->identity.device_id),
		.name = str_c(u->identity.name),
		.conversation = str_c(conversation != NULL ? conversation
				      : u->screen != NULL  ? "last"
							   : "new"),
		.model = str_c(model != NULL ? model : ""),
		.params = params.n > 2 ? params : STR(""),
		.cursor = str_c(u->identity.cursor),
		.history = u->screen != NULL ? HISTORY_MESSAGES : 0,
	};
	struct chat_hooks hooks = {.send = send_frame, .event = on_event, .ctx = u};
	return chat_new(&o, &hooks);
}

/* The terminal once more, as a file of its own: the loop makes it non-blocking, which stdin, shared with the shell
 * and with stdout, must not become. */
static int open_terminal(void)
{
	char name[256];
	if (ttyname_r(STDIN_FILENO, name, sizeof name) != 0) return -1;
	return open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

static enum err start_screen(struct ui *u)
{
	struct screen_hooks hooks = {.line = on_line, .end = on_end, .key = on_key, .ctx = u};
	u->tty_in = open_terminal();
	if (u->tty_in < 0) return err_set(&u->cli->info, ERR_IO, "the terminal cannot be opened: %s", strerror(errno));
	u->screen = screen_new(u->tty_in, &hooks);
	return OK;
}

static void watch(struct ui *u, uv_signal_t *s, int signum, uv_signal_cb fn)
{
	uv_signal_init(&u->loop, s);
	s->data = u;
	uv_signal_start(s, fn, signum);
}

static void start_loop(struct ui *u)
{
	watch(u, &u->sigint, SIGINT, on_sigint);
	watch(u, &u->sigterm, SIGTERM, on_sigterm);
	uv_timer_init(&u->loop, &u->resend);
	u->resend.data = u;
	if (u->screen == NULL) return;
	watch(u, &u->sigwinch, SIGWINCH, on_sigwinch);
	watch(u, &u->sigcont, SIGCONT, on_sigcont);
	uv_poll_init(&u->loop, &u->input, u->tty_in);
	u->input.data = u;
	uv_poll_start(&u->input, UV_READABLE, on_input);
}

/* Only what start_loop began: the link closes its own handles. */
static void stop_loop(struct ui *u)
{
	uv_handle_t *own[] = {(uv_handle_t *)&u->sigint,   (uv_handle_t *)&u->sigterm, (uv_handle_t *)&u->resend,
			      (uv_handle_t *)&u->sigwinch, (uv_handle_t *)&u->sigcont, (uv_handle_t *)&u->input};
	if (u->link != NULL) link_free(u->link);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (own[i]->type != UV_UNKNOWN_HANDLE) uv_close(own[i], NULL);
	uv_run(&u->loop, UV_RUN_DEFAULT);
	uv_loop_close(&u->loop);
}

/* Runs until something calls leave; the status is in u->status. */
static enum err converse(struct ui *u, struct str params, struct str message)
{
	enum err e = OK;
	bool is_person = message.p == NULL && !u->lists;
	uv_loop_init(&u->loop);
	if (is_person) e = start_screen(u);
	if (e == OK) {
		start_loop(u);
		u->chat = make_chat(u, params);
		connect_daemon(u);
		if (message.p != NULL) chat_say(u->chat, message, clock_wall_ms());
		uv_run(&u->loop, UV_RUN_DEFAULT);
	}
	screen_free(u->screen);
	u->screen = NULL;
	stop_loop(u);
	if (u->chat != NULL && !str_eq(chat_cursor(u->chat), str_c(u->identity.cursor))) {
		free(u->identity.cursor);
		u->identity.cursor = str_dup(chat_cursor(u->chat));
		e = identity_save(u->cli, &u->identity);
	}
	chat_free(u->chat);
	if (u->tty_in >= 0) close(u->tty_in);
	return e;
}

static int run(struct cli *c)
{
	struct ui u = {.cli = c, .tty_in = -1, .lists = cli_switch(c, "list"), .json = cli_switch(c, "json")};
	struct buf params = BUF_INIT(1 << 16), message = BUF_INIT(INPUT_BYTES_MAX);
	bool is_person = !u.lists && c->nargs == 0 && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
	u.identity.lock = -1;
	u.streams = term_is_tty(stdout);
	buf_init(&u.typed, INPUT_BYTES_MAX);
	buf_init(&u.out, BUF_NO_LIMIT);
	u.jw = JW(&u.out);
	jw_arr(&u.jw);
	enum err e = read_params(c, &params);
	if (e == OK && !is_person && !u.lists) e = read_message(c, &message);
	if (e == OK) e = cli_load_config(c);
	if (e == OK) e = prepare(&u);
	if (e == OK) e = converse(&u, buf_str(&params), is_person || u.lists ? STR_NONE : buf_str(&message));
	jw_arr_end(&u.jw);
	if (e == OK && u.json && u.status == 0) printf("%.*s\n", STR_ARG(buf_str(&u.out)));
	identity_release(&u.identity);
	buf_release(&u.typed);
	buf_release(&u.out);
	buf_release(&params);
	buf_release(&message);
	return e == OK ? u.status : cli_fail(c, e, &c->info);
}

const struct cli_command cmd_chat = {
	.name = "chat",
	.summary = "talk with a model from the terminal",
	.args = "[MESSAGE]...",
	.about =
		"Without a message, on a terminal: an open-ended conversation. It is a device like any other: what the\n"
		"user's other devices say in the conversation appears as it happens. Ctrl-C stops the answer, a second\n"
		"one leaves; /help lists what else there is.\n"
		"\n"
		"With a message, or with one on stdin: sends it, prints the answer and nothing else, and exits with 0\n"
		"when the answer is complete. It is a conversation of its own unless --conversation names one.\n"
		"\n"
		"The terminal is a device of the user: on this machine it pairs itself over the operator's socket, with\n"
		"a daemon elsewhere it does so once with a code of `roost pair`. Its credential is kept in\n"
		"$XDG_STATE_HOME/roost/chat.json.",
	.example = "roost chat\n"
		   "echo \"why is the sky blue?\" | roost chat\n"
		   "roost chat --model local:test --param tokens=20 hello\n"
		   "roost chat --url https://roost.example --code 1234-5678",
	.options = options,
	.args_max = -1,
	.run = run,
};
