/* Inside the relay: what its files share. Nothing else includes this.
 *
 *   relay.c    a request's way from admission to its end
 *   lanes.c    which request runs next: order within a conversation, turns between users, free slots
 *   gates.c    whether it may be called now: limits of models and providers, circuits
 *   due.c      who waits for a time
 *   pump.c     what streams goes to disk and is published
 *   recover.c  what an earlier daemon left, the sweep, the watchdog
 *
 * A name that begins with relay_ or job_ here is one of these files' own and is not for the host. One thread. */
#ifndef ROOST_RELAY_RELAY_PRIV_H
#define ROOST_RELAY_RELAY_PRIV_H

#include <uthash.h>

#include "relay/relay.h"

#define COMMAND_RETRY_MS 1000 /* a command that met a full disk is tried again this much later */

enum where { QUEUED, CLAIMING, RUNNING, ENDING, WAITING };

struct lane;
struct gate;
struct job {
	struct arena arena; /* the strings of `request` */
	struct str id;
	int64_t row, conv, user;
	uint32_t zone;
	struct request request;
	struct turn turn;
	enum where where;
	int provider;
	bool holds_slot, stop_wanted, dirty, paused;
	void *call;               /* while RUNNING */
	size_t sent[TURN_KINDS];  /* bytes handed to the pump */
	size_t shown[TURN_KINDS]; /* bytes committed and published */
	int64_t first_chunk;      /* id of this attempt's first chunk, 0 none yet */
	int64_t due_boot_ms;      /* WAITING, or ENDING whose command must be tried again; 0 none */
	struct cmd_finish *retry_finish;
	enum err end_err; /* of the attempt that is ENDING */
	enum fail end_fail;
	struct str call_id;                 /* the provider's name for its call, "" unknown */
	struct gate *gate;                  /* of the model that is asked now */
	int64_t view_tokens, answer_tokens; /* what it is expected to take; view_tokens 0: not loaded yet */
	struct charge charge;               /* CLAIMING to the end of the call: what it is counted as */
	bool is_probe;                      /* its call decides whether the provider works again */
	bool is_untold;                     /* it waits, and nobody was told whether for its provider */
	int64_t wait_boot_ms;               /* it has been told since then that it waits, 0 it has not */
	int waits_for;                      /* pacing_why */
	int64_t waited_ms;                  /* before the running attempt */
	struct lane *lane;
	LIST_ENTRY(job) in_untold;
	TAILQ_ENTRY(job) in_lane;
	LIST_ENTRY(job) in_dirty;
	size_t due_at; /* place in the heap, 0 none */
	UT_hash_handle by_id, by_row;
};
TAILQ_HEAD(job_queue, job);
LIST_HEAD(job_list, job);

struct rank;
struct lane { /* a conversation with open requests */
	int64_t conv;
	char *name;            /* the conversation's id */
	char *held;            /* a session whose queue is paused, as far as is known here; NULL none */
	struct job_queue jobs; /* the one that is worked on, then those that wait, in their order */
	struct rank *ready;    /* the user's list it stands in, NULL when it is not ready */
	TAILQ_ENTRY(lane) in_rank;
	UT_hash_handle hh, by_name;
};
TAILQ_HEAD(lane_queue, lane);

LIST_HEAD(untold, job);

struct ring;
struct rank_key {
	int64_t user;
	uint64_t ring; /* its address */
};
struct rank { /* a user with ready lanes in a ring */
	struct rank_key key;
	struct ring *ring;
	struct lane_queue lanes;
	TAILQ_ENTRY(rank) in_ring;
	UT_hash_handle hh;
};
TAILQ_HEAD(rank_queue, rank);

struct ring {
	struct rank_queue users;
	struct slots *slots;
	struct gate *gate; /* whose ring it is; NULL: the provider's own */
	bool is_listed;    /* it takes its turns */
	TAILQ_ENTRY(ring) in_turns;
};

struct pause {
	int64_t boot_ms, wall_ms; /* nobody goes before; boot_ms 0: they go */
	int why;                  /* pacing_why */
};

struct slots { /* of a provider */
	int64_t running, most;
	struct ring own;          /* the ready lanes that wait for nothing but a slot */
	TAILQ_HEAD(, ring) turns; /* the rings that have one to give */
	struct limiter limiter;   /* of all models together */
	struct circuit circuit;
	bool has_circuit;
	bool is_agent;
	bool is_stale; /* something changed: to be scheduled at the next tick */
	struct pause pause;
	struct untold untold;
};

struct gate { /* of a model */
	char *model;
	struct slots *slots;
	struct limiter limiter;
	struct ring ring;
	struct pause pause;
	int64_t nusers; /* jobs and holds */
	struct untold untold;
	LIST_ENTRY(gate) in_closed;
	TAILQ_ENTRY(gate) in_idle;
	UT_hash_handle hh;
};

struct hold {              /* a slot that a send has */
	struct gate *gate; /* NULL: free */
	struct charge charge;
};

struct left_over { /* what the chunk log holds of an attempt whose daemon is gone */
	int64_t row, attempt;
	struct buf said[TURN_KINDS];
	UT_hash_handle hh;
};

struct suspect { /* open on disk, unknown here, as of the last sweep */
	int64_t row;
	UT_hash_handle hh;
};

