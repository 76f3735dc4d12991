/* Reading a manifest: ours, or one of Pidgin.
 *
 * Pidgin's times have no zone and are taken for UTC. Its conversations may have the reason of their end as their status,
 * and its experiments two states that we do not have. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "lab/manifest.h"
#include "talk/conductor.h"

#define FILE_MAX ((int64_t)512 << 20)
#define CHUNK ((size_t)64 << 10)
#define SHORTEST ((size_t)64) /* bytes of a conversation; a file of shorter ones would take a hundred times its size */

/* ---- values ----------------------------------------------------------------------------------------------------- */

static struct str text_of(const struct json *obj, const char *key)
{
	struct str s = STR("");
	json_str(json_get(obj, key), &s);
	return s;
}

static int64_t count_of(const struct json *obj, const char *key)
{
	int64_t v = 0;
	json_int(json_get(obj, key), &v);
	return MAX(v, (int64_t)0);
}

static bool flag_of(const struct json *obj, const char *key)
{
	bool v = false;
	json_bool(json_get(obj, key), &v);
	return v;
}

static int64_t time_of(const struct json *obj, const char *key)
{
	char with_zone[64];
	struct str s;
	int64_t wall_ms = 0;
	if (!json_str(json_get(obj, key), &s) || s.n + 2 > sizeof with_zone) return 0;
	if (time_parse(s, &wall_ms)) return MAX(wall_ms, (int64_t)0);
	snprintf(with_zone, sizeof with_zone, "%.*sZ", STR_ARG(s));
	return time_parse(str_c(with_zone), &wall_ms) ? MAX(wall_ms, (int64_t)0) : 0;
}

/* A copy that ends where a character does. */
static void copy_sentence(struct str s, char *out, size_t cap)
{
	size_t n = MIN(s.n, cap - 1);
	while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--;
	if (n > 0) memcpy(out, s.p, n);
	out[n] = '\0';
}

static void load_tokens(const struct json *v, struct manifest_tokens *t)
{
	*t = (struct manifest_tokens){
		.prompt = count_of(v, "prompt_tokens"),
		.completion = count_of(v, "completion_tokens"),
		.thinking = count_of(v, "thinking_tokens"),
		.cost_ticks = count_of(v, "cost_ticks"),
		.reported_ticks = count_of(v, "reported_ticks"),
		.unpriced = flag_of(v, "unpriced"),
		.estimated = flag_of(v, "estimated"),
	};
}

/* ---- conversations ---------------------------------------------------------------------------------------------- */

/* A status that is none is the reason of the end; two are only in manifests of Pidgin. */
static enum lab_status status_of_reason(struct str reason)
{
	const struct conductor_reason *known = conductor_reason_find(reason);
	enum lab_status status = LAB_COMPLETED;
	if (str_eq(reason, STR("interrupt")) || str_eq(reason, STR("cancelled"))) status = LAB_INTERRUPTED;
	else if (known != NULL) (void)lab_status_parse(str_c(known->status), &status);
	return status;
}

static void load_agents(struct manifest *m, const struct json *usage, struct manifest_conversation *c)
{
	for (size_t i = 0; i < MANIFEST_AGENTS; i++) {
		char name[] = "agent_a";
		name[sizeof name - 2] = (char)('a' + i);
		const struct json *agent = json_get(usage, name);
		if (agent == NULL) continue;
		load_tokens(agent, &c->tokens[i]);
		struct str model = text_of(agent, "model");
		m->nagents = MAX(m->nagents, i + 1);
		if (m->agent_models[i].n == 0 && model.n > 0) m->agent_models[i] = arena_str(&m->memory, model);
	}
}

