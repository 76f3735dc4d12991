/* Frames from a peer, whole and in pieces: the same events both ways, no memory left, no message above the limit. The
 * first byte chooses the role, deflate, and the length of the pieces. */
#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "net/ws_deflate.h"
#include "net/ws_frame.h"

#define MAX_BYTES 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ws_zip *zip;
static struct ws_budget budget = {.max = 4000};

/* A hash over everything that happened. */
static uint64_t run(const uint8_t *data, size_t size, size_t step, bool is_client, bool is_deflate)
{
	struct ws_rules rules = {.max_bytes = MAX_BYTES, .zip = zip, .budget = &budget, .is_client = is_client};
	struct ws_parser p;
	uint64_t h = 0;
	ws_parser_init(&p, &rules, is_deflate);
	for (size_t at = 0; at < size; at += step) {
		size_t n = MIN(step, size - at), used = 0;
		char *piece = xmalloc(n);
		memcpy(piece, data + at, n);
		while (used < n) {
			struct ws_event ev;
			used += ws_parse(&p, piece + used, n - used, &ev);
			if (ev.what == WS_MORE) continue;
			ASSERT_CMP(ev.payload.n, <=, MAX_BYTES);
			if (ev.what == WS_GOT_MESSAGE && ev.is_text) ASSERT(utf8_is_valid(ev.payload));
			if (ev.what == WS_GOT_CLOSE) ASSERT(ev.code == WS_CODE_NONE || ws_code_is_valid(ev.code));
			h = hash64(ev.payload, h ^ (uint64_t)ev.what << 32 ^ (uint64_t)ev.code << 8 ^ ev.is_text);
		}
		ws_parser_settle(&p);
		ASSERT_CMP(p.msg_cap, <=, MAX_BYTES + MAX_BYTES / 4);
		free(piece);
	}
	ws_parser_release(&p);
	ASSERT_CMP(budget.used, ==, 0);
	return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (zip == NULL) zip = ws_zip_new();
	if (size < 2) return 0;
	bool is_client = data[0] & 1, is_deflate = data[0] & 2;
	size_t step = 1 + (data[0] >> 2);
	ASSERT(run(data + 1, size - 1, size, is_client, is_deflate) ==
	       run(data + 1, size - 1, step, is_client, is_deflate));
	return 0;
}
