/* What is read of an experiment, and the fields that are made of it. */
#include <math.h>

#include "base/utf8.h"
#include "event/lab_log.h"
#include "lab/mirror_priv.h"
#include "lab/place_priv.h"

#define TAIL_BYTES ((int64_t)1 << 20) /* of an event file at one look: a flood of events is passed over */
#define FRESH_LOOKS 2

/* ---- the manifest ----------------------------------------------------------------------------------------------- */

/* At most cap - 1 bytes of a text, cut where a character ends. */
static void copy_cut(struct str s, char *out, size_t cap)
{
	size_t n = utf8_cut(s, MIN(s.n, cap - 1));
	if (n > 0) memcpy(out, s.p, n);
	out[n] = '\0';
}

/* Manifests come from files: a sum does not wrap. */
static int64_t sum(int64_t a, int64_t b)
{
	int64_t r;
	return __builtin_add_overflow(a, b, &r) ? INT64_MAX : r;
}

static int64_t max_turns_of(const struct manifest *m)
{
	struct json_doc *doc = NULL;
	int64_t n = 0;
	if (json_parse(m->config, &doc, NULL) == OK) json_int(json_get(json_root(doc), "max_turns"), &n);
	json_free(doc);
	return MAX(n, (int64_t)0);
}

/* An id that can be part of a file's name. */
static bool is_conversation_id(const char *id)
{
	static const char prefix[] = "conv_";
	size_t n = strlen(prefix);
	return strncmp(id, prefix, n) == 0 && strlen(id + n) == 8 && strspn(id + n, "0123456789abcdef") == 8;
}

static const struct mirror_live *find_live(const struct mirror_live *list, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].id, id) == 0) return &list[i];
	return NULL;
}

/* The first of those that run; what is known of them stays. */
static void take_live(struct mirror_state *s, const struct manifest *m)
{
	struct mirror_live was[MIRROR_LIVE];
	size_t nwas = s->nlive;
	memcpy(was, s->live, sizeof was);
	s->nlive = 0;
	for (size_t i = 0; i < m->n && s->nlive < MIRROR_LIVE; i++) {
		const struct manifest_conversation *c = &m->list[i];
		if (c->status != LAB_RUNNING || !is_conversation_id(c->id)) continue;
		if (find_live(s->live, s->nlive, c->id) != NULL) continue;
		const struct mirror_live *known = find_live(was, nwas, c->id);
		struct mirror_live *l = &s->live[s->nlive++];
		*l = known != NULL ? *known : (struct mirror_live){.convergence = (double)NAN};
		memcpy(l->id, c->id, sizeof l->id);
		l->turns = MAX(l->turns, c->turns);
		if (isfinite(c->convergence)) l->convergence = c->convergence;
	}
	for (size_t i = 0; i < nwas; i++)
		if (find_live(s->live, s->nlive, was[i].id) == NULL) free(was[i].text);
}

/* The mean of those that run, or of all when none does. */
static double mean_convergence(const struct manifest *m)
{
	double total = 0;
	size_t n = 0;
	for (size_t i = 0; i < m->n; i++) {
		const struct manifest_conversation *c = &m->list[i];
		if (!isfinite(c->convergence) || (m->count[LAB_RUNNING] > 0 && c->status != LAB_RUNNING)) continue;
		total += c->convergence;
		n++;
	}
	return n > 0 ? total / (double)n : (double)NAN;
}

