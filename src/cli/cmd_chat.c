/* roost chat: this terminal as a device.
 *
 * libroost is the device; chat.h tells how the rest is divided. Here are the command and its loop, in two ways. With a
 * terminal on both sides a person types, and everything of the open conversation runs in above the line; there need be
 * no daemon for that, what is typed goes when there is one. Otherwise one message is sent (the arguments, or what comes
 * in on stdin), its answer is printed, and the exit status says how it went; without a daemon it is not taken. On a
 * terminal that answer is shown as it comes; into a pipe or file it goes whole, because a new attempt could not take back
 * what was already written.
 *
 * The conversation is opened when the device knows what the daemon knows: after the first sync, or, for a person, when
 * there is no daemon. Until then the terminal keeps what is typed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cli/chat.h"

#define INPUT_BYTES_MAX ((size_t)8 << 20)
#define CONNECT_MS 3000  /* a person waits so long before what the device knows is shown */
#define GIVE_UP_MS 60000 /* how long one message waits for a daemon that went away, or does not take it */

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

void chat_leave(struct chat *c, int status)
{
	c->status = status;
	uv_stop(&c->loop);
}

void chat_prompt(struct chat *c)
{
	if (c->screen == NULL) return;
	screen_prompt(c->screen, c->typed.n > 0 ? ". " : TAILQ_EMPTY(&c->questions) ? "> " : "[y/n] > ");
}

/* ---- a person's keys -------------------------------------------------------------------------------------------- */

static void on_line(void *ctx, struct str line)
{
	struct chat *c = ctx;
	c->interrupted = false;
	if (line.n > 0 && line.p[line.n - 1] == '\\') {
		buf_add(&c->typed, line.p, line.n - 1);
		buf_add_char(&c->typed, '\n');
		chat_prompt(c);
		return;
	}
	buf_add_str(&c->typed, line);
	struct str text = buf_str(&c->typed);
	if (chat_question_line(c, text)) buf_clear(&c->typed);
	else if (!utf8_is_valid(text)) chat_note(c, TERM_RED, "not sent: the line is not UTF-8");
	else if (str_starts(text, STR("//"))) chat_say(c, str_n(text.p + 1, text.n - 1));
	else if (str_starts(text, STR("/"))) chat_word(c, text);
	else if (text.n > 0) chat_say(c, text);
	buf_clear(&c->typed);
	chat_prompt(c);
}

static void on_key(void *ctx)
{
	struct chat *c = ctx;
	c->interrupted = false;
	chat_question_key(c);
	(void)roost_typing(c->device, c->conversation);
}

static void on_end(void *ctx) { chat_leave(ctx, 0); }

/* Ctrl-C: first whatever can be taken back, then leaving. */
static void on_sigint(uv_signal_t *s, int signum)
{
	struct chat *c = s->data;
	(void)signum;
	if (c->is_open && chat_stop(c)) {
		c->interrupted = true;
		return;
	}
	if (c->screen == NULL || c->interrupted || !c->is_open) {
		chat_leave(c, c->screen == NULL ? CHAT_STATUS_INTERRUPTED : 0);
		return;
	}
	c->interrupted = true;
	if (!screen_clear_line(c->screen)) chat_note(c, TERM_DIM, "(Ctrl-C again, or Ctrl-D, leaves)");
}

static void on_sigterm(uv_signal_t *s, int signum) { chat_leave(s->data, 128 + signum); }

static void on_sigwinch(uv_signal_t *s, int signum)
{
	(void)signum;
	screen_resized(((struct chat *)s->data)->screen);
}

static void on_sigcont(uv_signal_t *s, int signum)
{
	(void)signum;
	screen_resumed(((struct chat *)s->data)->screen);
}

