/* The device's connection, its frames in and out, and the rows it wants kept.
 *
 * One call of the shell is one step: core_enter, what the call means, core_leave_call. Leaving, in this order,
 *   1. hands over the rows gathered in the step as one batch, so that what belongs together becomes durable together,
 *   2. sends the entries of the outbox that may go: first of their lanes, durable, and not told to wait,
 *   3. begins a sync and acknowledges the cursor when they are due,
 *   4. tells that the status has changed.
 * Everything before that only changes state, which is why no hook may call in.
 *
 * The connection is OFF (not wanted, or stopped for good), WAITING for its next try, TRYING, UP, or CLOSING on our wish.
 * A try that ends without a welcome doubles the wait, from 0.2 s to 30 s, and each wait is drawn from its upper half, so
 * that the devices of a restarted daemon do not come back in step. Silence is a failure too: the daemon is asked (ping)
 * after `pingMs` without a frame, or 5 s when an entry waits for its answer, and given up after twice that. */
#include "client/core_priv.h"

#define CONNECT_FIRST_MS 200
#define CONNECT_MOST_MS 30000
#define CONNECT_GIVE_UP_MS 30000 /* a try that neither works nor fails */
#define HASTY_PING_MS 5000
#define RETRY_AFTER_MOST_MS 600000 /* a daemon may ask for a wait, but not for ever */

/* ---- small things ----------------------------------------------------------------------------------------------- */

void text_set(char **field, struct str value)
{
	char *copy = str_dup(value.p != NULL ? value : STR(""));
	free(*field);
	*field = copy;
}

struct str text_of(const struct json *obj, const char *key)
{
	struct str s = STR("");
	json_str(json_get(obj, key), &s);
	return s;
}

int64_t int_of(const struct json *obj, const char *key)
{
	int64_t v = 0;
	json_int(json_get(obj, key), &v);
	return v;
}

bool bool_of(const struct json *obj, const char *key)
{
	bool v = false;
	json_bool(json_get(obj, key), &v);
	return v;
}

/* {"code","message","retryable","retryAfterMs"}. A code this version does not know is ERR_INTERNAL; whether trying again
 * helps, the daemon says itself. */
enum err read_error(const struct json *error, struct errinfo *info, bool *out_retryable)
{
	struct str code = text_of(error, "code"), message = text_of(error, "message");
	enum err e = err_from_code(code.p, (uint32_t)code.n);
	if (e == OK) e = ERR_INTERNAL;
	err_set(info, e, "%.*s", (int)MIN(message.n, sizeof info->text - 1), message.p);
	info->retry_after_ms = MIN(MAX(int_of(error, "retryAfterMs"), 0), RETRY_AFTER_MOST_MS);
	if (out_retryable != NULL) {
		*out_retryable = err_retryable(e);
		json_bool(json_get(error, "retryable"), out_retryable);
	}
	return e;
}

void tell(struct core *c, struct core_event e)
{
	static const struct errinfo none = {.err = OK};
	struct str *texts[] = {&e.type, &e.name, &e.conversation, &e.session, &e.device, &e.other, &e.field, &e.text};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i]->p == NULL) *texts[i] = STR("");
	if (e.info == NULL) e.info = &none;
	c->hooks.event(c->ctx, &e);
}

/* The wait after `tries` failures in a row: doubling, drawn from the upper half. */
int64_t backoff_ms(struct core *c, int tries, int64_t first_ms, int64_t most_ms)
{
	int64_t wait = first_ms;
	for (int i = 1; i < tries && wait < most_ms; i++) wait *= 2;
	wait = MIN(wait, most_ms);
	return wait - (int64_t)rng_below(&c->rng, (uint64_t)(wait / 2 + 1));
}