/* Of a redacted run an error is a code, and anything else is not shown. */
static bool is_code(const char *s) { return s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0'; }

static void take_manifest(struct mirror_state *s, const char *id, const struct manifest *m)
{
	s->status = m->status;
	s->is_redacted = m->redacted;
	copy_cut(m->redacted || m->name.n == 0 ? str_c(id) : m->name, s->name, sizeof s->name);
	s->nmodels = m->nagents;
	for (size_t i = 0; i < m->nagents; i++) copy_cut(m->agent_models[i], s->models[i], sizeof s->models[i]);
	s->turns = 0;
	for (size_t i = 0; i < m->n; i++) s->turns = sum(s->turns, m->list[i].turns);
	for (size_t i = 0; i < ARRAY_LEN(s->count); i++) s->count[i] = (int64_t)m->count[i];
	s->total = (int64_t)manifest_total(m);
	s->max_turns = max_turns_of(m);
	s->started_ms = m->started_ms;
	s->ended_ms = m->completed_ms;
	s->tokens = m->total;
	s->convergence = mean_convergence(m);
	copy_cut(m->redacted && !is_code(m->error) ? STR("") : str_c(m->error), s->error, sizeof s->error);
	take_live(s, m);
	s->was_read = true;
}

static void read_manifest(struct mirror_state *s, const char *id, const struct limits *limits)
{
	struct manifest m;
	enum err e = ERR_BAD_JSON;
	manifest_init(&m);
	if (s->seen.st_size > limits->experiment_bytes) {
		snprintf(s->error, sizeof s->error, MANIFEST_FILE " has %lld bytes; experimentBytes is %lld",
			 (long long)s->seen.st_size, (long long)limits->experiment_bytes);
	} else {
		e = manifest_load(&m, s->dir, true, NULL);
		if (e == OK) take_manifest(s, id, &m);
		else snprintf(s->error, sizeof s->error, MANIFEST_FILE " cannot be read");
	}
	manifest_release(&m);
	if (!s->was_read) copy_cut(str_c(id), s->name, sizeof s->name);
}

/* ---- event files ------------------------------------------------------------------------------------------------ */

/* The first characters of a text; free it. */
static char *first_chars(struct str s)
{
	size_t n = 0;
	for (size_t chars = 0; n < s.n; n++) {
		bool begins = ((unsigned char)s.p[n] & 0xc0) != 0x80;
		if (begins && chars++ == MIRROR_TEXT_CHARS) break;
	}
	return str_dup(str_n(s.p, n));
}

static enum err take_event(void *ctx, const struct lab_event *e)
{
	struct mirror_live *l = ctx;
	if (e->type == LE_MESSAGE_COMPLETE) {
		const struct lab_message *said = lab_message(e, LF(MessageCompleteEvent, message));
		int agent = lab_agent_find(lab_str(e, LF(MessageCompleteEvent, agent_id)));
		if (said == NULL || said->content.p == NULL || agent < 0) return OK;
		free(l->text);
		l->text = first_chars(said->content);
		copy_cut(str_c(lab_agent_ids[agent]), l->agent, sizeof l->agent);
	} else if (e->type == LE_TURN_COMPLETE) {
		int64_t turn = lab_int(e, LF(TurnCompleteEvent, turn_number), -1);
		double score = lab_real(e, LF(TurnCompleteEvent, convergence_score));
		if (turn >= 0) l->turns = MAX(l->turns, sum(turn, 1));
		if (isfinite(score)) l->convergence = score;
	}
	return OK;
}

static void read_events(const struct mirror_state *s, struct mirror_live *l)
{
	struct stat st;
	struct lab_file_end end;
	char name[40];
	snprintf(name, sizeof name, "events_%s.jsonl", l->id);
	char *path = place_join(s->dir, name);
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode)) {
		int64_t from = l->offset <= st.st_size ? l->offset : 0;
		from = MAX(from, st.st_size - TAIL_BYTES);
		if (from < st.st_size && lab_file_read(path, from, take_event, l, &end, NULL) == OK)
			l->offset = end.good_bytes;
	}
	free(path);
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool mirror_read(struct mirror_state *s, const char *id, const struct limits *limits)
{
	struct stat st;
	char *path = place_join(s->dir, MANIFEST_FILE);
	bool is_there = lstat(path, &st) == 0;
	free(path);
	if (!is_there) return false;
	if (!is_same(&st, &s->seen)) {
		s->seen = st;
		s->fresh = FRESH_LOOKS;
		read_manifest(s, id, limits);
	}
	if (s->fresh > 0 && !s->is_redacted)
		for (size_t i = 0; i < s->nlive; i++) read_events(s, &s->live[i]);
	s->fresh -= s->fresh > 0;
	return true;
}

bool mirror_is_over(const struct mirror_state *s)
{
	return s->was_read && s->status != EXPERIMENT_CREATED && s->status != EXPERIMENT_RUNNING &&
	       s->status != EXPERIMENT_PAUSED;
}

void mirror_state_free(struct mirror_state *s)
{
	if (s == NULL) return;
	for (size_t i = 0; i < s->nlive; i++) free(s->live[i].text);
	free(s->dir);
	free(s);
}

/* ---- the fields ------------------------------------------------------------------------------------------------- */

