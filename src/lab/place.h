/* Where experiments are on disk, and which of them run.
 *
 *   OUTPUT/NAME_ID8/                 one directory per experiment, 0700
 *       manifest.json                state, counts, conversations (manifest.h)
 *       events_CONVERSATION.jsonl    one per conversation
 *       spec.yaml                    what was asked for; not when texts are redacted
 *       run.lock                     locked (fcntl) by the process that runs it; holds its pid as text
 *       experiment.log               what it said when it ran in the background
 *
 * OUTPUT is --output, else ROOST_OUTPUT_DIR, else the configuration's labOutput, else DATA/experiments. Ids are
 * "experiment_" and "conv_" with 8 hexadecimal digits. The lock and not the file tells whether an experiment runs: a
 * process that was killed holds none, so there is no stale pid.
 *
 * Blocking, small files. A process calls these on one thread. */
#ifndef ROOST_LAB_PLACE_H
#define ROOST_LAB_PLACE_H

#include "base/base.h"
#include "host/config.h"

struct place {
	char *dir;   /* OUTPUT/NAME_ID8 */
	char id[32]; /* "experiment_1a2b3c4d" */
	char *name;  /* as it was given; of one that was found what its directory says: at most 30 safe characters */
};

/* Free it. `output`: --output or NULL. Absolute. */
char *place_output(const struct config *config, const char *output);
/* Makes the directory under a fresh id; a name that is taken by another experiment is ERR_EXISTS. name: "" makes one
 * (adjective-noun). ERR_USAGE: no name that can be shown. ERR_READ_ONLY, ERR_STORAGE_FULL, ERR_IO name the path. */
MUST_USE enum err place_make(const char *output, struct str name, struct place *out, struct errinfo *info);
void place_release(struct place *p);

/* What a person means by a text: an id, its 8 digits, the beginning of one of them or of a name, a directory. One or
 * ERR_NOT_FOUND; ERR_CONFLICT names the candidates. A conversation's id finds its experiment too, and one that
 * runs in another output is found when this one has none. */
MUST_USE enum err place_find(const char *output, struct str asked, struct place *out, struct errinfo *info);
/* All of them, newest first by the directory's time, cheaply: no file is opened. Free with place_list_release. */
struct place_entry {
	char *dir, *name;
	char id[32];
	int64_t changed_ms; /* wall time */
};
struct place_list {
	struct place_entry *list;
	size_t n, cap;
};
MUST_USE enum err place_list(const char *output, struct place_list *out, struct errinfo *info); /* none: n 0 */
void place_list_release(struct place_list *l);

/* The lock. ERR_LOCKED names the pid that has it. Kept until place_unlock or the process's end; made known to
 * place_running under RUNTIME so that those that run are found without looking at all directories. */
MUST_USE enum err place_lock(const struct place *p, int *out_fd, struct errinfo *info);
void place_unlock(const struct place *p, int fd);
/* The pid of who runs it, 0 nobody. */
int place_pid(const char *dir);
/* Those that run now in this output, with NULL in all outputs of this user's session; stale marks are removed on the
 * way. */
MUST_USE enum err place_running(const char *output, struct place_list *out, struct errinfo *info);

/* Asks a running experiment to end (SIGTERM: messages in flight are cut; with PLACE_FINISH SIGINT: they are finished), to
 * pause (SIGUSR1) or to go on (SIGUSR2). PLACE_KILL ends its process as it is. ERR_BAD_STATE: it does not run.
 * ERR_FORBIDDEN: it is another user's. */
enum place_ask { PLACE_STOP, PLACE_FINISH, PLACE_PAUSE, PLACE_RESUME, PLACE_KILL };
MUST_USE enum err place_tell(const char *dir, enum place_ask what, struct errinfo *info);
/* Waits up to wait_ms for its end. False: it still runs. */
bool place_wait(const char *dir, int64_t wait_ms);

#endif
