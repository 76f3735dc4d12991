/* Command-line agents as a dialect: what is said to one on its standard input, and how the lines are read that come from
 * its standard output. Pure; host/call_exec.c runs the program.
 *
 * The lines are those of `claude -p --output-format stream-json`: one JSON object a line, told apart by "type". `system`
 * begins, `stream_event` is a piece of a message as the Messages API streams it, `assistant` a whole message, `user` what
 * a tool said, `result` the end. What was said by pieces is not said again as a whole. A `control_request` with
 * `can_use_tool` is a question to a person. Unknown lines, and lines that are no JSON, are passed over. What a sub-agent
 * says to its agent (parent_tool_use_id) is not part of the answer.
 *
 * An agent keeps the conversation under a name of its own choice, its session. Who knows that name resumes it and says
 * only what is new; who does not says the whole conversation.
 *
 * The command decides how it is spoken to. With `--input-format stream-json` in it the input is JSON lines and stays open,
 * so that questions can be answered; without, the input is the text and ends. {model} and {system} stand for themselves
 * as whole arguments. */
#ifndef ROOST_PROVIDER_AGENT_H
#define ROOST_PROVIDER_AGENT_H

#include "provider/answer.h"

extern const struct dialect dialect_exec; /* not in dialect_find's table: it has no address */

#define AGENT_SESSION_MAX 128
#define AGENT_INPUT_MAX ((size_t)64 << 10) /* of a question: what a person can be shown */

bool agent_takes_lines(const char *const *command); /* its input stays open, for lines of JSON */

/* A question; the views die when `asked` returns. */
struct agent_question {
	struct str id;    /* the agent's own name for it */
	struct str tool;  /* STR_NONE: something else was asked for, which nobody here can give */
	struct str input; /* of the tool, a JSON object */
};
struct agent_hooks {
	void (*asked)(void *ctx, const struct agent_question *q);
	void (*withdrawn)(void *ctx, struct str id); /* the agent needs no answer any more */
	void *ctx;
};
/* Before the first feed. */
void agent_listen(struct answer *a, const struct agent_hooks *hooks);

/* What the lines said so far. */
struct str agent_session(struct answer *a);       /* "" nothing usable */
bool agent_is_working(struct answer *a);          /* a tool runs: its silence means nothing */
bool agent_lost_session(struct answer *a);        /* it doesn't know the session that it was to resume */
bool agent_says_session_is_lost(struct str said); /* the same, of what it wrote to standard error */
/* Is that a session's name that may stand in an argument? */
bool agent_session_is_good(struct str id);

/* Lines for its input. */
void agent_allow(struct buf *out, struct str question_id, struct str input);
void agent_refuse(struct buf *out, struct str question_id, struct str message);
void agent_cannot(struct buf *out, struct str question_id);

#endif
