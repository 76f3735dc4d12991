/* The table behind the content net.
 *
 * Entries stand in a ring in the order they came, so what is too old is always at its end. The ring's memory comes in
 * pieces of SEGMENT places: one is made when the front enters it and freed when the end leaves it.
 *
 * They are found by linear hashing: the number of buckets grows by one, by splitting one bucket, whenever there are more
 * entries than buckets; while there are less than half as many, every one that goes takes two buckets along, each joined
 * to its partner. No call ever rebuilds the table, which is what keeps the slowest call as quick as the others. The
 * directory of buckets comes in segments too.
 *
 * With `low` a power of two and low ≤ buckets < 2 low, a key's bucket is its hash modulo 2 low where there is such a
 * bucket already, else modulo low. A chain links places of the ring, counted from 1; 0 ends it. Several devices may have
 * an entry of the same key, each one: those who said the same and meant it.
 *
 * After a burst and a silence there may be a million entries that are too old. One call forgets only FORGET_STEP of them,
 * so the others are passed over by age; when all are too old, whole segments are freed without looking into them.
 *
 * An entry that is dropped before its time leaves its chain at once and keeps its place, without a row, until the ring's
 * end passes it. */
#include "device/duplicate.h"

#include <utf8proc.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"

#define SEGMENT 1024   /* entries, and buckets, that are allocated together */
#define FORGET_STEP 32 /* entries that one call forgets */

struct looked {
	int64_t conversation;
	UT_hash_handle hh;
};

struct duplicates {
	int64_t start_ms;
	int64_t since_ms;      /* entries from before are too old */
	int64_t newest_ms;     /* time of the youngest entry */
	struct looked *looked; /* conversations that were looked at, until the window after the start is over */
	uint64_t first, next;  /* the ring: places first … next-1, modulo `most` */
	uint64_t most;
	struct duplicate_entry **ring; /* [most / SEGMENT] segments, NULL where there is none */
	size_t nring, ring_segments;
	uint32_t **dir;
	size_t ndir, dir_segments;
	uint64_t buckets, low, live; /* live: entries in chains */
};

/* ---- the key ---------------------------------------------------------------------------------------------------- */

static bool is_space(utf8proc_int32_t c)
{
	if (c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85) return true;
	if (c < 0x80) return false;
	utf8proc_category_t k = utf8proc_category(c);
	return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

static struct str trim(struct str s)
{
	utf8proc_int32_t c;
	while (s.n > 0) {
		utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.p, (utf8proc_ssize_t)s.n, &c);
		if (n <= 0 || !is_space(c)) break;
		s.p += n;
		s.n -= (size_t)n;
	}
	while (s.n > 0) {
		size_t at = s.n - 1;
		while (at > 0 && ((unsigned char)s.p[at] & 0xc0) == 0x80) at--;
		if (utf8proc_iterate((const utf8proc_uint8_t *)s.p + at, (utf8proc_ssize_t)(s.n - at), &c) <= 0) break;
		if (!is_space(c)) break;
		s.n = at;
	}
	return s;
}

/* Below U+0300 every text is in composed form: nothing there combines with what is before it. */
static bool may_need_composing(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0xcc) return true;
	return false;
}

static void add_framed(struct buf *b, struct str s)
{
	uint64_t n = s.n;
	buf_add(b, &n, sizeof n);
	buf_add_str(b, s);
}

static void add_text(struct buf *b, struct str text)
{
	utf8proc_uint8_t *composed = NULL;
	text = trim(text);
	if (may_need_composing(text)) {
		utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text.p, (utf8proc_ssize_t)text.n, &composed,
						  (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
		if (n >= 0) text = str_n((const char *)composed, (size_t)n);
	}
	add_framed(b, text);
	free(composed);
}

static void add_parts(struct buf *b, struct str parts)
{
	struct json_doc *doc = NULL;
	if (parts.p == NULL || json_parse(parts, &doc, NULL) != OK) return;
	for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
		struct str hash;
		if (json_str(json_get(it.val, "sha256"), &hash)) {
			add_framed(b, hash);
		} else {
			struct buf said = BUF_INIT(BUF_NO_LIMIT);
			json_write(&said, it.val);
			add_framed(b, buf_str(&said));
			buf_release(&said);
		}
	}
	json_free(doc);
}

