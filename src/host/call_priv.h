/* The inside of a provider call, shared by call.c (what all calls have in common, and those over HTTP) and call_local.c
 * (those that need no network). */
#ifndef ROOST_HOST_CALL_PRIV_H
#define ROOST_HOST_CALL_PRIV_H

#include <sys/queue.h>

#include "host/call.h"
#include "host/providers.h"
#include "net/client.h"
#include "provider/answer.h"
#include "provider/local.h"

enum source { SOURCE_REMOTE, SOURCE_TEST, SOURCE_SILENT };

struct provider {
	char *name, *base_url, *key; /* key: NULL none */
	char **models;               /* NULL-terminated; NULL: any */
	const struct dialect *dialect;
	enum source source;
	int64_t concurrency;
	bool allow_private;
};

struct providers {
	uv_loop_t *loop;
	const struct limits *limits;
	struct http_client *http;
	struct provider *list;
	size_t n;
	TAILQ_HEAD(, provider_call) calls;
};

struct provider_call {
	struct providers *owner;
	const struct provider *provider; /* NULL: the model is unknown */
	struct call_hooks hooks;
	void *ctx;
	uv_timer_t timer;
	int depth;    /* frames of ours that will still look at the call */
	bool is_over; /* cancelled or done: no callback any more */
	bool paused;
	bool complete; /* the provider said all it will say */
	bool got_text;
	bool begun;                    /* local: on_tick ran once */
	bool silent;                   /* local: answers "…" */
	int64_t started_ms, active_ms; /* loop time: the start; the last text, or the end of a pause */
	int64_t input_estimate, output_bytes, received_bytes;
	struct call_outcome early; /* err is set when the call fails before it begins */
	TAILQ_ENTRY(provider_call) link;

	/* remote */
	struct http_call *http;
	struct answer *answer;

	/* local */
	struct local_plan plan;
	struct local_text text;
	int64_t made;         /* tokens so far */
	int64_t first_due_ms; /* loop time of the first token */
	struct buf piece;
};

/* providers.c. NULL: nobody serves it; *out_model is the id without its provider. */
const struct provider *find_provider(const struct providers *p, struct str model, struct str *out_model);

/* call.c. A callback's frame: the call's memory outlives it. */
void call_enter(struct provider_call *c);
void call_leave(struct provider_call *c);
int64_t call_now_ms(const struct provider_call *c);
/* Hands on text; false when nothing more is wanted. */
bool call_text(struct provider_call *c, enum answer_kind kind, struct str text);
/* The last callback. Usage that the provider did not tell is estimated. */
void call_done(struct provider_call *c, struct call_outcome *o);
/* A limit ends it. */
void call_fail(struct provider_call *c, enum err e, const char *what, int64_t limit, const char *key);
/* The deadlines of a call over HTTP, or of one that is silent on purpose. */
void call_set_deadline(struct provider_call *c);

/* call_local.c. */
MUST_USE enum err local_start(struct provider_call *c, const struct call_spec *spec, struct str model,
			      struct errinfo *info);
void local_pause(struct provider_call *c, bool paused);

#endif
