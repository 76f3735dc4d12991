/* Errors: one enum for the whole program, one row for each.
 *
 * A fallible function returns enum err by value, 0 (OK) when it worked, and hands results out through its last
 * parameters. Whoever finds the fault may say more in a struct errinfo: what was wrong, where, and the limit it broke.
 * The same row gives the code on the WebSocket, the status on HTTP and the exit status of a command. */
#ifndef ROOST_BASE_ERR_H
#define ROOST_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* clang-format off */
/*      symbol                wire code              HTTP exit retry  default sentence */
#define ERR_MAP(X)                                                                                                     \
	X(OK,                   "ok",                    200, 0,  false, "no error")                                       \
	X(ERR_NOMEM,            "out_of_memory",         500, 71, true,  "out of memory")                                  \
	X(ERR_INTERNAL,         "internal",              500, 70, false, "something inside the daemon went wrong; the journal says more") \
	X(ERR_BAD_JSON,         "bad_json",              400, 65, false, "not valid JSON")                                 \
	X(ERR_BAD_FRAME,        "bad_frame",             400, 65, false, "a frame is a JSON object with a string \"type\"") \
	X(ERR_UNKNOWN_TYPE,     "unknown_type",          400, 65, false, "no such frame type")                             \
	X(ERR_BAD_FIELD,        "bad_field",             400, 65, false, "a field is missing or has the wrong type")       \
	X(ERR_TOO_LARGE,        "too_large",             413, 65, false, "larger than the limit")                          \
	X(ERR_BAD_REQUEST,      "bad_request",           400, 64, false, "the request is malformed")                       \
	X(ERR_HEADERS_TOO_LARGE,"headers_too_large",     431, 65, false, "the request's head is larger than the limit")    \
	X(ERR_URI_TOO_LONG,     "uri_too_long",          414, 65, false, "the request's target is longer than the limit")  \
	X(ERR_BAD_MEDIA_TYPE,   "bad_media_type",        415, 65, false, "the body must be application/json")              \
	X(ERR_NOT_FOUND,        "not_found",             404, 66, false, "no such thing, or not yours")                    \
	X(ERR_METHOD,           "method_not_allowed",    405, 64, false, "this address does not take that method")         \
	X(ERR_TIMEOUT,          "request_timeout",       408, 75, true,  "the request took too long to arrive")             \
	X(ERR_UPGRADE,          "upgrade_required",      426, 64, false, "this address speaks WebSocket, version 13")        \
	X(ERR_BAD_HOST,         "bad_host",              421, 77, false, "this Host is not on the allow-list (config: hosts)") \
	X(ERR_BAD_ORIGIN,       "bad_origin",            403, 77, false, "this Origin is not on the allow-list (config: origins)") \
	X(ERR_UNAUTHORIZED,     "unauthorized",          401, 77, false, "a valid device credential is needed; pair with: roost pair") \
	X(ERR_FORBIDDEN,        "forbidden",             403, 77, false, "this credential may not do that")                \
	X(ERR_PAIRING,          "pairing_invalid",       403, 77, false, "this pairing code is wrong, used or expired; get a new one with: roost pair") \
	X(ERR_RATE_LIMITED,     "rate_limited",          429, 75, true,  "too many tries; wait and try again")             \
	X(ERR_CONFLICT,         "conflict",              409, 65, false, "the record changed since the given change tag")  \
	X(ERR_EXISTS,           "exists",                409, 65, false, "a record of this name exists")                   \
	X(ERR_ATOMIC,           "atomic_failed",         409, 65, false, "another record of the atomic batch failed; nothing was saved") \
	X(ERR_ID_REUSED,        "message_id_reused",     409, 65, false, "this message id was used for other content; nothing was changed") \
	X(ERR_DUPLICATE,        "duplicate_message",     409, 65, false, "another device sent the same text a moment ago") \
	X(ERR_SESSION_KILLED,   "session_killed",        409, 65, false, "this session was cleared; send to the new one")  \
	X(ERR_NOT_PRIMARY,      "not_primary",           409, 65, false, "only the primary device's current term may send automatically") \
	X(ERR_PRIMARY_EXISTS,   "primary_exists",        409, 65, false, "another device is primary")                      \
	X(ERR_SESSION_LOCKED,   "session_locked",        423, 65, true,  "another device holds the session's lock")        \
	X(ERR_NOT_HOLDER,       "not_lock_holder",       409, 65, false, "this device does not hold the session's lock")    \
	X(ERR_NOT_JOINED,       "not_joined",            409, 65, false, "this device has not joined the session")          \
	X(ERR_OFFLINE,          "device_offline",        409, 65, false, "that device is not connected")                    \
	X(ERR_AUTO_STOPPED,     "auto_stopped",          409, 65, false, "no automatic run is going on in this session")    \
	X(ERR_ANSWERED,         "already_answered",      409, 65, false, "that answer was followed already")                \
	X(ERR_SUPERSEDED,       "attempt_superseded",    410, 65, false, "a newer attempt replaced this one")              \
	X(ERR_BAD_STATE,        "bad_state",             409, 65, false, "the request is not in a state that allows this") \
	X(ERR_CURSOR_EXPIRED,   "cursor_expired",        410, 65, false, "this cursor is too old or from another store; sync again from none") \
	X(ERR_STORAGE_FULL,     "storage_full",          507, 73, true,  "the disk is full; nothing was saved")            \
	X(ERR_READ_ONLY,        "read_only",             507, 73, false, "the data directory cannot be written")           \
	X(ERR_IO,               "io_error",              500, 74, false, "the disk failed")                                \
	X(ERR_CORRUPT,          "corrupt",               500, 74, false, "stored data failed its check; run: roost doctor") \
	X(ERR_LOCKED,           "already_running",       409, 73, false, "another roost daemon has this data directory")   \
	X(ERR_NEWER_SCHEMA,     "newer_schema",          500, 78, false, "the store was written by a newer roost")         \
	X(ERR_OVERLOADED,       "overloaded",            503, 75, true,  "the daemon is behind; try again")                \
	X(ERR_TOO_MANY,         "too_many",              429, 75, true,  "too many of these")                              \
	X(ERR_SHUTTING_DOWN,    "shutting_down",         503, 75, true,  "the daemon is stopping")                         \
	X(ERR_MODEL_UNKNOWN,    "model_unknown",         400, 65, false, "no provider serves this model")                  \
	X(ERR_PROVIDER_DOWN,    "provider_unreachable",  502, 69, true,  "the provider could not be reached")              \
	X(ERR_PROVIDER_TIMEOUT, "provider_timeout",      504, 69, true,  "the provider did not answer in time")            \
	X(ERR_PROVIDER_BUSY,    "provider_busy",         503, 69, true,  "the provider is limiting or overloaded")         \
	X(ERR_PROVIDER_CUT,     "provider_interrupted",  502, 69, true,  "the provider's answer broke off")                \
	X(ERR_PROVIDER,         "provider_error",        502, 69, true,  "the provider reported an error")                 \
	X(ERR_PROVIDER_REFUSED, "provider_refused",      502, 69, false, "the provider refused the request")               \
	X(ERR_PROVIDER_LIMIT,   "provider_too_much",     502, 69, false, "the provider's answer broke a limit")            \
	X(ERR_CANCELLED,        "cancelled",             409, 75, false, "stopped")                                        \
	X(ERR_USAGE,            "usage",                 400, 64, false, "wrong usage")                                    \
	X(ERR_CONFIG,           "bad_config",            400, 78, false, "the configuration is wrong")                     \
	X(ERR_UNAVAILABLE,      "unavailable",           503, 69, true,  "no daemon answers; start one with: roost serve") \
	X(ERR_BUDGET,           "budget_spent",          402, 75, false, "the budget is spent")
/* clang-format on */

enum err {
#define X(sym, code, http, exit, retry, text) sym,
	ERR_MAP(X)
#undef X
		ERR_COUNT
};

/* What went wrong, for a person. `text` is a sentence without a final stop; empty means the row's default. Never holds
 * a secret or message text. `retry_after_ms` is 0 when unknown. */
struct errinfo {
	enum err err;
	int64_t retry_after_ms;
	char text[240];
};

#define MUST_USE __attribute__((warn_unused_result))

const char *err_code(enum err e);
int err_http(enum err e);
int err_exit(enum err e);
bool err_retryable(enum err e);
const char *err_text(enum err e);
/* The error whose wire code is `code`, ERR_INTERNAL when there is none. */
enum err err_from_code(const char *code, uint32_t len);

/* Fills `info` (which may be NULL) and returns `e`, so that a function can end in `return err_set(info, e, "…", …)`. */
enum err err_set(struct errinfo *info, enum err e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Does this errno say that the disk has no room: full, a quota, a limit on the size of files? */
bool os_has_no_room(int os);
/* info's sentence, or the row's default when it has none. */
const char *err_sentence(const struct errinfo *info, enum err e);

#endif
