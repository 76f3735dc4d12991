/* The files of a journal's directory. current.jsonl is written to; journal-<n>.jsonl are the older ones, n being the
 * number of their first line. */
#ifndef ROOST_EVENT_FILES_H
#define ROOST_EVENT_FILES_H

#include "base/base.h"

#define JOURNAL_CURRENT "current.jsonl"
#define JOURNAL_TORN "current.jsonl.torn"
#define JOURNAL_NAME_MAX 48

struct journal_files {
	int64_t *first; /* first n of each rotated file, ascending */
	size_t n;
};
/* False (and errno) when the directory cannot be read. */
bool journal_files_list(int dirfd, struct journal_files *out);
void journal_files_release(struct journal_files *f);
void journal_file_name(int64_t first_n, char out[JOURNAL_NAME_MAX]);

#endif
