/* permessage-deflate: any bytes as an offer, as a compressed message and as a message to compress. */
#include <stdint.h>

#include "net/ws_deflate.h"

#define MAX_BYTES 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ws_zip *zip;
	struct str in = str_n((const char *)data, size), out;
	if (zip == NULL) zip = ws_zip_new();
	ws_zip_is_offered(in);
	if (ws_zip_inflate(zip, in, MAX_BYTES, &out) == WS_INFLATED) ASSERT_CMP(out.n, <=, MAX_BYTES);
	if (ws_zip_deflate(zip, in, &out)) {
		char *packed = str_dup(out);
		ASSERT(ws_zip_inflate(zip, str_n(packed, out.n), size, &out) == WS_INFLATED);
		ASSERT(str_eq(out, in));
		free(packed);
	}
	return 0;
}
