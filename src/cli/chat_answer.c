/* The answers of the open conversation.
 *
 * libroost tells the text of an answer in pieces, once and in order, and its end; it does so for every answer that it saw
 * begin. One that began and ended while this terminal was away comes as a stored message only, and is shown whole then.
 * `known` is what tells them apart: an answer is known from the first news of it while it ran.
 *
 * The one message's answer is shown when it is known to be that: the pieces may come before the ack that says so. */
#include "base/clock.h"
#include "cli/chat.h"

#define ANSWERS_MAX 32 /* remembered, so that late news of them changes nothing */

static struct chat_answer *find(const struct chat *c, struct str request)
{
	struct chat_answer *a;
	TAILQ_FOREACH (a, &c->answers, link)
		if (str_eq(str_c(a->request), request)) break;
	return a;
}

static void answer_free(struct chat *c, struct chat_answer *a)
{
	TAILQ_REMOVE(&c->answers, a, link);
	buf_release(&a->text);
	free(a->request);
	free(a->asked);
	free(a->by);
	free(a->kept);
	free(a);
}

void chat_answers_clear(struct chat *c)
{
	while (!TAILQ_EMPTY(&c->answers)) answer_free(c, TAILQ_FIRST(&c->answers));
	c->stop_next = false;
}

static struct chat_answer *get(struct chat *c, struct str request)
{
	struct chat_answer *a = find(c, request), *old, *next;
	int n = 0;
	if (a != NULL) return a;
	TAILQ_FOREACH (old, &c->answers, link) n++;
	for (old = TAILQ_FIRST(&c->answers); old != NULL && n >= ANSWERS_MAX; old = next) {
		next = TAILQ_NEXT(old, link);
		if (!old->is_ended) continue;
		answer_free(c, old);
		n--;
	}
	a = xcalloc(1, sizeof *a);
	a->request = str_dup(request);
	buf_init(&a->text, BUF_NO_LIMIT);
	TAILQ_INSERT_TAIL(&c->answers, a, link);
	return a;
}

/* ---- showing ----------------------------------------------------------------------------------------------------- */

/* The one message's. */
static bool is_the_one(const struct chat *c, const struct chat_answer *a)
{
	return c->request != NULL && strcmp(c->request, a->request) == 0;
}

/* As it comes: everything to a person; to a terminal, the one message's. */
static bool is_shown(const struct chat *c, const struct chat_answer *a)
{
	return c->screen != NULL || (c->streams && is_the_one(c, a));
}

void chat_answer_note(struct chat *c, struct chat_answer *a, const char *text)
{
	if (c->screen != NULL || is_the_one(c, a)) {
		chat_note(c, TERM_DIM, "%s", text);
		return;
	}
	free(a->kept);
	a->kept = xstrdup(text);
}

static void show_text(struct chat *c, struct chat_answer *a)
{
	if (!is_shown(c, a) || a->shown == a->text.n) return;
	chat_show(c, TERM_PLAIN, str_n(a->text.p + a->shown, a->text.n - a->shown), 0);
	a->shown = a->text.n;
	c->in_answer = true;
}

/* All of it, where it was not shown as it came; and the exit status. */
static void finish(struct chat *c, const struct chat_answer *a)
{
	if (!c->streams && a->text.n > 0) {
		fwrite(a->text.p, 1, a->text.n, stdout);
		if (a->text.p[a->text.n - 1] != '\n') fputc('\n', stdout);
	}
	chat_leave(c, c->interrupted ? CHAT_STATUS_INTERRUPTED : err_exit(a->info.err));
}

static void show_end(struct chat *c, struct chat_answer *a)
{
	bool is_one = is_the_one(c, a);
	if (!is_shown(c, a) && !is_one) return;
	show_text(c, a);
	if (is_one && c->streams && a->text.n > 0) fputc('\n', stdout);
	if (c->screen != NULL) screen_fresh_line(c->screen);
	c->in_answer = false;
	if (a->info.err == ERR_CANCELLED) chat_note(c, TERM_DIM, "(stopped)");
	else if (a->info.err != OK)
		chat_note(c, TERM_RED, "no answer: %s%s", err_sentence(&a->info, a->info.err),
			  c->screen != NULL ? " (/retry tries again)" : "");
	if (is_one) finish(c, a);
}

/* ---- stopping and asking again ------------------------------------------------------------------------------------ */

