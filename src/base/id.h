/* Ids. Whoever creates a record makes its id: a UUIDv7 in lower case, 36 characters. Ids are never used as an order;
 * version 7 is used because its time prefix keeps neighbours together in the store's indexes.
 *
 * A derived id is a function of another id and a label: the same inputs give the same id for ever, which is how "the
 * request of this message" and "the reply to this request" are named before they exist. It keeps the time prefix of a
 * UUIDv7, so it lands beside its origin. */
#ifndef ROOST_BASE_ID_H
#define ROOST_BASE_ID_H

#include "base/base.h"

#define ID_LEN 36
#define NAME_MAX_LEN 255 /* a record name: CloudKit's limit too */

struct id {
	char s[ID_LEN + 1];
};

struct id id_new(int64_t wall_ms); /* UUIDv7 with 74 random bits */
struct id id_derive(struct str from, const char *label);
static inline struct str id_str(const struct id *id) { return (struct str){id->s, ID_LEN}; }
/* A name: 1–255 characters of A–Z a–z 0–9 and . _ - : @ + (nothing that a path, a URL or a terminal would notice). */
bool name_is_valid(struct str name);

void random_bytes(void *p, size_t n); /* from the kernel */
uint64_t random_u64(void);

/* A small seeded generator (xoshiro256**) for simulation, jitter and test text: same seed, same numbers. */
struct rng {
	uint64_t s[4];
};
void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);       /* 0 … n-1; n > 0 */
struct id id_seeded(int64_t wall_ms, struct rng *r); /* id_new with the generator's bits */

#endif
