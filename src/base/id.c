#include "base/id.h"

#include <errno.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/hash.h"

void random_bytes(void *p, size_t n)
{
	unsigned char *at = p;
	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0 && errno == EINTR) continue;
		if (got <= 0) die(70, "the kernel gives no random bytes");
		at += got;
		n -= (size_t)got;
	}
}

uint64_t random_u64(void)
{
	uint64_t v;
	random_bytes(&v, sizeof v);
	return v;
}

static struct id format_uuid(const unsigned char b[16])
{
	struct id id;
	char hex[33];
	hex_encode(b, 16, hex);
	char *o = id.s;
	for (int i = 0; i < 32; i++) {
		if (i == 8 || i == 12 || i == 16 || i == 20) *o++ = '-';
		*o++ = hex[i];
	}
	*o = '\0';
	return id;
}

/* `b` holds ten random bytes from its seventh on. */
static struct id uuid7(int64_t wall_ms, unsigned char b[16])
{
	for (int i = 0; i < 6; i++) b[i] = (unsigned char)((uint64_t)wall_ms >> (40 - 8 * i));
	b[6] = (unsigned char)(0x70 | (b[6] & 0x0f));
	b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
	return format_uuid(b);
}

struct id id_new(int64_t wall_ms)
{
	unsigned char b[16];
	random_bytes(b + 6, 10);
	return uuid7(wall_ms, b);
}

struct id id_seeded(int64_t wall_ms, struct rng *r)
{
	unsigned char b[16];
	uint64_t bits[2] = {rng_next(r), rng_next(r)};
	for (int i = 0; i < 10; i++) b[6 + i] = (unsigned char)(bits[i / 8] >> (8 * (i % 8)));
	return uuid7(wall_ms, b);
}

/* The 16 bytes of a canonical lower-case UUID. */
static bool parse_uuid(struct str s, unsigned char out[16])
{
	if (s.n != ID_LEN) return false;
	char hex[32];
	size_t n = 0;
	for (size_t i = 0; i < ID_LEN; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s.p[i] != '-') return false;
		} else {
			hex[n++] = s.p[i];
		}
	}
	return hex_decode(str_n(hex, 32), out, 16);
}

struct id id_derive(struct str from, const char *label)
{
	struct sha256 *h = sha256_new();
	unsigned char digest[SHA256_LEN], b[16];
	sha256_add(h, str_n(label, strlen(label) + 1));
	sha256_add(h, from);
	sha256_end(h, digest);
	/* Version 8 says "made by a rule of our own"; both versions carry the time first, so a derivation of a derived id
	 * keeps it too. */
	bool has_time = parse_uuid(from, b) && (b[6] >> 4 == 7 || b[6] >> 4 == 8);
	if (!has_time) memcpy(b, digest + 16, 6);
	memcpy(b + 6, digest, 10);
	b[6] = (unsigned char)(0x80 | (b[6] & 0x0f));
	b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
	return format_uuid(b);
}

bool name_is_valid(struct str name)
{
	if (name.n == 0 || name.n > NAME_MAX_LEN) return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && (c == '\0' || strchr("._-:@+", c) == NULL)) return false;
	}
	return true;
}

void rng_seed(struct rng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) { /* splitmix64 */
		uint64_t z = seed += 0x9e3779b97f4a7c15;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
		z = (z ^ z >> 27) * 0x94d049bb133111eb;
		r->s[i] = z ^ z >> 31;
	}
}

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

uint64_t rng_next(struct rng *r)
{
	uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
	ASSERT(n > 0);
	uint64_t limit = UINT64_MAX - UINT64_MAX % n, v;
	do v = rng_next(r);
	while (v >= limit);
	return v % n;
}
