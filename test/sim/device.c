#include "sim/device.h"

#include "base/clock.h"
#include "record/record.h"
#include "sim/app.h"
#include "sim/book.h"
#include "sim/house.h"
#include "sim/plan.h"

#define PATIENCE (6 * SECOND) /* on a connection where nothing comes */
#define ANSWER_PATIENCE (90 * SECOND)

/* A frame with an id that was sent on the present connection. */
struct call_waiting {
	int64_t id, sent_us;
	char type[32];
	struct wish *wish;    /* NULL: a frame of the moment, or an app's */
	char *message, *edit; /* message:send, message:edit: the id; the new text */
	struct seat *left;    /* session:leave: what it is about */
	int64_t shown;        /* message:attach: how much of the stream somebody had been shown */
	UT_hash_handle hh;
};

static void on_primary(struct device *d, struct str session, struct str device, int64_t term);
static void on_session(struct device *d, struct str conversation, struct str session);

static struct str get(const struct json *o, const char *key)
{
	struct str s = STR("");
	(void)json_str(json_get(o, key), &s);
	return s;
}

static int64_t geti(const struct json *o, const char *key)
{
	int64_t v = 0;
	(void)json_int(json_get(o, key), &v);
	return v;
}

/* ---- what it keeps ----------------------------------------------------------------------------------------------- */

const struct kept *device_kept(const struct device *d, const char *type, struct str name)
{
	char key[400];
	struct kept *k;
	int n = snprintf(key, sizeof key, "%s/%.*s", type, STR_ARG(name));
	HASH_FIND(hh, d->records, key, (unsigned)n, k);
	return k;
}

static void keep(struct device *d, struct str type, struct str name, int64_t seq, bool deleted, struct str fields)
{
	char key[400];
	struct kept *k;
	int n = snprintf(key, sizeof key, "%.*s/%.*s", STR_ARG(type), STR_ARG(name));
	HASH_FIND(hh, d->records, key, (unsigned)n, k);
	if (k == NULL) {
		k = xcalloc(1, sizeof *k);
		k->key = xstrdup(key);
		HASH_ADD_KEYPTR(hh, d->records, k->key, (unsigned)n, k);
	}
	if (seq < k->seq || (seq == k->seq && fields.p == NULL)) return;
	k->seq = seq;
	k->deleted = deleted;
	free(k->fields);
	k->fields = fields.p != NULL ? str_dup(fields) : NULL;
}

static void take_record(struct device *d, const struct json *rec, int64_t *out_seq)
{
	bool deleted = false;
	struct buf fields = BUF_INIT(BUF_NO_LIMIT);
	struct book_record r = {.type = get(rec, "type"), .name = get(rec, "name"), .fields = json_get(rec, "fields")};
	char user[8];
	(void)json_bool(json_get(rec, "deleted"), &deleted);
	(void)snprintf(user, sizeof user, "u%d", d->user);
	EXPECT("a record is whole", tag_parse(get(rec, "changeTag"), &r.seq) && r.name.n > 0 && r.type.n > 0,
	       "%s got a record without name or tag", d->name);
	EXPECT("a user sees nothing of another's", str_eq(get(json_get(rec, "created"), "userId"), str_c(d->user_id)),
	       "%s of user %s got %.*s %.*s of user %.*s", d->name, d->user_id, STR_ARG(r.type), STR_ARG(r.name),
	       STR_ARG(get(json_get(rec, "created"), "userId")));
	r.user = str_c(user);
	r.deleted = deleted;
	book_record(&r);
	if (str_eq(r.type, STR("Session")) && !deleted)
		on_primary(d, r.name, get(r.fields, "primaryDeviceId"), geti(r.fields, "term"));
	else if (str_eq(r.type, STR("Conversation")) && !deleted)
		on_session(d, r.name, get(r.fields, "currentSessionId"));
	json_write(&fields, r.fields);
	keep(d, r.type, r.name, r.seq, deleted, buf_str(&fields));
	buf_release(&fields);
	if (out_seq != NULL) *out_seq = r.seq;
}

