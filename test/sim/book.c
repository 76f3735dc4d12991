#include "sim/book.h"

#include <uthash.h>

#include "base/hash.h"
#include "record/record.h"

/* The invariants that the book judges. Those about waiting (everything is answered, everybody converges) are judged in
 * plan.c, when the faults have stopped. */
#define ONE_ACK "an id's first ack is its ack for ever"
#define ONE_ORDER "a message's place is the same everywhere and never changes"
#define ONE_CONTENT "a change tag has one content"
#define AS_TYPED "what is stored is what somebody typed"
#define ONE_REPLY "a request has one reply"
#define ATTEMPTS_GROW "attempts only grow, and done is the end"
#define ONE_STREAM "a stream is one text without gaps"
#define REPLY_IS_STREAM "a reply is what was streamed"
#define ONE_PRIMARY "a term has one primary, and terms only grow"
#define AUTO_BY_PRIMARY "an automatic message comes from the term's primary"
#define ONE_HOLDER "a fence has one holder"
#define KILLED_TAKES_NOTHING "a killed session takes nothing and stays killed"
#define FOLLOWED_ONCE "an answer is followed once, whoever drives"
#define RUN_WITHIN_LIMITS "a run only counts up, and not past its limit"
#define STEPS_FOLLOW "each step of a run follows from the one before it"

/* Something known, under a name. What the members mean is up to the table it stands in. */
struct fact {
	char *key;
	int64_t a, b, c;
	uint64_t hash;
	char *text, *other;
	struct buf stream;
	bool flag;
	UT_hash_handle hh;
};

static struct {
	struct fact *messages; /* id: a first seq, b ord, c term; text, other the conversation; flag automatic */
	struct fact
		*allowed;  /* id#hash of each text typed for the message: text, other the message; flag acknowledged */
	struct fact *gone; /* id of each message somebody deleted */
	struct fact *versions; /* type/name@seq: hash of the content */
	struct fact *places;   /* conversation/ord: text the message */
	struct fact *ords;     /* message: a ord, text the conversation */
	struct fact *requests; /* id: a attempt, b seq, c 1 when done; text the reply's name */
	struct fact *streams;  /* request/attempt/kind: stream */
	struct fact *terms;    /* session/term: text the device */
	struct fact
		*sessions; /* id: a term, b seq of the newest version, c seq of its death; flag said to be cleared */
	struct fact *runs; /* session/run: a messages sent, b seq */
	struct fact *followed;  /* answer: text the automatic message that follows it */
	struct fact *steps;     /* session/n: text the action, other the session, a n */
	struct fact *fences;    /* session/fence: text the device */
	struct fact *requested; /* message: text the request that answers it */
} book;

static struct fact *find(struct fact *table, struct str key)
{
	struct fact *f;
	HASH_FIND(hh, table, key.p, (unsigned)key.n, f);
	return f;
}

static struct fact *note_in(struct fact **table, struct str key, bool *is_new)
{
	struct fact *f = find(*table, key);
	*is_new = f == NULL;
	if (f != NULL) return f;
	f = xcalloc(1, sizeof *f);
	f->key = str_dup(key);
	buf_init(&f->stream, BUF_NO_LIMIT);
	HASH_ADD_KEYPTR(hh, *table, f->key, (unsigned)key.n, f);
	return f;
}

/* "a/b" and the like; dies with the next call. */
static struct str joined(struct str a, char by, struct str b)
{
	static struct buf key = {.max = BUF_NO_LIMIT};
	buf_clear(&key);
	(void)buf_add_str(&key, a);
	(void)buf_add_char(&key, by);
	(void)buf_add_str(&key, b);
	return buf_str(&key);
}

static struct str numbered(struct str a, char by, int64_t number)
{
	char text[24];
	(void)snprintf(text, sizeof text, "%lld", (long long)number);
	return joined(a, by, str_c(text));
}

size_t book_size(void) { return HASH_COUNT(book.messages) + HASH_COUNT(book.versions) + HASH_COUNT(book.streams); }

int64_t book_typed_bytes(void)
{
	int64_t n = 0;
	for (const struct fact *f = book.allowed; f != NULL; f = f->hh.next)
		if (f->flag) n += (int64_t)strlen(f->text);
	return n;
}

/* ---- what people do ---------------------------------------------------------------------------------------------- */

