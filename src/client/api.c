/* The public functions of roost.h: each looks for headroom, turns C strings into the core's and its error into a number. */
#include <poll.h>

#include "base/clock.h"
#include "base/reserve.h"
#include "client/shell.h"

static _Thread_local struct errinfo last; /* of this thread's last call that failed */

static struct str opt(const char *s) { return str_n(s != NULL ? s : "", s != NULL ? strlen(s) : 0); }

static int fail(enum err e)
{
	if (e != last.err || last.text[0] == '\0') (void)!err_set(&last, e, "%s", err_text(e));
	return tell_error(e);
}

static int usage(const char *what) { return fail(err_set(&last, ERR_USAGE, "%s", what)); }

/* Before a wish: `n` bytes come with it. */
static enum err begin(roost *c, size_t n)
{
	last = (struct errinfo){0};
	if (c == NULL) return err_set(&last, ERR_USAGE, "there is no roost");
	return shell_enter(c, n);
}

/* The same for one that is to be durable: not while the disk refuses. */
static enum err begin_durable(roost *c, size_t n)
{
	enum err e = begin(c, n);
	if (e == OK && c->disk_err != OK)
		e = err_set(&last, c->disk_err, "%s", err_sentence(&c->disk_info, c->disk_err));
	return e;
}

static int end(roost *c, enum err e)
{
	e = shell_settle(c, e);
	shell_flush(c);
	(void)shell_leave(c, OK); /* what breaks from here on is no fault of this call */
	return e == OK ? ROOST_OK : fail(e);
}

static int end_op(roost *c, core_op op, uint64_t *out)
{
	if (out != NULL) *out = op;
	return end(c, op != 0 ? OK : err_set(&last, ERR_UNAVAILABLE, "not connected to the daemon"));
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

const char *roost_version(void) { return ROOST_VERSION; }
const char *roost_strerror(int error) { return err_text(tell_code(error)); }
const char *roost_error_code(int error) { return err_code(tell_code(error)); }
const char *roost_last_error(void) { return last.err != OK ? err_sentence(&last, last.err) : ""; }

/* ---- life -------------------------------------------------------------------------------------------------------- */

int roost_open(const roost_options *given, roost **out)
{
	roost_options o = {0};
	last = (struct errinfo){0};
	if (out == NULL) return usage("roost_open: out is NULL");
	*out = NULL;
	if (given == NULL || given->size < offsetof(roost_options, ca_path))
		return usage("roost_open: options without their size");
	memcpy(&o, given, MIN(given->size, sizeof o));
	if (o.path == NULL) return usage("roost_open: options have no path");
	if ((o.url == NULL) == (o.socket_path == NULL))
		return usage("roost_open: options need either url or socket_path");
	if (reserve_open() != OK) return fail(ERR_NOMEM);
	if (!shell_has_headroom(0)) {
		reserve_close();
		return fail(ERR_NOMEM);
	}
	roost *c = xcalloc(1, sizeof *c);
	enum err e = shell_open(c, &o, &last);
	if (e != OK) {
		shell_close(c);
		return fail(e);
	}
	*out = c;
	return ROOST_OK;
}

void roost_close(roost *c)
{
	if (c != NULL) shell_close(c);
}

int roost_pair(roost *c, const char *code)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	if (code == NULL) return usage("roost_pair: no code");
	if (c->is_pairing) return fail(err_set(&last, ERR_BAD_STATE, "pairing is under way"));
	free(c->code);
	c->code = xstrdup(code);
	c->pair_ms = clock_boot_ms();
	return end(c, OK);
}

int roost_set_token(roost *c, const char *token)
{
	enum err e = begin_durable(c, 0);
	if (e != OK) return fail(e);
	if (token == NULL) return usage("roost_set_token: no token");
	shell_take_token(c, str_c(token));
	return end(c, OK);
}

