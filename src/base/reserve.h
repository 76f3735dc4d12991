/* Memory for finishing what was begun when malloc has nothing left.
 *
 * The daemon and the command line end when memory runs out. A library in somebody's app may not, and code that is
 * half way through a change of state cannot turn back either. So the client library looks for headroom before it begins
 * something, refuses when there is none, and keeps this in reserve for what it has begun: address space that is mapped
 * when the first client opens and costs nothing until it is touched. While it is open, x*alloc falls back to it instead
 * of ending the process; free() and xrealloc() (base.h) know its blocks by their address.
 *
 * It is a stack of blocks without holes to fill: what is freed in the middle is given back when everything above it is
 * free too, and pages that are free again go back to the kernel. That suits its use, a few moments between two looks for
 * headroom, and leaves nothing to go wrong. One for the process, counted; any thread may call anything. */
#ifndef ROOST_BASE_RESERVE_H
#define ROOST_BASE_RESERVE_H

#include "base/base.h"

#define RESERVE_BYTES ((size_t)256 << 20)

/* Opens, or counts one more user. ERR_NOMEM: not even addresses are left. */
MUST_USE enum err reserve_open(void);
/* One user less; the last one's unmaps it, when all its blocks are free (else the next last one's). */
void reserve_close(void);
size_t reserve_used(void); /* bytes of live blocks and the holes between them */
/* NULL: no reserve is open. A reserve that is used up waits until malloc has memory again: the last resort of code that
 * may neither fail nor end the process. */
void *reserve_alloc(size_t n);
/* The bytes a block of the reserve has; 0: it is not one. */
size_t reserve_size(const void *p);
void reserve_free(void *p); /* a block of the reserve */

#endif
