/* How many tokens something is, when nobody counted: for windows, limits and budgets before a call, and for usage that a
 * provider didn't tell.
 *
 * A text is weighed by its characters, since tokenizers have whole words of Latin script and single characters of others:
 *   ASCII 1/4 token, two bytes in UTF-8 (accents, Cyrillic, Arabic …) 1/2, three (CJK …) 1, four (emoji …) 2
 * and then by the model's family, whose tokenizer is finer or coarser than that (tokens.c has the table). Against
 * reported usage of English, German and program text the result is mostly within a fifth, and rather too high: what
 * was estimated to fit should fit. Pure. */
#ifndef ROOST_PROVIDER_TOKENS_H
#define ROOST_PROVIDER_TOKENS_H

#include "provider/models.h"

/* Weights add up over the pieces of a text that are cut between characters; tokens, being whole, do not. */
int64_t tokens_weigh(struct str text);
/* At least 1 for any weight above 0. `family` may be STR_NONE. */
int64_t tokens_of_weight(struct str family, int64_t weight);
int64_t tokens_text(struct str family, struct str text);

/* One image: by its size in pixels and the vendor's rule (provider/image.h). What is no picture that can be read is taken
 * for one of the size that large ones are scaled to. `model`: its name at the provider; may be "". */
int64_t tokens_image(struct str family, struct str model, struct str bytes);
/* A document: text by its text, anything else by its size (a page of PDF is about 50 KB and 2,000 tokens), at least one
 * page. */
int64_t tokens_file(struct str family, struct str media_type, struct str bytes);

#define TOKENS_PER_MESSAGE 4 /* the marks around it: role, begin, end */
int64_t tokens_message(struct str family, struct str model, const struct call_message *m);
/* What the parameters bring along: system prompt, tools, schema. */
int64_t tokens_params(struct str family, const struct params *p);

#endif
