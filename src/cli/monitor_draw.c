/* Drawing a frame.
 *
 * From the top: the title, the summary, the panels, and one line for keys, questions and notices. A screen that is too low
 * for all panels shows the one that has the focus, and with some more room the experiments above it. Columns that find no
 * room in the width are left out, the less important ones first. */
#include "cli/monitor_draw.h"

#include <math.h>
#include <stdarg.h>
#include <time.h>

#include "cli/term.h"

#define ALL_PANELS_ROWS 18 /* of the body */
#define TWO_PANELS_ROWS 9
#define SIDE_BY_SIDE_COLS 140
#define COLUMNS_MAX 12
#define BAR_COLS 12

/* ---- words ------------------------------------------------------------------------------------------------------ */

void monitor_count(int64_t n, struct buf *out)
{
	static const char units[] = {'k', 'M', 'G', 'T'};
	double v = (double)n;
	size_t u = 0;
	if (n < 10000) {
		if (n >= 1000) buf_addf(out, "%lld,%03lld", (long long)(n / 1000), (long long)(n % 1000));
		else buf_addf(out, "%lld", (long long)n);
		return;
	}
	for (v /= 1000; v >= 999.5 && u + 1 < sizeof units; u++) v /= 1000;
	buf_addf(out, "%.*f%c", v < 9.995 ? 2 : v < 99.95 ? 1 : 0, v, units[u]);
}

const char *monitor_outcome(enum error_outcome o)
{
	static const char *const words[] = {
		[ERROR_PENDING] = "open",
		[ERROR_RETRYING] = "retrying",
		[ERROR_RESOLVED] = "resolved",
		[ERROR_FINAL] = "failed",
	};
	return words[o];
}

static int64_t tokens_of(const struct manifest_tokens *t)
{
	int64_t n;
	return __builtin_add_overflow(t->prompt, t->completion, &n) ? INT64_MAX : n;
}

static void add_clock(int64_t wall_ms, struct buf *out)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	char word[16];
	if (localtime_r(&t, &tm) != NULL && strftime(word, sizeof word, "%H:%M:%S", &tm) > 0)
		buf_add_str(out, str_c(word));
}

/* At most 8 columns: "42s", "11m 42s", "5h 3m", "12d 4h"; "-" unknown. */
static void add_duration(int64_t ms, struct buf *out)
{
	long long s = ms / 1000;
	if (ms < 0) buf_add_char(out, '-');
	else if (s < 60) buf_addf(out, "%llds", s);
	else if (s < 3600) buf_addf(out, "%lldm %llds", s / 60, s % 60);
	else if (s < 86400) buf_addf(out, "%lldh %lldm", s / 3600, s % 3600 / 60);
	else buf_addf(out, "%lldd %lldh", MIN(s / 86400, 9999LL), s % 86400 / 3600);
}

/* Rounded: the exact sum is for roost usage. */
static void add_cost(int64_t ticks, struct buf *out)
{
	double dollars = (double)ticks / 1e10;
	buf_addf(out, "$%.*f", dollars >= 1000 ? 0 : dollars >= 0.1 || ticks == 0 ? 2 : 4, dollars);
}

static __attribute__((format(printf, 4, 5))) void segment(struct monitor_segment *list, size_t *n, unsigned style,
							  const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(list[*n].text, sizeof list[*n].text, fmt, ap);
	va_end(ap);
	list[(*n)++].style = style;
}

static void cost_segment(const struct manifest_tokens *t, struct monitor_segment *out, size_t *n)
{
	struct buf b = BUF_INIT(256);
	int64_t estimated = t->cost_ticks - t->reported_ticks;
	if (t->reported_ticks > 0) {
		add_cost(t->reported_ticks, &b);
		buf_add_str(&b, STR(" reported"));
	}
	if (estimated > 0) {
		if (b.n > 0) buf_add_str(&b, STR(" + "));
		add_cost(estimated, &b);
		buf_add_str(&b, STR(" estimated"));
	}
	if (t->unpriced) buf_add_str(&b, b.n > 0 ? STR(" + unknown") : STR("cost unknown"));
	else if (b.n == 0) add_cost(0, &b);
	segment(out, n, CANVAS_PLAIN, "%s", b.p);
	buf_release(&b);
}

static void rate_segment(const struct monitor *m, struct monitor_segment *out, size_t *n)
{
	struct monitor_rates r = monitor_rates(m);
	struct buf b = BUF_INIT(128);
	if (r.tokens < 0) return;
	monitor_count((int64_t)llround(r.tokens), &b);
	buf_add_str(&b, STR(" tokens/min, "));
	monitor_count((int64_t)llround(r.messages), &b);
	buf_add_str(&b, STR(" messages/min"));
	segment(out, n, CANVAS_PLAIN, "%s", b.p);
	buf_release(&b);
}