static void fail_set(struct core *c, enum err e, const struct errinfo *info)
{
	c->failed = e;
	if (info != NULL && info->err == e) c->failed_info = *info;
	else err_set(&c->failed_info, e, "%s", "");
	c->is_dirty = true;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static struct kept_row *row_find(const struct core *c, enum core_table table, struct str key)
{
	char full[CORE_KEY_MAX + 2];
	struct kept_row *r;
	if (key.n > CORE_KEY_MAX) return NULL;
	full[0] = (char)('0' + table);
	memcpy(full + 1, key.p, key.n);
	HASH_FIND(hh, c->rows, full, key.n + 1, r);
	return r;
}

void row_put(struct core *c, const struct core_row *row)
{
	struct kept_row *r = row_find(c, row->table, row->key);
	if (r == NULL) {
		ASSERT_CMP(row->key.n, <=, CORE_KEY_MAX);
		r = arena_zalloc(&c->arena, sizeof *r + row->key.n + 2);
		r->key[0] = (char)('0' + row->table);
		memcpy(r->key + 1, row->key.p, row->key.n);
		HASH_ADD(hh, c->rows, key, row->key.n + 1, r);
	}
	r->row = *row;
	r->row.key = str_n(r->key + 1, row->key.n);
	struct str *texts[] = {&r->row.value, &r->row.type, &r->row.name, &r->row.conversation, &r->row.session};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) *texts[i] = arena_str(&c->arena, *texts[i]);
}

void row_meta(struct core *c, const char *key, struct str value)
{
	row_put(c, &(struct core_row){.table = CORE_META, .key = str_c(key), .value = value});
}

void row_meta_int(struct core *c, const char *key, int64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%lld", (long long)value);
	row_meta(c, key, str_n(text, (size_t)n));
}

bool row_read(const struct core *c, enum core_table table, struct str key, struct buf *out)
{
	const struct kept_row *r = row_find(c, table, key);
	if (r == NULL) return c->hooks.read(c->ctx, table, key, out);
	if (r->row.value.p == NULL) return false;
	buf_add_str(out, r->row.value);
	return true;
}

static void rows_hand_over(struct core *c)
{
	unsigned n = HASH_COUNT(c->rows);
	if (n == 0 && c->drop_below == 0 && c->forget_session.n == 0) return;
	struct core_row *rows = arena_alloc(&c->arena, xmul(n + 1u, sizeof *rows));
	struct kept_row *r, *next;
	size_t i = 0;
	HASH_ITER (hh, c->rows, r, next) rows[i++] = r->row;
	HASH_CLEAR(hh, c->rows);
	struct core_batch b = {.number = ++c->batch,
			       .rows = rows,
			       .nrows = i,
			       .drop_below = c->drop_below,
			       .forget_session = c->forget_session.n > 0 ? c->forget_session : STR("")};
	c->drop_below = 0;
	c->forget_session = STR_NONE;
	if (c->hooks.persist(c->ctx, &b)) c->durable = b.number;
	arena_clear(&c->arena);
}

/* ---- a step ----------------------------------------------------------------------------------------------------- */

void core_enter(struct core *c, struct core_now now)
{
	ASSERT_CMP(c->depth, ==, 0); /* a hook called in */
	c->depth++;
	now.boot_ms = MAX(now.boot_ms, c->now.boot_ms);
	c->now = now;
}

void core_leave_call(struct core *c)
{
	rows_hand_over(c);
	outbox_flush(c);
	core_sync_tick(c);
	if (c->is_dirty) {
		c->is_dirty = false;
		tell(c, (struct core_event){.kind = CORE_EV_STATUS});
	}
	c->depth--;
}

/* ---- frames out ------------------------------------------------------------------------------------------------- */

struct jw frame_plain(struct buf *b, const char *type)
{
	buf_init(b, ROW_BYTES_MAX);
	struct jw w = JW(b);
	jw_obj(&w);
	jw_kstr(&w, "type", str_c(type));
	return w;
}

struct jw frame_begin(struct core *c, struct buf *b, const char *type, enum ask_kind kind, struct ask **out)
{
	struct ask *a = xcalloc(1, sizeof *a);
	a->id = ++c->next_id;
	a->kind = kind;
	HASH_ADD(hh, c->asks, id, sizeof a->id, a);
	if (out != NULL) *out = a;
	struct jw w = frame_plain(b, type);
	jw_kint(&w, "id", a->id);
	return w;
}

void frame_send(struct core *c, struct jw *w)
{
	jw_obj_end(w);
	ASSERT(c->link == LINK_UP);
	c->hooks.send(c->ctx, buf_str(w->b));
	buf_release(w->b);
}

static void ask_free(struct ask *a)
{
	free(a->where);
	free(a);
}