bool device_has_text(const struct device *d, struct str message, struct str text)
{
	bool found = false;
	for (const struct kept *k = d->records; k != NULL && !found; k = k->hh.next) {
		struct json_doc *doc;
		bool is_it = strncmp(k->key, "Message/", 8) == 0 && str_eq(str_c(k->key + 8), message);
		if (is_it && k->fields == NULL) return true; /* its own, as it was sent */
		if ((!is_it && strncmp(k->key, "Revision/", 9) != 0) || k->deleted || k->fields == NULL) continue;
		if (json_parse(str_c(k->fields), &doc, NULL) != OK) continue;
		const struct json *fields = json_root(doc);
		found = is_it ? str_eq(get(fields, "text"), text)
			      : str_eq(get(fields, "recordName"), message) && str_eq(get(fields, "value"), text);
		json_free(doc);
	}
	return found;
}

static void call_free(struct call_waiting *c)
{
	free(c->message);
	free(c->edit);
	free(c);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* A frame that is on its way, as it will be answered. Without an id it is not: NULL. */
static struct call_waiting *await(struct device *d, const struct json *in)
{
	struct str type = get(in, "type");
	if (json_type(json_get(in, "id")) != JSON_INT) return NULL;
	struct call_waiting *c = xcalloc(1, sizeof *c);
	c->id = geti(in, "id");
	c->sent_us = now_us();
	(void)str_copy(type, c->type, sizeof c->type);
	if (str_eq(type, STR("message:send")) || str_eq(type, STR("message:edit")))
		c->message = str_dup(get(in, "messageId"));
	if (str_eq(type, STR("message:edit"))) c->edit = str_dup(get(in, "text"));
	if (str_eq(type, STR("message:attach")))
		c->shown = book_streamed(get(in, "requestId"), geti(in, "attempt"), get(in, "kind"));
	HASH_ADD(hh, d->calls, id, sizeof c->id, c);
	return c;
}

static struct call_waiting *put(struct device *d, const char *type, struct str members, struct wish *w)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc;
	struct errinfo info;
	(void)buf_addf(&b, "{\"type\":\"%s\",\"id\":%lld%s%.*s}", type, (long long)++d->next_id,
		       members.n > 0 ? "," : "", STR_ARG(members));
	enum err e = json_parse(buf_str(&b), &doc, &info);
	EXPECT("frames are JSON objects", e == OK, "%s sends %s: %s", d->name, b.p, err_sentence(&info, e));
	struct call_waiting *c = await(d, json_root(doc));
	c->wish = w;
	json_free(doc);
	wire_send(d->wire, buf_str(&b));
	buf_release(&b);
	return c;
}

void device_sends(struct device *d, struct str frame)
{
	struct json_doc *doc;
	struct errinfo info;
	enum err e = json_parse(frame, &doc, &info);
	EXPECT("frames are JSON objects", e == OK, "%s sends %s", d->name, err_sentence(&info, e));
	const struct json *in = json_root(doc);
	uint64_t epoch;
	if (str_eq(get(in, "type"), STR("device:hello"))) {
		d->state = DEVICE_GREETING;
		if (!cursor_parse(get(in, "cursor"), &epoch, &d->place)) d->place = 0;
	}
	(void)await(d, in);
	note("%s: %.*s", d->name, (int)MIN(frame.n, (size_t)300), frame.p);
	json_free(doc);
	if (d->wire != NULL) wire_send(d->wire, frame);
}

bool device_say(struct device *d, const char *type, struct str members)
{
	if (d->app != NULL) return app_say(d, type, members);
	if (d->state != DEVICE_READY) return false;
	(void)put(d, type, members, NULL);
	note("%s: %s %.*s", d->name, type, (int)MIN(members.n, (size_t)200), members.p != NULL ? members.p : "");
	return true;
}

static void send_wish(struct device *d, struct wish *w)
{
	struct str frame = str_c(w->frame);
	const char *space = strchr(w->frame, ' ');
	char type[32];
	(void)str_copy(str_n(frame.p, (size_t)(space - frame.p)), type, sizeof type);
	w->sent_on = d->connection;
	(void)put(d, type, str_c(space + 1), w);
}

