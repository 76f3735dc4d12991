/* Questions of command-line agents: may this tool be used?
 *
 * One is shown at a time, the one that was asked first; the next when that is over. So y and n mean what a person has
 * read, and they are taken for the question that was shown when their line was begun: an answer that was being typed when
 * one question was answered elsewhere and the next came is for neither.
 *
 * The record tells what became of a question, whoever answered it; nothing is said before that. */
#include "base/clock.h"
#include "base/utf8.h"
#include "cli/chat.h"

#define TOOL_MAX 100 /* bytes of its name */

static void question_free(struct chat *c, struct chat_question *q)
{
	TAILQ_REMOVE(&c->questions, q, link);
	free(q->name);
	free(q->who);
	free(q->tool);
	free(q->input);
	free(q);
}

static struct chat_question *find(const struct chat *c, const char *name)
{
	struct chat_question *q;
	TAILQ_FOREACH (q, &c->questions, link)
		if (strcmp(q->name, name) == 0) break;
	return q;
}

void chat_questions_clear(struct chat *c)
{
	while (!TAILQ_EMPTY(&c->questions)) question_free(c, TAILQ_FIRST(&c->questions));
	chat_prompt(c);
}

/* ---- as a person reads it ---------------------------------------------------------------------------------------- */

static void new_row(struct buf *b, int depth) { buf_addf(b, "\n%*s", 2 * depth, ""); }

/* One member or element a line. */
static void put_rows(struct buf *b, const struct json *v, int depth)
{
	bool is_object = json_type(v) == JSON_OBJ, is_first = true;
	if ((!is_object && json_type(v) != JSON_ARR) || json_len(v) == 0) {
		json_write(b, v);
		return;
	}
	buf_add_char(b, is_object ? '{' : '[');
	for (struct json_iter it = json_iter(v); json_next(&it); is_first = false) {
		struct jw w = JW(b);
		if (!is_first) buf_add_char(b, ',');
		new_row(b, depth + 1);
		if (is_object) {
			jw_str(&w, it.key);
			buf_add_str(b, STR(": "));
		}
		put_rows(b, it.val, depth + 1);
	}
	new_row(b, depth);
	buf_add_char(b, is_object ? '}' : ']');
}

static char *visible(struct str text)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	term_visible(&b, text);
	char *copy = str_dup(buf_str(&b));
	buf_release(&b);
	return copy;
}

static char *input_text(const struct chat *c, const struct json *input)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (c->screen != NULL) put_rows(&b, input, 0);
	else json_write(&b, input);
	char *text = visible(buf_str(&b));
	buf_release(&b);
	return text;
}

/* A text of a record: of the first of these fields that has one. */
struct wanted {
	const char *fields[2];
	char *text; /* NULL: none */
};

static int read_field(void *ctx, const roost_record *r)
{
	struct wanted *w = ctx;
	struct json_doc *doc = NULL;
	if (json_parse(str_n(r->json, r->json_size), &doc, NULL) != OK) return 0;
	for (size_t i = 0; i < ARRAY_LEN(w->fields) && w->text == NULL; i++) {
		struct str text = cli_text(json_get(json_root(doc), "fields"), w->fields[i]);
		if (text.n > 0) w->text = str_dup(text);
	}
	json_free(doc);
	return 0;
}

/* Free it. */
static char *field_of(const struct chat *c, const char *type, const char *name, struct wanted w, const char *otherwise)
{
	(void)roost_read(c->device, type, name, read_field, &w);
	return w.text != NULL ? w.text : xstrdup(otherwise);
}

/* ---- showing ----------------------------------------------------------------------------------------------------- */

/* A terminal of a person gets it in rows. Elsewhere nobody can be asked: who reads it may answer on another device. */
static void show(struct chat *c, const struct chat_question *q)
{
	char when[TERM_WORD];
	term_time(q->expires_at, when);
	const char *clock = strchr(when, ' ') != NULL ? strchr(when, ' ') + 1 : when;
	chat_note(c, TERM_CYAN, "%.200s asks whether it may use %s:", q->who, q->tool);
	if (c->screen != NULL) {
		chat_show(c, TERM_PLAIN, str_c(q->input), 0);
		screen_fresh_line(c->screen);
		chat_note(c, TERM_CYAN, "may it? y or n (or /allow, /refuse WHY); it is refused at %s", clock);
		return;
	}
	term_put(stderr, str_c(q->input), TERM_ONE_LINE);
	fputc('\n', stderr);
	chat_note(c, TERM_PLAIN, "another device can answer that; it is refused at %s", clock);
}

static void show_first(struct chat *c)
{
	const struct chat_question *q = TAILQ_FIRST(&c->questions);
	if (q != NULL && c->screen != NULL) show(c, q);
}

