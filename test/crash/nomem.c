/* nomem makes allocations fail under a device and looks at what becomes of it.
 *
 *   nomem URL DIR once|all FROM TO STEP     reads two pairing codes per run from stdin
 *
 * A run is a life: open, pair, connect, sync, send, edit, list, close. In run N the N-th allocation of the process fails
 * (once), or every one from it on until the device has been let try for a while (all). malloc is this program's own, so
 * it fails SQLite, OpenSSL, libuv and libc as well. Whatever N is: every call gives OK or ROOST_ERR_NOMEM, nothing that
 * was refused was done, and once there is memory again everything taken arrives. After the last run no block is left
 * that was not there after the first ones.
 *
 * FROM 0 prints the number of allocations of a life and does nothing else. */
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/core.h"

#include <roost.h>

#undef free

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_OWN_MALLOC 0
static atomic_long count, live, fail_from, fail_to;
#else
#define HAS_OWN_MALLOC 1

#define SHOWN __attribute__((visibility("default")))
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);

static atomic_long count, live, fail_from, fail_to; /* the fail_from-th to the fail_to-th allocation fail */

static bool fails(void)
{
	long n = atomic_fetch_add(&count, 1) + 1;
	if (n < fail_from || n > fail_to) return false;
	errno = ENOMEM;
	return true;
}

static void *counted(void *p)
{
	if (p != NULL) atomic_fetch_add(&live, 1);
	return p;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): those of libc are reserved */
SHOWN void *malloc(size_t n) { return fails() ? NULL : counted(__libc_malloc(n)); }
SHOWN void *calloc(size_t n, size_t size) { return fails() ? NULL : counted(__libc_calloc(n, size)); }

SHOWN void *realloc(void *p, size_t n)
{
	if (fails()) return NULL;
	void *to = __libc_realloc(p, n);
	if (p == NULL) counted(to);
	return to;
}