static void load_conversation(struct manifest *m, struct str id, const struct json *v)
{
	struct manifest_conversation *c = manifest_add(m, "");
	struct str status = text_of(v, "status"), reason = text_of(v, "reason");
	enum lab_status known = LAB_CREATED;
	copy_sentence(id, c->id, sizeof c->id);
	if (!lab_status_parse(status, &known)) {
		known = status_of_reason(status);
		reason = status;
	}
	manifest_set(m, c, known);
	if (reason.n > 0) c->reason = arena_str(&m->memory, reason).p;
	copy_sentence(text_of(v, "error"), c->error, sizeof c->error);
	c->turns = count_of(v, "total_turns");
	c->lines = count_of(v, "last_line");
	c->messages = count_of(v, "messages");
	c->started_ms = time_of(v, "started_at");
	c->updated_ms = time_of(v, "last_updated");
	c->ended_ms = time_of(v, "ended_at");
	if (!json_real(json_get(v, "convergence"), &c->convergence)) c->convergence = (double)NAN;
	c->truncations = count_of(v, "truncations");
	c->errors = count_of(v, "errors");
	c->retries = count_of(v, "retries");
	load_agents(m, json_get(v, "token_usage"), c);
}

/* Pidgin has no sum of all. */
static void add_up(struct manifest *m)
{
	for (size_t i = 0; i < m->n; i++)
		for (size_t a = 0; a < MANIFEST_AGENTS; a++) manifest_tokens_add(&m->total, &m->list[i].tokens[a]);
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static bool load_status(struct str s, enum experiment_status *out)
{
	if (experiment_status_parse(s, out)) return true;
	if (str_eq(s, STR("post_processing"))) *out = EXPERIMENT_RUNNING;
	else if (str_eq(s, STR("cancelled"))) *out = EXPERIMENT_INTERRUPTED;
	else return false;
	return true;
}

static void load_counts(struct manifest *m, const struct json *root)
{
	static const char *const keys[] = {
		[LAB_CREATED] = "total_conversations",           [LAB_RUNNING] = "running_conversations",
		[LAB_COMPLETED] = "completed_conversations",     [LAB_FAILED] = "failed_conversations",
		[LAB_INTERRUPTED] = "interrupted_conversations",
	};
	size_t others = 0, total = (size_t)MIN(count_of(root, keys[LAB_CREATED]), (int64_t)UINT32_MAX);
	for (size_t i = LAB_RUNNING; i <= LAB_INTERRUPTED; i++) {
		m->count[i] = (size_t)MIN(count_of(root, keys[i]), (int64_t)UINT32_MAX);
		others += m->count[i];
	}
	m->count[LAB_CREATED] = total > others ? total - others : 0;
}

static void load_models(struct manifest *m, const struct json *root)
{
	const struct json *agents = json_get(root, "agents"), *config = json_get(root, "config");
	static const char *const keys[] = {"agent_a_model", "agent_b_model"};
	for (struct json_iter it = json_iter(agents); m->nagents < MANIFEST_AGENTS && json_next(&it);) {
		struct str model = STR("");
		json_str(it.val, &model);
		m->agent_models[m->nagents++] = arena_str(&m->memory, model);
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct str model = text_of(config, keys[i]);
		if (model.n == 0 || m->agent_models[i].n > 0) continue;
		m->agent_models[i] = arena_str(&m->memory, model);
		m->nagents = MAX(m->nagents, i + 1);
	}
}

static void load_seed(struct manifest *m, const struct json *v)
{
	struct str s;
	int64_t number;
	if (json_str(v, &s) && s.n > 0 && s.n < 24) m->seed = strtoull(arena_str(&m->memory, s).p, NULL, 10);
	else if (json_int(v, &number)) m->seed = (uint64_t)number;
}

static enum err load(struct manifest *m, const struct json *root, bool with_conversations, struct errinfo *info)
{
	const struct json *config = json_get(root, "config"), *list = json_get(root, "conversations");
	int64_t pid = count_of(root, "pid");
	if (json_type(root) != JSON_OBJ) return err_set(info, ERR_BAD_JSON, MANIFEST_FILE " is no object");
	if (!load_status(text_of(root, "status"), &m->status))
		return err_set(info, ERR_BAD_JSON, "the status in " MANIFEST_FILE " is unknown");
	m->experiment_id = arena_str(&m->memory, text_of(root, "experiment_id"));
	m->name = arena_str(&m->memory, text_of(root, "name"));
	m->config = json_type(config) == JSON_OBJ ? json_text(&m->memory, config) : STR("{}");
	m->created_ms = time_of(root, "created_at");
	m->started_ms = time_of(root, "started_at");
	m->completed_ms = time_of(root, "completed_at");
	copy_sentence(text_of(root, "error"), m->error, sizeof m->error);
	load_models(m, root);
	load_tokens(json_get(root, "token_usage"), &m->total);
	load_seed(m, json_get(root, "seed"));
	m->redacted = flag_of(root, "redacted");
	m->pid = pid <= INT32_MAX ? (int)pid : 0;
	for (struct json_iter it = json_iter(list); with_conversations && json_next(&it);)
		load_conversation(m, it.key, it.val);
	if (with_conversations && json_get(root, "token_usage") == NULL) add_up(m);
	if (!with_conversations) load_counts(m, root);
	m->is_dirty = false;
	return OK;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static bool read_at(int fd, int64_t off, size_t n, struct buf *out)
{
	if (!buf_reserve(out, n)) return false;
	while (n > 0) {
		ssize_t got = pread(fd, out->p + out->n, n, off);
		if (got < 0 && errno == EINTR) continue;
		if (got <= 0) return false;
		out->n += (size_t)got;
		out->p[out->n] = '\0';
		off += got;
		n -= (size_t)got;
	}
	return true;
}

/* Of a large file its beginning up to the conversations and its end behind them, as one text. False: the file has another
 * shape, which says nothing about it; *out is of no use then. */
static bool read_around(int fd, int64_t size, struct buf *out)
{
	static const char before[] = "\n  \"conversations\": {\n", after[] = "\n  }";
	struct buf end = BUF_INIT(BUF_NO_LIMIT);
	bool is_done = false;
	if (size <= 2 * (int64_t)CHUNK || !read_at(fd, 0, CHUNK, out)) return false;
	char *from = memmem(out->p, out->n, before, sizeof before - 1);
	if (from != NULL && read_at(fd, size - (int64_t)CHUNK, CHUNK, &end)) {
		const char *to = memmem(end.p, end.n, after, sizeof after - 1);
		out->n = (size_t)(from - out->p) + sizeof before - 1;
		if (to != NULL) {
			buf_add(out, to, (size_t)(end.p + end.n - to));
			is_done = true;
		}
	}
	buf_release(&end);
	return is_done;
}

static enum err parse(struct manifest *m, struct str text, bool with_conversations, struct errinfo *info)
{
	struct json_doc *doc = NULL;
	enum err e = json_parse(text, &doc, info);
	if (e == OK && json_len(json_get(json_root(doc), "conversations")) > text.n / SHORTEST + SHORTEST)
		e = err_set(info, ERR_BAD_JSON, "the conversations in " MANIFEST_FILE " are none");
	if (e == OK) e = load(m, json_root(doc), with_conversations, info);
	json_free(doc);
	return e == OK ? OK : ERR_BAD_JSON;
}

static enum err read_file(struct manifest *m, int fd, int64_t size, bool with_conversations, struct errinfo *info)
{
	struct buf text = BUF_INIT(BUF_NO_LIMIT);
	enum err e = ERR_BAD_JSON;
	if (!with_conversations && read_around(fd, size, &text)) e = parse(m, buf_str(&text), false, NULL);
	if (e != OK) {
		manifest_release(m);
		buf_clear(&text);
		e = read_at(fd, 0, (size_t)size, &text) ? parse(m, buf_str(&text), with_conversations, info)
							: err_set(info, ERR_IO, MANIFEST_FILE " cannot be read");
	}
	buf_release(&text);
	return e;
}

enum err manifest_load(struct manifest *m, const char *dir, bool with_conversations, struct errinfo *info)
{
	struct buf path = BUF_INIT(BUF_NO_LIMIT);
	struct stat st;
	enum err e;
	manifest_release(m);
	buf_addf(&path, "%s/" MANIFEST_FILE, dir);
	int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), os = errno;
	if (fd < 0)
		e = err_set(info, os == ENOENT || os == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, "%.180s cannot be read: %s",
			    path.p, strerror(os));
	else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		e = err_set(info, ERR_BAD_JSON, "%.180s is no file of at most %lld bytes", path.p, (long long)FILE_MAX);
	else e = read_file(m, fd, st.st_size, with_conversations, info);
	if (fd >= 0) close(fd);
	if (e != OK) manifest_release(m);
	buf_release(&path);
	return e;
}
