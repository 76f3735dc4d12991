/* What a participant is given to answer: the router and the context window.
 *
 * A conversation is the same thing whoever talks in it. Each participant sees its own messages as "assistant", everybody
 * else's as "user", and a system prompt first. The view is filled newest message first, because what does not fit the
 * window is the oldest; messages are never cut in the middle, and the newest one is always in, however long. Runs of
 * one role stay separate messages. */
#ifndef ROOST_TALK_VIEW_H
#define ROOST_TALK_VIEW_H

#include "base/arena.h"

enum talk_role { ROLE_USER, ROLE_ASSISTANT, ROLE_SYSTEM };
struct str talk_role_name(enum talk_role role);
bool talk_role_parse(struct str name, enum talk_role *out);

struct talk_message {
	enum talk_role role;
	struct str text, parts; /* parts: a JSON array as the Message has it, or "" */
};

struct view {
	struct arena *arena;
	int64_t left;              /* bytes of text that still fit */
	bool started;              /* the newest message is in */
	bool is_cut;               /* a message did not fit */
	struct talk_message *list; /* newest first until view_end, then oldest first */
	size_t n, cap;
};

void view_begin(struct view *v, struct arena *arena, int64_t window_bytes);
/* False when the message did not fit: the window is full and the caller can stop walking. Text and parts are copied. */
bool view_add(struct view *v, enum talk_role role, struct str text, struct str parts);
void view_end(struct view *v, struct str system_prompt /* or STR_NONE */);

#endif
