/* For tests of the seats: their clock, their writer and the devices, played by the test. */
#ifndef TEST_SEATS_GEAR_H
#define TEST_SEATS_GEAR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "device/seats_priv.h"

#define MAX_TOKENS 400
#define MAX_QUEUE 64
#define WAITING ((enum err) - 1)
#define HEARTBEAT 4000
#define GRACE 5000

/* A session's record as the writer has it. */
struct row {
	char id[8], primary[8], holder[8];
	int64_t term, fence;
	bool is_killed;
};

struct token {
	enum err e;
	char primary[8], holder[8], session[8];
	int64_t term, fence;
	bool is_lock;
};

struct rig {
	struct limits limits;
	struct seats *seats;
	int64_t now;
	struct row row, next; /* next: the session after a clear */
	struct {
		struct seats_change c;
		char session[8], device[8];
	} queue[MAX_QUEUE];
	size_t nqueue;
	enum err disk; /* what the writer answers instead */
	struct token tokens[MAX_TOKENS];
	size_t ntokens, nanswered;
	char log[2048];
	int64_t told_term, told_fence, granted_fence;
	char told_primary[8];
	int pings[4]; /* of devices a, b, c, others */
	bool deaf;    /* devices do not answer pings */
};

static void say(struct rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct rig *r, const char *fmt, ...)
{
	va_list ap;
	size_t n = strlen(r->log);
	va_start(ap, fmt);
	(void)vsnprintf(r->log + n, sizeof r->log - n, fmt, ap);
	va_end(ap);
}

static void fx_submit(void *ctx, const struct seats_change *c)
{
	struct rig *r = ctx;
	assert_in_range(r->nqueue, 0, MAX_QUEUE - 1);
	r->queue[r->nqueue].c = *c;
	assert_true(str_copy(c->session_id, r->queue[r->nqueue].session, 8));
	assert_true(str_copy(c->device_id, r->queue[r->nqueue].device, 8));
	r->nqueue++;
}

static void fx_primary(void *ctx, const struct seats_state *st, struct str before)
{
	struct rig *r = ctx;
	(void)before;
	if (str_eq(st->session_id, STR("s"))) assert_true(st->term > r->told_term);
	r->told_term = st->term;
	assert_true(str_copy(st->primary, r->told_primary, 8));
	say(r, "primary %s %d;", st->primary.n > 0 ? st->primary.p : "-", (int)st->term);
}

static void fx_lock(void *ctx, const struct seats_state *st)
{
	struct rig *r = ctx;
	assert_true(st->fence >= r->told_fence);
	r->told_fence = st->fence;
	say(r, "lock %s %d;", st->holder.n > 0 ? st->holder.p : "-", (int)st->fence);
}

static void fx_joined(void *ctx, const struct seats_state *st, struct str device_id, bool is_joined)
{
	(void)st;
	say(ctx, "%s %.*s;", is_joined ? "came" : "went", STR_ARG(device_id));
}

static void fx_answer(void *ctx, void *token, enum err e, const struct seats_state *st)
{
	struct rig *r = ctx;
	struct token *t = token;
	assert_int_equal(t->e, WAITING); /* once and only once */
	t->e = e;
	r->nanswered++;
	if (st == NULL) return;
	assert_true(str_copy(st->primary, t->primary, 8) && str_copy(st->holder, t->holder, 8) &&
		    str_copy(st->session_id, t->session, 8));
	t->term = st->term;
	t->fence = st->fence;
	if (!t->is_lock || e != OK || t->fence == r->granted_fence) return;
	/* A new fence goes to whoever asked first of those that still wait. */
	r->granted_fence = t->fence;
	for (struct token *o = r->tokens; o < t; o++) assert_false(o->is_lock && o->e == WAITING);
}

static void fx_ping(void *ctx, int64_t user, struct str device_id)
{
	struct rig *r = ctx;
	(void)user;
	r->pings[device_id.p[0] >= 'a' && device_id.p[0] <= 'c' ? device_id.p[0] - 'a' : 3]++;
}

static const struct seats_ops ops = {fx_submit, fx_primary, fx_lock, fx_joined, fx_answer, fx_ping};

static void boot(struct rig *r)
{
	struct seats_options o = {.limits = &r->limits, .ops = &ops, .ctx = r, .now_ms = r->now};
	r->seats = seats_new(&o);
	r->nqueue = 0;
}

static void rig_init(struct rig *r)
{
	*r = (struct rig){.now = 1000000, .row = {.id = "s"}, .next = {.id = "s2"}};
	limits_default(&r->limits);
	r->limits.heartbeat_ms = HEARTBEAT;
	r->limits.primary_grace_ms = GRACE;
	boot(r);
}

__attribute__((unused)) static void restart(struct rig *r)
{
	seats_free(r->seats);
	r->now += 100;
	boot(r);
}

__attribute__((unused)) static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	rig_init(r);
	*state = r;
	return 0;
}

__attribute__((unused)) static int teardown(void **state)
{
	struct rig *r = *state;
	seats_free(r->seats);
	assert_int_equal(r->nanswered, r->ntokens);
	free(r);
	return 0;
}

__attribute__((unused)) static struct token *token(struct rig *r)
{
	assert_in_range(r->ntokens, 0, MAX_TOKENS - 1);
	struct token *t = &r->tokens[r->ntokens++];
	*t = (struct token){.e = WAITING};
	return t;
}

/* ---- what can be done ------------------------------------------------------------------------------------------- */

__attribute__((unused)) static struct seats_session read_row(const struct row *w)
{
	return (struct seats_session){str_c(w->id), str_c(w->primary), w->term, w->fence};
}

