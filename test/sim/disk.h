/* The simulated disk: SQLite's files in memory, as a VFS.
 *
 * A file is what its writers see plus what has been written since its last sync. A sync takes simulated time, during
 * which other threads run, and then everything written before it is safe. When the daemon is killed its writes stay;
 * when the power fails, of the writes that were not synced each is lost or kept by chance. */
#ifndef ROOST_SIM_DISK_H
#define ROOST_SIM_DISK_H

#include "sim/world.h"

void disk_open(void);          /* becomes SQLite's default VFS; once per process */
void disk_process_died(void);  /* locks and open files are gone */
void disk_power_failed(void);  /* that, and what was not synced */
void disk_set_slow(bool slow); /* syncs take as long as a bad disk's */
int64_t disk_syncs(void);

#endif
