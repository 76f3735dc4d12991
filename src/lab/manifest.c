/* What is written, and when.
 *
 * The file is JSON with a line for each of Pidgin's top-level keys and one line for each conversation:
 *
 *     {
 *       "experiment_id": "experiment_1a2b3c4d",
 *       …
 *       "conversations": {
 *         "conv_0a1b2c3d": {"status":"running",…},
 *         "conv_4e5f6071": {"status":"created",…}
 *       },
 *       "started_at": …
 *     }
 *
 * The lines around the conversations are those of JSON that is indented by two, Pidgin's too: that is how a reader that
 * only wants the counts passes over a megabyte of conversations (manifest_load.c). */
#include "lab/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

#define PART_FILE MANIFEST_FILE ".new"
#define SAVE_EVERY_MS 250
#define SAVE_SHARE 50 /* of the time at most a fiftieth */

static const char *const experiment_names[] = {
	[EXPERIMENT_CREATED] = "created",
	[EXPERIMENT_RUNNING] = "running",
	[EXPERIMENT_PAUSED] = "paused",
	[EXPERIMENT_COMPLETED] = "completed",
	[EXPERIMENT_WITH_FAILURES] = "completed_with_failures",
	[EXPERIMENT_FAILED] = "failed",
	[EXPERIMENT_INTERRUPTED] = "interrupted",
};
static const char *const lab_names[] = {
	[LAB_CREATED] = "created", [LAB_RUNNING] = "running",         [LAB_COMPLETED] = "completed",
	[LAB_FAILED] = "failed",   [LAB_INTERRUPTED] = "interrupted",
};

const char *experiment_status_name(enum experiment_status s) { return experiment_names[s]; }
const char *lab_status_name(enum lab_status s) { return lab_names[s]; }

bool experiment_status_parse(struct str name, enum experiment_status *out)
{
	for (size_t i = 0; i < ARRAY_LEN(experiment_names); i++) {
		if (!str_eq(name, str_c(experiment_names[i]))) continue;
		*out = (enum experiment_status)i;
		return true;
	}
	return false;
}

bool lab_status_parse(struct str name, enum lab_status *out)
{
	for (size_t i = 0; i < ARRAY_LEN(lab_names); i++) {
		if (!str_eq(name, str_c(lab_names[i]))) continue;
		*out = (enum lab_status)i;
		return true;
	}
	return false;
}

/* ---- state ------------------------------------------------------------------------------------------------------ */

void manifest_init(struct manifest *m) { *m = (struct manifest){0}; }

void manifest_release(struct manifest *m)
{
	arena_clear(&m->memory);
	free(m->list);
	manifest_init(m);
}

struct manifest_conversation *manifest_add(struct manifest *m, const char *id)
{
	if (m->n == m->cap) {
		m->cap = MAX(m->cap * 2, (size_t)8);
		m->list = xrealloc(m->list, xmul(m->cap, sizeof *m->list));
	}
	struct manifest_conversation *c = &m->list[m->n++];
	*c = (struct manifest_conversation){.status = LAB_CREATED, .convergence = (double)NAN};
	str_copy(str_c(id), c->id, sizeof c->id);
	m->count[LAB_CREATED]++;
	m->is_dirty = true;
	return c;
}

struct manifest_conversation *manifest_find(struct manifest *m, struct str id)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq(str_c(m->list[i].id), id)) return &m->list[i];
	return NULL;
}

void manifest_set(struct manifest *m, struct manifest_conversation *c, enum lab_status status)
{
	m->count[c->status]--;
	m->count[status]++;
	c->status = status;
	m->is_dirty = true;
}

/* What comes from a file may be anything; a sum does not wrap. */
static int64_t sum(int64_t a, int64_t b)
{
	int64_t r;
	return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
}

void manifest_tokens_add(struct manifest_tokens *to, const struct manifest_tokens *t)
{
	to->prompt = sum(to->prompt, t->prompt);
	to->completion = sum(to->completion, t->completion);
	to->thinking = sum(to->thinking, t->thinking);
	to->cost_ticks = sum(to->cost_ticks, t->cost_ticks);
	to->reported_ticks = sum(to->reported_ticks, t->reported_ticks);
	to->unpriced |= t->unpriced;
	to->estimated |= t->estimated;
}

