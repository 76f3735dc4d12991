#include "sim/app.h"

#include "client/driver.h"
#include "record/record.h"
#include "sim/book.h"

/* ---- the disk ---------------------------------------------------------------------------------------------------- */

struct row {
	char *key; /* table and key */
	enum core_table table;
	char *value, *session;
	uint32_t generation;
	bool is_message;
	UT_hash_handle hh;
};

/* A batch that is not durable yet, as a copy. */
struct batch {
	struct core_batch b;
	char *forget;
	TAILQ_ENTRY(batch) link;
};

struct app {
	struct device *d;
	struct core *core;
	struct row *now, *durable;            /* as the core has it; as a crash leaves it */
	struct driver *drivers[DEVICE_JOINS]; /* of the seat in that place; NULL: it drives nothing there */
	TAILQ_HEAD(, batch) waiting;
	int64_t life, armed_us;
	int64_t clock_error_us; /* of the device's own wall clock */
	uint64_t handed;
};

static struct str row_key(enum core_table table, struct str key, char *buf, size_t cap)
{
	int n = snprintf(buf, cap, "%d%.*s", (int)table, STR_ARG(key));
	return str_n(buf, (size_t)n);
}

static void row_free(struct row **rows, struct row *r)
{
	HASH_DEL(*rows, r);
	free(r->key);
	free(r->value);
	free(r->session);
	free(r);
}

static void row_put(struct row **rows, const struct core_row *n)
{
	char buf[CORE_KEY_MAX + 8];
	struct str key = row_key(n->table, n->key, buf, sizeof buf);
	struct row *r;
	HASH_FIND(hh, *rows, key.p, (unsigned)key.n, r);
	if (r != NULL) row_free(rows, r);
	if (n->value.p == NULL) return;
	r = xcalloc(1, sizeof *r);
	r->key = str_dup(key);
	r->table = n->table;
	r->value = str_dup(n->value);
	r->session = str_dup(n->session.p != NULL ? n->session : STR(""));
	r->generation = n->generation;
	r->is_message = str_eq(n->type, STR("Message"));
	HASH_ADD_KEYPTR(hh, *rows, r->key, (unsigned)key.n, r);
}

static void apply(struct row **rows, const struct core_batch *b)
{
	struct row *r, *tmp;
	bool forgets = b->forget_session.n > 0;
	if (b->drop_below > 0 || forgets) {
		HASH_ITER (hh, *rows, r, tmp) {
			if (r->table != CORE_RECORD) continue;
			if (r->generation < b->drop_below ||
			    (forgets && r->is_message && str_eq(str_c(r->session), b->forget_session)))
				row_free(rows, r);
		}
	}
	for (size_t i = 0; i < b->nrows; i++) row_put(rows, &b->rows[i]);
}

static struct str copied(struct str s) { return s.p != NULL ? str_n(str_dup(s), s.n) : s; }

static struct batch *batch_copy(const struct core_batch *b)
{
	struct batch *c = xcalloc(1, sizeof *c);
	struct core_row *rows = xcalloc(MAX(b->nrows, (size_t)1), sizeof *rows);
	for (size_t i = 0; i < b->nrows; i++) {
		rows[i] = b->rows[i];
		rows[i].key = copied(rows[i].key);
		rows[i].value = copied(rows[i].value);
		rows[i].type = copied(rows[i].type);
		rows[i].session = copied(rows[i].session);
	}
	c->b = *b;
	c->b.rows = rows;
	c->b.forget_session = copied(b->forget_session);
	return c;
}

static struct core_now clock_of(const struct app *a)
{
	return (struct core_now){.boot_ms = now_us() / 1000, .wall_ms = (wall_us() + a->clock_error_us) / 1000};
}

static void settle(struct app *a);

/* A moment of this process's life: what was planned in an earlier one is void. */
struct moment {
	struct app *app;
	int64_t life;
	uint64_t number;
	int code;
};

static struct moment *moment_new(struct app *a)
{
	struct moment *m = xcalloc(1, sizeof *m);
	m->app = a;
	m->life = a->life;
	return m;
}

