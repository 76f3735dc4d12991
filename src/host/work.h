/* Work, for real: performs what the relay asks for, with the store, the providers, the journal and timers on the loop.
 *
 * The relay decides, this carries out: commands go to the store's writer and their results come back; provider calls are
 * started and cut; the pump runs once per turn of the loop; a sweep every second looks for open requests that the relay
 * does not know; a watchdog every ten seconds looks for attempts, a pump or a sweep that do not move. Everything on the
 * loop thread. */
#ifndef ROOST_HOST_WORK_H
#define ROOST_HOST_WORK_H

#include <uv.h>

#include "event/journal.h"
#include "host/call.h"
#include "host/providers.h"
#include "relay/relay.h"

struct work;

struct work_options {
	uv_loop_t *loop;
	const struct limits *limits;
	struct store *store;
	struct providers *providers;
	struct journal *journal;       /* NULL: none is kept */
	const struct budgets *budgets; /* NULL: none */
	const struct model_book *book; /* what estimated calls cost; NULL: not known */
	struct str data_dir;           /* attachments are in its assets/ */
	/* What devices are to see. */
	void (*publish)(void *ctx, const struct delta *d);
	void (*state)(void *ctx, struct job *j);
	void (*watched)(void *ctx); /* after each watchdog round: the supervisor's heartbeat */
	void *ctx;
};

struct work *work_new(const struct work_options *o);
/* Reads the chunk log and the open requests and takes up what an earlier daemon left; `ready` when done, with an error
 * when the store could not be read. */
void work_start(struct work *w, void (*ready)(void *ctx, enum err e), void *ctx);
/* Cuts every call; open requests stay open on disk and are taken up at the next start. */
void work_stop(struct work *w);
void work_free(struct work *w); /* after store_close; the memory goes with the loop's next turn */

/* relay_admit, then work_kick. */
void work_admit(struct work *w, const struct job_info *info, int hold);
struct relay *work_relay(struct work *w);
struct now work_now(const struct work *w);
/* A device's answer to an agent's question was committed. */
void work_permission_answered(struct work *w, struct str permission_id, bool allow, struct str message);
/* After anything was told to the relay from outside (admit, stop): its timers are looked at again. */
void work_kick(struct work *w);

#endif
