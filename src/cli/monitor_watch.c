#include "cli/monitor_watch.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "event/lab_log.h"

#define WHOLE_BYTES ((int64_t)256 << 10) /* a manifest up to this is read with its conversations */
#define READ_SHARE 50                    /* reading one takes at most a fiftieth of the time */
#define TICK_US 40000                    /* for what is seen at once */
#define LIST_AGAIN_MS 10000              /* a file system may not tell that a directory has changed */
#define ERRORS_OF_MS 600000              /* errors of conversations that ended in the last ten minutes are shown */

/* An event file that is read as it grows. */
struct follow {
	char *path;
	struct monitor_row *row;
	int64_t next, size; /* where its next line begins; its size at the last look, -1 none yet */
	bool is_over;       /* its conversation is: it is not read any more */
	bool is_marked;
	UT_hash_handle hh;
};

struct watch {
	struct monitor *m;
	struct timespec listed_at; /* the output's time when it was listed */
	int64_t listed_boot_ms;    /* 0 never */
	struct follow *follows, *next_follow;
	size_t next_row;                  /* of those in the background */
	const struct monitor_row *opened; /* whose conversations were tried to be read last */
	struct follow messages;           /* of the conversation whose messages are shown; path NULL none */
	bool follows_due;                 /* since the last tick */
	char messages_id[16];
};

struct watch *watch_new(struct monitor *m)
{
	struct watch *w = xcalloc(1, sizeof *w);
	w->m = m;
	return w;
}

static void follow_drop(struct watch *w, struct follow *f)
{
	if (w->next_follow == f) w->next_follow = f->hh.next;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the analyser cannot follow uthash */
	HASH_DEL(w->follows, f);
	free(f->path);
	free(f);
}

void watch_free(struct watch *w)
{
	while (w->follows != NULL) follow_drop(w, w->follows);
	free(w->messages.path);
	free(w);
}

/* ---- event files ------------------------------------------------------------------------------------------------ */

/* A conversation's id from a manifest that anybody may have written; no other file is meant by it. */
static bool is_plain_id(const char *id)
{
	if (id[0] == '\0') return false;
	for (const char *p = id; *p != '\0'; p++) {
		bool is_letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
		if (!is_letter && *p != '_' && *p != '-') return false;
	}
	return true;
}

static char *events_path(const char *dir, const char *conversation)
{
	char *path = NULL;
	if (asprintf(&path, "%s/events_%s.jsonl", dir, conversation) < 0) die(err_exit(ERR_NOMEM), "out of memory");
	return path;
}

