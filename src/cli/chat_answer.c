/* What is told of an answer, from three sources that overlap: deltas, the pushed state of the request, and the
 * committed Message and Request records. The rules are 3 and 4 at the top of chat.c. */
#include "base/clock.h"
#include "cli/chat_priv.h"

#define ENDED_KEPT 16 /* answers that are over and still remembered, so that late news of them changes nothing */

void answer_free(struct chat *c, struct answer *r)
{
	TAILQ_REMOVE(&c->answers, r, link);
	buf_release(&r->text);
	free(r->id);
	free(r);
}

/* Forgets the oldest of those that are over, but for the last few. */
static void answers_prune(struct chat *c)
{
	int ended = 0;
	struct answer *r, *next;
	TAILQ_FOREACH (r, &c->answers, link) ended += r->is_ended;
	for (r = TAILQ_FIRST(&c->answers); r != NULL && ended > ENDED_KEPT; r = next) {
		next = TAILQ_NEXT(r, link);
		if (!r->is_ended) continue;
		answer_free(c, r);
		ended--;
	}
}

struct answer *answer_find(struct chat *c, struct str id)
{
	struct answer *r;
	TAILQ_FOREACH (r, &c->answers, link)
		if (str_eq(str_c(r->id), id)) break;
	return r;
}

struct answer *answer_get(struct chat *c, struct str id)
{
	struct answer *r = answer_find(c, id);
	if (r != NULL) return r;
	answers_prune(c);
	r = xcalloc(1, sizeof *r);
	r->id = str_dup(id);
	buf_init(&r->text, FRAME_BYTES_MAX);
	TAILQ_INSERT_TAIL(&c->answers, r, link);
	return r;
}

void answer_send_stop(struct chat *c, struct answer *r)
{
	struct buf b;
	r->stop_wanted = true;
	if (!c->is_welcome || r->stop_sent) return;
	r->stop_sent = true;
	struct jw w = chat_frame_begin(c, &b, "request:stop", ASK_WISH, NULL);
	jw_kstr(&w, "requestId", str_c(r->id));
	chat_frame_send(c, &w);
}

static void answer_attach(struct chat *c, struct answer *r)
{
	struct buf b;
	if (!c->is_welcome || r->is_attaching) return;
	r->is_attaching = true;
	struct jw w = chat_frame_begin(c, &b, "message:attach", ASK_WISH, NULL);
	jw_kstr(&w, "requestId", str_c(r->id));
	jw_kint(&w, "attempt", r->attempt);
	jw_kstr(&w, "kind", STR("text"));
	jw_kint(&w, "offset", (int64_t)r->text.n);
	chat_frame_send(c, &w);
}

/* Another attempt's text is to come: what was told is no longer part of the answer. */
void answer_begin(struct chat *c, struct answer *r, int64_t attempt)
{
	bool had_text = r->text.n > 0;
	r->attempt = attempt;
	r->is_attaching = r->is_thinking = r->is_ended = r->has_failed = false;
	buf_clear(&r->text);
	if (had_text)
		chat_tell(c, (struct chat_event){
				     .kind = CHAT_AGAIN, .mine = r->mine, .err = r->info.err, .info = &r->info});
}

static void answer_end(struct chat *c, struct answer *r, enum err e)
{
	if (r->is_ended) return;
	r->is_ended = true;
	r->has_failed = e != OK;
	if (e == OK || r->info.err != e) err_set(&r->info, e, "%s", "");
	chat_tell(c, (struct chat_event){
			     .kind = CHAT_END, .text = buf_str(&r->text), .mine = r->mine, .err = e, .info = &r->info});
}

static void answer_text(struct chat *c, struct answer *r, struct str piece)
{
	buf_add_str(&r->text, piece);
	r->is_attaching = false;
	if (piece.n > 0) chat_tell(c, (struct chat_event){.kind = CHAT_TEXT, .text = piece, .mine = r->mine});
}

void answer_delta(struct chat *c, const struct json *f)
{
	struct str id = chat_text_of(f, "requestId"), text = chat_text_of(f, "text");
	int64_t attempt = chat_int_of(f, "attempt"), offset = chat_int_of(f, "offset");
	if (id.n == 0 || c->open_state != CONV_OPEN) return;
	struct answer *r = answer_get(c, id);
	if (attempt < r->attempt || (r->is_ended && attempt == r->attempt)) return;
	if (attempt > r->attempt) answer_begin(c, r, attempt);
	if (str_eq(chat_text_of(f, "kind"), STR("thinking"))) {
		if (!r->is_thinking) chat_tell(c, (struct chat_event){.kind = CHAT_THINKING, .mine = r->mine});
		r->is_thinking = true;
		return;
	}
	size_t known = r->text.n;
	if (offset < 0 || (size_t)offset > known) {
		answer_attach(c, r);
		return;
	}
	size_t skip = known - (size_t)offset;
	if (skip < text.n) answer_text(c, r, str_n(text.p + skip, text.n - skip));
}

/* What a Request record and a request:state push both say. */
void answer_state(struct chat *c, struct str id, const struct json *fields)
{
	struct str state = chat_text_of(fields, "state");
	int64_t attempt = chat_int_of(fields, "attempt");
	struct answer *r = answer_get(c, id);
	const struct json *error = json_get(fields, "error");
	if (attempt < r->attempt) return;
	bool has_error = json_type(error) == JSON_OBJ;
	enum err e = has_error ? chat_read_error(error, &r->info) : ERR_PROVIDER;
	if (str_eq(state, STR("failed"))) {
		if (!has_error) err_set(&r->info, e, "%s", err_text(e));
		answer_end(c, r, e);
	} else if (str_eq(state, STR("stopped"))) {
		answer_end(c, r, ERR_CANCELLED);
	} else if (str_eq(state, STR("retrying"))) {
		int64_t at = 0;
		if (r->is_ended || !time_parse(chat_text_of(fields, "nextTryAt"), &at)) return;
		chat_tell(c, (struct chat_event){
				     .kind = CHAT_WAITING, .mine = r->mine, .err = e, .info = &r->info, .at_ms = at});
	} else if (!str_eq(state, STR("done")) && r->is_ended && r->has_failed) {
		r->is_ended = r->has_failed = r->stop_wanted = r->stop_sent = false; /* someone asked for it again */
	}
	if (!r->is_ended && r->stop_wanted) answer_send_stop(c, r);
}

/* The committed answer: tells what is still missing of it. */
void answer_committed(struct chat *c, struct answer *r, const struct json *fields)
{
	struct str text = chat_text_of(fields, "text");
	if (!str_starts(text, buf_str(&r->text))) answer_begin(c, r, r->attempt);
	size_t known = r->text.n;
	answer_text(c, r, str_n(text.p + known, text.n - known));
	if (str_eq(chat_text_of(fields, "status"), STR("complete"))) answer_end(c, r, OK);
}

void answer_reset(struct chat *c, const struct json *f)
{
	struct answer *r = answer_find(c, chat_text_of(f, "requestId"));
	int64_t attempt = chat_int_of(f, "attempt");
	if (r == NULL || r->is_ended || attempt < r->attempt) return;
	r->is_attaching = false;
	if (attempt > r->attempt) answer_begin(c, r, attempt); /* its text comes by itself */
	else answer_attach(c, r);
}
