/* What is told of an answer, from three sources that overlap: deltas, the pushed state of its request, and the committed
 * Message and Request records.
 *
 *  1. Deltas of one attempt and kind are told in the order of their offsets: what was told already is skipped, and a gap
 *     is asked for (message:attach). A newer attempt begins from nothing, announced by AGAIN; an older one is not heard.
 *  2. The committed Message is the truth: what it holds beyond the text told is told then, and where it differs, the text
 *     told was another attempt's, and AGAIN says so.
 *  3. An answer is over when its Message is complete, or when its request failed or was stopped, whichever is seen first.
 *     `done` alone does not end it: the text is in the Message, and the Message is on its way.
 *
 * The last few answers that are over are remembered, so that late news of them changes nothing. */
#include "client/core_priv.h"

#include "base/clock.h"

#define STREAMS_MAX 64
#define ENDED_KEPT 16

enum { TEXT, THINKING };
static const struct str kind_words[] = {STR_INIT("text"), STR_INIT("thinking")};

static void stream_free(struct core *c, struct stream *s)
{
	HASH_DEL(c->streams, s);
	buf_release(&s->text);
	free(s->request);
	free(s->conversation);
	free(s->message);
	free(s);
}

void streams_free(struct core *c)
{
	struct stream *s, *next;
	HASH_ITER (hh, c->streams, s, next) stream_free(c, s);
}

static struct stream *stream_find(const struct core *c, struct str request)
{
	struct stream *s = NULL;
	if (c->streams != NULL) HASH_FIND(hh, c->streams, request.p, request.n, s);
	return s;
}

/* Forgets the oldest: of those that are over, or, when there are too many of the others, of all. */
static void prune(struct core *c)
{
	struct stream *s, *next;
	int ended = 0;
	for (s = c->streams; s != NULL; s = s->hh.next) ended += s->is_ended;
	HASH_ITER (hh, c->streams, s, next) {
		if (ended <= ENDED_KEPT) break;
		if (!s->is_ended) continue;
		stream_free(c, s);
		ended--;
	}
	while (HASH_COUNT(c->streams) >= STREAMS_MAX) stream_free(c, c->streams);
}

static struct stream *stream_get(struct core *c, struct str request, struct str conversation)
{
	struct stream *s = stream_find(c, request);
	if (s != NULL) {
		if (s->conversation[0] == '\0') text_set(&s->conversation, conversation);
		return s;
	}
	prune(c);
	s = xcalloc(1, sizeof *s);
	s->request = str_dup(request);
	text_set(&s->conversation, conversation);
	text_set(&s->message, STR(""));
	buf_init(&s->text, ROW_BYTES_MAX);
	HASH_ADD_KEYPTR(hh, c->streams, s->request, request.n, s);
	return s;
}