void manifest_spend(struct manifest *m, struct manifest_conversation *c, int agent, const struct manifest_tokens *t)
{
	ASSERT(agent >= 0 && agent < MANIFEST_AGENTS);
	manifest_tokens_add(&c->tokens[agent], t);
	manifest_tokens_add(&m->total, t);
	m->is_dirty = true;
}

void manifest_touch(struct manifest *m) { m->is_dirty = true; }

int64_t manifest_due(const struct manifest *m) { return m->is_dirty ? m->due_boot_ms : INT64_MAX; }

size_t manifest_total(const struct manifest *m)
{
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(m->count); i++) n += m->count[i];
	return n;
}

/* ---- printing --------------------------------------------------------------------------------------------------- */

/* The next member or element begins on a line of its own. */
static void begin_line(struct jw *w, const char *indent)
{
	if (w->comma) buf_add_char(w->b, ',');
	buf_add_char(w->b, '\n');
	buf_add_str(w->b, str_c(indent));
	w->comma = false;
}

static void key(struct jw *w, const char *name)
{
	begin_line(w, "  ");
	jw_key(w, name);
	buf_add_char(w->b, ' ');
}

static void key_str(struct jw *w, const char *name, struct str s)
{
	key(w, name);
	jw_str(w, s);
}

static void key_int(struct jw *w, const char *name, int64_t v)
{
	key(w, name);
	jw_int(w, v);
}

/* A sentence that was cut to its room may end in the middle of a character, which no JSON may hold. */
static struct str whole(const char *text)
{
	struct str s = str_c(text);
	while (!utf8_is_valid(s)) s.n--;
	return s;
}

static void time_or_null(struct jw *w, int64_t wall_ms)
{
	if (wall_ms > 0) jw_time(w, wall_ms);
	else jw_null(w);
}

static void key_time(struct jw *w, const char *name, int64_t wall_ms)
{
	key(w, name);
	time_or_null(w, wall_ms);
}

static void print_tokens(struct jw *w, const struct manifest_tokens *t, struct str model)
{
	jw_obj(w);
	jw_kint(w, "prompt_tokens", t->prompt);
	jw_kint(w, "completion_tokens", t->completion);
	jw_kint(w, "total_tokens", sum(t->prompt, t->completion));
	if (model.p != NULL) jw_kstr(w, "model", model);
	jw_kint(w, "thinking_tokens", t->thinking);
	jw_kint(w, "cost_ticks", t->cost_ticks);
	jw_kint(w, "reported_ticks", t->reported_ticks);
	if (t->unpriced) jw_kbool(w, "unpriced", true);
	if (t->estimated) jw_kbool(w, "estimated", true);
	jw_obj_end(w);
}

static void print_usage(struct jw *w, const struct manifest *m, const struct manifest_conversation *c)
{
	int64_t total = 0;
	jw_key(w, "token_usage");
	jw_obj(w);
	for (size_t i = 0; i < m->nagents; i++) {
		char name[] = "agent_a";
		name[sizeof name - 2] = (char)('a' + i);
		jw_key(w, name);
		print_tokens(w, &c->tokens[i], m->agent_models[i].p != NULL ? m->agent_models[i] : STR(""));
		total = sum(total, sum(c->tokens[i].prompt, c->tokens[i].completion));
	}
	jw_kint(w, "total", total);
	jw_obj_end(w);
}

static void print_conversation(struct jw *w, const struct manifest *m, const struct manifest_conversation *c)
{
	char file[sizeof c->id + 16];
	snprintf(file, sizeof file, "events_%s.jsonl", c->id);
	begin_line(w, "    ");
	jw_key_str(w, str_c(c->id));
	buf_add_char(w->b, ' ');
	jw_obj(w);
	jw_kstr(w, "status", str_c(lab_status_name(c->status)));
	jw_kstr(w, "jsonl", str_c(file));
	jw_kint(w, "last_line", c->lines);
	jw_kint(w, "total_turns", c->turns);
	jw_key(w, "last_updated");
	time_or_null(w, c->updated_ms);
	if (c->error[0] != '\0') jw_kstr(w, "error", whole(c->error));
	print_usage(w, m, c);
	if (c->reason != NULL) jw_kstr(w, "reason", str_c(c->reason));
	jw_kint(w, "messages", c->messages);
	jw_key(w, "started_at");
	time_or_null(w, c->started_ms);
	jw_key(w, "ended_at");
	time_or_null(w, c->ended_ms);
	jw_key(w, "convergence");
	jw_real(w, c->convergence);
	jw_kint(w, "truncations", c->truncations);
	jw_kint(w, "errors", c->errors);
	jw_kint(w, "retries", c->retries);
	jw_obj_end(w);
}