static enum err call(struct chat *c, const char *type, const char *request, uint64_t *out_op)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	jw_obj(&w);
	jw_kstr(&w, "requestId", str_c(request));
	jw_obj_end(&w);
	buf_add_char(&b, '\0');
	enum err e = identity_err(roost_call(c->device, type, b.p, out_op), NULL);
	buf_release(&b);
	return e;
}

/* Offline it is asked for when the connection is back. */
static void send_stop(struct chat *c, struct chat_answer *a)
{
	a->stop_wanted = true;
	(void)!call(c, "request:stop", a->request, NULL);
}

void chat_answers_online(struct chat *c)
{
	struct chat_answer *a;
	TAILQ_FOREACH (a, &c->answers, link)
		if (a->stop_wanted && !a->is_ended) send_stop(c, a);
}

struct unsent {
	const struct chat *c;
	uint64_t number; /* 0: none */
};

static int newest_unsent(void *ctx, const roost_entry *e)
{
	struct unsent *u = ctx;
	if (e->wish == ROOST_WISH_SEND && e->state != ROOST_HELD && strcmp(e->conversation, u->c->conversation) == 0)
		u->number = e->number;
	return 1;
}

bool chat_stop(struct chat *c)
{
	struct unsent u = {.c = c};
	struct chat_answer *a;
	TAILQ_FOREACH (a, &c->answers, link) {
		if (a->is_ended || a->stop_wanted) continue;
		send_stop(c, a);
		return true;
	}
	(void)roost_outbox(c->device, newest_unsent, &u);
	if (u.number == 0 || c->stop_next) return false;
	if (roost_resolve(c->device, u.number, ROOST_DISCARD) == ROOST_OK) return true;
	c->stop_next = true; /* as soon as it is known what to stop */
	return true;
}

bool chat_retry(struct chat *c)
{
	struct chat_answer *a, *last = NULL;
	TAILQ_FOREACH (a, &c->answers, link)
		if (a->is_ended && a->info.err != OK) last = a;
	if (last == NULL) return false;
	last->stop_wanted = false;
	if (call(c, "request:retry", last->request, &c->retry) != OK)
		chat_note(c, TERM_RED, "not while the daemon is away");
	return true;
}

/* ---- news ---------------------------------------------------------------------------------------------------------- */

static void begin(struct chat_answer *a, int64_t attempt)
{
	a->attempt = attempt;
	a->is_ended = a->is_thinking = false;
	a->info = (struct errinfo){0};
	a->shown = 0;
	buf_clear(&a->text);
}

static void on_text(struct chat *c, struct chat_answer *a, const roost_event *e)
{
	if (a->is_ended && e->number <= a->attempt) return;
	if (e->number > a->attempt) begin(a, e->number);
	buf_add(&a->text, e->text, e->text_size);
	show_text(c, a);
}

static void on_thinking(struct chat *c, struct chat_answer *a, const roost_event *e)
{
	if (a->is_ended && e->number <= a->attempt) return;
	if (e->number > a->attempt) begin(a, e->number);
	if (!a->is_thinking && c->screen != NULL) chat_note(c, TERM_DIM, "(thinking)");
	a->is_thinking = true;
}

static void on_again(struct chat *c, struct chat_answer *a, const roost_event *e)
{
	if (a->is_ended && e->number <= a->attempt) return;
	bool had_text = a->shown > 0;
	begin(a, e->number);
	if (had_text && is_shown(c, a)) chat_note(c, TERM_DIM, "(that answer broke off; here is another)");
}

static void on_waiting(struct chat *c, struct chat_answer *a, const roost_event *e)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	int64_t wait_ms = MAX(e->at - clock_wall_ms(), 0);
	buf_addf(&b, "(%s; trying again in %lld.%lld s", e->sentence, (long long)(wait_ms / 1000),
		 (long long)(wait_ms % 1000 / 100));
	chat_why_again(a, &b);
	buf_add(&b, ")", 2);
	chat_answer_note(c, a, b.p);
	buf_release(&b);
}

static void end(struct chat *c, struct chat_answer *a, enum err err, const char *sentence)
{
	if (a->is_ended) return;
	a->is_ended = true;
	err_set(&a->info, err, "%s", sentence);
	show_end(c, a);
}

static void on_end(struct chat *c, struct chat_answer *a, const roost_event *e)
{
	struct str all = str_n(e->text, e->text_size);
	if (!a->is_ended && !str_eq(buf_str(&a->text), all)) { /* it ran on while another conversation was open */
		if (a->shown > 0 && is_shown(c, a)) chat_note(c, TERM_DIM, "(all of it:)");
		buf_clear(&a->text);
		buf_add_str(&a->text, all);
		a->shown = 0;
	}
	end(c, a, identity_err(e->error, NULL), e->sentence);
}

