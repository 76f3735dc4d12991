/* How a conversation is followed
 *
 * 1. After device:welcome the conversation is found (the one of the newest request, or a given one), its last
 *    messages are queried, and its session is joined. Changes that arrive before the query's answer are kept and
 *    looked at after it: the answer comes from a snapshot that may be older than a change that overtook it.
 * 2. A Message is told once. It is new when its place (ord) is beyond the newest one at the time of opening and its
 *    name was not told yet. Records of the feed's past, which a first connection gets too, fall under neither.
 * 3. An answer is told from its deltas, and completed from its Message record, which is the truth: what the record
 *    holds beyond the text told is told then; where it differs, the text told was another attempt's.
 * 4. A request is over when its Message is complete, or when its state is failed or stopped, whichever is seen first.
 *    `done` alone does not end it: the text is in the Message, and the Message is on its way.
 * 5. A message whose ack was lost is sent again, and its answer may be in the feed already. So changes are also kept,
 *    and the session is not joined, until its ack has told which request is its.
 *
 * What waits for an answer is remembered by frame id (struct ask) and forgotten when the connection goes; chat_up
 * starts again from the state, never from the frames. */
#include "base/clock.h"
#include "cli/chat_priv.h"

/* ---- small things ----------------------------------------------------------------------------------------------- */

static void replace(char **field, struct str value)
{
	char *copy = str_dup(value);
	free(*field);
	*field = copy;
}

struct str chat_text_of(const struct json *obj, const char *key)
{
	struct str s = STR("");
	json_str(json_get(obj, key), &s);
	return s;
}

int64_t chat_int_of(const struct json *obj, const char *key)
{
	int64_t v = 0;
	json_int(json_get(obj, key), &v);
	return v;
}

void chat_tell(struct chat *c, struct chat_event e)
{
	static const struct errinfo none = {.err = OK};
	if (e.info == NULL) e.info = &none;
	if (e.who.p == NULL) e.who = STR("");
	if (e.text.p == NULL) e.text = STR("");
	c->hooks.event(c->hooks.ctx, &e);
}

/* {"code","message"} of an error frame or a request's error. */
enum err chat_read_error(const struct json *error, struct errinfo *info)
{
	struct str code = chat_text_of(error, "code"), message = chat_text_of(error, "message");
	enum err e = err_from_code(code.p, (uint32_t)code.n);
	err_set(info, e, "%.*s", STR_ARG(message));
	info->retry_after_ms = chat_int_of(error, "retryAfterMs");
	return e;
}

/* A frame with a fresh id, remembered for its answer. End it with chat_frame_send. */
struct jw chat_frame_begin(struct chat *c, struct buf *b, const char *type, enum ask_kind kind, struct ask **out)
{
	struct ask *a = xcalloc(1, sizeof *a);
	a->id = ++c->next_id;
	a->kind = kind;
	TAILQ_INSERT_TAIL(&c->asks, a, link);
	if (out != NULL) *out = a;
	buf_init(b, FRAME_BYTES_MAX);
	struct jw w = JW(b);
	jw_obj(&w);
	jw_kstr(&w, "type", str_c(type));
	jw_kint(&w, "id", a->id);
	return w;
}

void chat_frame_send(struct chat *c, struct jw *w)
{
	jw_obj_end(w);
	c->hooks.send(c->hooks.ctx, buf_str(w->b));
	buf_release(w->b);
}

static bool was_told(struct chat *c, struct str name)
{
	struct told *t;
	HASH_FIND(hh, c->told, name.p, name.n, t);
	if (t != NULL) return true;
	t = xmalloc(sizeof *t + name.n + 1);
	memcpy(t->name, name.p, name.n);
	t->name[name.n] = '\0';
	HASH_ADD(hh, c->told, name, name.n, t);
	return false;
}

static void told_clear(struct chat *c)
{
	struct told *t, *next;
	HASH_ITER (hh, c->told, t, next) {
		HASH_DEL(c->told, t);
		free(t);
	}
}

