/* An automatic run: messages that no person writes, sent by a session's primary device one after each answer, until a
 * limit or what was answered ends it. This is the run as it is kept in the Session record's `auto`; the daemon judges by
 * it (device/automatic.h), the devices show it and drive by it (client/auto.h).
 *
 * As fields: run (1 for a session's first), mode, state, sent, maxMessages, maxMs, priority (hybrid), reason (not while
 * it runs), startedAt, startedBy, elapsedMs, term and deviceId (who drives, as of the last step), answeredId and
 * answeredOrd (the answer that was followed last), lastMessageId, steps (AutoStep records so far), params (the driver's
 * own, kept as they are), sinceAt, sinceMs, owner (the clock).
 *
 * The clock counts the time the run is running, pauses left out. It is settled in each commit: what went by since the last
 * one is added. Within one life of the daemon that is boot time; over a restart it is wall time, never less than 0.
 *
 * Pure. Strings of a run that was read are views of what it was read from. */
#ifndef ROOST_RECORD_RUN_H
#define ROOST_RECORD_RUN_H

#include "base/json.h"

/* How a run ends, by mode, and the limits it has when its starter names none; 0: none but the daemon's own
 * (limits.autoMessages, limits.autoMs), which hold for every run. What in an answer ends a run is in client/auto.h. */
#define RUN_MODE_MAP(X)                                                                                                \
	X(RUN_SMART_STOP, "smart_stop", 20, 1800000)                                                                   \
	X(RUN_UNTIL_COMPLETION, "until_completion", 20, 1800000)                                                       \
	X(RUN_TIME, "time", 0, 1800000)                                                                                \
	X(RUN_MESSAGES, "messages", 20, 0)                                                                             \
	X(RUN_HYBRID, "hybrid", 20, 1800000)
enum run_mode {
#define X(sym, name, messages, ms) sym,
	RUN_MODE_MAP(X)
#undef X
		RUN_MODES
};

enum run_state { RUN_NONE, RUN_RUNNING, RUN_PAUSED, RUN_STOPPED };

/* Why a run stands still. `device`: a device may give it as the reason of auto:pause or auto:stop. */
#define RUN_REASON_MAP(X)                                                                                              \
	X(REASON_NONE, "", false)                                                                                      \
	X(REASON_MANUAL, "manual", true)                                                                               \
	X(REASON_MESSAGE_LIMIT, "message_limit", true)                                                                 \
	X(REASON_TIME_LIMIT, "time_limit", true)                                                                       \
	X(REASON_COMPLETION, "completion", true)                                                                       \
	X(REASON_ERROR, "error", true)                                                                                 \
	X(REASON_SHOWSTOPPER, "showstopper", true)                                                                     \
	X(REASON_STUCK, "stuck", true)                                                                                 \
	X(REASON_LOW_CONFIDENCE, "low_confidence", true)                                                               \
	X(REASON_CLEARED, "cleared", false)
enum run_reason {
#define X(sym, name, device) sym,
	RUN_REASON_MAP(X)
#undef X
		RUN_REASONS
};

struct run {
	enum run_state state;
	enum run_mode mode;
	int64_t number; /* of the session's runs, from 1 */
	int64_t sent, max_messages, max_ms;
	bool all;                  /* hybrid: both limits must be reached, not the first of them */
	enum run_reason reason;    /* of a run that is paused or stopped */
	int64_t started_ms;        /* wall */
	struct str started_by;     /* device */
	struct str driver;         /* device that drove it last; "" nobody yet */
	int64_t term;              /* of the session, at the last step */
	struct str answered;       /* id of the answer followed last, "" none */
	int64_t answered_ord;      /* its place, 0 none */
	struct str last_message;   /* id of the last automatic message, "" none */
	int64_t steps;             /* AutoStep records of the session so far, over all its runs */
	const struct json *params; /* an object, or NULL for none */
	int64_t elapsed_ms;        /* running time up to `since` */
	int64_t since_wall, since; /* when that was settled: wall, and boot time of … */
	int64_t owner;             /* … this incarnation of the daemon */
};

/* The time, as the daemon that holds the run knows it. */
struct run_clock {
	int64_t wall_ms, boot_ms, incarnation;
};

/* From the object of `auto`; anything else is a run that never was (RUN_NONE). */
void run_read(struct run *r, const struct json *in);
/* The object. */
void run_write(struct jw *w, const struct run *r);

/* Running time up to now. */
int64_t run_elapsed(const struct run *r, const struct run_clock *now);
/* Brings the clock up to now; before every change of `state`. */
void run_settle(struct run *r, const struct run_clock *now);
/* REASON_MESSAGE_LIMIT or REASON_TIME_LIMIT when that much ends the run, else REASON_NONE. */
enum run_reason run_limit(const struct run *r, int64_t sent, int64_t elapsed_ms);
/* How long until the time limit may end a running run; -1 never by time. */
int64_t run_left_ms(const struct run *r, const struct run_clock *now);

struct str run_mode_name(enum run_mode m);
struct str run_state_name(enum run_state s);
struct str run_reason_name(enum run_reason r);
bool run_mode_find(struct str name, enum run_mode *out);
bool run_reason_find(struct str name, enum run_reason *out);
bool run_reason_of_device(enum run_reason r);
/* The limits of a mode when the starter names none; 0: the daemon's own. */
void run_defaults(enum run_mode m, int64_t *out_messages, int64_t *out_ms);

#endif