/* Everything that was not sent on this connection, in the order it was wished for. */
static void send_wishes(struct device *d)
{
	struct wish *w;
	if (d->state != DEVICE_READY) return;
	TAILQ_FOREACH (w, &d->wishes, link)
		if (!w->held && w->sent_on != d->connection) send_wish(d, w);
}

struct wish *device_wish(struct device *d, const char *type, struct str members, const char *message)
{
	ASSERT(d->app == NULL);
	static int64_t number;
	struct wish *w = xcalloc(1, sizeof *w);
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)buf_addf(&b, "%s %.*s", type, STR_ARG(members));
	w->frame = buf_take(&b, NULL);
	w->message = message != NULL ? xstrdup(message) : NULL;
	w->number = ++number;
	w->sent_on = -1;
	TAILQ_INSERT_TAIL(&d->wishes, w, link);
	note("%s: wishes %lld %s", d->name, (long long)w->number, w->frame);
	send_wishes(d);
	return w;
}

void device_wish_edit(struct device *d, const char *message, const char *text)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)buf_addf(&b, "\"messageId\":\"%s\",\"text\":\"%s\"", message, text);
	struct wish *w = device_wish(d, "message:edit", buf_str(&b), message);
	w->edit = xstrdup(text);
	buf_release(&b);
}

static void fulfil(struct device *d, struct wish *w)
{
	struct call_waiting *c, *tmp;
	TAILQ_REMOVE(&d->wishes, w, link);
	HASH_ITER (hh, d->calls, c, tmp)
		if (c->wish == w) c->wish = NULL;
	free(w->frame);
	free(w->message);
	free(w->edit);
	free(w);
}

void device_release_held(struct device *d)
{
	if (d->app != NULL) app_resolve_held(d, true);
	struct wish *w, *next;
	for (w = TAILQ_FIRST(&d->wishes); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->held) fulfil(d, w);
	}
}

void device_unlock(struct device *d)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (size_t i = 0; i < DEVICE_JOINS; i++) {
		const struct seat *s = &d->seats[i];
		if (d->app != NULL && s->joined) app_unlock(d, s->conversation);
		if (d->app != NULL || !s->locked) continue;
		buf_clear(&b);
		(void)buf_addf(&b, "\"sessionId\":\"%s\"", s->session);
		(void)device_say(d, "session:unlock", buf_str(&b));
	}
	buf_release(&b);
}

/* ---- seats ------------------------------------------------------------------------------------------------------- */

struct seat *device_seat(struct device *d, struct str conversation, bool make)
{
	struct seat *free_one = NULL;
	for (size_t i = 0; i < DEVICE_JOINS; i++) {
		struct seat *s = &d->seats[i];
		if (str_eq(str_c(s->conversation), conversation)) return s;
		if (s->conversation[0] == '\0' && free_one == NULL) free_one = s;
	}
	if (!make || free_one == NULL) return NULL;
	*free_one = (struct seat){.fence = 0};
	(void)str_copy(conversation, free_one->conversation, sizeof free_one->conversation);
	return free_one;
}

struct seat *device_seat_of(struct device *d, struct str session)
{
	for (size_t i = 0; session.n > 0 && i < DEVICE_JOINS; i++)
		if (str_eq(str_c(d->seats[i].session), session)) return &d->seats[i];
	return NULL;
}

void device_leave(struct device *d, struct seat *s)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	s->wanted = s->joined = s->locked = false;
	if (d->app != NULL) {
		app_leave(d, s->conversation);
		*s = (struct seat){.fence = 0};
		return;
	}
	s->leaves = true;
	if (d->state == DEVICE_READY) {
		(void)buf_addf(&b, "\"conversationId\":\"%s\"", s->conversation);
		note("%s: session:leave %s", d->name, b.p);
		put(d, "session:leave", buf_str(&b), NULL)->left = s;
		buf_release(&b);
	}
}

static void on_left(struct seat *s)
{
	s->leaves = false;
	if (!s->wanted) *s = (struct seat){.fence = 0};
}