static void on_durable(void *arg)
{
	struct moment *m = arg;
	struct app *a = m->app;
	struct batch *b;
	if (m->life == a->life && a->core != NULL) {
		while ((b = TAILQ_FIRST(&a->waiting)) != NULL && b->b.number <= m->number) {
			TAILQ_REMOVE(&a->waiting, b, link);
			apply(&a->durable, &b->b);
			free(b);
		}
		core_persisted(a->core, m->number, clock_of(a));
		settle(a);
	}
	free(m);
}

static bool on_persist(void *ctx, const struct core_batch *b)
{
	struct app *a = ctx;
	EXPECT("batches come in order", b->number == a->handed + 1, "%s: batch %llu after %llu", a->d->name,
	       (unsigned long long)b->number, (unsigned long long)a->handed);
	a->handed = b->number;
	apply(&a->now, b);
	if (TAILQ_EMPTY(&a->waiting) && chance(300)) {
		apply(&a->durable, b);
		return true;
	}
	struct batch *c = batch_copy(b);
	TAILQ_INSERT_TAIL(&a->waiting, c, link);
	struct moment *m = moment_new(a);
	m->number = b->number;
	after(chance(950) ? pick_between(50, 3 * MS) : pick_between(10 * MS, 300 * MS), on_durable, m);
	return false;
}

static bool on_read(void *ctx, enum core_table table, struct str key, struct buf *out)
{
	struct app *a = ctx;
	char buf[CORE_KEY_MAX + 8];
	struct str k = row_key(table, key, buf, sizeof buf);
	const struct row *r;
	HASH_FIND(hh, a->now, k.p, (unsigned)k.n, r);
	if (r != NULL) (void)buf_add_str(out, str_c(r->value));
	return r != NULL;
}

/* ---- the core's other wishes --------------------------------------------------------------------------------------- */

static void on_send(void *ctx, struct str frame)
{
	struct app *a = ctx;
	device_sends(a->d, frame);
}

static void on_connect(void *ctx)
{
	struct app *a = ctx;
	device_dial(a->d);
}

static void on_disconnected(void *arg)
{
	struct moment *m = arg;
	struct app *a = m->app;
	if (m->life == a->life && a->core != NULL) {
		core_disconnected(a->core, m->code >= 1000 ? m->code : 0,
				  m->code == 401 ? ERR_UNAUTHORIZED : ERR_UNAVAILABLE, NULL, clock_of(a));
		settle(a);
	}
	free(m);
}

static void tell_disconnected(struct app *a, int code)
{
	struct moment *m = moment_new(a);
	m->code = code;
	after(0, on_disconnected, m);
}

static void on_disconnect(void *ctx)
{
	struct app *a = ctx;
	device_hang_up(a->d, false);
	tell_disconnected(a, 0);
}

/* Nobody typed it: the core says which words an automatic message has. */
static void note_automatic(const struct app *a, const struct core_entry *e)
{
	struct core_seat seat = {.term = 0};
	if (e->kind != CORE_SEND || !e->automatic || e->state != CORE_PENDING) return;
	(void)core_seat(a->core, e->conversation, &seat);
	book_typed(str_c(a->d->id), e->name, e->conversation, e->text, true, seat.term);
}

static void on_event(void *ctx, const struct core_event *e)
{
	const struct app *a = ctx;
	const char *name = a->d->name;
	for (size_t i = 0; i < DEVICE_JOINS; i++)
		if (a->drivers[i] != NULL) driver_event(a->drivers[i], e);
	static const char *const states[] = {"waits", "is sent", "is held", "is gone"};
	switch (e->kind) {
	case CORE_EV_ENTRY:
		note_automatic(a, e->entry);
		note("%s: entry %llu %.*s %s%s%s", name, (unsigned long long)e->entry->number, STR_ARG(e->entry->name),
		     states[e->entry->state], e->entry->why != OK ? ", " : "",
		     e->entry->why != OK ? err_code(e->entry->why) : "");
		break;
	case CORE_EV_STOPPED:
		EXPECT("a good credential is taken", a->d->is_doomed && e->err == ERR_UNAUTHORIZED,
		       "%s was stopped: %s", name, err_code(e->err));
		break;
	case CORE_EV_CONFLICT: note("%s: conflict in %.*s of %.*s", name, STR_ARG(e->field), STR_ARG(e->name)); break;
	case CORE_EV_RESYNCED: note("%s: everything anew", name); break;
	default: break;
	}
}

