/* Inside the relay: what its files share. Nothing else includes this.
 *
 *   relay.c    a request's way from admission to its end
 *   lanes.c    which request runs next: order within a conversation, turns between users, free slots
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
	struct lane *lane;
	TAILQ_ENTRY(job) in_lane;
	LIST_ENTRY(job) in_dirty;
	LIST_ENTRY(job) in_due;
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

struct rank_key {
	int64_t user, provider;
};
struct rank { /* a user with ready lanes at one provider */
	struct rank_key key;
	struct lane_queue lanes;
	TAILQ_ENTRY(rank) in_ring;
	UT_hash_handle hh;
};
TAILQ_HEAD(rank_queue, rank);

struct slots {
	int64_t running, most;
	struct rank_queue ring;
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
	struct job_list dirty, due;
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
struct job *job_new(struct relay *r, const struct job_info *info, int provider); /* in its lane, QUEUED */
void job_free(struct relay *r, struct job *j);
void job_set_due(struct relay *r, struct job *j, int64_t boot_ms);
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

/* ---- lanes.c ---------------------------------------------------------------------------------------------------- */

struct lane *lane_of(struct relay *r, int64_t conv, struct str name); /* made when it is not there */
void lane_insert(struct lane *l, struct job *j);                      /* where it belongs among those that wait */
void lane_place(struct job *j);                                       /* the same, for one that stands there already */
void lane_to_head(struct job *j);                                     /* it is the one that is worked on */
void lane_unready(struct relay *r, struct lane *l);
void lane_settle(struct relay *r, struct lane *l);     /* after any change; frees an empty lane */
void lane_hold(struct lane *l, struct str session_id); /* STR_NONE: nothing is held */
bool lane_holds(const struct lane *l, const struct job *j);
void relay_schedule(struct relay *r, int provider, struct now now); /* gives free slots to ready lanes */

/* ---- pump.c ----------------------------------------------------------------------------------------------------- */

void relay_throttle(struct relay *r, struct job *j);
void relay_publish_upto(struct relay *r, struct job *j, int kind, size_t upto);
void relay_chunks_committed(struct relay *r, struct cmd_chunks *c, struct now now);

/* ---- recover.c -------------------------------------------------------------------------------------------------- */

void relay_forget_left_overs(struct relay *r);
void relay_forget_suspects(struct relay *r);

#endif
