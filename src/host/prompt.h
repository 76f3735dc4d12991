/* What a provider is asked, made ready: messages with their attachments, what fits the model's window, the request as
 * the dialect writes it.
 *
 * Attachments are files, and a long conversation makes a long text: both are work for another thread. So a prompt owns all
 * it needs, and prompt_make touches nothing else; whoever is in a hurry with a small one calls it directly (prompt_is_small).
 *
 * A message's parts, as devices write them and as replies hold them:
 *   {"type":"text","text"}                                    a text of its own
 *   {…,"sha256","mediaType","name"}                           an attachment: an image when its mediaType says so, text when
 *                                                             that says so (put in as text, under its name), else a file
 *   {"type":"tool_call","id","name","arguments","seal"}       what the model asked for
 *   {"type":"tool_result","id","name","text","isError"}       what the tool said
 *   {"type":"thinking","text","seal"}                         what a model wants back with its tool calls
 * Others are not for the model and left out. */
#ifndef ROOST_HOST_PROMPT_H
#define ROOST_HOST_PROMPT_H

#include "base/hash.h"
#include "provider/provider.h"
#include "talk/context.h"

struct prompt_message {
	struct str role, text, parts; /* parts: a JSON array, or "" */
};

struct prompt_spec {
	const struct dialect *dialect;
	struct str base_url, key, model;
	const struct model_info *about;        /* NULL: the model is not known */
	const struct prompt_message *messages; /* oldest first */
	size_t nmessages;
	struct str params;          /* a JSON object, or "" */
	struct str data_dir;        /* attachments are in its assets/ */
	struct str summary;         /* of what is left out, once it is made; STR_NONE not yet */
	bool is_cut;                /* older messages were left out already */
	const char *const *command; /* of an agent; NULL it is none */
	struct str session;         /* the agent's own, to go on with; "" none */
};

/* The dialect, the key, `command` and `about` must outlive the prompt; the rest is copied. */
struct prompt *prompt_new(const struct prompt_spec *spec);
void prompt_free(struct prompt *p);
bool prompt_is_small(const struct prompt *p);

/* On any thread. ERR_BAD_FIELD for parameters and parts that can't be sent, ERR_TOO_LARGE when the request's rule refuses
 * a conversation of this length, ERR_NOT_FOUND for an attachment that is gone. */
MUST_USE enum err prompt_make(struct prompt *p, struct errinfo *info);

/* After prompt_make. */
struct prompt_made {
	struct wire_request request;
	struct context_plan context;
	bool is_cut;        /* as the spec says */
	int64_t room;       /* tokens there were for the conversation; 0 not known */
	bool wants_summary; /* `request` asks for a summary of what is left out: make the prompt again with it */
	unsigned char summary_key[SHA256_LEN]; /* the same text and model have the same */
	int64_t input_tokens;                  /* estimate of all that is sent */
};
const struct prompt_made *prompt_made(const struct prompt *p);
void prompt_drop_session(struct prompt *p); /* make it again, for an agent that begins */
void prompt_set_summary(struct prompt *p, struct str summary);

#endif