static void allow(struct str message, struct str text)
{
	bool is_new;
	struct fact *f = note_in(&book.allowed, numbered(message, '#', (int64_t)hash64(text, 0)), &is_new);
	if (!is_new) return;
	f->text = str_dup(text);
	f->other = str_dup(message);
}

void book_typed(struct str device, struct str message, struct str conversation, struct str text, bool automatic,
		int64_t term)
{
	bool is_new;
	struct fact *f = note_in(&book.messages, message, &is_new);
	(void)device;
	allow(message, text);
	if (!is_new) return;
	f->text = str_dup(text);
	f->other = str_dup(conversation);
	f->flag = automatic;
	f->c = term;
}

void book_edited(struct str message, struct str text) { allow(message, text); }

void book_edit_acked(struct str message, struct str text)
{
	find(book.allowed, numbered(message, '#', (int64_t)hash64(text, 0)))->flag = true;
}

void book_deleted(struct str message)
{
	bool is_new;
	(void)note_in(&book.gone, message, &is_new);
}

bool book_is_acked(struct str message)
{
	const struct fact *f = find(book.messages, message);
	return f != NULL && f->a != 0;
}

/* ---- acks -------------------------------------------------------------------------------------------------------- */

static void check_alive(struct str message, struct str session, int64_t seq)
{
	const struct fact *s = find(book.sessions, session);
	EXPECT(KILLED_TAKES_NOTHING, s == NULL || s->c == 0 || seq < s->c,
	       "message %.*s has place %lld in session %.*s, which was killed at %lld", STR_ARG(message),
	       (long long)seq, STR_ARG(session), s != NULL ? (long long)s->c : 0);
}

static void check_place(struct str message, struct str conversation, int64_t ord)
{
	bool is_new;
	struct fact *f = note_in(&book.ords, message, &is_new);
	if (is_new) {
		f->a = ord;
		f->text = str_dup(conversation);
	}
	EXPECT(ONE_ORDER, f->a == ord && str_eq(str_c(f->text), conversation),
	       "message %.*s is number %lld of %.*s, and was number %lld of %s", STR_ARG(message), (long long)ord,
	       STR_ARG(conversation), (long long)f->a, f->text);
	struct fact *p = note_in(&book.places, numbered(conversation, '/', ord), &is_new);
	if (is_new) p->text = str_dup(message);
	EXPECT(ONE_ORDER, str_eq(str_c(p->text), message), "number %lld of %.*s is %.*s, and was %s", (long long)ord,
	       STR_ARG(conversation), STR_ARG(message), p->text);
}

