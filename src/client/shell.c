#include "client/shell.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/reserve.h"

#define RETRY_MS 200       /* after memory ran out */
#define DISK_RETRY_MS 1000 /* after the disk refused */
#define PAIR_RETRY_MS 2000 /* the daemon was not there */
#define BYTES_PER_BYTE 24  /* memory that taking up a byte can cost at worst: "[0,0,0…" */
#define LEAST_MS 1         /* libuv runs a timer of 0 ms again before it looks at anything else */
#define VALUE_BYTES_MAX ((size_t)64 << 10)

/* ---- memory ------------------------------------------------------------------------------------------------------ */

struct core_now shell_now(void) { return (struct core_now){clock_boot_ms(), clock_wall_ms()}; }

bool shell_has_headroom(size_t n)
{
	void *volatile p = malloc(SHELL_HEADROOM + n * BYTES_PER_BYTE); /* volatile: or it would be optimized away */
	bool has = p != NULL && reserve_used() < RESERVE_BYTES / 2;
	free(p);
	return has;
}

/* libuv ends the process when it cannot grow the table of a loop. malloc's own blocks are fine with these, so they may
 * come late; a process that never opens a device again pays nothing. */
static void *uv_take(size_t n)
{
	void *p = malloc(n);
	if (p == NULL) p = reserve_alloc(n);
	return p;
}

static void *uv_grow(void *p, size_t n)
{
	void *to = reserve_size(p) == 0 ? realloc(p, n) : NULL;
	return to != NULL ? to : xrealloc(p, n);
}

static void *uv_zeroed(size_t n, size_t size)
{
	void *p = calloc(n, size);
	if (p == NULL && (p = reserve_alloc(xmul(n, size))) != NULL) memset(p, 0, n * size);
	return p;
}

static void set_allocator(void) { (void)uv_replace_allocator(uv_take, uv_grow, uv_zeroed, xfree); }

/* ---- the core's hooks -------------------------------------------------------------------------------------------- */

static void hook_send(void *ctx, struct str frame)
{
	struct roost *c = ctx;
	if (c->broken == OK) link_send(c->link, frame);
}

#ifdef ROOST_TEST_FAULTS
/* The fault of the kill sweep's control: the core is told "durable" at once, and the file hears of it later. */
#define EARLY_MS 30
static bool sends_early(void) { return getenv("ROOST_TEST_EARLY_SEND") != NULL; }
#else
#define EARLY_MS 0
static bool sends_early(void) { return false; }
#endif

static bool hook_persist(void *ctx, const struct core_batch *batch)
{
	struct roost *c = ctx;
	if (c->broken != OK) return false;
	disk_put(c->disk, batch);
	c->put = batch->number;
	if (!sends_early()) return false;
	if (c->disk_ms == 0) c->disk_ms = clock_boot_ms() + EARLY_MS;
	return true;
}

static bool hook_read(void *ctx, enum core_table table, struct str key, struct buf *out)
{
	struct roost *c = ctx;
	bool is_found = false;
	if (c->broken == OK) c->broken = disk_read(c->disk, table, key, &is_found, out, &c->disk_info);
	return is_found;
}

static void hook_connect(void *ctx)
{
	struct roost *c = ctx;
	c->is_connect_due = true; /* after the core was left, and when there is memory */
}

static void hook_disconnect(void *ctx)
{
	struct roost *c = ctx;
	if (c->broken != OK) return;
	if (c->is_connect_due) {
		c->is_connect_due = false;
		c->is_drop_due = true;
	} else {
		link_disconnect(c->link);
	}
}

static void hook_event(void *ctx, const struct core_event *e)
{
	struct roost *c = ctx;
	if (c->broken != OK) return;
	drives_event(c, e);
	tell_core(c, e);
}

/* ---- a turn ------------------------------------------------------------------------------------------------------ */

static void on_tick(uv_timer_t *t);
static void on_later(uv_idle_t *h);

/* When something is due, and whether anything waits for the end of this turn. */
static void arm(struct roost *c)
{
	int64_t now = clock_boot_ms(), next = c->broken != OK || c->is_low ? INT64_MAX : core_next_ms(c->core);
	if (c->retry_ms != 0) next = MIN(next, c->retry_ms);
	if (c->disk_ms != 0) next = MIN(next, c->disk_ms);
	if (c->pair_ms != 0) next = MIN(next, c->pair_ms);
	if (c->broken == OK && !c->is_low) next = MIN(next, drives_next_ms(c));
	if (next == INT64_MAX) uv_timer_stop(&c->tick);
	else uv_timer_start(&c->tick, on_tick, (uint64_t)MAX(next - now, LEAST_MS), 0);
	bool can_flush = (disk_is_dirty(c->disk) || c->is_token_new) && c->disk_ms == 0;
	bool can_connect = c->is_connect_due && !c->is_low && c->token != NULL;
	if (can_flush || !TAILQ_EMPTY(&c->told) || c->is_drop_due || can_connect) uv_idle_start(&c->later, on_later);
	else uv_idle_stop(&c->later);
}

