#include "cli/monitor_model.h"

#include <stdarg.h>

#include "base/json.h"
#include "base/utf8.h"

#define NOTICE_MS 6000
#define PAGE_AT_FIRST 60           /* rows that are taken for visible before anything was drawn */
#define MIDDLE_MS (150 * 1000)     /* a speed is that of the last 150 to 300 seconds */
#define SPEED_AFTER_MS (10 * 1000) /* what was seen for a shorter time says nothing */
#define RATE_AFTER_MS (5 * 1000)

const char *const monitor_only_names[ONLY_COUNT] = {
	[ONLY_ALL] = "all",       [ONLY_RUNNING] = "running",         [ONLY_COMPLETED] = "completed",
	[ONLY_FAILED] = "failed", [ONLY_INTERRUPTED] = "interrupted",
};
const char *const monitor_order_names[ORDER_COUNT] = {
	[ORDER_NEWEST] = "newest", [ORDER_NAME] = "name", [ORDER_TOKENS] = "tokens", [ORDER_COST] = "cost"};

/* What fits, ending where a character does. */
static void copy_text(char *out, size_t cap, struct str s)
{
	size_t n = s.n < cap ? s.n : utf8_cut(s, cap - 1);
	if (n > 0) memcpy(out, s.p, n);
	out[n] = '\0';
}

void monitor_init(struct monitor *m, const char *output, int64_t boot_ms, int64_t wall_ms)
{
	*m = (struct monitor){.output = output, .begun_boot_ms = boot_ms};
	manifest_init(&m->manifest);
	for (size_t i = 0; i < PANEL_COUNT; i++) m->list[i].page = PAGE_AT_FIRST;
	monitor_clock(m, boot_ms, wall_ms);
}

static void row_free(struct monitor_row *r)
{
	free(r->dir);
	free(r->name);
	free(r->models);
	free(r);
}

void monitor_release(struct monitor *m)
{
	HASH_CLEAR(hh, m->by_dir);
	for (size_t i = 0; i < m->nrows; i++) row_free(m->rows[i]);
	free(m->rows);
	free(m->shown);
	free(m->conversations);
	manifest_release(&m->manifest);
	monitor_forget_messages(m);
	*m = (struct monitor){0};
}

void monitor_clock(struct monitor *m, int64_t boot_ms, int64_t wall_ms)
{
	m->boot_ms = boot_ms;
	m->wall_ms = wall_ms;
}

void monitor_say(struct monitor *m, bool is_bad, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(m->notice, sizeof m->notice, fmt, ap);
	va_end(ap);
	m->notice_is_bad = is_bad;
	m->notice_until_ms = m->boot_ms + NOTICE_MS;
}

/* ---- rows ------------------------------------------------------------------------------------------------------- */

static struct monitor_row *row_add(struct monitor *m, const struct place_entry *e)
{
	struct monitor_row *r = xcalloc(1, sizeof *r);
	r->dir = xstrdup(e->dir);
	r->name = xstrdup(e->name);
	memcpy(r->id, e->id, sizeof r->id);
	r->changed_ms = e->changed_ms;
	r->turns = r->messages = -1;
	if (m->nrows == m->rows_cap) {
		m->rows_cap = MAX(m->rows_cap * 2, (size_t)64);
		m->rows = xrealloc(m->rows, xmul(m->rows_cap, sizeof(struct monitor_row *)));
		m->shown = xrealloc(m->shown, xmul(m->rows_cap, sizeof(struct monitor_row *)));
	}
	m->rows[m->nrows++] = r;
	m->nunread++;
	m->is_unsorted = true;
	HASH_ADD_KEYPTR(hh, m->by_dir, r->dir, strlen(r->dir), r);
	return r;
}

static struct monitor_row *row_of_entry(struct monitor *m, const struct place_entry *e)
{
	struct monitor_row *r;
	HASH_FIND_STR(m->by_dir, e->dir, r);
	return r != NULL ? r : row_add(m, e);
}

static void row_drop(struct monitor *m, struct monitor_row *r)
{
	if (m->chosen == r) m->chosen = NULL;
	if (m->manifest_of == r) m->manifest_of = NULL;
	if (m->messages_of == r) m->messages_of = NULL;
	if (r->is == ROW_UNREAD) m->nunread--;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the analyser cannot follow uthash */
	HASH_DEL(m->by_dir, r);
	row_free(r);
	m->is_unsorted = true;
}