struct relay {
	struct relay_config config;
	struct rng rng;
	struct slots *providers;
	struct job *by_id, *by_row;
	struct lane *lanes, *lanes_by_name;
	struct rank *ranks;
	struct gate *gates;
	LIST_HEAD(, gate) closed_gates;
	TAILQ_HEAD(, gate) idle_gates;
	struct hold *holds;
	size_t nholds;
	struct job_list dirty;
	struct job **due; /* a heap, from place 1 */
	size_t ndue, due_cap;
	struct left_over *left_over;
	struct suspect *suspects;
	int64_t next_due_ms; /* not after the earliest due_boot_ms */
	struct cmd_chunks *pump;
	int64_t pump_boot_ms;   /* when it was submitted */
	int64_t gather_boot_ms; /* earliest time for the next one */
	bool is_behind;         /* the store is */
	int64_t last_chunk;     /* highest id seen */
};

#define EFFECT(r, name, ...) (r)->config.effects->name((r)->config.ctx, __VA_ARGS__)

/* ---- relay.c ---------------------------------------------------------------------------------------------------- */

void relay_note(struct relay *r, const char *type, const struct job *j, enum err e, struct str detail);
struct job *job_new(struct relay *r, const struct job_info *info, struct now now); /* in its lane, QUEUED */
void job_free(struct relay *r, struct job *j);
void job_mark_dirty(struct relay *r, struct job *j); /* it has text for the pump */
void job_clear_dirty(struct job *j);
/* The command that ends the attempt; the texts are views of the turn's buffers, which do not change while the job is
 * ENDING. */
struct cmd_finish *job_finish_new(struct relay *r, struct job *j, enum finish_as as);
void relay_submit_finish(struct relay *r, struct job *j, struct cmd_finish *c, struct now now);
void relay_claim(struct relay *r, struct job *j, struct now now); /* takes a slot */
/* Ends a call from this side. */
void relay_give_up(struct relay *r, struct job *j, enum err e, bool retryable, const struct errinfo *info,
		   struct now now);

/* ---- due.c ------------------------------------------------------------------------------------------------------ */

void job_set_due(struct relay *r, struct job *j, int64_t boot_ms);
void job_clear_due(struct relay *r, struct job *j);
struct job *relay_first_due(const struct relay *r); /* NULL: none waits for a time */

/* ---- lanes.c ---------------------------------------------------------------------------------------------------- */

struct lane *lane_of(struct relay *r, int64_t conv, struct str name); /* made when it is not there */
void lane_insert(struct lane *l, struct job *j);                      /* where it belongs among those that wait */
void lane_place(struct job *j);                                       /* the same, for one that stands there already */
void lane_to_head(struct job *j);                                     /* it is the one that is worked on */
void lane_unready(struct relay *r, struct lane *l);
void lane_settle(struct relay *r, struct lane *l);     /* after any change; frees an empty lane */
void lane_hold(struct lane *l, struct str session_id); /* STR_NONE: nothing is held */
bool lane_holds(const struct lane *l, const struct job *j);
struct job *lane_next(const struct lane *l); /* the job that may be claimed now, NULL when there is none */
void relay_schedule(struct relay *r, int provider, struct now now); /* gives free slots to ready lanes */

void ring_settle(struct ring *ring); /* after any change of who stands in it, or of its gate */

/* ---- gates.c ---------------------------------------------------------------------------------------------------- */

struct gate *gate_get(struct relay *r, struct str model, int provider); /* gate_put it */
void gate_put(struct relay *r, struct gate *g);
void relay_forget_gates(struct relay *r);
/* Room for a call of a size that is not known yet: counts it. gate_undo takes it back. */
bool gate_reserve(struct relay *r, struct gate *g, struct charge *out, struct now now);
void gate_undo(struct gate *g, const struct charge *c, struct now now);
/* How many tokens a view may have that was counted so, 0 when nothing limits them. */
int64_t gate_view_tokens(const struct gate *g, const struct charge *c);
bool gate_is_crowded(const struct gate *g); /* others wait for it */
int64_t job_answer_tokens(const struct request *q);

enum go { GO, GO_NOT_YET /* its model has to wait */, GO_NOBODY /* its provider has to */ };
enum go job_ask(struct relay *r, struct job *j, struct now now); /* GO: it is counted */
void job_unask(struct job *j, struct now now);                   /* it was not called after all */
/* Its view was loaded, and is counted as what it is from now on. */
void job_weigh(struct job *j, const struct job_info *info, struct now now);
void job_answered(struct relay *r, struct job *j, struct now now); /* its first text came */
void job_called(struct relay *r, struct job *j, enum fail f, const struct call_usage *usage, bool said, struct now now);
void job_drop_probe(struct job *j);
void job_recount(struct job *j, struct now now); /* at the start: what it has used lately */
void job_set_untold(struct relay *r,
		    struct job *j); /* it stands in a ring: to be told what it waits for, if for more than a slot */
void job_clear_untold(struct job *j);
void relay_tell_paused(struct relay *r, struct slots *s, struct now now);
void relay_open_gates(struct relay *r, struct now now); /* those whose time has come */

/* ---- pump.c ----------------------------------------------------------------------------------------------------- */

void relay_throttle(struct relay *r, struct job *j);
void relay_publish_upto(struct relay *r, struct job *j, int kind, size_t upto);
void relay_chunks_committed(struct relay *r, struct cmd_chunks *c, struct now now);

/* ---- recover.c -------------------------------------------------------------------------------------------------- */

void relay_forget_left_overs(struct relay *r);
void relay_forget_suspects(struct relay *r);

#endif
