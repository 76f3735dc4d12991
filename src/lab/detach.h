/* Running in the background: `roost run -q` starts the program once more, in a session of its own, and ends as soon as
 * that one says that it has begun, or why it cannot.
 *
 * What the other one is to do goes to it as an anonymous file on its standard input: arguments can be seen by everybody
 * on the machine and say only `run --in experiment_1a2b3c4d`, and a spec whose texts are to be redacted is never on disk.
 * The environment is handed on, with its API keys. Making providers wipes these (host/keys.h), so the command keeps a copy
 * before it does that.
 *
 *     the command              the background process
 *     detach_keep_environment
 *     place_make
 *     detach_start      --->   detach_receive, place_lock, run_new
 *     returns           <---   detach_tell */
#ifndef ROOST_LAB_DETACH_H
#define ROOST_LAB_DETACH_H

#include "lab/place.h"

#define DETACH_LOG "experiment.log" /* in the experiment's directory: its stdout and stderr */

struct detach_order {
	struct place place; /* not locked */
	bool resume;
	char *config_file, *data_dir; /* as --config and --data were given; NULL not */
	const char **providers;       /* as --provider was given, NULL-terminated; NULL none */
	struct str spec;              /* YAML */
};
void detach_order_release(struct detach_order *o); /* one that was received */

/* Copies the environment for detach_start; without it the environment is handed on as it is. Forgetting wipes the copy. */
void detach_keep_environment(void);
void detach_forget_environment(void);

/* Returns when it has begun (OK), when it said why not (its error), or when it has not said anything for wait_ms
 * (ERR_TIMEOUT, and it was told to end). *out_pid: its pid. */
MUST_USE enum err detach_start(const struct detach_order *o, int64_t wait_ms, int *out_pid, struct errinfo *info);

/* In the background process, first: takes the order; a terminal that goes away ends it no more. ERR_USAGE: the process was
 * not started by detach_start. */
MUST_USE enum err detach_receive(struct detach_order *out, struct errinfo *info);
/* It has begun (OK, NULL), or why it cannot. Once; nobody may be listening any more, which changes nothing. */
void detach_tell(enum err e, const struct errinfo *info);

#endif
