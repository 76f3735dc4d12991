/* YAML from people, as trees: what specs and awareness files are read from.
 *
 * A subset that can surprise nobody: mappings with scalar keys, lists and scalars. Tags, anchors and aliases are
 * refused, so nothing is constructed and nothing grows; size, depth and the members of one mapping are bounded; a key
 * stands once in its mapping. Each node knows its line. What a scalar means is the reader's affair, with
 * yaml_scalar_json as the one rule for values whose kind nobody prescribes. Pure. */
#ifndef ROOST_LAB_YAML_TREE_H
#define ROOST_LAB_YAML_TREE_H

#include "base/arena.h"
#include "base/json.h"

#define YAML_BYTES_MAX (16u << 20)
#define YAML_DEPTH_MAX 16
#define YAML_MEMBERS_MAX 4096
#define YAML_KEY_MAX 128 /* what YAML takes as a key on one line, however it has to be escaped */

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_value {
	enum yaml_kind kind;
	int line;
	bool is_plain;   /* a scalar without quotes */
	struct str text; /* of a scalar */
	struct str key;  /* in a mapping; of a document STR_NONE */
	struct yaml_value *first, *last, *next;
	size_t n;     /* members, elements */
	size_t bytes; /* of texts and keys in it, and something for each node */
};

/* All documents of a text, linked by `next`; NULL when there is none. `name` stands before the line in what is told.
 * ERR_CONFIG. */
MUST_USE enum err yaml_read(struct arena *arena, struct str text, const char *name, struct yaml_value **out,
			    struct errinfo *info);
/* Nothing is there: a plain "", "~" or "null". */
bool yaml_is_null(const struct yaml_value *v);
/* The member of a mapping; NULL. */
const struct yaml_value *yaml_get(const struct yaml_value *map, const char *key);
/* "yes" and "on" too, in any case. */
bool yaml_flag(struct str text, bool *out);
/* As JSON: plain scalars are null, booleans or numbers when they look so, all else is text. */
void yaml_json(const struct yaml_value *v, struct jw *w);
/* ERR_CONFIG as NAME:LINE: sentence. */
enum err yaml_wrong(struct errinfo *info, const char *name, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Appends JSON so that it is YAML too: some characters that JSON has as they are must be escaped there. Lines around it
 * may be YAML already, when they are ASCII. */
void yaml_add_safe(struct buf *out, struct str json);

#endif