core_op core_call(struct core *c, struct str type, struct str members, struct core_now now)
{
	struct json_doc *doc = NULL;
	struct buf b;
	struct ask *a = NULL;
	core_enter(c, now);
	if (!c->is_welcome || json_parse(members, &doc, NULL) != OK || json_type(json_root(doc)) != JSON_OBJ) goto out;
	char *kind = str_dup(type);
	struct jw w = frame_begin(c, &b, kind, ASK_CALL, &a);
	free(kind);
	a->is_told = true;
	for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
		if (str_eq(it.key, STR("type")) || str_eq(it.key, STR("id"))) continue;
		jw_key_str(&w, it.key);
		jw_value(&w, it.val);
	}
	frame_send(c, &w);
out:
	json_free(doc);
	core_op op = a != NULL ? (core_op)a->id : 0;
	core_leave_call(c);
	return op;
}

/* ---- frames in -------------------------------------------------------------------------------------------------- */

static void tell_answer(struct core *c, const struct ask *a, enum err e, const struct errinfo *info,
			const struct json *frame)
{
	if (!a->is_told) return;
	tell(c, (struct core_event){.kind = CORE_EV_ANSWER,
				    .number = a->id,
				    .err = e,
				    .info = info,
				    .json = frame,
				    .conversation = a->where != NULL ? str_c(a->where) : STR("")});
}

/* A hello that is refused: for good, but for an old cursor, what passes by itself, and more seats than this daemon has
 * for a device. One it always has; how many, the welcome says. */
static void hello_refused(struct core *c, enum err e, const struct errinfo *info, bool retryable)
{
	if (e == ERR_TOO_MANY && c->limits.joined_sessions > 1) {
		c->limits.joined_sessions = 1;
		sync_hello(c);
		return;
	}
	if (e == ERR_CURSOR_EXPIRED && c->cursor[0] != '\0') {
		sync_expired(c);
		sync_hello(c);
		return;
	}
	fail_set(c, e, info);
	if (!retryable) c->stopped = e;
	c->link = LINK_CLOSING;
	c->hooks.disconnect(c->ctx);
}

static void on_error(struct core *c, const struct ask *a, const struct json *f)
{
	struct errinfo info;
	bool retryable;
	if (a == NULL) return; /* about a frame whose id the daemon could not read: we send none */
	enum err e = read_error(f, &info, &retryable);
	switch (a->kind) {
	case ASK_HELLO: hello_refused(c, e, &info, retryable); break;
	case ASK_ENTRY:
		if (a->entry != NULL) answer_refused(c, a->entry, f);
		break;
	case ASK_SYNC: sync_refused(c, e, &info); break;
	case ASK_ATTACH: stream_refused(c, str_c(a->where), e, f); break;
	case ASK_JOIN:
	case ASK_PRIMARY:
	case ASK_LOCK:
	case ASK_UNLOCK: seat_refused(c, a, e, f); break;
	case ASK_LEAVE:
		if (!retryable) seat_has_left(c, str_c(a->where));
		break;
	case ASK_CALL: break;
	}
	tell_answer(c, a, e, &info, f);
}

static void on_welcome(struct core *c, const struct ask *a, const struct json *f)
{
	if (a == NULL || a->kind != ASK_HELLO || c->is_welcome) return;
	c->is_welcome = true;
	c->tries = 0;
	c->offline_wall_ms = 0;
	if (!c->is_disk_failed) c->failed = OK;
	c->is_dirty = true;
	for (size_t i = 0; i < limit_count; i++) {
		int64_t v;
		if (!json_int(json_get(json_get(f, "limits"), limit_rows[i].key), &v)) continue;
		if (limits_set(&c->limits, str_c(limit_rows[i].key), v, NULL) != OK) continue;
		char key[64];
		if (snprintf(key, sizeof key, "limit.%s", limit_rows[i].key) < (int)sizeof key) row_meta_int(c, key, v);
	}
	struct str user = text_of(f, "userId");
	if (name_is_valid(user) && !str_eq(user, str_c(c->user))) {
		text_set(&c->user, user);
		row_meta(c, "user", user);
	}
	sync_welcome(c, f);
	tell(c, (struct core_event){.kind = CORE_EV_ONLINE, .json = f});
	seats_online(c);
}

static void on_changes(struct core *c, const struct ask *a, const struct json *f)
{
	/* What the app asked for itself says nothing about our own place. */
	if (a == NULL || a->kind == ASK_SYNC) sync_changes(c, a, f);
}

static void on_delta(struct core *c, const struct ask *a, const struct json *f)
{
	(void)a;
	stream_delta(c, f);
}

