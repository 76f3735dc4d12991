/* Provider calls for real: one attempt at an answer, from whichever provider serves the model.
 *
 * Builds the request with the provider's dialect (provider/), performs it over net/client, parses what streams back and
 * tells the caller in order: connected?, (text | thinking)*, done. Deadlines and sizes come from the limits: connectMs,
 * firstTokenMs from the start to the first text or thinking, streamIdleMs of silence after that (only text breaks it:
 * keep-alive comments and single bytes do not), answerMs for the whole, answerBytes, providerBodyBytes. Everything on
 * the loop thread. */
#ifndef ROOST_HOST_CALL_H
#define ROOST_HOST_CALL_H

#include <uv.h>

#include "base/json.h"
#include "base/limits.h"
#include "host/prompt.h"
#include "provider/provider.h"
#include "provider/rates.h"
#include "store/store.h"

struct providers; /* host/providers.h */
struct provider_call;

struct call_spec {
	struct str model;                      /* registry id: "local:test" */
	const struct prompt_message *messages; /* oldest first; copied */
	size_t nmessages;
	bool is_cut;               /* older messages were left out already */
	struct str params;         /* a JSON object, or "": see provider/params.h and provider/local.h */
	struct str data_dir;       /* attachments are in its assets/ */
	uint64_t seed;             /* for deterministic providers */
	int64_t attempt;           /* from 1; 0 unknown. Only local:test looks at it, for failTimes. */
	struct str conversation;   /* its name, unlike any other's of any user: an agent has a directory for each */
	struct str agent_sessions; /* of its session: a JSON object, provider → the agent's own name of it; "" none */
};

/* A command-line agent asks whether it may use a tool. */
struct call_question {
	struct str id, tool, input; /* id: the agent's own; input: a JSON object */
};

struct call_hooks {
	void (*connected)(void *ctx);
	void (*rates)(void *ctx, const struct rates *seen);              /* the head told of rate limits; may be NULL */
	void (*text)(void *ctx, enum stream_kind kind, struct str text); /* valid, whole UTF-8 characters */
	void (*asked)(void *ctx, const struct call_question *q);         /* provider_call_answer it; NULL: refused */
	void (*withdrawn)(void *ctx, struct str question_id);            /* it needs no answer; may be NULL */
	void (*done)(void *ctx, const struct call_outcome *o);           /* last; the call is gone after it */
};

/* Starts; callbacks come later from the loop, never from inside this call. An unknown model ends in done with
 * ERR_MODEL_UNKNOWN. A callback may start, cancel and pause calls. */
struct provider_call *provider_call_start(struct providers *p, const struct call_spec *spec,
					  const struct call_hooks *hooks, void *ctx);
/* Answers an agent's question; one that it doesn't wait for any more is ignored. `message` is for the agent, "" none. */
void provider_call_answer(struct provider_call *c, struct str question_id, bool allow, struct str message);
/* The socket is closed, or the agent asked to end, when this returns; no callback comes after it. */
void provider_call_cancel(struct provider_call *c);
/* What it has used so far: estimates; USAGE_UNKNOWN before it was sent. */
void provider_call_used(const struct provider_call *c, struct call_usage *out);
/* Back-pressure. Text that had been read already may still come; a paused call has no silence deadline. */
void provider_call_pause(struct provider_call *c, bool paused);

#endif
