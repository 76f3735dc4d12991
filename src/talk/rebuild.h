/* A conversation as its log alone tells it: who spoke, what was said and given, and every request as it was made.
 *
 * Events are taken in their order, from the first. A branch's own beginning is in its log too, so the log of its source is
 * not needed. Logs whose texts are redacted hold no conversation: they end with ERR_BAD_STATE at the first message. */
#ifndef ROOST_TALK_REBUILD_H
#define ROOST_TALK_REBUILD_H

#include "talk/conductor.h"

struct rebuild;

struct rebuild *rebuild_new(void);
void rebuild_free(struct rebuild *r); /* NULL is fine */
/* ERR_BAD_STATE: the event does not fit those before it; it is passed over. */
MUST_USE enum err rebuild_event(struct rebuild *r, const struct lab_event *e, struct errinfo *info);
/* The conversation so far; NULL before its first turn. Only to be looked at: conductor_message, _name and _state. */
const struct conductor *rebuild_conductor(const struct rebuild *r);

/* Right behind a MessageRequestEvent: what it asked with. ERR_CORRUPT: the event has the hash of something else. */
MUST_USE enum err rebuild_request(const struct rebuild *r, const struct lab_event *request, struct arena *arena,
				  struct conductor_view *out, struct errinfo *info);

#endif
