#include "cli/experiments.h"

#include "base/clock.h"
#include "relay/budget.h"

char *experiments_output(const struct cli *c) { return place_output(&c->config, cli_option(c, "output")); }

enum err experiment_find(struct cli *c, const char *asked, struct place *out)
{
	char *output = experiments_output(c);
	enum err e = place_find(output, str_c(asked), out, &c->info);
	free(output);
	return e;
}

static void key_time(struct jw *w, const char *key, int64_t wall_ms)
{
	jw_key(w, key);
	if (wall_ms > 0) jw_time(w, wall_ms);
	else jw_null(w);
}

void experiment_json(struct jw *w, const struct place *p, const struct look *l)
{
	const struct manifest *m = &l->m;
	jw_obj(w);
	jw_kstr(w, "id", str_c(p->id));
	jw_kstr(w, "name", m->name.n > 0 ? m->name : str_c(p->name));
	jw_kstr(w, "dir", str_c(p->dir));
	jw_kstr(w, "status", str_c(experiment_status_name(l->status)));
	jw_kbool(w, "killed", l->is_killed);
	jw_kint(w, "pid", l->pid);
	jw_kint(w, "conversations", (int64_t)manifest_total(m));
	for (enum lab_status s = LAB_CREATED; s <= LAB_INTERRUPTED; s++)
		jw_kint(w, lab_status_name(s), (int64_t)m->count[s]);
	jw_key(w, "agents");
	jw_arr(w);
	for (size_t i = 0; i < m->nagents; i++) jw_str(w, m->agent_models[i].p != NULL ? m->agent_models[i] : STR(""));
	jw_arr_end(w);
	jw_kint(w, "promptTokens", m->total.prompt);
	jw_kint(w, "completionTokens", m->total.completion);
	jw_kint(w, "thinkingTokens", m->total.thinking);
	jw_kint(w, "costTicks", m->total.cost_ticks);
	jw_kbool(w, "unpriced", m->total.unpriced);
	jw_kbool(w, "estimated", m->total.estimated);
	key_time(w, "createdAt", m->created_ms);
	key_time(w, "startedAt", m->started_ms);
	key_time(w, "completedAt", m->completed_ms);
	if (m->error[0] != '\0') jw_kstr(w, "error", str_c(m->error));
	jw_obj_end(w);
}

void experiment_progress(const struct look *l, struct buf *out)
{
	const size_t *count = l->m.count;
	size_t total = manifest_total(&l->m);
	buf_addf(out, "%zu of %zu conversation%s complete", count[LAB_COMPLETED], total, total == 1 ? "" : "s");
	if (count[LAB_FAILED] > 0) buf_addf(out, ", %zu failed", count[LAB_FAILED]);
	if (count[LAB_INTERRUPTED] > 0) buf_addf(out, ", %zu interrupted", count[LAB_INTERRUPTED]);
}

void experiment_cost(const struct manifest_tokens *t, struct buf *out)
{
	if (t->unpriced && t->cost_ticks == 0) {
		buf_add_char(out, '-');
		return;
	}
	if (t->unpriced) buf_add_str(out, STR("over ")); /* some of it nobody knows */
	budget_write(out, t->cost_ticks);
}

int64_t experiment_took_ms(const struct look *l)
{
	const struct manifest *m = &l->m;
	if (m->started_ms == 0) return -1;
	int64_t end_ms = m->completed_ms > 0 ? m->completed_ms : l->pid > 0 ? clock_wall_ms() : 0;
	return end_ms >= m->started_ms ? end_ms - m->started_ms : -1;
}
