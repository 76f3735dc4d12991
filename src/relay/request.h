/* A Request record as the relay reads and writes it.
 *
 * On disk a request is `queued`, `claimed`, `retrying`, `done`, `failed` or `stopped`; `streaming` is a claimed one whose
 * first text has arrived and is only ever seen live, so that a request costs two commits and not three. The record's
 * state column is set while it is open, which is what the queue is: there is no other list of work on disk.
 *
 * Fence: `attempt` grows with every claim, `owner` is the incarnation of the daemon that made it. Whoever wants to finish
 * an attempt must name both, inside the write transaction; a daemon that comes back after another has claimed finds
 * them changed. */
#ifndef ROOST_RELAY_REQUEST_H
#define ROOST_RELAY_REQUEST_H

#include "base/json.h"
#include "provider/rates.h"
#include "record/record.h"
#include "talk/turn.h"

enum request_state { RQ_NONE, RQ_QUEUED, RQ_CLAIMED, RQ_RETRYING, RQ_DONE, RQ_FAILED, RQ_STOPPED };
static inline bool request_is_open(enum request_state s) { return s >= RQ_QUEUED && s <= RQ_RETRYING; }
struct str request_state_name(enum request_state s);
/* The request of a message. Message ids are the devices' own, so two users may use the same one: the user's id goes in. */
struct id request_id_of(struct str user_id, struct str message_id);

/* Classes of a session's queue: all of a lower number go before a higher one. */
enum { PRIORITY_HIGH = 0, PRIORITY_NORMAL = 1, PRIORITY_LOW = 2 };

struct request {
	struct str conversation_id, session_id, message_id, reply_id;
	struct str device_id; /* who asked */
	enum request_state state;
	int64_t attempt; /* of the running or last attempt; 0 before the first */
	int64_t base;    /* attempts up to this one do not count any more, see talk/turn.h */
	int64_t owner;   /* incarnation that claimed it; 0 none */
	int priority;    /* its class in the session's queue, PRIORITY_…; in the fields only when it is not normal */
	bool stop_requested;
	struct str model, params; /* params: a JSON object, "" none */
	struct str preset;        /* that had a part in them, "" none */
	struct str fallback;      /* a JSON array of models, "" none */
	int64_t step;             /* how many of them it has come to */
	struct str asked,
		model_by;   /* the model's name as it was asked for and how that became `model`; "" it is the same */
	struct str serving; /* the model that is asked now: `model`, or that one of `fallback` */
	int64_t queued_ms, last_started_ms, last_completed_ms, next_try_ms; /* wall; 0 none */
	int64_t failing_ms;                /* since when it fails, wall; 0 it does not */
	struct str error_code, error_text; /* of the last failure */
	struct call_usage usage;           /* of the last attempt that is known */
	int64_t cost_ticks;                /* of all attempts; -1 not known of any */
	bool is_billed;                    /* the providers said it, of all of them */
	bool is_cost_partial;              /* of some it is not known */
	struct str attempts; /* JSON array of the finished attempts, newest last, at most REQUEST_ATTEMPTS_KEPT */
};
#define REQUEST_ATTEMPTS_KEPT 16

/* Strings are views into the record's fields or copies in `arena`. ERR_CORRUPT when the fields are not a request's. */
MUST_USE enum err request_read(struct request *q, const struct record *r, struct arena *arena);
/* "usage":{…}, or nothing when it is not known. */
void request_write_usage(struct jw *w, const struct call_usage *u);
/* "cost":{…}, or nothing when it is not known. */
void request_write_cost(struct jw *w, const struct request *q);
/* What another attempt has used. */
void request_add_usage(struct request *q, const struct call_usage *u);
/* Sets r->fields (in the arena) and r->state. */
void request_write(const struct request *q, struct record *r, struct arena *arena);

#define REQUEST_FALLBACKS_MAX 4
/* Is there another model to go to? */
bool request_has_fallback(const struct request *q);
/* Goes to it: step and serving. */
void request_fall_back(struct request *q, struct arena *arena);

/* What there was to wait for before a call could begin. */
enum pacing_why { PACED_NOT, PACED_CIRCUIT, PACED_RATE /* + enum rate */ };
struct str pacing_name(int why); /* "circuit", "requests", "tokens", "input_tokens", "output_tokens" */

/* How an attempt ended, for the list. */
struct attempt_end {
	struct turn_times times;
	struct str outcome; /* "done", "failed", "stopped", "interrupted" */
	enum err err;
	enum fail fail;
	struct str error_text;
	struct str provider_id; /* the provider's name for the call, "" unknown */
	struct call_context context;
	struct call_usage usage;
	int waited_for; /* pacing_why */
	int64_t waited_ms;
	int64_t bytes;     /* of text it produced */
	bool session_lost; /* the agent didn't know the session it was to go on with, and began anew */
};
void request_add_attempt(struct request *q, const struct attempt_end *e, struct arena *arena);

#endif
