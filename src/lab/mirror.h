/* The experiments of one output as records of them are kept: which run, how far they are, what was said last.
 *
 * A look finds those that run (place_running), reads the manifests that changed since, and the new end of the event
 * files of at most MIRROR_LIVE of their conversations, and makes from that the fields of their records. An experiment
 * about which nothing changed costs one stat. What it found stands in the list of news until somebody takes it. Which
 * experiments there are is only looked at when the output directory itself changed: those that come while it is looked
 * at are followed to their end, also when they were over before the next look; those of before are let be.
 *
 * An experiment whose manifest says that it runs, and whose lock nobody has at two looks in a row, was killed, and is
 * interrupted. Of one whose texts were redacted no name, sentence or message is read into the fields.
 *
 * mirror_look blocks on the disk and is for a thread beside the loop, one look at a time; while it runs nobody else
 * touches the mirror, but for mirror_tell, which may run on any thread, and the fields of struct mirrored that say so. */
#ifndef ROOST_LAB_MIRROR_H
#define ROOST_LAB_MIRROR_H

#include <sys/queue.h>
#include <uthash.h>

#include "base/limits.h"
#include "lab/place.h"

#define MIRROR_LIVE 8
#define MIRROR_TEXT_CHARS 2000 /* of the last message of a conversation */
#define MIRROR_NAME_BYTES 200  /* of a name, and of a model's */

struct mirror_state;
struct mirrored {
	char id[32];
	struct buf state;    /* news: all fields as JSON, null where there is none; or empty */
	struct buf presence; /* news, to go over it: is the directory still there; or empty */
	int64_t user;        /* the owner's, also during a look: whose record it is; 0 not known yet */
	bool is_saving;      /* the same: a record is on its way to the store */
	bool has_news, is_gone;
	uint64_t listed, ran;      /* the looks that last found its directory, and who runs it */
	struct mirror_state *open; /* NULL: it is over */
	TAILQ_ENTRY(mirrored) in_news;
	LIST_ENTRY(mirrored) in_open;
	UT_hash_handle hh;
};

struct mirror;
/* `limits` must outlive it. */
struct mirror *mirror_new(char *output /* is taken */, const struct limits *limits);
void mirror_free(struct mirror *m);
/* There is a record of it. Before the first look. */
void mirror_known(struct mirror *m, struct str id, int64_t user, bool is_open, bool is_gone);
void mirror_look(struct mirror *m);
/* The next experiment after `last` (NULL: the first) that has news. */
struct mirrored *mirror_next(struct mirror *m, struct mirrored *last);
void mirror_took(struct mirror *m, struct mirrored *e); /* its news are somebody else's now */

/* ERR_BAD_STATE: no such experiment runs here; else place_tell's. */
MUST_USE enum err mirror_tell(struct mirror *m, struct str id, enum place_ask what, struct errinfo *info);

#endif
