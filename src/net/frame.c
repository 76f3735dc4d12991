#include "net/frame.h"

#include "net/ws_deflate.h"

#define FIN 0x80u
#define COPY_BYTES 8192 /* below this a copy behind the header beats a second piece in every write */

struct frame *frame_make(unsigned first_byte, struct str payload)
{
	struct frame *f = xmalloc(sizeof *f + WS_HEAD_MAX + payload.n);
	size_t head_n = ws_head((unsigned char *)f->bytes, first_byte, payload.n, NULL);
	if (payload.n > 0) memcpy(f->bytes + head_n, payload.p, payload.n);
	*f = (struct frame){
		.refs = 1, .part[0] = {f->bytes, head_n + payload.n}, .payload = {f->bytes + head_n, payload.n}};
	return f;
}

struct frame *frame_text(struct str payload) { return frame_make(FIN | WS_TEXT, payload); }

struct frame *frame_take(struct buf *payload)
{
	if (payload->n < COPY_BYTES) {
		struct frame *f = frame_text(buf_str(payload));
		buf_release(payload);
		return f;
	}
	struct frame *f = xmalloc(sizeof *f + WS_HEAD_MAX);
	size_t head_n = ws_head((unsigned char *)f->bytes, FIN | WS_TEXT, payload->n, NULL);
	*f = (struct frame){.refs = 1, .part = {{f->bytes, head_n}, buf_str(payload)}, .payload = buf_str(payload)};
	f->owned = buf_take(payload, NULL);
	return f;
}

void frame_ref(struct frame *f) { f->refs++; }

void frame_unref(struct frame *f)
{
	if (f == NULL || --f->refs > 0) return;
	ASSERT_CMP(f->refs, ==, 0);
	frame_unref(f->packed);
	free(f->owned);
	free(f);
}

struct frame *frame_packed(struct frame *f, struct ws_zip *zip)
{
	struct str packed;
	if (!f->is_tried) {
		f->is_tried = true;
		if (f->payload.n >= WS_ZIP_MIN_BYTES && ws_zip_deflate(zip, f->payload, &packed))
			f->packed = frame_make((unsigned char)f->part[0].p[0] | WS_RSV1, packed);
	}
	return f->packed != NULL ? f->packed : f;
}
