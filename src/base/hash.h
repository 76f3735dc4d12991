/* Hashes. sha256 where it must not be forged (credentials, assets, derived ids); hash64 (xxh3) for checksums, ETags and
 * tables. */
#ifndef ROOST_BASE_HASH_H
#define ROOST_BASE_HASH_H

#include "base/base.h"

#define SHA256_LEN 32
#define SHA256_HEX_LEN 64

void sha256(struct str data, unsigned char out[SHA256_LEN]);
/* Incremental: new → add… → end (which frees). _end with out NULL only frees. */
struct sha256;
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *s, struct str data);
struct sha256 *sha256_copy(const struct sha256 *s); /* goes its own way from here on */
void sha256_end(struct sha256 *s, unsigned char out[SHA256_LEN]);

uint64_t hash64(struct str data, uint64_t seed);
void hex_encode(const unsigned char *p, size_t n, char *out);  /* 2n characters and a NUL */
bool hex_decode(struct str hex, unsigned char *out, size_t n); /* exactly 2n lower-case digits */
/* Equality in a time that does not depend on where the bytes differ. */
bool secret_eq(const void *a, const void *b, size_t n);
void secret_wipe(void *p, size_t n);

#endif
