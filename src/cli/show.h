/* What `roost run` shows of an experiment while it runs: one of a table of displays, fed with its events.
 *
 * A display writes to stdout only, cleans whatever a model said (show_clean), and works without a terminal too. It is told
 * the end whatever the reason, and then leaves the terminal as it found it with no line half shown. One thread. */
#ifndef ROOST_CLI_SHOW_H
#define ROOST_CLI_SHOW_H

#include "event/lab.h"
#include "lab/manifest.h"
#include "lab/spec.h"

struct show_about {
	const struct spec *spec;
	const struct manifest *manifest; /* follows the events; lives longer than the display */
	const char *dir;
	bool is_resumed;
};

struct show_kind {
	const char *name, *what;
	bool wants_chunks; /* MessageChunkEvents */
	void *(*begin)(const struct show_about *about);
	void (*event)(void *state, size_t conversation, const struct lab_event *e);
	/* A word to the person that is no event, as what a second Ctrl-C does; NULL: it belongs on stderr. */
	void (*word)(void *state, const char *text);
	void (*tick)(void *state); /* a few times a second: progress, a changed size of the terminal */
	/* `e`: why it failed, OK; frees. */
	void (*end)(void *state, enum err e, const struct errinfo *info);
};
extern const struct show_kind show_chat, show_tail, show_quiet, show_none, show_json;
const struct show_kind *show_find(struct str name); /* NULL: none */

/* ---- what displays have in common ------------------------------------------------------------------------------- */

/* "12 turns, 3400 tokens, $0.0120 (estimated), convergence 0.62": what is not known is left out. */
void show_totals(const struct manifest *m, struct buf *out);
/* How it ended, what it came to, where the files are, and how to go on; lines. */
void show_ending(const struct show_about *about, struct buf *out);

/* How far it is: all turns of all conversations, and those that are made or will not be made any more. */
struct show_progress {
	int64_t done, all;
};
struct show_progress show_progress(const struct show_about *about);
/* A bar with turns, conversations and the time that is left; `since` is the progress `elapsed_ms` ago. */
void show_bar(const struct show_about *about, struct show_progress since, int64_t elapsed_ms, size_t columns,
	      struct buf *out);

#endif
