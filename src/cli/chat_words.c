/* The lines that begin with a slash. */
#include "cli/chat.h"

static void do_new(struct chat *c, struct str arg)
{
	(void)arg;
	chat_open_new(c);
	chat_note(c, TERM_DIM, "a new conversation begins with your next message");
}

static void do_list(struct chat *c, struct str arg)
{
	(void)arg;
	chat_list(c);
}

static void do_open(struct chat *c, struct str arg)
{
	int64_t n = 0;
	bool is_number = str_to_int(arg, &n),
	     is_listed = is_number && n >= 1 && n <= CHAT_ROWS && c->listed[n - 1] != NULL;
	char *id = is_listed ? xstrdup(c->listed[n - 1]) : str_dup(arg);
	if (arg.n == 0 || (is_number && !is_listed)) chat_note(c, TERM_RED, "/open wants a number of /list, or an id");
	else if (!chat_open(c, id)) chat_note(c, TERM_RED, "there is no conversation %.60s", id);
	free(id);
}

static void do_stop(struct chat *c, struct str arg)
{
	(void)arg;
	if (!chat_stop(c)) chat_note(c, TERM_DIM, "nothing is running");
}

static void do_retry(struct chat *c, struct str arg)
{
	(void)arg;
	if (!chat_retry(c)) chat_note(c, TERM_DIM, "no answer has failed here");
}

static void answer(struct chat *c, bool allow, struct str why)
{
	if (!chat_question_answer(c, allow, why)) chat_note(c, TERM_DIM, "no question is open");
}

static void do_allow(struct chat *c, struct str arg)
{
	(void)arg;
	answer(c, true, STR(""));
}

static void do_refuse(struct chat *c, struct str arg) { answer(c, false, arg); }

static void do_model(struct chat *c, struct str arg)
{
	if (arg.n > 0) {
		free(c->model);
		c->model = str_dup(arg);
	}
	if (c->model[0] != '\0') chat_note(c, TERM_DIM, "model: %.300s", c->model);
	else chat_note(c, TERM_DIM, "model: the daemon's default");
}

static int look_at_nothing(void *ctx, const roost_record *r) { return (void)ctx, (void)r, 0; }

static void do_clear(struct chat *c, struct str arg)
{
	(void)arg;
	if (roost_read(c->device, "Conversation", c->conversation, look_at_nothing, NULL) != ROOST_OK) {
		chat_note(c, TERM_DIM, "the conversation has not begun yet");
		return;
	}
	c->clears = true;
	if (roost_clear(c->device, ROOST_CONVERSATION, c->conversation) == ROOST_OK) return;
	c->clears = false;
	chat_note(c, TERM_RED, "not cleared: %s", roost_last_error());
}

static void do_drive(struct chat *c, struct str arg)
{
	roost_seat_t seat = {.size = sizeof seat};
	(void)arg;
	if (roost_seat(c->device, c->conversation, &seat) == ROOST_OK && seat.is_primary)
		chat_note(c, TERM_DIM, "this terminal drives");
	else if (roost_primary(c->device, c->conversation, ROOST_TAKE, NULL, &c->drive) != ROOST_OK)
		chat_note(c, TERM_RED, "%s", c->is_online ? "the conversation has not begun yet" : roost_last_error());
}

/* ---- what waits for the person -------------------------------------------------------------------------------------- */

struct held {
	struct chat *c;
	int n;
	bool is_shown;
};

static int look_at_held(void *ctx, const roost_entry *e)
{
	struct held *h = ctx;
	if (e->state != ROOST_HELD) return 1;
	h->c->held[h->n++] = e->number;
	if (h->is_shown) {
		chat_show_row(h->c, h->n, e->wish == ROOST_WISH_CLEAR ? "clear" : "", str_c(e->text));
		chat_note(h->c, TERM_DIM, "     %s", e->sentence[0] != '\0' ? e->sentence : roost_strerror(e->why));
	}
	return h->n < CHAT_ROWS;
}

static void do_held(struct chat *c, struct str arg)
{
	struct held h = {.c = c, .is_shown = true};
	(void)arg;
	(void)roost_outbox(c->device, look_at_held, &h);
	if (h.n == 0) chat_note(c, TERM_DIM, "nothing is held back");
	else
		chat_note(c, TERM_DIM,
			  "/send N sends it all the same (of a cleared session: into the new one), /drop N drops it");
}

