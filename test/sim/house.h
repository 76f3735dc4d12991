/* The machine the daemon runs on: starts it, kills it, takes its power away.
 *
 * What runs is daemon_run itself, on a fiber that is the loop's thread. */
#ifndef ROOST_SIM_HOUSE_H
#define ROOST_SIM_HOUSE_H

#include "host/config.h"
#include "sim/world.h"

void house_open(void); /* writes the configuration: limits short enough for a simulated minute */
const struct limits *house_limits(void);
void house_start(void);
bool house_runs(void);
int64_t house_lives(void);  /* how often it was started */
int64_t house_up_us(void);  /* since the last start */
void house_kill(void);      /* SIGKILL: what was written stays, synced or not */
void house_power_cut(void); /* what was not synced may be gone */
void house_stop(void);      /* SIGTERM: it ends by itself, soon */

#endif
