/* The queue of a session as people see and control it: what runs, what waits and in which order, what failed for good.
 *
 * There is no list of its own on disk: the queue is the session's open Request records, ordered by class and then by the
 * commit of their messages (relay/lanes.c); whether it is paused is a field of the Session. So it is as durable as they
 * are. One command does it all: it looks, changes what was asked for in the same transaction, and hands out the queue as
 * it is then. With QUEUE_LIST it writes nothing and may run on a reader.
 *
 * A request that was stopped here while it waited is stopped as by request:stop: its message stays. What is running is not
 * touched, only named in `running`; whoever wants it stopped as well tells the relay. */
#ifndef ROOST_RELAY_QUEUE_H
#define ROOST_RELAY_QUEUE_H

#include "relay/commands.h"

#define QUEUE_DEAD_MAX 50 /* failed requests that are shown */

enum queue_verb {
	QUEUE_LIST,
	QUEUE_PAUSE, /* nothing more is begun until resumed; what runs goes on */
	QUEUE_RESUME,
	QUEUE_CLEAR,  /* stops everything that waits */
	QUEUE_REMOVE, /* stops one that waits: request_id */
	QUEUE_REORDER /* moves one that waits to another class: request_id, priority */
};

struct queue_list {
	struct job_info *list; /* in the op's arena */
	size_t n, cap;
};

/* ERR_NOT_FOUND: no such session (of this user), or no such request in it. ERR_SESSION_KILLED: next_id is the session
 * after it. ERR_BAD_STATE: the request does not wait (any more). */
struct cmd_queue {
	struct store_op op;
	/* in */
	enum queue_verb verb;
	int64_t user;
	struct str session_id;
	struct str of_conversation; /* or STR_NONE; instead of session_id, which is set to its current session */
	struct str request_id;
	int priority;
	int64_t incarnation;
	/* out */
	bool paused, changed; /* changed: it wrote something */
	struct str conversation_id;
	int64_t conv; /* its row */
	struct str next_id;
	struct queue_list running, waiting; /* waiting: in the order they will run */
	struct queue_list dead;             /* newest first, at most QUEUE_DEAD_MAX */
	bool dead_more;
	struct queue_list stopped; /* by this command */
	struct job_info moved;     /* QUEUE_REORDER */
};
enum err cmd_queue_run(struct txn *t, struct store_op *op);

/* {"paused":…,"running":[…],"waiting":[…],"dead":[…]} without the braces. */
void queue_write(struct jw *w, const struct cmd_queue *c);

/* After a commit: tells the relay what changed. */
struct relay;
void queue_tell_relay(const struct cmd_queue *c, struct relay *r, struct now now);

#endif
