/* What keys do. */
#include <utf8proc.h>

#include "base/utf8.h"
#include "cli/monitor_model.h"

static const struct monitor_wish nothing = {.is = WISH_NONE};

static struct monitor_wish wish_tell(enum place_ask ask, const struct monitor_row *r)
{
	return (struct monitor_wish){.is = WISH_TELL, .ask = ask, .row = r};
}

/* ---- moving ----------------------------------------------------------------------------------------------------- */

static void move_to(struct monitor *m, size_t at)
{
	struct monitor_list *l = &m->list[m->focus];
	l->at = at;
	if (m->focus != PANEL_EXPERIMENTS) return;
	m->is_moved = true;
	m->chosen = l->n > 0 ? m->shown[MIN(at, l->n - 1)] : NULL;
}

/* Where a key goes to among `n` things when it is at `at`. */
static size_t moved(int32_t key, size_t at, size_t n, size_t page)
{
	size_t last = n > 0 ? n - 1 : 0;
	page = MAX(page, (size_t)1);
	switch (key) {
	case MK_UP:
	case 'k': return at > 0 ? at - 1 : 0;
	case MK_DOWN:
	case 'j': return MIN(at + 1, last);
	case MK_PAGE_UP: return at > page ? at - page : 0;
	case MK_PAGE_DOWN: return MIN(at + page, last);
	case MK_HOME:
	case 'g': return 0;
	case MK_END:
	case 'G': return last;
	default: return at;
	}
}

static bool moves(int32_t key)
{
	return (key >= MK_UP && key <= MK_END) || key == 'j' || key == 'k' || key == 'g' || key == 'G';
}