void monitor_put_list(struct monitor *m, const struct place_list *l)
{
	size_t kept = 0;
	m->listing++;
	m->is_listed = true;
	for (size_t i = 0; i < l->n; i++) row_of_entry(m, &l->list[i])->seen = m->listing;
	for (size_t i = 0; i < m->nrows; i++) {
		struct monitor_row *r = m->rows[i];
		if (r->seen == m->listing) m->rows[kept++] = r;
		else row_drop(m, r);
	}
	m->nrows = kept;
}

void monitor_put_running(struct monitor *m, const struct place_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct monitor_row *r = row_of_entry(m, &l->list[i]);
		if (r->runs) continue;
		r->runs = true;
		r->due_boot_ms = 0;
		m->is_unsorted = true;
	}
}

static void set_state(struct monitor *m, struct monitor_row *r, bool is_damaged)
{
	if (r->is == ROW_UNREAD) m->nunread--;
	r->is = is_damaged ? ROW_DAMAGED : ROW_READ;
	m->is_unsorted = true;
}

static int64_t tokens_of(const struct manifest_tokens *t)
{
	int64_t n;
	return __builtin_add_overflow(t->prompt, t->completion, &n) ? INT64_MAX : n;
}

size_t monitor_row_total(const struct monitor_row *r)
{
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(r->count); i++) n += r->count[i];
	return n;
}

size_t monitor_row_done(const struct monitor_row *r)
{
	return r->count[LAB_COMPLETED] + r->count[LAB_FAILED] + r->count[LAB_INTERRUPTED];
}

static int64_t max_turns_of(struct str config)
{
	struct json_doc *doc;
	int64_t n = 0;
	if (config.n == 0 || json_parse(config, &doc, NULL) != OK) return 0;
	json_int(json_get(json_root(doc), "max_turns"), &n);
	json_free(doc);
	return n > 0 && n <= INT32_MAX ? n : 0;
}

static char *models_of(const struct manifest *m)
{
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	size_t n;
	for (size_t i = 0; i < m->nagents; i++) {
		if (i > 0) buf_add_str(&b, STR(", "));
		buf_add_str(&b, m->agent_models[i]);
	}
	return b.n > 0 ? buf_take(&b, &n) : NULL;
}

/* Turns and messages of all, from conversations when they were loaded. */
static void put_turns(struct monitor_row *r, const struct manifest *m)
{
	r->turns = r->messages = m->n > 0 ? 0 : -1;
	r->left_turns = (int64_t)(m->count[LAB_CREATED] + m->count[LAB_RUNNING]) * r->max_turns;
	for (size_t i = 0; i < m->n; i++) {
		const struct manifest_conversation *c = &m->list[i];
		int64_t turns = MIN(c->turns, (int64_t)INT32_MAX);
		r->turns += turns;
		r->messages += MIN(c->messages, (int64_t)INT32_MAX);
		if (c->status == LAB_CREATED || c->status == LAB_RUNNING) r->left_turns -= MIN(turns, r->max_turns);
	}
}

static void measure_speed(const struct monitor *m, struct monitor_row *r)
{
	if (r->turns < 0) return;
	if (r->since.boot_ms == 0 || r->turns < r->since.turns) {
		r->since.boot_ms = r->middle.boot_ms = m->boot_ms;
		r->since.turns = r->middle.turns = r->turns;
	} else if (m->boot_ms - r->middle.boot_ms >= MIDDLE_MS) {
		r->since = r->middle;
		r->middle.boot_ms = m->boot_ms;
		r->middle.turns = r->turns;
	}
}

static void count_rate(struct monitor *m, int64_t tokens, int64_t messages, int64_t conversations)
{
	int64_t second = m->boot_ms / 1000;
	size_t i = (size_t)(second % RATE_SECONDS);
	if (m->rate[i].second != second) memset(&m->rate[i], 0, sizeof m->rate[i]);
	m->rate[i].second = second;
	m->rate[i].tokens += MAX(tokens, (int64_t)0);
	m->rate[i].messages += MAX(messages, (int64_t)0);
	m->rate[i].conversations += MAX(conversations, (int64_t)0);
}

