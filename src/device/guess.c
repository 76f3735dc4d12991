#include "device/guess.h"

#include <uthash.h>

struct entry {
	char address[64];
	int64_t start_ms, failures;
	UT_hash_handle hh; /* in order of the last failure: the head is the oldest */
};

struct guess {
	int64_t most;
	struct entry *table;
};

struct guess *guess_new(int64_t most)
{
	struct guess *g = xcalloc(1, sizeof *g);
	g->most = most;
	return g;
}

static void drop(struct guess *g, struct entry *e)
{
	HASH_DEL(g->table, e);
	free(e);
}

void guess_free(struct guess *g)
{
	if (g == NULL) return;
	while (g->table != NULL) drop(g, g->table);
	free(g);
}

static struct entry *find(struct guess *g, struct str address)
{
	struct entry *e;
	size_t n = MIN(address.n, sizeof e->address - 1);
	HASH_FIND(hh, g->table, address.p, n, e);
	return e;
}

int64_t guess_wait_ms(struct guess *g, struct str address, int64_t now_ms)
{
	struct entry *e = find(g, address);
	if (e == NULL || e->failures < g->most) return 0;
	int64_t left = e->start_ms + GUESS_WINDOW_MS - now_ms;
	if (left > 0) return left;
	drop(g, e);
	return 0;
}

void guess_failed(struct guess *g, struct str address, int64_t now_ms)
{
	struct entry *e = find(g, address);
	if (e != NULL && now_ms - e->start_ms >= GUESS_WINDOW_MS) {
		drop(g, e);
		e = NULL;
	}
	if (e == NULL) {
		if (HASH_COUNT(g->table) >= GUESS_ADDRESSES) drop(g, g->table);
		size_t n = MIN(address.n, sizeof e->address - 1);
		e = xcalloc(1, sizeof *e);
		(void)str_copy(str_n(address.p, n), e->address, sizeof e->address);
		e->start_ms = now_ms;
	} else {
		HASH_DEL(g->table, e);
	}
	e->failures++;
	HASH_ADD_KEYPTR(hh, g->table, e->address, strlen(e->address), e);
}
