/* Memory that goes away all at once: what one command, one request or one parse needs.
 *
 * arena_alloc never fails (the process ends instead) and gives 16-byte aligned, unset memory. arena_clear frees all of
 * it. A zeroed struct arena is a valid, empty one. Not thread-safe; an arena is handed over whole. */
#ifndef ROOST_BASE_ARENA_H
#define ROOST_BASE_ARENA_H

#include "base/base.h"

struct arena_block;
struct arena {
	struct arena_block *head; /* newest block */
	size_t left;              /* free bytes in it */
};

void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
struct str arena_str(struct arena *a, struct str s); /* a copy, NUL behind it; STR_NONE stays so */
void arena_clear(struct arena *a);

#endif
