/* Time. Wall time is for people and is never used to decide anything; boot time (CLOCK_BOOTTIME: goes on while the
 * machine sleeps, never jumps) is for leases, deadlines and rates. Only the shells call these; the core is told the
 * time. RFC 3339 text is always UTC with milliseconds: "2026-01-02T03:04:05.678Z". */
#ifndef ROOST_BASE_CLOCK_H
#define ROOST_BASE_CLOCK_H

#include "base/base.h"

#define TIME_TEXT_LEN 24 /* without the NUL */

int64_t clock_wall_ms(void); /* since 1970 */
int64_t clock_boot_ms(void);
int64_t clock_boot_us(void);
void time_format(int64_t wall_ms, char out[TIME_TEXT_LEN + 1]); /* years 1970–9999; others are clamped */
bool time_parse(struct str text, int64_t *out_wall_ms);         /* RFC 3339, any fraction, Z or an offset */

#endif
