/* How far each device has come: what device:ack and the cursor of a hello say, in memory at once and on disk now and then.
 *
 * On disk it is the device's SyncState record: deviceId, cursor, lastSyncedAt are written here; status, pending and
 * lastError are the device's own to say. It is written at most once a minute, and when the device leaves or the daemon
 * stops, so after a restart it is known how far behind everybody is. An acknowledgement is never a commit.
 *
 * The record is news for the other devices, who will acknowledge that too. So that this ends, only changes of other
 * types count as something to have caught up with; and of one user's devices at most WRITES_PER_TICK are written in a
 * second, which keeps a thousand devices from telling each other at once. */
#include "base/clock.h"
#include "server/call.h"

#define WRITE_EVERY_MS 60000
#define WRITES_PER_TICK 16

struct synced {
	char *device_id;
	uint32_t principal;
	int64_t acked, acked_ms; /* place, and wall time at which it was said */
	int64_t written;         /* place that is on disk or on its way there */
	int64_t due_boot_ms;     /* not before this */
	UT_hash_handle hh;
};

/* ---- the record -------------------------------------------------------------------------------------------------- */

struct cmd_sync_state {
	struct store_op op;
	int64_t user, seq, synced_ms;
	struct str device_id; /* in the op's arena */
	uint64_t epoch;
};

static struct str cursor_of(const struct json *fields)
{
	struct str text = STR("");
	(void)json_str(json_get(fields, "cursor"), &text);
	return text;
}

static enum err put_state(struct txn *t, const struct cmd_sync_state *c, struct record *r)
{
	struct buf patch = BUF_INIT(BUF_NO_LIMIT), merged = BUF_INIT(BUF_NO_LIMIT);
	struct json_doc *doc = NULL, *stored = NULL;
	char cursor[CURSOR_CAP];
	struct str text = str_n(cursor, cursor_format(c->epoch, c->seq, cursor));
	struct jw w = JW(&patch);
	jw_obj(&w);
	jw_kstr(&w, "deviceId", c->device_id);
	jw_kstr(&w, "cursor", text);
	if (r->row == 0 || r->deleted) {
		jw_kstr(&w, "status", STR("synced"));
		jw_kint(&w, "pending", 0);
	}
	jw_ktime(&w, "lastSyncedAt", c->synced_ms);
	jw_obj_end(&w);
	enum err e = json_parse(buf_str(&patch), &doc, NULL);
	if (e == OK) e = json_parse(r->fields, &stored, NULL);
	bool is_known = e == OK && str_eq(cursor_of(json_root(stored)), text);
	if (e == OK) e = fields_merge(r->fields, json_root(doc), POLICY_CHANGED_KEYS, &merged, NULL);
	if (e == OK && !is_known) {
		r->fields = arena_str(txn_arena(t), buf_str(&merged));
		r->deleted = false;
		e = txn_put(t, r);
	}
	json_free(doc);
	json_free(stored);
	buf_release(&patch);
	buf_release(&merged);
	return e;
}

static enum err sync_state_run(struct txn *t, struct store_op *op)
{
	struct cmd_sync_state *c = CONTAINER_OF(op, struct cmd_sync_state, op);
	struct record r, device;
	uint32_t zone;
	enum err e = txn_zone(t, c->user, ZONE_HOME, false, &zone);
	if (e == OK) e = txn_get(t, zone, RT_DEVICE, c->device_id, &device);
	if (e == ERR_NOT_FOUND || (e == OK && device.deleted)) return OK; /* it was revoked */
	if (e == OK) e = txn_get(t, zone, RT_SYNC_STATE, c->device_id, &r);
	if (e == ERR_NOT_FOUND) {
		r = (struct record){.zone = zone, .type = RT_SYNC_STATE, .name = c->device_id, .fields = STR("{}")};
		e = OK;
	}
	return e == OK ? put_state(t, c, &r) : e;
}

static void sync_state_done(struct store_op *op)
{
	store_op_release(op);
	free(CONTAINER_OF(op, struct cmd_sync_state, op));
}

/* ---- when it is written ------------------------------------------------------------------------------------------ */

static bool is_news(const struct live_user *u, const struct synced *d)
{
	return d->written < MIN(d->acked, u->content_seq);
}

static void write_state(struct live_user *u, struct synced *d)
{
	struct server *s = u->server;
	struct cmd_sync_state *c = xcalloc(1, sizeof *c);
	store_op_init(&c->op, sync_state_run, sync_state_done, d->principal, clock_wall_ms());
	c->op.repeatable = true;
	c->op.bytes = sizeof *c;
	c->user = u->user;
	c->seq = d->acked;
	c->synced_ms = d->acked_ms;
	c->device_id = arena_str(&c->op.arena, str_c(d->device_id));
	c->epoch = store_epoch(s->store);
	d->written = d->acked;
	d->due_boot_ms = clock_boot_ms() + WRITE_EVERY_MS;
	store_submit(s->store, &c->op);
}

