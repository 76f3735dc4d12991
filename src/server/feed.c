/* What changed reaches every device of its user.
 *
 * The writer commits, the loop hears of it (feed_changed for every command, feed_batch_end once), and every follower who
 * is live gets one frame with everything of that commit, in feed order, made once and shared. A follower is spared the
 * records it saved itself; if nothing else changed it gets no frame at all and its cursor follows within a second.
 *
 * A follower who is behind (it just said hello, or its queue was full) reads pages from the store until it has reached the
 * place this thread has announced; only then it is live. Places of a zone are consecutive, so a commit that does not
 * begin right after the place we know means that one was missed, and everybody of that zone reads again from the store:
 * losing a nudge costs a read, never a record.
 *
 * What a device may not see because it came later (late.c) is left out of its pages, and of its frames, which then are
 * its own.
 *
 * A frame's cursor is always the end of a command; commands are never split between pages. */
#include "server/feed.h"

#include "base/clock.h"
#include "server/call.h"

#define FRAME_SOFT_BYTES (512 << 10) /* a page ends after the command that passes this */

struct feed_entry {
	uint32_t author;
	int64_t late_from; /* principals from this number on do not see it; 0 all do */
	bool is_unsure;    /* a late one must read it */
	size_t from, len;  /* in batch */
};

struct zone_seen {
	uint32_t zone;
	int64_t seq;
	UT_hash_handle hh;
};

void write_cursor(struct server *s, struct jw *w, int64_t seq)
{
	char text[CURSOR_CAP];
	jw_str(w, str_n(text, cursor_format(store_epoch(s->store), seq, text)));
}

static const struct principal daemon_principal = {.user_id = STR_INIT(""), .device_id = STR_INIT("")};

static void put_record(struct store *store, struct jw *w, const struct record *r)
{
	const struct principal *by = store_principal(store, r->created_by),
			       *mod = store_principal(store, r->modified_by);
	struct record copy = *r;
	if (copy.type_name.n == 0) copy.type_name = store_type_name(store, r->type);
	record_write(w, &copy, by != NULL ? by : &daemon_principal, mod != NULL ? mod : &daemon_principal);
}

void write_record(struct server *s, struct jw *w, const struct record *r) { put_record(s->store, w, r); }

enum err feed_cursor(struct server *s, const struct live_user *u, struct str text, int64_t *out, struct errinfo *info)
{
	uint64_t epoch;
	*out = 0;
	if (text.n == 0) return OK;
	if (!cursor_parse(text, &epoch, out))
		return err_set(info, ERR_BAD_FIELD, "this is not a cursor of this service");
	if (epoch != store_epoch(s->store) || (*out != 0 && *out < u->floor) || *out > u->seq)
		return ERR_CURSOR_EXPIRED;
	return OK;
}

/* ---- users ------------------------------------------------------------------------------------------------------ */

struct live_user *live_user_get(struct server *s, const struct cred_row *cred, const struct zone_info *home)
{
	struct live_user *u;
	HASH_FIND(hh, s->users, &cred->user, sizeof cred->user, u);
	if (u == NULL) {
		u = xcalloc(1, sizeof *u);
		u->server = s;
		u->user = cred->user;
		u->id = str_n(str_dup(cred->user_id), cred->user_id.n);
		u->name = str_n(str_dup(cred->user_name), cred->user_name.n);
		u->zone = home->zone;
		u->seq = home->seq;
		LIST_INIT(&u->subs);
		LIST_INIT(&u->waits);
		STAILQ_INIT(&u->presence);
		buf_init(&u->batch, BUF_NO_LIMIT);
		uv_timer_init(&s->loop, &u->presence_timer);
		u->presence_timer.data = u;
		HASH_ADD(hh, s->users, user, sizeof u->user, u);
		HASH_ADD(by_zone, s->users_by_zone, zone, sizeof u->zone, u);
		/* A commit newer than the look-up's snapshot may have been announced before anybody followed the zone. */
		struct zone_seen *seen;
		HASH_FIND(hh, s->zones_seen, &u->zone, sizeof u->zone, seen);
		if (seen != NULL) {
			u->seq = MAX(u->seq, seen->seq);
			HASH_DEL(s->zones_seen, seen);
			free(seen);
		}
	}
	u->floor = home->floor;
	if (u->content_seq == 0) u->content_seq = u->seq;
	return u;
}

