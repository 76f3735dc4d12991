/* What a daemon had promised by each moment of a log: read from the bytes that left it.
 *
 * A promise is made when the system call that carries its last byte begins. There are five kinds: an ack (the message is
 * kept, once), a delta (this text of an answer is kept), a record that was pushed (it is at least this new), a credential
 * (it opens the door), and an attachment (its bytes are there). Sockets are told apart by inode; each is HTTP until a 101, and unmasked WebSocket
 * frames from there on. */
#ifndef ROOST_TEST_CRASH_PROMISES_H
#define ROOST_TEST_CRASH_PROMISES_H

#include "base/json.h"
#include "crash/images.h"
#include "record/record.h"
#include "store/store.h"

enum promise_kind { P_ACK, P_DELTA, P_RECORD, P_TOKEN, P_ASSET, P_KINDS };

struct promise {
	enum promise_kind kind;
	size_t at;          /* the place of the send */
	struct str id;      /* message, request, record, token or hash */
	struct str type;    /* P_RECORD: its type */
	struct str request; /* P_ACK: of the request that was made with it, or STR_NONE */
	struct str text;    /* P_DELTA */
	int64_t number;     /* P_DELTA: offset; P_RECORD: place of its change */
	int64_t attempt;
	enum stream_kind stream;
};

struct promises {
	struct promise *list;
	size_t n;
	struct arena arena;
};

struct wire {
	uint64_t inode;
	bool is_ws;
	struct buf in;
};

static struct promise *promise_add(struct promises *ps, enum promise_kind kind, size_t at, struct str id)
{
	struct promise *p = PUSH(ps->list, ps->n);
	p->kind = kind;
	p->at = at;
	p->id = arena_str(&ps->arena, id);
	return p;
}

static void take_records(struct promises *ps, size_t at, const struct json *list)
{
	for (struct json_iter it = json_iter(list); json_next(&it);) {
		struct str name, type, tag;
		int64_t seq;
		if (!json_str(json_get(it.val, "name"), &name) || !json_str(json_get(it.val, "type"), &type) ||
		    !json_str(json_get(it.val, "changeTag"), &tag) || !tag_parse(tag, &seq))
			die(65, "a pushed record without name, type or tag");
		struct promise *p = promise_add(ps, P_RECORD, at, name);
		p->type = arena_str(&ps->arena, type);
		p->number = seq;
	}
}

static void take_object(struct promises *ps, size_t at, const struct json *o)
{
	struct str type, id, text, kind = STR("text");
	if (json_str(json_get(o, "token"), &id)) promise_add(ps, P_TOKEN, at, id);
	if (json_str(json_get(o, "sha256"), &id)) promise_add(ps, P_ASSET, at, id);
	if (!json_str(json_get(o, "type"), &type)) return;
	if (str_eq(type, STR("message:ack")) && json_str(json_get(o, "messageId"), &id)) {
		struct promise *p = promise_add(ps, P_ACK, at, id);
		if (json_str(json_get(o, "requestId"), &text)) p->request = arena_str(&ps->arena, text);
	} else if (str_eq(type, STR("message:delta")) && json_str(json_get(o, "requestId"), &id) &&
		   json_str(json_get(o, "text"), &text)) {
		struct promise *p = promise_add(ps, P_DELTA, at, id);
		p->text = arena_str(&ps->arena, text);
		if (!json_int(json_get(o, "offset"), &p->number) || !json_int(json_get(o, "attempt"), &p->attempt))
			die(65, "a delta without offset or attempt");
		json_str(json_get(o, "kind"), &kind);
		p->stream = str_eq(kind, STR("thinking")) ? STREAM_THINKING : STREAM_TEXT;
	} else if (str_eq(type, STR("session:changes"))) {
		take_records(ps, at, json_get(o, "records"));
	}
}

static void take_json(struct promises *ps, size_t at, struct str text)
{
	struct json_doc *doc;
	if (text.n == 0 || text.p[0] != '{' || json_parse(text, &doc, NULL) != OK) return;
	take_object(ps, at, json_root(doc));
	json_free(doc);
}

/* One whole frame at the front of the buffer; false when there is none yet. */
static bool take_frame(struct promises *ps, struct wire *w, size_t at)
{
	const unsigned char *p = (const unsigned char *)w->in.p;
	size_t n = w->in.n, head = 2;
	if (n < 2) return false;
	uint64_t len = p[1] & 0x7f;
	size_t wide = len == 126 ? 2 : len == 127 ? 8 : 0;
	if (n < head + wide) return false;
	if (wide > 0) len = 0;
	for (size_t i = 0; i < wide; i++) len = len << 8 | p[head + i];
	head += wide;
	if (n - head < len) return false;
	if ((p[0] & 0x0f) == 1) take_json(ps, at, str_n(w->in.p + head, len));
	buf_drop(&w->in, head + len);
	return true;
}

static void take_sent(struct promises *ps, struct wire *w, size_t at, struct str bytes)
{
	buf_add_str(&w->in, bytes);
	if (!w->is_ws) {
		const char *end = memmem(w->in.p, w->in.n, "\r\n\r\n", 4);
		if (end == NULL) return;
		w->is_ws = str_starts(buf_str(&w->in), STR("HTTP/1.1 101"));
		size_t head = (size_t)(end + 4 - w->in.p);
		if (!w->is_ws) {
			take_json(ps, at, str_n(w->in.p + head, w->in.n - head));
			buf_clear(&w->in);
			return;
		}
		buf_drop(&w->in, head);
	}
	while (take_frame(ps, w, at)) {
	}
}

/* What a send's system call took of its bytes; all of them when the log ends before it returned. */
static size_t taken_of(const struct images *im, size_t at)
{
	for (size_t i = at + 1; i < im->nrecords; i++) {
		const struct log_rec *r = &im->records[i].rec;
		if (r->kind == LOG_SENT && r->file == im->records[at].rec.file) return r->off > 0 ? (size_t)r->off : 0;
	}
	return im->records[at].data.n;
}

static void promises_read(struct promises *ps, const struct images *im)
{
	struct wire *wires = NULL;
	size_t nwires = 0;
	for (size_t at = 0; at < im->nrecords; at++) {
		const struct record_view *v = &im->records[at];
		if (v->rec.kind != LOG_SEND) continue;
		size_t k = 0;
		while (k < nwires && wires[k].inode != v->rec.file) k++;
		if (k == nwires) {
			*PUSH(wires, nwires) = (struct wire){.inode = v->rec.file, .in = BUF_INIT(BUF_NO_LIMIT)};
		}
		take_sent(ps, &wires[k], at, str_n(v->data.p, taken_of(im, at)));
	}
	for (size_t k = 0; k < nwires; k++) buf_release(&wires[k].in);
	free(wires);
}

#endif
