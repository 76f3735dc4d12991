/* The open conversation.
 *
 * It is read from what the device keeps, online or not; what happens from then on comes as records. A message is shown
 * once, and again when its text was changed: `told` holds, for each message of the conversation, the stamp of the text
 * that was shown. The conversation is joined when the daemon is known to have it, which for a new one is when the first
 * message has left the outbox. */
#include "base/clock.h"
#include "base/id.h"
#include "cli/chat.h"

#define HISTORY_MESSAGES 10

static void replace(char **field, const char *value)
{
	free(*field);
	*field = value != NULL ? xstrdup(value) : NULL;
}

/* ---- what was told -------------------------------------------------------------------------------------------------- */

static void told_clear(struct chat *c)
{
	struct chat_told *t, *next;
	HASH_ITER (hh, c->told, t, next) {
		HASH_DEL(c->told, t);
		free(t->stamp);
		free(t);
	}
}

static bool was_told(const struct chat *c, struct str name)
{
	struct chat_told *t = NULL;
	if (c->told != NULL) HASH_FIND(hh, c->told, name.p, name.n, t);
	return t != NULL;
}

enum told { TOLD_NEW, TOLD_CHANGED, TOLD_SAME };

static enum told tell(struct chat *c, struct str name, struct str stamp)
{
	struct chat_told *t;
	HASH_FIND(hh, c->told, name.p, name.n, t);
	if (t != NULL && str_eq(str_c(t->stamp), stamp)) return TOLD_SAME;
	if (t != NULL) {
		free(t->stamp);
		t->stamp = str_dup(stamp);
		return TOLD_CHANGED;
	}
	t = xmalloc(sizeof *t + name.n + 1);
	t->stamp = str_dup(stamp);
	memcpy(t->name, name.p, name.n);
	t->name[name.n] = '\0';
	HASH_ADD(hh, c->told, name, name.n, t);
	return TOLD_NEW;
}

static struct str stamp_of(const struct json *fields) { return cli_text(json_get(fields, "stamps"), "text"); }

/* ---- finding a conversation ----------------------------------------------------------------------------------------- */

struct found {
	int64_t at_ms;
	char *conversation; /* NULL: none */
};

static void found_look(struct found *f, int64_t at_ms, struct str conversation)
{
	if (conversation.n == 0 || (f->conversation != NULL && at_ms < f->at_ms)) return;
	free(f->conversation);
	f->conversation = str_dup(conversation);
	f->at_ms = at_ms;
}

static int look_at_request(void *ctx, const roost_record *r)
{
	struct json_doc *doc = NULL;
	int64_t at = 0;
	if (json_parse(str_n(r->json, r->json_size), &doc, NULL) != OK) return 1;
	const struct json *fields = json_get(json_root(doc), "fields");
	if (time_parse(cli_text(json_get(json_root(doc), "created"), "at"), &at))
		found_look(ctx, at, cli_text(fields, "conversationId"));
	json_free(doc);
	return 1;
}

static int look_at_entry(void *ctx, const roost_entry *e)
{
	if (e->wish == ROOST_WISH_SEND) found_look(ctx, e->created_at, str_c(e->conversation));
	return 1;
}

struct entry_of {
	const char *conversation;
	bool is_found;
};

static int look_for_entry(void *ctx, const roost_entry *e)
{
	struct entry_of *f = ctx;
	f->is_found |= e->wish == ROOST_WISH_SEND && strcmp(e->conversation, f->conversation) == 0;
	return !f->is_found;
}

static int copy_record(void *ctx, const roost_record *r)
{
	if (r->deleted) return 0;
	buf_add(ctx, r->json, r->json_size);
	return 0;
}

/* Its record, as text; nothing when the daemon does not have it, as far as is known. */
static bool read_conversation(const struct chat *c, const char *id, struct buf *out)
{
	return roost_read(c->device, "Conversation", id, copy_record, out) == ROOST_OK && out->n > 0;
}