static void join_again(struct device *d)
{
	for (size_t i = 0; i < DEVICE_JOINS; i++) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		d->seats[i].joined = d->seats[i].locked = false;
		if (d->seats[i].leaves && !d->seats[i].wanted) device_leave(d, &d->seats[i]);
		if (!d->seats[i].wanted) continue;
		(void)buf_addf(&b, "\"conversationId\":\"%s\"", d->seats[i].conversation);
		(void)device_say(d, "session:join", buf_str(&b));
		buf_release(&b);
	}
}

/* A conversation's session is another now: the first, or the one after a clear. */
static void on_session(struct device *d, struct str conversation, struct str session)
{
	struct seat *s = device_seat(d, conversation, false);
	if (s == NULL || session.n == 0 || str_eq(str_c(s->session), session)) return;
	(void)str_copy(session, s->session, sizeof s->session);
	s->locked = false;
}

const struct lead *device_lead(const struct device *d, const char *session)
{
	static const struct lead nobody;
	const struct lead *l;
	HASH_FIND_STR(d->leads, session, l);
	return l != NULL ? l : &nobody;
}

static void on_primary(struct device *d, struct str session, struct str device, int64_t term)
{
	char id[48];
	struct lead *l;
	if (session.n == 0 || !str_copy(session, id, sizeof id)) return;
	book_primary(session, device, term);
	HASH_FIND_STR(d->leads, id, l);
	if (l == NULL) {
		l = xcalloc(1, sizeof *l);
		(void)str_copy(session, l->session, sizeof l->session);
		HASH_ADD_STR(d->leads, session, l);
	}
	if (term < l->term || (term == l->term && device.n == 0)) return;
	if (term > l->term)
		note("%s: hears primary of %s is %.*s, term %lld", d->name, id, STR_ARG(device), (long long)term);
	l->term = term;
	(void)str_copy(device, l->primary, sizeof l->primary);
}

static void on_session_state(struct device *d, const struct json *in)
{
	const struct json *session = json_get(in, "session"), *primary = json_get(in, "primary");
	struct seat *s = device_seat(d, get(in, "conversationId"), false);
	if (json_type(session) == JSON_OBJ) take_record(d, session, NULL);
	if (s == NULL) return;
	/* A join that was under way may be answered after the leave that followed it. */
	if (!s->wanted) {
		if (d->app == NULL) device_leave(d, s);
		return;
	}
	s->joined = true;
	if (json_type(session) != JSON_OBJ) return;
	struct str name = get(session, "name");
	on_session(d, get(in, "conversationId"), name);
	on_primary(d, name, get(primary, "deviceId"), geti(primary, "term"));
}

static void on_lock(struct device *d, const struct json *in, bool locked)
{
	struct seat *s = device_seat_of(d, get(in, "sessionId"));
	struct str holder = get(in, "deviceId");
	if (locked) book_lock(get(in, "sessionId"), holder, geti(in, "fence"));
	if (s == NULL) return;
	s->locked = locked && str_eq(holder, str_c(d->id));
	s->fence = geti(in, "fence");
}

/* ---- what it is told --------------------------------------------------------------------------------------------- */

static void on_changes(struct device *d, const struct json *in)
{
	uint64_t epoch;
	int64_t upto, last = d->place;
	struct str cursor = get(in, "cursor");
	bool more = false;
	size_t n = 0;
	/* Asked for, it is a page after the cursor that was shown then; what was pushed since may have passed it. */
	bool pushed = json_type(json_get(in, "re")) == JSON_NONE;
	static const char *const feed = "the feed is in order, and a cursor never goes back or ahead";
	EXPECT(feed, cursor_parse(cursor, &epoch, &upto), "%s got the cursor %.*s", d->name, STR_ARG(cursor));
	if (!pushed) last = 0;
	EXPECT(feed, upto >= d->place || !pushed, "%s was at place %lld and is told %lld", d->name, (long long)d->place,
	       (long long)upto);
	for (struct json_iter it = json_iter(json_get(in, "records")); json_next(&it); n++) {
		int64_t seq = 0;
		if (planted(PLANT_LOST_PAGE) && n == 0 && chance(50)) continue;
		take_record(d, it.val, &seq);
		EXPECT(feed, seq > last && seq <= upto, "%s got place %lld after %lld, in a page up to %lld", d->name,
		       (long long)seq, (long long)last, (long long)upto);
		last = seq;
	}
	(void)json_bool(json_get(in, "more"), &more);
	note("%s: %zu changes up to %lld%s", d->name, n, (long long)upto, more ? ", more" : "");
	if (!pushed) return;
	d->place = upto;
	(void)str_copy(cursor, d->cursor, sizeof d->cursor);
	if (!more) d->caught_up = true;
	if (!more && chance(200)) {
		struct buf b = BUF_INIT(200);
		(void)buf_addf(&b, "{\"type\":\"device:ack\",\"cursor\":\"%s\"}", d->cursor);
		wire_send(d->wire, buf_str(&b));
		buf_release(&b);
	}
}

