/* The log that tracer writes and powercut replays: what a program did to the files of one directory, and every byte it
 * sent to a socket, in an order that can be relied on.
 *
 * A record is a struct log_rec, then its path (file kinds: relative to the directory), a second path (LOG_RENAME), and
 * its data. Numbers are the machine's own. A record's place in the file, counted from 0, is its time:
 *  - a change of a file or a directory is written when the system call has returned, so what it changed was in the page
 *    cache by then and perhaps earlier;
 *  - LOG_SEND is written before the system call runs: from then on the bytes may have left the machine. The next
 *    LOG_SENT of that socket says how many of them the kernel took, -1 for none;
 *  - LOG_SYNC is written when the call has returned; what it made durable is every change of that file with a place
 *    before `off`, the place the log had reached when the call began. */
#ifndef ROOST_TEST_CRASH_LOG_H
#define ROOST_TEST_CRASH_LOG_H

#include <stdint.h>

enum log_kind {
	LOG_WRITE = 1, /* data at off of file */
	LOG_TRUNCATE,  /* file becomes off bytes long */
	LOG_SYNC,      /* fsync or fdatasync of a file or a directory */
	LOG_CREATE,    /* path is now file, which is empty */
	LOG_MKDIR,     /* path is now the directory file */
	LOG_RENAME,    /* path became path2 */
	LOG_UNLINK,    /* path is gone */
	LOG_SEND,      /* data to the socket file */
	LOG_SENT,      /* off bytes of it were taken */
	LOG_ODD,       /* something the replay has no model for: path says what */
};

struct log_rec {
	uint32_t kind;
	uint32_t path_len, path2_len;
	uint32_t data_len;
	uint64_t file; /* inode */
	int64_t off;
};

#endif
