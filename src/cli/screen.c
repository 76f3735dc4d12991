/* Two writers, one terminal
 *
 * libedit owns the lowest rows: prompt, line and cursor. Everything above is ours. To write, the cursor goes to the
 * first of libedit's rows, everything below is erased, the text goes out, and libedit draws its rows again. Where
 * that row is follows from what libedit shows: the columns of prompt and line up to the cursor, divided by the
 * terminal's width.
 *
 * Text may stop in the middle of a line. libedit's rows then begin on the next line, and `column` remembers where to
 * go on: up one row, right `column` columns. A line that is exactly full is the delicate case: a terminal keeps the
 * cursor on the last column until another character comes, and that state is lost by moving away. So the next piece
 * begins with a line feed of ours there (`column == width`).
 *
 * Bytes are read here, not by libedit, which would wait for the rest of an escape sequence and let nothing be shown
 * meanwhile: it gets characters from a buffer and is told "no more" at its end. */
#include "cli/screen.h"

#include <errno.h>
#include <histedit.h>
#include <unistd.h>
#include <wchar.h>

#include "cli/term.h"

#define INPUT_BYTES 4096
#define HISTORY_LINES 500
#define LINE_BYTES_MAX ((size_t)1 << 20)
#define TAB_COLUMNS 8

struct screen {
	struct screen_hooks hooks;
	int fd;
	EditLine *el; /* NULL: a dumb terminal */
	History *history;
	char prompt[16];
	bool shown; /* libedit's rows are on the screen */
	int width;  /* of the terminal */
	int column; /* where the text above ends; width: the line is full */
	char in[INPUT_BYTES];
	size_t in_at, in_n;
	struct buf line; /* dumb: what was typed so far */
	bool ended;
};

/* ---- libedit's side --------------------------------------------------------------------------------------------- */

static char *el_prompt(EditLine *el)
{
	struct screen *s = NULL;
	el_get(el, EL_CLIENTDATA, &s);
	return s->prompt;
}

/* One character for libedit; 0 when there is none now. */
static int el_char(EditLine *el, wchar_t *out)
{
	struct screen *s = NULL;
	mbstate_t state = {0};
	el_get(el, EL_CLIENTDATA, &s);
	if (s->in_at == s->in_n) return 0;
	size_t n = mbrtowc(out, s->in + s->in_at, s->in_n - s->in_at, &state);
	if (n == (size_t)-2) return 0; /* the rest of it comes with the next read */
	if (n == 0 || n == (size_t)-1) {
		*out = (unsigned char)s->in[s->in_at] < 0x80 ? (unsigned char)s->in[s->in_at] : L'?';
		n = 1;
	}
	s->in_at += n;
	return 1;
}

/* Columns that libedit gives to a piece of its line: controls are shown as ^X. */
static int shown_columns(const char *p, const char *end, int column)
{
	while (p < end) {
		size_t n;
		int w = term_char(str_n(p, (size_t)(end - p)), &n);
		if (*p == '\t') column += TAB_COLUMNS - column % TAB_COLUMNS;
		else if ((unsigned char)*p < 0x20 || *p == 0x7f) column += 2;
		else column += w;
		p += n;
	}
	return column;
}

/* Erases libedit's rows and leaves the cursor where the text above ends. */
static void hide(struct screen *s)
{
	if (!s->shown) return;
	const LineInfo *li = el_line(s->el);
	int rows = shown_columns(li->buffer, li->cursor, (int)term_width(str_c(s->prompt))) / s->width;
	fputs("\r", stdout);
	if (rows > 0) fprintf(stdout, "\033[%dA", rows);
	fputs("\033[J", stdout);
	if (s->column > 0) {
		fputs("\033[A", stdout);
		fprintf(stdout, "\033[%dC", MIN(s->column, s->width - 1));
	}
	s->shown = false;
}

static void show(struct screen *s)
{
	if (s->el == NULL || s->shown) return;
	if (s->column > 0) fputs("\r\n", stdout);
	fflush(stdout);
	el_set(s->el, EL_REFRESH);
	s->shown = true;
}