static void on_ack(struct device *d, const struct json *in, const struct call_waiting *c)
{
	struct book_ack a = {
		.message = get(in, "messageId"), .session = get(in, "sessionId"), .request = get(in, "requestId")};
	(void)tag_parse(get(in, "changeTag"), &a.seq);
	(void)json_bool(json_get(in, "duplicate"), &a.duplicate);
	a.ord = geti(in, "ord");
	note("%s: %.*s acknowledged at %lld%s", d->name, STR_ARG(a.message), (long long)a.seq,
	     a.duplicate ? ", again" : "");
	if (c->edit != NULL) book_edit_acked(a.message, str_c(c->edit));
	else if (strcmp(c->type, "message:send") == 0) book_acked(str_c(d->id), &a);
	keep(d, STR("Message"), a.message, a.seq, false, STR_NONE);
}

static void on_saved(struct device *d, const struct json *in)
{
	for (struct json_iter it = json_iter(json_get(in, "results")); json_next(&it);) {
		const struct json *record = json_get(it.val, "record");
		if (json_type(record) == JSON_OBJ) take_record(d, record, NULL);
	}
}

/* Refusals after which the same may be sent again later; everything else waits for the person. */
static bool is_passing(struct str code)
{
	enum err e = err_from_code(code.p, (uint32_t)code.n);
	return err_retryable(e) && e != ERR_INTERNAL;
}

static void send_again(void *arg) { send_wishes(arg); }

static void on_error(struct device *d, const struct json *in, const struct call_waiting *c)
{
	struct str code = get(in, "code");
	struct wish *w = c->wish;
	bool is_send = strcmp(c->type, "message:send") == 0;
	note("%s: refused %.*s of %s %s", d->name, STR_ARG(code), c->type, c->message != NULL ? c->message : "");
	EXPECT("nothing goes wrong inside",
	       !str_eq(code, STR("internal")) && !str_eq(code, STR("corrupt")) && !str_eq(code, STR("io_error")),
	       "%s was told %.*s: %.*s", d->name, STR_ARG(code), STR_ARG(get(in, "message")));
	EXPECT("an id's first ack is its ack for ever",
	       !is_send || is_passing(code) || !book_is_acked(str_c(c->message)),
	       "message %s was acknowledged, and is refused now: %.*s", c->message, STR_ARG(code));
	if (w == NULL) return;
	if (!is_passing(code)) {
		w->held = true;
		return;
	}
	w->sent_on = -1;
	w->refused++;
	after(MIN(50 * MS << MIN(w->refused, 6), SECOND), send_again, d);
}

static void on_welcome(struct device *d)
{
	EXPECT("who was revoked does not come back", d->revoked_on < 0 || d->connection <= d->revoked_on,
	       "%s was revoked on its connection %lld, and is welcome on %lld", d->name, (long long)d->revoked_on,
	       (long long)d->connection);
	d->state = DEVICE_READY;
	d->tries = 0;
	d->caught_up = false;
	note("%s: welcome", d->name);
	if (d->app != NULL) return;
	join_again(d);
	send_wishes(d);
}

