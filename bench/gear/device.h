/* A device of the device protocol, as small as a load generator needs it: pairs nothing (it is given its token), says
 * hello, sends frames, hands out the frames that come. Anything unexpected ends the program with a sentence, because a
 * benchmark that goes on after an error measures something else. */
#ifndef BENCH_GEAR_DEVICE_H
#define BENCH_GEAR_DEVICE_H

#include "base/id.h"
#include "gear/loop.h"

enum device_state { DEVICE_OPENING, DEVICE_GREETING, DEVICE_READY, DEVICE_CLOSED };

struct device {
	struct conn conn;
	enum device_state state;
	char user[64], id[64], token[128], cursor[64];
	struct buf in;         /* the piece of a frame that came so far; empty when nothing is under way */
	int64_t frames, bytes; /* received */
	void (*on_frame)(struct device *d, struct str text); /* frames after the welcome; may be NULL */
	void (*on_error)(struct device *d, struct str text); /* an error frame; NULL: it ends the program */
	void (*on_lost)(struct device *d); /* the connection broke or was closed; NULL: that ends the program */
	void *ctx;                         /* the program's */
	size_t place, group;               /* the answers it has: place, place + group, … (answer.c) */
};

/* The file has one device a line: user, device id, token, with blanks between. Ends the program when it is not so.
 * The caller frees the array. */
struct device *devices_load(const char *path, size_t *out_n);
/* Connects them all, at most `at_once` unanswered at a time, and waits until each was welcomed. A device that has no
 * cursor connects twice: the first time only to learn the newest one, so that what it missed (a million messages, say)
 * is not sent to it while something else is measured. Ends with a quarter of a second in which all catch up. */
void devices_connect(struct loop *l, struct device *d, size_t n, int port, size_t at_once);
void devices_close(struct device *d, size_t n);
/* One connection begun, from the device's cursor; DEVICE_READY when it was welcomed. For one that was lost or closed. */
void device_connect(struct loop *l, struct device *d, int port);
/* Runs the loop until is_done says so; after limit_ns ends the program with "…: still waiting". */
void devices_wait(struct loop *l, int64_t limit_ns, bool (*is_done)(void *ctx), void *ctx, const char *what);
/* The cursor that a session:changes frame ends with, into d->cursor. */
void device_keep_cursor(struct device *d, struct str frame);

/* One frame: text given as printf would take it. */
void device_sendf(struct device *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void device_send(struct device *d, struct str text);

/* The value of a key anywhere in a frame, raw: a string without its quotes, or a number. STR_NONE when the key is not
 * there. Inside a string every quote is escaped, so text can't be taken for a key. */
struct str frame_field(struct str frame, const char *key);
int64_t frame_int(struct str frame, const char *key, int64_t otherwise);
bool frame_is(struct str frame, const char *type);

#endif
