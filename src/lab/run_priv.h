/* The inside of a run: run.c (the experiment), talker.c (one conversation), told.c (what its events change in the
 * manifest). */
#ifndef ROOST_LAB_RUN_PRIV_H
#define ROOST_LAB_RUN_PRIV_H

#include <sys/queue.h>

#include "host/call.h"
#include "lab/run.h"
#include "talk/pace.h"
#include "talk/turn.h"

#define AGENT_SESSIONS 200 /* bytes of an agent's own name of a conversation */

/* A conversation that is being held. */
struct talker {
	struct run *run;
	size_t index; /* in the manifest */
	struct conductor *conductor;
	struct lab_log *log;
	uv_timer_t backoff;
	bool is_paused; /* as its events say */

	/* The message that is out, or is to be. */
	enum { TALKER_IDLE, TALKER_WAITS, TALKER_CALLS, TALKER_BACKS_OFF } phase;
	int agent;
	int64_t turn_number;
	struct turn turn;
	struct arena memory; /* the view */
	struct conductor_view view;
	struct pace_waiter place;
	int64_t mark; /* of the writer: the lines before this message */
	bool is_held; /* it may go, when they are in the file */
	struct provider_call *call;
	int64_t asked_us; /* boot time at which it was first wanted */
	int64_t chunks;

	char sessions[LAB_AGENTS_MAX][AGENT_SESSIONS]; /* of command-line agents */
	TAILQ_ENTRY(talker) link, held_link;
};
TAILQ_HEAD(talkers, talker);

struct run_agent {
	struct pace_gate *gate;
	int provider;
	struct str title;  /* of its model, for people */
	struct str params; /* of its requests */
	bool is_paid_for;  /* a message that was made is not to be made again */
	bool takes_seed;   /* its requests carry the message's */
	struct str family;
	int64_t window, max_output, max_tokens;
};

struct run {
	struct run_options o;
	struct arena memory;
	struct manifest manifest;
	struct lab_writer *writer;
	struct pace *pace;
	struct run_agent agents[LAB_AGENTS_MAX];
	struct str conversation_config; /* ConversationStartEvent.config */
	struct rng rng;
	struct talkers talkers;         /* conversations that are being held */
	struct talkers held;            /* of them those whose message waits for the file only */
	size_t ntalkers, npaused, next; /* next: the first conversation that has not been taken up */
	uv_timer_t tick;                /* the line, and the manifest */
	uv_prepare_t pump;              /* what this turn of the loop made possible */
	uv_async_t disk;                /* the writer failed */
	uv_async_t wrote;               /* the writer has written */
	struct errinfo disk_info;
	uv_timer_t over; /* tells the end, from the loop */
	int nclosed;
	bool is_awake, ended;
	bool stopping, cut, paused; /* what was asked for, and is done in the next turn of the loop: */
	bool stop_due;
	enum { WISH_NONE, WISH_PAUSE, WISH_RESUME } wish;
	bool is_broken; /* `error` ended all of it: the files do not say everything */
	enum err error;
	struct errinfo info;
};

struct conductor_clock run_clock(void);
struct now run_now(void);
/* The line may have moved. */
void run_wake(struct run *r);
/* It does not wait for the file any more. */
void run_release(struct run *r, struct talker *t);
/* A conversation is over: another may be taken up. */
void run_talker_ended(struct run *r, struct talker *t);
/* Something that ends the whole experiment. */
void run_fail(struct run *r, enum err e, const struct errinfo *info);

/* Begins or continues conversation `index`. After an error it has no file and can only be freed. */
struct talker *talker_new(struct run *r, size_t index, enum err *out_err, struct errinfo *info);
void talker_step(struct talker *t); /* asks the conductor what is next, and does it */
void talker_go(struct talker *t);   /* its place in the line came up */
void talker_stop(struct talker *t, bool cut);
void talker_pause(struct talker *t);
void talker_resume(struct talker *t);
void talker_free(struct talker *t);

/* What an event changes in the manifest. */
void told(struct run *r, size_t index, const struct lab_event *e);
/* Its events are about to be told again from the first. */
void told_forget(struct run *r, size_t index);
/* It cannot be held, and no event of its own can say why. */
void told_lost(struct run *r, size_t index, const char *sentence);

#endif