/* What somebody was shown of a stream can be had again, by anybody and at any time. */
static void on_attached(const struct device *d, const struct json *in, const struct call_waiting *c)
{
	int64_t upto = geti(in, "offset") + (int64_t)get(in, "text").n;
	EXPECT("what was streamed can be had again", upto >= c->shown,
	       "%s is given %lld bytes of attempt %lld of %.*s, of which %lld were shown", d->name, (long long)upto,
	       (long long)geti(in, "attempt"), STR_ARG(get(in, "requestId")), (long long)c->shown);
}

static void on_cleared(const struct json *in)
{
	if (json_get(in, "killedSessionId") != NULL) book_cleared(get(in, "killedSessionId"), get(in, "sessionId"));
	for (struct json_iter it = json_iter(json_get(in, "cleared")); json_next(&it);)
		book_cleared(get(it.val, "killedSessionId"), get(it.val, "sessionId"));
}

static void on_answered(struct device *d, const struct json *in, struct str type)
{
	int64_t id = geti(in, "re");
	struct call_waiting *c;
	HASH_FIND(hh, d->calls, &id, sizeof id, c);
	EXPECT("every frame is answered once", c != NULL, "%s got a second answer to frame %lld", d->name,
	       (long long)id);
	HASH_DEL(d->calls, c);
	struct wish *w = c->wish;
	if (str_eq(type, STR("error"))) on_error(d, in, c);
	else if (str_eq(type, STR("message:ack"))) on_ack(d, in, c);
	else if (str_eq(type, STR("record:saved"))) on_saved(d, in);
	else if (str_eq(type, STR("device:welcome"))) on_welcome(d);
	else if (str_eq(type, STR("device:revoked"))) plan_revoked(get(in, "deviceId"));
	else if (str_eq(type, STR("message:delta"))) on_attached(d, in, c);
	else if (str_eq(type, STR("session:cleared"))) on_cleared(in);
	if (w != NULL && !str_eq(type, STR("error"))) fulfil(d, w);
	if (c->left != NULL) on_left(c->left);
	call_free(c);
}

static void on_text(void *ctx, struct str text)
{
	struct device *d = ctx;
	struct json_doc *doc;
	struct errinfo info;
	enum err e = json_parse(text, &doc, &info);
	EXPECT("frames are JSON objects", e == OK, "%s got %s", d->name, err_sentence(&info, e));
	const struct json *in = json_root(doc);
	struct str type = get(in, "type");
	d->heard_us = now_us();
	if (str_eq(type, STR("session:changes"))) on_changes(d, in);
	else if (str_eq(type, STR("session:state"))) on_session_state(d, in);
	else if (str_eq(type, STR("device:primary")))
		on_primary(d, get(in, "sessionId"), get(in, "deviceId"), geti(in, "term"));
	else if (str_eq(type, STR("session:cleared"))) on_session(d, get(in, "conversationId"), get(in, "sessionId"));
	else if (str_eq(type, STR("session:locked"))) on_lock(d, in, true);
	else if (str_eq(type, STR("session:unlocked"))) on_lock(d, in, false);
	else if (str_eq(type, STR("message:delta")))
		book_delta(get(in, "requestId"), geti(in, "attempt"), get(in, "kind"), geti(in, "offset"),
			   get(in, "text"));
	if (json_type(json_get(in, "re")) != JSON_NONE) on_answered(d, in, type);
	else
		EXPECT("frames of ours are understood", !str_eq(type, STR("error")), "%s is told %.*s", d->name,
		       STR_ARG(text));
	if (d->app != NULL) app_heard(d, text);
	json_free(doc);
}

/* ---- connecting -------------------------------------------------------------------------------------------------- */

static void forget_connection(struct device *d)
{
	struct call_waiting *c, *tmp;
	HASH_ITER (hh, d->calls, c, tmp) {
		HASH_DEL(d->calls, c);
		call_free(c);
	}
	for (size_t i = 0; i < DEVICE_JOINS; i++) d->seats[i].joined = d->seats[i].locked = false;
	d->wire = NULL;
	d->caught_up = false;
	if (d->state != DEVICE_UNPAIRED) d->state = DEVICE_OFF;
}

