/* A terminal's side of the device protocol, without the terminal and without the socket.
 *
 * Frames and a person's wishes go in; frames to send and events to show come out, through two hooks, during the call.
 * It knows one open conversation, the requests of it that are not over, and an outbox. What it promises:
 *  - A message keeps its id from the moment it is said until it is acknowledged, over any number of connections.
 *  - The text of an answer is told once, in order, from its first byte: a repeated delta is skipped, a gap is asked
 *    for, and a new attempt is announced by CHAT_AGAIN before its first text. Two attempts are never spliced.
 *  - Each request ends with one CHAT_END, whether the daemon's record, its push or both have told of it.
 *
 * Pure but for new ids (random): no I/O, no clock; the time is an argument. Calls from within a hook are not allowed.
 * */
#ifndef ROOST_CLI_CHAT_H
#define ROOST_CLI_CHAT_H

#include "base/id.h"
#include "base/json.h"

struct chat;

enum chat_kind {
	CHAT_READY,    /* connected, and the conversation is known: `text` is its id, "" a new one */
	CHAT_OPENED,   /* a conversation was opened: `text` is its title */
	CHAT_MESSAGE,  /* a message of a person: `who` is the device, `mine` when it is this one */
	CHAT_OLD,      /* the same from before the conversation was opened; answers too, with who "" */
	CHAT_TEXT,     /* the next piece of an answer */
	CHAT_THINKING, /* the model thinks; once per attempt */
	CHAT_AGAIN,    /* a new attempt begins; text told so far was of another, which failed with `err` */
	CHAT_WAITING,  /* an attempt failed with `err`; the daemon tries again at `at_ms` */
	CHAT_END,      /* an answer is over: err OK, ERR_CANCELLED (stopped) or why it failed; `text` is all of it */
	CHAT_REFUSED, /* a message or a wish was not taken: why is in `err` and `info`; `text` is the message's or "" */
	CHAT_LISTED, /* one conversation of chat_list: `number`, `text` its title, `who` its id, `at_ms` last changed */
	CHAT_LIST_END
};

struct chat_event {
	enum chat_kind kind;
	struct str who, text; /* as they came: not yet safe for a terminal */
	bool mine;            /* a message of this device, or an answer to one */
	enum err err;
	const struct errinfo *info; /* with err; never NULL then */
	int64_t at_ms;
	int number;
};

struct chat_hooks {
	void (*send)(void *ctx, struct str frame);
	void (*event)(void *ctx, const struct chat_event *e);
	void *ctx;
};

struct chat_options {
	struct str device_id, name; /* of this device */
	struct str conversation;    /* an id; "last"; "new" */
	struct str model;           /* "" the daemon's default */
	struct str params;          /* a JSON object, "" none */
	struct str cursor;          /* from chat_cursor of an earlier life, "" none */
	int history;                /* messages to tell of when a conversation is opened */
};

struct chat *chat_new(const struct chat_options *o, const struct chat_hooks *h); /* copies the strings */
void chat_free(struct chat *c);

/* The connection. After chat_up the first frame is sent; after chat_down nothing is, until the next chat_up. */
void chat_up(struct chat *c);
void chat_down(struct chat *c);
void chat_frame(struct chat *c, struct str frame);

/* A person's wishes. */
void chat_say(struct chat *c, struct str text, int64_t now_ms);
bool chat_stop(struct chat *c);  /* false: nothing runs, or it was asked to stop before */
bool chat_retry(struct chat *c); /* the last answer that failed or was stopped; false: there is none */
void chat_list(struct chat *c);
/* A conversation by id, by the number that chat_list gave it, or "new". False: no such number. */
bool chat_open(struct chat *c, struct str which, int64_t now_ms);
void chat_set_model(struct chat *c, struct str model);
/* Sends again what was refused for a while (overloaded, storage_full). */
void chat_resend(struct chat *c);

bool chat_is_running(const struct chat *c); /* something is unsent, unanswered or being answered */
struct str chat_model(const struct chat *c);
struct str chat_conversation(const struct chat *c); /* "" not yet known */
struct str chat_cursor(const struct chat *c);       /* "" none */

#endif