static void on_reset(struct core *c, const struct ask *a, const struct json *f)
{
	(void)a;
	stream_reset(c, f);
}

static void on_request(struct core *c, const struct ask *a, const struct json *f)
{
	struct str request = text_of(f, "requestId");
	(void)a;
	if (!name_is_valid(request)) return;
	tell(c, (struct core_event){.kind = CORE_EV_REQUEST,
				    .name = request,
				    .conversation = text_of(f, "conversationId"),
				    .text = text_of(f, "state"),
				    .json = f});
	core_stream_state(c, request, f);
}

static void on_left(struct core *c, const struct ask *a, const struct json *f)
{
	if (a != NULL && a->kind == ASK_LEAVE) seat_has_left(c, str_c(a->where));
	else seat_left(c, f);
}

static void on_primary(struct core *c, const struct ask *a, const struct json *f)
{
	(void)a;
	seat_primary(c, f);
}

static void on_unlocked(struct core *c, const struct ask *a, const struct json *f)
{
	(void)a;
	seat_unlocked(c, f);
}

static void on_cleared(struct core *c, const struct ask *a, const struct json *f)
{
	(void)a;
	seat_cleared(c, f);
}

static void on_duplicate(struct core *c, const struct ask *a, const struct json *f)
{
	(void)a;
	tell(c, (struct core_event){.kind = CORE_EV_DUPLICATE,
				    .session = text_of(f, "sessionId"),
				    .name = text_of(f, "messageId"),
				    .device = text_of(f, "deviceId"),
				    .number = int_of(f, "ageMs"),
				    .json = f});
}

/* What the app saved by a call of its own; the feed will not repeat it. */
static void on_saved(struct core *c, const struct ask *a, const struct json *f)
{
	(void)a;
	for (struct json_iter it = json_iter(json_get(f, "results")); json_next(&it);)
		(void)record_apply(c, json_get(it.val, "record"), false);
}

static void on_ack(struct core *c, const struct ask *a, const struct json *f)
{
	(void)a;
	(void)record_apply(c, json_get(f, "record"), false);
}

static void on_nothing(struct core *c, const struct ask *a, const struct json *f) { (void)c, (void)a, (void)f; }

/* What the core itself takes up. Any other frame without a question is the app's: CORE_EV_PUSH. */
static const struct {
	const char *type;
	void (*take)(struct core *c, const struct ask *a, const struct json *f);
} frames[] = {
	{"error", on_error},
	{"pong", on_nothing},
	{"device:welcome", on_welcome},
	{"session:changes", on_changes},
	{"session:state", seat_state},
	{"session:left", on_left},
	{"session:locked", seat_locked},
	{"session:unlocked", on_unlocked},
	{"session:cleared", on_cleared},
	{"device:primary", on_primary},
	{"message:delta", on_delta},
	{"message:reset", on_reset},
	{"message:duplicate", on_duplicate},
	{"message:ack", on_ack},
	{"record:saved", on_saved},
	{"request:state", on_request},
};

static void take_frame(struct core *c, const struct ask *a, struct str type, const struct json *f)
{
	bool is_error = str_eq(type, STR("error"));
	if (a != NULL && a->kind == ASK_ENTRY && !is_error) {
		if (a->entry != NULL) answer_entry(c, a->entry, type, f);
		return;
	}
	size_t i = 0;
	while (i < ARRAY_LEN(frames) && !str_eq(str_c(frames[i].type), type)) i++;
	if (i < ARRAY_LEN(frames)) frames[i].take(c, a, f);
	else if (a == NULL) tell(c, (struct core_event){.kind = CORE_EV_PUSH, .text = type, .json = f});
	if (a != NULL && !is_error) tell_answer(c, a, OK, NULL, f);
}