static void retry_later(struct roost *c)
{
	if (c->retry_ms == 0) c->retry_ms = clock_boot_ms() + RETRY_MS;
}

static bool is_low(struct roost *c)
{
	c->is_low = !shell_has_headroom(0);
	if (c->is_low) retry_later(c);
	return c->is_low;
}

enum err shell_enter(struct roost *c, size_t n)
{
	if (c->broken != OK) return c->broken;
	return shell_has_headroom(n) ? OK : ERR_NOMEM;
}

enum err shell_settle(struct roost *c, enum err e)
{
	if (c->broken != OK && c->put > c->settled) disk_take_back(c->disk, c->settled);
	if (c->broken != OK) c->put = c->settled;
	else c->settled = c->put;
	return c->broken != OK ? c->broken : e;
}

enum err shell_leave(struct roost *c, enum err e)
{
	if (c->broken == OK && !c->is_low) drives_step(c);
	e = shell_settle(c, e);
	if (c->broken != OK) {
		link_disconnect(c->link);
		retry_later(c);
	}
	arm(c);
	return e;
}

/* The state of the disk as the core and the app know it. */
static void disk_is(struct roost *c, enum err e)
{
	enum err before = c->disk_err;
	c->disk_err = e;
	c->disk_ms = e == OK ? 0 : clock_boot_ms() + (e == ERR_NOMEM ? RETRY_MS : DISK_RETRY_MS);
	if (e == before) return;
	if (c->broken == OK) core_disk(c->core, e, &c->disk_info, shell_now());
	if (e != ERR_NOMEM && (before != ERR_NOMEM || e != OK))
		tell_own(c, ROOST_EV_DISK, e, err_sentence(&c->disk_info, e), STR(""));
}

void shell_flush(struct roost *c)
{
	uint64_t number;
	while (c->disk_ms == 0 && (c->is_token_new || disk_is_dirty(c->disk))) {
		bool is_dirty = disk_is_dirty(c->disk);
		c->disk_info = (struct errinfo){0};
		enum err e = is_dirty ? disk_flush(c->disk, &number, &c->disk_info) : OK;
		if (e == OK && c->is_token_new) e = disk_set(c->disk, "token", str_c(c->token), &c->disk_info);
		if (e == OK) c->is_token_new = false;
		disk_is(c, e);
		if (is_dirty && !disk_is_dirty(c->disk) && c->broken == OK)
			core_persisted(c->core, number, shell_now());
	}
}

static void connect_now(struct roost *c)
{
	if (c->is_drop_due) {
		c->is_drop_due = false;
		core_disconnected(c->core, 0, OK, NULL, shell_now());
	}
	if (!c->is_connect_due || c->broken != OK || c->token == NULL || is_low(c)) return;
	c->is_connect_due = false;
	link_connect(c->link, str_c(c->token));
}

static void on_later(uv_idle_t *h)
{
	struct roost *c = h->data;
	shell_flush(c);
	connect_now(c);
	shell_flush(c);
	tell_all(c);
	if (!c->is_over) (void)shell_leave(c, OK);
}

/* ---- a new core -------------------------------------------------------------------------------------------------- */

static enum err load_row(void *ctx, const struct core_row *row)
{
	struct roost *c = ctx;
	struct errinfo info;
	enum err e = core_load(c->core, row, &info);
	return e == ERR_CORRUPT ? OK : e; /* left out, as it says */
}

static enum err make_core(struct roost *c, struct errinfo *info)
{
	static const struct core_hooks hooks = {
		.send = hook_send,
		.persist = hook_persist,
		.read = hook_read,
		.connect = hook_connect,
		.disconnect = hook_disconnect,
		.event = hook_event,
	};
	static const enum core_table tables[] = {CORE_META, CORE_OUTBOX, CORE_FORGOTTEN};
	struct core_options o = {
		.device_id = str_c(c->device_id),
		.name = str_c(c->name),
		.platform = str_c(c->platform),
		.app_version = str_c(c->app_version),
		.foreground = c->is_foreground,
	};
	rng_seed(&o.rng, random_u64());
	c->core = core_new(&o, &hooks, c);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		enum err e = disk_load(c->disk, tables[i], load_row, c, info);
		if (e == OK) continue;
		core_free(c->core);
		c->core = NULL;
		return e;
	}
	return OK;
}