static void on_retry(void *arg)
{
	struct device *d = arg;
	if (d->wants && d->state == DEVICE_OFF && !d->path.asleep && now_us() >= d->retry_us) device_dial(d);
}

static void retry_later(struct device *d)
{
	int64_t wait = MIN(100 * MS << MIN(d->tries, 5), 2 * SECOND);
	d->tries++;
	d->retry_us = now_us() + pick_between(wait / 2, wait);
	at(d->retry_us, on_retry, d);
}

static void put_joined(const struct device *d, struct buf *b)
{
	const char *comma = "";
	(void)buf_addf(b, ",\"joined\":[");
	for (size_t i = 0; i < DEVICE_JOINS; i++) {
		if (!d->seats[i].wanted) continue;
		(void)buf_addf(b, "%s\"%s\"", comma, d->seats[i].conversation);
		comma = ",";
	}
	(void)buf_addf(b, "]");
}

static void on_open(void *ctx)
{
	struct device *d = ctx;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	d->heard_us = now_us();
	if (d->app != NULL) {
		app_opened(d);
		return;
	}
	d->state = DEVICE_GREETING;
	(void)buf_addf(&b, "\"deviceId\":\"%s\",\"platform\":\"sim\",\"name\":\"%s\",\"protocol\":1", d->id, d->name);
	if (d->cursor[0] != '\0') (void)buf_addf(&b, ",\"cursor\":\"%s\"", d->cursor);
	if (d->tells) put_joined(d, &b);
	(void)put(d, "device:hello", buf_str(&b), NULL);
	buf_release(&b);
}

void device_hang_up(struct device *d, bool silent)
{
	if (d->wire != NULL) wire_abandon(d->wire, silent);
	forget_connection(d);
}

/* Its connection is over, however that came. */
static void lost(struct device *d, int code)
{
	forget_connection(d);
	if (d->app != NULL) app_closed(d, code);
	else if (!d->is_out) retry_later(d);
}

/* One that was told to stay away tries all the same. */
static void app_again(void *arg) { device_online(arg, true); }

static void on_closed(void *ctx, int code)
{
	struct device *d = ctx;
	note("%s: connection over, %d", d->name, code);
	if (code == 401 || code == 4003) {
		EXPECT("a good credential is taken", d->is_doomed, "%s is told %d", d->name, code);
		d->is_out = code == 401;
		plan_revoked(str_c(d->id));
	}
	lost(d, code);
	if (code == 4003 && d->app != NULL) after(SECOND, app_again, d);
}

static const struct wire_hooks hooks = {on_open, on_text, on_closed};

void device_dial(struct device *d)
{
	d->state = DEVICE_DIALING;
	d->connection++;
	d->heard_us = now_us();
	d->wire = wire_dial(&d->path, str_c(d->token), &hooks, d);
}

/* Once in a while: a connection on which nothing comes is asked, then given up. */
static void on_beat(void *arg)
{
	struct device *d = arg;
	if (d->is_out) return;
	after(SECOND + 7 * MS * d->number, on_beat, d);
	if (d->path.asleep || d->wire == NULL) return;
	int64_t silent = now_us() - d->heard_us;
	if (silent > PATIENCE) {
		note("%s: gives its connection up", d->name);
		wire_abandon(d->wire, false);
		lost(d, 0);
	} else if (d->app != NULL && wire_answers(d->wire)) {
		d->heard_us = now_us(); /* its transport asks for itself */
	} else if (d->app == NULL && silent > PATIENCE / 3 && d->state == DEVICE_READY) {
		(void)put(d, "ping", STR(""), NULL);
	}
	struct call_waiting *c, *tmp;
	HASH_ITER (hh, d->calls, c, tmp)
		EXPECT("every frame is answered once", now_us() - c->sent_us < ANSWER_PATIENCE || d->path.down,
		       "%s waits for the answer to a %s for %lld ms, on a connection that lives", d->name, c->type,
		       (long long)(now_us() - c->sent_us) / 1000);
}

