#include "base/arena.h"

/* The first block and its head fit a size that malloc keeps per thread (up to 1032 bytes in glibc). */
#define FIRST_BYTES 960
#define BLOCK_BYTES 2048

struct arena_block {
	struct arena_block *next;
	size_t size;
	_Alignas(16) unsigned char data[];
};

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > SIZE_MAX / 2) die(70, "arena: %zu bytes asked for", n);
	n = (n + 15) & ~(size_t)15;
	if (a->head == NULL || a->left < n) {
		size_t size = MAX(n, a->head == NULL ? (size_t)FIRST_BYTES : BLOCK_BYTES);
		struct arena_block *b = xmalloc(sizeof *b + size);
		b->size = size;
		b->next = a->head;
		a->head = b;
		a->left = size;
	}
	void *p = a->head->data + (a->head->size - a->left);
	a->left -= n;
	return p;
}

void *arena_zalloc(struct arena *a, size_t n) { return memset(arena_alloc(a, n), 0, n); }

struct str arena_str(struct arena *a, struct str s)
{
	if (s.p == NULL) return STR_NONE;
	char *p = arena_alloc(a, s.n + 1);
	memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct str){p, s.n};
}

void arena_clear(struct arena *a)
{
	while (a->head != NULL) {
		struct arena_block *next = a->head->next;
		free(a->head);
		a->head = next;
	}
	a->left = 0;
}
