#include "cli/show.h"

#include <math.h>

#include "cli/show_paper.h"
#include "cli/term.h"
#include "event/lab_line.h"
#include "relay/budget.h"

#define CENT_OF_CENT_TICKS 1000000 /* $0.0001 */
#define BAR_CELLS 20
#define BAR_CELLS_SMALL 8
#define BAR_COLUMNS 60
#define ETA_FROM_MS 2000
#define FAILED_LISTED 20

static const struct show_kind *const kinds[] = {&show_chat, &show_tail, &show_quiet, &show_none, &show_json};

const struct show_kind *show_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(name, str_c(kinds[i]->name))) return kinds[i];
	return NULL;
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

static void add_dollars(struct buf *out, int64_t ticks)
{
	if (ticks > 0 && ticks < CENT_OF_CENT_TICKS) {
		buf_add_str(out, STR("less than $0.0001"));
		return;
	}
	budget_write(out, (ticks + CENT_OF_CENT_TICKS / 2) / CENT_OF_CENT_TICKS * CENT_OF_CENT_TICKS);
}

/* What providers billed and what prices make of tokens are never one figure. */
static void add_cost(const struct manifest_tokens *t, struct buf *out)
{
	int64_t estimated = t->cost_ticks - t->reported_ticks;
	const char *comma = ", ";
	if (t->reported_ticks > 0) {
		buf_add_str(out, str_c(comma));
		add_dollars(out, t->reported_ticks);
		buf_add_str(out, STR(" (reported)"));
		comma = " and ";
	}
	if (estimated > 0) {
		buf_add_str(out, str_c(comma));
		add_dollars(out, estimated);
		buf_add_str(out, STR(" (estimated)"));
	}
	if (t->unpriced && t->cost_ticks > 0) buf_add_str(out, STR(" and what has no known price"));
}

static double mean_convergence(const struct manifest *m)
{
	double sum = 0;
	size_t known = 0;
	for (size_t i = 0; i < m->n; i++) {
		if (isnan(m->list[i].convergence)) continue;
		sum += m->list[i].convergence;
		known++;
	}
	return known > 0 ? sum / (double)known : (double)NAN;
}

static void add_count(struct buf *out, int64_t n, const char *what)
{
	buf_addf(out, "%lld %s%s", (long long)n, what, n == 1 ? "" : "s");
}

void show_totals(const struct manifest *m, struct buf *out)
{
	int64_t turns = 0;
	double convergence = mean_convergence(m);
	for (size_t i = 0; i < m->n; i++) turns += m->list[i].turns;
	add_count(out, turns, "turn");
	buf_add_str(out, STR(", "));
	add_count(out, m->total.prompt + m->total.completion, "token");
	add_cost(&m->total, out);
	if (!isnan(convergence)) buf_addf(out, ", %sconvergence %.2f", m->n > 1 ? "mean " : "", convergence);
}

static void add_status(const struct manifest *m, struct buf *out)
{
	char word[64];
	snprintf(word, sizeof word, "%s", experiment_status_name(m->status));
	for (char *p = word; *p != '\0'; p++)
		if (*p == '_') *p = ' ';
	show_clean(out, m->name, TERM_ONE_LINE);
	buf_addf(out, ": %s, %zu of %zu conversation%s", word, m->count[LAB_COMPLETED], m->n, m->n == 1 ? "" : "s");
}

static void add_how_to_go_on(const struct show_about *about, struct buf *out)
{
	const struct manifest *m = about->manifest;
	if (m->count[LAB_COMPLETED] == m->n) return;
	if (m->redacted) {
		buf_add_str(out, STR("it cannot be continued, since its texts were not kept\n"));
		return;
	}
	buf_add_str(out, STR("to go on: roost run --resume "));
	show_clean(out, about->spec->output.n > 0 ? str_c(about->dir) : m->experiment_id, TERM_ONE_LINE);
	buf_add_char(out, '\n');
}

void show_ending(const struct show_about *about, struct buf *out)
{
	add_status(about->manifest, out);
	buf_add_char(out, '\n');
	show_totals(about->manifest, out);
	buf_add_str(out, STR("\nfiles: "));
	show_clean(out, str_c(about->dir), TERM_ONE_LINE);
	buf_add_char(out, '\n');
	add_how_to_go_on(about, out);
}

/* ---- progress --------------------------------------------------------------------------------------------------- */

struct show_progress show_progress(const struct show_about *about)
{
	const struct manifest *m = about->manifest;
	struct show_progress p = {0, about->spec->turns * (int64_t)m->n};
	for (size_t i = 0; i < m->n; i++) {
		const struct manifest_conversation *c = &m->list[i];
		bool is_over = c->status != LAB_CREATED && c->status != LAB_RUNNING;
		p.done += is_over ? about->spec->turns : MIN(c->turns, about->spec->turns);
	}
	return p;
}

