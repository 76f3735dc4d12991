/* The daemon's threads, as fibers of this one thread.
 *
 * The program under test calls pthread_create, pthread_cond_wait and so on; the linker leads those calls here (--wrap).
 * A fiber runs until it waits: for a condition, for a time, for the disk. Which runs next, and when, is decided by the
 * seed. A crash is forgetting every fiber where it stands: nothing of theirs runs again, not even cleaning up. */
#ifndef ROOST_SIM_FIBER_H
#define ROOST_SIM_FIBER_H

#include "sim/world.h"

struct fiber;

/* Starts a fiber of the running machine; `fn` begins a little later. */
struct fiber *fiber_new(void *(*fn)(void *), void *arg);
struct fiber *fiber_self(void); /* NULL: the world itself */
/* Waits until fiber_wake or until `until_us` (INT64_MAX: for ever). */
void fiber_wait(int64_t until_us);
void fiber_wake(struct fiber *f); /* soon, as the scheduler has it */
bool fiber_is_over(const struct fiber *f);
void fibers_forget(void); /* the machine died */

#endif