/* Ends the edited line and begins the next; libedit draws its prompt by itself. */
static void next_line(struct screen *s)
{
	el_set(s->el, EL_UNBUFFERED, 0);
	if (s->column > 0) fputs("\r\n", stdout);
	fflush(stdout);
	el_set(s->el, EL_UNBUFFERED, 1);
	s->shown = true;
}

static void edited(struct screen *s, const char *typed, int n)
{
	HistEvent ev;
	struct buf line = BUF_INIT(LINE_BYTES_MAX);
	if (n == 1 && typed[0] == ('D' & 0x1f)) {
		s->ended = true;
		return;
	}
	if (n == 0 || (typed[n - 1] != '\n' && typed[n - 1] != '\r')) {
		s->hooks.key(s->hooks.ctx);
		return;
	}
	buf_add(&line, typed, (size_t)n - 1);
	if (n > 1) history(s->history, &ev, H_ENTER, line.p);
	s->shown = false;
	s->column = 0;
	s->hooks.line(s->hooks.ctx, buf_str(&line));
	next_line(s);
	buf_release(&line);
}

static void read_edited(struct screen *s)
{
	while (s->in_at < s->in_n && !s->ended) {
		size_t before = s->in_at;
		int n = 0;
		const char *typed = el_gets(s->el, &n);
		if (s->in_at == before) break; /* half a character */
		edited(s, typed, typed != NULL ? n : 0);
	}
}

/* ---- a terminal without editing --------------------------------------------------------------------------------- */

static void read_plain(struct screen *s)
{
	for (; s->in_at < s->in_n; s->in_at++) {
		char ch = s->in[s->in_at];
		if (ch != '\n') {
			buf_add_char(&s->line, ch);
			s->hooks.key(s->hooks.ctx);
			continue;
		}
		s->column = 0;
		s->hooks.line(s->hooks.ctx, buf_str(&s->line));
		buf_clear(&s->line);
	}
}

/* ---- verbs ------------------------------------------------------------------------------------------------------ */

static bool is_dumb(void)
{
	const char *term = getenv("TERM");
	return term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0;
}

static void start_editing(struct screen *s, FILE *in)
{
	HistEvent ev;
	s->el = el_init_fd("roost", in, stdout, stderr, s->fd, STDOUT_FILENO, STDERR_FILENO);
	if (s->el == NULL) return;
	s->history = history_init();
	history(s->history, &ev, H_SETSIZE, HISTORY_LINES);
	history(s->history, &ev, H_SETUNIQUE, 1);
	el_set(s->el, EL_CLIENTDATA, s);
	el_set(s->el, EL_SIGNAL, 0);
	el_set(s->el, EL_PROMPT, el_prompt);
	el_set(s->el, EL_EDITOR, "emacs");
	el_set(s->el, EL_HIST, history, s->history);
	el_set(s->el, EL_GETCFN, el_char);
	el_source(s->el, NULL);
	el_set(s->el, EL_UNBUFFERED, 1);
	s->shown = true;
}

struct screen *screen_new(int in_fd, const struct screen_hooks *h)
{
	struct screen *s = xcalloc(1, sizeof *s);
	s->hooks = *h;
	s->fd = in_fd;
	s->width = term_columns(STDOUT_FILENO);
	buf_init(&s->line, LINE_BYTES_MAX);
	snprintf(s->prompt, sizeof s->prompt, "> ");
	if (!is_dumb()) start_editing(s, stdin);
	return s;
}

void screen_free(struct screen *s)
{
	if (s == NULL) return;
	if (s->el != NULL) {
		hide(s);
		if (s->column > 0) fputs("\r\n", stdout);
		fflush(stdout);
		el_set(s->el, EL_UNBUFFERED, 0);
		el_end(s->el);
		history_end(s->history);
	}
	buf_release(&s->line);
	free(s);
}

