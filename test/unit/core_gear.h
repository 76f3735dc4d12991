/* A device's shell for tests: the core between a disk that is a list, a clock that is a number, and a socket that is a
 * text. What comes out is a log, one line each: "> frame" sent, "connect", "disconnect", "+table key value" a row,
 * the rest events. Batches become durable at once, or when the test says so. */
#ifndef ROOST_TEST_CORE_GEAR_H
#define ROOST_TEST_CORE_GEAR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "client/core.h"
#include "record/record.h"

#include <sys/queue.h>

struct gear_row {
	enum core_table table;
	char *key, *value, *type, *session;
	uint32_t generation;
	TAILQ_ENTRY(gear_row) link;
};
TAILQ_HEAD(gear_rows, gear_row);

struct gear {
	struct core *c;
	struct core_now now;
	struct buf log;        /* since the last gear_log */
	struct buf frames;     /* sent since the last gear_frames, one a line */
	struct gear_rows rows; /* as handed over */
	uint64_t handed, seed;
	bool defers; /* batches wait for gear_durable */
	bool quiet;  /* no log: for long runs */
	int connects;
	char *device;
	void (*on_event)(struct gear *g, const struct core_event *e);
};

static const char *const gear_kinds[] = {
	[CORE_EV_ONLINE] = "online",     [CORE_EV_OFFLINE] = "offline",
	[CORE_EV_STOPPED] = "stopped",   [CORE_EV_STATUS] = "status",
	[CORE_EV_SYNCED] = "synced",     [CORE_EV_RESYNCED] = "resynced",
	[CORE_EV_RECORD] = "record",     [CORE_EV_ENTRY] = "entry",
	[CORE_EV_CONFLICT] = "conflict", [CORE_EV_DUPLICATE] = "duplicate",
	[CORE_EV_REQUEST] = "request",   [CORE_EV_TEXT] = "text",
	[CORE_EV_THINKING] = "thinking", [CORE_EV_AGAIN] = "again",
	[CORE_EV_WAITING] = "waiting",   [CORE_EV_END] = "end",
	[CORE_EV_JOINED] = "joined",     [CORE_EV_PRIMARY] = "primary",
	[CORE_EV_LOCK] = "lock",         [CORE_EV_CLEARED] = "cleared",
	[CORE_EV_ANSWER] = "answer",     [CORE_EV_PUSH] = "push",
};
static const char *const gear_states[] = {"pending", "sent", "held", "gone"};

static void gear_put_text(struct gear *g, const char *what, struct str text)
{
	if (text.n > 0) buf_addf(&g->log, " %s=%.*s", what, STR_ARG(text));
}

static void gear_event(void *ctx, const struct core_event *e)
{
	struct gear *g = ctx;
	if (g->on_event != NULL) g->on_event(g, e);
	if (g->quiet || e->kind == CORE_EV_STATUS) return;
	buf_addf(&g->log, "%s", gear_kinds[e->kind]);
	if (e->entry != NULL)
		buf_addf(&g->log, " %s%s%s [%.*s]", gear_states[e->entry->state], e->entry->why != OK ? " " : "",
			 e->entry->why != OK ? err_code(e->entry->why) : "", STR_ARG(e->entry->text));
	gear_put_text(g, "type", e->type);
	if (e->entry == NULL) gear_put_text(g, "name", e->name);
	gear_put_text(g, "conversation", e->conversation);
	gear_put_text(g, "session", e->session);
	gear_put_text(g, "device", e->device);
	gear_put_text(g, "other", e->other);
	gear_put_text(g, "field", e->field);
	gear_put_text(g, "text", e->text);
	if (e->kind == CORE_EV_PRIMARY || e->kind == CORE_EV_LOCK || e->kind == CORE_EV_SYNCED)
		buf_addf(&g->log, " #%lld", (long long)e->number);
	if (e->err != OK) buf_addf(&g->log, " %s", err_code(e->err));
	buf_addf(&g->log, "%s\n", e->mine ? " mine" : "");
}

static void gear_send(void *ctx, struct str frame)
{
	struct gear *g = ctx;
	struct json_doc *doc;
	assert_int_equal(json_parse(frame, &doc, NULL), OK); /* each is one JSON text */
	json_free(doc);
	buf_addf(&g->frames, "%.*s\n", STR_ARG(frame));
	if (!g->quiet) buf_addf(&g->log, "> %.*s\n", STR_ARG(frame));
}