struct why {
	uint64_t number;
	int why; /* 0: it is not held */
};

static int look_why(void *ctx, const roost_entry *e)
{
	struct why *w = ctx;
	if (e->number == w->number && e->state == ROOST_HELD) w->why = e->why;
	return 1;
}

/* The entry that `arg` names by its number in /held; the only one when it names none. 0: there is none, and it was said. */
static uint64_t held_entry(struct chat *c, struct str arg)
{
	struct held h = {.c = c};
	int64_t n = 1;
	if (arg.n == 0) (void)roost_outbox(c->device, look_at_held, &h);
	if ((arg.n == 0 && h.n == 1) || (str_to_int(arg, &n) && n >= 1 && n <= CHAT_ROWS && c->held[n - 1] != 0))
		return c->held[n - 1];
	chat_note(c, TERM_RED, "which one? /held lists them");
	return 0;
}

static void resolve(struct chat *c, uint64_t entry, int resolution)
{
	if (roost_resolve(c->device, entry, resolution) != ROOST_OK) chat_note(c, TERM_RED, "%s", roost_last_error());
	memset(c->held, 0, sizeof c->held); /* numbers change with every decision */
}

static void do_send(struct chat *c, struct str arg)
{
	struct why w = {.number = held_entry(c, arg)};
	if (w.number == 0) return;
	(void)roost_outbox(c->device, look_why, &w);
	resolve(c, w.number,
		w.why == ROOST_ERR_DUPLICATE        ? ROOST_SEND_ANYWAY
		: w.why == ROOST_ERR_SESSION_KILLED ? ROOST_SEND_TO_NEW
						    : ROOST_TRY_AGAIN);
}

static void do_drop(struct chat *c, struct str arg)
{
	uint64_t number = held_entry(c, arg);
	if (number != 0) resolve(c, number, ROOST_DISCARD);
}

static void do_quit(struct chat *c, struct str arg)
{
	(void)arg;
	chat_leave(c, 0);
}

/* ---- the table -------------------------------------------------------------------------------------------------------- */

static void do_help(struct chat *c, struct str arg);

static const struct {
	const char *name, *arg, *help;
	void (*run)(struct chat *c, struct str arg);
} words[] = {
	{"/new", "", "begin a new conversation", do_new},
	{"/list", "", "list the conversations", do_list},
	{"/open", "N", "go on with one of them", do_open},
	{"/stop", "", "stop the answer (Ctrl-C does too)", do_stop},
	{"/retry", "", "ask again for an answer that failed or was stopped", do_retry},
	{"/allow", "", "let the agent use the tool it asks for (y does too)", do_allow},
	{"/refuse", "WHY", "do not let it (n does too); it is told why, if you say", do_refuse},
	{"/model", "MODEL", "let this model answer from now on", do_model},
	{"/clear", "", "let the model begin anew, on all devices", do_clear},
	{"/drive", "", "make this terminal the conversation's primary device", do_drive},
	{"/held", "", "list what was not sent and waits for you", do_held},
	{"/send", "N", "send one of these all the same", do_send},
	{"/drop", "N", "drop one of these", do_drop},
	{"/help", "", "this", do_help},
	{"/quit", "", "leave (Ctrl-D does too)", do_quit},
};

static void do_help(struct chat *c, struct str arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		chat_note(c, TERM_DIM, "%-8s%-7s%s", words[i].name, words[i].arg, words[i].help);
	chat_note(c, TERM_DIM, "a line that ends in a backslash goes on in the next; // begins a message with a slash");
}

void chat_word(struct chat *c, struct str line)
{
	size_t n = 0;
	while (n < line.n && line.p[n] != ' ') n++;
	struct str name = str_n(line.p, n), arg = str_n(line.p + n, line.n - n);
	while (arg.n > 0 && arg.p[0] == ' ') arg = str_n(arg.p + 1, arg.n - 1);
	while (arg.n > 0 && arg.p[arg.n - 1] == ' ') arg.n--;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!str_eq(name, str_c(words[i].name))) continue;
		words[i].run(c, arg);
		return;
	}
	chat_note(c, TERM_RED, "there is no %.*s; /help lists what there is", (int)MIN(name.n, (size_t)40), name.p);
}