__attribute__((unused)) static struct token *join_in(struct rig *r, int64_t user, const char *device,
						     const char *conversation, bool follows)
{
	static const struct row none = {.id = ""};
	struct token *t = token(r);
	struct row *w = strcmp(conversation, "new") == 0 ? (struct row *)(uintptr_t)&none
			: r->row.is_killed               ? &r->next
							 : &r->row;
	struct seats_session session = read_row(w);
	seats_join(r->seats, user, str_c(device), str_c(conversation), &session, follows, t, r->now);
	return t;
}
__attribute__((unused)) static struct token *join(struct rig *r, const char *device)
{
	return join_in(r, 1, device, "c", false);
}
__attribute__((unused)) static void leave(struct rig *r, const char *device)
{
	seats_leave(r->seats, 1, str_c(device), STR("c"), r->now);
}
__attribute__((unused)) static void lose(struct rig *r, const char *device)
{
	seats_lost(r->seats, 1, str_c(device), r->now);
}
__attribute__((unused)) static void hear(struct rig *r, const char *device)
{
	seats_heard(r->seats, 1, str_c(device), r->now);
}
__attribute__((unused)) static void type(struct rig *r, const char *device)
{
	seats_typed(r->seats, 1, str_c(device), STR("s"), r->now);
}

__attribute__((unused)) static struct token *ask(struct rig *r, const char *device, enum seats_action action,
						 const char *to)
{
	struct token *t = token(r);
	seats_ask(r->seats, 1, str_c(device), STR("s"), action, str_c(to), t, r->now);
	return t;
}
__attribute__((unused)) static struct token *lock(struct rig *r, const char *device, int64_t ttl, int64_t wait)
{
	struct token *t = token(r);
	t->is_lock = true;
	seats_lock(r->seats, 1, str_c(device), STR("s"), ttl, wait, t, r->now);
	return t;
}
__attribute__((unused)) static struct token *unlock(struct rig *r, const char *device, int64_t fence)
{
	struct token *t = token(r);
	seats_unlock(r->seats, 1, str_c(device), STR("s"), fence, t, r->now);
	return t;
}

/* The writer takes the oldest proposal: the same conditions as in session_change.c. */
__attribute__((unused)) static void commit_one(struct rig *r)
{
	struct row *w = &r->row;
	struct seats_change c = r->queue[0].c;
	char session[8], device[8];
	memcpy(session, r->queue[0].session, 8);
	memcpy(device, r->queue[0].device, 8);
	r->nqueue--;
	memmove(r->queue, r->queue + 1, r->nqueue * sizeof r->queue[0]);
	if (strcmp(session, "s2") == 0) w = &r->next;
	struct seats_result out = {.kind = c.kind, .serial = c.serial, .user = c.user, .session_id = str_c(session)};
	if (w->is_killed) {
		out.err = ERR_SESSION_KILLED;
	} else if (r->disk != OK) {
		out.err = r->disk;
	} else if (c.expect != (c.kind == SEATS_PRIMARY ? w->term : w->fence)) {
		out.err = ERR_CONFLICT;
	} else if (c.kind == SEATS_PRIMARY) {
		w->term++;
		memcpy(w->primary, device, 8);
	} else {
		if (device[0] != '\0' && !(c.is_renewal && strcmp(w->holder, device) == 0)) w->fence++;
		memcpy(w->holder, device, 8);
	}
	out.now = read_row(w->is_killed ? &r->next : w);
	out.holder = str_c(w->holder);
	if (out.err == OK) /* the hook hears of it first */
		seats_session(r->seats, c.user, STR("c"), &out.now, r->now);
	seats_committed(r->seats, &out, r->now);
}

__attribute__((unused)) static void commit(struct rig *r)
{
	while (r->nqueue > 0) commit_one(r);
}

/* Time passes in the steps the seats ask for; whoever is pinged and not in `frozen` answers, and all others talk. */
__attribute__((unused)) static void pass_time(struct rig *r, int64_t ms, const char *frozen)
{
	int64_t end = r->now + ms;
	while (r->now < end) {
		int64_t next = seats_next_ms(r->seats);
		int before[4];
		memcpy(before, r->pings, sizeof before);
		r->now = MIN(end, MAX(next, r->now + 1));
		if (next <= r->now) seats_tick(r->seats, r->now);
		for (int i = 0; i < 3; i++) {
			char id[2] = {(char)('a' + i), '\0'};
			if (r->pings[i] != before[i] && strchr(frozen, id[0]) == NULL) hear(r, id);
		}
	}
}

__attribute__((unused)) static void expect_log(struct rig *r, const char *log)
{
	assert_string_equal(r->log, log);
	r->log[0] = '\0';
}

__attribute__((unused)) static void expect_primary(struct rig *r, const char *device, int64_t term)
{
	struct seats_state st;
	assert_true(seats_find(r->seats, 1, STR("s"), &st));
	assert_true(str_eq(st.primary, str_c(device)));
	assert_int_equal(st.term, term);
	assert_string_equal(r->row.primary, device);
	assert_int_equal(r->row.term, term);
}

__attribute__((unused)) static void join_all(struct rig *r, const char *devices)
{
	for (const char *d = devices; *d != '\0'; d++) {
		char id[2] = {*d, '\0'};
		(void)join(r, id);
	}
	commit(r);
	r->log[0] = '\0';
}

struct joined_list {
	char text[64];
};
__attribute__((unused)) static void add_joined(void *ctx, struct str id)
{
	struct joined_list *l = ctx;
	size_t n = strlen(l->text);
	snprintf(l->text + n, sizeof l->text - n, "%.*s", STR_ARG(id));
}
__attribute__((unused)) static void expect_joined(struct rig *r, const char *line)
{
	struct joined_list l = {""};
	seats_each_joined(r->seats, 1, STR("c"), add_joined, &l);
	assert_string_equal(l.text, line);
}

#endif
