/* Running an experiment: its conversations on one loop, their calls to providers, their files.
 *
 * A run owns an experiment's directory (place.h) and drives max_parallel of its conversations at a time; each is a
 * conductor (talk/) with a turn (talk/turn.h) for the message that is out. What all share: the providers, one limiter for
 * each model and provider, one circuit for each provider, one writer thread for the files, one manifest. Who waits for a
 * limit stands in a line, first come, first served, so conversations share fairly.
 *
 * Resuming is the same run over a directory that has files: each is read to its last good line and its conductor
 * continues there. A conversation whose file is damaged is failed and its file left alone; the others go on. Everything on the loop thread. */
#ifndef ROOST_LAB_RUN_H
#define ROOST_LAB_RUN_H

#include <uv.h>

#include "event/lab_log.h"
#include "host/catalog.h"
#include "lab/manifest.h"
#include "lab/place.h"
#include "lab/spec.h"

struct run;

struct run_hooks {
	/* Every event of every conversation, in order; MessageChunkEvent too. It may stop, pause and resume the run. */
	void (*event)(void *ctx, size_t conversation, const struct lab_event *e);
	/* The experiment has ended: all files are written and synced. Last. */
	void (*ended)(void *ctx);
};

struct run_options {
	uv_loop_t *loop;
	const struct limits *limits;
	struct providers *providers;
	struct catalog *catalog;
	const struct spec *spec;   /* complete; must outlive the run */
	const struct place *place; /* locked */
	bool resume;
	bool chunks;     /* hooks.event wants MessageChunkEvents */
	int64_t sync_ms; /* lab_log.h */
	struct run_hooks hooks;
	void *ctx;
};
/* What can be told before it begins: a model that nobody serves, parameters that a model is known to refuse. */
MUST_USE enum err run_check(const struct providers *providers, struct catalog *catalog, const struct spec *spec,
			    struct errinfo *info);
/* ERR_NOT_FOUND, ERR_CORRUPT, ERR_BAD_STATE (a redacted one cannot be resumed) for a resumption. One that was killed before
 * it had a manifest begins. */
MUST_USE enum err run_new(const struct run_options *o, struct run **out, struct errinfo *info);
void run_start(struct run *r);
/* These are done in the next turn of the loop. Ends it: after the messages in flight, or at once (`cut`). */
void run_stop(struct run *r, bool cut);
/* Lets messages in flight be finished and asks for no others. Conversations that paused by themselves, as they converged,
 * are resumed too. */
void run_pause(struct run *r);
void run_resume(struct run *r);
/* After `ended`, and the loop must turn once more. */
void run_free(struct run *r);

const struct manifest *run_manifest(const struct run *r);
/* Why it failed, for the exit status; OK. */
enum err run_error(const struct run *r, struct errinfo *info);

#endif