SHOWN void free(void *p)
{
	if (p != NULL) atomic_fetch_sub(&live, 1);
	__libc_free(p);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
#endif

#define PATIENCE_MS 20000
#define STARVE_MS 30 /* how long a device without any memory is let try */

static const char *url, *dir;
static bool is_all;

static void arm(long n)
{
	count = 0;
	fail_from = n;
	fail_to = n == 0 ? 0 : is_all ? INT32_MAX : n;
}

static void memory_is_back(void) { fail_from = fail_to = 0; }
static bool is_starved(void) { return is_all && fail_from != 0 && count >= fail_from; }

struct life {
	roost *c;
	bool is_online, is_paired, is_code_used;
	int nrecords;
	int64_t starved_ms;
};

static void on_event(void *ctx, const roost_event *e)
{
	struct life *l = ctx;
	if (e->kind == ROOST_EV_ONLINE) l->is_online = true;
	if (e->kind == ROOST_EV_OFFLINE) l->is_online = false;
	if (e->kind == ROOST_EV_RECORD) l->nrecords++;
	if (e->kind != ROOST_EV_PAIRED) return;
	l->is_paired = e->error == ROOST_OK;
	l->is_code_used = e->error == ROOST_ERR_PAIRING;
}

_Noreturn static void wrong(const char *what, int r)
{
	memory_is_back();
	fprintf(stderr, "%s: %d %s (%s)\n", what, r, roost_strerror(r), roost_last_error());
	exit(1);
}

/* OK, or NOMEM and then OK when it is asked again; in the end with memory. */
#define TRY(call)                                                                                                      \
	do {                                                                                                           \
		for (int tries_ = 0;; tries_++) {                                                                      \
			int r_ = (call);                                                                               \
			if (r_ == ROOST_OK) break;                                                                     \
			if (r_ != ROOST_ERR_NOMEM || tries_ > 100) wrong(#call, r_);                                   \
			if (is_starved() || tries_ > 1) memory_is_back();                                              \
			if (l.c != NULL) turn(&l, 5);                                                                  \
		}                                                                                                      \
	} while (0)

static void turn(struct life *l, int ms)
{
	int r = roost_run(l->c, ms);
	if (r != ROOST_OK) wrong("roost_run", r);
	if (!is_starved()) return;
	if (l->starved_ms == 0) l->starved_ms = clock_boot_ms() + STARVE_MS;
	if (clock_boot_ms() >= l->starved_ms) memory_is_back();
}

#define UNTIL(what, condition)                                                                                         \
	do {                                                                                                           \
		int64_t end_ = clock_boot_ms() + PATIENCE_MS;                                                          \
		while (!(condition)) {                                                                                 \
			turn(&l, 1);                                                                                   \
			if (clock_boot_ms() > end_) wrong("waited in vain: " what, 0);                                 \
		}                                                                                                      \
	} while (0)

struct seen {
	int n, edited;
};

static int on_record(void *ctx, const roost_record *r)
{
	struct seen *s = ctx;
	s->n++;
	if (strstr(r->json, "\"second, changed\"") != NULL) s->edited++;
	return 1;
}

static int pending(struct life *l)
{
	roost_status_t s = {.size = sizeof s};
	return roost_status(l->c, &s) == ROOST_OK ? s.pending + s.held : -1;
}

static struct seen listed(struct life *l, const char *conversation)
{
	struct seen s = {0};
	int r = roost_list(l->c, "Message", conversation, on_record, &s);
	if (r != ROOST_OK && r != ROOST_ERR_NOMEM) wrong("roost_list", r);
	if (r != ROOST_OK) s.n = -1;
	return s;
}

/* One life, in which allocation n fails. */
static long live_through(long n, const char *code, const char *spare)
{
	struct life l = {0};
	char path[512], second[ROOST_ID_SIZE], conversation[64];
	const char *const suffixes[] = {"", "-wal", "-lock"};
	snprintf(path, sizeof path, "%s/%ld.db", dir, n);
	snprintf(conversation, sizeof conversation, "c-%d-%s-%ld", (int)getpid(), is_all ? "all" : "once", n);
	roost_options o = {.size = sizeof o, .path = path, .url = url, .code = code, .event = on_event, .ctx = &l};
	roost_message m = {.size = sizeof m, .text = "first", .conversation = conversation};
	arm(n);
	TRY(roost_open(&o, &l.c));
	TRY(roost_send(l.c, &m, NULL));
	/* The daemon may have taken the code when there was no memory for its answer: then the person gets another. */
	int64_t end = clock_boot_ms() + PATIENCE_MS;
	while (!l.is_paired && clock_boot_ms() < end) {
		turn(&l, 1);
		if (!l.is_code_used) continue;
		l.is_code_used = false;
		TRY(roost_pair(l.c, spare));
	}
	if (!l.is_paired) wrong("not paired", 0);
	UNTIL("online", l.is_online);
	m.text = "second";
	TRY(roost_send(l.c, &m, second));
	TRY(roost_join(l.c, conversation));
	TRY(roost_drive(l.c, conversation, 1));
	UNTIL("sent", pending(&l) == 0);
	TRY(roost_edit(l.c, second, "second, changed"));
	TRY(roost_save(l.c, "Conversation", conversation, "{\"title\":\"of memory\"}", NULL));
	UNTIL("all sent", pending(&l) == 0);
	struct seen s;
	UNTIL("listed", (s = listed(&l, conversation)).n >= 0);
	if (s.n != 2 || s.edited != 1) wrong("messages are missing or double", s.n);
	roost_close(l.c);
	memory_is_back();
	long taken = count;
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char name[560];
		snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
		unlink(name);
	}
	return taken;
}

int main(int argc, char **argv)
{
	char codes[2][64];
	if (argc != 7) die(64, "usage: nomem URL DIR once|all FROM TO STEP");
	url = argv[1];
	dir = argv[2];
	is_all = strcmp(argv[3], "all") == 0;
	long from = strtol(argv[4], NULL, 10), to = strtol(argv[5], NULL, 10), step = strtol(argv[6], NULL, 10),
	     kept = 0;
	if (!HAS_OWN_MALLOC) die(77, "the sanitizer has malloc");
	for (long n = from;
	     n <= to && fgets(codes[0], sizeof codes[0], stdin) && fgets(codes[1], sizeof codes[1], stdin); n += step) {
		for (int i = 0; i < 2; i++) codes[i][strcspn(codes[i], "\n")] = '\0';
		printf("%ld\n", n);
		fflush(stdout);
		long taken = live_through(n, codes[0], codes[1]);
		if (n == 0) printf("%ld allocations\n", taken);
		if (n == from + step) kept = live; /* the first life leaves what the libraries keep for the process */
	}
	if (kept != 0 && live > kept + 16) die(1, "%ld blocks are left", live - kept);
	return 0;
}