void screen_read(struct screen *s)
{
	while (!s->ended) {
		memmove(s->in, s->in + s->in_at, s->in_n - s->in_at);
		s->in_n -= s->in_at;
		s->in_at = 0;
		ssize_t n = read(s->fd, s->in + s->in_n, sizeof s->in - s->in_n);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
		if (n <= 0) break;
		s->in_n += (size_t)n;
		if (s->el != NULL) read_edited(s);
		else read_plain(s);
	}
	s->ended = true;
	s->hooks.end(s->hooks.ctx);
}

/* One character of the text above: the bytes to put out, and where the cursor is then. */
static void put_char(struct screen *s, struct str ch)
{
	size_t n;
	if (ch.p[0] == '\n') {
		fputs("\r\n", stdout);
		s->column = 0;
		return;
	}
	int w = ch.p[0] == '\t' ? TAB_COLUMNS - s->column % TAB_COLUMNS : term_char(ch, &n);
	if (s->column + w > s->width) s->column = 0; /* the terminal wraps */
	if (ch.p[0] == '\t') fprintf(stdout, "%*s", w, "");
	else fwrite(ch.p, 1, ch.n, stdout);
	s->column += w;
}

/* A style of ours at the beginning of `text`: ESC [ … m. */
static size_t style_bytes(struct str text)
{
	const char *m = memchr(text.p, 'm', text.n);
	return m != NULL ? (size_t)(m + 1 - text.p) : text.n;
}

void screen_write(struct screen *s, struct str text)
{
	if (text.n == 0) return;
	if (s->el == NULL) {
		fwrite(text.p, 1, text.n, stdout);
		s->column = text.p[text.n - 1] != '\n';
		fflush(stdout);
		return;
	}
	bool was_shown = s->shown;
	hide(s);
	if (was_shown && s->column == s->width && text.p[0] != '\n') put_char(s, STR("\n"));
	for (size_t i = 0; i < text.n;) {
		size_t n = 1;
		if (text.p[i] == '\033') n = style_bytes(str_n(text.p + i, text.n - i));
		else if (text.p[i] != '\n' && text.p[i] != '\t') (void)term_char(str_n(text.p + i, text.n - i), &n);
		if (text.p[i] == '\033') fwrite(text.p + i, 1, n, stdout);
		else put_char(s, str_n(text.p + i, n));
		i += n;
	}
	if (was_shown) show(s);
	fflush(stdout);
}

void screen_fresh_line(struct screen *s)
{
	if (s->column > 0) screen_write(s, STR("\n"));
}

void screen_prompt(struct screen *s, const char *prompt)
{
	bool was_shown = s->shown;
	if (strcmp(s->prompt, prompt) == 0) return;
	hide(s);
	snprintf(s->prompt, sizeof s->prompt, "%s", prompt);
	if (was_shown) show(s);
	fflush(stdout);
}

size_t screen_typed(const struct screen *s)
{
	if (s->el == NULL) return s->line.n;
	const LineInfo *li = el_line(s->el);
	return (size_t)(li->lastchar - li->buffer);
}

void screen_remember(struct screen *s, struct str line)
{
	HistEvent ev;
	if (s->el == NULL || line.n == 0 || memchr(line.p, '\n', line.n) != NULL) return;
	char *text = str_dup(line);
	history(s->history, &ev, H_ENTER, text);
	free(text);
}

bool screen_clear_line(struct screen *s)
{
	if (s->el == NULL) return false;
	const LineInfo *li = el_line(s->el);
	if (li->lastchar == li->buffer) return false;
	hide(s);
	next_line(s);
	return true;
}

void screen_resized(struct screen *s)
{
	if (s->el == NULL) return;
	el_resize(s->el);
	s->width = term_columns(STDOUT_FILENO);
	if (s->column > s->width) s->column = s->width;
}

void screen_resumed(struct screen *s)
{
	if (s->el == NULL) return;
	el_set(s->el, EL_PREP_TERM, 0); /* libedit believes that its modes are still set */
	el_set(s->el, EL_PREP_TERM, 1);
	el_set(s->el, EL_REFRESH);
}