int roost_start(roost *c)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	if (c->token == NULL) return fail(ERR_UNAUTHORIZED);
	c->is_wanted = true;
	core_start(c->core, shell_now());
	return end(c, OK);
}

int roost_stop(roost *c)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	c->is_wanted = false;
	core_stop(c->core, shell_now());
	return end(c, OK);
}

const char *roost_device_id(const roost *c) { return c != NULL ? c->device_id : ""; }

/* ---- loop -------------------------------------------------------------------------------------------------------- */

int roost_fd(const roost *c) { return c != NULL ? uv_backend_fd(c->loop) : -1; }
int roost_timeout_ms(const roost *c) { return c != NULL ? uv_backend_timeout(c->loop) : -1; }

static int own_loop(roost *c, const char *what)
{
	if (c == NULL || !c->has_loop || c->is_telling) return usage(what);
	return ROOST_OK;
}

/* Two turns: what the first one read is flushed and told in the second. */
int roost_step(roost *c)
{
	int r = own_loop(c, "roost_step: not with a loop of the app's, and not in an event");
	if (r != ROOST_OK) return r;
	uv_run(c->loop, UV_RUN_NOWAIT);
	if (uv_backend_timeout(c->loop) == 0) uv_run(c->loop, UV_RUN_NOWAIT);
	return ROOST_OK;
}

static void on_limit(uv_timer_t *t) { uv_stop(t->loop); }

int roost_run(roost *c, int ms)
{
	int r = own_loop(c, "roost_run: not with a loop of the app's, and not in an event");
	if (r != ROOST_OK) return r;
	uv_update_time(c->loop);
	if (ms >= 0) uv_timer_start(&c->limit, on_limit, (uint64_t)ms, 0);
	uv_run(c->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&c->limit);
	return ROOST_OK;
}

void roost_break(roost *c)
{
	if (c != NULL && c->has_loop) uv_stop(c->loop);
}

/* ---- durable wishes ---------------------------------------------------------------------------------------------- */

static void give_id(char *out, const struct id *id)
{
	if (out != NULL) memcpy(out, id->s, sizeof id->s);
}

int roost_send(roost *c, const roost_message *given, char out_id[ROOST_ID_SIZE])
{
	roost_message m = {0};
	struct id id = {{0}};
	if (given == NULL || given->size < offsetof(roost_message, parts))
		return usage("roost_send: a message without its size");
	memcpy(&m, given, MIN(given->size, sizeof m));
	struct core_message wish = {
		.conversation = opt(m.conversation),
		.session = opt(m.session),
		.text = opt(m.text),
		.parts = opt(m.parts),
		.parent = opt(m.parent),
		.request = opt(m.request),
		.automatic = m.automatic != 0,
	};
	enum err e = begin_durable(c, wish.text.n + wish.parts.n + wish.request.n);
	if (e != OK) return fail(e);
	e = core_send(c->core, &wish, shell_now(), &id, &last);
	if (e == OK) give_id(out_id, &id);
	return end(c, e);
}

int roost_edit(roost *c, const char *message, const char *text)
{
	enum err e = begin_durable(c, opt(text).n);
	if (e != OK) return fail(e);
	return end(c, core_edit(c->core, opt(message), opt(text), shell_now(), &last));
}

int roost_delete(roost *c, const char *message)
{
	enum err e = begin_durable(c, 0);
	if (e != OK) return fail(e);
	return end(c, core_delete(c->core, opt(message), shell_now(), &last));
}

int roost_save(roost *c, const char *type, const char *name, const char *fields, char out_id[ROOST_ID_SIZE])
{
	struct id id = {{0}};
	enum err e = begin_durable(c, opt(fields).n);
	if (e != OK) return fail(e);
	e = core_save(c->core, opt(type), opt(name), opt(fields), shell_now(), &id, &last);
	if (e == OK) give_id(out_id, &id);
	return end(c, e);
}