static void add_eta(struct buf *out, struct show_progress now, struct show_progress since, int64_t elapsed_ms)
{
	int64_t made = now.done - since.done;
	char word[TERM_WORD];
	if (made <= 0 || elapsed_ms < ETA_FROM_MS || now.done >= now.all) return;
	double left_ms = (double)elapsed_ms / (double)made * (double)(now.all - now.done);
	if (left_ms < 60000) snprintf(word, sizeof word, "%d s", (int)(left_ms / 1000) + 1);
	else term_duration((int64_t)left_ms, word);
	buf_addf(out, " · ETA %s", word);
}

void show_bar(const struct show_about *about, struct show_progress since, int64_t elapsed_ms, size_t columns,
	      struct buf *out)
{
	const struct manifest *m = about->manifest;
	struct show_progress now = show_progress(about);
	size_t cells = columns >= BAR_COLUMNS ? BAR_CELLS : BAR_CELLS_SMALL;
	size_t full = now.all > 0 ? (size_t)((int64_t)cells * now.done / now.all) : 0;
	buf_add_str(out, STR("▕"));
	for (size_t i = 0; i < cells; i++) buf_add_str(out, i < full ? STR("█") : STR("░"));
	buf_addf(out, "▏ %lld %% · ", (long long)(now.all > 0 ? 100 * now.done / now.all : 0));
	buf_addf(out, "turn %lld/%lld", (long long)MIN(now.done + 1, now.all), (long long)now.all);
	if (m->n > 1)
		buf_addf(out, " · conversation %zu/%zu",
			 MIN(m->n - m->count[LAB_CREATED] - m->count[LAB_RUNNING] + 1, m->n), m->n);
	add_eta(out, now, since, elapsed_ms);
}

/* ---- nothing but how it ended ----------------------------------------------------------------------------------- */

static void *about_begin(const struct show_about *about)
{
	struct show_about *a = xmalloc(sizeof *a);
	*a = *about;
	return a;
}

static void no_event(void *state, size_t conversation, const struct lab_event *e)
{
	(void)state;
	(void)conversation;
	(void)e;
}

static void no_word(void *state, const char *text)
{
	(void)state;
	(void)text;
}

static void no_tick(void *state) { (void)state; }

static void put(struct buf *b)
{
	fwrite(buf_str(b).p, 1, b->n, stdout);
	fflush(stdout);
	buf_release(b);
}

/* A log that nobody watched names what failed. */
static void add_failed(const struct manifest *m, struct buf *out)
{
	size_t listed = 0;
	for (size_t i = 0; i < m->n && listed < FAILED_LISTED; i++) {
		const struct manifest_conversation *c = &m->list[i];
		if (c->status != LAB_FAILED) continue;
		buf_addf(out, "%s failed (%s)", c->id, c->reason != NULL ? c->reason : "unknown");
		if (c->error[0] != '\0') buf_add_str(out, STR(": "));
		show_clean(out, str_c(c->error), TERM_ONE_LINE);
		buf_add_char(out, '\n');
		listed++;
	}
}

static void quiet_end(void *state, enum err e, const struct errinfo *info)
{
	struct show_about *about = state;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	(void)e; /* the command says it */
	(void)info;
	add_failed(about->manifest, &b);
	add_status(about->manifest, &b);
	buf_add_str(&b, STR("; "));
	show_totals(about->manifest, &b);
	buf_add_char(&b, '\n');
	put(&b);
	free(about);
}

const struct show_kind show_quiet = {"quiet",  "only how it ended", false, about_begin, no_event, NULL, no_tick,
				     quiet_end};

static void none_end(void *state, enum err e, const struct errinfo *info)
{
	(void)e;
	(void)info;
	free(state);
}

const struct show_kind show_none = {"none", "nothing", false, about_begin, no_event, no_word, no_tick, none_end};

/* ---- for programs: the events, a line each ---------------------------------------------------------------------- */

struct lines {
	struct buf line;
	enum redaction redaction;
};

static void *json_begin(const struct show_about *about)
{
	struct lines *l = xcalloc(1, sizeof *l);
	buf_init(&l->line, BUF_NO_LIMIT);
	l->redaction = about->spec->redact;
	return l;
}

static void json_event(void *state, size_t conversation, const struct lab_event *e)
{
	struct lines *l = state;
	(void)conversation;
	buf_clear(&l->line);
	lab_line_write(&l->line, e, l->redaction);
	fwrite(l->line.p, 1, l->line.n, stdout);
	fflush(stdout);
}

static void json_end(void *state, enum err e, const struct errinfo *info)
{
	struct lines *l = state;
	(void)e;
	(void)info;
	buf_release(&l->line);
	free(l);
}

const struct show_kind show_json = {
	"json", "each event as a line of JSON", false, json_begin, json_event, NULL, no_tick, json_end};
