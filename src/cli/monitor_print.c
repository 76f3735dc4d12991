/* The monitor without a terminal: what it knows, once. */
#include "cli/experiments.h"
#include "cli/monitor_draw.h"
#include "cli/term.h"

#define ROWS_MAX 20
#define ERRORS_MAX 10

static void add_text(struct table *t, struct buf *b)
{
	table_add(t, buf_str(b));
	buf_clear(b);
}

static void table_heads(struct table *t, const char *const *heads, size_t n)
{
	table_init(t, n);
	for (size_t i = 0; i < n; i++) table_add(t, str_c(heads[i]));
}

static int64_t tokens_of(const struct manifest_tokens *t) { return t->prompt + t->completion; }

static void add_row(const struct monitor *m, const struct monitor_row *r, struct table *t)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	char word[TERM_WORD] = "-";
	bool is_read = r->is == ROW_READ;
	const char *digits = strchr(r->id, '_');
	table_add(t, str_c(digits != NULL ? digits + 1 : r->id));
	buf_addf(&b, "%s%s%s%s", r->name, r->error[0] != '\0' ? " (" : "", r->error, r->error[0] != '\0' ? ")" : "");
	add_text(t, &b);
	table_add(t, str_c(monitor_row_words(r)));
	if (is_read) buf_addf(&b, "%zu/%zu", monitor_row_done(r), monitor_row_total(r));
	add_text(t, &b);
	if (is_read && r->turns >= 0) monitor_count(r->turns, &b);
	add_text(t, &b);
	if (is_read) monitor_count(tokens_of(&r->total), &b);
	add_text(t, &b);
	if (is_read) experiment_cost(&r->total, &b);
	add_text(t, &b);
	if (monitor_eta_ms(m, r) >= 0) term_duration(monitor_eta_ms(m, r), word);
	table_add(t, str_c(word));
	buf_release(&b);
}

static void print_experiments(const struct monitor *m, FILE *out)
{
	static const char *const heads[] = {"ID", "NAME", "STATUS", "DONE", "TURNS", "TOKENS", "COST", "ETA"};
	const struct monitor_list *l = &m->list[PANEL_EXPERIMENTS];
	struct table t;
	size_t n = MIN(l->n, (size_t)ROWS_MAX);
	if (n == 0) return;
	table_heads(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < n; i++) add_row(m, m->shown[i], &t);
	fputc('\n', out);
	table_print(&t, out);
	table_release(&t);
	if (n < l->n) fprintf(out, "%zu more; roost experiment list --all shows them\n", l->n - n);
}

static void print_errors(const struct monitor *m, FILE *out)
{
	static const char *const heads[] = {"TIME", "CONVERSATION", "PROVIDER", "TYPE", "NOW", "MESSAGE"};
	struct table t;
	size_t n = MIN(m->nerrors, (size_t)ERRORS_MAX);
	if (n == 0) return;
	table_heads(&t, heads, ARRAY_LEN(heads));
	for (size_t i = 0; i < n; i++) {
		const struct monitor_error *e = &m->errors[i];
		char word[TERM_WORD];
		term_time(e->at_ms, word);
		table_add(&t, str_c(word));
		table_add(&t, str_c(e->conversation));
		table_add(&t, str_c(e->provider));
		table_add(&t, str_c(e->type));
		table_add(&t, str_c(monitor_outcome(e->outcome)));
		table_add(&t, str_c(e->text));
	}
	fputc('\n', out);
	table_print(&t, out);
	table_release(&t);
}

