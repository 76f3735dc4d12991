/* Which of the known names somebody may have meant. Pure. */
#ifndef ROOST_BASE_NEAR_H
#define ROOST_BASE_NEAR_H

#include "base/base.h"

/* Edits (insert, delete, replace, case-blind) that turn a into b; texts longer than NEAR_LONG are far from everything. */
#define NEAR_LONG 64
size_t near_distance(struct str a, struct str b);

#endif