static void tell_why(struct chat *c, struct chat_answer *a, const roost_event *e)
{
	struct json_doc *doc = NULL;
	if (json_parse(str_n(e->json, e->json_size), &doc, NULL) != OK) return;
	chat_why(c, a, e->text, json_root(doc));
	json_free(doc);
}

/* A state of a request, pushed or stored. What ends one that is known is told otherwise. */
static void on_request(struct chat *c, const roost_event *e)
{
	static const char *const open[] = {"queued", "claimed", "streaming", "retrying"};
	struct chat_answer *a = find(c, str_c(e->name));
	struct json_doc *doc = NULL;
	for (size_t i = 0; i < ARRAY_LEN(open); i++) {
		if (strcmp(e->text, open[i]) != 0) continue;
		a = get(c, str_c(e->name));
		tell_why(c, a, e);
		if (!a->is_ended || a->info.err == OK) return;
		a->is_ended = a->stop_wanted = false; /* it was asked for again */
		a->shown = 0;                         /* and what comes does not replace what was seen to end */
		buf_clear(&a->text);
		return;
	}
	bool is_stopped = strcmp(e->text, "stopped") == 0;
	if (a != NULL) tell_why(c, a, e);
	if (a != NULL || (!is_stopped && strcmp(e->text, "failed") != 0)) return;
	a = get(c, str_c(e->name));
	a->is_ended = true; /* while we were away: no news to anybody, but it can be asked for again */
	err_set(&a->info, is_stopped ? ERR_CANCELLED : ERR_PROVIDER, "%s", "");
	if (is_stopped || json_parse(str_n(e->json, e->json_size), &doc, NULL) != OK) return;
	const struct json *error = json_get(json_root(doc), "error");
	struct str code = cli_text(error, "code"), message = cli_text(error, "message");
	if (code.n > 0) err_set(&a->info, err_from_code(code.p, (uint32_t)code.n), "%.*s", STR_ARG(message));
	json_free(doc);
}

bool chat_answer_event(struct chat *c, const roost_event *e)
{
	static void (*const kinds[])(struct chat * c, struct chat_answer * a, const roost_event *e) = {
		[ROOST_EV_TEXT] = on_text,       [ROOST_EV_THINKING] = on_thinking, [ROOST_EV_AGAIN] = on_again,
		[ROOST_EV_WAITING] = on_waiting, [ROOST_EV_END] = on_end,
	};
	bool is_here = e->conversation[0] == '\0' || strcmp(e->conversation, c->conversation) == 0;
	if (e->kind == ROOST_EV_REQUEST) {
		if (c->is_open && is_here) on_request(c, e);
		return true;
	}
	if ((size_t)e->kind >= ARRAY_LEN(kinds) || kinds[e->kind] == NULL) return false;
	if (c->is_open && is_here) kinds[e->kind](c, get(c, str_c(e->name)), e);
	return true;
}

bool chat_answer_stored(struct chat *c, struct str request, struct str text, bool is_all)
{
	if (find(c, request) != NULL) return false;
	chat_show_said(c, STR(""), false, text);
	if (!is_all) return true;
	struct chat_answer *a = get(c, request);
	buf_add_str(&a->text, text);
	a->shown = c->screen != NULL ? a->text.n : 0;
	end(c, a, OK, "");
	return true;
}

void chat_answer_running(struct chat *c, const struct json *list)
{
	for (struct json_iter it = json_iter(list); json_next(&it);) {
		struct str request = cli_text(it.val, "requestId");
		if (request.n > 0) (void)get(c, request);
	}
}

/* What a request waits for is pushed once; who joined later asks for it, of the one that is next. */
void chat_answers_joined(struct chat *c)
{
	struct chat_answer *a;
	TAILQ_FOREACH (a, &c->answers, link)
		if (!a->is_ended) break;
	if (a != NULL && a->attempt == 0) (void)!call(c, "request:get", a->request, NULL);
}

void chat_answer_asked(struct chat *c, const char *request)
{
	struct chat_answer *a = get(c, str_c(request));
	if (c->stop_next && !a->is_ended) send_stop(c, a);
	c->stop_next = false;
	if (c->screen != NULL) return;
	if (a->kept != NULL && is_the_one(c, a)) chat_note(c, TERM_DIM, "%s", a->kept);
	show_text(c, a);
	if (a->is_ended) show_end(c, a);
}
