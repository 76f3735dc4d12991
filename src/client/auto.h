/* The engine of an automatic run: what the primary device says after each answer, and when it stops.
 *
 * It is fed with what the device knows of one session, in any order and as often as one likes, and asked what to do. The
 * daemon keeps the run (record/run.h), counts it and ends it at its limits; the engine looks at what was answered. It
 * keeps nothing that a successor needs: a device that becomes primary feeds its own engine with the Session record and the
 * messages it has, and goes on with the answer that was not followed yet.
 *
 * For the newest complete answer, which nobody has followed, in this order:
 *  1. a showstopper: stop (showstopper)                                                  every mode
 *  2. a stop phrase, as whole words, case and all: stop (completion)                     every mode
 *  3. of the last five answers three failed or spoke of errors: stop (error)             every mode
 *  4. it is complete enough, by mode and sensitivity: stop (completion)                  smart_stop, until_completion,
 *  5. it is like the answers before it: stop (stuck)                                     hybrid of which the first counts
 *  6. something to say is found (below): send it; else pause (low_confidence)
 * A request that failed for good pauses the run (error), or the third of five stops it.
 *
 * completion     1 strong, in two answers running   2 strong   3 moderate in two running, or strong   4 moderate   5 weak
 * likeness over  .95                                .9         .8                                     .8           .7
 * `until_completion` takes strong only, whatever the sensitivity.
 *
 * What to say: the first rule whose phrase the answer has; else a template for the answer's intent, else one for any, in
 * turn by the number of messages sent, so that a successor goes on in the list; else the app is asked (`model`).
 * {sent}, {max}, {mode}, {intent} and the names in `vars` are replaced; what has no value stays as it is.
 *
 * params of auto:start, all optional (the daemon keeps them as they are):
 *   stopPhrases  [text]      instead of TASK_COMPLETE, NO_MORE_WORK, FINISHED, ALL_DONE, STOP_AUTO
 *   sensitivity  1–5         3
 *   stuckWindow  2–5         3 answers that must be alike
 *   rules        [{when: text or [text], say: text}]     when "*" is any answer
 *   templates    [text or {for: intent, say: text}]      without rules, templates and model: built-in ones
 *   vars         {name: text}
 *   model        true        ask the app when nothing else is found
 *   opening      text        said when the conversation has no message yet
 *   request      object      of the messages sent; {} when left out
 *
 * Pure: no I/O, no clock. Strings given are copied; those handed out live until the next call. One thread. */
#ifndef ROOST_CLIENT_AUTO_H
#define ROOST_CLIENT_AUTO_H

#include "base/json.h"
#include "client/auto_text.h"
#include "record/run.h"

struct auto_engine;
struct auto_engine *auto_new(void);
void auto_free(struct auto_engine *e);

/* ---- what the device knows -------------------------------------------------------------------------------------- */

/* `auto` of the Session record, NULL none. A higher number is a new run: what was known of answers stays. */
void auto_run(struct auto_engine *e, const struct json *automatic);
void auto_primary(struct auto_engine *e, bool is_primary, int64_t term);
/* A message of the session: role user (written by a person or the run) or assistant. One that is known changes nothing. */
struct auto_message {
	struct str id, role, status, text;
	int64_t ord;
};
void auto_message(struct auto_engine *e, const struct auto_message *m);
/* The request that would have answered the message at this place failed for good. */
void auto_failed(struct auto_engine *e, int64_t ord);
/* Text for AUTO_ASK; empty: there is none. Of another answer than the newest: ignored. */
void auto_text(struct auto_engine *e, struct str answer_id, struct str text);
/* What auto_next had asked for was refused or could not be done: it is thought over anew. */
void auto_again(struct auto_engine *e);

/* ---- what to do ------------------------------------------------------------------------------------------------- */

enum auto_what {
	AUTO_NOTHING, /* until something new is known */
	AUTO_SEND,    /* message:send {text, parent, term, auto: true, request} */
	AUTO_ASK,     /* the app is to find a text for the answer `parent`, and give it to auto_text */
	AUTO_PAUSE,   /* auto:pause {reason, term} */
	AUTO_STOP     /* auto:stop {reason, term} */
};
struct auto_intent {
	enum auto_what what;
	struct str text;            /* SEND */
	struct str parent;          /* SEND, ASK: the answer; "" the opening */
	struct str request;         /* SEND: a JSON object */
	int64_t term;               /* the device's, for the daemon to judge */
	enum run_reason reason;     /* PAUSE, STOP */
	struct str because;         /* PAUSE, STOP: the phrase or the word that decided, for a person; may be "" */
	struct reading reading;     /* of the answer */
	struct str answer;          /* ASK: its text */
	int64_t sent, max_messages; /* ASK */
};
/* Each thing is asked for once; then AUTO_NOTHING until an input changes that. */
struct auto_intent auto_next(struct auto_engine *e);

#endif
