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
	bool is_cut;         /* older messages were left out already */
	struct str params;   /* a JSON object, or "": see provider/params.h and provider/local.h */
	struct str data_dir; /* attachments are in its assets/ */
	uint64_t seed;       /* for deterministic providers */
	int64_t attempt;     /* from 1; 0 unknown. Only local:test looks at it, for failTimes. */
};

struct call_hooks {
	void (*connected)(void *ctx);
	void (*rates)(void *ctx, const struct rates *seen);              /* the head told of rate limits; may be NULL */
	void (*text)(void *ctx, enum stream_kind kind, struct str text); /* valid, whole UTF-8 characters */
	void (*done)(void *ctx, const struct call_outcome *o);           /* last; the call is gone after it */
};

/* Starts; callbacks come later from the loop, never from inside this call. An unknown model ends in done with
 * ERR_MODEL_UNKNOWN. A callback may start, cancel and pause calls. */
struct provider_call *provider_call_start(struct providers *p, const struct call_spec *spec,
					  const struct call_hooks *hooks, void *ctx);
/* The socket is closed when this returns; no callback comes after it. */
void provider_call_cancel(struct provider_call *c);
/* Back-pressure. Text that had been read already may still come; a paused call has no silence deadline. */
void provider_call_pause(struct provider_call *c, bool paused);

#endif