void duplicate_key(int64_t user, struct str session_id, struct str text, struct str parts, struct duplicate_key *out)
{
	unsigned char full[SHA256_LEN];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	buf_add(&b, &user, sizeof user);
	add_framed(&b, session_id);
	add_text(&b, text);
	add_parts(&b, parts);
	sha256(buf_str(&b), full);
	memcpy(out->b, full, sizeof out->b);
	buf_release(&b);
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static struct duplicate_entry *place(const struct duplicates *d, uint64_t at)
{
	uint64_t slot = at % d->most;
	return &d->ring[slot / SEGMENT][slot % SEGMENT];
}

static struct duplicate_entry *linked(const struct duplicates *d, uint32_t link)
{
	return &d->ring[(link - 1) / SEGMENT][(link - 1) % SEGMENT];
}

static uint32_t *bucket(const struct duplicates *d, uint64_t i) { return &d->dir[i / SEGMENT][i % SEGMENT]; }

static uint64_t hash_of(const struct duplicate_key *k)
{
	uint64_t h;
	memcpy(&h, k->b, sizeof h);
	return h;
}

static uint64_t bucket_of(const struct duplicates *d, const struct duplicate_key *k)
{
	uint64_t h = hash_of(k), i = h & (2 * d->low - 1);
	return i < d->buckets ? i : h & (d->low - 1);
}

static void *more(void *list, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap) return list;
	size_t was = *cap;
	*cap = MAX(was * 2, need);
	list = xrealloc(list, xmul(*cap, size));
	memset((char *)list + was * size, 0, (*cap - was) * size);
	return list;
}

static void grow(struct duplicates *d)
{
	uint64_t made = d->buckets;
	d->dir = more(d->dir, &d->ndir, made / SEGMENT + 1, sizeof *d->dir);
	if (d->dir[made / SEGMENT] == NULL) {
		d->dir[made / SEGMENT] = xcalloc(SEGMENT, sizeof **d->dir);
		d->dir_segments++;
	}
	d->buckets++;
	/* Those of the split bucket whose hash says so move; both chains keep their order. */
	uint32_t *stay = bucket(d, made - d->low), *move = bucket(d, made), link = *stay;
	*stay = 0;
	while (link != 0) {
		struct duplicate_entry *e = linked(d, link);
		uint32_t **to = (hash_of(&e->key) & (2 * d->low - 1)) == made ? &move : &stay;
		**to = link;
		*to = &e->in_hash;
		link = e->in_hash;
	}
	*stay = *move = 0;
	if (d->buckets == 2 * d->low) d->low *= 2;
}

static void shrink(struct duplicates *d)
{
	if (d->buckets == d->low) d->low /= 2;
	uint64_t gone = --d->buckets;
	uint32_t *end = bucket(d, gone - d->low);
	while (*end != 0) end = &linked(d, *end)->in_hash;
	*end = *bucket(d, gone);
	*bucket(d, gone) = 0;
	if (gone % SEGMENT != 0) return;
	free(d->dir[gone / SEGMENT]);
	d->dir[gone / SEGMENT] = NULL;
	d->dir_segments--;
}

static void unlink_entry(struct duplicates *d, struct duplicate_entry *e)
{
	uint32_t *at = bucket(d, bucket_of(d, &e->key));
	while (linked(d, *at) != e) at = &linked(d, *at)->in_hash;
	*at = e->in_hash;
	e->in_hash = 0;
	e->row = 0;
	d->live--;
	for (int i = 0; i < 2 && d->buckets > SEGMENT && d->live < d->buckets / 2; i++) shrink(d);
}

static void forget_oldest(struct duplicates *d)
{
	struct duplicate_entry *e = place(d, d->first);
	if (e->row != 0) unlink_entry(d, e);
	uint64_t slot = d->first++ % d->most, segment = slot / SEGMENT;
	bool is_left = slot % SEGMENT == SEGMENT - 1 || slot == d->most - 1 || d->first == d->next;
	/* The front may be in it again, having gone all the way round. */
	if (d->first != d->next && d->next % d->most / SEGMENT == segment) is_left = false;
	if (!is_left) return;
	free(d->ring[segment]);
	d->ring[segment] = NULL;
	d->ring_segments--;
}

static void forget_all(struct duplicates *d)
{
	for (size_t i = 0; i < d->nring; i++) {
		free(d->ring[i]);
		d->ring[i] = NULL;
	}
	for (size_t i = 1; i < d->ndir; i++) {
		free(d->dir[i]);
		d->dir[i] = NULL;
	}
	memset(d->dir[0], 0, SEGMENT * sizeof **d->dir);
	d->first = d->next;
	d->live = 0;
	d->ring_segments = 0;
	d->dir_segments = 1;
	d->buckets = d->low = SEGMENT;
}