int roost_remove(roost *c, const char *type, const char *name)
{
	enum err e = begin_durable(c, 0);
	if (e != OK) return fail(e);
	return end(c, core_remove(c->core, opt(type), opt(name), shell_now(), &last));
}

int roost_clear(roost *c, int scope, const char *id)
{
	enum err e = begin_durable(c, 0);
	if (e != OK) return fail(e);
	if (scope < ROOST_SESSION || scope > ROOST_PROJECT) return usage("roost_clear: no such scope");
	return end(c, core_clear(c->core, (enum core_scope)scope, opt(id), shell_now(), &last));
}

int roost_resolve(roost *c, uint64_t entry, int resolution)
{
	enum err e = begin_durable(c, 0);
	if (e != OK) return fail(e);
	if (resolution < ROOST_SEND_ANYWAY || resolution > ROOST_DISCARD)
		return usage("roost_resolve: no such resolution");
	return end(c, core_resolve(c->core, entry, (enum core_resolution)resolution, shell_now(), &last));
}

int roost_forget_session(roost *c, const char *session)
{
	enum err e = begin_durable(c, 0);
	if (e != OK) return fail(e);
	return end(c, core_forget_session(c->core, opt(session), shell_now(), &last));
}

int roost_conflicts_seen(roost *c)
{
	enum err e = begin_durable(c, 0);
	if (e != OK) return fail(e);
	core_conflicts_seen(c->core, shell_now());
	return end(c, OK);
}

/* ---- wishes of the moment ---------------------------------------------------------------------------------------- */

int roost_foreground(roost *c, int is_front)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	c->is_foreground = is_front != 0;
	core_foreground(c->core, c->is_foreground, shell_now());
	return end(c, OK);
}

int roost_nudge(roost *c)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	core_nudge(c->core, shell_now());
	return end(c, OK);
}

int roost_join(roost *c, const char *conversation)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	return end(c, core_join(c->core, opt(conversation), shell_now(), &last));
}

int roost_leave(roost *c, const char *conversation)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	drives_off(c, opt(conversation));
	core_leave(c->core, opt(conversation), shell_now());
	return end(c, OK);
}

int roost_drive(roost *c, const char *conversation, int on)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	if (on != 0) e = drives_on(c, opt(conversation), &last);
	else drives_off(c, opt(conversation));
	return end(c, e);
}

int roost_drive_text(roost *c, const char *conversation, const char *answer, const char *text)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	drives_text(c, opt(conversation), opt(answer), opt(text));
	return end(c, OK);
}

int roost_typing(roost *c, const char *where)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	core_typing(c->core, opt(where), shell_now());
	return end(c, OK);
}

int roost_primary(roost *c, const char *where, int action, const char *to_device, uint64_t *out_op)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	if (action < ROOST_REQUEST || action > ROOST_TRANSFER) return usage("roost_primary: no such action");
	return end_op(c, core_primary(c->core, opt(where), (enum core_primary)action, opt(to_device), shell_now()),
		      out_op);
}

int roost_lock(roost *c, const char *where, int64_t ttl_ms, int64_t wait_ms, uint64_t *out_op)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	return end_op(c, core_lock(c->core, opt(where), ttl_ms, wait_ms, shell_now()), out_op);
}

int roost_unlock(roost *c, const char *where, uint64_t *out_op)
{
	enum err e = begin(c, 0);
	if (e != OK) return fail(e);
	return end_op(c, core_unlock(c->core, opt(where), shell_now()), out_op);
}

int roost_call(roost *c, const char *type, const char *members, uint64_t *out_op)
{
	struct str body = members != NULL ? str_c(members) : STR("{}");
	struct json_doc *doc = NULL;
	enum err e = begin(c, body.n);
	if (e != OK) return fail(e);
	e = json_parse(body, &doc, &last);
	if (e == OK && json_type(json_root(doc)) != JSON_OBJ)
		e = err_set(&last, ERR_BAD_FIELD, "roost_call: members is a JSON object");
	json_free(doc);
	return e != OK ? fail(e) : end_op(c, core_call(c->core, opt(type), body, shell_now()), out_op);
}