static void on_tick(void *arg)
{
	struct moment *m = arg;
	struct app *a = m->app;
	if (m->life == a->life && a->core != NULL && a->armed_us == now_us() && !a->d->path.asleep) {
		a->armed_us = INT64_MAX;
		core_tick(a->core, clock_of(a));
		settle(a);
	}
	free(m);
}

/* The drivers have their turn whenever the core was left, as in client/drives.c. */
static void settle(struct app *a)
{
	int64_t next_ms = INT64_MAX;
	for (size_t i = 0; i < DEVICE_JOINS; i++) {
		if (a->drivers[i] == NULL) continue;
		driver_step(a->drivers[i], clock_of(a));
		next_ms = MIN(next_ms, driver_next_ms(a->drivers[i]));
	}
	next_ms = MIN(next_ms, core_next_ms(a->core));
	if (next_ms == INT64_MAX) {
		a->armed_us = INT64_MAX;
		return;
	}
	int64_t next_us = MAX(next_ms * 1000, now_us() + 1);
	if (next_us == a->armed_us) return;
	a->armed_us = next_us;
	at(next_us, on_tick, moment_new(a));
}

/* ---- automatic runs ---------------------------------------------------------------------------------------------- */

static size_t place_of(const struct app *a, const char *conversation)
{
	return (size_t)(device_seat(a->d, str_c(conversation), true) - a->d->seats);
}

/* What is here already: its Sessions and Messages. */
static void show(const struct app *a, struct driver *driver)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (const struct row *r = a->now; r != NULL; r = r->hh.next) {
		struct json_doc *doc;
		const char *slash = strchr(r->key, '/');
		if (r->table != CORE_RECORD || slash == NULL) continue;
		struct str type = str_n(r->key + 1, (size_t)(slash - r->key) - 1);
		if (!str_eq(type, STR("Message")) && !str_eq(type, STR("Session"))) continue;
		buf_clear(&b);
		struct core_view v = core_view(a->core, type, str_c(slash + 1), &b);
		if (!v.exists || v.deleted || json_parse(buf_str(&b), &doc, NULL) != OK) continue;
		driver_record(driver, json_root(doc));
		json_free(doc);
	}
	buf_release(&b);
}

static void drive(struct app *a, const char *conversation)
{
	size_t i = place_of(a, conversation);
	if (a->drivers[i] != NULL || !chance(800)) return;
	a->drivers[i] = driver_new(a->core, str_c(conversation), NULL, NULL);
	show(a, a->drivers[i]);
}

static void drive_off(struct app *a, size_t i)
{
	driver_free(a->drivers[i]);
	a->drivers[i] = NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	return strcmp((*(const struct row *const *)a)->key, (*(const struct row *const *)b)->key);
}

/* A process that has just started, over what is on the disk. */
static void boot(struct app *a)
{
	static const struct core_hooks hooks = {on_send, on_persist, on_read, on_connect, on_disconnect, on_event};
	struct core_options o = {.device_id = str_c(a->d->id),
				 .name = str_c(a->d->name),
				 .platform = STR("sim"),
				 .app_version = STR("1"),
				 .foreground = true};
	struct row *r, **sorted = xcalloc(HASH_COUNT(a->durable) + 1, sizeof(struct row *));
	size_t n = 0;
	rng_seed(&o.rng, pick(UINT64_MAX));
	a->life++;
	a->handed = 0;
	a->armed_us = INT64_MAX;
	a->core = core_new(&o, &hooks, a);
	for (r = a->durable; r != NULL; r = r->hh.next) sorted[n++] = r;
	if (n > 0) qsort(sorted, n, sizeof(struct row *), by_key);
	for (size_t i = 0; i < n; i++) {
		struct errinfo info;
		struct core_row row = {
			.table = sorted[i]->table, .key = str_c(sorted[i]->key + 1), .value = str_c(sorted[i]->value)};
		enum err e = row.table == CORE_RECORD ? OK : core_load(a->core, &row, &info);
		EXPECT("what was kept can be read", e == OK, "%s: %s: %s", a->d->name, sorted[i]->key,
		       err_sentence(&info, e));
	}
	free(sorted);
}

