/* Records: what everything that a device sees is.
 *
 * A record is (zone, type, name) → fields, with a place in its zone's feed. The place of its last change is also its
 * change tag: places only grow, so a tag is never used twice in a zone. Fields are one JSON object, kept as text; what
 * this daemon does not know passes through it byte for byte.
 *
 * This folder is pure: no I/O, no clock, no globals. */
#ifndef ROOST_RECORD_RECORD_H
#define ROOST_RECORD_RECORD_H

#include "base/arena.h"
#include "base/json.h"

/* Types the daemon knows, with fixed numbers; an application's own types get the next free ones from the store.
 * `writable`: the fields record:save may set on a device's behalf, a comma list; "*" all, "" none. `rights`: what else
 * it may do to a record of the type; what is missing there has a verb of its own or is the daemon's business. */
enum { RIGHT_CREATE = 1, RIGHT_DELETE = 2, RIGHT_REVIVE = 4 /* save over a tombstone: the name starts a new life */ };
#define RIGHT_ALL (RIGHT_CREATE | RIGHT_DELETE | RIGHT_REVIVE)
/* clang-format off */
#define RECORD_TYPE_MAP(X)                                                                                             \
	X(RT_PROJECT,      1, "Project",      "*",                                                       RIGHT_ALL)      \
	X(RT_CONVERSATION, 2, "Conversation", "title,projectId,model,pinned,tags,archived,settings,defaults", RIGHT_CREATE | RIGHT_DELETE) \
	X(RT_SESSION,      3, "Session",      "",                                                        0)              \
	X(RT_MESSAGE,      4, "Message",      "tags,readBy,hiddenBy",                                    0)              \
	X(RT_REQUEST,      5, "Request",      "stopRequested",                                           0)              \
	X(RT_DEVICE,       6, "Device",       "name,settings",                                           0)              \
	X(RT_SYNC_STATE,   7, "SyncState",    "status,pending,lastError",                                0)              \
	X(RT_PRESET,       8, "Preset",       "*",                                                       RIGHT_ALL)      \
	X(RT_EXPERIMENT,   9, "Experiment",   "",                                                        0)              \
	X(RT_REVISION,    10, "Revision",     "",                                                        0)              \
	X(RT_AUTO_STEP,   11, "AutoStep",     "",                                                        0)              \
	X(RT_PERMISSION,  12, "Permission",   "",                                                        0)              \
	X(RT_SPEND,       13, "Spend",        "",                                                        0)              \
	X(RT_BUDGET,      14, "Budget",       "",                                                        0)
/* clang-format on */
enum record_type {
#define X(sym, n, name, writable, rights) sym = n,
	RECORD_TYPE_MAP(X)
#undef X
		RT_FIRST_OWN = 64 /* applications' types start here */
};

struct record {
	int64_t row;          /* the store's own key; 0 before the first save */
	uint32_t zone;        /* the store's number of the zone */
	uint32_t type;        /* enum record_type or the store's number */
	struct str type_name; /* filled on reads; on writes only needed for a new type of an application */
	struct str name;
	int64_t seq;         /* feed place of the last change, and the change tag; 0 before the first save */
	int64_t group;       /* feed place at which the command of that change began; a page never splits a group */
	int64_t created_ms;  /* wall time */
	int64_t modified_ms; /* wall time */
	uint32_t created_by, modified_by; /* principals: a device of a user, or the user's daemon */
	bool deleted;
	struct str fields; /* a JSON object; "{}" for a tombstone */
	int64_t conv;      /* Message, Request, Session: row of the Conversation; 0 otherwise */
	int64_t ord;       /* Message: place in the conversation from 1; 0 otherwise */
	int32_t state;     /* Request: enum open_state while it is open; 0 otherwise */
	struct str origin; /* Message: what its sender first sent, see relay/; kept by tombstones; else STR_NONE */
};

/* A change tag is the place in base 36 after a letter. Tags are opaque to clients. */
#define TAG_CAP 16
size_t tag_format(int64_t seq, char out[TAG_CAP]);
bool tag_parse(struct str text, int64_t *out_seq);

/* A cursor is store epoch + place: "1.<epoch, 16 hex>.<place, base 36>". Opaque to clients. */
#define CURSOR_CAP 40
size_t cursor_format(uint64_t epoch, int64_t seq, char out[CURSOR_CAP]);
bool cursor_parse(struct str text, uint64_t *out_epoch, int64_t *out_seq);

/* Who a principal is, for the wire. */
struct principal {
	uint32_t id;
	int64_t user;         /* the store's number of the user */
	struct str user_id;   /* public id */
	struct str device_id; /* "" is the user's daemon */
};

/* Appends the record as it goes over the wire:
 * {"type","name","changeTag","created":{"at","userId","deviceId"},"modified":{…},"deleted","fields"} */
void record_write(struct jw *w, const struct record *r, const struct principal *created_by,
		  const struct principal *modified_by);

/* Fixed number of a type the daemon knows, 0 for another. */
uint32_t record_type_number(struct str name);
struct str record_type_name(uint32_t known);
/* ERR_FORBIDDEN, naming the field, when a device may not set one of `fields` on this type. */
MUST_USE enum err record_check_writable(uint32_t type, const struct json *fields, struct errinfo *info);
bool record_field_writable(uint32_t type, struct str field);
bool record_may(uint32_t type, int right); /* RIGHT_…: may record:save do that to this type? */

/* Merge of a save into what is stored: POLICY_IF_UNCHANGED and POLICY_ALL_KEYS replace the fields, POLICY_CHANGED_KEYS
 * sets the given ones; a field given as null is removed. Fields not touched keep their bytes and their order; new ones
 * come last. The result goes to `out`; ERR_TOO_LARGE when it passes out->max.
 *
 * fields_merge_for is the same on a device's behalf: replacing touches only what record:save may write on this type, so
 * that what the daemon keeps in the record stays. */
enum save_policy { POLICY_IF_UNCHANGED, POLICY_CHANGED_KEYS, POLICY_ALL_KEYS, POLICY_MERGE /* not here: merge.h */ };
MUST_USE enum err fields_merge(struct str stored, const struct json *given, enum save_policy policy, struct buf *out,
			       struct errinfo *info);
MUST_USE enum err fields_merge_for(uint32_t type, struct str stored, const struct json *given, enum save_policy policy,
				   struct buf *out, struct errinfo *info);
/* The text of one object over that of another, as the daemon itself changes fields: POLICY_CHANGED_KEYS. */
MUST_USE enum err fields_patch(struct str stored, struct str changes, struct buf *out);

#endif
