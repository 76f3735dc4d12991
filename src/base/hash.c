#include "base/hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

void sha256(struct str data, unsigned char out[SHA256_LEN])
{
	SHA256((const unsigned char *)(data.p ? data.p : ""), data.n, out);
}

struct sha256 *sha256_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) die(70, "OpenSSL has no SHA-256");
	return (struct sha256 *)ctx;
}

void sha256_add(struct sha256 *s, struct str data)
{
	if (EVP_DigestUpdate((EVP_MD_CTX *)s, data.p, data.n) != 1) die(70, "SHA-256 failed");
}

struct sha256 *sha256_copy(const struct sha256 *s)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (ctx == NULL || EVP_MD_CTX_copy_ex(ctx, (const EVP_MD_CTX *)s) != 1) die(70, "SHA-256 failed");
	return (struct sha256 *)ctx;
}

void sha256_end(struct sha256 *s, unsigned char out[SHA256_LEN])
{
	unsigned len = SHA256_LEN;
	if (out != NULL && EVP_DigestFinal_ex((EVP_MD_CTX *)s, out, &len) != 1) die(70, "SHA-256 failed");
	EVP_MD_CTX_free((EVP_MD_CTX *)s);
}

uint64_t hash64(struct str data, uint64_t seed) { return XXH3_64bits_withSeed(data.p ? data.p : "", data.n, seed); }

void hex_encode(const unsigned char *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	return -1;
}

bool hex_decode(struct str hex, unsigned char *out, size_t n)
{
	if (hex.n != 2 * n) return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(hex.p[2 * i]), lo = hex_value(hex.p[2 * i + 1]);
		if (hi < 0 || lo < 0) return false;
		out[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

bool secret_eq(const void *a, const void *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }
void secret_wipe(void *p, size_t n) { OPENSSL_cleanse(p, n); }
