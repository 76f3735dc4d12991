/* What the files of specs share: spec.c (keys and values), spec_read.c (files), spec_write.c, spec_complete.c,
 * awareness.c, dimensions.c. */
#ifndef ROOST_LAB_SPEC_PRIV_H
#define ROOST_LAB_SPEC_PRIV_H

#include "lab/spec.h"
#include "lab/yaml_tree.h"

/* A value on its way into a spec. */
struct put {
	struct spec *spec;
	enum spec_symbol row;
	int agent;        /* -1 all */
	const char *said; /* the key or option as it is told in errors */
	struct str dir;   /* what relative paths are taken from; "" the working directory */
	struct errinfo *info;
};
/* ERR_USAGE with a sentence. Texts are copied. */
MUST_USE enum err put_text(const struct put *p, struct str value);
MUST_USE enum err put_list(const struct put *p, const struct str *list, size_t n);
MUST_USE enum err put_weights(const struct put *p, const struct convergence_weights *w);
MUST_USE enum err put_params(const struct put *p, struct str json);
/* An awareness that is given in place, a JSON object. */
void put_awareness(const struct put *p, struct str json);

/* The names of the five weights, in the struct's order. */
enum { WEIGHTS = 5 };
extern const char *const weight_names[WEIGHTS];
static inline double *weight_at(struct convergence_weights *w, size_t i)
{
	double *const at[WEIGHTS] = {&w->content, &w->structure, &w->sentences, &w->length, &w->punctuation};
	return at[i];
}
extern const char *const display_names[]; /* ends with NULL */

/* Keys of agents that are not there: ERR_CONFIG names the first. */
MUST_USE enum err spec_check_agents(const struct spec *s, struct errinfo *info);
/* How many turns the inherited messages are, after putting agent and turn right. ERR_CONFIG when they are not in the
 * agents' order or end within a turn. */
MUST_USE enum err spec_count_inherited(struct spec *s, struct errinfo *info);

/* "agent_c" is 2; -1. */
int spec_agent_letter(char letter, size_t agents);

/* A whole file. ERR_CONFIG with its path: it is not there, can't be read or is larger than a spec may be. */
MUST_USE enum err spec_file(const char *path, struct buf *out, struct errinfo *info);

/* The nearest of the words that are tried, for "did you mean". */
struct near {
	struct str asked;
	const char *word; /* NULL none is near */
	size_t distance;
};
void near_try(struct near *n, const char *word);
/* "; did you mean WORD?", or nothing. */
#define NEAR_TEXT 80
const char *near_text(const struct near *n, char out[NEAR_TEXT]);

const struct spec_fragment *fragment_find(const struct spec_fragment *list, struct str name);
/* Presets, JSON objects and paths of YAML files are awarenesses; ERR_CONFIG otherwise, with what is near. */
MUST_USE enum err awareness_named(struct str value, struct errinfo *info);
static inline bool awareness_is_given(struct str value) { return value.n > 0 && value.p[0] == '{'; }
/* Is the tree an awareness file? ERR_CONFIG with name and line. */
MUST_USE enum err awareness_check(const struct yaml_value *root, const char *name, struct errinfo *info);
/* Makes the agent's system prompt and injections. */
MUST_USE enum err awareness_apply(struct spec *s, size_t agent, struct errinfo *info);

/* ERR_CONFIG when it is unknown, or a second one of its group. */
MUST_USE enum err dimensions_check(const struct str *list, size_t n, struct errinfo *info);
/* The fragments and then the prompt. */
struct str dimensions_prompt(struct spec *s, struct str prompt);

#endif
