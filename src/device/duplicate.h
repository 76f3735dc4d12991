/* The content net: has another device just said the same?
 *
 * Message ids catch a message that is sent twice. The net is for a person who says one thing on two devices: the same
 * user, the same session, the same text and the same attachments, from another device, a few seconds apart. What counts
 * as the same text is what looks the same: Unicode's composed form (NFC), without white space at both ends. Attachments
 * are the same when their bytes are.
 *
 * A table of what was sent in the last moments, in memory, for as long as the process lives. It belongs to the store's
 * writer thread: only commands touch it, inside `run`. An entry is a hint, never a judgement: the caller looks the
 * message up, since the transaction that wrote it may have been taken back.
 *
 * Every call costs the same at any size. An entry takes 40 bytes; the memory of those that are forgotten is given back. */
#ifndef ROOST_DEVICE_DUPLICATE_H
#define ROOST_DEVICE_DUPLICATE_H

#include "base/base.h"

struct duplicates;

/* 128 bits of SHA-256 over who, where and what. */
struct duplicate_key {
	unsigned char b[16];
};
/* `parts` is the message's JSON array, or STR_NONE. A part that names an attachment counts by its hash alone, another
 * by what it says. */
void duplicate_key(int64_t user, struct str session_id, struct str text, struct str parts, struct duplicate_key *out);

struct duplicate_entry {
	struct duplicate_key key;
	int64_t row;      /* of the Message */
	int64_t boot_ms;  /* when it was sent */
	uint32_t device;  /* principal that sent it */
	uint32_t in_hash; /* the table's own */
};

/* `most` entries are kept; past that the oldest is forgotten. */
struct duplicates *duplicates_new(int64_t most, int64_t boot_ms);
void duplicates_free(struct duplicates *d);              /* NULL is fine */
int64_t duplicates_start_ms(const struct duplicates *d); /* boot ms at which the table began: it knows nothing before */

/* True once for each conversation (by its row): what it holds of the time before the start is to be added. */
bool duplicates_is_first_look(struct duplicates *d, int64_t conversation);

/* What was sent before `since_boot_ms` is not found any more. Its memory comes back a few entries per call, or all at once
 * when nothing is younger. */
void duplicates_expire(struct duplicates *d, int64_t since_boot_ms);
/* The newest entry of the key that another device sent. NULL when there is none, or when `device` itself said the same: a
 * person may say "yes" twice. Valid until the next call. */
const struct duplicate_entry *duplicates_find(struct duplicates *d, const struct duplicate_key *key, uint32_t device);
/* The message of this entry is not there after all. */
void duplicates_drop(struct duplicates *d, const struct duplicate_entry *e);
/* The device's earlier entry of the key is forgotten. Entries come about in the order of their times; one that is late
 * only costs memory for longer. */
void duplicates_add(struct duplicates *d, const struct duplicate_entry *e);

/* Looking. */
size_t duplicates_count(const struct duplicates *d); /* entries that hold memory */
size_t duplicates_bytes(const struct duplicates *d); /* memory held */

#endif