static void forget_looked(struct duplicates *d)
{
	struct looked *l, *tmp;
	HASH_ITER (hh, d->looked, l, tmp) {
		HASH_DEL(d->looked, l);
		free(l);
	}
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

struct duplicates *duplicates_new(int64_t most, int64_t boot_ms)
{
	struct duplicates *d = xcalloc(1, sizeof *d);
	d->start_ms = boot_ms;
	d->most = (uint64_t)most;
	d->nring = (size_t)((most + SEGMENT - 1) / SEGMENT);
	d->ring = xcalloc(d->nring, sizeof(void *));
	d->dir = more(NULL, &d->ndir, 1, sizeof *d->dir);
	d->dir[0] = xcalloc(SEGMENT, sizeof **d->dir);
	d->dir_segments = 1;
	d->buckets = d->low = SEGMENT;
	return d;
}

void duplicates_free(struct duplicates *d)
{
	if (d == NULL) return;
	for (size_t i = 0; i < d->nring; i++) free(d->ring[i]);
	for (size_t i = 0; i < d->ndir; i++) free(d->dir[i]);
	forget_looked(d);
	free(d->ring);
	free(d->dir);
	free(d);
}

int64_t duplicates_start_ms(const struct duplicates *d) { return d->start_ms; }

bool duplicates_is_first_look(struct duplicates *d, int64_t conversation)
{
	struct looked *l;
	HASH_FIND(hh, d->looked, &conversation, sizeof conversation, l);
	if (l != NULL) return false;
	l = xcalloc(1, sizeof *l);
	l->conversation = conversation;
	HASH_ADD(hh, d->looked, conversation, sizeof l->conversation, l);
	return true;
}

void duplicates_expire(struct duplicates *d, int64_t since_boot_ms)
{
	d->since_ms = since_boot_ms;
	if (d->looked != NULL && since_boot_ms > d->start_ms) forget_looked(d);
	if (d->first != d->next && d->newest_ms < since_boot_ms) forget_all(d);
	for (int i = 0; i < FORGET_STEP; i++) {
		if (d->first == d->next || place(d, d->first)->boot_ms >= since_boot_ms) return;
		forget_oldest(d);
	}
}

const struct duplicate_entry *duplicates_find(struct duplicates *d, const struct duplicate_key *key, uint32_t device)
{
	const struct duplicate_entry *found = NULL;
	for (uint32_t link = *bucket(d, bucket_of(d, key)); link != 0;) {
		const struct duplicate_entry *e = linked(d, link);
		link = e->in_hash;
		if (e->boot_ms < d->since_ms || memcmp(e->key.b, key->b, sizeof key->b) != 0) continue;
		if (e->device == device) return NULL;
		if (found == NULL || e->boot_ms > found->boot_ms) found = e;
	}
	return found;
}

void duplicates_drop(struct duplicates *d, const struct duplicate_entry *e)
{
	uint32_t link = *bucket(d, bucket_of(d, &e->key));
	while (linked(d, link) != e) link = linked(d, link)->in_hash;
	unlink_entry(d, linked(d, link));
}

static void forget_own(struct duplicates *d, const struct duplicate_entry *new)
{
	for (uint32_t link = *bucket(d, bucket_of(d, &new->key)); link != 0;) {
		struct duplicate_entry *e = linked(d, link);
		link = e->in_hash;
		if (e->device != new->device || memcmp(e->key.b, new->key.b, sizeof e->key.b) != 0) continue;
		unlink_entry(d, e);
		return;
	}
}

void duplicates_add(struct duplicates *d, const struct duplicate_entry *e)
{
	ASSERT(e->row != 0);
	forget_own(d, e);
	if (d->next - d->first == d->most) forget_oldest(d);
	uint64_t slot = d->next % d->most;
	if (d->ring[slot / SEGMENT] == NULL) {
		d->ring[slot / SEGMENT] = xmalloc(SEGMENT * sizeof **d->ring);
		d->ring_segments++;
	}
	struct duplicate_entry *to = place(d, d->next);
	uint32_t *head = bucket(d, bucket_of(d, &e->key));
	*to = *e;
	d->newest_ms = MAX(d->newest_ms, e->boot_ms);
	to->in_hash = *head;
	*head = (uint32_t)slot + 1;
	d->next++;
	d->live++;
	if (d->live > d->buckets) grow(d);
}

size_t duplicates_count(const struct duplicates *d) { return (size_t)(d->next - d->first); }

size_t duplicates_bytes(const struct duplicates *d)
{
	return sizeof *d + d->nring * sizeof(void *) + d->ring_segments * SEGMENT * sizeof **d->ring +
	       d->ndir * sizeof *d->dir + d->dir_segments * SEGMENT * sizeof **d->dir;
}