void monitor_print(const struct monitor *m, FILE *out)
{
	struct monitor_segment list[SUMMARY_SEGMENTS];
	size_t n = monitor_segments(m, list);
	for (size_t i = 0; i < n; i++) {
		if (i > 0) fputs(" · ", out);
		term_put(out, str_c(list[i].text), TERM_ONE_LINE);
	}
	fputc('\n', out);
	if (m->trouble[0] != '\0' || m->nrows == 0) {
		struct buf b = BUF_INIT(BUF_NO_LIMIT);
		if (m->trouble[0] != '\0') buf_add_str(&b, str_c(m->trouble));
		else buf_addf(&b, "no experiments in %s yet; start one with: roost run", m->output);
		term_put(out, buf_str(&b), TERM_ONE_LINE);
		fputc('\n', out);
		buf_release(&b);
	}
	print_experiments(m, out);
	print_errors(m, out);
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void json_row(const struct monitor *m, const struct monitor_row *r, struct jw *w)
{
	int64_t eta_ms = monitor_eta_ms(m, r);
	jw_obj(w);
	jw_kstr(w, "id", str_c(r->id));
	jw_kstr(w, "name", str_c(r->name));
	jw_kstr(w, "dir", str_c(r->dir));
	jw_kbool(w, "running", r->runs);
	if (r->error[0] != '\0') jw_kstr(w, "error", str_c(r->error));
	if (r->is != ROW_READ) {
		jw_kstr(w, "status", r->runs ? STR("starting") : STR("unreadable"));
		jw_obj_end(w);
		return;
	}
	jw_kstr(w, "status", str_c(experiment_status_name(r->status)));
	jw_kbool(w, "killed", r->is_killed);
	jw_kint(w, "conversations", (int64_t)monitor_row_total(r));
	jw_kint(w, "done", (int64_t)monitor_row_done(r));
	jw_kint(w, "failed", (int64_t)r->count[LAB_FAILED]);
	if (r->turns >= 0) jw_kint(w, "turns", r->turns);
	jw_kint(w, "tokens", tokens_of(&r->total));
	jw_kint(w, "costTicks", r->total.cost_ticks);
	jw_kint(w, "reportedTicks", r->total.reported_ticks);
	jw_kbool(w, "unpriced", r->total.unpriced);
	if (eta_ms >= 0) jw_kint(w, "etaMs", eta_ms);
	jw_obj_end(w);
}

static void json_errors(const struct monitor *m, struct jw *w)
{
	jw_key(w, "errors");
	jw_arr(w);
	for (size_t i = 0; i < m->nerrors; i++) {
		const struct monitor_error *e = &m->errors[i];
		jw_obj(w);
		jw_ktime(w, "at", e->at_ms);
		jw_kstr(w, "experimentId", str_c(e->experiment));
		jw_kstr(w, "conversationId", str_c(e->conversation));
		jw_kstr(w, "provider", str_c(e->provider));
		jw_kstr(w, "type", str_c(e->type));
		jw_kstr(w, "message", str_c(e->text));
		jw_kstr(w, "outcome", str_c(monitor_outcome(e->outcome)));
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

static void json_relay(const struct monitor *m, struct jw *w)
{
	const struct monitor_relay *r = &m->relay;
	jw_key(w, "relay");
	if (r->is != RELAY_UP) {
		jw_null(w);
		return;
	}
	jw_obj(w);
	jw_kint(w, "running", r->running);
	jw_kint(w, "waiting", r->waiting);
	jw_kint(w, "dead", r->dead);
	jw_obj_end(w);
}

void monitor_print_json(const struct monitor *m, struct buf *out)
{
	struct monitor_sum s = monitor_sum(m);
	struct jw w = JW(out);
	jw_obj(&w);
	jw_ktime(&w, "at", m->wall_ms);
	jw_kstr(&w, "output", str_c(m->output));
	if (m->trouble[0] != '\0') jw_kstr(&w, "trouble", str_c(m->trouble));
	jw_kint(&w, "running", (int64_t)s.running);
	jw_kint(&w, "conversations", (int64_t)s.conversations);
	jw_kint(&w, "done", (int64_t)s.done);
	jw_kint(&w, "failed", (int64_t)s.failed);
	jw_kint(&w, "tokens", tokens_of(&s.tokens));
	jw_kint(&w, "costTicks", s.tokens.cost_ticks);
	jw_kint(&w, "reportedTicks", s.tokens.reported_ticks);
	jw_kbool(&w, "unpriced", s.tokens.unpriced);
	if (s.eta_ms >= 0) jw_kint(&w, "etaMs", s.eta_ms);
	jw_key(&w, "experiments");
	jw_arr(&w);
	for (size_t i = 0; i < m->list[PANEL_EXPERIMENTS].n; i++) json_row(m, m->shown[i], &w);
	jw_arr_end(&w);
	json_errors(m, &w);
	json_relay(m, &w);
	jw_obj_end(&w);
}
