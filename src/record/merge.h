/* Merging edits of one record: the same function in the daemon and in every client.
 *
 * What can be edited is a register (it has a value) or a set (of texts). A type's sets, and the objects whose members
 * are registers of their own ("settings.font"), are in a table in merge.c; every other field is a register, and an
 * application's own types have registers only. What is known of an edited field is kept in the record's own field
 * `stamps`: {"title":"<stamp>","settings.font":"<stamp>","tags":{"work":"+<stamp>","old":"-<stamp>"}}. A field that is
 * not there has its first value, which has the stamp "".
 *
 *  - A register holds the value of its greatest stamp. Every other value it was given is handed out, to be kept as a
 *    revision: nothing is forgotten, in whichever order edits arrive and however often.
 *  - A set holds the elements whose latest edit put them in. Nothing of it needs to be kept.
 *  - An edit names the stamps it had seen (`base`). A value nobody had seen when it was replaced is a conflict.
 *
 * So the result is a function of the set of edits: commutative, associative, idempotent. */
#ifndef ROOST_RECORD_MERGE_H
#define ROOST_RECORD_MERGE_H

#include "record/record.h"
#include "record/stamp.h"

/* Do records of this type take stamped edits? Others are saved as a whole or key by key, the last one wins. */
bool merge_is_known(uint32_t type);
/* Its values are a person's own words: each that was ever replaced is kept, whoever replaced it and how. */
bool merge_is_typed(uint32_t type, struct str field);
/* The field of a record where the stamps are. */
#define MERGE_STAMPS "stamps"

/* `fields`: the members to change. A register: its new value, null takes it away. A set: {"add":[…],"remove":[…]}; a
 * plain list adds its elements. An object of registers: the members to change. A member "stamps" is passed over.
 * `base`: {"title":"<stamp>"}, the stamp of each register as its editor saw it; what is missing is "". */
struct merge_edit {
	const struct json *fields;
	struct str stamp;
	const struct json *base;
	bool saw_all; /* instead of `base`: whatever is stored was seen */
};

/* A value that is not the register's any more, or never was. */
struct merge_version {
	struct str field; /* "text", "settings.font" */
	struct str value; /* JSON; null: it was taken away */
	struct str stamp;
	struct str by;     /* the edit that replaced it and knew it; "" none did: a conflict */
	bool is_edits_own; /* it is the edit's, which lost; else the stored one, which was replaced */
	bool is_same;      /* as a value it is what the register holds now: nobody needs to be told of a conflict */
};
/* An older version which the edit knew and replaced. */
struct merge_known {
	struct str field, base, by;
};

struct merge_result {
	struct str fields; /* the record's fields now */
	bool changed;      /* they are others than before */
	struct merge_version *kept;
	size_t nkept;
	struct merge_known *known;
	size_t nknown;
};

/* ERR_BAD_FIELD unless every member of `base` (which may be NULL) is a valid stamp older than `stamp`. */
MUST_USE enum err merge_check_base(const struct json *base, struct str stamp, struct errinfo *info);

/* Applies an edit, whose stamp is valid and later than its base, to the fields of a live record ("{}" is a new one: its
 * first values get the edit's stamp). ERR_BAD_FIELD when a set is given something else than texts, or the same stamp had
 * another value before; ERR_TOO_LARGE past `max` bytes; ERR_CORRUPT when `stored` is not an object. All of *out is in the
 * arena. */
MUST_USE enum err merge_apply(uint32_t type, struct str stored, const struct merge_edit *edit, size_t max,
			      struct arena *arena, struct merge_result *out, struct errinfo *info);

/* The same edit when the record was deleted: deletion wins, and what the edit says is only kept. out->fields is "{}". */
MUST_USE enum err merge_apply_dead(uint32_t type, const struct merge_edit *edit, struct arena *arena,
				   struct merge_result *out, struct errinfo *info);

/* What a save without a stamp changed: it saw everything, and turned `stored` into `saved`. Stamps the fields that are
 * different now (with STR_NONE none: the record is new); of what was replaced only typed fields are handed out. The
 * stamps in `saved` are passed over. Errors as above. */
MUST_USE enum err merge_stamp(uint32_t type, struct str stored, struct str saved, struct str stamp, size_t max,
			      struct arena *arena, struct merge_result *out, struct errinfo *info);

/* The stamp of a register as it is stored; "" when it has none. A view of the fields. */
struct str merge_stamp_of(const struct json *fields, struct str field);
/* The value of a register by its name among the stamps ("settings.font"); NULL when it has none, or is a set. */
const struct json *merge_value_of(uint32_t type, const struct json *fields, struct str field);
/* A register's value as the fields of an edit: {"title":…}, {"settings":{"font":…}}. */
void merge_wrap(uint32_t type, struct str field, struct str value, struct buf *out);
/* The greatest stamp in the record. */
struct str merge_latest(const struct json *fields);
/* The greatest stamp stored that `base` names, for stamp_cut. */
struct str merge_floor(const struct json *fields, const struct json *base);

#endif
