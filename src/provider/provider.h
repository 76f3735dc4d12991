/* Dialects: how a kind of provider is asked, and how its answer is read. Pure: a dialect is told everything and touches
 * nothing; host/call.c moves the bytes.
 *
 * A dialect is two things: `build`, which makes a request of what is asked, and a reader's style (provider/answer.h),
 * which makes text of the events of an answer. All that dialects have in common (framing, sizes, kinds of bodies, errors,
 * when an answer is complete) is done once, in answer.c and error.c. */
#ifndef ROOST_PROVIDER_PROVIDER_H
#define ROOST_PROVIDER_PROVIDER_H

#include "base/json.h"
#include "provider/params.h"

/* ---- what is asked ----------------------------------------------------------------------------------------------- */

enum part_kind {
	PART_TEXT,
	PART_IMAGE,
	PART_FILE,
	PART_TOOL_CALL,   /* the model asked for a tool */
	PART_TOOL_RESULT, /* what the tool said */
	PART_THINKING     /* what the model thought before a tool call: some want it back */
};

struct call_part {
	enum part_kind kind;
	struct str text; /* the text; of a tool call its arguments, a JSON object; of a tool's result what it said */
	struct str name; /* of a file; of a tool */
	struct str id;   /* of a tool call, and of the result that belongs to it */
	struct str media_type; /* "image/png" */
	struct str bytes;      /* of an image or a file, as they are */
	struct str seal;       /* what the provider wants back unchanged (a signature); STR_NONE */
	bool is_error;         /* of a tool's result */
};

/* What an attachment of that media type is to a model; text goes out as text, under its name. */
enum part_kind attachment_kind(struct str media_type);

struct call_message {
	struct str role, text;         /* "user", "assistant", "system" */
	const struct call_part *parts; /* come after the text */
	size_t nparts;
};

struct model_info; /* provider/models.h */

struct provider_ask {
	struct str base_url;                 /* "http://127.0.0.1:1234/v1", no slash at the end */
	struct str key;                      /* API key; STR_NONE none */
	struct str model;                    /* as the provider names it */
	const struct model_info *about;      /* what the registry knows of it; NULL nothing */
	const struct call_message *messages; /* oldest first */
	size_t nmessages;
	const struct params *params;
	const char *const *command; /* of an agent, NULL-terminated; NULL it is no agent */
	struct str session;         /* the agent's own name of the conversation; STR_NONE it has none yet */
};

/* All system prompts of an ask, params.system first, joined by an empty line: for APIs that take one text. */
void ask_system(const struct provider_ask *ask, struct buf *out);

/* The request a dialect made of it. Holds the key: release wipes. */
struct wire_request {
	const char *method;
	char *url;
	char *headers[10]; /* "Name: value", NULL-terminated */
	char **argv;       /* NULL-terminated: a program that is given the body; NULL it goes over HTTP */
	struct buf body;
};
#define WIRE_BODY_MAX ((size_t)64 << 20)
/* Begins a POST of JSON to base_url + path. */
void wire_request_init(struct wire_request *r, struct str base_url, const char *path_fmt, ...)
	__attribute__((format(printf, 3, 4)));