void monitor_put_look(struct monitor *m, struct monitor_row *r, const struct look *l)
{
	const struct manifest *of = &l->m;
	struct monitor_row was = *r;
	r->runs = l->pid != 0;
	r->is_killed = l->is_killed;
	r->status = l->status;
	r->total = of->total;
	r->started_ms = of->started_ms;
	r->completed_ms = of->completed_ms;
	memcpy(r->count, of->count, sizeof r->count);
	copy_text(r->error, sizeof r->error, str_c(of->error));
	if (of->name.n > 0 && !str_eq(of->name, str_c(r->name))) {
		free(r->name);
		r->name = str_dup(of->name);
	}
	free(r->models);
	r->models = models_of(of);
	r->max_turns = max_turns_of(of->config);
	put_turns(r, of);
	measure_speed(m, r);
	if (r->is == ROW_READ)
		count_rate(m, tokens_of(&r->total) - tokens_of(&was.total),
			   was.messages >= 0 && r->messages >= 0 ? r->messages - was.messages : 0,
			   (int64_t)monitor_row_done(r) - (int64_t)monitor_row_done(&was));
	set_state(m, r, false);
}

void monitor_put_damaged(struct monitor *m, struct monitor_row *r, const char *why)
{
	copy_text(r->error, sizeof r->error, str_c(why));
	set_state(m, r, true);
}

/* ---- conversations ---------------------------------------------------------------------------------------------- */

static const struct manifest *sorted_by; /* for conversation_cmp: qsort hands nothing on */

static int rank(const struct manifest_conversation *c)
{
	return c->status == LAB_RUNNING ? 0 : c->status == LAB_CREATED ? 2 : 1;
}

/* Those that run, those that are over with the newest first, those that have not begun. */
static int conversation_cmp(const void *a, const void *b)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct manifest_conversation *x = &sorted_by->list[i], *y = &sorted_by->list[j];
	if (rank(x) != rank(y)) return rank(x) < rank(y) ? -1 : 1;
	if (rank(x) == 1 && x->updated_ms != y->updated_ms) return x->updated_ms > y->updated_ms ? -1 : 1;
	return i < j ? -1 : i > j;
}

static bool has_text(const char *text, const char *part) { return text != NULL && strcasestr(text, part) != NULL; }

static bool shows_conversation(const struct monitor_list *l, const struct manifest_conversation *c)
{
	static const enum lab_status wanted[ONLY_COUNT] = {
		[ONLY_RUNNING] = LAB_RUNNING,
		[ONLY_COMPLETED] = LAB_COMPLETED,
		[ONLY_FAILED] = LAB_FAILED,
		[ONLY_INTERRUPTED] = LAB_INTERRUPTED,
	};
	if (l->only != ONLY_ALL && c->status != wanted[l->only]) return false;
	return l->filter[0] == '\0' || has_text(c->id, l->filter) || has_text(lab_status_name(c->status), l->filter) ||
	       has_text(c->reason, l->filter) || has_text(c->error, l->filter);
}

const struct manifest_conversation *monitor_conversation(const struct monitor *m, size_t i)
{
	return &m->manifest.list[m->conversations[i]];
}

static void keep_cursor(struct monitor_list *l)
{
	l->at = l->n == 0 ? 0 : MIN(l->at, l->n - 1);
	l->top = MIN(l->top, l->at);
	if (l->page > 0 && l->at >= l->top + l->page) l->top = l->at - l->page + 1;
	if (l->page > 0 && l->top + l->page > l->n) l->top = l->n > l->page ? l->n - l->page : 0;
}

static void arrange_conversations(struct monitor *m)
{
	struct monitor_list *l = &m->list[PANEL_CONVERSATIONS];
	l->n = 0;
	if (m->manifest_of == NULL || m->manifest_of != m->chosen) return;
	for (size_t i = 0; i < m->manifest.n; i++)
		if (shows_conversation(l, &m->manifest.list[i])) m->conversations[l->n++] = (uint32_t)i;
	sorted_by = &m->manifest;
	if (l->n > 0) qsort(m->conversations, l->n, sizeof *m->conversations, conversation_cmp);
	keep_cursor(l);
}