enum err chat_begin(struct chat *c)
{
	struct found f = {0};
	if (strcmp(c->wanted, "new") == 0) {
		chat_open_new(c);
		return OK;
	}
	if (strcmp(c->wanted, "last") != 0)
		return chat_open(c, c->wanted)
			       ? OK
			       : err_set(&c->cli->info, ERR_NOT_FOUND, "there is no conversation %.60s", c->wanted);
	(void)roost_list(c->device, "Request", NULL, look_at_request, &f);
	(void)roost_outbox(c->device, look_at_entry, &f);
	if (f.conversation == NULL || !chat_open(c, f.conversation)) chat_open_new(c);
	free(f.conversation);
	return OK;
}

/* ---- what was said before -------------------------------------------------------------------------------------------- */

struct line {
	char *device, *text;
	bool is_person;
	int state;
};

struct history {
	struct chat *c;
	struct line lines[HISTORY_MESSAGES]; /* a ring of the last ones */
	size_t n;
};

static void line_release(struct line *l)
{
	free(l->device);
	free(l->text);
	*l = (struct line){0};
}

static int look_at_message(void *ctx, const roost_record *r)
{
	struct history *h = ctx;
	struct json_doc *doc = NULL;
	if (json_parse(str_n(r->json, r->json_size), &doc, NULL) != OK) return 1;
	const struct json *record = json_root(doc), *fields = json_get(record, "fields");
	(void)tell(h->c, str_c(r->name), stamp_of(fields));
	struct str device = cli_text(json_get(record, "created"), "deviceId");
	struct line *l = &h->lines[h->n % HISTORY_MESSAGES];
	if (!r->hidden) {
		line_release(l);
		*l = (struct line){
			.device = r->state == ROOST_GONE ? str_dup(device) : xstrdup(roost_device_id(h->c->device)),
			.text = str_dup(cli_text(fields, "text")),
			.is_person = !str_eq(cli_text(fields, "role"), STR("assistant")),
			.state = r->state,
		};
		h->n++;
	}
	json_free(doc);
	return 1;
}

static void show_line(struct chat *c, const struct line *l)
{
	bool mine = l->is_person && strcmp(l->device, roost_device_id(c->device)) == 0;
	char *who = l->is_person && !mine ? chat_device_name(c, l->device) : xstrdup("");
	if (mine && c->screen != NULL) screen_remember(c->screen, str_c(l->text));
	chat_show_said(c, str_c(who), mine, str_c(l->text));
	if (l->state == ROOST_HELD) chat_note(c, TERM_DIM, "(not sent; /held tells why)");
	else if (l->state != ROOST_GONE) chat_note(c, TERM_DIM, "(not sent yet)");
	free(who);
}

static void show_history(struct chat *c)
{
	struct history h = {.c = c};
	(void)roost_list(c->device, "Message", c->conversation, look_at_message, &h);
	for (size_t i = h.n > HISTORY_MESSAGES ? h.n - HISTORY_MESSAGES : 0; i < h.n; i++)
		if (c->screen != NULL) show_line(c, &h.lines[i % HISTORY_MESSAGES]);
	for (size_t i = 0; i < HISTORY_MESSAGES; i++) line_release(&h.lines[i]);
}

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

static void close_room(struct chat *c)
{
	if (c->conversation[0] != '\0') (void)roost_leave(c->device, c->conversation);
	chat_answers_clear(c);
	told_clear(c);
	replace(&c->driver, NULL);
	c->is_open = false;
	chat_questions_clear(c);
}

void chat_open_new(struct chat *c)
{
	struct id id = id_new(clock_wall_ms());
	close_room(c);
	replace(&c->conversation, id.s);
	c->is_open = true;
}

bool chat_open(struct chat *c, const char *id)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	struct entry_of unsent = {.conversation = id};
	bool is_there =
		name_is_valid(str_c(id)) && read_conversation(c, id, &b) && json_parse(buf_str(&b), &doc, NULL) == OK;
	(void)roost_outbox(c->device, look_for_entry, &unsent);
	if (is_there || unsent.is_found) {
		char *copy = xstrdup(id); /* it may be one of ours */
		struct str title = cli_text(json_get(json_root(doc), "fields"), "title");
		close_room(c);
		replace(&c->conversation, copy);
		free(copy);
		c->is_open = true;
		if (c->screen != NULL && is_there)
			chat_note(c, TERM_DIM, "%.*s (%s)", (int)MIN(title.n, 300), title.p, c->conversation);
		show_history(c);
		chat_questions_open(c);
		if (is_there) (void)roost_join(c->device, c->conversation);
	}
	json_free(doc);
	buf_release(&b);
	return is_there || unsent.is_found;
}

