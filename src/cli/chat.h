/* The inside of `roost chat`: one device of libroost, and what a terminal shows of it.
 *
 * libroost knows the protocol, the outbox and the records; here is only what a person at a terminal sees of them:
 *   chat_show.c      what goes to the terminal
 *   chat_answer.c    the answers of the open conversation: shown, stopped, asked for again
 *   chat_why.c       what a request waits for, and what is to be said of an answer besides its text
 *   chat_question.c  what command-line agents ask: may this tool be used?
 *   chat_room.c      which conversation is open, its messages, what is said in it
 *   chat_words.c     the lines that begin with a slash
 *   cmd_chat.c       the command: its options, its loop, the connection
 * With `screen` a person types. Without, it is one message, or a list; then only what belongs to that is shown.
 *
 * Everything on the loop's thread. Text from elsewhere goes to the terminal through chat_show alone. */
#ifndef ROOST_CLI_CHAT_H
#define ROOST_CLI_CHAT_H

#include <sys/queue.h>
#include <uthash.h>
#include <uv.h>

#include "cli/identity.h"
#include "cli/screen.h"
#include "cli/term.h"

#define CHAT_ROWS 20 /* of a list */
#define CHAT_STATUS_INTERRUPTED 130

/* A request of the open conversation, and the text of its answer. */
struct chat_answer {
	TAILQ_ENTRY(chat_answer) link;
	char *request;
	int64_t attempt;
	struct buf text; /* of this attempt */
	size_t shown;    /* bytes of it */
	bool is_ended, is_thinking, stop_wanted;
	struct errinfo info; /* with is_ended: why it has failed, OK it has not */
	int64_t tried;       /* the last attempt that was told of */
	int64_t paced_at;    /* the end of a wait that was told; 0 none */
	char *asked, *by;    /* the model that was asked, and who is to answer; NULL not known */
	bool is_by_told;     /* that these are not the same */
	bool is_remarked;    /* what is to be said of it was said */
	char *kept;          /* a line that is shown when it is known to be about the one message; NULL */
};

/* An open question of a command-line agent in the open conversation. */
struct chat_question {
	TAILQ_ENTRY(chat_question) link;
	char *name, *who, *tool;
	char *input; /* the tool's, as a person reads it */
	int64_t expires_at;
};

/* A message that was shown or sent here, and the stamp of its text then. */
struct chat_told {
	UT_hash_handle hh;
	char *stamp;
	char name[];
};

struct chat {
	struct cli *cli;
	uv_loop_t loop;
	struct identity identity;
	roost *device; /* the identity's */

	struct screen *screen; /* NULL: one message, or a list */
	int tty_in;            /* of the screen, -1 none */
	uv_poll_t input;
	uv_timer_t patience; /* how long something is waited for */
	uv_signal_t sigint, sigwinch, sigcont, sigterm;
	struct buf typed; /* lines that ended in a backslash */
	bool interrupted; /* by the last Ctrl-C */
	bool in_answer;   /* text of an answer is being shown */
	bool streams;     /* stdout is a terminal */
	bool lists, json; /* --list, --json */
	struct jw list;   /* of --json */
	int status;       /* the command's */

	bool is_online, was_online, was_in_use, told_down, was_renewed;
	const char *wanted; /* the conversation to open at the beginning: an id, "last", "new" */
	bool is_open;
	char *conversation; /* "" not known yet */
	char *driver;       /* of it: the device that is primary, as last known; NULL not known */
	char *forget;       /* a session that was cleared here, to be forgotten when its end has come; NULL none */
	bool clears;        /* the next clear is this terminal's */
	char *model;        /* "" the daemon's default */
	struct str params;  /* a JSON object, "" none */
	struct str message; /* the one message, or p NULL */
	bool is_said;       /* it is in the outbox */
	char said[ROOST_ID_SIZE];
	char *request;         /* the one message's; NULL not known yet */
	bool stop_next;        /* the next request that is known is to be stopped */
	uint64_t waited;       /* the entry of the outbox that was said to wait */
	uint64_t drive, retry; /* ops whose refusal is shown */
	char *listed[CHAT_ROWS];
	uint64_t held[CHAT_ROWS];
	struct chat_told *told;
	TAILQ_HEAD(, chat_answer) answers;
	TAILQ_HEAD(chat_questions, chat_question) questions; /* the first is the one that is shown */
	char *aimed;         /* the question that was shown when the line was begun that is being typed; NULL none */
	uint64_t permission; /* the op of its answer */
};

