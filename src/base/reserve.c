#include "base/reserve.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#undef free /* here malloc's own is meant */

#define WAIT_MS 10
#define KEEP_BYTES ((size_t)1 << 20) /* touched pages up to here stay with us */

/* In front of every block. */
struct head {
	struct head *below; /* the block before it, NULL for the lowest */
	size_t n;
	bool is_free;
	_Alignas(16) unsigned char data[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int users;
static struct head *top; /* the highest live block */
static size_t used, touched;
static _Atomic(unsigned char *) base; /* NULL: not mapped */

enum err reserve_open(void)
{
	enum err e = OK;
	pthread_mutex_lock(&lock);
	if (base == NULL) {
		void *p = mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			       -1, 0);
		if (p == MAP_FAILED) e = ERR_NOMEM;
		else base = p;
	}
	if (e == OK) users++;
	pthread_mutex_unlock(&lock);
	return e;
}

void reserve_close(void)
{
	pthread_mutex_lock(&lock);
	ASSERT_CMP(users, >, 0);
	if (--users == 0 && top == NULL) {
		munmap(base, RESERVE_BYTES);
		base = NULL;
		touched = 0;
	}
	pthread_mutex_unlock(&lock);
}

size_t reserve_used(void)
{
	pthread_mutex_lock(&lock);
	size_t n = used;
	pthread_mutex_unlock(&lock);
	return n;
}

static void *push(size_t n)
{
	size_t size = sizeof(struct head) + ((n + 15) & ~(size_t)15);
	if (n > RESERVE_BYTES || size > RESERVE_BYTES - used) return NULL;
	struct head *h = (struct head *)(void *)(base + used);
	h->below = top;
	h->n = size - sizeof *h;
	h->is_free = false;
	top = h;
	used += size;
	touched = MAX(touched, used);
	return h->data;
}

void *reserve_alloc(size_t n)
{
	while (base != NULL) {
		pthread_mutex_lock(&lock);
		void *p = push(n);
		pthread_mutex_unlock(&lock);
		if (p == NULL) {
			nanosleep(&(struct timespec){.tv_nsec = WAIT_MS * 1000000L}, NULL);
			p = malloc(n);
		}
		if (p != NULL) return p;
	}
	return NULL;
}

size_t reserve_size(const void *p)
{
	const unsigned char *at = p, *b = atomic_load_explicit(&base, memory_order_relaxed);
	if (b == NULL || at < b || at >= b + RESERVE_BYTES) return 0;
	return ((const struct head *)(const void *)(at - offsetof(struct head, data)))->n;
}

void reserve_free(void *p)
{
	struct head *h = CONTAINER_OF(p, struct head, data);
	pthread_mutex_lock(&lock);
	ASSERT(!h->is_free);
	h->is_free = true;
	while (top != NULL && top->is_free) {
		used = (size_t)((unsigned char *)top - base);
		top = top->below;
	}
	if (top == NULL && touched > KEEP_BYTES) {
		madvise(base + KEEP_BYTES, touched - KEEP_BYTES, MADV_DONTNEED);
		touched = KEEP_BYTES;
	}
	pthread_mutex_unlock(&lock);
}