void device_online(struct device *d, bool wants)
{
	if (d->state == DEVICE_UNPAIRED || d->is_out) return;
	d->wants = wants;
	note("%s: %s", d->name, wants ? "goes online" : "goes offline");
	if (d->app != NULL) {
		app_online(d, wants);
		return;
	}
	if (wants && d->state == DEVICE_OFF && !d->path.asleep) {
		d->tries = 0;
		device_dial(d);
	} else if (!wants && d->wire != NULL) {
		wire_abandon(d->wire, false);
		forget_connection(d);
	}
}

/* A new process need not know what the one before it had open. */
static void forget_seats(struct device *d)
{
	if (d->app == NULL && !d->tells) return;
	for (size_t i = 0; i < DEVICE_JOINS; i++)
		if (!d->seats[i].wanted || chance(500)) d->seats[i] = (struct seat){.fence = 0};
}

void device_crash(struct device *d)
{
	struct wish *w;
	if (d->state == DEVICE_UNPAIRED || d->is_out) return;
	note("%s: crashes", d->name);
	if (d->wire != NULL) wire_abandon(d->wire, chance(500));
	forget_connection(d);
	forget_seats(d);
	TAILQ_FOREACH (w, &d->wishes, link) w->sent_on = -1;
	if (d->app != NULL) app_crash(d);
	else retry_later(d);
}

void device_sleep(struct device *d, bool asleep)
{
	if (d->path.asleep == asleep) return;
	note("%s: %s", d->name, asleep ? "falls asleep" : "wakes up");
	d->path.asleep = asleep;
	if (d->is_out) return;
	if (!asleep && d->app != NULL) app_wake(d);
	else if (!asleep && d->wants && d->state == DEVICE_OFF) device_dial(d);
}

bool device_is_quiet(const struct device *d)
{
	if (d->app != NULL && !app_is_quiet(d)) return false;
	return d->state == DEVICE_READY && d->caught_up && TAILQ_EMPTY(&d->wishes) && d->calls == NULL;
}

/* ---- pairing ----------------------------------------------------------------------------------------------------- */

static void try_pairing(void *arg) { device_pair(arg); }

static void on_paired(void *ctx, int status, struct str body)
{
	struct device *d = ctx;
	struct json_doc *doc = NULL;
	struct str token;
	if (status != 200 || json_parse(body, &doc, NULL) != OK ||
	    !json_str(json_get(json_root(doc), "token"), &token)) {
		json_free(doc);
		after(SECOND, try_pairing, d);
		return;
	}
	(void)str_copy(token, d->token, sizeof d->token);
	(void)str_copy(get(json_root(doc), "userId"), d->user_id, sizeof d->user_id);
	json_free(doc);
	note("%s: paired", d->name);
	d->state = DEVICE_OFF;
	if (d->is_app) app_new(d);
	device_online(d, true);
	on_beat(d);
}

static void on_code(void *ctx, int status, struct str body)
{
	struct device *d = ctx;
	struct json_doc *doc = NULL;
	struct str code;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (status == 200 && json_parse(body, &doc, NULL) == OK && json_str(json_get(json_root(doc), "code"), &code)) {
		(void)buf_addf(&b, "{\"code\":\"%.*s\",\"deviceId\":\"%s\",\"name\":\"%s\",\"platform\":\"sim\"}",
			       STR_ARG(code), d->id, d->name);
		http_ask(&d->path, "POST", "/api/v1/pair", STR_NONE, buf_str(&b), false, on_paired, d);
	} else {
		after(SECOND, try_pairing, d);
	}
	buf_release(&b);
	json_free(doc);
}

void device_pair(struct device *d)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)buf_addf(&b, "{\"user\":\"user%d\"}", d->user);
	http_ask(&d->path, "POST", "/api/v1/operator/pair", STR_NONE, buf_str(&b), true, on_code, d);
	buf_release(&b);
}

struct device *device_new(int number, int user)
{
	struct device *d = xcalloc(1, sizeof *d);
	d->number = number;
	d->user = user;
	d->tells = number % 2 == 1;
	d->revoked_on = -1;
	(void)snprintf(d->id, sizeof d->id, "device-%d", number);
	(void)snprintf(d->name, sizeof d->name, "d%d", number);
	TAILQ_INIT(&d->wishes);
	return d;
}