/* What stands in front of the line. */
void chat_prompt(struct chat *c);
/* Ends the command, when the loop comes to it. */
void chat_leave(struct chat *c, int status);
/* The one message waits: for a minute from now, unless it does already. */
void chat_wait(struct chat *c);

/* chat_show.c */
/* Text from elsewhere, cleaned, with a style of ours around it. */
void chat_show(struct chat *c, enum term_style style, struct str text, int flags);
/* A line of ours. */
void chat_note(struct chat *c, enum term_style style, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* What somebody said; who "" the model. */
void chat_show_said(struct chat *c, struct str who, bool mine, struct str text);
/* The name of a device, or "another device". Free it. */
char *chat_device_name(const struct chat *c, const char *id);
/* A row of a list: its number, what stands before the text, the text on one line. */
void chat_show_row(struct chat *c, int number, const char *before, struct str text);

/* chat_answer.c */
bool chat_answer_event(struct chat *c, const roost_event *e); /* false: not about an answer */
/* A message of a model was stored. `is_all`: its answer is complete. False: its text comes, or came, in pieces. */
bool chat_answer_stored(struct chat *c, struct str request, struct str text, bool is_all);
/* {"running": […]} of a conversation that was joined. */
void chat_answer_running(struct chat *c, const struct json *list);
void chat_answers_joined(struct chat *c); /* the conversation was joined */
/* This request answers a message of this terminal. */
void chat_answer_asked(struct chat *c, const char *request);
bool chat_stop(struct chat *c);  /* false: nothing runs or waits, or it was asked to stop before */
bool chat_retry(struct chat *c); /* false: no answer has failed here */
/* A line about it: now, or as soon as it is known to be the one message's. */
void chat_answer_note(struct chat *c, struct chat_answer *a, const char *text);
void chat_answers_online(struct chat *c);
void chat_answers_clear(struct chat *c);

/* chat_why.c */
/* Of a state of a request, its fields or what was pushed. */
void chat_why(struct chat *c, struct chat_answer *a, const char *state, const struct json *fields);
/* ", attempt 3, X instead of Y": the try that comes. */
void chat_why_again(const struct chat_answer *a, struct buf *out);

/* chat_question.c */
/* A Permission record. */
void chat_question_record(struct chat *c, const char *conversation, const char *name, const struct json *fields);
void chat_questions_open(struct chat *c); /* those of the conversation that is being opened */
void chat_questions_clear(struct chat *c);
void chat_question_key(struct chat *c); /* something was typed */
/* Answers the question that was shown when the line was begun. False: there was none. `why`: with a no, for the agent. */
bool chat_question_answer(struct chat *c, bool allow, struct str why);
bool chat_question_line(struct chat *c, struct str line); /* takes y and n while one is shown; false: not taken */

/* chat_room.c */
/* Opens what `wanted` names, from what the device knows. ERR_NOT_FOUND. */
MUST_USE enum err chat_begin(struct chat *c);
void chat_open_new(struct chat *c);
/* False: there is no such conversation, and the open one stays. */
bool chat_open(struct chat *c, const char *id);
/* The conversations, newest first; a person can open them by their number then. */
void chat_list(struct chat *c);
void chat_say(struct chat *c, struct str text);
void chat_room_event(struct chat *c, const roost_event *e);
void chat_room_close(struct chat *c); /* frees */

/* chat_words.c */
void chat_word(struct chat *c, struct str line);

#endif
