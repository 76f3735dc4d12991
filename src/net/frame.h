/* An encoded WebSocket frame that many connections send: made once, counted, never changed. Loop thread only.
 * frame_text, frame_take, frame_ref and frame_unref are in http.h; this is what the sockets' side needs. */
#ifndef ROOST_NET_FRAME_H
#define ROOST_NET_FRAME_H

#include "net/http.h"
#include "net/ws_frame.h"

struct frame {
	int refs;
	bool is_tried;        /* deflating was tried; `packed` has the result when it was smaller */
	struct frame *packed; /* the same message compressed */
	struct str part[2];   /* what goes on the wire; the second may be empty */
	struct str payload;   /* the message itself, in part */
	char *owned;          /* a buffer taken over, or NULL */
	char bytes[];
};

static inline size_t frame_len(const struct frame *f) { return f->part[0].n + f->part[1].n; }
/* Any frame from a server: first_byte is FIN, RSV1 and the opcode. */
struct frame *frame_make(unsigned first_byte, struct str payload);
/* The frame itself, or its compressed form (made the first time) when that is worth it. Not a new reference. */
struct frame *frame_packed(struct frame *f, struct ws_zip *zip);

#endif