static void user_closed(uv_handle_t *h)
{
	struct live_user *u = h->data;
	free((void *)(uintptr_t)u->id.p);
	free((void *)(uintptr_t)u->name.p);
	buf_release(&u->batch);
	late_forget(u);
	sync_forget(u);
	free(u->entries);
	free(u);
}

void live_users_free(struct server *s)
{
	struct live_user *u, *utmp;
	struct zone_seen *z, *ztmp;
	HASH_ITER (hh, s->users, u, utmp) {
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the analyser cannot follow uthash */
		HASH_DELETE(by_zone, s->users_by_zone, u);
		HASH_DELETE(hh, s->users, u);
		presence_forget(u);
		uv_close((uv_handle_t *)&u->presence_timer, user_closed);
	}
	HASH_ITER (hh, s->zones_seen, z, ztmp) {
		HASH_DEL(s->zones_seen, z);
		free(z);
	}
}

/* ---- followers -------------------------------------------------------------------------------------------------- */

/* One page from the store, read and encoded on a reader thread. */
struct feed_read {
	struct store_op op;
	struct server *server;
	struct sub *sub;   /* NULL: the follower left */
	struct call *call; /* or a call that asked for one page */
	uint32_t zone;
	int64_t after, upto, limit, until; /* until: boot ms to which a call waits for something, 0 not at all */
	struct buf json;                   /* the records, comma-separated */
	int64_t last, group_end, group;
	size_t nrecords, nseen; /* in the page; read, hidden ones too */
	int64_t end;            /* place to go on from */
	bool more;
	struct txn *t;
	struct late late;
	bool wants_killed; /* the user's killed sessions are not known yet */
	struct late_list killed;
};

static enum err add_record(void *ctx, const struct record *r)
{
	struct feed_read *f = ctx;
	bool hides;
	if (f->nseen > 0 && r->group != f->group) {
		f->group_end = f->last;
		if (f->json.n > FRAME_SOFT_BYTES) return ERR_CANCELLED;
	}
	f->nseen++;
	f->group = r->group;
	f->last = r->seq;
	enum err e = late_hides(&f->late, f->t, r, &hides);
	if (e != OK || hides) return e;
	struct jw w = JW(&f->json);
	w.comma = f->nrecords > 0;
	put_record(f->server->store, &w, r);
	f->nrecords++;
	return OK;
}

static enum err read_run(struct txn *t, struct store_op *op)
{
	struct feed_read *f = CONTAINER_OF(op, struct feed_read, op);
	f->t = t;
	enum err e = f->wants_killed ? late_load(t, f->zone, &f->killed) : OK;
	if (e == OK) e = txn_feed(t, f->zone, f->after, f->upto, f->limit, add_record, f, &f->end, &f->more);
	if (e != ERR_CANCELLED) return e;
	f->end = f->group_end;
	f->more = true;
	return OK;
}

static void write_page(struct server *s, struct buf *out, struct str records, int64_t upto, bool more)
{
	struct jw w = JW(out);
	jw_obj(&w);
	jw_kstr(&w, "type", STR("session:changes"));
	jw_key(&w, "records");
	buf_add_char(out, '[');
	buf_add_str(out, records);
	buf_add_char(out, ']');
	w.comma = true;
	jw_key(&w, "cursor");
	write_cursor(s, &w, upto);
	jw_kbool(&w, "more", more);
	jw_obj_end(&w);
}

static void sub_read(struct sub *s);

/* Hands a page to a follower. False: blocked, nothing was taken. */
static bool sub_deliver(struct sub *s, struct str records, int64_t upto, bool more)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	write_page(s->user->server, &b, records, upto, more);
	struct frame *f = frame_text(buf_str(&b));
	bool ok = s->kind->deliver(s, f, buf_str(&b), upto);
	frame_unref(f);
	buf_release(&b);
	if (ok) {
		s->sent = upto;
		s->greeted = true;
		s->quiet = false;
	} else {
		s->blocked = true;
		s->live = false;
	}
	return ok;
}

