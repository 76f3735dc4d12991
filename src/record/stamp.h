/* Stamps: the order of edits.
 *
 * A stamp is what a device puts on an edit, so that everybody orders the same edits in the same way. It is text:
 *
 *     <12 hex: wall ms>-<4 hex: counter>-<device id>            0199f3c2a1b4-0000-phone
 *
 * and is compared by its bytes; "" is older than all, and stands for the value a record was made with. It is a hybrid
 * clock: a new stamp is the wall time, or, when something later was seen already, that and a step more. So an edit is
 * later than every edit its maker had seen, whatever the clocks say.
 *
 * A clock that runs far ahead must not win for ever. The daemon takes such a stamp for now + limits.stamp_ahead_ms and
 * keeps what it was as an appendix, "!<12 hex>-<4 hex>" after the device id, by which a repeat is recognised. Two texts
 * with the same device, and the same original time and counter, are the same stamp (stamp_same).
 *
 * Pure functions; any thread. */
#ifndef ROOST_RECORD_STAMP_H
#define ROOST_RECORD_STAMP_H

#include "base/arena.h"

#define STAMP_CAP 320 /* the longest, and a NUL */

/* A stamp for an edit made now by this device ("" is the daemon), later than `last_seen` (STR_NONE or "": nothing was
 * seen). Returns its length; `out` ends with a NUL. */
size_t stamp_make(int64_t now_wall_ms, struct str last_seen, struct str device_id, char out[STAMP_CAP]);

bool stamp_is_valid(struct str stamp); /* "" is */
int stamp_cmp(struct str a, struct str b);
bool stamp_same(struct str a, struct str b);
int64_t stamp_ms(struct str stamp);        /* the time it counts as; 0 for "" */
struct str stamp_device(struct str stamp); /* a view of it; "" for "" */
/* What is the same in every text of this stamp; a view of `buf`, or of the stamp itself. */
struct str stamp_identity(struct str stamp, char buf[STAMP_CAP]);

/* The stamp as the daemon takes it: itself, or, when it is later than limit_ms, cut to that. A cut stamp is still later
 * than `floor`, the latest edit that its maker had seen. The result is in the arena, or is `stamp`. */
struct str stamp_cut(struct str stamp, int64_t limit_ms, struct str floor, struct arena *arena);

#endif