static void stream_tell(struct core *c, const struct stream *s, struct core_event e)
{
	e.name = str_c(s->request);
	e.conversation = str_c(s->conversation);
	e.other = str_c(s->message);
	e.number = s->attempt;
	e.mine = s->mine;
	tell(c, e);
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

/* Another text is to come: what was told is no part of the answer. */
static void begin(struct core *c, struct stream *s, int64_t attempt)
{
	bool had = s->at[TEXT] > 0 || s->at[THINKING] > 0;
	s->attempt = attempt;
	s->is_ended = s->has_failed = false;
	for (int k = TEXT; k <= THINKING; k++) {
		s->at[k] = 0;
		s->attaching[k] = false;
	}
	buf_clear(&s->text);
	if (had) stream_tell(c, s, (struct core_event){.kind = CORE_EV_AGAIN, .err = s->info.err, .info = &s->info});
}

static void end(struct core *c, struct stream *s, enum err e)
{
	if (s->is_ended) return;
	s->is_ended = true;
	s->has_failed = e != OK;
	if (e == OK || s->info.err != e) err_set(&s->info, e, "%s", "");
	stream_tell(c, s,
		    (struct core_event){.kind = CORE_EV_END, .text = buf_str(&s->text), .err = e, .info = &s->info});
}

static void piece(struct core *c, struct stream *s, int kind, struct str text)
{
	s->attaching[kind] = false;
	if (text.n == 0) return;
	if (kind == TEXT && !buf_add_str(&s->text, text)) return; /* longer than any answer may be */
	s->at[kind] += (int64_t)text.n;
	stream_tell(c, s, (struct core_event){.kind = kind == TEXT ? CORE_EV_TEXT : CORE_EV_THINKING, .text = text});
}

static void attach(struct core *c, struct stream *s, int kind)
{
	struct buf b;
	struct ask *a;
	if (!c->is_welcome || s->attaching[kind]) return;
	s->attaching[kind] = true;
	struct jw w = frame_begin(c, &b, "message:attach", ASK_ATTACH, &a);
	a->where = xstrdup(s->request);
	jw_kstr(&w, "requestId", str_c(s->request));
	jw_kint(&w, "attempt", s->attempt);
	jw_kstr(&w, "kind", kind_words[kind]);
	jw_kint(&w, "offset", s->at[kind]);
	frame_send(c, &w);
}

/* ---- deltas ----------------------------------------------------------------------------------------------------- */

void stream_delta(struct core *c, const struct json *f)
{
	struct str request = text_of(f, "requestId"), text = text_of(f, "text"), message = text_of(f, "messageId");
	int64_t attempt = int_of(f, "attempt"), offset = int_of(f, "offset");
	int kind = str_eq(text_of(f, "kind"), kind_words[THINKING]) ? THINKING : TEXT;
	if (!name_is_valid(request) || attempt < 1 || offset < 0) return;
	struct stream *s = stream_get(c, request, STR(""));
	if (attempt < s->attempt || (s->is_ended && attempt == s->attempt)) return;
	if (s->message[0] == '\0' && name_is_valid(message)) text_set(&s->message, message);
	if (attempt > s->attempt) begin(c, s, attempt);
	if (offset > s->at[kind]) {
		attach(c, s, kind);
		return;
	}
	int64_t skip = s->at[kind] - offset;
	if (skip <= (int64_t)text.n) piece(c, s, kind, str_n(text.p + skip, text.n - (size_t)skip));
}

void stream_reset(struct core *c, const struct json *f)
{
	struct stream *s = stream_find(c, text_of(f, "requestId"));
	int64_t attempt = int_of(f, "attempt");
	if (s == NULL || attempt < s->attempt) return;
	if (attempt > s->attempt) {
		begin(c, s, attempt); /* its text comes by itself */
	} else if (!s->is_ended) {
		s->attaching[TEXT] = s->attaching[THINKING] = false;
		attach(c, s, TEXT);
	}
}

void stream_refused(struct core *c, struct str request, enum err e, const struct json *f)
{
	struct stream *s = stream_find(c, request);
	int64_t attempt = int_of(f, "attempt");
	if (s == NULL) return;
	s->attaching[TEXT] = s->attaching[THINKING] = false;
	if (e != ERR_SUPERSEDED || attempt <= s->attempt || s->is_ended) return;
	begin(c, s, attempt);
	attach(c, s, TEXT);
}

/* ---- states and records ----------------------------------------------------------------------------------------- */

static bool is_open(struct str state)
{
	static const struct str open[] = {STR_INIT("queued"), STR_INIT("claimed"), STR_INIT("streaming"),
					  STR_INIT("retrying")};
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		if (str_eq(state, open[i])) return true;
	return false;
}

void core_stream_state(struct core *c, struct str request, const struct json *fields)
{
	struct str state = text_of(fields, "state"), conversation = text_of(fields, "conversationId");
	int64_t attempt = int_of(fields, "attempt"), at = 0;
	const struct json *error = json_get(fields, "error");
	struct stream *s = stream_find(c, request);
	if (s == NULL && (!is_open(state) || seat_find(c, conversation) == NULL)) return;
	s = stream_get(c, request, conversation);
	if (attempt < s->attempt) return;
	bool has_error = json_type(error) == JSON_OBJ;
	enum err e = has_error ? read_error(error, &s->info, NULL) : ERR_PROVIDER;
	if (str_eq(state, STR("failed"))) {
		if (!has_error) err_set(&s->info, e, "%s", err_text(e));
		end(c, s, e);
	} else if (str_eq(state, STR("stopped"))) {
		end(c, s, ERR_CANCELLED);
	} else if (is_open(state) && s->is_ended && s->has_failed) {
		s->is_ended = s->has_failed = false; /* somebody asked for it again */
	}
	if (s->is_ended || !str_eq(state, STR("retrying")) || !time_parse(text_of(fields, "nextTryAt"), &at)) return;
	if (at == s->waiting_ms) return; /* the push and the record say the same */
	s->waiting_ms = at;
	stream_tell(c, s, (struct core_event){.kind = CORE_EV_WAITING, .err = e, .info = &s->info, .at_ms = at});
}

void stream_running(struct core *c, struct str conversation, const struct json *running)
{
	for (struct json_iter it = json_iter(running); json_next(&it);) {
		struct str request = text_of(it.val, "requestId"), message = text_of(it.val, "messageId");
		int64_t attempt = int_of(it.val, "attempt");
		if (!name_is_valid(request)) continue;
		struct stream *s = stream_get(c, request, conversation);
		if (name_is_valid(message)) text_set(&s->message, message);
		if (attempt > s->attempt) begin(c, s, attempt);
	}
}

/* The answer as it was stored. */
void stream_committed(struct core *c, const struct json *fields)
{
	struct stream *s = stream_find(c, text_of(fields, "requestId"));
	struct str text = text_of(fields, "text");
	if (s == NULL || s->is_ended || !str_eq(text_of(fields, "role"), STR("assistant"))) return;
	if (!str_starts(text, buf_str(&s->text))) begin(c, s, MAX(s->attempt, int_of(fields, "attempt")));
	size_t known = s->text.n;
	piece(c, s, TEXT, str_n(text.p + known, text.n - known));
	if (str_eq(text_of(fields, "status"), STR("complete"))) end(c, s, OK);
}

void stream_mine(struct core *c, struct str request, struct str conversation)
{
	stream_get(c, request, conversation)->mine = true;
}

void streams_offline(struct core *c)
{
	for (struct stream *s = c->streams; s != NULL; s = s->hh.next)
		s->attaching[TEXT] = s->attaching[THINKING] = false;
}