void app_new(struct device *d)
{
	struct app *a = xcalloc(1, sizeof *a);
	a->d = d;
	a->clock_error_us = chance(700) ? pick_between(-SECOND, SECOND) : pick_between(-900 * SECOND, 900 * SECOND);
	TAILQ_INIT(&a->waiting);
	d->app = a;
	boot(a);
}

static void rows_clear(struct row **rows)
{
	struct row *r, *tmp;
	HASH_ITER (hh, *rows, r, tmp) row_free(rows, r);
}

void app_crash(struct device *d)
{
	struct app *a = d->app;
	bool wants = d->wants;
	struct batch *b;
	for (size_t i = 0; i < DEVICE_JOINS; i++) drive_off(a, i);
	core_free(a->core);
	a->core = NULL;
	while ((b = TAILQ_FIRST(&a->waiting)) != NULL) {
		TAILQ_REMOVE(&a->waiting, b, link);
		free(b);
	}
	rows_clear(&a->now);
	for (const struct row *r = a->durable; r != NULL; r = r->hh.next)
		row_put(&a->now, &(struct core_row){.table = r->table,
						    .key = str_c(r->key + 1),
						    .value = str_c(r->value),
						    .session = str_c(r->session),
						    .type = r->is_message ? STR("Message") : STR(""),
						    .generation = r->generation});
	boot(a);
	for (size_t i = 0; i < DEVICE_JOINS; i++)
		if (d->seats[i].wanted) app_join(d, d->seats[i].conversation);
	if (wants) app_online(d, true);
}

void app_opened(struct device *d)
{
	core_connected(d->app->core, clock_of(d->app));
	settle(d->app);
}

void app_heard(struct device *d, struct str text)
{
	core_frame(d->app->core, text, clock_of(d->app));
	settle(d->app);
}

void app_closed(struct device *d, int code) { tell_disconnected(d->app, code); }

void app_online(struct device *d, bool wants)
{
	if (wants) core_start(d->app->core, clock_of(d->app));
	else core_stop(d->app->core, clock_of(d->app));
	settle(d->app);
}

void app_wake(struct device *d)
{
	core_nudge(d->app->core, clock_of(d->app));
	core_tick(d->app->core, clock_of(d->app));
	d->app->armed_us = INT64_MAX;
	settle(d->app);
}

bool app_is_quiet(const struct device *d)
{
	struct core_status s = core_status(d->app->core);
	return s.online && !s.syncing && s.pending == 0 && s.held == 0 && TAILQ_EMPTY(&d->app->waiting);
}

void app_resolve_held(struct device *d, bool discard)
{
	struct app *a = d->app;
	struct core_entry e;
	for (uint64_t after_number = 0; core_outbox_next(a->core, after_number, &e);) {
		after_number = e.number;
		if (e.state != CORE_HELD) continue;
		enum core_resolution how = discard || chance(400)        ? CORE_DISCARD
					   : e.why == ERR_DUPLICATE      ? CORE_SEND_ANYWAY
					   : e.why == ERR_SESSION_KILLED ? CORE_SEND_TO_NEW
									 : CORE_TRY_AGAIN;
		enum err err = core_resolve(a->core, e.number, how, clock_of(a), NULL);
		note("%s: resolves %llu by %d: %s", d->name, (unsigned long long)after_number, (int)how, err_code(err));
	}
	settle(a);
}

/* ---- what people do ---------------------------------------------------------------------------------------------- */

static void did(struct device *d, const char *what, const char *name, enum err e, const struct errinfo *info)
{
	note("%s: %s %s%s%s", d->name, what, name, e != OK ? " is refused here: " : "",
	     e != OK ? err_sentence(info, e) : "");
	settle(d->app);
}

