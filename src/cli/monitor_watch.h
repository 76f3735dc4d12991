/* The files behind the monitor, read a little at a time.
 *
 * What a look costs does not depend on how long anything has run: experiments that run are found by their marks, a
 * manifest is read when it has changed and at most a fiftieth of the time, and of an event file only what is new since
 * the last look, of one never seen its last FOLLOW_BYTES. Manifests of experiments that are over and not on the screen
 * are read in idle time. Blocking, small files; one thread. */
#ifndef ROOST_CLI_MONITOR_WATCH_H
#define ROOST_CLI_MONITOR_WATCH_H

#include "cli/monitor_model.h"

#define FOLLOW_BYTES ((int64_t)64 << 10)
#define FOLLOW_MORE ((int64_t)1 << 20) /* of what is new: beyond it the oldest is passed over */

struct watch;
/* The model and its output live longer. */
struct watch *watch_new(struct monitor *m);
void watch_free(struct watch *w);

/* What there is, and the first rows of it: enough for a frame. Now and then, after monitor_clock. */
void watch_tick(struct watch *w);
/* What is left to read, for about so long. False: nothing is left until the next tick. */
bool watch_idle(struct watch *w, int64_t for_us);

#endif