void book_acked(struct str device, const struct book_ack *a)
{
	bool is_new;
	struct fact *f = find(book.messages, a->message);
	EXPECT(AS_TYPED, f != NULL, "an ack for %.*s, which nobody typed", STR_ARG(a->message));
	EXPECT(ONE_ACK, f->a == 0 || f->a == a->seq, "message %.*s was acknowledged with place %lld, now with %lld",
	       STR_ARG(a->message), (long long)f->a, (long long)a->seq);
	EXPECT(ONE_ACK, f->a == 0 || a->duplicate, "message %.*s was taken twice", STR_ARG(a->message));
	f->a = a->seq;
	book_edit_acked(a->message, str_c(f->text));
	if (a->ord != 0) check_place(a->message, str_c(f->other), a->ord);
	if (a->session.n > 0) check_alive(a->message, a->session, a->seq);
	if (a->request.n > 0) {
		struct fact *q = note_in(&book.requested, a->message, &is_new);
		if (is_new) q->text = str_dup(a->request);
		EXPECT(ONE_ACK, str_eq(str_c(q->text), a->request), "message %.*s asks %.*s, and asked %s",
		       STR_ARG(a->message), STR_ARG(a->request), q->text);
	}
	if (f->flag && a->session.n > 0) {
		struct fact *t = note_in(&book.terms, numbered(a->session, '/', f->c), &is_new);
		if (is_new) t->text = str_dup(device);
		EXPECT(AUTO_BY_PRIMARY, str_eq(str_c(t->text), device),
		       "%.*s sent %.*s automatically in term %lld, which is %s's", STR_ARG(device), STR_ARG(a->message),
		       (long long)f->c, t->text);
	}
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static struct str text_of(const struct json *fields, const char *key)
{
	struct str s = STR("");
	(void)json_str(json_get(fields, key), &s);
	return s;
}

static int64_t int_of(const struct json *fields, const char *key)
{
	int64_t v = 0;
	(void)json_int(json_get(fields, key), &v);
	return v;
}

/* A finished answer begins with what was streamed of its attempt, and a complete one is all of it. */
static void check_reply(const struct book_record *r)
{
	bool is_new;
	struct str request = text_of(r->fields, "requestId"), text = text_of(r->fields, "text");
	bool complete = str_eq(text_of(r->fields, "status"), STR("complete"));
	struct str key = numbered(request, '/', int_of(r->fields, "attempt"));
	const struct fact *s;
	struct buf full = BUF_INIT(BUF_NO_LIMIT);
	(void)buf_add_str(&full, key);
	(void)buf_add_str(&full, STR("/text"));
	s = find(book.streams, buf_str(&full));
	buf_release(&full);
	EXPECT(REPLY_IS_STREAM, s == NULL || !complete || str_starts(text, buf_str(&s->stream)),
	       "the reply %.*s is not what attempt %lld of %.*s said", STR_ARG(r->name),
	       (long long)int_of(r->fields, "attempt"), STR_ARG(request));
	if (!complete) return;
	struct fact *q = note_in(&book.requests, request, &is_new);
	if (q->text == NULL) q->text = str_dup(r->name);
	EXPECT(ONE_REPLY, str_eq(str_c(q->text), r->name), "request %.*s is answered by %.*s and by %s",
	       STR_ARG(request), STR_ARG(r->name), q->text);
}

static void check_followed(struct str message, struct str answer)
{
	bool is_new;
	if (answer.n == 0) return;
	struct fact *f = note_in(&book.followed, answer, &is_new);
	if (is_new) f->text = str_dup(message);
	EXPECT(FOLLOWED_ONCE, str_eq(str_c(f->text), message), "the answer %.*s is followed by %s and by %.*s",
	       STR_ARG(answer), f->text, STR_ARG(message));
}

static void check_message(const struct book_record *r)
{
	struct str conversation = text_of(r->fields, "conversationId"), text = text_of(r->fields, "text");
	check_place(r->name, conversation, int_of(r->fields, "ord"));
	if (str_eq(text_of(r->fields, "role"), STR("assistant"))) {
		check_reply(r);
		return;
	}
	const struct fact *f = find(book.messages, r->name);
	EXPECT(AS_TYPED, f != NULL, "message %.*s was typed by nobody", STR_ARG(r->name));
	EXPECT(AS_TYPED, find(book.allowed, numbered(r->name, '#', (int64_t)hash64(text, 0))) != NULL,
	       "message %.*s has a text that nobody typed for it: %.*s", STR_ARG(r->name), (int)MIN(text.n, (size_t)60),
	       text.p);
	EXPECT(AS_TYPED, str_eq(str_c(f->other), conversation), "message %.*s is in %.*s, and was sent to %s",
	       STR_ARG(r->name), STR_ARG(conversation), f->other);
	if (f->a != 0) check_alive(r->name, text_of(r->fields, "sessionId"), f->a);
	if (f->flag) check_followed(r->name, text_of(r->fields, "parent"));
}

static void check_request(const struct book_record *r)
{
	bool is_new, done = str_eq(text_of(r->fields, "state"), STR("done"));
	struct fact *q = note_in(&book.requests, r->name, &is_new);
	int64_t attempt = int_of(r->fields, "attempt");
	bool newer = r->seq > q->b;
	EXPECT(ATTEMPTS_GROW, r->seq == q->b || (newer ? attempt >= q->a : attempt <= q->a),
	       "request %.*s has attempt %lld at place %lld and attempt %lld at place %lld", STR_ARG(r->name),
	       (long long)attempt, (long long)r->seq, (long long)q->a, (long long)q->b);
	EXPECT(ATTEMPTS_GROW, !newer || q->c == 0 || done, "request %.*s was done, and is %.*s now", STR_ARG(r->name),
	       STR_ARG(text_of(r->fields, "state")));
	if (!newer) return;
	q->a = attempt;
	q->b = r->seq;
	q->c = done;
}

static void check_run(const struct book_record *r, const struct json *run)
{
	bool is_new;
	int64_t sent = int_of(run, "sent"), most = int_of(run, "maxMessages");
	struct fact *f = note_in(&book.runs, numbered(r->name, '/', int_of(run, "run")), &is_new);
	EXPECT(RUN_WITHIN_LIMITS, most == 0 || sent <= most, "run %s has sent %lld messages of %lld", f->key,
	       (long long)sent, (long long)most);
	EXPECT(RUN_WITHIN_LIMITS, r->seq == f->b || (r->seq > f->b ? sent >= f->a : sent <= f->a),
	       "run %s has sent %lld messages at place %lld, and %lld at %lld", f->key, (long long)sent,
	       (long long)r->seq, (long long)f->a, (long long)f->b);
	if (r->seq <= f->b) return;
	f->a = sent;
	f->b = r->seq;
}

static void note_step(const struct book_record *r)
{
	bool is_new;
	struct str session = text_of(r->fields, "sessionId");
	int64_t n = int_of(r->fields, "n");
	struct fact *f = note_in(&book.steps, numbered(session, '/', n), &is_new);
	if (!is_new) return;
	f->text = str_dup(text_of(r->fields, "action"));
	f->other = str_dup(session);
	f->a = n;
}

static void check_session(const struct book_record *r)
{
	bool is_new, killed = str_eq(text_of(r->fields, "state"), STR("killed"));
	struct fact *s = note_in(&book.sessions, r->name, &is_new);
	struct str primary = text_of(r->fields, "primaryDeviceId");
	int64_t term = int_of(r->fields, "term");
	const struct json *lock = json_get(r->fields, "lock");
	const struct json *run = json_get(r->fields, "auto");
	if (primary.n > 0) book_primary(r->name, primary, term);
	if (json_type(run) == JSON_OBJ) check_run(r, run);
	if (json_type(lock) == JSON_OBJ) book_lock(r->name, text_of(lock, "deviceId"), int_of(lock, "fence"));
	EXPECT(ONE_PRIMARY, r->seq == s->b || (r->seq > s->b ? term >= s->a : term <= s->a),
	       "session %.*s has term %lld at place %lld and term %lld at place %lld", STR_ARG(r->name),
	       (long long)term, (long long)r->seq, (long long)s->a, (long long)s->b);
	EXPECT(KILLED_TAKES_NOTHING, killed || s->c == 0 || r->seq < s->c,
	       "session %.*s was killed at place %lld and lives at %lld", STR_ARG(r->name), (long long)s->c,
	       (long long)r->seq);
	if (killed && (s->c == 0 || r->seq < s->c)) s->c = r->seq;
	if (r->seq <= s->b) return;
	s->a = term;
	s->b = r->seq;
}

void book_record(const struct book_record *r)
{
	bool is_new;
	struct buf content = BUF_INIT(BUF_NO_LIMIT);
	if (r->deleted) (void)buf_add_str(&content, STR("gone"));
	else json_write(&content, r->fields);
	uint64_t hash = hash64(buf_str(&content), 0);
	buf_release(&content);
	struct buf name = BUF_INIT(BUF_NO_LIMIT);
	(void)buf_addf(&name, "%.*s/%.*s/%.*s", STR_ARG(r->user), STR_ARG(r->type), STR_ARG(r->name));
	struct fact *v = note_in(&book.versions, numbered(buf_str(&name), '@', r->seq), &is_new);
	buf_release(&name);
	if (is_new) v->hash = hash;
	EXPECT(ONE_CONTENT, v->hash == hash, "%.*s %.*s has two contents at place %lld", STR_ARG(r->type),
	       STR_ARG(r->name), (long long)r->seq);
	if (!is_new || r->deleted) return;
	if (str_eq(r->type, STR("Message"))) check_message(r);
	else if (str_eq(r->type, STR("Request"))) check_request(r);
	else if (str_eq(r->type, STR("Session"))) check_session(r);
	else if (str_eq(r->type, STR("AutoStep"))) note_step(r);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

void book_primary(struct str session, struct str device, int64_t term)
{
	bool is_new;
	if (device.n == 0) return;
	struct fact *t = note_in(&book.terms, numbered(session, '/', term), &is_new);
	if (is_new) t->text = str_dup(device);
	EXPECT(ONE_PRIMARY, str_eq(str_c(t->text), device), "in session %.*s term %lld is %.*s's, and was %s's",
	       STR_ARG(session), (long long)term, STR_ARG(device), t->text);
}

void book_lock(struct str session, struct str device, int64_t fence)
{
	bool is_new;
	if (device.n == 0) return;
	struct fact *l = note_in(&book.fences, numbered(session, '/', fence), &is_new);
	if (is_new) l->text = str_dup(device);
	EXPECT(ONE_HOLDER, str_eq(str_c(l->text), device), "in session %.*s fence %lld is %.*s's, and was %s's",
	       STR_ARG(session), (long long)fence, STR_ARG(device), l->text);
}

void book_cleared(struct str session, struct str next)
{
	bool is_new;
	EXPECT(KILLED_TAKES_NOTHING, !str_eq(session, next), "session %.*s is said to follow itself", STR_ARG(session));
	note_in(&book.sessions, session, &is_new)->flag = true;
}

void book_cleared_each(void (*fn)(void *ctx, struct str session), void *ctx)
{
	for (const struct fact *f = book.sessions; f != NULL; f = f->hh.next)
		if (f->flag) fn(ctx, str_c(f->key));
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static struct fact *stream_of(struct str request, int64_t attempt, struct str kind)
{
	bool is_new;
	struct buf key = BUF_INIT(BUF_NO_LIMIT);
	(void)buf_addf(&key, "%.*s/%lld/%.*s", STR_ARG(request), (long long)attempt, STR_ARG(kind));
	struct fact *s = note_in(&book.streams, buf_str(&key), &is_new);
	buf_release(&key);
	return s;
}

int64_t book_streamed(struct str request, int64_t attempt, struct str kind)
{
	return (int64_t)stream_of(request, attempt, kind)->stream.n;
}

void book_delta(struct str request, int64_t attempt, struct str kind, int64_t offset, struct str text)
{
	struct fact *s = stream_of(request, attempt, kind);
	size_t from = (size_t)offset, both = from < s->stream.n ? MIN(s->stream.n - from, text.n) : 0;
	EXPECT(ONE_STREAM, both == 0 || memcmp(s->stream.p + from, text.p, both) == 0,
	       "attempt %lld of %.*s says two things at offset %lld", (long long)attempt, STR_ARG(request),
	       (long long)offset);
	if (from <= s->stream.n && from + text.n > s->stream.n) (void)buf_add(&s->stream, text.p + both, text.n - both);
}

/* ---- afterwards -------------------------------------------------------------------------------------------------- */

void book_messages(void (*fn)(void *ctx, const struct book_message *m), void *ctx)
{
	for (const struct fact *f = book.messages; f != NULL; f = f->hh.next) {
		const struct fact *q = find(book.requested, str_c(f->key));
		struct book_message m = {.id = str_c(f->key),
					 .conversation = str_c(f->other),
					 .text = str_c(f->text),
					 .acked = f->a != 0,
					 .deleted = find(book.gone, str_c(f->key)) != NULL,
					 .wants_answer = q != NULL,
					 .first_seq = f->a,
					 .request = q != NULL ? str_c(q->text) : STR("")};
		fn(ctx, &m);
	}
}

void book_texts(void (*fn)(void *ctx, const struct book_text *t), void *ctx)
{
	for (const struct fact *f = book.allowed; f != NULL; f = f->hh.next) {
		const struct fact *m = find(book.messages, str_c(f->other));
		struct book_text t = {
			.message = str_c(f->other), .conversation = str_c(m->other), .text = str_c(f->text)};
		if (f->flag) fn(ctx, &t);
	}
}

/* The steps of a session's runs in their order. `state`: '-' there is none, 'r' it runs, 'p' it is paused. */
static void check_steps(const struct fact *first)
{
	static const struct {
		const char *action, *from;
		char to; /* 0: as it was */
	} moves[] = {{"started", "-", 'r'}, {"sent", "r", 'r'},     {"paused", "r", 'p'},
		     {"resumed", "p", 'r'}, {"stopped", "rp", '-'}, {"handed_over", "rp", 0}};
	char state = '-';
	struct str session = str_c(first->other);
	for (const struct fact *f = first; f != NULL; f = find(book.steps, numbered(session, '/', f->a + 1))) {
		size_t i = 0;
		while (i < ARRAY_LEN(moves) && strcmp(moves[i].action, f->text) != 0) i++;
		EXPECT(STEPS_FOLLOW, i < ARRAY_LEN(moves) && strchr(moves[i].from, state) != NULL,
		       "step %s is \"%s\" in state %c", f->key, f->text, state);
		if (moves[i].to != 0) state = moves[i].to;
	}
}

void book_check_steps(void)
{
	for (const struct fact *f = book.steps; f != NULL; f = f->hh.next)
		if (f->a == 1) check_steps(f);
}