void wire_request_add_header(struct wire_request *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The last step of a build: `e`, or ERR_TOO_LARGE when the body grew too large. On an error the request is released. */
MUST_USE enum err wire_request_end(struct wire_request *r, enum err e, struct errinfo *info);
void wire_request_release(struct wire_request *r);
/* One JSON string: the bytes in base64 behind `prefix`. */
void wire_put_base64(struct jw *w, const char *prefix, struct str bytes);
/* The same as a data: URL of an image or a file. */
void wire_put_data_url(struct jw *w, const struct call_part *p);
/* "tools" as [{"type":"function","function":{…}}]. */
void wire_put_tools(struct jw *w, const struct params *p);

/* ---- how it ended ------------------------------------------------------------------------------------------------ */

struct call_usage {
	int64_t input_tokens,
		output_tokens; /* -1 unknown; input includes what a cache served, output includes thinking */
	int64_t thinking_tokens, cache_read_tokens, cache_write_tokens; /* of those; -1 unknown */
	int64_t cost_ticks;                                             /* billed, in 1e-10 USD; -1 unknown */
	bool estimated;
	bool is_billed; /* cost_ticks is what the provider said, not what the price list makes of it */
};
#define USAGE_UNKNOWN ((struct call_usage){-1, -1, -1, -1, -1, -1, false, false})

/* Why a call failed, for the retry policy. */
/* clang-format off */
/*        symbol            name            tried again */
#define FAIL_MAP(X)                                                                     \
	X(FAIL_NONE,        "none",         false) /* it did not */                         \
	X(FAIL_NETWORK,     "network",      true)  /* not reached, nothing was sent */      \
	X(FAIL_TIMEOUT,     "timeout",      true)                                           \
	X(FAIL_CUT,         "interrupted",  true)  /* broke off */                          \
	X(FAIL_RATE,        "rate_limit",   true)  /* too many requests or tokens */        \
	X(FAIL_OVERLOADED,  "overloaded",   true)                                           \
	X(FAIL_SERVER,      "server_error", true)                                           \
	X(FAIL_QUOTA,       "quota",        false) /* paid-for use is used up */            \
	X(FAIL_AUTH,        "auth",         false)                                          \
	X(FAIL_MODEL,       "model",        false) /* no such model for this key */         \
	X(FAIL_CONTEXT,     "context",      false) /* the conversation is too long */       \
	X(FAIL_FILTER,      "filtered",     false) /* withheld for its content */           \
	X(FAIL_INVALID,     "invalid",      false) /* the request is wrong */               \
	X(FAIL_LIMIT,       "limit",        false) /* the answer broke a limit of ours */
/* clang-format on */
enum fail {
#define X(sym, name, again) sym,
	FAIL_MAP(X)
#undef X
		FAIL_COUNT
};
const char *fail_name(enum fail f);
bool fail_retryable(enum fail f);
enum err fail_err(enum fail f);    /* the error people see */
enum fail fail_of_err(enum err e); /* what such an error usually is */

/* What the model was given of the conversation. */
struct call_context {
	int64_t left_out;     /* messages that did not fit its window */
	int64_t tokens, room; /* estimates: of what it was given; that it had room for, 0 not known */
	bool is_summarised;   /* a summary stood for those that were left out */
	bool is_cut;          /* messages older than limits.context_bytes reach were not even looked at */
};

struct call_outcome {
	enum err err;             /* OK: the answer is complete */
	enum fail fail;           /* with an error */
	struct errinfo info;      /* says what the provider said, cleaned; retry_after_ms when it asked for a wait */
	bool retryable;           /* trying again may help */
	struct str finish_reason; /* one of the finish words; "" unknown */
	struct str request_id;    /* the provider's own name for the call; "" unknown */
	struct str parts;         /* tool calls, a JSON array of parts as messages have them; "" none */
	struct call_usage usage;
	struct call_context context;
	struct str agent_session; /* an agent's own name of the conversation; "" it has none */
	bool session_lost;        /* the agent didn't know the one it was to go on with, and began anew */
};                                /* strings live as long as the reader */

/* A model's id is its provider, a colon and its name there: "ollama:qwen3:8b". False, and all of it the provider, when
 * there is no colon. */
bool model_split(struct str id, struct str *provider, struct str *name);

/* ---- dialects ---------------------------------------------------------------------------------------------------- */

struct answer_style;
struct dialect {
	const char *name;
	/* ERR_BAD_FIELD when a parameter or a part cannot be sent. */
	enum err (*build)(const struct provider_ask *ask, struct wire_request *out, struct errinfo *info);
	const struct answer_style *style;
};

extern const struct dialect dialect_openai; /* chat completions */
extern const struct dialect dialect_responses;
extern const struct dialect dialect_ollama;
extern const struct dialect dialect_anthropic;
extern const struct dialect dialect_gemini;
/* The dialect of that name, or NULL. */
const struct dialect *dialect_find(struct str name);

/* ---- what an error means (error.c) ------------------------------------------------------------------------------- */

/* Value of a header in raw head lines, trimmed; STR_NONE when absent. */
struct str head_value(struct str headers, const char *name);

/* Fills what `out` says of an error from an answer that is not 2xx. `body` is as much of it as was kept: JSON in one of
 * the usual shapes, or anything. `now_ms`: wall time, for a Retry-After that names a date; `key` is kept out of texts. */
void classify_status(int status, struct str headers, struct str body, int64_t now_ms, struct str key,
		     struct call_outcome *out);
/* The same from an error inside an answer: {"error":{"message","type","code"}}, {"error":"…"} or such an object. */
void classify_error(const struct json *root, struct str key, struct call_outcome *out);

#endif
