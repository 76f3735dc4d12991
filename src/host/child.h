/* A program that runs beside the daemon, with pipes to it, and its end.
 *
 * It runs in a session and process group of its own, in a directory of its own, with an environment that is given to it
 * whole, without any descriptor of ours but its three, with default signals, no core dumps and a usual number of files.
 * When its first process ends, what is left of its group is killed before anything else is done; so a program that
 * starts others leaves none behind, save those that went to another session by themselves. When the daemon is killed the
 * first process is killed by the kernel; what it had started is not, and finds its pipes broken.
 *
 * Loop thread only. No callback comes after child_let_go, nor from inside a call. */
#ifndef ROOST_HOST_CHILD_H
#define ROOST_HOST_CHILD_H

#include <sys/queue.h>
#include <uv.h>

#include "base/buf.h"

struct child;
LIST_HEAD(child_list, child); /* those that have not ended yet */

struct child_spec {
	uv_loop_t *loop;
	struct child_list *list; /* it is in there until it has ended, also after child_let_go */
	char *const *argv;       /* NULL-terminated; the first is a path, or a name that is looked for in `path` */
	char *const *env;        /* NULL-terminated: all of it */
	const char *path;        /* directories with colons between them */
	const char *dir;         /* made when it is not there, mode 0700 */
	int64_t grace_ms;        /* from being asked to end (SIGTERM) to being killed */
};

struct child_end {
	int code, signal; /* how the first process ended; signal 0: by itself */
	struct str said;  /* on its standard error, the beginning of it */
};

struct child_hooks {
	void (*out)(void *ctx, struct str bytes);              /* of its standard output */
	void (*ended)(void *ctx, const struct child_end *end); /* last; everything it wrote was handed out */
};

/* ERR_PROVIDER_DOWN says what was not found or may not be run. */
MUST_USE enum err child_start(const struct child_spec *spec, const struct child_hooks *hooks, void *ctx,
			      struct child **out, struct errinfo *info);
/* Copies. What a program does not read is its own affair. */
void child_write(struct child *c, struct str bytes);
void child_end_input(struct child *c);
size_t child_unread(const struct child *c); /* bytes of input it has not taken */
void child_pause(struct child *c, bool paused);
/* SIGTERM to the group at once, SIGKILL after the grace; it is forgotten. */
void child_let_go(struct child *c);
/* Kills what is left and waits for it. The loop must turn once more. */
void children_kill(struct child_list *list);

#endif