static void read_done(struct store_op *op)
{
	struct feed_read *f = CONTAINER_OF(op, struct feed_read, op);
	struct sub *s = f->sub;
	if (s != NULL) {
		s->reading = NULL;
		if (op->err == OK && f->wants_killed) late_loaded(s->user, &f->killed);
		if (op->err != OK) s->kind->fail(s, op->err, &op->info);
		else if (sub_deliver(s, buf_str(&f->json), f->end, f->more || f->end < s->user->seq)) sub_read(s);
	}
	buf_release(&f->json);
	store_op_release(op);
	free(f);
}

static struct feed_read *read_new(struct server *s, const struct live_user *u, uint32_t principal, int64_t after,
				  int64_t limit)
{
	struct feed_read *f = xcalloc(1, sizeof *f);
	f->server = s;
	f->zone = u->zone;
	f->after = f->group_end = after;
	f->upto = u->seq;
	f->limit = limit;
	f->late = late_filter(u, principal);
	buf_init(&f->json, BUF_NO_LIMIT);
	store_op_init(&f->op, read_run, read_done, 0, clock_wall_ms());
	return f;
}

/* Goes on until the follower is where the announcements are; then it is live. */
static void sub_read(struct sub *s)
{
	if (s->reading != NULL || s->blocked || s->live || s->user->server->stopping) return;
	struct live_user *u = s->user;
	if (s->sent >= u->seq && u->killed_known) {
		if (s->greeted || sub_deliver(s, STR(""), s->sent, false)) s->live = true;
		return;
	}
	struct feed_read *f = read_new(u->server, u, s->owner, s->sent, u->server->config->limits.page_records);
	f->sub = s;
	f->wants_killed = !u->killed_known;
	s->reading = f;
	store_read(u->server->store, &f->op);
}

void sub_start(struct sub *s, struct live_user *u, const struct sub_kind *kind, uint32_t principal, int64_t after)
{
	s->kind = kind;
	s->user = u;
	s->principal = principal;
	s->sent = after;
	s->started = true;
	LIST_INSERT_HEAD(&u->subs, s, in_user);
	sub_read(s);
}

void sub_ready(struct sub *s)
{
	if (!s->started || !s->blocked) return;
	s->blocked = false;
	sub_read(s);
}

void sub_stop(struct sub *s)
{
	if (!s->started) return;
	s->started = false;
	LIST_REMOVE(s, in_user);
	if (s->reading != NULL) s->reading->sub = NULL;
	s->reading = NULL;
}

/* ---- announcing ------------------------------------------------------------------------------------------------- */

static void note_zone(struct server *s, uint32_t zone, int64_t seq)
{
	struct zone_seen *z;
	HASH_FIND(hh, s->zones_seen, &zone, sizeof zone, z);
	if (z == NULL) {
		z = xcalloc(1, sizeof *z);
		z->zone = zone;
		HASH_ADD(hh, s->zones_seen, zone, sizeof z->zone, z);
	}
	z->seq = MAX(z->seq, seq);
}

static bool anybody_wants(const struct live_user *u, uint32_t author)
{
	struct sub *s;
	LIST_FOREACH (s, &u->subs, in_user)
		if (s->live && (s->principal != author || author == 0)) return true;
	return false;
}

static void add_entry(struct live_user *u, const struct record *r)
{
	if (u->nentries == u->cap_entries) {
		u->cap_entries = MAX(u->cap_entries * 2, (size_t)16);
		u->entries = xrealloc(u->entries, xmul(u->cap_entries, sizeof *u->entries));
	}
	struct feed_entry *e = &u->entries[u->nentries++];
	*e = (struct feed_entry){.author = r->modified_by, .from = u->batch.n};
	if (!anybody_wants(u, r->modified_by)) return;
	e->late_from = late_from(u, r, &e->is_unsure);
	struct jw w = JW(&u->batch);
	write_record(u->server, &w, r);
	e->len = u->batch.n - e->from;
}

static void fall_behind(struct live_user *u)
{
	struct sub *s;
	LIST_FOREACH (s, &u->subs, in_user) s->live = false;
}