void chat_room_close(struct chat *c)
{
	if (c->device != NULL && c->conversation != NULL) close_room(c);
	char **texts[] = {&c->conversation, &c->driver, &c->forget, &c->request, &c->model, &c->aimed};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) replace(texts[i], NULL);
	for (int i = 0; i < CHAT_ROWS; i++) replace(&c->listed[i], NULL);
}

/* ---- the list --------------------------------------------------------------------------------------------------------- */

struct row {
	int64_t at_ms;
	char *id, *title;
};

struct rows {
	struct row row[CHAT_ROWS + 1]; /* newest first */
	int n;
};

static int look_at_conversation(void *ctx, const roost_record *r)
{
	struct rows *rows = ctx;
	struct json_doc *doc = NULL;
	struct row row = {0};
	int at = rows->n;
	if (json_parse(str_n(r->json, r->json_size), &doc, NULL) != OK) return 1;
	(void)time_parse(cli_text(json_get(json_root(doc), "modified"), "at"), &row.at_ms);
	row.id = xstrdup(r->name);
	row.title = str_dup(cli_text(json_get(json_root(doc), "fields"), "title"));
	for (; at > 0 && rows->row[at - 1].at_ms < row.at_ms; at--) rows->row[at] = rows->row[at - 1];
	rows->row[at] = row;
	if (rows->n < CHAT_ROWS) {
		rows->n++;
	} else {
		free(rows->row[CHAT_ROWS].id);
		free(rows->row[CHAT_ROWS].title);
	}
	json_free(doc);
	return 1;
}

static void list_json(struct chat *c, const struct row *row)
{
	jw_obj(&c->list);
	jw_kstr(&c->list, "conversationId", str_c(row->id));
	jw_kstr(&c->list, "title", str_c(row->title));
	if (row->at_ms > 0) jw_ktime(&c->list, "modifiedAt", row->at_ms);
	jw_obj_end(&c->list);
}

static void list_row(struct chat *c, int number, const struct row *row)
{
	char when[TERM_WORD] = "";
	struct buf before = BUF_INIT(BUF_NO_LIMIT);
	if (row->at_ms > 0) term_time(row->at_ms, when);
	buf_add_str(&before, str_c(when));
	if (c->screen == NULL) buf_addf(&before, "  %s", row->id); /* a person opens it by its number */
	buf_add_char(&before, '\0');
	chat_show_row(c, number, before.p, str_c(row->title));
	buf_release(&before);
}

void chat_list(struct chat *c)
{
	struct rows rows = {0};
	(void)roost_list(c->device, "Conversation", NULL, look_at_conversation, &rows);
	for (int i = 0; i < CHAT_ROWS; i++) replace(&c->listed[i], NULL);
	for (int i = 0; i < rows.n; i++) {
		if (c->json) list_json(c, &rows.row[i]);
		else list_row(c, i + 1, &rows.row[i]);
		free(rows.row[i].title);
		c->listed[i] = rows.row[i].id;
	}
}

/* ---- saying ----------------------------------------------------------------------------------------------------------- */

void chat_say(struct chat *c, struct str text)
{
	char *copy = str_dup(text);
	struct buf request = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&request);
	struct errinfo info = {0};
	jw_obj(&w);
	if (c->model[0] != '\0') jw_kstr(&w, "model", str_c(c->model));
	if (c->params.n > 0) jw_kraw(&w, "params", c->params);
	jw_obj_end(&w);
	buf_add_char(&request, '\0');
	roost_message m = {.size = sizeof m, .conversation = c->conversation, .text = copy, .request = request.p};
	enum err e = strlen(copy) == text.n ? identity_err(roost_send(c->device, &m, c->said), &info)
					    : err_set(&info, ERR_BAD_FIELD, "a message cannot hold the character NUL");
	buf_release(&request);
	free(copy);
	c->is_said = e == OK;
	if (e == OK) {
		(void)tell(c, str_c(c->said), STR(""));
		if (!c->is_online) (void)roost_nudge(c->device);
		return;
	}
	chat_note(c, TERM_RED, "not sent: %s", err_sentence(&info, e));
	if (c->screen == NULL) chat_leave(c, err_exit(e));
	else screen_remember(c->screen, text);
}