static struct str device_name(struct chat *c, struct str id)
{
	struct device_name *d;
	LIST_FOREACH (d, &c->devices, link)
		if (str_eq(str_c(d->id), id)) return str_c(d->name);
	return STR("another device");
}

static void device_learn(struct chat *c, struct str id, struct str name)
{
	struct device_name *d;
	if (id.n == 0 || name.n == 0) return;
	LIST_FOREACH (d, &c->devices, link)
		if (str_eq(str_c(d->id), id)) break;
	if (d == NULL) {
		d = xcalloc(1, sizeof *d);
		d->id = str_dup(id);
		LIST_INSERT_HEAD(&c->devices, d, link);
	}
	replace(&d->name, name);
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static void on_message(struct chat *c, const struct json *record, bool is_old)
{
	const struct json *fields = json_get(record, "fields");
	struct str name = chat_text_of(record, "name"), request = chat_text_of(fields, "requestId");
	struct str device = chat_text_of(json_get(record, "created"), "deviceId");
	bool is_answer = str_eq(chat_text_of(fields, "role"), STR("assistant")), deleted = false;
	json_bool(json_get(record, "deleted"), &deleted);
	if (deleted || !str_eq(chat_text_of(fields, "conversationId"), str_c(c->conversation))) return;
	if (!is_old && chat_int_of(fields, "ord") <= c->history_ord) return;
	if (was_told(c, name)) return;
	bool mine = str_eq(device, str_c(c->device_id));
	if (is_answer && request.n > 0 && !is_old) {
		answer_committed(c, answer_get(c, request), fields);
		return;
	}
	if (mine && !is_old) return; /* said here */
	chat_tell(c, (struct chat_event){
			     .kind = is_old ? CHAT_OLD : CHAT_MESSAGE,
			     .who = is_answer ? STR("")
				    : mine    ? str_c(c->name)
					      : device_name(c, device),
			     .text = chat_text_of(fields, "text"),
			     .mine = mine,
		     });
}

static void on_records(struct chat *c, const struct json *records)
{
	for (struct json_iter it = json_iter(records); json_next(&it);) {
		struct str type = chat_text_of(it.val, "type"), name = chat_text_of(it.val, "name");
		const struct json *fields = json_get(it.val, "fields");
		if (str_eq(type, STR("Device"))) {
			device_learn(c, name, chat_text_of(fields, "name"));
		} else if (c->open_state != CONV_OPEN) {
			continue;
		} else if (str_eq(type, STR("Message"))) {
			on_message(c, it.val, false);
		} else if (str_eq(type, STR("Request"))) {
			bool is_here = str_eq(chat_text_of(fields, "conversationId"), str_c(c->conversation));
			if (answer_find(c, name) != NULL ||
			    (is_here && !str_eq(chat_text_of(fields, "state"), STR("done"))))
				answer_state(c, name, fields);
		}
	}
}

/* Rule 5. */
static bool is_holding(const struct chat *c)
{
	const struct outgoing *m;
	TAILQ_FOREACH (m, &c->outbox, link)
		if (m->is_resent) return true;
	return false;
}

static void on_changes(struct chat *c, const struct json *f)
{
	const struct json *records = json_get(f, "records");
	struct str cursor = chat_text_of(f, "cursor");
	if (cursor.n > 0) replace(&c->cursor, cursor);
	if (c->open_state != CONV_LOADING && !is_holding(c)) {
		on_records(c, records);
	} else {
		json_write(&c->early, records);
		buf_add_char(&c->early, '\n');
	}
}

static void early_replay(struct chat *c)
{
	struct buf early = c->early;
	buf_init(&c->early, FRAME_BYTES_MAX);
	for (size_t at = 0; at < early.n;) {
		const char *nl = memchr(early.p + at, '\n', early.n - at);
		size_t end = nl != NULL ? (size_t)(nl - early.p) : early.n;
		struct json_doc *doc;
		if (json_parse(str_n(early.p + at, end - at), &doc, NULL) == OK) {
			on_records(c, json_root(doc));
			json_free(doc);
		}
		at = end + 1;
	}
	buf_release(&early);
}

/* ---- opening a conversation ------------------------------------------------------------------------------------- */

/* A record:query. `equals` and `value`: the filter, or NULL. Newest first by `sort`. */
static void query(struct chat *c, enum ask_kind kind, const char *type, const char *equals, struct str value,
		  const char *sort, int limit)
{
	struct buf b;
	struct jw w = chat_frame_begin(c, &b, "record:query", kind, NULL);
	jw_kstr(&w, "recordType", str_c(type));
	if (equals != NULL) {
		jw_key(&w, "filter");
		jw_arr(&w);
		jw_obj(&w);
		jw_kstr(&w, "field", str_c(equals));
		jw_kstr(&w, "op", STR("eq"));
		jw_kstr(&w, "value", value);
		jw_obj_end(&w);
		jw_arr_end(&w);
	}
	if (sort != NULL) {
		jw_key(&w, "sort");
		jw_arr(&w);
		jw_obj(&w);
		jw_kstr(&w, "field", str_c(sort));
		jw_kbool(&w, "ascending", false);
		jw_obj_end(&w);
		jw_arr_end(&w);
	}
	jw_kint(&w, "limit", limit);
	chat_frame_send(c, &w);
}

static void join(struct chat *c)
{
	struct buf b;
	if (c->is_joined || !c->is_welcome) return;
	c->is_joined = true;
	struct jw w = chat_frame_begin(c, &b, "session:join", ASK_JOIN, NULL);
	jw_kstr(&w, "conversationId", str_c(c->conversation));
	chat_frame_send(c, &w);
}

/* Goes on when nothing is being held back any more. */
static void settle(struct chat *c)
{
	if (c->open_state != CONV_OPEN || is_holding(c)) return;
	join(c);
	early_replay(c);
}

static void leave(struct chat *c)
{
	struct buf b;
	if (!c->is_joined || !c->is_welcome) return;
	struct jw w = chat_frame_begin(c, &b, "session:leave", ASK_WISH, NULL);
	jw_kstr(&w, "conversationId", str_c(c->conversation));
	chat_frame_send(c, &w);
}

static void close_conversation(struct chat *c)
{
	if (c->conversation != NULL) leave(c);
	while (!TAILQ_EMPTY(&c->answers)) answer_free(c, TAILQ_FIRST(&c->answers));
	told_clear(c);
	buf_clear(&c->early);
	c->is_joined = false;
	c->history_ord = 0;
}

static void load(struct chat *c)
{
	c->open_state = CONV_LOADING;
	query(c, ASK_TITLE, "Conversation", "name", str_c(c->conversation), NULL, 1);
}

static void open_existing(struct chat *c, struct str id)
{
	close_conversation(c);
	replace(&c->conversation, id);
	c->open_state = CONV_LOADING;
	if (c->is_welcome) load(c);
}

static void outbox_flush(struct chat *c);

static void open_new(struct chat *c, int64_t now_ms)
{
	struct id id = id_new(now_ms);
	close_conversation(c);
	replace(&c->conversation, id_str(&id));
	c->open_state = CONV_NEW;
	if (c->is_welcome) chat_tell(c, (struct chat_event){.kind = CHAT_READY});
	outbox_flush(c);
}

static void on_last_found(struct chat *c, const struct json *records)
{
	struct json_iter it = json_iter(records);
	if (c->open_state != CONV_UNKNOWN) return;
	if (json_next(&it)) open_existing(c, chat_text_of(json_get(it.val, "fields"), "conversationId"));
	else open_new(c, clock_wall_ms());
}

static void on_title(struct chat *c, const struct json *records)
{
	struct json_iter it = json_iter(records);
	struct errinfo info;
	if (json_next(&it)) {
		chat_tell(c, (struct chat_event){.kind = CHAT_OPENED,
						 .who = str_c(c->conversation),
						 .text = chat_text_of(json_get(it.val, "fields"), "title")});
		query(c, ASK_HISTORY, "Message", "conversationId", str_c(c->conversation), "ord", MAX(c->history, 1));
		return;
	}
	err_set(&info, ERR_NOT_FOUND, "there is no conversation %.60s", c->conversation);
	c->open_state = CONV_UNKNOWN;
	chat_tell(c, (struct chat_event){.kind = CHAT_REFUSED, .err = ERR_NOT_FOUND, .info = &info});
}

/* The last messages, newest first; told oldest first. */
static void on_history(struct chat *c, const struct json *records)
{
	const struct json *list[256];
	size_t n = 0;
	for (struct json_iter it = json_iter(records); json_next(&it) && n < ARRAY_LEN(list);) list[n++] = it.val;
	for (size_t i = n; i > 0; i--) {
		int64_t ord = chat_int_of(json_get(list[i - 1], "fields"), "ord");
		if (c->history > 0) on_message(c, list[i - 1], true);
		c->history_ord = MAX(c->history_ord, ord);
	}
	c->open_state = CONV_OPEN;
	chat_tell(c, (struct chat_event){.kind = CHAT_READY, .text = str_c(c->conversation)});
	outbox_flush(c);
	settle(c);
}

static void on_list(struct chat *c, const struct json *records)
{
	int n = 0;
	for (int i = 0; i < LIST_ROWS; i++) {
		free(c->listed[i]);
		c->listed[i] = NULL;
	}
	for (struct json_iter it = json_iter(records); json_next(&it) && n < LIST_ROWS; n++) {
		int64_t at = 0;
		struct str name = chat_text_of(it.val, "name");
		(void)time_parse(chat_text_of(json_get(it.val, "modified"), "at"), &at);
		c->listed[n] = str_dup(name);
		chat_tell(c, (struct chat_event){.kind = CHAT_LISTED,
						 .who = name,
						 .text = chat_text_of(json_get(it.val, "fields"), "title"),
						 .at_ms = at,
						 .number = n + 1});
	}
	chat_tell(c, (struct chat_event){.kind = CHAT_LIST_END});
}

static void on_joined(struct chat *c, const struct json *f)
{
	for (struct json_iter it = json_iter(json_get(f, "running")); json_next(&it);) {
		struct str id = chat_text_of(it.val, "requestId");
		if (id.n == 0) continue;
		struct answer *r = answer_get(c, id);
		int64_t attempt = chat_int_of(it.val, "attempt");
		if (attempt > r->attempt) answer_begin(c, r, attempt);
		if (r->stop_wanted) answer_send_stop(c, r);
	}
}

/* ---- saying ----------------------------------------------------------------------------------------------------- */

static void outgoing_free(struct chat *c, struct outgoing *m)
{
	TAILQ_REMOVE(&c->outbox, m, link);
	free(m->conversation);
	free(m->text);
	free(m);
}

static struct outgoing *outgoing_find(struct chat *c, const struct id *id)
{
	struct outgoing *m;
	TAILQ_FOREACH (m, &c->outbox, link)
		if (strcmp(m->id.s, id->s) == 0) break;
	return m;
}

static void outgoing_send(struct chat *c, struct outgoing *m)
{
	struct buf b;
	struct ask *a;
	struct jw w = chat_frame_begin(c, &b, "message:send", ASK_SEND, &a);
	a->message = m->id;
	m->is_sent = true;
	jw_kstr(&w, "messageId", id_str(&m->id));
	jw_kstr(&w, "conversationId", str_c(m->conversation));
	jw_kstr(&w, "text", str_c(m->text));
	jw_key(&w, "request");
	jw_obj(&w);
	if (c->model[0] != '\0') jw_kstr(&w, "model", str_c(c->model));
	if (c->params[0] != '\0') jw_kraw(&w, "params", str_c(c->params));
	jw_obj_end(&w);
	chat_frame_send(c, &w);
}

/* Sends what was not sent on this connection, in the order it was said. */
static void outbox_flush(struct chat *c)
{
	struct outgoing *m;
	if (!c->is_welcome || (c->open_state != CONV_NEW && c->open_state != CONV_OPEN)) return;
	TAILQ_FOREACH (m, &c->outbox, link) {
		if (m->conversation == NULL) m->conversation = xstrdup(c->conversation);
		if (!m->is_sent) outgoing_send(c, m);
	}
}

static void on_ack(struct chat *c, const struct json *f, const struct id *id)
{
	struct outgoing *m = outgoing_find(c, id);
	struct str request = chat_text_of(f, "requestId");
	if (m == NULL) return;
	bool is_here = strcmp(m->conversation, c->conversation) == 0;
	outgoing_free(c, m);
	if (!is_here) return;
	if (c->open_state == CONV_NEW) c->open_state = CONV_OPEN;
	if (request.n > 0) {
		struct answer *r = answer_get(c, request);
		r->mine = true;
		if (c->stop_next) answer_send_stop(c, r);
	}
	c->stop_next = false;
	settle(c);
}

static void on_refused(struct chat *c, const struct ask *a, const struct json *f)
{
	struct errinfo info;
	enum err e = chat_read_error(f, &info);
	struct outgoing *m = a->kind == ASK_SEND ? outgoing_find(c, &a->message) : NULL;
	if (a->kind == ASK_HELLO && e == ERR_CURSOR_EXPIRED && c->cursor[0] != '\0') {
		replace(&c->cursor, STR(""));
		chat_up(c);
		return;
	}
	if (a->kind == ASK_WISH && (e == ERR_SUPERSEDED || e == ERR_BAD_STATE)) return; /* it is told otherwise */
	if (a->kind == ASK_JOIN) {
		c->is_joined = false;
		if (e == ERR_NOT_FOUND) return; /* on_title has told */
	}
	bool keeps = m != NULL && err_retryable(e);
	if (keeps) m->is_sent = false;
	if (a->kind == ASK_NAMES) return;
	chat_tell(c, (struct chat_event){.kind = CHAT_REFUSED,
					 .text = m != NULL ? str_c(m->text) : STR(""),
					 .mine = keeps,
					 .err = e,
					 .info = &info});
	if (m != NULL && !keeps) outgoing_free(c, m);
	settle(c);
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

static void on_welcome(struct chat *c)
{
	struct answer *r;
	c->is_welcome = true;
	struct buf b;
	struct jw w = chat_frame_begin(c, &b, "device:list", ASK_NAMES, NULL);
	chat_frame_send(c, &w);
	switch (c->open_state) {
	case CONV_UNKNOWN: query(c, ASK_LAST, "Request", NULL, STR_NONE, "createdAt", 1); break;
	case CONV_LOADING: load(c); break;
	case CONV_NEW: chat_tell(c, (struct chat_event){.kind = CHAT_READY}); break;
	case CONV_OPEN: settle(c); break;
	}
	TAILQ_FOREACH (r, &c->answers, link)
		if (r->stop_wanted && !r->is_ended) answer_send_stop(c, r);
	outbox_flush(c);
}

static void on_found(struct chat *c, enum ask_kind kind, const struct json *f)
{
	const struct json *records = json_get(f, "records");
	if (kind == ASK_LAST) on_last_found(c, records);
	else if (kind == ASK_TITLE) on_title(c, records);
	else if (kind == ASK_HISTORY) on_history(c, records);
	else if (kind == ASK_LIST) on_list(c, records);
}

static void on_frame(struct chat *c, struct str type, const struct ask *a, const struct json *f)
{
	if (str_eq(type, STR("error"))) {
		if (a != NULL) on_refused(c, a, f);
	} else if (str_eq(type, STR("device:welcome"))) {
		on_welcome(c);
	} else if (str_eq(type, STR("session:changes"))) {
		on_changes(c, f);
	} else if (str_eq(type, STR("session:state"))) {
		if (str_eq(chat_text_of(json_get(json_get(f, "session"), "fields"), "conversationId"),
			   str_c(c->conversation)) ||
		    (a != NULL && a->kind == ASK_JOIN))
			on_joined(c, f);
	} else if (str_eq(type, STR("message:delta"))) {
		answer_delta(c, f);
	} else if (str_eq(type, STR("message:reset"))) {
		answer_reset(c, f);
	} else if (str_eq(type, STR("message:ack"))) {
		if (a != NULL && a->kind == ASK_SEND) on_ack(c, f, &a->message);
	} else if (str_eq(type, STR("request:state"))) {
		if (c->open_state == CONV_OPEN) answer_state(c, chat_text_of(f, "requestId"), f);
	} else if (str_eq(type, STR("record:found"))) {
		if (a != NULL) on_found(c, a->kind, f);
	} else if (str_eq(type, STR("device:list")) || str_eq(type, STR("device:changed"))) {
		for (struct json_iter it = json_iter(json_get(f, "devices")); json_next(&it);)
			device_learn(c, chat_text_of(it.val, "deviceId"), chat_text_of(it.val, "name"));
	}
}

void chat_frame(struct chat *c, struct str frame)
{
	struct json_doc *doc;
	struct ask *a = NULL;
	int64_t re;
	if (json_parse(frame, &doc, NULL) != OK) return; /* not from a daemon that keeps to the protocol */
	const struct json *f = json_root(doc);
	if (json_int(json_get(f, "re"), &re)) {
		TAILQ_FOREACH (a, &c->asks, link)
			if (a->id == re) break;
		if (a != NULL) TAILQ_REMOVE(&c->asks, a, link);
	}
	on_frame(c, chat_text_of(f, "type"), a, f);
	free(a);
	json_free(doc);
}

/* ---- verbs ------------------------------------------------------------------------------------------------------ */

struct chat *chat_new(const struct chat_options *o, const struct chat_hooks *h)
{
	struct chat *c = xcalloc(1, sizeof *c);
	c->hooks = *h;
	c->device_id = str_dup(o->device_id);
	c->name = str_dup(o->name);
	c->model = str_dup(o->model);
	c->params = str_dup(o->params);
	c->cursor = str_dup(o->cursor);
	c->history = o->history;
	buf_init(&c->early, FRAME_BYTES_MAX);
	TAILQ_INIT(&c->asks);
	TAILQ_INIT(&c->outbox);
	TAILQ_INIT(&c->answers);
	LIST_INIT(&c->devices);
	if (str_eq(o->conversation, STR("new"))) open_new(c, clock_wall_ms());
	else if (!str_eq(o->conversation, STR("last"))) open_existing(c, o->conversation);
	return c;
}

static void asks_clear(struct chat *c)
{
	struct ask *a;
	while ((a = TAILQ_FIRST(&c->asks)) != NULL) {
		TAILQ_REMOVE(&c->asks, a, link);
		free(a);
	}
}

void chat_free(struct chat *c)
{
	struct device_name *d;
	if (c == NULL) return;
	asks_clear(c);
	while (!TAILQ_EMPTY(&c->outbox)) outgoing_free(c, TAILQ_FIRST(&c->outbox));
	while (!TAILQ_EMPTY(&c->answers)) answer_free(c, TAILQ_FIRST(&c->answers));
	while ((d = LIST_FIRST(&c->devices)) != NULL) {
		LIST_REMOVE(d, link);
		free(d->id);
		free(d->name);
		free(d);
	}
	told_clear(c);
	for (int i = 0; i < LIST_ROWS; i++) free(c->listed[i]);
	buf_release(&c->early);
	free(c->conversation);
	free(c->device_id);
	free(c->name);
	free(c->model);
	free(c->params);
	free(c->cursor);
	free(c);
}

void chat_up(struct chat *c)
{
	struct buf b;
	struct jw w = chat_frame_begin(c, &b, "device:hello", ASK_HELLO, NULL);
	jw_kstr(&w, "deviceId", str_c(c->device_id));
	jw_kstr(&w, "platform", STR("terminal"));
	jw_kstr(&w, "name", str_c(c->name));
	jw_kstr(&w, "appVersion", STR(ROOST_VERSION));
	jw_kint(&w, "protocol", 1);
	if (c->cursor[0] != '\0') jw_kstr(&w, "cursor", str_c(c->cursor));
	chat_frame_send(c, &w);
}

void chat_down(struct chat *c)
{
	struct outgoing *m;
	struct answer *r;
	c->is_welcome = c->is_joined = false;
	asks_clear(c);
	TAILQ_FOREACH (m, &c->outbox, link) {
		m->is_resent |= m->is_sent;
		m->is_sent = false;
	}
	TAILQ_FOREACH (r, &c->answers, link) r->is_attaching = r->stop_sent = false;
}

void chat_say(struct chat *c, struct str text, int64_t now_ms)
{
	struct outgoing *m = xcalloc(1, sizeof *m);
	m->id = id_new(now_ms);
	m->text = str_dup(text);
	TAILQ_INSERT_TAIL(&c->outbox, m, link);
	outbox_flush(c);
}

void chat_resend(struct chat *c) { outbox_flush(c); }

bool chat_stop(struct chat *c)
{
	struct answer *r;
	TAILQ_FOREACH (r, &c->answers, link) {
		if (r->is_ended || r->stop_wanted) continue;
		answer_send_stop(c, r);
		return true;
	}
	if (TAILQ_EMPTY(&c->outbox) || c->stop_next) return false;
	c->stop_next = true; /* as soon as it is known what to stop */
	return true;
}

bool chat_retry(struct chat *c)
{
	struct answer *r, *last = NULL;
	struct buf b;
	TAILQ_FOREACH (r, &c->answers, link)
		if (r->is_ended && r->has_failed) last = r;
	if (last == NULL || !c->is_welcome) return false;
	last->stop_wanted = last->stop_sent = false;
	struct jw w = chat_frame_begin(c, &b, "request:retry", ASK_WISH, NULL);
	jw_kstr(&w, "requestId", str_c(last->id));
	chat_frame_send(c, &w);
	return true;
}

void chat_list(struct chat *c)
{
	if (c->is_welcome) query(c, ASK_LIST, "Conversation", NULL, STR_NONE, "modifiedAt", LIST_ROWS);
}

bool chat_open(struct chat *c, struct str which, int64_t now_ms)
{
	int64_t n;
	if (str_eq(which, STR("new"))) {
		open_new(c, now_ms);
	} else if (str_to_int(which, &n)) {
		if (n < 1 || n > LIST_ROWS || c->listed[n - 1] == NULL) return false;
		open_existing(c, str_c(c->listed[n - 1]));
	} else {
		open_existing(c, which);
	}
	return true;
}

void chat_set_model(struct chat *c, struct str model) { replace(&c->model, model); }

bool chat_is_running(const struct chat *c)
{
	const struct answer *r;
	TAILQ_FOREACH (r, &c->answers, link)
		if (!r->is_ended) return true;
	return !TAILQ_EMPTY(&c->outbox);
}

struct str chat_model(const struct chat *c) { return str_c(c->model); }
struct str chat_conversation(const struct chat *c)
{
	return c->conversation != NULL ? str_c(c->conversation) : STR("");
}
struct str chat_cursor(const struct chat *c) { return str_c(c->cursor); }
