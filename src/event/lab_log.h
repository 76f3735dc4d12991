/* Event files: one for each conversation, each with one writer.
 *
 * A lab_writer is a thread that all files of a process share. lab_log_add makes the line and hands it over; the thread
 * writes what has come in one write(2) per file, and syncs files that were written to at most syncMs after the oldest
 * unsynced line, all of them in one round. A process that is killed loses nothing that was handed over before the last
 * write; a power cut loses at most the last syncMs. Files that are not in use are closed and opened again by need, so ten
 * thousand conversations need no ten thousand descriptors.
 *
 * An error of a write (a full disk) stops all writing and is told once through `failed`; what was not written stays in
 * memory until lab_writer_retry or the end. An error of a sync is for good: nobody knows what the disk has. lab_log_add
 * never blocks; lab_writer_pending tells who should wait. Everything but the thread itself on one thread. */
#ifndef ROOST_EVENT_LAB_LOG_H
#define ROOST_EVENT_LAB_LOG_H

#include "event/lab_line.h"

struct lab_writer;
struct lab_log;

struct lab_writer_options {
	int64_t sync_ms;  /* 0: every round is synced */
	size_t max_bytes; /* pending at most, beyond it lines are lost and the writer has failed; 0: 256 MB */
	void (*failed)(void *ctx, enum err e,
		       const struct errinfo *info); /* on the writer's thread: only wake somebody */
	void (*written)(void *ctx); /* the same: a lab_writer_reached that was false may be true; may be NULL */
	void *ctx;
};
struct lab_writer *lab_writer_new(const struct lab_writer_options *o);
/* Writes and syncs all there is, ends the thread. OK, or the error that stopped it. */
MUST_USE enum err lab_writer_free(struct lab_writer *w, struct errinfo *info);
size_t lab_writer_pending(const struct lab_writer *w); /* bytes handed over and not written */
/* All lines that were handed over so far, as a number; and whether they are in their files, where no death of the process
 * can take them from. If not they are written now, and `written` is called. */
int64_t lab_writer_mark(struct lab_writer *w);
bool lab_writer_reached(struct lab_writer *w, int64_t mark);
/* Waits until all that was handed over is written and synced, or for the error that stopped it. */
MUST_USE enum err lab_writer_flush(struct lab_writer *w, struct errinfo *info);
/* After `failed`: tries again. */
void lab_writer_retry(struct lab_writer *w);

/* Opens or makes the file (0600). `next_seq` 1: it must not be there yet, or have no whole line (of a run that was killed
 * as it began); else the number behind what lab_file_read found, and `good_bytes` where the last good line ends. What is
 * behind it is moved to PATH.torn first. ERR_EXISTS, ERR_CORRUPT (it is shorter), ERR_READ_ONLY, ERR_STORAGE_FULL, ERR_IO. */
struct lab_log_options {
	const char *path;
	struct str experiment_id;
	enum redaction redaction;
	int64_t next_seq, good_bytes;
};
MUST_USE enum err lab_log_open(struct lab_writer *w, const struct lab_log_options *o, struct lab_log **out,
			       struct errinfo *info);
/* Fills in seq, experiment_id (also the field of that name, when it is absent) and, when it is 0, at_us, and hands the line
 * over. Returns its seq. */
int64_t lab_log_add(struct lab_log *l, struct lab_event *e);
int64_t lab_log_bytes(const struct lab_log *l); /* of all its lines */
void lab_log_close(struct lab_log *l);          /* what was added is written all the same; NULL does nothing */

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct lab_file_end {
	int64_t lines;      /* that are right; those of a type that nobody knows are, and are not told */
	int64_t bad_lines;  /* finished ones, neither JSON nor right by their checksum, or too long; passed over */
	int64_t first_bad;  /* number of the first such line, counted from `from`, blank ones too; 0 none */
	int64_t last_seq;   /* 0 none */
	int64_t good_bytes; /* where the last good line ends */
	int64_t torn_bytes; /* behind it: a line that was not finished, and bad ones before it */
};
#define LAB_LINE_MAX ((size_t)64 << 20) /* a longer line is a bad one; Pidgin's have whole conversations in them */

/* Calls `fn` for each event in order; `event` lives until it returns. From byte `from` on (0, or an earlier good_bytes):
 * following a file costs what is new in it. An error of `fn` ends it and is returned. ERR_NOT_FOUND, ERR_IO. A torn end
 * and bad lines are no errors but are told in *end. */
MUST_USE enum err lab_file_read(const char *path, int64_t from,
				enum err (*fn)(void *ctx, const struct lab_event *event), void *ctx,
				struct lab_file_end *end, struct errinfo *info);

#endif