static void on_input(uv_poll_t *p, int status, int events)
{
	struct chat *c = p->data;
	(void)events;
	if (status < 0) chat_leave(c, 0);
	else screen_read(c->screen);
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

/* Opens the conversation. `is_all`: what is not known here now will not be known soon; false: it may come yet. */
static void ready(struct chat *c, bool is_all)
{
	if (!c->is_open && !c->lists) {
		enum err e = chat_begin(c);
		if (e != OK && !is_all) return;
		if (e != OK) {
			chat_note(c, TERM_RED, "%s", err_sentence(&c->cli->info, e));
			chat_leave(c, err_exit(e));
			return;
		}
	}
	if (c->screen != NULL && !uv_is_active((uv_handle_t *)&c->input))
		uv_poll_start(&c->input, UV_READABLE, on_input);
}

/* The one message goes when there is a daemon, and once. */
static void say_message(struct chat *c)
{
	if (c->message.p == NULL || !c->is_open || !c->is_online) return;
	struct str message = c->message;
	c->message = STR_NONE;
	chat_say(c, message);
}

struct said {
	const char *name;
	uint64_t entry; /* 0: it has left the outbox */
};

static int look_for_said(void *ctx, const roost_entry *e)
{
	struct said *s = ctx;
	if (strcmp(e->name, s->name) == 0) s->entry = e->number;
	return s->entry == 0;
}

static void give_up(struct chat *c)
{
	struct said s = {.name = c->said};
	if (c->is_said) (void)roost_outbox(c->device, look_for_said, &s);
	const char *what = c->request != NULL ? "its answer will be in the conversation"
			   : s.entry == 0 || roost_resolve(c->device, s.entry, ROOST_DISCARD) == ROOST_OK
				   ? "the message was not sent"
				   : "the message may have been taken; if not, the next `roost chat` sends it";
	c->is_said = false;
	chat_note(c, TERM_RED, "the daemon did not %s; %s",
		  c->is_online ? "take the message for a minute" : "come back", what);
	chat_leave(c, err_exit(ERR_UNAVAILABLE));
}

static void on_patience(uv_timer_t *t)
{
	struct chat *c = t->data;
	if (c->screen != NULL) ready(c, false);
	else give_up(c);
}

void chat_wait(struct chat *c)
{
	if (!uv_is_active((uv_handle_t *)&c->patience)) uv_timer_start(&c->patience, on_patience, GIVE_UP_MS, 0);
}

static void on_online(struct chat *c)
{
	uv_timer_stop(&c->patience);
	if (c->told_down) chat_note(c, TERM_DIM, "(connected%s)", c->was_online ? " again" : "");
	c->is_online = c->was_online = true;
	c->told_down = false;
	chat_answers_online(c);
	say_message(c);
}

static void on_offline(struct chat *c, const char *sentence)
{
	const char *why = sentence[0] != '\0' ? sentence : "the connection was closed";
	c->is_online = false;
	if (!c->was_online && c->screen == NULL) {
		chat_note(c, TERM_RED, "no daemon answers at %s: %s", c->identity.at, why);
		chat_leave(c, err_exit(ERR_UNAVAILABLE));
		return;
	}
	if (c->told_down) return;
	c->told_down = true;
	if (c->was_online) chat_note(c, TERM_DIM, "(%s; connecting again)", why);
	else
		chat_note(c, TERM_DIM, "(no daemon answers at %s; what you write is kept, and goes when one does)",
			  c->identity.at);
	if (c->screen == NULL) chat_wait(c);
	else ready(c, true);
}

/* A credential that is no longer good when a connection begins is replaced once, where the operator's socket gives
 * another. One that is revoked while it is in use is not. */
static void on_stopped(struct chat *c, const roost_event *e, bool was_in_use)
{
	enum err err = identity_err(e->error, NULL);
	struct errinfo info;
	err_set(&info, err, "%s", e->sentence);
	if (err == ERR_UNAUTHORIZED && was_in_use) {
		err = err_set(&info, ERR_FORBIDDEN, "this terminal is no longer paired");
	} else if (err == ERR_UNAUTHORIZED && !c->identity.is_url && !c->was_renewed) {
		c->was_renewed = true;
		err = identity_prove(c->cli, &c->identity, NULL);
		info = c->cli->info;
		if (err == OK) return;
	} else if (err == ERR_EXISTS) {
		err = err_set(&info, ERR_CONFLICT, "this terminal's device connected from elsewhere");
	}
	chat_note(c, TERM_RED, "%s", err_sentence(&info, err));
	chat_leave(c, err_exit(err));
}

static void on_paired(struct chat *c, const roost_event *e)
{
	enum err err = identity_err(e->error, NULL);
	if (err == OK || err == ERR_UNAUTHORIZED) return; /* the latter: it was not asked for yet */
	chat_note(c, TERM_RED, "%s", e->sentence);
	chat_leave(c, err_exit(err));
}

static void on_synced(struct chat *c)
{
	ready(c, true);
	say_message(c);
	if (!c->lists) return;
	chat_list(c);
	chat_leave(c, 0);
}

static void on_disk(struct chat *c, const roost_event *e)
{
	if (e->error != 0) chat_note(c, TERM_RED, "%s; nothing new is taken until that is better", e->sentence);
	else chat_note(c, TERM_DIM, "(the disk takes again)");
}

static void on_event(void *ctx, const roost_event *e)
{
	struct chat *c = ctx;
	if (c->device == NULL || chat_answer_event(c, e)) return;
	switch (e->kind) {
	case ROOST_EV_PAIRED: on_paired(c, e); break;
	case ROOST_EV_ONLINE: on_online(c); break;
	case ROOST_EV_OFFLINE:
		c->was_in_use = c->is_online;
		/* Why it stopped, when it did, says more. */
		if (e->at != 0) on_offline(c, e->sentence);
		c->is_online = false;
		break;
	case ROOST_EV_STOPPED: on_stopped(c, e, c->was_in_use); break;
	case ROOST_EV_DISK: on_disk(c, e); break;
	default: chat_room_event(c, e); break;
	}
	if (e->kind == ROOST_EV_SYNCED) on_synced(c);
}

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

/* Takes a file and makes sure that it has a credential. */
static enum err prepare(struct chat *c, bool is_person)
{
	struct cli *cli = c->cli;
	const char *url = cli_option(cli, "url"), *code = cli_option(cli, "code");
	roost_options like = {.loop = &c->loop, .foreground = is_person, .event = on_event, .ctx = c};
	roost_status_t s = {.size = sizeof s};
	enum err e = identity_open(cli, url, cli_option(cli, "user"), &like, &c->identity);
	if (e != OK) return e;
	e = identity_err(roost_status(c->identity.device, &s), &cli->info);
	if (e != OK) return e;
	c->device = c->identity.device;
	if (s.paired && code == NULL) return identity_err(roost_start(c->device), &cli->info);
	return identity_prove(cli, &c->identity, code);
}

/* The terminal once more, as a file of its own: the loop makes it non-blocking, which stdin, shared with the shell
 * and with stdout, must not become. */
static int open_terminal(void)
{
	char name[256];
	if (ttyname_r(STDIN_FILENO, name, sizeof name) != 0) return -1;
	return open(name, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

static enum err start_screen(struct chat *c)
{
	struct screen_hooks hooks = {.line = on_line, .end = on_end, .key = on_key, .ctx = c};
	c->tty_in = open_terminal();
	if (c->tty_in < 0) return err_set(&c->cli->info, ERR_IO, "the terminal cannot be opened: %s", strerror(errno));
	c->screen = screen_new(c->tty_in, &hooks);
	return OK;
}

static void watch(struct chat *c, uv_signal_t *s, int signum, uv_signal_cb fn)
{
	uv_signal_init(&c->loop, s);
	s->data = c;
	uv_signal_start(s, fn, signum);
}

static void start_loop(struct chat *c)
{
	watch(c, &c->sigint, SIGINT, on_sigint);
	watch(c, &c->sigterm, SIGTERM, on_sigterm);
	uv_timer_init(&c->loop, &c->patience);
	c->patience.data = c;
	if (c->screen == NULL) return;
	uv_timer_start(&c->patience, on_patience, CONNECT_MS, 0);
	watch(c, &c->sigwinch, SIGWINCH, on_sigwinch);
	watch(c, &c->sigcont, SIGCONT, on_sigcont);
	uv_poll_init(&c->loop, &c->input, c->tty_in);
	c->input.data = c;
}

/* Only what start_loop began: the device closes its own handles. */
static void stop_loop(struct chat *c)
{
	uv_handle_t *own[] = {(uv_handle_t *)&c->sigint,   (uv_handle_t *)&c->sigterm, (uv_handle_t *)&c->patience,
			      (uv_handle_t *)&c->sigwinch, (uv_handle_t *)&c->sigcont, (uv_handle_t *)&c->input};
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (own[i]->type != UV_UNKNOWN_HANDLE) uv_close(own[i], NULL);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	uv_loop_close(&c->loop);
}

/* What is left in the outbox of one who leaves. */
static void tell_kept(const struct chat *c)
{
	roost_status_t s = {.size = sizeof s};
	if (roost_status(c->device, &s) != ROOST_OK || s.pending + s.held == 0) return;
	fprintf(stderr, "roost chat: %d not sent yet, %d held back; the next `roost chat` has them\n", s.pending,
		s.held);
}

/* Runs until something calls chat_leave; the status is in c->status. */
static enum err converse(struct chat *c, bool is_person)
{
	enum err e = OK;
	uv_loop_init(&c->loop);
	e = prepare(c, is_person);
	if (e == OK && is_person) e = start_screen(c);
	if (e == OK) {
		start_loop(c);
		if (strcmp(c->wanted, "new") == 0) ready(c, true);
		uv_run(&c->loop, UV_RUN_DEFAULT);
	}
	screen_free(c->screen);
	if (e == OK && (is_person || c->is_said)) tell_kept(c);
	c->screen = NULL;
	chat_room_close(c);
	identity_release(&c->identity);
	c->device = NULL;
	stop_loop(c);
	if (c->tty_in >= 0) close(c->tty_in);
	return e;
}

static enum err check_options(struct cli *c)
{
	const char *url = cli_option(c, "url");
	if (cli_option(c, "code") != NULL && url == NULL)
		return err_set(&c->info, ERR_USAGE, "--code belongs to --url");
	return url != NULL ? check_url(c, url) : OK;
}

static int run(struct cli *cli)
{
	struct chat c = {.cli = cli, .tty_in = -1, .lists = cli_switch(cli, "list"), .json = cli_switch(cli, "json")};
	const char *model = cli_option(cli, "model");
	struct buf params = BUF_INIT(1 << 16), message = BUF_INIT(INPUT_BYTES_MAX), list = BUF_INIT(BUF_NO_LIMIT);
	bool is_person = !c.lists && cli->nargs == 0 && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
	TAILQ_INIT(&c.answers);
	TAILQ_INIT(&c.questions);
	buf_init(&c.typed, INPUT_BYTES_MAX);
	c.streams = term_is_tty(stdout);
	c.conversation = xstrdup("");
	c.model = xstrdup(model != NULL ? model : "");
	c.wanted = cli_option(cli, "conversation");
	if (c.wanted == NULL) c.wanted = is_person || c.lists ? "last" : "new";
	c.list = JW(&list);
	jw_arr(&c.list);
	enum err e = read_params(cli, &params);
	if (e == OK && !is_person && !c.lists) e = read_message(cli, &message);
	if (e == OK) e = cli_load_config(cli);
	if (e == OK) e = check_options(cli);
	if (params.n > 2) c.params = buf_str(&params);
	if (!is_person && !c.lists) c.message = buf_str(&message);
	if (e == OK) e = converse(&c, is_person);
	jw_arr_end(&c.list);
	if (e == OK && c.json && c.status == 0) printf("%.*s\n", STR_ARG(buf_str(&list)));
	chat_room_close(&c);
	buf_release(&c.typed);
	buf_release(&list);
	buf_release(&params);
	buf_release(&message);
	return e == OK ? c.status : cli_fail(cli, e, &cli->info);
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
		"What a person types is kept until the daemon has it: without a daemon, and over the end of this program.\n"
		"\n"
		"The terminal is a device of the user: on this machine it pairs itself over the operator's socket, with\n"
		"a daemon elsewhere it does so once with a code of `roost pair`. What it knows, its credential and its\n"
		"outbox are kept in $XDG_STATE_HOME/roost/chat.",
	.example = "roost chat\n"
		   "echo \"why is the sky blue?\" | roost chat\n"
		   "roost chat --model local:test --param tokens=20 hello\n"
		   "roost chat --url https://roost.example --code 1234-5678",
	.options = options,
	.args_max = -1,
	.run = run,
};