/* ---- what the device knows --------------------------------------------------------------------------------------- */

/* Reads take no turn, but memory. */
static enum err begin_read(const roost *c)
{
	last = (struct errinfo){0};
	if (c == NULL) return err_set(&last, ERR_USAGE, "there is no roost");
	if (c->broken != OK) return c->broken;
	return shell_has_headroom(0) ? OK : ERR_NOMEM;
}

/* A read may have met a disk that cannot be read: then what it gave is void, and the loop has to heal. */
static int end_read(const roost *c, enum err e)
{
	if (c->broken != OK) e = shell_leave((roost *)(uintptr_t)c, e);
	return e == OK ? ROOST_OK : fail(e);
}

int roost_status(const roost *c, roost_status_t *out)
{
	enum err e = begin_read(c);
	if (e != OK) return fail(e);
	if (out == NULL || out->size < sizeof out->size) return usage("roost_status: a status without its size");
	struct core_status s = core_status(c->core);
	roost_status_t mine = {
		.size = out->size,
		.paired = c->token != NULL,
		.online = s.online,
		.stopped = s.stopped,
		.syncing = s.syncing,
		.percent = s.percent,
		.pending = s.pending,
		.held = s.held,
		.conflicted = s.conflicted,
		.synced_at = s.synced_ms,
		.offline_at = s.offline_ms,
		.next_try_at = tell_wall(s.next_try_ms),
		.error = tell_error(s.failed),
		.disk = tell_error(c->disk_err),
		.syncs = s.syncs,
		.text_bytes = s.limits->text_bytes,
	};
	(void)str_copy(str_n(s.sentence.p, MIN(s.sentence.n, sizeof mine.sentence - 1)), mine.sentence,
		       sizeof mine.sentence);
	(void)str_copy(s.user, mine.user, sizeof mine.user);
	memcpy(out, &mine, MIN(out->size, sizeof mine));
	return ROOST_OK;
}

int roost_outbox(const roost *c, int (*each)(void *ctx, const roost_entry *e), void *ctx)
{
	struct arena a = {0};
	struct core_entry from;
	roost_entry entry;
	enum err e = begin_read(c);
	if (e != OK) return fail(e);
	for (uint64_t after = 0; core_outbox_next(c->core, after, &from); after = from.number) {
		tell_entry(&a, &from, &entry);
		int more = each(ctx, &entry);
		arena_clear(&a);
		if (more == 0) break;
	}
	return end_read(c, OK);
}

struct listing {
	const roost *c;
	const char *type;
	int (*each)(void *ctx, const roost_record *r);
	void *ctx;
	struct buf json, name;
	bool all; /* deleted ones too */
	bool is_over;
	bool is_found;
};

static void show(struct listing *l, struct str name)
{
	buf_clear(&l->json);
	buf_clear(&l->name);
	buf_add_str(&l->name, name);
	struct core_view v = core_view(l->c->core, str_c(l->type), buf_str(&l->name), &l->json);
	if (!v.exists || l->c->broken != OK || (v.deleted && !l->all)) return;
	roost_record r = {
		.type = l->type,
		.name = l->name.p,
		.json = l->json.p != NULL ? l->json.p : "",
		.json_size = l->json.n,
		.deleted = v.deleted,
		.hidden = v.hidden,
		.state = (int)v.state,
		.why = tell_error(v.why),
		.entry = v.entry,
	};
	l->is_found = true;
	if (l->each(l->ctx, &r) == 0) l->is_over = true;
}

static void listing_release(struct listing *l)
{
	buf_release(&l->json);
	buf_release(&l->name);
}