void core_frame(struct core *c, struct str text, struct core_now now)
{
	struct json_doc *doc = NULL;
	struct ask *a = NULL;
	int64_t re;
	core_enter(c, now);
	if (c->link != LINK_UP) goto out;
	c->heard_ms = c->now.boot_ms;
	c->pinged_ms = 0;
	if (json_parse(text, &doc, NULL) != OK) goto out;
	const struct json *f = json_root(doc);
	struct str type = text_of(f, "type");
	if (type.n == 0) goto out;
	if (json_int(json_get(f, "re"), &re)) {
		HASH_FIND(hh, c->asks, &re, sizeof re, a);
		if (a == NULL) goto out; /* the answer to nothing we asked */
		HASH_DEL(c->asks, a);
	}
	if (c->is_welcome || (a != NULL && a->kind == ASK_HELLO)) take_frame(c, a, type, f);
	if (a != NULL) ask_free(a);
out:
	json_free(doc);
	core_leave_call(c);
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

static void link_try(struct core *c)
{
	c->link = LINK_TRYING;
	c->heard_ms = c->now.boot_ms;
	c->next_try_ms = 0;
	c->connects++;
	c->is_dirty = true;
	c->hooks.connect(c->ctx);
}

static void link_close(struct core *c)
{
	if (c->link != LINK_TRYING && c->link != LINK_UP) return;
	c->link = LINK_CLOSING;
	c->hooks.disconnect(c->ctx);
}

void link_restart(struct core *c)
{
	c->is_restarting = true;
	link_close(c);
}

void core_start(struct core *c, struct core_now now)
{
	core_enter(c, now);
	c->is_wanted = true;
	c->stopped = OK;
	c->tries = 0;
	if (c->offline_wall_ms == 0 && !c->is_welcome) c->offline_wall_ms = now.wall_ms;
	if (c->link == LINK_OFF || c->link == LINK_WAITING) link_try(c);
	core_leave_call(c);
}

void core_stop(struct core *c, struct core_now now)
{
	core_enter(c, now);
	c->is_wanted = false;
	c->next_try_ms = 0;
	c->is_dirty = true;
	if (c->link == LINK_WAITING) c->link = LINK_OFF;
	link_close(c);
	core_leave_call(c);
}

void core_connected(struct core *c, struct core_now now)
{
	core_enter(c, now);
	if (c->link == LINK_TRYING && c->is_wanted) {
		c->link = LINK_UP;
		c->heard_ms = c->now.boot_ms;
		c->pinged_ms = 0;
		sync_hello(c);
	} else if (c->link == LINK_TRYING) {
		link_close(c);
	}
	core_leave_call(c);
}

/* Everything that hangs on a connection ends with it. */
static void offline(struct core *c, enum err e, const struct errinfo *info)
{
	struct errinfo gone;
	struct ask *a, *next;
	c->is_welcome = false;
	err_set(&gone, ERR_UNAVAILABLE, "the connection was lost before the answer came");
	outbox_offline(c);
	sync_offline(c);
	streams_offline(c);
	HASH_ITER (hh, c->asks, a, next) {
		HASH_DEL(c->asks, a);
		tell_answer(c, a, ERR_UNAVAILABLE, &gone, NULL);
		ask_free(a);
	}
	seats_offline(c);
	if (c->offline_wall_ms == 0) c->offline_wall_ms = c->now.wall_ms;
	if (e != OK) fail_set(c, e, info);
	c->is_dirty = true;
}

/* Why not to connect again by itself; OK: there is no reason. */
static enum err end_of(int close_code, enum err e, struct errinfo *info)
{
	if (close_code == 4001) return err_set(info, ERR_EXISTS, "another connection of this device replaced this one");
	if (close_code == 4003) return err_set(info, ERR_UNAUTHORIZED, "this device was revoked; pair it again");
	if (e == ERR_UNAUTHORIZED) return err_set(info, ERR_UNAUTHORIZED, "%s", info->err == e ? info->text : "");
	return OK;
}

/* The daemon closed because a frame was too large for it: without this the same entry would do it again for ever. */
static void hold_largest(struct core *c)
{
	struct entry *e, *largest = NULL;
	TAILQ_FOREACH (e, &c->outbox, link)
		if (e->state == CORE_SENT && (largest == NULL || e->bytes > largest->bytes)) largest = e;
	if (largest == NULL) return;
	entry_unsent(c, largest);
	entry_hold(c, largest, ERR_TOO_LARGE, STR("the daemon closed the connection: larger than its frameBytes"));
}

void core_disconnected(struct core *c, int close_code, enum err e, const struct errinfo *info, struct core_now now)
{
	struct errinfo why = {.err = OK};
	core_enter(c, now);
	if (c->link == LINK_OFF || c->link == LINK_WAITING) goto out;
	bool restarts = c->is_restarting;
	c->is_restarting = false;
	if (info != NULL) why = *info;
	if (close_code == 1009) hold_largest(c);
	if (e == ERR_CURSOR_EXPIRED && c->cursor[0] != '\0') {
		sync_expired(c);
		restarts = true;
	}
	if (c->stopped == OK) c->stopped = end_of(close_code, e, &why);
	if (c->stopped != OK && why.err == OK) why = c->failed_info;
	offline(c, c->stopped != OK ? c->stopped : restarts ? OK : e, &why);
	if (!c->is_wanted || c->stopped != OK) {
		c->link = LINK_OFF;
	} else {
		c->link = LINK_WAITING;
		c->next_try_ms = c->now.boot_ms;
		if (!restarts) c->next_try_ms += backoff_ms(c, ++c->tries, CONNECT_FIRST_MS, CONNECT_MOST_MS);
		if (why.err != OK)
			c->next_try_ms = MAX(c->next_try_ms, c->now.boot_ms + MIN(why.retry_after_ms, 60000));
	}
	tell(c,
	     (struct core_event){
		     .kind = CORE_EV_OFFLINE, .err = e, .info = info, .at_ms = c->next_try_ms, .number = close_code});
	if (c->stopped != OK)
		tell(c, (struct core_event){.kind = CORE_EV_STOPPED, .err = c->stopped, .info = &c->failed_info});
out:
	core_leave_call(c);
}

void core_nudge(struct core *c, struct core_now now)
{
	core_enter(c, now);
	if (c->is_welcome) sync_want(c, 0);
	else if (c->link == LINK_WAITING) link_try(c);
	core_leave_call(c);
}

void core_foreground(struct core *c, bool is_front, struct core_now now)
{
	core_enter(c, now);
	bool came = is_front && !c->is_front;
	c->is_front = is_front;
	if (came && c->is_welcome) sync_want(c, 0);
	else if (came && c->link == LINK_WAITING) link_try(c);
	core_leave_call(c);
}

/* ---- the disk --------------------------------------------------------------------------------------------------- */

void core_persisted(struct core *c, uint64_t number, struct core_now now)
{
	core_enter(c, now);
	ASSERT_CMP(number, <=, c->batch);
	c->durable = MAX(c->durable, number);
	core_leave_call(c);
}

void core_disk(struct core *c, enum err e, const struct errinfo *info, struct core_now now)
{
	core_enter(c, now);
	c->is_disk_failed = e != OK;
	if (e != OK) fail_set(c, e, info);
	else if (c->is_welcome) c->failed = OK;
	c->is_dirty = true;
	core_leave_call(c);
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

/* Silence after which the daemon is asked. */
static int64_t quiet_ms(const struct core *c)
{
	return c->nsent > 0 || !c->is_welcome ? MIN(HASTY_PING_MS, c->limits.ping_ms) : c->limits.ping_ms;
}

static int64_t alive_next_ms(const struct core *c)
{
	if (c->link == LINK_TRYING) return c->heard_ms + CONNECT_GIVE_UP_MS;
	if (c->link != LINK_UP) return NEVER;
	return c->pinged_ms != 0 ? c->pinged_ms + quiet_ms(c) : c->heard_ms + quiet_ms(c);
}

static void alive_tick(struct core *c)
{
	struct buf b;
	if (c->now.boot_ms < alive_next_ms(c)) return;
	if (c->link == LINK_UP && c->pinged_ms == 0) {
		c->pinged_ms = c->now.boot_ms;
		struct jw w = frame_plain(&b, "ping");
		frame_send(c, &w);
		return;
	}
	link_close(c);
}

int64_t core_next_ms(const struct core *c)
{
	int64_t at = c->link == LINK_WAITING ? c->next_try_ms : NEVER;
	at = MIN(at, alive_next_ms(c));
	at = MIN(at, sync_next_ms(c));
	at = MIN(at, core_seats_next_ms(c));
	return c->is_welcome ? MIN(at, c->outbox_wake_ms) : at;
}

void core_tick(struct core *c, struct core_now now)
{
	core_enter(c, now);
	if (c->link == LINK_WAITING && c->now.boot_ms >= c->next_try_ms) link_try(c);
	alive_tick(c);
	core_seats_tick(c);
	core_leave_call(c);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

struct core *core_new(const struct core_options *o, const struct core_hooks *h, void *ctx)
{
	struct core *c = xcalloc(1, sizeof *c);
	ASSERT(name_is_valid(o->device_id));
	c->hooks = *h;
	c->ctx = ctx;
	c->rng = o->rng;
	c->is_front = o->foreground;
	text_set(&c->device_id, o->device_id);
	text_set(&c->name, o->name);
	text_set(&c->platform, o->platform);
	text_set(&c->app_version, o->app_version);
	char **empty[] = {&c->user, &c->stamp, &c->cursor};
	for (size_t i = 0; i < ARRAY_LEN(empty); i++) text_set(empty[i], STR(""));
	limits_default(&c->limits);
	TAILQ_INIT(&c->outbox);
	TAILQ_INIT(&c->ready);
	TAILQ_INIT(&c->seats);
	TAILQ_INIT(&c->left);
	c->next_number = 1;
	c->generation = 1;
	c->outbox_wake_ms = c->sync_due_ms = c->ack_due_ms = c->active_ms = NEVER;
	return c;
}

void core_free(struct core *c)
{
	struct ask *a, *next;
	struct forgotten *f, *after;
	if (c == NULL) return;
	outbox_free(c);
	streams_free(c);
	core_seats_free(c);
	HASH_ITER (hh, c->asks, a, next) {
		HASH_DEL(c->asks, a);
		ask_free(a);
	}
	HASH_ITER (hh, c->forgotten, f, after) {
		HASH_DEL(c->forgotten, f);
		free(f);
	}
	HASH_CLEAR(hh, c->rows);
	arena_clear(&c->arena);
	char *texts[] = {c->device_id, c->name, c->platform, c->app_version, c->user, c->stamp, c->cursor};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) free(texts[i]);
	free(c);
}

static enum err load_meta(struct core *c, struct str key, struct str value)
{
	int64_t n = 0;
	bool is_number = str_to_int(value, &n);
	if (str_eq(key, STR("cursor"))) text_set(&c->cursor, value);
	else if (str_eq(key, STR("stamp"))) text_set(&c->stamp, value);
	else if (str_eq(key, STR("user"))) text_set(&c->user, value);
	else if (!is_number) return ERR_CORRUPT;
	else if (str_eq(key, STR("generation")) && n > 0 && n < UINT32_MAX) c->generation = (uint32_t)n;
	else if (str_eq(key, STR("resync"))) c->is_resyncing = n != 0;
	else if (str_eq(key, STR("synced"))) c->synced_ms = n;
	else if (str_eq(key, STR("conflicts"))) c->nconflicts = MAX(n, 0);
	else if (!str_starts(key, STR("limit."))) return ERR_CORRUPT;
	else if (limits_set(&c->limits, str_n(key.p + 6, key.n - 6), n, NULL) != OK) return OK; /* another version's */
	return OK;
}

enum err core_load(struct core *c, const struct core_row *row, struct errinfo *info)
{
	enum err e = OK;
	struct entry *entry;
	switch (row->table) {
	case CORE_META: e = load_meta(c, row->key, row->value); break;
	case CORE_OUTBOX:
		e = entry_parse(c, row, &entry, info);
		if (e == OK) outbox_load(c, entry);
		break;
	case CORE_FORGOTTEN:
		if (name_is_valid(row->key)) forgotten_add(c, row->key);
		else e = ERR_CORRUPT;
		break;
	case CORE_RECORD: e = ERR_CORRUPT; break;
	}
	if (e == OK) return OK;
	return err_set(info, ERR_CORRUPT, "row \"%.*s\" of table %d is not one of this library's",
		       (int)MIN(row->key.n, 60), row->key.p, (int)row->table);
}

struct core_status core_status(const struct core *c)
{
	return (struct core_status){
		.online = c->is_welcome,
		.stopped = c->stopped != OK,
		.syncing = c->is_syncing,
		.percent = sync_percent(c),
		.pending = c->npending,
		.held = c->nheld,
		.conflicted = (int)MIN(c->nconflicts, INT32_MAX),
		.synced_ms = c->synced_ms,
		.offline_ms = c->offline_wall_ms,
		.next_try_ms = c->link == LINK_WAITING ? c->next_try_ms : 0,
		.failed = c->failed,
		.sentence = str_c(c->failed == OK ? "" : err_sentence(&c->failed_info, c->failed)),
		.syncs = c->syncs,
		.connects = c->connects,
		.cursor = str_c(c->cursor),
		.user = str_c(c->user),
		.limits = &c->limits,
	};
}