/* ---- news: messages --------------------------------------------------------------------------------------------------- */

static void on_message(struct chat *c, const roost_event *e, const struct json *record)
{
	const struct json *fields = json_get(record, "fields");
	bool is_deleted = false;
	json_bool(json_get(record, "deleted"), &is_deleted);
	struct str text = cli_text(fields, "text"), request = cli_text(fields, "requestId");
	struct str device = cli_text(json_get(record, "created"), "deviceId");
	bool is_person = !str_eq(cli_text(fields, "role"), STR("assistant"));
	bool is_all = str_eq(cli_text(fields, "status"), STR("complete"));
	enum told told = tell(c, str_c(e->name), is_deleted ? STR("deleted") : stamp_of(fields));
	if (told == TOLD_SAME || (is_deleted && told == TOLD_NEW)) return;
	if (is_deleted) {
		if (c->screen != NULL) chat_note(c, TERM_DIM, "(a message was deleted)");
		return;
	}
	if (!is_person && request.n > 0 && told == TOLD_NEW) {
		(void)chat_answer_stored(c, request, text, is_all);
		return;
	}
	bool mine = is_person && str_eq(device, str_c(roost_device_id(c->device)));
	char *who = is_person && !mine ? chat_device_name(c, e->device) : xstrdup("");
	if (told == TOLD_CHANGED && c->screen != NULL) chat_note(c, TERM_DIM, "(changed:)");
	chat_show_said(c, str_c(who), mine, text);
	free(who);
}

static void on_question(struct chat *c, const roost_event *e)
{
	struct json_doc *doc = NULL;
	if (json_parse(str_n(e->json, e->json_size), &doc, NULL) != OK) return;
	chat_question_record(c, e->conversation, e->name, json_get(json_root(doc), "fields"));
	json_free(doc);
}

static void on_record(struct chat *c, const roost_event *e)
{
	struct json_doc *doc = NULL;
	if (!c->is_open) return;
	if (strcmp(e->type, "Permission") == 0) {
		on_question(c, e);
		return;
	}
	if (strcmp(e->type, "Message") != 0) return;
	/* What is left of a deleted one no longer says where it was. */
	bool is_here = e->conversation[0] == '\0' ? was_told(c, str_c(e->name))
						  : strcmp(e->conversation, c->conversation) == 0;
	if (!is_here) return;
	if (json_parse(str_n(e->json, e->json_size), &doc, NULL) != OK) return;
	on_message(c, e, json_root(doc));
	json_free(doc);
}

/* ---- news: the outbox ------------------------------------------------------------------------------------------------- */

static void on_waits(struct chat *c, const roost_entry *e, bool is_one)
{
	if (e->why == 0 || (c->screen == NULL && !is_one)) return;
	if (is_one) chat_wait(c);
	if (c->waited == e->number) return;
	c->waited = e->number;
	chat_note(c, TERM_DIM, "the daemon does not take it yet: %s; it is sent again shortly", e->sentence);
}

static void on_held(struct chat *c, const roost_entry *e, bool is_one)
{
	const char *what = e->wish == ROOST_WISH_CLEAR ? "not cleared" : "not sent";
	enum err why = identity_err(e->why, NULL);
	if (c->screen == NULL && !is_one) return; /* a person decides about it */
	chat_note(c, TERM_RED, "%s: %s%s", what, e->sentence, c->screen != NULL ? " (/held)" : "");
	if (!is_one) return;
	(void)roost_resolve(c->device, e->number, ROOST_DISCARD);
	chat_leave(c, err_exit(why));
}

