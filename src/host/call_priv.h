/* The inside of a provider call, shared by call.c (what all calls have in common), call_remote.c (those over HTTP) and
 * call_local.c (those that need no network); call_exec.c has what is different for a command-line agent. */
#ifndef ROOST_HOST_CALL_PRIV_H
#define ROOST_HOST_CALL_PRIV_H

#include <sys/queue.h>

#include "host/call.h"
#include "host/child.h"
#include "host/prompt.h"
#include "host/providers.h"
#include "net/client.h"
#include "provider/agent.h"
#include "provider/local.h"

enum source { SOURCE_REMOTE, SOURCE_TEST, SOURCE_SILENT, SOURCE_EXEC };

struct provider {
	char *name, *base_url, *key; /* key: NULL none */
	char *proxy;                 /* NULL none */
	char *key_says;              /* where the key came from, or why there is none and what to do */
	const char *key_from;        /* a name of keys.h; NULL: it has no use for one */
	char **models;               /* NULL-terminated; NULL: any */
	const struct dialect *dialect;
	enum source source;
	int64_t concurrency;
	struct rate_limits limits; /* of all its models together */
	char **model_limits;       /* as configured, NULL-terminated; NULL none */
	bool allow_private;
	char **command, **env; /* of an agent, NULL-terminated; env: NAME=VALUE */
	char *path;            /* where it is looked for, and what it gets as PATH */
};

struct providers {
	uv_loop_t *loop;
	const struct limits *limits;
	struct http_client *http;
	struct provider *list;
	size_t n;
	TAILQ_HEAD(, provider_call) calls;
	struct child_list children;     /* agents that have not ended, also of calls that are over */
	struct key_check *checks;       /* under way; keycheck.h */
	struct catalog *catalog;        /* what is known of their models; NULL nothing */
	struct kept_summary *summaries; /* a ring; NULL: none yet */
	size_t nsummaries;              /* made so far */
};

struct provider_call {
	struct providers *owner;
	const struct provider *provider; /* NULL: the model is unknown */
	const struct model_info *about;  /* NULL: nothing is known of it */
	struct call_hooks hooks;
	void *ctx;
	uv_timer_t timer;
	int depth;    /* frames of ours that will still look at the call */
	bool is_over; /* cancelled or done: no callback any more */
	bool paused;
	bool complete; /* the provider said all it will say */
	bool got_text;
	bool begun;                            /* local: on_tick ran once */
	bool silent;                           /* local: answers "…" */
	int64_t started_ms, active_ms;         /* loop time: the start; the last text, or the end of a pause */
	int64_t input_estimate, output_weight; /* of this stage */
	int64_t output_bytes, received_bytes;
	struct call_outcome early; /* err is set when the call fails before it begins */
	TAILQ_ENTRY(provider_call) link;

	/* remote */
	struct prompt *prompt;
	struct making *making; /* another thread has the prompt */
	struct http_call *http;
	struct answer *answer;
	struct buf summary;           /* of what doesn't fit the window, as it comes */
	struct call_usage on_summary; /* what that took */
	bool has_summary;             /* … and that is known: it was made for this call */
	struct call_context context;
	bool summarising, connected;
	bool is_sent;     /* in this stage: the provider has the request */
	bool was_cut;     /* a limit of ours ended it */
	int64_t stage_ms; /* loop time at which this stage (the summary, the answer) began */

	/* an agent */
	struct child *child; /* NULL: it has ended, or not begun */
	char *place;         /* the directory it runs in */
	LIST_HEAD(, question) questions;
	char agent_session[AGENT_SESSION_MAX + 1]; /* what it goes on with; "" it begins */
	bool session_lost;                         /* it did not know the one it was to go on with */

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
/* Ends with c->early, from the loop. */
void call_fail_early(struct provider_call *c);
/* The last callback. Usage that the provider did not tell is estimated. */
void call_done(struct provider_call *c, struct call_outcome *o);
/* A summary is made, and this much the provider told of what it took. The answer comes next. */
void call_summarised(struct provider_call *c, const struct call_usage *told);
/* A limit ends it. */
void provider_call_fail(struct provider_call *c, enum err e, const char *what, int64_t limit, const char *key);

/* call_remote.c. What goes wrong comes in `done`, later. */
void remote_start(struct provider_call *c, const struct call_spec *spec, struct str model);
void remote_pause(struct provider_call *c, bool paused);
void remote_let_go(struct provider_call *c); /* closes the socket */
void remote_free(struct provider_call *c);
void summaries_free(struct providers *p);
/* The outcome of a limit of ours; what the answer already is stays. */
void remote_end(struct provider_call *c, enum err transport, const struct errinfo *info);
/* The deadlines of a call over HTTP, or of a local one that is silent on purpose. */
void call_set_deadline(struct provider_call *c);

void remote_make(struct provider_call *c); /* makes the prompt, and then sends it */

/* call_exec.c. */
void exec_begin(struct provider_call *c, const struct call_spec *spec);
void exec_send(struct provider_call *c);                               /* the prompt is made */
bool exec_waits(const struct provider_call *c);                        /* for something that may take its time */
void exec_tell(const struct provider_call *c, struct call_outcome *o); /* of its session */
void exec_let_go(struct provider_call *c);                             /* it is asked to end, at once */
void exec_free(struct provider_call *c);

/* call_local.c. */
MUST_USE enum err local_start(struct provider_call *c, const struct call_spec *spec, struct str model,
			      struct errinfo *info);
void local_pause(struct provider_call *c, bool paused);

#endif
