/* For tests of the store: a store in a directory of its own, and commands that are run and awaited in one call. */
#ifndef TEST_STORE_FIXTURE_H
#define TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <dirent.h>
#include <semaphore.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "store/txn.h"

struct fixture {
	char dir[64];
	struct limits limits;
	struct store *store;
	sem_t woken;
	uint32_t actor;
	uint32_t zone;
	int64_t user;
	int64_t now_ms;
	_Atomic enum err fatal; /* what the store called fatal */
	struct errinfo info;    /* of the last command */
	struct arena keep;      /* results that outlive their command */
};

/* A command whose work is fn(t, ctx). */
struct call {
	struct store_op op;
	enum err (*fn)(struct txn *t, void *ctx);
	void *ctx;
	bool done;
};

static enum err call_run(struct txn *t, struct store_op *op)
{
	struct call *c = CONTAINER_OF(op, struct call, op);
	return c->fn(t, c->ctx);
}
static void call_done(struct store_op *op) { CONTAINER_OF(op, struct call, op)->done = true; }

static void call_init(struct fixture *f, struct call *c, enum err (*fn)(struct txn *, void *), void *ctx)
{
	static unsigned n;
	*c = (struct call){.fn = fn, .ctx = ctx};
	store_op_init(&c->op, call_run, call_done, f->actor, f->now_ms++);
	c->op.bytes = 300;
	c->op.repeatable = n++ % 4 != 0; /* both kinds, mixed */
}

static void await(struct fixture *f, const struct call *c)
{
	while (!c->done) {
		while (sem_wait(&f->woken) != 0) {
		}
		store_poll(f->store);
	}
}

static enum err finish_call(struct fixture *f, struct call *c)
{
	await(f, c);
	enum err e = c->op.err;
	f->info = c->op.info;
	store_op_release(&c->op);
	return e;
}

static enum err run(struct fixture *f, enum err (*fn)(struct txn *, void *), void *ctx)
{
	struct call c;
	call_init(f, &c, fn, ctx);
	store_submit(f->store, &c.op);
	return finish_call(f, &c);
}

__attribute__((unused)) static enum err run_on_reader(struct fixture *f, enum err (*fn)(struct txn *, void *),
						      void *ctx)
{
	struct call c;
	call_init(f, &c, fn, ctx);
	store_read(f->store, &c.op);
	return finish_call(f, &c);
}

static void fixture_wake(void *ctx) { (void)sem_post(&((struct fixture *)ctx)->woken); }
static void fixture_fatal(void *ctx, enum err e, const char *what)
{
	(void)what;
	((struct fixture *)ctx)->fatal = e;
}

static enum err fixture_try_open(struct fixture *f, struct errinfo *info)
{
	struct store_options o = {
		.dir = f->dir, .limits = &f->limits, .wake = fixture_wake, .fatal = fixture_fatal, .ctx = f};
	return store_open(&o, &f->store, info);
}

static enum err make_home(struct txn *t, void *ctx)
{
	struct fixture *f = ctx;
	struct user_row u;
	enum err e = txn_user_find(t, STR("ann"), &u);
	if (e == ERR_NOT_FOUND) e = txn_user_add(t, STR("ann"), &u);
	f->user = u.user;
	if (e == OK) e = txn_principal(t, u.user, STR("phone"), &f->actor);
	if (e == OK) e = txn_zone(t, u.user, ZONE_HOME, true, &f->zone);
	return e;
}

static void fixture_open(struct fixture *f)
{
	struct errinfo info = {0};
	if (fixture_try_open(f, &info) != OK) fail_msg("store_open: %s", info.text);
	assert_int_equal(run(f, make_home, f), OK);
}

static void fixture_close(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
}

static void fixture_init(struct fixture *f)
{
	memset(f, 0, sizeof *f);
	(void)snprintf(f->dir, sizeof f->dir, "/tmp/roost-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	limits_default(&f->limits);
	assert_int_equal(sem_init(&f->woken, 0, 0), 0);
	f->now_ms = 1700000000000;
	fixture_open(f);
}

static void fixture_release(struct fixture *f)
{
	if (f->store != NULL) fixture_close(f);
	DIR *d = opendir(f->dir);
	for (struct dirent *de; d != NULL && (de = readdir(d)) != NULL;)
		if (de->d_name[0] != '.') (void)unlinkat(dirfd(d), de->d_name, 0);
	if (d != NULL) (void)closedir(d);
	(void)rmdir(f->dir);
	(void)sem_destroy(&f->woken);
	arena_clear(&f->keep);
}

__attribute__((unused)) static int setup(void **state)
{
	struct fixture *f = malloc(sizeof *f);
	fixture_init(f);
	*state = f;
	return 0;
}

__attribute__((unused)) static int teardown(void **state)
{
	fixture_release(*state);
	free(*state);
	return 0;
}

/* ---- doctor ---- */

struct findings {
	int bad;
	char text[4000]; /* the bad ones, a line each */
};

static void note_finding(void *ctx, bool bad, const char *what)
{
	struct findings *fs = ctx;
	if (!bad) return;
	fs->bad++;
	size_t n = strlen(fs->text);
	(void)snprintf(fs->text + n, sizeof fs->text - n, "%s\n", what);
}

/* OK, or what the doctor says of the store, running or not. */
static enum err examine(struct fixture *f, struct findings *fs)
{
	struct errinfo info = {0};
	*fs = (struct findings){0};
	return store_check(f->dir, f->store, note_finding, fs, &info);
}

__attribute__((unused)) static void assert_healthy(struct fixture *f)
{
	struct findings fs;
	if (examine(f, &fs) != OK) fail_msg("the doctor found: %s", fs.text);
}

#endif