static void on_gone(struct chat *c, const roost_entry *e, bool is_one)
{
	bool is_here = e->wish == ROOST_WISH_SEND && c->is_open && strcmp(e->conversation, c->conversation) == 0;
	if (is_here && e->why == 0) (void)roost_join(c->device, c->conversation);
	if (is_one) {
		c->is_said = false;
		uv_timer_stop(&c->patience);
	}
	if (is_one && e->why == 0) replace(&c->request, e->request);
	if (is_here && e->why == 0 && e->request[0] != '\0') chat_answer_asked(c, e->request);
	if (is_here && e->why == ROOST_ERR_CANCELLED && c->screen != NULL)
		chat_note(c, TERM_DIM, "(dropped; it was not sent)");
	if (is_one && e->why != 0 && c->interrupted) chat_leave(c, CHAT_STATUS_INTERRUPTED);
}

static void on_entry(struct chat *c, const roost_event *event)
{
	const roost_entry *e = event->entry;
	bool is_one = c->screen == NULL && !c->lists && e->wish == ROOST_WISH_SEND && strcmp(e->name, c->said) == 0;
	switch (e->state) {
	case ROOST_PENDING: on_waits(c, e, is_one); break;
	case ROOST_HELD: on_held(c, e, is_one); break;
	case ROOST_GONE: on_gone(c, e, is_one); break;
	default: break;
	}
}

/* ---- news: the session ------------------------------------------------------------------------------------------------ */

static void on_joined(struct chat *c, const roost_event *e)
{
	struct json_doc *doc = NULL;
	if (e->error != 0 || json_parse(str_n(e->json, e->json_size), &doc, NULL) != OK) return;
	chat_answer_running(c, json_get(json_root(doc), "running"));
	chat_answers_joined(c);
	json_free(doc);
}

/* The first news is none when it is what one expects: whoever is alone drives. */
static void on_primary(struct chat *c, const roost_event *e)
{
	bool is_me = strcmp(e->device, roost_device_id(c->device)) == 0, is_first = c->driver == NULL;
	if (c->screen == NULL || (is_me && !e->mine)) return; /* offline, or it will be told again */
	if (!is_first && strcmp(c->driver, e->device) == 0) return;
	replace(&c->driver, e->device);
	if (is_first && (is_me || e->device[0] == '\0')) return;
	char *name = chat_device_name(c, e->device);
	if (is_me) chat_note(c, TERM_DIM, "(this terminal drives)");
	else if (e->device[0] == '\0') chat_note(c, TERM_DIM, "(no device drives)");
	else chat_note(c, TERM_DIM, "(%s drives)", name);
	free(name);
}

static void on_cleared(struct chat *c, const roost_event *e)
{
	if (c->screen != NULL)
		chat_note(c, TERM_DIM, "(cleared%s: the model begins anew)", c->clears ? "" : " by another device");
	if (c->clears) replace(&c->forget, e->other);
	c->clears = false;
}

/* What was cleared here goes here, as soon as the session's end has come with the feed. */
static void forget(struct chat *c)
{
	if (c->forget != NULL && roost_forget_session(c->device, c->forget) == ROOST_OK) replace(&c->forget, NULL);
}

static void on_duplicate(struct chat *c, const roost_event *e)
{
	char *name = chat_device_name(c, e->device);
	if (c->screen != NULL) chat_note(c, TERM_DIM, "(%s wrote the same, and has kept it back)", name);
	free(name);
}

static void on_answer(struct chat *c, const roost_event *e)
{
	uint64_t op = (uint64_t)e->number;
	if (e->error != 0 && op != 0 && (op == c->drive || op == c->retry || op == c->permission))
		chat_note(c, TERM_RED, "%s", e->sentence);
}

void chat_room_event(struct chat *c, const roost_event *e)
{
	bool is_here = c->is_open && strcmp(e->conversation, c->conversation) == 0;
	switch (e->kind) {
	case ROOST_EV_RECORD: on_record(c, e); break;
	case ROOST_EV_ENTRY: on_entry(c, e); break;
	case ROOST_EV_JOINED:
		if (is_here) on_joined(c, e);
		break;
	case ROOST_EV_PRIMARY:
		if (is_here) on_primary(c, e);
		break;
	case ROOST_EV_CLEARED:
		if (is_here) on_cleared(c, e);
		break;
	case ROOST_EV_SYNCED: forget(c); break;
	case ROOST_EV_DUPLICATE: on_duplicate(c, e); break;
	case ROOST_EV_ANSWER: on_answer(c, e); break;
	default: break;
	}
}
