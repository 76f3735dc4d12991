#include "net/addr.h"

#include <netinet/in.h>

#include "base/base.h"

struct range {
	unsigned char prefix[16];
	int bits;
	enum addr_kind kind;
};

/* IANA's registries of special-purpose addresses, as far as they are not simply public. */
/* clang-format off */
static const struct range ranges4[] = {
	{{0}, 8, ADDR_PRIVATE},             /* this host: 0.0.0.0 connects to loopback */
	{{10}, 8, ADDR_PRIVATE},            /* RFC 1918 */
	{{100, 64}, 10, ADDR_PRIVATE},      /* RFC 6598 */
	{{127}, 8, ADDR_PRIVATE},           /* loopback */
	{{169, 254}, 16, ADDR_FORBIDDEN},   /* RFC 3927, link-local */
	{{172, 16}, 12, ADDR_PRIVATE},      /* RFC 1918 */
	{{192, 0, 0}, 24, ADDR_FORBIDDEN},  /* RFC 6890, protocol assignments */
	{{192, 168}, 16, ADDR_PRIVATE},     /* RFC 1918 */
	{{198, 18}, 15, ADDR_PRIVATE},      /* RFC 2544, benchmarks */
	{{224}, 4, ADDR_FORBIDDEN},         /* multicast */
	{{240}, 4, ADDR_FORBIDDEN},         /* reserved, broadcast */
};
static const struct range ranges6[] = {
	{{[15] = 1}, 128, ADDR_PRIVATE},                                      /* ::1 */
	{{0}, 128, ADDR_PRIVATE},                                             /* :: */
	{{0xfc}, 7, ADDR_PRIVATE},                                            /* RFC 4193 */
	{{0xfe, 0x80}, 10, ADDR_FORBIDDEN},                                   /* link-local */
	{{0xfe, 0xc0}, 10, ADDR_PRIVATE},                                     /* the old site-local */
	{{0xff}, 8, ADDR_FORBIDDEN},                                          /* multicast */
	{{0xfd, 0, 0x0e, 0xc2}, 32, ADDR_FORBIDDEN},                          /* a cloud's metadata, inside RFC 4193 */
};
/* clang-format on */

/* Where an IPv6 address carries an IPv4 one: prefix, its length, place of the four bytes. */
static const struct {
	unsigned char prefix[12];
	int bits, at;
} embedded[] = {
	{{[10] = 0xff, [11] = 0xff}, 96, 12}, /* ::ffff:a.b.c.d */
	{{0, 0x64, 0xff, 0x9b}, 96, 12},      /* 64:ff9b::a.b.c.d */
	{{0x20, 0x02}, 16, 2},                /* 2002:aabb:ccdd:: */
	{{0}, 96, 12},                        /* ::a.b.c.d */
};

static bool has_prefix(const unsigned char *a, const unsigned char *prefix, int bits)
{
	size_t whole = (size_t)bits / 8;
	int rest = bits % 8;
	if (memcmp(a, prefix, whole) != 0) return false;
	return rest == 0 || ((a[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

/* The longest matching range decides. */
static enum addr_kind look_up(const struct range *ranges, size_t n, const unsigned char *a, int *out_bits)
{
	enum addr_kind kind = ADDR_PUBLIC;
	*out_bits = -1;
	for (size_t i = 0; i < n; i++) {
		if (ranges[i].bits <= *out_bits || !has_prefix(a, ranges[i].prefix, ranges[i].bits)) continue;
		*out_bits = ranges[i].bits;
		kind = ranges[i].kind;
	}
	return kind;
}

static enum addr_kind kind4(const unsigned char a[4])
{
	int bits;
	return look_up(ranges4, ARRAY_LEN(ranges4), a, &bits);
}

static enum addr_kind kind6(const unsigned char a[16])
{
	int bits;
	enum addr_kind kind = look_up(ranges6, ARRAY_LEN(ranges6), a, &bits);
	if (bits >= 0) return kind;
	for (size_t i = 0; i < ARRAY_LEN(embedded); i++)
		if (has_prefix(a, embedded[i].prefix, embedded[i].bits)) return kind4(a + embedded[i].at);
	return ADDR_PUBLIC;
}

enum addr_kind addr_kind(const struct sockaddr *sa)
{
	unsigned char a[16];
	if (sa->sa_family == AF_INET) {
		memcpy(a, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
		return kind4(a);
	}
	if (sa->sa_family == AF_INET6) {
		memcpy(a, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
		return kind6(a);
	}
	return ADDR_FORBIDDEN;
}