void feed_changed(void *ctx, struct store_op *op)
{
	struct server *s = ctx;
	struct change *c;
	STAILQ_FOREACH (c, &op->changes, link) {
		struct live_user *u;
		HASH_FIND(by_zone, s->users_by_zone, &c->rec.zone, sizeof c->rec.zone, u);
		if (u == NULL) {
			note_zone(s, c->rec.zone, c->rec.seq);
			continue;
		}
		if (c->rec.seq <= u->seq) continue;
		if (c->rec.seq != u->seq + 1) fall_behind(u);
		u->seq = c->rec.seq;
		if (c->rec.type != RT_SYNC_STATE) u->content_seq = u->seq;
		add_entry(u, &c->rec);
		if (!u->announced) STAILQ_INSERT_TAIL(&s->announce, u, in_announce);
		u->announced = true;
		if (c->rec.type == RT_SESSION) late_committed(u, &c->rec);
		if (c->rec.type == RT_SESSION) auto_session(s, u->user, &c->rec, true);
	}
}

static bool is_hidden(const struct feed_entry *e, uint32_t principal)
{
	return e->late_from != 0 && principal != 0 && (int64_t)principal >= e->late_from;
}

/* The records of the commit that are not by `author` and that `reader` may see (0: all of them). */
static void gather(const struct live_user *u, uint32_t author, uint32_t reader, struct buf *out)
{
	for (size_t i = 0; i < u->nentries; i++) {
		const struct feed_entry *e = &u->entries[i];
		if (e->len == 0 || (author != 0 && e->author == author) || is_hidden(e, reader)) continue;
		if (out->n > 0) buf_add_char(out, ',');
		buf_add(out, u->batch.p + e->from, e->len);
	}
}

static bool is_author(const struct live_user *u, uint32_t principal)
{
	for (size_t i = 0; i < u->nentries; i++)
		if (principal != 0 && u->entries[i].author == principal) return true;
	return false;
}

/* Does the commit hold something that this late device may not see, or that it must read to know? */
static bool is_late_for(const struct live_user *u, const struct sub *s, bool *must_read)
{
	bool late = false;
	*must_read = false;
	if (!late_is(u, s->owner)) return false;
	for (size_t i = 0; i < u->nentries; i++) {
		late |= is_hidden(&u->entries[i], s->owner);
		*must_read |= u->entries[i].is_unsure;
	}
	return late;
}

/* A frame of its own: what it did not save itself and may see. */
static void announce_alone(struct sub *s)
{
	struct buf own = BUF_INIT(BUF_NO_LIMIT);
	gather(s->user, s->principal, s->owner, &own);
	if (own.n > 0) {
		(void)sub_deliver(s, buf_str(&own), s->user->seq, false);
	} else {
		s->sent = s->user->seq;
		s->quiet = true;
	}
	buf_release(&own);
}

static void announce(struct live_user *u)
{
	struct buf all = BUF_INIT(BUF_NO_LIMIT), page = BUF_INIT(BUF_NO_LIMIT);
	struct frame *f = NULL;
	if (u->batch.n > 2 * FRAME_SOFT_BYTES) fall_behind(u);
	for (struct sub *s = LIST_FIRST(&u->subs), *next; s != NULL; s = next) {
		next = LIST_NEXT(s, in_user);
		bool must_read, late = is_late_for(u, s, &must_read);
		if (must_read) s->live = false;
		if (!s->live) {
			sub_read(s);
		} else if (late || is_author(u, s->principal)) {
			announce_alone(s);
		} else {
			if (f == NULL) {
				gather(u, 0, 0, &all);
				write_page(u->server, &page, buf_str(&all), u->seq, false);
				f = frame_text(buf_str(&page));
			}
			s->live = s->kind->deliver(s, f, buf_str(&page), u->seq);
			s->blocked = !s->live;
			if (s->live) {
				s->sent = u->seq;
				s->quiet = false;
			}
		}
	}
	if (f != NULL) frame_unref(f);
	buf_release(&all);
	buf_release(&page);
	buf_clear(&u->batch);
	u->nentries = 0;
}

/* ---- one page for a call, and waiting for one ------------------------------------------------------------------- */

struct feed_wait {
	struct call *call;
	int64_t after, limit, until_boot_ms;
	LIST_ENTRY(feed_wait) link;
};

static void page_read(struct call *c, int64_t after, int64_t limit, int64_t until_boot_ms);