static void print_counts(struct jw *w, const struct manifest *m)
{
	key_time(w, "started_at", m->started_ms);
	key_int(w, "completed_conversations", (int64_t)m->count[LAB_COMPLETED]);
	key_int(w, "failed_conversations", (int64_t)m->count[LAB_FAILED]);
	key_int(w, "running_conversations", (int64_t)m->count[LAB_RUNNING]);
	key_time(w, "completed_at", m->completed_ms);
	if (m->error[0] != '\0') key_str(w, "error", whole(m->error));
	key_int(w, "interrupted_conversations", (int64_t)m->count[LAB_INTERRUPTED]);
	key(w, "agents");
	jw_arr(w);
	for (size_t i = 0; i < m->nagents; i++) jw_str(w, m->agent_models[i].p != NULL ? m->agent_models[i] : STR(""));
	jw_arr_end(w);
	key(w, "token_usage");
	print_tokens(w, &m->total, STR_NONE);
	key(w, "seed"); /* as text: not every reader of JSON has 64 bits */
	char seed[24];
	snprintf(seed, sizeof seed, "%llu", (unsigned long long)m->seed);
	jw_str(w, str_c(seed));
	key(w, "redacted");
	jw_bool(w, m->redacted);
	key_int(w, "pid", m->pid);
}

void manifest_print(const struct manifest *m, struct buf *out)
{
	struct jw w = JW(out);
	jw_obj(&w);
	key_str(&w, "experiment_id", m->experiment_id);
	key_str(&w, "name", m->name);
	key_time(&w, "created_at", m->created_ms);
	key(&w, "config");
	jw_raw(&w, m->config.n > 0 ? m->config : STR("{}"));
	key_int(&w, "total_conversations", (int64_t)manifest_total(m));
	key_str(&w, "status", str_c(experiment_status_name(m->status)));
	key(&w, "conversations");
	jw_obj(&w);
	for (size_t i = 0; i < m->n; i++) print_conversation(&w, m, &m->list[i]);
	if (m->n > 0) buf_add_str(out, STR("\n  "));
	jw_obj_end(&w);
	print_counts(&w, m);
	buf_add_char(out, '\n');
	jw_obj_end(&w);
	buf_add_char(out, '\n');
}

/* ---- saving ----------------------------------------------------------------------------------------------------- */

static bool write_all(int fd, struct str s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return false;
		s = str_n(s.p + n, s.n - (size_t)n);
	}
	return true;
}

static enum err save_err(const char *dir, int os, struct errinfo *info)
{
	enum err e = os_has_no_room(os) ? ERR_STORAGE_FULL : ERR_IO;
	return err_set(info, e, "%.140s/" MANIFEST_FILE " cannot be written: %s", dir, strerror(os));
}

static bool is_over(const struct manifest *m)
{
	return m->status != EXPERIMENT_CREATED && m->status != EXPERIMENT_RUNNING && m->status != EXPERIMENT_PAUSED;
}

/* The directory is synced only when there is no next time: until then an older manifest after a power cut does no harm. */
static enum err put(const struct manifest *m, const char *dir, struct str text, struct errinfo *info)
{
	enum err e = OK;
	int fd = -1, dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd >= 0) fd = openat(dirfd, PART_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || !write_all(fd, text) || fsync(fd) != 0 || renameat(dirfd, PART_FILE, dirfd, MANIFEST_FILE) != 0 ||
	    (is_over(m) && fsync(dirfd) != 0))
		e = save_err(dir, errno, info);
	if (fd >= 0) {
		close(fd);
		if (e != OK) unlinkat(dirfd, PART_FILE, 0);
	}
	if (dirfd >= 0) close(dirfd);
	return e;
}

enum err manifest_save(struct manifest *m, const char *dir, int64_t boot_ms, struct errinfo *info)
{
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	int64_t begun_us = clock_boot_us();
	manifest_print(m, &text);
	enum err e = put(m, dir, buf_str(&text), info);
	buf_release(&text);
	m->took_ms = MAX((clock_boot_us() - begun_us + 999) / 1000, (int64_t)1);
	m->due_boot_ms = boot_ms + m->took_ms + MAX(m->took_ms * SAVE_SHARE, (int64_t)SAVE_EVERY_MS);
	if (e == OK) m->is_dirty = false;
	return e;
}