/* Tells what is new in a file. A line that was cut in front is passed over as a bad one. */
static void follow_read(struct follow *f, enum err (*fn)(void *, const struct lab_event *), void *ctx)
{
	struct stat st;
	struct lab_file_end end;
	if (lstat(f->path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == f->size) return;
	bool is_first = f->size < 0 || st.st_size < f->next;
	int64_t most = is_first ? FOLLOW_BYTES : FOLLOW_MORE;
	if (is_first) f->next = 0;
	f->next = MAX(f->next, (int64_t)st.st_size - most);
	f->size = st.st_size;
	if (lab_file_read(f->path, f->next, fn, ctx, &end, NULL) == OK) f->next = end.good_bytes;
}

struct telling {
	struct monitor *m;
	const struct monitor_row *row;
	int64_t since_us;
};

static enum err tell_event(void *ctx, const struct lab_event *e)
{
	const struct telling *t = ctx;
	if (e->at_us >= t->since_us) monitor_put_event(t->m, t->row, e);
	return OK;
}

static enum err tell_message(void *ctx, const struct lab_event *e)
{
	monitor_put_message(ctx, e);
	return OK;
}

static void follow_errors(struct watch *w, struct follow *f)
{
	struct telling t = {w->m, f->row, (w->m->wall_ms - ERRORS_OF_MS) * 1000};
	follow_read(f, tell_event, &t);
}

/* Follows the conversations that go on, and reads to its end what has gone wrong lately. */
static void follow_row(struct watch *w, struct monitor_row *r, const struct manifest *of)
{
	struct follow *f, *next;
	for (size_t i = 0; i < of->n; i++) {
		const struct manifest_conversation *c = &of->list[i];
		bool is_over = c->status != LAB_RUNNING;
		bool is_news = c->errors > 0 && MAX(c->ended_ms, c->updated_ms) > w->m->wall_ms - ERRORS_OF_MS;
		if (c->status == LAB_CREATED || (is_over && !is_news) || !is_plain_id(c->id)) continue;
		char *path = events_path(r->dir, c->id);
		HASH_FIND_STR(w->follows, path, f);
		if (f == NULL) {
			f = xcalloc(1, sizeof *f);
			*f = (struct follow){.path = path, .row = r, .size = -1};
			HASH_ADD_KEYPTR(hh, w->follows, f->path, strlen(f->path), f);
			path = NULL;
		}
		f->is_marked = true;
		if (!is_over) f->is_over = false;
		else if (!f->is_over) follow_errors(w, f);
		f->is_over = is_over;
		free(path);
	}
	for (f = w->follows; f != NULL; f = next) {
		next = f->hh.next;
		if (f->row != r) continue;
		if (!f->is_marked) {
			if (!f->is_over) follow_errors(w, f);
			follow_drop(w, f);
		} else {
			f->is_marked = false;
		}
	}
}

static void read_messages(struct watch *w)
{
	struct monitor *m = w->m;
	bool is_same = m->in_messages && w->messages.path != NULL && w->messages.row == m->messages_of &&
		       strcmp(w->messages_id, m->conversation) == 0;
	if (!is_same) {
		free(w->messages.path);
		w->messages = (struct follow){.row = m->messages_of, .size = -1};
		memcpy(w->messages_id, m->conversation, sizeof w->messages_id);
		if (m->in_messages && m->messages_of != NULL && is_plain_id(m->conversation))
			w->messages.path = events_path(m->messages_of->dir, m->conversation);
	}
	if (w->messages.path == NULL) return;
	if (w->messages.size < 0) monitor_forget_messages(m);
	follow_read(&w->messages, tell_message, m);
}

/* ---- manifests -------------------------------------------------------------------------------------------------- */

static int64_t ns_of(const struct timespec *t) { return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec; }

static bool is_changed(struct monitor_row *r, const struct stat *st)
{
	return r->is == ROW_UNREAD || r->file_ns != ns_of(&st->st_mtim) || r->file_bytes != st->st_size ||
	       r->file_inode != (int64_t)st->st_ino;
}

/* One that is starting has no manifest yet, and is looked at again. */
static void damaged(struct watch *w, struct monitor_row *r, const char *why)
{
	monitor_put_damaged(w->m, r, why);
	if (place_pid(r->dir) == 0) r->runs = false;
	if (w->m->manifest_of == r) w->m->manifest_of = NULL;
}

static void load(struct watch *w, struct monitor_row *r, const struct stat *st)
{
	struct look l;
	struct errinfo info = {0};
	int64_t begun_us = clock_boot_us();
	bool is_opened = r == w->m->chosen;
	bool is_whole = is_opened || r->runs || st->st_size <= WHOLE_BYTES;
	enum err e = look_at(r->dir, is_whole, &l, &info);
	r->file_ns = ns_of(&st->st_mtim);
	r->file_bytes = st->st_size;
	r->file_inode = (int64_t)st->st_ino;
	if (e != OK) {
		const char *why =
			e == ERR_BAD_JSON && info.text[0] == '\0' ? "its manifest is damaged" : err_sentence(&info, e);
		damaged(w, r, why);
	} else {
		bool was_live = r->runs;
		if (was_live) r->changed_ms = r->file_ns / 1000000;
		monitor_put_look(w->m, r, &l);
		if (is_whole && (r->runs || was_live)) follow_row(w, r, &l.m);
		if (is_opened) monitor_put_conversations(w->m, r, &l.m);
	}
	look_release(&l);
	r->due_boot_ms = clock_boot_ms() + (clock_boot_us() - begun_us) * READ_SHARE / 1000;
}

/* Reads a row's manifest when it has to be. */
static void look_row(struct watch *w, struct monitor_row *r)
{
	struct stat st;
	char *path = NULL;
	bool is_opened = r == w->m->chosen && w->m->manifest_of != r && w->opened != r;
	if (!is_opened && r->is != ROW_UNREAD && w->m->boot_ms < r->due_boot_ms) return;
	if (asprintf(&path, "%s/" MANIFEST_FILE, r->dir) < 0) die(err_exit(ERR_NOMEM), "out of memory");
	bool is_there = lstat(path, &st) == 0;
	free(path);
	if (r == w->m->chosen) w->opened = r;
	if (!is_there) {
		damaged(w, r, "it has no " MANIFEST_FILE);
		return;
	}
	/* The manifest of one that was killed does not change. */
	bool has_ended = r->is == ROW_READ && r->runs && place_pid(r->dir) == 0;
	if (is_opened || has_ended || is_changed(r, &st)) load(w, r, &st);
}

/* ---- what there is ---------------------------------------------------------------------------------------------- */

static void list_again(struct watch *w)
{
	struct monitor *m = w->m;
	struct place_list l;
	struct errinfo info = {0};
	struct stat st = {0};
	bool is_there = stat(m->output, &st) == 0;
	bool is_same = is_there && ns_of(&st.st_mtim) == ns_of(&w->listed_at);
	if (is_same && w->listed_boot_ms > 0 && m->boot_ms - w->listed_boot_ms < LIST_AGAIN_MS) return;
	w->listed_at = st.st_mtim;
	w->listed_boot_ms = m->boot_ms;
	enum err e = place_list(m->output, &l, &info);
	m->trouble[0] = '\0';
	if (e != OK) snprintf(m->trouble, sizeof m->trouble, "%s", err_sentence(&info, e));
	else if (!is_there) snprintf(m->trouble, sizeof m->trouble, "there is no directory %.200s yet", m->output);
	monitor_put_list(m, &l);
	place_list_release(&l);
	w->next_row = 0;
}

/* The files of rows that went are followed no more. */
static void forget_gone(struct watch *w)
{
	struct follow *next;
	for (struct follow *f = w->follows; f != NULL; f = next) {
		next = f->hh.next;
		HASH_FIND(hh, w->m->by_dir, f->path, (size_t)(strrchr(f->path, '/') - f->path), f->row);
		if (f->row == NULL) follow_drop(w, f);
	}
	if (w->m->messages_of != w->messages.row) w->messages.row = NULL;
	w->opened = NULL;
}

static void find_running(struct watch *w)
{
	struct place_list l;
	if (place_running(w->m->output, &l, NULL) == OK) monitor_put_running(w->m, &l);
	place_list_release(&l);
}

static bool is_visible(const struct monitor *m, size_t i)
{
	const struct monitor_list *l = &m->list[PANEL_EXPERIMENTS];
	return i >= l->top && i < l->top + l->page;
}

void watch_tick(struct watch *w)
{
	struct monitor *m = w->m;
	uint64_t listing = m->listing;
	int64_t end_us = clock_boot_us() + TICK_US;
	list_again(w);
	if (m->listing != listing) forget_gone(w);
	find_running(w);
	monitor_arrange(m);
	if (m->chosen != NULL) look_row(w, m->chosen);
	for (size_t i = 0; i < m->list[PANEL_EXPERIMENTS].n && clock_boot_us() < end_us; i++)
		if (is_visible(m, i)) look_row(w, m->shown[i]);
	for (size_t i = 0; i < m->nrows && clock_boot_us() < end_us; i++)
		if (m->rows[i]->runs) look_row(w, m->rows[i]);
	monitor_arrange(m);
	w->next_follow = w->follows;
	w->follows_due = true;
}

bool watch_idle(struct watch *w, int64_t for_us)
{
	struct monitor *m = w->m;
	int64_t end_us = clock_boot_us() + for_us;
	if (m->chosen != NULL && m->manifest_of != m->chosen && w->opened != m->chosen) look_row(w, m->chosen);
	read_messages(w);
	while (w->follows_due && clock_boot_us() < end_us) {
		struct follow *f = w->next_follow;
		w->follows_due = f != NULL;
		if (f == NULL) break;
		w->next_follow = f->hh.next;
		if (!f->is_over) follow_errors(w, f);
	}
	while (m->nunread > 0 && w->next_row < m->nrows && clock_boot_us() < end_us) {
		struct monitor_row *r = m->rows[w->next_row++];
		if (r->is == ROW_UNREAD) look_row(w, r);
	}
	monitor_arrange(m);
	return w->follows_due || (m->nunread > 0 && w->next_row < m->nrows);
}
