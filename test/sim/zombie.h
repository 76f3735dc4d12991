/* Workers that come back from the dead: an earlier attempt says, again or late, that it is done. */
#ifndef ROOST_SIM_ZOMBIE_H
#define ROOST_SIM_ZOMBIE_H

#include <stdint.h>

/* Those of the last attempts that are over; `up_us`: for how long the daemon has run. */
void zombies_rise(int64_t up_us);
void zombies_daemon_died(void);

#endif