int roost_read(const roost *c, const char *type, const char *name, int (*each)(void *ctx, const roost_record *r),
	       void *ctx)
{
	enum err e = begin_read(c);
	if (e != OK) return fail(e);
	struct listing l = {.c = c, .type = type != NULL ? type : "", .each = each, .ctx = ctx, .all = true};
	buf_init(&l.json, BUF_NO_LIMIT);
	buf_init(&l.name, BUF_NO_LIMIT);
	show(&l, opt(name));
	listing_release(&l);
	return end_read(c, l.is_found ? OK : ERR_NOT_FOUND);
}

/* The names first: what is shown asks the same statements. */
static bool keep_name(void *ctx, struct str name)
{
	struct buf *names = ctx;
	return buf_add_str(names, name) && buf_add_char(names, '\n');
}

static void show_names(struct listing *l, struct str names)
{
	while (names.n > 0 && !l->is_over && l->c->broken == OK) {
		const char *eol = memchr(names.p, '\n', names.n);
		struct str name = str_n(names.p, (size_t)(eol - names.p));
		show(l, name);
		names = str_n(eol + 1, names.n - name.n - 1);
	}
}

/* What only the outbox has yet. */
static void show_new(struct listing *l, struct str conversation, struct str names)
{
	struct core_entry e;
	for (uint64_t after = 0; !l->is_over && core_outbox_next(l->c->core, after, &e); after = e.number) {
		bool is_new = e.kind == CORE_SEND || e.kind == CORE_SAVE;
		struct buf line = BUF_INIT(BUF_NO_LIMIT);
		struct core_entry first;
		buf_addf(&line, "\n%.*s\n", STR_ARG(e.name));
		is_new = is_new && str_eq(e.type, str_c(l->type)) &&
			 (conversation.n == 0 || str_eq(e.conversation, conversation)) &&
			 memmem(names.p, names.n, line.p, line.n) == NULL &&
			 core_outbox_find(l->c->core, e.type, e.name, &first) && first.number == e.number;
		if (is_new) show(l, e.name);
		buf_release(&line);
	}
}

int roost_list(const roost *c, const char *type, const char *conversation,
	       int (*each)(void *ctx, const roost_record *r), void *ctx)
{
	struct buf names = BUF_INIT(BUF_NO_LIMIT);
	enum err e = begin_read(c);
	if (e != OK) return fail(e);
	struct listing l = {.c = c, .type = type != NULL ? type : "", .each = each, .ctx = ctx};
	buf_init(&l.json, BUF_NO_LIMIT);
	buf_init(&l.name, BUF_NO_LIMIT);
	buf_add_char(&names, '\n');
	e = disk_names(c->disk, str_c(l.type), opt(conversation), keep_name, &names, &last);
	if (e == OK) {
		show_names(&l, str_n(names.p + 1, names.n - 1));
		show_new(&l, opt(conversation), buf_str(&names));
	}
	listing_release(&l);
	buf_release(&names);
	return end_read(c, e);
}

int roost_seat(const roost *c, const char *where, roost_seat_t *out)
{
	struct core_seat s;
	enum err e = begin_read(c);
	if (e != OK) return fail(e);
	if (out == NULL || out->size < sizeof out->size) return usage("roost_seat: a seat without its size");
	if (!core_seat(c->core, opt(where), &s)) return fail(ERR_NOT_JOINED);
	roost_seat_t mine = {
		.size = out->size,
		.joined = s.joined,
		.is_primary = s.is_primary,
		.term = s.term,
		.fence = s.fence,
		.lock_until_at = tell_wall(s.lock_until_ms),
	};
	(void)str_copy(s.conversation, mine.conversation, sizeof mine.conversation);
	(void)str_copy(s.session, mine.session, sizeof mine.session);
	(void)str_copy(s.primary, mine.primary, sizeof mine.primary);
	(void)str_copy(s.lock_holder, mine.lock_holder, sizeof mine.lock_holder);
	memcpy(out, &mine, MIN(out->size, sizeof mine));
	return ROOST_OK;
}