static struct synced *find(const struct live_user *u, struct str device_id)
{
	struct synced *d;
	HASH_FIND(hh, u->synced, device_id.p, device_id.n, d);
	return d;
}

void sync_acked(struct live_user *u, uint32_t principal, struct str device_id, int64_t at)
{
	struct synced *d = find(u, device_id);
	if (d == NULL) {
		d = xcalloc(1, sizeof *d);
		d->device_id = str_dup(device_id);
		d->due_boot_ms = clock_boot_ms() + WRITE_EVERY_MS;
		HASH_ADD_KEYPTR(hh, u->synced, d->device_id, device_id.n, d);
	}
	d->principal = principal;
	d->acked = MAX(d->acked, at);
	d->acked_ms = clock_wall_ms();
}

void sync_left(struct live_user *u, struct str device_id)
{
	struct synced *d = find(u, device_id);
	if (d != NULL && is_news(u, d)) write_state(u, d);
}

void sync_tick(struct server *s)
{
	int64_t now = clock_boot_ms();
	for (struct live_user *u = s->users; u != NULL; u = u->hh.next) {
		int n = 0;
		for (struct synced *d = u->synced; d != NULL && n < WRITES_PER_TICK; d = d->hh.next) {
			if (now < d->due_boot_ms || !is_news(u, d)) continue;
			write_state(u, d);
			n++;
		}
	}
}

void sync_flush(struct server *s)
{
	for (struct live_user *u = s->users; u != NULL; u = u->hh.next)
		for (struct synced *d = u->synced; d != NULL; d = d->hh.next)
			if (is_news(u, d)) write_state(u, d);
}

void sync_forget(struct live_user *u)
{
	struct synced *d, *tmp;
	HASH_ITER (hh, u->synced, d, tmp) {
		HASH_DEL(u->synced, d);
		free(d->device_id);
		free(d);
	}
}

/* ---- telling ----------------------------------------------------------------------------------------------------- */

enum err sync_read(struct txn *t, uint32_t zone, struct str device_id, struct sync_stored *out)
{
	struct record r;
	struct json_doc *doc = NULL;
	struct str at;
	uint64_t epoch;
	*out = (struct sync_stored){0};
	enum err e = txn_get(t, zone, RT_SYNC_STATE, device_id, &r);
	if (e == ERR_NOT_FOUND || (e == OK && r.deleted)) return OK;
	if (e == OK && json_parse(r.fields, &doc, NULL) != OK) e = ERR_CORRUPT;
	if (e == OK && cursor_parse(cursor_of(json_root(doc)), &epoch, &out->acked)) {
		out->epoch = epoch;
		out->place = r.seq;
		if (json_str(json_get(json_root(doc), "lastSyncedAt"), &at)) (void)time_parse(at, &out->synced_ms);
	}
	json_free(doc);
	return e;
}

void sync_write(struct live_user *u, struct jw *w, struct str device_id, const struct sync_stored *list, size_t n,
		size_t own)
{
	const struct synced *d = find(u, device_id);
	bool is_stored = list[own].acked != 0 && list[own].epoch == store_epoch(u->server->store);
	int64_t acked = is_stored ? list[own].acked : 0, at = is_stored ? list[own].synced_ms : 0;
	if (d != NULL) acked = MAX(acked, d->acked);
	if (d != NULL) at = MAX(at, d->acked_ms);
	if (at == 0) return;
	int64_t behind = acked >= u->content_seq ? 0 : u->seq - acked;
	for (size_t i = 0; i < n && behind > 0; i++) behind -= list[i].place > acked;
	jw_ktime(w, "syncedAt", at);
	jw_kint(w, "behind", MAX(behind, 0));
}

/* ---- device:ack -------------------------------------------------------------------------------------------------- */

void verb_device_ack(struct call *c)
{
	struct errinfo info = {0};
	struct str cursor;
	int64_t at = 0;
	enum err e = json_want_str(c->in, "cursor", 0, &cursor, &info)
			     ? feed_cursor(c->server, c->user, cursor, &at, &info)
			     : info.err;
	if (e != OK) {
		call_fail(c, e, &info, STR_NONE);
		return;
	}
	sync_acked(c->user, c->principal, str_c(c->device_id), at);
	if (c->peer != NULL && c->re[0] == '\0') {
		call_end(c);
		return;
	}
	struct jw w = call_begin(c, "device:acked");
	call_reply(c, &w);
}