static void relay_segment(const struct monitor *m, struct monitor_segment *out, size_t *n)
{
	const struct monitor_relay *r = &m->relay;
	if (r->is == RELAY_NONE) segment(out, n, CANVAS_DIM, "no daemon");
	if (r->is != RELAY_UP) return;
	segment(out, n, r->dead > 0 ? CANVAS_YELLOW : CANVAS_PLAIN, "relay: %lld running, %lld waiting%s",
		(long long)r->running, (long long)r->waiting, r->dead > 0 ? ", some failed" : "");
}

size_t monitor_segments(const struct monitor *m, struct monitor_segment out[SUMMARY_SEGMENTS])
{
	struct monitor_sum s = monitor_sum(m);
	struct buf b = BUF_INIT(256);
	size_t n = 0;
	segment(out, &n, s.running > 0 ? CANVAS_GREEN | CANVAS_BOLD : CANVAS_PLAIN, "%zu running",
		s.running - s.paused);
	if (s.paused > 0) segment(out, &n, CANVAS_YELLOW, "%zu paused", s.paused);
	if (s.running > 0) segment(out, &n, CANVAS_PLAIN, "%zu/%zu done", s.live_done, s.live);
	if (s.eta_ms >= 0) {
		add_duration(s.eta_ms, &b);
		segment(out, &n, CANVAS_CYAN, "ETA %s", b.p);
		buf_clear(&b);
	}
	segment(out, &n, CANVAS_PLAIN, "%zu experiment%s", s.experiments, s.experiments == 1 ? "" : "s");
	segment(out, &n, CANVAS_PLAIN, "%zu/%zu conversations", s.done, s.conversations);
	if (s.failed > 0) segment(out, &n, CANVAS_RED, "%zu failed", s.failed);
	monitor_count(tokens_of(&s.tokens), &b);
	segment(out, &n, CANVAS_PLAIN, "%s%s tokens", s.tokens.estimated ? "~" : "", b.p);
	cost_segment(&s.tokens, out, &n);
	rate_segment(m, out, &n);
	relay_segment(m, out, &n);
	if (s.unread > 0) segment(out, &n, CANVAS_DIM, "%zu still to read", s.unread);
	buf_release(&b);
	return n;
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

struct area {
	int row, col, rows, cols;
};

struct column {
	const char *title;
	int width; /* 0: what is left */
	int need;  /* columns of the panel from which on it is shown */
	bool is_right;
};

/* Writes the cell of an entry; the style is for that cell alone. */
typedef void cell_fn(const struct monitor *m, size_t entry, size_t column, struct buf *out, unsigned *style);

struct table_kind {
	enum monitor_panel panel;
	const char *title;
	const struct column *columns;
	size_t ncolumns;
	cell_fn *cell;
};

struct grid {
	int at[COLUMNS_MAX], width[COLUMNS_MAX]; /* width 0: not shown */
};

static void grid_make(const struct table_kind *k, const struct area *a, struct grid *g)
{
	int gap = a->cols >= 80 ? 2 : 1, used = 1 - gap, at = a->col + 1;
	for (size_t i = 0; i < k->ncolumns; i++) {
		bool is_shown = a->cols >= k->columns[i].need;
		g->width[i] = is_shown ? k->columns[i].width : -1;
		if (is_shown) used += k->columns[i].width + gap;
	}
	for (size_t i = 0; i < k->ncolumns; i++) {
		if (g->width[i] == 0) g->width[i] = MAX(a->cols - used, 4);
		if (g->width[i] < 0) g->width[i] = 0;
		g->at[i] = at;
		if (g->width[i] > 0) at += g->width[i] + gap;
	}
}

static void put_cell(struct canvas *c, const struct area *a, const struct grid *g, const struct column *column,
		     size_t i, int row, unsigned style, struct str text)
{
	int width = MIN(g->width[i], a->col + a->cols - g->at[i]), free_cols = 0;
	if (width <= 0) return;
	if (column->is_right) free_cols = MAX(width - (int)MIN(term_width(text), (size_t)width), 0);
	canvas_put(c, row, g->at[i] + free_cols, width - free_cols, style, text);
}

static void draw_entry(const struct monitor *m, struct canvas *c, const struct table_kind *k, const struct area *a,
		       const struct grid *g, int row, size_t entry)
{
	const struct monitor_list *l = &m->list[k->panel];
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	bool is_at = entry == l->at, has_focus = m->focus == k->panel;
	for (size_t i = 0; i < k->ncolumns; i++) {
		unsigned style = CANVAS_PLAIN;
		if (g->width[i] <= 0) continue;
		buf_clear(&b);
		k->cell(m, entry, i, &b, &style);
		put_cell(c, a, g, &k->columns[i], i, row, style, buf_str(&b));
	}
	buf_release(&b);
	if (is_at && (has_focus || k->panel == PANEL_EXPERIMENTS))
		canvas_put(c, row, a->col, 1, CANVAS_CYAN | CANVAS_BOLD, STR("▸"));
	if (is_at && has_focus) canvas_paint(c, row, a->col, a->cols, CANVAS_REVERSE);
}

static void draw_title(const struct monitor *m, struct canvas *c, const struct table_kind *k, const struct area *a,
		       const char *more)
{
	const struct monitor_list *l = &m->list[k->panel];
	unsigned style = m->focus == k->panel ? CANVAS_CYAN | CANVAS_BOLD : CANVAS_BOLD;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	for (int i = 0; i < a->cols; i++) canvas_put(c, a->row, a->col + i, 1, CANVAS_DIM, STR("─"));
	buf_addf(&b, " %s", k->title);
	if (l->n > l->page && l->page > 0)
		buf_addf(&b, " %zu-%zu of %zu", l->top + 1, MIN(l->top + l->page, l->n), l->n);
	else if (l->n > 0) buf_addf(&b, " %zu", l->n);
	if (l->only != ONLY_ALL) buf_addf(&b, " · %s", monitor_only_names[l->only]);
	if (l->filter[0] != '\0') buf_addf(&b, " · /%s", l->filter);
	if (more != NULL && more[0] != '\0') buf_addf(&b, " · %s", more);
	buf_add_char(&b, ' ');
	canvas_put(c, a->row, a->col + 1, a->cols - 1, style, buf_str(&b));
	buf_release(&b);
}

/* A panel: its title, the columns' heads, and as many entries as fit. `empty` is said when there are none. */
static void draw_table(struct monitor *m, struct canvas *c, const struct table_kind *k, const struct area *a,
		       const char *more, const char *empty)
{
	struct grid g;
	const struct monitor_list *l = &m->list[k->panel];
	int top = a->rows >= 4 ? 2 : 1; /* no heads where there is hardly room for entries */
	if (a->rows <= 0) return;
	monitor_fit(m, k->panel, (size_t)MAX(a->rows - top, 0));
	grid_make(k, a, &g);
	draw_title(m, c, k, a, more);
	for (size_t i = 0; i < k->ncolumns && top == 2 && l->n > 0; i++)
		put_cell(c, a, &g, &k->columns[i], i, a->row + 1, CANVAS_DIM, str_c(k->columns[i].title));
	for (size_t i = 0; i < l->page && l->top + i < l->n; i++)
		draw_entry(m, c, k, a, &g, a->row + top + (int)i, l->top + i);
	if (l->n == 0 && a->rows > 1) canvas_put(c, a->row + 1, a->col + 1, a->cols - 1, CANVAS_DIM, str_c(empty));
}

/* ---- experiments ------------------------------------------------------------------------------------------------ */

enum { E_ID, E_NAME, E_STATUS, E_BAR, E_DONE, E_TURNS, E_TOKENS, E_COST, E_ETA };
static const struct column experiment_columns[] = {
	[E_ID] = {"ID", 8, 70, false},        [E_NAME] = {"NAME", 0, 0, false},  [E_STATUS] = {"STATUS", 13, 30, false},
	[E_BAR] = {"", BAR_COLS, 90, false},  [E_DONE] = {"DONE", 9, 36, true},  [E_TURNS] = {"TURNS", 7, 120, true},
	[E_TOKENS] = {"TOKENS", 7, 60, true}, [E_COST] = {"COST", 9, 100, true}, [E_ETA] = {"ETA", 10, 80, true},
};

static unsigned row_style(const struct monitor_row *r)
{
	if (r->is == ROW_UNREAD) return r->runs ? CANVAS_GREEN : CANVAS_DIM;
	if (r->is == ROW_DAMAGED) return r->runs ? CANVAS_GREEN : CANVAS_RED;
	switch (r->status) {
	case EXPERIMENT_RUNNING: return CANVAS_GREEN;
	case EXPERIMENT_PAUSED:
	case EXPERIMENT_INTERRUPTED: return CANVAS_YELLOW;
	case EXPERIMENT_WITH_FAILURES:
	case EXPERIMENT_FAILED: return CANVAS_RED;
	default: return CANVAS_PLAIN;
	}
}

static void add_bar(double part, struct buf *out)
{
	static const struct str eighths[] = {STR_INIT("▏"), STR_INIT("▎"), STR_INIT("▍"), STR_INIT("▌"),
					     STR_INIT("▋"), STR_INIT("▊"), STR_INIT("▉")};
	int all = (int)(part * BAR_COLS * 8 + 0.5), cols = 0;
	for (; cols < all / 8; cols++) buf_add_str(out, STR("█"));
	if (all % 8 > 0) {
		buf_add_str(out, eighths[all % 8 - 1]);
		cols++;
	}
	for (; cols < BAR_COLS; cols++) buf_add_str(out, STR("·"));
}

static double progress_of(const struct monitor_row *r)
{
	size_t total = monitor_row_total(r);
	int64_t turns = r->turns + r->left_turns;
	if (r->runs && r->turns >= 0 && turns > 0) return (double)r->turns / (double)turns;
	return total > 0 ? (double)monitor_row_done(r) / (double)total : 0;
}

static void experiment_eta(const struct monitor *m, const struct monitor_row *r, struct buf *out)
{
	if (r->runs && r->status == EXPERIMENT_PAUSED) buf_add_str(out, STR("paused"));
	else if (r->runs) add_duration(monitor_eta_ms(m, r), out);
	else if (r->completed_ms > 0 && r->started_ms > 0) {
		buf_add_str(out, STR("in "));
		add_duration(MAX(r->completed_ms - r->started_ms, (int64_t)0), out);
	}
}

static void cost_cell(const struct manifest_tokens *t, struct buf *out)
{
	if (t->unpriced && t->cost_ticks == 0) {
		buf_add_char(out, '-');
		return;
	}
	if (t->unpriced) buf_add_char(out, '>'); /* some of it nobody knows */
	add_cost(t->cost_ticks, out);
}

static void experiment_cell(const struct monitor *m, size_t entry, size_t column, struct buf *out, unsigned *style)
{
	const struct monitor_row *r = m->shown[entry];
	bool is_read = r->is == ROW_READ;
	switch (column) {
	case E_ID: {
		const char *digits = strchr(r->id, '_');
		*style = CANVAS_DIM;
		buf_add_str(out, str_c(digits != NULL ? digits + 1 : r->id));
		break;
	}
	case E_NAME:
		buf_add_str(out, str_c(r->name));
		if (r->error[0] != '\0' && !r->runs) buf_addf(out, " (%s)", r->error);
		break;
	case E_STATUS:
		*style = row_style(r);
		buf_add_str(out, str_c(monitor_row_words(r)));
		break;
	case E_BAR:
		*style = r->runs ? CANVAS_GREEN : CANVAS_DIM;
		if (is_read) add_bar(progress_of(r), out);
		break;
	case E_DONE:
		if (is_read) buf_addf(out, "%zu/%zu", monitor_row_done(r), monitor_row_total(r));
		break;
	case E_TURNS:
		if (is_read && r->turns >= 0) monitor_count(r->turns, out);
		break;
	case E_TOKENS:
		if (is_read) monitor_count(tokens_of(&r->total), out);
		break;
	case E_COST:
		if (is_read) cost_cell(&r->total, out);
		break;
	default:
		if (is_read) experiment_eta(m, r, out);
		break;
	}
}

static const struct table_kind experiments_table = {PANEL_EXPERIMENTS, "Experiments", experiment_columns,
						    ARRAY_LEN(experiment_columns), experiment_cell};

static void draw_experiments(struct monitor *m, struct canvas *c, const struct area *a)
{
	const struct monitor_list *l = &m->list[PANEL_EXPERIMENTS];
	char empty[300];
	bool is_filtered = l->only != ONLY_ALL || l->filter[0] != '\0';
	if (m->trouble[0] != '\0') snprintf(empty, sizeof empty, "%s", m->trouble);
	else if (is_filtered && m->nunread > 0) snprintf(empty, sizeof empty, "reading …");
	else if (is_filtered) snprintf(empty, sizeof empty, "none fits the filter; Esc shows all");
	else snprintf(empty, sizeof empty, "no experiments in %.200s yet; start one with: roost run", m->output);
	draw_table(m, c, &experiments_table, a, m->order != ORDER_NEWEST ? monitor_order_names[m->order] : NULL, empty);
}

/* ---- conversations ---------------------------------------------------------------------------------------------- */

enum { C_ID, C_STATUS, C_TURNS, C_CONVERGENCE, C_MODELS, C_CUT, C_ERRORS, C_TOKENS, C_TOOK };
static const struct column conversation_columns[] = {
	[C_ID] = {"CONVERSATION", 13, 0, false}, [C_STATUS] = {"STATUS", 11, 26, false},
	[C_TURNS] = {"TURNS", 9, 36, true},      [C_CONVERGENCE] = {"CONV.", 6, 48, false},
	[C_MODELS] = {"MODELS", 0, 80, false},   [C_CUT] = {"CUT", 4, 110, true},
	[C_ERRORS] = {"ERRORS", 6, 64, true},    [C_TOKENS] = {"TOKENS", 7, 100, true},
	[C_TOOK] = {"TOOK", 8, 72, true},
};

static unsigned conversation_style(enum lab_status s)
{
	static const unsigned styles[] = {
		[LAB_CREATED] = CANVAS_DIM, [LAB_RUNNING] = CANVAS_GREEN,      [LAB_COMPLETED] = CANVAS_PLAIN,
		[LAB_FAILED] = CANVAS_RED,  [LAB_INTERRUPTED] = CANVAS_YELLOW,
	};
	return styles[s];
}

static void convergence_cell(double score, struct buf *out, unsigned *style)
{
	if (isnan(score)) return;
	const char *glyph = score < 0.6 ? "●" : score < 0.8 ? "◆" : "▲";
	*style = score < 0.6 ? CANVAS_GREEN : score < 0.8 ? CANVAS_YELLOW : CANVAS_RED;
	buf_addf(out, "%s %.2f", glyph, score);
}

static int64_t took_ms(const struct monitor *m, const struct manifest_conversation *c)
{
	int64_t end_ms = c->ended_ms > 0 ? c->ended_ms : m->manifest_of->runs ? m->wall_ms : c->updated_ms;
	return c->started_ms > 0 && end_ms >= c->started_ms ? end_ms - c->started_ms : -1;
}

static void models_cell(const struct monitor *m, const struct manifest_conversation *c, struct buf *out)
{
	buf_add_str(out, str_c(m->manifest_of->models));
	if (c->status == LAB_RUNNING || c->status == LAB_CREATED) return;
	if (c->error[0] != '\0') buf_addf(out, " · %s", c->error);
	else if (c->reason != NULL) buf_addf(out, " · %s", c->reason);
}

static void conversation_cell(const struct monitor *m, size_t entry, size_t column, struct buf *out, unsigned *style)
{
	const struct manifest_conversation *c = monitor_conversation(m, entry);
	struct manifest_tokens t = {0};
	switch (column) {
	case C_ID: buf_add_str(out, str_c(c->id)); break;
	case C_STATUS:
		*style = conversation_style(c->status);
		buf_add_str(out, str_c(lab_status_name(c->status)));
		break;
	case C_TURNS:
		buf_addf(out, "%lld", (long long)c->turns);
		if (m->manifest_of->max_turns > 0) buf_addf(out, "/%lld", (long long)m->manifest_of->max_turns);
		break;
	case C_CONVERGENCE: convergence_cell(c->convergence, out, style); break;
	case C_MODELS: models_cell(m, c, out); break;
	case C_CUT:
		if (c->truncations > 0) monitor_count(c->truncations, out);
		break;
	case C_ERRORS:
		*style = CANVAS_RED;
		if (c->errors > 0) monitor_count(c->errors, out);
		break;
	case C_TOKENS:
		for (size_t i = 0; i < MANIFEST_AGENTS; i++) manifest_tokens_add(&t, &c->tokens[i]);
		monitor_count(tokens_of(&t), out);
		break;
	default: add_duration(took_ms(m, c), out); break;
	}
}

static const struct table_kind conversations_table = {PANEL_CONVERSATIONS, "Conversations", conversation_columns,
						      ARRAY_LEN(conversation_columns), conversation_cell};

static void draw_conversations(struct monitor *m, struct canvas *c, const struct area *a)
{
	const struct monitor_row *r = m->chosen;
	char empty[300];
	if (r == NULL) snprintf(empty, sizeof empty, "of no experiment");
	else if (r->is == ROW_DAMAGED) snprintf(empty, sizeof empty, "%s", r->error);
	else if (m->manifest_of != r) snprintf(empty, sizeof empty, "reading …");
	else snprintf(empty, sizeof empty, m->manifest.n > 0 ? "none fits the filter; Esc shows all" : "none yet");
	draw_table(m, c, &conversations_table, a, r != NULL ? r->name : NULL, empty);
}

/* ---- errors and queues ------------------------------------------------------------------------------------------ */

enum { X_TIME, X_CONVERSATION, X_PROVIDER, X_TYPE, X_OUTCOME, X_TEXT };
static const struct column error_columns[] = {
	[X_TIME] = {"TIME", 8, 0, false},           [X_CONVERSATION] = {"CONVERSATION", 13, 90, false},
	[X_PROVIDER] = {"PROVIDER", 10, 60, false}, [X_TYPE] = {"TYPE", 16, 44, false},
	[X_OUTCOME] = {"NOW", 8, 36, false},        [X_TEXT] = {"MESSAGE", 0, 0, false},
};

static void error_cell(const struct monitor *m, size_t entry, size_t column, struct buf *out, unsigned *style)
{
	const struct monitor_error *e = &m->errors[m->errors_shown[entry]];
	bool is_final = e->outcome == ERROR_FINAL, is_resolved = e->outcome == ERROR_RESOLVED;
	switch (column) {
	case X_TIME:
		*style = CANVAS_DIM;
		add_clock(e->at_ms, out);
		break;
	case X_CONVERSATION: buf_add_str(out, str_c(e->conversation)); break;
	case X_PROVIDER: buf_add_str(out, str_c(e->provider)); break;
	case X_TYPE: buf_add_str(out, str_c(e->type)); break;
	case X_OUTCOME:
		*style = is_final ? CANVAS_RED : is_resolved ? CANVAS_GREEN : CANVAS_YELLOW;
		buf_add_str(out, str_c(monitor_outcome(e->outcome)));
		break;
	default: buf_add_str(out, str_c(e->text)); break;
	}
}

static const struct table_kind errors_table = {PANEL_ERRORS, "Recent errors", error_columns, ARRAY_LEN(error_columns),
					       error_cell};

static void draw_errors(struct monitor *m, struct canvas *c, const struct area *a)
{
	bool is_filtered = m->list[PANEL_ERRORS].filter[0] != '\0';
	draw_table(m, c, &errors_table, a, NULL, is_filtered ? "none fits the filter; Esc shows all" : "none");
}

enum { Q_SESSION, Q_USER, Q_STATE, Q_RUNNING, Q_WAITING, Q_DEAD };
static const struct column queue_columns[] = {
	[Q_SESSION] = {"SESSION", 0, 0, false}, [Q_USER] = {"USER", 10, 50, false},
	[Q_STATE] = {"STATE", 6, 36, false},    [Q_RUNNING] = {"RUNS", 5, 0, true},
	[Q_WAITING] = {"WAITS", 5, 0, true},    [Q_DEAD] = {"FAILED", 6, 40, true},
};

static void queue_cell(const struct monitor *m, size_t entry, size_t column, struct buf *out, unsigned *style)
{
	const struct monitor_queue *q = &m->relay.list[entry];
	switch (column) {
	case Q_SESSION: buf_add_str(out, str_c(q->session)); break;
	case Q_USER: buf_add_str(out, str_c(q->user)); break;
	case Q_STATE:
		*style = q->is_paused ? CANVAS_YELLOW : CANVAS_PLAIN;
		buf_add_str(out, q->is_paused ? STR("paused") : STR("open"));
		break;
	case Q_RUNNING: monitor_count(q->running, out); break;
	case Q_WAITING: monitor_count(q->waiting, out); break;
	default:
		*style = q->dead > 0 ? CANVAS_RED : CANVAS_PLAIN;
		monitor_count(q->dead, out);
		break;
	}
}

static const struct table_kind queues_table = {PANEL_RELAY, "Relay queues", queue_columns, ARRAY_LEN(queue_columns),
					       queue_cell};

static void draw_queues(struct monitor *m, struct canvas *c, const struct area *a)
{
	char more[60] = "";
	const struct monitor_relay *r = &m->relay;
	if (r->all > r->n) snprintf(more, sizeof more, "%zu more", r->all - r->n);
	draw_table(m, c, &queues_table, a, more,
		   r->is == RELAY_UP     ? "nothing waits"
		   : r->is == RELAY_NONE ? r->why
					 : "asking the daemon …");
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static unsigned who_style(const struct monitor_message *msg)
{
	static const unsigned styles[] = {CANVAS_CYAN, CANVAS_GREEN, CANVAS_YELLOW};
	if (msg->is == MESSAGE_ERROR) return CANVAS_RED | CANVAS_BOLD;
	if (msg->is == MESSAGE_TOLD) return CANVAS_DIM;
	int agent = lab_agent_find(str_c(msg->who));
	return CANVAS_BOLD | styles[(size_t)MAX(agent, 0) % ARRAY_LEN(styles)];
}

static size_t count_lines(struct str text, int width)
{
	size_t n = 1; /* who said it */
	while (text.n > 0) {
		size_t bytes = canvas_line(text, width);
		text = str_n(text.p + bytes, text.n - bytes);
		n++;
	}
	return n;
}

/* The lines of a message that lie in the area when its first is at `row`. */
static void draw_message(struct canvas *c, const struct area *a, int row, const struct monitor_message *msg, int width)
{
	struct str text = str_c(msg->text);
	struct buf b = BUF_INIT(128);
	int end = a->row + a->rows;
	buf_add_str(&b, str_c(msg->who[0] != '\0' ? msg->who : "?"));
	buf_add_str(&b, STR("  "));
	if (msg->at_ms > 0) add_clock(msg->at_ms, &b);
	if (row >= a->row && row < end) canvas_put(c, row, a->col, a->cols, who_style(msg), buf_str(&b));
	buf_release(&b);
	for (row++; text.n > 0 && row < end; row++) {
		size_t bytes = canvas_line(text, width);
		struct str line = str_n(text.p, bytes);
		if (line.p[line.n - 1] == '\n') line.n--;
		if (row >= a->row)
			canvas_put(c, row, a->col + 2, width, msg->is == MESSAGE_ERROR ? CANVAS_RED : CANVAS_PLAIN,
				   line);
		text = str_n(text.p + bytes, text.n - bytes);
	}
}

static void draw_messages(struct monitor *m, struct canvas *c, const struct area *all)
{
	static const struct table_kind title = {.panel = PANEL_CONVERSATIONS, .title = "Messages"};
	struct area a = {all->row + 1, all->col, all->rows - 1, all->cols};
	struct monitor view = {.focus = PANEL_CONVERSATIONS}; /* a title without the list's figures */
	char more[120];
	int width = MAX(a.cols - 3, 1);
	size_t lines = 0, page = (size_t)MAX(a.rows, 0);
	if (all->rows <= 0) return;
	snprintf(more, sizeof more, "%s of %.80s%s", m->conversation,
		 m->messages_of != NULL ? m->messages_of->name : "an experiment that is gone",
		 m->lines_up > 0 ? " · scrolled up" : "");
	draw_title(&view, c, &title, all, more);
	for (size_t i = 0; i < m->nmessages; i++) lines += count_lines(str_c(m->messages[i].text), width);
	m->lines_page = page;
	m->lines_up = MIN(m->lines_up, lines > page ? lines - page : 0);
	/* The last line but for those scrolled away stands at the bottom; few lines begin at the top. */
	int row = lines > page ? a.row + a.rows - (int)(lines - m->lines_up) : a.row;
	for (size_t i = 0; i < m->nmessages; i++) {
		draw_message(c, &a, row, &m->messages[i], width);
		row += (int)count_lines(str_c(m->messages[i].text), width);
	}
	if (m->nmessages == 0)
		canvas_put(c, a.row, a.col + 1, a.cols - 1, CANVAS_DIM, STR("no message in the end of its event file"));
}

/* ---- the frame -------------------------------------------------------------------------------------------------- */

static void draw_help(struct canvas *c, const struct area *a)
{
	static const char *const lines[][2] = {
		{"↑ ↓  k j", "one up, one down; PgUp PgDn, Home End (g G)"},
		{"Tab", "the next panel; Shift-Tab the one before"},
		{"Enter", "open: an experiment's conversations, a conversation's or an error's messages"},
		{"Esc", "back; clears the filter first"},
		{"/", "show what has this text; Enter keeps it, Esc clears it"},
		{"f", "show only running, completed, failed or interrupted ones; all again"},
		{"o", "order: newest, name, tokens, cost"},
		{"s", "stop the chosen experiment, once you have said y"},
		{"p", "pause it, or let it go on"},
		{"q", "leave; what runs goes on"},
		{"", "CONV. is the convergence: ● below 0.6, ◆ from 0.6, ▲ from 0.8"},
		{"", "any key closes this"},
	};
	for (int i = 0; i < (int)ARRAY_LEN(lines) && i < a->rows; i++) {
		canvas_put(c, a->row + i, a->col + 1, 10, CANVAS_BOLD, str_c(lines[i][0]));
		canvas_put(c, a->row + i, a->col + 12, a->cols - 12, CANVAS_PLAIN, str_c(lines[i][1]));
	}
}

/* Segments one after the other over at most `rows` lines; the lines that were used. */
static int draw_summary(const struct monitor *m, struct canvas *c, int row, int rows)
{
	struct monitor_segment list[SUMMARY_SEGMENTS];
	size_t n = monitor_segments(m, list);
	int at = 0, line = 0;
	for (size_t i = 0; i < n; i++) {
		int width = (int)term_width(str_c(list[i].text));
		if (at > 0 && at + 3 + width > c->cols) {
			if (++line == rows) return rows;
			at = 0;
		}
		if (at > 0) at += canvas_put(c, row + line, at, 3, CANVAS_DIM, STR(" · "));
		at += canvas_put(c, row + line, at, c->cols - at, list[i].style, str_c(list[i].text));
	}
	return line + 1;
}

static void draw_head(const struct monitor *m, struct canvas *c)
{
	struct buf b = BUF_INIT(16);
	int at = canvas_put(c, 0, 0, c->cols, CANVAS_BOLD | CANVAS_CYAN, STR("roost monitor"));
	canvas_put(c, 0, at + 2, c->cols - at - 11, CANVAS_DIM, str_c(m->output));
	add_clock(m->wall_ms, &b);
	canvas_put(c, 0, c->cols - 8, 8, CANVAS_DIM, buf_str(&b));
	buf_release(&b);
}

static void draw_foot(const struct monitor *m, struct canvas *c)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	unsigned style = CANVAS_DIM;
	const struct monitor_row *asked = m->asked[0] != '\0' ? monitor_row_of(m, m->asked) : NULL;
	if (asked != NULL) {
		style = CANVAS_YELLOW | CANVAS_BOLD;
		buf_addf(&b, "stop %s? y/N ", asked->name);
	} else if (m->is_typing) {
		style = CANVAS_PLAIN;
		buf_addf(&b, "/%s▏", m->list[m->focus].filter);
	} else if (m->notice_until_ms > m->boot_ms) {
		style = m->notice_is_bad ? CANVAS_RED : CANVAS_GREEN;
		buf_add_str(&b, str_c(m->notice));
	} else if (c->cols < 76) {
		buf_add_str(&b, STR("? help · q quit"));
	} else if (m->in_messages) {
		buf_add_str(&b, STR("↑↓ scroll · Esc back · s stop · p pause · ? help · q quit"));
	} else if (c->cols < 100) {
		buf_add_str(&b, STR("Tab · Enter open · / filter · f status · s stop · p pause · ? help · q quit"));
	} else {
		buf_add_str(&b,
			    STR("Tab panel · Enter open · / filter · f status · o order · s stop · p pause · ? help · "
				"q quit"));
	}
	canvas_put(c, c->rows - 1, 0, c->cols, style, buf_str(&b));
	buf_release(&b);
}

static void draw_panel(struct monitor *m, struct canvas *c, enum monitor_panel p, const struct area *a)
{
	static void (*const draw[])(struct monitor *, struct canvas *, const struct area *) = {
		[PANEL_EXPERIMENTS] = draw_experiments,
		[PANEL_CONVERSATIONS] = draw_conversations,
		[PANEL_ERRORS] = draw_errors,
		[PANEL_RELAY] = draw_queues,
	};
	draw[p](m, c, a);
}

/* One below the other; the last two side by side where there is width for it. */
static void draw_all_panels(struct monitor *m, struct canvas *c, const struct area *body)
{
	bool has_relay = m->relay.is == RELAY_UP, is_wide = body->cols >= SIDE_BY_SIDE_COLS;
	int low = MIN(MAX(body->rows / 5, 4), 12);
	int bottom = has_relay && !is_wide ? 2 * low : low, middle = (body->rows - bottom) / 2;
	struct area a = {body->row, body->col, body->rows - bottom - middle, body->cols};
	draw_panel(m, c, PANEL_EXPERIMENTS, &a);
	a.row += a.rows;
	a.rows = middle;
	draw_panel(m, c, PANEL_CONVERSATIONS, &a);
	a.row += a.rows;
	a.rows = low;
	if (has_relay && is_wide) a.cols = body->cols * 2 / 3 - 1;
	draw_panel(m, c, PANEL_ERRORS, &a);
	if (!has_relay) return;
	if (is_wide) {
		a.col = a.cols + 1;
		a.cols = body->cols - a.col;
	} else {
		a.row += low;
	}
	draw_panel(m, c, PANEL_RELAY, &a);
}

static void draw_body(struct monitor *m, struct canvas *c, const struct area *body)
{
	struct area upper = *body, lower = *body;
	upper.rows = body->rows / 2;
	lower.row += upper.rows;
	lower.rows -= upper.rows;
	if (m->is_help) {
		draw_help(c, body);
	} else if (m->in_messages) {
		draw_messages(m, c, body);
	} else if (body->rows >= ALL_PANELS_ROWS) {
		draw_all_panels(m, c, body);
	} else if (body->rows >= TWO_PANELS_ROWS) {
		draw_panel(m, c, PANEL_EXPERIMENTS, &upper);
		draw_panel(m, c, m->focus == PANEL_EXPERIMENTS ? PANEL_CONVERSATIONS : m->focus, &lower);
	} else {
		draw_panel(m, c, m->focus, body);
	}
}

void monitor_draw(struct monitor *m, struct canvas *c, int rows, int cols)
{
	canvas_begin(c, rows, cols);
	int head = rows >= 16 ? 1 : 0, lines = rows >= 20 ? 3 : rows >= 14 ? 2 : rows >= 5 ? 1 : 0;
	if (head > 0) draw_head(m, c);
	if (lines > 0) head += draw_summary(m, c, head, lines);
	struct area body = {head, 0, rows - head - 1, cols};
	if (rows == 1) body.rows = 1;
	draw_body(m, c, &body);
	if (rows > 1) draw_foot(m, c);
}
