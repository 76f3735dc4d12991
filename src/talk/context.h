/* The context window: what of a conversation fits a model.
 *
 * A rule of the request says what happens when not all of it does:
 *   drop       the oldest messages are left out, and the request's timeline says how many (the default)
 *   refuse     the request fails before any call
 *   summarise  the oldest messages are replaced by a summary that the same model makes of them first
 * Sizes are tokens, estimated by the model's family. The limit is exact: what has as many tokens as there is room fits.
 * System prompts and the newest message are never left out; when they alone are too much, every rule refuses. What is
 * left begins with a message that may begin a conversation: a person's, and not the result of a tool. Pure. */
#ifndef ROOST_TALK_CONTEXT_H
#define ROOST_TALK_CONTEXT_H

#include "base/base.h"

enum context_rule { CONTEXT_DROP, CONTEXT_REFUSE, CONTEXT_SUMMARISE }; /* as param_contexts names them */
bool context_rule_parse(struct str name, enum context_rule *out);

struct context_message {
	int64_t tokens;
	bool is_pinned; /* a system prompt */
	bool may_begin;
};

struct context_plan {
	bool fits;       /* false: refuse */
	size_t first;    /* unpinned messages before it are left out */
	size_t left_out; /* how many those are */
	int64_t tokens;  /* of what stays */
	int64_t all;     /* of everything */
};

/* `room`: tokens there are for the conversation; 0 when that is not known, and then all fits. `reserve`: tokens that are
 * needed besides when something is left out (a summary). */
void context_plan(const struct context_message *list, size_t n, int64_t room, int64_t reserve, enum context_rule rule,
		  struct context_plan *out);

/* The room in a window: what the answer may take is kept free. That is `max_tokens` when the request names it, else what
 * the model can say at most, but no more than a quarter of the window. 0 when the window is not known. */
int64_t context_room(int64_t window, int64_t max_output, int64_t max_tokens);

#endif
