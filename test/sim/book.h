/* The book: what must be so, from what devices typed and what they were told.
 *
 * It knows nothing of how the daemon works. Every record, ack and frame that reaches any device is written into it, and
 * whatever contradicts an earlier entry ends the run (world.h: broken). The invariants, by the names they are reported
 * under, are the table in book.c. */
#ifndef ROOST_SIM_BOOK_H
#define ROOST_SIM_BOOK_H

#include "base/json.h"
#include "sim/world.h"

/* A person wrote this on that device. */
void book_typed(struct str device, struct str message, struct str conversation, struct str text, bool automatic,
		int64_t term);
void book_edited(struct str message, struct str text); /* … or wrote it over an earlier text */
void book_edit_acked(struct str message, struct str text);
void book_deleted(struct str message); /* … or asked for it to go */

struct book_ack {
	struct str message, session, request; /* "" none */
	int64_t seq, ord;
	bool duplicate;
};
void book_acked(struct str device, const struct book_ack *a);
bool book_is_acked(struct str message);

/* A record that reached a device of this user, in whatever frame. */
struct book_record {
	struct str user, type, name;
	int64_t seq;
	bool deleted;
	const struct json *fields;
};
void book_record(const struct book_record *r);

void book_primary(struct str session, struct str device, int64_t term);
void book_lock(struct str session, struct str device, int64_t fence);
void book_cleared(struct str session, struct str next); /* somebody was told so */
void book_cleared_each(void (*fn)(void *ctx, struct str session), void *ctx);

/* The next piece of a stream, as it reached a device. */
void book_delta(struct str request, int64_t attempt, struct str kind, int64_t offset, struct str text);
int64_t book_streamed(struct str request, int64_t attempt, struct str kind); /* how much of it anybody was shown */

/* When everything is quiet: each message that was acknowledged, for comparing with what a device holds. */
struct book_message {
	struct str id, conversation, text;
	bool acked, deleted, wants_answer;
	int64_t first_seq;
	struct str request;
};
void book_messages(void (*fn)(void *ctx, const struct book_message *m), void *ctx);
/* … and each text of a message that was acknowledged, the first and those it was edited to. */
struct book_text {
	struct str message, conversation, text;
};
void book_texts(void (*fn)(void *ctx, const struct book_text *t), void *ctx);
/* … and the steps of the automatic runs. */
void book_check_steps(void);
size_t book_size(void);
int64_t book_typed_bytes(void); /* of texts that were acknowledged */

#endif