static void gear_row_free(struct gear_rows *rows, struct gear_row *r)
{
	TAILQ_REMOVE(rows, r, link);
	free(r->key);
	free(r->value);
	free(r->type);
	free(r->session);
	free(r);
}

static inline struct gear_row *gear_row_find(struct gear *g, enum core_table table, struct str key)
{
	struct gear_row *r;
	TAILQ_FOREACH (r, &g->rows, link)
		if (r->table == table && str_eq(str_c(r->key), key)) break;
	return r;
}

static void gear_rows_clear(struct gear_rows *rows)
{
	while (!TAILQ_EMPTY(rows)) gear_row_free(rows, TAILQ_FIRST(rows));
}

/* Keeps each table sorted by key. */
static void gear_row_insert(struct gear *g, struct gear_row *r)
{
	struct gear_row *at;
	TAILQ_FOREACH (at, &g->rows, link)
		if (at->table > r->table || (at->table == r->table && strcmp(at->key, r->key) > 0)) break;
	if (at != NULL) TAILQ_INSERT_BEFORE(at, r, link);
	else TAILQ_INSERT_TAIL(&g->rows, r, link);
}

static bool gear_persist(void *ctx, const struct core_batch *b)
{
	struct gear *g = ctx;
	struct gear_row *r, *next;
	assert_int_equal(b->number, g->handed + 1);
	g->handed = b->number;
	for (r = TAILQ_FIRST(&g->rows); r != NULL; r = next) {
		next = TAILQ_NEXT(r, link);
		bool old = r->generation<b->drop_below, forgotten = b->forget_session.n> 0 &&
			   str_eq(str_c(r->session), b->forget_session) && strcmp(r->type, "Message") == 0;
		if (r->table == CORE_RECORD && (old || forgotten)) gear_row_free(&g->rows, r);
	}
	for (size_t i = 0; i < b->nrows; i++) {
		const struct core_row *n = &b->rows[i];
		r = gear_row_find(g, n->table, n->key);
		if (r != NULL) gear_row_free(&g->rows, r);
		if (!g->quiet)
			buf_addf(&g->log, "%s%d %.*s %.*s\n", n->value.p != NULL ? "+" : "-", (int)n->table,
				 STR_ARG(n->key), (int)n->value.n, n->value.p != NULL ? n->value.p : "");
		if (n->value.p == NULL) continue;
		r = xcalloc(1, sizeof *r);
		r->table = n->table;
		r->key = str_dup(n->key);
		r->value = str_dup(n->value);
		r->type = str_dup(n->type.p != NULL ? n->type : STR(""));
		r->session = str_dup(n->session.p != NULL ? n->session : STR(""));
		r->generation = n->generation;
		gear_row_insert(g, r);
	}
	return !g->defers;
}

static bool gear_read(void *ctx, enum core_table table, struct str key, struct buf *out)
{
	struct gear_row *r = gear_row_find(ctx, table, key);
	if (r != NULL) buf_add_str(out, str_c(r->value));
	return r != NULL;
}

static void gear_connect(void *ctx)
{
	struct gear *g = ctx;
	g->connects++;
	if (!g->quiet) buf_addf(&g->log, "connect\n");
}

static void gear_disconnect(void *ctx)
{
	struct gear *g = ctx;
	if (!g->quiet) buf_addf(&g->log, "disconnect\n");
}

/* A core over the rows that are there. */
static void gear_boot(struct gear *g)
{
	static const struct core_hooks hooks = {.send = gear_send,
						.persist = gear_persist,
						.read = gear_read,
						.connect = gear_connect,
						.disconnect = gear_disconnect,
						.event = gear_event};
	struct core_options o = {.device_id = str_c(g->device), .name = STR("here"), .foreground = true};
	struct gear_row *r;
	rng_seed(&o.rng, g->seed++);
	g->c = core_new(&o, &hooks, g);
	g->handed = 0;
	TAILQ_FOREACH (r, &g->rows, link) {
		struct core_row row = {.table = r->table, .key = str_c(r->key), .value = str_c(r->value)};
		if (r->table != CORE_RECORD) assert_int_equal(core_load(g->c, &row, NULL), OK);
	}
}

