/* Every limit of the daemon: its name (also its key under `limits:` in the configuration), its default, the range a
 * configuration may choose from, and what it bounds. An error that a limit causes quotes the name and the value. */
#ifndef ROOST_BASE_LIMITS_H
#define ROOST_BASE_LIMITS_H

#include "base/base.h"

/* clang-format off */
/*        field                     config key                 default       min          max           unit   what it bounds */
#define LIMIT_MAP(X)                                                                                                             \
	X(frame_bytes,              "frameBytes",              1 << 20,      4096,        16 << 20,     "bytes", "one WebSocket message or JSON body from a device") \
	X(head_bytes,               "headBytes",               16 << 10,     1024,        1 << 20,      "bytes", "request line and headers of an HTTP request") \
	X(asset_bytes,              "assetBytes",              64 << 20,     1024,        4LL << 30,    "bytes", "one attachment")       \
	X(text_bytes,               "textBytes",               512 << 10,    1024,        8 << 20,      "bytes", "the text of one message") \
	X(record_bytes,             "recordBytes",             768 << 10,    1024,        8 << 20,      "bytes", "the fields of one record") \
	X(params_bytes,             "paramsBytes",             256 << 10,    256,         8 << 20,      "bytes", "params of one request, with its defaults") \
	X(batch_records,            "batchRecords",            200,          1,           1000,         "records", "one record:save")    \
	X(page_records,             "pageRecords",             200,          1,           1000,         "records", "one page of changes or of a query") \
	X(answer_bytes,             "answerBytes",             2 << 20,      1024,        64 << 20,     "bytes", "the text of one answer from a provider") \
	X(context_bytes,            "contextBytes",            256 << 10,    1024,        16 << 20,     "bytes", "conversation text given to a provider with a request") \
	X(provider_body_bytes,      "providerBodyBytes",       32 << 20,     4096,        1LL << 30,    "bytes", "everything one provider call may send us") \
	X(connections,              "connections",             16384,        4,           100000,       "connections", "open connections in all") \
	X(connections_per_address,  "connectionsPerAddress",   16384,        1,           100000,       "connections", "open connections from one address") \
	X(devices_per_user,         "devicesPerUser",          4096,         1,           100000,       "devices", "paired devices of one user") \
	X(zones_per_user,           "zonesPerUser",            64,           1,           10000,        "zones", "zones of one user")  \
	X(own_types,                "ownTypes",                4096,         1,           100000,       "types", "record types of all applications together") \
	X(indexed_fields,           "indexedFields",           256,          1,           1024,         "fields", "fields of an application's record that are no list or object") \
	X(unanswered_calls,         "unansweredCalls",         1024,         1,           100000,       "frames", "frames of one device that are not answered yet") \
	X(joined_sessions,          "joinedSessions",          64,           1,           1000,         "sessions", "sessions one device is joined to") \
	X(listing_pages,            "listingPages",            16,           1,           1000,         "pages", "pages of one provider's list of models that are read") \
	X(running_per_provider,     "runningPerProvider",      64,           1,           4096,         "requests", "provider calls at once to one provider, unless the provider says otherwise") \
	X(open_requests,            "openRequests",            256,          1,           100000,       "requests", "requests of one conversation that are not finished") \
	X(attempts,                 "attempts",                5,            1,           100,          "attempts", "tries at one request before it fails; those that met a limiting or overloaded provider do not count") \
	X(device_queue_bytes,       "deviceQueueBytes",        1 << 20,      4096,        64 << 20,     "bytes", "unsent data for one device before its stream is reset") \
	X(writer_queue_bytes,       "writerQueueBytes",        64 << 20,     1 << 20,     1LL << 30,    "bytes", "commands waiting for the store") \
	X(unfinished_bytes,         "unfinishedBytes",         64 << 20,     1 << 20,     1LL << 30,    "bytes", "unfinished WebSocket messages and HTTP bodies of all connections together") \
	X(head_ms,                  "headMs",                  10000,        100,         600000,       "ms",   "time to receive a request's head") \
	X(body_ms,                  "bodyMs",                  30000,        100,         600000,       "ms",   "time in which a body must make progress") \
	X(idle_ms,                  "idleMs",                  75000,        100,         3600000,      "ms",   "silence on an HTTP connection between requests") \
	X(write_stall_ms,           "writeStallMs",            30000,        100,         600000,       "ms",   "time in which a peer must take what we send") \
	X(ping_ms,                  "pingMs",                  30000,        100,         600000,       "ms",   "silence after which a device is pinged; twice this closes it") \
	X(message_ms,               "messageMs",               60000,       100,         3600000,      "ms",   "from the first byte of a WebSocket message to its last") \
	X(connect_ms,               "connectMs",               10000,        10,          600000,       "ms",   "connecting to a provider")    \
	X(first_token_ms,           "firstTokenMs",            120000,       10,          3600000,      "ms",   "from a provider call to its first text") \
	X(stream_idle_ms,           "streamIdleMs",            60000,        10,          3600000,      "ms",   "silence in the middle of an answer") \
	X(agent_grace_ms,           "agentGraceMs",            2000,         10,          600000,       "ms",   "from asking a command-line agent to end to killing it") \
	X(permission_ms,            "permissionMs",            120000,       100,         86400000,     "ms",   "how long an agent's question waits for a person before it is refused") \
	X(answer_ms,                "answerMs",                1800000,      100,         86400000,     "ms",   "one attempt as a whole")      \
	X(backoff_ms,               "backoffMs",               500,          1,           600000,       "ms",   "longest first wait after a failed attempt; doubles, and each wait is a random part of it") \
	X(backoff_max_ms,           "backoffMaxMs",            30000,        1,           3600000,      "ms",   "the longest wait between attempts") \
	X(retry_horizon_ms,         "retryHorizonMs",          600000,       0,           86400000,     "ms",   "from a request's first failure to the last moment at which another attempt may begin") \
	X(circuit_failures,         "circuitFailures",         5,            1,           1000,         "failures", "failures in a row after which a provider is left alone for a while") \
	X(circuit_window_ms,        "circuitWindowMs",         60000,        100,         3600000,      "ms",   "longest time between two such failures") \
	X(circuit_ms,               "circuitMs",               5000,         1,           3600000,      "ms",   "how long a provider is left alone at first; doubles up to backoffMaxMs") \
	X(duplicate_ms,             "duplicateMs",             5000,        0,           600000,       "ms",   "in which the same text from another device is taken for a duplicate; 0 is off") \
	X(duplicate_entries,        "duplicateEntries",        1 << 20,     16,          1 << 24,      "messages", "recent messages that another device's text is compared with") \
	X(heartbeat_ms,             "heartbeatMs",             4000,        100,         600000,       "ms",   "silence after which a primary device gives way to the next one") \
	X(primary_grace_ms,         "primaryGraceMs",          5000,        0,           600000,       "ms",   "time the primary of before a restart has to come back") \
	X(lock_ms,                  "lockMs",                  60000,       100,         3600000,      "ms",   "longest lease of a session's lock before it must be renewed") \
	X(lock_waiters,             "lockWaiters",             64,          1,           1000,         "devices", "devices that wait for one session's lock") \
	X(stamp_ahead_ms,           "stampAheadMs",            60000,       0,           86400000,     "ms",   "how far a device's clock may be ahead of ours when two edits are compared") \
	X(auto_messages,            "autoMessages",            1000,         1,           100000,       "messages", "automatic messages of one run, whatever its own limit says") \
	X(auto_ms,                  "autoMs",                  86400000,     1000,        31536000000,  "ms",   "running time of one automatic run, whatever its own limit says") \
	X(auto_params_bytes,        "autoParamsBytes",         16384,        256,         262144,       "bytes", "params of an automatic run") \
	X(pairing_ms,               "pairingMs",               600000,       1000,        86400000,     "ms",   "life of a pairing code")        \
	X(pairing_tries,            "pairingTries",            10,           1,           1000,         "tries", "wrong pairing codes from one address in ten minutes") \
	X(stream_keep_ms,           "streamKeepMs",            604800000,    0,           31536000000,  "ms",   "how long a finished attempt's own stream stays readable") \
	X(tombstone_keep_ms,        "tombstoneKeepMs",         2592000000,   0,           315360000000, "ms",   "how long the feed still tells of a deletion") \
	X(asset_keep_ms,            "assetKeepMs",             86400000,     0,           31536000000,  "ms",   "how long an attachment nobody refers to stays") \
	X(experiment_look_ms,       "experimentLookMs",        1000,         100,         3600000,      "ms",   "from one look at the experiments that run to the next") \
	X(experiment_bytes,         "experimentBytes",         16 << 20,     4096,        512 << 20,    "bytes", "a manifest.json that is read for an experiment's record") \
	X(journal_bytes,            "journalBytes",            16 << 20,     4096,        1LL << 30,    "bytes", "one journal file before the next is begun") \
	X(journal_files,            "journalFiles",            8,            1,           1000,         "files", "journal files kept")
/* clang-format on */

struct limits {
#define X(field, key, def, lo, hi, unit, what) int64_t field;
	LIMIT_MAP(X)
#undef X
};

struct limit_row {
	const char *key, *unit, *what;
	int64_t def, lo, hi;
	size_t offset; /* of the int64_t in struct limits */
};
extern const struct limit_row limit_rows[];
extern const size_t limit_count;

void limits_default(struct limits *l);
/* Sets one limit by its key; ERR_CONFIG names the range. */
MUST_USE enum err limits_set(struct limits *l, struct str key, int64_t value, struct errinfo *info);

#endif