void app_send(struct device *d, const char *conversation, const char *session, const char *text, struct str request,
	      bool automatic, int64_t term)
{
	struct app *a = d->app;
	struct id id;
	struct errinfo info = {0};
	struct core_message m = {.conversation = str_c(conversation),
				 .session = str_c(session),
				 .text = str_c(text),
				 .parts = STR(""),
				 .parent = STR(""),
				 .request = request,
				 .automatic = automatic};
	enum err e = core_send(a->core, &m, clock_of(a), &id, &info);
	if (e == OK) book_typed(str_c(d->id), id_str(&id), m.conversation, m.text, automatic, term);
	did(d, "writes", e == OK ? id.s : "", e, &info);
}

void app_edit(struct device *d, const char *message, const char *text)
{
	struct errinfo info = {0};
	enum err e = core_edit(d->app->core, str_c(message), str_c(text), clock_of(d->app), &info);
	if (e == OK) book_edited(str_c(message), str_c(text));
	did(d, "edits", message, e, &info);
}

void app_delete(struct device *d, const char *message)
{
	struct errinfo info = {0};
	enum err e = core_delete(d->app->core, str_c(message), clock_of(d->app), &info);
	if (e == OK) book_deleted(str_c(message));
	did(d, "deletes", message, e, &info);
}

void app_save(struct device *d, const char *type, const char *name, const char *fields)
{
	struct errinfo info = {0};
	enum err e = core_save(d->app->core, str_c(type), str_c(name), str_c(fields), clock_of(d->app), NULL, &info);
	did(d, "saves", name, e, &info);
}

void app_remove(struct device *d, const char *type, const char *name)
{
	struct errinfo info = {0};
	enum err e = core_remove(d->app->core, str_c(type), str_c(name), clock_of(d->app), &info);
	did(d, "removes", name, e, &info);
}

void app_join(struct device *d, const char *conversation)
{
	struct errinfo info = {0};
	enum err e = core_join(d->app->core, str_c(conversation), clock_of(d->app), &info);
	if (e == OK) drive(d->app, conversation);
	did(d, "joins", conversation, e, &info);
}

void app_leave(struct device *d, const char *conversation)
{
	drive_off(d->app, place_of(d->app, conversation));
	core_leave(d->app->core, str_c(conversation), clock_of(d->app));
	did(d, "leaves", conversation, OK, NULL);
}

void app_clear(struct device *d, bool is_project, const char *id)
{
	struct errinfo info = {0};
	enum err e = core_clear(d->app->core, is_project ? CORE_OF_PROJECT : CORE_OF_SESSION, str_c(id),
				clock_of(d->app), &info);
	did(d, "clears", id, e, &info);
}

void app_lock(struct device *d, const char *session, int64_t ttl_ms, int64_t wait_ms)
{
	(void)core_lock(d->app->core, str_c(session), ttl_ms, wait_ms, clock_of(d->app));
	did(d, "locks", session, OK, NULL);
}

void app_unlock(struct device *d, const char *where)
{
	struct core_seat seat;
	if (!core_seat(d->app->core, str_c(where), &seat) || seat.fence == 0) return;
	(void)core_unlock(d->app->core, str_c(where), clock_of(d->app));
	did(d, "unlocks", where, OK, NULL);
}

bool app_say(struct device *d, const char *type, struct str members)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)buf_addf(&b, "{%.*s}", STR_ARG(members));
	core_op op = core_call(d->app->core, str_c(type), buf_str(&b), clock_of(d->app));
	did(d, type, b.p, OK, NULL);
	buf_release(&b);
	return op != 0;
}

bool app_holds(const struct device *d, struct str type, struct str name, int64_t seq)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL;
	struct str tag;
	int64_t mine = 0;
	struct core_view v = core_view(d->app->core, type, name, &b);
	if (v.exists && json_parse(buf_str(&b), &doc, NULL) == OK &&
	    json_str(json_get(json_root(doc), "changeTag"), &tag))
		(void)tag_parse(tag, &mine);
	json_free(doc);
	buf_release(&b);
	return v.exists && mine == seq;
}