static inline struct gear *gear_new(const char *device, uint64_t seed)
{
	struct gear *g = xcalloc(1, sizeof *g);
	TAILQ_INIT(&g->rows);
	buf_init(&g->log, BUF_NO_LIMIT);
	buf_init(&g->frames, BUF_NO_LIMIT);
	g->device = xstrdup(device);
	g->seed = seed;
	g->now = (struct core_now){.boot_ms = 1000, .wall_ms = 1767323045000};
	gear_boot(g);
	return g;
}

static inline void gear_free(struct gear *g)
{
	core_free(g->c);
	gear_rows_clear(&g->rows);
	buf_release(&g->log);
	buf_release(&g->frames);
	free(g->device);
	free(g);
}

/* The process dies and comes again; what was handed over is there. */
static inline void gear_reboot(struct gear *g)
{
	core_free(g->c);
	gear_boot(g);
}

static inline void gear_durable(struct gear *g) { core_persisted(g->c, g->handed, g->now); }

/* What came out since the last look. */
static inline const char *gear_log(struct gear *g)
{
	static struct buf last;
	buf_release(&last);
	last = g->log;
	buf_init(&g->log, BUF_NO_LIMIT);
	return last.p != NULL ? last.p : "";
}

/* How often `what` is in the log. */
static inline int gear_count(const char *log, const char *what)
{
	int n = 0;
	for (const char *at = log; (at = strstr(at, what)) != NULL; at += strlen(what)) n++;
	return n;
}

static inline void gear_feed(struct gear *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void gear_feed(struct gear *g, const char *fmt, ...)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	char text[16384];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	assert_in_range(n, 0, (int)sizeof text - 1);
	buf_add(&b, text, (size_t)n);
	core_frame(g->c, buf_str(&b), g->now);
	buf_release(&b);
}

/* The id of the last frame of this type, 0 none. */
static inline int64_t gear_last_id(struct gear *g, const char *type)
{
	int64_t id = 0;
	struct str all = buf_str(&g->frames);
	for (size_t at = 0; at < all.n;) {
		const char *nl = memchr(all.p + at, '\n', all.n - at);
		size_t end = (size_t)(nl - all.p);
		struct json_doc *doc;
		struct str t;
		assert_int_equal(json_parse(str_n(all.p + at, end - at), &doc, NULL), OK);
		if (json_str(json_get(json_root(doc), "type"), &t) && str_eq(t, str_c(type)))
			(void)json_int(json_get(json_root(doc), "id"), &id);
		json_free(doc);
		at = end + 1;
	}
	return id;
}

/* A tick, and what it makes due at once. That comes to an end, or a loop that waits for what is due would turn for ever. */
static inline void gear_tick(struct gear *g)
{
	core_tick(g->c, g->now);
	for (int i = 0; i < 3 && core_next_ms(g->c) <= g->now.boot_ms; i++) core_tick(g->c, g->now);
	assert_true(core_next_ms(g->c) > g->now.boot_ms);
}

/* Lets time pass, with the ticks it asks for. */
static inline void gear_pass(struct gear *g, int64_t ms)
{
	int64_t until = g->now.boot_ms + ms;
	while (core_next_ms(g->c) <= until) {
		int64_t step = MAX(core_next_ms(g->c) - g->now.boot_ms, 0);
		g->now.boot_ms += step;
		g->now.wall_ms += step;
		gear_tick(g);
	}
	g->now.wall_ms += until - g->now.boot_ms;
	g->now.boot_ms = until;
	gear_tick(g);
}

/* Connected, welcomed, and the feed is at `place`. */
static inline void gear_online(struct gear *g, int64_t place)
{
	char cursor[CURSOR_CAP];
	cursor_format(7, place, cursor);
	core_start(g->c, g->now);
	if (core_status(g->c).connects == 0) abort();
	core_connected(g->c, g->now);
	gear_feed(g, "{\"type\":\"device:welcome\",\"re\":%lld,\"userId\":\"u\",\"cursor\":\"%s\",\"limits\":{}}",
		  (long long)gear_last_id(g, "device:hello"), cursor);
	gear_feed(g, "{\"type\":\"session:changes\",\"records\":[],\"cursor\":\"%s\",\"more\":false}", cursor);
}

#endif
