/* Which models a provider has, as it tells: what to ask it, and what to make of the answer.
 *
 * Four shapes are known: {"data":[{"id"}]} (OpenAI, xAI, LM Studio, llama.cpp, vLLM; Anthropic with more members),
 * {"models":[{"name":"models/…"}]} (Gemini) and {"models":[{"name"}]} (Ollama's /api/tags). Answers are hostile: names
 * that could not stand in a request, a terminal or an URL are passed over, and so is what comes after the first
 * LISTING_MAX of a page. Anthropic and Gemini tell their models in pages; the largest are asked for. Pure. */
#ifndef ROOST_PROVIDER_LISTING_H
#define ROOST_PROVIDER_LISTING_H

#include "base/arena.h"
#include "provider/provider.h"

#define LISTING_MAX 2000
#define LISTING_BYTES_MAX ((size_t)4 << 20) /* of an answer */
#define LISTING_PLACE_MAX ((size_t)1024)    /* bytes of a place */

struct listed {
	struct str wire;            /* the name its API knows it by */
	struct str title;           /* "" none */
	int64_t window, max_output; /* tokens; 0 not told */
	bool is_chat;               /* not a model for embeddings, images, speech, … */
};

/* The request for it, or for its next page: `after` is the place that the last one named, "" the beginning. False: this
 * dialect has none. */
bool listing_request(const struct dialect *d, struct str base_url, struct str key, struct str after,
		     struct wire_request *out);
/* Reads a body. The list and all strings are in the arena. */
struct listing {
	struct listed *list;
	size_t n;
	struct str next; /* where the next page begins; "" it was the last one */
};
/* ERR_PROVIDER: it is no list of models. */
MUST_USE enum err listing_read(const struct dialect *d, struct str body, struct arena *arena, struct listing *out,
			       struct errinfo *info);

#endif