void monitor_put_conversations(struct monitor *m, const struct monitor_row *r, struct manifest *taken)
{
	struct monitor_list *l = &m->list[PANEL_CONVERSATIONS];
	char at[16] = "";
	if (m->manifest_of == r && l->at < l->n) memcpy(at, monitor_conversation(m, l->at)->id, sizeof at);
	else l->at = l->top = 0;
	manifest_release(&m->manifest);
	m->manifest = *taken;
	manifest_init(taken);
	m->manifest_of = r;
	m->conversations = xrealloc(m->conversations, xmul(m->manifest.n + 1, sizeof *m->conversations));
	arrange_conversations(m);
	for (size_t i = 0; at[0] != '\0' && i < l->n; i++) {
		if (strcmp(monitor_conversation(m, i)->id, at) != 0) continue;
		l->at = i;
		break;
	}
	keep_cursor(l);
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

static void error_add(struct monitor *m, const struct monitor_error *e)
{
	size_t i = 0;
	while (i < m->nerrors && m->errors[i].at_ms > e->at_ms) i++;
	if (i == MONITOR_ERRORS) return;
	size_t moved = MIN(m->nerrors, (size_t)MONITOR_ERRORS - 1) - i;
	memmove(&m->errors[i + 1], &m->errors[i], moved * sizeof m->errors[0]);
	m->errors[i] = *e;
	m->nerrors = MIN(m->nerrors + 1, (size_t)MONITOR_ERRORS);
}

/* What has become of the errors of a conversation that were not final; agent "": of all of them. */
static void errors_became(struct monitor *m, struct str conversation, struct str agent, enum error_outcome outcome)
{
	for (size_t i = 0; i < m->nerrors; i++) {
		struct monitor_error *e = &m->errors[i];
		if (e->outcome >= ERROR_RESOLVED || !str_eq(str_c(e->conversation), conversation)) continue;
		if (agent.n > 0 && !str_eq(str_c(e->agent), agent)) continue;
		e->outcome = outcome;
	}
}

static void error_of(struct monitor_error *to, const struct lab_event *e, int type, int text, int provider, int agent)
{
	copy_text(to->type, sizeof to->type, type >= 0 ? lab_str(e, type) : STR("context_limit"));
	copy_text(to->text, sizeof to->text, lab_str(e, text));
	if (provider >= 0) copy_text(to->provider, sizeof to->provider, lab_str(e, provider));
	if (agent >= 0) copy_text(to->agent, sizeof to->agent, lab_str(e, agent));
}

/* False: the event is no error. */
static bool error_read(struct monitor_error *to, const struct lab_event *e)
{
	*to = (struct monitor_error){.at_ms = e->at_us / 1000, .outcome = ERROR_PENDING};
	switch (e->type) {
	case LE_API_ERROR:
		error_of(to, e, LF(APIErrorEvent, error_type), LF(APIErrorEvent, error_message),
			 LF(APIErrorEvent, provider), LF(APIErrorEvent, agent_id));
		to->outcome = lab_int(e, LF(APIErrorEvent, next_try_ms), -1) >= 0 ? ERROR_RETRYING
			      : lab_bool(e, LF(APIErrorEvent, retryable))         ? ERROR_PENDING
										  : ERROR_FINAL;
		break;
	case LE_PROVIDER_TIMEOUT:
		error_of(to, e, LF(ProviderTimeoutEvent, error_type), LF(ProviderTimeoutEvent, error_message),
			 LF(ProviderTimeoutEvent, provider), LF(ProviderTimeoutEvent, agent_id));
		if (to->type[0] == '\0') copy_text(to->type, sizeof to->type, STR("timeout"));
		break;
	case LE_ERROR:
		error_of(to, e, LF(ErrorEvent, error_type), LF(ErrorEvent, error_message), -1, -1);
		to->outcome = ERROR_FINAL;
		break;
	case LE_CONTEXT_LIMIT:
		error_of(to, e, -1, LF(ContextLimitEvent, error_message), LF(ContextLimitEvent, provider),
			 LF(ContextLimitEvent, agent_id));
		to->outcome = ERROR_FINAL;
		break;
	default: return false;
	}
	if (to->text[0] == '\0') copy_text(to->text, sizeof to->text, STR("(no text, or a redacted one)"));
	return true;
}

void monitor_put_event(struct monitor *m, const struct monitor_row *r, const struct lab_event *e)
{
	struct monitor_error error;
	struct str conversation = lab_str(e, 0);
	if (error_read(&error, e)) {
		memcpy(error.experiment, r->id, sizeof error.experiment);
		copy_text(error.conversation, sizeof error.conversation, conversation);
		error_add(m, &error);
	} else if (e->type == LE_MESSAGE_COMPLETE) {
		errors_became(m, conversation, lab_str(e, LF(MessageCompleteEvent, agent_id)), ERROR_RESOLVED);
	} else if (e->type == LE_MESSAGE_REQUEST && lab_int(e, LF(MessageRequestEvent, attempt), 1) > 1) {
		errors_became(m, conversation, lab_str(e, LF(MessageRequestEvent, agent_id)), ERROR_RETRYING);
	} else if (e->type == LE_CONVERSATION_END) {
		bool is_failed = str_eq(lab_str(e, LF(ConversationEndEvent, status)), STR("failed"));
		errors_became(m, conversation, STR(""), is_failed ? ERROR_FINAL : ERROR_RESOLVED);
	}
}

static void arrange_errors(struct monitor *m)
{
	struct monitor_list *l = &m->list[PANEL_ERRORS];
	l->n = 0;
	for (size_t i = 0; i < m->nerrors; i++) {
		const struct monitor_error *e = &m->errors[i];
		if (l->filter[0] == '\0' || has_text(e->text, l->filter) || has_text(e->type, l->filter) ||
		    has_text(e->provider, l->filter) || has_text(e->conversation, l->filter))
			m->errors_shown[l->n++] = i;
	}
	keep_cursor(l);
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

void monitor_forget_messages(struct monitor *m)
{
	for (size_t i = 0; i < m->nmessages; i++) free(m->messages[i].text);
	m->nmessages = 0;
	m->lines_up = 0;
}

static void message_add(struct monitor *m, enum monitor_message_kind is, int64_t at_us, struct str who, struct str text)
{
	if (m->nmessages == MONITOR_MESSAGES) {
		free(m->messages[0].text);
		memmove(&m->messages[0], &m->messages[1], (MONITOR_MESSAGES - 1) * sizeof m->messages[0]);
		m->nmessages--;
	}
	struct monitor_message *to = &m->messages[m->nmessages++];
	to->is = is;
	to->at_ms = at_us / 1000;
	copy_text(to->who, sizeof to->who, who);
	to->text = str_dup(text.n <= MONITOR_TEXT_MAX ? text : str_n(text.p, utf8_cut(text, MONITOR_TEXT_MAX)));
}

static void add_spoken(struct monitor *m, const struct lab_event *e, int who, int message)
{
	const struct lab_message *said = lab_message(e, message);
	struct str text = said != NULL && said->content.p != NULL ? said->content : STR("(the text is redacted)");
	message_add(m, MESSAGE_SAID, e->at_us, lab_str(e, who), text);
}

void monitor_put_message(struct monitor *m, const struct lab_event *e)
{
	struct monitor_error error;
	struct buf b = BUF_INIT(BUF_NO_LIMIT);
	if (error_read(&error, e)) {
		buf_addf(&b, "%s%s%s: %s", error.provider, error.provider[0] != '\0' ? " " : "", error.type,
			 error.text);
		message_add(m, MESSAGE_ERROR, e->at_us, str_c(error.agent), buf_str(&b));
	} else if (e->type == LE_MESSAGE_COMPLETE) {
		add_spoken(m, e, LF(MessageCompleteEvent, agent_id), LF(MessageCompleteEvent, message));
	} else if (e->type == LE_INITIAL_MESSAGE) {
		add_spoken(m, e, LF(InitialMessageEvent, agent_id), LF(InitialMessageEvent, message));
	} else if (e->type == LE_CONVERSATION_START) {
		message_add(m, MESSAGE_TOLD, e->at_us, STR("prompt"),
			    lab_str(e, LF(ConversationStartEvent, initial_prompt)));
	} else if (e->type == LE_PROMPT_INJECTED) {
		message_add(m, MESSAGE_TOLD, e->at_us, lab_str(e, LF(PromptInjectedEvent, agent_id)),
			    lab_str(e, LF(PromptInjectedEvent, prompt)));
	} else if (e->type == LE_CONVERSATION_END) {
		struct str reason = lab_str(e, LF(ConversationEndEvent, reason));
		buf_addf(&b, "%.*s%s%.*s", STR_ARG(lab_str(e, LF(ConversationEndEvent, status))),
			 reason.n > 0 ? ": " : "", STR_ARG(reason));
		message_add(m, MESSAGE_TOLD, e->at_us, STR("end"), buf_str(&b));
	}
	buf_release(&b);
}

/* ---- what is shown ---------------------------------------------------------------------------------------------- */

static bool is_live(const struct monitor_row *r) { return r->runs; }

static bool shows_row(const struct monitor *m, const struct monitor_row *r)
{
	const struct monitor_list *l = &m->list[PANEL_EXPERIMENTS];
	bool is_known = r->is == ROW_READ, is_over = is_known && !r->runs;
	switch (l->only) {
	case ONLY_RUNNING:
		if (!is_live(r)) return false;
		break;
	case ONLY_COMPLETED:
		if (!is_over || r->status != EXPERIMENT_COMPLETED) return false;
		break;
	case ONLY_FAILED:
		if (r->is != ROW_DAMAGED &&
		    (!is_over || (r->status != EXPERIMENT_FAILED && r->status != EXPERIMENT_WITH_FAILURES)))
			return false;
		break;
	case ONLY_INTERRUPTED:
		if (!is_over || r->status != EXPERIMENT_INTERRUPTED) return false;
		break;
	default: break;
	}
	return l->filter[0] == '\0' || has_text(r->name, l->filter) || has_text(r->id, l->filter) ||
	       has_text(r->models, l->filter) || has_text(monitor_row_words(r), l->filter);
}

static int by_newest(const struct monitor_row *x, const struct monitor_row *y)
{
	if (is_live(x) != is_live(y)) return is_live(x) ? -1 : 1;
	int64_t a = x->changed_ms, b = y->changed_ms;
	if (is_live(x) && x->is == ROW_READ && y->is == ROW_READ) {
		a = x->started_ms; /* those that run keep their places */
		b = y->started_ms;
	}
	return a > b ? -1 : a < b ? 1 : strcmp(x->dir, y->dir);
}

static enum monitor_order sorted_as; /* for row_cmp */

static int row_cmp(const void *a, const void *b)
{
	const struct monitor_row *x = *(struct monitor_row *const *)a, *y = *(struct monitor_row *const *)b;
	int64_t left = 0, right = 0;
	if (sorted_as == ORDER_NAME) {
		int by_name = strcasecmp(x->name, y->name);
		return by_name != 0 ? by_name : by_newest(x, y);
	}
	if (sorted_as == ORDER_TOKENS) {
		left = tokens_of(&x->total);
		right = tokens_of(&y->total);
	} else if (sorted_as == ORDER_COST) {
		left = x->total.cost_ticks;
		right = y->total.cost_ticks;
	}
	return left != right ? (left > right ? -1 : 1) : by_newest(x, y);
}

static void arrange_rows(struct monitor *m)
{
	struct monitor_list *l = &m->list[PANEL_EXPERIMENTS];
	l->n = 0;
	for (size_t i = 0; i < m->nrows; i++)
		if (shows_row(m, m->rows[i])) m->shown[l->n++] = m->rows[i];
	sorted_as = m->order;
	if (l->n > 0) qsort(m->shown, l->n, sizeof(struct monitor_row *), row_cmp);
	if (!m->is_moved) l->at = 0;
	for (size_t i = 0; m->is_moved && i < l->n; i++)
		if (m->shown[i] == m->chosen) l->at = i;
	m->is_unsorted = false;
}

void monitor_arrange(struct monitor *m)
{
	struct monitor_list *l = &m->list[PANEL_EXPERIMENTS];
	if (m->is_unsorted) arrange_rows(m);
	keep_cursor(l);
	m->chosen = l->n > 0 ? m->shown[l->at] : NULL;
	arrange_conversations(m);
	arrange_errors(m);
	m->list[PANEL_RELAY].n = m->relay.is == RELAY_UP ? m->relay.n : 0;
	keep_cursor(&m->list[PANEL_RELAY]);
}

void monitor_fit(struct monitor *m, enum monitor_panel p, size_t page)
{
	m->list[p].page = page;
	keep_cursor(&m->list[p]);
}

const struct monitor_row *monitor_row_of(const struct monitor *m, const char *id)
{
	for (size_t i = 0; i < m->nrows; i++)
		if (strcmp(m->rows[i]->id, id) == 0) return m->rows[i];
	return NULL;
}

void monitor_put_relay(struct monitor *m, const struct monitor_relay *r) { m->relay = *r; }

const char *monitor_row_words(const struct monitor_row *r)
{
	static const char *const words[] = {
		[EXPERIMENT_CREATED] = "created",
		[EXPERIMENT_RUNNING] = "running",
		[EXPERIMENT_PAUSED] = "paused",
		[EXPERIMENT_COMPLETED] = "completed",
		[EXPERIMENT_WITH_FAILURES] = "with failures",
		[EXPERIMENT_FAILED] = "failed",
		[EXPERIMENT_INTERRUPTED] = "interrupted",
	};
	if (r->is == ROW_UNREAD) return r->runs ? "running" : "…";
	if (r->is == ROW_DAMAGED) return r->runs ? "starting" : "unreadable";
	return r->is_killed ? "killed" : words[r->status];
}

/* ---- figures ---------------------------------------------------------------------------------------------------- */

int64_t monitor_eta_ms(const struct monitor *m, const struct monitor_row *r)
{
	if (!r->runs || r->is != ROW_READ || r->status != EXPERIMENT_RUNNING || r->turns <= 0 || r->max_turns == 0)
		return -1;
	double turns = (double)(r->turns - r->since.turns), ms = (double)(m->boot_ms - r->since.boot_ms);
	if (turns <= 0 || ms < SPEED_AFTER_MS) {
		turns = (double)r->turns;
		ms = (double)(m->wall_ms - r->started_ms);
	}
	if (ms <= 0 || r->started_ms == 0) return -1;
	double left = (double)r->left_turns * ms / turns;
	return left < 1e15 ? (int64_t)left : -1;
}

static void sum_row(const struct monitor *m, const struct monitor_row *r, struct monitor_sum *s)
{
	size_t total = monitor_row_total(r), done = monitor_row_done(r);
	s->damaged += r->is == ROW_DAMAGED && !r->runs;
	s->running += r->runs;
	if (r->is != ROW_READ) return;
	s->paused += r->runs && r->status == EXPERIMENT_PAUSED;
	s->conversations += total;
	s->done += done;
	s->failed += r->count[LAB_FAILED];
	manifest_tokens_add(&s->tokens, &r->total);
	if (!r->runs) return;
	s->live += total;
	s->live_done += done;
	s->eta_ms = MAX(s->eta_ms, monitor_eta_ms(m, r));
}

struct monitor_sum monitor_sum(const struct monitor *m)
{
	struct monitor_sum s = {.experiments = m->nrows, .unread = m->nunread, .eta_ms = -1};
	for (size_t i = 0; i < m->nrows; i++) sum_row(m, m->rows[i], &s);
	return s;
}

struct monitor_rates monitor_rates(const struct monitor *m)
{
	struct monitor_rates r = {-1, -1, -1};
	int64_t looked_ms = MIN(m->boot_ms - m->begun_boot_ms, (int64_t)RATE_SECONDS * 1000);
	int64_t second = m->boot_ms / 1000;
	if (looked_ms < RATE_AFTER_MS) return r;
	r = (struct monitor_rates){0};
	for (size_t i = 0; i < RATE_SECONDS; i++) {
		if (m->rate[i].second <= second - RATE_SECONDS) continue;
		r.tokens += (double)m->rate[i].tokens;
		r.messages += (double)m->rate[i].messages;
		r.conversations += (double)m->rate[i].conversations;
	}
	double minutes = (double)looked_ms / 60000;
	r.tokens /= minutes;
	r.messages /= minutes;
	r.conversations /= minutes;
	return r;
}