/* In the order in which they were asked. */
static void add(struct chat *c, const char *name, const struct json *fields)
{
	struct str tool = cli_text(fields, "tool");
	char *request = str_dup(cli_text(fields, "requestId"));
	struct chat_question *q = xcalloc(1, sizeof *q);
	q->name = xstrdup(name);
	q->who = field_of(c, "Request", request, (struct wanted){{"servingModel", "model"}, NULL}, "the agent");
	q->tool = visible(str_n(tool.p, utf8_cut(tool, TOOL_MAX)));
	q->input = input_text(c, json_get(fields, "input"));
	(void)time_parse(cli_text(fields, "expiresAt"), &q->expires_at);
	struct chat_question *before = TAILQ_LAST(&c->questions, chat_questions);
	while (before != NULL && before->expires_at > q->expires_at) before = TAILQ_PREV(before, chat_questions, link);
	if (before != NULL) TAILQ_INSERT_AFTER(&c->questions, before, q, link);
	else TAILQ_INSERT_HEAD(&c->questions, q, link);
	free(request);
}

static void tell_end(struct chat *c, const struct chat_question *q, const struct json *fields)
{
	struct str state = cli_text(fields, "state"), by = cli_text(fields, "by");
	bool is_mine = str_eq(by, str_c(roost_device_id(c->device)));
	char *device = str_dup(by), *who = is_mine ? xstrdup("here") : chat_device_name(c, device);
	const char *on = is_mine ? "" : "by ";
	if (str_eq(state, STR("allowed"))) chat_note(c, TERM_DIM, "(%s: allowed %s%s)", q->tool, on, who);
	else if (str_eq(state, STR("denied"))) chat_note(c, TERM_DIM, "(%s: refused %s%s)", q->tool, on, who);
	else chat_note(c, TERM_DIM, "(%s: nobody answered)", q->tool);
	free(device);
	free(who);
}

static void tell_elsewhere(struct chat *c, const char *conversation)
{
	if (c->screen == NULL) return;
	char *title =
		field_of(c, "Conversation", conversation, (struct wanted){{"title", "title"}, NULL}, conversation);
	chat_note(c, TERM_CYAN, "(an agent asks something in: %.100s; /list and /open take you there)", title);
	free(title);
}

void chat_question_record(struct chat *c, const char *conversation, const char *name, const struct json *fields)
{
	bool is_open = str_eq(cli_text(fields, "state"), STR("open"));
	bool is_here = strcmp(conversation, c->conversation) == 0;
	struct chat_question *first = TAILQ_FIRST(&c->questions), *q = find(c, name);
	if (is_open && !is_here) {
		tell_elsewhere(c, conversation);
	} else if (is_open && q == NULL) {
		add(c, name, fields);
		if (first == NULL || c->screen == NULL) show(c, TAILQ_LAST(&c->questions, chat_questions));
		else chat_note(c, TERM_DIM, "(another question waits behind this one)");
	} else if (!is_open && q != NULL) {
		bool was_shown = q == first;
		tell_end(c, q, fields);
		question_free(c, q);
		if (was_shown) show_first(c);
	}
	chat_prompt(c);
}

/* Of what is known without a daemon, what is over by our clock is left out. */
static int look_at_question(void *ctx, const roost_record *r)
{
	struct chat *c = ctx;
	struct json_doc *doc = NULL;
	int64_t expires_at = INT64_MAX;
	if (json_parse(str_n(r->json, r->json_size), &doc, NULL) != OK) return 1;
	const struct json *fields = json_get(json_root(doc), "fields");
	(void)time_parse(cli_text(fields, "expiresAt"), &expires_at);
	if (str_eq(cli_text(fields, "state"), STR("open")) && (c->is_online || expires_at > clock_wall_ms()))
		add(c, r->name, fields);
	json_free(doc);
	return 1;
}

void chat_questions_open(struct chat *c)
{
	(void)roost_list(c->device, "Permission", c->conversation, look_at_question, c);
	show_first(c);
	chat_prompt(c);
}

/* ---- answering --------------------------------------------------------------------------------------------------- */

void chat_question_key(struct chat *c)
{
	const struct chat_question *q = TAILQ_FIRST(&c->questions);
	if (screen_typed(c->screen) > 1) return;
	free(c->aimed);
	c->aimed = q != NULL ? xstrdup(q->name) : NULL;
}

bool chat_question_answer(struct chat *c, bool allow, struct str why)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct jw w = JW(&b);
	if (c->aimed == NULL) return false;
	if (find(c, c->aimed) == NULL) {
		chat_note(c, TERM_DIM, "that question is over; nothing was answered");
		return true;
	}
	jw_obj(&w);
	jw_kstr(&w, "permissionId", str_c(c->aimed));
	jw_kbool(&w, "allow", allow);
	if (why.n > 0) jw_kstr(&w, "message", why);
	jw_obj_end(&w);
	buf_add_char(&b, '\0');
	if (roost_call(c->device, "permission:answer", b.p, &c->permission) != ROOST_OK)
		chat_note(c, TERM_RED, "not while the daemon is away");
	buf_release(&b);
	return true;
}

bool chat_question_line(struct chat *c, struct str line)
{
	static const struct {
		struct str word;
		bool allow;
	} words[] = {{STR_INIT("y"), true}, {STR_INIT("yes"), true}, {STR_INIT("n"), false}, {STR_INIT("no"), false}};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq(line, words[i].word)) return chat_question_answer(c, words[i].allow, STR(""));
	return false;
}
