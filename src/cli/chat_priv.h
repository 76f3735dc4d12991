/* The inside of chat.h: what chat.c (frames, conversations, the outbox) and chat_answer.c (requests and the text that
 * answers them) share. */
#ifndef ROOST_CLI_CHAT_PRIV_H
#define ROOST_CLI_CHAT_PRIV_H

#include "cli/chat.h"

#include <sys/queue.h>
#include <uthash.h>

#define FRAME_BYTES_MAX ((size_t)32 << 20)
#define LIST_ROWS 20

enum open_state { CONV_UNKNOWN, CONV_NEW, CONV_LOADING, CONV_OPEN };
enum ask_kind { ASK_HELLO, ASK_NAMES, ASK_LAST, ASK_TITLE, ASK_HISTORY, ASK_JOIN, ASK_LIST, ASK_SEND, ASK_WISH };

struct ask {
	int64_t id;
	enum ask_kind kind;
	struct id message; /* ASK_SEND: which of the outbox */
	TAILQ_ENTRY(ask) link;
};

struct outgoing {
	struct id id;
	char *conversation; /* NULL until it is known */
	char *text;
	bool is_sent;   /* on this connection */
	bool is_resent; /* it may have been taken on an earlier one, and answered since */
	TAILQ_ENTRY(outgoing) link;
};

struct answer {
	char *id;
	int64_t attempt;
	struct buf text; /* of this attempt, as told */
	bool mine, is_ended, is_thinking, is_attaching, stop_wanted, stop_sent, has_failed;
	struct errinfo info; /* of the last failure */
	TAILQ_ENTRY(answer) link;
};

struct told {
	UT_hash_handle hh;
	char name[];
};

struct device_name {
	char *id, *name;
	LIST_ENTRY(device_name) link;
};

struct chat {
	struct chat_hooks hooks;
	char *device_id, *name, *model, *params, *cursor;
	int history;
	bool is_welcome, stop_next;
	int64_t next_id;
	enum open_state open_state;
	char *conversation; /* NULL unknown */
	bool is_joined;
	int64_t history_ord;     /* the newest place when the conversation was opened */
	char *listed[LIST_ROWS]; /* ids of the last chat_list */
	struct told *told;
	struct buf early; /* changes that came while loading: JSON arrays, one a line */
	TAILQ_HEAD(, ask) asks;
	TAILQ_HEAD(, outgoing) outbox;
	TAILQ_HEAD(, answer) answers;
	LIST_HEAD(, device_name) devices;
};

/* Members of a frame or record; "" and 0 when they are not there. */
struct str chat_text_of(const struct json *obj, const char *key);
int64_t chat_int_of(const struct json *obj, const char *key);
/* {"code","message"} of an error frame or a request's error. */
enum err chat_read_error(const struct json *error, struct errinfo *info);
void chat_tell(struct chat *c, struct chat_event e);
/* A frame with a fresh id, remembered for its answer. End it with chat_frame_send. */
struct jw chat_frame_begin(struct chat *c, struct buf *b, const char *type, enum ask_kind kind, struct ask **out);
void chat_frame_send(struct chat *c, struct jw *w);

/* chat_answer.c */
struct answer *answer_find(struct chat *c, struct str request_id); /* NULL: none */
struct answer *answer_get(struct chat *c, struct str request_id);
void answer_free(struct chat *c, struct answer *r);
void answer_begin(struct chat *c, struct answer *r, int64_t attempt); /* another attempt: from no text */
void answer_send_stop(struct chat *c, struct answer *r);
void answer_delta(struct chat *c, const struct json *frame);
void answer_reset(struct chat *c, const struct json *frame);
/* What a Request record and a request:state push both say. */
void answer_state(struct chat *c, struct str request_id, const struct json *fields);
/* The committed Message: tells what is still missing of it. */
void answer_committed(struct chat *c, struct answer *r, const struct json *fields);

#endif
