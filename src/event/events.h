/* Every event there is: its type, the fields it carries, and when it happens. Whoever writes an event takes type and
 * fields from this table (test_journal_events reads the sources and looks), and the documentation is made from it.
 *
 * Every line also has `at` (wall time), `n` (its number) and `sum`. A field that is not known is left out. Ids are
 * requestId, conversationId, userId, deviceId; attempt counts from 1; code is an error's wire code and error its
 * sentence; …Bytes are sizes, textBytes that of the answer so far; …Ms are durations. Never message text, never a
 * secret. */
#ifndef ROOST_EVENT_EVENTS_H
#define ROOST_EVENT_EVENTS_H

#include "base/base.h"

#define EVENT_OF_REQUEST "requestId conversationId attempt model textBytes code error class providerRequestId"

/* clang-format off */
/* type                             fields                             when */
#define EVENT_MAP(X)                                                                                                                   \
	X("daemon.started",        "version pid incarnation startMs", "the daemon is ready")                                           \
	X("daemon.stopping",       "status",                          "it was told to stop")                                           \
	X("daemon.stopped",        "upMs",                            "the last line before it ends")                                  \
	X("device.paired",         "userId deviceId platform",        "a pairing code was used")                                       \
	X("device.connected",      "userId deviceId",                 "a device said hello")                                           \
	X("device.disconnected",   "userId deviceId closeCode",       "its socket closed, with this WebSocket code")                   \
	X("session.primary",       "userId sessionId deviceId term",  "another device is primary of a session, or none")               \
	X("session.cleared",       "userId conversationId killedSessionId sessionId deviceId", "a session was killed and the next one opened") \
	X("device.revoked",        "userId deviceId",                 "its credential was withdrawn")                                  \
	X("mdns.published",        "name port",                       "the local network can find the daemon under this name")         \
	X("mdns.unavailable",      "error",                           "Avahi does not answer; it is tried again, and told once")        \
	X("request.queued",        EVENT_OF_REQUEST,                  "a request is on disk")                                          \
	X("request.claimed",       EVENT_OF_REQUEST,                  "an attempt begins")                                             \
	X("request.connected",     EVENT_OF_REQUEST,                  "the provider's connection stands")                              \
	X("request.firstToken",    EVENT_OF_REQUEST,                  "its first text came")                                           \
	X("request.stopRequested", EVENT_OF_REQUEST,                  "somebody pressed stop")                                         \
	X("request.retrying",      EVENT_OF_REQUEST,                  "an attempt failed; another will follow")                        \
	X("request.recovered",     EVENT_OF_REQUEST,                  "an attempt of an earlier run was given up; it is queued again") \
	X("request.superseded",    EVENT_OF_REQUEST,                  "a late result was refused: a newer attempt has the fence")      \
	X("request.done",          EVENT_OF_REQUEST,                  "reply and completion are on disk")                              \
	X("request.failed",        EVENT_OF_REQUEST,                  "it was given up")                                               \
	X("request.stopped",       EVENT_OF_REQUEST,                  "it was stopped; what had come is kept")                         \
	X("request.found",         EVENT_OF_REQUEST,                  "the sweep found work whose nudge was lost")                     \
	X("request.paced",         EVENT_OF_REQUEST,                  "it waits for what error names: a limit, or its provider's circuit") \
	X("circuit.opened",        EVENT_OF_REQUEST,                  "its provider is left alone for a while")                        \
	X("circuit.closed",        EVENT_OF_REQUEST,                  "its provider works again")                                      \
	X("watchdog.sweep",        "lateMs",                          "the sweep did not answer; another was started")                 \
	X("watchdog.worker",       EVENT_OF_REQUEST,                  "an attempt made no progress and was ended")                     \
	X("watchdog.stream",       "error",                           "the writing of streams was stuck and was begun anew")           \
	X("store.full",            "code error",                      "the disk is full; nothing is acknowledged")                     \
	X("store.recovered",       "downMs",                          "space returned")                                                \
	X("backup.started",        "path",                            "a copy of the store is begun")                                  \
	X("backup.done",           "path bytes",                      "a copy of the store is complete and on disk")                   \
	X("backup.failed",         "path code error",                 "it was given up")                                               \
	X("journal.dropped",       "count reason",                    "so many lines could not be written before this one")            \
	X("journal.repaired",      "bytes",                           "a torn end was moved to current.jsonl.torn")
/* clang-format on */

struct event_row {
	const char *type;
	const char *fields; /* names, a space between */
	const char *when;
};
extern const struct event_row event_rows[];
extern const size_t event_count;

/* The row of a type, or NULL. */
const struct event_row *event_find(struct str type);
bool event_has_field(const struct event_row *row, struct str field);

#endif