static void page_done(struct store_op *op)
{
	struct feed_read *f = CONTAINER_OF(op, struct feed_read, op);
	struct call *c = f->call;
	struct server *s = f->server;
	if (op->err != OK) {
		call_fail(c, op->err, &op->info, STR_NONE);
	} else if (f->nrecords == 0 && f->until > clock_boot_ms() && (c->req != NULL || c->peer != NULL) &&
		   !s->stopping) {
		if (c->user->seq > f->upto) {
			page_read(c, f->after, f->limit, f->until);
		} else {
			struct feed_wait *wait = xcalloc(1, sizeof *wait);
			*wait = (struct feed_wait){
				.call = c, .after = f->after, .limit = f->limit, .until_boot_ms = f->until};
			LIST_INSERT_HEAD(&c->user->waits, wait, link);
		}
	} else {
		struct jw w = call_begin(c, "session:changes");
		jw_key(&w, "records");
		buf_add_char(&c->out, '[');
		buf_add_str(&c->out, buf_str(&f->json));
		buf_add_char(&c->out, ']');
		w.comma = true;
		jw_key(&w, "cursor");
		write_cursor(s, &w, f->end);
		jw_kbool(&w, "more", f->more);
		call_reply(c, &w);
	}
	buf_release(&f->json);
	store_op_release(op);
	free(f);
}

static void page_read(struct call *c, int64_t after, int64_t limit, int64_t until_boot_ms)
{
	if (c->server->stopping) {
		call_fail(c, ERR_SHUTTING_DOWN, NULL, STR_NONE);
		return;
	}
	struct feed_read *f = read_new(c->server, c->user, c->principal, after, limit);
	f->op.done = page_done;
	f->call = c;
	f->until = until_boot_ms;
	store_read(c->server->store, &f->op);
}

void feed_page(struct call *c, int64_t after, int64_t limit, int64_t wait_ms)
{
	page_read(c, after, limit, wait_ms > 0 ? clock_boot_ms() + wait_ms : 0);
}

/* Ends the waits that are due (`all`: every one); each reads once more and answers what it finds. */
static void wake_waits(struct live_user *u, bool all)
{
	int64_t now = clock_boot_ms();
	for (struct feed_wait *w = LIST_FIRST(&u->waits), *next; w != NULL; w = next) {
		next = LIST_NEXT(w, link);
		bool gone = w->call->req == NULL && w->call->peer == NULL;
		if (!all && !gone && now < w->until_boot_ms) continue;
		LIST_REMOVE(w, link);
		page_read(w->call, w->after, w->limit, all ? w->until_boot_ms : 0);
		free(w);
	}
}

void feed_batch_end(void *ctx)
{
	struct server *s = ctx;
	struct live_user *u;
	while ((u = STAILQ_FIRST(&s->announce)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->announce, in_announce);
		u->announced = false;
		announce(u);
		wake_waits(u, true);
	}
}

/* Once a second: cursors of those who only heard of their own records, and polls whose time is up. */
void feed_tick(struct server *s)
{
	for (struct live_user *u = s->users; u != NULL; u = u->hh.next) {
		for (struct sub *k = LIST_FIRST(&u->subs), *next; k != NULL; k = next) {
			next = LIST_NEXT(k, in_user);
			if (k->live && k->quiet) (void)sub_deliver(k, STR(""), k->sent, false);
			if (k->kind->poll != NULL) k->kind->poll(k);
		}
		wake_waits(u, false);
	}
}

void feed_kick(struct server *s, int64_t user, uint32_t principal)
{
	struct live_user *u;
	HASH_FIND(hh, s->users, &user, sizeof user, u);
	if (u == NULL) return;
	for (struct sub *k = LIST_FIRST(&u->subs), *next; k != NULL; k = next) {
		next = LIST_NEXT(k, in_user);
		if (principal == 0 || k->owner == principal) k->kind->fail(k, ERR_UNAUTHORIZED, NULL);
	}
	for (struct feed_wait *w = LIST_FIRST(&u->waits), *next; w != NULL; w = next) {
		next = LIST_NEXT(w, link);
		if (principal != 0 && w->call->principal != principal) continue;
		LIST_REMOVE(w, link);
		call_fail(w->call, ERR_UNAUTHORIZED, NULL, STR_NONE);
		free(w);
	}
}

void feed_end_waits(struct server *s)
{
	for (struct live_user *u = s->users; u != NULL; u = u->hh.next) wake_waits(u, true);
}