static void focus_next(struct monitor *m, int step)
{
	int n = PANEL_COUNT, at = (int)m->focus;
	do at = (at + step + n) % n;
	while (at == PANEL_RELAY && m->relay.is != RELAY_UP);
	m->focus = (enum monitor_panel)at;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static void open_messages(struct monitor *m, struct monitor_row *r, const char *conversation)
{
	monitor_forget_messages(m);
	m->messages_of = r;
	m->in_messages = true;
	snprintf(m->conversation, sizeof m->conversation, "%s", conversation);
}

static void open_error(struct monitor *m, const struct monitor_error *e)
{
	for (size_t i = 0; i < m->nrows; i++)
		if (strcmp(m->rows[i]->id, e->experiment) == 0) open_messages(m, m->rows[i], e->conversation);
}

static void open_chosen(struct monitor *m)
{
	const struct monitor_list *l = &m->list[m->focus];
	if (l->n == 0) return;
	m->is_moved = true;
	if (m->focus == PANEL_EXPERIMENTS) m->focus = PANEL_CONVERSATIONS;
	else if (m->focus == PANEL_CONVERSATIONS) open_messages(m, m->chosen, monitor_conversation(m, l->at)->id);
	else if (m->focus == PANEL_ERRORS) open_error(m, &m->errors[m->errors_shown[l->at]]);
}

/* The innermost thing that is open. */
static void leave(struct monitor *m)
{
	struct monitor_list *l = &m->list[m->focus];
	if (m->in_messages) {
		m->in_messages = false;
		m->messages_of = NULL;
		monitor_forget_messages(m);
	} else if (l->filter[0] != '\0' || l->only != ONLY_ALL) {
		l->filter[0] = '\0';
		l->only = ONLY_ALL;
		m->is_unsorted = true;
	} else {
		m->focus = PANEL_EXPERIMENTS;
	}
}

/* ---- typing ----------------------------------------------------------------------------------------------------- */

static void type_filter(struct monitor *m, int32_t key)
{
	struct monitor_list *l = &m->list[m->focus];
	size_t n = strlen(l->filter);
	utf8proc_uint8_t bytes[4];
	m->is_unsorted = true;
	if (key == MK_ENTER) {
		m->is_typing = false;
	} else if (key == MK_ESCAPE) {
		m->is_typing = false;
		l->filter[0] = '\0';
	} else if (key == MK_BACKSPACE && n > 0) {
		l->filter[utf8_cut(str_n(l->filter, n), n - 1)] = '\0';
	} else if (key >= ' ' && utf8proc_codepoint_valid(key)) {
		size_t more = (size_t)utf8proc_encode_char(key, bytes);
		if (n + more >= sizeof l->filter) return;
		memcpy(l->filter + n, bytes, more);
		l->filter[n + more] = '\0';
	}
}

/* ---- asking an experiment --------------------------------------------------------------------------------------- */

static const struct monitor_row *target(struct monitor *m)
{
	const struct monitor_row *r = m->in_messages ? m->messages_of : m->chosen;
	if (r == NULL) monitor_say(m, true, "no experiment is chosen");
	else if (!r->runs) monitor_say(m, true, "%.100s does not run: it is %s", r->name, monitor_row_words(r));
	return r != NULL && r->runs ? r : NULL;
}

static struct monitor_wish answer(struct monitor *m, int32_t key)
{
	const struct monitor_row *r = monitor_row_of(m, m->asked);
	bool is_yes = key == 'y' || key == 'Y';
	m->asked[0] = '\0';
	if (is_yes && r != NULL) return wish_tell(PLACE_STOP, r);
	monitor_say(m, false, "nothing was stopped");
	return nothing;
}

static struct monitor_wish pause_or_resume(struct monitor *m)
{
	const struct monitor_row *r = target(m);
	if (r == NULL) return nothing;
	return wish_tell(r->status == EXPERIMENT_PAUSED ? PLACE_RESUME : PLACE_PAUSE, r);
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

static struct monitor_wish key_command(struct monitor *m, int32_t key)
{
	struct monitor_list *l = &m->list[m->focus];
	bool has_status = m->focus == PANEL_EXPERIMENTS || m->focus == PANEL_CONVERSATIONS;
	const struct monitor_row *r;
	switch (key) {
	case 'q':
	case 'Q': return (struct monitor_wish){.is = WISH_QUIT};
	case '?':
	case 'h': m->is_help = true; break;
	case 's':
		if ((r = target(m)) != NULL) memcpy(m->asked, r->id, sizeof m->asked);
		break;
	case 'p': return pause_or_resume(m);
	case MK_ESCAPE:
	case MK_BACKSPACE: leave(m); break;
	case MK_REDRAW: return (struct monitor_wish){.is = WISH_REDRAW};
	default: break;
	}
	if (m->in_messages) return nothing;
	switch (key) {
	case MK_TAB: focus_next(m, 1); break;
	case MK_BACK_TAB: focus_next(m, -1); break;
	case MK_ENTER: open_chosen(m); break;
	case '/': m->is_typing = m->focus != PANEL_RELAY; break;
	case 'f':
		if (has_status) l->only = (enum monitor_only)((l->only + 1) % ONLY_COUNT);
		m->is_unsorted = true;
		break;
	case 'o':
		m->order = (enum monitor_order)((m->order + 1) % ORDER_COUNT);
		m->is_unsorted = true;
		break;
	default: break;
	}
	return nothing;
}

static void scroll_messages(struct monitor *m, int32_t key)
{
	static const struct {
		int32_t key, mirrored;
	} mirror[] = {
		{MK_UP, MK_DOWN},           {'k', 'j'},        {MK_DOWN, MK_UP}, {'j', 'k'}, {MK_PAGE_UP, MK_PAGE_DOWN},
		{MK_PAGE_DOWN, MK_PAGE_UP}, {MK_HOME, MK_END}, {'g', 'G'},       {'G', 'g'}, {MK_END, MK_HOME},
	};
	for (size_t i = 0; i < ARRAY_LEN(mirror); i++) {
		if (mirror[i].key != key) continue;
		/* Lines are counted from the end; drawing knows how many there are. */
		m->lines_up = moved(mirror[i].mirrored, m->lines_up, SIZE_MAX / 2, m->lines_page);
		return;
	}
}

struct monitor_wish monitor_key(struct monitor *m, int32_t key)
{
	struct monitor_wish wish = nothing;
	struct monitor_list *l = &m->list[m->focus];
	if (key != MK_REDRAW) m->notice_until_ms = 0;
	if (m->asked[0] != '\0') wish = answer(m, key);
	else if (m->is_typing) type_filter(m, key);
	else if (m->is_help) m->is_help = false;
	else if (moves(key) && m->in_messages) scroll_messages(m, key);
	else if (moves(key)) move_to(m, moved(key, l->at, l->n, l->page));
	else wish = key_command(m, key);
	monitor_arrange(m);
	return wish;
}
