/* What place.c and place_lock.c share. */
#ifndef ROOST_LAB_PLACE_PRIV_H
#define ROOST_LAB_PLACE_PRIV_H

#include <sys/stat.h>

#include "lab/place.h"

char *place_join(const char *dir, const char *name); /* free it */
/* "PATH cannot be WHAT: why" */
enum err place_err(const char *what, const char *path, int os, struct errinfo *info);
MUST_USE enum err place_make_dirs(const char *path, struct errinfo *info); /* and those above it */
void place_list_add(struct place_list *l, const char *dir, int64_t changed_ms);
void place_list_sort(struct place_list *l);
static inline int64_t place_changed_ms(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

#endif