/* After a failed read: the old core goes, what it had put before stays, and the new one joins what it had joined. */
static void heal(struct roost *c)
{
	struct core *old = c->core;
	struct core_seat seat;
	struct errinfo info = {0};
	struct str after = STR("");
	enum err why = c->broken;
	bool is_made = false;
	if (shell_has_headroom(0) && !disk_is_dirty(c->disk)) {
		c->broken = OK;
		is_made = make_core(c, &info) == OK;
	}
	if (is_made && c->broken != OK) core_free(c->core);
	if (!is_made || c->broken != OK) {
		c->core = old;
		c->broken = why;
		retry_later(c);
		return;
	}
	c->is_connect_due = c->is_drop_due = false;
	c->put = c->settled = 0;
	disk_is(c, OK);
	while (core_seat_next(old, after, &seat)) {
		(void)!core_join(c->core, seat.conversation, shell_now(), &info);
		after = seat.conversation;
	}
	core_free(old);
	drives_again(c);
	tell_own(c, ROOST_EV_RESYNCED, OK, "", STR(""));
	c->link = link_again(c->link);
	if (c->is_wanted && c->token != NULL) core_start(c->core, shell_now());
}

static void on_tick(uv_timer_t *t)
{
	struct roost *c = t->data;
	int64_t now = clock_boot_ms();
	if (c->disk_ms != 0 && now >= c->disk_ms) {
		c->disk_ms = 0;
		shell_flush(c);
	}
	if (c->retry_ms != 0 && now >= c->retry_ms) {
		c->retry_ms = 0;
		c->is_low = false;
		if (c->broken != OK) heal(c);
	}
	if (c->pair_ms != 0 && now >= c->pair_ms) {
		c->pair_ms = 0;
		shell_pair(c);
	}
	if (c->broken == OK && !is_low(c)) core_tick(c->core, shell_now());
	(void)shell_leave(c, OK);
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */

static void on_up(void *ctx)
{
	struct roost *c = ctx;
	if (shell_enter(c, 0) != OK) {
		link_disconnect(c->link);
		return;
	}
	core_connected(c->core, shell_now());
	(void)shell_leave(c, OK);
}

static void on_frame(void *ctx, struct str text)
{
	struct roost *c = ctx;
	if (shell_enter(c, text.n) != OK) {
		link_disconnect(c->link); /* and what was in it is asked for again */
		return;
	}
	core_frame(c->core, text, shell_now());
	(void)shell_leave(c, OK);
}

static void on_down(void *ctx, int code, enum err e, const struct errinfo *info)
{
	struct roost *c = ctx;
	if (c->broken == OK) core_disconnected(c->core, code, e, info, shell_now());
	(void)shell_leave(c, OK);
}

static void set_text(char **p, struct str s)
{
	if (*p != NULL) secret_wipe(*p, strlen(*p));
	free(*p);
	*p = s.p != NULL ? str_dup(s) : NULL;
}

void shell_take_token(struct roost *c, struct str token)
{
	set_text(&c->token, token);
	c->is_token_new = c->is_wanted = true;
	if (c->broken == OK) core_start(c->core, shell_now());
}

static void on_paired(void *ctx, enum err e, struct str token, struct str user, const struct errinfo *info)
{
	struct roost *c = ctx;
	(void)user;
	c->is_pairing = false;
	if (e == OK) shell_take_token(c, token);
	if (e == ERR_UNAVAILABLE || e == ERR_OVERLOADED || e == ERR_NOMEM) c->pair_ms = clock_boot_ms() + PAIR_RETRY_MS;
	else set_text(&c->code, STR_NONE);
	shell_flush(c); /* the code is used up: this is the only copy */
	tell_own(c, ROOST_EV_PAIRED, e, err_sentence(info, e), str_c(c->device_id));
	(void)shell_leave(c, OK);
}

void shell_pair(struct roost *c)
{
	struct pair_wish w = {str_c(c->code), str_c(c->device_id), str_c(c->name), str_c(c->platform),
			      str_c(c->app_version)};
	if (!shell_has_headroom(0)) {
		c->pair_ms = clock_boot_ms() + RETRY_MS;
		return;
	}
	c->is_pairing = true;
	link_pair(c->link, &w);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

/* A value of the file, or `given` put into it; NULL: it has none. */
static enum err self_value(struct roost *c, const char *key, const char *given, char **out, struct errinfo *info)
{
	struct buf b = BUF_INIT(VALUE_BYTES_MAX);
	bool is_found;
	enum err e = disk_get(c->disk, key, &is_found, &b, info);
	if (e == OK && given != NULL && (!is_found || !str_eq(buf_str(&b), str_c(given)))) {
		buf_clear(&b);
		buf_add_str(&b, str_c(given));
		is_found = true;
		e = disk_set(c->disk, key, buf_str(&b), info);
	}
	if (e == OK && is_found) *out = str_dup(buf_str(&b));
	if (b.p != NULL) secret_wipe(b.p, b.n);
	buf_release(&b);
	return e;
}

static enum err who(struct roost *c, const roost_options *o, struct errinfo *info)
{
	struct id id = id_new(clock_wall_ms());
	enum err e = self_value(c, "deviceId", NULL, &c->device_id, info);
	if (e == OK && c->device_id == NULL) {
		const char *given = o->device_id != NULL ? o->device_id : id.s;
		if (!name_is_valid(str_c(given))) return err_set(info, ERR_USAGE, "device_id is not a valid name");
		e = self_value(c, "deviceId", given, &c->device_id, info);
	}
	if (e == OK && o->device_id != NULL && strcmp(o->device_id, c->device_id) != 0)
		e = err_set(info, ERR_USAGE, "%.120s is the file of device %.60s", o->path, c->device_id);
	if (e == OK) e = self_value(c, "token", o->token, &c->token, info);
	return e;
}

static enum err begin_loop(struct roost *c, const roost_options *o, struct errinfo *info)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int r = 0;
	c->has_loop = o->loop == NULL;
	if (c->has_loop) {
		(void)pthread_once(&once, set_allocator);
		r = uv_loop_init(&c->own_loop);
	}
	if (r != 0)
		return err_set(info, r == UV_ENOMEM ? ERR_NOMEM : ERR_INTERNAL, "the loop does not start: %s",
			       uv_strerror(r));
	c->loop = c->has_loop ? &c->own_loop : o->loop;
	uv_timer_init(c->loop, &c->tick);
	uv_timer_init(c->loop, &c->limit);
	uv_idle_init(c->loop, &c->later);
	c->tick.data = c->limit.data = c->later.data = c;
	c->open_handles = 3;
	return OK;
}

static void start(struct roost *c, const roost_options *o)
{
	static const struct link_hooks hooks = {.up = on_up, .frame = on_frame, .down = on_down, .paired = on_paired};
	struct link_options lo = {.loop = c->loop, .url = o->url, .socket_path = o->socket_path, .ca_path = o->ca_path};
	c->link = link_new(&lo, &hooks, c);
	c->is_wanted = o->stopped == 0;
	if (c->token != NULL && c->is_wanted) {
		core_start(c->core, shell_now());
	} else if (c->token == NULL && o->code != NULL) {
		c->code = xstrdup(o->code);
		c->pair_ms = clock_boot_ms();
	} else if (c->token == NULL) {
		tell_own(c, ROOST_EV_PAIRED, ERR_UNAUTHORIZED, "this device is not paired with a daemon", STR(""));
	}
	(void)shell_leave(c, OK);
}

enum err shell_open(struct roost *c, const roost_options *o, struct errinfo *info)
{
	TAILQ_INIT(&c->told);
	c->event = o->event;
	c->ctx = o->ctx;
	c->name = xstrdup(o->name != NULL ? o->name : "");
	c->platform = xstrdup(o->platform != NULL ? o->platform : "");
	c->app_version = xstrdup(o->app_version != NULL ? o->app_version : "");
	c->is_foreground = o->foreground != 0;
	enum err e = disk_open(o->path, &c->disk, info);
	if (e == OK) e = who(c, o, info);
	if (e == OK) e = make_core(c, info);
	if (e == OK && c->broken != OK) e = err_set(info, c->broken, "%s", err_sentence(&c->disk_info, c->broken));
	if (e == OK) e = begin_loop(c, o, info);
	if (e == OK) start(c, o);
	return e;
}

static void release(struct roost *c)
{
	set_text(&c->token, STR_NONE);
	set_text(&c->code, STR_NONE);
	free(c->device_id);
	free(c->name);
	free(c->platform);
	free(c->app_version);
	free(c);
	reserve_close();
}

static void on_handle_closed(uv_handle_t *h)
{
	struct roost *c = h->data;
	if (--c->open_handles == 0 && !c->has_loop) release(c);
}

void shell_close(struct roost *c)
{
	c->is_over = true;
	if (c->disk != NULL && c->core != NULL) {
		c->disk_ms = 0;
		shell_flush(c);
	}
	tell_forget(c);
	drives_forget(c);
	link_free(c->link);
	if (c->core != NULL) core_free(c->core);
	disk_close(c->disk);
	if (c->open_handles == 0) {
		release(c);
		return;
	}
	uv_close((uv_handle_t *)&c->tick, on_handle_closed);
	uv_close((uv_handle_t *)&c->limit, on_handle_closed);
	uv_close((uv_handle_t *)&c->later, on_handle_closed);
	if (!c->has_loop) return;
	uv_run(c->loop, UV_RUN_DEFAULT);
	ASSERT_CMP(uv_loop_close(c->loop), ==, 0);
	release(c);
}