static void write_real(struct jw *w, const char *key, double v)
{
	jw_key(w, key);
	jw_real(w, v);
}

static void write_time(struct jw *w, const char *key, int64_t wall_ms)
{
	if (wall_ms > 0) jw_ktime(w, key, wall_ms);
	else jw_kraw(w, key, STR("null"));
}

/* Those that a killed process ran are interrupted. */
static void write_counts(const struct mirror_state *s, bool is_killed, struct jw *w)
{
	int64_t running = is_killed ? 0 : s->count[LAB_RUNNING];
	jw_key(w, "conversations");
	jw_obj(w);
	jw_kint(w, "total", s->total);
	jw_kint(w, "completed", s->count[LAB_COMPLETED]);
	jw_kint(w, "failed", s->count[LAB_FAILED]);
	jw_kint(w, "interrupted", s->count[LAB_INTERRUPTED] + s->count[LAB_RUNNING] - running);
	jw_kint(w, "running", running);
	jw_obj_end(w);
}

static void write_tokens(const struct manifest_tokens *t, struct jw *w)
{
	jw_key(w, "tokens");
	jw_obj(w);
	jw_kint(w, "prompt", t->prompt);
	jw_kint(w, "completion", t->completion);
	jw_kint(w, "thinking", t->thinking);
	jw_kbool(w, "estimated", t->estimated);
	jw_obj_end(w);
	jw_key(w, "cost");
	jw_obj(w);
	jw_kint(w, "ticks", t->cost_ticks);
	jw_kint(w, "reported", t->reported_ticks);
	jw_kbool(w, "partial", t->unpriced);
	jw_obj_end(w);
}

static void write_live(const struct mirror_state *s, struct jw *w)
{
	for (size_t i = 0; i < s->nlive; i++) {
		const struct mirror_live *l = &s->live[i];
		jw_obj(w);
		jw_kstr(w, "conversationId", str_c(l->id));
		jw_kint(w, "turn", l->turns);
		jw_kint(w, "maxTurns", s->max_turns);
		if (isfinite(l->convergence)) write_real(w, "convergence", l->convergence);
		if (l->text != NULL && !s->is_redacted) {
			jw_key(w, "last");
			jw_obj(w);
			jw_kstr(w, "agent", str_c(l->agent));
			jw_kstr(w, "text", str_c(l->text));
			jw_obj_end(w);
		}
		jw_obj_end(w);
	}
}

/* What a manifest tells, beyond how its experiment stands. */
static void write_figures(const struct mirror_state *s, bool is_killed, struct jw *w)
{
	jw_kbool(w, "redacted", s->is_redacted);
	jw_key(w, "models");
	jw_arr(w);
	for (size_t i = 0; i < s->nmodels; i++) jw_str(w, str_c(s->models[i]));
	jw_arr_end(w);
	write_counts(s, is_killed, w);
	jw_kint(w, "turns", s->turns);
	jw_kint(w, "maxTurns", s->max_turns);
	write_tokens(&s->tokens, w);
	write_real(w, "convergence", s->convergence);
	write_time(w, "startedAt", s->started_ms);
}

void mirror_write(const struct mirror_state *s, const char *id, bool is_killed, struct buf *out)
{
	struct jw w = JW(out);
	enum experiment_status now = s->was_read ? s->status : EXPERIMENT_RUNNING;
	bool is_over = is_killed || mirror_is_over(s);
	int64_t last_ms = (int64_t)s->seen.st_mtim.tv_sec * 1000; /* of one that was killed, its last sign of life */
	jw_obj(&w);
	jw_kstr(&w, "name", str_c(s->name));
	jw_kstr(&w, "experimentId", str_c(id));
	jw_kstr(&w, "status", str_c(experiment_status_name(is_killed ? EXPERIMENT_INTERRUPTED : now)));
	if (s->was_read) write_figures(s, is_killed, &w);
	if (s->error[0] != '\0') jw_kstr(&w, "error", str_c(s->error));
	else jw_kraw(&w, "error", STR("null"));
	write_time(&w, "endedAt", is_killed ? last_ms : is_over ? s->ended_ms : 0);
	jw_key(&w, "live");
	jw_arr(&w);
	if (!is_over) write_live(s, &w);
	jw_arr_end(&w);
	jw_obj_end(&w);
}
